/* SPDX-License-Identifier: BSD-3-Clause */
#include "tsc.h"

#include <time.h>

#define LONG_ENOUGH_NS 20000000

static uint64_t system_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/*
 * Both clocks at one moment: of a few tries the one that took least, the others were interrupted.
 */
static void both(uint64_t *ns, uint64_t *ticks)
{
	uint64_t least = UINT64_MAX;
	uint64_t before, now, after;

	for (int i = 0; i < 8; i++) {
		before = tsc_now();
		now = system_ns();
		after = tsc_now();
		if (after - before < least) {
			least = after - before;
			*ns = now;
			*ticks = before + (after - before) / 2;
		}
	}
}

double tsc_measure(void)
{
	uint64_t ns0 = 0, ns1 = 0, ticks0 = 0, ticks1 = 0;

	both(&ns0, &ticks0);
	while (system_ns() - ns0 < LONG_ENOUGH_NS)
		;
	both(&ns1, &ticks1);
	return (double)(ticks1 - ticks0) * 1e9 / (double)(ns1 - ns0);
}
