/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the parts of the driver's ring share: its record, byte order, and the report of its writes.
 * Private to this library.
 */
#include "fe_ring.h"

struct fe_slot {
	uint64_t token;
	uint32_t in_len; /* device-writable bytes of the buffer */
	uint16_t ndesc;  /* ring descriptors of the buffer that starts here; 0: none in flight */
	uint16_t next;   /* the chain's next descriptor, or the next free one */
};

/* A field of the ring's byte order from ours, or back. */
RW_ALWAYS_INLINE uint16_t ring16(const struct fe_ring *r, uint16_t v)
{
	return rw_unlikely(r->swap) ? __builtin_bswap16(v) : v;
}

RW_ALWAYS_INLINE uint32_t ring32(const struct fe_ring *r, uint32_t v)
{
	return rw_unlikely(r->swap) ? __builtin_bswap32(v) : v;
}

RW_ALWAYS_INLINE uint64_t ring64(const struct fe_ring *r, uint64_t v)
{
	return rw_unlikely(r->swap) ? __builtin_bswap64(v) : v;
}

/* Report a write of ours to what the device cannot write now. */
RW_ALWAYS_INLINE void ring_wrote(const struct fe_ring *r, const void *at, size_t len)
{
	if (rw_unlikely(r->wrote != NULL))
		r->wrote(r->wrote_ctx, at, at, len);
}

/* Store a field that the device reads, perhaps right now. */
RW_ALWAYS_INLINE void ring_store16(const struct fe_ring *r, uint16_t *at, uint16_t v, int order)
{
	v = ring16(r, v);
	if (rw_unlikely(r->wrote != NULL))
		r->wrote(r->wrote_ctx, at, &v, sizeof(v));
	if (order == __ATOMIC_RELEASE)
		__atomic_store_n(at, v, __ATOMIC_RELEASE);
	else
		__atomic_store_n(at, v, __ATOMIC_RELAXED);
}

static inline uint16_t *used_event(const struct fe_ring *r)
{
	return &r->avail->ring[r->num];
}

static inline uint16_t *avail_event(const struct fe_ring *r)
{
	return (uint16_t *)&r->used->ring[r->num];
}

RW_ALWAYS_INLINE void packed_advance(
	const struct fe_ring *r, uint16_t *slot, bool *wrap, uint16_t n)
{
	uint32_t to = (uint32_t)*slot + n;

	if (to >= r->num) {
		to -= r->num;
		*wrap = !*wrap;
	}
	*slot = (uint16_t)to;
}
