/* SPDX-License-Identifier: BSD-3-Clause */
#include "kick.h"

static struct vhost_pair *pair_of(struct port *port, uint16_t queue)
{
	return &rw_container_of(port, struct vhost_port, port)->pairs[queue];
}

/* Whether control or another worker has left something to do for the backlog. */
static bool wants_service(const struct vhost_pair *pair)
{
	/* Pair with the release in service_set (rings.c), and as in vhost_service. */
	const struct vhost_queue *q = __atomic_load_n(&pair->service, __ATOMIC_ACQUIRE);

	return q && __atomic_load_n(&q->wants_service, __ATOMIC_ACQUIRE);
}

int vhost_kick_of(const struct vu_session *s, unsigned i)
{
	const struct vu_ring *r = vu_ring(s, i);

	/*
	 * Going to sleep is a write to the ring. While a guest migrates, none is made that is not for a
	 * frame: each one is a page to be sent again.
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

	sw_kick(vp->sw, &vp->port, (uint16_t)(ring / 2));
}

void vhost_kick_services(struct vhost_port *vp)
{
	for (unsigned i = 0; i < (vu_nrings(vp->session) + 1) / 2; i++) {
		if (wants_service(&vp->pairs[i]))
			sw_kick(vp->sw, &vp->port, (uint16_t)i);
	}
}

int vhost_kick(struct port *port, uint16_t queue)
{
	const struct vhost_queue *q = pair_of(port, queue)->from;

	if (!q)
		return PORT_KICK_DRIVER; /* polled for the other's sake */
	return q->relay ? PORT_KICK_NONE : q->kick_fd;
}

bool vhost_arm(struct port *port, uint16_t queue, bool takes)
{
	struct vhost_pair *pair = pair_of(port, queue);
	struct vhost_queue *q = pair->from;

	if (wants_service(pair))
		return false;
	/* A disabled ring is emptied although no frames are taken. */
	if (!q || !(takes || q->discards))
		return true;
	q->armed = true;
	return vq_enable_notify(&q->vq, q->packed);
}

void vhost_disarm(struct port *port, uint16_t queue)
{
	struct vhost_queue *q = pair_of(port, queue)->from;

	if (!q || !q->armed)
		return;
	q->armed = false;
	vq_disable_notify(&q->vq, q->packed);
}
