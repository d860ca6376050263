/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_sys.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE (2u << 20)

void *rw_zalloc(size_t size)
{
	size_t align = size >= HUGE_PAGE ? HUGE_PAGE : RW_CACHE_LINE;
	void *p;

	if (!size || size > SIZE_MAX - align)
		return NULL;
	size = rw_align_up(size, RW_CACHE_LINE);
	if (posix_memalign(&p, align, size))
		return NULL;
	if (align == HUGE_PAGE)
		madvise(p, size, MADV_HUGEPAGE); /* a hint: without it the block is only slower */
	memset(p, 0, size);
	return p;
}

void rw_free(void *p)
{
	free(p);
}

size_t rw_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int rw_eventfd_signal(int fd)
{
	const uint64_t one = 1;

	return write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN ? -errno : 0;
}

int rw_thread_start(
	pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGSYS);
	/* It inherits the mask. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(thread, attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -ret;
}
