/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive buffers that break the rules, and notifications. */
#include "ring.h"

#include <string.h>
#include <sys/eventfd.h>

#define SIZE 16
#define HDR  12

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

/* ---- mirrors ---- */

static uint64_t copies_lost(struct rig *r)
{
	json_t *mirrors = rig_call(r, "mirror.list", NULL), *count;
	json_t *lost = json_object_get(json_array_get(mirrors, 0), "lost");
	const char *why;
	uint64_t n = 0;

	json_object_foreach(lost, why, count) n += (uint64_t)json_integer_value(count);
	json_decref(mirrors);
	return n;
}

/* Break the ring on which the guest receives. */
static void receive_ring_break(const struct scene *s)
{
	struct fe_ring *ring = rx_ring(s);

	if (!s->format) {
		__atomic_store_n(
			&ring->avail->idx, (uint16_t)(ring->avail->idx + 0x8000), __ATOMIC_RELEASE);
	} else {
		uint16_t flags = (uint16_t)(VRING_DESC_F_WRITE | VRING_DESC_F_NEXT |
			(ring->avail_wrap ? FE_PACKED_AVAIL : FE_PACKED_USED));

		for (uint16_t i = 0; i < SIZE; i++)
			__atomic_store_n(&ring->pdesc[i].flags, flags, __ATOMIC_RELEASE);
	}
}

/*
 * The canary's own frames are mirrored to a guest that takes back no buffer, then breaks its ring,
 * then starts it again, over and over.
 */
static void a_mirrors_destination_that_breaks_costs_its_sources_nothing(
	struct rig *r, uint64_t format)
{
	const struct scene s = scene_up(r, format, SIZE);

	json_decref(rig_call(r, "mirror.add",
		json_pack("{s:s, s:[s, s], s:s}", "name", "m", "source", "y", "z", "to", "a")));
	for (unsigned i = 0; i < 3; i++) {
		uint64_t lost;

		/* All its buffers are full. */
		rig_wait(r, fe_ring_has_used(rx_ring(&s)));
		lost = copies_lost(r);
		rig_wait(r, copies_lost(r) > lost + 20);
		receive_ring_break(&s);
		rig_wait(r, rig_port_info(r, "a", "broken_rings") == 1);
		lost = copies_lost(r);
		rig_wait(r, copies_lost(r) > lost + 20);
		rings_reset(&s);
	}
	json_decref(rig_call(r, "mirror.del", json_pack("{s:s}", "name", "m")));
	peer_drain(r, s.a);
	works(&s);
}

int main(void)
{
	static const struct attack attacks[] = {
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
		ATTACK_BOTH(a_mirrors_destination_that_breaks_costs_its_sources_nothing),
	};

	return hostile_main("hostile_receive", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
