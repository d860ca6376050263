/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hosts behind a guest travel with it (DEVICE_STATE): saved at one port, loaded at another
 * or in another switch, and announced there when the guest's rings start.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	if (rig_start(&rig, "abcd", NULL))
		return -1;
	rig_allow(&rig, "device-state");
	return 0;
}

static const struct {
	uint32_t host;
	int vlan; /* -1: untagged */
} learned[] = {{1, -1}, {2, 1}, {3, 100}, {3, 101}, {3, -1}, {4, 4094}};

/* The hosts behind `p` speak; `witness` hears them. */
static void hosts_speak(struct rig *r, struct peer *p, struct peer *witness)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;
	uint8_t mac[6];
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(learned); i++) {
		host_make(mac, learned[i].host);
		host_speaks(r, p, mac, learned[i].vlan);
		peer_recv(r, witness, 0, got, &in);
		assert_memory_equal(got + 6, mac, 6);
	}
}

/* They are announced, in any order, and the table has them at `port`. */
static void hosts_have_moved(struct rig *r, struct peer *witness, char port)
{
	const size_t n = RW_ARRAY_SIZE(learned);
	static uint8_t got[FRAME_MAX];
	bool seen[RW_ARRAY_SIZE(learned)] = {0};
	uint8_t want[RARP_MAX], mac[6];
	struct fe_received in;
	size_t i, k;

	for (k = 0; k < n; k++) {
		peer_recv(r, witness, 0, got, &in);
		for (i = 0; i < n; i++) {
			uint16_t vlan = (uint16_t)(learned[i].vlan < 0 ? 0 : learned[i].vlan);

			host_make(mac, learned[i].host);
			if (rarp_frame(want, mac, vlan) != in.len || memcmp(got, want, in.len))
				continue;
			assert_false(seen[i]);
			seen[i] = true;
			assert_int_equal(host_found(r, mac, vlan, "migration"), port);
		}
	}
	for (i = 0; i < n; i++)
		assert_true(seen[i]);
}

static void hosts_move_with_their_guest_to_another_port(void **state)
{
	struct peer *a = state_guest_up(*state, "a"), *c = state_guest_up(*state, "c"), *b;
	uint8_t data[1024];
	uint32_t len;

	hosts_speak(*state, a, c);
	state_guest_stop(a);
	len = state_save(*state, a, data, sizeof(data));
	assert_int_equal(len, STATE_HEADER + RW_ARRAY_SIZE(learned) * STATE_HOST);
	b = state_guest_incoming(*state, "b");
	assert_int_equal(state_load(b, data, len), 0);
	/* Until its rings start the guest is where it was. */
	assert_int_equal(hosts_behind(*state, "b"), 0);
	state_guest_go(b);
	hosts_have_moved(*state, c, 'b');
	/* That was all: the next frame is the guest's own, and a restart of a ring says nothing. */
	assert_int_equal(fe_guest_stop_ring(b->g, 0, NULL), 0);
	assert_int_equal(fe_guest_start_ring(b->g, 0), 0);
	peer_send_to(*state, b, c->mac, 100, 1);
	peer_expect(*state, c, c->mac, b->mac, 100, 1);
}

static void hosts_move_with_their_guest_to_another_switch(void **state)
{
	struct peer *a = state_guest_up(*state, "a"), *c = state_guest_up(*state, "c");
	struct rig *other = calloc(1, sizeof(*other));
	struct peer *x, *y;
	uint8_t data[1024];
	uint32_t len;

	assert_non_null(other);
	assert_int_equal(rig_start(other, "xy", NULL), 0);
	rig_allow(other, "device-state");
	hosts_speak(*state, a, c);
	state_guest_stop(a);
	len = state_save(*state, a, data, sizeof(data));
	y = state_guest_up(other, "y");
	x = state_guest_incoming(other, "x");
	assert_int_equal(state_load(x, data, len), 0);
	state_guest_go(x);
	hosts_have_moved(other, y, 'x');
	duplex_check(other, x, y);
	assert_int_equal(rig_clean((void **)&other), 0);
	assert_int_equal(rig_stop((void **)&other), 0);
	free(other);
}

static void a_guest_may_move_on_before_it_ran(void **state)
{
	static uint8_t first[STATE_BYTES], second[STATE_BYTES];
	struct peer *b = state_guest_incoming(*state, "b");
	uint32_t len = state_make(first, 50, 10);

	assert_int_equal(state_load(b, first, len), 0);
	assert_int_equal(state_save(*state, b, second, sizeof(second)), len);
	assert_memory_equal(first, second, len);
}

static void what_no_switch_may_announce_stays_behind(void **state)
{
	struct peer *a = state_guest_up(*state, "a"), *c = state_guest_up(*state, "c"), *b;
	static uint8_t got[FRAME_MAX];
	struct fe_received in;
	uint8_t data[1024], mac[6];
	uint32_t len;

	/* A reserved VLAN, of which nothing is learned, and a static address. */
	host_make(mac, 20);
	host_speaks(*state, a, mac, 4095);
	host_make(mac, 21);
	host_speaks(*state, a, mac, 5);
	peer_recv(*state, c, 0, got, &in);
	json_decref(rig_call(*state, "fdb.add",
		json_pack("{s:s, s:s}", "mac", "0a:5c:00:00:00:16", "port", "a")));
	state_guest_stop(a);
	len = state_save(*state, a, data, sizeof(data));
	assert_int_equal(len, STATE_HEADER + STATE_HOST);
	b = state_guest_incoming(*state, "b");
	assert_int_equal(state_load(b, data, len), 0);
	state_guest_go(b);
	peer_expect_rarp(*state, c, mac, 5);
	json_decref(rig_call(*state, "fdb.del", json_pack("{s:s}", "mac", "0a:5c:00:00:00:16")));
}

static void port_vlan_set(struct rig *r, const char *port, const char *vlan)
{
	json_decref(rig_call(r, "port.set", json_pack("{s:s, s:s}", "name", port, "vlan", vlan)));
}

static void a_host_of_an_access_port_is_announced_as_its_guest_would(void **state)
{
	struct peer *a = state_guest_up(*state, "a"), *c = state_guest_up(*state, "c"), *b;
	static uint8_t got[FRAME_MAX];
	struct fe_received in;
	uint8_t data[1024], mac[6];
	uint32_t len;

	for (const char *p = "abc"; *p; p++)
		port_vlan_set(*state, (const char[]){*p, 0}, "30");
	host_make(mac, 30);
	host_speaks(*state, a, mac, -1);
	peer_recv(*state, c, 0, got, &in);
	state_guest_stop(a);
	len = state_save(*state, a, data, sizeof(data));
	assert_int_equal(len, STATE_HEADER + STATE_HOST);
	b = state_guest_incoming(*state, "b");
	assert_int_equal(state_load(b, data, len), 0);
	state_guest_go(b);
	peer_expect_rarp(*state, c, mac, 0);
	assert_int_equal(host_port(*state, mac, 30), 'b');
	for (const char *p = "abc"; *p; p++)
		port_vlan_set(*state, (const char[]){*p, 0}, "none");
}

static void four_thousand_hosts_move(void **state)
{
	static uint8_t data[STATE_BYTES + 1], got[FRAME_MAX];
	struct fe_guest_config large = guest_usual();
	struct peer *a = state_guest_up(*state, "a"), *b, *c;
	struct fe_received in;
	uint8_t mac[6];
	uint32_t i, len;

	large.rx_size = 8192; /* however slow the test is: nothing is lost */
	c = peer_up(*state, "c", &large);

	/* More than can travel. */
	for (i = 0; i < STATE_MOST + 100; i++) {
		host_make(mac, i);
		host_speaks(*state, a, mac, -1);
	}
	for (i = 0; i < STATE_MOST + 100; i++)
		peer_recv(*state, c, 0, got, &in);
	assert_int_equal(hosts_behind(*state, "a"), STATE_MOST + 100);
	state_guest_stop(a);
	len = state_save(*state, a, data, sizeof(data));
	assert_int_equal(len, STATE_BYTES);
	b = state_guest_incoming(*state, "b");
	assert_int_equal(state_load(b, data, len), 0);
	state_guest_go(b);
	/* Each is announced. */
	for (i = 0; i < STATE_MOST; i++)
		peer_expect_rarp(*state, c, data + STATE_HEADER + i * STATE_HOST, 0);
	assert_int_equal(hosts_behind(*state, "b"), STATE_MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(hosts_move_with_their_guest_to_another_port),
		rig_test(hosts_move_with_their_guest_to_another_switch),
		rig_test(a_guest_may_move_on_before_it_ran),
		rig_test(what_no_switch_may_announce_stays_behind),
		rig_test(a_host_of_an_access_port_is_announced_as_its_guest_would),
		rig_test(four_thousand_hosts_move),
	};

	/* A pipe whose reader has gone is part of the game. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("state", tests, start, rig_stop);
}
