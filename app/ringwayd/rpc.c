/* SPDX-License-Identifier: BSD-3-Clause */
/* What a running switch can be asked over its control socket; doc/operation.md shows the answers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_version.h>

#include "daemon.h"
#include "rpc.h"
#include "rw_text.h"
#include "version.h"

/* Entries in one answer of fdb.list, unless the caller wants fewer. */
#define FDB_PAGE 4096
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

/* The port that `params` names with `key`: NULL in `out` when it names none. */
static bool param_port(const struct daemon *d, const json_t *params, const char *key,
	struct ctl_failure *fail, struct port **out)
{
	const json_t *v = json_object_get(params, key);

	*out = NULL;
	if (!v)
		return true;
	if (!json_is_string(v)) {
		ctl_fail(fail, CTL_ERR_PARAMS, "\"%s\" must be a string", key);
		return false;
	}
	*out = sw_port_by_name(d->sw, json_string_value(v));
	if (!*out)
		ctl_fail(fail, CTL_ERR_FAILED, "there is no port \"%s\"", json_string_value(v));
	return *out;
}

static json_t *rpc_version(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	(void)ctx, (void)params, (void)fail;
	return json_pack("{s:s, s:s, s:s}", "name", "ringwayd", "version", RINGWAY_VERSION, "dpdk",
		rte_version());
}

static json_t *counters_json(const struct port_counters *c)
{
	json_t *drops = json_object();

	for (int i = 0; i < PORT_NUM_DROPS; i++)
		json_object_set_new(drops, port_drop_name((enum port_drop)i),
			json_integer((json_int_t)c->drops[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "frames", (json_int_t)c->frames, "bytes",
		(json_int_t)c->bytes, "unicast", (json_int_t)c->unicast, "multicast",
		(json_int_t)c->multicast, "broadcast", (json_int_t)c->broadcast, "drops", drops);
}

static json_t *stats_json(const struct port *port)
{
	json_t *queues = json_array();
	struct port_pair sum;

	for (uint16_t i = 0; i < PORT_MAX_PAIRS; i++) {
		struct port_pair pair;

		if (!port_has_pair(port, i))
			continue;
		port_read_pair(port, i, &pair);
		json_array_append_new(queues,
			json_pack("{s:i, s:o, s:o}", "pair", i, "rx", counters_json(&pair.rx), "tx",
				counters_json(&pair.tx)));
	}
	port_read(port, &sum);
	return json_pack("{s:s, s:o, s:o, s:o}", "name", port->name, "rx", counters_json(&sum.rx),
		"tx", counters_json(&sum.tx), "queues", queues);
}

static json_t *rpc_port_stats(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	struct port *only;
	json_t *list;

	if (!param_port(d, params, "name", fail, &only))
		return NULL;
	list = json_array();
	for (uint16_t id = 0; id < SW_MAX_PORTS; id++) {
		const struct port *port = sw_port(d->sw, id);

		if (port && (!only || port == only))
			json_array_append_new(list, stats_json(port));
	}
	return list;
}

static json_t *entry_json(const struct daemon *d, const struct fdb_entry *e)
{
	const struct port *port = sw_port(d->sw, e->port);
	uint32_t now = sw_now_s(d->sw);
	uint8_t m[6];
	char mac[RW_MAC_TEXT];

	fdb_key_mac(e->key, m);
	return json_pack("{s:s, s:i, s:s?, s:b, s:I}", "mac", rw_mac_text(m, mac), "vlan",
		fdb_key_vlan(e->key), "port", port ? port->name : NULL, "static", e->is_static,
		"age_s",
		(json_int_t)(e->is_static || e->last_seen_s > now ? 0 : now - e->last_seen_s));
}

static json_t *rpc_fdb_list(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	struct fdb_entry page[64];
	struct fdb_stats stats;
	uint32_t cursor, left;
	json_t *list;

	if (!param_u32(params, "cursor", 0, &cursor) ||
		!param_u32(params, "limit", FDB_PAGE, &left))
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"cursor\" and \"limit\" must be numbers");
	left = RW_MIN(left, FDB_PAGE);
	list = json_array();
	while (left && cursor != FDB_CURSOR_END) {
		uint32_t n = fdb_list(
			sw_fdb(d->sw), &cursor, page, RW_MIN(left, (uint32_t)RW_ARRAY_SIZE(page)));

		for (uint32_t i = 0; i < n; i++)
			json_array_append_new(list, entry_json(d, &page[i]));
		left -= n;
	}
	fdb_get_stats(sw_fdb(d->sw), &stats);
	return json_pack("{s:o, s:o, s:I, s:I}", "entries", list, "next",
		cursor == FDB_CURSOR_END ? json_null() : json_integer(cursor), "entries_total",
		(json_int_t)stats.entries, "max_entries", (json_int_t)stats.max_entries);
}

static json_t *rpc_fdb_flush(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	struct port *only;

	if (!param_port(d, params, "port", fail, &only))
		return NULL;
	return json_pack("{s:I}", "flushed",
		(json_int_t)fdb_flush(sw_fdb(d->sw), only ? only->id : FDB_PORT_NONE));
}

/* The address that `params` names with "mac" and "vlan". */
static bool param_key(const json_t *params, struct ctl_failure *fail, fdb_key *out)
{
	const char *text = json_string_value(json_object_get(params, "mac"));
	uint8_t m[6];
	uint32_t vlan;

	if (!text || !rw_mac_parse(text, m)) {
		ctl_fail(fail, CTL_ERR_PARAMS, "\"mac\" must be like 52:54:00:00:00:01");
		return false;
	}
	if (!param_u32(params, "vlan", 0, &vlan) || vlan > VLAN_MAX) {
		ctl_fail(fail, CTL_ERR_PARAMS, "\"vlan\" must be a number from 0 to %d", VLAN_MAX);
		return false;
	}
	*out = fdb_key_make(m, (uint16_t)vlan);
	return true;
}

static json_t *rpc_fdb_add(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	struct port *port;
	fdb_key key;

	if (!param_key(params, fail, &key) || !param_port(d, params, "port", fail, &port))
		return NULL;
	if (!port)
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"port\" is missing");
	switch (fdb_add_static(sw_fdb(d->sw), key, port->id)) {
	case 0:
		return json_object();
	case -EINVAL:
		return ctl_fail(fail, CTL_ERR_FAILED, "that is no address of a station");
	default:
		return ctl_fail(fail, CTL_ERR_FAILED, "the table is full of static entries");
	}
}

static json_t *rpc_fdb_del(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	fdb_key key;

	if (!param_key(params, fail, &key))
		return NULL;
	if (fdb_del(sw_fdb(d->sw), key))
		return ctl_fail(fail, CTL_ERR_FAILED, "there is no such entry");
	return json_object();
}

static json_t *rpc_worker_list(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	json_t *list = json_array();

	(void)params, (void)fail;
	for (unsigned i = 0; i < sw_nworkers(d->sw); i++) {
		struct sw_worker_stats s;

		sw_worker_read(d->sw, i, &s);
		json_array_append_new(list,
			json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:I, s:I}", "cpu",
				(int)s.cpu, "queues", (int)s.queues, "polls", (json_int_t)s.polls,
				"busy_polls", (json_int_t)s.busy_polls, "busy_cycles",
				(json_int_t)s.busy_cycles, "idle_cycles", (json_int_t)s.idle_cycles,
				"frames", (json_int_t)s.frames, "idle", sw_idle_name(s.idle),
				"asleep", s.asleep, "sleeps", (json_int_t)s.sleeps, "asleep_cycles",
				(json_int_t)s.asleep_cycles));
	}
	rpc_worker_queues(d->sw, list);
	return list;
}

const struct ctl_method rpc_methods[] = {
	{"version", rpc_version},
	{"port.list", rpc_port_list},
	{"port.show", rpc_port_show},
	{"port.stats", rpc_port_stats},
	{"port.add", rpc_port_add},
	{"port.del", rpc_port_del},
	{"port.set", rpc_port_set},
	{"fdb.list", rpc_fdb_list},
	{"fdb.flush", rpc_fdb_flush},
	{"fdb.add", rpc_fdb_add},
	{"fdb.del", rpc_fdb_del},
	{"worker.list", rpc_worker_list},
	{"worker.move", rpc_worker_move},
	{"worker.balance", rpc_worker_balance},
	{"forward.show", rpc_forward_show},
	{"forward.set", rpc_forward_set},
	{"forward.start", rpc_forward_start},
	{"forward.stop", rpc_forward_stop},
};
const size_t rpc_nmethods = RW_ARRAY_SIZE(rpc_methods);
