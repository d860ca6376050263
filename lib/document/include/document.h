/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A document that a person writes: YAML, so JSON as well, read into a tree of jansson. The tree
 * knows where in the text each of its values stands, so that a mistake in it can be named as
 * "file:line:column".
 *
 * Scalars follow YAML's core schema (yaml.org/spec/1.2.2, 10.3): plain ones are null, true, false,
 * integers, numbers or else strings; quoted ones are strings. An integer beyond 64 bits is a
 * number. Aliases, tags and several documents in one text are refused, because a short text could
 * describe a huge tree with them; so are a key that occurs twice in a mapping, and a key that is no
 * scalar.
 *
 * Thread: any.
 */
#include <jansson.h>
#include <stdio.h>

#include "rw_base.h"

/* Bytes of a text, levels of mappings and sequences, and values in all: more are refused. */
#define DOC_TEXT_MAX   (16u << 20)
#define DOC_DEPTH_MAX  16
#define DOC_VALUES_MAX (1u << 20)

/* Where a value, or the key that names it, begins; both count from 1. */
struct doc_position {
	unsigned line;
	unsigned column; /* characters */
};

struct doc;

/*
 * Read a text of `len` bytes. `name` stands for it in messages. NULL: it is no such document, and
 * `err` holds one line, "NAME:LINE:COLUMN: what is wrong". An empty text is null.
 */
struct doc *doc_parse(const char *name, const char *text, size_t len, char *err, size_t errlen);
/* The same for a file; "-" is standard input. Errors of the file are "NAME: why". */
struct doc *doc_read(const char *path, char *err, size_t errlen);
/* The same for an open file, which stays open. */
struct doc *doc_read_fd(int fd, const char *name, char *err, size_t errlen);
/* NULL is fine. */
void doc_free(struct doc *doc);

/* The tree, which belongs to the document. */
const json_t *doc_root(const struct doc *doc);

/*
 * Where the value at `path` stands: its key in a mapping, itself in a sequence. Keys and indices
 * are joined by '/': "ports/vm1/trunk/0"; "" is the root. A path of which the text has only the
 * beginning gives the position of that: the mapping in which a key is missing.
 */
struct doc_position doc_where(const struct doc *doc, const char *path);

/*
 * Write a tree as a text that doc_parse reads as the same tree. False: no memory, or `to` has an
 * error. Strings hold no zero byte.
 */
bool doc_write(const json_t *root, FILE *to);
