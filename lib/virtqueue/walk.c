/* SPDX-License-Identifier: BSD-3-Clause */
/* The rare parts of walking a chain: buffers in several pieces, indirect tables, the IOTLB. */
#include <string.h>

#include "vq_ops.h"

#define PAGE_MASK 4095ull

/* A buffer that crosses regions: one segment for each. */
enum vq_status vq_walk_pieces(struct vq_walk *w, uint64_t addr, uint32_t len)
{
	while (len) {
		uint64_t piece = len;
		uint8_t *p = gm_at(w->vq->mem, &w->vq->cache, addr, &piece);

		w->vq->walked++;
		if (!p)
			return VQ_BAD_ADDR;
		if (w->nsegs >= vq_max_segs(w->vq->num))
			return VQ_BAD_FORM;
		w->segs[w->nsegs++] = (struct rw_seg){.data = p, .len = (uint32_t)piece};
		w->len += piece;
		addr += piece;
		len -= (uint32_t)piece;
	}
	return VQ_CHAIN;
}

/* ---- the IOTLB ---- */

/* Report a miss, once for each page. */
static enum vq_status note_miss(struct vq *vq, uint64_t iova, uint8_t perm)
{
	for (unsigned i = 0; i < vq->nmisses; i++) {
		if (!((vq->misses[i].iova ^ iova) & ~PAGE_MASK) && vq->misses[i].perm == perm)
			return VQ_MISS;
	}
	if (!vq->nmisses)
		vq->misses_at = vq->view->generation;
	if (vq->nmisses < VQ_MAX_MISSES)
		vq->misses[vq->nmisses++] = (struct vq_miss){.iova = iova, .perm = perm};
	return VQ_MISS;
}

/*
 * Note every page that is missing in [iova, iova + len) while there is room to note it and the
 * chain has not had as many look-ups as it may have segments: a guest may ask for four gigabytes
 * that it has not mapped, or has mapped in very small pieces.
 */
static enum vq_status note_misses(
	struct vq_walk *w, struct gm_iotlb_cache *cache, uint64_t iova, uint64_t len, uint8_t perm)
{
	enum vq_status status = VQ_CHAIN;
	struct vq *vq = w->vq;

	while (len) {
		uint64_t piece = len;

		if (w->looks++ >= vq_max_segs(vq->num))
			return vq->nmisses ? VQ_MISS : VQ_BAD_FORM;
		vq->walked++;
		if (!gm_iotlb_at(vq->view, cache, iova, perm, &piece)) {
			status = note_miss(vq, iova, perm);
			if (vq->nmisses == VQ_MAX_MISSES)
				return status;
			piece = RW_MIN(len, (~iova & PAGE_MASK) + 1);
		}
		iova += piece;
		len -= piece;
	}
	return status;
}

enum vq_status vq_walk_iova(struct vq_walk *w, uint64_t iova, uint32_t len)
{
	struct vq *vq = w->vq;
	uint8_t perm = w->writable ? GM_WRITE : GM_READ;

	if (iova + (len - 1) < iova)
		return VQ_BAD_ADDR;
	while (len) {
		uint64_t piece = len;
		uint8_t *p = gm_iotlb_at(vq->view, &vq->tlb_cache, iova, perm, &piece);

		vq->walked++;
		if (!p)
			return note_misses(w, &vq->tlb_cache, iova, len, perm);
		if (w->nsegs >= vq_max_segs(vq->num))
			return VQ_BAD_FORM;
		w->segs[w->nsegs++] = (struct rw_seg){.data = p, .len = (uint32_t)piece};
		w->len += piece;
		iova += piece;
		len -= (uint32_t)piece;
	}
	return VQ_CHAIN;
}

/* ---- indirect tables ---- */

/*
 * An indirect table (virtio 1.2, 2.7.5.3 and 2.8.7): only a whole number of descriptors, not more
 * than the ring has, none of them indirect again, and the last descriptor of its chain.
 */
static bool indirect_ok(const struct vq *vq, struct vq_desc d)
{
	return vq->indirect && !(d.flags & VRING_DESC_F_NEXT) && d.len &&
		!(d.len % sizeof(struct vring_desc)) &&
		d.len / sizeof(struct vring_desc) <= vq->num;
}

/*
 * All of a table must be in the IOTLB before any of it is followed: what is missing is asked for at
 * once, and reading it cannot fail any more.
 */
static enum vq_status table_ok(struct vq_walk *w, struct vq_desc d, const unsigned mode)
{
	if (!indirect_ok(w->vq, d))
		return VQ_BAD_FORM;
	if (!(mode & VQ_SLOW) || !w->vq->tlb)
		return VQ_CHAIN;
	if (d.addr + (d.len - 1) < d.addr)
		return VQ_BAD_ADDR;
	return note_misses(w, &w->vq->tlb_table_cache, d.addr, d.len, GM_READ);
}

/* Where `addr` of a table is. */
static const void *table_at(struct vq *vq, uint64_t addr, uint64_t *len, const unsigned mode)
{
	if ((mode & VQ_SLOW) && vq->tlb)
		return gm_iotlb_at(vq->view, &vq->tlb_table_cache, addr, GM_READ, len);
	return gm_at(vq->mem, &vq->cache, addr, len);
}

/* Entry `i` of the table at `table`, wherever its bytes are. */
static enum vq_status indirect_load(
	struct vq_walk *w, uint64_t table, uint32_t i, const unsigned mode, struct vq_desc *out)
{
	uint64_t addr = table + i * sizeof(struct vring_desc), len = sizeof(struct vring_desc);
	uint64_t copy[2];
	const void *p = table_at(w->vq, addr, &len, mode);

	if (!p)
		return VQ_BAD_ADDR;
	/* In one piece and aligned, or gathered byte by byte: either way read once. */
	if (len < sizeof(copy) || ((uintptr_t)p & 7)) {
		uint8_t *to = (uint8_t *)copy;

		memcpy(to, p, len);
		for (uint64_t got = len; got < sizeof(copy); got += len) {
			len = sizeof(copy) - got;
			p = table_at(w->vq, addr + got, &len, mode);
			if (!p)
				return VQ_BAD_ADDR;
			memcpy(to + got, p, len);
		}
		p = copy;
	}
	*out = mode & VQ_PACKED ? vq_desc_load(p, true) : vq_desc_load_split(w->vq, p, mode);
	return out->flags & VRING_DESC_F_INDIRECT ? VQ_BAD_FORM : VQ_CHAIN;
}

RW_ALWAYS_INLINE enum vq_status indirect_split(
	struct vq_walk *w, struct vq_desc d, const unsigned mode)
{
	uint32_t n = d.len / sizeof(struct vring_desc), i = 0;
	enum vq_status status = table_ok(w, d, mode);

	if (status != VQ_CHAIN)
		return status;
	for (uint32_t left = n; left; left--) {
		struct vq_desc entry;
		enum vq_status next = indirect_load(w, d.addr, i, mode, &entry);

		w->vq->walked++;
		if (next == VQ_CHAIN)
			next = vq_walk_add(w, entry, mode);
		status = vq_walk_combine(status, next, mode);
		if (!vq_walk_continues(status, mode) || !(entry.flags & VRING_DESC_F_NEXT))
			return status;
		i = entry.next;
		if (i >= n)
			return VQ_BAD_FORM;
	}
	return VQ_BAD_FORM;
}

/* In a packed ring the table is an array: every entry counts and NEXT means nothing (2.8.7). */
RW_ALWAYS_INLINE enum vq_status indirect_packed(
	struct vq_walk *w, struct vq_desc d, const unsigned mode)
{
	uint32_t n = d.len / sizeof(struct vring_desc);
	enum vq_status status = table_ok(w, d, mode);

	if (status != VQ_CHAIN)
		return status;
	for (uint32_t i = 0; i < n && vq_walk_continues(status, mode); i++) {
		struct vq_desc entry;
		enum vq_status next = indirect_load(w, d.addr, i, mode, &entry);

		w->vq->walked++;
		if (next == VQ_CHAIN) {
			/* DPDK's driver allows to write to the header that the device reads. */
			if (!w->writable)
				entry.flags &= (uint16_t)~VRING_DESC_F_WRITE;
			next = vq_walk_add(w, entry, mode);
		}
		status = vq_walk_combine(status, next, mode);
	}
	return status;
}

enum vq_status vq_walk_indirect_split(struct vq_walk *w, struct vq_desc d)
{
	return indirect_split(w, d, 0);
}

enum vq_status vq_walk_indirect_packed(struct vq_walk *w, struct vq_desc d)
{
	return indirect_packed(w, d, VQ_PACKED);
}

enum vq_status vq_walk_indirect_slow(struct vq_walk *w, struct vq_desc d, bool packed)
{
	if (packed)
		return indirect_packed(w, d, VQ_PACKED | VQ_SLOW);
	return indirect_split(w, d, VQ_SLOW);
}

enum vq_status vq_packed_fetch_other(
	struct vq *vq, struct rw_seg *segs, struct vq_chain *out, bool writable)
{
	struct vq_walk w = {.vq = vq, .segs = segs, .writable = writable};

	return vq_walk_end(&w, vq_packed_walk(&w, out, VQ_PACKED), out);
}

enum vq_status vq_split_fetch_other(
	struct vq *vq, struct rw_seg *segs, struct vq_chain *out, uint16_t head, bool writable)
{
	struct vq_walk w = {.vq = vq, .segs = segs, .writable = writable};

	out->ndesc = 1;
	return vq_walk_end(&w, vq_split_walk(&w, head, 0), out);
}
