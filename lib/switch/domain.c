/* SPDX-License-Identifier: BSD-3-Clause */
/* Broadcast domains: numbers, memberships, and what a plan contains of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/*
 * If fewer than 1/RECLAIM_SHARE of the numbers are free, free those of VLANs that were silent for
 * RECLAIM_IDLE_S seconds.
 */
#define RECLAIM_SHARE  4
#define RECLAIM_IDLE_S 600

int sw_domains_begin(struct sw *sw, unsigned max)
{
	/* calloc: large and sparse, and untouched pages cost nothing. */
	struct sw_domains *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	sw->domains = all;
	all->max = max ? max : SW_MAX_DOMAINS;
	all->hint = 1;
	return 0;
}

void sw_domains_end(struct sw *sw)
{
	if (!sw->domains)
		return;
	for (unsigned i = 1; i <= sw->domains->max; i++)
		free(sw->domains->domain[i].member);
	free(sw->domains);
	sw->domains = NULL;
}

/* ---- numbers ---- */

uint16_t sw_domain_find(const struct sw *sw, uint16_t vlan)
{
	/* Pairs with the release in number_give: the struct sw_domain is complete. */
	return __atomic_load_n(&sw->domains->of_vlan[vlan], __ATOMIC_ACQUIRE);
}

uint16_t sw_domain_vlan(const struct sw *sw, uint16_t domain)
{
	return sw->domains->domain[domain].vlan;
}

/* The caller holds the lock. */
static uint16_t number_give(struct sw *sw, uint16_t vlan)
{
	struct sw_domains *all = sw->domains;
	unsigned i = all->hint;

	while (i <= all->max && all->domain[i].used)
		i++;
	if (i > all->max)
		return SW_DOMAIN_NONE;
	all->hint = i + 1;
	__atomic_store_n(&all->nused, all->nused + 1, __ATOMIC_RELAXED);
	all->domain[i] = (struct sw_domain){.used = true, .vlan = vlan, .seen_s = sw_now_s(sw)};
	__atomic_store_n(&all->of_vlan[vlan], (uint16_t)i, __ATOMIC_RELEASE);
	return (uint16_t)i;
}

uint16_t sw_domain_of(struct sw *sw, uint16_t vlan)
{
	uint16_t domain = sw_domain_find(sw, vlan);

	if (rw_likely(domain))
		return domain;
	rw_spin_lock(&sw->domains->lock);
	domain = sw_domain_find(sw, vlan); /* another worker may have been first */
	if (!domain)
		domain = number_give(sw, vlan);
	rw_spin_unlock(&sw->domains->lock);
	if (!domain)
		__atomic_store_n(&sw->domains->short_of, 1, __ATOMIC_RELAXED);
	return domain;
}

uint16_t sw_domain_keep(struct sw *sw, uint16_t vlan)
{
	uint16_t domain = sw_domain_of(sw, vlan);

	if (domain)
		sw->domains->domain[domain].kept = true;
	return domain;
}

unsigned sw_domain_reclaim(struct sw *sw, uint32_t idle_s)
{
	struct sw_domains *all = sw->domains;
	uint32_t now = sw_now_s(sw);
	unsigned n = 0;

	/* VLAN 0 keeps its number: every transparent port uses it. */
	for (uint16_t vlan = 1; vlan < SW_VLANS; vlan++) {
		uint16_t i = sw_domain_find(sw, vlan);
		struct sw_domain *d = &all->domain[i];

		if (!i || d->member || d->kept ||
			now - __atomic_load_n(&d->seen_s, __ATOMIC_RELAXED) < idle_s)
			continue;
		/* First make sure that no frame gets the domain, then delete its FDB entries. */
		__atomic_store_n(&all->of_vlan[vlan], SW_DOMAIN_NONE, __ATOMIC_RELAXED);
		sw_quiesce(sw);
		fdb_flush_domain(sw->fdb, i);
		rw_spin_lock(&all->lock);
		d->used = false;
		__atomic_store_n(&all->nused, all->nused - 1, __ATOMIC_RELAXED);
		all->hint = RW_MIN(all->hint, i);
		rw_spin_unlock(&all->lock);
		n++;
	}
	return n;
}

void sw_domains_tick(struct sw *sw)
{
	struct sw_domains *all = sw->domains;

	if (__atomic_exchange_n(&all->short_of, 0, __ATOMIC_RELAXED))
		rw_log_limited(&all->limit, RW_LOG_WARNING,
			"all %u broadcast domains are in use: frames of further VLANs are dropped "
			"(no_domain)",
			all->max);
	if (all->max - __atomic_load_n(&all->nused, __ATOMIC_RELAXED) < all->max / RECLAIM_SHARE)
		sw_domain_reclaim(sw, RECLAIM_IDLE_S);
}

/* ---- memberships ---- */

static struct sw_membership *membership_get(struct sw_domain *d)
{
	if (!d->member)
		d->member = calloc(1, sizeof(*d->member));
	return d->member;
}

static int vlan_map_get(struct sw_port_state *state)
{
	if (!state->vlans)
		state->vlans = calloc(1, sizeof(*state->vlans));
	return state->vlans ? 0 : -ENOMEM;
}

int sw_domain_join(struct sw *sw, struct port *port, uint16_t vlan, enum sw_form form)
{
	struct sw_port_state *state = &sw->ports[port->id];
	bool untagged = form == SW_FORM_UNTAGGED;
	uint16_t domain, *at;
	struct sw_membership *m;

	if (vlan >= SW_VLANS || (!untagged && (form != SW_FORM_TAGGED || !vlan)))
		return -EINVAL;
	domain = sw_domain_of(sw, vlan);
	if (!domain)
		return -ENOSPC;
	m = membership_get(&sw->domains->domain[domain]);
	if (!m || vlan_map_get(state))
		return -ENOMEM;
	at = &state->vlans->next[untagged ? 0 : vlan];
	if (*at && *at != domain)
		return -EEXIST;
	if (m->form[port->id] && m->form[port->id] != form)
		sw_domain_leave(sw, port, vlan);
	if (!m->form[port->id]) {
		m->n++;
		state->vlans->n++;
		sw->nmembers++;
	}
	m->form[port->id] = (uint8_t)form;
	*at = domain;
	sw->changed = true;
	return 0;
}

void sw_domain_leave(struct sw *sw, struct port *port, uint16_t vlan)
{
	struct sw_port_state *state = &sw->ports[port->id];
	uint16_t domain = sw_domain_find(sw, vlan);
	struct sw_membership *m = domain ? sw->domains->domain[domain].member : NULL;

	if (!m || !m->form[port->id])
		return;
	state->vlans->next[m->form[port->id] == SW_FORM_UNTAGGED ? 0 : vlan] = SW_DOMAIN_NONE;
	m->form[port->id] = SW_FORM_NONE;
	m->n--;
	state->vlans->n--;
	sw->nmembers--;
	sw->changed = true;
}

uint16_t sw_domain_untagged(const struct sw *sw, const struct port *port)
{
	const struct sw_vlan_map *vlans = sw->ports[port->id].vlans;

	return vlans && vlans->next[0] ? sw_domain_vlan(sw, vlans->next[0]) : 0;
}

void sw_domains_forget_port(struct sw *sw, uint16_t id)
{
	struct sw_port_state *state = &sw->ports[id];

	if (!state->vlans)
		return;
	for (unsigned vlan = 0; vlan < SW_VLANS && state->vlans->n; vlan++)
		sw_domain_leave(sw, state->port, (uint16_t)vlan);
}

/* ---- the plan ---- */

static void members_fill(const struct sw *sw, const struct sw_plan *plan,
	const struct sw_membership *m, struct sw_members *out)
{
	out->n = 0;
	for (unsigned id = 0; id < sw->id_end; id++) {
		const struct sw_port_state *state = &sw->ports[id];
		bool transparent = state->port && !plan->targets[id].vlans;

		out->form[id] = transparent ? SW_FORM_AS_IS : m->form[id];
		if (out->form[id] && plan->targets[id].ntxqs)
			out->ids[out->n++] = (uint16_t)id;
	}
}

void sw_plan_vlans(const struct sw *sw, struct sw_plan *plan)
{
	unsigned half = plan->serial % 2;

	plan->edits = sw->nmembers;
	for (unsigned id = 0; id < sw->id_end; id++) {
		struct sw_vlan_map *vlans = sw->ports[id].vlans;

		plan->targets[id].vlans = NULL;
		if (!vlans || !vlans->n)
			continue;
		memcpy(vlans->domain[half], vlans->next, sizeof(vlans->next));
		plan->targets[id].vlans = vlans->domain[half];
	}
}

void sw_plan_domains(const struct sw *sw, struct sw_plan *plan)
{
	unsigned half = plan->serial % 2;

	for (unsigned vlan = 0; vlan < SW_VLANS && (plan->edits || plan->had_edits); vlan++) {
		uint16_t i = sw_domain_find(sw, (uint16_t)vlan);
		struct sw_membership *m = i ? sw->domains->domain[i].member : NULL;

		if (!i)
			continue;
		plan->members[i] = NULL;
		if (!m || !m->n)
			continue;
		members_fill(sw, plan, m, &m->lists[half]);
		plan->members[i] = &m->lists[half];
	}
	plan->had_edits = plan->edits;
}
