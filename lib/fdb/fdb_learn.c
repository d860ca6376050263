/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>

#include "fdb_priv.h"

/*
 * Times a worker looks whether the lock is free before it leaves the address for the next frame.
 * A pause takes 25 ns on AMD EPYC (Zen 4), 2 cores, so this is 6 us: longer than a holder needs
 * that keeps its CPU (FLUSH_CHUNK), and far shorter than one without waits to get it back.
 */
#define LOCK_TRIES 256

/* Put an entry into the free slot `s`. Steps W2 and W3. `value` has no generation yet. */
static void publish(struct fdb_slot *s, fdb_key key, uint64_t value)
{
	uint64_t old = atomic_load_explicit(&s->value, memory_order_relaxed);
	uint64_t gen = (old + (UINT64_C(1) << FDB_GEN_SHIFT)) & FDB_GEN_MASK;

	/* Pairs with R2: who sees this value sees that the key before it went. */
	atomic_store_explicit(&s->value, value | gen, memory_order_release);
	/* Pairs with R1 and R3: who sees this key sees its value. */
	atomic_store_explicit(&s->key, key | FDB_VALID, memory_order_release);
}

static void clear(struct fdb_slot *s)
{
	/* W1. Pairs with R1 and R3: who misses a relocated entry here sees `relocations` grown. */
	atomic_store_explicit(&s->key, 0, memory_order_release);
}

static uint64_t make_value(uint16_t port, enum fdb_kind kind, uint32_t now_s)
{
	if (kind == FDB_PINNED)
		return port | FDB_STATIC;
	return port | (uint64_t)now_s << 32;
}

static void put(struct fdb *fdb, struct fdb_slot *s, fdb_key key, uint64_t value)
{
	publish(s, key, value);
	fdb_ports_add(fdb, s);
	fdb_count_by(&fdb->entries, 1);
}

void fdb_remove(struct fdb *fdb, struct fdb_slot *s)
{
	fdb_ports_remove(fdb, s);
	clear(s);
	fdb_count_by(&fdb->entries, -1);
}

static void evict(struct fdb *fdb, struct fdb_slot *s)
{
	fdb_remove(fdb, s);
	fdb_count_one(&fdb->evicted);
}

/* Another value for the entry in slot `s`, which lives on: the generation stays. */
static void change(struct fdb *fdb, struct fdb_slot *s, uint64_t value)
{
	uint64_t gen = atomic_load_explicit(&s->value, memory_order_relaxed) & FDB_GEN_MASK;

	fdb_ports_remove(fdb, s);
	/* Release for R2, as in publish. A refresh meanwhile is lost here or fails there. */
	atomic_store_explicit(&s->value, value | gen, memory_order_release);
	fdb_ports_add(fdb, s);
}

static struct fdb_slot *free_slot(const struct fdb *fdb, uint32_t bucket)
{
	struct fdb_bucket *b = &fdb->buckets[bucket];

	for (unsigned i = 0; i < FDB_WAYS; i++)
		if (!atomic_load_explicit(&b->slot[i].key, memory_order_relaxed))
			return &b->slot[i];
	return NULL;
}

/* Empty a slot of full bucket `bucket` by moving its entry to the entry's other bucket, or NULL. */
static struct fdb_slot *relocate(struct fdb *fdb, uint32_t bucket)
{
	for (unsigned i = 0; i < FDB_WAYS; i++) {
		struct fdb_slot *from = &fdb->buckets[bucket].slot[i], *to;
		fdb_key key = atomic_load_explicit(&from->key, memory_order_relaxed) & ~FDB_VALID;
		uint64_t value = atomic_load_explicit(&from->value, memory_order_relaxed);
		uint64_t hash = fdb_hash(fdb, key);
		uint32_t first = fdb_first(fdb, hash);
		uint32_t n = atomic_load_explicit(&fdb->relocations, memory_order_relaxed);

		to = free_slot(fdb, first == bucket ? fdb_second(fdb, hash) : first);
		if (!to)
			continue;
		publish(to, key, value & ~FDB_GEN_MASK);
		fdb_ports_replace(fdb, from, to);
		/*
		 * Pairs with the acquire in relocations() (fdb.c): who sees this sees the copy.
		 * A refresh since `value` was read is lost; the next frame repeats it.
		 */
		atomic_store_explicit(&fdb->relocations, n + 1, memory_order_release);
		clear(from);
		return from;
	}
	return NULL;
}

/* Of the entries in two full buckets: one of the port that has most, or NULL: all are static. */
static struct fdb_slot *victim_in(struct fdb *fdb, const uint32_t bucket[2])
{
	struct fdb_slot *victim = NULL;
	uint32_t most = 0;

	for (unsigned i = 0; i < 2 * FDB_WAYS; i++) {
		struct fdb_slot *s = &fdb->buckets[bucket[i / FDB_WAYS]].slot[i % FDB_WAYS];
		uint64_t value = atomic_load_explicit(&s->value, memory_order_relaxed);
		struct fdb_port *p = &fdb->ports[fdb_value_port(value)];
		uint32_t n = atomic_load_explicit(
			&p->list[FDB_LEARNED].count, memory_order_relaxed);

		if (fdb_value_kind(value) == FDB_LEARNED && n > most) {
			victim = s;
			most = n;
		}
	}
	return victim;
}

/* A free slot for a key of this hash; NULL: nothing but static entries stands in its way. */
static struct fdb_slot *make_room(struct fdb *fdb, uint64_t hash, bool *evicted)
{
	uint32_t bucket[2] = {fdb_first(fdb, hash), fdb_second(fdb, hash)};
	struct fdb_slot *s;

	if (atomic_load_explicit(&fdb->entries, memory_order_relaxed) == fdb->max_entries) {
		s = fdb_ports_victim(fdb);
		if (!s)
			return NULL;
		evict(fdb, s);
		*evicted = true;
	}
	for (unsigned i = 0; i < 2; i++) {
		s = free_slot(fdb, bucket[i]);
		if (s)
			return s;
	}
	for (unsigned i = 0; i < 2; i++) {
		s = relocate(fdb, bucket[i]);
		if (s)
			return s;
	}
	s = victim_in(fdb, bucket);
	if (!s)
		return NULL;
	evict(fdb, s);
	*evicted = true;
	return s;
}

static bool lock_for_worker(struct fdb *fdb)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (fdb_lock_try(fdb))
			return true;
		rw_pause();
	}
	return false;
}

/* What fdb_learn does under the lock: whatever was found without it may have changed. */
static enum fdb_learned learn_locked(struct fdb *fdb, uint64_t hash, fdb_key key, uint64_t wanted)
{
	bool evicted = false;
	struct fdb_slot *s;
	uint64_t value;

	s = fdb_find(fdb, hash, key, &value);
	if (s) {
		if (fdb_value_port(value) == fdb_value_port(wanted))
			return FDB_KNOWN;
		if (fdb_value_kind(value) == FDB_PINNED)
			return FDB_REFUSED;
		change(fdb, s, wanted);
		fdb_count_one(&fdb->moved);
		return FDB_MOVED;
	}
	s = make_room(fdb, hash, &evicted);
	if (!s)
		return FDB_REFUSED;
	put(fdb, s, key, wanted);
	fdb_count_one(&fdb->learned);
	return evicted ? FDB_EVICTED : FDB_NEW;
}

static RW_NOINLINE enum fdb_learned learn_slowly(
	struct fdb *fdb, uint64_t hash, fdb_key key, uint16_t port, uint32_t now_s)
{
	enum fdb_learned what;

	assert(port < fdb->max_ports);
	if (!lock_for_worker(fdb))
		return FDB_BUSY;
	what = learn_locked(fdb, hash, key, make_value(port, FDB_LEARNED, now_s));
	fdb_unlock(fdb);
	return what;
}

/*
 * Time only moves forward: workers read the clock at slightly different moments, and would
 * else write the entry back and forth around the turn of each second.
 */
static void refresh(struct fdb_slot *s, uint64_t value, uint32_t now_s)
{
	uint64_t newer = (value & UINT32_MAX) | (uint64_t)now_s << 32;

	if (rw_likely((int32_t)(now_s - fdb_value_seen(value)) <= 0))
		return;
	/* Relaxed, and may fail: see fdb_priv.h. Then another worker was quicker, or it went. */
	atomic_compare_exchange_strong_explicit(
		&s->value, &value, newer, memory_order_relaxed, memory_order_relaxed);
}

enum fdb_learned fdb_learn(struct fdb *fdb, fdb_key key, uint16_t port, uint32_t now_s)
{
	uint64_t hash = fdb_hash(fdb, key);
	struct fdb_slot *s;
	uint64_t value;

	if (rw_unlikely(!fdb_key_is_station(key)))
		return FDB_REFUSED;
	s = fdb_find(fdb, hash, key, &value);
	if (rw_unlikely(!s))
		return learn_slowly(fdb, hash, key, port, now_s);
	if (fdb_value_kind(value) == FDB_PINNED)
		return fdb_value_port(value) == port ? FDB_KNOWN : FDB_REFUSED;
	if (rw_unlikely(fdb_value_port(value) != port))
		return learn_slowly(fdb, hash, key, port, now_s);
	refresh(s, value, now_s);
	return FDB_KNOWN;
}

/* Whether `key` is in bucket `b` and behind the port of `wanted`; its age is refreshed then. */
static inline bool learn_again(struct fdb_bucket *b, fdb_key key, uint64_t wanted)
{
	struct fdb_slot *s;
	uint64_t value;

	if (rw_unlikely(!fdb_bucket_find(b, key, &s, &value)))
		return false;
	/* Learned here, and seen within this second: most frames end here. */
	if (rw_likely(!((value ^ wanted) & ~FDB_GEN_MASK)))
		return true;
	if (fdb_value_port(value) != fdb_value_port(wanted))
		return false;
	if (fdb_value_kind(value) == FDB_LEARNED)
		refresh(s, value, fdb_value_seen(wanted));
	return true;
}

/*
 * Up to FDB_BULK keys. Those that are not in their first bucket are looked for in the second when
 * all of these are on their way. What is left to fdb_learn is rare, or costs more than its call.
 */
static void learn_burst(struct fdb *fdb, const fdb_key *keys, struct fdb_bucket *const *where,
	unsigned n, uint64_t wanted)
{
	struct fdb_bucket *second[FDB_BULK];
	fdb_key missed[FDB_BULK], last = 0;
	unsigned n_missed = 0;

	for (unsigned i = 0; i < n; i++) {
		fdb_key key = keys[i];

		if (key == last || rw_likely(learn_again(where[i], key, wanted))) {
			last = key;
			continue;
		}
		second[n_missed] = fdb_second_bucket(fdb, key);
		__builtin_prefetch(second[n_missed]);
		missed[n_missed++] = last = key;
	}
	for (unsigned i = 0; i < n_missed; i++)
		if (!learn_again(second[i], missed[i], wanted))
			fdb_learn(fdb, missed[i], fdb_value_port(wanted), fdb_value_seen(wanted));
}

void fdb_learn_bulk(struct fdb *fdb, const fdb_key *keys, struct fdb_bucket *const *where,
	unsigned n, uint16_t port, uint32_t now_s)
{
	uint64_t wanted = make_value(port, FDB_LEARNED, now_s);

	for (unsigned done = 0; done < n; done += FDB_BULK)
		learn_burst(fdb, keys + done, where + done, RW_MIN(n - done, (unsigned)FDB_BULK),
			wanted);
}

int fdb_add_static(struct fdb *fdb, fdb_key key, uint16_t port)
{
	uint64_t value, wanted = make_value(port, FDB_PINNED, 0);
	uint64_t hash = fdb_hash(fdb, key);
	bool evicted = false;
	struct fdb_slot *s;
	int err = 0;

	assert(port < fdb->max_ports);
	if (!fdb_key_is_station(key))
		return -EINVAL;
	fdb_lock(fdb);
	s = fdb_find(fdb, hash, key, &value);
	if (s) {
		change(fdb, s, wanted);
		goto unlock;
	}
	s = make_room(fdb, hash, &evicted);
	if (!s) {
		err = -ENOSPC;
		goto unlock;
	}
	put(fdb, s, key, wanted);
unlock:
	fdb_unlock(fdb);
	return err;
}

int fdb_del(struct fdb *fdb, fdb_key key)
{
	struct fdb_slot *s;
	uint64_t value;

	fdb_lock(fdb);
	s = fdb_find(fdb, fdb_hash(fdb, key), key, &value);
	if (s)
		fdb_remove(fdb, s);
	fdb_unlock(fdb);
	return s ? 0 : -ENOENT;
}
