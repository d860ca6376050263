/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "fdb_priv.h"

/* Calls of fdb_age that see the whole table once. */
#define AGE_CALLS 4

/*
 * Entries flushed with the lock held. Intel Xeon (family 6, model 167), 2 CPUs: 25 ns each in a table of
 * 65536, 170 ns in one of 10^6 where each is a cache miss or two; 5 us at most, which LOCK_TRIES outlasts.
 */
#define FLUSH_CHUNK 32

/*
 * Seconds since the station of the learned entry in `slot` spoke. One seen "later" than now_s, by a
 * worker that read the clock after us, has no age.
 */
static int64_t silence(const struct fdb *fdb, uint32_t slot, uint32_t now_s)
{
	return (int32_t)(now_s - fdb_seen(fdb, slot));
}

/* Seconds are cut off, so only after age_s + 1 of them by the clock have age_s surely passed. */
static bool is_expired(const struct fdb *fdb, uint32_t slot, uint32_t now_s, uint32_t age_s)
{
	return age_s && silence(fdb, slot, now_s) > (int64_t)age_s;
}

/* A refresh between the test and the removal is lost; the station's next frame is then learned. */
static bool expire(struct fdb *fdb, uint32_t slot, uint32_t now_s, uint32_t age_s)
{
	uint64_t entry;
	bool gone;

	fdb_lock(fdb);
	entry = fdb_read(fdb_slot_at(fdb, slot));
	gone = entry && fdb_kind_of(entry) == FDB_LEARNED && is_expired(fdb, slot, now_s, age_s);
	if (gone) {
		fdb_remove(fdb, slot);
		fdb_count_one(&fdb->aged);
	}
	fdb_unlock(fdb);
	return gone;
}

/* Let the next frame of an old entry's station refresh it, whatever second it comes in. */
static void stamp_old(struct fdb *fdb, uint32_t slot, uint64_t entry)
{
	uint64_t old = (entry & ~FDB_STAMP_MASK) | FDB_OLD;

	/* Relaxed: as a read-modify-write it carries on the release sequence of what wrote the entry. */
	if (fdb_stamp_of(entry) != FDB_OLD)
		atomic_compare_exchange_strong_explicit(fdb_slot_at(fdb, slot), &entry, old,
			memory_order_relaxed, memory_order_relaxed);
}

uint32_t fdb_age(struct fdb *fdb, uint32_t now_s)
{
	uint32_t age_s = atomic_load_explicit(&fdb->age_s, memory_order_relaxed);
	uint32_t slots = fdb->buckets * FDB_WAYS;
	uint32_t share = slots / AGE_CALLS;
	uint32_t gone = 0;

	for (uint32_t n = 0; n < share; n++) {
		uint32_t slot = fdb->age_cursor;
		uint64_t entry = fdb_read(fdb_slot_at(fdb, slot));

		fdb->age_cursor = (slot + 1) & (slots - 1);
		if (!entry || fdb_kind_of(entry) == FDB_PINNED)
			continue;
		/* Without the lock: a table where nothing is too old costs the workers nothing. */
		if (is_expired(fdb, slot, now_s, age_s))
			gone += expire(fdb, slot, now_s, age_s);
		else if (silence(fdb, slot, now_s) > FDB_OLD_S)
			stamp_old(fdb, slot, entry);
	}
	return gone;
}

void fdb_set_age(struct fdb *fdb, uint32_t age_s)
{
	atomic_store_explicit(&fdb->age_s, age_s, memory_order_relaxed);
}

/*
 * As many as there are now: new entries go to the end of the list, and a port that learns as fast
 * as it is flushed does not keep us here.
 */
static uint32_t flush_list(struct fdb *fdb, struct fdb_list_head *list)
{
	uint32_t left = atomic_load_explicit(&list->count, memory_order_relaxed);
	uint32_t gone = 0;

	while (left) {
		uint32_t chunk = RW_MIN(left, (uint32_t)FLUSH_CHUNK);

		left -= chunk;
		fdb_lock(fdb);
		for (; chunk && list->first != FDB_SLOT_NONE; chunk--) {
			fdb_remove(fdb, list->first);
			gone++;
		}
		fdb_unlock(fdb);
	}
	return gone;
}

uint32_t fdb_flush(struct fdb *fdb, uint16_t port)
{
	uint32_t gone = 0;

	if (port != FDB_PORT_NONE) {
		assert(port < fdb->max_ports);
		return flush_list(fdb, &fdb->ports[port].list[FDB_LEARNED]);
	}
	for (unsigned i = 0; i < fdb->max_ports; i++)
		gone += flush_list(fdb, &fdb->ports[i].list[FDB_LEARNED]);
	return gone;
}

uint32_t fdb_forget_port(struct fdb *fdb, uint16_t port)
{
	assert(port < fdb->max_ports);
	return flush_list(fdb, &fdb->ports[port].list[FDB_LEARNED]) +
		flush_list(fdb, &fdb->ports[port].list[FDB_PINNED]);
}
