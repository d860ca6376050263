/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What is going on, on standard error while it goes on: on a terminal one line that is written over
 * again and again, elsewhere a line every few seconds.
 *
 * Thread: one at a time; the state is the process's, like the stream.
 */
#include <stdbool.h>
#include <stddef.h>

#include "bench.h"
#include "rw_base.h"

/* Show progress from now on, if `on`. */
void live_begin(bool on);
/* What follows: "trial 3, 2.5 Mpps" stands before the numbers. */
void live_label(const char *fmt, ...) RW_PRINTF(1, 2);
/* Clear the line, so that other output begins at the left. */
void live_end(void);

/* What a line told: the rates of the next one are those since. */
struct live_seen {
	struct bench_port_result sum;
	double seconds;
};

/* The line for what came since `before`. */
void live_line(
	char *line, size_t size, const struct live_seen *before, const struct bench_result *now);
