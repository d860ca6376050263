/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Postcopy: who touches a missing page of a watched map waits until the front-end supplies it. The
 * front-end's part (hearing of the fault, copying the page in, waking) is played by the test.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <linux/userfaultfd.h>

#include "gm_fixture.h"

/*
 * Faults of user mode are all a test makes; they need no privilege where the kernel knows the flag.
 */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* A userfaultfd, or -1 after saying why there is none. */
static int ufd_new(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		print_message("userfaultfd: %s\n", strerror(errno));
		return -1;
	}
	assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
	return fd;
}

/* A file of `bytes` that holds nothing yet. */
static int missing_file(uint64_t bytes)
{
	int fd = memfd_create("missing", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static struct gm_map *map_of(int fd, uint64_t gpa, uint64_t size)
{
	struct gm_region_desc d = {.gpa = gpa, .size = size, .uva = UVA + gpa};
	struct gm_map *map;

	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), 0);
	return map;
}

/* Whether some userfaultfd watches the memory of region `i`: then another one cannot. */
static bool is_watched(const struct gm_map *map, uint32_t i)
{
	struct uffdio_register reg = {
		.range = {.start = (uintptr_t)map->regions[i].host, .len = map->regions[i].size},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int ufd = ufd_new(), ret = ioctl(ufd, UFFDIO_REGISTER, &reg);

	assert_true(!ret || errno == EBUSY);
	close(ufd); /* which undoes it */
	return ret;
}

/* A thread that reads one byte. */
struct toucher {
	pthread_t thread;
	const volatile uint8_t *at;
	uint8_t seen;
	_Atomic bool done;
};

static void *toucher_main(void *arg)
{
	struct toucher *t = arg;

	t->seen = *t->at;
	atomic_store(&t->done, true);
	return NULL;
}

static void toucher_start(struct toucher *t, const uint8_t *at)
{
	*t = (struct toucher){.at = at};
	assert_int_equal(pthread_create(&t->thread, NULL, toucher_main, t), 0);
}

static uint8_t toucher_join(struct toucher *t)
{
	assert_int_equal(pthread_join(t->thread, NULL), 0);
	return t->seen;
}

/* The address of the next fault, to the page. */
static uintptr_t next_fault(int ufd, uint64_t page)
{
	struct pollfd p = {.fd = ufd, .events = POLLIN};
	struct uffd_msg msg;

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(read(ufd, &msg, sizeof(msg)), sizeof(msg));
	assert_int_equal(msg.event, UFFD_EVENT_PAGEFAULT);
	return (uintptr_t)(msg.arg.pagefault.address & ~(page - 1));
}

/* Put in a page full of `value`, without and then with waking. */
static void supply(int ufd, uintptr_t at, uint64_t page, int value)
{
	struct uffdio_range range = {.start = at, .len = page};
	struct uffdio_copy copy = {.dst = at, .len = page, .mode = UFFDIO_COPY_MODE_DONTWAKE};
	void *from = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(from, MAP_FAILED);
	memset(from, value, page);
	copy.src = (uintptr_t)from;
	assert_int_equal(ioctl(ufd, UFFDIO_COPY, &copy), 0);
	assert_int_equal(ioctl(ufd, UFFDIO_WAKE, &range), 0);
	munmap(from, page);
}

static void an_access_to_a_missing_page_waits_until_it_is_supplied(void **state)
{
	int fd = missing_file(4 * PAGE), ufd = ufd_new();
	struct gm_map *map;
	const uint8_t *host;
	struct toucher t;

	(void)state;
	if (ufd < 0)
		skip();
	map = map_of(fd, 0, 4 * PAGE);
	host = map->regions[0].host;
	assert_int_equal(gm_map_watch(map, ufd), 0);
	toucher_start(&t, host + 2 * PAGE + 5);
	assert_int_equal(next_fault(ufd, PAGE), (uintptr_t)host + 2 * PAGE);
	assert_false(atomic_load(&t.done));
	supply(ufd, (uintptr_t)host + 2 * PAGE, PAGE, 0x5a);
	assert_int_equal(toucher_join(&t), 0x5a);
	assert_int_equal(host[3 * PAGE - 1], 0x5a); /* it is there now: nobody waits */
	gm_map_unwatch(map, ufd);
	gm_map_free(map);
	close(ufd);
	close(fd);
}

static void an_access_that_waits_goes_on_when_the_map_is_unwatched(void **state)
{
	int fd = missing_file(4 * PAGE), ufd = ufd_new();
	struct toucher t[2];
	struct gm_map *map;

	(void)state;
	if (ufd < 0)
		skip();
	map = map_of(fd, 0, 4 * PAGE);
	assert_int_equal(gm_map_watch(map, ufd), 0);
	for (unsigned i = 0; i < 2; i++) {
		toucher_start(&t[i], map->regions[0].host + i * PAGE);
		assert_int_equal(next_fault(ufd, PAGE), (uintptr_t)map->regions[0].host + i * PAGE);
	}
	gm_map_unwatch(map, ufd);
	assert_int_equal(toucher_join(&t[0]), 0);
	assert_int_equal(toucher_join(&t[1]), 0);
	assert_false(is_watched(map, 0));
	gm_map_unwatch(map, ufd); /* harmless */
	gm_map_free(map);
	close(ufd);
	close(fd);
}

static void a_map_that_is_cut_off_keeps_nobody_waiting_and_fills_no_page(void **state)
{
	int fd = missing_file(4 * PAGE), ufd = ufd_new();
	struct toucher t[2];
	struct gm_map *map;
	uint8_t *host;

	(void)state;
	if (ufd < 0)
		skip();
	assert_int_equal(pwrite(fd, "x", 1, 3 * PAGE), 1);
	map = map_of(fd, 0, 4 * PAGE);
	host = map->regions[0].host;
	assert_int_equal(gm_map_watch(map, ufd), 0);
	for (unsigned i = 0; i < 2; i++) {
		toucher_start(&t[i], host + i * PAGE);
		assert_int_equal(next_fault(ufd, PAGE), (uintptr_t)host + i * PAGE);
	}
	assert_int_equal(host[3 * PAGE], 'x');
	gm_map_detach(map, ufd);
	assert_int_equal(toucher_join(&t[0]), 0);
	assert_int_equal(toucher_join(&t[1]), 0);
	host[2 * PAGE] = 1;
	assert_int_equal(host[3 * PAGE], 0);
	/* The file has the one page that it had. */
	assert_int_equal(lseek(fd, 0, SEEK_DATA), 3 * PAGE);
	gm_map_detach(map, ufd); /* harmless */
	gm_map_free(map);
	close(ufd);
	close(fd);
}

static void every_region_is_watched_whatever_page_it_starts_in(void **state)
{
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = PAGE, .uva = UVA, .mmap_offset = 100},
		{.gpa = PAGE, .size = PAGE, .uva = UVA + PAGE, .mmap_offset = PAGE + 100},
	};
	int fd = missing_file(4 * PAGE), fds[2] = {fd, fd}, ufd = ufd_new();
	struct gm_map *map;

	(void)state;
	if (ufd < 0)
		skip();
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	assert_int_equal(gm_map_watch(map, ufd), 0);
	for (unsigned i = 0; i < 2; i++) {
		uintptr_t last = (uintptr_t)gm_region_find(map, i * PAGE)->host + PAGE - 1;
		struct toucher t;

		toucher_start(&t, (uint8_t *)last);
		assert_int_equal(next_fault(ufd, PAGE), last & ~(uintptr_t)(PAGE - 1));
		supply(ufd, last & ~(uintptr_t)(PAGE - 1), PAGE, 7 + (int)i);
		assert_int_equal(toucher_join(&t), 7 + i);
	}
	gm_map_unwatch(map, ufd);
	gm_map_free(map);
	close(ufd);
	close(fd);
}

static void huge_pages_are_waited_for_as_a_whole(void **state)
{
	struct gm_region_desc d = {.gpa = 0, .size = HUGE, .uva = UVA, .mmap_offset = HUGE / 2};
	int fd = huge_file_new(2), ufd = ufd_new();
	struct gm_map *map;
	struct toucher t;
	uintptr_t page;

	(void)state;
	if (fd < 0 || ufd < 0)
		skip();
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), 0);
	assert_int_equal(gm_map_watch(map, ufd), 0);
	toucher_start(&t, map->regions[0].host + HUGE - 1);
	page = next_fault(ufd, HUGE);
	assert_int_equal(page, (uintptr_t)map->regions[0].host + HUGE / 2);
	supply(ufd, page, HUGE, 0x33);
	assert_int_equal(toucher_join(&t), 0x33);
	gm_map_unwatch(map, ufd);
	gm_map_free(map);
	close(ufd);
	close(fd);
}

static void a_map_that_cannot_be_watched_is_not_watched_in_part(void **state)
{
	int fd = missing_file(PAGE), ufd = ufd_new(), other = ufd_new();
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = PAGE, .uva = UVA},
		{.gpa = PAGE, .size = PAGE, .uva = UVA + PAGE},
	};
	int fds[2] = {fd, fd};
	struct uffdio_register reg = {.range = {.len = PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	struct gm_map *map;

	(void)state;
	if (ufd < 0 || other < 0)
		skip();
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	reg.range.start = (uintptr_t)map->regions[1].host;
	assert_int_equal(ioctl(other, UFFDIO_REGISTER, &reg), 0);
	assert_int_equal(gm_map_watch(map, ufd), -EBUSY);
	assert_false(is_watched(map, 0));
	close(other);
	assert_int_equal(gm_map_watch(map, -1), -EBADF);
	assert_int_equal(gm_map_watch(map, ufd), 0);
	assert_true(is_watched(map, 0));
	assert_true(is_watched(map, 1));
	gm_map_unwatch(map, ufd);
	assert_false(is_watched(map, 0));
	assert_false(is_watched(map, 1));
	gm_map_free(map);
	close(ufd);
	close(fd);
}

static void a_region_that_is_added_joins_those_that_are_watched(void **state)
{
	int fd = missing_file(2 * PAGE), ufd = ufd_new(), other = ufd_new();
	struct gm_region_desc added = {
		.gpa = PAGE, .size = PAGE, .uva = UVA + PAGE, .mmap_offset = PAGE};
	struct uffdio_register reg = {.range = {.len = PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	struct gm_map *one, *two;
	struct toucher t;

	(void)state;
	if (ufd < 0 || other < 0)
		skip();
	one = map_of(fd, 0, PAGE);
	assert_int_equal(gm_map_watch(one, ufd), 0);
	assert_int_equal(gm_map_add(NULL, one, &added, fd, &two), 0);
	/* Where it fails, the old map stays watched. */
	reg.range.start = (uintptr_t)two->regions[1].host;
	assert_int_equal(ioctl(other, UFFDIO_REGISTER, &reg), 0);
	assert_int_equal(gm_map_watch(two, ufd), -EBUSY);
	assert_true(is_watched(one, 0));
	close(other);
	assert_int_equal(gm_map_watch(two, ufd), 0);
	gm_map_free(one);
	for (unsigned i = 0; i < 2; i++) {
		toucher_start(&t, two->regions[i].host);
		assert_int_equal(next_fault(ufd, PAGE), (uintptr_t)two->regions[i].host);
		supply(ufd, (uintptr_t)two->regions[i].host, PAGE, 9);
		assert_int_equal(toucher_join(&t), 9);
	}
	gm_map_unwatch(two, ufd);
	gm_map_free(two);
	close(ufd);
	close(fd);
}

static void a_page_supplied_to_the_first_mapping_is_there_in_the_second(void **state)
{
	int fd = missing_file(2 * PAGE), fds[2] = {fd, fd}, ufd = ufd_new();
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = PAGE, .uva = UVA, .mmap_offset = PAGE},
		{.gpa = PAGE, .size = PAGE, .uva = UVA + PAGE},
	};
	struct gm_space space = {.kind = GM_GPA};
	struct gm_linear lin = {0};
	uint64_t missing;
	struct gm_map *map;

	(void)state;
	if (ufd < 0)
		skip();
	assert_int_equal(gm_map_new(NULL, d, fds, 2, NULL, &map), 0);
	space.map = map;
	assert_int_equal(gm_map_watch(map, ufd), 0);
	assert_int_equal(gm_linear_get(&space, PAGE - 50, 100, &lin, &missing), 0);
	assert_non_null(lin.map_base);
	for (unsigned i = 0; i < 2; i++) {
		uintptr_t page = (uintptr_t)map->regions[i].host;
		struct toucher t;

		toucher_start(&t, map->regions[i].host);
		assert_int_equal(next_fault(ufd, PAGE), page);
		supply(ufd, page, PAGE, 0x21 + (int)i);
		assert_int_equal(toucher_join(&t), 0x21 + i);
		assert_int_equal(lin.host[i ? 99 : 0], 0x21 + i);
	}
	gm_linear_put(&lin);
	gm_map_unwatch(map, ufd);
	gm_map_free(map);
	close(ufd);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_access_to_a_missing_page_waits_until_it_is_supplied),
		cmocka_unit_test(an_access_that_waits_goes_on_when_the_map_is_unwatched),
		cmocka_unit_test(a_map_that_is_cut_off_keeps_nobody_waiting_and_fills_no_page),
		cmocka_unit_test(every_region_is_watched_whatever_page_it_starts_in),
		cmocka_unit_test(huge_pages_are_waited_for_as_a_whole),
		cmocka_unit_test(a_map_that_cannot_be_watched_is_not_watched_in_part),
		cmocka_unit_test(a_region_that_is_added_joins_those_that_are_watched),
		cmocka_unit_test(a_page_supplied_to_the_first_mapping_is_there_in_the_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
