/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The post-copy proxy of a port. While a guest migrates by post-copy, its memory arrives as it
 * runs, and whoever touches a page that has not arrived waits for the source. A worker that did so
 * would make all its ports wait. So from LISTEN to END a thread of the port's own moves frames
 * between the guest's rings and two fifos in our memory for each queue pair; the workers poll and
 * fill the fifos as if they were the rings. The guest's frames cost one more copy meanwhile, the
 * others cost what they always do.
 *
 * Threads: the proxy touches the rings; workers touch the fifos; control starts and stops the
 * proxy. Control waits for it only for a moment, and asks again later if it has not let go
 * (vu_ops.rings_pause).
 */
#include "vhost.h"

/* What a worker sees of a ring that the proxy moves. */
struct vhost_relay {
	uint32_t state;   /* postcopy.c */
	uint32_t full;    /* tx: frames that found no room; written under the queue's lock */
	uint32_t counted; /* frames of `full` that the proxy has counted as dropped */
	unsigned lent;    /* rx: frames of the burst on loan */
	struct port_fifo *fifo;
	/* The queue's own operations, by which the proxy moves the ring. */
	unsigned (*rx_burst)(struct port_rxq *q, struct frame *frames, unsigned n);
	void (*rx_done)(struct port_rxq *q);
	unsigned (*tx_burst)(struct port_txq *q, struct frame **frames, unsigned n);
};

/* Whether the port's rings must be moved by the proxy. */
static inline bool vhost_postcopy_wanted(const struct vhost_port *vp)
{
	const struct vu_session *s = vp->session;

	return s && vu_postcopy_state(s) == VU_POSTCOPY_LISTENING && !vu_is_over(s);
}

/*
 * Give ring `i`'s new queue, made with `deferred`, to the proxy, which is started if there is none.
 * 0 or -errno: the queue is as it was.
 */
int vhost_postcopy_take(struct vhost_port *vp, unsigned i, struct vhost_queue *q);
/*
 * For the receive queues among rings [first, first + n): have the proxy take nothing more, and let
 * the workers, which still poll them, send what it took. The guest has those buffers back already.
 * False: the proxy waits for a page; vu_session_retry is called when it may have let go.
 */
bool vhost_postcopy_drain(struct vhost_port *vp, unsigned first, unsigned n);
/*
 * Get the queues of rings [first, first + n), which no worker knows any more, back from the proxy,
 * after it has given the guest what waits for it. False: as above.
 */
bool vhost_postcopy_release(struct vhost_port *vp, unsigned first, unsigned n);
/*
 * Whether the proxy has passed a quiescent point since the first call. True without a proxy. False:
 * as above.
 */
bool vhost_postcopy_quiesce(struct vhost_port *vp);
/* End the proxy, which has no queues any more. Harmless without one. */
void vhost_postcopy_end(struct vhost_port *vp);
/* Free what vhost_postcopy_take added to a queue. */
void vhost_relay_free(struct vhost_relay *relay);
