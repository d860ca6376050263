/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gm_iotlb.h"

struct gm_iotlb {
	struct gm_iotlb_view *view;    /* the present one; stored with release order */
	struct gm_iotlb_view *retired; /* workers may still read these */
	unsigned nretired;
	uint64_t age; /* of the last update */
	uint32_t max; /* entries */
	uint64_t evicted;
};

/*
 * One series for all IOTLBs: a cache that outlives its IOTLB cannot match a view of the next one.
 */
static uint64_t next_generation(void)
{
	static uint64_t last;

	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

/* An empty view with room for `room` entries, or NULL. */
static struct gm_iotlb_view *view_new(size_t room)
{
	struct gm_iotlb_view *view = malloc(sizeof(*view) + room * sizeof(view->entries[0]));

	if (!view)
		return NULL;
	view->generation = next_generation();
	view->retired_next = NULL;
	view->n = 0;
	return view;
}

struct gm_iotlb *gm_iotlb_new(void)
{
	struct gm_iotlb *tlb = calloc(1, sizeof(*tlb));

	if (!tlb)
		return NULL;
	tlb->max = GM_IOTLB_MAX;
	tlb->view = view_new(0);
	if (!tlb->view) {
		free(tlb);
		return NULL;
	}
	return tlb;
}

void gm_iotlb_reclaim(struct gm_iotlb *tlb)
{
	while (tlb->retired) {
		struct gm_iotlb_view *view = tlb->retired;

		tlb->retired = view->retired_next;
		free(view);
	}
	tlb->nretired = 0;
}

void gm_iotlb_free(struct gm_iotlb *tlb)
{
	if (!tlb)
		return;
	gm_iotlb_reclaim(tlb);
	free(tlb->view);
	free(tlb);
}

unsigned gm_iotlb_retired(const struct gm_iotlb *tlb)
{
	return tlb->nretired;
}

const struct gm_iotlb_view *gm_iotlb_view(const struct gm_iotlb *tlb)
{
	/* Pairs with the release in view_publish: the entries are complete. */
	return __atomic_load_n(&tlb->view, __ATOMIC_ACQUIRE);
}

static void view_publish(struct gm_iotlb *tlb, struct gm_iotlb_view *view)
{
	struct gm_iotlb_view *old = tlb->view;

	__atomic_store_n(&tlb->view, view, __ATOMIC_RELEASE);
	old->retired_next = tlb->retired;
	tlb->retired = old;
	tlb->nretired++;
}

/* The address of an entry's last byte: its end may be 2^64. */
static uint64_t entry_last(const struct gm_iotlb_entry *e)
{
	return e->iova + (e->size - 1);
}

/* Append [first, last], which is in `e`. */
static void append_part(
	struct gm_iotlb_view *to, const struct gm_iotlb_entry *e, uint64_t first, uint64_t last)
{
	struct gm_iotlb_entry *part = &to->entries[to->n++];
	uint64_t skip = first - e->iova;

	*part = *e;
	part->iova = first;
	part->size = last - first + 1;
	part->uva += skip;
	part->host += skip;
}

/*
 * Append what of `from` lies below `first`. `*at`, an index of `from`, moves to the first entry
 * that reaches to `first` or beyond.
 */
static void append_below(
	struct gm_iotlb_view *to, const struct gm_iotlb_view *from, uint64_t first, uint32_t *at)
{
	uint32_t i = *at;

	while (i < from->n && entry_last(&from->entries[i]) < first)
		i++;
	memcpy(to->entries + to->n, from->entries, i * sizeof(from->entries[0]));
	to->n += i;
	if (i < from->n && from->entries[i].iova < first)
		append_part(to, &from->entries[i], from->entries[i].iova, first - 1);
	*at = i;
}

/* Append what of `from`, entries `at` and later, lies above `last`. */
static void append_above(
	struct gm_iotlb_view *to, const struct gm_iotlb_view *from, uint64_t last, uint32_t at)
{
	while (at < from->n && entry_last(&from->entries[at]) <= last)
		at++;
	if (at < from->n && from->entries[at].iova <= last) {
		append_part(to, &from->entries[at], last + 1, entry_last(&from->entries[at]));
		at++;
	}
	memcpy(to->entries + to->n, from->entries + at, (from->n - at) * sizeof(from->entries[0]));
	to->n += from->n - at;
}

/* How many regions hold [uva, uva + size); 0 when not all of it is in one. */
static uint32_t regions_of(const struct gm_map *map, uint64_t uva, uint64_t size)
{
	uint32_t index = gm_uva_index(map, uva), n = 0;

	for (uint64_t done = 0; done < size; n++, index++) {
		const struct gm_region *r;

		if (index >= map->nregions)
			return 0;
		r = &map->regions[map->by_uva[index]];
		if (uva + done < r->uva)
			return 0;
		done += r->size - (uva + done - r->uva);
	}
	return n;
}

/* Append `e`, whose user addresses are in `map`, as an entry for each region it crosses. */
static void append_resolved(
	struct gm_iotlb_view *to, const struct gm_map *map, const struct gm_iotlb_entry *e)
{
	uint32_t index = gm_uva_index(map, e->uva);

	for (uint64_t done = 0; done < e->size; index++) {
		const struct gm_region *r = &map->regions[map->by_uva[index]];
		struct gm_iotlb_entry *part = &to->entries[to->n++];
		uint64_t offset = e->uva + done - r->uva;

		*part = *e;
		part->iova += done;
		part->uva += done;
		part->host = r->host + offset;
		part->size = RW_MIN(e->size - done, r->size - offset);
		done += part->size;
	}
}

/*
 * Forget the oldest until `view` is not too large. The parts of one update have the same age: a
 * pass takes all it needs of the oldest, and seldom is there a second one.
 */
static void evict(struct gm_iotlb *tlb, struct gm_iotlb_view *view)
{
	while (view->n > tlb->max) {
		uint32_t excess = view->n - tlb->max, kept = 0;
		uint64_t oldest = UINT64_MAX;

		for (uint32_t i = 0; i < view->n; i++)
			oldest = RW_MIN(oldest, view->entries[i].age);
		for (uint32_t i = 0; i < view->n; i++) {
			if (excess && view->entries[i].age == oldest)
				excess--;
			else
				view->entries[kept++] = view->entries[i];
		}
		tlb->evicted += view->n - kept;
		view->n = kept;
	}
}

void gm_iotlb_limit(struct gm_iotlb *tlb, uint64_t max)
{
	tlb->max = (uint32_t)RW_MIN(RW_MAX(max, 1), GM_IOTLB_MAX);
}

uint64_t gm_iotlb_take_evicted(struct gm_iotlb *tlb)
{
	uint64_t n = tlb->evicted;

	tlb->evicted = 0;
	return n;
}

int gm_iotlb_update(struct gm_iotlb *tlb, const struct gm_map *map, uint64_t iova, uint64_t size,
	uint64_t uva, uint8_t perm)
{
	const struct gm_iotlb_view *old = tlb->view;
	struct gm_iotlb_entry e = {.iova = iova, .size = size, .uva = uva, .perm = perm};
	struct gm_iotlb_view *view;
	uint32_t nregions, at = 0;

	if (!size || iova + (size - 1) < iova || !perm || perm & ~(GM_READ | GM_WRITE))
		return -EINVAL;
	nregions = regions_of(map, uva, size);
	if (!nregions)
		return -EFAULT;
	view = view_new((size_t)old->n + 1 + nregions); /* 1: an entry may be split in two */
	if (!view)
		return -ENOMEM;
	e.age = ++tlb->age;
	append_below(view, old, iova, &at);
	append_resolved(view, map, &e);
	append_above(view, old, entry_last(&e), at);
	evict(tlb, view);
	view_publish(tlb, view);
	return 0;
}

/* What a front-end may enter, and behind `before`, which is NULL for the first one. */
static bool entry_is_sane(const struct gm_iotlb_entry *e, const struct gm_iotlb_entry *before)
{
	return e->size && e->iova + (e->size - 1) >= e->iova && e->perm &&
		!(e->perm & ~(GM_READ | GM_WRITE)) && (!before || entry_last(before) < e->iova);
}

int gm_iotlb_fill(struct gm_iotlb *tlb, const struct gm_map *map,
	const struct gm_iotlb_entry *entries, uint32_t n)
{
	struct gm_iotlb_view *view;
	size_t room = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!entry_is_sane(&entries[i], i ? &entries[i - 1] : NULL))
			return -EINVAL;
		room += regions_of(map, entries[i].uva, entries[i].size);
	}
	view = view_new(room);
	if (!view)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		if (!regions_of(map, entries[i].uva, entries[i].size))
			continue;
		tlb->age = RW_MAX(tlb->age, entries[i].age);
		append_resolved(view, map, &entries[i]);
	}
	evict(tlb, view);
	view_publish(tlb, view);
	return 0;
}

/* An entry of `view` that has a byte in [first, last], or NULL. */
static const struct gm_iotlb_entry *view_find(
	const struct gm_iotlb_view *view, uint64_t first, uint64_t last)
{
	uint32_t lo = 0, hi = view->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct gm_iotlb_entry *e = &view->entries[mid];

		if (last < e->iova)
			hi = mid;
		else if (first > entry_last(e))
			lo = mid + 1;
		else
			return e;
	}
	return NULL;
}

int gm_iotlb_invalidate(struct gm_iotlb *tlb, uint64_t iova, uint64_t size)
{
	const struct gm_iotlb_view *old = tlb->view;
	uint64_t last = iova + (size - 1);
	struct gm_iotlb_view *view;
	uint32_t at = 0;

	if (!size || last < iova)
		last = UINT64_MAX;
	/* A guest in strict mode unmaps many ranges that we never looked up. */
	if (!view_find(old, iova, last))
		return 0;
	view = view_new((size_t)old->n + 1);
	if (!view)
		return -ENOMEM;
	append_below(view, old, iova, &at);
	append_above(view, old, last, at);
	evict(tlb, view);
	view_publish(tlb, view);
	return 0;
}

void gm_iotlb_remap(struct gm_iotlb *tlb, const struct gm_map *map)
{
	struct gm_iotlb_view *view = tlb->view;
	uint32_t kept = 0;

	/* In place, as no worker reads it: no memory is needed, and no old pointer survives. */
	for (uint32_t i = 0; i < view->n; i++) {
		struct gm_iotlb_entry e = view->entries[i];
		uint64_t len = e.size;

		e.host = gm_at_uva(map, e.uva, &len);
		if (e.host && len == e.size)
			view->entries[kept++] = e;
	}
	view->n = kept;
	view->generation = next_generation();
}

const struct gm_iotlb_entry *gm_iotlb_find(const struct gm_iotlb_view *view, uint64_t iova)
{
	return view_find(view, iova, iova);
}

RW_NOINLINE void *gm_iotlb_at_slow(const struct gm_iotlb_view *view, struct gm_iotlb_cache *cache,
	uint64_t iova, uint8_t perm, uint64_t *len)
{
	const struct gm_iotlb_entry *e = gm_iotlb_find(view, iova), *end = view->entries + view->n;
	struct gm_iotlb_cache merged;
	uint64_t off;

	if (!e || (perm & ~e->perm))
		return NULL;
	merged = (struct gm_iotlb_cache){.generation = view->generation,
		.iova = e->iova,
		.size = e->size,
		.host = e->host,
		.perm = e->perm};
	off = iova - e->iova;
	/*
	 * Pages that were mapped one by one are often neighbours in memory too: one segment, not
	 * many.
	 */
	for (e++; e < end && merged.size - off < *len; e++) {
		if (e->iova - merged.iova != merged.size || e->host != merged.host + merged.size ||
			(perm & ~e->perm))
			break;
		merged.size += e->size;
		merged.perm &= e->perm;
	}
	*cache = merged;
	*len = RW_MIN(*len, merged.size - off);
	return merged.host + off;
}
