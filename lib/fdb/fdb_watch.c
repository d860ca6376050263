/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring of what was learned and what moved: workers fill it, control takes it. */
#include "fdb_priv.h"

void fdb_change_note(struct fdb *fdb, const struct fdb_change *change)
{
	uint32_t at = (fdb->first_change + fdb->nchanges) % FDB_CHANGES;

	if (fdb->nchanges == FDB_CHANGES) {
		fdb->changes_lost++;
		return;
	}
	fdb->changes[at] = *change;
	fdb->nchanges++;
}

void fdb_watch(struct fdb *fdb, bool on)
{
	rw_spin_lock(&fdb->lock);
	fdb->watched = on;
	fdb->nchanges = 0;
	fdb->changes_lost = 0;
	rw_spin_unlock(&fdb->lock);
}

uint32_t fdb_changes_take(struct fdb *fdb, struct fdb_change *out, uint32_t n, uint64_t *lost)
{
	uint32_t got;

	rw_spin_lock(&fdb->lock);
	got = RW_MIN(n, fdb->nchanges);
	for (uint32_t i = 0; i < got; i++)
		out[i] = fdb->changes[(fdb->first_change + i) % FDB_CHANGES];
	fdb->first_change = (fdb->first_change + got) % FDB_CHANGES;
	fdb->nchanges -= got;
	*lost = fdb->changes_lost;
	fdb->changes_lost = 0;
	rw_spin_unlock(&fdb->lock);
	return got;
}
