/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Where a frame's headers are, for rules about what a guest may send. Only the copied head is read.
 * It is extended once, to FRAME_PULL_MAX bytes, if a header lies beyond it.
 *
 * A receiver may be more tolerant than the sender of honest frames has to be. So the parser walks
 * any number of VLAN tags of any kind, LLC/SNAP headers in front of an EtherType (VU#855201), IPv4
 * options, and IPv6 extension headers (RFC 7112, RFC 7113). What does not fit the head is said to
 * be cut: whoever has a rule about it refuses it. What tunnels carry is payload.
 *
 * Thread: the worker that polled the frame.
 */
#include "frame.h"

enum frame_net {
	FRAME_NET_OTHER, /* none of these */
	FRAME_NET_ARP,   /* and RARP */
	FRAME_NET_IPV4,
	FRAME_NET_IPV6,
	FRAME_NET_CUT, /* there may be any, and its fixed header is not in the head */
};

#define FRAME_PROTO_ICMP   1
#define FRAME_PROTO_UDP    17
#define FRAME_PROTO_ICMPV6 58

struct frame_headers {
	uint8_t net;     /* enum frame_net */
	uint8_t proto;   /* IP: what the transport header is */
	bool later;      /* IP: a fragment behind the first one, which has no transport header */
	bool cut;        /* IP: the headers in front of the transport header are not in the head */
	uint16_t net_at; /* the network header's place, bytes from the frame's start */
	uint16_t transport_at; /* IP, unless `later` or `cut` */
};

/* Find the headers. */
void frame_parse(struct frame *f, struct frame_headers *h);

/*
 * Whether the first `end` bytes of the frame are in the head, which is extended if need be. False:
 * the frame is shorter, or longer than what a head can be.
 */
static inline bool frame_reaches(struct frame *f, uint32_t end)
{
	return rw_likely(end <= f->head_len) ||
		(end <= f->len && end <= FRAME_PULL_MAX && frame_pull(f, FRAME_PULL_MAX) >= end);
}

/* The big-endian number of two bytes at `p`. */
static inline uint16_t frame_load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
