/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Mappings of files that a front-end sent, and what happens when the memory behind one vanishes.
 *
 * Whoever sent a file can truncate it, punch a hole while no huge page is free, or lose it to a
 * memory error. The next access raises SIGBUS. A handler looks the address up in a table of all
 * such mappings, puts anonymous zero pages in the place of the whole mapping, notes the loss in the
 * mapping's owner and returns: the access is repeated and succeeds. Nobody else is concerned. The
 * owner's user looks at `loss` after a burst or a message and gives the owner up.
 *
 * SIGBUS for any other reason, or at any other address, goes to the handler that was there before,
 * or has the default action.
 *
 * The table's entry outlives the mapping: gm_file_unmap removes the entry, waits until no handler
 * runs that may have found it, then unmaps. So its caller makes sure that no thread touches the
 * mapping any more.
 *
 * Threads: control maps and unmaps; any thread may fault and read `loss`.
 */
#include <sys/types.h>

#include "rw_budget.h"
#include "rw_helper.h"

/* Mappings that the table has room for, of all owners together: what Linux allows a process. */
#define GM_GUARD_MAX 65536

/* What is lost. */
enum gm_loss {
	GM_LOSS_NONE,
	GM_LOSS_MEMORY,   /* guest memory */
	GM_LOSS_LOG,      /* the dirty log */
	GM_LOSS_INFLIGHT, /* the in-flight buffer */
	GM_LOSS_HARDWARE, /* a page of any of them, by an uncorrectable memory error */
};

/* Whose mappings they are, and which files it may send. Zero it; it must outlive its mappings. */
struct gm_owner {
	uint32_t loss; /* enum gm_loss, the first that happened; stays set */
	/*
	 * Map files of any file system. Otherwise only of tmpfs (so memfd) and hugetlbfs: a file
	 * system in user space can keep whoever touches a page waiting for ever.
	 */
	bool any_file;
	struct rw_helper *helper;   /* unmaps and closes; NULL: whoever calls does */
	struct rw_budgets *budgets; /* what its mappings are charged to; NULL: nothing */
};

static inline enum gm_loss gm_owner_loss(const struct gm_owner *owner)
{
	return (enum gm_loss)__atomic_load_n(&owner->loss, __ATOMIC_RELAXED);
}

/* "guest memory vanished (the front-end truncated it?)" and so on. */
const char *gm_loss_text(enum gm_loss loss);

/* A mapping of part of a file: shared, writable, not in core dumps, not inherited by children. */
struct gm_file {
	uint8_t *host; /* the byte at the offset that was asked for */
	uint8_t *base;
	size_t len; /* bytes at `base`, a multiple of page_size */
	uint64_t page_size;
	struct rw_helper *helper;   /* the owner's */
	uint32_t slot;              /* in the table */
	struct rw_budgets *budgets; /* the owner's */
};

/*
 * Map [offset, offset + size) of `fd`, which stays the caller's. The caller has checked that the
 * sum does not wrap. `owner` may be NULL: then nobody is told of a loss, and any file is taken.
 * -EMEDIUMTYPE: the owner may not send files of that kind; -ENXIO: it reaches past the end of the
 * file; -EDQUOT: the owner's budget is used up; -ENOSPC: the table is full; or what fstat or mmap
 * said: -ENOMEM if huge pages are missing.
 */
int gm_file_map(struct gm_owner *owner, enum gm_loss kind, int fd, uint64_t offset, uint64_t size,
	struct gm_file *out);
/* No thread touches it any more. Harmless on a zeroed structure. */
void gm_file_unmap(struct gm_file *file);

/* 0 if the owner may send such a file, else -EMEDIUMTYPE. Never blocks, whatever `fd` is. */
int gm_file_check(const struct gm_owner *owner, int fd);
/* The unit in which `fd` can be mapped, bytes: 4 KiB, or the huge page size. */
uint64_t gm_file_page_size(int fd);

/*
 * For mappings that were made otherwise: enter [base, base + len), whole pages of their file, into
 * the table, and take it out. Slot 0 is none. 0 or -ENOSPC.
 */
int gm_guard_add(
	struct gm_owner *owner, enum gm_loss kind, uint8_t *base, size_t len, uint32_t *slot);
void gm_guard_del(uint32_t slot);

/*
 * Handle SIGBUS from now on, in all threads, and hand on to the present handler what is not ours.
 * Harmless when it is done already. 0 or -errno. Nothing in the process may install another handler
 * afterwards.
 */
int gm_guard_install(void);
