/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two switches of which one is a guest of the other (net_virtio_user), a device that takes partial
 * checksums and large TCP frames: what guests on both sides leave to their devices crosses as it
 * is.
 */
#include <stdio.h>
#include <string.h>

#include "hosts.h"
#include "segments.h"

#define HAS(n)  FE_BIT(VIRTIO_NET_F_##n)
#define USO_ALL (HAS(HOST_USO) | HAS(GUEST_USO4) | HAS(GUEST_USO6))
#define TAKES   (FEATURES_OFFLOAD | USO_ALL | HAS(HOST_ECN) | HAS(GUEST_ECN) | HAS(MRG_RXBUF))

#define GSO   1300
#define FLOWS 64

static struct rig near_rig, far_rig;
static char uplink_port[160];
static uint8_t whole[GSO_PACKET_MAX], got[FRAME_MAX];

/* A guest on each side. */
static struct peer *a, *b;

static int start(void **state)
{
	static const char *const far_more[] = {"--socket-path=%s/link.sock", NULL};
	const char *const near_more[] = {"--port", uplink_port, NULL};

	*state = &near_rig;
	if (rig_start(&far_rig, "b", far_more))
		return -1;
	snprintf(uplink_port, sizeof(uplink_port), "u,device=net_virtio_user,path=%s",
		rig_path(&far_rig, "link.sock"));
	return rig_start(&near_rig, "a", near_more);
}

static int stop(void **state)
{
	void *other = &far_rig;

	return rig_stop(state) | rig_stop(&other);
}

static int clean(void **state)
{
	void *other = &far_rig;

	return rig_clean(&other) | rig_clean(state);
}

static struct fe_guest_config with(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features = FEATURES_BASE | features;
	c.tx_buf_size = 70000;
	c.tx_size = 16;
	if (!(features & HAS(MRG_RXBUF)))
		return c;
	c.rx_buf_size = 2000;
	c.rx_size = 256;
	return c;
}

/* Both guests, who know each other. */
static void guests_up(uint64_t features_a, uint64_t features_b)
{
	struct fe_guest_config c = with(features_a);

	rig_wait(&near_rig, rig_port_info(&near_rig, "u", "link"));
	rig_wait(&far_rig, rig_port_info(&far_rig, "link", "link"));
	a = peer_up(&near_rig, "a", &c);
	c = with(features_b);
	b = peer_up(&far_rig, "b", &c);
	/* The guests of both switches have the same number, and so would have one address. */
	host_make(b->mac, 1);
	peer_send_to(&near_rig, a, mac_broadcast, 100, 1);
	peer_expect(&far_rig, b, mac_broadcast, a->mac, 100, 1);
	peer_send_to(&far_rig, b, a->mac, 100, 2);
	peer_expect(&near_rig, a, a->mac, b->mac, 100, 2);
}

static const struct gso_spec specs[] = {
	{.payload = 5000, .tcp_flags = 0x19, .id = 65534, .seq = 7},
	{.payload = 60000, .tcp_flags = 0x18, .tcp_options = 12},
	{.payload = 9000, .tcp_flags = 0x18, .tcp_options = 40, .ip_options = 40, .tags = 1},
	{.ipv6 = true, .payload = 65000, .tcp_flags = 0x18, .ip_options = 24},
	{.ipv6 = true, .payload = 4344, .tcp_flags = 0x18, .tags = 2},
};

/* The packet, in `whole`. Its length. */
static uint32_t packet_make(
	const struct peer *from, const struct peer *to, const struct gso_spec *s)
{
	uint32_t len = gso_build(s, whole);

	memcpy(whole, to->mac, 6);
	memcpy(whole + 6, from->mac, 6);
	return len;
}

static void packet_send(struct rig *r, struct peer *from, const struct peer *to,
	const struct gso_spec *s, bool large)
{
	const struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = gso_header(s, large ? GSO : 0)};
	uint32_t len = packet_make(from, to, s);

	peer_send(r, from, 0, &(struct fe_frame){.data = whole, .len = len, .hdr = &hdr});
}

/* It arrives as it was sent. */
static void packet_arrives(struct rig *r, struct peer *to, const struct gso_spec *s, bool large)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = gso_header(s, large ? GSO : 0)};
	struct fe_received in;

	peer_recv(r, to, 0, got, &in);
	hdr.num_buffers = in.nbufs;
	assert_int_equal(in.len, gso_place_of(s).payload + s->payload);
	assert_memory_equal(got, whole, in.len);
	assert_memory_equal(&in.hdr, &hdr, sizeof(hdr));
}

static void large_frames_cross_uncut(void **state)
{
	(void)state;
	guests_up(TAKES, TAKES);
	for (unsigned turn = 0; turn < 20; turn++) {
		const struct gso_spec *s = &specs[turn % RW_ARRAY_SIZE(specs)];

		packet_send(&near_rig, a, b, s, true);
		packet_arrives(&far_rig, b, s, true);
		packet_send(&far_rig, b, a, s, true);
		packet_arrives(&near_rig, a, s, true);
	}
	assert_int_equal(rig_counter(&near_rig, "u", "tx", "segmented"), 0);
	assert_int_equal(rig_counter(&far_rig, "link", "tx", "segmented"), 0);
}

static void partial_checksums_cross(void **state)
{
	(void)state;
	guests_up(TAKES, TAKES);
	for (unsigned turn = 0; turn < 2 * RW_ARRAY_SIZE(specs); turn++) {
		struct gso_spec s = specs[turn / 2];

		s.payload = turn % 2 ? 31 : 1300;
		packet_send(&near_rig, a, b, &s, false);
		packet_arrives(&far_rig, b, &s, false);
		s.udp = true;
		packet_send(&far_rig, b, a, &s, false);
		packet_arrives(&near_rig, a, &s, false);
	}
	assert_int_equal(rig_counter(&near_rig, "u", "tx", "converted_csum"), 0);
}

/* A burst of all kinds arrives in its order, where its flows have one queue. */
static void the_order_is_kept(void **state)
{
	const struct gso_spec udp = {.udp = true, .payload = 700};

	guests_up(TAKES, TAKES);
	for (uint32_t turn = 0; turn < 8 && rig_port_info(*state, "u", "pairs") == 1; turn++) {
		peer_send_to(&near_rig, a, b->mac, 60, turn);
		packet_send(&near_rig, a, b, &udp, false);
		peer_send_to(&near_rig, a, b->mac, 1514, turn);
		packet_send(&near_rig, a, b, &specs[1], true);
		peer_send_to(&near_rig, a, b->mac, 200, turn);
		peer_expect(&far_rig, b, b->mac, a->mac, 60, turn);
		packet_make(a, b, &udp);
		packet_arrives(&far_rig, b, &udp, false);
		peer_expect(&far_rig, b, b->mac, a->mac, 1514, turn);
		packet_make(a, b, &specs[1]);
		packet_arrives(&far_rig, b, &specs[1], true);
		peer_expect(&far_rig, b, b->mac, a->mac, 200, turn);
	}
}

/* UDP and what announces a reduced window are cut for the device, and the rest is left to it. */
static void what_the_device_does_not_take_is_cut(void **state)
{
	static const struct gso_spec others[] = {{.udp = true, .payload = 4000},
		{.udp = true, .ipv6 = true, .payload = 3000, .tags = 1},
		{.payload = 4000, .tcp_flags = 0x98}};

	(void)state;
	guests_up(TAKES, TAKES);
	for (size_t i = 0; i < RW_ARRAY_SIZE(others); i++) {
		packet_send(&near_rig, a, b, &others[i], true);
		segments_arrive(&far_rig, b, &others[i], whole, true);
		packet_send(&far_rig, b, a, &others[i], true);
		segments_arrive(&near_rig, a, &others[i], whole, true);
	}
}

/* The last switch does what its guest does not. */
static void a_guest_without_offloads_gets_segments(void **state)
{
	uint64_t before = rig_counter(&far_rig, "b", "tx", "segmented");

	(void)state;
	guests_up(TAKES, 0);
	for (size_t i = 0; i < RW_ARRAY_SIZE(specs); i++) {
		struct gso_spec s = specs[i];

		s.payload = 5000;
		packet_send(&near_rig, a, b, &s, true);
		segments_arrive(&far_rig, b, &s, whole, false);
	}
	rig_wait(&far_rig,
		rig_counter(&far_rig, "b", "tx", "segmented") == before + RW_ARRAY_SIZE(specs));
}

static void offloads_of_the_uplink_are_turned_off(void **state)
{
	static const char *const off[] = {"{\"offload\":\"-tso\"}", "{\"offload\":\"none\"}"};

	(void)state;
	guests_up(TAKES, TAKES);
	for (size_t i = 0; i < RW_ARRAY_SIZE(off); i++) {
		uint64_t before = rig_counter(&near_rig, "u", "tx", "segmented");

		rig_port_set(&near_rig, "u", off[i]);
		packet_send(&near_rig, a, b, &specs[0], true);
		segments_arrive(&far_rig, b, &specs[0], whole, !i);
		rig_wait(&near_rig, rig_counter(&near_rig, "u", "tx", "segmented") == before + 1);
	}
	rig_port_set(&near_rig, "u", "{\"offload\":\"all\"}");
	packet_send(&near_rig, a, b, &specs[0], true);
	packet_arrives(&far_rig, b, &specs[0], true);
}

/* Places in a frame are right when it has one tag more on its way. */
static void large_frames_cross_in_a_vlan(void **state)
{
	(void)state;
	guests_up(TAKES, TAKES);
	rig_port_set(&near_rig, "u", "{\"trunk\":\"10\"}");
	rig_port_set(&far_rig, "link", "{\"trunk\":\"10\"}");
	rig_port_set(&near_rig, "a", "{\"vlan\":\"10\"}");
	rig_port_set(&far_rig, "b", "{\"vlan\":\"10\"}");
	for (unsigned i = 0; i < 2; i++) {
		packet_send(&near_rig, a, b, &specs[i], true);
		packet_arrives(&far_rig, b, &specs[i], true);
		packet_send(&far_rig, b, a, &specs[i], true);
		packet_arrives(&near_rig, a, &specs[i], true);
	}
	rig_port_set(&near_rig, "u", "{\"trunk\":\"none\"}");
	rig_port_set(&far_rig, "link", "{\"trunk\":\"none\"}");
	rig_port_set(&near_rig, "a", "{\"vlan\":\"none\"}");
	rig_port_set(&far_rig, "b", "{\"vlan\":\"none\"}");
}

/* Headers that lie about a large frame reach no device. */
static void impossible_requests_are_dropped(void **state)
{
	const struct gso_spec s = {.payload = 5000, .tcp_flags = 0x18};
	static const struct {
		uint16_t gso;
		uint8_t at, byte;
		const char *why;
	} bad[] = {
		{GSO, 23, 17, "drops.bad_segmentation"},          /* UDP */
		{GSO, 14, 0x4f, "drops.bad_segmentation"},        /* headers longer than they are */
		{GSO, 14 + 20 + 12, 0, "drops.bad_segmentation"}, /* no TCP header */
		{1, 0, 0, "drops.too_many_segments"},
		{3000, 0, 0, "drops.too_long"}, /* segments do not fit the MTU */
	};

	(void)state;
	guests_up(TAKES, TAKES);
	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		uint64_t before = rig_counter(&near_rig, "u", "tx", bad[i].why);
		struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = gso_header(&s, GSO)};
		uint32_t len = packet_make(a, b, &s);

		if (bad[i].at)
			whole[bad[i].at] = bad[i].byte;
		hdr.hdr.gso_size = bad[i].gso;
		peer_send(&near_rig, a, 0,
			&(struct fe_frame){.data = whole, .len = len, .hdr = &hdr});
		peer_send_to(&near_rig, a, b->mac, 100, (uint32_t)i);
		peer_expect(&far_rig, b, b->mac, a->mac, 100, (uint32_t)i);
		rig_wait(&near_rig, rig_counter(&near_rig, "u", "tx", bad[i].why) == before + 1);
	}
}

/* How many rx queues of the uplink have had frames. */
static unsigned queues_used(json_t *stats)
{
	json_t *queues = json_object_get(json_array_get(stats, 0), "queues"), *queue;
	unsigned n = 0;
	size_t i;

	json_array_foreach(queues, i, queue) n +=
		json_integer_value(json_object_get(json_object_get(queue, "rx"), "frames")) > 0;
	return n;
}

/* With several workers there is a queue for each, and flows are on all of them. */
static void flows_are_spread_over_the_queues(void **state)
{
	unsigned nqueues = (unsigned)rig_port_info(&near_rig, "u", "pairs");
	json_t *stats;

	(void)state;
	guests_up(TAKES, TAKES);
	for (uint8_t i = 0; i < FLOWS; i++) {
		const struct gso_spec s = {.udp = true, .payload = 200};
		const struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = gso_header(&s, 0)};
		uint32_t len = packet_make(b, a, &s);

		/* Its port, and the sum that is left to say nothing of it. */
		whole[35] = i;
		peer_send(
			&far_rig, b, 0, &(struct fe_frame){.data = whole, .len = len, .hdr = &hdr});
		packet_arrives(&near_rig, a, &s, false);
	}
	stats = rig_call(&near_rig, "port.stats", json_pack("{s:s}", "name", "u"));
	assert_int_equal(queues_used(stats), nqueues);
	json_decref(stats);
}

/* Whether a list of names is this one, in its order. */
static bool names_are(json_t *port, const char *key, const char *want)
{
	json_t *list = json_object_get(port, key), *expected = json_loads(want, 0, NULL);
	bool same = json_equal(list, expected);

	json_decref(expected);
	return same;
}

static void a_user_sees_what_the_device_does(void **state)
{
	json_t *port = rig_call(*state, "port.show", json_pack("{s:s}", "name", "u"));

	assert_true(names_are(port, "tx_offloads", "[\"csum\",\"tso4\",\"tso6\"]"));
	assert_true(names_are(port, "rx_offloads", "[\"csum\",\"large\"]"));
	json_decref(port);
}

static void the_other_side_goes(void **state)
{
	void *other = &far_rig;

	guests_up(TAKES, TAKES);
	rig_clean(&other);
	json_decref(rig_call(&far_rig, "port.del", json_pack("{s:s}", "name", "link")));
	rig_wait(&near_rig, !rig_port_info(&near_rig, "u", "link"));
	rig_wait(&near_rig, !hosts_behind(&near_rig, "u"));
	assert_true(rig_has_logged(&near_rig, "restart ringwayd to connect again"));
	json_decref(rig_call(*state, "port.del", json_pack("{s:s}", "name", "u")));
}

#define both_test(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		both_test(large_frames_cross_uncut),
		both_test(partial_checksums_cross),
		both_test(the_order_is_kept),
		both_test(what_the_device_does_not_take_is_cut),
		both_test(a_guest_without_offloads_gets_segments),
		both_test(offloads_of_the_uplink_are_turned_off),
		both_test(large_frames_cross_in_a_vlan),
		both_test(impossible_requests_are_dropped),
		both_test(flows_are_spread_over_the_queues),
		both_test(a_user_sees_what_the_device_does),
		both_test(the_other_side_goes),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
