/* SPDX-License-Identifier: BSD-3-Clause */
/* Copying frames into mbufs of the device: the one copy. */
#include <string.h>

#include <rte_ip.h>

#include "ethdev.h"
#include "frame_convert.h"

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

/* A copy of the frame. NULL: dropped and counted. */
static struct rte_mbuf *frame_copy(const struct ethdev_txq *q, const struct frame *f)
{
	uint8_t *data, *to;
	struct rte_mbuf *m;

	if (rw_unlikely(f->len > q->max_len)) {
		port_count_drop(q->txq.counters, PORT_DROP_TOO_LONG);
		return NULL;
	}
	m = rte_pktmbuf_alloc(q->pool);
	if (rw_unlikely(!m)) {
		port_count_drop(q->txq.counters, PORT_DROP_NO_BUFFER);
		return NULL;
	}
	data = rte_pktmbuf_mtod(m, uint8_t *);
	memcpy(data, f->head, f->head_len);
	to = data + f->head_len;
	for (uint16_t i = 0; i < f->nsegs; i++) {
		memcpy(to, f->seg[i].data, f->seg[i].len);
		to += f->seg[i].len;
	}
	if (rw_unlikely(f->offload.flags))
		checksum_finish(data, f);
	m->data_len = (uint16_t)RW_MAX(f->len, (uint32_t)ETHDEV_MIN_LEN);
	m->pkt_len = m->data_len;
	if (rw_unlikely(f->len < ETHDEV_MIN_LEN))
		memset(to, 0, ETHDEV_MIN_LEN - f->len);
	return m;
}

static unsigned burst(struct port_txq *txq, struct frame **frames, unsigned n)
{
	struct ethdev_txq *q = ethdev_txq_of(txq);
	struct rte_mbuf *copies[FRAME_BURST];
	unsigned k = 0, sent;

	for (unsigned i = 0; i < n; i++) {
		if (rw_unlikely(!frame_is_plain(frames[i]) && !port_txq_takes(txq, frames[i]))) {
			txq->unfit = n - i;
			break;
		}
		copies[k] = frame_copy(q, frames[i]);
		if (copies[k])
			frames[k++] = frames[i];
	}
	sent = rte_eth_tx_burst(q->dev_port, q->dev_queue, copies, (uint16_t)k);
	if (rw_unlikely(sent < k)) {
		rte_pktmbuf_free_bulk(&copies[sent], k - sent);
		port_count(&txq->counters->drops[PORT_DROP_TX_FULL], k - sent);
	}
	return sent;
}

void ethdev_tx_init(struct ethdev_txq *q)
{
	q->txq.burst = burst;
	/* Checksums are completed in the mbufs. */
	q->txq.takes = FRAME_TAKES_CSUM;
}
