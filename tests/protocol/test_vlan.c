/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which bridge and which VLANs a port is in, set while guests talk, and what a frame looks like
 * where it arrives.
 */
#include "harness.h"
#include "hosts.h"

#include <string.h>

#define LEN      60 /* of a frame without a tag */
#define UNTAGGED (-1)
#define PRIORITY 0xa000  /* of a tag: priority 5, no drop eligibility */
#define SERVICE  0x10000 /* of a tag: that of a service VLAN */

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	if (rig_start(&rig, "abcd", NULL))
		return -1;
	json_decref(rig_call(&rig, "bridge.add", json_pack("{s:s}", "name", "blue")));
	return 0;
}

/* Ports are transparent again, guests are disconnected. */
static int clean(void **state)
{
	for (const char *c = "abcd"; *c; c++) {
		const char name[2] = {*c, 0};

		rig_port_set(*state, name,
			"{\"vlan\":\"none\",\"native\":\"none\",\"trunk\":\"none\","
			"\"bridge\":\"default\",\"tpid\":\"8021q\"}");
	}
	return rig_clean(state);
}

/* Make a frame with the TCI `tag`, or without a tag. Its length. */
static uint32_t make(uint8_t *data, const uint8_t *dst, const uint8_t *src, int tag)
{
	frame_make(data, LEN, dst, src, 7);
	if (tag == UNTAGGED)
		return LEN;
	memmove(data + 16, data + 12, LEN - 12);
	memcpy(data + 12, (uint8_t[]){0x81, 0, (uint8_t)(tag >> 8), (uint8_t)tag}, 4);
	if (tag & SERVICE)
		memcpy(data + 12, (uint8_t[]){0x88, 0xa8}, 2);
	return LEN + 4;
}

static void send(struct rig *r, struct peer *from, const uint8_t *dst, int tag)
{
	uint8_t data[LEN + 4];
	const struct fe_frame f = {.data = data, .len = make(data, dst, from->mac, tag)};

	peer_send(r, from, 0, &f);
}

/* The very next frame that reaches `to` comes from `from`, with this tag. */
static void next_is(
	struct rig *r, struct peer *to, const uint8_t *dst, const struct peer *from, int tag)
{
	static uint8_t got[FRAME_MAX];
	uint8_t want[LEN + 4];
	uint32_t len = make(want, dst, from->mac, tag);
	struct fe_received in;

	peer_recv(r, to, 0, got, &in);
	if (in.len != len || memcmp(got, want, len))
		fail_msg("port %s: %u bytes, %02x%02x %02x%02x behind the addresses, not %u bytes",
			to->port, in.len, got[12], got[13], got[14], got[15], len);
}

static uint64_t drops(struct rig *r, const char *port, const char *why)
{
	char name[48];

	snprintf(name, sizeof(name), "drops.%s", why);
	return rig_counter(r, port, "rx", name);
}

struct four {
	struct peer *a, *b, *c, *d;
};

static struct four four_up(struct rig *r)
{
	return (struct four){peer_up(r, "a", NULL), peer_up(r, "b", NULL), peer_up(r, "c", NULL),
		peer_up(r, "d", NULL)};
}

static void access_ports_of_one_vlan_talk_without_tags_and_others_hear_nothing(void **state)
{
	const struct four p = four_up(*state);

	rig_port_set(*state, "a", "{\"vlan\":\"10\"}");
	rig_port_set(*state, "b", "{\"vlan\":\"10\"}");
	rig_port_set(*state, "c", "{\"vlan\":\"20\"}");
	rig_port_set(*state, "d", "{\"vlan\":\"20\"}");
	send(*state, p.a, mac_broadcast, UNTAGGED);
	next_is(*state, p.b, mac_broadcast, p.a, UNTAGGED);
	send(*state, p.b, p.a->mac, UNTAGGED);
	next_is(*state, p.a, p.a->mac, p.b, UNTAGGED);
	assert_int_equal(host_port(*state, p.a->mac, 10), 'a');
	assert_int_equal(host_port(*state, p.b->mac, 10), 'b');
	/* What d hears next is c's: none of the above. */
	send(*state, p.c, mac_broadcast, UNTAGGED);
	next_is(*state, p.d, mac_broadcast, p.c, UNTAGGED);
	send(*state, p.d, p.a->mac, UNTAGGED);
	next_is(*state, p.c, p.a->mac, p.d, UNTAGGED);
}

static void a_trunk_carries_its_vlans_tagged_and_no_other(void **state)
{
	const struct four p = four_up(*state);
	uint64_t before = drops(*state, "d", "vlan_not_member");

	rig_port_set(*state, "a", "{\"vlan\":\"10\"}");
	rig_port_set(*state, "b", "{\"vlan\":\"20\"}");
	rig_port_set(*state, "c", "{\"vlan\":\"30\"}");
	rig_port_set(*state, "d", "{\"trunk\":\"10+15-20\"}");
	send(*state, p.c, mac_broadcast, UNTAGGED);
	send(*state, p.a, mac_broadcast, UNTAGGED);
	next_is(*state, p.d, mac_broadcast, p.a, 10);
	send(*state, p.b, mac_broadcast, UNTAGGED);
	next_is(*state, p.d, mac_broadcast, p.b, 20);
	/* Not allowed, and without a tag: a trunk without a native VLAN takes neither. */
	send(*state, p.d, p.a->mac, 30);
	send(*state, p.d, p.a->mac, UNTAGGED);
	send(*state, p.d, p.a->mac, 10);
	send(*state, p.d, p.b->mac, 20);
	next_is(*state, p.a, p.a->mac, p.d, UNTAGGED);
	next_is(*state, p.b, p.b->mac, p.d, UNTAGGED);
	assert_int_equal(drops(*state, "d", "vlan_not_member"), before + 2);
}

static void the_native_vlan_of_a_trunk_has_no_tag(void **state)
{
	const struct four p = four_up(*state);

	rig_port_set(*state, "a", "{\"vlan\":\"10\"}");
	rig_port_set(*state, "b", "{\"vlan\":\"20\"}");
	rig_port_set(*state, "d", "{\"trunk\":\"all\",\"native\":\"10\"}");
	send(*state, p.d, mac_broadcast, UNTAGGED);
	next_is(*state, p.a, mac_broadcast, p.d, UNTAGGED);
	send(*state, p.d, mac_broadcast, 20);
	next_is(*state, p.b, mac_broadcast, p.d, UNTAGGED);
	send(*state, p.a, p.d->mac, UNTAGGED);
	next_is(*state, p.d, p.d->mac, p.a, UNTAGGED);
	send(*state, p.b, p.d->mac, UNTAGGED);
	next_is(*state, p.d, p.d->mac, p.b, 20);
}

static void the_priority_of_a_tag_goes_with_the_frame(void **state)
{
	const struct four p = four_up(*state);

	rig_port_set(*state, "a", "{\"trunk\":\"10\"}");
	rig_port_set(*state, "b", "{\"vlan\":\"10\"}");
	rig_port_set(*state, "c", "{\"trunk\":\"10\"}");
	send(*state, p.a, mac_broadcast, PRIORITY | 10);
	next_is(*state, p.c, mac_broadcast, p.a, PRIORITY | 10);
	next_is(*state, p.b, mac_broadcast, p.a, UNTAGGED);
	/* A priority tag, of VLAN 0, on an access port. */
	send(*state, p.b, mac_broadcast, PRIORITY);
	next_is(*state, p.a, mac_broadcast, p.b, PRIORITY | 10);
	next_is(*state, p.c, mac_broadcast, p.b, PRIORITY | 10);
}

static void a_transparent_port_meets_an_access_port_by_the_tag(void **state)
{
	const struct four p = four_up(*state);

	rig_port_set(*state, "a", "{\"vlan\":\"10\"}");
	send(*state, p.a, mac_broadcast, UNTAGGED);
	next_is(*state, p.b, mac_broadcast, p.a, 10);
	next_is(*state, p.c, mac_broadcast, p.a, 10);
	send(*state, p.b, p.a->mac, UNTAGGED);
	next_is(*state, p.c, p.a->mac, p.b, UNTAGGED);
	send(*state, p.b, p.a->mac, 10);
	next_is(*state, p.a, p.a->mac, p.b, UNTAGGED);
}

static void a_port_that_changes_its_vlan_leaves_the_old_one_at_once(void **state)
{
	const struct four p = four_up(*state);

	rig_port_set(*state, "a", "{\"vlan\":\"10\"}");
	rig_port_set(*state, "b", "{\"vlan\":\"10\"}");
	rig_port_set(*state, "c", "{\"vlan\":\"20\"}");
	peers_meet(*state, p.a, p.b);
	rig_port_set(*state, "b", "{\"vlan\":\"20\"}");
	/* b's address is still known in VLAN 10: the frame does not reach it all the same. */
	send(*state, p.a, p.b->mac, UNTAGGED);
	send(*state, p.c, mac_broadcast, UNTAGGED);
	next_is(*state, p.b, mac_broadcast, p.c, UNTAGGED);
	rig_port_set(*state, "b", "{\"vlan\":\"10\"}");
	send(*state, p.a, p.b->mac, UNTAGGED);
	next_is(*state, p.b, p.b->mac, p.a, UNTAGGED);
}

static void ports_that_are_left_alone_lose_nothing_while_others_change(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	const struct stream s = {.n = 200, .len = 100};

	peers_meet(*state, a, b);
	for (int round = 0; round < 10; round++) {
		rig_port_set(*state, "c", round % 2 ? "{\"vlan\":\"10\"}" : "{\"vlan\":\"20\"}");
		rig_port_set(*state, "d",
			round % 2 ? "{\"trunk\":\"all\",\"native\":\"20\"}"
				  : "{\"trunk\":\"none\",\"native\":\"none\"}");
		stream_check(*state, a, b, &s);
	}
}

static void a_frame_of_the_reserved_vlan_is_dropped_on_every_port(void **state)
{
	const struct four p = four_up(*state);

	rig_port_set(*state, "a", "{\"trunk\":\"all\"}");
	for (const char *c = "ab"; *c; c++) {
		const char name[2] = {*c, 0};
		struct peer *from = *c == 'a' ? p.a : p.b;
		uint64_t before = drops(*state, name, "vlan_id");

		send(*state, from, mac_broadcast, 4095);
		send(*state, from, mac_broadcast, 7);
		next_is(*state, p.c, mac_broadcast, from, 7);
		assert_int_equal(drops(*state, name, "vlan_id"), before + 1);
		assert_int_equal(host_port(*state, from->mac, 4095), 0);
	}
}

static void a_bridge_is_a_switch_of_its_own(void **state)
{
	const struct four p = four_up(*state);

	rig_port_set(*state, "c", "{\"bridge\":\"blue\"}");
	rig_port_set(*state, "d", "{\"bridge\":\"blue\"}");
	for (int tag = UNTAGGED; tag <= 10; tag += 11) {
		send(*state, p.a, mac_broadcast, tag);
		next_is(*state, p.b, mac_broadcast, p.a, tag);
		send(*state, p.c, mac_broadcast, tag);
		next_is(*state, p.d, mac_broadcast, p.c, tag);
		/* c is unknown in a's bridge: d and c hear nothing of it. */
		send(*state, p.a, p.c->mac, tag);
		next_is(*state, p.b, p.c->mac, p.a, tag);
		send(*state, p.d, p.a->mac, tag);
		next_is(*state, p.c, p.a->mac, p.d, tag);
	}
	/* The same VLAN of two bridges. */
	rig_port_set(*state, "a", "{\"vlan\":\"10\"}");
	rig_port_set(*state, "b", "{\"trunk\":\"10\"}");
	rig_port_set(*state, "c", "{\"trunk\":\"10\"}");
	rig_port_set(*state, "d", "{\"vlan\":\"10\"}");
	send(*state, p.a, mac_broadcast, UNTAGGED);
	next_is(*state, p.b, mac_broadcast, p.a, 10);
	send(*state, p.d, mac_broadcast, UNTAGGED);
	next_is(*state, p.c, mac_broadcast, p.d, 10);
}

static void a_port_that_changes_its_bridge_takes_its_addresses_along(void **state)
{
	const struct four p = four_up(*state);
	const struct stream s = {.n = 200, .len = 100};

	peers_meet(*state, p.a, p.b);
	peer_expect(*state, p.c, p.b->mac, p.a->mac, 60, 0); /* b was unknown */
	peer_expect(*state, p.d, p.b->mac, p.a->mac, 60, 0);
	send(*state, p.c, mac_broadcast, UNTAGGED);
	next_is(*state, p.a, mac_broadcast, p.c, UNTAGGED);
	next_is(*state, p.b, mac_broadcast, p.c, UNTAGGED);
	next_is(*state, p.d, mac_broadcast, p.c, UNTAGGED);
	for (int round = 0; round < 6; round++) {
		rig_port_set(*state, "c",
			round % 2 ? "{\"bridge\":\"default\"}" : "{\"bridge\":\"blue\"}");
		rig_port_set(*state, "d",
			round % 2 ? "{\"bridge\":\"default\",\"vlan\":\"none\"}"
				  : "{\"bridge\":\"blue\",\"vlan\":\"7\"}");
		assert_int_equal(host_port(*state, p.c->mac, 0), 0);
		/* Others lose nothing. */
		stream_check(*state, p.a, p.b, &s);
	}
	/* As a member of VLANs, too: they come along into the other bridge. */
	rig_port_set(*state, "a", "{\"vlan\":\"5\"}");
	rig_port_set(*state, "b", "{\"bridge\":\"blue\",\"vlan\":\"5\"}");
	rig_port_set(*state, "c", "{\"bridge\":\"blue\"}");
	rig_port_set(*state, "a", "{\"bridge\":\"blue\"}");
	send(*state, p.a, mac_broadcast, UNTAGGED);
	next_is(*state, p.b, mac_broadcast, p.a, UNTAGGED);
	next_is(*state, p.c, mac_broadcast, p.a, 5);
}

static void service_vlans_are_others_than_customer_vlans(void **state)
{
	const struct four p = four_up(*state);
	static uint8_t got[FRAME_MAX];
	struct fe_received in;
	uint64_t before = drops(*state, "a", "vlan_id"),
		 foreign = drops(*state, "d", "vlan_not_member");

	rig_port_set(*state, "a", "{\"tpid\":\"8021ad\"}");
	rig_port_set(*state, "b", "{\"tpid\":\"8021ad\",\"vlan\":\"10\"}");
	rig_port_set(*state, "c", "{\"vlan\":\"10\"}");
	rig_port_set(*state, "d", "{\"tpid\":\"8021ad\",\"trunk\":\"10\"}");
	send(*state, p.a, mac_broadcast, SERVICE | PRIORITY | 10);
	next_is(*state, p.b, mac_broadcast, p.a, UNTAGGED);
	next_is(*state, p.d, mac_broadcast, p.a, SERVICE | PRIORITY | 10);
	/* A customer's tag is payload: it arrives behind the service tag, and comes out again. */
	send(*state, p.b, p.d->mac, 20);
	send(*state, p.b, mac_broadcast, UNTAGGED);
	peer_recv(*state, p.d, 0, got, &in);
	assert_int_equal(in.len, LEN + 8);
	assert_memory_equal(got + 12, "\x88\xa8\0\x0a\x81\0\0\x14", 8);
	next_is(*state, p.d, mac_broadcast, p.b, SERVICE | 10);
	/* On a trunk without a native VLAN, a frame with the other kind of tag has none. */
	send(*state, p.d, mac_broadcast, 10);
	send(*state, p.a, mac_broadcast, SERVICE | 4095);
	send(*state, p.d, p.b->mac, SERVICE | PRIORITY | 10);
	next_is(*state, p.b, p.b->mac, p.d, UNTAGGED);
	assert_int_equal(drops(*state, "d", "vlan_not_member"), foreign + 1);
	assert_int_equal(drops(*state, "a", "vlan_id"), before + 1);
	/* c, of customer VLAN 10, has heard nothing of it all. */
	rig_port_set(*state, "a", "{\"tpid\":\"8021q\"}");
	send(*state, p.a, mac_broadcast, 10);
	next_is(*state, p.c, mac_broadcast, p.a, UNTAGGED);
}

#define vlan_test(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		vlan_test(access_ports_of_one_vlan_talk_without_tags_and_others_hear_nothing),
		vlan_test(a_trunk_carries_its_vlans_tagged_and_no_other),
		vlan_test(the_native_vlan_of_a_trunk_has_no_tag),
		vlan_test(the_priority_of_a_tag_goes_with_the_frame),
		vlan_test(a_transparent_port_meets_an_access_port_by_the_tag),
		vlan_test(a_port_that_changes_its_vlan_leaves_the_old_one_at_once),
		vlan_test(ports_that_are_left_alone_lose_nothing_while_others_change),
		vlan_test(a_bridge_is_a_switch_of_its_own),
		vlan_test(a_port_that_changes_its_bridge_takes_its_addresses_along),
		vlan_test(service_vlans_are_others_than_customer_vlans),
		vlan_test(a_frame_of_the_reserved_vlan_is_dropped_on_every_port),
	};

	return cmocka_run_group_tests_name("vlan", tests, start, rig_stop);
}
