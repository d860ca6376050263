/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Control and the threads that help it keep off the workers' CPUs. A worker never gives up its CPU,
 * so a thread that shares it waits for the kernel's time slices, and the worker for it.
 */
#include <sched.h>

#include "daemon.h"
#include "rw_log.h"

void daemon_leave_worker_cpus(const struct options *opt)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (unsigned i = 0; i < opt->ncpus; i++)
		CPU_CLR(opt->cpus[i], &set);
	/* Threads inherit it; a worker is pinned to its own CPU later. */
	if (CPU_COUNT(&set) && sched_setaffinity(0, sizeof(set), &set))
		rw_debug("control stays on the workers' CPUs");
}
