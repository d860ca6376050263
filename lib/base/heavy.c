/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_heavy.h"

#include <stdlib.h>
#include <string.h>

#include "rw_base.h"

void rw_heavy_init(struct rw_heavy *h, uint64_t seed)
{
	memset(h, 0, sizeof(*h));
	h->seed = seed;
}

static bool same(struct rw_heavy_key x, struct rw_heavy_key y)
{
	return x.a == y.a && x.b == y.b;
}

/* The finaliser of SplitMix64. */
static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
	return v ^ v >> 31;
}

static uint32_t slot_of(const struct rw_heavy *h, struct rw_heavy_key key)
{
	return mix(mix(key.a ^ h->seed) + key.b) % RW_HEAVY_SLOTS;
}

/* The slot of a key, or the free one where it would be. */
static uint32_t slot_find(const struct rw_heavy *h, struct rw_heavy_key key)
{
	uint32_t slot = slot_of(h, key);

	while (h->slots[slot] && !same(h->items[h->slots[slot] - 1].key, key))
		slot = (slot + 1) % RW_HEAVY_SLOTS;
	return slot;
}

/* Free a slot: what was put behind it because it was taken moves up. */
static void slot_free(struct rw_heavy *h, uint32_t slot)
{
	uint32_t next = slot, home;

	for (;;) {
		h->slots[slot] = 0;
		do {
			next = (next + 1) % RW_HEAVY_SLOTS;
			if (!h->slots[next])
				return;
			home = slot_of(h, h->items[h->slots[next] - 1].key);
			/* It stays if its own slot lies between the free one and where it is. */
		} while ((next - home) % RW_HEAVY_SLOTS < (next - slot) % RW_HEAVY_SLOTS);
		h->slots[slot] = h->slots[next];
		slot = next;
	}
}

static uint64_t weight_at(const struct rw_heavy *h, uint32_t place)
{
	return h->items[h->heap[place]].weight;
}

static void heap_swap(struct rw_heavy *h, uint32_t x, uint32_t y)
{
	uint16_t item = h->heap[x];

	h->heap[x] = h->heap[y];
	h->heap[y] = item;
	h->place[h->heap[x]] = (uint16_t)x;
	h->place[item] = (uint16_t)y;
}

/* The item at `place` has become heavier. */
static void heap_down(struct rw_heavy *h, uint32_t place)
{
	for (;;) {
		uint32_t least = place, left = 2 * place + 1;

		if (left < h->n && weight_at(h, left) < weight_at(h, least))
			least = left;
		if (left + 1 < h->n && weight_at(h, left + 1) < weight_at(h, least))
			least = left + 1;
		if (least == place)
			return;
		heap_swap(h, place, least);
		place = least;
	}
}

/* The item at `place` is new. */
static void heap_up(struct rw_heavy *h, uint32_t place)
{
	while (place) {
		uint32_t parent = (place - 1) / 2;

		if (weight_at(h, place) >= weight_at(h, parent))
			return;
		heap_swap(h, place, parent);
		place = parent;
	}
}

static void item_begin(struct rw_heavy *h, uint32_t slot, struct rw_heavy_item item)
{
	uint16_t i = (uint16_t)h->n++;

	h->items[i] = item;
	h->slots[slot] = (uint16_t)(i + 1);
	h->heap[i] = i;
	h->place[i] = i;
	heap_up(h, i);
}

/* Put a key in the place of the lightest one. */
static void item_replace(struct rw_heavy *h, struct rw_heavy_item item)
{
	uint16_t i = h->heap[0];

	item.error = h->items[i].weight;
	item.weight += item.error;
	slot_free(h, slot_find(h, h->items[i].key));
	h->slots[slot_find(h, item.key)] = (uint16_t)(i + 1);
	h->items[i] = item;
	heap_down(h, 0);
}

void rw_heavy_add(struct rw_heavy *h, struct rw_heavy_key key, uint64_t weight, uint64_t times)
{
	const struct rw_heavy_item item = {.key = key, .weight = weight, .times = times};
	uint32_t slot = slot_find(h, key);

	h->total += weight;
	if (h->slots[slot]) {
		uint16_t i = (uint16_t)(h->slots[slot] - 1);

		h->items[i].weight += weight;
		h->items[i].times += times;
		heap_down(h, h->place[i]);
	} else if (h->n < RW_HEAVY_MAX) {
		item_begin(h, slot, item);
	} else {
		item_replace(h, item);
	}
}

const struct rw_heavy_item *rw_heavy_find(const struct rw_heavy *h, struct rw_heavy_key key)
{
	uint16_t slot = h->slots[slot_find(h, key)];

	return slot ? &h->items[slot - 1] : NULL;
}

/* What all sketches know of a key. One that is full may have had it, with the least weight. */
static struct rw_heavy_item item_of_all(
	const struct rw_heavy *sketches, unsigned n, struct rw_heavy_key key)
{
	struct rw_heavy_item sum = {.key = key};

	for (unsigned i = 0; i < n; i++) {
		const struct rw_heavy_item *item = rw_heavy_find(&sketches[i], key);
		uint64_t least = sketches[i].n == RW_HEAVY_MAX ? weight_at(&sketches[i], 0) : 0;

		sum.weight += item ? item->weight : least;
		sum.error += item ? item->error : least;
		sum.times += item ? item->times : 0;
	}
	return sum;
}

static int heavier(const void *x, const void *y)
{
	const struct rw_heavy_item *a = x, *b = y;

	return (a->weight < b->weight) - (a->weight > b->weight);
}

static bool is_in_one_of(const struct rw_heavy *sketches, unsigned n, struct rw_heavy_key key)
{
	while (n--) {
		if (rw_heavy_find(&sketches[n], key))
			return true;
	}
	return false;
}

unsigned rw_heavy_top(
	const struct rw_heavy *sketches, unsigned n, struct rw_heavy_item *out, unsigned max)
{
	struct rw_heavy_item *all = calloc((size_t)n * RW_HEAVY_MAX + 1, sizeof(*all));
	unsigned found = 0;

	if (!all)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		for (uint32_t k = 0; k < sketches[i].n; k++) {
			struct rw_heavy_key key = sketches[i].items[k].key;

			if (!is_in_one_of(sketches, i, key))
				all[found++] = item_of_all(sketches, n, key);
		}
	}
	qsort(all, found, sizeof(*all), heavier);
	found = RW_MIN(found, max);
	memcpy(out, all, found * sizeof(*out));
	free(all);
	return found;
}
