/* SPDX-License-Identifier: BSD-3-Clause */
/* The forwarding database: what a switch expects of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fdb_fixture.h"

/* The listed entry of `key`. */
static bool listed(struct fdb *fdb, fdb_key key, struct fdb_entry *out)
{
	uint32_t cursor = 0;

	while (cursor != FDB_CURSOR_END)
		if (fdb_list(fdb, &cursor, out, 1) && out->key == key)
			return true;
	return false;
}

static void a_key_gives_back_its_mac_and_vlan(void **state)
{
	const uint8_t mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0xff};
	uint8_t back[6];

	(void)state;
	fdb_key_mac(fdb_key_make(mac, 65535), back);
	assert_memory_equal(back, mac, 6);
	assert_int_equal(fdb_key_domain(fdb_key_make(mac, 65535)), 65535);
	assert_int_equal(fdb_key_domain(fdb_key_make(mac, 0)), 0);
}

static void any_port_vlan_and_address_is_listed_as_it_was_learned(void **state)
{
	const struct fdb_config cfg = {.max_entries = 4096, .max_ports = 1024};
	struct fdb *fdb = fdb_new(&cfg);
	uint64_t mixed = 3;

	(void)state;
	assert_non_null(fdb);
	for (unsigned n = 0; n < 1024; n++) {
		fdb_key key = (mixed *= UINT64_C(0x9e3779b97f4a7c15)) & ~UINT64_C(1);
		struct fdb_entry e;

		if (n == 1023)
			key = UINT64_MAX - 1;
		assert_int_equal(fdb_learn(fdb, key, n, n), FDB_NEW);
		assert_int_equal(fdb_lookup(fdb, key), n);
		assert_int_equal(fdb_lookup(fdb, key | 1), FDB_HOP_NONE);
		if (n % 32 != 31)
			continue;
		assert_true(listed(fdb, key, &e));
		assert_int_equal(e.hop, n);
		assert_int_equal(e.last_seen_s, n);
	}
	fdb_free(fdb);
}

static void a_table_needs_a_size_and_ports_within_bounds(void **state)
{
	const struct fdb_config bad[] = {
		{.max_entries = 0, .max_ports = 1},
		{.max_entries = (1u << 24) + 1, .max_ports = 1},
		{.max_entries = 1, .max_ports = 0},
		{.max_entries = 1, .max_ports = (1u << 16) + 1},
	};

	(void)state;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		errno = 0;
		assert_null(fdb_new(&bad[i]));
		assert_int_equal(errno, EINVAL);
	}
	fdb_free(NULL);
}

static void a_station_is_found_behind_the_port_it_was_learned_at(void **state)
{
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), FDB_HOP_NONE);
	assert_int_equal(fdb_learn(fdb, station(1, 0), 3, 10), FDB_NEW);
	assert_int_equal(fdb_learn(fdb, station(1, 0), 3, 10), FDB_KNOWN);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), 3);
	assert_int_equal(fdb_lookup(fdb, station(2, 0)), FDB_HOP_NONE);
	fdb_free(fdb);
}

static void a_moved_station_is_found_behind_its_new_port(void **state)
{
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	fdb_learn(fdb, station(1, 0), 3, 10);
	assert_int_equal(fdb_learn(fdb, station(1, 0), 4, 10), FDB_MOVED);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), 4);
	assert_int_equal(fdb_count(fdb, 3), 0);
	assert_int_equal(fdb_count(fdb, 4), 1);
	assert_int_equal(entries(fdb), 1);
	fdb_free(fdb);
}

static void the_same_mac_in_two_vlans_is_two_stations(void **state)
{
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	assert_int_equal(fdb_learn(fdb, station(1, 10), 1, 0), FDB_NEW);
	assert_int_equal(fdb_learn(fdb, station(1, 20), 2, 0), FDB_NEW);
	assert_int_equal(fdb_lookup(fdb, station(1, 10)), 1);
	assert_int_equal(fdb_lookup(fdb, station(1, 20)), 2);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), FDB_HOP_NONE);
	assert_int_equal(fdb_del(fdb, station(1, 10)), 0);
	assert_int_equal(fdb_lookup(fdb, station(1, 20)), 2);
	fdb_free(fdb);
}

static void group_and_zero_addresses_are_refused(void **state)
{
	static const uint8_t bad[][6] = {
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0x01, 0x00, 0x5e, 0, 0, 1},
		{0x33, 0x33, 0, 0, 0, 1},
		{0},
	};
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		fdb_key key = fdb_key_make(bad[i], 7);

		assert_int_equal(fdb_learn(fdb, key, 0, 0), FDB_REFUSED);
		assert_int_equal(fdb_add_static(fdb, key, 0, true), -EINVAL);
		assert_int_equal(fdb_lookup(fdb, key), FDB_HOP_NONE);
	}
	assert_int_equal(entries(fdb), 0);
	fdb_free(fdb);
}

static void an_entry_stays_until_more_than_the_ageing_time_has_passed(void **state)
{
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	fdb_learn(fdb, station(1, 0), 1, 1000);
	assert_int_equal(age_all(fdb, 1300), 0);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), 1);
	assert_int_equal(age_all(fdb, 1301), 1);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), FDB_HOP_NONE);
	fdb_free(fdb);
}

static void a_frame_makes_its_entry_young_again(void **state)
{
	struct fdb *fdb = new_table(16, 300);
	struct fdb_entry e;

	(void)state;
	fdb_learn(fdb, station(1, 0), 1, 1000);
	assert_int_equal(fdb_learn(fdb, station(1, 0), 1, 1200), FDB_KNOWN);
	assert_true(listed(fdb, station(1, 0), &e));
	assert_int_equal(e.last_seen_s, 1200);
	assert_int_equal(age_all(fdb, 1500), 0);
	assert_int_equal(age_all(fdb, 1501), 1);
	fdb_free(fdb);
}

static void a_move_makes_its_entry_young_again(void **state)
{
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	fdb_learn(fdb, station(1, 0), 1, 1000);
	fdb_learn(fdb, station(1, 0), 2, 1200);
	assert_int_equal(age_all(fdb, 1500), 0);
	assert_int_equal(age_all(fdb, 1501), 1);
	fdb_free(fdb);
}

/* Workers read the clock at slightly different moments. */
static void an_entry_seen_later_than_now_is_young_and_never_set_back(void **state)
{
	struct fdb *fdb = new_table(16, 300);
	struct fdb_entry e;

	(void)state;
	fdb_learn(fdb, station(1, 0), 1, 1001);
	assert_int_equal(age_all(fdb, 1000), 0);
	assert_int_equal(fdb_learn(fdb, station(1, 0), 1, 1000), FDB_KNOWN);
	assert_true(listed(fdb, station(1, 0), &e));
	assert_int_equal(e.last_seen_s, 1001);
	fdb_free(fdb);
}

static void without_an_ageing_time_nothing_ages(void **state)
{
	struct fdb *fdb = new_table(16, 0);

	(void)state;
	fdb_learn(fdb, station(1, 0), 1, 0);
	assert_int_equal(age_all(fdb, 1000000), 0);
	fdb_set_age(fdb, 10);
	assert_int_equal(age_all(fdb, 1000000), 1);
	fdb_learn(fdb, station(1, 0), 1, 0);
	fdb_set_age(fdb, 0);
	assert_int_equal(age_all(fdb, 1000000), 0);
	assert_int_equal(entries(fdb), 1);
	fdb_free(fdb);
}

static void four_calls_age_a_table_of_any_size(void **state)
{
	static const uint32_t sizes[] = {1, 2, 1000, 65536, 65537, 200000};

	(void)state;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		struct fdb *fdb = new_table(sizes[i], 1);

		for (uint32_t n = 0; n < sizes[i]; n++)
			assert_int_equal(fdb_learn(fdb, station(n, 0), n % PORTS, 0), FDB_NEW);
		assert_int_equal(age_all(fdb, 2), sizes[i]);
		assert_int_equal(entries(fdb), 0);
		fdb_free(fdb);
	}
}

static void a_static_entry_neither_moves_nor_ages_nor_is_flushed(void **state)
{
	struct fdb *fdb = new_table(16, 300);
	struct fdb_entry e;

	(void)state;
	assert_int_equal(fdb_add_static(fdb, station(1, 0), 5, true), 0);
	assert_int_equal(fdb_learn(fdb, station(1, 0), 6, 10), FDB_REFUSED);
	assert_int_equal(fdb_learn(fdb, station(1, 0), 5, 10), FDB_KNOWN);
	assert_int_equal(age_all(fdb, 1000000), 0);
	assert_int_equal(fdb_flush(fdb, 5), 0);
	assert_int_equal(fdb_flush(fdb, FDB_HOP_NONE), 0);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), 5);
	assert_true(listed(fdb, station(1, 0), &e));
	assert_int_equal(e.kind, FDB_STATIC);
	assert_int_equal(e.last_seen_s, 0);
	fdb_free(fdb);
}

static void a_static_entry_replaces_a_learned_one_and_an_older_static_one(void **state)
{
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	fdb_learn(fdb, station(1, 0), 1, 0);
	assert_int_equal(fdb_add_static(fdb, station(1, 0), 2, true), 0);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), 2);
	assert_int_equal(fdb_add_static(fdb, station(1, 0), 3, true), 0);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), 3);
	assert_int_equal(entries(fdb), 1);
	assert_int_equal(fdb_count(fdb, 1) + fdb_count(fdb, 2), 0);
	assert_int_equal(fdb_count(fdb, 3), 1);
	fdb_free(fdb);
}

static void a_deleted_static_entry_can_be_learned_again(void **state)
{
	struct fdb *fdb = new_table(16, 300);

	(void)state;
	fdb_add_static(fdb, station(1, 0), 5, true);
	assert_int_equal(fdb_del(fdb, station(1, 0)), 0);
	assert_int_equal(fdb_del(fdb, station(1, 0)), -ENOENT);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), FDB_HOP_NONE);
	assert_int_equal(fdb_learn(fdb, station(1, 0), 6, 0), FDB_NEW);
	assert_int_equal(fdb_lookup(fdb, station(1, 0)), 6);
	fdb_free(fdb);
}

static void a_flush_takes_the_learned_entries_of_its_port_only(void **state)
{
	struct fdb *fdb = new_table(1000, 300);

	(void)state;
	for (uint32_t n = 0; n < 300; n++)
		fdb_learn(fdb, station(n, 0), n % 3, 0);
	fdb_add_static(fdb, station(1000, 0), 1, true);
	assert_int_equal(fdb_flush(fdb, 1), 100);
	assert_int_equal(fdb_flush(fdb, 1), 0);
	for (uint32_t n = 0; n < 300; n++)
		assert_int_equal(fdb_lookup(fdb, station(n, 0)), n % 3 == 1 ? FDB_HOP_NONE : n % 3);
	assert_int_equal(fdb_lookup(fdb, station(1000, 0)), 1);
	assert_int_equal(fdb_flush(fdb, FDB_HOP_NONE), 200);
	assert_int_equal(entries(fdb), 1);
	fdb_free(fdb);
}

static void a_forgotten_port_leaves_nothing_behind(void **state)
{
	struct fdb *fdb = new_table(1000, 300);

	(void)state;
	for (uint32_t n = 0; n < 300; n++)
		fdb_learn(fdb, station(n, 0), n % 3, 0);
	fdb_add_static(fdb, station(1000, 0), 1, true);
	fdb_add_static(fdb, station(1001, 0), 2, true);
	assert_int_equal(fdb_forget_port(fdb, 1), 101);
	assert_int_equal(fdb_count(fdb, 1), 0);
	assert_int_equal(fdb_lookup(fdb, station(1000, 0)), FDB_HOP_NONE);
	assert_int_equal(fdb_lookup(fdb, station(1001, 0)), 2);
	assert_int_equal(entries(fdb), 201);
	fdb_free(fdb);
}

static void a_flooding_port_evicts_only_its_own_entries(void **state)
{
	const uint32_t max = 2000;
	struct fdb *fdb = new_table(max, 300);
	struct fdb_stats stats;

	(void)state;
	for (uint32_t n = 0; n < 300; n++)
		fdb_learn(fdb, station(n, 0), 1 + n % 3, 0);
	for (uint32_t n = 0; n < 10 * max; n++) {
		enum fdb_learned what = fdb_learn(fdb, station(10000 + n, 0), 9, n / max);

		assert_int_equal(what, n < max - 300 ? FDB_NEW : FDB_EVICTED);
		assert_int_equal(fdb_lookup(fdb, station(10000 + n, 0)), 9);
	}
	for (uint32_t n = 0; n < 300; n++)
		assert_int_equal(fdb_lookup(fdb, station(n, 0)), 1 + n % 3);
	fdb_get_stats(fdb, &stats);
	assert_int_equal(stats.entries, max);
	assert_int_equal(stats.evicted, 9 * max + 300);
	assert_int_equal(fdb_count(fdb, 9), max - 300);
	fdb_free(fdb);
}

/* A port that comes late to a full table takes from the largest until it is as large itself. */
static void a_late_port_gets_its_share_of_a_full_table(void **state)
{
	struct fdb *fdb = new_table(900, 300);

	(void)state;
	for (uint32_t n = 0; n < 600; n++)
		fdb_learn(fdb, station(n, 0), 1, 0);
	for (uint32_t n = 600; n < 900; n++)
		fdb_learn(fdb, station(n, 0), 2, 0);
	for (uint32_t n = 900; n < 3000; n++)
		fdb_learn(fdb, station(n, 0), 3, 0);
	/* Equal counts may each be hit, so a turn can be one off. */
	assert_in_range(fdb_count(fdb, 1), 299, 301);
	assert_in_range(fdb_count(fdb, 2), 299, 301);
	assert_in_range(fdb_count(fdb, 3), 299, 301);
	assert_int_equal(entries(fdb), 900);
	fdb_free(fdb);
}

static void the_entry_learned_first_goes_first(void **state)
{
	struct fdb *fdb = new_table(64, 300);

	(void)state;
	for (uint32_t n = 0; n < 64; n++)
		fdb_learn(fdb, station(n, 0), 1, 0);
	for (uint32_t n = 64; n < 96; n++) {
		assert_int_equal(fdb_learn(fdb, station(n, 0), 1, 0), FDB_EVICTED);
		assert_int_equal(fdb_lookup(fdb, station(n - 64, 0)), FDB_HOP_NONE);
		assert_int_equal(fdb_lookup(fdb, station(n - 63, 0)), 1);
	}
	fdb_free(fdb);
}

/* Even where more busy stations came first than get a second chance at a time. */
static void stations_that_talk_outlive_what_their_port_invents(void **state)
{
	const uint32_t busy = 20, max = 256;
	struct fdb *fdb = new_table(max, 300);
	uint32_t alive = 0;

	(void)state;
	for (uint32_t n = 0; n < max; n++)
		fdb_learn(fdb, station(n, 0), 1, 0);
	for (uint32_t n = 0; n < busy; n++)
		fdb_learn(fdb, station(n, 0), 1, 1);
	for (uint32_t n = max; n < 2 * max - busy; n++)
		assert_int_equal(fdb_learn(fdb, station(n, 0), 1, 1), FDB_EVICTED);
	for (uint32_t n = 0; n < busy; n++)
		alive += fdb_lookup(fdb, station(n, 0)) == 1;
	assert_in_range(alive, busy - busy / 8, busy);
	fdb_free(fdb);
}

static void static_entries_count_for_the_limit_and_are_never_evicted(void **state)
{
	struct fdb *fdb = new_table(64, 300);

	(void)state;
	for (uint32_t n = 0; n < 63; n++)
		assert_int_equal(fdb_add_static(fdb, station(n, 0), 1, true), 0);
	assert_int_equal(fdb_learn(fdb, station(100, 0), 2, 0), FDB_NEW);
	assert_int_equal(fdb_learn(fdb, station(101, 0), 3, 0), FDB_EVICTED);
	assert_int_equal(fdb_lookup(fdb, station(100, 0)), FDB_HOP_NONE);
	assert_int_equal(fdb_add_static(fdb, station(63, 0), 1, true), 0);
	assert_int_equal(fdb_lookup(fdb, station(101, 0)), FDB_HOP_NONE);
	assert_int_equal(entries(fdb), 64);
	for (uint32_t n = 0; n < 64; n++)
		assert_int_equal(fdb_lookup(fdb, station(n, 0)), 1);
	fdb_free(fdb);
}

static void a_table_of_static_entries_only_has_no_room(void **state)
{
	struct fdb *fdb = new_table(2, 300);

	(void)state;
	assert_int_equal(fdb_add_static(fdb, station(1, 0), 1, true), 0);
	assert_int_equal(fdb_add_static(fdb, station(2, 0), 1, true), 0);
	assert_int_equal(fdb_add_static(fdb, station(3, 0), 1, true), -ENOSPC);
	assert_int_equal(fdb_learn(fdb, station(3, 0), 1, 0), FDB_REFUSED);
	assert_int_equal(fdb_add_static(fdb, station(2, 0), 2, true), 0);
	assert_int_equal(fdb_lookup(fdb, station(2, 0)), 2);
	assert_int_equal(fdb_lookup(fdb, station(3, 0)), FDB_HOP_NONE);
	assert_int_equal(entries(fdb), 2);
	fdb_free(fdb);
}

static void a_list_in_small_steps_shows_each_entry_once(void **state)
{
	const uint32_t n_entries = 500;
	struct fdb *fdb = new_table(1000, 300);

	(void)state;
	for (uint32_t n = 0; n < n_entries; n++)
		fdb_learn(fdb, station(n, n % 3), n % PORTS, n);
	for (uint32_t step = 1; step <= 7; step += 3) {
		uint8_t shown[500] = {0};
		struct fdb_entry e[8];
		uint32_t cursor = 0;

		while (cursor != FDB_CURSOR_END) {
			uint32_t got = fdb_list(fdb, &cursor, e, step);

			assert_in_range(got, 0, step);
			for (uint32_t i = 0; i < got; i++) {
				uint32_t n = e[i].last_seen_s;

				assert_in_range(n, 0, n_entries - 1);
				assert_true(e[i].key == station(n, n % 3));
				assert_int_equal(e[i].hop, n % PORTS);
				assert_int_equal(e[i].kind, FDB_LEARNED);
				shown[n]++;
			}
		}
		for (uint32_t n = 0; n < n_entries; n++)
			assert_int_equal(shown[n], 1);
	}
	fdb_free(fdb);
}

static void a_list_of_an_empty_table_ends_at_once(void **state)
{
	struct fdb *fdb = new_table(1000, 300);
	struct fdb_entry e;
	uint32_t cursor = 0;

	(void)state;
	assert_int_equal(fdb_list(fdb, &cursor, &e, 1), 0);
	assert_true(cursor == FDB_CURSOR_END);
	assert_int_equal(fdb_list(fdb, &cursor, &e, 1), 0);
	assert_true(cursor == FDB_CURSOR_END);
	fdb_free(fdb);
}

static void the_counters_tell_what_happened(void **state)
{
	struct fdb *fdb = new_table(2, 10);
	struct fdb_stats stats;

	(void)state;
	fdb_learn(fdb, station(1, 0), 1, 0);
	fdb_learn(fdb, station(1, 0), 1, 1);
	fdb_learn(fdb, station(1, 0), 2, 1);
	fdb_learn(fdb, station(2, 0), 2, 1);
	fdb_learn(fdb, station(3, 0), 3, 1);
	fdb_add_static(fdb, station(4, 0), 3, true);
	age_all(fdb, 12);
	fdb_get_stats(fdb, &stats);
	assert_int_equal(stats.entries, 1);
	assert_int_equal(stats.max_entries, 2);
	assert_int_equal(stats.learned, 3);
	assert_int_equal(stats.moved, 1);
	assert_int_equal(stats.evicted, 2);
	assert_int_equal(stats.aged, 1);
	assert_int_equal(fdb_count(fdb, 3), 1);
	fdb_free(fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_gives_back_its_mac_and_vlan),
		cmocka_unit_test(any_port_vlan_and_address_is_listed_as_it_was_learned),
		cmocka_unit_test(a_table_needs_a_size_and_ports_within_bounds),
		cmocka_unit_test(a_station_is_found_behind_the_port_it_was_learned_at),
		cmocka_unit_test(a_moved_station_is_found_behind_its_new_port),
		cmocka_unit_test(the_same_mac_in_two_vlans_is_two_stations),
		cmocka_unit_test(group_and_zero_addresses_are_refused),
		cmocka_unit_test(an_entry_stays_until_more_than_the_ageing_time_has_passed),
		cmocka_unit_test(a_frame_makes_its_entry_young_again),
		cmocka_unit_test(a_move_makes_its_entry_young_again),
		cmocka_unit_test(an_entry_seen_later_than_now_is_young_and_never_set_back),
		cmocka_unit_test(without_an_ageing_time_nothing_ages),
		cmocka_unit_test(four_calls_age_a_table_of_any_size),
		cmocka_unit_test(a_static_entry_neither_moves_nor_ages_nor_is_flushed),
		cmocka_unit_test(a_static_entry_replaces_a_learned_one_and_an_older_static_one),
		cmocka_unit_test(a_deleted_static_entry_can_be_learned_again),
		cmocka_unit_test(a_flush_takes_the_learned_entries_of_its_port_only),
		cmocka_unit_test(a_forgotten_port_leaves_nothing_behind),
		cmocka_unit_test(a_flooding_port_evicts_only_its_own_entries),
		cmocka_unit_test(a_late_port_gets_its_share_of_a_full_table),
		cmocka_unit_test(the_entry_learned_first_goes_first),
		cmocka_unit_test(stations_that_talk_outlive_what_their_port_invents),
		cmocka_unit_test(static_entries_count_for_the_limit_and_are_never_evicted),
		cmocka_unit_test(a_table_of_static_entries_only_has_no_room),
		cmocka_unit_test(a_list_in_small_steps_shows_each_entry_once),
		cmocka_unit_test(a_list_of_an_empty_table_ends_at_once),
		cmocka_unit_test(the_counters_tell_what_happened),
	};

	return cmocka_run_group_tests_name("fdb", tests, NULL, NULL);
}
