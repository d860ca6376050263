/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The ring targets: a virtqueue in guest memory that the input writes, and the checks of what the
 * device side does there. Compiled once for each format, PACKED being 0 or 1.
 */
#include "fuzz.h"
#include "vq_ops.h"

/* Guest-physical layout: ring, tables and buffers; the second region follows the first at once. */
#define DESC_AT   0x0000u
#define DRIVER_AT 0x1000u
#define DEVICE_AT 0x2000u
#define TABLE_AT  0x3000u /* where indirect tables usually are */
#define MEM_BYTES 0x7000u /* of all regions together */
#define NREGIONS  3
#define LOG_BYTES 64

/* Most chains that are fetched and not completed; most operations of one input. */
#define MAX_TAKEN 64
#define MAX_OPS   96
#define MAX_NUM   256

/* Guest memory, and what of it the driver wrote. */
struct fuzz_mem {
	struct gm_map *map;
	uint8_t shadow[MEM_BYTES]; /* without what the device wrote since the last check */
	uint8_t *log_bits;
	struct dl_log *log;
};

struct ring {
	struct vq vq;
	struct vq_config cfg;
	struct fuzz_mem *mem;
	struct gm_iotlb *tlb;
	struct dl_batch batch;
	struct gm_piece pieces[2];
	uint8_t *record;
	uint64_t record_bytes;
	struct rw_seg *segs; /* room for one chain and no more */
	unsigned mode;
	bool writable;
	uint16_t num;

	/* Fetched and not completed, in order. */
	struct vq_chain taken[MAX_TAKEN];
	unsigned ntaken;
	unsigned ndone; /* of them completed and not flushed */

	/* The driver's side. */
	struct vq_cursor avail;
	/* It keeps to the rules so far, so that the record must give back what was taken. */
	bool honest;
	bool busy[MAX_NUM]; /* split: heads that it may not use again yet */
	uint32_t room;      /* packed: entries that it may use */
	unsigned resumed;   /* chains behind those in `taken` that a record must return first */
};

/* ring_check.c */

void mem_init(struct fuzz_mem *m);
/* All zero, nothing logged. */
void mem_reset(struct fuzz_mem *m);
/* Where `gpa` is in our memory, NULL outside; `*len` is cut to the region. */
uint8_t *mem_at(const struct fuzz_mem *m, uint64_t gpa, uint64_t *len);
/* The driver writes what is inside of memory. */
void mem_write(struct fuzz_mem *m, uint64_t gpa, const void *data, uint64_t len);
/*
 * What the device wrote since the last look is in its own parts of the ring. `flushed`: it is in
 * the log, too, and becomes the shadow.
 */
void ring_check_writes(struct ring *r, bool flushed);
/* The state of the queue is possible. */
void ring_check_state(const struct ring *r);
/* A chain that was fetched from `at` with that status. */
void ring_check_chain(
	const struct ring *r, struct vq_cursor at, const struct vq_chain *c, enum vq_status status);
