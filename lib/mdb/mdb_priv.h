/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Inside of the multicast database: mdb.c has the tables, readers and control's part; mdb_hear.c
 * what messages do.
 *
 * Groups and memberships are numbered from 1; 0: none. A group's chain is read without the lock. A
 * writer fills a new group in and then publishes its number with a release; whoever takes one out
 * of its chain leaves its own `next` as it is, for those that are reading it.
 */
#include <stdatomic.h>

#include "fdb.h"
#include "mdb.h"
#include "rw_lock.h"

/*
 * Routers of a domain are the members of a group that no frame has: this address, whose last byte
 * is 4 or 6.
 */
struct mdb_group {
	_Atomic uint64_t key;  /* fdb_key */
	_Atomic uint32_t next; /* of its chain */
	_Atomic uint64_t ports[MDB_MAX_PORTS / 64];
	_Atomic uint32_t ready_s; /* routers: frames are flooded until then */
	/* Under the lock. */
	uint32_t count; /* members */
	uint8_t address[16];
	/* Routers: the querier, if there is one. */
	uint8_t querier[16];
	uint32_t querier_port;
	uint32_t until_s; /* it counts as gone; valid if member_s */
	uint32_t interval_s, member_s;
	uint8_t version;
} RW_CACHE_ALIGNED;

/* All under the lock. */
struct mdb_member {
	uint32_t group; /* 0: free */
	uint32_t next;  /* of its chain, or of those that are free */
	uint32_t port;
	uint32_t until_s;
	uint32_t old_until_s; /* a host of version 1 is there until then, which ignores leaves */
};

struct mdb_port {
	_Atomic uint32_t count;  /* memberships; written under the lock */
	_Atomic uint32_t router; /* enum mdb_router */
	_Atomic uint32_t all_until_s;
};

struct mdb {
	uint64_t secret[3];
	uint32_t max_members, port_max;
	uint32_t mask; /* of both hash tables */
	_Atomic uint32_t *group_heads;
	uint32_t *member_heads;
	struct mdb_group *groups;   /* of as many as members */
	struct mdb_member *members; /* from 1 on */
	struct mdb_port ports[MDB_MAX_PORTS];
	/* Ports that get all multicast, and static routers. */
	_Atomic uint64_t all[MDB_MAX_PORTS / 64], routers[MDB_MAX_PORTS / 64];

	struct rw_spinlock lock RW_CACHE_ALIGNED;
	uint32_t groups_end, members_end; /* none from here on was ever used */
	uint32_t groups_free, members_free;
	uint32_t waste; /* removed groups that may still be read; linked by `address` */
	_Atomic uint32_t nmembers;

	_Atomic uint64_t queries, reports, leaves, malformed, refused, full, cut, busy;
};

static inline bool mdb_is_over(uint32_t until_s, uint32_t now_s)
{
	return (int32_t)(until_s - now_s) <= 0;
}

static inline fdb_key mdb_routers_key(uint16_t domain, bool ipv6)
{
	return fdb_key_make((const uint8_t[6]){0, 0, 0, 0, 0, ipv6 ? 6 : 4}, domain);
}

static inline bool mdb_is_routers(fdb_key key)
{
	uint8_t mac[6];

	fdb_key_mac(key, mac);
	return !(mac[0] & 1);
}

static inline void mdb_bit_set(_Atomic uint64_t *bits, uint32_t port)
{
	atomic_fetch_or_explicit(&bits[port / 64], UINT64_C(1) << port % 64, memory_order_release);
}

static inline void mdb_bit_clear(_Atomic uint64_t *bits, uint32_t port)
{
	atomic_fetch_and_explicit(
		&bits[port / 64], ~(UINT64_C(1) << port % 64), memory_order_release);
}

static inline void mdb_tell(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* The group of a key, or NULL. Thread: any. */
struct mdb_group *mdb_find(const struct mdb *mdb, fdb_key key);
/* The membership of a port in a group, or NULL. Under the lock. */
struct mdb_member *mdb_member_find(const struct mdb *mdb, const struct mdb_group *g, uint32_t port);
/*
 * The membership of a port in the group of a key, both of which are made if need be. NULL: a limit
 * is reached. Under the lock.
 */
struct mdb_member *mdb_join(struct mdb *mdb, fdb_key key, const uint8_t address[16], uint32_t port);
