/* SPDX-License-Identifier: BSD-3-Clause */
#include "document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "scalar.h"

/* Bytes of a path (see doc_where); a longer one is cut, and names what it begins with. */
#define PATH_MAX_BYTES 512

struct place {
	char *path;
	struct doc_position at;
};

struct doc {
	json_t *root;
	struct place *places; /* by path once the document is complete */
	size_t nplaces, room;
};

/* A mapping or sequence that is being read. */
struct level {
	json_t *value;
	char *key; /* of the value that comes next in a mapping; NULL: a key comes next */
	size_t path_len;
};

struct reader {
	yaml_parser_t yaml;
	struct doc *doc;
	const char *name;
	char *err;
	size_t errlen;
	struct level levels[DOC_DEPTH_MAX];
	unsigned depth;
	bool complete;             /* the document has ended */
	char path[PATH_MAX_BYTES]; /* of the value that comes next */
	struct doc_position key_at;
};

static struct doc_position position_of(yaml_mark_t mark)
{
	return (struct doc_position){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

/* Note a mistake as one line. Returns false. */
static bool mistake(struct reader *r, struct doc_position at, const char *fmt, ...) RW_PRINTF(3, 4);
static bool mistake(struct reader *r, struct doc_position at, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(r->err, r->errlen, "%s:%u:%u: %s", r->name, at.line, at.column, text);
	for (char *c = r->err; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return false;
}

static bool no_memory(struct reader *r)
{
	snprintf(r->err, r->errlen, "%s: no memory", r->name);
	return false;
}

/* ---- paths ---- */

static size_t path_push(struct reader *r, const char *key)
{
	size_t len = strlen(r->path);

	snprintf(r->path + len, sizeof(r->path) - len, "%s%s", r->depth > 1 || len ? "/" : "", key);
	return len;
}

static bool place_add(struct reader *r, struct doc_position at)
{
	struct doc *doc = r->doc;
	char *path;

	if (doc->nplaces == DOC_VALUES_MAX)
		return mistake(r, at, "there are more than %u values", DOC_VALUES_MAX);
	if (doc->nplaces == doc->room) {
		size_t room = doc->room ? 2 * doc->room : 64;
		struct place *more = realloc(doc->places, room * sizeof(*more));

		if (!more)
			return no_memory(r);
		doc->places = more;
		doc->room = room;
	}
	path = strdup(r->path);
	if (!path)
		return no_memory(r);
	doc->places[doc->nplaces].path = path;
	doc->places[doc->nplaces++].at = at;
	return true;
}

static int place_compare(const void *a, const void *b)
{
	return strcmp(((const struct place *)a)->path, ((const struct place *)b)->path);
}

struct doc_position doc_where(const struct doc *doc, const char *path)
{
	char key[PATH_MAX_BYTES];
	struct place want = {.path = key}, *found;

	/* An empty text has no array to search. */
	if (!doc->nplaces)
		return (struct doc_position){1, 1};
	snprintf(key, sizeof(key), "%s", path);
	for (;;) {
		char *cut = strrchr(key, '/');

		found = bsearch(&want, doc->places, doc->nplaces, sizeof(want), place_compare);
		if (found || !*key)
			break;
		*(cut ? cut : key) = '\0';
	}
	return found ? found->at : (struct doc_position){1, 1};
}

/* ---- values ---- */

/* Whether a key comes next. */
static bool wants_key(const struct reader *r)
{
	return r->depth && json_is_object(r->levels[r->depth - 1].value) &&
		!r->levels[r->depth - 1].key;
}

/* Enter the path of the value that begins at `at`, and note its place. */
static bool value_begin(struct reader *r, struct doc_position at)
{
	struct level *level = r->depth ? &r->levels[r->depth - 1] : NULL;
	char index[24];

	if (!level)
		return place_add(r, at);
	if (level->key) {
		level->path_len = path_push(r, level->key);
		return place_add(r, r->key_at);
	}
	snprintf(index, sizeof(index), "%zu", json_array_size(level->value));
	level->path_len = path_push(r, index);
	return place_add(r, at);
}

/* Put a value that is complete where it belongs; takes the reference over. */
static bool value_end(struct reader *r, json_t *value)
{
	struct level *level;
	int ret;

	if (!value)
		return no_memory(r);
	if (!r->depth) {
		r->doc->root = value;
		return true;
	}
	level = &r->levels[r->depth - 1];
	ret = level->key ? json_object_set_new(level->value, level->key, value)
			 : json_array_append_new(level->value, value);
	free(level->key);
	level->key = NULL;
	r->path[level->path_len] = '\0';
	return ret ? no_memory(r) : true;
}

static bool key_read(struct reader *r, const yaml_event_t *event)
{
	struct level *level = &r->levels[r->depth - 1];
	const char *key = (const char *)event->data.scalar.value;

	r->key_at = position_of(event->start_mark);
	if (strlen(key) != event->data.scalar.length)
		return mistake(r, r->key_at, "a key holds a zero byte");
	if (json_object_get(level->value, key))
		return mistake(r, r->key_at, "\"%s\" is given twice", key);
	level->key = strdup(key);
	return level->key ? true : no_memory(r);
}

static bool scalar_read(struct reader *r, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	if (event->data.scalar.tag)
		return mistake(r, position_of(event->start_mark), "tags are not supported");
	if (wants_key(r))
		return key_read(r, event);
	if (!value_begin(r, position_of(event->start_mark)))
		return false;
	return value_end(r, plain ? doc_scalar(text, len) : json_stringn(text, len));
}

/* A mapping or sequence begins. */
static bool level_begin(struct reader *r, const yaml_event_t *event, json_t *value)
{
	struct doc_position at = position_of(event->start_mark);
	bool mapping = event->type == YAML_MAPPING_START_EVENT;
	const void *tag = mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag;
	bool ok;

	if (!value)
		return no_memory(r);
	if (tag)
		ok = mistake(r, at, "tags are not supported");
	else if (wants_key(r))
		ok = mistake(r, at, "a key must be a word");
	else if (r->depth == DOC_DEPTH_MAX)
		ok = mistake(r, at, "there are more than %d levels", DOC_DEPTH_MAX);
	else
		ok = value_begin(r, at);
	if (!ok) {
		json_decref(value);
		return false;
	}
	r->levels[r->depth++] = (struct level){.value = value};
	return true;
}

static bool level_end(struct reader *r)
{
	return value_end(r, r->levels[--r->depth].value);
}

static bool event_read(struct reader *r, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (r->complete)
			return mistake(
				r, position_of(event->start_mark), "a second document begins here");
		return true;
	case YAML_DOCUMENT_END_EVENT:
		r->complete = true;
		return true;
	case YAML_ALIAS_EVENT:
		return mistake(r, position_of(event->start_mark), "aliases are not supported");
	case YAML_SCALAR_EVENT:
		return scalar_read(r, event);
	case YAML_SEQUENCE_START_EVENT:
		return level_begin(r, event, json_array());
	case YAML_MAPPING_START_EVENT:
		return level_begin(r, event, json_object());
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return level_end(r);
	default:
		return true;
	}
}

/* libyaml's own mistakes. */
static bool syntax_mistake(struct reader *r)
{
	const yaml_parser_t *y = &r->yaml;

	if (y->error == YAML_MEMORY_ERROR)
		return no_memory(r);
	if (y->error == YAML_READER_ERROR)
		return mistake(
			r, position_of(y->mark), "%s (at byte %zu)", y->problem, y->problem_offset);
	return mistake(r, position_of(y->problem_mark), "%s%s%s", y->problem,
		y->context ? ", " : "", y->context ? y->context : "");
}

static bool events_read(struct reader *r)
{
	bool more = true;

	while (more) {
		yaml_event_t event;
		bool ok;

		if (!yaml_parser_parse(&r->yaml, &event))
			return syntax_mistake(r);
		more = event.type != YAML_STREAM_END_EVENT;
		ok = event_read(r, &event);
		yaml_event_delete(&event);
		if (!ok)
			return false;
	}
	return true;
}

/* ---- documents ---- */

static void reader_end(struct reader *r)
{
	while (r->depth) {
		struct level *level = &r->levels[--r->depth];

		json_decref(level->value);
		free(level->key);
	}
	yaml_parser_delete(&r->yaml);
}

struct doc *doc_parse(const char *name, const char *text, size_t len, char *err, size_t errlen)
{
	struct reader r = {.name = name, .err = err, .errlen = errlen};
	bool ok;

	if (len > DOC_TEXT_MAX) {
		snprintf(err, errlen, "%s: it has more than %u bytes", name, DOC_TEXT_MAX);
		return NULL;
	}
	r.doc = calloc(1, sizeof(*r.doc));
	if (!r.doc || !yaml_parser_initialize(&r.yaml)) {
		free(r.doc);
		no_memory(&r);
		return NULL;
	}
	yaml_parser_set_input_string(&r.yaml, (const unsigned char *)text, len);
	ok = events_read(&r);
	reader_end(&r);
	if (ok && !r.doc->root)
		r.doc->root = json_null();
	if (!ok) {
		doc_free(r.doc);
		return NULL;
	}
	if (r.doc->nplaces)
		qsort(r.doc->places, r.doc->nplaces, sizeof(*r.doc->places), place_compare);
	return r.doc;
}

/* All of a file in memory, malloc'd. NULL and errno. */
static char *file_read(int fd, size_t *len)
{
	size_t room = 1u << 16;
	char *text = malloc(room);
	ssize_t n = 1;

	for (*len = 0; text && n; *len += (size_t)n) {
		if (*len == room) {
			char *more = realloc(text, 2 * room);

			if (!more)
				break;
			text = more;
			room *= 2;
		}
		n = read(fd, text + *len, room - *len);
		if (n < 0 || *len > DOC_TEXT_MAX)
			break;
	}
	if (text && !n)
		return text;
	if (n > 0 || !text)
		errno = *len > DOC_TEXT_MAX ? EFBIG : ENOMEM;
	free(text);
	return NULL;
}

struct doc *doc_read_fd(int fd, const char *name, char *err, size_t errlen)
{
	struct doc *doc = NULL;
	size_t len;
	char *text = file_read(fd, &len);

	if (text)
		doc = doc_parse(name, text, len, err, errlen);
	else
		snprintf(err, errlen, "%s: %s", name, strerror(errno));
	free(text);
	return doc;
}

struct doc *doc_read(const char *path, char *err, size_t errlen)
{
	struct doc *doc;
	int fd;

	if (!strcmp(path, "-"))
		return doc_read_fd(STDIN_FILENO, "(standard input)", err, errlen);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(err, errlen, "%s: %s", path, strerror(errno));
		return NULL;
	}
	doc = doc_read_fd(fd, path, err, errlen);
	close(fd);
	return doc;
}

void doc_free(struct doc *doc)
{
	if (!doc)
		return;
	for (size_t i = 0; i < doc->nplaces; i++)
		free(doc->places[i].path);
	free(doc->places);
	json_decref(doc->root);
	free(doc);
}

const json_t *doc_root(const struct doc *doc)
{
	return doc->root;
}
