/* SPDX-License-Identifier: BSD-3-Clause */
/* SEND_RARP: a guest has moved here, and everybody is told so in its name. */
#include <errno.h>
#include <string.h>

#include "hosts.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abcd", NULL);
}

static struct fe_guest_config announcing(void)
{
	struct fe_guest_config c = guest_usual();

	c.protocol_features |= FE_BIT(VU_PF_RARP);
	return c;
}

/* a announces; b to d listen, one with each kind of ring and header. */
struct scene {
	struct peer *a, *b, *c, *d;
};

static struct scene scene_up(struct rig *r)
{
	struct fe_guest_config c = announcing();
	struct scene s;

	s.a = peer_up(r, "a", &c);
	s.b = peer_up(r, "b", &c);
	c.features |= PACKED;
	s.c = peer_up(r, "c", &c);
	c.features = FE_BIT(VU_F_PROTOCOL_FEATURES); /* legacy, its header has 10 bytes */
	s.d = peer_up(r, "d", &c);
	return s;
}

/* Those but a have received the RARP and nothing before it; the table has followed. */
static void all_have_heard(struct rig *r, const struct scene *s, const uint8_t mac[6])
{
	peer_expect_rarp(r, s->b, mac, 0);
	peer_expect_rarp(r, s->c, mac, 0);
	peer_expect_rarp(r, s->d, mac, 0);
	assert_int_equal(host_found(r, mac, 0, "rarp"), 'a');
}

static void a_rarp_reaches_every_other_port_and_not_its_own(void **state)
{
	const struct scene s = scene_up(*state);
	uint8_t mac[6];

	host_make(mac, 1);
	assert_int_equal(fe_conn_rarp(&s.a->g->conn, mac), 0);
	all_have_heard(*state, &s, mac);
	/* What comes next is the first that reaches a. */
	assert_int_equal(fe_conn_rarp(&s.b->g->conn, s.b->mac), 0);
	peer_expect_rarp(*state, s.a, s.b->mac, 0);
	peer_expect_rarp(*state, s.c, s.b->mac, 0);
	peer_expect_rarp(*state, s.d, s.b->mac, 0);
}

static void only_those_who_receive_it_count_it(void **state)
{
	static const char *const ports[] = {"b", "c", "d"};
	const struct scene s = scene_up(*state);
	uint64_t before[3], bytes[3], sent;
	uint8_t mac[6];
	size_t i;

	sent = rig_counter(*state, "a", "rx", "frames");
	for (i = 0; i < RW_ARRAY_SIZE(ports); i++) {
		before[i] = rig_counter(*state, ports[i], "tx", "broadcast");
		bytes[i] = rig_counter(*state, ports[i], "tx", "bytes");
	}
	host_make(mac, 2);
	assert_int_equal(fe_conn_rarp(&s.a->g->conn, mac), 0);
	all_have_heard(*state, &s, mac);
	for (i = 0; i < RW_ARRAY_SIZE(ports); i++) {
		rig_wait(*state, rig_counter(*state, ports[i], "tx", "broadcast") == before[i] + 1);
		assert_int_equal(rig_counter(*state, ports[i], "tx", "bytes"), bytes[i] + 60);
	}
	assert_int_equal(rig_counter(*state, "a", "rx", "frames"), sent);
}

static void a_host_moves_to_the_port_that_announces_it(void **state)
{
	static uint8_t got[FRAME_MAX];
	const struct scene s = scene_up(*state);
	struct fe_received in;
	uint8_t mac[6];

	host_make(mac, 3);
	host_speaks(*state, s.b, mac, -1);
	peer_recv(*state, s.a, 0, got, &in);
	peer_recv(*state, s.c, 0, got, &in);
	peer_recv(*state, s.d, 0, got, &in);
	assert_int_equal(host_found(*state, mac, 0, "frame"), 'b');
	assert_int_equal(fe_conn_rarp(&s.a->g->conn, mac), 0);
	all_have_heard(*state, &s, mac);
	/* Frames for it follow, and reach nobody else. */
	peer_send_to(*state, s.c, mac, 100, 1);
	peer_expect(*state, s.a, mac, s.c->mac, 100, 1);
	assert_int_equal(fe_conn_rarp(&s.c->g->conn, s.c->mac), 0);
	peer_expect_rarp(*state, s.b, s.c->mac, 0);
	peer_expect_rarp(*state, s.d, s.c->mac, 0);
}

static void the_rings_of_the_guest_do_not_matter(void **state)
{
	const struct scene s = scene_up(*state);
	struct fe_guest *g = s.a->g;
	uint8_t mac[6];
	uint32_t i;

	for (i = 0; i < 2; i++)
		assert_int_equal(fe_guest_enable(g, i, false), 0);
	host_make(mac, 4);
	assert_int_equal(fe_conn_rarp(&g->conn, mac), 0);
	all_have_heard(*state, &s, mac);
	for (i = 0; i < 2; i++)
		assert_int_equal(fe_guest_stop_ring(g, i, NULL), 0);
	host_make(mac, 5);
	assert_int_equal(fe_conn_rarp(&g->conn, mac), 0);
	all_have_heard(*state, &s, mac);
	/* A session that never had rings, nor memory. */
	peer_down(*state, s.a);
	peer_connect(*state, s.a);
	assert_int_equal(fe_guest_negotiate(g), 0);
	host_make(mac, 6);
	assert_int_equal(fe_conn_rarp(&g->conn, mac), 0);
	all_have_heard(*state, &s, mac);
}

static void what_is_no_host_is_not_announced(void **state)
{
	static const uint8_t none[6], all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
				      group[6] = {0x01, 0, 0x5e, 1, 2, 3};
	const uint8_t *const bad[] = {none, all, group};
	const struct scene s = scene_up(*state);
	uint8_t mac[6];
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(bad); i++)
		assert_int_equal(fe_conn_rarp(&s.a->g->conn, bad[i]), 0);
	host_make(mac, 7);
	assert_int_equal(fe_conn_rarp(&s.a->g->conn, mac), 0);
	all_have_heard(*state, &s, mac);
	assert_true(rig_has_logged(*state, "port a: the front-end wants to announce"));
}

static void a_message_that_is_wrong_is_refused(void **state)
{
	const struct fe_guest_config without = guest_usual();
	const struct scene s = scene_up(*state);
	struct fe_conn *c = &s.a->g->conn;
	const uint8_t payload[16] = {2, 1};
	struct fe_raw raw = {.request = VU_SEND_RARP, .payload = payload, .len = 6};

	assert_int_equal(fe_conn_raw(c, &raw, NULL), -EREMOTEIO);
	raw.len = 16;
	assert_int_equal(fe_conn_raw(c, &raw, NULL), -EREMOTEIO);
	raw.len = 8;
	raw.fds = &s.a->g->queues[0].err_fd;
	raw.nfds = 1;
	assert_int_equal(fe_conn_raw(c, &raw, NULL), -EREMOTEIO);
	assert_int_equal(fe_conn_rarp(c, s.a->mac), 0);
	all_have_heard(*state, &s, s.a->mac);
	peer_down(*state, s.a);
	s.a->g->config.protocol_features = without.protocol_features;
	peer_start(*state, s.a);
	assert_int_equal(fe_conn_rarp(c, s.a->mac), -EREMOTEIO);
	duplex_check(*state, s.a, s.b);
}

static void many_in_a_row_are_all_sent(void **state)
{
	const struct scene s = scene_up(*state);
	uint8_t mac[6];
	uint32_t i, k;

	for (i = 0; i < 2000; i += 20) {
		for (k = 0; k < 20; k++) {
			host_make(mac, 1000 + i + k);
			assert_int_equal(fe_conn_rarp(&s.a->g->conn, mac), 0);
		}
		for (k = 0; k < 20; k++) {
			host_make(mac, 1000 + i + k);
			peer_expect_rarp(*state, s.b, mac, 0);
			peer_expect_rarp(*state, s.c, mac, 0);
			peer_expect_rarp(*state, s.d, mac, 0);
		}
	}
	assert_int_equal(hosts_behind(*state, "a"), 2000);
}

static void those_who_do_not_listen_lose_them_and_the_table_does_not(void **state)
{
	const uint32_t n = 700; /* more than a receive ring has buffers */
	const struct scene s = scene_up(*state);
	uint64_t lost = rig_counter(*state, "b", "tx", "drops.no_buffer");
	uint8_t mac[6];
	uint32_t i;

	for (i = 0; i < n; i++) {
		host_make(mac, 5000 + i);
		assert_int_equal(fe_conn_rarp(&s.a->g->conn, mac), 0);
	}
	rig_wait(*state, hosts_behind(*state, "a") == n);
	rig_wait(*state, rig_counter(*state, "b", "tx", "drops.no_buffer") == lost + n - 256);
	for (i = 0; i < 256; i++) {
		host_make(mac, 5000 + i);
		peer_expect_rarp(*state, s.b, mac, 0);
	}
}

static void frames_of_others_flow_meanwhile(void **state)
{
	const struct scene s = scene_up(*state);
	const struct stream few = {.n = 50, .len = 200};
	uint8_t mac[6];
	uint32_t i;

	for (i = 0; i < 40; i++) {
		host_make(mac, 9000 + i);
		assert_int_equal(fe_conn_rarp(&s.a->g->conn, mac), 0);
		assert_int_equal(fe_conn_rarp(&s.d->g->conn, s.d->mac), 0);
		stream_check(*state, s.b, s.c, &few);
		stream_check(*state, s.c, s.b, &few);
		assert_int_equal(host_port(*state, s.b->mac, 0), 'b');
	}
	rig_wait(*state, hosts_behind(*state, "a") == 40);
}

static void a_static_entry_stays_where_it_is(void **state)
{
	const struct scene s = scene_up(*state);
	uint8_t mac[6];

	host_make(mac, 8);
	json_decref(rig_call(*state, "fdb.add",
		json_pack("{s:s, s:s}", "mac", "0a:5c:00:00:00:08", "port", "b")));
	assert_int_equal(fe_conn_rarp(&s.a->g->conn, mac), 0);
	peer_expect_rarp(*state, s.b, mac, 0);
	peer_expect_rarp(*state, s.c, mac, 0);
	peer_expect_rarp(*state, s.d, mac, 0);
	assert_int_equal(host_port(*state, mac, 0), 'b');
	json_decref(rig_call(*state, "fdb.del", json_pack("{s:s}", "mac", "0a:5c:00:00:00:08")));
}

static void a_guest_that_has_gone_is_not_behind_the_port_any_more(void **state)
{
	struct fe_guest_config c = announcing();
	struct peer *b = peer_up(*state, "b", &c), *a = peer_new(*state, "a", &c);
	uint8_t mac[6];
	uint32_t i;

	host_make(mac, 9);
	for (i = 0; i < 100; i++) {
		peer_connect(*state, a);
		assert_int_equal(fe_guest_negotiate(a->g), 0);
		a->g->conn.no_ack = true;
		assert_int_equal(fe_conn_rarp(&a->g->conn, mac), 0);
		a->g->conn.no_ack = false;
		peer_down(*state, a);
		/* By now the workers are done with all that a said. */
		assert_int_equal(fe_conn_rarp(&b->g->conn, b->mac), 0);
		rig_wait(*state, host_port(*state, b->mac, 0) == 'b');
		assert_int_equal(host_port(*state, mac, 0), 0);
		json_decref(rig_call(*state, "fdb.flush", NULL));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_rarp_reaches_every_other_port_and_not_its_own),
		rig_test(only_those_who_receive_it_count_it),
		rig_test(a_host_moves_to_the_port_that_announces_it),
		rig_test(the_rings_of_the_guest_do_not_matter),
		rig_test(what_is_no_host_is_not_announced),
		rig_test(a_message_that_is_wrong_is_refused),
		rig_test(many_in_a_row_are_all_sent),
		rig_test(those_who_do_not_listen_lose_them_and_the_table_does_not),
		rig_test(frames_of_others_flow_meanwhile),
		rig_test(a_static_entry_stays_where_it_is),
		rig_test(a_guest_that_has_gone_is_not_behind_the_port_any_more),
	};

	return cmocka_run_group_tests_name("rarp", tests, start, rig_stop);
}
