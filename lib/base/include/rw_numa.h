/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * NUMA: which node a CPU and a piece of memory belong to, and memory that can be put on a node.
 *
 * All of it is a hint. A machine with one node, a kernel without NUMA and a container that may not
 * ask work as well: they answer as one node, or with RW_NUMA_UNKNOWN, which callers treat as near.
 * Only the control thread asks, when queues start or move.
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
 * A block of whole pages. Its first byte has another offset in its page than the block before:
 * otherwise the same field of a hundred blocks would compete for one set of the cache.
 */
struct rw_pages {
	void *map;
	size_t len; /* bytes */
};

/*
 * `size` bytes, zero, aligned to a cache line, with `*pages` for the functions below; or NULL. A
 * page takes memory when it is used first.
 */
void *rw_pages_alloc(size_t size, struct rw_pages *pages);
/* Harmless on a zeroed one. */
void rw_pages_free(struct rw_pages *pages);

/* Under AddressSanitizer: that nobody may touch these bytes of such pages. */
void rw_guard(void *p, size_t len);

/*
 * Bind the pages to a node and move those that are present; pointers stay valid. A thread that uses
 * one of them meanwhile waits. 0 or -errno: they stay where they were.
 */
int rw_pages_bind(struct rw_pages *pages, int node);

/* What this file asks of the machine. Tests replace it by a machine with several nodes. */
struct rw_numa_ops {
	int (*node_of_cpu)(unsigned cpu);
	int (*node_of)(const void *p);
	/* Whole pages; RW_NUMA_UNKNOWN: back to the node of the CPU that uses them. 0 or -errno. */
	int (*bind)(void *p, size_t len, int node);
};

/* The kernel. */
extern const struct rw_numa_ops rw_numa_kernel;

/*
 * Ask `ops` from now on; NULL: what is right for this machine, the kernel only if it has several
 * nodes. Thread: control, before anybody else runs.
 */
void rw_numa_use(const struct rw_numa_ops *ops);
