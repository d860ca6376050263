/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which offloads of a device are used.
 *
 * A device completes partial checksums and cuts large TCP frames if it can; what it cannot is done
 * in software, by lib/port. Large UDP frames are always cut here: what DPDK 22.11 calls UDP
 * segmentation makes fragments of IP, which is another thing.
 *
 * A device's word that a checksum is right is handed on. A NIC does not merge frames that it
 * received (LRO): a switch could not give back what the sender sent, and Linux turns it off in its
 * bridges for the same reason. Virtio's large frames are the sender's own.
 *
 * VLAN tags stay in the frames. A head is copied in any case, with or without a tag, so a tag apart
 * from the frame would be put back or taken out once more.
 */
#include <string.h>

#include "ethdev.h"
#include "frame_convert.h"

#define TX_CSUM (RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define RX_CSUM (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)

/* Payload bytes of a segment that every NIC's driver takes (i40e: I40E_MIN_TSO_MSS). */
#define NIC_GSO_LEAST 256

/*
 * net_tap computes checksums and segments in software, those of IPv6 not at all. A bond's members
 * may differ.
 */
static bool is_software(const char *driver)
{
	return !strcmp(driver, "net_tap") || !strcmp(driver, "net_bonding");
}

static bool is_virtio(const char *driver)
{
	return !strncmp(driver, "net_virtio", 10);
}

/* Whether it sends a frame of as many mbufs as the longest one needs. */
static bool sends_long(const struct ethdev_device *dev, const struct rte_eth_dev_info *info)
{
	uint32_t segs = (FRAME_MAX_LEN + dev->room - 1) / dev->room;

	return info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS &&
		(!info->tx_desc_lim.nb_seg_max || info->tx_desc_lim.nb_seg_max >= segs);
}

void ethdev_offload_choose(
	struct ethdev_device *dev, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	uint64_t tx = info->tx_offload_capa, rx = info->rx_offload_capa;

	conf->txmode.offloads = tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	conf->rxmode.offloads = rx & RTE_ETH_RX_OFFLOAD_SCATTER;
	if (!info->driver_name || is_software(info->driver_name))
		return;
	dev->virtio = is_virtio(info->driver_name);
	if ((tx & TX_CSUM) == TX_CSUM) {
		conf->txmode.offloads |= TX_CSUM;
		if (tx & RTE_ETH_TX_OFFLOAD_TCP_TSO && sends_long(dev, info))
			conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO |
				(tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM);
	}
	if ((rx & RX_CSUM) == RX_CSUM) {
		conf->rxmode.offloads |= RX_CSUM;
		if (dev->virtio && rx & RTE_ETH_RX_OFFLOAD_SCATTER)
			conf->rxmode.offloads |= rx & RTE_ETH_RX_OFFLOAD_TCP_LRO;
	}
	dev->tx_offloads = conf->txmode.offloads;
	dev->rx_offloads = conf->rxmode.offloads;
}

void ethdev_offload_tx(const struct ethdev_device *dev, struct ethdev_txq *q)
{
	q->csum = dev->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	q->ip_csum = dev->tx_offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM ? RTE_MBUF_F_TX_IP_CKSUM : 0;
	/* Without the device's, checksums are completed in the mbufs. */
	q->txq.takes = FRAME_TAKES_CSUM;
	if (dev->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO)
		q->txq.takes |= FRAME_TAKES_TSO4 | FRAME_TAKES_TSO6;
	q->extensions = dev->virtio;
	if (dev->virtio)
		q->txq.takes |= FRAME_TAKES_EXT6;
	q->txq.gso_least = dev->virtio ? 0 : NIC_GSO_LEAST;
}

void ethdev_offload_rx(const struct ethdev_device *dev, struct ethdev_rxq *q)
{
	q->partial = dev->virtio;
	q->told = RTE_MBUF_F_RX_VLAN_STRIPPED;
	if (dev->rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM)
		q->told |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}
