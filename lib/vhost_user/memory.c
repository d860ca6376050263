/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's memory: the table as a whole or region by region, and the IOTLB in front of it.
 *
 * In a postcopy migration (vhost-user, "Migration") pages may be missing. The front-end supplies a
 * page when a thread of ours waits for it. For that it has to know our addresses of the regions:
 * the reply says them, and no ring runs before the front-end has acknowledged them.
 */
#include <errno.h>

#include "internal.h"

/*
 * Replaced views of the IOTLB that are kept at most. An invalidation frees them, because it waits
 * for a quiescent point of the workers anyway; for a guest that only maps, an update waits once in
 * so many.
 */
#define MAX_RETIRED 16

/*
 * A region as the front-end sent it. With GPA_ADDRESSES its user address is its guest-physical one.
 */
static struct gm_region_desc region_desc(const struct vu_session *s, const struct vu_mem_region *r)
{
	bool gpa = vu_has_protocol_feature(s, VU_PF_GPA_ADDRESSES);

	return (struct gm_region_desc){
		.gpa = r->gpa,
		.size = r->size,
		.uva = gpa ? r->gpa : r->uva,
		.mmap_offset = r->mmap_offset,
	};
}

/* Replace the present map by `map`. On failure `map` is freed, and nothing has changed. */
static int map_replace(struct vu_session *s, struct gm_map *map)
{
	int ret = s->postcopy == VU_POSTCOPY_LISTENING ? gm_map_watch(map, s->ufd) : 0;

	if (ret) {
		gm_map_free(map);
		return ret;
	}
	if (s->iotlb) {
		gm_iotlb_remap(s->iotlb, map);
		gm_iotlb_reclaim(s->iotlb);
	}
	gm_map_free(s->mem);
	s->mem = map;
	vu_budget_note(s);
	return 0;
}

/* In postcopy: answer with our address of each of the message's regions. */
static void answer_bases(
	struct vu_session *s, struct vu_msg *m, struct vu_mem_region *r, unsigned n)
{
	if (s->postcopy != VU_POSTCOPY_LISTENING)
		return;
	for (unsigned i = 0; i < n; i++)
		r[i].uva = (uintptr_t)gm_region_find(s->mem, r[i].gpa)->host;
	s->mem_unacked = true;
	vu_answer(m, m->hdr.size, -1);
}

static void table_descs(const struct vu_session *s, const struct vu_mem_table *t,
	struct gm_region_desc descs[VU_MAX_TABLE_REGIONS])
{
	for (uint32_t i = 0; i < t->nregions; i++)
		descs[i] = region_desc(s, &t->regions[i]);
}

/* In postcopy the front-end waits for our addresses. */
bool vu_mem_table_is_known(const struct vu_session *s, const struct vu_msg *m)
{
	struct gm_region_desc descs[VU_MAX_TABLE_REGIONS];

	if (s->postcopy == VU_POSTCOPY_LISTENING)
		return false;
	table_descs(s, &m->payload.mem, descs);
	return gm_map_is(s->mem, descs, m->fds, m->payload.mem.nregions);
}

int vu_on_set_mem_table(struct vu_session *s, struct vu_msg *m)
{
	struct vu_mem_table *t = &m->payload.mem;
	struct gm_region_desc descs[VU_MAX_TABLE_REGIONS];
	struct gm_map *map;
	int ret = vu_budget_slots(s, t->nregions);

	if (ret)
		return ret;
	table_descs(s, t, descs);
	ret = gm_map_new(&s->owner, descs, m->fds, t->nregions, s->mem, &map);
	if (ret)
		return vu_refuse_file(m, ret);
	ret = map_replace(s, map);
	if (!ret)
		answer_bases(s, m, t->regions, t->nregions);
	return ret;
}

int vu_on_get_max_mem_slots(struct vu_session *s, struct vu_msg *m)
{
	const struct rw_budgets *b = s->offer.budgets;

	m->payload.u64 = b ? RW_MIN(b->of[RW_BUDGET_SLOTS].limit, GM_MAX_REGIONS) : GM_MAX_REGIONS;
	return 0;
}

int vu_on_add_mem_reg(struct vu_session *s, struct vu_msg *m)
{
	struct vu_mem_region *r = &m->payload.slot.region;
	struct gm_region_desc desc = region_desc(s, r);
	struct gm_map *map;
	int ret = gm_map_add(&s->owner, s->mem, &desc, m->fds[0], &map);

	if (ret)
		return vu_refuse_file(m, ret);
	/* Only now is it known whether the region is a new one. */
	ret = vu_budget_slots(s, map->nregions);
	if (ret) {
		gm_map_free(map);
		return ret;
	}
	ret = map_replace(s, map);
	if (!ret)
		answer_bases(s, m, r, 1);
	return ret;
}

int vu_on_rem_mem_reg(struct vu_session *s, struct vu_msg *m)
{
	struct gm_region_desc desc = region_desc(s, &m->payload.slot.region);
	struct gm_map *map;
	int ret;

	if (!s->mem)
		return -ENOENT;
	ret = gm_map_remove(s->mem, &desc, &map);
	return ret ? ret : map_replace(s, map);
}

int vu_on_mem_ack(struct vu_session *s, struct vu_msg *m)
{
	if (m->payload.u64)
		return vu_refuse(m, -EIO, "the front-end cannot supply pages");
	s->mem_unacked = false;
	return 0;
}

/* Entries that are forgotten for want of room count as refused. */
static void iotlb_charge(struct vu_session *s)
{
	struct rw_budgets *b = s->offer.budgets;

	if (b)
		b->of[RW_BUDGET_IOTLB].refused += gm_iotlb_take_evicted(s->iotlb);
	vu_budget_note(s);
}

static int iotlb_update(struct vu_session *s, struct vu_msg *m)
{
	const struct vu_iotlb *e = &m->payload.iotlb;
	int ret;

	if (!s->mem)
		return vu_refuse(m, -EFAULT, "no guest memory was given: is it shared (share=on)?");
	/* First of all: when it says "not yet", the message is carried out again. */
	if (gm_iotlb_retired(s->iotlb) >= MAX_RETIRED) {
		if (!s->ops->quiesce(s->dev))
			return VU_LATER;
		gm_iotlb_reclaim(s->iotlb);
	}
	if (s->offer.budgets)
		gm_iotlb_limit(s->iotlb, s->offer.budgets->of[RW_BUDGET_IOTLB].limit);
	ret = gm_iotlb_update(s->iotlb, s->mem, e->iova, e->size, e->uaddr, e->perm);
	iotlb_charge(s);
	if (!ret)
		s->ops->iotlb_updated(s->dev);
	return ret;
}

/*
 * The reply tells the front-end that the range is not used any more, so workers must have left it.
 * To carry the message out again does no harm.
 */
static int iotlb_invalidate(struct vu_session *s, const struct vu_iotlb *e)
{
	int ret = gm_iotlb_invalidate(s->iotlb, e->iova, e->size);

	if (ret)
		return ret;
	if (!s->ops->iotlb_invalidated(s->dev, e->iova, e->size))
		return VU_LATER;
	iotlb_charge(s);
	gm_iotlb_reclaim(s->iotlb);
	return 0;
}

int vu_on_iotlb(struct vu_session *s, struct vu_msg *m)
{
	int ret;

	switch (m->payload.iotlb.type) {
	case VU_IOTLB_UPDATE:
		ret = iotlb_update(s, m);
		break;
	case VU_IOTLB_INVALIDATE:
		ret = iotlb_invalidate(s, &m->payload.iotlb);
		break;
	default:
		return vu_refuse(m, -EINVAL, "neither update nor invalidation");
	}
	if (!ret)
		m->payload.u64 = 0;
	return ret;
}
