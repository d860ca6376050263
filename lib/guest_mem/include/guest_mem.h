/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Guest memory: the table that turns a guest-physical address, or an address of the front-end's
 * own address space ("user address"), into a pointer of ours.
 *
 * A `struct gm_map` is immutable: workers read it without a lock, and the control thread replaces
 * it as a whole when the front-end sends a new memory table (vhost-user, "Memory region
 * description"). Regions that both tables have in common keep their mapping, so resending a table
 * or adding a region moves no page. The files of all regions are checked when they are mapped: a
 * region that reaches past the end of its file is refused, because touching it would raise SIGBUS.
 *
 * Mappings are shared, writable and left out of core dumps.
 *
 * Thread: gm_map_* and gm_linear_* belong to the control thread; gm_at, gm_read and the other
 * look-ups may run anywhere while the caller keeps the map alive.
 */
#include "rw_base.h"

/* What vhost-user allows with CONFIGURE_MEM_SLOTS; a single SET_MEM_TABLE carries 8. */
#define GM_MAX_REGIONS 509

/* A region as the front-end describes it (bytes; all ranges half-open). */
struct gm_region_desc {
	uint64_t gpa;         /* guest-physical start */
	uint64_t size;        /* length */
	uint64_t uva;         /* start in the front-end's address space */
	uint64_t mmap_offset; /* where the region starts in its file; need not be page-aligned */
};

struct gm_backing; /* one file mapping, shared by every map that has the region */

/* A mapped region. `host` is where `gpa` and `uva` are in our address space. */
struct gm_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint8_t *host;
	struct gm_backing *backing;
};

struct gm_map {
	uint32_t nregions;
	struct gm_region regions[]; /* by gpa, not overlapping in gpa nor in uva */
};

/*
 * Map `n` regions, each from its own file in `fds`; mappings that `prev` (may be NULL) has already
 * are shared with it. The map keeps duplicates of what it needs: `fds` stay the caller's.
 * -EINVAL: n is 0 or too large, a region is empty, wraps, or overlaps another;
 * -ENXIO: a region reaches past the end of its file; otherwise what mmap or fstat said.
 */
int gm_map_new(const struct gm_region_desc *descs, const int *fds, uint32_t n,
	const struct gm_map *prev, struct gm_map **out);

/* Release `map` and the mappings that no other map shares. NULL is fine. */
void gm_map_free(struct gm_map *map);

/* A memo of the region used last: one per user and thread, zero-initialised, reset by a new map. */
struct gm_cache {
	uint64_t gpa;  /* start of the region */
	uint64_t size; /* 0: empty memo */
	uint8_t *host;
};

/* The region that holds guest-physical `gpa`, or NULL. Binary search. */
const struct gm_region *gm_region_find(const struct gm_map *map, uint64_t gpa);

/* The slow path of gm_at. */
void *gm_at_slow(const struct gm_map *map, struct gm_cache *cache, uint64_t gpa, uint64_t *len);

/*
 * Where guest-physical `gpa` is; NULL when nothing is mapped there. `*len` (bytes wanted) is cut to
 * what is contiguous from there: the caller asks again for the rest, which may be in another region.
 */
static inline void *gm_at(
	const struct gm_map *map, struct gm_cache *cache, uint64_t gpa, uint64_t *len)
{
	uint64_t off = gpa - cache->gpa;

	if (rw_likely(off < cache->size && *len <= cache->size - off))
		return cache->host + off;
	return gm_at_slow(map, cache, gpa, len);
}

/* Copy `len` bytes at guest-physical `gpa`, across regions if need be. 0 or -EFAULT. */
int gm_read(const struct gm_map *map, uint64_t gpa, void *dst, uint64_t len);

/* The user address `uva` as guest-physical address. 0 or -EFAULT. */
int gm_uva_to_gpa(const struct gm_map *map, uint64_t uva, uint64_t *gpa);

/*
 * A range of user addresses as one contiguous range of ours. Rings need that: they are accessed as
 * arrays, yet may lie across two regions. Where our mappings are not contiguous there, the pages are
 * mapped once more, side by side.
 */
struct gm_linear {
	uint8_t *host;  /* the range's first byte */
	void *map_base; /* NULL: `host` points into a region's own mapping */
	size_t map_len;
};

/*
 * Resolve [uva, uva + len). `out` stays valid until gm_linear_put, which must come before the map
 * is freed. -EFAULT: part of the range is in no region; -ENOTSUP: two regions meet inside a page of
 * different files; or what mmap said.
 */
int gm_linear_get(const struct gm_map *map, uint64_t uva, uint64_t len, struct gm_linear *out);
/* Harmless on a zeroed structure. */
void gm_linear_put(struct gm_linear *lin);
