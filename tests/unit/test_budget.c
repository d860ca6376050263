/* SPDX-License-Identifier: BSD-3-Clause */
/* Budgets of ports, and what the ports share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rw_budget.h"

#define FDS RW_BUDGET_FDS

static uint64_t used(const struct rw_budgets *b)
{
	return b->of[FDS].used;
}

static void a_budget_refuses_what_exceeds_its_limit(void **state)
{
	struct rw_budgets b;
	char why[256];

	(void)state;
	rw_budgets_init(&b, "vm1");
	rw_budget_limit(&b, FDS, 10);
	assert_int_equal(rw_budget_take(&b, FDS, 7), 0);
	assert_int_equal(rw_budget_take(&b, FDS, 4), -EDQUOT);
	rw_budget_explain(&b, why, sizeof(why));
	assert_string_equal(
		why, "7 of 10 fds used and 4 more wanted: ringway port set vm1 max-fds=N");
	assert_int_equal(used(&b), 7);
	assert_int_equal(rw_budget_take(&b, FDS, 3), 0);
	assert_int_equal(rw_budget_take(&b, FDS, UINT64_MAX), -EDQUOT);
	rw_budget_give(&b, FDS, 10);
	assert_int_equal(used(&b), 0);
	assert_int_equal(b.of[FDS].high, 10);
	assert_int_equal(b.of[FDS].refused, 2);
	/* Other kinds have nothing to do with it. */
	assert_int_equal(b.of[RW_BUDGET_MAPPINGS].refused, 0);
}

static void a_lower_limit_takes_nothing_away(void **state)
{
	struct rw_budgets b;

	(void)state;
	rw_budgets_init(&b, "vm1");
	assert_int_equal(rw_budget_take(&b, FDS, 100), 0);
	rw_budget_limit(&b, FDS, 50);
	assert_int_equal(used(&b), 100);
	assert_int_equal(rw_budget_take(&b, FDS, 1), -EDQUOT);
	rw_budget_give(&b, FDS, 51);
	assert_int_equal(rw_budget_take(&b, FDS, 1), 0);
	assert_int_equal(rw_budget_take(&b, FDS, 1), -EDQUOT);
}

static void nothing_is_counted_without_budgets(void **state)
{
	(void)state;
	assert_int_equal(rw_budget_take(NULL, FDS, UINT64_MAX), 0);
	rw_budget_give(NULL, FDS, 1);
	rw_budget_note(NULL, FDS, 1);
}

static void a_pool_keeps_what_it_guarantees(void **state)
{
	struct rw_budget_pools pools = {.nmembers = 0};
	struct rw_budgets m[4];
	char why[256];

	(void)state;
	rw_budget_pool_set(&pools, FDS, 800);
	for (size_t i = 0; i < 4; i++) {
		rw_budgets_init(&m[i], "vm1");
		rw_budgets_join(&m[i], &pools);
	}
	/* Half of 800 for four: 100 each, whatever the others do. */
	assert_int_equal(m[0].of[FDS].floor, 100);
	assert_int_equal(rw_budget_take(&m[0], FDS, 501), -EDQUOT);
	rw_budget_explain(&m[0], why, sizeof(why));
	assert_non_null(strstr(why, "501 more fds, and all ports together have none left"));
	assert_non_null(strstr(why, "LimitNOFILE="));
	assert_int_equal(rw_budget_take(&m[0], FDS, 500), 0);
	assert_int_equal(rw_budget_take(&m[1], FDS, 101), -EDQUOT);
	assert_int_equal(rw_budget_take(&m[1], FDS, 100), 0);
	assert_int_equal(rw_budget_take(&m[2], FDS, 60), 0);
	assert_int_equal(rw_budget_take(&m[2], FDS, 41), -EDQUOT);
	assert_int_equal(rw_budget_take(&m[2], FDS, 40), 0);
	assert_int_equal(rw_budget_take(&m[0], FDS, 1), -EDQUOT);
	assert_int_equal(rw_budget_take(&m[3], FDS, 100), 0);
	assert_int_equal(pools.of[FDS].used, 800);
	assert_int_equal(pools.of[FDS].owed, 0);
	/* What the first gives back beyond its guarantee is for all; below that it is its own. */
	rw_budget_give(&m[0], FDS, 450);
	assert_int_equal(rw_budget_take(&m[1], FDS, 401), -EDQUOT);
	assert_int_equal(rw_budget_take(&m[1], FDS, 400), 0);
	assert_int_equal(rw_budget_take(&m[0], FDS, 50), 0);
	for (size_t i = 0; i < 4; i++)
		rw_budgets_leave(&m[i]);
	assert_int_equal(pools.of[FDS].used, 0);
	assert_int_equal(pools.of[FDS].owed, 0);
}

static void guarantees_follow_the_members(void **state)
{
	struct rw_budget_pools pools = {.nmembers = 0};
	struct rw_budgets a, b;

	(void)state;
	rw_budget_pool_set(&pools, FDS, 100);
	rw_budgets_init(&a, "a");
	rw_budgets_init(&b, "b");
	rw_budgets_join(&a, &pools);
	assert_int_equal(a.of[FDS].floor, 50);
	assert_int_equal(rw_budget_take(&a, FDS, 95), 0);
	/* Too late for a guarantee: there is what there is. */
	rw_budgets_join(&b, &pools);
	assert_int_equal(b.of[FDS].floor, 25);
	assert_int_equal(rw_budget_take(&b, FDS, 6), -EDQUOT);
	assert_int_equal(rw_budget_take(&b, FDS, 5), 0);
	rw_budget_give(&a, FDS, 30);
	assert_int_equal(rw_budget_take(&a, FDS, 11), -EDQUOT);
	assert_int_equal(rw_budget_take(&b, FDS, 20), 0);
	/* A limit below the share is all that is guaranteed. */
	rw_budget_limit(&b, FDS, 25);
	rw_budget_limit(&a, FDS, 10);
	assert_int_equal(a.of[FDS].floor, 10);
	rw_budgets_leave(&a);
	assert_int_equal(pools.of[FDS].used, 25);
	assert_int_equal(b.of[FDS].floor, 25);
	rw_budgets_leave(&b);
	assert_int_equal(pools.nmembers, 0);
}

/* Whatever is taken and given back, the sums stay right and each guarantee can be had. */
static void guarantees_hold_in_any_order(void **state)
{
	struct rw_budget_pools pools = {.nmembers = 0};
	struct rw_budgets m[5];
	uint64_t sum, owed;

	(void)state;
	rw_budget_pool_set(&pools, FDS, 1000);
	for (size_t i = 0; i < 5; i++) {
		rw_budgets_init(&m[i], "vm1");
		rw_budget_limit(&m[i], FDS, i ? 600 : 40);
		rw_budgets_join(&m[i], &pools);
	}
	srand(1);
	for (int step = 0; step < 20000; step++) {
		struct rw_budgets *one = &m[rand() % 5];
		uint64_t n = (uint64_t)rand() % 200;

		if (rand() % 2)
			(void)rw_budget_take(one, FDS, n);
		else
			rw_budget_give(one, FDS, RW_MIN(n, used(one)));
		sum = owed = 0;
		for (size_t i = 0; i < 5; i++) {
			sum += used(&m[i]);
			owed += m[i].of[FDS].floor - RW_MIN(m[i].of[FDS].floor, used(&m[i]));
			assert_true(used(&m[i]) <= m[i].of[FDS].limit);
		}
		assert_int_equal(pools.of[FDS].used, sum);
		assert_int_equal(pools.of[FDS].owed, owed);
		assert_true(sum + owed <= 1000);
	}
}

static void amounts_are_readable(void **state)
{
	static const struct {
		enum rw_budget_kind kind;
		uint64_t n;
		const char *text;
	} cases[] = {
		{FDS, 2048, "2048"},
		{RW_BUDGET_MAPPED, 0, "0"},
		{RW_BUDGET_MAPPED, 1000, "1000"},
		{RW_BUDGET_MAPPED, 1024, "1K"},
		{RW_BUDGET_MAPPED, 8ull << 40, "8T"},
		{RW_BUDGET_MAPPED, (20ull << 30) + 1, "20G"},
		{RW_BUDGET_ADDRESSES, RW_BUDGET_NO_LIMIT, "none"},
	};
	char out[RW_BUDGET_TEXT];

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(cases); i++)
		assert_string_equal(rw_budget_text(cases[i].kind, cases[i].n, out), cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_budget_refuses_what_exceeds_its_limit),
		cmocka_unit_test(a_lower_limit_takes_nothing_away),
		cmocka_unit_test(nothing_is_counted_without_budgets),
		cmocka_unit_test(a_pool_keeps_what_it_guarantees),
		cmocka_unit_test(guarantees_follow_the_members),
		cmocka_unit_test(guarantees_hold_in_any_order),
		cmocka_unit_test(amounts_are_readable),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
