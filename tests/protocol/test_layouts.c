/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames of every size, in every cut: each arrives unchanged. */
#include "harness.h"

#include <string.h>

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

/* The largest IP packet with an Ethernet header, as a TCP segmentation offload sends it. */
#define TSO_LEN 65549
static const struct virtio_net_hdr_mrg_rxbuf tso_hdr = {
	.hdr =
		{
			.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.hdr_len = 54,
			.gso_size = 1448,
			.csum_start = 34,
			.csum_offset = 16,
		},
};

static const struct fe_cut cuts[] = {
	{0, 1, false}, /* header and data together */
	{0, 2, false},
	{0, 16, false},
	{1, 1, false}, /* header apart */
	{1, 3, false},
	{1, 47, false},
	{2, 1, false},
	{3, 2, false},  /* 1 + 1 + 10 bytes */
	{12, 1, false}, /* twelve descriptors of a byte each */
	{12, 20, false},
	{0, 1, true}, /* through an indirect table */
	{1, 1, true},
	{1, 40, true},
	{12, 52, true},
};

static struct fe_guest_config sender(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features |= features;
	c.tx_buf_size = 12 + TSO_LEN;
	c.tx_size = 64;
	return c;
}

static void every_cut_of_a_sent_frame_works(void **state)
{
	static const uint64_t formats[] = {0, PACKED};
	static const uint32_t lens[] = {14, 60, 64, 65, 200, 1514};
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t f, i, k;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c = sender(formats[f]);
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		for (i = 0; i < RW_ARRAY_SIZE(cuts); i++) {
			for (k = 0; k < RW_ARRAY_SIZE(lens); k++) {
				const struct stream s = {.n = 5, .len = lens[k], .cut = cuts[i]};

				stream_check(*state, a, b, &s);
			}
		}
		rig_clean(state);
	}
}

/* Receive buffers as drivers post them, and some that are wilful. */
static const struct {
	uint32_t size;
	struct fe_cut cut;
	bool mergeable;
} receivers[] = {
	{1536, {0, 1, false}, true},
	{4096, {0, 1, false}, true},
	{64, {0, 1, false}, true},
	{1536, {1, 1, false}, true}, /* header apart */
	{1536, {1, 6, false}, true},
	{1536, {1, 3, true}, true},
	{64, {3, 5, true}, true},
	{12 + TSO_LEN, {0, 1, false}, false},
	{12 + TSO_LEN, {1, 17, false}, false}, /* Linux without mergeable buffers */
	{12 + TSO_LEN, {1, 19, true}, false},
	{12 + TSO_LEN, {12, 2, false}, false},
	{12 + TSO_LEN, {3, 1, true}, false},
};

static struct peer *receiver_up(struct rig *r, size_t i, uint64_t features, uint8_t lead)
{
	struct fe_guest_config c = sender(features);

	if (!receivers[i].mergeable)
		c.features &= ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	c.rx_buf_size = receivers[i].size;
	c.rx_cut = receivers[i].cut;
	c.rx_lead = lead;
	/* Room for a few of the largest frames. */
	c.rx_size = 1024;
	if (receivers[i].mergeable && receivers[i].size < 1000)
		c.rx_size = 32768;
	return peer_up(r, "b", &c);
}

/* `lead`: bytes before each receive buffer. */
static void integrity_at_all_sizes(struct rig *r, uint64_t features, uint8_t lead)
{
	static const uint32_t lens[] = {14, 60, 63, 64, 65, 128, 1514, 1518, 9018, TSO_LEN};
	struct fe_guest_config c = sender(features);
	struct peer *a, *b;
	size_t i, k;

	for (i = 0; i < RW_ARRAY_SIZE(receivers); i++) {
		a = peer_up(r, "a", &c);
		b = receiver_up(r, i, features, lead);
		for (k = 0; k < RW_ARRAY_SIZE(lens); k++) {
			const bool large = lens[k] > 1518;
			const struct stream s = {.n = large ? 6 : 40,
				.len = lens[k],
				.window = large ? 2 : 8,
				.cut = {.data_segs = (uint8_t)(1 + i % 3)},
				.hdr = large ? &tso_hdr : NULL,
				.seed = (uint32_t)(100 * i)};

			stream_check(r, a, b, &s);
			stream_check(r, b, a, &s);
		}
		rig_clean((void **)&(struct rig *){r});
	}
}

static void frames_of_all_sizes_arrive_intact_on_split_rings(void **state)
{
	integrity_at_all_sizes(*state, 0, 0);
}

static void frames_of_all_sizes_arrive_intact_on_packed_rings(void **state)
{
	integrity_at_all_sizes(*state, PACKED, 0);
}

/*
 * The frame begins with a line of the cache and the header is in the one before, as DPDK's drivers
 * have it.
 */
static void frames_behind_a_header_with_a_line_apart_arrive_intact(void **state)
{
	integrity_at_all_sizes(*state, 0, RW_CACHE_LINE - 12);
	integrity_at_all_sizes(*state, PACKED, RW_CACHE_LINE - 12);
}

static void formats_mix(void **state)
{
	const struct stream s = {.n = 100, .len = 1514};
	struct fe_guest_config c = sender(PACKED);
	struct peer *a = peer_up(*state, "a", &c);
	struct peer *b = receiver_up(*state, 0, 0, 0);

	stream_check(*state, a, b, &s);
	stream_check(*state, b, a, &s);
}

static void every_length_up_to_a_page_arrives_intact(void **state)
{
	struct fe_guest_config c = sender(0);
	struct peer *a = peer_up(*state, "a", &c);
	struct peer *b;
	uint32_t len;

	c.rx_buf_size = 200;
	b = peer_up(*state, "b", &c);
	for (len = 14; len < 4100; len += len < 300 ? 1 : 7) {
		const struct stream s = {
			.n = 1, .len = len, .seed = len, .cut = {.data_segs = len % 5}};

		stream_check(*state, a, b, &s);
	}
}

static void the_longest_tagged_frame_passes_and_a_longer_one_does_not(void **state)
{
	struct fe_guest_config c = sender(0);
	struct peer *a, *b;
	uint64_t before;

	c.tx_buf_size = 12 + FRAME_MAX + 1;
	a = peer_up(*state, "a", &c);
	b = peer_up(*state, "b", &c);
	before = rig_counter(*state, "a", "rx", "drops.too_long");
	peers_meet(*state, a, b);
	{
		static uint8_t frame[FRAME_MAX + 1];
		const struct fe_frame f = {.data = frame, .len = sizeof(frame), .hdr = &tso_hdr};

		frame_make(frame, sizeof(frame), b->mac, a->mac, 1);
		peer_send(*state, a, 0, &f);
	}
	rig_wait(*state, rig_counter(*state, "a", "rx", "drops.too_long") == before + 1);
	{
		const struct stream s = {.n = 1, .len = FRAME_MAX, .hdr = &tso_hdr};

		stream_check(*state, a, b, &s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(every_cut_of_a_sent_frame_works),
		rig_test(frames_of_all_sizes_arrive_intact_on_split_rings),
		rig_test(frames_of_all_sizes_arrive_intact_on_packed_rings),
		rig_test(frames_behind_a_header_with_a_line_apart_arrive_intact),
		rig_test(formats_mix),
		rig_test(every_length_up_to_a_page_arrives_intact),
		rig_test(the_longest_tagged_frame_passes_and_a_longer_one_does_not),
	};

	return cmocka_run_group_tests_name("layouts", tests, start, rig_stop);
}
