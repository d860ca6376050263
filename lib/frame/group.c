/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_group.h"

#include <linux/virtio_net.h>

#include "frame_parse.h"

#define PROTO_IGMP 2

#define IGMP_QUERY     0x11
#define IGMP_REPORT_1  0x12
#define IGMP_REPORT_2  0x16
#define IGMP_LEAVE     0x17
#define IGMP_REPORT_3  0x22
#define IGMP_LEN       8
#define IGMP_QUERY_3   12 /* bytes of a query of version 3, without sources */
#define IGMP_GROUP_AT  4
#define IGMP_RECORD_AT 8

#define MLD_QUERY    130
#define MLD_REPORT   131
#define MLD_DONE     132
#define MLD_REPORT_2 143
#define MLD_LEN      24
#define MLD_QUERY_2  28
#define MLD_GROUP_AT 8

/* Records of version 3 (2 of MLD). */
#define RECORD_IS_INCLUDE 1
#define RECORD_IS_EXCLUDE 2
#define RECORD_TO_INCLUDE 3
#define RECORD_TO_EXCLUDE 4
#define RECORD_ALLOW      5
#define RECORD_BLOCK      6

/* A message that is in the head as a whole, unless `cut`. */
struct message {
	const uint8_t *p;
	uint32_t len;
	bool cut;
	bool ipv6;
	uint8_t address_len;
};

static bool is_zero(const uint8_t *p, size_t n)
{
	static const uint8_t zero[16];

	return !__builtin_memcmp(p, zero, n);
}

static bool is_multicast(const struct message *m, const uint8_t *address)
{
	return m->ipv6 ? address[0] == 0xff : address[0] >> 4 == 0xe;
}

/* The ones' complement sum of RFC 1071 over bytes, of which the last may be odd. */
static uint32_t sum_add(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i + 1 < n; i += 2)
		sum += frame_load16(p + i);
	return n & 1 ? sum + (uint32_t)(p[n - 1] << 8) : sum;
}

static bool sum_is_good(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* A number of `bits` in which large ones are a mantissa and an exponent (RFC 3376, 4.1.1). */
static uint32_t code_read(uint32_t code, unsigned bits)
{
	uint32_t flag = UINT32_C(1) << (bits - 1), ones = UINT32_C(1) << (bits - 4);

	if (code < flag)
		return code;
	return ((code & (ones - 1)) | ones) << ((code >> (bits - 4) & 7) + 3);
}

static uint32_t seconds(uint32_t n, uint32_t in_a_second)
{
	return (n + in_a_second - 1) / in_a_second;
}

static void bad(struct frame_group *out)
{
	*out = (struct frame_group){.what = FRAME_GROUP_BAD, .ipv6 = out->ipv6};
}

/* What versions 3 and 2 say at `at`: robustness and interval. */
static void intervals_read(const uint8_t *at, struct frame_group *out)
{
	if (at[0] & 7)
		out->robustness = at[0] & 7;
	if (at[1])
		out->interval_s = code_read(at[1], 8);
}

static void query_read(const struct message *m, struct frame_group *out)
{
	uint32_t at = m->ipv6 ? MLD_GROUP_AT : IGMP_GROUP_AT;
	uint32_t first = m->ipv6 ? MLD_LEN : IGMP_LEN, later = m->ipv6 ? MLD_QUERY_2 : IGMP_QUERY_3;
	uint32_t code = m->ipv6 ? frame_load16(m->p + 4) : m->p[1];

	if (m->cut || (m->len != first && m->len < later))
		return bad(out);
	out->what = FRAME_GROUP_QUERY;
	out->robustness = FRAME_GROUP_ROBUSTNESS;
	out->interval_s = FRAME_GROUP_INTERVAL_S;
	out->version = m->len != first ? 2 : 1;
	if (!m->ipv6)
		out->version = m->len != first ? 3 : code ? 2 : 1;
	if (m->len != first) {
		code = code_read(code, m->ipv6 ? 16 : 8);
		intervals_read(m->p + first, out);
	}
	out->response_s = seconds(code, m->ipv6 ? 1000 : 10);
	if (!m->ipv6 && out->version == 1)
		out->response_s = FRAME_GROUP_RESPONSE_S;
	__builtin_memcpy(out->address, m->p + at, m->address_len);
	if (!is_zero(out->address, 16) && !is_multicast(m, out->address))
		bad(out);
}

/* Note that a group is wanted, or not. */
static void record_add(
	const struct message *m, struct frame_group *out, const uint8_t *address, bool leaves)
{
	struct frame_group_record *r;

	if (out->what == FRAME_GROUP_BAD || !is_multicast(m, address))
		return bad(out);
	if (out->nrecords == FRAME_GROUPS_MAX) {
		out->cut = true;
		return;
	}
	r = &out->records[out->nrecords++];
	*r = (struct frame_group_record){.leaves = leaves};
	__builtin_memcpy(r->address, address, m->address_len);
}

/* A report of one group. */
static void single_read(
	const struct message *m, struct frame_group *out, uint8_t version, bool leaves)
{
	if (m->cut || m->len < (m->ipv6 ? MLD_LEN : IGMP_LEN))
		return bad(out);
	out->what = FRAME_GROUP_REPORT;
	out->version = version;
	record_add(m, out, m->p + (m->ipv6 ? MLD_GROUP_AT : IGMP_GROUP_AT), leaves);
}

/* A report of many groups. */
static void records_read(const struct message *m, struct frame_group *out, uint8_t version)
{
	uint32_t n = frame_load16(m->p + 6), at = IGMP_RECORD_AT;

	out->what = FRAME_GROUP_REPORT;
	out->version = version;
	out->cut = m->cut;
	for (uint32_t i = 0; !m->cut && i < n && out->what == FRAME_GROUP_REPORT; i++) {
		const uint8_t *r = m->p + at;
		uint32_t sources;

		if (at + 4 + m->address_len > m->len)
			return bad(out);
		sources = frame_load16(r + 2);
		at += 4 + m->address_len * (1 + sources) + r[1] * 4u;
		if (at > m->len || r[0] < RECORD_IS_INCLUDE || r[0] > RECORD_BLOCK)
			return bad(out);
		if (r[0] == RECORD_IS_EXCLUDE || r[0] == RECORD_TO_EXCLUDE ||
			(r[0] != RECORD_BLOCK && sources))
			record_add(m, out, r + 4, false);
		else if (r[0] == RECORD_TO_INCLUDE)
			record_add(m, out, r + 4, true);
		else if (!is_multicast(m, r + 4))
			return bad(out);
	}
}

/*
 * Have the message at `at`, `len` bytes, in the head. False: it is not in the frame, or shorter
 * than any.
 */
static bool message_take(struct frame *f, uint32_t at, uint32_t len, struct message *m)
{
	if (len < IGMP_LEN || at + len > f->len || !frame_reaches(f, at + IGMP_LEN))
		return false;
	m->cut = !frame_reaches(f, at + len);
	m->p = f->head + at;
	m->len = len;
	return true;
}

static void igmp_read(struct frame *f, const struct frame_headers *h, struct frame_group *out)
{
	const uint8_t *ip = f->head + h->net_at;
	uint32_t total = frame_load16(ip + 2), header = (ip[0] & 0xfu) * 4;
	struct message m = {.address_len = 4};

	*out = (struct frame_group){0};
	/* A fragment may be anything. */
	if (h->cut || h->later || frame_load16(ip + 6) & 0x2000 || total < header ||
		!message_take(f, h->transport_at, total - header, &m))
		return bad(out);
	if (!m.cut && !sum_is_good(sum_add(0, m.p, m.len)))
		return bad(out);
	__builtin_memcpy(out->source, ip + 12, 4);
	switch (m.p[0]) {
	case IGMP_QUERY:
		return query_read(&m, out);
	case IGMP_REPORT_1:
	case IGMP_REPORT_2:
		return single_read(&m, out, m.p[0] == IGMP_REPORT_1 ? 1 : 2, false);
	case IGMP_LEAVE:
		return single_read(&m, out, 2, true);
	case IGMP_REPORT_3:
		return records_read(&m, out, 3);
	default:
		break; /* DVMRP, PIM version 1 and others */
	}
}

static bool mld_sum_is_good(const uint8_t *ip, const struct message *m)
{
	uint32_t sum = sum_add(m->len + FRAME_PROTO_ICMPV6, ip + 8, 32);

	return sum_is_good(sum_add(sum, m->p, m->len));
}

/*
 * Whether the message is from the link, behind a router alert (RFC 3810, 5). A host without an
 * address reports from "::" (RFC 3590).
 */
static bool mld_is_local(const uint8_t *ip, uint8_t type)
{
	bool local = ip[8] == 0xfe && (ip[9] & 0xc0) == 0x80;

	return ip[6] == 0 && ip[7] == 1 && (local || (type != MLD_QUERY && is_zero(ip + 8, 16)));
}

static void mld_read(struct frame *f, const struct frame_headers *h, struct frame_group *out)
{
	const uint8_t *ip = f->head + h->net_at;
	uint32_t end = h->net_at + 40u + frame_load16(ip + 4);
	struct message m = {.address_len = 16, .ipv6 = true};
	uint8_t type;

	if (!frame_reaches(f, h->transport_at + 1u))
		return;
	type = f->head[h->transport_at];
	if (type != MLD_REPORT_2 && (type < MLD_QUERY || type > MLD_DONE))
		return;
	*out = (struct frame_group){.ipv6 = true};
	if (!mld_is_local(ip, type) || end < h->transport_at)
		return bad(out);
	if (!message_take(f, h->transport_at, end - h->transport_at, &m) ||
		(!m.cut && !(f->offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
			!mld_sum_is_good(ip, &m)))
		return bad(out);
	__builtin_memcpy(out->source, ip + 8, 16);
	if (type == MLD_QUERY)
		query_read(&m, out);
	else if (type == MLD_REPORT_2)
		records_read(&m, out, 2);
	else
		single_read(&m, out, 1, type == MLD_DONE);
}

void frame_group_read(struct frame *f, struct frame_group *out)
{
	struct frame_headers h;

	out->what = FRAME_GROUP_NONE; /* the rest is written for those that are one */
	frame_parse(f, &h);
	if (h.net == FRAME_NET_IPV4 && h.proto == PROTO_IGMP)
		igmp_read(f, &h, out);
	else if (h.net == FRAME_NET_IPV6 && h.proto == FRAME_PROTO_ICMPV6 && !h.cut && !h.later)
		mld_read(f, &h, out);
}

void frame_group_mac(bool ipv6, const uint8_t address[16], uint8_t mac[6])
{
	const uint8_t v4[6] = {0x01, 0x00, 0x5e, address[1] & 0x7f, address[2], address[3]};
	const uint8_t v6[6] = {0x33, 0x33, address[12], address[13], address[14], address[15]};

	__builtin_memcpy(mac, ipv6 ? v6 : v4, 6);
}
