/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Code that receiving and sending in bursts share. Private to this library. */
#include <errno.h>

#include "fe_burst.h"

/*
 * Process the used entry at position `pos`, whichever buffer it names. It usually names the oldest
 * buffer that the device has; the functions below process that case faster. With IN_ORDER the entry
 * stands for all buffers up to `id`. `*behind` gets the position after them. Returns 0 or -EPROTO.
 */
int fe_burst_stray(struct fe_burst *b, uint32_t pos, uint32_t id, uint32_t len, uint32_t *behind);

/* Write buffers [b->posted, end) to the ring. */
void fe_burst_post(struct fe_burst *b, uint32_t end);

/* Make the posted buffers visible to the device. */
void fe_burst_publish(struct fe_burst *b);

RW_ALWAYS_INLINE uint8_t *burst_line(const struct fe_burst *b, uint16_t id)
{
	return b->host + (size_t)id * b->stride;
}

/*
 * The position in [pos, end) at which the slots wrap to 0, or `end`. Slots before it are
 * contiguous.
 */
RW_ALWAYS_INLINE uint32_t burst_lap(const struct fe_burst *b, uint32_t pos, uint32_t end)
{
	return pos + RW_MIN(end - pos, b->mask + 1 - (pos & b->mask));
}

/*
 * The flags that make a packed descriptor at `pos` available. In a used descriptor both bits are
 * equal.
 */
RW_ALWAYS_INLINE uint16_t burst_avail_flags(const struct fe_burst *b, uint32_t pos)
{
	return pos & (b->mask + 1) ? FE_PACKED_USED : FE_PACKED_AVAIL;
}

/*
 * Loops over a burst use local copies of the fields that they need, because the compiler must
 * assume that each store changes the originals. They process one lap at a time, because contiguous
 * slots need less arithmetic.
 */

/* Prefetch the buffers of positions [pos, end). */
RW_ALWAYS_INLINE void burst_fetch(const struct fe_burst *b, uint32_t pos, uint32_t end)
{
	const uint8_t *const host = b->host;
	const size_t stride = b->stride;
	uint32_t lap;

	for (; pos != end; pos = lap) {
		const uint16_t *id = &b->ids[pos & b->mask], *last;

		lap = burst_lap(b, pos, end);
		for (last = id + (lap - pos); id != last; id++)
			__builtin_prefetch(host + *id * stride);
	}
}

/*
 * Read the device's index and prefetch the new used entries, and the buffers that they name if the
 * device works in order. Without the prefetch a burst would wait for three cache misses in a row,
 * each served by the device's cache.
 */
RW_ALWAYS_INLINE int burst_refresh(struct fe_burst *b, const bool receive)
{
	uint32_t pos = b->seen, end;
	uint16_t fresh;

	/* Acquire: read entries and buffers after the index; pairs with the device's release. */
	fresh = (uint16_t)(__atomic_load_n(&b->used->idx, __ATOMIC_ACQUIRE) - (uint16_t)pos);
	if (rw_unlikely(fresh > b->published - pos))
		return -EPROTO;
	b->ready = pos + fresh;
	if (!receive)
		return 0;
	end = pos + RW_MIN(fresh, 2 * FE_BURST_MAX);
	for (uint32_t i = 0; i < end - pos; i += 8)
		__builtin_prefetch(&b->used->ring[(pos + i) & b->mask]);
	burst_fetch(b, pos, end);
	return 0;
}

/* Whether a used entry names the buffer that is next in order, with a valid length. */
RW_ALWAYS_INLINE bool burst_is_in_turn(
	const struct fe_burst *b, uint32_t slot, uint32_t id, uint32_t len, const bool receive)
{
	return id == slot && (!receive || len <= b->size);
}

/*
 * Process the used entries [pos, end) up to the first that is invalid or does not name the buffer
 * that is next in order. Returns the position of that entry, or `end`.
 */
RW_ALWAYS_INLINE uint32_t burst_in_turn_split(
	const struct fe_burst *b, uint32_t pos, uint32_t end, const bool receive)
{
	const struct vring_used_elem *ring = b->used->ring;
	const struct fe_burst c = *b;

	for (; pos != end; pos++) {
		uint32_t slot = pos & c.mask;
		uint32_t id = __atomic_load_n(&ring[slot].id, __ATOMIC_RELAXED);
		uint32_t len = __atomic_load_n(&ring[slot].len, __ATOMIC_RELAXED);

		if (rw_unlikely(!burst_is_in_turn(&c, slot, id, len, receive)))
			break;
		if (receive)
			c.lens[slot] = len;
	}
	return pos;
}

RW_ALWAYS_INLINE int burst_look_split(struct fe_burst *b, uint32_t want, const bool receive)
{
	uint32_t pos = b->seen, end;
	int err = 0;

	if (b->ready == pos || b->ready - b->next < want)
		err = burst_refresh(b, receive);
	end = pos + RW_MIN(b->ready - pos, want - (pos - b->next));
	while (!err && pos != end) {
		const struct vring_used_elem *e;

		if (rw_likely(!b->loose))
			pos = burst_in_turn_split(b, pos, end, receive);
		if (rw_likely(pos == end))
			break;
		e = &b->used->ring[pos & b->mask];
		err = fe_burst_stray(
			b, pos, __atomic_load_n(&e->id, __ATOMIC_RELAXED), e->len, &pos);
		/* IN_ORDER: an entry may stand for more buffers than `want`, but not than used. */
		if (rw_unlikely((int32_t)(end - pos) < 0)) {
			if ((int32_t)(b->ready - pos) < 0)
				return -EPROTO;
			end = pos;
		}
	}
	b->seen = pos;
	return err;
}

/* The flags of a packed descriptor at `pos` that has been used. */
RW_ALWAYS_INLINE uint16_t burst_used_flags(const struct fe_burst *b, uint32_t pos)
{
	return pos & (b->mask + 1) ? 0 : FE_PACKED_AVAIL | FE_PACKED_USED;
}

/* Whether the device has used the descriptor. If so, what it wrote before can be read. */
RW_ALWAYS_INLINE bool burst_is_used(const struct vring_packed_desc *d, uint16_t used_flags)
{
	/* Acquire: the rest and the buffer after the flags; pairs with the device's release. */
	uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);

	return (flags & (FE_PACKED_AVAIL | FE_PACKED_USED)) == used_flags;
}

/* As burst_in_turn_split, for descriptors of one lap. Also stops at an unused one. */
RW_ALWAYS_INLINE uint32_t burst_in_turn_packed(
	const struct fe_burst *b, uint32_t pos, uint32_t end, const bool receive)
{
	const uint16_t used = burst_used_flags(b, pos);
	const uint32_t first = pos & b->mask, stop = first + (end - pos);
	const struct fe_burst c = *b;
	uint32_t slot;

	for (slot = first; slot != stop && burst_is_used(&c.pdesc[slot], used); slot++) {
		struct vring_packed_desc *d = &c.pdesc[slot];
		uint32_t id = __atomic_load_n(&d->id, __ATOMIC_RELAXED);
		uint32_t len = __atomic_load_n(&d->len, __ATOMIC_RELAXED);

		if (rw_unlikely(!burst_is_in_turn(&c, slot, id, len, receive)))
			break;
		if (!receive)
			continue;
		/* fe_burst_post writes this line when the buffers are posted again. */
		if (slot % 4 == 0)
			rw_prefetch_write(d);
		c.lens[slot] = len;
		__builtin_prefetch(burst_line(&c, (uint16_t)slot));
	}
	return pos + (slot - first);
}

RW_ALWAYS_INLINE int burst_look_packed(struct fe_burst *b, uint32_t want, const bool receive)
{
	uint32_t pos = b->seen;
	uint32_t end = pos + RW_MIN(b->published - pos, want - (pos - b->next));
	int err = 0;

	/* IN_ORDER: a descriptor may stand for more buffers than `want`. */
	while (!err && (int32_t)(end - pos) > 0) {
		uint32_t lap = burst_lap(b, pos, end);
		const struct vring_packed_desc *d;

		if (rw_likely(!b->loose))
			pos = burst_in_turn_packed(b, pos, lap, receive);
		if (pos == lap)
			continue;
		d = &b->pdesc[pos & b->mask];
		if (rw_likely(!burst_is_used(d, burst_used_flags(b, pos))))
			break;
		err = fe_burst_stray(
			b, pos, __atomic_load_n(&d->id, __ATOMIC_RELAXED), d->len, &pos);
	}
	b->seen = pos;
	return err;
}

/*
 * Read used entries until `want` used buffers from b->next on are known, or there are no more.
 * Returns 0 or -EPROTO. `receive` is b->receive, passed as a compile-time constant.
 */
RW_ALWAYS_INLINE int burst_look(struct fe_burst *b, uint32_t want, const bool receive)
{
	if (b->seen - b->next >= want)
		return 0;
	return b->packed ? burst_look_packed(b, want, receive) : burst_look_split(b, want, receive);
}
