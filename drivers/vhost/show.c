/* SPDX-License-Identifier: BSD-3-Clause */
/* What an operator sees of a port. */
#include <string.h>

#include "sw_balance.h"
#include "vhost.h"

#define NAME(feature) [feature] = #feature

static const char *const feature_names[64] = {
	NAME(VIRTIO_NET_F_CSUM),
	NAME(VIRTIO_NET_F_GUEST_CSUM),
	NAME(VIRTIO_NET_F_MTU),
	NAME(VIRTIO_NET_F_GUEST_TSO4),
	NAME(VIRTIO_NET_F_GUEST_TSO6),
	NAME(VIRTIO_NET_F_GUEST_ECN),
	NAME(VIRTIO_NET_F_HOST_TSO4),
	NAME(VIRTIO_NET_F_HOST_TSO6),
	NAME(VIRTIO_NET_F_HOST_ECN),
	NAME(VIRTIO_NET_F_MRG_RXBUF),
	NAME(VIRTIO_NET_F_STATUS),
	NAME(VIRTIO_NET_F_CTRL_VQ),
	NAME(VIRTIO_NET_F_GUEST_ANNOUNCE),
	NAME(VIRTIO_NET_F_MQ),
	NAME(VIRTIO_F_NOTIFY_ON_EMPTY),
	[VU_F_LOG_ALL] = "VHOST_F_LOG_ALL",
	NAME(VIRTIO_F_ANY_LAYOUT),
	NAME(VIRTIO_RING_F_INDIRECT_DESC),
	NAME(VIRTIO_RING_F_EVENT_IDX),
	[VU_F_PROTOCOL_FEATURES] = "VHOST_USER_F_PROTOCOL_FEATURES",
	NAME(VIRTIO_F_VERSION_1),
	NAME(VIRTIO_F_ACCESS_PLATFORM),
	NAME(VIRTIO_F_RING_PACKED),
	NAME(VIRTIO_F_IN_ORDER),
	NAME(VIRTIO_F_RING_RESET),
	NAME(VIRTIO_NET_F_GUEST_USO4),
	NAME(VIRTIO_NET_F_GUEST_USO6),
	NAME(VIRTIO_NET_F_HOST_USO),
	NAME(VIRTIO_NET_F_SPEED_DUPLEX),
};

const char *vhost_feature_name(unsigned bit)
{
	return bit < RW_ARRAY_SIZE(feature_names) ? feature_names[bit] : NULL;
}

bool vhost_port_session(const struct vhost_port *vp, struct vhost_session_info *out)
{
	static const char *const postcopy[] = {
		[VU_POSTCOPY_NONE] = "none",
		[VU_POSTCOPY_ADVISED] = "advised",
		[VU_POSTCOPY_LISTENING] = "listening",
	};
	const struct vu_session *s = vp->session;
	struct vu_inflight_size inflight;

	if (!s)
		return false;
	inflight = vu_inflight_size(s);
	*out = (struct vhost_session_info){
		.protocol_features = vu_protocol_features(s),
		.mac_set = vp->mac_set,
		.status = vu_status(s),
		.channel = vu_has_channel(s),
		.iotlb = vu_iotlb(s),
		.entries = vu_iotlb(s) ? gm_iotlb_view(vu_iotlb(s))->n : 0,
		.log_size = vu_log(s) ? dl_size(vu_log(s)) : 0,
		.log_marked = vu_log(s) ? dl_marked(vu_log(s)) : 0,
		.log_buffers = vu_logs_buffers(s),
		.inflight = inflight.bytes,
		.in_rings = inflight.nrings,
		.in_entries = inflight.num,
		.postcopy = postcopy[vu_postcopy_state(s)],
		.nregions = vu_mem(s) ? vu_mem(s)->nregions : 0,
		.nrings = vu_nrings(s),
	};
	memcpy(out->mac, vp->mac, sizeof(out->mac));
	for (unsigned i = 0; i < vu_nrings(s); i++)
		out->log_rings += vu_logs_ring(s, i);
	return true;
}

void vhost_port_region(const struct vhost_port *vp, unsigned i, struct vhost_region_info *out)
{
	const struct gm_region *r = &vu_mem(vp->session)->regions[i];

	*out = (struct vhost_region_info){.gpa = r->gpa, .uva = r->uva, .size = r->size};
}

static struct vhost_position position_decode(const struct vu_session *s, uint32_t base)
{
	if (!vu_has_feature(s, VIRTIO_F_RING_PACKED))
		return (struct vhost_position){.index = (uint16_t)base};
	return (struct vhost_position){
		.index = base & VU_PACKED_AVAIL_MASK,
		.wrap = base & VU_PACKED_AVAIL_WRAP,
	};
}

/*
 * Where a running ring is. To stop its worker for this would delay every guest of that worker, so
 * these reads race with the worker's writes on purpose, and so they do with those of the post-copy
 * proxy. A field has at most 16 bits, is aligned and read once, so each number is right by itself;
 * but an index may be a burst ahead of its wrap counter. False: the ring has not been set up yet,
 * nothing was read.
 */
RW_NOINLINE __attribute__((no_sanitize("thread"))) static bool position_read(
	const struct vhost_queue *q, struct vhost_ring_info *out)
{
	const volatile struct vq *vq = &q->vq;

	if (!*(const volatile bool *)&q->ready)
		return false;
	out->avail.index = vq->next.idx;
	out->avail.wrap = q->packed && vq->next.wrap;
	out->used.index = vq->done.idx;
	out->used.wrap = q->packed && vq->done.wrap;
	out->used_known = true;
	return true;
}

static const char *ring_state(
	const struct vhost_port *vp, unsigned i, const struct vhost_queue *q, bool broken)
{
	const struct vu_ring *r = vu_ring(vp->session, i);

	if (!r->started)
		return "stopped";
	if (broken)
		return "broken";
	if (vp->needs_reset[i])
		return "needs_reset";
	if (vp->waits[i].waiting)
		return "waiting";
	if (!vu_ring_ready(vp->session, i))
		return "incomplete";
	if (!r->enabled)
		return "disabled";
	return q ? "enabled" : "failed";
}

static const char *ring_call(const struct vu_ring *r)
{
	if (r->call)
		return "in-band";
	return r->call_fd >= 0 ? "eventfd" : "none";
}

static void worker_fill(const struct vhost_port *vp, unsigned i, struct vhost_ring_info *out)
{
	struct sw_queue_info info;

	out->worker = -1;
	out->memory_node = RW_NUMA_UNKNOWN;
	if (!(i & 1) || sw_queue_read(vp->sw, &vp->port, (uint16_t)(i / 2), &info))
		return;
	out->worker = (int)info.worker;
	out->memory_node = info.node;
	out->far_off = info.far_off;
}

void vhost_port_ring(const struct vhost_port *vp, unsigned i, struct vhost_ring_info *out)
{
	const struct vu_session *s = vp->session;
	const struct vu_ring *r = vu_ring(s, i);
	const struct vhost_pair *pair = &vp->pairs[i / 2];
	const struct vhost_queue *q = i & 1 ? pair->rx : pair->tx;
	bool packed = vu_has_feature(s, VIRTIO_F_RING_PACKED);
	bool broken = q && __atomic_load_n(&q->broken, __ATOMIC_RELAXED);

	*out = (struct vhost_ring_info){
		.size = r->num,
		.rx = i & 1,
		.state = ring_state(vp, i, q, broken),
		.call = ring_call(r),
		.event_idx = vu_has_feature(s, VIRTIO_RING_F_EVENT_IDX),
		.big_endian = r->swap,
		.logged = vu_logs_ring(s, i),
		.inflight = vu_ring_inflight(s, i),
	};
	worker_fill(vp, i, out);
	if (q && position_read(q, out))
		return;
	out->avail = position_decode(s, r->base);
	out->used = position_decode(s, r->base >> VU_PACKED_USED_SHIFT);
	out->used_known = packed; /* of a split ring it is in guest memory alone */
}
