/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Postcopy: a mapping registered with a userfaultfd makes whoever touches a missing page wait until
 * the front-end, which holds a duplicate of the descriptor, has supplied it.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/userfaultfd.h>

#include "guest_mem.h"

static int backing_watch(struct gm_backing *b, int ufd)
{
	struct uffdio_register reg = {
		.range = {.start = (uintptr_t)b->file.base, .len = b->file.len},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	if (ioctl(ufd, UFFDIO_REGISTER, &reg))
		return -errno;
	b->watched = true;
	return 0;
}

static void backing_unwatch(struct gm_backing *b, int ufd)
{
	struct uffdio_range range = {.start = (uintptr_t)b->file.base, .len = b->file.len};

	/* Fails only when there is nothing to undo; wakes the threads that wait there. */
	(void)ioctl(ufd, UFFDIO_UNREGISTER, &range);
	b->watched = false;
}

int gm_map_watch(const struct gm_map *map, int ufd)
{
	/* A backing that another map has registered stays registered if this call fails. */
	bool mine[GM_MAX_REGIONS] = {false};

	for (uint32_t i = 0; i < map->nregions; i++) {
		struct gm_backing *b = map->regions[i].backing;
		int ret;

		if (b->watched)
			continue;
		ret = backing_watch(b, ufd);
		if (ret) {
			while (i--) {
				if (mine[i])
					backing_unwatch(map->regions[i].backing, ufd);
			}
			return ret;
		}
		mine[i] = true;
	}
	return 0;
}

void gm_map_unwatch(const struct gm_map *map, int ufd)
{
	for (uint32_t i = 0; i < map->nregions; i++) {
		if (map->regions[i].backing->watched)
			backing_unwatch(map->regions[i].backing, ufd);
	}
}

/*
 * Replace the mapping of the file by zero pages of our own. A thread that waits there is woken,
 * retries and finds them. False: no memory for the page tables.
 */
static bool backing_detach(struct gm_backing *b, int ufd)
{
	struct uffdio_range range = {.start = (uintptr_t)b->file.base, .len = b->file.len};

	if (mmap(b->file.base, b->file.len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	madvise(b->file.base, b->file.len, MADV_DONTDUMP);
	(void)ioctl(ufd, UFFDIO_WAKE, &range);
	b->watched = false;
	return true;
}

void gm_map_detach(const struct gm_map *map, int ufd)
{
	for (uint32_t i = 0; i < map->nregions; i++) {
		struct gm_backing *b = map->regions[i].backing;

		/*
		 * A thread that waits for ever would be worse than a page of the guest that is
		 * lost.
		 */
		if (b->watched && !backing_detach(b, ufd))
			backing_unwatch(b, ufd);
	}
}
