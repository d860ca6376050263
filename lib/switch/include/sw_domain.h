/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Broadcast domains. A frame belongs to one domain from its arrival: its addresses are learned and
 * looked up there, and a flood reaches the domain's members. A domain is a VLAN of a bridge
 * (sw_bridge.h) and has a number, which is part of the FDB's keys. A number is allocated on first
 * use and freed after the VLAN has been silent for long.
 *
 * Customer VLANs (802.1Q, TPID 0x8100) and service VLANs (802.1ad, TPID 0x88a8) are different. A
 * port's frames have tags of one of the two kinds; a tag of the other kind is payload.
 *
 * A port without memberships is transparent: it is in every domain of its bridge and its kind of
 * tag, the tag of a received frame selects the domain (no tag, or VLAN 0: the domain of VLAN 0,
 * which both kinds share), and frames keep their form. A port with memberships is in those domains
 * only, and each membership defines the form of its frames there. So one flood serves tagged and
 * untagged ports.
 *
 * Threads: control, unless a comment says otherwise. Memberships take effect with the next
 * sw_commit.
 */
#include "sw.h"

#define SW_DOMAIN_NONE 0
#define SW_MAX_DOMAINS 65535
#define SW_VLANS       4095 /* ids 0 to 4094; 4095 is reserved (IEEE 802.1Q, 9.6) */

struct sw_vlan {
	uint16_t bridge; /* its number; 0: SW_BRIDGE_DEFAULT */
	uint16_t id;     /* < SW_VLANS; 0: of frames without a tag */
	bool service;    /* not a customer VLAN; VLAN 0 is both */
};

/* The form of a port's frames in a domain, in both directions. */
enum sw_form {
	SW_FORM_NONE,     /* not a member */
	SW_FORM_AS_IS,    /* a transparent port: tagged, except in VLAN 0 */
	SW_FORM_UNTAGGED, /* without the VLAN's tag; untagged frames that arrive belong here */
	SW_FORM_TAGGED,   /* with the VLAN's tag */
};

/*
 * The number of a VLAN's domain; it is allocated if there is none yet. SW_DOMAIN_NONE: all are in
 * use. The caller ensures that there is that bridge and that vlan.id < SW_VLANS. Thread: any.
 */
uint16_t sw_domain_of(struct sw *sw, struct sw_vlan vlan);
/* As sw_domain_of, but allocates none. SW_DOMAIN_NONE: the VLAN has no number. Thread: any. */
uint16_t sw_domain_find(const struct sw *sw, struct sw_vlan vlan);
/* As sw_domain_of, and the number is freed with its bridge only: for static entries. */
uint16_t sw_domain_keep(struct sw *sw, struct sw_vlan vlan);
/* The VLAN of a domain. Thread: any. */
struct sw_vlan sw_domain_vlan(const struct sw *sw, uint16_t domain);

/*
 * Make the port a member of the domain of VLAN `vlan`, of its bridge and its kind of tag, as
 * SW_FORM_UNTAGGED or SW_FORM_TAGGED. A port has at most one untagged membership; VLAN 0 has no
 * tag. Returns 0; -EINVAL; -EEXIST: the port has another untagged membership; -ENOSPC: no number is
 * free; -ENOMEM.
 */
int sw_domain_join(struct sw *sw, struct port *port, uint16_t vlan, enum sw_form form);
/*
 * End a membership; no effect if the port is not a member. A port that leaves its last domain is
 * transparent again.
 */
void sw_domain_leave(struct sw *sw, struct port *port, uint16_t vlan);

/* The VLAN of the port's untagged membership; 0: it has none. */
uint16_t sw_domain_untagged(const struct sw *sw, const struct port *port);

/*
 * Free the numbers of VLANs that were silent for `idle_s` seconds or longer and have no members of
 * their own. Returns how many were freed.
 */
unsigned sw_domain_reclaim(struct sw *sw, uint32_t idle_s);
