/* SPDX-License-Identifier: BSD-3-Clause */
/* How long frames take through the switch, for each pair of ports. */
#include <errno.h>
#include <stdlib.h>

#include "count.h"

/* Twice as many as pairs, so that a search ends soon. */
#define SLOTS (2 * SW_COUNT_MAX_PAIRS)

struct part {
	uint64_t keys[SLOTS]; /* 0: free; atomic, and written once */
	uint8_t index[SLOTS]; /* of its histogram; written before the key */
	unsigned n;           /* histograms in use; the worker's alone */
	uint64_t others, late;
	struct rw_histogram histograms[SW_COUNT_MAX_PAIRS];
};

#define KEY_USED (UINT64_C(1) << 32)

static uint64_t key_of(struct sw_latency_pair pair)
{
	return KEY_USED | (uint64_t)pair.from << 16 | pair.to;
}

static struct sw_latency_pair pair_of(uint64_t key)
{
	return (struct sw_latency_pair){.from = (uint16_t)(key >> 16), .to = (uint16_t)key};
}

/* The histogram of a pair; NULL: there is no room. */
static struct rw_histogram *histogram_get(struct part *p, uint64_t key)
{
	uint32_t slot = count_slot(key, SLOTS);

	while (p->keys[slot] && p->keys[slot] != key)
		slot = (slot + 1) % SLOTS;
	if (p->keys[slot])
		return &p->histograms[p->index[slot]];
	if (p->n == SW_COUNT_MAX_PAIRS)
		return NULL;
	p->index[slot] = (uint8_t)p->n++;
	/* Pairs with the acquire in histogram_find. */
	__atomic_store_n(&p->keys[slot], key, __ATOMIC_RELEASE);
	return &p->histograms[p->index[slot]];
}

/* The same for control, which adds none. */
static const struct rw_histogram *histogram_find(const struct part *p, uint64_t key)
{
	uint32_t slot = count_slot(key, SLOTS);
	uint64_t found;

	/* Pairs with the release in histogram_get. */
	while ((found = __atomic_load_n(&p->keys[slot], __ATOMIC_ACQUIRE))) {
		if (found == key)
			return &p->histograms[p->index[slot]];
		slot = (slot + 1) % SLOTS;
	}
	return NULL;
}

static void see(const struct sw_count *c, void *part, const struct sw_sight *s)
{
	const struct sw_latency_pair pair = {.from = s->other, .to = s->port};
	struct part *p = part;
	struct rw_histogram *h;

	if (s->late || !s->polled || s->other == SW_NO_PORT) {
		port_count(&p->late, s->late ? s->n : 0);
		return;
	}
	h = histogram_get(p, key_of(pair));
	/* A list is published at once: its frames took equally long. */
	if (h)
		rw_histogram_add_many(h,
			(uint64_t)((unsigned __int128)(s->now - s->polled) * c->ns_scale >> 32),
			s->n);
	else
		port_count(&p->others, s->n);
}

/* Its pairs keep their places, which a later port with that id takes over. */
static void forget_port(void *part, uint16_t id)
{
	struct part *p = part;

	for (unsigned i = 0; i < SLOTS; i++) {
		uint64_t key = __atomic_load_n(&p->keys[i], __ATOMIC_ACQUIRE);

		if (key && (pair_of(key).from == id || pair_of(key).to == id))
			rw_histogram_reset(&p->histograms[p->index[i]]);
	}
}

static void lost(const void *part, struct sw_count_lost *sum)
{
	sum->others += count_read(&((const struct part *)part)->others);
	sum->late += count_read(&((const struct part *)part)->late);
}

const struct count_ops count_latency = {.wants = SW_SEE_TX | SW_SEE_ONWARD,
	.bytes = sizeof(struct part),
	.see = see,
	.lost = lost,
	.forget_port = forget_port};

static int by_ports(const void *x, const void *y)
{
	uint64_t a = key_of(*(const struct sw_latency_pair *)x);
	uint64_t b = key_of(*(const struct sw_latency_pair *)y);

	return (a > b) - (a < b);
}

/* The pairs of all parts that have frames; one may be there several times. */
static size_t pairs_copy(const struct sw_count *c, struct sw_latency_pair *out)
{
	size_t n = 0;

	for (unsigned w = 0; w < c->nworkers; w++) {
		const struct part *p = c->parts[w];

		for (unsigned i = 0; i < SLOTS; i++) {
			uint64_t key = __atomic_load_n(&p->keys[i], __ATOMIC_ACQUIRE);

			if (key && count_read(&p->histograms[p->index[i]].count))
				out[n++] = pair_of(key);
		}
	}
	return n;
}

int sw_latency_pairs(const struct sw_count *c, struct sw_latency_pair **out)
{
	struct sw_latency_pair *list = calloc((size_t)c->nworkers * SLOTS, sizeof(*list));
	size_t n, m = 0;

	if (!list)
		return -ENOMEM;
	n = pairs_copy(c, list);
	qsort(list, n, sizeof(*list), by_ports);
	for (size_t i = 0; i < n; i++) {
		if (!i || by_ports(&list[i], &list[m - 1]))
			list[m++] = list[i];
	}
	*out = list;
	return (int)m;
}

void sw_latency_read(
	const struct sw_count *c, struct sw_latency_pair pair, struct rw_histogram *out)
{
	rw_histogram_reset(out);
	for (unsigned w = 0; w < c->nworkers; w++) {
		const struct rw_histogram *h = histogram_find(c->parts[w], key_of(pair));

		if (h)
			rw_histogram_merge(out, h);
	}
}
