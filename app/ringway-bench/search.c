/* SPDX-License-Identifier: BSD-3-Clause */
#include "search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rw_base.h"

/* A trial of fewer frames tells nothing: below, a back-end counts as losing at any rate. */
#define LEAST_FRAMES 50
/*
 * A load that sent less than this fraction of a rate fell short of it, if a burst or more is
 * missing.
 */
#define FELL_SHORT        0.95
#define FELL_SHORT_FRAMES 32

struct search {
	const struct search_config *cfg;
	struct search_outcome *out;
	struct bench_result *last;       /* the trial of `good` */
	struct bench_result *now;        /* the trial that has just ended */
	struct bench_result *repetition; /* scratch of step_run */
	double good;                     /* the highest rate that lost nothing */
	double bad;                      /* the lowest that lost something, or the first offered */
	double seconds;                  /* of a trial */
};

double search_loss(const struct bench_result *r)
{
	return r->sum.expected ? (double)r->lost / (double)r->sum.expected : 0;
}

bool search_fell_short(double asked, double offered, double seconds)
{
	return asked > 0 && offered < asked * FELL_SHORT &&
		(asked - offered) * seconds > FELL_SHORT_FRAMES;
}

/* Measure one trial of `rate` into `r`. 0 and *step, or what trial() returned. */
static int step_once(
	struct search *s, double rate, struct bench_result *r, struct search_step **step)
{
	struct bench_trial trial = {
		.rate = rate, .seconds = s->seconds, .warm_up = s->cfg->warm_up};
	struct search_step *now = &s->out->steps[s->out->nsteps];
	int ret;

	memset(r, 0, sizeof(*r));
	ret = s->cfg->trial(s->cfg->arg, &trial, r);
	if (ret)
		return ret;
	*now = (struct search_step){
		.asked = rate,
		.offered = r->offered,
		.received = r->seconds > 0 ? (double)r->sum.received / r->seconds : 0,
		.seconds = s->seconds,
		.loss = search_loss(r),
		.good = r->sum.sent && search_loss(r) <= s->cfg->loss,
		.fell_short = search_fell_short(rate, r->offered, r->seconds),
	};
	s->out->nsteps++;
	*step = now;
	return 0;
}

/*
 * The same into s->now. Where the load fell short of the rate, as when its CPU was taken away, the
 * trial is repeated once, and the one that came closer to the rate counts.
 */
static int step_run(struct search *s, double rate, struct search_step **step)
{
	struct search_step *again;
	int ret;

	ret = step_once(s, rate, s->now, step);
	if (ret || !(*step)->fell_short || s->out->nsteps >= SEARCH_MAX_STEPS - 1)
		return ret;
	ret = step_once(s, rate, s->repetition, &again);
	if (!ret && again->offered > (*step)->offered) {
		struct bench_result *other = s->now;

		s->now = s->repetition;
		s->repetition = other;
		*step = again;
	}
	return ret;
}

/* The rate that a step stands for: the load may have been unable to send what was asked. */
static double step_rate(const struct search_step *step)
{
	return step->asked > 0 ? RW_MIN(step->asked, step->offered) : step->offered;
}

/* The trial that has just ended is the best yet. */
static void keep(struct search *s, const struct search_step *step)
{
	s->good = step_rate(step);
	*s->last = *s->now;
}

/*
 * Narrow the bounds until they are close. The first trial is at `guess` and the next ones at a
 * growing distance from it: most back-ends lose little more than what is too much. 0 or what
 * trial() returned.
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
 * Narrow and verify. If the longer trial loses frames, the short ones cannot be trusted: search
 * again below, with long ones. If the load falls short in the longer trial, the rate that was found
 * stays unverified. 0 or what trial() returned.
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
	if (step->good && step->fell_short)
		return 0;
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

/* The search itself; search_run has the memory. */
static int search_all(struct search *s)
{
	struct search_step *step;
	int ret;

	ret = step_run(s, s->cfg->highest, &step);
	if (ret)
		return ret;
	s->bad = step_rate(step);
	if (step->good)
		keep(s, step);
	ret = settle(s, step->received);
	s->out->load_limited = s->out->nsteps > 0;
	for (unsigned i = 0; i < s->out->nsteps; i++) {
		s->out->load_limited &= s->out->steps[i].good;
		s->out->fell_short += s->out->steps[i].fell_short;
	}
	return ret;
}

int search_run(
	const struct search_config *cfg, struct search_outcome *out, struct bench_result *last)
{
	struct search s = {.cfg = cfg, .out = out, .last = last, .seconds = cfg->seconds};
	int ret = -ENOMEM;

	memset(out, 0, sizeof(*out));
	memset(last, 0, sizeof(*last));
	s.now = malloc(sizeof(*s.now));
	s.repetition = malloc(sizeof(*s.repetition));
	if (s.now && s.repetition)
		ret = search_all(&s);
	free(s.now);
	free(s.repetition);
	return ret;
}
