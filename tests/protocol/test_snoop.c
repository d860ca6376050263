/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IGMP and MLD snooping while guests talk: who gets a group, who does not, and that nobody loses
 * what he should get.
 */
#include "group_packets.h"
#include "harness.h"

#include <string.h>

#define GROUP   "239.1.1.1"
#define OTHERS  "239.1.1.2"
#define GROUP_6 "ff15::2:1"

static struct rig rig;

/* a has a router behind it, b joins, c does not, d sends. */
struct four {
	struct peer *a, *b, *c, *d;
};

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abcd", NULL);
}

static void snooping_set(bool on)
{
	json_t *config = rig_call(&rig, "config.get", NULL);

	json_object_set_new(config, "snooping", json_boolean(on));
	json_decref(rig_call(&rig, "config.apply", json_pack("{s:o}", "config", config)));
}

/* All is forgotten, and off. */
static int clean(void **state)
{
	snooping_set(false);
	for (const char *c = "abcd"; *c; c++) {
		const char name[2] = {*c, 0};

		rig_port_set(*state, name, "{\"vlan\":\"none\",\"mrouter\":\"auto\"}");
	}
	return rig_clean(state);
}

static void packet_send(struct peer *from, const struct packet *p)
{
	const struct fe_frame f = {.data = p->bytes, .len = p->len};

	peer_send(&rig, from, 0, &f);
}

/* The very next frame that arrives is that one. */
static void next_is(struct peer *to, const struct packet *p)
{
	static uint8_t got[FRAME_MAX];
	struct fe_received in;

	peer_recv(&rig, to, 0, got, &in);
	assert_int_equal(in.len, p->len);
	assert_memory_equal(got, p->bytes, p->len);
}

static void is_for(const struct four *p, const struct packet *f, const char *who)
{
	struct peer *const all[] = {p->a, p->b, p->c, p->d};

	for (const char *at = who; *at; at++)
		next_is(all[*at - 'a'], f);
}

/* A frame for a group, or for all if it is NULL, which is marked to be different from others. */
static struct packet data_for(const struct peer *from, const char *group, uint8_t mark)
{
	uint8_t dst[6];
	struct packet p;

	memset(dst, 0xff, 6);
	if (group)
		group_mac(group, dst);
	p = packet_of(dst, from->mac);
	if (group && strchr(group, ':'))
		packet_ipv6(&p, "fe80::99", 17);
	else
		packet_ipv4(&p, "10.0.0.9", 17, 0);
	packet_udp(&p, 1000, mark);
	packet_pad(&p);
	return p;
}

/* Send a frame for a group. It reaches those and nobody else: a broadcast follows it. */
static void reaches(const struct four *p, struct peer *from, const char *group, const char *who)
{
	static uint8_t mark;
	const struct packet f = data_for(from, group, ++mark);
	const struct packet end = data_for(from, NULL, ++mark);
	char all[5] = "";
	size_t n = 0;

	for (const char *c = "abcd"; *c; c++) {
		if (*c != from->port[0])
			all[n++] = *c;
	}
	packet_send(from, &f);
	packet_send(from, &end);
	is_for(p, &f, who);
	is_for(p, &end, all);
}

static json_int_t groups_number(const char *key)
{
	json_t *list = rig_call(&rig, "group.list", NULL);
	const json_t *counters = json_object_get(list, "counters");
	const json_t *at = json_object_get(counters, key);
	json_int_t n = json_integer_value(at ? at : json_object_get(list, key));

	json_decref(list);
	return n;
}

/* Whether hosts have had the time to answer the first query. */
static bool queriers_are_ready(size_t n)
{
	json_t *list = rig_call(&rig, "group.list", NULL);
	const json_t *queriers = json_object_get(list, "queriers"), *q;
	bool ready = json_array_size(queriers) == n;

	for (size_t i = 0; (q = json_array_get(queriers, i)); i++) {
		ready = ready && json_is_true(json_object_get(q, "ready"));
		assert_string_equal(json_string_value(json_object_get(q, "bridge")), "default");
	}
	json_decref(list);
	return ready;
}

static struct four four_up(void)
{
	return (struct four){peer_up(&rig, "a", NULL), peer_up(&rig, "b", NULL),
		peer_up(&rig, "c", NULL), peer_up(&rig, "d", NULL)};
}

static void vlans_set(const char *setting)
{
	for (const char *c = "abcd"; *c; c++) {
		const char name[2] = {*c, 0};

		rig_port_set(&rig, name, setting);
	}
}

static void send_to(const struct four *p, struct peer *from, struct packet f, const char *who)
{
	packet_send(from, &f);
	is_for(p, &f, who);
}

static struct packet joins(const struct peer *from, const char *group)
{
	return packet_igmp2(from->mac, "10.0.0.2", 0x16, 0, group);
}

static void without_a_querier_all_is_flooded(void **state)
{
	const struct four p = four_up();

	(void)state;
	send_to(&p, p.b, joins(p.b, GROUP), "acd");
	reaches(&p, p.d, GROUP, "abc");
	snooping_set(true);
	send_to(&p, p.b, joins(p.b, GROUP), "acd");
	reaches(&p, p.d, GROUP, "abc");
	reaches(&p, p.d, OTHERS, "abc");
	/* A switch that asks for others has no address: no router is there. */
	send_to(&p, p.c, packet_igmp3_query(p.c->mac, "0.0.0.0", 1, 2, 125), "abd");
	/* Nor is there one where the operator says so. */
	rig_port_set(&rig, "c", "{\"mrouter\":\"off\"}");
	send_to(&p, p.c, packet_igmp3_query(p.c->mac, "10.0.0.3", 1, 2, 125), "abd");
	rig_wait(&rig, groups_number("refused") == 2);
	assert_int_equal(groups_number("entries_total"), 1);
	snooping_set(false);
	assert_int_equal(groups_number("entries_total"), 0);
}

static void groups_reach_their_members_and_routers(const struct four *p)
{
	uint64_t lost = rig_counter(&rig, "a", "rx", "drops.no_member");
	struct packet bad = packet_igmp2(p->c->mac, "10.0.0.3", 0x16, 0, GROUP);

	reaches(p, p->d, GROUP, "a");
	/* Reports go to the router alone. */
	send_to(p, p->b, joins(p->b, GROUP), "a");
	reaches(p, p->d, GROUP, "ab");
	reaches(p, p->d, OTHERS, "a");
	reaches(p, p->d, "224.0.0.5", "abc");
	reaches(p, p->a, GROUP, "b");
	reaches(p, p->a, OTHERS, "");
	rig_wait(&rig, rig_counter(&rig, "a", "rx", "drops.no_member") == lost + 1);
	/* Its checksum does not fit: it is no report, and goes where data goes. */
	bad.bytes[40] ^= 1;
	send_to(p, p->c, bad, "ab");
	rig_wait(&rig, groups_number("malformed") == 1);
	reaches(p, p->d, GROUP, "ab");
}

static void a_router_may_be_given(const struct four *p)
{
	rig_port_set(&rig, "c", "{\"mrouter\":\"on\"}");
	reaches(p, p->d, GROUP, "abc");
	reaches(p, p->d, OTHERS, "ac");
	rig_port_set(&rig, "c", "{\"mrouter\":\"auto\"}");
	reaches(p, p->d, GROUP, "ab");
}

/* A report and data for the same group in one burst. */
static void one_burst_may_have_both(const struct four *p)
{
	const struct packet data = data_for(p->c, GROUP, 200), join = joins(p->c, GROUP);
	const struct fe_frame frames[] = {{.data = data.bytes, .len = data.len},
		{.data = join.bytes, .len = join.len}, {.data = data.bytes, .len = data.len}};

	for (size_t i = 0; i < RW_ARRAY_SIZE(frames); i++)
		assert_int_equal(fe_guest_put(p->c->g, 0, &frames[i]), 0);
	fe_guest_flush(p->c->g, 0);
	next_is(p->a, &data);
	next_is(p->a, &join);
	next_is(p->a, &data);
	next_is(p->b, &data);
	next_is(p->b, &data);
	reaches(p, p->d, GROUP, "abc");
}

/* The querier asks whether anybody else is there. */
static void who_leaves_gets_it_no_more(const struct four *p)
{
	json_int_t before = groups_number("entries_total");

	send_to(p, p->b, packet_igmp2(p->b->mac, "10.0.0.2", 0x17, 0, GROUP), "a");
	reaches(p, p->d, GROUP, "abc");
	send_to(p, p->a, packet_igmp2(p->a->mac, "10.0.0.1", 0x11, 5, GROUP), "bcd");
	send_to(p, p->c, joins(p->c, GROUP), "a");
	rig_wait(&rig, groups_number("entries_total") == before - 1);
	reaches(p, p->d, GROUP, "ac");
}

static void mld_is_snooped_too(const struct four *p)
{
	send_to(p, p->b, packet_mld2_report(p->b->mac, "fe80::2", 4, GROUP_6, 0), "a");
	reaches(p, p->d, GROUP_6, "ab");
	reaches(p, p->d, "ff15::2:2", "a");
	reaches(p, p->d, "ff02::1", "abc");
	reaches(p, p->d, "ff02::1:ff00:1", "abc");
}

static void domains_are_apart(const struct four *p)
{
	vlans_set("{\"vlan\":\"10\"}");
	reaches(p, p->d, GROUP, "a");
	send_to(p, p->b, joins(p->b, OTHERS), "a");
	reaches(p, p->d, OTHERS, "ab");
	/* Nobody asks there. */
	vlans_set("{\"vlan\":\"20\"}");
	reaches(p, p->d, OTHERS, "abc");
	reaches(p, p->d, GROUP, "abc");
	vlans_set("{\"vlan\":\"none\"}");
	reaches(p, p->d, GROUP, "ac");
	reaches(p, p->d, OTHERS, "a");
}

/* It joins more than any port may: it gets all, and the others' groups are as before. */
static void a_guest_that_joins_everything_hurts_itself(const struct four *p)
{
	json_int_t before = groups_number("entries_total");

	for (unsigned i = 0; i < 100; i++)
		send_to(p, p->d, packet_igmp3_report(p->d->mac, "10.0.0.4", 4, 2 + i, 20), "a");
	rig_wait(&rig, groups_number("full") == 2000 - 1024);
	assert_int_equal(groups_number("entries_total"), before + 1024);
	reaches(p, p->a, GROUP, "cd");
	reaches(p, p->a, OTHERS, "d");
	/* What others ask for is noted. */
	send_to(p, p->b, joins(p->b, OTHERS), "a");
	reaches(p, p->a, OTHERS, "bd");
	/* A guest without a link is in no group; its places are free. */
	peer_down(&rig, p->d);
	assert_int_equal(groups_number("entries_total"), before + 1);
	duplex_check(&rig, p->a, p->c);
}

/* One router asks all, and all steps have the answers. */
static void with_a_querier_groups_are_told_apart(void **state)
{
	const struct four p = four_up();
	const struct packet q = packet_igmp3_query(p.a->mac, "10.0.0.1", 1, 2, 125);

	(void)state;
	snooping_set(true);
	vlans_set("{\"vlan\":\"10\"}");
	send_to(&p, p.a, q, "bcd");
	vlans_set("{\"vlan\":\"none\"}");
	send_to(&p, p.a, q, "bcd");
	send_to(&p, p.a, packet_mld1(p.a->mac, "fe80::1", 130, 100, NULL), "bcd");
	/* Until hosts have had the time to answer. */
	reaches(&p, p.d, GROUP, "abc");
	rig_wait(&rig, queriers_are_ready(3));
	groups_reach_their_members_and_routers(&p);
	a_router_may_be_given(&p);
	one_burst_may_have_both(&p);
	who_leaves_gets_it_no_more(&p);
	mld_is_snooped_too(&p);
	domains_are_apart(&p);
	a_guest_that_joins_everything_hurts_itself(&p);
}

#define snoop_test(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		snoop_test(without_a_querier_all_is_flooded),
		snoop_test(with_a_querier_groups_are_told_apart),
	};

	return cmocka_run_group_tests_name("snoop", tests, start, rig_stop);
}
