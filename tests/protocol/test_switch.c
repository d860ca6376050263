/* SPDX-License-Identifier: BSD-3-Clause */
/* Who gets a frame, who does not, and what is counted. */
#include "harness.h"
#include "hosts.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abcd", NULL);
}

static const uint8_t multicast[6] = {0x01, 0x00, 0x5e, 0x01, 0x02, 0x03};

struct four {
	struct peer *a, *b, *c, *d;
};

static struct four four_up(struct rig *r)
{
	struct four p = {0};

	p.a = peer_up(r, "a", NULL);
	p.b = peer_up(r, "b", NULL);
	p.c = peer_up(r, "c", NULL);
	p.d = peer_up(r, "d", NULL);
	return p;
}

/* Make a frame of 60 bytes with any addresses; vlan -1: untagged. */
static void make(uint8_t *data, const uint8_t *dst, const uint8_t *src, int vlan)
{
	frame_make(data, 60, dst, src, (uint32_t)vlan);
	if (vlan >= 0) {
		data[12] = 0x81;
		data[13] = 0x00;
		data[14] = (uint8_t)(vlan >> 8);
		data[15] = (uint8_t)vlan;
	}
}

/* Send one. */
static void send(struct rig *r, struct peer *p, const uint8_t *dst, const uint8_t *src, int vlan)
{
	uint8_t data[60];
	const struct fe_frame f = {.data = data, .len = sizeof(data)};

	make(data, dst, src, vlan);
	peer_send(r, p, 0, &f);
}

/* The very next frame that reaches `p` goes from `src` to `dst`. */
static void next_is(struct rig *r, struct peer *p, const uint8_t *dst, const uint8_t *src)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;

	peer_recv(r, p, 0, got, &in);
	if (in.len != 60 || memcmp(got, dst, 6) || memcmp(got + 6, src, 6))
		fail_msg("port %s: %u bytes to %02x:..:%02x:%02x from %02x:..:%02x:%02x", p->port,
			in.len, got[0], got[4], got[5], got[6], got[10], got[11]);
}

/*
 * Nothing but what was checked has reached anybody: a broadcast from `from`, which comes after all
 * that went before, is the next frame of every other guest.
 */
static void nothing_else_came(struct rig *r, const struct four *p, struct peer *from)
{
	struct peer *const all[] = {p->a, p->b, p->c, p->d};
	size_t i;

	send(r, from, mac_broadcast, from->mac, -1);
	for (i = 0; i < RW_ARRAY_SIZE(all); i++)
		if (all[i] != from)
			next_is(r, all[i], mac_broadcast, from->mac);
}

static void an_unknown_address_is_flooded_and_a_learned_one_is_not(void **state)
{
	const struct four p = four_up(*state);

	send(*state, p.a, p.b->mac, p.a->mac, -1);
	next_is(*state, p.b, p.b->mac, p.a->mac);
	next_is(*state, p.c, p.b->mac, p.a->mac);
	next_is(*state, p.d, p.b->mac, p.a->mac);
	send(*state, p.b, p.a->mac, p.b->mac, -1);
	next_is(*state, p.a, p.a->mac, p.b->mac);
	send(*state, p.a, p.b->mac, p.a->mac, -1);
	next_is(*state, p.b, p.b->mac, p.a->mac);
	nothing_else_came(*state, &p, p.a);
	nothing_else_came(*state, &p, p.b);
}

static void broadcast_and_multicast_reach_everybody_but_the_sender(void **state)
{
	const struct four p = four_up(*state);

	send(*state, p.c, mac_broadcast, p.c->mac, -1);
	send(*state, p.c, multicast, p.c->mac, -1);
	next_is(*state, p.a, mac_broadcast, p.c->mac);
	next_is(*state, p.a, multicast, p.c->mac);
	next_is(*state, p.b, mac_broadcast, p.c->mac);
	next_is(*state, p.b, multicast, p.c->mac);
	next_is(*state, p.d, mac_broadcast, p.c->mac);
	next_is(*state, p.d, multicast, p.c->mac);
	nothing_else_came(*state, &p, p.a);
}

static void a_moved_host_is_followed(void **state)
{
	static const uint8_t host[6] = {0x02, 1, 2, 3, 4, 5};
	const struct four p = four_up(*state);
	struct peer *const places[] = {p.a, p.b, p.d, p.a};
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(places); i++) {
		send(*state, p.c, mac_broadcast, p.c->mac, -1);
		next_is(*state, p.a, mac_broadcast, p.c->mac);
		next_is(*state, p.b, mac_broadcast, p.c->mac);
		next_is(*state, p.d, mac_broadcast, p.c->mac);
		send(*state, places[i], p.c->mac, host, -1);
		next_is(*state, p.c, p.c->mac, host);
		send(*state, p.c, host, p.c->mac, -1);
		next_is(*state, places[i], host, p.c->mac);
		nothing_else_came(*state, &p, p.c);
	}
}

static void a_frame_never_returns_to_the_port_it_came_from(void **state)
{
	static const uint8_t inner[6] = {0x02, 9, 9, 9, 9, 9};
	const struct four p = four_up(*state);
	uint64_t before;

	/* Two hosts behind port a. */
	send(*state, p.a, mac_broadcast, inner, -1);
	next_is(*state, p.b, mac_broadcast, inner);
	next_is(*state, p.c, mac_broadcast, inner);
	next_is(*state, p.d, mac_broadcast, inner);
	before = rig_counter(*state, "a", "rx", "drops.hairpin");
	send(*state, p.a, inner, p.a->mac, -1);
	send(*state, p.a, p.a->mac, inner, -1);
	nothing_else_came(*state, &p, p.a);
	nothing_else_came(*state, &p, p.b);
	rig_wait(*state, rig_counter(*state, "a", "rx", "drops.hairpin") == before + 2);
}

/* Frames in one burst, each with its place in it as content. */
static void send_burst(struct rig *r, struct peer *p, const uint8_t *const *dst, uint32_t n)
{
	uint8_t data[60];
	const struct fe_frame f = {.data = data, .len = sizeof(data)};
	uint32_t i;

	for (i = 0; i < n; i++) {
		frame_make(data, sizeof(data), dst[i], p->mac, i);
		rig_wait(r, fe_guest_put(p->g, 0, &f) == 0);
	}
	fe_guest_flush(p->g, 0);
}

/* Runs for one port and for others, of known and of unknown hosts, in every neighbourhood. */
static void each_frame_of_a_mixed_burst_arrives_where_it_is_meant_and_in_order(void **state)
{
	static const uint8_t b2[6] = {0x02, 2, 2, 2, 2, 2}, inner[6] = {0x02, 9, 9, 9, 9, 9};
	static const uint8_t unknown[6] = {0x02, 8, 8, 8, 8, 8};
	static const uint8_t reserved[6] = {0x01, 0x80, 0xc2, 0, 0, 0};
	const struct four p = four_up(*state);
	const uint8_t *const dst[] = {p.b->mac, b2, p.c->mac, b2, inner, unknown, reserved,
		p.d->mac, p.d->mac, mac_broadcast, unknown, p.c->mac, inner, inner, b2, p.b->mac,
		reserved, unknown, p.d->mac, p.c->mac, p.b->mac};
	const struct {
		const uint8_t *mac;
		struct peer *at;
	} known[] = {{inner, p.a}, {p.b->mac, p.b}, {b2, p.b}, {p.c->mac, p.c}, {p.d->mac, p.d}};
	struct peer *const all[] = {p.b, p.c, p.d};
	size_t i, k, to;

	for (i = 0; i < RW_ARRAY_SIZE(known); i++) {
		send(*state, known[i].at, mac_broadcast, known[i].mac, -1);
		for (to = 0; to < RW_ARRAY_SIZE(all); to++)
			if (all[to] != known[i].at)
				next_is(*state, all[to], mac_broadcast, known[i].mac);
		if (known[i].at != p.a)
			next_is(*state, p.a, mac_broadcast, known[i].mac);
	}
	send_burst(*state, p.a, dst, RW_ARRAY_SIZE(dst));
	for (to = 0; to < RW_ARRAY_SIZE(all); to++) {
		for (i = 0; i < RW_ARRAY_SIZE(dst); i++) {
			struct peer *at = NULL;

			for (k = 0; k < RW_ARRAY_SIZE(known); k++)
				if (dst[i] == known[k].mac)
					at = known[k].at;
			if (dst[i] != reserved && (!at || at == all[to]))
				peer_expect(*state, all[to], dst[i], p.a->mac, 60, (uint32_t)i);
		}
	}
	nothing_else_came(*state, &p, p.a);
	nothing_else_came(*state, &p, p.b);
}

static void addresses_are_learned_per_vlan(void **state)
{
	static const uint8_t m[6] = {0x02, 7, 7, 7, 7, 7};
	const struct four p = four_up(*state);

	/* The same address behind a in VLAN 10 and behind b in VLAN 20. */
	send(*state, p.a, p.d->mac, m, 10);
	next_is(*state, p.b, p.d->mac, m);
	next_is(*state, p.c, p.d->mac, m);
	next_is(*state, p.d, p.d->mac, m);
	send(*state, p.b, p.d->mac, m, 20);
	next_is(*state, p.a, p.d->mac, m);
	next_is(*state, p.c, p.d->mac, m);
	next_is(*state, p.d, p.d->mac, m);

	send(*state, p.c, m, p.c->mac, 10);
	next_is(*state, p.a, m, p.c->mac);
	send(*state, p.c, m, p.c->mac, 20);
	next_is(*state, p.b, m, p.c->mac);
	nothing_else_came(*state, &p, p.c);
	/* In a third VLAN and untagged it is unknown. */
	send(*state, p.c, m, p.c->mac, 30);
	next_is(*state, p.a, m, p.c->mac);
	next_is(*state, p.b, m, p.c->mac);
	next_is(*state, p.d, m, p.c->mac);
	send(*state, p.c, m, p.c->mac, -1);
	next_is(*state, p.a, m, p.c->mac);
	next_is(*state, p.b, m, p.c->mac);
	next_is(*state, p.d, m, p.c->mac);
}

/*
 * `mac` of VLAN `vlan` speaks to c, which nobody knows, from behind `from` until it is learned
 * there: workers that meet the table locked for too long leave that to a later frame.
 */
static void teach(
	struct rig *r, const struct four *p, struct peer *from, const uint8_t *mac, int vlan)
{
	struct peer *const all[] = {p->a, p->b, p->c, p->d};

	do {
		send(r, from, p->c->mac, mac, vlan);
		for (size_t i = 0; i < RW_ARRAY_SIZE(all); i++)
			if (all[i] != from)
				next_is(r, all[i], p->c->mac, mac);
	} while (host_port(r, mac, vlan < 0 ? 0 : (uint16_t)vlan) != from->port[0]);
}

static void a_burst_between_the_same_addresses_is_told_apart_by_its_tags(void **state)
{
	static const uint8_t m[6] = {0x02, 7, 7, 7, 7, 7};
	static const int vlans[] = {10, -1, 20, 0, 20, 10, -1, -1, 10, 0, 20};
	const struct four p = four_up(*state);
	uint8_t data[60];
	const struct fe_frame f = {.data = data, .len = sizeof(data)};

	/* The same address behind a in VLAN 10, behind b in VLAN 20, behind d in none. */
	teach(*state, &p, p.a, m, 10);
	teach(*state, &p, p.b, m, 20);
	teach(*state, &p, p.d, m, -1);
	for (size_t i = 0; i < RW_ARRAY_SIZE(vlans); i++) {
		make(data, m, p.c->mac, vlans[i]);
		assert_int_equal(fe_guest_put(p.c->g, 0, &f), 0);
	}
	fe_guest_flush(p.c->g, 0);
	for (size_t i = 0; i < RW_ARRAY_SIZE(vlans); i++)
		next_is(*state, vlans[i] == 10 ? p.a : vlans[i] == 20 ? p.b : p.d, m, p.c->mac);
	nothing_else_came(*state, &p, p.c);
}

static void a_priority_tag_is_no_vlan(void **state)
{
	const struct four p = four_up(*state);

	send(*state, p.a, mac_broadcast, p.a->mac, 0);
	next_is(*state, p.b, mac_broadcast, p.a->mac);
	next_is(*state, p.c, mac_broadcast, p.a->mac);
	next_is(*state, p.d, mac_broadcast, p.a->mac);
	send(*state, p.b, p.a->mac, p.b->mac, -1);
	next_is(*state, p.a, p.a->mac, p.b->mac);
	nothing_else_came(*state, &p, p.c);
}

static void a_group_address_is_never_learned(void **state)
{
	const struct four p = four_up(*state);

	send(*state, p.a, p.b->mac, multicast, -1);
	next_is(*state, p.b, p.b->mac, multicast);
	next_is(*state, p.c, p.b->mac, multicast);
	next_is(*state, p.d, p.b->mac, multicast);
	send(*state, p.b, multicast, p.b->mac, -1);
	next_is(*state, p.a, multicast, p.b->mac);
	next_is(*state, p.c, multicast, p.b->mac);
	next_is(*state, p.d, multicast, p.b->mac);
}

static void link_local_addresses_stay_on_the_link(void **state)
{
	const struct four p = four_up(*state);
	uint8_t dst[6] = {0x01, 0x80, 0xc2, 0, 0, 0};
	uint64_t before = rig_counter(*state, "a", "rx", "drops.reserved_address");
	int i;

	for (i = 0; i < 16; i++) {
		dst[5] = (uint8_t)i;
		send(*state, p.a, dst, p.a->mac, -1);
	}
	nothing_else_came(*state, &p, p.a);
	rig_wait(*state, rig_counter(*state, "a", "rx", "drops.reserved_address") == before + 16);
	dst[5] = 16; /* an ordinary multicast address */
	send(*state, p.a, dst, p.a->mac, -1);
	next_is(*state, p.b, dst, p.a->mac);
}

/* Whether the switch has `mac` behind `port`. */
static bool is_learned(struct rig *r, const uint8_t *mac, const char *port)
{
	json_t *answer = rig_call(r, "fdb.list", NULL);
	bool found = false;
	char text[18];
	json_t *row;
	size_t i;

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	json_array_foreach(json_object_get(answer, "entries"), i,
		row) if (!strcmp(json_string_value(json_object_get(row, "mac")), text))
		found |= !strcmp(json_string_value(json_object_get(row, "port")), port);
	json_decref(answer);
	return found;
}

static void a_port_that_goes_down_takes_its_addresses_along(void **state)
{
	const struct four p = four_up(*state);

	send(*state, p.a, mac_broadcast, p.a->mac, -1);
	next_is(*state, p.b, mac_broadcast, p.a->mac);
	next_is(*state, p.c, mac_broadcast, p.a->mac);
	next_is(*state, p.d, mac_broadcast, p.a->mac);
	rig_wait(*state, is_learned(*state, p.a->mac, "a"));
	peer_down(*state, p.a);
	assert_false(is_learned(*state, p.a->mac, "a"));
	send(*state, p.b, p.a->mac, p.b->mac, -1);
	next_is(*state, p.c, p.a->mac, p.b->mac);
	next_is(*state, p.d, p.a->mac, p.b->mac);
}

static void a_lonely_guest_talks_to_nobody(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	uint64_t before = rig_counter(*state, "a", "rx", "drops.no_destination");

	send(*state, a, mac_broadcast, a->mac, -1);
	send(*state, a, multicast, a->mac, -1);
	rig_wait(*state, rig_counter(*state, "a", "rx", "drops.no_destination") == before + 2);
}

/* The six counters of a direction. */
struct counts {
	uint64_t frames, bytes, unicast, multicast, broadcast;
};

static struct counts counts_of(struct rig *r, const char *port, const char *direction)
{
	return (struct counts){
		.frames = rig_counter(r, port, direction, "frames"),
		.bytes = rig_counter(r, port, direction, "bytes"),
		.unicast = rig_counter(r, port, direction, "unicast"),
		.multicast = rig_counter(r, port, direction, "multicast"),
		.broadcast = rig_counter(r, port, direction, "broadcast"),
	};
}

static void counts_grew_by(struct rig *r, const char *port, const char *direction,
	struct counts before, struct counts by)
{
	struct counts now;

	rig_wait(r, rig_counter(r, port, direction, "frames") == before.frames + by.frames);
	rig_wait(r, rig_counter(r, port, direction, "bytes") == before.bytes + by.bytes);
	now = counts_of(r, port, direction);
	assert_int_equal(now.unicast - before.unicast, by.unicast);
	assert_int_equal(now.multicast - before.multicast, by.multicast);
	assert_int_equal(now.broadcast - before.broadcast, by.broadcast);
}

static void frames_and_bytes_are_counted_at_both_ends(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	struct counts from, to;
	uint32_t i;

	peers_meet(*state, a, b);
	peers_meet(*state, a, b); /* the counters of the first round are settled by now */
	from = counts_of(*state, "a", "rx");
	to = counts_of(*state, "b", "tx");
	for (i = 0; i < 10; i++)
		peer_send_to(*state, a, b->mac, 100 + i, i);
	for (i = 0; i < 4; i++)
		peer_send_to(*state, a, multicast, 60, i);
	for (i = 0; i < 3; i++)
		peer_send_to(*state, a, mac_broadcast, 1514, i);
	for (i = 0; i < 10; i++)
		peer_expect(*state, b, b->mac, a->mac, 100 + i, i);
	{
		const struct counts by = {.frames = 17,
			.bytes = 1045 + 4 * 60 + 3 * 1514,
			.unicast = 10,
			.multicast = 4,
			.broadcast = 3};

		counts_grew_by(*state, "a", "rx", from, by);
		counts_grew_by(*state, "b", "tx", to, by);
	}
}

static void frames_without_a_buffer_are_counted_as_such(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a = peer_up(*state, "a", NULL), *b;
	uint64_t before;
	uint32_t i, round;

	c.rx_size = 4;
	for (round = 0; round < 2; round++) {
		c.features ^= PACKED;
		b = peer_up(*state, "b", &c);
		before = rig_counter(*state, "b", "tx", "drops.no_buffer");
		/* Nobody gives buffers back: the first four arrive. */
		for (i = 0; i < 100; i++)
			peer_send_to(*state, a, mac_broadcast, 60, i);
		rig_wait(*state, rig_counter(*state, "b", "tx", "drops.no_buffer") == before + 96);
		for (i = 0; i < 4; i++)
			peer_expect(*state, b, mac_broadcast, a->mac, 60, i);
		peers_meet(*state, a, b);
		peer_down(*state, b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(an_unknown_address_is_flooded_and_a_learned_one_is_not),
		rig_test(broadcast_and_multicast_reach_everybody_but_the_sender),
		rig_test(a_moved_host_is_followed),
		rig_test(a_frame_never_returns_to_the_port_it_came_from),
		rig_test(each_frame_of_a_mixed_burst_arrives_where_it_is_meant_and_in_order),
		rig_test(addresses_are_learned_per_vlan),
		rig_test(a_burst_between_the_same_addresses_is_told_apart_by_its_tags),
		rig_test(a_priority_tag_is_no_vlan),
		rig_test(a_group_address_is_never_learned),
		rig_test(link_local_addresses_stay_on_the_link),
		rig_test(a_port_that_goes_down_takes_its_addresses_along),
		rig_test(a_lonely_guest_talks_to_nobody),
		rig_test(frames_and_bytes_are_counted_at_both_ends),
		rig_test(frames_without_a_buffer_are_counted_as_such),
	};

	return cmocka_run_group_tests_name("switch", tests, start, rig_stop);
}
