/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A guest's IOMMU: a page table from I/O virtual to guest-physical addresses, pages of 4 KiB, and
 * the allocation of I/O virtual addresses in a window of its own, which has nothing in common with
 * any other number.
 *
 * Between two allocations lies a page that is never mapped, so that an access beyond an end shows.
 * A range that is given back is the first to be handed out again, as in Linux: what a back-end
 * remembers of it, it then uses for the wrong page. `fresh` asks for the opposite.
 *
 * Thread: one at a time.
 */
#include "fe_mem.h"

#define FE_IOMMU_BASE 0x5a5a0000000ull

struct fe_iommu_page {
	uint64_t gpa; /* of the page */
	uint8_t perm; /* VU_IOTLB_READ | VU_IOTLB_WRITE; 0: not mapped */
	bool taken;   /* allocated */
};

#define FE_IOMMU_RECENT 64

struct fe_iommu {
	uint64_t base; /* first address of the window */
	uint32_t n;    /* its pages */
	uint32_t cursor;
	uint32_t mapped; /* pages */
	bool fresh;
	struct fe_iommu_page *pages; /* n */

	/* What was freed last: a stack. */
	struct {
		uint64_t iova;
		uint32_t n;
	} recent[FE_IOMMU_RECENT];
	uint32_t nrecent;
};

/* `base` in whole pages. 0; -EINVAL: an empty or wrapping window; -ENOMEM. */
int fe_iommu_init(struct fe_iommu *io, uint64_t base, uint32_t npages, bool fresh);
void fe_iommu_fini(struct fe_iommu *io);
/* Nothing mapped, nothing allocated. */
void fe_iommu_clear(struct fe_iommu *io);

/* `n` pages of address space. 0 or -ENOSPC. */
int fe_iommu_alloc(struct fe_iommu *io, uint32_t n, uint64_t *iova);
/* Give them back, unmapped; no device can use them any more. */
void fe_iommu_free(struct fe_iommu *io, uint64_t iova, uint32_t n);

/* Map or unmap one page. -EINVAL: outside the window. */
int fe_iommu_map(struct fe_iommu *io, uint64_t iova, uint64_t gpa, uint8_t perm);
int fe_iommu_unmap(struct fe_iommu *io, uint64_t iova);

/* The mapping of `iova`, or NULL: not mapped. */
const struct fe_iommu_page *fe_iommu_find(const struct fe_iommu *io, uint64_t iova);

/*
 * The longest run of pages from that of `iova` on, at most `max`, that are mapped alike: same
 * permission, consecutive guest-physical pages. 0: not mapped.
 */
uint32_t fe_iommu_run(const struct fe_iommu *io, uint64_t iova, uint32_t max);
