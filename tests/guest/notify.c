/* SPDX-License-Identifier: BSD-3-Clause */
/* Kicks, interrupts and errors: by eventfd, or in-band over the two sockets. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "guest.h"
#include "rw_loop.h"

static bool is_inband(const struct fe_queue *q)
{
	return fe_guest_has_protocol(q->g, VU_PF_INBAND_NOTIFICATIONS);
}

void fe_queue_kick(struct fe_queue *q)
{
	/* A connection that fails shows in the next thing that is asked of it. */
	if (is_inband(q))
		fe_conn_set_ring(&q->g->conn, VU_VRING_KICK, q->index, 0);
	else
		eventfd_write(q->kick_fd, 1); /* a full counter says all there is to say */
}

static uint64_t fd_count(int fd)
{
	eventfd_t n = 0;

	return eventfd_read(fd, &n) ? 0 : n;
}

/* What a counter of the channel gained since it was `*seen`. */
static uint64_t gained(uint64_t now, uint64_t *seen)
{
	uint64_t n = now - *seen;

	*seen = now;
	return n;
}

uint64_t fe_queue_interrupts(struct fe_queue *q)
{
	if (!is_inband(q))
		return fd_count(q->call_fd);
	fe_guest_service(q->g);
	return gained(q->g->channel.calls[q->index], &q->calls_seen);
}

uint64_t fe_queue_errors(struct fe_queue *q)
{
	if (!is_inband(q))
		return fd_count(q->err_fd);
	fe_guest_service(q->g);
	return gained(q->g->channel.errs[q->index], &q->errs_seen);
}

uint64_t fe_queue_wait_interrupt(struct fe_queue *q, int timeout_ms)
{
	uint64_t until = rw_now_ms() + (uint64_t)timeout_ms;
	struct pollfd p = {.fd = q->call_fd, .events = POLLIN};
	uint64_t now, n;

	if (!is_inband(q)) {
		poll(&p, 1, timeout_ms);
		return fe_queue_interrupts(q);
	}
	/* Other requests come this way, too. */
	p.fd = q->g->channel.conn.fd;
	while (!(n = fe_queue_interrupts(q)) && (now = rw_now_ms()) < until)
		poll(&p, 1, (int)(until - now));
	return n;
}
