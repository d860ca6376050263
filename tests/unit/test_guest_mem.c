/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>

#include "gm_fixture.h"

/* ---- tables ---- */

static void an_address_is_found_in_its_region(void **state)
{
	int fds[2] = {file_new(4, 1), file_new(2, 2)};
	struct gm_region_desc d[2] = {
		{.gpa = 0x100000, .size = 4 * PAGE, .uva = UVA},
		{.gpa = 0, .size = 2 * PAGE, .uva = UVA + 0x100000},
	};
	struct gm_cache cache = {0};
	struct gm_map *map;
	uint64_t len = 10, gpa;
	uint8_t *p;

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	p = gm_at(map, &cache, 0x100000 + PAGE, &len);
	assert_non_null(p);
	assert_int_equal(len, 10);
	assert_int_equal(*p, file_byte(PAGE, 1));
	p = gm_at(map, &cache, 5, &len);
	assert_int_equal(*p, file_byte(5, 2));
	assert_int_equal(gm_uva_to_gpa(map, UVA + 0x100000 + 7, &gpa), 0);
	assert_int_equal(gpa, 7);
	/* What we write is what the front-end sees. */
	*p = 99;
	{
		uint8_t seen;

		assert_int_equal(pread(fds[1], &seen, 1, 5), 1);
		assert_int_equal(seen, 99);
	}
	gm_map_free(map);
	close(fds[0]);
	close(fds[1]);
}

static void outside_every_region_there_is_nothing(void **state)
{
	int fd = file_new(1, 0);
	struct gm_region_desc d = {.gpa = 0x1000, .size = PAGE, .uva = UVA};
	struct gm_cache cache = {0};
	struct gm_map *map;
	uint64_t len = 1, gpa = 77;

	(void)state;
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), 0);
	assert_null(gm_at(map, &cache, 0xfff, &len));
	assert_null(gm_at(map, &cache, 0x2000, &len));
	assert_null(gm_at(map, &cache, UINT64_MAX, &len));
	assert_int_equal(gm_uva_to_gpa(map, UVA - 1, &gpa), -EFAULT);
	assert_int_equal(gm_uva_to_gpa(map, UVA + PAGE, &gpa), -EFAULT);
	assert_int_equal(gpa, 77);
	gm_map_free(map);
	close(fd);
}

static void a_range_is_cut_at_the_end_of_its_region(void **state)
{
	int fd = file_new(1, 0);
	struct gm_region_desc d = {.gpa = 0, .size = PAGE, .uva = UVA};
	struct gm_cache cache = {0};
	struct gm_map *map;
	uint64_t len = 100;

	(void)state;
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), 0);
	assert_non_null(gm_at(map, &cache, PAGE - 30, &len));
	assert_int_equal(len, 30);
	len = UINT64_MAX; /* once more, from the memo, with a length that would wrap */
	assert_non_null(gm_at(map, &cache, PAGE - 30, &len));
	assert_int_equal(len, 30);
	gm_map_free(map);
	close(fd);
}

static void a_region_may_start_anywhere_in_its_file(void **state)
{
	int fd = file_new(4, 3);
	struct gm_region_desc d = {
		.gpa = 0, .size = PAGE + 50, .uva = UVA, .mmap_offset = PAGE + 123};
	struct gm_cache cache = {0};
	struct gm_map *map;
	uint64_t len = 1;
	uint8_t *p;

	(void)state;
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), 0);
	p = gm_at(map, &cache, 0, &len);
	assert_int_equal(*p, file_byte(PAGE + 123, 3));
	p = gm_at(map, &cache, PAGE + 49, &len);
	assert_int_equal(*p, file_byte(2 * PAGE + 172, 3));
	gm_map_free(map);
	close(fd);
}

static void a_region_beyond_the_end_of_its_file_is_refused(void **state)
{
	int fd = file_new(2, 0);
	struct gm_region_desc d = {.gpa = 0, .size = 2 * PAGE, .uva = UVA, .mmap_offset = 1};
	struct gm_map *map = NULL;

	(void)state;
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), -ENXIO);
	d = (struct gm_region_desc){.gpa = 0, .size = 3 * PAGE, .uva = UVA};
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), -ENXIO);
	assert_null(map);
	close(fd);
}

static void impossible_tables_are_refused(void **state)
{
	static const struct {
		const char *why;
		struct gm_region_desc d[2];
		uint32_t n;
	} cases[] = {
		{"no region", {{0}}, 0},
		{"an empty region", {{.uva = UVA}}, 1},
		{"gpa wraps", {{.gpa = UINT64_MAX - 10, .size = PAGE, .uva = UVA}}, 1},
		{"uva wraps", {{.size = PAGE, .uva = UINT64_MAX - 10}}, 1},
		{"offset wraps", {{.size = PAGE, .uva = UVA, .mmap_offset = UINT64_MAX - 10}}, 1},
		{"rounding wraps", {{.size = PAGE, .uva = UVA, .mmap_offset = INT64_MAX - PAGE}},
			1},
		{"size of everything", {{.size = UINT64_MAX, .uva = 0}}, 1},
		{"gpa overlaps",
			{{.gpa = 0, .size = PAGE, .uva = UVA},
				{.gpa = PAGE - 1, .size = PAGE, .uva = 2 * UVA}},
			2},
		{"uva overlaps",
			{{.gpa = 0, .size = PAGE, .uva = UVA},
				{.gpa = 2 * PAGE, .size = PAGE, .uva = UVA + PAGE - 1}},
			2},
	};
	int fds[2] = {file_new(2, 0), file_new(2, 0)};
	unsigned before = mapping_count();

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		struct gm_map *map = NULL;
		int ret = gm_map_new(NULL, cases[i].d, fds, cases[i].n, NULL, &map);

		if (ret != -EINVAL && ret != -ENXIO)
			fail_msg("%s: %d", cases[i].why, ret);
		assert_null(map);
	}
	assert_int_equal(mapping_count(), before);
	close(fds[0]);
	close(fds[1]);
}

static void a_failing_region_takes_the_others_along(void **state)
{
	int fds[2] = {file_new(1, 0), file_new(1, 0)};
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = PAGE, .uva = UVA},
		{.gpa = PAGE, .size = 2 * PAGE, .uva = UVA + PAGE}, /* its file is too short */
	};
	unsigned before = mapping_count();
	struct gm_map *map = NULL;

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), -ENXIO);
	assert_int_equal(mapping_count(), before);
	assert_true(fcntl(fds[0], F_GETFD) >= 0); /* still the caller's */
	close(fds[0]);
	close(fds[1]);
}

static void regions_in_common_keep_their_mapping(void **state)
{
	int fds[2] = {file_new(2, 0), file_new(2, 0)};
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = 2 * PAGE, .uva = UVA},
		{.gpa = 0x10000, .size = 2 * PAGE, .uva = UVA + 0x10000},
	};
	struct gm_map *one, *two;
	const uint8_t *host;

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 1, NULL, &one), 0);
	host = gm_region_find(one, 0)->host;
	assert_int_equal(gm_map_new(NULL, d, fds, 2, one, &two), 0);
	assert_ptr_equal(gm_region_find(two, 0)->host, host);
	gm_map_free(one);
	assert_int_equal(host[5], file_byte(5, 0)); /* the second map holds it */
	gm_map_free(two);
	close(fds[0]);
	close(fds[1]);
}

static void another_file_of_the_same_shape_is_not_shared(void **state)
{
	int fds[2] = {file_new(1, 1), file_new(1, 2)};
	struct gm_region_desc d = {.gpa = 0, .size = PAGE, .uva = UVA};
	struct gm_map *one, *two;

	(void)state;
	assert_int_equal(gm_map_new(NULL, &d, &fds[0], 1, NULL, &one), 0);
	assert_int_equal(gm_map_new(NULL, &d, &fds[1], 1, one, &two), 0);
	assert_int_equal(gm_region_find(one, 0)->host[0], file_byte(0, 1));
	assert_int_equal(gm_region_find(two, 0)->host[0], file_byte(0, 2));
	gm_map_free(one);
	gm_map_free(two);
	close(fds[0]);
	close(fds[1]);
}

static void all_509_slots_can_be_used(void **state)
{
	static struct gm_region_desc d[GM_MAX_REGIONS + 1];
	static int fds[GM_MAX_REGIONS + 1];
	int fd = file_new(1, 0);
	struct gm_map *map;

	(void)state;
	for (uint32_t i = 0; i <= GM_MAX_REGIONS; i++) {
		d[i] = (struct gm_region_desc){
			.gpa = i * 2ull * PAGE, .size = PAGE, .uva = UVA + i * 2ull * PAGE};
		fds[i] = fd;
	}
	assert_int_equal(gm_map_new(NULL, d, fds, GM_MAX_REGIONS + 1, NULL, &map), -EINVAL);
	assert_int_equal(gm_map_new(NULL, d, fds, GM_MAX_REGIONS, NULL, &map), 0);
	for (uint32_t i = 0; i < GM_MAX_REGIONS; i++) {
		assert_int_equal(gm_region_find(map, d[i].gpa + PAGE - 1)->gpa, d[i].gpa);
		assert_null(gm_region_find(map, d[i].gpa + PAGE));
	}
	gm_map_free(map);
	close(fd);
}

static void reads_cross_regions_and_stop_at_holes(void **state)
{
	int fds[2] = {file_new(1, 1), file_new(1, 2)};
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = PAGE, .uva = UVA},
		{.gpa = PAGE, .size = PAGE, .uva = UVA + 0x100000},
	};
	struct gm_map *map;
	uint8_t buf[16];

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	assert_int_equal(gm_read(map, PAGE - 8, buf, 16), 0);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(buf[i], file_byte(PAGE - 8 + i, 1));
		assert_int_equal(buf[8 + i], file_byte(i, 2));
	}
	assert_int_equal(gm_read(map, 2 * PAGE - 8, buf, 16), -EFAULT);
	gm_map_free(map);
	close(fds[0]);
	close(fds[1]);
}

/* ---- huge pages and core dumps ---- */

static void huge_pages_map_at_any_offset(void **state)
{
	struct gm_region_desc d[2] = {
		/*
		 * Neither start nor length is a multiple of the huge page, as around a PC's VGA
		 * hole.
		 */
		{.gpa = 0, .size = 0xa0000, .uva = UVA, .mmap_offset = 0},
		{.gpa = 0xc0000,
			.size = HUGE - 0xc0000,
			.uva = UVA + 0xc0000,
			.mmap_offset = 0xc0000},
	};
	int fd = huge_file_new(1), fds[2] = {fd, fd};
	struct gm_cache cache = {0};
	struct gm_map *map;
	uint64_t len = 8;
	uint8_t *p;

	(void)state;
	if (fd < 0)
		skip(); /* scripts/test sets some up */
	p = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	p[0xc0000] = 17;
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	assert_int_equal(*(uint8_t *)gm_at(map, &cache, 0xc0000, &len), 17);
	gm_map_free(map);
	munmap(p, HUGE);
	close(fd);
}

static void guest_memory_stays_out_of_core_dumps(void **state)
{
	int fd = file_new(4, 0);
	struct gm_region_desc d = {.gpa = 0, .size = 4 * PAGE, .uva = UVA};
	bool here = false, dontdump = false;
	struct gm_map *map;
	char line[512];
	FILE *f;

	(void)state;
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), 0);
	f = fopen("/proc/self/smaps", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long start;

		if (sscanf(line, "%lx-", &start) == 1 && strchr(line, '-') && strstr(line, "rw-s"))
			here = start == (uintptr_t)gm_region_find(map, 0)->host;
		if (here && !strncmp(line, "VmFlags:", 8)) {
			dontdump = strstr(line, " dd");
			break;
		}
	}
	fclose(f);
	assert_true(here);
	assert_true(dontdump);
	gm_map_free(map);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_found_in_its_region),
		cmocka_unit_test(outside_every_region_there_is_nothing),
		cmocka_unit_test(a_range_is_cut_at_the_end_of_its_region),
		cmocka_unit_test(a_region_may_start_anywhere_in_its_file),
		cmocka_unit_test(a_region_beyond_the_end_of_its_file_is_refused),
		cmocka_unit_test(impossible_tables_are_refused),
		cmocka_unit_test(a_failing_region_takes_the_others_along),
		cmocka_unit_test(regions_in_common_keep_their_mapping),
		cmocka_unit_test(another_file_of_the_same_shape_is_not_shared),
		cmocka_unit_test(all_509_slots_can_be_used),
		cmocka_unit_test(reads_cross_regions_and_stop_at_holes),
		cmocka_unit_test(huge_pages_map_at_any_offset),
		cmocka_unit_test(guest_memory_stays_out_of_core_dumps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
