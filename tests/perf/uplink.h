/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * An uplink whose other side is the program itself: what the switch sent lies in the ring of a
 * net_ring, where the far end takes it, and what the far end leaves there the switch receives. Or a
 * net_null, which takes all and sends without end.
 *
 * Functions end the program with a line on stderr when something is wrong. Thread: the worker's,
 * which is also control.
 */
#include <stdint.h>

#include "ethdev_port.h"

struct uplink {
	struct ethdev_port *port;
	struct rte_ring *ring; /* net_ring's; NULL: it is a net_null */
};

/* Add it to the switch. Frames from a net_null have `len` bytes. */
void uplink_begin(struct uplink *u, struct sw *sw, struct rw_loop *loop, bool ring, uint32_t len);
void uplink_end(struct uplink *u);

/* The far end of a net_ring: send a frame of `len` bytes. */
void uplink_send(struct uplink *u, const uint8_t *frame, uint32_t len);
/* Take the oldest frame that the switch sent. Its length, or -EAGAIN. */
int uplink_recv(struct uplink *u, uint8_t *buf, uint32_t size);
/* How many frames the switch has sent, as the device counts them. */
uint64_t uplink_sent(const struct uplink *u);
