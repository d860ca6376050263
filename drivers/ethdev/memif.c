/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_memif reads its control channel in EAL's interrupt thread, which connects and disconnects the
 * device there and takes no lock against a thread that starts, stops or closes it. So these run in
 * that thread as well. It may also wait in connect(2) for a server that does not answer, which
 * control may not.
 *
 * A server's socket stays among the descriptors that the interrupt thread watches when the device
 * has been closed, with memory that is free then: something that is never ready takes its number.
 * EAL's memory goes neither, because that thread looks at it until the end.
 *
 * A client connects once, when its device starts: it is started anew until the server is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_log.h>

#include "ethdev.h"

/* Of ethdev_memif_tick: how often a client tries to connect. */
#define TRY_ASKS 5

/* Descriptors, the last one of which may be the server's. */
#define FDS_LOOKED_AT 4096

static bool any;

bool ethdev_keeps_eal(void)
{
	return any;
}

static bool listens_at(int fd, const char *path)
{
	struct sockaddr_un addr = {0};
	socklen_t len = sizeof(addr), n = sizeof(int);
	int listens = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) && listens &&
		!getsockname(fd, (struct sockaddr *)&addr, &len) && addr.sun_family == AF_UNIX &&
		!strncmp(addr.sun_path, path, sizeof(addr.sun_path));
}

void ethdev_memif_listener(struct ethdev_device *dev, const char *args)
{
	static const char key[] = ",socket=";
	const char *at = strstr(args, key);
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	dev->listener = dev->dummy = -1;
	if (!dev->memif || dev->client || !at)
		return;
	at += sizeof(key) - 1;
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, ","), at);
	for (int fd = 0; fd < FDS_LOOKED_AT && dev->listener < 0; fd++) {
		if (listens_at(fd, path))
			dev->listener = fd;
	}
	dev->dummy = eventfd(0, EFD_CLOEXEC);
}

void ethdev_memif_init(struct ethdev_device *dev, const char *args)
{
	dev->memif = !strncmp(dev->name, "net_memif", 9);
	dev->client = dev->memif && !strstr(args, ",role=server") && !strstr(args, ",role=master");
	any |= dev->memif;
}

/* Thread: EAL's interrupts. */
static void start_serve(void *arg)
{
	struct ethdev_device *dev = arg;
	int ret;

	rte_eth_dev_stop(dev->id);
	ret = rte_eth_dev_start(dev->id);
	__atomic_store_n(&dev->serve, ret ? ETHDEV_FAILED : ETHDEV_DONE, __ATOMIC_RELEASE);
}

/* Thread: EAL's interrupts. */
static void close_serve(void *arg)
{
	struct ethdev_device *dev = arg;

	rte_eth_dev_stop(dev->id);
	rte_eth_dev_close(dev->id);
	if (dev->listener >= 0 && dev->dummy >= 0)
		dup3(dev->dummy, dev->listener, O_CLOEXEC);
	if (dev->dummy >= 0)
		close(dev->dummy);
	__atomic_store_n(&dev->serve, ETHDEV_DONE, __ATOMIC_RELEASE);
}

void ethdev_memif_close(struct ethdev_device *dev)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	/* Waits for one that runs. */
	rte_eal_alarm_cancel(start_serve, dev);
	dev->serve = ETHDEV_BUSY;
	if (rte_eal_alarm_set(1, close_serve, dev))
		close_serve(dev);
	while (__atomic_load_n(&dev->serve, __ATOMIC_ACQUIRE) == ETHDEV_BUSY)
		nanosleep(&moment, NULL);
}

void ethdev_memif_tick(struct ethdev_port *ep)
{
	struct ethdev_device *dev = ep->device;
	int serve = __atomic_load_n(&dev->serve, __ATOMIC_ACQUIRE);

	if (serve == ETHDEV_DONE) {
		dev->serve = ETHDEV_IDLE;
		ep->asks = 0;
		ethdev_port_poll(ep, true);
	}
	if (!dev->client || ep->link || serve == ETHDEV_BUSY || ++ep->asks < TRY_ASKS)
		return;
	ep->asks = 0;
	/* No worker is in the driver while the device stops and starts. */
	ethdev_port_poll(ep, false);
	/* What the driver says each time is what the port's link says. */
	rte_log_set_level_pattern("pmd.net.memif", RTE_LOG_CRIT);
	dev->serve = ETHDEV_BUSY;
	if (rte_eal_alarm_set(1, start_serve, dev))
		dev->serve = ETHDEV_FAILED;
}
