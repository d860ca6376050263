/* SPDX-License-Identifier: BSD-3-Clause */
/* The forwarding database: kinds of entries, moves, domains, and what a port may learn. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fdb_fixture.h"

#define TUNNEL (FDB_HOP_NONE - 1) /* an external next hop */

/* The listed entry of `key`. */
static struct fdb_entry entry_of(struct fdb *fdb, fdb_key key)
{
	struct fdb_entry e;
	uint32_t cursor = 0;

	while (cursor != FDB_CURSOR_END)
		if (fdb_list(fdb, &cursor, &e, 1) && e.key == key)
			return e;
	fail_msg("no entry");
	return e;
}

static uint32_t count_found(const struct fdb *fdb, uint32_t first, uint32_t n)
{
	uint32_t found = 0;

	for (uint32_t i = first; i < first + n; i++)
		found += fdb_lookup(fdb, station(i, 0)) != FDB_HOP_NONE;
	return found;
}

static void the_generation_counts_changes_of_the_next_hop(void **state)
{
	struct fdb *fdb = new_table(16, 300);
	const fdb_key key = station(1, 0);

	(void)state;
	fdb_learn(fdb, key, 1, 10);
	assert_int_equal(entry_of(fdb, key).generation, 0);
	learn_burst(fdb, &key, 1, 1, 11);
	assert_int_equal(entry_of(fdb, key).generation, 0);
	assert_int_equal(fdb_learn(fdb, key, 2, 11), FDB_MOVED);
	assert_int_equal(entry_of(fdb, key).generation, 1);
	learn_burst(fdb, &key, 1, 1, 11);
	assert_int_equal(entry_of(fdb, key).generation, 2);
	/* The kind alone is no move. */
	assert_int_equal(fdb_add_static(fdb, key, 1, false), 0);
	assert_int_equal(entry_of(fdb, key).generation, 2);
	assert_int_equal(fdb_add_static(fdb, key, 3, true), 0);
	assert_int_equal(entry_of(fdb, key).generation, 3);
	fdb_del(fdb, key);
	fdb_learn(fdb, key, 1, 10);
	assert_int_equal(entry_of(fdb, key).generation, 0);
	fdb_free(fdb);
}

static void a_generation_goes_with_its_entry_to_another_bucket(void **state)
{
	enum { KEYS = 90, BUCKETS = 36 };
	struct fdb *fdb = new_table(128, 300);
	fdb_key keys[KEYS];
	uint32_t from = 0;

	(void)state;
	corner_keys(fdb, BUCKETS, keys, KEYS, &from);
	for (uint32_t i = 0; i < KEYS; i++)
		for (uint32_t move = 0; move <= i; move++)
			fdb_learn(fdb, keys[i], move % 2, 0);
	for (uint32_t i = 0; i < KEYS; i++)
		assert_int_equal(entry_of(fdb, keys[i]).generation, i);
	fdb_free(fdb);
}

static void a_static_entry_stays_where_it_is_unless_it_is_to_be_replaced(void **state)
{
	struct fdb *fdb = new_table(16, 300);
	const fdb_key key = station(1, 0);

	(void)state;
	assert_int_equal(fdb_add_static(fdb, key, 1, false), 0);
	assert_int_equal(fdb_add_static(fdb, key, 1, false), 0);
	assert_int_equal(fdb_add_static(fdb, key, 2, false), -EEXIST);
	assert_int_equal(fdb_add_external(fdb, key, TUNNEL, false), -EEXIST);
	assert_int_equal(fdb_lookup(fdb, key), 1);
	assert_int_equal(fdb_count(fdb, 2), 0);
	assert_int_equal(fdb_add_static(fdb, key, 2, true), 0);
	assert_int_equal(fdb_lookup(fdb, key), 2);
	assert_int_equal(fdb_add_external(fdb, key, TUNNEL, true), 0);
	assert_int_equal(fdb_lookup(fdb, key), TUNNEL);
	/* An external one is replaced at any time. */
	assert_int_equal(fdb_add_static(fdb, key, 1, false), 0);
	assert_int_equal(fdb_lookup(fdb, key), 1);
	fdb_free(fdb);
}

static void an_external_entry_belongs_to_no_port_and_never_ages(void **state)
{
	struct fdb *fdb = new_table(4, 300);
	const fdb_key key = station(1, 0);
	struct fdb_entry e;

	(void)state;
	assert_int_equal(fdb_add_external(fdb, key, TUNNEL, false), 0);
	e = entry_of(fdb, key);
	assert_int_equal(e.hop, TUNNEL);
	assert_int_equal(e.kind, FDB_EXTERNAL);
	assert_int_equal(e.last_seen_s, 0);
	assert_int_equal(age_all(fdb, 1000000), 0);
	assert_int_equal(fdb_flush(fdb, FDB_HOP_NONE), 0);
	for (uint32_t port = 0; port < PORTS; port++) {
		assert_int_equal(fdb_count(fdb, port), 0);
		assert_int_equal(fdb_forget_port(fdb, port), 0);
	}
	/* It counts for the table's size and is not evicted. */
	for (uint32_t n = 10; n < 20; n++)
		fdb_learn(fdb, station(n, 0), 1, 0);
	assert_int_equal(entries(fdb), 4);
	assert_int_equal(fdb_count(fdb, 1), 3);
	assert_int_equal(fdb_lookup(fdb, key), TUNNEL);
	assert_int_equal(fdb_del(fdb, key), 0);
	assert_int_equal(fdb_lookup(fdb, key), FDB_HOP_NONE);
	assert_int_equal(fdb_add_external(fdb, station(1, 0) | 1, TUNNEL, false), -EINVAL);
	fdb_free(fdb);
}

/* A remote host that migrates to this machine. */
static void a_host_behind_a_tunnel_is_learned_at_the_port_it_moves_to(void **state)
{
	struct fdb *fdb = new_table(16, 300);
	const fdb_key key = station(1, 0);
	struct fdb_entry e;

	(void)state;
	fdb_add_external(fdb, key, PORTS, false);
	assert_int_equal(fdb_learn(fdb, key, 3, 10), FDB_MOVED);
	e = entry_of(fdb, key);
	assert_int_equal(e.hop, 3);
	assert_int_equal(e.kind, FDB_LEARNED);
	assert_int_equal(e.generation, 1);
	assert_int_equal(e.last_seen_s, 10);
	assert_int_equal(fdb_count(fdb, 3), 1);
	/* And back. */
	assert_int_equal(fdb_add_external(fdb, key, TUNNEL, false), 0);
	assert_int_equal(entry_of(fdb, key).generation, 2);
	assert_int_equal(fdb_count(fdb, 3), 0);
	fdb_free(fdb);
}

static void a_port_that_does_not_learn_adds_moves_and_refreshes_nothing(void **state)
{
	const fdb_key own = station(1, 0), other = station(2, 0), new = station(3, 0);
	const fdb_key burst[] = {own, other, new};
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	fdb_learn(fdb, own, 1, 10);
	fdb_learn(fdb, other, 2, 10);
	fdb_set_learning(fdb, 1, false);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(burst); i++)
		assert_int_equal(fdb_learn(fdb, burst[i], 1, 20), FDB_REFUSED);
	learn_burst(fdb, burst, RW_ARRAY_SIZE(burst), 1, 20);
	assert_int_equal(entry_of(fdb, own).last_seen_s, 10);
	assert_int_equal(fdb_lookup(fdb, other), 2);
	assert_int_equal(fdb_lookup(fdb, new), FDB_HOP_NONE);
	/* It may have static entries, and other ports learn. */
	assert_int_equal(fdb_add_static(fdb, new, 1, false), 0);
	assert_int_equal(fdb_learn(fdb, own, 2, 20), FDB_MOVED);
	fdb_set_learning(fdb, 1, true);
	learn_burst(fdb, burst, RW_ARRAY_SIZE(burst), 1, 30);
	assert_int_equal(fdb_count(fdb, 1), 3);
	fdb_free(fdb);
}

static void a_port_at_its_limit_evicts_its_own_entries_only(void **state)
{
	struct fdb *fdb = new_table(1000, 300);
	struct fdb_port_stats at;

	(void)state;
	for (uint32_t n = 0; n < 100; n++)
		fdb_learn(fdb, station(n, 0), 2, 0);
	fdb_set_limit(fdb, 1, 10);
	for (uint32_t n = 100; n < 200; n++) {
		enum fdb_learned what = fdb_learn(fdb, station(n, 0), 1, 0);

		assert_int_equal(what, n < 110 ? FDB_NEW : FDB_EVICTED);
		assert_int_equal(fdb_lookup(fdb, station(n, 0)), 1);
		assert_in_range(fdb_count(fdb, 1), 1, 10);
	}
	/* The last ten are left, and the other port's. */
	assert_int_equal(count_found(fdb, 190, 10), 10);
	assert_int_equal(count_found(fdb, 0, 100), 100);
	/* An address that moves to the port counts as a new one. */
	assert_int_equal(fdb_learn(fdb, station(0, 0), 1, 0), FDB_MOVED);
	assert_int_equal(fdb_count(fdb, 1), 10);
	assert_int_equal(count_found(fdb, 190, 10), 9);
	fdb_get_port_stats(fdb, 1, &at);
	assert_int_equal(at.learned, 10);
	assert_int_equal(at.excesses, 91);
	fdb_get_port_stats(fdb, 2, &at);
	assert_int_equal(at.learned, 99);
	assert_int_equal(at.excesses, 0);
	/* Static entries do not. */
	assert_int_equal(fdb_add_static(fdb, station(300, 0), 1, false), 0);
	assert_int_equal(fdb_count(fdb, 1), 11);
	fdb_set_limit(fdb, 1, 0);
	for (uint32_t n = 400; n < 420; n++)
		assert_int_equal(fdb_learn(fdb, station(n, 0), 1, 0), FDB_NEW);
	fdb_free(fdb);
}

static void a_strict_port_keeps_its_hosts_and_learns_no_more(void **state)
{
	struct fdb *fdb = new_table(1000, 300);
	struct fdb_port_stats at;

	(void)state;
	fdb_set_limit(fdb, 1, 10);
	fdb_set_strict(fdb, 1, true);
	fdb_learn(fdb, station(500, 0), 2, 0);
	for (uint32_t n = 0; n < 100; n++)
		assert_int_equal(
			fdb_learn(fdb, station(n, 0), 1, 0), n < 10 ? FDB_NEW : FDB_EXCESS);
	assert_int_equal(fdb_learn(fdb, station(3, 0), 1, 5), FDB_KNOWN);
	/* Nor does a known host move there; one may move away, and leaves room. */
	assert_int_equal(fdb_learn(fdb, station(500, 0), 1, 0), FDB_EXCESS);
	assert_int_equal(fdb_lookup(fdb, station(500, 0)), 2);
	assert_int_equal(fdb_learn(fdb, station(3, 0), 2, 0), FDB_MOVED);
	assert_int_equal(fdb_learn(fdb, station(50, 0), 1, 0), FDB_NEW);
	assert_int_equal(fdb_learn(fdb, station(51, 0), 1, 0), FDB_EXCESS);
	fdb_get_port_stats(fdb, 1, &at);
	assert_int_equal(at.learned, 10);
	assert_int_equal(at.excesses, 0);
	fdb_set_strict(fdb, 1, false);
	assert_int_equal(fdb_learn(fdb, station(51, 0), 1, 0), FDB_EVICTED);
	fdb_free(fdb);
}

static void a_lower_limit_evicts_the_oldest_at_once(void **state)
{
	struct fdb *fdb = new_table(1000, 300);
	struct fdb_stats stats;

	(void)state;
	for (uint32_t n = 0; n < 100; n++)
		fdb_learn(fdb, station(n, 0), 1, 0);
	/* The first three have been seen since. */
	for (uint32_t n = 0; n < 3; n++)
		fdb_learn(fdb, station(n, 0), 1, 1);
	fdb_set_limit(fdb, 1, 200);
	assert_int_equal(fdb_count(fdb, 1), 100);
	fdb_set_limit(fdb, 1, 20);
	assert_int_equal(fdb_count(fdb, 1), 20);
	assert_int_equal(count_found(fdb, 0, 3), 3);
	assert_int_equal(count_found(fdb, 83, 17), 17);
	fdb_get_stats(fdb, &stats);
	assert_int_equal(stats.evicted, 80);
	fdb_free(fdb);
}

static void a_port_below_its_limit_takes_part_in_fairness(void **state)
{
	struct fdb *fdb = new_table(100, 300);

	(void)state;
	fdb_set_limit(fdb, 1, 50);
	for (uint32_t n = 0; n < 100; n++)
		fdb_learn(fdb, station(n, 0), 2, 0);
	for (uint32_t n = 1000; n < 1200; n++)
		assert_int_equal(fdb_learn(fdb, station(n, 0), 1, 0), FDB_EVICTED);
	assert_int_equal(fdb_count(fdb, 1), 50);
	assert_int_equal(fdb_count(fdb, 2), 50);
	fdb_free(fdb);
}

static void a_flushed_domain_is_empty_and_others_are_untouched(void **state)
{
	struct fdb *fdb = new_table(1000, 300);

	(void)state;
	for (uint32_t n = 0; n < 300; n++)
		fdb_learn(fdb, station(n, n % 3 ? 65535 : 7), n % PORTS, 0);
	fdb_add_static(fdb, station(400, 7), 1, false);
	fdb_add_external(fdb, station(401, 7), TUNNEL, false);
	fdb_add_static(fdb, station(400, 0), 1, false);
	assert_int_equal(fdb_flush_domain(fdb, 7), 102);
	assert_int_equal(fdb_flush_domain(fdb, 7), 0);
	assert_int_equal(entries(fdb), 201);
	assert_int_equal(count_listed(fdb), 201);
	assert_int_equal(fdb_lookup(fdb, station(400, 7)), FDB_HOP_NONE);
	assert_int_equal(fdb_lookup(fdb, station(400, 0)), 1);
	assert_int_equal(fdb_learn(fdb, station(1, 7), 1, 0), FDB_NEW);
	fdb_free(fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_generation_counts_changes_of_the_next_hop),
		cmocka_unit_test(a_generation_goes_with_its_entry_to_another_bucket),
		cmocka_unit_test(a_static_entry_stays_where_it_is_unless_it_is_to_be_replaced),
		cmocka_unit_test(an_external_entry_belongs_to_no_port_and_never_ages),
		cmocka_unit_test(a_host_behind_a_tunnel_is_learned_at_the_port_it_moves_to),
		cmocka_unit_test(a_port_that_does_not_learn_adds_moves_and_refreshes_nothing),
		cmocka_unit_test(a_port_at_its_limit_evicts_its_own_entries_only),
		cmocka_unit_test(a_strict_port_keeps_its_hosts_and_learns_no_more),
		cmocka_unit_test(a_lower_limit_evicts_the_oldest_at_once),
		cmocka_unit_test(a_port_below_its_limit_takes_part_in_fairness),
		cmocka_unit_test(a_flushed_domain_is_empty_and_others_are_untouched),
	};

	return cmocka_run_group_tests_name("fdb next hops", tests, NULL, NULL);
}
