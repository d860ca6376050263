/* SPDX-License-Identifier: BSD-3-Clause */
#include "iotlb_miss.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "rw_sys.h"
#include "vhost.h"

/* How long a ring that waits for its own areas leaves a question open before it repeats it. */
#define WAIT_MS 1000

/* The smallest page of an IOMMU. */
#define IOMMU_PAGE 4096u

/* Questions of a note that are repeated at once when the answer brought nothing. */
#define MAX_RETRIES 16

static bool is_open(const struct vhost_queue *q)
{
	/* Pairs with the release in note_close and in vhost_miss_ask. */
	return __atomic_load_n(&q->miss.open, __ATOMIC_ACQUIRE);
}

/* A backlog may go on. A receive queue is polled anyway. */
static void want_poll(struct vhost_queue *q)
{
	if (!q->rx)
		port_txq_want_poll(&q->txq);
}

/* ---- the worker's side ---- */

bool vhost_miss_is_refused(struct vhost_queue *q)
{
	struct vhost_miss *note = &q->miss;

	if (is_open(q) || !note->refused || note->refused_iova != q->vq.misses[0].iova)
		return false;
	note->refused = false;
	q->vq.nmisses = 0;
	return true;
}

bool vhost_miss_may_look_ahead(const struct vhost_queue *q)
{
	return !is_open(q) && !q->miss.refused;
}

static void wake_control(struct vhost_queue *q)
{
	if (rw_eventfd_signal(q->miss.wake_fd))
		vhost_queue_broke(q);
}

void vhost_miss_ask(struct vhost_queue *q)
{
	struct vhost_miss *note = &q->miss;

	if (is_open(q)) {
		/* Control gets one note at a time. What is missing now is found missing again. */
	} else if (gm_iotlb_view(q->vq.tlb)->generation != q->vq.misses_at) {
		/*
		 * The IOTLB has changed since, so that what was missing may be known, and the note
		 * may have been handed back for it. If it were asked for again, the question could
		 * be about a buffer that the guest has got back by then. So the queue is polled
		 * again.
		 */
		want_poll(q);
		/* The worker that polls a shared queue may sleep: control wakes it. */
		if (!q->rx && q->txq.backlog && q->txq.shared)
			wake_control(q);
	} else {
		note->refused = false; /* a refusal is about the note before this one */
		note->n = q->vq.nmisses;
		memcpy(note->range, q->vq.misses, q->vq.nmisses * sizeof(note->range[0]));
		__atomic_store_n(&note->open, 1, __ATOMIC_RELEASE);
		wake_control(q);
	}
	q->vq.nmisses = 0;
}

/* ---- control's side: notes ---- */

static bool is_known(const struct vhost_port *vp, const struct vq_miss *miss)
{
	const struct gm_iotlb_entry *e = gm_iotlb_find(
		gm_iotlb_view(vu_iotlb(vp->session)), miss->iova);

	return e && (e->perm & miss->perm) == miss->perm;
}

/* Hand the note back to the worker, and have the queue polled. */
static void note_close(struct vhost_queue *q)
{
	q->miss.asked = 0;
	q->miss.settled = 0;
	q->miss.again = 0;
	q->miss.nretries = 0;
	/* Pairs with the acquire in is_open. */
	__atomic_store_n(&q->miss.open, 0, __ATOMIC_RELEASE);
	/* Only now: whoever polls the queue for this must find the note closed. */
	want_poll(q);
}

/* Wake the workers whose backlogs are to be polled: they may sleep. */
static void backlogs_wake(struct vhost_port *vp)
{
	for (unsigned i = 0; i < (vu_nrings(vp->session) + 1) / 2; i++) {
		const struct vhost_queue *q = vp->pairs[i].tx;

		if (q && q->txq.backlog && port_txq_wants_poll(&q->txq))
			sw_txq_wake(vp->sw, &vp->port, (uint16_t)i);
	}
}

/* Ask the front-end for range `i`. False: not now. */
static bool ask(struct vhost_port *vp, struct vhost_miss *note, uint32_t i)
{
	const struct vq_miss *miss = &note->range[i];

	/* Another question is about the same page: it will be known then, or asked for again. */
	for (uint32_t k = 0; k < note->n; k++) {
		if (k != i && (note->asked & ~note->settled) >> k & 1 &&
			(note->range[k].iova ^ miss->iova) < IOMMU_PAGE &&
			note->range[k].perm == miss->perm)
			return false;
	}
	note->question[i] = vp->questions + 1;
	if (vu_iotlb_miss(vp->session, miss->iova, miss->perm, note->question[i]))
		return false;
	vp->questions++;
	return true;
}

/* The queue of ring `i` if its note is open, or NULL. */
static struct vhost_queue *asking(struct vhost_port *vp, unsigned i)
{
	struct vhost_queue *q = *vhost_ring_queue(vp, i);

	return q && is_open(q) ? q : NULL;
}

/* Settle the ranges that are known by now, and ask for those that were not asked for. */
static void note_go_on(struct vhost_port *vp, struct vhost_queue *q)
{
	struct vhost_miss *note = &q->miss;
	uint32_t all = (1u << note->n) - 1;

	for (uint32_t i = 0; i < note->n; i++) {
		const struct vq_miss *miss = &note->range[i];

		if (note->settled >> i & 1)
			continue;
		if (is_known(vp, miss))
			note->settled |= 1u << i;
		else if (!(note->asked >> i & 1) && ask(vp, note, i))
			note->asked |= 1u << i;
	}
	if (note->settled != all)
		return;
	note_close(q);
	backlogs_wake(vp);
}

static void notes_go_on(struct vhost_port *vp)
{
	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		struct vhost_queue *q = asking(vp, i);

		if (q)
			note_go_on(vp, q);
	}
}

/* Workers have opened notes, or want a sleeping one to be woken. */
static void wake_ready(void *arg, uint32_t events)
{
	struct vhost_port *vp = arg;
	uint64_t n;

	(void)events;
	if (read(vp->wake_fd, &n, sizeof(n)) < 0)
		return;
	if (!vp->session || !vu_iotlb(vp->session))
		return;
	notes_go_on(vp);
	backlogs_wake(vp);
}

/* ---- control's side: rings that wait ---- */

/* Whether what the last attempt lacked is known by now. If not, ask again when it is time. */
static bool ring_may_start(struct vhost_port *vp, unsigned i)
{
	const struct vhost_ring_wait *wait = &vp->waits[i];
	const struct vq_miss miss = {.iova = wait->missing, .perm = GM_READ | GM_WRITE};

	if (!wait->lacking || is_known(vp, &miss))
		return true;
	vhost_miss_ring_wait(vp, i, wait->missing);
	return false;
}

/*
 * Try to start the rings that wait, and of these only those that may start: to map the areas of a
 * ring costs much, and a front-end can have 256 of them wait. One slice; a turn does the rest.
 */
static void rings_go_on(struct vhost_port *vp)
{
	struct rw_slice slice = rw_slice_begin();

	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		if (!vp->waits[i].waiting || !ring_may_start(vp, i))
			continue;
		/* A failure was logged, and nothing will make the ring start. */
		if (vhost_rings_resume(vp, i, 1))
			vp->waits[i].waiting = false;
		if (rw_slice_done(&slice)) {
			rw_turn_queue(vp->loop, &vp->rings_turn);
			return;
		}
	}
}

static void rings_turn_due(void *arg)
{
	struct vhost_port *vp = arg;

	if (!vp->session || !vu_iotlb(vp->session))
		return;
	rings_go_on(vp);
	if (!vp->retry_due)
		return;
	vp->retry_due = false;
	vu_session_retry(vp->session); /* the session may be over after it */
}

int vhost_miss_begin(struct vhost_port *vp)
{
	int ret;

	vp->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (vp->wake_fd < 0)
		return -errno;
	vp->rings_turn = (struct rw_turn){.fn = rings_turn_due, .arg = vp};
	vp->wake_watch = (struct rw_watch){.fn = wake_ready, .arg = vp, .fd = -1};
	ret = rw_loop_add(vp->loop, &vp->wake_watch, vp->wake_fd, EPOLLIN);
	if (ret) {
		close(vp->wake_fd);
		vp->wake_fd = -1;
	}
	return ret;
}

void vhost_miss_end(struct vhost_port *vp)
{
	if (vp->wake_fd < 0)
		return;
	rw_turn_cancel(vp->loop, &vp->rings_turn);
	rw_loop_del(vp->loop, &vp->wake_watch);
	close(vp->wake_fd);
	vp->wake_fd = -1;
}

void vhost_miss_ring_wait(struct vhost_port *vp, unsigned i, uint64_t missing)
{
	struct vhost_ring_wait *wait = &vp->waits[i];
	uint64_t now_ms = rw_now_ms();

	if (!wait->waiting)
		wait->asked_ms = 0;
	wait->waiting = true;
	wait->lacking = true;
	wait->missing = missing;
	if (wait->asked_ms && wait->iova == missing && now_ms - wait->asked_ms < WAIT_MS)
		return;
	/* Without a channel, or with too many open questions, the next tick asks. */
	if (vu_iotlb_miss(vp->session, missing, GM_READ | GM_WRITE, ++vp->questions))
		return;
	wait->iova = missing;
	wait->asked_ms = now_ms;
}

void vhost_miss_tick(struct vhost_port *vp)
{
	/* Without REPLY_ACK no answer says that a question was in vain: repeat them all. */
	bool acked = vp->session && vu_has_protocol_feature(vp->session, VU_PF_REPLY_ACK);

	if (!vp->session || !vu_iotlb(vp->session))
		return;
	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		struct vhost_queue *q = asking(vp, i);

		if (!q)
			continue;
		q->miss.asked &= acked ? ~q->miss.again : 0;
		q->miss.again = 0;
	}
	rings_go_on(vp);
	notes_go_on(vp);
}

void vhost_iotlb_updated(void *dev)
{
	struct vhost_port *vp = dev;

	rings_go_on(vp);
	notes_go_on(vp);
}

/*
 * Whether [a, a + a_len) and [b, b + b_len) overlap; a_len 0 reaches to the end of all addresses.
 */
static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return b - a < a_len || a - b < b_len || (!a_len && b >= a);
}

/* Whether a part of the running ring lies in the range. */
static bool ring_in(const struct vhost_port *vp, unsigned i, uint64_t iova, uint64_t size)
{
	const struct vu_ring *r = vu_ring(vp->session, i);
	struct vq_areas bytes = vq_area_bytes(vu_features(vp->session), (uint16_t)r->num);

	return overlap(iova, size, r->addr.desc, bytes.desc) ||
		overlap(iova, size, r->addr.avail, bytes.driver) ||
		overlap(iova, size, r->addr.used, bytes.device);
}

bool vhost_iotlb_invalidated(void *dev, uint64_t iova, uint64_t size)
{
	struct rw_slice slice = rw_slice_begin();
	struct vhost_port *vp = dev;

	if (rw_range_wraps(iova, size))
		size = 0;
	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		if (!*vhost_ring_queue(vp, i) || !ring_in(vp, i, iova, size))
			continue;
		/* The guest unmaps the ring itself: the ring waits until it is mapped again. */
		if (!vhost_rings_pause(vp, i, 1))
			return false;
		vp->waits[i].waiting = true;
		vp->waits[i].lacking = false;
		if (rw_slice_done(&slice)) {
			/* The message is carried out again, and finds the rest. */
			vp->retry_due = true;
			rw_turn_queue(vp->loop, &vp->rings_turn);
			return false;
		}
	}
	if (!vhost_quiesce(vp))
		return false;
	rings_go_on(vp);
	return true;
}

/*
 * The answer was good, but the range is not known: it came and has gone, as after an invalidation
 * of the whole IOTLB. Ask once more, after many such answers at the next tick.
 */
static void ask_again(struct vhost_miss *note, uint32_t i)
{
	if (note->nretries++ < MAX_RETRIES)
		note->asked &= ~(1u << i);
	else
		note->again |= 1u << i;
}

/* Take the answer to question `cookie`, which may be one of the note's. */
static void note_answered(
	const struct vhost_port *vp, struct vhost_miss *note, uint64_t cookie, bool ok)
{
	for (uint32_t i = 0; i < note->n; i++) {
		if (!(note->asked >> i & 1) || note->question[i] != cookie ||
			is_known(vp, &note->range[i]))
			continue;
		if (ok) {
			ask_again(note, i);
			continue;
		}
		note->settled |= 1u << i;
		if (!note->refused) {
			note->refused = true;
			note->refused_iova = note->range[i].iova;
		}
	}
}

void vhost_iotlb_answered(void *dev, uint64_t cookie, bool ok)
{
	struct vhost_port *vp = dev;

	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		struct vhost_queue *q = asking(vp, i);

		if (!q)
			continue;
		note_answered(vp, &q->miss, cookie, ok);
		note_go_on(vp, q);
	}
}
