/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A guest in a postcopy migration: its memory arrives while it runs, and whoever touches a page that is not
 * there yet waits for the source. No worker may do that, or every port on it would wait. So from LISTEN to
 * END the queues of such a port belong to a thread of its own. It moves frames between the guest's rings and
 * two fifos for each queue pair, in our memory; the workers poll and fill the fifos as if they were the
 * rings. The guest's frames cost one copy more meanwhile, everybody else's cost what they always do.
 *
 * Threads: the thread touches the rings; workers touch the fifos; control starts, stops and waits, never longer
 * than a moment: a thread that does not let go is asked again later (vu_ops.rings_pause).
 */
#include "vhost.h"

/* The stand-in for a ring. */
struct vhost_relay {
	uint32_t state;   /* postcopy.c */
	uint32_t full;    /* tx: frames that found no room; written under the queue's lock */
	uint32_t counted; /* ... of which the thread has counted so many */
	unsigned lent;    /* rx: frames of the burst on loan */
	struct port_fifo *fifo;
	/* The bodies that move the ring, for the thread. */
	unsigned (*rx_burst)(struct port_rxq *q, struct frame *frames, unsigned n);
	void (*rx_done)(struct port_rxq *q);
	unsigned (*tx_burst)(struct port_txq *q, struct frame **frames, unsigned n);
};

/* Whether the port's rings must be run by a thread of their own. */
static inline bool vhost_postcopy_wanted(const struct vhost_port *vp)
{
	const struct vu_session *s = vp->session;

	return s && vu_postcopy_state(s) == VU_POSTCOPY_LISTENING && !vu_is_over(s);
}

/*
 * Give ring `i`'s new queue, made with `deferred`, to the port's thread, which is started if need be. 0 or
 * -errno: the queue is as it was.
 */
int vhost_postcopy_take(struct vhost_port *vp, unsigned i, struct vhost_queue *q);
/*
 * Let the thread take nothing more from transmit rings among [first, first + n), and the workers, which
 * still poll them, send what it took: the guest has been told that those frames are on their way. False:
 * the thread waits for a page; vu_session_retry is called when it may have let go.
 */
bool vhost_postcopy_drain(struct vhost_port *vp, unsigned first, unsigned n);
/*
 * Get the queues of rings [first, first + n), which no worker knows any more, back from the thread; the guest
 * is given what waits for it. False: as above.
 */
bool vhost_postcopy_release(struct vhost_port *vp, unsigned first, unsigned n);
/* Whether the thread has gone round since it was asked first; as above. True without a thread. */
bool vhost_postcopy_quiesce(struct vhost_port *vp);
/* End the thread, which has no queues any more. Harmless without one. */
void vhost_postcopy_end(struct vhost_port *vp);
/* Free what vhost_postcopy_take added to a queue. */
void vhost_relay_free(struct vhost_relay *relay);
