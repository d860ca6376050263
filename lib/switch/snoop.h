/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Floods that are choosy: internal to lib/switch. Thread: worker. */
#include "mdb.h"
#include "plan.h"

_Static_assert(SW_MAX_PORTS <= MDB_MAX_PORTS, "each port has a bit");

/* Whether snooping has a say where a frame goes: it is for a group of IPv4 or IPv6. */
static inline bool sw_snoop_cares(const struct frame *f)
{
	return frame_is_ipv4_group(f->head) || frame_is_ipv6_group(f->head);
}

/* flood.c, as sw_flood: to all members of the domain; to those of them that are in a set. */
enum port_drop sw_flood_all(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_lot *lot, const struct port *from);
enum port_drop sw_flood_set(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_lot *lot, const struct port *from, const struct mdb_ports *set);

/*
 * snoop.c, as sw_flood, for a lot that sw_snoop_cares about. What nobody receives is counted at
 * lot->drops; the result is always PORT_NUM_DROPS.
 */
enum port_drop sw_snoop_flood(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_lot *lot, const struct port *from);

/* snoop.c, for switch.c and policy.c. Thread: control. */
/* 0 or -errno; mdb_free ends it. */
int sw_snoop_begin(struct sw *sw);
void sw_snoop_age(struct sw *sw);
/* The port has no link any more, or is gone: it is in no group. */
void sw_snoop_forget(struct sw *sw, const struct port *port);
/* No worker uses the domain, and another VLAN may get its number. */
void sw_snoop_forget_domain(struct sw *sw, uint16_t domain);
void sw_snoop_router(struct sw *sw, const struct port *port, enum sw_mrouter mrouter);
