/* SPDX-License-Identifier: BSD-3-Clause */
/* Chains that break the rules, of either format; and some that keep them to the letter. */
#include "ring.h"

#include <string.h>

#define SIZE 16
#define HDR  12

/* ---- what a guest sends ---- */

/* Also SPDK v19.07. */
static void cve_2022_2132_chains_without_a_frame_are_dropped(struct rig *r, uint64_t format)
{
	static const uint32_t lens[] = {0, 1, HDR - 1, HDR, HDR + 1, HDR + 13};
	const struct scene s = scene_up(r, format, SIZE);
	const uint64_t at = good_gpa(&s);
	struct fe_seg segs[HDR];

	for (size_t i = 0; i < RW_ARRAY_SIZE(lens); i++) {
		segs[0] = (struct fe_seg){at, lens[i]};
		chain_drops(&s, &(struct fe_chain){.segs = segs, .n_out = 1}, "drops.too_short");
	}
	for (uint16_t n = 2; n <= HDR; n++) {
		for (uint32_t i = 0; i < n; i++)
			segs[i] = (struct fe_seg){at + i, 1};
		chain_drops(&s, &(struct fe_chain){.segs = segs, .n_out = n}, "drops.too_short");
	}
	works(&s);
}

/* Also CVE-2026-46321: without end. */
static void cve_2026_46320_runts_without_end_cost_nothing(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, 256);
	uint32_t n = (rig_is_long() ? 10000000 : 20000) / (uint32_t)r->slow;
	uint64_t before = rig_counter(r, "a", "rx", "drops.too_short");
	struct fe_used u;
	uint32_t sent, back = 0;

	tx_settle(&s);
	for (sent = 0; sent < n;) {
		const struct fe_seg seg = {good_gpa(&s), HDR + sent % 14};

		if (!fe_ring_add(tx_ring(&s), &(struct fe_chain){.segs = &seg, .n_out = 1})) {
			sent++;
			continue;
		}
		tx_go(&s);
		rig_wait(r, fe_ring_has_used(tx_ring(&s)));
		while (!fe_ring_pop(tx_ring(&s), &u))
			back++;
	}
	tx_go(&s);
	rig_wait(r, (back += !fe_ring_pop(tx_ring(&s), &u)) == sent);
	rig_wait(r, rig_counter(r, "a", "rx", "drops.too_short") == before + sent);
	works(&s);
}

static void g08_a_piece_for_the_wrong_direction_is_refused(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	const struct fe_seg segs[4] = {
		{good_gpa(&s), 72}, {good_gpa(&s), 72}, {good_gpa(&s), 72}, {good_gpa(&s), 72}};

	for (uint16_t in = 1; in <= 4; in++) {
		for (uint16_t out = 0; out + in <= 4; out++)
			chain_drops(&s, &(struct fe_chain){.segs = segs, .n_out = out, .n_in = in},
				"drops.bad_chain");
	}
	works(&s);
}

static void g08_a_receive_buffer_that_may_not_be_written_is_not(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	uint64_t before = rig_counter(r, "a", "tx", "drops.bad_chain");
	struct fe_pool *p = &fe_guest_rx(s.a->g, 0)->bufs;
	struct fe_ring *ring = rx_ring(&s);
	struct fe_used u;

	peer_drain(r, s.a);
	memset(p->host, 0x5a, (size_t)p->n * p->stride);
	for (uint16_t i = 0; i < SIZE; i++)
		*desc_flags(ring, i) &= (uint16_t)~VRING_DESC_F_WRITE;
	/* Some were read before that. */
	for (uint32_t i = 0; i < 4 * SIZE; i++)
		peer_send_to(r, s.b, s.a->mac, 200, i);
	peer_rest(r, s.b);
	rig_wait(r,
		rig_counter(r, "a", "tx", "drops.bad_chain") > before ||
			rig_counter(r, "a", "tx", "drops.no_buffer") > 0);
	while (!fe_ring_pop(ring, &u))
		assert_true(!u.len || p->host[(size_t)u.token * p->stride + HDR] != 0x5a);
	rings_reset(&s);
	works(&s);
}

/* Also VPP 95827e4307: one bad descriptor disables nothing. */
static void vpp_95827e4307_a_bad_address_costs_one_chain(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	const uint64_t end = end_of_memory(&s), ok = good_gpa(&s);
	const struct fe_seg bad[][2] = {
		{{end, 100}},
		{{0, 100}},
		{{end - 20, 100}},
		{{UINT64_MAX - 20, 100}},
		{{UINT64_MAX, 1}},
		{{UINT64_MAX - 99, 100}},
		{{ok, UINT32_MAX}},
		{{ok, HDR}, {end, 100}},
		{{ok, HDR}, {1ull << 63, 100}},
	};

	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		chain_drops(&s,
			&(struct fe_chain){
				.segs = bad[i], .n_out = (uint16_t)(1 + (bad[i][1].len > 0))},
			"drops.bad_address");
		works(&s);
	}
}

/* Four at once, as they are taken: one of them has a bad address, and no length. */
static void cve_2020_10725_a_bad_chain_in_a_batch_leaves_the_others(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	uint8_t data[200];
	const struct fe_frame f = {.data = data, .len = sizeof(data)};

	for (uint32_t bad = 0; bad < 4; bad++) {
		for (uint32_t len = 0; len <= 100; len += 50) {
			const struct fe_seg seg = {end_of_memory(&s) + 4096, len};
			struct fe_used u;

			tx_settle(&s);
			for (uint32_t i = 0; i < 4; i++) {
				frame_make(data, sizeof(data), s.b->mac, s.a->mac, i);
				if (i != bad) {
					assert_int_equal(fe_guest_put(s.a->g, 0, &f), 0);
					continue;
				}
				assert_int_equal(fe_ring_add(tx_ring(&s),
							 &(struct fe_chain){.segs = &seg,
								 .n_out = 1,
								 .token = UINT64_MAX}),
					0);
			}
			tx_go(&s);
			for (uint32_t i = 0; i < 4; i++) {
				if (i != bad)
					peer_expect(r, s.b, s.b->mac, s.a->mac, sizeof(data), i);
			}
			/* Tokens of frames are buffers; the bad one's is not. */
			for (uint32_t i = 0; i < 4; i++) {
				rig_wait(r, !fe_ring_pop(tx_ring(&s), &u));
				assert_int_equal(u.len, 0);
			}
			rings_reset(&s);
		}
	}
}

/* ---- indirect tables ---- */

enum spoil { LEN, NESTED, WITH_NEXT, OUTSIDE, HALF_OUTSIDE, BUFFER_OUTSIDE, NUM_SPOILS };

static void table_spoil(const struct scene *s, union fe_indirect_desc *t, enum spoil how)
{
	struct fe_ring *ring = tx_ring(s);
	uint16_t head = last_head(ring);
	const uint64_t end = end_of_memory(s);

	switch (how) {
	case NESTED:
		if (s->format)
			t[0].packed.flags |= VRING_DESC_F_INDIRECT;
		else
			t[0].split.flags |= VRING_DESC_F_INDIRECT;
		break;
	case WITH_NEXT:
		if (s->format)
			ring->head_flags |= VRING_DESC_F_NEXT;
		*desc_flags(ring, head) |= VRING_DESC_F_NEXT;
		break;
	case OUTSIDE:
		*desc_addr(ring, head) = end;
		break;
	case HALF_OUTSIDE:
		*desc_addr(ring, head) = end - sizeof(*t);
		memcpy(fe_mem_at(&s->a->g->mem, end - sizeof(*t), sizeof(*t)), &t[0], sizeof(*t));
		break;
	default:
		t[1].split.addr = end;
	}
}

/* A table of two entries, spoilt in one way, comes back. */
static void table_drops(const struct scene *s, enum spoil how, uint32_t len)
{
	const struct fe_seg segs[2] = {{good_gpa(s), HDR}, {good_gpa(s), 60}};
	struct fe_queue *q = fe_guest_tx(s->a->g, 0);
	const struct fe_chain c = {
		.segs = segs, .n_out = 2, .table = q->tables, .table_gpa = q->tables_gpa};
	uint64_t before = rx_drops(s);

	tx_settle(s);
	assert_int_equal(fe_ring_add(tx_ring(s), &c), 0);
	if (how == LEN)
		*desc_len(tx_ring(s), last_head(tx_ring(s))) = len;
	else
		table_spoil(s, q->tables, how);
	tx_go(s);
	comes_back(s);
	rig_wait(s->r, rx_drops(s) == before + 1);
}

/* Also CVE-2026-93683: a table of 4 GiB is not even looked for. */
static void r46_indirect_tables_that_break_a_rule_are_refused(struct rig *r, uint64_t format)
{
	static const uint32_t lens[] = {
		0, 1, 8, 15, 17, 33, (SIZE + 1) * 16, 0x10000, 0x80000000, 0xfffffff0, 0xffffffff};
	const struct scene s = scene_up(r, format, SIZE);

	for (size_t i = 0; i < RW_ARRAY_SIZE(lens); i++)
		table_drops(&s, LEN, lens[i]);
	for (int how = NESTED; how < NUM_SPOILS; how++) {
		/* For a packed ring a chain that goes on is another matter: its next is taken. */
		if (how != WITH_NEXT || !format)
			table_drops(&s, (enum spoil)how, 0);
		works(&s);
	}
}

/* ---- lengths ---- */

/* Also VPP d77275307b: a chain as long as the ring, the longest frame, a ring full of them. */
static void r42_chains_as_long_as_the_ring_are_taken(struct rig *r, uint64_t format)
{
	for (uint16_t size = 2; size <= 64; size *= 2) {
		const struct scene s = scene_up(r, format, size);
		const struct stream st = {.n = 20,
			.len = 500,
			.cut = {.hdr_segs = 1, .data_segs = (uint8_t)(size - 1)}};

		stream_check(r, s.a, s.b, &st);
		rig_clean((void **)&r);
	}
}

static void r61_frames_of_every_length_arrive_whole(struct rig *r, uint64_t format)
{
	static const uint32_t lens[] = {14, 15, 33, 59, 60, 63, 64, 65, 1514, 1518, 9018};
	struct fe_guest_config c = guest_large();
	struct scene s;

	c.features |= format;
	s = scene_with(r, format, &c);
	for (size_t i = 0; i < RW_ARRAY_SIZE(lens); i++) {
		const struct stream st = {.n = 5, .len = lens[i], .window = 5};

		stream_check(r, s.a, s.b, &st);
	}
	for (uint32_t len = 65500; len <= 65549; len += 7) {
		const struct stream st = {.n = 2, .len = len, .window = 2, .hdr = &traffic_tso};

		stream_check(r, s.a, s.b, &st);
	}
}

/* Also DPDK 729199397f: more than 65,535 bytes in many buffers. */
static void r49_a_long_frame_in_many_buffers_wraps_no_length(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_large();
	struct peer *a, *b;

	c.features |= format;
	c.rx_size = 1024;
	for (uint32_t size = 512; size <= 65536 + 64; size = size * 4 + 17) {
		const struct stream st = {.n = 5, .len = 65549, .window = 2, .hdr = &traffic_tso};

		c.rx_buf_size = size;
		a = peer_up(r, "a", &c);
		b = peer_up(r, "b", &c);
		peers_meet(r, a, b);
		stream_check(r, a, b, &st);
		rig_clean((void **)&r);
	}
}

/* A frame of 2^32 bytes and more, which all are there: one page of a file again and again. */
static void rust_vmm_27740a5_a_chain_of_4_gib_is_too_long(struct rig *r, uint64_t format)
{
	const struct fe_region_config regions[] = {
		{.gpa = 1ull << 30, .size = 1ull << 30, .uva = 1ull << 40}};
	struct fe_guest_config c = guest_usual();
	struct fe_seg segs[5];
	struct scene s;

	c.features |= format;
	c.regions = regions;
	c.nregions = 1;
	c.tx_size = c.rx_size = SIZE;
	s = scene_with(r, format, &c);
	for (size_t i = 0; i < RW_ARRAY_SIZE(segs); i++)
		segs[i] = (struct fe_seg){regions[0].gpa, 1u << 30};
	for (uint16_t n = 1; n < 4; n++)
		chain_drops(&s, &(struct fe_chain){.segs = segs, .n_out = n}, "drops.too_long");
	for (uint16_t n = 4; n <= (uint16_t)RW_ARRAY_SIZE(segs); n++)
		chain_drops(&s, &(struct fe_chain){.segs = segs, .n_out = n}, "drops.bad_chain");
	/* Just over 4 GiB: modulo 2^32 it is a short frame. */
	segs[4].len = 100;
	chain_drops(&s, &(struct fe_chain){.segs = segs, .n_out = 5}, "drops.bad_chain");
	works(&s);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK_BOTH(cve_2022_2132_chains_without_a_frame_are_dropped),
		ATTACK_BOTH(cve_2026_46320_runts_without_end_cost_nothing),
		ATTACK_BOTH(g08_a_piece_for_the_wrong_direction_is_refused),
		ATTACK_BOTH(g08_a_receive_buffer_that_may_not_be_written_is_not),
		ATTACK_BOTH(vpp_95827e4307_a_bad_address_costs_one_chain),
		ATTACK_BOTH(cve_2020_10725_a_bad_chain_in_a_batch_leaves_the_others),
		ATTACK_BOTH(r46_indirect_tables_that_break_a_rule_are_refused),
		ATTACK_BOTH(r42_chains_as_long_as_the_ring_are_taken),
		ATTACK_BOTH(r61_frames_of_every_length_arrive_whole),
		ATTACK_BOTH(r49_a_long_frame_in_many_buffers_wraps_no_length),
		ATTACK_BOTH(rust_vmm_27740a5_a_chain_of_4_gib_is_too_long),
	};

	return hostile_main("hostile_ring", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
