/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest as a whole: what it is made of. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fe_postcopy.h"
#include "fe_shadow.h"
#include "guest.h"

/* Where the only region lies when the caller does not care: no two of these numbers agree. */
#define DEFAULT_GPA 0x40000000ull
#define DEFAULT_UVA 0x7e1200000000ull

static void config_fill(struct fe_guest_config *c)
{
	if (!c->pairs)
		c->pairs = 1;
	if (!c->rx_size)
		c->rx_size = 256;
	if (!c->tx_size)
		c->tx_size = 256;
	if (!c->rx_buf_size)
		c->rx_buf_size = 2048;
	if (!c->tx_buf_size)
		c->tx_buf_size = 2048;
}

/* Guest memory in pages. */
static uint64_t mem_pages(const struct fe_guest *g)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < g->mem.nregions; i++)
		n += g->mem.regions[i].c.size / FE_PAGE;
	return n;
}

static int iommu_init(struct fe_guest *g)
{
	const struct fe_iommu_config *c = &g->config.iommu;
	uint64_t n = c->pages;
	int err;

	if (!c->mode)
		return c->scatter ? -EINVAL : 0;
	if (c->scatter) {
		err = g->config.hugetlb ? -EINVAL : fe_mem_scatter(&g->mem, 1);
		if (err)
			return err;
	}
	/* A buffer that is mapped alone has a gap behind it, and a page or two for its table. */
	if (!n)
		n = 4 * mem_pages(g) + 8ull * g->nqueues * (g->config.rx_size + g->config.tx_size);
	if (n > UINT32_MAX)
		return -EINVAL;
	return fe_iommu_init(&g->iommu, c->base ? c->base : FE_IOMMU_BASE, (uint32_t)n, c->fresh);
}

static int mem_init(struct fe_guest *g)
{
	struct fe_region_config one = {.gpa = DEFAULT_GPA, .uva = DEFAULT_UVA};
	uint64_t page = g->config.hugetlb ? 2ull << 20 : 4096;
	uint32_t i;

	if (g->config.nregions)
		return fe_mem_init(
			&g->mem, g->config.regions, g->config.nregions, g->config.hugetlb);
	for (i = 0; i < g->nqueues; i++)
		one.size += fe_queue_bytes(g, i);
	one.size = rw_align_up(one.size, page);
	return fe_mem_init(&g->mem, &one, 1, g->config.hugetlb);
}

/* Lay out one kind of thing for every queue, from `at` on unless that is 0. */
static int place(struct fe_guest *g, uint64_t at, int (*fn)(struct fe_guest *g, uint32_t i))
{
	uint32_t i;
	int err;

	if (at)
		g->mem.next = at;
	for (i = 0; i < g->nqueues; i++) {
		err = fn(g, i);
		if (err)
			return err;
	}
	return 0;
}

static int guest_init(struct fe_guest *g)
{
	struct fe_queue *q;
	uint32_t i;
	int err;

	err = mem_init(g);
	if (!err)
		err = iommu_init(g);
	if (err)
		return err;
	for (i = 0; i < g->nqueues; i++) {
		q = &g->queues[i];
		q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		q->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->kick_fd < 0 || q->call_fd < 0 || q->err_fd < 0)
			return -errno;
	}
	err = place(g, g->config.rings_at, fe_queue_place_ring);
	if (!err)
		err = place(g, g->config.rx_bufs_at, fe_queue_place_rx_bufs);
	if (!err)
		err = place(g, g->config.tx_bufs_at, fe_queue_place_tx_bufs);
	if (!err)
		err = place(g, g->config.tables_at, fe_queue_place_tables);
	return err;
}

int fe_guest_new(const struct fe_guest_config *config, struct fe_guest **out)
{
	struct fe_guest *g;
	uint32_t i;
	int err;

	if (config->pairs > FE_MAX_PAIRS || config->rx_lead > RW_CACHE_LINE ||
		config->rx_size > FE_RING_MAX || config->tx_size > FE_RING_MAX)
		return -EINVAL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->config = *config;
	config_fill(&g->config);
	fe_conn_init(&g->conn, -1);
	fe_channel_init(&g->channel);
	g->inflight.fd = -1;
	g->queues = calloc(2u * g->config.pairs, sizeof(*g->queues));
	if (!g->queues) {
		free(g);
		return -ENOMEM;
	}
	g->nqueues = 2u * g->config.pairs;
	for (i = 0; i < g->nqueues; i++) {
		g->queues[i].g = g;
		g->queues[i].index = i;
		g->queues[i].kick_fd = g->queues[i].call_fd = g->queues[i].err_fd = -1;
	}
	err = guest_init(g);
	if (err) {
		fe_guest_free(g);
		return err;
	}
	/* The caller's array may go; the copy is in g->mem. */
	g->config.regions = NULL;
	*out = g;
	return 0;
}

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void fe_guest_free(struct fe_guest *g)
{
	uint32_t i;

	if (!g)
		return;
	fe_guest_disconnect(g);
	fe_postcopy_free(g->postcopy);
	fe_shadow_free(g->shadow);
	fe_inflight_fini(&g->inflight);
	for (i = 0; i < g->nqueues; i++) {
		struct fe_queue *q = &g->queues[i];

		fe_ring_fini(&q->ring);
		free(q->bufs.free);
		free(q->bufs.dma);
		fd_close(q->kick_fd);
		fd_close(q->call_fd);
		fd_close(q->err_fd);
	}
	fe_iommu_fini(&g->iommu);
	fe_mem_fini(&g->mem);
	free(g->queues);
	free(g);
}
