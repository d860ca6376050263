/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a packed ring starts after its back-end is gone: what the record of its progress, the base
 * and the ring itself say. test_virtqueue_crash.c kills the back-end at each instruction; here it
 * ends between two, in states of every kind, and the record may be of another time or another ring.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vq_driver.h"

#define FIRST 0x80008000u
#define MODE  VQ_PACKED

static struct gm_map *map;
static uint32_t seed = 1;

static bool looks_new(const struct shared *s, uint16_t num)
{
	const struct vring_packed_desc *ring = (const struct vring_packed_desc *)s->desc;

	for (uint16_t i = 0; i < num; i++) {
		if (!vq_packed_is_avail(ring[i].flags, true))
			return false;
	}
	return true;
}

static uint32_t draw(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static int start(void **state)
{
	struct gm_region_desc region = {.size = MEM_BYTES, .uva = 0x10000000};
	int fd = memfd_create("guest", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, MEM_BYTES), 0);
	assert_int_equal(gm_map_new(NULL, &region, &fd, 1, NULL, &map), 0);
	close(fd);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	gm_map_free(map);
	return 0;
}

/* A ring, its driver, and a device that records. */
struct world {
	struct variant v;
	struct shared s;
	struct driver d;
	struct vq vq;
	struct vq_chain held[MAX_NUM]; /* fetched */
	unsigned nheld;
};

static struct vq_config config_of(struct world *w)
{
	return (struct vq_config){.mem = map,
		.desc = w->s.desc,
		.driver = w->s.driver,
		.device = w->s.device,
		.features = 1ull << VIRTIO_F_RING_PACKED,
		.base = FIRST,
		.num = w->v.num,
		.call_fd = -1,
		.progress = (struct vq_progress *)(void *)w->s.progress};
}

static void world_new(struct world *w, uint16_t num, unsigned max_chain)
{
	struct vq_config cfg;

	*w = (struct world){.v = {.packed = true, .num = num, .max_chain = max_chain}};
	driver_init(&w->d, num);
	cfg = config_of(w);
	assert_int_equal(vq_init(&w->vq, &cfg), 0);
}

static void fetch_some(struct world *w)
{
	struct rw_seg segs[MAX_NUM + VQ_EXTRA_SEGS];

	for (unsigned n = draw(4); n && w->nheld < MAX_NUM; n--) {
		if (vq_fetch(&w->vq, segs, &w->held[w->nheld], MODE, true) != VQ_CHAIN)
			break;
		w->nheld++;
	}
}

static void complete_some(struct world *w)
{
	unsigned n = draw(w->nheld + 1);

	for (unsigned i = 0; i < n; i++)
		vq_complete(&w->vq, &w->held[i], 0, MODE, true);
	w->nheld -= n;
	memmove(w->held, w->held + n, w->nheld * sizeof(w->held[0]));
}

/* Something happens. */
static void step(struct world *w)
{
	switch (draw(5)) {
	case 0:
		for (unsigned n = draw(4); n && driver_add(&w->d, &w->s, &w->v); n--)
			continue;
		break;
	case 1:
		fetch_some(w);
		break;
	case 2:
		complete_some(w);
		break;
	case 3:
		vq_flush(&w->vq, MODE);
		break;
	case 4:
		for (unsigned n = draw(4); n && driver_pop(&w->d, &w->s, &w->v); n--)
			continue;
		break;
	}
}

static enum vq_verdict judge(struct world *w, enum vq_known known, uint32_t *base)
{
	struct vq_config cfg = config_of(w);

	*base = cfg.base;
	return vq_progress_judge(&cfg, known, base);
}

/* Where the ring goes on: behind all that was flushed or is finished. */
static uint32_t base_of(const struct world *w)
{
	/* Of a batch that is one chain nothing was written yet. */
	bool again = w->vq.npending == 1;
	uint16_t idx = again ? w->vq.first_pos : w->vq.done.idx;
	bool wrap = again && idx > w->vq.done.idx ? !w->vq.done.wrap : w->vq.done.wrap;
	uint32_t code = idx | (wrap ? 0x8000u : 0);

	/* The whole ring. */
	if (again && idx == w->vq.done.idx)
		code ^= 0x8000u;
	return code | code << 16;
}

static const struct {
	uint16_t num;
	unsigned max_chain;
} shapes[] = {{1, 1}, {2, 1}, {3, 1}, {4, 2}, {7, 3}, {8, 1}, {8, 3}};

static void a_record_says_where_its_ring_is(void **state)
{
	(void)state;
	for (size_t k = 0; k < RW_ARRAY_SIZE(shapes); k++) {
		struct world w, copy;

		world_new(&w, shapes[k].num, shapes[k].max_chain);
		for (unsigned i = 0; i < 4000; i++) {
			uint32_t base;

			step(&w);
			copy = w;
			/* A chain that goes round the end of a full ring: nobody knows. */
			if (w.v.max_chain > 1 && looks_new(&w.s, w.v.num))
				continue;
			assert_int_equal(judge(&copy, VQ_KNOWN_RECORD, &base), VQ_START_RECORD);
			assert_int_equal(base, base_of(&w));
			/* And it says so again. */
			assert_int_equal(judge(&copy, VQ_KNOWN_RECORD, &base), VQ_START_RECORD);
			assert_int_equal(base, base_of(&w));
		}
		assert_true(w.d.out > 4u * w.v.num);
	}
}

/*
 * The driver starts anew, with so many buffers, where its ring was. Every other time it is one that
 * numbers the entries of a new ring, as DPDK's does.
 */
static void reboot(struct world *w, unsigned buffers)
{
	struct vring_packed_desc *ring = (struct vring_packed_desc *)w->s.desc;

	memset(w->s.desc, 0, sizeof(w->s.desc));
	for (uint16_t i = 0; buffers % 2 && i < w->v.num; i++)
		ring[i].id = i;
	driver_init(&w->d, w->v.num);
	while (buffers && driver_add(&w->d, &w->s, &w->v))
		buffers--;
}

/*
 * The ring of before is gone, so its record may not be believed; and if it is sure that the ring is
 * new, it starts.
 */
static void a_record_of_before_a_reboot_is_not_believed(void **state)
{
	(void)state;
	for (size_t k = 0; k < RW_ARRAY_SIZE(shapes); k++) {
		unsigned unsure = 0, total = 0;
		struct world w, copy;

		world_new(&w, shapes[k].num, shapes[k].max_chain);
		for (unsigned i = 0; i < 1000; i++) {
			step(&w);
			for (unsigned buffers = 0; buffers <= w.v.num; buffers++, total++) {
				enum vq_verdict verdict;
				uint32_t base;

				copy = w;
				reboot(&copy, buffers);
				verdict = judge(&copy, VQ_KNOWN_RECORD, &base);
				if (verdict != VQ_START_UNSURE)
					assert_int_equal(base, FIRST);
				unsure += verdict == VQ_START_UNSURE;
				copy = w;
				reboot(&copy, buffers);
				assert_int_equal(judge(&copy, VQ_KNOWN_LOST, &base), VQ_START_BASE);
				assert_int_equal(
					judge(&copy, VQ_KNOWN_NOTHING, &base), VQ_START_BASE);
			}
		}
		/* It is, but for chains across the ring's end and rings of a few entries. */
		assert_true(unsure < total / 3);
		if (w.v.max_chain == 1 && w.v.num > 4)
			assert_int_equal(unsure, 0);
	}
}

/* A record of some time ago, of a ring that went on since. */
static void a_stale_record_is_not_believed(void **state)
{
	(void)state;
	for (size_t k = 0; k < RW_ARRAY_SIZE(shapes); k++) {
		uint8_t stale[sizeof(((struct shared *)0)->progress)];
		struct world w, copy;
		unsigned wrong = 0;

		world_new(&w, shapes[k].num, shapes[k].max_chain);
		for (unsigned i = 0; i < 2000; i++) {
			uint32_t base;

			memcpy(stale, w.s.progress, sizeof(stale));
			for (unsigned steps = 1 + draw(60); steps; steps--)
				step(&w);
			copy = w;
			memcpy(copy.s.progress, stale, sizeof(stale));
			if (judge(&copy, VQ_KNOWN_RECORD, &base) != VQ_START_RECORD)
				continue;
			/* Right for a ring that did not move, or is where it was two laps ago. */
			wrong += base != base_of(&w);
		}
		/*
		 * What a chain leaves behind its first entry looks available in some laps, so of
		 * rings with such chains not all stale records are found out.
		 */
		if (w.v.max_chain == 1 && w.v.num > 4)
			assert_int_equal(wrong, 0);
	}
}

/* Without a record a used ring cannot start where a new one would. */
static void a_used_ring_is_not_started_as_a_new_one(void **state)
{
	(void)state;
	for (size_t k = 0; k < RW_ARRAY_SIZE(shapes); k++) {
		struct world w, copy;

		world_new(&w, shapes[k].num, shapes[k].max_chain);
		for (unsigned i = 0; i < 1000; i++) {
			bool moved;
			uint32_t base;

			step(&w);
			copy = w;
			moved = base_of(&w) != FIRST && !looks_new(&w.s, w.v.num);
			if (w.v.num < 3 || w.vq.npending)
				continue;
			if (moved)
				assert_int_equal(
					judge(&copy, VQ_KNOWN_LOST, &base), VQ_START_UNSURE);
			/* A chain round the end may look as one that the driver just adds. */
			if (moved && w.v.max_chain == 1)
				assert_int_equal(
					judge(&copy, VQ_KNOWN_NOTHING, &base), VQ_START_UNSURE);
		}
	}
}

/* Nothing that stands in a record or a ring leads anywhere else. */
static void garbage_is_bounded(void **state)
{
	unsigned verdicts[3] = {0};

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		struct world w;
		uint32_t base;

		world_new(&w, (uint16_t)(1 + draw(MAX_NUM)), 1);
		for (size_t b = 0; b < sizeof(w.s.desc); b++)
			w.s.desc[b] = (uint8_t)(draw(2) ? draw(256) : 0);
		for (size_t b = 0; b < sizeof(w.s.progress); b++)
			w.s.progress[b] = (uint8_t)(draw(2) ? draw(256) : draw(3));
		verdicts[judge(&w, (enum vq_known)draw(3), &base)]++;
		assert_true((base & 0x7fff) < w.v.num || base == FIRST);
	}
	assert_true(verdicts[VQ_START_UNSURE] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_says_where_its_ring_is),
		cmocka_unit_test(a_record_of_before_a_reboot_is_not_believed),
		cmocka_unit_test(a_stale_record_is_not_believed),
		cmocka_unit_test(a_used_ring_is_not_started_as_a_new_one),
		cmocka_unit_test(garbage_is_bounded),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
