/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest as a whole: its memory, its connection and what it says there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

	if (config->pairs > FE_MAX_PAIRS || config->rx_size > FE_RING_MAX ||
		config->tx_size > FE_RING_MAX)
		return -EINVAL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->config = *config;
	config_fill(&g->config);
	fe_conn_init(&g->conn, -1);
	g->queues = calloc(2u * g->config.pairs, sizeof(*g->queues));
	if (!g->queues) {
		free(g);
		return -ENOMEM;
	}
	g->nqueues = 2u * g->config.pairs;
	for (i = 0; i < g->nqueues; i++)
		g->queues[i].kick_fd = g->queues[i].call_fd = g->queues[i].err_fd = -1;
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
	fe_conn_close(&g->conn);
	for (i = 0; i < g->nqueues; i++) {
		struct fe_queue *q = &g->queues[i];

		fe_ring_fini(&q->ring);
		free(q->bufs.free);
		fd_close(q->kick_fd);
		fd_close(q->call_fd);
		fd_close(q->err_fd);
	}
	fe_mem_fini(&g->mem);
	free(g->queues);
	free(g);
}

int fe_guest_connect(struct fe_guest *g, const char *path)
{
	return fe_conn_open(&g->conn, path);
}

void fe_guest_disconnect(struct fe_guest *g)
{
	fe_conn_close(&g->conn);
}

static int negotiate_protocol(struct fe_guest *g)
{
	int err;

	g->protocol_features = 0;
	if (!fe_guest_has(g, VU_F_PROTOCOL_FEATURES))
		return 0;
	err = fe_conn_get(&g->conn, VU_GET_PROTOCOL_FEATURES, &g->protocol_offered);
	if (err)
		return err;
	g->protocol_features = g->protocol_offered & g->config.protocol_features;
	err = fe_conn_set(&g->conn, VU_SET_PROTOCOL_FEATURES, g->protocol_features);
	if (err || !(g->protocol_features >> VU_PF_MQ & 1))
		return err;
	return fe_conn_get(&g->conn, VU_GET_QUEUE_NUM, &g->max_pairs);
}

int fe_guest_negotiate(struct fe_guest *g)
{
	int err;

	err = fe_conn_get(&g->conn, VU_GET_FEATURES, &g->offered);
	if (err)
		return err;
	g->features = g->offered & g->config.features;
	err = negotiate_protocol(g);
	if (!err)
		err = fe_conn_order(&g->conn, VU_SET_OWNER);
	if (!err)
		err = fe_conn_set(&g->conn, VU_SET_FEATURES, g->features);
	return err;
}

int fe_guest_reset_rings(struct fe_guest *g)
{
	uint32_t i;
	int err;

	for (i = 0; i < g->nqueues; i++) {
		err = fe_queue_reset(g, i);
		if (err)
			return err;
	}
	return 0;
}

int fe_guest_share_memory(struct fe_guest *g)
{
	struct vu_mem_table table;
	int fds[FE_MAX_REGIONS];

	fe_mem_table(&g->mem, &table, fds);
	return fe_conn_set_mem(&g->conn, &table, fds);
}

static int say_addr(struct fe_guest *g, uint32_t index)
{
	const struct fe_queue *q = &g->queues[index];
	struct vu_vring_addr addr = {
		.index = index,
		.desc = fe_mem_uva(&g->mem, q->gpa + q->layout.desc),
		.avail = fe_mem_uva(&g->mem, q->gpa + q->layout.driver),
		.used = fe_mem_uva(&g->mem, q->gpa + q->layout.device),
	};

	return fe_conn_set_ring_addr(&g->conn, &addr);
}

int fe_guest_ring_step(struct fe_guest *g, uint32_t index, enum fe_step step)
{
	struct fe_queue *q = &g->queues[index];
	struct fe_conn *c = &g->conn;
	int err;

	switch (step) {
	case FE_NUM:
		return fe_conn_set_ring(c, VU_SET_VRING_NUM, index, q->ring.num);
	case FE_BASE:
		return fe_conn_set_ring(c, VU_SET_VRING_BASE, index, q->base);
	case FE_ADDR:
		return say_addr(g, index);
	case FE_KICK:
		err = fe_conn_set_ring_fd(c, VU_SET_VRING_KICK, index, q->kick_fd);
		if (!err)
			fe_queue_kick(q);
		return err;
	case FE_CALL:
		return fe_conn_set_ring_fd(c, VU_SET_VRING_CALL, index, q->call_fd);
	case FE_ERR:
		return fe_conn_set_ring_fd(c, VU_SET_VRING_ERR, index, q->err_fd);
	case FE_ENABLE:
		if (!fe_guest_has(g, VU_F_PROTOCOL_FEATURES))
			return 0;
		return fe_guest_enable(g, index, true);
	default:
		return -EINVAL;
	}
}

int fe_guest_enable(struct fe_guest *g, uint32_t index, bool on)
{
	return fe_conn_set_ring(&g->conn, VU_SET_VRING_ENABLE, index, on);
}

int fe_guest_start_ring(struct fe_guest *g, uint32_t index)
{
	static const enum fe_step usual[] = {FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_CALL, FE_ENABLE};
	size_t i;
	int err;

	for (i = 0; i < RW_ARRAY_SIZE(usual); i++) {
		err = fe_guest_ring_step(g, index, usual[i]);
		if (err)
			return err;
	}
	return 0;
}

int fe_guest_stop_ring(struct fe_guest *g, uint32_t index, uint32_t *base)
{
	int err;

	err = fe_conn_get_base(&g->conn, index, &g->queues[index].base);
	if (!err && base)
		*base = g->queues[index].base;
	return err;
}

int fe_guest_start(struct fe_guest *g)
{
	uint32_t i;
	int err;

	err = fe_guest_negotiate(g);
	if (!err)
		err = fe_guest_reset_rings(g);
	if (!err)
		err = fe_guest_share_memory(g);
	for (i = 0; !err && i < g->nqueues; i++)
		err = fe_guest_start_ring(g, i);
	return err;
}
