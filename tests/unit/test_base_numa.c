/* SPDX-License-Identifier: BSD-3-Clause */
/* Nodes of CPUs and memory: asked of this machine, and of one that is played. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "rw_numa.h"

/* ---- pages ---- */

static void pages_are_zero_writable_and_nobody_elses(void **state)
{
	struct rw_pages pages[40];
	uint8_t *at[40];

	(void)state;
	for (size_t i = 0; i < 40; i++) {
		size_t size = 1 + i * 700;

		at[i] = rw_pages_alloc(size, &pages[i]);
		assert_non_null(at[i]);
		assert_int_equal((uintptr_t)at[i] % RW_CACHE_LINE, 0);
		assert_true(at[i] >= (uint8_t *)pages[i].map);
		assert_true(at[i] + size <= (uint8_t *)pages[i].map + pages[i].len);
		for (size_t k = 0; k < size; k++)
			assert_int_equal(at[i][k], 0);
		memset(at[i], 0xaa, size);
	}
	for (size_t i = 0; i < 40; i++) {
		for (size_t k = 0; k < 40; k++)
			assert_true(i == k || pages[i].map != pages[k].map);
		rw_pages_free(&pages[i]);
		rw_pages_free(&pages[i]);
	}
}

static void blocks_begin_at_all_lines_of_a_page_alike(void **state)
{
	struct rw_pages pages[64];
	unsigned seen[32] = {0};

	(void)state;
	for (int i = 0; i < 64; i++) {
		uint8_t *at = rw_pages_alloc(2000, &pages[i]);

		assert_non_null(at);
		seen[(uintptr_t)at % 4096 / 128]++;
	}
	for (int i = 0; i < 32; i++)
		assert_int_equal(seen[i], 2);
	for (int i = 0; i < 64; i++)
		rw_pages_free(&pages[i]);
}

/* Of a megabyte, what is touched takes memory. */
static void pages_that_nobody_uses_take_no_memory(void **state)
{
	const size_t len = 1 << 20;
	unsigned char present[1 + (1 << 20) / 4096];
	struct rw_pages pages;
	uint8_t *at = rw_pages_alloc(len, &pages);
	unsigned n = 0;

	(void)state;
	assert_non_null(at);
	at[0] = 1;
	at[len - 1] = 1;
	assert_true(pages.len / 4096 <= sizeof(present));
	assert_int_equal(mincore(pages.map, pages.len, present), 0);
	for (size_t i = 0; i < pages.len / 4096; i++)
		n += present[i] & 1;
	assert_in_range(n, 1, 2);
	rw_pages_free(&pages);
}

static void impossible_blocks_are_refused(void **state)
{
	struct rw_pages pages;

	(void)state;
	assert_null(rw_pages_alloc(0, &pages));
	assert_null(rw_pages_alloc(SIZE_MAX, &pages));
}

/* ---- this machine ---- */

static void this_machine_is_asked_without_harm(void **state)
{
	struct rw_pages pages;
	uint8_t *at = rw_pages_alloc(10000, &pages);
	int node;

	(void)state;
	rw_numa_use(NULL);
	assert_non_null(at);
	*at = 1;
	node = rw_numa_node_of(at);
	assert_true(node >= RW_NUMA_UNKNOWN);
	assert_true(rw_numa_node_of_cpu(0) >= RW_NUMA_UNKNOWN);
	rw_pages_bind(&pages, node);
	assert_int_equal(*at, 1);
	rw_pages_free(&pages);
}

/* A kernel without NUMA, or a container, says no; any other answers right. */
static void the_kernels_answers_are_understood(void **state)
{
	struct rw_pages pages;
	uint8_t *at = rw_pages_alloc(10000, &pages);
	void *fresh;
	int node, ret;

	(void)state;
	assert_non_null(at);
	/* Where nothing is, there is no node, and asking does not change that. */
	fresh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(fresh, MAP_FAILED);
	assert_int_equal(rw_numa_kernel.node_of(fresh), RW_NUMA_UNKNOWN);
	assert_int_equal(rw_numa_kernel.node_of(fresh), RW_NUMA_UNKNOWN);
	munmap(fresh, 4096);
	memset(at, 0x5a, 10000);
	node = rw_numa_kernel.node_of(at + 5000);
	assert_true(node >= RW_NUMA_UNKNOWN && node < 1024);
	if (node >= 0) {
		ret = rw_numa_kernel.bind(pages.map, pages.len, node);
		assert_true(!ret || ret == -EPERM || ret == -ENOSYS);
		assert_int_equal(rw_numa_kernel.node_of(at + 5000), node);
	}
	for (int i = 0; i < 10000; i++)
		assert_int_equal(at[i], 0x5a);
	ret = rw_numa_kernel.bind(pages.map, pages.len, RW_NUMA_UNKNOWN);
	assert_true(!ret || ret == -EPERM || ret == -ENOSYS);
	assert_true(rw_numa_kernel.bind(pages.map, pages.len, -2) < 0);
	assert_true(rw_numa_kernel.bind(pages.map, pages.len, 1023) < 0); /* no such node */
	assert_true(rw_numa_kernel.bind(pages.map, pages.len, 1024) < 0);
	assert_int_equal(rw_numa_kernel.node_of_cpu(100000), RW_NUMA_UNKNOWN);
	rw_pages_free(&pages);
}

/* ---- one that is played ---- */

static struct {
	void *p;
	size_t len;
	int node, calls;
} bound;

static int play_node_of_cpu(unsigned cpu)
{
	return (int)cpu % 2;
}

static int play_node_of(const void *p)
{
	(void)p;
	return 1;
}

static int play_place(void *p, size_t len, int node)
{
	bound.p = p;
	bound.len = len;
	bound.node = node;
	bound.calls++;
	return node == 3 ? -EPERM : 0;
}

static void another_machine_can_be_played(void **state)
{
	static const struct rw_numa_ops ops = {play_node_of_cpu, play_node_of, play_place};
	struct rw_pages pages;
	uint8_t *at = rw_pages_alloc(100, &pages);

	(void)state;
	assert_non_null(at);
	rw_numa_use(&ops);
	assert_int_equal(rw_numa_node_of_cpu(5), 1);
	assert_int_equal(rw_numa_node_of(at), 1);
	assert_int_equal(rw_pages_bind(&pages, 2), 0);
	assert_ptr_equal(bound.p, pages.map);
	assert_int_equal(bound.len, pages.len);
	assert_int_equal(bound.node, 2);
	assert_int_equal(rw_pages_bind(&pages, 3), -EPERM);
	/* An unknown node is no node. */
	assert_int_equal(rw_pages_bind(&pages, RW_NUMA_UNKNOWN), 0);
	assert_int_equal(bound.calls, 2);
	rw_pages_free(&pages);
	assert_int_equal(bound.calls, 2);
	rw_numa_use(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_zero_writable_and_nobody_elses),
		cmocka_unit_test(blocks_begin_at_all_lines_of_a_page_alike),
		cmocka_unit_test(pages_that_nobody_uses_take_no_memory),
		cmocka_unit_test(impossible_blocks_are_refused),
		cmocka_unit_test(this_machine_is_asked_without_harm),
		cmocka_unit_test(the_kernels_answers_are_understood),
		cmocka_unit_test(another_machine_can_be_played),
	};

	return cmocka_run_group_tests_name("base_numa", tests, NULL, NULL);
}
