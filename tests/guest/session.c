/* SPDX-License-Identifier: BSD-3-Clause */
/* What a guest's front-end says on the connection. */
#include <errno.h>
#include <string.h>

#include "fe_postcopy.h"
#include "guest.h"
#include "ring_priv.h"

int fe_guest_connect(struct fe_guest *g, const char *path)
{
	fe_guest_disconnect(g);
	return fe_conn_open(&g->conn, path);
}

void fe_guest_disconnect(struct fe_guest *g)
{
	uint32_t i;

	fe_conn_close(&g->conn);
	fe_channel_close(&g->channel);
	/* What the back-end knew of us it has forgotten. */
	g->updates = g->invalidations = 0;
	g->log = NULL;
	g->log_all = false;
	for (i = 0; i < g->nqueues; i++)
		g->queues[i].log = false;
	for (i = 0; i < g->mem.nregions; i++)
		g->mem.regions[i].shared = false;
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
	if (!err && fe_guest_has_protocol(g, VU_PF_MQ))
		err = fe_conn_get(&g->conn, VU_GET_QUEUE_NUM, &g->max_pairs);
	if (!err && fe_guest_has_protocol(g, VU_PF_CONFIGURE_MEM_SLOTS))
		err = fe_conn_get(&g->conn, VU_GET_MAX_MEM_SLOTS, &g->max_slots);
	if (!err && fe_guest_has_protocol(g, VU_PF_BACKEND_REQ))
		err = fe_guest_open_channel(g);
	return err;
}

int fe_guest_negotiate(struct fe_guest *g)
{
	int err;

	err = fe_conn_get(&g->conn, VU_GET_FEATURES, &g->offered);
	if (err)
		return err;
	g->features = g->offered & g->config.features;
	g->log_all = fe_guest_has(g, VU_F_LOG_ALL);
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

	err = fe_dma_reset(g);
	if (err)
		return err;
	for (i = 0; i < g->nqueues; i++) {
		err = fe_queue_reset(g, i);
		if (err)
			return err;
	}
	return 0;
}

/* ADD_MEM_REG for what was not shared yet. */
static int share_slots(struct fe_guest *g)
{
	struct vu_mem_region wire;
	uint32_t i;
	int err;

	for (i = 0; i < g->mem.nregions; i++) {
		if (g->mem.regions[i].shared)
			continue;
		wire = fe_mem_wire(&g->mem, i);
		err = fe_conn_add_mem(&g->conn, &wire, g->mem.regions[i].fd);
		if (err)
			return err;
		g->mem.regions[i].shared = true;
	}
	return 0;
}

int fe_guest_share_memory(struct fe_guest *g)
{
	struct vu_mem_table table;
	int fds[FE_MAX_REGIONS];

	if (fe_postcopy_listens(g))
		return fe_postcopy_share(g);
	if (fe_guest_has_protocol(g, VU_PF_CONFIGURE_MEM_SLOTS))
		return share_slots(g);
	if (g->mem.nregions > VU_MAX_TABLE_REGIONS)
		return -E2BIG;
	fe_mem_table(&g->mem, &table, fds);
	return fe_conn_set_mem(&g->conn, &table, fds);
}

int fe_guest_add_region(struct fe_guest *g, const struct fe_region_config *region)
{
	int err;

	err = fe_mem_add(&g->mem, region);
	if (err)
		return err;
	err = fe_guest_share_memory(g);
	if (err)
		fe_mem_remove(&g->mem, g->mem.nregions - 1);
	return err;
}

int fe_guest_remove_region(struct fe_guest *g, uint32_t i)
{
	struct vu_mem_region wire = fe_mem_wire(&g->mem, i);
	int err;

	if (!fe_guest_has_protocol(g, VU_PF_CONFIGURE_MEM_SLOTS)) {
		fe_mem_remove(&g->mem, i);
		return fe_guest_share_memory(g);
	}
	err = fe_conn_rem_mem(&g->conn, &wire, -1);
	if (!err)
		fe_mem_remove(&g->mem, i);
	return err;
}

uint64_t fe_guest_ring_addr(const struct fe_guest *g, uint32_t index, uint64_t off)
{
	const struct fe_queue *q = &g->queues[index];

	if (q->ring_dma.pages)
		return q->ring_dma.iova + off;
	if (fe_guest_translates(g))
		return fe_dma_static(g, q->gpa + off);
	if (fe_guest_has_protocol(g, VU_PF_GPA_ADDRESSES))
		return q->gpa + off;
	return fe_mem_uva(&g->mem, q->gpa + off);
}

static int say_addr(struct fe_guest *g, uint32_t index)
{
	const struct fe_queue *q = &g->queues[index];
	struct vu_vring_addr addr = {
		.index = index,
		.flags = q->log ? VU_VRING_LOG : 0,
		.desc = fe_guest_ring_addr(g, index, q->layout.desc),
		.avail = fe_guest_ring_addr(g, index, q->layout.driver),
		.used = fe_guest_ring_addr(g, index, q->layout.device),
		.log = q->log_addr,
	};

	if (!addr.log)
		addr.log = fe_mem_gpa(&g->mem, q->gpa + q->layout.device);
	return fe_conn_set_ring_addr(&g->conn, &addr);
}

/*
 * In-band no descriptor is given, nor is it said that there is none: that would ask for polling
 * (vhost-user, "VHOST_USER_SET_VRING_CALL").
 */
static int say_fd(struct fe_guest *g, uint32_t index, enum vu_request request, int fd)
{
	if (fe_guest_has_protocol(g, VU_PF_INBAND_NOTIFICATIONS))
		return 0;
	return fe_conn_set_ring_fd(&g->conn, request, index, fd);
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
		err = say_fd(g, index, VU_SET_VRING_KICK, q->kick_fd);
		if (!err)
			fe_queue_kick(q);
		return err;
	case FE_CALL:
		return say_fd(g, index, VU_SET_VRING_CALL, q->call_fd);
	case FE_ERR:
		return say_fd(g, index, VU_SET_VRING_ERR, q->err_fd);
	case FE_ENABLE:
		if (!fe_guest_has(g, VU_F_PROTOCOL_FEATURES))
			return 0;
		return fe_guest_enable(g, index, true);
	case FE_ENDIAN:
		return fe_guest_swaps(g) ? fe_conn_set_ring(c, VU_SET_VRING_ENDIAN, index, 1) : 0;
	default:
		return -EINVAL;
	}
}

int fe_guest_enable(struct fe_guest *g, uint32_t index, bool on)
{
	return fe_conn_set_ring(&g->conn, VU_SET_VRING_ENABLE, index, on);
}

/* Send the entries of all pages of ring `index`. */
static int push_ring(struct fe_guest *g, uint32_t index)
{
	uint64_t at = fe_guest_ring_addr(g, index, 0) & ~(FE_PAGE - 1);
	uint64_t last = fe_guest_ring_addr(g, index, g->queues[index].layout.bytes - 1);
	int err = 0;

	for (; !err && at <= last; at += FE_PAGE)
		err = fe_guest_push(g, at);
	return err;
}

int fe_guest_start_ring(struct fe_guest *g, uint32_t index)
{
	static const enum fe_step usual[] = {
		FE_NUM, FE_BASE, FE_ENDIAN, FE_ADDR, FE_KICK, FE_CALL, FE_ENABLE};
	size_t i;
	int err = 0;

	if (fe_guest_translates(g) && g->config.iommu.push_rings)
		err = push_ring(g, index);
	for (i = 0; !err && i < RW_ARRAY_SIZE(usual); i++)
		err = fe_guest_ring_step(g, index, usual[i]);
	return err;
}

int fe_guest_stop_ring(struct fe_guest *g, uint32_t index, uint32_t *base)
{
	int err;

	err = fe_conn_get_base(&g->conn, index, &g->queues[index].base);
	if (!err && base)
		*base = g->queues[index].base;
	return err;
}

static int start_rings(struct fe_guest *g)
{
	bool record = fe_guest_has_protocol(g, VU_PF_INFLIGHT_SHMFD);
	uint32_t i;
	int err = 0;

	if (record && g->inflight.fd < 0)
		err = fe_guest_get_inflight(g);
	if (!err && record)
		err = fe_guest_set_inflight(g);
	for (i = 0; !err && i < g->nqueues; i++)
		err = fe_guest_start_ring(g, i);
	return err;
}

int fe_guest_start(struct fe_guest *g)
{
	int err;

	err = fe_guest_negotiate(g);
	if (!err)
		err = fe_guest_reset_rings(g);
	if (!err)
		err = fe_guest_share_memory(g);
	/* New rings, new record. */
	fe_inflight_fini(&g->inflight);
	return err ? err : start_rings(g);
}

int fe_guest_resume(struct fe_guest *g)
{
	struct fe_queue *q;
	uint32_t i;
	int err;

	err = fe_guest_negotiate(g);
	if (!err && g->postcopy)
		err = fe_postcopy_listen(g->postcopy);
	if (!err)
		err = fe_guest_share_memory(g);
	for (i = 0; i < g->nqueues; i++) {
		q = &g->queues[i];
		if (q->ring.format == FE_SPLIT)
			q->base = ring16(
				&q->ring, __atomic_load_n(&q->ring.used->idx, __ATOMIC_ACQUIRE));
	}
	return err ? err : start_rings(g);
}
