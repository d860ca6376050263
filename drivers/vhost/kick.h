/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * How a worker that sleeps learns that a pair has something for it: what the switch asks of a port for
 * that (struct port_ops).
 *
 * A transmit ring is kicked by the guest. What else a poll of the pair looks after, the backlog of a
 * receive ring behind an IOMMU, control tells of. Rings that a postcopy thread moves are polled: they
 * are for a moment only.
 */
#include "vhost.h"

/* How ring `i` is kicked: its eventfd, or PORT_KICK_*. Thread: control. */
int vhost_kick_of(const struct vu_session *s, unsigned i);
/* See struct vu_ops. */
void vhost_ring_kicked(void *dev, unsigned ring);
/* Wake the workers that are to look at a backlog. Thread: control. */
void vhost_kick_services(struct vhost_port *vp);

/* See struct port_ops. */
int vhost_kick(struct port *port, uint16_t queue);
bool vhost_arm(struct port *port, uint16_t queue, bool takes);
void vhost_disarm(struct port *port, uint16_t queue);
