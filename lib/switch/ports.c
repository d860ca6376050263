/* SPDX-License-Identifier: BSD-3-Clause */
/* The ports of the switch: they come and go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "snoop.h"

int sw_port_add(struct sw *sw, struct port *port)
{
	unsigned id;

	if (sw_port_by_name(sw, port->name))
		return -EEXIST;
	for (id = 0; id < SW_MAX_PORTS && sw->ports[id].port; id++)
		;
	if (id == SW_MAX_PORTS)
		return -ENOSPC;
	sw->ports[id] = (struct sw_port_state){.port = port};
	port->id = (uint16_t)id;
	sw->id_end = RW_MAX(sw->id_end, id + 1);
	sw->order[sw->nports++] = port->id;
	sw_bridge_count(sw, port->id);
	sw->changed = true;
	sw_commit_soon(sw);
	return 0;
}

void sw_port_leave(struct sw *sw, struct port *port)
{
	struct sw_port_state *state = &sw->ports[port->id];
	unsigned at = 0;

	if (state->leaves)
		return;
	for (uint16_t q = 0; q < PORT_MAX_PAIRS; q++) {
		sw_rxq_set(sw, port, q, NULL);
		sw_txq_set(sw, port, q, NULL);
	}
	while (sw->order[at] != port->id)
		at++;
	sw->nports--;
	memmove(&sw->order[at], &sw->order[at + 1], (sw->nports - at) * sizeof(sw->order[0]));
	sw_domains_forget_port(sw, port->id);
	sw_bridge_leave(sw, port->id);
	state->bridge = 0;
	state->service = false;
	state->moved = false;
	state->flush = SW_FLUSH_NONE;
	state->leaves = true;
	sw->nleaving++;
	sw->changed = true;
}

/*
 * Another port may get the id soon. So the FDB forgets a port after the commit, when no worker can
 * learn from frames in flight any more.
 */
static void port_forget(struct sw *sw, struct sw_port_state *state)
{
	const struct port *port = state->port;

	free(state->vlans);
	rw_free(state->rules);
	rw_free(state->meters);
	state->vlans = NULL;
	state->rules = NULL;
	state->meters = NULL;
	fdb_set_learning(sw->fdb, port->id, true);
	fdb_set_strict(sw->fdb, port->id, false);
	fdb_set_limit(sw->fdb, port->id, 0);
	fdb_forget_port(sw->fdb, port->id);
	sw_snoop_router(sw, port, SW_MROUTER_AUTO);
	sw_snoop_forget(sw, port);
	sw_watches_forget(sw, port->id);
	sw_mirrors_forget(sw, port->id);
	state->left = true;
}

void sw_ports_forget(struct sw *sw)
{
	for (unsigned id = 0; sw->nleaving && id < sw->id_end; id++) {
		struct sw_port_state *state = &sw->ports[id];

		if (!state->leaves || state->left)
			continue;
		port_forget(sw, state);
		sw->nleaving--;
	}
}

bool sw_port_has_left(const struct sw *sw, const struct port *port)
{
	return sw->ports[port->id].leaves;
}

void sw_port_del(struct sw *sw, struct port *port)
{
	sw_port_leave(sw, port);
	sw_commit(sw);
	sw->ports[port->id] = (struct sw_port_state){0};
}

struct port *sw_port(const struct sw *sw, uint16_t id)
{
	return id < SW_MAX_PORTS ? sw->ports[id].port : NULL;
}

struct port *sw_port_by_name(const struct sw *sw, const char *name)
{
	for (unsigned id = 0; id < sw->id_end; id++) {
		struct port *port = sw->ports[id].port;

		if (port && !sw->ports[id].leaves && !strcmp(port->name, name))
			return port;
	}
	return NULL;
}
