/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Which frames of a stream have come. A stream is what one sender's queue sends to one receiver, numbered
 * from 0. While all comes in turn that is one comparison; from the first gap on until it is
 * STREAM_WINDOW frames ago, a bit for each number that was passed over tells late ones from those seen
 * before.
 *
 * Thread: one at a time.
 */
#include "rw_base.h"

/* More than two rings hold: nothing that is still on its way is older. */
#define STREAM_WINDOW 4096

/* All zero: nothing has come. */
struct stream {
	uint32_t next;                        /* after the highest number that came */
	uint32_t holes;                       /* bits that are set in... */
	uint64_t missing[STREAM_WINDOW / 64]; /* ...this, by number modulo the window */
};

enum stream_seen {
	STREAM_NEW,   /* the highest yet */
	STREAM_LATE,  /* others overtook it */
	STREAM_AGAIN, /* came before, or so long ago that it must have */
};

enum stream_seen stream_note_slow(struct stream *s, uint32_t seq);

RW_ALWAYS_INLINE enum stream_seen stream_note(struct stream *s, uint32_t seq)
{
	if (rw_unlikely(seq != s->next || s->holes))
		return stream_note_slow(s, seq);
	s->next++;
	return STREAM_NEW;
}
