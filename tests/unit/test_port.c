/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "port.h"

static const struct port_ops no_ops;

static void a_burst_is_counted_by_kind_of_destination(void **state)
{
	struct port_counters c = {0};
	struct port_tally t = {0};
	struct frame f = {.len = 60};

	(void)state;
	port_tally_add(&t, &f); /* 00:... is a unicast address */
	f.len = 1000;
	f.head[0] = 0x01;
	port_tally_add(&t, &f);
	memset(f.head, 0xff, 6);
	port_tally_add(&t, &f);
	port_tally_add(&t, &f);
	port_tally_commit(&t, &c);
	port_tally_commit(&(struct port_tally){0}, &c);
	assert_int_equal(c.frames, 4);
	assert_int_equal(c.bytes, 3060);
	assert_int_equal(c.unicast, 1);
	assert_int_equal(c.multicast, 1);
	assert_int_equal(c.broadcast, 2);
}

static void a_port_sums_its_pairs_and_what_no_queue_counted(void **state)
{
	struct port_pair sum, one;
	struct port port;

	(void)state;
	assert_int_equal(port_init(&port, "p", &no_ops, 2), 0);
	assert_int_equal(port_pair_prepare(&port, 0), 0);
	assert_int_equal(port_pair_prepare(&port, 127), 0);
	port_count(&port.pairs[0]->rx.frames, 3);
	port_count(&port.pairs[127]->rx.frames, 4);
	port_count_drop(&port.pairs[127]->tx, PORT_DROP_NO_BUFFER);
	port_count_drop(&port.unqueued[0], PORT_DROP_LINK_DOWN);
	port_count_drop(&port.unqueued[1], PORT_DROP_LINK_DOWN);
	port_read(&port, &sum);
	assert_int_equal(sum.rx.frames, 7);
	assert_int_equal(sum.tx.drops[PORT_DROP_NO_BUFFER], 1);
	assert_int_equal(sum.tx.drops[PORT_DROP_LINK_DOWN], 2);
	port_read_pair(&port, 127, &one);
	assert_int_equal(one.rx.frames, 4);
	port_read_pair(&port, 5, &one); /* never ran */
	assert_int_equal(one.rx.frames, 0);
	port_fini(&port);
}

static void counters_survive_a_queue_that_comes_back(void **state)
{
	struct port port;

	(void)state;
	assert_int_equal(port_init(&port, "p", &no_ops, 1), 0);
	assert_int_equal(port_pair_prepare(&port, 0), 0);
	port_count(&port.pairs[0]->rx.frames, 3);
	assert_int_equal(port_pair_prepare(&port, 0), 0);
	assert_int_equal(port.pairs[0]->rx.frames, 3);
	assert_null(port.steer); /* one pair needs no steering */
	port_fini(&port);
}

static void every_drop_reason_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < PORT_NUM_DROPS; i++) {
		assert_non_null(port_drop_name(i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(port_drop_name(i), port_drop_name(j));
	}
}

static struct port steered;

static int steer_setup(void **state)
{
	(void)state;
	return port_init(&steered, "s", &no_ops, 1) || port_pair_prepare(&steered, 1);
}

static int steer_teardown(void **state)
{
	(void)state;
	port_fini(&steered);
	return 0;
}

static void a_flow_is_found_on_the_pair_it_was_sent_from(void **state)
{
	(void)state;
	assert_int_equal(port_steer_find(steered.steer, 0x12345678), -1);
	port_steer_learn(steered.steer, 0x12345678, 3);
	port_steer_learn(steered.steer, 0x12345679, 0);
	port_steer_learn(steered.steer, 0, 127); /* a hash like any other */
	assert_int_equal(port_steer_find(steered.steer, 0x12345678), 3);
	assert_int_equal(port_steer_find(steered.steer, 0x12345679), 0);
	assert_int_equal(port_steer_find(steered.steer, 0), 127);
}

static void a_flow_that_moves_is_found_on_its_new_pair(void **state)
{
	(void)state;
	port_steer_learn(steered.steer, 0x12345678, 3);
	port_steer_learn(steered.steer, 0x12345678, 5);
	assert_int_equal(port_steer_find(steered.steer, 0x12345678), 5);
}

static void four_flows_of_one_set_live_together_a_fifth_replaces_one(void **state)
{
	unsigned found = 0;

	(void)state;
	for (uint32_t i = 1; i <= 4; i++)
		port_steer_learn(steered.steer, i, (uint16_t)i);
	for (uint32_t i = 1; i <= 4; i++)
		assert_int_equal(port_steer_find(steered.steer, i), i);
	port_steer_learn(steered.steer, 5, 5);
	for (uint32_t i = 1; i <= 5; i++)
		found += port_steer_find(steered.steer, i) == (int)i;
	assert_int_equal(found, 4);
	assert_int_equal(port_steer_find(steered.steer, 5), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_counted_by_kind_of_destination),
		cmocka_unit_test(a_port_sums_its_pairs_and_what_no_queue_counted),
		cmocka_unit_test(counters_survive_a_queue_that_comes_back),
		cmocka_unit_test(every_drop_reason_has_a_name_of_its_own),
		cmocka_unit_test_setup_teardown(
			a_flow_is_found_on_the_pair_it_was_sent_from, steer_setup, steer_teardown),
		cmocka_unit_test_setup_teardown(
			a_flow_that_moves_is_found_on_its_new_pair, steer_setup, steer_teardown),
		cmocka_unit_test_setup_teardown(
			four_flows_of_one_set_live_together_a_fifth_replaces_one, steer_setup,
			steer_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
