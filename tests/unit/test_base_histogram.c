/* SPDX-License-Identifier: BSD-3-Clause */
/* The latency histogram: exact where it says so, within its bound elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "rw_histogram.h"

static struct rw_histogram h, other;

static int empty(void **state)
{
	(void)state;
	rw_histogram_reset(&h);
	rw_histogram_reset(&other);
	return 0;
}

static void an_empty_one_answers_nothing(void **state)
{
	(void)state;
	assert_int_equal(h.count, 0);
	assert_int_equal(rw_histogram_percentile(&h, 50), 0);
	assert_true(rw_histogram_mean(&h) == 0);
}

static void one_value_is_every_percentile(void **state)
{
	(void)state;
	rw_histogram_add(&h, 123456789);
	assert_int_equal(rw_histogram_percentile(&h, 0), 123456789);
	assert_int_equal(rw_histogram_percentile(&h, 50), 123456789);
	assert_int_equal(rw_histogram_percentile(&h, 100), 123456789);
	assert_int_equal(h.least, 123456789);
	assert_int_equal(h.greatest, 123456789);
	assert_true(rw_histogram_mean(&h) == 123456789);
}

static void values_below_128_are_exact(void **state)
{
	(void)state;
	for (unsigned v = 0; v < 128; v++)
		rw_histogram_add(&h, v);
	for (unsigned v = 0; v < 128; v++)
		assert_int_equal(rw_histogram_percentile(&h, 100.0 * (v + 1) / 128), v);
}

static void every_value_has_a_bucket_and_they_are_in_order(void **state)
{
	unsigned last = 0;

	(void)state;
	for (uint64_t v = 0; v < RW_HISTOGRAM_MAX; v += 1 + v / 500) {
		unsigned i = rw_histogram_bucket(v);

		assert_true(i < RW_HISTOGRAM_BUCKETS);
		assert_in_range(i, last, last + 1);
		last = i;
	}
	assert_int_equal(rw_histogram_bucket(RW_HISTOGRAM_MAX), RW_HISTOGRAM_BUCKETS - 1);
}

static void a_percentile_is_at_most_one_64th_too_high_and_never_too_low(void **state)
{
	(void)state;
	for (uint64_t v = 1; v < RW_HISTOGRAM_MAX / 2; v += 1 + v / 300) {
		uint64_t p;

		rw_histogram_reset(&h);
		rw_histogram_add(&h, v);
		rw_histogram_add(&h, RW_HISTOGRAM_MAX); /* so that v's bucket has to answer */
		p = rw_histogram_percentile(&h, 50);
		assert_in_range(p, v, v + v / 64);
	}
}

static void percentiles_count_values_not_buckets(void **state)
{
	(void)state;
	for (int i = 0; i < 999; i++)
		rw_histogram_add(&h, 10);
	rw_histogram_add(&h, 100);
	assert_int_equal(rw_histogram_percentile(&h, 50), 10);
	assert_int_equal(rw_histogram_percentile(&h, 99.9), 10);
	assert_int_equal(rw_histogram_percentile(&h, 99.91), 100);
	assert_int_equal(rw_histogram_percentile(&h, 100), 100);
	assert_true(rw_histogram_mean(&h) > 10.08999 && rw_histogram_mean(&h) < 10.09001);
}

static void values_can_be_added_many_at_a_time(void **state)
{
	(void)state;
	for (uint64_t v = 3; v < 1000000; v = v * 3 / 2 + 1) {
		for (unsigned i = 0; i < v % 5 + 1; i++)
			rw_histogram_add(&h, v);
		rw_histogram_add_many(&other, v, v % 5 + 1);
	}
	assert_memory_equal(&h, &other, sizeof(h));
}

/* Where a bucket ends, the next one begins: together they are all values. */
static void buckets_follow_each_other(void **state)
{
	(void)state;
	for (unsigned i = 0; i + 1 < RW_HISTOGRAM_BUCKETS; i++) {
		uint64_t end = rw_histogram_bucket_end(i);

		assert_int_equal(rw_histogram_bucket(end), i);
		assert_int_equal(rw_histogram_bucket(end + 1), i + 1);
	}
	assert_int_equal(rw_histogram_bucket_end(RW_HISTOGRAM_BUCKETS - 1), RW_HISTOGRAM_MAX);
}

static void longer_than_it_can_hold_counts_as_the_longest(void **state)
{
	(void)state;
	rw_histogram_add(&h, UINT64_MAX);
	rw_histogram_add(&h, RW_HISTOGRAM_MAX + 1);
	assert_int_equal(h.count, 2);
	assert_int_equal(h.greatest, RW_HISTOGRAM_MAX);
	assert_int_equal(rw_histogram_percentile(&h, 50), RW_HISTOGRAM_MAX);
}

static void merging_is_as_if_all_had_been_added_to_one(void **state)
{
	struct rw_histogram all;

	(void)state;
	rw_histogram_reset(&all);
	for (uint64_t v = 3; v < 1000000; v = v * 3 / 2 + 1) {
		rw_histogram_add(v % 2 ? &h : &other, v);
		rw_histogram_add(&all, v);
	}
	rw_histogram_merge(&h, &other);
	assert_memory_equal(&h, &all, sizeof(h));
}

static void merging_an_empty_one_changes_nothing(void **state)
{
	struct rw_histogram before;

	(void)state;
	rw_histogram_add(&h, 5);
	before = h;
	rw_histogram_merge(&h, &other);
	assert_memory_equal(&h, &before, sizeof(h));
	rw_histogram_merge(&other, &h);
	assert_memory_equal(&other, &h, sizeof(h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_one_answers_nothing, empty),
		cmocka_unit_test_setup(one_value_is_every_percentile, empty),
		cmocka_unit_test_setup(values_below_128_are_exact, empty),
		cmocka_unit_test_setup(every_value_has_a_bucket_and_they_are_in_order, empty),
		cmocka_unit_test_setup(
			a_percentile_is_at_most_one_64th_too_high_and_never_too_low, empty),
		cmocka_unit_test_setup(percentiles_count_values_not_buckets, empty),
		cmocka_unit_test_setup(values_can_be_added_many_at_a_time, empty),
		cmocka_unit_test_setup(buckets_follow_each_other, empty),
		cmocka_unit_test_setup(longer_than_it_can_hold_counts_as_the_longest, empty),
		cmocka_unit_test_setup(merging_is_as_if_all_had_been_added_to_one, empty),
		cmocka_unit_test_setup(merging_an_empty_one_changes_nothing, empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
