/* SPDX-License-Identifier: BSD-3-Clause */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "uplink.h"

/* net_ring's name of the ring that is both its rx and its tx queue 0. */
#define RING_NAME "ETH_RXTX0_net_ring0"

void uplink_begin(struct uplink *u, struct sw *sw, struct rw_loop *loop, bool ring, uint32_t len)
{
	char text[32], why[256] = "";
	struct ethdev_device_config device = {
		.device = ring ? "net_ring0" : text, .queues = 1, .nworkers = 1};
	struct ethdev_port_config port = {.sw = sw, .loop = loop, .name = "up"};

	snprintf(text, sizeof(text), "net_null0,size=%u", len);
	if (ethdev_device_open(&device, &port.device, why, sizeof(why)))
		errx(1, "%s: %s", device.device, why);
	if (ethdev_port_new(&port, &u->port))
		errx(1, "%s: no port", device.device);
	u->ring = ring ? rte_ring_lookup(RING_NAME) : NULL;
	if (ring && !u->ring)
		errx(1, "net_ring has no ring " RING_NAME);
}

void uplink_end(struct uplink *u)
{
	ethdev_port_free(u->port);
}

void uplink_send(struct uplink *u, const uint8_t *frame, uint32_t len)
{
	struct rte_mempool *pool = rte_mempool_lookup("uplink0");
	struct rte_mbuf *m = pool ? rte_pktmbuf_alloc(pool) : NULL;
	void *to = m ? rte_pktmbuf_append(m, (uint16_t)len) : NULL;

	if (!to)
		errx(1, "no mbuf for the far end");
	memcpy(to, frame, len);
	if (rte_ring_enqueue(u->ring, m))
		errx(1, "no room in the uplink's ring");
}

int uplink_recv(struct uplink *u, uint8_t *buf, uint32_t size)
{
	struct rte_mbuf *m;
	uint32_t len;
	void *p;

	if (rte_ring_dequeue(u->ring, &p))
		return -EAGAIN;
	m = p;
	len = m->pkt_len;
	if (len > size || m->nb_segs != 1)
		errx(1, "the uplink's frame is too long");
	memcpy(buf, rte_pktmbuf_mtod(m, void *), len);
	rte_pktmbuf_free(m);
	return (int)len;
}

uint64_t uplink_sent(const struct uplink *u)
{
	struct ethdev_port_info info;

	ethdev_port_describe(u->port, &info);
	return info.stats.opackets;
}
