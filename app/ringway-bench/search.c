/* SPDX-License-Identifier: BSD-3-Clause */
#include "search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rw_base.h"

/* A trial of fewer frames tells nothing: below, a back-end counts as losing at any rate. */
#define LEAST_FRAMES 50
/* Of the rate asked for: what was offered less tells nothing about it. */
#define FELL_SHORT 0.9

struct search {
	const struct search_config *cfg;
	struct search_outcome *out;
	struct bench_result *scratch, *last;
	double good;    /* the highest rate that lost nothing */
	double bad;     /* the lowest that lost something, or the first offered */
	double seconds; /* of a trial */
};

double search_loss(const struct bench_result *r)
{
	return r->sum.expected ? (double)r->lost / (double)r->sum.expected : 0;
}

/* One trial of `rate`. 0 and *step, or what run() returned. */
static int step_once(struct search *s, double rate, struct search_step **step)
{
	struct bench_trial trial = {
		.rate = rate, .seconds = s->seconds, .warm_up = s->cfg->warm_up};
	struct search_step *now = &s->out->steps[s->out->nsteps];
	struct bench_result *r = s->scratch;
	int ret;

	memset(r, 0, sizeof(*r));
	ret = s->cfg->run(s->cfg->arg, &trial, r);
	if (ret)
		return ret;
	*now = (struct search_step){
		.asked = rate,
		.offered = r->offered,
		.received = r->seconds > 0 ? (double)r->sum.received / r->seconds : 0,
		.seconds = s->seconds,
		.loss = search_loss(r),
		.good = r->sum.sent && search_loss(r) <= s->cfg->loss,
	};
	s->out->nsteps++;
	*step = now;
	return 0;
}

/* The same; where the load fell short of the rate, as when its CPU was taken away, once more. */
static int step_run(struct search *s, double rate, struct search_step **step)
{
	int ret = step_once(s, rate, step);

	if (!ret && (*step)->offered < rate * FELL_SHORT && s->out->nsteps < SEARCH_MAX_STEPS - 1)
		ret = step_once(s, rate, step);
	return ret;
}

/* The rate that a step stands for: the load may have been unable to send what was asked. */
static double step_rate(const struct search_step *step)
{
	return step->asked > 0 ? RW_MIN(step->asked, step->offered) : step->offered;
}

/* The trial that was just run is the best yet. */
static void keep(struct search *s, const struct search_step *step)
{
	s->good = step_rate(step);
	*s->last = *s->scratch;
}

/*
 * Narrow the bounds until they are close. `guess`: where to look first, then in growing distance from
 * there: most back-ends lose little more than what is too much. 0 or what run() returned.
 */
static int narrow(struct search *s, double guess)
{
	double away = 2 * s->cfg->precision;

	while (s->out->nsteps < SEARCH_MAX_STEPS - 1 &&
		s->bad - s->good > s->cfg->precision * s->bad) {
		double rate = (s->good + s->bad) / 2;
		struct search_step *step;
		int ret;

		if (guess > s->good && guess < s->bad * (1 - s->cfg->precision / 2))
			rate = guess;
		else if (s->good > 0)
			rate = RW_MIN(rate, s->good * (1 + away));
		else
			rate = RW_MAX(rate, s->bad * (1 - away));
		away *= rate == guess ? 1 : 2;
		guess = 0;
		if (rate * s->seconds < LEAST_FRAMES) {
			s->good = s->bad = 0;
			break;
		}
		ret = step_run(s, rate, &step);
		if (ret)
			return ret;
		if (!step->good)
			s->bad = rate;
		else if (step_rate(step) <= s->good)
			break; /* it cannot send more than before: that is the limit */
		else
			keep(s, step);
	}
	return 0;
}

/*
 * Narrow and verify. Where a longer trial does lose, the short ones were not to be trusted: search again
 * below, with long ones. 0 or what run() returned.
 */
static int settle(struct search *s, double guess)
{
	struct search_step *step;
	int ret;

	s->seconds = s->cfg->seconds;
	ret = narrow(s, guess);
	s->out->rate = s->good;
	if (ret || !s->good)
		return ret;
	s->seconds *= SEARCH_LONGER;
	ret = step_run(s, s->good, &step);
	if (ret)
		return ret;
	if (step->good) {
		keep(s, step);
	} else {
		s->bad = s->good;
		s->good = 0;
		memset(s->last, 0, sizeof(*s->last));
		ret = narrow(s, s->bad * (1 - 2 * s->cfg->precision));
	}
	s->out->rate = s->good;
	s->out->verified = s->good > 0;
	return ret;
}

int search_run(
	const struct search_config *cfg, struct search_outcome *out, struct bench_result *last)
{
	struct search s = {.cfg = cfg, .out = out, .last = last, .seconds = cfg->seconds};
	struct search_step *step;
	int ret;

	memset(out, 0, sizeof(*out));
	memset(last, 0, sizeof(*last));
	s.scratch = malloc(sizeof(*s.scratch));
	if (!s.scratch)
		return -ENOMEM;
	ret = step_run(&s, cfg->highest, &step);
	if (ret)
		goto out;
	s.bad = step_rate(step);
	if (step->good)
		keep(&s, step);
	ret = settle(&s, step->received);
	out->load_limited = out->nsteps > 0;
	for (unsigned i = 0; i < out->nsteps; i++)
		out->load_limited &= out->steps[i].good;
out:
	free(s.scratch);
	return ret;
}
