/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The bytes behind a frame's head, read in order. Internal to lib/frame. */
#include <string.h>

#include "frame_convert.h"

/* A place in the bytes behind a frame's head. */
struct place {
	const struct rw_seg *seg;
	uint32_t at;
};

/* Copy the next `n` bytes, which are there. */
static inline void place_take(struct place *p, uint8_t *to, uint32_t n)
{
	while (n) {
		uint32_t piece = RW_MIN(n, p->seg->len - p->at);

		memcpy(to, p->seg->data + p->at, piece);
		to += piece;
		n -= piece;
		p->at += piece;
		if (p->at == p->seg->len) {
			p->seg++;
			p->at = 0;
		}
	}
}

/* Share the next `n` bytes, which are there. False: the list has no room. */
static inline bool place_share(struct place *p, uint32_t n, struct frame_room *room)
{
	unsigned used = room->n;

	while (n) {
		uint32_t piece = RW_MIN(n, p->seg->len - p->at);

		if (used == room->max)
			return false;
		if (piece)
			room->segs[used++] = (struct rw_seg){
				.data = p->seg->data + p->at, .len = piece};
		n -= piece;
		p->at += piece;
		if (p->at == p->seg->len) {
			p->seg++;
			p->at = 0;
		}
	}
	room->n = used;
	return true;
}
