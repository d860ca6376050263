/* SPDX-License-Identifier: BSD-3-Clause */
#include "commands.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "control.h"
#include "rw_sock.h"
#include "rw_text.h"
#include "version.h"

#define TIMEOUT_MS 5000
#define RETRY_MS   20 /* while the switch has no time to accept */

/*
 * Whether root or the user of this program listens there: anybody may listen in /tmp, and what he
 * answers would pass for the switch's. 0, or -1 with a complaint.
 */
static int peer_check(struct cli *cli)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(cli->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return complain("cannot tell who listens at %s: %s", cli->socket, strerror(errno));
	if (!peer.uid || peer.uid == geteuid())
		return 0;
	return complain("process %d of user %u listens at %s: trusted are root's and your own",
		(int)peer.pid, (unsigned)peer.uid, cli->socket);
}

int cli_connect(struct cli *cli)
{
	uint64_t deadline_ms = rw_now_ms() + TIMEOUT_MS;
	const char *why;
	int fd;

	while ((fd = rw_sock_connect(cli->socket)) == -EAGAIN && rw_now_ms() < deadline_ms)
		poll(NULL, 0, RETRY_MS);
	if (fd >= 0) {
		cli->fd = fd;
		return peer_check(cli);
	}
	why = fd == -ENOENT           ? "there is no such socket"
		: fd == -ECONNREFUSED ? "the socket is left over, nobody listens"
				      : strerror(-fd);
	return complain("no switch answers at %s: %s (give the --control of ringwayd with -s PATH)",
		cli->socket, why);
}

json_t *call_failing(struct cli *cli, const char *method, json_t *params, struct ctl_failure *fail)
{
	json_t *result = NULL;

	*fail = (struct ctl_failure){.code = CTL_ERR_INTERNAL};
	if (cli->fd >= 0 || !cli_connect(cli)) {
		result = ctl_call(cli->fd, method, params,
			cli->timeout_ms ? cli->timeout_ms : TIMEOUT_MS, fail);
		if (!result && fail->code == CTL_ERR_INTERNAL)
			complain("the switch at %s does not answer %s: %s", cli->socket, method,
				fail->message);
	}
	json_decref(params);
	return result;
}

json_t *call(struct cli *cli, const char *method, json_t *params)
{
	struct ctl_failure fail;
	json_t *result = call_failing(cli, method, params, &fail);

	if (!result && fail.code != CTL_ERR_INTERNAL)
		complain("%s", fail.message);
	return result;
}

json_t *call_list(struct cli *cli, const char *method, json_t *params)
{
	json_t *result = call(cli, method, params);

	if (!result || json_is_array(result))
		return result;
	complain(
		"the switch at %s answers %s with something else than a list", cli->socket, method);
	json_decref(result);
	return NULL;
}

static json_t *port_list(struct cli *cli)
{
	return call_list(cli, "port.list", NULL);
}

static void port_list_print(const struct cli *cli, const json_t *ports)
{
	static const struct table_column columns[] = {{"ID", true}, {"NAME", false},
		{"BRIDGE", false}, {"DRIVER", false}, {"MODE", false}, {"CONNECTED", false},
		{"LINK", false}, {"PAIRS", true}, {"RING", false}, {"MTU", true},
		{"FEATURES", true}, {"PATH", false}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *port;

	(void)cli;
	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		cell_number(t, port, "id");
		table_cell(t, "%s", text_of(port, "name"));
		table_cell(t, "%s", text_of(port, "bridge"));
		table_cell(t, "%s", text_of(port, "driver"));
		table_cell(t, "%s", text_of(port, "mode"));
		table_cell(t, "%s", is_true(port, "connected") ? "yes" : "no");
		table_cell(t, "%s", is_true(port, "link") ? "up" : "down");
		cell_number(t, port, "pairs");
		table_cell(t, "%s", text_of(port, "ring_format"));
		cell_number(t, port, "mtu");
		table_cell(t, "%s", text_of(port, "features"));
		table_cell(t, "%s", text_of(port, "path"));
	}
	table_print(t, stdout);
	table_free(t);
	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		char why[256];

		if (json_object_get(port, "mirrors"))
			printf("port %s gets copies of mirrors, and nothing else: see mirror "
			       "list\n",
				text_of(port, "name"));
		if (!json_is_string(json_object_get(port, "down")))
			continue;
		snprintf(why, sizeof(why), "%s", text_of(port, "down"));
		rw_printable(why);
		printf("port %s is down: %s\n", text_of(port, "name"), why);
	}
}

static json_t *port_show(struct cli *cli)
{
	return call(cli, "port.show", json_pack("{s:s}", "name", cli->name));
}

json_t *port_stats(struct cli *cli)
{
	if (!cli->name && !cli->since)
		return call_list(cli, "port.stats", NULL);
	return call_list(cli, "port.stats",
		json_pack("{s:s*, s:s*}", "name", cli->name, "since", cli->since));
}

/* Frames that were converted for the receiver. */
static void conversion_rows(struct table *t, const char *queue, const json_t *direction)
{
	static const char *const keys[] = {"converted_csum", "segmented", "segments"};

	for (size_t i = 0; i < RW_ARRAY_SIZE(keys); i++) {
		if (!number_of(direction, keys[i]))
			continue;
		table_cell(t, "%s", "");
		table_cell(t, "%*s  %s", (int)strlen(queue), "", keys[i]);
		cell_number(t, direction, keys[i]);
		table_cell(t, "%s", "");
		table_cell(t, "%s", "");
	}
}

/* The row of one direction in `stats`, then one for each conversion and each reason of drops. */
static void direction_rows(
	struct table *t, const char *port, const char *queue, const char *key, const json_t *stats)
{
	const json_t *direction = json_object_get(stats, key);
	json_t *drops = json_object_get(direction, "drops");
	json_int_t total = 0, n;
	void *it;

	for (it = json_object_iter(drops); it; it = json_object_iter_next(drops, it))
		total += json_integer_value(json_object_iter_value(it));
	table_cell(t, "%s", port);
	table_cell(t, "%s%s", queue, key);
	cell_number(t, direction, "frames");
	cell_number(t, direction, "bytes");
	cell_integer(t, total);
	conversion_rows(t, queue, direction);
	for (it = json_object_iter(drops); it; it = json_object_iter_next(drops, it)) {
		n = json_integer_value(json_object_iter_value(it));
		if (!n)
			continue;
		table_cell(t, "%s", "");
		table_cell(t, "%*s  %s", (int)strlen(queue), "", json_object_iter_key(it));
		table_cell(t, "%s", "");
		table_cell(t, "%s", "");
		cell_integer(t, n);
	}
}

static void port_stats_print(const struct cli *cli, const json_t *ports)
{
	static const struct table_column columns[] = {{"PORT", false}, {"DIRECTION", false},
		{"FRAMES", true}, {"BYTES", true}, {"DROPS", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *port, *queues, *queue;
	char label[32];

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		direction_rows(t, text_of(port, "name"), "", "rx", port);
		direction_rows(t, "", "", "tx", port);
		queues = cli->queues ? json_object_get(port, "queues") : NULL;
		for (size_t j = 0; (queue = json_array_get(queues, j)); j++) {
			snprintf(label, sizeof(label), "pair %" JSON_INTEGER_FORMAT " ",
				number_of(queue, "pair"));
			direction_rows(t, "", label, "rx", queue);
			direction_rows(t, "", label, "tx", queue);
		}
	}
	table_print(t, stdout);
	table_free(t);
}

static json_t *worker_list(struct cli *cli)
{
	return call_list(cli, "worker.list", NULL);
}

static void worker_list_print(const struct cli *cli, const json_t *workers)
{
	static const struct table_column columns[] = {{"WORKER", true}, {"CPU", true},
		{"QUEUES", true}, {"FRAMES", true}, {"BUSY", true}, {"CYCLES/FRAME", true},
		{"POLLS", true}, {"BUSY POLLS", true}, {"IDLE", false}, {"ASLEEP", true},
		{"SLEEPS", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	double busy, asleep, all, frames;
	const json_t *worker;

	(void)cli;
	for (size_t i = 0; (worker = json_array_get(workers, i)); i++) {
		busy = (double)number_of(worker, "busy_cycles");
		asleep = (double)number_of(worker, "asleep_cycles");
		all = busy + (double)number_of(worker, "idle_cycles") + asleep;
		frames = (double)number_of(worker, "frames");
		cell_number(t, worker, "worker");
		cell_number(t, worker, "cpu");
		cell_number(t, worker, "queues");
		cell_number(t, worker, "frames");
		table_cell(t, "%.1f %%", all > 0 ? 100 * busy / all : 0);
		if (frames > 0)
			table_cell(t, "%.0f", busy / frames);
		else
			table_cell(t, "-");
		cell_number(t, worker, "polls");
		cell_number(t, worker, "busy_polls");
		table_cell(t, "%s", text_of(worker, "idle"));
		table_cell(t, "%.1f %%", all > 0 ? 100 * asleep / all : 0);
		cell_number(t, worker, "sleeps");
	}
	table_print(t, stdout);
	table_free(t);
	worker_queues_print(workers);
}

/* This program's version comes first, and even when no switch answers. */
static json_t *version(struct cli *cli)
{
	json_t *result;

	if (!cli->json)
		printf("ringway %s\n", RINGWAY_VERSION);
	result = call(cli, "version", NULL);
	if (result)
		json_object_set_new(result, "client_version", json_string(RINGWAY_VERSION));
	return result;
}

static void version_print(const struct cli *cli, const json_t *result)
{
	(void)cli;
	printf("%s %s (%s)\n", text_of(result, "name"), text_of(result, "version"),
		text_of(result, "dpdk"));
}

static json_t *methods(struct cli *cli)
{
	return call(cli, "rpc.methods", NULL);
}

static void methods_print(const struct cli *cli, const json_t *answer)
{
	static const struct table_column columns[] = {{"METHOD", false}, {"HELP", false}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *list = json_object_get(answer, "methods"), *row;

	(void)cli;
	for (size_t i = 0; (row = json_array_get(list, i)); i++) {
		table_cell(t, "%s", text_of(row, "name"));
		table_cell(t, "%s", text_of(row, "help"));
	}
	table_print(t, stdout);
	table_free(t);
}

#define NAME_ (COMMAND_NAME | COMMAND_NEEDS_NAME)
#define PORT_ (COMMAND_PORT | COMMAND_NEEDS_PORT)

const struct command commands[] = {
	{"port", "list", 0, port_list, port_list_print, "port list",
		.help = "the ports and what is attached to them"},
	{"port", "show", NAME_, port_show, port_show_print, "port show NAME",
		.help = "one port: features, memory, rings, IOTLB, dirty log"},
	{"port", "stats", COMMAND_NAME | COMMAND_QUEUES | COMMAND_SINCE, port_stats,
		port_stats_print, "port stats [NAME] [--queues] [--since M]",
		.help = "frames, bytes and drops of each port"},
	{"port", "lag", COMMAND_NAME | COMMAND_QUEUES | COMMAND_SINCE, port_stats, port_lag_print,
		"port lag [NAME] [--queues] [--since M]",
		.help = "who is too slow, guest or switch; signals, link flaps"},
	{"port", "add", NAME_, port_add, port_add_print, "port add NAME socket=PATH [KEY=VALUE]...",
		.help = "a new port; as --port of ringwayd", .read = pairs_read},
	{"port", "del", NAME_, port_del, port_del_print, "port del NAME",
		.help = "end a port and its connection"},
	{"port", "set", NAME_, port_set, port_set_print, "port set NAME KEY=VALUE...",
		.help = "change a port: description, vlan, admin, isolated, ...",
		.read = pairs_read},
	{"bridge", "list", 0, bridge_list, bridge_list_print, "bridge list",
		.help = "the bridges and their ports"},
	{"bridge", "add", NAME_, bridge_add, bridge_add_print, "bridge add NAME",
		.help = "a new bridge; port set PORT bridge=NAME brings a port in"},
	{"bridge", "del", NAME_, bridge_del, bridge_del_print, "bridge del NAME",
		.help = "end a bridge without ports"},
	{"fdb", "list", 0, NULL, NULL, "fdb list [port=] [vlan=] [mac=]",
		.help = "the known addresses; also: bridge=, tpid=, static, learned",
		.read = fdb_filter_read, .run = fdb_list},
	{"fdb", "flush", COMMAND_PORT, fdb_flush, fdb_flush_print, "fdb flush [--port NAME]",
		.help = "forget learned addresses (of one port)"},
	{"fdb", "add", NAME_ | PORT_ | COMMAND_VLAN | COMMAND_REPLACE, fdb_add, fdb_add_print,
		"fdb add MAC --port NAME [--vlan ID]",
		.help = "a static entry: never ages, never moves"},
	{"fdb", "del", NAME_ | COMMAND_VLAN | COMMAND_BRIDGE, fdb_del, fdb_del_print,
		"fdb del MAC [--vlan ID]", .help = "forget one address, static or learned"},
	{"group", "list", 0, group_list, group_list_print, "group list",
		.help = "multicast groups, their routers and queriers"},
	{"worker", "list", 0, worker_list, worker_list_print, "worker list",
		.help = "the workers and how busy they are"},
	{"worker", "move", NAME_ | COMMAND_NEEDS_PLACE, worker_move, worker_move_print,
		"worker move PORT QUEUE WORKER",
		.help = "let another worker poll a queue; all numbered from 0"},
	{"worker", "balance", 0, worker_balance, worker_balance_print, "worker balance",
		.help = "move queues off busy workers, once"},
	{"rate", NULL, COMMAND_INTERVAL | COMMAND_COUNT, rate, rate_print,
		"rate [--interval S] [--count N]",
		.help = "frames, bits and drops in a second; busy workers"},
	{"top", NULL, COMMAND_INTERVAL | COMMAND_ONCE, NULL, NULL, "top [--interval S] [--once]",
		.help = "the same on the terminal, again and again", .run = top},
	{"monitor", NULL, COMMAND_PORT | COMMAND_COUNT, NULL, NULL,
		"monitor [KIND...] [--port NAME]",
		.help = "what happens: link, learned, moved, port, ...", .read = kinds_read,
		.run = monitor},
	{"mark", "add", NAME_, mark_add, mark_add_print, "mark add NAME",
		.help = "count from here on, with --since NAME"},
	{"mark", "list", 0, mark_list, mark_list_print, "mark list", .help = "the marks"},
	{"mark", "del", NAME_, mark_del, mark_del_print, "mark del NAME", .help = "forget a mark"},
	{"sizes", "start", 0, sizes_start, count_print, "sizes start [PORT...]",
		.help = "count sizes of frames (RFC 2819), from 0 on", .read = ports_read},
	{"sizes", "show", 0, sizes_show, sizes_show_print, "sizes show",
		.help = "frames of each size"},
	{"sizes", "stop", 0, sizes_stop, count_print, "sizes stop", .help = "count them no longer"},
	{"vlans", "start", 0, vlans_start, count_print, "vlans start [PORT...]",
		.help = "count frames, bytes and drops of each VLAN", .read = ports_read},
	{"vlans", "show", 0, vlans_show, vlans_show_print, "vlans show",
		.help = "frames, bytes and drops of each VLAN"},
	{"vlans", "stop", 0, vlans_stop, count_print, "vlans stop", .help = "count them no longer"},
	{"top-talkers", "start", 0, talkers_start, count_print, "top-talkers start [PORT...]",
		.help = "find out who sends most, and to whom", .read = ports_read},
	{"top-talkers", "show", 0, talkers_show, talkers_show_print, "top-talkers show [N]",
		.help = "the 20, or N, that sent most", .read = limit_read},
	{"top-talkers", "stop", 0, talkers_stop, count_print, "top-talkers stop",
		.help = "count them no longer"},
	{"latency", "start", 0, latency_start, count_print, "latency start [PORT...]",
		.help = "measure how long frames take through the switch", .read = ports_read},
	{"latency", "show", 0, latency_show, latency_show_print, "latency show [PORT...]",
		.help = "percentiles of each pair of ports", .read = ports_read},
	{"latency", "histogram", 0, latency_histogram, latency_histogram_print,
		"latency histogram [PORT...]", .help = "the histogram of each pair",
		.read = ports_read},
	{"latency", "stop", 0, latency_stop, count_print, "latency stop",
		.help = "measure no longer"},
	{"capture", NULL, COMMAND_CAPTURE | COMMAND_COUNT, NULL, NULL,
		"capture PORT... [FILTER] [-w FILE]",
		.help = "frames of ports, as lines or as a pcapng file", .read = capture_words,
		.run = capture},
	{"captures", NULL, 0, captures, captures_print, "captures",
		.help = "the captures that run, and what they lose"},
	{"mirror", "list", 0, mirror_list, mirror_list_print, "mirror list",
		.help = "the mirrors, what they copied and lost"},
	{"mirror", "add", NAME_ | COMMAND_MIRROR, mirror_add, mirror_add_print,
		"mirror add NAME --source PORTS --to PORT",
		.help = "copies of what ports send and receive, to a port"},
	{"mirror", "del", NAME_, mirror_del, mirror_del_print, "mirror del NAME",
		.help = "end a mirror"},
	{"trace", NULL, NAME_ | COMMAND_COUNT, NULL, NULL, "trace PORT [KEY=VALUE]... [--count N]",
		.help = "follow frames from a port: dst=, src=, vlan=, type=", .read = trace_read,
		.run = trace},
	{"explain", NULL, NAME_, explain, explain_print, "explain PORT dst=MAC [KEY=VALUE]...",
		.help = "what would become of a frame: src=, vlan=, type=, len=, ...",
		.read = explain_read},
	{"methods", NULL, 0, methods, methods_print, "methods",
		.help = "what the switch can be asked over its socket"},
	{"forward", "show", 0, forward_show, forward_print, "forward show",
		.help = "what is done with frames"},
	{"forward", "set", NAME_, forward_set, forward_print, "forward set MODE",
		.help = "switch, io, mac, macswap, rxonly or txonly"},
	{"forward", "start", 0, forward_start, forward_print, "forward start",
		.help = "go on taking frames"},
	{"forward", "stop", 0, forward_stop, forward_print, "forward stop",
		.help = "leave frames where the guests have them"},
	{"apply", NULL, NAME_ | COMMAND_DRY_RUN, config_apply, config_apply_print,
		"apply FILE [--dry-run]", .help = "make the switch what a document says"},
	{"config", "show", 0, config_show, config_show_print, "config show",
		.help = "all that is configured, as --config of ringwayd reads it"},
	{"config", "save", NAME_, NULL, NULL, "config save FILE", .help = "the same into a file",
		.run = config_save},
	{"backends", NULL, 0, backends, backends_print, "backends",
		.help = "the vhost-user back-ends that are installed here"},
	{"version", NULL, 0, version, version_print, "version",
		.help = "the versions of ringway and of the switch"},
};
const unsigned ncommands = RW_ARRAY_SIZE(commands);

static int ask_and_print(const struct command *command, struct cli *cli)
{
	json_t *result = command->ask(cli);

	if (!result)
		return -1;
	if (cli->json) {
		json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		putchar('\n');
	} else {
		command->print(cli, result);
	}
	json_decref(result);
	return 0;
}

int command_run(const struct command *command, struct cli *cli)
{
	int ret;

	do {
		ret = command->run ? command->run(cli) : ask_and_print(command, cli);
		cli->done++;
		/* Whoever reads them wants each at once, and nobody to go on when he has left. */
		if (!ret)
			ret = fflush(stdout);
	} while (!ret && cli->done != cli->count);
	json_decref(cli->before);
	return ret;
}
