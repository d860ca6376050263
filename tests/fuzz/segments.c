/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames that are to be cut, or whose checksum is to be completed: the input is the offload fields
 * and the frame. Whatever they say, no byte outside the frame is read, every segment has a length
 * that its IP header says, the payload is there in its order once, and the work is bounded.
 */
#include <stdlib.h>

#include "frame_convert.h"
#include "frame_parse.h"
#include "fuzz.h"

#define PIECES  20
#define ROOM    64
#define LEN_MAX 70000

/* The fields in front of the frame; `repeat` makes long frames of short inputs. */
struct request {
	struct frame_offload offload;
	uint8_t pieces;
	uint8_t repeat;
};

struct lent {
	struct frame f;
	struct rw_seg segs[PIECES];
	uint8_t *memory[PIECES];
	uint8_t bytes[LEN_MAX];
};

static struct lent lent;
static uint8_t out_bytes[LEN_MAX];

static void lend(struct lent *l, const struct request *r, const uint8_t *bytes, uint32_t len)
{
	uint32_t all = len + r->repeat * 256u, at, n = 1 + r->pieces % PIECES;

	for (uint32_t i = 0; i < all; i++)
		l->bytes[i] = i < len ? bytes[i] : (uint8_t)(i * 7);
	frame_init(&l->f, all);
	memset(l->f.head, 0xee, sizeof(l->f.head));
	memcpy(l->f.head, l->bytes, l->f.head_len);
	l->f.offload = r->offload;
	l->f.seg = l->segs;
	at = l->f.head_len;
	for (unsigned i = 0; i < n; i++) {
		uint32_t piece = i + 1 == n ? all - at : (all - at) / (n - i);

		/* Memory of its own, for AddressSanitizer. */
		l->memory[i] = malloc(piece + !piece);
		fuzz_check(l->memory[i]);
		memcpy(l->memory[i], l->bytes + at, piece);
		l->segs[i] = (struct rw_seg){l->memory[i], piece};
		at += piece;
	}
	l->f.nsegs = (uint16_t)n;
}

static void give_back(struct lent *l)
{
	for (unsigned i = 0; i < l->f.nsegs; i++)
		free(l->memory[i]);
}

/* All bytes of a frame to `out_bytes`; its length. */
static uint32_t flatten(const struct frame *f)
{
	uint32_t n = f->head_len;

	fuzz_check(f->len < LEN_MAX && n <= FRAME_HEAD_MAX);
	memcpy(out_bytes, f->head, n);
	for (unsigned i = 0; i < f->nsegs; i++) {
		fuzz_check(n + f->seg[i].len <= f->len);
		memcpy(out_bytes + n, f->seg[i].data, f->seg[i].len);
		n += f->seg[i].len;
	}
	fuzz_check(n == f->len);
	return n;
}

static void fill_check(const struct frame *f)
{
	static struct rw_seg segs[ROOM];
	struct frame_room room = {.segs = segs, .max = ROOM};
	uint32_t at = (uint32_t)f->offload.csum_start + f->offload.csum_offset;
	struct frame out;
	enum frame_fault fault = frame_csum_fill(f, &room, &out);

	if (!frame_csum_is_partial(f)) {
		fuzz_check(fault == FRAME_OK && frame_is_plain(&out) && flatten(&out) == f->len);
		fuzz_check(!memcmp(out_bytes, lent.bytes, f->len));
		return;
	}
	if (fault != FRAME_OK) {
		fuzz_check(fault == FRAME_BAD_CSUM);
		fuzz_check(f->offload.csum_start < FRAME_MIN_LEN || at + 2 > f->len ||
			at + 2 > FRAME_PULL_MAX);
		return;
	}
	fuzz_check(frame_is_plain(&out) && flatten(&out) == f->len);
	fuzz_check(!memcmp(out_bytes, lent.bytes, at));
	fuzz_check(!memcmp(out_bytes + at + 2, lent.bytes + at + 2, f->len - at - 2));
}

static void segment_check(const struct frame_cut *c, const struct frame *out, uint32_t done)
{
	uint32_t len = flatten(out), hdr = c->hdr_len;
	const uint8_t *ip = out_bytes + c->net_at;

	fuzz_check(len >= hdr && len - hdr <= c->frame->offload.gso_size);
	fuzz_check(done + len - hdr <= c->payload);
	fuzz_check(len == hdr + c->frame->offload.gso_size || done + len - hdr == c->payload);
	fuzz_check(!memcmp(out_bytes + hdr, lent.bytes + hdr + done, len - hdr));
	fuzz_check(frame_load16(ip + (c->ipv6 ? 4 : 2)) == len - c->net_at - (c->ipv6 ? 40 : 0));
	fuzz_check(c->leave_csum == !frame_is_plain(out) && !out->offload.gso_type);
}

static void cut_check(const struct frame *f, bool leave_csum)
{
	static struct rw_seg segs[ROOM];
	struct frame_cut c;
	uint32_t done = 0, n = 0;

	if (frame_cut_begin(&c, f, leave_csum) != FRAME_OK)
		return;
	for (;; n++) {
		struct frame_room room = {.segs = segs, .max = ROOM};
		struct frame out;
		enum frame_fault fault = frame_cut_next(&c, &room, &out);

		fuzz_check(n <= FRAME_SEGMENTS_MAX && fault != FRAME_NO_ROOM);
		if (fault == FRAME_END)
			break;
		segment_check(&c, &out, done);
		done += out.len - c.hdr_len;
	}
	fuzz_check(done == c.payload && n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request r;

	if (size < sizeof(r) + FRAME_MIN_LEN || size > 2048)
		return 0;
	memcpy(&r, data, sizeof(r));
	lend(&lent, &r, data + sizeof(r), (uint32_t)(size - sizeof(r)));
	frame_needs(&lent.f);
	fill_check(&lent.f);
	cut_check(&lent.f, false);
	cut_check(&lent.f, true);
	give_back(&lent);
	return 0;
}
