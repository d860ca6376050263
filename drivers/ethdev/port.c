/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "ethdev.h"
#include "sw_event.h"

void ethdev_port_link(struct ethdev_port *ep, bool up)
{
	if (up == ep->link)
		return;
	ep->link = up;
	for (uint16_t i = 0; i < ep->device->ntx; i++)
		sw_txq_set(ep->sw, &ep->port, i, up ? &ep->txqs[i].txq : NULL);
	sw_commit(ep->sw);
	if (!up)
		sw_port_flush(ep->sw, &ep->port);
	/* Frames that the device had received go on being polled. */
	ep->flush_due = !up;
	rw_info("port %s: link is %s", ep->port.name, up ? "up" : "down");
	sw_tell(ep->sw, &(struct sw_event){.kind = SW_EVENT_LINK, .port = &ep->port, .on = up});
}

void ethdev_port_poll(struct ethdev_port *ep, bool on)
{
	for (uint16_t i = 0; i < ep->device->nrx; i++)
		sw_rxq_set(ep->sw, &ep->port, i, on ? &ep->rxqs[i].rxq : NULL);
	sw_commit(ep->sw);
}

static int txq_begin(struct ethdev_port *ep, uint16_t i)
{
	struct ethdev_txq *q = &ep->txqs[i];

	q->dev_port = ep->device->id;
	q->dev_queue = i;
	q->pool = ep->device->pool;
	/* An Ethernet header and two tags. */
	q->max_len = RW_MIN(ep->device->mtu + 22u,
		(uint32_t)rte_pktmbuf_data_room_size(q->pool) - RTE_PKTMBUF_HEADROOM);
	q->txq.shared = sw_nworkers(ep->sw) > 1 || ep->device->bond;
	ethdev_tx_init(q);
	ethdev_offload_tx(ep->device, q);
	return port_txq_init(&q->txq, &ep->port, i);
}

static int rxq_begin(struct ethdev_port *ep, uint16_t i)
{
	struct ethdev_rxq *q = &ep->rxqs[i];

	q->dev_port = ep->device->id;
	q->dev_queue = i;
	if (ep->device->bond && i < ep->device->ntx)
		q->pump = &ep->txqs[i].txq;
	ethdev_rx_init(q);
	ethdev_offload_rx(ep->device, q);
	return port_rxq_init(&q->rxq, &ep->port, i);
}

/* Queues, which run from the next commit on. 0 or -errno. */
static int queues_begin(struct ethdev_port *ep)
{
	int ret = 0;

	ep->rxqs = rw_zalloc(RW_MAX(ep->device->nrx, 1) * sizeof(*ep->rxqs));
	ep->txqs = rw_zalloc(RW_MAX(ep->device->ntx, 1) * sizeof(*ep->txqs));
	if (!ep->rxqs || !ep->txqs)
		return -ENOMEM;
	for (uint16_t i = 0; !ret && i < ep->device->ntx; i++)
		ret = txq_begin(ep, i);
	for (uint16_t i = 0; !ret && i < ep->device->nrx; i++)
		ret = rxq_begin(ep, i);
	return ret;
}

static void queues_end(struct ethdev_port *ep)
{
	for (uint16_t i = 0; i < ep->device->ntx; i++)
		sw_txq_set(ep->sw, &ep->port, i, NULL);
	ethdev_port_poll(ep, false);
}

int ethdev_port_new(const struct ethdev_port_config *cfg, struct ethdev_port **out)
{
	struct ethdev_port *ep = rw_zalloc(sizeof(*ep));
	int ret;

	if (!ep)
		return -ENOMEM;
	ep->sw = cfg->sw;
	ep->loop = cfg->loop;
	ep->device = cfg->device;
	ret = port_init(&ep->port, cfg->name, sw_nworkers(cfg->sw));
	ep->port.uplink = true;
	if (!ret)
		ret = queues_begin(ep);
	if (!ret)
		ret = sw_port_add(ep->sw, &ep->port);
	if (ret)
		goto err_free;
	ethdev_port_poll(ep, true);
	ret = ethdev_link_begin(ep);
	if (ret)
		goto err_port;
	*out = ep;
	return 0;
err_port:
	ethdev_link_end(ep);
	queues_end(ep);
	sw_port_del(ep->sw, &ep->port);
err_free:
	port_fini(&ep->port);
	rw_free(ep->rxqs);
	rw_free(ep->txqs);
	rw_free(ep);
	return ret;
}

void ethdev_port_free(struct ethdev_port *ep)
{
	if (!ep)
		return;
	ethdev_link_end(ep);
	queues_end(ep);
	sw_port_flush(ep->sw, &ep->port);
	sw_port_del(ep->sw, &ep->port);
	rw_budgets_leave(&ep->port.budgets);
	ethdev_device_close(ep->device);
	port_fini(&ep->port);
	rw_free(ep->rxqs);
	rw_free(ep->txqs);
	rw_free(ep);
}

void ethdev_port_describe(const struct ethdev_port *ep, struct ethdev_port_info *out)
{
	const struct ethdev_device *dev = ep->device;
	struct rte_eth_dev_info info = {.driver_name = NULL};
	struct rte_eth_link link = {.link_speed = RTE_ETH_SPEED_NUM_UNKNOWN};
	struct rte_ether_addr mac;

	rte_eth_dev_info_get(dev->id, &info);
	rte_eth_link_get_nowait(dev->id, &link);
	*out = (struct ethdev_port_info){
		.driver = info.driver_name ? info.driver_name : "",
		.device = dev->name,
		.mac_known = !rte_eth_macaddr_get(dev->id, &mac),
		.link = ep->link,
		.mtu = dev->mtu,
		.rx_queues = dev->nrx,
		.tx_queues = dev->ntx,
		.tx_csum = dev->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM,
		.tx_tso = dev->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO,
		.rx_csum = dev->rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM,
		.rx_large = dev->rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO,
		.rx_rss = dev->rss,
	};
	/* Linux' interfaces: the drivers do not ask, and say what is usual. */
	if (!dev->nl && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
		out->speed = link.link_speed;
	if (out->mac_known)
		memcpy(out->mac, mac.addr_bytes, sizeof(out->mac));
	memcpy(out->interface, dev->interface, sizeof(out->interface));
	rte_eth_stats_get(dev->id, &out->stats);
}
