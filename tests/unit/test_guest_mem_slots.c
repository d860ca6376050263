/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables that grow and shrink by a region at a time (ADD_MEM_REG, REM_MEM_REG), and the way back
 * from our addresses to the guest's.
 */
#include <errno.h>
#include <fcntl.h>

#include "gm_fixture.h"

static struct gm_region_desc desc(uint64_t gpa, uint64_t uva, uint64_t size, uint64_t offset)
{
	return (struct gm_region_desc){.gpa = gpa, .size = size, .uva = uva, .mmap_offset = offset};
}

/* A map of one page at guest-physical `gpa`, from its own file. */
static struct gm_map *one_page(uint64_t gpa, int *fd)
{
	struct gm_region_desc d = desc(gpa, UVA + gpa, PAGE, 0);
	struct gm_map *map;

	*fd = file_new(1, 1);
	assert_int_equal(gm_map_new(NULL, &d, fd, 1, NULL, &map), 0);
	return map;
}

/* Check that nothing at all is found in `map`. */
static void assert_finds_nothing(const struct gm_map *map)
{
	struct gm_cache cache = {0};
	uint64_t len = 5, gpa = 77;
	uint32_t hint = 3;
	uint8_t byte = 9;

	assert_int_equal(map->nregions, 0);
	assert_null(gm_region_find(map, 0));
	assert_null(gm_at(map, &cache, 0, &len));
	assert_null(gm_at_uva(map, UVA, &len));
	assert_int_equal(gm_read(map, 0, &byte, 1), -EFAULT);
	assert_int_equal(gm_uva_to_gpa(map, UVA, &gpa), -EFAULT);
	assert_int_equal(gm_host_to_gpa(map, &byte, &len, &gpa, &hint), -EFAULT);
	assert_int_equal(len, 5);
	assert_int_equal(gpa, 77);
	assert_int_equal(hint, 3);
	assert_int_equal(byte, 9);
}

/* ---- adding ---- */

static void the_first_region_is_added_to_nothing(void **state)
{
	struct gm_region_desc d = desc(0x1000, UVA, 2 * PAGE, 0);
	int fd = file_new(2, 4);
	struct gm_map *map;

	(void)state;
	assert_int_equal(gm_map_add(NULL, NULL, &d, fd, &map), 0);
	assert_true(fcntl(fd, F_GETFD) >= 0); /* still the caller's */
	close(fd);
	assert_int_equal(map->nregions, 1);
	assert_int_equal(gm_region_find(map, 0x1000)->host[PAGE + 3], file_byte(PAGE + 3, 4));
	gm_map_free(map);
}

static void an_added_region_is_found_and_the_others_stay_where_they_are(void **state)
{
	struct gm_region_desc below = desc(0x1000, UVA + 0x900000, PAGE, 0);
	struct gm_region_desc above = desc(0x900000, UVA + 0x1000, PAGE, PAGE);
	int fd, added = file_new(2, 2);
	struct gm_map *one = one_page(0x100000, &fd), *two, *three;
	const uint8_t *host = one->regions[0].host;

	(void)state;
	assert_int_equal(gm_map_add(NULL, one, &above, added, &two), 0);
	assert_int_equal(gm_map_add(NULL, two, &below, added, &three), 0);
	assert_int_equal(one->nregions, 1); /* as it was */
	assert_int_equal(two->nregions, 2);
	gm_map_free(one);
	gm_map_free(two);
	assert_int_equal(three->nregions, 3);
	assert_ptr_equal(gm_region_find(three, 0x100000)->host, host);
	assert_int_equal(*host, file_byte(0, 1)); /* the last map holds it */
	assert_int_equal(*gm_region_find(three, 0x1000)->host, file_byte(0, 2));
	assert_int_equal(*gm_region_find(three, 0x900000)->host, file_byte(PAGE, 2));
	gm_map_free(three);
	close(fd);
	close(added);
}

static void what_cannot_be_added_changes_nothing(void **state)
{
	static const struct {
		const char *why;
		struct gm_region_desc d;
		int err;
	} cases[] = {
		{"an empty region", {.gpa = 0, .size = 0, .uva = UVA}, -EINVAL},
		{"gpa wraps", {.gpa = UINT64_MAX - PAGE + 1, .size = PAGE, .uva = UVA}, -EINVAL},
		{"uva wraps", {.gpa = 0, .size = PAGE, .uva = UINT64_MAX - PAGE + 1}, -EINVAL},
		{"offset wraps",
			{.gpa = 0, .size = PAGE, .uva = UVA, .mmap_offset = UINT64_MAX - 10},
			-EINVAL},
		{"the same once more", {.gpa = 0x100000, .size = PAGE, .uva = UVA + 0x100000},
			-EINVAL},
		{"one byte of gpa overlaps at the end", {.gpa = 0x100fff, .size = PAGE, .uva = UVA},
			-EINVAL},
		{"one byte of gpa overlaps at the start",
			{.gpa = 0xff001, .size = PAGE, .uva = UVA}, -EINVAL},
		{"one byte of uva overlaps", {.gpa = 0, .size = PAGE, .uva = UVA + 0x100fff},
			-EINVAL},
		{"it encloses another", {.gpa = 0, .size = 0x200000, .uva = UVA}, -EINVAL},
		{"beyond the end of its file",
			{.gpa = 0, .size = PAGE, .uva = UVA, .mmap_offset = PAGE + 1}, -ENXIO},
	};
	int fd, added = file_new(2, 2);
	struct gm_map *map = one_page(0x100000, &fd), *out = NULL;
	unsigned before = mapping_count();

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		int ret = gm_map_add(NULL, map, &cases[i].d, added, &out);

		if (ret != cases[i].err)
			fail_msg("%s: %d", cases[i].why, ret);
		assert_null(out);
	}
	assert_int_equal(mapping_count(), before);
	assert_int_equal(*gm_region_find(map, 0x100000)->host, file_byte(0, 1));
	gm_map_free(map);
	close(fd);
	close(added);
}

static void regions_may_touch(void **state)
{
	struct gm_region_desc after = desc(0x101000, UVA + 0x101000, PAGE, 0);
	struct gm_region_desc before = desc(0xff000, UVA + 0xff000, PAGE, 0);
	int fd;
	struct gm_map *one = one_page(0x100000, &fd), *two, *three;

	(void)state;
	assert_int_equal(gm_map_add(NULL, one, &after, fd, &two), 0);
	assert_int_equal(gm_map_add(NULL, two, &before, fd, &three), 0);
	gm_map_free(one);
	gm_map_free(two);
	gm_map_free(three);
	close(fd);
}

static void a_region_added_again_goes_with_as_many_removals(void **state)
{
	struct gm_region_desc d = desc(0x1000, UVA, 2 * PAGE, 0);
	int fd = file_new(2, 4);
	struct gm_map *maps[6];
	unsigned mappings;

	(void)state;
	assert_int_equal(gm_map_add(NULL, NULL, &d, fd, &maps[0]), 0);
	mappings = mapping_count();
	assert_int_equal(gm_map_add(NULL, maps[0], &d, fd, &maps[1]), 0);
	assert_int_equal(gm_map_add(NULL, maps[1], &d, fd, &maps[2]), 0);
	assert_int_equal(mapping_count(), mappings);
	assert_int_equal(maps[2]->nregions, 1);
	for (unsigned i = 3; i < 6; i++) {
		assert_int_equal(gm_region_find(maps[i - 1], 0x1000)->host[3], file_byte(3, 4));
		assert_int_equal(gm_map_remove(maps[i - 1], &d, &maps[i]), 0);
	}
	assert_int_equal(maps[5]->nregions, 0);
	for (unsigned i = 0; i < 6; i++)
		gm_map_free(maps[i]);
	assert_int_equal(mapping_count(), mappings - 1);
	close(fd);
}

/* As many times at once, which takes no longer however many they are. */
static void a_region_is_added_many_times_at_once(void **state)
{
	struct gm_region_desc d = desc(0x1000, UVA, 2 * PAGE, 0);
	struct gm_region_desc other = desc(0x9000, UVA, 2 * PAGE, 0);
	struct gm_map *one, *many, *most, *none;
	int fd = file_new(2, 4);

	(void)state;
	assert_int_equal(gm_map_add(NULL, NULL, &d, fd, &one), 0);
	assert_int_equal(gm_map_readd(one, &other, 1, &none), -ENOENT);
	assert_int_equal(gm_map_readd(NULL, &d, 1, &none), -ENOENT);
	assert_int_equal(gm_map_readd(one, &d, 2, &many), 0);
	assert_int_equal(many->regions[0].readds, 2);
	assert_int_equal(gm_map_readd(many, &d, UINT32_MAX - 1, &none), -EINVAL);
	assert_int_equal(gm_map_readd(many, &d, UINT32_MAX - 2, &most), 0);
	assert_int_equal(gm_map_add(NULL, most, &d, fd, &none), -EINVAL);
	gm_map_free(one);
	gm_map_free(many);
	gm_map_free(most);
	close(fd);
}

static void a_region_is_not_added_again_from_other_memory(void **state)
{
	struct gm_region_desc d = desc(0x1000, UVA, PAGE, 0),
			      shifted = desc(0x1000, UVA, PAGE, PAGE);
	int fd = file_new(2, 4), other = file_new(2, 4);
	struct gm_map *map, *out = NULL;

	(void)state;
	assert_int_equal(gm_map_add(NULL, NULL, &d, fd, &map), 0);
	assert_int_equal(gm_map_add(NULL, map, &shifted, fd, &out), -EINVAL);
	assert_int_equal(gm_map_add(NULL, map, &d, other, &out), -EINVAL);
	assert_null(out);
	gm_map_free(map);
	close(fd);
	close(other);
}

/* ---- removing ---- */

static void a_removed_region_is_gone_and_the_others_stay(void **state)
{
	struct gm_region_desc d = desc(0x1000, UVA, PAGE, 0);
	struct gm_region_desc gone = desc(0x100000, UVA + 0x100000, PAGE, 0x123456789);
	int fd, added = file_new(1, 2);
	struct gm_map *one = one_page(0x100000, &fd), *two, *three;
	unsigned with_two;
	uint64_t len = 1;

	(void)state;
	assert_int_equal(gm_map_add(NULL, one, &d, added, &two), 0);
	gm_map_free(one);
	with_two = mapping_count();
	/* The offset in the file plays no part. */
	assert_int_equal(gm_map_remove(two, &gone, &three), 0);
	assert_int_equal(two->nregions, 2);
	gm_map_free(two);
	assert_int_equal(mapping_count(), with_two - 1);
	assert_null(gm_region_find(three, 0x100000));
	assert_null(gm_at_uva(three, UVA + 0x100000, &len));
	assert_int_equal(*gm_region_find(three, 0x1000)->host, file_byte(0, 2));
	gm_map_free(three);
	close(fd);
	close(added);
}

static void only_the_very_region_can_be_removed(void **state)
{
	const struct gm_region_desc wrong[] = {
		desc(0x100001, UVA + 0x100000, PAGE, 0),
		desc(0x100000, UVA + 0x100001, PAGE, 0),
		desc(0x100000, UVA + 0x100000, PAGE - 1, 0),
		desc(0x101000, UVA + 0x101000, PAGE, 0),
	};
	int fd;
	struct gm_map *map = one_page(0x100000, &fd), *out = NULL;

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(wrong); i++)
		assert_int_equal(gm_map_remove(map, &wrong[i], &out), -ENOENT);
	assert_int_equal(gm_map_remove(NULL, &wrong[0], &out), -ENOENT);
	assert_null(out);
	gm_map_free(map);
	close(fd);
}

static void without_its_last_region_a_map_is_empty_but_a_map(void **state)
{
	struct gm_region_desc d = desc(0x100000, UVA + 0x100000, PAGE, 0);
	int fd;
	struct gm_map *one = one_page(0x100000, &fd), *none, *again, *out = NULL;

	(void)state;
	assert_int_equal(gm_map_remove(one, &d, &none), 0);
	gm_map_free(one);
	assert_finds_nothing(none);
	assert_int_equal(gm_map_remove(none, &d, &out), -ENOENT);
	assert_int_equal(gm_map_add(NULL, none, &d, fd, &again), 0);
	gm_map_free(none);
	assert_int_equal(*gm_region_find(again, 0x100000)->host, file_byte(0, 1));
	gm_map_free(again);
	close(fd);
}

static void slots_come_and_go_one_by_one_up_to_509(void **state)
{
	struct gm_map *map = NULL, *next;
	unsigned before = mapping_count();
	int fd = file_new(2, 1);
	struct gm_region_desc d;

	(void)state;
	for (uint32_t i = 0; i < GM_MAX_REGIONS; i++) {
		/* From above and from below in turn; user addresses the other way round. */
		uint64_t at = (i % 2 ? 0x10000u + i : 0x10000u - i) * 2ull * PAGE;

		d = desc(at, UVA - at, PAGE, i % 3);
		assert_int_equal(gm_map_add(NULL, map, &d, fd, &next), 0);
		gm_map_free(map);
		map = next;
	}
	d = desc(0, UVA, PAGE, 0);
	assert_int_equal(gm_map_add(NULL, map, &d, fd, &next), -EINVAL);
	assert_int_equal(map->nregions, GM_MAX_REGIONS);
	for (uint32_t n = GM_MAX_REGIONS; n--;) {
		uint64_t at = (n % 2 ? 0x10000u + n : 0x10000u - n) * 2ull * PAGE;
		uint64_t len = 10, gpa;

		assert_int_equal(*gm_region_find(map, at)->host, file_byte(n % 3, 1));
		assert_int_equal(
			*(uint8_t *)gm_at_uva(map, UVA - at + 2, &len), file_byte(n % 3 + 2, 1));
		assert_int_equal(gm_uva_to_gpa(map, UVA - at + PAGE - 1, &gpa), 0);
		assert_int_equal(gpa, at + PAGE - 1);
		d = desc(at, UVA - at, PAGE, 0);
		assert_int_equal(gm_map_remove(map, &d, &next), 0);
		gm_map_free(map);
		map = next;
	}
	assert_finds_nothing(map);
	gm_map_free(map);
	assert_int_equal(mapping_count(), before);
	close(fd);
}

/* ---- the way back ---- */

static void every_byte_of_ours_has_its_guest_physical_address(void **state)
{
	struct gm_region_desc d[3] = {
		desc(0x300000, UVA, PAGE + 50, PAGE + 123),
		desc(0, UVA + 0x100000, 700, 5),
		desc(700, UVA + 0x200000, 2 * PAGE, 0),
	};
	int fd = file_new(4, 3), fds[3] = {fd, fd, fd};
	struct gm_map *map;
	uint32_t hint = 12345;

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 3, NULL, &map), 0);
	for (unsigned i = 0; i < 3; i++) {
		const uint8_t *host = gm_region_find(map, d[i].gpa)->host;

		for (uint64_t off = 0; off < d[i].size; off++) {
			uint64_t len = 100, gpa;

			assert_int_equal(gm_host_to_gpa(map, host + off, &len, &gpa, &hint), 0);
			assert_int_equal(gpa, d[i].gpa + off);
			assert_int_equal(len, RW_MIN(100, d[i].size - off));
		}
	}
	gm_map_free(map);
	close(fd);
}

static void beside_the_regions_no_byte_has_an_address(void **state)
{
	/* Its pages are mapped as a whole, so there are bytes of ours before and behind it. */
	struct gm_region_desc d = desc(0x1000, UVA, 100, 50);
	uint64_t len = 1, gpa = 77;
	int fd = file_new(1, 3);
	struct gm_map *map;
	uint32_t hint = 0;

	(void)state;
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), 0);
	assert_int_equal(gm_host_to_gpa(map, map->regions[0].host - 1, &len, &gpa, &hint), -EFAULT);
	assert_int_equal(
		gm_host_to_gpa(map, map->regions[0].host + 100, &len, &gpa, &hint), -EFAULT);
	assert_int_equal(gm_host_to_gpa(map, NULL, &len, &gpa, &hint), -EFAULT);
	assert_int_equal(gpa, 77);
	gm_map_free(map);
	close(fd);
}

static void the_same_bytes_at_two_guest_addresses_are_told_apart(void **state)
{
	struct gm_region_desc d[2] = {
		desc(0, UVA, PAGE, 0),
		desc(0x100000, UVA + 0x100000, PAGE, 0),
	};
	int fd = file_new(1, 1), fds[2] = {fd, fd};
	struct gm_map *one, *both, *added;
	uint64_t len = 1, gpa;
	uint32_t hint = 0;

	(void)state;
	assert_int_equal(gm_map_new(NULL, d, fds, 1, NULL, &one), 0);
	assert_int_equal(gm_map_new(NULL, d, fds, 2, one, &both), 0);
	assert_int_equal(gm_map_add(NULL, one, &d[1], fd, &added), 0);
	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *p = gm_region_find(both, d[i].gpa)->host;

		assert_int_equal(gm_host_to_gpa(both, p, &len, &gpa, &hint), 0);
		assert_int_equal(gpa, d[i].gpa);
		p = gm_region_find(added, d[i].gpa)->host;
		assert_int_equal(gm_host_to_gpa(added, p, &len, &gpa, &hint), 0);
		assert_int_equal(gpa, d[i].gpa);
	}
	gm_map_free(one);
	gm_map_free(both);
	gm_map_free(added);
	close(fd);
}

static void a_user_address_is_cut_at_the_end_of_its_region(void **state)
{
	int fd;
	struct gm_map *map = one_page(0, &fd);
	uint64_t len = UINT64_MAX;

	(void)state;
	assert_ptr_equal(gm_at_uva(map, UVA + 10, &len), map->regions[0].host + 10);
	assert_int_equal(len, PAGE - 10);
	len = 5;
	assert_non_null(gm_at_uva(map, UVA + 10, &len));
	assert_int_equal(len, 5);
	assert_null(gm_at_uva(map, UVA - 1, &len));
	assert_null(gm_at_uva(map, UVA + PAGE, &len));
	assert_int_equal(len, 5);
	gm_map_free(map);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_region_is_added_to_nothing),
		cmocka_unit_test(an_added_region_is_found_and_the_others_stay_where_they_are),
		cmocka_unit_test(what_cannot_be_added_changes_nothing),
		cmocka_unit_test(regions_may_touch),
		cmocka_unit_test(a_removed_region_is_gone_and_the_others_stay),
		cmocka_unit_test(only_the_very_region_can_be_removed),
		cmocka_unit_test(without_its_last_region_a_map_is_empty_but_a_map),
		cmocka_unit_test(slots_come_and_go_one_by_one_up_to_509),
		cmocka_unit_test(every_byte_of_ours_has_its_guest_physical_address),
		cmocka_unit_test(a_region_added_again_goes_with_as_many_removals),
		cmocka_unit_test(a_region_is_added_many_times_at_once),
		cmocka_unit_test(a_region_is_not_added_again_from_other_memory),
		cmocka_unit_test(beside_the_regions_no_byte_has_an_address),
		cmocka_unit_test(the_same_bytes_at_two_guest_addresses_are_told_apart),
		cmocka_unit_test(a_user_address_is_cut_at_the_end_of_its_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
