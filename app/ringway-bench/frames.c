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
	return sum_fold(sum);
}

static void ip_fill(uint8_t *at, const struct frame_of *of)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons((uint16_t)(of->len - ETH_LEN)),
		.id = of->buffer,
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

/* The checksum field holds the sum of the pseudo header: the device adds the rest. */
static void tcp_fill(uint8_t *at, const uint8_t *ip, const struct frame_of *of)
{
	struct tcphdr tcp = {.dest = htons(DST_PORT), .doff = 5, .ack = 1, .psh = 1};
	uint32_t addresses = sum16(ip + offsetof(struct iphdr, saddr), 8, IPPROTO_TCP);

	tcp.check = htons(sum_fold(addresses + (uint32_t)(of->len - L4_AT)));
	memcpy(at, &tcp, sizeof(tcp));
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
	hdr->hdr.hdr_len = L4_AT + sizeof(struct tcphdr);
}

void frame_fill(uint8_t *frame, struct virtio_net_hdr_mrg_rxbuf *hdr, const struct frame_of *of)
{
	uint32_t i;

	offload_fill(hdr, of);
	memset(frame, 0, of->format->payload_at);
	frame[12] = 0x08; /* IPv4 */
	ip_fill(frame + ETH_LEN, of);
	if (of->format->tcp)
		tcp_fill(frame + L4_AT, frame + ETH_LEN, of);
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
