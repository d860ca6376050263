/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_meter.h"

/*
 * A bucket gets tokens in steps of at least so many cycles, whole numbers both: so the rate is met
 * within 0.1 %. rte_meter_srtcm_profile_config chooses 100, and can be off by 1 %. A step is at
 * most a part of the bucket, or what does not fit would be lost.
 */
#define STEP_LEAST 1000
#define STEP_PART  4

void port_rate_init(
	struct port_rate *rate, uint64_t per_s, uint64_t burst, bool frames, uint64_t hz)
{
	uint64_t tokens = (STEP_LEAST * per_s + hz - 1) / hz;
	uint64_t period;

	tokens = RW_MAX(RW_MIN(tokens, burst / STEP_PART), UINT64_C(1));
	period = (uint64_t)((double)hz * (double)tokens / (double)per_s);
	rate->frames = frames;
	rate->profile = (struct rte_meter_srtcm_profile){
		.cbs = burst,
		.cir_period = RW_MAX(period, UINT64_C(1)),
		.cir_bytes_per_period = tokens,
	};
}

void port_meter_init(struct port_meter *m, const struct port_rate *rate, uint64_t now)
{
	m->bucket = (struct rte_meter_srtcm){.time = now, .tc = rate->profile.cbs};
}

void port_meter_copy(struct port_meter *m, struct port_meter *copy)
{
	rw_spin_lock(&m->lock);
	copy->bucket = m->bucket;
	rw_spin_unlock(&m->lock);
	copy->lock = (struct rw_spinlock){0};
}

static bool passes(struct port_meter *m, const struct port_rate *rate, uint64_t now, uint32_t cost)
{
	/* The library does not write to the profile. */
	struct rte_meter_srtcm_profile profile = rate->profile;

	return rte_meter_srtcm_color_blind_check(&m->bucket, &profile, now, cost) ==
		RTE_COLOR_GREEN;
}

static uint32_t cost_of(const struct port_rate *rate, const struct frame *f)
{
	return rate->frames ? 1 : f->len;
}

/* Another CPU's counter may be ahead, and its worker was here meanwhile. Under the lock. */
static uint64_t not_before(const struct port_meter *m, uint64_t now)
{
	return (int64_t)(now - m->bucket.time) < 0 ? m->bucket.time : now;
}

bool port_meter_pass_all(struct port_meter *m, const struct port_rate *rate, uint64_t now,
	uint32_t n, uint64_t bytes)
{
	bool pass;

	rw_spin_lock(&m->lock);
	pass = passes(m, rate, not_before(m, now), rate->frames ? n : (uint32_t)bytes);
	rw_spin_unlock(&m->lock);
	return pass;
}

uint32_t port_meter_pass(struct port_meter *m, const struct port_rate *rate, uint64_t now,
	const struct frame *frames, uint32_t which)
{
	uint32_t pass = which;

	rw_spin_lock(&m->lock);
	now = not_before(m, now);
	for (uint32_t left = which; left; left &= left - 1) {
		if (!passes(m, rate, now, cost_of(rate, &frames[__builtin_ctz(left)])))
			pass &= ~(left & -left);
	}
	rw_spin_unlock(&m->lock);
	return pass;
}
