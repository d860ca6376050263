/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* A guest for the device side: memory in two regions that are not contiguous for us, and a ring. */
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

struct fixture {
	int fds[2];
	struct gm_map *map;
	uint8_t *mem[2]; /* the test's own view of the two regions */
	struct fe_ring ring;
	struct vq vq;
	bool packed;
	uint16_t num;
	uint64_t features;
	int call_fd;
	struct rw_seg *segs;
};

struct setup {
	enum fe_format format;
	uint16_t num;
	uint64_t features;
	uint16_t start; /* split: index; packed: slot */
	bool wrap;      /* packed */
};

static inline uint8_t *guest(struct fixture *f, uint64_t gpa)
{
	return gpa < BORDER ? f->mem[0] + gpa : f->mem[1] + (gpa - BORDER);
}

static inline void memory_new(struct fixture *f)
{
	struct gm_region_desc d[2] = {
		{.gpa = 0, .size = REGION_SIZE, .uva = 0x10000000},
		{.gpa = BORDER, .size = REGION_SIZE, .uva = 0x50000000},
	};

	for (int i = 0; i < 2; i++) {
		f->fds[i] = memfd_create("guest", MFD_CLOEXEC);
		assert_int_equal(ftruncate(f->fds[i], REGION_SIZE), 0);
		f->mem[i] = mmap(
			NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fds[i], 0);
		assert_ptr_not_equal(f->mem[i], MAP_FAILED);
	}
	assert_int_equal(gm_map_new(d, f->fds, 2, NULL, &f->map), 0);
}

static inline uint32_t base_of(const struct setup *s)
{
	uint32_t half = s->start | (s->wrap ? 0x8000u : 0);

	return s->format == FE_PACKED ? half | half << 16 : s->start;
}

static inline struct fixture *fixture_new(const struct setup *s)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct fe_layout lay;
	struct fe_ring_config rc = {.format = s->format, .num = s->num, .start = s->start};
	struct vq_config vc;

	memory_new(f);
	f->packed = s->format == FE_PACKED;
	f->num = s->num;
	f->features = s->features | (f->packed ? F(VIRTIO_F_RING_PACKED) : 0);
	f->call_fd = eventfd(0, EFD_NONBLOCK);
	f->segs = calloc(vq_max_segs(s->num), sizeof(*f->segs));
	fe_ring_layout(s->format, s->num, &lay);
	rc.event_idx = s->features & F(VIRTIO_RING_F_EVENT_IDX);
	rc.in_order = s->features & F(VIRTIO_F_IN_ORDER);
	rc.wrap = s->wrap;
	rc.desc = f->mem[0] + lay.desc;
	rc.driver = f->mem[0] + lay.driver;
	rc.device = f->mem[0] + lay.device;
	assert_int_equal(fe_ring_init(&f->ring, &rc), 0);
	vc = (struct vq_config){
		.mem = f->map,
		.desc = rc.desc,
		.driver = rc.driver,
		.device = rc.device,
		.features = f->features,
		.base = base_of(s),
		.num = s->num,
		.call_fd = f->call_fd,
	};
	assert_int_equal(vq_init(&f->vq, &vc), 0);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	fe_ring_fini(&f->ring);
	gm_map_free(f->map);
	for (int i = 0; i < 2; i++) {
		munmap(f->mem[i], REGION_SIZE);
		close(f->fds[i]);
	}
	close(f->call_fd);
	free(f->segs);
	free(f);
}

/* What it takes to set up the fixture's queue once more. */
static inline struct vq_config config_of(const struct fixture *f)
{
	return (struct vq_config){
		.mem = f->map,
		.desc = f->vq.desc,
		.driver = f->vq.avail,
		.device = f->vq.used,
		.features = f->features,
		.num = f->num,
		.base = f->packed ? 0x80008000 : 0,
		.call_fd = -1,
	};
}

/* The device's functions with the format as a variable: what a test needs. */
static inline enum vq_status fetch(struct fixture *f, struct vq_chain *c, bool writable)
{
	if (f->packed)
		return writable ? vq_fetch(&f->vq, f->segs, c, true, true)
				: vq_fetch(&f->vq, f->segs, c, true, false);
	return writable ? vq_fetch(&f->vq, f->segs, c, false, true)
			: vq_fetch(&f->vq, f->segs, c, false, false);
}

static inline void complete(struct fixture *f, const struct vq_chain *c, uint32_t len)
{
	if (f->packed)
		vq_complete(&f->vq, c, len, true, true);
	else
		vq_complete(&f->vq, c, len, false, true);
}

static inline void flush(struct fixture *f)
{
	if (f->packed)
		vq_flush(&f->vq, true);
	else
		vq_flush(&f->vq, false);
}

static inline bool signal_driver(struct fixture *f)
{
	return f->packed ? vq_signal(&f->vq, true) : vq_signal(&f->vq, false);
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
