/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiving in bursts. */
#include "burst_priv.h"

/* Bytes of the buffer at `pos` that are header of the frame that begins there. */
static const uint8_t *buf_data(const struct fe_burst *b, uint32_t pos)
{
	return burst_line(b, b->ids[pos & b->mask]) + FE_BURST_FRAME_AT - b->hdr_len;
}

/* A frame in several buffers: -EAGAIN when the last ones are not used yet. */
static RW_NOINLINE int frame_join(struct fe_burst *b, struct fe_burst_frame *f, uint16_t nbufs)
{
	uint64_t len = 0;
	uint32_t i;
	int err;

	if (nbufs == 0 || nbufs > b->mask + 1)
		return -EPROTO;
	err = burst_look(b, nbufs);
	if (err)
		return err;
	if (b->seen - b->next < nbufs)
		return -EAGAIN;
	for (i = 0; i < nbufs; i++)
		len += b->lens[(b->next + i) & b->mask];
	if (len > UINT32_MAX)
		return -EPROTO;
	f->len = (uint32_t)len - b->hdr_len;
	f->nbufs = nbufs;
	return 0;
}

int fe_burst_peek(struct fe_burst *b)
{
	if (b->seen != b->next)
		return 0;
	return b->packed ? burst_look_packed(b, 2 * FE_BURST_MAX) : burst_refresh(b);
}

int fe_burst_recv(struct fe_burst *b, struct fe_burst_frame *frames, unsigned max)
{
	unsigned n;
	int err;

	/* More than one burst: the lines of the next are on their way while this one is looked at. */
	err = b->seen == b->next ? burst_look(b, 2 * FE_BURST_MAX) : 0;
	for (n = 0; n < max && b->next != b->seen; n++) {
		uint32_t slot = b->next & b->mask;
		uint8_t *line = burst_line(b, b->ids[slot]);
		uint16_t nbufs = 1;

		if (rw_unlikely(b->lens[slot] < b->hdr_len))
			return -EPROTO;
		frames[n].data = line + FE_BURST_FRAME_AT;
		frames[n].len = b->lens[slot] - b->hdr_len;
		frames[n].at = b->next;
		frames[n].nbufs = 1;
		if (b->mergeable)
			nbufs = __atomic_load_n((uint16_t *)(line + 10), __ATOMIC_RELAXED);
		if (rw_unlikely(nbufs != 1)) {
			int joined = frame_join(b, &frames[n], nbufs);

			if (joined == -EAGAIN)
				break;
			if (joined)
				return joined;
		}
		b->next += nbufs;
	}
	/* What was good before the nonsense is not worth having. */
	return err ? err : (int)n;
}

const uint8_t *fe_burst_at(
	const struct fe_burst *b, const struct fe_burst_frame *f, uint32_t off, uint32_t *left)
{
	uint32_t pos = f->at;

	off += b->hdr_len;
	while (off >= b->lens[pos & b->mask])
		off -= b->lens[pos++ & b->mask];
	*left = b->lens[pos & b->mask] - off;
	return buf_data(b, pos) + off;
}

void fe_burst_release(struct fe_burst *b)
{
	uint32_t num = b->mask + 1;
	uint32_t end = b->next + num;

	/* Not for a few: each publishing takes the index's line from the device. */
	if (end - b->posted < RW_MIN(FE_BURST_MAX / 2, (num + 3) / 4))
		return;
	fe_burst_post(b, end);
	fe_burst_publish(b);
}
