/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of a port: what a user wants, made ready for workers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "snoop.h"

static bool rate_same(const struct sw_rate *a, const struct sw_rate *b)
{
	return a->per_s == b->per_s && a->burst == b->burst && a->frames == b->frames;
}

static bool limits_same(const struct sw_policy *a, const struct sw_policy *b)
{
	bool same = rate_same(&a->rx, &b->rx) && rate_same(&a->tx, &b->tx);

	for (unsigned i = 0; i < SW_STORMS; i++)
		same = same && rate_same(&a->storm[i], &b->storm[i]);
	return same;
}

static bool addresses_same(const struct sw_policy *a, const struct sw_policy *b)
{
	bool same = a->nmacs == b->nmacs && a->naddresses == b->naddresses;

	for (unsigned i = 0; same && i < a->nmacs; i++)
		same = !memcmp(a->macs[i], b->macs[i], sizeof(a->macs[i]));
	for (unsigned i = 0; same && i < a->naddresses; i++) {
		const struct sw_prefix *x = &a->addresses[i], *y = &b->addresses[i];

		same = x->len == y->len && x->ipv6 == y->ipv6 &&
			!memcmp(x->bytes, y->bytes, sizeof(x->bytes));
	}
	return same;
}

static bool policy_same(const struct sw_policy *a, const struct sw_policy *b)
{
	return a->down == b->down && a->isolated == b->isolated &&
		a->promiscuous == b->promiscuous && a->no_dhcp_server == b->no_dhcp_server &&
		a->no_router == b->no_router && a->mtu == b->mtu &&
		a->link_local == b->link_local && a->refuses_offload == b->refuses_offload &&
		a->no_learning == b->no_learning && a->drop_excess == b->drop_excess &&
		a->mrouter == b->mrouter && addresses_same(a, b) && limits_same(a, b);
}

static bool is_none(const struct sw_policy *p)
{
	static const struct sw_policy none;

	return policy_same(p, &none);
}

static void net_add(struct sw_rules *rules, const struct sw_prefix *prefix)
{
	uint8_t mask[16] = {0};

	for (unsigned bit = 0; bit < prefix->len; bit++)
		mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	if (prefix->ipv6) {
		struct sw_net6 *net = &rules->nets6[rules->nnets6++];

		memcpy(net->bits, prefix->bytes, sizeof(net->bits));
		memcpy(net->mask, mask, sizeof(net->mask));
	} else {
		struct sw_net4 *net = &rules->nets4[rules->nnets4++];

		memcpy(&net->bits, prefix->bytes, sizeof(net->bits));
		memcpy(&net->mask, mask, sizeof(net->mask));
	}
}

struct sw_rules *sw_rules_new(const struct sw_policy *policy)
{
	struct sw_rules *rules = rw_zalloc(sizeof(*rules));

	if (!rules)
		return NULL;
	rules->set = *policy;
	rules->parsed = policy->nmacs || policy->naddresses || policy->no_dhcp_server ||
		policy->no_router;
	rules->grouped = policy->storm[SW_STORM_BROADCAST].per_s ||
		policy->storm[SW_STORM_MULTICAST].per_s;
	rules->mute = policy->down;
	rules->guarded = policy->down || rules->parsed || rules->grouped || policy->mtu ||
		policy->storm[SW_STORM_UNKNOWN].per_s || policy->rx.per_s;
	rules->limited = policy->mtu || policy->tx.per_s;
	for (unsigned i = 0; i < policy->nmacs; i++)
		memcpy(&rules->macs[i], policy->macs[i], sizeof(policy->macs[i]));
	for (unsigned i = 0; i < policy->naddresses; i++)
		net_add(rules, &policy->addresses[i]);
	return rules;
}

/* ---- limits ---- */

/* A limit begins or changes; `before` is what held. A bucket that was not in use is full. */
static void limit_set(struct port_rate *rate, struct port_meter *m, const struct sw_rate *want,
	const struct sw_rate *before, uint64_t hz)
{
	if (!want->per_s)
		return;
	port_rate_init(rate, want->per_s, sw_rate_burst(want), want->frames, hz);
	if (!before->per_s)
		port_meter_init(m, rate, rte_rdtsc());
}

static bool has_limits(const struct sw_policy *p)
{
	bool any = p->rx.per_s || p->tx.per_s;

	for (unsigned i = 0; i < SW_STORMS; i++)
		any |= p->storm[i].per_s;
	return any;
}

/* 0 or -ENOMEM. */
static int limits_set(const struct sw *sw, struct sw_port_state *state, struct sw_rules *rules)
{
	static const struct sw_policy none;
	const struct sw_policy *want = &rules->set, *before = &none;

	if (!has_limits(want))
		return 0;
	if (!state->meters)
		state->meters = rw_zalloc(sizeof(*state->meters));
	if (!state->meters)
		return -ENOMEM;
	if (state->rules)
		before = &state->rules->set;
	rules->meters = state->meters;
	for (unsigned i = 0; i < SW_STORMS; i++)
		limit_set(&rules->storm[i], &state->meters->storm[i], &want->storm[i],
			&before->storm[i], sw->tsc_hz);
	limit_set(&rules->rx, &state->meters->rx, &want->rx, &before->rx, sw->tsc_hz);
	limit_set(&rules->tx, &state->meters->tx, &want->tx, &before->tx, sw->tsc_hz);
	return 0;
}

/* What is to be forgotten of a port once workers have its policy. */
static enum sw_flush flush_of(const struct sw_port_state *state, const struct sw_policy *policy,
	const struct sw_rules *before)
{
	bool was_down = before && before->set.down, learned = !before || !before->set.no_learning;

	if (policy->down && (!was_down || state->flush == SW_FLUSH_ALL))
		return SW_FLUSH_ALL;
	if (policy->no_learning && (learned || state->flush != SW_FLUSH_NONE))
		return SW_FLUSH_ADDRESSES;
	return SW_FLUSH_NONE;
}

int sw_policy_set(struct sw *sw, struct port *port, const struct sw_policy *policy)
{
	struct sw_port_state *state = &sw->ports[port->id];
	struct sw_rules *old = state->rules, *next = NULL;

	if (is_none(policy) ? !old : old && policy_same(&old->set, policy))
		return 0;
	if (!is_none(policy)) {
		next = sw_rules_new(policy);
		if (!next || limits_set(sw, state, next)) {
			rw_free(next);
			return -ENOMEM;
		}
	}
	state->flush = (uint8_t)flush_of(state, policy, old);
	state->rules = next;
	if (old) {
		old->next = sw->ended;
		sw->ended = old;
	}
	__atomic_store_n(&port->refuses, policy->refuses_offload, __ATOMIC_RELAXED);
	sw->changed = true;
	fdb_set_learning(sw->fdb, port->id, !policy->no_learning);
	fdb_set_strict(sw->fdb, port->id, policy->drop_excess);
	sw_snoop_router(sw, port, policy->mrouter);
	sw_commit_soon(sw);
	return 0;
}

void sw_policies_settle(struct sw *sw)
{
	struct sw_rules *next;

	for (; sw->ended; sw->ended = next) {
		next = sw->ended->next;
		rw_free(sw->ended);
	}
	for (unsigned id = 0; id < sw->id_end; id++) {
		struct sw_port_state *state = &sw->ports[id];
		uint8_t flush = state->flush;

		state->flush = SW_FLUSH_NONE;
		if (flush == SW_FLUSH_ALL)
			sw_port_flush(sw, state->port);
		else if (flush == SW_FLUSH_ADDRESSES)
			sw_port_flush_addresses(sw, state->port);
	}
}

/* ---- the plan ---- */

static enum sw_reach reach_of(const struct sw_port_state *state)
{
	if (state->rules && state->rules->set.isolated)
		return SW_REACH_ISOLATED;
	if (state->port->uplink || (state->rules && state->rules->set.promiscuous))
		return SW_REACH_OPEN;
	return SW_REACH_NORMAL;
}

void sw_plan_policy(const struct sw *sw, struct sw_plan *plan, unsigned id)
{
	/* What comes from a mirror's destination. */
	static const struct sw_rules sink_rules = {.guarded = true, .mute = true};
	const struct sw_port_state *state = &sw->ports[id];
	const struct sw_rules *rules = state->rules;
	struct sw_target *t = &plan->targets[id];

	t->guard = rules && rules->guarded ? rules : NULL;
	t->limits = rules && rules->limited ? rules : NULL;
	t->link_local = rules ? rules->set.link_local : 0;
	t->reach = (uint8_t)reach_of(state);
	t->closed = rules && rules->set.down;
	t->strict = rules && rules->set.drop_excess;
	t->sink = sw_is_sink(sw, (uint16_t)id);
	if (t->sink && !t->closed) {
		t->ncopies = t->ntxqs;
		t->guard = &sink_rules;
	}
	if (t->closed || t->sink)
		t->ntxqs = 0;
	t->direct = t->ntxqs == 1 && !t->limits;
	plan->isolation |= t->reach == SW_REACH_ISOLATED;
}
