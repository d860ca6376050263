/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What happens to the frames that a thread sends to tx queues, and what it finds in queues that is
 * no frame, told to an observer of that thread. lib/port tells what was delivered; whoever drops
 * frames tells that, next to where it counts them.
 *
 * Thread: that which sends or receives.
 */
#include "port.h"

struct port_observer {
	/* The queue has delivered `n` frames, as they are now. */
	void (*sent)(struct port_observer *o, const struct port_txq *q, struct frame *const *frames,
		unsigned n);
	/* `n` frames for the queue were dropped. */
	void (*dropped)(struct port_observer *o, const struct port_txq *q,
		struct frame *const *frames, unsigned n, enum port_drop why);
	/*
	 * `n` chains or packets of a queue were no frames (`rx`), or no buffers for any: they count
	 * as dropped.
	 */
	void (*malformed)(struct port_observer *o, const struct port *port, uint16_t index, bool rx,
		unsigned n, enum port_drop why);
	bool late; /* lib/port sets it: the frames come from a backlog */
};

/* NULL: nobody observes this thread. */
extern _Thread_local struct port_observer *port_observer;

static inline void port_tell_sent(const struct port_txq *q, struct frame *const *frames, unsigned n)
{
	struct port_observer *o = port_observer;

	if (rw_unlikely(o != NULL) && n)
		o->sent(o, q, frames, n);
}

static inline void port_tell_dropped(
	const struct port_txq *q, struct frame *const *frames, unsigned n, enum port_drop why)
{
	struct port_observer *o = port_observer;

	if (rw_unlikely(o != NULL) && n)
		o->dropped(o, q, frames, n, why);
}

/* The frames come from a backlog, or do so no longer. */
static inline void port_tell_late(bool late)
{
	if (rw_unlikely(port_observer != NULL))
		port_observer->late = late;
}

/* Count frames for the queue as dropped, and tell. */
void port_txq_drop(
	const struct port_txq *q, struct frame *const *frames, unsigned n, enum port_drop why);
void port_txq_drop_one(const struct port_txq *q, struct frame *f, enum port_drop why);
/* The same for what a queue had in place of frames, or of buffers for them. */
void port_rxq_drop(const struct port_rxq *q, unsigned n, enum port_drop why);
void port_txq_drop_buffer(const struct port_txq *q, enum port_drop why);
