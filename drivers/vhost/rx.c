/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lending a guest's frames. Two passes over the burst, so that the payload's cache lines are on
 * their way before they are looked at: take the chains, then open each.
 */
#include <string.h>

#include "kick.h"
#include "net_hdr.h"
#include "port_observer.h"
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
RW_ALWAYS_INLINE void take_head(struct loan *loan, struct frame *f, const bool wide)
{
	struct rw_seg *seg = loan->segs;

	if (rw_likely(seg->len >= FRAME_HEAD)) {
		rw_copy_line(f->head, seg->data, wide);
		skip_bytes(loan, FRAME_HEAD);
	} else if (seg->len == loan->len && readable64(seg->data)) {
		/* A short frame; what is behind it in the page is copied too and never sent. */
		rw_copy_line(f->head, seg->data, wide);
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
		!(type == VIRTIO_NET_HDR_GSO_TCPV6 && q->tso6) &&
		!(hdr->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4 && q->uso))
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

/* Make a frame of a chain. False: it is none, and this is noted. */
RW_ALWAYS_INLINE bool frame_open(
	struct vhost_queue *q, struct loan *loan, struct frame *f, const unsigned mode)
{
	struct virtio_net_hdr hdr;

	if (rw_unlikely(loan->len < q->hdr_len + FRAME_MIN_LEN))
		return port_rxq_bad(&q->rxq, PORT_DROP_TOO_SHORT);
	if (rw_unlikely(loan->len > q->hdr_len + FRAME_MAX_LEN))
		return port_rxq_bad(&q->rxq, PORT_DROP_TOO_LONG);
	if (rw_likely(loan->segs->len >= q->hdr_len)) {
		memcpy(&hdr, loan->segs->data, sizeof(hdr));
		skip_bytes(loan, q->hdr_len);
	} else {
		uint8_t bytes[NET_HDR_LONG];

		take_bytes(loan, bytes, q->hdr_len);
		memcpy(&hdr, bytes, sizeof(hdr));
	}
	if ((mode & VQ_SLOW) && q->vq.swap)
		net_hdr_swap(&hdr);
	f->len = loan->len;
	f->offload = (struct frame_offload){0};
	if (rw_unlikely(!is_plain(&hdr)) && !open_offload(q, &hdr, f))
		return port_rxq_bad(&q->rxq, PORT_DROP_BAD_HEADER);
	f->head_len = (uint16_t)RW_MIN(loan->len, (uint32_t)FRAME_HEAD);
	take_head(loan, f, mode & VHOST_WIDE);
	f->seg = loan->segs;
	f->nsegs = (uint16_t)loan->nsegs;
	return true;
}

/*
 * The usual chain: header and frame in one piece. The header is only looked at here; one that is
 * not plain is read again, and then that reading is what counts.
 */
RW_ALWAYS_INLINE bool frame_open_whole(
	struct vhost_queue *q, struct rw_seg *seg, struct frame *f, const unsigned mode)
{
	uint8_t *data = seg->data + q->hdr_len;
	uint32_t len = seg->len - q->hdr_len;
	struct loan loan = {.segs = seg, .nsegs = 1, .len = seg->len};
	uint16_t flags_and_type;

	if (rw_unlikely(len - FRAME_MIN_LEN > FRAME_MAX_LEN - FRAME_MIN_LEN))
		return frame_open(q, &loan, f, mode);
	memcpy(&flags_and_type, seg->data, sizeof(flags_and_type));
	if (rw_unlikely(flags_and_type || (len < FRAME_HEAD && !readable64(data))))
		return frame_open(q, &loan, f, mode);
	rw_copy_line(f->head, data, mode & VHOST_WIDE);
	f->seg = seg;
	f->len = len;
	f->offload = (struct frame_offload){0};
	f->nsegs = 0;
	f->head_len = (uint16_t)RW_MIN(len, (uint32_t)FRAME_HEAD);
	if (len > FRAME_HEAD) {
		f->nsegs = 1;
		seg->data = data + FRAME_HEAD;
		seg->len = len - FRAME_HEAD;
	}
	return true;
}

RW_ALWAYS_INLINE void done(struct vhost_queue *q, const unsigned mode)
{
	if (!(mode & VQ_SLOW)) {
		vq_complete_batch(&q->vq, q->done, q->ndone, mode, false);
	} else {
		for (uint32_t i = 0; i < q->ndone; i++)
			vq_complete(&q->vq, &q->done[i], 0, mode, false);
	}
	q->ndone = 0;
	vq_flush(&q->vq, mode);
	vhost_count_signal(q, vq_signal(&q->vq, mode));
}

/*
 * The IOTLB lacks something of the chain that was fetched from `at`: put it back, and ask for what
 * the chains behind it lack at the same time.
 */
RW_ALWAYS_INLINE void wait_for_ranges(
	struct vhost_queue *q, struct rw_seg *segs, struct vq_cursor at, const unsigned mode)
{
	struct vq_chain chain;

	for (unsigned i = 0; i < FRAME_BURST && q->vq.nmisses < VQ_MAX_MISSES; i++) {
		enum vq_status status;

		if (vhost_walk_spent(q))
			break;
		status = vq_fetch(&q->vq, segs, &chain, mode, false);

		if (status == VQ_EMPTY || status == VQ_BROKEN)
			break;
	}
	vq_rewind(&q->vq, at, mode);
	vhost_miss_ask(q);
}

/*
 * Take chains, behind the q->ndone that were taken, until there are `n` or the burst's allowance of
 * descriptors is used up; their segments from `seg` on, and the good ones into `loans`. How many
 * are good.
 */
RW_ALWAYS_INLINE unsigned take_chains(struct vhost_queue *q, struct loan *loans, struct rw_seg *seg,
	unsigned n, const unsigned mode)
{
	const struct rw_seg *last = q->segs + BURST_SEGS; /* beyond it a chain may not fit */
	unsigned good = 0;

	if (q->ndone == n || !vhost_walk_begin(q, port_work_share(q->work)))
		return 0;
	while (q->ndone < n && seg <= last && !vhost_walk_spent(q)) {
		struct vq_chain *chain = &q->done[q->ndone];
		struct vq_cursor at = q->vq.next;
		enum vq_status status = vq_fetch(&q->vq, seg, chain, mode, false);

		if (status == VQ_EMPTY)
			break;
		if ((mode & VQ_SLOW) && status == VQ_MISS) {
			if (!vhost_miss_is_refused(q)) {
				wait_for_ranges(q, seg, at, mode);
				break;
			}
			status = VQ_BAD_ADDR;
		}
		if (rw_unlikely(status != VQ_CHAIN)) {
			if (status == VQ_BROKEN) {
				vhost_queue_broke(q);
				break;
			}
			port_rxq_bad(&q->rxq, vhost_bad_reason(status));
			q->ndone++;
			continue;
		}
		/* As a number: a chain of empty buffers has no segment, and `data` is anything. */
		__builtin_prefetch(seg->data);
		__builtin_prefetch((void *)((uintptr_t)seg->data + RW_CACHE_LINE));
		loans[good++] = (struct loan){
			.segs = seg, .nsegs = chain->nsegs, .len = chain->len};
		seg += chain->nsegs;
		q->ndone++;
	}
	vhost_walk_end(q);
	return good;
}

/* Lend the `n` chains that wait, or as many as there are. */
RW_ALWAYS_INLINE unsigned lend(
	struct vhost_queue *q, struct frame *frames, unsigned n, const unsigned mode)
{
	struct loan loans[FRAME_BURST];
	unsigned got = 0, whole = 0, good;

	if (mode & VQ_SLOW)
		vq_prefetch(&q->vq, (uint16_t)n, mode);
	else
		whole = vq_fetch_batch(&q->vq, q->segs, q->done, n, mode, false);
	q->ndone = whole;
	good = take_chains(q, loans, q->segs + whole, n, mode);
	for (unsigned i = 0; i < whole; i++)
		got += frame_open_whole(q, &q->segs[i], &frames[got], mode);
	for (unsigned i = 0; i < good; i++)
		got += frame_open(q, &loans[i], &frames[got], mode);
	port_rxq_bad_end(&q->rxq);
	if (rw_unlikely(!got && q->ndone))
		done(q, mode);
	return got;
}

/* How many chains wait, `n` at most. Most polls find none, and go no further. */
RW_ALWAYS_INLINE unsigned peek(struct vhost_queue *q, unsigned n, const unsigned mode)
{
	n = vq_peek(&q->vq, (uint16_t)n, mode);
	if (!n && rw_unlikely(q->vq.broken))
		vhost_queue_broke(q);
	return n;
}

/* A started but disabled ring: consume and discard (vhost-user, "Ring states"). */
RW_ALWAYS_INLINE unsigned discard(struct vhost_queue *q, const unsigned mode)
{
	struct loan loans[FRAME_BURST];
	unsigned good;

	if (vhost_queue_is_lost(q))
		return 0;
	good = take_chains(q, loans, q->segs, FRAME_BURST, mode);
	if (good)
		port_rxq_drop(&q->rxq, good, PORT_DROP_DISABLED);
	port_rxq_bad_end(&q->rxq);
	if (q->ndone)
		done(q, mode);
	return 0;
}

static void prefetch(struct port_rxq *rxq)
{
	const struct vhost_queue *q = vhost_queue_of_rxq(rxq);

	vq_prefetch_peek(&q->vq, q->packed);
}

/*
 * The heads of a burst of `n` frames were read. When memory was lost meanwhile they are not lent:
 * they may hold zeros. How many are lent.
 */
static inline unsigned keep(struct vhost_queue *q, unsigned n)
{
	if (rw_likely(!vhost_queue_is_lost(q)))
		return n;
	q->ndone = 0;
	return 0;
}

#define BODIES(name, mode, target)                                                             \
	target static RW_NOINLINE unsigned lend_##name(                                        \
		struct vhost_queue *q, struct frame *frames, unsigned n)                       \
	{                                                                                      \
		return lend(q, frames, n, mode);                                               \
	}                                                                                      \
	static unsigned burst_##name(struct port_rxq *rxq, struct frame *frames, unsigned n)   \
	{                                                                                      \
		struct vhost_queue *q = vhost_queue_of_rxq(rxq);                               \
                                                                                               \
		n = peek(q, n, mode);                                                          \
		n = n ? lend_##name(q, frames, n) : 0;                                         \
		return n ? keep(q, n) : 0;                                                     \
	}                                                                                      \
	static unsigned discard_##name(struct port_rxq *rxq, struct frame *frames, unsigned n) \
	{                                                                                      \
		(void)frames, (void)n;                                                         \
		return discard(vhost_queue_of_rxq(rxq), mode);                                 \
	}                                                                                      \
	static void done_##name(struct port_rxq *rxq)                                          \
	{                                                                                      \
		done(vhost_queue_of_rxq(rxq), mode);                                           \
	}

VHOST_MODES(BODIES)

void vhost_rx_init(struct vhost_queue *q, bool discarding)
{
#define ROW(name, mode, target) [mode] = {burst_##name, discard_##name, done_##name},
	static const struct {
		unsigned (*burst)(struct port_rxq *q, struct frame *frames, unsigned n);
		unsigned (*discard)(struct port_rxq *q, struct frame *frames, unsigned n);
		void (*done)(struct port_rxq *q);
	} bodies[] = {VHOST_MODES(ROW)};
#undef ROW
	unsigned mode = vhost_mode_of(q);

	q->rxq.burst = discarding ? bodies[mode].discard : bodies[mode].burst;
	q->rxq.done = bodies[mode].done;
	q->rxq.prefetch = prefetch;
	q->rxq.ops = &vhost_rxq_ops;
}
