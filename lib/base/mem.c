/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rw_base.h"

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
		madvise(p, size, MADV_HUGEPAGE); /* advice: without it the block is only slower */
	memset(p, 0, size);
	return p;
}

void rw_free(void *p)
{
	free(p);
}
