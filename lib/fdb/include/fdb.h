/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The forwarding database (FDB): (domain, MAC) to next hop, learned from the source addresses of
 * frames (IEEE 802.1Q, 8.7 and 8.8). It stores numbers and knows neither ports nor frames.
 *
 * Layout: a hash table of buckets. A bucket is one cache line with three slots. A key has two
 * buckets, and its entry is in the first of them unless that was full. An entry is two words, the
 * key and the value (next hop, kind, the second in which its host was last seen), and a generation.
 * A hit in the first bucket costs one cache line.
 *
 * Readers take no lock and wait for nobody: each bucket has a version that tells a reader when a
 * slot got another key while it was reading, and the reader then reads again.
 *
 * Two known tables compared:
 * - VPP's bihash keeps keys and values inline too, in pages that grow and are copied when they
 *   split. Its reader spins while a writer holds the bucket's lock bit. Our memory is fixed from
 *   the start, and a writer that loses its CPU stops no reader.
 * - DPDK's rte_hash has two buckets for a key too, and moves entries between them to make room. Its
 *   buckets hold signatures and indices, so a hit costs at least a second line, the key's. Its
 *   lock-free readers watch one change counter for the whole table, where ours watch one for each
 *   bucket.
 * Neither of them ages entries, limits them by port, or has a secret in its hash.
 *
 * Fairness: when the table is full, a new address evicts a learned entry of the port that has most
 * of them: the one learned longest ago, but rather one whose host was not seen again since. A guest
 * that floods the table with invented addresses therefore evicts its own entries. A port with a
 * limit evicts its own entries before that. Only learned entries are ever evicted.
 *
 * Threads: lookups run anywhere. Learning a new or moved address takes the table's lock. A known
 * address only refreshes the entry's second, without the lock and at most once a second, so that
 * workers which hear the same host do not fight for the cache line. Ageing, flushing and static
 * entries belong to the control thread, which holds the same lock for a few microseconds at a time.
 * A worker that cannot get the lock for longer learns the address from a later frame.
 *
 * Time is in seconds of any monotonic clock, the same for all callers.
 */
#include "rw_base.h"

/*
 * A next hop. Numbers below max_ports are ports, which learn and have counts and limits. Numbers
 * from there on are external (a tunnel): the caller adds and deletes their entries.
 */
#define FDB_HOP_BITS 24
#define FDB_HOP_NONE ((1u << FDB_HOP_BITS) - 1)

struct fdb;

/* Domain and MAC in one word: MAC in bits 0..47, first byte on the wire lowest; domain above. */
typedef uint64_t fdb_key;

/* Of a MAC in the lower 48 bits of a word, first byte on the wire lowest. */
static inline fdb_key fdb_key_of(uint64_t mac, uint16_t domain)
{
	return (mac & UINT64_C(0xffffffffffff)) | (uint64_t)domain << 48;
}

static inline fdb_key fdb_key_make(const uint8_t mac[6], uint16_t domain)
{
	uint32_t low;
	uint16_t high;

	/* Little-endian, as all supported CPUs are. */
	__builtin_memcpy(&low, mac, sizeof(low));
	__builtin_memcpy(&high, mac + sizeof(low), sizeof(high));
	return fdb_key_of(low | (uint64_t)high << 32, domain);
}

static inline void fdb_key_mac(fdb_key key, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)(key >> (8 * i));
}

static inline uint16_t fdb_key_domain(fdb_key key)
{
	return (uint16_t)(key >> 48);
}

struct fdb_config {
	uint32_t max_entries; /* of all kinds together, 1 to 2^24 */
	uint32_t max_ports;   /* next hops below this are ports; 1 to 65536 */
	uint32_t age_s;       /* see fdb_age; 0: entries stay for ever */
	uint32_t flap_moves;  /* see fdb_flaps_take; 0: hosts move as they like */
};

/*
 * The table takes all its memory here: 50 bytes for each of max_entries rounded up to a power of
 * two, and some for each port (fdb_stats.bytes). NULL and errno: EINVAL, ENOMEM.
 */
struct fdb *fdb_new(const struct fdb_config *cfg);
void fdb_free(struct fdb *fdb);

/*
 * A burst uses the table in two steps: fdb_locate for all its keys, which hashes each key once and
 * prefetches its bucket, then fdb_learn_bulk and fdb_lookup_bulk.
 */
struct fdb_bucket;

struct fdb_query {
	fdb_key key;
	struct fdb_bucket *bucket; /* the first of the key's two */
};

/*
 * What hashes a key and finds its buckets; constant. Callers make a copy, which the compiler keeps
 * in registers.
 */
struct fdb_hasher {
	struct fdb_bucket *buckets;
	uint64_t mask; /* of the offset of a bucket, in bytes */
	uint64_t secret[3];
};

struct fdb_hasher fdb_hasher(const struct fdb *fdb); /* Thread: any */

/*
 * The upper half of a product onto the lower. By hand on x86: gcc 12 keeps 128-bit products in
 * memory, which costs 12 instructions for each frame of tests/perf "random".
 */
static inline uint64_t fdb_multiply_fold(uint64_t x, uint64_t y)
{
#if defined(__x86_64__)
	uint64_t high;

	__asm__("mulq %2" : "+a"(x), "=d"(high) : "rm"(y) : "cc");
	return x ^ high;
#else
	__extension__ unsigned __int128 product = (unsigned __int128)x * y;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
#endif
}

/*
 * Two rounds of multiply and fold with a secret of this table. A guest chooses its addresses but
 * sees no hash, so without the secret it cannot aim at a bucket. Addresses with a pattern (counting
 * up, equal low bytes) spread as random ones do; with one round they do not.
 */
static inline uint64_t fdb_hash(const uint64_t secret[3], fdb_key key)
{
	return fdb_multiply_fold(fdb_multiply_fold(key ^ secret[0], secret[1]), secret[2]);
}

/* The offset of a key's first bucket, and what it and the second one's differ by, never 0. */
static inline uint64_t fdb_offset(const struct fdb_hasher *h, uint64_t hash)
{
	return hash * RW_CACHE_LINE & h->mask;
}

static inline uint64_t fdb_distance(const struct fdb_hasher *h, uint64_t hash)
{
	return ((hash >> 32) * RW_CACHE_LINE & h->mask) | RW_CACHE_LINE;
}

/*
 * Thread: any. The result depends on the table and the key only, not on what is learned meanwhile.
 *
 * The prefetch goes to the second-level cache, and is issued key by key while frames are looked at:
 * the CPU stalls when it is asked for more lines than it can track. Intel Xeon (family 6, model
 * 167), 2 CPUs, scripts/bench --scale, 10^6 hosts, medians of interleaved rounds: 2 % (split) and
 * 6 % (packed) more frames than with the first level, 4 % and 3 % more than in a loop of its own.
 * With 16000 hosts and with 2 the level makes no difference.
 */
static inline struct fdb_query fdb_locate(const struct fdb_hasher *h, fdb_key key)
{
	char *bucket = (char *)h->buckets + fdb_offset(h, fdb_hash(h->secret, key));

	__builtin_prefetch(bucket, 0, 2);
	return (struct fdb_query){.key = key, .bucket = (struct fdb_bucket *)bucket};
}

/* The next hop of each of `n` keys, or FDB_HOP_NONE. Thread: any. */
void fdb_lookup_bulk(
	const struct fdb *fdb, const struct fdb_query *queries, uint32_t *hops, unsigned n);
uint32_t fdb_lookup(const struct fdb *fdb, fdb_key key);

enum fdb_learned {
	FDB_KNOWN,   /* the entry says so already; it may have been refreshed */
	FDB_NEW,     /* inserted */
	FDB_MOVED,   /* was behind another next hop */
	FDB_EVICTED, /* inserted, and an older entry had to go */
	FDB_HELD,    /* the host flaps: its entry stays where it is for now */
	FDB_REFUSED, /* a static entry says otherwise, or this cannot be learned here */
	FDB_BUSY,    /* others held the lock for too long; the host's next frame will do */
	FDB_EXCESS,  /* the port is strict, and has as many as it may */
};

/*
 * A frame with source `key` came in at `port` at `now_s`. Group and zero addresses are refused, and
 * all addresses at a port that does not learn. Thread: any.
 */
enum fdb_learned fdb_learn(struct fdb *fdb, fdb_key key, uint32_t port, uint32_t now_s);

/* How it became known that a host is behind a port. Its later frames do not change that. */
enum fdb_how {
	FDB_BY_FRAME,     /* a frame from it came in there */
	FDB_BY_RARP,      /* its front-end announced it (SEND_RARP) */
	FDB_BY_SETTING,   /* the port is configured for this address alone */
	FDB_BY_MIGRATION, /* the state that came with a migrated guest has it */
	FDB_BY_FILE,      /* the process before knew it */
	FDB_HOWS
};

/* As fdb_learn, for another reason than a frame. */
enum fdb_learned fdb_learn_by(
	struct fdb *fdb, fdb_key key, uint32_t port, uint32_t now_s, enum fdb_how how);

/* As fdb_learn for each of `n` keys; known ones may be treated before others. Thread: any. */
void fdb_learn_bulk(struct fdb *fdb, const struct fdb_query *queries, unsigned n, uint32_t port,
	uint32_t now_s);

/*
 * What fdb_learn would do with `key` now, and does not. An entry that would have to go because both
 * buckets of the key are full is not named. Thread: control.
 */
struct fdb_outlook {
	enum fdb_learned what;
	uint32_t hop; /* where the host would be then; FDB_HOP_NONE: nowhere */
	fdb_key gone; /* whose entry would make room; 0: nobody's */
};
struct fdb_outlook fdb_would_learn(struct fdb *fdb, fdb_key key, uint32_t port, uint32_t now_s);

/*
 * Whether addresses are learned at a port; at first they are. Entries that a port learned before
 * stay until they age. Thread: control.
 */
void fdb_set_learning(struct fdb *fdb, uint32_t port, bool on);

/*
 * At most `max` learned entries at a port (0: no limit of its own). The port's next address then
 * evicts one of its own. Entries in excess go at once. Thread: control.
 */
void fdb_set_limit(struct fdb *fdb, uint32_t port, uint32_t max);

/*
 * Whether a port with a limit is strict: at first none is. Beyond its limit a strict port learns no
 * address and keeps those that it has. Thread: control.
 */
void fdb_set_strict(struct fdb *fdb, uint32_t port, bool on);

/*
 * Hosts that flap. An address that moves between next hops flap_moves times within FDB_FLAP_S goes
 * back to where it was before these moves, and stays there for FDB_HOLD_S, wherever frames from it
 * come from. So a loop does not carry hosts away, and moves cost no worker the table's lock
 * meanwhile. Copy out up to `n` hosts whose hold began since the last call, and return how many.
 * Thread: control.
 */
#define FDB_FLAP_S 10
#define FDB_HOLD_S 10

struct fdb_flap {
	fdb_key key;
	uint32_t home; /* the next hop that holds it */
	uint32_t away; /* the next hop at which it was seen last */
};

uint32_t fdb_flaps_take(struct fdb *fdb, struct fdb_flap *out, uint32_t n);

/*
 * What is learned and what moves, for whoever watches. At most FDB_CHANGES of them wait; those
 * beyond are counted. Nobody watches at first, and then they cost nothing. Thread: control.
 */
#define FDB_CHANGES 512

struct fdb_change {
	fdb_key key;
	uint32_t hop;
	uint32_t from; /* the next hop before; FDB_HOP_NONE: the host is new */
	enum fdb_how how;
};

/* Watch, or do so no longer; what waits is forgotten. */
void fdb_watch(struct fdb *fdb, bool on);
/*
 * Take up to `n` changes, the oldest first, and return how many. `*lost`: how many found no room
 * since the last call.
 */
uint32_t fdb_changes_take(struct fdb *fdb, struct fdb_change *out, uint32_t n, uint64_t *lost);

enum fdb_kind {
	FDB_LEARNED = 1, /* from a frame: ages, moves, can be evicted and flushed */
	FDB_STATIC,      /* at a port: stays until it is deleted or its port goes away */
	FDB_EXTERNAL,    /* at an external next hop: stays until it is deleted or its host moves */
};

/*
 * Add an entry at a port or at an external next hop. It takes the place of a learned or external
 * entry; a static one at another next hop is replaced only with `replace`.
 * 0; -EINVAL: group or zero address; -EEXIST: a static entry names another next hop; -ENOSPC: the
 * table is full and has no learned entry to evict. Thread: control.
 */
int fdb_add_static(struct fdb *fdb, fdb_key key, uint32_t port, bool replace);
int fdb_add_external(struct fdb *fdb, fdb_key key, uint32_t hop, bool replace);
/* Remove an entry of any kind. 0 or -ENOENT. Thread: control. */
int fdb_del(struct fdb *fdb, fdb_key key);

/*
 * Remove the learned entries of `port`, or all learned ones with FDB_HOP_NONE. Returns how many.
 * What is learned meanwhile may stay. Thread: control.
 */
uint32_t fdb_flush(struct fdb *fdb, uint32_t port);
/*
 * Remove all entries of a port that goes away, static ones too, once nobody learns at it any more.
 * Returns how many. Thread: control.
 */
uint32_t fdb_forget_port(struct fdb *fdb, uint32_t port);
/*
 * Remove all entries of a domain, so that its number can be given out again. Nothing is learned in
 * it meanwhile. Returns how many. Thread: control.
 */
uint32_t fdb_flush_domain(struct fdb *fdb, uint16_t domain);

/*
 * Remove learned entries not seen for more than age_s seconds. Exactly age_s stays: seconds are cut
 * off, so less time may really have passed. Call it about once a second; each call walks a quarter
 * of the table. Returns how many. Thread: control.
 */
uint32_t fdb_age(struct fdb *fdb, uint32_t now_s);
void fdb_set_age(struct fdb *fdb, uint32_t age_s); /* 0: never */

struct fdb_entry {
	fdb_key key;
	uint32_t hop;
	enum fdb_kind kind;
	uint32_t generation; /* how often its next hop has changed, modulo 2^28; 0 when it is new */
	enum fdb_how how;    /* of a learned entry */
	uint32_t last_seen_s; /* 0 unless the entry is learned */
};

/*
 * Copy out up to `n` entries from position `*cursor` on (0: the beginning) and move it; it is
 * FDB_CURSOR_END after the last. Returns how many were copied, which may be 0: a call looks at
 * 65536 slots at most. Each entry is whole. While others learn, an entry that comes, goes or is
 * moved to make room for another may be missed or copied twice. Takes the lock for one entry at a
 * time. Thread: control.
 */
#define FDB_CURSOR_END UINT32_MAX
uint32_t fdb_list(struct fdb *fdb, uint32_t *cursor, struct fdb_entry *out, uint32_t n);

struct fdb_stats {
	uint32_t entries; /* now, of all kinds */
	uint32_t max_entries;
	uint64_t learned; /* since the start */
	uint64_t moved;
	uint64_t flaps; /* times that a host was held */
	uint64_t evicted;
	uint64_t aged;
	size_t bytes; /* of memory, all that fdb_new took */
};
void fdb_get_stats(const struct fdb *fdb, struct fdb_stats *out);
/* Entries at `port` now, learned and static. */
uint32_t fdb_count(const struct fdb *fdb, uint32_t port);

struct fdb_port_stats {
	uint32_t learned;  /* entries now */
	uint64_t excesses; /* learned entries that made room for another at fdb_set_limit's limit */
};
void fdb_get_port_stats(const struct fdb *fdb, uint32_t port, struct fdb_port_stats *out);
