/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The IOTLB under storms of updates and invalidations: compared byte by byte with a plain array,
 * and read by other threads all the while.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "gm_fixture.h"
#include "gm_iotlb.h"

/* ---- against a model ---- */

/* I/O virtual addresses [base, base + WINDOW) are all that the storm touches. */
#define WINDOW 700u
#define STORM  4000u

struct model {
	uint64_t base;
	uint64_t uva[WINDOW];
	uint8_t *host[WINDOW];
	uint8_t perm[WINDOW]; /* 0: not there */
};

/*
 * User addresses UVA to UVA + 900 without a gap in three regions, of two files; the last two
 * continue in one file. Then a gap, and one region more.
 */
static struct gm_map *storm_map(int fds[4])
{
	struct gm_region_desc d[4] = {
		{.gpa = 5000, .size = 300, .uva = UVA, .mmap_offset = 10},
		{.gpa = 3000, .size = 400, .uva = UVA + 300, .mmap_offset = 4000},
		{.gpa = 0, .size = 200, .uva = UVA + 700, .mmap_offset = 4400},
		{.gpa = 9000, .size = 500, .uva = UVA + 1000},
	};
	struct gm_map *map;

	fds[0] = fds[3] = file_new(2, 1);
	fds[1] = fds[2] = file_new(2, 2);
	assert_int_equal(gm_map_new(NULL, d, fds, 4, NULL, &map), 0);
	return map;
}

static uint8_t *host_of(const struct gm_map *map, uint64_t uva)
{
	uint64_t len = 1;

	return gm_at_uva(map, uva, &len);
}

/* One random update of both. Its sort of outcome is known beforehand. */
static void random_update(struct model *m, struct gm_iotlb *tlb, const struct gm_map *map,
	uint64_t *rnd, unsigned *refused)
{
	uint32_t at = next_random(rnd) % WINDOW, size = 1 + next_random(rnd) % (WINDOW - at);
	uint64_t uva = UVA + next_random(rnd) % 1500;
	uint8_t perm = (uint8_t)(1 + next_random(rnd) % 3);
	int want = 0;

	/* Mostly small ones, so that many live side by side. */
	if (next_random(rnd) % 4)
		size = 1 + size % 40;
	if (next_random(rnd) % 3 == 0 && at && m->perm[at - 1])
		uva = m->uva[at - 1] + 1; /* continue a neighbour */
	size = RW_MIN(size, WINDOW - at);
	for (uint32_t i = 0; i < size; i++) {
		if (!host_of(map, uva + i))
			want = -EFAULT;
	}
	assert_int_equal(gm_iotlb_update(tlb, map, m->base + at, size, uva, perm), want);
	*refused += want != 0;
	for (uint32_t i = 0; !want && i < size; i++) {
		m->uva[at + i] = uva + i;
		m->host[at + i] = host_of(map, uva + i);
		m->perm[at + i] = perm;
	}
}

static void random_invalidation(struct model *m, struct gm_iotlb *tlb, uint64_t *rnd)
{
	uint32_t at = next_random(rnd) % WINDOW, n = 1 + next_random(rnd) % (WINDOW - at);
	uint32_t little = 1 + next_random(rnd) % 60;
	uint64_t iova = m->base + at, size;

	switch (next_random(rnd) % 20) {
	case 0: /* everything from there on */
		size = next_random(rnd) % 2 ? 0 : UINT64_MAX;
		n = WINDOW - at;
		break;
	case 1: /* from below the window */
		iova = 0;
		size = m->base + at;
		n = at;
		at = 0;
		if (!size)
			return;
		break;
	default:
		size = n = RW_MIN(n, little);
		break;
	}
	assert_int_equal(gm_iotlb_invalidate(tlb, iova, size), 0);
	for (uint32_t i = 0; i < n; i++)
		m->perm[at + i] = 0;
}

/* How many bytes from `at` on an access with `perm` finds in one piece. */
static uint32_t model_run(const struct model *m, uint32_t at, uint8_t perm)
{
	uint32_t n = 0;

	while (at + n < WINDOW && m->perm[at + n] && !(perm & ~m->perm[at + n]) &&
		m->host[at + n] == m->host[at] + n)
		n++;
	return n;
}

static void check_order(const struct gm_iotlb_view *view, const struct gm_map *map)
{
	for (uint32_t i = 0; i < view->n; i++) {
		const struct gm_iotlb_entry *e = &view->entries[i];
		uint64_t len = e->size;

		assert_true(e->size > 0);
		if (i)
			assert_true(e->iova - e[-1].iova >= e[-1].size && e->iova > e[-1].iova);
		assert_ptr_equal(gm_at_uva(map, e->uva, &len), e->host);
		assert_int_equal(len, e->size); /* in one region */
	}
}

/* Compare every byte of the window, and an access of random length from each. */
static void check_window(const struct model *m, const struct gm_iotlb *tlb,
	struct gm_iotlb_cache *cache, uint64_t *rnd)
{
	const struct gm_iotlb_view *view = gm_iotlb_view(tlb);

	for (uint32_t i = 0; i < WINDOW; i++) {
		const struct gm_iotlb_entry *e = gm_iotlb_find(view, m->base + i);
		uint8_t perm = (uint8_t)(1 + next_random(rnd) % 3);
		uint64_t want = 1 + next_random(rnd) % 100, len = want;
		uint32_t run = model_run(m, i, perm);
		uint8_t *p = gm_iotlb_at(view, cache, m->base + i, perm, &len);

		if (!m->perm[i] != !e || (e && e->perm != m->perm[i]) ||
			(e && e->host + (m->base + i - e->iova) != m->host[i]))
			fail_msg("byte %u: another entry than the model's", i);
		if (p != (run ? m->host[i] : NULL) || (run && len != RW_MIN(want, run)))
			fail_msg("byte %u: %d bytes found, not %u", i, p ? (int)len : -1, run);
	}
	if (m->base)
		assert_null(gm_iotlb_find(view, m->base - 1));
	assert_null(gm_iotlb_find(view, m->base + WINDOW));
}

static void storm(uint64_t base, uint64_t seed)
{
	struct gm_iotlb *tlb = gm_iotlb_new();
	struct gm_iotlb_cache cache = {0};
	static struct model m;
	unsigned refused = 0, most = 0;
	uint64_t rnd = seed;
	int fds[4];
	struct gm_map *map = storm_map(fds);

	assert_non_null(tlb);
	m = (struct model){.base = base};
	for (unsigned i = 0; i < STORM; i++) {
		if (next_random(&rnd) % 3)
			random_update(&m, tlb, map, &rnd, &refused);
		else
			random_invalidation(&m, tlb, &rnd);
		check_order(gm_iotlb_view(tlb), map);
		if (i % 4 == 0)
			check_window(&m, tlb, &cache, &rnd);
		most = RW_MAX(most, gm_iotlb_view(tlb)->n);
		if (gm_iotlb_retired(tlb) > 5)
			gm_iotlb_reclaim(tlb);
	}
	/* The storm was one. */
	assert_in_range(refused, STORM / 20, STORM / 2);
	assert_in_range(most, 20, WINDOW);
	gm_iotlb_free(tlb);
	gm_map_free(map);
	close(fds[0]);
	close(fds[1]);
}

static void a_storm_agrees_with_a_model(void **state)
{
	(void)state;
	storm(0x123456789000, 1);
}

static void a_storm_at_address_0_agrees_with_a_model(void **state)
{
	(void)state;
	storm(0, 2);
}

static void a_storm_at_the_last_address_agrees_with_a_model(void **state)
{
	(void)state;
	storm(0ull - WINDOW, 3);
}

/* ---- with readers ---- */

#define READERS 2
#define PAGES   64u
#define CHANGES 3000u

/*
 * Page n of the window is always entered as user page n * 5 mod PAGES, so whatever a reader finds
 * must be right. What it must not find is `gone`.
 */
struct shared {
	struct gm_iotlb *tlb;
	const struct gm_map *map;
	const uint8_t *host;
	_Atomic uint64_t
		gone; /* a page number whose invalidation all readers have passed; PAGES: none */
	_Atomic bool stop;
	struct reader {
		struct shared *shared;
		pthread_t thread;
		_Atomic uint64_t rounds; /* quiescent points passed */
		uint64_t hits, misses, wrong;
	} readers[READERS];
};

static uint64_t uva_page(uint64_t page)
{
	return page * 5 % PAGES;
}

static void read_round(struct reader *r, struct gm_iotlb_cache *cache, uint64_t *rnd)
{
	struct shared *s = r->shared;
	uint64_t gone = atomic_load_explicit(&s->gone, memory_order_acquire);
	const struct gm_iotlb_view *view = gm_iotlb_view(s->tlb);

	for (unsigned i = 0; i < 8; i++) {
		uint64_t iova = next_random(rnd) % (PAGES * PAGE), len = 1;
		uint64_t page = iova / PAGE;
		const uint8_t *p = gm_iotlb_at(view, cache, iova, GM_READ, &len);

		r->hits += p != NULL;
		r->misses += !p;
		r->wrong += p && p != s->host + uva_page(page) * PAGE + iova % PAGE;
		r->wrong += p && *p != file_byte((uint64_t)(p - s->host), 1);
	}
	if (gone < PAGES)
		r->wrong += gm_iotlb_find(view, gone * PAGE + 7) != NULL;
	/* Here nothing of the view is used any more. */
	atomic_fetch_add_explicit(&r->rounds, 1, memory_order_release);
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	uint64_t rnd = (uint64_t)(r - r->shared->readers) + 11;
	struct gm_iotlb_cache cache = {0};

	while (!atomic_load_explicit(&r->shared->stop, memory_order_relaxed)) {
		read_round(r, &cache, &rnd);
		sched_yield(); /* there may be fewer CPUs than threads */
	}
	return NULL;
}

/*
 * Wait until every reader has ended a round: none holds a view that was replaced before this call.
 */
static void quiesce(struct shared *s)
{
	for (unsigned i = 0; i < READERS; i++) {
		uint64_t now = atomic_load_explicit(&s->readers[i].rounds, memory_order_acquire);

		while (atomic_load_explicit(&s->readers[i].rounds, memory_order_acquire) == now)
			sched_yield();
	}
}

/* Take away a page, wait as control does before it acknowledges, and dare the readers. */
static void invalidate_and_wait(struct shared *s, uint64_t page)
{
	assert_int_equal(gm_iotlb_invalidate(s->tlb, page * PAGE, PAGE), 0);
	quiesce(s);
	gm_iotlb_reclaim(s->tlb);
	atomic_store_explicit(&s->gone, page, memory_order_release);
	quiesce(s);
	atomic_store_explicit(&s->gone, PAGES, memory_order_release);
	quiesce(s);
}

static void readers_never_see_a_wrong_or_a_withdrawn_translation(void **state)
{
	struct gm_region_desc d = {.gpa = 0, .size = PAGES * PAGE, .uva = UVA};
	static struct shared s;
	int fd = file_new(PAGES, 1);
	struct gm_map *map;
	uint64_t rnd = 5, hits = 0, misses = 0;

	(void)state;
	assert_int_equal(gm_map_new(NULL, &d, &fd, 1, NULL, &map), 0);
	s = (struct shared){.tlb = gm_iotlb_new(), .map = map, .gone = PAGES};
	assert_non_null(s.tlb);
	s.host = gm_region_find(map, 0)->host;
	for (unsigned i = 0; i < READERS; i++) {
		s.readers[i].shared = &s;
		assert_int_equal(
			pthread_create(&s.readers[i].thread, NULL, reader_main, &s.readers[i]), 0);
	}
	for (unsigned i = 0; i < CHANGES; i++) {
		uint64_t page = next_random(&rnd) % PAGES;

		if (next_random(&rnd) % 3)
			assert_int_equal(gm_iotlb_update(s.tlb, map, page * PAGE, PAGE,
						 UVA + uva_page(page) * PAGE, GM_READ),
				0);
		else if (i % 16 == 0)
			invalidate_and_wait(&s, page);
		else
			assert_int_equal(gm_iotlb_invalidate(s.tlb, page * PAGE, PAGE), 0);
		if (gm_iotlb_retired(s.tlb) >= 16) {
			quiesce(&s);
			gm_iotlb_reclaim(s.tlb);
		}
	}
	quiesce(&s);
	atomic_store(&s.stop, true);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(s.readers[i].thread, NULL);
		assert_int_equal(s.readers[i].wrong, 0);
		hits += s.readers[i].hits;
		misses += s.readers[i].misses;
	}
	assert_true(hits > 0 && misses > 0);
	gm_iotlb_free(s.tlb);
	gm_map_free(map);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_storm_agrees_with_a_model),
		cmocka_unit_test(a_storm_at_address_0_agrees_with_a_model),
		cmocka_unit_test(a_storm_at_the_last_address_agrees_with_a_model),
		cmocka_unit_test(readers_never_see_a_wrong_or_a_withdrawn_translation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
