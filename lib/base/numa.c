/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rw_numa.h"
#include "rw_sys.h"

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, len)   ((void)(p), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(p, len) ((void)(p), (void)(len))
#endif

/*
 * Blocks begin at different lines of their pages, 32 of 4 KiB. The step is an odd number of pairs
 * of lines: every offset is used.
 */
#define COLOUR_STEP (5 * 2 * RW_CACHE_LINE)

static int kernel_node_of_cpu(unsigned cpu)
{
	int node = numa_node_of_cpu((int)cpu);

	return node < 0 ? RW_NUMA_UNKNOWN : node;
}

static int kernel_node_of(const void *p)
{
	void *page = (void *)((uintptr_t)p & ~(uintptr_t)(rw_page_size() - 1));
	int status = -ENOENT;

	/*
	 * Without target nodes it only tells. Unlike get_mempolicy it leaves absent pages absent.
	 */
	if (move_pages(0, 1, &page, NULL, &status, 0) || status < 0)
		return RW_NUMA_UNKNOWN;
	return status;
}

static int kernel_bind(void *p, size_t len, int node)
{
	struct bitmask *mask;
	int ret = 0;

	if (node == RW_NUMA_UNKNOWN)
		return mbind(p, len, MPOL_DEFAULT, NULL, 0, 0) ? -errno : 0;
	if (node < 0 || node > numa_max_node())
		return -EINVAL;
	mask = numa_allocate_nodemask();
	numa_bitmask_setbit(mask, (unsigned)node);
	/* Preferred: on a full node it lands elsewhere, which is better than nowhere. */
	if (mbind(p, len, MPOL_PREFERRED, mask->maskp, mask->size + 1, MPOL_MF_MOVE))
		ret = -errno;
	numa_free_nodemask(mask);
	return ret;
}

const struct rw_numa_ops rw_numa_kernel = {
	.node_of_cpu = kernel_node_of_cpu,
	.node_of = kernel_node_of,
	.bind = kernel_bind,
};

static int single_node_of_cpu(unsigned cpu)
{
	(void)cpu;
	return 0;
}

static int single_node_of(const void *p)
{
	(void)p;
	return 0;
}

static int single_bind(void *p, size_t len, int node)
{
	(void)p, (void)len, (void)node;
	return 0;
}

static const struct rw_numa_ops single = {
	.node_of_cpu = single_node_of_cpu,
	.node_of = single_node_of,
	.bind = single_bind,
};

static bool has_nodes(void)
{
	return numa_available() >= 0 && numa_num_configured_nodes() > 1;
}

static const struct rw_numa_ops *in_use;

void rw_numa_use(const struct rw_numa_ops *ops)
{
	in_use = ops;
}

static const struct rw_numa_ops *numa(void)
{
	if (!in_use)
		in_use = has_nodes() ? &rw_numa_kernel : &single;
	return in_use;
}

int rw_numa_node_of_cpu(unsigned cpu)
{
	return numa()->node_of_cpu(cpu);
}

int rw_numa_node_of(const void *p)
{
	return numa()->node_of(p);
}

void *rw_pages_alloc(size_t size, struct rw_pages *pages)
{
	static uint32_t blocks;
	const size_t page = rw_page_size();
	size_t first = __atomic_fetch_add(&blocks, 1, __ATOMIC_RELAXED) * COLOUR_STEP % page;
	size_t len;
	void *map;

	if (!size || size > SIZE_MAX - 2 * page)
		return NULL;
	len = rw_align_up(first + size, page);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);
	if (map == MAP_FAILED)
		return NULL;
	/* A huge page would be there as a whole once a byte of it is used. */
	madvise(map, len, MADV_NOHUGEPAGE);
	*pages = (struct rw_pages){.map = map, .len = len};
	rw_guard(map, first);
	rw_guard((uint8_t *)map + first + size, len - first - size);
	return (uint8_t *)map + first;
}

void rw_guard(void *p, size_t len)
{
	ASAN_POISON_MEMORY_REGION(p, len);
}

void rw_pages_free(struct rw_pages *pages)
{
	if (!pages->map)
		return;
	ASAN_UNPOISON_MEMORY_REGION(pages->map, pages->len);
	munmap(pages->map, pages->len);
	*pages = (struct rw_pages){0};
}

int rw_pages_bind(struct rw_pages *pages, int node)
{
	if (node == RW_NUMA_UNKNOWN)
		return 0;
	return numa()->bind(pages->map, pages->len, node);
}
