/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which entry goes when one has to: of the port with most learned entries, the one learned longest
 * ago that was not seen again since.
 *
 * To know that port at a constant price, whatever the number of ports, those with the same number
 * of learned entries form a list, and rank[n] is the first with n. A count changes by one at a
 * time, so the largest number in use does too. That takes two bytes for each entry allowed, where
 * an entry itself takes 48 with its room to spare.
 */
#include "fdb_priv.h"

/*
 * Entries that get a second chance before one goes whatever it did. Each may be a cache miss or two
 * under the lock: Intel Xeon (family 6, model 167), 2 CPUs, full table of 65536, TSC cycles (2.6 GHz) for
 * an insertion that evicts when all entries are busy: 0: 330, 4: 600, 8: 850, 16: 1040. The usual victim
 * of a flood, never seen again, costs 260 with any of them.
 */
#define SECOND_CHANCES 8

static struct fdb_list_head *list_of(struct fdb *fdb, uint64_t entry)
{
	return &fdb->ports[fdb_port_of(entry)].list[fdb_kind_of(entry)];
}

static uint32_t count_of(const struct fdb_list_head *list)
{
	return atomic_load_explicit(&list->count, memory_order_relaxed);
}

void fdb_ports_init(struct fdb *fdb)
{
	for (unsigned i = 0; i < fdb->max_ports; i++) {
		for (unsigned kind = 0; kind < 2; kind++) {
			fdb->ports[i].list[kind].first = FDB_SLOT_NONE;
			fdb->ports[i].list[kind].last = FDB_SLOT_NONE;
		}
	}
	for (uint32_t n = 0; n <= fdb->max_entries; n++)
		fdb->rank[n] = FDB_PORT_NONE;
}

/* Port `port` has `n` learned entries now. Ports without any have no rank. */
static void rank_enter(struct fdb *fdb, uint16_t port, uint32_t n)
{
	struct fdb_port *p = &fdb->ports[port];

	if (!n)
		return;
	p->rank_prev = FDB_PORT_NONE;
	p->rank_next = fdb->rank[n];
	if (p->rank_next != FDB_PORT_NONE)
		fdb->ports[p->rank_next].rank_prev = port;
	fdb->rank[n] = port;
	fdb->most = RW_MAX(fdb->most, n);
}

/* Port `port` no longer has `n` learned entries, but one more or one less. */
static void rank_leave(struct fdb *fdb, uint16_t port, uint32_t n)
{
	struct fdb_port *p = &fdb->ports[port];

	if (!n)
		return;
	if (p->rank_prev != FDB_PORT_NONE)
		fdb->ports[p->rank_prev].rank_next = p->rank_next;
	else
		fdb->rank[n] = p->rank_next;
	if (p->rank_next != FDB_PORT_NONE)
		fdb->ports[p->rank_next].rank_prev = p->rank_prev;
	/* The port itself enters at n - 1, so the next lower number is in use, or is 0. */
	if (fdb->most == n && fdb->rank[n] == FDB_PORT_NONE)
		fdb->most = n - 1;
}

static void change_count(struct fdb *fdb, uint64_t entry, int by)
{
	struct fdb_list_head *list = list_of(fdb, entry);
	uint16_t port = fdb_port_of(entry);

	if (fdb_kind_of(entry) == FDB_LEARNED)
		rank_leave(fdb, port, count_of(list));
	fdb_count_by(&list->count, by);
	if (fdb_kind_of(entry) == FDB_LEARNED)
		rank_enter(fdb, port, count_of(list));
}

static void append(struct fdb *fdb, struct fdb_list_head *list, uint32_t slot)
{
	struct fdb_link *link = &fdb->links[slot];

	link->prev = list->last;
	link->next = FDB_SLOT_NONE;
	link->queued_s = fdb_seen(fdb, slot);
	if (list->last != FDB_SLOT_NONE)
		fdb->links[list->last].next = slot;
	else
		list->first = slot;
	list->last = slot;
}

static void detach(struct fdb *fdb, struct fdb_list_head *list, uint32_t slot)
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

void fdb_ports_add(struct fdb *fdb, uint32_t slot, uint64_t entry)
{
	append(fdb, list_of(fdb, entry), slot);
	change_count(fdb, entry, 1);
}

void fdb_ports_remove(struct fdb *fdb, uint32_t slot, uint64_t entry)
{
	detach(fdb, list_of(fdb, entry), slot);
	change_count(fdb, entry, -1);
}

void fdb_ports_replace(struct fdb *fdb, uint32_t from, uint32_t to, uint64_t entry)
{
	struct fdb_list_head *list = list_of(fdb, entry);
	const struct fdb_link *old = &fdb->links[from];
	struct fdb_link *link = &fdb->links[to];

	link->prev = old->prev;
	link->next = old->next;
	link->queued_s = old->queued_s;
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
 * The first of the longest list, but one that was seen again since it was queued goes to the end
 * instead: stations that talk outlive what a flood invented before or after them.
 */
uint32_t fdb_ports_victim(struct fdb *fdb)
{
	struct fdb_list_head *list;

	if (!fdb->most)
		return FDB_SLOT_NONE;
	list = &fdb->ports[fdb->rank[fdb->most]].list[FDB_LEARNED];
	for (unsigned i = 0; i < SECOND_CHANCES; i++) {
		uint32_t slot = list->first;

		if (fdb_seen(fdb, slot) == fdb->links[slot].queued_s)
			break;
		detach(fdb, list, slot);
		append(fdb, list, slot);
	}
	return list->first;
}
