/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Policers: a token bucket of rte_meter (srTCM, RFC 2697, without excess burst) and the lock for
 * it. All workers that serve a port share its bucket, and each takes the lock once for a burst of
 * frames. So a limit holds for the port as a whole, exactly, whatever its queues and workers are.
 *
 * Threads: workers, but for the functions that initialise (control).
 */
#include <rte_meter.h>

#include "frame.h"
#include "rw_lock.h"

/* How much may pass. Immutable. */
struct port_rate {
	struct rte_meter_srtcm_profile profile;
	bool frames; /* tokens are frames; otherwise bytes, Ethernet header included */
};

/* `per_s` tokens a second, and a bucket of `burst`, both at least 1; `hz`: the TSC's frequency. */
void port_rate_init(
	struct port_rate *rate, uint64_t per_s, uint64_t burst, bool frames, uint64_t hz);

/* Whether there is a limit. */
static inline bool port_rate_is_set(const struct port_rate *rate)
{
	return rate->profile.cbs;
}

struct port_meter {
	struct rw_spinlock lock; /* held for one burst; protects the bucket */
	struct rte_meter_srtcm bucket;
} RW_CACHE_ALIGNED;

/* Fill the bucket. */
void port_meter_init(struct port_meter *m, const struct port_rate *rate, uint64_t now);

/* Take a copy of a meter, to try what would pass. Thread: any. */
void port_meter_copy(struct port_meter *m, struct port_meter *copy);

/*
 * Whether `n` frames of `bytes` in all pass now (TSC) as a whole, as most bursts do. If not, they
 * take no tokens.
 */
bool port_meter_pass_all(struct port_meter *m, const struct port_rate *rate, uint64_t now,
	uint32_t n, uint64_t bytes);
/*
 * Which of the frames pass now (TSC). `which` has a bit for each that wants to, by its index; so
 * has the result. One that does not pass takes no tokens.
 */
uint32_t port_meter_pass(struct port_meter *m, const struct port_rate *rate, uint64_t now,
	const struct frame *frames, uint32_t which);
