/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The frame header of a big-endian guest. Private to this library. */
#include <linux/virtio_net.h>

/* Change all fields between our byte order and the guest's. */
static inline void hdr_swap(struct virtio_net_hdr_mrg_rxbuf *h)
{
	h->hdr.hdr_len = __builtin_bswap16(h->hdr.hdr_len);
	h->hdr.gso_size = __builtin_bswap16(h->hdr.gso_size);
	h->hdr.csum_start = __builtin_bswap16(h->hdr.csum_start);
	h->hdr.csum_offset = __builtin_bswap16(h->hdr.csum_offset);
	h->num_buffers = __builtin_bswap16(h->num_buffers);
}
