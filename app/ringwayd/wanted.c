/* SPDX-License-Identifier: BSD-3-Clause */
#include "wanted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "kinds.h"

/* One that is under way. */
struct reading {
	const struct options *now;
	struct wanted *w;
	struct parse p;
	struct source *source;
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

/* Name -> index in the ports of now. */
static json_t *names_of(const struct options *opt)
{
	json_t *names = json_object();

	for (unsigned i = 0; i < opt->nports; i++)
		json_object_set_new(names, opt->ports[i].name, json_integer(i));
	return names;
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

/* Find out what becomes of each port that the document names. */
static void steps_find(struct reading *r)
{
	json_t *names = names_of(r->now);
	struct wanted *w = r->w;

	for (unsigned i = 0; i < w->opt.nports; i++) {
		const json_t *at = json_object_get(names, w->opt.ports[i].name);

		w->from[i] = at ? (int)json_integer_value(at) : -1;
		w->steps[i] = at ? step_of(&r->now->ports[w->from[i]], &w->opt.ports[i])
				 : WANTED_ADD;
		if (at)
			w->stays[w->from[i]] = true;
		if (w->steps[i] == WANTED_SAME)
			swap(w, i, w->nsame++);
	}
	json_decref(names);
}

/* Whether a port of now stays that the document does not name. */
static bool is_kept(const struct options_port *port, bool keep_words)
{
	json_t *entry = options_port_document(port);

	json_decref(entry);
	return !entry || (keep_words && port->of_words);
}

/* Add those that stay without being named. 0 or a mistake. */
static int kept_add(struct reading *r, bool keep_words)
{
	struct wanted *w = r->w;

	for (unsigned i = 0; i < r->now->nports; i++) {
		unsigned n = w->opt.nports;

		if (w->stays[i] || !is_kept(&r->now->ports[i], keep_words))
			continue;
		if (n == OPTIONS_PORTS_MAX)
			return options_mistake(
				&r->p, "there are more than %d ports", OPTIONS_PORTS_MAX);
		if (options_port_bridge_check(&r->p, r->now->ports[i].name, &r->now->ports[i]))
			return -EINVAL;
		w->opt.ports[n] = r->now->ports[i];
		w->steps[n] = WANTED_SAME;
		w->from[n] = (int)i;
		w->stays[i] = true;
		w->opt.nports++;
		swap(w, n, w->nsame++);
	}
	return 0;
}

/* What a port's own options do not show, of those that are new. 0 or a mistake. */
static int ports_check(struct reading *r)
{
	struct wanted *w = r->w;
	int ret = 0;

	for (unsigned i = w->nsame; !ret && i < w->opt.nports; i++) {
		struct options_port *port = &w->opt.ports[i];
		char at[OPTIONS_AT_MAX];

		if (w->steps[i] == WANTED_SET)
			continue;
		snprintf(at, sizeof(at), "ports/%s", port->name);
		options_source_stand_at(r->source, at);
		ret = port->kind->check(&r->p, port);
		if (!ret)
			ret = options_port_files_check(&r->p, port);
	}
	return ret;
}

/* ---- settings ---- */

bool wanted_changeable(const char *name)
{
	static const char *const names[] = {
		"bridge", "vlan", "log-level", "fdb-age", "forward", "balance", "snooping"};

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

static int restart_needed(struct reading *r, const struct options_row *row)
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
static int settings_compare(struct reading *r)
{
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

int wanted_read(const struct options *now, const struct wanted_source *source, struct wanted *out,
	struct wanted_fault *fault)
{
	struct reading r = {.now = now, .w = out};
	int ret = -EINVAL;

	memset(out, 0, sizeof(*out));
	*fault = (struct wanted_fault){.at = ""};
	options_init(&out->opt);
	options_names_take(&out->opt, now, now->words);
	r.p = (struct parse){.opt = &out->opt,
		.err = fault->text,
		.errlen = sizeof(fault->text),
		.confined = true,
		.seen = now->words};
	r.source = options_source_new(&r.p, source->root, source->doc, source->name);
	if (!r.source)
		return -ENOMEM;
	ret = options_source_read(r.source);
	if (!ret)
		ret = settings_compare(&r);
	if (!ret) {
		/* A new port's files are compared with these. */
		strcpy(out->opt.control, now->control);
		strcpy(out->opt.pidfile, now->pidfile);
		steps_find(&r);
		options_source_stand_at(r.source, "ports");
		ret = kept_add(&r, source->keep_words);
	}
	if (!ret)
		ret = ports_check(&r);
	snprintf(fault->at, sizeof(fault->at), "%s", options_source_at(r.source));
	options_source_free(r.source);
	return ret;
}
