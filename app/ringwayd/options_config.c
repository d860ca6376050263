/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration: a document whose keys are the options of the command line, and "ports", where
 * each port has the keys of --port.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "options_internal.h"

/* A tree that is being read. */
struct source {
	struct parse *p;
	const json_t *root;
	const struct doc *doc;       /* NULL: the tree was in no text */
	const char *name;            /* of the text */
	const char *in, *entry_name; /* what is being read: "ports" or "mirrors", and its name */
	/* What is read next: a port, or else a key; NULL: there is none. */
	void *entry, *key;
	const json_t *ports;     /* of `entry` */
	bool begun, rest;        /* `rest`: what others refer to has been read */
	char at[OPTIONS_AT_MAX]; /* the path of what mistakes are about */
	char where[OPTIONS_FILE_MAX + 32];
	char texts[OPTIONS_PAIRS_MAX][OPTIONS_VLANS_TEXT]; /* values of a port or mirror */
};

/* Mistakes from here on are about the value at `path`. */
static void stand_at(struct source *s, const char *path)
{
	struct doc_position at;

	snprintf(s->at, sizeof(s->at), "%.*s", OPTIONS_AT_MAX - 1, path);
	s->where[0] = 0;
	if (s->doc) {
		at = doc_where(s->doc, path);
		snprintf(s->where, sizeof(s->where), "%s:%u:%u: ", s->name, at.line, at.column);
	}
	s->p->where = s->where;
}

/* What jansson's iterators take. */
static json_t *mutable(const json_t *tree)
{
	return (json_t *)(uintptr_t)tree;
}

/* ---- values ---- */

/* A word or a number as text. False: it is neither, or does not fit. */
static bool word_text(const json_t *value, char *out, size_t len)
{
	const char *text = json_string_value(value);
	int n = -1;

	if (text && strlen(text) == json_string_length(value))
		n = snprintf(out, len, "%s", text);
	else if (json_is_integer(value))
		n = snprintf(out, len, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_boolean(value))
		n = snprintf(out, len, "%s", json_is_true(value) ? "on" : "off");
	return n >= 0 && (size_t)n < len;
}

/* The same; a list is the texts of its items with `join` between them. 0: there are no lists. */
static bool value_text(const json_t *value, char join, char *out, size_t len)
{
	const json_t *item;
	size_t at = 0;

	if (!json_is_array(value))
		return word_text(value, out, len);
	if (!join || !json_array_size(value))
		return false;
	for (size_t i = 0; (item = json_array_get(value, i)); i++) {
		if (i)
			out[at++] = join;
		if (at >= len || !word_text(item, out + at, len - at))
			return false;
		at += strlen(out + at);
	}
	return at < len;
}

/* ---- ports ---- */

/* See struct parse. */
static void key_at(struct parse *p, const char *key)
{
	struct source *s = p->source;
	char at[OPTIONS_FILE_MAX];

	snprintf(at, sizeof(at), "%s/%s%s%s", s->in, s->entry_name, key ? "/" : "", key ? key : "");
	stand_at(s, at);
}

/* The pairs of a port or mirror. How many, or a mistake. */
static int pairs_of(
	struct source *s, const json_t *entry, struct options_pair pairs[OPTIONS_PAIRS_MAX])
{
	const char *key;
	json_t *value;
	int n = 0;

	json_object_foreach(mutable(entry), key, value)
	{
		key_at(s->p, key);
		if (n == OPTIONS_PAIRS_MAX)
			return options_mistake(s->p, "there are more than %d keys", n);
		if (!value_text(value, '+', s->texts[n], sizeof(s->texts[n])))
			return options_mistake(
				s->p, "\"%s\" wants a word, a number or a list of them", key);
		pairs[n] = (struct options_pair){key, s->texts[n]};
		n++;
	}
	return n;
}

/* Read the keys of `name`, a member of s->in. */
static int keys_read(struct source *s, const char *name, const json_t *entry,
	int (*read)(struct parse *p, const char *name, const struct options_pair *pairs,
		unsigned npairs))
{
	struct options_pair pairs[OPTIONS_PAIRS_MAX];
	int n, ret;

	s->entry_name = name;
	key_at(s->p, NULL);
	if (!json_is_object(entry))
		return options_mistake(s->p, "%.*s %s wants its keys: %s and others",
			(int)strlen(s->in) - 1, s->in, name,
			strcmp(s->in, "ports") ? "to" : "socket");
	n = pairs_of(s, entry, pairs);
	if (n < 0)
		return n;
	key_at(s->p, NULL);
	s->p->key_at = key_at;
	ret = read(s->p, name, pairs, (unsigned)n);
	s->p->key_at = NULL;
	return ret;
}

static int ports_begin(struct source *s, const json_t *ports)
{
	if (!json_is_object(ports) && !json_is_null(ports))
		return options_mistake(s->p, "\"ports\" wants a key for each port, its name");
	s->ports = ports;
	s->entry = json_object_iter(mutable(ports));
	return 0;
}

static int entry_read(struct source *s)
{
	void *entry = s->entry;

	s->entry = json_object_iter_next(mutable(s->ports), entry);
	s->in = "ports";
	return keys_read(
		s, json_object_iter_key(entry), json_object_iter_value(entry), options_port_read);
}

/* ---- all of it ---- */

/* A key of which each member is NAME=VALUE of the option. 0 or a mistake. */
static int members_read(struct source *s, const char *key, const json_t *value)
{
	char text[OPTIONS_FILE_MAX + 1], at[OPTIONS_FILE_MAX];
	const char *name;
	json_t *member;
	int ret = 0;

	json_object_foreach(mutable(value), name, member)
	{
		int len = snprintf(text, sizeof(text) / 2, "%s=", name);

		snprintf(at, sizeof(at), "%s/%s", key, name);
		stand_at(s, at);
		if (len >= (int)sizeof(text) / 2 ||
			!word_text(member, text + len, sizeof(text) - (size_t)len))
			ret = options_mistake(s->p, "\"%.64s\" wants one value", name);
		else
			ret = options_key_read(s->p, key, text);
		if (ret)
			break;
	}
	return ret;
}

/* "mirrors" */
static int entries_read(struct source *s, const struct options_row *row, const json_t *value)
{
	const char *name;
	json_t *entry;
	int ret = 0;

	/* The command line prevails. */
	if (s->p->seen >> (row - options_rows) & 1)
		return 0;
	s->in = options_row_key(row);
	json_object_foreach(mutable(value), name, entry)
	{
		ret = keys_read(s, name, entry, options_mirror_read);
		if (ret)
			break;
	}
	return ret;
}

static int key_read(struct source *s, const char *key, const json_t *value)
{
	const struct options_row *row = options_row_of(key);
	const struct options_section *section = options_row_section(row);
	char text[OPTIONS_FILE_MAX + 1];
	const json_t *item;
	int ret = 0;

	if (section && json_is_null(value))
		return 0;
	if (section && section->pairs && json_is_object(value))
		return members_read(s, key, value);
	if (section && section->entries)
		return json_is_object(value) ? entries_read(s, row, value)
					     : options_key_read(s->p, key, NULL);
	if (!row || !row->many || !row->value || !json_array_size(value))
		return options_key_read(
			s->p, key, value_text(value, ',', text, sizeof(text)) ? text : NULL);
	for (size_t i = 0; !ret && (item = json_array_get(value, i)); i++)
		ret = options_key_read(
			s->p, key, word_text(item, text, sizeof(text)) ? text : NULL);
	return ret;
}

/* Read the next key if it is one that others refer to, or with `rest` if it is none. */
static int next_key_read(struct source *s)
{
	const char *key = json_object_iter_key(s->key);
	const json_t *value = json_object_iter_value(s->key);
	const struct options_section *section;

	s->key = json_object_iter_next(mutable(s->root), s->key);
	section = options_row_section(options_row_of(key));
	if ((section && section->first) == s->rest)
		return 0;
	stand_at(s, key);
	return strcmp(key, "ports") ? key_read(s, key, value) : ports_begin(s, value);
}

static int root_begin(struct source *s)
{
	stand_at(s, "");
	s->begun = true;
	if (!json_is_object(s->root) && !json_is_null(s->root))
		return options_mistake(s->p, "this is no list of keys and values");
	s->key = json_object_iter(mutable(s->root));
	return 0;
}

int options_source_step(struct source *s)
{
	int ret = 0;

	if (s->entry) {
		ret = entry_read(s);
	} else if (!s->begun) {
		ret = root_begin(s);
	} else if (s->key) {
		ret = next_key_read(s);
	} else if (s->rest) {
		return 0;
	} else {
		s->rest = true;
		s->key = json_object_iter(mutable(s->root));
	}
	return ret ? ret : 1;
}

struct source *options_source_new(
	struct parse *p, const json_t *root, const struct doc *doc, const char *name)
{
	struct source *s = calloc(1, sizeof(*s));

	if (!s) {
		options_mistake(p, "no memory");
		return NULL;
	}
	s->p = p;
	s->root = root;
	s->doc = doc;
	s->name = name;
	p->source = s;
	return s;
}

void options_source_free(struct source *s)
{
	if (!s)
		return;
	s->p->source = NULL;
	s->p->where = NULL;
	free(s);
}

static int source_read(struct source *s)
{
	int ret;

	do {
		ret = options_source_step(s);
	} while (ret > 0);
	return ret;
}

void options_source_stand_at(struct source *s, const char *path)
{
	stand_at(s, path);
}

const char *options_source_at(const struct source *s)
{
	return s->at;
}

int options_config_file(struct parse *p, const char *path)
{
	struct doc *doc = doc_read(path, p->err, p->errlen);
	struct source *s = doc ? options_source_new(p, doc_root(doc), doc, path) : NULL;
	int ret = s ? source_read(s) : -EINVAL;

	options_source_free(s);
	doc_free(doc);
	return ret;
}
