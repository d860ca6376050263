/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a device's link. Linux reports that of its own interfaces when it changes; the
 * drivers net_af_packet and net_af_xdp report none of it. Other devices are asked now and then.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "ethdev.h"

/* How often a device is asked, and how soon addresses are flushed again. */
#define ASK_MS 200

/* A message about any interface. */
static int message_read(const struct nlmsghdr *msg, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(msg);
	struct ethdev_device *dev = arg;
	bool up;

	if (mnl_nlmsg_get_payload_len(msg) < sizeof(*info) ||
		(msg->nlmsg_type != RTM_NEWLINK && msg->nlmsg_type != RTM_DELLINK))
		return MNL_CB_OK;
	up = msg->nlmsg_type == RTM_NEWLINK && info->ifi_flags & IFF_UP &&
		info->ifi_flags & IFF_RUNNING;
	if ((unsigned)info->ifi_index == dev->if_index)
		dev->if_up = up;
	for (unsigned i = 0; i < dev->nmembers; i++) {
		if ((unsigned)info->ifi_index == dev->member_if[i])
			dev->member_up[i] = up;
	}
	return MNL_CB_OK;
}

/* Ask for the present state; the answer is read as any other report. 0 or -errno. */
static int ask_one(const struct ethdev_device *dev, unsigned if_index)
{
	char buf[NLMSG_SPACE(sizeof(struct ifinfomsg))] RW_CACHE_ALIGNED = {0};
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info;

	msg->nlmsg_type = RTM_GETLINK;
	msg->nlmsg_flags = NLM_F_REQUEST;
	info = mnl_nlmsg_put_extra_header(msg, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)if_index;
	return mnl_socket_sendto(dev->nl, msg, msg->nlmsg_len) < 0 ? -errno : 0;
}

static int ask(const struct ethdev_device *dev)
{
	int ret = dev->if_index ? ask_one(dev, dev->if_index) : 0;

	for (unsigned i = 0; !ret && i < dev->nmembers; i++) {
		if (dev->member_if[i])
			ret = ask_one(dev, dev->member_if[i]);
	}
	return ret;
}

/* Whether Linux reports something of the device. */
static bool is_reported(const struct ethdev_device *dev)
{
	bool any = dev->if_index;

	for (unsigned i = 0; i < dev->nmembers; i++)
		any |= dev->member_if[i];
	return any;
}

int ethdev_link_open(struct ethdev_device *dev)
{
	int ret;

	if (!is_reported(dev))
		return 0;
	dev->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (!dev->nl)
		return -errno;
	ret = mnl_socket_bind(dev->nl, RTMGRP_LINK, MNL_SOCKET_AUTOPID) ? -errno : ask(dev);
	if (ret)
		ethdev_link_close(dev);
	return ret;
}

void ethdev_link_close(struct ethdev_device *dev)
{
	if (dev->nl)
		mnl_socket_close(dev->nl);
	dev->nl = NULL;
}

/* What the reports and the driver say now. */
static void link_update(struct ethdev_port *ep)
{
	struct ethdev_device *dev = ep->device;
	struct rte_eth_link link = {.link_status = RTE_ETH_LINK_DOWN};
	bool up = dev->if_up;

	if (dev->once && dev->was_up && !ep->link)
		return;
	if (!dev->if_index) {
		rte_eth_link_get_nowait(dev->id, &link);
		up = link.link_status == RTE_ETH_LINK_UP;
	}
	if (dev->nmembers)
		up &= ethdev_bond_choose(dev);
	dev->was_up |= up;
	if (dev->once && ep->link && !up)
		ethdev_virtio_gone(ep);
	ethdev_port_link(ep, up);
}

static void reports_ready(void *arg, uint32_t events)
{
	struct ethdev_port *ep = arg;
	char buf[16384] RW_CACHE_ALIGNED;
	ssize_t n;

	(void)events;
	n = mnl_socket_recvfrom(ep->device->nl, buf, sizeof(buf));
	if (n > 0)
		mnl_cb_run(buf, (size_t)n, 0, 0, message_read, ep->device);
	else if (n < 0 && errno == ENOBUFS)
		ask(ep->device); /* some were lost */
	link_update(ep);
}

static void ask_due(void *arg)
{
	struct ethdev_port *ep = arg;

	link_update(ep);
	ethdev_memif_tick(ep);
	if (ep->flush_due)
		sw_port_flush(ep->sw, &ep->port);
	ep->flush_due = false;
}

int ethdev_link_begin(struct ethdev_port *ep)
{
	int ret = 0;

	ep->watch = (struct rw_watch){.fn = reports_ready, .arg = ep, .fd = -1};
	ep->timer = (struct rw_timer){.fn = ask_due, .arg = ep};
	if (ep->device->nl) {
		ret = rw_loop_add(ep->loop, &ep->watch, mnl_socket_get_fd(ep->device->nl), EPOLLIN);
		if (!ret)
			reports_ready(ep, EPOLLIN);
	}
	if (ret)
		return ret;
	ask_due(ep);
	rw_timer_start(ep->loop, &ep->timer, ASK_MS, ASK_MS);
	return 0;
}

void ethdev_link_end(struct ethdev_port *ep)
{
	rw_timer_stop(ep->loop, &ep->timer);
	rw_loop_del(ep->loop, &ep->watch);
}
