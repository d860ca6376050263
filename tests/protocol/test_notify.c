/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts come when a driver asks for them, and only then; kicks are not asked for. */
#include "harness.h"

#include <errno.h>
#include <sys/eventfd.h>

#define EVENT_IDX FE_BIT(VIRTIO_RING_F_EVENT_IDX)

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

/* Every format with and without event index. */
static const uint64_t variants[] = {0, PACKED, EVENT_IDX, PACKED | EVENT_IDX};

static struct fe_guest_config variant(size_t i)
{
	struct fe_guest_config c = guest_usual();

	c.features &= ~EVENT_IDX;
	c.features |= variants[i];
	return c;
}

/* Frames a sends to b, all received. */
static void frames_pass(struct rig *r, struct peer *a, struct peer *b, uint32_t n)
{
	const struct stream s = {.n = n, .len = 60, .window = 32};

	stream_check(r, a, b, &s);
}

/* When it returns, the worker is done with all that happened before, interrupts included. */
static void worker_turns(struct rig *r, struct peer *from, struct peer *to)
{
	frames_pass(r, from, to, 1);
	frames_pass(r, from, to, 1);
}

static void the_first_frame_after_a_start_interrupts(void **state)
{
	struct peer *a, *b;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(variants); i++) {
		const struct fe_guest_config c = variant(i);

		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		rig_interrupted(*state, "b", fe_queue_interrupts(fe_guest_rx(b->g, 0)), 0);
		frames_pass(*state, a, b, 1);
		assert_true(
			fe_queue_wait_interrupt(fe_guest_rx(b->g, 0), rig_patience(*state)) > 0);
		rig_clean(state);
	}
}

/* A driver that went to sleep before the restart had a stale event index: it is woken anyway. */
static void the_first_frame_after_a_restart_interrupts_whatever_the_index(void **state)
{
	struct peer *a, *b;
	struct fe_queue *rx;
	size_t i;

	for (i = 2; i < RW_ARRAY_SIZE(variants); i++) {
		const struct fe_guest_config c = variant(i);

		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		rx = fe_guest_rx(b->g, 0);
		frames_pass(*state, a, b, 5);
		worker_turns(*state, b, a);
		assert_int_equal(fe_ring_interrupt_after(&rx->ring, 100), 0);
		assert_int_equal(fe_guest_stop_ring(b->g, 0, NULL), 0);
		rig_drain_interrupts(*state, rx);
		assert_int_equal(fe_guest_start_ring(b->g, 0), 0);
		frames_pass(*state, a, b, 1);
		assert_true(fe_queue_wait_interrupt(rx, rig_patience(*state)) > 0);
		rig_clean(state);
	}
}

static void no_interrupt_comes_when_none_is_wanted(void **state)
{
	struct peer *a, *b;
	struct fe_queue *rx, *tx;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(variants); i++) {
		const struct fe_guest_config c = variant(i);

		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		rx = fe_guest_rx(b->g, 0);
		tx = fe_guest_tx(a->g, 0);
		fe_ring_want_interrupt(&rx->ring, false);
		fe_ring_want_interrupt(&tx->ring, false);
		frames_pass(*state, a, b, 1); /* with EVENT_IDX the first interrupts all the same */
		worker_turns(*state, b, a);
		rig_drain_interrupts(*state, rx);
		rig_drain_interrupts(*state, tx);
		frames_pass(*state, a, b, 1000);
		worker_turns(*state, b, a);
		rig_interrupted(*state, "b", fe_queue_interrupts(rx), 0);
		rig_interrupted(*state, "a", fe_queue_interrupts(tx), 0);
		/* And it comes again when asked for. */
		fe_ring_want_interrupt(&rx->ring, true);
		assert_int_equal(fe_guest_reap(a->g, 0) >= 0, 1);
		fe_ring_want_interrupt(&tx->ring, true);
		frames_pass(*state, a, b, 1);
		assert_true(fe_queue_wait_interrupt(rx, rig_patience(*state)) > 0);
		assert_true(fe_queue_wait_interrupt(tx, rig_patience(*state)) > 0);
		rig_clean(state);
	}
}

static void an_event_index_interrupts_at_that_buffer(void **state)
{
	struct peer *a, *b;
	struct fe_queue *rx;
	uint32_t round;
	size_t i;

	for (i = 2; i < RW_ARRAY_SIZE(variants); i++) {
		struct fe_guest_config c = variant(i);

		c.rx_size = c.features & PACKED ? 7 : 8;
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		rx = fe_guest_rx(b->g, 0);
		frames_pass(*state, a, b, 1);
		for (round = 0; round < 50; round++) {
			uint16_t n = (uint16_t)(1 + round % 5);
			uint32_t k;

			worker_turns(*state, b, a);
			rig_drain_interrupts(*state, rx);
			assert_int_equal(fe_ring_interrupt_after(&rx->ring, n), 0);
			for (k = 1; k < n; k++)
				frames_pass(*state, a, b, 1);
			worker_turns(*state, b, a);
			rig_interrupted(*state, "b", fe_queue_interrupts(rx), 0);
			frames_pass(*state, a, b, 1);
			rig_interrupted(
				*state, "b", fe_queue_wait_interrupt(rx, rig_patience(*state)), 1);
		}
		rig_clean(state);
	}
}

static void a_burst_interrupts_once(void **state)
{
	static uint8_t data[60];
	const struct fe_frame f = {.data = data, .len = sizeof(data)};
	struct peer *a, *b;
	uint32_t k;
	size_t i;

	for (i = 0; i < 2; i++) {
		const struct fe_guest_config c = variant(i);

		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		worker_turns(*state, a, b);
		worker_turns(*state, b, a);
		rig_drain_interrupts(*state, fe_guest_rx(b->g, 0));
		rig_drain_interrupts(*state, fe_guest_tx(a->g, 0));
		/* Published at once: the worker finds 32 frames, one burst. */
		for (k = 0; k < 32; k++) {
			frame_make(data, sizeof(data), b->mac, a->mac, k);
			assert_int_equal(fe_guest_put(a->g, 0, &f), 0);
		}
		fe_guest_flush(a->g, 0);
		for (k = 0; k < 32; k++)
			peer_expect(*state, b, b->mac, a->mac, sizeof(data), k);
		worker_turns(*state, b, a);
		rig_interrupted(*state, "b", fe_queue_interrupts(fe_guest_rx(b->g, 0)), 1);
		rig_interrupted(*state, "a", fe_queue_interrupts(fe_guest_tx(a->g, 0)), 1);
		rig_clean(state);
	}
}

static void an_emptied_ring_interrupts_with_notify_on_empty(void **state)
{
	struct fe_guest_config c = variant(0);
	struct peer *a, *b;
	struct fe_queue *tx;

	c.features |= FE_BIT(VIRTIO_F_NOTIFY_ON_EMPTY);
	a = peer_up(*state, "a", &c);
	b = peer_up(*state, "b", &c);
	tx = fe_guest_tx(a->g, 0);
	fe_ring_want_interrupt(&tx->ring, false);
	worker_turns(*state, a, b);
	rig_drain_interrupts(*state, tx);
	frames_pass(*state, a, b, 1);
	assert_true(fe_queue_wait_interrupt(tx, rig_patience(*state)) > 0);
}

static void sleeping_guests_are_never_forgotten(void **state)
{
	struct peer *a, *b;
	uint32_t round, got, n, seed;
	struct fe_received in;
	uint8_t buf[FRAME_MAX];
	struct fe_queue *rx;
	size_t i;
	int err;

	for (i = 0; i < RW_ARRAY_SIZE(variants); i++) {
		const struct fe_guest_config c = variant(i);

		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		rx = fe_guest_rx(b->g, 0);
		seed = 1;
		for (round = 0; round < 5000; round++) {
			seed = seed * 1664525u + 1013904223u;
			n = 1 + seed % 3;
			for (got = 0; got < n; got++)
				peer_send_to(*state, a, b->mac, 60, got);
			/* As NAPI does: poll, ask for an interrupt, look again, sleep. */
			for (got = 0; got < n;) {
				fe_ring_want_interrupt(&rx->ring, false);
				while (!(err = fe_guest_recv(b->g, 0, buf, sizeof(buf), &in)))
					got++;
				assert_int_equal(err, -EAGAIN);
				if (got == n)
					break;
				fe_ring_want_interrupt(&rx->ring, true);
				if (fe_ring_has_used(&rx->ring))
					continue;
				if (!fe_queue_wait_interrupt(rx, rig_patience(*state)))
					fail_msg("variant %zu: forgotten in round %u", i, round);
			}
		}
		rig_clean(state);
	}
}

static void a_full_call_counter_blocks_nobody(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);

	assert_int_equal(eventfd_write(fe_guest_rx(b->g, 0)->call_fd, UINT64_MAX - 1), 0);
	fe_ring_want_interrupt(&fe_guest_rx(b->g, 0)->ring, true);
	frames_pass(*state, a, b, 100);
	fe_ring_want_interrupt(&fe_guest_rx(b->g, 0)->ring, true);
	frames_pass(*state, a, b, 100);
}

static void a_worker_that_spins_asks_for_no_kick(void **state)
{
	static struct rig spinning;
	const char *const more[] = {"--idle=spin", NULL};
	struct rig *r = &spinning;
	struct peer *a, *b;
	eventfd_t kicks;
	size_t i;

	(void)state;
	assert_int_equal(rig_start(r, "ab", more), 0);
	for (i = 0; i < RW_ARRAY_SIZE(variants); i++) {
		const struct fe_guest_config c = variant(i);

		a = peer_up(r, "a", &c);
		b = peer_up(r, "b", &c);
		assert_int_equal(eventfd_read(fe_guest_tx(a->g, 0)->kick_fd, &kicks), 0);
		frames_pass(r, a, b, 1000);
		assert_int_equal(eventfd_read(fe_guest_tx(a->g, 0)->kick_fd, &kicks), -1);
		rig_clean((void **)&r);
	}
	assert_int_equal(rig_stop((void **)&r), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(the_first_frame_after_a_start_interrupts),
		rig_test(the_first_frame_after_a_restart_interrupts_whatever_the_index),
		rig_test(no_interrupt_comes_when_none_is_wanted),
		rig_test(an_event_index_interrupts_at_that_buffer),
		rig_test(a_burst_interrupts_once),
		rig_test(an_emptied_ring_interrupts_with_notify_on_empty),
		rig_test(sleeping_guests_are_never_forgotten),
		rig_test(a_full_call_counter_blocks_nobody),
		rig_test(a_worker_that_spins_asks_for_no_kick),
	};

	return cmocka_run_group_tests_name("notify", tests, start, rig_stop);
}
