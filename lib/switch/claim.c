/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port that may use one address alone (`macs`) is where that host is, as soon as its link is up:
 * a guest that was moved here is reached before it has sent a frame.
 *
 * But the ring of a guest's copy may start while the guest still runs elsewhere, and the copy may
 * end again (a migration that is cancelled). So a port does not claim an address that is behind
 * another port with a link, or that another such port may use alone. It waits for that link to end.
 */
#include <string.h>

#include "plan.h"

/* A worker may hold the table's lock. */
#define TRIES 64

/* The only address of the port; false: it has several, or none. */
static bool only_mac(const struct sw_port_state *state, const uint8_t **mac)
{
	if (!state->port || !state->rules || state->rules->set.nmacs != 1)
		return false;
	*mac = state->rules->set.macs[0];
	return true;
}

/* The domain of the port's untagged frames; SW_DOMAIN_NONE: it has none. */
static uint16_t domain_of(struct sw *sw, const struct sw_port_state *state)
{
	uint16_t untagged = sw_domain_untagged(sw, state->port);

	if (!untagged && state->vlans && state->vlans->n)
		return SW_DOMAIN_NONE;
	return sw_domain_of(sw, sw_bridge_vlan(sw, state->port, untagged));
}

/* Whether another port that is up may use this address alone in the same domain. */
static bool has_twin(struct sw *sw, const struct sw_port_state *self, uint16_t domain)
{
	const uint8_t *mac, *other;

	if (!only_mac(self, &mac))
		return false;
	for (unsigned id = 0; id < sw->id_end; id++) {
		const struct sw_port_state *state = &sw->ports[id];

		if (state != self && only_mac(state, &other) && !memcmp(mac, other, 6) &&
			sw_port_is_up(sw, state->port) && !sw_is_sink(sw, (uint16_t)id) &&
			domain_of(sw, state) == domain)
			return true;
	}
	return false;
}

/* Whether the host may still be where the table has it. */
static bool is_elsewhere(const struct sw *sw, uint32_t hop)
{
	const struct port *port = hop < SW_MAX_PORTS ? sw_port(sw, (uint16_t)hop) : NULL;

	return hop != FDB_HOP_NONE && (hop >= SW_MAX_PORTS || (port && sw_port_is_up(sw, port)));
}

/* True: there is nothing to wait for any more. */
static bool claim(struct sw *sw, const struct sw_port_state *state)
{
	enum fdb_learned what = FDB_BUSY;
	const uint8_t *mac;
	uint16_t domain;
	uint32_t hop;
	fdb_key key;

	if (!only_mac(state, &mac) || !sw_port_is_up(sw, state->port))
		return true;
	domain = domain_of(sw, state);
	if (!domain)
		return true;
	if (sw_is_sink(sw, state->port->id))
		return false;
	key = fdb_key_make(mac, domain);
	hop = fdb_lookup(sw->fdb, key);
	if (hop == state->port->id)
		return true;
	if (sw_forward_mode(sw) != SW_FORWARD_SWITCH || is_elsewhere(sw, hop) ||
		has_twin(sw, state, domain))
		return false;
	for (unsigned i = 0; i < TRIES && what == FDB_BUSY; i++)
		what = fdb_learn_by(sw->fdb, key, state->port->id, sw_now_s(sw), FDB_BY_SETTING);
	return what != FDB_BUSY;
}

void sw_claims_link(struct sw *sw, const struct port *port, bool up)
{
	sw->ports[port->id].claims = up;
	for (unsigned id = 0; id < sw->id_end; id++) {
		struct sw_port_state *state = &sw->ports[id];

		if (state->claims && !state->leaves)
			state->claims = !claim(sw, state);
	}
}
