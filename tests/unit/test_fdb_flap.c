/* SPDX-License-Identifier: BSD-3-Clause */
/* Hosts that move too often stay where they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fdb.h"

#define MOVES 5
#define HOME  1
#define AWAY  2
#define HOST  fdb_key_of(0x0200, 7)

static int begin(void **state)
{
	const struct fdb_config cfg = {.max_entries = 64, .max_ports = 16, .flap_moves = MOVES};

	*state = fdb_new(&cfg);
	return !*state;
}

static int end(void **state)
{
	fdb_free(*state);
	return 0;
}

static uint64_t flaps(const struct fdb *fdb)
{
	struct fdb_stats stats;

	fdb_get_stats(fdb, &stats);
	return stats.flaps;
}

/* The host appears at AWAY and HOME in turn, up to its last free move. */
static void move_about(struct fdb *fdb, uint32_t now_s)
{
	fdb_learn(fdb, HOST, HOME, now_s);
	for (unsigned i = 0; i < MOVES - 1; i++)
		assert_int_equal(fdb_learn(fdb, HOST, i % 2 ? HOME : AWAY, now_s + i), FDB_MOVED);
}

static void a_host_that_flaps_is_held_at_home_for_a_while(void **state)
{
	struct fdb_flap told;
	struct fdb *fdb = *state;

	move_about(fdb, 100);
	assert_int_equal(flaps(fdb), 0);
	assert_int_equal(fdb_flaps_take(fdb, &told, 1), 0);
	assert_int_equal(fdb_learn(fdb, HOST, AWAY, 109), FDB_HELD);
	assert_int_equal(flaps(fdb), 1);
	for (uint32_t s = 109; s < 109 + FDB_HOLD_S; s++) {
		assert_int_equal(fdb_lookup(fdb, HOST), HOME);
		assert_int_equal(fdb_learn(fdb, HOST, AWAY, s), FDB_HELD);
		assert_int_equal(fdb_learn(fdb, HOST, HOME, s), FDB_KNOWN);
	}
	assert_int_equal(flaps(fdb), 1);
	assert_int_equal(fdb_flaps_take(fdb, &told, 1), 1);
	assert_int_equal(told.key, HOST);
	assert_int_equal(told.home, HOME);
	assert_int_equal(told.away, AWAY);
	assert_int_equal(fdb_flaps_take(fdb, &told, 1), 0);
	/* Then it may move again. */
	assert_int_equal(fdb_learn(fdb, HOST, AWAY, 109 + FDB_HOLD_S), FDB_MOVED);
	assert_int_equal(fdb_lookup(fdb, HOST), AWAY);
}

static void the_move_that_is_too_many_goes_home(void **state)
{
	struct fdb *fdb = *state;

	/* An odd number of moves ends at AWAY; one that comes from there is the last, too. */
	fdb_learn(fdb, HOST, HOME, 5);
	for (uint32_t i = 0; i < MOVES - 1; i++)
		assert_int_equal(fdb_learn(fdb, HOST, AWAY + i, 5), FDB_MOVED);
	assert_int_equal(fdb_learn(fdb, HOST, 9, 5), FDB_HELD);
	assert_int_equal(fdb_lookup(fdb, HOST), HOME);
	assert_int_equal(fdb_count(fdb, HOME), 1);
}

static void moves_that_take_their_time_are_none_of_it(void **state)
{
	struct fdb *fdb = *state;

	fdb_learn(fdb, HOST, HOME, 0);
	for (uint32_t i = 0; i < 10 * MOVES; i++)
		assert_int_equal(fdb_learn(fdb, HOST, i % 2 ? HOME : AWAY,
					 i * (FDB_FLAP_S / (MOVES - 1) + 1)),
			FDB_MOVED);
	assert_int_equal(flaps(fdb), 0);
}

static void other_hosts_move_meanwhile(void **state)
{
	struct fdb *fdb = *state;

	move_about(fdb, 100);
	assert_int_equal(fdb_learn(fdb, HOST, AWAY, 109), FDB_HELD);
	/* So many that some share the place of the one that is held. */
	for (uint64_t n = 1; n < 60; n++) {
		fdb_key other = fdb_key_of(0x0200 | n << 16, 7);

		fdb_learn(fdb, other, HOME, 110);
		assert_int_equal(fdb_learn(fdb, other, AWAY, 110), FDB_MOVED);
	}
	assert_int_equal(fdb_learn(fdb, HOST, AWAY, 110), FDB_HELD);
}

static void nothing_is_held_at_a_port_that_is_flushed(void **state)
{
	struct fdb *fdb = *state;

	for (unsigned all = 0; all < 3; all++) {
		move_about(fdb, 100);
		assert_int_equal(fdb_learn(fdb, HOST, AWAY, 105), FDB_HELD);
		if (all == 2)
			fdb_forget_port(fdb, HOME);
		else
			fdb_flush(fdb, all ? FDB_HOP_NONE : HOME);
		assert_int_equal(fdb_learn(fdb, HOST, AWAY, 106), FDB_NEW);
		assert_int_equal(fdb_learn(fdb, HOST, HOME, 106), FDB_MOVED);
		fdb_flush(fdb, FDB_HOP_NONE);
	}
}

#define flap_test(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		flap_test(a_host_that_flaps_is_held_at_home_for_a_while),
		flap_test(the_move_that_is_too_many_goes_home),
		flap_test(moves_that_take_their_time_are_none_of_it),
		flap_test(other_hosts_move_meanwhile),
		flap_test(nothing_is_held_at_a_port_that_is_flushed),
	};

	return cmocka_run_group_tests_name("fdb_flap", tests, NULL, NULL);
}
