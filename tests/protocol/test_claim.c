/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port that may use one address alone claims it when its link comes up, and takes it from nobody
 * who still runs: migrations of a silent guest, and one that is cancelled.
 */
#include <stdio.h>

#include "hosts.h"

static struct rig rig;
static uint8_t mac[6];

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

static void macs_set(struct rig *r, const char *port, const char *macs)
{
	char pairs[80];

	snprintf(pairs, sizeof(pairs), "{\"macs\":\"%s\"}", macs);
	rig_port_set(r, port, pairs);
}

/* a and b are for the same guest, which never says a word. */
static void scene(struct rig *r, uint32_t n)
{
	char text[18];

	host_make(mac, n);
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	macs_set(r, "a", text);
	macs_set(r, "b", text);
}

static int clean(void **state)
{
	int ret = rig_clean(state);

	macs_set(*state, "a", "none");
	macs_set(*state, "b", "none");
	return ret;
}

static void rings_stop(struct peer *p)
{
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(fe_guest_stop_ring(p->g, i, NULL), 0);
}

static void it_is_there(struct rig *r, char port, const char *how)
{
	rig_wait(r, host_port(r, mac, 0) == port);
	assert_int_equal(host_found(r, mac, 0, how), port);
}

/* A frame for it reaches that guest. */
static void it_is_reached(struct rig *r, struct peer *from, struct peer *to)
{
	peer_send_to(r, from, mac, 100, 1);
	peer_expect(r, to, mac, from->mac, 100, 1);
}

static void a_guest_that_is_silent_is_reached_after_it_moved(void **state)
{
	struct peer *a, *b, *c = peer_up(*state, "c", NULL);

	scene(*state, 1);
	a = peer_up(*state, "a", NULL);
	it_is_there(*state, 'a', "setting");
	it_is_reached(*state, c, a);
	rings_stop(a);
	b = peer_up(*state, "b", NULL);
	it_is_there(*state, 'b', "setting");
	it_is_reached(*state, c, b);
}

static void a_ring_that_starts_takes_nothing_from_a_guest_that_runs(void **state)
{
	struct peer *a, *b, *c = peer_up(*state, "c", NULL);

	scene(*state, 2);
	a = peer_up(*state, "a", NULL);
	host_speaks(*state, a, mac, -1);
	rig_wait(*state, host_port(*state, mac, 0) == 'a');
	b = peer_up(*state, "b", NULL);
	peer_sync(b);
	it_is_there(*state, 'a', NULL);
	/* Not even when nobody remembers where it is. */
	json_decref(rig_call(*state, "fdb.flush", NULL));
	rings_stop(b);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(fe_guest_start_ring(b->g, i), 0);
	peer_sync(b);
	assert_int_not_equal(host_port(*state, mac, 0), 'b');
	/* The migration is cancelled: the copy ends, and the guest is where it was. */
	host_speaks(*state, a, mac, -1);
	rig_wait(*state, host_port(*state, mac, 0) == 'a');
	peer_down(*state, b);
	it_is_there(*state, 'a', "frame");
	(void)c;
}

static void a_copy_that_started_early_has_it_when_the_guest_ends(void **state)
{
	struct peer *a, *b, *c = peer_up(*state, "c", NULL);

	scene(*state, 3);
	a = peer_up(*state, "a", NULL);
	it_is_there(*state, 'a', "setting");
	b = peer_up(*state, "b", NULL);
	peer_sync(b);
	it_is_there(*state, 'a', "setting");
	rings_stop(a);
	it_is_there(*state, 'b', "setting");
	it_is_reached(*state, c, b);
}

static void a_port_with_two_addresses_claims_none(void **state)
{
	struct peer *a;

	scene(*state, 4);
	macs_set(*state, "a", "02:00:00:00:00:08+02:00:00:00:00:09");
	a = peer_up(*state, "a", NULL);
	peer_sync(a);
	assert_int_equal(hosts_behind(*state, "a"), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_guest_that_is_silent_is_reached_after_it_moved, clean),
		cmocka_unit_test_teardown(
			a_ring_that_starts_takes_nothing_from_a_guest_that_runs, clean),
		cmocka_unit_test_teardown(
			a_copy_that_started_early_has_it_when_the_guest_ends, clean),
		cmocka_unit_test_teardown(a_port_with_two_addresses_claims_none, clean),
	};

	return cmocka_run_group_tests(tests, start, rig_stop);
}
