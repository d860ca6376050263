/* SPDX-License-Identifier: BSD-3-Clause */
/* What IGMP and MLD messages do to the multicast database. */
#include <string.h>

#include "mdb_priv.h"

/*
 * How often a worker tries the lock, as in lib/fdb/fdb_learn.c: longer than a holder needs that
 * keeps its CPU, far shorter than one without waits to get it back.
 */
#define LOCK_TRIES 256

/* For which a report holds when no querier has said it (RFC 3376, 8.4). */
#define MEMBER_S (FRAME_GROUP_ROBUSTNESS * FRAME_GROUP_INTERVAL_S + FRAME_GROUP_RESPONSE_S)

static bool lock_for_worker(struct mdb *mdb)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (rw_spin_trylock(&mdb->lock))
			return true;
		rw_pause();
	}
	return false;
}

/* A message, and where and when it came in. */
struct news {
	struct mdb *mdb;
	const struct frame_group *msg;
	uint32_t port;
	uint32_t now_s;
	uint16_t domain;
};

/* The port gets all multicast for a while: what it wants is not known. */
static void overflow(const struct news *n)
{
	atomic_store_explicit(&n->mdb->ports[n->port].all_until_s, n->now_s + MDB_OVERFLOW_S,
		memory_order_release);
	mdb_bit_set(n->mdb->all, n->port);
}

static void full(const struct news *n)
{
	mdb_tell(&n->mdb->full);
	overflow(n);
}

static bool is_zero(const uint8_t address[16])
{
	static const uint8_t zero[16];

	return !memcmp(address, zero, sizeof(zero));
}

static fdb_key routers_key(const struct news *n)
{
	return mdb_routers_key(n->domain, n->msg->ipv6);
}

/*
 * The querier of a domain is the router with the lowest address (RFC 3376, 6.6.2). What it says of
 * intervals holds.
 */
static void querier_elect(const struct news *n, struct mdb_group *routers)
{
	const struct frame_group *msg = n->msg;

	if (routers->member_s && !mdb_is_over(routers->until_s, n->now_s) &&
		memcmp(msg->source, routers->querier, sizeof(routers->querier)) > 0)
		return;
	memcpy(routers->querier, msg->source, sizeof(routers->querier));
	routers->querier_port = n->port;
	routers->version = msg->version;
	routers->interval_s = msg->interval_s;
	routers->member_s = msg->robustness * msg->interval_s + msg->response_s;
	routers->until_s = n->now_s + msg->robustness * msg->interval_s + msg->response_s / 2 + 1;
}

/* Somebody asks who wants any group: a router is there (RFC 4541, 2.1.1). */
static void hear_general(const struct news *n)
{
	const struct frame_group *msg = n->msg;
	struct mdb_member *m = mdb_join(n->mdb, routers_key(n), msg->address, n->port);
	struct mdb_group *routers = mdb_find(n->mdb, routers_key(n));

	if (!m)
		return full(n);
	m->until_s = n->now_s + msg->robustness * msg->interval_s + msg->response_s / 2 + 1;
	/* Until its hosts have answered, nobody knows who wants what. */
	if (!routers->member_s)
		atomic_store_explicit(
			&routers->ready_s, n->now_s + msg->response_s + 1, memory_order_relaxed);
	querier_elect(n, routers);
}

/*
 * A querier asks who wants one group, because somebody has left: who does not answer in time has
 * left, too. Hosts of version 1 do not say that they leave, and do not hear this question.
 */
static void hear_specific(const struct news *n)
{
	uint32_t until_s = n->now_s + n->msg->robustness * n->msg->response_s + 1;
	struct mdb_group *g;
	uint8_t mac[6];

	frame_group_mac(n->msg->ipv6, n->msg->address, mac);
	g = mdb_find(n->mdb, fdb_key_make(mac, n->domain));
	for (unsigned word = 0; g && word < RW_ARRAY_SIZE(g->ports); word++) {
		uint64_t left = atomic_load_explicit(&g->ports[word], memory_order_relaxed);

		for (; left; left &= left - 1) {
			uint32_t port = word * 64 + (uint32_t)__builtin_ctzll(left);
			struct mdb_member *m = mdb_member_find(n->mdb, g, port);

			if (!mdb_is_over(m->until_s, until_s) &&
				mdb_is_over(m->old_until_s, n->now_s))
				m->until_s = until_s;
		}
	}
}

static bool is_router(const struct news *n)
{
	const struct mdb_group *routers = mdb_find(n->mdb, routers_key(n));

	return routers && mdb_member_find(n->mdb, routers, n->port);
}

static void hear_query(const struct news *n)
{
	struct mdb *mdb = n->mdb;

	/* A switch that asks in place of a router has no address: nothing is behind it. */
	if (is_zero(n->msg->source) ||
		atomic_load_explicit(&mdb->ports[n->port].router, memory_order_relaxed) ==
			MDB_ROUTER_NEVER) {
		mdb_tell(&mdb->refused);
		return;
	}
	mdb_tell(&mdb->queries);
	if (is_zero(n->msg->address))
		hear_general(n);
	else if (is_router(n))
		hear_specific(n);
}

static void hear_join(const struct news *n, const uint8_t address[16], uint32_t until_s)
{
	struct mdb_member *m;
	uint8_t mac[6];

	frame_group_mac(n->msg->ipv6, address, mac);
	if (mdb_is_for_all(mac))
		return;
	m = mdb_join(n->mdb, fdb_key_make(mac, n->domain), address, n->port);
	if (!m)
		return full(n);
	m->until_s = until_s;
	if (!n->msg->ipv6 && n->msg->version == 1)
		m->old_until_s = until_s;
}

static void hear_report(const struct news *n)
{
	const struct mdb_group *routers = mdb_find(n->mdb, routers_key(n));
	uint32_t member_s = routers && routers->member_s ? routers->member_s : MEMBER_S;

	for (unsigned i = 0; i < n->msg->nrecords; i++) {
		const struct frame_group_record *r = &n->msg->records[i];

		/* Who leaves says so to the router, who then asks whether others stay. */
		if (r->leaves)
			mdb_tell(&n->mdb->leaves);
		else
			hear_join(n, r->address, n->now_s + member_s + 1);
	}
}

void mdb_hear(struct mdb *mdb, uint16_t domain, uint32_t port, const struct frame_group *msg,
	uint32_t now_s)
{
	const struct news n = {mdb, msg, port, now_s, domain};

	if (msg->what == FRAME_GROUP_BAD)
		return mdb_tell(&mdb->malformed);
	if (msg->what == FRAME_GROUP_REPORT)
		mdb_tell(&mdb->reports);
	if (msg->what == FRAME_GROUP_REPORT && msg->cut) {
		mdb_tell(&mdb->cut);
		overflow(&n);
	}
	if (!lock_for_worker(mdb)) {
		mdb_tell(&mdb->busy);
		return overflow(&n);
	}
	if (msg->what == FRAME_GROUP_QUERY)
		hear_query(&n);
	else if (msg->what == FRAME_GROUP_REPORT)
		hear_report(&n);
	rw_spin_unlock(&mdb->lock);
}
