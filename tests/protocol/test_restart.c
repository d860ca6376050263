/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings that are stopped, resumed, enabled and disabled while their port lives on. */
#include "harness.h"

#include <errno.h>

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abz", NULL);
}

/* SET_VRING_BASE's code for position `idx` of a packed ring, both counters alike. */
static uint32_t packed_base(uint32_t used, uint32_t num)
{
	uint32_t half = used % num | (used / num % 2 ? 0 : VU_PACKED_AVAIL_WRAP);

	return half | half << VU_PACKED_USED_SHIFT;
}

/*
 * After n frames each way: the transmit ring's next index is n, the receive ring's also, since each
 * frame took one descriptor.
 */
static void base_is_exact(struct rig *r, bool packed)
{
	static const uint32_t counts[] = {1, 6, 7, 9, 13, 64, 200};
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(r, "b", NULL);
	uint32_t total = 0, num, want, base;
	size_t i;

	c.features |= packed ? PACKED : 0;
	c.rx_size = packed ? 7 : 8;
	c.tx_size = packed ? 257 : 256;
	a = peer_up(r, "a", &c);
	peers_meet(r, a, b);
	total = 1;
	for (i = 0; i < RW_ARRAY_SIZE(counts); i++) {
		const struct stream s = {.n = counts[i], .len = 60, .window = 5};
		uint32_t ring;

		stream_check(r, a, b, &s);
		stream_check(r, b, a, &s);
		total += counts[i];
		for (ring = 0; ring < 2; ring++) {
			num = a->g->queues[ring].ring.num;
			want = packed ? packed_base(total, num) : total;
			assert_int_equal(fe_guest_stop_ring(a->g, ring, &base), 0);
			assert_int_equal(base, want);
			assert_int_equal(fe_guest_stop_ring(a->g, ring, &base), 0); /* again */
			assert_int_equal(base, want);
			assert_int_equal(fe_guest_start_ring(a->g, ring), 0);
		}
	}
}

static void a_stopped_split_ring_answers_its_exact_index(void **state)
{
	base_is_exact(*state, false);
}

static void a_stopped_packed_ring_answers_both_positions_and_wrap_counters(void **state)
{
	base_is_exact(*state, true);
}

static void a_ring_that_never_ran_answers_what_it_was_told(void **state)
{
	struct peer *a = peer_new(*state, "a", NULL);
	uint32_t base;

	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_conn_get_base(&a->g->conn, 0, &base), 0);
	assert_int_equal(base, 0);
	assert_int_equal(fe_conn_set_ring(&a->g->conn, VU_SET_VRING_BASE, 1, 4711), 0);
	assert_int_equal(fe_conn_get_base(&a->g->conn, 1, &base), 0);
	assert_int_equal(base, 4711);
	assert_int_equal(fe_conn_get_base(&a->g->conn, 255, &base), 0);
	assert_int_equal(base, 0);
}

static void resuming_loses_and_repeats_nothing(struct rig *r, uint64_t features)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b;
	uint32_t round, i;

	c.features |= features;
	c.tx_size = 64;
	a = peer_up(r, "a", &c);
	b = peer_up(r, "b", &c);
	peers_meet(r, a, b);
	for (round = 0; round < 100; round++) {
		/* Stopped with frames on the way in... */
		for (i = 0; i < 20; i++)
			peer_send_to(r, a, b->mac, 100, i);
		assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
		/* ...and more put into the resting ring. */
		for (; i < 40; i++)
			peer_send_to(r, a, b->mac, 100, i);
		assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
		for (i = 0; i < 40; i++)
			peer_expect(r, b, b->mac, a->mac, 100, i);
	}
	/* Nothing but those frames: the next is the one sent next. */
	peer_send_to(r, a, b->mac, 100, 4711);
	peer_expect(r, b, b->mac, a->mac, 100, 4711);
	rig_clean((void **)&(struct rig *){r});
}

static void a_transmit_ring_resumes_where_it_stopped(void **state)
{
	resuming_loses_and_repeats_nothing(*state, 0);
	resuming_loses_and_repeats_nothing(*state, PACKED);
	resuming_loses_and_repeats_nothing(*state, FE_BIT(VIRTIO_F_IN_ORDER));
	resuming_loses_and_repeats_nothing(*state, PACKED | FE_BIT(VIRTIO_F_IN_ORDER));
}

static void stopping_one_ring_leaves_the_others_alone(void **state)
{
	const struct stream s = {.n = 100, .len = 500};
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	struct peer *z;

	peers_meet(*state, a, b);
	assert_int_equal(fe_guest_stop_ring(a->g, 0, NULL), 0);
	stream_check(*state, a, b, &s); /* a cannot receive, yet sends */
	assert_int_equal(fe_guest_start_ring(a->g, 0), 0);
	assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
	stream_check(*state, b, a, &s); /* and the other way round */
	z = peer_up(*state, "z", NULL);
	peers_meet(*state, b, z);
}

static void frames_for_a_guest_without_receive_ring_are_counted(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	uint64_t before, i;

	peers_meet(*state, a, b);
	assert_int_equal(fe_guest_stop_ring(b->g, 0, NULL), 0);
	before = rig_counter(*state, "b", "tx", "drops.link_down");
	for (i = 0; i < 10; i++)
		peer_send_to(*state, a, b->mac, 60, (uint32_t)i);
	rig_wait(*state, rig_counter(*state, "b", "tx", "drops.link_down") == before + 10);
	assert_int_equal(fe_guest_start_ring(b->g, 0), 0);
	peers_meet(*state, a, b);
}

static void a_disabled_transmit_ring_is_consumed_and_discarded(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint64_t before;
	uint32_t round, i;

	for (round = 0; round < 2; round++) {
		c.features ^= PACKED;
		a = peer_up(*state, "a", &c);
		peers_meet(*state, a, b);
		before = rig_counter(*state, "a", "rx", "drops.queue_disabled");
		assert_int_equal(fe_guest_enable(a->g, 1, false), 0);
		for (i = 0; i < 1000; i++)
			peer_send_to(*state, a, b->mac, 60, i);
		rig_wait(*state,
			rig_counter(*state, "a", "rx", "drops.queue_disabled") == before + 1000);
		assert_int_equal(fe_guest_enable(a->g, 1, true), 0);
		peer_send_to(*state, a, b->mac, 60, 4711);
		peer_expect(*state, b, b->mac, a->mac, 60, 4711);
		peer_down(*state, a);
	}
}

static void a_disabled_receive_ring_is_supplied_with_nothing(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a = peer_up(*state, "a", NULL), *b;
	uint64_t before;
	uint32_t round, i;

	for (round = 0; round < 2; round++) {
		c.features ^= PACKED;
		b = peer_up(*state, "b", &c);
		peers_meet(*state, a, b);
		before = rig_counter(*state, "b", "tx", "drops.link_down");
		assert_int_equal(fe_guest_enable(b->g, 0, false), 0);
		for (i = 0; i < 100; i++)
			peer_send_to(*state, a, b->mac, 60, i);
		rig_wait(*state, rig_counter(*state, "b", "tx", "drops.link_down") == before + 100);
		assert_false(fe_ring_has_used(&b->g->queues[0].ring));
		assert_int_equal(fe_guest_enable(b->g, 0, true), 0);
		peer_send_to(*state, a, b->mac, 60, 4711);
		peer_expect(*state, b, b->mac, a->mac, 60, 4711);
		peer_down(*state, b);
	}
}

static void enabling_and_disabling_under_load_loses_nothing_but_the_disabled(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	const struct stream s = {.n = 50, .len = 100};
	int i;

	peers_meet(*state, a, b);
	for (i = 0; i < 100; i++) {
		assert_int_equal(fe_guest_enable(a->g, 0, i % 2), 0);
		stream_check(*state, a, b, &s);
	}
	assert_int_equal(fe_guest_enable(a->g, 0, true), 0);
	stream_check(*state, b, a, &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_stopped_split_ring_answers_its_exact_index),
		rig_test(a_stopped_packed_ring_answers_both_positions_and_wrap_counters),
		rig_test(a_ring_that_never_ran_answers_what_it_was_told),
		rig_test(a_transmit_ring_resumes_where_it_stopped),
		rig_test(stopping_one_ring_leaves_the_others_alone),
		rig_test(frames_for_a_guest_without_receive_ring_are_counted),
		rig_test(a_disabled_transmit_ring_is_consumed_and_discarded),
		rig_test(a_disabled_receive_ring_is_supplied_with_nothing),
		rig_test(enabling_and_disabling_under_load_loses_nothing_but_the_disabled),
	};

	return cmocka_run_group_tests_name("restart", tests, start, rig_stop);
}
