/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "fdb_priv.h"

/* Calls of fdb_age that see the whole table once. */
#define AGE_CALLS 4

/*
 * Entries flushed with the lock held. AMD EPYC (Zen 4), 2 cores: 15 ns each in a table of 65536,
 * 160 ns in one of 10^6 where each is a cache miss or two; 5 us at most, which LOCK_TRIES outlasts.
 */
#define FLUSH_CHUNK 32

/*
 * Seconds are cut off, so only after age_s + 1 of them by the clock have age_s surely passed. An
 * entry seen "later" than now_s, by a worker that read the clock after us, has no age.
 */
static bool is_expired(const struct fdb_slot *s, uint32_t now_s, uint32_t age_s)
{
	uint64_t value = atomic_load_explicit(&s->value, memory_order_relaxed);
	int64_t age = (int32_t)(now_s - fdb_value_seen(value));

	return atomic_load_explicit(&s->key, memory_order_relaxed) &&
		fdb_value_kind(value) == FDB_LEARNED && age > (int64_t)age_s;
}

/* A refresh between the test and the removal is lost; the station's next frame is then learned. */
static uint32_t age_bucket(struct fdb *fdb, struct fdb_bucket *b, uint32_t now_s, uint32_t age_s)
{
	uint32_t gone = 0;

	fdb_lock(fdb);
	for (unsigned i = 0; i < FDB_WAYS; i++) {
		if (!is_expired(&b->slot[i], now_s, age_s))
			continue;
		fdb_remove(fdb, &b->slot[i]);
		fdb_count_one(&fdb->aged);
		gone++;
	}
	fdb_unlock(fdb);
	return gone;
}

uint32_t fdb_age(struct fdb *fdb, uint32_t now_s)
{
	uint32_t age_s = atomic_load_explicit(&fdb->age_s, memory_order_relaxed);
	uint32_t share = (fdb->mask + AGE_CALLS) / AGE_CALLS;
	uint32_t gone = 0;

	if (!age_s)
		return 0;
	for (uint32_t n = 0; n < share; n++) {
		struct fdb_bucket *b = &fdb->buckets[fdb->age_cursor];
		bool any = false;

		fdb->age_cursor = (fdb->age_cursor + 1) & fdb->mask;
		/* Without the lock: a table where nothing is too old costs the workers nothing. */
		for (unsigned i = 0; i < FDB_WAYS; i++)
			any |= is_expired(&b->slot[i], now_s, age_s);
		if (any)
			gone += age_bucket(fdb, b, now_s, age_s);
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
			fdb_remove(fdb, fdb_slot_at(fdb, list->first));
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
