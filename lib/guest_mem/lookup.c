/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "guest_mem.h"

const struct gm_region *gm_region_find(const struct gm_map *map, uint64_t gpa)
{
	uint32_t lo = 0, hi = map->nregions;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct gm_region *r = &map->regions[mid];

		if (gpa < r->gpa)
			hi = mid;
		else if (gpa - r->gpa < r->size)
			return r;
		else
			lo = mid + 1;
	}
	return NULL;
}

RW_NOINLINE void *gm_at_slow(
	const struct gm_map *map, struct gm_cache *cache, uint64_t gpa, uint64_t *len)
{
	const struct gm_region *r = gm_region_find(map, gpa);
	uint64_t off;

	if (!r)
		return NULL;
	*cache = (struct gm_cache){.gpa = r->gpa, .size = r->size, .host = r->host};
	off = gpa - r->gpa;
	*len = RW_MIN(*len, r->size - off);
	return r->host + off;
}

int gm_read(const struct gm_map *map, uint64_t gpa, void *dst, uint64_t len)
{
	struct gm_cache cache = {0};
	uint8_t *to = dst;

	while (len) {
		uint64_t piece = len;
		const void *from = gm_at(map, &cache, gpa, &piece);

		if (!from)
			return -EFAULT;
		memcpy(to, from, piece);
		to += piece;
		gpa += piece;
		len -= piece;
	}
	return 0;
}

uint32_t gm_uva_index(const struct gm_map *map, uint64_t uva)
{
	uint32_t lo = 0, hi = map->nregions;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct gm_region *r = &map->regions[map->by_uva[mid]];

		if (uva < r->uva)
			hi = mid;
		else if (uva - r->uva < r->size)
			return mid;
		else
			lo = mid + 1;
	}
	return map->nregions;
}

const struct gm_region *gm_region_by_uva(const struct gm_map *map, uint64_t uva)
{
	uint32_t index = gm_uva_index(map, uva);

	return index < map->nregions ? &map->regions[map->by_uva[index]] : NULL;
}

int gm_uva_to_gpa(const struct gm_map *map, uint64_t uva, uint64_t *gpa)
{
	const struct gm_region *r = gm_region_by_uva(map, uva);

	if (!r)
		return -EFAULT;
	*gpa = r->gpa + (uva - r->uva);
	return 0;
}

void *gm_at_uva(const struct gm_map *map, uint64_t uva, uint64_t *len)
{
	const struct gm_region *r = gm_region_by_uva(map, uva);

	if (!r)
		return NULL;
	*len = RW_MIN(*len, r->size - (uva - r->uva));
	return r->host + (uva - r->uva);
}

/* The index of the region that holds the byte at `host`, or map->nregions. */
static uint32_t index_by_host(const struct gm_map *map, uintptr_t host)
{
	uint32_t lo = 0, hi = map->nregions;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct gm_region *r = &map->regions[map->by_host[mid]];

		if (host < (uintptr_t)r->host)
			hi = mid;
		else if (host - (uintptr_t)r->host < r->size)
			return map->by_host[mid];
		else
			lo = mid + 1;
	}
	return map->nregions;
}

bool gm_origin_of(const struct gm_map *map, const void *host, struct gm_origin *out)
{
	uint32_t i = index_by_host(map, (uintptr_t)host);
	const struct gm_backing *b;

	if (i == map->nregions)
		return false;
	b = map->regions[i].backing;
	*out = (struct gm_origin){.dev = b->dev,
		.ino = b->ino,
		.offset = b->offset + (uint64_t)((const uint8_t *)host - b->file.base)};
	return true;
}

int gm_host_to_gpa(
	const struct gm_map *map, const void *host, uint64_t *len, uint64_t *gpa, uint32_t *hint)
{
	uint32_t i = *hint;
	const struct gm_region *r;
	uint64_t off;

	/* A hint of another map is good enough to begin with. */
	if (rw_unlikely(i >= map->nregions ||
		    (uintptr_t)host - (uintptr_t)map->regions[i].host >= map->regions[i].size)) {
		i = index_by_host(map, (uintptr_t)host);
		if (i == map->nregions)
			return -EFAULT;
	}
	r = &map->regions[i];
	off = (uintptr_t)host - (uintptr_t)r->host;
	*len = RW_MIN(*len, r->size - off);
	*gpa = r->gpa + off;
	*hint = i;
	return 0;
}
