/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In-band calls (INBAND_NOTIFICATIONS). Workers send no messages: to interrupt a guest they write
 * to an eventfd. A ring that is called in-band has an eventfd of ours, and the control thread turns
 * what it reads there into BACKEND_VRING_CALL.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

struct vu_call {
	struct rw_watch watch; /* of the ring's call_fd */
	struct vu_session *s;
	unsigned ring;
};

/* Turn what workers have written so far into a message. */
static void call_forward(struct vu_call *call)
{
	uint64_t n;

	if (read(call->watch.fd, &n, sizeof(n)) == sizeof(n))
		vu_channel_call(call->s, call->ring);
}

static void on_call(void *arg, uint32_t events)
{
	(void)events;
	call_forward(arg);
}

static int call_open(struct vu_session *s, unsigned i)
{
	struct vu_call *call;
	int fd, ret = vu_budget_fd(s);

	if (ret)
		return ret;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	call->s = s;
	call->ring = i;
	call->watch.fn = on_call;
	call->watch.arg = call;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		ret = -errno;
		goto err_free;
	}
	ret = rw_loop_add(s->loop, &call->watch, fd, EPOLLIN);
	if (ret)
		goto err_close;
	s->rings[i].call = call;
	s->rings[i].call_fd = fd;
	return 0;
err_close:
	close(fd);
err_free:
	free(call);
	return ret;
}

void vu_calls_forward(struct vu_session *s)
{
	for (unsigned i = 0; i < s->nrings; i++) {
		if (s->rings[i].call)
			call_forward(s->rings[i].call);
	}
}

void vu_call_close(struct vu_session *s, struct vu_ring *r)
{
	if (r->call) {
		/* The ring stops: its last call is sent before the front-end learns of that. */
		call_forward(r->call);
		rw_loop_del(s->loop, &r->call->watch);
		close(r->call_fd); /* ours */
	} else {
		vu_close(s, r->call_fd);
	}
	free(r->call);
	r->call = NULL;
	r->call_fd = -1;
}

int vu_calls_sync(struct vu_session *s, unsigned first, unsigned n)
{
	bool inband = vu_has_protocol_feature(s, VU_PF_INBAND_NOTIFICATIONS);
	int ret = 0;

	for (unsigned i = first; i < first + n; i++) {
		struct vu_ring *r = &s->rings[i];
		bool want = inband && r->started && !r->call_given;

		if (want && !r->call) {
			int one = call_open(s, i);

			ret = ret ? ret : one;
		} else if (!want && r->call) {
			vu_call_close(s, r);
		}
	}
	return ret;
}
