/* SPDX-License-Identifier: BSD-3-Clause */
/* Chains whose addresses go through the IOTLB, and what becomes of those that are not in it. */
#include "vq_fixture.h"

#define PAGE 4096u
#define RW   (GM_READ | GM_WRITE)

static const struct setup split = {
	.format = FE_SPLIT, .num = 64, .features = F(VIRTIO_RING_F_INDIRECT_DESC), .slow = X_IOTLB};
static const struct setup packed = {.format = FE_PACKED,
	.num = 64,
	.wrap = true,
	.features = F(VIRTIO_RING_F_INDIRECT_DESC),
	.slow = X_IOTLB};
static const struct setup split_all = {
	.format = FE_SPLIT, .num = 64, .features = F(VIRTIO_RING_F_INDIRECT_DESC), .slow = X_ALL};
static const struct setup packed_all = {.format = FE_PACKED,
	.num = 64,
	.wrap = true,
	.features = F(VIRTIO_RING_F_INDIRECT_DESC),
	.slow = X_ALL};
static const struct setup split_big = {.format = FE_SPLIT,
	.num = 64,
	.features = F(VIRTIO_RING_F_INDIRECT_DESC),
	.slow = X_ALL | X_BIG};
#define EVERY(fn) BOTH(fn), T(fn, split_all), T(fn, packed_all), T(fn, split_big)

/* I/O virtual page `n` of a test, far from every guest-physical address. */
static uint64_t io(unsigned n)
{
	return 0xffff000000000000ull + (uint64_t)n * PAGE;
}

/* Where page `n` is: each in another place, every other one in the second region. */
static uint64_t phys(unsigned n)
{
	uint64_t page = BUFFERS + (uint64_t)(n * 7 % 64) * 2 * PAGE;

	return n % 2 ? BORDER + page : page;
}

static void map(struct fixture *f, unsigned n, uint8_t perm)
{
	uint64_t gpa = phys(n), uva = gpa < BORDER ? UVA_0 + gpa : UVA_1 + (gpa - BORDER);

	assert_int_equal(gm_iotlb_update(f->tlb, f->map, io(n), PAGE, uva, perm), 0);
}

static void unmap(struct fixture *f, unsigned n)
{
	assert_int_equal(gm_iotlb_invalidate(f->tlb, io(n), PAGE), 0);
	gm_iotlb_reclaim(f->tlb);
}

/* The segment `i` is `len` bytes from byte `off` of page `n` on. */
static void assert_seg(struct fixture *f, unsigned i, unsigned n, uint64_t off, uint32_t len)
{
	*guest(f, phys(n) + off) = (uint8_t)(n * 3 + 1);
	assert_int_equal(*f->segs[i].data, (uint8_t)(n * 3 + 1));
	*guest(f, phys(n) + off + len - 1) = (uint8_t)(n * 5 + 2);
	assert_int_equal(f->segs[i].data[len - 1], (uint8_t)(n * 5 + 2));
	assert_int_equal(f->segs[i].len, len);
}

static void assert_miss(const struct fixture *f, unsigned i, uint64_t iova, uint8_t perm)
{
	assert_true(i < f->vq.nmisses);
	assert_int_equal(f->vq.misses[i].iova, iova);
	assert_int_equal(f->vq.misses[i].perm, perm);
}

static void use_chain(struct fixture *f, const struct vq_chain *c)
{
	complete(f, c, 0);
	flush(f);
	assert_int_equal(fe_ring_pop(&f->ring, &(struct fe_used){0}), 0);
}

static void a_buffer_is_where_its_pages_are(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {io(0) + 100, 3 * PAGE};
	struct vq_chain c;

	for (unsigned n = 0; n < 4; n++)
		map(f, n, RW);
	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	assert_int_equal(c.nsegs, 4);
	assert_int_equal(c.len, 3 * PAGE);
	assert_seg(f, 0, 0, 100, PAGE - 100);
	assert_seg(f, 1, 1, 0, PAGE);
	assert_seg(f, 2, 2, 0, PAGE);
	assert_seg(f, 3, 3, 0, 100);
	assert_int_equal(f->vq.nmisses, 0);
	use_chain(f, &c);
}

static void all_that_a_chain_lacks_is_collected(void **state)
{
	struct fixture *f = *state;
	struct fe_seg segs[4] = {
		{io(0) + 50, 2 * PAGE}, {io(10), 10}, {io(20) + 7, 20}, {io(0), 30}};
	struct vq_cursor at = f->vq.next;
	struct vq_chain c;

	map(f, 1, RW);
	map(f, 10, RW);
	post(f, segs, 4, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_int_equal(f->vq.nmisses, 3); /* the last one lacks what the first one does */
	assert_miss(f, 0, io(0) + 50, GM_WRITE);
	assert_miss(f, 1, io(2), GM_WRITE);
	assert_miss(f, 2, io(20) + 7, GM_WRITE);
	rewind_to(f, at);
	f->vq.nmisses = 0;
	map(f, 0, RW);
	map(f, 20, RW);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_int_equal(f->vq.nmisses, 1);
	assert_miss(f, 0, io(2), GM_WRITE);
	rewind_to(f, at);
	f->vq.nmisses = 0;
	map(f, 2, GM_WRITE);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	assert_int_equal(c.nsegs, 6);
	assert_seg(f, 0, 0, 50, PAGE - 50);
	assert_seg(f, 2, 2, 0, 50);
	assert_seg(f, 4, 20, 7, 20);
	use_chain(f, &c);
}

static void a_page_must_allow_what_the_queue_does(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {io(0), 64};
	struct vq_cursor at = f->vq.next;
	struct vq_chain c;

	map(f, 0, GM_READ);
	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_miss(f, 0, io(0), GM_WRITE);
	rewind_to(f, at);
	f->vq.nmisses = 0;
	map(f, 0, GM_WRITE);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	use_chain(f, &c);
	post(f, &seg, 1, false, 0);
	at = f->vq.next;
	assert_int_equal(fetch(f, &c, false), VQ_MISS);
	assert_miss(f, 0, io(0), GM_READ);
	rewind_to(f, at);
	map(f, 0, GM_READ);
	assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
	use_chain(f, &c);
}

static void a_look_ahead_collects_from_many_chains(void **state)
{
	struct fixture *f = *state;
	struct vq_cursor at = f->vq.next;
	struct vq_chain c;

	map(f, 3, RW);
	for (unsigned i = 0; i < 40; i++) {
		struct fe_seg seg = {io(i % 30), 64};

		post(f, &seg, 1, true, i);
	}
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(fetch(f, &c, true), i % 30 == 3 ? VQ_CHAIN : VQ_MISS);
	assert_int_equal(fetch(f, &c, true), VQ_EMPTY);
	assert_int_equal(f->vq.nmisses, VQ_MAX_MISSES);
	for (unsigned i = 0; i < VQ_MAX_MISSES; i++)
		assert_miss(f, i, io(i < 3 ? i : i + 1), GM_WRITE);
	rewind_to(f, at);
	for (unsigned i = 0; i < 30; i++)
		map(f, i, RW);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
		assert_seg(f, 0, i % 30, 0, 64);
		use_chain(f, &c);
	}
}

static void a_chain_that_lacks_a_range_can_be_completed(void **state)
{
	struct fixture *f = *state;
	struct fe_seg segs[2] = {{io(0), 64}, {io(1), 64}};
	struct vq_cursor at = f->vq.next;
	struct vq_chain c;

	post(f, segs, 2, true, 0);
	post(f, segs, 2, true, 1);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	rewind_to(f, at);
	f->vq.nmisses = 0;
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	f->vq.nmisses = 0;
	use_chain(f, &c);
	/* The next one is still there. */
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_int_equal(f->vq.nmisses, 2);
}

static void what_a_bad_chain_lacks_is_not_asked_for(void **state)
{
	struct fixture *f = *state;
	struct fe_seg segs[2] = {{io(0), 64}, {io(1), 64}};
	struct fe_chain chain = {.segs = segs, .n_out = 1, .n_in = 1};
	struct vq_chain c;

	assert_int_equal(fe_ring_add(&f->ring, &chain), 0);
	fe_ring_publish(&f->ring);
	assert_int_equal(fetch(f, &c, false), VQ_BAD_FORM);
	assert_int_equal(f->vq.nmisses, 0);
	use_chain(f, &c);
}

static void four_gigabytes_that_are_not_there_take_no_time(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {io(0), UINT32_MAX};
	struct vq_chain c;

	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_int_equal(f->vq.nmisses, VQ_MAX_MISSES);
}

static void a_buffer_that_wraps_the_address_space_is_bad(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {UINT64_MAX - 10, 64};
	struct vq_chain c;

	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_BAD_ADDR);
	assert_int_equal(f->vq.nmisses, 0);
	use_chain(f, &c);
}

static void an_invalidated_page_is_missed_again(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {io(0), 64};
	struct vq_chain c;

	map(f, 0, RW);
	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	use_chain(f, &c);
	unmap(f, 0);
	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
}

/* ---- indirect tables ---- */

/* Post 9 pieces, in pages 30 to 38, in a table at byte `off` of page 0, mapped or not. */
static void post_indirect(struct fixture *f, unsigned off)
{
	union fe_indirect_desc copy[9];
	struct fe_seg segs[9];
	struct fe_chain c = {.segs = segs, .n_in = 9, .table = copy, .table_gpa = io(0) + off};

	for (unsigned i = 0; i < 9; i++)
		segs[i] = (struct fe_seg){io(30 + i) + i, 10 + i};
	assert_int_equal(fe_ring_add(&f->ring, &c), 0);
	for (size_t i = 0; i < sizeof(copy); i++)
		*guest(f, phys((unsigned)((off + i) / PAGE)) + (off + i) % PAGE) =
			((uint8_t *)copy)[i];
	fe_ring_publish(&f->ring);
}

static void an_indirect_table_is_followed_across_pages(void **state)
{
	/* Between two descriptors, and within one at an even and an odd place. */
	const unsigned offs[] = {0, PAGE - 4 * 16, PAGE - 4 * 16 - 8, PAGE - 33};
	struct fixture *f = *state;
	struct vq_chain c;

	map(f, 0, GM_READ);
	map(f, 1, GM_READ);
	for (unsigned n = 30; n < 39; n++)
		map(f, n, GM_WRITE);
	for (size_t t = 0; t < RW_ARRAY_SIZE(offs); t++) {
		post_indirect(f, offs[t]);
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
		assert_int_equal(c.nsegs, 9);
		for (unsigned i = 0; i < 9; i++)
			assert_seg(f, i, 30 + i, i, 10 + i);
		use_chain(f, &c);
	}
}

static void the_pages_of_a_table_are_asked_for_first_then_its_buffers(void **state)
{
	struct fixture *f = *state;
	struct vq_cursor at = f->vq.next;
	struct vq_chain c;

	map(f, 33, RW);
	post_indirect(f, PAGE - 40);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_int_equal(f->vq.nmisses, 2);
	assert_miss(f, 0, io(0) + PAGE - 40, GM_READ);
	assert_miss(f, 1, io(1), GM_READ);
	rewind_to(f, at);
	f->vq.nmisses = 0;
	map(f, 1, GM_READ);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_int_equal(f->vq.nmisses, 1);
	rewind_to(f, at);
	f->vq.nmisses = 0;
	map(f, 0, GM_READ);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_int_equal(f->vq.nmisses, 8);
	for (unsigned i = 0, n = 0; i < 9; i++) {
		if (i != 3)
			assert_miss(f, n++, io(30 + i) + i, GM_WRITE);
	}
	rewind_to(f, at);
	f->vq.nmisses = 0;
	for (unsigned n = 30; n < 39; n++)
		map(f, n, GM_WRITE);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	use_chain(f, &c);
}

static void a_table_that_wraps_the_address_space_is_bad(void **state)
{
	struct fixture *f = *state;
	union fe_indirect_desc copy[2];
	struct fe_seg segs[2] = {{io(0), 1}, {io(0), 1}};
	struct fe_chain chain = {
		.segs = segs, .n_in = 2, .table = copy, .table_gpa = UINT64_MAX - 15};
	struct vq_chain c;

	assert_int_equal(fe_ring_add(&f->ring, &chain), 0);
	fe_ring_publish(&f->ring);
	assert_int_equal(fetch(f, &c, true), VQ_BAD_ADDR);
	assert_int_equal(f->vq.nmisses, 0);
}

static void a_table_that_is_missing_can_be_completed(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	post_indirect(f, 0);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_miss(f, 0, io(0), GM_READ);
	use_chain(f, &c);
}

/* ---- a guest in strict mode ---- */

#define PAGES 48

/* Enter what was missed, as the front-end does when it is asked. */
static void answer(struct fixture *f)
{
	assert_true(f->vq.nmisses > 0);
	for (unsigned i = 0; i < f->vq.nmisses; i++)
		map(f, (unsigned)((f->vq.misses[i].iova - io(0)) / PAGE), f->vq.misses[i].perm);
	f->vq.nmisses = 0;
}

/* Buffer `name` of the storm: its place, length and content follow from its name. */
static struct fe_seg storm_seg(unsigned name)
{
	return (struct fe_seg){io(name * 5 % (PAGES - 3)) + name * 97 % PAGE, 1 + name * 61 % 9000};
}

static void assert_storm_chain(struct fixture *f, const struct vq_chain *c, unsigned name)
{
	struct fe_seg seg = storm_seg(name);
	uint64_t at = seg.gpa - io(0);

	assert_int_equal(c->len, seg.len);
	for (unsigned i = 0; i < c->nsegs; at += f->segs[i].len, i++) {
		uint64_t gpa = phys((unsigned)(at / PAGE)) + at % PAGE;

		*guest(f, gpa) = (uint8_t)(name + i);
		assert_int_equal(*f->segs[i].data, (uint8_t)(name + i));
	}
}

/* Every page is mapped when it is missed and unmapped at random; the device dies now and then. */
static void a_storm_of_maps_and_unmaps_keeps_order_and_content(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);
	unsigned in = 0, out = 0, restarts = 0, missed = 0;
	struct fe_used used;

	srand(7);
	while (out < 4000) {
		struct vq_chain c[8];
		unsigned n = 0, want = 1 + (unsigned)rand() % 8;
		struct vq_cursor at;

		for (; in < out + 40; in++) {
			struct fe_seg seg = storm_seg(in);

			post(f, &seg, 1, true, in);
		}
		while (n < want) {
			enum vq_status status;

			at = f->vq.next;
			status = fetch(f, &c[n], true);
			if (status == VQ_MISS) {
				missed++;
				rewind_to(f, at);
				answer(f);
				continue;
			}
			assert_int_equal(status, VQ_CHAIN);
			assert_storm_chain(f, &c[n], out + n);
			n++;
			unmap(f, (unsigned)rand() % PAGES);
		}
		for (unsigned i = 0; i < n; i++)
			complete(f, &c[i], 1);
		if (f->record && rand() % 8 == 0) { /* nothing of this was published */
			assert_int_equal(restart(f, &cfg), 0);
			restarts++;
			continue;
		}
		flush(f);
		for (; n; n--, out++) {
			assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
			assert_int_equal(used.token, out);
		}
	}
	assert_true(missed > 500);
	assert_true(!f->record || restarts > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EVERY(a_buffer_is_where_its_pages_are),
		EVERY(all_that_a_chain_lacks_is_collected),
		EVERY(a_page_must_allow_what_the_queue_does),
		EVERY(a_look_ahead_collects_from_many_chains),
		EVERY(a_chain_that_lacks_a_range_can_be_completed),
		EVERY(what_a_bad_chain_lacks_is_not_asked_for),
		EVERY(four_gigabytes_that_are_not_there_take_no_time),
		EVERY(a_buffer_that_wraps_the_address_space_is_bad),
		EVERY(an_invalidated_page_is_missed_again),
		EVERY(an_indirect_table_is_followed_across_pages),
		EVERY(the_pages_of_a_table_are_asked_for_first_then_its_buffers),
		EVERY(a_table_that_wraps_the_address_space_is_bad),
		EVERY(a_table_that_is_missing_can_be_completed),
		EVERY(a_storm_of_maps_and_unmaps_keeps_order_and_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
