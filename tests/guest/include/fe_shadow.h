/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A second copy of a guest's memory, to prove a migration log exact.
 *
 * The copy is what the destination of a migration has: at first all memory, then every page that
 * the log marks (fe_shadow_pull), and at once whatever the guest itself writes (rings, tables,
 * buffers: the library reports each of its writes; a test that writes to guest memory by hand
 * reports it with fe_shadow_note). So:
 *
 *	- a page that still differs when the back-end rests and the log was pulled was
 *	  written without being marked ("lost");
 *	- a marked page that never differed, and that no used entry accounts for, was marked
 *	  though nobody wrote it ("idle"). Content alone cannot tell: a device may write
 *	  what is there already. So each buffer and each used entry that the guest takes
 *	  from a ring is recorded as written, and the event suppression area of each ring
 *	  may always have been;
 *	- a page that a used entry accounts for while logging was on, without a mark, is
 *	  "unmarked", even if its content is the same.
 *
 * Marks of a ring's device area are expected at fe_queue.log_addr where that is set, but behind an
 * IOMMU where the area is: the back-end knows by translating.
 *
 * Memory that comes later (fe_guest_add_region) is not in the copy, and none may go.
 *
 * Thread: the guest's. The back-end may be at work, but for fe_shadow_check.
 */
#include "fe_log.h"

/* What was found; addresses are guest-physical, of the first such page. */
struct fe_shadow_report {
	uint64_t marked; /* pages, since the last reset */
	uint64_t changed;
	uint64_t lost;
	uint64_t unmarked;
	uint64_t idle;
	uint64_t first_lost;
	uint64_t first_unmarked;
	uint64_t first_idle;
};

/*
 * Begin with a copy; the guest has at most one. `log_size` is that of the log to come, bytes. It
 * goes with the guest, or by fe_shadow_free(g->shadow).
 */
int fe_shadow_new(struct fe_guest *g, uint64_t log_size);
/* NULL is fine. */
void fe_shadow_free(struct fe_shadow *s);

/*
 * Copy all memory anew and forget all marks: the start of a migration. Call it when the back-end
 * has acknowledged that it logs.
 */
void fe_shadow_reset(struct fe_shadow *s);

/* Fetch and clear the log, and copy the pages that it marks. How many. */
uint64_t fe_shadow_pull(struct fe_shadow *s, struct fe_log *log);

/* Pull for the last time and compare, the back-end being at rest. Whether the log was exact. */
bool fe_shadow_check(struct fe_shadow *s, struct fe_log *log, struct fe_shadow_report *out);

/* The guest wrote `len` bytes at `at` behind the library's back. Harmless without a shadow. */
void fe_shadow_note(struct fe_guest *g, const void *at, size_t len);
