/* SPDX-License-Identifier: BSD-3-Clause */
/* Hosts that move too often are held. */
#include "fdb_priv.h"

static void mover_clear(struct fdb_mover *m)
{
	atomic_store_explicit(&m->held, false, memory_order_relaxed);
	atomic_store_explicit(&m->key, 0, memory_order_relaxed);
}

static void mover_begin(struct fdb_mover *m, fdb_key key, uint32_t home, uint32_t now_s)
{
	mover_clear(m);
	m->since_s = now_s;
	m->moves = 0;
	m->home = home;
	atomic_store_explicit(&m->key, key, memory_order_relaxed);
}

static void mover_hold(struct fdb_mover *m, uint32_t away, uint32_t now_s)
{
	m->away = away;
	m->told = false;
	atomic_store_explicit(&m->until_s, now_s + FDB_HOLD_S, memory_order_relaxed);
	atomic_store_explicit(&m->held, true, memory_order_relaxed);
}

/* Whether a host that moves now begins to be watched, or anew. */
static inline bool begins(const struct fdb_mover *m, bool same, uint32_t now_s)
{
	return !same || atomic_load_explicit(&m->held, memory_order_relaxed) ||
		now_s - m->since_s >= FDB_FLAP_S;
}

uint32_t fdb_flap_move(struct fdb *fdb, fdb_key key, uint32_t from, uint32_t to, uint32_t now_s)
{
	struct fdb_mover *m = fdb_mover_of(fdb, key);
	bool same = atomic_load_explicit(&m->key, memory_order_relaxed) == key;

	if (!fdb->flap_moves)
		return to;
	if (fdb_mover_is_held(m, now_s))
		return same ? from : to;
	if (begins(m, same, now_s))
		mover_begin(m, key, from, now_s);
	if (++m->moves < fdb->flap_moves)
		return to;
	mover_hold(m, from == m->home ? to : from, now_s);
	fdb_count_one(&fdb->flaps);
	return m->home;
}

uint32_t fdb_flap_peek(struct fdb *fdb, fdb_key key, uint32_t from, uint32_t to, uint32_t now_s)
{
	const struct fdb_mover *m = fdb_mover_of(fdb, key);
	bool same = atomic_load_explicit(&m->key, memory_order_relaxed) == key;

	if (!fdb->flap_moves)
		return to;
	if (fdb_mover_is_held(m, now_s))
		return same ? from : to;
	if (begins(m, same, now_s))
		return fdb->flap_moves > 1 ? to : from;
	return m->moves + 1 < fdb->flap_moves ? to : m->home;
}

void fdb_flap_forget(struct fdb *fdb, uint32_t hop)
{
	rw_spin_lock(&fdb->lock);
	for (unsigned i = 0; i < FDB_MOVERS; i++) {
		if (hop == FDB_HOP_NONE || fdb->movers[i].home == hop)
			mover_clear(&fdb->movers[i]);
	}
	rw_spin_unlock(&fdb->lock);
}

uint32_t fdb_flaps_take(struct fdb *fdb, struct fdb_flap *out, uint32_t n)
{
	uint32_t got = 0;

	rw_spin_lock(&fdb->lock);
	for (unsigned i = 0; i < FDB_MOVERS && got < n; i++) {
		struct fdb_mover *m = &fdb->movers[i];

		if (!atomic_load_explicit(&m->held, memory_order_relaxed) || m->told)
			continue;
		m->told = true;
		out[got++] = (struct fdb_flap){
			.key = atomic_load_explicit(&m->key, memory_order_relaxed),
			.home = m->home,
			.away = m->away};
	}
	rw_spin_unlock(&fdb->lock);
	return got;
}
