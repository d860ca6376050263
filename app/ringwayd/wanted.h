/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What a document wants of a switch that runs, and the difference to what it is. Nothing is changed
 * here, and no file is read: that the switch can do what is wanted, only apply.c shows.
 *
 * Thread: control.
 */
#include <jansson.h>

#include "options.h"

struct doc;

/* A document. */
struct wanted_source {
	const json_t *root;
	const struct doc *doc; /* where its values stand; NULL: in no text */
	const char *name;      /* of that text */
	bool keep_words;       /* ports of the command line stay if it does not name them */
};

/* What becomes of a port that is wanted. */
enum wanted_step {
	WANTED_SAME,
	WANTED_SET,     /* its changeable options */
	WANTED_REPLACE, /* it ends, and there is another one of its name */
	WANTED_ADD,
};

struct wanted {
	/* Its ports are those that are wanted; they come in the order SAME, then all others. */
	struct options opt;
	enum wanted_step steps[OPTIONS_PORTS_MAX]; /* by the index in opt.ports */
	int from[OPTIONS_PORTS_MAX];               /* their index in the ports of now, or -1 */
	unsigned nsame;
	bool stays[OPTIONS_PORTS_MAX]; /* ports of now that are wanted, or that no document names */
	uint64_t settings;             /* bit: row of the table of options that differs */
};

/* Why not. */
struct wanted_fault {
	char at[OPTIONS_AT_MAX]; /* the value: "ports/vm1/vlan"; "": the document */
	char text[512];          /* one line; begins with FILE:LINE:COLUMN if there was a `doc` */
};

/* Whether a switch that runs can change that option, see apply.c. */
bool wanted_changeable(const char *name);

/*
 * Read a document against what holds, in steps of some microseconds: one port, or all settings.
 * What is passed outlives the reading, and `now` does not change meanwhile.
 */
struct wanted_reading;

/* NULL: no memory. */
struct wanted_reading *wanted_begin(const struct options *now, const struct wanted_source *source,
	struct wanted *out, struct wanted_fault *fault);
/* 1: there is more to read; 0: that was all; or < 0, and the fault says why not. */
int wanted_step(struct wanted_reading *r);
void wanted_end(struct wanted_reading *r); /* NULL is fine */

/*
 * The difference as a list: {"key", "from", "to"} for each setting; for each port {"port",
 * "change": "set", "replace", "add" or "remove", "keys": [{"key", "from", "to"}]}. What is not
 * there is null. Add step `i` of wanted_difference_steps() to the list, which may be nothing.
 */
size_t wanted_difference_steps(const struct options *now, const struct wanted *wanted);
void wanted_difference_add(
	json_t *list, const struct options *now, const struct wanted *wanted, size_t i);
