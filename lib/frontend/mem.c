/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fe_guest.h"

#define PAGE     4096ull
#define HUGEPAGE (2ull << 20)

/* Map region `i` at `at` of our range, on a file of its own or the previous one's. */
static int region_map(struct fe_mem *m, uint32_t i, uint8_t *at, bool hugetlb)
{
	struct fe_region *r = &m->regions[i];
	uint64_t end = r->c.mmap_offset + r->c.size;
	off_t now;
	void *p;

	if (r->c.same_file && i > 0)
		r->fd = dup(m->regions[i - 1].fd);
	else
		r->fd = memfd_create("guest", MFD_CLOEXEC | (hugetlb ? MFD_HUGETLB : 0));
	if (r->fd < 0)
		return -errno;
	now = lseek(r->fd, 0, SEEK_END);
	if (now < 0 || ((uint64_t)now < end && ftruncate(r->fd, (off_t)end) < 0))
		return -errno;
	p = mmap(at, r->c.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r->fd,
		(off_t)r->c.mmap_offset);
	if (p == MAP_FAILED)
		return -errno;
	r->host = p;
	return 0;
}

int fe_mem_init(struct fe_mem *m, const struct fe_region_config *regions, uint32_t n, bool hugetlb)
{
	uint64_t page = hugetlb ? HUGEPAGE : PAGE;
	uint64_t len = 0;
	uint8_t *at;
	uint32_t i;
	int err;

	if (n == 0 || n > FE_MAX_REGIONS)
		return -EINVAL;
	memset(m, 0, sizeof(*m));
	for (i = 0; i < n; i++) {
		if (regions[i].size == 0 || (regions[i].size | regions[i].mmap_offset) % page)
			return -EINVAL;
		len += regions[i].size;
		m->regions[i].c = regions[i];
		m->regions[i].fd = -1;
	}
	m->nregions = n;
	m->next = regions[0].gpa;
	m->len = len + page;
	m->base = mmap(NULL, m->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED) {
		m->base = NULL;
		return -errno;
	}
	at = (uint8_t *)(uintptr_t)rw_align_up((uintptr_t)m->base, page);
	for (i = 0; i < n; i++) {
		err = region_map(m, i, at, hugetlb);
		if (err) {
			fe_mem_fini(m);
			return err;
		}
		at += regions[i].size;
	}
	return 0;
}

void fe_mem_fini(struct fe_mem *m)
{
	uint32_t i;

	for (i = 0; i < m->nregions; i++)
		if (m->regions[i].fd >= 0)
			close(m->regions[i].fd);
	if (m->base)
		munmap(m->base, m->len);
	memset(m, 0, sizeof(*m));
}

static const struct fe_region *region_of(const struct fe_mem *m, uint64_t gpa)
{
	uint32_t i;

	for (i = 0; i < m->nregions; i++)
		if (gpa - m->regions[i].c.gpa < m->regions[i].c.size)
			return &m->regions[i];
	return NULL;
}

/* Bytes from `gpa` to the end of its stretch of regions that follow each other everywhere. */
static uint64_t stretch(const struct fe_mem *m, uint64_t gpa)
{
	const struct fe_region *r = region_of(m, gpa);
	const struct fe_region *last = m->regions + m->nregions - 1;
	uint64_t end;

	if (!r)
		return 0;
	end = r->c.gpa + r->c.size;
	for (; r < last && r[1].c.gpa == end; r++)
		end += r[1].c.size;
	return end - gpa;
}

void *fe_mem_at(const struct fe_mem *m, uint64_t gpa, uint64_t len)
{
	const struct fe_region *r = region_of(m, gpa);

	if (!r || stretch(m, gpa) < len)
		return NULL;
	return r->host + (gpa - r->c.gpa);
}

uint64_t fe_mem_uva(const struct fe_mem *m, uint64_t gpa)
{
	const struct fe_region *r = region_of(m, gpa);

	return r ? r->c.uva + (gpa - r->c.gpa) : UINT64_MAX;
}

uint64_t fe_mem_alloc(struct fe_mem *m, uint64_t len, uint64_t align)
{
	const struct fe_region *r;
	uint64_t gpa = rw_align_up(m->next, align);

	while (stretch(m, gpa) < len) {
		/* The next stretch starts with the region after the last one of this. */
		r = region_of(m, gpa);
		if (!r)
			r = region_of(m, m->next);
		if (!r || ++r >= m->regions + m->nregions)
			return UINT64_MAX;
		m->next = r->c.gpa;
		gpa = rw_align_up(m->next, align);
	}
	m->next = gpa + len;
	return gpa;
}

void fe_mem_table(const struct fe_mem *m, struct vu_mem_table *table, int fds[FE_MAX_REGIONS])
{
	uint32_t i;

	memset(table, 0, sizeof(*table));
	table->nregions = m->nregions;
	for (i = 0; i < m->nregions; i++) {
		const struct fe_region_config *c = &m->regions[i].c;

		table->regions[i] = (struct vu_mem_region){
			.gpa = c->gpa,
			.size = c->size,
			.uva = c->uva,
			.mmap_offset = c->mmap_offset,
		};
		fds[i] = m->regions[i].fd;
	}
}
