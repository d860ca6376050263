/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Large TCP and UDP packets of every kind, and a checker of what becomes of them. The checker knows
 * the headers by itself and shares no code with lib/frame.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "rw_base.h"
#include "rw_virtio_net.h"

#define GSO_PACKET_MAX (65535 + 18)

struct gso_spec {
	bool ipv6, udp;
	uint8_t tags;        /* 0 to 2 VLAN tags */
	uint8_t ip_options;  /* IPv4: bytes, a multiple of 4 up to 40; IPv6: of 8 */
	uint8_t tcp_options; /* bytes, a multiple of 4 up to 40 */
	uint8_t tcp_flags;
	uint16_t id; /* IPv4 */
	uint32_t seq;
	uint32_t payload; /* bytes */
};

/* Where the headers of a packet are. */
struct gso_place {
	uint32_t net, transport, payload;
};

static inline struct gso_place gso_place_of(const struct gso_spec *s)
{
	struct gso_place p = {.net = 14 + s->tags * 4u};

	p.transport = p.net + (s->ipv6 ? 40 : 20) + s->ip_options;
	p.payload = p.transport + (s->udp ? 8 : 20u + s->tcp_options);
	return p;
}

/*
 * What a guest says of the packet: that its checksum is partial and, with a `size`, that it is to
 * be cut into segments of so many bytes.
 */
static inline struct virtio_net_hdr gso_header(const struct gso_spec *s, uint16_t size)
{
	struct virtio_net_hdr hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)gso_place_of(s).transport,
		.csum_offset = s->udp ? 6 : 16};

	if (!size)
		return hdr;
	hdr.gso_size = size;
	hdr.hdr_len = (uint16_t)gso_place_of(s).payload;
	hdr.gso_type = s->udp ? VIRTIO_NET_HDR_GSO_UDP_L4
		: s->ipv6     ? VIRTIO_NET_HDR_GSO_TCPV6
			      : VIRTIO_NET_HDR_GSO_TCPV4;
	if (!s->udp && s->tcp_flags & 0x80)
		hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	return hdr;
}

static inline void gso_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t gso_get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t gso_get32(const uint8_t *p)
{
	return gso_get16(p) << 16 | gso_get16(p + 2);
}

/* The sum of RFC 1071, word by word. */
static inline uint16_t gso_sum(const uint8_t *p, uint32_t n, uint32_t sum)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8, sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* The pseudo header of a packet whose transport part has `len` bytes. */
static inline uint16_t gso_pseudo(const uint8_t *ip, bool ipv6, bool udp, uint32_t len)
{
	uint32_t sum = (udp ? 17 : 6) + (len >> 16) + (len & 0xffff);

	sum = (sum & 0xffff) + (sum >> 16);
	return ipv6 ? gso_sum(ip + 8, 32, sum) : gso_sum(ip + 12, 8, sum);
}

/* IPv6 extension headers of `len` bytes in all: hop by hop, then destination options. */
static inline void gso_put_extensions(uint8_t *p, uint32_t len, uint8_t proto)
{
	uint32_t first = RW_MIN(len, 8u), rest = len - first;

	memset(p, 0, len);
	p[0] = rest ? 60 : proto;
	p[2] = 1; /* PadN */
	p[3] = 4;
	if (!rest)
		return;
	p[first] = proto;
	p[first + 1] = (uint8_t)(rest / 8 - 1);
}

static inline void gso_put_ip(const struct gso_spec *s, uint8_t *ip, uint32_t len)
{
	uint8_t proto = s->udp ? 17 : 6;

	if (s->ipv6) {
		ip[0] = 0x60;
		ip[3] = 0x07;
		gso_put16(ip + 4, len - 40);
		ip[6] = s->ip_options ? 0 : proto;
		ip[7] = 64;
		for (unsigned i = 0; i < 32; i++)
			ip[8 + i] = (uint8_t)(0xfd + i * 3);
		if (s->ip_options)
			gso_put_extensions(ip + 40, s->ip_options, proto);
		return;
	}
	ip[0] = (uint8_t)(0x40 | (20 + s->ip_options) / 4);
	ip[1] = 0xb8;
	gso_put16(ip + 2, len);
	gso_put16(ip + 4, s->id);
	ip[6] = 0x40; /* may not be fragmented */
	ip[8] = 63;
	ip[9] = proto;
	memcpy(ip + 12, (uint8_t[8]){10, 0, 0, 1, 10, 0, 0, 254}, 8);
	memset(ip + 20, 1, s->ip_options); /* no operation */
	gso_put16(ip + 10, (uint16_t)~gso_sum(ip, 20u + s->ip_options, 0));
}

/* Write the packet with a partial checksum. Returns its length. */
static inline uint32_t gso_build(const struct gso_spec *s, uint8_t *out)
{
	const struct gso_place at = gso_place_of(s);
	uint32_t len = at.payload + s->payload;
	uint8_t *t = out + at.transport;

	memset(out, 0, at.payload);
	memcpy(out, (uint8_t[12]){2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, 12);
	for (unsigned i = 0; i < s->tags; i++) {
		gso_put16(out + 12 + 4 * i, i + 1 < s->tags ? 0x88a8 : 0x8100);
		gso_put16(out + 14 + 4 * i, 100 + i);
	}
	gso_put16(out + at.net - 2, s->ipv6 ? 0x86dd : 0x0800);
	gso_put_ip(s, out + at.net, len - at.net);
	gso_put16(t, 4321);
	gso_put16(t + 2, 80);
	if (s->udp) {
		gso_put16(t + 4, len - at.transport);
	} else {
		gso_put16(t + 4, s->seq >> 16);
		gso_put16(t + 6, s->seq);
		gso_put16(t + 8, 0x1234);
		t[12] = (uint8_t)((20 + s->tcp_options) / 4 << 4);
		t[13] = s->tcp_flags;
		gso_put16(t + 14, 512);
		memset(t + 20, 1, s->tcp_options);
	}
	gso_put16(t + (s->udp ? 6 : 16),
		gso_pseudo(out + at.net, s->ipv6, s->udp, len - at.transport));
	for (uint32_t i = 0; i < s->payload; i++)
		out[at.payload + i] = (uint8_t)(i * 7 + (i >> 8));
	return len;
}

/* A mistake in a frame, as text; NULL: there is none. */
#define GSO_EXPECT(what)              \
	do {                          \
		if (!(what))          \
			return #what; \
	} while (0)

/* That the IP header of segment `nth` is right. */
static inline const char *gso_check_ip(const struct gso_spec *s, const uint8_t *whole,
	const uint8_t *out, uint32_t len, uint32_t nth)
{
	const struct gso_place at = gso_place_of(s);
	const uint8_t *ip = out + at.net, *was = whole + at.net;

	GSO_EXPECT(!memcmp(out, whole, at.net));
	if (s->ipv6) {
		GSO_EXPECT(gso_get16(ip + 4) == len - at.net - 40);
		GSO_EXPECT(!memcmp(ip, was, 4));
		GSO_EXPECT(!memcmp(ip + 6, was + 6, at.transport - at.net - 6));
		return NULL;
	}
	GSO_EXPECT(gso_get16(ip + 2) == len - at.net);
	GSO_EXPECT(gso_get16(ip + 4) == ((s->id + nth) & 0xffff));
	GSO_EXPECT(gso_sum(ip, 20u + s->ip_options, 0) == 0xffff);
	GSO_EXPECT(!memcmp(ip, was, 2));
	GSO_EXPECT(!memcmp(ip + 6, was + 6, 4));
	GSO_EXPECT(!memcmp(ip + 12, was + 12, at.transport - at.net - 12));
	return NULL;
}

/* That the TCP or UDP header of a segment is, whose payload begins at `done` of the whole. */
static inline const char *gso_check_transport(const struct gso_spec *s, const uint8_t *whole,
	const uint8_t *out, uint32_t len, uint32_t done)
{
	const struct gso_place at = gso_place_of(s);
	const uint8_t *t = out + at.transport, *was = whole + at.transport;
	bool last = done + len - at.payload == s->payload;
	uint8_t flags = s->tcp_flags;

	GSO_EXPECT(!memcmp(t, was, 4));
	if (s->udp) {
		GSO_EXPECT(gso_get16(t + 4) == len - at.transport);
		return NULL;
	}
	if (!last)
		flags &= (uint8_t)~0x09; /* FIN, PSH */
	if (done)
		flags &= 0x7f; /* CWR */
	GSO_EXPECT(gso_get32(t + 4) == s->seq + done);
	GSO_EXPECT(!memcmp(t + 8, was + 8, 5));
	GSO_EXPECT(t[13] == flags);
	GSO_EXPECT(!memcmp(t + 14, was + 14, 2));
	GSO_EXPECT(!memcmp(t + 18, was + 18, 2u + s->tcp_options));
	return NULL;
}

/*
 * Check segment `nth`, of which the payload begins at `*done` of the whole, and advance that.
 * `partial`: its checksum is left to the receiver.
 */
static inline const char *gso_check(const struct gso_spec *s, const uint8_t *whole,
	const uint8_t *out, uint32_t len, uint32_t nth, uint32_t *done, bool partial)
{
	const struct gso_place at = gso_place_of(s);
	uint32_t pseudo = gso_pseudo(out + at.net, s->ipv6, s->udp, len - at.transport);
	uint32_t field = gso_get16(out + at.transport + (s->udp ? 6 : 16));
	const char *bad;

	GSO_EXPECT(len >= at.payload);
	GSO_EXPECT(*done + len - at.payload <= s->payload);
	bad = gso_check_ip(s, whole, out, len, nth);
	if (!bad)
		bad = gso_check_transport(s, whole, out, len, *done);
	if (bad)
		return bad;
	if (partial) {
		GSO_EXPECT(field == pseudo);
	} else {
		GSO_EXPECT(gso_sum(out + at.transport, len - at.transport, pseudo) == 0xffff);
		GSO_EXPECT(!s->udp || field);
	}
	GSO_EXPECT(!memcmp(out + at.payload, whole + at.payload + *done, len - at.payload));
	*done += len - at.payload;
	return NULL;
}
