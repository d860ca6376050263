/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Bridges. A bridge has VLANs of its own, and so addresses of its own: nothing goes from one bridge
 * to another one. Each port is in one bridge, at first in SW_BRIDGE_DEFAULT. A bridge comes into
 * being with its first port, and ends with its last one.
 *
 * Threads: control, unless a comment says otherwise.
 */
#include "sw_domain.h"

#define SW_MAX_BRIDGES    1024
#define SW_BRIDGE_NAME    32 /* most bytes of a name */
#define SW_BRIDGE_DEFAULT "default"

/*
 * Bring a port that has no memberships into a bridge, and say which kind of tag its frames have:
 * that of IEEE 802.1Q, or with `service` that of 802.1ad. The next sw_commit puts it into effect.
 * It also forgets all addresses behind the port, static ones too, and ends bridges without ports.
 * Returns 0; -EBUSY: the port has memberships; -ENOSPC: there are SW_MAX_BRIDGES bridges; -ENOMEM.
 */
int sw_bridge_enter(struct sw *sw, struct port *port, const char *bridge, bool service);

/* The VLAN `id` of the bridge that the port is in, with the port's kind of tag. */
struct sw_vlan sw_bridge_vlan(const struct sw *sw, const struct port *port, uint16_t id);
/* The number of the bridge of that name; -ENOENT: no port is in it. */
int sw_bridge_find(const struct sw *sw, const char *name);
/* The name of a bridge. */
const char *sw_bridge_name(const struct sw *sw, uint16_t bridge);
