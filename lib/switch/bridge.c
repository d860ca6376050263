/* SPDX-License-Identifier: BSD-3-Clause */
/* Bridges: which ports are in them, and their tables of VLANs. */
#include "sw_bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "snoop.h"

int sw_bridge_find(const struct sw *sw, const char *name)
{
	const struct sw_domains *all = sw->domains;

	for (unsigned i = 0; i < all->bridge_end; i++) {
		if (all->bridges[i] && !strcmp(all->bridges[i]->name, name))
			return (int)i;
	}
	return -ENOENT;
}

const char *sw_bridge_name(const struct sw *sw, uint16_t bridge)
{
	return sw->domains->bridges[bridge]->name;
}

struct sw_vlan sw_bridge_vlan(const struct sw *sw, const struct port *port, uint16_t id)
{
	const struct sw_port_state *state = &sw->ports[port->id];

	return (struct sw_vlan){.bridge = state->bridge, .id = id, .service = state->service};
}

/* The number of a new bridge; or -errno. */
static int bridge_new(struct sw_domains *all, const char *name)
{
	struct sw_bridge *b;
	unsigned i = 0;

	while (i < SW_MAX_BRIDGES && all->bridges[i])
		i++;
	if (i == SW_MAX_BRIDGES)
		return -ENOSPC;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	strncpy(b->name, name, sizeof(b->name) - 1);
	all->bridges[i] = b;
	all->bridge_end = RW_MAX(all->bridge_end, i + 1);
	return (int)i;
}

int sw_bridges_begin(struct sw_domains *all)
{
	return RW_MIN(bridge_new(all, SW_BRIDGE_DEFAULT), 0);
}

void sw_bridges_end(struct sw_domains *all)
{
	for (unsigned i = 0; i < all->bridge_end; i++)
		free(all->bridges[i]);
}

int sw_bridge_enter(struct sw *sw, struct port *port, const char *bridge, bool service)
{
	const struct sw_target *there = &sw->plan->targets[port->id];
	struct sw_port_state *state = &sw->ports[port->id];
	struct sw_domains *all = sw->domains;
	int i = sw_bridge_find(sw, bridge);

	if (state->vlans && state->vlans->n)
		return -EBUSY;
	if (i < 0)
		i = bridge_new(all, bridge);
	if (i < 0)
		return i;
	if (state->bridge == i && state->service == service)
		return 0;
	sw_bridge_leave(sw, port->id);
	state->bridge = (uint16_t)i;
	state->service = service;
	/* Compare with what workers know: it may have moved more than once since the commit. */
	state->moved = there->port == port &&
		(there->bridge != state->bridge || there->service != service);
	sw_bridge_count(sw, port->id);
	sw->changed = true;
	return 0;
}

void sw_bridge_count(struct sw *sw, uint16_t id)
{
	const struct sw_port_state *state = &sw->ports[id];

	sw->domains->bridges[state->bridge]->nports++;
	sw->nplaced += state->bridge || state->service;
}

void sw_bridge_leave(struct sw *sw, uint16_t id)
{
	const struct sw_port_state *state = &sw->ports[id];

	sw->domains->bridges[state->bridge]->nports--;
	sw->nplaced -= state->bridge || state->service;
	sw->unsettled = true;
}

/*
 * No worker uses the bridge, and each entry of the FDB and of the MDB was behind a port that has
 * left it, so there is none of its domains.
 */
static void bridge_free(struct sw *sw, uint16_t bridge)
{
	struct sw_domains *all = sw->domains;

	for (unsigned service = 0; service < 2; service++) {
		for (uint16_t id = 0; id < SW_VLANS; id++)
			sw_domain_free(sw,
				(struct sw_vlan){.bridge = bridge, .id = id, .service = service});
	}
	free(all->bridges[bridge]);
	all->bridges[bridge] = NULL;
	while (!all->bridges[all->bridge_end - 1])
		all->bridge_end--;
}

static void bridges_sweep(struct sw *sw)
{
	struct sw_domains *all = sw->domains;

	for (unsigned i = all->bridge_end; i-- > 1;) {
		if (all->bridges[i] && !all->bridges[i]->nports)
			bridge_free(sw, (uint16_t)i);
	}
}

void sw_bridges_settle(struct sw *sw)
{
	if (!sw->unsettled)
		return;
	sw->unsettled = false;
	for (unsigned id = 0; id < sw->id_end; id++) {
		struct sw_port_state *state = &sw->ports[id];

		if (!state->moved)
			continue;
		state->moved = false;
		fdb_forget_port(sw->fdb, id);
		sw_snoop_forget(sw, state->port);
	}
	bridges_sweep(sw);
}
