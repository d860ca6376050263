/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>

#include "fdb_priv.h"

/* Calls of fdb_age that walk the whole table once; divides the number of buckets. */
#define AGE_CALLS 4

/*
 * Entries flushed with the lock held. Intel Xeon (family 6, model 167), 2 CPUs: 25 ns each in a
 * table of 65536, 170 ns in one of 10^6 where each is a cache miss or two; 5 us at most, which a
 * worker's LOCK_TRIES outlast.
 */
#define FLUSH_CHUNK 32

/*
 * Seconds are cut off, so only after age_s + 1 of them by the clock have age_s surely passed. An
 * entry seen "later" than now_s, by a worker that read the clock after us, has no age.
 */
static bool is_expired(const struct fdb *fdb, uint32_t slot, uint32_t now_s, uint32_t age_s)
{
	uint64_t value = fdb_value_at(fdb, slot);

	return fdb_kind_of(value) == FDB_LEARNED &&
		(int64_t)(int32_t)(now_s - fdb_seen_of(value)) > (int64_t)age_s;
}

/* A refresh between the test and the removal is lost; the host's next frame is then learned. */
static bool expire(struct fdb *fdb, uint32_t slot, uint32_t now_s, uint32_t age_s)
{
	bool gone;

	rw_spin_lock(&fdb->lock);
	gone = is_expired(fdb, slot, now_s, age_s);
	if (gone) {
		fdb_remove(fdb, slot);
		fdb_count_one(&fdb->aged);
	}
	rw_spin_unlock(&fdb->lock);
	return gone;
}

uint32_t fdb_age(struct fdb *fdb, uint32_t now_s)
{
	uint32_t age_s = atomic_load_explicit(&fdb->age_s, memory_order_relaxed);
	uint32_t first = fdb->age_cursor * FDB_SLOTS;
	uint32_t share = fdb->n_buckets / AGE_CALLS;
	uint32_t gone = 0;

	fdb->age_cursor = (fdb->age_cursor + share) & (fdb->n_buckets - 1);
	if (!age_s)
		return 0;
	/* The lock is taken for what is too old only, so it costs the workers nothing else. */
	for (uint32_t slot = first; slot < first + share * FDB_SLOTS; slot++)
		if (is_expired(fdb, slot, now_s, age_s))
			gone += expire(fdb, slot, now_s, age_s);
	return gone;
}

void fdb_set_age(struct fdb *fdb, uint32_t age_s)
{
	atomic_store_explicit(&fdb->age_s, age_s, memory_order_relaxed);
}

/*
 * As many as there are now: new entries go to the end of the list, so a port that learns as fast as
 * it is flushed does not keep us here.
 */
static uint32_t flush_list(struct fdb *fdb, struct fdb_list *list)
{
	uint32_t left = fdb_list_count(list);
	uint32_t gone = 0;

	while (left) {
		uint32_t chunk = RW_MIN(left, (uint32_t)FLUSH_CHUNK);

		left -= chunk;
		rw_spin_lock(&fdb->lock);
		for (; chunk && list->first != FDB_SLOT_NONE; chunk--) {
			fdb_remove(fdb, list->first);
			gone++;
		}
		rw_spin_unlock(&fdb->lock);
	}
	return gone;
}

uint32_t fdb_flush(struct fdb *fdb, uint32_t port)
{
	uint32_t gone = 0;

	fdb_flap_forget(fdb, port);
	if (port != FDB_HOP_NONE) {
		assert(port < fdb->max_ports);
		return flush_list(fdb, &fdb->ports[port].learned);
	}
	for (uint32_t i = 0; i < fdb->max_ports; i++)
		gone += flush_list(fdb, &fdb->ports[i].learned);
	return gone;
}

uint32_t fdb_forget_port(struct fdb *fdb, uint32_t port)
{
	assert(port < fdb->max_ports);
	fdb_flap_forget(fdb, port);
	atomic_store_explicit(&fdb->ports[port].excesses, 0, memory_order_relaxed);
	return flush_list(fdb, &fdb->ports[port].learned) +
		flush_list(fdb, &fdb->ports[port].fixed);
}

/* From here on, nothing of the domain is inserted or moved. */
static void domain_begin(struct fdb *fdb, uint32_t domain)
{
	rw_spin_lock(&fdb->lock);
	fdb->domain_flushed = domain;
	rw_spin_unlock(&fdb->lock);
}

uint32_t fdb_flush_domain(struct fdb *fdb, uint16_t domain)
{
	uint32_t gone = 0;

	domain_begin(fdb, domain);
	for (uint32_t slot = 0; slot < fdb->n_buckets * FDB_SLOTS; slot++) {
		fdb_key key = fdb_key_at(fdb, slot);

		if (!key || fdb_key_domain(key) != domain)
			continue;
		rw_spin_lock(&fdb->lock);
		key = fdb_key_at(fdb, slot);
		if (key && fdb_key_domain(key) == domain) {
			fdb_remove(fdb, slot);
			gone++;
		}
		rw_spin_unlock(&fdb->lock);
	}
	domain_begin(fdb, FDB_DOMAIN_NONE);
	return gone;
}
