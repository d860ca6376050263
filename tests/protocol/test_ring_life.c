/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings in the states of the specification, while their neighbours and other ports run under
 * traffic.
 */
#include "harness.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SPARE_GPA 0x40000000ull

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

static void steps_take(struct fe_guest *g, uint32_t ring, const enum fe_step *steps, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		assert_int_equal(fe_guest_ring_step(g, ring, steps[i]), 0);
}

/* Frames [0, n) on pair 1 of a, one by one, there and back, all else being of no concern. */
static void neighbours_run(struct rig *r, struct peer *a, struct peer *b, uint32_t n)
{
	uint8_t buf[300], got[FRAME_MAX];
	const struct fe_frame f = {.data = buf, .len = sizeof(buf)};
	struct fe_received in;
	uint32_t i;

	for (i = 0; i < n; i++) {
		frame_make(buf, sizeof(buf), b->mac, a->mac, i);
		peer_send(r, a, 1, &f);
		peer_recv(r, b, 0, got, &in);
		assert_memory_equal(got, buf, sizeof(buf));
	}
}

/*
 * What a driver with RING_RESET does to one queue: stop it, make it anew, elsewhere this time, and
 * go on from the beginning.
 */
static void queue_is_reset(struct fe_guest *g, uint32_t ring, uint64_t at)
{
	static const enum fe_step steps[] = {FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_CALL};
	struct fe_queue *q = &g->queues[ring];
	bool packed = q->ring.format == FE_PACKED;
	uint8_t *host = fe_mem_at(&g->mem, at, q->layout.bytes);
	struct fe_ring_config c = {.format = q->ring.format,
		.num = q->ring.num,
		.event_idx = q->ring.event_idx,
		.wrap = true};

	assert_non_null(host);
	c.desc = host + q->layout.desc;
	c.driver = host + q->layout.driver;
	c.device = host + q->layout.device;
	assert_int_equal(fe_guest_stop_ring(g, ring, NULL), 0);
	assert_true(fe_guest_reap(g, (uint16_t)(ring / 2)) >= 0);
	assert_int_equal(q->ring.in_flight, 0);
	fe_ring_fini(&q->ring);
	assert_int_equal(fe_ring_init(&q->ring, &c), 0);
	q->gpa = at;
	q->base = packed ? 0x80008000 : 0;
	steps_take(g, ring, steps, RW_ARRAY_SIZE(steps));
}

static void one_queue_is_reset_while_its_neighbours_run(void **state)
{
	static const struct fe_region_config regions[] = {
		{.gpa = 0, .size = 0x800000, .uva = 0x7f0000000000},
		{.gpa = SPARE_GPA, .size = 0x100000, .uva = 0x7e0000000000},
	};
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint32_t round, i, k;

	c.regions = regions;
	c.nregions = RW_ARRAY_SIZE(regions);
	c.features |= FE_BIT(VIRTIO_NET_F_MQ) | FE_BIT(VIRTIO_F_RING_RESET);
	c.pairs = 2;
	for (round = 0; round < 2; round++) {
		a = peer_up(*state, "a", &c);
		assert_true(fe_guest_has(a->g, VIRTIO_F_RING_RESET));
		for (i = 0; i < 50; i++) {
			neighbours_run(*state, a, b, 20);
			for (k = 0; k < 20; k++)
				peer_send_to(*state, a, b->mac, 100, k);
			for (k = 0; k < 20; k++)
				peer_expect(*state, b, b->mac, a->mac, 100, k);
			rig_wait(*state,
				fe_guest_reap(a->g, 0) >= 0 && !a->g->queues[1].ring.in_flight);
			queue_is_reset(a->g, 1, SPARE_GPA + i % 8 * 0x10000);
		}
		peer_down(*state, a);
		c.features |= PACKED;
	}
}

static void reset_owner_does_nothing(void **state)
{
	const struct stream s = {.n = 50, .len = 300};
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint32_t i;

	peers_meet(*state, a, b);
	for (i = 0; i < 30; i++) {
		/* The frames on the way when it comes, and those behind it. */
		peer_send_to(*state, a, b->mac, 200, i);
		peer_send_to(*state, b, a->mac, 200, i);
		assert_int_equal(fe_conn_order(&a->g->conn, VU_RESET_OWNER), 0);
		peer_expect(*state, b, b->mac, a->mac, 200, i);
		peer_expect(*state, a, a->mac, b->mac, 200, i);
		stream_check(*state, a, b, &s);
	}
}

static void a_device_is_reset_under_traffic(void **state)
{
	struct peer *a = peer_new(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint64_t drops = rig_counter(*state, "a", "tx", "drops.link_down");
	uint64_t frames = rig_counter(*state, "a", "tx", "frames");
	uint64_t full = rig_counter(*state, "a", "tx", "drops.no_buffer");
	uint32_t round, i;

	peer_start(*state, a);
	peers_meet(*state, a, b);
	for (round = 0; round < 50; round++) {
		for (i = 0; i < 40; i++)
			peer_send_to(*state, b, a->mac, 100, i);
		assert_int_equal(fe_conn_order(&a->g->conn, VU_RESET_DEVICE), 0);
		for (i = 0; i < 40; i++)
			peer_send_to(*state, b, a->mac, 100, i);
		rig_wait(*state, fe_guest_reap(b->g, 0) >= 0 && !b->g->queues[1].ring.in_flight);
		a->g->config.features ^= PACKED;
		assert_int_equal(fe_guest_start(a->g), 0);
		duplex_check(*state, a, b);
	}
	/* Each frame either came or is counted: 80 and 10 a round, and one of peers_meet. */
	rig_wait(*state,
		rig_counter(*state, "a", "tx", "frames") - frames +
				rig_counter(*state, "a", "tx", "drops.link_down") - drops +
				rig_counter(*state, "a", "tx", "drops.no_buffer") - full ==
			50u * 90 + 1);
}

/* New descriptors take the place of the old ones at once; the old ones are closed. */
/* Between frames: one that comes while the ring is set up again finds none. */
static void event_descriptors_change_while_the_ring_runs(void **state)
{
	const struct stream s = {.n = 20, .len = 300};
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct fe_queue *rx = fe_guest_rx(a->g, 0);
	uint32_t i;

	peers_meet(*state, a, b);
	for (i = 0; i < 50; i++) {
		int old = rx->call_fd;

		peer_send_to(*state, b, a->mac, 100, i);
		peer_expect(*state, a, a->mac, b->mac, 100, i);
		rx->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(rx->call_fd >= 0);
		assert_int_equal(fe_guest_ring_step(a->g, 0, FE_CALL), 0);
		assert_int_equal(fe_guest_ring_step(a->g, 0, FE_ERR), 0);
		peer_sync(a);
		fe_queue_interrupts(rx);
		close(old);
		fe_ring_want_interrupt(&rx->ring, true);
		peer_send_to(*state, b, a->mac, 100, i);
		assert_true(fe_queue_wait_interrupt(rx, rig_patience(*state)) > 0);
		peer_expect(*state, a, a->mac, b->mac, 100, i);
		stream_check(*state, b, a, &s);
	}
}

/* As QEMU starts a device: interrupts and enabling come long before the rest. */
static void the_order_of_qemu_carries_frames(void **state)
{
	static const enum fe_step early[] = {FE_CALL, FE_ENABLE};
	static const enum fe_step late[] = {FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_CALL};
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint32_t round, i;

	for (round = 0; round < 4; round++) {
		c.features ^= PACKED;
		a = peer_new(*state, "a", &c);
		peer_connect(*state, a);
		assert_int_equal(fe_guest_negotiate(a->g), 0);
		assert_int_equal(fe_guest_reset_rings(a->g), 0);
		for (i = 0; i < 2; i++)
			steps_take(a->g, i, early, RW_ARRAY_SIZE(early));
		assert_int_equal(fe_conn_set(&a->g->conn, VU_SET_FEATURES, a->g->features), 0);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		for (i = 0; i < 2; i++)
			steps_take(a->g, i, late, RW_ARRAY_SIZE(late));
		duplex_check(*state, a, b);
		/* The machine stops and goes on: no message but these. */
		for (i = 0; i < 2; i++)
			assert_int_equal(fe_guest_stop_ring(a->g, i, NULL), 0);
		for (i = 0; i < 20; i++)
			peer_send_to(*state, a, b->mac, 100, i);
		assert_int_equal(fe_conn_set(&a->g->conn, VU_SET_FEATURES, a->g->features), 0);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		for (i = 0; i < 2; i++)
			steps_take(a->g, i, late, RW_ARRAY_SIZE(late));
		for (i = 0; i < 20; i++)
			peer_expect(*state, b, b->mac, a->mac, 100, i);
		duplex_check(*state, a, b);
		peer_down(*state, a);
	}
}

/* As DPDK's virtio-user does: kicked before it is enabled, and stopped by disabling it. */
static void the_order_of_virtio_user_carries_frames(void **state)
{
	static const enum fe_step steps[] = {FE_CALL, FE_NUM, FE_BASE, FE_ADDR, FE_KICK};
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint32_t round, i, k;

	for (round = 0; round < 4; round++) {
		c.features ^= PACKED;
		a = peer_new(*state, "a", &c);
		peer_connect(*state, a);
		assert_int_equal(fe_guest_negotiate(a->g), 0);
		assert_int_equal(fe_guest_reset_rings(a->g), 0);
		assert_int_equal(fe_conn_set(&a->g->conn, VU_SET_STATUS, 11), 0);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		for (i = 0; i < 2; i++)
			steps_take(a->g, i, steps, RW_ARRAY_SIZE(steps));
		for (k = 0; k < 5; k++) {
			for (i = 0; i < 2; i++)
				assert_int_equal(fe_guest_enable(a->g, i, true), 0);
			duplex_check(*state, a, b);
			/* Memory grows: the table comes again with all the rest unchanged. */
			assert_int_equal(fe_guest_share_memory(a->g), 0);
			duplex_check(*state, a, b);
			for (i = 0; i < 2; i++)
				assert_int_equal(fe_guest_enable(a->g, i, false), 0);
		}
		assert_int_equal(fe_conn_set(&a->g->conn, VU_SET_STATUS, 0), 0);
		peer_down(*state, a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(one_queue_is_reset_while_its_neighbours_run),
		rig_test(reset_owner_does_nothing),
		rig_test(a_device_is_reset_under_traffic),
		rig_test(event_descriptors_change_while_the_ring_runs),
		rig_test(the_order_of_qemu_carries_frames),
		rig_test(the_order_of_virtio_user_carries_frames),
	};

	return cmocka_run_group_tests_name("ring_life", tests, start, rig_stop);
}
