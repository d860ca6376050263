/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What both ring formats share: a descriptor read once, and the list of segments it becomes.
 * Private to the inline functions of vq_ops.h.
 */
#include "vq.h"

/* One read of a field that the guest may change at any time. */
#define vq_load(p)             __atomic_load_n(p, __ATOMIC_RELAXED)
#define vq_load_acquire(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define vq_store(p, v)         __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define vq_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* A descriptor, either format: the last two fields stand the other way round in a packed one. */
struct vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* split: next index; packed: buffer id */
};

/* Both halves of the 16 bytes at `p`, each read once. */
RW_ALWAYS_INLINE struct vq_desc vq_desc_load(const void *p, const bool packed)
{
	const uint64_t *w = p;
	uint64_t lo = vq_load(&w[0]), hi = vq_load(&w[1]);

	return (struct vq_desc){
		.addr = lo,
		.len = (uint32_t)hi,
		.flags = packed ? (uint16_t)(hi >> 48) : (uint16_t)(hi >> 32),
		.next = packed ? (uint16_t)(hi >> 32) : (uint16_t)(hi >> 48),
	};
}

/* The chain being built. */
struct vq_walk {
	struct vq *vq;
	struct rw_seg *segs;
	uint64_t len;
	uint32_t nsegs;
	bool writable; /* the direction every descriptor must have */
};

/* The rest of a buffer that does not lie in one piece. */
enum vq_status vq_walk_pieces(struct vq_walk *w, uint64_t addr, uint32_t len);

/* Add the buffer of `d`. */
RW_ALWAYS_INLINE enum vq_status vq_walk_add(struct vq_walk *w, struct vq_desc d)
{
	uint64_t piece = d.len;
	uint8_t *p;

	if (rw_unlikely(!!(d.flags & VRING_DESC_F_WRITE) != w->writable))
		return VQ_BAD_FORM;
	if (rw_unlikely(!d.len))
		return VQ_CHAIN;
	p = gm_at(w->vq->mem, &w->vq->cache, d.addr, &piece);
	if (rw_unlikely(!p))
		return VQ_BAD_ADDR;
	if (rw_unlikely(piece < d.len || w->nsegs >= vq_max_segs(w->vq->num)))
		return vq_walk_pieces(w, d.addr, d.len);
	w->segs[w->nsegs++] = (struct rw_seg){.data = p, .len = d.len};
	w->len += d.len;
	return VQ_CHAIN;
}

/* Add the buffers of the indirect table that `d` points to. */
enum vq_status vq_walk_indirect_split(struct vq_walk *w, struct vq_desc d);
enum vq_status vq_walk_indirect_packed(struct vq_walk *w, struct vq_desc d);

/* Fill in `out` from a finished walk. */
RW_ALWAYS_INLINE enum vq_status vq_walk_end(
	const struct vq_walk *w, enum vq_status status, struct vq_chain *out)
{
	out->nsegs = (uint16_t)w->nsegs;
	out->len = (uint32_t)w->len;
	if (rw_unlikely(status == VQ_CHAIN && w->len > UINT32_MAX))
		return VQ_BAD_FORM;
	return status;
}
