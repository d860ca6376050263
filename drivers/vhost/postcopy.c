/* SPDX-License-Identifier: BSD-3-Clause */
#include "postcopy.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "port_observer.h"
#include "rw_sys.h"
#include "vq_ops.h"

/* The thread rests this long when it found nothing to do. */
#define IDLE_NS 50000
/* How long control waits for the thread before it turns to others, and how often it looks again. */
#define PATIENCE_NS 200000
#define AGAIN_MS    1

/* Largest room that a frame takes in a fifo. */
#define FRAME_ROOM (FRAME_MAX_LEN + 512u)

enum relay_state {
	RELAY_NEW,      /* the thread shall set the ring up */
	RELAY_RUNNING,  /* the thread moves it */
	RELAY_STOPPING, /* the thread shall let go of it, once the guest has what waits for it */
	RELAY_STOPPED,  /* it has */
};

struct vhost_postcopy {
	struct vhost_port *vp;
	pthread_t thread;
	struct rw_timer again;
	uint32_t stop;
	uint32_t rounds; /* of the thread */
	/* Control only. */
	uint32_t asked; /* `rounds` when a quiescent point was asked for; valid when asking */
	bool asking;    /* the quiescent point has not come yet */
	bool retrying;  /* this is not the first attempt: do not wait */
	/* By ring; control enters, the thread removes. */
	struct vhost_queue *queues[VU_MAX_RINGS];
};

static uint32_t state_of(const struct vhost_queue *q)
{
	return __atomic_load_n(&q->relay->state, __ATOMIC_ACQUIRE);
}

static void state_set(struct vhost_queue *q, enum relay_state state)
{
	__atomic_store_n(&q->relay->state, state, __ATOMIC_RELEASE);
}

/* ---- the workers' side: fifos instead of rings ---- */

static unsigned relay_rx(struct port_rxq *rxq, struct frame *frames, unsigned n)
{
	struct vhost_relay *relay = vhost_queue_of_rxq(rxq)->relay;

	relay->lent = port_fifo_peek(relay->fifo, frames, n);
	return relay->lent;
}

static void relay_done(struct port_rxq *rxq)
{
	struct vhost_relay *relay = vhost_queue_of_rxq(rxq)->relay;

	port_fifo_pop(relay->fifo, relay->lent);
}

static void relay_prefetch(struct port_rxq *rxq)
{
	(void)rxq; /* the ring is the thread's */
}

/* Nothing is counted as taken before the thread has given it to the guest. */
static unsigned relay_tx(struct port_txq *txq, struct frame **frames, unsigned n)
{
	struct vhost_relay *relay = vhost_queue_of_txq(txq)->relay;

	for (unsigned i = 0; i < n; i++) {
		if (!frame_is_plain(frames[i]) && !port_txq_takes(txq, frames[i])) {
			txq->unfit = n - i;
			break;
		}
		if (!port_fifo_push(relay->fifo, frames[i])) {
			__atomic_store_n(&relay->full, relay->full + 1, __ATOMIC_RELAXED);
			port_tell_dropped(txq, &frames[i], 1, PORT_DROP_NO_BUFFER);
		}
	}
	return 0;
}

/* ---- the thread ---- */

static void touch(const struct gm_map *map, uint64_t gpa)
{
	struct gm_cache cache = {0};
	uint64_t len = 1;
	const volatile uint8_t *p = gm_at(map, &cache, gpa, &len);

	if (p)
		(void)*p;
}

/*
 * Touch the pages of an area that is mapped a second time: a page that is missing is asked for
 * through the first mapping only, the one the front-end knows.
 */
static void prefault(const struct vhost_queue *q, enum vhost_area area, uint64_t len)
{
	struct gm_space space = {
		.kind = q->space,
		.map = q->init.mem,
		.view = q->init.tlb ? gm_iotlb_view(q->init.tlb) : NULL,
	};
	const struct gm_linear *lin = &q->area[area];
	struct gm_piece piece;

	for (uint64_t done = 0; lin->map_base && done < len; done += piece.len) {
		struct gm_linear rest = {.host = lin->host + done};

		if (gm_linear_pieces(
			    &space, q->area_addr[area] + done, len - done, &rest, &piece, 1) < 1)
			return;
		for (uint64_t at = 0; at < piece.len; at += DL_PAGE)
			touch(space.map, piece.gpa + at);
		touch(space.map, piece.gpa + piece.len - 1);
	}
}

static bool start(struct vhost_queue *q)
{
	struct vq_areas bytes = vq_area_bytes(q->init.features, q->init.num);
	uint32_t expected = RELAY_NEW;

	prefault(q, VHOST_AREA_DESC, bytes.desc);
	prefault(q, VHOST_AREA_DRIVER, bytes.driver);
	prefault(q, VHOST_AREA_DEVICE, bytes.device);
	/* Control may have asked to stop meanwhile, and what was waited for may never have come. */
	if (state_of(q) != RELAY_NEW)
		return false;
	if (vhost_queue_init(q))
		vhost_queue_broke(q);
	return __atomic_compare_exchange_n(&q->relay->state, &expected, RELAY_RUNNING, false,
		__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* From the guest's ring into the fifo; what does not surely fit stays in the ring. */
static bool move_rx(struct vhost_queue *q)
{
	struct frame frames[FRAME_BURST];
	struct vhost_relay *relay = q->relay;
	/* One less: the gap at the end of the circle may cost as much as a frame. */
	uint32_t fits = port_fifo_room(relay->fifo) / FRAME_ROOM;
	unsigned n;

	if (fits < 2 || !q->ready)
		return false;
	n = relay->rx_burst(&q->rxq, frames, RW_MIN(fits - 1, (uint32_t)FRAME_BURST));
	for (unsigned i = 0; i < n; i++)
		port_fifo_push(relay->fifo, &frames[i]);
	if (n)
		relay->rx_done(&q->rxq);
	return n;
}

/* From the fifo into the guest's ring. What a buffer is missing for stays in the fifo. */
static bool move_tx(struct vhost_queue *q)
{
	struct frame held[FRAME_BURST], *frames[FRAME_BURST];
	struct vhost_relay *relay = q->relay;
	uint32_t full = __atomic_load_n(&relay->full, __ATOMIC_RELAXED);
	unsigned n = port_fifo_peek(relay->fifo, held, FRAME_BURST);
	struct port_tally tally = {0};

	port_count(&q->counters->drops[PORT_DROP_NO_BUFFER], full - relay->counted);
	relay->counted = full;
	if (!q->ready) {
		port_count(&q->counters->drops[PORT_DROP_NO_BUFFER], n);
		port_fifo_pop(relay->fifo, n);
		return n;
	}
	if (!n && !__atomic_exchange_n(&q->txq.wants_poll, 0, __ATOMIC_ACQUIRE))
		return false;
	for (unsigned i = 0; i < n; i++)
		frames[i] = &held[i];
	q->txq.deferred = 0;
	port_tally_frames(&tally, frames, relay->tx_burst(&q->txq, frames, n));
	port_tally_commit(&tally, q->counters);
	port_fifo_pop(relay->fifo, n - q->txq.deferred);
	return n > q->txq.deferred;
}

static bool serve(struct vhost_postcopy *pc, unsigned ring)
{
	struct vhost_queue *q = __atomic_load_n(&pc->queues[ring], __ATOMIC_ACQUIRE);

	if (!q)
		return false;
	switch (state_of(q)) {
	case RELAY_NEW:
		return start(q);
	case RELAY_RUNNING:
		return ring & 1 ? move_rx(q) : move_tx(q);
	default:
		if (!(ring & 1) && move_tx(q))
			return true;
		__atomic_store_n(&pc->queues[ring], NULL, __ATOMIC_RELAXED);
		state_set(q, RELAY_STOPPED);
		return true;
	}
}

static void *thread_main(void *arg)
{
	static const struct timespec idle = {.tv_nsec = IDLE_NS};
	struct vhost_postcopy *pc = arg;

	while (!__atomic_load_n(&pc->stop, __ATOMIC_RELAXED)) {
		bool busy = false;

		for (unsigned i = 0; i < VU_MAX_RINGS; i++)
			busy |= serve(pc, i);
		__atomic_store_n(&pc->rounds, pc->rounds + 1, __ATOMIC_RELEASE);
		if (!busy)
			nanosleep(&idle, NULL);
	}
	return NULL;
}

/* ---- control ---- */

/* The thread may have let go: carry on with the message that waits, which asks again. */
static void again_due(void *arg)
{
	struct vhost_postcopy *pc = arg;

	pc->retrying = true;
	vu_session_retry(pc->vp->session);
}

static int postcopy_begin(struct vhost_port *vp)
{
	struct vhost_postcopy *pc;
	int ret;

	if (vp->postcopy)
		return 0;
	pc = rw_zalloc(sizeof(*pc));
	if (!pc)
		return -ENOMEM;
	pc->vp = vp;
	pc->again = (struct rw_timer){.fn = again_due, .arg = pc};
	ret = rw_thread_start(&pc->thread, NULL, thread_main, pc);
	if (ret) {
		rw_free(pc);
		return ret;
	}
	vp->postcopy = pc;
	vhost_port_event(vp, "postcopy migration: the guest's queues have a thread of their own");
	return 0;
}

void vhost_postcopy_end(struct vhost_port *vp)
{
	struct vhost_postcopy *pc = vp->postcopy;

	if (!pc)
		return;
	__atomic_store_n(&pc->stop, 1, __ATOMIC_RELAXED);
	pthread_join(pc->thread, NULL);
	rw_timer_stop(vp->loop, &pc->again);
	rw_free(pc);
	vp->postcopy = NULL;
	vhost_port_event(vp, "postcopy migration: the workers have the guest's queues again");
}

int vhost_postcopy_take(struct vhost_port *vp, unsigned i, struct vhost_queue *q)
{
	struct vhost_relay *relay;
	int ret = postcopy_begin(vp);

	if (ret)
		return ret;
	relay = rw_zalloc(sizeof(*relay));
	if (!relay)
		return -ENOMEM;
	relay->fifo = port_fifo_new();
	if (!relay->fifo) {
		rw_free(relay);
		return -ENOMEM;
	}
	q->relay = relay;
	if (q->rx) {
		relay->rx_burst = q->rxq.burst;
		relay->rx_done = q->rxq.done;
		q->rxq.burst = relay_rx;
		q->rxq.done = relay_done;
		q->rxq.prefetch = relay_prefetch;
	} else {
		relay->tx_burst = q->txq.burst;
		q->txq.burst = relay_tx;
		q->txq.demote = NULL; /* what the thread writes is not for workers to demote */
	}
	__atomic_store_n(&vp->postcopy->queues[i], q, __ATOMIC_RELEASE);
	return 0;
}

void vhost_relay_free(struct vhost_relay *relay)
{
	if (!relay)
		return;
	port_fifo_free(relay->fifo);
	rw_free(relay);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/*
 * Wait for the thread, a moment; or, when the guest's memory does not make it wait any more, as
 * long as it takes to go round.
 */
static bool wait_for(struct vhost_port *vp, bool (*done)(struct vhost_port *, unsigned, unsigned),
	unsigned first, unsigned n)
{
	static const struct timespec nap = {.tv_nsec = IDLE_NS};
	uint64_t until = now_ns();

	if (vp->postcopy && !vp->postcopy->retrying)
		until += PATIENCE_NS;
	while (!done(vp, first, n)) {
		if (vu_postcopy_state(vp->session) == VU_POSTCOPY_LISTENING && now_ns() > until) {
			rw_timer_start(vp->loop, &vp->postcopy->again, AGAIN_MS, 0);
			return false;
		}
		nanosleep(&nap, NULL);
	}
	return true;
}

static bool stopped(const struct vhost_queue *q)
{
	return !q || !q->relay || state_of(q) == RELAY_STOPPED;
}

static bool all_stopped(struct vhost_port *vp, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		if (!stopped(*vhost_ring_queue(vp, i)))
			return false;
	}
	return true;
}

static bool all_from_stopped(struct vhost_port *vp, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		if (i & 1 && !stopped(*vhost_ring_queue(vp, i)))
			return false;
	}
	return true;
}

static bool all_sent(struct vhost_port *vp, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		const struct vhost_queue *q = *vhost_ring_queue(vp, i);

		if (i & 1 && q && q->relay && !port_fifo_is_empty(q->relay->fifo))
			return false;
	}
	return true;
}

static void ask_to_stop(struct vhost_queue *q)
{
	uint32_t state = state_of(q);

	/* The thread may start it meanwhile; but once asked to stop, nothing else is to say. */
	while (state == RELAY_NEW || state == RELAY_RUNNING) {
		if (__atomic_compare_exchange_n(&q->relay->state, &state, RELAY_STOPPING, false,
			    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return;
	}
}

static void ask_all_to_stop(struct vhost_port *vp, unsigned first, unsigned n, bool only_from)
{
	for (unsigned i = first; i < first + n; i++) {
		struct vhost_queue *q = *vhost_ring_queue(vp, i);

		if (q && q->relay && (i & 1 || !only_from))
			ask_to_stop(q);
	}
}

bool vhost_postcopy_drain(struct vhost_port *vp, unsigned first, unsigned n)
{
	static const struct timespec nap = {.tv_nsec = IDLE_NS};

	/* Once the memory is cut off, what the thread has in hand is worth nothing. */
	if (!vp->postcopy || vu_postcopy_state(vp->session) != VU_POSTCOPY_LISTENING)
		return true;
	ask_all_to_stop(vp, first, n, true);
	if (!wait_for(vp, all_from_stopped, first, n) && !vu_is_over(vp->session))
		return false;
	/* Workers never wait; when they take nothing, what is left is counted as dropped. */
	while (sw_forward_takes(vp->sw) && !sw_port_has_left(vp->sw, &vp->port) &&
		!all_sent(vp, first, n))
		nanosleep(&nap, NULL);
	return true;
}

/* Count what is left in the stand-in of ring `i`, of which nobody else knows any more. */
static void relay_finish(struct vhost_queue *q, unsigned i)
{
	struct vhost_relay *relay = q->relay;
	enum port_drop why = i & 1 ? PORT_DROP_DISABLED : PORT_DROP_LINK_DOWN;

	port_count(&q->counters->drops[why], port_fifo_clear(relay->fifo));
	port_count(&q->counters->drops[PORT_DROP_NO_BUFFER], relay->full - relay->counted);
	relay->counted = relay->full;
}

bool vhost_postcopy_release(struct vhost_port *vp, unsigned first, unsigned n)
{
	if (!vp->postcopy)
		return true;
	ask_all_to_stop(vp, first, n, false);
	if (!wait_for(vp, all_stopped, first, n))
		return false;
	vp->postcopy->retrying = false;
	for (unsigned i = first; i < first + n; i++) {
		struct vhost_queue *q = *vhost_ring_queue(vp, i);

		if (q && q->relay)
			relay_finish(q, i);
	}
	return true;
}

static bool went_round(struct vhost_port *vp, unsigned first, unsigned n)
{
	uint32_t rounds = __atomic_load_n(&vp->postcopy->rounds, __ATOMIC_ACQUIRE);

	(void)first, (void)n;
	/* The round in hand may have begun before the question: only the next one's end counts. */
	return rounds - vp->postcopy->asked >= 2;
}

bool vhost_postcopy_quiesce(struct vhost_port *vp)
{
	struct vhost_postcopy *pc = vp->postcopy;

	if (!pc)
		return true;
	if (!pc->asking) {
		pc->asking = true;
		pc->asked = __atomic_load_n(&pc->rounds, __ATOMIC_ACQUIRE);
	}
	if (!wait_for(vp, went_round, 0, 0))
		return false;
	pc->asking = false;
	pc->retrying = false;
	return true;
}
