/* SPDX-License-Identifier: BSD-3-Clause */
/* What is read of IGMP and MLD, and what is not believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frame_group.h"
#include "group_packets.h"

static const uint8_t host[6] = {2, 0, 0, 0, 0, 2};

/* A frame whose bytes behind the head are a segment. */
static struct frame_group read_frame(const struct packet *p)
{
	static struct packet mine;
	static struct frame f;
	static struct rw_seg seg;
	struct frame_group msg;

	mine = *p;
	frame_init(&f, p->len);
	memset(f.head, 0xee, sizeof(f.head));
	memcpy(f.head, mine.bytes, f.head_len);
	seg = (struct rw_seg){mine.bytes + f.head_len, p->len - f.head_len};
	f.seg = &seg;
	f.nsegs = p->len > f.head_len;
	frame_group_read(&f, &msg);
	return msg;
}

static uint8_t what_of(struct packet p)
{
	return read_frame(&p).what;
}

static void is_address(const uint8_t address[16], const char *text)
{
	uint8_t want[16] = {0};

	inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, text, want);
	assert_memory_equal(address, want, 16);
}

static void queries_of_igmp_say_when_and_how_often(void **state)
{
	static const struct {
		uint8_t code, robustness, interval;
		uint32_t response_s, interval_s;
	} cases[] = {
		{100, 2, 125, 10, 125},
		{1, 7, 1, 1, 1},
		{11, 0, 0, 2, 125},
		{0x80, 3, 0x80, 13, 128},
		{0xff, 2, 0xff, 3175, 31744},
	};
	struct packet p = packet_igmp2(host, "10.0.0.1", 0x11, 0, NULL);
	struct frame_group msg = read_frame(&p);

	(void)state;
	assert_int_equal(msg.what, FRAME_GROUP_QUERY);
	assert_int_equal(msg.version, 1);
	assert_int_equal(msg.response_s, 10);
	p = packet_igmp2(host, "10.0.0.1", 0x11, 50, "239.1.2.3");
	msg = read_frame(&p);
	assert_int_equal(msg.version, 2);
	assert_int_equal(msg.response_s, 5);
	assert_int_equal(msg.interval_s, 125);
	assert_int_equal(msg.robustness, 2);
	is_address(msg.address, "239.1.2.3");
	is_address(msg.source, "10.0.0.1");
	for (size_t i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		p = packet_igmp3_query(
			host, "10.0.0.1", cases[i].code, cases[i].robustness, cases[i].interval);
		msg = read_frame(&p);
		assert_int_equal(msg.version, 3);
		assert_int_equal(msg.response_s, cases[i].response_s);
		assert_int_equal(msg.interval_s, cases[i].interval_s);
		assert_int_equal(msg.robustness,
			cases[i].robustness ? cases[i].robustness : FRAME_GROUP_ROBUSTNESS);
	}
}

static void reports_of_igmp_say_who_joins_and_who_leaves(void **state)
{
	static const struct {
		uint8_t type;
		unsigned n; /* records that are read of one without sources */
		bool leaves;
	} kinds[] = {{1, 0, false}, {2, 1, false}, {3, 1, true}, {4, 1, false}, {5, 0, false},
		{6, 0, false}};
	static const uint8_t singles[][2] = {{0x12, 1}, {0x16, 2}, {0x17, 2}};
	struct frame_group msg;
	struct packet p;

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(singles); i++) {
		p = packet_igmp2(host, "10.0.0.5", singles[i][0], 0, "239.1.2.3");
		msg = read_frame(&p);
		assert_int_equal(msg.what, FRAME_GROUP_REPORT);
		assert_int_equal(msg.version, singles[i][1]);
		assert_int_equal(msg.nrecords, 1);
		is_address(msg.records[0].address, "239.1.2.3");
		assert_int_equal(msg.records[0].leaves, singles[i][0] == 0x17);
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(kinds); i++) {
		p = packet_igmp3_report(host, "10.0.0.5", kinds[i].type, 9, 3);
		msg = read_frame(&p);
		assert_int_equal(msg.what, FRAME_GROUP_REPORT);
		assert_int_equal(msg.nrecords, 3 * kinds[i].n);
		if (kinds[i].n)
			is_address(msg.records[2].address, "239.9.0.2");
		assert_int_equal(msg.records[0].leaves, kinds[i].leaves);
	}
	/* As many as fit 256 bytes; then the groups are not known. */
	for (unsigned n = 0; n < 40; n++) {
		p = packet_igmp3_report(host, "10.0.0.5", 2, 9, n);
		msg = read_frame(&p);
		assert_int_equal(msg.what, FRAME_GROUP_REPORT);
		assert_int_equal(msg.cut, 38 + 8 + 8 * n > 256);
		assert_int_equal(msg.nrecords, msg.cut ? 0 : n);
	}
}

static void mld_is_read_as_igmp_is(void **state)
{
	struct packet p = packet_mld1(host, "fe80::1", 130, 10000, NULL);
	struct frame_group msg = read_frame(&p);

	(void)state;
	assert_int_equal(msg.what, FRAME_GROUP_QUERY);
	assert_true(msg.ipv6);
	assert_int_equal(msg.version, 1);
	assert_int_equal(msg.response_s, 10);
	is_address(msg.source, "fe80::1");
	p = packet_mld1(host, "fe80::5", 131, 0, "ff15::77");
	msg = read_frame(&p);
	assert_int_equal(msg.what, FRAME_GROUP_REPORT);
	is_address(msg.records[0].address, "ff15::77");
	assert_false(msg.records[0].leaves);
	p = packet_mld1(host, "fe80::5", 132, 0, "ff15::77");
	assert_true(read_frame(&p).records[0].leaves);
	for (unsigned sources = 0; sources < 4; sources++) {
		for (uint8_t type = 1; type <= 6; type++) {
			bool joins = type == 2 || type == 4 || (sources && type != 6);

			p = packet_mld2_report(host, "::", type, "ff15::77", sources);
			msg = read_frame(&p);
			assert_int_equal(msg.what, FRAME_GROUP_REPORT);
			assert_int_equal(msg.nrecords, joins || type == 3);
			assert_int_equal(msg.records[0].leaves, !joins && type == 3);
		}
	}
}

/* Each is a good message but for one thing. */
static void what_breaks_a_rule_is_not_believed(void **state)
{
	struct packet p = packet_igmp2(host, "10.0.0.5", 0x16, 0, "239.1.2.3");

	(void)state;
	for (uint32_t at = 38; at < 46; at++) {
		struct packet q = p;

		q.bytes[at] ^= 0x10; /* the checksum */
		assert_int_equal(what_of(q), FRAME_GROUP_BAD);
	}
	assert_int_equal(
		what_of(packet_igmp2(host, "10.0.0.5", 0x16, 0, "10.1.2.3")), FRAME_GROUP_BAD);
	assert_int_equal(
		what_of(packet_igmp2(host, "10.0.0.1", 0x11, 1, "10.1.2.3")), FRAME_GROUP_BAD);
	assert_int_equal(
		what_of(packet_igmp(host, "10.0.0.1", "224.0.0.1", (uint8_t[11]){0x11, 100}, 11)),
		FRAME_GROUP_BAD);
	assert_int_equal(what_of(packet_igmp(host, "10.0.0.1", "224.0.0.1", (uint8_t[7]){0x11}, 7)),
		FRAME_GROUP_BAD);
	/* More records than there are, an unknown one, a length that lies, a fragment. */
	p = packet_igmp3_report(host, "10.0.0.5", 7, 9, 1);
	assert_int_equal(what_of(p), FRAME_GROUP_BAD);
	assert_int_equal(what_of(packet_igmp(host, "10.0.0.5", "224.0.0.22",
				 (uint8_t[16]){0x22, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 239}, 16)),
		FRAME_GROUP_BAD);
	p = packet_igmp2(host, "10.0.0.5", 0x16, 0, "239.1.2.3");
	p.bytes[17] = 200;
	assert_int_equal(what_of(p), FRAME_GROUP_BAD);
	p = packet_igmp2(host, "10.0.0.5", 0x16, 0, "239.1.2.3");
	p.bytes[20] = 0x20;
	assert_int_equal(what_of(p), FRAME_GROUP_BAD);
	/* MLD: hop limit, no router alert's header, a router without a link-local address. */
	p = packet_mld1(host, "fe80::5", 131, 0, "ff15::77");
	p.bytes[21] = 2;
	assert_int_equal(what_of(p), FRAME_GROUP_BAD);
	assert_int_equal(
		what_of(packet_mld1(host, "fd00::5", 131, 0, "ff15::77")), FRAME_GROUP_BAD);
	assert_int_equal(what_of(packet_mld1(host, "::", 130, 0, NULL)), FRAME_GROUP_BAD);
	p = packet_mld1(host, "fe80::5", 131, 0, "ff15::77");
	p.bytes[80] ^= 1;
	assert_int_equal(what_of(p), FRAME_GROUP_BAD);
}

static void other_frames_are_none(void **state)
{
	const uint8_t dst[6] = {0x01, 0, 0x5e, 1, 2, 3};
	struct packet p = packet_of(dst, host);

	(void)state;
	packet_ipv4(&p, "10.0.0.5", 17, 0);
	packet_udp(&p, 1, 2);
	assert_int_equal(what_of(p), FRAME_GROUP_NONE);
	/* PIM version 1. */
	assert_int_equal(
		what_of(packet_igmp2(host, "10.0.0.5", 0x14, 0, "224.0.0.2")), FRAME_GROUP_NONE);
	p = packet_of(dst, host);
	packet_ipv6(&p, "fe80::5", 58);
	packet_nd(&p, 134, NULL);
	packet_ipv6_end(&p, 12);
	assert_int_equal(what_of(p), FRAME_GROUP_NONE);
}

/* Every length of every message: a frame that ends is never read beyond its end. */
static void frames_may_end_anywhere(void **state)
{
	const struct packet all[] = {packet_igmp3_report(host, "10.0.0.5", 2, 9, 40),
		packet_igmp3_query(host, "10.0.0.1", 100, 2, 125),
		packet_mld2_report(host, "fe80::5", 1, "ff15::77", 8),
		packet_mld1(host, "fe80::1", 130, 10000, NULL)};
	struct frame_group msg;

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(all); i++) {
		for (uint32_t len = 14; len < all[i].len; len++) {
			struct packet p = all[i];

			p.len = len;
			msg = read_frame(&p);
			assert_true(
				msg.what == FRAME_GROUP_NONE || msg.nrecords <= FRAME_GROUPS_MAX);
		}
	}
}

static void groups_have_ethernet_addresses(void **state)
{
	uint8_t address[16] = {239, 129, 2, 3}, mac[6];

	(void)state;
	frame_group_mac(false, address, mac);
	assert_memory_equal(mac, ((uint8_t[6]){0x01, 0, 0x5e, 1, 2, 3}), 6);
	inet_pton(AF_INET6, "ff15::1234:5678", address);
	frame_group_mac(true, address, mac);
	assert_memory_equal(mac, ((uint8_t[6]){0x33, 0x33, 0x12, 0x34, 0x56, 0x78}), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queries_of_igmp_say_when_and_how_often),
		cmocka_unit_test(reports_of_igmp_say_who_joins_and_who_leaves),
		cmocka_unit_test(mld_is_read_as_igmp_is),
		cmocka_unit_test(what_breaks_a_rule_is_not_believed),
		cmocka_unit_test(other_frames_are_none),
		cmocka_unit_test(frames_may_end_anywhere),
		cmocka_unit_test(groups_have_ethernet_addresses),
	};

	return cmocka_run_group_tests_name("frame_group", tests, NULL, NULL);
}
