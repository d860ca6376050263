/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* IGMP and MLD messages as frames, with good checksums. */
#include "packets.h"

static inline uint32_t sum16(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static inline void sum_store(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	at[0] = (uint8_t)(~sum >> 8);
	at[1] = (uint8_t)~sum;
}

/* The Ethernet address of a group. */
static inline void group_mac(const char *group, uint8_t mac[6])
{
	uint8_t ip[16];

	if (strchr(group, ':')) {
		inet_pton(AF_INET6, group, ip);
		memcpy(mac, (uint8_t[6]){0x33, 0x33, ip[12], ip[13], ip[14], ip[15]}, 6);
	} else {
		inet_pton(AF_INET, group, ip);
		memcpy(mac, (uint8_t[6]){1, 0, 0x5e, ip[1] & 0x7f, ip[2], ip[3]}, 6);
	}
}

/* An IGMP message of `len` bytes, behind IPv4 with a router alert. */
static inline struct packet packet_igmp(
	const uint8_t mac[6], const char *from, const char *to, const void *msg, uint32_t len)
{
	uint8_t dst[6], ip[4];
	struct packet p;

	inet_pton(AF_INET, to, ip);
	group_mac(to, dst);
	p = packet_of(dst, mac);
	packet_u16(&p, 0x0800);
	packet_add(&p, (uint8_t[2]){0x46, 0xc0}, 2);
	packet_u16(&p, 24 + len);
	packet_add(&p, (uint8_t[8]){0, 0, 0, 0, 1, 2, 0, 0}, 8);
	inet_pton(AF_INET, from, p.bytes + p.len);
	memcpy(p.bytes + p.len + 4, ip, 4);
	p.len += 8;
	packet_add(&p, (uint8_t[4]){0x94, 4, 0, 0}, 4);
	packet_add(&p, msg, len);
	memset(p.bytes + 40, 0, 2);
	sum_store(p.bytes + 40, sum16(0, p.bytes + 38, len));
	packet_pad(&p);
	return p;
}

/* The first eight bytes of any IGMP message; `group` may be NULL. */
static inline void igmp_begin(uint8_t msg[8], uint8_t type, uint8_t code, const char *group)
{
	memset(msg, 0, 8);
	msg[0] = type;
	msg[1] = code;
	if (group)
		inet_pton(AF_INET, group, msg + 4);
}

/* Version 2: a query of one group or of any (0x11), a report (0x16, 0x12), a leave (0x17). */
static inline struct packet packet_igmp2(
	const uint8_t mac[6], const char *from, uint8_t type, uint8_t code, const char *group)
{
	const char *to = type == 0x17 ? "224.0.0.2" : group ? group : "224.0.0.1";
	uint8_t msg[8];

	igmp_begin(msg, type, code, group);
	return packet_igmp(mac, from, to, msg, sizeof(msg));
}

/* Version 3: a query with robustness and interval. */
static inline struct packet packet_igmp3_query(
	const uint8_t mac[6], const char *from, uint8_t code, uint8_t robustness, uint8_t interval)
{
	uint8_t msg[12] = {0};

	igmp_begin(msg, 0x11, code, NULL);
	msg[8] = robustness;
	msg[9] = interval;
	return packet_igmp(mac, from, "224.0.0.1", msg, sizeof(msg));
}

/* Version 3: a report of `n` groups from 239.HIGH.0.0 on, each of that record type. */
static inline struct packet packet_igmp3_report(
	const uint8_t mac[6], const char *from, uint8_t type, unsigned high, unsigned n)
{
	uint8_t msg[400] = {0x22, 0, 0, 0, 0, 0, (uint8_t)(n >> 8), (uint8_t)n};

	for (unsigned i = 0; i < n; i++)
		memcpy(msg + 8 + 8 * i,
			(uint8_t[8]){
				type, 0, 0, 0, 239, (uint8_t)high, (uint8_t)(i >> 8), (uint8_t)i},
			8);
	return packet_igmp(mac, from, "224.0.0.22", msg, 8 + 8 * n);
}

/* An MLD message of `len` bytes, behind IPv6 with a router alert. */
static inline struct packet packet_mld(
	const uint8_t mac[6], const char *from, const char *to, const void *msg, uint32_t len)
{
	uint8_t dst[6], ip[16];
	struct packet p;
	uint32_t sum;

	inet_pton(AF_INET6, to, ip);
	group_mac(to, dst);
	p = packet_of(dst, mac);
	packet_ipv6(&p, from, 0);
	p.bytes[21] = 1; /* hop limit */
	memcpy(p.bytes + 38, ip, 16);
	packet_add(&p, (uint8_t[8]){58, 0, 5, 2, 0, 0, 1, 0}, 8);
	packet_add(&p, msg, len);
	packet_ipv6_end(&p, 12);
	memset(p.bytes + 64, 0, 2);
	sum = sum16(len + 58, p.bytes + 22, 32);
	sum_store(p.bytes + 64, sum16(sum, p.bytes + 62, len));
	return p;
}

/* Version 1: query (130), report (131), done (132); `group` NULL: any. */
static inline struct packet packet_mld1(
	const uint8_t mac[6], const char *from, uint8_t type, uint16_t delay_ms, const char *group)
{
	uint8_t msg[24] = {type, 0, 0, 0, (uint8_t)(delay_ms >> 8), (uint8_t)delay_ms};

	if (group)
		inet_pton(AF_INET6, group, msg + 8);
	return packet_mld(mac, from, type == 132 ? "ff02::2" : group ? group : "ff02::1", msg, 24);
}

/* Version 2: a report of one group with that record type and `sources` of them. */
static inline struct packet packet_mld2_report(
	const uint8_t mac[6], const char *from, uint8_t type, const char *group, unsigned sources)
{
	uint8_t msg[28 + 16 * 8] = {143, 0, 0, 0, 0, 0, 0, 1, type, 0, 0, (uint8_t)sources};

	inet_pton(AF_INET6, group, msg + 12);
	return packet_mld(mac, from, "ff02::16", msg, 28 + 16 * sources);
}
