/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What both ring formats share: a descriptor read once, and the list of segments it becomes.
 * Private to the inline functions of vq_ops.h.
 */
#include "vq_slow.h"

/* The two halves of a descriptor. */
RW_ALWAYS_INLINE struct vq_desc vq_desc_of(uint64_t lo, uint64_t hi, const bool packed)
{
	return (struct vq_desc){
		.addr = lo,
		.len = (uint32_t)hi,
		.flags = packed ? (uint16_t)(hi >> 48) : (uint16_t)(hi >> 32),
		.next = packed ? (uint16_t)(hi >> 32) : (uint16_t)(hi >> 48),
	};
}

/* Both halves of the 16 bytes at `p`, each read once. */
RW_ALWAYS_INLINE struct vq_desc vq_desc_load(const void *p, const bool packed)
{
	const uint64_t *w = p;

	return vq_desc_of(vq_load(&w[0]), vq_load(&w[1]), packed);
}

/* The same of a split ring, whichever byte order it has. */
RW_ALWAYS_INLINE struct vq_desc vq_desc_load_split(
	const struct vq *vq, const void *p, const unsigned mode)
{
	struct vq_desc d = vq_desc_load(p, false);

	if ((mode & VQ_SLOW) && vq->swap)
		d = (struct vq_desc){
			.addr = __builtin_bswap64(d.addr),
			.len = __builtin_bswap32(d.len),
			.flags = __builtin_bswap16(d.flags),
			.next = __builtin_bswap16(d.next),
		};
	return d;
}

/* Add a buffer that crosses regions. */
enum vq_status vq_walk_pieces(struct vq_walk *w, uint64_t addr, uint32_t len);

/* Add the buffer of `d`. */
RW_ALWAYS_INLINE enum vq_status vq_walk_add(
	struct vq_walk *w, struct vq_desc d, const unsigned mode)
{
	uint64_t piece = d.len;
	uint8_t *p;

	if (rw_unlikely(!!(d.flags & VRING_DESC_F_WRITE) != w->writable))
		return VQ_BAD_FORM;
	if (rw_unlikely(!d.len))
		return VQ_CHAIN;
	if ((mode & VQ_SLOW) && w->vq->tlb)
		return vq_walk_iova(w, d.addr, d.len);
	p = gm_at(w->vq->mem, &w->vq->cache, d.addr, &piece);
	if (rw_unlikely(!p))
		return VQ_BAD_ADDR;
	if (rw_unlikely(piece < d.len || w->nsegs >= vq_max_segs(w->vq->num)))
		return vq_walk_pieces(w, d.addr, d.len);
	w->segs[w->nsegs++] = (struct rw_seg){.data = p, .len = d.len};
	w->len += d.len;
	return VQ_CHAIN;
}

/* A single-descriptor chain has the flags `want`, of those in `mask`. */
struct vq_kind {
	uint16_t mask, want;
};

RW_ALWAYS_INLINE struct vq_kind vq_kind_of(const bool writable)
{
	return (struct vq_kind){
		.mask = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT,
		.want = writable ? VRING_DESC_F_WRITE : 0,
	};
}

/*
 * A single-descriptor chain in the region used last, without slow-path features. False: it is
 * another one, and nothing was done. The caller then reads the descriptor again and reuses nothing
 * of this read.
 */
RW_ALWAYS_INLINE bool vq_chain_single(const struct vq *vq, struct vq_desc d, struct rw_seg *seg,
	struct vq_chain *out, const bool writable)
{
	const struct vq_kind kind = vq_kind_of(writable);

	if (rw_unlikely((d.flags & kind.mask) != kind.want))
		return false;
	if (rw_unlikely(!gm_cache_has(&vq->cache, d.addr, d.len)))
		return false;
	*seg = (struct rw_seg){.data = gm_cache_at(&vq->cache, d.addr), .len = d.len};
	out->ndesc = 1;
	out->nsegs = 1;
	out->len = d.len;
	return true;
}

/*
 * Any other chain without slow-path features: the next one of a packed ring, or the one at `head`.
 */
enum vq_status vq_packed_fetch_other(
	struct vq *vq, struct rw_seg *segs, struct vq_chain *out, bool writable);
enum vq_status vq_split_fetch_other(
	struct vq *vq, struct rw_seg *segs, struct vq_chain *out, uint16_t head, bool writable);

/* Add the buffers of the indirect table that `d` points to. */
enum vq_status vq_walk_indirect_split(struct vq_walk *w, struct vq_desc d);
enum vq_status vq_walk_indirect_packed(struct vq_walk *w, struct vq_desc d);

/*
 * The status of a walk after a step with status `next`. A miss stays a miss while the walk
 * continues.
 */
RW_ALWAYS_INLINE enum vq_status vq_walk_combine(
	enum vq_status found, enum vq_status next, const unsigned mode)
{
	return (mode & VQ_SLOW) && next == VQ_CHAIN ? found : next;
}

/* Whether a walk with status `found` continues. */
RW_ALWAYS_INLINE bool vq_walk_continues(enum vq_status found, const unsigned mode)
{
	return found == VQ_CHAIN || ((mode & VQ_SLOW) && found == VQ_MISS);
}

/* Fill in `out` from a finished walk. */
RW_ALWAYS_INLINE enum vq_status vq_walk_end(
	const struct vq_walk *w, enum vq_status status, struct vq_chain *out)
{
	out->nsegs = (uint16_t)w->nsegs;
	out->len = (uint32_t)w->len;
	/*
	 * A buffer to write to must have room for a byte; otherwise a ring of them costs us
	 * nothing.
	 */
	if (rw_unlikely(status == VQ_CHAIN && (w->len > UINT32_MAX || (w->writable && !w->len))))
		return VQ_BAD_FORM;
	return status;
}
