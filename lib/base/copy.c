/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "rw_copy.h"

static void copy_libc(void *dst, const void *src, size_t n)
{
	memcpy(dst, src, n);
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* For longer copies the C library is as fast: it knows the sizes of the CPU's caches. */
#define LONG 4096

/*
 * Whole registers, the last of which overlaps the one before. After the first one the destination
 * is aligned: a store that crosses lines costs two. `load`, `store` move `width` bytes.
 */
#define COPY_BODY(width, load, store)                            \
	uint8_t *to = dst;                                       \
	const uint8_t *from = src, *last = from + n - (width);   \
	size_t skip = (width) - ((uintptr_t)to & ((width)-1));   \
                                                                 \
	if (rw_unlikely(n < (width) || n > LONG)) {              \
		memcpy(dst, src, n);                             \
		return;                                          \
	}                                                        \
	store(to, load(from));                                   \
	to += skip;                                              \
	from += skip;                                            \
	for (; from + 3 * (width) < last; from += 4 * (width)) { \
		__auto_type a = load(from);                      \
		__auto_type b = load(from + (width));            \
		__auto_type c = load(from + 2 * (width));        \
		__auto_type d = load(from + 3 * (width));        \
                                                                 \
		store(to, a);                                    \
		store(to + (width), b);                          \
		store(to + 2 * (width), c);                      \
		store(to + 3 * (width), d);                      \
		to += 4 * (width);                               \
	}                                                        \
	for (; from < last; from += (width), to += (width))      \
		store(to, load(from));                           \
	store((uint8_t *)dst + n - (width), load(last))

#define LOAD_512(p)     _mm512_loadu_si512(p)
#define STORE_512(p, v) _mm512_storeu_si512(p, v)
#define LOAD_256(p)     _mm256_loadu_si256((const __m256i_u *)(p))
#define STORE_256(p, v) _mm256_storeu_si256((__m256i_u *)(p), v)

RW_WIDE static void copy_avx512(void *dst, const void *src, size_t n)
{
	COPY_BODY(64, LOAD_512, STORE_512);
}

__attribute__((target("avx2"))) static void copy_avx2(void *dst, const void *src, size_t n)
{
	COPY_BODY(32, LOAD_256, STORE_256);
}

/*
 * The first Intel CPUs with AVX-512 slow down while 64-byte registers are in use; those that have
 * VBMI2, as AMD's have from the start, do not.
 */
static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vbmi2");
}

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}
#endif

bool rw_is_wide(void)
{
#if defined(__x86_64__)
	return has_avx512();
#else
	return false;
#endif
}

bool rw_demotes(void)
{
#if defined(__x86_64__)
	const unsigned leaf = 7, cldemote = 1u << 25; /* in ecx */
	unsigned a, b, c, d;

	return __get_cpuid_count(leaf, 0, &a, &b, &c, &d) && (c & cldemote);
#else
	return false;
#endif
}

static bool always(void)
{
	return true;
}

const struct rw_copy *rw_copy_way(unsigned i)
{
	static const struct {
		struct rw_copy way;
		bool (*usable)(void);
	} ways[] = {
#if defined(__x86_64__)
		{{"avx512", copy_avx512}, has_avx512},
		{{"avx2", copy_avx2}, has_avx2},
#endif
		{{"libc", copy_libc}, always},
	};

	for (size_t k = 0; k < RW_ARRAY_SIZE(ways); k++) {
		if (ways[k].usable() && !i--)
			return &ways[k].way;
	}
	return NULL;
}
