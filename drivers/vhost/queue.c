/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue.h"

#include <errno.h>
#include <stdlib.h>

/* Find the three areas of the ring in our memory. */
static int areas_get(struct vhost_queue *q, const struct vu_session *s, const struct vu_ring *ring)
{
	struct vq_areas bytes = vq_area_bytes(s->features, (uint16_t)ring->num);
	int ret = gm_linear_get(s->mem, ring->addr.desc, bytes.desc, &q->area[0]);

	if (!ret)
		ret = gm_linear_get(s->mem, ring->addr.avail, bytes.driver, &q->area[1]);
	if (!ret)
		ret = gm_linear_get(s->mem, ring->addr.used, bytes.device, &q->area[2]);
	return ret;
}

static int ring_init(struct vhost_queue *q, const struct vu_session *s, const struct vu_ring *ring)
{
	struct vq_config cfg = {
		.mem = s->mem,
		.features = s->features,
		.base = ring->base,
		.num = (uint16_t)ring->num,
		.call_fd = ring->call_fd,
	};
	int ret = areas_get(q, s, ring);

	if (ret)
		return ret;
	cfg.desc = q->area[0].host;
	cfg.driver = q->area[1].host;
	cfg.device = q->area[2].host;
	return vq_init(&q->vq, &cfg);
}

/* Which offloads concern the queue: what the guest sends, or what it accepts. */
static void offloads_init(struct vhost_queue *q, const struct vu_session *s, bool from)
{
	q->csum = vu_has_feature(s, from ? VIRTIO_NET_F_CSUM : VIRTIO_NET_F_GUEST_CSUM);
	q->tso4 = vu_has_feature(s, from ? VIRTIO_NET_F_HOST_TSO4 : VIRTIO_NET_F_GUEST_TSO4);
	q->tso6 = vu_has_feature(s, from ? VIRTIO_NET_F_HOST_TSO6 : VIRTIO_NET_F_GUEST_TSO6);
	q->ecn = vu_has_feature(s, from ? VIRTIO_NET_F_HOST_ECN : VIRTIO_NET_F_GUEST_ECN);
}

/*
 * Room for a burst's segments, the chain that may follow and, where frames take several chains, a
 * whole frame before that.
 */
static size_t segs_wanted(uint32_t num, bool from)
{
	return BURST_SEGS + (from ? 1 : 2) * (size_t)vq_max_segs((uint16_t)num) + 1;
}

int vhost_queue_new(const struct vu_session *s, unsigned i, struct port_pair *counters, bool shared,
	struct vhost_queue **out)
{
	const struct vu_ring *ring = &s->rings[i];
	bool from = i & 1, mergeable = vu_has_feature(s, VIRTIO_NET_F_MRG_RXBUF);
	struct vhost_queue *q = rw_zalloc(sizeof(*q));
	int ret = -ENOMEM;

	if (!q)
		return -ENOMEM;
	q->packed = vu_has_feature(s, VIRTIO_F_RING_PACKED);
	q->shared = shared;
	q->counters = from ? &counters->from_guest : &counters->to_guest;
	q->hdr_len = mergeable || vu_has_feature(s, VIRTIO_F_VERSION_1) ? NET_HDR_LONG
									: NET_HDR_SHORT;
	q->segs = rw_zalloc(segs_wanted(ring->num, from) * sizeof(*q->segs));
	q->taken = from ? NULL : rw_zalloc(ring->num * sizeof(*q->taken));
	if (!q->segs || (!from && !q->taken))
		goto err;
	ret = ring_init(q, s, ring);
	if (ret)
		goto err;
	offloads_init(q, s, from);
	if (from)
		vhost_from_init(q, !ring->enabled);
	else
		vhost_to_init(q, mergeable);
	*out = q;
	return 0;
err:
	vhost_queue_free(q);
	return ret;
}

void vhost_queue_free(struct vhost_queue *q)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(q->area); i++)
		gm_linear_put(&q->area[i]);
	rw_free(q->taken);
	rw_free(q->segs);
	rw_free(q);
}
