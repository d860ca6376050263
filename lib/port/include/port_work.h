/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * How many descriptors of a port's rings workers walk. A guest decides how long its chains are, and
 * whether they hold a byte; walking one of 32,768 empty descriptors costs as much as forwarding
 * some thousand frames. So a burst of a queue has an allowance of descriptors and ends when it is
 * used up. The one chain (to a guest: the buffers of one frame) that a burst is walking then is
 * finished, because a chain as long as its ring is legal. Afterwards all queues of the port rest
 * for as long as the excess is worth: no worker walks a chain of theirs meanwhile, except the usual
 * chains, which cost nothing of it.
 *
 * What that bounds, for each port and poll round of a worker: its rx queues together walk
 * PORT_WORK_ROUND descriptors (up to 8 queues: PORT_WORK_BURST each), a burst to it what
 * PORT_WORK_FRAME and PORT_WORK_BYTES say, and beyond that one chain is finished (vq_max_walk). In
 * the long run the excess of all its queues together is one descriptor in a microsecond.
 *
 * What a descriptor of a chain of 32,768 empty ones costs, AMD EPYC family 26: 2.3 ns in order, 5
 * ns in a random order, 27 ns when that is in no cache (0.9 ms for the chain).
 *
 * Threads: workers, but for port_work_queues (control). Only queues with other than the usual
 * chains read it, and only an excess writes it.
 */
#include "rw_base.h"

/*
 * Descriptors for a burst of one rx queue, most and least. With many queues they share a round's.
 */
#define PORT_WORK_BURST 4096u
#define PORT_WORK_LEAST 256u
#define PORT_WORK_ROUND 32768u

/*
 * Descriptors for a frame to the port: PORT_WORK_FRAME, and one for each PORT_WORK_BYTES of the
 * frame. Linux's longest chain is 20 descriptors, and the smallest buffer that it uses 1.5 KiB.
 */
#define PORT_WORK_FRAME 128u
#define PORT_WORK_BYTES 4u

/* Descriptors that a queue walks to ask ahead for what an IOMMU's guest will use next. */
#define PORT_WORK_AHEAD 512u

struct port_work {
	uint32_t share;   /* atomic: descriptors for one burst of an rx queue */
	uint32_t rests;   /* atomic: how often the port's queues had to rest */
	uint64_t rest_us; /* atomic: rest until then, CLOCK_MONOTONIC; 0: no */
};

void port_work_init(struct port_work *w);
/* The port has `n` rx queues that run. Thread: control. */
void port_work_queues(struct port_work *w, unsigned n);

static inline uint32_t port_work_share(const struct port_work *w)
{
	return __atomic_load_n(&w->share, __ATOMIC_RELAXED);
}

/* Whether a rest that ends at `until_us` is over; ends it. */
bool port_work_rested(struct port_work *w, uint64_t until_us);

/* Whether a worker may walk a chain now. */
static inline bool port_work_may(struct port_work *w)
{
	uint64_t until = __atomic_load_n(&w->rest_us, __ATOMIC_RELAXED);

	return rw_likely(!until) || port_work_rested(w, until);
}

/* A burst has walked `excess` descriptors more than it may. */
void port_work_exceeded(struct port_work *w, uint32_t excess);
