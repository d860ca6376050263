/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ringwayd: reads its options, brings up the workers, opens the ports and the control socket, and
 * serves them until SIGTERM or SIGINT. Exit status: 0 asked to stop, 1 cannot run here, 2 a mistake on
 * the command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon.h"
#include "rw_log.h"
#include "rw_sock.h"
#include "sw_place.h"
#include "version.h"

#define EXIT_CANNOT  1
#define EXIT_MISTAKE 2

#define AGEING_MS 1000

/*
 * Open files: ours, and for each port what a guest with one queue pair and a few regions of memory takes:
 * socket and connection, wake-up and timers, kick, call and error of two rings, regions.
 */
#define FDS_BASE 64u
#define FDS_PORT 12u

static void signal_ready(void *arg, uint32_t events)
{
	struct daemon *d = arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(d->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	rw_info("stopping: %s", strsignal((int)info.ssi_signo));
	rw_loop_quit(d->loop);
}

/* SIGTERM and SIGINT arrive in the loop; workers inherit the mask, so they are never interrupted. */
static int signals_begin(struct daemon *d)
{
	sigset_t set;
	int fd, ret;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
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
static void raise_fd_limit(unsigned nports)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim))
		rw_debug("cannot raise the limit of open files: %s", strerror(errno));
	else if (lim.rlim_max < FDS_BASE + nports * FDS_PORT)
		rw_warning(
			"%u port(s) want about %u open files and the limit is %ju: some guests may "
			"not be let in; raise it with ulimit -Hn or LimitNOFILE=",
			nports, FDS_BASE + nports * FDS_PORT, (uintmax_t)lim.rlim_max);
}

static void age_due(void *arg)
{
	struct daemon *d = arg;

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
	d->ageing = (struct rw_timer){.fn = age_due, .arg = d};
	rw_timer_start(d->loop, &d->ageing, AGEING_MS, AGEING_MS);
	d->balancing = (struct rw_timer){.fn = balance_due, .arg = d};
	if (d->opt.balance_s)
		rw_timer_start(d->loop, &d->balancing, d->opt.balance_s * 1000ull,
			d->opt.balance_s * 1000ull);
	return 0;
}

/* An inherited connection ended. Without another port there is nothing left to do. */
static void inherited_gone(void *arg)
{
	struct daemon *d = arg;

	if (d->opt.nports == 1)
		rw_loop_quit(d->loop);
}

static int port_begin(struct daemon *d, unsigned i)
{
	static const enum vhost_mode modes[] = {
		[OPTIONS_SERVER] = VHOST_SERVER,
		[OPTIONS_CLIENT] = VHOST_CLIENT,
		[OPTIONS_FD] = VHOST_FD,
	};
	const struct options_port *p = &d->opt.ports[i];
	struct vhost_port_config cfg = {
		.sw = d->sw,
		.loop = d->loop,
		.name = p->name,
		.mode = modes[p->mode],
		.path = p->mode == OPTIONS_FD ? NULL : p->path,
		.fd = p->fd,
		.gone = inherited_gone,
		.arg = d,
	};
	int ret = vhost_port_new(&cfg, &d->ports[i]);

	if (!ret)
		return 0;
	if (p->mode == OPTIONS_FD)
		rw_error("port %s: cannot use file descriptor %d: %s", p->name, p->fd,
			strerror(-ret));
	else
		rw_error("port %s: cannot listen on %s: %s", p->name, p->path,
			rw_sock_strerror(ret));
	return ret;
}

static int ports_begin(struct daemon *d)
{
	for (unsigned i = 0; i < d->opt.nports; i++) {
		int ret = port_begin(d, i);

		if (ret)
			return ret;
	}
	return 0;
}

static int control_begin(struct daemon *d)
{
	const char *path = d->opt.control;

	d->control = ctl_server_new(d->loop, path, rpc_methods, rpc_nmethods, d);
	if (d->control)
		return 0;
	if (d->opt.control_is_default) {
		/* A second instance, or a manager that never asked for a control socket. */
		rw_warning("no control socket at %s: %s; give --control=PATH to have one", path,
			rw_sock_strerror(-errno));
		return 0;
	}
	rw_error("--control=%s: %s", path, rw_sock_strerror(-errno));
	return -EINVAL;
}

static int pidfile_begin(struct daemon *d)
{
	const char *path = d->opt.pidfile;
	FILE *f;

	if (!*path)
		return 0;
	f = fopen(path, "we");
	if (!f || fprintf(f, "%d\n", (int)getpid()) < 0 || fclose(f)) {
		rw_error("--pidfile=%s: %s", path, strerror(errno));
		return -EINVAL;
	}
	d->pidfile_written = true;
	return 0;
}

static void daemon_end(struct daemon *d)
{
	if (d->pidfile_written)
		unlink(d->opt.pidfile);
	ctl_server_free(d->control);
	for (unsigned i = 0; i < d->opt.nports; i++)
		vhost_port_free(d->ports[i]);
	if (d->sw) {
		rw_timer_stop(d->loop, &d->ageing);
		rw_timer_stop(d->loop, &d->balancing);
		sw_stop(d->sw);
		sw_free(d->sw);
	}
	signals_end(d);
	rw_loop_free(d->loop);
}

/* Everything that runs, in order. The exit status. */
static int daemon_run(struct daemon *d)
{
	bool huge;
	int ret;

	raise_fd_limit(d->opt.nports);
	d->loop = rw_loop_new();
	if (!d->loop || signals_begin(d)) {
		rw_error("cannot set up the event loop: %s", strerror(errno));
		return EXIT_CANNOT;
	}
	if (eal_begin(&d->opt, &huge))
		return EXIT_CANNOT;
	if (switch_begin(d))
		return EXIT_CANNOT;
	if (ports_begin(d) || control_begin(d) || pidfile_begin(d))
		return EXIT_MISTAKE;
	ret = sw_start(d->sw);
	if (ret) {
		rw_error("cannot start the workers: %s", strerror(-ret));
		return EXIT_CANNOT;
	}
	if (!huge)
		rw_warning("running without huge pages (slower); to have some: "
			   "echo 1024 > /proc/sys/vm/nr_hugepages");
	rw_info("ringwayd %s: %u port(s), %u worker(s)", RINGWAY_VERSION, d->opt.nports,
		d->opt.ncpus);
	ret = rw_loop_run(d->loop);
	if (ret) {
		rw_error("event loop: %s", strerror(-ret));
		return EXIT_CANNOT;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct daemon *d = calloc(1, sizeof(*d));
	char err[512];
	int ret;

	if (!d)
		return EXIT_CANNOT;
	ret = options_parse(argc, argv, &d->opt, err, sizeof(err));
	if (ret < 0) {
		fprintf(stderr, "ringwayd: %s\n", err);
		free(d);
		return EXIT_MISTAKE;
	}
	if (ret == OPTIONS_HELP)
		options_print_help(stdout);
	else if (ret == OPTIONS_VERSION)
		printf("ringwayd %s\n", RINGWAY_VERSION);
	else if (ret == OPTIONS_CAPABILITIES)
		options_print_capabilities(stdout);
	if (ret) {
		free(d);
		return fflush(stdout) ? EXIT_CANNOT : 0;
	}
	rw_log_set_level(d->opt.log_level);
	ret = daemon_run(d);
	daemon_end(d);
	eal_end();
	free(d);
	return ret;
}
