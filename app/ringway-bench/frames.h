/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The frames of the bench: Ethernet, IPv4 and UDP (TCP where segmentation is used), in which all
 * that differs from frame to frame lies in the first 52 bytes, one cache line together with the
 * virtio-net header before them:
 *
 *	 0  destination, source   02:52:PP:SS:SS:SS, port and host; or broadcast
 *	18  IPv4 identification   number of the transmit buffer: what its payload follows from
 *	34  UDP/TCP source port   the flow
 *	42  record                u32 sequence, u32 time stamp     (TCP: 38, both sequence numbers)
 *	50  tag                   u8 sender's queue, u8 trial          (TCP: 48, the window)
 *
 * The UDP checksum is 0, which says that there is none (RFC 768); TCP's is left to the device.
 *
 * Numbers in the record are of this machine's order: the same program reads them.
 */
#include <string.h>

#include "rw_base.h"
#include "rw_virtio_net.h"

/* Shortest frame: Ethernet's 64 less FCS. Longest: an IPv4 packet of 65535 bytes. */
#define FRAME_MIN 60
#define FRAME_MAX 65549u
/* Longest that goes without segmentation header. */
#define FRAME_PLAIN_MAX 1518u

#define FRAME_GSO_SIZE 1448 /* of a TCP segment over Ethernet, time stamps counted */
/* The headers of a segment that is received as such: with them it has 1514 bytes. */
#define FRAME_CUT_HDR 66

/* The bytes that a check of the header needs. */
#define FRAME_HEAD 52

#define FRAME_BROADCAST 0xffffffffffffull

struct frame_format {
	bool tcp;
	uint8_t seq_shift; /* bits by which the sequence number is shifted in the record */
	uint16_t pieces;   /* segments that are received of each frame; 0: it is not cut */
	uint8_t record_at; /* 8 bytes */
	uint8_t tag_at;    /* 2 bytes */
	uint8_t payload_at;
};

static const struct frame_format frame_udp = {.record_at = 42, .tag_at = 50, .payload_at = 52};
static const struct frame_format frame_tcp = {
	.tcp = true, .record_at = 38, .tag_at = 48, .payload_at = 54};

/*
 * TCP frames that are received in segments. The switch counts TCP's sequence number up by the bytes
 * before a segment, from 0; the acknowledged one holds ours, and there is no time stamp. It counts
 * up the identification, too, by the segments before.
 */
static inline struct frame_format frame_cut_format(uint16_t pieces)
{
	return (struct frame_format){.tcp = true,
		.seq_shift = 32,
		.pieces = pieces,
		.record_at = 38,
		.tag_at = 48,
		.payload_at = FRAME_CUT_HDR};
}

/* Frames that become of one of `len` bytes for a receiver that takes plain ones alone. */
static inline uint16_t frame_pieces(uint32_t len)
{
	if (len <= FRAME_PLAIN_MAX)
		return 1;
	return (uint16_t)((len - FRAME_CUT_HDR + FRAME_GSO_SIZE - 1) / FRAME_GSO_SIZE);
}

/* Whose frame a buffer is to hold. */
struct frame_of {
	const struct frame_format *format;
	uint16_t port;
	uint16_t buffer; /* its number */
	uint32_t len;
};

/* Fill in `frame` and the 12-byte virtio-net header at `hdr`, all but what differs. */
void frame_fill(uint8_t *frame, struct virtio_net_hdr_mrg_rxbuf *hdr, const struct frame_of *of);

/* Whether the IPv4 and TCP checksums of a frame, which is in one piece, are right. */
bool frame_is_summed(const uint8_t *frame);

/*
 * Byte `off` of the payload of a frame from `port`'s transmit buffer `buffer`: splitmix64 (Steele,
 * Lea and Flood 2014), so that it depends on all of them.
 */
static inline uint8_t frame_payload(uint16_t port, uint16_t buffer, uint32_t off)
{
	uint64_t x = ((uint64_t)port << 48 | (uint64_t)buffer << 32 | off / 8) + 1;

	x *= 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (uint8_t)((x ^ x >> 31) >> (off % 8 * 8));
}

/* A host's address as a number: the first byte on the wire is the lowest. */
RW_ALWAYS_INLINE uint64_t frame_mac(unsigned port, uint32_t host)
{
	return 0x5202u | (uint64_t)port << 16 | (uint64_t)__builtin_bswap32(host) << 16;
}

RW_ALWAYS_INLINE uint64_t frame_load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

RW_ALWAYS_INLINE uint16_t frame_load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Addresses, flow, record and tag. `f` tells where, a constant of the caller. */
struct frame_head {
	uint64_t dst, src; /* frame_mac */
	uint16_t flow;
	uint32_t seq;
	uint32_t stamp;
	uint16_t tag;
};

RW_ALWAYS_INLINE void frame_address(
	uint8_t *frame, const struct frame_format *f, const struct frame_head *h)
{
	uint64_t first = h->dst | h->src << 48, second = h->src | 0x0008ull << 48;
	uint64_t record = (uint64_t)h->seq << f->seq_shift | (uint64_t)h->stamp << 32;
	uint16_t port = __builtin_bswap16((uint16_t)(1024 + h->flow));

	memcpy(frame, &first, sizeof(first));
	memcpy(frame + 6, &second, sizeof(second)); /* and the type, IPv4 */
	memcpy(frame + 34, &port, sizeof(port));
	memcpy(frame + f->record_at, &record, sizeof(record));
	memcpy(frame + f->tag_at, &h->tag, sizeof(h->tag));
}

/* What a received frame says. */
struct frame_seen {
	uint64_t dst;
	uint16_t port; /* the sender's */
	uint8_t queue; /* and its queue */
	uint8_t trial;
	uint16_t buffer;
	uint32_t seq; /* of a segment: counted in segments */
	uint32_t stamp;
	uint32_t skipped; /* bytes of the payload that was sent before the segment's */
};

/* How long the frame at `frame` says that it is. */
RW_ALWAYS_INLINE uint32_t frame_len(const uint8_t *frame)
{
	return __builtin_bswap16(frame_load16(frame + 16)) + 14u;
}

/* What a segment says in another way. False: it is not where a segment can be. */
static inline bool frame_read_segment(
	const struct frame_format *f, uint64_t record, uint32_t len, struct frame_seen *out)
{
	uint32_t nth, most = f->payload_at + FRAME_GSO_SIZE;

	out->skipped = __builtin_bswap32((uint32_t)record);
	nth = out->skipped / FRAME_GSO_SIZE;
	out->buffer = (uint16_t)(__builtin_bswap16(out->buffer) - nth);
	out->seq = out->stamp * f->pieces + nth;
	out->stamp = 0;
	/* What was sent to teach has no payload. */
	return !(out->skipped % FRAME_GSO_SIZE) && nth < f->pieces &&
		(len == most || (len < most && (nth + 1 == f->pieces || len <= f->payload_at)));
}

/*
 * Read the head of a frame of `len` bytes, FRAME_HEAD of which are at `frame`. False: not one of
 * ours.
 */
RW_ALWAYS_INLINE bool frame_read(
	const uint8_t *frame, uint32_t len, const struct frame_format *f, struct frame_seen *out)
{
	uint64_t src = frame_load64(frame + 6);
	uint64_t record = frame_load64(frame + f->record_at);
	uint16_t tag = frame_load16(frame + f->tag_at);

	out->dst = frame_load64(frame) & FRAME_BROADCAST;
	out->port = (uint16_t)(src >> 16 & 0xff);
	out->queue = (uint8_t)tag;
	out->trial = (uint8_t)(tag >> 8);
	out->buffer = frame_load16(frame + 18);
	out->seq = (uint32_t)record;
	out->stamp = (uint32_t)(record >> 32);
	out->skipped = 0;
	if (f->pieces && !frame_read_segment(f, record, len, out))
		return false;
	return (src & 0xffff00000000ffffull) == 0x0008000000005202ull && frame_len(frame) == len &&
		len >= FRAME_MIN;
}

/*
 * Which frames of a stream have come. A stream is what one sender's queue sends to one receiver,
 * numbered from 0. While all frames come in turn, one comparison tells. From the first gap until it
 * is STREAM_WINDOW frames old, one bit for each number that was passed over tells late frames from
 * repeated ones.
 */

/* More than two rings hold: nothing that is still under way is older. */
#define STREAM_WINDOW 4096

/* All zero: nothing has come. */
struct stream {
	uint32_t next;  /* the number after the highest that came */
	uint32_t holes; /* numbers that are missing */
	uint64_t missing[STREAM_WINDOW /
		64]; /* a bit for each of them, by number modulo the window */
};

enum stream_seen {
	STREAM_NEW,   /* the highest yet */
	STREAM_LATE,  /* others overtook it */
	STREAM_AGAIN, /* came before, or so long ago that it must have */
};

enum stream_seen stream_note_slow(struct stream *s, uint32_t seq);

RW_ALWAYS_INLINE enum stream_seen stream_note(struct stream *s, uint32_t seq)
{
	if (rw_unlikely(seq != s->next || s->holes))
		return stream_note_slow(s, seq);
	s->next++;
	return STREAM_NEW;
}
