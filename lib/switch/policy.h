/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Port policies: internal to lib/switch. policy.c makes rules of what a user wants (control);
 * guard.c applies them to the frames that come from a port (workers).
 */
#include "port_meter.h"
#include "sw_rules.h"

struct sw_worker;
struct sw_target;

/* A prefix as words of the wire's byte order: an address `a` matches if (a & mask) == bits. */
struct sw_net4 {
	uint32_t bits, mask;
};

struct sw_net6 {
	uint64_t bits[2], mask[2];
};

/* The buckets of a port's limits. They outlive its rules, so a change of one refills no other. */
struct sw_meters {
	struct port_meter storm[SW_STORMS];
	struct port_meter rx, tx;
};

/* The rules of a port. Immutable while a plan names them. */
struct sw_rules {
	struct sw_policy set;
	bool guarded; /* something is checked of the frames from the port */
	bool mute;    /* none of them passes */
	bool parsed;  /* of their headers behind the addresses, too */
	bool limited; /* something is checked of the frames to the port */
	bool grouped; /* broadcasts or multicasts are limited */
	uint8_t nnets4, nnets6;
	uint64_t macs
		[SW_POLICY_MACS]; /* the address is in the lower 48 bits, as fdb_key_of has it */
	struct sw_net4 nets4[SW_POLICY_ADDRESSES];
	struct sw_net6 nets6[SW_POLICY_ADDRESSES];
	struct sw_meters *meters; /* NULL: there are no limits */
	struct port_rate storm[SW_STORMS];
	struct port_rate rx, tx;
	struct sw_rules *next; /* control only, see sw.ended */
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

/* Consecutive frames of a burst that share their fate. */
struct sw_lot {
	struct frame *frames;
	unsigned n;
	uint64_t bytes; /* of all */
	uint16_t domain;
	const struct port_rxq *from; /* counts those that are dropped; NULL: nobody */
};

/*
 * Storm control for frames to an address that nobody knows: those that pass move to the front of
 * the lot, the others are dropped and counted. Thread: worker.
 */
void sw_guard_unknown(struct sw_worker *w, const struct sw_rules *rules, struct sw_lot *lot);

/*
 * Which of `n` frames, `bytes` in all, may go to a port with limits, a bit for each; the others are
 * counted as dropped. Thread: worker.
 */
uint32_t sw_guard_tx(struct sw_worker *w, const struct sw_target *to, struct frame *frames,
	unsigned n, uint64_t bytes);
