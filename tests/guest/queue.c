/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's queues: where they lie, and how they begin. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "guest.h"

static uint16_t ring_size(const struct fe_guest *g, uint32_t i)
{
	return fe_is_rx(i) ? g->config.rx_size : g->config.tx_size;
}

/* What is mapped alone is alone in its pages. */
static uint64_t buf_align(const struct fe_guest *g)
{
	return g->config.iommu.mode == FE_IOMMU_STRICT ? FE_PAGE : RW_CACHE_LINE;
}

static uint32_t stride(const struct fe_guest *g, uint32_t size)
{
	return (uint32_t)rw_align_up(size + g->config.rx_lead + FE_MAX_SEGS * FE_GAP, buf_align(g));
}

static uint16_t resting(const struct fe_guest *g, uint32_t i)
{
	bool strict = g->config.iommu.mode == FE_IOMMU_STRICT;

	return strict && fe_is_rx(i) ? g->config.iommu.resting : 0;
}

uint64_t fe_queue_bytes(const struct fe_guest *g, uint32_t i)
{
	uint32_t size = fe_is_rx(i) ? g->config.rx_buf_size : g->config.tx_buf_size;
	uint32_t num = ring_size(g, i);
	struct fe_layout layout;

	fe_ring_layout(FE_SPLIT, num, &layout);
	num += resting(g, i);
	return layout.bytes + num * ((uint64_t)stride(g, size) + FE_TABLE_BYTES) + 2 * buf_align(g);
}

int fe_queue_place_ring(struct fe_guest *g, uint32_t i)
{
	struct fe_layout layout;

	/* A split ring needs no less than a packed one of the same size. */
	fe_ring_layout(FE_SPLIT, ring_size(g, i), &layout);
	g->queues[i].gpa = fe_mem_alloc(&g->mem, layout.bytes, RW_CACHE_LINE);
	return g->queues[i].gpa == UINT64_MAX ? -ENOSPC : 0;
}

static int place_bufs(struct fe_guest *g, struct fe_pool *p, uint16_t n, uint32_t size)
{
	uint64_t bytes = (uint64_t)n * stride(g, size);

	p->gpa = fe_mem_alloc(&g->mem, bytes, buf_align(g));
	if (p->gpa == UINT64_MAX)
		return -ENOSPC;
	p->host = fe_mem_at(&g->mem, p->gpa, bytes);
	p->size = size;
	p->stride = stride(g, size);
	p->n = n;
	p->free = calloc(n, sizeof(*p->free));
	p->dma = calloc(2u * n, sizeof(*p->dma));
	return p->free && p->dma ? 0 : -ENOMEM;
}

int fe_queue_place_rx_bufs(struct fe_guest *g, uint32_t i)
{
	const struct fe_cut *cut = &g->config.rx_cut;
	uint32_t n = ring_size(g, i) / (cut->indirect ? 1 : fe_cut_segs(cut));
	struct fe_pool *p = &g->queues[i].bufs;

	if (!fe_is_rx(i))
		return 0;
	if (n == 0 || fe_cut_segs(cut) > FE_MAX_SEGS || n + resting(g, i) > UINT16_MAX)
		return -EINVAL;
	p->posted = (uint16_t)n;
	return place_bufs(g, p, (uint16_t)(n + resting(g, i)), g->config.rx_buf_size);
}

int fe_queue_place_tx_bufs(struct fe_guest *g, uint32_t i)
{
	if (fe_is_rx(i))
		return 0;
	return place_bufs(g, &g->queues[i].bufs, ring_size(g, i), g->config.tx_buf_size);
}

int fe_queue_place_tables(struct fe_guest *g, uint32_t i)
{
	struct fe_queue *q = &g->queues[i];
	uint64_t bytes = q->bufs.n * FE_TABLE_BYTES;

	if (fe_is_rx(i) && !g->config.rx_cut.indirect)
		return 0;
	q->tables_gpa = fe_mem_alloc(&g->mem, bytes, sizeof(union fe_indirect_desc));
	if (q->tables_gpa == UINT64_MAX)
		return -ENOSPC;
	q->tables = fe_mem_at(&g->mem, q->tables_gpa, bytes);
	return 0;
}

static void drain(int fd)
{
	eventfd_t n;

	eventfd_read(fd, &n);
}

/* Nothing was signalled yet. */
static void signals_reset(struct fe_queue *q)
{
	drain(q->kick_fd);
	drain(q->call_fd);
	drain(q->err_fd);
	q->calls_seen = q->g->channel.calls[q->index];
	q->errs_seen = q->g->channel.errs[q->index];
}

static int ring_reset(struct fe_guest *g, struct fe_queue *q)
{
	bool packed = fe_guest_has(g, VIRTIO_F_RING_PACKED);
	struct fe_ring_config c = {
		.format = packed ? FE_PACKED : FE_SPLIT,
		.num = ring_size(g, q->index),
		.event_idx = fe_guest_has(g, VIRTIO_RING_F_EVENT_IDX),
		.in_order = fe_guest_has(g, VIRTIO_F_IN_ORDER),
		.swap = fe_guest_swaps(g),
		.start = g->config.ring_start,
		.wrap = true,
		.wrote = g->shadow ? fe_shadow_wrote : NULL,
		.wrote_ctx = g->shadow,
	};
	uint8_t *host;
	int err;

	fe_ring_layout(c.format, c.num, &q->layout);
	host = fe_mem_at(&g->mem, q->gpa, q->layout.bytes);
	c.desc = host + q->layout.desc;
	c.driver = host + q->layout.driver;
	c.device = host + q->layout.device;
	fe_ring_fini(&q->ring);
	err = fe_ring_init(&q->ring, &c);
	if (!err && g->config.scatter)
		err = fe_ring_scatter(&q->ring, q->index + 1);
	if (err)
		return err;
	q->base = c.start;
	if (packed)
		q->base = (c.start | VU_PACKED_AVAIL_WRAP) * (1u + (1u << VU_PACKED_USED_SHIFT));
	return 0;
}

int fe_queue_reset(struct fe_guest *g, uint32_t i)
{
	struct fe_queue *q = &g->queues[i];
	uint16_t b;
	int err;

	err = ring_reset(g, q);
	if (err)
		return err;
	signals_reset(q);
	fe_bufs_reset(q);
	q->ring_dma.pages = 0;
	if (fe_guest_translates(g) && g->config.iommu.mode == FE_IOMMU_STRICT)
		err = fe_guest_map(
			g, q->gpa, q->layout.bytes, VU_IOTLB_READ | VU_IOTLB_WRITE, &q->ring_dma);
	if (err || !fe_is_rx(i))
		return err;
	for (b = 0; !err && b < q->bufs.posted; b++)
		err = fe_rx_give(g, q, b);
	fe_ring_publish(&q->ring);
	return err;
}
