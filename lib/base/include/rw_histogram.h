/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * How often which latency was seen, in nanoseconds. Log-linear: values below 128 have a bucket
 * each, from there on every power of two is cut into 64 buckets of the same width, so that a
 * percentile is at most 1/64 (1.6 %) above the value it stands for and never below it. Adding costs
 * one count of leading zeros and four words written; the memory is fixed and holds anything up to
 * 2^40 ns (18 minutes), longer times count as that long. Count, mean, least and greatest are exact.
 *
 * Thread: one at a time; any may merge from it.
 */
#include <stdint.h>

#define RW_HISTOGRAM_SUB_BITS 6 /* 64 buckets for each power of two */
#define RW_HISTOGRAM_MAX_BITS 40
#define RW_HISTOGRAM_MAX      ((UINT64_C(1) << RW_HISTOGRAM_MAX_BITS) - 1)
#define RW_HISTOGRAM_BUCKETS \
	((RW_HISTOGRAM_MAX_BITS - RW_HISTOGRAM_SUB_BITS + 1) << RW_HISTOGRAM_SUB_BITS)

/* All zero: empty. */
struct rw_histogram {
	uint64_t count;
	uint64_t sum; /* of the values */
	uint64_t least, greatest;
	uint64_t buckets[RW_HISTOGRAM_BUCKETS];
};

/* The bucket of a value up to RW_HISTOGRAM_MAX. */
static inline unsigned rw_histogram_bucket(uint64_t value)
{
	/* By how much the value is too long for 7 bits; the top one of those that stay is set. */
	unsigned shift = 63 - RW_HISTOGRAM_SUB_BITS -
		(unsigned)__builtin_clzll(value | (UINT64_C(1) << RW_HISTOGRAM_SUB_BITS));

	return (shift << RW_HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

/* A member whose only writer is the caller. */
static inline void rw_histogram_store(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELAXED);
}

/* Add a value that was seen `n` times, 1 or more. */
static inline void rw_histogram_add_many(struct rw_histogram *h, uint64_t value, uint64_t n)
{
	uint64_t *bucket;

	if (value > RW_HISTOGRAM_MAX)
		value = RW_HISTOGRAM_MAX;
	if (value > h->greatest)
		rw_histogram_store(&h->greatest, value);
	if (value < h->least || !h->count)
		rw_histogram_store(&h->least, value);
	rw_histogram_store(&h->sum, h->sum + value * n);
	rw_histogram_store(&h->count, h->count + n);
	bucket = &h->buckets[rw_histogram_bucket(value)];
	rw_histogram_store(bucket, *bucket + n);
}

static inline void rw_histogram_add(struct rw_histogram *h, uint64_t value)
{
	rw_histogram_add_many(h, value, 1);
}

/* The greatest value of a bucket; the first one of the next bucket is one more. */
uint64_t rw_histogram_bucket_end(unsigned bucket);

void rw_histogram_reset(struct rw_histogram *h);
/* Add all that `from` has seen; another thread may add to it meanwhile. */
void rw_histogram_merge(struct rw_histogram *into, const struct rw_histogram *from);
/*
 * The value that `percent` (0 to 100) of all values do not exceed, as the upper end of its bucket;
 * 0 when there are none.
 */
uint64_t rw_histogram_percentile(const struct rw_histogram *h, double percent);
double rw_histogram_mean(const struct rw_histogram *h);
