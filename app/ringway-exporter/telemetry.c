/* SPDX-License-Identifier: BSD-3-Clause */
#include "telemetry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "rw_base.h"
#include "version.h"

#define COMMAND_MAX 1024 /* bytes of one, as with DPDK */

struct client {
	struct telemetry *t;
	struct rw_watch watch;
};

struct telemetry {
	struct rw_loop *loop;
	struct source *source;
	struct rw_watch listener;
	unsigned next; /* whose place the next client takes */
	struct client clients[TELEMETRY_CLIENTS_MAX];
};

/* ---- commands ---- */

/* The element of a list of the reading whose name is `name`; NULL: there is none. */
static json_t *row_of(const json_t *reading, const char *list, const char *name)
{
	json_t *rows = json_object_get(reading, list), *row;
	const char *text;

	for (size_t i = 0; (row = json_array_get(rows, i)); i++) {
		text = json_string_value(json_object_get(row, "name"));
		if (text && !strcmp(text, name))
			return row;
	}
	return NULL;
}

static json_t *names_of(const json_t *reading, const char *list)
{
	json_t *rows = json_object_get(reading, list), *names = json_array();

	for (size_t i = 0; i < json_array_size(rows); i++)
		json_array_append(names, json_object_get(json_array_get(rows, i), "name"));
	return names;
}

static json_t *answer_ports(const json_t *reading, const char *param)
{
	(void)param;
	return names_of(reading, "ports");
}

static json_t *answer_bridges(const json_t *reading, const char *param)
{
	(void)param;
	return names_of(reading, "bridges");
}

static json_t *answer_port(const json_t *reading, const char *param)
{
	return json_incref(row_of(reading, "ports", param));
}

static json_t *answer_stats(const json_t *reading, const char *param)
{
	return json_incref(row_of(reading, "stats", param));
}

static json_t *answer_sizes(const json_t *reading, const char *param)
{
	return json_incref(row_of(reading, "sizes", param));
}

static json_t *answer_vlans(const json_t *reading, const char *param)
{
	(void)param;
	return json_incref(json_object_get(reading, "vlans"));
}

/* Without its histograms. */
static json_t *answer_latency(const json_t *reading, const char *param)
{
	const json_t *rows = json_object_get(reading, "latency");
	json_t *pairs = rows ? json_array() : NULL, *pair;

	(void)param;
	for (size_t i = 0; i < json_array_size(rows); i++) {
		pair = json_copy(json_array_get(rows, i));
		json_object_del(pair, "histogram");
		json_array_append_new(pairs, pair);
	}
	return pairs;
}

static json_t *answer_workers(const json_t *reading, const char *param)
{
	(void)param;
	return json_incref(json_object_get(reading, "workers"));
}

/* Without the entries of its first page. */
static json_t *counts_of(const json_t *reading, const char *key)
{
	json_t *counts = json_copy(json_object_get(reading, key));

	json_object_del(counts, "entries");
	json_object_del(counts, "next");
	return counts;
}

static json_t *answer_fdb(const json_t *reading, const char *param)
{
	(void)param;
	return counts_of(reading, "fdb");
}

static json_t *answer_groups(const json_t *reading, const char *param)
{
	(void)param;
	return counts_of(reading, "groups");
}

static json_t *answer_up(const json_t *reading, const char *param)
{
	(void)param;
	return json_pack("{s:O, s:O*}", "up", json_object_get(reading, "up"), "error",
		json_object_get(reading, "error"));
}

static json_t *answer_info(const json_t *reading, const char *param)
{
	(void)reading, (void)param;
	return json_pack("{s:s, s:i, s:i}", "version", "ringway-exporter " RINGWAY_VERSION, "pid",
		(int)getpid(), "max_output_len", (int)TELEMETRY_OUTPUT_MAX);
}

static json_t *answer_commands(const json_t *reading, const char *param);
static json_t *answer_help(const json_t *reading, const char *param);

/* `answer` returns a new reference, or NULL: there is nothing to say. */
static const struct command {
	const char *name;
	json_t *(*answer)(const json_t *reading, const char *param);
	const char *help;
} commands[] = {
	{"/", answer_commands, "Lists the commands."},
	{"/help", answer_help, "Says what a command does. Parameter: a command."},
	{"/info", answer_info, "The program that answers."},
	{"/ringway/bridges", answer_bridges, "The names of the bridges."},
	{"/ringway/fdb", answer_fdb, "How many addresses are known."},
	{"/ringway/groups", answer_groups, "How many multicast groups are known."},
	{"/ringway/latency", answer_latency,
		"Latency of each pair of ports, while it is measured."},
	{"/ringway/port", answer_port, "A port: link, VLANs, budgets. Parameter: its name."},
	{"/ringway/ports", answer_ports, "The names of the ports."},
	{"/ringway/sizes", answer_sizes,
		"Frames of a port by size, while they are counted. Parameter: its name."},
	{"/ringway/stats", answer_stats, "The counters of a port. Parameter: its name."},
	{"/ringway/up", answer_up, "Whether the switch answers."},
	{"/ringway/vlans", answer_vlans, "Frames of each VLAN, while they are counted."},
	{"/ringway/workers", answer_workers, "The workers and what they poll."},
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static json_t *answer_commands(const json_t *reading, const char *param)
{
	json_t *list = json_array();

	(void)reading, (void)param;
	for (size_t i = 0; i < RW_ARRAY_SIZE(commands); i++)
		json_array_append_new(list, json_string(commands[i].name));
	return list;
}

static json_t *answer_help(const json_t *reading, const char *param)
{
	const struct command *command = command_find(param);

	(void)reading;
	return command ? json_pack("{s:s}", command->name, command->help) : NULL;
}

/* The answer to a packet: {COMMAND: ...}, as a new reference. */
static json_t *answer(struct source *source, const char *packet)
{
	char name[COMMAND_MAX + 1] = "";
	const char *comma = strchr(packet, ',');
	const struct command *command;
	json_t *reading, *value = NULL, *all = json_object();

	strncat(name, packet, comma ? (size_t)(comma - packet) : COMMAND_MAX);
	command = command_find(name);
	if (command) {
		reading = source_reading(source);
		value = command->answer(reading, comma ? comma + 1 : "");
		json_decref(reading);
	}
	/* A name that is no UTF-8 is none of ours. */
	if (json_object_set_new(all, name, value ? value : json_null()))
		json_object_set_new(all, "", json_null());
	return all;
}

/* ---- clients ---- */

static void client_end(struct client *c)
{
	int fd = c->watch.fd;

	if (!c->watch.active)
		return;
	rw_loop_del(c->t->loop, &c->watch);
	close(fd);
}

/* `value` is taken over. A client that takes no more loses the connection. */
static void client_send(struct client *c, json_t *value, const char *name)
{
	char *text = json_dumps(value, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;

	json_decref(value);
	if (len > TELEMETRY_OUTPUT_MAX) {
		free(text);
		value = json_pack("{s:n}", name);
		text = json_dumps(value, JSON_COMPACT);
		len = text ? strlen(text) : 0;
		json_decref(value);
	}
	if (!len || send(c->watch.fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		client_end(c);
	free(text);
}

static void client_ready(void *arg, uint32_t events)
{
	struct client *c = arg;
	char packet[COMMAND_MAX + 1];
	json_t *value;
	ssize_t n = recv(c->watch.fd, packet, COMMAND_MAX, MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_end(c);
		return;
	}
	packet[n] = 0;
	value = answer(c->t->source, packet);
	packet[strcspn(packet, ",")] = 0;
	client_send(c, value, packet);
}

static void listener_ready(void *arg, uint32_t events)
{
	struct telemetry *t = arg;
	struct client *c = &t->clients[t->next];
	int fd = accept4(t->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	t->next = (t->next + 1) % TELEMETRY_CLIENTS_MAX;
	client_end(c);
	if (rw_loop_add(t->loop, &c->watch, fd, EPOLLIN))
		close(fd);
	else
		client_send(c, answer_info(NULL, ""), "");
}

/* ---- the socket ---- */

/* A listening descriptor, or -1 with errno set. */
static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, ret;
	mode_t mask;
	struct stat st;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* What an exporter left behind goes; what somebody serves, or is no socket, stays. */
	if (!lstat(path, &st) && S_ISSOCK(st.st_mode) &&
		connect(fd, (const struct sockaddr *)&address, sizeof(address)) &&
		errno == ECONNREFUSED)
		unlink(path);
	close(fd);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	mask = umask(077);
	ret = bind(fd, (const struct sockaddr *)&address, sizeof(address)) ||
		listen(fd, TELEMETRY_CLIENTS_MAX);
	umask(mask);
	if (!ret)
		return fd;
	ret = errno;
	close(fd);
	errno = ret;
	return -1;
}

struct telemetry *telemetry_new(struct rw_loop *loop, const char *path, struct source *source)
{
	struct telemetry *t;
	int fd = listen_at(path), ret;

	if (fd < 0)
		return NULL;
	t = calloc(1, sizeof(*t));
	ret = t ? 0 : -ENOMEM;
	if (t) {
		*t = (struct telemetry){.loop = loop, .source = source};
		for (size_t i = 0; i < TELEMETRY_CLIENTS_MAX; i++)
			t->clients[i] = (struct client){
				t, {.fn = client_ready, .arg = &t->clients[i]}};
		t->listener = (struct rw_watch){.fn = listener_ready, .arg = t};
		ret = rw_loop_add(loop, &t->listener, fd, EPOLLIN);
	}
	if (!ret)
		return t;
	close(fd);
	free(t);
	errno = -ret;
	return NULL;
}

void telemetry_free(struct telemetry *t)
{
	int fd;

	if (!t)
		return;
	for (size_t i = 0; i < TELEMETRY_CLIENTS_MAX; i++)
		client_end(&t->clients[i]);
	fd = t->listener.fd;
	rw_loop_del(t->loop, &t->listener);
	close(fd);
	free(t);
}
