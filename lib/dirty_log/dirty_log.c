/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>

#include "dirty_log.h"

struct dl_log {
	uint8_t *bits;
	uint64_t size; /* bytes */
	struct gm_file file;
	uint64_t marked RW_CACHE_ALIGNED; /* atomic; workers write it, and read what is above */
} RW_CACHE_ALIGNED;

int dl_open(struct gm_owner *owner, int fd, uint64_t size, uint64_t offset, struct dl_log **out)
{
	struct dl_log *log;
	int ret;

	if (!size || size > INT64_MAX || offset > INT64_MAX - size)
		return -EINVAL;
	log = rw_zalloc(sizeof(*log));
	if (!log)
		return -ENOMEM;
	ret = gm_file_map(owner, GM_LOSS_LOG, fd, offset, size, &log->file);
	if (ret) {
		rw_free(log);
		return ret;
	}
	log->bits = log->file.host;
	log->size = size;
	*out = log;
	return 0;
}

void dl_close(struct dl_log *log)
{
	if (!log)
		return;
	gm_file_unmap(&log->file);
	rw_free(log);
}

uint64_t dl_size(const struct dl_log *log)
{
	return log->size;
}

uint64_t dl_marked(const struct dl_log *log)
{
	return __atomic_load_n(&log->marked, __ATOMIC_RELAXED);
}

void dl_marked_set(struct dl_log *log, uint64_t marked)
{
	__atomic_store_n(&log->marked, marked, __ATOMIC_RELAXED);
}

/* Add `bits` to word `index`, which begins inside the bitmap. */
static void note(struct dl_batch *b, uint64_t index, uint64_t bits)
{
	for (uint32_t i = b->n; i--;) {
		if (b->words[i].index == index) {
			b->words[i].bits |= bits;
			return;
		}
	}
	if (b->n == DL_BATCH_WORDS)
		dl_flush(b);
	b->words[b->n].index = index;
	b->words[b->n].bits = bits;
	b->n++;
}

void dl_mark(struct dl_batch *b, uint64_t gpa, uint64_t len)
{
	uint64_t page = gpa / DL_PAGE, last;

	if (!len)
		return;
	last = (gpa + RW_MIN(len - 1, UINT64_MAX - gpa)) / DL_PAGE;
	while (page <= last && page / 8 < b->log->size) {
		uint64_t first_bit = page % 64, n = RW_MIN(last - page + 1, 64 - first_bit);

		note(b, page / 64, UINT64_MAX >> (64 - n) << first_bit);
		page += n;
	}
}

/*
 * Byte by byte: a word that is not aligned in our memory, or that the bitmap ends in. How many bits
 * were not set before.
 */
static uint32_t set_bytes(const struct dl_log *log, uint64_t at, uint64_t bits)
{
	uint32_t fresh = 0;

	for (; bits && at < log->size; bits >>= 8, at++) {
		uint8_t mask = (uint8_t)bits, before;

		if (!mask)
			continue;
		before = __atomic_fetch_or(&log->bits[at], mask, __ATOMIC_RELEASE);
		fresh += (uint32_t)__builtin_popcount(mask & ~(unsigned)before);
	}
	return fresh;
}

/* The same of a whole word. */
static uint32_t set_word(uint64_t *word, uint64_t bits)
{
	uint64_t before = __atomic_fetch_or(word, bits, __ATOMIC_RELEASE);

	/* Most pages are written again before the front-end has looked. */
	return rw_likely(!(bits & ~before)) ? 0 : (uint32_t)__builtin_popcountll(bits & ~before);
}

/*
 * Always an atomic OR, never a load first to see whether the bits are set: the CPU could carry out
 * that load before our write to the page is visible, read a bit that the front-end clears at that
 * moment, and so leave a page that it copies without our write. The OR comes before or after the
 * front-end's exchange. After it, the bit stays set; before it, the exchange reads the bit and with
 * it, by release order, all that we wrote.
 *
 * Bit 0 of a word is bit 0 of its first byte: little-endian, as every host we run on.
 */
void dl_flush(struct dl_batch *b)
{
	uint32_t fresh = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t at = b->words[i].index * 8, bits = b->words[i].bits;
		uint8_t *p = b->log->bits + at;

		if (b->log->size - at >= 8 && !((uintptr_t)p & 7))
			fresh += set_word((uint64_t *)p, bits);
		else
			fresh += set_bytes(b->log, at, bits);
	}
	if (fresh)
		__atomic_fetch_add(&b->log->marked, fresh, __ATOMIC_RELAXED);
	b->n = 0;
}
