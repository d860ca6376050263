/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Copying the payload of frames: tens to thousands of bytes, from lines that another CPU has just
 * written to lines that it will read. The program runs on any CPU of its architecture; the widest
 * registers that this one moves well are chosen once, at run time, by the owner of the pointer.
 *
 * Thread: any.
 */
#include <string.h>

#include "rw_base.h"

/* Copy `n` bytes that do not overlap, n may be 0. */
typedef void (*rw_copy_fn)(void *dst, const void *src, size_t n);

struct rw_copy {
	const char *name; /* "avx512", "avx2", "libc" */
	rw_copy_fn fn;
};

/*
 * The i-th way that this CPU knows, the best one first; NULL: there are no more. The last one, the
 * C library's memcpy, is always there.
 */
const struct rw_copy *rw_copy_way(unsigned i);

/*
 * A function whose code may use 64-byte registers. Its caller checks rw_is_wide first and has
 * another function for other CPUs.
 */
#if defined(__x86_64__)
#define RW_WIDE __attribute__((target("avx512f")))
#else
#define RW_WIDE
#endif

bool rw_is_wide(void);

typedef uint8_t rw_line_bytes __attribute__((vector_size(RW_CACHE_LINE), aligned(1), may_alias));

/* Copy RW_CACHE_LINE bytes that do not overlap. `wide`: with one load and one store; a constant. */
RW_ALWAYS_INLINE void rw_copy_line(void *dst, const void *src, const bool wide)
{
	if (wide)
		*(rw_line_bytes *)dst = *(const rw_line_bytes *)src;
	else
		memcpy(dst, src, RW_CACHE_LINE);
}

/* Whether rw_demote does something on this CPU. */
bool rw_demotes(void);

static inline rw_copy_fn rw_copy_best(void)
{
	return rw_copy_way(0)->fn;
}
