/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policies of a port, set while guests talk: the frame that is allowed passes, the one that is not
 * is dropped under its reason, and others lose nothing.
 */
#include "harness.h"
#include "hosts.h"
#include "packets.h"

#include <stdio.h>
#include <string.h>

#define LEN 60

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abcd", NULL);
}

static const char no_policy[] =
	"{\"admin\":\"up\",\"isolated\":\"off\",\"promiscuous\":\"off\",\"macs\":\"none\","
	"\"addresses\":\"none\",\"dhcp-server\":\"on\",\"router\":\"on\","
	"\"storm-broadcast\":\"none\",\"storm-multicast\":\"none\",\"storm-unknown\":\"none\","
	"\"rate-rx\":\"none\",\"rate-tx\":\"none\",\"burst-rx\":\"none\",\"burst-tx\":\"none\","
	"\"mtu\":\"none\",\"link-local\":\"none\",\"learning\":\"on\",\"max-addresses\":\"none\","
	"\"excess-addresses\":\"forget\",\"mrouter\":\"auto\"}";

/* Ports are without policies again, guests are disconnected. */
static int clean(void **state)
{
	for (const char *c = "abcd"; *c; c++) {
		const char name[2] = {*c, 0};

		rig_port_set(*state, name, no_policy);
	}
	return rig_clean(state);
}

static uint64_t drops(struct rig *r, const char *port, const char *direction, const char *why)
{
	char name[48];

	snprintf(name, sizeof(name), "drops.%s", why);
	return rig_counter(r, port, direction, name);
}

/* ---- admin= ---- */

static void a_port_that_is_down_neither_sends_nor_receives(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint64_t from = drops(*state, "a", "rx", "admin_down");
	uint64_t frames = rig_counter(*state, "a", "rx", "frames");

	peers_meet(*state, a, b);
	assert_int_equal(hosts_behind(*state, "a"), 1);
	assert_int_equal(rig_port_info(*state, "a", "link"), 1);
	rig_port_set(*state, "a", "{\"admin\":\"down\"}");
	assert_int_equal(rig_port_info(*state, "a", "link"), 0);
	assert_int_equal(hosts_behind(*state, "a"), 0);
	peer_send_to(*state, a, b->mac, LEN, 1);
	peer_send_to(*state, a, mac_broadcast, LEN, 2);
	rig_wait(&rig, drops(*state, "a", "rx", "admin_down") == from + 2);
	assert_int_equal(rig_counter(*state, "a", "rx", "frames"), frames + 3);
	assert_int_equal(hosts_behind(*state, "a"), 0);
	/* Nobody knows a any more: this is for all, and there is nobody. */
	peer_send_to(*state, b, a->mac, LEN, 3);
	rig_wait(&rig, drops(*state, "b", "rx", "no_destination"));
	rig_port_set(*state, "a", "{\"admin\":\"up\"}");
	assert_int_equal(rig_port_info(*state, "a", "link"), 1);
	/* None of the above arrives later. */
	peers_meet(*state, a, b);
}

static void a_static_address_behind_a_port_that_is_down_is_dropped_there(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint64_t before = drops(*state, "a", "tx", "admin_down");
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", a->mac[0], a->mac[1], a->mac[2],
		a->mac[3], a->mac[4], a->mac[5]);
	json_decref(rig_call(*state, "fdb.add", json_pack("{s:s, s:s}", "mac", mac, "port", "a")));
	rig_port_set(*state, "a", "{\"admin\":\"down\"}");
	peer_send_to(*state, b, a->mac, LEN, 1);
	rig_wait(&rig, drops(*state, "a", "tx", "admin_down") == before + 1);
	json_decref(rig_call(*state, "fdb.del", json_pack("{s:s}", "mac", mac)));
}

/* ---- isolated=, promiscuous= ---- */

static const char *const reaches[] = {
	"{\"isolated\":\"off\",\"promiscuous\":\"off\"}",
	"{\"isolated\":\"on\",\"promiscuous\":\"off\"}",
	"{\"isolated\":\"off\",\"promiscuous\":\"on\"}",
};

/* Whether ports of these two kinds reach each other, by their index in `reaches`. */
static bool reach_each_other(unsigned a, unsigned b)
{
	return (a != 1 && b != 1) || a == 2 || b == 2;
}

static void isolated_ports_reach_promiscuous_ones_alone(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);

	rig_port_set(*state, "c", "{\"promiscuous\":\"on\"}");
	for (unsigned i = 0; i < 9; i++) {
		bool reached = reach_each_other(i / 3, i % 3);
		uint64_t before;

		/* While they may, they learn each other's address. */
		rig_port_set(*state, "a", reaches[0]);
		rig_port_set(*state, "b", reaches[0]);
		peers_meet(*state, a, b);
		peer_send_to(*state, c, a->mac, LEN, 0);
		peer_expect(*state, a, a->mac, c->mac, LEN, 0);
		rig_port_set(*state, "a", reaches[i / 3]);
		rig_port_set(*state, "b", reaches[i % 3]);
		before = drops(*state, "a", "rx", "isolated");
		peer_send_to(*state, a, b->mac, LEN, 1);
		peer_send_to(*state, a, mac_broadcast, LEN, 2);
		/* c hears the broadcast, and nothing else. */
		peer_expect(*state, c, mac_broadcast, a->mac, LEN, 2);
		if (reached) {
			peer_expect(*state, b, b->mac, a->mac, LEN, 1);
			peer_expect(*state, b, mac_broadcast, a->mac, LEN, 2);
		}
		assert_int_equal(drops(*state, "a", "rx", "isolated"), before + !reached);
		/* The next that b hears is not one of the above. */
		peer_send_to(*state, c, b->mac, LEN, 3);
		peer_expect(*state, b, b->mac, c->mac, LEN, 3);
		peer_send_to(*state, a, c->mac, LEN, 4);
		peer_expect(*state, c, c->mac, a->mac, LEN, 4);
	}
}

static void isolated_ports_obey_in_their_vlan_and_when_nobody_is_left(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);
	uint64_t before;

	for (const char *p = "ab"; *p; p++) {
		const char name[2] = {*p, 0};

		rig_port_set(*state, name, "{\"vlan\":\"10\",\"isolated\":\"on\"}");
	}
	rig_port_set(*state, "c", "{\"vlan\":\"10\",\"promiscuous\":\"on\"}");
	peer_send_to(*state, a, mac_broadcast, LEN, 1);
	peer_expect(*state, c, mac_broadcast, a->mac, LEN, 1);
	peer_send_to(*state, c, mac_broadcast, LEN, 2);
	peer_expect(*state, b, mac_broadcast, c->mac, LEN, 2);
	peer_expect(*state, a, mac_broadcast, c->mac, LEN, 2);
	before = drops(*state, "a", "rx", "isolated");
	rig_port_set(*state, "c", "{\"vlan\":\"20\"}");
	peer_send_to(*state, a, mac_broadcast, LEN, 3);
	rig_wait(&rig, drops(*state, "a", "rx", "isolated") == before + 1);
	for (const char *p = "abc"; *p; p++) {
		const char name[2] = {*p, 0};

		rig_port_set(*state, name, "{\"vlan\":\"none\"}");
	}
	/* Without VLANs. */
	rig_port_set(*state, "c", "{\"promiscuous\":\"off\"}");
	peer_send_to(*state, a, mac_broadcast, LEN, 4);
	rig_wait(&rig, drops(*state, "a", "rx", "isolated") == before + 2);
	rig_port_set(*state, "b", "{\"isolated\":\"off\",\"promiscuous\":\"on\"}");
	peer_send_to(*state, a, mac_broadcast, LEN, 5);
	peer_expect(*state, b, mac_broadcast, a->mac, LEN, 5);
}

/* ---- what a port may pretend to be ---- */

static void packet_send(struct rig *r, struct peer *from, const struct packet *p)
{
	const struct fe_frame f = {.data = p->bytes, .len = p->len};

	peer_send(r, from, 0, &f);
}

/* The next frame that arrives is that one. */
static void packet_expect(struct rig *r, struct peer *to, const struct packet *p)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;

	peer_recv(r, to, 0, got, &in);
	assert_int_equal(in.len, p->len);
	assert_memory_equal(got, p->bytes, p->len);
}

/*
 * While `setting` holds, the port of `from` drops `bad` under `why` and learns nothing from it, and
 * `good` arrives; before and afterwards both do.
 */
static void refuses_alone(struct peer *const peers[2], const char *setting,
	const struct packet *bad, const struct packet *good, const char *why)
{
	struct peer *from = peers[0], *to = peers[1];
	uint64_t before = drops(&rig, from->port, "rx", why);
	uint64_t frames = rig_counter(&rig, from->port, "rx", "frames");
	uint32_t behind;

	for (unsigned i = 0; i < 3; i++) {
		rig_port_set(&rig, from->port, i == 1 ? setting : no_policy);
		json_decref(rig_call(&rig, "fdb.flush", NULL));
		packet_send(&rig, from, bad);
		if (i != 1)
			packet_expect(&rig, to, bad);
		rig_wait(&rig, rig_counter(&rig, from->port, "rx", "frames") == frames + 2 * i + 1);
		behind = hosts_behind(&rig, from->port);
		assert_int_equal(behind, i != 1);
		packet_send(&rig, from, good);
		packet_expect(&rig, to, good);
		rig_wait(&rig, rig_counter(&rig, from->port, "rx", "frames") == frames + 2 * i + 2);
		assert_int_equal(drops(&rig, from->port, "rx", why), before + (i > 0));
	}
}

static void a_port_sends_from_its_addresses_alone(void **state)
{
	struct peer *const peers[2] = {peer_up(*state, "a", NULL), peer_up(*state, "b", NULL)};
	const uint8_t *mac = peers[0]->mac, stranger[6] = {2, 9, 9, 9, 9, 9};
	struct packet good = packet_of(mac_broadcast, mac);
	struct packet bad = packet_of(mac_broadcast, stranger);
	char macs[64];

	snprintf(macs, sizeof(macs),
		"{\"macs\":\"02:00:00:00:00:77+%02x:%02x:%02x:%02x:%02x:%02x\"}", mac[0], mac[1],
		mac[2], mac[3], mac[4], mac[5]);
	packet_arp(&good, mac, "10.0.0.5");
	packet_pad(&good);
	packet_arp(&bad, mac, "10.0.0.5");
	packet_pad(&bad);
	refuses_alone(peers, macs, &bad, &good, "spoofed_mac");
	/* The sender that ARP names. */
	bad = packet_of(mac_broadcast, mac);
	packet_arp(&bad, stranger, "10.0.0.5");
	packet_pad(&bad);
	refuses_alone(peers, macs, &bad, &good, "spoofed_mac");
	bad = packet_of(mac_broadcast, mac);
	packet_arp(&bad, mac, "10.0.0.6");
	packet_pad(&bad);
	refuses_alone(peers, "{\"addresses\":\"10.0.0.5\"}", &bad, &good, "spoofed_ip");
}

/* The head holds 64 bytes; what is judged here lies behind them, and arrives unchanged. */
static void headers_behind_the_first_bytes_are_judged(void **state)
{
	struct peer *const peers[2] = {peer_up(*state, "a", NULL), peer_up(*state, "b", NULL)};
	struct packet good = packet_of(mac_broadcast, peers[0]->mac), bad = good;

	packet_ipv6(&good, "fe80::5", 0);
	bad = good;
	packet_extension(&good, 58, 12);
	packet_nd(&good, 133, NULL);
	packet_zeros(&good, 200);
	packet_extension(&bad, 58, 12);
	packet_nd(&bad, 134, NULL);
	refuses_alone(peers, "{\"router\":\"off\"}", &bad, &good, "router_advertisement");
	bad = packet_of(mac_broadcast, peers[0]->mac);
	packet_tag(&bad, 0x8100, 0);
	packet_snap(&bad);
	good = bad;
	packet_ipv4(&bad, "10.0.0.1", 17, 0);
	packet_udp(&bad, 67, 68);
	packet_ipv4(&good, "10.0.0.1", 17, 0);
	packet_udp(&good, 68, 67);
	refuses_alone(peers, "{\"dhcp-server\":\"off\"}", &bad, &good, "dhcp_server");
	bad = packet_of(mac_broadcast, peers[0]->mac);
	good = bad;
	packet_ipv6(&bad, "fd00::6", 17);
	packet_udp(&bad, 1, 2);
	packet_ipv6(&good, "fd00::5", 17);
	packet_udp(&good, 1, 2);
	refuses_alone(peers, "{\"addresses\":\"10.0.0.5+fd00::5\"}", &bad, &good, "spoofed_ip");
}

/* Frames of one burst that are alike but for what is forbidden. */
static void neighbours_in_a_burst_are_judged_each(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint64_t before = drops(*state, "a", "rx", "dhcp_server");
	struct packet good = packet_of(mac_broadcast, a->mac), bad = good;

	packet_ipv4(&good, "10.0.0.5", 17, 0);
	packet_udp(&good, 68, 67);
	packet_ipv4(&bad, "10.0.0.5", 17, 0);
	packet_udp(&bad, 67, 68);
	rig_port_set(*state, "a", "{\"dhcp-server\":\"off\"}");
	for (unsigned i = 0; i < 32; i++) {
		const struct packet *p = i % 5 < 3 ? &good : &bad;
		const struct fe_frame f = {.data = p->bytes, .len = p->len};

		assert_int_equal(fe_guest_put(a->g, 0, &f), 0);
	}
	fe_guest_flush(a->g, 0);
	for (unsigned i = 0; i < 32; i++) {
		if (i % 5 < 3)
			packet_expect(*state, b, &good);
	}
	rig_wait(&rig, drops(&rig, "a", "rx", "dhcp_server") == before + 12);
}

/* A front-end that received a migration announces its guest: with an address that it may have. */
static void what_a_front_end_announces_is_judged(void **state)
{
	struct fe_guest_config c = guest_usual();
	uint64_t before = drops(*state, "a", "tx", "spoofed_mac");
	struct peer *a, *b;
	uint8_t mac[6];

	c.protocol_features |= FE_BIT(VU_PF_RARP);
	a = peer_up(*state, "a", &c);
	b = peer_up(*state, "b", NULL);
	rig_port_set(*state, "a", "{\"macs\":\"0a:5c:00:00:00:01\"}");
	host_make(mac, 2);
	assert_int_equal(fe_conn_rarp(&a->g->conn, mac), 0);
	rig_wait(&rig, drops(&rig, "a", "tx", "spoofed_mac") == before + 1);
	host_make(mac, 1);
	assert_int_equal(fe_conn_rarp(&a->g->conn, mac), 0);
	peer_expect_rarp(*state, b, mac, 0);
	assert_int_equal(host_port(*state, mac, 0), 'a');
}

/* Some of a burst are refused: the others arrive in their order, long ones too. */
static void the_rest_of_a_burst_keeps_its_order(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint64_t before = drops(*state, "a", "rx", "spoofed_mac");
	char macs[48];

	peers_meet(*state, a, b);
	snprintf(macs, sizeof(macs), "{\"macs\":\"%02x:%02x:%02x:%02x:%02x:%02x\"}", a->mac[0],
		a->mac[1], a->mac[2], a->mac[3], a->mac[4], a->mac[5]);
	rig_port_set(*state, "a", macs);
	for (unsigned i = 0; i < 20; i++) {
		for (uint32_t k = 0; k < 6; k++) {
			uint8_t data[1500];
			const struct fe_frame f = {.data = data, .len = 60 + 240 * k};

			frame_make(data, f.len, b->mac, a->mac, k);
			data[11] ^= k % 3 == 1;
			peer_send(*state, a, 0, &f);
		}
		for (uint32_t k = 0; k < 6; k++) {
			if (k % 3 != 1)
				peer_expect(*state, b, b->mac, a->mac, 60 + 240 * k, k);
		}
	}
	assert_int_equal(drops(*state, "a", "rx", "spoofed_mac"), before + 40);
}

/* ---- how much a port may send and receive ---- */

static const uint8_t mac_multicast[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t mac_nobody[6] = {2, 0x77, 0, 0, 0, 1};

/* What came of a stream. */
struct outcome {
	uint64_t received, dropped;
	uint64_t seconds; /* it took less than so many */
};

/*
 * Send `n` frames of `len` bytes. `where` says what counts drops: "a.rx.REASON". Each frame arrives
 * or is dropped there.
 */
static struct outcome offer(struct peer *from, struct peer *to, const uint8_t *dst, uint32_t n,
	uint32_t len, const char *where)
{
	static uint8_t data[FRAME_MAX], got[FRAME_MAX];
	const struct fe_frame f = {.data = data, .len = len};
	char port[2] = {where[0], 0}, direction[3] = {0};
	const char *why = where + 5;
	uint64_t before, start = rw_now_ms();
	struct outcome o = {0};
	struct fe_received in;

	memcpy(direction, where + 2, 2);
	before = drops(&rig, port, direction, why);
	frame_make(data, len, dst, from->mac, 1);
	for (uint32_t i = 0; i < n; i++) {
		peer_send(&rig, from, 0, &f);
		/* No more than the receiver has buffers for. */
		if (i % 32 != 31 && i != n - 1)
			continue;
		do {
			while (!fe_guest_recv(to->g, 0, got, sizeof(got), &in))
				o.received++;
			o.dropped = drops(&rig, port, direction, why) - before;
			if (rw_now_ms() > start + (uint64_t)rig_patience(&rig))
				fail_msg("%u frames sent, %ju received, %ju dropped (%s)", i + 1,
					(uintmax_t)o.received, (uintmax_t)o.dropped, where);
		} while (o.received + o.dropped != i + 1);
	}
	o.seconds = (rw_now_ms() - start) / 1000 + 1;
	return o;
}

/* Of one kind there is a storm, and of the others nothing is dropped. */
static void storms_are_limited_each_on_its_own(void **state)
{
	static const struct {
		const char *setting, *why;
		const uint8_t *dst;
	} kinds[] = {
		{"{\"storm-broadcast\":\"1fps\"}", "a.rx.storm_broadcast", mac_broadcast},
		{"{\"storm-multicast\":\"1fps\"}", "a.rx.storm_multicast", mac_multicast},
		{"{\"storm-unknown\":\"1fps\"}", "a.rx.storm_unknown", mac_nobody},
	};
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);

	peers_meet(*state, a, b);
	for (size_t i = 0; i < RW_ARRAY_SIZE(kinds); i++) {
		rig_port_set(*state, "a", no_policy);
		rig_port_set(*state, "a", kinds[i].setting);
		for (size_t k = 0; k < RW_ARRAY_SIZE(kinds); k++) {
			struct outcome o = offer(a, b, kinds[k].dst, 200, LEN, kinds[k].why);

			if (k != i) {
				assert_int_equal(o.dropped, 0);
				continue;
			}
			/* A burst of 16, then one a second. */
			assert_true(o.received >= 16);
			assert_true(o.received <= 16 + o.seconds);
		}
		assert_int_equal(offer(a, b, b->mac, 100, LEN, "a.rx.storm_unknown").dropped, 0);
	}
}

/* 65553 bytes at once, then 125,000 bytes a second. */
static void rates_are_limited_both_ways(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);

	peers_meet(*state, a, b);
	for (unsigned tx = 0; tx < 2; tx++) {
		struct outcome o;

		rig_port_set(*state, tx ? "b" : "a",
			tx ? "{\"rate-tx\":\"1Mbit\",\"burst-tx\":\"65553\"}"
			   : "{\"rate-rx\":\"1Mbit\",\"burst-rx\":\"65553\"}");
		o = offer(a, b, b->mac, 300, 1500, tx ? "b.tx.rate_limit" : "a.rx.rate_limit");
		assert_true(o.received >= 65553 / 1500);
		assert_true(o.received <= (65553 + 126000 * o.seconds) / 1500 + 1);
		/* The other way there is no limit. */
		o = offer(b, a, a->mac, 300, 1500, tx ? "b.rx.rate_limit" : "a.tx.rate_limit");
		assert_int_equal(o.dropped, 0);
		rig_port_set(*state, tx ? "b" : "a", no_policy);
		o = offer(a, b, b->mac, 300, 1500, tx ? "b.tx.rate_limit" : "a.rx.rate_limit");
		assert_int_equal(o.dropped, 0);
	}
}

/* ---- other ---- */

static void packets_beyond_the_mtu_go_neither_in_nor_out(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);

	peers_meet(*state, a, b);
	for (unsigned tx = 0; tx < 2; tx++) {
		const char *why = tx ? "b.tx.mtu_exceeded" : "a.rx.mtu_exceeded";

		rig_port_set(*state, tx ? "b" : "a", "{\"mtu\":\"1400\"}");
		assert_int_equal(offer(a, b, b->mac, 3, 1414, why).dropped, 0);
		assert_int_equal(offer(a, b, b->mac, 3, 1415, why).dropped, 3);
		rig_port_set(*state, tx ? "b" : "a", "{\"mtu\":\"none\"}");
		assert_int_equal(offer(a, b, b->mac, 3, 1415, why).dropped, 0);
	}
}

static void link_local_frames_pass_by_their_address(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);

	rig_port_set(*state, "a", "{\"link-local\":\"stp+14\"}");
	for (uint8_t at = 0; at < 16; at++) {
		const uint8_t dst[6] = {0x01, 0x80, 0xc2, 0, 0, at};
		uint64_t passes = at == 0 || at == 14;

		assert_int_equal(
			offer(a, b, dst, 2, LEN, "a.rx.reserved_address").received, 2 * passes);
		assert_int_equal(offer(b, a, dst, 2, LEN, "b.rx.reserved_address").received, 0);
	}
}

static void a_port_that_does_not_learn_is_flooded(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);

	peers_meet(*state, a, b);
	rig_port_set(*state, "a", "{\"learning\":\"off\"}");
	assert_int_equal(hosts_behind(*state, "a"), 0);
	peer_send_to(*state, a, b->mac, LEN, 1);
	peer_expect(*state, b, b->mac, a->mac, LEN, 1);
	assert_int_equal(hosts_behind(*state, "a"), 0);
	/* c has heard a's first, too. */
	peer_send_to(*state, b, a->mac, LEN, 2);
	peer_expect(*state, a, a->mac, b->mac, LEN, 2);
	peer_expect(*state, c, b->mac, a->mac, LEN, 0);
	peer_expect(*state, c, a->mac, b->mac, LEN, 2);
	rig_port_set(*state, "a", "{\"learning\":\"on\"}");
	peers_meet(*state, a, b);
	assert_int_equal(hosts_behind(*state, "a"), 1);
}

/* A loop: frames from b's guest come in at c as well. */
static void a_host_that_flaps_stays_behind_its_port(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);
	uint8_t data[LEN];
	const struct fe_frame f = {.data = data, .len = LEN};

	peers_meet(*state, a, b);
	frame_make(data, LEN, a->mac, b->mac, 1);
	/* Each is waited for: workers of several ports keep this order. */
	for (unsigned i = 0; i < 60; i++) {
		peer_send(*state, i % 2 ? b : c, 0, &f);
		peer_expect(*state, a, a->mac, b->mac, LEN, 1);
	}
	rig_wait(&rig, rig_has_logged(&rig, "flaps between ports b and c: it stays behind b"));
	assert_int_equal(host_port(*state, b->mac, 0), 'b');
	/* The other one is known where it is, and moves. */
	host_speaks(*state, c, a->mac, -1);
	rig_wait(&rig, host_port(&rig, a->mac, 0) == 'c');
	peer_down(*state, b);
}

/* ---- all ---- */

static void ports_that_are_left_alone_lose_nothing_while_others_change(void **state)
{
	static const char *const settings[] = {"{\"admin\":\"down\"}", "{\"admin\":\"up\"}",
		"{\"isolated\":\"on\"}", "{\"isolated\":\"off\",\"promiscuous\":\"on\"}",
		"{\"promiscuous\":\"off\"}", "{\"macs\":\"02:00:00:00:00:01\"}",
		"{\"addresses\":\"10.0.0.1\",\"router\":\"off\",\"dhcp-server\":\"off\"}",
		"{\"storm-broadcast\":\"1fps\",\"rate-rx\":\"1Mbit\",\"rate-tx\":\"1Mbit\"}",
		"{\"mtu\":\"68\",\"link-local\":\"all\",\"learning\":\"off\"}", no_policy,
		"{\"max-addresses\":\"1\",\"excess-addresses\":\"drop\",\"mrouter\":\"on\"}",
		no_policy};
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	const struct stream s = {.n = 200, .len = 100};

	peer_up(*state, "c", NULL);
	peers_meet(*state, a, b);
	for (unsigned round = 0; round < RW_ARRAY_SIZE(settings); round++) {
		rig_port_set(*state, "c", settings[round]);
		stream_check(*state, a, b, &s);
	}
}

#define policy_test(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		policy_test(a_port_that_is_down_neither_sends_nor_receives),
		policy_test(a_static_address_behind_a_port_that_is_down_is_dropped_there),
		policy_test(isolated_ports_reach_promiscuous_ones_alone),
		policy_test(isolated_ports_obey_in_their_vlan_and_when_nobody_is_left),
		policy_test(a_port_sends_from_its_addresses_alone),
		policy_test(headers_behind_the_first_bytes_are_judged),
		policy_test(neighbours_in_a_burst_are_judged_each),
		policy_test(what_a_front_end_announces_is_judged),
		policy_test(the_rest_of_a_burst_keeps_its_order),
		policy_test(storms_are_limited_each_on_its_own),
		policy_test(rates_are_limited_both_ways),
		policy_test(packets_beyond_the_mtu_go_neither_in_nor_out),
		policy_test(link_local_frames_pass_by_their_address),
		policy_test(a_port_that_does_not_learn_is_flooded),
		policy_test(a_host_that_flaps_stays_behind_its_port),
		policy_test(ports_that_are_left_alone_lose_nothing_while_others_change),
	};

	return cmocka_run_group_tests_name("policy", tests, start, rig_stop);
}
