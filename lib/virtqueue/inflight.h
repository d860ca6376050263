/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The in-flight record (vhost-user, "Inflight I/O tracking"): what of a ring the device has taken
 * and not yet returned, kept in memory of the front-end, so that it survives a back-end that is
 * killed.
 *
 * While the queue runs the shared region is only ever written. What must be known of it is kept in
 * private memory, for the front-end may scribble over the region at any time. Every store has
 * release order: a back-end that is killed leaves behind what it stored up to some point of the
 * program and nothing from beyond, and that is all the order there is to keep.
 *
 * inflight.c runs the record, recover.c makes it or reads that of a predecessor.
 */
#include "vq_ops.h"

#define INFLIGHT_VERSION 1

/* How both formats' regions begin. */
struct inflight_region {
	uint64_t features; /* 0 */
	uint16_t version;  /* 0: nothing is recorded */
	uint16_t desc_num; /* entries */
};

/* One for each descriptor of a split ring's table; all but `next` count in heads of chains only. */
struct inflight_split_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;    /* the batch last published: the chain used before this one */
	uint64_t counter; /* order of fetching */
};

struct inflight_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct inflight_split_desc desc[];
};

/*
 * Copies of the descriptors that were taken, linked by `next` to chains, and a list of free ones.
 */
struct inflight_packed_desc {
	uint8_t inflight; /* heads only, as are last, num and counter */
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

/* The used position: `used_*` is stored before a batch is published, `old_used_*` after it. */
union inflight_used {
	struct {
		uint16_t used_idx;
		uint16_t old_used_idx;
		uint8_t used_wrap_counter;
		uint8_t old_used_wrap_counter;
		uint8_t padding[2];
	};
	/*
	 * An index and its wrap counter are stored at once: a kill between two stores would leave a
	 * position half a lap or more away.
	 */
	uint64_t word;
};

struct inflight_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	union inflight_used used;
	uint64_t padding; /* with the two bytes above: 7 that the layout has and 3 for alignment */
	struct inflight_packed_desc desc[];
};

_Static_assert(sizeof(struct inflight_split) == 16 && sizeof(struct inflight_split_desc) == 16 &&
		sizeof(struct inflight_packed) == 32 && sizeof(struct inflight_packed_desc) == 32,
	"the layouts of vhost-user");

/* What we know of an entry of a packed ring's record. */
struct inflight_entry {
	uint16_t next;
	uint16_t last;
	uint16_t num;
};

struct vq_inflight {
	union {
		struct inflight_region *region;
		struct inflight_split *split;
		struct inflight_packed *packed;
	};
	uint64_t counter;          /* of the next chain */
	uint16_t resume;           /* from vq->done on: chains (packed: entries) of a predecessor */
	uint16_t last_batch_head;  /* split */
	uint16_t free_head;        /* packed; an index beyond the ring ends the list */
	uint16_t old_free_head;    /* packed */
	struct vq_cursor old_used; /* packed */
	uint16_t *head_at; /* by position in the ring: the head, or the first entry in the record */
	struct inflight_entry *entries; /* NULL for a split ring */
};

/* How far `c` is ahead of vq->done in a packed ring. */
static inline uint32_t inflight_ahead(const struct vq *vq, struct vq_cursor c)
{
	return (uint32_t)c.idx - vq->done.idx + (c.wrap != vq->done.wrap ? vq->num : 0u);
}

static inline void inflight_store_used(
	struct inflight_packed *r, struct vq_cursor used, struct vq_cursor old)
{
	union inflight_used both = {{.used_idx = used.idx,
		.old_used_idx = old.idx,
		.used_wrap_counter = used.wrap,
		.old_used_wrap_counter = old.wrap}};

	vq_store_release(&r->used.word, both.word);
}
