/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of a port: what a user wants, made ready for workers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

static bool is_none(const struct sw_policy *p)
{
	static const struct sw_policy none;

	return !memcmp(p, &none, sizeof(none));
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
	rules->guarded = policy->down || rules->parsed;
	for (unsigned i = 0; i < policy->nmacs; i++)
		memcpy(&rules->macs[i], policy->macs[i], sizeof(policy->macs[i]));
	for (unsigned i = 0; i < policy->naddresses; i++)
		net_add(rules, &policy->addresses[i]);
	return rules;
}

int sw_policy_set(struct sw *sw, struct port *port, const struct sw_policy *policy)
{
	struct sw_port_state *state = &sw->ports[port->id];
	struct sw_rules *old = state->rules, *next = NULL;

	if (is_none(policy) ? !old : old && !memcmp(&old->set, policy, sizeof(*policy)))
		return 0;
	if (!is_none(policy)) {
		next = sw_rules_new(policy);
		if (!next)
			return -ENOMEM;
	}
	state->rules = next;
	sw->changed = true;
	/* No worker uses the old rules afterwards. */
	sw_commit(sw);
	if (next && next->set.down && (!old || !old->set.down))
		sw_port_flush(sw, port);
	rw_free(old);
	return 0;
}

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
	const struct sw_port_state *state = &sw->ports[id];
	const struct sw_rules *rules = state->rules;
	struct sw_target *t = &plan->targets[id];

	t->guard = rules && rules->guarded ? rules : NULL;
	t->reach = (uint8_t)reach_of(state);
	t->closed = rules && rules->set.down;
	if (t->closed)
		t->ntxqs = 0;
	t->direct = t->ntxqs == 1;
	plan->isolation |= t->reach == SW_REACH_ISOLATED;
}
