/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fe_shadow.h"
#include "guest.h"

struct fe_shadow {
	struct fe_guest *g;
	uint8_t *copy; /* of all regions, one after the other */
	uint64_t size; /* bytes of each bitmap */

	/* Bitmaps by guest-physical page, since the last reset. */
	uint8_t *fetched; /* by the pull in progress */
	uint8_t *marked;
	uint8_t *changed; /* the pull found it different */
	uint8_t *written; /* by what the guest took from a ring */
	uint8_t *due;     /* the same, while logging was on */
	uint8_t *allowed; /* may be written at any time */
};

static void bit_set(const struct fe_shadow *s, uint8_t *map, uint64_t gpa)
{
	uint64_t page = gpa / FE_PAGE;

	if (page / 8 < s->size)
		map[page / 8] |= (uint8_t)(1u << page % 8);
}

static bool bit_has(const struct fe_shadow *s, const uint8_t *map, uint64_t gpa)
{
	uint64_t page = gpa / FE_PAGE;

	return page / 8 < s->size && map[page / 8] >> page % 8 & 1;
}

/* The copy of the byte at `p`, or NULL: not in it. */
static uint8_t *copy_of(const struct fe_shadow *s, const void *p, size_t len)
{
	const struct fe_mem *m = &s->g->mem;
	uint8_t *copy = s->copy;
	uint32_t i;

	for (i = 0; i < m->nregions && !m->regions[i].own; copy += m->regions[i++].c.size) {
		uintptr_t off = (uintptr_t)p - (uintptr_t)m->regions[i].host;

		/* It may straddle regions: they follow each other in the copy, too. */
		if (off < m->regions[i].c.size)
			return len <= m->len ? copy + off : NULL;
	}
	return NULL;
}

void fe_shadow_wrote(void *ctx, const void *at, const void *bytes, size_t len)
{
	uint8_t *copy = copy_of(ctx, at, len);

	if (copy)
		memcpy(copy, bytes, len);
}

void fe_shadow_note(struct fe_guest *g, const void *at, size_t len)
{
	fe_guest_wrote(g, at, len);
}

/* [addr, addr + len) of guest memory was written by the device. */
static void device_wrote(struct fe_shadow *s, uint64_t addr, uint64_t len, bool logged)
{
	uint64_t page = addr & ~(FE_PAGE - 1);
	uint64_t gpa;

	for (; page < addr + len; page += FE_PAGE) {
		gpa = fe_mem_gpa(&s->g->mem, page);
		bit_set(s, s->written, gpa);
		if (logged)
			bit_set(s, s->due, gpa);
	}
}

/* Whether the device area is logged elsewhere than where it is; behind an IOMMU it never is. */
static bool is_remote(const struct fe_queue *q)
{
	return q->log_addr && !fe_guest_translates(q->g);
}

/*
 * Bytes [off, off + len) of the ring's device area: set their bits in `map` where they are logged.
 */
static void device_area(const struct fe_queue *q, uint8_t *map, const struct fe_shadow *s,
	uint64_t off, uint64_t len)
{
	uint64_t addr = is_remote(q) ? q->log_addr : q->gpa + q->layout.device;
	uint64_t end = addr + off + len;

	for (addr = (addr + off) & ~(FE_PAGE - 1); addr < end; addr += FE_PAGE)
		bit_set(s, map, is_remote(q) ? addr : fe_mem_gpa(&s->g->mem, addr));
}

void fe_shadow_ring(struct fe_queue *q, uint16_t at, bool entry)
{
	struct fe_shadow *s = q->g->shadow;
	bool logged = q->g->log_all && q->log;
	uint64_t off = sizeof(struct vring_used);

	if (q->ring.format == FE_PACKED) {
		if (entry)
			device_wrote(s, q->gpa + q->layout.desc + at * sizeof(*q->ring.pdesc),
				sizeof(*q->ring.pdesc), logged);
		return;
	}
	/* The index always, the entry for all but the rest of a batch. */
	device_area(q, s->written, s, 0, off);
	off += (at & (q->ring.num - 1u)) * sizeof(struct vring_used_elem);
	if (entry)
		device_area(q, s->written, s, off, sizeof(struct vring_used_elem));
	if (!logged)
		return;
	device_area(q, s->due, s, 0, sizeof(struct vring_used));
	if (entry)
		device_area(q, s->due, s, off, sizeof(struct vring_used_elem));
}

void fe_shadow_buf(struct fe_queue *q, uint16_t b, uint32_t off, uint32_t len)
{
	device_wrote(
		q->g->shadow, q->bufs.gpa + (uint64_t)b * q->bufs.stride + off, len, q->g->log_all);
}

/* What the device may write to a ring at any time: whether it wants a kick. */
static void allow_events(struct fe_shadow *s)
{
	const struct fe_queue *q;
	uint32_t i;

	for (i = 0; i < s->g->nqueues; i++) {
		q = &s->g->queues[i];
		device_area(q, s->allowed, s, 0, sizeof(struct vring_packed_desc_event));
		if (q->ring.format == FE_SPLIT)
			device_area(q, s->allowed, s,
				sizeof(struct vring_used) +
					q->ring.num * sizeof(struct vring_used_elem),
				sizeof(uint16_t));
	}
}

/* Tell the rings whom to report their writes to. */
static void hook(struct fe_guest *g, struct fe_shadow *s)
{
	uint32_t i;

	g->shadow = s;
	for (i = 0; i < g->nqueues; i++) {
		g->queues[i].ring.wrote = s ? fe_shadow_wrote : NULL;
		g->queues[i].ring.wrote_ctx = s;
	}
}

int fe_shadow_new(struct fe_guest *g, uint64_t log_size)
{
	struct fe_shadow *s;
	uint64_t bytes = 0;
	uint32_t i;

	if (g->shadow)
		return -EBUSY;
	for (i = 0; i < g->mem.nregions && !g->mem.regions[i].own; i++)
		bytes += g->mem.regions[i].c.size;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->g = g;
	s->size = log_size;
	s->copy = malloc(bytes + 1); /* there may be nothing to watch */
	s->fetched = calloc(6, log_size);
	if (!s->copy || !s->fetched) {
		fe_shadow_free(s);
		return -ENOMEM;
	}
	s->marked = s->fetched + log_size;
	s->changed = s->marked + log_size;
	s->written = s->changed + log_size;
	s->due = s->written + log_size;
	s->allowed = s->due + log_size;
	hook(g, s);
	fe_shadow_reset(s);
	return 0;
}

void fe_shadow_free(struct fe_shadow *s)
{
	if (!s)
		return;
	if (s->g->shadow == s)
		hook(s->g, NULL);
	free(s->copy);
	free(s->fetched);
	free(s);
}

void fe_shadow_reset(struct fe_shadow *s)
{
	const struct fe_region *r = s->g->mem.regions;
	const struct fe_region *end = r + s->g->mem.nregions;
	uint8_t *copy = s->copy;

	memset(s->fetched, 0, 6 * s->size);
	for (; r < end && !r->own; copy += r->c.size, r++)
		memcpy(copy, r->host, r->c.size);
}

/* Do `fn` for each page of the copy: its guest-physical address, the page, its copy. */
static void for_each_page(struct fe_shadow *s,
	void (*fn)(struct fe_shadow *s, uint64_t gpa, uint8_t *page, uint8_t *copy, void *arg),
	void *arg)
{
	const struct fe_region *r = s->g->mem.regions;
	const struct fe_region *end = r + s->g->mem.nregions;
	uint8_t *copy = s->copy;
	uint64_t off, at;

	for (; r < end && !r->own; r++) {
		for (off = 0; off < r->c.size; off += FE_PAGE, copy += FE_PAGE) {
			at = r->order ? r->order[off / FE_PAGE] * FE_PAGE : off;
			fn(s, r->c.gpa + at, r->host + off, copy, arg);
		}
	}
}

static void pull_page(struct fe_shadow *s, uint64_t gpa, uint8_t *page, uint8_t *copy, void *arg)
{
	(void)arg;
	if (!bit_has(s, s->fetched, gpa) || !memcmp(page, copy, FE_PAGE))
		return;
	bit_set(s, s->changed, gpa);
	memcpy(copy, page, FE_PAGE);
}

/* A device area that is logged elsewhere travels when a page there is marked. */
static void pull_areas(struct fe_shadow *s)
{
	const struct fe_queue *q;
	uint64_t page, len;
	uint32_t i;

	for (i = 0; i < s->g->nqueues; i++) {
		q = &s->g->queues[i];
		len = q->layout.bytes - q->layout.device;
		if (!is_remote(q))
			continue;
		for (page = q->log_addr & ~(FE_PAGE - 1); page < q->log_addr + len;
			page += FE_PAGE) {
			if (!bit_has(s, s->fetched, page))
				continue;
			fe_guest_wrote(
				s->g, fe_mem_at(&s->g->mem, q->gpa + q->layout.device, len), len);
			break;
		}
	}
}

uint64_t fe_shadow_pull(struct fe_shadow *s, struct fe_log *log)
{
	uint64_t n, i;

	if (log->base.size > s->size)
		return 0;
	memset(s->fetched, 0, s->size);
	n = fe_log_fetch(log, s->fetched);
	for (i = 0; i < s->size; i++)
		s->marked[i] |= s->fetched[i];
	if (n) {
		for_each_page(s, pull_page, NULL);
		pull_areas(s);
	}
	return n;
}

static void compare_page(struct fe_shadow *s, uint64_t gpa, uint8_t *page, uint8_t *copy, void *arg)
{
	struct fe_shadow_report *r = arg;

	(void)s;
	if (!memcmp(page, copy, FE_PAGE))
		return;
	if (!r->lost++)
		r->first_lost = gpa;
}

/* Bits of a & ~b; the address of the first. */
static uint64_t count_without(
	const struct fe_shadow *s, const uint8_t *a, const uint8_t *b, uint64_t *first)
{
	uint64_t n = 0;
	uint64_t i;
	unsigned bits;

	for (i = 0; i < s->size; i++) {
		bits = a[i] & (uint8_t)~b[i];
		if (bits && !n)
			*first = (i * 8 + (unsigned)__builtin_ctz(bits)) * FE_PAGE;
		n += (unsigned)__builtin_popcount(bits);
	}
	return n;
}

bool fe_shadow_check(struct fe_shadow *s, struct fe_log *log, struct fe_shadow_report *out)
{
	struct fe_shadow_report r = {0};
	uint64_t unused, i;

	fe_shadow_pull(s, log);
	for_each_page(s, compare_page, &r);
	allow_events(s);
	memset(s->fetched, 0, s->size);
	r.marked = count_without(s, s->marked, s->fetched, &unused);
	r.changed = count_without(s, s->changed, s->fetched, &unused);
	r.unmarked = count_without(s, s->due, s->marked, &r.first_unmarked);
	for (i = 0; i < s->size; i++)
		s->fetched[i] = s->changed[i] | s->written[i] | s->allowed[i];
	r.idle = count_without(s, s->marked, s->fetched, &r.first_idle);
	*out = r;
	return !r.lost && !r.unmarked && !r.idle;
}
