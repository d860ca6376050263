/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fe_iommu.h"

int fe_iommu_init(struct fe_iommu *io, uint64_t base, uint32_t npages, bool fresh)
{
	uint64_t len = npages * FE_PAGE;
	struct fe_iommu_page *pages;

	/* The window may end with the address space. */
	if (npages == 0 || base % FE_PAGE || base + (len - 1) < base)
		return -EINVAL;
	pages = calloc(npages, sizeof(*pages));
	if (!pages)
		return -ENOMEM;
	*io = (struct fe_iommu){.base = base, .n = npages, .fresh = fresh, .pages = pages};
	return 0;
}

void fe_iommu_fini(struct fe_iommu *io)
{
	free(io->pages);
	memset(io, 0, sizeof(*io));
}

void fe_iommu_clear(struct fe_iommu *io)
{
	memset(io->pages, 0, io->n * sizeof(*io->pages));
	io->mapped = 0;
	io->nrecent = 0;
}

/* The page of `iova`, or NULL outside the window. */
static struct fe_iommu_page *page_at(const struct fe_iommu *io, uint64_t iova)
{
	uint64_t i = (iova - io->base) / FE_PAGE;

	return i < io->n ? &io->pages[i] : NULL;
}

/* Whether pages [at, at + n) and one more behind them are free; else *at is where to look next. */
static bool fits(const struct fe_iommu *io, uint32_t *at, uint32_t n)
{
	uint32_t i;

	for (i = *at; i < *at + n + 1 && i < io->n; i++) {
		if (!io->pages[i].taken)
			continue;
		while (i < io->n && io->pages[i].taken)
			i++;
		*at = i + 1; /* that range keeps its gap */
		return false;
	}
	return true;
}

/* Take the range freed last that has `n` pages. */
static bool take_recent(struct fe_iommu *io, uint32_t n, uint64_t *iova)
{
	uint32_t i = io->nrecent;
	uint32_t at;

	while (i-- > 0) {
		if (io->recent[i].n != n)
			continue;
		*iova = io->recent[i].iova;
		io->nrecent--;
		memmove(&io->recent[i], &io->recent[i + 1],
			(io->nrecent - i) * sizeof(io->recent[0]));
		/* Others may have been put there meanwhile. */
		at = (uint32_t)((*iova - io->base) / FE_PAGE);
		if (fits(io, &at, n))
			return true;
	}
	return false;
}

/* Take the next free range from where the last one ended, round the window once. */
static int take_next(struct fe_iommu *io, uint32_t n, uint64_t *iova)
{
	uint32_t at = io->cursor;
	bool again = false;

	if (n > io->n)
		return -ENOSPC;
	for (;;) {
		if (at > io->n - n) {
			if (again)
				return -ENOSPC;
			again = true;
			at = 0;
		}
		if (fits(io, &at, n))
			break;
	}
	*iova = io->base + at * FE_PAGE;
	io->cursor = at + n + 1;
	return 0;
}

int fe_iommu_alloc(struct fe_iommu *io, uint32_t n, uint64_t *iova)
{
	struct fe_iommu_page *p;
	uint64_t at = 0;
	uint32_t i;
	int err;

	if (n == 0)
		return -EINVAL;
	if (io->fresh || !take_recent(io, n, &at)) {
		err = take_next(io, n, &at);
		if (err)
			return err;
	}
	p = page_at(io, at);
	for (i = 0; i < n; i++)
		p[i].taken = true;
	*iova = at;
	return 0;
}

void fe_iommu_free(struct fe_iommu *io, uint64_t iova, uint32_t n)
{
	struct fe_iommu_page *p = page_at(io, iova);
	uint32_t i;

	for (i = 0; i < n; i++)
		p[i].taken = false;
	if (io->nrecent == FE_IOMMU_RECENT) {
		io->nrecent--;
		memmove(&io->recent[0], &io->recent[1], io->nrecent * sizeof(io->recent[0]));
	}
	io->recent[io->nrecent].iova = iova;
	io->recent[io->nrecent++].n = n;
}

int fe_iommu_map(struct fe_iommu *io, uint64_t iova, uint64_t gpa, uint8_t perm)
{
	struct fe_iommu_page *p = page_at(io, iova);

	if (!p)
		return -EINVAL;
	io->mapped += !p->perm;
	p->gpa = gpa & ~(FE_PAGE - 1);
	p->perm = perm;
	return 0;
}

int fe_iommu_unmap(struct fe_iommu *io, uint64_t iova)
{
	struct fe_iommu_page *p = page_at(io, iova);

	if (!p)
		return -EINVAL;
	io->mapped -= p->perm != 0;
	p->perm = 0;
	return 0;
}

const struct fe_iommu_page *fe_iommu_find(const struct fe_iommu *io, uint64_t iova)
{
	const struct fe_iommu_page *p = page_at(io, iova);

	return p && p->perm ? p : NULL;
}

uint32_t fe_iommu_run(const struct fe_iommu *io, uint64_t iova, uint32_t max)
{
	const struct fe_iommu_page *p = fe_iommu_find(io, iova);
	const struct fe_iommu_page *end = io->pages + io->n;
	uint32_t n;

	if (!p || !max)
		return 0;
	for (n = 1; n < max && p + n < end; n++)
		if (p[n].perm != p->perm || p[n].gpa != p->gpa + n * FE_PAGE)
			break;
	return n;
}
