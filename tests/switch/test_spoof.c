/* SPDX-License-Identifier: BSD-3-Clause */
/* What a port's frames may claim, frame by frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "packets.h"
#include "sw_rules.h"

#define PASS PORT_NUM_DROPS

static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t mine[6] = {2, 0, 0, 0, 0, 1}, other[6] = {2, 0, 0, 0, 0, 9};

/* What `policy` makes of a frame. */
static enum port_drop judge(const struct sw_policy *policy, const struct packet *p)
{
	struct sw_rules *rules = sw_rules_new(policy);
	static struct frame f;
	static struct packet copy;
	struct rw_seg seg;
	enum port_drop why;

	assert_non_null(rules);
	copy = *p;
	frame_init(&f, p->len);
	memcpy(f.head, copy.bytes, f.head_len);
	seg = (struct rw_seg){copy.bytes + f.head_len, p->len - f.head_len};
	f.seg = &seg;
	f.nsegs = seg.len ? 1 : 0;
	why = sw_spoof_check(rules, &f);
	rw_free(rules);
	return why;
}

static struct sw_policy with_macs(void)
{
	struct sw_policy policy = {.nmacs = 2};

	memcpy(policy.macs[0], (uint8_t[6]){2, 0, 0, 0, 0, 2}, 6);
	memcpy(policy.macs[1], mine, 6);
	return policy;
}

/* 10.0.0.5, 10.1.0.0/16, fd00::5, fe80::/10 */
static struct sw_policy with_addresses(void)
{
	static const struct sw_prefix addresses[] = {
		{.bytes = {10, 0, 0, 5}, .len = 32},
		{.bytes = {10, 1}, .len = 16},
		{.bytes = {0xfd, [15] = 5}, .len = 128, .ipv6 = true},
		{.bytes = {0xfe, 0x80}, .len = 10, .ipv6 = true},
	};
	struct sw_policy policy = {.naddresses = RW_ARRAY_SIZE(addresses)};

	memcpy(policy.addresses, addresses, sizeof(addresses));
	return policy;
}

static struct packet udp4(const char *src, unsigned from, unsigned to, unsigned fragment)
{
	struct packet p = packet_of(everybody, mine);

	packet_ipv4(&p, src, 17, fragment);
	packet_udp(&p, from, to);
	return p;
}

static struct packet udp6(const char *src, unsigned from, unsigned to)
{
	struct packet p = packet_of(everybody, mine);

	packet_ipv6(&p, src, 17);
	packet_udp(&p, from, to);
	packet_ipv6_end(&p, 12);
	return p;
}

/* Neighbour discovery, behind `units` of extension headers; `mac` NULL: without an option. */
static struct packet neighbour(
	const char *src, uint8_t type, const char *target, const uint8_t *mac, unsigned units)
{
	struct packet p = packet_of(everybody, mine);

	packet_ipv6(&p, src, units ? 0 : 58);
	if (units)
		packet_extension(&p, 58, units);
	packet_nd(&p, type, target);
	if (mac)
		packet_nd_mac(&p, type == 136 ? 2 : 1, mac);
	packet_ipv6_end(&p, 12);
	return p;
}

static struct packet arp(const uint8_t *mac, const char *ip)
{
	struct packet p = packet_of(everybody, mine);

	packet_arp(&p, mac, ip);
	packet_pad(&p);
	return p;
}

#define expect(rule, what, want)                                   \
	do {                                                       \
		const struct sw_policy policy_ = (rule);           \
		const struct packet packet_ = (what);              \
		assert_int_equal(judge(&policy_, &packet_), want); \
	} while (0)

static void the_source_address_is_one_of_those_allowed(void **state)
{
	struct packet p = packet_of(everybody, mine);

	(void)state;
	packet_u16(&p, 0x88b5);
	packet_pad(&p);
	expect(with_macs(), p, PASS);
	expect(with_addresses(), p, PASS);
	for (unsigned i = 6; i < 12; i++) {
		struct packet q = p;

		q.bytes[i] ^= 0x40;
		expect(with_macs(), q, PORT_DROP_SPOOFED_MAC);
		expect(with_addresses(), q, PASS);
	}
	expect(with_macs(), udp4("10.9.9.9", 1, 2, 0), PASS);
	expect(with_macs(), udp6("fd00::99", 1, 2), PASS);
}

static void senders_of_arp_are_checked(void **state)
{
	struct packet p = arp(mine, "10.0.0.5");

	(void)state;
	expect(with_macs(), arp(mine, "10.9.9.9"), PASS);
	expect(with_macs(), arp(other, "10.0.0.5"), PORT_DROP_SPOOFED_MAC);
	expect(with_addresses(), arp(other, "10.0.0.5"), PASS);
	expect(with_addresses(), arp(mine, "10.1.255.1"), PASS);
	expect(with_addresses(), arp(mine, "10.0.0.6"), PORT_DROP_SPOOFED_IP);
	/* A probe (RFC 5227). */
	expect(with_addresses(), arp(mine, "0.0.0.0"), PASS);
	/* Cut short, and of other lengths. */
	p.len = 14 + 27;
	expect(with_addresses(), p, PORT_DROP_SPOOFED_IP);
	expect(with_macs(), p, PORT_DROP_SPOOFED_MAC);
	expect(((struct sw_policy){.no_router = true}), p, PASS);
	p = arp(mine, "10.0.0.5");
	p.bytes[18] = 8;
	expect(with_macs(), p, PORT_DROP_SPOOFED_MAC);
}

static void ipv4_comes_from_its_addresses_or_asks_for_one(void **state)
{
	struct packet p = packet_of(everybody, mine);

	(void)state;
	expect(with_addresses(), udp4("10.0.0.5", 1, 2, 0), PASS);
	expect(with_addresses(), udp4("10.1.2.3", 1, 2, 0), PASS);
	expect(with_addresses(), udp4("10.0.0.4", 1, 2, 0), PORT_DROP_SPOOFED_IP);
	expect(with_addresses(), udp4("10.0.0.4", 1, 2, 7), PORT_DROP_SPOOFED_IP);
	expect(with_addresses(), udp4("0.0.0.0", 68, 67, 0), PASS);
	expect(with_addresses(), udp4("0.0.0.0", 68, 66, 0), PORT_DROP_SPOOFED_IP);
	expect(with_addresses(), udp4("0.0.0.0", 68, 67, 7), PORT_DROP_SPOOFED_IP);
	/* Behind tags and SNAP it is still IPv4. */
	packet_tag(&p, 0x8100, 0);
	packet_tag(&p, 0x88a8, 0);
	packet_snap(&p);
	packet_ipv4(&p, "10.0.0.4", 17, 0);
	packet_udp(&p, 1, 2);
	expect(with_addresses(), p, PORT_DROP_SPOOFED_IP);
	p = packet_of(everybody, mine);
	packet_u16(&p, 0x0800);
	packet_zeros(&p, 10);
	expect(with_addresses(), p, PORT_DROP_SPOOFED_IP);
}

static void ipv6_comes_from_its_addresses_or_asks_for_one(void **state)
{
	(void)state;
	expect(with_addresses(), udp6("fd00::5", 1, 2), PASS);
	expect(with_addresses(), udp6("fe80::1:2:3:4", 1, 2), PASS);
	expect(with_addresses(), udp6("febf::1", 1, 2), PASS);
	expect(with_addresses(), udp6("fec0::1", 1, 2), PORT_DROP_SPOOFED_IP);
	expect(with_addresses(), udp6("fd00::6", 1, 2), PORT_DROP_SPOOFED_IP);
	expect(with_addresses(), udp6("::", 1, 2), PORT_DROP_SPOOFED_IP);
	expect(with_addresses(), neighbour("::", 133, NULL, NULL, 0), PASS);
	expect(with_addresses(), neighbour("::", 143, NULL, NULL, 1), PASS);
	expect(with_addresses(), neighbour("::", 128, NULL, NULL, 0), PORT_DROP_SPOOFED_IP);
	/* Duplicate address detection claims its target; another solicitation does not. */
	expect(with_addresses(), neighbour("::", 135, "fd00::5", NULL, 0), PASS);
	expect(with_addresses(), neighbour("::", 135, "fd00::6", NULL, 0), PORT_DROP_SPOOFED_IP);
	expect(with_addresses(), neighbour("fd00::5", 135, "fd00::6", NULL, 0), PASS);
}

static void neighbour_discovery_claims_what_is_allowed(void **state)
{
	struct packet p;

	(void)state;
	for (unsigned units = 0; units < 30; units++) {
		bool fits = 14 + 40 + 8 * units + 24 + 8 <= FRAME_PULL_MAX;

		expect(with_addresses(), neighbour("fd00::5", 136, "fd00::5", mine, units),
			14 + 40 + 8 * units + 24 <= FRAME_PULL_MAX ? PASS : PORT_DROP_SPOOFED_IP);
		expect(with_addresses(), neighbour("fd00::5", 136, "fd00::6", mine, units),
			PORT_DROP_SPOOFED_IP);
		for (uint8_t type = 135; type <= 136; type++) {
			expect(with_macs(), neighbour("fd00::5", type, "fd00::5", mine, units),
				fits ? PASS : PORT_DROP_SPOOFED_MAC);
			expect(with_macs(), neighbour("fd00::5", type, "fd00::5", other, units),
				PORT_DROP_SPOOFED_MAC);
		}
	}
	expect(with_macs(), neighbour("fe80::1", 134, NULL, other, 0), PORT_DROP_SPOOFED_MAC);
	/* What pads the frame is no option. */
	p = neighbour("fd00::5", 135, "fd00::6", mine, 0);
	packet_zeros(&p, 20);
	expect(with_macs(), p, PASS);
	/* An option without a length. */
	p.bytes[12 + 6] = 0;
	p.bytes[12 + 7] += 8;
	expect(with_macs(), p, PORT_DROP_SPOOFED_MAC);
}

static void a_guest_is_no_dhcp_server(void **state)
{
	const struct sw_policy policy = {.no_dhcp_server = true};
	struct packet p;

	(void)state;
	expect(policy, udp4("10.0.0.1", 67, 68, 0), PORT_DROP_DHCP_SERVER);
	expect(policy, udp4("10.0.0.1", 67, 9, 0x2000), PORT_DROP_DHCP_SERVER);
	expect(policy, udp4("0.0.0.0", 68, 67, 0), PASS);
	expect(policy, udp4("10.0.0.1", 547, 546, 0), PASS);
	/* The first fragment was refused. */
	expect(policy, udp4("10.0.0.1", 67, 68, 9), PASS);
	expect(policy, udp6("fd00::1", 547, 546), PORT_DROP_DHCP_SERVER);
	expect(policy, udp6("fd00::1", 546, 547), PASS);
	expect(policy, neighbour("fe80::1", 134, NULL, NULL, 0), PASS);
	expect(policy, arp(other, "10.0.0.4"), PASS);
	p = udp4("10.0.0.1", 1, 2, 0);
	p.bytes[14] = 0x4f; /* options up to what is no header any more */
	p.len = 14 + 58;
	expect(policy, p, PORT_DROP_DHCP_SERVER);
	p = udp6("fd00::1", 1, 2);
	p.len = 14 + 40 + 3;
	expect(policy, p, PORT_DROP_DHCP_SERVER);
}

static void a_guest_is_no_router(void **state)
{
	const struct sw_policy policy = {.no_router = true};
	struct packet p;

	(void)state;
	for (unsigned units = 0; units < 30; units++) {
		bool fits = 14 + 40 + 8 * units + 4 <= FRAME_PULL_MAX;

		expect(policy, neighbour("fe80::1", 134, NULL, mine, units), PORT_DROP_ROUTER);
		expect(policy, neighbour("fe80::1", 133, NULL, mine, units),
			fits ? PASS : PORT_DROP_ROUTER);
	}
	/* In fragments: the first has it, or hides it. */
	for (unsigned i = 0; i < 3; i++) {
		p = packet_of(everybody, mine);
		packet_ipv6(&p, "fe80::1", 44);
		packet_fragment(&p, i == 1 ? 60 : 58, i == 2 ? 8 : 1);
		if (i == 1)
			packet_extension(&p, 58, 1);
		packet_nd(&p, 134, NULL);
		packet_ipv6_end(&p, 12);
		if (i == 1)
			p.len = 14 + 40 + 8 + 8;
		expect(policy, p, i == 2 ? PASS : PORT_DROP_ROUTER);
	}
	expect(policy, udp6("fd00::1", 547, 546), PASS);
	expect(policy, udp4("10.0.0.1", 67, 68, 0), PASS);
	/* An advertisement of a neighbour that is cut short is nothing to this rule. */
	p = neighbour("fd00::1", 136, "fd00::1", NULL, 0);
	p.len -= 10;
	expect(policy, p, PASS);
}

static void headers_beyond_the_head_are_refused_by_whoever_has_a_rule(void **state)
{
	struct packet p = packet_of(everybody, mine);

	(void)state;
	for (unsigned i = 0; i < 70; i++)
		packet_tag(&p, 0x8100, 0);
	packet_ipv4(&p, "10.0.0.5", 17, 0);
	packet_udp(&p, 1, 2);
	expect(with_addresses(), p, PORT_DROP_SPOOFED_IP);
	expect(with_macs(), p, PORT_DROP_SPOOFED_MAC);
	expect(((struct sw_policy){.no_router = true}), p, PORT_DROP_ROUTER);
	expect(((struct sw_policy){.no_dhcp_server = true}), p, PORT_DROP_DHCP_SERVER);
}

static bool same_claim(const struct frame *a, const struct frame *b)
{
	struct sw_claim claim;

	sw_claim_begin(&claim, a);
	return !claim.odd && sw_claim_same(&claim, b);
}

/* Two frames are only taken for the same if no policy tells them apart. */
static void frames_of_a_flow_are_the_same(void **state)
{
	static const uint8_t interesting[] = {
		6, 7, 8, 9, 10, 11, 12, 13, 14, 20, 21, 23, 26, 27, 28, 29, 34, 35, 36, 37};
	const struct packet p = udp4("10.0.0.5", 68, 67, 0);
	struct frame a, b;

	(void)state;
	frame_init(&a, p.len);
	memcpy(a.head, p.bytes, a.head_len);
	b = a;
	assert_true(same_claim(&a, &b));
	for (unsigned at = 0; at < p.len; at++) {
		bool matters = memchr(interesting, (int)at, sizeof(interesting));

		b = a;
		b.head[at] ^= 1;
		assert_int_equal(same_claim(&a, &b), !matters);
		assert_int_equal(same_claim(&b, &a), !matters);
	}
	/* Ports are UDP's. Others have options, tags, or are too short. */
	for (unsigned i = 0; i < 4; i++) {
		frame_init(&a, i == 3 ? 37 : p.len);
		memcpy(a.head, p.bytes, a.head_len);
		a.head[23] = i == 0 ? 6 : 17;
		a.head[14] = i == 1 ? 0x46 : 0x45;
		a.head[12] = i == 2 ? 0x81 : 0x08;
		b = a;
		b.head[34] ^= i == 0;
		assert_int_equal(same_claim(&a, &b), i == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_source_address_is_one_of_those_allowed),
		cmocka_unit_test(senders_of_arp_are_checked),
		cmocka_unit_test(ipv4_comes_from_its_addresses_or_asks_for_one),
		cmocka_unit_test(ipv6_comes_from_its_addresses_or_asks_for_one),
		cmocka_unit_test(neighbour_discovery_claims_what_is_allowed),
		cmocka_unit_test(a_guest_is_no_dhcp_server),
		cmocka_unit_test(a_guest_is_no_router),
		cmocka_unit_test(frames_of_a_flow_are_the_same),
		cmocka_unit_test(headers_beyond_the_head_are_refused_by_whoever_has_a_rule),
	};

	return cmocka_run_group_tests_name("spoof", tests, NULL, NULL);
}
