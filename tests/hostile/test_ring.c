/* SPDX-License-Identifier: BSD-3-Clause */
/* Chains that break the rules, of either format; and some that keep them to the letter. */
#include "ring.h"

#include <string.h>
#include <sys/eventfd.h>

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
	for (uint16_t n = 4; n <= RW_ARRAY_SIZE(segs); n++)
		chain_drops(&s, &(struct fe_chain){.segs = segs, .n_out = n}, "drops.bad_chain");
	/* Just over 4 GiB: modulo 2^32 it is a short frame. */
	segs[4].len = 100;
	chain_drops(&s, &(struct fe_chain){.segs = segs, .n_out = 5}, "drops.bad_chain");
	works(&s);
}

/* ---- receive buffers ---- */

/* Also R51. `a` has one chain of these pieces and nothing else; b sends a frame. */
static void receive_into(
	struct rig *r, uint64_t format, bool mergeable, const uint32_t *lens, uint16_t n)
{
	struct fe_guest_config c = guest_usual(), plain = guest_usual();
	uint8_t frame[300], *host;
	struct peer *a, *b;
	struct fe_seg segs[16];
	struct fe_queue *q;
	struct fe_used u;
	uint64_t at;

	c.features |= format;
	if (!mergeable)
		c.features &= ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	c.rx_size = SIZE;
	a = peer_new(r, "a", &c);
	b = peer_up(r, "b", &plain);
	negotiated_anew(r, a);
	fe_guest_rx(a->g, 0)->bufs.posted = 0;
	run_rings(a);
	q = fe_guest_rx(a->g, 0);
	/* The pieces lie in the buffers' memory with gaps between them. */
	host = q->bufs.host;
	memset(host, 0x5a, 16 * 4096);
	at = q->bufs.gpa;
	for (uint16_t i = 0; i < n; i++, at += 4096)
		segs[i] = (struct fe_seg){at, lens[i]};
	assert_int_equal(fe_ring_add(&q->ring, &(struct fe_chain){.segs = segs, .n_in = n}), 0);
	fe_ring_publish(&q->ring);
	fe_queue_kick(q);
	rig_wait(r, rig_port_info(r, "a", "link"));
	frame_make(frame, sizeof(frame), a->mac, b->mac, 1);
	peer_send(r, b, 0, &(struct fe_frame){.data = frame, .len = sizeof(frame)});
	peer_rest(r, b);
	if (fe_ring_pop(&q->ring, &u))
		u.len = 0; /* the chain waits for another one */
	/* All or nothing; and never a byte beside the pieces. */
	if (u.len) {
		uint32_t done = 0;

		assert_int_equal(u.len, HDR + sizeof(frame));
		for (uint16_t i = 0; i < n; i++) {
			for (uint32_t k = 0; k < lens[i] && done < u.len; k++, done++)
				if (done >= HDR)
					assert_int_equal(host[4096 * i + k], frame[done - HDR]);
		}
	}
	for (uint16_t i = 0; i < n; i++)
		for (uint32_t k = lens[i]; k < 4096; k++)
			assert_int_equal(host[4096 * i + k], 0x5a);
}

static void cve_2026_86566_receive_chains_of_crumbs_are_never_left(struct rig *r, uint64_t format)
{
	static const struct {
		uint16_t n;
		uint32_t lens[16];
	} chains[] = {
		{3, {1, 1, 1500}},
		{13, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1500}},
		{4, {4, 4, 4, 1500}},
		{3, {11, 1, 1500}},
		{3, {1, 11, 1500}},
		{2, {13, 1500}},
		{2, {12, 300}},
		{2, {12, 299}},
		{2, {12, 100}},
		{1, {12}},
		{1, {11}},
		{1, {1}},
		{3, {1, 1, 1}},
		{5, {0, 12, 0, 1500, 0}},
		{16, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1500}},
	};

	for (int mergeable = 0; mergeable < 2; mergeable++) {
		for (size_t i = 0; i < RW_ARRAY_SIZE(chains); i++) {
			receive_into(r, format, mergeable, chains[i].lens, chains[i].n);
			rig_clean((void **)&r);
		}
	}
}

/*
 * A frame that needs more than there is waits for no buffer: as long as the guest may add some, all
 * stay in the ring; a frame that no ring full of them holds gives each back once.
 */
static void r50_a_frame_for_more_buffers_than_there_are_leaks_none(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_usual(), large = guest_large();
	struct peer *a, *b;
	struct fe_ring *ring;
	struct fe_used u;

	c.features |= format;
	c.rx_size = 4;
	c.rx_buf_size = 1000;
	a = peer_up(r, "a", &c);
	b = peer_up(r, "b", &large);
	peers_meet(r, a, b);
	ring = &fe_guest_rx(a->g, 0)->ring;
	for (uint32_t i = 0; i < 20; i++) {
		const struct stream st = {.n = 4, .len = 800, .window = 4};
		bool seen[4] = {false};
		uint32_t n = 0;

		peer_send_to(r, b, a->mac, 9000, i);
		peer_rest(r, b);
		for (; !fe_ring_pop(ring, &u); n++) {
			assert_int_equal(u.len, 0);
			assert_true(u.token < 4 && !seen[u.token]);
			seen[u.token] = true;
		}
		assert_true(n == 0 || n == 4);
		for (uint32_t k = 0; n && k < 2; k++)
			assert_int_equal(fe_guest_stop_ring(a->g, k, NULL), 0);
		if (n)
			run_rings(a);
		stream_check(r, b, a, &st); /* all four buffers are there */
	}
}

static void r51_a_buffer_that_is_too_small_comes_back_empty(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_usual(), plain = guest_usual();
	struct peer *a, *b;
	struct fe_used u;

	c.features = (c.features | format) & ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	c.rx_buf_size = HDR + 100;
	a = peer_up(r, "a", &c);
	b = peer_up(r, "b", &plain);
	peers_meet(r, a, b);
	for (uint32_t i = 0; i < 20; i++) {
		peer_send_to(r, b, a->mac, 101 + i, i);
		rig_wait(r, !fe_ring_pop(&fe_guest_rx(a->g, 0)->ring, &u));
		assert_int_equal(u.len, 0);
		peer_send_to(r, b, a->mac, 100, i);
		peer_expect(r, a, a->mac, b->mac, 100, i);
	}
}

/* Also CVE-2022-26353 and -26354: one of the buffers of a frame is bad. */
static void cve_2021_3748_a_bad_buffer_in_a_frame_accounts_for_all(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_usual(), large = guest_large();
	struct peer *a, *b;
	struct fe_ring *ring;
	struct fe_used u;
	bool seen[8] = {false};

	c.features |= format;
	c.rx_size = 8;
	c.rx_buf_size = 1000;
	a = peer_new(r, "a", &c);
	b = peer_up(r, "b", &large);
	negotiated_anew(r, a);
	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	ring = &fe_guest_rx(a->g, 0)->ring;
	*desc_addr(ring, 2) = 64;
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(fe_guest_start_ring(a->g, i), 0);
	peer_send_to(r, b, mac_broadcast, 4500, 1); /* five buffers */
	for (uint32_t i = 0; i < 3; i++) {
		rig_wait(r, !fe_ring_pop(ring, &u));
		assert_int_equal(u.len, 0);
		assert_true(u.token < 8 && !seen[u.token]);
		seen[u.token] = true;
	}
	assert_true(seen[2]);
	/* The other five are still there for a frame. */
	peer_send_to(r, b, mac_broadcast, 4500, 2);
	rig_wait(r, !fe_ring_pop(ring, &u));
	assert_int_equal(u.len, 1000);
}

/* Loops and cut chains among receive buffers: counted, given back, passed over. */
static void r41_a_receive_chain_that_loops_is_passed_over(struct rig *r, uint64_t format)
{
	static const uint32_t lens[] = {0, 1, 30};
	const struct stream st = {.n = 20, .len = 100, .window = 1};
	struct fe_guest_config c = guest_usual();

	c.features |= format;
	c.rx_size = SIZE;
	c.rx_cut = (struct fe_cut){.hdr_segs = 1, .data_segs = 3};
	for (size_t i = 0; i < RW_ARRAY_SIZE(lens); i++) {
		struct peer *a = peer_new(r, "a", &c), *b = peer_up(r, "b", NULL);
		struct fe_ring *ring;

		negotiated_anew(r, a);
		assert_int_equal(fe_guest_reset_rings(a->g), 0);
		ring = &fe_guest_rx(a->g, 0)->ring;
		for (uint16_t k = 0; k < 4; k++) {
			*desc_len(ring, k) = lens[i];
			*desc_flags(ring, k) |= VRING_DESC_F_NEXT;
			if (!format)
				ring->desc[k].next = k & 1 ? 0 : 1;
		}
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		for (uint32_t k = 0; k < 2; k++)
			assert_int_equal(fe_guest_start_ring(a->g, k), 0);
		for (uint32_t k = 0; k < 40; k++)
			peer_send_to(r, b, mac_broadcast, 60, k);
		peer_rest(r, b);
		/* Whether the ring is broken or goes on depends on what it makes of the chain. */
		fe_guest_disconnect(a->g);
		peer_start(r, a);
		stream_check(r, b, a, &st);
		rig_clean((void **)&r);
	}
}

static void r47_used_lengths_and_ids_are_exact(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_usual();
	struct scene s;

	/* Driver and test compare ids, lengths and bytes of each chain: fe_guest_recv. */
	c.features |= format;
	c.rx_cut = (struct fe_cut){.hdr_segs = 2, .data_segs = 5};
	c.scatter = true;
	s = scene_with(r, format, &c);
	for (uint32_t len = 14; len < 1500; len += 97) {
		const struct stream st = {.n = 4, .len = len};

		stream_check(r, s.b, s.a, &st);
		stream_check(r, s.a, s.b, &st);
	}
}

/* Also R60. */
static void r60_a_header_in_any_pieces_is_the_same(struct rig *r, uint64_t format)
{
	static const struct fe_cut cuts[] = {{0, 1, false}, {1, 1, false}, {2, 1, false},
		{3, 2, false}, {12, 1, false}, {12, 4, true}};
	const struct scene s = scene_up(r, format, 64);

	for (size_t i = 0; i < RW_ARRAY_SIZE(cuts); i++) {
		const struct stream st = {.n = 10, .len = 400, .cut = cuts[i]};

		stream_check(r, s.a, s.b, &st);
	}
}

/* Every entry is in use, both ways: nothing mistakes full for empty. */
static void spdk_7a3246bfb2_a_full_ring_is_not_an_empty_one(struct rig *r, uint64_t format)
{
	for (uint16_t size = 1; size <= 64; size *= 2) {
		const struct scene s = scene_up(r, format, size);
		const struct stream st = {.n = 5u * size, .len = 100, .window = size};
		const struct stream back = {.n = 5u * size, .len = 100, .window = size};

		stream_check(r, s.a, s.b, &st);
		stream_check(r, s.b, s.a, &back);
		rig_clean((void **)&r);
	}
}

/* ---- notifications ---- */

/* Also R65: with the worker asleep, each frame wakes it. */
static void r63_no_notification_is_lost(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	uint32_t n = (rig_is_long() ? 100000 : 1000) / (uint32_t)r->slow;

	for (uint32_t i = 0; i < n; i++) {
		struct fe_queue *q = fe_guest_rx(s.a->g, 0);

		fe_ring_want_interrupt(&q->ring, true);
		peer_send_to(r, s.b, s.a->mac, 60, i);
		assert_true(fe_queue_wait_interrupt(q, rig_patience(r)) > 0);
		peer_expect(r, s.a, s.a->mac, s.b->mac, 60, i);
	}
}

static void r64_after_a_start_the_first_frame_interrupts(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);

	for (uint32_t i = 0; i < 40 / (uint32_t)r->slow + 2; i++) {
		struct fe_queue *q = fe_guest_rx(s.a->g, 0);

		assert_int_equal(fe_guest_stop_ring(s.a->g, 0, NULL), 0);
		fe_queue_interrupts(q);
		/* The event index is anywhere: what was signalled before does not count. */
		if (!format)
			q->ring.avail->ring[q->ring.num] = (uint16_t)(q->ring.used_idx + i * 1000);
		assert_int_equal(fe_guest_start_ring(s.a->g, 0), 0);
		fe_ring_want_interrupt(&q->ring, true);
		peer_send_to(r, s.b, s.a->mac, 60, i);
		assert_true(fe_queue_wait_interrupt(q, rig_patience(r)) > 0);
		peer_expect(r, s.a, s.a->mac, s.b->mac, 60, i);
	}
}

static void r66_a_full_call_counter_blocks_nobody(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	const struct stream st = {.n = 200, .len = 100};
	struct fe_queue *q = fe_guest_rx(s.a->g, 0);

	fe_queue_interrupts(q);
	assert_int_equal(eventfd_write(q->call_fd, UINT64_MAX - 1), 0);
	stream_check(r, s.b, s.a, &st);
	stream_check(r, s.a, s.b, &st);
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
		ATTACK_BOTH(cve_2026_86566_receive_chains_of_crumbs_are_never_left),
		ATTACK_BOTH(r50_a_frame_for_more_buffers_than_there_are_leaks_none),
		ATTACK_BOTH(r51_a_buffer_that_is_too_small_comes_back_empty),
		ATTACK_BOTH(cve_2021_3748_a_bad_buffer_in_a_frame_accounts_for_all),
		ATTACK_BOTH(r41_a_receive_chain_that_loops_is_passed_over),
		ATTACK_BOTH(r47_used_lengths_and_ids_are_exact),
		ATTACK_BOTH(r60_a_header_in_any_pieces_is_the_same),
		ATTACK_BOTH(spdk_7a3246bfb2_a_full_ring_is_not_an_empty_one),
		ATTACK_BOTH(r63_no_notification_is_lost),
		ATTACK_BOTH(r64_after_a_start_the_first_frame_interrupts),
		ATTACK_BOTH(r66_a_full_call_counter_blocks_nobody),
	};

	return hostile_main("hostile_ring", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
