/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_virtio_user: this switch is the guest of another one, whose vhost-user socket it connects to.
 *
 * Its driver connects once, and talks to the back-end on control when the port goes. A back-end
 * that does not answer may not hold control up, so the socket gets a time limit.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <rte_ether.h>
#include <rte_log.h>

#include "ethdev.h"

/* Descriptors of a queue: a large frame takes 34 of them. The most that QEMU's guests have. */
#define QUEUE_SIZE 1024u

/* How long control waits for one answer. */
#define ANSWER_MS 500

/* Descriptors, the last one of which may be the socket. */
#define FDS_LOOKED_AT 4096

bool ethdev_virtio_is(const char *device)
{
	return !strncmp(device, "net_virtio_user", 15) || !strncmp(device, "virtio_user", 11);
}

bool ethdev_shares_memory(const char *device)
{
	/* One can be a member of a bond. */
	return strstr(device, "virtio_user");
}

int ethdev_virtio_check(const char *device, char *err, size_t errlen)
{
	if (!ethdev_virtio_is(device))
		return 0;
	if (!ethdev_has_key(device, "path") || strstr(device, ",path=/dev/")) {
		snprintf(err, errlen, "it wants path=SOCKET, where a vhost-user back-end listens");
		return -EINVAL;
	}
	if (ethdev_has_key(device, "server")) {
		snprintf(err, errlen, "server= is not supported: the other side listens");
		return -EINVAL;
	}
	return 0;
}

int ethdev_virtio_args(
	const struct ethdev_device_config *cfg, const char *args, char *out, size_t len)
{
	unsigned queues = cfg->queues ? cfg->queues : cfg->nworkers;
	char mac[32] = "", size[32] = "", pairs[32] = "";
	struct rte_ether_addr addr;

	/* Without an address it complains. */
	rte_eth_random_addr(addr.addr_bytes);
	if (!ethdev_has_key(args, "mac"))
		snprintf(mac, sizeof(mac), ",mac=" RTE_ETHER_ADDR_PRT_FMT,
			RTE_ETHER_ADDR_BYTES(&addr));
	if (!ethdev_has_key(args, "queue_size"))
		snprintf(size, sizeof(size), ",queue_size=%u", QUEUE_SIZE);
	if (queues > 1)
		snprintf(pairs, sizeof(pairs), ",queues=%u", queues);
	return snprintf(out, len, "%s%s%s", mac, size, pairs);
}

static bool is_connected_to(int fd, const char *path)
{
	struct sockaddr_un addr = {0};
	socklen_t len = sizeof(addr);

	return !getpeername(fd, (struct sockaddr *)&addr, &len) && addr.sun_family == AF_UNIX &&
		!strncmp(addr.sun_path, path, sizeof(addr.sun_path));
}

void ethdev_virtio_started(struct ethdev_device *dev, const char *device)
{
	static const char key[] = ",path=";
	const struct timeval limit = {.tv_usec = ANSWER_MS * 1000};
	const char *at = strstr(device, key);
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	if (!ethdev_virtio_is(dev->name) || !at)
		return;
	dev->once = true;
	at += sizeof(key) - 1;
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, ","), at);
	for (int fd = 0; fd < FDS_LOOKED_AT; fd++) {
		if (!is_connected_to(fd, path))
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	}
	/* What the driver says when the other side has gone is what the port's link says. */
	rte_log_set_level_pattern("pmd.net.virtio.driver", RTE_LOG_CRIT);
}

void ethdev_virtio_gone(struct ethdev_port *ep)
{
	rte_log_set_level_pattern("pmd.net.virtio.init", RTE_LOG_CRIT);
	rw_warning("port %s: the other side of %s has gone: restart ringwayd to connect again",
		ep->port.name, ep->device->name);
}
