/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A ring driven as fast as it can be: for a load that has to cost less than the device it measures.
 * It polls in bursts and leaves frames where they are.
 *
 * What makes it cheap: buffer i belongs to descriptor i for good, in one piece. A split ring's
 * descriptors are written once, and while the device returns buffers in order its available ring
 * need not be written either: publishing is one store of the index. A packed ring's descriptors are
 * the device's to overwrite, 16 bytes for each buffer are written anew. A device that returns
 * buffers in another order is served, too, from then on a little slower ("loose").
 *
 * A frame begins 12 bytes into a cache line whatever the virtio-net header's length: header,
 * Ethernet, IPv4 and UDP header and the 10 bytes behind are one line, the only one that must be
 * touched.
 *
 * Receive:  n = fe_burst_recv(b, frames, max); look at them; fe_burst_release(b);
 * Transmit: n = fe_burst_room(b, want); write to fe_burst_buf(b, 0 .. n - 1); fe_burst_send(b, n);
 *
 * Both then owe the device a kick if it sleeps: fe_burst_kick. It is a call of its own because the
 * barrier that it takes waits until the device's cache has given up the index's line, some hundred
 * cycles. Who polls without end calls it when there is nothing else to do, and now and then in any
 * case.
 *
 * Nothing the device writes makes this leave its arrays: nonsense in a ring is -EPROTO, and the
 * queue of no use any more.
 *
 * Thread: one at a time for a queue. Memory is the caller's: a session's (fe_session.h), or any.
 */
#include "fe_layout.h"

/* Frames or buffers that are looked at together. */
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
	int kick_fd;                  /* eventfd; -1: nobody is kicked, only counted */
};

/*
 * Positions count buffers from the start of the ring, modulo 2^32: position p is in slot p % num.
 * Buffers [next, posted) are the device's, the num others the driver's; published <= posted is what
 * the device knows of, and [next, seen) what it has used and we have looked at.
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
	bool loose;      /* the device has once returned a buffer out of turn */
	uint32_t posted; /* written to the ring */
	uint32_t published;
	uint32_t told;  /* published when it was last looked whether the device wants a kick */
	uint32_t ready; /* split: the device's index when last read */
	uint32_t seen;
	uint32_t next;
	uint16_t *ids;  /* by slot: the buffer that goes there next, resp. is there */
	uint32_t *lens; /* receive: by slot, bytes written; transmit: by buffer, header included */
	bool *busy;     /* loose: by buffer, the device has it */
	uint64_t kicks; /* that the device asked for */
};

/* A received frame: valid until fe_burst_release. */
struct fe_burst_frame {
	uint8_t *data; /* its first byte, behind the virtio-net header */
	uint32_t len;  /* of the frame, all of its buffers together */
	uint32_t at;   /* position of its first buffer */
	uint32_t nbufs;
};

/*
 * Take over the areas, which are all zero: nothing is available or used yet. A receive ring is
 * filled, all buffers published. No interrupt is asked for. 0, -EINVAL, -ENOMEM.
 */
int fe_burst_init(struct fe_burst *b, const struct fe_burst_config *config);
/* Release what is private. Harmless on a zeroed queue. */
void fe_burst_fini(struct fe_burst *b);

/*
 * Up to `max` (at most FE_BURST_MAX) received frames, in the device's order. Their number or
 * -EPROTO. A frame whose buffers are not all used yet waits.
 */
int fe_burst_recv(struct fe_burst *b, struct fe_burst_frame *frames, unsigned max);

/*
 * Begin to fetch what the next fe_burst_recv will look at. For several queues at once: what they
 * need is on its way at the same time. 0 or -EPROTO.
 */
int fe_burst_peek(struct fe_burst *b);

/* Byte `off` of a frame, and in `*left` the bytes that follow it there. Needs off < frame->len. */
const uint8_t *fe_burst_at(
	const struct fe_burst *b, const struct fe_burst_frame *f, uint32_t off, uint32_t *left);

/*
 * Everything received is done with: the buffers go back to the ring, when there are enough of them.
 */
void fe_burst_release(struct fe_burst *b);

/*
 * How many frames can be sent now, at most `want`. Looks for used buffers when it does not know of
 * that many. Or -EPROTO.
 */
int fe_burst_room(struct fe_burst *b, unsigned want);

/* Send the next `n` buffers as they are. */
void fe_burst_send(struct fe_burst *b, unsigned n);

/* Kick the device if it wants to be told of what was given to it since the last call. */
void fe_burst_kick_slow(struct fe_burst *b);
static inline void fe_burst_kick(struct fe_burst *b)
{
	if (b->told != b->published)
		fe_burst_kick_slow(b);
}

/* Take back what the device has returned of what was sent. 0 or -EPROTO. */
int fe_burst_reap(struct fe_burst *b);

/* Whether the device has returned all that was sent; fe_burst_reap and fe_burst_room find out. */
static inline bool fe_burst_idle(const struct fe_burst *b)
{
	return b->next == b->posted;
}

/* Buffer `id`'s first byte of the frame; the header is before it. */
RW_ALWAYS_INLINE uint8_t *fe_burst_frame(const struct fe_burst *b, uint16_t id)
{
	return b->host + (size_t)id * b->stride + FE_BURST_FRAME_AT;
}

/* The i-th buffer that will be sent next. */
RW_ALWAYS_INLINE uint8_t *fe_burst_buf(const struct fe_burst *b, unsigned i)
{
	return fe_burst_frame(b, b->ids[(b->posted + i) & b->mask]);
}

/* The length with which it will be sent, without virtio-net header. */
RW_ALWAYS_INLINE uint32_t fe_burst_len(const struct fe_burst *b, unsigned i)
{
	return b->lens[b->ids[(b->posted + i) & b->mask]] - b->hdr_len;
}

/* From now on buffer `id`, which the device does not have, is sent with `len` bytes. */
void fe_burst_set_len(struct fe_burst *b, uint16_t id, uint32_t len);
