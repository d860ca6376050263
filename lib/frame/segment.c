/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cut a large TCP or UDP frame, as Linux does it in software (tcp_gso_segment, __udp_gso_segment,
 * inet_gso_segment, ipv6_gso_segment).
 */
#include "checksum.h"
#include "frame_parse.h"
#include "place.h"
#include "rw_virtio_net.h"

#define TYPE_IPV4 0x0800
#define PROTO_TCP 6

#define IPV4_LEN_AT  2
#define IPV4_ID_AT   4
#define IPV4_FRAG_AT 6
#define IPV4_FRAG    0x3fff /* more fragments, or an offset */
#define IPV4_SUM_AT  10
#define IPV6_LEN     40
#define IPV6_LEN_AT  4
#define IPV6_NEXT_AT 6

#define EXT_FRAGMENT 44
#define EXT_AUTH     51

/* Bytes of a payload that are fetched ahead. */
#define PREFETCH_MOST 2048u

#define TCP_LEN      20
#define TCP_SEQ_AT   4
#define TCP_DOFF_AT  12
#define TCP_FLAGS_AT 13
#define TCP_SUM_AT   16
#define TCP_FIN      0x01
#define TCP_PSH      0x08
#define TCP_CWR      0x80
#define UDP_LEN      8
#define UDP_LEN_AT   4
#define UDP_SUM_AT   6

static uint32_t load32(const uint8_t *p)
{
	return (uint32_t)frame_load16(p) << 16 | frame_load16(p + 2);
}

/*
 * Whether the IPv6 headers from `at` to the transport header may be in front of every segment. A
 * fragment is none, and nothing but the whole packet has its authentication header.
 */
static bool extensions_fit(const struct frame *f, const struct frame_headers *h)
{
	uint32_t at = h->net_at + IPV6_LEN;
	uint8_t next = f->head[h->net_at + IPV6_NEXT_AT];

	while (at < h->transport_at) {
		if (next == EXT_FRAGMENT || next == EXT_AUTH)
			return false;
		next = f->head[at];
		at += (f->head[at + 1] + 1u) * 8;
	}
	return true;
}

/* Whether the headers are of what the offload fields say. `f` has all that a head can have. */
static bool headers_fit(const struct frame *f, const struct frame_headers *h)
{
	const struct frame_offload *o = &f->offload;
	uint8_t type = o->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	bool tcp = type != VIRTIO_NET_HDR_GSO_UDP_L4, ipv6 = h->net == FRAME_NET_IPV6;
	const uint8_t *net = f->head + h->net_at;

	if ((h->net != FRAME_NET_IPV4 && !ipv6) || h->cut || h->later ||
		h->proto != (tcp ? PROTO_TCP : FRAME_PROTO_UDP) ||
		(tcp && ipv6 != (type == VIRTIO_NET_HDR_GSO_TCPV6)))
		return false;
	/* With an LLC header in front of the packet there would be one more length. */
	for (const uint8_t *at = f->head + FRAME_TAG_AT; at < net - 2; at += FRAME_TAG_LEN) {
		if (frame_load16(at) <= TYPE_IPV4)
			return false;
	}
	if (ipv6 ? !extensions_fit(f, h) : frame_load16(net + IPV4_FRAG_AT) & IPV4_FRAG)
		return false;
	return frame_csum_is_partial(f) && o->gso_size && o->csum_start == h->transport_at &&
		o->csum_offset == (tcp ? TCP_SUM_AT : UDP_SUM_AT);
}

/* The length of all headers; 0: not all of them are in the head. */
static uint32_t headers_len(const struct frame *f, uint32_t at, bool tcp)
{
	uint32_t len = UDP_LEN;

	if (tcp) {
		if (at + TCP_LEN > f->head_len)
			return 0;
		len = (f->head[at + TCP_DOFF_AT] >> 4) * 4u;
		if (len < TCP_LEN)
			return 0;
	}
	return at + len > RW_MIN(f->head_len, (uint32_t)FRAME_PULL_MAX) ? 0 : at + len;
}

/* The frame with as much in its head as a head can have. The bytes behind it are not set. */
static void head_extend(const struct frame *f, struct frame *out)
{
	uint32_t len = RW_MIN(f->len, (uint32_t)FRAME_PULL_MAX);
	struct place p = {.seg = f->seg};

	*out = (struct frame){.len = f->len, .head_len = f->head_len, .offload = f->offload};
	memcpy(out->head, f->head, f->head_len);
	if (f->head_len < len) {
		place_take(&p, out->head + f->head_len, len - f->head_len);
		out->head_len = (uint16_t)len;
	}
}

/* Note where the payload begins: in the head, or behind it. */
static void payload_find(struct frame_cut *c, const struct frame *f)
{
	uint8_t skipped[FRAME_PULL_MAX];
	struct place p = {.seg = f->seg};

	if (c->hdr_len > f->head_len)
		place_take(&p, skipped, c->hdr_len - f->head_len);
	c->seg = p.seg;
	c->seg_at = p.at;
}

/* Copy a head, or its first `len` bytes: whole lines, which both sides have room for. */
static inline void head_copy(uint8_t *to, const uint8_t *from, uint32_t len)
{
	for (uint32_t at = 0; at < len; at += RW_CACHE_LINE)
		memcpy(to + at, from + at, RW_CACHE_LINE);
}

/* Take from the headers what differs from segment to segment, and add up the rest. */
static void template_make(struct frame_cut *c, const struct frame *f)
{
	uint8_t *net = c->head + c->net_at, *transport = c->head + c->transport_at;
	uint8_t *field = transport + f->offload.csum_offset;
	uint16_t sum;

	/* The sender has added the pseudo header, and with it the length of the whole. */
	memcpy(&sum, field, sizeof(sum));
	c->sum = sum + (uint32_t)(uint16_t)~checksum_word(f->len - c->transport_at);
	memset(field, 0, sizeof(sum));
	if (!c->ipv6) {
		c->id = frame_load16(net + IPV4_ID_AT);
		memset(net + IPV4_LEN_AT, 0, sizeof(sum));
		memset(net + IPV4_ID_AT, 0, sizeof(sum));
		memset(net + IPV4_SUM_AT, 0, sizeof(sum));
		c->net_sum = checksum_bytes(net, c->transport_at - c->net_at);
	}
	if (c->tcp) {
		c->seq = load32(transport + TCP_SEQ_AT);
		c->flags = transport[TCP_FLAGS_AT];
		memset(transport + TCP_SEQ_AT, 0, sizeof(c->seq));
		transport[TCP_FLAGS_AT] = 0;
	} else {
		memset(transport + UDP_LEN_AT, 0, sizeof(sum));
	}
	c->transport_sum = c->sum + checksum_bytes(transport, c->hdr_len - c->transport_at);
}

enum frame_fault frame_cut_check(struct frame_cut *c, const struct frame *f)
{
	bool tcp = (f->offload.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN) !=
		VIRTIO_NET_HDR_GSO_UDP_L4;
	struct frame_headers h;
	struct frame whole;
	uint32_t len;

	head_extend(f, &whole);
	frame_parse(&whole, &h);
	len = headers_fit(&whole, &h) ? headers_len(&whole, h.transport_at, tcp) : 0;
	if (!len)
		return FRAME_BAD_GSO;
	if (len - h.net_at + RW_MIN(f->len - len, (uint32_t)f->offload.gso_size) > UINT16_MAX)
		return FRAME_BAD_GSO;
	if (f->len - len > (uint32_t)FRAME_SEGMENTS_MAX * f->offload.gso_size)
		return FRAME_MANY_SEGMENTS;
	c->frame = f;
	c->done = 0;
	c->nth = 0;
	c->payload = f->len - len;
	c->net_at = h.net_at;
	c->transport_at = h.transport_at;
	c->hdr_len = (uint16_t)len;
	c->ipv6 = h.net == FRAME_NET_IPV6;
	c->tcp = tcp;
	head_copy(c->head, whole.head, len);
	return FRAME_OK;
}

enum frame_fault frame_cut_begin(struct frame_cut *c, const struct frame *f, bool leave_csum)
{
	enum frame_fault fault = frame_cut_check(c, f);

	if (fault != FRAME_OK)
		return fault;
	c->leave_csum = leave_csum;
	payload_find(c, f);
	template_make(c, f);
	return FRAME_OK;
}

/* The IP header of a segment that is `len` bytes long from its first one. */
static inline void network_put(const struct frame_cut *c, uint8_t *ip, uint32_t len)
{
	uint16_t id = (uint16_t)(c->id + c->nth), sum;

	if (c->ipv6) {
		checksum_store16(ip + IPV6_LEN_AT, len - IPV6_LEN);
		return;
	}
	checksum_store16(ip + IPV4_LEN_AT, len);
	checksum_store16(ip + IPV4_ID_AT, id);
	sum = (uint16_t)~checksum_fold(c->net_sum + checksum_word(len + id));
	memcpy(ip + IPV4_SUM_AT, &sum, sizeof(sum));
}

/*
 * The TCP or UDP header of a segment, without its checksum. Only the last one ends the stream or
 * pushes it, and only the first one says that the window was reduced (RFC 3168, 6.1.2). Returns
 * what is to be added to the sum.
 */
static inline uint64_t transport_put(const struct frame_cut *c, uint8_t *p, uint32_t len, bool last)
{
	uint32_t seq = c->seq + c->done;
	uint8_t flags = c->flags;

	if (!c->tcp) {
		checksum_store16(p + UDP_LEN_AT, len);
		return checksum_word(len);
	}
	if (!last)
		flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (c->nth)
		flags &= (uint8_t)~TCP_CWR;
	checksum_store16(p + TCP_SEQ_AT, seq >> 16);
	checksum_store16(p + TCP_SEQ_AT + 2, seq);
	p[TCP_FLAGS_AT] = flags;
	return checksum_word((seq >> 16) + (seq & UINT16_MAX) + flags);
}

/*
 * The checksum of a segment whose other bytes are complete, or the part that is left of it.
 * `varying` is the sum of what its transport header has beside the template.
 */
static inline void csum_put(const struct frame_cut *c, struct frame *out, uint64_t varying)
{
	uint16_t at = c->transport_at, len = checksum_word(out->len - at), sum;
	uint8_t *field = out->head + at + c->frame->offload.csum_offset;

	out->offload = (struct frame_offload){0};
	if (c->leave_csum) {
		sum = checksum_fold((uint64_t)c->sum + len);
		memcpy(field, &sum, sizeof(sum));
		out->offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		out->offload.csum_start = at;
		out->offload.csum_offset = c->frame->offload.csum_offset;
		return;
	}
	varying += c->transport_sum + len + checksum_frame(out, c->hdr_len);
	sum = (uint16_t)~checksum_fold(varying);
	/* Zero says in UDP that there is no checksum. */
	if (!sum && !c->tcp)
		sum = UINT16_MAX;
	memcpy(field, &sum, sizeof(sum));
}

/*
 * The payload of the next segment of `size` bytes, while this one's is added up. As in checksum.c:
 * 271 -> 256 cycles a segment.
 */
static inline void payload_fetch(const struct frame_cut *c, uint32_t size)
{
	uint32_t most;

	if (c->done + 2 * size > c->payload)
		return;
	most = RW_MIN(c->seg->len - c->seg_at, RW_MIN(size, PREFETCH_MOST));
	for (uint32_t at = 0; at < most; at += RW_CACHE_LINE)
		__builtin_prefetch(c->seg->data + c->seg_at + at);
}

enum frame_fault frame_cut_next(struct frame_cut *c, struct frame_room *room, struct frame *out)
{
	uint32_t size = RW_MIN(c->payload - c->done, (uint32_t)c->frame->offload.gso_size);
	/* What was copied on arrival is taken from there. */
	uint32_t from = c->hdr_len + c->done, in_head = 0;
	struct place p = {.seg = c->seg, .at = c->seg_at};
	unsigned first = room->n;
	uint64_t varying;

	if (c->nth && !size)
		return FRAME_END;
	if (from < c->frame->head_len)
		in_head = RW_MIN(size, c->frame->head_len - from);
	if (!place_share(&p, size - in_head, room))
		return FRAME_NO_ROOM;
	c->seg = p.seg;
	c->seg_at = p.at;
	payload_fetch(c, size);
	head_copy(out->head, c->head, c->hdr_len);
	if (in_head)
		memcpy(out->head + c->hdr_len, c->frame->head + from, in_head);
	out->head_len = (uint16_t)(c->hdr_len + in_head);
	out->len = c->hdr_len + size;
	out->seg = room->segs + first;
	out->nsegs = (uint16_t)(room->n - first);
	out->vlan = c->frame->vlan;
	out->mark = c->frame->mark;
	network_put(c, out->head + c->net_at, out->len - c->net_at);
	varying = transport_put(c, out->head + c->transport_at, out->len - c->transport_at,
		c->done + size == c->payload);
	csum_put(c, out, varying);
	c->done += size;
	c->nth++;
	return FRAME_OK;
}
