/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's ring: where it lies and how it starts. */
#include <errno.h>
#include <string.h>

#include "ring_priv.h"

/* All fields are little-endian (VERSION_1) and accessed as native integers. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts are not supported");
_Static_assert(sizeof(union fe_indirect_desc) == 16, "indirect table entry");

/* The flags that say "used" in the lap with wrap counter `wrap`. */
static uint16_t packed_used_flags(bool wrap)
{
	return wrap ? FE_PACKED_AVAIL | FE_PACKED_USED : 0;
}

static void areas_reset(struct fe_ring *r, uint16_t start)
{
	uint32_t i;

	if (r->format == FE_SPLIT) {
		memset(r->desc, 0, r->num * sizeof(*r->desc));
		memset(r->avail, 0, sizeof(*r->avail) + (r->num + 1) * sizeof(uint16_t));
		memset(r->used, 0, sizeof(*r->used) + r->num * sizeof(r->used->ring[0]));
		r->avail->idx = r->used->idx = ring16(r, start);
		*used_event(r) = *avail_event(r) = ring16(r, start);
		ring_wrote(r, r->desc, r->num * sizeof(*r->desc));
		ring_wrote(r, r->avail, sizeof(*r->avail) + (r->num + 1) * sizeof(uint16_t));
		ring_wrote(r, r->used, (uint8_t *)(avail_event(r) + 1) - (uint8_t *)r->used);
		return;
	}
	memset(r->pdesc, 0, r->num * sizeof(*r->pdesc));
	memset(r->driver_event, 0, sizeof(*r->driver_event));
	memset(r->device_event, 0, sizeof(*r->device_event));
	/*
	 * Started in mid-lap: what lies behind was used in this lap, what lies ahead in the last.
	 */
	for (i = 0; i < r->num; i++)
		r->pdesc[i].flags = packed_used_flags(i < start ? r->avail_wrap : !r->avail_wrap);
	ring_wrote(r, r->pdesc, r->num * sizeof(*r->pdesc));
	ring_wrote(r, r->driver_event, sizeof(*r->driver_event));
	ring_wrote(r, r->device_event, sizeof(*r->device_event));
}

static bool config_is_sane(const struct fe_ring_config *c)
{
	uintptr_t misaligned = ((uintptr_t)c->desc & 15) | ((uintptr_t)c->device & 3);

	if (c->num == 0 || c->num > FE_RING_MAX || misaligned)
		return false;
	if (c->format == FE_SPLIT)
		return rw_is_power_of_2(c->num) && !((uintptr_t)c->driver & 1);
	return c->start < c->num && !((uintptr_t)c->driver & 3) && !c->swap;
}

static void slots_reset(struct fe_ring *r)
{
	uint32_t i;

	for (i = 0; i < r->num; i++)
		r->slots[i].next = (uint16_t)(i + 1);
	r->free_head = 0;
	r->free_tail = (uint16_t)(r->num - 1);
	r->free_ids = r->num;
	r->free_descs = r->num;
}

int fe_ring_init(struct fe_ring *r, const struct fe_ring_config *c)
{
	struct fe_slot *slots;

	if (!config_is_sane(c))
		return -EINVAL;
	slots = rw_zalloc(c->num * (sizeof(*slots) + sizeof(uint16_t)));
	if (!slots)
		return -ENOMEM;

	memset(r, 0, sizeof(*r));
	r->format = c->format;
	r->num = c->num;
	r->event_idx = c->event_idx;
	r->in_order = c->in_order;
	r->swap = c->swap;
	r->wrote = c->wrote;
	r->wrote_ctx = c->wrote_ctx;
	r->slots = slots;
	r->order = (uint16_t *)(slots + c->num);
	if (c->format == FE_SPLIT) {
		r->desc = c->desc;
		r->avail = c->driver;
		r->used = c->device;
	} else {
		r->pdesc = c->desc;
		r->driver_event = c->driver;
		r->device_event = c->device;
	}
	r->avail_idx = r->published_idx = r->used_idx = r->used_seen = c->start;
	r->avail_wrap = r->published_wrap = r->used_wrap = c->wrap;
	slots_reset(r);
	areas_reset(r, c->start);
	return 0;
}

void fe_ring_fini(struct fe_ring *r)
{
	rw_free(r->slots);
	memset(r, 0, sizeof(*r));
}

int fe_ring_scatter(struct fe_ring *r, uint32_t seed)
{
	uint32_t i, j;
	uint16_t t;

	if (r->in_order)
		return -EINVAL;
	if (r->in_flight || r->pending)
		return -EBUSY;
	/* `order` serves IN_ORDER alone, so it is free to hold the permutation. */
	for (i = 0; i < r->num; i++)
		r->order[i] = (uint16_t)i;
	for (i = 1; i < r->num; i++) {
		seed = seed * 1664525u + 1013904223u;
		j = (seed >> 8) % (i + 1);
		t = r->order[i];
		r->order[i] = r->order[j];
		r->order[j] = t;
	}
	for (i = 0; i + 1 < r->num; i++)
		r->slots[r->order[i]].next = r->order[i + 1];
	r->free_head = r->order[0];
	r->free_tail = r->order[r->num - 1];
	return 0;
}
