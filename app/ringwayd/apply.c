/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order is such that what can fail comes first, and what hurts comes last: settings and changes
 * of ports, then new ports that are in nobody's way, then ports that are replaced. Ports that go,
 * go at the end, unless a new port needs their place. Each step is noted; if one fails, those
 * before it are undone, the last one first.
 */
#include "apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rw_log.h"
#include "sw_snoop.h"

/* What was done, and `port` is how it is undone. */
struct step {
	enum { STEP_CHANGED, STEP_BEGAN, STEP_ENDED } what;
	struct options_port port; /* CHANGED, ENDED: as it was */
};

struct apply {
	struct daemon *d;
	struct wanted *w;
	struct step *steps;
	unsigned nsteps;
	json_t *notes;
	struct wanted_fault *fault;
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
	snprintf(a->fault->at, sizeof(a->fault->at), "ports/%s", port);
	snprintf(a->fault->text, sizeof(a->fault->text), "%s", why);
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
		json_array_append_new(a->notes, json_sprintf("port %s: %s", port->name, note));
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

static void port_end(struct apply *a, const char *name)
{
	int index = daemon_port_find(a->d, name);

	step_note(a, STEP_ENDED, &a->d->opt.ports[index]);
	daemon_port_end(a->d, (unsigned)index);
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

static void undo_all(struct apply *a)
{
	while (a->nsteps)
		undo(a, &a->steps[--a->nsteps]);
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

/* ---- the order ---- */

static int ports_change(struct apply *a)
{
	int ret = 0;

	for (unsigned i = a->w->nsame; !ret && i < a->w->opt.nports; i++) {
		if (a->w->steps[i] == WANTED_SET)
			ret = port_change(a, &a->w->opt.ports[i]);
	}
	return ret;
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

/* Make the new ports: `only_with_room` leaves out those in whose place another one is. */
static int ports_begin(struct apply *a, bool only_with_room)
{
	int ret = 0;

	for (unsigned i = a->w->nsame; !ret && i < a->w->opt.nports; i++) {
		if (a->made[i] || a->w->steps[i] == WANTED_SET)
			continue;
		if (only_with_room &&
			(a->w->steps[i] == WANTED_REPLACE || !has_room(a->d, &a->w->opt.ports[i])))
			continue;
		ret = port_begin(a, i);
	}
	return ret;
}

/* Whether a new port waits for a place. */
static bool one_waits(const struct apply *a)
{
	for (unsigned i = a->w->nsame; i < a->w->opt.nports; i++) {
		if (a->w->steps[i] == WANTED_ADD && !a->made[i])
			return true;
	}
	return false;
}

static void replaced_end(struct apply *a)
{
	for (unsigned i = a->w->nsame; i < a->w->opt.nports; i++) {
		if (a->w->steps[i] == WANTED_REPLACE)
			port_end(a, a->w->opt.ports[i].name);
	}
}

/*
 * `names`: of the ports that go. `early`: only those that can be made again; what others need was
 * prepared at the start.
 */
static void removed_end(struct apply *a, const json_t *names, bool early)
{
	const json_t *name;

	for (size_t i = 0; (name = json_array_get(names, i)); i++) {
		int index = daemon_port_find(a->d, json_string_value(name));

		if (index >= 0 && !(early && a->d->opt.ports[index].kind->prepare))
			port_end(a, json_string_value(name));
	}
}

static int steps_do(struct apply *a, const json_t *removed)
{
	int ret = ports_change(a);

	if (!ret)
		ret = ports_begin(a, true);
	if (ret)
		return ret;
	if (one_waits(a))
		removed_end(a, removed, true);
	replaced_end(a);
	ret = ports_begin(a, false);
	if (!ret)
		removed_end(a, removed, false);
	return ret;
}

static json_t *removed_names(const struct options *now, const struct wanted *w)
{
	json_t *names = json_array();

	for (unsigned i = 0; i < now->nports; i++) {
		if (!w->stays[i])
			json_array_append_new(names, json_string(now->ports[i].name));
	}
	return names;
}

/* 0; or < 0, all is as before and the fault is noted. */
static int change(struct apply *a)
{
	struct daemon *d = a->d;
	json_t *removed = removed_names(&d->opt, a->w);
	int ret;

	/* A port is noted twice at most: when it ends, and when it begins anew. */
	a->steps = calloc(d->nports + a->w->opt.nports + 1, sizeof(*a->steps));
	/* One commit for all ports that stop nothing. */
	sw_hold(d->sw);
	ret = a->steps ? steps_do(a, removed) : failed(a, "", strerror(ENOMEM));
	if (ret) {
		undo_all(a);
	} else {
		settings_keep(&d->opt, a->w, &a->w->opt);
		settings_apply(d, &a->w->opt);
	}
	sw_release(d->sw);
	free(a->steps);
	json_decref(removed);
	daemon_pools_share(d, d->nports);
	daemon_fd_check(d->nports);
	return ret;
}

/* ---- documents ---- */

void applied_free(struct applied *a)
{
	json_decref(a->changes);
	json_decref(a->notes);
}

int apply_document(struct daemon *d, const struct wanted_source *source, bool dry_run,
	struct applied *out, struct wanted_fault *fault)
{
	struct apply *a = calloc(1, sizeof(*a));
	struct wanted *w = malloc(sizeof(*w));
	int ret = -ENOMEM;

	*out = (struct applied){.notes = json_array()};
	snprintf(fault->text, sizeof(fault->text), "%s", strerror(ENOMEM));
	if (!a || !w)
		goto out;
	ret = wanted_read(&d->opt, source, w, fault);
	if (ret)
		goto out;
	out->changes = wanted_difference(&d->opt, w);
	out->unchanged = w->nsame;
	*a = (struct apply){.d = d, .w = w, .notes = out->notes, .fault = fault};
	if (!dry_run && json_array_size(out->changes))
		ret = change(a);
	if (!dry_run && !ret) {
		rw_info("configuration: %zu change(s), %u port(s) as they were",
			json_array_size(out->changes), out->unchanged);
		events_configuration(d, json_array_size(out->changes), out->unchanged);
	}
out:
	if (ret)
		applied_free(out);
	free(w);
	free(a);
	return ret;
}
