/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Broadcast domains: internal to lib/switch. */

#include "rw_lock.h"
#include "rw_log.h"
#include "sw_bridge.h"

/*
 * The ports with a membership of a domain, as bits: a flood goes through them. The form of a port's
 * frames is in the port's own map of VLANs (sw_plan_form). So a domain with a few members takes as
 * much memory as one with all ports, and that is little.
 */
struct sw_members {
	uint64_t bits[SW_MAX_PORTS / 64];
};

/* Control only, but for what a plan names. */
struct sw_membership {
	struct sw_membership *next; /* that changed since the latest commit; valid if `changed` */
	uint16_t domain;
	uint16_t n; /* of members */
	bool changed;
	/* One for each of the two plans. Control changes that of the next plan. */
	struct sw_members members[2];
};

struct sw_domain {
	bool used;
	bool kept; /* never freed: control refers to it */
	struct sw_vlan vlan;
	uint32_t seen_s; /* atomic: when the latest frame came, on the switch's clock */
	struct sw_membership *member; /* NULL: only transparent ports are members */
};

struct sw_bridge {
	char name[SW_BRIDGE_NAME + 1];
	unsigned nports;
	/*
	 * Domains by their VLANs: customer VLANs, then service VLANs. Atomic; SW_DOMAIN_NONE: not
	 * in use.
	 */
	uint16_t of_vlan[2][SW_VLANS];
};

/*
 * For a port with memberships: the domain of a frame, by the VLAN of its tag; SW_DOMAIN_NONE: drop
 * it. Entry 0 is the untagged membership.
 */
struct sw_vlan_map {
	unsigned n;          /* of memberships; only control uses this and the next line */
	uint16_t first, end; /* the entries that changed since the latest commit are in between */
	uint16_t domain[2][SW_VLANS]; /* as sw_membership.members */
};

struct sw_domains {
	struct sw_bridge *bridges[SW_MAX_BRIDGES]; /* NULL: not in use; the default one always is */
	unsigned bridge_end;                       /* one more than the highest number in use */
	struct sw_membership *changed;             /* since the latest commit */
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
/* bridge.c: the default bridge. 0 or -ENOMEM. */
int sw_bridges_begin(struct sw_domains *all);
void sw_bridges_end(struct sw_domains *all);
/* bridge.c: count a port in its bridge, or not any more. */
void sw_bridge_count(struct sw *sw, uint16_t id);
void sw_bridge_leave(struct sw *sw, uint16_t id);
/* bridge.c, after a commit: forget what is behind ports that moved, end bridges without ports. */
void sw_bridges_settle(struct sw *sw);
/* Free the number of a VLAN, if it has one, which no worker uses and the FDB does not have. */
void sw_domain_free(struct sw *sw, struct sw_vlan vlan);
/* Call this once a second. */
void sw_domains_tick(struct sw *sw);
/* End all memberships of a port that is deleted. */
void sw_domains_forget_port(struct sw *sw, uint16_t id);

/* The TPID of a kind of tag. */
static inline uint16_t sw_tpid(bool service)
{
	return service ? FRAME_TPID_SERVICE : FRAME_TPID_CUSTOMER;
}

/* The edit that frames like `f`, in the domain of `vlan`, need for a member with form `form`. */
static inline struct frame_edit sw_edit_for(
	const struct frame *f, struct sw_vlan vlan, enum sw_form form)
{
	const uint16_t tpid = sw_tpid(vlan.service);
	const bool tagged = frame_has_tag(f, tpid) && f->len >= 18;

	if (form == SW_FORM_UNTAGGED)
		return tagged ? (struct frame_edit){.tag = FRAME_TAG_POP, .tpid = tpid}
			      : (struct frame_edit){0};
	if (!vlan.id || (tagged && f->vlan == vlan.id))
		return (struct frame_edit){0};
	return (struct frame_edit){
		.tag = tagged ? FRAME_TAG_REWRITE : FRAME_TAG_PUSH, .vlan = vlan.id, .tpid = tpid};
}
