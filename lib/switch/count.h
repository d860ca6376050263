/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Counting on request: internal to lib/switch. */
#include "plan.h"
#include "sw_count.h"
#include "sw_watch.h"

struct sw_count {
	struct sw_watch watch;
	struct sw *sw;
	const struct count_ops *ops;
	uint32_t started_s;
	uint64_t ns_scale; /* nanoseconds of a TSC cycle, times 2^32 */
	unsigned nworkers;
	void *parts[SW_MAX_WORKERS]; /* the worker's own; control reads them */
};

/* What a kind of counting is. */
struct count_ops {
	uint32_t wants; /* SW_SEE_* */
	size_t bytes;   /* of a part, which is zeroed at first */
	void (*init)(void *part);
	/* Thread: the worker whose part it is. */
	void (*see)(const struct sw_count *c, void *part, const struct sw_sight *sight);
	/* Add what the part lost. */
	void (*lost)(const void *part, struct sw_count_lost *sum);
	/* No worker counts for this port. */
	void (*forget_port)(void *part, uint16_t id);
};

extern const struct count_ops count_sizes, count_vlans, count_talkers, count_latency;

/* As port_count, to read what a worker counts. */
static inline uint64_t count_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* The slot of a key among `n`, a power of two. */
static inline uint32_t count_slot(uint64_t key, uint32_t n)
{
	return (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (n - 1);
}
