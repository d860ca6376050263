/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine: receiving, and judging what came. */
#include <errno.h>

#include "engine.h"

/* Bytes of a payload that are compared. */
#define SAMPLE 8

/* What came in a burst. */
struct tally {
	uint64_t received, bytes;
	uint64_t wrong, misplaced, reordered, duplicated;
};

/* Whether enough of the frame lies at frame->data to judge it there. */
RW_ALWAYS_INLINE bool head_is_whole(const struct fe_burst *b, const struct fe_burst_frame *f)
{
	uint32_t left;

	if (rw_likely(f->nbufs == 1))
		return true;
	if (f->len < FRAME_HEAD)
		return false;
	fe_burst_at(b, f, 0, &left);
	return left >= FRAME_HEAD;
}

/* Whether the device says of a frame of segments what the sender said. */
static bool offload_is_kept(const struct fe_burst *b, const struct fe_burst_frame *f)
{
	struct virtio_net_hdr hdr;

	if (f->len <= FRAME_PLAIN_MAX)
		return true;
	memcpy(&hdr, f->data - b->hdr_len, sizeof(hdr));
	return hdr.gso_type == VIRTIO_NET_HDR_GSO_TCPV4 && hdr.gso_size == FRAME_GSO_SIZE &&
		(hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

/* Several queues: whether a later one of the stream came to this queue before. */
static bool is_overtaken(struct engine *e, size_t stream, uint8_t queue, uint32_t seq)
{
	uint32_t *newest = &e->newest[stream * e->o.pairs + queue];

	if ((int32_t)(seq - *newest) < 0)
		return true;
	*newest = seq;
	return false;
}

/* What the loop over a burst needs, copied: its stores might change anything, for the compiler. */
struct judge {
	struct engine *e;
	struct lane *l, *lanes;
	struct stream *streams;
	uint32_t nports, pairs;
	uint32_t mine;
	uint16_t port;
	uint8_t warm_id, count_id;
};

RW_ALWAYS_INLINE bool is_ours(const struct judge *j, const struct fe_burst_frame *f,
	struct frame_seen *s, const struct frame_format *format)
{
	if (rw_unlikely(!frame_read(f->data, f->len, format, s) || s->port >= j->nports ||
		    s->queue >= j->pairs || !head_is_whole(j->l->rx, f)))
		return false;
	return !format->tcp || offload_is_kept(j->l->rx, f);
}

RW_ALWAYS_INLINE void judge(const struct judge *j, const struct fe_burst_frame *f, struct tally *t,
	const struct frame_format *format)
{
	struct frame_seen s;
	enum stream_seen seen;
	size_t stream;
	bool counts;

	if (rw_unlikely(!is_ours(j, f, &s, format))) {
		t->wrong++;
		return;
	}
	counts = s.trial == j->count_id;
	if (rw_unlikely(!counts && s.trial != j->warm_id))
		return; /* of an earlier trial */
	if (rw_unlikely((s.dst & 0xffffff) != j->mine &&
		    (s.dst != FRAME_BROADCAST || s.port == j->port))) {
		t->misplaced += counts;
		return;
	}
	stream = (size_t)s.port * j->pairs + s.queue;
	j->lanes[stream].back++;
	stream = stream * j->nports + j->port;
	seen = stream_note(&j->streams[stream], s.seq);
	if (rw_unlikely(seen == STREAM_AGAIN)) {
		j->lanes[stream / j->nports].back--;
		t->duplicated += counts;
		return;
	}
	if (rw_unlikely(j->pairs > 1)) {
		if (is_overtaken(j->e, stream, j->l->queue, s.seq))
			t->reordered += counts;
	} else if (rw_unlikely(seen == STREAM_LATE)) {
		t->reordered += counts;
	}
	t->received += counts;
	t->bytes += counts ? f->len : 0;
}

/* Where a burst is looked at more closely: a frame, and a place in its payload. */
struct sample {
	const struct fe_burst_frame *frame;
	const uint8_t *at;
	uint32_t off;
	uint32_t len;
};

/* Choose by chance, and fetch it: it is compared after the heads. */
static inline void sample_choose(struct engine *e, const struct lane *l,
	const struct fe_burst_frame *frames, unsigned n, struct sample *s)
{
	uint32_t first = e->format->payload_at;

	e->random = e->random * 6364136223846793005ull + 1442695040888963407ull;
	s->frame = &frames[(e->random >> 32) * n >> 32];
	s->len = 0;
	if (s->frame->len <= first)
		return;
	s->off = first + (uint32_t)((e->random >> 16 & 0xffff) * (s->frame->len - first) >> 16);
	s->at = fe_burst_at(l->rx, s->frame, s->off, &s->len);
	s->len = RW_MIN(s->len, SAMPLE);
	__builtin_prefetch(s->at);
}

static inline bool sample_is_right(
	const struct engine *e, const struct lane *l, const struct sample *s)
{
	struct frame_seen seen;

	if (!frame_read(s->frame->data, s->frame->len, e->format, &seen) ||
		!head_is_whole(l->rx, s->frame))
		return true; /* counted as wrong already */
	for (uint32_t i = 0; i < s->len; i++) {
		if (s->at[i] != frame_payload(seen.port, seen.buffer, s->off + i))
			return false;
	}
	return true;
}

static void latency_record(struct engine *e, const struct fe_burst_frame *frames, unsigned n)
{
	uint32_t now = (uint32_t)(tsc_now() >> e->stamp_shift);
	struct frame_seen s;

	for (unsigned i = 0; i < n; i++) {
		if (frame_read(frames[i].data, frames[i].len, e->format, &s) &&
			s.trial == e->count_id)
			histogram_add(e->latency, (now - s.stamp) * e->stamp_ns >> 20);
	}
}

static void tally_add(struct bench_port_result *c, const struct tally *t)
{
	c->received += t->received;
	c->received_bytes += t->bytes;
	c->wrong += t->wrong;
	c->misplaced += t->misplaced;
	c->reordered += t->reordered;
	c->duplicated += t->duplicated;
}

int lane_receive(struct engine *e, struct lane *l)
{
	struct fe_burst_frame frames[FE_BURST_MAX];
	const struct judge j = {e, l, e->lanes, e->streams, e->o.nports, e->o.pairs, l->mine,
		l->port, e->warm_id, e->count_id};
	struct tally t = {0};
	struct sample sample;
	int n;

	n = fe_burst_recv(l->rx, frames, FE_BURST_MAX);
	if (n <= 0)
		return n;
	sample_choose(e, l, frames, (unsigned)n, &sample);
	if (e->o.latency && e->phase != ENGINE_WARM)
		latency_record(e, frames, (unsigned)n);
	if (e->format->tcp) {
		for (int i = 0; i < n; i++)
			judge(&j, &frames[i], &t, &frame_tcp);
	} else {
		for (int i = 0; i < n; i++)
			judge(&j, &frames[i], &t, &frame_udp);
	}
	t.wrong += !sample_is_right(e, l, &sample);
	if (e->phase == ENGINE_WARM)
		t.wrong = 0;
	tally_add(&e->ports[l->port].count, &t);
	fe_burst_release(l->rx);
	return n;
}

int lane_discard(struct lane *l)
{
	struct fe_burst_frame frames[FE_BURST_MAX];
	int n;

	n = fe_burst_recv(l->rx, frames, FE_BURST_MAX);
	if (n > 0)
		fe_burst_release(l->rx);
	fe_burst_kick(l->rx);
	return n;
}
