/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Broadcast domains: internal to lib/switch. */

#include "rw_lock.h"
#include "rw_log.h"
#include "sw_domain.h"

/* The members of a domain that has members of its own. Immutable while a plan names them. */
struct sw_members {
	unsigned n;
	uint16_t ids[SW_MAX_PORTS]; /* members that are up, including transparent ports */
	uint8_t form[SW_MAX_PORTS]; /* by port id: enum sw_form, for all members */
};

/* Control only. */
struct sw_membership {
	unsigned n;
	uint8_t form[SW_MAX_PORTS];
	struct sw_members lists[2]; /* one for each of the two plans */
};

struct sw_domain {
	bool used;
	bool kept; /* never freed: control refers to it */
	uint16_t vlan;
	uint32_t seen_s; /* atomic: when the latest frame came, on the switch's clock */
	struct sw_membership *member; /* NULL: only transparent ports are members */
};

/* For a port with memberships: the domain of a frame, by the VLAN of its tag. */
struct sw_vlan_map {
	unsigned n; /* number of memberships; only control uses `n` and `next` */
	uint16_t next[SW_VLANS];
	uint16_t domain[2][SW_VLANS]; /* one for each of the two plans; SW_DOMAIN_NONE: drop */
};

struct sw_domains {
	uint16_t of_vlan[SW_VLANS]; /* atomic; SW_DOMAIN_NONE: not in use */
	struct sw_domain domain[SW_MAX_DOMAINS + 1];
	struct rw_spinlock lock; /* protects allocation and the members below */
	unsigned max, nused;     /* how many numbers exist, and are allocated */
	unsigned hint;           /* no number below this is free */
	uint32_t short_of;       /* atomic: a frame found no free number */
	struct rw_log_limit limit;
};

/* `max`: how many numbers exist, at most SW_MAX_DOMAINS. Returns 0 or -ENOMEM. */
int sw_domains_begin(struct sw *sw, unsigned max);
void sw_domains_end(struct sw *sw);
/* Call this once a second. */
void sw_domains_tick(struct sw *sw);
/* End all memberships of a port that is deleted. */
void sw_domains_forget_port(struct sw *sw, uint16_t id);

/* The edit that frames like `f`, in the domain of `vlan`, need for a member with form `form`. */
static inline struct frame_edit sw_edit_for(const struct frame *f, uint16_t vlan, enum sw_form form)
{
	bool tagged = frame_has_tag(f) && f->len >= 18;
	struct frame_edit edit = {.vlan = vlan};

	if (form == SW_FORM_UNTAGGED)
		edit.tag = tagged ? FRAME_TAG_POP : FRAME_TAG_KEEP;
	else if (vlan && !tagged)
		edit.tag = FRAME_TAG_PUSH;
	else if (vlan && f->vlan != vlan)
		edit.tag = FRAME_TAG_REWRITE;
	if (edit.tag == FRAME_TAG_KEEP || edit.tag == FRAME_TAG_POP)
		edit.vlan = 0;
	return edit;
}
