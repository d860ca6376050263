/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue's buffers: cut into pieces, mapped for the device and unmapped again. */
#include <errno.h>
#include <string.h>

#include "guest.h"

uint16_t fe_cut_pieces(const struct fe_cut *cut, uint32_t hdr, uint32_t len, struct fe_piece *out)
{
	uint32_t nhdr = RW_MIN(cut->hdr_segs, hdr);
	uint32_t data = nhdr ? len - hdr : len;
	uint32_t ndata = RW_MIN(RW_MAX(cut->data_segs, 1u), data);
	uint32_t off = 0;
	uint16_t n = 0;
	uint32_t i;

	for (i = 0; i < nhdr; i++) {
		out[n] = (struct fe_piece){off, i + 1 < nhdr ? 1 : hdr - i};
		off += out[n++].len + FE_GAP;
	}
	for (i = 0; i < ndata; i++) {
		out[n] = (struct fe_piece){off, data / ndata + (i < data % ndata)};
		off += out[n++].len + FE_GAP;
	}
	return n;
}

/* Whether buffers are mapped only while the device has them. */
static bool is_strict(const struct fe_queue *q)
{
	return q->g->config.iommu.mode == FE_IOMMU_STRICT && fe_guest_translates(q->g);
}

static uint8_t *buf_host(const struct fe_queue *q, uint16_t b)
{
	return q->bufs.host + (size_t)b * q->bufs.stride;
}

void fe_bufs_reset(struct fe_queue *q)
{
	struct fe_pool *p = &q->bufs;
	uint16_t b;

	memset(p->dma, 0, 2u * p->n * sizeof(*p->dma));
	for (b = 0; b < p->n; b++)
		fe_buf_poison(q, b);
	p->head = 0;
	p->nfree = 0;
	for (b = p->posted; b < p->n; b++)
		p->free[p->nfree++] = b;
}

uint16_t fe_buf_next(const struct fe_queue *q)
{
	return q->bufs.free[q->bufs.head];
}

void fe_buf_take(struct fe_queue *q)
{
	struct fe_pool *p = &q->bufs;

	p->head = (uint16_t)(p->head + 1 == p->n ? 0 : p->head + 1);
	p->nfree--;
}

/* Buffers are reused in turn, so that every one of them is. */
void fe_buf_put(struct fe_queue *q, uint16_t b)
{
	struct fe_pool *p = &q->bufs;
	uint32_t tail = (uint32_t)p->head + p->nfree++;

	p->free[tail >= p->n ? tail - p->n : tail] = b;
}

void fe_buf_poison(struct fe_queue *q, uint16_t b)
{
	if (!is_strict(q))
		return;
	fe_poison(buf_host(q, b), q->bufs.stride);
	fe_guest_wrote(q->g, buf_host(q, b), q->bufs.stride);
}

int fe_buf_check(const struct fe_queue *q, uint16_t b)
{
	return is_strict(q) && !fe_is_poison(buf_host(q, b), q->bufs.stride) ? -EILSEQ : 0;
}

/* Map buffer `b` and its table. `*buf` and `*table` are where the device finds them. */
static int buf_map(struct fe_queue *q, uint16_t b, bool indirect, uint64_t *buf, uint64_t *table)
{
	struct fe_dma *dma = q->bufs.dma;
	struct fe_guest *g = q->g;
	uint8_t perm = fe_is_rx(q->index) ? VU_IOTLB_WRITE : VU_IOTLB_READ;
	int err;

	*buf = q->bufs.gpa + (uint64_t)b * q->bufs.stride;
	*table = q->tables_gpa + b * FE_TABLE_BYTES;
	if (!fe_guest_translates(g))
		return 0;
	if (!is_strict(q)) {
		*buf = fe_dma_static(g, *buf);
		*table = indirect ? fe_dma_static(g, *table) : 0;
		return 0;
	}
	err = fe_guest_map(g, *buf, q->bufs.stride, perm, &dma[b]);
	if (!err && indirect)
		err = fe_guest_map(g, *table, FE_TABLE_BYTES, VU_IOTLB_READ, &dma[q->bufs.n + b]);
	*buf = dma[b].iova;
	*table = dma[q->bufs.n + b].iova;
	return err;
}

static int buf_unmap(struct fe_queue *q, uint16_t b)
{
	int err;

	err = fe_guest_unmap(q->g, &q->bufs.dma[b]);
	return err ? err : fe_guest_unmap(q->g, &q->bufs.dma[q->bufs.n + b]);
}

int fe_buf_add(struct fe_queue *q, uint16_t b, const struct fe_piece *pieces, struct fe_chain chain)
{
	uint32_t n = (uint32_t)chain.n_out + chain.n_in;
	struct fe_seg segs[FE_MAX_SEGS];
	uint64_t at, table;
	uint32_t i;
	int err;

	/* A mapping that the ring then has no room for would cost an invalidation. */
	if ((chain.table ? 1 : n) > q->ring.free_descs)
		return -ENOSPC;
	err = buf_map(q, b, chain.table != NULL, &at, &table);
	if (err)
		return err;
	for (i = 0; i < n; i++) {
		segs[i].gpa = at + pieces[i].off;
		segs[i].len = pieces[i].len;
	}
	chain.segs = segs;
	chain.token = b;
	if (chain.table) {
		chain.table = q->tables + (size_t)b * FE_MAX_SEGS;
		chain.table_gpa = table;
	}
	return fe_ring_add(&q->ring, &chain);
}

int fe_buf_pop(struct fe_queue *q, struct fe_used *used)
{
	uint16_t at = q->ring.used_idx;
	bool batch = q->ring.batch;
	int err;

	err = fe_ring_pop(&q->ring, used);
	if (err)
		return err;
	/* The device wrote one entry for all of a batch. */
	if (q->g->shadow)
		fe_shadow_ring(q, at, !batch);
	return buf_unmap(q, (uint16_t)used->token);
}
