/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ringwayd: reads its options, brings up the workers, opens the ports and the control socket, and
 * serves them until SIGTERM, SIGINT or SIGHUP (which with --config has it read that file again).
 * Exit status: 0 asked to stop, 1 cannot run here, 2 a mistake on the command line.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "apply.h"
#include "gm_guard.h"
#include "rw_helper.h"
#include "rw_log.h"
#include "rw_sock.h"
#include "rw_text.h"
#include "sw_balance.h"
#include "sw_snoop.h"
#include "takeover.h"
#include "version.h"

#define EXIT_CANNOT  1
#define EXIT_MISTAKE 2

#define AGEING_MS 1000
#define ARENAS    4 /* of malloc: threads other than control allocate little */

static void signal_ready(void *arg, uint32_t events)
{
	struct daemon *d = arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(d->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP && d->opt.config[0]) {
		notify_reloading();
		apply_config_file(d);
		return;
	}
	rw_info("stopping: %s", strsignal((int)info.ssi_signo));
	rw_loop_quit(d->loop);
}

/*
 * SIGTERM, SIGINT and SIGHUP arrive in the loop; workers inherit the mask, so they are never
 * interrupted. nohup(1) ignores SIGHUP, and so do we then.
 */
static int signals_begin(struct daemon *d)
{
	struct sigaction hangup = {.sa_handler = SIG_DFL};
	sigset_t set;
	int fd, ret;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN)
		sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return -EINVAL;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	d->signals.fn = signal_ready;
	d->signals.arg = d;
	ret = rw_loop_add(d->loop, &d->signals, fd, EPOLLIN);
	if (ret)
		close(fd);
	return ret;
}

static void signals_end(struct daemon *d)
{
	int fd = d->signals.fd;

	if (!d->signals.active)
		return;
	rw_loop_del(d->loop, &d->signals);
	close(fd);
}

/* Each queue pair takes four descriptors and each region one: allow what the system allows. */
static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim))
		rw_debug("cannot raise the limit of open files: %s", strerror(errno));
}

/* Sockets whose files were removed or replaced are made anew, until that works. */
static void sockets_mend(struct daemon *d)
{
	if (!rw_sock_any_lost())
		return;
	for (unsigned i = 0; i < d->nports; i++) {
		const struct port_kind *kind = d->opt.ports[i].kind;

		if (kind->mend)
			kind->mend(d->ports[i].handle);
	}
	if (d->control)
		ctl_server_mend(d->control);
}

static void age_due(void *arg)
{
	struct daemon *d = arg;

	sockets_mend(d);
	sw_age(d->sw);
	sw_measure(d->sw);
}

static void balance_due(void *arg)
{
	struct daemon *d = arg;
	unsigned n = sw_balance(d->sw, false);

	if (n)
		rw_info("%u queue(s) moved to other workers", n);
}

void daemon_balance_every(struct daemon *d, uint32_t seconds)
{
	rw_timer_stop(d->loop, &d->balancing);
	if (seconds)
		rw_timer_start(d->loop, &d->balancing, seconds * 1000ull, seconds * 1000ull);
}

static int switch_begin(struct daemon *d)
{
	struct sw_worker_config workers[OPTIONS_CPUS_MAX];
	struct sw_config cfg = {
		.workers = workers,
		.nworkers = d->opt.ncpus,
		.fdb_entries = d->opt.fdb_size,
		.fdb_age_s = d->opt.fdb_age_s,
		.forward = d->opt.forward,
		.idle = d->opt.idle,
	};
	int ret;

	for (unsigned i = 0; i < d->opt.ncpus; i++)
		workers[i] = (struct sw_worker_config){.lcore = i + 1, .cpu = d->opt.cpus[i]};
	ret = sw_new(&cfg, &d->sw);
	if (ret) {
		rw_error("cannot set up the switch: %s", strerror(-ret));
		return ret;
	}
	sw_snooping_set(d->sw, d->opt.snooping);
	d->ageing = (struct rw_timer){.fn = age_due, .arg = d};
	rw_timer_start(d->loop, &d->ageing, AGEING_MS, AGEING_MS);
	d->balancing = (struct rw_timer){.fn = balance_due, .arg = d};
	daemon_balance_every(d, d->opt.balance_s);
	return 0;
}

static int ports_begin(struct daemon *d)
{
	char err[512];

	d->waits = d->opt.takeover[0];
	while (d->nports < d->opt.nports) {
		int ret = daemon_port_begin(d, err, sizeof(err));

		if (ret) {
			rw_error("%s", err);
			return ret;
		}
	}
	mirrors_begin(d);
	if (!d->waits)
		state_fdb_restore(d);
	d->waits = false;
	return 0;
}

static int control_begin(struct daemon *d)
{
	const char *path = d->opt.control;

	if (d->opt.no_control || d->opt.takeover[0])
		return 0;
	d->control = ctl_server_new(d->loop, path, rpc_methods, rpc_nmethods, d);
	events_begin(d);
	if (d->control)
		return 0;
	if (d->opt.control_is_default)
		/*
		 * A second instance: `ringway` would ask the other one, and the user not know it.
		 */
		rw_error("no control socket at %s: %s; give --control=PATH for another one, or "
			 "--control=none",
			path, rw_sock_strerror(-errno));
	else
		rw_error("--control=%s: %s", path, rw_sock_strerror(-errno));
	return -EINVAL;
}

static int pidfile_begin(struct daemon *d)
{
	char err[256];

	if (!d->opt.pidfile[0] || d->opt.takeover[0] ||
		!pidfile_write(&d->pidfile, d->opt.pidfile, err, sizeof(err)))
		return 0;
	rw_error("--pidfile=%s: %s", d->opt.pidfile, err);
	return -EINVAL;
}

static void daemon_end(struct daemon *d)
{
	pidfile_remove(&d->pidfile);
	captures_end(d);
	ctl_server_free(d->control);
	d->control = NULL;
	apply_end(d);
	if (d->sw)
		traces_end(d);
	state_fdb_save(d);
	while (d->opt.nports > d->nports) {
		struct options_port *port = &d->opt.ports[d->opt.nports - 1];

		if (port->prepared)
			port->kind->discard(port);
		options_port_del(&d->opt, d->opt.nports - 1);
	}
	counts_end(d);
	mirrors_end(d);
	marks_end(&d->marks);
	while (d->nports)
		daemon_port_end(d, d->nports - 1);
	state_end(d);
	if (d->sw) {
		rw_timer_stop(d->loop, &d->ageing);
		rw_timer_stop(d->loop, &d->balancing);
		sw_stop(d->sw);
		sw_free(d->sw);
	}
	signals_end(d);
	rw_loop_free(d->loop);
}

/* What all that follows stands on. 0, or -errno after an error line. */
static int ground_begin(void)
{
	int ret;

	/*
	 * With a fixed limit, malloc does not count the CPUs when a thread wants an arena: they
	 * stand in files that nobody may open later.
	 */
	mallopt(M_ARENA_MAX, ARENAS);
	ret = rw_log_hold();
	if (ret)
		rw_error("cannot set up the log: %s", strerror(-ret));
	else
		raise_fd_limit();
	return ret;
}

/* What ports need of EAL and the kernel while it can be had. 0, or -errno after an error line. */
static int ports_prepare(struct daemon *d)
{
	char err[512];

	for (unsigned i = 0; i < d->opt.nports; i++) {
		struct options_port *port = &d->opt.ports[i];
		int ret = port->kind->prepare
			? port->kind->prepare(port, d->opt.ncpus, err, sizeof(err))
			: 0;

		if (ret) {
			rw_error("port %s: %s", port->name, err);
			return ret;
		}
	}
	return 0;
}

/* The switch has all that it wants from EAL's heap. 0, or -errno after an error line. */
static int guard_begin(void)
{
	int ret = eal_fix_heap();

	if (!ret)
		ret = gm_guard_install();
	if (ret)
		rw_error("cannot guard against guest memory that vanishes: %s", strerror(-ret));
	return ret;
}

/* EAL, with huge pages if there are any. 0, or -errno after an error line. */
static int eal_start(struct daemon *d)
{
	int ret = eal_begin(&d->opt, &d->huge);

	if (ret || d->huge || d->opt.no_huge || !d->opt.takeover[0] || !takeover_wants_huge())
		return ret;
	rw_error("--takeover=%s: the running process has huge pages, and none is left for a second "
		 "one: add some (scripts/setup-host), or give --no-huge",
		d->opt.takeover);
	return -ENOMEM;
}

/* The workers start, with the ports of the process that ran before if there is one. As above. */
static int workers_start(struct daemon *d)
{
	int ret = d->opt.takeover[0] ? takeover_finish(d) : 0;

	if (ret)
		return ret;
	ret = sw_start(d->sw);
	if (ret)
		rw_error("cannot start the workers: %s", strerror(-ret));
	else if (d->opt.takeover[0])
		takeover_tell(d);
	return ret;
}

/* Everything that runs, in order. The exit status. */
static int daemon_run(struct daemon *d)
{
	int ret;

	if (ground_begin())
		return EXIT_CANNOT;
	daemon_fd_check(d->opt.nports);
	d->loop = rw_loop_new();
	if (!d->loop || signals_begin(d)) {
		rw_error("cannot set up the event loop: %s", strerror(errno));
		return EXIT_CANNOT;
	}
	daemon_leave_worker_cpus(&d->opt);
	ret = eal_log_begin();
	if (ret) {
		rw_error("cannot set up the log: %s", strerror(-ret));
		return EXIT_CANNOT;
	}
	notify_begin();
	if (state_begin(d))
		return EXIT_MISTAKE;
	if (confine_begin(&d->opt) || eal_start(d))
		return EXIT_CANNOT;
	if (switch_begin(d))
		return EXIT_CANNOT;
	if (ports_prepare(d))
		return EXIT_MISTAKE;
	if (guard_begin())
		return EXIT_CANNOT;
	daemon_pools_begin(d);
	if (ports_begin(d) || control_begin(d) || pidfile_begin(d))
		return EXIT_MISTAKE;
	if (confine_threads())
		return EXIT_CANNOT;
	/* From here on no line makes anybody wait, and the thread is confined as this one is. */
	ret = rw_log_begin();
	if (ret) {
		rw_error("cannot set up the log: %s", strerror(-ret));
		return EXIT_CANNOT;
	}
	if (workers_start(d))
		return EXIT_CANNOT;
	if (!d->huge)
		rw_warning("running without huge pages (slower); to have some: "
			   "echo 1024 > /proc/sys/vm/nr_hugepages");
	rw_info("ringwayd %s: %u port(s), %u worker(s)", RINGWAY_VERSION, d->opt.nports,
		d->opt.ncpus);
	notify_ready(d);
	ret = rw_loop_run(d->loop);
	if (!takeover_given())
		notify_stopping(d);
	if (ret) {
		rw_error("event loop: %s", strerror(-ret));
		return EXIT_CANNOT;
	}
	return 0;
}

/* `schema` is taken over. */
static void schema_print(json_t *schema)
{
	json_dumpf(schema, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(schema);
}

/* Print what was asked for. The exit status. */
static int inform(int what)
{
	if (what == OPTIONS_HELP)
		options_print_help(stdout);
	else if (what == OPTIONS_VERSION)
		printf("ringwayd %s\n", RINGWAY_VERSION);
	else if (what == OPTIONS_SCHEMA)
		schema_print(options_schema());
	else if (what == OPTIONS_CONTROL)
		schema_print(rpc_describe());
	else if (what == OPTIONS_CHECKED)
		puts("the configuration has no mistake");
	else
		options_print_capabilities(stdout);
	if (rw_stdout_close())
		return 0;
	fprintf(stderr, "ringwayd: cannot write the output: %s\n", strerror(errno));
	return EXIT_CANNOT;
}

int main(int argc, char **argv)
{
	struct daemon *d = calloc(1, sizeof(*d));
	char err[512];
	int ret;

	if (!d)
		return EXIT_CANNOT;
	d->pidfile.fd = -1;
	d->rings_fd = -1;
	d->fdb.fd = -1;
	ret = options_parse(argc, argv, &d->opt, err, sizeof(err));
	if (!ret && d->opt.takeover[0])
		ret = takeover_begin(d, err, sizeof(err));
	if (ret > 0) {
		ret = inform(ret);
	} else if (ret) {
		fprintf(stderr, "ringwayd: %s\n", err);
		ret = EXIT_MISTAKE;
	} else {
		rw_log_set_level(d->opt.log_level);
		rw_log_find_journal();
		ret = daemon_run(d);
		daemon_end(d);
		eal_end();
		rw_log_end();
		confine_end();
	}
	takeover_end();
	free(d);
	return ret;
}
