/* SPDX-License-Identifier: BSD-3-Clause */
/* port.*: what ports there are, and their coming and going. */
#include <string.h>

#include "apply.h"
#include "rpc.h"
#include "rw_log.h"

/* What every kind of port has, and `special`, which is special to its kind and taken over. */
static json_t *port_json(const struct daemon *d, unsigned index, json_t *special)
{
	const struct options_port *spec = &d->opt.ports[index];
	const struct port *port = d->ports[index].port;
	json_t *all = json_pack("{s:s, s:i, s:s, s:s*, s:b, s:s, s:s, s:o, s:o, s:o*}", "name",
		spec->name, "id", port->id, "driver", spec->kind->name, "description",
		spec->description[0] ? spec->description : NULL, "link", sw_port_is_up(d->sw, port),
		"bridge", options_bridge_of(spec), "tpid", spec->vlans.service ? "8021ad" : "8021q",
		"vlans", daemon_vlans_json(&d->opt, &spec->vlans), "policy",
		options_policy_json(spec), "mirrors", rpc_mirrors_to(d, spec->name));

	json_object_update(all, special);
	json_decref(special);
	return all;
}

static json_t *row_json(const struct daemon *d, unsigned index)
{
	const struct port_kind *kind = d->opt.ports[index].kind;

	return port_json(d, index, kind->describe(d->ports[index].handle));
}

/* Ports of a lower index may go meanwhile; then one that stays can be left out. */
json_t *rpc_port_list(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;

	(void)params, (void)fail;
	return *cursor < d->nports ? row_json(d, (unsigned)(*cursor)++) : NULL;
}

/* The index of the port that `params` names; -1 and `fail` filled in. */
static int param_port(const struct daemon *d, const json_t *params, struct ctl_failure *fail)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	int index = name ? daemon_port_find(d, name) : -1;

	if (!name)
		ctl_fail(fail, CTL_ERR_PARAMS, "\"name\" must be the name of a port");
	else if (index < 0)
		ctl_fail(fail, CTL_ERR_FAILED, "there is no port \"%s\"", name);
	return index;
}

json_t *rpc_port_show(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	int index = param_port(d, params, fail);

	if (index < 0)
		return NULL;
	return port_json(
		d, (unsigned)index, d->opt.ports[index].kind->show(d->ports[index].handle));
}

/* The options of all kinds of port, or those that may change, as members of `params`. */
static json_t *options_json(bool changeable)
{
	const struct port_kind *kind;
	const struct port_option *o;
	json_t *all = json_object();

	for (unsigned k = 0; (kind = kind_at(k)); k++) {
		for (unsigned i = 0; (o = options_port_option(kind, i)); i++) {
			if (changeable && !o->changeable)
				continue;
			json_object_set_new(all, o->key,
				json_pack("{s:s, s:s}", "type", "string", "description",
					o->value ? o->value : "on|off"));
		}
	}
	if (!changeable)
		json_object_set_new(all, "kind",
			json_pack("{s:s, s:s}", "type", "string", "description", kind_names()));
	return all;
}

json_t *rpc_port_options(void)
{
	return options_json(false);
}

json_t *rpc_port_changes(void)
{
	return options_json(true);
}

/* All of `params` but the name. How many; -1 and `fail` filled in. */
static int param_pairs(
	json_t *params, struct options_pair pairs[OPTIONS_PAIRS_MAX], struct ctl_failure *fail)
{
	const char *key;
	json_t *value;
	int n = 0;

	json_object_foreach(params, key, value)
	{
		if (!strcmp(key, "name"))
			continue;
		if (!json_is_string(value)) {
			ctl_fail(fail, CTL_ERR_PARAMS, "\"%s\" must be a string", key);
			return -1;
		}
		if (n == OPTIONS_PAIRS_MAX) {
			ctl_fail(fail, CTL_ERR_PARAMS, "there are more than %d KEY=VALUE", n);
			return -1;
		}
		pairs[n++] = (struct options_pair){key, json_string_value(value)};
	}
	return n;
}

json_t *rpc_port_add(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const char *name = json_string_value(json_object_get(params, "name"));
	struct options_pair pairs[OPTIONS_PAIRS_MAX];
	struct daemon *d = ctx;
	char err[512];
	int n;

	if (apply_runs(d))
		return ctl_later(fail);
	if (!name)
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"name\" must be the name of the new port");
	n = param_pairs((json_t *)(uintptr_t)params, pairs, fail);
	if (n < 0)
		return NULL;
	if (options_port_add(&d->opt, name, pairs, (unsigned)n, err, sizeof(err)))
		return ctl_fail(fail, CTL_ERR_PARAMS, "%s", err);
	if (daemon_port_begin(d, err, sizeof(err))) {
		options_port_del(&d->opt, d->nports);
		return ctl_fail(fail, CTL_ERR_FAILED, "%s", err);
	}
	rw_info("port %s: added", name);
	daemon_pools_share(d, d->nports);
	daemon_fd_check(d->nports);
	return row_json(d, d->nports - 1);
}

json_t *rpc_port_del(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;
	int index;

	if (apply_runs(d))
		return ctl_later(fail);
	index = param_port(d, params, fail);
	if (index < 0)
		return NULL;
	daemon_port_end(d, (unsigned)index);
	rw_info("port %s: deleted", json_string_value(json_object_get(params, "name")));
	return json_object();
}

json_t *rpc_port_set(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct options_pair pairs[OPTIONS_PAIRS_MAX];
	struct options_port before, after;
	struct daemon *d = ctx;
	char err[512], note[512];
	int index, n;
	json_t *row;

	if (apply_runs(d))
		return ctl_later(fail);
	index = param_port(d, params, fail);
	if (index < 0)
		return NULL;
	n = param_pairs((json_t *)(uintptr_t)params, pairs, fail);
	if (n < 0)
		return NULL;
	before = d->opt.ports[index];
	if (options_port_set(&d->opt, (unsigned)index, pairs, (unsigned)n, err, sizeof(err)))
		return ctl_fail(fail, CTL_ERR_PARAMS, "%s", err);
	after = d->opt.ports[index];
	d->opt.ports[index] = before;
	if (daemon_port_change(d, (unsigned)index, &after, note, sizeof(note)))
		return ctl_fail(fail, CTL_ERR_FAILED, "%s", note);
	row = row_json(d, (unsigned)index);
	if (*note)
		json_object_set_new(row, "note", json_string(note));
	return row;
}
