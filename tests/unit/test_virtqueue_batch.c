/* SPDX-License-Identifier: BSD-3-Clause */
/* Chains of one descriptor, taken and completed many at a time, both formats. */
#include "vq_fixture.h"

/* The packed ring wraps in the first burst; its size is no power of two. */
static const struct setup split = {.format = FE_SPLIT, .num = 32, .start = 65530};
static const struct setup packed = {.format = FE_PACKED, .num = 31, .start = 20, .wrap = true};

#define PIECE  400u
#define STRIDE 0x200

static unsigned batch(struct fixture *f, struct vq_chain *chains, unsigned n, bool writable)
{
	n = peek(f, (uint16_t)n);
	if (f->packed)
		return writable ? vq_fetch_batch(&f->vq, f->segs, chains, n, VQ_PACKED, true)
				: vq_fetch_batch(&f->vq, f->segs, chains, n, VQ_PACKED, false);
	return writable ? vq_fetch_batch(&f->vq, f->segs, chains, n, 0, true)
			: vq_fetch_batch(&f->vq, f->segs, chains, n, 0, false);
}

static void unfetch(struct fixture *f, unsigned n)
{
	vq_unfetch(&f->vq, n, f->mode);
}

static void complete_batch(struct fixture *f, const struct vq_chain *chains, unsigned n)
{
	if (f->packed)
		vq_complete_batch(&f->vq, chains, n, VQ_PACKED, true);
	else
		vq_complete_batch(&f->vq, chains, n, 0, true);
}

/* Post `n` buffers, the i-th with token first + i and a length of its own. */
static void post_many(struct fixture *f, unsigned n, unsigned first, bool writable)
{
	for (unsigned i = 0; i < n; i++) {
		struct fe_seg seg = {BUFFERS + (first + i) * STRIDE, PIECE + i};

		post(f, &seg, 1, writable, first + i);
	}
}

/* A chain makes the region of buffers the one used last. */
static void remember_region(struct fixture *f)
{
	struct vq_chain c;
	struct fe_used used;

	post_many(f, 1, 900, true);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	complete(f, &c, 0);
	flush(f);
	assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
}

/* `n` chains at a time through several turns of the ring, every one where the driver put it. */
static void go_round(struct fixture *f, unsigned n)
{
	struct vq_chain chains[VQ_MAX_BATCH];
	struct fe_used used;

	for (unsigned turn = 0; turn < 20; turn++) {
		post_many(f, n, turn * n, true);
		assert_int_equal(batch(f, chains, VQ_MAX_BATCH, true), n);
		for (unsigned i = 0; i < n; i++) {
			assert_ptr_equal(f->segs[i].data - f->vq.cache.host,
				BUFFERS + (turn * n + i) * STRIDE - f->vq.cache.gpa);
			assert_int_equal(f->segs[i].len, PIECE + i);
			chains[i].len = 64 + i;
		}
		complete_batch(f, chains, n);
		assert_int_equal(fe_ring_pop(&f->ring, &used), -EAGAIN); /* not before the flush */
		flush(f);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
			assert_int_equal(used.token, turn * n + i);
			assert_int_equal(used.len, 64 + i);
		}
		assert_int_equal(fe_ring_pop(&f->ring, &used), -EAGAIN);
	}
}

static void chains_of_one_descriptor_come_together_and_in_order(void **state)
{
	remember_region(*state);
	go_round(*state, 13);
}

static void a_full_ring_comes_together(void **state)
{
	struct fixture *f = *state;

	remember_region(f);
	go_round(f, f->num);
}

static void an_empty_ring_yields_none(void **state)
{
	struct vq_chain chains[VQ_MAX_BATCH];

	remember_region(*state);
	assert_int_equal(batch(*state, chains, VQ_MAX_BATCH, true), 0);
}

static void what_is_put_back_comes_again(void **state)
{
	struct fixture *f = *state;
	struct vq_chain chains[VQ_MAX_BATCH], again;
	struct fe_used used;

	remember_region(f);
	for (unsigned turn = 0; turn < 20; turn++) {
		post_many(f, 12, 0, true);
		assert_int_equal(batch(f, chains, 12, true), 12);
		unfetch(f, 12 - turn % 13);
		complete_batch(f, chains, turn % 13);
		for (unsigned i = turn % 13; i < 12; i++) {
			assert_int_equal(fetch(f, &again, true), VQ_CHAIN);
			assert_int_equal(again.id, chains[i].id);
			assert_int_equal(again.len, PIECE + i);
			complete(f, &again, 0);
		}
		flush(f);
		for (unsigned i = 0; i < 12; i++) {
			assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
			assert_int_equal(used.token, i);
		}
	}
}

static void batches_and_single_chains_share_a_flush(void **state)
{
	struct fixture *f = *state;
	struct vq_chain chains[VQ_MAX_BATCH], one;
	struct fe_seg pieces[2] = {{BUFFERS, 12}, {BUFFERS + 0x100, 1000}};
	struct fe_used used;

	remember_region(f);
	for (unsigned turn = 0; turn < 20; turn++) {
		post_many(f, 3, 0, true);
		post(f, pieces, 2, true, 3);
		post_many(f, 4, 4, true);
		/* It ends where a chain has two descriptors. */
		assert_int_equal(batch(f, chains, VQ_MAX_BATCH, true), 3);
		assert_int_equal(fetch_to(f, f->segs + 3, &one, true), VQ_CHAIN);
		assert_int_equal(one.nsegs, 2);
		complete_batch(f, chains, 3);
		complete(f, &one, 12);
		assert_int_equal(batch(f, chains, VQ_MAX_BATCH, true), 4);
		complete_batch(f, chains, 4);
		flush(f);
		for (unsigned i = 0; i < 8; i++) {
			assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
			assert_int_equal(used.token, i);
		}
	}
}

/* One good buffer, then a bad one: the batch ends before it, and it is still there for vq_fetch. */
static void ends_before(
	struct fixture *f, const struct fe_seg *bad, bool writable, enum vq_status status)
{
	struct vq_chain chains[VQ_MAX_BATCH], c;

	remember_region(f);
	post_many(f, 1, 0, true);
	post(f, bad, 1, writable, 1);
	assert_int_equal(batch(f, chains, VQ_MAX_BATCH, true), 1);
	assert_int_equal(fetch_to(f, f->segs + 1, &c, true), status);
}

static void a_buffer_in_another_region_is_left_to_the_long_way(void **state)
{
	ends_before(*state, &(struct fe_seg){BORDER + 100, 100}, true, VQ_CHAIN);
}

static void a_buffer_across_regions_is_left_to_the_long_way(void **state)
{
	ends_before(*state, &(struct fe_seg){BORDER - 50, 100}, true, VQ_CHAIN);
}

static void a_buffer_outside_memory_is_left_to_the_long_way(void **state)
{
	ends_before(*state, &(struct fe_seg){HOLE, 100}, true, VQ_BAD_ADDR);
}

static void a_buffer_that_wraps_is_left_to_the_long_way(void **state)
{
	ends_before(*state, &(struct fe_seg){UINT64_MAX - 10, 100}, true, VQ_BAD_ADDR);
}

static void an_empty_buffer_is_left_to_the_long_way(void **state)
{
	ends_before(*state, &(struct fe_seg){BUFFERS, 0}, true, VQ_BAD_FORM);
}

static void a_buffer_of_the_wrong_direction_is_left_to_the_long_way(void **state)
{
	ends_before(*state, &(struct fe_seg){BUFFERS, 100}, false, VQ_BAD_FORM);
}

static void an_impossible_head_is_left_to_the_long_way(void **state)
{
	struct fixture *f = *state;
	struct vq_chain chains[VQ_MAX_BATCH], c;

	remember_region(f);
	post_many(f, 2, 0, true);
	f->vq.avail->ring[(uint16_t)(f->vq.next.idx + 1) & (f->num - 1)] = f->num;
	assert_int_equal(batch(f, chains, VQ_MAX_BATCH, true), 1);
	assert_int_equal(fetch(f, &c, true), VQ_BROKEN);
}

/*
 * A driver whose second CPU changes flags while a batch is read could have it go round a small ring
 * more than once. A peek bounds it, whatever flags say.
 */
static void a_peek_never_says_more_than_the_ring_has(void **state)
{
	struct fixture *f = *state;

	post_many(f, f->num, 0, true);
	assert_int_equal(peek(f, VQ_MAX_BATCH), f->num);
	assert_int_equal(peek(f, (uint16_t)(f->num - 1)), f->num - 1);
}

static const struct setup split4 = {.format = FE_SPLIT, .num = 4, .start = 65530};
static const struct setup packed3 = {.format = FE_PACKED, .num = 3, .start = 2, .wrap = true};
static const struct setup packed1 = {.format = FE_PACKED, .num = 1};

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(chains_of_one_descriptor_come_together_and_in_order),
		BOTH(a_full_ring_comes_together),
		BOTH(an_empty_ring_yields_none),
		BOTH(what_is_put_back_comes_again),
		BOTH(batches_and_single_chains_share_a_flush),
		BOTH(a_buffer_in_another_region_is_left_to_the_long_way),
		BOTH(a_buffer_across_regions_is_left_to_the_long_way),
		BOTH(a_buffer_outside_memory_is_left_to_the_long_way),
		BOTH(a_buffer_that_wraps_is_left_to_the_long_way),
		BOTH(an_empty_buffer_is_left_to_the_long_way),
		BOTH(a_buffer_of_the_wrong_direction_is_left_to_the_long_way),
		T(an_impossible_head_is_left_to_the_long_way, split),
		T(a_peek_never_says_more_than_the_ring_has, split4),
		T(a_peek_never_says_more_than_the_ring_has, packed3),
		T(a_peek_never_says_more_than_the_ring_has, packed1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
