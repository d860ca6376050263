/* SPDX-License-Identifier: BSD-3-Clause */
/* The process that runs, and hands over. See takeover.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "apply.h"
#include "daemon.h"
#include "helper.h"
#include "rpc.h"
#include "rw_log.h"
#include "takeover.h"
#include "takeover_state.h"
#include "version.h"

/* How long a successor may take to start, and how long a text of it may take to arrive. */
#define START_MS 120000
#define TEXT_MS  1000

/* The successor; one at a time. */
static struct {
	struct daemon *d;
	struct rw_watch watch;
	struct rw_timer expiry;
	bool active;
	int fd;
	pid_t pid;
	json_t *document; /* what was configured when it asked */
	struct vhost_port_state *states[OPTIONS_PORTS_MAX];
	unsigned ngiven;
	struct takeover_fds fds; /* of the text that is being sent */
	bool given;
} own;

bool takeover_given(void)
{
	return own.given;
}

/* The successor is not wanted any more, or has gone. */
static void successor_end(void)
{
	rw_loop_del(own.d->loop, &own.watch);
	rw_timer_stop(own.d->loop, &own.expiry);
	close(own.fd);
	json_decref(own.document);
	own.document = NULL;
	own.active = false;
}

/* ---- what hinders ---- */

static bool port_is_vhost(const struct daemon *d, unsigned i)
{
	return d->opt.ports[i].kind == &kind_vhost;
}

/* Why port `i` cannot be given, in `why`. False: nothing hinders. */
static bool port_hinders(const struct daemon *d, unsigned i, char *why, size_t len)
{
	const struct options_port *port = &d->opt.ports[i];
	const char *reason =
		"it is an uplink, whose device cannot be open in two processes; delete "
		"it first, or restart the switch";

	if (port->mode == OPTIONS_FD)
		reason = "it was given as --fd, by a program that knows this process alone";
	else if (port_is_vhost(d, i))
		reason = vhost_port_hindrance(d->ports[i].handle);
	if (reason)
		snprintf(why, len, "port %s: %s", port->name, reason);
	return reason;
}

static bool anything_hinders(const struct daemon *d, char *why, size_t len)
{
	if (apply_runs(d) || d->reload_due) {
		snprintf(why, len, "a configuration is being applied");
		return true;
	}
	for (unsigned i = 0; i < d->nports; i++) {
		if (port_hinders(d, i, why, len))
			return true;
	}
	return false;
}

/* ---- moving out ---- */

/* Memory for all that is given, touched before the workers stop. 0 or -ENOMEM. */
static int states_make(const struct daemon *d)
{
	for (unsigned i = 0; i < d->nports; i++) {
		own.states[i] = malloc(sizeof(*own.states[i]));
		if (!own.states[i])
			return -ENOMEM;
		vhost_state_init(own.states[i]);
	}
	return 0;
}

static void states_free(const struct daemon *d)
{
	for (unsigned i = 0; i < d->nports; i++) {
		if (own.states[i])
			vhost_state_free(own.states[i]);
		free(own.states[i]);
		own.states[i] = NULL;
	}
	own.ngiven = 0;
}

/* Undo what was given: all ports have their rings at rest, then all run, then the workers. */
static void take_back(struct daemon *d)
{
	for (unsigned i = 0; i < own.ngiven; i++) {
		int ret = vhost_port_take(d->ports[i].handle, own.states[i]);

		if (ret)
			rw_error("port %s has lost its front-end: %s", d->opt.ports[i].name,
				strerror(-ret));
	}
	for (unsigned i = 0; i < own.ngiven; i++) {
		vhost_port_run(d->ports[i].handle);
	}
	if (sw_start(d->sw))
		rw_error("the workers do not start again: restart the switch");
}

/* Move port `i` out and send it. 0; or -errno, and `why` says more. */
static int port_give(struct daemon *d, unsigned i, char *why, size_t len)
{
	struct vhost_port_state *st = own.states[i];
	struct takeover_fds *fds = &own.fds;
	const char *name = d->opt.ports[i].name;
	/* Before its link goes with its rings. */
	json_t *link = takeover_link_write(d->sw, d->ports[i].port);
	int ret = vhost_port_give(d->ports[i].handle, st);

	if (ret) {
		json_decref(link);
		snprintf(why, len, "port %s: %s", name, strerror(-ret));
		return ret;
	}
	own.ngiven++;
	fds->n = 0;
	ret = takeover_send(own.fd,
		json_pack("{s:s, s:s, s:o, s:o, s:o}", "step", "port", "name", name, "state",
			takeover_state_write(st, fds), "counters",
			takeover_counters_write(d->ports[i].port), "link", link),
		fds, TAKEOVER_PATIENCE_MS);
	if (ret)
		snprintf(why, len, "the successor: %s", strerror(-ret));
	return ret;
}

/* What is not a port's. 0 or -errno. */
static int rest_give(struct daemon *d, uint64_t stopped_ns)
{
	const struct ctl_listener at = ctl_server_listener(d->control);
	struct takeover_fds fds = {.n = 0};
	uint64_t watchdog_us;
	int notify = takeover_fd_add(&fds, notify_fd(&watchdog_us));
	json_t *rest = json_pack("{s:s, s:i, s:I, s:i, s:I, s:I, s:I, s:I, s:i, s:i, s:b}", "step",
		"rest", "notify", notify, "watchdog_us", (json_int_t)watchdog_us, "control",
		takeover_fd_add(&fds, at.fd), "control_dev", (json_int_t)at.id.dev, "control_ino",
		(json_int_t)at.id.ino, "stopped_ns", (json_int_t)stopped_ns, "settle_ms",
		(json_int_t)state_fdb_settles_in(d), "ports", (int)d->nports, "pidfile",
		takeover_fd_add(&fds, d->pidfile.fd), "forwards", sw_forward_runs(d->sw));

	return takeover_send(own.fd, rest, &fds, TAKEOVER_PATIENCE_MS);
}

/* Wait for the successor to say that step. 0; or -errno, and `why` says more. */
static int hear(const char *wanted, char *why, size_t len)
{
	struct takeover_fds fds;
	const char *step, *said;
	json_t *text;
	int ret = takeover_receive(own.fd, &text, &fds, TAKEOVER_PATIENCE_MS);

	if (ret) {
		snprintf(why, len, "the successor: %s",
			ret == -ECONNRESET ? "it has ended" : strerror(-ret));
		return ret;
	}
	takeover_fds_close(&fds);
	step = json_string_value(json_object_get(text, "step"));
	said = json_string_value(json_object_get(text, "why"));
	if (!step || strcmp(step, wanted)) {
		snprintf(why, len, "the successor refuses: %s", said ? said : "no reason given");
		ret = -ECANCELED;
	}
	json_decref(text);
	return ret;
}

static int addresses_give(const struct daemon *d)
{
	uint32_t cursor = 0;
	int ret = 0;

	while (!ret && cursor != FDB_CURSOR_END)
		ret = takeover_send(own.fd,
			json_pack("{s:s, s:I, s:o}", "step", "addresses", "clock",
				(json_int_t)sw_clock_start(d->sw), "entries",
				takeover_fdb_write(d, &cursor)),
			NULL, TAKEOVER_PATIENCE_MS);
	return ret;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* All that can be done while frames still go; after it the successor waits for ports. As above. */
static int rest_prepare(struct daemon *d, char *why, size_t len)
{
	int ret = states_make(d);

	snprintf(why, len, "%s", strerror(ENOMEM));
	if (!ret) {
		snprintf(why, len, "the successor does not read");
		ret = addresses_give(d);
	}
	if (!ret)
		ret = takeover_send(
			own.fd, json_pack("{s:s}", "step", "ready"), NULL, TAKEOVER_PATIENCE_MS);
	if (!ret)
		ret = hear("ready", why, len);
	if (ret)
		return ret;
	snprintf(why, len, "the helper process does not answer");
	return helper_keep(true);
}

/* From the stop of the workers to the point of no return. 0 or -errno; `why`. */
static int ports_give(struct daemon *d, char *why, size_t len)
{
	uint64_t stopped_ns;
	int ret = 0;

	sw_inject_wait(d->sw);
	stopped_ns = now_ns();
	sw_stop(d->sw);
	for (unsigned i = 0; !ret && i < d->nports; i++)
		ret = port_give(d, i, why, len);
	if (!ret) {
		snprintf(why, len, "the successor does not read");
		ret = rest_give(d, stopped_ns);
	}
	if (!ret)
		ret = hear("taken", why, len);
	if (!ret) {
		snprintf(why, len, "the successor has ended");
		notify_main(own.pid);
		ret = takeover_send(
			own.fd, json_pack("{s:s}", "step", "go"), NULL, TAKEOVER_PATIENCE_MS);
		if (ret)
			notify_main(getpid());
	}
	if (ret)
		take_back(d);
	return ret;
}

static int all_give(struct daemon *d, char *why, size_t len)
{
	int ret = rest_prepare(d, why, len);

	if (!ret)
		ret = ports_give(d, why, len);
	if (ret)
		helper_keep(false);
	states_free(d);
	return ret;
}

/* The successor is ready. */
static void take_wanted(struct daemon *d)
{
	json_t *now = options_document(&d->opt);
	bool same = json_equal(now, own.document);
	char why[256] = "the configuration has changed meanwhile";
	int pid = (int)own.pid;

	json_decref(now);
	if (!same || anything_hinders(d, why, sizeof(why))) {
		takeover_send(own.fd,
			json_pack("{s:s, s:o}", "step", "refused", "why",
				json_sprintf("busy: %s; try again", why)),
			NULL, TEXT_MS);
		rw_warning("takeover by process %d refused: %s", pid, why);
	} else if (all_give(d, why, sizeof(why))) {
		rw_warning("takeover by process %d failed, this process goes on: %s", pid, why);
	} else {
		rw_info("process %d has taken over", pid);
		own.given = true;
		state_fdb_leave(d);
		rw_loop_quit(d->loop);
	}
	successor_end();
}

/* ---- the conversation ---- */

static void files_wanted(const struct daemon *d)
{
	struct takeover_fds fds = {.n = 0};
	int rings = takeover_fd_add(&fds, d->rings_fd), fdb = takeover_fd_add(&fds, d->fdb.fd);
	json_t *files = json_pack("{s:s, s:i, s:i}", "step", "files", "rings", rings, "fdb", fdb);

	if (takeover_send(own.fd, files, &fds, TEXT_MS))
		successor_end();
}

/* The memory of all front-ends, for the successor to map ahead. */
static void memory_wanted(const struct daemon *d)
{
	struct vu_export_region regions[GM_MAX_REGIONS];
	int ret = 0;

	for (unsigned i = 0; i < d->nports && !ret; i++) {
		bool any_file;
		uint32_t n = port_is_vhost(d, i)
			? vhost_port_regions(d->ports[i].handle, regions, &any_file)
			: 0;

		if (!n)
			continue;
		own.fds.n = 0;
		ret = takeover_send(own.fd,
			json_pack("{s:s, s:s, s:b, s:o}", "step", "memory", "name",
				d->opt.ports[i].name, "any_file", any_file, "memory",
				takeover_regions_write(regions, n, &own.fds)),
			&own.fds, TEXT_MS);
	}
	if (!ret)
		ret = takeover_send(own.fd, json_pack("{s:s}", "step", "prepared"), NULL, TEXT_MS);
	if (ret)
		successor_end();
}

static void successor_speaks(void *arg, uint32_t events)
{
	struct daemon *d = arg;
	struct takeover_fds fds;
	const char *step;
	json_t *text;

	(void)events;
	if (takeover_receive(own.fd, &text, &fds, TEXT_MS)) {
		rw_warning(
			"takeover by process %d: it has ended before it was ready", (int)own.pid);
		successor_end();
		return;
	}
	takeover_fds_close(&fds);
	step = json_string_value(json_object_get(text, "step"));
	if (step && !strcmp(step, "files"))
		files_wanted(d);
	else if (step && !strcmp(step, "prepare"))
		memory_wanted(d);
	else if (step && !strcmp(step, "take"))
		take_wanted(d);
	else
		successor_end();
	json_decref(text);
}

static void successor_late(void *arg)
{
	(void)arg;
	rw_warning("takeover by process %d: it was not ready in time", (int)own.pid);
	successor_end();
}

static pid_t peer_pid(int fd)
{
	struct ucred peer = {.pid = 0};
	socklen_t len = sizeof(peer);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	return peer.pid;
}

/* The caller's connection is the successor's. 0 or -errno. */
static int successor_begin(struct daemon *d)
{
	int ret, fd = d->control ? ctl_take_caller(d->control) : -ENOTCONN;

	if (fd < 0)
		return fd;
	own.watch = (struct rw_watch){.fn = successor_speaks, .arg = d};
	ret = rw_loop_add(d->loop, &own.watch, fd, EPOLLIN);
	if (ret) {
		close(fd);
		return ret;
	}
	own.d = d;
	own.fd = fd;
	own.pid = peer_pid(fd);
	own.document = options_document(&d->opt);
	own.expiry = (struct rw_timer){.fn = successor_late};
	rw_timer_start(d->loop, &own.expiry, START_MS, 0);
	own.active = true;
	return 0;
}

json_t *rpc_takeover(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	json_int_t version = json_integer_value(json_object_get(params, "version"));
	json_int_t reads = json_integer_value(json_object_get(params, "reads"));
	struct daemon *d = ctx;
	char why[256];
	int ret;

	if (version < TAKEOVER_READS || TAKEOVER_VERSION < reads)
		return ctl_fail(fail, CTL_ERR_FAILED,
			"ringwayd %s hands over in version %d, and in none before %d: restart the "
			"switch instead",
			RINGWAY_VERSION, TAKEOVER_VERSION, TAKEOVER_READS);
	if (own.active)
		return ctl_fail(fail, CTL_ERR_FAILED, "busy: process %d is taking over; try again",
			(int)own.pid);
	if (anything_hinders(d, why, sizeof(why)))
		return ctl_fail(fail, CTL_ERR_FAILED, "busy: %s", why);
	ret = successor_begin(d);
	if (ret)
		return ctl_fail(fail, CTL_ERR_FAILED, "%s", strerror(-ret));
	return json_pack("{s:i, s:i, s:s, s:i, s:O, s:o, s:o, s:s?, s:b, s:b}", "version",
		TAKEOVER_VERSION, "reads", TAKEOVER_READS, "ringwayd", RINGWAY_VERSION, "pid",
		(int)getpid(), "config", own.document, "words", options_words(&d->opt),
		"ports_of_words", options_ports_of_words(&d->opt), "config_file",
		options_config_is_file(&d->opt) ? d->opt.config : NULL, "control_is_default",
		d->opt.control_is_default, "huge", d->huge);
}
