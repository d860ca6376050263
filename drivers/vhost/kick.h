/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * How a worker that sleeps learns that a queue has something for it, and the other operations of a
 * receive queue that control calls.
 *
 * A guest kicks its transmitq. That the backlog of a transmit queue can go on, control tells. Rings
 * that the post-copy proxy moves are polled: they are for a moment only.
 */
#include "vhost.h"

extern const struct port_rxq_ops vhost_rxq_ops;

/* How ring `i` is kicked: its eventfd, or PORT_KICK_*. Thread: control. */
int vhost_kick_of(const struct vu_session *s, unsigned i);
/* See struct vu_ops. */
void vhost_ring_kicked(void *dev, unsigned ring);
