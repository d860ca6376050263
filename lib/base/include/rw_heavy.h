/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The heaviest of a stream of (key, weight), in fixed memory: Space-Saving (Metwally, Agrawal and
 * El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005) with
 * weights. It keeps RW_HEAVY_MAX keys. A key that finds no room takes the place of the lightest one
 * and inherits its weight, as its error.
 *
 * Of each key that is kept, with W the sum of all weights:
 *
 *   weight - error <= true weight <= weight,   error <= W / RW_HEAVY_MAX
 *
 * and each key whose true weight is more than W / RW_HEAVY_MAX is kept.
 *
 * To add costs a hash, a search in a table that is half full at most, and as many steps as a heap
 * of that size is deep. The seed keeps senders from choosing keys that collide.
 *
 * Thread: one at a time.
 */
#include <stdint.h>

#define RW_HEAVY_MAX   512u
#define RW_HEAVY_SLOTS (2 * RW_HEAVY_MAX)

struct rw_heavy_key {
	uint64_t a, b;
};

struct rw_heavy_item {
	struct rw_heavy_key key;
	uint64_t weight; /* at least the true one */
	uint64_t error;  /* at most so much of it is of other keys */
	uint64_t times;  /* how often it was added since it is kept */
};

struct rw_heavy {
	uint64_t seed;
	uint64_t total;                 /* of all weights */
	uint32_t n;                     /* keys that are kept */
	uint16_t heap[RW_HEAVY_MAX];    /* items, the lightest first, as a binary heap */
	uint16_t place[RW_HEAVY_MAX];   /* of each item in `heap` */
	uint16_t slots[RW_HEAVY_SLOTS]; /* by hash: one more than an item; 0: free */
	struct rw_heavy_item items[RW_HEAVY_MAX];
};

void rw_heavy_init(struct rw_heavy *h, uint64_t seed);
/* Add `weight`, which is `times` occurrences of the key together. */
void rw_heavy_add(struct rw_heavy *h, struct rw_heavy_key key, uint64_t weight, uint64_t times);
/* The item of a key; NULL: it is not kept. */
const struct rw_heavy_item *rw_heavy_find(const struct rw_heavy *h, struct rw_heavy_key key);

/*
 * The `max` heaviest of the streams of `n` sketches together, heaviest first, into `out`. The same
 * bounds hold, with W the sum of all streams. Returns how many; 0 as well without memory. Thread:
 * any; nobody adds to the sketches.
 */
unsigned rw_heavy_top(
	const struct rw_heavy *sketches, unsigned n, struct rw_heavy_item *out, unsigned max);
