/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest behind an IOMMU: what the device may reach, and the back-end's questions about it. */
#include <errno.h>
#include <unistd.h>

#include "guest.h"

static int tell(struct fe_guest *g, uint8_t type, const struct vu_iotlb *what)
{
	struct vu_iotlb msg = *what;

	msg.type = type;
	return fe_conn_iotlb(&g->conn, &msg);
}

int fe_guest_invalidate(struct fe_guest *g, uint64_t iova, uint32_t pages)
{
	const struct vu_iotlb range = {.iova = iova & ~(FE_PAGE - 1), .size = pages * FE_PAGE};
	int err;

	if (g->conn.fd < 0)
		return 0;
	err = tell(g, VU_IOTLB_INVALIDATE, &range);
	if (!err)
		g->invalidations++;
	return err;
}

uint64_t fe_dma_static(const struct fe_guest *g, uint64_t addr)
{
	const struct fe_region *r = g->mem.regions;

	while (addr - r->c.gpa >= r->c.size)
		r++;
	return r->iova + (addr - r->c.gpa);
}

/* Map `n` pages from that of `addr` on at `iova`. */
static int pages_map(struct fe_guest *g, uint64_t iova, uint64_t addr, uint32_t n, uint8_t perm)
{
	uint32_t i;
	int err = 0;

	addr &= ~(FE_PAGE - 1);
	for (i = 0; !err && i < n; i++)
		err = fe_iommu_map(&g->iommu, iova + i * FE_PAGE,
			fe_mem_gpa(&g->mem, addr + i * FE_PAGE), perm);
	return err;
}

/* Map each stretch of regions as one: things may straddle their borders. */
static int map_all(struct fe_guest *g)
{
	struct fe_region *r = g->mem.regions;
	struct fe_region *end = r + g->mem.nregions;
	uint64_t iova = 0, left = 0;
	int err;

	for (; r < end; r++) {
		if (!left) {
			left = fe_mem_stretch(&g->mem, r->c.gpa);
			err = fe_iommu_alloc(&g->iommu, (uint32_t)(left / FE_PAGE), &iova);
			if (err)
				return err;
		}
		r->iova = iova;
		err = pages_map(g, iova, r->c.gpa, (uint32_t)(r->c.size / FE_PAGE),
			VU_IOTLB_READ | VU_IOTLB_WRITE);
		if (err)
			return err;
		iova += r->c.size;
		left -= r->c.size;
	}
	return 0;
}

int fe_dma_reset(struct fe_guest *g)
{
	int err;

	if (!g->config.iommu.mode)
		return 0;
	if (!fe_guest_translates(g))
		return g->config.iommu.scatter ? -ENOTSUP : 0;
	/* What the back-end was told of a previous life of the device is void. */
	if (g->updates) {
		err = fe_guest_invalidate(g, g->iommu.base, g->iommu.n);
		if (err)
			return err;
	}
	fe_iommu_clear(&g->iommu);
	return g->config.iommu.mode == FE_IOMMU_STATIC ? map_all(g) : 0;
}

int fe_guest_map(struct fe_guest *g, uint64_t addr, uint64_t len, uint8_t perm, struct fe_dma *out)
{
	uint64_t first = addr & ~(FE_PAGE - 1);
	uint32_t n = (uint32_t)(rw_align_up(addr + len - first, FE_PAGE) / FE_PAGE);
	uint64_t iova;
	int err;

	if (len == 0 || fe_mem_stretch(&g->mem, addr) < len)
		return -EFAULT;
	err = fe_iommu_alloc(&g->iommu, n, &iova);
	if (!err)
		err = pages_map(g, iova, addr, n, perm);
	if (err)
		return err;
	out->iova = iova + (addr - first);
	out->pages = n;
	return 0;
}

int fe_guest_unmap(struct fe_guest *g, struct fe_dma *d)
{
	uint64_t iova = d->iova & ~(FE_PAGE - 1);
	uint32_t n = d->pages;
	uint32_t i;
	int err;

	if (!n)
		return 0;
	for (i = 0; i < n; i++)
		fe_iommu_unmap(&g->iommu, iova + i * FE_PAGE);
	d->pages = 0;
	err = fe_guest_invalidate(g, iova, n);
	/* Without the acknowledgement the addresses may still be in use: they are lost. */
	if (!err)
		fe_iommu_free(&g->iommu, iova, n);
	return err;
}

/* What the back-end knows guest-physical `gpa` by. */
static uint64_t front_end_addr(const struct fe_guest *g, uint64_t gpa)
{
	if (fe_guest_has_protocol(g, VU_PF_GPA_ADDRESSES))
		return gpa;
	return fe_mem_gpa_uva(&g->mem, gpa);
}

int fe_guest_push(struct fe_guest *g, uint64_t iova)
{
	const struct fe_iommu_page *page = fe_iommu_find(&g->iommu, iova);
	struct vu_iotlb entry = {.iova = iova & ~(FE_PAGE - 1)};
	uint32_t n, i;
	int err;

	if (!page)
		return -ENOENT;
	entry.perm = page->perm;
	entry.uaddr = front_end_addr(g, page->gpa);
	n = fe_iommu_run(&g->iommu, iova, RW_MAX(g->config.iommu.entry_pages, 1u));
	/* One guest-physical range may be several of the front-end's. */
	for (i = 1; i < n; i++)
		if (front_end_addr(g, page->gpa + i * FE_PAGE) != entry.uaddr + i * FE_PAGE)
			break;
	entry.size = i * FE_PAGE;
	err = tell(g, VU_IOTLB_UPDATE, &entry);
	if (!err)
		g->updates++;
	return err;
}

/* Answer a miss. What the IOMMU does not allow is no error of ours: the device asked for it. */
static int answer_miss(struct fe_guest *g, const struct fe_msg *req)
{
	const struct vu_iotlb *m = &req->payload.iotlb;
	const struct fe_iommu_page *page = NULL;
	int err;

	if (fe_guest_translates(g))
		page = fe_iommu_find(&g->iommu, m->iova);
	if (!page || (page->perm & m->perm) != m->perm)
		return fe_channel_ack(&g->channel, req, 1);
	err = fe_guest_push(g, m->iova);
	return err ? err : fe_channel_ack(&g->channel, req, 0);
}

static int answer(struct fe_guest *g, const struct fe_msg *req)
{
	switch (req->header.request) {
	case VU_BACKEND_IOTLB_MSG:
		if (req->payload.iotlb.type == VU_IOTLB_MISS)
			return answer_miss(g, req);
		return fe_channel_ack(&g->channel, req, 0);
	case VU_BACKEND_CONFIG_CHANGE_MSG:
	case VU_BACKEND_VRING_CALL:
	case VU_BACKEND_VRING_ERR:
		return fe_channel_ack(&g->channel, req, 0);
	default:
		return fe_channel_ack(&g->channel, req, 1);
	}
}

int fe_guest_service(struct fe_guest *g)
{
	struct fe_msg req;
	int n = 0;
	int err;

	if (!fe_channel_is_open(&g->channel))
		return 0;
	while (!(err = fe_channel_next(&g->channel, &req, 0))) {
		err = answer(g, &req);
		if (err)
			break;
		n++;
	}
	if (err == -ECONNRESET) {
		fe_channel_close(&g->channel);
		return n;
	}
	return err == -EAGAIN ? n : err;
}

int fe_guest_open_channel(struct fe_guest *g)
{
	int peer;
	int err;

	err = fe_channel_open(&g->channel, &peer);
	if (err)
		return err;
	g->channel.conn.timeout_ms = g->conn.timeout_ms;
	err = fe_conn_set_channel(&g->conn, peer);
	close(peer);
	return err;
}
