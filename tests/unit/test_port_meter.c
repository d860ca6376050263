/* SPDX-License-Identifier: BSD-3-Clause */
/* Policers, with a clock that is played. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "port_meter.h"

#define HZ UINT64_C(2400000000)

static struct frame frames[FRAME_BURST];

static void frames_of(uint32_t len)
{
	for (unsigned i = 0; i < FRAME_BURST; i++)
		frame_init(&frames[i], len);
}

static unsigned pass(struct port_meter *m, const struct port_rate *rate, uint64_t now)
{
	return (unsigned)__builtin_popcount(port_meter_pass(m, rate, now, frames, UINT32_MAX));
}

/* 2000 bursts are offered, with twice as much as may pass: half of it does. */
static void rates_are_met(void **state)
{
	static const uint64_t rates[] = {1, 100, 1000, 12345, 999999, 125000000, 125000000000};

	(void)state;
	for (size_t i = 0; i < 2 * RW_ARRAY_SIZE(rates); i++) {
		uint64_t per_s = rates[i / 2], now = 12345, n = 0;
		uint32_t len = i % 2 ? 1500 : 1;
		struct port_meter m = {0};
		struct port_rate rate;
		double gap = (double)HZ * FRAME_BURST * len / (double)per_s / 2;

		/* Nobody sends as many frames. */
		if (len == 1 && per_s > 1000000000)
			continue;
		frames_of(1500);
		port_rate_init(&rate, per_s, FRAME_BURST * len, !(i % 2), HZ);
		port_meter_init(&m, &rate, now);
		for (unsigned k = 0; k < 2000; k++)
			n += pass(&m, &rate, now + (uint64_t)(gap * k));
		if (n < 31500 || n > 32500)
			fail_msg("%ju a second: %ju of 64000 passed", (uintmax_t)per_s,
				(uintmax_t)n);
	}
}

static void a_burst_passes_then_what_the_rate_allows(void **state)
{
	struct port_rate rate;
	struct port_meter m = {0};
	uint64_t now = 1;

	(void)state;
	frames_of(1000);
	port_rate_init(&rate, 1000000, 10500, false, HZ);
	assert_true(port_rate_is_set(&rate));
	port_meter_init(&m, &rate, now);
	assert_int_equal(port_meter_pass(&m, &rate, now, frames, UINT32_MAX), 0x3ff);
	assert_int_equal(port_meter_pass(&m, &rate, now, frames, 2), 0);
	/* Half a frame was left: a millisecond makes it one and a half. */
	now += HZ / 1000;
	assert_int_equal(port_meter_pass(&m, &rate, now, frames, 0xf0), 0x10);
	/* A shorter one still fits. */
	frames[7].len = 400;
	assert_int_equal(port_meter_pass(&m, &rate, now, frames, 0xf0), 0x80);
	/* No pause makes more than a burst. */
	frames[7].len = 1000;
	assert_int_equal(pass(&m, &rate, now + 3600 * HZ), 10);
}

static void a_clock_that_is_behind_gives_nothing(void **state)
{
	struct port_rate rate;
	struct port_meter m = {0};

	(void)state;
	frames_of(60);
	port_rate_init(&rate, 1000, 5, true, HZ);
	port_meter_init(&m, &rate, HZ);
	assert_int_equal(port_meter_pass(&m, &rate, HZ, frames, UINT32_MAX), 0x1f);
	assert_int_equal(port_meter_pass(&m, &rate, HZ - 1000, frames, UINT32_MAX), 0);
	assert_int_equal(port_meter_pass(&m, &rate, HZ + HZ / 500, frames, UINT32_MAX), 0x3);
}

/* ---- several workers ---- */

#define WORKERS 4
#define BURSTS  2000

struct shared {
	struct port_meter m;
	struct port_rate rate;
	uint64_t passed; /* atomic */
};

static void *worker(void *arg)
{
	struct shared *s = arg;
	uint64_t n = 0;

	for (uint64_t i = 0; i < BURSTS; i++)
		n += pass(&s->m, &s->rate, i * (HZ / BURSTS));
	__atomic_fetch_add(&s->passed, n, __ATOMIC_RELAXED);
	return NULL;
}

/* All of them offer for the same second: what passes is the burst and the rate, once. */
static void workers_share_one_limit(void **state)
{
	static struct shared s;
	pthread_t threads[WORKERS];

	(void)state;
	frames_of(60);
	port_rate_init(&s.rate, 10000, 100, true, HZ);
	port_meter_init(&s.m, &s.rate, 0);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, worker, &s), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	assert_true(s.passed <= 10110);
	assert_true(s.passed >= 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_met),
		cmocka_unit_test(a_burst_passes_then_what_the_rate_allows),
		cmocka_unit_test(a_clock_that_is_behind_gives_nothing),
		cmocka_unit_test(workers_share_one_limit),
	};

	return cmocka_run_group_tests_name("port_meter", tests, NULL, NULL);
}
