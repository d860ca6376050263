/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Copying the payload of frames: tens to thousands of bytes, from lines that another CPU has just
 * written to lines that it will read. The program runs on any CPU of its architecture; the widest
 * registers that this one moves well are chosen at run time, once, by whoever keeps the pointer.
 *
 * Thread: any.
 */
#include "rw_base.h"

/* Copy `n` bytes that do not overlap, n may be 0. */
typedef void (*rw_copy_fn)(void *dst, const void *src, size_t n);

struct rw_copy {
	const char *name; /* "avx512", "avx2", "libc" */
	rw_copy_fn fn;
};

/*
 * The i-th way that this CPU knows, the best one first; NULL: there are no more. The last one, the C
 * library's memcpy, is always there.
 */
const struct rw_copy *rw_copy_way(unsigned i);

/* Whether rw_demote does something on this CPU. */
bool rw_demotes(void);

static inline rw_copy_fn rw_copy_best(void)
{
	return rw_copy_way(0)->fn;
}
