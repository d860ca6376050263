/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the parts of the guest want of each other. Private to this library.
 */
#include <linux/virtio_net.h>

#include "fe_guest.h"

/* Unused bytes between two pieces of a buffer: a back-end that runs over a piece's end shows. */
#define FE_GAP 3

#define FE_TABLE_BYTES (FE_MAX_SEGS * sizeof(union fe_indirect_desc))

static inline bool fe_is_rx(uint32_t i)
{
	return i % 2 == 0;
}

static inline uint32_t fe_cut_segs(const struct fe_cut *cut)
{
	return (uint32_t)cut->hdr_segs + RW_MAX(cut->data_segs, 1u);
}

/* rx.c and tx.c: the virtio-net header of a big-endian guest. */

/* Change all fields between our byte order and the guest's. */
static inline void hdr_swap(struct virtio_net_hdr_mrg_rxbuf *h)
{
	h->hdr.hdr_len = __builtin_bswap16(h->hdr.hdr_len);
	h->hdr.gso_size = __builtin_bswap16(h->hdr.gso_size);
	h->hdr.csum_start = __builtin_bswap16(h->hdr.csum_start);
	h->hdr.csum_offset = __builtin_bswap16(h->hdr.csum_offset);
	h->num_buffers = __builtin_bswap16(h->num_buffers);
}

/* queue.c: layout. */

/* An upper bound of the bytes that queue `i` needs of guest memory. */
uint64_t fe_queue_bytes(const struct fe_guest *g, uint32_t i);

/* Lay out parts of queue `i` in guest memory; they do nothing for a queue without that part. */
int fe_queue_place_ring(struct fe_guest *g, uint32_t i);
int fe_queue_place_rx_bufs(struct fe_guest *g, uint32_t i);
int fe_queue_place_tx_bufs(struct fe_guest *g, uint32_t i);
int fe_queue_place_tables(struct fe_guest *g, uint32_t i);

/* Make the ring anew under g->features and fill a receive ring. */
int fe_queue_reset(struct fe_guest *g, uint32_t i);

/* bufs.c: buffers in and out of a ring. */

/* A buffer cut into pieces: offsets from the buffer's start. */
struct fe_piece {
	uint32_t off;
	uint32_t len;
};

/* Cut `len` bytes, of which the first `hdr` are header. Returns the number of pieces. */
uint16_t fe_cut_pieces(const struct fe_cut *cut, uint32_t hdr, uint32_t len, struct fe_piece *out);

/* All buffers free, the first bufs.posted of a receive ring excepted; nothing mapped. */
void fe_bufs_reset(struct fe_queue *q);

/* The oldest free buffer, which stays free until fe_buf_take; and one more that is free. */
uint16_t fe_buf_next(const struct fe_queue *q);
void fe_buf_take(struct fe_queue *q);
void fe_buf_put(struct fe_queue *q, uint16_t b);

/*
 * Map buffer `b` for the device, and add it, cut into `pieces`, to the ring. `chain` has the counts
 * and, for an indirect table, any `table` that is not NULL.
 */
int fe_buf_add(
	struct fe_queue *q, uint16_t b, const struct fe_piece *pieces, struct fe_chain chain);

/* Whether nobody wrote to free buffer `b`: 0 or -EILSEQ. Always 0 for buffers that stay mapped. */
int fe_buf_check(const struct fe_queue *q, uint16_t b);

/* Pop a used buffer, and unmap it: it is the guest's alone. */
int fe_buf_pop(struct fe_queue *q, struct fe_used *used);

/* The guest is done with the content of `b`. */
void fe_buf_poison(struct fe_queue *q, uint16_t b);

/* Put receive buffer `b` into its ring. */
int fe_rx_give(struct fe_guest *g, struct fe_queue *q, uint16_t b);

/* dma.c */

/* Start over with an empty IOMMU, under g->features. */
int fe_dma_reset(struct fe_guest *g);

/* `addr` for the device when all memory is mapped at once. */
uint64_t fe_dma_static(const struct fe_guest *g, uint64_t addr);

/* Open the channel and send the back-end its end. */
int fe_guest_open_channel(struct fe_guest *g);

/* inflight.c */

void fe_inflight_fini(struct fe_inflight *in);

/* shadow.c */

/* Told of each write of the guest's to its memory: see fe_wrote_fn. */
fe_wrote_fn fe_shadow_wrote;

/* Record a write of ours, if anybody wants to know. */
static inline void fe_guest_wrote(const struct fe_guest *g, const void *at, size_t len)
{
	if (g->shadow)
		fe_shadow_wrote(g->shadow, at, at, len);
}

/*
 * The device used a buffer of `q` when ring.used_idx was `at`; `entry`: it wrote a used entry
 * there.
 */
void fe_shadow_ring(struct fe_queue *q, uint16_t at, bool entry);
/* The device wrote `len` bytes to buffer `b` at `off`. */
void fe_shadow_buf(struct fe_queue *q, uint16_t b, uint32_t off, uint32_t len);

/* postcopy.c */

/* Share all memory with a back-end that listens. */
int fe_postcopy_share(struct fe_guest *g);
bool fe_postcopy_listens(const struct fe_guest *g);
