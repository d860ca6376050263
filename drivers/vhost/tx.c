/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copying frames into a guest's buffers: the one copy. Two passes: place every frame of the burst
 * into buffers, whose lines are fetched for writing meanwhile, then copy. Used entries are written
 * when a frame is placed; the driver cannot see them before the flush at the end.
 */
#include <string.h>

#include "net_hdr.h"
#include "port_observer.h"
#include "queue.h"
#include "vq_ops.h"

/* A frame and the buffers it goes to. */
struct slot {
	const struct frame *frame;
	struct rw_seg *segs;
	uint16_t num_buffers;
};

/*
 * Whether the guest takes the frame as it is. What waited in a relay was converted before, by the
 * worker.
 */
static inline bool takes(const struct vhost_queue *q, const struct frame *f)
{
	return rw_likely(frame_is_plain(f)) || q->relay || port_txq_takes(&q->txq, f);
}

/* Count the frame in hand as dropped, and note why. Whoever has it tells. */
static inline void count_drop(struct vhost_queue *q, enum port_drop why)
{
	port_count_drop(q->counters, why);
	q->txq.why = (uint8_t)why;
}

/* Return the first `n` of q->taken unused, and count why. */
RW_ALWAYS_INLINE void return_unused(
	struct vhost_queue *q, unsigned n, enum port_drop why, const unsigned mode)
{
	for (unsigned i = 0; i < n; i++)
		vq_complete(&q->vq, &q->taken[i], 0, mode, true);
	count_drop(q, why);
}

/* Put back what was fetched since `at`, until the front-end has said what it lacks. */
static void wait_for_ranges(struct vhost_queue *q, struct vq_cursor at, const unsigned mode)
{
	vq_rewind(&q->vq, at, mode);
	vhost_miss_ask(q);
}

/* What became of a frame. */
enum placed {
	PLACED,
	DROPPED, /* and counted, and txq.why says why */
	MISSED,  /* behind an IOMMU: the buffer is not known yet; nothing was taken from the ring */
};

/*
 * The next good chain into q->taken[0]; bad ones on the way are returned unused, a burst of them at
 * most and no more than the burst's allowance of descriptors is worth, because a guest can add to
 * them as fast as they are returned. `at` is where it was fetched from.
 */
RW_ALWAYS_INLINE enum placed first_chain(
	struct vhost_queue *q, struct rw_seg *segs, struct vq_cursor *at, const unsigned mode)
{
	for (unsigned bad = 0; bad < FRAME_BURST && !vhost_walk_spent(q); bad++) {
		enum vq_status status;

		*at = q->vq.next;
		status = vq_fetch(&q->vq, segs, &q->taken[0], mode, true);
		if (rw_likely(status == VQ_CHAIN))
			return PLACED;
		if ((mode & VQ_SLOW) && status == VQ_MISS) {
			if (!vhost_miss_is_refused(q)) {
				wait_for_ranges(q, *at, mode);
				return MISSED;
			}
			status = VQ_BAD_ADDR;
		}
		if (status == VQ_BROKEN)
			vhost_queue_broke(q);
		if (status == VQ_BROKEN || status == VQ_EMPTY)
			break;
		port_txq_drop_buffer(&q->txq, vhost_bad_reason(status));
		vq_complete(&q->vq, &q->taken[0], 0, mode, true);
	}
	if (vhost_walk_spent(q)) {
		count_drop(q, PORT_DROP_WORK);
		return DROPPED;
	}
	port_txq_lags(&q->txq);
	count_drop(q, PORT_DROP_NO_BUFFER);
	return DROPPED;
}

/* Whether the frame in hand has cost its allowance and as much again as the ring has entries. */
static inline bool is_too_costly(const struct vhost_queue *q)
{
	return q->vq.walked > q->walk_most + q->vq.num;
}

/*
 * Mergeable buffers (virtio 1.2, 5.1.6.4): take more chains until the frame fits. Chains that were
 * taken in vain go back into the ring when the guest may still add to them, and back to the guest
 * when they could block the ring for ever.
 */
RW_ALWAYS_INLINE enum placed more_chains(struct vhost_queue *q, struct slot *slot, uint32_t need,
	uint32_t *nsegs, struct vq_cursor start, const unsigned mode)
{
	uint32_t room = q->taken[0].len;

	while (room < need) {
		struct vq_chain *chain = &q->taken[slot->num_buffers];
		enum vq_status status;

		if (slot->num_buffers == q->vq.num || *nsegs > vq_max_segs(q->vq.num)) {
			return_unused(q, slot->num_buffers, PORT_DROP_TOO_LONG, mode);
			return DROPPED;
		}
		if (rw_unlikely(is_too_costly(q))) {
			return_unused(q, slot->num_buffers, PORT_DROP_WORK, mode);
			return DROPPED;
		}
		/* With slow-path features vq_fetch counts every chain. */
		if (!(mode & VQ_SLOW))
			q->vq.walked++;
		status = vq_fetch(&q->vq, slot->segs + *nsegs, chain, mode, true);
		if ((mode & VQ_SLOW) && status == VQ_MISS) {
			if (!vhost_miss_is_refused(q)) {
				wait_for_ranges(q, start, mode);
				return MISSED;
			}
			status = VQ_BAD_ADDR;
		}
		if (status == VQ_EMPTY || status == VQ_BROKEN) {
			vq_rewind(&q->vq, start, mode);
			port_txq_lags(&q->txq);
			count_drop(q, PORT_DROP_NO_BUFFER);
			return DROPPED;
		}
		slot->num_buffers++;
		if (rw_unlikely(status != VQ_CHAIN)) {
			return_unused(q, slot->num_buffers, vhost_bad_reason(status), mode);
			return DROPPED;
		}
		room += RW_MIN(chain->len, need); /* so that the sum cannot wrap */
		*nsegs += chain->nsegs;
	}
	return PLACED;
}

/* Find buffers for `f` and write their used entries. */
RW_ALWAYS_INLINE enum placed place(struct vhost_queue *q, const struct frame *f, struct slot *slot,
	uint32_t *nsegs, const unsigned mode, const bool mergeable)
{
	uint32_t need = q->hdr_len + f->len, left = need;
	struct vq_cursor start;
	enum placed result;

	q->walk_most += PORT_WORK_FRAME + need / PORT_WORK_BYTES;
	result = first_chain(q, slot->segs, &start, mode);
	if (rw_unlikely(result != PLACED))
		return result;
	slot->frame = f;
	slot->num_buffers = 1;
	*nsegs = q->taken[0].nsegs;
	if (rw_unlikely(q->taken[0].len < need)) {
		if (!mergeable) {
			return_unused(q, 1, PORT_DROP_TOO_LONG, mode);
			return DROPPED;
		}
		result = more_chains(q, slot, need, nsegs, start, mode);
		if (result != PLACED)
			return result;
	}
	for (uint32_t i = 0; i < slot->num_buffers; i++) {
		uint32_t len = RW_MIN(q->taken[i].len, left);

		vq_complete(&q->vq, &q->taken[i], len, mode, true);
		left -= len;
	}
	return PLACED;
}

/* Where the next byte goes. */
struct cursor {
	struct rw_seg *seg;
	uint8_t *at;
	uint32_t left; /* bytes of this segment */
	rw_copy_fn copy;
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
		c->copy(c->at, from, piece);
		c->at += piece;
		c->left -= piece;
		from += piece;
		n -= piece;
	}
}

/* The header and the frame into the slot's buffers. */
RW_ALWAYS_INLINE void fill(
	const struct vhost_queue *q, const struct slot *slot, const unsigned mode)
{
	const struct frame *f = slot->frame;
	struct cursor c = {.seg = slot->segs,
		.at = slot->segs->data,
		.left = slot->segs->len,
		.copy = q->copy};
	const bool swap = (mode & VQ_SLOW) && q->vq.swap;
	const uint32_t hdr_len = q->hdr_len;

	if (rw_likely(!swap && f->head_len == FRAME_HEAD && c.left >= hdr_len + FRAME_HEAD)) {
		net_hdr_put(c.at, f, slot->num_buffers, hdr_len);
		rw_copy_line(c.at + hdr_len, f->head, mode & VHOST_WIDE);
		c.at += hdr_len + FRAME_HEAD;
		c.left -= hdr_len + FRAME_HEAD;
	} else {
		struct virtio_net_hdr_mrg_rxbuf hdr;

		net_hdr_put((uint8_t *)&hdr, f, slot->num_buffers, NET_HDR_LONG);
		if (swap) {
			net_hdr_swap(&hdr.hdr);
			hdr.num_buffers = __builtin_bswap16(hdr.num_buffers);
		}
		put(&c, &hdr, hdr_len);
		put(&c, f->head, f->head_len);
	}
	for (uint16_t i = 0; i < f->nsegs; i++)
		put(&c, f->seg[i].data, f->seg[i].len);
}

/*
 * The first lines that are written of a buffer at `p`: BUFFER_LINES of a frame that is not the
 * shortest.
 */
#define BUFFER_LINES 4

static inline void prefetch_buffer(const uint8_t *p, uint32_t len, const bool apart)
{
	if (apart)
		__builtin_prefetch(p);
	else
		rw_prefetch_write(p);
	rw_prefetch_write(p + RW_CACHE_LINE);
	if (len > FRAME_HEAD) {
		rw_prefetch_write(p + 2 * RW_CACHE_LINE);
		rw_prefetch_write(p + 3 * RW_CACHE_LINE);
	}
}

/* Bytes up to which a frame is short. */
#define SHORT 128u

/* Longer frames are left to the CPU's own prefetching. */
#define PREFETCH_MOST 2048u

/* While the frame before is copied: the lines of both sides that were not asked for yet. */
static inline void prefetch_rest(const uint8_t *to, const struct frame *f)
{
	uint32_t len = RW_MIN(f->len, PREFETCH_MOST);

	for (uint32_t at = BUFFER_LINES * RW_CACHE_LINE; at < len; at += RW_CACHE_LINE)
		rw_prefetch_write(to + at);
	if (f->nsegs != 1)
		return;
	for (uint32_t at = RW_CACHE_LINE; at < len - f->head_len; at += RW_CACHE_LINE)
		__builtin_prefetch(f->seg->data + at);
}

/* A head, two pieces of which may overlap: no loop, and no call. `wide` is a constant. */
RW_ALWAYS_INLINE void put_head(uint8_t *at, const struct frame *f, const bool wide)
{
	const uint32_t len = f->head_len, half = FRAME_HEAD / 2;

	if (rw_likely(len == FRAME_HEAD)) {
		rw_copy_line(at, f->head, wide);
	} else if (len > FRAME_HEAD && len <= 2 * FRAME_HEAD) {
		rw_copy_line(at, f->head, wide);
		rw_copy_line(at + len - FRAME_HEAD, f->head + len - FRAME_HEAD, wide);
	} else if (len >= half && len < FRAME_HEAD) {
		memcpy(at, f->head, half);
		memcpy(at + len - half, f->head + len - half, half);
	} else {
		memcpy(at, f->head, len);
	}
}

/*
 * The header and the frame into one buffer, which has room for them. `apart` and `wide` are
 * constants.
 */
RW_ALWAYS_INLINE void fill_whole(uint8_t *at, const struct frame *f, const uint32_t hdr_len,
	rw_copy_fn copy, const bool apart, const bool wide)
{
	if (apart)
		net_hdr_put_if_new(at, f);
	else
		net_hdr_put(at, f, 1, hdr_len);
	at += hdr_len;
	put_head(at, f, wide);
	at += f->head_len;
	for (uint16_t i = 0; i < f->nsegs; i++) {
		copy(at, f->seg[i].data, f->seg[i].len);
		at += f->seg[i].len;
	}
}

/* Frames and the buffers they go to, one each. */
struct whole {
	struct frame *const *frames;
	const struct rw_seg *segs;
	unsigned n;
	bool ahead; /* long ones: fetch their lines, too */
};

/* All of them. `hdr_len` is a constant where it can be. */
RW_ALWAYS_INLINE void fill_burst(const struct whole *w, const uint32_t hdr_len, rw_copy_fn copy,
	const bool apart, const bool wide)
{
	const unsigned n = w->n, behind = w->ahead ? n : 0;

	for (unsigned at = 0; at < n; at++) {
		if (at + 1 < behind)
			prefetch_rest(w->segs[at + 1].data, w->frames[at + 1]);
		fill_whole(w->segs[at].data, w->frames[at], hdr_len, copy, apart, wide);
	}
}

/* Mark the pages that `fill` wrote. */
static RW_NOINLINE void log_slot(struct vhost_queue *q, const struct slot *slot)
{
	uint64_t left = q->hdr_len + slot->frame->len;

	for (const struct rw_seg *seg = slot->segs; left; seg++) {
		const uint8_t *at = seg->data;
		uint64_t len = RW_MIN(left, seg->len), piece, gpa;

		left -= len;
		/* What the chain's look-up found is in the map, in one region or more. */
		for (; len; at += piece, len -= piece) {
			piece = len;
			if (gm_host_to_gpa(q->vq.mem, at, &piece, &gpa, &q->log_hint)) {
				/* A page that was written may not migrate: control says so. */
				__atomic_store_n(&q->nunlogged, q->nunlogged + 1, __ATOMIC_RELAXED);
				return;
			}
			dl_mark(&q->batch, gpa, piece);
		}
	}
}

/*
 * The usual case, without slow-path features: each frame goes to one buffer of one descriptor. How
 * many frames are dealt with; the next one does not fit this, or the ring has no more.
 */
RW_ALWAYS_INLINE unsigned put_whole(struct vhost_queue *q, struct frame **frames, unsigned n,
	unsigned *took, const unsigned mode)
{
	struct vq_chain chains[FRAME_BURST];
	/*
	 * On the stack, where no store to a guest's buffer can reach it for all the compiler knows.
	 * ringway-bench, 64 bytes, split: 74 -> 56 busy cycles a frame.
	 */
	struct frame *placed[FRAME_BURST];
	unsigned m = vq_peek(&q->vq, (uint16_t)n, mode), k = 0, i;
	const uint32_t hdr_len = q->hdr_len;
	const struct rw_seg *segs = q->segs;
	struct whole whole = {.frames = placed, .segs = segs};
	uint64_t bytes = 0;
	bool apart;

	/* An empty ring is the driver's to write: its lines are left there. */
	m = m ? vq_fetch_batch(&q->vq, q->segs, chains, m, mode, true) : 0;
	apart = m && hdr_len == NET_HDR_LONG && net_hdr_is_apart(segs[0].data);
	for (i = 0; i < n; i++) {
		struct frame *f = frames[i];
		uint32_t need = hdr_len + f->len;

		if (rw_unlikely(!takes(q, f) || k == m || need > segs[k].len))
			break;
		prefetch_buffer(segs[k].data, f->len, apart);
		chains[k].len = need;
		bytes += f->len;
		placed[k++] = f;
	}
	*took = k;
	vq_unfetch(&q->vq, m - k, mode);
	vq_complete_batch(&q->vq, chains, k, mode, true);
	q->nfresh = bytes <= k * SHORT ? k : 0;
	/* Where most are short, it would cost more than it saves. */
	whole.ahead = bytes > k * BUFFER_LINES * RW_CACHE_LINE;
	whole.n = k;
	if (apart)
		fill_burst(&whole, NET_HDR_LONG, q->copy, true, mode & VHOST_WIDE);
	else if (rw_likely(hdr_len == NET_HDR_LONG))
		fill_burst(&whole, NET_HDR_LONG, q->copy, false, mode & VHOST_WIDE);
	else
		fill_burst(&whole, NET_HDR_SHORT, q->copy, false, mode & VHOST_WIDE);
	return i;
}

/* Drop the frames from `i` on: the burst has walked all that it may, or the port rests. */
static RW_NOINLINE unsigned drop_rest(
	struct vhost_queue *q, struct frame **frames, unsigned i, unsigned n)
{
	port_txq_drop(&q->txq, frames + i, n - i, PORT_DROP_WORK);
	return n;
}

/*
 * Place and fill `n` frames; the `*took` that fit are moved to the front. How many are dealt with:
 * all, unless the IOTLB lacks a buffer. From one on that the guest does not take, the caller does.
 */
RW_ALWAYS_INLINE unsigned put_frames(struct vhost_queue *q, struct frame **frames, unsigned n,
	unsigned *took, const unsigned mode, const bool mergeable)
{
	unsigned i = mode & VQ_SLOW ? 0 : put_whole(q, frames, n, took, mode);
	struct slot slots[FRAME_BURST];
	bool missed = false;

	if (rw_likely(i == n))
		return n;
	q->nfresh = 0; /* `segs` is used again */
	if (!vhost_walk_begin(q, 0))
		return drop_rest(q, frames, i, n);
	while (i < n && !missed) {
		const struct rw_seg *last = q->segs + BURST_SEGS;
		struct rw_seg *seg = q->segs;
		unsigned nslots = 0;

		for (; i < n && seg <= last; i++) {
			struct slot *slot = &slots[nslots];
			enum placed placed;
			uint32_t nsegs;

			if (rw_unlikely(vhost_walk_spent(q))) {
				i = drop_rest(q, frames, i, n);
				break;
			}
			slot->segs = seg;
			if (!takes(q, frames[i])) {
				q->txq.unfit = n - i;
				i = n;
				break;
			}
			placed = place(q, frames[i], slot, &nsegs, mode, mergeable);
			if ((mode & VQ_SLOW) && placed == MISSED) {
				missed = true;
				break;
			}
			if (placed != PLACED) {
				port_tell_dropped(&q->txq, &frames[i], 1, q->txq.why);
				continue;
			}
			prefetch_buffer(slot->segs->data, frames[i]->len, false);
			frames[(*took)++] = frames[i];
			seg += nsegs;
			nslots++;
		}
		for (unsigned k = 0; k < nslots; k++) {
			fill(q, &slots[k], mode);
			if ((mode & VQ_SLOW) && q->log_buffers)
				log_slot(q, &slots[k]);
		}
	}
	vhost_walk_end(q);
	return i;
}

/*
 * Ask for the buffers behind the next ones ahead of time: for most frames the answer has come by
 * then.
 */
RW_ALWAYS_INLINE void look_ahead(struct vhost_queue *q, const unsigned mode)
{
	struct vq_cursor at = q->vq.next;
	struct vq_chain chain;

	if (!vhost_miss_may_look_ahead(q) || !vhost_walk_begin(q, PORT_WORK_AHEAD))
		return;
	for (unsigned i = 0; i < 2 * FRAME_BURST && q->vq.nmisses < VQ_MAX_MISSES; i++) {
		enum vq_status status;

		if (vhost_walk_spent(q))
			break;
		status = vq_fetch(&q->vq, q->segs, &chain, mode, true);

		if (status == VQ_EMPTY || status == VQ_BROKEN)
			break;
	}
	vq_rewind(&q->vq, at, mode);
	if (q->vq.nmisses)
		vhost_miss_ask(q);
	/* A chain that no guest has any use for; a shorter one may well be finished. */
	if (q->vq.walked > 4 * PORT_WORK_AHEAD)
		vhost_walk_end(q);
}

RW_ALWAYS_INLINE unsigned tx_burst(struct vhost_queue *q, struct frame **frames, unsigned n,
	const unsigned mode, const bool mergeable)
{
	unsigned took = 0, dealt;

	if (mode & VQ_SLOW)
		vq_prefetch(&q->vq, vq_peek(&q->vq, (uint16_t)n, mode), mode);
	dealt = put_frames(q, frames, n, &took, mode, mergeable);
	if ((mode & VQ_SLOW) && q->vq.tlb) {
		q->txq.deferred = n - dealt;
		look_ahead(q, mode);
	}
	if (q->vq.npending) {
		vq_flush(&q->vq, mode);
		vhost_count_signal(q, vq_signal(&q->vq, mode));
	}
	if (n)
		port_txq_lag_check(&q->txq);
	return took;
}

static void demote(struct port_txq *txq)
{
	struct vhost_queue *q = vhost_queue_of_txq(txq);

	for (unsigned i = 0; i < q->nfresh; i++)
		rw_demote(q->segs[i].data + q->hdr_len);
	q->nfresh = 0;
}

/* To a ring that is no longer there. */
static RW_NOINLINE unsigned refuse(struct vhost_queue *q, struct frame **frames, unsigned n)
{
	port_txq_drop(&q->txq, frames, n, PORT_DROP_LINK_DOWN);
	return 0;
}

/* Without and with mergeable buffers. */
#define BODIES(name, mode, target)                                                                \
	target static unsigned tx_##name(struct port_txq *txq, struct frame **frames, unsigned n) \
	{                                                                                         \
		struct vhost_queue *q = vhost_queue_of_txq(txq);                                  \
                                                                                                  \
		if (rw_unlikely(vhost_queue_is_lost(q)))                                          \
			return refuse(q, frames, n);                                              \
		return tx_burst(q, frames, n, mode, false);                                       \
	}                                                                                         \
	target static unsigned tx_##name##_mergeable(                                             \
		struct port_txq *txq, struct frame **frames, unsigned n)                          \
	{                                                                                         \
		struct vhost_queue *q = vhost_queue_of_txq(txq);                                  \
                                                                                                  \
		if (rw_unlikely(vhost_queue_is_lost(q)))                                          \
			return refuse(q, frames, n);                                              \
		return tx_burst(q, frames, n, mode, true);                                        \
	}

VHOST_MODES(BODIES)

void vhost_tx_init(struct vhost_queue *q, bool mergeable)
{
#define ROW(name, mode, target) [mode] = {tx_##name, tx_##name##_mergeable},
	static unsigned (*const bodies[][2])(
		struct port_txq * txq, struct frame * *frames, unsigned n) = {VHOST_MODES(ROW)};
#undef ROW

	q->txq.burst = bodies[vhost_mode_of(q)][mergeable];
	q->txq.demote = rw_demotes() ? demote : NULL;
	q->copy = rw_copy_best();
}
