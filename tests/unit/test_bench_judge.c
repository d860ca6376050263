/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ringway-bench makes of the frames of a burst. Between frames that are as they should be,
 * which it judges together, each test puts something else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define NUM    64u
#define STRIDE 2048u
#define HDR    12u
#define PORTS  3u
#define HERE   0u /* the port that receives */
#define BURST  10u
#define ODD    5u /* the frame that is changed */
#define LEN    200u

enum { TRIAL_OLD = 7, TRIAL_WARM, TRIAL_COUNT };

struct fixture {
	struct engine e;
	struct engine_port ports[PORTS];
	struct lane lanes[PORTS];
	struct stream streams[PORTS * PORTS];
	uint32_t newest[PORTS * PORTS];
	struct fe_burst rx;
	struct vring_desc desc[NUM];
	_Alignas(64) uint8_t driver[6 + 2 * NUM];
	_Alignas(64) uint8_t device[6 + 8 * NUM];
	_Alignas(64) uint8_t bufs[NUM * STRIDE];
	uint16_t used;
};

static int set_up(void **state)
{
	struct fixture *f = aligned_alloc(64, rw_align_up(sizeof(*f), 64));
	struct fe_burst_config c;

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	c = (struct fe_burst_config){
		.format = FE_SPLIT,
		.num = NUM,
		.receive = true,
		.mergeable = true,
		.desc = f->desc,
		.driver = f->driver,
		.device = f->device,
		.host = f->bufs,
		.stride = STRIDE,
		.size = STRIDE,
		.hdr_len = HDR,
		.kick_fd = -1,
	};
	assert_int_equal(fe_burst_init(&f->rx, &c), 0);
	f->e = (struct engine){
		.o = {.nports = PORTS, .pairs = 1},
		.format = &frame_udp,
		.ports = f->ports,
		.lanes = f->lanes,
		.nlanes = PORTS,
		.streams = f->streams,
		.newest = f->newest,
		.warm_id = TRIAL_WARM,
		.count_id = TRIAL_COUNT,
		.phase = ENGINE_COUNT,
	};
	for (uint16_t i = 0; i < PORTS; i++)
		f->lanes[i].port = i;
	f->lanes[HERE].rx = &f->rx;
	f->lanes[HERE].mine = frame_mac(HERE, 0) & 0xffffff;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	fe_burst_fini(&f->rx);
	free(f);
	return 0;
}

struct sent {
	uint64_t dst;
	uint32_t len;
	uint32_t seq;
	uint16_t from;
	uint8_t trial;
};

static struct sent in_turn(uint32_t seq)
{
	return (struct sent){frame_mac(HERE, seq % 3), LEN, seq, 1, TRIAL_COUNT};
}

/* The device delivers a frame; where it lies. */
static uint8_t *deliver(struct fixture *f, const struct sent *s)
{
	struct vring_used *used = (void *)f->device;
	uint16_t slot = f->used % NUM;
	uint8_t *frame = fe_burst_frame(&f->rx, slot);
	struct frame_of of = {f->e.format, s->from, (uint16_t)(s->seq % NUM), s->len};
	struct frame_head h = {.dst = s->dst,
		.src = frame_mac(s->from, s->seq % 5),
		.seq = s->seq,
		.tag = (uint16_t)(s->trial << 8)};
	struct virtio_net_hdr_mrg_rxbuf hdr;

	frame_fill(frame, &hdr, &of);
	hdr.num_buffers = 1;
	memcpy(frame - HDR, &hdr, HDR);
	frame_address(frame, f->e.format, &h);
	used->ring[slot] = (struct vring_used_elem){.id = slot, .len = HDR + s->len};
	used->idx = ++f->used;
	return frame;
}

/* What a burst came to. */
static struct bench_port_result received(struct fixture *f)
{
	assert_int_equal(lane_receive(&f->e, &f->lanes[HERE]), BURST);
	return f->ports[HERE].count;
}

/* A burst in turn, but for one frame that is `odd`. */
static struct bench_port_result burst_with(struct fixture *f, const struct sent *odd)
{
	for (uint32_t i = 0; i < BURST; i++) {
		struct sent s = in_turn(i);

		deliver(f, i == ODD ? odd : &s);
	}
	return received(f);
}

static void frames_in_turn_are_received(void **state)
{
	struct fixture *f = *state;
	struct sent plain = in_turn(ODD);
	struct bench_port_result r = burst_with(f, &plain);

	assert_int_equal(r.received, BURST);
	assert_int_equal(r.received_bytes, BURST * LEN);
	assert_int_equal(r.wrong + r.misplaced + r.reordered + r.duplicated, 0);
	assert_int_equal(f->lanes[1].back, BURST);
	assert_int_equal(f->streams[1 * PORTS + HERE].next, BURST);
}

static void one_of_another_size_counts_with_its_bytes(void **state)
{
	struct sent other = in_turn(ODD);
	struct bench_port_result r;

	other.len = 1000;
	r = burst_with(*state, &other);
	assert_int_equal(r.received, BURST);
	assert_int_equal(r.received_bytes, (BURST - 1) * LEN + 1000);
	assert_int_equal(r.wrong, 0);
}

static void one_for_another_port_is_misplaced(void **state)
{
	struct fixture *f = *state;
	struct sent other = in_turn(ODD);
	struct bench_port_result r;

	other.dst = frame_mac(2, 0);
	r = burst_with(f, &other);
	assert_int_equal(r.misplaced, 1);
	assert_int_equal(r.received, BURST - 1);
	assert_int_equal(f->lanes[1].back, BURST - 1);
}

static void one_that_came_before_is_duplicated(void **state)
{
	struct fixture *f = *state;
	struct sent other = in_turn(ODD - 2);
	struct bench_port_result r = burst_with(f, &other);

	assert_int_equal(r.duplicated, 1);
	assert_int_equal(r.received, BURST - 1);
	assert_int_equal(f->lanes[1].back, BURST - 1);
}

static void one_that_others_overtook_is_reordered(void **state)
{
	struct fixture *f = *state;
	struct bench_port_result r;

	for (uint32_t i = 0; i < BURST; i++) {
		struct sent s = in_turn(i == ODD ? ODD + 1 : i == ODD + 1 ? ODD : i);

		deliver(f, &s);
	}
	r = received(f);
	assert_int_equal(r.reordered, 1);
	assert_int_equal(r.received, BURST);
	assert_int_equal(r.duplicated, 0);
}

static void one_of_an_earlier_trial_does_not_count(void **state)
{
	struct fixture *f = *state;
	struct sent other = in_turn(ODD);
	struct bench_port_result r;

	other.trial = TRIAL_OLD;
	r = burst_with(f, &other);
	assert_int_equal(r.received, BURST - 1);
	assert_int_equal(r.wrong + r.misplaced + r.duplicated, 0);
	assert_int_equal(f->lanes[1].back, BURST - 1);
}

static void one_of_the_warm_up_circulates_and_does_not_count(void **state)
{
	struct fixture *f = *state;
	struct sent other = in_turn(ODD);
	struct bench_port_result r;

	other.trial = TRIAL_WARM;
	r = burst_with(f, &other);
	assert_int_equal(r.received, BURST - 1);
	assert_int_equal(f->lanes[1].back, BURST);
}

static void one_of_another_sender_counts_for_that_one(void **state)
{
	struct fixture *f = *state;
	struct sent other = {frame_mac(HERE, 0), LEN, 0, 2, TRIAL_COUNT};
	struct bench_port_result r = burst_with(f, &other);

	assert_int_equal(r.received, BURST);
	assert_int_equal(f->lanes[1].back, BURST - 1);
	assert_int_equal(f->lanes[2].back, 1);
	assert_int_equal(f->streams[2 * PORTS + HERE].next, 1);
}

static void one_to_all_counts_here_too(void **state)
{
	struct sent other = in_turn(ODD);
	struct bench_port_result r;

	other.dst = FRAME_BROADCAST;
	r = burst_with(*state, &other);
	assert_int_equal(r.received, BURST);
	assert_int_equal(r.misplaced, 0);
}

static void one_with_a_changed_byte_is_wrong(void **state)
{
	/* Source address, EtherType, IPv4 length. */
	static const uint8_t bytes[] = {6, 12, 13, 16, 17};

	for (unsigned b = 0; b < RW_ARRAY_SIZE(bytes); b++) {
		struct fixture *f = *state;
		struct bench_port_result r;
		uint8_t *frame = NULL;

		for (uint32_t i = 0; i < BURST; i++) {
			struct sent s = in_turn(i);
			uint8_t *at = deliver(f, &s);

			frame = i == ODD ? at : frame;
		}
		frame[bytes[b]] ^= 0x20;
		r = received(f);
		assert_int_equal(r.wrong, 1);
		assert_int_equal(r.received, BURST - 1);
		tear_down(state);
		set_up(state);
	}
}

static void one_that_is_shorter_than_it_says_is_wrong(void **state)
{
	struct fixture *f = *state;
	struct vring_used *used = (void *)f->device;
	struct bench_port_result r;

	for (uint32_t i = 0; i < BURST; i++) {
		struct sent s = in_turn(i);

		deliver(f, &s);
	}
	used->ring[ODD].len--;
	r = received(f);
	assert_int_equal(r.wrong, 1);
	assert_int_equal(r.received, BURST - 1);
}

/* Behind its first bytes lie those of the buffer's last frame, which may look right. */
static void one_whose_head_is_in_two_buffers_is_wrong(void **state)
{
	struct fixture *f = *state;
	struct vring_used *used = (void *)f->device;
	struct bench_port_result r;

	for (uint32_t i = 0; i < BURST; i++) {
		struct sent s = in_turn(i);
		uint8_t *frame = deliver(f, &s);
		uint16_t slot = (uint16_t)(f->used % NUM);

		if (i != ODD)
			continue;
		frame[-2] = 2; /* num_buffers */
		used->ring[slot - 1].len = HDR + 20;
		used->ring[slot] = (struct vring_used_elem){.id = slot, .len = LEN - 20};
		used->idx = ++f->used;
	}
	r = received(f);
	assert_int_equal(r.wrong, 1);
	assert_int_equal(r.received, BURST - 1);
}

/* Of each burst one payload is looked at, chosen by chance. */
static void payloads_of_another_frame_are_found_wrong(void **state)
{
	struct fixture *f = *state;
	uint32_t seq = 0;

	for (unsigned burst = 0; burst < 6; burst++) {
		for (uint32_t i = 0; i < BURST; i++) {
			struct sent s = in_turn(seq++);
			uint8_t *frame = deliver(f, &s);

			for (uint32_t at = frame_udp.payload_at; at < LEN; at++)
				frame[at] ^= 0xff;
		}
		received(f);
	}
	assert_int_equal(f->ports[HERE].count.wrong, 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(frames_in_turn_are_received),
		TEST(one_of_another_size_counts_with_its_bytes),
		TEST(one_for_another_port_is_misplaced),
		TEST(one_that_came_before_is_duplicated),
		TEST(one_that_others_overtook_is_reordered),
		TEST(one_of_an_earlier_trial_does_not_count),
		TEST(one_of_the_warm_up_circulates_and_does_not_count),
		TEST(one_of_another_sender_counts_for_that_one),
		TEST(one_to_all_counts_here_too),
		TEST(one_with_a_changed_byte_is_wrong),
		TEST(one_that_is_shorter_than_it_says_is_wrong),
		TEST(one_whose_head_is_in_two_buffers_is_wrong),
		TEST(payloads_of_another_frame_are_found_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
