/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames for a tx queue that does not take them as they are. */
#include "frame_convert.h"
#include "port.h"
#include "port_fifo.h"
#include "port_observer.h"

/*
 * Pieces of the senders' buffers that a burst of segments may consist of. A burst with more is sent
 * in parts. One segment has up to 18 of a Linux guest.
 */
#define ROOM 1024

/* Bytes of a payload that are fetched ahead. */
#define PREFETCH_MOST 2048u

/* Frames that wait to be sent, and what they are made of. */
struct batch {
	struct port_txq *q;
	bool held; /* frames go to the backlog */
	unsigned n;
	unsigned took; /* delivered */
	struct port_tally tally;
	struct frame_room room;
	struct frame *list[FRAME_BURST];
	struct frame made[FRAME_BURST];
	struct rw_seg segs[ROOM];
};

/* What the queue takes now. */
static uint8_t takes(const struct port_txq *q)
{
	uint8_t all = q->takes & (uint8_t)~__atomic_load_n(&q->port->refuses, __ATOMIC_RELAXED);

	return all & FRAME_TAKES_CSUM ? all : 0;
}

/* Whether the queue, which takes `all` now, takes the frame as it is. */
static bool fits(const struct port_txq *q, const struct frame *f, uint8_t all)
{
	return !(frame_needs(f) & (uint8_t)~all) &&
		!(f->offload.gso_type && f->offload.gso_size < q->gso_least);
}

bool port_txq_takes(const struct port_txq *q, const struct frame *f)
{
	return fits(q, f, takes(q));
}

static void count_fault(const struct port_txq *q, struct frame *f, enum frame_fault fault)
{
	enum port_drop why = PORT_DROP_MANY_SEGMENTS;

	if (fault == FRAME_BAD_CSUM)
		why = PORT_DROP_BAD_CSUM;
	else if (fault == FRAME_BAD_GSO)
		why = PORT_DROP_BAD_GSO;
	port_txq_drop_one(q, f, why);
}

/* Send what waits, or append it to the backlog. */
static void flush(struct batch *b)
{
	struct port_txq *q = b->q;
	unsigned dealt = 0, took;

	if (!b->held && b->n) {
		/* Of a queue without one, it is the post-copy thread's while that has the ring. */
		if (q->backlog)
			q->deferred = 0;
		took = q->burst(q, b->list, b->n);
		port_tally_frames(&b->tally, b->list, took);
		port_tell_sent(q, b->list, took);
		b->took += took;
		dealt = b->n - (q->backlog ? q->deferred : 0);
		/* The port refuses since a moment ago what it took then. */
		if (rw_unlikely(q->unfit))
			port_txq_drop(q, b->list + b->n - q->unfit, q->unfit, PORT_DROP_BAD_CSUM);
		q->unfit = 0;
	}
	for (; dealt < b->n; dealt++) {
		b->held = true;
		if (!port_fifo_push(q->backlog, b->list[dealt]))
			port_txq_drop(q, &b->list[dealt], 1, PORT_DROP_NO_BUFFER);
	}
	b->n = 0;
	b->room.n = 0;
}

static void add(struct batch *b, struct frame *f)
{
	b->list[b->n++] = f;
	if (b->n == FRAME_BURST)
		flush(b);
}

/* While the frame before is completed. lib/frame/checksum.c: 213 -> 208 cycles a frame. */
static inline void payload_fetch(const struct frame *f)
{
	uint32_t most = f->nsegs ? RW_MIN(f->seg->len, PREFETCH_MOST) : 0;

	for (uint32_t at = 0; at < most; at += RW_CACHE_LINE)
		__builtin_prefetch(f->seg->data + at);
}

static void complete(struct batch *b, struct frame *f)
{
	enum frame_fault fault = frame_csum_fill(f, &b->room, &b->made[b->n]);

	if (fault == FRAME_NO_ROOM && b->n) {
		flush(b);
		fault = frame_csum_fill(f, &b->room, &b->made[b->n]);
	}
	if (fault != FRAME_OK) {
		count_fault(b->q, f, fault);
		return;
	}
	if (frame_csum_is_partial(f))
		port_count(&b->q->counters->converted_csum, 1);
	add(b, &b->made[b->n]);
}

static void cut(struct batch *b, struct frame *f, bool leave_csum)
{
	struct frame_cut c;
	enum frame_fault fault = frame_cut_begin(&c, f, leave_csum);

	if (fault != FRAME_OK) {
		count_fault(b->q, f, fault);
		return;
	}
	for (;;) {
		fault = frame_cut_next(&c, &b->room, &b->made[b->n]);
		if (fault == FRAME_NO_ROOM && b->n) {
			flush(b);
			continue;
		}
		if (fault != FRAME_OK)
			break;
		add(b, &b->made[b->n]);
	}
	port_count(&b->q->counters->segmented, 1);
	port_count(&b->q->counters->segments, c.nth);
	if (fault != FRAME_END)
		count_fault(b->q, f, fault);
}

unsigned port_txq_convert(struct port_txq *q, struct frame **frames, unsigned n, bool hold)
{
	struct batch b;
	uint8_t all = takes(q);

	b.q = q;
	b.held = hold;
	b.n = 0;
	b.took = 0;
	b.tally = (struct port_tally){0};
	b.room = (struct frame_room){.segs = b.segs, .max = ROOM};
	q->unfit = 0;
	for (unsigned i = 0; i < n; i++) {
		struct frame *f = frames[i];

		if (fits(q, f, all)) {
			add(&b, f);
		} else if (f->offload.gso_type) {
			cut(&b, f, all & FRAME_TAKES_CSUM);
		} else {
			if (i + 1 < n)
				payload_fetch(frames[i + 1]);
			complete(&b, f);
		}
	}
	flush(&b);
	port_tally_commit(&b.tally, q->counters);
	return b.took;
}
