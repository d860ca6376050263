/* SPDX-License-Identifier: BSD-3-Clause */
#include "cap_tap.h"

#include <string.h>

/* VIRTIO_NET_HDR_F_NEEDS_CSUM. */
#define NEEDS_CSUM 1

/* Copy the first `want` bytes of a frame. Returns how many it has of them. */
static uint32_t frame_copy(const struct frame *f, uint8_t *to, uint32_t want)
{
	uint32_t at = RW_MIN(want, (uint32_t)f->head_len);

	memcpy(to, f->head, at);
	for (unsigned i = 0; i < f->nsegs && at < want; i++) {
		uint32_t n = RW_MIN(want - at, f->seg[i].len);

		memcpy(to + at, f->seg[i].data, n);
		at += n;
	}
	return at;
}

/* Whether the next frame that matches is one of those that are kept. */
static inline bool is_sampled(struct cap_tap *tap)
{
	if (rw_likely(tap->sample <= 1))
		return true;
	if (++tap->skipped < tap->sample)
		return false;
	tap->skipped = 0;
	return true;
}

/* What was added in a call, and how much of it was lost. */
struct tally {
	unsigned taken, lost;
};

/* Fill in a record of `caplen` bytes of a frame at `to`, where it has room. Where they go. */
static inline uint8_t *record_fill(uint8_t *to, uint32_t need, const struct cap_record *like,
	const struct frame *f, uint32_t caplen)
{
	struct cap_record *record = (struct cap_record *)(void *)to;

	*record = *like;
	record->size = need;
	record->len = f->len;
	record->caplen = caplen;
	record->csum = f->offload.flags & NEEDS_CSUM;
	record->gso = f->offload.gso_type;
	return to + sizeof(*record);
}

static inline uint32_t record_size(uint32_t caplen)
{
	return (uint32_t)rw_align_up(sizeof(struct cap_record) + caplen, CAP_ALIGN);
}

/* The same at the writer's position, `to`, where it has room without a doubt. */
static inline uint8_t *record_put(struct cap_writer *w, uint8_t *to, const struct cap_record *like,
	const struct frame *f, uint32_t caplen)
{
	uint32_t need = record_size(caplen);

	w->head += need;
	w->room -= need;
	return record_fill(to, need, like, f, caplen);
}

/* A record of `caplen` bytes of a frame; where they go, or NULL: there is no room. */
static uint8_t *record_add(struct cap_writer *w, const struct cap_record *like,
	const struct frame *f, uint32_t caplen, struct tally *tally)
{
	uint32_t need = record_size(caplen);
	uint8_t *to = cap_writer_add(w, need);

	if (rw_unlikely(!to)) {
		tally->lost++;
		return NULL;
	}
	return record_fill(to, need, like, f, caplen);
}

/* Add the frame, of which nothing is copied yet. */
static RW_NOINLINE void frame_add_slowly(struct cap_writer *w, const struct cap_record *like,
	const struct frame *f, uint32_t caplen, struct tally *tally)
{
	uint8_t *to = record_add(w, like, f, caplen, tally);
	uint32_t copied;

	if (!to)
		return;
	copied = frame_copy(f, to, caplen);
	/* A frame has as many bytes as it says; what was in the ring before is not shown again. */
	if (rw_unlikely(copied < caplen))
		memset(to + copied, 0, caplen - copied);
}

/*
 * The same for a short frame in the middle of the ring, where FRAME_HEAD bytes are copied, which
 * have room. tests/perf, split 64 capture, instructions for each frame: 477 with a copy of variable
 * length, and counts for each frame; instructions.txt has what it is with this.
 */
static inline void frame_add(struct cap_writer *w, const struct cap_record *like,
	const struct frame *f, uint32_t snap, struct tally *tally)
{
	uint32_t caplen = RW_MIN(f->len, snap), at = (uint32_t)w->head & (w->size - 1);
	const uint32_t most = sizeof(struct cap_record) + FRAME_HEAD;

	if (rw_likely(caplen <= FRAME_HEAD && caplen <= f->head_len && w->size - at >= most &&
		    w->room >= most))
		memcpy(record_put(w, w->data + at, like, f, caplen), f->head, FRAME_HEAD);
	else
		frame_add_slowly(w, like, f, caplen, tally);
}

/* A frame about which its head does not decide. */
static RW_NOINLINE void frame_add_whole(struct cap_tap *tap, const struct cap_record *like,
	const struct frame *f, struct tally *tally)
{
	uint32_t len = RW_MIN(f->len, (uint32_t)CAP_SNAP_MAX);
	uint32_t copied = frame_copy(f, tap->scratch, len), caplen = RW_MIN(copied, tap->snap);
	uint8_t *to;

	if (cap_filter_run(&tap->filter, tap->scratch, copied, copied) != CAP_YES ||
		!is_sampled(tap))
		return;
	tally->taken++;
	to = record_add(&tap->writer, like, f, caplen, tally);
	if (to)
		memcpy(to, tap->scratch, caplen);
}

/* With a filter or sampling. */
static void frames_choose(struct cap_tap *tap, const struct cap_record *like,
	struct frame *const *frames, unsigned n, struct tally *tally)
{
	for (unsigned i = 0; i < n; i++) {
		const struct frame *f = frames[i];
		enum cap_verdict verdict = cap_filter_run(
			&tap->filter, f->head, f->head_len, f->len);

		if (rw_unlikely(verdict == CAP_MORE)) {
			frame_add_whole(tap, like, f, tally);
		} else if (verdict == CAP_YES && is_sampled(tap)) {
			tally->taken++;
			frame_add(&tap->writer, like, f, tap->snap, tally);
		}
	}
}

void cap_tap_frames(
	struct cap_tap *tap, const struct cap_record *like, struct frame *const *frames, unsigned n)
{
	struct tally tally = {0};

	cap_writer_look(&tap->writer);
	if (tap->filter.n || tap->sample > 1) {
		frames_choose(tap, like, frames, n, &tally);
	} else {
		tally.taken = n;
		for (unsigned i = 0; i < n; i++)
			frame_add(&tap->writer, like, frames[i], tap->snap, &tally);
	}
	cap_writer_publish(&tap->writer, like->port, tally.taken, tally.lost);
}

void cap_tap_empty(struct cap_tap *tap, const struct cap_record *like, uint64_t n)
{
	static const struct frame nothing;
	struct tally tally = {0};

	if (tap->filter.n)
		return;
	cap_writer_look(&tap->writer);
	for (uint64_t i = 0; i < RW_MIN(n, (uint64_t)CAP_TAP_EMPTY_MAX); i++) {
		if (!is_sampled(tap))
			continue;
		tally.taken++;
		record_add(&tap->writer, like, &nothing, 0, &tally);
	}
	cap_writer_publish(&tap->writer, like->port, tally.taken, tally.lost);
}
