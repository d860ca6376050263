/* SPDX-License-Identifier: BSD-3-Clause */
/* What no driver may write: each fault is contained in its chain or its ring. */
#include "vq_fixture.h"

static const struct setup split = {
	.format = FE_SPLIT, .num = 8, .features = F(VIRTIO_RING_F_INDIRECT_DESC)};
static const struct setup packed = {
	.format = FE_PACKED, .num = 8, .wrap = true, .features = F(VIRTIO_RING_F_INDIRECT_DESC)};
static const struct setup split_direct = {.format = FE_SPLIT, .num = 8};
static const struct setup split_slow = {.format = FE_SPLIT,
	.num = 8,
	.features = F(VIRTIO_RING_F_INDIRECT_DESC),
	.slow = X_LOG | X_RECORD};
static const struct setup packed_slow = {.format = FE_PACKED,
	.num = 8,
	.wrap = true,
	.features = F(VIRTIO_RING_F_INDIRECT_DESC),
	.slow = X_LOG | X_RECORD};
#define EVERY(fn) BOTH(fn), T(fn, split_slow), T(fn, packed_slow)
static const struct setup packed_direct = {.format = FE_PACKED, .num = 8, .wrap = true};

/* Write descriptor `i` of either ring; packed: `next` is the id. */
static void set_desc(
	struct fixture *f, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	if (f->packed)
		f->ring.pdesc[i] = (struct vring_packed_desc){
			.addr = addr, .len = len, .id = next, .flags = flags};
	else
		f->ring.desc[i] = (struct vring_desc){
			.addr = addr, .len = len, .flags = flags, .next = next};
}

/* Flags that make a packed descriptor available in the first round. */
#define AVAIL VQ_PACKED_AVAIL

/*
 * Make the chain that starts at descriptor 0 available. In a packed ring the descriptors carry the
 * available flag already.
 */
static void offer(struct fixture *f, uint16_t head)
{
	if (f->packed)
		return;
	f->ring.avail->ring[f->ring.avail->idx % f->num] = head;
	__atomic_store_n(&f->ring.avail->idx, f->ring.avail->idx + 1, __ATOMIC_RELEASE);
}

/*
 * The ring still carries good chains: descriptor 7 of a split ring, the next one of a packed ring.
 */
static void assert_still_works(struct fixture *f)
{
	unsigned at = f->packed ? f->vq.next.idx : 7;
	struct vq_chain c;

	set_desc(f, at, BUFFERS, 64, f->packed ? AVAIL : 0, 7);
	offer(f, 7);
	assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
	assert_int_equal(c.id, 7);
	assert_int_equal(c.len, 64);
	complete(f, &c, 0);
	flush(f);
}

/* Descriptor 0 alone is at fault. */
static void one_bad(
	struct fixture *f, uint64_t addr, uint32_t len, uint16_t flags, enum vq_status expected)
{
	struct vq_chain c;

	set_desc(f, 0, addr, len, flags | (f->packed ? AVAIL : 0), 0);
	offer(f, 0);
	assert_int_equal(fetch(f, &c, false), expected);
	assert_int_equal(c.id, 0);
	complete(f, &c, 0);
	flush(f);
	assert_still_works(f);
}

static void a_buffer_outside_guest_memory(void **state)
{
	one_bad(*state, HOLE, 64, 0, VQ_BAD_ADDR);
}

static void a_buffer_that_runs_into_a_hole(void **state)
{
	one_bad(*state, HOLE - 10, 64, 0, VQ_BAD_ADDR);
}

static void a_buffer_that_wraps_the_address_space(void **state)
{
	one_bad(*state, UINT64_MAX - 10, 64, 0, VQ_BAD_ADDR);
}

static void a_buffer_of_four_gigabytes(void **state)
{
	one_bad(*state, BUFFERS, UINT32_MAX, 0, VQ_BAD_ADDR);
}

static void a_writable_buffer_where_a_readable_one_belongs(void **state)
{
	one_bad(*state, BUFFERS, 64, VRING_DESC_F_WRITE, VQ_BAD_FORM);
}

static void a_readable_buffer_where_a_writable_one_belongs(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	set_desc(f, 0, BUFFERS, 64, f->packed ? AVAIL : 0, 0);
	offer(f, 0);
	assert_int_equal(fetch(f, &c, true), VQ_BAD_FORM);
}

/* The look-up remembers the region used last; it must not lend more than there is. */
static void buffers_at_the_end_of_a_region_used_before(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		enum vq_status status;
		uint16_t nsegs;
	} rows[] = {
		{BUFFERS, 64, VQ_CHAIN, 1},
		{HOLE - 8, 8, VQ_CHAIN, 1},
		{HOLE - 8, 9, VQ_BAD_ADDR, 0},
		{HOLE - 8, UINT32_MAX, VQ_BAD_ADDR, 0},
		{BUFFERS, 0, VQ_CHAIN, 0},
		{HOLE, 0, VQ_CHAIN, 0},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < RW_ARRAY_SIZE(rows); i++) {
		uint16_t id = (uint16_t)i;
		struct vq_chain c;

		set_desc(f, id, rows[i].addr, rows[i].len, f->packed ? AVAIL : 0, id);
		offer(f, id);
		assert_int_equal(fetch(f, &c, false), rows[i].status);
		assert_int_equal(c.id, id);
		if (rows[i].status == VQ_CHAIN) {
			assert_int_equal(c.nsegs, rows[i].nsegs);
			assert_int_equal(c.len, rows[i].len);
		}
		complete(f, &c, 0);
		flush(f);
	}
}

static void an_indirect_table_that_was_not_negotiated(void **state)
{
	one_bad(*state, BUFFERS, 64, VRING_DESC_F_INDIRECT, VQ_BAD_FORM);
}

static void an_indirect_table_of_an_odd_size(void **state)
{
	one_bad(*state, BUFFERS, 17, VRING_DESC_F_INDIRECT, VQ_BAD_FORM);
}

static void an_empty_indirect_table(void **state)
{
	one_bad(*state, BUFFERS, 0, VRING_DESC_F_INDIRECT, VQ_BAD_FORM);
}

static void an_indirect_table_larger_than_the_ring(void **state)
{
	one_bad(*state, BUFFERS, 9 * 16, VRING_DESC_F_INDIRECT, VQ_BAD_FORM);
}

static void an_indirect_table_of_four_gigabytes(void **state)
{
	one_bad(*state, BUFFERS, 0xfffffff0, VRING_DESC_F_INDIRECT, VQ_BAD_FORM);
}

static void an_indirect_table_outside_guest_memory(void **state)
{
	one_bad(*state, HOLE, 32, VRING_DESC_F_INDIRECT, VQ_BAD_ADDR);
}

static void an_indirect_table_half_outside_guest_memory(void **state)
{
	one_bad(*state, HOLE - 8, 32, VRING_DESC_F_INDIRECT, VQ_BAD_ADDR);
}

static void an_indirect_table_with_a_successor(void **state)
{
	struct fixture *f = *state;
	uint16_t flags = VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT;
	struct vq_chain c;

	set_desc(f, 0, BUFFERS, 32, flags | (f->packed ? AVAIL : 0), 1);
	set_desc(f, 1, BUFFERS, 64, f->packed ? AVAIL : 0, 1);
	offer(f, 0);
	assert_int_equal(fetch(f, &c, false), VQ_BAD_FORM);
	assert_int_equal(c.ndesc, f->packed ? 2 : 1); /* the whole chain is skipped */
	complete(f, &c, 0);
	flush(f);
	assert_still_works(f);
}

static void an_indirect_table_inside_an_indirect_table(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct vring_desc *d = (struct vring_desc *)guest(f, BUFFERS + i * 16);
		struct vring_packed_desc *p = (struct vring_packed_desc *)d;

		if (f->packed)
			*p = (struct vring_packed_desc){.addr = BUFFERS, .len = 32};
		else
			*d = (struct vring_desc){.addr = BUFFERS, .len = 32};
		if (f->packed)
			p->flags = VRING_DESC_F_INDIRECT;
		else
			d->flags = VRING_DESC_F_INDIRECT;
	}
	one_bad(f, BUFFERS, 32, VRING_DESC_F_INDIRECT, VQ_BAD_FORM);
}

static void an_indirect_chain_that_loops(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *d = (struct vring_desc *)guest(f, BUFFERS);

	/* Entries 0 and 1 point at each other; empty, so that no length stops the walk. */
	d[0] = (struct vring_desc){.addr = BUFFERS, .flags = VRING_DESC_F_NEXT, .next = 1};
	d[1] = (struct vring_desc){.addr = BUFFERS, .flags = VRING_DESC_F_NEXT, .next = 0};
	one_bad(f, BUFFERS, 32, VRING_DESC_F_INDIRECT, VQ_BAD_FORM);
}

static void an_indirect_chain_that_leaves_its_table(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *d = (struct vring_desc *)guest(f, BUFFERS);

	d[0] = (struct vring_desc){
		.addr = BUFFERS, .len = 1, .flags = VRING_DESC_F_NEXT, .next = 2};
	d[2] = (struct vring_desc){.addr = BUFFERS, .len = 1};
	one_bad(f, BUFFERS, 32, VRING_DESC_F_INDIRECT, VQ_BAD_FORM);
}

/* Entries behind a NEXT flag count all the same in a packed table (2.8.7). */
static void next_flags_in_a_packed_indirect_table_mean_nothing(void **state)
{
	struct fixture *f = *state;
	struct vring_packed_desc *d = (struct vring_packed_desc *)guest(f, BUFFERS);
	struct vq_chain c;

	d[0] = (struct vring_packed_desc){.addr = BUFFERS + 0x1000, .len = 10};
	d[1] = (struct vring_packed_desc){
		.addr = BUFFERS + 0x2000, .len = 20, .flags = VRING_DESC_F_NEXT};
	set_desc(f, 0, BUFFERS, 32, VRING_DESC_F_INDIRECT | AVAIL, 3);
	assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
	assert_int_equal(c.nsegs, 2);
	assert_int_equal(c.len, 30);
	assert_int_equal(c.id, 3);
}

/*
 * What the device may write to, it may read, too. DPDK's driver says so of the virtio-net header in
 * its packed tables; a table for the device to write to has no such room.
 */
static void a_packed_indirect_table_to_read_may_allow_writing(void **state)
{
	struct fixture *f = *state;
	struct vring_packed_desc *d = (struct vring_packed_desc *)guest(f, BUFFERS);
	struct vq_chain c;

	d[0] = (struct vring_packed_desc){
		.addr = BUFFERS + 0x1000, .len = 12, .flags = VRING_DESC_F_WRITE};
	d[1] = (struct vring_packed_desc){.addr = BUFFERS + 0x2000, .len = 20};
	set_desc(f, 0, BUFFERS, 32, VRING_DESC_F_INDIRECT | AVAIL, 3);
	assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
	assert_int_equal(c.nsegs, 2);
	assert_int_equal(c.len, 32);
	set_desc(f, 1, BUFFERS, 32, VRING_DESC_F_INDIRECT | AVAIL, 4);
	assert_int_equal(fetch(f, &c, true), VQ_BAD_FORM);
}

/* ---- split only ---- */

static void a_chain_that_points_to_itself(void **state)
{
	one_bad(*state, BUFFERS, 1, VRING_DESC_F_NEXT, VQ_BAD_FORM);
}

static void a_chain_of_two_that_loops(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	set_desc(f, 0, BUFFERS, 0, VRING_DESC_F_NEXT, 1);
	set_desc(f, 1, BUFFERS, 0, VRING_DESC_F_NEXT, 0);
	offer(f, 0);
	assert_int_equal(fetch(f, &c, false), VQ_BAD_FORM);
	complete(f, &c, 0);
	flush(f);
	assert_still_works(f);
}

static void a_chain_that_leaves_the_table(void **state)
{
	struct fixture *f = *state;
	const uint16_t nexts[] = {8, 0x100, 0xffff};

	for (size_t i = 0; i < RW_ARRAY_SIZE(nexts); i++) {
		struct vq_chain c;

		set_desc(f, 0, BUFFERS, 64, VRING_DESC_F_NEXT, nexts[i]);
		offer(f, 0);
		assert_int_equal(fetch(f, &c, false), VQ_BAD_FORM);
		complete(f, &c, 0);
		flush(f);
	}
	assert_still_works(f);
}

static void an_available_index_that_jumps_breaks_the_ring(void **state)
{
	const uint16_t jumps[] = {9, 0x100, 0x8000, 0xffff};
	struct fixture *f = *state;
	struct vq_chain c;

	for (size_t i = 0; i < RW_ARRAY_SIZE(jumps); i++) {
		f->vq.broken = false;
		__atomic_store_n(&f->ring.avail->idx, jumps[i], __ATOMIC_RELEASE);
		assert_int_equal(fetch(f, &c, false), VQ_BROKEN);
		assert_true(f->vq.broken);
		assert_int_equal(peek(f, 32), 0);
	}
	/* A sane index does not mend it: the driver must reset the ring. */
	__atomic_store_n(&f->ring.avail->idx, 1, __ATOMIC_RELEASE);
	assert_int_equal(peek(f, 32), 0);
}

/* The driver adds a ring's worth behind one that was fetched, which is then put back. */
static void chains_put_back_in_front_of_a_full_ring_break_it(void **state)
{
	struct fixture *f = *state;
	struct vq_cursor at = f->vq.next;
	struct vq_chain c;

	for (unsigned i = 0; i < f->num; i++) {
		set_desc(f, i, BUFFERS, 64, 0, 0);
		offer(f, (uint16_t)i);
	}
	for (unsigned i = 0; i < f->num; i++)
		assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
	for (unsigned i = 0; i < f->num; i++)
		offer(f, (uint16_t)i);
	assert_int_equal(peek(f, 32), f->num);
	rewind_to(f, at);
	assert_int_equal(peek(f, (uint16_t)(2 * f->num)), 0);
	assert_true(f->vq.broken);
	assert_int_equal(fetch(f, &c, false), VQ_BROKEN);
}

static void a_head_that_leaves_the_table_breaks_the_ring(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	offer(f, 8);
	assert_int_equal(fetch(f, &c, false), VQ_BROKEN);
	assert_int_equal(peek(f, 32), 0);
}

static void a_head_offered_twice_is_returned_twice(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	set_desc(f, 3, BUFFERS, 64, 0, 0);
	offer(f, 3);
	offer(f, 3);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
		complete(f, &c, 0);
	}
	flush(f);
	assert_int_equal(f->ring.used->idx, 2);
	assert_int_equal(f->ring.used->ring[0].id, 3);
	assert_int_equal(f->ring.used->ring[1].id, 3);
}

/* ---- packed only ---- */

static void a_packed_chain_without_end_breaks_the_ring(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	for (unsigned i = 0; i < f->num; i++)
		set_desc(f, i, BUFFERS, 1, AVAIL | VRING_DESC_F_NEXT, 0);
	assert_int_equal(fetch(f, &c, false), VQ_BROKEN);
	assert_int_equal(peek(f, 32), 0);
	assert_int_equal(fetch(f, &c, false), VQ_BROKEN);
}

static void a_bad_packed_chain_is_skipped_as_a_whole(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	set_desc(f, 0, HOLE, 1, AVAIL | VRING_DESC_F_NEXT, 0);
	set_desc(f, 1, BUFFERS, 1, AVAIL | VRING_DESC_F_NEXT, 0);
	set_desc(f, 2, BUFFERS, 1, AVAIL, 0xffff); /* an id of its own choice */
	assert_int_equal(fetch(f, &c, false), VQ_BAD_ADDR);
	assert_int_equal(c.ndesc, 3);
	assert_int_equal(c.id, 0xffff);
	complete(f, &c, 0);
	flush(f);
	assert_int_equal(f->ring.pdesc[0].id, 0xffff);
	assert_int_equal(f->ring.pdesc[0].flags, VQ_PACKED_AVAIL | VQ_PACKED_USED);
	assert_still_works(f);
}

static void garbage_in_the_event_structure_asks_for_interrupts(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	for (uint32_t flags = 2; flags < 0x10000; flags = flags * 7 + 3) {
		set_desc(f, f->vq.next.idx, BUFFERS, 1,
			f->vq.next.wrap ? VQ_PACKED_AVAIL : VQ_PACKED_USED, 0);
		assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
		complete(f, &c, 0);
		flush(f);
		f->ring.driver_event->off_wrap = 0xffff;
		f->ring.driver_event->flags = (uint16_t)flags;
		assert_true(signal_driver(f));
	}
}

/* ---- set-up ---- */

static void impossible_rings_are_refused(void **state)
{
	struct fixture *f = *state;
	struct vq_config good = config_of(f);
	struct vq_config c;
	struct vq vq;

	assert_int_equal(vq_init(&vq, &good), 0);
	c = good;
	c.num = 0;
	assert_int_equal(vq_init(&vq, &c), -EINVAL);
	c = good;
	c.num = 32769;
	assert_int_equal(vq_init(&vq, &c), -EINVAL);
	c = good;
	c.desc = (uint8_t *)c.desc + 8;
	assert_int_equal(vq_init(&vq, &c), -EINVAL);
	c = good;
	c.driver = (uint8_t *)c.driver + 1;
	assert_int_equal(vq_init(&vq, &c), -EINVAL);
	c = good;
	c.device = (uint8_t *)c.device + 2;
	assert_int_equal(vq_init(&vq, &c), -EINVAL);
	c = good;
	c.base = f->packed ? 0x80008008 : 0x10000; /* position 8 of 8, resp. more than 16 bits */
	assert_int_equal(vq_init(&vq, &c), -EINVAL);
	c = good;
	c.num = 7; /* fine for a packed ring alone */
	assert_int_equal(vq_init(&vq, &c), f->packed ? 0 : -EINVAL);
}

/* A packed ring's base is two positions that must make sense together. */
static void positions_that_contradict_each_other_are_refused(void **state)
{
	static const struct {
		uint32_t base;
		int expected;
	} cases[] = {
		{0x80008000, 0},       /* fresh */
		{0x80008003, 0},       /* three in flight */
		{0x00030003, 0},       /* second lap */
		{0x80050002, 0},       /* in flight across the wrap: 5 to 2 of the next lap */
		{0x80078007, 0},       /* the last entry */
		{0x80038000, -EINVAL}, /* used ahead of available */
		{0x80020005, -EINVAL}, /* more in flight than the ring has */
		{0x00058002, 0},       /* across the wrap, the other way round */
		{0x00028005, -EINVAL},
	};
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);
	struct vq vq;

	for (size_t i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		cfg.base = cases[i].base;
		if (vq_init(&vq, &cfg) != cases[i].expected)
			fail_msg("base %#x", cases[i].base);
		if (!cases[i].expected)
			assert_int_equal(vq_base(&vq, true), cases[i].base);
	}
}

static void a_base_without_a_used_position_means_nothing_is_in_flight(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);

	cfg.base = 0x8000; /* what DPDK's virtio-user sends */
	assert_int_equal(vq_init(&f->vq, &cfg), 0);
	assert_int_equal(vq_base(&f->vq, true), 0x80008000);
	assert_still_works(f);
	assert_int_equal(f->ring.pdesc[0].flags, VQ_PACKED_AVAIL | VQ_PACKED_USED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EVERY(a_buffer_outside_guest_memory),
		EVERY(a_buffer_that_runs_into_a_hole),
		EVERY(a_buffer_that_wraps_the_address_space),
		EVERY(a_buffer_of_four_gigabytes),
		EVERY(a_writable_buffer_where_a_readable_one_belongs),
		EVERY(a_readable_buffer_where_a_writable_one_belongs),
		T(an_indirect_table_that_was_not_negotiated, split_direct),
		T(an_indirect_table_that_was_not_negotiated, packed_direct),
		EVERY(an_indirect_table_of_an_odd_size),
		EVERY(an_empty_indirect_table),
		EVERY(buffers_at_the_end_of_a_region_used_before),
		EVERY(an_indirect_table_larger_than_the_ring),
		EVERY(an_indirect_table_of_four_gigabytes),
		EVERY(an_indirect_table_outside_guest_memory),
		EVERY(an_indirect_table_half_outside_guest_memory),
		EVERY(an_indirect_table_with_a_successor),
		EVERY(an_indirect_table_inside_an_indirect_table),
		T(an_indirect_chain_that_loops, split),
		T(an_indirect_chain_that_loops, split_slow),
		T(an_indirect_chain_that_leaves_its_table, split),
		T(an_indirect_chain_that_leaves_its_table, split_slow),
		T(next_flags_in_a_packed_indirect_table_mean_nothing, packed),
		T(next_flags_in_a_packed_indirect_table_mean_nothing, packed_slow),
		T(a_packed_indirect_table_to_read_may_allow_writing, packed),
		T(a_packed_indirect_table_to_read_may_allow_writing, packed_slow),
		T(a_chain_that_points_to_itself, split),
		T(a_chain_that_points_to_itself, split_slow),
		T(a_chain_of_two_that_loops, split),
		T(a_chain_of_two_that_loops, split_slow),
		T(a_chain_that_leaves_the_table, split),
		T(a_chain_that_leaves_the_table, split_slow),
		T(an_available_index_that_jumps_breaks_the_ring, split),
		T(an_available_index_that_jumps_breaks_the_ring, split_slow),
		T(chains_put_back_in_front_of_a_full_ring_break_it, split),
		T(chains_put_back_in_front_of_a_full_ring_break_it, split_slow),
		T(a_head_that_leaves_the_table_breaks_the_ring, split),
		T(a_head_that_leaves_the_table_breaks_the_ring, split_slow),
		T(a_head_offered_twice_is_returned_twice, split),
		T(a_head_offered_twice_is_returned_twice, split_slow),
		T(a_packed_chain_without_end_breaks_the_ring, packed),
		T(a_packed_chain_without_end_breaks_the_ring, packed_slow),
		T(a_bad_packed_chain_is_skipped_as_a_whole, packed),
		T(a_bad_packed_chain_is_skipped_as_a_whole, packed_slow),
		T(garbage_in_the_event_structure_asks_for_interrupts, packed),
		T(garbage_in_the_event_structure_asks_for_interrupts, packed_slow),
		BOTH(impossible_rings_are_refused),
		T(positions_that_contradict_each_other_are_refused, packed),
		T(a_base_without_a_used_position_means_nothing_is_in_flight, packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
