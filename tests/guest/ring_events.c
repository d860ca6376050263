/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's ring: who wants to be told of what. */
#include <errno.h>

#include "ring_priv.h"

static bool needs_kick_split(const struct fe_ring *r, uint16_t added)
{
	uint16_t event;

	if (!r->event_idx)
		return !(ring16(r, __atomic_load_n(&r->used->flags, __ATOMIC_RELAXED)) &
			VRING_USED_F_NO_NOTIFY);
	event = ring16(r, __atomic_load_n(avail_event(r), __ATOMIC_RELAXED));
	return vring_need_event(event, r->published_idx, (uint16_t)(r->published_idx - added));
}

static bool needs_kick_packed(const struct fe_ring *r, uint16_t added)
{
	/* One load: offset and flags belong together. */
	uint32_t event = __atomic_load_n((uint32_t *)r->device_event, __ATOMIC_RELAXED);
	uint32_t flags = event >> 16 & 3;
	uint16_t off = event & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
	bool wrap = event >> VRING_PACKED_EVENT_F_WRAP_CTR & 1;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (wrap != r->published_wrap)
		off = (uint16_t)(off - r->num);
	return vring_need_event(off, r->published_idx, (uint16_t)(r->published_idx - added));
}

bool fe_ring_needs_kick(struct fe_ring *r)
{
	uint32_t added = r->added;

	if (added == 0)
		return false;
	r->added = 0;
	/*
	 * Full barrier between publishing and reading what the device wants; it pairs with the
	 * device's between writing what it wants and its last look at the ring.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* The indices cannot tell more than that apart: be safe. */
	if (added > UINT16_MAX)
		return true;
	if (r->format == FE_SPLIT)
		return needs_kick_split(r, (uint16_t)added);
	return needs_kick_packed(r, (uint16_t)added);
}
/* Ask for an interrupt when the used position passes `ahead` entries from here. */
static void event_set(struct fe_ring *r, uint16_t ahead)
{
	uint16_t slot = r->used_idx;
	bool wrap = r->used_wrap;

	if (r->format == FE_SPLIT) {
		ring_store16(r, used_event(r), (uint16_t)(r->used_idx + ahead), __ATOMIC_RELAXED);
		return;
	}
	packed_advance(r, &slot, &wrap, ahead);
	slot |= (uint16_t)(wrap << VRING_PACKED_EVENT_F_WRAP_CTR);
	ring_store16(r, &r->driver_event->off_wrap, slot, __ATOMIC_RELAXED);
	/* Release: a device that reads "DESC" reads the offset that goes with it. */
	ring_store16(r, &r->driver_event->flags, VRING_PACKED_EVENT_FLAG_DESC, __ATOMIC_RELEASE);
}

void fe_ring_want_interrupt(struct fe_ring *r, bool on)
{
	uint16_t flags;

	if (r->format == FE_SPLIT && !r->event_idx) {
		flags = on ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
		ring_store16(r, &r->avail->flags, flags, __ATOMIC_RELAXED);
	} else if (r->format == FE_SPLIT) {
		event_set(r, on ? 0 : UINT16_MAX);
	} else if (on && r->event_idx) {
		event_set(r, 0);
	} else {
		flags = on ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;
		ring_store16(r, &r->driver_event->flags, flags, __ATOMIC_RELAXED);
	}
	/* Pairs with the device's between its used entry and its look at the request. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

int fe_ring_interrupt_after(struct fe_ring *r, uint16_t n)
{
	if (!r->event_idx)
		return -ENOTSUP;
	if (n == 0 || n > r->num)
		return -EINVAL;
	event_set(r, (uint16_t)(n - 1));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return 0;
}
