/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * NUMA: which node a CPU and a piece of memory belong to, and memory that can be put on a node.
 *
 * All of it is advice. A machine with one node, a kernel without NUMA, a container that may not ask:
 * each of them works, and answers as one node, or with "unknown" (RW_NUMA_UNKNOWN), which callers treat
 * as "near". Only the control thread asks, when queues start or move.
 */
#include "rw_base.h"

#define RW_NUMA_UNKNOWN (-1)

/* The node of a CPU. */
int rw_numa_node_of_cpu(unsigned cpu);

/*
 * The node of the page at `p`, which is not touched: a page that this process has not used yet has
 * none.
 */
int rw_numa_node_of(const void *p);

/*
 * Whole pages that nothing else lies in. The address within the first of them differs from one block
 * to the next, or the same field of a hundred blocks would compete for one set of the cache.
 */
struct rw_pages {
	void *map;
	size_t len; /* bytes */
	bool bound; /* to a node, at some time */
};

/* `size` bytes, zero, aligned to a cache line, with `*pages` for the functions below; or NULL. */
void *rw_pages_alloc(size_t size, struct rw_pages *pages);
/* Harmless on a zeroed one. */
void rw_pages_free(struct rw_pages *pages);

/* Under AddressSanitizer: that nobody may touch these bytes of such pages. */
void rw_guard(void *p, size_t len);

/*
 * Have these pages on a node, the present ones and those still to be used; pointers stay. Whoever uses
 * them meanwhile only waits. 0 or -errno: they are where they were.
 */
int rw_pages_bind(struct rw_pages *pages, int node);

/* What all this asks of the machine; tests play one with several nodes. */
struct rw_numa_ops {
	int (*node_of_cpu)(unsigned cpu);
	int (*node_of)(const void *p);
	/* Whole pages; RW_NUMA_UNKNOWN: back to where whoever uses them is. 0 or -errno. */
	int (*bind)(void *p, size_t len, int node);
};

/* The kernel. */
extern const struct rw_numa_ops rw_numa_kernel;

/*
 * Ask `ops` from now on; NULL: what is right for this machine, the kernel only if it has several nodes.
 * Thread: control, before anybody else runs.
 */
void rw_numa_use(const struct rw_numa_ops *ops);
