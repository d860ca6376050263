/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The virtio-net header (virtio 1.2, 5.1.6), mostly as a guest gets it. Where a bare pointer is
 * written to, the caller knows that the buffer has room.
 *
 * Thread: the worker's that has the queue in hand.
 */
#include <string.h>

#include "queue.h"

_Static_assert(sizeof(struct frame_offload) == NET_HDR_SHORT &&
		offsetof(struct frame_offload, csum_offset) ==
			offsetof(struct virtio_net_hdr, csum_offset),
	"the header is the frame's offload state and, if it is the long one, num_buffers");

/*
 * The header of a frame in `num_buffers` buffers, field by field to where it belongs. By way of a
 * structure on the stack, fields would be read back as one word, and that waits until every store
 * before them has reached the cache, those to other guest memory among them.
 */
static inline void net_hdr_put(
	uint8_t *at, const struct frame *f, uint16_t num_buffers, uint32_t hdr_len)
{
	memcpy(at, &f->offload, NET_HDR_SHORT);
	if (rw_likely(hdr_len == NET_HDR_LONG))
		memcpy(at + NET_HDR_SHORT, &num_buffers, sizeof(num_buffers));
}

/*
 * The long one of a frame in one buffer, where it may be already, as in most buffers that a driver
 * uses again: it is written only if not. That pays where the header has a line apart, which then
 * stays in the caches of both CPUs. That a device SHOULD NOT read what it may write (virtio 1.2,
 * 2.7.5.1) is for devices that this costs something; nothing depends on what is read. virtio-user,
 * 64-byte frames, with and without in turn every 10 ms of one run: 115 -> 107 busy cycles each with
 * split rings, 133 -> 126 and 8 % more frames with packed ones.
 */
static inline void net_hdr_put_if_new(uint8_t *at, const struct frame *f)
{
	const uint16_t one = 1;

	if (rw_unlikely(memcmp(at, &f->offload, NET_HDR_SHORT) ||
		    memcmp(at + NET_HDR_SHORT, &one, sizeof(one))))
		net_hdr_put(at, f, one, NET_HDR_LONG);
}

/*
 * Whether a long header at `at` has a line apart: the frame begins with the next one. DPDK's
 * drivers have it so, in all of their buffers.
 */
static inline bool net_hdr_is_apart(const uint8_t *at)
{
	return !((uintptr_t)(at + NET_HDR_LONG) % RW_CACHE_LINE);
}

/* Change all fields between our byte order and that of a legacy guest with the other one. */
static inline void net_hdr_swap(struct virtio_net_hdr *h)
{
	h->hdr_len = __builtin_bswap16(h->hdr_len);
	h->gso_size = __builtin_bswap16(h->gso_size);
	h->csum_start = __builtin_bswap16(h->csum_start);
	h->csum_offset = __builtin_bswap16(h->csum_offset);
}
