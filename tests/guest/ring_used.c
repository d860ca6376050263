/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's ring: taking used buffers back. */
#include <errno.h>

#include "ring_priv.h"

/* Put the list of `n` ids that starts at `id` behind the free ones. */
RW_ALWAYS_INLINE void ids_free(struct fe_ring *r, uint16_t id, uint16_t n)
{
	uint16_t last = id;
	uint16_t i;

	for (i = 1; i < n; i++)
		last = r->slots[last].next;
	if (r->free_ids)
		r->slots[r->free_tail].next = id;
	else
		r->free_head = id;
	r->free_tail = last;
	r->free_ids = (uint16_t)(r->free_ids + n);
}
/* Whether used entries are left to read; refreshes the split ring's view of the device's index. */
RW_ALWAYS_INLINE bool used_ready(struct fe_ring *r)
{
	uint16_t flags;
	bool avail, used;

	/*
	 * Acquire: the entry and the buffer after the index or flags; pairs with the device's
	 * release.
	 */
	if (r->format == FE_SPLIT) {
		if (r->used_idx == r->used_seen)
			r->used_seen = ring16(r, __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE));
		return r->used_idx != r->used_seen;
	}
	/* With nothing in flight the slot may hold a used descriptor of another lap. */
	if (r->in_flight == 0)
		return false;
	flags = __atomic_load_n(&r->pdesc[r->used_idx].flags, __ATOMIC_ACQUIRE);
	avail = flags & FE_PACKED_AVAIL;
	used = flags & FE_PACKED_USED;
	return avail == used && used == r->used_wrap;
}

bool fe_ring_has_used(struct fe_ring *r)
{
	return r->batch || used_ready(r);
}

RW_ALWAYS_INLINE int used_read(const struct fe_ring *r, uint16_t *id, uint32_t *len)
{
	const struct vring_used_elem *e;
	uint32_t raw;

	if (r->format == FE_SPLIT) {
		e = &r->used->ring[r->used_idx & (r->num - 1)];
		/* Once: it is not ours. */
		raw = ring32(r, __atomic_load_n(&e->id, __ATOMIC_RELAXED));
		*len = ring32(r, e->len);
	} else {
		raw = __atomic_load_n(&r->pdesc[r->used_idx].id, __ATOMIC_RELAXED);
		*len = r->pdesc[r->used_idx].len;
	}
	if (rw_unlikely(raw >= r->num || r->slots[raw].ndesc == 0))
		return -EPROTO;
	*id = (uint16_t)raw;
	return 0;
}

/* Account for buffer `id`, which the device is done with. */
RW_ALWAYS_INLINE void record_del(struct fe_ring *r, uint16_t id)
{
	uint16_t ndesc = r->slots[id].ndesc;

	r->slots[id].ndesc = 0;
	r->in_flight--;
	r->free_descs = (uint16_t)(r->free_descs + ndesc);
	if (r->format == FE_SPLIT) {
		r->used_idx++;
		ids_free(r, id, ndesc);
	} else {
		packed_advance(r, &r->used_idx, &r->used_wrap, ndesc);
		ids_free(r, id, 1);
	}
}

/*
 * IN_ORDER: an entry stands for every buffer up to the one it names; those before it count as
 * written in full (virtio 1.2, 2.7.9 and 2.8.9).
 */
static int pop_in_order(struct fe_ring *r, struct fe_used *out)
{
	uint16_t id;
	int err;

	if (r->batch) {
		if (r->format == FE_SPLIT && r->used_idx == r->used_seen)
			return -EPROTO; /* the index says fewer than the entry */
	} else {
		err = used_read(r, &r->batch_id, &r->batch_len);
		if (err)
			return err;
		r->batch = true;
	}
	id = r->order[r->order_head];
	out->id = id;
	out->token = r->slots[id].token;
	out->len = r->slots[id].in_len;
	if (id == r->batch_id) {
		out->len = r->batch_len;
		r->batch = false;
	}
	r->order_head = (uint16_t)(r->order_head + 1 == r->num ? 0 : r->order_head + 1);
	record_del(r, id);
	return 0;
}

int fe_ring_pop(struct fe_ring *r, struct fe_used *out)
{
	uint32_t len = 0;
	uint16_t id = 0;
	int err;

	if (!r->batch && !used_ready(r))
		return -EAGAIN;
	if (r->in_order)
		return pop_in_order(r, out);
	err = used_read(r, &id, &len);
	if (rw_unlikely(err))
		return err;
	out->id = id;
	out->token = r->slots[id].token;
	out->len = len;
	record_del(r, id);
	return 0;
}
