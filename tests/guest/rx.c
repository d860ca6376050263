/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiving. */
#include <errno.h>
#include <string.h>

#include "guest.h"

/* The pieces of a receive buffer: their number. */
static uint16_t rx_pieces(const struct fe_queue *q, struct fe_piece *out)
{
	const struct fe_guest_config *c = &q->g->config;
	uint16_t n = fe_cut_pieces(&c->rx_cut, fe_guest_hdr_len(q->g), q->bufs.size, out);

	for (uint16_t i = 0; i < n; i++)
		out[i].off += c->rx_lead;
	return n;
}

int fe_rx_give(struct fe_guest *g, struct fe_queue *q, uint16_t b)
{
	const struct fe_cut *cut = &g->config.rx_cut;
	struct fe_piece pieces[FE_MAX_SEGS];
	struct fe_chain chain = {0};
	int err;

	err = fe_buf_check(q, b);
	if (err)
		return err;
	chain.n_in = rx_pieces(q, pieces);
	if (cut->indirect)
		chain.table = q->tables;
	return fe_buf_add(q, b, pieces, chain);
}

/* Where received bytes go: the header first, the rest to the caller. */
struct sink {
	uint8_t hdr[sizeof(struct virtio_net_hdr_mrg_rxbuf)];
	uint8_t *data;
	uint32_t size;
	uint32_t hdr_len;
	uint64_t done; /* bytes seen, header included */
};

static void sink_take(struct sink *s, const uint8_t *p, uint32_t len)
{
	uint32_t n;

	for (; len; p += n, len -= n, s->done += n) {
		if (s->done < s->hdr_len) {
			n = RW_MIN(len, s->hdr_len - (uint32_t)s->done);
			memcpy(s->hdr + s->done, p, n);
		} else {
			n = len;
			if (s->done - s->hdr_len + n <= s->size)
				memcpy(s->data + (s->done - s->hdr_len), p, n);
		}
	}
}

/* Take one used buffer, and give it, or the one that rested longest, to the ring. */
static int rx_take(struct fe_guest *g, struct fe_queue *q, struct sink *s)
{
	struct fe_piece pieces[FE_MAX_SEGS];
	struct fe_used used;
	uint32_t left, n;
	uint16_t i, b, npieces;
	int err;

	err = fe_buf_pop(q, &used);
	if (err)
		return err;
	b = (uint16_t)used.token;
	npieces = rx_pieces(q, pieces);
	left = used.len;
	for (i = 0; i < npieces && left; i++, left -= n) {
		n = RW_MIN(left, pieces[i].len);
		sink_take(s, q->bufs.host + (size_t)b * q->bufs.stride + pieces[i].off, n);
		if (g->shadow)
			fe_shadow_buf(q, b, pieces[i].off, n);
	}
	if (left)
		return -EPROTO; /* more than the buffer holds */
	fe_buf_poison(q, b);
	fe_buf_put(q, b);
	b = fe_buf_next(q);
	fe_buf_take(q);
	return fe_rx_give(g, q, b);
}

int fe_guest_recv(
	struct fe_guest *g, uint16_t pair, void *buf, uint32_t size, struct fe_received *out)
{
	struct fe_queue *q = fe_guest_rx(g, pair);
	struct sink s = {.data = buf, .size = size, .hdr_len = fe_guest_hdr_len(g)};
	struct virtio_net_hdr_mrg_rxbuf hdr = {0};
	uint16_t nbufs = 1;
	uint16_t i;
	int err;

	err = fe_guest_service(g);
	if (err >= 0)
		err = rx_take(g, q, &s);
	if (err)
		return err;
	if (s.done && s.done < s.hdr_len)
		return -EPROTO;
	memcpy(&hdr, s.hdr, s.hdr_len);
	if (fe_guest_swaps(g))
		hdr_swap(&hdr);
	if (s.done && fe_guest_has(g, VIRTIO_NET_F_MRG_RXBUF))
		nbufs = hdr.num_buffers;
	/* All buffers of a frame are used at once (virtio 1.2, 5.1.6.4). */
	for (i = 1; !err && i < nbufs; i++)
		err = rx_take(g, q, &s);
	fe_ring_publish(&q->ring);
	if (fe_ring_needs_kick(&q->ring))
		fe_queue_kick(q);
	if (err == -EILSEQ)
		return err;
	if (!s.done)
		return -ENODATA;
	if (err || nbufs == 0)
		return -EPROTO;
	if (s.done - s.hdr_len > size)
		return -EMSGSIZE;
	out->hdr = hdr;
	out->len = (uint32_t)(s.done - s.hdr_len);
	out->nbufs = nbufs;
	return 0;
}
