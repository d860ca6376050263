/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending. */
#include <errno.h>
#include <string.h>

#include "guest.h"

/* Take back what was used, the channel having been looked after. */
static int reap(struct fe_guest *g, uint16_t pair)
{
	struct fe_queue *q = fe_guest_tx(g, pair);
	struct fe_used used;
	int n = 0;
	int err;

	while (!(err = fe_buf_pop(q, &used))) {
		/* A device has nothing to write to a transmit buffer (virtio 1.2, 5.1.6.2). */
		if (used.len)
			return -EPROTO;
		fe_buf_poison(q, (uint16_t)used.token);
		fe_buf_put(q, (uint16_t)used.token);
		n++;
	}
	return err == -EAGAIN ? n : err;
}

int fe_guest_reap(struct fe_guest *g, uint16_t pair)
{
	int err;

	err = fe_guest_service(g);
	return err < 0 ? err : reap(g, pair);
}

/* Write header and data to the pieces of a buffer. */
static void pieces_fill(uint8_t *buf, const struct fe_piece *p, const void *hdr, uint32_t hdr_len,
	const struct fe_frame *f)
{
	const uint8_t *data = f->data;
	uint32_t done = 0;
	uint32_t off, n;

	for (; done < hdr_len + f->len; p++) {
		for (off = 0; off < p->len; off += n, done += n) {
			if (done < hdr_len) {
				n = RW_MIN(p->len - off, hdr_len - done);
				memcpy(buf + p->off + off, (const uint8_t *)hdr + done, n);
			} else {
				n = p->len - off;
				memcpy(buf + p->off + off, data + (done - hdr_len), n);
			}
		}
	}
}

int fe_guest_put(struct fe_guest *g, uint16_t pair, const struct fe_frame *f)
{
	struct fe_queue *q = fe_guest_tx(g, pair);
	uint32_t hdr_len = fe_guest_hdr_len(g);
	struct virtio_net_hdr_mrg_rxbuf hdr = {0};
	struct fe_piece pieces[FE_MAX_SEGS];
	struct fe_chain chain = {0};
	uint8_t *host;
	uint16_t b;
	int err;

	if (f->len > q->bufs.size - hdr_len || fe_cut_segs(&f->cut) > FE_MAX_SEGS)
		return -EMSGSIZE;
	err = fe_guest_reap(g, pair);
	if (err < 0)
		return err;
	if (q->bufs.nfree == 0)
		return -EAGAIN;
	b = fe_buf_next(q);
	err = fe_buf_check(q, b);
	if (err)
		return err;
	chain.n_out = fe_cut_pieces(&f->cut, hdr_len, hdr_len + f->len, pieces);
	if (chain.n_out > q->ring.num)
		return -EINVAL;
	if ((f->cut.indirect ? 1 : chain.n_out) > q->ring.free_descs)
		return -EAGAIN;
	if (f->cut.indirect)
		chain.table = q->tables;
	if (f->hdr)
		hdr = *f->hdr;
	if (fe_guest_swaps(g))
		hdr_swap(&hdr);
	host = q->bufs.host + (size_t)b * q->bufs.stride;
	pieces_fill(host, pieces, &hdr, hdr_len, f);
	fe_guest_wrote(g, host, q->bufs.stride);
	err = fe_buf_add(q, b, pieces, chain);
	if (err)
		return err;
	fe_buf_take(q);
	return 0;
}

void fe_guest_flush(struct fe_guest *g, uint16_t pair)
{
	struct fe_queue *q = fe_guest_tx(g, pair);

	fe_ring_publish(&q->ring);
	if (fe_ring_needs_kick(&q->ring))
		fe_queue_kick(q);
}

int fe_guest_send(struct fe_guest *g, uint16_t pair, const struct fe_frame *f)
{
	int err;

	err = fe_guest_put(g, pair, f);
	if (!err)
		fe_guest_flush(g, pair);
	return err;
}
