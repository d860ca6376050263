/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What a running daemon holds of the system: a test compares the numbers of before and after.
 */
#include "harness.h"

struct holdings {
	unsigned fds;
	unsigned mappings;
	unsigned long heap_kib; /* resident */
};

/* Read /proc of the rig's daemon. */
struct holdings holdings(const struct rig *r);

/*
 * Wait until the daemon has as few descriptors as `before` says, then tell whether it holds more
 * than that of something. Mappings may differ by some that the allocator keeps; the heap may grow
 * by a piece that serves all that comes, and is not compared under a sanitizer.
 */
bool holdings_have_grown(struct rig *r, const struct holdings *before);
void holdings_are_flat(struct rig *r, const struct holdings *before);
