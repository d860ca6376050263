/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lending a guest's frames. Two passes over the burst, so that the payload's cache lines are on
 * their way before they are looked at: take the chains, then open each.
 */
#include <string.h>

#include "queue.h"
#include "vq_ops.h"

/* A chain whose frame is being opened. */
struct loan {
	struct rw_seg *segs;
	uint32_t nsegs;
	uint32_t len; /* bytes of all segments */
};

/* Move `n` bytes from the front of the loan to `dst`, from however many segments. */
static void take_bytes(struct loan *loan, void *dst, uint32_t n)
{
	uint8_t *to = dst;

	loan->len -= n;
	while (n) {
		struct rw_seg *seg = loan->segs;
		uint32_t piece = RW_MIN(n, seg->len);

		memcpy(to, seg->data, piece);
		to += piece;
		n -= piece;
		seg->data += piece;
		seg->len -= piece;
		if (!seg->len) {
			loan->segs++;
			loan->nsegs--;
		}
	}
}

/* Skip `n` bytes that lie in the first segment. */
static inline void skip_bytes(struct loan *loan, uint32_t n)
{
	struct rw_seg *seg = loan->segs;

	loan->len -= n;
	seg->data += n;
	seg->len -= n;
	if (!seg->len) {
		loan->segs++;
		loan->nsegs--;
	}
}

/* Whether 64 bytes can be read at `p` without leaving its page, which the guest has mapped. */
static inline bool readable64(const uint8_t *p)
{
	return ((uintptr_t)p & 4095) <= 4096 - FRAME_HEAD;
}

/* The frame's first bytes into worker memory: the one look that every decision is made on. */
static inline void take_head(struct loan *loan, struct frame *f)
{
	struct rw_seg *seg = loan->segs;

	if (rw_likely(seg->len >= FRAME_HEAD)) {
		memcpy(f->head, seg->data, FRAME_HEAD);
		skip_bytes(loan, FRAME_HEAD);
	} else if (seg->len == loan->len && readable64(seg->data)) {
		/* A short frame; what is behind it in the page is copied too and never sent. */
		memcpy(f->head, seg->data, FRAME_HEAD);
		skip_bytes(loan, loan->len);
	} else {
		take_bytes(loan, f->head, RW_MIN(loan->len, (uint32_t)FRAME_HEAD));
	}
}

/*
 * Check the header's checksum and segmentation fields against the frame and against what the guest
 * negotiated (virtio 1.2, 5.1.6.2). What is passed on has been checked and copied.
 */
static RW_NOINLINE bool open_offload(
	const struct vhost_queue *q, const struct virtio_net_hdr *hdr, struct frame *f)
{
	uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	bool csum = hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	if (csum) {
		uint32_t end = (uint32_t)hdr->csum_start + hdr->csum_offset + 2;

		if (!q->csum || hdr->csum_start < FRAME_MIN_LEN || end > f->len)
			return false;
		f->offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		f->offload.csum_start = hdr->csum_start;
		f->offload.csum_offset = hdr->csum_offset;
	}
	if (type == VIRTIO_NET_HDR_GSO_NONE)
		return hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE;
	if (!csum || !hdr->gso_size || (hdr->gso_type != type && !q->ecn))
		return false;
	if (!(type == VIRTIO_NET_HDR_GSO_TCPV4 && q->tso4) &&
		!(type == VIRTIO_NET_HDR_GSO_TCPV6 && q->tso6))
		return false;
	f->offload.gso_type = hdr->gso_type;
	f->offload.gso_size = hdr->gso_size;
	f->offload.hdr_len = (uint16_t)RW_MIN(hdr->hdr_len, f->len);
	return true;
}

/* The first two bytes of the header, flags and gso_type, are zero in a plain frame. */
static inline bool is_plain(const struct virtio_net_hdr *hdr)
{
	return !(hdr->flags | hdr->gso_type);
}

/* Make a frame of a chain. False: dropped and counted. */
static inline bool frame_open(struct vhost_queue *q, struct loan *loan, struct frame *f)
{
	struct virtio_net_hdr hdr;

	if (rw_unlikely(loan->len < q->hdr_len + FRAME_MIN_LEN)) {
		port_count_drop(q->counters, PORT_DROP_TOO_SHORT);
		return false;
	}
	if (rw_unlikely(loan->len > q->hdr_len + FRAME_MAX_LEN)) {
		port_count_drop(q->counters, PORT_DROP_TOO_LONG);
		return false;
	}
	if (rw_likely(loan->segs->len >= q->hdr_len)) {
		memcpy(&hdr, loan->segs->data, sizeof(hdr));
		skip_bytes(loan, q->hdr_len);
	} else {
		uint8_t bytes[NET_HDR_LONG];

		take_bytes(loan, bytes, q->hdr_len);
		memcpy(&hdr, bytes, sizeof(hdr));
	}
	f->len = loan->len;
	f->offload = (struct frame_offload){0};
	if (rw_unlikely(!is_plain(&hdr)) && !open_offload(q, &hdr, f)) {
		port_count_drop(q->counters, PORT_DROP_BAD_HEADER);
		return false;
	}
	take_head(loan, f);
	f->seg = loan->segs;
	f->nsegs = (uint16_t)loan->nsegs;
	return true;
}

RW_ALWAYS_INLINE void give_back(struct vhost_queue *q, const bool packed)
{
	for (uint32_t i = 0; i < q->ndone; i++)
		vq_complete(&q->vq, &q->done[i], 0, packed, false);
	q->ndone = 0;
	vq_flush(&q->vq, packed);
	vq_signal(&q->vq, packed);
}

/* Take up to `n` chains into q->done and the good ones into `loans`. How many are good. */
RW_ALWAYS_INLINE unsigned take_chains(
	struct vhost_queue *q, struct loan *loans, unsigned n, const bool packed)
{
	const struct rw_seg *last = q->segs + BURST_SEGS; /* beyond it a chain may not fit */
	struct rw_seg *seg = q->segs;
	unsigned good = 0;

	while (q->ndone < n && seg <= last) {
		struct vq_chain *chain = &q->done[q->ndone];
		enum vq_status status = vq_fetch(&q->vq, seg, chain, packed, false);

		if (status == VQ_EMPTY)
			break;
		if (rw_unlikely(status != VQ_CHAIN)) {
			if (status == VQ_BROKEN) {
				vhost_queue_broke(q);
				break;
			}
			vhost_count_bad(q, status);
			q->ndone++;
			continue;
		}
		__builtin_prefetch(seg->data);
		__builtin_prefetch(seg->data + RW_CACHE_LINE);
		loans[good++] = (struct loan){
			.segs = seg, .nsegs = chain->nsegs, .len = chain->len};
		seg += chain->nsegs;
		q->ndone++;
	}
	return good;
}

RW_ALWAYS_INLINE unsigned from_guest(
	struct vhost_queue *q, struct frame *frames, unsigned n, const bool packed)
{
	struct loan loans[FRAME_BURST];
	unsigned got = 0, good;

	n = vq_peek(&q->vq, (uint16_t)n, packed);
	if (!n) {
		if (rw_unlikely(q->vq.broken))
			vhost_queue_broke(q);
		return 0;
	}
	vq_prefetch(&q->vq, (uint16_t)n, packed);
	good = take_chains(q, loans, n, packed);
	for (unsigned i = 0; i < good; i++)
		got += frame_open(q, &loans[i], &frames[got]);
	if (rw_unlikely(!got && q->ndone))
		give_back(q, packed);
	return got;
}

/* A started but disabled ring: consume and discard (vhost-user, "Ring states"). */
RW_ALWAYS_INLINE unsigned discard(struct vhost_queue *q, const bool packed)
{
	struct loan loans[FRAME_BURST];
	unsigned good = take_chains(q, loans, FRAME_BURST, packed);

	if (good)
		port_count(&q->counters->drops[PORT_DROP_DISABLED], good);
	if (q->ndone)
		give_back(q, packed);
	return 0;
}

static unsigned from_split(struct vhost_queue *q, struct frame *frames, unsigned n)
{
	return from_guest(q, frames, n, false);
}

static unsigned from_packed(struct vhost_queue *q, struct frame *frames, unsigned n)
{
	return from_guest(q, frames, n, true);
}

static unsigned discard_split(struct vhost_queue *q, struct frame *frames, unsigned n)
{
	(void)frames, (void)n;
	return discard(q, false);
}

static unsigned discard_packed(struct vhost_queue *q, struct frame *frames, unsigned n)
{
	(void)frames, (void)n;
	return discard(q, true);
}

static void give_back_split(struct vhost_queue *q)
{
	give_back(q, false);
}

static void give_back_packed(struct vhost_queue *q)
{
	give_back(q, true);
}

void vhost_from_init(struct vhost_queue *q, bool discarding)
{
	q->give_back = q->packed ? give_back_packed : give_back_split;
	if (discarding)
		q->from = q->packed ? discard_packed : discard_split;
	else
		q->from = q->packed ? from_packed : from_split;
}
