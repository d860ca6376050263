/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Broadcast domains. A frame belongs to one from its arrival on: its addresses are learned and
 * looked up there, and a flood reaches the domain's members. A domain is a VLAN of the switch and
 * has a number, which stands in the FDB's keys. Numbers are given out on use and taken back late,
 * when the VLAN was silent for long.
 *
 * A port without a membership of its own is transparent: it is in every domain, the tag of a frame
 * that comes in there chooses the domain (no tag, or VLAN 0: that of VLAN 0), and frames keep the
 * form they have. A port with memberships is in those domains alone, and each says what its frames
 * look like there. So one flood serves ports with and without a tag.
 *
 * Threads: control, unless a comment says otherwise. Memberships take effect with the next
 * sw_commit.
 */
#include "sw.h"

#define SW_DOMAIN_NONE 0
#define SW_MAX_DOMAINS 65535
#define SW_VLANS       4096

/* What a port's frames look like in a domain, in both directions. */
enum sw_form {
	SW_FORM_NONE,     /* no member */
	SW_FORM_AS_IS,    /* a transparent port: tagged, but for VLAN 0 */
	SW_FORM_UNTAGGED, /* without the VLAN's tag; what comes in untagged is of this domain */
	SW_FORM_TAGGED,   /* with it */
};

/*
 * The number of a VLAN's domain, which is given out if need be; SW_DOMAIN_NONE: all are in use. The
 * caller excludes vlan >= SW_VLANS. Thread: any.
 */
uint16_t sw_domain_of(struct sw *sw, uint16_t vlan);
/* The same, but none is given out: SW_DOMAIN_NONE, it has none. Thread: any. */
uint16_t sw_domain_find(const struct sw *sw, uint16_t vlan);
/* As sw_domain_of, and it keeps its number: for static entries. */
uint16_t sw_domain_keep(struct sw *sw, uint16_t vlan);
/* The VLAN of a domain. Thread: any. */
uint16_t sw_domain_vlan(const struct sw *sw, uint16_t domain);

/*
 * Make the port a member of the VLAN's domain: SW_FORM_UNTAGGED or SW_FORM_TAGGED. A port has one
 * untagged membership at most; VLAN 0 has no tag. 0; -EINVAL; -EEXIST: it has another untagged one;
 * -ENOSPC: there is no number left; -ENOMEM.
 */
int sw_domain_join(struct sw *sw, struct port *port, uint16_t vlan, enum sw_form form);
/* Harmless when it is none. A port that leaves its last domain is transparent again. */
void sw_domain_leave(struct sw *sw, struct port *port, uint16_t vlan);

/*
 * Take back the numbers of VLANs that were silent for `idle_s` seconds or longer and have no
 * members of their own. How many.
 */
unsigned sw_domain_reclaim(struct sw *sw, uint32_t idle_s);
