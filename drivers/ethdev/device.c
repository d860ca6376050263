/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_pci.h>

#include "ethdev.h"

/* Descriptors of a queue, where the device lets us choose. */
#define DESCS 512
/* Of one to which large frames go: each takes 34 of them. */
#define DESCS_LARGE 1024
/* Frames that a queue of a device may hold besides: net_ring's have so many entries. */
#define QUEUED 1024
/* Mbufs on loan: a burst of the longest frames. */
#define LENT (FRAME_BURST * ETHDEV_SEGS)
/* Mbufs that a thread's cache of the mempool keeps, and twice that while it gives some back. */
#define CACHE 128

#define DEFAULT_MTU 1500
/* Bytes around the payload: an Ethernet header and two tags. */
#define OVERHEAD 22
/* Of data in an mbuf, at least: what net_af_packet and most NICs want. */
#define DATA_LEAST 2048
/* What a mempool takes for an mbuf besides its data. */
#define MBUF_OVERHEAD (sizeof(struct rte_mbuf) + RTE_PKTMBUF_HEADROOM + 2 * RTE_CACHE_LINE_SIZE)

#define ARGS_MAX 1024

bool ethdev_is_pci(const char *device)
{
	struct rte_pci_addr addr;
	char text[32];

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(device, ","), device);
	return !rte_pci_addr_parse(text, &addr);
}

static uint32_t mtu_of(const struct ethdev_device_config *cfg)
{
	return cfg->mtu ? cfg->mtu : DEFAULT_MTU;
}

/* Bytes of data in an mbuf: a power of two, as net_af_packet's frames are. */
static uint32_t data_room(const struct ethdev_device_config *cfg)
{
	uint32_t room = DATA_LEAST;

	while (room < mtu_of(cfg) + OVERHEAD)
		room *= 2;
	return RW_MIN(room, UINT16_MAX - RTE_PKTMBUF_HEADROOM - RTE_CACHE_LINE_SIZE);
}

/* Mbufs; `large`: some frames are of many. */
static unsigned pool_entries(unsigned nqueues, unsigned nworkers, bool large)
{
	unsigned each = large ? DESCS + DESCS_LARGE + QUEUED + LENT : 2 * DESCS + QUEUED;

	return nqueues * each + (nworkers + 1) * (2 * CACHE + 2 * FRAME_BURST);
}

size_t ethdev_device_memory(const struct ethdev_device_config *cfg)
{
	unsigned nqueues = cfg->queues ? cfg->queues : cfg->nworkers;
	/* And what the device's driver takes. */
	const size_t driver = 4u << 20;

	/* Twice, so that the mempool finds a place for all of it in one piece. */
	return 2 * pool_entries(nqueues, cfg->nworkers, true) * (data_room(cfg) + MBUF_OVERHEAD) +
		driver;
}

/* ---- DPDK's arguments ---- */

static bool has_driver(const char *device, const char *driver)
{
	return !strncmp(device, driver, strlen(driver));
}

/* Whether the arguments have a value of that key. */
bool ethdev_has_key(const char *device, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = strchr(device, ','); at; at = strchr(at + 1, ',')) {
		if (!strncmp(at + 1, key, len) && at[1 + len] == '=')
			return true;
	}
	return false;
}

/* A virtual one's ends with a number, by which two of a driver differ. */
void ethdev_name_choose(const char *device, char *name, size_t len, const char **args)
{
	static unsigned next = 100; /* users count from 0 */
	size_t n = strcspn(device, ",");

	*args = device + n;
	if (n && !isdigit((unsigned char)device[n - 1]) && !ethdev_is_pci(device))
		snprintf(name, len, "%.*s%u", (int)n, device, next++);
	else
		snprintf(name, len, "%.*s", (int)n, device);
}

/* The arguments for DPDK, with those that the device's size of frames decides. */
static int args_make(
	const struct ethdev_device_config *cfg, struct ethdev_device *dev, char *out, size_t len)
{
	const char *args;
	int n;

	ethdev_name_choose(cfg->device, dev->name, sizeof(dev->name), &args);
	n = snprintf(out, len, "%s%s", dev->name, args);
	if (n < 0 || (size_t)n >= len)
		return -E2BIG;
	if (data_room(cfg) > DATA_LEAST && has_driver(dev->name, "net_af_packet") &&
		!ethdev_has_key(args, "framesz"))
		n += snprintf(out + n, len - (size_t)n, ",framesz=%u,blocksz=%u,framecnt=256",
			data_room(cfg), data_room(cfg));
	if (ethdev_virtio_is(dev->name))
		n += ethdev_virtio_args(cfg, args, out + n, len - (size_t)n);
	return (size_t)n < len ? 0 : -E2BIG;
}

int ethdev_iface_check(const char *device, char *err, size_t errlen)
{
	static const char key[] = ",iface=";
	const char *at = strstr(device, key);
	char name[IF_NAMESIZE];
	size_t n;

	if (!at || has_driver(device, "net_tap"))
		return 0;
	at += sizeof(key) - 1;
	n = strcspn(at, ",");
	snprintf(name, sizeof(name), "%.*s", (int)RW_MIN(n, sizeof(name) - 1), at);
	if (n < sizeof(name) && if_nametoindex(name))
		return 0;
	snprintf(err, errlen, "there is no network interface %.*s", (int)n, at);
	return -ENODEV;
}

/*
 * net_memif does not replace the socket that a process before left behind: remove it if nobody
 * listens there.
 */
static void memif_socket_clean(const char *device)
{
	static const char key[] = ",socket=";
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *at = strstr(device, key);
	int fd;

	if (!has_driver(device, "net_memif") || !at || !strstr(device, ",role=server"))
		return;
	at += sizeof(key) - 1;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.*s", (int)strcspn(at, ","), at);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) && errno == ECONNREFUSED)
		unlink(addr.sun_path);
	close(fd);
}

/* ---- bringing it up ---- */

static int device_probe(
	const struct ethdev_device_config *cfg, struct ethdev_device *dev, char *err, size_t errlen)
{
	char args[ARGS_MAX];
	int ret = ethdev_iface_check(cfg->device, err, errlen);

	if (!ret)
		ret = ethdev_virtio_check(cfg->device, err, errlen);
	if (ret)
		return ret;
	ret = args_make(cfg, dev, args, sizeof(args));
	if (ret) {
		snprintf(err, errlen, "its arguments are too long");
		return ret;
	}
	if (has_driver(args, "net_bonding")) {
		char whole[ARGS_MAX];

		memcpy(whole, args, sizeof(whole));
		ret = ethdev_bond_members(dev, whole, args, sizeof(args), err, errlen);
		if (ret)
			return ret;
	}
	ethdev_memif_init(dev, args);
	memif_socket_clean(args);
	/* EAL has probed a PCI device when it started. */
	if (!ethdev_is_pci(cfg->device))
		ret = rte_dev_probe(args);
	if (ret) {
		snprintf(err, errlen, "DPDK does not make the device %s: %s", args, strerror(-ret));
		return ret;
	}
	ethdev_memif_listener(dev, args);
	ret = rte_eth_dev_get_port_by_name(dev->name, &dev->id);
	if (ret && ethdev_is_pci(cfg->device))
		ethdev_pci_explain("/sys", cfg->device, err, errlen);
	else if (ret)
		snprintf(err, errlen, "DPDK has no Ethernet device %s (there is no such driver)",
			dev->name);
	return ret;
}

static uint16_t queues_choose(
	uint16_t most, const struct ethdev_device_config *cfg, const struct ethdev_device *dev)
{
	unsigned n = cfg->queues ? cfg->queues : cfg->nworkers;

	/* A bond has as many as any of its members. */
	for (unsigned i = 0; i < dev->nmembers; i++) {
		struct rte_eth_dev_info info;

		if (!rte_eth_dev_info_get(dev->members[i], &info))
			most = RW_MIN(most, RW_MIN(info.max_rx_queues, info.max_tx_queues));
	}

	return (uint16_t)RW_MIN(RW_MIN(n, (unsigned)most), (unsigned)PORT_MAX_PAIRS);
}

/* Queues, offloads and the distribution onto queues. 0 or -errno. */
static int device_configure(const struct ethdev_device_config *cfg, struct ethdev_device *dev,
	const struct rte_eth_dev_info *info)
{
	const uint64_t rss = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
	struct rte_eth_conf conf = {.rxmode = {.mtu = 0}};

	dev->nrx = queues_choose(info->max_rx_queues, cfg, dev);
	dev->ntx = queues_choose(info->max_tx_queues, cfg, dev);
	dev->mtu = (uint16_t)mtu_of(cfg);
	dev->if_index = info->if_index;
	/* In vain for a bond's and others that stand for none. */
	if (dev->if_index && !if_indextoname(dev->if_index, dev->interface))
		dev->if_index = 0;
	dev->bond = info->driver_name && !strcmp(info->driver_name, "net_bonding");
	dev->room = data_room(cfg);
	ethdev_offload_choose(dev, info, &conf);
	dev->rss = dev->nrx > 1 && info->flow_type_rss_offloads & rss;
	if (dev->rss) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & rss;
	}
	return rte_eth_dev_configure(dev->id, dev->nrx, dev->ntx, &conf);
}

/* Whether large frames come from the device, or go there. */
static bool is_large(const struct ethdev_device *dev)
{
	return dev->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO ||
		dev->rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO;
}

/*
 * Mbufs for both directions. 0 or -errno. Those of a virtual device lie close together, whatever
 * the pages: net_af_xdp shows the kernel as many bytes as they have in sum. A NIC's may cross no
 * page whose neighbour is elsewhere.
 */
static int pool_begin(const struct ethdev_device_config *cfg, struct ethdev_device *dev)
{
	struct rte_pktmbuf_pool_private room = {
		.mbuf_data_room_size = (uint16_t)(data_room(cfg) + RTE_PKTMBUF_HEADROOM)};
	unsigned n = pool_entries(RW_MAX(dev->nrx, dev->ntx), cfg->nworkers, is_large(dev));
	const bool pci = ethdev_is_pci(cfg->device);
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "uplink%u", dev->id);
	dev->pool = rte_mempool_create_empty(name, n,
		(unsigned)sizeof(struct rte_mbuf) + room.mbuf_data_room_size, CACHE, sizeof(room),
		rte_eth_dev_socket_id(dev->id), pci ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG);
	if (!dev->pool)
		return -rte_errno;
	rte_pktmbuf_pool_init(dev->pool, &room);
	if (rte_mempool_populate_default(dev->pool) != (int)n ||
		(dev->pool->nb_mem_chunks != 1 && !pci))
		return -ENOMEM;
	rte_mempool_obj_iter(dev->pool, rte_pktmbuf_init, NULL);
	return 0;
}

/* Set all queues up. 0 or -errno. */
static int queues_begin(const struct ethdev_device_config *cfg, struct ethdev_device *dev)
{
	uint16_t nrxd = DESCS, ntxd = is_large(dev) ? DESCS_LARGE : DESCS;
	unsigned socket = (unsigned)RW_MAX(rte_eth_dev_socket_id(dev->id), 0);
	int ret = rte_eth_dev_adjust_nb_rx_tx_desc(dev->id, &nrxd, &ntxd);

	if (ret)
		return ret;
	ret = pool_begin(cfg, dev);
	if (ret)
		return ret;
	for (uint16_t i = 0; !ret && i < dev->nrx; i++)
		ret = rte_eth_rx_queue_setup(dev->id, i, nrxd, socket, NULL, dev->pool);
	for (uint16_t i = 0; !ret && i < dev->ntx; i++)
		ret = rte_eth_tx_queue_setup(dev->id, i, ntxd, socket, NULL);
	return ret;
}

/*
 * Whether the driver is told of the MTU. net_af_packet takes frames of any size that framesz= has
 * room for, refuses an MTU above the usual one and logs an error: there the interface has the MTU
 * that its user gave it.
 */
static bool has_own_mtu(const struct ethdev_device_config *cfg, const struct ethdev_device *dev)
{
	return cfg->mtu && (cfg->mtu <= DEFAULT_MTU || !has_driver(dev->name, "net_af_packet"));
}

/* Larger frames, all addresses. 0, or -errno and `err`. */
static int device_start(
	const struct ethdev_device_config *cfg, struct ethdev_device *dev, char *err, size_t errlen)
{
	int ret = has_own_mtu(cfg, dev) ? rte_eth_dev_set_mtu(dev->id, cfg->mtu) : 0;

	if (ret && ret != -ENOTSUP) {
		snprintf(err, errlen, "the device does not take mtu=%u: %s", cfg->mtu,
			strerror(-ret));
		return ret;
	}
	if (dev->bond)
		ethdev_bond_prepare(dev);
	ret = rte_eth_dev_start(dev->id);
	if (ret) {
		snprintf(err, errlen, "the device does not start: %s", strerror(-ret));
		return ret;
	}
	dev->started = true;
	ethdev_virtio_started(dev, cfg->device);
	ret = rte_eth_promiscuous_enable(dev->id);
	if (ret && ret != -ENOTSUP)
		rw_warning("device %s: it takes no frames for the addresses of guests: %s",
			dev->name, strerror(-ret));
	ret = ethdev_link_open(dev);
	if (ret)
		snprintf(err, errlen, "cannot watch the device's link: %s", strerror(-ret));
	return ret;
}

static int device_begin(
	const struct ethdev_device_config *cfg, struct ethdev_device *dev, char *err, size_t errlen)
{
	struct rte_eth_dev_info info;
	int ret = rte_eth_dev_info_get(dev->id, &info);

	if (!ret && cfg->queues > RW_MIN(info.max_rx_queues, info.max_tx_queues)) {
		snprintf(err, errlen, "the device has %u queue(s), and queues=%u",
			RW_MIN(info.max_rx_queues, info.max_tx_queues), cfg->queues);
		return -EINVAL;
	}
	if (!ret)
		ret = device_configure(cfg, dev, &info);
	if (!ret)
		ret = queues_begin(cfg, dev);
	if (ret) {
		snprintf(err, errlen, "the device cannot be set up: %s", strerror(-ret));
		return ret;
	}
	return device_start(cfg, dev, err, errlen);
}

int ethdev_device_open(const struct ethdev_device_config *cfg, struct ethdev_device **out,
	char *err, size_t errlen)
{
	struct ethdev_device *dev = calloc(1, sizeof(*dev));
	int ret;

	if (!dev) {
		snprintf(err, errlen, "no memory");
		return -ENOMEM;
	}
	dev->id = RTE_MAX_ETHPORTS;
	ret = device_probe(cfg, dev, err, errlen);
	if (!ret)
		ret = device_begin(cfg, dev, err, errlen);
	if (ret)
		ethdev_device_close(dev);
	else
		*out = dev;
	return ret;
}

void ethdev_device_close(struct ethdev_device *dev)
{
	if (!dev)
		return;
	ethdev_link_close(dev);
	if (dev->started && dev->memif) {
		ethdev_memif_close(dev);
	} else {
		if (dev->started)
			rte_eth_dev_stop(dev->id);
		if (dev->id != RTE_MAX_ETHPORTS)
			rte_eth_dev_close(dev->id);
	}
	for (unsigned i = 0; i < dev->nmembers; i++) {
		if (rte_eth_dev_is_valid_port(dev->members[i]))
			rte_eth_dev_close(dev->members[i]);
	}
	rte_mempool_free(dev->pool);
	free(dev);
}
