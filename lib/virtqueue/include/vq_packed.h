/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The packed ring (virtio 1.2, 2.8): one ring of descriptors that both sides write, each marked
 * with the wrap counter of the lap it belongs to, and an event structure for each side. Sizes
 * need not be powers of two, so positions are compared, never masked. Private to vq_ops.h.
 */
#include "vq_chain.h"
#include "vq_progress.h"

#define VQ_PACKED_AVAIL ((uint16_t)(1u << VRING_PACKED_DESC_F_AVAIL))
#define VQ_PACKED_USED  ((uint16_t)(1u << VRING_PACKED_DESC_F_USED))

/* Whether `flags` make a descriptor available in the lap of `wrap`. */
RW_ALWAYS_INLINE bool vq_packed_is_avail(uint16_t flags, bool wrap)
{
	return (flags & (VQ_PACKED_AVAIL | VQ_PACKED_USED)) ==
		(wrap ? VQ_PACKED_AVAIL : VQ_PACKED_USED);
}

/* Move `c` on by `n` entries, at most the ring's size. */
RW_ALWAYS_INLINE void vq_packed_advance(const struct vq *vq, struct vq_cursor *c, uint16_t n)
{
	uint32_t idx = (uint32_t)c->idx + n;

	if (idx >= vq->num) {
		idx -= vq->num;
		c->wrap = !c->wrap;
	}
	c->idx = (uint16_t)idx;
}

/*
 * The next descriptor, or false when it is not available. Pairs with the driver's barrier before it
 * writes the flags (2.8.21.1): the rest is read after them.
 */
RW_ALWAYS_INLINE bool vq_packed_available(const struct vq *vq, struct vq_cursor c)
{
	return vq_packed_is_avail(vq_load_acquire(&vq->packed[c.idx].flags), c.wrap);
}

/* Whether the next chain comes from the in-flight record instead of the ring. */
RW_ALWAYS_INLINE bool vq_packed_resumes(const struct vq *vq, const unsigned mode)
{
	return (mode & VQ_SLOW) && vq->inflight && vq_inflight_resumes_packed(vq);
}

/*
 * Never more than the ring has: the driver may change flags while a batch is read, so that nothing
 * else keeps a batch from going round a small ring twice.
 */
RW_ALWAYS_INLINE uint16_t vq_packed_peek(struct vq *vq, uint16_t want, const unsigned mode)
{
	if (!vq_packed_resumes(vq, mode) && !vq_packed_available(vq, vq->next))
		return 0;
	return RW_MIN(want, vq->num);
}

/* Prefetch, for writing, the descriptors of the next `n` entries. Four share a cache line. */
RW_ALWAYS_INLINE void vq_packed_prefetch(struct vq *vq, uint16_t n)
{
	for (uint16_t i = 4; i < n; i += 4) {
		uint32_t pos = (uint32_t)vq->next.idx + i;

		rw_prefetch_write(&vq->packed[pos >= vq->num ? pos - vq->num : pos]);
	}
}

RW_ALWAYS_INLINE enum vq_status vq_packed_indirect(
	struct vq_walk *w, struct vq_desc d, const unsigned mode)
{
	if (mode & VQ_SLOW)
		return vq_walk_indirect_slow(w, d, true);
	return vq_walk_indirect_packed(w, d);
}

/*
 * Only the first descriptor's flags say that the chain is available: the driver writes them last
 * (2.8.6), so those behind it are read as they are.
 */
RW_ALWAYS_INLINE enum vq_status vq_packed_walk(
	struct vq_walk *w, struct vq_chain *out, const unsigned mode)
{
	struct vq *vq = w->vq;
	enum vq_status status = VQ_CHAIN;
	struct vq_cursor c = vq->next;

	for (uint16_t n = 1; n <= vq->num; n++) {
		struct vq_desc d = vq_desc_load(&vq->packed[c.idx], true);

		vq->walked++;
		if ((mode & VQ_SLOW) && vq->inflight && !vq_inflight_take_packed(vq, &d, n))
			break;
		enum vq_status found = status;

		if (rw_likely(status == VQ_CHAIN) || ((mode & VQ_SLOW) && status == VQ_MISS)) {
			if (rw_unlikely(d.flags & VRING_DESC_F_INDIRECT))
				status = vq_packed_indirect(w, d, mode);
			else
				status = vq_walk_add(w, d, mode);
			if (mode & VQ_SLOW)
				status = vq_walk_combine(found, status, mode);
		}
		vq_packed_advance(vq, &c, 1);
		if (rw_likely(!(d.flags & VRING_DESC_F_NEXT))) {
			/* The id is the driver's own: it comes back as it is (2.8.8). */
			out->id = d.next;
			out->ndesc = n;
			vq->next = c;
			return status;
		}
	}
	/* A chain longer than the ring: nothing says where the next one starts. */
	if ((mode & VQ_SLOW) && vq->inflight)
		vq_inflight_drop_packed(vq);
	vq->broken = true;
	return VQ_BROKEN;
}

/* The 8 bytes with the flags hold all but the address: they are loaded once, with acquire order. */
RW_ALWAYS_INLINE enum vq_status vq_packed_fetch_plain(
	struct vq *vq, struct rw_seg *segs, struct vq_chain *out, const bool writable)
{
	const uint64_t *w = (const uint64_t *)&vq->packed[vq->next.idx];
	/* Pairs as in vq_packed_available. */
	uint64_t hi = vq_load_acquire(&w[1]);
	struct vq_desc d = vq_desc_of(vq_load(&w[0]), hi, true);

	if (!vq_packed_is_avail(d.flags, vq->next.wrap))
		return VQ_EMPTY;
	if (rw_unlikely(!vq_chain_single(vq, d, segs, out, writable)))
		return vq_packed_fetch_other(vq, segs, out, writable);
	out->id = d.next;
	vq_packed_advance(vq, &vq->next, 1);
	return VQ_CHAIN;
}

RW_ALWAYS_INLINE enum vq_status vq_packed_fetch(struct vq *vq, struct rw_seg *segs,
	struct vq_chain *out, const unsigned mode, const bool writable)
{
	struct vq_walk w = {.vq = vq, .segs = segs, .writable = writable};

	if (rw_unlikely(vq->broken))
		return VQ_BROKEN;
	if (!(mode & VQ_SLOW))
		return vq_packed_fetch_plain(vq, segs, out, writable);
	if (vq_packed_resumes(vq, mode))
		return vq_walk_end(&w, vq_inflight_walk_packed(&w, out), out);
	if (!vq_packed_available(vq, vq->next))
		return VQ_EMPTY;
	return vq_walk_end(&w, vq_packed_walk(&w, out, mode), out);
}

/*
 * The first entry of a batch is held back: its flags publish the whole batch, because the driver
 * reads used descriptors strictly in ring order.
 */
RW_ALWAYS_INLINE void vq_packed_complete(struct vq *vq, const struct vq_chain *chain, uint32_t len,
	const unsigned mode, const bool writable)
{
	uint16_t flags = vq->done.wrap ? VQ_PACKED_AVAIL | VQ_PACKED_USED : 0;
	uint16_t ndesc = chain->ndesc;
	uint64_t word;

	if (writable && len)
		flags |= VRING_DESC_F_WRITE;
	word = (uint64_t)len | (uint64_t)chain->id << 32 | (uint64_t)flags << 48;
	if (!vq->npending++) {
		vq->first_pos = vq->done.idx;
		vq->first_word = word;
		vq_progress_first(vq, word, ndesc);
	} else {
		uint64_t *entry = (uint64_t *)&vq->packed[vq->done.idx].len;

		vq_progress_next(vq->progress, vq->progress_mask, vq->done.idx, ndesc);
		vq_store(entry, word);
		if (mode & VQ_SLOW)
			vq_log_written(vq, entry, sizeof(*entry));
	}
	if ((mode & VQ_SLOW) && vq->inflight)
		vq_inflight_complete_packed(vq, ndesc);
	vq_packed_advance(vq, &vq->done, ndesc);
	vq->nsignal = (uint16_t)(vq->nsignal + ndesc);
}

RW_ALWAYS_INLINE void vq_packed_flush(struct vq *vq, const unsigned mode)
{
	uint64_t *entry = (uint64_t *)&vq->packed[vq->first_pos].len;

	if (mode & VQ_SLOW) {
		vq_log_flush(vq);
		if (vq->inflight)
			vq_inflight_flush_packed(vq);
	}
	vq_progress_flush(vq);
	/* Pairs with the driver's barrier after it read the flags (2.8.22). */
	vq_store_release(entry, vq->first_word);
	vq_progress_flushed(vq);
	if (mode & VQ_SLOW) {
		vq_log_written(vq, entry, sizeof(*entry));
		vq_log_flush(vq);
		if (vq->inflight)
			vq_inflight_flushed_packed(vq);
	}
	vq->npending = 0;
}

/* Whether the driver enabled a signal for what was flushed (2.8.14). Follows a full barrier. */
RW_ALWAYS_INLINE bool vq_packed_wants_signal(struct vq *vq)
{
	uint32_t word = vq_load((const uint32_t *)vq->driver);
	uint16_t off = (uint16_t)word, flags = (uint16_t)(word >> 16), event, now, old;
	uint16_t n = vq->nsignal;
	bool valid = vq->signal_valid;

	vq->nsignal = 0;
	vq->signal_valid = true;
	if (rw_likely(flags == VRING_PACKED_EVENT_FLAG_DISABLE))
		return false;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !vq->event_idx || !valid)
		return true;
	/* The event as a position that counts on from the present lap. */
	event = off & (uint16_t) ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
	if ((off >> VRING_PACKED_EVENT_F_WRAP_CTR) != vq->done.wrap)
		event = (uint16_t)(event - vq->num);
	now = vq->done.idx;
	old = (uint16_t)(now - n);
	return vring_need_event(event, now, old);
}
