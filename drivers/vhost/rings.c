/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings: make what runs agree with what the session says. */
#include <errno.h>
#include <string.h>

#include "postcopy.h"

/* Have the queue of ring `i` run, or none. */
static void ring_set(struct vhost_port *vp, unsigned i, struct vhost_queue *q)
{
	uint16_t index = (uint16_t)(i / 2);

	if (i & 1)
		sw_rxq_set(vp->sw, &vp->port, index, q ? &q->rxq : NULL);
	else
		sw_txq_set(vp->sw, &vp->port, index, q ? &q->txq : NULL);
}

/* The port's rx queues share a round's work. */
static void work_share(struct vhost_port *vp)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PORT_MAX_PAIRS; i++)
		n += vp->pairs[i].rx != NULL;
	port_work_queues(&vp->port.work, n);
}

bool vhost_quiesce(void *dev)
{
	struct vhost_port *vp = dev;

	if (!vhost_postcopy_quiesce(vp))
		return false;
	sw_quiesce(vp->sw);
	return true;
}

static void ring_rested(struct vhost_port *vp, unsigned i, const struct vhost_queue *q)
{
	uint32_t base = vq_base(&q->vq, q->packed);

	vu_ring_rested(vp->session, i, base);
	vp->settled[i] = true;
	vp->settled_at[i] = base;
}

bool vhost_rings_pause(void *dev, unsigned first, unsigned n)
{
	struct vhost_port *vp = dev;

	if (!vhost_postcopy_drain(vp, first, n))
		return false;
	for (unsigned i = first; i < first + n; i++) {
		ring_set(vp, i, NULL);
		vp->waits[i].waiting = false;
	}
	sw_commit(vp->sw);
	if (!vhost_postcopy_release(vp, first, n))
		return false;
	for (unsigned i = first; i < first + n; i++) {
		struct vhost_queue **q = vhost_ring_queue(vp, i);

		if (!*q)
			continue;
		if ((*q)->ready)
			ring_rested(vp, i, *q);
		vp->rested[i] = (*q)->ready && vq_inflight_idle(&(*q)->vq);
		vp->nunlogged += (*q)->nunlogged;
		if (!(*q)->rx)
			port_txq_clear(&(*q)->txq);
		vhost_queue_rest(*q);
		vhost_queue_free(vp->kept[i]);
		vp->kept[i] = *q;
		*q = NULL;
	}
	return true;
}

void vhost_rings_forget(struct vhost_port *vp)
{
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		vhost_queue_free(vp->kept[i]);
		vp->kept[i] = NULL;
		vp->settled[i] = false;
		vp->needs_reset[i] = false;
	}
}

void vhost_ring_stopped(void *dev, unsigned ring)
{
	struct vhost_port *vp = dev;
	void *record = vu_ring_inflight(vp->session, ring);

	vp->again.rings[ring].stopped = true;
	if (record && vp->rested[ring])
		vq_inflight_forget(record);
	vp->rested[ring] = false;
	/* Of a ring whose position nobody knows, the front-end has learned nothing. */
	if (!vp->needs_reset[ring])
		vhost_record_close(&vp->record, ring);
	vp->needs_reset[ring] = false;
}

static bool is_settled(const struct vhost_port *vp, unsigned i)
{
	return vp->settled[i] && vp->settled_at[i] == vu_ring(vp->session, i)->base;
}

/* Where a ring goes on, if that is not where the front-end said. */
static void ring_started(struct vhost_port *vp, unsigned i, const struct vhost_queue *q)
{
	const struct vu_ring *r = vu_ring(vp->session, i);

	vp->needs_reset[i] = false;
	if (q->resumes)
		vhost_port_event(vp, "ring %u goes on where the record says that it stopped", i);
	else if (!q->packed && q->ready && !q->init.inflight && r->base != q->vq.done.idx)
		vhost_port_event(vp,
			"ring %u goes on at its used index, %u; the front-end named %u", i,
			q->vq.done.idx, r->base);
}

/* A packed ring does not say where it is, and to guess would leave it silent for ever. */
static void ring_needs_reset(struct vhost_port *vp, unsigned i)
{
	if (vhost_ring_differs(vp, i))
		vhost_ring_refuse(vp, i);
	else if (!vp->needs_reset[i])
		rw_log_limited(&vp->limit, RW_LOG_WARNING,
			"port %s: nobody knows where packed ring %u stopped when the switch last "
			"ended; the guest has to reset it (restart its driver, or reboot)",
			vp->port.name, i);
	vp->needs_reset[i] = true;
	vu_ring_error(vp->session, i);
}

/* Whether neither driver nor device has used the ring: it is a new one. */
static bool is_unused(const struct vhost_queue *q)
{
	uint32_t first = VU_PACKED_AVAIL_WRAP | VU_PACKED_AVAIL_WRAP << VU_PACKED_USED_SHIFT;

	return vq_base(&q->vq, q->packed) == (q->packed ? first : 0);
}

static int ring_resume(struct vhost_port *vp, unsigned i)
{
	struct vhost_queue **q = vhost_ring_queue(vp, i);
	struct vhost_queue_config cfg = {
		.session = vp->session,
		.ring = i,
		.port = &vp->port,
		.shared = sw_nworkers(vp->sw) > 1,
		.deferred = vhost_postcopy_wanted(vp),
		.wake_fd = vp->wake_fd,
		.kept = &vp->kept[i],
		.helper = vp->helper,
		.record = &vp->record,
		.settled = is_settled(vp, i),
	};
	struct vhost_queue *made = NULL;
	uint64_t missing = 0;
	int ret;

	/* A disabled tx queue takes nothing and does not run; a disabled rx queue is drained. */
	if (*q || !vu_ring_ready(vp->session, i) || (!(i & 1) && !vu_ring(vp->session, i)->enabled))
		return 0;
	ret = vhost_queue_new(&cfg, &made, &missing);
	if (ret == -EAGAIN) {
		vhost_miss_ring_wait(vp, i, missing);
		return 0;
	}
	if (!ret && made->ready && vhost_ring_differs(vp, i) && !is_unused(made)) {
		vhost_queue_free(made);
		ret = -EUCLEAN;
	}
	if (ret == -EUCLEAN) {
		ring_needs_reset(vp, i);
		return 0;
	}
	/* Before another thread has it. */
	if (!ret && !cfg.settled)
		ring_started(vp, i, made);
	if (!ret && cfg.deferred) {
		ret = vhost_postcopy_take(vp, i, made);
		if (ret)
			vhost_queue_free(made);
	}
	if (ret) {
		char why[192];

		rw_log_limited(&vp->limit, RW_LOG_WARNING, "port %s: ring %u cannot run: %s",
			vp->port.name, i, vhost_why(vp, ret, why, sizeof(why)));
		return ret;
	}
	vp->broken_told[i] = false;
	vp->waits[i].waiting = false;
	/* Any worker may fill a tx queue: its state stays with the guest's memory. */
	if (!(i & 1))
		vhost_queue_set_node(made, vhost_queue_node(made));
	*q = made;
	vhost_ring_ran(vp, i);
	ring_set(vp, i, made);
	return 0;
}

int vhost_rings_resume(void *dev, unsigned first, unsigned n)
{
	struct vhost_port *vp = dev;
	int ret = 0;

	if (!vhost_postcopy_wanted(vp))
		vhost_postcopy_end(vp);
	for (unsigned i = first; i < first + n; i++) {
		int one = ring_resume(vp, i);

		if (one && !ret)
			ret = one;
	}
	work_share(vp);
	sw_commit(vp->sw);
	vhost_tell_state(vp);
	vhost_announce(vp);
	return ret;
}
