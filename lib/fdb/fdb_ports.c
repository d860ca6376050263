/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which entry goes when one has to: of the port with most learned entries, the one learned longest
 * ago that was not seen again since.
 *
 * To know that port at a constant price, whatever the number of ports, those with the same number
 * of learned entries form a list, and rank[n] is the first with n. A count changes by one at a
 * time, so the largest number in use does too. That takes two bytes for each entry allowed, where
 * an entry itself takes 56 with its room to spare.
 */
#include "fdb_priv.h"

/*
 * Entries that get a second chance before one goes whatever it did. Each may be a cache miss or two
 * under the lock: AMD EPYC (Zen 4), 2 cores, full table of 65536, TSC cycles for an insertion that
 * evicts when all entries are busy: 0: 150, 4: 290, 8: 450, 16: 780, 32: 1400. The usual victim of
 * a flood, never seen again, costs 140 with any of them.
 */
#define SECOND_CHANCES 8

static struct fdb_list_head *list_of(struct fdb *fdb, struct fdb_slot *s)
{
	uint64_t value = atomic_load_explicit(&s->value, memory_order_relaxed);

	return &fdb->ports[fdb_value_port(value)].list[fdb_value_kind(value)];
}

static uint32_t seen(const struct fdb *fdb, uint32_t slot)
{
	struct fdb_slot *s = fdb_slot_at(fdb, slot);

	return fdb_value_seen(atomic_load_explicit(&s->value, memory_order_relaxed));
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

static void change_count(struct fdb *fdb, struct fdb_list_head *list, struct fdb_slot *s, int by)
{
	uint64_t value = atomic_load_explicit(&s->value, memory_order_relaxed);
	uint16_t port = fdb_value_port(value);

	if (fdb_value_kind(value) == FDB_LEARNED)
		rank_leave(fdb, port, count_of(list));
	fdb_count_by(&list->count, by);
	if (fdb_value_kind(value) == FDB_LEARNED)
		rank_enter(fdb, port, count_of(list));
}

static void append(struct fdb *fdb, struct fdb_list_head *list, uint32_t slot)
{
	fdb->links[slot] = (struct fdb_link){
		.prev = list->last,
		.next = FDB_SLOT_NONE,
		.queued_s = seen(fdb, slot),
	};
	if (list->last != FDB_SLOT_NONE)
		fdb->links[list->last].next = slot;
	else
		list->first = slot;
	list->last = slot;
}

static void detach(struct fdb *fdb, struct fdb_list_head *list, uint32_t slot)
{
	struct fdb_link link = fdb->links[slot];

	if (link.prev != FDB_SLOT_NONE)
		fdb->links[link.prev].next = link.next;
	else
		list->first = link.next;
	if (link.next != FDB_SLOT_NONE)
		fdb->links[link.next].prev = link.prev;
	else
		list->last = link.prev;
}

void fdb_ports_add(struct fdb *fdb, struct fdb_slot *s)
{
	struct fdb_list_head *list = list_of(fdb, s);

	append(fdb, list, fdb_slot_number(fdb, s));
	change_count(fdb, list, s, 1);
}

void fdb_ports_remove(struct fdb *fdb, struct fdb_slot *s)
{
	struct fdb_list_head *list = list_of(fdb, s);

	detach(fdb, list, fdb_slot_number(fdb, s));
	change_count(fdb, list, s, -1);
}

void fdb_ports_replace(struct fdb *fdb, struct fdb_slot *from, struct fdb_slot *to)
{
	struct fdb_list_head *list = list_of(fdb, to);
	uint32_t slot = fdb_slot_number(fdb, to);
	struct fdb_link link = fdb->links[fdb_slot_number(fdb, from)];

	fdb->links[slot] = link;
	if (link.prev != FDB_SLOT_NONE)
		fdb->links[link.prev].next = slot;
	else
		list->first = slot;
	if (link.next != FDB_SLOT_NONE)
		fdb->links[link.next].prev = slot;
	else
		list->last = slot;
}

/*
 * The first of the longest list, but one that was seen again since it was queued goes to the end
 * instead: stations that talk outlive what a flood invented before or after them.
 */
struct fdb_slot *fdb_ports_victim(struct fdb *fdb)
{
	struct fdb_list_head *list;

	if (!fdb->most)
		return NULL;
	list = &fdb->ports[fdb->rank[fdb->most]].list[FDB_LEARNED];
	for (unsigned i = 0; i < SECOND_CHANCES; i++) {
		uint32_t slot = list->first;

		if (seen(fdb, slot) == fdb->links[slot].queued_s)
			break;
		detach(fdb, list, slot);
		append(fdb, list, slot);
	}
	return fdb_slot_at(fdb, list->first);
}
