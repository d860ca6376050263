/* SPDX-License-Identifier: BSD-3-Clause */
/* Copying frames into mbufs of the device: the one copy. */
#include <string.h>

#include <rte_ip.h>
#include <rte_net.h>

#include "ethdev.h"
#include "frame_convert.h"
#include "port_observer.h"

/* Where TCP and UDP have their checksums. */
#define TCP_SUM_AT 16
#define UDP_SUM_AT 6

/* ---- checksums ---- */

/*
 * Complete a partial checksum: its field holds the sum of the pseudo header (virtio 1.2, 5.1.6.2),
 * and the fields were checked on arrival. A sum of 0 means "none" in UDP and is never sent.
 */
static void checksum_finish(uint8_t *data, const struct frame *f)
{
	uint16_t start = f->offload.csum_start;
	uint16_t sum = (uint16_t)~rte_raw_cksum(data + start, f->len - start);

	if (!sum)
		sum = UINT16_MAX;
	memcpy(data + start + f->offload.csum_offset, &sum, sizeof(sum));
}

/*
 * Leave a partial checksum to the device, which knows TCP and UDP of IP. The headers are looked for
 * in the copy, which no guest can change. False: it is another one.
 */
static bool checksum_ask(const struct ethdev_txq *q, struct rte_mbuf *m, const struct frame *f)
{
	const uint32_t layers = RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK;
	struct rte_net_hdr_lens lens = {.l2_len = 0};
	uint32_t type = rte_net_get_ptype(m, &lens, layers);
	bool ipv4 = RTE_ETH_IS_IPV4_HDR(type);
	uint64_t csum;

	if (!ipv4 && (type & RTE_PTYPE_L3_MASK) != RTE_PTYPE_L3_IPV6 &&
		!(q->extensions && RTE_ETH_IS_IPV6_HDR(type)))
		return false;
	if ((type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP && f->offload.csum_offset == TCP_SUM_AT)
		csum = RTE_MBUF_F_TX_TCP_CKSUM;
	else if ((type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_UDP &&
		f->offload.csum_offset == UDP_SUM_AT)
		csum = RTE_MBUF_F_TX_UDP_CKSUM;
	else
		return false;
	if (f->offload.csum_start != lens.l2_len + lens.l3_len)
		return false;
	m->l2_len = lens.l2_len;
	m->l3_len = lens.l3_len;
	m->l4_len = lens.l4_len;
	m->ol_flags = csum | (ipv4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
	return true;
}

static void checksum_put(const struct ethdev_txq *q, struct rte_mbuf *m, const struct frame *f)
{
	if (!frame_csum_is_partial(f) || (q->csum && checksum_ask(q, m, f)))
		return;
	checksum_finish(rte_pktmbuf_mtod(m, uint8_t *), f);
	port_count(&q->txq.counters->converted_csum, 1);
}

/* ---- large frames ---- */

/* Mbufs of one frame that are filled one after the other. */
struct chain {
	struct rte_mbuf *mbufs[ETHDEV_SEGS];
	unsigned n;
	unsigned at;   /* the one in hand */
	uint32_t room; /* bytes of each */
};

static bool chain_begin(const struct ethdev_txq *q, struct chain *c, uint32_t len)
{
	c->room = (uint32_t)rte_pktmbuf_data_room_size(q->pool) - RTE_PKTMBUF_HEADROOM;
	c->n = (len + c->room - 1) / c->room;
	c->at = 0;
	return c->n <= ETHDEV_SEGS && !rte_pktmbuf_alloc_bulk(q->pool, c->mbufs, c->n);
}

static void chain_put(struct chain *c, const uint8_t *from, uint32_t n)
{
	while (n) {
		struct rte_mbuf *m = c->mbufs[c->at];
		uint32_t piece = RW_MIN(n, c->room - m->data_len);

		memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), from, piece);
		m->data_len = (uint16_t)(m->data_len + piece);
		c->at += m->data_len == c->room;
		from += piece;
		n -= piece;
	}
}

/* One packet of all of them, `len` bytes long. */
static struct rte_mbuf *chain_end(struct chain *c, uint32_t len)
{
	for (unsigned i = 1; i < c->n; i++)
		c->mbufs[i - 1]->next = c->mbufs[i];
	c->mbufs[0]->nb_segs = (uint16_t)c->n;
	c->mbufs[0]->pkt_len = len;
	return c->mbufs[0];
}

/* Tell the device where the headers are, and that it is to cut the frame if it is long enough. */
static void segments_ask(const struct ethdev_txq *q, struct rte_mbuf *m, const struct frame_cut *c)
{
	uint16_t size = c->frame->offload.gso_size;

	m->l2_len = c->net_at;
	m->l3_len = c->transport_at - c->net_at;
	m->l4_len = c->hdr_len - c->transport_at;
	m->ol_flags = RTE_MBUF_F_TX_TCP_CKSUM | (c->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	/* Nothing to cut: Linux refuses to ask a device for that (tcp_gso_segment). */
	if (c->payload <= size)
		return;
	m->tso_segsz = size;
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | (c->ipv6 ? 0 : q->ip_csum);
}

/* Tags of a frame that mbufs have bits for. */
#define L2_MOST 127

/* Why the device cannot be asked to cut it; PORT_NUM_DROPS: it can. */
static enum port_drop segments_check(
	const struct ethdev_txq *q, const struct frame *f, struct frame_cut *c)
{
	enum frame_fault fault = frame_cut_check(c, f);

	if (fault == FRAME_MANY_SEGMENTS)
		return PORT_DROP_MANY_SEGMENTS;
	if (fault != FRAME_OK || c->net_at > L2_MOST)
		return PORT_DROP_BAD_GSO;
	if (c->hdr_len + RW_MIN(c->payload, (uint32_t)f->offload.gso_size) > q->max_len)
		return PORT_DROP_TOO_LONG;
	return PORT_NUM_DROPS;
}

/*
 * A copy of a frame that the device cuts. Its headers were checked as those of one that is cut
 * here: these bytes, and not what the guest has made of them since then, are sent.
 */
static struct rte_mbuf *large_copy(struct ethdev_txq *q, struct frame *f)
{
	struct frame_cut cut;
	enum port_drop why = segments_check(q, f, &cut);
	struct rte_mbuf *m;
	struct chain c;

	if (why == PORT_NUM_DROPS && !chain_begin(q, &c, f->len))
		why = PORT_DROP_NO_BUFFER;
	if (why == PORT_DROP_NO_BUFFER)
		port_txq_lags(&q->txq);
	if (why != PORT_NUM_DROPS) {
		port_txq_drop_one(&q->txq, f, why);
		return NULL;
	}
	chain_put(&c, f->head, f->head_len);
	for (uint16_t i = 0; i < f->nsegs; i++)
		chain_put(&c, f->seg[i].data, f->seg[i].len);
	m = chain_end(&c, f->len);
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), cut.head, cut.hdr_len);
	segments_ask(q, m, &cut);
	return m;
}

/* ---- all frames ---- */

static inline void bytes_put(const struct ethdev_txq *q, struct rte_mbuf *m, const struct frame *f)
{
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *), *to = data + f->head_len;

	if (rw_likely(f->head_len == FRAME_HEAD))
		rw_copy_line(data, f->head, false);
	else
		memcpy(data, f->head, f->head_len);
	for (uint16_t i = 0; i < f->nsegs; i++) {
		q->copy(to, f->seg[i].data, f->seg[i].len);
		to += f->seg[i].len;
	}
	m->data_len = (uint16_t)RW_MAX(f->len, (uint32_t)ETHDEV_MIN_LEN);
	m->pkt_len = m->data_len;
	if (rw_unlikely(f->len < ETHDEV_MIN_LEN))
		memset(to, 0, ETHDEV_MIN_LEN - f->len);
}

/* A copy of the frame's bytes. NULL: dropped and counted. */
static struct rte_mbuf *bytes_copy(struct ethdev_txq *q, struct frame *f)
{
	struct rte_mbuf *m;

	if (rw_unlikely(f->len > q->max_len)) {
		port_txq_drop_one(&q->txq, f, PORT_DROP_TOO_LONG);
		return NULL;
	}
	m = rte_pktmbuf_alloc(q->pool);
	if (rw_unlikely(!m)) {
		port_txq_lags(&q->txq);
		port_txq_drop_one(&q->txq, f, PORT_DROP_NO_BUFFER);
		return NULL;
	}
	bytes_put(q, m, f);
	return m;
}

/* A copy of a frame that is not plain. NULL: dropped and counted. */
static RW_NOINLINE struct rte_mbuf *offload_copy(struct ethdev_txq *q, struct frame *f)
{
	struct rte_mbuf *m;

	if (f->offload.gso_type)
		return large_copy(q, f);
	m = bytes_copy(q, f);
	if (m)
		checksum_put(q, m, f);
	return m;
}

/*
 * Let the driver see what its device is asked for: it may want other sums of the pseudo header.
 * What it does not do is dropped and counted. How many are left.
 */
static RW_NOINLINE unsigned prepare(
	struct ethdev_txq *q, struct rte_mbuf **copies, struct frame **frames, unsigned n)
{
	unsigned good = 0;

	for (;;) {
		good += rte_eth_tx_prepare(
			q->dev_port, q->dev_queue, copies + good, (uint16_t)(n - good));
		if (good == n)
			return n;
		port_txq_drop(&q->txq, &frames[good], 1,
			frames[good]->offload.gso_type ? PORT_DROP_BAD_GSO : PORT_DROP_BAD_CSUM);
		rte_pktmbuf_free(copies[good]);
		n--;
		for (unsigned i = good; i < n; i++) {
			copies[i] = copies[i + 1];
			frames[i] = frames[i + 1];
		}
	}
}

/* ---- plain frames ---- */

/* Take mbufs for `n` frames. Returns how many there are; the caller drops the other frames. */
static RW_NOINLINE unsigned mbufs_take_some(
	struct ethdev_txq *q, struct rte_mbuf **mbufs, unsigned n)
{
	unsigned k = 0;

	while (k < n && (mbufs[k] = rte_pktmbuf_alloc(q->pool)))
		k++;
	port_txq_lags(&q->txq);
	return k;
}

static inline unsigned mbufs_take(struct ethdev_txq *q, struct rte_mbuf **mbufs, unsigned n)
{
	if (rw_likely(!rte_pktmbuf_alloc_bulk(q->pool, mbufs, n)))
		return n;
	return mbufs_take_some(q, mbufs, n);
}

/* How many of the first frames are plain and short enough. `*longest`: bytes of the longest one. */
static unsigned plain_run(
	const struct ethdev_txq *q, struct frame *const *frames, unsigned n, uint32_t *longest)
{
	unsigned run = 0;

	while (run < n && frame_is_plain(frames[run]) && frames[run]->len <= q->max_len) {
		*longest = RW_MAX(*longest, frames[run]->len);
		run++;
	}
	return run;
}

/* Longer frames are left to the CPU's own prefetching. */
#define PREFETCH_MOST 2048u

/*
 * Prefetch the lines of the frame and of its copy behind the first line of both. 1518 bytes to a
 * net_ring and back, split rings, virtio-user, 5 interleaved rounds: 173 busy cycles for each frame
 * without the prefetches, 163 with them.
 */
static inline void prefetch_rest(const struct rte_mbuf *m, const struct frame *f)
{
	const uint8_t *to = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t len = RW_MIN(f->len, PREFETCH_MOST);

	if (rw_unlikely(f->nsegs != 1 || f->head_len != RW_CACHE_LINE))
		return;
	for (uint32_t at = RW_CACHE_LINE; at < len; at += RW_CACHE_LINE) {
		rw_prefetch_write(to + at);
		__builtin_prefetch(f->seg->data + at - RW_CACHE_LINE);
	}
}

/* Copy the first `run` frames, which are plain, as far as there are mbufs. How many that are. */
static inline unsigned plain_copy(struct ethdev_txq *q, struct rte_mbuf **copies,
	struct frame *const *frames, unsigned run, uint32_t longest)
{
	unsigned n = mbufs_take(q, copies, run);

	if (rw_unlikely(n < run))
		port_txq_drop(&q->txq, frames + n, run - n, PORT_DROP_NO_BUFFER);
	for (unsigned i = 0; i < n; i++)
		rw_prefetch_write(rte_pktmbuf_mtod(copies[i], void *));
	for (unsigned i = 0; i < n; i++) {
		if (longest > FRAME_HEAD && i + 1 < n)
			prefetch_rest(copies[i + 1], frames[i + 1]);
		bytes_put(q, copies[i], frames[i]);
	}
	return n;
}

/*
 * Copy the frames from `from` on, behind the `k` that are copied, up to the first one that must be
 * converted. How many copies there are then.
 */
static RW_NOINLINE unsigned others_copy(struct ethdev_txq *q, struct rte_mbuf **copies,
	struct frame **frames, unsigned k, unsigned from, unsigned n)
{
	bool asks = false;

	for (unsigned i = from; i < n; i++) {
		if (frame_is_plain(frames[i])) {
			copies[k] = bytes_copy(q, frames[i]);
		} else if (port_txq_takes(&q->txq, frames[i])) {
			copies[k] = offload_copy(q, frames[i]);
			asks = q->csum && !q->extensions;
		} else {
			q->txq.unfit = n - i;
			break;
		}
		if (copies[k])
			frames[k++] = frames[i];
	}
	return asks ? prepare(q, copies, frames, k) : k;
}

static unsigned burst(struct port_txq *txq, struct frame **frames, unsigned n)
{
	struct ethdev_txq *q = ethdev_txq_of(txq);
	struct rte_mbuf *copies[FRAME_BURST];
	uint32_t longest = 0;
	unsigned run = plain_run(q, frames, n, &longest);
	unsigned k = run ? plain_copy(q, copies, frames, run, longest) : 0, sent;

	if (rw_unlikely(run < n))
		k = others_copy(q, copies, frames, k, run, n);
	sent = rte_eth_tx_burst(q->dev_port, q->dev_queue, copies, (uint16_t)k);
	if (rw_unlikely(sent < k)) {
		rte_pktmbuf_free_bulk(&copies[sent], k - sent);
		port_txq_lags(txq);
		port_txq_drop(txq, frames + sent, k - sent, PORT_DROP_TX_FULL);
	}
	if (n)
		port_txq_lag_check(txq);
	return sent;
}

void ethdev_tx_init(struct ethdev_txq *q)
{
	q->txq.burst = burst;
	q->copy = rw_copy_best();
}
