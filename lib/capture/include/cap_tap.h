/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What one worker does for one capture: it filters frames, samples them, and copies them into its
 * part of the ring. Bounded, and it neither blocks nor allocates.
 *
 * The filter reads the frame's copied head. If it asks for more, the frame is copied first, and
 * what was filtered is what is captured: the guest may change its buffer meanwhile.
 *
 * Thread: the worker.
 */
#include "cap_filter.h"
#include "cap_ring.h"
#include "frame.h"

struct cap_tap {
	struct cap_writer writer;
	struct cap_filter filter;
	uint32_t snap;    /* bytes of a frame that are captured at most; CAP_SNAP_MAX at most */
	uint32_t sample;  /* one of so many frames that match; at least 1 */
	uint32_t skipped; /* since the latest */
	uint8_t *scratch; /* CAP_SNAP_MAX bytes of the worker's own */
} RW_CACHE_ALIGNED;

/* Capture `n` frames, which have in common what `like` says. */
void cap_tap_frames(struct cap_tap *tap, const struct cap_record *like, struct frame *const *frames,
	unsigned n);
/*
 * Something happened to `n` frames that never became any: empty records are written for them, at
 * most CAP_TAP_EMPTY_MAX; only a capture without a filter has them.
 */
#define CAP_TAP_EMPTY_MAX 32
void cap_tap_empty(struct cap_tap *tap, const struct cap_record *like, uint64_t n);
