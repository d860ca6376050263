/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>

#include "fdb_priv.h"

/*
 * How often a worker tries the lock before it leaves the address for the next frame: the control
 * thread is not pinned, and may lose its CPU while it holds the lock. A pause takes 25 ns on AMD
 * EPYC (Zen 4), 2 cores, so this is 6 us: longer than a holder needs that keeps its CPU
 * (FLUSH_CHUNK), and far shorter than one without waits to get it back.
 */
#define LOCK_TRIES 256

/*
 * Entries that are moved in a row to make room for one. 2^18 entries in as many as fit, two slots
 * of three in use, then 10 times as many insertions as entries: 13 % of them found both buckets
 * full and moved one entry, 0.15 % moved two, none moved three or found no room.
 */
#define MOVES 3

static void version_add(struct fdb_bucket *b)
{
	atomic_store_explicit(&b->version,
		atomic_load_explicit(&b->version, memory_order_relaxed) + 1, memory_order_release);
}

static void value_write(struct fdb *fdb, uint32_t slot, uint64_t value)
{
	atomic_store_explicit(
		&fdb_bucket_of(fdb, slot)->value[slot % FDB_SLOTS], value, memory_order_release);
}

/* The order of the stores in these two is what readers rely on (fdb_priv.h). */
static void slot_fill(
	struct fdb *fdb, uint32_t slot, fdb_key key, uint64_t value, uint32_t generation)
{
	struct fdb_bucket *b = fdb_bucket_of(fdb, slot);

	*fdb_generation_at(fdb, slot) = generation;
	atomic_store_explicit(&b->key[slot % FDB_SLOTS], key, memory_order_release);
	version_add(b);
	value_write(fdb, slot, value);
}

static void slot_clear(struct fdb *fdb, uint32_t slot)
{
	value_write(fdb, slot, FDB_FREE);
	atomic_store_explicit(
		&fdb_bucket_of(fdb, slot)->key[slot % FDB_SLOTS], 0, memory_order_release);
}

static void insert(struct fdb *fdb, uint32_t slot, fdb_key key, uint64_t value, enum fdb_how how)
{
	slot_fill(fdb, slot, key, value, fdb_generation_word(0, how));
	fdb_ports_add(fdb, slot);
	fdb_count_by(&fdb->entries, 1);
}

void fdb_remove(struct fdb *fdb, uint32_t slot)
{
	fdb_ports_remove(fdb, slot);
	slot_clear(fdb, slot);
	fdb_count_by(&fdb->entries, -1);
}

void fdb_evict(struct fdb *fdb, uint32_t slot)
{
	fdb_remove(fdb, slot);
	fdb_count_one(&fdb->evicted);
}

/* Give the entry in a slot another next hop, another kind, or both. */
static void change(struct fdb *fdb, uint32_t slot, uint64_t value, enum fdb_how how)
{
	uint32_t *generation = fdb_generation_at(fdb, slot);
	bool moves = fdb_hop_of(fdb_value_at(fdb, slot)) != fdb_hop_of(value);

	*generation = fdb_generation_word(*generation + moves, how);
	fdb_ports_remove(fdb, slot);
	value_write(fdb, slot, value);
	fdb_ports_add(fdb, slot);
}

static uint32_t bucket_number(const struct fdb *fdb, const struct fdb_bucket *b)
{
	return (uint32_t)(b - fdb->hasher.buckets);
}

/* The slot of a key, under the lock. */
static uint32_t find(const struct fdb *fdb, const struct fdb_query *query)
{
	struct fdb_bucket *b;
	unsigned i;

	if (fdb_read(fdb, query, &b, &i) == FDB_FREE)
		return FDB_SLOT_NONE;
	return bucket_number(fdb, b) * FDB_SLOTS + i;
}

/*
 * A refresh that comes between the reads and the writes is lost; the host's next frame repeats it.
 */
static void move_entry(struct fdb *fdb, uint32_t from, uint32_t to)
{
	slot_fill(fdb, to, fdb_key_at(fdb, from), fdb_value_at(fdb, from),
		*fdb_generation_at(fdb, from));
	/* Pairs with the last load in fdb_read: a reader that finds neither copy sees this. */
	version_add(fdb_bucket_of(fdb, to));
	fdb_ports_replace(fdb, from, to);
	slot_clear(fdb, from);
}

/*
 * A free slot of a bucket, after up to `moves` moves, each of an entry to its other bucket. Entries
 * of a domain that is being flushed stay where the flush will find them. With three moves at most,
 * the search cannot come back to an entry that is waiting for a slot.
 */
static uint32_t free_slot(struct fdb *fdb, uint32_t bucket, unsigned moves)
{
	uint32_t first = bucket * FDB_SLOTS;

	for (uint32_t slot = first; slot < first + FDB_SLOTS; slot++)
		if (!fdb_key_at(fdb, slot))
			return slot;
	for (uint32_t slot = first; moves && slot < first + FDB_SLOTS; slot++) {
		fdb_key key = fdb_key_at(fdb, slot);
		uint32_t to;

		if (fdb_key_domain(key) == fdb->domain_flushed)
			continue;
		to = free_slot(fdb,
			bucket_number(
				fdb, fdb_other_bucket(&fdb->hasher, fdb_bucket_of(fdb, slot), key)),
			moves - 1);
		if (to != FDB_SLOT_NONE) {
			move_entry(fdb, slot, to);
			return slot;
		}
	}
	return FDB_SLOT_NONE;
}

/* Of the entries in two full buckets, a learned one of the port that has most. */
static uint32_t victim_in(const struct fdb *fdb, const uint32_t bucket[2])
{
	uint32_t victim = FDB_SLOT_NONE;
	uint32_t most = 0;

	for (unsigned i = 0; i < 2 * FDB_SLOTS; i++) {
		uint32_t slot = bucket[i / FDB_SLOTS] * FDB_SLOTS + i % FDB_SLOTS;
		uint64_t value = fdb_value_at(fdb, slot);
		uint32_t n;

		if (fdb_kind_of(value) != FDB_LEARNED)
			continue;
		n = fdb_list_count(&fdb->ports[fdb_hop_of(value)].learned);
		if (n > most) {
			victim = slot;
			most = n;
		}
	}
	return victim;
}

/* A free slot for a key; FDB_SLOT_NONE: no learned entry could be evicted for it. */
static uint32_t make_room(struct fdb *fdb, const struct fdb_query *query, bool *evicted)
{
	const uint32_t bucket[2] = {bucket_number(fdb, query->bucket),
		bucket_number(fdb, fdb_other_bucket(&fdb->hasher, query->bucket, query->key))};
	uint32_t slot;

	if (atomic_load_explicit(&fdb->entries, memory_order_relaxed) == fdb->max_entries) {
		slot = fdb_ports_victim(fdb);
		if (slot == FDB_SLOT_NONE)
			return FDB_SLOT_NONE;
		fdb_evict(fdb, slot);
		*evicted = true;
	}
	for (unsigned moves = 0; moves <= MOVES; moves++) {
		for (unsigned i = 0; i < 2; i++) {
			slot = free_slot(fdb, bucket[i], moves);
			if (slot != FDB_SLOT_NONE)
				return slot;
		}
	}
	slot = victim_in(fdb, bucket);
	if (slot != FDB_SLOT_NONE) {
		fdb_evict(fdb, slot);
		*evicted = true;
	}
	return slot;
}

/* A port at its own limit evicts one of its own entries before it gets another. */
static bool limit_enforce(struct fdb *fdb, uint32_t port)
{
	struct fdb_port *p = &fdb->ports[port];

	if (!fdb_port_is_full(p))
		return false;
	fdb_evict(fdb, fdb_ports_oldest(fdb, port));
	fdb_count_one(&p->excesses);
	return true;
}

/* The host of a learned or external entry was seen at another port. */
static enum fdb_learned move_host(
	struct fdb *fdb, uint32_t slot, uint32_t port, uint32_t now_s, enum fdb_how how)
{
	uint64_t value = fdb_value_at(fdb, slot);
	uint32_t to = port;

	if (fdb_kind_of(value) == FDB_LEARNED)
		to = fdb_flap_move(fdb, fdb_key_at(fdb, slot), fdb_hop_of(value), port, now_s);
	if (to == fdb_hop_of(value))
		return FDB_HELD;
	if (fdb_port_refuses(fdb, to))
		return to == port ? FDB_EXCESS : FDB_HELD;
	limit_enforce(fdb, to);
	change(fdb, slot, fdb_value(to, FDB_LEARNED, now_s), how);
	fdb_count_one(&fdb->moved);
	if (rw_unlikely(fdb->watched))
		fdb_change_note(fdb,
			&(struct fdb_change){.key = fdb_key_at(fdb, slot),
				.hop = to,
				.from = fdb_hop_of(value),
				.how = how});
	return to == port ? FDB_MOVED : FDB_HELD;
}

/* What was found without the lock may have changed. */
static enum fdb_learned learn_locked(struct fdb *fdb, const struct fdb_query *query, uint32_t port,
	uint32_t now_s, enum fdb_how how)
{
	uint32_t slot = find(fdb, query);
	bool evicted;

	if (slot != FDB_SLOT_NONE) {
		uint64_t value = fdb_value_at(fdb, slot);

		if (fdb_hop_of(value) == port)
			return FDB_KNOWN;
		if (fdb_kind_of(value) == FDB_STATIC)
			return FDB_REFUSED;
		return move_host(fdb, slot, port, now_s, how);
	}
	if (fdb_key_domain(query->key) == fdb->domain_flushed)
		return FDB_REFUSED;
	if (fdb_port_refuses(fdb, port))
		return FDB_EXCESS;
	evicted = limit_enforce(fdb, port);
	slot = make_room(fdb, query, &evicted);
	if (slot == FDB_SLOT_NONE)
		return FDB_REFUSED;
	insert(fdb, slot, query->key, fdb_value(port, FDB_LEARNED, now_s), how);
	fdb_count_one(&fdb->learned);
	if (rw_unlikely(fdb->watched))
		fdb_change_note(fdb,
			&(struct fdb_change){
				.key = query->key, .hop = port, .from = FDB_HOP_NONE, .how = how});
	return evicted ? FDB_EVICTED : FDB_NEW;
}

static bool lock_for_worker(struct fdb *fdb)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (rw_spin_trylock(&fdb->lock))
			return true;
		rw_pause();
	}
	return false;
}

/*
 * Write `now_s` into the learned entry of `key` with `value` in a bucket. Seconds only move
 * forward: workers read the clock at slightly different moments, and would otherwise write back and
 * forth around the turn of each second.
 */
static void refresh(struct fdb_bucket *b, fdb_key key, uint64_t value, uint32_t now_s)
{
	uint64_t fresh = fdb_value(fdb_hop_of(value), FDB_LEARNED, now_s);

	if ((int32_t)(now_s - fdb_seen_of(value)) <= 0)
		return;
	for (unsigned i = 0; i < FDB_SLOTS; i++)
		if (atomic_load_explicit(&b->key[i], memory_order_relaxed) == key)
			atomic_compare_exchange_strong_explicit(&b->value[i], &value, fresh,
				memory_order_release, memory_order_relaxed);
}

static RW_NOINLINE enum fdb_learned learn_one(struct fdb *fdb, const struct fdb_query *query,
	uint32_t port, uint32_t now_s, enum fdb_how how)
{
	enum fdb_learned what;
	struct fdb_bucket *b;
	uint64_t value;
	unsigned i;

	if (!fdb_key_is_host(query->key))
		return FDB_REFUSED;
	value = fdb_read(fdb, query, &b, &i);
	if (fdb_kind_of(value) == FDB_LEARNED && fdb_hop_of(value) == port) {
		refresh(b, query->key, value, now_s);
		return FDB_KNOWN;
	}
	if (fdb_kind_of(value) == FDB_STATIC)
		return fdb_hop_of(value) == port ? FDB_KNOWN : FDB_REFUSED;
	if (value != FDB_FREE && fdb->flap_moves && fdb_is_held(fdb, query->key, now_s))
		return FDB_HELD;
	/* Frames with invented addresses cost no worker the lock. */
	if (fdb_port_refuses(fdb, port))
		return FDB_EXCESS;
	if (!lock_for_worker(fdb))
		return FDB_BUSY;
	what = learn_locked(fdb, query, port, now_s, how);
	rw_spin_unlock(&fdb->lock);
	return what;
}

static bool learns(const struct fdb *fdb, uint32_t port)
{
	assert(port < fdb->max_ports);
	return atomic_load_explicit(&fdb->ports[port].learning, memory_order_relaxed);
}

enum fdb_learned fdb_learn_by(
	struct fdb *fdb, fdb_key key, uint32_t port, uint32_t now_s, enum fdb_how how)
{
	const struct fdb_query query = fdb_locate(&fdb->hasher, key);

	return learns(fdb, port) ? learn_one(fdb, &query, port, now_s, how) : FDB_REFUSED;
}

enum fdb_learned fdb_learn(struct fdb *fdb, fdb_key key, uint32_t port, uint32_t now_s)
{
	return fdb_learn_by(fdb, key, port, now_s, FDB_BY_FRAME);
}

/* The key of the entry that a port's next one would take the place of; 0: none. */
static fdb_key would_go(struct fdb *fdb, uint32_t port)
{
	return fdb_port_is_full(&fdb->ports[port]) ? fdb_key_at(fdb, fdb_ports_oldest(fdb, port))
						   : 0;
}

/* The same as learn_locked and move_host decide, in their order. */
static struct fdb_outlook outlook_moved(
	struct fdb *fdb, uint32_t slot, uint32_t port, uint32_t now_s)
{
	uint64_t value = fdb_value_at(fdb, slot);
	struct fdb_outlook out = {.what = FDB_HELD, .hop = fdb_hop_of(value)};
	uint32_t to = port;

	if (fdb_kind_of(value) == FDB_LEARNED)
		to = fdb_flap_peek(fdb, fdb_key_at(fdb, slot), out.hop, port, now_s);
	if (to == out.hop)
		return out;
	if (fdb_port_refuses(fdb, to)) {
		out.what = to == port ? FDB_EXCESS : FDB_HELD;
		return out;
	}
	return (struct fdb_outlook){
		.what = to == port ? FDB_MOVED : FDB_HELD, .hop = to, .gone = would_go(fdb, to)};
}

static struct fdb_outlook outlook_new(struct fdb *fdb, fdb_key key, uint32_t port)
{
	struct fdb_outlook out = {.what = FDB_REFUSED, .hop = FDB_HOP_NONE};
	uint32_t victim;

	if (fdb_key_domain(key) == fdb->domain_flushed)
		return out;
	if (fdb_port_refuses(fdb, port)) {
		out.what = FDB_EXCESS;
		return out;
	}
	out = (struct fdb_outlook){.what = FDB_NEW, .hop = port, .gone = would_go(fdb, port)};
	if (!out.gone &&
		atomic_load_explicit(&fdb->entries, memory_order_relaxed) == fdb->max_entries) {
		victim = fdb_ports_victim(fdb);
		if (victim == FDB_SLOT_NONE)
			return (struct fdb_outlook){.what = FDB_REFUSED, .hop = FDB_HOP_NONE};
		out.gone = fdb_key_at(fdb, victim);
	}
	if (out.gone)
		out.what = FDB_EVICTED;
	return out;
}

static struct fdb_outlook outlook_locked(
	struct fdb *fdb, const struct fdb_query *query, uint32_t port, uint32_t now_s)
{
	uint32_t slot = find(fdb, query);
	struct fdb_outlook out = {.what = FDB_KNOWN, .hop = port};
	uint64_t value;

	if (slot == FDB_SLOT_NONE)
		return outlook_new(fdb, query->key, port);
	value = fdb_value_at(fdb, slot);
	if (fdb_hop_of(value) == port)
		return out;
	if (fdb_kind_of(value) != FDB_STATIC)
		return outlook_moved(fdb, slot, port, now_s);
	return (struct fdb_outlook){.what = FDB_REFUSED, .hop = fdb_hop_of(value)};
}

struct fdb_outlook fdb_would_learn(struct fdb *fdb, fdb_key key, uint32_t port, uint32_t now_s)
{
	const struct fdb_query query = fdb_locate(&fdb->hasher, key);
	struct fdb_outlook out = {.what = FDB_REFUSED, .hop = FDB_HOP_NONE};

	if (!fdb_key_is_host(key))
		return out;
	if (!learns(fdb, port)) {
		out.hop = fdb_lookup(fdb, key);
		return out;
	}
	rw_spin_lock(&fdb->lock);
	out = outlook_locked(fdb, &query, port, now_s);
	rw_spin_unlock(&fdb->lock);
	return out;
}

/*
 * Up to BULK keys. Most are in their first bucket, learned at this port and seen within this
 * second: nothing is written. The others wait until all second buckets are prefetched.
 */
#define BULK 32

static void learn_burst(
	struct fdb *fdb, const struct fdb_query *queries, unsigned n, uint32_t port, uint32_t now_s)
{
	const uint64_t known = fdb_value(port, FDB_LEARNED, now_s);
	uint8_t missed[BULK];
	unsigned n_missed = 0;
	fdb_key last = 0;

	for (unsigned k = 0; k < n; k++) {
		const struct fdb_query query = queries[k];
		uint64_t value;

		if (query.key == last)
			continue;
		last = query.key;
		value = fdb_bucket_try(query.bucket, query.key);
		if (rw_likely(value == known))
			continue;
		/* The lower halves: learned at this port, but not seen within this second. */
		if ((uint32_t)value == (uint32_t)known) {
			refresh(query.bucket, query.key, value, now_s);
			continue;
		}
		__builtin_prefetch(fdb_other_bucket(&fdb->hasher, query.bucket, query.key));
		missed[n_missed++] = (uint8_t)k;
	}
	for (unsigned m = 0; m < n_missed; m++)
		learn_one(fdb, &queries[missed[m]], port, now_s, FDB_BY_FRAME);
}

void fdb_learn_bulk(
	struct fdb *fdb, const struct fdb_query *queries, unsigned n, uint32_t port, uint32_t now_s)
{
	if (!learns(fdb, port))
		return;
	for (unsigned done = 0; done < n; done += BULK)
		learn_burst(fdb, queries + done, RW_MIN(n - done, (unsigned)BULK), port, now_s);
}

static int add(struct fdb *fdb, fdb_key key, uint32_t hop, enum fdb_kind kind, bool replace)
{
	const struct fdb_query query = fdb_locate(&fdb->hasher, key);
	bool evicted = false;
	uint32_t slot;
	int ret = 0;

	if (!fdb_key_is_host(key))
		return -EINVAL;
	rw_spin_lock(&fdb->lock);
	slot = find(fdb, &query);
	if (slot != FDB_SLOT_NONE) {
		uint64_t value = fdb_value_at(fdb, slot);

		if (fdb_kind_of(value) == FDB_STATIC && fdb_hop_of(value) != hop && !replace)
			ret = -EEXIST;
		else
			change(fdb, slot, fdb_value(hop, kind, 0), FDB_BY_FRAME);
	} else {
		slot = make_room(fdb, &query, &evicted);
		if (slot != FDB_SLOT_NONE)
			insert(fdb, slot, key, fdb_value(hop, kind, 0), FDB_BY_FRAME);
		else
			ret = -ENOSPC;
	}
	rw_spin_unlock(&fdb->lock);
	return ret;
}

int fdb_add_static(struct fdb *fdb, fdb_key key, uint32_t port, bool replace)
{
	assert(port < fdb->max_ports);
	return add(fdb, key, port, FDB_STATIC, replace);
}

int fdb_add_external(struct fdb *fdb, fdb_key key, uint32_t hop, bool replace)
{
	assert(hop >= fdb->max_ports && hop < FDB_HOP_NONE);
	return add(fdb, key, hop, FDB_EXTERNAL, replace);
}

int fdb_del(struct fdb *fdb, fdb_key key)
{
	const struct fdb_query query = fdb_locate(&fdb->hasher, key);
	uint32_t slot;

	rw_spin_lock(&fdb->lock);
	slot = find(fdb, &query);
	if (slot != FDB_SLOT_NONE)
		fdb_remove(fdb, slot);
	rw_spin_unlock(&fdb->lock);
	return slot != FDB_SLOT_NONE ? 0 : -ENOENT;
}
