/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A reading of the switch (source.h) as metrics, in OpenMetrics 1.0.0 or in the text format of
 * Prometheus (0.0.4). One table has all families: their names, labels and meaning are promised.
 *
 * Thread: any.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* The text as a new string (free()) and its length; NULL: no memory. */
char *metrics_text(const json_t *reading, bool openmetrics, size_t *len);

/* The families as the rows of a Markdown table, for doc/metrics.md. */
void metrics_list(FILE *out);
