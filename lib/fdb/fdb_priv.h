/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Inside of the forwarding database:
 *
 *	fdb.c         create, look up, list: the readers, without the lock
 *	fdb_learn.c   insert, move, evict, remove: the writers, under the lock
 *	fdb_ports.c   each port's entries in the order of their eviction
 *	fdb_flush.c   age and flush
 *	fdb_flap.c    hosts that move too often
 *	fdb_watch.c   what was learned and what moved, for a watcher
 *
 * How readers and writers agree
 * -----------------------------
 * A free slot has key 0 and value FDB_FREE. Under the lock, a writer
 * - inserts into a free slot: it writes the key, adds 1 to the bucket's version, writes the value;
 * - removes: it writes FDB_FREE, then key 0;
 * - changes the next hop or the kind: it writes the value.
 * A reader reads the version, the key, the value, and the version again. All stores are releases
 * and all loads but the last are acquires. So a reader that found the old key of a slot and a later
 * key's value sees a later version, and reads again. One that found a new key and the value from
 * before finds FDB_FREE, as if it had come a moment earlier. No state makes a reader wait: a writer
 * that stops half-way leaves a free slot.
 *
 * A writer moves an entry to its other bucket to make room for another: it inserts the copy, adds 1
 * to that bucket's version once more, and removes the original. A reader reads the first bucket,
 * then the second. If the entry leaves the first bucket in between, its copy is in the second
 * already. If it leaves the second, the first bucket's version has changed, and the reader begins
 * again.
 *
 * A refresh writes the last-seen second into the value without the lock, by compare-exchange: it
 * fails when a writer was there in between. Readers do not notice it, for the version stays.
 */
#include <stdatomic.h>

#include "fdb.h"
#include "rw_lock.h"

#define FDB_SLOTS 3 /* of a bucket */

struct fdb_bucket {
	_Atomic uint32_t version;       /* see above */
	uint32_t generation[FDB_SLOTS]; /* read and written under the lock */
	_Atomic uint64_t key[FDB_SLOTS];
	_Atomic uint64_t value[FDB_SLOTS];
} RW_CACHE_ALIGNED;

_Static_assert(sizeof(struct fdb_bucket) == RW_CACHE_LINE, "a bucket is a cache line");

/* A value: the next hop in bits 0..23, the kind in 24..31, the last-seen second in 32..63. */
#define FDB_FREE ((uint64_t)FDB_HOP_NONE)

static inline uint64_t fdb_value(uint32_t hop, enum fdb_kind kind, uint32_t seen_s)
{
	return (uint64_t)seen_s << 32 | (uint64_t)kind << FDB_HOP_BITS | hop;
}

static inline uint32_t fdb_hop_of(uint64_t value)
{
	return value & FDB_HOP_NONE;
}

static inline enum fdb_kind fdb_kind_of(uint64_t value)
{
	return (enum fdb_kind)(value >> FDB_HOP_BITS & 0xff);
}

static inline uint32_t fdb_seen_of(uint64_t value)
{
	return (uint32_t)(value >> 32);
}

/* Whether a host can have this address: neither group nor zero. */
static inline bool fdb_key_is_host(fdb_key key)
{
	const uint64_t group = 1, mac = (UINT64_C(1) << 48) - 1;

	return !(key & group) && (key & mac);
}

/*
 * Slots are numbered through the table: bucket number * FDB_SLOTS + index in the bucket. A list
 * links them in the order of their eviction.
 */
#define FDB_SLOT_NONE UINT32_MAX

struct fdb_link {
	uint32_t prev;
	uint32_t next;
	uint32_t queued_s; /* the entry's last-seen second when it came to the end of the list */
};

struct fdb_list {
	uint32_t first; /* the next to evict */
	uint32_t last;
	_Atomic uint32_t count; /* written under the lock, read anywhere */
};

struct fdb_port {
	struct fdb_list learned;
	struct fdb_list fixed;
	_Atomic uint32_t limit;    /* of learned entries; written under the lock */
	_Atomic uint64_t excesses; /* entries that went because of it; protected by the lock */
	atomic_bool learning;
	atomic_bool strict; /* it learns nothing beyond its limit */
};

#define FDB_DOMAIN_NONE UINT32_MAX

/* Hosts that moved lately, by hash: one for each place, and a held one keeps its place. */
#define FDB_MOVERS 256

/* Written under the lock. A worker reads `key` and `until_s` without it. */
struct fdb_mover {
	_Atomic uint64_t key;     /* 0: none */
	_Atomic uint32_t until_s; /* it is held until then */
	_Atomic bool held;
	uint32_t since_s; /* when it began to move */
	uint32_t moves;
	uint32_t home, away; /* as in struct fdb_flap */
	bool told;           /* of the hold */
};

struct fdb {
	/* Constant, but for the age. */
	struct fdb_hasher hasher;
	uint32_t n_buckets; /* a power of two */
	uint32_t max_entries;
	uint32_t max_ports;
	_Atomic uint32_t age_s;
	struct fdb_link *links; /* by slot */
	struct fdb_port *ports; /* by port */
	size_t bytes;
	uint32_t flap_moves;

	/* Its holders do a bounded piece of work, a few microseconds. */
	struct rw_spinlock lock RW_CACHE_ALIGNED;

	/* Written under the lock. */
	_Atomic uint32_t entries RW_CACHE_ALIGNED;
	_Atomic uint64_t learned;
	_Atomic uint64_t moved;
	_Atomic uint64_t flaps;
	_Atomic uint64_t evicted;
	_Atomic uint64_t aged;
	uint32_t domain_flushed; /* nothing is learned in it; FDB_DOMAIN_NONE */
	uint32_t ports_end;      /* no port from here on has ever learned */
	uint32_t largest;        /* a port, see fdb_ports_victim */
	uint32_t largest_count;

	struct fdb_mover movers[FDB_MOVERS];

	/* fdb_watch.c; under the lock as well. */
	bool watched;
	uint32_t nchanges, first_change; /* of a ring */
	uint64_t changes_lost;
	struct fdb_change changes[FDB_CHANGES];

	/* Thread: control. */
	uint32_t age_cursor; /* the next bucket to age */
};

static inline struct fdb_bucket *fdb_bucket_of(const struct fdb *fdb, uint32_t slot)
{
	return (struct fdb_bucket *)fdb->hasher.buckets + slot / FDB_SLOTS;
}

static inline fdb_key fdb_key_at(const struct fdb *fdb, uint32_t slot)
{
	return atomic_load_explicit(
		&fdb_bucket_of(fdb, slot)->key[slot % FDB_SLOTS], memory_order_acquire);
}

static inline uint64_t fdb_value_at(const struct fdb *fdb, uint32_t slot)
{
	return atomic_load_explicit(
		&fdb_bucket_of(fdb, slot)->value[slot % FDB_SLOTS], memory_order_acquire);
}

static inline uint32_t *fdb_generation_at(const struct fdb *fdb, uint32_t slot)
{
	return &fdb_bucket_of(fdb, slot)->generation[slot % FDB_SLOTS];
}

/* The word of a slot's generation: how the host was found in bits 28..31, the generation below. */
#define FDB_GENERATION_BITS 28
#define FDB_GENERATION      ((1u << FDB_GENERATION_BITS) - 1)

static inline enum fdb_how fdb_how_of(uint32_t word)
{
	return (enum fdb_how)(word >> FDB_GENERATION_BITS);
}

static inline uint32_t fdb_generation_word(uint32_t generation, enum fdb_how how)
{
	return (generation & FDB_GENERATION) | (uint32_t)how << FDB_GENERATION_BITS;
}

static inline uint32_t fdb_version(const struct fdb_bucket *b)
{
	return atomic_load_explicit(&b->version, memory_order_acquire);
}

/* The value of slot `i` if it has `key`, else `otherwise`. */
static inline uint64_t fdb_slot_match(
	const struct fdb_bucket *b, unsigned i, fdb_key key, uint64_t otherwise)
{
	bool match = atomic_load_explicit(&b->key[i], memory_order_acquire) == key;
	uint64_t value = atomic_load_explicit(&b->value[i], memory_order_acquire);

	return match ? value : otherwise;
}

/*
 * One attempt to read the value of `key` in a bucket. FDB_FREE: the bucket does not have it, or its
 * version has changed meanwhile. All slots are compared without a branch, since nothing predicts
 * which of them it is; gcc would keep a loop over them, at 12 instructions more.
 */
static inline uint64_t fdb_bucket_try(const struct fdb_bucket *b, fdb_key key)
{
	uint32_t version = fdb_version(b);
	uint64_t value = FDB_FREE;

	_Static_assert(FDB_SLOTS == 3, "one line for each slot");
	value = fdb_slot_match(b, 0, key, value);
	value = fdb_slot_match(b, 1, key, value);
	value = fdb_slot_match(b, 2, key, value);
	if (rw_unlikely(atomic_load_explicit(&b->version, memory_order_relaxed) != version))
		return FDB_FREE;
	return value;
}

/* The key's other bucket, when `b` is one of the two. */
static inline struct fdb_bucket *fdb_other_bucket(
	const struct fdb_hasher *h, const struct fdb_bucket *b, fdb_key key)
{
	uint64_t hash = fdb_hash(h->secret, key);
	uint64_t offset = (uint64_t)((const char *)b - (const char *)h->buckets);

	return (struct fdb_bucket *)((char *)h->buckets + (offset ^ fdb_distance(h, hash)));
}

/* The value of a key, its bucket and the index of its slot. FDB_FREE: there is no entry. */
uint64_t fdb_read(
	const struct fdb *fdb, const struct fdb_query *query, struct fdb_bucket **b, unsigned *i);

/* Counters that only the holder of the lock writes; readers need no order. */
static inline void fdb_count_one(_Atomic uint64_t *n)
{
	atomic_store_explicit(
		n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

static inline void fdb_count_by(_Atomic uint32_t *n, int by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + (uint32_t)by,
		memory_order_relaxed);
}

/* Remove the entry in a slot; the second also counts it as evicted. Under the lock. */
void fdb_remove(struct fdb *fdb, uint32_t slot);
void fdb_evict(struct fdb *fdb, uint32_t slot);

/*
 * The lists of a port's entries, all under the lock. An entry enters its list when its slot is
 * written, and leaves it before the slot changes. External entries are in no list.
 */
void fdb_ports_init(struct fdb *fdb);
void fdb_ports_add(struct fdb *fdb, uint32_t slot);
void fdb_ports_remove(struct fdb *fdb, uint32_t slot);
/* The entry in `from` has been copied to `to`, which takes its position in the list. */
void fdb_ports_replace(struct fdb *fdb, uint32_t from, uint32_t to);
/* The slot whose entry to evict: of one port, of the port that has most; or FDB_SLOT_NONE. */
uint32_t fdb_ports_oldest(struct fdb *fdb, uint32_t port);
uint32_t fdb_ports_victim(struct fdb *fdb);

static inline uint32_t fdb_list_count(const struct fdb_list *list)
{
	return atomic_load_explicit(&list->count, memory_order_relaxed);
}

static inline bool fdb_port_is_full(const struct fdb_port *p)
{
	return fdb_list_count(&p->learned) >= atomic_load_explicit(&p->limit, memory_order_relaxed);
}

/* Whether a port learns no other address now. Exact under the lock. Thread: any. */
static inline bool fdb_port_refuses(const struct fdb *fdb, uint32_t port)
{
	const struct fdb_port *p = &fdb->ports[port];

	return atomic_load_explicit(&p->strict, memory_order_relaxed) && fdb_port_is_full(p);
}

/*
 * A learned entry is about to move from one next hop to another. Where it goes: `to`, or its home
 * if it is held there. Under the lock.
 */
uint32_t fdb_flap_move(struct fdb *fdb, fdb_key key, uint32_t from, uint32_t to, uint32_t now_s);
/* What that would return, without a note of it. */
uint32_t fdb_flap_peek(struct fdb *fdb, fdb_key key, uint32_t from, uint32_t to, uint32_t now_s);
/* Nothing is held at `hop` any more, FDB_HOP_NONE: anywhere. Takes the lock. */
void fdb_flap_forget(struct fdb *fdb, uint32_t hop);

/* fdb_watch.c: a host is behind another next hop now. Under the lock. */
void fdb_change_note(struct fdb *fdb, const struct fdb_change *change);

static inline struct fdb_mover *fdb_mover_of(struct fdb *fdb, fdb_key key)
{
	return &fdb->movers[fdb_hash(fdb->hasher.secret, key) >> 48 & (FDB_MOVERS - 1)];
}

static inline bool fdb_mover_is_held(const struct fdb_mover *m, uint32_t now_s)
{
	return atomic_load_explicit(&m->held, memory_order_relaxed) &&
		(int32_t)(atomic_load_explicit(&m->until_s, memory_order_relaxed) - now_s) > 0;
}

/* Whether the host stays where it is. Thread: any. */
static inline bool fdb_is_held(struct fdb *fdb, fdb_key key, uint32_t now_s)
{
	const struct fdb_mover *m = fdb_mover_of(fdb, key);

	return atomic_load_explicit(&m->key, memory_order_relaxed) == key &&
		fdb_mover_is_held(m, now_s);
}
