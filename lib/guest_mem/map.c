/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest_mem.h"

static void backing_put(struct gm_backing *b)
{
	struct rw_helper *helper;

	if (!b || --b->refs)
		return;
	helper = b->file.helper;
	gm_file_unmap(&b->file);
	rw_helper_close(helper, b->fd);
	free(b);
}

/* Map what `d` describes from `fd`, of which `st` was just read. */
static int backing_new(struct gm_owner *owner, const struct gm_region_desc *d, int fd,
	const struct stat *st, struct gm_backing **out)
{
	struct gm_backing *b = calloc(1, sizeof(*b));
	int ret;

	if (!b)
		return -ENOMEM;
	*b = (struct gm_backing){.refs = 1, .dev = st->st_dev, .ino = st->st_ino};
	b->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (b->fd < 0) {
		ret = -errno;
		goto err_free;
	}
	ret = gm_file_map(owner, GM_LOSS_MEMORY, fd, d->mmap_offset, d->size, &b->file);
	if (ret)
		goto err_close;
	b->offset = d->mmap_offset - (uint64_t)(b->file.host - b->file.base);
	*out = b;
	return 0;
err_close:
	close(b->fd);
err_free:
	free(b);
	return ret;
}

/* Whether `map` has a region on `b`. */
static bool has_backing(const struct gm_map *map, const struct gm_backing *b)
{
	for (uint32_t i = 0; i < map->nregions; i++) {
		if (map->regions[i].backing == b)
			return true;
	}
	return false;
}

/* Whether `r` is what `d` describes of the file that `st` is about. */
static bool region_matches(
	const struct gm_region *r, const struct gm_region_desc *d, const struct stat *st)
{
	const struct gm_backing *b = r->backing;

	return b->dev == st->st_dev && b->ino == st->st_ino && r->size == d->size &&
		b->offset + (uint64_t)(r->host - b->file.base) == d->mmap_offset;
}

/* The backing in `prev` that maps exactly this region and is not yet in `map`, or NULL. */
static struct gm_backing *backing_find(const struct gm_map *prev, const struct gm_map *map,
	const struct gm_region_desc *d, const struct stat *st)
{
	for (uint32_t i = 0; prev && i < prev->nregions; i++) {
		const struct gm_region *r = &prev->regions[i];

		if (region_matches(r, d, st) && !has_backing(map, r->backing))
			return r->backing;
	}
	return NULL;
}

/* Append a region to `map`, which has room for it. */
static int region_map(
	struct gm_map *map, const struct gm_region_desc *d, int fd, const struct gm_map *prev)
{
	struct gm_backing *b;
	struct stat st;
	int ret = gm_file_check(map->owner, fd);

	if (ret)
		return ret;
	if (fstat(fd, &st))
		return -errno;
	b = backing_find(prev, map, d, &st);
	if (b)
		b->refs++;
	else
		ret = backing_new(map->owner, d, fd, &st, &b);
	if (ret)
		return ret;
	assert(b);
	map->regions[map->nregions++] = (struct gm_region){
		.gpa = d->gpa,
		.size = d->size,
		.uva = d->uva,
		.host = b->file.base + (d->mmap_offset - b->offset),
		.backing = b,
	};
	return 0;
}

/* Append all regions of `prev` but `except`, with their mappings. */
static void regions_share(
	struct gm_map *map, const struct gm_map *prev, const struct gm_region *except)
{
	for (uint32_t i = 0; prev && i < prev->nregions; i++) {
		const struct gm_region *r = &prev->regions[i];

		if (r == except)
			continue;
		r->backing->refs++;
		map->regions[map->nregions++] = *r;
	}
}

static bool desc_is_sane(const struct gm_region_desc *d)
{
	/* So that rounding up to any page size cannot wrap either. */
	const uint64_t room = 1ULL << 32;

	return d->size && d->size <= INT64_MAX && !rw_range_wraps(d->gpa, d->size) &&
		!rw_range_wraps(d->uva, d->size) && d->mmap_offset <= INT64_MAX - d->size &&
		!rw_range_wraps(d->mmap_offset + d->size, room);
}

static bool ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

/* Whether `d` and the region of `size` bytes at (gpa, uva) cannot be in one table. */
static bool clashes(const struct gm_region_desc *d, uint64_t gpa, uint64_t uva, uint64_t size)
{
	return ranges_overlap(d->gpa, d->size, gpa, size) ||
		ranges_overlap(d->uva, d->size, uva, size);
}

/* 0 when every range is sane and none overlaps another. */
static int descs_check(const struct gm_region_desc *d, uint32_t n)
{
	if (!n || n > GM_MAX_REGIONS)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		if (!desc_is_sane(&d[i]))
			return -EINVAL;
		for (uint32_t j = 0; j < i; j++) {
			if (clashes(&d[i], d[j].gpa, d[j].uva, d[j].size))
				return -EINVAL;
		}
	}
	return 0;
}

/* An empty map with room for `n` regions and their indices, or NULL. */
static struct gm_map *map_alloc(struct gm_owner *owner, uint32_t n)
{
	struct gm_map *map = calloc(
		1, sizeof(*map) + n * (sizeof(map->regions[0]) + 2 * sizeof(map->by_uva[0])));

	if (!map)
		return NULL;
	map->owner = owner;
	map->by_uva = (uint16_t *)&map->regions[n];
	map->by_host = map->by_uva + n;
	return map;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int cmp_gpa(const void *a, const void *b)
{
	const struct gm_region *x = a, *y = b;

	return cmp_u64(x->gpa, y->gpa);
}

static int cmp_uva(const void *a, const void *b, void *regions)
{
	const struct gm_region *r = regions;
	const uint16_t *x = a, *y = b;

	return cmp_u64(r[*x].uva, r[*y].uva);
}

static int cmp_host(const void *a, const void *b, void *regions)
{
	const struct gm_region *r = regions;
	const uint16_t *x = a, *y = b;

	return cmp_u64((uintptr_t)r[*x].host, (uintptr_t)r[*y].host);
}

/* The map has all its regions: put them in order. */
static void map_sort(struct gm_map *map)
{
	uint32_t n = map->nregions;

	qsort(map->regions, n, sizeof(map->regions[0]), cmp_gpa);
	for (uint32_t i = 0; i < n; i++)
		map->by_uva[i] = map->by_host[i] = (uint16_t)i;
	qsort_r(map->by_uva, n, sizeof(map->by_uva[0]), cmp_uva, map->regions);
	qsort_r(map->by_host, n, sizeof(map->by_host[0]), cmp_host, map->regions);
}

static bool is_described(const struct gm_region *r, const struct gm_region_desc *desc)
{
	return r->gpa == desc->gpa && r->uva == desc->uva && r->size == desc->size;
}

bool gm_map_is(
	const struct gm_map *map, const struct gm_region_desc *descs, const int *fds, uint32_t n)
{
	struct stat st;

	/* Regions that overlap are refused, so each of `n` is another one of the map's. */
	if (!map || map->nregions != n || descs_check(descs, n))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct gm_region *r = gm_region_find(map, descs[i].gpa);

		if (!r || r->readds || !is_described(r, &descs[i]) ||
			gm_file_check(map->owner, fds[i]) || fstat(fds[i], &st) ||
			!region_matches(r, &descs[i], &st))
			return false;
	}
	return true;
}

int gm_map_new(struct gm_owner *owner, const struct gm_region_desc *descs, const int *fds,
	uint32_t n, const struct gm_map *prev, struct gm_map **out)
{
	struct gm_map *map;
	int ret = descs_check(descs, n);

	if (ret)
		return ret;
	map = map_alloc(owner, n);
	if (!map)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		ret = region_map(map, &descs[i], fds[i], prev);
		if (ret) {
			gm_map_free(map);
			return ret;
		}
	}
	map_sort(map);
	*out = map;
	return 0;
}

/* `prev` with so many more users of its region `r` than before. */
static int map_recount(
	const struct gm_map *prev, const struct gm_region *r, int64_t more, struct gm_map **out)
{
	int64_t readds = r->readds + more;
	struct gm_map *map;

	if (readds > UINT32_MAX)
		return -EINVAL;
	map = map_alloc(prev->owner, prev->nregions);
	if (!map)
		return -ENOMEM;
	regions_share(map, prev, NULL);
	map->regions[r - prev->regions].readds = (uint32_t)readds;
	map_sort(map);
	*out = map;
	return 0;
}

int gm_map_add(struct gm_owner *owner, const struct gm_map *prev, const struct gm_region_desc *desc,
	int fd, struct gm_map **out)
{
	const struct gm_region *same = prev ? gm_region_find(prev, desc->gpa) : NULL;
	uint32_t n = prev ? prev->nregions : 0;
	struct gm_map *map;
	struct stat st;
	int ret;

	if (same && is_described(same, desc)) {
		ret = gm_file_check(owner, fd);
		if (ret)
			return ret;
		if (fstat(fd, &st))
			return -errno;
		return region_matches(same, desc, &st) ? map_recount(prev, same, 1, out) : -EINVAL;
	}
	if (n >= GM_MAX_REGIONS || !desc_is_sane(desc))
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		const struct gm_region *r = &prev->regions[i];

		if (clashes(desc, r->gpa, r->uva, r->size))
			return -EINVAL;
	}
	map = map_alloc(owner, n + 1);
	if (!map)
		return -ENOMEM;
	/* Every mapping of `prev` is taken by its own region: the new one gets one of its own. */
	ret = region_map(map, desc, fd, NULL);
	if (ret) {
		gm_map_free(map);
		return ret;
	}
	regions_share(map, prev, NULL);
	map_sort(map);
	*out = map;
	return 0;
}

int gm_map_readd(const struct gm_map *prev, const struct gm_region_desc *desc, uint32_t n,
	struct gm_map **out)
{
	const struct gm_region *r = prev ? gm_region_find(prev, desc->gpa) : NULL;

	return r && is_described(r, desc) ? map_recount(prev, r, n, out) : -ENOENT;
}

int gm_map_remove(const struct gm_map *prev, const struct gm_region_desc *desc, struct gm_map **out)
{
	const struct gm_region *r = prev ? gm_region_find(prev, desc->gpa) : NULL;
	struct gm_map *map;

	if (!r || !is_described(r, desc))
		return -ENOENT;
	if (r->readds)
		return map_recount(prev, r, -1, out);
	map = map_alloc(prev->owner, prev->nregions - 1);
	if (!map)
		return -ENOMEM;
	regions_share(map, prev, r);
	map_sort(map);
	*out = map;
	return 0;
}

int gm_map_describe(const struct gm_map *map, uint32_t i, struct gm_region_desc *desc)
{
	const struct gm_region *r = &map->regions[i];

	*desc = (struct gm_region_desc){
		.gpa = r->gpa,
		.size = r->size,
		.uva = r->uva,
		.mmap_offset = r->backing->offset + (uint64_t)(r->host - r->backing->file.base),
	};
	return r->backing->fd;
}

void gm_map_free(struct gm_map *map)
{
	if (!map)
		return;
	for (uint32_t i = 0; i < map->nregions; i++)
		backing_put(map->regions[i].backing);
	free(map);
}
