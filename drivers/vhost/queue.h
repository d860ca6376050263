/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * One running queue of a vhost port. Made by the control thread when a ring starts, with everything
 * that is constant from then on; owned by workers while the switch's plan names it; freed by control
 * when it rests. Nothing in it changes hands any other way.
 */
#include <linux/virtio_net.h>

#include "frame.h"
#include "port.h"
#include "vq.h"
#include "vu_session.h"

/* Segments beyond a single chain's that a burst can hold: 20 for each frame, as a TSO frame has. */
#define BURST_SEGS (FRAME_BURST * 20)

/* virtio-net header: 10 bytes of old, 12 with num_buffers (virtio 1.2, 5.1.6). */
#define NET_HDR_SHORT 10
#define NET_HDR_LONG  12

struct vhost_queue {
	struct vq vq;
	struct port_counters *counters;
	struct rw_seg *segs; /* scratch of one burst: queue.c says how many */
	uint32_t hdr_len;
	/* Offloads that the guest negotiated to send (from_guest) or to take (to_guest). */
	bool csum;
	bool ecn;
	bool tso4;
	bool tso6;
	bool shared;     /* several workers may fill it: take the lock */
	uint32_t lock;   /* 1: held, for one burst */
	uint32_t broken; /* set by a worker for control to see */

	/* The body, specialised for the ring's format and features. */
	unsigned (*from)(struct vhost_queue *q, struct frame *frames, unsigned n);
	void (*give_back)(struct vhost_queue *q);
	void (*to)(struct vhost_queue *q, struct frame *const *frames, unsigned n);

	/* from_guest: chains of the burst on loan, in ring order. */
	uint32_t ndone;
	struct vq_chain done[FRAME_BURST];
	/* to_guest: chains of the frame in hand; as many as the ring has. */
	struct vq_chain *taken;

	/* Control only. */
	struct gm_linear area[3];
	bool packed;
} RW_CACHE_ALIGNED;

/*
 * A queue for ring `i` of the session, which is ready. 0; -EINVAL: the ring is malformed; -EFAULT: it
 * is not in guest memory; -ENOMEM.
 */
int vhost_queue_new(const struct vu_session *s, unsigned i, struct port_pair *counters, bool shared,
	struct vhost_queue **out);
/* No worker knows it any more. */
void vhost_queue_free(struct vhost_queue *q);

/* Choose the functions for a from_guest (`discard`: of a disabled ring) or to_guest queue. */
void vhost_from_init(struct vhost_queue *q, bool discard);
void vhost_to_init(struct vhost_queue *q, bool mergeable);

/* Tell control that the ring lies. Thread: worker. */
static inline void vhost_queue_broke(struct vhost_queue *q)
{
	if (!__atomic_load_n(&q->broken, __ATOMIC_RELAXED))
		__atomic_store_n(&q->broken, 1, __ATOMIC_RELAXED);
}

/* Count a chain that was not good. */
static inline void vhost_count_bad(struct vhost_queue *q, enum vq_status status)
{
	port_count_drop(
		q->counters, status == VQ_BAD_ADDR ? PORT_DROP_BAD_ADDRESS : PORT_DROP_BAD_CHAIN);
}
