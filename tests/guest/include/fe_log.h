/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The front-end's side of the migration log: the shared bitmap of the pages that the back-end
 * wrote, and the messages that start and stop logging.
 *
 * The bitmap may start at any byte of its file. The bytes of the file around it hold a pattern: a
 * back-end that marks beyond its ends is found out by fe_log_is_contained.
 *
 * Thread: any number may look at the bitmap; starting and stopping is the guest's.
 */
#include "fe_guest.h"

struct fe_log {
	int fd;
	struct vu_log_base base; /* bytes of the bitmap, and where it starts in the file */
	uint8_t *bits;           /* base.size bytes, shared with the back-end */
	uint8_t *map;            /* the whole file */
	size_t map_len;
};

/* All clear. 0; -EINVAL for a size of 0; or what the system said. */
int fe_log_init(struct fe_log *log, uint64_t size, uint64_t offset);
void fe_log_fini(struct fe_log *log);

/* Bytes of a bitmap that has a bit for every page up to the end of the guest's memory. */
uint64_t fe_log_size_for(const struct fe_mem *m);

/* Whether the page of `gpa` is marked; false beyond the bitmap. */
bool fe_log_has(const struct fe_log *log, uint64_t gpa);

/* Marked pages. */
uint64_t fe_log_count(const struct fe_log *log);

/*
 * Clear the marks and add them to `out`, base.size bytes: each byte in one atomic exchange, as a
 * front-end does while the back-end is at work. How many pages were marked.
 */
uint64_t fe_log_fetch(struct fe_log *log, uint8_t *out);

/* Whether the file around the bitmap is as it was. */
bool fe_log_is_contained(const struct fe_log *log);

/*
 * Start logging in QEMU's order: SET_LOG_BASE, SET_FEATURES with LOG_ALL, then SET_VRING_ADDR with
 * the LOG flag for each ring. The log stays the caller's, who keeps it until the back-end knows
 * another, or none.
 */
int fe_guest_log_start(struct fe_guest *g, struct fe_log *log, enum fe_log_style style);

/* SET_FEATURES and SET_VRING_ADDR without. The log itself stays known to the back-end. */
int fe_guest_log_stop(struct fe_guest *g);

/* The two halves on their own: LOG_ALL, and the flag of one ring. */
int fe_guest_log_features(struct fe_guest *g, bool on);
int fe_guest_log_ring(struct fe_guest *g, uint32_t index, bool on);
