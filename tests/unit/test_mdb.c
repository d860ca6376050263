/* SPDX-License-Identifier: BSD-3-Clause */
/* Who gets a group: by queries, reports and time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "mdb.h"

#define DOMAIN   7
#define MEMBERS  64
#define PORT_MAX 16
#define T0       1000u
#define ROUTER   9
#define RESPONSE 10
#define LATER    (T0 + RESPONSE + 1) /* hosts have had the time to answer */
#define MEMBER_S (2 * 125 + 10)      /* RFC 3376, 8.4 */

static struct mdb *mdb;

static int begin(void **state)
{
	static const struct mdb_config cfg = {.max_members = MEMBERS, .port_max = PORT_MAX};

	(void)state;
	mdb = mdb_new(&cfg);
	return !mdb;
}

static int end(void **state)
{
	(void)state;
	mdb_free(mdb);
	return 0;
}

static void address_of(uint8_t out[16], bool ipv6, const char *text)
{
	memset(out, 0, 16);
	if (text)
		assert_int_equal(inet_pton(ipv6 ? AF_INET6 : AF_INET, text, out), 1);
}

static struct frame_group query(const char *from, const char *group)
{
	struct frame_group msg = {.what = FRAME_GROUP_QUERY,
		.ipv6 = strchr(from, ':'),
		.version = 2,
		.response_s = group ? 1 : RESPONSE,
		.interval_s = 125,
		.robustness = 2};

	address_of(msg.source, msg.ipv6, from);
	address_of(msg.address, msg.ipv6, group);
	return msg;
}

static struct frame_group report(const char *group, bool leaves)
{
	struct frame_group msg = {.what = FRAME_GROUP_REPORT,
		.ipv6 = strchr(group, ':'),
		.version = 2,
		.nrecords = 1,
		.records = {{.leaves = leaves}}};

	address_of(msg.records[0].address, msg.ipv6, group);
	return msg;
}

static void hear(uint32_t port, struct frame_group msg, uint32_t now_s)
{
	mdb_hear(mdb, DOMAIN, port, &msg, now_s);
}

static void age(uint32_t now_s)
{
	mdb_age(mdb, now_s);
	mdb_reclaim(mdb);
}

/* The ports from 0 to 9 that get a group, as digits; "all". */
static const char *who(const char *group, uint32_t now_s)
{
	static char text[MDB_MAX_PORTS + 1];
	uint8_t address[16], mac[6];
	struct mdb_ports set;
	unsigned n = 0;

	address_of(address, strchr(group, ':'), group);
	frame_group_mac(strchr(group, ':'), address, mac);
	if (!mdb_forward(mdb, DOMAIN, mac, now_s, &set))
		return "all";
	for (unsigned i = 0; i < 10; i++) {
		if (set.bits[0] >> i & 1)
			text[n++] = (char)('0' + i);
	}
	text[n] = 0;
	return text;
}

static void without_a_querier_all_get_all(void **state)
{
	(void)state;
	hear(1, report("239.1.1.1", false), T0);
	assert_string_equal(who("239.1.1.1", T0), "all");
	hear(ROUTER, query("10.0.0.1", NULL), T0);
	/* Hosts have not answered yet. */
	assert_string_equal(who("239.1.1.1", T0), "all");
	assert_string_equal(who("239.1.1.1", LATER - 1), "all");
	assert_string_equal(who("239.1.1.1", LATER), "19");
	assert_string_equal(who("239.1.1.2", LATER), "9");
	/* The other family has none, nor another domain. */
	assert_string_equal(who("ff15::2:1", LATER), "all");
	/* 255 s without a query. */
	age(T0 + 255);
	assert_string_equal(who("239.1.1.2", T0 + 255), "9");
	age(T0 + 256);
	assert_string_equal(who("239.1.1.2", T0 + 256), "all");
}

static void some_groups_are_for_all(void **state)
{
	static const char *const groups[] = {"224.0.0.1", "224.0.0.251", "225.128.0.7", "ff02::1",
		"ff02::fb", "ff02::1:2", "ff02::1:ff00:1"};

	(void)state;
	hear(ROUTER, query("10.0.0.1", NULL), T0);
	hear(ROUTER, query("fe80::1", NULL), T0);
	for (size_t i = 0; i < RW_ARRAY_SIZE(groups); i++) {
		hear(1, report(groups[i], false), LATER);
		assert_string_equal(who(groups[i], LATER), "all");
	}
	assert_int_equal(mdb_count(mdb, 1), 0);
	assert_string_equal(who("ff02::2:1", LATER), "9");
	assert_string_equal(who("224.0.1.1", LATER), "9");
}

static void members_stay_while_they_report(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const char *group = i ? "ff15::2:1" : "239.1.1.1",
			   *from = i ? "fe80::1" : "10.0.0.1";
		uint32_t t = T0;

		for (unsigned n = 0; n < 5; n++, t += 125) {
			hear(ROUTER, query(from, NULL), t);
			hear(1, report(group, false), t + 5);
			if (!n)
				hear(2, report(group, false), t + 5);
			age(t + 100);
			assert_string_equal(who(group, t + 100), n < 2 ? "129" : "19");
		}
		age(T0 + 4 * 125 + 5 + MEMBER_S);
		assert_int_equal(mdb_count(mdb, 1), 1);
		age(T0 + 4 * 125 + 5 + MEMBER_S + 1);
		assert_int_equal(mdb_count(mdb, 1), 0);
	}
}

static void intervals_are_the_queriers(void **state)
{
	struct frame_group q = query("10.0.0.5", NULL);

	(void)state;
	q.interval_s = 10;
	q.robustness = 3;
	q.response_s = 4;
	hear(ROUTER, q, T0);
	hear(1, report("239.1.1.1", false), T0);
	age(T0 + 32);
	assert_string_equal(who("239.1.1.1", T0 + 32), "19");
	age(T0 + 34);
	assert_int_equal(mdb_count(mdb, 1), 1);
	age(T0 + 35);
	assert_int_equal(mdb_count(mdb, 1), 0);
	/* The lowest address is the querier; another router is a router. */
	hear(ROUTER, q, T0 + 35);
	hear(8, query("10.0.0.9", NULL), T0 + 35);
	hear(1, report("239.1.1.1", false), T0 + 36);
	age(T0 + 36 + 35);
	assert_int_equal(mdb_count(mdb, 1), 0);
	hear(8, query("10.0.0.2", NULL), T0 + 80);
	hear(1, report("239.1.1.1", false), T0 + 80);
	age(T0 + 80 + MEMBER_S);
	assert_int_equal(mdb_count(mdb, 1), 1);
}

/* A leave alone changes nothing; the querier asks, and who does not answer has left. */
static void who_leaves_is_asked_about(void **state)
{
	struct frame_group old = report("239.1.1.1", false);

	(void)state;
	old.version = 1;
	hear(ROUTER, query("10.0.0.1", NULL), T0);
	hear(1, report("239.1.1.1", false), T0);
	hear(2, report("239.1.1.1", false), T0);
	hear(3, old, T0);
	hear(1, report("239.1.1.1", true), LATER);
	age(LATER + 50);
	assert_string_equal(who("239.1.1.1", LATER + 50), "1239");
	/* A port without a router asks. */
	hear(4, query("10.0.0.1", "239.1.1.1"), LATER + 50);
	age(LATER + 60);
	assert_string_equal(who("239.1.1.1", LATER + 60), "1239");
	hear(ROUTER, query("10.0.0.1", "239.1.1.1"), LATER + 60);
	hear(2, report("239.1.1.1", false), LATER + 61);
	age(LATER + 62);
	assert_string_equal(who("239.1.1.1", LATER + 62), "1239");
	age(LATER + 63);
	/* The host of version 1 did not know what that meant. */
	assert_string_equal(who("239.1.1.1", LATER + 63), "239");
}

static void routers_are_what_an_operator_says(void **state)
{
	struct mdb_stats stats;

	(void)state;
	mdb_set_router(mdb, 3, MDB_ROUTER_ON);
	mdb_set_router(mdb, 4, MDB_ROUTER_NEVER);
	hear(4, query("10.0.0.1", NULL), T0);
	hear(5, query("0.0.0.0", NULL), T0);
	assert_string_equal(who("239.1.1.1", LATER), "all");
	mdb_get_stats(mdb, &stats);
	assert_int_equal(stats.refused, 2);
	hear(ROUTER, query("10.0.0.1", NULL), T0);
	assert_string_equal(who("239.1.1.1", LATER), "39");
	mdb_set_router(mdb, 3, MDB_ROUTER_AUTO);
	assert_string_equal(who("239.1.1.1", LATER), "9");
}

/* One that joins a million groups has its limit, and gets all; others lose nothing. */
static void a_port_that_joins_everything_hurts_itself(void **state)
{
	struct mdb_stats stats;

	(void)state;
	hear(ROUTER, query("10.0.0.1", NULL), T0);
	hear(1, report("239.1.1.1", false), T0);
	for (uint32_t i = 0; i < 1000000; i++) {
		struct frame_group msg = report("239.0.0.0", false);
		uint32_t group = htonl(0xef100000 + i);

		memcpy(msg.records[0].address, &group, 4);
		hear(2, msg, T0 + i / 100000);
	}
	mdb_get_stats(mdb, &stats);
	assert_int_equal(mdb_count(mdb, 2), PORT_MAX);
	assert_int_equal(stats.full, 1000000 - PORT_MAX);
	assert_true(mdb_gets_all(mdb, 2));
	assert_string_equal(who("239.1.1.1", LATER), "129");
	assert_string_equal(who("239.200.1.1", LATER), "29");
	hear(3, report("239.1.1.1", false), LATER);
	assert_string_equal(who("239.1.1.1", LATER), "1239");
	/* It is over when it has been quiet. */
	hear(ROUTER, query("10.0.0.1", NULL), T0 + 200);
	age(T0 + 9 + MDB_OVERFLOW_S);
	assert_false(mdb_gets_all(mdb, 2));
}

static void the_table_has_a_limit_too(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 10 * MEMBERS; i++) {
		struct frame_group msg = report("239.0.0.0", false);

		msg.records[0].address[2] = (uint8_t)i;
		msg.records[0].address[1] = (uint8_t)(i >> 8);
		hear(100 + i / PORT_MAX, msg, T0);
	}
	assert_false(mdb_gets_all(mdb, 100));
	assert_true(mdb_gets_all(mdb, 100 + MEMBERS / PORT_MAX));
	/* All that is gone leaves room. */
	for (uint32_t round = 0; round < 3; round++) {
		mdb_clear(mdb);
		assert_true(mdb_has_waste(mdb));
		mdb_reclaim(mdb);
		assert_false(mdb_has_waste(mdb));
		for (uint32_t i = 0; i < PORT_MAX; i++) {
			struct frame_group msg = report("239.0.0.0", false);

			msg.records[0].address[1] = (uint8_t)i;
			msg.records[0].address[2] = 1;
			hear(1, msg, T0);
		}
		assert_int_equal(mdb_count(mdb, 1), PORT_MAX);
		assert_false(mdb_gets_all(mdb, 1));
	}
}

static void reports_that_are_too_long_and_bad_ones_are_counted(void **state)
{
	struct frame_group msg = {.what = FRAME_GROUP_REPORT, .version = 3, .cut = true};
	struct mdb_stats stats;

	(void)state;
	hear(1, msg, T0);
	assert_true(mdb_gets_all(mdb, 1));
	msg = (struct frame_group){.what = FRAME_GROUP_BAD};
	hear(1, msg, T0);
	mdb_get_stats(mdb, &stats);
	assert_int_equal(stats.cut, 1);
	assert_int_equal(stats.malformed, 1);
}

static void ports_and_domains_are_forgotten(void **state)
{
	struct frame_group other = report("239.1.1.1", false);
	struct mdb_entry entries[8];
	struct mdb_querier queriers[8];
	uint32_t cursor = 0;

	(void)state;
	hear(ROUTER, query("10.0.0.1", NULL), T0);
	hear(1, report("239.1.1.1", false), T0);
	hear(2, report("239.1.1.1", false), T0);
	mdb_hear(mdb, DOMAIN + 1, 1, &other, T0);
	assert_int_equal(mdb_list(mdb, &cursor, T0, entries, 8), 4);
	assert_int_equal(cursor, MDB_CURSOR_END);
	assert_true(entries[0].router);
	assert_int_equal(entries[1].left_s, MEMBER_S + 1);
	cursor = 0;
	assert_int_equal(mdb_queriers(mdb, &cursor, LATER, queriers, 8), 1);
	assert_int_equal(queriers[0].member_s, MEMBER_S);
	assert_true(queriers[0].ready);
	mdb_forget_port(mdb, 1);
	mdb_reclaim(mdb);
	assert_string_equal(who("239.1.1.1", LATER), "29");
	mdb_forget_port(mdb, 2);
	assert_string_equal(who("239.1.1.1", LATER), "9");
	mdb_forget_domain(mdb, DOMAIN);
	assert_string_equal(who("239.1.1.1", LATER), "all");
	mdb_reclaim(mdb);
	cursor = 0;
	assert_int_equal(mdb_list(mdb, &cursor, T0, entries, 8), 0);
}

#define mdb_test(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		mdb_test(without_a_querier_all_get_all),
		mdb_test(some_groups_are_for_all),
		mdb_test(members_stay_while_they_report),
		mdb_test(intervals_are_the_queriers),
		mdb_test(who_leaves_is_asked_about),
		mdb_test(routers_are_what_an_operator_says),
		mdb_test(a_port_that_joins_everything_hurts_itself),
		mdb_test(the_table_has_a_limit_too),
		mdb_test(reports_that_are_too_long_and_bad_ones_are_counted),
		mdb_test(ports_and_domains_are_forgotten),
	};

	return cmocka_run_group_tests_name("mdb", tests, NULL, NULL);
}
