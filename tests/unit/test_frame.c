/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frame.h"

static const uint8_t mac_a[6] = {2, 0, 0, 0, 0, 1}, mac_b[6] = {2, 0, 0, 0, 0, 2};

/* An Ethernet header; returns the offset behind it. */
static unsigned ether(struct frame *f, bool swapped, int vlan, uint16_t type)
{
	unsigned at = 12;

	memset(f, 0, sizeof(*f));
	memcpy(f->head, swapped ? mac_b : mac_a, 6);
	memcpy(f->head + 6, swapped ? mac_a : mac_b, 6);
	if (vlan >= 0) {
		f->head[at++] = 0x81;
		f->head[at++] = 0x00;
		f->head[at++] = (uint8_t)(vlan >> 8);
		f->head[at++] = (uint8_t)vlan;
	}
	f->head[at++] = (uint8_t)(type >> 8);
	f->head[at++] = (uint8_t)type;
	f->len = 64;
	return at;
}

struct flow {
	int vlan; /* -1: untagged */
	uint8_t proto;
	uint8_t net; /* last byte of the first address; the second's is one more */
	uint16_t sport, dport;
	uint16_t fragment; /* IPv4 flags and offset */
	bool v6;
};

static void put_ports(uint8_t *p, const struct flow *flow, bool swapped)
{
	uint16_t s = swapped ? flow->dport : flow->sport, d = swapped ? flow->sport : flow->dport;

	p[0] = (uint8_t)(s >> 8);
	p[1] = (uint8_t)s;
	p[2] = (uint8_t)(d >> 8);
	p[3] = (uint8_t)d;
}

static uint32_t hash_of(const struct flow *flow, bool swapped)
{
	struct frame f;
	unsigned at = ether(&f, swapped, flow->vlan, flow->v6 ? 0x86dd : 0x0800);
	uint8_t *ip = f.head + at;
	uint8_t first = flow->net, second = flow->net + 1;

	if (flow->v6) {
		ip[0] = 0x60;
		ip[6] = flow->proto;
		ip[23] = swapped ? second : first;
		ip[39] = swapped ? first : second;
		f.len = 1514;
		if (at + 44 <= FRAME_HEAD)
			put_ports(ip + 40, flow, swapped);
	} else {
		ip[0] = 0x45;
		ip[6] = (uint8_t)(flow->fragment >> 8);
		ip[7] = (uint8_t)flow->fragment;
		ip[9] = flow->proto;
		ip[15] = swapped ? second : first;
		ip[19] = swapped ? first : second;
		put_ports(ip + 20, flow, swapped);
	}
	return frame_flow_hash(&f);
}

static const struct flow base_flow = {
	.vlan = -1, .proto = 6, .net = 10, .sport = 1000, .dport = 80};

static void both_directions_of_a_flow_hash_alike(void **state)
{
	struct flow flows[] = {base_flow, base_flow, base_flow, base_flow, base_flow};

	(void)state;
	flows[1].v6 = true;
	flows[2].vlan = 5;
	flows[3].proto = 17;
	flows[4].fragment = 0x2000;
	for (size_t i = 0; i < RW_ARRAY_SIZE(flows); i++)
		assert_int_equal(hash_of(&flows[i], false), hash_of(&flows[i], true));
}

static void flows_that_differ_in_one_field_hash_differently(void **state)
{
	struct flow other;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct flow first = base_flow;

		first.v6 = v6;
		other = first;
		other.sport++;
		assert_int_not_equal(hash_of(&first, false), hash_of(&other, false));
		other = first;
		other.net++;
		assert_int_not_equal(hash_of(&first, false), hash_of(&other, false));
		other = first;
		other.proto = 17;
		assert_int_not_equal(hash_of(&first, false), hash_of(&other, false));
	}
}

static void all_fragments_of_a_packet_hash_alike(void **state)
{
	struct flow first = base_flow, later = base_flow;

	(void)state;
	first.fragment = 0x2000; /* more fragments, offset 0: has ports */
	later.fragment = 0x0010; /* last one: payload where ports would be */
	later.sport = 0xdead;
	assert_int_equal(hash_of(&first, false), hash_of(&later, false));
}

static void consecutive_ports_spread_over_queues(void **state)
{
	unsigned count[4] = {0};

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		struct flow flow = base_flow;

		flow.sport = (uint16_t)(1000 + i);
		count[hash_of(&flow, false) % 4]++;
	}
	for (int i = 0; i < 4; i++)
		assert_in_range(count[i], 800, 1200);
}

static void a_cut_ip_header_falls_back_to_the_mac_addresses(void **state)
{
	struct frame f, g;

	(void)state;
	ether(&f, false, -1, 0x0800);
	f.len = 20;
	g = f;
	g.head[30] = 77; /* not part of the frame */
	assert_int_equal(frame_flow_hash(&f), frame_flow_hash(&g));
	ether(&g, true, -1, 0x0800);
	g.len = 20;
	assert_int_equal(frame_flow_hash(&f), frame_flow_hash(&g));
}

static void other_protocols_hash_by_mac_and_ethertype(void **state)
{
	struct frame f, g;

	(void)state;
	ether(&f, false, -1, 0x88b5);
	ether(&g, true, -1, 0x88b5);
	assert_int_equal(frame_flow_hash(&f), frame_flow_hash(&g));
	ether(&g, true, -1, 0x88b6);
	assert_int_not_equal(frame_flow_hash(&f), frame_flow_hash(&g));
}

static void the_vlan_id_is_read_from_the_tag(void **state)
{
	struct frame f;

	(void)state;
	ether(&f, false, -1, 0x0800);
	assert_int_equal(frame_vlan(&f), 0);
	ether(&f, false, 0x0fff, 0x0800);
	assert_int_equal(frame_vlan(&f), 0xfff);
	ether(&f, false, 0xe005, 0x0800); /* priority 7 */
	assert_int_equal(frame_vlan(&f), 5);
	f.len = 17; /* the tag is cut */
	assert_int_equal(frame_vlan(&f), 0);
}

static void group_and_broadcast_addresses_are_told_apart(void **state)
{
	struct frame f;

	(void)state;
	ether(&f, false, -1, 0x0800);
	assert_false(frame_is_group(&f));
	f.head[0] = 0x33;
	assert_true(frame_is_group(&f));
	assert_false(frame_is_broadcast(&f));
	memset(f.head, 0xff, 6);
	assert_true(frame_is_group(&f));
	assert_true(frame_is_broadcast(&f));
	f.head[5] = 0xfe;
	assert_false(frame_is_broadcast(&f));
}

static void the_head_of_a_short_frame_ends_with_it(void **state)
{
	struct frame f = {.len = 60};

	(void)state;
	assert_int_equal(frame_head_len(&f), 60);
	f.len = 1514;
	assert_int_equal(frame_head_len(&f), FRAME_HEAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_of_a_flow_hash_alike),
		cmocka_unit_test(flows_that_differ_in_one_field_hash_differently),
		cmocka_unit_test(all_fragments_of_a_packet_hash_alike),
		cmocka_unit_test(consecutive_ports_spread_over_queues),
		cmocka_unit_test(a_cut_ip_header_falls_back_to_the_mac_addresses),
		cmocka_unit_test(other_protocols_hash_by_mac_and_ethertype),
		cmocka_unit_test(the_vlan_id_is_read_from_the_tag),
		cmocka_unit_test(group_and_broadcast_addresses_are_told_apart),
		cmocka_unit_test(the_head_of_a_short_frame_ends_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
