/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* What the programs that test the forwarding database need; cmocka.h comes first. */
#include "fdb.h"

#define PORTS 16

/* Calls of fdb_age that see the whole table (fdb.h). */
#define AGE_CALLS 4

static inline struct fdb *new_table(uint32_t max_entries, uint32_t age_s)
{
	struct fdb_config cfg = {
		.max_entries = max_entries,
		.max_ports = PORTS,
		.age_s = age_s,
	};
	struct fdb *fdb = fdb_new(&cfg);

	assert_non_null(fdb);
	return fdb;
}

/* Station `n`, counted up in the last bytes of its address. */
static inline fdb_key station(uint32_t n, uint16_t vlan)
{
	uint8_t mac[6] = {0x02, 0, n >> 24, n >> 16, n >> 8, n};

	return fdb_key_make(mac, vlan);
}

/* Most keys of a call of the last two below; more than any of fdb's own limits. */
#define BURST_MAX 128

static inline void locate_burst(
	const struct fdb *fdb, const fdb_key *keys, struct fdb_query *queries, unsigned n)
{
	const struct fdb_hasher hasher = fdb_hasher(fdb);

	for (unsigned i = 0; i < n; i++)
		queries[i] = fdb_locate(&hasher, keys[i]);
}

static inline void lookup_burst(
	const struct fdb *fdb, const fdb_key *keys, uint32_t *out, unsigned n)
{
	struct fdb_query queries[BURST_MAX];

	locate_burst(fdb, keys, queries, n);
	fdb_lookup_bulk(fdb, queries, out, n);
}

static inline void learn_burst(
	struct fdb *fdb, const fdb_key *keys, unsigned n, uint32_t port, uint32_t now_s)
{
	struct fdb_query queries[BURST_MAX];

	locate_burst(fdb, keys, queries, n);
	fdb_learn_bulk(fdb, queries, n, port, now_s);
}

#define SLOTS 3 /* of a bucket */

/*
 * The next `n` keys from host `*from` on, which moves on, that have both their buckets among the
 * first `buckets` of the table.
 */
static inline void corner_keys(
	const struct fdb *fdb, unsigned buckets, fdb_key *keys, unsigned n, uint32_t *from)
{
	const uint64_t end = buckets * (uint64_t)RW_CACHE_LINE;
	const struct fdb_hasher hasher = fdb_hasher(fdb);

	for (unsigned found = 0; found < n; ++*from) {
		fdb_key key = station(*from, 0);
		uint64_t hash = fdb_hash(hasher.secret, key);

		if (fdb_offset(&hasher, hash) < end &&
			(fdb_offset(&hasher, hash) ^ fdb_distance(&hasher, hash)) < end)
			keys[found++] = key;
	}
}

static inline uint32_t age_all(struct fdb *fdb, uint32_t now_s)
{
	uint32_t gone = 0;

	for (unsigned i = 0; i < AGE_CALLS; i++)
		gone += fdb_age(fdb, now_s);
	return gone;
}

static inline uint32_t entries(const struct fdb *fdb)
{
	struct fdb_stats stats;

	fdb_get_stats(fdb, &stats);
	return stats.entries;
}

static inline uint32_t count_listed(struct fdb *fdb)
{
	struct fdb_entry batch[64];
	uint32_t cursor = 0, n = 0;

	while (cursor != FDB_CURSOR_END)
		n += fdb_list(fdb, &cursor, batch, 64);
	return n;
}
