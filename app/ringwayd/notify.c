/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What systemd, or another service manager, wants to know: that the switch runs, that its control
 * thread still turns, and that it ends (sd_notify(3); systemd.service(5), Type= and WatchdogSec=).
 *
 * sd_notify itself makes a socket for each message, and after the start no thread may make one. So
 * this one is made at the start.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "rw_log.h"

static struct {
	int fd;               /* -1: nobody wants to know */
	uint64_t watchdog_us; /* a message is due that often; 0: none is */
	struct rw_timer timer;
} own = {.fd = -1};

/* A message that cannot be sent is not worth waiting for. */
static void say(const char *text)
{
	if (own.fd >= 0)
		send(own.fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int connect_to(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd;

	/* A path, or a name of the abstract kind, which is written with an @. */
	if ((*path != '/' && *path != '@') || !path[1] || len >= sizeof(sa.sun_path))
		return -EINVAL;
	memcpy(sa.sun_path, path, len);
	if (*path == '@')
		sa.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len))) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}

/* How often the service manager wants a sign of life from this process, in microseconds. */
static uint64_t watchdog_read(void)
{
	const char *pid = getenv("WATCHDOG_PID"), *period = getenv("WATCHDOG_USEC");

	if (!period || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	return strtoull(period, NULL, 10);
}

void notify_begin(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (!path)
		return;
	own.fd = connect_to(path);
	if (own.fd < 0)
		rw_warning("NOTIFY_SOCKET=%s: %s", path, strerror(-own.fd));
	own.watchdog_us = watchdog_read();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void watchdog_due(void *arg)
{
	(void)arg;
	say("WATCHDOG=1");
}

int notify_fd(uint64_t *watchdog_us)
{
	*watchdog_us = own.watchdog_us;
	return own.fd;
}

void notify_take(int fd, uint64_t watchdog_us)
{
	if (own.fd >= 0)
		close(own.fd);
	own.fd = fd;
	own.watchdog_us = watchdog_us;
}

void notify_main(pid_t pid)
{
	char text[32];

	snprintf(text, sizeof(text), "MAINPID=%d", (int)pid);
	say(text);
}

void notify_ready(struct daemon *d)
{
	char text[128], pid[32] = "";
	uint64_t period_ms = own.watchdog_us / 2000;

	if (d->opt.takeover[0])
		snprintf(pid, sizeof(pid), "\nMAINPID=%d", (int)getpid());
	snprintf(text, sizeof(text), "READY=1%s\nSTATUS=%u port(s), %u worker(s)", pid, d->nports,
		d->opt.ncpus);
	say(text);
	if (own.fd < 0 || !own.watchdog_us || own.timer.active)
		return;
	own.timer.fn = watchdog_due;
	rw_timer_start(d->loop, &own.timer, 0, period_ms ? period_ms : 1);
}

void notify_reloading(void)
{
	char text[80];
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		(uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000);
	say(text);
}

void notify_stopping(struct daemon *d)
{
	say("STOPPING=1");
	rw_timer_stop(d->loop, &own.timer);
}
