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

static inline uint16_t *vq_split_used_event(struct vq *vq)
{
	return &vq->avail->ring[vq->num];
}

static inline uint16_t *vq_split_avail_event(struct vq *vq)
{
	return (uint16_t *)&vq->used->ring[vq->num];
}

/* How many chains wait, after another look at the driver's index if fewer than `want` are known. */
RW_ALWAYS_INLINE uint16_t vq_split_peek(struct vq *vq, uint16_t want)
{
	uint16_t n = (uint16_t)(vq->avail_seen - vq->next.idx);

	if (n < want) {
		/* Pairs with the driver's barrier before it stores avail->idx (2.7.13.3). */
		vq->avail_seen = vq_load_acquire(&vq->avail->idx);
		n = (uint16_t)(vq->avail_seen - vq->next.idx);
		if (rw_unlikely(n > vq->num)) {
			vq->broken = true;
			vq->avail_seen = vq->next.idx;
			return 0;
		}
	}
	return RW_MIN(n, want);
}

/* Bring in the descriptors of the next `n` chains. */
RW_ALWAYS_INLINE void vq_split_prefetch(struct vq *vq, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		uint16_t pos = (uint16_t)(vq->next.idx + i) & (vq->num - 1);

		__builtin_prefetch(&vq->desc[vq_load(&vq->avail->ring[pos]) & (vq->num - 1)]);
	}
}

RW_ALWAYS_INLINE enum vq_status vq_split_walk(struct vq_walk *w, uint16_t i)
{
	struct vq *vq = w->vq;

	for (uint16_t left = vq->num; left; left--) {
		struct vq_desc d = vq_desc_load(&vq->desc[i], false);
		enum vq_status status;

		if (rw_unlikely(d.flags & VRING_DESC_F_INDIRECT))
			return vq_walk_indirect_split(w, d);
		status = vq_walk_add(w, d);
		if (rw_unlikely(status != VQ_CHAIN) || rw_likely(!(d.flags & VRING_DESC_F_NEXT)))
			return status;
		i = d.next;
		if (rw_unlikely(i >= vq->num))
			return VQ_BAD_FORM;
	}
	return VQ_BAD_FORM; /* more descriptors than the table has: a loop */
}

RW_ALWAYS_INLINE enum vq_status vq_split_fetch(
	struct vq *vq, struct rw_seg *segs, struct vq_chain *out, const bool writable)
{
	struct vq_walk w = {.vq = vq, .segs = segs, .writable = writable};
	uint16_t head;

	if (!vq_split_peek(vq, 1))
		return vq->broken ? VQ_BROKEN : VQ_EMPTY;
	head = vq_load(&vq->avail->ring[vq->next.idx & (vq->num - 1)]);
	if (rw_unlikely(head >= vq->num)) {
		vq->broken = true;
		return VQ_BROKEN;
	}
	vq->next.idx++;
	out->id = head;
	out->ndesc = 1;
	return vq_walk_end(&w, vq_split_walk(&w, head), out);
}

RW_ALWAYS_INLINE void vq_split_complete(struct vq *vq, uint16_t id, uint32_t len)
{
	struct vring_used_elem *e = vq_split_used(vq, vq->done.idx++);

	vq_store(&e->id, id);
	vq_store(&e->len, len);
	vq->npending++;
}

RW_ALWAYS_INLINE void vq_split_flush(struct vq *vq)
{
	/* Pairs with the driver's barrier after it read used->idx (2.7.14). */
	vq_store_release(&vq->used->idx, vq->done.idx);
	vq->npending = 0;
}

/* Whether the driver wants to hear of what was flushed (2.7.7.2). Follows a full barrier. */
RW_ALWAYS_INLINE bool vq_split_wants_signal(struct vq *vq)
{
	uint16_t old = vq->last_signal, now = vq->done.idx;
	bool valid = vq->signal_valid;

	if (vq->notify_on_empty && vq->next.idx == vq_load(&vq->avail->idx))
		return true;
	if (!vq->event_idx)
		return !(vq_load(&vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	vq->last_signal = now;
	vq->signal_valid = true;
	return !valid || vring_need_event(vq_load(vq_split_used_event(vq)), now, old);
}
