/* SPDX-License-Identifier: BSD-3-Clause */
/* The forwarding database, a burst at a time: as a frame at a time, only cheaper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fdb_fixture.h"

static struct fdb_stats stats_of(const struct fdb *fdb)
{
	struct fdb_stats stats;

	fdb_get_stats(fdb, &stats);
	return stats;
}

static int by_key(const void *a, const void *b)
{
	const struct fdb_entry *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

/* All entries, in the order of their keys. How many. */
static uint32_t list_all(struct fdb *fdb, struct fdb_entry *out, uint32_t max)
{
	uint32_t cursor = 0, n = 0;

	while (cursor != FDB_CURSOR_END) {
		assert_true(n < max);
		n += fdb_list(fdb, &cursor, out + n, max - n);
	}
	qsort(out, n, sizeof(*out), by_key);
	return n;
}

/* When the only entry of the table was seen last. */
static uint32_t last_seen(struct fdb *fdb)
{
	struct fdb_entry e[2];

	assert_int_equal(list_all(fdb, e, 2), 1);
	return e[0].last_seen_s;
}

static void a_bulk_lookup_answers_as_single_ones_do(void **state)
{
	static const unsigned sizes[] = {0, 1, 31, 32, 33, 100};
	struct fdb *fdb = new_table(64, 300);
	uint32_t out[101];
	fdb_key keys[100];

	(void)state;
	for (uint32_t i = 0; i < 64; i++)
		fdb_learn(fdb, station(i, 0), i % PORTS, 0);
	for (uint32_t i = 0; i < 100; i++)
		keys[i] = station(i * 7 % 100, 0);
	for (unsigned s = 0; s < RW_ARRAY_SIZE(sizes); s++) {
		memset(out, 0xaa, sizeof(out));
		lookup_burst(fdb, keys, out, sizes[s]);
		for (unsigned i = 0; i < sizes[s]; i++) {
			uint32_t n = i * 7 % 100;

			assert_int_equal(out[i], n < 64 ? n % PORTS : FDB_HOP_NONE);
			assert_int_equal(out[i], fdb_lookup(fdb, keys[i]));
		}
		assert_int_equal(out[sizes[s]], 0xaaaaaaaa);
	}
	fdb_free(fdb);
}

static void a_bulk_learn_learns_as_many_as_it_is_given(void **state)
{
	static const unsigned sizes[] = {0, 1, 31, 32, 33, 100};
	fdb_key keys[101];

	(void)state;
	for (uint32_t i = 0; i < 101; i++)
		keys[i] = station(i, 0);
	for (unsigned s = 0; s < RW_ARRAY_SIZE(sizes); s++) {
		struct fdb *fdb = new_table(1000, 300);

		learn_burst(fdb, keys, sizes[s], 3, 0);
		assert_int_equal(entries(fdb), sizes[s]);
		for (unsigned i = 0; i < 101; i++)
			assert_int_equal(fdb_lookup(fdb, keys[i]), i < sizes[s] ? 3 : FDB_HOP_NONE);
		fdb_free(fdb);
	}
}

static void a_new_source_twice_in_a_burst_is_learned_once(void **state)
{
	const fdb_key keys[] = {station(1, 0), station(1, 0), station(2, 0), station(1, 0)};
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	learn_burst(fdb, keys, 4, 3, 0);
	assert_int_equal(stats_of(fdb).learned, 2);
	assert_int_equal(entries(fdb), 2);
	assert_int_equal(fdb_count(fdb, 3), 2);
	fdb_free(fdb);
}

static void a_source_that_moves_to_the_port_of_a_burst_moves_once(void **state)
{
	const fdb_key keys[] = {station(1, 0), station(2, 0), station(1, 0)};
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	learn_burst(fdb, keys, 3, 3, 10);
	learn_burst(fdb, keys, 3, 4, 10);
	assert_int_equal(stats_of(fdb).moved, 2);
	assert_int_equal(fdb_count(fdb, 3), 0);
	assert_int_equal(fdb_count(fdb, 4), 2);
	/* And back within the same second. */
	learn_burst(fdb, keys, 1, 3, 10);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), 3);
	assert_int_equal(fdb_lookup(fdb, station(2, 0)), 4);
	fdb_free(fdb);
}

static void a_burst_makes_its_source_young_again(void **state)
{
	const fdb_key key = station(1, 0);
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	learn_burst(fdb, &key, 1, 1, 1000);
	learn_burst(fdb, &key, 1, 1, 1200);
	assert_int_equal(last_seen(fdb), 1200);
	assert_int_equal(age_all(fdb, 1500), 0);
	assert_int_equal(age_all(fdb, 1501), 1);
	learn_burst(fdb, &key, 1, 1, 1501);
	assert_int_equal(fdb_lookup(fdb, key), 1);
	fdb_free(fdb);
}

/* However many seconds lie between, when the table was looked through meanwhile. */
static void a_burst_after_any_silence_makes_its_source_young_again(void **state)
{
	const fdb_key key = station(1, 0);

	(void)state;
	for (uint32_t silence = 1; silence <= 130; silence++) {
		struct fdb *fdb = new_table(16, 300);

		learn_burst(fdb, &key, 1, 1, 1000);
		for (uint32_t s = 32; s < silence; s += 16)
			assert_int_equal(age_all(fdb, 1000 + s), 0);
		learn_burst(fdb, &key, 1, 1, 1000 + silence);
		assert_int_equal(last_seen(fdb), 1000 + silence);
		fdb_free(fdb);
	}
}

static void a_burst_of_a_late_clock_sets_no_entry_back(void **state)
{
	const fdb_key key = station(1, 0);
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	learn_burst(fdb, &key, 1, 1, 1001);
	learn_burst(fdb, &key, 1, 1, 1000);
	assert_int_equal(last_seen(fdb), 1001);
	/* Nor does one from before the seconds wrapped around. */
	learn_burst(fdb, &key, 1, 1, UINT32_MAX);
	assert_int_equal(last_seen(fdb), 1001);
	fdb_free(fdb);
}

static void a_burst_neither_moves_nor_dates_a_static_entry(void **state)
{
	const fdb_key key = station(1, 0);
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	fdb_add_static(fdb, key, 5, true);
	learn_burst(fdb, &key, 1, 6, 10);
	assert_int_equal(fdb_lookup(fdb, key), 5);
	learn_burst(fdb, &key, 1, 5, 10);
	assert_int_equal(last_seen(fdb), 0);
	assert_int_equal(stats_of(fdb).moved, 0);
	fdb_free(fdb);
}

static void a_burst_teaches_no_group_or_zero_address(void **state)
{
	static const uint8_t bad[][6] = {
		{0},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0x01, 0x00, 0x5e, 0, 0, 1},
		{0},
	};
	struct fdb *fdb = new_table(16, 300);
	fdb_key keys[2 * RW_ARRAY_SIZE(bad)];

	(void)state;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(keys); i++)
		keys[i] = fdb_key_make(bad[i % RW_ARRAY_SIZE(bad)], i / RW_ARRAY_SIZE(bad) * 7);
	learn_burst(fdb, keys, RW_ARRAY_SIZE(keys), 1, 0);
	assert_int_equal(entries(fdb), 0);
	fdb_free(fdb);
}

/* A worker locates both ends of its frames before it learns the sources. */
static void a_place_found_before_its_station_was_learned_is_the_right_one(void **state)
{
	const fdb_key sources[] = {station(1, 0), station(2, 0)};
	const fdb_key keys[] = {station(2, 0), station(3, 0)};
	struct fdb_query sources_at[2], keys_at[2];
	struct fdb *fdb = new_table(16, 300);
	uint32_t out[2];

	(void)state;
	locate_burst(fdb, sources, sources_at, 2);
	locate_burst(fdb, keys, keys_at, 2);
	fdb_learn_bulk(fdb, sources_at, 2, 7, 0);
	fdb_lookup_bulk(fdb, keys_at, out, 2);
	assert_int_equal(out[0], 7);
	assert_int_equal(out[1], FDB_HOP_NONE);
	fdb_flush(fdb, FDB_HOP_NONE);
	fdb_lookup_bulk(fdb, keys_at, out, 2);
	assert_int_equal(out[0], FDB_HOP_NONE);
	fdb_free(fdb);
}

static uint32_t last_seen_of(const struct fdb_entry *e, uint32_t n, fdb_key key)
{
	for (uint32_t i = 0; i < n; i++)
		if (e[i].key == key)
			return e[i].last_seen_s;
	fail_msg("a station was forgotten");
	return 0;
}

/* New ones may have others moved to make room, those of the same burst, too. */
static void a_burst_with_new_sources_makes_the_known_ones_young_again(void **state)
{
	enum { KNOWN = 400, HALF = 16, BUCKETS = 190 };
	struct fdb *fdb = new_table(1000, 300);
	static struct fdb_entry e[KNOWN + HALF + 1];
	static fdb_key known[KNOWN];
	fdb_key burst[2 * HALF];
	uint32_t from = 0;

	(void)state;
	corner_keys(fdb, BUCKETS, known, KNOWN, &from);
	for (unsigned i = 0; i < KNOWN; i++)
		assert_int_equal(fdb_learn(fdb, known[i], 1, 0), FDB_NEW);
	for (uint32_t now_s = 1; now_s <= 100; now_s++) {
		uint32_t listed;

		corner_keys(fdb, BUCKETS, burst + HALF, HALF, &from);
		for (unsigned i = 0; i < HALF; i++)
			burst[i] = known[(now_s * HALF + i) % KNOWN];
		learn_burst(fdb, burst, 2 * HALF, 1, now_s);
		listed = list_all(fdb, e, KNOWN + HALF + 1);
		assert_int_equal(listed, KNOWN + HALF);
		for (unsigned i = 0; i < 2 * HALF; i++)
			assert_int_equal(last_seen_of(e, listed, burst[i]), now_s);
		for (unsigned i = HALF; i < 2 * HALF; i++)
			assert_int_equal(fdb_del(fdb, burst[i]), 0);
	}
	fdb_free(fdb);
}

/* At the limit many stand in their second bucket. */
static void all_stations_of_a_full_table_are_known_to_bursts(void **state)
{
	const uint32_t max = 65536;
	struct fdb *fdb = new_table(max, 300);
	uint32_t out[32];
	fdb_key keys[32];

	(void)state;
	for (uint32_t now_s = 0; now_s < 3; now_s++) {
		for (uint32_t n = 0; n < max; n += 32) {
			for (unsigned i = 0; i < 32; i++)
				keys[i] = station((n + i) * 13 % max, 0);
			learn_burst(fdb, keys, 32, 9, now_s);
			lookup_burst(fdb, keys, out, 32);
			for (unsigned i = 0; i < 32; i++)
				assert_int_equal(out[i], 9);
		}
		assert_int_equal(stats_of(fdb).learned, max);
		assert_int_equal(stats_of(fdb).evicted, 0);
	}
	/* Each was refreshed, wherever it stands. */
	assert_int_equal(age_all(fdb, 302), 0);
	assert_int_equal(age_all(fdb, 303), max);
	fdb_free(fdb);
}

static void bursts_of_new_sources_evict_only_from_the_port_that_has_most(void **state)
{
	const uint32_t max = 512;
	struct fdb *fdb = new_table(max, 300);
	fdb_key keys[32];

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		keys[i] = station(i, 0);
	learn_burst(fdb, keys, 32, 1, 0);
	for (uint32_t n = 1000; n < 1000 + 10 * max; n += 32) {
		for (unsigned i = 0; i < 32; i++)
			keys[i] = station(n + i, 0);
		learn_burst(fdb, keys, 32, 2, 0);
	}
	assert_int_equal(fdb_count(fdb, 1), 32);
	assert_int_equal(fdb_count(fdb, 2), max - 32);
	assert_int_equal(stats_of(fdb).evicted, 10 * max + 32 - max);
	fdb_free(fdb);
}

/*
 * Two tables, far from full: one is taught by bursts, the other the same frames one by one. Static
 * entries, moves, ageing and stations that come twice in a burst occur all the time.
 */
#define TWIN_STATIONS 100
#define TWIN_LIMIT    512
#define TWIN_PORTS    4
#define TWIN_BURSTS   3000
#define TWIN_CORNER   64 /* buckets that all have to share */

struct twins {
	struct fdb *bulk;
	struct fdb *single;
	fdb_key key[TWIN_STATIONS]; /* in few buckets of `bulk` */
	uint64_t random;
	uint32_t now_s;
};

/* xorshift64*: the same numbers in every run. */
static uint32_t next_random(struct twins *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random * UINT64_C(2685821657736338717) >> 32;
}

static void twins_learn(struct twins *t)
{
	uint32_t first = next_random(t) % TWIN_STATIONS, spread = 1 + next_random(t) % 40;
	uint32_t now_s = t->now_s - (next_random(t) % 8 == 0);
	uint32_t port = next_random(t) % TWIN_PORTS;
	unsigned n = next_random(t) % 70;
	fdb_key keys[70];

	for (unsigned i = 0; i < n; i++) {
		uint32_t who = (first + next_random(t) % spread) % TWIN_STATIONS;

		keys[i] = t->key[who];
		fdb_learn(t->single, keys[i], port, now_s);
	}
	learn_burst(t->bulk, keys, n, port, now_s);
}

static void twins_change(struct twins *t)
{
	uint32_t who = next_random(t) % TWIN_STATIONS, dice = next_random(t) % 100;
	fdb_key key = t->key[who];
	uint32_t port = next_random(t) % TWIN_PORTS;

	if (dice < 3) {
		assert_int_equal(fdb_add_static(t->bulk, key, port, true), 0);
		assert_int_equal(fdb_add_static(t->single, key, port, true), 0);
	} else if (dice < 10) {
		assert_int_equal(fdb_del(t->bulk, key), fdb_del(t->single, key));
	} else if (dice < 12) {
		assert_int_equal(fdb_forget_port(t->bulk, port), fdb_forget_port(t->single, port));
	} else if (dice < 50) {
		t->now_s++;
	} else if (dice < 60) {
		assert_int_equal(age_all(t->bulk, t->now_s), age_all(t->single, t->now_s));
	}
}

static void twins_compare(const struct twins *t)
{
	uint32_t found[TWIN_STATIONS];

	lookup_burst(t->bulk, t->key, found, TWIN_STATIONS);
	for (uint32_t who = 0; who < TWIN_STATIONS; who++)
		assert_int_equal(found[who], fdb_lookup(t->single, t->key[who]));
}

static void twins_compare_lists(const struct twins *t)
{
	struct fdb_entry bulk[TWIN_LIMIT + 1], single[TWIN_LIMIT + 1];
	uint32_t n = list_all(t->bulk, bulk, TWIN_LIMIT + 1);

	assert_int_equal(n, list_all(t->single, single, TWIN_LIMIT + 1));
	for (uint32_t i = 0; i < n; i++) {
		assert_true(bulk[i].key == single[i].key);
		assert_int_equal(bulk[i].hop, single[i].hop);
		assert_int_equal(bulk[i].kind, single[i].kind);
		assert_int_equal(bulk[i].last_seen_s, single[i].last_seen_s);
	}
}

static void bursts_teach_what_their_frames_would_one_by_one(void **state)
{
	struct twins t = {
		.bulk = new_table(TWIN_LIMIT, 2),
		.single = new_table(TWIN_LIMIT, 2),
		.random = UINT64_C(88172645463325252),
		.now_s = 1,
	};
	struct fdb_stats bulk, single;
	uint32_t from = 0;

	(void)state;
	corner_keys(t.bulk, TWIN_CORNER, t.key, TWIN_STATIONS, &from);
	for (unsigned i = 0; i < TWIN_BURSTS; i++) {
		twins_learn(&t);
		twins_change(&t);
		twins_compare(&t);
		if (i % 4 == 0)
			twins_compare_lists(&t);
	}
	bulk = stats_of(t.bulk);
	single = stats_of(t.single);
	assert_int_equal(bulk.learned, single.learned);
	assert_int_equal(bulk.moved, single.moved);
	assert_int_equal(bulk.aged, single.aged);
	assert_int_equal(bulk.evicted, 0);
	/* All of it has happened often enough to mean something. */
	assert_in_range(bulk.learned, TWIN_BURSTS / 2, UINT32_MAX);
	assert_in_range(bulk.moved, TWIN_BURSTS, UINT32_MAX);
	assert_in_range(bulk.aged, TWIN_BURSTS / 4, UINT32_MAX);
	fdb_free(t.bulk);
	fdb_free(t.single);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bulk_lookup_answers_as_single_ones_do),
		cmocka_unit_test(a_bulk_learn_learns_as_many_as_it_is_given),
		cmocka_unit_test(a_new_source_twice_in_a_burst_is_learned_once),
		cmocka_unit_test(a_source_that_moves_to_the_port_of_a_burst_moves_once),
		cmocka_unit_test(a_burst_makes_its_source_young_again),
		cmocka_unit_test(a_burst_after_any_silence_makes_its_source_young_again),
		cmocka_unit_test(a_burst_of_a_late_clock_sets_no_entry_back),
		cmocka_unit_test(a_burst_neither_moves_nor_dates_a_static_entry),
		cmocka_unit_test(a_burst_teaches_no_group_or_zero_address),
		cmocka_unit_test(a_place_found_before_its_station_was_learned_is_the_right_one),
		cmocka_unit_test(a_burst_with_new_sources_makes_the_known_ones_young_again),
		cmocka_unit_test(all_stations_of_a_full_table_are_known_to_bursts),
		cmocka_unit_test(bursts_of_new_sources_evict_only_from_the_port_that_has_most),
		cmocka_unit_test(bursts_teach_what_their_frames_would_one_by_one),
	};

	return cmocka_run_group_tests_name("fdb in bursts", tests, NULL, NULL);
}
