/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "frame.h"

#define ETHERTYPE_IPV4  0x0800
#define ETHERTYPE_IPV6  0x86dd
#define ETHERTYPE_VLAN  0x8100
#define ETHERTYPE_SVLAN 0x88a8
#define PROTO_TCP       6
#define PROTO_UDP       17
#define PROTO_SCTP      132

static uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Mix the bits of a symmetric value. The constant is 2^64 divided by the golden ratio. */
static uint32_t mix(uint64_t v)
{
	v ^= v >> 32;
	v *= 0x9e3779b97f4a7c15ull;
	return (uint32_t)(v >> 32);
}

/* Sum of source and destination port. 0: the protocol has none or they are not in the head. */
static uint32_t ports(const struct frame *f, unsigned off, uint8_t proto)
{
	if (proto != PROTO_TCP && proto != PROTO_UDP && proto != PROTO_SCTP)
		return 0;
	if (off + 4 > f->head_len)
		return 0;
	return (uint32_t)load16(f->head + off) + load16(f->head + off + 2);
}

static uint32_t hash_ipv4(const struct frame *f, unsigned off)
{
	const uint8_t *ip = f->head + off;
	unsigned ihl = (ip[0] & 0xf) * 4u;
	bool fragment = load16(ip + 6) & 0x3fff;
	uint64_t sum = (uint64_t)load32(ip + 12) + load32(ip + 16);

	/* Later fragments have no ports, so no fragment's hash may include them. */
	return mix(sum + ((uint64_t)ip[9] << 40) +
		((uint64_t)(fragment ? 0 : ports(f, off + ihl, ip[9])) << 33));
}

static uint32_t hash_ipv6(const struct frame *f, unsigned off)
{
	const uint8_t *ip = f->head + off;
	uint64_t a = load64(ip + 8) ^ load64(ip + 24), b = load64(ip + 16) ^ load64(ip + 32);

	return mix(
		a * 3 + b + ((uint64_t)ip[6] << 40) + ((uint64_t)ports(f, off + 40, ip[6]) << 33));
}

uint32_t frame_flow_hash(const struct frame *f)
{
	uint32_t len = f->head_len;
	uint16_t type = load16(f->head + 12);
	unsigned off = 14;
	uint64_t macs;

	/* A receiver's copy may lack the outer tag, and its answers go by the same hash. */
	while ((type == ETHERTYPE_VLAN || type == ETHERTYPE_SVLAN) && len >= off + 4) {
		type = load16(f->head + off + 2);
		off += 4;
	}
	if (type == ETHERTYPE_IPV4 && len >= off + 20)
		return hash_ipv4(f, off);
	if (type == ETHERTYPE_IPV6 && len >= off + 40)
		return hash_ipv6(f, off);
	macs = (uint64_t)load32(frame_dst(f)) + load32(frame_src(f)) +
		((uint64_t)(load16(frame_dst(f) + 4) ^ load16(frame_src(f) + 4)) << 33);
	return mix(macs + ((uint64_t)type << 49));
}
