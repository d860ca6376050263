/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Port policies: internal to lib/switch. policy.c makes rules of what a user wants (control);
 * guard.c applies them to the frames that come from a port (workers).
 */
#include "frame.h"
#include "port.h"
#include "sw_policy.h"

struct sw_worker;

/* The rules of a port. Immutable while a plan names them. */
struct sw_rules {
	struct sw_policy set;
	bool guarded; /* something is checked of the frames from the port */
};

/* With which ports a port exchanges frames. */
enum sw_reach {
	SW_REACH_NORMAL,
	SW_REACH_ISOLATED, /* with open ports alone */
	SW_REACH_OPEN,     /* with all ports */
};

/* Whether frames may go between two ports of that reach; symmetrical. */
static inline bool sw_may_reach(uint8_t a, uint8_t b)
{
	return (a != SW_REACH_ISOLATED || b == SW_REACH_OPEN) &&
		(b != SW_REACH_ISOLATED || a == SW_REACH_OPEN);
}

/*
 * Check the first `n` of the worker's frames, which came from a queue of a guarded port. What is
 * refused is counted as received and as dropped. The others move to the front. Returns their
 * number. Thread: worker.
 */
unsigned sw_guard(
	struct sw_worker *w, const struct sw_rules *rules, const struct port_rxq *from, unsigned n);
