/* SPDX-License-Identifier: BSD-3-Clause */
/* An uplink over net_af_packet: guests and a host in another network namespace reach each other. */
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gso_packets.h"
#include "hosts.h"
#include "rw_sock.h"
#include "traffic.h"
#include "wire.h"

#define MTU   9000
#define JUMBO (MTU + 14)

static struct rig rig;
static int far; /* the host's side */

static const uint8_t host_mac[6] = {0x02, 0x10, 0x20, 0x30, 0x40, 0x50};

static int start(void **state)
{
	static const char *const uplink[] = {
		"--port", "u,device=net_af_packet,iface=" WIRE_NEAR ",mtu=9000", NULL};

	*state = &rig;
	if (wire_begin())
		return -1;
	wire_connect(MTU);
	far = wire_open_far(WIRE_FAR);
	return rig_start(&rig, "ab", uplink);
}

static void set(struct rig *r, const char *port, const char *pairs)
{
	json_t *params = json_loads(pairs, 0, NULL);

	assert_non_null(params);
	json_object_set_new(params, "name", json_string(port));
	json_decref(rig_call(r, "port.set", params));
}

/* The host sends a frame of frame_make. */
static void host_send(const uint8_t *dst, uint32_t len, uint32_t seed)
{
	static uint8_t frame[FRAME_MAX];

	frame_make(frame, len, dst, host_mac, seed);
	wire_send(far, frame, len);
}

static struct peer *guest_up(struct rig *r, const char *port)
{
	struct fe_guest_config config = guest_large();

	rig_wait(r, rig_port_info(r, "u", "link"));
	return peer_up(r, port, &config);
}

static void a_guest_and_a_host_reach_each_other(void **state)
{
	struct peer *a = guest_up(*state, "a"), *b = guest_up(*state, "b");
	static const uint32_t lens[] = {60, 64, 65, 128, 1500, 1514};

	peer_send_to(*state, a, mac_broadcast, 100, 1);
	peer_expect(*state, b, mac_broadcast, a->mac, 100, 1);
	wire_expect(
		*state, far, &(struct wire_frame){mac_broadcast, a->mac, 100, 1, WIRE_UNTAGGED});
	host_send(mac_broadcast, 100, 2);
	peer_expect(*state, a, mac_broadcast, host_mac, 100, 2);
	peer_expect(*state, b, mac_broadcast, host_mac, 100, 2);
	assert_int_equal(host_port(*state, host_mac, 0), 'u');
	for (size_t i = 0; i < RW_ARRAY_SIZE(lens); i++) {
		peer_send_to(*state, a, host_mac, lens[i], 3 + lens[i]);
		wire_expect(*state, far,
			&(struct wire_frame){
				host_mac, a->mac, lens[i], 3 + lens[i], WIRE_UNTAGGED});
		host_send(b->mac, lens[i], 4 + lens[i]);
		peer_expect(*state, b, b->mac, host_mac, lens[i], 4 + lens[i]);
	}
}

static void many_frames_arrive_in_order(void **state)
{
	struct peer *a = guest_up(*state, "a");
	const uint32_t n = 2000, window = 16;

	for (uint32_t i = 0; i < n; i += window) {
		for (uint32_t k = i; k < i + window; k++) {
			peer_send_to(*state, a, host_mac, 64 + k % 1400, k);
			host_send(a->mac, 64 + k % 1400, k);
		}
		for (uint32_t k = i; k < i + window; k++) {
			wire_expect(*state, far,
				&(struct wire_frame){
					host_mac, a->mac, 64 + k % 1400, k, WIRE_UNTAGGED});
			peer_expect(*state, a, a->mac, host_mac, 64 + k % 1400, k);
		}
	}
}

static void jumbo_frames_pass_and_longer_ones_are_counted(void **state)
{
	struct peer *a = guest_up(*state, "a");
	uint64_t before = rig_counter(*state, "u", "tx", "drops.too_long");

	peer_send_to(*state, a, host_mac, JUMBO, 5);
	wire_expect(*state, far, &(struct wire_frame){host_mac, a->mac, JUMBO, 5, WIRE_UNTAGGED});
	host_send(a->mac, JUMBO, 6);
	peer_expect(*state, a, a->mac, host_mac, JUMBO, 6);
	peer_send_to(*state, a, host_mac, JUMBO + 9, 7);
	rig_wait(*state, rig_counter(*state, "u", "tx", "drops.too_long") == before + 1);
}

static void short_frames_are_padded(void **state)
{
	static uint8_t got[FRAME_MAX], want[60];
	struct peer *a = guest_up(*state, "a");
	int tag;

	peer_send_to(*state, a, host_mac, 20, 8);
	frame_make(want, 20, host_mac, a->mac, 8);
	assert_int_equal(wire_recv(*state, far, got, &tag), 60);
	assert_memory_equal(got, want, 60);
}

/* Insert a tag into a frame of `len` bytes. */
static void tag_push(uint8_t *frame, uint32_t len, uint16_t tci)
{
	memmove(frame + 16, frame + 12, len - 12);
	memcpy(frame + 12, (uint8_t[]){0x81, 0, (uint8_t)(tci >> 8), (uint8_t)tci}, 4);
}

static void an_uplink_is_a_trunk(void **state)
{
	struct peer *a = guest_up(*state, "a"), *b = guest_up(*state, "b");
	uint64_t before = rig_counter(*state, "u", "rx", "drops.vlan_not_member");
	uint8_t frame[104];

	set(*state, "u", "{\"trunk\":\"10+20\"}");
	set(*state, "a", "{\"vlan\":\"10\"}");
	set(*state, "b", "{\"vlan\":\"20\"}");
	peer_send_to(*state, a, mac_broadcast, 100, 9);
	wire_expect(*state, far, &(struct wire_frame){mac_broadcast, a->mac, 100, 9, 10});
	peer_send_to(*state, b, mac_broadcast, 100, 10);
	wire_expect(*state, far, &(struct wire_frame){mac_broadcast, b->mac, 100, 10, 20});
	/* Priority 5 in VLAN 30, which is not allowed, then in 20. */
	for (uint16_t vlan = 30; vlan >= 20; vlan -= 10) {
		frame_make(frame, 100, mac_broadcast, host_mac, vlan);
		tag_push(frame, 100, 0xa000 | vlan);
		wire_send(far, frame, sizeof(frame));
	}
	peer_expect(*state, b, mac_broadcast, host_mac, 100, 20);
	assert_int_equal(rig_counter(*state, "u", "rx", "drops.vlan_not_member"), before + 1);
	set(*state, "u", "{\"trunk\":\"none\"}");
	set(*state, "a", "{\"vlan\":\"none\"}");
	set(*state, "b", "{\"vlan\":\"none\"}");
	/* A port without VLANs passes tags as they are. */
	peer_send(*state, a, 0, &(struct fe_frame){.data = frame, .len = sizeof(frame)});
	wire_expect(*state, far, &(struct wire_frame){mac_broadcast, host_mac, 100, 20, 0xa014});
}

/* The sum of `n` bytes, an even number, as Internet checksums have it. */
static uint16_t sum_of(const uint8_t *p, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static void a_partial_checksum_is_completed(void **state)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = {
		.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6}};
	struct peer *a = guest_up(*state, "a");
	static uint8_t got[FRAME_MAX];
	uint8_t frame[100];
	int tag;

	frame_make(frame, sizeof(frame), host_mac, a->mac, 11);
	memcpy(frame + 40, (uint8_t[]){0x12, 0x34}, 2); /* that of the pseudo header */
	peer_send(
		*state, a, 0, &(struct fe_frame){.data = frame, .len = sizeof(frame), .hdr = &hdr});
	assert_int_equal(wire_recv(*state, far, got, &tag), sizeof(frame));
	assert_memory_equal(got, frame, 40);
	assert_memory_equal(got + 42, frame + 42, sizeof(frame) - 42);
	/* With the pseudo header's in the place of the checksum, all add up to it. */
	assert_int_equal((uint16_t)~sum_of(frame + 34, sizeof(frame) - 34), got[40] << 8 | got[41]);
}

/* The next frame from that address, whatever its type is. */
static uint32_t any_recv(struct rig *r, const uint8_t *src, uint8_t got[FRAME_MAX])
{
	ssize_t n;

	do {
		rig_wait(r, (n = recv(far, got, FRAME_MAX, MSG_DONTWAIT)) > 0);
	} while (n < 14 || memcmp(got + 6, src, 6));
	return (uint32_t)n;
}

/* Large frames leave as what they are to become, each with its tag. */
static void large_frames_are_cut(void **state)
{
	static const struct gso_spec specs[] = {{.payload = 5000, .tcp_flags = 0x19},
		{.payload = 3000, .ipv6 = true, .ip_options = 8}};
	struct peer *a = guest_up(*state, "a");
	static uint8_t frame[FRAME_MAX], got[FRAME_MAX];

	for (size_t i = 0; i < RW_ARRAY_SIZE(specs); i++) {
		const struct gso_spec *s = &specs[i];
		uint32_t len = gso_build(s, frame), done = 0, nth = 0;
		struct virtio_net_hdr_mrg_rxbuf hdr = {
			.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				.gso_type = s->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
						    : VIRTIO_NET_HDR_GSO_TCPV4,
				.gso_size = 1400,
				.csum_start = (uint16_t)gso_place_of(s).transport,
				.csum_offset = 16}};

		memcpy(frame, host_mac, 6);
		memcpy(frame + 6, a->mac, 6);
		peer_send(*state, a, 0, &(struct fe_frame){.data = frame, .len = len, .hdr = &hdr});
		while (done < s->payload) {
			uint32_t n = any_recv(*state, a->mac, got);
			const char *bad = gso_check(s, frame, got, n, nth++, &done, false);

			if (bad)
				fail_msg("segment %u: not so: %s", nth, bad);
		}
	}
}

/* A subscriber to events of links. */
static FILE *link_events(struct rig *r)
{
	static const char ask[] = "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\","
				  "\"params\":{\"kinds\":[\"link\"],\"port\":\"u\"},\"id\":1}\n";
	struct timeval patience = {.tv_sec = rig_patience(r) / 1000 + 1};
	int fd = rw_sock_connect(rig_path(r, "ctl"));
	char line[512];
	FILE *in;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(send(fd, ask, strlen(ask), MSG_NOSIGNAL), strlen(ask));
	in = fdopen(fd, "r");
	assert_non_null(in);
	assert_non_null(fgets(line, sizeof(line), in));
	assert_non_null(strstr(line, "result"));
	return in;
}

/* The next event says that the uplink's link is up, or not. */
static void next_link_event(FILE *in, bool up)
{
	char line[512];
	json_t *event, *params;

	if (!fgets(line, sizeof(line), in))
		fail_msg("no event in time");
	event = json_loads(line, 0, NULL);
	params = json_object_get(event, "params");
	assert_string_equal(json_string_value(json_object_get(params, "event")), "link");
	assert_string_equal(json_string_value(json_object_get(params, "port")), "u");
	assert_int_equal(json_is_true(json_object_get(params, "up")), up);
	json_decref(event);
}

static void a_link_that_goes_is_told_and_what_was_learned_is_gone(void **state)
{
	struct peer *a = guest_up(*state, "a");
	FILE *in = link_events(*state);

	host_send(mac_broadcast, 100, 21);
	peer_expect(*state, a, mac_broadcast, host_mac, 100, 21);
	assert_int_equal(hosts_behind(*state, "u"), 1);
	wire_run_far("ip link set " WIRE_FAR " down");
	next_link_event(in, false);
	/* Who is told finds nothing there any more. */
	assert_int_equal(hosts_behind(*state, "u"), 0);
	wire_run_far("ip link set " WIRE_FAR " up");
	next_link_event(in, true);
	fclose(in);
	host_send(mac_broadcast, 100, 22);
	peer_expect(*state, a, mac_broadcast, host_mac, 100, 22);
}

static void the_link_follows_the_other_end_and_addresses_go_with_it(void **state)
{
	struct peer *a = guest_up(*state, "a");

	host_send(mac_broadcast, 100, 12);
	peer_expect(*state, a, mac_broadcast, host_mac, 100, 12);
	assert_int_equal(host_port(*state, host_mac, 0), 'u');
	wire_run_far("ip link set " WIRE_FAR " down");
	rig_wait(*state, !rig_port_info(*state, "u", "link"));
	assert_int_equal(host_port(*state, host_mac, 0), 0);
	assert_true(rig_has_logged(*state, "port u: link is down"));
	wire_run_far("ip link set " WIRE_FAR " up");
	rig_wait(*state, rig_port_info(*state, "u", "link"));
	host_send(mac_broadcast, 100, 13);
	peer_expect(*state, a, mac_broadcast, host_mac, 100, 13);
	peer_send_to(*state, a, host_mac, 100, 14);
	wire_expect(*state, far, &(struct wire_frame){host_mac, a->mac, 100, 14, WIRE_UNTAGGED});
}

static void an_idle_worker_naps_and_still_hears_the_uplink(void **state)
{
	struct peer *a = guest_up(*state, "a");

	for (uint32_t i = 0; i < 5; i++) {
		usleep(50000);
		host_send(a->mac, 100, 15 + i);
		peer_expect(*state, a, a->mac, host_mac, 100, 15 + i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_guest_and_a_host_reach_each_other),
		rig_test(many_frames_arrive_in_order),
		rig_test(jumbo_frames_pass_and_longer_ones_are_counted),
		rig_test(short_frames_are_padded),
		rig_test(an_uplink_is_a_trunk),
		rig_test(a_partial_checksum_is_completed),
		rig_test(large_frames_are_cut),
		rig_test(a_link_that_goes_is_told_and_what_was_learned_is_gone),
		rig_test(the_link_follows_the_other_end_and_addresses_go_with_it),
		rig_test(an_idle_worker_naps_and_still_hears_the_uplink),
	};

	return cmocka_run_group_tests(tests, start, rig_stop);
}
