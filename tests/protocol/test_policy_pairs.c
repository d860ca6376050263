/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings of a port in pairs: each drops what it forbids, whichever other one holds as well. */
#include "harness.h"
#include "hosts.h"
#include "packets.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;
static bool service; /* the tags of the ports are those of service VLANs */

/* a has the settings, b must not be reached when a is isolated, c hears what may pass. */
struct three {
	struct peer *a, *b, *c;
};

static int start(void **state)
{
	*state = &rig;
	if (rig_start(&rig, "abc", NULL))
		return -1;
	json_decref(rig_call(&rig, "bridge.add", json_pack("{s:s}", "name", "blue")));
	return 0;
}

/* IPv4 and UDP, as it is always allowed. */
static struct packet udp(const struct three *p, const uint8_t *dst, int tag)
{
	struct packet f = packet_of(dst, p->a->mac);

	if (tag >= 0)
		packet_tag(&f, service ? 0x88a8 : 0x8100, (unsigned)tag);
	packet_ipv4(&f, "10.0.0.5", 17, 0);
	packet_udp(&f, 68, 67);
	packet_pad(&f);
	return f;
}

static struct packet of_stranger(const struct three *p)
{
	struct packet f = udp(p, mac_broadcast, -1);

	f.bytes[11] ^= 0x55;
	return f;
}

static const uint8_t second_host[6] = {2, 0, 0, 0, 0, 0x77};

static struct packet of_second_host(const struct three *p)
{
	struct packet f = udp(p, mac_broadcast, -1);

	memcpy(f.bytes + 6, second_host, 6);
	return f;
}

static struct packet of_other_ip(const struct three *p)
{
	struct packet f = packet_of(mac_broadcast, p->a->mac);

	packet_arp(&f, p->a->mac, "10.0.0.6");
	packet_pad(&f);
	return f;
}

static struct packet of_dhcp_server(const struct three *p)
{
	struct packet f = packet_of(mac_broadcast, p->a->mac);

	packet_ipv4(&f, "10.0.0.5", 17, 0);
	packet_udp(&f, 67, 68);
	packet_pad(&f);
	return f;
}

static struct packet of_router(const struct three *p)
{
	struct packet f = packet_of(mac_broadcast, p->a->mac);

	packet_ipv6(&f, "fe80::5", 58);
	packet_nd(&f, 134, NULL);
	packet_ipv6_end(&f, 12);
	return f;
}

static struct packet too_long(const struct three *p)
{
	struct packet f = udp(p, mac_broadcast, -1);

	packet_zeros(&f, 15 + 300 - f.len);
	return f;
}

static struct packet of_other_vlan(const struct three *p)
{
	return udp(p, mac_broadcast, 20);
}

static struct packet of_the_reserved_vlan(const struct three *p)
{
	struct packet f = packet_of(mac_broadcast, p->a->mac);

	packet_tag(&f, 0x88a8, 4095);
	packet_ipv4(&f, "10.0.0.5", 17, 0);
	packet_udp(&f, 68, 67);
	packet_pad(&f);
	return f;
}

static struct packet to_the_bridge(const struct three *p)
{
	const uint8_t dst[6] = {0x01, 0x80, 0xc2, 0, 0, 3};

	return udp(p, dst, -1);
}

static struct packet to_b(const struct three *p)
{
	return udp(p, p->b->mac, -1);
}

static struct packet to_nobody(const struct three *p)
{
	const uint8_t dst[6] = {2, 0x77, 0, 0, 0, 1};

	return udp(p, dst, -1);
}

static struct packet of_400_bytes(const struct three *p)
{
	struct packet f = udp(p, p->c->mac, -1);

	packet_zeros(&f, 300 - f.len);
	return f;
}

/*
 * In the order in which a frame meets them, for what is dropped by one is not counted by another.
 * MACS is a's address and second_host.
 */
static const struct setting {
	const char *pairs, *why;
	struct packet (*bad)(const struct three *p);
	unsigned times; /* at least one of so many is dropped */
} settings[] = {
	{"{\"macs\":\"MACS\"}", "spoofed_mac", of_stranger, 1},
	{"{\"addresses\":\"10.0.0.5+fe80::/10\"}", "spoofed_ip", of_other_ip, 1},
	{"{\"dhcp-server\":\"off\"}", "dhcp_server", of_dhcp_server, 1},
	{"{\"router\":\"off\"}", "router_advertisement", of_router, 1},
	{"{\"mtu\":\"300\"}", "mtu_exceeded", too_long, 1},
	{"{\"vlan\":\"10\"}", "vlan_not_member", of_other_vlan, 1},
	{"{\"max-addresses\":\"1\",\"excess-addresses\":\"drop\"}", "address_limit", of_second_host,
		1},
	{"{\"tpid\":\"8021ad\"}", "vlan_id", of_the_reserved_vlan, 1},
	{"{\"link-local\":\"lldp\"}", "reserved_address", to_the_bridge, 1},
	{"{\"isolated\":\"on\"}", "isolated", to_b, 1},
	{"{\"learning\":\"off\",\"storm-unknown\":\"1fps\"}", "storm_unknown", to_nobody, 60},
	{"{\"rate-rx\":\"1Mbit\",\"burst-rx\":\"65553\"}", "rate_limit", of_400_bytes, 400},
};

static void setting_set(const struct three *p, const struct setting *s)
{
	char mac[36], pairs[128];
	const char *at = strstr(s->pairs, "MACS");

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x+02:00:00:00:00:77", p->a->mac[0],
		p->a->mac[1], p->a->mac[2], p->a->mac[3], p->a->mac[4], p->a->mac[5]);
	snprintf(pairs, sizeof(pairs), "%.*s%s%s", at ? (int)(at - s->pairs) : 100, s->pairs,
		at ? mac : "", at ? at + 4 : "");
	rig_port_set(&rig, "a", pairs);
}

static void reset(void)
{
	for (const char *c = "abc"; *c; c++) {
		const char name[2] = {*c, 0};

		rig_port_set(&rig, name,
			"{\"bridge\":\"default\",\"tpid\":\"8021q\","
			"\"vlan\":\"none\",\"isolated\":\"off\",\"promiscuous\":\"off\","
			"\"macs\":\"none\",\"addresses\":\"none\",\"dhcp-server\":\"on\","
			"\"router\":\"on\",\"mtu\":\"none\",\"link-local\":\"none\","
			"\"learning\":\"on\",\"storm-unknown\":\"none\",\"rate-rx\":\"none\","
			"\"burst-rx\":\"none\",\"max-addresses\":\"none\","
			"\"excess-addresses\":\"forget\"}");
	}
	json_decref(rig_call(&rig, "fdb.flush", NULL));
}

/* That frame arrives, whatever came before it. */
static void arrives(struct peer *to, const struct packet *f)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;

	do
		peer_recv(&rig, to, 0, got, &in);
	while (in.len != f->len || memcmp(got, f->bytes, f->len));
}

/* What has arrived is of no interest. */
static void forget(struct peer *p)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;

	while (!fe_guest_recv(p->g, 0, got, sizeof(got), &in))
		;
}

static void is_dropped(const struct three *p, const struct setting *s)
{
	const struct packet f = s->bad(p);
	const struct fe_frame frame = {.data = f.bytes, .len = f.len};
	uint64_t before, frames = rig_counter(&rig, "a", "rx", "frames");
	char why[48];

	snprintf(why, sizeof(why), "drops.%s", s->why);
	before = rig_counter(&rig, "a", "rx", why);
	for (unsigned i = 0; i < s->times; i++) {
		peer_send(&rig, p->a, 0, &frame);
		forget(p->b);
		forget(p->c);
	}
	rig_wait(&rig, rig_counter(&rig, "a", "rx", "frames") == frames + s->times);
	rig_wait(&rig, rig_counter(&rig, "a", "rx", why) > before);
	if (s->times == 1)
		assert_int_equal(rig_counter(&rig, "a", "rx", why), before + 1);
}

/* Without learning no host is one too many. */
static bool exclude_each_other(const struct setting *x, const struct setting *y)
{
	return strstr(x->pairs, "excess") && strstr(y->pairs, "learning");
}

static bool has(unsigned i, unsigned k, const char *key)
{
	return strstr(settings[i].pairs, key) || strstr(settings[k].pairs, key);
}

static void others_set(const char *pairs)
{
	rig_port_set(&rig, "b", pairs);
	rig_port_set(&rig, "c", pairs);
}

static void each_setting_holds_beside_each_other_one(void **state)
{
	const struct three p = {
		peer_up(*state, "a", NULL), peer_up(*state, "b", NULL), peer_up(*state, "c", NULL)};
	const struct packet good = udp(&p, mac_broadcast, -1);
	const struct fe_frame frame = {.data = good.bytes, .len = good.len};

	for (unsigned i = 0; i < RW_ARRAY_SIZE(settings); i++) {
		for (unsigned k = i + 1; k < RW_ARRAY_SIZE(settings); k++) {
			if (exclude_each_other(&settings[i], &settings[k]))
				continue;
			reset();
			setting_set(&p, &settings[i]);
			setting_set(&p, &settings[k]);
			rig_port_set(*state, "c", "{\"promiscuous\":\"on\"}");
			service = has(i, k, "tpid");
			if (service)
				others_set("{\"tpid\":\"8021ad\"}");
			if (has(i, k, "vlan"))
				others_set("{\"vlan\":\"10\"}");
			/* In another bridge all is the same. */
			if ((i + k) % 2) {
				others_set("{\"bridge\":\"blue\"}");
				rig_port_set(*state, "a", "{\"bridge\":\"blue\"}");
			}
			/* So that b and c are known. */
			peer_send_to(*state, p.b, mac_broadcast, 60, 1);
			peer_send_to(*state, p.c, mac_broadcast, 60, 2);
			peer_send(*state, p.a, 0, &frame);
			arrives(p.c, &good);
			is_dropped(&p, &settings[i]);
			is_dropped(&p, &settings[k]);
			forget(p.a);
			forget(p.b);
			forget(p.c);
		}
	}
	reset();
}

#define LEN         60
#define LIMIT_DROPS "drops.address_limit"

/* Beyond its limit the port drops, or forgets its oldest host. Who is known is not affected. */
static void hosts_beyond_the_limit_are_dropped_if_so_wanted(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	uint64_t before = rig_counter(*state, "a", "rx", LIMIT_DROPS);
	uint8_t data[LEN], host[6];
	const struct fe_frame f = {.data = data, .len = LEN};

	peers_meet(*state, a, b);
	rig_port_set(*state, "a", "{\"max-addresses\":\"2\",\"excess-addresses\":\"drop\"}");
	for (unsigned i = 1; i <= 20; i++) {
		host_make(host, i);
		frame_make(data, LEN, i % 2 ? b->mac : mac_broadcast, host, i);
		peer_send(*state, a, 0, &f);
		peer_send_to(*state, a, b->mac, LEN, i);
		if (i == 1)
			peer_expect(*state, b, b->mac, host, LEN, i);
		peer_expect(*state, b, b->mac, a->mac, LEN, i);
	}
	rig_wait(&rig, rig_counter(&rig, "a", "rx", LIMIT_DROPS) == before + 19);
	assert_int_equal(hosts_behind(*state, "a"), 2);
	/* A known host of another port does not move there. */
	frame_make(data, LEN, b->mac, b->mac, 1);
	peer_send(*state, a, 0, &f);
	rig_wait(&rig, rig_counter(&rig, "a", "rx", LIMIT_DROPS) == before + 20);
	assert_int_equal(host_port(*state, b->mac, 0), 'b');
	rig_port_set(*state, "a", "{\"excess-addresses\":\"forget\"}");
	frame_make(data, LEN, b->mac, host, 99);
	peer_send(*state, a, 0, &f);
	peer_expect(*state, b, b->mac, host, LEN, 99);
	assert_int_equal(hosts_behind(*state, "a"), 2);
	assert_int_equal(host_port(*state, host, 0), 'a');
	assert_int_equal(rig_counter(*state, "a", "rx", LIMIT_DROPS), before + 20);
	reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(each_setting_holds_beside_each_other_one),
		rig_test(hosts_beyond_the_limit_are_dropped_if_so_wanted),
	};

	return cmocka_run_group_tests_name("policy_pairs", tests, start, rig_stop);
}
