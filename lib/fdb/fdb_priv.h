/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Inside of the forwarding database; nothing outside lib/fdb includes it.
 *
 *	fdb.c         make, look up, list: the readers, no lock
 *	fdb_learn.c   put in, move, evict, take out: the writers, under the lock
 *	fdb_ports.c   who has how many entries, and which of them goes first: under the lock
 *	fdb_sweep.c   age and flush, in steps
 *
 * What makes a lock-free reader safe
 * ----------------------------------
 * A slot is reused for other keys, so a reader must not pair the key of one life with the value of
 * another. The value carries a generation that grows each time the slot is taken into use. To fill
 * a slot, the writer (one at a time, by the lock)
 *	W1 has cleared the key at some time before,
 *	W2 stores the value with the next generation (release),
 *	W3 stores the key (release),
 * and to empty it W1 clears the key (release). The reader
 *	R1 chooses the slot: which of the others has the key (acquire), and if none does, the first,
 *	R2 loads the value (acquire),
 *	R3 loads the key (acquire), which has to be the one it looks for,
 *	R4 loads the value again (acquire) and compares generations.
 * R3 pairs with W3: who sees the key of a life sees, in R4, the value of that life or of a later
 * one; R2's is of the same as R4's. R2 pairs with W2: who sees the value of a later life no longer
 * sees, in R3, the key of an earlier one. So both are of one life. What is left is a slot that goes
 * through exactly 2^15 lives between two loads of one reader. R1 pairs with W3, too: an entry that
 * stands in its slot is not missed because R2 came too early; in the first slot that can happen
 * while the entry is being put there.
 *
 * An entry seldom changes slots (fdb_learn.c, relocate). The copy is published, then `relocations`
 * grows (release), then the original is cleared (release). A reader that missed an entry in both
 * places has either seen it cleared, so that it now sees a `relocations` it did not see before it
 * began, and looks again, or has seen that `relocations` before it began, and then also the copy.
 *
 * A refresh is a relaxed compare-exchange of the value: as a read-modify-write it carries on the
 * release sequence of W2, so R2 pairs with W2 through it. It fails when the slot has a new life or
 * the station has moved; in a slot that was only just emptied it changes nothing that is read.
 */
#include <stdatomic.h>

#include "fdb.h"

/* Entries of a bucket: a cache line, so that one miss settles most look-ups. */
#define FDB_WAYS 4

/*
 * Slots for each entry allowed, before rounding up to a power of two of buckets. With 2, at the
 * limit and after 10 times as many insertions as entries, in 2^18 buckets (simulated): 12 % of the
 * entries stand in their second bucket, 1.5 % of the insertions have to relocate an entry, and of
 * 5 million none found all ten buckets around it full (of 6 million in 32 buckets: one). With 4 it
 * would be 1.6 %, 0.03 % and none, for twice the memory. Taking the emptier bucket instead of the
 * first with room makes relocation 8 times as rare, but then 36 % cost a second cache miss.
 */
#define FDB_SLOTS_PER_ENTRY 2

/* Key word: the key, and this bit when the slot is in use. A free slot's key word is 0. */
#define FDB_VALID (UINT64_C(1) << 63)

/* Value word: port in bits 0..15, static in 16, generation in 17..31, last seen in 32..63. */
#define FDB_STATIC    (UINT64_C(1) << 16)
#define FDB_GEN_SHIFT 17
#define FDB_GEN_MASK  (UINT64_C(0x7fff) << FDB_GEN_SHIFT)

#define FDB_MAC_MASK ((UINT64_C(1) << 48) - 1)
#define FDB_GROUP    UINT64_C(1) /* first bit on the wire: group address, broadcast too */

#define FDB_SLOT_NONE UINT32_MAX

/*
 * Keys whose second buckets are fetched at once: a worker's burst. AMD EPYC (Zen 4), 2 cores, random
 * known keys, first buckets fetched for as many at once, best of three runs, TSC cycles (2.6 GHz)
 * for a key:
 *
 *	entries            2   1000   65536   10^6
 *	single            11     12      19     88
 *	FDB_BULK  4       11     13      15     68
 *	FDB_BULK  8       11     12      14     60
 *	FDB_BULK 16       11     12      13     42
 *	FDB_BULK 32       11     12      13     40
 *	FDB_BULK 64       11     12      13     40
 *
 * With 10^6 the table lies in memory; these runs differ by 20 %.
 */
#define FDB_BULK 32

struct fdb_slot {
	_Atomic uint64_t key;
	_Atomic uint64_t value;
};

struct fdb_bucket {
	struct fdb_slot slot[FDB_WAYS];
} RW_CACHE_ALIGNED;

_Static_assert(sizeof(struct fdb_bucket) == RW_CACHE_LINE, "a bucket is a cache line");

/* A slot's place in its list; prev and next are numbers of slots, or FDB_SLOT_NONE. */
struct fdb_link {
	uint32_t prev;
	uint32_t next;
	uint32_t queued_s; /* last_seen when the entry came to the end of the list */
};

struct fdb_list_head {
	uint32_t first; /* the next to go */
	uint32_t last;
	_Atomic uint32_t count; /* written under the lock, read anywhere */
};

enum fdb_kind { FDB_LEARNED, FDB_PINNED };

struct fdb_port {
	struct fdb_list_head list[2]; /* by enum fdb_kind */
	uint16_t rank_prev;           /* ports with as many learned entries */
	uint16_t rank_next;
};

struct fdb {
	/* Constant, but for the age. */
	struct fdb_bucket *buckets;
	uint32_t mask; /* buckets - 1 */
	uint32_t max_entries;
	struct fdb_secret secret;
	uint16_t max_ports;
	_Atomic uint32_t age_s;

	/* Read by every look-up, so not beside what insertions write. */
	_Atomic uint32_t relocations RW_CACHE_ALIGNED;

	atomic_bool locked RW_CACHE_ALIGNED;

	/* Written under the lock. */
	_Atomic uint32_t entries RW_CACHE_ALIGNED;
	_Atomic uint64_t learned;
	_Atomic uint64_t moved;
	_Atomic uint64_t evicted;
	_Atomic uint64_t aged;
	struct fdb_link *links; /* by slot */
	struct fdb_port *ports; /* by port */
	uint16_t *rank;         /* by number of learned entries: the first port with so many */
	uint32_t most;          /* the largest number for which there is a port; 0: no entries */

	/* Thread: control. */
	uint32_t age_cursor; /* next bucket to age */
};

static inline uint64_t fdb_hash(const struct fdb *fdb, fdb_key key)
{
	return fdb_hash_with(&fdb->secret, key);
}

/* The bucket a key of this hash is put into (fdb_locate), and the one when that is full. */
static inline uint32_t fdb_first(const struct fdb *fdb, uint64_t hash)
{
	return (uint32_t)hash & fdb->mask;
}

static inline uint32_t fdb_second(const struct fdb *fdb, uint64_t hash)
{
	uint32_t first = fdb_first(fdb, hash);
	uint32_t second = (uint32_t)(hash >> 32) & fdb->mask;

	return second == first ? second ^ 1 : second;
}

static inline struct fdb_slot *fdb_slot_at(const struct fdb *fdb, uint32_t slot)
{
	return &fdb->buckets[slot / FDB_WAYS].slot[slot % FDB_WAYS];
}

static inline uint32_t fdb_slot_number(const struct fdb *fdb, const struct fdb_slot *s)
{
	return (uint32_t)(s - fdb->buckets[0].slot);
}

static inline uint64_t fdb_load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static inline uint16_t fdb_value_port(uint64_t value)
{
	return (uint16_t)value;
}

static inline enum fdb_kind fdb_value_kind(uint64_t value)
{
	return value & FDB_STATIC ? FDB_PINNED : FDB_LEARNED;
}

static inline uint32_t fdb_value_seen(uint64_t value)
{
	return value >> 32;
}

static inline bool fdb_same_life(uint64_t value, uint64_t other)
{
	return !((value ^ other) & FDB_GEN_MASK);
}

/* Where `key` is when its first bucket has no room. */
static inline struct fdb_bucket *fdb_second_bucket(const struct fdb *fdb, fdb_key key)
{
	return &fdb->buckets[fdb_second(fdb, fdb_hash(fdb, key))];
}

/* Whether a station can have this address: neither group nor zero. */
static inline bool fdb_key_is_station(fdb_key key)
{
	return !(key & FDB_GROUP) && (key & FDB_MAC_MASK);
}

static inline struct fdb_slot *fdb_choose(
	struct fdb_slot *candidate, struct fdb_slot *other, uint64_t want)
{
	bool hit = fdb_load(&candidate->key) == want;

	return __builtin_expect_with_probability(hit, 1, 0.5) ? candidate : other;
}

/*
 * Whether `key` is in bucket `b`, and then its slot and its value. Steps R1 to R4.
 *
 * Which of the four it is cannot be predicted, so three are compared and the slot selected without a
 * branch (that is what the probability asks for); R3 tells whether it is the fourth or none. AMD
 * EPYC (Zen 4), 2 cores, random keys, cycles for a key of fdb_lookup_bulk when all four were
 * compared: 11 with 2 entries and 12 with 1000; with a loop that ends at the match 8 and 28.
 * Written line by line since gcc leaves a loop over the slots as it is, at twice the instructions.
 */
static inline bool fdb_bucket_find(
	struct fdb_bucket *b, fdb_key key, struct fdb_slot **slot, uint64_t *value)
{
	struct fdb_slot *s = &b->slot[0];
	uint64_t want = key | FDB_VALID;

	_Static_assert(FDB_WAYS == 4, "one line for each slot but the first");
	s = fdb_choose(&b->slot[1], s, want);
	s = fdb_choose(&b->slot[2], s, want);
	s = fdb_choose(&b->slot[3], s, want);
	*slot = s;
	*value = fdb_load(&s->value);
	if (fdb_load(&s->key) != want)
		return false;
	return rw_likely(fdb_same_life(*value, fdb_load(&s->value)));
}

/*
 * As fdb_bucket_find, in both buckets of `key`; NULL: it is in neither. Without the lock it may
 * overlook one that moves.
 */
static inline struct fdb_slot *fdb_find(
	const struct fdb *fdb, uint64_t hash, fdb_key key, uint64_t *value)
{
	struct fdb_slot *s;

	if (fdb_bucket_find(&fdb->buckets[fdb_first(fdb, hash)], key, &s, value) ||
		fdb_bucket_find(&fdb->buckets[fdb_second(fdb, hash)], key, &s, value))
		return s;
	return NULL;
}

/*
 * The lock. Holders do a bounded piece of work, a few microseconds. A worker still does not wait
 * for as long as it takes: the control thread is not pinned, and may lose its CPU with the lock.
 */
static inline bool fdb_lock_try(struct fdb *fdb)
{
	/* Pairs with the release in fdb_unlock. */
	return !atomic_load_explicit(&fdb->locked, memory_order_relaxed) &&
		!atomic_exchange_explicit(&fdb->locked, true, memory_order_acquire);
}

static inline void fdb_lock(struct fdb *fdb)
{
	while (!fdb_lock_try(fdb))
		rw_pause();
}

static inline void fdb_unlock(struct fdb *fdb)
{
	/* Pairs with the acquire in fdb_lock_try. */
	atomic_store_explicit(&fdb->locked, false, memory_order_release);
}

/* Count up or down what only the holder of the lock writes; readers want no order. */
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

/* Take the entry out of slot `s`. Under the lock. */
void fdb_remove(struct fdb *fdb, struct fdb_slot *s);

/*
 * The lists of a port's entries. The list of a slot follows from its value, so the value has to
 * stand before fdb_ports_add and until after fdb_ports_remove. Under the lock.
 */
void fdb_ports_init(struct fdb *fdb);
void fdb_ports_add(struct fdb *fdb, struct fdb_slot *s);
void fdb_ports_remove(struct fdb *fdb, struct fdb_slot *s);
/* The entry of `from` is now in `to`, and keeps its place in the list. */
void fdb_ports_replace(struct fdb *fdb, struct fdb_slot *from, struct fdb_slot *to);
/* The entry that should go when one has to; NULL: there are static ones only. */
struct fdb_slot *fdb_ports_victim(struct fdb *fdb);
