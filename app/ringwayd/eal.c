/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DPDK's Environment Abstraction Layer, set up so that no user needs to know it: one unpinned main
 * logical core for control, one pinned logical core for each worker, no devices but those that are
 * named as uplinks, no files left behind.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_memory.h>

#include "daemon.h"
#include "ethdev_port.h"

#define ARGS_MAX   (32 + 2 * PCI_MAX)
#define PCI_MAX    32 /* uplinks that are PCI devices */
#define LCORES_LEN 4096

/*
 * What EAL takes from the huge pages at start: one page of 2 MiB is plenty for the workers' state.
 */
#define HUGE_PROBE (2u << 20)
/* Without huge pages EAL reserves its memory at once, in MiB. It is touched only as it is used. */
#define NO_HUGE_MIB 64

/* Whether this process can have a huge page. EAL cannot be asked twice, so try first. */
static bool huge_pages_available(void)
{
	void *p = mmap(NULL, HUGE_PROBE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED)
		return false;
	munmap(p, HUGE_PROBE);
	return true;
}

/* "0@(0,1,2),1@2,2@1": lcore 0 on every allowed CPU, lcore i + 1 on the i-th worker's. */
static int lcores_format(const struct options *opt, char *buf, size_t len)
{
	const char *comma = "";
	cpu_set_t allowed;
	size_t at = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -errno;
	at += (size_t)snprintf(buf, len, "0@(");
	for (unsigned cpu = 0; cpu < CPU_SETSIZE && at < len; cpu++) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		at += (size_t)snprintf(buf + at, len - at, "%s%u", comma, cpu);
		comma = ",";
	}
	if (at < len)
		at += (size_t)snprintf(buf + at, len - at, ")");
	for (unsigned i = 0; i < opt->ncpus && at < len; i++)
		at += (size_t)snprintf(buf + at, len - at, ",%u@%u", i + 1, opt->cpus[i]);
	return at < len ? 0 : -E2BIG;
}

/* What EAL reserves without huge pages, in MiB. */
static size_t no_huge_mib(const struct options *opt)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < opt->nports; i++) {
		if (opt->ports[i].kind->memory)
			bytes += opt->ports[i].kind->memory(&opt->ports[i], opt->ncpus);
	}
	return NO_HUGE_MIB + (bytes >> 20) + (bytes > 0);
}

/* The PCI devices that are uplinks and no others. Behind argv[argc]; its new length, or -errno. */
static int pci_allow(const struct options *opt, char *argv[], int argc)
{
	static char addresses[PCI_MAX][OPTIONS_DEVICE_MAX + 1];
	unsigned n = 0;

	for (unsigned i = 0; i < opt->nports; i++) {
		if (!ethdev_is_pci(opt->ports[i].device))
			continue;
		if (n == PCI_MAX)
			return -E2BIG;
		strcpy(addresses[n], opt->ports[i].device);
		argv[argc++] = "-a";
		argv[argc++] = addresses[n++];
	}
	if (!n)
		argv[argc++] = "--no-pci";
	return argc;
}

/* Whether a device hands EAL's memory to somebody: vhost-user takes a few files, not one a page. */
static bool shares_memory(const struct options *opt)
{
	for (unsigned i = 0; i < opt->nports; i++) {
		if (ethdev_shares_memory(opt->ports[i].device))
			return true;
	}
	return false;
}

static bool initialised;

int eal_begin(const struct options *opt, bool *huge)
{
	char lcores[LCORES_LEN], mib[24];
	char *argv[ARGS_MAX] = {"ringwayd", "--no-telemetry", "--iova-mode=va",
		"--log-level=*:error", "--main-lcore=0", "--lcores", lcores};
	int argc = 7, ret = lcores_format(opt, lcores, sizeof(lcores));

	if (ret) {
		rw_error("cannot describe the CPUs to EAL: %s", strerror(-ret));
		return ret;
	}
	argc = pci_allow(opt, argv, argc);
	if (argc < 0) {
		rw_error("there are more than %d uplinks that are PCI devices", PCI_MAX);
		return argc;
	}
	*huge = !opt->no_huge && huge_pages_available();
	if (*huge) {
		argv[argc++] = "--in-memory";
		if (shares_memory(opt))
			argv[argc++] = "--single-file-segments";
	} else {
		/* EAL's two modes without files: this one has no huge pages either. */
		argv[argc++] = "--no-shconf";
		argv[argc++] = "--no-huge";
		argv[argc++] = "-m";
		snprintf(mib, sizeof(mib), "%zu", no_huge_mib(opt));
		argv[argc++] = mib;
	}
	if (rte_eal_init(argc, argv) < 0) {
		rw_error("DPDK's EAL does not start: %s", rte_strerror(rte_errno));
		return rte_errno ? -rte_errno : -EIO;
	}
	initialised = true;
	return 0;
}

/* Nothing in the daemon allocates from EAL's heap once guests may come; this says so. */
static int heap_refuse(int socket, size_t limit, size_t len)
{
	(void)limit;
	rw_error("EAL's heap may not grow to %zu bytes on node %d while guests run", len, socket);
	return -1;
}

int eal_fix_heap(void)
{
	/*
	 * Growing, EAL handles SIGBUS by itself for a moment, and jumps to where one thread was: a
	 * fault of another thread in a guest's memory would corrupt it. Without huge pages the heap
	 * does not grow, and there is nothing to register.
	 */
	for (unsigned i = 0; rte_eal_has_hugepages() && i < rte_socket_count(); i++) {
		int socket = rte_socket_id_by_idx(i);

		if (rte_mem_alloc_validator_register("ringwayd", heap_refuse, socket, 0) &&
			rte_errno != EEXIST)
			return -rte_errno;
	}
	return 0;
}

void eal_end(void)
{
	if (initialised && !ethdev_keeps_eal())
		rte_eal_cleanup();
}
