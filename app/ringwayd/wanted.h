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

/* Read a document against what holds. 0; or < 0, and `fault` says why. */
int wanted_read(const struct options *now, const struct wanted_source *source, struct wanted *out,
	struct wanted_fault *fault);

/*
 * The difference as a list: {"key", "from", "to"} for each setting; for each port {"port",
 * "change": "set", "replace", "add" or "remove", "keys": [{"key", "from", "to"}]}. What is not
 * there is null.
 */
json_t *wanted_difference(const struct options *now, const struct wanted *wanted);
