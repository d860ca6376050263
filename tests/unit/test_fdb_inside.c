/* SPDX-License-Identifier: BSD-3-Clause */
/* The forwarding database from within: states that its users see only in rare moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fdb_priv.h"

#define KEY UINT64_C(0x0007000000000102) /* domain 7 */

static struct fdb *new_table(uint32_t max_entries)
{
	const struct fdb_config cfg = {.max_entries = max_entries, .max_ports = 16};
	struct fdb *fdb = fdb_new(&cfg);

	assert_non_null(fdb);
	return fdb;
}

static void slot_set(struct fdb_bucket *b, unsigned i, fdb_key key, uint64_t value)
{
	atomic_store(&b->key[i], key);
	atomic_store(&b->value[i], value);
}

static uint32_t lookup_in_bulk(const struct fdb *fdb, fdb_key key)
{
	const struct fdb_hasher hasher = fdb_hasher(fdb);
	struct fdb_query query = fdb_locate(&hasher, key);
	uint32_t hop = 0;

	fdb_lookup_bulk(fdb, &query, &hop, 1);
	return hop;
}

static void expect(const struct fdb *fdb, fdb_key key, uint32_t hop)
{
	assert_int_equal(fdb_lookup(fdb, key), hop);
	assert_int_equal(lookup_in_bulk(fdb, key), hop);
}

static void a_key_has_two_buckets_each_the_other_one_of_the_other(void **state)
{
	static const uint32_t sizes[] = {1, 65536, 65537, 1u << 20};

	(void)state;
	for (unsigned s = 0; s < RW_ARRAY_SIZE(sizes); s++) {
		struct fdb *fdb = new_table(sizes[s]);
		const struct fdb_hasher h = fdb_hasher(fdb);

		for (unsigned n = 0; n < 20000; n++) {
			struct fdb_query q = fdb_locate(&h, n * UINT64_C(0x9e3779b97f4a7c15));
			struct fdb_bucket *other = fdb_other_bucket(&h, q.bucket, q.key);

			assert_true(q.bucket >= h.buckets);
			assert_true(q.bucket < h.buckets + fdb->n_buckets);
			assert_true(other >= h.buckets && other < h.buckets + fdb->n_buckets);
			assert_ptr_not_equal(other, q.bucket);
			assert_ptr_equal(fdb_other_bucket(&h, other, q.key), q.bucket);
		}
		fdb_free(fdb);
	}
}

static void an_entry_is_found_in_each_slot_of_its_buckets(void **state)
{
	struct fdb *fdb = new_table(16);
	struct fdb_query q = fdb_locate(&fdb->hasher, KEY);
	struct fdb_bucket *b[] = {q.bucket, fdb_other_bucket(&fdb->hasher, q.bucket, KEY)};

	(void)state;
	for (unsigned i = 0; i < 2 * FDB_SLOTS; i++) {
		expect(fdb, KEY, FDB_HOP_NONE);
		slot_set(b[i / FDB_SLOTS], i % FDB_SLOTS, KEY, fdb_value(9, FDB_LEARNED, 5));
		expect(fdb, KEY, 9);
		expect(fdb, KEY ^ 2, FDB_HOP_NONE);
		expect(fdb, KEY ^ UINT64_C(1) << 63, FDB_HOP_NONE);
		slot_set(b[i / FDB_SLOTS], i % FDB_SLOTS, 0, FDB_FREE);
	}
	fdb_free(fdb);
}

/* A writer may lose its CPU between its stores. Readers do not wait for it. */
static void a_slot_that_is_half_written_is_free_to_readers(void **state)
{
	struct fdb *fdb = new_table(16);
	struct fdb_query q = fdb_locate(&fdb->hasher, KEY);
	struct fdb_bucket *second = fdb_other_bucket(&fdb->hasher, q.bucket, KEY);

	(void)state;
	slot_set(q.bucket, 1, KEY, FDB_FREE);
	expect(fdb, KEY, FDB_HOP_NONE);
	/* Nor does it hide the entry while a copy of it is written. */
	slot_set(second, 2, KEY, fdb_value(9, FDB_STATIC, 0));
	expect(fdb, KEY, 9);
	slot_set(q.bucket, 1, KEY, fdb_value(9, FDB_STATIC, 0));
	expect(fdb, KEY, 9);
	slot_set(second, 2, KEY, FDB_FREE);
	expect(fdb, KEY, 9);
	fdb_free(fdb);
}

static void the_key_of_free_slots_is_not_found(void **state)
{
	struct fdb *fdb = new_table(16);

	(void)state;
	expect(fdb, 0, FDB_HOP_NONE);
	for (uint32_t n = 1; n < 16; n++)
		fdb_learn(fdb, 2 * n, 3, 0);
	for (uint32_t n = 1; n < 16; n++)
		assert_int_equal(fdb_del(fdb, 2 * n), 0);
	expect(fdb, 0, FDB_HOP_NONE);
	assert_int_equal(fdb_learn(fdb, 0, 3, 0), FDB_REFUSED);
	fdb_free(fdb);
}

/* While a domain is emptied, nothing is learned in it; its entries stay where they are found. */
static void a_domain_that_is_emptied_gets_no_entries(void **state)
{
	struct fdb *fdb = new_table(16);

	(void)state;
	fdb->domain_flushed = fdb_key_domain(KEY);
	assert_int_equal(fdb_learn(fdb, KEY, 3, 0), FDB_REFUSED);
	assert_int_equal(fdb_learn(fdb, KEY & ~(UINT64_C(0xffff) << 48), 3, 0), FDB_NEW);
	assert_int_equal(fdb_flush_domain(fdb, fdb_key_domain(KEY)), 0);
	assert_int_equal(fdb_learn(fdb, KEY, 3, 0), FDB_NEW);
	fdb_free(fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_has_two_buckets_each_the_other_one_of_the_other),
		cmocka_unit_test(an_entry_is_found_in_each_slot_of_its_buckets),
		cmocka_unit_test(a_slot_that_is_half_written_is_free_to_readers),
		cmocka_unit_test(the_key_of_free_slots_is_not_found),
		cmocka_unit_test(a_domain_that_is_emptied_gets_no_entries),
	};

	return cmocka_run_group_tests_name("fdb from within", tests, NULL, NULL);
}
