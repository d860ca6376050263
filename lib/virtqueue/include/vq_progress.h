/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Recording the progress of a packed ring: what a worker stores for each chain and each flush.
 * Private to vq_packed.h; progress.c says what the record is for and how it is read.
 *
 * A process that is killed leaves behind what its threads stored up to some instruction, so order
 * among the stores of a thread is all that counts: that of the program, which the compiler has to
 * keep.
 */
#include <string.h>

#include "vq_slow.h"

#define VQ_KEEP_ORDER() __atomic_signal_fence(__ATOMIC_SEQ_CST)

static inline uint16_t vq_cursor_code(struct vq_cursor c)
{
	return (uint16_t)(c.idx | (c.wrap ? 1u << 15 : 0));
}

/* The first chain of a batch is completed: its used entry is held back. */
RW_ALWAYS_INLINE void vq_progress_first(struct vq *vq, uint64_t word, uint16_t ndesc)
{
	struct vq_progress *p = vq->progress;

	vq_store(&p->ndesc[vq->done.idx & vq->progress_mask], ndesc);
	vq_store(&p->first_word, word);
	VQ_KEEP_ORDER();
}

/* The chain at `pos` is about to be completed, which overwrites where its first descriptor says
 * how long it is. */
RW_ALWAYS_INLINE void vq_progress_next(
	struct vq_progress *p, uint16_t mask, uint16_t pos, uint16_t ndesc)
{
	vq_store(&p->ndesc[pos & mask], ndesc);
	VQ_KEEP_ORDER();
}

/* Chains of one descriptor, from ring position `pos` on. */
static inline void vq_progress_singles(uint16_t *ndesc, uint32_t num, uint32_t pos, uint32_t n)
{
	static const uint16_t ones[VQ_MAX_BATCH] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	uint32_t first = RW_MIN(n, num - pos);

	memcpy(&ndesc[pos], ones, first * sizeof(*ones));
	if (rw_unlikely(first < n))
		memcpy(ndesc, ones, (n - first) * sizeof(*ones));
}

/* The next `n` chains are about to be completed. */
RW_ALWAYS_INLINE void vq_progress_batch(struct vq *vq, const struct vq_chain *chains, unsigned n)
{
	uint16_t *ndesc = vq->progress->ndesc;
	uint32_t pos = vq->done.idx, num = vq->num;
	uint32_t fetched = vq->next.idx - pos + (vq->next.wrap != vq->done.wrap ? num : 0);

	/* As many chains as entries: each has one. */
	if (rw_likely(fetched == n && n <= VQ_MAX_BATCH)) {
		vq_progress_singles(ndesc, num, pos, n);
		VQ_KEEP_ORDER();
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		ndesc[pos] = chains[i].ndesc;
		pos += chains[i].ndesc;
		if (rw_unlikely(pos >= num))
			pos -= num;
	}
	VQ_KEEP_ORDER();
}

/* The batch up to vq->done is about to be published. */
RW_ALWAYS_INLINE void vq_progress_flush(struct vq *vq)
{
	vq_store(&vq->progress->end, vq_cursor_code(vq->done));
	VQ_KEEP_ORDER();
}

/* It was. */
RW_ALWAYS_INLINE void vq_progress_flushed(struct vq *vq)
{
	struct vq_progress *p = vq->progress;
	/* `done` and `last` change at once: they are two halves of one aligned word. */
	uint32_t *both = (uint32_t *)(void *)&p->done;

	VQ_KEEP_ORDER();
	vq_store(both, (uint32_t)p->done << 16 | p->end);
	VQ_KEEP_ORDER();
}
