/* SPDX-License-Identifier: BSD-3-Clause */
/* Floods that do not reach every port as they are: forms of VLANs, isolation, snooping. */
#include "snoop.h"

/* A flood, and why nobody receives it so far, or that somebody does. */
struct flood {
	struct sw_worker *w;
	const struct sw_lot *lot;
	const struct sw_target *self; /* the sender */
	struct sw_vlan vlan;
	enum port_drop ret;
};

static void flood_to(struct flood *fl, const struct sw_target *t, enum sw_form form)
{
	if (!sw_may_reach(fl->self->reach, t->reach)) {
		fl->ret = fl->ret == PORT_NUM_DROPS ? fl->ret : PORT_DROP_ISOLATED;
		return;
	}
	fl->ret = PORT_NUM_DROPS;
	sw_deliver_form(fl->w, fl->self, t, fl->lot, sw_edit_for(fl->lot->frames, fl->vlan, form));
}

/* To the ports with a membership that are up. */
static void flood_to_members(struct flood *fl, const struct sw_plan *plan,
	const struct sw_members *m, const struct port *from)
{
	for (unsigned word = 0; word < plan->nwords; word++) {
		for (uint64_t left = m->bits[word]; left; left &= left - 1) {
			unsigned id = word * 64 + (unsigned)__builtin_ctzll(left);
			const struct sw_target *t = &plan->targets[id];

			if (id != from->id && t->ntxqs)
				flood_to(fl, t, sw_target_form(t, fl->lot->domain, fl->vlan));
		}
	}
}

enum port_drop sw_flood_all(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_lot *lot, const struct port *from)
{
	struct flood fl = {.w = w,
		.lot = lot,
		.self = &plan->targets[from->id],
		.vlan = sw_vlan_of(w->sw, lot->domain),
		.ret = PORT_DROP_NO_PORT};
	const struct sw_receivers to = sw_plan_receivers(plan, fl.vlan);
	const struct sw_members *m = plan->members[lot->domain];

	if (rw_unlikely(w->seen.by != NULL))
		sw_see_flood(w, lot, from, SW_FLOOD_ALL);
	for (unsigned i = 0; i < to.n; i++) {
		if (to.ids[i] != from->id)
			flood_to(&fl, &plan->targets[to.ids[i]], SW_FORM_AS_IS);
	}
	if (m)
		flood_to_members(&fl, plan, m, from);
	return fl.ret;
}

enum port_drop sw_flood_set(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_lot *lot, const struct port *from, const struct mdb_ports *set)
{
	struct flood fl = {.w = w,
		.lot = lot,
		.self = &plan->targets[from->id],
		.vlan = sw_vlan_of(w->sw, lot->domain),
		.ret = PORT_DROP_NO_MEMBER};

	for (unsigned word = 0; word < RW_ARRAY_SIZE(set->bits); word++) {
		for (uint64_t left = set->bits[word]; left; left &= left - 1) {
			unsigned id = word * 64 + (unsigned)__builtin_ctzll(left);
			const struct sw_target *t = &plan->targets[id];
			enum sw_form form = SW_FORM_AS_IS;

			if (id == from->id || !t->port || !t->ntxqs)
				continue;
			if (plan->edits)
				form = sw_target_form(t, lot->domain, fl.vlan);
			if (form != SW_FORM_NONE)
				flood_to(&fl, t, form);
		}
	}
	return fl.ret;
}

enum port_drop sw_flood_selectively(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_lot *lot, const struct port *from)
{
	if (plan->snooping && sw_snoop_cares(lot->frames))
		return sw_snoop_flood(w, plan, lot, from);
	return sw_flood_all(w, plan, lot, from);
}
