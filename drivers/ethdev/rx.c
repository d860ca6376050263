/* SPDX-License-Identifier: BSD-3-Clause */
/* Lending what a device received: the frame's head is copied, the rest stays in its mbufs. */
#include <string.h>

#include <rte_cycles.h>

#include "ethdev.h"
#include "frame_parse.h"
#include "rw_virtio_net.h"

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

/* Where TCP and UDP have their checksums. */
#define TCP_SUM_AT 16
#define UDP_SUM_AT 6
#define PROTO_TCP  6
/* Where TCP says how long its header is. */
#define TCP_DOFF_AT 12

/* The bytes of all headers of a TCP frame, as far as the head has them. */
static uint16_t headers_len(struct frame *f, uint32_t transport_at)
{
	uint32_t len = 20;

	if (frame_reaches(f, transport_at + TCP_DOFF_AT + 1))
		len = (f->head[transport_at + TCP_DOFF_AT] >> 4) * 4u;
	return (uint16_t)RW_MIN(transport_at + len, f->len);
}

/*
 * The checksum is partial, as a guest behind the device has left it; `segment` is not 0 if the
 * frame is large. False: it is neither TCP nor UDP.
 */
static bool partial_open(struct frame *f, uint16_t segment)
{
	struct frame_headers h;
	bool tcp;

	frame_parse(f, &h);
	tcp = h.proto == PROTO_TCP;
	if ((h.net != FRAME_NET_IPV4 && h.net != FRAME_NET_IPV6) || h.cut || h.later ||
		!(tcp || (h.proto == FRAME_PROTO_UDP && !segment)))
		return false;
	f->offload.csum_start = h.transport_at;
	f->offload.csum_offset = tcp ? TCP_SUM_AT : UDP_SUM_AT;
	if (h.transport_at + f->offload.csum_offset + 2u > f->len)
		return false;
	f->offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (segment) {
		f->offload.gso_type = h.net == FRAME_NET_IPV6 ? VIRTIO_NET_HDR_GSO_TCPV6
							      : VIRTIO_NET_HDR_GSO_TCPV4;
		f->offload.gso_size = segment;
		f->offload.hdr_len = headers_len(f, h.transport_at);
	}
	return true;
}

/* What the device says of the frame's checksum and segments. False: it is no frame, as is noted. */
static bool offload_open(struct ethdev_rxq *q, const struct rte_mbuf *m, struct frame *f)
{
	bool large = m->ol_flags & RTE_MBUF_F_RX_LRO;

	if (!(m->ol_flags & q->told & RTE_MBUF_F_RX_L4_CKSUM_MASK))
		return true;
	if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD) {
		f->offload.flags = VIRTIO_NET_HDR_F_DATA_VALID;
		return true;
	}
	/* Another device says so of a checksum that it does not know. */
	if (!q->partial)
		return true;
	f->offload = (struct frame_offload){0};
	if ((!large || m->tso_segsz) && partial_open(f, large ? m->tso_segsz : 0))
		return true;
	return port_rxq_bad(&q->rxq, PORT_DROP_BAD_HEADER);
}

/* Make a frame of an mbuf, whose tag the device took out or not. False: the same. */
RW_ALWAYS_INLINE bool bytes_open(struct ethdev_rxq *q, const struct rte_mbuf *m, struct frame *f,
	struct rw_seg *segs, const bool stripped)
{
	uint32_t len = m->pkt_len + (stripped ? FRAME_TAG_LEN : 0);
	struct loan loan = {.m = m};

	if (rw_unlikely(m->pkt_len < FRAME_MIN_LEN))
		return port_rxq_bad(&q->rxq, PORT_DROP_TOO_SHORT);
	frame_init(f, len);
	if (stripped)
		take_tagged(&loan, f);
	else
		take(&loan, f->head, f->head_len);
	if (rw_unlikely(len > FRAME_MAX_LEN || !rest(&loan, f, segs)))
		return port_rxq_bad(&q->rxq, PORT_DROP_TOO_LONG);
	return true;
}

/* The device says something of the frame. */
static RW_NOINLINE bool told_open(
	struct ethdev_rxq *q, const struct rte_mbuf *m, struct frame *f, struct rw_seg *segs)
{
	bool good = m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED ? bytes_open(q, m, f, segs, true)
							      : bytes_open(q, m, f, segs, false);

	return good && offload_open(q, m, f);
}

static bool frame_open(
	struct ethdev_rxq *q, const struct rte_mbuf *m, struct frame *f, struct rw_seg *segs)
{
	if (rw_unlikely(m->ol_flags & q->told))
		return told_open(q, m, f, segs);
	return bytes_open(q, m, f, segs, false);
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
	port_rxq_bad_end(rxq);
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
