/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The driver's side of one ring, made fast: a load generator must cost less than the device that it
 * measures. It polls in bursts and does not copy frames.
 *
 * Buffer i belongs to descriptor i permanently and is one descriptor long. A split ring's
 * descriptors are written once. While the device returns buffers in order, the available ring is
 * not written either: publishing is one store of the index. A device may overwrite a packed ring's
 * descriptors, so 16 bytes are written again for each buffer. If the device once returns buffers in
 * another order, the queue becomes "loose": it still works, a little slower.
 *
 * A frame begins 12 bytes into a cache line, whatever the virtio-net header's length. So the
 * virtio-net, Ethernet, IPv4 and UDP headers and the next 10 bytes share one line, the only one
 * that must be accessed.
 *
 * Receive:  n = fe_burst_recv(b, frames, max); read them; fe_burst_release(b);
 * Transmit: n = fe_burst_room(b, want); write to fe_burst_buf(b, 0 .. n - 1); fe_burst_send(b, n);
 *
 * After either, the caller calls fe_burst_kick, which kicks the device if it enabled notifications.
 * This is a separate call because its barrier waits until the device's cache gives up the index's
 * line, which takes some hundred cycles. A caller that polls in an endless loop calls it when it is
 * idle, and from time to time otherwise.
 *
 * Nothing that the device writes causes an access outside the arrays. If a ring contradicts itself,
 * functions return -EPROTO, and the queue is unusable from then on.
 *
 * Thread: one at a time for a queue. The caller owns the memory: a session's (fe_session.h) or any
 * other.
 */
#include "fe_layout.h"

/* Most frames or buffers that one call processes. */
#define FE_BURST_MAX 64

/* Where a frame begins in its buffer's first line. */
#define FE_BURST_FRAME_AT 12

struct fe_burst_config {
	enum fe_format format;
	uint16_t num;                 /* entries, and buffers; a power of two */
	bool receive;                 /* the device writes to the buffers */
	bool event_idx;               /* VIRTIO_F_EVENT_IDX was negotiated */
	bool in_order;                /* VIRTIO_F_IN_ORDER */
	bool mergeable;               /* VIRTIO_NET_F_MRG_RXBUF: a frame may span receive buffers */
	void *desc, *driver, *device; /* the areas: see fe_layout.h */
	uint8_t *host;                /* the buffers, 64-byte aligned */
	uint64_t gpa;                 /* their address for the device */
	uint32_t stride;              /* bytes from one to the next, a multiple of 64 */
	uint32_t size;                /* bytes that each holds, header included */
	uint32_t hdr_len;             /* of the virtio-net header: 10 or 12 */
	int kick_fd;                  /* eventfd; -1: kicks are only counted */
};

/*
 * Positions count buffers from the start of the ring, modulo 2^32: position p is in slot p % num.
 * The device owns buffers [next, posted); the driver owns the others of the num. The device can see
 * those before published (<= posted). It has used those in [next, seen), and we have read their
 * used entries.
 */
struct fe_burst {
	/* Constant. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *pdesc;
	struct vring_packed_desc_event *driver_event, *device_event;
	uint8_t *host;
	uint64_t gpa;
	uint32_t stride, size, mask, hdr_len;
	bool packed, receive, event_idx, in_order, mergeable;
	int kick_fd;

	/* Changing. */
	bool loose;      /* the device has once returned a buffer out of order */
	uint32_t posted; /* written to the ring */
	uint32_t published;
	uint32_t told;  /* `published` at the last check whether the device wants a kick */
	uint32_t ready; /* split: the device's index when last read */
	uint32_t seen;
	uint32_t next;
	uint16_t *ids;  /* by slot: the buffer that is there, or else goes there next */
	uint32_t *lens; /* receive: by slot, bytes written; transmit: by buffer, header included */
	bool *busy;     /* only when loose, by buffer: the device has it */
	uint64_t kicks; /* that the device wanted */
};

/* A received frame: valid until fe_burst_release. */
struct fe_burst_frame {
	uint8_t *data; /* its first byte, after the virtio-net header */
	uint32_t len;  /* of the whole frame, over all its buffers */
	uint32_t at;   /* position of its first buffer */
	uint32_t nbufs;
};

/*
 * Initialise a queue over the areas, which must be zeroed: nothing is available or used yet. For a
 * receive ring, publish all buffers. Calls are disabled. Returns 0, -EINVAL or -ENOMEM.
 */
int fe_burst_init(struct fe_burst *b, const struct fe_burst_config *config);
/* Free the queue's own memory. Harmless on a zeroed queue. */
void fe_burst_fini(struct fe_burst *b);

/*
 * Get up to `max` (at most FE_BURST_MAX) received frames, in the device's order. Returns their
 * number or -EPROTO. A frame whose buffers are not all used yet is left for a later call.
 */
int fe_burst_recv(struct fe_burst *b, struct fe_burst_frame *frames, unsigned max);

/*
 * Prefetch what the next fe_burst_recv will read. A caller with several queues calls this for all
 * of them first, so that their cache misses overlap. Returns 0 or -EPROTO.
 */
int fe_burst_peek(struct fe_burst *b);

/*
 * Returns the address of byte `off` of a frame. `*left` gets the number of contiguous bytes from
 * there. Requires off < f->len.
 */
const uint8_t *fe_burst_at(
	const struct fe_burst *b, const struct fe_burst_frame *f, uint32_t off, uint32_t *left);

/*
 * The caller no longer needs any received frame. The buffers are posted again once there are enough
 * of them.
 */
void fe_burst_release(struct fe_burst *b);

/*
 * Returns how many frames can be sent now, at most `want`, or -EPROTO. Reads used entries if fewer
 * free buffers are known.
 */
int fe_burst_room(struct fe_burst *b, unsigned want);

/* Send the next `n` buffers as they are. */
void fe_burst_send(struct fe_burst *b, unsigned n);

/* Kick the device if it wants a kick for what was published since the last call. */
void fe_burst_kick_slow(struct fe_burst *b);
static inline void fe_burst_kick(struct fe_burst *b)
{
	if (b->told != b->published)
		fe_burst_kick_slow(b);
}

/* Reclaim the sent buffers that the device has returned. Returns 0 or -EPROTO. */
int fe_burst_reap(struct fe_burst *b);

/* Whether the device has returned all sent buffers, as of the last fe_burst_reap or _room. */
static inline bool fe_burst_idle(const struct fe_burst *b)
{
	return b->next == b->posted;
}

/* The first byte of the frame in buffer `id`; the virtio-net header precedes it. */
RW_ALWAYS_INLINE uint8_t *fe_burst_frame(const struct fe_burst *b, uint16_t id)
{
	return b->host + (size_t)id * b->stride + FE_BURST_FRAME_AT;
}

/* The i-th of the buffers that will be sent next. */
RW_ALWAYS_INLINE uint8_t *fe_burst_buf(const struct fe_burst *b, unsigned i)
{
	return fe_burst_frame(b, b->ids[(b->posted + i) & b->mask]);
}

/* The length with which that buffer will be sent, without virtio-net header. */
RW_ALWAYS_INLINE uint32_t fe_burst_len(const struct fe_burst *b, unsigned i)
{
	return b->lens[b->ids[(b->posted + i) & b->mask]] - b->hdr_len;
}

/* Send buffer `id` with `len` bytes from now on. The device must not have the buffer. */
void fe_burst_set_len(struct fe_burst *b, uint16_t id, uint32_t len);
