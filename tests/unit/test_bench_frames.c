/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ringway-bench: what its frames say, and which of a stream have come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "frames.h"

#define PORT    3
#define STATION 0x0a0b0c
#define BUFFER  700

static uint8_t frame[FRAME_MAX];
static struct virtio_net_hdr_mrg_rxbuf hdr;

static void make(const struct frame_format *format, uint32_t len)
{
	const struct frame_of of = {.format = format, .port = PORT, .buffer = BUFFER, .len = len};
	const struct frame_head head = {
		.dst = frame_mac(7, STATION),
		.src = frame_mac(PORT, 1),
		.flow = 2,
		.seq = 0x12345678,
		.stamp = format->pieces ? 0 : 0x9abcdef0,
		.tag = 5 | 9 << 8,
	};

	memset(frame, 0, RW_MIN(len + 1, FRAME_MAX));
	frame_fill(frame, &hdr, &of);
	frame_address(frame, format, &head);
}

static uint16_t be16(size_t at)
{
	return (uint16_t)(frame[at] << 8 | frame[at + 1]);
}

/* RFC 1071: with the checksum in its place the sum is all ones. */
static uint32_t sum_of(size_t at, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i += 2)
		sum += be16(at + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void a_frame_is_what_it_says_on_the_wire(void **state)
{
	static const uint8_t addresses[12] = {2, 0x52, 7, 0x0a, 0x0b, 0x0c, 2, 0x52, PORT, 0, 0, 1};

	(void)state;
	make(&frame_udp, 64);
	assert_memory_equal(frame, addresses, sizeof(addresses));
	assert_int_equal(be16(12), 0x0800);
	assert_int_equal(frame[14], 0x45);
	assert_int_equal(be16(16), 50);
	assert_int_equal(frame[23], 17);
	assert_int_equal(sum_of(14, 20, 0), 0xffff);
	assert_int_equal(be16(34), 1026);
	assert_int_equal(be16(38), 30);
	assert_int_equal(hdr.hdr.flags | hdr.hdr.gso_type, 0);
}

static void a_large_frame_asks_for_segmentation(void **state)
{
	(void)state;
	make(&frame_tcp, FRAME_MAX);
	assert_int_equal(be16(16), 65535);
	assert_int_equal(frame[23], 6);
	assert_int_equal(frame[46], 0x50);
	assert_int_equal(sum_of(14, 20, 0), 0xffff);
	/* The pseudo header, whose sum stands where the checksum will. */
	assert_int_equal(be16(50), sum_of(26, 8, 6 + FRAME_MAX - 34));
	assert_int_equal(hdr.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(hdr.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(hdr.hdr.gso_size, FRAME_GSO_SIZE);
	assert_int_equal(hdr.hdr.csum_start, 34);
	make(&frame_tcp, FRAME_PLAIN_MAX);
	assert_int_equal(hdr.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
}

static void what_was_written_is_read(void **state)
{
	static const struct frame_format *const formats[] = {&frame_udp, &frame_tcp};
	struct frame_seen s;

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		make(formats[i], 1000);
		assert_true(frame_read(frame, 1000, formats[i], &s));
		assert_int_equal(s.dst, frame_mac(7, STATION));
		assert_int_equal(s.port, PORT);
		assert_int_equal(s.buffer, BUFFER);
		assert_int_equal(s.queue, 5);
		assert_int_equal(s.trial, 9);
		assert_int_equal(s.seq, 0x12345678);
		assert_int_equal(s.stamp, 0x9abcdef0);
	}
}

/* A frame that is to be cut, what the device makes of its second segment, and of the last one. */
static void a_segment_says_which_it_is(void **state)
{
	const struct frame_format format = frame_cut_format(frame_pieces(4000));
	uint32_t at = FRAME_GSO_SIZE, len = FRAME_CUT_HDR + FRAME_GSO_SIZE;
	struct frame_seen s;

	(void)state;
	assert_int_equal(format.pieces, 3);
	make(&format, 4000);
	assert_int_equal(frame[46], 0x80); /* TCP with options */
	assert_int_equal(be16(18), BUFFER);
	assert_int_equal(hdr.hdr.hdr_len, FRAME_CUT_HDR);
	for (uint32_t nth = 1; nth < 3; nth++, at += FRAME_GSO_SIZE) {
		if (nth == 2)
			len = 4000 - at;
		frame[16] = (uint8_t)((len - 14) >> 8);
		frame[17] = (uint8_t)(len - 14);
		frame[19]++;
		frame[40] = (uint8_t)(at >> 8);
		frame[41] = (uint8_t)at;
		assert_true(frame_read(frame, len, &format, &s));
		assert_int_equal(s.seq, (uint32_t)(0x12345678 * 3u + nth));
		assert_int_equal(s.buffer, BUFFER);
		assert_int_equal(s.skipped, at);
		frame[41]++;
		assert_false(frame_read(frame, len, &format, &s));
	}
	/* Only the last one may be shorter, and there is no fourth. */
	frame[41]--;
	frame[40] = 0;
	frame[41] = 0;
	assert_false(frame_read(frame, len, &format, &s));
	frame[40] = (uint8_t)(at >> 8);
	frame[41] = (uint8_t)at;
	assert_false(frame_read(frame, len, &format, &s));
}

static void a_wrong_checksum_is_seen(void **state)
{
	(void)state;
	for (uint32_t len = 1000; len < 1002; len++) {
		uint16_t sum;

		make(&frame_tcp, len);
		assert_false(frame_is_summed(frame));
		sum = (uint16_t)~sum_of(34, len - 34 + (len & 1), 0);
		frame[50] = (uint8_t)(sum >> 8);
		frame[51] = (uint8_t)sum;
		assert_true(frame_is_summed(frame));
		frame[len - 1]++;
		assert_false(frame_is_summed(frame));
	}
}

static void a_frame_of_another_length_or_kind_is_not_ours(void **state)
{
	struct frame_seen s;

	(void)state;
	make(&frame_udp, 64);
	assert_true(frame_read(frame, 64, &frame_udp, &s));
	assert_false(frame_read(frame, 60, &frame_udp, &s));
	assert_false(frame_read(frame, 65, &frame_udp, &s));
	frame[12] = 0x86;
	assert_false(frame_read(frame, 64, &frame_udp, &s));
	make(&frame_udp, 64);
	frame[7] = 0;
	assert_false(frame_read(frame, 64, &frame_udp, &s));
	memset(frame, 0, 64);
	assert_false(frame_read(frame, 64, &frame_udp, &s));
}

static void a_payload_differs_from_zeroes_neighbours_and_itself_moved(void **state)
{
	unsigned same_zero = 0, same_next = 0, same_moved = 0;

	(void)state;
	make(&frame_udp, 1518);
	for (uint32_t i = 52; i < 1510; i++) {
		assert_int_equal(frame[i], frame_payload(PORT, BUFFER, i));
		same_zero += frame[i] == 0;
		same_next += frame[i] == frame_payload(PORT, BUFFER + 1, i);
		same_moved += frame[i] == frame[i + 8];
	}
	/* By chance one in 256 would be. */
	assert_in_range(same_zero, 0, 30);
	assert_in_range(same_next, 0, 30);
	assert_in_range(same_moved, 0, 30);
}

static void frames_in_turn_are_new(void **state)
{
	static struct stream s;

	(void)state;
	s = (struct stream){0};
	for (uint32_t i = 0; i < 3 * STREAM_WINDOW; i++)
		assert_int_equal(stream_note(&s, i), STREAM_NEW);
	assert_int_equal(s.holes, 0);
}

static void a_frame_that_comes_twice_is_told_from_a_late_one(void **state)
{
	static struct stream s;

	(void)state;
	s = (struct stream){0};
	assert_int_equal(stream_note(&s, 0), STREAM_NEW);
	assert_int_equal(stream_note(&s, 0), STREAM_AGAIN);
	assert_int_equal(stream_note(&s, 5), STREAM_NEW);
	assert_int_equal(stream_note(&s, 3), STREAM_LATE);
	assert_int_equal(stream_note(&s, 3), STREAM_AGAIN);
	assert_int_equal(stream_note(&s, 5), STREAM_AGAIN);
	assert_int_equal(stream_note(&s, 6), STREAM_NEW);
	assert_int_equal(s.holes, 3); /* 1, 2 and 4 */
	assert_int_equal(stream_note(&s, 1), STREAM_LATE);
	assert_int_equal(stream_note(&s, 2), STREAM_LATE);
	assert_int_equal(stream_note(&s, 4), STREAM_LATE);
	assert_int_equal(s.holes, 0);
}

static void a_hole_is_forgotten_after_a_window(void **state)
{
	static struct stream s;

	(void)state;
	s = (struct stream){0};
	assert_int_equal(stream_note(&s, 1), STREAM_NEW);
	for (uint32_t i = 2; i < STREAM_WINDOW; i++)
		assert_int_equal(stream_note(&s, i), STREAM_NEW);
	assert_int_equal(s.holes, 1);
	assert_int_equal(stream_note(&s, STREAM_WINDOW), STREAM_NEW);
	assert_int_equal(s.holes, 0);
	assert_int_equal(stream_note(&s, 0), STREAM_AGAIN);
}

static void a_jump_over_more_than_a_window_leaves_a_window_of_holes(void **state)
{
	static struct stream s;

	(void)state;
	s = (struct stream){0};
	assert_int_equal(stream_note(&s, 10 * STREAM_WINDOW), STREAM_NEW);
	assert_int_equal(s.holes, STREAM_WINDOW - 1);
	assert_int_equal(stream_note(&s, 10 * STREAM_WINDOW - 1), STREAM_LATE);
	assert_int_equal(stream_note(&s, 8 * STREAM_WINDOW), STREAM_AGAIN);
}

static void numbers_wrap_around(void **state)
{
	static struct stream s;

	(void)state;
	s = (struct stream){.next = UINT32_MAX - 1};
	assert_int_equal(stream_note(&s, UINT32_MAX - 1), STREAM_NEW);
	assert_int_equal(stream_note(&s, 1), STREAM_NEW);
	assert_int_equal(stream_note(&s, UINT32_MAX), STREAM_LATE);
	assert_int_equal(stream_note(&s, 0), STREAM_LATE);
	assert_int_equal(stream_note(&s, 0), STREAM_AGAIN);
	assert_int_equal(s.holes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_what_it_says_on_the_wire),
		cmocka_unit_test(a_large_frame_asks_for_segmentation),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(a_segment_says_which_it_is),
		cmocka_unit_test(a_wrong_checksum_is_seen),
		cmocka_unit_test(a_frame_of_another_length_or_kind_is_not_ours),
		cmocka_unit_test(a_payload_differs_from_zeroes_neighbours_and_itself_moved),
		cmocka_unit_test(frames_in_turn_are_new),
		cmocka_unit_test(a_frame_that_comes_twice_is_told_from_a_late_one),
		cmocka_unit_test(a_hole_is_forgotten_after_a_window),
		cmocka_unit_test(a_jump_over_more_than_a_window_leaves_a_window_of_holes),
		cmocka_unit_test(numbers_wrap_around),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
