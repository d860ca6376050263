/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions about translations. A worker that meets an address the IOTLB does not know leaves the chain in
 * its ring, notes what it lacks (struct vhost_asks) and goes on with other queues. Control asks the front-end
 * and, when all is known or refused, hands the note back: the worker tries again. A ring whose own
 * areas are not known yet waits in the same way before it starts.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kick.h"

/* How long a ring that waits for its own pages leaves a question open before it repeats it. */
#define WAIT_MS 1000

/* The smallest page of an IOMMU. */
#define IOMMU_PAGE 4096u

/* Questions of a note that are repeated at once when the answer brought nothing. */
#define MAX_RETRIES 16

static bool is_known(const struct vhost_port *vp, const struct vq_miss *miss)
{
	const struct gm_iotlb_entry *e = gm_iotlb_find(
		gm_iotlb_view(vu_iotlb(vp->session)), miss->iova);

	return e && (e->perm & miss->perm) == miss->perm;
}

/* Hand the note back to the worker. */
static void asks_close(struct vhost_queue *q)
{
	q->asks.asked = 0;
	q->asks.settled = 0;
	q->asks.again = 0;
	q->asks.nretries = 0;
	/* Pairs with the acquire in vhost_asks_open. */
	__atomic_store_n(&q->asks.open, 0, __ATOMIC_RELEASE);
	/* After that: whoever polls the queue then finds the note in its hands. */
	vhost_want_poll(q);
}

static bool ask(struct vhost_port *vp, struct vhost_asks *asks, uint32_t i)
{
	const struct vq_miss *miss = &asks->miss[i];

	/* A page that another question is about will be known then, or refused and asked for again. */
	for (uint32_t k = 0; k < asks->n; k++) {
		if (k != i && (asks->asked & ~asks->settled) >> k & 1 &&
			(asks->miss[k].iova ^ miss->iova) < IOMMU_PAGE &&
			asks->miss[k].perm == miss->perm)
			return false;
	}
	asks->question[i] = vp->questions + 1;
	if (vu_iotlb_miss(vp->session, miss->iova, miss->perm, asks->question[i]))
		return false;
	vp->questions++;
	return true;
}

/* The queue of ring `i` if it has handed us a note, or NULL. */
static struct vhost_queue *asking(struct vhost_port *vp, unsigned i)
{
	struct vhost_queue *q = *vhost_ring_queue(vp, i);

	return q && vhost_asks_open(q) ? q : NULL;
}

/* Ask for what was not asked yet, and see what is known meanwhile. */
static void asks_go_on(struct vhost_port *vp, struct vhost_queue *q)
{
	struct vhost_asks *asks = &q->asks;
	uint32_t all = (1u << asks->n) - 1;

	for (uint32_t i = 0; i < asks->n; i++) {
		const struct vq_miss *miss = &asks->miss[i];

		if (asks->settled >> i & 1)
			continue;
		if (is_known(vp, miss))
			asks->settled |= 1u << i;
		else if (!(asks->asked >> i & 1) && ask(vp, asks, i))
			asks->asked |= 1u << i;
	}
	if (asks->settled != all)
		return;
	asks_close(q);
	vhost_wake_backlogs(vp);
}

/* For all queues. */
static void all_go_on(struct vhost_port *vp)
{
	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		struct vhost_queue *q = asking(vp, i);

		if (q)
			asks_go_on(vp, q);
	}
}

static void wake_ready(void *arg, uint32_t events)
{
	struct vhost_port *vp = arg;
	uint64_t n;

	(void)events;
	if (read(vp->wake_fd, &n, sizeof(n)) < 0)
		return;
	if (!vp->session || !vu_iotlb(vp->session))
		return;
	all_go_on(vp);
	vhost_wake_backlogs(vp);
}

int vhost_iommu_begin(struct vhost_port *vp)
{
	int ret;

	vp->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (vp->wake_fd < 0)
		return -errno;
	vp->wake_watch = (struct rw_watch){.fn = wake_ready, .arg = vp, .fd = -1};
	ret = rw_loop_add(vp->loop, &vp->wake_watch, vp->wake_fd, EPOLLIN);
	if (ret) {
		close(vp->wake_fd);
		vp->wake_fd = -1;
	}
	return ret;
}

void vhost_iommu_end(struct vhost_port *vp)
{
	if (vp->wake_fd < 0)
		return;
	rw_loop_del(vp->loop, &vp->wake_watch);
	close(vp->wake_fd);
	vp->wake_fd = -1;
}

void vhost_iommu_wait(struct vhost_port *vp, unsigned ring, uint64_t missing)
{
	uint64_t now_ms = rw_now_ms();

	if (!vp->waiting[ring])
		vp->wait_asked_ms[ring] = 0;
	vp->waiting[ring] = true;
	if (vp->wait_asked_ms[ring] && vp->wait_iova[ring] == missing &&
		now_ms - vp->wait_asked_ms[ring] < WAIT_MS)
		return;
	/* No channel yet, or too many questions: the tick comes back to it. */
	if (vu_iotlb_miss(vp->session, missing, GM_READ | GM_WRITE, ++vp->questions))
		return;
	vp->wait_iova[ring] = missing;
	vp->wait_asked_ms[ring] = now_ms;
}

/* Try again to start the rings that wait. */
static void rings_go_on(struct vhost_port *vp)
{
	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		if (vp->waiting[i] && vhost_rings_resume(vp, i, 1))
			vp->waiting[i] = false; /* logged; nothing will make it start */
	}
}

void vhost_iommu_tick(struct vhost_port *vp)
{
	/* Without acknowledgements nobody says that a question was lost, or is to be repeated. */
	bool acked = vp->session && vu_has_protocol_feature(vp->session, VU_PF_REPLY_ACK);

	if (!vp->session || !vu_iotlb(vp->session))
		return;
	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		struct vhost_queue *q = asking(vp, i);

		if (!q)
			continue;
		q->asks.asked &= acked ? ~q->asks.again : 0;
		q->asks.again = 0;
	}
	rings_go_on(vp);
	all_go_on(vp);
}

void vhost_iotlb_updated(void *dev)
{
	struct vhost_port *vp = dev;

	rings_go_on(vp);
	all_go_on(vp);
}

/* Whether [a, a + a_len) and [b, b + b_len) overlap; a_len 0 reaches to the end of all addresses. */
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
	struct vhost_port *vp = dev;

	if (rw_range_wraps(iova, size))
		size = 0;
	for (unsigned i = 0; i < vu_nrings(vp->session); i++) {
		if (!*vhost_ring_queue(vp, i) || !ring_in(vp, i, iova, size))
			continue;
		/* The guest pulls the ring itself away: it waits until it is mapped again. */
		if (!vhost_rings_pause(vp, i, 1))
			return false;
		vp->waiting[i] = true;
	}
	if (!vhost_quiesce(vp))
		return false;
	rings_go_on(vp);
	return true;
}

/*
 * The answer was good, but the entry is not there: it came and has gone again, as after an invalidation of
 * all there is. Ask once more; from a front-end that makes a habit of it, at the next tick.
 */
static void ask_again(struct vhost_asks *asks, uint32_t i)
{
	if (asks->nretries++ < MAX_RETRIES)
		asks->asked &= ~(1u << i);
	else
		asks->again |= 1u << i;
}

/* What the answer to question `cookie` means for a note. */
static void note_answered(
	const struct vhost_port *vp, struct vhost_asks *asks, uint64_t cookie, bool ok)
{
	for (uint32_t i = 0; i < asks->n; i++) {
		if (!(asks->asked >> i & 1) || asks->question[i] != cookie ||
			is_known(vp, &asks->miss[i]))
			continue;
		if (ok) {
			ask_again(asks, i);
			continue;
		}
		asks->settled |= 1u << i;
		if (!asks->denied) {
			asks->denied = true;
			asks->denied_iova = asks->miss[i].iova;
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
		note_answered(vp, &q->asks, cookie, ok);
		asks_go_on(vp, q);
	}
}
