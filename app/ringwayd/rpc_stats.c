/* SPDX-License-Identifier: BSD-3-Clause */
/* port.stats: the counters of ports. */
#include "daemon.h"
#include "rpc.h"

static void count_add(json_t *object, const char *key, uint64_t n)
{
	json_object_set_new(object, key, json_integer((json_int_t)n));
}

static json_t *drops_json(const struct port_counters *c)
{
	json_t *drops = json_object();

	for (int i = 0; i < PORT_NUM_DROPS; i++)
		count_add(drops, port_drop_name((enum port_drop)i), c->drops[i]);
	return drops;
}

static json_t *counters_json(const struct sw *sw, const struct port_counters *c, bool tx)
{
	json_t *all = json_object();

	count_add(all, "frames", c->frames);
	count_add(all, "bytes", c->bytes);
	count_add(all, "unicast", c->unicast);
	count_add(all, "multicast", c->multicast);
	count_add(all, "broadcast", c->broadcast);
	json_object_set_new(all, "drops", drops_json(c));
	count_add(all, "signals_sent", c->signals);
	count_add(all, "signals_suppressed", c->suppressed);
	count_add(all, "lags", c->lags);
	count_add(all, "lag_ns", sw_cycles_ns(sw, c->lag_cycles));
	if (tx) {
		count_add(all, "converted_csum", c->converted_csum);
		count_add(all, "segmented", c->segmented);
		count_add(all, "segments", c->segments);
	}
	return all;
}

static json_t *queues_json(const struct sw *sw, const struct port *port, const struct mark *since)
{
	json_t *queues = json_array();

	for (uint16_t i = 0; i < PORT_MAX_PAIRS; i++) {
		struct port_pair pair;

		if (!port_has_pair(port, i))
			continue;
		port_read_pair(port, i, &pair);
		if (since)
			mark_subtract_pair(since, port->id, i, &pair);
		json_array_append_new(queues,
			json_pack("{s:i, s:o, s:o}", "pair", i, "rx",
				counters_json(sw, &pair.rx, false), "tx",
				counters_json(sw, &pair.tx, true)));
	}
	return queues;
}

static void link_add(
	json_t *object, const struct sw *sw, const struct port *port, const struct mark *since)
{
	struct sw_link link;
	bool ever;

	sw_link_read(sw, port, &link);
	ever = link.ups + link.downs;
	if (since)
		mark_subtract_link(since, port->id, &link);
	count_add(object, "link_ups", link.ups);
	count_add(object, "link_downs", link.downs);
	json_object_set_new(object, "link_changed_s",
		ever ? json_integer(sw_now_s(sw) - link.changed_s) : json_null());
}

/* What was counted since a mark; NULL: since the port was added. */
static json_t *stats_json(const struct sw *sw, const struct port *port, const struct mark *since)
{
	struct port_pair sum;
	json_t *all;

	port_read(port, &sum);
	if (since)
		mark_subtract(since, port->id, &sum);
	all = json_pack("{s:s, s:b, s:o, s:o}", "name", port->name, "uplink", port->uplink, "rx",
		counters_json(sw, &sum.rx, false), "tx", counters_json(sw, &sum.tx, true));
	link_add(all, sw, port, since);
	json_object_set_new(all, "queues", queues_json(sw, port, since));
	return all;
}

json_t *rpc_port_stats(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	const char *mark = json_string_value(json_object_get(params, "since"));
	const struct daemon *d = ctx;
	const struct mark *since = mark ? marks_find(&d->marks, mark) : NULL;
	struct port *only;

	if (!rpc_param_port(d, params, "name", fail, &only))
		return NULL;
	if (mark && !since)
		return ctl_fail(fail, CTL_ERR_FAILED, "there is no mark \"%s\"", mark);
	while (*cursor < SW_MAX_PORTS) {
		const struct port *port = sw_port(d->sw, (uint16_t)(*cursor)++);

		if (port && (!only || port == only))
			return stats_json(d->sw, port, since);
	}
	return NULL;
}
