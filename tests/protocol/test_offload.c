/* SPDX-License-Identifier: BSD-3-Clause */
/* Checksum and segmentation state on its way from guest to guest. */
#include "harness.h"

#include <string.h>

#define LEN 2000

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

#define ECN_BITS (FE_BIT(VIRTIO_NET_F_HOST_ECN) | FE_BIT(VIRTIO_NET_F_GUEST_ECN))

static struct fe_guest_config with(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features = FEATURES_BASE | FE_BIT(VIRTIO_NET_F_MRG_RXBUF) | features;
	c.tx_buf_size = 70000;
	c.tx_size = 16;
	return c;
}

static struct virtio_net_hdr_mrg_rxbuf csum_hdr(uint16_t start_at, uint16_t offset)
{
	return (struct virtio_net_hdr_mrg_rxbuf){.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
							 .csum_start = start_at,
							 .csum_offset = offset}};
}

static struct virtio_net_hdr_mrg_rxbuf gso_hdr(uint8_t type)
{
	struct virtio_net_hdr_mrg_rxbuf h = csum_hdr(34, 16);

	h.hdr.gso_type = type;
	h.hdr.gso_size = 1448;
	h.hdr.hdr_len = 54;
	return h;
}

static void send(struct rig *r, struct peer *p, const uint8_t *dst,
	const struct virtio_net_hdr_mrg_rxbuf *hdr, uint32_t seed)
{
	uint8_t data[LEN];
	const struct fe_frame f = {.data = data, .len = sizeof(data), .hdr = hdr};

	frame_make(data, sizeof(data), dst, p->mac, seed);
	peer_send(r, p, 0, &f);
}

/* The next frame for `p` is that of `send`, with this header. */
static void next_is(struct rig *r, struct peer *p, const uint8_t *dst, const uint8_t *src,
	const struct virtio_net_hdr_mrg_rxbuf *hdr, uint32_t seed)
{
	static uint8_t got[FRAME_MAX], want[LEN];
	struct virtio_net_hdr_mrg_rxbuf expected = *hdr;
	struct fe_received in;

	peer_recv(r, p, 0, got, &in);
	frame_make(want, sizeof(want), dst, src, seed);
	expected.num_buffers = in.nbufs;
	assert_int_equal(in.len, sizeof(want));
	assert_memory_equal(got, want, sizeof(want));
	assert_memory_equal(&in.hdr, &expected, sizeof(expected));
}

static void what_both_negotiated_passes_unchanged(void **state)
{
	const struct virtio_net_hdr_mrg_rxbuf hdrs[] = {
		{.hdr = {0}},
		csum_hdr(34, 16),
		csum_hdr(14, 0),
		csum_hdr(54, 6),
		csum_hdr(LEN - 2, 0),
		csum_hdr(0x100, LEN - 0x102),
		gso_hdr(VIRTIO_NET_HDR_GSO_TCPV4),
		gso_hdr(VIRTIO_NET_HDR_GSO_TCPV6),
		gso_hdr(VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN),
		gso_hdr(VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN),
	};
	static const uint64_t formats[] = {0, PACKED};
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t f, i;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c = with(FEATURES_OFFLOAD | ECN_BITS | formats[f]);
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		for (i = 0; i < RW_ARRAY_SIZE(hdrs); i++) {
			send(*state, a, b->mac, &hdrs[i], (uint32_t)i);
			next_is(*state, b, b->mac, a->mac, &hdrs[i], (uint32_t)i);
		}
		rig_clean(state);
	}
}

/*
 * Buffers are used again and again, with and without a line of the cache that has nothing but the
 * header.
 */
static void a_header_is_right_whatever_the_buffer_held_before(void **state)
{
	static const uint64_t formats[] = {0, PACKED};
	const struct virtio_net_hdr_mrg_rxbuf hdrs[] = {{.hdr = {0}}, csum_hdr(34, 16),
		csum_hdr(54, 6), gso_hdr(VIRTIO_NET_HDR_GSO_TCPV4), {.hdr = {0}}};
	const struct stream in_two_buffers = {.n = 5, .len = 3000, .window = 2};
	const struct stream in_one = {.n = 7, .len = 60, .window = 4};

	for (size_t f = 0; f < 2 * RW_ARRAY_SIZE(formats); f++) {
		struct fe_guest_config c = with(FEATURES_OFFLOAD | formats[f / 2]);
		struct peer *a, *b;

		c.rx_size = 8;
		c.rx_buf_size = 2048;
		c.rx_lead = f % 2 ? RW_CACHE_LINE - sizeof(hdrs[0]) : 0;
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		/* Each of the 8 buffers gets each header twice. */
		for (uint32_t i = 0; i < 16 * RW_ARRAY_SIZE(hdrs); i++) {
			const struct virtio_net_hdr_mrg_rxbuf *hdr =
				&hdrs[i / 16 % RW_ARRAY_SIZE(hdrs)];

			send(*state, a, b->mac, hdr, i);
			next_is(*state, b, b->mac, a->mac, hdr, i);
		}
		for (unsigned i = 0; i < 3; i++) {
			stream_check(*state, a, b, &in_two_buffers);
			stream_check(*state, a, b, &in_one);
		}
		rig_clean(state);
	}
}

static void impossible_headers_are_dropped(void **state)
{
	const struct virtio_net_hdr_mrg_rxbuf plain = {.hdr = {0}};
	struct virtio_net_hdr_mrg_rxbuf bad[] = {
		csum_hdr(LEN - 1, 0),
		csum_hdr(LEN, 0),
		csum_hdr(LEN - 10, 9),
		csum_hdr(UINT16_MAX, 0),
		csum_hdr(34, UINT16_MAX),
		csum_hdr(UINT16_MAX, UINT16_MAX),
		csum_hdr(13, 0), /* within the Ethernet header */
		gso_hdr(2),      /* no such type */
		gso_hdr(VIRTIO_NET_HDR_GSO_UDP),
		gso_hdr(0x7f),
		gso_hdr(VIRTIO_NET_HDR_GSO_ECN), /* ECN of nothing */
		gso_hdr(VIRTIO_NET_HDR_GSO_TCPV4),
		gso_hdr(VIRTIO_NET_HDR_GSO_TCPV4),
	};
	struct fe_guest_config c = with(FEATURES_OFFLOAD | ECN_BITS);
	struct peer *a = peer_up(*state, "a", &c);
	struct peer *b = peer_up(*state, "b", &c);
	size_t i, n = RW_ARRAY_SIZE(bad);
	uint64_t before;

	bad[n - 2].hdr.gso_size = 0;
	bad[n - 1].hdr.flags = 0; /* segmentation without checksum */
	for (i = 0; i < n; i++) {
		before = rig_counter(*state, "a", "rx", "drops.bad_header");
		send(*state, a, b->mac, &bad[i], 1);
		send(*state, a, b->mac, &plain, 2);
		next_is(*state, b, b->mac, a->mac, &plain, 2);
		rig_wait(*state, rig_counter(*state, "a", "rx", "drops.bad_header") == before + 1);
	}
}

static void a_sender_may_use_only_what_it_negotiated(void **state)
{
	const struct virtio_net_hdr_mrg_rxbuf plain = {.hdr = {0}};
	const struct virtio_net_hdr_mrg_rxbuf hdrs[] = {
		csum_hdr(34, 16), gso_hdr(VIRTIO_NET_HDR_GSO_TCPV4)};
	const uint64_t host[] = {FEATURES_OFFLOAD, FE_BIT(VIRTIO_NET_F_HOST_TSO4)};
	struct fe_guest_config c = with(FEATURES_OFFLOAD);
	struct peer *a, *b = peer_up(*state, "b", &c);
	uint64_t before;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(hdrs); i++) {
		c = with(FEATURES_OFFLOAD & ~host[i]);
		a = peer_up(*state, "a", &c);
		before = rig_counter(*state, "a", "rx", "drops.bad_header");
		send(*state, a, b->mac, &hdrs[i], 1);
		send(*state, a, b->mac, &plain, 2);
		next_is(*state, b, b->mac, a->mac, &plain, 2);
		rig_wait(*state, rig_counter(*state, "a", "rx", "drops.bad_header") == before + 1);
		peer_down(*state, a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(what_both_negotiated_passes_unchanged),
		rig_test(a_header_is_right_whatever_the_buffer_held_before),
		rig_test(impossible_headers_are_dropped),
		rig_test(a_sender_may_use_only_what_it_negotiated),
	};

	return cmocka_run_group_tests_name("offload", tests, start, rig_stop);
}
