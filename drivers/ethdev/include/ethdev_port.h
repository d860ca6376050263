/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * An uplink: a port whose other side is an Ethernet device of DPDK, a NIC or a virtual device such
 * as net_af_packet, net_tap or net_pcap.
 *
 * A device is opened first, with all memory and system resources that it needs, while the process
 * still has its privileges and EAL's heap may grow. A port is made of it later. What the device
 * received lies in mbufs of the device's own mempool and is lent to the switch; a frame to the
 * device is copied into such an mbuf. The device never reads or writes guest memory.
 *
 * The port's link follows the device's: of the network interface that the device says it stands
 * for, as Linux reports it (rtnetlink), else as the device's driver reports it. While the link is
 * down, the port receives nothing to send and its learned addresses are forgotten.
 *
 * Thread: control.
 */
#include <rte_ethdev.h>

#include "port.h"
#include "rw_loop.h"
#include "sw.h"

/* Bytes of the name of a network interface, as IF_NAMESIZE. */
#define ETHDEV_IF_NAME 16

struct ethdev_device;

struct ethdev_device_config {
	/*
	 * DRIVER[,KEY=VALUE]... of a virtual device, or the address of a PCI device. A driver's
	 * name without a number gets one.
	 */
	const char *device;
	uint16_t queues;   /* pairs; 0: one for each worker, if the device has so many */
	uint16_t mtu;      /* bytes of the largest frame's payload; 0: 1500 */
	unsigned nworkers; /* that use the device */
};

/* 0; or -errno, and `err` holds the reason as the rest of a line. */
int ethdev_device_open(const struct ethdev_device_config *cfg, struct ethdev_device **out,
	char *err, size_t errlen);
/* NULL is fine. */
void ethdev_device_close(struct ethdev_device *dev);
/* Bytes of EAL's heap that a device takes at most, with so many workers. */
size_t ethdev_device_memory(const struct ethdev_device_config *cfg);
/* Whether `device` is the address of a PCI device. */
bool ethdev_is_pci(const char *device);
/* Whether its driver shares EAL's memory with another process, by its arguments. */
bool ethdev_shares_memory(const char *device);

struct ethdev_port_config {
	struct sw *sw;
	struct rw_loop *loop;
	const char *name;             /* at most PORT_NAME_MAX bytes */
	struct ethdev_device *device; /* the port's on success */
};

struct ethdev_port;

/* 0, or -errno of sw_port_add or memory. */
int ethdev_port_new(const struct ethdev_port_config *cfg, struct ethdev_port **out);
/* Take it out of the switch and close its device. NULL is fine. */
void ethdev_port_free(struct ethdev_port *ep);

/* Whether a driver uses EAL's memory for as long as the process lives: no rte_eal_cleanup then. */
bool ethdev_keeps_eal(void);

/* What an operator may want to know about an uplink. */
struct ethdev_port_info {
	const char *driver;             /* DPDK's name of it: "net_af_packet" */
	const char *device;             /* as DPDK names it: "net_af_packet0" */
	char interface[ETHDEV_IF_NAME]; /* of Linux, that it stands for; "": none */
	uint8_t mac[6];                 /* the device's own; valid when mac_known */
	bool mac_known;
	bool link;      /* the device's */
	uint32_t speed; /* Mbit/s; 0: unknown */
	uint16_t mtu;
	uint16_t rx_queues;
	uint16_t tx_queues;
	/* What the device does; without, it is done in software where it must be. */
	bool tx_csum;               /* completes checksums */
	bool tx_tso;                /* cuts large TCP frames, or passes them on */
	bool rx_csum;               /* says that checksums are right */
	bool rx_large;              /* hands over large TCP frames of guests behind it */
	bool rx_rss;                /* distributes flows onto its queues */
	struct rte_eth_stats stats; /* as the device counts */
};
void ethdev_port_describe(const struct ethdev_port *ep, struct ethdev_port_info *out);
