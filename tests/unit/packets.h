/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Frames of common protocols, put together piece by piece. */
#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#define PACKET_MAX 512

struct packet {
	uint8_t bytes[PACKET_MAX];
	uint32_t len;
};

static inline void packet_add(struct packet *p, const void *bytes, uint32_t n)
{
	memcpy(p->bytes + p->len, bytes, n);
	p->len += n;
}

static inline void packet_zeros(struct packet *p, uint32_t n)
{
	memset(p->bytes + p->len, 0, n);
	p->len += n;
}

static inline void packet_u16(struct packet *p, unsigned v)
{
	packet_add(p, (uint8_t[2]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

/* The addresses alone. */
static inline struct packet packet_of(const uint8_t dst[6], const uint8_t src[6])
{
	struct packet p = {.len = 0};

	packet_add(&p, dst, 6);
	packet_add(&p, src, 6);
	return p;
}

/* A tag, or any EtherType and two bytes. */
static inline void packet_tag(struct packet *p, unsigned type, unsigned tci)
{
	packet_u16(p, type);
	packet_u16(p, tci);
}

/* LLC and SNAP; the EtherType follows. */
static inline void packet_snap(struct packet *p)
{
	packet_u16(p, 100);
	packet_add(p, (uint8_t[6]){0xaa, 0xaa, 3, 0, 0, 0}, 6);
}

/* EtherType and IPv4 header; `fragment` is the field of flags and offset. */
static inline void packet_ipv4(struct packet *p, const char *src, uint8_t proto, unsigned fragment)
{
	packet_u16(p, 0x0800);
	packet_add(p, (uint8_t[4]){0x45, 0, 0, 100}, 4);
	packet_u16(p, 1);
	packet_u16(p, fragment);
	packet_add(p, (uint8_t[4]){64, proto, 0, 0}, 4);
	inet_pton(AF_INET, src, p->bytes + p->len);
	p->len += 4;
	packet_add(p, (uint8_t[4]){10, 0, 0, 99}, 4);
}

static inline void packet_udp(struct packet *p, unsigned from, unsigned to)
{
	packet_u16(p, from);
	packet_u16(p, to);
	packet_u16(p, 16);
	packet_u16(p, 0);
	packet_zeros(p, 8);
}

/* EtherType and IPv6 header; call packet_ipv6_end when the packet is complete. */
static inline void packet_ipv6(struct packet *p, const char *src, uint8_t next)
{
	packet_u16(p, 0x86dd);
	packet_add(p, (uint8_t[8]){0x60, 0, 0, 0, 0, 0, next, 255}, 8);
	inet_pton(AF_INET6, src, p->bytes + p->len);
	p->len += 16;
	inet_pton(AF_INET6, "ff02::1", p->bytes + p->len);
	p->len += 16;
}

/* The payload length of the IPv6 header whose EtherType is at `at`. */
static inline void packet_ipv6_end(struct packet *p, uint32_t at)
{
	p->bytes[at + 7] = (uint8_t)(p->len - at - 42);
	p->bytes[at + 6] = (uint8_t)((p->len - at - 42) >> 8);
}

/* An extension header of `units` times 8 bytes. */
static inline void packet_extension(struct packet *p, uint8_t next, unsigned units)
{
	packet_add(p, (uint8_t[2]){next, (uint8_t)(units - 1)}, 2);
	packet_zeros(p, units * 8 - 2);
}

/* A fragment header; `offset` in bytes. */
static inline void packet_fragment(struct packet *p, uint8_t next, unsigned offset)
{
	packet_add(p, (uint8_t[2]){next, 0}, 2);
	packet_u16(p, offset);
	packet_zeros(p, 4);
}

/* ICMPv6 up to its options: neighbour discovery of that type about `target`. */
static inline void packet_nd(struct packet *p, uint8_t type, const char *target)
{
	packet_add(p, (uint8_t[8]){type}, 8);
	if (type == 134) {
		packet_zeros(p, 8);
	} else if (target) {
		inet_pton(AF_INET6, target, p->bytes + p->len);
		p->len += 16;
	}
}

/* A link-layer address option: 1 of the source, 2 of the target. */
static inline void packet_nd_mac(struct packet *p, uint8_t option, const uint8_t mac[6])
{
	packet_add(p, (uint8_t[2]){option, 1}, 2);
	packet_add(p, mac, 6);
}

/* EtherType and ARP: a request in which the sender says that `ip` is at `mac`. */
static inline void packet_arp(struct packet *p, const uint8_t mac[6], const char *ip)
{
	packet_u16(p, 0x0806);
	packet_add(p, (uint8_t[8]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
	packet_add(p, mac, 6);
	inet_pton(AF_INET, ip, p->bytes + p->len);
	p->len += 4;
	packet_zeros(p, 6);
	packet_add(p, (uint8_t[4]){10, 0, 0, 1}, 4);
}

/* To Ethernet's least length. */
static inline void packet_pad(struct packet *p)
{
	if (p->len < 60)
		packet_zeros(p, 60 - p->len);
}
