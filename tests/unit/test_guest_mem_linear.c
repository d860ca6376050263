/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings want one contiguous range, whatever lies behind it. */
#include <errno.h>

#include "gm_fixture.h"
#include "gm_iotlb.h"

/* A range of user addresses: nothing of it can be missing in an IOTLB. */
static int linear_get(const struct gm_map *map, uint64_t uva, uint64_t len, struct gm_linear *out)
{
	const struct gm_space space = {.kind = GM_UVA, .map = map};
	uint64_t missing = 77;
	int ret = gm_linear_get(&space, uva, len, out, &missing);

	assert_int_equal(missing, 77);
	return ret;
}

static void a_range_inside_a_region_is_not_mapped_again(void **state)
{
	int fd = file_new(2, 0);
	struct gm_region_desc d = {.gpa = 0, .size = 2 * PAGE, .uva = UVA};
	struct gm_linear lin = {0};
	struct gm_map *map;

	(void)state;
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), 0);
	assert_int_equal(linear_get(map, UVA + 100, PAGE, &lin), 0);
	assert_ptr_equal(lin.host, gm_region_find(map, 0)->host + 100);
	assert_null(lin.map_base);
	gm_linear_put(&lin);
	gm_map_free(map);
	close(fd);
}

/* Regions of two files that meet at user address UVA + PAGE. */
static struct gm_map *two_files(int fds[2])
{
	struct gm_region_desc d[2] = {
		{.gpa = 0x100000, .size = PAGE, .uva = UVA, .mmap_offset = PAGE},
		{.gpa = 0, .size = PAGE, .uva = UVA + PAGE},
	};
	struct gm_map *map;

	fds[0] = file_new(2, 1);
	fds[1] = file_new(1, 2);
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	return map;
}

static void a_range_across_two_files_becomes_contiguous(void **state)
{
	struct gm_linear lin = {0};
	int fds[2];
	struct gm_map *map = two_files(fds);
	unsigned before = mapping_count();
	uint8_t seen;

	(void)state;
	assert_int_equal(linear_get(map, UVA + PAGE - 100, 200, &lin), 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(lin.host[i], file_byte(2 * PAGE - 100 + i, 1));
		assert_int_equal(lin.host[100 + i], file_byte(i, 2));
	}
	lin.host[100] = 42;
	assert_int_equal(pread(fds[1], &seen, 1, 0), 1);
	assert_int_equal(seen, 42);
	gm_linear_put(&lin);
	assert_int_equal(mapping_count(), before);
	gm_linear_put(&lin); /* harmless */
	gm_map_free(map);
	close(fds[0]);
	close(fds[1]);
}

static void a_range_with_a_hole_is_refused(void **state)
{
	struct gm_linear lin = {0};
	int fds[2];
	struct gm_map *map = two_files(fds);

	(void)state;
	assert_int_equal(linear_get(map, UVA + PAGE, 2 * PAGE, &lin), -EFAULT);
	assert_int_equal(linear_get(map, UVA - 1, 2, &lin), -EFAULT);
	assert_int_equal(linear_get(map, UVA, 0, &lin), -EFAULT);
	assert_int_equal(linear_get(map, UVA, UINT64_MAX - UVA + 1, &lin), -EFAULT);
	assert_null(lin.host);
	gm_map_free(map);
	close(fds[0]);
	close(fds[1]);
}

static void regions_that_continue_in_one_file_may_meet_inside_a_page(void **state)
{
	int fd = file_new(2, 5), fds[2] = {fd, fd};
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = 1000, .uva = UVA},
		{.gpa = 0x100000, .size = 1000, .uva = UVA + 1000, .mmap_offset = 1000},
	};
	struct gm_linear lin;
	struct gm_map *map;

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	assert_int_equal(linear_get(map, UVA + 900, 200, &lin), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(lin.host[i], file_byte(900 + i, 5));
	gm_linear_put(&lin);
	gm_map_free(map);
	close(fd);
}

/* Pages of two files side by side: a mapping of each, and what is left of the reservation. */
static void mappings_are_charged_to_the_owner(void **state)
{
	int fds[2] = {file_new(1, 1), file_new(1, 2)};
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = PAGE, .uva = UVA},
		{.gpa = 8 * PAGE, .size = PAGE, .uva = UVA + PAGE},
	};
	struct rw_budgets b;
	struct gm_owner owner = {.budgets = &b};
	const struct rw_budget *maps = &b.of[RW_BUDGET_MAPPINGS];
	const struct rw_budget *bytes = &b.of[RW_BUDGET_MAPPED];
	struct gm_linear lin = {0};
	struct gm_map *map = NULL;
	unsigned before;

	(void)state;
	rw_budgets_init(&b, "a");
	rw_budget_limit(&b, RW_BUDGET_MAPPED, PAGE);
	before = mapping_count();
	assert_int_equal(gm_map_new(&owner, d, fds, 2, NULL, &map), -EDQUOT);
	assert_int_equal(mapping_count(), before);
	assert_int_equal(maps->used, 0);
	assert_int_equal(bytes->used, 0);
	rw_budget_limit(&b, RW_BUDGET_MAPPED, 1 << 20);
	assert_int_equal(gm_map_new(&owner, d, fds, 2, NULL, &map), 0);
	assert_int_equal(maps->used, 2);
	assert_int_equal(bytes->used, 2 * PAGE);
	before = mapping_count();
	rw_budget_limit(&b, RW_BUDGET_MAPPINGS, 5);
	assert_int_equal(linear_get(map, UVA + PAGE - 50, 100, &lin), -EDQUOT);
	assert_int_equal(mapping_count(), before);
	rw_budget_limit(&b, RW_BUDGET_MAPPINGS, 6);
	assert_int_equal(linear_get(map, UVA + PAGE - 50, 100, &lin), 0);
	assert_int_equal(maps->used, 6);
	assert_in_range(mapping_count() - before, 2, 4);
	assert_true(bytes->used >= 4 * PAGE);
	gm_linear_put(&lin);
	assert_int_equal(maps->used, 2);
	gm_map_free(map);
	assert_int_equal(maps->used, 0);
	assert_int_equal(bytes->used, 0);
	close(fds[0]);
	close(fds[1]);
}

static void files_that_meet_inside_a_page_cannot_be_contiguous(void **state)
{
	int fds[2] = {file_new(1, 1), file_new(1, 2)};
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = 1000, .uva = UVA},
		{.gpa = PAGE, .size = 1000, .uva = UVA + 1000},
	};
	struct gm_linear lin = {0};
	unsigned before;
	struct gm_map *map;

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	before = mapping_count();
	assert_int_equal(linear_get(map, UVA + 900, 200, &lin), -ENOTSUP);
	assert_int_equal(mapping_count(), before);
	gm_map_free(map);
	close(fds[0]);
	close(fds[1]);
}

/* ---- guest-physical and I/O virtual addresses ---- */

#define RW (GM_READ | GM_WRITE)

/* 16 pages of one file at user address UVA, guest-physical 0x100000. */
struct sixteen {
	struct gm_map *map;
	struct gm_iotlb *tlb;
	int fd;
};

static struct sixteen sixteen_pages(void)
{
	struct gm_region_desc d = {.gpa = 0x100000, .size = 16 * PAGE, .uva = UVA};
	struct sixteen s = {.fd = file_new(16, 1), .tlb = gm_iotlb_new()};

	assert_non_null(s.tlb);
	assert_int_equal(gm_map_new(NULL, &d, &s.fd, 1, NULL, &s.map), 0);
	return s;
}

static void sixteen_free(struct sixteen *s)
{
	gm_iotlb_free(s->tlb);
	gm_map_free(s->map);
	close(s->fd);
}

static struct gm_space iova_space(const struct sixteen *s)
{
	return (struct gm_space){.kind = GM_IOVA, .map = s->map, .view = gm_iotlb_view(s->tlb)};
}

static void enter(struct sixteen *s, uint64_t iova, uint64_t size, unsigned page, uint8_t perm)
{
	assert_int_equal(
		gm_iotlb_update(s->tlb, s->map, iova, size, UVA + (uint64_t)page * PAGE, perm), 0);
}

static void guest_physical_ranges_go_by_guest_physical_addresses(void **state)
{
	/* Neighbours in guest-physical space, far apart and in other order in user addresses. */
	struct gm_region_desc d[2] = {
		{.gpa = 0x100000, .size = PAGE, .uva = UVA + 0x500000},
		{.gpa = 0x100000 + PAGE, .size = PAGE, .uva = UVA},
	};
	int fds[2] = {file_new(1, 1), file_new(1, 2)};
	struct gm_linear lin = {0};
	struct gm_space space = {.kind = GM_GPA};
	struct gm_map *map;
	uint64_t missing = 77;

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	space.map = map;
	assert_int_equal(gm_linear_get(&space, 0x100000 + PAGE - 50, 100, &lin, &missing), 0);
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(lin.host[i], file_byte(PAGE - 50 + i, 1));
		assert_int_equal(lin.host[50 + i], file_byte(i, 2));
	}
	gm_linear_put(&lin);
	assert_int_equal(gm_linear_get(&space, UVA, 100, &lin, &missing), -EFAULT);
	assert_int_equal(
		gm_linear_get(&space, 0x100000 + 2 * PAGE - 50, 100, &lin, &missing), -EFAULT);
	assert_int_equal(missing, 77);
	gm_map_free(map);
	close(fds[0]);
	close(fds[1]);
}

static void scattered_pages_become_contiguous(void **state)
{
	static const unsigned order[] = {7, 3, 4, 15, 0, 1, 8, 8};
	const uint64_t iova = 0xfffff000, len = RW_ARRAY_SIZE(order) * PAGE - 300;
	struct sixteen s = sixteen_pages();
	struct gm_linear lin = {0};
	unsigned before = mapping_count();
	struct gm_space space;
	uint64_t missing = 77;
	uint8_t seen;

	(void)state;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(order); i++)
		enter(&s, iova + i * PAGE, PAGE, order[i], RW);
	space = iova_space(&s);
	assert_int_equal(gm_linear_get(&space, iova + 100, len, &lin, &missing), 0);
	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(lin.host[i],
			file_byte(order[(i + 100) / PAGE] * PAGE + (i + 100) % PAGE, 1));
	lin.host[PAGE] = 42;
	assert_int_equal(pread(s.fd, &seen, 1, 3 * PAGE + 100), 1);
	assert_int_equal(seen, 42);
	gm_linear_put(&lin);
	assert_int_equal(mapping_count(), before);
	assert_int_equal(missing, 77);
	sixteen_free(&s);
}

static void pages_that_are_neighbours_in_memory_are_not_mapped_again(void **state)
{
	struct sixteen s = sixteen_pages();
	struct gm_linear lin = {0};
	struct gm_space space;
	uint64_t missing;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		enter(&s, 0x10000 + i * PAGE, PAGE, 5 + i, RW);
	space = iova_space(&s);
	assert_int_equal(gm_linear_get(&space, 0x10010, 3 * PAGE, &lin, &missing), 0);
	assert_ptr_equal(lin.host, s.map->regions[0].host + 5 * PAGE + 0x10);
	assert_null(lin.map_base);
	sixteen_free(&s);
}

static void what_the_iotlb_lacks_is_named(void **state)
{
	struct sixteen s = sixteen_pages();
	struct gm_piece pieces[4];
	struct gm_linear lin = {0};
	struct gm_space space;
	uint64_t missing = 77;

	(void)state;
	enter(&s, 0x10000, PAGE, 0, RW);
	enter(&s, 0x11000, PAGE, 9, GM_READ);
	enter(&s, 0x13000, PAGE, 2, RW);
	space = iova_space(&s);
	assert_int_equal(gm_linear_get(&space, 0xffff, 100, &lin, &missing), -EAGAIN);
	assert_int_equal(missing, 0xffff);
	/* Readable is not enough for a ring. */
	assert_int_equal(gm_linear_get(&space, 0x10800, PAGE, &lin, &missing), -EAGAIN);
	assert_int_equal(missing, 0x11000);
	enter(&s, 0x11000, PAGE, 9, RW);
	space = iova_space(&s);
	assert_int_equal(gm_linear_get(&space, 0x10800, 3 * PAGE, &lin, &missing), -EAGAIN);
	assert_int_equal(missing, 0x12000);
	assert_int_equal(gm_linear_pieces(&space, 0x10800, 3 * PAGE, &lin, pieces, 4), -EAGAIN);
	assert_null(lin.host);
	missing = 77;
	assert_int_equal(gm_linear_get(&space, 0x10000, 0, &lin, &missing), -EFAULT);
	assert_int_equal(gm_linear_get(&space, -100ull, 100, &lin, &missing), -EFAULT);
	assert_int_equal(missing, 77);
	assert_int_equal(gm_linear_get(&space, 0x10800, PAGE, &lin, &missing), 0);
	gm_linear_put(&lin);
	sixteen_free(&s);
}

static void pages_inside_a_huge_page_cannot_be_put_in_another_order(void **state)
{
	struct gm_region_desc d = {.gpa = 0, .size = HUGE, .uva = UVA};
	struct sixteen s = {.fd = huge_file_new(1)};
	struct gm_linear lin = {0};
	struct gm_space space;
	uint64_t missing = 77;
	unsigned before;

	(void)state;
	if (s.fd < 0)
		skip();
	s.tlb = gm_iotlb_new();
	assert_int_equal(gm_map_new(NULL, &d, &s.fd, 1, NULL, &s.map), 0);
	enter(&s, 0x10000, PAGE, 8, RW);
	enter(&s, 0x11000, PAGE, 3, RW);
	space = iova_space(&s);
	before = mapping_count();
	assert_int_equal(gm_linear_get(&space, 0x10800, PAGE, &lin, &missing), -ENOTSUP);
	assert_int_equal(mapping_count(), before);
	sixteen_free(&s);
}

static void whole_huge_pages_can_be_put_in_another_order(void **state)
{
	struct gm_region_desc d = {.gpa = 0, .size = 3 * HUGE, .uva = UVA};
	const unsigned small = HUGE / PAGE;
	struct sixteen s = {.fd = huge_file_new(3)};
	struct gm_linear lin = {0};
	struct gm_space space;
	uint64_t missing = 77;

	(void)state;
	if (s.fd < 0)
		skip();
	s.tlb = gm_iotlb_new();
	assert_int_equal(gm_map_new(NULL, &d, &s.fd, 1, NULL, &s.map), 0);
	s.map->regions[0].host[3 * HUGE - 1] = 31;
	s.map->regions[0].host[0] = 17;
	/* The end of the third page and, behind it, the start of the first. */
	enter(&s, 5 * HUGE - PAGE, PAGE, 3 * small - 1, RW);
	enter(&s, 5 * HUGE, PAGE, 0, RW);
	space = iova_space(&s);
	assert_int_equal(gm_linear_get(&space, 5 * HUGE - 10, 20, &lin, &missing), 0);
	assert_non_null(lin.map_base);
	assert_int_equal(lin.host[9], 31);
	assert_int_equal(lin.host[10], 17);
	gm_linear_put(&lin);
	sixteen_free(&s);
}

/* ---- what lies behind ---- */

static void the_pieces_behind_a_range_are_listed_in_order(void **state)
{
	static const unsigned order[] = {7, 3, 4, 5, 9};
	struct sixteen s = sixteen_pages();
	struct gm_piece p[5] = {0};
	struct gm_linear lin = {0};
	struct gm_space space;
	uint64_t missing;

	(void)state;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(order); i++)
		enter(&s, 0x10000 + i * PAGE, PAGE, order[i], RW);
	space = iova_space(&s);
	assert_int_equal(gm_linear_get(&space, 0x10100, 4 * PAGE, &lin, &missing), 0);
	assert_int_equal(gm_linear_pieces(&space, 0x10100, 4 * PAGE, &lin, p, 5), 3);
	assert_ptr_equal(p[0].host, lin.host);
	assert_int_equal(p[0].len, PAGE - 0x100);
	assert_int_equal(p[0].gpa, 0x100000 + 7 * PAGE + 0x100);
	assert_ptr_equal(p[1].host, lin.host + PAGE - 0x100); /* three pages, merged */
	assert_int_equal(p[1].len, 3 * PAGE);
	assert_int_equal(p[1].gpa, 0x100000 + 3 * PAGE);
	assert_ptr_equal(p[2].host, lin.host + 4 * PAGE - 0x100);
	assert_int_equal(p[2].len, 0x100);
	assert_int_equal(p[2].gpa, 0x100000 + 9 * PAGE);
	assert_int_equal(p[3].len, 0);
	gm_linear_put(&lin);
	sixteen_free(&s);
}

static void pieces_for_which_there_is_no_room_are_counted(void **state)
{
	static const unsigned order[] = {7, 3, 4, 9};
	struct sixteen s = sixteen_pages();
	struct gm_piece p[2] = {{.len = 1}, {.len = 77}};
	struct gm_linear lin = {0};
	struct gm_space space;
	uint64_t missing;

	(void)state;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(order); i++)
		enter(&s, 0x10000 + i * PAGE, PAGE, order[i], RW);
	space = iova_space(&s);
	assert_int_equal(gm_linear_get(&space, 0x10000, 4 * PAGE, &lin, &missing), 0);
	assert_int_equal(gm_linear_pieces(&space, 0x10000, 4 * PAGE, &lin, p, 1), 3);
	assert_int_equal(p[0].len, PAGE);
	assert_int_equal(p[1].len, 77);
	assert_int_equal(gm_linear_pieces(&space, 0x10000, 4 * PAGE, &lin, NULL, 0), 3);
	assert_int_equal(gm_linear_pieces(&space, 0x10000, 4 * PAGE, &lin, p, 2), 3);
	assert_int_equal(p[1].len, 2 * PAGE);
	gm_linear_put(&lin);
	sixteen_free(&s);
}

static void regions_that_continue_each_other_are_one_piece(void **state)
{
	/* Contiguous for the guest, whatever our addresses are. */
	struct gm_region_desc d[2] = {
		{.gpa = 0x100000, .size = PAGE, .uva = UVA},
		{.gpa = 0x100000 + PAGE, .size = PAGE, .uva = UVA + PAGE},
	};
	int fds[2] = {file_new(1, 1), file_new(1, 2)};
	struct gm_space space = {.kind = GM_UVA};
	struct gm_linear lin = {0};
	struct gm_piece p[2];
	struct gm_map *map;
	uint64_t missing;

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	space.map = map;
	assert_int_equal(gm_linear_get(&space, UVA + 100, PAGE, &lin, &missing), 0);
	assert_int_equal(gm_linear_pieces(&space, UVA + 100, PAGE, &lin, p, 2), 1);
	assert_ptr_equal(p[0].host, lin.host);
	assert_int_equal(p[0].len, PAGE);
	assert_int_equal(p[0].gpa, 0x100000 + 100);
	assert_int_equal(gm_linear_pieces(&space, UVA + PAGE, 2 * PAGE, &lin, p, 2), -EFAULT);
	gm_linear_put(&lin);
	gm_map_free(map);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_inside_a_region_is_not_mapped_again),
		cmocka_unit_test(a_range_across_two_files_becomes_contiguous),
		cmocka_unit_test(a_range_with_a_hole_is_refused),
		cmocka_unit_test(regions_that_continue_in_one_file_may_meet_inside_a_page),
		cmocka_unit_test(mappings_are_charged_to_the_owner),
		cmocka_unit_test(files_that_meet_inside_a_page_cannot_be_contiguous),
		cmocka_unit_test(guest_physical_ranges_go_by_guest_physical_addresses),
		cmocka_unit_test(scattered_pages_become_contiguous),
		cmocka_unit_test(pages_that_are_neighbours_in_memory_are_not_mapped_again),
		cmocka_unit_test(what_the_iotlb_lacks_is_named),
		cmocka_unit_test(pages_inside_a_huge_page_cannot_be_put_in_another_order),
		cmocka_unit_test(whole_huge_pages_can_be_put_in_another_order),
		cmocka_unit_test(the_pieces_behind_a_range_are_listed_in_order),
		cmocka_unit_test(pieces_for_which_there_is_no_room_are_counted),
		cmocka_unit_test(regions_that_continue_each_other_are_one_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
