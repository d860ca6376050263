/* SPDX-License-Identifier: BSD-3-Clause */
/* Where headers are found, and what a guest cannot hide from the parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frame_parse.h"
#include "packets.h"

static const uint8_t dst[6] = {2, 0, 0, 0, 0, 1}, src[6] = {2, 0, 0, 0, 0, 2};

/* A frame lent as two segments behind its head. */
struct lent {
	struct frame f;
	struct rw_seg segs[2];
	struct packet p;
};

static struct frame_headers parse(const struct packet *p)
{
	static struct lent l;
	struct frame_headers h;
	uint32_t rest, half;

	l.p = *p;
	frame_init(&l.f, p->len);
	memset(l.f.head, 0xee, sizeof(l.f.head));
	memcpy(l.f.head, l.p.bytes, l.f.head_len);
	rest = p->len - l.f.head_len;
	half = rest / 3;
	l.segs[0] = (struct rw_seg){l.p.bytes + l.f.head_len, half};
	l.segs[1] = (struct rw_seg){l.p.bytes + l.f.head_len + half, rest - half};
	l.f.seg = half ? l.segs : l.segs + 1;
	l.f.nsegs = (uint16_t)(half ? 2 : rest ? 1 : 0);
	frame_parse(&l.f, &h);
	assert_true(l.f.head_len <= FRAME_PULL_MAX);
	assert_memory_equal(l.f.head, p->bytes, l.f.head_len);
	assert_int_equal(l.f.len, p->len);
	if (!h.cut && !h.later && h.transport_at)
		assert_true(h.transport_at <= l.f.head_len);
	return h;
}

static void network_headers_are_found_behind_tags_and_snap(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		struct packet p = packet_of(dst, src);
		struct frame_headers h;

		for (unsigned k = 0; k < i % 4; k++)
			packet_tag(&p, k ? 0x8100 : 0x88a8, 10 + k);
		if (i & 4)
			packet_snap(&p);
		if (i & 8)
			packet_tag(&p, 0x8100, 0);
		packet_ipv4(&p, "10.0.0.1", FRAME_PROTO_UDP, 0);
		packet_udp(&p, 67, 68);
		h = parse(&p);
		assert_int_equal(h.net, FRAME_NET_IPV4);
		assert_int_equal(h.net_at, 14 + 4 * (i % 4) + 2 * (i & 4) + (i & 8) / 2);
		assert_int_equal(h.proto, FRAME_PROTO_UDP);
		assert_int_equal(h.transport_at, h.net_at + 20);
		assert_false(h.cut || h.later);
	}
}

static void other_frames_are_other(void **state)
{
	struct packet p = packet_of(dst, src);

	(void)state;
	packet_u16(&p, 0x88b5);
	packet_pad(&p);
	assert_int_equal(parse(&p).net, FRAME_NET_OTHER);
	p = packet_of(dst, src);
	packet_arp(&p, src, "10.0.0.1");
	assert_int_equal(parse(&p).net, FRAME_NET_ARP);
	/* Spanning tree: LLC without SNAP. Then one whose SNAP header has another organisation. */
	p = packet_of(dst, src);
	packet_u16(&p, 38);
	packet_add(&p, (uint8_t[3]){0x42, 0x42, 3}, 3);
	packet_pad(&p);
	assert_int_equal(parse(&p).net, FRAME_NET_OTHER);
	p = packet_of(dst, src);
	packet_u16(&p, 38);
	packet_add(&p, (uint8_t[8]){0xaa, 0xaa, 3, 0, 0, 0x0c, 8, 0}, 8);
	packet_pad(&p);
	assert_int_equal(parse(&p).net, FRAME_NET_OTHER);
	/* The shortest frame of all, and one that ends in a tag. */
	p = packet_of(dst, src);
	packet_u16(&p, 0);
	assert_int_equal(parse(&p).net, FRAME_NET_OTHER);
	p = packet_of(dst, src);
	packet_tag(&p, 0x8100, 7);
	assert_int_equal(parse(&p).net, FRAME_NET_OTHER);
}

static void tags_without_end_are_cut(void **state)
{
	struct packet p = packet_of(dst, src);

	(void)state;
	for (unsigned i = 0; i < 70; i++)
		packet_tag(&p, 0x8100, 0);
	packet_ipv4(&p, "10.0.0.1", FRAME_PROTO_UDP, 0);
	packet_udp(&p, 67, 68);
	assert_int_equal(parse(&p).net, FRAME_NET_CUT);
}

static void fixed_headers_that_are_not_there_are_cut(void **state)
{
	(void)state;
	for (uint32_t len = 14; len < 100; len++) {
		struct packet v4 = packet_of(dst, src), v6 = v4;
		bool is_cut4 = len < 14 + 20, is_cut6 = len < 14 + 40;

		packet_ipv4(&v4, "10.0.0.1", FRAME_PROTO_UDP, 0);
		packet_zeros(&v4, 100);
		v4.len = len;
		assert_int_equal(parse(&v4).net, is_cut4 ? FRAME_NET_CUT : FRAME_NET_IPV4);
		packet_ipv6(&v6, "fd00::1", FRAME_PROTO_UDP);
		packet_zeros(&v6, 100);
		v6.len = len;
		assert_int_equal(parse(&v6).net, is_cut6 ? FRAME_NET_CUT : FRAME_NET_IPV6);
	}
}

static void ipv4_headers_that_lie_are_cut(void **state)
{
	(void)state;
	for (unsigned first = 0; first < 256; first++) {
		struct packet p = packet_of(dst, src);
		struct frame_headers h;
		bool good = first >> 4 == 4 && (first & 15) >= 5;

		packet_ipv4(&p, "10.0.0.1", FRAME_PROTO_UDP, 0);
		packet_zeros(&p, 60);
		p.bytes[14] = (uint8_t)first;
		h = parse(&p);
		assert_int_equal(h.cut, !good);
		assert_int_equal(h.transport_at, good ? 14 + (first & 15) * 4 : 0);
	}
}

static void extension_headers_are_walked_up_to_the_end_of_the_head(void **state)
{
	static const uint8_t kinds[] = {0, 43, 60, 135, 139, 140, 253, 254};

	(void)state;
	for (unsigned units = 1; units < 30; units++) {
		for (size_t k = 0; k < RW_ARRAY_SIZE(kinds); k++) {
			struct packet p = packet_of(dst, src);
			struct frame_headers h;
			uint32_t at = 14 + 40 + 8 + 8 * units;

			packet_ipv6(&p, "fd00::1", kinds[k]);
			packet_extension(&p, 60, 1);
			packet_extension(&p, FRAME_PROTO_ICMPV6, units);
			packet_nd(&p, 134, NULL);
			h = parse(&p);
			assert_int_equal(h.net, FRAME_NET_IPV6);
			assert_int_equal(h.proto, FRAME_PROTO_ICMPV6);
			assert_int_equal(h.cut, at > FRAME_PULL_MAX);
			assert_int_equal(h.transport_at, h.cut ? 0 : at);
		}
	}
}

static void fragments_are_told_apart(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct packet p = packet_of(dst, src);
		struct frame_headers h;

		packet_ipv4(&p, "10.0.0.1", FRAME_PROTO_UDP, i ? 0x2001 : 0x2000);
		packet_udp(&p, 67, 68);
		h = parse(&p);
		assert_int_equal(h.later, i);
		p = packet_of(dst, src);
		packet_ipv6(&p, "fd00::1", 44);
		packet_fragment(&p, 60, i ? 8 : 1);
		packet_extension(&p, FRAME_PROTO_UDP, 1);
		packet_udp(&p, 547, 546);
		h = parse(&p);
		assert_int_equal(h.later, i);
		assert_int_equal(h.proto, i ? 60 : FRAME_PROTO_UDP);
		/* The first fragment ends before the transport header begins. */
		p.len = 14 + 40 + 8 + 4;
		h = parse(&p);
		assert_int_equal(h.cut, !i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(network_headers_are_found_behind_tags_and_snap),
		cmocka_unit_test(other_frames_are_other),
		cmocka_unit_test(tags_without_end_are_cut),
		cmocka_unit_test(fixed_headers_that_are_not_there_are_cut),
		cmocka_unit_test(ipv4_headers_that_lie_are_cut),
		cmocka_unit_test(extension_headers_are_walked_up_to_the_end_of_the_head),
		cmocka_unit_test(fragments_are_told_apart),
	};

	return cmocka_run_group_tests_name("frame_parse", tests, NULL, NULL);
}
