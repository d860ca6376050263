/* SPDX-License-Identifier: BSD-3-Clause */
/* How front-ends reach a port: it listens or connects, again and again, and says what is wrong. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost.h"

/* How soon a listener without descriptors tries again. */
#define RETRY_MS 100
/*
 * How often a client tries to connect. Clients of all ports together try one at a time, so far
 * apart, for each time the helper process is asked, and waited for: 56 us of control's CPU and 43
 * us of the helper's (AMD EPYC, 2 CPUs, loaded). So up to 40 of them find a front-end within
 * CONNECT_MS, which costs 5 % of a CPU, and 1024 within two seconds, which costs as much.
 */
#define CONNECT_MS       80
#define CONNECT_APART_MS 2

/* ---- what is wrong ---- */

/* Say why no front-end can come, once for as long as that is the reason. `err`: -errno. */
static void unreached(struct vhost_port *vp, int err, const char *fmt, ...) RW_PRINTF(3, 4);

static void unreached(struct vhost_port *vp, int err, const char *fmt, ...)
{
	bool waits = vp->mode == VHOST_CLIENT && (err == -ENOENT || err == -EAGAIN);
	bool other = vp->unreached != 0;
	char line[sizeof(vp->down)];
	va_list ap;

	if (vp->unreached == err)
		return;
	vp->unreached = err;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (waits)
		vhost_port_event(vp, "%s", line);
	else
		rw_log_limited(&vp->limit, RW_LOG_WARNING, "port %s: %s", vp->port.name, line);
	/* What ended the last front-end says more than that there is no other one yet. */
	if (!waits || other || !vp->down[0])
		vhost_port_down(vp, "%s", line);
}

/* ---- listening ---- */

int vhost_helper_begin(struct vhost_port *vp)
{
	if (vp->helper)
		return 0;
	vp->helper = rw_helper_new(vp->loop, VU_SLOTS);
	if (!vp->helper)
		return -errno;
	rw_helper_charge(vp->helper, &vp->port.budgets);
	return 0;
}

/* Connections stay in the backlog for a moment. */
static void listen_later(struct vhost_port *vp, const char *why)
{
	rw_log_limited(
		&vp->limit, RW_LOG_WARNING, "port %s: cannot accept: %s", vp->port.name, why);
	rw_loop_del(vp->loop, &vp->listen_watch);
	rw_timer_start(vp->loop, &vp->retry, RETRY_MS, 0);
}

/* In a turn, so that a front-end that left before this one came is seen to have left. */
static void listen_ready(void *arg, uint32_t events)
{
	struct vhost_port *vp = arg;

	(void)events;
	rw_turn_queue(vp->loop, &vp->accept_turn);
}

static void accept_due(void *arg)
{
	struct vhost_port *vp = arg;
	int fd, ret = vhost_helper_begin(vp);
	char why[192];

	if (ret || rw_helper_is_full(vp->helper)) {
		listen_later(vp,
			ret ? strerror(-ret)
			    : "descriptors of an earlier front-end cannot be closed");
		return;
	}
	fd = accept4(vp->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
			return;
		listen_later(vp, strerror(errno)); /* out of descriptors */
		return;
	}
	if (vp->session) {
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: refused a second front-end; the port is in use", vp->port.name);
		rw_helper_close(vp->helper, fd);
		return;
	}
	ret = vhost_session_begin(vp, fd);
	if (ret)
		rw_log_limited(&vp->limit, RW_LOG_WARNING, "port %s: cannot serve a front-end: %s",
			vp->port.name, vhost_why(vp, ret, why, sizeof(why)));
}

static int listen_begin(struct vhost_port *vp)
{
	return rw_loop_add(vp->loop, &vp->listen_watch, vp->listen_fd, EPOLLIN);
}

/* ---- a client ---- */

/* Try to connect when it is this port's turn. */
void vhost_client_retry(struct vhost_port *vp)
{
	static uint64_t last_ms; /* of all clients; control's */
	uint64_t now_ms = rw_now_ms();

	last_ms = RW_MAX(last_ms + CONNECT_APART_MS, now_ms + CONNECT_MS);
	rw_timer_start(vp->loop, &vp->retry, last_ms - now_ms, 0);
}

static void client_connect(struct vhost_port *vp)
{
	/* A port that was taken over without a front-end has no helper yet. */
	int ret, fd = vhost_helper_begin(vp);
	char why[192];

	if (!fd)
		fd = rw_helper_is_full(vp->helper) ? -EBUSY : rw_sock_connect(vp->path);
	if (fd == -EBUSY) {
		unreached(vp, fd, "descriptors of an earlier front-end cannot be closed");
	} else if (fd < 0) {
		/* A file without a listener comes just before one, and stays behind it. */
		fd = fd == -ECONNREFUSED ? -ENOENT : fd;
		unreached(
			vp, fd, "cannot connect to %s: %s", vp->path, rw_sock_connect_strerror(fd));
	} else {
		ret = vhost_session_begin(vp, fd);
		if (!ret)
			return;
		unreached(vp, ret, "cannot serve a front-end: %s",
			vhost_why(vp, ret, why, sizeof(why)));
	}
	vhost_client_retry(vp);
}

static void retry_due(void *arg)
{
	struct vhost_port *vp = arg;

	if (vp->mode == VHOST_CLIENT)
		client_connect(vp);
	else if (listen_begin(vp))
		rw_timer_start(vp->loop, &vp->retry, RETRY_MS, 0);
}

/* ---- a server ---- */

void vhost_port_mend(struct vhost_port *vp)
{
	struct rw_sock_id file;
	int fd;

	if (vp->mode != VHOST_SERVER || rw_sock_is_there(vp->path, &vp->file))
		return;
	fd = rw_sock_listen(vp->path, &vp->access, &file);
	if (fd < 0) {
		unreached(vp, fd, "no front-end can connect, %s was removed or replaced: %s",
			vp->path, rw_sock_strerror(fd));
		return;
	}
	rw_log_limited(&vp->limit, RW_LOG_WARNING,
		"port %s: %s was removed or replaced; the port listens there again", vp->port.name,
		vp->path);
	rw_timer_stop(vp->loop, &vp->retry);
	rw_loop_del(vp->loop, &vp->listen_watch);
	/* Who waits in its queue connects again. */
	if (!vhost_helper_begin(vp))
		rw_helper_close(vp->helper, vp->listen_fd);
	vp->listen_fd = fd;
	vp->file = file;
	if (vp->unreached && !vp->session)
		vhost_port_down(vp, "%s", "");
	vp->unreached = 0;
	if (listen_begin(vp))
		rw_timer_start(vp->loop, &vp->retry, RETRY_MS, 0);
}

/* ---- life ---- */

/* An inherited socket listens or is connected already. */
static int fd_begin(struct vhost_port *vp, int fd)
{
	int listening = 0, flags = fcntl(fd, F_GETFL);
	socklen_t len = sizeof(listening);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len))
		return -errno;
	if (!listening)
		return vhost_session_begin(vp, fd);
	vp->listen_fd = fd;
	return listen_begin(vp);
}

int vhost_sockets_begin(struct vhost_port *vp, const struct vhost_port_config *cfg)
{
	int ret = cfg->mode == VHOST_SERVER || cfg->waits ? 0 : vhost_helper_begin(vp);

	if (ret || cfg->waits)
		return ret;
	switch (cfg->mode) {
	case VHOST_FD:
		return fd_begin(vp, cfg->fd);
	case VHOST_CLIENT:
		client_connect(vp);
		return 0;
	case VHOST_SERVER:
		break;
	}
	vp->listen_fd = rw_sock_listen(vp->path, &cfg->access, &vp->file);
	if (vp->listen_fd < 0)
		return vp->listen_fd;
	return listen_begin(vp);
}

int vhost_port_attend(struct vhost_port *vp)
{
	if (vp->listen_fd >= 0)
		return listen_begin(vp);
	if (vp->mode == VHOST_CLIENT && !vp->session)
		vhost_client_retry(vp);
	return 0;
}

void vhost_sockets_init(struct vhost_port *vp)
{
	vp->listen_fd = -1;
	vp->listen_watch = (struct rw_watch){.fn = listen_ready, .arg = vp, .fd = -1};
	vp->accept_turn = (struct rw_turn){.fn = accept_due, .arg = vp};
	vp->retry = (struct rw_timer){.fn = retry_due, .arg = vp};
}

void vhost_sockets_end(struct vhost_port *vp)
{
	rw_turn_cancel(vp->loop, &vp->accept_turn);
	rw_timer_stop(vp->loop, &vp->retry);
	rw_loop_del(vp->loop, &vp->listen_watch);
	/* Removed while it still listens, so that nobody else can have replaced it. */
	if (vp->mode == VHOST_SERVER && vp->listen_fd >= 0)
		rw_sock_unlink(vp->path, &vp->file);
	/*
	 * Connections that were not accepted are closed with it, and so is what came through them.
	 */
	if (vp->listen_fd >= 0)
		vhost_helper_begin(vp);
	rw_helper_close(vp->helper, vp->listen_fd);
}
