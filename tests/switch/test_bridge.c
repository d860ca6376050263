/* SPDX-License-Identifier: BSD-3-Clause */
/* Bridges, customer and service VLANs, and what the tables of all of them take. */
#include "switch_fixture.h"

#include <malloc.h>

static void enter(unsigned i, const char *bridge, bool service)
{
	assert_int_equal(sw_bridge_enter(sw, &ports[i]->port, bridge, service), 0);
	sw_commit(sw);
}

/* Which of the ports got something, as bits. */
static unsigned reached(void)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < NPORTS; i++) {
		bits |= (ports[i]->ngot > 0) << i;
		ports[i]->ngot = 0;
	}
	return bits;
}

static void nothing_goes_from_one_bridge_to_another(void **state)
{
	(void)state;
	for (unsigned i = 3; i < NPORTS; i++)
		enter(i, "blue", false);
	for (int tci = UNTAGGED; tci < 8; tci += 8) {
		send_one(ports[0], tci, BROADCAST, 1, 0);
		assert_int_equal(reached(), 1 << 1 | 1 << 2);
		send_one(ports[3], tci, BROADCAST, 1, 0);
		assert_int_equal(reached(), 1 << 4);
		/* One address behind a port of each: two hosts. */
		send_one(ports[1], tci, 1, 2, 0);
		assert_int_equal(reached(), 1 << 0);
		send_one(ports[4], tci, 1, 2, 0);
		assert_int_equal(reached(), 1 << 3);
		/* Host 2 is behind b in one bridge, behind e in the other one. */
		send_one(ports[2], tci, 2, 3, 0);
		assert_int_equal(reached(), 1 << 1);
	}
	assert_int_equal(sw_bridge_find(sw, "blue"), 1);
	assert_int_equal(sw_bridge_find(sw, "bleu"), -ENOENT);
}

static void members_of_a_vlan_are_those_of_its_bridge(void **state)
{
	(void)state;
	enter(2, "blue", false);
	enter(3, "blue", false);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(sw_domain_join(sw, &ports[i]->port, 10,
					 i % 2 ? SW_FORM_TAGGED : SW_FORM_UNTAGGED),
			0);
	sw_commit(sw);
	send_one(ports[0], UNTAGGED, BROADCAST, 1, 1);
	expect(ports[1], 10, BROADCAST, 1, 1);
	expect(ports[4], 10, BROADCAST, 1, 1);
	assert_int_equal(reached(), 0);
	send_one(ports[2], UNTAGGED, BROADCAST, 1, 2);
	expect(ports[3], 10, BROADCAST, 1, 2);
	assert_int_equal(reached(), 0);
	/* It must leave its VLANs first: they are the old bridge's. */
	assert_int_equal(sw_bridge_enter(sw, &ports[3]->port, "red", false), -EBUSY);
}

static void a_port_that_changes_its_bridge_is_forgotten_in_the_old_one(void **state)
{
	struct fdb_stats stats;
	fdb_key fixed;

	(void)state;
	enter(4, "blue", false);
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 0);
	send_one(ports[4], UNTAGGED, BROADCAST, 5, 0);
	fixed = fdb_key_make((uint8_t[]){2, 0, 0, 0, 0, 9},
		sw_domain_keep(sw, sw_bridge_vlan(sw, &ports[1]->port, 7)));
	assert_int_equal(fdb_add_static(sw_fdb(sw), fixed, ports[1]->port.id, false), 0);
	reached();
	enter(1, "blue", false);
	fdb_get_stats(sw_fdb(sw), &stats);
	assert_int_equal(stats.entries, 1); /* host 5 */
	send_one(ports[0], UNTAGGED, 1, 3, 0);
	assert_int_equal(reached(), 1 << 2 | 1 << 3);
	send_one(ports[1], UNTAGGED, 5, 1, 0);
	assert_int_equal(reached(), 1 << 4);
	/* A bridge ends with its last port, and its numbers are free again. */
	enter(1, SW_BRIDGE_DEFAULT, false);
	enter(4, SW_BRIDGE_DEFAULT, false);
	assert_int_equal(sw_bridge_find(sw, "blue"), -ENOENT);
	send_one(ports[0], UNTAGGED, 1, 3, 0);
	assert_int_equal(reached(), 0x1e);
}

static void a_bridge_that_ends_leaves_nothing_to_the_next_one(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++) {
		enter(1, round % 2 ? "red" : "blue", round % 2);
		assert_int_equal(
			sw_domain_join(sw, &ports[1]->port, 10 + round, SW_FORM_TAGGED), 0);
		enter(2, "green", false);
		sw_commit(sw);
		/* Of port c alone: the number of b's VLAN comes back as another VLAN. */
		send_one(ports[2], 20 + round, BROADCAST, 3, 0);
		assert_int_equal(reached(), 0);
		sw_domain_leave(sw, &ports[1]->port, (uint16_t)(10 + round));
		enter(1, SW_BRIDGE_DEFAULT, false);
		send_one(ports[0], 30 + round, BROADCAST, 3, 0);
		assert_int_equal(reached(), 1 << 1 | 1 << 3 | 1 << 4);
		enter(2, SW_BRIDGE_DEFAULT, false);
		assert_int_equal(sw->domains->bridge_end, 1);
		for (unsigned i = 1; i <= SW_MAX_DOMAINS; i++)
			assert_null(sw->domains->domain[i].member);
	}
}

static void no_more_bridges_than_there_is_room_for(void **state)
{
	char name[16];

	(void)state;
	for (unsigned i = 1; i < SW_MAX_BRIDGES; i++) {
		snprintf(name, sizeof(name), "b%u", i);
		sw->domains->bridges[i] = calloc(1, sizeof(*sw->domains->bridges[i]));
		strcpy(sw->domains->bridges[i]->name, name);
	}
	sw->domains->bridge_end = SW_MAX_BRIDGES;
	assert_int_equal(sw_bridge_enter(sw, &ports[0]->port, "c", false), -ENOSPC);
	enter(0, "b1023", true);
	send_one(ports[0], UNTAGGED, BROADCAST, 1, 0);
	assert_int_equal(reached(), 0);
	/* Those without ports are gone. */
	assert_int_equal(sw_bridge_find(sw, "b1022"), -ENOENT);
	enter(1, "c", false);
}

static void service_and_customer_vlans_are_different_domains(void **state)
{
	(void)state;
	enter(0, SW_BRIDGE_DEFAULT, true);
	enter(1, SW_BRIDGE_DEFAULT, true);
	/* a and b have service tags; c, d and e take them for payload. */
	send_one(ports[0], SERVICE | 10, BROADCAST, 1, 1);
	expect(ports[1], SERVICE | 10, BROADCAST, 1, 1);
	assert_int_equal(reached(), 0);
	send_one(ports[2], 10, BROADCAST, 1, 2);
	expect(ports[3], 10, BROADCAST, 1, 2);
	expect(ports[4], 10, BROADCAST, 1, 2);
	assert_int_equal(reached(), 0);
	/* Host 1 is two hosts. */
	send_one(ports[1], SERVICE | 10, 1, 2, 3);
	expect(ports[0], SERVICE | 10, 1, 2, 3);
	send_one(ports[4], 10, 1, 2, 4);
	expect(ports[2], 10, 1, 2, 4);
	assert_int_equal(reached(), 0);
	/* Without a tag all meet. */
	send_one(ports[0], UNTAGGED, BROADCAST, 3, 5);
	for (unsigned i = 1; i < NPORTS; i++)
		expect(ports[i], UNTAGGED, BROADCAST, 3, 5);
	send_one(ports[4], UNTAGGED, 3, 4, 6);
	expect(ports[0], UNTAGGED, 3, 4, 6);
	assert_int_equal(ports[0]->rxq.counters->drops[PORT_DROP_VLAN_ID], 0);
	send_one(ports[0], SERVICE | 4095, BROADCAST, 1, 7);
	assert_int_equal(reached(), 0);
	assert_int_equal(ports[0]->rxq.counters->drops[PORT_DROP_VLAN_ID], 1);
}

static void one_address_in_two_service_vlans_is_two_hosts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		enter(i, SW_BRIDGE_DEFAULT, true);
	send_one(ports[0], SERVICE | 10, BROADCAST, 1, 0);
	send_one(ports[1], SERVICE | 20, BROADCAST, 1, 0);
	reached();
	send_one(ports[2], SERVICE | 10, 1, 2, 0);
	assert_int_equal(reached(), 1 << 0);
	send_one(ports[2], SERVICE | 20, 1, 2, 0);
	assert_int_equal(reached(), 1 << 1);
}

static void a_service_tag_goes_on_and_off_and_keeps_its_priority(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		enter(i, SW_BRIDGE_DEFAULT, true);
	members_join();
	/* What a customer sends with a tag of its own is carried. */
	send_one(ports[1], 33, BROADCAST, 1, 1);
	ports[0]->ngot = ports[2]->ngot = 0;
	put(ports[2], SERVICE | CARRIES | 0xb00a, BROADCAST, 2, 2);
	sw_round(sw, 0);
	expect(ports[0], SERVICE | CARRIES | 0xb00a, BROADCAST, 2, 2);
	assert_int_equal(ports[1]->ngot, 1);
	assert_int_equal(ports[1]->got_len[0], LEN + 4);
	assert_memory_equal(ports[1]->got[0] + 12, "\x81\0\xe0\x21\x88\xb5", 6);
	ports[1]->ngot = 0;
	assert_int_equal(reached(), 0);
	/* A priority tag of the port's kind gets its VLAN; one of the other kind is carried. */
	send_one(ports[1], SERVICE | 0xf000, BROADCAST, 1, 3);
	expect(ports[2], SERVICE | 0xf00a, BROADCAST, 1, 3);
	ports[0]->ngot = 0;
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 4);
	expect(ports[2], SERVICE | 10, BROADCAST, 1, 4);
	ports[0]->ngot = 0;
	send_one(ports[2], SERVICE | 0x500a, 1, 2, 5);
	expect(ports[1], UNTAGGED, 1, 2, 5);
	assert_int_equal(reached(), 0);
	/* Tagged by another kind than the port's, it has no tag: a trunk without a native VLAN. */
	send_one(ports[2], 10, BROADCAST, 2, 6);
	assert_int_equal(reached(), 0);
	assert_int_equal(ports[2]->rxq.counters->drops[PORT_DROP_VLAN], 1);
}

static void payload_does_not_become_a_tag_at_a_port_of_the_other_kind(void **state)
{
	const struct port_counters *drops = NULL;

	(void)state;
	enter(0, SW_BRIDGE_DEFAULT, true);
	drops = ports[0]->port.unqueued;
	send_one(ports[0], UNTAGGED, BROADCAST, 1, 0);
	reached();
	/* b's payload would be a frame of service VLAN 10 to a. */
	send_one(ports[1], SERVICE | 10, BROADCAST, 2, 1);
	assert_int_equal(reached(), 0x1c);
	assert_int_equal(drops[0].drops[PORT_DROP_VLAN], 1);
	send_one(ports[1], SERVICE | 10, 1, 2, 1);
	assert_int_equal(reached(), 0);
	assert_int_equal(drops[0].drops[PORT_DROP_VLAN], 2);
	send_one(ports[1], UNTAGGED, 1, 2, 1);
	assert_int_equal(reached(), 1);
}

/* ---- memory ---- */

static size_t heap_used(void)
{
	const struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

#define ALL_VLANS (SW_VLANS - 1) /* but VLAN 0 */

static struct port more[SW_MAX_PORTS - NPORTS];

static void more_begin(void)
{
	char name[8];

	for (unsigned i = 0; i < RW_ARRAY_SIZE(more); i++) {
		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(port_init(&more[i], name, 1), 0);
		assert_int_equal(sw_port_add(sw, &more[i]), 0);
	}
}

/* With one commit. */
static void more_end(void)
{
	uint32_t serial = sw->serial;

	for (unsigned i = 0; i < RW_ARRAY_SIZE(more); i++)
		sw_port_leave(sw, &more[i]);
	sw_commit(sw);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(more); i++) {
		sw_port_del(sw, &more[i]);
		port_fini(&more[i]);
	}
	assert_int_equal(sw->serial, serial + 1);
}

/* What the tables of `n` bridges take, with all VLANs of each and the ports dealt out to them. */
static size_t tables_of(unsigned n, size_t before)
{
	char name[8];

	for (uint16_t id = 0; id < SW_MAX_PORTS; id++) {
		snprintf(name, sizeof(name), "br%u", id % n);
		assert_int_equal(sw_bridge_enter(sw, sw_port(sw, id), name, false), 0);
	}
	sw_commit(sw);
	for (uint16_t vlan = 1; vlan <= ALL_VLANS; vlan++) {
		for (uint16_t id = 0; id < SW_MAX_PORTS; id++)
			assert_int_equal(
				sw_domain_join(sw, sw_port(sw, id), vlan, SW_FORM_TAGGED), 0);
	}
	sw_commit(sw);
	sw->changed = true;
	sw_commit(sw);
	return heap_used() - before;
}

/* The tables of all VLANs and 1,024 ports; so many bridges that numbers of domains just suffice. */
static void tables_are_small(unsigned nbridges)
{
	size_t before, used;

	more_begin();
	before = heap_used();
	used = tables_of(nbridges, before);
	/* What was allocated before: the numbers of domains, and what both plans have of them. */
	used += sizeof(struct sw_domains) + 2 * sizeof(sw->plan->members);
	print_message("tables of %d VLANs on %u bridges, %d ports: %zu KiB\n", ALL_VLANS, nbridges,
		SW_MAX_PORTS, used / 1024);
	assert_true(used <= (size_t)64 << 20);
	send_one(ports[0], ALL_VLANS, BROADCAST, 1, 0);
	assert_int_equal(reached(), nbridges == 1 ? 0x1e : 0);
	for (uint16_t id = 0; id < NPORTS; id++) {
		sw_domains_forget_port(sw, id);
		assert_int_equal(sw_bridge_enter(sw, sw_port(sw, id), SW_BRIDGE_DEFAULT, false), 0);
	}
	more_end();
	/* Nothing stays of bridges that are gone. */
	assert_int_equal(sw->domains->bridge_end, 1);
	for (unsigned i = 1; i <= SW_MAX_DOMAINS; i++)
		assert_null(sw->domains->domain[i].member);
}

static void the_tables_of_all_vlans_and_ports_fit_into_64_mib(void **state)
{
	(void)state;
	tables_are_small(1);
}

static void the_tables_of_sixteen_bridges_fit_into_64_mib(void **state)
{
	(void)state;
	tables_are_small(16);
}

/* A bridge goes when workers do not know it any more, not when its last port is told to leave. */
static void a_bridge_stays_until_the_commit(void **state)
{
	uint32_t serial;

	(void)state;
	enter(1, "blue", false);
	enter(2, "blue", false);
	serial = sw->serial;
	sw_hold(sw);
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(sw_bridge_enter(sw, &ports[i]->port, SW_BRIDGE_DEFAULT, false), 0);
		sw_commit_soon(sw);
	}
	send_one(ports[1], 10, BROADCAST, 1, 0);
	assert_int_equal(reached(), 1 << 2);
	assert_int_equal(sw_bridge_find(sw, "blue"), 1);
	sw_release(sw);
	assert_int_equal(sw->serial, serial + 1);
	assert_int_equal(sw_bridge_find(sw, "blue"), -ENOENT);
	send_one(ports[1], 10, BROADCAST, 1, 0);
	assert_int_equal(reached(), 0x1d);
}

/* A port that went and came back before the commit has not moved. */
static void addresses_stay_behind_a_port_that_comes_back(void **state)
{
	(void)state;
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 0);
	reached();
	assert_int_equal(sw_bridge_enter(sw, &ports[1]->port, "blue", false), 0);
	assert_int_equal(sw_bridge_enter(sw, &ports[1]->port, SW_BRIDGE_DEFAULT, false), 0);
	sw_commit(sw);
	send_one(ports[0], UNTAGGED, 1, 2, 0);
	assert_int_equal(reached(), 1 << 1);
}

#define DOMAIN_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		DOMAIN_TEST(nothing_goes_from_one_bridge_to_another),
		DOMAIN_TEST(members_of_a_vlan_are_those_of_its_bridge),
		DOMAIN_TEST(a_port_that_changes_its_bridge_is_forgotten_in_the_old_one),
		DOMAIN_TEST(a_bridge_that_ends_leaves_nothing_to_the_next_one),
		DOMAIN_TEST(no_more_bridges_than_there_is_room_for),
		DOMAIN_TEST(service_and_customer_vlans_are_different_domains),
		DOMAIN_TEST(one_address_in_two_service_vlans_is_two_hosts),
		DOMAIN_TEST(a_service_tag_goes_on_and_off_and_keeps_its_priority),
		DOMAIN_TEST(payload_does_not_become_a_tag_at_a_port_of_the_other_kind),
		DOMAIN_TEST(a_bridge_stays_until_the_commit),
		DOMAIN_TEST(addresses_stay_behind_a_port_that_comes_back),
		DOMAIN_TEST(the_tables_of_all_vlans_and_ports_fit_into_64_mib),
		DOMAIN_TEST(the_tables_of_sixteen_bridges_fit_into_64_mib),
	};

	(void)argc;
	return run(argv[0], tests, RW_ARRAY_SIZE(tests), "switch_bridge");
}
