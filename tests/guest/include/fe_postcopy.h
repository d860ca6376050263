/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The destination of a postcopy migration: a guest that goes on while its memory is still
 * elsewhere. The guest's present memory is the source; begun, every page of it is missing and comes
 * when somebody wants it, from a thread of this structure's:
 *
 *	- the guest's own accesses fault on a userfaultfd of ours;
 *	- those of the back-end on its own one, which it gave us (POSTCOPY_ADVISE); its addresses
 *	  are told by the bases it answered to the memory table;
 *	- a page that arrives, arrives whole, then both are woken.
 *
 *	fe_guest_disconnect(g);
 *	fe_postcopy_begin(g);
 *	fe_guest_connect(g, path);
 *	fe_guest_resume(g);       POSTCOPY_ADVISE, POSTCOPY_LISTEN, memory with bases, rings
 *	...
 *	fe_postcopy_end(g->postcopy);
 *	fe_postcopy_free(g->postcopy);
 *
 * Privilege: userfaultfd wants CAP_SYS_PTRACE or vm.unprivileged_userfaultfd: else -EPERM.
 *
 * Thread: the guest's, but for the counters.
 */
#include "fe_guest.h"

/* Pages that may be held back at a time. */
#define FE_POSTCOPY_HELD 64

/*
 * Take the guest's memory away. The guest is not connected, or its back-end does not know the
 * memory yet. Not on huge pages (-ENOTSUP).
 */
int fe_postcopy_begin(struct fe_guest *g);

/* End the thread and give the rest of the memory back at once. NULL is fine. */
void fe_postcopy_free(struct fe_postcopy *pc);

/* The steps of fe_guest_resume: POSTCOPY_ADVISE alone; that, unless done, and POSTCOPY_LISTEN. */
int fe_postcopy_advise(struct fe_postcopy *pc);
int fe_postcopy_listen(struct fe_postcopy *pc);

/*
 * Hold the page of `addr` back, if it is not there yet: whoever wants it waits, the guest too,
 * until it is let go. -ENOSPC: too many; -EEXIST: it is there.
 */
int fe_postcopy_hold(struct fe_postcopy *pc, uint64_t addr);
void fe_postcopy_release(struct fe_postcopy *pc, uint64_t addr);

/* Supply all pages but those that are held, as the source does in the background. 0 or -errno. */
int fe_postcopy_fill(struct fe_postcopy *pc);

/* Supply all that is left, then POSTCOPY_END. */
int fe_postcopy_end(struct fe_postcopy *pc);

/* Faults so far: the back-end's, those of it that hit a held page, and the guest's. */
struct fe_postcopy_stats {
	uint64_t backend_faults;
	uint64_t backend_held;
	uint64_t guest_faults;
};

/* Thread: any. */
struct fe_postcopy_stats fe_postcopy_stats(struct fe_postcopy *pc);
