/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's ring: making buffers available. */
#include <errno.h>

#include "ring_priv.h"

RW_ALWAYS_INLINE void record_add(
	struct fe_ring *r, uint16_t id, const struct fe_chain *c, uint16_t ndesc)
{
	struct fe_slot *s = &r->slots[id];
	uint32_t pos = (uint32_t)r->order_head + r->in_flight;
	uint32_t in_len = 0;
	uint32_t i;

	for (i = c->n_out; i < (uint32_t)c->n_out + c->n_in; i++)
		in_len += c->segs[i].len;
	s->token = c->token;
	s->in_len = in_len;
	s->ndesc = ndesc;
	if (r->in_order)
		r->order[pos >= r->num ? pos - r->num : pos] = id;
	r->in_flight++;
	r->free_descs = (uint16_t)(r->free_descs - ndesc);
}

/* Split descriptor `d` for piece `i` of `n`; the next is `next`. */
RW_ALWAYS_INLINE void desc_fill(const struct fe_ring *r, struct vring_desc *d,
	const struct fe_chain *c, uint16_t i, uint16_t next)
{
	uint16_t flags = i < c->n_out ? 0 : VRING_DESC_F_WRITE;
	bool last = i + 1 == c->n_out + c->n_in;

	if (!last)
		flags |= VRING_DESC_F_NEXT;
	d->addr = ring64(r, c->segs[i].gpa);
	d->len = ring32(r, c->segs[i].len);
	d->flags = ring16(r, flags);
	d->next = last ? 0 : ring16(r, next);
	ring_wrote(r, d, sizeof(*d));
}

static void table_fill_split(const struct fe_ring *r, const struct fe_chain *c, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++)
		desc_fill(r, &c->table[i].split, c, i, (uint16_t)(i + 1));
}

static void table_fill_packed(const struct fe_ring *r, const struct fe_chain *c, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct vring_packed_desc *d = &c->table[i].packed;

		d->addr = c->segs[i].gpa;
		d->len = c->segs[i].len;
		d->id = 0;
		d->flags = i < c->n_out ? 0 : VRING_DESC_F_WRITE;
		ring_wrote(r, d, sizeof(*d));
	}
}

static void add_split(struct fe_ring *r, const struct fe_chain *c, uint16_t n, uint16_t ndesc)
{
	uint16_t head = r->free_head;
	uint16_t at = head;
	uint16_t next, i;

	if (c->table) {
		table_fill_split(r, c, n);
		r->desc[at] = (struct vring_desc){
			.addr = ring64(r, c->table_gpa),
			.len = ring32(r, n * (uint32_t)sizeof(struct vring_desc)),
			.flags = ring16(r, VRING_DESC_F_INDIRECT),
		};
		ring_wrote(r, &r->desc[at], sizeof(r->desc[at]));
		at = r->slots[at].next;
	} else {
		for (i = 0; i < n; i++, at = next) {
			next = r->slots[at].next;
			desc_fill(r, &r->desc[at], c, i, next);
		}
	}
	r->free_head = at;
	r->free_ids = (uint16_t)(r->free_ids - ndesc);
	record_add(r, head, c, ndesc);
	i = r->avail_idx & (r->num - 1);
	r->avail->ring[i] = ring16(r, head);
	ring_wrote(r, &r->avail->ring[i], sizeof(r->avail->ring[i]));
	r->avail_idx++;
	r->pending++;
}

/*
 * Write one descriptor at the driver's position. The first one that is not published yet keeps its
 * old flags until fe_ring_publish: the device stops there, whatever lies behind.
 */
RW_ALWAYS_INLINE void packed_put(
	struct fe_ring *r, const struct fe_seg *seg, uint16_t id, uint16_t flags)
{
	struct vring_packed_desc *d = &r->pdesc[r->avail_idx];

	flags |= r->avail_wrap ? FE_PACKED_AVAIL : FE_PACKED_USED;
	d->addr = seg->gpa;
	d->len = seg->len;
	d->id = id;
	if (r->pending == 0) {
		r->head_slot = r->avail_idx;
		r->head_flags = flags;
	} else {
		d->flags = flags;
	}
	ring_wrote(r, d, sizeof(*d));
	r->pending++;
	packed_advance(r, &r->avail_idx, &r->avail_wrap, 1);
}

static void add_packed(struct fe_ring *r, const struct fe_chain *c, uint16_t n, uint16_t ndesc)
{
	uint16_t id = r->free_head;
	struct fe_seg table;
	uint16_t flags;
	uint16_t i;

	r->free_head = r->slots[id].next;
	r->free_ids--;
	record_add(r, id, c, ndesc);
	if (c->table) {
		table_fill_packed(r, c, n);
		table.gpa = c->table_gpa;
		table.len = n * (uint32_t)sizeof(struct vring_packed_desc);
		packed_put(r, &table, id, VRING_DESC_F_INDIRECT);
		return;
	}
	for (i = 0; i < n; i++) {
		flags = i < c->n_out ? 0 : VRING_DESC_F_WRITE;
		if (i + 1 < n)
			flags |= VRING_DESC_F_NEXT;
		packed_put(r, &c->segs[i], id, flags);
	}
}

int fe_ring_add(struct fe_ring *r, const struct fe_chain *c)
{
	uint32_t n = (uint32_t)c->n_out + c->n_in;
	uint32_t ndesc = c->table ? 1 : n;

	if (rw_unlikely(n == 0 || n > r->num))
		return -EINVAL;
	if (rw_unlikely(ndesc > r->free_descs))
		return -ENOSPC;
	if (r->format == FE_SPLIT)
		add_split(r, c, (uint16_t)n, (uint16_t)ndesc);
	else
		add_packed(r, c, (uint16_t)n, (uint16_t)ndesc);
	return 0;
}

void fe_ring_publish(struct fe_ring *r)
{
	if (r->pending == 0)
		return;
	/*
	 * Release: descriptors and buffers before the index or flags; pairs with the device's
	 * acquire.
	 */
	if (r->format == FE_SPLIT)
		ring_store16(r, &r->avail->idx, r->avail_idx, __ATOMIC_RELEASE);
	else
		ring_store16(r, &r->pdesc[r->head_slot].flags, r->head_flags, __ATOMIC_RELEASE);
	r->published_idx = r->avail_idx;
	r->published_wrap = r->avail_wrap;
	r->added += r->pending;
	r->pending = 0;
}
