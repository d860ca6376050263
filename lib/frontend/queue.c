/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's queues: buffers, frames cut into pieces, and notifications. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "guest.h"

/* Unused bytes between two pieces: a back-end that runs over a piece's end shows. */
#define GAP 3

#define TABLE_BYTES (FE_MAX_SEGS * sizeof(union fe_indirect_desc))

/* A buffer cut into pieces: offsets from the buffer's start. */
struct piece {
	uint32_t off;
	uint32_t len;
};

static bool is_rx(uint32_t i)
{
	return i % 2 == 0;
}

static uint16_t ring_size(const struct fe_guest *g, uint32_t i)
{
	return is_rx(i) ? g->config.rx_size : g->config.tx_size;
}

static uint32_t stride(uint32_t size)
{
	return (uint32_t)rw_align_up(size + FE_MAX_SEGS * GAP, RW_CACHE_LINE);
}

static uint32_t cut_segs(const struct fe_cut *cut)
{
	return (uint32_t)cut->hdr_segs + RW_MAX(cut->data_segs, 1u);
}

/* Cut `len` bytes, of which the first `hdr` are header. Returns the number of pieces. */
static uint16_t cut_pieces(const struct fe_cut *cut, uint32_t hdr, uint32_t len, struct piece *out)
{
	uint32_t nhdr = RW_MIN(cut->hdr_segs, hdr);
	uint32_t data = nhdr ? len - hdr : len;
	uint32_t ndata = RW_MIN(RW_MAX(cut->data_segs, 1u), data);
	uint32_t off = 0;
	uint16_t n = 0;
	uint32_t i;

	for (i = 0; i < nhdr; i++) {
		out[n] = (struct piece){off, i + 1 < nhdr ? 1 : hdr - i};
		off += out[n++].len + GAP;
	}
	for (i = 0; i < ndata; i++) {
		out[n] = (struct piece){off, data / ndata + (i < data % ndata)};
		off += out[n++].len + GAP;
	}
	return n;
}

uint64_t fe_queue_bytes(const struct fe_guest *g, uint32_t i)
{
	uint32_t size = is_rx(i) ? g->config.rx_buf_size : g->config.tx_buf_size;
	uint16_t num = ring_size(g, i);
	struct fe_layout layout;

	fe_ring_layout(FE_SPLIT, num, &layout);
	return layout.bytes + num * ((uint64_t)stride(size) + TABLE_BYTES);
}

int fe_queue_place_ring(struct fe_guest *g, uint32_t i)
{
	struct fe_layout layout;

	/* A split ring needs no less than a packed one of the same size. */
	fe_ring_layout(FE_SPLIT, ring_size(g, i), &layout);
	g->queues[i].gpa = fe_mem_alloc(&g->mem, layout.bytes, RW_CACHE_LINE);
	return g->queues[i].gpa == UINT64_MAX ? -ENOSPC : 0;
}

static int place_bufs(struct fe_guest *g, struct fe_pool *p, uint16_t n, uint32_t size)
{
	uint64_t bytes = (uint64_t)n * stride(size);

	p->gpa = fe_mem_alloc(&g->mem, bytes, RW_CACHE_LINE);
	if (p->gpa == UINT64_MAX)
		return -ENOSPC;
	p->host = fe_mem_at(&g->mem, p->gpa, bytes);
	p->size = size;
	p->stride = stride(size);
	p->n = n;
	p->free = calloc(n, sizeof(*p->free));
	return p->free ? 0 : -ENOMEM;
}

int fe_queue_place_rx_bufs(struct fe_guest *g, uint32_t i)
{
	const struct fe_cut *cut = &g->config.rx_cut;
	uint32_t n = ring_size(g, i) / (cut->indirect ? 1 : cut_segs(cut));

	if (!is_rx(i))
		return 0;
	if (n == 0 || cut_segs(cut) > FE_MAX_SEGS)
		return -EINVAL;
	return place_bufs(g, &g->queues[i].bufs, (uint16_t)n, g->config.rx_buf_size);
}

int fe_queue_place_tx_bufs(struct fe_guest *g, uint32_t i)
{
	if (is_rx(i))
		return 0;
	return place_bufs(g, &g->queues[i].bufs, ring_size(g, i), g->config.tx_buf_size);
}

int fe_queue_place_tables(struct fe_guest *g, uint32_t i)
{
	struct fe_queue *q = &g->queues[i];
	uint64_t bytes = q->bufs.n * TABLE_BYTES;

	if (is_rx(i) && !g->config.rx_cut.indirect)
		return 0;
	q->tables_gpa = fe_mem_alloc(&g->mem, bytes, sizeof(union fe_indirect_desc));
	if (q->tables_gpa == UINT64_MAX)
		return -ENOSPC;
	q->tables = fe_mem_at(&g->mem, q->tables_gpa, bytes);
	return 0;
}

/* Add buffer `b`, cut into `pieces`, to the ring. */
static int buf_add(
	struct fe_queue *q, uint16_t b, const struct piece *pieces, struct fe_chain chain)
{
	struct fe_seg segs[FE_MAX_SEGS];
	uint32_t i;

	for (i = 0; i < (uint32_t)chain.n_out + chain.n_in; i++) {
		segs[i].gpa = q->bufs.gpa + (uint64_t)b * q->bufs.stride + pieces[i].off;
		segs[i].len = pieces[i].len;
	}
	chain.segs = segs;
	chain.token = b;
	if (chain.table) {
		chain.table += (size_t)b * FE_MAX_SEGS;
		chain.table_gpa += b * TABLE_BYTES;
	}
	return fe_ring_add(&q->ring, &chain);
}

static int rx_give(struct fe_guest *g, struct fe_queue *q, uint16_t b)
{
	const struct fe_cut *cut = &g->config.rx_cut;
	struct piece pieces[FE_MAX_SEGS];
	struct fe_chain chain = {0};

	chain.n_in = cut_pieces(cut, fe_guest_hdr_len(g), q->bufs.size, pieces);
	if (cut->indirect) {
		chain.table = q->tables;
		chain.table_gpa = q->tables_gpa;
	}
	return buf_add(q, b, pieces, chain);
}

static void drain(int fd)
{
	eventfd_t n;

	eventfd_read(fd, &n);
}

int fe_queue_reset(struct fe_guest *g, uint32_t i)
{
	struct fe_queue *q = &g->queues[i];
	bool packed = fe_guest_has(g, VIRTIO_F_RING_PACKED);
	struct fe_ring_config c = {
		.format = packed ? FE_PACKED : FE_SPLIT,
		.num = ring_size(g, i),
		.event_idx = fe_guest_has(g, VIRTIO_RING_F_EVENT_IDX),
		.in_order = fe_guest_has(g, VIRTIO_F_IN_ORDER),
		.start = g->config.ring_start,
		.wrap = true,
	};
	uint8_t *host;
	uint16_t b;
	int err;

	fe_ring_layout(c.format, c.num, &q->layout);
	host = fe_mem_at(&g->mem, q->gpa, q->layout.bytes);
	c.desc = host + q->layout.desc;
	c.driver = host + q->layout.driver;
	c.device = host + q->layout.device;
	fe_ring_fini(&q->ring);
	err = fe_ring_init(&q->ring, &c);
	if (!err && g->config.scatter)
		err = fe_ring_scatter(&q->ring, i + 1);
	if (err)
		return err;
	q->base = c.start;
	if (packed)
		q->base = (c.start | VU_PACKED_AVAIL_WRAP) * (1u + (1u << VU_PACKED_USED_SHIFT));
	drain(q->kick_fd);
	drain(q->call_fd);
	drain(q->err_fd);
	for (b = 0; b < q->bufs.n; b++)
		q->bufs.free[b] = b;
	q->bufs.head = 0;
	q->bufs.nfree = q->bufs.n;
	if (!is_rx(i))
		return 0;
	for (b = 0; !err && b < q->bufs.n; b++)
		err = rx_give(g, q, b);
	fe_ring_publish(&q->ring);
	return err;
}

/* Buffers are reused in turn, so that every one of them is. */
static void pool_put(struct fe_pool *p, uint16_t b)
{
	uint32_t tail = (uint32_t)p->head + p->nfree++;

	p->free[tail >= p->n ? tail - p->n : tail] = b;
}

static void pool_take(struct fe_pool *p)
{
	p->head = (uint16_t)(p->head + 1 == p->n ? 0 : p->head + 1);
	p->nfree--;
}

int fe_guest_reap(struct fe_guest *g, uint16_t pair)
{
	struct fe_queue *q = fe_guest_tx(g, pair);
	struct fe_used used;
	int n = 0;
	int err;

	while (!(err = fe_ring_pop(&q->ring, &used))) {
		/* A device has nothing to write to a transmit buffer (virtio 1.2, 5.1.6.2). */
		if (used.len)
			return -EPROTO;
		pool_put(&q->bufs, (uint16_t)used.token);
		n++;
	}
	return err == -EAGAIN ? n : err;
}

/* Write header and data to the pieces of a buffer. */
static void pieces_fill(uint8_t *buf, const struct piece *p, const void *hdr, uint32_t hdr_len,
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
	static const struct virtio_net_hdr_mrg_rxbuf plain;
	struct fe_queue *q = fe_guest_tx(g, pair);
	uint32_t hdr_len = fe_guest_hdr_len(g);
	struct piece pieces[FE_MAX_SEGS];
	struct fe_chain chain = {0};
	uint16_t b;
	int err;

	if (f->len > q->bufs.size - hdr_len || cut_segs(&f->cut) > FE_MAX_SEGS)
		return -EMSGSIZE;
	err = fe_guest_reap(g, pair);
	if (err < 0)
		return err;
	if (q->bufs.nfree == 0)
		return -EAGAIN;
	b = q->bufs.free[q->bufs.head];
	chain.n_out = cut_pieces(&f->cut, hdr_len, hdr_len + f->len, pieces);
	if (f->cut.indirect) {
		chain.table = q->tables;
		chain.table_gpa = q->tables_gpa;
	}
	pieces_fill(q->bufs.host + (size_t)b * q->bufs.stride, pieces, f->hdr ? f->hdr : &plain,
		hdr_len, f);
	err = buf_add(q, b, pieces, chain);
	if (err)
		return err == -ENOSPC ? -EAGAIN : err;
	pool_take(&q->bufs);
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

/* Take one used buffer and give it back to the ring. */
static int rx_take(struct fe_guest *g, struct fe_queue *q, struct sink *s)
{
	struct piece pieces[FE_MAX_SEGS];
	struct fe_used used;
	uint32_t left, n;
	uint16_t i, npieces;
	int err;

	err = fe_ring_pop(&q->ring, &used);
	if (err)
		return err;
	npieces = cut_pieces(&g->config.rx_cut, s->hdr_len, q->bufs.size, pieces);
	left = used.len;
	for (i = 0; i < npieces && left; i++, left -= n) {
		n = RW_MIN(left, pieces[i].len);
		sink_take(s, q->bufs.host + used.token * q->bufs.stride + pieces[i].off, n);
	}
	if (left)
		return -EPROTO; /* more than the buffer holds */
	return rx_give(g, q, (uint16_t)used.token);
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

	err = rx_take(g, q, &s);
	if (err)
		return err;
	if (s.done < s.hdr_len)
		return -EPROTO;
	memcpy(&hdr, s.hdr, s.hdr_len);
	if (fe_guest_has(g, VIRTIO_NET_F_MRG_RXBUF))
		nbufs = hdr.num_buffers;
	/* All buffers of a frame are used at once (virtio 1.2, 5.1.6.4). */
	for (i = 1; !err && i < nbufs; i++)
		err = rx_take(g, q, &s);
	fe_ring_publish(&q->ring);
	if (fe_ring_needs_kick(&q->ring))
		fe_queue_kick(q);
	if (err || nbufs == 0)
		return -EPROTO;
	if (s.done - s.hdr_len > size)
		return -EMSGSIZE;
	out->hdr = hdr;
	out->len = (uint32_t)(s.done - s.hdr_len);
	out->nbufs = nbufs;
	return 0;
}

void fe_queue_kick(struct fe_queue *q)
{
	eventfd_write(q->kick_fd, 1); /* a full counter says all there is to say */
}

uint64_t fe_queue_interrupts(struct fe_queue *q)
{
	eventfd_t n = 0;

	return eventfd_read(q->call_fd, &n) ? 0 : n;
}

uint64_t fe_queue_wait_interrupt(struct fe_queue *q, int timeout_ms)
{
	struct pollfd p = {.fd = q->call_fd, .events = POLLIN};

	poll(&p, 1, timeout_ms);
	return fe_queue_interrupts(q);
}
