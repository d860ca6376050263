/* SPDX-License-Identifier: BSD-3-Clause */
/* Lending what a device received: the frame's head is copied, the rest stays in its mbufs. */
#include <string.h>

#include <rte_cycles.h>

#include "ethdev.h"

/* How often the transmit function of a bond runs at least; its protocol wants 100 ms. */
#define PUMP_MS 10

/* The bytes of an mbuf chain that were not taken yet. */
struct loan {
	const struct rte_mbuf *m;
	uint32_t at; /* in `m` */
};

/* Move `n` bytes, which are there, to `to`. */
static void take(struct loan *loan, uint8_t *to, uint32_t n)
{
	while (n) {
		uint32_t piece = RW_MIN(n, loan->m->data_len - loan->at);

		memcpy(to, rte_pktmbuf_mtod_offset(loan->m, const uint8_t *, loan->at), piece);
		to += piece;
		n -= piece;
		loan->at += piece;
		if (n) {
			loan->m = loan->m->next;
			loan->at = 0;
		}
	}
}

/* Point to the bytes behind the head. False: there are too many mbufs. */
static bool rest(const struct loan *loan, struct frame *f, struct rw_seg *segs)
{
	uint32_t at = loan->at;
	uint16_t n = 0;

	for (const struct rte_mbuf *m = loan->m; m; m = m->next, at = 0) {
		if (at == m->data_len)
			continue;
		if (n == ETHDEV_SEGS)
			return false;
		segs[n++] = (struct rw_seg){
			.data = rte_pktmbuf_mtod_offset(m, uint8_t *, at), .len = m->data_len - at};
	}
	f->seg = segs;
	f->nsegs = n;
	return true;
}

/* The device took the tag out of the frame: put it back while the head is copied. */
static void take_tagged(struct loan *loan, struct frame *f)
{
	uint16_t tci = loan->m->vlan_tci;
	const uint8_t tag[FRAME_TAG_LEN] = {0x81, 0x00, (uint8_t)(tci >> 8), (uint8_t)tci};

	take(loan, f->head, FRAME_TAG_AT);
	memcpy(f->head + FRAME_TAG_AT, tag, FRAME_TAG_LEN);
	take(loan, f->head + FRAME_TAG_AT + FRAME_TAG_LEN,
		f->head_len - FRAME_TAG_AT - FRAME_TAG_LEN);
}

/* Make a frame of an mbuf. False: dropped and counted. */
static bool frame_open(
	struct ethdev_rxq *q, const struct rte_mbuf *m, struct frame *f, struct rw_seg *segs)
{
	bool stripped = m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED;
	uint32_t len = m->pkt_len + (stripped ? FRAME_TAG_LEN : 0);
	struct loan loan = {.m = m};

	if (rw_unlikely(m->pkt_len < FRAME_MIN_LEN)) {
		port_count_drop(q->rxq.counters, PORT_DROP_TOO_SHORT);
		return false;
	}
	frame_init(f, len);
	if (rw_unlikely(stripped))
		take_tagged(&loan, f);
	else
		take(&loan, f->head, f->head_len);
	if (rw_unlikely(len > FRAME_MAX_LEN || !rest(&loan, f, segs))) {
		port_count_drop(q->rxq.counters, PORT_DROP_TOO_LONG);
		return false;
	}
	return true;
}

/*
 * A bond's protocol sends its own frames when the transmit function runs, and expects that this is
 * often, whether there is traffic or not.
 */
static RW_NOINLINE void pump(struct ethdev_rxq *q)
{
	uint64_t now = rte_rdtsc();

	if (now < q->pump_at)
		return;
	q->pump_at = now + rte_get_tsc_hz() / 1000 * PUMP_MS;
	port_txq_lock(q->pump);
	rte_eth_tx_burst(q->dev_port, ethdev_txq_of(q->pump)->dev_queue, NULL, 0);
	port_txq_unlock(q->pump);
}

static void done(struct port_rxq *rxq)
{
	struct ethdev_rxq *q = ethdev_rxq_of(rxq);

	rte_pktmbuf_free_bulk(q->held, q->nheld);
	q->nheld = 0;
}

static unsigned burst(struct port_rxq *rxq, struct frame *frames, unsigned n)
{
	struct ethdev_rxq *q = ethdev_rxq_of(rxq);
	unsigned got = 0;

	if (rw_unlikely(q->pump))
		pump(q);
	if (!n)
		return 0;
	q->nheld = rte_eth_rx_burst(q->dev_port, q->dev_queue, q->held, (uint16_t)n);
	for (unsigned i = 0; i < q->nheld; i++)
		rte_prefetch0(rte_pktmbuf_mtod(q->held[i], void *));
	for (unsigned i = 0; i < q->nheld; i++)
		got += frame_open(q, q->held[i], &frames[got], &q->segs[i * ETHDEV_SEGS]);
	if (rw_unlikely(!got && q->nheld))
		done(rxq);
	return got;
}

static void prefetch(struct port_rxq *rxq)
{
	(void)rxq;
}

static int kick(struct port_rxq *rxq)
{
	(void)rxq;
	return PORT_KICK_NAP;
}

static bool arm(struct port_rxq *rxq, bool takes)
{
	(void)rxq, (void)takes;
	return true;
}

static int node(const struct port_rxq *rxq)
{
	return rte_eth_dev_socket_id(ethdev_rxq_of((struct port_rxq *)(uintptr_t)rxq)->dev_port);
}

static const struct port_rxq_ops rxq_ops = {.kick = kick, .arm = arm, .node = node};

void ethdev_rx_init(struct ethdev_rxq *q)
{
	q->rxq.burst = burst;
	q->rxq.done = done;
	q->rxq.prefetch = prefetch;
	q->rxq.ops = &rxq_ops;
}
