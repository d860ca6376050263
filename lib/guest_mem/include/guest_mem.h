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
 * What vanishes later is the business of gm_guard.h.
 *
 * Mappings are shared, writable and left out of core dumps. Each region has one of its own, even if
 * two regions show the same bytes of a file: an address of ours belongs to one guest-physical
 * address.
 *
 * Thread: gm_map_* and gm_linear_* belong to the control thread; gm_at, gm_read and the other
 * look-ups may run anywhere while the caller keeps the map alive.
 */
#include "gm_guard.h"

/* What vhost-user allows with CONFIGURE_MEM_SLOTS; a single SET_MEM_TABLE carries 8. */
#define GM_MAX_REGIONS 509

/* A region as the front-end describes it (bytes; all ranges half-open). */
struct gm_region_desc {
	uint64_t gpa;         /* guest-physical start */
	uint64_t size;        /* length */
	uint64_t uva;         /* start in the front-end's address space */
	uint64_t mmap_offset; /* where the region starts in its file; need not be page-aligned */
};

/*
 * A file mapping, shared by every map that has the region. A map has a backing once at most, so an
 * address of ours belongs to one region. The descriptor stays open: a range that crosses two
 * backings is mapped a second time from both (gm_linear_get), and a resent table is recognised by
 * its file. Private to lib/guest_mem.
 */
struct gm_backing {
	uint32_t refs; /* maps that have a region on it; control thread only */
	int fd;        /* our duplicate */
	dev_t dev;     /* which file it is */
	ino_t ino;
	uint64_t offset; /* file offset of file.base, a multiple of file.page_size */
	struct gm_file file;
	bool watched; /* by a userfaultfd: gm_map_watch */
};

/* A mapped region. `host` is where `gpa` and `uva` are in our address space. */
struct gm_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint8_t *host;
	struct gm_backing *backing;
	uint32_t readds; /* how often gm_map_add added it after the first time */
};

struct gm_map {
	struct gm_owner *owner; /* or NULL */
	uint32_t nregions;
	uint16_t *by_uva;           /* indices of regions[], sorted by uva */
	uint16_t *by_host;          /* the same by host: each region has a mapping of its own */
	struct gm_region regions[]; /* by gpa, not overlapping in gpa nor in uva */
};

/*
 * Whether `map` (may be NULL) is what gm_map_new would make of these regions: the same addresses,
 * backed by the same parts of the same files.
 */
bool gm_map_is(
	const struct gm_map *map, const struct gm_region_desc *descs, const int *fds, uint32_t n);

/*
 * Map `n` regions, each from its own file in `fds`; mappings that `prev` (may be NULL) has already
 * are shared with it. The map keeps duplicates of what it needs: `fds` stay the caller's. `owner`:
 * gm_guard.h, the same as that of `prev`.
 * -EINVAL: n is 0 or too large, a region is empty, wraps, or overlaps another; otherwise what
 * gm_file_map says.
 */
int gm_map_new(struct gm_owner *owner, const struct gm_region_desc *descs, const int *fds,
	uint32_t n, const struct gm_map *prev, struct gm_map **out);

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
 * what is contiguous from there: the caller asks again for the rest, which may be in another
 * region.
 */
static inline void *gm_at(
	const struct gm_map *map, struct gm_cache *cache, uint64_t gpa, uint64_t *len)
{
	uint64_t off = gpa - cache->gpa;

	if (rw_likely(off < cache->size && *len <= cache->size - off))
		return cache->host + off;
	return gm_at_slow(map, cache, gpa, len);
}

/*
 * Whether [gpa, gpa + len), not empty, is all in the region used last: then it is at gm_cache_at.
 */
static inline bool gm_cache_has(const struct gm_cache *cache, uint64_t gpa, uint32_t len)
{
	uint64_t off = gpa - cache->gpa;

	/* Of length 0, the subtraction gives more than any region has. */
	return off < cache->size && (uint64_t)len - 1 < cache->size - off;
}

static inline uint8_t *gm_cache_at(const struct gm_cache *cache, uint64_t gpa)
{
	return cache->host + (gpa - cache->gpa);
}

/* Which byte of which file is at an address of ours. */
struct gm_origin {
	dev_t dev;
	ino_t ino;
	uint64_t offset;
};
/* False: `host` is in no region's mapping, but perhaps in one that joins several. */
bool gm_origin_of(const struct gm_map *map, const void *host, struct gm_origin *out);

/* The region that holds user address `uva`, or NULL. */
const struct gm_region *gm_region_by_uva(const struct gm_map *map, uint64_t uva);
/* The index in map->by_uva of that region, or map->nregions. */
uint32_t gm_uva_index(const struct gm_map *map, uint64_t uva);

/* Copy `len` bytes at guest-physical `gpa`, across regions if need be. 0 or -EFAULT. */
int gm_read(const struct gm_map *map, uint64_t gpa, void *dst, uint64_t len);

/* The user address `uva` as guest-physical address. 0 or -EFAULT. */
int gm_uva_to_gpa(const struct gm_map *map, uint64_t uva, uint64_t *gpa);

/* Where `uva` of the front-end is in our memory, or NULL; `*len` is cut as by gm_at. */
void *gm_at_uva(const struct gm_map *map, uint64_t uva, uint64_t *len);

/*
 * The guest-physical address of the byte at `host`, which gm_at or gm_iotlb_at gave. `*len` is cut
 * to what stays in the region. 0 or -EFAULT. Thread: any; `hint` is the cache of the caller, an
 * index of the region used last: any value does, 0 to begin with.
 */
int gm_host_to_gpa(
	const struct gm_map *map, const void *host, uint64_t *len, uint64_t *gpa, uint32_t *hint);

/*
 * `prev` with one region more, or without one of its regions (the one with the same gpa, uva and
 * size; its mmap_offset is ignored). The mappings of all others are shared with `prev`, which stays
 * as it is. As gm_map_new; gm_map_add takes NULL for an empty map; gm_map_remove: -ENOENT: there is
 * no such region. Removing the last region leaves an empty map. A region that is added again, the
 * same in every respect, is counted and goes with as many removals: QEMU 7.2 adds and removes each
 * one once for every queue pair.
 */
int gm_map_add(struct gm_owner *owner, const struct gm_map *prev, const struct gm_region_desc *desc,
	int fd, struct gm_map **out);
int gm_map_remove(
	const struct gm_map *prev, const struct gm_region_desc *desc, struct gm_map **out);
/* `prev` as if gm_map_add had added that region of it `n` times more. -ENOENT, -EINVAL, -ENOMEM. */
int gm_map_readd(const struct gm_map *prev, const struct gm_region_desc *desc, uint32_t n,
	struct gm_map **out);

/*
 * How region `i` was described, for a map of the same memory elsewhere, and its file, which stays
 * the map's.
 */
int gm_map_describe(const struct gm_map *map, uint32_t i, struct gm_region_desc *desc);

/*
 * Register all regions with userfaultfd `ufd` (post-copy migration): a thread that touches a
 * missing page waits until the front-end has supplied it. gm_map_unwatch undoes that and wakes
 * every thread that waits, which continues with zero pages unless the front-end has supplied the
 * right ones. 0 or -errno; after a failure no region is registered, except the mappings that
 * another map, registered before, shares with this one. Unregister before `ufd` is closed.
 */
int gm_map_watch(const struct gm_map *map, int ufd);
void gm_map_unwatch(const struct gm_map *map, int ufd);
/*
 * As gm_map_unwatch, for a front-end that supplies no more pages although some are missing. A
 * thread that continues would fill them with zeros, which the guest would take for its memory. So
 * each registered mapping is replaced by memory of our own, which the guest does not see: threads
 * can finish, then the map is freed.
 */
void gm_map_detach(const struct gm_map *map, int ufd);

/* The kind of address that the front-end gives for a ring. */
enum gm_kind {
	GM_UVA,  /* its own user address */
	GM_GPA,  /* guest-physical (GPA_ADDRESSES) */
	GM_IOVA, /* through the IOTLB (ACCESS_PLATFORM) */
};

struct gm_iotlb_view;

/* An address space in which rings are given. */
struct gm_space {
	enum gm_kind kind;
	const struct gm_map *map;
	const struct gm_iotlb_view *view; /* GM_IOVA only */
};

/*
 * A range of a space as one contiguous range of ours. Rings need that: they are accessed as arrays,
 * yet may lie across two regions, or pages of the IOMMU. Where our mappings are not contiguous
 * there, the pages are mapped once more, side by side.
 */
struct gm_linear {
	uint8_t *host;  /* the range's first byte */
	void *map_base; /* NULL: `host` points into a region's own mapping */
	size_t map_len;
	uint32_t slot;              /* gm_guard.h */
	uint32_t mappings;          /* charged, and `map_len` bytes, ... */
	struct rw_budgets *budgets; /* ... to these */
};

/*
 * Resolve [addr, addr + len). `out` stays valid until gm_linear_put, which must come before the map
 * is freed. -EFAULT: part of the range is in no region; -EAGAIN: GM_IOVA, and `*missing` is not in
 * the IOTLB with permission to read and write; -ENOTSUP: two pieces meet inside a page of different
 * files, or inside a huge page; -EDQUOT: the map owner's budget is used up; or what mmap said.
 *
 * Pages that are mapped once more are not registered with a userfaultfd there: an access to a
 * missing one would fill it with zeros. While the map is watched, touch them through the first
 * mapping before.
 */
int gm_linear_get(const struct gm_space *space, uint64_t addr, uint64_t len, struct gm_linear *out,
	uint64_t *missing);
/* Harmless on a zeroed structure. */
void gm_linear_put(struct gm_linear *lin);

/* A stretch of bytes of ours and the guest-physical address they have. */
struct gm_piece {
	const uint8_t *host;
	uint64_t len;
	uint64_t gpa;
};

/*
 * What lies behind a resolved range, in order, for the dirty log: at most `max` pieces into
 * `pieces`, contiguous ones merged. How many there are (which may be more than `max`), or -EFAULT,
 * -EAGAIN.
 */
int gm_linear_pieces(const struct gm_space *space, uint64_t addr, uint64_t len,
	const struct gm_linear *lin, struct gm_piece *pieces, unsigned max);
