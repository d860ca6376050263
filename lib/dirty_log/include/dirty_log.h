/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The migration log: a bitmap, shared with the front-end, of the guest pages that we wrote
 * (vhost-user, "Migration"). A bit stands for a page of 4 KiB of guest-physical address space, bit
 * 0 of the first byte for the page at address 0. The front-end clears what it has read with an
 * atomic exchange, at any time.
 *
 * A page is marked after it was written: marked earlier, the front-end could clear the mark and
 * copy the page before the write. It must be marked before the guest can know of the write.
 *
 * Threads: control opens and closes; any number of workers mark, each through a batch of its own.
 */
#include "gm_guard.h"

#define DL_PAGE 4096u

struct dl_log;

/*
 * Map `size` bytes at `offset` (any value) of `fd`, which stays the caller's. `owner`: gm_guard.h.
 * 0; -EINVAL: nothing, or a range that wraps; or what gm_file_map says.
 */
int dl_open(struct gm_owner *owner, int fd, uint64_t size, uint64_t offset, struct dl_log **out);
/* No batch uses it any more. NULL is fine. */
void dl_close(struct dl_log *log);
/* Bytes of the bitmap. */
uint64_t dl_size(const struct dl_log *log);
/*
 * Pages that were marked and had not been since the front-end last cleared them: what it has to
 * send again because of us. Thread: any. dl_marked_set: `log` goes on for another one.
 */
uint64_t dl_marked(const struct dl_log *log);
void dl_marked_set(struct dl_log *log, uint64_t marked);

/* What one burst has written, merged: consecutive pages become one access to the shared bitmap. */
#define DL_BATCH_WORDS 16

struct dl_batch {
	struct dl_log *log;
	uint32_t n;
	struct {
		uint64_t index; /* of a 64-bit word of the bitmap */
		uint64_t bits;
	} words[DL_BATCH_WORDS];
};

static inline void dl_batch_init(struct dl_batch *b, struct dl_log *log)
{
	b->log = log;
	b->n = 0;
}

/*
 * Note that guest-physical [gpa, gpa + len) was written. Pages beyond the bitmap are ignored: the
 * front-end chose its size. Writes through to the bitmap when the batch is full.
 */
void dl_mark(struct dl_batch *b, uint64_t gpa, uint64_t len);
/* Set in the shared bitmap, atomically, all that was noted. Release order. */
void dl_flush(struct dl_batch *b);
