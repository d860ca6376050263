/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "mdb_priv.h"

/* Memberships that control looks at in one turn of the lock: some microseconds. */
#define CHUNK 64

struct mdb *mdb_new(const struct mdb_config *cfg)
{
	struct mdb *mdb = rw_zalloc(sizeof(*mdb));
	uint32_t heads = 64;

	if (!mdb)
		return NULL;
	while (heads < cfg->max_members)
		heads *= 2;
	mdb->max_members = cfg->max_members;
	mdb->port_max = cfg->port_max;
	mdb->mask = heads - 1;
	mdb->groups_end = mdb->members_end = 1;
	/* Large and sparse: untouched pages cost nothing. */
	mdb->group_heads = calloc(heads, sizeof(*mdb->group_heads));
	mdb->member_heads = calloc(heads, sizeof(*mdb->member_heads));
	mdb->groups = aligned_alloc(
		RW_CACHE_LINE, (size_t)(cfg->max_members + 1) * sizeof(*mdb->groups));
	mdb->members = calloc((size_t)cfg->max_members + 1, sizeof(*mdb->members));
	if (!mdb->group_heads || !mdb->member_heads || !mdb->groups || !mdb->members ||
		getrandom(mdb->secret, sizeof(mdb->secret), 0) < 0) {
		mdb_free(mdb);
		errno = ENOMEM;
		return NULL;
	}
	mdb->secret[1] |= 1;
	mdb->secret[2] |= 1;
	return mdb;
}

void mdb_free(struct mdb *mdb)
{
	if (!mdb)
		return;
	free(mdb->group_heads);
	free(mdb->member_heads);
	free(mdb->groups);
	free(mdb->members);
	rw_free(mdb);
}

/* ---- groups ---- */

static _Atomic uint32_t *group_head(const struct mdb *mdb, fdb_key key)
{
	return &mdb->group_heads[fdb_hash(mdb->secret, key) & mdb->mask];
}

struct mdb_group *mdb_find(const struct mdb *mdb, fdb_key key)
{
	uint32_t i = atomic_load_explicit(group_head(mdb, key), memory_order_acquire);

	while (i) {
		struct mdb_group *g = &mdb->groups[i];

		if (atomic_load_explicit(&g->key, memory_order_relaxed) == key)
			return g;
		i = atomic_load_explicit(&g->next, memory_order_acquire);
	}
	return NULL;
}

/* Under the lock. NULL: there is no room. */
static struct mdb_group *group_new(struct mdb *mdb, fdb_key key, const uint8_t address[16])
{
	_Atomic uint32_t *head = group_head(mdb, key);
	uint32_t i = mdb->groups_free;
	struct mdb_group *g;

	if (i)
		memcpy(&mdb->groups_free, mdb->groups[i].address, sizeof(i));
	else if (mdb->groups_end <= mdb->max_members)
		i = mdb->groups_end++;
	else
		return NULL;
	g = &mdb->groups[i];
	for (unsigned k = 0; k < RW_ARRAY_SIZE(g->ports); k++)
		atomic_store_explicit(&g->ports[k], 0, memory_order_relaxed);
	atomic_store_explicit(&g->key, key, memory_order_relaxed);
	atomic_store_explicit(&g->ready_s, 0, memory_order_relaxed);
	g->count = 0;
	g->member_s = 0;
	memcpy(g->address, address, sizeof(g->address));
	atomic_store_explicit(
		&g->next, atomic_load_explicit(head, memory_order_relaxed), memory_order_relaxed);
	/* Pairs with the acquires in mdb_find. */
	atomic_store_explicit(head, i, memory_order_release);
	return g;
}

/* Take a group out of its chain. Those who read it go on to its next one. Under the lock. */
static void group_remove(struct mdb *mdb, struct mdb_group *g)
{
	_Atomic uint32_t *at = group_head(mdb, atomic_load_explicit(&g->key, memory_order_relaxed));
	uint32_t i = (uint32_t)(g - mdb->groups);

	while (atomic_load_explicit(at, memory_order_relaxed) != i)
		at = &mdb->groups[atomic_load_explicit(at, memory_order_relaxed)].next;
	atomic_store_explicit(
		at, atomic_load_explicit(&g->next, memory_order_relaxed), memory_order_release);
	memcpy(g->address, &mdb->waste, sizeof(mdb->waste));
	mdb->waste = i;
}

bool mdb_has_waste(const struct mdb *mdb)
{
	return mdb->waste;
}

void mdb_reclaim(struct mdb *mdb)
{
	rw_spin_lock(&mdb->lock);
	while (mdb->waste) {
		struct mdb_group *g = &mdb->groups[mdb->waste];
		uint32_t i = mdb->waste;

		memcpy(&mdb->waste, g->address, sizeof(i));
		memcpy(g->address, &mdb->groups_free, sizeof(i));
		mdb->groups_free = i;
	}
	rw_spin_unlock(&mdb->lock);
}

/* ---- memberships, all under the lock ---- */

static uint32_t *member_head(const struct mdb *mdb, uint32_t group, uint32_t port)
{
	uint64_t key = (uint64_t)group << 16 | port;

	return &mdb->member_heads[fdb_hash(mdb->secret, key) & mdb->mask];
}

struct mdb_member *mdb_member_find(const struct mdb *mdb, const struct mdb_group *g, uint32_t port)
{
	uint32_t group = (uint32_t)(g - mdb->groups);

	for (uint32_t i = *member_head(mdb, group, port); i; i = mdb->members[i].next) {
		if (mdb->members[i].group == group && mdb->members[i].port == port)
			return &mdb->members[i];
	}
	return NULL;
}

static struct mdb_member *member_new(struct mdb *mdb, struct mdb_group *g, uint32_t port)
{
	uint32_t group = (uint32_t)(g - mdb->groups), *head = member_head(mdb, group, port);
	uint32_t i = mdb->members_free;

	if (i)
		mdb->members_free = mdb->members[i].next;
	else
		i = mdb->members_end++;
	mdb->members[i] = (struct mdb_member){.group = group, .port = port, .next = *head};
	*head = i;
	g->count++;
	mdb_bit_set(g->ports, port);
	atomic_fetch_add_explicit(&mdb->nmembers, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&mdb->ports[port].count, 1, memory_order_relaxed);
	return &mdb->members[i];
}

struct mdb_member *mdb_join(struct mdb *mdb, fdb_key key, const uint8_t address[16], uint32_t port)
{
	struct mdb_group *g = mdb_find(mdb, key);
	struct mdb_member *m = g ? mdb_member_find(mdb, g, port) : NULL;

	if (m)
		return m;
	if (atomic_load_explicit(&mdb->nmembers, memory_order_relaxed) >= mdb->max_members ||
		atomic_load_explicit(&mdb->ports[port].count, memory_order_relaxed) >=
			mdb->port_max)
		return NULL;
	if (!g)
		g = group_new(mdb, key, address);
	return g ? member_new(mdb, g, port) : NULL;
}

static void member_remove(struct mdb *mdb, uint32_t i)
{
	struct mdb_member *m = &mdb->members[i];
	struct mdb_group *g = &mdb->groups[m->group];
	uint32_t *at = member_head(mdb, m->group, m->port);

	while (*at != i)
		at = &mdb->members[*at].next;
	*at = m->next;
	mdb_bit_clear(g->ports, m->port);
	atomic_fetch_sub_explicit(&mdb->nmembers, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&mdb->ports[m->port].count, 1, memory_order_relaxed);
	if (!--g->count)
		group_remove(mdb, g);
	m->group = 0;
	m->next = mdb->members_free;
	mdb->members_free = i;
}

/* ---- readers ---- */

static void ports_add(struct mdb_ports *out, const _Atomic uint64_t *bits)
{
	for (unsigned i = 0; i < RW_ARRAY_SIZE(out->bits); i++)
		out->bits[i] |= atomic_load_explicit(&bits[i], memory_order_acquire);
}

bool mdb_routers(
	const struct mdb *mdb, uint16_t domain, bool ipv6, uint32_t now_s, struct mdb_ports *out)
{
	const struct mdb_group *g = mdb_find(mdb, mdb_routers_key(domain, ipv6));

	if (!g || !mdb_is_over(atomic_load_explicit(&g->ready_s, memory_order_relaxed), now_s))
		return false;
	*out = (struct mdb_ports){0};
	ports_add(out, g->ports);
	/* All routers have gone, and control has not seen it yet. */
	for (unsigned i = 0; i < RW_ARRAY_SIZE(out->bits); i++) {
		if (out->bits[i]) {
			ports_add(out, mdb->routers);
			return true;
		}
	}
	return false;
}

bool mdb_forward(const struct mdb *mdb, uint16_t domain, const uint8_t dst[6], uint32_t now_s,
	struct mdb_ports *out)
{
	const struct mdb_group *g;

	if (mdb_is_for_all(dst) || !mdb_routers(mdb, domain, frame_is_ipv6_group(dst), now_s, out))
		return false;
	ports_add(out, mdb->all);
	g = mdb_find(mdb, fdb_key_make(dst, domain));
	if (g)
		ports_add(out, g->ports);
	return true;
}

/* ---- control ---- */

void mdb_set_router(struct mdb *mdb, uint32_t port, enum mdb_router how)
{
	atomic_store_explicit(&mdb->ports[port].router, (uint32_t)how, memory_order_relaxed);
	if (how == MDB_ROUTER_ON)
		mdb_bit_set(mdb->routers, port);
	else
		mdb_bit_clear(mdb->routers, port);
}

/* What to remove: what is over; that of a port; that of a domain. */
struct broom {
	bool by_time, by_port, by_domain;
	uint32_t now_s, port;
	uint16_t domain;
};

static bool is_swept(const struct mdb *mdb, const struct broom *b, const struct mdb_member *m)
{
	const struct mdb_group *g = &mdb->groups[m->group];

	return m->group && (!b->by_time || mdb_is_over(m->until_s, b->now_s)) &&
		(!b->by_port || m->port == b->port) &&
		(!b->by_domain ||
			fdb_key_domain(atomic_load_explicit(&g->key, memory_order_relaxed)) ==
				b->domain);
}

static void sweep(struct mdb *mdb, const struct broom *b)
{
	bool more = true;

	for (uint32_t i = 1; more;) {
		rw_spin_lock(&mdb->lock);
		for (unsigned n = 0; n < CHUNK && i < mdb->members_end; n++, i++) {
			if (is_swept(mdb, b, &mdb->members[i]))
				member_remove(mdb, i);
		}
		more = i < mdb->members_end;
		rw_spin_unlock(&mdb->lock);
	}
}

void mdb_age(struct mdb *mdb, uint32_t now_s)
{
	const struct broom b = {.by_time = true, .now_s = now_s};

	if (atomic_load_explicit(&mdb->nmembers, memory_order_relaxed))
		sweep(mdb, &b);
	for (uint32_t port = 0; port < MDB_MAX_PORTS; port++) {
		if (mdb_gets_all(mdb, port) &&
			mdb_is_over(atomic_load_explicit(
					    &mdb->ports[port].all_until_s, memory_order_acquire),
				now_s))
			mdb_bit_clear(mdb->all, port);
	}
}

void mdb_forget_port(struct mdb *mdb, uint32_t port)
{
	const struct broom b = {.by_port = true, .port = port};

	mdb_bit_clear(mdb->all, port);
	if (mdb_count(mdb, port))
		sweep(mdb, &b);
}

void mdb_forget_domain(struct mdb *mdb, uint16_t domain)
{
	const struct broom b = {.by_domain = true, .domain = domain};

	if (atomic_load_explicit(&mdb->nmembers, memory_order_relaxed))
		sweep(mdb, &b);
}

void mdb_clear(struct mdb *mdb)
{
	const struct broom b = {0};

	sweep(mdb, &b);
	for (uint32_t port = 0; port < MDB_MAX_PORTS; port++)
		mdb_bit_clear(mdb->all, port);
}

static uint32_t left_of(uint32_t until_s, uint32_t now_s)
{
	return mdb_is_over(until_s, now_s) ? 0 : until_s - now_s;
}

uint32_t mdb_list(
	struct mdb *mdb, uint32_t *cursor, uint32_t now_s, struct mdb_entry *out, uint32_t n)
{
	uint32_t got = 0, i = RW_MAX(*cursor, 1u);

	rw_spin_lock(&mdb->lock);
	for (unsigned scan = 0; got < n && scan < CHUNK && i < mdb->members_end; scan++, i++) {
		const struct mdb_member *m = &mdb->members[i];
		const struct mdb_group *g = &mdb->groups[m->group];
		struct mdb_entry *e = &out[got];
		fdb_key key;

		if (!m->group)
			continue;
		key = atomic_load_explicit(&g->key, memory_order_relaxed);
		*e = (struct mdb_entry){.domain = fdb_key_domain(key),
			.router = mdb_is_routers(key),
			.port = m->port,
			.left_s = left_of(m->until_s, now_s)};
		fdb_key_mac(key, e->mac);
		e->ipv6 = e->router ? e->mac[5] == 6 : frame_is_ipv6_group(e->mac);
		memcpy(e->address, g->address, sizeof(e->address));
		got++;
	}
	*cursor = i < mdb->members_end ? i : MDB_CURSOR_END;
	rw_spin_unlock(&mdb->lock);
	return got;
}

uint32_t mdb_queriers(
	struct mdb *mdb, uint32_t *cursor, uint32_t now_s, struct mdb_querier *out, uint32_t n)
{
	uint32_t got = 0, i = RW_MAX(*cursor, 1u);

	rw_spin_lock(&mdb->lock);
	for (unsigned scan = 0; got < n && scan < CHUNK && i < mdb->groups_end; scan++, i++) {
		const struct mdb_group *g = &mdb->groups[i];
		fdb_key key = atomic_load_explicit(&g->key, memory_order_relaxed);
		uint8_t mac[6];

		if (!g->count || !mdb_is_routers(key) || !g->member_s)
			continue;
		fdb_key_mac(key, mac);
		out[got] = (struct mdb_querier){.domain = fdb_key_domain(key),
			.ipv6 = mac[5] == 6,
			.ready = mdb_is_over(
				atomic_load_explicit(&g->ready_s, memory_order_relaxed), now_s),
			.version = g->version,
			.port = g->querier_port,
			.interval_s = g->interval_s,
			.member_s = g->member_s,
			.left_s = left_of(g->until_s, now_s)};
		memcpy(out[got++].address, g->querier, sizeof(g->querier));
	}
	*cursor = i < mdb->groups_end ? i : MDB_CURSOR_END;
	rw_spin_unlock(&mdb->lock);
	return got;
}

void mdb_get_stats(const struct mdb *mdb, struct mdb_stats *out)
{
#define READ(name) .name = atomic_load_explicit(&mdb->name, memory_order_relaxed)
	*out = (struct mdb_stats){
		.members = atomic_load_explicit(&mdb->nmembers, memory_order_relaxed),
		.max_members = mdb->max_members,
		READ(queries),
		READ(reports),
		READ(leaves),
		READ(malformed),
		READ(refused),
		READ(full),
		READ(cut),
		READ(busy)};
#undef READ
}

uint32_t mdb_count(const struct mdb *mdb, uint32_t port)
{
	return atomic_load_explicit(&mdb->ports[port].count, memory_order_relaxed);
}

bool mdb_gets_all(const struct mdb *mdb, uint32_t port)
{
	return atomic_load_explicit(&mdb->all[port / 64], memory_order_relaxed) >> port % 64 & 1;
}
