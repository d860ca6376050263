/* SPDX-License-Identifier: BSD-3-Clause */
#include "frames.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#define ETH_LEN 14
#define L4_AT   (ETH_LEN + sizeof(struct iphdr))
/* RFC 2544, C.2.2: addresses for measuring. */
#define SOURCE      0xc6120000u /* 198.18.PP.1 */
#define DESTINATION 0xc6130001u /* 198.19.0.1 */
#define DST_PORT    9           /* discard */

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The one's complement sum of RFC 1071, on top of `sum`. */
static uint16_t sum16(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	return sum_fold(sum);
}

static void ip_fill(uint8_t *at, const struct frame_of *of)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons((uint16_t)(of->len - ETH_LEN)),
		/* A number that goes up by one with each segment, where the frame is cut. */
		.id = of->format->pieces ? htons(of->buffer) : of->buffer,
		.frag_off = htons(IP_DF),
		.ttl = 64,
		.protocol = of->format->tcp ? IPPROTO_TCP : IPPROTO_UDP,
		.saddr = htonl(SOURCE | (uint32_t)of->port << 8 | 1),
		.daddr = htonl(DESTINATION),
	};

	memcpy(at, &ip, sizeof(ip));
	ip.check = htons((uint16_t)~sum16(at, sizeof(ip), 0));
	memcpy(at, &ip, sizeof(ip));
}

static void udp_fill(uint8_t *at, const struct frame_of *of)
{
	struct udphdr udp = {
		.dest = htons(DST_PORT), .len = htons((uint16_t)(of->len - L4_AT)), .check = 0};

	memcpy(at, &udp, sizeof(udp));
}

/* TCP's checksum covers this besides: see RFC 9293, 3.1. */
static uint32_t pseudo_sum(const uint8_t *frame)
{
	uint32_t addresses = sum16(frame + ETH_LEN + offsetof(struct iphdr, saddr), 8, IPPROTO_TCP);

	return addresses + frame_len(frame) - L4_AT;
}

/* The checksum field holds the sum of the pseudo header: the device adds the rest. */
static void tcp_fill(uint8_t *frame, const struct frame_of *of)
{
	static const uint8_t times[] = {TCPOPT_NOP, TCPOPT_NOP, TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP,
		0, 0, 0, 1, 0, 0, 0, 1};
	uint8_t words = (uint8_t)((of->format->payload_at - L4_AT) / 4);
	struct tcphdr tcp = {.dest = htons(DST_PORT), .doff = words & 0xf, .ack = 1, .psh = 1};
	tcp.check = htons(sum_fold(pseudo_sum(frame)));
	memcpy(frame + L4_AT, &tcp, sizeof(tcp));
	if (of->format->pieces)
		memcpy(frame + L4_AT + sizeof(tcp), times, sizeof(times));
}

static void offload_fill(struct virtio_net_hdr_mrg_rxbuf *hdr, const struct frame_of *of)
{
	memset(hdr, 0, sizeof(*hdr));
	if (!of->format->tcp)
		return;
	hdr->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->hdr.csum_start = L4_AT;
	hdr->hdr.csum_offset = offsetof(struct tcphdr, check);
	if (of->len <= FRAME_PLAIN_MAX)
		return;
	hdr->hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	hdr->hdr.gso_size = FRAME_GSO_SIZE;
	hdr->hdr.hdr_len = of->format->payload_at;
}

bool frame_is_summed(const uint8_t *frame)
{
	return sum16(frame + ETH_LEN, sizeof(struct iphdr), 0) == UINT16_MAX &&
		sum16(frame + L4_AT, frame_len(frame) - L4_AT, pseudo_sum(frame)) == UINT16_MAX;
}

void frame_fill(uint8_t *frame, struct virtio_net_hdr_mrg_rxbuf *hdr, const struct frame_of *of)
{
	uint32_t i;

	offload_fill(hdr, of);
	memset(frame, 0, of->format->payload_at);
	frame[12] = 0x08; /* IPv4 */
	ip_fill(frame + ETH_LEN, of);
	if (of->format->tcp)
		tcp_fill(frame, of);
	else
		udp_fill(frame + L4_AT, of);
	for (i = of->format->payload_at; i < of->len; i++)
		frame[i] = frame_payload(of->port, of->buffer, i);
}

static void hole_set(struct stream *s, uint32_t seq, bool on)
{
	uint64_t *word = &s->missing[seq % STREAM_WINDOW / 64];
	uint64_t bit = UINT64_C(1) << seq % 64;

	if (!(*word & bit) == !on)
		return;
	*word ^= bit;
	s->holes += on ? 1 : UINT32_MAX;
}

static bool hole_is(const struct stream *s, uint32_t seq)
{
	return s->missing[seq % STREAM_WINDOW / 64] >> seq % 64 & 1;
}

enum stream_seen stream_note_slow(struct stream *s, uint32_t seq)
{
	uint32_t ahead = seq - s->next;
	uint32_t passed;

	if ((int32_t)ahead >= 0) {
		for (passed = RW_MIN(ahead, STREAM_WINDOW - 1u); passed; passed--)
			hole_set(s, seq - passed, true);
		hole_set(s, seq, false);
		s->next = seq + 1;
		return STREAM_NEW;
	}
	if (s->next - seq > STREAM_WINDOW || !hole_is(s, seq))
		return STREAM_AGAIN;
	hole_set(s, seq, false);
	return STREAM_LATE;
}
