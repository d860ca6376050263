/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The borrowed frame. A port lends its frames: the first bytes, the head, are copied once into the
 * worker's memory, the rest stays where the lender has it until the burst is given back. Every
 * decision is made on the copied head, and the head is what receivers get, so a guest that rewrites
 * its buffer in between changes nothing that was checked.
 *
 * A receiver may get a head that differs from the sender's by an edit: a tag pushed, popped or
 * rewritten, bytes in front. An edited frame is one more head; it shares the rest with the frame
 * that it is made of, so payload is copied once whatever a flood's receivers are to see.
 *
 * Thread: the worker that borrowed the frame, until it is done with it.
 */
#include "rw_base.h"

/* Bytes of a frame that are copied on arrival. */
#define FRAME_HEAD 64
/* To which frame_pull can extend them. */
#define FRAME_PULL_MAX 256
/* Most bytes that an edit puts in front, or inserts. */
#define FRAME_FRONT_MAX 64
#define FRAME_HEAD_MAX  (FRAME_PULL_MAX + FRAME_FRONT_MAX)

/* Shortest frame that is forwarded: an Ethernet header. Longest: a 65535-byte IP packet, tagged. */
#define FRAME_MIN_LEN 14
#define FRAME_MAX_LEN (65535 + 18)

/* Most frames a port lends at a time. 32 keeps a burst's heads and seg lists in L1. */
#define FRAME_BURST 32

/*
 * Checksum and segmentation state, as in struct virtio_net_hdr (virtio 1.2, 5.1.6), checked against
 * the frame's length on arrival. All zero: a plain frame with complete checksums.
 */
struct frame_offload {
	uint8_t flags;        /* VIRTIO_NET_HDR_F_NEEDS_CSUM or 0 */
	uint8_t gso_type;     /* VIRTIO_NET_HDR_GSO_*, with _ECN */
	uint16_t hdr_len;     /* bytes of headers, a hint */
	uint16_t gso_size;    /* payload bytes of a segment */
	uint16_t csum_start;  /* the sum covers the bytes from here to the end */
	uint16_t csum_offset; /* the sum is stored at csum_start + csum_offset */
};

struct frame {
	struct rw_seg *seg; /* the bytes after the head, in the lender's memory */
	uint32_t len;       /* bytes, Ethernet header included, without FCS */
	uint16_t nsegs;     /* entries of `seg` */
	uint16_t head_len;  /* bytes in `head`: all of a short frame */
	uint16_t vlan;      /* VLAN id, 0 when untagged or priority-tagged */
	struct frame_offload offload;
	uint8_t head[FRAME_HEAD_MAX] RW_CACHE_ALIGNED;
} RW_CACHE_ALIGNED;

/* Begin a plain frame of `len` bytes, the first FRAME_HEAD of which its maker writes to `head`. */
static inline void frame_init(struct frame *f, uint32_t len)
{
	f->seg = NULL;
	f->len = len;
	f->nsegs = 0;
	f->head_len = (uint16_t)RW_MIN(len, (uint32_t)FRAME_HEAD);
	f->vlan = 0;
	f->offload = (struct frame_offload){0};
}

/* Whether its checksums are complete and it is to be sent as it is. */
static inline bool frame_is_plain(const struct frame *f)
{
	uint16_t flags_and_type;

	__builtin_memcpy(&flags_and_type, &f->offload, sizeof(flags_and_type));
	return !flags_and_type;
}

static inline const uint8_t *frame_dst(const struct frame *f)
{
	return f->head;
}

static inline const uint8_t *frame_src(const struct frame *f)
{
	return f->head + 6;
}

static inline bool frame_is_group(const struct frame *f)
{
	return f->head[0] & 1;
}

static inline bool frame_is_broadcast(const struct frame *f)
{
	uint32_t a;
	uint16_t b;

	__builtin_memcpy(&a, f->head, sizeof(a));
	__builtin_memcpy(&b, f->head + 4, sizeof(b));
	return a == UINT32_MAX && b == UINT16_MAX;
}

/* Whether an 802.1Q tag follows the addresses, or would if the frame were long enough. */
static inline bool frame_has_tag(const struct frame *f)
{
	static const uint8_t tpid[2] = {0x81, 0x00};

	return !__builtin_memcmp(f->head + 12, tpid, sizeof(tpid));
}

/* Bytes of an 802.1Q tag, and where it stands. */
#define FRAME_TAG_LEN 4
#define FRAME_TAG_AT  12

/* The VLAN id of an 802.1Q tag in the head, else 0. */
static inline uint16_t frame_vlan(const struct frame *f)
{
	if (rw_likely(!frame_has_tag(f) || f->len < 18))
		return 0;
	return (uint16_t)((f->head[14] & 0x0f) << 8 | f->head[15]);
}

/*
 * A hash of the flow the frame belongs to, the same in both directions: addresses and ports of IPv4
 * and IPv6 (fragments: addresses only), else the MAC addresses and ethertype. Not keyed: it steers
 * frames to queues and protects nothing.
 */
uint32_t frame_flow_hash(const struct frame *f);

/* What an edit does to the 802.1Q tag. */
enum frame_tag_edit {
	FRAME_TAG_KEEP,    /* nothing */
	FRAME_TAG_PUSH,    /* one in front of what is there, priority 0 */
	FRAME_TAG_POP,     /* the outermost away, if there is one */
	FRAME_TAG_REWRITE, /* its VLAN id; an untagged frame gets one pushed */
};

/* How a receiver's copy differs from the sender's frame. */
struct frame_edit {
	uint8_t tag;          /* enum frame_tag_edit */
	uint8_t front_len;    /* of `front`; at most FRAME_FRONT_MAX - FRAME_TAG_LEN with a push */
	uint16_t vlan;        /* of the tag */
	const uint8_t *front; /* goes before everything, after the tag is edited */
};

/* Whether it changes anything. */
static inline bool frame_edit_any(const struct frame_edit *edit)
{
	return edit->tag | edit->front_len;
}

static inline bool frame_edit_same(struct frame_edit a, struct frame_edit b)
{
	return a.tag == b.tag && a.front_len == b.front_len && a.vlan == b.vlan &&
		a.front == b.front;
}

/*
 * Make `out` what `edit` makes of `f`, a frame as it arrived or was pulled. The two share f's
 * segments; the places that offloads name move along.
 */
void frame_edit(const struct frame *f, const struct frame_edit *edit, struct frame *out);

/*
 * Extend the head of a frame to `want` <= FRAME_PULL_MAX bytes, or all that it has. Its segments
 * begin behind. How many bytes the head has now. From then on only the copy counts.
 */
uint32_t frame_pull(struct frame *f, uint32_t want);
