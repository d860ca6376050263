/* SPDX-License-Identifier: BSD-3-Clause */
/* count.*, sizes.show, vlans.show, talkers.show, latency.show: what is counted on request. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "rpc.h"
#include "rw_text.h"
#include "sw_bridge.h"

/* Most rows in one answer. */
#define VLANS_MAX   8192
#define TALKERS_MAX 512u

static const char *const names[SW_NUM_COUNT_KINDS] = {[SW_COUNT_SIZES] = "sizes",
	[SW_COUNT_VLANS] = "vlans",
	[SW_COUNT_TALKERS] = "talkers",
	[SW_COUNT_LATENCY] = "latency"};

/* The kind that `params` names. False: `fail` is filled in. */
static bool param_kind(const json_t *params, struct ctl_failure *fail, enum sw_count_kind *out)
{
	const char *what = json_string_value(json_object_get(params, "what"));

	for (unsigned i = 0; what && i < SW_NUM_COUNT_KINDS; i++) {
		if (strcmp(what, names[i]))
			continue;
		*out = (enum sw_count_kind)i;
		return true;
	}
	ctl_fail(fail, CTL_ERR_PARAMS, "\"what\" must be sizes, vlans, talkers or latency");
	return false;
}

/*
 * The ports that `params` names, each once, as an array of SW_MAX_PORTS; `*n` 0: none is named.
 * False: `fail` is filled in.
 */
static bool param_ports(const struct daemon *d, const json_t *params, struct ctl_failure *fail,
	const struct port **out, unsigned *n)
{
	const json_t *list = json_object_get(params, "ports"), *v;
	bool seen[SW_MAX_PORTS] = {false};
	size_t i;

	*n = 0;
	for (i = 0; (v = json_array_get(list, i)); i++) {
		const char *name = json_string_value(v);
		const struct port *port = name ? sw_port_by_name(d->sw, name) : NULL;

		if (!port) {
			ctl_fail(fail, name ? CTL_ERR_FAILED : CTL_ERR_PARAMS,
				name ? "there is no port \"%s\""
				     : "\"ports\" must be names of ports",
				name);
			return false;
		}
		if (!seen[port->id])
			out[(*n)++] = port;
		seen[port->id] = true;
	}
	return true;
}

/* The names of the ports that are counted; null: all. */
static json_t *ports_json(const struct daemon *d, const struct sw_count *c)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < SW_MAX_PORTS; i++) {
		const struct port *port = sw_port(d->sw, (uint16_t)i);

		if (port && sw_count_has_port(c, port))
			json_array_append_new(list, json_string(port->name));
	}
	return list;
}

static json_t *state_json(const struct daemon *d, enum sw_count_kind kind)
{
	const struct sw_count *c = d->counts[kind];
	struct sw_count_lost lost = {0};

	if (c)
		sw_count_lost(c, &lost);
	return json_pack("{s:s, s:b, s:o, s:o, s:I, s:I, s:I}", "what", names[kind], "running",
		c != NULL, "ports", c ? ports_json(d, c) : json_null(), "age_s",
		c ? json_integer(sw_count_age_s(c)) : json_null(), "others",
		(json_int_t)lost.others, "late", (json_int_t)lost.late, "missed",
		(json_int_t)lost.missed);
}

json_t *rpc_count_list(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	json_t *list = json_array();

	(void)params, (void)fail;
	for (unsigned i = 0; i < SW_NUM_COUNT_KINDS; i++)
		json_array_append_new(list, state_json(d, (enum sw_count_kind)i));
	return list;
}

json_t *rpc_count_start(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct port *ports[SW_MAX_PORTS];
	struct daemon *d = ctx;
	enum sw_count_kind kind;
	struct sw_count *c;
	unsigned n;
	int ret;

	if (!param_kind(params, fail, &kind) || !param_ports(d, params, fail, ports, &n))
		return NULL;
	ret = sw_count_start(d->sw, kind, ports, n, &c);
	if (ret)
		return ctl_fail(fail, CTL_ERR_FAILED, "%s cannot be counted: %s", names[kind],
			ret == -ENOSPC ? "too many captures, traces and counts run"
				       : "there is no memory for it");
	sw_count_stop(d->counts[kind]);
	d->counts[kind] = c;
	return state_json(d, kind);
}

json_t *rpc_count_stop(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;
	enum sw_count_kind kind;

	if (!param_kind(params, fail, &kind))
		return NULL;
	sw_count_stop(d->counts[kind]);
	d->counts[kind] = NULL;
	return state_json(d, kind);
}

void counts_forget_port(struct daemon *d, uint16_t id)
{
	for (unsigned i = 0; i < SW_NUM_COUNT_KINDS; i++)
		sw_count_forget_port(d->counts[i], id);
}

void counts_end(struct daemon *d)
{
	for (unsigned i = 0; i < SW_NUM_COUNT_KINDS; i++) {
		sw_count_stop(d->counts[i]);
		d->counts[i] = NULL;
	}
}

/* What is counted of that kind; NULL: `fail` is filled in. */
static const struct sw_count *running(
	const struct daemon *d, enum sw_count_kind kind, struct ctl_failure *fail)
{
	if (!d->counts[kind])
		ctl_fail(fail, CTL_ERR_FAILED, "%s %s not counted: begin with \"ringway %s start\"",
			names[kind], kind == SW_COUNT_LATENCY ? "is" : "are",
			kind == SW_COUNT_TALKERS ? "top-talkers" : names[kind]);
	return d->counts[kind];
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *sizes_json(const struct sw_count *c, const struct port *port)
{
	json_t *bins = json_array();
	struct sw_sizes sizes;

	sw_sizes_read(c, port, &sizes);
	for (unsigned i = 0; i < SW_SIZES; i++)
		json_array_append_new(bins,
			json_pack("{s:o, s:o, s:o, s:o}", "least", number(sw_size_least[i]), "most",
				i + 1 < SW_SIZES ? number(sw_size_least[i + 1] - 1) : json_null(),
				"rx", number(sizes.rx[i]), "tx", number(sizes.tx[i])));
	return json_pack("{s:s, s:o}", "name", port->name, "sizes", bins);
}

json_t *rpc_sizes_show(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	const struct sw_count *c = running(d, SW_COUNT_SIZES, fail);

	(void)params;
	while (c && *cursor < SW_MAX_PORTS) {
		const struct port *port = sw_port(d->sw, (uint16_t)(*cursor)++);

		if (port && sw_count_has_port(c, port))
			return sizes_json(c, port);
	}
	return NULL;
}

/* A VLAN as everywhere: "vlan", "tpid", "bridge"; vlan null: of none. */
static void vlan_add(const struct daemon *d, json_t *object, struct sw_vlan vlan)
{
	const char *bridge = sw_bridge_name(d->sw, vlan.bridge);

	json_object_set_new(
		object, "vlan", vlan.id < SW_VLANS ? json_integer(vlan.id) : json_null());
	json_object_set_new(object, "tpid", json_string(vlan.service ? "8021ad" : "8021q"));
	json_object_set_new(object, "bridge", json_string(bridge ? bridge : "-"));
}

static json_t *vlan_json(const struct daemon *d, const struct sw_vlan_count *v)
{
	json_t *row = json_object();

	vlan_add(d, row, v->vlan);
	json_object_set_new(row, "rx_frames", number(v->rx_frames));
	json_object_set_new(row, "rx_bytes", number(v->rx_bytes));
	json_object_set_new(row, "rx_drops", number(v->rx_drops));
	json_object_set_new(row, "tx_frames", number(v->tx_frames));
	json_object_set_new(row, "tx_bytes", number(v->tx_bytes));
	json_object_set_new(row, "tx_drops", number(v->tx_drops));
	return row;
}

json_t *rpc_vlans_show(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	const struct sw_count *c = running(d, SW_COUNT_VLANS, fail);
	struct sw_vlan_count *rows;
	json_t *list;
	int n;

	(void)params;
	if (!c)
		return NULL;
	n = sw_vlans_read(c, &rows);
	if (n < 0)
		return ctl_fail(fail, CTL_ERR_INTERNAL, "no memory");
	list = json_array();
	for (int i = 0; i < RW_MIN(n, VLANS_MAX); i++)
		json_array_append_new(list, vlan_json(d, &rows[i]));
	free(rows);
	return list;
}

/* The name of the port behind which an address is now; null: it is not known. */
static json_t *host_port(const struct daemon *d, const uint8_t mac[RW_MAC_LEN], struct sw_vlan vlan)
{
	uint16_t domain = vlan.id < SW_VLANS ? sw_domain_find(d->sw, vlan) : SW_DOMAIN_NONE;
	uint32_t hop = domain ? fdb_lookup(sw_fdb(d->sw), fdb_key_make(mac, domain)) : FDB_HOP_NONE;
	const struct port *port = hop < SW_MAX_PORTS ? sw_port(d->sw, (uint16_t)hop) : NULL;

	return port ? json_string(port->name) : json_null();
}

static json_t *talker_json(const struct daemon *d, const struct sw_talker *t)
{
	char src[RW_MAC_TEXT], dst[RW_MAC_TEXT];
	json_t *row = json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I}", "src",
		rw_mac_text(t->src, src), "dst", rw_mac_text(t->dst, dst), "src_port",
		host_port(d, t->src, t->vlan), "dst_port", host_port(d, t->dst, t->vlan), "bytes",
		(json_int_t)t->bytes, "error", (json_int_t)t->error, "frames",
		(json_int_t)t->frames);

	vlan_add(d, row, t->vlan);
	return row;
}

json_t *rpc_talkers_show(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const json_t *limit = json_object_get(params, "limit");
	json_int_t max = limit ? json_integer_value(limit) : 20;
	const struct daemon *d = ctx;
	const struct sw_count *c = running(d, SW_COUNT_TALKERS, fail);
	struct sw_talker top[TALKERS_MAX];
	uint64_t bytes, error;
	json_t *list;
	unsigned n;

	if (!c)
		return NULL;
	if (max < 1 || max > TALKERS_MAX)
		return ctl_fail(
			fail, CTL_ERR_PARAMS, "\"limit\" must be from 1 to %u", TALKERS_MAX);
	n = sw_talkers_read(c, top, (unsigned)max, &bytes);
	error = bytes / RW_HEAVY_MAX;
	list = json_array();
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, talker_json(d, &top[i]));
	return json_pack("{s:o, s:I, s:I}", "talkers", list, "bytes", (json_int_t)bytes,
		"error_max", (json_int_t)error);
}

static json_t *histogram_json(const struct rw_histogram *h)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < RW_HISTOGRAM_BUCKETS; i++) {
		if (h->buckets[i])
			json_array_append_new(list,
				json_pack("[I, I, I]",
					(json_int_t)(i ? rw_histogram_bucket_end(i - 1) + 1 : 0),
					(json_int_t)rw_histogram_bucket_end(i),
					(json_int_t)h->buckets[i]));
	}
	return list;
}

static const char *port_name(const struct daemon *d, uint16_t id)
{
	const struct port *port = sw_port(d->sw, id);

	return port ? port->name : "-";
}

static json_t *latency_json(const struct daemon *d, struct sw_latency_pair pair, bool whole)
{
	static const struct {
		const char *key;
		double percent;
	} percentiles[] = {{"p50_ns", 50}, {"p90_ns", 90}, {"p99_ns", 99}, {"p99_9_ns", 99.9}};
	struct rw_histogram h;
	json_t *row;

	sw_latency_read(d->counts[SW_COUNT_LATENCY], pair, &h);
	row = json_pack("{s:s, s:s, s:I, s:f, s:I, s:I}", "from", port_name(d, pair.from), "to",
		port_name(d, pair.to), "frames", (json_int_t)h.count, "mean_ns",
		rw_histogram_mean(&h), "min_ns", (json_int_t)h.least, "max_ns",
		(json_int_t)h.greatest);
	for (size_t i = 0; i < RW_ARRAY_SIZE(percentiles); i++)
		json_object_set_new(row, percentiles[i].key,
			number(rw_histogram_percentile(&h, percentiles[i].percent)));
	if (whole)
		json_object_set_new(row, "histogram", histogram_json(&h));
	return row;
}

static bool names_pair(const struct port *const *ports, unsigned n, struct sw_latency_pair pair)
{
	for (unsigned i = 0; i < n; i++) {
		if (ports[i]->id == pair.from || ports[i]->id == pair.to)
			return true;
	}
	return !n;
}

/* The cursor is one more than the pair answered last, as a number: pairs may come meanwhile. */
json_t *rpc_latency_show(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	const struct sw_count *c = running(d, SW_COUNT_LATENCY, fail);
	const struct port *ports[SW_MAX_PORTS];
	struct sw_latency_pair *pairs;
	json_t *row = NULL;
	unsigned nports;
	int n;

	if (!c || !param_ports(d, params, fail, ports, &nports))
		return NULL;
	n = sw_latency_pairs(c, &pairs);
	for (int i = 0; i < n && !row; i++) {
		size_t at = (size_t)pairs[i].from << 16 | pairs[i].to;

		if (at < *cursor || !names_pair(ports, nports, pairs[i]))
			continue;
		*cursor = at + 1;
		row = latency_json(d, pairs[i], json_is_true(json_object_get(params, "histogram")));
	}
	if (n >= 0)
		free(pairs);
	return row;
}
