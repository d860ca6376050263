/* SPDX-License-Identifier: BSD-3-Clause */
/* What a virtqueue may do: where it may write, and which segments a chain has. */
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

static const struct gm_region_desc layout[NREGIONS] = {
	{.gpa = 0, .size = 0x5000, .uva = 0x10000000},
	{.gpa = 0x5000, .size = 0x1000, .uva = 0x20000000, .mmap_offset = 0x40},
	{.gpa = 0x8000, .size = 0x1000, .uva = 0x30000000},
};

static int mem_file(uint64_t bytes)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	fuzz_check(fd >= 0 && !ftruncate(fd, (off_t)bytes));
	return fd;
}

void mem_init(struct fuzz_mem *m)
{
	int fds[NREGIONS], fd = mem_file(4096);

	for (int i = 0; i < NREGIONS; i++)
		fds[i] = mem_file(layout[i].mmap_offset + layout[i].size);
	fuzz_check(!gm_map_new(NULL, layout, fds, NREGIONS, NULL, &m->map));
	for (int i = 0; i < NREGIONS; i++)
		close(fds[i]);
	m->log_bits = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fuzz_check(m->log_bits != MAP_FAILED);
	fuzz_check(!dl_open(NULL, fd, LOG_BYTES, 0, &m->log));
	close(fd);
}

void mem_reset(struct fuzz_mem *m)
{
	for (int i = 0; i < NREGIONS; i++)
		memset(m->map->regions[i].host, 0, m->map->regions[i].size);
	memset(m->shadow, 0, sizeof(m->shadow));
	memset(m->log_bits, 0, LOG_BYTES);
}

/* The region that holds `gpa`, and where it begins in the shadow. */
static const struct gm_region *region_of(const struct fuzz_mem *m, uint64_t gpa, uint64_t *shadow)
{
	uint64_t at = 0;

	for (int i = 0; i < NREGIONS; i++) {
		const struct gm_region *region = &m->map->regions[i];

		if (gpa - region->gpa < region->size) {
			*shadow = at + (gpa - region->gpa);
			return region;
		}
		at += region->size;
	}
	return NULL;
}

uint8_t *mem_at(const struct fuzz_mem *m, uint64_t gpa, uint64_t *len)
{
	uint64_t shadow;
	const struct gm_region *region = region_of(m, gpa, &shadow);

	if (!region)
		return NULL;
	*len = RW_MIN(*len, region->size - (gpa - region->gpa));
	return region->host + (gpa - region->gpa);
}

void mem_write(struct fuzz_mem *m, uint64_t gpa, const void *data, uint64_t len)
{
	const uint8_t *from = data;

	while (len) {
		uint64_t shadow, piece = len;
		uint8_t *to = mem_at(m, gpa, &piece);

		if (!to)
			return;
		region_of(m, gpa, &shadow);
		memcpy(to, from, piece);
		memcpy(m->shadow + shadow, from, piece);
		gpa += piece;
		from += piece;
		len -= piece;
	}
}

/* Whether the device may write the byte at `gpa`. */
static bool is_devices(const struct ring *r, uint64_t gpa)
{
	struct vq_areas bytes = vq_area_bytes(r->cfg.features, r->num);

	if (gpa - DEVICE_AT < bytes.device)
		return true;
	/* Of a packed descriptor all but the address. */
	return PACKED && gpa - DESC_AT < bytes.desc && gpa % 16 >= 8;
}

static void check_byte(const struct ring *r, uint64_t gpa, bool flushed)
{
	fuzz_check(is_devices(r, gpa));
	if (flushed && r->cfg.nlog_pieces)
		fuzz_check(r->mem->log_bits[gpa / DL_PAGE / 8] >> (gpa / DL_PAGE % 8) & 1);
}

void ring_check_writes(struct ring *r, bool flushed)
{
	struct fuzz_mem *m = r->mem;
	uint64_t at = 0;

	for (int i = 0; i < NREGIONS; i++) {
		const struct gm_region *region = &m->map->regions[i];
		uint8_t *shadow = m->shadow + at;

		at += region->size;
		if (!memcmp(region->host, shadow, region->size))
			continue;
		for (uint64_t k = 0; k < region->size; k++) {
			if (region->host[k] != shadow[k])
				check_byte(r, region->gpa + k, flushed);
		}
		if (flushed)
			memcpy(shadow, region->host, region->size);
	}
}

void ring_check_state(const struct ring *r)
{
	const struct vq *vq = &r->vq;

	if (PACKED) {
		fuzz_check(vq->next.idx < vq->num && vq->done.idx < vq->num);
		fuzz_check(vq->first_pos < vq->num);
	} else {
		fuzz_check((uint16_t)(vq->avail_seen - vq->next.idx) <= vq->num);
	}
	fuzz_check(vq->nmisses <= VQ_MAX_MISSES);
	fuzz_check(vq->npending == r->ndone);
}

/* ---- chains ---- */

/* The bytes that a chain should have, walked by other code. */
struct model {
	const struct ring *r;
	unsigned nsegs;
	uint64_t len;
	bool bad;
};

/* Bytes [addr, addr + len), which must be those of the next segments. */
static void model_add(struct model *w, uint64_t addr, uint64_t len)
{
	while (len && !w->bad) {
		uint64_t piece = len;
		uint8_t *p = mem_at(w->r->mem, addr, &piece);

		if (!p || w->nsegs >= vq_max_segs(w->r->num)) {
			w->bad = true;
			return;
		}
		/* What the segment is, is read only of a chain that is good. */
		fuzz_check(w->r->segs[w->nsegs].data == p && w->r->segs[w->nsegs].len == piece);
		w->nsegs++;
		w->len += piece;
		addr += piece;
		len -= piece;
	}
}

/* The 16 bytes at `gpa`, as a descriptor. */
static bool model_load(const struct model *w, uint64_t gpa, struct vq_desc *d)
{
	uint8_t bytes[16];

	for (unsigned got = 0; got < sizeof(bytes);) {
		uint64_t piece = sizeof(bytes) - got;
		const uint8_t *p = mem_at(w->r->mem, gpa + got, &piece);

		if (!p)
			return false;
		memcpy(bytes + got, p, piece);
		got += (unsigned)piece;
	}
	memcpy(&d->addr, bytes, 8);
	memcpy(&d->len, bytes + 8, 4);
	memcpy(PACKED ? &d->next : &d->flags, bytes + 12, 2);
	memcpy(PACKED ? &d->flags : &d->next, bytes + 14, 2);
	if (w->r->cfg.swap)
		*d = (struct vq_desc){__builtin_bswap64(d->addr), __builtin_bswap32(d->len),
			__builtin_bswap16(d->flags), __builtin_bswap16(d->next)};
	return true;
}

static void model_desc(struct model *w, struct vq_desc d)
{
	if (!!(d.flags & VRING_DESC_F_WRITE) != w->r->writable)
		w->bad = true;
	else
		model_add(w, d.addr, d.len);
}

static void model_table(struct model *w, struct vq_desc d)
{
	uint32_t n = d.len / 16, i = 0;

	w->bad = d.len % 16 || !n || n > w->r->num || (d.flags & VRING_DESC_F_NEXT) ||
		!w->r->vq.indirect;
	for (uint32_t left = n; left && !w->bad; left--) {
		struct vq_desc e;

		if (i >= n || !model_load(w, d.addr + i * 16ull, &e) ||
			(e.flags & VRING_DESC_F_INDIRECT)) {
			w->bad = true;
			return;
		}
		/* What a packed table's buffers allow beyond reading does not matter. */
		if (PACKED && !w->r->writable)
			e.flags &= (uint16_t)~VRING_DESC_F_WRITE;
		model_desc(w, e);
		if (!PACKED && !(e.flags & VRING_DESC_F_NEXT))
			return;
		i = PACKED ? i + 1 : e.next;
	}
	/* A split table's last entry that was read says that there is another one. */
	w->bad = w->bad || !PACKED;
}

static void model_chain(struct model *w, uint32_t at)
{
	for (uint32_t left = w->r->num; left && !w->bad; left--) {
		struct vq_desc d;

		if (at >= w->r->num || !model_load(w, DESC_AT + at * 16ull, &d)) {
			w->bad = true;
			return;
		}
		if (d.flags & VRING_DESC_F_INDIRECT)
			model_table(w, d);
		else
			model_desc(w, d);
		/* A table ends a split chain. In a packed ring it must not have NEXT either. */
		if (!(d.flags & VRING_DESC_F_NEXT) || (!PACKED && d.flags & VRING_DESC_F_INDIRECT))
			return;
		at = PACKED ? (at + 1) % w->r->num : d.next;
	}
	w->bad = true;
}

/* Every segment is inside of one region. */
static void check_segs(const struct ring *r, const struct vq_chain *c)
{
	uint64_t len = 0;

	fuzz_check(c->nsegs <= vq_max_segs(r->num));
	for (unsigned i = 0; i < c->nsegs; i++) {
		const struct rw_seg *seg = &r->segs[i];
		bool inside = false;

		for (int k = 0; k < NREGIONS; k++) {
			const struct gm_region *region = &r->mem->map->regions[k];
			uint64_t off = (uint64_t)(seg->data - region->host);

			inside = inside || (off < region->size && seg->len <= region->size - off);
		}
		fuzz_check(inside && seg->len);
		len += seg->len;
	}
	fuzz_check(len == c->len);
}

void ring_check_chain(
	const struct ring *r, struct vq_cursor at, const struct vq_chain *c, enum vq_status status)
{
	struct model w = {.r = r};

	if (status == VQ_CHAIN)
		check_segs(r, c);
	if (status == VQ_MISS)
		fuzz_check(r->tlb && r->vq.nmisses);
	if (status == VQ_CHAIN || status == VQ_BAD_ADDR || status == VQ_BAD_FORM) {
		fuzz_check(c->ndesc && c->ndesc <= r->num);
		fuzz_check(PACKED || c->id < r->num);
	}
	/* Chains out of a record have the descriptors that the record kept. */
	if (status != VQ_CHAIN || r->tlb || r->resumed || (PACKED && r->record && !r->honest))
		return;
	model_chain(&w, PACKED ? at.idx : c->id);
	fuzz_check(!w.bad && w.nsegs == c->nsegs && w.len == c->len);
}
