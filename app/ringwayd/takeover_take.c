/* SPDX-License-Identifier: BSD-3-Clause */
/* The successor. See takeover.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "helper.h"
#include "rw_log.h"
#include "rw_signal.h"
#include "takeover.h"
#include "takeover_state.h"

/* How long the running process may take for an answer, milliseconds. */
#define ANSWER_MS 30000

static struct {
	int fd;       /* to the running process; -1: closed */
	int rings_fd; /* -1: none */
	int fdb_fd;   /* -1: none */
	int pid;
	bool huge;
	uint64_t stopped_ns;
	struct ctl_listener control;
	int pidfile_fd; /* -1: none */
	int notify_fd;  /* -1: none */
	uint64_t watchdog_us;
	uint64_t settle_ms; /* of state_fdb_go_on */
	bool forwards;
	struct sw_link links[OPTIONS_PORTS_MAX]; /* of the ports, before they moved */
	bool came[OPTIONS_PORTS_MAX];
	struct vhost_port_state *st; /* of the port that comes */
	struct takeover_fds fds;     /* of its text */
} own = {.fd = -1,
	.rings_fd = -1,
	.fdb_fd = -1,
	.control.fd = -1,
	.pidfile_fd = -1,
	.notify_fd = -1};

int takeover_rings_fd(void)
{
	return own.rings_fd;
}

int takeover_fdb_fd(void)
{
	return own.fdb_fd;
}

bool takeover_wants_huge(void)
{
	return own.huge;
}

void takeover_end(void)
{
	if (own.fd >= 0)
		close(own.fd);
	own.fd = -1;
}

static const char *text_of(const json_t *from, const char *key)
{
	const char *text = json_string_value(json_object_get(from, key));

	return text ? text : "";
}

static int say(const char *step)
{
	return takeover_send(own.fd, json_pack("{s:s}", "step", step), NULL, ANSWER_MS);
}

/* ---- before the start ---- */

/* What the running process has open for its state. 0 or -errno. */
static int files_ask(void)
{
	struct takeover_fds fds;
	json_t *text;
	int ret = say("files");

	if (!ret)
		ret = takeover_receive(own.fd, &text, &fds, ANSWER_MS);
	if (ret)
		return ret;
	own.rings_fd = takeover_fd_take(&fds, json_integer_value(json_object_get(text, "rings")));
	if (json_object_get(text, "fdb"))
		own.fdb_fd = takeover_fd_take(
			&fds, json_integer_value(json_object_get(text, "fdb")));
	takeover_fds_close(&fds);
	json_decref(text);
	return 0;
}

static int answer_take(struct daemon *d, const json_t *answer, char *err, size_t errlen)
{
	const struct options_running running = {
		.document = json_object_get(answer, "config"),
		.words = json_object_get(answer, "words"),
		.ports_of_words = json_object_get(answer, "ports_of_words"),
		.config = json_string_value(json_object_get(answer, "config_file")),
		.control_is_default = json_is_true(json_object_get(answer, "control_is_default")),
	};
	int ret;

	if (json_integer_value(json_object_get(answer, "version")) < TAKEOVER_READS ||
		json_integer_value(json_object_get(answer, "reads")) > TAKEOVER_VERSION) {
		snprintf(err, errlen, "--takeover=%s: ringwayd %s is too old or too new",
			d->opt.takeover, text_of(answer, "ringwayd"));
		return -EPROTONOSUPPORT;
	}
	own.pid = (int)json_integer_value(json_object_get(answer, "pid"));
	own.huge = json_is_true(json_object_get(answer, "huge"));
	ret = files_ask();
	if (ret) {
		snprintf(err, errlen, "--takeover=%s: %s", d->opt.takeover, strerror(-ret));
		return ret;
	}
	return options_take(&d->opt, &running, err, errlen);
}

int takeover_begin(struct daemon *d, char *err, size_t errlen)
{
	json_t *params = json_pack(
		"{s:i, s:i}", "version", TAKEOVER_VERSION, "reads", TAKEOVER_READS);
	struct ctl_failure fail;
	json_t *answer = NULL;
	int ret;

	own.fd = rw_sock_connect(d->opt.takeover);
	if (own.fd < 0) {
		ret = own.fd;
		snprintf(err, errlen, "--takeover=%s: %s", d->opt.takeover, rw_sock_strerror(ret));
		json_decref(params);
		return ret;
	}
	answer = ctl_call(own.fd, "takeover", params, ANSWER_MS, &fail);
	json_decref(params);
	if (!answer) {
		snprintf(err, errlen, "--takeover=%s: %s", d->opt.takeover, fail.message);
		return -ECANCELED;
	}
	ret = answer_take(d, answer, err, errlen);
	json_decref(answer);
	return ret;
}

/* ---- ahead of the ports ---- */

/* Map a front-end's memory. What goes wrong goes wrong again, and is told, when its port comes. */
static void memory_take(struct daemon *d, const json_t *text)
{
	struct vu_export_region regions[GM_MAX_REGIONS];
	int index = daemon_port_find(d, text_of(text, "name"));
	const json_t *memory = json_object_get(text, "memory");
	bool any_file = json_is_true(json_object_get(text, "any_file"));
	uint32_t n;

	for (unsigned i = 0; i < GM_MAX_REGIONS; i++)
		regions[i].fd = -1;
	if (index >= 0 && d->opt.ports[index].kind == &kind_vhost &&
		!takeover_regions_read(memory, regions, &n, &own.fds))
		vhost_port_prepare(d->ports[index].handle, regions, n, any_file);
	for (unsigned i = 0; i < GM_MAX_REGIONS; i++) {
		if (regions[i].fd >= 0)
			close(regions[i].fd);
	}
}

/* What takes time is made before the workers of the running process stop. 0 or -errno. */
static int all_prepare(struct daemon *d)
{
	bool over = false;
	json_t *text;
	int ret;

	own.st = malloc(sizeof(*own.st));
	if (!own.st)
		return -ENOMEM;
	vhost_state_init(own.st);
	/*
	 * A worker may make no file: what all threads signal with is there before the first of them
	 * does. Otherwise the message that brings an eventfd sees to it. Without AIO all goes on.
	 */
	rw_foreign_signal_prepare();
	ret = say("prepare");
	while (!ret && !over) {
		ret = takeover_receive(own.fd, &text, &own.fds, ANSWER_MS);
		if (ret)
			break;
		over = strcmp(text_of(text, "step"), "memory");
		if (!over)
			memory_take(d, text);
		takeover_fds_close(&own.fds);
		json_decref(text);
	}
	return ret;
}

/* ---- the ports ---- */

static int refuse(char *why, size_t len, const char *port, const char *what)
{
	snprintf(why, len, "port %s: %s", port, what);
	return -EPROTO;
}

static int port_take(
	struct daemon *d, const json_t *text, struct takeover_fds *fds, char *why, size_t len)
{
	const char *name = text_of(text, "name"), *wrong;
	int ret, index = daemon_port_find(d, name);
	struct vhost_port_state *st = own.st;

	if (index < 0 || d->opt.ports[index].kind != &kind_vhost)
		return refuse(why, len, name, "there is none here");
	if (own.came[index])
		return refuse(why, len, name, "it came twice");
	own.came[index] = true;
	wrong = takeover_state_read(json_object_get(text, "state"), st, fds);
	if (wrong) {
		snprintf(why, len, "port %s: \"%s\" is missing or wrong in its state", name, wrong);
		ret = -EPROTO;
	} else {
		ret = vhost_port_take(d->ports[index].handle, st);
		if (!ret)
			ret = takeover_counters_read(
				json_object_get(text, "counters"), d->ports[index].port);
		own.links[index] = takeover_link_read(json_object_get(text, "link"));
		if (ret)
			refuse(why, len, name, strerror(-ret));
	}
	vhost_state_free(st);
	return ret;
}

static int rest_take(const struct daemon *d, const json_t *text, struct takeover_fds *fds,
	unsigned nports, char *why, size_t len)
{
	own.control = (struct ctl_listener){
		.fd = takeover_fd_take(fds, json_integer_value(json_object_get(text, "control"))),
		.path = d->opt.control,
		.id = {(dev_t)json_integer_value(json_object_get(text, "control_dev")),
			(ino_t)json_integer_value(json_object_get(text, "control_ino"))}};
	own.pidfile_fd = takeover_fd_take(
		fds, json_integer_value(json_object_get(text, "pidfile")));
	own.notify_fd = takeover_fd_take(fds, json_integer_value(json_object_get(text, "notify")));
	own.watchdog_us = (uint64_t)json_integer_value(json_object_get(text, "watchdog_us"));
	own.stopped_ns = (uint64_t)json_integer_value(json_object_get(text, "stopped_ns"));
	own.settle_ms = (uint64_t)json_integer_value(json_object_get(text, "settle_ms"));
	own.forwards = !json_is_false(json_object_get(text, "forwards"));
	if (own.control.fd >= 0 && nports == d->nports)
		return 0;
	snprintf(why, len, "it has %u of %u ports, and %s control socket", nports, d->nports,
		own.control.fd >= 0 ? "a" : "no");
	return -EPROTO;
}

/* Take all that comes, up to the rest. 0; or -errno, and `why`. */
static int all_take(struct daemon *d, char *why, size_t len)
{
	struct takeover_fds *fds = &own.fds;
	unsigned nports = 0;
	bool over = false;
	json_t *text;
	int ret = 0;

	while (!ret && !over) {
		const char *step;

		snprintf(why, len, "the running process says nothing more");
		ret = takeover_receive(own.fd, &text, fds, ANSWER_MS);
		if (ret)
			break;
		step = text_of(text, "step");
		over = !strcmp(step, "rest");
		if (!strcmp(step, "addresses")) {
			sw_clock_set(d->sw,
				(uint64_t)json_integer_value(json_object_get(text, "clock")));
			takeover_fdb_read(d, json_object_get(text, "entries"));
		} else if (!strcmp(step, "ready")) {
			ret = say("ready");
		} else if (!strcmp(step, "port")) {
			ret = port_take(d, text, fds, why, len);
			nports++;
		} else if (over) {
			ret = rest_take(d, text, fds, nports, why, len);
		} else {
			snprintf(why, len, "%s", text_of(text, "why"));
			ret = -EBUSY;
		}
		takeover_fds_close(fds);
		json_decref(text);
	}
	return ret;
}

/* Say that all is here, and wait for the word that it is ours. 0 or -errno. */
static int go_wait(void)
{
	struct takeover_fds fds;
	json_t *text;
	int ret = say("taken");

	if (!ret)
		ret = takeover_receive(own.fd, &text, &fds, ANSWER_MS);
	if (ret)
		return ret;
	takeover_fds_close(&fds);
	ret = strcmp(text_of(text, "step"), "go") ? -ECANCELED : 0;
	json_decref(text);
	return ret;
}

/* ---- behind the point of no return: nothing may fail any more, only be told ---- */

static void files_adopt(struct daemon *d)
{
	int ret;

	d->control = ctl_server_take(d->loop, &own.control, rpc_methods, rpc_nmethods, d);
	events_begin(d);
	ret = d->control ? helper_adopt(d->opt.control, own.control.fd, &own.control.id) : -errno;
	if (ret)
		rw_warning("the control socket %s: %s", d->opt.control, strerror(-ret));
	if (own.pidfile_fd >= 0)
		ret = pidfile_take(&d->pidfile, d->opt.pidfile, own.pidfile_fd);
	if (own.pidfile_fd >= 0 && ret)
		rw_warning("--pidfile=%s: %s", d->opt.pidfile, strerror(-ret));
	for (unsigned i = 0; i < d->nports; i++) {
		struct rw_sock_id file;
		int fd = vhost_port_listener(d->ports[i].handle, &file);

		ret = fd < 0 ? 0 : helper_adopt(d->opt.ports[i].path, fd, &file);
		if (ret)
			rw_warning("port %s: its socket %s stays behind when it ends: %s",
				d->opt.ports[i].name, d->opt.ports[i].path, strerror(-ret));
	}
}

int takeover_finish(struct daemon *d)
{
	char why[256] = "the running process has ended";
	int ret = all_prepare(d);

	if (!ret)
		ret = say("take");
	if (!ret)
		ret = all_take(d, why, sizeof(why));
	if (ret)
		takeover_send(own.fd, json_pack("{s:s, s:s}", "step", "refused", "why", why), NULL,
			ANSWER_MS);
	else
		ret = go_wait();
	if (ret) {
		rw_error("--takeover=%s: %s: %s; process %d goes on", d->opt.takeover, why,
			strerror(-ret), own.pid);
		return ret;
	}
	if (!own.forwards)
		sw_forward_set(d->sw, sw_forward_mode(d->sw), false);
	for (unsigned i = 0; i < d->nports; i++)
		vhost_port_run(d->ports[i].handle);
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void takeover_tell(struct daemon *d)
{
	uint64_t us = (now_ns() - own.stopped_ns) / 1000;
	struct sw_worker_stats stats;
	unsigned queues = 0;

	for (unsigned i = 0; i < sw_nworkers(d->sw); i++) {
		sw_worker_read(d->sw, i, &stats);
		queues += stats.queues;
	}
	rw_info("took over %u port(s) from process %d: each of %u queue(s) rested for %ju.%03ju ms",
		d->nports, own.pid, queues, (uintmax_t)(us / 1000), (uintmax_t)(us % 1000));
	/* That they came here is no change. */
	for (unsigned i = 0; i < d->nports; i++)
		sw_link_set(d->sw, d->ports[i].port, &own.links[i]);
	files_adopt(d);
	state_fdb_go_on(d, own.settle_ms);
	if (own.notify_fd >= 0)
		notify_take(own.notify_fd, own.watchdog_us);
	takeover_end();
}
