/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guests behind an IOMMU: frames arrive complete, in order and without loss, whatever is unknown.
 */
#include <errno.h>
#include <string.h>

#include "traffic.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

static const uint64_t formats[] = {0, PACKED};

/*
 * A stream of 64 KiB frames that fit the fifo, or of small ones. In strict mode each buffer costs
 * two messages and their answers.
 */
static struct stream stream_of(const struct rig *r, enum fe_iommu_mode mode, bool large)
{
	uint32_t slow = (uint32_t)r->slow * (mode == FE_IOMMU_STRICT ? 2 : 1);

	if (large)
		return (struct stream){
			.n = 80 / slow, .len = 65000, .window = 4, .hdr = &traffic_tso};
	return (struct stream){.n = 2000 / slow, .len = 300, .window = 64};
}

static void channel_was_used_well(const struct peer *p)
{
	assert_true(p->g->channel.misses > 0);
	assert_int_equal(p->g->channel.others, 0);
	assert_int_equal(p->g->channel.access_fails, 0);
}

/* Two guests behind IOMMUs of this kind, both formats, small and large frames. */
static void frames_pass(struct rig *r, enum fe_iommu_mode mode)
{
	for (unsigned i = 0; i < 4; i++) {
		bool large = i & 1;
		struct fe_guest_config c = guest_behind(mode, large);
		struct stream s = stream_of(r, mode, large);
		struct peer *a, *b;

		c.features |= formats[i / 2];
		c.iommu.resting = 32;
		a = peer_up_linked(r, "a", &c);
		b = peer_up_linked(r, "b", &c);
		peers_meet(r, a, b);
		traffic_check(r, a, b, &s);
		channel_was_used_well(a);
		channel_was_used_well(b);
		rig_clean((void **)&r);
	}
}

static void frames_pass_when_all_is_mapped_for_good(void **state)
{
	frames_pass(*state, FE_IOMMU_STATIC);
}

/* Of the unmapped buffers none is ever written: see fe_iommu_config.resting. */
static void frames_pass_when_each_buffer_is_mapped_alone(void **state)
{
	frames_pass(*state, FE_IOMMU_STRICT);
}

static void buffers_in_many_pieces_pass(void **state)
{
	static const struct fe_cut cuts[] = {
		{.indirect = true},
		{.hdr_segs = 1, .data_segs = 5},
		{.hdr_segs = 3, .data_segs = 4, .indirect = true},
	};

	for (size_t i = 0; i < 2 * RW_ARRAY_SIZE(cuts); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
		struct stream s = {.n = 100 / (uint32_t)rig.slow, .len = 8000, .window = 16};
		struct peer *a, *b;

		/* Not mergeable: each buffer is of several pages, and its pieces cross them. */
		c.features &= ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
		c.features |= formats[i % 2];
		c.rx_buf_size = c.tx_buf_size = 9100;
		c.rx_cut = s.cut = cuts[i / 2];
		c.iommu.entry_pages = 2;
		a = peer_up_linked(*state, "a", &c);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		traffic_check(*state, a, b, &s);
		rig_clean(state);
	}
}

static void a_guest_with_and_one_without_iommu_meet(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		bool large = i & 1, split = i & 2;
		struct fe_guest_config with = guest_behind(FE_IOMMU_STRICT, large);
		struct fe_guest_config without = large ? guest_large() : guest_usual();
		struct stream s = stream_of(*state, FE_IOMMU_STRICT, large);
		struct peer *a, *b;

		s.n /= 2;
		with.features |= split ? 0 : PACKED;
		without.features |= i & 4 ? PACKED : 0;
		a = peer_up_linked(*state, "a", &with);
		b = peer_up_linked(*state, "b", &without);
		peers_meet(*state, a, b);
		traffic_check(*state, a, b, &s);
		rig_clean(state);
	}
}

static void without_acknowledgements_it_works_too(void **state)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
		struct stream s = {.n = 300 / (uint32_t)rig.slow, .len = 1000, .window = 32};
		struct peer *a, *b;

		c.features |= formats[i];
		c.protocol_features &= ~FE_BIT(VU_PF_REPLY_ACK);
		a = peer_up_linked(*state, "a", &c);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		traffic_check(*state, a, b, &s);
		assert_int_equal(a->g->channel.answered, 0);
		rig_clean(state);
	}
}

/* A guest whose front-end sends what it has before it is asked. */
static void what_is_known_is_not_asked_for(void **state)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STATIC, false);
		struct stream s = {.n = 1000 / (uint32_t)rig.slow, .len = 1000};
		struct peer *a, *b;
		uint64_t at;

		c.features |= formats[i];
		a = peer_new(*state, "a", &c);
		b = peer_up_linked(*state, "b", NULL);
		peer_connect(*state, a);
		assert_int_equal(fe_guest_negotiate(a->g), 0);
		assert_int_equal(fe_guest_reset_rings(a->g), 0);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		for (at = a->g->iommu.base; fe_iommu_find(&a->g->iommu, at); at += FE_PAGE)
			assert_int_equal(fe_guest_push(a->g, at), 0);
		assert_int_equal(fe_guest_start_ring(a->g, 0), 0);
		assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
		peers_meet(*state, a, b);
		traffic_check(*state, a, b, &s);
		assert_int_equal(a->g->channel.misses, 0);
		rig_clean(state);
	}
}

/* I/O virtual address of byte `off` of a queue's buffers, all memory being mapped at once. */
static uint64_t static_iova(const struct peer *p, const struct fe_queue *q, uint64_t off)
{
	const struct fe_region *r = &p->g->mem.regions[0];

	return r->iova + (q->bufs.gpa + off - r->c.gpa);
}

/* Make the back-end forget a queue's buffers, but not the pages that they share with others. */
static void forget_buffers(struct peer *p, const struct fe_queue *q)
{
	uint64_t bytes = (uint64_t)q->bufs.n * q->bufs.stride;
	uint64_t first = rw_align_up(static_iova(p, q, 0), FE_PAGE);
	uint64_t end = static_iova(p, q, bytes) & ~(FE_PAGE - 1);

	assert_int_equal(fe_guest_invalidate(p->g, first, (uint32_t)((end - first) / FE_PAGE)), 0);
}

/* Wait until the back-end has asked for more than `n` pages. */
static void await_misses(struct rig *r, struct peer *p, uint64_t n)
{
	rig_wait(r, (peers_service(r), p->g->channel.misses > n));
}

static void late_answers_delay_one_queue_alone(void **state)
{
	const struct stream s = {.n = 150, .len = 500}; /* more than there are buffers */

	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STATIC, false);
		struct peer *a, *b, *n;
		uint64_t misses, drops;

		c.features |= formats[i];
		c.tx_size = 64;
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		n = peer_up_linked(*state, "c", NULL);
		peers_meet(*state, a, n);
		peers_meet(*state, b, n);
		peers_meet(*state, b, a);
		traffic_check(*state, b, n, &s); /* all transmit buffers are known */
		forget_buffers(b, fe_guest_rx(b->g, 0));
		misses = b->g->channel.misses;
		drops = port_drops(*state, "b");
		b->g->channel.answers = FE_HOLD;
		for (uint32_t k = 0; k < 100; k++)
			peer_send_to(*state, a, b->mac, 400, k);
		await_misses(*state, b, misses);
		traffic_check(*state, a, n, &s); /* other ports */
		stream_check(*state, b, n, &s);  /* the other direction */
		assert_int_equal(fe_ring_has_used(&fe_guest_rx(b->g, 0)->ring), false);
		b->g->channel.answers = FE_ANSWER;
		for (uint32_t k = 0; k < 100; k++)
			peer_expect(*state, b, b->mac, a->mac, 400, k);
		traffic_check(*state, a, b, &s);
		assert_int_equal(port_drops(*state, "b"), drops);
		rig_clean(state);
	}
}

/* The same for what the guest sends: it waits in its ring. */
static void late_answers_delay_no_receiving(void **state)
{
	const struct stream s = {.n = 150, .len = 500}; /* more than there are buffers */

	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STATIC, false);
		struct peer *a, *b;
		uint64_t misses;

		c.features |= formats[i];
		c.rx_size = 64;
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		traffic_check(*state, a, b, &s);
		forget_buffers(b, fe_guest_tx(b->g, 0));
		misses = b->g->channel.misses;
		b->g->channel.answers = FE_HOLD;
		for (uint32_t k = 0; k < 100; k++)
			peer_send_to(*state, b, a->mac, 400, k);
		await_misses(*state, b, misses);
		stream_check(*state, a, b, &s);
		assert_int_equal(fe_guest_tx(b->g, 0)->ring.in_flight, 100);
		b->g->channel.answers = FE_ANSWER;
		for (uint32_t k = 0; k < 100; k++)
			peer_expect(*state, a, a->mac, b->mac, 400, k);
		rig_clean(state);
	}
}

/*
 * Add to the guest's transmitq what the front-end will refuse; the next flush publishes it. `token`
 * must not be a buffer's: fe_guest_put must not meet it, so nothing is put between its use and
 * fe_ring_pop.
 */
static void put_refused(struct peer *p, uint64_t token)
{
	const struct fe_seg segs[] = {{p->g->iommu.base - 0x10000, 100}};
	const struct fe_chain chain = {.segs = segs, .n_out = 1, .token = token};

	assert_int_equal(fe_ring_add(&fe_guest_tx(p->g, 0)->ring, &chain), 0);
}

static void what_the_front_end_refuses_to_send_is_dropped(void **state)
{
	const struct stream s = {.n = 100, .len = 500};

	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
		struct peer *a, *b;
		struct fe_used used;
		uint64_t bad;

		c.features |= formats[i];
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		bad = rig_counter(*state, "b", "rx", "drops.bad_address");
		for (unsigned k = 0; k < 5; k++) {
			struct fe_ring *ring = &fe_guest_tx(b->g, 0)->ring;

			peer_rest(*state, b);
			put_refused(b, 1000);
			peer_send_to(*state, b, a->mac, 200, 1); /* it comes right behind */
			peer_expect(*state, a, a->mac, b->mac, 200, 1);
			/* The frame may arrive before its sender has the buffers back. */
			rig_wait(*state, !fe_ring_pop(ring, &used));
			assert_int_equal(used.token, 1000);
		}
		assert_int_equal(rig_counter(*state, "b", "rx", "drops.bad_address"), bad + 5);
		traffic_check(*state, a, b, &s);
		assert_int_equal(fe_queue_errors(fe_guest_tx(b->g, 0)), 0);
		rig_clean(state);
	}
}

/* Take receive buffer `n`, the n-th in the ring, away from the device. */
static void pull_away(struct peer *p, uint16_t n)
{
	const struct fe_dma *dma = &fe_guest_rx(p->g, 0)->bufs.dma[n];

	for (uint32_t i = 0; i < dma->pages; i++)
		assert_int_equal(fe_iommu_unmap(&p->g->iommu, dma->iova + i * FE_PAGE), 0);
	assert_int_equal(fe_guest_invalidate(p->g, dma->iova, dma->pages), 0);
}

static void what_the_front_end_refuses_to_receive_is_returned_empty(void **state)
{
	const struct stream s = {.n = 100, .len = 500};

	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
		struct peer *a, *b;
		struct fe_used used;
		uint64_t bad;

		c.features |= formats[i];
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		pull_away(b, 0);
		bad = rig_counter(*state, "b", "tx", "drops.bad_address");
		peer_send_to(*state, a, mac_broadcast, 100, 7);
		rig_wait(*state,
			(peers_service(*state), fe_ring_has_used(&fe_guest_rx(b->g, 0)->ring)));
		assert_int_equal(fe_ring_pop(&fe_guest_rx(b->g, 0)->ring, &used), 0);
		assert_int_equal(used.token, 0);
		assert_int_equal(used.len, 0);
		peer_expect(*state, b, mac_broadcast, a->mac, 100, 7);
		assert_int_equal(rig_counter(*state, "b", "tx", "drops.bad_address"), bad + 1);
		peers_meet(*state, a, b);
		stream_check(*state, a, b, &s);
		rig_clean(state);
	}
}

/* In the middle of a frame, which is dropped with the buffers it had got. */
static void a_large_frame_loses_with_one_of_its_buffers(void **state)
{
	const struct stream s = {.n = 100, .len = 500};

	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, true);
		struct fe_guest_config plain = guest_large();
		struct peer *a, *b;
		struct fe_used used;
		uint64_t bad;

		c.features |= formats[i];
		a = peer_up_linked(*state, "a", &plain);
		b = peer_up_linked(*state, "b", &c);
		pull_away(b, 2);
		bad = rig_counter(*state, "b", "tx", "drops.bad_address");
		peer_send_to(*state, a, mac_broadcast, 10000, 7); /* five buffers */
		for (uint16_t k = 0; k < 3; k++) {
			struct fe_ring *ring = &fe_guest_rx(b->g, 0)->ring;

			rig_wait(*state, (peers_service(*state), fe_ring_has_used(ring)));
			assert_int_equal(fe_ring_pop(ring, &used), 0);
			assert_int_equal(used.token, k);
			assert_int_equal(used.len, 0);
		}
		assert_int_equal(rig_counter(*state, "b", "tx", "drops.bad_address"), bad + 1);
		peers_meet(*state, a, b);
		stream_check(*state, a, b, &s);
		rig_clean(state);
	}
}

/* Questions that a back-end may ask in vain: some at once, some each 100 ms. */
static uint64_t few_misses(uint64_t since_ms)
{
	return 100 * (1 + (rw_now_ms() - since_ms) / 100);
}

static void nobody_else_is_hurt_by(struct rig *r, enum fe_answers answers)
{
	struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
	struct stream s = {.n = 3000 / (uint32_t)r->slow, .len = 500};
	struct peer *a, *b, *n;
	uint64_t misses, begin = rw_now_ms();

	a = peer_up_linked(r, "a", NULL);
	b = peer_up_linked(r, "b", &c);
	n = peer_up_linked(r, "c", NULL);
	peers_meet(r, a, n);
	peers_meet(r, a, b);
	b->g->channel.answers = answers;
	misses = b->g->channel.misses;
	/* The rest of its buffers is not known yet; nor is what it sends. */
	for (uint32_t k = 0; k < 200; k++)
		peer_send_to(r, a, b->mac, 500, k);
	for (uint32_t k = 0; k < 10; k++)
		peer_send_to(r, b, a->mac, 500, k);
	await_misses(r, b, misses);
	traffic_check(r, a, n, &s);
	traffic_check(r, a, n, &s);
	assert_in_range(b->g->channel.misses - misses, 1, few_misses(begin));
	/* It comes to its senses. With a new channel what was never answered is asked again. */
	b->g->channel.answers = FE_ANSWER;
	peer_new_channel(b);
	for (uint32_t k = 0; k < 10; k++)
		peer_expect(r, a, a->mac, b->mac, 500, k);
	for (uint32_t k = 0; k < 200; k++)
		peer_expect(r, b, b->mac, a->mac, 500, k);
	s.n = 100;
	traffic_check(r, a, b, &s);
}

static void a_front_end_that_lies_hurts_nobody_else(void **state)
{
	nobody_else_is_hurt_by(*state, FE_LIE);
}

static void a_front_end_that_never_answers_hurts_nobody_else(void **state)
{
	nobody_else_is_hurt_by(*state, FE_IGNORE);
}

/* A posted buffer that is refused in advance is not asked for again and again. */
static void a_refused_buffer_is_asked_for_once(void **state)
{
	const struct stream s = {.n = 2000 / (uint32_t)rig.slow, .len = 100};
	struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
	uint64_t begin = rw_now_ms();
	struct peer *a, *b, *n;

	a = peer_up_linked(*state, "a", NULL);
	b = peer_up_linked(*state, "b", &c);
	n = peer_up_linked(*state, "c", NULL);
	pull_away(b, 3);
	peers_meet(*state, a, n);
	traffic_check(*state, a, n, &s);
	assert_in_range(b->g->channel.misses, 1, few_misses(begin));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(frames_pass_when_all_is_mapped_for_good),
		rig_test(frames_pass_when_each_buffer_is_mapped_alone),
		rig_test(buffers_in_many_pieces_pass),
		rig_test(a_guest_with_and_one_without_iommu_meet),
		rig_test(without_acknowledgements_it_works_too),
		rig_test(what_is_known_is_not_asked_for),
		rig_test(late_answers_delay_one_queue_alone),
		rig_test(late_answers_delay_no_receiving),
		rig_test(what_the_front_end_refuses_to_send_is_dropped),
		rig_test(what_the_front_end_refuses_to_receive_is_returned_empty),
		rig_test(a_large_frame_loses_with_one_of_its_buffers),
		rig_test(a_front_end_that_lies_hurts_nobody_else),
		rig_test(a_front_end_that_never_answers_hurts_nobody_else),
		rig_test(a_refused_buffer_is_asked_for_once),
	};

	return cmocka_run_group_tests(tests, start, rig_stop);
}
