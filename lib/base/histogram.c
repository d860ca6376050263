/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_histogram.h"

#include <string.h>

#include "rw_base.h"

uint64_t rw_histogram_bucket_end(unsigned i)
{
	unsigned shift;

	if (i >> RW_HISTOGRAM_SUB_BITS < 2)
		return i;
	shift = (i >> RW_HISTOGRAM_SUB_BITS) - 1;
	return (((uint64_t)i - (shift << RW_HISTOGRAM_SUB_BITS) + 1) << shift) - 1;
}

void rw_histogram_reset(struct rw_histogram *h)
{
	memset(h, 0, sizeof(*h));
}

static uint64_t load(const uint64_t *from)
{
	return __atomic_load_n(from, __ATOMIC_RELAXED);
}

/* The sum of the buckets is the count, also of one that grows meanwhile. */
void rw_histogram_merge(struct rw_histogram *into, const struct rw_histogram *from)
{
	uint64_t least = load(&from->least), greatest = load(&from->greatest);

	if (!load(&from->count))
		return;
	into->least = into->count ? RW_MIN(into->least, least) : least;
	into->greatest = RW_MAX(into->greatest, greatest);
	into->sum += load(&from->sum);
	for (unsigned i = 0; i < RW_HISTOGRAM_BUCKETS; i++) {
		uint64_t n = load(&from->buckets[i]);

		into->buckets[i] += n;
		into->count += n;
	}
}

uint64_t rw_histogram_percentile(const struct rw_histogram *h, double percent)
{
	uint64_t wanted, seen = 0;
	double share;
	unsigned i;

	if (!h->count)
		return 0;
	share = (double)h->count * percent / 100;
	wanted = (uint64_t)share;
	wanted += (double)wanted < share;
	wanted = RW_MIN(RW_MAX(wanted, (uint64_t)1), h->count);
	for (i = 0; i < RW_HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= wanted)
			break;
	}
	return RW_MIN(rw_histogram_bucket_end(i), h->greatest);
}

double rw_histogram_mean(const struct rw_histogram *h)
{
	return h->count ? (double)h->sum / (double)h->count : 0;
}
