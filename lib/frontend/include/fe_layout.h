/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * How a driver lays out a virtqueue, split and packed (virtio 1.2, 2.7 and 2.8), for whoever drives
 * one.
 */
#include <linux/virtio_ring.h>

#include "rw_base.h"

/* The two flags of a packed descriptor that say whose turn it is. */
#define FE_PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FE_PACKED_USED  (1u << VRING_PACKED_DESC_F_USED)

enum fe_format { FE_SPLIT, FE_PACKED };

/* Largest ring of either format. */
#define FE_RING_MAX 32768

/*
 * Where the three areas lie in one block of memory (bytes from its start) and how long it is. Each
 * area has cache lines of its own: one side's writes do not take the other's lines along.
 */
struct fe_layout {
	size_t desc;   /* descriptor table, resp. descriptor ring */
	size_t driver; /* available ring, resp. driver event suppression */
	size_t device; /* used ring, resp. device event suppression */
	size_t bytes;  /* of all of it */
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
