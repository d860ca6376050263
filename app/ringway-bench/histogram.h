/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * How often which latency was seen, in nanoseconds. Log-linear: values below 128 have a bucket
 * each, from there on every power of two is cut into 64 buckets of the same width, so that a
 * percentile is at most 1/64 (1.6 %) above the value it stands for and never below it. Adding costs
 * one count of leading zeros and four words written; the memory is fixed and holds anything up to
 * 2^40 ns (18 minutes), longer times count as that long. Count, mean, least and greatest are exact.
 *
 * Thread: one at a time.
 */
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6 /* 64 buckets for each power of two */
#define HISTOGRAM_MAX_BITS 40
#define HISTOGRAM_MAX      ((UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1)
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

/* All zero: empty. */
struct histogram {
	uint64_t count;
	uint64_t sum; /* of the values */
	uint64_t least, greatest;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* The bucket of a value up to HISTOGRAM_MAX. */
static inline unsigned histogram_bucket(uint64_t value)
{
	/* By how much the value is too long for 7 bits; the top one of those that stay is set. */
	unsigned shift = 63 - HISTOGRAM_SUB_BITS -
		(unsigned)__builtin_clzll(value | (UINT64_C(1) << HISTOGRAM_SUB_BITS));

	return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	if (value > HISTOGRAM_MAX)
		value = HISTOGRAM_MAX;
	if (value > h->greatest)
		h->greatest = value;
	if (value < h->least || !h->count)
		h->least = value;
	h->sum += value;
	h->count++;
	h->buckets[histogram_bucket(value)]++;
}

void histogram_reset(struct histogram *h);
/* Add all that `from` has seen. */
void histogram_merge(struct histogram *into, const struct histogram *from);
/*
 * The value that `percent` (0 to 100) of all values do not exceed, as the upper end of its bucket;
 * 0 when there are none.
 */
uint64_t histogram_percentile(const struct histogram *h, double percent);
double histogram_mean(const struct histogram *h);
