/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* What receiving and sending in bursts share. Private to this library. */
#include <errno.h>

#include "fe_burst.h"
#include "ring_priv.h"

/*
 * The device used something else than the oldest buffer it has: entry at position `pos` names `id`.
 * With IN_ORDER that stands for all buffers up to `id`; the position of the entry behind them goes to
 * `*behind`. 0 or -EPROTO.
 */
int fe_burst_stray(struct fe_burst *b, uint32_t pos, uint32_t id, uint32_t len, uint32_t *behind);

/* Write buffers [b->posted, end) to the ring. */
void fe_burst_post(struct fe_burst *b, uint32_t end);

/* Let the device see what was posted. */
void fe_burst_publish(struct fe_burst *b);

RW_ALWAYS_INLINE uint8_t *burst_line(const struct fe_burst *b, uint16_t id)
{
	return b->host + (size_t)id * b->stride;
}

/* The flags by which a packed descriptor at `pos` is available; used it is with the same bits twice. */
RW_ALWAYS_INLINE uint16_t burst_avail_flags(const struct fe_burst *b, uint32_t pos)
{
	return pos & (b->mask + 1) ? PACKED_USED : PACKED_AVAIL;
}

/* Take note of one used entry. */
RW_ALWAYS_INLINE int burst_note(struct fe_burst *b, uint32_t *pos, uint32_t id, uint32_t len)
{
	uint32_t slot = *pos & b->mask;

	if (rw_unlikely(id != b->ids[slot] || b->loose))
		return fe_burst_stray(b, *pos, id, len, pos);
	if (b->receive) {
		if (rw_unlikely(len > b->size))
			return -EPROTO;
		b->lens[slot] = len;
		if (b->packed)
			__builtin_prefetch(burst_line(b, (uint16_t)id));
	}
	++*pos;
	return 0;
}

/*
 * Read the device's index and fetch what it says is new: used entries, and the buffers that they will name
 * if the device is in order. Waiting for one of these after the other would cost a burst three times the
 * way to the device's cache.
 */
RW_ALWAYS_INLINE int burst_refresh(struct fe_burst *b)
{
	uint32_t pos = b->seen, end;
	uint16_t fresh;

	/* Acquire: the entries and buffers after the index; pairs with the device's release. */
	fresh = (uint16_t)(__atomic_load_n(&b->used->idx, __ATOMIC_ACQUIRE) - (uint16_t)pos);
	if (rw_unlikely(fresh > b->published - pos))
		return -EPROTO;
	b->ready = pos + fresh;
	if (!b->receive)
		return 0;
	for (end = pos + RW_MIN(fresh, 2 * FE_BURST_MAX); pos != end; pos++) {
		if (pos % 8 == 0)
			__builtin_prefetch(&b->used->ring[pos & b->mask]);
		__builtin_prefetch(burst_line(b, b->ids[pos & b->mask]));
	}
	return 0;
}

RW_ALWAYS_INLINE int burst_look_split(struct fe_burst *b, uint32_t want)
{
	uint32_t pos = b->seen, end;
	int err = 0;

	if (b->ready == pos || b->ready - b->next < want)
		err = burst_refresh(b);
	end = pos + RW_MIN(b->ready - pos, want - (pos - b->next));
	while (!err && pos != end) {
		const struct vring_used_elem *e = &b->used->ring[pos & b->mask];

		err = burst_note(b, &pos, __atomic_load_n(&e->id, __ATOMIC_RELAXED), e->len);
		/* IN_ORDER: an entry stands for more than was asked for, but not than there is. */
		if (rw_unlikely((int32_t)(end - pos) < 0)) {
			if ((int32_t)(b->ready - pos) < 0)
				return -EPROTO;
			end = pos;
		}
	}
	b->seen = pos;
	return err;
}

RW_ALWAYS_INLINE int burst_look_packed(struct fe_burst *b, uint32_t want)
{
	uint32_t pos = b->seen;
	int err = 0;

	while (!err && pos - b->next < want && pos != b->published) {
		const struct vring_packed_desc *d = &b->pdesc[pos & b->mask];
		uint16_t both = pos & (b->mask + 1) ? 0 : PACKED_AVAIL | PACKED_USED;
		/* Acquire: the rest and the buffer after the flags; pairs with the device's release. */
		uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);

		if ((flags & (PACKED_AVAIL | PACKED_USED)) != both)
			break;
		/* It will be written to when its buffers are posted again. */
		if (b->receive && pos % 4 == 0)
			rw_prefetch_write(d);
		err = burst_note(b, &pos, __atomic_load_n(&d->id, __ATOMIC_RELAXED), d->len);
	}
	b->seen = pos;
	return err;
}

/* Look at used buffers until `want` behind b->next are known, or there are no more: 0 or -EPROTO. */
RW_ALWAYS_INLINE int burst_look(struct fe_burst *b, uint32_t want)
{
	if (b->seen - b->next >= want)
		return 0;
	return b->packed ? burst_look_packed(b, want) : burst_look_split(b, want);
}
