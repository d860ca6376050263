/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Offloads for a receiver that lacks them: a checksum is completed, a large TCP or UDP frame is cut
 * into segments. The frames that result have heads of their own and share the bytes behind with the
 * sender's frame, so the payload is copied once, as ever.
 *
 * A checksum covers bytes that are still in the sender's memory. A guest that rewrites them before
 * they are copied gets a wrong checksum on its own payload. No header depends on them: headers are
 * read, checked and rewritten in worker memory.
 *
 * Thread: the worker that polled the frame, until the burst ends.
 */
#include "frame.h"
#include "rw_virtio_net.h"

/* What a receiver takes, as bits. */
#define FRAME_TAKES_CSUM 0x01 /* partial or known checksums; without it, nothing else counts */
#define FRAME_TAKES_TSO4 0x02
#define FRAME_TAKES_TSO6 0x04
#define FRAME_TAKES_ECN  0x08 /* TSO frames with CWR set */
#define FRAME_TAKES_USO4 0x10
#define FRAME_TAKES_USO6 0x20
#define FRAME_TAKES_ALL  0x3f /* that a user can name */
#define FRAME_TAKES_EXT6 0x40 /* TSO6 frames with extension headers */

/*
 * Most segments of a frame, so that the work for one is bounded: 64 KiB need a gso_size of 128. The
 * smallest of TCP without options is 536 (RFC 9293, 3.7.1); Linux sends 128 UDP segments at most.
 */
#define FRAME_SEGMENTS_MAX 512

enum frame_fault {
	FRAME_OK,
	FRAME_END,          /* all segments are made */
	FRAME_NO_ROOM,      /* the list of segments has no room; nothing changed */
	FRAME_BAD_CSUM,     /* the checksum's place is behind what a head can be, or the frame */
	FRAME_BAD_GSO,      /* the headers are cut, or do not agree with the offload fields */
	FRAME_MANY_SEGMENTS /* more than FRAME_SEGMENTS_MAX */
};

/* What a receiver must take to get the frame as it is. */
uint8_t frame_needs(const struct frame *f);

/* Whether its checksum is partial. */
static inline bool frame_csum_is_partial(const struct frame *f)
{
	return f->offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

/* A list of segments that is being filled: the caller's memory, which outlives the frames. */
struct frame_room {
	struct rw_seg *segs;
	unsigned n; /* used */
	unsigned max;
};

/*
 * Write to `out` the frame with its checksum completed, and nothing said about it. `f` needs no
 * segmentation. `out` shares f's
 * segments, or has some of `room`. FRAME_OK, FRAME_NO_ROOM or FRAME_BAD_CSUM.
 */
enum frame_fault frame_csum_fill(const struct frame *f, struct frame_room *room, struct frame *out);

/* A frame that is being cut. */
struct frame_cut {
	const struct frame *frame;
	uint8_t head[FRAME_PULL_MAX]; /* the headers, with 0 where segments differ */
	const struct rw_seg *seg;     /* where the payload goes on, behind the frame's head ... */
	uint32_t seg_at;              /* ... in `seg` */
	uint32_t done;                /* payload bytes in the segments so far */
	uint32_t payload;             /* bytes in all */
	uint32_t nth;                 /* segments so far */
	uint32_t sum;                 /* of the pseudo header but for the length */
	uint64_t net_sum;             /* of `head`: the IPv4 header ... */
	uint64_t transport_sum;       /* ... the transport header and the pseudo header */
	uint32_t seq;                 /* TCP: of the first byte */
	uint16_t id;                  /* IPv4 */
	uint8_t flags;                /* TCP */
	uint16_t net_at, transport_at, hdr_len; /* bytes from the frame's start */
	bool ipv6, tcp;
	bool leave_csum;
};

/*
 * The checks of frame_cut_begin, for a frame that a device is to cut. With FRAME_OK `c` has the
 * places of its headers, and in `head` the headers as they were when they were checked.
 */
enum frame_fault frame_cut_check(struct frame_cut *c, const struct frame *f);
/*
 * Begin to cut a frame with a gso_type. With `leave_csum` the segments have partial checksums.
 * FRAME_OK, FRAME_BAD_GSO or FRAME_MANY_SEGMENTS.
 */
enum frame_fault frame_cut_begin(struct frame_cut *c, const struct frame *f, bool leave_csum);
/* Write the next segment to `out`. FRAME_OK, FRAME_END or FRAME_NO_ROOM. */
enum frame_fault frame_cut_next(struct frame_cut *c, struct frame_room *room, struct frame *out);
