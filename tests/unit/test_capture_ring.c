/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring of captured frames and what fills it: records arrive whole and in order, a full ring
 * loses and counts, and a peer that writes anything into the memory harms nobody but itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cap_tap.h"

#define PARTS 2
#define PORTS 4

struct place {
	struct cap_layout layout;
	uint8_t *memory, *before; /* the memory, between two pages of a pattern */
	size_t bytes;
	struct cap_tap tap; /* of part 1 */
	struct cap_reader reader;
	uint8_t scratch[CAP_SNAP_MAX];
};

static int setup(void **state)
{
	struct place *p = rw_zalloc(sizeof(*p));

	assert_non_null(p);
	assert_int_equal(cap_layout(PARTS, PORTS, CAP_DATA_MIN, &p->layout), 0);
	p->bytes = cap_layout_bytes(&p->layout);
	p->before = rw_zalloc(p->bytes + 2 * CAP_PAGE_BYTES);
	assert_non_null(p->before);
	memset(p->before, 0xa5, CAP_PAGE_BYTES);
	p->memory = p->before + CAP_PAGE_BYTES;
	memset(p->memory + p->bytes, 0xa5, CAP_PAGE_BYTES);
	cap_writer_init(&p->tap.writer, p->memory, &p->layout, 1);
	cap_reader_init(&p->reader, p->memory, &p->layout, 1);
	p->tap.snap = CAP_SNAP_MAX;
	p->tap.sample = 1;
	p->tap.scratch = p->scratch;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	/* Nobody wrote beside the memory, or into the other part. */
	for (size_t i = 0; i < CAP_PAGE_BYTES; i++) {
		assert_int_equal(p->before[i], 0xa5);
		assert_int_equal(p->memory[p->bytes + i], 0xa5);
	}
	for (size_t i = 0; i < p->bytes / PARTS; i++)
		assert_int_equal(p->memory[i], 0);
	rw_free(p->before);
	rw_free(p);
	return 0;
}

/* ---- frames ---- */

struct lent {
	struct frame f;
	struct rw_seg segs[2];
	uint8_t bytes[CAP_SNAP_MAX];
};

static void lend(struct lent *l, uint32_t len, unsigned seq)
{
	uint32_t rest;

	for (uint32_t i = 0; i < len; i++)
		l->bytes[i] = (uint8_t)(seq * 7 + i * 3 + (i >> 8));
	frame_init(&l->f, len);
	memcpy(l->f.head, l->bytes, l->f.head_len);
	rest = len - l->f.head_len;
	l->segs[0] = (struct rw_seg){l->bytes + l->f.head_len, rest / 3};
	l->segs[1] = (struct rw_seg){l->bytes + l->f.head_len + rest / 3, rest - rest / 3};
	l->f.seg = l->segs;
	l->f.nsegs = rest ? 2 : 0;
}

static void tap_one(struct place *p, struct lent *l, uint16_t port)
{
	const struct cap_record like = {
		.port = port, .other = CAP_PORT_NONE, .time_ns = 5, .vlan = 9};
	struct frame *frames[] = {&l->f};

	cap_tap_frames(&p->tap, &like, frames, 1);
}

/* The next record is frame `seq`, of which `caplen` bytes were captured. */
static void expect(struct place *p, uint32_t len, uint32_t caplen, unsigned seq)
{
	static struct lent want;
	struct cap_record record;
	const uint8_t *bytes;

	lend(&want, len, seq);
	assert_int_equal(cap_reader_look(&p->reader), 0);
	assert_int_equal(cap_reader_next(&p->reader, &record, &bytes), 1);
	assert_int_equal(record.len, len);
	assert_int_equal(record.caplen, caplen);
	assert_int_equal(record.vlan, 9);
	assert_memory_equal(bytes, want.bytes, caplen);
	cap_reader_skip(&p->reader, &record);
}

static void expect_none(struct place *p)
{
	struct cap_record record;
	const uint8_t *bytes;

	assert_int_equal(cap_reader_look(&p->reader), 0);
	assert_int_equal(cap_reader_next(&p->reader, &record, &bytes), 0);
}

/* ---- what is written is read ---- */

static void frames_of_all_lengths_arrive_in_order(void **state)
{
	static struct lent l;
	struct place *p = *state;
	uint32_t len = FRAME_MIN_LEN;

	/* Many times around the ring. */
	for (unsigned seq = 0; seq < 3000; seq++) {
		lend(&l, len, seq);
		tap_one(p, &l, 3);
		expect(p, len, len, seq);
		cap_reader_release(&p->reader);
		len = seq % 50 ? (len * 5 + 3) % 1600 + FRAME_MIN_LEN : CAP_SNAP_MAX;
	}
	expect_none(p);
	assert_int_equal(p->reader.part->ports[3].taken, 3000);
	assert_int_equal(p->reader.part->ports[3].lost, 0);
}

static void a_full_ring_loses_and_counts(void **state)
{
	static struct lent l;
	struct place *p = *state;
	unsigned room = CAP_DATA_MIN / (32 + 64), had = 0;

	for (unsigned seq = 0; seq < 2 * room; seq++) {
		lend(&l, 64, seq);
		tap_one(p, &l, 1);
	}
	assert_int_equal(p->tap.writer.taken, 2 * room);
	assert_int_equal(p->tap.writer.lost, room);
	assert_int_equal(p->reader.part->ports[1].lost, room);
	/* Those that came first are there, and when they are read there is room again. */
	for (; had < room; had++)
		expect(p, 64, 64, had);
	expect_none(p);
	lend(&l, 64, 1);
	tap_one(p, &l, 1);
	expect_none(p);
	cap_reader_release(&p->reader);
	tap_one(p, &l, 1);
	expect(p, 64, 64, 1);
}

static void a_snap_length_cuts_and_samples_are_counted_out(void **state)
{
	static struct lent l;
	struct place *p = *state;

	p->tap.snap = 100;
	p->tap.sample = 10;
	for (unsigned seq = 0; seq < 100; seq++) {
		lend(&l, 1500, seq);
		tap_one(p, &l, 1);
	}
	for (unsigned seq = 9; seq < 100; seq += 10)
		expect(p, 1500, 100, seq);
	expect_none(p);
}

/* ld [1000]; jeq #k: as frame `seq` has it there, beyond the head. */
static void a_filter_sees_what_is_beyond_the_snap_length(void **state)
{
	static struct lent l;
	struct place *p = *state;
	struct cap_insn insns[] = {
		{0x30, 0, 0, 1000}, {0x15, 0, 1, 0}, {0x06, 0, 0, 1}, {0x06, 0, 0, 0}};

	lend(&l, 1500, 77);
	insns[1].k = l.bytes[1000];
	p->tap.filter = (struct cap_filter){insns, 4};
	p->tap.snap = 60;
	for (unsigned seq = 70; seq < 80; seq++) {
		lend(&l, 1500, seq);
		tap_one(p, &l, 1);
		lend(&l, 500, seq); /* it ends before */
		tap_one(p, &l, 1);
	}
	expect(p, 1500, 60, 77);
	expect_none(p);
}

static void what_never_became_a_frame_is_bounded(void **state)
{
	const struct cap_record like = {.port = 2, .what = CAP_RX_DROP, .why = 3};
	struct place *p = *state;
	struct cap_record record;
	const uint8_t *bytes;

	cap_tap_empty(&p->tap, &like, UINT64_MAX);
	assert_int_equal(cap_reader_look(&p->reader), 0);
	for (unsigned i = 0; i < CAP_TAP_EMPTY_MAX; i++) {
		assert_int_equal(cap_reader_next(&p->reader, &record, &bytes), 1);
		assert_int_equal(record.len + record.caplen, 0);
		assert_int_equal(record.why, 3);
		cap_reader_skip(&p->reader, &record);
	}
	expect_none(p);
}

static void layouts_have_limits(void **state)
{
	struct cap_layout l;

	(void)state;
	assert_int_equal(cap_layout(0, 1, CAP_DATA_MIN, &l), -EINVAL);
	assert_int_equal(cap_layout(CAP_PARTS_MAX + 1, 1, CAP_DATA_MIN, &l), -EINVAL);
	assert_int_equal(cap_layout(1, 0, CAP_DATA_MIN, &l), -EINVAL);
	assert_int_equal(cap_layout(1, CAP_PORTS_MAX + 1, CAP_DATA_MIN, &l), -EINVAL);
	assert_int_equal(cap_layout(1, 1, CAP_DATA_MIN + 8, &l), -EINVAL);
	assert_int_equal(cap_layout(1, 1, CAP_DATA_MIN / 2, &l), -EINVAL);
	assert_int_equal(cap_layout(1, 1, CAP_DATA_MAX * 2, &l), -EINVAL);
	assert_int_equal(cap_layout(CAP_PARTS_MAX, 1, CAP_DATA_MAX, &l), -EINVAL);
	assert_int_equal(cap_layout(CAP_PARTS_MAX, CAP_PORTS_MAX, CAP_DATA_MIN, &l), 0);
}

/* ---- a peer that lies ---- */

static void a_reader_that_lies_about_its_position_gets_less(void **state)
{
	static const uint64_t lies[] = {1, 7, 8, UINT64_MAX, 1ull << 63, CAP_DATA_MIN,
		CAP_DATA_MIN + 1, (uint64_t)0 - CAP_DATA_MIN};
	static struct lent l;
	struct place *p = *state;

	for (unsigned round = 0; round < 4000; round++) {
		p->reader.part->tail = p->tap.writer.head + lies[round % RW_ARRAY_SIZE(lies)];
		p->reader.part->head = round * 12345;
		p->reader.part->ports[0].taken = UINT64_MAX;
		lend(&l, round % 9 ? 64 : CAP_SNAP_MAX, round);
		tap_one(p, &l, 0);
		memset((uint8_t *)(uintptr_t)p->reader.data, (int)round, 4096);
	}
	/* teardown sees that nothing else was written; what was lost is known to the writer. */
	assert_int_equal(p->tap.writer.taken, 4000);
	assert_true(p->tap.writer.lost > 0 && p->tap.writer.lost < 4000);
}

static void a_writer_that_lies_is_found_out(void **state)
{
	static struct lent l;
	struct place *p = *state;
	uint8_t *data = (uint8_t *)(uintptr_t)p->reader.data;
	struct cap_record record;
	const uint8_t *bytes;
	uint32_t seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		struct cap_reader *r = &p->reader;
		int n = 1;

		cap_reader_init(r, p->memory, &p->layout, 1);
		seed = seed * 1664525 + 1013904223;
		cap_writer_init(&p->tap.writer, p->memory, &p->layout, 1);
		lend(&l, 14 + round % 300, round);
		tap_one(p, &l, 0);
		/* Any word of the record, or the position. */
		memcpy(data + (round % 8) * 4, &seed, sizeof(seed));
		if (round % 3 == 0)
			r->part->head = round % 6 ? seed : seed % (2 * CAP_DATA_MIN);
		if (cap_reader_look(r))
			continue;
		while (n == 1 && (n = cap_reader_next(r, &record, &bytes)) == 1) {
			assert_true(bytes >= data);
			assert_true(bytes + record.caplen <= data + CAP_DATA_MIN);
			cap_reader_skip(r, &record);
		}
	}
}

#define with_place(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_place(frames_of_all_lengths_arrive_in_order),
		with_place(a_full_ring_loses_and_counts),
		with_place(a_snap_length_cuts_and_samples_are_counted_out),
		with_place(a_filter_sees_what_is_beyond_the_snap_length),
		with_place(what_never_became_a_frame_is_bounded),
		cmocka_unit_test(layouts_have_limits),
		with_place(a_reader_that_lies_about_its_position_gets_less),
		with_place(a_writer_that_lies_is_found_out),
	};

	return cmocka_run_group_tests_name("capture_ring", tests, NULL, NULL);
}
