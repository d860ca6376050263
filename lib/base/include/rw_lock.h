/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A spinlock for a bounded piece of work, a few microseconds. It is rte_spinlock in plain atomics:
 * ThreadSanitizer does not see the inline assembly of DPDK's.
 *
 * Thread: any. Zero-initialise it.
 */
#include "rw_base.h"

struct rw_spinlock {
	uint32_t held;
};

/* Whether the caller holds the lock now. False: somebody else does. */
static inline bool rw_spin_trylock(struct rw_spinlock *l)
{
	/* Pairs with the release in rw_spin_unlock. */
	return !__atomic_load_n(&l->held, __ATOMIC_RELAXED) &&
		!__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE);
}

static inline void rw_spin_lock(struct rw_spinlock *l)
{
	/* Pairs with the release in rw_spin_unlock. */
	while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)) {
		/* Wait on a shared line: an exchange would take it from its holder. */
		while (__atomic_load_n(&l->held, __ATOMIC_RELAXED))
			rw_pause();
	}
}

static inline void rw_spin_unlock(struct rw_spinlock *l)
{
	/* Pairs with the acquire in rw_spin_lock and rw_spin_trylock. */
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}
