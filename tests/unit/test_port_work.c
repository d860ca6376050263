/* SPDX-License-Identifier: BSD-3-Clause */
/* A port's allowance of descriptors, and its rest when a burst took more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "port.h"

static void the_queues_of_a_port_share_the_work_of_a_round(void **state)
{
	struct port_work w;

	(void)state;
	port_work_init(&w);
	assert_int_equal(port_work_share(&w), PORT_WORK_BURST);
	for (unsigned n = 0; n <= PORT_MAX_PAIRS; n++) {
		port_work_queues(&w, n);
		assert_in_range(port_work_share(&w), PORT_WORK_LEAST, PORT_WORK_BURST);
		assert_true(n * port_work_share(&w) <= PORT_WORK_ROUND);
	}
	port_work_queues(&w, 8);
	assert_int_equal(port_work_share(&w), PORT_WORK_BURST);
	/* A burst of 32 chains of 8 descriptors is always one burst. */
	assert_true(PORT_WORK_LEAST >= 32 * 8);
}

static void a_port_rests_a_microsecond_for_each_descriptor(void **state)
{
	struct port_work w;
	uint64_t first;

	(void)state;
	port_work_init(&w);
	assert_true(port_work_may(&w));
	port_work_exceeded(&w, 3600u * 1000000);
	assert_false(port_work_may(&w));
	assert_int_equal(w.rests, 1);
	/* Rests add up. */
	first = w.rest_us;
	port_work_exceeded(&w, 1000);
	assert_int_equal(w.rest_us, first + 1000);
	assert_int_equal(w.rests, 2);
	/* One that is over is forgotten, and the next one begins now. */
	w.rest_us = 1;
	assert_true(port_work_may(&w));
	assert_int_equal(w.rest_us, 0);
	port_work_exceeded(&w, 3600u * 1000000);
	assert_in_range(w.rest_us, first, first + 3600ull * 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_queues_of_a_port_share_the_work_of_a_round),
		cmocka_unit_test(a_port_rests_a_microsecond_for_each_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
