/* SPDX-License-Identifier: BSD-3-Clause */
/* Which worker a queue should have, on machines that are played. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "assign.h"

/* ---- loads ---- */

static void a_load_is_the_queues_part_of_its_workers_busy_time(void **state)
{
	(void)state;
	assert_int_equal(assign_load(500, 1000, 1, 1), 500);
	assert_int_equal(assign_load(500, 1000, 1, 4), 125);
	assert_int_equal(assign_load(1000, 1000, 0, 4), 0);
	/* A second of a busy CPU of 5 GHz, and 100 Gbit/s. */
	assert_int_equal(assign_load(5000000000, 5000000000, 12500000000, 25000000000), 500);
}

static void a_load_without_time_or_traffic_is_none(void **state)
{
	(void)state;
	assert_int_equal(assign_load(0, 0, 0, 0), 0);
	assert_int_equal(assign_load(500, 1000, 0, 0), 0);
}

/* ---- queues that start ---- */

static void idle_workers_share_queues_by_number(void **state)
{
	struct assign_worker w[3] = {{.node = 0}, {.node = 0}, {.node = 0}};

	(void)state;
	for (unsigned i = 0; i < 9; i++) {
		unsigned to = assign_new(w, 3, 0);

		assert_int_equal(to, i % 3);
		w[to].nqueues++;
	}
}

static void a_new_queue_goes_to_the_least_loaded_worker_however_many_it_polls(void **state)
{
	const struct assign_worker w[3] = {{.node = 0, .load = 300, .nqueues = 1},
		{.node = 0, .load = 200, .nqueues = 9}, {.node = 0, .load = 250, .nqueues = 2}};

	(void)state;
	assert_int_equal(assign_new(w, 3, 0), 1);
}

static void a_trifle_of_load_counts_less_than_a_queue(void **state)
{
	const struct assign_worker w[2] = {
		{.node = 0, .load = 3, .nqueues = 1}, {.node = 0, .load = 0, .nqueues = 2}};

	(void)state;
	assert_int_equal(assign_new(w, 2, 0), 0);
}

static void a_new_queue_goes_to_the_node_of_its_memory(void **state)
{
	struct assign_worker w[4] = {{.node = 0}, {.node = 0}, {.node = 1}, {.node = 1}};

	(void)state;
	assert_int_equal(assign_new(w, 4, 1), 2);
	w[2].nqueues = 1;
	assert_int_equal(assign_new(w, 4, 1), 3);
	w[3].nqueues = 5;
	w[2].nqueues = 5;
	assert_int_equal(assign_new(w, 4, 1), 2);
	w[2].load = 200;
	w[3].load = 250;
	assert_int_equal(assign_new(w, 4, 1), 2);
}

static void past_busy_workers_a_queue_goes_to_another_node(void **state)
{
	struct assign_worker w[2] = {{.node = 0}, {.node = 1, .load = ASSIGN_AWAY}};

	(void)state;
	assert_int_equal(assign_new(w, 2, 1), 0); /* as busy, and fewer queues: first comes first */
	w[1].load = ASSIGN_AWAY - ASSIGN_STEP;
	assert_int_equal(assign_new(w, 2, 1), 1);
	w[1].load = ASSIGN_AWAY + ASSIGN_STEP;
	assert_int_equal(assign_new(w, 2, 1), 0);
}

static void memory_on_an_unknown_or_unserved_node_makes_no_difference(void **state)
{
	const struct assign_worker w[3] = {{.node = 0, .load = 100}, {.node = 1, .load = 40},
		{.node = ASSIGN_NO_NODE, .load = 70}};

	(void)state;
	assert_int_equal(assign_new(w, 3, ASSIGN_NO_NODE), 1);
	assert_int_equal(assign_new(w, 2, 7), 1);
	assert_true(assign_has_near(w, 3, 7)); /* who knows where the third is */
	assert_false(assign_has_near(w, 2, 7));
	assert_true(assign_has_near(w, 2, 0));
	assert_true(assign_has_near(w, 2, ASSIGN_NO_NODE));
}

/* ---- balance ---- */

/* A machine with its queues, and what becomes of it. */
static unsigned balance(
	const int *nodes, unsigned nworkers, struct assign_queue *q, unsigned n, unsigned max_moves)
{
	struct assign_worker w[8] = {{0}};

	for (unsigned i = 0; i < nworkers; i++)
		w[i].node = nodes[i];
	return assign_balance(w, nworkers, q, n, max_moves);
}

static const int one_node[8];

static void a_busy_worker_gives_a_queue_to_an_idle_one(void **state)
{
	struct assign_queue q[] = {{.load = 300}, {.load = 300}, {.load = 100}};

	(void)state;
	assert_int_equal(balance(one_node, 2, q, 3, 4), 1);
	assert_int_equal(q[0].worker + q[1].worker, 1);
	assert_int_equal(q[2].worker, 0);
}

static void an_even_load_stays_as_it_is(void **state)
{
	struct assign_queue q[] = {
		{.load = 300, .worker = 0}, {.load = 280, .worker = 1}, {.load = 40, .worker = 0}};

	(void)state;
	assert_int_equal(balance(one_node, 2, q, 3, 4), 0);
}

static void one_heavy_queue_is_not_passed_around(void **state)
{
	struct assign_queue q[] = {{.load = 900, .worker = 0}};

	(void)state;
	assert_int_equal(balance(one_node, 4, q, 1, 4), 0);
}

static void a_heavy_queue_gets_its_worker_for_itself(void **state)
{
	struct assign_queue q[] = {{.load = 700}, {.load = 100}, {.load = 100}, {.load = 100}};

	(void)state;
	assert_int_equal(balance(one_node, 2, q, 4, 4), 1);
	assert_int_equal(q[0].worker, 1);
	for (int i = 1; i < 4; i++)
		assert_int_equal(q[i].worker, 0);
}

static void a_gain_that_is_small_for_a_busy_worker_is_left(void **state)
{
	/* 55 off 900 is over ASSIGN_MIN_GAIN and below an eighth. */
	struct assign_queue q[] = {{.load = 845, .worker = 0}, {.load = 55, .worker = 0}};

	(void)state;
	assert_int_equal(balance(one_node, 2, q, 2, 4), 0);
	q[1].load = 130;
	assert_int_equal(balance(one_node, 2, q, 2, 4), 1);
}

static void a_trickle_is_left(void **state)
{
	struct assign_queue q[] = {{.load = ASSIGN_MIN_GAIN - 1}, {.load = ASSIGN_MIN_GAIN - 1}};

	(void)state;
	assert_int_equal(balance(one_node, 2, q, 2, 4), 0);
}

static void what_cannot_be_relieved_does_not_keep_the_next_from_it(void **state)
{
	struct assign_queue q[] = {
		{.load = 900, .worker = 0}, {.load = 400, .worker = 1}, {.load = 400, .worker = 1}};

	(void)state;
	assert_int_equal(balance(one_node, 3, q, 3, 4), 1);
	assert_int_equal(q[0].worker, 0);
	assert_int_equal(q[1].worker + q[2].worker, 3);
}

static void few_move_at_a_time(void **state)
{
	struct assign_queue q[16];

	(void)state;
	for (int i = 0; i < 16; i++)
		q[i] = (struct assign_queue){.load = 60};
	assert_int_equal(balance(one_node, 8, q, 16, 3), 3);
}

static void many_small_queues_are_worth_moving_together(void **state)
{
	struct assign_queue q[40];
	unsigned away = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		q[i] = (struct assign_queue){.load = 20};
	assert_int_equal(balance(one_node, 2, q, 40, 4), 4);
	for (int i = 0; i < 16; i++)
		assert_true(balance(one_node, 2, q, 40, 4) <= 4);
	for (int i = 0; i < 40; i++)
		away += q[i].worker;
	assert_in_range(away, 17, 20); /* as even as is worth a move */
}

static void what_is_fixed_stays(void **state)
{
	struct assign_queue q[] = {
		{.load = 400, .fixed = true}, {.load = 300, .fixed = true}, {.load = 100}};

	(void)state;
	assert_int_equal(balance(one_node, 2, q, 3, 4), 1);
	assert_int_equal(q[0].worker, 0);
	assert_int_equal(q[1].worker, 0);
	assert_int_equal(q[2].worker, 1);
}

static void after_a_balance_there_is_nothing_left_to_move(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		static const int nodes[8] = {0, 0, 1, 1, 0, 1, 0, 1};
		struct assign_queue q[40], before[40];
		unsigned n, nworkers = 1 + round % 8;

		for (n = 0; n < 40; n++) {
			seed = seed * 1664525u + 1013904223u;
			q[n] = (struct assign_queue){.load = (seed >> 16) % 400,
				.worker = (uint8_t)((seed >> 8) % nworkers),
				.node = (int16_t)((seed >> 4) % 3 - 1)};
		}
		assert_true(balance(nodes, nworkers, q, n, 1000) <= n);
		memcpy(before, q, sizeof(q));
		for (unsigned i = 0; i < n; i++)
			assert_true(q[i].worker < nworkers);
		assert_int_equal(balance(nodes, nworkers, q, n, 1000), 0);
		assert_memory_equal(before, q, sizeof(q));
	}
}

/* ---- balance between nodes ---- */

static const int two_nodes[4] = {0, 0, 1, 1};

static void relief_is_sought_at_home_first(void **state)
{
	struct assign_queue q[] = {{.load = 200}, {.load = 200}, {.load = 200}};

	(void)state;
	assert_int_equal(balance(two_nodes, 4, q, 3, 1), 1);
	assert_int_equal(q[0].worker + q[1].worker + q[2].worker, 1);
}

static void the_other_node_helps_when_that_pays_in_spite_of_the_distance(void **state)
{
	struct assign_queue q[] = {
		{.load = 500, .worker = 0}, {.load = 400, .worker = 0}, {.load = 900, .worker = 1}};

	(void)state;
	assert_int_equal(balance(two_nodes, 4, q, 3, 1), 1);
	/* 400 are 600 there, which is less than 900. */
	assert_int_equal(q[0].worker, 0);
	assert_int_equal(q[1].worker, 2);
	assert_int_equal(q[1].load, 600);
}

static void a_queue_far_from_its_memory_comes_home(void **state)
{
	struct assign_queue q[] = {{.load = 300, .worker = 2, .node = 0},
		{.load = 100, .worker = 0, .node = 0}, {.load = 250, .worker = 1, .node = 0}};

	(void)state;
	assert_int_equal(balance(two_nodes, 4, q, 3, 4), 1);
	assert_int_equal(q[0].worker, 0);
	assert_int_equal(q[0].load, 200);
}

static void it_stays_away_when_home_is_busier(void **state)
{
	struct assign_queue q[] = {{.load = 300, .worker = 2, .node = 0},
		{.load = 150, .worker = 0, .node = 0}, {.load = 150, .worker = 1, .node = 0}};

	(void)state;
	assert_int_equal(balance(two_nodes, 4, q, 3, 4), 0);
}

static void memory_on_a_node_without_workers_is_balanced_as_any(void **state)
{
	struct assign_queue q[] = {{.load = 300, .node = 5}, {.load = 300, .node = 5}};

	(void)state;
	assert_int_equal(balance(two_nodes, 4, q, 2, 4), 1);
	assert_int_equal(q[0].load + q[1].load, 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_load_is_the_queues_part_of_its_workers_busy_time),
		cmocka_unit_test(a_load_without_time_or_traffic_is_none),
		cmocka_unit_test(idle_workers_share_queues_by_number),
		cmocka_unit_test(a_new_queue_goes_to_the_least_loaded_worker_however_many_it_polls),
		cmocka_unit_test(a_trifle_of_load_counts_less_than_a_queue),
		cmocka_unit_test(a_new_queue_goes_to_the_node_of_its_memory),
		cmocka_unit_test(past_busy_workers_a_queue_goes_to_another_node),
		cmocka_unit_test(memory_on_an_unknown_or_unserved_node_makes_no_difference),
		cmocka_unit_test(a_busy_worker_gives_a_queue_to_an_idle_one),
		cmocka_unit_test(an_even_load_stays_as_it_is),
		cmocka_unit_test(one_heavy_queue_is_not_passed_around),
		cmocka_unit_test(a_heavy_queue_gets_its_worker_for_itself),
		cmocka_unit_test(a_gain_that_is_small_for_a_busy_worker_is_left),
		cmocka_unit_test(a_trickle_is_left),
		cmocka_unit_test(what_cannot_be_relieved_does_not_keep_the_next_from_it),
		cmocka_unit_test(few_move_at_a_time),
		cmocka_unit_test(many_small_queues_are_worth_moving_together),
		cmocka_unit_test(what_is_fixed_stays),
		cmocka_unit_test(after_a_balance_there_is_nothing_left_to_move),
		cmocka_unit_test(relief_is_sought_at_home_first),
		cmocka_unit_test(the_other_node_helps_when_that_pays_in_spite_of_the_distance),
		cmocka_unit_test(a_queue_far_from_its_memory_comes_home),
		cmocka_unit_test(it_stays_away_when_home_is_busier),
		cmocka_unit_test(memory_on_a_node_without_workers_is_balanced_as_any),
	};

	return cmocka_run_group_tests_name("switch_assign", tests, NULL, NULL);
}
