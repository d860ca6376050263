/* SPDX-License-Identifier: BSD-3-Clause */
/* The IOTLB: what is entered, replaced, taken away and forgotten, one thing at a time. */
#include <errno.h>

#include "gm_fixture.h"
#include "gm_iotlb.h"

#define RW (GM_READ | GM_WRITE)

/* Eight pages of one file at UVA, then four of another right behind, then a hole. */
struct fixture {
	struct gm_map *map;
	struct gm_iotlb *tlb;
	struct gm_iotlb_cache cache;
	int fds[2];
};

static int set_up(void **state)
{
	struct gm_region_desc d[2] = {
		{.gpa = 0x100000, .size = 8 * PAGE, .uva = UVA},
		{.gpa = 0, .size = 4 * PAGE, .uva = UVA + 8 * PAGE},
	};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds[0] = file_new(8, 1);
	f->fds[1] = file_new(4, 2);
	f->tlb = gm_iotlb_new();
	assert_non_null(f->tlb);
	assert_int_equal(gm_map_new(NULL, d, f->fds, 2, NULL, &f->map), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	gm_iotlb_free(f->tlb);
	gm_map_free(f->map);
	close(f->fds[0]);
	close(f->fds[1]);
	free(f);
	return 0;
}

static int update(struct fixture *f, uint64_t iova, uint64_t size, uint64_t offset, uint8_t perm)
{
	return gm_iotlb_update(f->tlb, f->map, iova, size, UVA + offset, perm);
}

static uint32_t entries(const struct fixture *f)
{
	return gm_iotlb_view(f->tlb)->n;
}

/*
 * Bytes from `iova` on that an access with `perm` finds in one piece, of at most `want`; 0: a miss.
 */
static uint64_t found(struct fixture *f, uint64_t iova, uint8_t perm, uint64_t want)
{
	uint64_t len = want;

	return gm_iotlb_at(gm_iotlb_view(f->tlb), &f->cache, iova, perm, &len) ? len : 0;
}

/* Check that `iova` is the byte `offset` bytes behind UVA. */
static void assert_is_at(struct fixture *f, uint64_t iova, uint64_t offset)
{
	uint64_t len = 1, want = 1;
	const uint8_t *p = gm_iotlb_at(gm_iotlb_view(f->tlb), &f->cache, iova, GM_READ, &len);

	assert_non_null(p);
	assert_ptr_equal(p, gm_at_uva(f->map, UVA + offset, &want));
}

/* ---- entering ---- */

static void an_empty_iotlb_misses_everything(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(entries(f), 0);
	assert_int_equal(found(f, 0, GM_READ, 1), 0);
	assert_int_equal(found(f, UINT64_MAX, GM_WRITE, 1), 0);
	assert_null(gm_iotlb_find(gm_iotlb_view(f->tlb), 0));
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 0, 0), 0);
	gm_iotlb_free(NULL);
}

static void an_entry_is_found_from_its_first_byte_to_its_last(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, 0xffff0000, 100, 50, RW), 0);
	assert_int_equal(found(f, 0xffff0000 - 1, GM_READ, 1), 0);
	assert_int_equal(found(f, 0xffff0000, GM_READ, 1), 1);
	assert_is_at(f, 0xffff0000, 50);
	assert_is_at(f, 0xffff0000 + 99, 149);
	assert_int_equal(found(f, 0xffff0000 + 100, GM_READ, 1), 0);
	/* Cut at its end; the second time from the memo. */
	assert_int_equal(found(f, 0xffff0000 + 90, GM_READ, 500), 10);
	assert_int_equal(found(f, 0xffff0000 + 90, GM_READ, UINT64_MAX), 10);
}

static void an_entry_may_end_with_the_address_space(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, UINT64_MAX - 99, 100, 0, RW), 0);
	assert_int_equal(found(f, UINT64_MAX, GM_READ, 5), 1);
	assert_is_at(f, UINT64_MAX, 99);
	assert_int_equal(found(f, 0, GM_READ, 1), 0);
	assert_int_equal(gm_iotlb_invalidate(f->tlb, UINT64_MAX - 10, 11), 0);
	assert_int_equal(found(f, UINT64_MAX - 99, GM_READ, 500), 89);
}

static void an_access_needs_its_permission(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, 0x1000, PAGE, 0, GM_READ), 0);
	assert_int_equal(update(f, 0x2000, PAGE, PAGE, GM_WRITE), 0);
	for (unsigned twice = 0; twice < 2; twice++) { /* the second time from the memo */
		assert_int_equal(found(f, 0x1000, GM_READ, 1), 1);
		assert_int_equal(found(f, 0x1000, GM_WRITE, 1), 0);
		assert_int_equal(found(f, 0x1000, RW, 1), 0);
		assert_int_equal(found(f, 0x2000, GM_WRITE, 1), 1);
		assert_int_equal(found(f, 0x2000, GM_READ, 1), 0);
		assert_int_equal(found(f, 0x2000, RW, 1), 0);
	}
	assert_int_equal(found(f, 0x1800, GM_READ, PAGE), 0x800); /* and no byte further */
}

static void impossible_entries_are_refused(void **state)
{
	struct fixture *f = *state;
	const struct gm_iotlb_view *before = gm_iotlb_view(f->tlb);

	assert_int_equal(update(f, 0x1000, 0, 0, RW), -EINVAL);
	assert_int_equal(update(f, UINT64_MAX - 99, 101, 0, RW), -EINVAL);
	assert_int_equal(update(f, 0x1000, PAGE, 0, 0), -EINVAL);
	assert_int_equal(update(f, 0x1000, PAGE, 0, 4 | RW), -EINVAL);
	assert_int_equal(update(f, 0x1000, PAGE, -1ull, RW), -EFAULT);
	assert_int_equal(update(f, 0x1000, PAGE + 1, 11 * PAGE, RW), -EFAULT);
	assert_int_equal(update(f, 0x1000, PAGE, 12 * PAGE, RW), -EFAULT);
	assert_int_equal(update(f, 0, UINT64_MAX, 0, RW), -EFAULT);
	assert_int_equal(gm_iotlb_update(f->tlb, f->map, 0, PAGE, -1ull, RW), -EFAULT);
	assert_ptr_equal(gm_iotlb_view(f->tlb), before);
	assert_int_equal(gm_iotlb_retired(f->tlb), 0);
}

static void a_range_across_regions_is_split_where_they_meet(void **state)
{
	struct fixture *f = *state;
	const struct gm_iotlb_entry *e;

	assert_int_equal(update(f, 0x10000, 12 * PAGE, 0, RW), 0);
	assert_int_equal(entries(f), 2);
	e = gm_iotlb_find(gm_iotlb_view(f->tlb), 0x10000 + 8 * PAGE);
	assert_int_equal(e->iova, 0x10000 + 8 * PAGE);
	assert_int_equal(e->size, 4 * PAGE);
	assert_int_equal(e->uva, UVA + 8 * PAGE);
	assert_ptr_equal(e->host, gm_region_find(f->map, 0)->host);
	assert_is_at(f, 0x10000 + 8 * PAGE - 1, 8 * PAGE - 1);
	assert_is_at(f, 0x10000 + 12 * PAGE - 1, 12 * PAGE - 1);
}

/* ---- replacing and taking away ---- */

static void an_update_replaces_exactly_what_it_overlaps(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, 0x1000, 2 * PAGE, 0, GM_READ), 0);
	assert_int_equal(update(f, 0x1800, PAGE, 5 * PAGE, GM_WRITE), 0);
	assert_int_equal(entries(f), 3);
	assert_is_at(f, 0x17ff, 0x7ff);
	assert_int_equal(found(f, 0x1000, GM_READ, 2 * PAGE), 0x800);
	assert_int_equal(found(f, 0x1800, GM_READ, 1), 0);
	assert_int_equal(found(f, 0x1800, GM_WRITE, 2 * PAGE), PAGE);
	assert_is_at(f, 0x2800, 0x1800);
	assert_int_equal(found(f, 0x2800, GM_READ, 2 * PAGE), 0x800);
	assert_int_equal(update(f, 0x0f00, 3 * PAGE, 0, RW), 0); /* all of them */
	assert_int_equal(entries(f), 1);
}

static void an_invalidation_takes_exactly_its_bytes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, 0x1000, PAGE, 0, RW), 0);
	assert_int_equal(update(f, 0x2000, PAGE, 3 * PAGE, RW), 0);
	assert_int_equal(update(f, 0x4000, PAGE, 5 * PAGE, RW), 0);
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 0x1fff, 0x2002), 0);
	assert_int_equal(found(f, 0x1000, RW, PAGE), PAGE - 1);
	assert_int_equal(found(f, 0x1fff, RW, 1), 0);
	assert_int_equal(found(f, 0x2000, RW, 1), 0);
	assert_int_equal(found(f, 0x4000, RW, 1), 0);
	assert_int_equal(found(f, 0x4001, RW, PAGE), PAGE - 1);
	assert_is_at(f, 0x4001, 5 * PAGE + 1);
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 0x4100, 1), 0);
	assert_int_equal(entries(f), 3);
	assert_int_equal(found(f, 0x4001, RW, PAGE), 0xff);
	assert_is_at(f, 0x4101, 5 * PAGE + 0x101);
}

static void an_invalidation_without_an_end_reaches_the_end(void **state)
{
	static const uint64_t sizes[] = {0, UINT64_MAX, UINT64_MAX - 0x1fff, 0ull - 0x1800};
	struct fixture *f = *state;

	for (unsigned i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		assert_int_equal(update(f, 0x1000, PAGE, 0, RW), 0);
		assert_int_equal(update(f, UINT64_MAX - 99, 100, 0, RW), 0);
		assert_int_equal(gm_iotlb_invalidate(f->tlb, 0x1800, sizes[i]), 0);
		assert_int_equal(found(f, 0x1000, RW, PAGE), 0x800);
		/* 2^64 - 0x2000 bytes from 0x1800 on end before the last entry. */
		assert_int_equal(found(f, UINT64_MAX, RW, 1), i == 2 ? 1 : 0);
	}
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 0, 0), 0);
	assert_int_equal(entries(f), 0);
}

static void an_invalidation_of_nothing_changes_nothing(void **state)
{
	struct fixture *f = *state;
	const struct gm_iotlb_view *view;

	assert_int_equal(update(f, 0x1000, PAGE, 0, RW), 0);
	assert_int_equal(update(f, 0x3000, PAGE, 0, RW), 0);
	view = gm_iotlb_view(f->tlb);
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 0x2000, PAGE), 0);
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 0, 0x1000), 0);
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 0x4000, 0), 0);
	assert_ptr_equal(gm_iotlb_view(f->tlb), view);
}

/* ---- contiguity and memos ---- */

static void neighbours_in_memory_are_found_in_one_piece(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(update(f, 0x10000 + i * PAGE, PAGE, i * PAGE, RW), 0);
	assert_int_equal(update(f, 0x10000 + 4 * PAGE, PAGE, 4 * PAGE, GM_READ), 0);
	assert_int_equal(update(f, 0x10000 + 5 * PAGE, PAGE, 7 * PAGE, RW), 0);
	assert_int_equal(entries(f), 6);
	assert_int_equal(found(f, 0x10800, RW, 10 * PAGE), 4 * PAGE - 0x800);
	assert_int_equal(found(f, 0x10800, GM_READ, 10 * PAGE), 5 * PAGE - 0x800);
	assert_int_equal(found(f, 0x10800, GM_READ, 10 * PAGE), 5 * PAGE - 0x800);
	/* The memo holds a page that may only be read. */
	assert_int_equal(found(f, 0x10000 + 4 * PAGE, GM_WRITE, 1), 0);
	assert_int_equal(found(f, 0x10000, GM_WRITE, 1), 1);
}

static void a_memo_is_void_after_any_change(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, 0x1000, PAGE, 0, RW), 0);
	assert_is_at(f, 0x1000, 0);
	assert_int_equal(update(f, 0x1000, PAGE, 3 * PAGE, RW), 0);
	assert_is_at(f, 0x1000, 3 * PAGE);
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 0x1000, PAGE), 0);
	assert_int_equal(found(f, 0x1000, RW, 1), 0);
}

static void a_memo_does_not_fit_another_iotlb(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(update(f, 0x1000, PAGE, 0, RW), 0);
	assert_is_at(f, 0x1000, 0);
	gm_iotlb_free(f->tlb);
	f->tlb = gm_iotlb_new();
	assert_non_null(f->tlb);
	assert_int_equal(found(f, 0x1000, RW, 1), 0);
	assert_int_equal(update(f, 0x1000, PAGE, 3 * PAGE, RW), 0);
	assert_is_at(f, 0x1000, 3 * PAGE);
}

static void a_view_stays_as_it_was_until_it_is_reclaimed(void **state)
{
	struct fixture *f = *state;
	const struct gm_iotlb_view *old;
	struct gm_iotlb_cache cache = {0};
	uint64_t len = 1;

	assert_int_equal(update(f, 0x1000, PAGE, 0, RW), 0);
	gm_iotlb_reclaim(f->tlb);
	assert_int_equal(gm_iotlb_retired(f->tlb), 0);
	old = gm_iotlb_view(f->tlb);
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 0x1000, PAGE), 0);
	assert_int_equal(update(f, 0x1000, PAGE, PAGE, RW), 0);
	assert_int_equal(gm_iotlb_retired(f->tlb), 2);
	assert_ptr_equal(gm_iotlb_at(old, &cache, 0x1000, RW, &len), gm_at_uva(f->map, UVA, &len));
	assert_true(old->generation != gm_iotlb_view(f->tlb)->generation);
	gm_iotlb_reclaim(f->tlb);
	assert_int_equal(gm_iotlb_retired(f->tlb), 0);
	assert_is_at(f, 0x1000, PAGE);
}

/* ---- limits ---- */

/* 509 regions of 16 bytes, their user addresses from UVA on without a gap. */
static struct gm_map *many_regions(const struct fixture *f)
{
	static struct gm_region_desc d[GM_MAX_REGIONS];
	static int fds[GM_MAX_REGIONS];
	struct gm_map *map;

	for (unsigned i = 0; i < GM_MAX_REGIONS; i++) {
		d[i] = (struct gm_region_desc){
			.gpa = (GM_MAX_REGIONS - i) * 16, .size = 16, .uva = UVA + i * 16};
		fds[i] = f->fds[0];
	}
	assert_int_equal(gm_map_new(NULL, d, fds, GM_MAX_REGIONS, NULL, &map), 0);
	return map;
}

#define MANY (1ull << 40) /* where the second part of fill begins */

/*
 * Fill the IOTLB: first `singles` entries of a page, from iova 0 on and a page apart, then,
 * younger, from MANY on, as many as there is room for, 509 at a time.
 */
static void fill(struct fixture *f, const struct gm_map *many, unsigned singles)
{
	const uint64_t bytes = GM_MAX_REGIONS * 16;

	assert_int_equal((GM_IOTLB_MAX - singles) % GM_MAX_REGIONS, 0);
	for (uint64_t i = 0; i < singles; i++)
		assert_int_equal(update(f, i * 2 * PAGE, PAGE, i % 8 * PAGE, RW), 0);
	for (uint64_t at = MANY; entries(f) < GM_IOTLB_MAX; at += bytes)
		assert_int_equal(gm_iotlb_update(f->tlb, many, at, bytes, UVA, RW), 0);
	gm_iotlb_reclaim(f->tlb);
	assert_int_equal(entries(f), GM_IOTLB_MAX);
}

static void the_oldest_entries_make_room_for_new_ones(void **state)
{
	const unsigned singles = GM_IOTLB_MAX % GM_MAX_REGIONS;
	struct fixture *f = *state;
	struct gm_map *many = many_regions(f);

	assert_in_range(singles, 20, 500);
	fill(f, many, singles);
	assert_int_equal(update(f, 0, PAGE, 0, RW), 0); /* entered anew: now the youngest */
	assert_int_equal(entries(f), GM_IOTLB_MAX);
	assert_int_equal(update(f, PAGE, PAGE, PAGE, RW), 0);
	assert_int_equal(entries(f), GM_IOTLB_MAX);
	assert_int_equal(found(f, 0, RW, PAGE), PAGE);
	assert_int_equal(found(f, PAGE, RW, PAGE), PAGE);
	assert_int_equal(found(f, 2 * PAGE, RW, PAGE), 0);
	assert_int_equal(found(f, 4 * PAGE, RW, PAGE), PAGE);
	/* Two entries at once cost two. */
	assert_int_equal(update(f, 1ull << 50, 2 * PAGE, 7 * PAGE, RW), 0);
	assert_int_equal(entries(f), GM_IOTLB_MAX);
	assert_int_equal(found(f, 4 * PAGE, RW, PAGE), 0);
	assert_int_equal(found(f, 6 * PAGE, RW, PAGE), 0);
	assert_int_equal(found(f, 8 * PAGE, RW, PAGE), PAGE);
	/* So does a hole in an entry: it makes two of one. */
	assert_int_equal(gm_iotlb_invalidate(f->tlb, 20 * PAGE + 100, 1), 0);
	assert_int_equal(entries(f), GM_IOTLB_MAX);
	assert_int_equal(found(f, 8 * PAGE, RW, PAGE), 0);
	assert_int_equal(found(f, 20 * PAGE + 101, RW, PAGE), PAGE - 101);
	for (uint64_t i = 11; i < singles; i++)
		assert_int_equal(found(f, i * 2 * PAGE, RW, PAGE), PAGE);
	for (uint64_t i = 0; i < GM_IOTLB_MAX - singles; i++)
		assert_int_equal(found(f, MANY + i * 16, RW, 16), 16);
	gm_map_free(many);
}

static void an_entry_of_509_regions_takes_as_many_places(void **state)
{
	const unsigned singles = GM_IOTLB_MAX % GM_MAX_REGIONS + GM_MAX_REGIONS;
	struct fixture *f = *state;
	struct gm_map *many = many_regions(f);

	fill(f, many, singles);
	assert_int_equal(
		gm_iotlb_update(f->tlb, many, 1ull << 50, GM_MAX_REGIONS * 16, UVA, RW), 0);
	assert_int_equal(entries(f), GM_IOTLB_MAX);
	assert_int_equal(found(f, 508 * 2 * PAGE, RW, 1), 0);
	assert_int_equal(found(f, 509 * 2 * PAGE, RW, 1), 1);
	for (unsigned i = 0; i < GM_MAX_REGIONS * 16; i++) {
		const struct gm_iotlb_entry *e = gm_iotlb_find(
			gm_iotlb_view(f->tlb), (1ull << 50) + i);

		assert_non_null(e);
		assert_ptr_equal(
			e->host, gm_region_find(many, (GM_MAX_REGIONS - i / 16) * 16)->host);
	}
	gm_map_free(many);
}

static void no_more_is_forgotten_than_is_needed(void **state)
{
	const unsigned singles = GM_IOTLB_MAX % GM_MAX_REGIONS;
	const unsigned rest = GM_MAX_REGIONS - singles; /* of the oldest update of 509 */
	struct fixture *f = *state;
	struct gm_map *many = many_regions(f);
	unsigned left = 0;

	fill(f, many, singles);
	assert_int_equal(
		gm_iotlb_update(f->tlb, many, 1ull << 50, GM_MAX_REGIONS * 16, UVA, RW), 0);
	assert_int_equal(entries(f), GM_IOTLB_MAX);
	for (unsigned i = 0; i < singles; i++)
		assert_int_equal(found(f, i * 2 * PAGE, RW, 1), 0);
	for (unsigned i = 0; i < GM_MAX_REGIONS; i++)
		left += found(f, MANY + i * 16, RW, 16) == 16;
	assert_int_equal(left, GM_MAX_REGIONS - rest);
	gm_map_free(many);
}

/* ---- another memory table ---- */

static void entries_follow_their_user_addresses_into_a_new_table(void **state)
{
	struct fixture *f = *state;
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = 3 * PAGE, .uva = UVA + 100}, /* another file, another place */
		{.gpa = 0x100000, .size = 4 * PAGE, .uva = UVA + 3 * PAGE + 100},
	};
	const int fds[2] = {f->fds[1], f->fds[0]};
	struct gm_map *map;

	assert_int_equal(update(f, 0x10000, PAGE, 100, RW), 0);            /* in the first */
	assert_int_equal(update(f, 0x20000, PAGE, 99, RW), 0);             /* sticks out */
	assert_int_equal(update(f, 0x30000, PAGE, 2 * PAGE, RW), 0);       /* in the first */
	assert_int_equal(update(f, 0x40000, PAGE, 2 * PAGE + 200, RW), 0); /* in both */
	assert_int_equal(update(f, 0x50000, PAGE, 4 * PAGE, GM_READ), 0);
	assert_int_equal(update(f, 0x60000, PAGE, 11 * PAGE, RW), 0); /* is gone */
	assert_is_at(f, 0x10000, 100);
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	gm_iotlb_remap(f->tlb, map);
	gm_map_free(f->map);
	f->map = map;
	assert_is_at(f, 0x10000, 100);
	assert_is_at(f, 0x10000 + PAGE - 1, 100 + PAGE - 1);
	assert_int_equal(found(f, 0x20000, RW, PAGE), 0);
	assert_is_at(f, 0x30000, 2 * PAGE);
	assert_int_equal(found(f, 0x40000, RW, PAGE), 0);
	assert_is_at(f, 0x50000, 4 * PAGE);
	assert_int_equal(found(f, 0x50000, GM_WRITE, PAGE), 0);
	assert_int_equal(found(f, 0x60000, RW, PAGE), 0);
	assert_int_equal(entries(f), 3);
	assert_int_equal(gm_map_remove(map, &d[0], &f->map), 0);
	gm_iotlb_remap(f->tlb, f->map);
	gm_map_free(map);
	assert_int_equal(entries(f), 1);
	assert_is_at(f, 0x50000, 4 * PAGE);
}

/* ---- the entries of another one ---- */

static void another_iotlb_takes_all_entries_and_nothing_stays(void **state)
{
	struct fixture *f = *state;
	struct gm_iotlb *other = f->tlb;
	const struct gm_iotlb_view *view;

	assert_int_equal(update(f, 0x10000, PAGE, 0, RW), 0);
	assert_int_equal(update(f, 0x20000, 2 * PAGE, 7 * PAGE, GM_READ), 0); /* in two regions */
	view = gm_iotlb_view(other);
	f->tlb = gm_iotlb_new();
	assert_non_null(f->tlb);
	assert_int_equal(update(f, 0x30000, PAGE, 0, RW), 0);
	assert_int_equal(gm_iotlb_fill(f->tlb, f->map, view->entries, view->n), 0);
	assert_int_equal(entries(f), view->n);
	for (uint32_t i = 0; i < view->n; i++)
		assert_int_equal(gm_iotlb_view(f->tlb)->entries[i].age, view->entries[i].age);
	gm_iotlb_free(other);
	assert_is_at(f, 0x10000 + 5, 5);
	assert_is_at(f, 0x20000 + PAGE, 8 * PAGE);
	assert_int_equal(found(f, 0x20000, GM_WRITE, 1), 0);
	assert_int_equal(found(f, 0x30000, GM_READ, 1), 0);
}

static void entries_from_elsewhere_are_looked_at(void **state)
{
	struct gm_iotlb_entry good = {.iova = 0x10000, .size = PAGE, .uva = UVA, .perm = RW};
	struct gm_iotlb_entry two[2] = {good, good};
	struct fixture *f = *state;

	assert_int_equal(update(f, 0x30000, PAGE, 0, RW), 0);
	/* The same twice, then the wrong way round. */
	assert_int_equal(gm_iotlb_fill(f->tlb, f->map, two, 2), -EINVAL);
	two[1].iova = 0x8000;
	assert_int_equal(gm_iotlb_fill(f->tlb, f->map, two, 2), -EINVAL);
	two[1].iova = 0x20000;
	two[1].size = 0;
	assert_int_equal(gm_iotlb_fill(f->tlb, f->map, two, 2), -EINVAL);
	two[1].size = UINT64_MAX;
	assert_int_equal(gm_iotlb_fill(f->tlb, f->map, two, 2), -EINVAL);
	two[1] = good;
	two[1].iova = 0x20000;
	two[1].perm = 0;
	assert_int_equal(gm_iotlb_fill(f->tlb, f->map, two, 2), -EINVAL);
	/* Nothing has changed by then. */
	assert_is_at(f, 0x30000, 0);
	/* Behind the memory: left out, and the other one is there. */
	two[1].perm = RW;
	two[1].uva = UVA + 12 * PAGE;
	assert_int_equal(gm_iotlb_fill(f->tlb, f->map, two, 2), 0);
	assert_int_equal(entries(f), 1);
	assert_is_at(f, 0x10000, 0);
	assert_int_equal(gm_iotlb_fill(f->tlb, f->map, NULL, 0), 0);
	assert_int_equal(entries(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_iotlb_misses_everything),
		TEST(an_entry_is_found_from_its_first_byte_to_its_last),
		TEST(an_entry_may_end_with_the_address_space),
		TEST(an_access_needs_its_permission),
		TEST(impossible_entries_are_refused),
		TEST(a_range_across_regions_is_split_where_they_meet),
		TEST(an_update_replaces_exactly_what_it_overlaps),
		TEST(an_invalidation_takes_exactly_its_bytes),
		TEST(an_invalidation_without_an_end_reaches_the_end),
		TEST(an_invalidation_of_nothing_changes_nothing),
		TEST(neighbours_in_memory_are_found_in_one_piece),
		TEST(a_memo_is_void_after_any_change),
		TEST(a_memo_does_not_fit_another_iotlb),
		TEST(a_view_stays_as_it_was_until_it_is_reclaimed),
		TEST(the_oldest_entries_make_room_for_new_ones),
		TEST(an_entry_of_509_regions_takes_as_many_places),
		TEST(no_more_is_forgotten_than_is_needed),
		TEST(entries_follow_their_user_addresses_into_a_new_table),
		TEST(another_iotlb_takes_all_entries_and_nothing_stays),
		TEST(entries_from_elsewhere_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
