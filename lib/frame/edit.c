/* SPDX-License-Identifier: BSD-3-Clause */
/* Extend a head, and edit it for a receiver. */
#include <assert.h>
#include <string.h>

#include "frame.h"
#include "rw_virtio_net.h"

uint32_t frame_pull(struct frame *f, uint32_t want)
{
	uint32_t left;

	assert(want <= FRAME_PULL_MAX);
	want = RW_MIN(want, f->len);
	if (want <= f->head_len)
		return f->head_len;
	left = want - f->head_len;
	while (left) {
		struct rw_seg *seg = f->seg;
		uint32_t piece = RW_MIN(left, seg->len);

		memcpy(f->head + f->head_len, seg->data, piece);
		f->head_len = (uint16_t)(f->head_len + piece);
		left -= piece;
		seg->data += piece;
		seg->len -= piece;
		if (!seg->len) {
			f->seg++;
			f->nsegs--;
		}
	}
	return f->head_len;
}

/*
 * Write both addresses and the tag of the edited frame to `*at`, and advance it. Returns how many
 * bytes of the original frame they replace.
 */
static uint32_t tag_put(const struct frame *f, const struct frame_edit *edit, uint8_t **at)
{
	bool tagged = frame_has_tag(f, edit->tpid) &&
		f->head_len >= FRAME_TAG_AT + FRAME_TAG_LEN + 2;
	uint8_t *to = *at;
	uint8_t priority = 0;

	memcpy(to, f->head, FRAME_TAG_AT);
	*at = to + FRAME_TAG_AT;
	if (edit->tag == FRAME_TAG_KEEP || (edit->tag == FRAME_TAG_POP && !tagged))
		return FRAME_TAG_AT;
	if (edit->tag == FRAME_TAG_POP)
		return FRAME_TAG_AT + FRAME_TAG_LEN;
	tagged = tagged && edit->tag == FRAME_TAG_REWRITE;
	if (tagged)
		priority = f->head[FRAME_TAG_AT + 2] & 0xf0;
	to = *at;
	memcpy(to, &edit->tpid, sizeof(edit->tpid));
	to[2] = (uint8_t)(priority | (edit->vlan >> 8 & 0x0f));
	to[3] = (uint8_t)edit->vlan;
	*at = to + FRAME_TAG_LEN;
	return FRAME_TAG_AT + (tagged ? FRAME_TAG_LEN : 0);
}

/* Adjust the offload's offsets, which count from the frame's first byte. */
static void offload_move(struct frame_offload *o, int by)
{
	if (o->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		o->csum_start = (uint16_t)(o->csum_start + by);
	if (o->gso_type && o->hdr_len)
		o->hdr_len = (uint16_t)(o->hdr_len + by);
}

void frame_edit(const struct frame *f, const struct frame_edit *edit, struct frame *out)
{
	uint8_t *at = out->head;
	uint32_t rest;
	int by;

	assert(edit->front_len + (edit->tag == FRAME_TAG_KEEP ? 0 : FRAME_TAG_LEN) <=
		FRAME_FRONT_MAX);
	if (edit->front_len)
		memcpy(at, edit->front, edit->front_len);
	at += edit->front_len;
	rest = tag_put(f, edit, &at);
	memcpy(at, f->head + rest, f->head_len - rest);
	at += f->head_len - rest;
	by = (int)(at - out->head) - f->head_len;
	out->seg = f->seg;
	out->nsegs = f->nsegs;
	out->len = f->len + (uint32_t)by;
	out->head_len = (uint16_t)(f->head_len + by);
	out->vlan = f->vlan;
	out->mark = f->mark;
	out->offload = f->offload;
	offload_move(&out->offload, by);
}
