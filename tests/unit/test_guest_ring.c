/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver's side of the rings against the byte images that virtio 1.2 (2.7, 2.8) prescribes.
 * The device is played by hand: each test writes what a device would.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fe_ring.h"

#define GPA 0x100000u

struct bench {
	struct fe_ring r;
	struct fe_layout at;
	uint8_t *mem;
};

static void bench_start(struct bench *b, struct fe_ring_config c)
{
	fe_ring_layout(c.format, c.num, &b->at);
	b->mem = aligned_alloc(64, b->at.bytes);
	assert_non_null(b->mem);
	memset(b->mem, 0xa5, b->at.bytes);
	c.desc = b->mem + b->at.desc;
	c.driver = b->mem + b->at.driver;
	c.device = b->mem + b->at.device;
	assert_int_equal(fe_ring_init(&b->r, &c), 0);
}

/* A fresh ring unless told otherwise. */
#define split_start(b, ...) bench_start(b, (struct fe_ring_config){.format = FE_SPLIT, __VA_ARGS__})
#define packed_start(b, ...) \
	bench_start(b, (struct fe_ring_config){.format = FE_PACKED, .wrap = true, __VA_ARGS__})

static void bench_end(struct bench *b)
{
	fe_ring_fini(&b->r);
	free(b->mem);
}

static int add(struct fe_ring *r, uint16_t n_out, uint16_t n_in, uint64_t token)
{
	struct fe_seg segs[16];
	struct fe_chain c = {.segs = segs, .n_out = n_out, .n_in = n_in, .token = token};
	uint32_t i;

	assert_in_range(n_out + n_in, 1, 16);
	for (i = 0; i < (uint32_t)n_out + n_in; i++)
		segs[i] = (struct fe_seg){GPA * (token + 1) + i * 0x1000, 0x100 + i};
	return fe_ring_add(r, &c);
}

/* Add and publish one readable piece. */
static void post(struct fe_ring *r)
{
	assert_int_equal(add(r, 1, 0, 0), 0);
	fe_ring_publish(r);
}

static void pop_is(struct fe_ring *r, uint64_t token, uint32_t len)
{
	struct fe_used u = {0};

	assert_true(fe_ring_has_used(r));
	assert_int_equal(fe_ring_pop(r, &u), 0);
	assert_int_equal(u.token, token);
	assert_int_equal(u.len, len);
}

static void pop_is_empty(struct fe_ring *r)
{
	struct fe_used u;

	assert_false(fe_ring_has_used(r));
	assert_int_equal(fe_ring_pop(r, &u), -EAGAIN);
}

/* The device uses one entry of a split ring. */
static void split_use(struct fe_ring *r, uint32_t id, uint32_t len)
{
	r->used->ring[r->used->idx % r->num] = (struct vring_used_elem){id, len};
	r->used->idx++;
}

static void packed_use(struct fe_ring *r, uint16_t slot, uint16_t id, uint32_t len, bool wrap)
{
	r->pdesc[slot].id = id;
	r->pdesc[slot].len = len;
	r->pdesc[slot].flags = wrap ? 0x8080 : 0;
}

/* Memory that holds exactly the bytes written out in hexadecimal; blanks do not count. */
static void image_is(const void *mem, const char *hex)
{
	const uint8_t *p = mem;
	unsigned byte;

	while (*hex) {
		if (*hex == ' ') {
			hex++;
			continue;
		}
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		assert_int_equal(*p++, byte);
		hex += 2;
	}
}

static void areas_do_not_overlap_and_are_aligned(void **state)
{
	struct fe_layout l;

	(void)state;
	fe_ring_layout(FE_SPLIT, 256, &l);
	assert_int_equal(l.desc, 0);
	assert_int_equal(l.driver, 4096);
	assert_int_equal(l.device, 4096 + 576); /* 2 + 2 + 512 + 2, up to a line */
	assert_int_equal(l.bytes, 4672 + 2112); /* 2 + 2 + 2048 + 2, up to a line */
	fe_ring_layout(FE_PACKED, 3, &l);
	assert_int_equal(l.driver, 64);
	assert_int_equal(l.device, 128);
	assert_int_equal(l.bytes, 192);
}

static void impossible_rings_are_refused(void **state)
{
	static const struct {
		enum fe_format format;
		uint16_t num, start, shift;
		int err;
	} cases[] = {{FE_SPLIT, 0, 0, 0, -EINVAL}, {FE_SPLIT, 3, 0, 0, -EINVAL},
		{FE_SPLIT, 32769, 0, 0, -EINVAL}, {FE_SPLIT, 4, 0, 8, -EINVAL},
		{FE_PACKED, 0, 0, 0, -EINVAL}, {FE_PACKED, 32769, 0, 0, -EINVAL},
		{FE_PACKED, 3, 3, 0, -EINVAL}, {FE_PACKED, 3, 2, 2, -EINVAL},
		{FE_SPLIT, 1, 0, 0, 0}, {FE_PACKED, 1, 0, 0, 0}, {FE_SPLIT, 4, 65535, 0, 0},
		{FE_PACKED, 3, 2, 0, 0}};
	static _Alignas(64) uint8_t mem[1024];
	struct fe_ring r;
	size_t i;

	(void)state;
	for (i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		struct fe_ring_config c = {
			.format = cases[i].format,
			.num = cases[i].num,
			.start = cases[i].start,
			.desc = mem + cases[i].shift,
			.driver = mem + 256,
			.device = mem + 512,
			.wrap = true,
		};

		assert_int_equal(fe_ring_init(&r, &c), cases[i].err);
		if (!cases[i].err)
			fe_ring_fini(&r);
	}
}

static void a_split_ring_holds_the_prescribed_bytes(void **state)
{
	struct bench b;

	(void)state;
	split_start(&b, .num = 4);
	image_is(b.r.avail, "0000 0000 0000000000000000 0000");
	image_is(b.r.used,
		"0000 0000 0000000000000000 0000000000000000 0000000000000000"
		"0000000000000000 0000");
	assert_int_equal(add(&b.r, 2, 1, 0), 0);
	assert_int_equal(add(&b.r, 0, 1, 1), 0);
	/* address, length, flags, next: a chain of 2 + 1, then a buffer of one. */
	image_is(b.r.desc,
		"0000100000000000 00010000 0100 0100"   /* NEXT: 1 */
		"0010100000000000 01010000 0100 0200"   /* NEXT: 2 */
		"0020100000000000 02010000 0200 0000"   /* WRITE */
		"0000200000000000 00010000 0200 0000"); /* WRITE */
	/* flags, idx, ring, used_event */
	image_is(b.r.avail, "0000 0000 0000 0300 0000 0000 0000");
	fe_ring_publish(&b.r);
	image_is(b.r.avail, "0000 0200 0000 0300 0000 0000 0000");
	assert_int_equal(add(&b.r, 1, 0, 2), -ENOSPC);

	split_use(&b.r, 3, 77);
	pop_is(&b.r, 1, 77);
	pop_is_empty(&b.r);
	assert_int_equal(b.r.free_descs, 1);
	assert_int_equal(add(&b.r, 2, 0, 2), -ENOSPC);
	split_use(&b.r, 0, 5);
	pop_is(&b.r, 0, 5);
	/* They came back as 3, 0, 1, 2: the next chain is 3, 0. */
	assert_int_equal(add(&b.r, 1, 1, 2), 0);
	fe_ring_publish(&b.r);
	image_is(b.r.desc,
		"0010300000000000 01010000 0200 0000"
		"0010100000000000 01010000 0100 0200"
		"0020100000000000 02010000 0200 0000"
		"0000300000000000 00010000 0100 0000");
	image_is(b.r.avail, "0000 0300 0000 0300 0300 0000 0000");
	bench_end(&b);
}

static void a_packed_ring_holds_the_prescribed_bytes(void **state)
{
	struct bench b;

	(void)state;
	packed_start(&b, .num = 4);
	image_is(b.r.driver_event, "0000 0000");
	image_is(b.r.device_event, "0000 0000");
	assert_int_equal(add(&b.r, 1, 1, 0), 0);
	assert_int_equal(add(&b.r, 1, 0, 1), 0);
	/* address, length, id, flags: AVAIL is 0x0080, USED 0x8000. The first is held back. */
	image_is(b.r.pdesc,
		"0000100000000000 00010000 0000 0000"
		"0010100000000000 01010000 0000 8200" /* WRITE */
		"0000200000000000 00010000 0100 8000"
		"0000000000000000 00000000 0000 0000");
	fe_ring_publish(&b.r);
	image_is(b.r.pdesc,
		"0000100000000000 00010000 0000 8100" /* NEXT */
		"0010100000000000 01010000 0000 8200"
		"0000200000000000 00010000 0100 8000"
		"0000000000000000 00000000 0000 0000");
	assert_int_equal(add(&b.r, 2, 0, 2), -ENOSPC);

	packed_use(&b.r, 0, 0, 9, true); /* of two descriptors: slot 1 is skipped */
	pop_is(&b.r, 0, 9);
	pop_is_empty(&b.r);
	assert_int_equal(b.r.used_idx, 2);
	assert_int_equal(add(&b.r, 1, 1, 2), 0);
	fe_ring_publish(&b.r);
	image_is(b.r.pdesc,
		"0010300000000000 01010000 0200 0280" /* WRITE, next lap */
		"0010100000000000 01010000 0000 8200"
		"0000200000000000 00010000 0100 8000"
		"0000300000000000 00010000 0200 8100"); /* NEXT */
	assert_int_equal(b.r.avail_idx, 1);
	assert_false(b.r.avail_wrap);

	packed_use(&b.r, 2, 1, 0, true);
	pop_is(&b.r, 1, 0);
	pop_is_empty(&b.r);
	packed_use(&b.r, 3, 2, 4, true);
	pop_is(&b.r, 2, 4);
	assert_int_equal(b.r.used_idx, 1);
	assert_false(b.r.used_wrap);
	pop_is_empty(&b.r);
	bench_end(&b);
}

static void an_indirect_buffer_takes_one_descriptor(void **state)
{
	static const struct fe_seg segs[3] = {{0x1000, 12}, {0x2000, 60}, {0x3000, 1}};
	union fe_indirect_desc table[3];
	struct fe_chain c = {.segs = segs,
		.n_out = 2,
		.n_in = 1,
		.token = 8,
		.table = table,
		.table_gpa = 0x70000};
	struct bench b;

	(void)state;
	split_start(&b, .num = 4);
	memset(table, 0xa5, sizeof(table));
	assert_int_equal(fe_ring_add(&b.r, &c), 0);
	fe_ring_publish(&b.r);
	image_is(table,
		"0010000000000000 0c000000 0100 0100"
		"0020000000000000 3c000000 0100 0200"
		"0030000000000000 01000000 0200 0000");
	image_is(b.r.desc, "0000070000000000 30000000 0400 0000"); /* INDIRECT */
	assert_int_equal(b.r.free_descs, 3);
	split_use(&b.r, 0, 1);
	pop_is(&b.r, 8, 1);
	assert_int_equal(b.r.free_descs, 4);
	bench_end(&b);

	packed_start(&b, .num = 4);
	memset(table, 0xa5, sizeof(table));
	assert_int_equal(fe_ring_add(&b.r, &c), 0);
	fe_ring_publish(&b.r);
	image_is(table,
		"0010000000000000 0c000000 0000 0000"
		"0020000000000000 3c000000 0000 0000"
		"0030000000000000 01000000 0000 0200");
	image_is(b.r.pdesc, "0000070000000000 30000000 0000 8400");
	packed_use(&b.r, 0, 0, 1, true);
	pop_is(&b.r, 8, 1);
	assert_int_equal(b.r.used_idx, 1);
	bench_end(&b);
}

static void an_empty_buffer_or_one_longer_than_the_ring_is_refused(void **state)
{
	struct bench b;

	(void)state;
	split_start(&b, .num = 4);
	assert_int_equal(fe_ring_add(&b.r, &(struct fe_chain){.token = 1}), -EINVAL);
	assert_int_equal(add(&b.r, 3, 2, 0), -EINVAL);
	assert_int_equal(add(&b.r, 2, 2, 0), 0);
	bench_end(&b);
}

static void split_indices_wrap_at_65536(void **state)
{
	struct bench b;
	uint32_t i;

	(void)state;
	split_start(&b, .num = 2, .start = 65535);
	assert_int_equal(b.r.avail->idx, 65535);
	assert_int_equal(b.r.used->idx, 65535);
	pop_is_empty(&b.r);
	for (i = 0; i < 70000; i++) {
		assert_int_equal(add(&b.r, 1, 0, i), 0);
		fe_ring_publish(&b.r);
		assert_int_equal(b.r.avail->idx, (uint16_t)i);
		assert_int_equal(b.r.avail->ring[(i + 1) % 2], i % 2);
		split_use(&b.r, i % 2, i);
		pop_is(&b.r, i, i);
	}
	bench_end(&b);
}

/* A device that uses one-descriptor buffers in order, round and round a ring of any size. */
static void packed_laps(uint16_t num, uint16_t start, bool wrap)
{
	struct bench b;
	uint16_t slot = start;
	uint32_t i;

	bench_start(
		&b, (struct fe_ring_config){FE_PACKED, .num = num, .start = start, .wrap = wrap});
	pop_is_empty(&b.r);
	for (i = 0; i < 5u * num; i++) {
		assert_int_equal(add(&b.r, 0, 1, i), 0);
		fe_ring_publish(&b.r);
		assert_int_equal(b.r.pdesc[slot].flags, wrap ? 0x0082 : 0x8002);
		pop_is_empty(&b.r);
		packed_use(&b.r, slot, (uint16_t)(i % num), i, wrap);
		pop_is(&b.r, i, i);
		pop_is_empty(&b.r);
		if (++slot == num) {
			slot = 0;
			wrap = !wrap;
		}
	}
	bench_end(&b);
}

static void packed_rings_of_any_size_wrap_with_their_counter(void **state)
{
	static const uint16_t nums[] = {1, 2, 3, 7, 257, 1000, 32768};
	size_t i;

	(void)state;
	for (i = 0; i < RW_ARRAY_SIZE(nums); i++) {
		packed_laps(nums[i], 0, true);
		packed_laps(nums[i], (uint16_t)(nums[i] - 1), true);
		packed_laps(nums[i], (uint16_t)(nums[i] / 2), false);
	}
}

static void a_packed_chain_may_wrap_in_its_middle(void **state)
{
	static const uint16_t flags[7] = {0x8003, 0x8002, 0, 0, 0, 0x0081, 0x0081};
	struct bench b;
	int i;

	(void)state;
	packed_start(&b, .num = 7, .start = 5);
	assert_int_equal(add(&b.r, 2, 2, 0), 0);
	fe_ring_publish(&b.r);
	for (i = 0; i < 7; i++)
		if (i < 2 || i > 4)
			assert_int_equal(b.r.pdesc[i].flags, flags[i]);
	assert_int_equal(b.r.avail_idx, 2);
	assert_false(b.r.avail_wrap);
	packed_use(&b.r, 5, 0, 3, true);
	pop_is(&b.r, 0, 3);
	assert_int_equal(b.r.used_idx, 2);
	assert_false(b.r.used_wrap);
	bench_end(&b);
}

static void buffers_may_come_back_in_any_order(void **state)
{
	struct bench b;
	int i;

	(void)state;
	packed_start(&b, .num = 8);
	for (i = 0; i < 4; i++)
		assert_int_equal(add(&b.r, 1, 1, 10 + i), 0);
	fe_ring_publish(&b.r);
	packed_use(&b.r, 0, 3, 1, true);
	packed_use(&b.r, 2, 0, 2, true);
	pop_is(&b.r, 13, 1);
	pop_is(&b.r, 10, 2);
	pop_is_empty(&b.r);
	assert_int_equal(add(&b.r, 1, 3, 20), 0); /* over slots 0..3, id 4 */
	fe_ring_publish(&b.r);
	assert_int_equal(b.r.pdesc[3].id, 4);
	packed_use(&b.r, 4, 4, 0, true);
	pop_is(&b.r, 20, 0);
	assert_int_equal(b.r.used_idx, 0);
	bench_end(&b);
}

static void scattered_ids_differ_from_positions(void **state)
{
	enum { NUM = 64 };
	bool seen[NUM] = {false};
	int moved = 0;
	struct bench b;
	int i;

	(void)state;
	split_start(&b, .num = NUM);
	assert_int_equal(fe_ring_scatter(&b.r, 1), 0);
	for (i = 0; i < NUM; i++)
		assert_int_equal(add(&b.r, 0, 1, i), 0);
	assert_int_equal(fe_ring_scatter(&b.r, 1), -EBUSY);
	fe_ring_publish(&b.r);
	for (i = 0; i < NUM; i++) {
		assert_false(seen[b.r.avail->ring[i]]);
		seen[b.r.avail->ring[i]] = true;
		moved += b.r.avail->ring[i] != i;
	}
	assert_in_range(moved, NUM / 2, NUM);
	bench_end(&b);
	split_start(&b, .num = 4, .in_order = true);
	assert_int_equal(fe_ring_scatter(&b.r, 1), -EINVAL);
	bench_end(&b);
}

static void one_used_entry_stands_for_a_batch_when_in_order(void **state)
{
	struct bench b;
	int i;

	(void)state;
	split_start(&b, .num = 8, .in_order = true);
	for (i = 0; i < 4; i++)
		assert_int_equal(add(&b.r, 0, 2, i), 0);
	fe_ring_publish(&b.r);
	/*
	 * Heads are 0, 2, 4, 6. The third ends the batch; its entry sits where the first's would.
	 */
	b.r.used->ring[0] = (struct vring_used_elem){4, 33};
	b.r.used->idx = 3;
	pop_is(&b.r, 0, 0x201); /* written in full: 0x100 + 0x101 */
	pop_is(&b.r, 1, 0x201);
	pop_is(&b.r, 2, 33);
	pop_is_empty(&b.r);
	b.r.used->ring[3] = (struct vring_used_elem){6, 1};
	b.r.used->idx = 4;
	pop_is(&b.r, 3, 1);
	pop_is_empty(&b.r);
	/* Descriptors go round the table. */
	assert_int_equal(add(&b.r, 0, 3, 9), 0);
	fe_ring_publish(&b.r);
	assert_int_equal(b.r.avail->ring[4], 0);
	assert_int_equal(b.r.desc[0].next, 1);
	bench_end(&b);

	packed_start(&b, .num = 5, .in_order = true);
	assert_int_equal(add(&b.r, 1, 1, 0), 0);
	assert_int_equal(add(&b.r, 1, 0, 1), 0);
	assert_int_equal(add(&b.r, 0, 2, 2), 0);
	fe_ring_publish(&b.r);
	packed_use(&b.r, 0, 2, 7, true);
	pop_is(&b.r, 0, 0x101);
	pop_is(&b.r, 1, 0);
	pop_is(&b.r, 2, 7);
	pop_is_empty(&b.r);
	assert_int_equal(b.r.used_idx, 0);
	assert_false(b.r.used_wrap);
	bench_end(&b);
}

static void nonsense_from_the_device_is_reported(void **state)
{
	static const uint32_t bad[] = {1, 3, 4, 0x10000, UINT32_MAX};
	struct fe_used u;
	struct bench b;
	size_t i;

	(void)state;
	for (i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		split_start(&b, .num = 4);
		assert_int_equal(add(&b.r, 1, 1, 0), 0);
		fe_ring_publish(&b.r);
		split_use(&b.r, bad[i], 0);
		assert_int_equal(fe_ring_pop(&b.r, &u), -EPROTO);
		bench_end(&b);
	}
	/* The same buffer twice. */
	split_start(&b, .num = 4);
	post(&b.r);
	split_use(&b.r, 0, 0);
	split_use(&b.r, 0, 0);
	pop_is(&b.r, 0, 0);
	assert_int_equal(fe_ring_pop(&b.r, &u), -EPROTO);
	bench_end(&b);
	/* A batch that ends behind the used index. */
	split_start(&b, .num = 4, .in_order = true);
	assert_int_equal(add(&b.r, 1, 0, 0), 0);
	post(&b.r);
	split_use(&b.r, 1, 0);
	pop_is(&b.r, 0, 0);
	assert_int_equal(fe_ring_pop(&b.r, &u), -EPROTO);
	bench_end(&b);

	packed_start(&b, .num = 3);
	post(&b.r);
	packed_use(&b.r, 0, 3, 0, true);
	assert_int_equal(fe_ring_pop(&b.r, &u), -EPROTO);
	packed_use(&b.r, 0, 1, 0, true);
	assert_int_equal(fe_ring_pop(&b.r, &u), -EPROTO);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(areas_do_not_overlap_and_are_aligned),
		cmocka_unit_test(impossible_rings_are_refused),
		cmocka_unit_test(a_split_ring_holds_the_prescribed_bytes),
		cmocka_unit_test(a_packed_ring_holds_the_prescribed_bytes),
		cmocka_unit_test(an_indirect_buffer_takes_one_descriptor),
		cmocka_unit_test(an_empty_buffer_or_one_longer_than_the_ring_is_refused),
		cmocka_unit_test(split_indices_wrap_at_65536),
		cmocka_unit_test(packed_rings_of_any_size_wrap_with_their_counter),
		cmocka_unit_test(a_packed_chain_may_wrap_in_its_middle),
		cmocka_unit_test(buffers_may_come_back_in_any_order),
		cmocka_unit_test(scattered_ids_differ_from_positions),
		cmocka_unit_test(one_used_entry_stands_for_a_batch_when_in_order),
		cmocka_unit_test(nonsense_from_the_device_is_reported),
	};

	return cmocka_run_group_tests_name("guest_ring", tests, NULL, NULL);
}
