/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The inside of broadcast domains, for lib/switch. */

#include "rw_lock.h"
#include "rw_log.h"
#include "sw_domain.h"

/* Who is in a domain that has members of its own. Immutable while a plan names it. */
struct sw_members {
	unsigned n;
	uint16_t ids[SW_MAX_PORTS]; /* those that are up, transparent ports among them */
	uint8_t form[SW_MAX_PORTS]; /* enum sw_form, of all members */
};

/* Control only. */
struct sw_membership {
	unsigned n;
	uint8_t form[SW_MAX_PORTS];
	struct sw_members lists[2]; /* for the two plans */
};

struct sw_domain {
	bool used;
	bool kept; /* never taken back: control has named it */
	uint16_t vlan;
	uint32_t seen_s;              /* atomic: the latest frame, in the switch's seconds */
	struct sw_membership *member; /* NULL: transparent ports alone */
};

/* Which domain a frame with a tag of that VLAN is of, at a port with memberships. */
struct sw_vlan_map {
	unsigned n; /* memberships; control only, as `next` */
	uint16_t next[SW_VLANS];
	uint16_t domain[2][SW_VLANS]; /* for the two plans; SW_DOMAIN_NONE: drop */
};

struct sw_domains {
	uint16_t of_vlan[SW_VLANS]; /* atomic; SW_DOMAIN_NONE: not in use */
	struct sw_domain domain[SW_MAX_DOMAINS + 1];
	struct rw_spinlock lock; /* for what is below, and for giving numbers out */
	unsigned max, nused;     /* numbers */
	unsigned hint;           /* the lowest free number is not below */
	uint32_t short_of;       /* atomic: a frame found none left */
	struct rw_log_limit limit;
};

/* max: numbers there are, SW_MAX_DOMAINS or fewer. 0 or -ENOMEM. */
int sw_domains_begin(struct sw *sw, unsigned max);
void sw_domains_end(struct sw *sw);
/* Once a second. */
void sw_domains_tick(struct sw *sw);
/* A port goes away. */
void sw_domains_forget_port(struct sw *sw, uint16_t id);

/* What frames like `f`, in a domain of that VLAN, become for a member of that form. */
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
