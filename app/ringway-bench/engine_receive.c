/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine: receiving, and judging what came. */
#include <errno.h>

#include "engine.h"

/* Bytes of a payload that are compared. */
#define SAMPLE 8
/* With --convert the checksums of one frame are added up in so many bursts, less one. */
#define SUM_SELDOM 31u

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

/*
 * Whether the device says of a frame of segments what the sender said; with `convert`, that there
 * is nothing left to do.
 */
static bool offload_is_right(const struct fe_burst *b, const struct fe_burst_frame *f, bool convert)
{
	struct virtio_net_hdr hdr;

	if (f->len <= FRAME_PLAIN_MAX && !convert)
		return true;
	memcpy(&hdr, f->data - b->hdr_len, sizeof(hdr));
	if (convert)
		return !hdr.gso_type && !(hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
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

/*
 * Copies of what the loop over a burst needs: to the compiler, a store might change the originals.
 */
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
	return !format->tcp || offload_is_right(j->l->rx, f, j->e->o.convert);
}

/*
 * A train: frames that follow each other from one queue to this port in one trial, in turn. What
 * they have in common is compared at once, and their counts are added once.
 */
struct train {
	uint64_t dst, dst_mask; /* of the first eight bytes */
	uint64_t src;           /* of the eight from the source address on, less the host */
	struct stream *stream;
	struct lane *from;
	uint16_t tag;
	bool counts;
};

#define TRAIN_SRC_MASK 0xffff000000ffffffull

/*
 * Whether a train may begin with this frame, which came from lane `from`: it is in turn, and no
 * frame before it is missing.
 */
RW_ALWAYS_INLINE bool train_begin(const struct judge *j, const struct fe_burst_frame *f,
	size_t from, const struct frame_seen *s, struct train *train,
	const struct frame_format *format)
{
	/*
	 * Several queues: a stream's frames overtake each other. Segments: their header is checked,
	 * too.
	 */
	if (format->tcp || j->pairs > 1)
		return false;
	train->from = &j->lanes[from];
	train->stream = &j->streams[from * j->nports + j->port];
	train->dst_mask = s->dst == FRAME_BROADCAST ? FRAME_BROADCAST : 0xffffff;
	train->dst = frame_load64(f->data) & train->dst_mask;
	train->src = frame_load64(f->data + 6) & TRAIN_SRC_MASK;
	train->tag = frame_load16(f->data + format->tag_at);
	train->counts = s->trial == j->count_id;
	return !train->stream->holes;
}

/* Count the frames, of the `n` next ones, that continue the train in turn. They are all right. */
RW_ALWAYS_INLINE unsigned train_judge(const struct train *train,
	const struct fe_burst_frame *frames, unsigned n, struct tally *t,
	const struct frame_format *format)
{
	uint32_t next = train->stream->next;
	uint64_t bytes = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		const struct fe_burst_frame *f = &frames[i];
		uint64_t other = (frame_load64(f->data) & train->dst_mask) ^ train->dst;

		other |= (frame_load64(f->data + 6) & TRAIN_SRC_MASK) ^ train->src;
		other |= frame_load16(f->data + format->tag_at) ^ train->tag;
		other |= (uint32_t)frame_load64(f->data + format->record_at) ^ (next + i);
		other |= frame_len(f->data) ^ f->len;
		other |= f->nbufs ^ 1u;
		if (rw_unlikely(other || f->len < FRAME_MIN))
			break;
		bytes += f->len;
	}
	train->stream->next = next + i;
	train->from->back += i;
	t->received += train->counts ? i : 0;
	t->bytes += train->counts ? bytes : 0;
	return i;
}

/* Judge one frame, whatever it is. True if a train may begin with it. */
RW_ALWAYS_INLINE bool judge(const struct judge *j, const struct fe_burst_frame *f, struct tally *t,
	struct train *train, const struct frame_format *format)
{
	struct frame_seen s;
	enum stream_seen seen;
	size_t from, stream;
	bool counts;

	if (rw_unlikely(!is_ours(j, f, &s, format))) {
		t->wrong++;
		return false;
	}
	counts = s.trial == j->count_id;
	if (rw_unlikely(!counts && s.trial != j->warm_id))
		return false; /* of an earlier trial */
	if (rw_unlikely((s.dst & 0xffffff) != j->mine &&
		    (s.dst != FRAME_BROADCAST || s.port == j->port))) {
		t->misplaced += counts;
		return false;
	}
	from = (size_t)s.port * j->pairs + s.queue;
	j->lanes[from].back++;
	stream = from * j->nports + j->port;
	seen = stream_note(&j->streams[stream], s.seq);
	if (rw_unlikely(seen == STREAM_AGAIN)) {
		j->lanes[from].back--;
		t->duplicated += counts;
		return false;
	}
	if (rw_unlikely(j->pairs > 1)) {
		if (is_overtaken(j->e, stream, j->l->queue, s.seq))
			t->reordered += counts;
	} else if (rw_unlikely(seen == STREAM_LATE)) {
		t->reordered += counts;
	}
	t->received += counts;
	t->bytes += counts ? f->len : 0;
	return train_begin(j, f, from, &s, train, format);
}

/* All frames of a burst. */
RW_ALWAYS_INLINE void burst_judge(const struct judge *j, const struct fe_burst_frame *frames,
	unsigned n, struct tally *t, const struct frame_format *format)
{
	struct train train;
	unsigned i = 0;

	while (i < n) {
		if (judge(j, &frames[i++], t, &train, format))
			i += train_judge(&train, &frames[i], n - i, t, format);
	}
}

/* The sample of a burst whose payload is compared: a frame, and an offset in it. */
struct sample {
	const struct fe_burst_frame *frame;
	const uint8_t *at;
	uint32_t off;
	uint32_t len;
};

/* Choose at random, and prefetch: the sample is compared after the heads. */
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
		if (s->at[i] != frame_payload(seen.port, seen.buffer, seen.skipped + s->off + i))
			return false;
	}
	/* It takes all lines of the frame from the switch's CPU: now and then. */
	if (e->o.convert && !(e->random >> 40 & SUM_SELDOM) && s->frame->nbufs == 1)
		return frame_is_summed(s->frame->data);
	return true;
}

static void latency_record(struct engine *e, const struct fe_burst_frame *frames, unsigned n)
{
	uint32_t now = (uint32_t)(tsc_now() >> e->stamp_shift);
	struct frame_seen s;

	for (unsigned i = 0; i < n; i++) {
		if (frame_read(frames[i].data, frames[i].len, e->format, &s) &&
			s.trial == e->count_id)
			rw_histogram_add(e->latency, (now - s.stamp) * e->stamp_ns >> 20);
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
	if (e->format->pieces)
		burst_judge(&j, frames, (unsigned)n, &t, e->format);
	else if (e->format->tcp)
		burst_judge(&j, frames, (unsigned)n, &t, &frame_tcp);
	else
		burst_judge(&j, frames, (unsigned)n, &t, &frame_udp);
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
