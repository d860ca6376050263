/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * One running queue of a vhost port. Made by the control thread when a ring starts, with everything
 * that is constant from then on; owned by workers while the switch's plan names it; freed by
 * control when it rests. Nothing in it changes hands any other way.
 */
#include "frame.h"
#include "iotlb_miss.h"
#include "modes.h"
#include "port.h"
#include "port_fifo.h"
#include "rw_copy.h"
#include "rw_numa.h"
#include "rw_virtio_net.h"
#include "vq.h"

/* Segments beyond a single chain's that a burst can hold: 20 for each frame, as a TSO frame has. */
#define BURST_SEGS (FRAME_BURST * 20)

/* virtio-net header: 10 bytes of old, 12 with num_buffers (virtio 1.2, 5.1.6). */
#define NET_HDR_SHORT 10
#define NET_HDR_LONG  12

/* The parts of a ring, as indices. */
enum vhost_area { VHOST_AREA_DESC, VHOST_AREA_DRIVER, VHOST_AREA_DEVICE };

struct vhost_record; /* record.h */
struct vhost_relay;  /* postcopy.h */
struct vu_session;   /* vu_session.h */

struct vhost_queue {
	struct vq vq;
	struct port_counters *counters; /* the same as rxq's or txq's */
	struct rw_seg *segs;            /* scratch of one burst: queue.c says how many */
	const struct gm_owner *owner;   /* says whether the guest's memory is still there */
	struct port_work *work;         /* the port's */
	uint32_t walk_most;             /* what vq.walked of the burst may come to */
	uint32_t hdr_len;
	/* rx: offloads that the guest negotiated. */
	bool csum;
	bool ecn;
	bool tso4;
	bool tso6;
	bool uso;
	uint32_t broken; /* set by a worker for control to see */
	bool discards;   /* rx: of a disabled ring */
	bool armed;      /* the guest was asked for kicks: kick.c */
	int kick_fd;     /* rx: the session's eventfd, or PORT_KICK_* */

	rw_copy_fn copy; /* tx: the best of this CPU for payload */

	/* What the switch knows of it. */
	union {
		struct port_rxq rxq;
		struct port_txq txq;
	} RW_CACHE_ALIGNED;
	bool rx; /* which of the two */
	/* rx: chains of the burst on loan, in ring order. */
	uint32_t ndone;
	struct vq_chain done[FRAME_BURST];
	/* tx: the first so many of `segs` hold the short frames of the latest burst. */
	unsigned nfresh;
	/* tx: chains of the frame in hand; as many as the ring has. */
	struct vq_chain *taken;

	/* Slow-path features. */
	bool log_buffers; /* tx: mark what is written to buffers */
	uint32_t log_hint;
	uint32_t nunlogged; /* buffers that are missing in the log */
	struct dl_batch batch;
	struct vhost_miss miss;    /* iotlb_miss.c */
	struct vhost_relay *relay; /* NULL but in a postcopy migration */

	/* Control only, and the thread that sets the ring up. */
	struct vq_config init;
	enum gm_kind space;    /* how the addresses below are meant */
	uint64_t area_addr[3]; /* as the front-end gave them */
	struct gm_linear area[3];
	struct gm_piece *pieces; /* for the dirty log of the ring */
	bool packed;
	bool slow;
	bool ready;                 /* the ring was set up: vq is valid */
	bool resumes;               /* its record said where to go on */
	uint32_t num;               /* the ring's entries: `segs` and `taken` have room for them */
	struct rw_pages pages;      /* what this structure, `segs` and `taken` lie in */
	struct rw_budgets *budgets; /* of the port */
	size_t bytes;               /* charged to them */
} RW_CACHE_ALIGNED;

/* What a queue is made of. */
struct vhost_queue_config {
	const struct vu_session *session;
	unsigned ring;
	struct port *port;
	bool shared;   /* several workers may fill it */
	bool deferred; /* whoever runs it sets the ring up: touching guest memory may take long */
	int wake_fd;
	struct vhost_queue **kept;   /* a queue of that ring that rests, or NULL; taken or freed */
	struct rw_helper *helper;    /* of the port */
	struct vhost_record *record; /* of the port */
	bool settled;                /* the ring goes on where it rested: its base is right */
};

/*
 * A queue for a ring that is ready. 0; -EINVAL: the ring is malformed; -EFAULT: it is not in guest
 * memory; -EAGAIN: `*missing` is not in the IOTLB; -EUCLEAN: nobody knows where it goes on, so the
 * guest has to reset it; -ENOMEM.
 */
int vhost_queue_new(
	const struct vhost_queue_config *cfg, struct vhost_queue **out, uint64_t *missing);
/* Set the ring of a `deferred` queue up. 0, or -EINVAL: the ring is malformed. */
int vhost_queue_init(struct vhost_queue *q);
/*
 * No worker knows it any more: release what it holds but its own memory, which the next queue of
 * that ring can have. Messages that pause all rings come often, and that memory is large.
 */
void vhost_queue_rest(struct vhost_queue *q);
/* The same, and free it. NULL is fine. */
void vhost_queue_free(struct vhost_queue *q);

/* The NUMA node of the guest's memory in which the ring is, or RW_NUMA_UNKNOWN. */
int vhost_queue_node(const struct vhost_queue *q);
/* Have its state on that node. Thread: control; workers may go on. */
void vhost_queue_set_node(struct vhost_queue *q, int node);

/* The mode of the queue's bodies. */
static inline unsigned vhost_mode_of(const struct vhost_queue *q)
{
	unsigned usual = rw_is_wide() ? VHOST_WIDE : 0;

	return (q->packed ? VQ_PACKED : 0) | (q->slow ? VQ_SLOW : usual);
}

/* Choose the operations of a receive queue (`discard`: of a disabled ring) or transmit queue. */
void vhost_rx_init(struct vhost_queue *q, bool discard);
void vhost_tx_init(struct vhost_queue *q, bool mergeable);

static inline struct vhost_queue *vhost_queue_of_rxq(const struct port_rxq *q)
{
	return rw_container_of((struct port_rxq *)(uintptr_t)q, struct vhost_queue, rxq);
}

static inline struct vhost_queue *vhost_queue_of_txq(struct port_txq *q)
{
	return rw_container_of(q, struct vhost_queue, txq);
}

/* Tell control that the ring lies. Thread: worker. */
static inline void vhost_queue_broke(struct vhost_queue *q)
{
	if (!__atomic_load_n(&q->broken, __ATOMIC_RELAXED))
		__atomic_store_n(&q->broken, 1, __ATOMIC_RELAXED);
}

/*
 * Whether memory of the guest has vanished. Then the ring reads as zeros, and nothing of it is to
 * be touched any more: control closes the connection. Looked at once for each burst. Thread:
 * worker.
 */
static inline bool vhost_queue_is_lost(struct vhost_queue *q)
{
	if (rw_likely(!gm_owner_loss(q->owner)))
		return false;
	q->vq.broken = true;
	return true;
}

/*
 * Begin to walk chains other than the usual ones, with an allowance of `most` (port_work.h). False:
 * not now, the port rests.
 */
static inline bool vhost_walk_begin(struct vhost_queue *q, uint32_t most)
{
	q->vq.walked = 0;
	q->walk_most = most;
	return port_work_may(q->work);
}

/* Whether the allowance is used up. */
static inline bool vhost_walk_spent(const struct vhost_queue *q)
{
	return q->vq.walked > q->walk_most;
}

/* The burst, or a part of it, ends. */
static inline void vhost_walk_end(struct vhost_queue *q)
{
	if (rw_unlikely(vhost_walk_spent(q)))
		port_work_exceeded(q->work, q->vq.walked - q->walk_most);
}

/* Count what came of a burst's signal. */
static inline void vhost_count_signal(struct vhost_queue *q, bool sent)
{
	port_count(sent ? &q->counters->signals : &q->counters->suppressed, 1);
}

/* Why a chain that is not good counts as dropped. */
static inline enum port_drop vhost_bad_reason(enum vq_status status)
{
	return status == VQ_BAD_ADDR ? PORT_DROP_BAD_ADDRESS : PORT_DROP_BAD_CHAIN;
}
