/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "rw_helper.h"
#include "vq_ops.h"

/* SET_VRING_BASE of a packed ring: index in bits 0..14, wrap counter in bit 15, twice. */
#define BASE_IDX_MASK 0x7fffu
#define BASE_WRAP     (1u << 15)

static bool has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

struct vq_areas vq_area_bytes(uint64_t features, uint16_t num)
{
	if (has(features, VIRTIO_F_RING_PACKED))
		return (struct vq_areas){
			.desc = sizeof(struct vring_packed_desc) * num,
			.driver = sizeof(struct vring_packed_desc_event),
			.device = sizeof(struct vring_packed_desc_event),
		};
	/* The event index stands behind each ring; without the feature it need not be there. */
	return (struct vq_areas){
		.desc = sizeof(struct vring_desc) * num,
		.driver = 4 + 2ull * num + (has(features, VIRTIO_RING_F_EVENT_IDX) ? 2 : 0),
		.device = 4 + 8ull * num + (has(features, VIRTIO_RING_F_EVENT_IDX) ? 2 : 0),
	};
}

/* Buffers between the used and the available position, or -1: the two contradict each other. */
static int32_t packed_in_flight(const struct vq *vq)
{
	int32_t n = (int32_t)vq->next.idx - vq->done.idx;

	if (vq->next.wrap != vq->done.wrap)
		n += vq->num;
	return n <= vq->num ? n : -1;
}

/* Where a packed ring continues, from the base. */
static int packed_position(struct vq *vq, uint32_t base)
{
	uint16_t used = (uint16_t)(base >> 16);

	vq->next = (struct vq_cursor){.idx = base & BASE_IDX_MASK, .wrap = !!(base & BASE_WRAP)};
	vq->done = (struct vq_cursor){.idx = used & BASE_IDX_MASK, .wrap = !!(used & BASE_WRAP)};
	/*
	 * DPDK's virtio-user gives only the driver's position, 0x8000 for a new ring. Taken
	 * literally that is a used position a whole lap or more behind, which is impossible unless
	 * every entry of the ring is in flight.
	 */
	if (!used && vq->next.wrap)
		vq->done = vq->next;
	if (vq->next.idx >= vq->num || vq->done.idx >= vq->num || packed_in_flight(vq) < 0)
		return -EINVAL;
	return 0;
}

static int split_position(struct vq *vq, uint32_t base)
{
	if (!rw_is_power_of_2(vq->num) || base > UINT16_MAX)
		return -EINVAL;
	/*
	 * The used index lives in the ring: there it survives a back-end that was killed. Chains
	 * are returned in order, so what is not used is still to be fetched, and the base has
	 * nothing to add: front-ends name 0, the available index or one of long ago (DPDK's
	 * virtio-user, Cloud Hypervisor, a driver that posted buffers before it started).
	 */
	vq->done.idx = vq_split_16(vq, vq_load(&vq->used->idx), VQ_SLOW);
	vq->next = vq->done;
	return 0;
}

/*
 * Enable or disable kicks: `flags` as they stand in the ring; in a split ring with the event index
 * the driver kicks when it passes index `at`. A packed ring uses the flags alone: a kick for each
 * batch.
 */
static void notify_set(struct vq *vq, bool packed, uint16_t flags, uint16_t at)
{
	uint16_t *to = packed ? &vq->device->flags : &vq->used->flags;

	vq_store(to, packed ? flags : vq_split_16(vq, flags, VQ_SLOW));
	vq_log_written(vq, to, sizeof(*to));
	if (!packed && vq->event_idx) {
		uint16_t *event = vq_split_avail_event(vq);

		vq_store(event, vq_split_16(vq, at, VQ_SLOW));
		vq_log_written(vq, event, sizeof(*event));
	}
	vq_log_flush(vq);
}

/* With the event index: the driver passes an index that it just passed after 65536 buffers. */
void vq_disable_notify(struct vq *vq, bool packed)
{
	notify_set(vq, packed, packed ? VRING_PACKED_EVENT_FLAG_DISABLE : VRING_USED_F_NO_NOTIFY,
		(uint16_t)(vq->next.idx - 1));
}

bool vq_enable_notify(struct vq *vq, bool packed)
{
	if (vq->broken)
		return true;
	notify_set(vq, packed, packed ? VRING_PACKED_EVENT_FLAG_ENABLE : 0, vq->next.idx);
	/*
	 * Pairs with the driver's barrier between publishing a chain and reading our suppression
	 * state (2.7.13.4, 2.8.21.3): one of us sees what the other one wrote.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (packed)
		return !vq_peek(vq, 1, VQ_PACKED | VQ_SLOW);
	return !vq_peek(vq, 1, VQ_SLOW) && !vq->broken;
}

/* Indices, flags and whole descriptors are accessed at once, so they must not straddle words. */
static bool aligned(const struct vq_config *cfg)
{
	bool packed = has(cfg->features, VIRTIO_F_RING_PACKED);

	return !((uintptr_t)cfg->desc & 15) && !((uintptr_t)cfg->driver & (packed ? 3 : 1)) &&
		!((uintptr_t)cfg->device & 3) && !((uintptr_t)cfg->inflight & 7);
}

unsigned vq_mode(const struct vq_config *cfg)
{
	bool slow = cfg->tlb || cfg->swap || cfg->log || cfg->inflight;

	return (has(cfg->features, VIRTIO_F_RING_PACKED) ? VQ_PACKED : 0) | (slow ? VQ_SLOW : 0);
}

static void vq_set(struct vq *vq, const struct vq_config *cfg)
{
	*vq = (struct vq){
		.desc = cfg->desc,
		.avail = cfg->driver,
		.used = cfg->device,
		.mem = cfg->mem,
		.num = cfg->num,
		.event_idx = has(cfg->features, VIRTIO_RING_F_EVENT_IDX),
		.notify_on_empty = has(cfg->features, VIRTIO_F_NOTIFY_ON_EMPTY),
		.indirect = has(cfg->features, VIRTIO_RING_F_INDIRECT_DESC),
		.call_fd = cfg->call_fd,
		.helper = cfg->helper,
		.call_slot = cfg->call_slot,
		.tlb = cfg->tlb,
		.log = cfg->log,
		.log_pieces = cfg->log_pieces,
		.nlog_pieces = cfg->log ? cfg->nlog_pieces : 0,
		.swap = cfg->swap,
	};
	vq->progress = cfg->progress ? cfg->progress : (struct vq_progress *)vq->nowhere;
	vq->progress_mask = cfg->progress ? UINT16_MAX : 0;
}

/* The ring's areas are few pieces as a rule: one each, unless they cross regions or IOMMU pages. */
void vq_log_ring(struct vq *vq, const void *p, uint64_t len)
{
	const uint8_t *first = p;

	for (unsigned i = 0; i < vq->nlog_pieces && len; i++) {
		const struct gm_piece *piece = &vq->log_pieces[i];
		uint64_t skip = (uint64_t)(first - piece->host), part;

		if (first < piece->host || skip >= piece->len)
			continue;
		part = RW_MIN(len, piece->len - skip);
		dl_mark(vq->log, piece->gpa + skip, part);
		first += part;
		len -= part;
	}
}

int vq_init(struct vq *vq, const struct vq_config *cfg)
{
	bool packed = has(cfg->features, VIRTIO_F_RING_PACKED);
	bool recorded;
	int ret;

	if (!cfg->num || cfg->num > VQ_MAX_SIZE || !aligned(cfg) || (packed && cfg->swap))
		return -EINVAL;
	recorded = cfg->inflight && vq_inflight_recorded(cfg->inflight);
	vq_set(vq, cfg);
	ret = packed ? packed_position(vq, cfg->base) : split_position(vq, cfg->base);
	/* A packed ring's record knows better than a front-end that heard of the last stop only. */
	if (ret && !(packed && recorded))
		return ret;
	if (cfg->inflight) {
		ret = vq_inflight_new(vq, cfg->inflight, packed, recorded);
		if (ret)
			return ret;
	}
	if (!packed) {
		vq->avail_seen = vq->next.idx;
		vq->last_signal = vq->done.idx;
	}
	if (packed && cfg->progress)
		vq_progress_begin(cfg->progress, vq_base(vq, true) >> 16);
	vq_disable_notify(vq, packed);
	/* The predecessor may have died between the used entries and the interrupt. */
	if (recorded)
		vq_call(vq);
	return 0;
}

static uint16_t cursor_code(struct vq_cursor c)
{
	return (uint16_t)(c.idx | (c.wrap ? BASE_WRAP : 0));
}

uint32_t vq_base(const struct vq *vq, const bool packed)
{
	if (!packed)
		return vq->next.idx;
	return cursor_code(vq->next) | (uint32_t)cursor_code(vq->done) << 16;
}

bool vq_call(struct vq *vq)
{
	if (vq->call_fd >= 0 && rw_helper_signal(vq->helper, vq->call_slot, vq->call_fd))
		vq->call_fd = -1;
	return vq->call_fd >= 0;
}
