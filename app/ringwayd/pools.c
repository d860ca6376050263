/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the process has of descriptors, mappings and address space, less what it keeps for itself:
 * the pools from which ports take (rw_budget.h).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon.h"
#include "rw_log.h"

/*
 * Descriptors that are kept: for control's connections and what else is opened at times, and for
 * one message with as many descriptors as Linux lets it have (SCM_MAX_FD), which are open before
 * they can be counted. Of a small limit a quarter is kept instead.
 */
#define FDS_KEPT (128u + 253u)
/* What a port has of its own: sockets, eventfds. */
#define FDS_PORT_OWN 8u
/* What a guest with one queue pair and a few regions of memory takes. */
#define FDS_GUEST 12u

/* Mappings that are kept: for threads, for memory that is allocated in pieces of its own. */
#define MAPPINGS_KEPT     2048u
#define MAPPINGS_PORT_OWN 8u

static const char limit_file[] = "/proc/sys/vm/max_map_count";
/* Linux' default (include/linux/mm.h), for where the file cannot be read. */
#define MAPPINGS_USUAL 65530u

/* `total` less `used`, less `kept` or a quarter of the rest; not 0, which means no pool. */
static uint64_t pool_size(uint64_t total, uint64_t used, uint64_t kept)
{
	uint64_t left = total - RW_MIN(used, total);

	return RW_MAX(left - RW_MIN(kept, left / 4), 1);
}

/* Open descriptors of this process. */
static unsigned fds_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Mappings of this process. */
static unsigned mappings_now(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned n = 0;
	int c;

	while (f && (c = getc(f)) != EOF)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

static unsigned mappings_max(void)
{
	FILE *f = fopen(limit_file, "re");
	unsigned n;

	if (!f || fscanf(f, "%u", &n) != 1)
		n = MAPPINGS_USUAL;
	if (f)
		fclose(f);
	return n;
}

/* The size of the address space: the stack is near its end. */
static uint64_t address_space(void)
{
	struct rlimit lim;
	uint64_t here = (uintptr_t)&lim, size = 1;

	while (size < here)
		size *= 2;
	if (!getrlimit(RLIMIT_AS, &lim) && lim.rlim_cur != RLIM_INFINITY)
		size = RW_MIN(size, lim.rlim_cur);
	return size;
}

void daemon_pools_begin(struct daemon *d)
{
	d->fds_own = fds_open();
	d->mappings_own = mappings_now();
	d->mappings_max = mappings_max();
	/* Three quarters: it is not all in one piece. */
	rw_budget_pool_set(&d->pools, RW_BUDGET_MAPPED, address_space() / 4 * 3);
	daemon_pools_share(d, d->opt.nports);
}

void daemon_pools_share(struct daemon *d, unsigned nports)
{
	struct rlimit lim = {.rlim_cur = RLIM_INFINITY};

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur != RLIM_INFINITY)
		rw_budget_pool_set(&d->pools, RW_BUDGET_FDS,
			pool_size(lim.rlim_cur, d->fds_own + nports * FDS_PORT_OWN, FDS_KEPT));
	rw_budget_pool_set(&d->pools, RW_BUDGET_MAPPINGS,
		pool_size(d->mappings_max, d->mappings_own + nports * MAPPINGS_PORT_OWN,
			MAPPINGS_KEPT));
}

void daemon_fd_check(unsigned nports)
{
	const unsigned want = 64 + nports * FDS_GUEST;
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < want)
		rw_warning(
			"%u port(s) want about %u open files and the limit is %ju: some guests may "
			"not be let in; raise it with ulimit -Hn or LimitNOFILE=",
			nports, want, (uintmax_t)lim.rlim_cur);
}
