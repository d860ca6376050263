/* SPDX-License-Identifier: BSD-3-Clause */
/* When the process and its threads give up what they do not need; sandbox.h has how. */
#include <errno.h>
#include <linux/capability.h>
#include <semaphore.h>
#include <string.h>

#include <rte_alarm.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "daemon.h"
#include "rw_log.h"
#include "sandbox.h"

int confine_begin(const struct options *opt)
{
	int ret = sandbox_prepare(opt->seccomp);

	if (ret)
		return ret;
	/* The sockets of front-ends belong to other users. */
	ret = sandbox_capabilities(1ull << CAP_DAC_OVERRIDE);
	if (!ret)
		ret = sandbox_filter(SANDBOX_START);
	if (ret)
		rw_error("cannot give up privileges: %s", strerror(-ret));
	return ret;
}

/* The result of a thread that gave up what it does not need. */
struct confined {
	sem_t done;
	int ret;
};

static int worker_confine(void *arg)
{
	(void)arg;
	return sandbox_filter(SANDBOX_WORKER);
}

static void service_confine(void *arg)
{
	struct confined *service = arg;

	service->ret = sandbox_filter(SANDBOX_SERVICE);
	sem_post(&service->done);
}

/* EAL's threads. 0 or -errno. */
static int eal_confine(void)
{
	struct confined service = {.ret = 0};
	unsigned lcore;
	int ret;

	RTE_LCORE_FOREACH_WORKER(lcore)
	{
		ret = rte_eal_remote_launch(worker_confine, NULL, lcore);
		if (!ret)
			ret = rte_eal_wait_lcore(lcore);
		if (ret)
			return ret;
	}
	/* An alarm is a way to run something on the interrupt thread. */
	sem_init(&service.done, 0, 0);
	ret = rte_eal_alarm_set(1, service_confine, &service);
	if (!ret) {
		while (sem_wait(&service.done) && errno == EINTR)
			continue;
		ret = service.ret;
	}
	sem_destroy(&service.done);
	return ret;
}

int confine_threads(void)
{
	int ret = eal_confine();

	if (!ret)
		ret = sandbox_filter(SANDBOX_CONTROL);
	if (ret)
		rw_error("cannot confine the threads: %s", strerror(-ret));
	return ret;
}

void confine_end(void)
{
	sandbox_end();
}
