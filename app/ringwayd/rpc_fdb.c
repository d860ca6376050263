/* SPDX-License-Identifier: BSD-3-Clause */
/* fdb.*: the forwarding database. */
#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "rpc.h"
#include "rw_text.h"
#include "sw_bridge.h"

/* Most entries in one answer of fdb.list. */
#define PAGE_MAX 512u
/* Most entries read for it: a filter that few pass must not hold up the control thread. */
#define SCAN_MAX 8192u
#define VLAN_MAX 4094

/* The integer `key` of `params`, or `fallback` when it is absent. False: not a sane number. */
static bool param_u32(const json_t *params, const char *key, uint32_t fallback, uint32_t *out)
{
	const json_t *v = json_object_get(params, key);

	*out = fallback;
	if (!v)
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT32_MAX)
		return false;
	*out = (uint32_t)json_integer_value(v);
	return true;
}

/* The boolean `key` of `params`; `given`: it is there. False: `fail` is filled in. */
static bool param_bool(
	const json_t *params, const char *key, struct ctl_failure *fail, bool *given, bool *out)
{
	const json_t *v = json_object_get(params, key);

	*given = v;
	*out = json_is_true(v);
	if (v && !json_is_boolean(v))
		ctl_fail(fail, CTL_ERR_PARAMS, "\"%s\" must be true or false", key);
	return !v || json_is_boolean(v);
}

static bool param_mac(const json_t *params, struct ctl_failure *fail, uint8_t mac[RW_MAC_LEN])
{
	const char *text = json_string_value(json_object_get(params, "mac"));

	if (text && rw_mac_parse(text, mac))
		return true;
	ctl_fail(fail, CTL_ERR_PARAMS, "\"mac\" must be like 52:54:00:00:00:01");
	return false;
}

/* The VLAN id `vlan`, which may be given by its name; 0 when it is absent. */
static bool param_vlan(
	const struct daemon *d, const json_t *params, struct ctl_failure *fail, uint16_t *out)
{
	const json_t *v = json_object_get(params, "vlan");
	const char *name = json_string_value(v);
	uint32_t id;

	if (name) {
		*out = options_vlan_named(&d->opt, name, strlen(name));
		if (!*out)
			ctl_fail(fail, CTL_ERR_FAILED, "no VLAN has the name \"%s\"", name);
		return *out;
	}
	if (!param_u32(params, "vlan", 0, &id) || id > VLAN_MAX) {
		ctl_fail(fail, CTL_ERR_PARAMS,
			"\"vlan\" must be a number from 0 to %d, or the name of a VLAN", VLAN_MAX);
		return false;
	}
	*out = (uint16_t)id;
	return true;
}

/* `tpid`; `given`: it is there. */
static bool param_service(
	const json_t *params, struct ctl_failure *fail, bool *given, bool *service)
{
	const json_t *v = json_object_get(params, "tpid");
	const char *name = json_string_value(v);

	*given = v;
	*service = name && !strcmp(name, "8021ad");
	if (!v || *service || (name && !strcmp(name, "8021q")))
		return true;
	ctl_fail(fail, CTL_ERR_PARAMS, "\"tpid\" must be 8021q or 8021ad");
	return false;
}

/*
 * The number of the bridge that `params` names, or of the default one; -ENOENT: it is there, and
 * has no port. False: `fail` is filled in.
 */
static bool param_bridge(
	const struct daemon *d, const json_t *params, struct ctl_failure *fail, int *out)
{
	const json_t *v = json_object_get(params, "bridge");
	const char *name = v ? json_string_value(v) : SW_BRIDGE_DEFAULT;

	if (name && options_bridge_exists(&d->opt, name)) {
		*out = sw_bridge_find(d->sw, name);
		return true;
	}
	if (name)
		ctl_fail(fail, CTL_ERR_FAILED, "there is no bridge \"%s\"", name);
	else
		ctl_fail(fail, CTL_ERR_PARAMS, "\"bridge\" must be the name of a bridge");
	return false;
}

/* Which entries a list has: each member counts if it is given. */
struct filter {
	const struct port *port; /* or NULL */
	bool by_mac, by_vlan, by_static, by_bridge, by_service;
	uint8_t mac[RW_MAC_LEN];
	uint16_t vlan;
	int bridge;
	bool service, is_static;
};

static bool filter_read(
	const struct daemon *d, const json_t *params, struct ctl_failure *fail, struct filter *out)
{
	struct port *port;

	*out = (struct filter){.by_mac = json_object_get(params, "mac"),
		.by_vlan = json_object_get(params, "vlan"),
		.by_bridge = json_object_get(params, "bridge")};
	if (!rpc_param_port(d, params, "port", fail, &port))
		return false;
	out->port = port;
	return param_vlan(d, params, fail, &out->vlan) &&
		param_bridge(d, params, fail, &out->bridge) &&
		param_service(params, fail, &out->by_service, &out->service) &&
		(!out->by_mac || param_mac(params, fail, out->mac)) &&
		param_bool(params, "static", fail, &out->by_static, &out->is_static);
}

static bool filter_passes(const struct sw *sw, const struct filter *f, const struct fdb_entry *e)
{
	const struct sw_vlan vlan = sw_domain_vlan(sw, fdb_key_domain(e->key));
	uint8_t mac[RW_MAC_LEN];

	fdb_key_mac(e->key, mac);
	return (!f->port || e->hop == f->port->id) && (!f->by_vlan || vlan.id == f->vlan) &&
		(!f->by_bridge || vlan.bridge == f->bridge) &&
		(!f->by_service || vlan.service == f->service) &&
		(!f->by_mac || !memcmp(mac, f->mac, sizeof(mac))) &&
		(!f->by_static || (e->kind == FDB_STATIC) == f->is_static);
}

const char *rpc_how(enum fdb_how how)
{
	static const char *const names[FDB_HOWS] = {[FDB_BY_FRAME] = "frame",
		[FDB_BY_RARP] = "rarp",
		[FDB_BY_SETTING] = "setting",
		[FDB_BY_MIGRATION] = "migration",
		[FDB_BY_FILE] = "file"};

	return names[how];
}

static json_t *entry_json(const struct daemon *d, const struct fdb_entry *e)
{
	const struct port *port = e->kind == FDB_EXTERNAL ? NULL : sw_port(d->sw, (uint16_t)e->hop);
	const struct sw_vlan vlan = sw_domain_vlan(d->sw, fdb_key_domain(e->key));
	/* The clock begins with this process, and an entry may be older; or a moment younger. */
	int32_t age_s = (int32_t)(sw_now_s(d->sw) - e->last_seen_s);
	uint8_t m[RW_MAC_LEN];
	char mac[RW_MAC_TEXT];

	fdb_key_mac(e->key, m);
	return json_pack("{s:s, s:i, s:s*, s:s, s:s, s:s?, s:b, s:s*, s:I}", "mac",
		rw_mac_text(m, mac), "vlan", vlan.id, "vlan_name",
		options_vlan_name(&d->opt, vlan.id), "tpid", vlan.service ? "8021ad" : "8021q",
		"bridge", sw_bridge_name(d->sw, vlan.bridge), "port", port ? port->name : NULL,
		"static", e->kind == FDB_STATIC, "how",
		e->kind == FDB_LEARNED ? rpc_how(e->how) : NULL, "age_s",
		(json_int_t)(e->kind == FDB_LEARNED ? RW_MAX(age_s, 0) : 0));
}

json_t *rpc_fdb_list(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	uint32_t cursor, left, scan = SCAN_MAX;
	struct fdb_entry page[64];
	struct fdb_stats stats;
	struct filter filter;
	json_t *list;

	if (!param_u32(params, "cursor", 0, &cursor) ||
		!param_u32(params, "limit", PAGE_MAX, &left))
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"cursor\" and \"limit\" must be numbers");
	if (!filter_read(d, params, fail, &filter))
		return NULL;
	left = RW_MIN(left, PAGE_MAX);
	list = json_array();
	while (left && scan && cursor != FDB_CURSOR_END) {
		uint32_t n = fdb_list(
			sw_fdb(d->sw), &cursor, page, RW_MIN(left, (uint32_t)RW_ARRAY_SIZE(page)));

		for (uint32_t i = 0; i < n; i++) {
			if (!filter_passes(d->sw, &filter, &page[i]))
				continue;
			json_array_append_new(list, entry_json(d, &page[i]));
			left--;
		}
		scan -= RW_MIN(scan, n);
	}
	fdb_get_stats(sw_fdb(d->sw), &stats);
	return json_pack("{s:o, s:o, s:I, s:I, s:I}", "entries", list, "next",
		cursor == FDB_CURSOR_END ? json_null() : json_integer(cursor), "entries_total",
		(json_int_t)stats.entries, "max_entries", (json_int_t)stats.max_entries, "flaps",
		(json_int_t)stats.flaps);
}

json_t *rpc_fdb_flush(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	struct port *only;

	if (!rpc_param_port(d, params, "port", fail, &only))
		return NULL;
	return json_pack("{s:I}", "flushed",
		(json_int_t)fdb_flush(sw_fdb(d->sw), only ? only->id : FDB_HOP_NONE));
}

json_t *rpc_fdb_add(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	uint8_t mac[RW_MAC_LEN];
	uint16_t vlan, domain;
	bool given, replace;
	struct port *port;
	fdb_key key;

	if (!param_mac(params, fail, mac) || !param_vlan(d, params, fail, &vlan) ||
		!rpc_param_port(d, params, "port", fail, &port) ||
		!param_bool(params, "replace", fail, &given, &replace))
		return NULL;
	if (!port)
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"port\" is missing");
	domain = sw_domain_keep(d->sw, sw_bridge_vlan(d->sw, port, vlan));
	if (!domain)
		return ctl_fail(fail, CTL_ERR_FAILED, "all broadcast domains are in use");
	key = fdb_key_make(mac, domain);
	switch (fdb_add_static(sw_fdb(d->sw), key, port->id, replace)) {
	case 0:
		return json_object();
	case -EEXIST:
		/* Only this thread adds and deletes static entries. */
		port = sw_port(d->sw, (uint16_t)fdb_lookup(sw_fdb(d->sw), key));
		return ctl_fail(fail, CTL_ERR_FAILED,
			"there is a static entry behind port %s: it moves with --replace only",
			port->name);
	case -EINVAL:
		return ctl_fail(fail, CTL_ERR_FAILED, "that is no address of a host");
	default:
		return ctl_fail(fail, CTL_ERR_FAILED, "the table is full of static entries");
	}
}

json_t *rpc_fdb_del(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	struct sw_vlan vlan = {0};
	uint8_t mac[RW_MAC_LEN];
	uint16_t domain = SW_DOMAIN_NONE;
	int bridge;
	bool given;

	if (!param_mac(params, fail, mac) || !param_vlan(d, params, fail, &vlan.id) ||
		!param_bridge(d, params, fail, &bridge) ||
		!param_service(params, fail, &given, &vlan.service))
		return NULL;
	if (bridge >= 0) {
		vlan.bridge = (uint16_t)bridge;
		domain = sw_domain_find(d->sw, vlan);
	}
	if (!domain || fdb_del(sw_fdb(d->sw), fdb_key_make(mac, domain)))
		return ctl_fail(fail, CTL_ERR_FAILED, "there is no such entry");
	return json_object();
}
