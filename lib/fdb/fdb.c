/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <sys/random.h>

#include "fdb_priv.h"

#define MAX_ENTRIES (1u << 24)

/* What an odd number has to be multiplied by for 1, modulo 2^64. */
static uint64_t inverse_of(uint64_t odd)
{
	uint64_t x = odd; /* right in the three lowest bits; each step doubles their number */

	for (unsigned bits = 3; bits < 64; bits *= 2)
		x *= 2 - odd * x;
	return x;
}

static int draw_secret(struct fdb *fdb)
{
	uint64_t *secret = fdb->places.secret;

	/* Up to 256 bytes come whole or not at all (getrandom(2)). */
	if (getrandom(secret, sizeof(fdb->places.secret), 0) < 0)
		return -errno;
	secret[0] &= FDB_KEY_MASK;
	/* Multipliers: an even one would throw bits away. */
	for (unsigned i = 1; i < RW_ARRAY_SIZE(fdb->places.secret); i++) {
		secret[i] |= 1;
		fdb->inverse[i] = inverse_of(secret[i]);
	}
	secret[1] <<= 4;
	return 0;
}

static uint32_t buckets_for(uint32_t max_entries)
{
	uint32_t want = (max_entries * FDB_SLOTS_PER_ENTRY + FDB_WAYS - 1) / FDB_WAYS;
	uint32_t n = FDB_BUCKETS_MIN;

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
		cfg->max_ports > FDB_MAX_PORTS) {
		errno = EINVAL;
		return NULL;
	}
	fdb = rw_zalloc(sizeof(*fdb));
	if (!fdb) {
		errno = ENOMEM;
		return NULL;
	}
	n_buckets = buckets_for(cfg->max_entries);
	fdb->buckets = n_buckets;
	fdb->places.mask = (n_buckets - 1) * (uint64_t)sizeof(*fdb->places.buckets);
	fdb->wide = fdb_is_wide();
	fdb->max_entries = cfg->max_entries;
	fdb->max_ports = cfg->max_ports;
	atomic_init(&fdb->age_s, cfg->age_s);
	fdb->places.buckets = rw_zalloc((size_t)n_buckets * sizeof(*fdb->places.buckets));
	fdb->seen_s = rw_zalloc((size_t)n_buckets * FDB_WAYS * sizeof(*fdb->seen_s));
	fdb->links = rw_zalloc((size_t)n_buckets * FDB_WAYS * sizeof(*fdb->links));
	fdb->ports = rw_zalloc(cfg->max_ports * sizeof(*fdb->ports));
	fdb->rank = rw_zalloc(((size_t)cfg->max_entries + 1) * sizeof(*fdb->rank));
	err = draw_secret(fdb);
	if (!err && !(fdb->places.buckets && fdb->seen_s && fdb->links && fdb->ports && fdb->rank))
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
	rw_free(fdb->seen_s);
	rw_free(fdb->places.buckets);
	rw_free(fdb);
}

static uint32_t relocations(const struct fdb *fdb)
{
	/* Pairs with the release in relocate (fdb_learn.c). */
	return atomic_load_explicit(&fdb->relocations, memory_order_acquire);
}

struct fdb_places fdb_places(const struct fdb *fdb)
{
	return fdb->places;
}

fdb_key fdb_key_of(const struct fdb *fdb, fdb_hash hash)
{
	/* fdb_hash_with backwards. A fold is its own inverse: what it shifts in twice is out of the word. */
	uint64_t x = hash >> FDB_HASH_SHIFT << 4;

	x = ((x ^ x >> 30) & ~UINT64_C(15)) * fdb->inverse[2];
	x = ((x ^ x >> 30) & ~UINT64_C(15)) * fdb->inverse[1];
	x >>= 4;
	return x ^ x >> 30 ^ fdb->places.secret[0];
}

fdb_key fdb_entry_key(const struct fdb *fdb, uint32_t bucket, uint64_t entry)
{
	uint32_t first = entry & FDB_SECOND ? fdb_other(fdb, bucket, entry) : bucket;
	uint64_t low = first & (FDB_BUCKETS_MIN - 1);

	return fdb_key_of(fdb, (entry & FDB_REST_MASK) | low << FDB_HASH_SHIFT);
}

uint32_t fdb_find(const struct fdb *fdb, fdb_hash hash, uint64_t *entry)
{
	const uint32_t bucket[2] = {fdb_first(fdb, hash), fdb_second(fdb, hash)};
	const uint64_t tag[2] = {fdb_first_tag(hash), fdb_second_tag(hash)};

	for (uint32_t i = 0; i < 2 * FDB_WAYS; i++) {
		uint32_t slot = bucket[i / FDB_WAYS] * FDB_WAYS + i % FDB_WAYS;

		*entry = fdb_read(fdb_slot_at(fdb, slot));
		if (fdb_is_hit(*entry ^ tag[i / FDB_WAYS]))
			return slot;
	}
	return FDB_SLOT_NONE;
}

static uint16_t lookup_hash(const struct fdb *fdb, fdb_hash hash)
{
	uint32_t before, after = relocations(fdb);
	uint64_t entry;

	do {
		before = after;
		if (fdb_find(fdb, hash, &entry) != FDB_SLOT_NONE)
			return fdb_port_of(entry);
		after = relocations(fdb);
	} while (rw_unlikely(after != before));
	return FDB_PORT_NONE;
}

uint16_t fdb_lookup(const struct fdb *fdb, fdb_key key)
{
	return lookup_hash(fdb, fdb_hash_with(fdb->places.secret, key));
}

/*
 * Up to FDB_BULK keys: the second buckets of those that missed are on their way before the first of
 * these is read.
 */
RW_ALWAYS_INLINE void lookup_burst(const struct fdb *fdb, const fdb_hash *hashes, uint16_t *out,
	unsigned n, fdb_compare_fn compare)
{
	uint32_t before = relocations(fdb);
	struct fdb_bucket *second[FDB_BULK];
	uint8_t missed[FDB_BULK];
	unsigned n_missed = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t left = compare(fdb_first_bucket(fdb, hashes[i]), fdb_first_tag(hashes[i]));

		if (rw_likely(fdb_is_hit(left))) {
			out[i] = fdb_port_of(left);
			continue;
		}
		second[n_missed] = fdb_second_bucket(fdb, hashes[i]);
		__builtin_prefetch(second[n_missed]);
		missed[n_missed++] = i;
	}
	for (unsigned m = 0; m < n_missed; m++) {
		unsigned i = missed[m];
		uint64_t left = compare(second[m], fdb_second_tag(hashes[i]));

		if (fdb_is_hit(left))
			out[i] = fdb_port_of(left);
		else if (rw_unlikely(relocations(fdb) != before))
			out[i] = lookup_hash(fdb, hashes[i]);
		else
			out[i] = FDB_PORT_NONE;
	}
}

static void lookup_usual(const struct fdb *fdb, const fdb_hash *hashes, uint16_t *out, unsigned n)
{
	lookup_burst(fdb, hashes, out, n, fdb_compare);
}

FDB_WIDE static void lookup_wide(
	const struct fdb *fdb, const fdb_hash *hashes, uint16_t *out, unsigned n)
{
	lookup_burst(fdb, hashes, out, n, fdb_compare_wide);
}

void fdb_lookup_bulk(const struct fdb *fdb, const fdb_hash *hashes, uint16_t *out, unsigned n)
{
	void (*const burst)(const struct fdb *, const fdb_hash *, uint16_t *, unsigned) =
		fdb->wide ? lookup_wide : lookup_usual;

	for (unsigned done = 0; done < n; done += FDB_BULK)
		burst(fdb, hashes + done, out + done, RW_MIN(n - done, (unsigned)FDB_BULK));
}

/*
 * Whether a slot is in use, and then what is in it. The second is the entry's if the slot has said the
 * same before and after: who sees the second of a later entry (acquire, of a release) sees that the
 * slot was emptied before.
 */
static bool read_slot(const struct fdb *fdb, uint32_t slot, struct fdb_entry *out)
{
	const fdb_slot *s = fdb_slot_at(fdb, slot);
	uint64_t entry, again = fdb_read(s);
	uint32_t seen_s;

	do {
		entry = again;
		if (!entry)
			return false;
		seen_s = fdb_seen(fdb, slot);
		again = fdb_read(s);
	} while (again != entry);
	*out = (struct fdb_entry){
		.key = fdb_entry_key(fdb, slot / FDB_WAYS, entry),
		.port = fdb_port_of(entry),
		.is_static = fdb_kind_of(entry) == FDB_PINNED,
		.last_seen_s = fdb_kind_of(entry) == FDB_PINNED ? 0 : seen_s,
	};
	return true;
}

uint32_t fdb_list(const struct fdb *fdb, uint32_t *cursor, struct fdb_entry *out, uint32_t n)
{
	uint32_t end = fdb->buckets * FDB_WAYS;
	uint32_t slot = *cursor;
	uint32_t copied = 0;

	for (; slot < end && copied < n; slot++)
		copied += read_slot(fdb, slot, &out[copied]);
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
