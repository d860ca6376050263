/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Memory that a guest shares: regions of files, mapped one after the other.
 *
 * Guest-physical addresses, the front-end's "user addresses" and our pointers are three unrelated
 * numbers, so a back-end that mixes them up fails at once. Regions that follow each other in
 * guest-physical memory do so in our memory too, and anything may straddle their border.
 *
 * Memory can be scattered: then what follows each other for the guest's software (and for us) are
 * pages from all over the region, as in a real guest. The addresses by which the functions here lay
 * things out and find them are those of the software; fe_mem_gpa says where they are physically.
 * Without scattering the two are the same numbers.
 *
 * Thread: one at a time; the look-ups may run in several.
 */
#include "rw_base.h"
#include "vu_wire.h"

/*
 * What a back-end with CONFIGURE_MEM_SLOTS takes; one SET_MEM_TABLE carries VU_MAX_TABLE_REGIONS.
 */
#define FE_MAX_REGIONS 509

#define FE_PAGE 4096ull

struct fe_region_config {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t mmap_offset; /* where the region starts in its file, in whole pages */
	bool same_file;       /* as the previous region, instead of a file of its own */
};

struct fe_region {
	struct fe_region_config c;
	uint8_t *host;   /* the region's first byte */
	uint32_t *order; /* scattered: page i at `host` is page order[i] of the region; or NULL */
	uint64_t iova;   /* where it begins for the device when all memory is mapped at once */
	int fd;
	bool own;    /* mapped apart from the range of all */
	bool shared; /* ADD_MEM_REG said so on this connection */
};

struct fe_mem {
	uint32_t nregions;
	struct fe_region *regions; /* FE_MAX_REGIONS */
	void *base;                /* our address range that holds the first regions */
	size_t len;
	uint64_t next; /* address from which fe_mem_alloc looks */
};

/* Map the regions of `config`. */
int fe_mem_init(struct fe_mem *m, const struct fe_region_config *regions, uint32_t n, bool hugetlb);
void fe_mem_fini(struct fe_mem *m);

/* Scatter the pages of every region; nothing is in them yet. Not on huge pages. 0 or -errno. */
int fe_mem_scatter(struct fe_mem *m, uint32_t seed);

/* One region more, behind the others. 0, -ENOSPC, or as fe_mem_init. */
int fe_mem_add(struct fe_mem *m, const struct fe_region_config *region);
/* Without region `i`: those behind it move up. Nobody looks at it any more. */
void fe_mem_remove(struct fe_mem *m, uint32_t i);

/* Our pointer to [addr, addr + len), or NULL when that is not all guest memory in one stretch. */
void *fe_mem_at(const struct fe_mem *m, uint64_t addr, uint64_t len);

/* The guest-physical address of `addr`, or UINT64_MAX. */
uint64_t fe_mem_gpa(const struct fe_mem *m, uint64_t addr);

/* The address at which our pointer `p` is, or UINT64_MAX. */
uint64_t fe_mem_addr(const struct fe_mem *m, const void *p);

/* The user address of `addr`, or UINT64_MAX; fe_mem_gpa_uva: of a guest-physical address. */
uint64_t fe_mem_uva(const struct fe_mem *m, uint64_t addr);
uint64_t fe_mem_gpa_uva(const struct fe_mem *m, uint64_t gpa);

/* Bytes from `addr` to the end of its stretch of regions that follow each other everywhere. */
uint64_t fe_mem_stretch(const struct fe_mem *m, uint64_t addr);

/* The next `len` bytes from m->next on, at a multiple of `align`. The address, or UINT64_MAX. */
uint64_t fe_mem_alloc(struct fe_mem *m, uint64_t len, uint64_t align);

/*
 * What SET_MEM_TABLE says of `m`: its first regions, as many as fit. The descriptors stay the
 * guest's.
 */
void fe_mem_table(const struct fe_mem *m, struct vu_mem_table *table, int fds[FE_MAX_REGIONS]);

/* What ADD_MEM_REG and REM_MEM_REG say of region `i`. */
struct vu_mem_region fe_mem_wire(const struct fe_mem *m, uint32_t i);

/*
 * Memory that nobody may write: fe_poison fills it, fe_is_poison tells whether it still is as it
 * was filled. The pattern depends on the place, so that moved bytes show.
 */
void fe_poison(void *p, size_t len);
bool fe_is_poison(const void *p, size_t len);
