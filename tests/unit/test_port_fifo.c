/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fifo in which frames wait behind an IOMMU or in a postcopy migration
 * (lib/port/include/port_fifo.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "port_fifo.h"

/* A frame of `len` bytes whose content follows from `seed`, its tail in three pieces of `tail`. */
static void frame_make(
	struct frame *f, struct rw_seg segs[3], uint8_t *tail, uint32_t len, uint32_t seed)
{
	uint32_t left, piece;

	frame_init(f, len);
	f->seg = segs;
	f->vlan = (uint16_t)seed;
	left = len - f->head_len;
	for (uint32_t i = 0; i < FRAME_HEAD; i++)
		f->head[i] = (uint8_t)(seed + i);
	for (uint32_t i = 0; i < left; i++)
		tail[i] = (uint8_t)(seed * 3 + i);
	for (unsigned i = 0; left && i < 3; i++) {
		piece = i == 2 ? left : left / 2;
		if (!piece)
			continue;
		segs[f->nsegs++] = (struct rw_seg){.data = tail, .len = piece};
		tail += piece;
		left -= piece;
	}
}

static bool frame_is(const struct frame *f, uint32_t len, uint32_t seed)
{
	uint32_t at = 0;

	if (f->len != len || f->vlan != (uint16_t)seed)
		return false;
	for (uint32_t i = 0; i < f->head_len; i++) {
		if (f->head[i] != (uint8_t)(seed + i))
			return false;
	}
	for (uint16_t k = 0; k < f->nsegs; k++) {
		for (uint32_t i = 0; i < f->seg[k].len; i++, at++) {
			if (f->seg[k].data[i] != (uint8_t)(seed * 3 + at))
				return false;
		}
	}
	return at == len - f->head_len;
}

/* Sizes from an Ethernet header to the longest frame there is. */
static uint32_t size_of(uint32_t i)
{
	static const uint32_t sizes[] = {14, 60, 64, 65, 128, 191, 1518, 9000, FRAME_MAX_LEN};

	return sizes[i * 2654435761u % RW_ARRAY_SIZE(sizes)];
}

static bool push(struct port_fifo *fifo, uint32_t i)
{
	static __thread uint8_t tail[FRAME_MAX_LEN];
	struct rw_seg segs[3];
	struct frame f;

	frame_make(&f, segs, tail, size_of(i), i);
	return port_fifo_push(fifo, &f);
}

static void an_empty_fifo_has_no_frames_and_all_its_room(void **state)
{
	struct port_fifo *fifo = port_fifo_new();
	struct frame f;

	(void)state;
	assert_non_null(fifo);
	assert_int_equal(port_fifo_peek(fifo, &f, 1), 0);
	assert_int_equal(port_fifo_room(fifo), PORT_FIFO_BYTES);
	port_fifo_free(fifo);
	port_fifo_free(NULL);
}

static void frames_come_out_in_order_with_every_byte(void **state)
{
	struct port_fifo *fifo = port_fifo_new();
	struct frame frames[FRAME_BURST];
	uint32_t in = 0, out = 0;

	(void)state;
	/*
	 * Fill it to the brim and take a part, so that every kind of frame meets the end of the
	 * circle.
	 */
	while (out < 20000) {
		unsigned n, take;

		while (push(fifo, in))
			in++;
		n = port_fifo_peek(fifo, frames, FRAME_BURST);
		assert_true(n > 0);
		take = 1 + in % n;
		for (unsigned i = 0; i < take; i++)
			assert_true(frame_is(&frames[i], size_of(out + i), out + i));
		port_fifo_pop(fifo, take);
		out += take;
	}
	port_fifo_free(fifo);
}

static void what_was_looked_at_stays_until_it_is_taken(void **state)
{
	struct port_fifo *fifo = port_fifo_new();
	struct frame a, b;

	(void)state;
	assert_true(push(fifo, 5));
	assert_int_equal(port_fifo_peek(fifo, &a, 1), 1);
	assert_int_equal(port_fifo_peek(fifo, &b, 1), 1);
	assert_true(frame_is(&a, size_of(5), 5) && frame_is(&b, size_of(5), 5));
	port_fifo_pop(fifo, 1);
	assert_int_equal(port_fifo_peek(fifo, &a, 1), 0);
	port_fifo_free(fifo);
}

static void the_room_it_tells_of_is_there(void **state)
{
	struct port_fifo *fifo = port_fifo_new();
	uint8_t *tail = malloc(FRAME_MAX_LEN);
	struct rw_seg segs[3];
	struct frame f, got[FRAME_BURST];

	(void)state;
	frame_make(&f, segs, tail, FRAME_MAX_LEN, 1);
	for (unsigned round = 0; round < 1000; round++) {
		/* As the postcopy thread reckons: one frame less, for the gap at the end. */
		uint32_t fits = port_fifo_room(fifo) / (FRAME_MAX_LEN + 512);

		for (uint32_t i = 1; i < fits; i++)
			assert_true(port_fifo_push(fifo, &f));
		port_fifo_pop(fifo, port_fifo_peek(fifo, got, 1 + round % 5));
		push(fifo, round);
	}
	free(tail);
	port_fifo_free(fifo);
}

#define THREAD_FRAMES 5000u

static void *producer(void *arg)
{
	for (uint32_t i = 0; i < THREAD_FRAMES;) {
		if (push(arg, i))
			i++;
	}
	return NULL;
}

static void one_thread_may_fill_it_while_another_empties_it(void **state)
{
	struct port_fifo *fifo = port_fifo_new();
	struct frame frames[FRAME_BURST];
	pthread_t thread;
	uint32_t out = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, producer, fifo), 0);
	while (out < THREAD_FRAMES) {
		unsigned n = port_fifo_peek(fifo, frames, FRAME_BURST);

		for (unsigned i = 0; i < n; i++)
			assert_true(frame_is(&frames[i], size_of(out + i), out + i));
		port_fifo_pop(fifo, n);
		out += n;
	}
	pthread_join(thread, NULL);
	port_fifo_free(fifo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_fifo_has_no_frames_and_all_its_room),
		cmocka_unit_test(frames_come_out_in_order_with_every_byte),
		cmocka_unit_test(what_was_looked_at_stays_until_it_is_taken),
		cmocka_unit_test(the_room_it_tells_of_is_there),
		cmocka_unit_test(one_thread_may_fill_it_while_another_empties_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
