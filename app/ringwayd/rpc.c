/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a running switch can be asked over its control socket; doc/operation.md shows the answers.
 */

#include <rte_version.h>

#include "daemon.h"
#include "rpc.h"
#include "version.h"

bool rpc_param_port(const struct daemon *d, const json_t *params, const char *key,
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

static json_t *rpc_port_stats(
	void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	struct port *only;

	if (!rpc_param_port(d, params, "name", fail, &only))
		return NULL;
	while (*cursor < SW_MAX_PORTS) {
		const struct port *port = sw_port(d->sw, (uint16_t)(*cursor)++);

		if (port && (!only || port == only))
			return stats_json(port);
	}
	return NULL;
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
	{"version", rpc_version, NULL},
	{"port.list", NULL, rpc_port_list},
	{"port.show", rpc_port_show, NULL},
	{"port.stats", NULL, rpc_port_stats},
	{"port.add", rpc_port_add, NULL},
	{"port.del", rpc_port_del, NULL},
	{"port.set", rpc_port_set, NULL},
	{"fdb.list", rpc_fdb_list, NULL},
	{"fdb.flush", rpc_fdb_flush, NULL},
	{"fdb.add", rpc_fdb_add, NULL},
	{"fdb.del", rpc_fdb_del, NULL},
	{"group.list", rpc_group_list, NULL},
	{"worker.list", rpc_worker_list, NULL},
	{"worker.move", rpc_worker_move, NULL},
	{"worker.balance", rpc_worker_balance, NULL},
	{"forward.show", rpc_forward_show, NULL},
	{"forward.set", rpc_forward_set, NULL},
	{"forward.start", rpc_forward_start, NULL},
	{"forward.stop", rpc_forward_stop, NULL},
	{"config.get", rpc_config_get, NULL},
	{"config.apply", rpc_config_apply, NULL},
};
const size_t rpc_nmethods = RW_ARRAY_SIZE(rpc_methods);
