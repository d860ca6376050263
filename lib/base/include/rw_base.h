/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Small things that every library needs: branch hints, alignment, bounded integers.
 *
 * Thread: any. Nothing here has state.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RW_CACHE_LINE 64

#define rw_likely(x)   __builtin_expect(!!(x), 1)
#define rw_unlikely(x) __builtin_expect(!!(x), 0)

#define RW_ALWAYS_INLINE static inline __attribute__((always_inline))
#define RW_NOINLINE      __attribute__((noinline))
#define RW_CACHE_ALIGNED __attribute__((aligned(RW_CACHE_LINE)))
#define RW_PRINTF(f, a)  __attribute__((format(printf, f, a)))

#define RW_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define RW_MIN(a, b) ((a) < (b) ? (a) : (b))
#define RW_MAX(a, b) ((a) > (b) ? (a) : (b))

/* A piece of memory: what a descriptor chain and a frame are made of. */
struct rw_seg {
	uint8_t *data;
	uint32_t len; /* bytes */
};

/* The structure of type `type` whose member `member` is at `ptr`. */
#define rw_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Whether [addr, addr + len) wraps around the 64-bit address space. */
static inline bool rw_range_wraps(uint64_t addr, uint64_t len)
{
	return addr + len < addr;
}

/* `v` rounded up to a multiple of `align`, a power of two. The caller excludes overflow. */
static inline uint64_t rw_align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

static inline bool rw_is_power_of_2(uint64_t v)
{
	return v && !(v & (v - 1));
}

/*
 * Fetch the line of `p` to write to it. __builtin_prefetch(p, 1) would only read it: compilers emit
 * prefetchw for processors that they are told have it. All 64-bit ones decode it, some as a no-op.
 */
static inline void rw_prefetch_write(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/*
 * Move the line of `p`, just written, from this CPU's own caches to the shared one, where another
 * CPU finds it sooner. A hint, and a no-op on CPUs that do not know it: see rw_demotes in
 * rw_copy.h.
 */
static inline void rw_demote(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("cldemote %0" : : "m"(*(const char *)p));
#else
	(void)p;
#endif
}

/* A busy-wait hint for the CPU. */
static inline void rw_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

/*
 * Zeroed memory aligned to a cache line, rounded up to whole lines so that no two allocations
 * share one; NULL when there is none. Large blocks ask for transparent huge pages. Free with
 * rw_free (NULL is fine).
 */
void *rw_zalloc(size_t size);
void rw_free(void *p);
