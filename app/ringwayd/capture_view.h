/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What workers have of a capture: how they see frames (sw_watch.h), and where these go (cap_tap.h).
 *
 * Threads: control fills it in before workers know of it, and has `capture_view_clock` called each
 * second; workers call capture_see.
 */
#include "cap_tap.h"
#include "sw_watch.h"

/* The wall clock at a moment of the TSC. */
struct capture_wall {
	uint64_t tsc, ns;
};

struct capture_view {
	struct sw_watch watch; /* `see` is capture_see */
	bool rx, tx;           /* directions: of drops, too */
	/* Two in turn: a worker that reads one while control writes it is a second late. */
	struct capture_wall walls[2];
	uint32_t wall; /* the one that holds */
	double ns_per_tick;
	unsigned ntaps;
	struct cap_tap taps[]; /* one for each worker, each on lines of its own */
};

void capture_view_clock(struct capture_view *v);
void capture_see(struct sw_watch *watch, const struct sw_sight *sight);
