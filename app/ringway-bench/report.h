/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What came of a measurement, in two forms: tables for people (report.c), and JSON for programs
 * (json.c), whose keys doc/operation.md lists. The plotter draws the JSON (plotter.c).
 *
 * Thread: one at a time.
 */
#include <stdio.h>

#include "bench.h"
#include "hosts.h"
#include "search.h"

struct report {
	const struct bench_options *opt;
	bool interrupted;                 /* by the user: what is there is not all */
	const struct bench_result *trial; /* RATE: the trial; SEARCH: the last good one; or NULL */
	const struct search_outcome *search; /* SEARCH, or NULL */
	const struct hosts_outcome *hosts;   /* CAPACITY, LEARNING, or NULL */
};

void report_print(const struct report *r, FILE *to);
/* 0, or -ENOMEM or -EIO with nothing or half of it written. */
int report_json(const struct report *r, FILE *to);

/* What is wrong with what arrived, as one line in `line`; false: nothing. Lost frames are not. */
bool report_fault(const struct bench_result *r, char *line, size_t size);
/* Frames a second of all that arrived in the time measured, and their bits without FCS. */
double report_rate(const struct bench_result *r);
double report_bits(const struct bench_result *r);

/* The percentiles of latency that are shown. */
#define REPORT_PERCENTILES(X) X(50) X(90) X(99) X(99.9)
