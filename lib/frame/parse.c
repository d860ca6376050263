/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame_parse.h"

#define TYPE_IPV4 0x0800
#define TYPE_ARP  0x0806
#define TYPE_RARP 0x8035
#define TYPE_IPV6 0x86dd
/* An EtherType below is the length of an LLC frame (IEEE 802.3, 3.2.6). */
#define TYPE_LEAST 0x0600

#define IPV4_LEN      20
#define IPV6_LEN      40
#define OFFSET_MASK   0x1fff /* of the IPv4 field that has flags and fragment offset */
#define OFFSET_MASK_6 0xfff8

/* IPv6 extension headers. */
#define EXT_HOPS     0
#define EXT_ROUTING  43
#define EXT_FRAGMENT 44
#define EXT_AUTH     51
#define EXT_OPTIONS  60
#define EXT_MOBILITY 135
#define EXT_HIP      139
#define EXT_SHIM6    140
#define EXT_TRY_1    253
#define EXT_TRY_2    254

/* 802.1Q, 802.1ad, and what was used before it. */
static bool is_tag(uint16_t type)
{
	return type == 0x8100 || type == 0x88a8 || type == 0x9100 || type == 0x9200;
}

/* Whether an EtherType follows the SNAP header at `p`: RFC 1042, or IEEE 802.1H. */
static bool is_snap(const uint8_t *p)
{
	return p[0] == 0xaa && p[1] == 0xaa && p[2] == 0x03 && !p[3] && !p[4] &&
		(!p[5] || p[5] == 0xf8);
}

static enum frame_net net_of(uint16_t type)
{
	switch (type) {
	case TYPE_IPV4:
		return FRAME_NET_IPV4;
	case TYPE_IPV6:
		return FRAME_NET_IPV6;
	case TYPE_ARP:
	case TYPE_RARP:
		return FRAME_NET_ARP;
	default:
		return FRAME_NET_OTHER;
	}
}

/* Walk tags and SNAP headers up to the EtherType that counts. */
static enum frame_net parse_link(struct frame *f, struct frame_headers *h)
{
	uint32_t at = FRAME_TAG_AT;

	while (frame_reaches(f, at + 2)) {
		uint16_t type = frame_load16(f->head + at);

		if (is_tag(type)) {
			at += FRAME_TAG_LEN;
			continue;
		}
		h->net_at = (uint16_t)(at + 2);
		if (type >= TYPE_LEAST)
			return net_of(type);
		/* No room for a SNAP header and an EtherType: then it is some other LLC frame. */
		if (at + 10 > f->len)
			return FRAME_NET_OTHER;
		if (!frame_reaches(f, at + 10))
			return FRAME_NET_CUT;
		if (!is_snap(f->head + at + 2))
			return FRAME_NET_OTHER;
		at += 8;
	}
	return at + 2 > f->len ? FRAME_NET_OTHER : FRAME_NET_CUT;
}

static void parse_ipv4(struct frame *f, struct frame_headers *h)
{
	const uint8_t *ip = f->head + h->net_at;
	uint32_t len;

	if (!frame_reaches(f, h->net_at + IPV4_LEN)) {
		h->net = FRAME_NET_CUT;
		return;
	}
	len = (ip[0] & 0xfu) * 4;
	h->proto = ip[9];
	h->later = frame_load16(ip + 6) & OFFSET_MASK;
	h->cut = ip[0] >> 4 != 4 || len < IPV4_LEN || !frame_reaches(f, h->net_at + len);
	h->transport_at = (uint16_t)(h->cut ? 0 : h->net_at + len);
}

/* The length of the extension header at `p`; 0: `next` is none. */
static uint32_t extension_len(uint8_t next, const uint8_t *p)
{
	switch (next) {
	case EXT_HOPS:
	case EXT_ROUTING:
	case EXT_OPTIONS:
	case EXT_MOBILITY:
	case EXT_HIP:
	case EXT_SHIM6:
	case EXT_TRY_1:
	case EXT_TRY_2:
		return (p[1] + 1u) * 8;
	case EXT_FRAGMENT:
		return 8;
	case EXT_AUTH:
		return (p[1] + 2u) * 4;
	default:
		return 0;
	}
}

static bool is_extension(uint8_t next)
{
	return extension_len(next, (const uint8_t[2]){0});
}

static void parse_ipv6(struct frame *f, struct frame_headers *h)
{
	const uint8_t *ip = f->head + h->net_at;
	uint32_t at = h->net_at + IPV6_LEN;

	if (!frame_reaches(f, at)) {
		h->net = FRAME_NET_CUT;
		return;
	}
	h->cut = ip[0] >> 4 != 6;
	h->proto = ip[6];
	while (is_extension(h->proto)) {
		const uint8_t *ext;

		if (!frame_reaches(f, at + 8)) {
			h->cut = true;
			return;
		}
		ext = f->head + at;
		if (h->proto == EXT_FRAGMENT && frame_load16(ext + 2) & OFFSET_MASK_6) {
			h->proto = ext[0];
			h->later = true;
			return;
		}
		at += extension_len(h->proto, ext);
		h->proto = ext[0];
	}
	h->cut |= !frame_reaches(f, at);
	h->transport_at = (uint16_t)(h->cut ? 0 : at);
}

/* The usual frame, whose headers are where they always are: IPv4 without tag and options. */
static bool is_usual(const struct frame *f)
{
	static const uint8_t start[3] = {TYPE_IPV4 >> 8, TYPE_IPV4 & 0xff, 0x45};

	return f->head_len >= FRAME_MIN_LEN + IPV4_LEN &&
		!__builtin_memcmp(f->head + FRAME_TAG_AT, start, sizeof(start));
}

void frame_parse(struct frame *f, struct frame_headers *h)
{
	if (rw_likely(is_usual(f))) {
		const uint8_t *ip = f->head + FRAME_MIN_LEN;

		*h = (struct frame_headers){.net = FRAME_NET_IPV4,
			.proto = ip[9],
			.later = frame_load16(ip + 6) & OFFSET_MASK,
			.net_at = FRAME_MIN_LEN,
			.transport_at = FRAME_MIN_LEN + IPV4_LEN};
		return;
	}
	*h = (struct frame_headers){0};
	h->net = (uint8_t)parse_link(f, h);
	if (h->net == FRAME_NET_IPV4)
		parse_ipv4(f, h);
	else if (h->net == FRAME_NET_IPV6)
		parse_ipv6(f, h);
}
