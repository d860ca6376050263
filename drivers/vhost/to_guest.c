/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copying frames into a guest's buffers: the one copy. Two passes: place every frame of the burst
 * into buffers, whose lines are fetched for writing meanwhile, then copy. Used entries are written
 * when a frame is placed; the driver cannot see them before the flush at the end.
 */
#include <string.h>

#include "queue.h"
#include "vq_ops.h"

/* A frame and the buffers it goes to. */
struct slot {
	const struct frame *frame;
	struct rw_seg *segs;
	uint16_t num_buffers;
};

static inline void lock(struct vhost_queue *q)
{
	if (!q->shared)
		return;
	while (__atomic_exchange_n(&q->lock, 1, __ATOMIC_ACQUIRE)) {
		while (__atomic_load_n(&q->lock, __ATOMIC_RELAXED))
			rw_pause();
	}
}

static inline void unlock(struct vhost_queue *q)
{
	if (q->shared)
		__atomic_store_n(&q->lock, 0, __ATOMIC_RELEASE);
}

/* Whether the receiver negotiated what the frame needs; counts it when not. */
static inline bool offload_fits(struct vhost_queue *q, const struct frame *f)
{
	uint8_t type = f->offload.gso_type;

	if (rw_likely(!(f->offload.flags | type)))
		return true;
	if (f->offload.flags && !q->csum) {
		port_count_drop(q->counters, PORT_DROP_NO_CSUM);
		return false;
	}
	if (((type & VIRTIO_NET_HDR_GSO_ECN) && !q->ecn) ||
		((type & 7) == VIRTIO_NET_HDR_GSO_TCPV4 && !q->tso4) ||
		((type & 7) == VIRTIO_NET_HDR_GSO_TCPV6 && !q->tso6)) {
		port_count_drop(q->counters, PORT_DROP_NO_GSO);
		return false;
	}
	return true;
}

/* Return the first `n` of q->taken unused, and count why. */
RW_ALWAYS_INLINE void return_unused(
	struct vhost_queue *q, unsigned n, enum port_drop why, const bool packed)
{
	for (unsigned i = 0; i < n; i++)
		vq_complete(&q->vq, &q->taken[i], 0, packed, true);
	port_count_drop(q->counters, why);
}

/*
 * The next good chain into q->taken[0]; bad ones on the way are returned unused, a burst of them at
 * most, because a guest can add to them as fast as they are returned. `at` is where it was fetched
 * from.
 */
RW_ALWAYS_INLINE bool first_chain(
	struct vhost_queue *q, struct rw_seg *segs, struct vq_cursor *at, const bool packed)
{
	for (unsigned bad = 0; bad < FRAME_BURST; bad++) {
		enum vq_status status;

		*at = q->vq.next;
		status = vq_fetch(&q->vq, segs, &q->taken[0], packed, true);
		if (rw_likely(status == VQ_CHAIN))
			return true;
		if (status == VQ_BROKEN)
			vhost_queue_broke(q);
		if (status == VQ_BROKEN || status == VQ_EMPTY)
			return false;
		vhost_count_bad(q, status);
		vq_complete(&q->vq, &q->taken[0], 0, packed, true);
	}
	return false;
}

/*
 * Mergeable buffers (virtio 1.2, 5.1.6.4): take more chains until the frame fits. False: dropped and
 * counted. Chains that were taken in vain go back into the ring when the guest may still add to them,
 * and back to the guest when they could block the ring for ever.
 */
RW_ALWAYS_INLINE bool more_chains(struct vhost_queue *q, struct slot *slot, uint32_t need,
	uint32_t *nsegs, struct vq_cursor start, const bool packed)
{
	uint32_t room = q->taken[0].len;

	while (room < need) {
		struct vq_chain *chain = &q->taken[slot->num_buffers];
		enum vq_status status;

		if (slot->num_buffers == q->vq.num || *nsegs > vq_max_segs(q->vq.num)) {
			return_unused(q, slot->num_buffers, PORT_DROP_TOO_LONG, packed);
			return false;
		}
		status = vq_fetch(&q->vq, slot->segs + *nsegs, chain, packed, true);
		if (status == VQ_EMPTY || status == VQ_BROKEN) {
			vq_rewind(&q->vq, start);
			port_count_drop(q->counters, PORT_DROP_NO_BUFFER);
			return false;
		}
		slot->num_buffers++;
		if (rw_unlikely(status != VQ_CHAIN)) {
			return_unused(q, slot->num_buffers,
				status == VQ_BAD_ADDR ? PORT_DROP_BAD_ADDRESS : PORT_DROP_BAD_CHAIN,
				packed);
			return false;
		}
		room += RW_MIN(chain->len, need); /* so that the sum cannot wrap */
		*nsegs += chain->nsegs;
	}
	return true;
}

/* Find buffers for `f` and write their used entries. False: dropped and counted. */
RW_ALWAYS_INLINE bool place(struct vhost_queue *q, const struct frame *f, struct slot *slot,
	uint32_t *nsegs, const bool packed, const bool mergeable)
{
	uint32_t need = q->hdr_len + f->len, left = need;
	struct vq_cursor start;

	if (!first_chain(q, slot->segs, &start, packed)) {
		port_count_drop(q->counters, PORT_DROP_NO_BUFFER);
		return false;
	}
	slot->frame = f;
	slot->num_buffers = 1;
	*nsegs = q->taken[0].nsegs;
	if (rw_unlikely(q->taken[0].len < need)) {
		if (!mergeable) {
			return_unused(q, 1, PORT_DROP_TOO_LONG, packed);
			return false;
		}
		if (!more_chains(q, slot, need, nsegs, start, packed))
			return false;
	}
	for (uint32_t i = 0; i < slot->num_buffers; i++) {
		uint32_t len = RW_MIN(q->taken[i].len, left);

		vq_complete(&q->vq, &q->taken[i], len, packed, true);
		left -= len;
	}
	return true;
}

/* Where the next byte goes. */
struct cursor {
	struct rw_seg *seg;
	uint8_t *at;
	uint32_t left; /* bytes of this segment */
};

/* Copy to the segments, which have room for it. */
static inline void put(struct cursor *c, const void *src, uint32_t n)
{
	const uint8_t *from = src;

	while (n) {
		uint32_t piece;

		while (rw_unlikely(!c->left)) {
			c->seg++;
			c->at = c->seg->data;
			c->left = c->seg->len;
		}
		piece = RW_MIN(n, c->left);
		memcpy(c->at, from, piece);
		c->at += piece;
		c->left -= piece;
		from += piece;
		n -= piece;
	}
}

static inline void net_hdr_fill(struct virtio_net_hdr_mrg_rxbuf *h, const struct slot *slot)
{
	const struct frame_offload *o = &slot->frame->offload;

	*h = (struct virtio_net_hdr_mrg_rxbuf){.num_buffers = slot->num_buffers};
	if (rw_unlikely(o->flags | o->gso_type)) {
		h->hdr.flags = o->flags;
		h->hdr.gso_type = o->gso_type;
		h->hdr.hdr_len = o->hdr_len;
		h->hdr.gso_size = o->gso_size;
		h->hdr.csum_start = o->csum_start;
		h->hdr.csum_offset = o->csum_offset;
	}
}

/* The header and the frame into the slot's buffers. */
static inline void fill(const struct vhost_queue *q, const struct slot *slot)
{
	const struct frame *f = slot->frame;
	struct cursor c = {.seg = slot->segs, .at = slot->segs->data, .left = slot->segs->len};
	struct virtio_net_hdr_mrg_rxbuf hdr;

	net_hdr_fill(&hdr, slot);
	if (rw_likely(q->hdr_len == NET_HDR_LONG && f->len >= FRAME_HEAD &&
		    c.left >= NET_HDR_LONG + FRAME_HEAD)) {
		memcpy(c.at, &hdr, NET_HDR_LONG);
		memcpy(c.at + NET_HDR_LONG, f->head, FRAME_HEAD);
		c.at += NET_HDR_LONG + FRAME_HEAD;
		c.left -= NET_HDR_LONG + FRAME_HEAD;
	} else {
		put(&c, &hdr, q->hdr_len);
		put(&c, f->head, frame_head_len(f));
	}
	for (uint16_t i = 0; i < f->nsegs; i++)
		put(&c, f->seg[i].data, f->seg[i].len);
}

/* The first lines that `fill` writes. */
static inline void prefetch_slot(const struct slot *slot, uint32_t len)
{
	const uint8_t *p = slot->segs->data;

	__builtin_prefetch(p, 1);
	__builtin_prefetch(p + RW_CACHE_LINE, 1);
	if (len > FRAME_HEAD) {
		__builtin_prefetch(p + 2 * RW_CACHE_LINE, 1);
		__builtin_prefetch(p + 3 * RW_CACHE_LINE, 1);
	}
}

RW_ALWAYS_INLINE void to_guest(struct vhost_queue *q, struct frame *const *frames, unsigned n,
	const bool packed, const bool mergeable)
{
	struct slot slots[FRAME_BURST];
	struct port_tally tally = {0};
	unsigned i = 0;

	lock(q);
	vq_prefetch(&q->vq, vq_peek(&q->vq, (uint16_t)n, packed), packed);
	while (i < n) {
		const struct rw_seg *last = q->segs + BURST_SEGS;
		struct rw_seg *seg = q->segs;
		unsigned nslots = 0;

		for (; i < n && seg <= last; i++) {
			struct slot *slot = &slots[nslots];
			uint32_t nsegs;

			slot->segs = seg;
			if (!offload_fits(q, frames[i]) ||
				!place(q, frames[i], slot, &nsegs, packed, mergeable))
				continue;
			prefetch_slot(slot, frames[i]->len);
			port_tally_add(&tally, frames[i]);
			seg += nsegs;
			nslots++;
		}
		for (unsigned k = 0; k < nslots; k++)
			fill(q, &slots[k]);
	}
	if (q->vq.npending) {
		vq_flush(&q->vq, packed);
		vq_signal(&q->vq, packed);
	}
	port_tally_commit(&tally, q->counters);
	unlock(q);
}

static void to_split(struct vhost_queue *q, struct frame *const *frames, unsigned n)
{
	to_guest(q, frames, n, false, false);
}

static void to_split_mergeable(struct vhost_queue *q, struct frame *const *frames, unsigned n)
{
	to_guest(q, frames, n, false, true);
}

static void to_packed(struct vhost_queue *q, struct frame *const *frames, unsigned n)
{
	to_guest(q, frames, n, true, false);
}

static void to_packed_mergeable(struct vhost_queue *q, struct frame *const *frames, unsigned n)
{
	to_guest(q, frames, n, true, true);
}

void vhost_to_init(struct vhost_queue *q, bool mergeable)
{
	if (q->packed)
		q->to = mergeable ? to_packed_mergeable : to_packed;
	else
		q->to = mergeable ? to_split_mergeable : to_split;
}
