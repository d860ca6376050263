/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiving and sending in bursts. */
#include "burst_priv.h"

/* The first byte that the device writes in the buffer at `pos`. */
static const uint8_t *buf_data(const struct fe_burst *b, uint32_t pos)
{
	return burst_line(b, b->ids[pos & b->mask]) + FE_BURST_FRAME_AT - b->hdr_len;
}

/* The number of the frame's buffers. The argument is the first line of its first buffer. */
RW_ALWAYS_INLINE uint16_t nbufs_of(const uint8_t *line)
{
	return __atomic_load_n((const uint16_t *)(line + 10), __ATOMIC_RELAXED);
}

/* Get a frame in several buffers. -EAGAIN: the last ones are not used yet. */
static RW_NOINLINE int frame_join(struct fe_burst *b, struct fe_burst_frame *f, uint16_t nbufs)
{
	uint64_t len = 0;
	uint32_t i;
	int err;

	if (nbufs == 0 || nbufs > b->mask + 1)
		return -EPROTO;
	err = burst_look(b, nbufs, true);
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
	return b->packed ? burst_look_packed(b, 2 * FE_BURST_MAX, true) : burst_refresh(b, true);
}

/*
 * Get frames from b->next on, up to the first that has more than one buffer. Returns their number.
 */
RW_ALWAYS_INLINE unsigned frames_whole(
	struct fe_burst *b, struct fe_burst_frame *frames, unsigned max, const bool mergeable)
{
	const struct fe_burst c = *b;
	uint32_t pos = c.next, end = pos + RW_MIN(c.seen - pos, max);

	for (; pos != end; pos++, frames++) {
		uint32_t slot = pos & c.mask;
		uint8_t *line = burst_line(&c, c.ids[slot]);

		if (rw_unlikely(c.lens[slot] < c.hdr_len))
			break;
		if (mergeable && rw_unlikely(nbufs_of(line) != 1))
			break;
		frames->data = line + FE_BURST_FRAME_AT;
		frames->len = c.lens[slot] - c.hdr_len;
		frames->at = pos;
		frames->nbufs = 1;
	}
	b->next = pos;
	return pos - c.next;
}

/* Get the frame at b->next, with one buffer or several. Returns 0, -EAGAIN or -EPROTO. */
static RW_NOINLINE int frame_any(struct fe_burst *b, struct fe_burst_frame *f)
{
	uint32_t slot = b->next & b->mask;
	uint8_t *line = burst_line(b, b->ids[slot]);
	uint16_t nbufs = b->mergeable ? nbufs_of(line) : 1;
	int err;

	if (b->lens[slot] < b->hdr_len)
		return -EPROTO;
	*f = (struct fe_burst_frame){
		.data = line + FE_BURST_FRAME_AT,
		.len = b->lens[slot] - b->hdr_len,
		.at = b->next,
		.nbufs = 1,
	};
	err = nbufs == 1 ? 0 : frame_join(b, f, nbufs);
	if (!err)
		b->next += nbufs;
	return err;
}

int fe_burst_recv(struct fe_burst *b, struct fe_burst_frame *frames, unsigned max)
{
	unsigned n = 0;
	int err, odd;

	/*
	 * Read entries of two bursts, so that this burst overlaps the prefetch of the next one.
	 */
	err = b->seen == b->next ? burst_look(b, 2 * FE_BURST_MAX, true) : 0;
	for (;;) {
		n += b->mergeable ? frames_whole(b, frames + n, max - n, true)
				  : frames_whole(b, frames + n, max - n, false);
		if (rw_likely(n == max || b->next == b->seen))
			break;
		odd = frame_any(b, &frames[n]);
		if (odd == -EAGAIN)
			break;
		if (odd)
			return odd;
		n++;
	}
	/* On an invalid entry, the valid frames before it are lost, too. */
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

	/* Do not publish few buffers: each publishing takes the index's line from the device. */
	if (end - b->posted < RW_MIN(FE_BURST_MAX / 2, (num + 3) / 4))
		return;
	fe_burst_post(b, end);
	fe_burst_publish(b);
}

int fe_burst_reap(struct fe_burst *b)
{
	int err = burst_look(b, b->mask + 1, false);

	if (rw_likely(!err))
		b->next = b->seen;
	return err;
}

int fe_burst_room(struct fe_burst *b, unsigned want)
{
	uint32_t num = b->mask + 1;
	uint32_t room = num - (b->posted - b->next);
	int err;

	if (room < want) {
		err = fe_burst_reap(b);
		if (rw_unlikely(err))
			return err;
		room = num - (b->posted - b->next);
	}
	return (int)RW_MIN(room, want);
}

void fe_burst_send(struct fe_burst *b, unsigned n)
{
	fe_burst_post(b, b->posted + n);
	fe_burst_publish(b);
}
