/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bursts against the device's side of the same ring, and against what no device should write, which
 * is written by hand.
 */
#include "vq_fixture.h"

#include "fe_burst.h"

#define NUM    16u
#define STRIDE 256u
#define HDR    12u

static const struct setup split = {FE_SPLIT, NUM, F(VIRTIO_F_VERSION_1), 0, true, 0};
static const struct setup packed = {FE_PACKED, NUM, F(VIRTIO_F_VERSION_1), 0, true, 0};
static const struct setup split_event = {
	FE_SPLIT, NUM, F(VIRTIO_F_VERSION_1) | F(VIRTIO_RING_F_EVENT_IDX), 0, true, 0};
static const struct setup packed_event = {
	FE_PACKED, NUM, F(VIRTIO_F_VERSION_1) | F(VIRTIO_RING_F_EVENT_IDX), 0, true, 0};
static const struct setup split_in_order = {
	FE_SPLIT, NUM, F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_IN_ORDER), 0, true, 0};
static const struct setup packed_in_order = {
	FE_PACKED, NUM, F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_IN_ORDER), 0, true, 0};

static struct fe_burst_config config_for(struct fixture *f, bool receive)
{
	return (struct fe_burst_config){
		.format = f->packed ? FE_PACKED : FE_SPLIT,
		.num = NUM,
		.receive = receive,
		.event_idx = f->features & F(VIRTIO_RING_F_EVENT_IDX),
		.in_order = f->features & F(VIRTIO_F_IN_ORDER),
		.mergeable = receive,
		.desc = f->cfg.desc,
		.driver = f->cfg.driver,
		.device = f->cfg.device,
		.host = guest(f, BUFFERS),
		.gpa = BUFFERS,
		.stride = STRIDE,
		.size = STRIDE,
		.hdr_len = HDR,
		.kick_fd = -1,
	};
}

/* A queue on the fixture's ring. */
static struct fe_burst begin(struct fixture *f, bool receive)
{
	struct fe_burst_config c = config_for(f, receive);
	struct fe_burst b;
	uint16_t i;

	assert_int_equal(fe_burst_init(&b, &c), 0);
	for (i = 0; !receive && i < NUM; i++)
		fe_burst_set_len(&b, i, 60);
	return b;
}

/* Send `n` frames that begin with the numbers from `first` on. */
static void send_numbers(struct fe_burst *b, uint32_t first, unsigned n)
{
	assert_int_equal(fe_burst_room(b, n), n);
	for (unsigned i = 0; i < n; i++, first++)
		memcpy(fe_burst_buf(b, i), &first, sizeof(first));
	fe_burst_send(b, n);
	fe_burst_kick(b);
}

/* The device takes `n` frames that begin with the numbers from `first` on into `chains`. */
static void fetch_numbers(struct fixture *f, uint32_t first, unsigned n, struct vq_chain *chains)
{
	uint32_t number;

	for (unsigned i = 0; i < n; i++, first++) {
		assert_int_equal(fetch(f, &chains[i], false), VQ_CHAIN);
		assert_int_equal(chains[i].len, HDR + 60);
		memcpy(&number, f->segs[0].data + HDR, sizeof(number));
		assert_int_equal(number, first);
	}
}

static void give_back(struct fixture *f, const struct vq_chain *chains, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		complete(f, &chains[i], 0);
	flush(f);
}

/* The device delivers a frame of `len` bytes, header included, that begins with `number`. */
static void deliver(struct fixture *f, struct vq_chain *c, uint32_t number, uint16_t nbufs)
{
	assert_int_equal(fetch(f, c, true), VQ_CHAIN);
	memset(f->segs[0].data, 0, HDR);
	memcpy(f->segs[0].data + 10, &nbufs, sizeof(nbufs));
	memcpy(f->segs[0].data + HDR, &number, sizeof(number));
}

static void number_is(const uint8_t *at, uint32_t number)
{
	uint32_t found;

	memcpy(&found, at, sizeof(found));
	assert_int_equal(found, number);
}

static void the_device_gets_what_was_sent_lap_after_lap(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);
	struct vq_chain chains[NUM];
	uint32_t number = 0;

	for (unsigned round = 0; round < 9000; round++) {
		unsigned n = 1 + round % NUM;

		send_numbers(&b, number, n);
		fetch_numbers(f, number, n, chains);
		give_back(f, chains, n);
		number += n;
	}
	assert_true(number > 65536);
	assert_int_equal(fe_burst_room(&b, NUM), NUM);
	assert_true(fe_burst_idle(&b));
	assert_false(b.loose);
	fe_burst_fini(&b);
}

static void a_full_ring_has_no_room(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);
	struct vq_chain chains[NUM];

	send_numbers(&b, 0, NUM);
	assert_int_equal(fe_burst_room(&b, 1), 0);
	fetch_numbers(f, 0, NUM, chains);
	give_back(f, chains, 5);
	assert_int_equal(fe_burst_room(&b, NUM), 5);
	assert_false(fe_burst_idle(&b));
	fe_burst_fini(&b);
}

static void what_the_device_returned_is_taken_back_when_asked(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);
	struct vq_chain chains[NUM];

	send_numbers(&b, 0, NUM);
	assert_int_equal(fe_burst_reap(&b), 0);
	assert_false(fe_burst_idle(&b));
	fetch_numbers(f, 0, NUM, chains);
	give_back(f, chains, NUM);
	assert_false(fe_burst_idle(&b));
	assert_int_equal(fe_burst_reap(&b), 0);
	assert_true(fe_burst_idle(&b));
	fe_burst_fini(&b);
}

static void what_was_received_is_what_the_device_wrote_lap_after_lap(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, true);
	struct fe_burst_frame frames[FE_BURST_MAX];
	struct vq_chain c;
	uint32_t number = 0;

	for (unsigned round = 0; round < 9000; round++) {
		unsigned n = 1 + round % 8;

		for (unsigned i = 0; i < n; i++) {
			deliver(f, &c, number + i, 1);
			complete(f, &c, HDR + 60 + i);
		}
		flush(f);
		assert_int_equal(fe_burst_recv(&b, frames, FE_BURST_MAX), n);
		for (unsigned i = 0; i < n; i++, number++) {
			number_is(frames[i].data, number);
			assert_int_equal(frames[i].len, 60 + i);
			assert_int_equal(frames[i].nbufs, 1);
			assert_int_equal((uintptr_t)frames[i].data % 64, FE_BURST_FRAME_AT);
		}
		fe_burst_release(&b);
	}
	assert_int_equal(fe_burst_recv(&b, frames, FE_BURST_MAX), 0);
	fe_burst_fini(&b);
}

static void no_more_frames_come_than_were_asked_for(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, true);
	struct fe_burst_frame frames[FE_BURST_MAX];
	struct vq_chain c;

	for (uint32_t i = 0; i < 5; i++) {
		deliver(f, &c, i, 1);
		complete(f, &c, HDR + 60);
	}
	flush(f);
	assert_int_equal(fe_burst_recv(&b, frames, 3), 3);
	number_is(frames[2].data, 2);
	assert_int_equal(fe_burst_recv(&b, frames, 3), 2);
	number_is(frames[1].data, 4);
	fe_burst_fini(&b);
}

static void a_frame_spans_several_buffers(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, true);
	struct fe_burst_frame frame;
	struct vq_chain c[3];
	uint32_t left;

	for (unsigned round = 0; round < 40; round++) {
		deliver(f, &c[0], round, 3);
		for (unsigned i = 1; i < 3; i++) {
			assert_int_equal(fetch(f, &c[i], true), VQ_CHAIN);
			memset(f->segs[0].data, (int)(round + i), 100);
		}
		complete(f, &c[0], STRIDE);
		complete(f, &c[1], STRIDE);
		complete(f, &c[2], 100);
		flush(f);
		assert_int_equal(fe_burst_recv(&b, &frame, 1), 1);
		assert_int_equal(frame.nbufs, 3);
		assert_int_equal(frame.len, 2 * STRIDE + 100 - HDR);
		number_is(frame.data, round);
		assert_ptr_equal(fe_burst_at(&b, &frame, STRIDE - HDR - 1, &left),
			frame.data + STRIDE - HDR - 1);
		assert_int_equal(left, 1);
		assert_int_equal(*fe_burst_at(&b, &frame, STRIDE - HDR, &left), round + 1);
		assert_int_equal(left, STRIDE);
		assert_int_equal(*fe_burst_at(&b, &frame, frame.len - 1, &left), round + 2);
		assert_int_equal(left, 1);
		fe_burst_release(&b);
	}
	fe_burst_fini(&b);
}

static void a_frame_waits_for_the_rest_of_its_buffers(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, true);
	struct fe_burst_frame frame;
	struct vq_chain c;

	deliver(f, &c, 7, 2);
	complete(f, &c, STRIDE);
	flush(f);
	assert_int_equal(fe_burst_recv(&b, &frame, 1), 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	complete(f, &c, 8);
	flush(f);
	assert_int_equal(fe_burst_recv(&b, &frame, 1), 1);
	assert_int_equal(frame.len, STRIDE + 8 - HDR);
	fe_burst_fini(&b);
}

static void buffers_come_back_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);
	struct vq_chain chains[NUM];
	uint32_t number = 0;

	for (unsigned round = 0; round < 300; round++) {
		send_numbers(&b, number, 8);
		fetch_numbers(f, number, 8, chains);
		for (unsigned i = 0; i < 8; i++)
			complete(f, &chains[(i * 5 + round) % 8], 0);
		flush(f);
		number += 8;
	}
	assert_int_equal(fe_burst_room(&b, NUM), NUM);
	assert_true(b.loose);
	fe_burst_fini(&b);
}

static void frames_come_in_buffers_of_any_order(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, true);
	struct fe_burst_frame frames[FE_BURST_MAX];
	struct vq_chain c[8];

	for (uint32_t round = 0; round < 300; round++) {
		for (unsigned i = 0; i < 8; i++)
			deliver(f, &c[i], 8 * round + i, 1);
		for (unsigned i = 8; i--;)
			complete(f, &c[i], HDR + 60 + i);
		flush(f);
		assert_int_equal(fe_burst_recv(&b, frames, FE_BURST_MAX), 8);
		for (unsigned i = 0; i < 8; i++) {
			number_is(frames[i].data, 8 * round + 7 - i);
			assert_int_equal(frames[i].len, 60 + 7 - i);
		}
		fe_burst_release(&b);
	}
	fe_burst_fini(&b);
}

/* The device writes one used entry, by hand, and advances its index by `step`. */
static void use(struct fe_burst *b, uint32_t pos, uint32_t id, uint32_t len, uint16_t step)
{
	if (b->packed) {
		struct vring_packed_desc *d = &b->pdesc[pos % NUM];

		d->id = (uint16_t)id;
		d->len = len;
		d->flags = pos & NUM ? 0 : 0x8080;
		return;
	}
	b->used->ring[pos % NUM] = (struct vring_used_elem){id, len};
	b->used->idx = (uint16_t)(b->used->idx + step);
}

static void one_entry_stands_for_all_up_to_it_in_order(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);
	uint32_t at = 0;

	for (unsigned round = 0; round < 100; round++) {
		send_numbers(&b, 0, 6);
		use(&b, at, (at + 3) % NUM, 0, 4);
		use(&b, at + 4, (at + 4) % NUM, 0, 1);
		assert_int_equal(fe_burst_room(&b, NUM), NUM - 1);
		use(&b, at + 5, (at + 5) % NUM, 0, 1);
		assert_int_equal(fe_burst_room(&b, NUM), NUM);
		at += 6;
	}
	fe_burst_fini(&b);
}

static void an_entry_for_more_than_there_is_breaks_the_rules(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);

	send_numbers(&b, 0, 6);
	use(&b, 0, 6, 0, 7);
	assert_int_equal(fe_burst_reap(&b), -EPROTO);
	assert_int_equal(fe_burst_room(&b, NUM), -EPROTO);
	fe_burst_fini(&b);
}

/* What a device that is not to be trusted writes. */
static const struct lie {
	uint32_t id, len;
	uint16_t nbufs;
} lies[] = {
	{NUM, 100, 1},      /* no such buffer */
	{0xffff, 100, 1},   /* nor this one */
	{0, STRIDE + 1, 1}, /* more than the buffer holds */
	{0, 0xffffffff, 1}, /* far more */
	{0, HDR - 1, 1},    /* not even a header */
	{0, 100, 0},        /* in no buffer */
	{0, 100, NUM + 1},  /* in more than there are */
	{1, STRIDE + 1, 1}, /* out of turn and too long */
};

static void a_received_lie_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct fe_burst_frame frames[FE_BURST_MAX];

	for (size_t i = 0; i < RW_ARRAY_SIZE(lies); i++) {
		struct fe_burst b = begin(f, true);

		if (!b.packed)
			b.used->idx = 0;
		memcpy(b.host + 10, &lies[i].nbufs, sizeof(lies[i].nbufs));
		use(&b, 0, lies[i].id, lies[i].len, 1);
		assert_int_equal(fe_burst_recv(&b, frames, FE_BURST_MAX), -EPROTO);
		fe_burst_fini(&b);
	}
}

static void a_buffer_that_comes_back_twice_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);

	send_numbers(&b, 0, 4);
	use(&b, 0, 2, 0, 1);
	use(&b, 1, 2, 0, 1);
	assert_int_equal(fe_burst_room(&b, NUM), -EPROTO);
	fe_burst_fini(&b);
}

static void a_buffer_that_was_never_sent_does_not_come_back(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);

	send_numbers(&b, 0, 4);
	use(&b, 0, 9, 0, 1);
	assert_int_equal(fe_burst_room(&b, NUM), -EPROTO);
	fe_burst_fini(&b);
}

static void a_used_index_beyond_what_was_sent_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);

	send_numbers(&b, 0, 4);
	b.used->idx = 5;
	assert_int_equal(fe_burst_room(&b, NUM), -EPROTO);
	fe_burst_fini(&b);
}

static void nobody_is_kicked_who_polls(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);

	/* The device side asks for no kicks when it is set up. */
	send_numbers(&b, 0, 4);
	assert_int_equal(b.kicks, 0);
	if (b.packed)
		b.device_event->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	else
		b.used->flags = 0;
	send_numbers(&b, 4, 4);
	assert_int_equal(b.kicks, 1);
	fe_burst_fini(&b);
}

/* The device wants to be told of the buffer at position `pos`. */
static void want_event(struct fe_burst *b, uint32_t pos)
{
	if (b->packed) {
		b->device_event->off_wrap = (uint16_t)(pos % NUM | (pos & NUM ? 0 : 0x8000));
		b->device_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
	} else {
		*(uint16_t *)&b->used->ring[NUM] = (uint16_t)pos;
	}
}

static void a_kick_comes_with_the_buffer_that_was_asked_for(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);
	struct vq_chain chains[NUM];
	uint32_t number = 0;

	for (unsigned round = 0; round < 40; round++) {
		want_event(&b, number + 4);
		b.kicks = 0;
		send_numbers(&b, number, 4);
		assert_int_equal(b.kicks, 0);
		send_numbers(&b, number + 4, 1);
		assert_int_equal(b.kicks, 1);
		send_numbers(&b, number + 5, 1);
		assert_int_equal(b.kicks, 1);
		fetch_numbers(f, number, 6, chains);
		give_back(f, chains, 6);
		number += 6;
	}
	fe_burst_fini(&b);
}

static void the_driver_asks_for_no_interrupt(void **state)
{
	struct fixture *f = *state;
	struct fe_burst b = begin(f, false);
	struct vq_chain chains[NUM];
	uint32_t number = 0;

	/* vq_init interrupts once, whatever was asked for. */
	send_numbers(&b, 0, 1);
	fetch_numbers(f, 0, 1, chains);
	give_back(f, chains, 1);
	signal_driver(f);
	number++;
	for (unsigned round = 0; round < 5000; round++) {
		send_numbers(&b, number, NUM);
		fetch_numbers(f, number, NUM, chains);
		give_back(f, chains, NUM);
		assert_false(signal_driver(f));
		number += NUM;
	}
	fe_burst_fini(&b);
}

static void a_queue_that_cannot_be_is_refused(void **state)
{
	struct fixture *f = *state;
	struct fe_burst_config c = config_for(f, true);
	struct fe_burst b;

	c.num = 12;
	assert_int_equal(fe_burst_init(&b, &c), -EINVAL);
	c = config_for(f, true);
	c.host += 8;
	assert_int_equal(fe_burst_init(&b, &c), -EINVAL);
	c = config_for(f, true);
	c.hdr_len = 11;
	assert_int_equal(fe_burst_init(&b, &c), -EINVAL);
	c = config_for(f, true);
	c.size = STRIDE + 1;
	assert_int_equal(fe_burst_init(&b, &c), -EINVAL);
}

#define EVENTS(fn)   T(fn, split_event), T(fn, packed_event)
#define IN_ORDER(fn) T(fn, split_in_order), T(fn, packed_in_order)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(the_device_gets_what_was_sent_lap_after_lap),
		EVENTS(the_device_gets_what_was_sent_lap_after_lap),
		IN_ORDER(the_device_gets_what_was_sent_lap_after_lap),
		BOTH(a_full_ring_has_no_room),
		BOTH(what_the_device_returned_is_taken_back_when_asked),
		BOTH(what_was_received_is_what_the_device_wrote_lap_after_lap),
		BOTH(no_more_frames_come_than_were_asked_for),
		BOTH(a_frame_spans_several_buffers),
		BOTH(a_frame_waits_for_the_rest_of_its_buffers),
		BOTH(buffers_come_back_in_any_order),
		BOTH(frames_come_in_buffers_of_any_order),
		IN_ORDER(one_entry_stands_for_all_up_to_it_in_order),
		IN_ORDER(an_entry_for_more_than_there_is_breaks_the_rules),
		BOTH(a_received_lie_is_an_error),
		BOTH(a_buffer_that_comes_back_twice_is_an_error),
		BOTH(a_buffer_that_was_never_sent_does_not_come_back),
		T(a_used_index_beyond_what_was_sent_is_an_error, split),
		BOTH(nobody_is_kicked_who_polls),
		EVENTS(a_kick_comes_with_the_buffer_that_was_asked_for),
		BOTH(the_driver_asks_for_no_interrupt),
		EVENTS(the_driver_asks_for_no_interrupt),
		BOTH(a_queue_that_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
