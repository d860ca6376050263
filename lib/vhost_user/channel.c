/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back-end channel: our messages to the front-end, and its answers.
 *
 * Nothing here waits. Messages that the socket does not take stay in a short queue. Calls and
 * errors of rings wait as one bit each, because two in a row say no more than one. Answers come in
 * the order of the questions. A channel that breaks is closed, and the session goes on without one;
 * questions that were not answered are asked again on the next one.
 *
 * The front-end sends the IOTLB entry before it answers the miss, but on the connection, another
 * socket. So answers are kept until nothing is left to read there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

/* Messages that wait to be written, and questions that wait for an answer. */
#define QUEUE_MAX VU_EXPORT_MAX_QUEUE

struct out {
	uint32_t len;
	uint8_t bytes[VU_HEADER_SIZE + sizeof(struct vu_iotlb)];
};

struct question {
	uint64_t iova;
	uint64_t cookie; /* the owner's */
	uint8_t perm;
	bool ok;    /* the answer, valid once there is one */
	bool stale; /* nobody wants the answer any more */
};

struct answer {
	struct vu_header hdr;
	uint32_t payload[2]; /* a u64, unaligned */
};

/*
 * Reading from the socket, which the helper does: the front-end's own end of it may be in a recv of
 * another process that holds its lock, and descriptors that come with the bytes are closed here.
 */
struct receipt {
	struct rw_helper_job job;
	struct vu_channel *ch; /* NULL: the channel is closed */
	int fd;
	ssize_t n; /* bytes that came, 0: the end, or -errno */
	uint8_t bytes[256];
};

struct vu_channel {
	struct vu_session *s;
	struct rw_watch watch;   /* while no receipt is under way */
	struct receipt *receipt; /* NULL: none */
	int fd;                  /* -1: broken */
	bool blocked;            /* the socket is full: its watch wants EPOLLOUT */

	struct out out[QUEUE_MAX]; /* a ring */
	unsigned first, n;
	size_t sent; /* bytes of the first one */

	/* Misses with need_reply, a ring as well. The first `nanswered` have their answer. */
	struct question asked[QUEUE_MAX];
	unsigned asked_first, nasked, nanswered;

	struct answer answer; /* the one that has arrived in part */
	size_t have;          /* bytes of `answer` that have arrived */

	bool call_due[VU_MAX_RINGS];
	bool error_due[VU_MAX_RINGS];
	unsigned ndue; /* true entries in call_due and error_due */
};

/* Close the socket and drop what was to be written to it, or has been read in part. */
static void disconnect(struct vu_channel *ch)
{
	if (ch->fd < 0)
		return;
	rw_loop_del(ch->s->loop, &ch->watch);
	if (ch->receipt)
		ch->receipt->ch = NULL; /* closed behind it */
	ch->receipt = NULL;
	vu_close(ch->s, ch->fd);
	ch->fd = -1;
	ch->blocked = false;
	ch->n = 0;
	ch->sent = 0;
	ch->have = 0;
}

void vu_channel_free(struct vu_session *s)
{
	if (s->channel)
		disconnect(s->channel);
	free(s->channel);
	s->channel = NULL;
}

unsigned vu_channel_fds(const struct vu_session *s)
{
	return s->channel && s->channel->fd >= 0;
}

void vu_channel_forget(struct vu_session *s)
{
	struct vu_channel *ch = s->channel;

	for (unsigned i = 0; ch && i < ch->nasked; i++)
		ch->asked[(ch->asked_first + i) % QUEUE_MAX].stale = true;
}

/* The channel failed with `err`. */
static void channel_break(struct vu_channel *ch, int err)
{
	if (err != -EPIPE && err != -ECONNRESET)
		vu_complain(ch->s, "closing the back-end channel: %s", strerror(-err));
	disconnect(ch);
}

/* Append a message to the queue, which has room. */
static void put(
	struct vu_channel *ch, uint32_t request, uint32_t flags, const void *payload, uint32_t len)
{
	struct vu_header hdr = {request, VU_VERSION | flags, len};
	struct out *o = &ch->out[(ch->first + ch->n++) % QUEUE_MAX];

	o->len = sizeof(hdr) + len;
	memcpy(o->bytes, &hdr, sizeof(hdr));
	if (len)
		memcpy(o->bytes + sizeof(hdr), payload, len);
}

/* Turn bits into messages while the queue has room. */
static void put_due_of(struct vu_channel *ch, uint32_t request, bool *due)
{
	for (unsigned i = 0; i < VU_MAX_RINGS && ch->ndue && ch->n < QUEUE_MAX; i++) {
		struct vu_vring_state state = {.index = i};

		if (!due[i])
			continue;
		put(ch, request, 0, &state, sizeof(state));
		due[i] = false;
		ch->ndue--;
	}
}

static void put_due(struct vu_channel *ch)
{
	put_due_of(ch, VU_BACKEND_VRING_CALL, ch->call_due);
	put_due_of(ch, VU_BACKEND_VRING_ERR, ch->error_due);
}

static int watch_set(struct vu_channel *ch, bool blocked)
{
	if (ch->blocked == blocked)
		return 0;
	ch->blocked = blocked;
	if (ch->receipt)
		return 0;
	return rw_loop_mod(ch->s->loop, &ch->watch, EPOLLIN | (blocked ? EPOLLOUT : 0u));
}

/* Write what the socket takes. 0 or -errno. */
static int write_out(struct vu_channel *ch)
{
	for (put_due(ch); ch->n; put_due(ch)) {
		struct out *o = &ch->out[ch->first];
		ssize_t n = send(ch->fd, o->bytes + ch->sent, o->len - ch->sent,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return watch_set(ch, true);
		if (n < 0)
			return -errno;
		ch->sent += (size_t)n;
		if (ch->sent < o->len)
			continue;
		ch->sent = 0;
		ch->first = (ch->first + 1) % QUEUE_MAX;
		ch->n--;
	}
	return watch_set(ch, false);
}

/* Write what waits. False: the channel has broken. */
static bool flush(struct vu_channel *ch)
{
	int ret = write_out(ch);

	if (ret)
		channel_break(ch, ret);
	return !ret;
}

/* Record a complete answer. 0, or -EPROTO when it answers no question of ours. */
static int take_answer(struct vu_channel *ch)
{
	const struct answer *a = &ch->answer;
	struct question *q = &ch->asked[(ch->asked_first + ch->nanswered) % QUEUE_MAX];

	if (ch->nanswered == ch->nasked || a->hdr.request != VU_BACKEND_IOTLB_MSG ||
		a->hdr.flags != (VU_VERSION | VU_FLAG_REPLY) || a->hdr.size != sizeof(a->payload))
		return -EPROTO;
	q->ok = !a->payload[0] && !a->payload[1];
	ch->nanswered++;
	ch->have = 0;
	return 0;
}

/* Take what has arrived. 0 or -EPROTO. */
static int take_bytes(struct vu_channel *ch, const uint8_t *bytes, size_t len)
{
	while (len) {
		size_t n = RW_MIN(len, sizeof(ch->answer) - ch->have);
		int ret = 0;

		memcpy((uint8_t *)&ch->answer + ch->have, bytes, n);
		ch->have += n;
		bytes += n;
		len -= n;
		if (ch->have == sizeof(ch->answer))
			ret = take_answer(ch);
		if (ret)
			return ret;
	}
	return 0;
}

static void receipt_run(struct rw_helper_job *job)
{
	struct receipt *r = (struct receipt *)job;
	struct vu_received in = {.len = sizeof(r->bytes), .bytes = r->bytes};

	do
		r->n = vu_receive(r->fd, &in);
	while (r->n == -EINTR);
	for (unsigned i = 0; i < in.nfds; i++)
		close(in.fds[i]);
}

static void receipt_done(struct rw_helper_job *job);

/* Have the helper read. 0 or -ENOMEM. */
static int receipt_begin(struct vu_channel *ch)
{
	struct receipt *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	rw_loop_del(ch->s->loop, &ch->watch);
	r->job = (struct rw_helper_job){.run = receipt_run, .done = receipt_done};
	r->ch = ch;
	r->fd = ch->fd;
	ch->receipt = r;
	rw_helper_run(ch->s->offer.helper, &r->job);
	return 0;
}

/* 1: read on; 0: nothing more has come; or -errno. */
static int receipt_take(struct vu_channel *ch, const struct receipt *r)
{
	int ret;

	if (r->n == -EAGAIN)
		return rw_loop_add(
			ch->s->loop, &ch->watch, ch->fd, EPOLLIN | (ch->blocked ? EPOLLOUT : 0u));
	if (r->n <= 0)
		return r->n ? (int)r->n : -ECONNRESET;
	ret = take_bytes(ch, r->bytes, (size_t)r->n);
	return ret ? ret : 1;
}

static void receipt_done(struct rw_helper_job *job)
{
	struct receipt *r = (struct receipt *)job;
	struct vu_channel *ch = r->ch;
	int ret = 0;

	if (ch) {
		ch->receipt = NULL;
		ret = receipt_take(ch, r);
	}
	free(r);
	if (!ch)
		return;
	if (ret > 0) {
		ret = receipt_begin(ch);
		/* Without a helper all was read in there. */
		if (!ret)
			return;
	}
	if (ret)
		channel_break(ch, ret);
	if (ch->nanswered)
		rw_turn_queue(ch->s->loop, &ch->s->turn); /* it delivers them */
}

static void on_event(void *arg, uint32_t events)
{
	struct vu_channel *ch = arg;
	int ret;

	if (events & EPOLLOUT && !flush(ch))
		return;
	if (!(events & ~EPOLLOUT))
		return;
	ret = receipt_begin(ch);
	if (ret)
		channel_break(ch, ret);
}

void vu_channel_deliver(struct vu_session *s)
{
	struct vu_channel *ch = s->channel;

	while (ch && ch->nanswered) {
		struct question q = ch->asked[ch->asked_first];

		ch->asked_first = (ch->asked_first + 1) % QUEUE_MAX;
		ch->nasked--;
		ch->nanswered--;
		if (!q.stale)
			s->ops->iotlb_answered(s->dev, q.cookie, q.ok);
	}
}

static void put_miss(struct vu_channel *ch, uint64_t iova, uint8_t perm, uint32_t flags)
{
	struct vu_iotlb miss = {.iova = iova, .perm = perm, .type = VU_IOTLB_MISS};

	put(ch, VU_BACKEND_IOTLB_MSG, flags, &miss, sizeof(miss));
}

/* The socket is new: ask the questions that are still open again. */
static void ask_again(struct vu_channel *ch)
{
	unsigned open = ch->nasked - ch->nanswered, from = ch->asked_first + ch->nanswered;

	ch->nasked = ch->nanswered;
	for (unsigned i = from; i < from + open; i++) {
		struct question q = ch->asked[i % QUEUE_MAX];

		if (q.stale)
			continue;
		ch->asked[(ch->asked_first + ch->nasked++) % QUEUE_MAX] = q;
		put_miss(ch, q.iova, q.perm, VU_FLAG_NEED_REPLY);
	}
}

/* The session's channel, which may be broken; made if there is none. NULL: no memory. */
static struct vu_channel *channel_of(struct vu_session *s)
{
	struct vu_channel *ch = s->channel;

	if (ch)
		return ch;
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return NULL;
	ch->s = s;
	ch->fd = -1;
	ch->watch.fn = on_event;
	ch->watch.arg = ch;
	s->channel = ch;
	return ch;
}

bool vu_channel_reads(const struct vu_session *s)
{
	return s->channel && s->channel->receipt;
}

/* What the front-end has answered already, nobody waits for: rings rest. */
int vu_channel_export(const struct vu_session *s, struct vu_export_channel *out)
{
	const struct vu_channel *ch = s->channel;
	unsigned open;

	if (!ch)
		return 0;
	if (ch->receipt)
		return -EBUSY;
	out->present = true;
	for (unsigned i = 0; i < ch->n; i++) {
		const struct out *o = &ch->out[(ch->first + i) % QUEUE_MAX];

		out->notices[i].len = o->len;
		memcpy(out->notices[i].bytes, o->bytes, o->len);
	}
	out->nnotices = ch->n;
	out->sent = (uint32_t)ch->sent;
	open = ch->nasked - ch->nanswered;
	for (unsigned i = 0; i < open; i++) {
		const struct question *q =
			&ch->asked[(ch->asked_first + ch->nanswered + i) % QUEUE_MAX];

		out->asked[i].iova = q->iova;
		out->asked[i].perm = q->perm;
	}
	out->nasked = open;
	memcpy(out->answer, &ch->answer, ch->have);
	out->have = (uint32_t)ch->have;
	memcpy(out->call_due, ch->call_due, sizeof(out->call_due));
	memcpy(out->error_due, ch->error_due, sizeof(out->error_due));
	return vu_fd_copy(ch->fd, &out->fd);
}

static bool channel_is_sane(const struct vu_export_channel *e)
{
	if (e->nnotices > QUEUE_MAX || e->nasked > QUEUE_MAX || e->have >= sizeof(struct answer))
		return false;
	for (uint32_t i = 0; i < e->nnotices; i++) {
		if (e->notices[i].len > sizeof(e->notices[i].bytes))
			return false;
	}
	return e->nnotices ? e->sent < e->notices[0].len : !e->sent;
}

static void channel_fill(struct vu_channel *ch, const struct vu_export_channel *from)
{
	for (uint32_t i = 0; i < from->nnotices; i++) {
		ch->out[i].len = from->notices[i].len;
		memcpy(ch->out[i].bytes, from->notices[i].bytes, from->notices[i].len);
	}
	ch->n = from->nnotices;
	ch->sent = from->sent;
	for (uint32_t i = 0; i < from->nasked; i++)
		ch->asked[i] = (struct question){
			.iova = from->asked[i].iova, .perm = from->asked[i].perm, .stale = true};
	ch->nasked = from->nasked;
	memcpy(&ch->answer, from->answer, from->have);
	ch->have = from->have;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		ch->call_due[i] = from->call_due[i];
		ch->error_due[i] = from->error_due[i];
		ch->ndue += from->call_due[i] + from->error_due[i];
	}
}

int vu_channel_adopt(struct vu_session *s, const struct vu_export_channel *from)
{
	struct vu_channel *ch;
	int fd, ret;

	if (!from->present)
		return 0;
	if (!channel_is_sane(from))
		return -EINVAL;
	ch = channel_of(s);
	if (!ch)
		return -ENOMEM;
	channel_fill(ch, from);
	ret = vu_fd_copy(from->fd, &fd);
	if (ret || fd < 0)
		return ret;
	/* Whether the socket takes the rest shows when the loop runs. */
	ch->blocked = ch->n || ch->ndue;
	ret = rw_loop_add(s->loop, &ch->watch, fd, EPOLLIN | (ch->blocked ? EPOLLOUT : 0u));
	if (ret)
		vu_close(s, fd);
	else
		ch->fd = fd;
	return ret;
}

int vu_on_set_backend_req_fd(struct vu_session *s, struct vu_msg *m)
{
	struct vu_channel *ch;
	int ret;

	/* To send to others may wait for whoever else has the socket. */
	if (!vu_is_unix_stream(m->fds[0]))
		return vu_refuse(m, -EINVAL, "the descriptor is no Unix stream socket");
	ch = channel_of(s);
	if (!ch)
		return -ENOMEM;
	disconnect(ch);
	ret = rw_loop_add(s->loop, &ch->watch, m->fds[0], EPOLLIN);
	if (ret)
		return ret;
	ch->fd = vu_msg_take_fd(m, 0);
	ask_again(ch);
	/* Repeat calls that found no channel or were lost with it. One too many does no harm. */
	for (unsigned i = 0; i < s->nrings; i++) {
		if (s->rings[i].call)
			vu_channel_call(s, i);
	}
	if (flush(ch) && s->iotlb)
		s->ops->iotlb_updated(s->dev);
	return 0;
}

int vu_iotlb_miss(struct vu_session *s, uint64_t iova, uint8_t perm, uint64_t cookie)
{
	struct vu_channel *ch = s->channel;

	if (!ch || ch->fd < 0)
		return -ENOTCONN;
	if (ch->n == QUEUE_MAX || ch->nasked == QUEUE_MAX)
		return -EAGAIN;
	if (!vu_has_protocol_feature(s, VU_PF_REPLY_ACK)) {
		put_miss(ch, iova, perm, 0);
		return flush(ch) ? 0 : -ENOTCONN;
	}
	/* From here on the question is open: if this socket breaks, it is asked on the next one. */
	ch->asked[(ch->asked_first + ch->nasked++) % QUEUE_MAX] = (struct question){
		.iova = iova, .perm = perm, .cookie = cookie};
	put_miss(ch, iova, perm, VU_FLAG_NEED_REPLY);
	flush(ch);
	return 0;
}

int vu_config_changed(struct vu_session *s)
{
	struct vu_channel *ch = s->channel;

	if (!vu_has_protocol_feature(s, VU_PF_CONFIG))
		return -EOPNOTSUPP;
	if (!ch || ch->fd < 0)
		return -ENOTCONN;
	if (ch->n == QUEUE_MAX)
		return -EAGAIN;
	put(ch, VU_BACKEND_CONFIG_CHANGE_MSG, 0, NULL, 0);
	return flush(ch) ? 0 : -ENOTCONN;
}

static void set_due(struct vu_channel *ch, bool *due)
{
	if (!*due)
		ch->ndue++;
	*due = true;
	if (ch->fd >= 0)
		flush(ch);
}

void vu_channel_call(struct vu_session *s, unsigned i)
{
	if (s->channel)
		set_due(s->channel, &s->channel->call_due[i]);
}

void vu_channel_error(struct vu_session *s, unsigned i)
{
	if (s->channel)
		set_due(s->channel, &s->channel->error_due[i]);
}
