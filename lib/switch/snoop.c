/* SPDX-License-Identifier: BSD-3-Clause */
#include "sw_snoop.h"

#include <errno.h>

#include "snoop.h"

/*
 * Memberships of all ports, and of one. A host joins a few groups, a router of a large network
 * hundreds. 64 ports have to join all they may before another finds no room, and what happens then
 * is that it gets all multicast. 21 MiB if all are used.
 */
#define MEMBERS      65536
#define PORT_MEMBERS 1024

/* Read what a frame says about groups, and believe it. */
static enum frame_group_what hear(
	struct sw_worker *w, struct frame *f, uint16_t domain, const struct port *from)
{
	struct frame_group msg;

	frame_group_read(f, &msg);
	if (msg.what != FRAME_GROUP_NONE && !w->seen.dry)
		mdb_hear(w->sw->mdb, domain, from->id, &msg, w->now_s);
	return (enum frame_group_what)msg.what;
}

/* Flood frames of which all are reports, or none is. */
static enum port_drop flood_alike(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_lot *lot, const struct port *from, enum frame_group_what what)
{
	const uint8_t *dst = frame_dst(lot->frames);
	enum sw_flood_to to = SW_FLOOD_GROUP;
	struct mdb_ports set;
	bool chosen = false;

	if (what == FRAME_GROUP_REPORT) {
		to = SW_FLOOD_ROUTERS;
		chosen = mdb_routers(
			w->sw->mdb, lot->domain, frame_is_ipv6_group(dst), w->now_s, &set);
	} else if (what != FRAME_GROUP_QUERY) {
		chosen = mdb_forward(w->sw->mdb, lot->domain, dst, w->now_s, &set);
	}
	if (!chosen)
		return sw_flood_all(w, plan, lot, from);
	if (rw_unlikely(w->seen.by != NULL))
		sw_see_flood(w, lot, from, to);
	return sw_flood_set(w, plan, lot, from, &set);
}

enum port_drop sw_snoop_flood(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_lot *lot, const struct port *from)
{
	enum frame_group_what what[FRAME_BURST];
	unsigned end;

	for (unsigned i = 0; i < lot->n; i++)
		what[i] = hear(w, &lot->frames[i], lot->domain, from);
	for (unsigned i = 0; i < lot->n; i = end) {
		struct sw_lot part = {.frames = &lot->frames[i], .domain = lot->domain};
		enum port_drop why;

		for (end = i; end < lot->n && what[end] == what[i]; end++)
			part.bytes += lot->frames[end].len;
		part.n = end - i;
		why = flood_alike(w, plan, &part, from, what[i]);
		if (why != PORT_NUM_DROPS && lot->from)
			sw_drop_rx(w, lot->from, part.frames, sw_bits(part.n), SW_NO_PORT, why);
	}
	return PORT_NUM_DROPS;
}

/* Use again what was removed. */
static void tidy(struct sw *sw)
{
	if (!mdb_has_waste(sw->mdb))
		return;
	sw_quiesce(sw);
	mdb_reclaim(sw->mdb);
}

void sw_snooping_set(struct sw *sw, bool on)
{
	if (sw->snooping == on)
		return;
	sw->snooping = on;
	sw->changed = true;
	sw_commit(sw);
	/* No worker hears any more. */
	if (!on) {
		mdb_clear(sw->mdb);
		tidy(sw);
	}
}

bool sw_snooping(const struct sw *sw)
{
	return sw->snooping;
}

struct mdb *sw_mdb(struct sw *sw)
{
	return sw->mdb;
}

int sw_snoop_begin(struct sw *sw)
{
	static const struct mdb_config cfg = {.max_members = MEMBERS, .port_max = PORT_MEMBERS};

	sw->mdb = mdb_new(&cfg);
	return sw->mdb ? 0 : -errno;
}

void sw_snoop_age(struct sw *sw)
{
	mdb_age(sw->mdb, sw_now_s(sw));
	tidy(sw);
}

void sw_snoop_forget(struct sw *sw, const struct port *port)
{
	mdb_forget_port(sw->mdb, port->id);
	tidy(sw);
}

void sw_snoop_forget_domain(struct sw *sw, uint16_t domain)
{
	mdb_forget_domain(sw->mdb, domain);
	tidy(sw);
}

void sw_snoop_router(struct sw *sw, const struct port *port, enum sw_mrouter mrouter)
{
	static const enum mdb_router how[] = {[SW_MROUTER_AUTO] = MDB_ROUTER_AUTO,
		[SW_MROUTER_ON] = MDB_ROUTER_ON,
		[SW_MROUTER_OFF] = MDB_ROUTER_NEVER};

	mdb_set_router(sw->mdb, port->id, how[mrouter]);
}
