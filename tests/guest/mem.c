/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fe_mem.h"

#define HUGEPAGE (2ull << 20)

/* Open region `r`'s file, or that of `prev`, and make it long enough. */
static int region_open(struct fe_region *r, const struct fe_region *prev, bool hugetlb)
{
	uint64_t end = r->c.mmap_offset + r->c.size;
	off_t now;

	if (r->c.same_file && prev)
		r->fd = dup(prev->fd);
	else
		r->fd = memfd_create("guest", MFD_CLOEXEC | (hugetlb ? MFD_HUGETLB : 0));
	if (r->fd < 0)
		return -errno;
	now = lseek(r->fd, 0, SEEK_END);
	if (now < 0 || ((uint64_t)now < end && ftruncate(r->fd, (off_t)end) < 0))
		return -errno;
	return 0;
}

/* Map `len` bytes of region `r` from byte `off` on; `at` NULL: anywhere. NULL with errno set. */
static uint8_t *region_map(const struct fe_region *r, void *at, uint64_t off, uint64_t len)
{
	void *p = mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), r->fd,
		(off_t)(r->c.mmap_offset + off));

	return p == MAP_FAILED ? NULL : p;
}

static int regions_map(struct fe_mem *m, uint64_t page, bool hugetlb)
{
	uint8_t *at = (uint8_t *)(uintptr_t)rw_align_up((uintptr_t)m->base, page);
	struct fe_region *r;
	uint32_t i;
	int err;

	for (i = 0; i < m->nregions; i++) {
		r = &m->regions[i];
		err = region_open(r, i ? r - 1 : NULL, hugetlb);
		if (err)
			return err;
		r->host = region_map(r, at, 0, r->c.size);
		if (!r->host)
			return -errno;
		at += r->c.size;
	}
	return 0;
}

int fe_mem_init(struct fe_mem *m, const struct fe_region_config *regions, uint32_t n, bool hugetlb)
{
	uint64_t page = hugetlb ? HUGEPAGE : FE_PAGE;
	uint64_t len = 0;
	uint32_t i;
	int err;

	if (n == 0 || n > FE_MAX_REGIONS)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		if (regions[i].size == 0 || (regions[i].size | regions[i].mmap_offset) % page)
			return -EINVAL;
		len += regions[i].size;
	}
	memset(m, 0, sizeof(*m));
	m->regions = calloc(FE_MAX_REGIONS, sizeof(*m->regions));
	if (!m->regions)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		m->regions[i] = (struct fe_region){.c = regions[i], .fd = -1};
	m->nregions = n;
	m->next = regions[0].gpa;
	m->len = len + page;
	m->base = mmap(NULL, m->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED) {
		m->base = NULL;
		err = -errno;
	} else {
		err = regions_map(m, page, hugetlb);
	}
	if (err)
		fe_mem_fini(m);
	return err;
}

static void region_fini(struct fe_region *r)
{
	if (r->own && r->host)
		munmap(r->host, r->c.size);
	if (r->fd >= 0)
		close(r->fd);
	free(r->order);
}

void fe_mem_fini(struct fe_mem *m)
{
	uint32_t i;

	for (i = 0; i < m->nregions; i++)
		region_fini(&m->regions[i]);
	if (m->base)
		munmap(m->base, m->len);
	free(m->regions);
	memset(m, 0, sizeof(*m));
}

static int region_scatter(struct fe_region *r, uint32_t *seed)
{
	uint32_t n = (uint32_t)(r->c.size / FE_PAGE);
	uint32_t i, j, t;

	r->order = malloc(n * sizeof(*r->order));
	if (!r->order)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		r->order[i] = i;
	for (i = n - 1; i > 0; i--) {
		*seed = *seed * 1664525u + 1013904223u;
		j = (*seed >> 4) % (i + 1);
		t = r->order[i];
		r->order[i] = r->order[j];
		r->order[j] = t;
	}
	for (i = 0; i < n; i++)
		if (!region_map(r, r->host + i * FE_PAGE, r->order[i] * FE_PAGE, FE_PAGE))
			return -errno;
	return 0;
}

int fe_mem_scatter(struct fe_mem *m, uint32_t seed)
{
	uint32_t i;
	int err;

	for (i = 0; i < m->nregions; i++) {
		if (m->regions[i].order)
			return -EBUSY;
		err = region_scatter(&m->regions[i], &seed);
		if (err)
			return err;
	}
	return 0;
}

int fe_mem_add(struct fe_mem *m, const struct fe_region_config *region)
{
	struct fe_region r = {.c = *region, .fd = -1, .own = true};
	int err;

	if (m->nregions == FE_MAX_REGIONS)
		return -ENOSPC;
	if (region->size == 0 || (region->size | region->mmap_offset) % FE_PAGE)
		return -EINVAL;
	err = region_open(&r, m->nregions ? &m->regions[m->nregions - 1] : NULL, false);
	if (!err) {
		r.host = region_map(&r, NULL, 0, r.c.size);
		err = r.host ? 0 : -errno;
	}
	if (err) {
		region_fini(&r);
		return err;
	}
	m->regions[m->nregions++] = r;
	return 0;
}

void fe_mem_remove(struct fe_mem *m, uint32_t i)
{
	struct fe_region *r = &m->regions[i];

	/* Within the range of all the addresses stay ours: fe_mem_fini gives them back together. */
	if (!r->own &&
		mmap(r->host, r->c.size, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
			0) == MAP_FAILED)
		abort(); /* out of memory, and there is no going on with half of a guest */
	region_fini(r);
	m->nregions--;
	memmove(r, r + 1, (m->nregions - i) * sizeof(*r));
}

static const struct fe_region *region_of(const struct fe_mem *m, uint64_t addr)
{
	uint32_t i;

	for (i = 0; i < m->nregions; i++)
		if (addr - m->regions[i].c.gpa < m->regions[i].c.size)
			return &m->regions[i];
	return NULL;
}

uint64_t fe_mem_stretch(const struct fe_mem *m, uint64_t addr)
{
	const struct fe_region *r = region_of(m, addr);
	const struct fe_region *last = m->regions + m->nregions - 1;
	uint64_t end;

	if (!r)
		return 0;
	end = r->c.gpa + r->c.size;
	for (; r < last && r[1].c.gpa == end && r[1].host == r->host + r->c.size; r++)
		end += r[1].c.size;
	return end - addr;
}

void *fe_mem_at(const struct fe_mem *m, uint64_t addr, uint64_t len)
{
	const struct fe_region *r = region_of(m, addr);

	if (!r || fe_mem_stretch(m, addr) < len)
		return NULL;
	return r->host + (addr - r->c.gpa);
}

uint64_t fe_mem_gpa(const struct fe_mem *m, uint64_t addr)
{
	const struct fe_region *r = region_of(m, addr);
	uint64_t off;

	if (!r || !r->order)
		return r ? addr : UINT64_MAX;
	off = addr - r->c.gpa;
	return r->c.gpa + r->order[off / FE_PAGE] * FE_PAGE + off % FE_PAGE;
}

uint64_t fe_mem_addr(const struct fe_mem *m, const void *p)
{
	uint32_t i;

	for (i = 0; i < m->nregions; i++) {
		uintptr_t off = (uintptr_t)p - (uintptr_t)m->regions[i].host;

		if (off < m->regions[i].c.size)
			return m->regions[i].c.gpa + off;
	}
	return UINT64_MAX;
}

uint64_t fe_mem_gpa_uva(const struct fe_mem *m, uint64_t gpa)
{
	const struct fe_region *r = region_of(m, gpa);

	return r ? r->c.uva + (gpa - r->c.gpa) : UINT64_MAX;
}

uint64_t fe_mem_uva(const struct fe_mem *m, uint64_t addr)
{
	return fe_mem_gpa_uva(m, fe_mem_gpa(m, addr));
}

uint64_t fe_mem_alloc(struct fe_mem *m, uint64_t len, uint64_t align)
{
	const struct fe_region *r;
	uint64_t addr = rw_align_up(m->next, align);

	while (fe_mem_stretch(m, addr) < len) {
		/* The next stretch starts with the region after the last one of this. */
		r = region_of(m, addr);
		if (!r)
			r = region_of(m, m->next);
		if (!r || ++r >= m->regions + m->nregions)
			return UINT64_MAX;
		m->next = r->c.gpa;
		addr = rw_align_up(m->next, align);
	}
	m->next = addr + len;
	return addr;
}

struct vu_mem_region fe_mem_wire(const struct fe_mem *m, uint32_t i)
{
	const struct fe_region_config *c = &m->regions[i].c;

	return (struct vu_mem_region){
		.gpa = c->gpa,
		.size = c->size,
		.uva = c->uva,
		.mmap_offset = c->mmap_offset,
	};
}

void fe_mem_table(const struct fe_mem *m, struct vu_mem_table *table, int fds[FE_MAX_REGIONS])
{
	uint32_t i;

	memset(table, 0, sizeof(*table));
	table->nregions = RW_MIN(m->nregions, VU_MAX_TABLE_REGIONS);
	for (i = 0; i < table->nregions; i++) {
		table->regions[i] = fe_mem_wire(m, i);
		fds[i] = m->regions[i].fd;
	}
}

static uint64_t poison_word(size_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ull;
}

void fe_poison(void *p, size_t len)
{
	uint8_t *b = p;
	uint64_t w;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		w = poison_word(i);
		n = RW_MIN(len - i, sizeof(w));
		memcpy(b + i, &w, n);
	}
}

bool fe_is_poison(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t w;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		w = poison_word(i);
		n = RW_MIN(len - i, sizeof(w));
		if (memcmp(b + i, &w, n))
			return false;
	}
	return true;
}
