/* SPDX-License-Identifier: BSD-3-Clause */
#include "histogram.h"

#include <math.h>
#include <string.h>

#include "rw_base.h"

/* The greatest value of a bucket. */
static uint64_t bucket_end(unsigned i)
{
	unsigned shift;

	if (i >> HISTOGRAM_SUB_BITS < 2)
		return i;
	shift = (i >> HISTOGRAM_SUB_BITS) - 1;
	return (((uint64_t)i - (shift << HISTOGRAM_SUB_BITS) + 1) << shift) - 1;
}

void histogram_reset(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	if (!from->count)
		return;
	into->least = into->count ? RW_MIN(into->least, from->least) : from->least;
	into->greatest = RW_MAX(into->greatest, from->greatest);
	into->count += from->count;
	into->sum += from->sum;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t wanted, seen = 0;
	unsigned i;

	if (!h->count)
		return 0;
	wanted = (uint64_t)ceil((double)h->count * percent / 100);
	wanted = RW_MIN(RW_MAX(wanted, (uint64_t)1), h->count);
	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= wanted)
			break;
	}
	return RW_MIN(bucket_end(i), h->greatest);
}

double histogram_mean(const struct histogram *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}
