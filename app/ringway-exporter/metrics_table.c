/* SPDX-License-Identifier: BSD-3-Clause */
/* The families, and how each finds its samples in a reading. */
#include <string.h>

#include "metrics_out.h"

#include "rw_base.h"

/* A number as the text of a label. */
static const char *digits(const json_t *row, const char *key, char out[24])
{
	snprintf(out, 24, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(row, key)));
	return out;
}

static const char *const directions[] = {"rx", "tx"};

/* ---- the reading itself ---- */

static void emit_value(struct metric_out *o, const json_t *row)
{
	metric_sample(o, json_object_get(row, o->family->key), METRIC_END);
}

static void emit_build(struct metric_out *o, const json_t *row)
{
	const json_t *version = json_object_get(row, "version");

	if (version)
		metric_sample(o, json_true(), "version", text_of(version, "version"), "dpdk",
			text_of(version, "dpdk"), METRIC_END);
}

static void emit_fdb(struct metric_out *o, const json_t *row)
{
	emit_value(o, json_object_get(row, "fdb"));
}

static void emit_groups(struct metric_out *o, const json_t *row)
{
	emit_value(o, json_object_get(row, "groups"));
}

static void emit_snooping(struct metric_out *o, const json_t *row)
{
	json_t *counters = json_object_get(json_object_get(row, "groups"), "counters"), *value;
	const char *event;

	json_object_foreach(counters, event, value)
	{
		metric_sample(o, value, "event", event, METRIC_END);
	}
}

/* ---- ports: rows of port.list ---- */

static void emit_port(struct metric_out *o, const json_t *row)
{
	metric_sample(
		o, json_object_get(row, o->family->key), "port", text_of(row, "name"), METRIC_END);
}

static void emit_port_info(struct metric_out *o, const json_t *row)
{
	const json_t *vlans = json_object_get(row, "vlans"), *access;
	const char *trunk = text_of(vlans, "trunk");
	char id[24] = "";

	access = json_object_get(vlans, "access");
	if (json_is_integer(access))
		digits(vlans, "access", id);
	metric_sample(o, json_true(), "port", text_of(row, "name"), "driver",
		text_of(row, "driver"), "bridge", text_of(row, "bridge"), "tpid",
		text_of(row, "tpid"), "vlan", *id ? id : trunk, "description",
		text_of(row, "description"), METRIC_END);
}

static void emit_budget(struct metric_out *o, const json_t *row)
{
	json_t *budgets = json_object_get(row, "budgets"), *budget;
	const char *name;

	json_object_foreach(budgets, name, budget)
	{
		metric_sample(o, json_object_get(budget, o->family->key), "port",
			text_of(row, "name"), "budget", name, METRIC_END);
	}
}

/* ---- counters: rows of port.stats ---- */

static void emit_stat(struct metric_out *o, const json_t *row)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(directions); i++)
		metric_sample(o,
			json_object_get(json_object_get(row, directions[i]), o->family->key),
			"port", text_of(row, "name"), "direction", directions[i], METRIC_END);
}

static void emit_cast(struct metric_out *o, const json_t *row)
{
	static const char *const casts[] = {"unicast", "multicast", "broadcast"};

	for (size_t i = 0; i < RW_ARRAY_SIZE(directions); i++) {
		const json_t *side = json_object_get(row, directions[i]);

		for (size_t c = 0; c < RW_ARRAY_SIZE(casts); c++)
			metric_sample(o, json_object_get(side, casts[c]), "port",
				text_of(row, "name"), "direction", directions[i], "cast", casts[c],
				METRIC_END);
	}
}

static json_int_t drops_of(const json_t *side)
{
	json_t *drops = json_object_get(side, "drops"), *value;
	json_int_t sum = 0;
	const char *reason;

	json_object_foreach(drops, reason, value)
	{
		sum += json_integer_value(value);
	}
	return sum;
}

static void emit_dropped(struct metric_out *o, const json_t *row)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(directions); i++) {
		json_t *sum = json_integer(drops_of(json_object_get(row, directions[i])));

		metric_sample(o, sum, "port", text_of(row, "name"), "direction", directions[i],
			METRIC_END);
		json_decref(sum);
	}
}

static void emit_reasons(struct metric_out *o, const json_t *row)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(directions); i++) {
		json_t *drops = json_object_get(json_object_get(row, directions[i]), "drops");
		json_t *value;
		const char *reason;

		json_object_foreach(drops, reason, value)
		{
			if (json_integer_value(value))
				metric_sample(o, value, "port", text_of(row, "name"), "direction",
					directions[i], "reason", reason, METRIC_END);
		}
	}
}

/* Nanoseconds of the row, as seconds. */
static json_t *seconds(const json_t *row, const char *key)
{
	const json_t *ns = json_object_get(row, key);

	return json_is_number(ns) ? json_real(json_number_value(ns) / 1e9) : NULL;
}

static void emit_lag(struct metric_out *o, const json_t *row)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(directions); i++) {
		json_t *s = seconds(json_object_get(row, directions[i]), o->family->key);

		metric_sample(
			o, s, "port", text_of(row, "name"), "direction", directions[i], METRIC_END);
		json_decref(s);
	}
}

/* Of what is sent alone. */
static void emit_sent(struct metric_out *o, const json_t *row)
{
	metric_sample(o, json_object_get(json_object_get(row, "tx"), o->family->key), "port",
		text_of(row, "name"), METRIC_END);
}

/* Give each queue of a port to `each`. */
static void queues_emit(struct metric_out *o, const json_t *row,
	void (*each)(struct metric_out *o, const char *port, const char *queue,
		const char *direction, const json_t *side))
{
	const json_t *queues = json_object_get(row, "queues"), *queue;
	char number[24];

	for (size_t i = 0; (queue = json_array_get(queues, i)); i++) {
		digits(queue, "pair", number);
		for (size_t d = 0; d < RW_ARRAY_SIZE(directions); d++)
			each(o, text_of(row, "name"), number, directions[d],
				json_object_get(queue, directions[d]));
	}
}

static void queue_stat(struct metric_out *o, const char *port, const char *queue,
	const char *direction, const json_t *side)
{
	metric_sample(o, json_object_get(side, o->family->key), "port", port, "queue", queue,
		"direction", direction, METRIC_END);
}

static void emit_queue_stat(struct metric_out *o, const json_t *row)
{
	queues_emit(o, row, queue_stat);
}

static void queue_lag(struct metric_out *o, const char *port, const char *queue,
	const char *direction, const json_t *side)
{
	json_t *s = seconds(side, o->family->key);

	metric_sample(o, s, "port", port, "queue", queue, "direction", direction, METRIC_END);
	json_decref(s);
}

static void emit_queue_lag(struct metric_out *o, const json_t *row)
{
	queues_emit(o, row, queue_lag);
}

static void queue_reasons(struct metric_out *o, const char *port, const char *queue,
	const char *direction, const json_t *side)
{
	json_t *drops = json_object_get(side, "drops"), *value;
	const char *reason;

	json_object_foreach(drops, reason, value)
	{
		if (json_integer_value(value))
			metric_sample(o, value, "port", port, "queue", queue, "direction",
				direction, "reason", reason, METRIC_END);
	}
}

static void emit_queue_reasons(struct metric_out *o, const json_t *row)
{
	queues_emit(o, row, queue_reasons);
}

/* ---- workers: rows of worker.list ---- */

static void emit_worker(struct metric_out *o, const json_t *row)
{
	char worker[24], cpu[24];

	metric_sample(o, json_object_get(row, o->family->key), "worker",
		digits(row, "worker", worker), "cpu", digits(row, "cpu", cpu), METRIC_END);
}

static void emit_cycles(struct metric_out *o, const json_t *row)
{
	static const char *const states[][2] = {
		{"busy", "busy_cycles"}, {"idle", "idle_cycles"}, {"asleep", "asleep_cycles"}};
	char worker[24], cpu[24];

	digits(row, "worker", worker);
	digits(row, "cpu", cpu);
	for (size_t i = 0; i < RW_ARRAY_SIZE(states); i++)
		metric_sample(o, json_object_get(row, states[i][1]), "worker", worker, "cpu", cpu,
			"state", states[i][0], METRIC_END);
}

static void emit_load(struct metric_out *o, const json_t *row)
{
	const json_t *polled = json_object_get(row, "polled"), *queue;
	char worker[24], number[24];

	digits(row, "worker", worker);
	for (size_t i = 0; (queue = json_array_get(polled, i)); i++)
		metric_sample(o, json_object_get(queue, "load"), "port", text_of(queue, "port"),
			"queue", digits(queue, "queue", number), "worker", worker, METRIC_END);
}

/* ---- captures ---- */

static void emit_captures(struct metric_out *o, const json_t *reading)
{
	const json_t *captures = json_object_get(reading, "captures");
	json_t *n = json_integer((json_int_t)json_array_size(captures));

	if (captures)
		metric_sample(o, n, METRIC_END);
	json_decref(n);
}

static void emit_capture(struct metric_out *o, const json_t *row)
{
	char number[24];

	metric_sample(o, json_object_get(row, o->family->key), "capture",
		digits(row, "capture", number), METRIC_END);
}

/* ---- bridges and VLANs ---- */

static void emit_bridge(struct metric_out *o, const json_t *row)
{
	json_t *n = json_integer((json_int_t)json_array_size(json_object_get(row, "ports")));

	metric_sample(o, n, "bridge", text_of(row, "name"), METRIC_END);
	json_decref(n);
}

/* Count one more port in what `counts` has for a VLAN. */
static void vlan_count(json_t *counts, const json_t *port, unsigned vlan)
{
	char key[256];

	snprintf(key, sizeof(key), "%s\n%s\n%u", text_of(port, "bridge"), text_of(port, "tpid"),
		vlan);
	json_object_set_new(
		counts, key, json_integer(json_integer_value(json_object_get(counts, key)) + 1));
}

/* The VLANs of a trunk: "10+20-30". "all" is counted nowhere. */
static void trunk_count(json_t *counts, const json_t *port, const char *trunk)
{
	unsigned from, to;
	int n;

	while (sscanf(trunk, "%u%n", &from, &n) == 1) {
		trunk += n;
		to = from;
		if (sscanf(trunk, "-%u%n", &to, &n) == 1)
			trunk += n;
		for (; from <= to && from <= 4095; from++)
			vlan_count(counts, port, from);
		trunk += *trunk == '+';
	}
}

static void emit_vlans(struct metric_out *o, const json_t *reading)
{
	const json_t *ports = json_object_get(reading, "ports"), *port, *vlans, *value;
	json_t *counts = json_object(), *count;
	const char *key;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		vlans = json_object_get(port, "vlans");
		trunk_count(counts, port, text_of(vlans, "trunk"));
		value = json_object_get(vlans, "access");
		if (!value)
			value = json_object_get(vlans, "native");
		if (json_is_integer(value))
			vlan_count(counts, port, (unsigned)json_integer_value(value));
	}
	json_object_foreach(counts, key, count)
	{
		char text[256], *save = NULL, *bridge, *tpid;

		snprintf(text, sizeof(text), "%s", key);
		bridge = strtok_r(text, "\n", &save);
		tpid = strtok_r(NULL, "\n", &save);
		metric_sample(o, count, "bridge", bridge, "tpid", tpid, "vlan",
			strtok_r(NULL, "\n", &save), METRIC_END);
	}
	json_decref(counts);
}

/* ---- the table ---- */

#define GAUGE     METRIC_GAUGE
#define COUNTER   METRIC_COUNTER
#define HISTOGRAM METRIC_HISTOGRAM
#define PORT      "port"
#define VLAN      "bridge, tpid, vlan, direction"
#define SIDE      "port, direction"
#define QUEUE     "port, queue, direction"
#define WORKER    "worker, cpu"

const struct family metric_families[] = {
	{"ringway_up", GAUGE, "",
		"1: the switch answers; 0: it does not, and all other metrics of it "
		"are missing",
		NULL, emit_value, "up"},
	{"ringway_build_info", GAUGE, "version, dpdk", "always 1; the labels say the versions",
		NULL, emit_build, NULL},
	{"ringway_exporter_reading_seconds", GAUGE, "", "how long it took to ask the switch", NULL,
		emit_value, "took"},
	{"ringway_exporter_reading_timestamp_seconds", GAUGE, "",
		"when the switch was asked, since 1970", NULL, emit_value, "time"},

	{"ringway_port_info", GAUGE, "port, driver, bridge, tpid, vlan, description",
		"always 1; the labels say how the port is configured; vlan is empty for a "
		"transparent port",
		"ports", emit_port_info, NULL},
	{"ringway_port_link", GAUGE, PORT, "1: frames can be sent there", "ports", emit_port,
		"link"},
	{"ringway_port_connected", GAUGE, PORT, "1: a front-end, or a device, is there", "ports",
		emit_port, "connected"},
	{"ringway_port_queue_pairs", GAUGE, PORT, "running queue pairs", "ports", emit_port,
		"pairs"},
	{"ringway_port_mtu_bytes", GAUGE, PORT, "the MTU, if one is known", "ports", emit_port,
		"mtu"},
	{"ringway_port_broken_rings", GAUGE, PORT,
		"rings that contradict themselves and rest until the guest resets them", "ports",
		emit_port, "broken_rings"},
	{"ringway_port_rings_in_need_of_reset", GAUGE, PORT,
		"packed rings whose position is not known", "ports", emit_port, "needs_reset"},
	{"ringway_port_budget_used", GAUGE, "port, budget",
		"what the front-end takes now; the budget iotlb counts IOTLB entries, addresses "
		"learned addresses, mapped and scratch bytes",
		"ports", emit_budget, "used"},
	{"ringway_port_budget_limit", GAUGE, "port, budget",
		"what it may take; missing when there is no limit", "ports", emit_budget, "limit"},
	{"ringway_port_budget_refusals", COUNTER, "port, budget",
		"how often something was refused, or the oldest forgotten", "ports", emit_budget,
		"refused"},

	{"ringway_port_frames", COUNTER, SIDE, "frames: rx, what the guest sent; tx, what it got",
		"stats", emit_stat, "frames"},
	{"ringway_port_bytes", COUNTER, SIDE, "their bytes", "stats", emit_stat, "bytes"},
	{"ringway_port_cast_frames", COUNTER, "port, direction, cast",
		"the same frames by cast: unicast, multicast, broadcast", "stats", emit_cast, NULL},
	{"ringway_port_dropped_frames", COUNTER, SIDE, "frames that were dropped, for any reason",
		"stats", emit_dropped, NULL},
	{"ringway_port_drops", COUNTER, "port, direction, reason",
		"the same by reason; a reason that never occurred at the port is missing", "stats",
		emit_reasons, NULL},
	{"ringway_port_completed_checksums", COUNTER, PORT,
		"frames whose checksum was completed for the receiver", "stats", emit_sent,
		"converted_csum"},
	{"ringway_port_segmented_frames", COUNTER, PORT,
		"large frames that were cut for the receiver", "stats", emit_sent, "segmented"},
	{"ringway_port_segments", COUNTER, PORT, "frames that were made of them", "stats",
		emit_sent, "segments"},

	{"ringway_port_lags", COUNTER, SIDE,
		"times in which a port's rings were not read fast enough: rx, by the switch; tx, "
		"by the guest, or the device",
		"stats", emit_stat, "lags"},
	{"ringway_port_lag_seconds", COUNTER, SIDE, "how long they were together", "stats",
		emit_lag, "lag_ns"},
	{"ringway_port_signals", COUNTER, SIDE,
		"notifications that the guest got: rx, frames were taken; tx, frames came", "stats",
		emit_stat, "signals_sent"},
	{"ringway_port_suppressed_signals", COUNTER, SIDE,
		"bursts without one, as the driver wants none", "stats", emit_stat,
		"signals_suppressed"},
	{"ringway_port_link_ups", COUNTER, PORT, "how often the link came up", "stats", emit_port,
		"link_ups"},
	{"ringway_port_link_downs", COUNTER, PORT, "how often it went down", "stats", emit_port,
		"link_downs"},
	{"ringway_port_size_frames", COUNTER, "port, direction, octets",
		"frames by their octets, FCS included: the bins of RFC 2819, smaller and larger "
		"ones; while sizes are counted",
		"sizes", metric_emit_sizes, NULL},

	{"ringway_queue_frames", COUNTER, QUEUE, "frames of a queue, or pair", "stats",
		emit_queue_stat, "frames"},
	{"ringway_queue_bytes", COUNTER, QUEUE, "their bytes", "stats", emit_queue_stat, "bytes"},
	{"ringway_queue_drops", COUNTER, "port, queue, direction, reason",
		"drops of a queue by reason; a reason that never occurred is missing", "stats",
		emit_queue_reasons, NULL},
	{"ringway_queue_lags", COUNTER, QUEUE, "lags of a queue", "stats", emit_queue_stat, "lags"},
	{"ringway_queue_lag_seconds", COUNTER, QUEUE, "how long they were together", "stats",
		emit_queue_lag, "lag_ns"},
	{"ringway_queue_load_ratio", GAUGE, "port, queue, worker",
		"the share of its worker's time that an rx queue takes, 0 to 1", "workers",
		emit_load, NULL},

	{"ringway_worker_frames", COUNTER, WORKER, "frames taken from ports", "workers",
		emit_worker, "frames"},
	{"ringway_worker_polls", COUNTER, WORKER, "rounds over all queues", "workers", emit_worker,
		"polls"},
	{"ringway_worker_busy_polls", COUNTER, WORKER, "rounds that found a frame", "workers",
		emit_worker, "busy_polls"},
	{"ringway_worker_cycles", COUNTER, "worker, cpu, state",
		"TSC cycles by state: busy (rounds that found a frame), idle, asleep", "workers",
		emit_cycles, NULL},
	{"ringway_worker_sleeps", COUNTER, WORKER, "sleeps that have ended", "workers", emit_worker,
		"sleeps"},
	{"ringway_worker_asleep", GAUGE, WORKER, "1: it sleeps now", "workers", emit_worker,
		"asleep"},
	{"ringway_worker_queues", GAUGE, WORKER, "rx queues that it polls", "workers", emit_worker,
		"queues"},

	{"ringway_bridge_ports", GAUGE, "bridge", "ports of the bridge", "bridges", emit_bridge,
		NULL},
	{"ringway_vlan_ports", GAUGE, "bridge, tpid, vlan",
		"ports that name the VLAN, as access, trunk or native; those that are in all VLANs "
		"are not counted",
		NULL, emit_vlans, NULL},
	{"ringway_vlan_frames", COUNTER, VLAN,
		"frames of a VLAN; vlan is 0 without a tag, none for a VLAN that the port is not "
		"in; while VLANs are counted",
		NULL, metric_emit_vlan_counts, "frames"},
	{"ringway_vlan_bytes", COUNTER, VLAN, "their bytes", NULL, metric_emit_vlan_counts,
		"bytes"},
	{"ringway_vlan_dropped_frames", COUNTER, VLAN,
		"frames of it that were dropped: rx, at their sender; tx, at their receiver", NULL,
		metric_emit_vlan_counts, "drops"},
	{"ringway_fdb_entries", GAUGE, "", "addresses that the switch knows", NULL, emit_fdb,
		"entries_total"},
	{"ringway_fdb_max_entries", GAUGE, "", "how many there can be", NULL, emit_fdb,
		"max_entries"},
	{"ringway_fdb_flaps", COUNTER, "", "how often a host was held because it flapped", NULL,
		emit_fdb, "flaps"},
	{"ringway_multicast_snooping", GAUGE, "", "1: multicast snooping is on", NULL, emit_groups,
		"snooping"},
	{"ringway_multicast_entries", GAUGE, "", "memberships of multicast groups", NULL,
		emit_groups, "entries_total"},
	{"ringway_multicast_max_entries", GAUGE, "", "how many there can be", NULL, emit_groups,
		"max_entries"},
	{"ringway_multicast_events", COUNTER, "event",
		"what snooping heard or refused: the counters of group list", NULL, emit_snooping,
		NULL},
	{"ringway_captures", GAUGE, "", "captures that run", NULL, emit_captures, NULL},
	{"ringway_capture_frames", COUNTER, "capture", "frames that a capture was to write",
		"captures", emit_capture, "frames"},
	{"ringway_capture_lost_frames", COUNTER, "capture",
		"how many of them found no room, as their reader is too slow", "captures",
		emit_capture, "lost"},

	{"ringway_latency_seconds", HISTOGRAM, "from, to",
		"what frames took through the switch from port to port; while latency is measured",
		"latency", metric_emit_latency, NULL},
	{"ringway_counted", GAUGE, "what",
		"1: it is counted on request: sizes, vlans, talkers, latency", "counts",
		metric_emit_counted, "running"},
	{"ringway_uncounted_frames", COUNTER, "what, why",
		"frames that are not in what is counted: others, there was no room for their VLAN "
		"or pair of ports; late, they waited for an IOMMU; missed, they came while it was "
		"read",
		"counts", metric_emit_uncounted, NULL},
};
const unsigned metric_nfamilies = RW_ARRAY_SIZE(metric_families);
