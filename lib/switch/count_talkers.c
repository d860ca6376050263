/* SPDX-License-Identifier: BSD-3-Clause */
/* Who sends most, and to whom: a sketch (rw_heavy.h) for each worker. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "count.h"
#include "rw_lock.h"

/*
 * A sketch is no set of counters that can be read one by one: an item moves. So control copies it
 * under a lock, which takes some microseconds, and a worker that finds it taken does not wait.
 */
struct part {
	struct rw_spinlock lock;
	uint64_t missed; /* the worker's alone; control reads it */
	struct rw_heavy heavy;
};

static void init(void *part)
{
	/* What a sender cannot know. */
	rw_heavy_init(&((struct part *)part)->heavy, rte_rdtsc() ^ (uintptr_t)part);
}

/* Both addresses, as numbers; the VLAN stands in the upper bits. */
static struct rw_heavy_key key_of(const struct frame *f, struct sw_vlan vlan)
{
	struct rw_heavy_key key = {0, 0};

	memcpy(&key.a, f->head + 6, 6);
	memcpy(&key.b, f->head, 6);
	key.a |= (uint64_t)vlan.id << 48 | (uint64_t)vlan.service << 63;
	key.b |= (uint64_t)vlan.bridge << 48;
	return key;
}

static void add(struct rw_heavy *h, const struct sw_sight *s)
{
	struct rw_heavy_key last = {0, 0};
	uint64_t bytes = 0, n = 0;

	for (unsigned i = 0; i < s->n; i++) {
		struct rw_heavy_key key = key_of(s->frames[i], sw_sight_vlan(s, i));

		if (n && (key.a != last.a || key.b != last.b)) {
			rw_heavy_add(h, last, bytes, n);
			n = bytes = 0;
		}
		last = key;
		n++;
		bytes += s->frames[i]->len;
	}
	if (n)
		rw_heavy_add(h, last, bytes, n);
}

static void see(const struct sw_count *c, void *part, const struct sw_sight *s)
{
	struct part *p = part;

	(void)c;
	if (!rw_spin_trylock(&p->lock)) {
		port_count(&p->missed, s->n);
		return;
	}
	add(&p->heavy, s);
	rw_spin_unlock(&p->lock);
}

static void lost(const void *part, struct sw_count_lost *sum)
{
	sum->missed += count_read(&((const struct part *)part)->missed);
}

const struct count_ops count_talkers = {
	.wants = SW_SEE_RX, .bytes = sizeof(struct part), .init = init, .see = see, .lost = lost};

static struct sw_talker talker_of(const struct rw_heavy_item *item)
{
	struct sw_talker t = {.bytes = item->weight, .error = item->error, .frames = item->times};

	memcpy(t.src, &item->key.a, 6);
	memcpy(t.dst, &item->key.b, 6);
	t.vlan = (struct sw_vlan){.bridge = (uint16_t)(item->key.b >> 48),
		.id = item->key.a >> 48 & 0x1fff,
		.service = item->key.a >> 63};
	return t;
}

/* A worker holds the lock for a burst; it may have lost its CPU meanwhile. */
static void lock(struct part *p)
{
	while (!rw_spin_trylock(&p->lock))
		sched_yield();
}

static unsigned top_read(const struct sw_count *c, struct rw_heavy *copies,
	struct rw_heavy_item *items, unsigned max, uint64_t *bytes)
{
	for (unsigned w = 0; w < c->nworkers; w++) {
		struct part *p = c->parts[w];

		lock(p);
		copies[w] = p->heavy;
		rw_spin_unlock(&p->lock);
		*bytes += copies[w].total;
	}
	return rw_heavy_top(copies, c->nworkers, items, max);
}

unsigned sw_talkers_read(
	const struct sw_count *c, struct sw_talker *out, unsigned max, uint64_t *bytes)
{
	struct rw_heavy *copies = calloc(c->nworkers, sizeof(*copies));
	struct rw_heavy_item *items = calloc(max + 1, sizeof(*items));
	unsigned n = 0;

	*bytes = 0;
	if (copies && items)
		n = top_read(c, copies, items, max, bytes);
	for (unsigned i = 0; i < n; i++)
		out[i] = talker_of(&items[i]);
	free(copies);
	free(items);
	return n;
}
