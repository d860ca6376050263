/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What functions compiled with VQ_SLOW call besides: translation through the IOTLB (walk.c), the
 * dirty log of the ring (vq.c) and the in-flight record (inflight.c). Each is called only while its
 * field of struct vq is set, vq_log_* always. Private to the inline functions of vq_ops.h.
 *
 * Chains are completed in the order in which they were fetched, so a chain has one position in the
 * ring from its fetch to its used entry: its index in a split ring, the position of its first entry
 * in a packed one. The private part of the record is indexed by that position. Chains that a
 * predecessor left in flight get the positions from the used index on, in the order of their
 * counters, and the first available chain gets the position behind them: vq->next and vq->done mean
 * the same with and without a record.
 */
#include "vq.h"

/* One access to a field that the other side may read or change at any time. */
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

/* The chain being built. */
struct vq_walk {
	struct vq *vq;
	struct rw_seg *segs;
	uint64_t len;
	uint32_t nsegs;
	uint32_t looks; /* in the IOTLB for ranges that are missing, and for tables */
	bool writable;  /* the direction every descriptor must have */
};

/* Add a buffer at an I/O virtual address; what is missing goes to vq->misses. */
enum vq_status vq_walk_iova(struct vq_walk *w, uint64_t iova, uint32_t len);
/* Add the buffers of an indirect table, with whichever slow-path features there are. */
enum vq_status vq_walk_indirect_slow(struct vq_walk *w, struct vq_desc d, bool packed);

/* Note that we wrote `len` bytes of the ring at `p`. */
void vq_log_ring(struct vq *vq, const void *p, uint64_t len);

static inline void vq_log_written(struct vq *vq, const void *p, uint64_t len)
{
	if (vq->log && vq->nlog_pieces)
		vq_log_ring(vq, p, len);
}

/* Flush the log's batch: the ring's bytes and the buffers that the caller marked. */
static inline void vq_log_flush(struct vq *vq)
{
	if (vq->log)
		dl_flush(vq->log);
}

/* The in-flight record. Whether a region holds that of a predecessor. */
bool vq_inflight_recorded(const void *region);
/*
 * Make the record of a ring that is at vq->done, or (`recorded`) read the predecessor's. Sets
 * vq->done and vq->next. 0; -EINVAL: the record contradicts itself or the ring; -ENOMEM.
 */
int vq_inflight_new(struct vq *vq, void *region, bool packed, bool recorded);

/* Split. Whether the next chain is one in flight, and its head. */
bool vq_inflight_resume_split(const struct vq *vq, uint16_t *head);
/* Record that the chain at vq->next is taken, if it is not. False: more chains than descriptors. */
bool vq_inflight_take_split(struct vq *vq, uint16_t head);
/* The used entry below vq->done was written. */
void vq_inflight_complete_split(struct vq *vq);
/* vq->npending chains below vq->done were published. */
void vq_inflight_flushed_split(struct vq *vq);
void vq_inflight_rewind_split(struct vq *vq, struct vq_cursor at);

/* Packed. Whether the next chain is one in flight. */
bool vq_inflight_resumes_packed(const struct vq *vq);
/* Fetch that chain, from the descriptors that the record kept. */
enum vq_status vq_inflight_walk_packed(struct vq_walk *w, struct vq_chain *out);
/*
 * Record descriptor `n`, from 1, of the chain at vq->next, which is taken with its last one. False:
 * more descriptors than the ring has.
 */
bool vq_inflight_take_packed(struct vq *vq, const struct vq_desc *d, uint16_t n);
/* Forget the descriptors of a chain without end. */
void vq_inflight_drop_packed(struct vq *vq);
/* The chain at vq->done is used. */
void vq_inflight_complete_packed(struct vq *vq, uint16_t ndesc);
/* vq->npending chains from vq->first_pos on are about to be published. */
void vq_inflight_flush_packed(struct vq *vq);
/* They were published. */
void vq_inflight_flushed_packed(struct vq *vq);
void vq_inflight_rewind_packed(struct vq *vq, struct vq_cursor at);
