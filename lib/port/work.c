/* SPDX-License-Identifier: BSD-3-Clause */
#include <time.h>

#include "port_work.h"

/* In the vDSO: no system call. */
static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void port_work_init(struct port_work *w)
{
	*w = (struct port_work){.share = PORT_WORK_BURST};
}

void port_work_queues(struct port_work *w, unsigned n)
{
	uint32_t share = n ? PORT_WORK_ROUND / n : PORT_WORK_BURST;

	share = RW_MAX(RW_MIN(share, PORT_WORK_BURST), PORT_WORK_LEAST);
	__atomic_store_n(&w->share, share, __ATOMIC_RELAXED);
}

bool port_work_rested(struct port_work *w, uint64_t until_us)
{
	if (now_us() < until_us)
		return false;
	/* Unless another worker has prolonged it meanwhile. */
	return __atomic_compare_exchange_n(
		&w->rest_us, &until_us, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void port_work_exceeded(struct port_work *w, uint32_t excess)
{
	uint64_t now = now_us(), old = __atomic_load_n(&w->rest_us, __ATOMIC_RELAXED), until;

	__atomic_add_fetch(&w->rests, 1, __ATOMIC_RELAXED);
	do
		until = RW_MAX(old, now) + excess;
	while (!__atomic_compare_exchange_n(
		&w->rest_us, &old, until, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}
