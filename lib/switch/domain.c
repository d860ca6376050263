/* SPDX-License-Identifier: BSD-3-Clause */
/* Broadcast domains: numbers, memberships, and what a plan contains of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "snoop.h"

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
	return sw_bridges_begin(all);
}

void sw_domains_end(struct sw *sw)
{
	if (!sw->domains)
		return;
	for (unsigned i = 1; i <= sw->domains->max; i++)
		free(sw->domains->domain[i].member);
	sw_bridges_end(sw->domains);
	free(sw->domains);
	sw->domains = NULL;
}

/* ---- numbers ---- */

/* Where a VLAN's number stands. */
static uint16_t *number_at(const struct sw *sw, struct sw_vlan vlan)
{
	return &sw->domains->bridges[vlan.bridge]->of_vlan[vlan.service][vlan.id];
}

/* VLAN 0 is the same for both kinds of tag. */
static void number_set(struct sw *sw, struct sw_vlan vlan, uint16_t domain, int order)
{
	__atomic_store_n(number_at(sw, vlan), domain, order);
	if (vlan.id)
		return;
	vlan.service = !vlan.service;
	__atomic_store_n(number_at(sw, vlan), domain, order);
}

uint16_t sw_domain_find(const struct sw *sw, struct sw_vlan vlan)
{
	/* Pairs with the release in number_give: the struct sw_domain is complete. */
	return __atomic_load_n(number_at(sw, vlan), __ATOMIC_ACQUIRE);
}

struct sw_vlan sw_domain_vlan(const struct sw *sw, uint16_t domain)
{
	return sw->domains->domain[domain].vlan;
}

/* The caller holds the lock. */
static uint16_t number_give(struct sw *sw, struct sw_vlan vlan)
{
	struct sw_domains *all = sw->domains;
	unsigned i = all->hint;

	while (i <= all->max && all->domain[i].used)
		i++;
	if (i > all->max)
		return SW_DOMAIN_NONE;
	all->hint = i + 1;
	__atomic_store_n(&all->nused, all->nused + 1, __ATOMIC_RELAXED);
	vlan.service &= vlan.id != 0;
	all->domain[i] = (struct sw_domain){.used = true, .vlan = vlan, .seen_s = sw_now_s(sw)};
	number_set(sw, vlan, (uint16_t)i, __ATOMIC_RELEASE);
	return (uint16_t)i;
}

/* The VLAN does not lead to it any more. */
static void number_take(struct sw *sw, uint16_t domain)
{
	struct sw_domains *all = sw->domains;

	rw_spin_lock(&all->lock);
	all->domain[domain].used = false;
	__atomic_store_n(&all->nused, all->nused - 1, __ATOMIC_RELAXED);
	all->hint = RW_MIN(all->hint, (unsigned)domain);
	rw_spin_unlock(&all->lock);
}

uint16_t sw_domain_of(struct sw *sw, struct sw_vlan vlan)
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

uint16_t sw_domain_keep(struct sw *sw, struct sw_vlan vlan)
{
	uint16_t domain = sw_domain_of(sw, vlan);

	if (domain)
		sw->domains->domain[domain].kept = true;
	return domain;
}

/* Free the domain's memberships, of which there are none, nor were any since the latest commit. */
static void membership_free(struct sw *sw, uint16_t domain)
{
	free(sw->domains->domain[domain].member);
	sw->domains->domain[domain].member = NULL;
}

void sw_domain_free(struct sw *sw, struct sw_vlan vlan)
{
	uint16_t domain = sw_domain_find(sw, vlan);

	if (!domain)
		return;
	number_set(sw, vlan, SW_DOMAIN_NONE, __ATOMIC_RELAXED);
	sw_snoop_forget_domain(sw, domain);
	membership_free(sw, domain);
	number_take(sw, domain);
}

/* Whether there are members in this plan or in the next one. */
static bool has_members(const struct sw_membership *m)
{
	return m && (m->n || m->changed);
}

/* Free the number of a VLAN that was silent for `idle_s` seconds. Whether it was. */
static bool silent_free(struct sw *sw, struct sw_vlan vlan, uint32_t idle_s)
{
	uint16_t i = sw_domain_find(sw, vlan);
	const struct sw_domain *d = &sw->domains->domain[i];

	if (!i || has_members(d->member) || d->kept ||
		sw_now_s(sw) - __atomic_load_n(&d->seen_s, __ATOMIC_RELAXED) < idle_s)
		return false;
	/* First make sure that no frame gets the domain, then delete its FDB entries. */
	number_set(sw, vlan, SW_DOMAIN_NONE, __ATOMIC_RELAXED);
	sw_quiesce(sw);
	fdb_flush_domain(sw->fdb, i);
	sw_snoop_forget_domain(sw, i);
	membership_free(sw, i);
	number_take(sw, i);
	return true;
}

unsigned sw_domain_reclaim(struct sw *sw, uint32_t idle_s)
{
	struct sw_domains *all = sw->domains;
	unsigned n = 0;

	/* VLAN 0 keeps its number: every transparent port uses it. */
	for (unsigned i = 0; i < all->bridge_end * 2 * SW_VLANS; i++) {
		const struct sw_vlan vlan = {.bridge = (uint16_t)(i / (2 * SW_VLANS)),
			.service = i / SW_VLANS % 2,
			.id = (uint16_t)(i % SW_VLANS)};

		if (all->bridges[vlan.bridge] && vlan.id)
			n += silent_free(sw, vlan, idle_s);
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

/* What control changes is the next plan's half. */
static unsigned next_half(const struct sw *sw)
{
	return (sw->serial + 1) % 2;
}

static struct sw_membership *membership_get(struct sw *sw, uint16_t domain)
{
	struct sw_domain *d = &sw->domains->domain[domain];

	if (d->member)
		return d->member;
	d->member = calloc(1, sizeof(*d->member));
	if (d->member)
		d->member->domain = domain;
	return d->member;
}

static int vlan_map_get(struct sw_port_state *state)
{
	if (!state->vlans)
		state->vlans = calloc(1, sizeof(*state->vlans));
	return state->vlans ? 0 : -ENOMEM;
}

/* Where the port has that domain; -1: it is not a member. */
static int entry_of(const struct sw *sw, const struct port *port, uint16_t domain, uint16_t vlan)
{
	const struct sw_vlan_map *vlans = sw->ports[port->id].vlans;
	const uint16_t *next = vlans ? vlans->domain[next_half(sw)] : NULL;

	if (!vlans || !domain)
		return -1;
	if (next[0] == domain)
		return 0;
	return next[vlan] == domain ? vlan : -1;
}

/* Give a port's entry a domain, of which `m` are the members, or take it. */
static void entry_set(
	struct sw *sw, const struct port *port, uint16_t entry, struct sw_membership *m, bool give)
{
	struct sw_vlan_map *vlans = sw->ports[port->id].vlans;
	const unsigned half = next_half(sw);
	int by = give ? 1 : -1;

	vlans->domain[half][entry] = give ? m->domain : SW_DOMAIN_NONE;
	vlans->first = vlans->end ? RW_MIN(vlans->first, entry) : entry;
	vlans->end = RW_MAX(vlans->end, (uint16_t)(entry + 1));
	vlans->n += (unsigned)by;
	m->n = (uint16_t)(m->n + by);
	m->members[half].bits[port->id / 64] ^= 1ull << port->id % 64;
	if (!m->changed) {
		m->changed = true;
		m->next = sw->domains->changed;
		sw->domains->changed = m;
	}
	sw->nmembers += (unsigned)by;
	sw->changed = true;
}

int sw_domain_join(struct sw *sw, struct port *port, uint16_t vlan, enum sw_form form)
{
	const uint16_t entry = form == SW_FORM_UNTAGGED ? 0 : vlan;
	struct sw_port_state *state = &sw->ports[port->id];
	uint16_t domain, there;
	struct sw_membership *m;
	int now;

	if (vlan >= SW_VLANS || (entry && form != SW_FORM_TAGGED) ||
		(!entry && form != SW_FORM_UNTAGGED))
		return -EINVAL;
	domain = sw_domain_of(sw, sw_bridge_vlan(sw, port, vlan));
	if (!domain)
		return -ENOSPC;
	m = membership_get(sw, domain);
	if (!m || vlan_map_get(state))
		return -ENOMEM;
	there = state->vlans->domain[next_half(sw)][entry];
	if (there && there != domain)
		return -EEXIST;
	now = entry_of(sw, port, domain, vlan);
	if (now == entry)
		return 0;
	if (now >= 0)
		entry_set(sw, port, (uint16_t)now, m, false);
	entry_set(sw, port, entry, m, true);
	return 0;
}

void sw_domain_leave(struct sw *sw, struct port *port, uint16_t vlan)
{
	uint16_t domain = sw_domain_find(sw, sw_bridge_vlan(sw, port, vlan));
	int now = entry_of(sw, port, domain, vlan);

	if (now >= 0)
		entry_set(sw, port, (uint16_t)now, sw->domains->domain[domain].member, false);
}

uint16_t sw_domain_untagged(const struct sw *sw, const struct port *port)
{
	const struct sw_vlan_map *vlans = sw->ports[port->id].vlans;
	uint16_t domain = vlans ? vlans->domain[next_half(sw)][0] : SW_DOMAIN_NONE;

	return domain ? sw_domain_vlan(sw, domain).id : 0;
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

void sw_plan_vlans(const struct sw *sw, struct sw_plan *plan)
{
	const unsigned half = plan->serial % 2;

	plan->nwords = (sw->id_end + 63) / 64;
	plan->edits = sw->nmembers || sw->nplaced;
	for (unsigned id = 0; id < sw->id_end; id++) {
		const struct sw_port_state *state = &sw->ports[id];
		const struct sw_vlan_map *vlans = state->vlans;
		struct sw_target *t = &plan->targets[id];

		t->bridge = state->bridge;
		t->service = state->service;
		t->tpid = sw_tpid(state->service);
		t->transparent = !vlans || !vlans->n;
		t->domains = t->transparent
			? sw->domains->bridges[state->bridge]->of_vlan[state->service]
			: vlans->domain[half];
		t->untagged = 0;
		if (!t->transparent)
			t->untagged = t->domains[0] ? sw_vlan_of(sw, t->domains[0]).id : SW_VLANS;
	}
}

/* Sort the transparent ports by bridge and kind of tag. */
static void spans_fill(const struct sw *sw, struct sw_plan *plan)
{
	uint16_t unsorted[SW_MAX_PORTS], next[SW_MAX_BRIDGES][2], n = 0;
	const unsigned end = sw->domains->bridge_end;

	memcpy(unsorted, plan->flood, plan->nflood * sizeof(unsorted[0]));
	memset(plan->spans, 0, end * sizeof(plan->spans[0]));
	for (unsigned i = 0; i < plan->nflood; i++) {
		const struct sw_target *t = &plan->targets[unsorted[i]];

		plan->spans[t->bridge].all++;
		plan->spans[t->bridge].customer += !t->service;
	}
	for (unsigned b = 0; b < end; b++) {
		struct sw_span *span = &plan->spans[b];

		span->first = n;
		next[b][0] = n;
		next[b][1] = (uint16_t)(n + span->customer);
		n = (uint16_t)(n + span->all);
	}
	for (unsigned i = 0; i < plan->nflood; i++) {
		const struct sw_target *t = &plan->targets[unsorted[i]];

		plan->flood[next[t->bridge][t->service]++] = unsorted[i];
	}
}

/* What a plan has of the memberships that changed. */
static void members_set(const struct sw *sw, struct sw_plan *plan)
{
	const struct sw_membership *m;

	for (m = sw->domains->changed; m; m = m->next)
		plan->members[m->domain] = m->n ? &m->members[plan->serial % 2] : NULL;
}

void sw_plan_domains(const struct sw *sw, struct sw_plan *plan)
{
	if (plan->edits)
		spans_fill(sw, plan);
	members_set(sw, plan);
}

void sw_domains_committed(struct sw *sw)
{
	const unsigned now = sw->serial % 2, next = next_half(sw);
	struct sw_membership *m;

	members_set(sw, sw->spare);
	for (m = sw->domains->changed; m; m = m->next) {
		m->members[next] = m->members[now];
		m->changed = false;
	}
	sw->domains->changed = NULL;
	for (unsigned id = 0; id < sw->id_end; id++) {
		struct sw_vlan_map *vlans = sw->ports[id].vlans;

		if (!vlans || !vlans->end)
			continue;
		memcpy(&vlans->domain[next][vlans->first], &vlans->domain[now][vlans->first],
			(size_t)(vlans->end - vlans->first) * sizeof(vlans->domain[0][0]));
		vlans->first = vlans->end = 0;
	}
}
