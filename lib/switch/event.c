/* SPDX-License-Identifier: BSD-3-Clause */
#include "sw_event.h"

#include "plan.h"

#define TAKE 64u /* changes of the FDB for each time that its lock is taken */

void sw_events_to(struct sw *sw, sw_event_fn *fn, void *arg)
{
	sw->event_fn = fn;
	sw->event_arg = arg;
}

static void link_count(struct sw *sw, const struct sw_event *event)
{
	struct sw_link *link = &sw->ports[event->port->id].link;

	link->ups += event->on;
	link->downs += !event->on;
	link->changed_s = sw_now_s(sw);
}

void sw_link_read(const struct sw *sw, const struct port *port, struct sw_link *out)
{
	*out = sw->ports[port->id].link;
}

void sw_link_set(struct sw *sw, const struct port *port, const struct sw_link *link)
{
	sw->ports[port->id].link = *link;
}

void sw_tell(struct sw *sw, const struct sw_event *event)
{
	if (event->kind == SW_EVENT_LINK)
		link_count(sw, event);
	if (sw->event_fn)
		sw->event_fn(sw->event_arg, event);
	if (event->kind == SW_EVENT_LINK)
		sw_claims_link(sw, event->port, event->on);
}

void sw_hosts_watch(struct sw *sw, bool on)
{
	fdb_watch(sw->fdb, on);
}

/* A port may have gone since. */
static const struct port *port_of(const struct sw *sw, uint32_t hop)
{
	return hop < SW_MAX_PORTS ? sw_port(sw, (uint16_t)hop) : NULL;
}

static void change_tell(struct sw *sw, const struct fdb_change *c)
{
	const struct sw_event event = {
		.kind = c->from == FDB_HOP_NONE ? SW_EVENT_LEARNED : SW_EVENT_MOVED,
		.port = port_of(sw, c->hop),
		.other = port_of(sw, c->from),
		.key = c->key,
		.how = c->how,
	};

	if (event.port)
		sw_tell(sw, &event);
}

uint64_t sw_hosts_tell(struct sw *sw)
{
	struct fdb_change changes[TAKE];
	uint64_t lost, all_lost = 0;
	uint32_t n, left = FDB_CHANGES;

	/* Workers may fill it as fast as it is taken. */
	do {
		n = fdb_changes_take(sw->fdb, changes, RW_MIN(TAKE, left), &lost);
		all_lost += lost;
		left -= n;
		for (uint32_t i = 0; i < n; i++)
			change_tell(sw, &changes[i]);
	} while (n == TAKE && left);
	return all_lost;
}
