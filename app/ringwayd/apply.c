/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order is such that what can fail comes first, and what hurts comes last: settings and changes
 * of ports, then new ports that are in nobody's way, then ports that are replaced. Ports that go,
 * go at the end, unless a new port needs their place. Each step is noted; if one fails, those
 * before it are undone, the last one first.
 *
 * All of it is a row of phases, each of which does one port at a time, so that a turn can end
 * behind any of them.
 */
#include "apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "rw_log.h"
#include "sw_snoop.h"

/* What was done, and `port` is how it is undone. */
struct step {
	enum { STEP_CHANGED, STEP_BEGAN, STEP_ENDED } what;
	struct options_port port; /* CHANGED, ENDED: as it was */
};

struct apply {
	struct apply *next; /* in daemon.applied */
	struct daemon *d;
	struct rw_turn turn;
	const void *owner; /* NULL: nobody asks for the result */
	json_t *config;    /* the document as a tree, */
	struct doc *doc;   /* or as the text of a file */
	bool dry_run;

	unsigned phase; /* in `phases` */
	unsigned at;    /* the phase's next port */
	bool undoing, finished;
	int ret;
	struct wanted_fault fault;
	struct applied out;

	/* While it runs. */
	struct wanted_reading *reading;
	struct wanted *w;
	json_t *removed; /* names of the ports that go */
	bool held;       /* sw_hold */
	bool early;      /* some of the ports that go make room for others */
	struct step *steps;
	unsigned nsteps;
	struct daemon_leaver *leavers;
	unsigned nleavers;
	bool made[OPTIONS_PORTS_MAX]; /* by the index in w->opt.ports: it is there */
};

static struct step *step_note(struct apply *a, int what, const struct options_port *port)
{
	struct step *step = &a->steps[a->nsteps++];

	step->what = what;
	step->port = *port;
	return step;
}

/* The reason of a failure, about a port. Returns -1. */
static int failed(struct apply *a, const char *port, const char *why)
{
	snprintf(a->fault.at, sizeof(a->fault.at), "ports/%s", port);
	snprintf(a->fault.text, sizeof(a->fault.text), "%s", why);
	return -1;
}

/* ---- steps ---- */

static int port_change(struct apply *a, const struct options_port *port)
{
	int index = daemon_port_find(a->d, port->name);
	char note[512];

	step_note(a, STEP_CHANGED, &a->d->opt.ports[index]);
	if (daemon_port_change(a->d, (unsigned)index, port, note, sizeof(note))) {
		a->nsteps--;
		return failed(a, port->name, note);
	}
	if (*note)
		json_array_append_new(a->out.notes, json_sprintf("port %s: %s", port->name, note));
	return 0;
}

/* Make a port. 0; or -errno, and `err` is the reason. */
static int begin(struct daemon *d, const struct options_port *port, char *err, size_t errlen)
{
	int ret;

	d->opt.ports[d->opt.nports++] = *port;
	ret = daemon_port_begin(d, err, errlen);
	if (ret)
		options_port_del(&d->opt, d->nports);
	return ret;
}

static int port_begin(struct apply *a, unsigned i)
{
	const struct options_port *port = &a->w->opt.ports[i];
	char err[512];

	if (begin(a->d, port, err, sizeof(err)))
		return failed(a, port->name, err);
	step_note(a, STEP_BEGAN, port);
	a->made[i] = true;
	return 0;
}

static void port_leave(struct apply *a, const char *name)
{
	int index = daemon_port_find(a->d, name);

	step_note(a, STEP_ENDED, &a->d->opt.ports[index]);
	daemon_port_leave(a->d, (unsigned)index, &a->leavers[a->nleavers++]);
}

static void undo(struct apply *a, const struct step *step)
{
	int index = daemon_port_find(a->d, step->port.name);
	char err[512];

	if (step->what == STEP_BEGAN)
		daemon_port_end(a->d, (unsigned)index);
	else if (step->what == STEP_ENDED && begin(a->d, &step->port, err, sizeof(err)))
		rw_error("port %s is lost: a change was undone, but %s", step->port.name, err);
	else if (step->what == STEP_CHANGED && index >= 0 &&
		daemon_port_change(a->d, (unsigned)index, &step->port, err, sizeof(err)))
		rw_error("port %s stays changed: a change could not be undone: %s", step->port.name,
			err);
}

/* ---- settings ---- */

/* Each that wanted.c calls changeable. None of them fails. */
static void settings_apply(struct daemon *d, const struct options *to)
{
	struct options *now = &d->opt;

	if (now->log_level != to->log_level)
		rw_log_set_level(to->log_level);
	if (now->fdb_age_s != to->fdb_age_s)
		fdb_set_age(sw_fdb(d->sw), to->fdb_age_s);
	if (now->forward != to->forward)
		sw_forward_set(d->sw, to->forward, sw_forward_runs(d->sw));
	if (now->balance_s != to->balance_s)
		daemon_balance_every(d, to->balance_s);
	sw_snooping_set(d->sw, to->snooping);
	now->snooping = to->snooping;
	mirrors_change(d, to);
	options_names_take(now, to, UINT64_MAX);
	now->log_level = to->log_level;
	now->fdb_age_s = to->fdb_age_s;
	now->forward = to->forward;
	now->balance_s = to->balance_s;
}

/* Those of the command line stay as they are: take them into what is wanted. */
static void settings_keep(const struct options *now, const struct wanted *w, struct options *to)
{
	for (size_t i = 0; i < options_nrows; i++) {
		const char *name = options_rows[i].name;

		if (w->settings >> i & 1)
			continue;
		if (!strcmp(name, "log-level"))
			to->log_level = now->log_level;
		else if (!strcmp(name, "fdb-age"))
			to->fdb_age_s = now->fdb_age_s;
		else if (!strcmp(name, "forward"))
			to->forward = now->forward;
		else if (!strcmp(name, "balance"))
			to->balance_s = now->balance_s;
		else if (!strcmp(name, "snooping"))
			to->snooping = now->snooping;
	}
}

/* ---- phases: 1: there is more; 0: the next one; < 0: it failed ---- */

static int document_read(struct apply *a)
{
	int ret = wanted_step(a->reading);

	if (ret)
		return ret;
	wanted_end(a->reading);
	a->reading = NULL;
	a->out.unchanged = a->w->nsame;
	return 0;
}

static int difference_find(struct apply *a)
{
	if (a->at == wanted_difference_steps(&a->d->opt, a->w))
		return 0;
	wanted_difference_add(a->out.changes, &a->d->opt, a->w, a->at++);
	return 1;
}

/* Get ready for the steps, from here on as if there were no error. */
static int steps_begin(struct apply *a)
{
	const struct options *now = &a->d->opt;

	if (a->dry_run || !json_array_size(a->out.changes)) {
		a->finished = true;
		return 0;
	}
	a->removed = json_array();
	for (unsigned i = 0; i < now->nports; i++) {
		if (!a->w->stays[i])
			json_array_append_new(a->removed, json_string(now->ports[i].name));
	}
	/* A port is noted twice at most: when it ends, and when it begins anew. */
	a->steps = calloc(a->d->nports + a->w->opt.nports + 1, sizeof(*a->steps));
	a->leavers = calloc(a->d->nports + 1, sizeof(*a->leavers));
	if (!a->removed || !a->steps || !a->leavers)
		return failed(a, "", strerror(ENOMEM));
	/* One commit for all ports, but where one waits for the place of another one. */
	sw_hold(a->d->sw);
	a->held = true;
	return 0;
}

/* The next port that is not as it was: its index in w->opt.ports. False: there is none. */
static bool next_port(struct apply *a, unsigned *i)
{
	a->at = RW_MAX(a->at, a->w->nsame);
	*i = a->at++;
	return *i < a->w->opt.nports;
}

static int ports_change(struct apply *a)
{
	unsigned i;

	if (!next_port(a, &i))
		return 0;
	if (a->w->steps[i] == WANTED_SET && port_change(a, &a->w->opt.ports[i]))
		return -1;
	return 1;
}

/* Whether a port can be made while all that are there now stay. */
static bool has_room(struct daemon *d, const struct options_port *port)
{
	struct options_port *place = &d->opt.ports[d->opt.nports];
	char err[512];
	struct parse p = {.opt = &d->opt, .err = err, .errlen = sizeof(err), .confined = true};

	if (d->opt.nports == OPTIONS_PORTS_MAX)
		return false;
	*place = *port;
	return !port->kind->check(&p, place);
}

/* New ports that are in nobody's way. */
static int ports_begin(struct apply *a)
{
	unsigned i;

	if (!next_port(a, &i))
		return 0;
	if (a->w->steps[i] != WANTED_ADD)
		return 1;
	if (!has_room(a->d, &a->w->opt.ports[i])) {
		a->early = true;
		return 1;
	}
	return port_begin(a, i) ? -1 : 1;
}

/* Those in whose place another port is, which has left by now. */
static int others_begin(struct apply *a)
{
	unsigned i;

	if (!next_port(a, &i))
		return 0;
	if (a->made[i] || a->w->steps[i] == WANTED_SET)
		return 1;
	return port_begin(a, i) ? -1 : 1;
}

static int replaced_leave(struct apply *a)
{
	unsigned i;

	if (!next_port(a, &i))
		return 0;
	if (a->w->steps[i] == WANTED_REPLACE)
		port_leave(a, a->w->opt.ports[i].name);
	return 1;
}

/* The next of the ports that go, the last one first: what is behind it moves up. NULL: none. */
static const char *next_removed(struct apply *a)
{
	size_t n = json_array_size(a->removed);

	return a->at < n ? json_string_value(json_array_get(a->removed, n - 1 - a->at++)) : NULL;
}

static int removed_leave(struct apply *a)
{
	const char *name = next_removed(a);

	if (name && daemon_port_find(a->d, name) >= 0)
		port_leave(a, name);
	return name != NULL;
}

/* Only those that can be made again, if it fails: what others need was prepared at the start. */
static int early_leave(struct apply *a)
{
	const char *name = a->early ? next_removed(a) : NULL;
	int index = name ? daemon_port_find(a->d, name) : -1;

	if (index >= 0 && !a->d->opt.ports[index].kind->prepare)
		port_leave(a, name);
	return name != NULL;
}

/* Ports that leave do so together. */
static int leavers_free(struct apply *a)
{
	if (!a->nleavers)
		return 0;
	if (!a->at++)
		sw_commit(a->d->sw);
	else
		daemon_leaver_free(a->d, &a->leavers[--a->nleavers]);
	return 1;
}

static int settings_do(struct apply *a)
{
	settings_keep(&a->d->opt, a->w, &a->w->opt);
	settings_apply(a->d, &a->w->opt);
	return 0;
}

static int (*const phases[])(struct apply *a) = {document_read, difference_find, steps_begin,
	ports_change, ports_begin, early_leave, replaced_leave, leavers_free, others_begin,
	removed_leave, leavers_free, settings_do};

/* ---- turns ---- */

static void tell(const struct apply *a)
{
	if (a->dry_run || a->ret)
		return;
	rw_info("configuration: %zu change(s), %u port(s) as they were",
		json_array_size(a->out.changes), a->out.unchanged);
	events_configuration(a->d, json_array_size(a->out.changes), a->out.unchanged);
}

/* Free what only one that runs needs. */
static void tools_free(struct apply *a)
{
	wanted_end(a->reading);
	free(a->w);
	json_decref(a->removed);
	free(a->steps);
	free(a->leavers);
	a->reading = NULL;
	a->w = NULL;
	a->removed = NULL;
	a->steps = NULL;
	a->leavers = NULL;
}

static void apply_free(struct apply *a)
{
	tools_free(a);
	applied_free(&a->out);
	json_decref(a->config);
	doc_free(a->doc);
	free(a);
}

/* The next item. */
static void step_do(struct apply *a)
{
	int ret;

	if (a->undoing) {
		if (a->nsteps)
			undo(a, &a->steps[--a->nsteps]);
		a->finished = !a->nsteps;
		return;
	}
	ret = phases[a->phase](a);
	if (ret < 0) {
		a->ret = -ECANCELED;
		a->undoing = true;
		a->finished = !a->nsteps;
	} else if (!ret) {
		a->at = 0;
		a->finished |= ++a->phase == RW_ARRAY_SIZE(phases);
	}
}

static void finish(struct apply *a)
{
	struct daemon *d = a->d;

	if (a->held) {
		sw_release(d->sw);
		daemon_pools_share(d, d->nports);
		daemon_fd_check(d->nports);
	}
	tell(a);
	tools_free(a);
	d->apply = NULL;
	if (a->doc)
		apply_file_done(d, a->ret ? NULL : &a->out, &a->fault);
	if (a->owner) {
		a->next = d->applied;
		d->applied = a;
	} else {
		apply_free(a);
	}
	if (d->reload_due)
		apply_config_file(d);
}

static void turn(void *arg)
{
	struct apply *a = arg;
	struct rw_slice slice = rw_slice_begin();

	/* The time counts: most items take a few microseconds. */
	do {
		slice.items = RW_SLICE_ITEMS;
		step_do(a);
	} while (!a->finished && !rw_slice_done(&slice));
	if (a->finished)
		finish(a);
	else
		rw_turn_queue(a->d->loop, &a->turn);
}

/* Takes config or doc over, also on failure. */
static int begin_job(struct daemon *d, struct apply job, const struct wanted_source *source)
{
	struct apply *a = malloc(sizeof(*a));

	if (!a) {
		json_decref(job.config);
		doc_free(job.doc);
		return -ENOMEM;
	}
	*a = job;
	a->d = d;
	a->turn = (struct rw_turn){.fn = turn, .arg = a};
	a->out = (struct applied){.changes = json_array(), .notes = json_array()};
	a->w = malloc(sizeof(*a->w));
	a->reading = a->w ? wanted_begin(&d->opt, source, a->w, &a->fault) : NULL;
	if (!a->reading || !a->out.changes || !a->out.notes) {
		apply_free(a);
		return -ENOMEM;
	}
	d->apply = a;
	turn(a);
	return 0;
}

/* ---- what others call ---- */

bool apply_runs(const struct daemon *d)
{
	return d->apply != NULL;
}

int apply_begin(struct daemon *d, json_t *config, bool dry_run, const void *owner)
{
	const struct wanted_source source = {.root = config};
	const struct apply job = {
		.config = json_incref(config), .dry_run = dry_run, .owner = owner};

	return begin_job(d, job, &source);
}

int apply_file_begin(struct daemon *d, struct doc *doc, const char *name)
{
	const struct wanted_source source = {
		.root = doc_root(doc), .doc = doc, .name = name, .keep_words = true};

	return begin_job(d, (struct apply){.doc = doc}, &source);
}

int apply_take(struct daemon *d, const void *owner, struct applied *out, struct wanted_fault *fault)
{
	struct apply **at = &d->applied, *a;
	int ret;

	if (d->apply && d->apply->owner == owner)
		return -EINPROGRESS;
	while (*at && (*at)->owner != owner)
		at = &(*at)->next;
	a = *at;
	if (!a)
		return -ENOENT;
	*at = a->next;
	ret = a->ret;
	*fault = a->fault;
	if (!ret) {
		*out = a->out;
		a->out = (struct applied){0};
	}
	apply_free(a);
	return ret;
}

void apply_disown(struct daemon *d, const void *owner)
{
	struct wanted_fault fault;
	struct applied out;

	if (d->apply && d->apply->owner == owner)
		d->apply->owner = NULL;
	else if (!apply_take(d, owner, &out, &fault))
		applied_free(&out);
}

void applied_free(struct applied *a)
{
	json_decref(a->changes);
	json_decref(a->notes);
}

void apply_end(struct daemon *d)
{
	struct apply *a = d->apply;

	d->apply = NULL;
	if (!a)
		return;
	rw_turn_cancel(d->loop, &a->turn);
	sw_commit(d->sw);
	while (a->nleavers)
		daemon_leaver_free(d, &a->leavers[--a->nleavers]);
	apply_free(a);
}
