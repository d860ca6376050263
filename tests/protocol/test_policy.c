/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policies of a port, set while guests talk: the frame that is allowed passes, the one that is not
 * is dropped under its reason, and others lose nothing.
 */
#include "harness.h"
#include "hosts.h"

#include <stdio.h>
#include <string.h>

#define LEN 60

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abcd", NULL);
}

/* Ports are without policies again, guests are disconnected. */
static int clean(void **state)
{
	for (const char *c = "abcd"; *c; c++) {
		const char name[2] = {*c, 0};

		rig_port_set(*state, name,
			"{\"admin\":\"up\",\"isolated\":\"off\",\"promiscuous\":\"off\"}");
	}
	return rig_clean(state);
}

static uint64_t drops(struct rig *r, const char *port, const char *direction, const char *why)
{
	char name[48];

	snprintf(name, sizeof(name), "drops.%s", why);
	return rig_counter(r, port, direction, name);
}

/* ---- admin= ---- */

static void a_port_that_is_down_neither_sends_nor_receives(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint64_t from = drops(*state, "a", "rx", "admin_down");
	uint64_t frames = rig_counter(*state, "a", "rx", "frames");

	peers_meet(*state, a, b);
	assert_int_equal(hosts_behind(*state, "a"), 1);
	assert_int_equal(rig_port_info(*state, "a", "link"), 1);
	rig_port_set(*state, "a", "{\"admin\":\"down\"}");
	assert_int_equal(rig_port_info(*state, "a", "link"), 0);
	assert_int_equal(hosts_behind(*state, "a"), 0);
	peer_send_to(*state, a, b->mac, LEN, 1);
	peer_send_to(*state, a, mac_broadcast, LEN, 2);
	rig_wait(&rig, drops(*state, "a", "rx", "admin_down") == from + 2);
	assert_int_equal(rig_counter(*state, "a", "rx", "frames"), frames + 3);
	assert_int_equal(hosts_behind(*state, "a"), 0);
	/* Nobody knows a any more: this is for all, and there is nobody. */
	peer_send_to(*state, b, a->mac, LEN, 3);
	rig_wait(&rig, drops(*state, "b", "rx", "no_destination"));
	rig_port_set(*state, "a", "{\"admin\":\"up\"}");
	assert_int_equal(rig_port_info(*state, "a", "link"), 1);
	/* None of the above arrives later. */
	peers_meet(*state, a, b);
}

static void a_static_address_behind_a_port_that_is_down_is_dropped_there(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint64_t before = drops(*state, "a", "tx", "admin_down");
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", a->mac[0], a->mac[1], a->mac[2],
		a->mac[3], a->mac[4], a->mac[5]);
	json_decref(rig_call(*state, "fdb.add", json_pack("{s:s, s:s}", "mac", mac, "port", "a")));
	rig_port_set(*state, "a", "{\"admin\":\"down\"}");
	peer_send_to(*state, b, a->mac, LEN, 1);
	rig_wait(&rig, drops(*state, "a", "tx", "admin_down") == before + 1);
	json_decref(rig_call(*state, "fdb.del", json_pack("{s:s}", "mac", mac)));
}

/* ---- isolated=, promiscuous= ---- */

static const char *const reaches[] = {
	"{\"isolated\":\"off\",\"promiscuous\":\"off\"}",
	"{\"isolated\":\"on\",\"promiscuous\":\"off\"}",
	"{\"isolated\":\"off\",\"promiscuous\":\"on\"}",
};

/* Whether ports of these two kinds reach each other, by their index in `reaches`. */
static bool reach_each_other(unsigned a, unsigned b)
{
	return (a != 1 && b != 1) || a == 2 || b == 2;
}

static void isolated_ports_reach_promiscuous_ones_alone(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);

	rig_port_set(*state, "c", "{\"promiscuous\":\"on\"}");
	for (unsigned i = 0; i < 9; i++) {
		bool reached = reach_each_other(i / 3, i % 3);
		uint64_t before;

		/* While they may, they learn each other's address. */
		rig_port_set(*state, "a", reaches[0]);
		rig_port_set(*state, "b", reaches[0]);
		peers_meet(*state, a, b);
		peer_send_to(*state, c, a->mac, LEN, 0);
		peer_expect(*state, a, a->mac, c->mac, LEN, 0);
		rig_port_set(*state, "a", reaches[i / 3]);
		rig_port_set(*state, "b", reaches[i % 3]);
		before = drops(*state, "a", "rx", "isolated");
		peer_send_to(*state, a, b->mac, LEN, 1);
		peer_send_to(*state, a, mac_broadcast, LEN, 2);
		/* c hears the broadcast, and nothing else. */
		peer_expect(*state, c, mac_broadcast, a->mac, LEN, 2);
		if (reached) {
			peer_expect(*state, b, b->mac, a->mac, LEN, 1);
			peer_expect(*state, b, mac_broadcast, a->mac, LEN, 2);
		}
		assert_int_equal(drops(*state, "a", "rx", "isolated"), before + !reached);
		/* The next that b hears is not one of the above. */
		peer_send_to(*state, c, b->mac, LEN, 3);
		peer_expect(*state, b, b->mac, c->mac, LEN, 3);
		peer_send_to(*state, a, c->mac, LEN, 4);
		peer_expect(*state, c, c->mac, a->mac, LEN, 4);
	}
}

static void isolated_ports_obey_in_their_vlan_and_when_nobody_is_left(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);
	uint64_t before;

	for (const char *p = "ab"; *p; p++) {
		const char name[2] = {*p, 0};

		rig_port_set(*state, name, "{\"vlan\":\"10\",\"isolated\":\"on\"}");
	}
	rig_port_set(*state, "c", "{\"vlan\":\"10\",\"promiscuous\":\"on\"}");
	peer_send_to(*state, a, mac_broadcast, LEN, 1);
	peer_expect(*state, c, mac_broadcast, a->mac, LEN, 1);
	peer_send_to(*state, c, mac_broadcast, LEN, 2);
	peer_expect(*state, b, mac_broadcast, c->mac, LEN, 2);
	peer_expect(*state, a, mac_broadcast, c->mac, LEN, 2);
	before = drops(*state, "a", "rx", "isolated");
	rig_port_set(*state, "c", "{\"vlan\":\"20\"}");
	peer_send_to(*state, a, mac_broadcast, LEN, 3);
	rig_wait(&rig, drops(*state, "a", "rx", "isolated") == before + 1);
	for (const char *p = "abc"; *p; p++) {
		const char name[2] = {*p, 0};

		rig_port_set(*state, name, "{\"vlan\":\"none\"}");
	}
	/* Without VLANs. */
	rig_port_set(*state, "c", "{\"promiscuous\":\"off\"}");
	peer_send_to(*state, a, mac_broadcast, LEN, 4);
	rig_wait(&rig, drops(*state, "a", "rx", "isolated") == before + 2);
	rig_port_set(*state, "b", "{\"isolated\":\"off\",\"promiscuous\":\"on\"}");
	peer_send_to(*state, a, mac_broadcast, LEN, 5);
	peer_expect(*state, b, mac_broadcast, a->mac, LEN, 5);
}

/* ---- all ---- */

static void ports_that_are_left_alone_lose_nothing_while_others_change(void **state)
{
	static const char *const settings[] = {"{\"admin\":\"down\"}", "{\"admin\":\"up\"}",
		"{\"isolated\":\"on\"}", "{\"isolated\":\"off\",\"promiscuous\":\"on\"}",
		"{\"promiscuous\":\"off\"}"};
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	const struct stream s = {.n = 200, .len = 100};

	peer_up(*state, "c", NULL);
	peers_meet(*state, a, b);
	for (unsigned round = 0; round < 2 * RW_ARRAY_SIZE(settings); round++) {
		rig_port_set(*state, "c", settings[round % RW_ARRAY_SIZE(settings)]);
		stream_check(*state, a, b, &s);
	}
}

#define policy_test(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		policy_test(a_port_that_is_down_neither_sends_nor_receives),
		policy_test(a_static_address_behind_a_port_that_is_down_is_dropped_there),
		policy_test(isolated_ports_reach_promiscuous_ones_alone),
		policy_test(isolated_ports_obey_in_their_vlan_and_when_nobody_is_left),
		policy_test(ports_that_are_left_alone_lose_nothing_while_others_change),
	};

	return cmocka_run_group_tests_name("policy", tests, start, rig_stop);
}
