/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * IGMP and MLD: what hosts and routers say about multicast groups. IGMPv1 (RFC 1112), v2 (RFC
 * 2236) and v3 (RFC 3376), MLDv1 (RFC 2710) and v2 (RFC 3810). Sources are not told apart: a host
 * wants a group, or it does not.
 *
 * Thread: the worker that polled the frame.
 */
#include "frame.h"

/* As many as fit the longest head. */
#define FRAME_GROUPS_MAX 32

enum frame_group_what {
	FRAME_GROUP_NONE,  /* neither IGMP nor MLD */
	FRAME_GROUP_BAD,   /* it breaks a rule, checksum included: nobody believes it */
	FRAME_GROUP_QUERY, /* a router asks who wants a group, or any */
	FRAME_GROUP_REPORT /* a host wants groups, or wants them no more */
};

struct frame_group_record {
	uint8_t address[16]; /* of the group; IPv4: 4 bytes, then zeros */
	bool leaves;         /* it wants the group no more */
};

struct frame_group {
	uint8_t what; /* enum frame_group_what */
	bool ipv6;
	uint8_t version; /* of the protocol */

	/* A query. Seconds are rounded up; what a version does not say has its default. */
	uint8_t source[16];  /* the router's address, as in struct frame_group_record */
	uint8_t address[16]; /* of the group that is asked for; all zero: any */
	uint32_t response_s; /* hosts answer within so many */
	uint32_t interval_s; /* from one general query to the next */
	uint8_t robustness;  /* so many in a row may get lost */

	/* A report. */
	bool cut; /* it goes on beyond the longest head: the groups are not known */
	uint8_t nrecords;
	struct frame_group_record records[FRAME_GROUPS_MAX];
};

/* Without a router that says otherwise (RFC 3376, 8; RFC 3810, 9). */
#define FRAME_GROUP_ROBUSTNESS 2
#define FRAME_GROUP_INTERVAL_S 125
#define FRAME_GROUP_RESPONSE_S 10

/*
 * Read a frame, whose head is extended if need be. Of a frame that is none, only out->what is
 * written.
 */
void frame_group_read(struct frame *f, struct frame_group *out);

/* The Ethernet address to which frames for a group go. */
void frame_group_mac(bool ipv6, const uint8_t address[16], uint8_t mac[6]);

/* Whether an Ethernet address is one of a group of IPv4 (01:00:5e) or IPv6 (33:33). */
static inline bool frame_is_ipv4_group(const uint8_t dst[6])
{
	return dst[0] == 0x01 && dst[1] == 0x00 && dst[2] == 0x5e && !(dst[3] & 0x80);
}

static inline bool frame_is_ipv6_group(const uint8_t dst[6])
{
	return dst[0] == 0x33 && dst[1] == 0x33;
}
