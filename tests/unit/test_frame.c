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
	f->len = f->head_len = 64;
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
	f.len = f.head_len = 20;
	g = f;
	g.head[30] = 77; /* not part of the frame */
	assert_int_equal(frame_flow_hash(&f), frame_flow_hash(&g));
	ether(&g, true, -1, 0x0800);
	g.len = g.head_len = 20;
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
	assert_int_equal(frame_vlan(&f, FRAME_TPID_CUSTOMER), 0);
	ether(&f, false, 0x0fff, 0x0800);
	assert_int_equal(frame_vlan(&f, FRAME_TPID_CUSTOMER), 0xfff);
	ether(&f, false, 0xe005, 0x0800); /* priority 7 */
	assert_int_equal(frame_vlan(&f, FRAME_TPID_CUSTOMER), 5);
	assert_int_equal(frame_vlan(&f, FRAME_TPID_SERVICE), 0);
	memcpy(f.head + FRAME_TAG_AT, (uint8_t[]){0x88, 0xa8}, 2);
	assert_int_equal(frame_vlan(&f, FRAME_TPID_CUSTOMER), 0);
	assert_int_equal(frame_vlan(&f, FRAME_TPID_SERVICE), 5);
	f.len = 17; /* the tag is cut */
	assert_int_equal(frame_vlan(&f, FRAME_TPID_SERVICE), 0);
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
	struct frame f;

	(void)state;
	frame_init(&f, 60);
	assert_int_equal(f.head_len, 60);
	frame_init(&f, 1514);
	assert_int_equal(f.head_len, FRAME_HEAD);
}

/*
 * A frame of `len` bytes that count up, behind the head in pieces of `piece`; tagged with 0xa005 or
 * not.
 */
struct loan {
	struct frame f;
	struct rw_seg segs[64];
	uint8_t bytes[4096];
};

static void loan_make(struct loan *l, uint32_t len, uint32_t piece, bool tagged)
{
	static const uint8_t tag[] = {0x81, 0x00, 0xa0, 0x05};
	uint32_t at;

	for (uint32_t i = 0; i < len; i++)
		l->bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	memcpy(l->bytes + 12, tagged ? tag : l->bytes, sizeof(tag));
	frame_init(&l->f, len);
	memset(l->f.head, 0xee, sizeof(l->f.head));
	memcpy(l->f.head, l->bytes, l->f.head_len);
	l->f.seg = l->segs;
	for (at = l->f.head_len; at < len; at += l->segs[l->f.nsegs++].len)
		l->segs[l->f.nsegs] = (struct rw_seg){
			.data = l->bytes + at, .len = RW_MIN(piece, len - at)};
}

/* All of a frame's bytes to `out`; how many. */
static uint32_t bytes_of(const struct frame *f, uint8_t *out)
{
	uint32_t n = f->head_len;

	memcpy(out, f->head, n);
	for (uint16_t i = 0; i < f->nsegs; i++) {
		memcpy(out + n, f->seg[i].data, f->seg[i].len);
		n += f->seg[i].len;
	}
	return n;
}

static const uint32_t lengths[] = {14, 15, 17, 18, 60, 63, 64, 65, 100, 255, 256, 257, 1500};

static void a_head_is_pulled_to_any_length(void **state)
{
	static struct loan l;
	uint8_t got[4096];

	(void)state;
	for (size_t k = 0; k < RW_ARRAY_SIZE(lengths); k++) {
		for (uint32_t want = 1; want <= FRAME_PULL_MAX; want++) {
			uint32_t least = RW_MIN(lengths[k], (uint32_t)FRAME_HEAD);

			loan_make(&l, lengths[k], 23 + want % 50, false);
			assert_int_equal(
				frame_pull(&l.f, want), RW_MAX(least, RW_MIN(want, lengths[k])));
			assert_memory_equal(l.f.head, l.bytes, l.f.head_len);
			assert_int_equal(l.f.len, lengths[k]);
			assert_int_equal(bytes_of(&l.f, got), lengths[k]);
			assert_memory_equal(got, l.bytes, lengths[k]);
			assert_int_equal(l.f.head[l.f.head_len], 0xee); /* and no byte more */
		}
	}
}

/* What a guest writes behind its frame's checked head is not seen any more. */
static void what_was_pulled_is_a_copy(void **state)
{
	static struct loan l;
	uint8_t got[4096], want[4096];

	(void)state;
	loan_make(&l, 1000, 300, false);
	memcpy(want, l.bytes, 1000);
	frame_pull(&l.f, 200);
	memset(l.bytes, 0xdd, 200);
	assert_int_equal(bytes_of(&l.f, got), 1000);
	assert_memory_equal(got, want, 1000);
}

/* What an edit must make of a frame, said plainly: byte by byte, from all of its bytes. */
static uint32_t edit_plainly(
	const uint8_t *in, uint32_t len, const struct frame_edit *e, uint8_t *out)
{
	bool tagged = len >= 18 && !memcmp(in + 12, &e->tpid, 2);
	bool push = e->tag == FRAME_TAG_PUSH || (e->tag == FRAME_TAG_REWRITE && !tagged);
	uint32_t n = 0, i = 0;

	for (; n < e->front_len; n++)
		out[n] = e->front[n];
	for (; i < 12; i++)
		out[n++] = in[i];
	if (push) {
		memcpy(out + n, &e->tpid, 2);
		n += 2;
		out[n++] = (uint8_t)(e->vlan >> 8);
		out[n++] = (uint8_t)e->vlan;
	} else if (tagged && e->tag == FRAME_TAG_REWRITE) {
		memcpy(out + n, &e->tpid, 2);
		n += 2;
		out[n++] = (uint8_t)((in[14] & 0xf0) | e->vlan >> 8);
		out[n++] = (uint8_t)e->vlan;
		i += 4;
	} else if (tagged && e->tag == FRAME_TAG_POP) {
		i += 4;
	}
	while (i < len)
		out[n++] = in[i++];
	return n;
}

static void one_frame_is_edited_for_each_receiver(void **state)
{
	uint8_t front[FRAME_FRONT_MAX], want[4096], got[4096];
	static struct loan l;

	(void)state;
	memset(front, 0xf0, sizeof(front));
	for (size_t k = 0; k < RW_ARRAY_SIZE(lengths); k++) {
		for (unsigned i = 0; i < 2 * 4 * 3 * 2 * 2; i++) {
			const struct frame_edit edit = {
				.tag = (uint8_t)(i / 2 % 4),
				.vlan = 0x123,
				.tpid = i / 48 ? FRAME_TPID_SERVICE : FRAME_TPID_CUSTOMER,
				.front = front,
				.front_len = (uint8_t[]){0, 50, 60}[i / 8 % 3],
			};
			struct frame before, out;
			uint32_t n;

			loan_make(&l, lengths[k], 100, i % 2);
			if (i / 24 % 2)
				frame_pull(&l.f, FRAME_PULL_MAX);
			before = l.f;
			frame_edit(&l.f, &edit, &out);
			n = edit_plainly(l.bytes, lengths[k], &edit, want);
			assert_int_equal(out.len, n);
			assert_int_equal(bytes_of(&out, got), n);
			assert_memory_equal(got, want, n);
			/* The sender's frame is as it was: others get it, too. */
			assert_int_equal(l.f.len, before.len);
			assert_memory_equal(l.f.head, before.head, sizeof(before.head));
			assert_int_equal(bytes_of(&l.f, got), lengths[k]);
			assert_memory_equal(got, l.bytes, lengths[k]);
		}
	}
}

static void offloads_follow_their_bytes(void **state)
{
	const struct frame_edit push = {
		.tag = FRAME_TAG_PUSH, .tpid = FRAME_TPID_CUSTOMER, .vlan = 7};
	const struct frame_edit pop = {.tag = FRAME_TAG_POP, .tpid = FRAME_TPID_CUSTOMER};
	static struct loan l;
	struct frame tagged, again;

	(void)state;
	loan_make(&l, 1500, 1436, false);
	l.f.offload = (struct frame_offload){.flags = 1,
		.gso_type = 1,
		.hdr_len = 54,
		.gso_size = 1000,
		.csum_start = 34,
		.csum_offset = 16};
	frame_edit(&l.f, &push, &tagged);
	assert_int_equal(tagged.offload.csum_start, 38);
	assert_int_equal(tagged.offload.csum_offset, 16);
	assert_int_equal(tagged.offload.hdr_len, 58);
	assert_int_equal(tagged.offload.gso_size, 1000);
	frame_edit(&tagged, &pop, &again);
	assert_memory_equal(&again.offload, &l.f.offload, sizeof(again.offload));
	assert_int_equal(again.len, 1500);
	/* A plain frame stays one. */
	l.f.offload = (struct frame_offload){0};
	frame_edit(&l.f, &push, &tagged);
	assert_true(frame_is_plain(&tagged));
	assert_int_equal(tagged.offload.csum_start, 0);
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
		cmocka_unit_test(a_head_is_pulled_to_any_length),
		cmocka_unit_test(what_was_pulled_is_a_copy),
		cmocka_unit_test(one_frame_is_edited_for_each_receiver),
		cmocka_unit_test(offloads_follow_their_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
