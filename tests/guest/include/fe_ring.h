/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The driver's side of a virtqueue, split and packed (virtio 1.2, 2.7 and 2.8): what a guest does.
 *
 * A ring lies on any memory the caller gives: a plain array in a unit test of the device side, or
 * memory shared with a back-end. Addresses of buffers are numbers to it (guest-physical); it never
 * reads or writes them.
 *
 * The driver's own record (free descriptors, tokens, what is in flight) is private memory, taken
 * once by fe_ring_init: adding and popping allocate nothing. Nothing the device writes can make the
 * driver leave its arrays; nonsense in a used ring is reported as -EPROTO.
 *
 * Free descriptors (split) and buffer ids (packed) are reused in the order in which they came
 * back, so with an in-order device they go round the ring, as IN_ORDER demands.
 *
 * Buffers are added, then published together:
 *
 *	fe_ring_add(r, &chain); ...
 *	fe_ring_publish(r);
 *	if (fe_ring_needs_kick(r))
 *		eventfd_write(kick, 1);
 *	while (!fe_ring_pop(r, &used))
 *		...
 *
 * Fields are little-endian, as VERSION_1 has them, or big-endian (`swap`): what a legacy driver on
 * a big-endian machine writes, announced by SET_VRING_ENDIAN.
 *
 * The areas are public so that a test can forge what no driver would write.
 *
 * Thread: one at a time for a ring. The device may run in another thread or process.
 */
#include "fe_layout.h"

/*
 * Told of each write of the driver's to memory that it shares, rings and indirect tables: `len`
 * bytes at `at` are, or will be at once, those at `bytes`.
 */
typedef void fe_wrote_fn(void *ctx, const void *at, const void *bytes, size_t len);

struct fe_ring_config {
	enum fe_format format;
	uint16_t num;   /* entries; split: a power of two; at most FE_RING_MAX */
	bool event_idx; /* VIRTIO_F_EVENT_IDX was negotiated */
	bool in_order;  /* VIRTIO_F_IN_ORDER was negotiated */
	bool swap;      /* a legacy big-endian driver: every field in that order; split only */
	void *desc;     /* the three areas, 16-byte, 4-byte and 4-byte aligned */
	void *driver;
	void *device;
	uint16_t start;     /* split: first index; packed: first slot, below num */
	bool wrap;          /* packed: both wrap counters; true for a fresh ring */
	fe_wrote_fn *wrote; /* see there; NULL: nobody cares */
	void *wrote_ctx;
};

/* A piece of a buffer. */
struct fe_seg {
	uint64_t gpa;
	uint32_t len; /* bytes */
};

/* A buffer for the device: what it reads, then what it writes. */
struct fe_chain {
	const struct fe_seg *segs;     /* n_out + n_in pieces */
	uint16_t n_out;                /* readable by the device */
	uint16_t n_in;                 /* writable by the device */
	uint64_t token;                /* handed back by fe_ring_pop */
	union fe_indirect_desc *table; /* n_out + n_in entries to fill in, or NULL: direct */
	uint64_t table_gpa;            /* where the device finds `table` */
};

/* An entry of an indirect table: both formats are 16 bytes. */
union fe_indirect_desc {
	struct vring_desc split;
	struct vring_packed_desc packed;
};

/* A buffer that the device has used. */
struct fe_used {
	uint64_t token;
	uint32_t len; /* bytes the device says it wrote */
	uint16_t id;  /* split: head descriptor; packed: buffer id */
};

struct fe_slot; /* the driver's record of a descriptor or buffer id: ring.c */

struct fe_ring {
	/* Shared with the device. Split: the first three; packed: the last three. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *pdesc;
	struct vring_packed_desc_event *driver_event;
	struct vring_packed_desc_event *device_event;

	enum fe_format format;
	uint16_t num; /* entries */
	bool event_idx;
	bool in_order;
	bool swap;
	fe_wrote_fn *wrote;
	void *wrote_ctx;

	/* Adding. Split: free-running index; packed: slot and wrap counter. */
	uint16_t avail_idx;
	bool avail_wrap;
	uint16_t published_idx; /* `avail_idx` as the device may know it */
	bool published_wrap;
	uint32_t added;   /* buffers (packed: descriptors) published since the last kick decision */
	uint32_t pending; /* the same, added and not yet published */
	uint16_t head_slot;  /* packed: first unpublished slot... */
	uint16_t head_flags; /* ...and the flags that will make it available */

	/* Popping. */
	uint16_t used_idx; /* split: free-running index; packed: slot */
	bool used_wrap;
	uint16_t used_seen; /* split: the device's index when last read */
	bool batch;         /* IN_ORDER: one used entry stands for several buffers, up to... */
	uint16_t batch_id;  /* ...this one */
	uint32_t batch_len; /* bytes written to the last of them */

	/* Private record. */
	struct fe_slot *slots; /* num */
	uint16_t *order;       /* IN_ORDER: ids in flight, a circle of num, oldest at order_head */
	uint16_t order_head;
	uint16_t in_flight;  /* buffers */
	uint16_t free_descs; /* ring descriptors */
	uint16_t free_head;  /* list of free descriptors, resp. buffer ids... */
	uint16_t free_tail;  /* ...and its end */
	uint16_t free_ids;   /* its length */
};

/*
 * Make a ring in which nothing is available and nothing used, and write that state to the three
 * areas. 0; -EINVAL for a size, start or alignment that no ring may have; -ENOMEM.
 */
int fe_ring_init(struct fe_ring *r, const struct fe_ring_config *config);

/* Release the private record; the areas are the caller's. Harmless on a zeroed ring. */
void fe_ring_fini(struct fe_ring *r);

/*
 * Hand out free descriptors (packed: buffer ids) in a scattered order from now on, so that ids and
 * positions differ. Only while nothing is in flight, and not with IN_ORDER: else -EBUSY, -EINVAL.
 */
int fe_ring_scatter(struct fe_ring *r, uint32_t seed);

/*
 * Add a buffer; the device sees it after fe_ring_publish. 0; -ENOSPC when the ring has no room for
 * it now; -EINVAL when it is empty or longer than any ring.
 */
int fe_ring_add(struct fe_ring *r, const struct fe_chain *chain);

/* Let the device see all that was added. */
void fe_ring_publish(struct fe_ring *r);

/*
 * Whether the device wants to be told of what was published since the last call. Call it after each
 * fe_ring_publish.
 */
bool fe_ring_needs_kick(struct fe_ring *r);

/*
 * The next used buffer. 0; -EAGAIN when there is none; -EPROTO when the device wrote an id that is
 * not in flight or used more than there was: the ring is of no use any more.
 */
int fe_ring_pop(struct fe_ring *r, struct fe_used *out);

/* Whether fe_ring_pop would find something. */
bool fe_ring_has_used(struct fe_ring *r);

/*
 * Ask for an interrupt when the next buffer is used, or for none. With EVENT_IDX the request to be
 * quiet lapses after 65,535 buffers (packed: never). Ends with a full barrier: look for used
 * buffers once more before sleeping.
 */
void fe_ring_want_interrupt(struct fe_ring *r, bool on);

/*
 * Ask for an interrupt when `n` more buffers (packed: descriptors) have been used, 1 to num.
 * -ENOTSUP without EVENT_IDX.
 */
int fe_ring_interrupt_after(struct fe_ring *r, uint16_t n);
