/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The answer to one JSON text, made in steps: one request of a batch, or one element of a list, at
 * a time. Between two steps the caller does something else. Thread: control.
 */
#include "buf.h"
#include "control.h"

struct ctl_table {
	const struct ctl_method *methods;
	size_t nmethods;
	void *ctx;
};

struct ctl_answer {
	const struct ctl_table *table;
	json_t *request;               /* the whole text; NULL: nothing is to be answered */
	const struct ctl_method *list; /* whose elements are written; NULL: none */
	size_t cursor;                 /* its */
	/* That said ctl_later to the present request; NULL: none. */
	const struct ctl_method *waits;
	size_t at, n; /* the present request, and how many there are */
	bool batch;
	bool in_list;  /* an element was written, or the list is empty so far */
	bool nonempty; /* something was written */
};

/* Begin the answer to `text`, of which nothing is needed later. What is wrong goes to `out`. */
int ctl_answer_begin(struct ctl_answer *a, const struct ctl_table *table, const char *text,
	size_t len, struct buf *out);
/* The next step, if there is one. 0, or -ENOMEM and the answer is not whole. */
int ctl_answer_step(struct ctl_answer *a, struct buf *out);
void ctl_answer_end(struct ctl_answer *a);

static inline bool ctl_answer_goes_on(const struct ctl_answer *a)
{
	return a->request;
}

/* Add the response that carries `fail` and no id. 0 or -ENOMEM. */
int ctl_error_add(struct buf *out, const struct ctl_failure *fail);

/* describe.c: whether `params` are what the method says; `fail` says why not. */
bool ctl_params_check(
	const struct ctl_method *method, const json_t *params, struct ctl_failure *fail);
