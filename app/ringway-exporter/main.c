/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ringway-exporter: reads a running switch over its control socket and serves what it reads over
 * HTTP. One thread. It never tells the switch to change anything.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "confine.h"
#include "connector.h"
#include "http.h"
#include "options.h"
#include "rw_log.h"
#include "telemetry.h"
#include "version.h"

struct exporter {
	struct options opt;
	struct rw_loop *loop;
	struct rw_watch signals;
	struct source *source;
	struct events *events;
	struct http *http;
	struct telemetry *telemetry;
	int listen_fd;
};

static void signal_ready(void *arg, uint32_t events)
{
	struct exporter *e = arg;

	(void)events;
	rw_loop_quit(e->loop);
}

/* SIGTERM and SIGINT arrive in the loop. 0 or -errno. */
static int signals_begin(struct exporter *e)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	e->signals = (struct rw_watch){.fn = signal_ready, .arg = e};
	return rw_loop_add(e->loop, &e->signals, fd, EPOLLIN);
}

/* "127.0.0.1:9917", as the kernel has it: port 0 has become a number. */
static const char *address_text(int fd, char out[INET6_ADDRSTRLEN + 16])
{
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} bound;
	socklen_t len = sizeof(bound);
	char host[INET6_ADDRSTRLEN] = "?";

	memset(&bound, 0, sizeof(bound));
	getsockname(fd, &bound.any, &len);
	if (bound.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &bound.six.sin6_addr, host, sizeof(host));
		snprintf(out, INET6_ADDRSTRLEN + 16, "[%s]:%u", host, ntohs(bound.six.sin6_port));
	} else {
		inet_ntop(AF_INET, &bound.four.sin_addr, host, sizeof(host));
		snprintf(out, INET6_ADDRSTRLEN + 16, "%s:%u", host, ntohs(bound.four.sin_port));
	}
	return out;
}

/* 0, or -errno after an error line. */
static int listen_begin(struct exporter *e)
{
	const struct sockaddr *address = (const struct sockaddr *)&e->opt.address;
	int one = 1, fd;

	fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
		bind(fd, address, e->opt.address_len) || listen(fd, HTTP_CLIENTS_MAX)) {
		rw_error("cannot listen there (--listen): %s", strerror(errno));
		return -errno;
	}
	e->listen_fd = fd;
	return 0;
}

/* Everything that needs privileges. 0, or -errno after an error line. */
static int ground_begin(struct exporter *e)
{
	struct sandbox_user user;
	int ret = listen_begin(e);

	if (ret)
		return ret;
	if (confine_changes_user(&e->opt, &user))
		ret = connector_begin(e->opt.control, e->opt.seccomp);
	if (ret) {
		rw_error("cannot start the process that connects: %s", strerror(-ret));
		return ret;
	}
	e->source = source_new(e->opt.control);
	e->events = events_new(e->loop, e->opt.control);
	if (e->source && e->events)
		e->http = http_new(e->loop, e->listen_fd, e->opt.loopback, e->source, e->events);
	if (!e->http) {
		rw_error("cannot serve HTTP: %s", strerror(errno));
		return -EIO;
	}
	if (!e->opt.telemetry[0])
		return 0;
	e->telemetry = telemetry_new(e->loop, e->opt.telemetry, e->source);
	if (e->telemetry)
		return 0;
	rw_error("--telemetry=%s: %s", e->opt.telemetry, strerror(errno));
	return -EIO;
}

/* The exit status. */
static int serve(struct exporter *e)
{
	char address[INET6_ADDRSTRLEN + 16];

	e->loop = rw_loop_new();
	if (!e->loop || signals_begin(e)) {
		rw_error("cannot set up the event loop: %s", strerror(errno));
		return EXIT_CANNOT;
	}
	json_object_seed(0); /* else the first object that is made opens /dev/urandom */
	tzset();             /* and the first date /etc/localtime */
	if (ground_begin(e) || confine_begin(&e->opt))
		return EXIT_CANNOT;
	rw_info("ringway-exporter %s: http://%s/ of the switch at %s", RINGWAY_VERSION,
		address_text(e->listen_fd, address), e->opt.control);
	return rw_loop_run(e->loop) ? EXIT_CANNOT : 0;
}

int main(int argc, char **argv)
{
	static struct exporter e;
	int status = options_read(argc, argv, &e.opt);

	if (status >= 0)
		return status;
	rw_log_find_journal();
	status = serve(&e);
	telemetry_free(e.telemetry);
	http_free(e.http);
	events_free(e.events);
	source_free(e.source);
	if (e.loop)
		rw_loop_del(e.loop, &e.signals);
	rw_loop_free(e.loop);
	return status;
}
