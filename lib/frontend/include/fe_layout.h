/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * How a driver lays out a split or packed virtqueue (virtio 1.2, 2.7 and 2.8).
 */
#include <linux/virtio_ring.h>

#include "rw_base.h"

/* The two flags of a packed descriptor that say whether it is available or used. */
#define FE_PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FE_PACKED_USED  (1u << VRING_PACKED_DESC_F_USED)

enum fe_format { FE_SPLIT, FE_PACKED };

/* Largest ring of either format. */
#define FE_RING_MAX 32768

/*
 * Offsets of the three areas in one block of memory, in bytes, and the block's length. Each area
 * starts on a cache line of its own, so that one side's writes do not invalidate lines of an area
 * that the other side writes.
 */
struct fe_layout {
	size_t desc;   /* descriptor table or descriptor ring */
	size_t driver; /* available ring or driver event suppression */
	size_t device; /* used ring or device event suppression */
	size_t bytes;  /* length of the block */
};

static inline void fe_ring_layout(enum fe_format format, uint32_t num, struct fe_layout *out)
{
	size_t driver = sizeof(struct vring_packed_desc_event);
	size_t device = sizeof(struct vring_packed_desc_event);

	if (format == FE_SPLIT) {
		/* The last field of each is the other side's event index. */
		driver = sizeof(struct vring_avail) + num * sizeof(uint16_t) + sizeof(uint16_t);
		device = sizeof(struct vring_used) + num * sizeof(struct vring_used_elem) +
			sizeof(uint16_t);
	}
	out->desc = 0;
	out->driver = rw_align_up(num * sizeof(struct vring_desc), RW_CACHE_LINE);
	out->device = rw_align_up(out->driver + driver, RW_CACHE_LINE);
	out->bytes = rw_align_up(out->device + device, RW_CACHE_LINE);
}
