/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frame_convert.h"
#include "gso_packets.h"
#include "port.h"
#include "port_fifo.h"
#include "rw_virtio_net.h"

static void a_burst_is_counted_by_kind_of_destination(void **state)
{
	struct port_counters c = {0};
	struct port_tally t = {0};
	struct frame f = {.len = 60};

	(void)state;
	port_tally_add(&t, &f); /* 00:... is a unicast address */
	f.len = 1000;
	f.head[0] = 0x01;
	port_tally_add(&t, &f);
	memset(f.head, 0xff, 6);
	port_tally_add(&t, &f);
	port_tally_add(&t, &f);
	port_tally_commit(&t, &c);
	port_tally_commit(&(struct port_tally){0}, &c);
	assert_int_equal(c.frames, 4);
	assert_int_equal(c.bytes, 3060);
	assert_int_equal(c.unicast, 1);
	assert_int_equal(c.multicast, 1);
	assert_int_equal(c.broadcast, 2);
}

static void a_port_sums_its_queues_and_what_no_queue_counted(void **state)
{
	struct port_pair sum, one;
	struct port_rxq rxqs[2];
	struct port_txq txq;
	struct port port;

	(void)state;
	assert_int_equal(port_init(&port, "p", 2), 0);
	assert_int_equal(port_rxq_init(&rxqs[0], &port, 0), 0);
	assert_int_equal(port_rxq_init(&rxqs[1], &port, 127), 0);
	assert_int_equal(port_txq_init(&txq, &port, 127), 0);
	port_count(&rxqs[0].counters->frames, 3);
	port_count(&rxqs[1].counters->frames, 4);
	port_count_drop(txq.counters, PORT_DROP_NO_BUFFER);
	port_count_drop(&port.unqueued[0], PORT_DROP_LINK_DOWN);
	port_count_drop(&port.unqueued[1], PORT_DROP_LINK_DOWN);
	port_read(&port, &sum);
	assert_int_equal(sum.rx.frames, 7);
	assert_int_equal(sum.tx.drops[PORT_DROP_NO_BUFFER], 1);
	assert_int_equal(sum.tx.drops[PORT_DROP_LINK_DOWN], 2);
	port_read_pair(&port, 127, &one);
	assert_int_equal(one.rx.frames, 4);
	assert_false(port_has_pair(&port, 5));
	port_read_pair(&port, 5, &one); /* never ran */
	assert_int_equal(one.rx.frames, 0);
	port_fini(&port);
}

static void counters_survive_a_queue_that_comes_back(void **state)
{
	struct port_rxq q, again;
	struct port port;

	(void)state;
	assert_int_equal(port_init(&port, "p", 1), 0);
	assert_int_equal(port_rxq_init(&q, &port, 0), 0);
	port_count(&q.counters->frames, 3);
	assert_int_equal(port_rxq_init(&again, &port, 0), 0);
	assert_ptr_equal(again.counters, q.counters);
	assert_int_equal(again.counters->frames, 3);
	assert_null(port.steer); /* one pair needs no steering */
	port_fini(&port);
}

/* A receiver of `room` frames: it refuses long ones, and defers what it has no room for. */
struct receiver {
	struct port port;
	struct port_txq q;
	unsigned room, got;
	uint8_t seen[64];
};

static unsigned receiver_burst(struct port_txq *q, struct frame **frames, unsigned n)
{
	struct receiver *r = rw_container_of(q, struct receiver, q);
	unsigned took = 0, i;

	for (i = 0; i < n && r->room; i++) {
		if (frames[i]->len > 1000) {
			port_count_drop(q->counters, PORT_DROP_TOO_LONG);
			continue;
		}
		r->room--;
		r->seen[r->got++] = frames[i]->head[20];
		frames[took++] = frames[i];
	}
	q->deferred = n - i;
	return took;
}

static void receiver_up(struct receiver *r, unsigned room)
{
	*r = (struct receiver){.room = room, .q = {.burst = receiver_burst}};
	assert_int_equal(port_init(&r->port, "r", 1), 0);
	assert_int_equal(port_txq_init(&r->q, &r->port, 0), 0);
}

static void receiver_down(struct receiver *r)
{
	port_fifo_free(r->q.backlog);
	port_fini(&r->port);
}

/* Frames 0 to n - 1, every fifth too long, every third a broadcast. */
static void frames_make(struct frame *f, struct frame **list, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		frame_init(&f[i], i % 5 == 4 ? 2000 : 60 + i);
		memset(f[i].head, 0, FRAME_HEAD);
		f[i].head[20] = (uint8_t)i;
		if (i % 3 == 0)
			memset(f[i].head, 0xff, 6);
		/* Its bytes are all in the head. */
		if (f[i].len < 1000)
			f[i].len = RW_MIN(f[i].len, (uint32_t)FRAME_HEAD);
		list[i] = &f[i];
	}
}

static void what_a_queue_takes_is_counted_and_nothing_else(void **state)
{
	struct port_tally all = {.frames = 10, .bytes = 12345};
	struct frame frames[10], *list[10];
	struct receiver r;

	(void)state;
	receiver_up(&r, 64);
	frames_make(frames, list, 10);
	assert_int_equal(port_txq_send(&r.q, list, 10, &all), 8);
	assert_int_equal(r.q.counters->frames, 8);
	assert_int_equal(r.q.counters->broadcast, 3); /* 0, 3, 6; 9 was too long */
	assert_int_equal(r.q.counters->unicast, 5);
	assert_int_equal(r.q.counters->drops[PORT_DROP_TOO_LONG], 2);
	assert_int_equal(r.q.counters->bytes, 60 + 61 + 62 + 63 + 4 * 64);
	/* All of them: the tally that the caller has already is what is counted. */
	all = (struct port_tally){.frames = 4, .bytes = 1000};
	frames_make(frames, list, 4);
	assert_int_equal(port_txq_send(&r.q, list, 4, &all), 4);
	assert_int_equal(r.q.counters->frames, 12);
	assert_int_equal(r.q.counters->bytes, 60 + 61 + 62 + 63 + 4 * 64 + 1000);
	receiver_down(&r);
}

/* ---- conversion for a queue with a backlog ---- */

#define GSO 1000

/* A receiver of `room` frames that takes plain ones, and checks them by what was sent. */
struct plain_receiver {
	struct port port;
	struct port_txq q;
	unsigned room;
	const struct gso_spec *sent;
	uint8_t whole[8192];
	uint32_t done, nth; /* of the frame that is being received */
};

static unsigned plain_burst(struct port_txq *q, struct frame **frames, unsigned n)
{
	struct plain_receiver *r = rw_container_of(q, struct plain_receiver, q);
	unsigned i;

	for (i = 0; i < n && r->room; i++, r->room--) {
		static uint8_t flat[2048];
		const struct frame *f = frames[i];
		uint32_t at = f->head_len;

		if (!port_txq_takes(q, f)) {
			q->unfit = n - i;
			return i;
		}
		assert_true(f->len <= sizeof(flat));
		memcpy(flat, f->head, at);
		for (uint16_t k = 0; k < f->nsegs; at += f->seg[k++].len)
			memcpy(flat + at, f->seg[k].data, f->seg[k].len);
		assert_null(gso_check(r->sent, r->whole, flat, f->len, r->nth++, &r->done, false));
	}
	q->deferred = n - i;
	return i;
}

/* The frame, whose bytes behind the head are in `r`. */
static void large_make(struct plain_receiver *r, struct frame *f, struct rw_seg *seg, uint16_t gso)
{
	uint32_t len = gso_build(r->sent, r->whole);

	frame_init(f, len);
	memcpy(f->head, r->whole, FRAME_HEAD);
	*seg = (struct rw_seg){.data = r->whole + FRAME_HEAD, .len = len - FRAME_HEAD};
	f->seg = seg;
	f->nsegs = 1;
	f->offload = (struct frame_offload){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = gso ? VIRTIO_NET_HDR_GSO_TCPV4 : 0,
		.gso_size = gso,
		.csum_start = 34,
		.csum_offset = 16};
	r->done = r->nth = 0;
}

/*
 * Segments that find no buffer wait as copies, complete ones, and arrive in order when there are
 * buffers; so does a frame whose checksum was completed. A frame that came as it was waits, and is
 * cut when the port refuses by then what it took before.
 */
static void what_is_converted_waits_in_order(void **state)
{
	static const struct gso_spec large = {.payload = 5 * GSO, .tcp_flags = 0x18};
	static const struct gso_spec small = {.payload = 700, .tcp_flags = 0x18};
	static struct plain_receiver r;
	struct frame f, *list = &f;
	struct rw_seg seg;

	(void)state;
	r = (struct plain_receiver){.q = {.burst = plain_burst}, .sent = &large, .room = 2};
	assert_int_equal(port_init(&r.port, "r", 1), 0);
	assert_int_equal(port_txq_init(&r.q, &r.port, 0), 0);
	r.q.backlog = port_fifo_new();
	assert_non_null(r.q.backlog);
	large_make(&r, &f, &seg, GSO);
	assert_int_equal(port_txq_send_in_turn(&r.q, &list, 1), 2);
	assert_int_equal(r.q.counters->segments, 5);
	for (r.room = 1; r.nth < 5; r.room = 1)
		assert_int_equal(port_txq_send_in_turn(&r.q, NULL, 0), 1);
	assert_int_equal(r.done, large.payload);
	assert_true(port_fifo_is_empty(r.q.backlog));

	r.sent = &small;
	r.room = 0;
	large_make(&r, &f, &seg, 0);
	list = &f;
	assert_int_equal(port_txq_send_in_turn(&r.q, &list, 1), 0);
	r.room = 1;
	assert_int_equal(port_txq_send_in_turn(&r.q, NULL, 0), 1);
	assert_int_equal(r.done, small.payload);
	assert_int_equal(r.q.counters->converted_csum, 1);

	r.sent = &large;
	r.room = 0;
	r.q.takes = FRAME_TAKES_ALL;
	large_make(&r, &f, &seg, GSO);
	list = &f;
	assert_int_equal(port_txq_send_in_turn(&r.q, &list, 1), 0);
	r.port.refuses = FRAME_TAKES_ALL;
	r.room = 5;
	assert_int_equal(port_txq_send_in_turn(&r.q, NULL, 0), 5);
	assert_int_equal(r.done, large.payload);
	assert_int_equal(r.q.counters->frames, 5 + 1 + 5);
	port_fifo_free(r.q.backlog);
	port_fini(&r.port);
}

static void what_a_queue_defers_is_sent_first_and_in_order(void **state)
{
	struct frame frames[10], *list[10];
	struct receiver r;

	(void)state;
	receiver_up(&r, 3);
	r.q.backlog = port_fifo_new();
	assert_non_null(r.q.backlog);
	frames_make(frames, list, 4);
	assert_int_equal(port_txq_send_in_turn(&r.q, list, 4), 3);
	frames_make(frames, list, 10);
	/* Frame 3 of the first burst still waits, so all of these do. */
	assert_int_equal(port_txq_send_in_turn(&r.q, list, 3), 0);
	assert_int_equal(r.q.counters->frames, 3);
	port_txq_poll(&r.q); /* nobody asked for it */
	r.room = 2;
	port_txq_poll(&r.q);
	assert_int_equal(r.got, 3);
	port_txq_want_poll(&r.q);
	assert_true(port_txq_wants_poll(&r.q));
	port_txq_poll(&r.q);
	assert_false(port_txq_wants_poll(&r.q));
	assert_int_equal(r.got, 5);
	r.room = 64;
	assert_int_equal(port_txq_send_in_turn(&r.q, &list[3], 1), 3);
	assert_int_equal(r.q.counters->frames, 8);
	assert_memory_equal(r.seen, "\0\1\2\3\0\1\2\3", 8);
	/* What waits when the queue stops is dropped and counted. */
	r.room = 0;
	frames_make(frames, list, 7);
	assert_int_equal(port_txq_send_in_turn(&r.q, list, 7), 0);
	port_txq_clear(&r.q);
	assert_int_equal(r.q.counters->drops[PORT_DROP_NO_BUFFER], 7);
	receiver_down(&r);
}

static void every_drop_reason_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < PORT_NUM_DROPS; i++) {
		assert_non_null(port_drop_name(i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(port_drop_name(i), port_drop_name(j));
	}
}

static struct port steered;
static struct port_rxq steered_rxq;

static int steer_setup(void **state)
{
	(void)state;
	return port_init(&steered, "s", 1) || port_rxq_init(&steered_rxq, &steered, 1);
}

static int steer_teardown(void **state)
{
	(void)state;
	port_fini(&steered);
	return 0;
}

static void a_flow_is_found_on_the_pair_it_was_sent_from(void **state)
{
	(void)state;
	assert_int_equal(port_steer_find(steered.steer, 0x12345678), -1);
	port_steer_learn(steered.steer, 0x12345678, 3);
	port_steer_learn(steered.steer, 0x12345679, 0);
	port_steer_learn(steered.steer, 0, 127); /* a hash like any other */
	assert_int_equal(port_steer_find(steered.steer, 0x12345678), 3);
	assert_int_equal(port_steer_find(steered.steer, 0x12345679), 0);
	assert_int_equal(port_steer_find(steered.steer, 0), 127);
}

static void a_flow_that_moves_is_found_on_its_new_pair(void **state)
{
	(void)state;
	port_steer_learn(steered.steer, 0x12345678, 3);
	port_steer_learn(steered.steer, 0x12345678, 5);
	assert_int_equal(port_steer_find(steered.steer, 0x12345678), 5);
}

static void four_flows_of_one_set_live_together_a_fifth_replaces_one(void **state)
{
	unsigned found = 0;

	(void)state;
	for (uint32_t i = 1; i <= 4; i++)
		port_steer_learn(steered.steer, i, (uint16_t)i);
	for (uint32_t i = 1; i <= 4; i++)
		assert_int_equal(port_steer_find(steered.steer, i), i);
	port_steer_learn(steered.steer, 5, 5);
	for (uint32_t i = 1; i <= 5; i++)
		found += port_steer_find(steered.steer, i) == (int)i;
	assert_int_equal(found, 4);
	assert_int_equal(port_steer_find(steered.steer, 5), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_counted_by_kind_of_destination),
		cmocka_unit_test(a_port_sums_its_queues_and_what_no_queue_counted),
		cmocka_unit_test(counters_survive_a_queue_that_comes_back),
		cmocka_unit_test(what_a_queue_takes_is_counted_and_nothing_else),
		cmocka_unit_test(what_a_queue_defers_is_sent_first_and_in_order),
		cmocka_unit_test(what_is_converted_waits_in_order),
		cmocka_unit_test(every_drop_reason_has_a_name_of_its_own),
		cmocka_unit_test_setup_teardown(
			a_flow_is_found_on_the_pair_it_was_sent_from, steer_setup, steer_teardown),
		cmocka_unit_test_setup_teardown(
			a_flow_that_moves_is_found_on_its_new_pair, steer_setup, steer_teardown),
		cmocka_unit_test_setup_teardown(
			four_flows_of_one_set_live_together_a_fifth_replaces_one, steer_setup,
			steer_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
