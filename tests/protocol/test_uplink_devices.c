/* SPDX-License-Identifier: BSD-3-Clause */
/* Uplinks over other devices of DPDK than net_af_packet. */
#include <net/ethernet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosts.h"
#include "traffic.h"
#include "wire.h"

#define TAP "rwtap0"
#define LEN 100

static struct rig rig;
static char dir[] = "/tmp/ringway-pcap.XXXXXX";
static char capture_in[64], capture_out[64], pcap_port[256];

/* A capture file (the format of libpcap, version 2.4), in the byte order of this machine. */
struct capture {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, most, link_type;
};
struct capture_frame {
	uint32_t sec, usec, kept, len;
};

#define CAPTURED 3 /* frames to replay */

static void captured_host(uint8_t mac[6], uint32_t i)
{
	host_make(mac, 0x700 + i);
}

static int capture_make(void)
{
	const struct capture head = {0xa1b2c3d4, 2, 4, 0, 0, 65535, 1};
	const struct capture_frame frame = {.kept = LEN, .len = LEN};
	uint8_t mac[6], data[LEN];
	FILE *f;

	if (!mkdtemp(dir))
		return -1;
	snprintf(capture_in, sizeof(capture_in), "%s/in.pcap", dir);
	snprintf(capture_out, sizeof(capture_out), "%s/out.pcap", dir);
	snprintf(pcap_port, sizeof(pcap_port), "p,device=net_pcap,rx_pcap=%s,tx_pcap=%s",
		capture_in, capture_out);
	f = fopen(capture_in, "we");
	if (!f)
		return -1;
	fwrite(&head, sizeof(head), 1, f);
	for (uint32_t i = 0; i < CAPTURED; i++) {
		captured_host(mac, i);
		frame_make(data, LEN, mac_broadcast, mac, i);
		fwrite(&frame, sizeof(frame), 1, f);
		fwrite(data, LEN, 1, f);
	}
	return fclose(f);
}

static int start(void **state)
{
	/* A ring returns what it gets: it is alone with guest b. */
	static const char *const uplinks[] = {"--port", pcap_port, "--port",
		"t,device=net_tap,iface=rwtap0", "--port", "n,device=net_null,no-rx=1", "--port",
		"r,device=net_ring,vlan=99", "--port", "x,device=net_af_xdp,iface=near0", NULL};

	*state = &rig;
	if (wire_begin() || capture_make())
		return -1;
	wire_connect(1500);
	return rig_start(&rig, "ab", uplinks);
}

static int stop(void **state)
{
	int ret = rig_stop(state);

	unlink(capture_in);
	unlink(capture_out);
	return rmdir(dir) ? -1 : ret;
}

static void set_vlan(struct rig *r, const char *port, const char *vlan)
{
	json_decref(rig_call(r, "port.set", json_pack("{s:s, s:s}", "name", port, "vlan", vlan)));
}

static void a_capture_is_replayed(void **state)
{
	uint8_t mac[6];

	rig_wait(*state, rig_counter(*state, "p", "rx", "frames") == CAPTURED);
	for (uint32_t i = 0; i < CAPTURED; i++) {
		captured_host(mac, i);
		assert_int_equal(host_port(*state, mac, 0), 'p');
	}
}

/* A guest and a host on an interface of Linux reach each other. */
static void interface_check(struct rig *r, const char *port, int fd, uint32_t seed)
{
	struct peer *a = peer_up(r, "a", NULL);
	uint8_t frame[1514], host[6];

	host_make(host, seed);
	rig_wait(r, rig_port_info(r, port, "link"));
	peer_send_to(r, a, mac_broadcast, LEN, seed);
	wire_expect(r, fd, &(struct wire_frame){mac_broadcast, a->mac, LEN, seed, WIRE_UNTAGGED});
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t len = 60 + i * 7;

		frame_make(frame, len, a->mac, host, seed + i);
		wire_send(fd, frame, len);
		peer_expect(r, a, a->mac, host, len, seed + i);
		peer_send_to(r, a, host, len, seed + i);
		wire_expect(
			r, fd, &(struct wire_frame){host, a->mac, len, seed + i, WIRE_UNTAGGED});
	}
	assert_int_equal(host_port(r, host, 0), *port);
	close(fd);
}

static void a_guest_reaches_this_host_over_a_tap(void **state)
{
	wire_run("ip link set " TAP " up");
	interface_check(*state, "t", wire_open(TAP), 1000);
	wire_run("ip link set " TAP " down");
	rig_wait(*state, !rig_port_info(*state, "t", "link"));
	assert_int_equal(hosts_behind(*state, "t"), 0);
}

static void a_guest_reaches_another_host_over_af_xdp(void **state)
{
	interface_check(*state, "x", wire_open_far(WIRE_FAR), 2000);
	wire_run_far("ip link set " WIRE_FAR " down");
	rig_wait(*state, !rig_port_info(*state, "x", "link"));
}

static void what_goes_to_the_null_device_is_counted(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	uint64_t before = rig_counter(*state, "n", "tx", "frames");
	json_t *port;

	for (uint32_t i = 0; i < 10; i++)
		peer_send_to(*state, a, mac_broadcast, LEN, i);
	rig_wait(*state, rig_counter(*state, "n", "tx", "frames") == before + 10);
	port = rig_call(*state, "port.show", json_pack("{s:s}", "name", "n"));
	assert_string_equal(json_string_value(json_object_get(port, "device_driver")), "net_null");
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(port, "device_stats"), "tx_frames")),
		before + 10);
	json_decref(port);
}

static void a_ring_returns_what_it_gets(void **state)
{
	struct peer *b = peer_up(*state, "b", NULL);

	set_vlan(*state, "b", "99");
	/* More than the ring has entries, and more than there are mbufs. */
	for (uint32_t i = 0; i < 4000; i++) {
		peer_send_to(*state, b, mac_broadcast, LEN, i);
		peer_expect(*state, b, mac_broadcast, b->mac, LEN, i);
	}
	set_vlan(*state, "b", "none");
}

static void a_capture_is_recorded_and_complete_when_the_port_goes(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	uint64_t before = rig_counter(*state, "p", "tx", "frames");
	struct capture_frame frame;
	uint8_t got[LEN], want[LEN];
	struct capture head;
	FILE *f;

	for (uint32_t i = 0; i < 5; i++)
		peer_send_to(*state, a, mac_broadcast, LEN, 9000 + i);
	rig_wait(*state, rig_counter(*state, "p", "tx", "frames") == before + 5);
	json_decref(rig_call(*state, "port.del", json_pack("{s:s}", "name", "p")));
	f = fopen(capture_out, "re");
	assert_non_null(f);
	assert_int_equal(fread(&head, sizeof(head), 1, f), 1);
	for (uint64_t i = 0; i < before + 5; i++) {
		assert_int_equal(fread(&frame, sizeof(frame), 1, f), 1);
		assert_int_equal(frame.len, frame.kept);
		/* Those before are other tests'. */
		if (i < before) {
			assert_int_equal(fseek(f, (long)frame.kept, SEEK_CUR), 0);
			continue;
		}
		assert_int_equal(frame.len, LEN);
		assert_int_equal(fread(got, LEN, 1, f), 1);
		frame_make(want, LEN, mac_broadcast, a->mac, (uint32_t)(9000 + i - before));
		assert_memory_equal(got, want, LEN);
	}
	assert_int_equal(fread(got, 1, 1, f), 0);
	fclose(f);
}

static void any_uplink_can_be_removed(void **state)
{
	static const char *const names[] = {"t", "n", "r", "x"};

	for (size_t i = 0; i < RW_ARRAY_SIZE(names); i++)
		json_decref(rig_call(*state, "port.del", json_pack("{s:s}", "name", names[i])));
	duplex_check(*state, peer_up(*state, "a", NULL), peer_up(*state, "b", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_capture_is_replayed),
		rig_test(a_guest_reaches_this_host_over_a_tap),
		rig_test(a_guest_reaches_another_host_over_af_xdp),
		rig_test(what_goes_to_the_null_device_is_counted),
		rig_test(a_ring_returns_what_it_gets),
		rig_test(a_capture_is_recorded_and_complete_when_the_port_goes),
		rig_test(any_uplink_can_be_removed),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
