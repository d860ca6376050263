/* SPDX-License-Identifier: BSD-3-Clause */
/* Which entry is evicted when one has to go; the counts and limits of ports. */
#include <assert.h>

#include "fdb_priv.h"

/*
 * Entries that get a second chance before one goes whatever its host did. Each may be a cache miss
 * or two under the lock: Intel Xeon (family 6, model 167), 2 CPUs, full table of 65536, TSC cycles
 * (2.6 GHz) for an insertion that evicts when all entries are busy: 0: 330, 4: 600, 8: 850, 16:
 * 1040. The usual victim of a flood, never seen again, costs 260 with any of them.
 */
#define SECOND_CHANCES 8

void fdb_ports_init(struct fdb *fdb)
{
	const struct fdb_list empty = {.first = FDB_SLOT_NONE, .last = FDB_SLOT_NONE};

	for (uint32_t i = 0; i < fdb->max_ports; i++) {
		fdb->ports[i].learned = empty;
		fdb->ports[i].fixed = empty;
		atomic_init(&fdb->ports[i].limit, UINT32_MAX);
		atomic_init(&fdb->ports[i].learning, true);
		atomic_init(&fdb->ports[i].strict, false);
	}
}

/* The list that the entry in a slot belongs to; NULL: external, none. */
static struct fdb_list *list_of(struct fdb *fdb, uint32_t slot)
{
	uint64_t value = fdb_value_at(fdb, slot);

	switch (fdb_kind_of(value)) {
	case FDB_LEARNED:
		return &fdb->ports[fdb_hop_of(value)].learned;
	case FDB_STATIC:
		return &fdb->ports[fdb_hop_of(value)].fixed;
	default:
		return NULL;
	}
}

static void append(struct fdb *fdb, struct fdb_list *list, uint32_t slot)
{
	struct fdb_link *link = &fdb->links[slot];

	link->prev = list->last;
	link->next = FDB_SLOT_NONE;
	link->queued_s = fdb_seen_of(fdb_value_at(fdb, slot));
	if (list->last != FDB_SLOT_NONE)
		fdb->links[list->last].next = slot;
	else
		list->first = slot;
	list->last = slot;
}

static void detach(struct fdb *fdb, struct fdb_list *list, uint32_t slot)
{
	const struct fdb_link *link = &fdb->links[slot];

	if (link->prev != FDB_SLOT_NONE)
		fdb->links[link->prev].next = link->next;
	else
		list->first = link->next;
	if (link->next != FDB_SLOT_NONE)
		fdb->links[link->next].prev = link->prev;
	else
		list->last = link->prev;
}

/* `port` has more learned entries than before. */
static void largest_note(struct fdb *fdb, uint32_t port)
{
	uint32_t n = fdb_list_count(&fdb->ports[port].learned);

	fdb->ports_end = RW_MAX(fdb->ports_end, port + 1);
	if (n >= fdb->largest_count) {
		fdb->largest = port;
		fdb->largest_count = n;
	}
}

void fdb_ports_add(struct fdb *fdb, uint32_t slot)
{
	struct fdb_list *list = list_of(fdb, slot);

	if (!list)
		return;
	append(fdb, list, slot);
	fdb_count_by(&list->count, 1);
	if (fdb_kind_of(fdb_value_at(fdb, slot)) == FDB_LEARNED)
		largest_note(fdb, fdb_hop_of(fdb_value_at(fdb, slot)));
}

void fdb_ports_remove(struct fdb *fdb, uint32_t slot)
{
	struct fdb_list *list = list_of(fdb, slot);

	if (!list)
		return;
	detach(fdb, list, slot);
	fdb_count_by(&list->count, -1);
}

void fdb_ports_replace(struct fdb *fdb, uint32_t from, uint32_t to)
{
	struct fdb_list *list = list_of(fdb, from);
	struct fdb_link *link = &fdb->links[to];

	if (!list)
		return;
	*link = fdb->links[from];
	if (link->prev != FDB_SLOT_NONE)
		fdb->links[link->prev].next = to;
	else
		list->first = to;
	if (link->next != FDB_SLOT_NONE)
		fdb->links[link->next].prev = to;
	else
		list->last = to;
}

/*
 * The first of the port's learned entries, but one whose host was seen since it was queued goes to
 * the end instead: hosts that talk outlive what a flood invented before or after them.
 */
uint32_t fdb_ports_oldest(struct fdb *fdb, uint32_t port)
{
	struct fdb_list *list = &fdb->ports[port].learned;

	for (unsigned i = 0; i < SECOND_CHANCES && list->first != FDB_SLOT_NONE; i++) {
		uint32_t slot = list->first;

		if (fdb_seen_of(fdb_value_at(fdb, slot)) == fdb->links[slot].queued_s)
			break;
		detach(fdb, list, slot);
		append(fdb, list, slot);
	}
	return list->first;
}

/*
 * No port has more than `largest_count` learned entries. As long as `largest` has as many, it is
 * the largest port: so it is while one port floods a full table, which loses an entry and gets
 * another each time. Otherwise the counts of all ports are compared.
 */
uint32_t fdb_ports_victim(struct fdb *fdb)
{
	if (fdb_list_count(&fdb->ports[fdb->largest].learned) < fdb->largest_count) {
		fdb->largest_count = 0;
		for (uint32_t port = 0; port < fdb->ports_end; port++)
			largest_note(fdb, port);
	}
	return fdb_ports_oldest(fdb, fdb->largest);
}

void fdb_set_learning(struct fdb *fdb, uint32_t port, bool on)
{
	assert(port < fdb->max_ports);
	atomic_store_explicit(&fdb->ports[port].learning, on, memory_order_relaxed);
}

void fdb_set_strict(struct fdb *fdb, uint32_t port, bool on)
{
	assert(port < fdb->max_ports);
	atomic_store_explicit(&fdb->ports[port].strict, on, memory_order_relaxed);
}

void fdb_set_limit(struct fdb *fdb, uint32_t port, uint32_t max)
{
	struct fdb_port *p = &fdb->ports[port];
	bool over;

	assert(port < fdb->max_ports);
	/* One by one: a worker that waits for the lock does not wait for all of them. */
	do {
		rw_spin_lock(&fdb->lock);
		atomic_store_explicit(&p->limit, max ? max : UINT32_MAX, memory_order_relaxed);
		over = fdb_list_count(&p->learned) > (max ? max : UINT32_MAX);
		if (over)
			fdb_evict(fdb, fdb_ports_oldest(fdb, port));
		rw_spin_unlock(&fdb->lock);
	} while (over);
}
