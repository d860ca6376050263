/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The split ring (virtio 1.2, 2.7): descriptor table, available ring, used ring.
 * Private to vq_ops.h.
 */
#include "vq_chain.h"

static inline struct vring_used_elem *vq_split_used(struct vq *vq, uint16_t idx)
{
	return &vq->used->ring[idx & (vq->num - 1)];
}

static inline uint16_t *vq_split_used_event(const struct vq *vq)
{
	return &vq->avail->ring[vq->num];
}

static inline uint16_t *vq_split_avail_event(struct vq *vq)
{
	return (uint16_t *)&vq->used->ring[vq->num];
}

/* A field of the ring, in our byte order or back in the ring's. */
RW_ALWAYS_INLINE uint16_t vq_split_16(const struct vq *vq, uint16_t v, const unsigned mode)
{
	if ((mode & VQ_SLOW) && vq->swap)
		return __builtin_bswap16(v);
	return v;
}

RW_ALWAYS_INLINE uint32_t vq_split_32(const struct vq *vq, uint32_t v, const unsigned mode)
{
	if ((mode & VQ_SLOW) && vq->swap)
		return __builtin_bswap32(v);
	return v;
}

/* How many chains are available, at most `want`. Reads the driver's index if fewer are known. */
RW_ALWAYS_INLINE uint16_t vq_split_peek(struct vq *vq, uint16_t want, const unsigned mode)
{
	uint16_t n = (uint16_t)(vq->avail_seen - vq->next.idx);

	if (n < want) {
		/* Pairs with the driver's barrier before it stores avail->idx (2.7.13.3). */
		vq->avail_seen = vq_split_16(vq, vq_load_acquire(&vq->avail->idx), mode);
		n = (uint16_t)(vq->avail_seen - vq->next.idx);
		if (rw_unlikely(n > vq->num)) {
			vq->broken = true;
			vq->avail_seen = vq->next.idx;
			return 0;
		}
	}
	return RW_MIN(n, want);
}

/* Prefetch the descriptors of the next `n` chains. */
RW_ALWAYS_INLINE void vq_split_prefetch(struct vq *vq, uint16_t n, const unsigned mode)
{
	for (uint16_t i = 0; i < n; i++) {
		uint16_t pos = (uint16_t)(vq->next.idx + i) & (vq->num - 1);
		uint16_t head = vq_split_16(vq, vq_load(&vq->avail->ring[pos]), mode);

		__builtin_prefetch(&vq->desc[head & (vq->num - 1)]);
	}
}

RW_ALWAYS_INLINE enum vq_status vq_split_indirect(
	struct vq_walk *w, struct vq_desc d, const unsigned mode)
{
	if (mode & VQ_SLOW)
		return vq_walk_indirect_slow(w, d, false);
	return vq_walk_indirect_split(w, d);
}

RW_ALWAYS_INLINE enum vq_status vq_split_walk(struct vq_walk *w, uint16_t i, const unsigned mode)
{
	struct vq *vq = w->vq;
	enum vq_status found = VQ_CHAIN;

	for (uint16_t left = vq->num; left; left--) {
		struct vq_desc d = vq_desc_load_split(vq, &vq->desc[i], mode);
		enum vq_status status;

		vq->walked++;
		if (rw_unlikely(d.flags & VRING_DESC_F_INDIRECT))
			return vq_walk_combine(found, vq_split_indirect(w, d, mode), mode);
		status = vq_walk_add(w, d, mode);
		if (mode & VQ_SLOW)
			status = found = vq_walk_combine(found, status, mode);
		if ((mode & VQ_SLOW) && status == VQ_MISS && (d.flags & VRING_DESC_F_NEXT))
			status = VQ_CHAIN;
		if (rw_unlikely(status != VQ_CHAIN) || rw_likely(!(d.flags & VRING_DESC_F_NEXT)))
			return status;
		i = d.next;
		if (rw_unlikely(i >= vq->num))
			return VQ_BAD_FORM;
	}
	return VQ_BAD_FORM; /* more descriptors than the table has: a loop */
}

/* The head of the next chain: one that is in flight already, or `head` of the available ring. */
RW_ALWAYS_INLINE uint16_t vq_split_resume(const struct vq *vq, uint16_t head)
{
	if (vq->inflight)
		vq_inflight_resume_split(vq, &head);
	return head;
}

/* Enter it in the in-flight record. False: more chains than descriptors. */
RW_ALWAYS_INLINE bool vq_split_take(struct vq *vq, uint16_t head)
{
	return !vq->inflight || vq_inflight_take_split(vq, head);
}

RW_ALWAYS_INLINE enum vq_status vq_split_fetch(struct vq *vq, struct rw_seg *segs,
	struct vq_chain *out, const unsigned mode, const bool writable)
{
	struct vq_walk w = {.vq = vq, .segs = segs, .writable = writable};
	uint16_t head;

	if (!vq_split_peek(vq, 1, mode))
		return vq->broken ? VQ_BROKEN : VQ_EMPTY;
	head = vq_load(&vq->avail->ring[vq->next.idx & (vq->num - 1)]);
	if (mode & VQ_SLOW)
		head = vq_split_resume(vq, vq_split_16(vq, head, mode));
	if (rw_unlikely(head >= vq->num) || ((mode & VQ_SLOW) && !vq_split_take(vq, head))) {
		vq->broken = true;
		return VQ_BROKEN;
	}
	vq->next.idx++;
	out->id = head;
	if (!(mode & VQ_SLOW)) {
		struct vq_desc d = vq_desc_load(&vq->desc[head], false);

		if (rw_likely(vq_chain_single(vq, d, segs, out, writable)))
			return VQ_CHAIN;
		return vq_split_fetch_other(vq, segs, out, head, writable);
	}
	out->ndesc = 1;
	return vq_walk_end(&w, vq_split_walk(&w, head, mode), out);
}

RW_ALWAYS_INLINE void vq_split_complete(
	struct vq *vq, uint16_t id, uint32_t len, const unsigned mode)
{
	struct vring_used_elem *e = vq_split_used(vq, vq->done.idx++);

	vq_store(&e->id, vq_split_32(vq, id, mode));
	vq_store(&e->len, vq_split_32(vq, len, mode));
	vq->npending++;
	if (mode & VQ_SLOW) {
		vq_log_written(vq, e, sizeof(*e));
		if (vq->inflight)
			vq_inflight_complete_split(vq);
	}
}

RW_ALWAYS_INLINE void vq_split_flush(struct vq *vq, const unsigned mode)
{
	if (mode & VQ_SLOW)
		vq_log_flush(vq);
	/* Pairs with the driver's barrier after it read used->idx (2.7.14). */
	vq_store_release(&vq->used->idx, vq_split_16(vq, vq->done.idx, mode));
	if (mode & VQ_SLOW) {
		vq_log_written(vq, &vq->used->idx, sizeof(vq->used->idx));
		vq_log_flush(vq);
		if (vq->inflight)
			vq_inflight_flushed_split(vq);
	}
	vq->npending = 0;
}

/* Whether the driver enabled a signal for what was flushed (2.7.7.2). Follows a full barrier. */
RW_ALWAYS_INLINE bool vq_split_wants_signal(struct vq *vq, const unsigned mode)
{
	uint16_t old = vq->last_signal, now = vq->done.idx, event;
	bool valid = vq->signal_valid;

	if (vq->notify_on_empty && vq->next.idx == vq_split_16(vq, vq_load(&vq->avail->idx), mode))
		return true;
	if (!vq->event_idx)
		return !(vq_split_16(vq, vq_load(&vq->avail->flags), mode) &
			VRING_AVAIL_F_NO_INTERRUPT);
	vq->last_signal = now;
	vq->signal_valid = true;
	if (!valid)
		return true;
	event = vq_split_16(vq, vq_load(vq_split_used_event(vq)), mode);
	return vring_need_event(event, now, old);
}
