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

static void write_slot(struct fdb *fdb, uint32_t slot, uint64_t entry)
{
	/* Release: who sees the entry sees its seen_s. */
	atomic_store_explicit(fdb_slot_at(fdb, slot), entry, memory_order_release);
}

static void write_seen(struct fdb *fdb, uint32_t slot, uint32_t now_s)
{
	/* Release: see read_slot (fdb.c). */
	atomic_store_explicit(&fdb->seen_s[slot], now_s, memory_order_release);
}

static void put(struct fdb *fdb, uint32_t slot, uint64_t entry, uint32_t now_s)
{
	write_seen(fdb, slot, now_s);
	write_slot(fdb, slot, entry);
	fdb_ports_add(fdb, slot, entry);
	fdb_count_by(&fdb->entries, 1);
}

void fdb_remove(struct fdb *fdb, uint32_t slot)
{
	fdb_ports_remove(fdb, slot, fdb_read(fdb_slot_at(fdb, slot)));
	write_slot(fdb, slot, 0);
	fdb_count_by(&fdb->entries, -1);
}

static void evict(struct fdb *fdb, uint32_t slot)
{
	fdb_remove(fdb, slot);
	fdb_count_one(&fdb->evicted);
}

/* Another port and stamp for the entry `old` in `slot`. A refresh meanwhile is lost here or fails there. */
static void change(struct fdb *fdb, uint32_t slot, uint64_t old, uint64_t wanted)
{
	uint64_t entry = (old & FDB_TAG_MASK) | wanted;

	fdb_ports_remove(fdb, slot, old);
	write_slot(fdb, slot, entry);
	fdb_ports_add(fdb, slot, entry);
}

static uint32_t free_slot(const struct fdb *fdb, uint32_t bucket)
{
	for (uint32_t slot = bucket * FDB_WAYS; slot < (bucket + 1) * FDB_WAYS; slot++)
		if (!fdb_read(fdb_slot_at(fdb, slot)))
			return slot;
	return FDB_SLOT_NONE;
}

/* Empty a slot of a full bucket by moving its entry to the entry's other bucket, or FDB_SLOT_NONE. */
static uint32_t relocate(struct fdb *fdb, uint32_t bucket)
{
	for (uint32_t from = bucket * FDB_WAYS; from < (bucket + 1) * FDB_WAYS; from++) {
		uint64_t entry = fdb_read(fdb_slot_at(fdb, from));
		uint32_t to = free_slot(fdb, fdb_other(fdb, bucket, entry));
		uint32_t n = atomic_load_explicit(&fdb->relocations, memory_order_relaxed);

		if (to == FDB_SLOT_NONE)
			continue;
		write_seen(fdb, to, fdb_seen(fdb, from));
		fdb_ports_replace(fdb, from, to, entry);
		write_slot(fdb, to, entry ^ FDB_SECOND);
		/*
		 * Pairs with the acquire in relocations() (fdb.c): who sees this sees the copy.
		 * A refresh since `entry` was read is lost; the next frame repeats it.
		 */
		atomic_store_explicit(&fdb->relocations, n + 1, memory_order_release);
		write_slot(fdb, from, 0);
		return from;
	}
	return FDB_SLOT_NONE;
}

/* Of the entries in two full buckets: one of the port that has most; FDB_SLOT_NONE: all are static. */
static uint32_t victim_in(struct fdb *fdb, const uint32_t bucket[2])
{
	uint32_t victim = FDB_SLOT_NONE;
	uint32_t most = 0;

	for (unsigned i = 0; i < 2 * FDB_WAYS; i++) {
		uint32_t slot = bucket[i / FDB_WAYS] * FDB_WAYS + i % FDB_WAYS;
		uint64_t entry = fdb_read(fdb_slot_at(fdb, slot));
		struct fdb_port *p = &fdb->ports[fdb_port_of(entry)];
		uint32_t n = atomic_load_explicit(
			&p->list[FDB_LEARNED].count, memory_order_relaxed);

		if (fdb_kind_of(entry) == FDB_LEARNED && n > most) {
			victim = slot;
			most = n;
		}
	}
	return victim;
}

/*
 * A free slot for a key of this hash, and its tag there; FDB_SLOT_NONE: nothing but static entries
 * stands in its way.
 */
static uint32_t make_room(struct fdb *fdb, fdb_hash hash, uint64_t *tag, bool *evicted)
{
	uint32_t bucket[2] = {fdb_first(fdb, hash), fdb_second(fdb, hash)};
	uint32_t slot = FDB_SLOT_NONE;

	if (atomic_load_explicit(&fdb->entries, memory_order_relaxed) == fdb->max_entries) {
		slot = fdb_ports_victim(fdb);
		if (slot == FDB_SLOT_NONE)
			return FDB_SLOT_NONE;
		evict(fdb, slot);
		*evicted = true;
		slot = FDB_SLOT_NONE;
	}
	for (unsigned i = 0; i < 2 && slot == FDB_SLOT_NONE; i++)
		slot = free_slot(fdb, bucket[i]);
	for (unsigned i = 0; i < 2 && slot == FDB_SLOT_NONE; i++)
		slot = relocate(fdb, bucket[i]);
	if (slot == FDB_SLOT_NONE) {
		slot = victim_in(fdb, bucket);
		if (slot == FDB_SLOT_NONE)
			return FDB_SLOT_NONE;
		evict(fdb, slot);
		*evicted = true;
	}
	*tag = slot / FDB_WAYS == bucket[0] ? fdb_first_tag(hash) : fdb_second_tag(hash);
	return slot;
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

/* What learning does under the lock: whatever was found without it may have changed. */
static enum fdb_learned learn_locked(struct fdb *fdb, fdb_hash hash, uint16_t port, uint32_t now_s)
{
	uint64_t entry, tag, heard = fdb_heard(port, now_s);
	uint32_t slot = fdb_find(fdb, hash, &entry);
	bool evicted = false;

	if (slot != FDB_SLOT_NONE) {
		if (fdb_port_of(entry) == port)
			return FDB_KNOWN;
		if (fdb_kind_of(entry) == FDB_PINNED)
			return FDB_REFUSED;
		write_seen(fdb, slot, now_s);
		change(fdb, slot, entry, heard);
		fdb_count_one(&fdb->moved);
		return FDB_MOVED;
	}
	slot = make_room(fdb, hash, &tag, &evicted);
	if (slot == FDB_SLOT_NONE)
		return FDB_REFUSED;
	put(fdb, slot, tag | heard, now_s);
	fdb_count_one(&fdb->learned);
	return evicted ? FDB_EVICTED : FDB_NEW;
}

static RW_NOINLINE enum fdb_learned learn_slowly(
	struct fdb *fdb, fdb_hash hash, uint16_t port, uint32_t now_s)
{
	enum fdb_learned what;

	assert(port < fdb->max_ports);
	if (!lock_for_worker(fdb))
		return FDB_BUSY;
	what = learn_locked(fdb, hash, port, now_s);
	fdb_unlock(fdb);
	return what;
}

/*
 * The station of `entry`, in `slot`, spoke at `now_s`. See fdb_priv.h. Time only moves forward: workers
 * read the clock at slightly different moments, and would else write the entry back and forth around
 * the turn of each second.
 */
static void refresh(struct fdb *fdb, uint32_t slot, uint64_t entry, uint32_t now_s)
{
	uint64_t fresh = (entry & FDB_TAG_MASK) | fdb_heard(fdb_port_of(entry), now_s);
	uint32_t seen_s = fdb_seen(fdb, slot);

	if ((int32_t)(now_s - seen_s) <= 0 ||
		!atomic_compare_exchange_strong_explicit(&fdb->seen_s[slot], &seen_s, now_s,
			memory_order_release, memory_order_relaxed))
		return;
	/*
	 * Release: relocate must not copy the stamp without the second. It may fail: the entry went, or
	 * fdb_age was here; the stamp is then set by a later frame.
	 */
	atomic_compare_exchange_strong_explicit(
		fdb_slot_at(fdb, slot), &entry, fresh, memory_order_release, memory_order_relaxed);
}

static enum fdb_learned learn_hash(struct fdb *fdb, fdb_hash hash, uint16_t port, uint32_t now_s)
{
	uint64_t entry;
	uint32_t slot;

	if (rw_unlikely(!fdb_key_is_station(fdb_key_of(fdb, hash))))
		return FDB_REFUSED;
	slot = fdb_find(fdb, hash, &entry);
	if (rw_unlikely(slot == FDB_SLOT_NONE))
		return learn_slowly(fdb, hash, port, now_s);
	if (fdb_kind_of(entry) == FDB_PINNED)
		return fdb_port_of(entry) == port ? FDB_KNOWN : FDB_REFUSED;
	if (rw_unlikely(fdb_port_of(entry) != port))
		return learn_slowly(fdb, hash, port, now_s);
	refresh(fdb, slot, entry, now_s);
	return FDB_KNOWN;
}

enum fdb_learned fdb_learn(struct fdb *fdb, fdb_key key, uint16_t port, uint32_t now_s)
{
	return learn_hash(fdb, fdb_hash_with(fdb->places.secret, key), port, now_s);
}

/* A burst's entries whose stamp says another second than now. */
struct stale {
	unsigned n;
	uint32_t slot[FDB_BULK];
	uint64_t tag[FDB_BULK];
};

/* The entry of `tag` in bucket `b` is one. When it was seen is being fetched. */
static inline void stale_add(
	const struct fdb *fdb, struct stale *stale, const struct fdb_bucket *b, uint64_t tag)
{
	for (unsigned i = 0; i < FDB_WAYS; i++) {
		uint32_t slot = (uint32_t)(&b->slot[i] - fdb_slot_at(fdb, 0));

		if (!fdb_is_hit(fdb_read(&b->slot[i]) ^ tag))
			continue;
		__builtin_prefetch(&fdb->seen_s[slot], 1);
		stale->slot[stale->n] = slot;
		stale->tag[stale->n++] = tag;
		return;
	}
}

static RW_NOINLINE void stale_refresh(struct fdb *fdb, const struct stale *stale, uint32_t now_s)
{
	for (unsigned i = 0; i < stale->n; i++) {
		uint64_t entry = fdb_read(fdb_slot_at(fdb, stale->slot[i]));

		if (fdb_is_hit(entry ^ stale->tag[i]) && fdb_kind_of(entry) == FDB_LEARNED)
			refresh(fdb, stale->slot[i], entry, now_s);
	}
}

/* Whether the key of `tag` is in bucket `b` and behind the port of `heard`. */
RW_ALWAYS_INLINE bool learn_again(const struct fdb *fdb, const struct fdb_bucket *b, uint64_t tag,
	uint64_t heard, struct stale *stale, fdb_compare_fn compare)
{
	uint64_t left = compare(b, tag);

	/* Learned here, and seen within this second: most frames end here. */
	if (rw_likely(left == heard))
		return true;
	if (left >> FDB_PORT_SHIFT != heard >> FDB_PORT_SHIFT)
		return false;
	if (fdb_kind_of(left) == FDB_LEARNED)
		stale_add(fdb, stale, b, tag);
	return true;
}

/*
 * Up to FDB_BULK keys. Those that are not in their first bucket are looked for in the second when
 * all of these are on their way. What is left to learn_hash is rare, or costs more than its call; it
 * comes last, since it may move entries that are still to be refreshed.
 */
RW_ALWAYS_INLINE void learn_burst(struct fdb *fdb, const fdb_hash *hashes, unsigned n,
	uint16_t port, uint32_t now_s, fdb_compare_fn compare)
{
	uint64_t heard = fdb_heard(port, now_s);
	struct fdb_bucket *second[FDB_BULK];
	fdb_hash missed[FDB_BULK], last = 0;
	unsigned n_missed = 0, n_unknown = 0;
	struct stale stale;

	stale.n = 0;
	for (unsigned i = 0; i < n; i++) {
		fdb_hash hash = hashes[i];

		if (hash == last ||
			rw_likely(learn_again(fdb, fdb_first_bucket(fdb, hash), fdb_first_tag(hash),
				heard, &stale, compare))) {
			last = hash;
			continue;
		}
		second[n_missed] = fdb_second_bucket(fdb, hash);
		__builtin_prefetch(second[n_missed]);
		missed[n_missed++] = last = hash;
	}
	for (unsigned i = 0; i < n_missed; i++)
		if (!learn_again(fdb, second[i], fdb_second_tag(missed[i]), heard, &stale, compare))
			missed[n_unknown++] = missed[i];
	if (stale.n)
		stale_refresh(fdb, &stale, now_s);
	for (unsigned i = 0; i < n_unknown; i++)
		learn_hash(fdb, missed[i], port, now_s);
}

static void learn_usual(
	struct fdb *fdb, const fdb_hash *hashes, unsigned n, uint16_t port, uint32_t now_s)
{
	learn_burst(fdb, hashes, n, port, now_s, fdb_compare);
}

FDB_WIDE static void learn_wide(
	struct fdb *fdb, const fdb_hash *hashes, unsigned n, uint16_t port, uint32_t now_s)
{
	learn_burst(fdb, hashes, n, port, now_s, fdb_compare_wide);
}

void fdb_learn_bulk(
	struct fdb *fdb, const fdb_hash *hashes, unsigned n, uint16_t port, uint32_t now_s)
{
	void (*const burst)(struct fdb *, const fdb_hash *, unsigned, uint16_t, uint32_t) =
		fdb->wide ? learn_wide : learn_usual;

	for (unsigned done = 0; done < n; done += FDB_BULK)
		burst(fdb, hashes + done, RW_MIN(n - done, (unsigned)FDB_BULK), port, now_s);
}

int fdb_add_static(struct fdb *fdb, fdb_key key, uint16_t port)
{
	fdb_hash hash = fdb_hash_with(fdb->places.secret, key);
	uint64_t entry, tag, wanted = (uint64_t)port << FDB_PORT_SHIFT | FDB_STATIC;
	bool evicted = false;
	uint32_t slot;
	int err = 0;

	assert(port < fdb->max_ports);
	if (!fdb_key_is_station(key))
		return -EINVAL;
	fdb_lock(fdb);
	slot = fdb_find(fdb, hash, &entry);
	if (slot != FDB_SLOT_NONE) {
		change(fdb, slot, entry, wanted);
		goto unlock;
	}
	slot = make_room(fdb, hash, &tag, &evicted);
	if (slot == FDB_SLOT_NONE) {
		err = -ENOSPC;
		goto unlock;
	}
	put(fdb, slot, tag | wanted, 0);
unlock:
	fdb_unlock(fdb);
	return err;
}

int fdb_del(struct fdb *fdb, fdb_key key)
{
	uint64_t entry;
	uint32_t slot;

	fdb_lock(fdb);
	slot = fdb_find(fdb, fdb_hash_with(fdb->places.secret, key), &entry);
	if (slot != FDB_SLOT_NONE)
		fdb_remove(fdb, slot);
	fdb_unlock(fdb);
	return slot != FDB_SLOT_NONE ? 0 : -ENOENT;
}
