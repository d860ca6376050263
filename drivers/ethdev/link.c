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

/* A message of the interface that is wanted. */
struct report {
	int if_index;
	int up; /* -1: none came */
};

static int message_read(const struct nlmsghdr *msg, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(msg);
	struct report *r = arg;

	if (mnl_nlmsg_get_payload_len(msg) < sizeof(*info) || info->ifi_index != r->if_index)
		return MNL_CB_OK;
	if (msg->nlmsg_type == RTM_NEWLINK)
		r->up = info->ifi_flags & IFF_UP && info->ifi_flags & IFF_RUNNING;
	else if (msg->nlmsg_type == RTM_DELLINK)
		r->up = 0;
	return MNL_CB_OK;
}

/* Ask for the present state; the answer is read as any other report. 0 or -errno. */
static int ask(const struct ethdev_device *dev)
{
	char buf[NLMSG_SPACE(sizeof(struct ifinfomsg))] RW_CACHE_ALIGNED = {0};
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info;

	msg->nlmsg_type = RTM_GETLINK;
	msg->nlmsg_flags = NLM_F_REQUEST;
	info = mnl_nlmsg_put_extra_header(msg, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)dev->if_index;
	return mnl_socket_sendto(dev->nl, msg, msg->nlmsg_len) < 0 ? -errno : 0;
}

int ethdev_link_open(struct ethdev_device *dev)
{
	int ret;

	if (!dev->if_index)
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

/* Reports came. */
static void reports_ready(void *arg, uint32_t events)
{
	struct ethdev_port *ep = arg;
	struct report r = {.if_index = (int)ep->device->if_index, .up = -1};
	char buf[16384] RW_CACHE_ALIGNED;
	ssize_t n;

	(void)events;
	n = mnl_socket_recvfrom(ep->device->nl, buf, sizeof(buf));
	if (n > 0)
		mnl_cb_run(buf, (size_t)n, 0, 0, message_read, &r);
	else if (n < 0 && errno == ENOBUFS)
		ask(ep->device); /* some were lost */
	if (r.up >= 0)
		ethdev_port_link(ep, r.up);
}

static void ask_due(void *arg)
{
	struct ethdev_port *ep = arg;
	struct rte_eth_link link = {.link_status = RTE_ETH_LINK_DOWN};

	if (!ep->device->nl) {
		rte_eth_link_get_nowait(ep->device->id, &link);
		ethdev_port_link(ep, link.link_status == RTE_ETH_LINK_UP);
	}
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
