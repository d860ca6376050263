/* SPDX-License-Identifier: BSD-3-Clause */
#include "kick.h"

int vhost_kick_of(const struct vu_session *s, unsigned i)
{
	const struct vu_ring *r = vu_ring(s, i);

	/*
	 * Going to sleep is a write to the ring. While a guest migrates, none is made that is not
	 * for a frame: each one is a page to be sent again.
	 */
	if (vu_log(s) && (vu_logs_buffers(s) || vu_logs_ring(s, i)))
		return PORT_KICK_NONE;
	if (r->kick_fd >= 0)
		return r->kick_fd;
	if (vu_has_protocol_feature(s, VU_PF_INBAND_NOTIFICATIONS) && !r->kick_polled)
		return PORT_KICK_DRIVER;
	return PORT_KICK_NONE;
}

void vhost_ring_kicked(void *dev, unsigned ring)
{
	struct vhost_port *vp = dev;

	/* A tx queue is filled by whoever has frames: it needs no kick. */
	if (ring & 1)
		sw_rxq_wake(vp->sw, &vp->port, (uint16_t)(ring / 2));
}

static int kick(struct port_rxq *rxq)
{
	const struct vhost_queue *q = vhost_queue_of_rxq(rxq);

	return q->relay ? PORT_KICK_NONE : q->kick_fd;
}

static bool arm(struct port_rxq *rxq, bool takes)
{
	struct vhost_queue *q = vhost_queue_of_rxq(rxq);

	/* A disabled ring is emptied although no frames are taken. */
	if (!takes && !q->discards)
		return true;
	q->armed = true;
	return vq_enable_notify(&q->vq, q->packed);
}

static void disarm(struct port_rxq *rxq)
{
	struct vhost_queue *q = vhost_queue_of_rxq(rxq);

	if (!q->armed)
		return;
	q->armed = false;
	vq_disable_notify(&q->vq, q->packed);
}

static int node(const struct port_rxq *rxq)
{
	return vhost_queue_node(vhost_queue_of_rxq(rxq));
}

static void set_node(struct port_rxq *rxq, int node)
{
	vhost_queue_set_node(vhost_queue_of_rxq(rxq), node);
}

const struct port_rxq_ops vhost_rxq_ops = {
	.kick = kick,
	.arm = arm,
	.disarm = disarm,
	.node = node,
	.set_node = set_node,
};
