/* SPDX-License-Identifier: BSD-3-Clause */
#include "wanted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "kinds.h"

struct wanted_reading {
	const struct options *now;
	struct wanted *w;
	struct wanted_fault *fault;
	struct parse p;
	struct source *source;
	bool keep_words;
	json_t *names;  /* name -> index in the ports of now */
	unsigned phase; /* in the table of phases */
	unsigned at;    /* the phase's next port */
};

/* Whether two values are the same, which are freed. */
static bool same_value(json_t *a, json_t *b)
{
	bool same = a == b || json_equal(a, b);

	json_decref(a);
	json_decref(b);
	return same;
}

/* ---- ports ---- */

static enum wanted_step step_of(const struct options_port *now, const struct options_port *wanted)
{
	/* Bytes that differ may mean the same; bytes that do not are the quick way. */
	const void *now_bytes = now, *wanted_bytes = wanted;
	enum wanted_step step = WANTED_SAME;
	const struct port_option *option;

	if (!memcmp(now_bytes, wanted_bytes, sizeof(*now)))
		return WANTED_SAME;
	if (now->kind != wanted->kind)
		return WANTED_REPLACE;
	for (unsigned i = 0; (option = options_port_option(now->kind, i)); i++) {
		if (same_value(option->get(now), option->get(wanted)))
			continue;
		if (!option->changeable)
			return WANTED_REPLACE;
		step = WANTED_SET;
	}
	return step;
}

static void swap(struct wanted *w, unsigned a, unsigned b)
{
	struct options_port port = w->opt.ports[a];
	enum wanted_step step = w->steps[a];
	int from = w->from[a];

	if (a == b)
		return;
	w->opt.ports[a] = w->opt.ports[b];
	w->steps[a] = w->steps[b];
	w->from[a] = w->from[b];
	w->opt.ports[b] = port;
	w->steps[b] = step;
	w->from[b] = from;
}

static int names_note(struct wanted_reading *r)
{
	const struct options *now = r->now;

	for (unsigned i = 0; i < now->nports; i++)
		json_object_set_new(r->names, now->ports[i].name, json_integer(i));
	return 0;
}

/* Find out what becomes of the next port that the document names. */
static int port_compare(struct wanted_reading *r)
{
	struct wanted *w = r->w;
	unsigned i = r->at++;
	const json_t *at;

	if (i == w->opt.nports)
		return 0;
	at = json_object_get(r->names, w->opt.ports[i].name);
	w->from[i] = at ? (int)json_integer_value(at) : -1;
	w->steps[i] = at ? step_of(&r->now->ports[w->from[i]], &w->opt.ports[i]) : WANTED_ADD;
	if (at)
		w->stays[w->from[i]] = true;
	if (w->steps[i] == WANTED_SAME)
		swap(w, i, w->nsame++);
	return 1;
}

/* Whether a port of now stays that the document does not name. */
static bool is_kept(const struct options_port *port, bool keep_words)
{
	json_t *entry = options_port_document(port);

	json_decref(entry);
	return !entry || (keep_words && port->of_words);
}

/* Add the next port of now, if it stays without being named. */
static int kept_add(struct wanted_reading *r)
{
	const struct options_port *port = &r->now->ports[r->at];
	struct wanted *w = r->w;
	unsigned i = r->at++, n = w->opt.nports;

	if (i == r->now->nports)
		return 0;
	if (w->stays[i] || !is_kept(port, r->keep_words))
		return 1;
	options_source_stand_at(r->source, "ports");
	if (n == OPTIONS_PORTS_MAX)
		return options_mistake(&r->p, "there are more than %d ports", OPTIONS_PORTS_MAX);
	if (options_port_bridge_check(&r->p, port->name, port))
		return -EINVAL;
	w->opt.ports[n] = *port;
	w->steps[n] = WANTED_SAME;
	w->from[n] = (int)i;
	w->stays[i] = true;
	w->opt.nports++;
	swap(w, n, w->nsame++);
	return 1;
}

/* What the next port's own options do not show, if it is new. */
static int port_check(struct wanted_reading *r)
{
	struct options_port *port = &r->w->opt.ports[r->at];
	char at[OPTIONS_AT_MAX];
	unsigned i = r->at++;
	int ret;

	if (i >= r->w->opt.nports)
		return 0;
	if (i < r->w->nsame || r->w->steps[i] == WANTED_SET)
		return 1;
	snprintf(at, sizeof(at), "ports/%s", port->name);
	options_source_stand_at(r->source, at);
	ret = port->kind->check(&r->p, port);
	if (!ret)
		ret = options_port_files_check(&r->p, port);
	return ret ? ret : 1;
}

/* ---- settings ---- */

bool wanted_changeable(const char *name)
{
	static const char *const names[] = {"bridge", "vlan", "mirror", "log-level", "fdb-age",
		"forward", "balance", "snooping"};

	for (size_t i = 0; i < RW_ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i], name))
			return true;
	}
	return false;
}

/* What was chosen and what is wanted may be the same, although nobody wanted it before. */
static void choices_accept(const struct options *now, struct options *wanted)
{
	if (now->cpus_are_default && wanted->ncpus == now->ncpus &&
		!memcmp(now->cpus, wanted->cpus, now->ncpus * sizeof(now->cpus[0])))
		wanted->cpus_are_default = true;
	if (now->control_is_default && !strcmp(now->control, wanted->control))
		wanted->control_is_default = true;
	if (now->state_dir_is_default && !strcmp(now->state_dir, wanted->state_dir))
		wanted->state_dir_is_default = true;
}

static int restart_needed(struct wanted_reading *r, const struct options_row *row)
{
	json_t *now = row->get(r->now), *wanted = row->get(&r->w->opt);
	char *from = now ? json_dumps(now, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	char *to = wanted ? json_dumps(wanted, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

	options_source_stand_at(r->source, options_row_key(row));
	options_mistake(&r->p,
		"%s is %s now and would be %s: that takes a restart of ringwayd; nothing was "
		"changed",
		options_row_key(row), from ? from : "not set", to ? to : "not set");
	free(from);
	free(to);
	json_decref(now);
	json_decref(wanted);
	return -EINVAL;
}

/* 0 or a mistake. */
static int settings_compare(struct wanted_reading *r)
{
	options_source_stand_at(r->source, "mirrors");
	if (options_mirrors_check(&r->p))
		return -EINVAL;
	choices_accept(r->now, &r->w->opt);
	for (size_t i = 0; i < options_nrows; i++) {
		const struct options_row *row = &options_rows[i];

		/* As at a start, the command line prevails. */
		if (!row->get || (r->now->words >> i & 1) ||
			same_value(row->get(r->now), row->get(&r->w->opt)))
			continue;
		if (!wanted_changeable(row->name))
			return restart_needed(r, row);
		r->w->settings |= 1ull << i;
	}
	return 0;
}

/* ---- all ---- */

static int source_read(struct wanted_reading *r)
{
	return options_source_step(r->source);
}

static int files_note(struct wanted_reading *r)
{
	/* A new port's files are compared with these. */
	strcpy(r->w->opt.control, r->now->control);
	strcpy(r->w->opt.pidfile, r->now->pidfile);
	return 0;
}

/* Each does one step, of a port or of all settings: 1: there is more; 0: the next phase; < 0. */
static int (*const phases[])(struct wanted_reading *r) = {
	source_read, settings_compare, files_note, names_note, port_compare, kept_add, port_check};

struct wanted_reading *wanted_begin(const struct options *now, const struct wanted_source *source,
	struct wanted *out, struct wanted_fault *fault)
{
	struct wanted_reading *r = calloc(1, sizeof(*r));

	*fault = (struct wanted_fault){.at = ""};
	memset(out, 0, sizeof(*out));
	options_init(&out->opt);
	options_names_take(&out->opt, now, now->words);
	if (!r)
		return NULL;
	*r = (struct wanted_reading){.now = now,
		.w = out,
		.fault = fault,
		.keep_words = source->keep_words,
		.names = json_object()};
	r->p = (struct parse){.opt = &out->opt,
		.err = fault->text,
		.errlen = sizeof(fault->text),
		.confined = true,
		.seen = now->words};
	r->source = options_source_new(&r->p, source->root, source->doc, source->name);
	if (r->source && r->names)
		return r;
	wanted_end(r);
	return NULL;
}

int wanted_step(struct wanted_reading *r)
{
	int ret;

	if (r->phase == RW_ARRAY_SIZE(phases))
		return 0;
	ret = phases[r->phase](r);
	if (ret < 0)
		snprintf(r->fault->at, sizeof(r->fault->at), "%s", options_source_at(r->source));
	if (ret)
		return ret;
	r->phase++;
	r->at = 0;
	return 1;
}

void wanted_end(struct wanted_reading *r)
{
	if (!r)
		return;
	options_source_free(r->source);
	json_decref(r->names);
	free(r);
}
