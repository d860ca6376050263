/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The forwarding database: which port a MAC address of a VLAN was last seen behind (IEEE 802.1Q,
 * 8.8, independent VLAN learning). It stores port numbers and knows no port.
 *
 * Layout: buckets of one cache line with eight entries; a key may stand in either of two buckets
 * chosen by a hash with a secret of this table. An entry is one 64-bit word, so that a reader sees a
 * whole entry or none without a lock. That a key, a port and an age have room in one word is the
 * hash's doing: it can be undone, so what the bucket's number says need not be written in it.
 *
 * Fairness: when the table is full, a new address evicts a learned entry of the port that holds
 * most of them: the one learned longest ago, but rather one that was not seen again since. A guest
 * that floods the table with invented addresses therefore evicts its own, and first the invented
 * ones. Static entries count for the limit and are never evicted.
 *
 * Threads: look-ups run anywhere and take no lock. Learning an unknown or moved address takes the
 * table's lock; a known one only refreshes the entry's age, and writes to it at most once a second,
 * so that workers which hear the same station do not fight for the cache line. Ageing, flushing and
 * static entries belong to the control thread, which holds the same lock for a few microseconds at
 * a time; a worker that meets it held for longer learns the address from a later frame.
 *
 * Time is in seconds of any monotonic clock, the same for all callers.
 */
#include "rw_base.h"

#define FDB_PORT_NONE UINT16_MAX

struct fdb;

/* (VLAN, MAC) in one word: MAC in bits 0..47 (first byte on the wire lowest), VLAN in 48..59. */
typedef uint64_t fdb_key;

static inline fdb_key fdb_key_make(const uint8_t mac[6], uint16_t vlan)
{
	uint32_t low;
	uint16_t high;

	/* Little-endian, as every host we run on. */
	__builtin_memcpy(&low, mac, sizeof(low));
	__builtin_memcpy(&high, mac + sizeof(low), sizeof(high));
	return low | (uint64_t)high << 32 | (uint64_t)(vlan & 0xfff) << 48;
}

static inline void fdb_key_mac(fdb_key key, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)(key >> (8 * i));
}

static inline uint16_t fdb_key_vlan(fdb_key key)
{
	return key >> 48 & 0xfff;
}

struct fdb_config {
	uint32_t max_entries; /* learned and static ones together, 1 to 2^24 */
	uint16_t max_ports;   /* port numbers are below this; at most 1024 */
	uint32_t age_s;       /* see fdb_age; 0: entries stay for ever */
};

/*
 * Memory, all of it taken here: 50 bytes for each of max_entries rounded up to a power of two, and
 * never less than for 65536.
 */
struct fdb *fdb_new(const struct fdb_config *cfg); /* NULL and errno: EINVAL, ENOMEM */
void fdb_free(struct fdb *fdb);

/*
 * A burst's way through the table: fdb_locate for its sources and its destinations, and only then
 * fdb_learn_bulk and fdb_lookup_bulk. Each key is hashed once, and all wait for memory together.
 */

/*
 * A key in the form that its table works with: the 60 bits of the key, scrambled, from bit
 * FDB_HASH_SHIFT on, and the uppermost bit set. The number of its first bucket is the lowest of them.
 */
typedef uint64_t fdb_hash;

#define FDB_HASH_SHIFT 2

struct fdb_bucket; /* a cache line */

/*
 * What tells where a key is: constant. Callers have a copy, which stays in registers; for all the
 * compiler knows, what they store lies in the table.
 */
struct fdb_places {
	struct fdb_bucket *buckets;
	uint64_t mask; /* of the distance in bytes between them */
	uint64_t secret[3];
};

struct fdb_places fdb_places(const struct fdb *fdb); /* Thread: any */

/*
 * Fold the upper half onto the lower, and two rounds of multiply, modulo 2^60, and fold. Each step can be
 * undone (fdb_key_of, lib/fdb/fdb.c), so no two keys share a hash. A guest picks its addresses, but
 * sees neither hashes nor buckets, so without the secret it cannot aim at one bucket; patterns
 * (counting up, equal low bytes) spread as random addresses do. A cipher would be needed only if
 * guests were shown hashes.
 *
 * secret[1] is an odd number times 16: from there on the 60 bits are the upper ones of the word, and
 * what a multiplication carries over them is lost by itself.
 */
static inline fdb_hash fdb_hash_with(const uint64_t secret[3], fdb_key key)
{
	uint64_t x = key ^ secret[0];

	x = (x ^ x >> 30) * secret[1];
	x = ((x ^ x >> 30) & ~UINT64_C(15)) * secret[2];
	return (x ^ x >> 30) >> (4 - FDB_HASH_SHIFT) | UINT64_C(1) << 63;
}

/* Where a key's bucket is: bytes from the first one of the table. */
static inline uint64_t fdb_distance(const struct fdb_places *places, fdb_hash hash)
{
	_Static_assert(RW_CACHE_LINE == 64, "the shift makes lines of the number");
	return hash << (6 - FDB_HASH_SHIFT) & places->mask;
}

/* What a hash and the slot of its key have in common: the bits of a key that its bucket does not tell. */
#define FDB_REST_MASK (((UINT64_C(1) << 62) - 1) & ~UINT64_C(0xffff))

/* Where a key's other bucket is, for when the one at `distance` is full; and back from there. */
static inline uint64_t fdb_other_distance(
	const struct fdb_places *places, uint64_t distance, uint64_t hash_or_slot)
{
	/* 2^64 divided by the golden ratio; from bit 40 on the product depends on most of the bits. */
	uint64_t mixed = (hash_or_slot & FDB_REST_MASK) * UINT64_C(0x9e3779b97f4a7c15);

	return distance ^ ((mixed >> (40 - 6) & places->mask) | RW_CACHE_LINE);
}

/*
 * The key's hash; its bucket is being fetched. Both depend on the table and the key only, never on
 * what is learned meanwhile. Thread: any.
 *
 * Into the cache of the second level only, and key by key as frames are looked at rather than in a
 * loop of its own: the CPU stands still while it is asked for more lines than it can keep track of.
 * Intel Xeon (family 6, model 167), 2 CPUs, scripts/bench --scale, 10^6 stations, medians of rounds
 * taken in turn: 2 % (split) and 6 % (packed) more frames than into the first level, and 4 % and 3 %
 * more than in a loop of its own. With 16000 stations and with 2 the level makes no difference.
 */
static inline fdb_hash fdb_locate(const struct fdb_places *places, fdb_key key)
{
	fdb_hash hash = fdb_hash_with(places->secret, key);

	__builtin_prefetch((char *)places->buckets + fdb_distance(places, hash), 0, 2);
	return hash;
}

/*
 * Look up `n` keys by what fdb_locate said; out[i] is the port or FDB_PORT_NONE. As fdb_lookup for
 * each. Thread: any.
 */
void fdb_lookup_bulk(const struct fdb *fdb, const fdb_hash *hashes, uint16_t *out, unsigned n);
uint16_t fdb_lookup(const struct fdb *fdb, fdb_key key);

/* What fdb_learn did; counted by the caller when it matters. */
enum fdb_learned {
	FDB_KNOWN,   /* nothing to do, or the age was refreshed */
	FDB_NEW,     /* inserted */
	FDB_MOVED,   /* was behind another port */
	FDB_EVICTED, /* inserted, and an older entry had to go */
	FDB_REFUSED, /* a static entry says otherwise, or the address cannot be learned */
	FDB_BUSY,    /* others held the lock for too long; the station's next frame will do */
};

/*
 * A frame with source `key` came in at `port` at `now_s`. Group, zero and broadcast addresses are
 * refused. Thread: any.
 */
enum fdb_learned fdb_learn(struct fdb *fdb, fdb_key key, uint16_t port, uint32_t now_s);

/*
 * As fdb_learn for each of `n` keys by what fdb_locate said; known ones may come before others.
 * Thread: any.
 */
void fdb_learn_bulk(
	struct fdb *fdb, const fdb_hash *hashes, unsigned n, uint16_t port, uint32_t now_s);

/*
 * A static entry: never ages, never moves, survives fdb_flush. Replaces a learned one, and an older
 * static one. 0; -EINVAL: group or zero address; -ENOSPC: there is no learned entry to evict.
 * Thread: control.
 */
int fdb_add_static(struct fdb *fdb, fdb_key key, uint16_t port);
/* 0 or -ENOENT. Removes a static or a learned entry. Thread: control. */
int fdb_del(struct fdb *fdb, fdb_key key);

/*
 * Remove the learned entries (of `port`, or of all with FDB_PORT_NONE). How many went. What is
 * learned meanwhile may stay. Thread: control.
 */
uint32_t fdb_flush(struct fdb *fdb, uint16_t port);
/*
 * Remove every entry of a port that goes away, static ones too, once nobody learns at it any more.
 * How many went. Thread: control.
 */
uint32_t fdb_forget_port(struct fdb *fdb, uint16_t port);

/*
 * Drop what was not seen for more than age_s seconds: exactly age_s still stays, since seconds are
 * cut off and less time may really have passed. Call it about once a second; each call looks at a
 * quarter of the table, four calls at all of it. How many went. Thread: control.
 */
uint32_t fdb_age(struct fdb *fdb, uint32_t now_s);

/* Change the ageing time (seconds; 0: never). */
void fdb_set_age(struct fdb *fdb, uint32_t age_s);

struct fdb_entry {
	fdb_key key;
	uint16_t port;
	bool is_static;
	uint32_t last_seen_s; /* 0 for a static entry */
};

/*
 * Copy out up to `n` entries from position `*cursor` (0 to begin), which moves on; it is
 * FDB_CURSOR_END when all were seen (the last call may have none to add). How many were copied.
 * Each entry copied is whole; while others learn, entries that come and go may be missed, and one
 * that was moved to make room for another may be missed or seen twice. Takes no lock.
 * Thread: any.
 */
#define FDB_CURSOR_END UINT32_MAX
uint32_t fdb_list(const struct fdb *fdb, uint32_t *cursor, struct fdb_entry *out, uint32_t n);

struct fdb_stats {
	uint32_t entries;     /* now, static ones included */
	uint32_t max_entries; /* limit */
	uint64_t learned;     /* since the start */
	uint64_t moved;
	uint64_t evicted;
	uint64_t aged;
};
void fdb_get_stats(const struct fdb *fdb, struct fdb_stats *out);
/* Entries behind `port` now. */
uint32_t fdb_count(const struct fdb *fdb, uint16_t port);
