/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Writing of samples; private to the metrics. */
#include <jansson.h>
#include <stdio.h>

enum metric_kind {
	METRIC_GAUGE,
	METRIC_COUNTER,   /* its samples end in "_total" */
	METRIC_HISTOGRAM, /* in "_bucket", "_sum" and "_count" */
	METRIC_NUM_KINDS
};

struct metric_out {
	FILE *f;
	const struct family *family;
	const json_t *reading;
	const char *suffix; /* of the next sample's name */
};

/* A metric with all its samples. */
struct family {
	const char *name; /* without a suffix */
	enum metric_kind kind;
	const char *labels; /* their names, as in the document; "": none */
	const char *help;   /* one line, without backslashes */
	/* The list of the reading whose elements are given to `emit`; NULL: the reading itself. */
	const char *list;
	void (*emit)(struct metric_out *o, const json_t *row);
	const char *key; /* of the row, for `emit` */
};

extern const struct family metric_families[];
extern const unsigned metric_nfamilies;

/*
 * Write one sample. Names and values of labels follow, in pairs, then METRIC_END. The value is a
 * number, true, false, or NULL: then there is no sample.
 */
#define METRIC_END ((const char *)NULL)
void metric_sample(struct metric_out *o, const json_t *value, ...) __attribute__((sentinel));

/* A text of a row; "" if there is none. */
static inline const char *text_of(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

/* What is counted on request (metrics_count.c). */
void metric_emit_counted(struct metric_out *o, const json_t *row);
void metric_emit_uncounted(struct metric_out *o, const json_t *row);
void metric_emit_sizes(struct metric_out *o, const json_t *row);
void metric_emit_vlan_counts(struct metric_out *o, const json_t *reading);
void metric_emit_latency(struct metric_out *o, const json_t *row);
