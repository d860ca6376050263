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

static json_t *rpc_list(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	(void)ctx, (void)params, (void)fail;
	return rpc_describe();
}

/* ---- the table ---- */

#define PORT_NAME   HAS("name", CTL_STRING, "the name of a port")
#define BRIDGE_NAME HAS("name", CTL_STRING, "the name of a bridge")
#define COUNTERS    "counters: frames, bytes, drops by reason, signals, lags and others"
#define MAC         HAS("mac", CTL_STRING, "an address like 52:54:00:00:00:01")
#define VLAN        MAY("vlan", CTL_INTEGER | CTL_STRING, "0 (no VLAN) to 4094, or a name")
#define BRIDGE      MAY("bridge", CTL_STRING, "the name of a bridge")
#define TPID        MAY("tpid", CTL_STRING, "which VLAN of that number: 8021q or 8021ad")

#define PORT_RESULT                                                                        \
	CTL_FIELDS(PORT_NAME, HAS("id", CTL_INTEGER, "its number in the switch"),          \
		HAS("driver", CTL_STRING, "its kind"),                                     \
		MAY("description", CTL_STRING, "what the user wrote"),                     \
		HAS("link", CTL_BOOLEAN, "whether frames can be sent there"),              \
		HAS("bridge", CTL_STRING, "the name of its bridge"),                       \
		HAS("tpid", CTL_STRING, "its kind of tag, 8021q or 8021ad"),               \
		HAS("vlans", CTL_OBJECT | CTL_NULL, "its VLANs; null: it is transparent"), \
		HAS("policy", CTL_OBJECT, "its policy, by the keys of its options"),       \
		MAY("mirrors", CTL_ARRAY, "the mirrors whose copies it gets, alone"),      \
		MAY("note", CTL_STRING, "what the user has to know about the change"))

#define COUNT_WHAT HAS("what", CTL_STRING, "sizes, vlans, talkers or latency")
#define COUNT_RESULT                                                                               \
	CTL_FIELDS(COUNT_WHAT, HAS("running", CTL_BOOLEAN, "whether it is counted"),               \
		HAS("ports", CTL_ARRAY | CTL_NULL, "the ports of which; null: it is not counted"), \
		HAS("age_s", CTL_INTEGER | CTL_NULL, "seconds since it began"),                    \
		HAS("others", CTL_INTEGER, "vlans, latency: frames that found no room"),           \
		HAS("late", CTL_INTEGER, "latency: frames that had waited, and are not in it"),    \
		HAS("missed", CTL_INTEGER, "talkers: frames that came while this was read"))
#define PORTS MAY("ports", CTL_ARRAY, "the names of ports; none: all of them")
#define COUNTED_VLAN                                                                        \
	HAS("vlan", CTL_INTEGER | CTL_NULL, "0: without a VLAN; null: none of the port's"), \
		HAS("tpid", CTL_STRING, "which VLAN of that number: 8021q or 8021ad"),      \
		HAS("bridge", CTL_STRING, "the name of a bridge")

#define MIRROR_RESULT                                                                              \
	CTL_FIELDS(HAS("name", CTL_STRING, "its name"),                                            \
		HAS("source", CTL_ARRAY | CTL_NULL, "the names of the ports that are mirrored"),   \
		HAS("vlan", CTL_INTEGER | CTL_NULL, "or the VLAN; 0: frames without a VLAN"),      \
		HAS("bridge", CTL_STRING | CTL_NULL, "the bridge of the VLAN"),                    \
		HAS("tpid", CTL_STRING | CTL_NULL, "the kind of the VLAN, 8021q or 8021ad"),       \
		HAS("direction", CTL_STRING, "in: what they sent; out: what they received; both"), \
		HAS("to", CTL_STRING, "the port that gets the copies"),                            \
		HAS("snap", CTL_INTEGER | CTL_NULL, "bytes of each frame; null: all"),             \
		HAS("sample", CTL_INTEGER, "one of so many frames is copied"),                     \
		HAS("absent", CTL_ARRAY, "the names that no port has now"),                        \
		HAS("frames", CTL_INTEGER, "frames that were to be copied"),                       \
		HAS("bytes", CTL_INTEGER, "bytes of their copies"),                                \
		HAS("lost", CTL_OBJECT, "copies that were lost, by reason"))

#define FORWARD_RESULT                                                               \
	CTL_FIELDS(HAS("mode", CTL_STRING, "what is done with frames"),              \
		HAS("running", CTL_BOOLEAN, "whether frames are taken from guests"), \
		HAS("ports", CTL_ARRAY, "the ports, each with its name and partner"))

#define QUEUE_FIELDS                                                                               \
	HAS("port", CTL_STRING, "the name of its port"), HAS("queue", CTL_INTEGER, "its number"),  \
		HAS("load", CTL_NUMBER, "its share of a worker's time, 0 to 1"),                   \
		HAS("memory_node", CTL_INTEGER | CTL_NULL, "the NUMA node of the guest's memory"), \
		HAS("far_off", CTL_BOOLEAN, "whether its worker is on another node"),              \
		HAS("by_hand", CTL_BOOLEAN, "whether a user chose its worker")

#define OF_PORT      HAS("port", CTL_STRING, "the name of the port that sends it")
#define TRACE_NUMBER HAS("trace", CTL_INTEGER, "what trace.start gave")
#define VLAN_TAG     MAY("vlan", CTL_INTEGER | CTL_STRING, "the VLAN of its tag; else it has none")

#define TRACED_FRAME                                                                               \
	CTL_FIELDS(HAS("port", CTL_STRING | CTL_NULL, "the port that sent it"),                    \
		HAS("queue", CTL_INTEGER, "the queue of that"),                                    \
		HAS("worker", CTL_INTEGER, "the number of the worker"),                            \
		MAY("dst", CTL_STRING, "its destination"), MAY("src", CTL_STRING, "its source"),   \
		MAY("type", CTL_STRING, "what follows the addresses, like 0x0800"),                \
		MAY("len", CTL_INTEGER, "its bytes, without FCS"),                                 \
		MAY("vlan", CTL_INTEGER, "its VLAN; 0: none"),                                     \
		MAY("chains", CTL_INTEGER, "it never became a frame: so many buffers"),            \
		HAS("steps", CTL_ARRAY,                                                            \
			"objects whose \"step\" is policy, domain, learn, lookup, flood, deliver " \
			"or drop; and cycles since the frame was fetched"))

const struct ctl_method rpc_methods[] = {
	{.name = "version",
		.fn = rpc_version,
		.help = "the version of the switch and of DPDK",
		.result = CTL_FIELDS(HAS("name", CTL_STRING, "\"ringwayd\""),
			HAS("version", CTL_STRING, "its version"),
			HAS("dpdk", CTL_STRING, "the version of DPDK"))},
	{.name = "rpc.methods",
		.fn = rpc_list,
		.help = "all methods, with JSON Schemas of what they take and give",
		.result = CTL_FIELDS(
			HAS("methods", CTL_ARRAY, "name, help, params and result of each method"),
			HAS("events", CTL_ARRAY, "name, help and params of each kind of event"),
			HAS("errors", CTL_ARRAY, "code and help of each error"))},
	{.name = "subscribe",
		.fn = rpc_subscribe,
		.help = "get events on this connection: those named now, in place of others",
		.params = CTL_FIELDS(MAY("kinds", CTL_ARRAY, "a list of kinds; none: all of them"),
			MAY("port", CTL_STRING,
				"the name of a port, whose events alone are wanted")),
		.result = CTL_FIELDS(HAS("kinds", CTL_ARRAY, "the kinds that come"),
			HAS("port", CTL_STRING | CTL_NULL, "of that port; null: of all"))},
	{.name = "unsubscribe",
		.fn = rpc_unsubscribe,
		.help = "get no events on this connection any more"},
	{.name = "port.list",
		.each = rpc_port_list,
		.help = "the ports and what is attached to them",
		.result = PORT_RESULT,
		.open = true},
	{.name = "port.show",
		.fn = rpc_port_show,
		.help = "one port with all that is known about it",
		.params = CTL_FIELDS(PORT_NAME),
		.result = PORT_RESULT,
		.open = true},
	{.name = "port.stats",
		.each = rpc_port_stats,
		.help = "what each port, or one, sent and received: frames, drops, signals, lags, "
			"link",
		.params = CTL_FIELDS(MAY("name", CTL_STRING, "the name of a port"),
			MAY("since", CTL_STRING, "the name of a mark: count from there on")),
		.result = CTL_FIELDS(PORT_NAME,
			HAS("uplink", CTL_BOOLEAN, "whether it has a device in place of a guest"),
			HAS("rx", CTL_OBJECT, COUNTERS), HAS("tx", CTL_OBJECT, COUNTERS),
			HAS("link_ups", CTL_INTEGER, "how often its link came up"),
			HAS("link_downs", CTL_INTEGER, "how often its link went down"),
			HAS("link_changed_s", CTL_INTEGER | CTL_NULL,
				"seconds since that; null: it never did"),
			HAS("queues", CTL_ARRAY, "the same for each queue pair"))},
	{.name = "port.add",
		.fn = rpc_port_add,
		.help = "make a port; the other parameters are the options of --port",
		.params = CTL_FIELDS(HAS("name", CTL_STRING, "the name of the new port")),
		.more = rpc_port_options,
		.result = PORT_RESULT,
		.open = true},
	{.name = "port.del",
		.fn = rpc_port_del,
		.help = "end a port and its connection",
		.params = CTL_FIELDS(PORT_NAME)},
	{.name = "port.set",
		.fn = rpc_port_set,
		.help = "change a port; the other parameters are the options that may change",
		.params = CTL_FIELDS(PORT_NAME),
		.more = rpc_port_changes,
		.result = PORT_RESULT,
		.open = true},
	{.name = "bridge.list",
		.each = rpc_bridge_list,
		.help = "the bridges and their ports",
		.result = CTL_FIELDS(BRIDGE_NAME, HAS("ports", CTL_ARRAY, "their names"))},
	{.name = "bridge.add",
		.fn = rpc_bridge_add,
		.help = "make a bridge",
		.params = CTL_FIELDS(BRIDGE_NAME),
		.result = CTL_FIELDS(BRIDGE_NAME, HAS("ports", CTL_ARRAY, "empty"))},
	{.name = "bridge.del",
		.fn = rpc_bridge_del,
		.help = "end a bridge without ports",
		.params = CTL_FIELDS(BRIDGE_NAME)},
	{.name = "fdb.list",
		.fn = rpc_fdb_list,
		.help = "a page of the addresses that the switch knows",
		.params = CTL_FIELDS(MAY("cursor", CTL_INTEGER, "\"next\" of the page before"),
			MAY("limit", CTL_INTEGER, "the number of entries wanted, at most 512"),
			MAY("port", CTL_STRING, "the name of a port"),
			MAY("mac", CTL_STRING, "an address like 52:54:00:00:00:01"), VLAN, BRIDGE,
			TPID,
			MAY("static", CTL_BOOLEAN,
				"true or false: only static, only learned ones")),
		.result = CTL_FIELDS(HAS("entries", CTL_ARRAY,
					     "mac, vlan, tpid, bridge, port, static, age_s of "
					     "each; and of learned "
					     "ones how: \"frame\", \"rarp\", \"setting\", "
					     "\"migration\", \"file\""),
			HAS("next", CTL_INTEGER | CTL_NULL,
				"the cursor of the next page; null: none"),
			HAS("entries_total", CTL_INTEGER, "how many entries there are"),
			HAS("max_entries", CTL_INTEGER, "how many there can be"),
			HAS("flaps", CTL_INTEGER, "how often a host was held because it flapped"))},
	{.name = "fdb.flush",
		.fn = rpc_fdb_flush,
		.help = "forget learned addresses, of all ports or of one",
		.params = CTL_FIELDS(MAY("port", CTL_STRING, "the name of a port")),
		.result = CTL_FIELDS(HAS("flushed", CTL_INTEGER, "how many entries went"))},
	{.name = "fdb.add",
		.fn = rpc_fdb_add,
		.help = "add a static entry, which never ages and never moves",
		.params = CTL_FIELDS(MAC, HAS("port", CTL_STRING, "the name of a port"), VLAN,
			MAY("replace", CTL_BOOLEAN,
				"true or false: whether a static entry may be moved"))},
	{.name = "fdb.del",
		.fn = rpc_fdb_del,
		.help = "forget one address, static or learned",
		.params = CTL_FIELDS(MAC, VLAN, BRIDGE, TPID)},
	{.name = "group.list",
		.fn = rpc_group_list,
		.help = "a page of the multicast groups that snooping knows, and the queriers",
		.params = CTL_FIELDS(MAY("cursor", CTL_INTEGER, "\"next\" of the page before")),
		.result = CTL_FIELDS(HAS("entries", CTL_ARRAY, "what is known of each member"),
			HAS("next", CTL_INTEGER | CTL_NULL,
				"the cursor of the next page; null: none"),
			HAS("queriers", CTL_ARRAY, "the queriers"),
			HAS("all_multicast", CTL_ARRAY, "ports that get all of it"),
			HAS("entries_total", CTL_INTEGER, "how many entries there are"),
			HAS("max_entries", CTL_INTEGER, "how many there can be"),
			HAS("snooping", CTL_BOOLEAN, "whether it is on"),
			HAS("counters", CTL_OBJECT, "what was heard and refused"))},
	{.name = "mark.add",
		.fn = rpc_mark_add,
		.help = "keep the counters of now: port.stats can count from here on",
		.params = CTL_FIELDS(
			HAS("name", CTL_STRING, "the name of the mark, also an old one")),
		.result = CTL_FIELDS(HAS("name", CTL_STRING, "its name"),
			HAS("age_s", CTL_INTEGER, "seconds since it was set"))},
	{.name = "mark.del",
		.fn = rpc_mark_del,
		.help = "forget a mark",
		.params = CTL_FIELDS(HAS("name", CTL_STRING, "the name of a mark"))},
	{.name = "mark.list",
		.fn = rpc_mark_list,
		.help = "the marks",
		.list = true,
		.result = CTL_FIELDS(HAS("name", CTL_STRING, "its name"),
			HAS("age_s", CTL_INTEGER, "seconds since it was set"))},
	{.name = "count.start",
		.fn = rpc_count_start,
		.help = "count something that is counted on request only, from 0 on",
		.params = CTL_FIELDS(COUNT_WHAT, PORTS),
		.result = COUNT_RESULT},
	{.name = "count.stop",
		.fn = rpc_count_stop,
		.help = "count it no longer, and forget what was counted",
		.params = CTL_FIELDS(COUNT_WHAT),
		.result = COUNT_RESULT},
	{.name = "count.list",
		.fn = rpc_count_list,
		.help = "what is counted on request",
		.list = true,
		.result = COUNT_RESULT},
	{.name = "sizes.show",
		.each = rpc_sizes_show,
		.help = "how many frames of which size each port sent and received (RFC 2819)",
		.result = CTL_FIELDS(PORT_NAME,
			HAS("sizes", CTL_ARRAY,
				"bins: least and most octets, FCS included, and frames rx and "
				"tx"))},
	{.name = "vlans.show",
		.fn = rpc_vlans_show,
		.help = "frames, bytes and drops of each VLAN",
		.list = true,
		.result = CTL_FIELDS(COUNTED_VLAN,
			HAS("rx_frames", CTL_INTEGER, "frames that ports sent"),
			HAS("rx_bytes", CTL_INTEGER, "their bytes"),
			HAS("rx_drops", CTL_INTEGER, "frames dropped at their sender"),
			HAS("tx_frames", CTL_INTEGER, "frames that ports received"),
			HAS("tx_bytes", CTL_INTEGER, "their bytes"),
			HAS("tx_drops", CTL_INTEGER, "frames dropped at their receiver"))},
	{.name = "talkers.show",
		.fn = rpc_talkers_show,
		.help = "who sends most, and to whom",
		.params = CTL_FIELDS(
			MAY("limit", CTL_INTEGER, "how many, 20 if not said, at most 512")),
		.result = CTL_FIELDS(HAS("talkers", CTL_ARRAY,
					     "src, dst, src_port, dst_port, vlan, tpid, bridge, "
					     "bytes, error, frames"),
			HAS("bytes", CTL_INTEGER, "what all sent"),
			HAS("error_max", CTL_INTEGER, "no talker's error is more"))},
	{.name = "latency.show",
		.each = rpc_latency_show,
		.help = "how long frames took through the switch, for each pair of ports",
		.params = CTL_FIELDS(PORTS,
			MAY("histogram", CTL_BOOLEAN,
				"true or false: whether the histogram is wanted")),
		.result = CTL_FIELDS(HAS("from", CTL_STRING, "the port that sent them"),
			HAS("to", CTL_STRING, "the port that received them"),
			HAS("frames", CTL_INTEGER, "how many"),
			HAS("mean_ns", CTL_NUMBER, "mean, in nanoseconds"),
			HAS("min_ns", CTL_INTEGER, "the shortest time"),
			HAS("max_ns", CTL_INTEGER, "the longest time"),
			HAS("p50_ns", CTL_INTEGER, "a half took no longer"),
			HAS("p90_ns", CTL_INTEGER, "90 % took no longer"),
			HAS("p99_ns", CTL_INTEGER, "99 % took no longer"),
			HAS("p99_9_ns", CTL_INTEGER, "99.9 % took no longer"),
			MAY("histogram", CTL_ARRAY,
				"least and most nanoseconds, and frames, of each bin"))},
	{.name = "worker.list",
		.fn = rpc_worker_list,
		.help = "the workers, what they poll and how busy they are",
		.list = true,
		.result = CTL_FIELDS(HAS("worker", CTL_INTEGER, "its number"),
			HAS("cpu", CTL_INTEGER, "its CPU"),
			HAS("node", CTL_INTEGER | CTL_NULL, "its NUMA node"),
			HAS("queues", CTL_INTEGER, "how many rx queues it polls"),
			HAS("polls", CTL_INTEGER, "rounds over all of them"),
			HAS("busy_polls", CTL_INTEGER, "rounds that found a frame"),
			HAS("busy_cycles", CTL_INTEGER, "TSC cycles of those rounds"),
			HAS("idle_cycles", CTL_INTEGER, "TSC cycles of the other rounds"),
			HAS("frames", CTL_INTEGER, "frames taken from ports, or made"),
			HAS("idle", CTL_STRING, "what it does when there is nothing to do"),
			HAS("asleep", CTL_BOOLEAN, "whether it sleeps now"),
			HAS("sleeps", CTL_INTEGER, "sleeps that have ended"),
			HAS("asleep_cycles", CTL_INTEGER, "TSC cycles spent asleep"),
			HAS("polled", CTL_ARRAY,
				"the queues that it polls, as worker.move gives"))},
	{.name = "worker.move",
		.fn = rpc_worker_move,
		.help = "let another worker poll an rx queue",
		.params = CTL_FIELDS(HAS("port", CTL_STRING, "the name of a port"),
			HAS("queue", CTL_INTEGER, "the number of a queue, from 0"),
			HAS("worker", CTL_INTEGER, "the number of a worker, from 0")),
		.result = CTL_FIELDS(QUEUE_FIELDS)},
	{.name = "worker.balance",
		.fn = rpc_worker_balance,
		.help = "move queues off busy workers, once",
		.result = CTL_FIELDS(HAS("moved", CTL_INTEGER, "how many queues moved"))},
	{.name = "capture.start",
		.fn = rpc_capture_start,
		.help = "write what workers see of frames into the memory that came with it",
		.params = CTL_FIELDS(
			MAY("ports", CTL_ARRAY, "a list of names of ports; none: all ports"),
			MAY("rx", CTL_BOOLEAN, "true or false: frames that the ports sent"),
			MAY("tx", CTL_BOOLEAN, "true or false: frames that they received"),
			MAY("drops", CTL_BOOLEAN, "true or false: of these, only what was dropped"),
			MAY("snap", CTL_INTEGER, "how many bytes of each frame, 14 to 65553"),
			MAY("sample", CTL_INTEGER, "one of so many frames, from 1 on"),
			MAY("filter", CTL_ARRAY,
				"instructions of a classic BPF program: [code, jt, jf, k] each"),
			HAS("ring", CTL_INTEGER, "bytes of the ring of each worker")),
		.result = CTL_FIELDS(HAS("workers", CTL_INTEGER, "so many rings are written"),
			HAS("ring", CTL_INTEGER, "bytes of each"),
			HAS("head", CTL_INTEGER, "bytes before each"),
			HAS("reasons", CTL_ARRAY, "reasons of drops, by number"))},
	{.name = "capture.list",
		.each = rpc_capture_list,
		.help = "the captures that run",
		.result = CTL_FIELDS(HAS("capture", CTL_INTEGER, "its number"),
			HAS("ports", CTL_INTEGER | CTL_NULL, "how many ports; null: all"),
			HAS("rx", CTL_BOOLEAN, "frames that the ports sent"),
			HAS("tx", CTL_BOOLEAN, "frames that they received"),
			HAS("drops", CTL_BOOLEAN, "of these, only what was dropped"),
			HAS("snap", CTL_INTEGER, "how many bytes of each frame"),
			HAS("sample", CTL_INTEGER, "one of so many frames"),
			HAS("frames", CTL_INTEGER, "how many it was to write"),
			HAS("lost", CTL_INTEGER,
				"how many of these found no room: the client is too slow"))},
	{.name = "mirror.add",
		.fn = rpc_mirror_add,
		.help = "send copies of what ports or a VLAN send and receive to another port",
		.params = CTL_FIELDS(HAS("name", CTL_STRING, "the name of the new mirror"),
			HAS("to", CTL_STRING, "the name of the port that gets the copies, alone"),
			MAY("source", CTL_ARRAY, "the names of ports; or give vlan"),
			MAY("vlan", CTL_INTEGER | CTL_STRING,
				"0 (frames without a VLAN) to 4094, or a name"),
			BRIDGE, TPID,
			MAY("direction", CTL_STRING,
				"in: what they sent; out: what they received; else both"),
			MAY("snap", CTL_INTEGER, "bytes of each frame, 14 to 65553; else all"),
			MAY("sample", CTL_INTEGER, "one of so many frames; else all")),
		.result = MIRROR_RESULT},
	{.name = "mirror.list",
		.each = rpc_mirror_list,
		.help = "the mirrors, what they copied and what they lost",
		.result = MIRROR_RESULT},
	{.name = "mirror.del",
		.fn = rpc_mirror_del,
		.help = "end a mirror; the port that got the copies is an ordinary one again",
		.params = CTL_FIELDS(HAS("name", CTL_STRING, "the name of a mirror"))},
	{.name = "explain",
		.fn = rpc_explain,
		.help = "what would become of a frame from a port; nothing is sent or learned",
		.params = CTL_FIELDS(OF_PORT, HAS("dst", CTL_STRING, "its destination address"),
			MAY("src", CTL_STRING, "its source address; else 02:00:00:00:00:01"),
			VLAN_TAG, MAY("type", CTL_INTEGER, "its EtherType; else 2048, IPv4"),
			MAY("len", CTL_INTEGER, "its bytes without FCS; else 60"),
			MAY("ip_src", CTL_STRING, "an IPv4 address: the frame has UDP"),
			MAY("ip_dst", CTL_STRING, "an IPv4 address: the frame has UDP"),
			MAY("udp_src", CTL_INTEGER, "a port of UDP"),
			MAY("udp_dst", CTL_INTEGER, "a port of UDP")),
		.result = TRACED_FRAME},
	{.name = "trace.start",
		.fn = rpc_trace_start,
		.help = "follow frames that a port sends; read the trace every second, or it ends",
		.params = CTL_FIELDS(OF_PORT, MAY("dst", CTL_STRING, "a destination address"),
			MAY("src", CTL_STRING, "a source address"),
			MAY("vlan", CTL_INTEGER | CTL_STRING, "0 (no VLAN) to 4094, or a name"),
			MAY("type", CTL_INTEGER, "an EtherType"),
			MAY("count", CTL_INTEGER, "so many frames; else without end")),
		.result = CTL_FIELDS(HAS("trace", CTL_INTEGER, "its number"))},
	{.name = "trace.read",
		.fn = rpc_trace_read,
		.help = "what became of the frames since the trace was read last",
		.params = CTL_FIELDS(TRACE_NUMBER),
		.result = CTL_FIELDS(HAS("frames", CTL_ARRAY, "the frames, as explain gives one"),
			HAS("ended", CTL_BOOLEAN, "whether no more frames are followed"),
			HAS("lost", CTL_INTEGER, "steps and frames that found no room"))},
	{.name = "trace.stop",
		.fn = rpc_trace_stop,
		.help = "end a trace",
		.params = CTL_FIELDS(TRACE_NUMBER)},
	{.name = "forward.show",
		.fn = rpc_forward_show,
		.help = "what is done with frames",
		.result = FORWARD_RESULT},
	{.name = "forward.set",
		.fn = rpc_forward_set,
		.help = "choose what is done with frames",
		.params = CTL_FIELDS(HAS("mode", CTL_STRING, "one of " SW_FORWARD_NAMES)),
		.result = FORWARD_RESULT},
	{.name = "forward.start",
		.fn = rpc_forward_start,
		.help = "go on taking frames",
		.result = FORWARD_RESULT},
	{.name = "forward.stop",
		.fn = rpc_forward_stop,
		.help = "leave frames where the guests have them",
		.result = FORWARD_RESULT},
	{.name = "config.get",
		.fn = rpc_config_get,
		.help = "all that is configured, as a document that --config reads",
		.open = true},
	{.name = "config.apply",
		.fn = rpc_config_apply,
		.gone = rpc_config_gone,
		.help = "make the switch what a document says: all of it, or nothing",
		.params = CTL_FIELDS(HAS("config", CTL_OBJECT | CTL_NULL, "a configuration"),
			MAY("dry_run", CTL_BOOLEAN, "true or false: only say what would change")),
		.result = CTL_FIELDS(HAS("changes", CTL_ARRAY, "what is different"),
			HAS("notes", CTL_ARRAY, "what the user has to know, lines of text"),
			HAS("unchanged", CTL_INTEGER, "how many ports stay as they are"),
			HAS("applied", CTL_BOOLEAN, "false for a dry run"))},
	{.name = "takeover",
		.fn = rpc_takeover,
		.help = "hand over to the caller, another ringwayd (--takeover), which goes on "
			"here",
		.params = CTL_FIELDS(HAS("version", CTL_INTEGER, "the version that it speaks"),
			HAS("reads", CTL_INTEGER, "the oldest version that it can read")),
		.result = CTL_FIELDS(
			HAS("version", CTL_INTEGER, "the version that this switch speaks"),
			HAS("reads", CTL_INTEGER, "the oldest version that it can read"),
			HAS("ringwayd", CTL_STRING, "its version"),
			HAS("pid", CTL_INTEGER, "its process"),
			HAS("config", CTL_OBJECT, "all that is configured"),
			HAS("words", CTL_ARRAY, "options that its command line gave"),
			HAS("ports_of_words", CTL_ARRAY, "ports that its command line gave"),
			HAS("config_file", CTL_STRING | CTL_NULL, "the file of --config"),
			HAS("control_is_default", CTL_BOOLEAN, "whether --control was not given"),
			HAS("huge", CTL_BOOLEAN, "whether it has huge pages"))},
};
const size_t rpc_nmethods = RW_ARRAY_SIZE(rpc_methods);
