/* SPDX-License-Identifier: BSD-3-Clause */
/* The forwarding database from within: what its users see only in rare moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fdb_priv.h"

/* xorshift64*: the same numbers in every run. */
static uint64_t next_random(void)
{
	static uint64_t state = UINT64_C(88172645463325252);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(2685821657736338717);
}

static struct fdb *new_table(uint32_t max_entries)
{
	const struct fdb_config cfg = {.max_entries = max_entries, .max_ports = FDB_MAX_PORTS};
	struct fdb *fdb = fdb_new(&cfg);

	assert_non_null(fdb);
	return fdb;
}

static void check_key(const struct fdb *fdb, fdb_key key)
{
	fdb_hash hash = fdb_hash_with(fdb->places.secret, key);
	uint32_t first = fdb_first(fdb, hash), second = fdb_second(fdb, hash);
	uint64_t rest = next_random() & ~FDB_TAG_MASK;

	assert_true(fdb_key_of(fdb, hash) == key);
	assert_true(first < fdb->buckets && second < fdb->buckets && first != second);
	assert_int_equal(fdb_other(fdb, second, hash), first);
	assert_true(fdb_entry_key(fdb, first, fdb_first_tag(hash) | rest) == key);
	assert_true(fdb_entry_key(fdb, second, fdb_second_tag(hash) | rest) == key);
	/* A free slot is neither. */
	assert_false(fdb_is_hit(fdb_first_tag(hash)) || fdb_is_hit(fdb_second_tag(hash)));
}

static void a_key_follows_from_its_bucket_and_its_slot(void **state)
{
	static const uint32_t sizes[] = {1, 65536, 65537, 1u << 20};

	(void)state;
	for (unsigned s = 0; s < RW_ARRAY_SIZE(sizes); s++) {
		struct fdb *fdb = new_table(sizes[s]);

		check_key(fdb, 0);
		check_key(fdb, FDB_KEY_MASK);
		for (unsigned bit = 0; bit < 60; bit++)
			check_key(fdb, UINT64_C(1) << bit);
		for (unsigned i = 0; i < 20000; i++)
			check_key(fdb, next_random() & FDB_KEY_MASK);
		fdb_free(fdb);
	}
}

/* Slots as they may stand beside the one that is looked for, once or twice. */
static uint64_t some_slot(uint64_t tag)
{
	uint64_t random = next_random();

	switch (random >> 60) {
	case 0:
		return tag | (random & ~FDB_TAG_MASK);
	case 1:
	case 2:
		return 0;
	case 3:
	case 4:
	case 5:
	case 6:
		/* One bit is another one. */
		return (tag ^ (FDB_TAG_MASK & -FDB_TAG_MASK) << (random >> 32) % 48) |
			(random & ~FDB_TAG_MASK);
	default:
		return next_random() | UINT64_C(1) << 63;
	}
}

FDB_WIDE static uint64_t compare_wide(const struct fdb_bucket *b, uint64_t tag)
{
	return fdb_compare_wide(b, tag);
}

/*
 * A station that is learned again while a reader is on its way through the bucket may be met twice. The
 * answer is then one of what the two slots say, not a mixture of them.
 */
static void a_bucket_says_what_one_of_its_slots_says(void **state)
{
	unsigned hits[3] = {0};

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t tag = (next_random() & FDB_TAG_MASK) | UINT64_C(1) << 63;
		uint64_t least = UINT64_MAX, left;
		struct fdb_bucket b;
		unsigned n = 0;

		for (unsigned k = 0; k < FDB_WAYS; k++) {
			uint64_t slot = some_slot(tag);

			atomic_init(&b.slot[k], slot);
			if ((slot & FDB_TAG_MASK) != tag)
				continue;
			least = RW_MIN(least, slot & ~FDB_TAG_MASK);
			n++;
		}
		hits[RW_MIN(n, 2u)]++;
		left = fdb_compare(&b, tag);
		assert_true(n ? left == least : !fdb_is_hit(left));
		if (!fdb_is_wide())
			continue;
		left = compare_wide(&b, tag);
		assert_true(n ? left == least : !fdb_is_hit(left));
	}
	for (unsigned n = 0; n < 3; n++)
		assert_true(hits[n] > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_follows_from_its_bucket_and_its_slot),
		cmocka_unit_test(a_bucket_says_what_one_of_its_slots_says),
	};

	return cmocka_run_group_tests_name("fdb from within", tests, NULL, NULL);
}
