/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <sys/random.h>

#include "fdb_priv.h"

#define MAX_ENTRIES (1u << 24)
#define MAX_PORTS   (1u << 16)

/*
 * One bucket for two entries: with three slots each, a full table uses two thirds of its slots at
 * most. 13 % of the entries are in their second bucket then, and 28 % after a flood has replaced
 * them all many times.
 */
#define ENTRIES_PER_BUCKET 2

/* In a table with few buckets, many keys can share the same two by chance. */
#define MIN_BUCKETS 64

/*
 * Slots that one call of fdb_list looks at, at most: in a large table with few entries it would
 * otherwise take the control thread for 0.1 s.
 */
#define LIST_SLOTS 65536u

/* Keys whose second buckets are prefetched together: a worker's burst. */
#define BULK 32

static uint32_t buckets_for(uint32_t max_entries)
{
	uint32_t n = MIN_BUCKETS;

	while (n * ENTRIES_PER_BUCKET < max_entries)
		n *= 2;
	return n;
}

static void *allocate(struct fdb *fdb, size_t n, size_t size)
{
	fdb->bytes += n * size;
	return rw_zalloc(n * size);
}

static int secret_init(struct fdb *fdb)
{
	uint64_t *secret = fdb->hasher.secret;

	/* Up to 256 bytes come whole or not at all (getrandom(2)). */
	if (getrandom(secret, sizeof(fdb->hasher.secret), 0) < 0)
		return -errno;
	/* Multipliers: an even one would discard bits. */
	secret[1] |= 1;
	secret[2] |= 1;
	return 0;
}

static void buckets_init(struct fdb *fdb)
{
	struct fdb_bucket *buckets = fdb->hasher.buckets;

	for (uint32_t n = 0; n < fdb->n_buckets; n++)
		for (unsigned i = 0; i < FDB_SLOTS; i++)
			atomic_init(&buckets[n].value[i], FDB_FREE);
}

struct fdb *fdb_new(const struct fdb_config *cfg)
{
	struct fdb *fdb;
	int err;

	if (!cfg->max_entries || cfg->max_entries > MAX_ENTRIES || !cfg->max_ports ||
		cfg->max_ports > MAX_PORTS) {
		errno = EINVAL;
		return NULL;
	}
	fdb = rw_zalloc(sizeof(*fdb));
	if (!fdb) {
		errno = ENOMEM;
		return NULL;
	}
	fdb->bytes = sizeof(*fdb);
	fdb->n_buckets = buckets_for(cfg->max_entries);
	fdb->max_entries = cfg->max_entries;
	fdb->max_ports = cfg->max_ports;
	fdb->flap_moves = cfg->flap_moves;
	fdb->domain_flushed = FDB_DOMAIN_NONE;
	atomic_init(&fdb->age_s, cfg->age_s);
	fdb->hasher.mask = (fdb->n_buckets - 1) * (uint64_t)sizeof(struct fdb_bucket);
	fdb->hasher.buckets = allocate(fdb, fdb->n_buckets, sizeof(struct fdb_bucket));
	fdb->links = allocate(fdb, (size_t)fdb->n_buckets * FDB_SLOTS, sizeof(*fdb->links));
	fdb->ports = allocate(fdb, cfg->max_ports, sizeof(*fdb->ports));
	err = secret_init(fdb);
	if (!err && !(fdb->hasher.buckets && fdb->links && fdb->ports))
		err = -ENOMEM;
	if (err) {
		fdb_free(fdb);
		errno = -err;
		return NULL;
	}
	buckets_init(fdb);
	fdb_ports_init(fdb);
	return fdb;
}

void fdb_free(struct fdb *fdb)
{
	if (!fdb)
		return;
	rw_free(fdb->ports);
	rw_free(fdb->links);
	rw_free(fdb->hasher.buckets);
	rw_free(fdb);
}

struct fdb_hasher fdb_hasher(const struct fdb *fdb)
{
	return fdb->hasher;
}

/* The value of `key` in a bucket and the index of its slot, or FDB_FREE. */
static uint64_t bucket_read(const struct fdb_bucket *b, fdb_key key, unsigned *i)
{
	uint32_t version;
	uint64_t value;

	do {
		version = fdb_version(b);
		value = FDB_FREE;
		for (unsigned k = 0; k < FDB_SLOTS; k++) {
			if (atomic_load_explicit(&b->key[k], memory_order_acquire) != key)
				continue;
			value = atomic_load_explicit(&b->value[k], memory_order_acquire);
			*i = k;
		}
	} while (rw_unlikely(atomic_load_explicit(&b->version, memory_order_relaxed) != version));
	return value;
}

uint64_t fdb_read(
	const struct fdb *fdb, const struct fdb_query *query, struct fdb_bucket **b, unsigned *i)
{
	uint32_t version;
	uint64_t value;

	do {
		*b = query->bucket;
		version = fdb_version(*b);
		value = bucket_read(*b, query->key, i);
		if (value != FDB_FREE)
			return value;
		*b = fdb_other_bucket(&fdb->hasher, *b, query->key);
		value = bucket_read(*b, query->key, i);
		/* A miss counts unless the entry may have come into the first bucket meanwhile. */
	} while (value == FDB_FREE && rw_unlikely(fdb_version(query->bucket) != version));
	return value;
}

static uint32_t lookup_one(const struct fdb *fdb, const struct fdb_query *query)
{
	struct fdb_bucket *b;
	unsigned i;

	return fdb_hop_of(fdb_read(fdb, query, &b, &i));
}

uint32_t fdb_lookup(const struct fdb *fdb, fdb_key key)
{
	const struct fdb_query query = fdb_locate(&fdb->hasher, key);

	return lookup_one(fdb, &query);
}

/*
 * Up to BULK keys. Those that the first attempt does not find in their first bucket wait until all
 * second ones are prefetched.
 */
static void lookup_burst(
	const struct fdb *fdb, const struct fdb_query *queries, uint32_t *hops, unsigned n)
{
	uint8_t missed[BULK];
	unsigned n_missed = 0;

	for (unsigned k = 0; k < n; k++) {
		const struct fdb_query query = queries[k];

		hops[k] = fdb_hop_of(fdb_bucket_try(query.bucket, query.key));
		if (rw_likely(hops[k] != FDB_HOP_NONE))
			continue;
		__builtin_prefetch(fdb_other_bucket(&fdb->hasher, query.bucket, query.key));
		missed[n_missed++] = (uint8_t)k;
	}
	for (unsigned m = 0; m < n_missed; m++)
		hops[missed[m]] = lookup_one(fdb, &queries[missed[m]]);
}

void fdb_lookup_bulk(
	const struct fdb *fdb, const struct fdb_query *queries, uint32_t *hops, unsigned n)
{
	for (unsigned done = 0; done < n; done += BULK)
		lookup_burst(fdb, queries + done, hops + done, RW_MIN(n - done, (unsigned)BULK));
}

/* Whether a slot is in use, and then what is in it. */
static bool slot_read(struct fdb *fdb, uint32_t slot, struct fdb_entry *out)
{
	uint32_t generation;
	uint64_t value;
	fdb_key key;

	if (!fdb_key_at(fdb, slot))
		return false;
	rw_spin_lock(&fdb->lock);
	key = fdb_key_at(fdb, slot);
	value = fdb_value_at(fdb, slot);
	generation = *fdb_generation_at(fdb, slot);
	rw_spin_unlock(&fdb->lock);
	if (!key)
		return false;
	*out = (struct fdb_entry){
		.key = key,
		.hop = fdb_hop_of(value),
		.kind = fdb_kind_of(value),
		.generation = generation & FDB_GENERATION,
		.how = fdb_how_of(generation),
		.last_seen_s = fdb_seen_of(value),
	};
	return true;
}

uint32_t fdb_list(struct fdb *fdb, uint32_t *cursor, struct fdb_entry *out, uint32_t n)
{
	uint32_t all = fdb->n_buckets * FDB_SLOTS;
	uint32_t slot = *cursor;
	uint32_t end = RW_MIN(all - RW_MIN(slot, all), LIST_SLOTS) + slot;
	uint32_t copied = 0;

	for (; slot < end && copied < n; slot++)
		copied += slot_read(fdb, slot, &out[copied]);
	*cursor = slot < all ? slot : FDB_CURSOR_END;
	return copied;
}

void fdb_get_stats(const struct fdb *fdb, struct fdb_stats *out)
{
	*out = (struct fdb_stats){
		.entries = atomic_load_explicit(&fdb->entries, memory_order_relaxed),
		.max_entries = fdb->max_entries,
		.learned = atomic_load_explicit(&fdb->learned, memory_order_relaxed),
		.moved = atomic_load_explicit(&fdb->moved, memory_order_relaxed),
		.flaps = atomic_load_explicit(&fdb->flaps, memory_order_relaxed),
		.evicted = atomic_load_explicit(&fdb->evicted, memory_order_relaxed),
		.aged = atomic_load_explicit(&fdb->aged, memory_order_relaxed),
		.bytes = fdb->bytes,
	};
}

uint32_t fdb_count(const struct fdb *fdb, uint32_t port)
{
	assert(port < fdb->max_ports);
	return fdb_list_count(&fdb->ports[port].learned) + fdb_list_count(&fdb->ports[port].fixed);
}

void fdb_get_port_stats(const struct fdb *fdb, uint32_t port, struct fdb_port_stats *out)
{
	const struct fdb_port *p = &fdb->ports[port];

	assert(port < fdb->max_ports);
	out->learned = fdb_list_count(&p->learned);
	out->excesses = atomic_load_explicit(&p->excesses, memory_order_relaxed);
}
