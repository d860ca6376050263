/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Progress on standard error while a trial runs: one line that is overwritten on a terminal, and
 * one line every few seconds elsewhere.
 *
 * Thread: one at a time; the state belongs to the process, as the stream does.
 */
#include <stdbool.h>
#include <stddef.h>

#include "bench.h"
#include "rw_base.h"

/* An interval between two lines that suits standard error. */
#define LIVE_AUTO (-1.0)

/* Show progress from now on if `on`, at most one line in `interval` seconds (or LIVE_AUTO). */
void live_begin(bool on, double interval);
/*
 * A trial begins, and its counters begin at 0. Its lines begin with this label, such as "trial 3".
 */
void live_trial(const char *fmt, ...) RW_PRINTF(1, 2);
/* Clear the line, so that other output begins at the left. */
void live_end(void);

/* The counters that the previous line of this trial showed. */
struct live_seen {
	struct bench_port_result sum;
	double seconds;
};

/* Format the line for what has come since `before`. */
void live_line(
	char *line, size_t size, const struct live_seen *before, const struct bench_result *now);
