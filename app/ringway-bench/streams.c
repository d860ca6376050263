/* SPDX-License-Identifier: BSD-3-Clause */
#include "streams.h"

static void hole_set(struct stream *s, uint32_t seq, bool on)
{
	uint64_t *word = &s->missing[seq % STREAM_WINDOW / 64];
	uint64_t bit = UINT64_C(1) << seq % 64;

	if (!(*word & bit) == !on)
		return;
	*word ^= bit;
	s->holes += on ? 1 : UINT32_MAX;
}

static bool hole_is(const struct stream *s, uint32_t seq)
{
	return s->missing[seq % STREAM_WINDOW / 64] >> seq % 64 & 1;
}

enum stream_seen stream_note_slow(struct stream *s, uint32_t seq)
{
	uint32_t ahead = seq - s->next;
	uint32_t passed;

	if ((int32_t)ahead >= 0) {
		for (passed = RW_MIN(ahead, STREAM_WINDOW - 1u); passed; passed--)
			hole_set(s, seq - passed, true);
		hole_set(s, seq, false);
		s->next = seq + 1;
		return STREAM_NEW;
	}
	if (s->next - seq > STREAM_WINDOW || !hole_is(s, seq))
		return STREAM_AGAIN;
	hole_set(s, seq, false);
	return STREAM_LATE;
}
