/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/mman.h>

#include "gm_iotlb.h"

/* Some bytes of a space that lie in one region. */
struct piece {
	const struct gm_region *region;
	uint64_t offset; /* in the region */
	uint64_t len;
};

/*
 * An extent: consecutive bytes of the range that are consecutive in one file. One mmap covers it.
 */
struct extent {
	const struct gm_backing *backing;
	uint64_t offset; /* in the file */
	uint64_t len;
};

static uint8_t *piece_host(const struct piece *p)
{
	return p->region->host + p->offset;
}

static uint64_t piece_file_offset(const struct piece *p)
{
	const struct gm_backing *b = p->region->backing;

	return b->offset + (uint64_t)(piece_host(p) - b->file.base);
}

/*
 * The piece at `addr`, at most `len` bytes long. An I/O virtual address is resolved through the
 * front-end's user address, as everything in the IOTLB is.
 */
static int piece_at(const struct gm_space *space, uint64_t addr, uint64_t len, struct piece *out)
{
	const struct gm_iotlb_entry *e;
	const struct gm_region *r;
	uint64_t offset;

	if (space->kind == GM_GPA) {
		r = gm_region_find(space->map, addr);
		offset = r ? addr - r->gpa : 0;
	} else {
		if (space->kind == GM_IOVA) {
			e = gm_iotlb_find(space->view, addr);
			if (!e || (e->perm & (GM_READ | GM_WRITE)) != (GM_READ | GM_WRITE))
				return -EAGAIN;
			len = RW_MIN(len, e->size - (addr - e->iova));
			addr = e->uva + (addr - e->iova);
		}
		r = gm_region_by_uva(space->map, addr);
		offset = r ? addr - r->uva : 0;
	}
	if (!r)
		return -EFAULT;
	*out = (struct piece){.region = r, .offset = offset, .len = RW_MIN(len, r->size - offset)};
	return 0;
}

/*
 * Check that all of [addr, addr + len) is mapped. Its first `*contiguous` bytes are contiguous in
 * our mappings, from `*host` on. 0, -EFAULT, or -EAGAIN for `*missing`.
 */
static int range_check(const struct gm_space *space, uint64_t addr, uint64_t len, uint8_t **host,
	uint64_t *contiguous, uint64_t *missing)
{
	bool broken = false;
	uint64_t done = 0;
	struct piece p;

	if (!len || rw_range_wraps(addr, len))
		return -EFAULT;
	for (; done < len; done += p.len) {
		int ret = piece_at(space, addr + done, len - done, &p);

		if (ret) {
			if (ret == -EAGAIN)
				*missing = addr + done;
			return ret;
		}
		if (!done) {
			*host = piece_host(&p);
			*contiguous = 0;
		}
		broken = broken || piece_host(&p) != *host + done;
		if (!broken)
			*contiguous += p.len;
	}
	return 0;
}

/*
 * The extent that begins at `addr`. Neighbouring pieces belong to it while they continue in the
 * same file, whatever page they meet in.
 */
static int extent_at(const struct gm_space *space, uint64_t addr, uint64_t len, struct extent *out)
{
	struct piece p;
	struct extent extent;
	int ret = piece_at(space, addr, len, &p);

	if (ret)
		return ret;
	extent.backing = p.region->backing;
	extent.offset = piece_file_offset(&p);
	extent.len = p.len;
	while (extent.len < len) {
		ret = piece_at(space, addr + extent.len, len - extent.len, &p);
		if (ret)
			return ret;
		if (p.region->backing->dev != extent.backing->dev ||
			p.region->backing->ino != extent.backing->ino ||
			piece_file_offset(&p) != extent.offset + extent.len)
			break;
		extent.len += p.len;
	}
	*out = extent;
	return 0;
}

/* The largest page size among the files of the range, and its extents; 0 or -EFAULT. */
static int range_measure(const struct gm_space *space, uint64_t addr, uint64_t len,
	uint64_t *page_size, uint32_t *nextents)
{
	uint64_t size = 0;
	uint32_t n = 0;

	for (uint64_t done = 0; done < len;) {
		struct extent extent;
		int ret = extent_at(space, addr + done, len - done, &extent);

		if (ret)
			return ret;
		size = RW_MAX(size, extent.backing->file.page_size);
		done += extent.len;
		n++;
	}
	*page_size = size;
	*nextents = n;
	return 0;
}

/* Map `extent` so that its first byte is at `at`; the pages were reserved. */
static int extent_map(const struct extent *extent, uint8_t *at, bool first, bool last)
{
	uint64_t page = extent->backing->file.page_size, lead = extent->offset & (page - 1);
	uint64_t end = extent->offset + extent->len;
	uint8_t *base = at - lead;
	void *p;

	/* Only the two ends of the whole range may lie inside a page. */
	if ((!first && lead) || (!last && (end & (page - 1))) || ((uintptr_t)base & (page - 1)))
		return -ENOTSUP;
	p = mmap(base, rw_align_up(lead + extent->len, page), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_FIXED, extent->backing->fd, (off_t)(extent->offset - lead));
	if (p == MAP_FAILED)
		return -errno;
	madvise(p, rw_align_up(lead + extent->len, page), MADV_DONTDUMP);
	return 0;
}

/* Map the runs of [addr, addr + len) side by side. */
static int map_contiguous(
	const struct gm_space *space, uint64_t addr, uint64_t len, struct gm_linear *out)
{
	struct gm_owner *owner = space->map->owner;
	struct rw_budgets *budgets = owner ? owner->budgets : NULL;
	struct extent extent;
	uint64_t page, lead;
	uint8_t *base, *at;
	uint32_t slot, n;
	size_t total;
	int ret = range_measure(space, addr, len, &page, &n);

	if (!ret)
		ret = extent_at(space, addr, len, &extent);
	if (ret)
		return ret;
	lead = extent.offset & (page - 1);
	total = rw_align_up(lead + len, page) + page; /* one page more, to align the start */
	n += 2;                                       /* what is left of it at both ends */
	ret = rw_budget_map(budgets, n, total);
	if (ret)
		return ret;
	base = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED) {
		ret = -errno;
		goto err_budget;
	}
	at = (uint8_t *)rw_align_up((uintptr_t)base, page) + lead;
	for (uint64_t done = 0; done < len; done += extent.len) {
		ret = extent_at(space, addr + done, len - done, &extent);
		if (!ret)
			ret = extent_map(&extent, at + done, !done, done + extent.len == len);
		if (ret)
			goto err_unmap;
	}
	ret = gm_guard_add(owner, GM_LOSS_MEMORY, base, total, &slot);
	if (ret)
		goto err_unmap;
	*out = (struct gm_linear){.host = at,
		.map_base = base,
		.map_len = total,
		.slot = slot,
		.mappings = n,
		.budgets = budgets};
	return 0;
err_unmap:
	munmap(base, total);
err_budget:
	rw_budget_unmap(budgets, n, total);
	return ret;
}

int gm_linear_get(const struct gm_space *space, uint64_t addr, uint64_t len, struct gm_linear *out,
	uint64_t *missing)
{
	uint64_t contiguous;
	uint8_t *host;
	int ret = range_check(space, addr, len, &host, &contiguous, missing);

	if (ret)
		return ret;
	if (contiguous == len) {
		*out = (struct gm_linear){.host = host};
		return 0;
	}
	return map_contiguous(space, addr, len, out);
}

void gm_linear_put(struct gm_linear *lin)
{
	if (lin->map_base) {
		gm_guard_del(lin->slot);
		munmap(lin->map_base, lin->map_len);
		rw_budget_unmap(lin->budgets, lin->mappings, lin->map_len);
	}
	*lin = (struct gm_linear){0};
}

int gm_linear_pieces(const struct gm_space *space, uint64_t addr, uint64_t len,
	const struct gm_linear *lin, struct gm_piece *pieces, unsigned max)
{
	uint64_t next_gpa = 0;
	unsigned n = 0;
	struct piece p;

	if (!len || rw_range_wraps(addr, len))
		return -EFAULT;
	for (uint64_t done = 0; done < len; done += p.len) {
		int ret = piece_at(space, addr + done, len - done, &p);
		uint64_t gpa;

		if (ret)
			return ret;
		gpa = p.region->gpa + p.offset;
		if (!n || gpa != next_gpa) {
			if (n < max)
				pieces[n] = (struct gm_piece){.host = lin->host + done, .gpa = gpa};
			n++;
		}
		if (n <= max)
			pieces[n - 1].len += p.len;
		next_gpa = gpa + p.len;
	}
	return (int)n;
}
