/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The highest rate without loss (RFC 2544, 26.1). Each trial has a rate between the highest that
 * lost nothing and the lowest that lost something, until these two are close. A longer trial must
 * then confirm the rate that was found; if it loses frames, the search goes on below with longer
 * trials. A trial in which the load fell short of its rate is repeated once. It says little about
 * the back-end, and confirms nothing.
 *
 * The trials themselves are the caller's, so that a test can stand in for the back-end.
 *
 * Thread: one at a time.
 */
#include <stdbool.h>

#include "bench.h"

#define SEARCH_MAX_STEPS 48
#define SEARCH_LONGER    3 /* how many times longer the last trial is */

/* One trial. */
struct search_step {
	double asked;    /* frames a second; 0: as fast as possible */
	double offered;  /* that the load could send */
	double received; /* frames a second that arrived */
	double seconds;
	double loss;     /* fraction of what was expected */
	bool good;       /* within the tolerance */
	bool fell_short; /* the load could not send what was asked for */
};

struct search_config {
	double highest; /* rate to begin with; 0: as fast as possible */
	double seconds, warm_up;
	double loss;      /* the fraction that counts as none */
	double precision; /* stop when the bounds are that close, as a fraction */
	/* Measures one trial. 0 or -errno. */
	int (*trial)(void *arg, const struct bench_trial *t, struct bench_result *out);
	void *arg;
};

struct search_outcome {
	double rate;         /* frames a second; 0: frames are lost at any rate */
	bool verified;       /* a longer trial lost nothing at this rate */
	bool load_limited;   /* nothing was lost at the highest rate that was offered */
	unsigned fell_short; /* steps in which the load fell short */
	struct search_step steps[SEARCH_MAX_STEPS];
	unsigned nsteps;
};

/*
 * 0, or what `trial` returned: then `out` has the steps up to there. `*last` is the trial of
 * `out->rate`; zeroed when there is none.
 */
int search_run(
	const struct search_config *cfg, struct search_outcome *out, struct bench_result *last);

/*
 * Whether a load that sent `offered` frames a second for so long fell short of the rate that was
 * asked for: more than 5 % and more than a burst are missing. A load without a rate (0) never falls
 * short.
 */
bool search_fell_short(double asked, double offered, double seconds);
/* The fraction of what was expected that did not arrive. */
double search_loss(const struct bench_result *r);
