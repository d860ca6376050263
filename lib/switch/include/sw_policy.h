/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Port policies: what the switch refuses of a port's frames, each under a drop reason of its own.
 * They hold in the mode SW_FORWARD_SWITCH. A port without a policy costs its worker one comparison
 * for each burst.
 *
 * This header does not depend on EAL, so that the command line can use it.
 */
#include "rw_base.h"

#define SW_POLICY_MACS      16
#define SW_POLICY_ADDRESSES 32

/* The IP addresses that begin with the first `len` bits of `bytes`; the other bits are 0. */
struct sw_prefix {
	uint8_t bytes[16]; /* IPv4: 4 */
	uint8_t len;
	bool ipv6;
};

/* What storm control tells apart. */
enum sw_storm {
	SW_STORM_BROADCAST,
	SW_STORM_MULTICAST,
	SW_STORM_UNKNOWN, /* unicast to addresses that nobody knows */
	SW_STORMS
};

/* A limit, for the port as a whole. */
struct sw_rate {
	uint64_t per_s; /* bytes or frames; 0: no limit. Bytes have the Ethernet header, no FCS */
	uint64_t burst; /* of the same; 0: sw_rate_burst says how many */
	bool frames;
};

/* A burst of 10 ms, but at least 128 KiB; of frames, of 100 ms, but at least 16. */
static inline uint64_t sw_rate_burst(const struct sw_rate *r)
{
	if (r->burst)
		return r->burst;
	if (r->frames)
		return RW_MAX(r->per_s / 10, UINT64_C(16));
	return RW_MAX(r->per_s / 100, UINT64_C(131072));
}

enum sw_mrouter {
	SW_MROUTER_AUTO, /* one whose queries come from there */
	SW_MROUTER_ON,   /* always */
	SW_MROUTER_OFF,  /* never: queries from there are no sign of one */
};

/* What a port may do. All zero: a port without a policy. */
struct sw_policy {
	/*
	 * Administratively down: frames from it and to it are dropped (admin_down), and its link is
	 * down.
	 */
	bool down;
	/*
	 * Frames go between an isolated port and a promiscuous one, or one that leads out of this
	 * host (struct port, `uplink`), and between no other two of which one is isolated.
	 */
	bool isolated;
	bool promiscuous;

	/*
	 * What the port may pretend to be; 0 of them: anything. Its frames must have one of these
	 * source addresses (spoofed_mac), ARP and neighbour discovery included: there the sender's
	 * hardware address and the link-layer address options. The host of a single one is taken to
	 * be there when the port's link comes up, unless it may still be behind another port whose
	 * link is up; then once that link ends.
	 */
	uint8_t nmacs;
	uint8_t macs[SW_POLICY_MACS][6];
	/*
	 * IP packets must come from one of these addresses, and ARP and neighbour discovery must
	 * claim no others (spoofed_ip). What asks for an address is allowed: DHCP from 0.0.0.0, ARP
	 * probes, and from the unspecified IPv6 address solicitations and MLD reports.
	 */
	uint8_t naddresses;
	struct sw_prefix addresses[SW_POLICY_ADDRESSES];
	/* It is no DHCP server: from UDP port 67, of IPv6 547, comes nothing (dhcp_server). */
	bool no_dhcp_server;
	/* It is no router: it advertises none (ICMPv6 type 134; router_advertisement). */
	bool no_router;

	/* What it may send at most of each kind (storm_broadcast, ...), and of all (rate_limit). */
	struct sw_rate storm[SW_STORMS];
	struct sw_rate rx;
	/* What it may receive at most (rate_limit). */
	struct sw_rate tx;
	/*
	 * Longer packets do not go in or out (mtu_exceeded); 0: all go. Of a large segment each
	 * part counts. Ethernet header and VLAN tag do not count.
	 */
	uint16_t mtu;
	/* Bit i: frames from the port to 01:80:c2:00:00:0i are forwarded; else reserved_address. */
	uint16_t link_local;
	/* Offloads that the port does not use though its guest takes them: FRAME_TAKES_* bits. */
	uint8_t refuses_offload;
	/* Nothing is learned behind the port: frames to it are flooded. */
	bool no_learning;
	/*
	 * Frames of hosts beyond the port's limit of addresses are dropped (address_limit), and the
	 * hosts that are known stay. Otherwise the port's oldest is forgotten for them.
	 */
	bool drop_excess;
	/*
	 * Whether a multicast router is behind the port (sw_snoop.h): SW_MROUTER_AUTO is found out
	 * from its queries.
	 */
	enum sw_mrouter mrouter;
};

struct sw;
struct port;

/*
 * Set the port's policy, in effect on return. A port that goes down forgets the addresses that were
 * learned behind it. Frames between other ports are not touched. 0; or -ENOMEM, and the policy is
 * as before. Thread: control.
 */
int sw_policy_set(struct sw *sw, struct port *port, const struct sw_policy *policy);
