/* SPDX-License-Identifier: BSD-3-Clause */
/* What was learned and what moved, for whoever watches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fdb_fixture.h"

static uint64_t lost;

static void expect_change(struct fdb *fdb, fdb_key key, uint32_t hop, uint32_t from)
{
	struct fdb_change c;

	assert_int_equal(fdb_changes_take(fdb, &c, 1, &lost), 1);
	assert_true(c.key == key);
	assert_int_equal(c.hop, hop);
	assert_int_equal(c.from, from);
	assert_int_equal(lost, 0);
}

static void expect_none(struct fdb *fdb)
{
	struct fdb_change c;

	assert_int_equal(fdb_changes_take(fdb, &c, 1, &lost), 0);
	assert_int_equal(lost, 0);
}

static void who_watches_hears_of_new_hosts_and_of_moves(void **state)
{
	struct fdb *fdb = new_table(1024, 0);

	(void)state;
	fdb_learn(fdb, station(1, 1), 3, 1);
	expect_none(fdb);
	fdb_watch(fdb, true);
	fdb_learn(fdb, station(1, 1), 3, 2);
	expect_none(fdb);
	fdb_learn(fdb, station(2, 1), 3, 2);
	fdb_learn(fdb, station(1, 1), 4, 2);
	expect_change(fdb, station(2, 1), 3, FDB_HOP_NONE);
	expect_change(fdb, station(1, 1), 4, 3);
	expect_none(fdb);
	/* A static entry neither is learned nor moves. */
	assert_int_equal(fdb_add_static(fdb, station(9, 1), 5, false), 0);
	fdb_learn(fdb, station(9, 1), 6, 2);
	expect_none(fdb);
	fdb_free(fdb);
}

static void how_a_host_was_found_is_told_and_stays(void **state)
{
	struct fdb *fdb = new_table(1024, 0);
	struct fdb_entry e;
	struct fdb_change c;
	uint32_t cursor;

	(void)state;
	fdb_watch(fdb, true);
	for (enum fdb_how how = FDB_BY_FRAME; how < FDB_HOWS; how++) {
		fdb_learn_by(fdb, station(1, 1), 3 + how, 1, how);
		assert_int_equal(fdb_changes_take(fdb, &c, 1, &lost), 1);
		assert_int_equal(c.how, how);
		/* Its frames refresh the entry, and it was found as it was. */
		fdb_learn(fdb, station(1, 1), 3 + how, 2 + how);
		expect_none(fdb);
		cursor = 0;
		assert_int_equal(fdb_list(fdb, &cursor, &e, 1), 1);
		assert_int_equal(e.how, how);
		assert_int_equal(e.generation, how);
		assert_int_equal(e.last_seen_s, 2 + how);
	}
	fdb_free(fdb);
}

static void what_finds_no_room_is_counted(void **state)
{
	struct fdb *fdb = new_table(4096, 0);
	struct fdb_change c[FDB_CHANGES];

	(void)state;
	fdb_watch(fdb, true);
	/* The ring begins anywhere. */
	fdb_learn(fdb, station(5000, 1), 1, 1);
	expect_change(fdb, station(5000, 1), 1, FDB_HOP_NONE);
	for (uint32_t i = 0; i < FDB_CHANGES + 7; i++)
		fdb_learn(fdb, station(i, 1), 1, 1);
	assert_int_equal(fdb_changes_take(fdb, c, FDB_CHANGES, &lost), FDB_CHANGES);
	assert_int_equal(lost, 7);
	for (uint32_t i = 0; i < FDB_CHANGES; i++)
		assert_true(c[i].key == station(i, 1));
	expect_none(fdb);
	fdb_free(fdb);
}

static void what_waits_is_forgotten_when_nobody_watches(void **state)
{
	struct fdb *fdb = new_table(1024, 0);

	(void)state;
	fdb_watch(fdb, true);
	fdb_learn(fdb, station(1, 1), 3, 1);
	fdb_watch(fdb, false);
	fdb_learn(fdb, station(2, 1), 3, 1);
	fdb_watch(fdb, true);
	expect_none(fdb);
	fdb_free(fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(how_a_host_was_found_is_told_and_stays),
		cmocka_unit_test(who_watches_hears_of_new_hosts_and_of_moves),
		cmocka_unit_test(what_finds_no_room_is_counted),
		cmocka_unit_test(what_waits_is_forgotten_when_nobody_watches),
	};

	return cmocka_run_group_tests_name("fdb_watch", tests, NULL, NULL);
}
