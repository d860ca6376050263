/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A lent frame. The rx queue copies the first bytes, the head, once into worker memory. The other
 * bytes stay in the lender's memory until the burst ends. The switch reads only the copied head for
 * its decisions, and receivers get the copied head. So a guest that rewrites its buffer meanwhile
 * cannot change what was checked.
 *
 * A receiver may get a head that differs from the sender's by an edit: a tag pushed, popped or
 * rewritten, or bytes put in front. An edited frame has a head of its own and shares the segments
 * with the original frame, so a flood with edits does not copy the payload an extra time.
 *
 * Thread: the worker that polled the frame, until the burst ends.
 */
#include "rw_base.h"

/* Bytes of a frame that are copied on arrival. */
#define FRAME_HEAD 64
/* Most bytes to which frame_pull can extend a head. */
#define FRAME_PULL_MAX 256
/* Most bytes that an edit puts in front, or inserts. */
#define FRAME_FRONT_MAX 64
#define FRAME_HEAD_MAX  (FRAME_PULL_MAX + FRAME_FRONT_MAX)

/* Shortest frame that is forwarded: an Ethernet header. Longest: a 65535-byte IP packet, tagged. */
#define FRAME_MIN_LEN 14
#define FRAME_MAX_LEN (65535 + 18)

/* Most frames that a port lends at a time. With 32, a burst's heads and segment lists fit L1. */
#define FRAME_BURST 32

/*
 * Checksum and segmentation state, as in struct virtio_net_hdr (virtio 1.2, 5.1.6), checked against
 * the frame's length on arrival. All zero: a plain frame with complete checksums.
 */
struct frame_offload {
	uint8_t flags;        /* VIRTIO_NET_HDR_F_NEEDS_CSUM, or _DATA_VALID of an uplink, or 0 */
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
	uint16_t vlan;      /* VLAN id, 0 when untagged or priority-tagged, as its lender tags */
	struct frame_offload offload;
	uint16_t mark; /* lib/switch, while somebody watches (sw_watch.h): which frame it is */
	uint8_t head[FRAME_HEAD_MAX] RW_CACHE_ALIGNED;
} RW_CACHE_ALIGNED;

/*
 * Initialise a plain frame of `len` bytes. The caller writes its first FRAME_HEAD bytes to `head`.
 */
static inline void frame_init(struct frame *f, uint32_t len)
{
	f->seg = NULL;
	f->len = len;
	f->nsegs = 0;
	f->head_len = (uint16_t)RW_MIN(len, (uint32_t)FRAME_HEAD);
	f->vlan = 0;
	f->offload = (struct frame_offload){0};
}

/*
 * Whether its checksums are complete, it needs no segmentation, and there is nothing else that a
 * receiver may want to know.
 */
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

/* Length and offset of a VLAN tag, in bytes. */
#define FRAME_TAG_LEN 4
#define FRAME_TAG_AT  12

/* The kinds of tag by their TPIDs, in the byte order of the wire. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FRAME_TPID_CUSTOMER 0x0081 /* 0x8100, of IEEE 802.1Q */
#define FRAME_TPID_SERVICE  0xa888 /* 0x88a8, of IEEE 802.1ad */
#else
#define FRAME_TPID_CUSTOMER 0x8100
#define FRAME_TPID_SERVICE  0x88a8
#endif

/* What follows the addresses, in the byte order of the wire. */
static inline uint16_t frame_type(const struct frame *f)
{
	uint16_t type;

	__builtin_memcpy(&type, f->head + FRAME_TAG_AT, sizeof(type));
	return type;
}

/*
 * Whether that TPID follows the addresses. A tag of the other kind is payload. Does not check that
 * the frame is long enough.
 */
static inline bool frame_has_tag(const struct frame *f, uint16_t tpid)
{
	return frame_type(f) == tpid;
}

/* The VLAN id of a tag of that kind in the head, else 0. */
static inline uint16_t frame_vlan(const struct frame *f, uint16_t tpid)
{
	if (rw_likely(!frame_has_tag(f, tpid) || f->len < 18))
		return 0;
	return (uint16_t)((f->head[14] & 0x0f) << 8 | f->head[15]);
}

/*
 * A hash of the frame's flow, the same in both directions. It covers addresses and ports of IPv4
 * and IPv6 (fragments: addresses only), otherwise the MAC addresses and EtherType. It has no key:
 * it only selects queues and does not resist attacks.
 */
uint32_t frame_flow_hash(const struct frame *f);

/* What an edit does to the tag of its kind. */
enum frame_tag_edit {
	FRAME_TAG_KEEP,    /* nothing */
	FRAME_TAG_PUSH,    /* insert a tag before any other, with priority 0 */
	FRAME_TAG_POP,     /* remove the outermost tag, if it is of the kind */
	FRAME_TAG_REWRITE, /* replace its VLAN id; a frame without it gets a tag pushed */
};

/* How a receiver's copy differs from the sender's frame. */
struct frame_edit {
	uint8_t tag;          /* enum frame_tag_edit */
	uint8_t front_len;    /* of `front`; at most FRAME_FRONT_MAX - FRAME_TAG_LEN with a push */
	uint16_t vlan;        /* of the tag; 0 when none is written */
	uint16_t tpid;        /* FRAME_TPID_* of the tag; 0 with FRAME_TAG_KEEP */
	uint16_t unused;      /* 0 */
	const uint8_t *front; /* inserted before the frame, after the tag is edited */
};

/* Whether it changes anything. */
static inline bool frame_edit_any(const struct frame_edit *edit)
{
	return edit->tag | edit->front_len;
}

static inline bool frame_edit_same(struct frame_edit a, struct frame_edit b)
{
	uint64_t x, y;

	_Static_assert(offsetof(struct frame_edit, front) == sizeof(x), "all of it is compared");
	__builtin_memcpy(&x, &a, sizeof(x));
	__builtin_memcpy(&y, &b, sizeof(y));
	return x == y && a.front == b.front;
}

/*
 * Write to `out` the frame that results from applying `edit` to `f`. `f` must not be an edited
 * frame itself. Both share f's segments. Offsets in the offload fields are adjusted.
 */
void frame_edit(const struct frame *f, const struct frame_edit *edit, struct frame *out);

/*
 * Extend the head of a frame to `want` <= FRAME_PULL_MAX bytes, or to the whole frame if that is
 * shorter. The segments then begin after the head. Returns the head's new length. From then on only
 * the copied bytes are used.
 */
uint32_t frame_pull(struct frame *f, uint32_t want);
