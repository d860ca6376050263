/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Inside of the forwarding database; nothing outside lib/fdb but a unit test includes it.
 *
 *	fdb.c         make, look up, list: the readers, no lock
 *	fdb_learn.c   put in, move, evict, take out: the writers, under the lock
 *	fdb_ports.c   who has how many entries, and which of them goes first: under the lock
 *	fdb_sweep.c   age and flush, in steps
 *
 * An entry in a word
 * ------------------
 * A slot says
 *	bits 62..63	what it is: free (0), an entry in its first bucket (2) or in its second (3)
 *	bits 16..61	the rest of the key's hash: what the number of its first bucket does not say
 *	bits  6..15	the port
 *	bits  0..5	the stamp: that the entry is static, or when its station was seen last
 * and is 0 when it is free. The bits above the port's are the tag: with the bucket they stand in, they
 * say which key it is. fdb_hash is laid out so that its upper bits are the tag of an entry in its first
 * bucket, and the distance of an entry's two buckets follows from the rest alone, so that the way back
 * from the second to the first is known, too.
 *
 * Whoever looks for a key compares by exclusive or: of the slot with the right tag it leaves port and
 * stamp, of every other one something larger. The least of eight is the answer.
 *
 * What makes a lock-free reader safe
 * ----------------------------------
 * It reads an entry with one load, and the writers (one at a time, by the lock) write it with one
 * store. So it sees a whole entry or none.
 *
 * An entry seldom changes slots (fdb_learn.c, relocate). The copy is published, then `relocations`
 * grows (release), then the original is cleared (release). A reader that missed an entry in both
 * places has either seen it cleared (acquire), so that it now sees a `relocations` it did not see
 * before it began, and looks again, or has seen that `relocations` before it began, and then also
 * the copy.
 *
 * When a station was seen
 * -----------------------
 * The second itself stands beside the table, in seen_s. The stamp is that second modulo 62, so
 * that whoever hears the station again learns from the slot alone that this second is known already.
 * fdb_age, which sees all entries every few seconds, stamps those FDB_OLD that are silent for longer
 * than FDB_OLD_S, before their stamps look new again. Were it late, a frame that comes exactly 62
 * seconds after the one before would not be noted; the next one of another second is.
 *
 * A refresh takes no lock. It moves seen_s forward, never back, and then the stamp, by
 * compare-exchange of the whole slot. That fails when the slot is another key's by now, or its
 * station has moved; all that is left then is a later second in seen_s, which makes that one younger
 * and means nothing when it is static.
 */
#include <stdatomic.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "fdb.h"

/* Entries of a bucket: a cache line, so that one miss settles most look-ups. */
#define FDB_WAYS 8

/*
 * Slots for each entry allowed, before rounding up to a power of two of buckets. With 2, at the
 * limit and after 10 times as many insertions as entries, in 2^18 buckets: 3.5 % of
 * the entries stand in their second bucket, 0.12 % of the insertions have to relocate an entry, and none
 * of 10 million found no room in spite of that.
 */
#define FDB_SLOTS_PER_ENTRY 2

/* Bits of a slot, above. */
#define FDB_PORT_SHIFT 6
#define FDB_TAG_SHIFT  16
#define FDB_STAMP_MASK ((UINT64_C(1) << FDB_PORT_SHIFT) - 1)
#define FDB_TAG_MASK   (~UINT64_C(0) << FDB_TAG_SHIFT)
#define FDB_SECOND     (UINT64_C(1) << 62)

_Static_assert(
	FDB_REST_MASK == (FDB_TAG_MASK & (FDB_SECOND - 1)), "a hash and its slot share the rest");

/* The fewest buckets: their number must say what the tag leaves out of the hash. */
#define FDB_BUCKETS_MIN (1u << (FDB_TAG_SHIFT - FDB_HASH_SHIFT))

#define FDB_MAX_PORTS (1u << (FDB_TAG_SHIFT - FDB_PORT_SHIFT))

/* Stamps. From FDB_NEW_STAMP on: seconds modulo FDB_STAMPS. */
#define FDB_STATIC    0
#define FDB_OLD       1
#define FDB_NEW_STAMP 2
#define FDB_STAMPS    (FDB_STAMP_MASK + 1 - FDB_NEW_STAMP)
#define FDB_OLD_S     30

#define FDB_KEY_MASK ((UINT64_C(1) << 60) - 1)
#define FDB_MAC_MASK ((UINT64_C(1) << 48) - 1)
#define FDB_GROUP    UINT64_C(1) /* first bit on the wire: group address, broadcast too */

#define FDB_SLOT_NONE UINT32_MAX

/* Keys whose second buckets are fetched at once: a worker's burst. */
#define FDB_BULK 32

typedef _Atomic uint64_t fdb_slot;

struct fdb_bucket {
	fdb_slot slot[FDB_WAYS];
} RW_CACHE_ALIGNED;

_Static_assert(sizeof(struct fdb_bucket) == RW_CACHE_LINE, "a bucket is a cache line");

/* An entry's place in its port's list; prev and next are numbers of slots, or FDB_SLOT_NONE. */
struct fdb_link {
	uint32_t prev;
	uint32_t next;
	uint32_t queued_s; /* its seen_s when it came to the end of the list */
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
	struct fdb_places places;
	uint64_t inverse[3]; /* what undoes places.secret */
	uint32_t buckets;
	uint32_t max_entries;
	uint16_t max_ports;
	bool wide;                /* fdb_compare */
	_Atomic uint32_t *seen_s; /* by slot; written by whoever hears a station */
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
	uint32_t age_cursor; /* next slot to age */
};

/* The number of the bucket a key is put into. */
static inline uint32_t fdb_first(const struct fdb *fdb, fdb_hash hash)
{
	return (uint32_t)(fdb_distance(&fdb->places, hash) / sizeof(struct fdb_bucket));
}

/* The other bucket of a key that may stand in `bucket`; `tag`: its hash, or its slot. */
static inline uint32_t fdb_other(const struct fdb *fdb, uint32_t bucket, uint64_t tag)
{
	uint64_t distance = (uint64_t)bucket * sizeof(struct fdb_bucket);

	distance = fdb_other_distance(&fdb->places, distance, tag);
	return (uint32_t)(distance / sizeof(struct fdb_bucket));
}

/* ...and the one when that is full. */
static inline uint32_t fdb_second(const struct fdb *fdb, fdb_hash hash)
{
	return fdb_other(fdb, fdb_first(fdb, hash), hash);
}

static inline struct fdb_bucket *fdb_bucket_at(const struct fdb *fdb, uint64_t distance)
{
	return (struct fdb_bucket *)((char *)fdb->places.buckets + distance);
}

static inline struct fdb_bucket *fdb_first_bucket(const struct fdb *fdb, fdb_hash hash)
{
	return fdb_bucket_at(fdb, fdb_distance(&fdb->places, hash));
}

static inline struct fdb_bucket *fdb_second_bucket(const struct fdb *fdb, fdb_hash hash)
{
	uint64_t distance = fdb_distance(&fdb->places, hash);

	return fdb_bucket_at(fdb, fdb_other_distance(&fdb->places, distance, hash));
}

static inline fdb_slot *fdb_slot_at(const struct fdb *fdb, uint32_t slot)
{
	return &fdb->places.buckets[slot / FDB_WAYS].slot[slot % FDB_WAYS];
}

/* What is in a slot. Acquire: who misses an entry here because it was relocated sees that it was. */
static inline uint64_t fdb_read(const fdb_slot *slot)
{
	return atomic_load_explicit(slot, memory_order_acquire);
}

static inline uint16_t fdb_port_of(uint64_t entry)
{
	return entry >> FDB_PORT_SHIFT & (FDB_MAX_PORTS - 1);
}

static inline unsigned fdb_stamp_of(uint64_t entry)
{
	return entry & FDB_STAMP_MASK;
}

static inline enum fdb_kind fdb_kind_of(uint64_t entry)
{
	return fdb_stamp_of(entry) == FDB_STATIC ? FDB_PINNED : FDB_LEARNED;
}

/* Port and stamp of a station that is heard at `port` at `now_s`. */
static inline uint64_t fdb_heard(uint16_t port, uint32_t now_s)
{
	return (uint64_t)port << FDB_PORT_SHIFT | (FDB_NEW_STAMP + now_s % FDB_STAMPS);
}

static inline uint32_t fdb_seen(const struct fdb *fdb, uint32_t slot)
{
	/* Acquire: see read_slot (fdb.c). */
	return atomic_load_explicit(&fdb->seen_s[slot], memory_order_acquire);
}

/* The tags of a key's entry in its first and in its second bucket. */
static inline uint64_t fdb_first_tag(fdb_hash hash)
{
	return hash & FDB_TAG_MASK;
}

static inline uint64_t fdb_second_tag(fdb_hash hash)
{
	return (hash & FDB_TAG_MASK) | FDB_SECOND;
}

/* The key of a hash, the key of an entry in bucket number `bucket` (fdb.c). */
fdb_key fdb_key_of(const struct fdb *fdb, fdb_hash hash);
fdb_key fdb_entry_key(const struct fdb *fdb, uint32_t bucket, uint64_t entry);

/* Whether a station can have this address: neither group nor zero. */
static inline bool fdb_key_is_station(fdb_key key)
{
	return !(key & FDB_GROUP) && (key & FDB_MAC_MASK);
}

/* Whether what fdb_compare left is port and stamp, not a tag. */
static inline bool fdb_is_hit(uint64_t left)
{
	return left < UINT64_C(1) << FDB_TAG_SHIFT;
}

/* The less of `least` and what is left of a slot. */
static inline uint64_t fdb_least(uint64_t least, const fdb_slot *slot, uint64_t tag)
{
	uint64_t left = fdb_read(slot) ^ tag;

	return left < least ? left : least;
}

/*
 * Port and stamp of the entry in bucket `b` whose tag is `tag`, or something larger: fdb_is_hit. All
 * eight are compared, without a branch: which of them it is cannot be predicted. Written line by line
 * since gcc leaves a loop over the slots as it is, at twice the instructions.
 */
static inline uint64_t fdb_compare(const struct fdb_bucket *b, uint64_t tag)
{
	uint64_t least = fdb_read(&b->slot[0]) ^ tag;

	_Static_assert(FDB_WAYS == 8, "one line for each slot but the first");
	least = fdb_least(least, &b->slot[1], tag);
	least = fdb_least(least, &b->slot[2], tag);
	least = fdb_least(least, &b->slot[3], tag);
	least = fdb_least(least, &b->slot[4], tag);
	least = fdb_least(least, &b->slot[5], tag);
	least = fdb_least(least, &b->slot[6], tag);
	return fdb_least(least, &b->slot[7], tag);
}

/*
 * The same with registers of four slots each, at a third of the instructions. Each slot is read at
 * once, as no CPU that has these tears an aligned word; the two halves of the bucket are not. An entry
 * that goes from one half and is learned again in the other may be seen twice, so that here, too, the
 * least has to be the answer: what two hits have in common may be a port where the station never was.
 */
#if defined(__x86_64__)
#define FDB_WIDE __attribute__((target("avx2")))

FDB_WIDE __attribute__((no_sanitize("thread"))) static inline uint64_t fdb_compare_wide(
	const struct fdb_bucket *b, uint64_t tag)
{
	const __m256i *slots = (const __m256i *)b->slot, zero = _mm256_setzero_si256();
	__m256i tags = _mm256_set1_epi64x((long long)tag);
	__m256i left[2], other[2];
	__m128i least;

	for (unsigned i = 0; i < 2; i++) {
		left[i] = _mm256_xor_si256(_mm256_load_si256(&slots[i]), tags);
		other[i] = _mm256_cmpgt_epi64(_mm256_srli_epi64(left[i], FDB_TAG_SHIFT), zero);
		left[i] = _mm256_or_si256(left[i], other[i]);
	}
	/* What fdb_read's acquire is here: the CPU keeps loads in order, and so must the compiler. */
	atomic_signal_fence(memory_order_acquire);
	/*
	 * All ones but where the tag is the right one, and there less than 2^32: the least of the
	 * halves of words is the least of the words.
	 */
	left[0] = _mm256_min_epu32(left[0], left[1]);
	least = _mm_min_epu32(
		_mm256_castsi256_si128(left[0]), _mm256_extracti128_si256(left[0], 1));
	least = _mm_min_epu32(least, _mm_unpackhi_epi64(least, least));
	return (uint64_t)_mm_cvtsi128_si64(least);
}

static inline bool fdb_is_wide(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
#define FDB_WIDE
#define fdb_compare_wide fdb_compare

static inline bool fdb_is_wide(void)
{
	return false;
}
#endif

/* One of the two, a constant: whoever passes fdb_compare_wide is a FDB_WIDE function. */
typedef uint64_t (*fdb_compare_fn)(const struct fdb_bucket *b, uint64_t tag);

/*
 * The slot of a key and what it says; FDB_SLOT_NONE: it has none. Without the lock it may overlook
 * one that moves.
 */
uint32_t fdb_find(const struct fdb *fdb, fdb_hash hash, uint64_t *entry);

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

/* Take the entry out of its slot. Under the lock. */
void fdb_remove(struct fdb *fdb, uint32_t slot);

/*
 * The lists of a port's entries. `entry` is what the slot says; its seen_s has to be right. Under the
 * lock.
 */
void fdb_ports_init(struct fdb *fdb);
void fdb_ports_add(struct fdb *fdb, uint32_t slot, uint64_t entry);
void fdb_ports_remove(struct fdb *fdb, uint32_t slot, uint64_t entry);
/* The entry of `from` is going to be in `to`, and keeps its place in the list. */
void fdb_ports_replace(struct fdb *fdb, uint32_t from, uint32_t to, uint64_t entry);
/* The slot of the entry that should go when one has to; FDB_SLOT_NONE: there are static ones only. */
uint32_t fdb_ports_victim(struct fdb *fdb);
