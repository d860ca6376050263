/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <sys/random.h>

#include "fdb_priv.h"

#define MAX_ENTRIES (1u << 24)
#define MAX_PORTS   4096

static int draw_secret(uint64_t secret[4])
{
	/* Up to 256 bytes come whole or not at all (getrandom(2)). */
	if (getrandom(secret, 4 * sizeof(*secret), 0) < 0)
		return -errno;
	/* Multipliers: an even one would throw bits away. */
	secret[1] |= 1;
	secret[3] |= 1;
	return 0;
}

static uint32_t buckets_for(uint32_t max_entries)
{
	uint32_t want = (max_entries * FDB_SLOTS_PER_ENTRY + FDB_WAYS - 1) / FDB_WAYS;
	uint32_t n = 2; /* a key's two buckets differ */

	while (n < want)
		n *= 2;
	return n;
}

struct fdb *fdb_new(const struct fdb_config *cfg)
{
	uint32_t n_buckets;
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
	n_buckets = buckets_for(cfg->max_entries);
	fdb->mask = n_buckets - 1;
	fdb->max_entries = cfg->max_entries;
	fdb->max_ports = cfg->max_ports;
	atomic_init(&fdb->age_s, cfg->age_s);
	fdb->buckets = rw_zalloc((size_t)n_buckets * sizeof(*fdb->buckets));
	fdb->links = rw_zalloc((size_t)n_buckets * FDB_WAYS * sizeof(*fdb->links));
	fdb->ports = rw_zalloc(cfg->max_ports * sizeof(*fdb->ports));
	fdb->rank = rw_zalloc(((size_t)cfg->max_entries + 1) * sizeof(*fdb->rank));
	err = draw_secret(fdb->secret.word);
	if (!err && !(fdb->buckets && fdb->links && fdb->ports && fdb->rank))
		err = -ENOMEM;
	if (err) {
		fdb_free(fdb);
		errno = -err;
		return NULL;
	}
	fdb_ports_init(fdb);
	return fdb;
}

void fdb_free(struct fdb *fdb)
{
	if (!fdb)
		return;
	rw_free(fdb->rank);
	rw_free(fdb->ports);
	rw_free(fdb->links);
	rw_free(fdb->buckets);
	rw_free(fdb);
}

static uint32_t relocations(const struct fdb *fdb)
{
	/* Pairs with the release in relocate (fdb_learn.c). */
	return atomic_load_explicit(&fdb->relocations, memory_order_acquire);
}

struct fdb_places fdb_places(const struct fdb *fdb)
{
	return (struct fdb_places){
		.buckets = fdb->buckets, .mask = fdb->mask, .secret = fdb->secret};
}

uint16_t fdb_lookup(const struct fdb *fdb, fdb_key key)
{
	uint64_t hash = fdb_hash(fdb, key);
	uint32_t before, after = relocations(fdb);
	uint64_t value;

	do {
		before = after;
		if (fdb_find(fdb, hash, key, &value))
			return fdb_value_port(value);
		after = relocations(fdb);
	} while (rw_unlikely(after != before));
	return FDB_PORT_NONE;
}

/*
 * Up to FDB_BULK keys: the second buckets of those that missed are on their way before the first of
 * these is read.
 */
static void lookup_burst(const struct fdb *fdb, const fdb_key *keys,
	struct fdb_bucket *const *where, uint16_t *out, unsigned n)
{
	uint32_t before = relocations(fdb);
	struct fdb_bucket *second[FDB_BULK];
	uint8_t missed[FDB_BULK];
	unsigned n_missed = 0;
	struct fdb_slot *s;
	uint64_t value;

	for (unsigned i = 0; i < n; i++) {
		if (rw_likely(fdb_bucket_find(where[i], keys[i], &s, &value))) {
			out[i] = fdb_value_port(value);
			continue;
		}
		second[n_missed] = fdb_second_bucket(fdb, keys[i]);
		__builtin_prefetch(second[n_missed]);
		missed[n_missed++] = i;
	}
	for (unsigned m = 0; m < n_missed; m++) {
		unsigned i = missed[m];

		if (fdb_bucket_find(second[m], keys[i], &s, &value))
			out[i] = fdb_value_port(value);
		else if (rw_unlikely(relocations(fdb) != before))
			out[i] = fdb_lookup(fdb, keys[i]);
		else
			out[i] = FDB_PORT_NONE;
	}
}

void fdb_lookup_bulk(const struct fdb *fdb, const fdb_key *keys, struct fdb_bucket *const *where,
	uint16_t *out, unsigned n)
{
	for (unsigned done = 0; done < n; done += FDB_BULK)
		lookup_burst(fdb, keys + done, where + done, out + done,
			RW_MIN(n - done, (unsigned)FDB_BULK));
}

/* Whether slot `s` is in use, and then what is in it. Steps R2 to R4 suffice: any key will do. */
static bool read_slot(const struct fdb_slot *s, struct fdb_entry *out)
{
	uint64_t key, value;

	do {
		value = fdb_load(&s->value);
		key = fdb_load(&s->key);
		if (!(key & FDB_VALID))
			return false;
	} while (!fdb_same_life(value, fdb_load(&s->value)));
	*out = (struct fdb_entry){
		.key = key & ~FDB_VALID,
		.port = fdb_value_port(value),
		.is_static = fdb_value_kind(value) == FDB_PINNED,
		.last_seen_s = fdb_value_seen(value),
	};
	return true;
}

uint32_t fdb_list(const struct fdb *fdb, uint32_t *cursor, struct fdb_entry *out, uint32_t n)
{
	uint32_t end = (fdb->mask + 1) * FDB_WAYS;
	uint32_t slot = *cursor;
	uint32_t copied = 0;

	for (; slot < end && copied < n; slot++)
		copied += read_slot(fdb_slot_at(fdb, slot), &out[copied]);
	*cursor = slot < end ? slot : FDB_CURSOR_END;
	return copied;
}

void fdb_get_stats(const struct fdb *fdb, struct fdb_stats *out)
{
	*out = (struct fdb_stats){
		.entries = atomic_load_explicit(&fdb->entries, memory_order_relaxed),
		.max_entries = fdb->max_entries,
		.learned = atomic_load_explicit(&fdb->learned, memory_order_relaxed),
		.moved = atomic_load_explicit(&fdb->moved, memory_order_relaxed),
		.evicted = atomic_load_explicit(&fdb->evicted, memory_order_relaxed),
		.aged = atomic_load_explicit(&fdb->aged, memory_order_relaxed),
	};
}

uint32_t fdb_count(const struct fdb *fdb, uint16_t port)
{
	const struct fdb_list_head *list = fdb->ports[port].list;

	assert(port < fdb->max_ports);
	return atomic_load_explicit(&list[FDB_LEARNED].count, memory_order_relaxed) +
		atomic_load_explicit(&list[FDB_PINNED].count, memory_order_relaxed);
}
