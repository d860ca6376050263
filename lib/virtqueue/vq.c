/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <unistd.h>

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

static int init_packed(struct vq *vq, uint32_t base)
{
	uint16_t used = (uint16_t)(base >> 16);

	vq->next = (struct vq_cursor){.idx = base & BASE_IDX_MASK, .wrap = !!(base & BASE_WRAP)};
	vq->done = (struct vq_cursor){.idx = used & BASE_IDX_MASK, .wrap = !!(used & BASE_WRAP)};
	/*
	 * DPDK's virtio-user says only where the driver is, 0x8000 for a fresh ring. Taken by the
	 * letter that is a used position a whole lap or more behind: impossible, but for a ring
	 * that is in flight to the last entry.
	 */
	if (!used && vq->next.wrap)
		vq->done = vq->next;
	if (vq->next.idx >= vq->num || vq->done.idx >= vq->num || packed_in_flight(vq) < 0)
		return -EINVAL;
	vq_store(&vq->device->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	return 0;
}

static int init_split(struct vq *vq, uint32_t base)
{
	if (!rw_is_power_of_2(vq->num) || base > UINT16_MAX)
		return -EINVAL;
	vq->next.idx = (uint16_t)base;
	vq->avail_seen = (uint16_t)base;
	/* The used index lives in the ring: there it survives a back-end that was killed. */
	vq->done.idx = vq_load(&vq->used->idx);
	vq->last_signal = vq->done.idx;
	/*
	 * No kicks please: with the event index, name the one just passed, which comes round again
	 * after 65536 buffers.
	 */
	vq_store(&vq->used->flags, VRING_USED_F_NO_NOTIFY);
	if (vq->event_idx)
		vq_store(vq_split_avail_event(vq), (uint16_t)(base - 1));
	return 0;
}

/* Indices, flags and whole descriptors are accessed at once, so they must not straddle words. */
static bool aligned(const struct vq_config *cfg)
{
	bool packed = has(cfg->features, VIRTIO_F_RING_PACKED);

	return !((uintptr_t)cfg->desc & 15) && !((uintptr_t)cfg->driver & (packed ? 3 : 1)) &&
		!((uintptr_t)cfg->device & 3);
}

int vq_init(struct vq *vq, const struct vq_config *cfg)
{
	if (!cfg->num || cfg->num > VQ_MAX_SIZE || !aligned(cfg))
		return -EINVAL;
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
	};
	if (has(cfg->features, VIRTIO_F_RING_PACKED))
		return init_packed(vq, cfg->base);
	return init_split(vq, cfg->base);
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

/* A buffer that crosses regions: one segment for each. */
enum vq_status vq_walk_pieces(struct vq_walk *w, uint64_t addr, uint32_t len)
{
	while (len) {
		uint64_t piece = len;
		uint8_t *p = gm_at(w->vq->mem, &w->vq->cache, addr, &piece);

		if (!p)
			return VQ_BAD_ADDR;
		if (w->nsegs >= vq_max_segs(w->vq->num))
			return VQ_BAD_FORM;
		w->segs[w->nsegs++] = (struct rw_seg){.data = p, .len = (uint32_t)piece};
		w->len += piece;
		addr += piece;
		len -= (uint32_t)piece;
	}
	return VQ_CHAIN;
}

/*
 * An indirect table (virtio 1.2, 2.7.5.3 and 2.8.7): only a whole number of descriptors, not more
 * than the ring has, none of them indirect again, and the last descriptor of its chain.
 */
static bool indirect_ok(const struct vq *vq, struct vq_desc d)
{
	return vq->indirect && !(d.flags & VRING_DESC_F_NEXT) && d.len &&
		!(d.len % sizeof(struct vring_desc)) &&
		d.len / sizeof(struct vring_desc) <= vq->num;
}

/* Entry `i` of the table at guest-physical `table`, wherever its bytes are. */
static enum vq_status indirect_load(
	struct vq_walk *w, uint64_t table, uint32_t i, const bool packed, struct vq_desc *out)
{
	uint64_t addr = table + i * sizeof(struct vring_desc), len = sizeof(struct vring_desc);
	uint64_t copy[2];
	const void *p = gm_at(w->vq->mem, &w->vq->cache, addr, &len);

	if (!p)
		return VQ_BAD_ADDR;
	/* In one piece and aligned, or gathered byte by byte: either way read once. */
	if (len < sizeof(copy) || ((uintptr_t)p & 7)) {
		if (gm_read(w->vq->mem, addr, copy, sizeof(copy)))
			return VQ_BAD_ADDR;
		p = copy;
	}
	*out = vq_desc_load(p, packed);
	return out->flags & VRING_DESC_F_INDIRECT ? VQ_BAD_FORM : VQ_CHAIN;
}

enum vq_status vq_walk_indirect_split(struct vq_walk *w, struct vq_desc d)
{
	uint32_t n = d.len / sizeof(struct vring_desc), i = 0;

	if (!indirect_ok(w->vq, d))
		return VQ_BAD_FORM;
	for (uint32_t left = n; left; left--) {
		struct vq_desc entry;
		enum vq_status status = indirect_load(w, d.addr, i, false, &entry);

		if (status == VQ_CHAIN)
			status = vq_walk_add(w, entry);
		if (status != VQ_CHAIN || !(entry.flags & VRING_DESC_F_NEXT))
			return status;
		i = entry.next;
		if (i >= n)
			return VQ_BAD_FORM;
	}
	return VQ_BAD_FORM;
}

/* In a packed ring the table is an array: every entry counts and NEXT means nothing (2.8.7). */
enum vq_status vq_walk_indirect_packed(struct vq_walk *w, struct vq_desc d)
{
	uint32_t n = d.len / sizeof(struct vring_desc);

	if (!indirect_ok(w->vq, d))
		return VQ_BAD_FORM;
	for (uint32_t i = 0; i < n; i++) {
		struct vq_desc entry;
		enum vq_status status = indirect_load(w, d.addr, i, true, &entry);

		if (status == VQ_CHAIN)
			status = vq_walk_add(w, entry);
		if (status != VQ_CHAIN)
			return status;
	}
	return VQ_CHAIN;
}

void vq_call(struct vq *vq)
{
	uint64_t one = 1;

	if (vq->call_fd < 0)
		return;
	/* EAGAIN: the counter is full, so the driver has an interrupt pending anyway. */
	if (write(vq->call_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		vq->call_fd = -1;
}
