/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The command line of ringway-bench: what is to be measured, checked as far as it can be without
 * touching a socket. A mistake is one line that names the option, the value and what to do.
 *
 * Thread: the one that starts the program.
 */
#include <stddef.h>
#include <stdio.h>

#include "bench.h"

/* What options_parse found besides "run" (0) and a mistake (< 0). */
#define OPTIONS_HELP    1
#define OPTIONS_VERSION 2

/*
 * Read the command line into `out`, whose strings are those of `argv`, which may be reordered. 0:
 * run; > 0: print what OPTIONS_HELP or OPTIONS_VERSION names and exit 0; < 0: a mistake, and `err`
 * holds one line for "ringway-bench: ". `out` is written for 0 only.
 */
int options_parse(int argc, char **argv, struct bench_options *out, char *err, size_t errlen);

void options_print_help(FILE *to);

/* The word for a pattern. */
const char *options_pattern_name(enum bench_pattern pattern);
