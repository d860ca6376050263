/* SPDX-License-Identifier: BSD-3-Clause */
/* A receiver that lacks an offload gets frames that it can take, and nothing is lost. */
#include <string.h>

#include "segments.h"

#define HAS(n)  FE_BIT(VIRTIO_NET_F_##n)
#define USO_ALL (HAS(HOST_USO) | HAS(GUEST_USO4) | HAS(GUEST_USO6))
#define SENDS   (FEATURES_OFFLOAD | USO_ALL | HAS(HOST_ECN))

static struct rig rig;
static uint8_t whole[GSO_PACKET_MAX], got[FRAME_MAX];

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

/* A guest with these features beside the usual ones, whose frames have several buffers. */
static struct fe_guest_config with(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features = FEATURES_BASE | features;
	c.tx_buf_size = 70000;
	c.tx_size = 16;
	if (features & HAS(MRG_RXBUF)) {
		c.rx_buf_size = 700;
		c.rx_size = 256;
	}
	return c;
}

static const struct gso_spec specs[] = {
	{.payload = 5000, .tcp_flags = 0x19, .id = 65534, .seq = 7},
	{.payload = 5000, .tcp_flags = 0x99, .tcp_options = 12, .tags = 1, .ip_options = 8},
	{.ipv6 = true, .payload = 4344, .tcp_flags = 0x18, .ip_options = 24, .tags = 2},
	{.udp = true, .payload = 3001},
	{.udp = true, .ipv6 = true, .payload = 2000},
};

#define GSO 1000

/* Send one of them from `a` to `dst`. With `gso` 0 only the checksum is left to the receiver. */
static void packet_send(
	struct rig *r, struct peer *a, const uint8_t *dst, const struct gso_spec *s, uint16_t gso)
{
	uint32_t len = gso_build(s, whole);
	const struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = gso_header(s, gso)};

	memcpy(whole, dst, 6);
	memcpy(whole + 6, a->mac, 6);
	peer_send(r, a, 0, &(struct fe_frame){.data = whole, .len = len, .hdr = &hdr});
}

/* `b` takes nothing, or only partial checksums; every form of ring. */
static void every_receiver_gets_what_it_takes(void **state)
{
	static const uint64_t forms[] = {0, PACKED, HAS(MRG_RXBUF), PACKED | HAS(MRG_RXBUF)};

	for (size_t i = 0; i < 2 * RW_ARRAY_SIZE(forms); i++) {
		bool partial = i & 1;
		struct fe_guest_config c = with(forms[i / 2] | SENDS);
		struct peer *a = peer_up(*state, "a", &c), *b;
		uint64_t cut = rig_counter(*state, "b", "tx", "segmented");
		uint64_t made = rig_counter(*state, "b", "tx", "segments");
		uint64_t filled = rig_counter(*state, "b", "tx", "converted_csum");
		uint64_t frames = 0;

		c = with(forms[i / 2] | (partial ? HAS(GUEST_CSUM) : 0));
		b = peer_up(*state, "b", &c);
		for (size_t k = 0; k < RW_ARRAY_SIZE(specs); k++) {
			struct gso_spec s = specs[k];

			packet_send(*state, a, b->mac, &s, GSO);
			segments_arrive(*state, b, &s, whole, partial);
			frames += (s.payload + GSO - 1) / GSO;
			s.payload = 900;
			packet_send(*state, a, b->mac, &s, 0);
			segments_arrive(*state, b, &s, whole, partial);
		}
		rig_wait(*state,
			rig_counter(*state, "b", "tx", "segmented") == cut + RW_ARRAY_SIZE(specs));
		assert_int_equal(rig_counter(*state, "b", "tx", "segments"), made + frames);
		assert_int_equal(rig_counter(*state, "b", "tx", "converted_csum"),
			filled + (partial ? 0 : RW_ARRAY_SIZE(specs)));
		rig_clean(state);
	}
}

/* Of a burst with frames of all kinds each arrives in its place. */
static void the_order_is_kept(void **state)
{
	const struct gso_spec large = {.payload = 9000, .tcp_flags = 0x18};
	const struct gso_spec small = {.payload = 500, .tcp_flags = 0x18};
	struct fe_guest_config c = with(SENDS);
	struct peer *a = peer_up(*state, "a", &c), *b;

	c = with(HAS(MRG_RXBUF));
	b = peer_up(*state, "b", &c);
	for (unsigned turn = 0; turn < 3; turn++) {
		peer_send_to(*state, a, b->mac, 100, 1);
		packet_send(*state, a, b->mac, &large, GSO);
		peer_send_to(*state, a, b->mac, 1000, 2);
		packet_send(*state, a, b->mac, &small, 0);
		peer_send_to(*state, a, b->mac, 60, 3);
		peer_expect(*state, b, b->mac, a->mac, 100, 1);
		/* The checker compares with the last packet that was made. */
		gso_build(&large, whole);
		memcpy(whole, b->mac, 6);
		memcpy(whole + 6, a->mac, 6);
		segments_arrive(*state, b, &large, whole, false);
		peer_expect(*state, b, b->mac, a->mac, 1000, 2);
		gso_build(&small, whole);
		memcpy(whole, b->mac, 6);
		memcpy(whole + 6, a->mac, 6);
		segments_arrive(*state, b, &small, whole, false);
		peer_expect(*state, b, b->mac, a->mac, 60, 3);
	}
}

/* A broadcast reaches receivers of different abilities, each as it can take it. */
static void of_two_receivers_each_gets_what_it_takes(void **state)
{
	struct fe_guest_config c = with(SENDS | HAS(MRG_RXBUF));
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", &c), *d;
	struct fe_received in;

	c = with(0);
	d = peer_up(*state, "c", &c);
	for (size_t k = 0; k < RW_ARRAY_SIZE(specs); k++) {
		const struct gso_spec *s = &specs[k];
		bool ecn = s->tcp_flags & 0x80;
		uint32_t len;

		packet_send(*state, a, mac_broadcast, s, GSO);
		segments_arrive(*state, d, s, whole, false);
		if (ecn) {
			/* b did not negotiate to take that. */
			segments_arrive(*state, b, s, whole, true);
			continue;
		}
		len = gso_place_of(s).payload + s->payload;
		peer_recv(*state, b, 0, got, &in);
		assert_int_equal(in.len, len);
		assert_memory_equal(got, whole, len);
		assert_int_equal(in.hdr.hdr.gso_size, GSO);
	}
}

static void offload_set(struct rig *r, const char *value)
{
	json_decref(
		rig_call(r, "port.set", json_pack("{s:s, s:s}", "name", "b", "offload", value)));
}

/* What a guest negotiated is turned off and on while it runs. */
static void a_port_refuses_offloads(void **state)
{
	static const struct {
		const char *set;
		bool csum, tso, uso4, uso6; /* what is left */
	} turns[] = {
		{"all", true, true, true, true},
		{"-tso", true, false, true, true},
		{"csum,-uso4", true, true, false, true},
		{"none,csum", true, false, false, false},
		{"-csum", false, false, false, false},
		{"none", false, false, false, false},
		{"all", true, true, true, true},
	};
	struct fe_guest_config c = with(SENDS | HAS(GUEST_ECN) | HAS(MRG_RXBUF));
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", &c);

	for (size_t i = 0; i < RW_ARRAY_SIZE(turns); i++) {
		offload_set(*state, turns[i].set);
		for (size_t k = 0; k < RW_ARRAY_SIZE(specs); k++) {
			const struct gso_spec *s = &specs[k];
			bool uso = s->ipv6 ? turns[i].uso6 : turns[i].uso4;
			struct fe_received in;

			packet_send(*state, a, b->mac, s, GSO);
			if (s->udp ? !uso : !turns[i].tso) {
				segments_arrive(*state, b, s, whole, turns[i].csum);
				continue;
			}
			peer_recv(*state, b, 0, got, &in);
			assert_int_equal(in.len, gso_place_of(s).payload + s->payload);
			assert_memory_equal(got, whole, in.len);
		}
	}
}

/* What cannot be carried out is dropped under its name, and the next frame passes. */
static void impossible_requests_are_dropped(void **state)
{
	static const struct {
		struct gso_spec s;
		uint16_t gso;
		uint8_t flip; /* a byte that is inverted */
		const char *why;
	} bad[] = {
		{{.payload = 5000}, GSO, 23, "drops.bad_segmentation"},
		{{.payload = 5000}, GSO, 14, "drops.bad_segmentation"},
		{{.payload = 5000, .ipv6 = true}, GSO, 20, "drops.bad_segmentation"},
		{{.payload = 5000}, 1, 0, "drops.too_many_segments"},
		{{.payload = 5000, .ipv6 = true, .ip_options = 240}, GSO, 0,
			"drops.bad_segmentation"},
		{{.payload = 500, .ipv6 = true, .ip_options = 240}, 0, 0,
			"drops.bad_checksum_offload"},
	};
	struct fe_guest_config c = with(SENDS);
	struct peer *a = peer_up(*state, "a", &c), *b;

	c = with(0);
	b = peer_up(*state, "b", &c);
	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		uint64_t before = rig_counter(*state, "b", "tx", bad[i].why);
		struct virtio_net_hdr_mrg_rxbuf hdr = {
			.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				.csum_start = (uint16_t)gso_place_of(&bad[i].s).transport,
				.csum_offset = 16,
				.gso_size = bad[i].gso}};
		uint32_t len = gso_build(&bad[i].s, whole);

		memcpy(whole, b->mac, 6);
		memcpy(whole + 6, a->mac, 6);
		if (bad[i].flip)
			whole[bad[i].flip] ^= 0xff;
		if (bad[i].gso)
			hdr.hdr.gso_type = bad[i].s.ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
							 : VIRTIO_NET_HDR_GSO_TCPV4;
		peer_send(*state, a, 0, &(struct fe_frame){.data = whole, .len = len, .hdr = &hdr});
		peer_send_to(*state, a, b->mac, 100, (uint32_t)i);
		peer_expect(*state, b, b->mac, a->mac, 100, (uint32_t)i);
		rig_wait(*state, rig_counter(*state, "b", "tx", bad[i].why) == before + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(every_receiver_gets_what_it_takes),
		rig_test(the_order_is_kept),
		rig_test(of_two_receivers_each_gets_what_it_takes),
		rig_test(a_port_refuses_offloads),
		rig_test(impossible_requests_are_dropped),
	};

	return cmocka_run_group_tests_name("convert", tests, start, rig_stop);
}
