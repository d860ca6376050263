/* SPDX-License-Identifier: BSD-3-Clause */
/* What only one format of rings has to go wrong, and headers that lie. */
#include "ring.h"

#include <string.h>

#define SIZE 16
#define HDR  12

/* ---- split ---- */

/* Also SPDK v19.01: which of three descriptors goes on with which, or with any number. */
static void r41_chains_that_loop_or_leave_the_table_are_refused(struct rig *r, uint64_t format)
{
	static const struct {
		uint8_t at;
		uint16_t to;
		bool absolute;
	} bends[] = {{0, 0, false}, {1, 0, false}, {2, 0, false}, {2, 1, false}, {2, 2, false},
		{0, SIZE, true}, {1, SIZE + 1, true}, {2, 255, true}, {2, 0x8000, true},
		{2, 0xffff, true}};
	static const uint32_t lens[] = {0, 1, 30};
	const struct scene s = scene_up(r, format, SIZE);

	for (size_t i = 0; i < RW_ARRAY_SIZE(bends) * RW_ARRAY_SIZE(lens); i++) {
		const struct fe_seg seg = {good_gpa(&s), lens[i % RW_ARRAY_SIZE(lens)]};
		const struct fe_seg segs[3] = {seg, seg, seg};
		uint64_t before = rx_drops(&s);
		struct fe_ring *ring = tx_ring(&s);
		const size_t k = i / RW_ARRAY_SIZE(lens);
		uint16_t d[3];

		tx_settle(&s);
		d[0] = ring->free_head;
		assert_int_equal(
			fe_ring_add(ring, &(struct fe_chain){.segs = segs, .n_out = 3}), 0);
		d[1] = ring->desc[d[0]].next;
		d[2] = ring->desc[d[1]].next;
		ring->desc[d[bends[k].at]].flags |= VRING_DESC_F_NEXT;
		ring->desc[d[bends[k].at]].next = bends[k].absolute ? bends[k].to : d[bends[k].to];
		tx_go(&s);
		comes_back(&s);
		rig_wait(r, rx_drops(&s) == before + 1);
	}
	works(&s);
}

static void r41_indirect_tables_that_loop_are_refused(struct rig *r, uint64_t format)
{
	static const uint16_t nexts[] = {0, 1, 2, 3, 0x8000, 0xffff};
	const struct scene s = scene_up(r, format, SIZE);
	struct fe_queue *q = fe_guest_tx(s.a->g, 0);

	for (size_t i = 0; i < RW_ARRAY_SIZE(nexts) * 2; i++) {
		const struct fe_seg segs[2] = {{good_gpa(&s), i & 1 ? 0 : HDR}, {good_gpa(&s), 60}};
		const struct fe_chain c = {
			.segs = segs, .n_out = 2, .table = q->tables, .table_gpa = q->tables_gpa};
		uint64_t before = rx_drops(&s);

		tx_settle(&s);
		assert_int_equal(fe_ring_add(tx_ring(&s), &c), 0);
		q->tables[1].split.flags |= VRING_DESC_F_NEXT;
		q->tables[1].split.next = nexts[i / 2];
		tx_go(&s);
		comes_back(&s);
		rig_wait(r, rx_drops(&s) == before + 1);
	}
	works(&s);
}

/* Also rust-vmm virtio-queue 0.6.1 and CVE-2016-5403. */
static void r43_an_available_index_that_jumps_breaks_the_ring(struct rig *r, uint64_t format)
{
	static const uint16_t jumps[] = {SIZE + 1, 2 * SIZE, 0x8000, 0xffff};
	const struct scene s = scene_up(r, format, SIZE);

	for (size_t i = 0; i < RW_ARRAY_SIZE(jumps); i++) {
		struct vring_avail *avail = tx_ring(&s)->avail;

		tx_settle(&s);
		__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + jumps[i]), __ATOMIC_RELEASE);
		ring_breaks(&s, 1);
	}
}

static void r43_heads_outside_the_table_break_the_ring(struct rig *r, uint64_t format)
{
	static const uint16_t heads[] = {SIZE, 255, 0x8000, 0xffff};
	const struct scene s = scene_up(r, format, SIZE);

	for (size_t i = 0; i < RW_ARRAY_SIZE(heads); i++) {
		struct vring_avail *avail = tx_ring(&s)->avail;

		tx_settle(&s);
		avail->ring[avail->idx % SIZE] = heads[i];
		__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
		ring_breaks(&s, 1);
	}
}

/* The same chain again and again in one burst: each entry is returned once. */
static void r43_a_head_that_comes_twice_is_returned_twice(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	struct fe_ring *ring = tx_ring(&s);
	uint16_t used;

	tx_settle(&s);
	used = __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE);
	ring->desc[0] = (struct vring_desc){.addr = good_gpa(&s), .len = HDR + 60};
	for (uint16_t i = 0; i < SIZE; i++)
		ring->avail->ring[i] = 0;
	__atomic_store_n(&ring->avail->idx, (uint16_t)(ring->avail->idx + SIZE), __ATOMIC_RELEASE);
	fe_queue_kick(fe_guest_tx(s.a->g, 0));
	rig_wait(r, __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) == (uint16_t)(used + SIZE));
	for (uint16_t i = 0; i < SIZE; i++)
		assert_int_equal(ring->used->ring[i].id, 0);
	peer_drain(r, s.b);
	rings_reset(&s);
	peer_drain(r, s.b);
	works(&s);
}

static void r44_indices_wrap(struct rig *r, uint64_t format)
{
	const struct stream st = {.n = 200, .len = 100};
	struct fe_guest_config c = guest_usual();

	c.features |= format;
	for (uint32_t size = 1; size <= 32768; size *= 8) {
		struct scene s;

		c.tx_size = c.rx_size = (uint16_t)size;
		c.ring_start = 65530;
		s = scene_with(r, format, &c);
		stream_check(r, s.a, s.b, &st);
		stream_check(r, s.b, s.a, &(struct stream){.n = 200, .len = 100, .window = 1});
		rig_clean((void **)&r);
	}
}

/* ---- packed ---- */

/* Also R53: chains of three go round rings of every size, so each wraps somewhere. */
static void r52_rings_of_any_size_wrap_anywhere(struct rig *r, uint64_t format)
{
	static const uint16_t sizes[] = {3, 4, 5, 7, 9, 17, 31, 33, 100, 257};
	struct fe_guest_config c = guest_usual();

	c.features |= format;
	for (size_t i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		const struct stream st = {.n = 3u * sizes[i] + 5,
			.len = 300,
			.window = RW_MAX(sizes[i] / 3, 1),
			.cut = {.hdr_segs = 1, .data_segs = 2}};
		struct scene s;

		c.tx_size = c.rx_size = sizes[i];
		s = scene_with(r, format, &c);
		stream_check(r, s.a, s.b, &st);
		/* In batches of four, single descriptors. */
		stream_check(r, s.a, s.b, &(struct stream){.n = 60, .len = 300, .window = 4});
		stream_check(r, s.b, s.a, &(struct stream){.n = 60, .len = 300, .window = 3});
		rig_clean((void **)&r);
	}
}

/* Also R55: ids in any order, bursts of every length, and each is returned at its end. */
static void r54_ids_and_lengths_of_chains_are_their_own(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_usual();
	struct scene s;

	c.features |= format;
	c.scatter = true;
	c.rx_cut = (struct fe_cut){.hdr_segs = 1, .data_segs = 2};
	s = scene_with(r, format, &c);
	for (uint32_t n = 1; n <= 17; n++) {
		const struct stream st = {.n = n,
			.len = 100 + n,
			.window = n,
			.cut = {.data_segs = (uint8_t)(1 + n % 4)}};

		stream_check(r, s.a, s.b, &st);
		stream_check(r, s.b, s.a, &st);
		tx_settle(&s);
	}
}

static void r56_without_version_1_and_mergeable_buffers_a_header_has_its_length(
	struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_usual();
	struct scene s;

	c.features = (c.features | format) & ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	s = scene_with(r, format, &c);
	works(&s);
	rig_clean((void **)&r);
	/* Packed rings need VERSION_1: without, the guest gets 12 bytes or is refused. */
	c.features &= ~FE_BIT(VIRTIO_F_VERSION_1);
	s.a = negotiated(r, &c);
	if (!(s.a->g->features & PACKED))
		return;
	s.b = peer_up(r, "b", NULL);
	fe_guest_disconnect(s.a->g);
	peer_connect(r, s.a);
	if (!fe_guest_start(s.a->g))
		peer_sync(s.a);
}

/* Flags of 3, and offsets that no ring has, in the driver's event suppression. */
static void r57_garbage_in_the_event_area_disturbs_nothing(struct rig *r, uint64_t format)
{
	static const struct {
		uint16_t off_wrap, flags;
	} garbage[] = {{0, 3}, {0xffff, 3}, {0x7fff, 2}, {0xffff, 2}, {SIZE, 2}, {0x8000 | SIZE, 2},
		{0, 0xffff}, {0xffff, 0xfffc}};
	const struct stream st = {.n = 40, .len = 100};
	const struct scene s = scene_up(r, format, SIZE);

	for (size_t i = 0; i < RW_ARRAY_SIZE(garbage); i++) {
		for (uint32_t k = 0; k < 2; k++) {
			struct fe_ring *ring = &s.a->g->queues[k].ring;

			ring->driver_event->off_wrap = garbage[i].off_wrap;
			ring->driver_event->flags = garbage[i].flags;
		}
		stream_check(r, s.a, s.b, &st);
		stream_check(r, s.b, s.a, &st);
	}
}

static void r57_a_ring_whose_event_area_is_not_mapped_does_not_run(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	const struct fe_region *region = &s.a->g->mem.regions[0];
	const struct fe_queue *q = fe_guest_tx(s.a->g, 0);

	for (int which = 0; which < 2; which++) {
		struct vu_vring_addr addr = {.index = 1,
			.desc = fe_guest_ring_addr(s.a->g, 1, q->layout.desc),
			.avail = fe_guest_ring_addr(s.a->g, 1, q->layout.driver),
			.used = fe_guest_ring_addr(s.a->g, 1, q->layout.device)};

		*(which ? &addr.used : &addr.avail) = region->c.uva + region->c.size;
		if (refused(r, s.a, VU_SET_VRING_ADDR, &addr, sizeof(addr), -1))
			run_rings(s.a);
		works(&s);
	}
}

/* Also SPDK #3860: ids out of range, and one of several. */
static void r58_any_id_is_returned_as_it_came(struct rig *r, uint64_t format)
{
	static const uint16_t ids[] = {SIZE, 255, 0x7fff, 0x8000, 0xffff, 0};
	const struct scene s = scene_up(r, format, SIZE);

	for (size_t i = 0; i < RW_ARRAY_SIZE(ids); i++) {
		const struct fe_seg seg = {good_gpa(&s), HDR + 60};
		struct fe_ring *ring = tx_ring(&s);
		uint16_t head;

		tx_settle(&s);
		assert_int_equal(
			fe_ring_add(ring, &(struct fe_chain){.segs = &seg, .n_out = 1}), 0);
		head = last_head(ring);
		ring->pdesc[head].id = ids[i];
		tx_go(&s);
		rig_wait(r, fe_ring_has_used(ring) || rig_port_info(r, "a", "broken_rings"));
		if (!rig_port_info(r, "a", "broken_rings"))
			assert_int_equal(ring->pdesc[head].id, ids[i]);
		rings_reset(&s);
		peer_drain(r, s.b);
		works(&s);
	}
}

/* All descriptors are available with the wrong wrap counter, or both flags are set or clear. */
static void r58_flags_of_nonsense_make_no_endless_burst(struct rig *r, uint64_t format)
{
	static const uint16_t flags[] = {0, FE_PACKED_AVAIL, FE_PACKED_USED,
		FE_PACKED_AVAIL | FE_PACKED_USED, FE_PACKED_AVAIL | VRING_DESC_F_NEXT,
		FE_PACKED_AVAIL | VRING_DESC_F_INDIRECT, 0xffff};

	for (size_t i = 0; i < RW_ARRAY_SIZE(flags); i++) {
		const struct scene s = scene_up(r, format, SIZE);
		struct fe_ring *ring = tx_ring(&s);

		tx_settle(&s);
		for (uint16_t k = SIZE; k-- > 0;) {
			ring->pdesc[k].addr = good_gpa(&s);
			ring->pdesc[k].len = HDR + 60;
			__atomic_store_n(&ring->pdesc[k].flags, flags[i], __ATOMIC_RELEASE);
		}
		fe_queue_kick(fe_guest_tx(s.a->g, 0));
		stream_check(r, s.b, s.a, &(struct stream){.n = 20, .len = 100});
		rings_reset(&s);
		peer_drain(r, s.b);
		works(&s);
		rig_clean((void **)&r);
	}
}

static void r58_a_chain_without_an_end_breaks_the_ring(struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);
	struct fe_ring *ring = tx_ring(&s);
	uint16_t slot, flags;

	tx_settle(&s);
	slot = ring->avail_idx;
	for (uint16_t i = 0; i < SIZE; i++)
		ring->pdesc[i].flags |= VRING_DESC_F_NEXT;
	ring->pdesc[slot].addr = good_gpa(&s);
	ring->pdesc[slot].len = 72;
	flags = (uint16_t)(VRING_DESC_F_NEXT |
		(ring->avail_wrap ? FE_PACKED_AVAIL : FE_PACKED_USED));
	__atomic_store_n(&ring->pdesc[slot].flags, flags, __ATOMIC_RELEASE);
	ring_breaks(&s, 1);
}

/* ---- headers ---- */

/* A header on its way: it arrives, and then it is in range; or the frame is dropped for it. */
static void header_passes_or_drops(
	const struct scene *s, const struct virtio_net_hdr *hdr, uint32_t len)
{
	static uint8_t data[2048], got[FRAME_MAX];
	const struct virtio_net_hdr_mrg_rxbuf h = {.hdr = *hdr};
	uint64_t before = rx_drops(s), undelivered = port_drops(s->r, "b");
	struct fe_received in;
	int err;

	frame_make(data, len, s->b->mac, s->a->mac, 7);
	peer_send(s->r, s->a, 0, &(struct fe_frame){.data = data, .len = len, .hdr = &h});
	rig_wait(s->r,
		(err = fe_guest_recv(s->b->g, 0, got, sizeof(got), &in)) != -EAGAIN ||
			rx_drops(s) != before || port_drops(s->r, "b") != undelivered);
	if (err)
		return;
	assert_int_equal(in.len, len);
	assert_memory_equal(got, data, len);
	if (in.hdr.hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		assert_true(in.hdr.hdr.csum_start + in.hdr.hdr.csum_offset + 2u <= len);
	if (in.hdr.hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		assert_true(in.hdr.hdr.gso_size > 0);
		assert_true(in.hdr.hdr.hdr_len <= len);
	}
}

/* Also DPDK 285e6b8b18. */
static void cve_2024_11614_a_checksum_outside_the_frame_goes_nowhere(struct rig *r, uint64_t format)
{
	const uint16_t at[] = {0, 14, 98, 99, 100, 101, 0x7fff, 0xfffe, 0xffff};
	const struct scene s = scene_up(r, format, 64);

	for (size_t i = 0; i < RW_ARRAY_SIZE(at); i++) {
		for (size_t k = 0; k < RW_ARRAY_SIZE(at); k++) {
			const struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				.csum_start = at[i],
				.csum_offset = at[k]};

			header_passes_or_drops(&s, &h, 100);
		}
	}
	works(&s);
}

/* Also CVE-2026-100236 and DPDK 7023f3e532. */
static void r59_segmentation_fields_of_nonsense_go_nowhere(struct rig *r, uint64_t format)
{
	static const uint8_t types[] = {VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_UDP,
		VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_HDR_GSO_UDP_L4,
		VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, 2, 0x7f, 0xff};
	static const uint16_t sizes[] = {0, 1, 53, 1448, 0xffff};
	static const uint16_t hdr_lens[] = {0, 13, 54, 1500, 0xffff};
	const struct scene s = scene_up(r, format, 64);

	for (size_t t = 0; t < RW_ARRAY_SIZE(types); t++) {
		for (size_t i = 0; i < RW_ARRAY_SIZE(sizes) * RW_ARRAY_SIZE(hdr_lens); i++) {
			const struct virtio_net_hdr h = {
				.flags = i & 1 ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0,
				.gso_type = types[t],
				.gso_size = sizes[i % RW_ARRAY_SIZE(sizes)],
				.hdr_len = hdr_lens[i / RW_ARRAY_SIZE(sizes)],
				.csum_start = 34,
				.csum_offset = 16};

			header_passes_or_drops(&s, &h, 1500);
		}
	}
	works(&s);
}

static void r59_buffers_counted_by_the_sender_count_for_nothing(struct rig *r, uint64_t format)
{
	static const uint16_t counts[] = {1, 2, 0x8000, 0xffff};
	const struct scene s = scene_up(r, format, 64);

	for (size_t i = 0; i < RW_ARRAY_SIZE(counts); i++) {
		const struct virtio_net_hdr_mrg_rxbuf h = {.num_buffers = counts[i]};
		const struct stream st = {.n = 5, .len = 200, .hdr = &h};

		stream_check(r, s.a, s.b, &st);
	}
}

/* Also R62: to a guest that negotiated none of it. */
static void r62_offloads_reach_only_who_takes_them(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_usual(), plain = guest_usual();
	static uint8_t data[1500], got[FRAME_MAX];
	struct scene s = {.r = r, .format = format};
	struct fe_received in;

	c.features |= format;
	plain.features &= ~FEATURES_OFFLOAD;
	s.a = peer_up(r, "a", &c);
	s.b = peer_up(r, "b", &plain);
	peers_meet(r, s.a, s.b);
	frame_make(data, sizeof(data), s.b->mac, s.a->mac, 1);
	for (uint32_t i = 0; i < 20; i++) {
		uint64_t before = port_drops(r, "b");
		int err;

		peer_send(r, s.a, 0,
			&(struct fe_frame){.data = data, .len = sizeof(data), .hdr = &traffic_tso});
		rig_wait(r,
			(err = fe_guest_recv(s.b->g, 0, got, sizeof(got), &in)) != -EAGAIN ||
				port_drops(r, "b") != before);
		if (!err) {
			assert_int_equal(in.hdr.hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
			assert_int_equal(in.hdr.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		}
		peer_drain(r, s.b);
	}
	works(&s);
}

/* An IP header that says anything about its length: the switch does not look. */
static void cve_2020_35498_lengths_inside_a_frame_are_not_believed(struct rig *r, uint64_t format)
{
	static const uint16_t totals[] = {0, 1, 19, 20, 46, 1500, 0xffff};
	const struct scene s = scene_up(r, format, 64);
	uint8_t data[400], got[FRAME_MAX];
	struct fe_received in;

	for (size_t i = 0; i < RW_ARRAY_SIZE(totals); i++) {
		frame_make(data, sizeof(data), s.b->mac, s.a->mac, (uint32_t)i);
		memcpy(data + 12, "\x08\x00\x4f", 3);
		data[16] = (uint8_t)(totals[i] >> 8);
		data[17] = (uint8_t)totals[i];
		peer_send(r, s.a, 0, &(struct fe_frame){.data = data, .len = sizeof(data)});
		peer_recv(r, s.b, 0, got, &in);
		assert_int_equal(in.len, sizeof(data));
		assert_memory_equal(got, data, sizeof(data));
	}
}

/* Features that would need tables and fields that are not checked are not offered. */
static void cve_2023_6693_neither_rss_nor_hash_reports_are_offered(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);

	assert_int_equal(
		a->g->offered & (FE_BIT(VIRTIO_NET_F_RSS) | FE_BIT(VIRTIO_NET_F_HASH_REPORT)), 0);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK(r41_chains_that_loop_or_leave_the_table_are_refused),
		ATTACK(r41_indirect_tables_that_loop_are_refused),
		ATTACK(r43_an_available_index_that_jumps_breaks_the_ring),
		ATTACK(r43_heads_outside_the_table_break_the_ring),
		ATTACK(r43_a_head_that_comes_twice_is_returned_twice),
		ATTACK(r44_indices_wrap),
		ATTACK_PACKED(r52_rings_of_any_size_wrap_anywhere),
		ATTACK_PACKED(r54_ids_and_lengths_of_chains_are_their_own),
		ATTACK_PACKED(r56_without_version_1_and_mergeable_buffers_a_header_has_its_length),
		ATTACK_PACKED(r57_garbage_in_the_event_area_disturbs_nothing),
		ATTACK_PACKED(r57_a_ring_whose_event_area_is_not_mapped_does_not_run),
		ATTACK_PACKED(r58_any_id_is_returned_as_it_came),
		ATTACK_PACKED(r58_flags_of_nonsense_make_no_endless_burst),
		ATTACK_PACKED(r58_a_chain_without_an_end_breaks_the_ring),
		ATTACK_BOTH(cve_2024_11614_a_checksum_outside_the_frame_goes_nowhere),
		ATTACK_BOTH(r59_segmentation_fields_of_nonsense_go_nowhere),
		ATTACK_BOTH(r59_buffers_counted_by_the_sender_count_for_nothing),
		ATTACK_BOTH(r62_offloads_reach_only_who_takes_them),
		ATTACK_BOTH(cve_2020_35498_lengths_inside_a_frame_are_not_believed),
		ATTACK(cve_2023_6693_neither_rss_nor_hash_reports_are_offered),
	};

	return hostile_main("hostile_formats", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
