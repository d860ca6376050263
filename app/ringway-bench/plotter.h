/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The picture of a measurement. A program of its own draws it, scripts/bench_plot.py, from the JSON
 * that ringway-bench prints: this part finds it, starts it and waits for its end.
 *
 * Thread: one at a time.
 */
#include "report.h"

/*
 * Before anything is measured: whether the plotter and what it needs are there, and `path` can be
 * written. 0, or -1 with one line in `err`.
 */
int plotter_check(const char *path, char *err, size_t errlen);
/* Draw the report into the file at `path`. The same. */
int plotter_draw(const struct report *r, const char *path, char *err, size_t errlen);
