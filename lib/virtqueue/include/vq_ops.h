/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The hot functions of a virtqueue. `mode` and `writable` are constants of the caller: `mode` is
 * the ring format and whether the slow-path features of vq.h are compiled in; `writable` is true
 * for a queue whose buffers we fill (tx) and false for one we read (rx).
 *
 * A burst: vq_peek, vq_prefetch, then vq_fetch for each chain; vq_complete for each in the same
 * order, vq_flush once, vq_signal once. vq_batch.h fetches and completes many single-descriptor
 * chains at a time.
 *
 * Thread: the worker that polls the queue, or holds its lock.
 */
#include "vq_batch.h"

/*
 * An upper bound, at most `want`, of the available chains. 0 is exact. The chains of a packed ring
 * cannot be counted without reading its descriptors: the answer is `want` when there is one.
 */
RW_ALWAYS_INLINE uint16_t vq_peek(struct vq *vq, uint16_t want, const unsigned mode)
{
	if (rw_unlikely(vq->broken))
		return 0;
	if (mode & VQ_PACKED)
		return vq_packed_peek(vq, want, mode);
	return vq_split_peek(vq, want, mode);
}

/* Prefetch what the next vq_peek reads. */
RW_ALWAYS_INLINE void vq_prefetch_peek(const struct vq *vq, const bool packed)
{
	__builtin_prefetch(packed ? (const void *)&vq->packed[vq->next.idx] : &vq->avail->idx);
}

/* Prefetch the descriptors of the next `n` chains. */
RW_ALWAYS_INLINE void vq_prefetch(struct vq *vq, uint16_t n, const unsigned mode)
{
	if (mode & VQ_PACKED)
		vq_packed_prefetch(vq, n);
	else
		vq_split_prefetch(vq, n, mode);
}

/*
 * Fetch the next chain. Its segments go to `segs`, which has room for vq_max_segs(vq->num). On
 * VQ_BAD_ADDR and VQ_BAD_FORM out->id and out->ndesc are valid and the chain must be completed.
 * VQ_MISS, only with VQ_SLOW, adds the ranges that the chain lacks to vq->misses. The chain must be
 * rewound, or completed like a bad one when its ranges will never be known. Before it is rewound,
 * the chains behind it may be fetched to collect what they lack.
 */
RW_ALWAYS_INLINE enum vq_status vq_fetch(struct vq *vq, struct rw_seg *segs, struct vq_chain *out,
	const unsigned mode, const bool writable)
{
	enum vq_status status;
	uint8_t nmisses;

	if (mode & VQ_SLOW) {
		if (vq->tlb)
			vq->view = gm_iotlb_view(vq->tlb);
		nmisses = vq->nmisses;
	}
	if (mode & VQ_PACKED)
		status = vq_packed_fetch(vq, segs, out, mode, writable);
	else
		status = vq_split_fetch(vq, segs, out, mode, writable);
	/* Forget the misses of a chain that turns out to be bad. */
	if ((mode & VQ_SLOW) && rw_unlikely(status != VQ_MISS))
		vq->nmisses = nmisses;
	return status;
}

/*
 * Put back what was fetched since `at` was read from vq->next. Nothing of it may be completed. A
 * driver that has made more available meanwhile than its ring has room for breaks the ring.
 */
RW_ALWAYS_INLINE void vq_rewind(struct vq *vq, struct vq_cursor at, const unsigned mode)
{
	if ((mode & VQ_SLOW) && vq->inflight) {
		if (mode & VQ_PACKED)
			vq_inflight_rewind_packed(vq, at);
		else
			vq_inflight_rewind_split(vq, at);
	}
	vq->next = at;
	if (!(mode & VQ_PACKED) && rw_unlikely((uint16_t)(vq->avail_seen - at.idx) > vq->num)) {
		vq->broken = true;
		vq->avail_seen = at.idx;
	}
}

/* Return a chain of which `len` bytes were written. The driver sees it after vq_flush. */
RW_ALWAYS_INLINE void vq_complete(struct vq *vq, const struct vq_chain *chain, uint32_t len,
	const unsigned mode, const bool writable)
{
	if (mode & VQ_PACKED)
		vq_packed_complete(vq, chain, len, mode, writable);
	else
		vq_split_complete(vq, chain->id, len, mode);
}

/* Publish what was completed. */
RW_ALWAYS_INLINE void vq_flush(struct vq *vq, const unsigned mode)
{
	if (!vq->npending)
		return;
	if (mode & VQ_PACKED)
		vq_packed_flush(vq, mode);
	else
		vq_split_flush(vq, mode);
}

/*
 * Signal the call eventfd: the one system call of a burst. Never waits. False: there is none, or it
 * is none.
 */
bool vq_call(struct vq *vq);

/* After a flush: signal the driver if it enabled that. Returns whether a signal was sent. */
RW_ALWAYS_INLINE bool vq_signal(struct vq *vq, const unsigned mode)
{
	bool wanted;

	/*
	 * The used entries must be visible before the driver's suppression state is read. Pairs
	 * with the driver's barrier between writing that state and its last read of the ring
	 * (2.7.10, 2.8.15).
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wanted = mode & VQ_PACKED ? vq_packed_wants_signal(vq) : vq_split_wants_signal(vq, mode);
	return rw_unlikely(wanted) && vq_call(vq);
}
