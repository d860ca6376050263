/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * An uplink from the inside, for the files of this driver: device.c opens a device; link.c watches
 * its link; offload.c chooses what it does of a frame's work; rx.c lends what it received; tx.c
 * fills it; port.c makes a port of it.
 *
 * Thread: control, but for the queues, as in port.h.
 */
#include <rte_mbuf.h>

#include "ethdev_port.h"
#include "rw_copy.h"
#include "rw_log.h"

/* Mbufs of a frame, at most: the longest one is 33 of the smallest, which have 2 KiB. */
#define ETHDEV_SEGS 36

/* A frame that is shorter is padded: no device sends a shorter one (IEEE 802.3, 4A.2.3.2). */
#define ETHDEV_MIN_LEN 60

struct ethdev_rxq {
	struct port_rxq rxq;
	uint16_t dev_port; /* DPDK's number of the device */
	uint16_t dev_queue;
	struct port_txq *pump; /* a bond: the queue whose transmit function must run; or NULL */
	uint64_t pump_at;      /* TSC at which it is due */
	uint64_t told;         /* RTE_MBUF_F_RX_*: what the device may say of a frame */
	bool partial;          /* a checksum may be partial, a frame large */
	unsigned nheld;        /* mbufs on loan */
	struct rte_mbuf *held[FRAME_BURST];
	struct rw_seg segs[FRAME_BURST * ETHDEV_SEGS];
} RW_CACHE_ALIGNED;

struct ethdev_txq {
	struct port_txq txq;
	uint16_t dev_port;
	uint16_t dev_queue;
	uint32_t max_len; /* bytes of a frame */
	struct rte_mempool *pool;
	rw_copy_fn copy;
	bool csum; /* the device completes checksums */
	/*
	 * net_virtio: it takes the sum of the pseudo header as it is in the frame. Other drivers
	 * make their own in rte_eth_tx_prepare, and take the first extension header of IPv6 for the
	 * transport protocol.
	 */
	bool extensions;
	uint64_t ip_csum; /* RTE_MBUF_F_TX_IP_CKSUM, if a segment's IPv4 header must ask for it */
} RW_CACHE_ALIGNED;

/* Members of a bond. */
#define ETHDEV_MEMBERS_MAX 8

struct ethdev_device {
	char name[RTE_DEV_NAME_MAX_LEN];
	uint16_t id; /* DPDK's number of it */
	uint16_t mtu;
	uint16_t nrx, ntx; /* queues */
	bool bond;         /* its rx and tx must be polled though there is no traffic */
	unsigned if_index; /* of Linux' interface; 0: none */
	bool if_up;        /* as reported */
	char interface[ETHDEV_IF_NAME]; /* its name; \"\": none */
	struct mnl_socket *nl;          /* link.c: reports of that interface; NULL: none */
	struct rte_mempool *pool;
	uint32_t room;        /* bytes of data in an mbuf */
	uint64_t tx_offloads; /* RTE_ETH_TX_OFFLOAD_*, RTE_ETH_RX_OFFLOAD_*: that are used */
	uint64_t rx_offloads;
	bool rss;    /* the device distributes flows onto queues */
	bool virtio; /* its large frames and partial checksums are those of guests behind it */
	bool started;
	bool once;         /* a link that went down does not come up again: nobody asks then */
	bool was_up;       /* the link */
	unsigned nmembers; /* of a bond */
	uint16_t members[ETHDEV_MEMBERS_MAX];
	unsigned member_if[ETHDEV_MEMBERS_MAX]; /* as if_index */
	bool member_up[ETHDEV_MEMBERS_MAX];
	uint16_t primary; /* the member that is to send, where only one does */
	bool memif;       /* of net_memif */
	bool client;      /* of net_memif: it connects to the other side */
	int listener;     /* of net_memif: the server's socket, which is the driver's; or -1 */
	int dummy;        /* of net_memif: what takes its number; or -1 */
	enum {            /* atomic: what EAL's interrupt thread does for memif.c */
		ETHDEV_IDLE,
		ETHDEV_BUSY,
		ETHDEV_DONE,
		ETHDEV_FAILED
	} serve;
};

struct ethdev_port {
	struct port port;
	struct sw *sw;
	struct rw_loop *loop;
	struct ethdev_device *device;
	struct ethdev_rxq *rxqs; /* device->nrx of them */
	struct ethdev_txq *txqs; /* device->ntx of them */
	bool link;               /* tx queues run */
	bool flush_due;          /* frames that came before the link went down may be learned yet */
	struct rw_watch watch;   /* device->nl */
	struct rw_timer timer;
	unsigned asks; /* since a client of net_memif has tried to connect */
};

/*
 * bond.c: probe the members of a bond, and write the arguments of the bond itself to `out`. `args`
 * begin with the device's name. 0; or -errno and `err`.
 */
int ethdev_bond_members(struct ethdev_device *dev, const char *args, char *out, size_t len,
	char *err, size_t errlen);

/*
 * Have the driver make all that a bond by LACP needs later. Its queues are set up, and it has not
 * started.
 */
void ethdev_bond_prepare(const struct ethdev_device *dev);

/*
 * The members' links are known: let one that is up be the one that sends, or LACP leave those that
 * are down. Drivers such as net_af_packet do not tell the bond. Whether the bond has a member that
 * sends.
 */
bool ethdev_bond_choose(struct ethdev_device *dev);

/* memif.c: note whether the device is one of net_memif, by its name and arguments. */
void ethdev_memif_init(struct ethdev_device *dev, const char *args);
/* It was made: note the server's socket. */
void ethdev_memif_listener(struct ethdev_device *dev, const char *args);
/* Stop and close it. */
void ethdev_memif_close(struct ethdev_device *dev);
/* Some time has passed: a client whose server is not there may try again. */
void ethdev_memif_tick(struct ethdev_port *ep);

/*
 * pci.c: why there is no device at an address, and what to do, from what Linux says in `sysfs`.
 */
void ethdev_pci_explain(const char *sysfs, const char *device, char *err, size_t errlen);

/* virtio.c: whether a device is one of net_virtio_user, by its name. */
bool ethdev_virtio_is(const char *device);
/* That it is one that can be used, by its arguments. 0 or -errno. */
int ethdev_virtio_check(const char *device, char *err, size_t errlen);
/* What its driver wants to be told besides: the length of it, as snprintf returns it. */
int ethdev_virtio_args(
	const struct ethdev_device_config *cfg, const char *args, char *out, size_t len);
/* It was started. */
void ethdev_virtio_started(struct ethdev_device *dev, const char *device);
/* The other side has gone. */
void ethdev_virtio_gone(struct ethdev_port *ep);

/* device.c: whether a device's arguments have a value of that key. */
bool ethdev_has_key(const char *device, const char *key);
/* device.c: the name of a device, and where its arguments begin. */
void ethdev_name_choose(const char *device, char *name, size_t len, const char **args);
/* That the interface that arguments name exists: a driver says less about it. 0 or -errno. */
int ethdev_iface_check(const char *device, char *err, size_t errlen);

/* offload.c: choose what the device does, for its configuration. */
void ethdev_offload_choose(
	struct ethdev_device *dev, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf);
/* What a queue of the device does of it. */
void ethdev_offload_tx(const struct ethdev_device *dev, struct ethdev_txq *q);
void ethdev_offload_rx(const struct ethdev_device *dev, struct ethdev_rxq *q);

/* rx.c, tx.c: the operations of a queue. */
void ethdev_rx_init(struct ethdev_rxq *q);
void ethdev_tx_init(struct ethdev_txq *q);

/* port.c: the device's link is `up`. */
void ethdev_port_link(struct ethdev_port *ep, bool up);
/* Let workers poll the device, or none. */
void ethdev_port_poll(struct ethdev_port *ep, bool on);

/* link.c: open what reports the link of dev->if_index. 0 or -errno. Needs its privileges. */
int ethdev_link_open(struct ethdev_device *dev);
void ethdev_link_close(struct ethdev_device *dev);
/* Follow the link from now on. 0 or -errno. */
int ethdev_link_begin(struct ethdev_port *ep);
void ethdev_link_end(struct ethdev_port *ep);

static inline struct ethdev_rxq *ethdev_rxq_of(struct port_rxq *q)
{
	return rw_container_of(q, struct ethdev_rxq, rxq);
}

static inline struct ethdev_txq *ethdev_txq_of(struct port_txq *q)
{
	return rw_container_of(q, struct ethdev_txq, txq);
}
