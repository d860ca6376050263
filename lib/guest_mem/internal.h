/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* What the files of this library share. */
#include <sys/stat.h>

#include "guest_mem.h"

/*
 * A file mapped for one or more maps; a map has it once at most, so that an address of ours belongs to one
 * region. The descriptor stays open: a range that lies across two backings is mapped a second time from
 * both (gm_linear_get), and a resent table is recognised by its file.
 */
struct gm_backing {
	uint32_t refs; /* maps that have a region on it; control thread only */
	int fd;        /* our duplicate */
	dev_t dev;     /* which file it is */
	ino_t ino;
	uint64_t offset;    /* file offset of map_base, a multiple of page_size */
	uint64_t page_size; /* of the file: 4 KiB, or the huge page size */
	uint8_t *map_base;
	size_t map_len; /* a multiple of page_size */
	bool watched;   /* by a userfaultfd: gm_map_watch */
};

/* The place in map->by_uva of the region that holds user address `uva`, or map->nregions. */
uint32_t gm_uva_place(const struct gm_map *map, uint64_t uva);

/* The region that holds user address `uva`, or NULL. */
const struct gm_region *gm_region_by_uva(const struct gm_map *map, uint64_t uva);
