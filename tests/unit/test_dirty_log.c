/* SPDX-License-Identifier: BSD-3-Clause */
/* The migration log: exactly the pages that were written, and no byte beside the bitmap. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "dirty_log.h"

/* A file of `bytes`, all zero, and our view of it. */
static uint8_t *file_map(uint64_t bytes, int *fd)
{
	uint8_t *p;

	*fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(*fd >= 0);
	assert_int_equal(ftruncate(*fd, (off_t)bytes), 0);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static uint32_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state * UINT64_C(2685821657736338717) >> 32);
}

/* ---- opening ---- */

static void a_log_beyond_the_end_of_its_file_is_refused(void **state)
{
	struct dl_log *log = NULL;
	int fd;
	uint8_t *p = file_map(4096, &fd);

	(void)state;
	assert_int_equal(dl_open(NULL, fd, 4097, 0, &log), -ENXIO);
	assert_int_equal(dl_open(NULL, fd, 4096, 1, &log), -ENXIO);
	assert_int_equal(dl_open(NULL, fd, 1, 4096, &log), -ENXIO);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(dl_open(NULL, fd, 101, 0, &log), -ENXIO);
	assert_null(log);
	assert_int_equal(dl_open(NULL, fd, 100, 0, &log), 0);
	assert_int_equal(dl_size(log), 100);
	dl_close(log);
	munmap(p, 4096);
	close(fd);
}

static void an_impossible_log_is_refused(void **state)
{
	struct dl_log *log = NULL;
	int fd, ends[2];
	uint8_t *p = file_map(4096, &fd);

	(void)state;
	assert_int_equal(dl_open(NULL, fd, 0, 0, &log), -EINVAL);
	assert_int_equal(dl_open(NULL, fd, UINT64_MAX, 0, &log), -EINVAL);
	assert_int_equal(dl_open(NULL, fd, 16, UINT64_MAX - 7, &log), -EINVAL);
	assert_int_equal(dl_open(NULL, fd, INT64_MAX, 1, &log), -EINVAL);
	assert_int_equal(dl_open(NULL, -1, 16, 0, &log), -EBADF);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dl_open(NULL, ends[0], 16, 0, &log), -ENXIO);
	assert_null(log);
	dl_close(NULL);
	close(ends[0]);
	close(ends[1]);
	munmap(p, 4096);
	close(fd);
}

static void the_descriptor_stays_the_callers(void **state)
{
	struct dl_log *log;
	struct dl_batch b;
	int fd;
	uint8_t *p = file_map(64, &fd);

	(void)state;
	assert_int_equal(dl_open(NULL, fd, 64, 0, &log), 0);
	close(fd); /* and the log does without */
	dl_batch_init(&b, log);
	dl_mark(&b, 9 * DL_PAGE, 1);
	dl_flush(&b);
	assert_int_equal(p[1], 2);
	dl_close(log);
	munmap(p, 64);
}

/* ---- marking ---- */

static void a_byte_marks_its_page(void **state)
{
	static const struct {
		uint64_t gpa, len;
		uint8_t bits[3]; /* of pages 0 to 23 */
	} cases[] = {
		{0, 1, {0x01}},
		{DL_PAGE - 1, 1, {0x01}},
		{DL_PAGE - 1, 2, {0x03}},
		{DL_PAGE, DL_PAGE, {0x02}},
		{7 * DL_PAGE, 2 * DL_PAGE, {0x80, 0x01}},
		{DL_PAGE + 5, 17 * DL_PAGE - 5, {0xfe, 0xff, 0x03}},
		{DL_PAGE + 5, 17 * DL_PAGE - 4, {0xfe, 0xff, 0x07}},
		{3 * DL_PAGE, 0, {0}},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dl_log *log;
		struct dl_batch b;
		int fd;
		uint8_t *p = file_map(3, &fd);

		assert_int_equal(dl_open(NULL, fd, 3, 0, &log), 0);
		dl_batch_init(&b, log);
		dl_mark(&b, cases[i].gpa, cases[i].len);
		assert_int_equal(p[0] | p[1] | p[2], 0); /* not before the flush */
		dl_flush(&b);
		if (memcmp(p, cases[i].bits, 3))
			fail_msg("case %u: %02x %02x %02x", i, p[0], p[1], p[2]);
		dl_close(log);
		munmap(p, 3);
		close(fd);
	}
}

static void pages_beyond_the_log_are_ignored(void **state)
{
	struct dl_log *log;
	struct dl_batch b;
	int fd;
	uint8_t *p = file_map(32, &fd);

	(void)state;
	assert_int_equal(dl_open(NULL, fd, 5, 8, &log), 0); /* 40 pages */
	dl_batch_init(&b, log);
	dl_mark(&b, 40 * DL_PAGE, 1);
	dl_mark(&b, 63 * DL_PAGE, DL_PAGE);
	dl_mark(&b, UINT64_MAX, 1);
	dl_mark(&b, UINT64_MAX - 5, UINT64_MAX); /* nor does anything wrap */
	dl_mark(&b, 1ull << 63, 1ull << 40);
	dl_flush(&b);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(p[i], 0);
	dl_mark(&b, 39 * DL_PAGE, UINT64_MAX);
	dl_flush(&b);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(p[i], i == 12 ? 0x80 : 0);
	dl_close(log);
	munmap(p, 32);
	close(fd);
}

static void what_is_marked_stays_marked_until_it_is_fetched(void **state)
{
	struct dl_log *log;
	struct dl_batch b;
	int fd;
	uint8_t *p = file_map(8, &fd);

	(void)state;
	assert_int_equal(dl_open(NULL, fd, 8, 0, &log), 0);
	dl_batch_init(&b, log);
	dl_mark(&b, 2 * DL_PAGE, 1);
	dl_flush(&b);
	dl_mark(&b, 4 * DL_PAGE, 1);
	dl_flush(&b);
	assert_int_equal(p[0], 0x14);
	assert_int_equal(__atomic_exchange_n((uint64_t *)p, 0, __ATOMIC_SEQ_CST), 0x14);
	dl_flush(&b); /* nothing is left to say */
	assert_int_equal(p[0], 0);
	dl_mark(&b, 4 * DL_PAGE, 1);
	dl_flush(&b);
	assert_int_equal(p[0], 0x10);
	/* What is marked anew after it was fetched counts again. */
	assert_int_equal(dl_marked(log), 3);
	dl_mark(&b, 4 * DL_PAGE, 1);
	dl_flush(&b);
	assert_int_equal(dl_marked(log), 3);
	dl_marked_set(log, 100);
	dl_mark(&b, 5 * DL_PAGE, 2 * DL_PAGE);
	dl_flush(&b);
	assert_int_equal(dl_marked(log), 102);
	dl_close(log);
	munmap(p, 8);
	close(fd);
}

static void a_full_batch_writes_itself_out(void **state)
{
	const unsigned words = 5 * DL_BATCH_WORDS + 3;
	struct dl_log *log;
	struct dl_batch b;
	int fd;
	uint8_t *p = file_map(words * 8, &fd);

	(void)state;
	assert_int_equal(dl_open(NULL, fd, words * 8, 0, &log), 0);
	dl_batch_init(&b, log);
	for (unsigned i = 0; i < words; i++)
		dl_mark(&b, ((uint64_t)i * 64 + i % 64) * DL_PAGE, 1);
	assert_in_range(b.n, 1, DL_BATCH_WORDS);
	dl_flush(&b);
	for (unsigned i = 0; i < words; i++)
		assert_true(((uint64_t *)p)[i] == 1ull << i % 64);
	dl_close(log);
	munmap(p, words * 8);
	close(fd);
}

/* ---- against a model ---- */

#define FILE_BYTES 9000u

/* Random ranges into a log of `size` bytes at `offset`, compared with a bitmap kept by hand. */
static void compare(uint64_t size, uint64_t offset, uint64_t seed)
{
	static uint8_t model[FILE_BYTES];
	uint64_t rnd = seed, pages = size * 8, marked = 0;
	struct dl_log *log;
	struct dl_batch b;
	int fd;
	uint8_t *p = file_map(FILE_BYTES, &fd);

	memset(model, 0, sizeof(model));
	assert_int_equal(dl_open(NULL, fd, size, offset, &log), 0);
	dl_batch_init(&b, log);
	for (unsigned i = 0; i < 500; i++) {
		uint64_t gpa = next_random(&rnd) % ((pages + 20) * DL_PAGE);
		uint64_t len = next_random(&rnd) % (i % 50 ? 3 * DL_PAGE : 200 * DL_PAGE);

		dl_mark(&b, gpa, len);
		for (uint64_t at = gpa / DL_PAGE; len && at <= (gpa + len - 1) / DL_PAGE; at++) {
			if (at < pages)
				model[offset + at / 8] |= (uint8_t)(1u << at % 8);
		}
		if (i % 7 == 0) {
			dl_flush(&b);
			if (memcmp(p, model, FILE_BYTES))
				fail_msg("%u bytes at %u: differs", (unsigned)size,
					(unsigned)offset);
		}
		if (i % 100 == 99) { /* as the front-end does from time to time */
			dl_flush(&b);
			for (unsigned k = 0; k < FILE_BYTES; k++)
				marked += (unsigned)__builtin_popcount(model[k]);
			assert_int_equal(dl_marked(log), marked);
			memset(p + offset, 0, size);
			memset(model + offset, 0, size);
		}
	}
	dl_close(log);
	munmap(p, FILE_BYTES);
	close(fd);
}

static void every_size_and_offset_marks_exactly_the_pages_written(void **state)
{
	static const uint64_t sizes[] = {1, 7, 8, 9, 15, 16, 17, 100, 1000, 4095, 4096};
	static const uint64_t offsets[] = {0, 1, 3, 7, 8, 64, 4095, 4096, 4097, 4100};
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned j = 0; j < sizeof(offsets) / sizeof(offsets[0]); j++)
			compare(sizes[i], offsets[j], seed++);
}

/* ---- all at once ---- */

#define MARKERS 3
#define ROUNDS  50000u

/*
 * Marker m owns pages m, m + MARKERS, ...: several in each byte. It writes its round number into a
 * page and marks it; the reader exchanges the bitmap and must find, in a page it sees marked, all
 * that was written before the mark.
 */
struct race {
	struct dl_log *log;
	uint8_t *bits;
	uint64_t nbytes;
	_Atomic uint32_t *pages; /* what the guest's pages hold */
	_Atomic unsigned running;
	pthread_barrier_t start;
};

struct marker {
	struct race *race;
	unsigned first;
	pthread_t thread;
};

static void *marker_main(void *arg)
{
	struct marker *m = arg;
	struct race *r = m->race;
	uint64_t npages = r->nbytes * 8;
	struct dl_batch b;

	dl_batch_init(&b, r->log);
	pthread_barrier_wait(&r->start);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		uint64_t page = (m->first + (uint64_t)i * MARKERS) % (npages - npages % MARKERS);

		atomic_store_explicit(&r->pages[page], i, memory_order_relaxed);
		dl_mark(&b, page * DL_PAGE + i % DL_PAGE, 1);
		if (i % 3 == 0)
			dl_flush(&b);
	}
	dl_flush(&b);
	atomic_fetch_sub(&r->running, 1);
	return NULL;
}

/* One pass of a front-end over the log: copy the pages that are marked. */
static void fetch(struct race *r, uint32_t *copies)
{
	for (uint64_t i = 0; i < r->nbytes; i++) {
		uint8_t bits = __atomic_exchange_n(&r->bits[i], 0, __ATOMIC_SEQ_CST);

		for (unsigned bit = 0; bit < 8; bit++) {
			if (bits >> bit & 1)
				copies[i * 8 + bit] = atomic_load_explicit(
					&r->pages[i * 8 + bit], memory_order_relaxed);
		}
	}
}

/* Markers and a front-end at work together; afterwards its copy of the guest must be the guest. */
static void race(uint64_t size, uint64_t offset)
{
	struct marker m[MARKERS];
	struct race r = {.nbytes = size, .running = MARKERS};
	uint32_t *copies = calloc(size * 8, sizeof(*copies));
	unsigned marked = 0;
	int fd;
	uint8_t *p = file_map(offset + size, &fd);

	r.pages = calloc(size * 8, sizeof(*r.pages));
	assert_true(copies && r.pages);
	r.bits = p + offset;
	assert_int_equal(dl_open(NULL, fd, size, offset, &r.log), 0);
	assert_int_equal(pthread_barrier_init(&r.start, NULL, MARKERS), 0);
	for (unsigned i = 0; i < MARKERS; i++) {
		m[i] = (struct marker){.race = &r, .first = i};
		assert_int_equal(pthread_create(&m[i].thread, NULL, marker_main, &m[i]), 0);
	}
	while (atomic_load(&r.running))
		fetch(&r, copies);
	for (unsigned i = 0; i < MARKERS; i++)
		pthread_join(m[i].thread, NULL);
	fetch(&r, copies);
	for (uint64_t i = 0; i < size * 8; i++) {
		if (copies[i] != atomic_load(&r.pages[i]))
			fail_msg("page %u: lost", (unsigned)i);
		marked += copies[i] != 0;
	}
	assert_true(marked >= size * 8 - MARKERS);
	for (uint64_t i = 0; i < offset; i++)
		assert_int_equal(p[i], 0);
	pthread_barrier_destroy(&r.start);
	dl_close(r.log);
	munmap(p, offset + size);
	close(fd);
	free((void *)r.pages);
	free(copies);
}

static void no_page_is_lost_while_a_front_end_fetches(void **state)
{
	(void)state;
	race(1, 0);
	race(1, 5);
	race(8, 0);
	race(29, 16);
	race(29, 3);
}

#define DUELS 30000u

/* Two threads that mark a page each, over and over, as nearly at the same time as they can. */
struct duel {
	struct dl_log *log;
	_Atomic unsigned ready, done; /* how often each was reached, by both together */
};

static void meet(_Atomic unsigned *counter, unsigned want)
{
	atomic_fetch_add(counter, 1);
	for (unsigned spins = 0; atomic_load(counter) < want; spins++) {
		if (spins > 1000)
			sched_yield(); /* there may be one CPU */
	}
}

static void duel_mark(struct duel *d, unsigned round, uint64_t page)
{
	struct dl_batch b;

	dl_batch_init(&b, d->log);
	dl_mark(&b, page * DL_PAGE, 1);
	meet(&d->ready, 2 * round);
	dl_flush(&b);
	meet(&d->done, 2 * round);
}

static void *second_main(void *arg)
{
	for (unsigned i = 1; i <= DUELS; i++)
		duel_mark(arg, i, 9);
	return NULL;
}

static void duel(uint64_t size)
{
	struct duel d = {0};
	pthread_t second;
	unsigned lost = 0;
	int fd;
	uint8_t *p = file_map(size, &fd);

	assert_int_equal(dl_open(NULL, fd, size, 0, &d.log), 0);
	assert_int_equal(pthread_create(&second, NULL, second_main, &d), 0);
	for (unsigned i = 1; i <= DUELS; i++) {
		__atomic_store_n(&p[1], 0, __ATOMIC_RELAXED);
		duel_mark(&d, i, 14);
		lost += __atomic_load_n(&p[1], __ATOMIC_RELAXED) != (1 << 1 | 1 << 6);
	}
	pthread_join(second, NULL);
	assert_int_equal(lost, 0);
	dl_close(d.log);
	munmap(p, size);
	close(fd);
}

static void two_pages_of_one_byte_can_be_marked_at_once(void **state)
{
	(void)state;
	duel(2); /* byte by byte */
	duel(8); /* as a word */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_beyond_the_end_of_its_file_is_refused),
		cmocka_unit_test(an_impossible_log_is_refused),
		cmocka_unit_test(the_descriptor_stays_the_callers),
		cmocka_unit_test(a_byte_marks_its_page),
		cmocka_unit_test(pages_beyond_the_log_are_ignored),
		cmocka_unit_test(what_is_marked_stays_marked_until_it_is_fetched),
		cmocka_unit_test(a_full_batch_writes_itself_out),
		cmocka_unit_test(every_size_and_offset_marks_exactly_the_pages_written),
		cmocka_unit_test(no_page_is_lost_while_a_front_end_fetches),
		cmocka_unit_test(two_pages_of_one_byte_can_be_marked_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
