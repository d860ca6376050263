/* SPDX-License-Identifier: BSD-3-Clause */
/* What a frame needs of its receiver, and checksums for one that takes only complete ones. */
#include "checksum.h"
#include "frame_parse.h"
#include "place.h"
#include "rw_virtio_net.h"

#define TYPE_IPV6    0x86dd
#define IPV6_NEXT_AT 6
#define PROTO_TCP    6

/* ---- what a frame needs ---- */

/* Where the packet behind all tags begins, if its EtherType is in the head. Writes that type. */
static unsigned packet_at(const struct frame *f, uint16_t *type)
{
	unsigned at = FRAME_TAG_AT;

	do {
		*type = frame_load16(f->head + at);
		at += FRAME_TAG_LEN;
	} while ((*type == 0x8100 || *type == 0x88a8) && at + 2 <= f->head_len);
	return at - FRAME_TAG_LEN + 2;
}

static bool is_ipv6(const struct frame *f)
{
	uint16_t type;

	packet_at(f, &type);
	return type == TYPE_IPV6;
}

/* Whether anything is between the headers of IPv6 and TCP, or may be. */
static bool has_extensions(const struct frame *f)
{
	uint16_t type;
	unsigned at = packet_at(f, &type) + IPV6_NEXT_AT;

	return at >= f->head_len || f->head[at] != PROTO_TCP;
}

uint8_t frame_needs(const struct frame *f)
{
	uint8_t type = f->offload.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint8_t needs = f->offload.flags ? FRAME_TAKES_CSUM : 0;

	if (f->offload.gso_type & VIRTIO_NET_HDR_GSO_ECN)
		needs |= FRAME_TAKES_ECN;
	if (type == VIRTIO_NET_HDR_GSO_TCPV4)
		needs |= FRAME_TAKES_TSO4;
	else if (type == VIRTIO_NET_HDR_GSO_TCPV6)
		needs |= FRAME_TAKES_TSO6 | (has_extensions(f) ? FRAME_TAKES_EXT6 : 0);
	else if (type == VIRTIO_NET_HDR_GSO_UDP_L4)
		/* One type for both versions of IP, but two features of a receiver. */
		needs |= is_ipv6(f) ? FRAME_TAKES_USO6 : FRAME_TAKES_USO4;
	return needs;
}

/* ---- checksums ---- */

/* The checksum of a frame whose field holds the sum of the pseudo header. */
static uint16_t checksum_of(const struct frame *f, uint32_t start)
{
	return (uint16_t)~checksum_fold(checksum_frame(f, start));
}

/* The same bytes, and nothing said about them. */
static void bytes_share(const struct frame *f, struct frame *out)
{
	if (rw_likely(f->head_len == FRAME_HEAD))
		memcpy(out->head, f->head, FRAME_HEAD);
	else
		memcpy(out->head, f->head, f->head_len);
	out->head_len = f->head_len;
	out->seg = f->seg;
	out->nsegs = f->nsegs;
	out->len = f->len;
	out->vlan = f->vlan;
	out->mark = f->mark;
	out->offload = (struct frame_offload){0};
}

enum frame_fault frame_csum_fill(const struct frame *f, struct frame_room *room, struct frame *out)
{
	uint32_t start = f->offload.csum_start, at = start + f->offload.csum_offset;
	struct place p = {.seg = f->seg};
	uint16_t sum;

	if (rw_unlikely(!frame_csum_is_partial(f))) {
		bytes_share(f, out);
		return FRAME_OK;
	}
	if (start < FRAME_MIN_LEN || at + 2 > f->len ||
		at + 2 > RW_MAX((uint32_t)FRAME_PULL_MAX, f->head_len))
		return FRAME_BAD_CSUM;
	bytes_share(f, out);
	if (rw_unlikely(at + 2 > f->head_len)) {
		uint32_t more = at + 2 - f->head_len;

		place_take(&p, out->head + f->head_len, more);
		out->seg = room->segs + room->n;
		if (!place_share(&p, f->len - at - 2, room))
			return FRAME_NO_ROOM;
		out->nsegs = (uint16_t)(room->segs + room->n - out->seg);
		out->head_len = (uint16_t)(at + 2);
	}
	sum = checksum_of(out, start);
	/* Both are zero in ones' complement; in UDP the first one says that there is none. */
	if (!sum)
		sum = UINT16_MAX;
	memcpy(out->head + at, &sum, sizeof(sum));
	return FRAME_OK;
}
