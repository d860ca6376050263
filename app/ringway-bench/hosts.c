/* SPDX-License-Identifier: BSD-3-Clause */
#include "hosts.h"

#include <string.h>

#include "rw_base.h"

#define CAPACITY_FIRST 64
#define TRIES          3
/* Below, a back-end counts as learning nothing: hosts a second. */
#define LEARNING_LEAST 10.0

/* One trial. 0, or what it returned. */
static int step_run(const struct hosts_config *cfg, struct hosts_outcome *out, uint32_t first,
	uint32_t n, double rate, struct hosts_step **step)
{
	struct hosts_step *now = &out->steps[out->nsteps];
	int ret;

	*now = (struct hosts_step){.taught = n, .rate = rate};
	ret = cfg->trial(cfg->arg, first, n, &now->rate, &now->known);
	if (ret)
		return ret;
	out->nsteps++;
	*step = now;
	return 0;
}

/*
 * A trial of `n` hosts, repeated: a frame lost on the way is not a full table. *known: the most
 * that were known at a time.
 */
static int capacity_try(
	const struct hosts_config *cfg, struct hosts_outcome *out, uint32_t n, uint32_t *known)
{
	struct hosts_step *step;
	int ret = 0;

	*known = 0;
	for (int i = 0; i < TRIES && !ret && *known < n && out->nsteps < HOSTS_MAX_STEPS; i++) {
		ret = step_run(cfg, out, 0, n, cfg->rate, &step);
		if (!ret)
			*known = RW_MAX(*known, step->known);
	}
	return ret;
}

int hosts_capacity(const struct hosts_config *cfg, struct hosts_outcome *out)
{
	uint32_t good = 0, bad = 0, known, n = RW_MIN(CAPACITY_FIRST, cfg->most);
	int ret;

	memset(out, 0, sizeof(*out));
	/* Twice as many each time until there are too many, then between the bounds. */
	do {
		ret = capacity_try(cfg, out, n, &known);
		if (ret)
			return ret;
		if (known < n)
			bad = n;
		good = RW_MAX(good, known);
		out->capacity = good;
		if (!bad)
			n = (uint32_t)RW_MIN(2 * (uint64_t)good, cfg->most);
		else
			n = good + (bad - good) / 2;
	} while (n > good && out->nsteps < HOSTS_MAX_STEPS &&
		(!bad || bad - good > cfg->precision * bad));
	out->at_least = !bad;
	return 0;
}

int hosts_learning(const struct hosts_config *cfg, struct hosts_outcome *out)
{
	double good = 0, bad = 0, rate = cfg->rate;
	struct hosts_step *step;
	uint32_t first = 0;
	int ret;

	memset(out, 0, sizeof(*out));
	do {
		ret = step_run(cfg, out, first, cfg->most, rate, &step);
		if (ret)
			return ret;
		first += cfg->most;
		if (step->known == cfg->most) {
			good = RW_MAX(good, step->rate);
			out->at_least = !bad;
		} else {
			bad = step->rate;
		}
		out->rate = good;
		rate = (good + bad) / 2;
	} while (bad > 0 && bad - good > cfg->precision * bad && rate >= LEARNING_LEAST &&
		out->nsteps < HOSTS_MAX_STEPS);
	return 0;
}
