/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "internal.h"

/* The unit in which `fd` can be mapped, bytes. */
static uint64_t file_page_size(int fd)
{
	struct statfs fs;

	/* On hugetlbfs, and so for a memfd with huge pages, f_bsize is the huge page size. */
	if (!fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0)
		return (uint64_t)fs.f_bsize;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static void backing_put(struct gm_backing *b)
{
	if (!b || --b->refs)
		return;
	munmap(b->map_base, b->map_len);
	close(b->fd);
	free(b);
}

/* Map what `d` describes from `fd`, of which `st` was just read. NULL with errno set. */
static struct gm_backing *backing_new(const struct gm_region_desc *d, int fd, const struct stat *st)
{
	struct gm_backing *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return NULL;
	*b = (struct gm_backing){.refs = 1, .dev = st->st_dev, .ino = st->st_ino};
	b->page_size = file_page_size(fd);
	b->offset = d->mmap_offset & ~(b->page_size - 1);
	b->map_len = rw_align_up(d->mmap_offset + d->size - b->offset, b->page_size);
	b->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (b->fd < 0)
		goto err_free;
	b->map_base = mmap(NULL, b->map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		(off_t)b->offset);
	if (b->map_base == MAP_FAILED)
		goto err_close;
	/* A guest's memory has no place in a core dump of the switch, nor in a child. */
	madvise(b->map_base, b->map_len, MADV_DONTDUMP);
	madvise(b->map_base, b->map_len, MADV_DONTFORK);
	return b;
err_close:
	err = errno;
	close(b->fd);
	errno = err;
err_free:
	free(b); /* keeps errno (glibc 2.33 and later) */
	return NULL;
}

/* The backing in `prev` that maps exactly this region, or NULL. */
static struct gm_backing *backing_find(
	const struct gm_map *prev, const struct gm_region_desc *d, const struct stat *st)
{
	for (uint32_t i = 0; prev && i < prev->nregions; i++) {
		const struct gm_region *r = &prev->regions[i];
		const struct gm_backing *b = r->backing;

		if (b->dev == st->st_dev && b->ino == st->st_ino && r->size == d->size &&
			b->offset + (uint64_t)(r->host - b->map_base) == d->mmap_offset)
			return r->backing;
	}
	return NULL;
}

static int region_map(
	const struct gm_region_desc *d, int fd, const struct gm_map *prev, struct gm_region *out)
{
	struct gm_backing *b;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	/* Beyond the end of the file there is nothing but SIGBUS. */
	if (st.st_size < 0 || d->mmap_offset + d->size > (uint64_t)st.st_size)
		return -ENXIO;
	b = backing_find(prev, d, &st);
	if (b)
		b->refs++;
	else
		b = backing_new(d, fd, &st);
	if (!b)
		return -errno;
	*out = (struct gm_region){
		.gpa = d->gpa,
		.size = d->size,
		.uva = d->uva,
		.host = b->map_base + (d->mmap_offset - b->offset),
		.backing = b,
	};
	return 0;
}

static bool ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

/* 0 when every range is sane and none overlaps another. */
static int descs_check(const struct gm_region_desc *d, uint32_t n)
{
	/* So that rounding up to any page size cannot wrap either. */
	const uint64_t room = 1ULL << 32;

	if (!n || n > GM_MAX_REGIONS)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		if (!d[i].size || d[i].size > INT64_MAX || rw_range_wraps(d[i].gpa, d[i].size) ||
			rw_range_wraps(d[i].uva, d[i].size) ||
			d[i].mmap_offset > INT64_MAX - d[i].size ||
			rw_range_wraps(d[i].mmap_offset + d[i].size, room))
			return -EINVAL;
		for (uint32_t j = 0; j < i; j++) {
			if (ranges_overlap(d[i].gpa, d[i].size, d[j].gpa, d[j].size) ||
				ranges_overlap(d[i].uva, d[i].size, d[j].uva, d[j].size))
				return -EINVAL;
		}
	}
	return 0;
}

static int region_cmp(const void *a, const void *b)
{
	const struct gm_region *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

int gm_map_new(const struct gm_region_desc *descs, const int *fds, uint32_t n,
	const struct gm_map *prev, struct gm_map **out)
{
	struct gm_map *map;
	int ret = descs_check(descs, n);

	if (ret)
		return ret;
	map = calloc(1, sizeof(*map) + n * sizeof(map->regions[0]));
	if (!map)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		ret = region_map(&descs[i], fds[i], prev, &map->regions[i]);
		if (ret) {
			gm_map_free(map);
			return ret;
		}
		map->nregions++;
	}
	qsort(map->regions, n, sizeof(map->regions[0]), region_cmp);
	*out = map;
	return 0;
}

void gm_map_free(struct gm_map *map)
{
	if (!map)
		return;
	for (uint32_t i = 0; i < map->nregions; i++)
		backing_put(map->regions[i].backing);
	free(map);
}

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

const struct gm_region *gm_region_by_uva(const struct gm_map *map, uint64_t uva)
{
	for (uint32_t i = 0; i < map->nregions; i++) {
		const struct gm_region *r = &map->regions[i];

		if (uva >= r->uva && uva - r->uva < r->size)
			return r;
	}
	return NULL;
}

int gm_uva_to_gpa(const struct gm_map *map, uint64_t uva, uint64_t *gpa)
{
	const struct gm_region *r = gm_region_by_uva(map, uva);

	if (!r)
		return -EFAULT;
	*gpa = r->gpa + (uva - r->uva);
	return 0;
}
