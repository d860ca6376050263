/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * RFC 2889: how many addresses a learning back-end remembers (5.7) and how many it learns in a
 * second (5.8). A trial teaches hosts behind one port and then sends to each of them from a second
 * one; a third one receives what is flooded. A host is known when its frame reached its port alone.
 *
 * The RFC waits until the back-end has forgotten the addresses of a trial; these measurements do
 * not. For the capacity, every trial teaches the same hosts again, from the first on: a full table
 * has turned away the last ones, and a table that evicts gives up hosts that are not named again. A
 * table that has just been too small may evict one of them for each that it takes back, so the
 * number that was known of too many counts, too. For the learning rate, every trial teaches hosts
 * that were never seen, and the table needs room for all of them.
 *
 * The trials themselves are the caller's, so that a test can stand in for the back-end.
 *
 * Thread: one at a time.
 */
#include <stdbool.h>
#include <stdint.h>

#define HOSTS_MAX_STEPS 64

struct hosts_step {
	uint32_t taught, known;
	double rate; /* at which they were taught, frames a second */
};

struct hosts_config {
	uint32_t most;    /* CAPACITY: hosts tried at most; LEARNING: new ones for each trial */
	double rate;      /* CAPACITY: to teach at; LEARNING: the highest; 0: as fast as possible */
	double precision; /* stop when the bounds are that close, as a fraction */
	/*
	 * Teach `n` hosts from number `first` on, *rate frames a second (0: as fast as possible),
	 * and count those that are known after. *rate becomes what was reached. 0 or -errno.
	 */
	int (*trial)(void *arg, uint32_t first, uint32_t n, double *rate, uint32_t *known);
	void *arg;
};

struct hosts_outcome {
	uint32_t capacity; /* the highest number of hosts that were known at a time */
	double rate;       /* hosts a second that were all learned; 0: at no rate */
	bool at_least;     /* the limit of what was tried, not of the back-end */
	struct hosts_step steps[HOSTS_MAX_STEPS];
	unsigned nsteps;
};

/* 0, or what `trial` returned: then `out` has the steps up to there. */
int hosts_capacity(const struct hosts_config *cfg, struct hosts_outcome *out);
int hosts_learning(const struct hosts_config *cfg, struct hosts_outcome *out);
