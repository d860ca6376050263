/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Translations that a queue behind an IOMMU lacks: what is missing, what the front-end has refused,
 * and who is woken when that changes.
 *
 * A worker never waits for a translation. It leaves the chain in its ring, puts the ranges that the
 * chain lacks into the queue's note, hands the note to control and goes on with other queues.
 * Control asks the front-end. Once every range of the note is known or refused, it hands the note
 * back and has the queue polled: a chain whose ranges are known is whole now, one with a refused
 * range is bad.
 *
 * A ring whose own areas are not in the IOTLB waits in the same manner before it starts. Nobody
 * polls it, so control tries to start it again.
 */
#include "vq.h"

struct vhost_port;
struct vhost_queue;

/* The note of a queue. While `open` is 0 it belongs to the worker, otherwise to control. */
struct vhost_miss {
	uint32_t open; /* atomic */
	uint32_t n;
	struct vq_miss range[VQ_MAX_MISSES];
	uint64_t refused_iova; /* the front-end has no such range; valid when refused */
	bool refused;
	int wake_fd; /* constant: eventfd by which control learns of an open note */

	/* Control only. The masks have one bit for each range. */
	uint32_t asked;
	uint32_t settled;                 /* known, or refused */
	uint32_t again;                   /* the answer was good, but the range is not known */
	uint32_t nretries;                /* of such questions since the note was opened */
	uint64_t question[VQ_MAX_MISSES]; /* the cookie of each question */
};

/* ---- thread: worker, or the post-copy proxy ---- */

/*
 * After VQ_MISS for one chain: whether the front-end has refused the first range that it lacks.
 * Then the chain is bad: complete it with length 0. The refusal counts once.
 */
bool vhost_miss_is_refused(struct vhost_queue *q);
/* Hand q->vq.misses to control, unless control has a note already. The chains wait in the ring. */
void vhost_miss_ask(struct vhost_queue *q);
/*
 * Whether the worker may ask for ranges of chains whose turn has not come. Not while a range is
 * refused: until its chain is completed, it would be asked for without end.
 */
bool vhost_miss_may_look_ahead(const struct vhost_queue *q);

/* ---- thread: control ---- */

/* 0 or -errno. */
int vhost_miss_begin(struct vhost_port *vp);
void vhost_miss_end(struct vhost_port *vp);
/* Ring `i` cannot start without `missing`: ask for it. The ring starts when it is known. */
void vhost_miss_ring_wait(struct vhost_port *vp, unsigned i, uint64_t missing);
/* Every 100 ms: ask again what could not be asked, or was answered in vain. */
void vhost_miss_tick(struct vhost_port *vp);

/* See struct vu_ops. */
void vhost_iotlb_updated(void *dev);
bool vhost_iotlb_invalidated(void *dev, uint64_t iova, uint64_t size);
void vhost_iotlb_answered(void *dev, uint64_t cookie, bool ok);
