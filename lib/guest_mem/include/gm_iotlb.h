/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The IOTLB: what the front-end told us about a guest's IOMMU (VIRTIO_F_ACCESS_PLATFORM). Ranges of
 * I/O virtual addresses, each with a permission and resolved to our pointers when it is entered.
 *
 * Workers read an immutable view: a sorted array behind one pointer. Control builds the next view
 * and swaps the pointer; the old one is freed by gm_iotlb_reclaim, which control calls after every
 * worker has passed a quiescent point. A range that is not there is a miss, never an error: the
 * front-end is asked for it, and answers when it can.
 *
 * Threads: control, but gm_iotlb_view and gm_iotlb_at are for workers.
 */
#include "guest_mem.h"

/* Permissions, as in the messages: vhost_iotlb_msg.perm. */
#define GM_READ  1u
#define GM_WRITE 2u

/*
 * Most entries of an IOTLB. When it is full the oldest are forgotten: the front-end is asked again.
 * A guest in strict mode has one for each posted buffer. Every change copies the entries: one
 * invalidation and one update together take 1.3 us with 512 of them, 32 us with 8192.
 */
#define GM_IOTLB_MAX 8192

struct gm_iotlb_entry {
	uint64_t iova;
	uint64_t size; /* bytes; within one region, so contiguous at `host` */
	uint64_t uva;
	uint8_t *host;
	uint64_t age; /* counts updates: the smallest is the oldest */
	uint8_t perm;
};

/* Immutable while a worker may hold it. By iova, not overlapping. */
struct gm_iotlb_view {
	uint64_t generation; /* not 0, and no other view's ever: a cache of another one is void */
	struct gm_iotlb_view *retired_next; /* control's alone */
	uint32_t n;
	struct gm_iotlb_entry entries[];
};

struct gm_iotlb;

/* An empty IOTLB. NULL: no memory. */
struct gm_iotlb *gm_iotlb_new(void);
/* No worker holds a view any more. NULL is fine. */
void gm_iotlb_free(struct gm_iotlb *tlb);

/*
 * At most `max` entries from the next change on, 1 to GM_IOTLB_MAX; at first GM_IOTLB_MAX. Values
 * out of range are taken for the nearest in range.
 */
void gm_iotlb_limit(struct gm_iotlb *tlb, uint64_t max);
/* How many entries were forgotten for want of room since the last call. */
uint64_t gm_iotlb_take_evicted(struct gm_iotlb *tlb);

/*
 * Enter [iova, iova + size) -> front-end addresses from `uva` on, replacing what it overlaps. A
 * range that crosses regions becomes several entries. 0; -EINVAL: empty, wraps, or no or an unknown
 * permission; -EFAULT: not all of it is in `map`; -ENOMEM. On failure nothing changed.
 */
int gm_iotlb_update(struct gm_iotlb *tlb, const struct gm_map *map, uint64_t iova, uint64_t size,
	uint64_t uva, uint8_t perm);
/*
 * Enter the entries of another IOTLB, by iova and without overlap, in the place of all that are
 * here: all of each but `host`. Those that are not in `map` are left out. 0; -EINVAL or -ENOMEM:
 * nothing changed.
 */
int gm_iotlb_fill(struct gm_iotlb *tlb, const struct gm_map *map,
	const struct gm_iotlb_entry *entries, uint32_t n);
/*
 * Forget [iova, iova + size), exactly: an entry that reaches over an end keeps the rest. A size of
 * 0, or one that wraps, means up to the end of the address space. 0, or -ENOMEM: nothing changed.
 */
int gm_iotlb_invalidate(struct gm_iotlb *tlb, uint64_t iova, uint64_t size);
/*
 * Resolve all entries anew in `map`; those that are not in one region of it are forgotten. Changes
 * the present view in place: only while no worker holds it. Cannot fail, so no pointer into a map
 * that goes away is left behind.
 */
void gm_iotlb_remap(struct gm_iotlb *tlb, const struct gm_map *map);
/* Free the views that were replaced: every worker has passed a quiescent point since. */
void gm_iotlb_reclaim(struct gm_iotlb *tlb);
/* Views that wait for that; an owner that need not wait may let a few of them gather. */
unsigned gm_iotlb_retired(const struct gm_iotlb *tlb);

/* The present view, valid until the caller's next quiescent point. Thread: any. */
const struct gm_iotlb_view *gm_iotlb_view(const struct gm_iotlb *tlb);

/* The entry that holds `iova`, or NULL. Binary search. */
const struct gm_iotlb_entry *gm_iotlb_find(const struct gm_iotlb_view *view, uint64_t iova);

/*
 * The range that was looked up last, one for each user and thread; zero-initialised it is empty. It
 * is void under another generation.
 */
struct gm_iotlb_cache {
	uint64_t generation;
	uint64_t iova;
	uint64_t size;
	uint8_t *host;
	uint8_t perm;
};

/* The slow path of gm_iotlb_at. */
void *gm_iotlb_at_slow(const struct gm_iotlb_view *view, struct gm_iotlb_cache *cache,
	uint64_t iova, uint8_t perm, uint64_t *len);

/*
 * Where `iova` is, for an access that needs all of `perm`; NULL: a miss. `*len` is cut to what is
 * contiguous from there, as by gm_at; that may be in more entries than one. Thread: worker.
 */
static inline void *gm_iotlb_at(const struct gm_iotlb_view *view, struct gm_iotlb_cache *cache,
	uint64_t iova, uint8_t perm, uint64_t *len)
{
	uint64_t off = iova - cache->iova;

	if (rw_likely(off < cache->size && *len <= cache->size - off &&
		    cache->generation == view->generation && !(perm & ~cache->perm)))
		return cache->host + off;
	return gm_iotlb_at_slow(view, cache, iova, perm, len);
}
