/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A guest for the device side: memory in two regions that are not contiguous for us, and a ring. A
 * test's variants differ in format, size and slow-path features; the same tests must pass with
 * them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fe_ring.h"
#include "vq_ops.h"

#define F(bit) (1ull << (bit))

/* Guest-physical layout: the ring and tables, then buffers; the second region follows at once. */
#define REGION_SIZE (4u << 20)
#define BUFFERS     (3u << 20)
#define BORDER      REGION_SIZE /* first address of the second region */
#define HOLE        (2ull * REGION_SIZE)
/* Where the second region starts in its file: their mappings may touch, the regions never do. */
#define LEAD  64u
#define UVA_0 0x10000000ull
#define UVA_1 0x50000000ull

/* The slow-path features of a variant. */
#define X_BODY   1u  /* bodies compiled with VQ_SLOW, none of them in use */
#define X_IOTLB  2u  /* I/O virtual addresses; they start out equal to guest-physical ones */
#define X_LOG    4u  /* a dirty log of the ring */
#define X_RECORD 8u  /* an in-flight record */
#define X_BIG    16u /* a big-endian driver */
#define X_ALL    (X_IOTLB | X_LOG | X_RECORD)

/* The log's bitmap begins somewhere in its file, and there is a page of it to spare. */
#define LOG_OFFSET 4103
#define LOG_BYTES  ((HOLE + REGION_SIZE) / DL_PAGE / 8)

struct fixture {
	int fds[2];
	struct gm_map *map;
	uint8_t *mem[2]; /* the test's own view of the two regions */
	struct fe_ring ring;
	struct vq vq;
	bool packed;
	unsigned mode; /* VQ_PACKED, VQ_SLOW */
	uint16_t num;
	uint64_t features;
	int call_fd;
	struct rw_seg *segs;
	struct vq_config cfg; /* what vq_init was given */

	/* The slow-path features that the variant has. */
	struct gm_iotlb *tlb;
	int log_fd;
	uint8_t *log_bits; /* the test's own view of the bitmap */
	struct dl_log *log;
	struct dl_batch batch;
	struct gm_piece pieces[3];
	void *record;
};

struct setup {
	enum fe_format format;
	uint16_t num;
	uint64_t features;
	uint16_t start; /* split: index; packed: slot */
	bool wrap;      /* packed */
	unsigned slow;
};

static inline uint8_t *guest(struct fixture *f, uint64_t gpa)
{
	return gpa < BORDER ? f->mem[0] + gpa : f->mem[1] + (gpa - BORDER);
}

static inline void memory_new(struct fixture *f)
{
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = REGION_SIZE, .uva = UVA_0},
		{.gpa = BORDER, .size = REGION_SIZE, .uva = UVA_1, .mmap_offset = LEAD},
	};

	for (int i = 0; i < 2; i++) {
		uint64_t bytes = d[i].mmap_offset + REGION_SIZE;

		f->fds[i] = memfd_create("guest", MFD_CLOEXEC);
		assert_int_equal(ftruncate(f->fds[i], (off_t)bytes), 0);
		f->mem[i] = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f->fds[i], 0);
		assert_ptr_not_equal(f->mem[i], MAP_FAILED);
		f->mem[i] += d[i].mmap_offset;
	}
	assert_int_equal(gm_map_new(NULL, d, f->fds, 2, NULL, &f->map), 0);
}

static inline uint32_t base_of(const struct setup *s)
{
	uint32_t half = s->start | (s->wrap ? 0x8000u : 0);

	return s->format == FE_PACKED ? half | half << 16 : s->start;
}

static inline void log_new(struct fixture *f)
{
	f->log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->log_fd, LOG_OFFSET + LOG_BYTES), 0);
	f->log_bits = mmap(
		NULL, LOG_OFFSET + LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->log_fd, 0);
	assert_ptr_not_equal(f->log_bits, MAP_FAILED);
	f->log_bits += LOG_OFFSET;
	assert_int_equal(dl_open(NULL, f->log_fd, LOG_BYTES, LOG_OFFSET, &f->log), 0);
	dl_batch_init(&f->batch, f->log);
}

/* Whether the page of guest-physical `gpa` is marked. */
static inline bool logged(const struct fixture *f, uint64_t gpa)
{
	return f->log_bits[gpa / DL_PAGE / 8] >> (gpa / DL_PAGE % 8) & 1;
}

static inline void iotlb_new(struct fixture *f)
{
	f->tlb = gm_iotlb_new();
	assert_non_null(f->tlb);
	assert_int_equal(
		gm_iotlb_update(f->tlb, f->map, 0, REGION_SIZE, UVA_0, GM_READ | GM_WRITE), 0);
	assert_int_equal(
		gm_iotlb_update(f->tlb, f->map, BORDER, REGION_SIZE, UVA_1, GM_READ | GM_WRITE), 0);
}

/* What of the ring the device writes, at the addresses that it has in the fixture. */
static inline void pieces_set(struct fixture *f)
{
	struct vq_areas bytes = vq_area_bytes(f->features, f->num);
	struct gm_piece device = {.host = f->cfg.device,
		.len = bytes.device,
		.gpa = (uint64_t)((uint8_t *)f->cfg.device - f->mem[0])};
	struct gm_piece desc = {.host = f->cfg.desc,
		.len = bytes.desc,
		.gpa = (uint64_t)((uint8_t *)f->cfg.desc - f->mem[0])};

	f->pieces[0] = device;
	f->pieces[1] = desc;
	f->cfg.log_pieces = f->pieces;
	f->cfg.nlog_pieces = f->packed ? 2 : 1;
}

static inline void slow_new(struct fixture *f, unsigned slow)
{
	if (slow)
		f->mode |= VQ_SLOW;
	if (slow & X_IOTLB) {
		iotlb_new(f);
		f->cfg.tlb = f->tlb;
	}
	if (slow & X_LOG) {
		log_new(f);
		pieces_set(f);
		f->cfg.log = &f->batch;
	}
	if (slow & X_RECORD) {
		uint64_t bytes = vq_inflight_bytes(f->features, f->num);

		f->record = aligned_alloc(64, bytes);
		assert_non_null(f->record);
		memset(f->record, 0, bytes);
		f->cfg.inflight = f->record;
	}
	f->cfg.swap = slow & X_BIG;
}

static inline struct fixture *fixture_new(const struct setup *s)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct fe_layout lay;
	struct fe_ring_config rc = {.format = s->format, .num = s->num, .start = s->start};

	memory_new(f);
	f->packed = s->format == FE_PACKED;
	f->mode = f->packed ? VQ_PACKED : 0;
	f->num = s->num;
	f->features = s->features | (f->packed ? F(VIRTIO_F_RING_PACKED) : 0);
	f->call_fd = eventfd(0, EFD_NONBLOCK);
	f->segs = calloc(vq_max_segs(s->num), sizeof(*f->segs));
	fe_ring_layout(s->format, s->num, &lay);
	rc.event_idx = s->features & F(VIRTIO_RING_F_EVENT_IDX);
	rc.in_order = s->features & F(VIRTIO_F_IN_ORDER);
	rc.wrap = s->wrap;
	rc.swap = s->slow & X_BIG;
	rc.desc = f->mem[0] + lay.desc;
	rc.driver = f->mem[0] + lay.driver;
	rc.device = f->mem[0] + lay.device;
	assert_int_equal(fe_ring_init(&f->ring, &rc), 0);
	f->cfg = (struct vq_config){
		.mem = f->map,
		.desc = rc.desc,
		.driver = rc.driver,
		.device = rc.device,
		.features = f->features,
		.base = base_of(s),
		.num = s->num,
		.call_fd = f->call_fd,
	};
	slow_new(f, s->slow);
	assert_int_equal(vq_init(&f->vq, &f->cfg), 0);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	vq_fini(&f->vq);
	gm_iotlb_free(f->tlb);
	if (f->log) {
		dl_close(f->log);
		munmap(f->log_bits - LOG_OFFSET, LOG_OFFSET + LOG_BYTES);
		close(f->log_fd);
	}
	free(f->record);
	fe_ring_fini(&f->ring);
	gm_map_free(f->map);
	for (int i = 0; i < 2; i++) {
		munmap(f->mem[i] - i * LEAD, REGION_SIZE + i * LEAD);
		close(f->fds[i]);
	}
	close(f->call_fd);
	free(f->segs);
	free(f);
}

/* What it takes to set up the fixture's queue once more. */
static inline struct vq_config config_of(const struct fixture *f)
{
	struct vq_config cfg = f->cfg;

	cfg.base = f->packed ? 0x80008000 : 0;
	cfg.call_fd = -1;
	return cfg;
}

/*
 * The device's functions with the mode as a variable: what a test needs. Each calls the body that
 * is compiled for the mode, as a driver's code does.
 */
#define BY_MODE(f, call)                             \
	do {                                         \
		if ((f)->mode == VQ_PACKED)          \
			call(VQ_PACKED);             \
		else if ((f)->mode == VQ_SLOW)       \
			call(VQ_SLOW);               \
		else if ((f)->mode)                  \
			call((VQ_PACKED | VQ_SLOW)); \
		else                                 \
			call(0);                     \
	} while (0)

static inline uint16_t peek(struct fixture *f, uint16_t want)
{
#define CALL(mode) return vq_peek(&f->vq, want, mode)
	BY_MODE(f, CALL);
#undef CALL
}

static inline enum vq_status fetch_to(
	struct fixture *f, struct rw_seg *segs, struct vq_chain *c, bool writable)
{
#define CALL(mode)                                              \
	return writable ? vq_fetch(&f->vq, segs, c, mode, true) \
			: vq_fetch(&f->vq, segs, c, mode, false)
	BY_MODE(f, CALL);
#undef CALL
}

static inline enum vq_status fetch(struct fixture *f, struct vq_chain *c, bool writable)
{
	return fetch_to(f, f->segs, c, writable);
}

static inline void rewind_to(struct fixture *f, struct vq_cursor at)
{
#define CALL(mode) vq_rewind(&f->vq, at, mode)
	BY_MODE(f, CALL);
#undef CALL
}

static inline void complete(struct fixture *f, const struct vq_chain *c, uint32_t len)
{
#define CALL(mode) vq_complete(&f->vq, c, len, mode, true)
	BY_MODE(f, CALL);
#undef CALL
}

static inline void flush(struct fixture *f)
{
#define CALL(mode) vq_flush(&f->vq, mode)
	BY_MODE(f, CALL);
#undef CALL
}

static inline bool signal_driver(struct fixture *f)
{
#define CALL(mode) return vq_signal(&f->vq, mode)
	BY_MODE(f, CALL);
#undef CALL
}

/* The back-end is killed, or starts anew: only what is shared stays. */
static inline int restart(struct fixture *f, const struct vq_config *cfg)
{
	vq_fini(&f->vq);
	f->batch.n = 0;
	return vq_init(&f->vq, cfg);
}

/* Interrupts since the last look. */
static inline uint64_t interrupts(struct fixture *f)
{
	uint64_t n = 0;

	return read(f->call_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* Post one buffer of `n` pieces; all device-writable or all readable. */
static inline void post(
	struct fixture *f, const struct fe_seg *segs, uint16_t n, bool writable, uint64_t token)
{
	struct fe_chain c = {
		.segs = segs, .n_out = writable ? 0 : n, .n_in = writable ? n : 0, .token = token};

	assert_int_equal(fe_ring_add(&f->ring, &c), 0);
	fe_ring_publish(&f->ring);
}

/* cmocka's hooks: the test's initial state is a struct setup, its state a struct fixture. */
static int setup(void **state)
{
	const struct setup *s = *state;

	*state = fixture_new(s);
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

/* The same test for a variant `s`, or for the two variants called split and packed. */
#define T(fn, s)                                                                  \
	{                                                                         \
		.name = #fn " (" #s ")", .test_func = fn, .setup_func = setup,    \
		.teardown_func = teardown, .initial_state = (void *)(uintptr_t)&s \
	}
#define BOTH(fn) T(fn, split), T(fn, packed)
