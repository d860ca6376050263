/* SPDX-License-Identifier: BSD-3-Clause */
/* When a driver kicks and how it asks for interrupts (virtio 1.2, 2.7.7, 2.7.10 and 2.8.10). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fe_ring.h"

/* A ring of at most 8 entries. */
struct bench {
	struct fe_ring r;
	_Alignas(64) uint8_t desc[128];
	_Alignas(64) uint8_t driver[64];
	_Alignas(64) uint8_t device[128];
};

static void bench_start(struct bench *b, struct fe_ring_config c)
{
	c.desc = b->desc;
	c.driver = b->driver;
	c.device = b->device;
	assert_in_range(c.num, 1, 8);
	assert_int_equal(fe_ring_init(&b->r, &c), 0);
}

/* A fresh ring unless told otherwise. */
#define split_start(b, ...) bench_start(b, (struct fe_ring_config){.format = FE_SPLIT, __VA_ARGS__})
#define packed_start(b, ...) \
	bench_start(b, (struct fe_ring_config){.format = FE_PACKED, .wrap = true, __VA_ARGS__})

static void bench_end(struct bench *b)
{
	fe_ring_fini(&b->r);
}

/* Add a buffer of one piece. */
static void add(struct fe_ring *r)
{
	const struct fe_seg seg = {0x1000, 64};

	assert_int_equal(fe_ring_add(r, &(struct fe_chain){.segs = &seg, .n_out = 1}), 0);
}

static void post(struct fe_ring *r)
{
	add(r);
	fe_ring_publish(r);
}

static void kicks_follow_the_flags_without_event_idx(void **state)
{
	struct bench b;

	(void)state;
	split_start(&b, .num = 4);
	assert_false(fe_ring_needs_kick(&b.r));
	add(&b.r);
	assert_false(fe_ring_needs_kick(&b.r)); /* not published */
	fe_ring_publish(&b.r);
	assert_true(fe_ring_needs_kick(&b.r));
	assert_false(fe_ring_needs_kick(&b.r));
	b.r.used->flags = VRING_USED_F_NO_NOTIFY;
	post(&b.r);
	assert_false(fe_ring_needs_kick(&b.r));
	bench_end(&b);

	packed_start(&b, .num = 4);
	post(&b.r);
	assert_true(fe_ring_needs_kick(&b.r));
	b.r.device_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	post(&b.r);
	assert_false(fe_ring_needs_kick(&b.r));
	bench_end(&b);
}

static void kicks_follow_the_event_index(void **state)
{
	/* From index `start`, `n` buffers are published while the device asked for `event`. */
	static const struct {
		uint16_t start, n, event;
		bool kick;
	} cases[] = {{0, 1, 0, true}, {0, 1, 1, false}, {0, 1, 65535, false}, {0, 4, 3, true},
		{0, 4, 4, false}, {65534, 4, 65533, false}, {65534, 4, 65534, true},
		{65534, 4, 1, true}, {65534, 4, 2, false}};
	struct bench b;
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		split_start(&b, .num = 4, .event_idx = true, .start = cases[i].start);
		*(uint16_t *)&b.r.used->ring[4] = cases[i].event;
		b.r.used->flags = VRING_USED_F_NO_NOTIFY; /* has no say with EVENT_IDX */
		for (k = 0; k < cases[i].n; k++)
			add(&b.r);
		fe_ring_publish(&b.r);
		assert_int_equal(fe_ring_needs_kick(&b.r), cases[i].kick);
		bench_end(&b);
	}
}

static void kicks_follow_the_event_offset_of_a_packed_ring(void **state)
{
	/*
	 * A ring of 5 at slot `start` with wrap 1; `n` descriptors published; event offset and
	 * wrap.
	 */
	static const struct {
		uint16_t start, n, off;
		bool wrap, kick;
	} cases[] = {{0, 1, 0, true, true}, {0, 1, 1, true, false}, {0, 5, 4, true, true},
		{0, 5, 0, false, false}, {3, 4, 2, true, false}, {3, 4, 3, true, true},
		{3, 4, 4, true, true}, {3, 4, 0, false, true}, {3, 4, 1, false, true},
		{3, 4, 2, false, false}};
	struct bench b;
	size_t i;
	int k;

	(void)state;
	for (i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		packed_start(&b, .num = 5, .event_idx = true, .start = cases[i].start);
		b.r.device_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
		b.r.device_event->off_wrap = (uint16_t)(cases[i].off | cases[i].wrap << 15);
		for (k = 0; k < cases[i].n; k++)
			add(&b.r);
		fe_ring_publish(&b.r);
		assert_int_equal(fe_ring_needs_kick(&b.r), cases[i].kick);
		bench_end(&b);
	}
}

static void interrupts_are_asked_for_in_the_prescribed_fields(void **state)
{
	struct bench b;

	(void)state;
	split_start(&b, .num = 4);
	fe_ring_want_interrupt(&b.r, false);
	assert_int_equal(b.r.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	fe_ring_want_interrupt(&b.r, true);
	assert_int_equal(b.r.avail->flags, 0);
	assert_int_equal(fe_ring_interrupt_after(&b.r, 1), -ENOTSUP);
	bench_end(&b);

	split_start(&b, .num = 4, .start = 65535, .event_idx = true);
	assert_int_equal(b.r.avail->ring[4], 65535);
	fe_ring_want_interrupt(&b.r, false);
	assert_int_equal(b.r.avail->flags, 0);
	assert_int_equal(b.r.avail->ring[4], 65534);
	assert_int_equal(fe_ring_interrupt_after(&b.r, 3), 0);
	assert_int_equal(b.r.avail->ring[4], 1);
	assert_int_equal(fe_ring_interrupt_after(&b.r, 5), -EINVAL);
	fe_ring_want_interrupt(&b.r, true);
	assert_int_equal(b.r.avail->ring[4], 65535);
	bench_end(&b);

	packed_start(&b, .num = 5, .start = 4, .event_idx = true);
	fe_ring_want_interrupt(&b.r, false);
	assert_int_equal(b.r.driver_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	fe_ring_want_interrupt(&b.r, true);
	assert_int_equal(b.r.driver_event->flags, VRING_PACKED_EVENT_FLAG_DESC);
	assert_int_equal(b.r.driver_event->off_wrap, 0x8004);
	assert_int_equal(fe_ring_interrupt_after(&b.r, 3), 0);
	assert_int_equal(b.r.driver_event->off_wrap, 1); /* next lap: wrap bit clear */
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kicks_follow_the_flags_without_event_idx),
		cmocka_unit_test(kicks_follow_the_event_index),
		cmocka_unit_test(kicks_follow_the_event_offset_of_a_packed_ring),
		cmocka_unit_test(interrupts_are_asked_for_in_the_prescribed_fields),
	};

	return cmocka_run_group_tests_name("guest_events", tests, NULL, NULL);
}
