/* SPDX-License-Identifier: BSD-3-Clause */
/* The sketch of the heaviest keys, against exact sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "rw_base.h"
#include "rw_heavy.h"

#define NKEYS 5000u
#define NADDS 200000u
#define PARTS 4u

static struct rw_heavy parts[PARTS];
static uint64_t exact[NKEYS], exact_times[NKEYS], total;
static uint64_t border[NKEYS]; /* by key: random numbers below it choose it or one before */
static uint64_t state_of_random;

static uint64_t random_next(void)
{
	state_of_random = state_of_random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return state_of_random >> 16;
}

/* Key `i` is chosen as often as 1 / (i + 1). */
static void zipf_init(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < NKEYS; i++) {
		sum += UINT64_C(1000000000) / (i + 1);
		border[i] = sum;
	}
}

static unsigned zipf_next(void)
{
	uint64_t r = random_next() % border[NKEYS - 1];
	unsigned low = 0, high = NKEYS - 1;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (r < border[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static struct rw_heavy_key key_of(unsigned i)
{
	return (struct rw_heavy_key){.a = i, .b = UINT64_C(0x525400000000)};
}

static int begin(void **state)
{
	(void)state;
	state_of_random = 7;
	memset(exact, 0, sizeof(exact));
	memset(exact_times, 0, sizeof(exact_times));
	total = 0;
	for (unsigned i = 0; i < PARTS; i++)
		rw_heavy_init(&parts[i], 1234 + i);
	zipf_init();
	return 0;
}

static void add(unsigned part, unsigned key)
{
	uint64_t weight = 60 + random_next() % 1455;

	rw_heavy_add(&parts[part], key_of(key), weight, 1);
	exact[key] += weight;
	exact_times[key]++;
	total += weight;
}

static void item_is_within_its_bounds(const struct rw_heavy_item *item, uint64_t bound)
{
	uint64_t truth = exact[item->key.a];

	assert_true(item->weight >= truth);
	assert_true(item->weight - item->error <= truth);
	assert_true(item->error <= bound);
	assert_true(item->times <= exact_times[item->key.a]);
}

static void few_keys_are_exact(void **state)
{
	struct rw_heavy_item top[3];

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		add(0, (unsigned)random_next() % RW_HEAVY_MAX);
	assert_int_equal(parts[0].total, total);
	for (unsigned i = 0; i < RW_HEAVY_MAX; i++) {
		const struct rw_heavy_item *item = rw_heavy_find(&parts[0], key_of(i));

		assert_int_equal(item ? item->weight : 0, exact[i]);
		assert_int_equal(item ? item->times : 0, exact_times[i]);
		assert_int_equal(item ? item->error : 0, 0);
	}
	assert_null(rw_heavy_find(&parts[0], key_of(RW_HEAVY_MAX)));
	assert_int_equal(rw_heavy_top(parts, 1, top, 3), 3);
	assert_true(top[0].weight >= top[1].weight && top[1].weight >= top[2].weight);
}

static void a_zipf_stream_stays_within_the_bound(void **state)
{
	unsigned kept = 0;

	(void)state;
	for (unsigned i = 0; i < NADDS; i++)
		add(0, zipf_next());
	for (unsigned i = 0; i < NKEYS; i++) {
		const struct rw_heavy_item *item = rw_heavy_find(&parts[0], key_of(i));

		if (item)
			item_is_within_its_bounds(item, total / RW_HEAVY_MAX);
		else
			assert_true(exact[i] <= total / RW_HEAVY_MAX);
		kept += item != NULL;
	}
	assert_int_equal(kept, RW_HEAVY_MAX);
	assert_int_equal(parts[0].n, RW_HEAVY_MAX);
}

/* Where all are alike nothing is heavy, and each addition replaces a key. */
static void what_is_replaced_is_gone_and_what_is_kept_is_found(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct rw_heavy *h = &parts[0];

		add(0, i % NKEYS);
		assert_non_null(rw_heavy_find(h, key_of(i % NKEYS)));
		for (unsigned k = 0; i % 100 == 0 && k < h->n; k++)
			assert_ptr_equal(rw_heavy_find(h, h->items[k].key), &h->items[k]);
	}
	for (unsigned k = 0; k < RW_HEAVY_MAX; k++)
		item_is_within_its_bounds(&parts[0].items[k], total / RW_HEAVY_MAX);
}

static void sketches_of_several_streams_are_one_together(void **state)
{
	static struct rw_heavy_item top[PARTS * RW_HEAVY_MAX];
	unsigned n;

	(void)state;
	for (unsigned i = 0; i < NADDS; i++)
		add((unsigned)random_next() % PARTS, zipf_next());
	n = rw_heavy_top(parts, PARTS, top, RW_ARRAY_SIZE(top));
	assert_true(n >= RW_HEAVY_MAX);
	for (unsigned i = 0; i < n; i++) {
		item_is_within_its_bounds(&top[i], total / RW_HEAVY_MAX);
		assert_true(!i || top[i].weight <= top[i - 1].weight);
	}
	/* The heaviest are found, each once, and in their order. */
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(top[i].key.a, i);
	assert_int_equal(rw_heavy_top(parts, PARTS, top, 7), 7);
	assert_int_equal(rw_heavy_top(parts, 0, top, 7), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(few_keys_are_exact, begin),
		cmocka_unit_test_setup(a_zipf_stream_stays_within_the_bound, begin),
		cmocka_unit_test_setup(what_is_replaced_is_gone_and_what_is_kept_is_found, begin),
		cmocka_unit_test_setup(sketches_of_several_streams_are_one_together, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
