/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/mman.h>

#include "internal.h"

/* A run of the range that lies in one file, in order: what one mmap covers. */
struct run {
	const struct gm_backing *backing;
	uint64_t offset; /* in the file */
	uint64_t len;
};

/* Where user address `uva` of region `r` is in the region's file. */
static uint64_t file_offset(const struct gm_region *r, uint64_t uva)
{
	return r->backing->offset + (uint64_t)(r->host - r->backing->map_base) + (uva - r->uva);
}

/*
 * The run that begins at `uva`: pieces of neighbouring regions belong to the same run while they
 * continue in the same file, whatever page they meet in.
 */
static int run_at(const struct gm_map *map, uint64_t uva, uint64_t len, struct run *out)
{
	const struct gm_region *r = gm_region_by_uva(map, uva);
	struct run run;

	if (!r)
		return -EFAULT;
	run.backing = r->backing;
	run.offset = file_offset(r, uva);
	run.len = RW_MIN(len, r->size - (uva - r->uva));
	while (run.len < len) {
		uint64_t at = uva + run.len;

		r = gm_region_by_uva(map, at);
		if (!r)
			return -EFAULT;
		if (r->backing->dev != run.backing->dev || r->backing->ino != run.backing->ino ||
			file_offset(r, at) != run.offset + run.len)
			break;
		run.len += RW_MIN(len - run.len, r->size - (at - r->uva));
	}
	*out = run;
	return 0;
}

/* The largest page size among the files of the range; 0 or -EFAULT. */
static int range_page_size(const struct gm_map *map, uint64_t uva, uint64_t len, uint64_t *out)
{
	uint64_t size = 0;

	for (uint64_t done = 0; done < len;) {
		struct run run;
		int ret = run_at(map, uva + done, len - done, &run);

		if (ret)
			return ret;
		size = RW_MAX(size, run.backing->page_size);
		done += run.len;
	}
	*out = size;
	return 0;
}

/* Map `run` so that its first byte is at `at`; the pages were reserved. */
static int run_map(const struct run *run, uint8_t *at, bool first, bool last)
{
	uint64_t page = run->backing->page_size, lead = run->offset & (page - 1);
	uint64_t end = run->offset + run->len;
	uint8_t *base = at - lead;
	void *p;

	/* Only the two ends of the whole range may lie inside a page. */
	if ((!first && lead) || (!last && (end & (page - 1))) || ((uintptr_t)base & (page - 1)))
		return -ENOTSUP;
	p = mmap(base, rw_align_up(lead + run->len, page), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE | MAP_FIXED, run->backing->fd,
		(off_t)(run->offset - lead));
	if (p == MAP_FAILED)
		return -errno;
	madvise(p, rw_align_up(lead + run->len, page), MADV_DONTDUMP);
	return 0;
}

/* Map the runs of [uva, uva + len) side by side. */
static int stitch(const struct gm_map *map, uint64_t uva, uint64_t len, struct gm_linear *out)
{
	uint64_t page, lead;
	struct run run;
	uint8_t *base, *at;
	size_t total;
	int ret = range_page_size(map, uva, len, &page);

	if (ret)
		return ret;
	ret = run_at(map, uva, len, &run);
	if (ret)
		return ret;
	lead = run.offset & (page - 1);
	total = rw_align_up(lead + len, page) + page; /* one page more, to align the start */
	base = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	at = (uint8_t *)rw_align_up((uintptr_t)base, page) + lead;
	for (uint64_t done = 0; done < len; done += run.len) {
		ret = run_at(map, uva + done, len - done, &run);
		if (!ret)
			ret = run_map(&run, at + done, !done, done + run.len == len);
		if (ret) {
			munmap(base, total);
			return ret;
		}
	}
	*out = (struct gm_linear){.host = at, .map_base = base, .map_len = total};
	return 0;
}

int gm_linear_get(const struct gm_map *map, uint64_t uva, uint64_t len, struct gm_linear *out)
{
	const struct gm_region *r;

	if (!len || rw_range_wraps(uva, len))
		return -EFAULT;
	r = gm_region_by_uva(map, uva);
	if (!r)
		return -EFAULT;
	if (len <= r->size - (uva - r->uva)) {
		*out = (struct gm_linear){.host = r->host + (uva - r->uva)};
		return 0;
	}
	return stitch(map, uva, len, out);
}

void gm_linear_put(struct gm_linear *lin)
{
	if (lin->map_base)
		munmap(lin->map_base, lin->map_len);
	*lin = (struct gm_linear){0};
}
