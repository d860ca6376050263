/* SPDX-License-Identifier: BSD-3-Clause */
/* What guests and users do is told to those who subscribed, once and in words. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fe_shadow.h"
#include "hosts.h"
#include "rw_sock.h"
#include "traffic.h"

#define LEN 100

static struct rig rig;
static struct fe_log map;
static int fd = -1;
static FILE *in;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

static int clean(void **state)
{
	int ret = rig_clean(state);

	fe_log_fini(&map);
	if (in)
		fclose(in);
	in = NULL;
	fd = -1;
	return ret;
}

/* ---- the subscriber ---- */

static json_t *next_line(void)
{
	char *line = NULL;
	size_t cap = 0;
	json_t *read;

	if (getline(&line, &cap, in) < 0)
		fail_msg("no event in time");
	read = json_loads(line, 0, NULL);
	free(line);
	assert_non_null(read);
	return read;
}

/* Subscribe with these params. */
static void listen_to(const char *params)
{
	struct timeval patience = {.tv_sec = rig_patience(&rig) / 1000 + 1};
	char text[256];
	json_t *answer;

	fd = rw_sock_connect(rig_path(&rig, "ctl"));
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	in = fdopen(fd, "r");
	assert_non_null(in);
	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"params\":%s,\"id\":1}\n", params);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	answer = next_line();
	assert_non_null(json_object_get(answer, "result"));
	json_decref(answer);
}

/* The next event has these members, in JSON, and others. */
static void expect_event(const char *members)
{
	json_t *event = next_line(), *params = json_object_get(event, "params");
	json_t *want = json_loads(members, 0, NULL), *value;
	const char *key;

	assert_non_null(want);
	json_object_foreach(want, key, value)
	{
		if (!json_equal(json_object_get(params, key), value))
			fail_msg("%s\n  instead of %s", json_dumps(params, 0), members);
	}
	json_decref(want);
	json_decref(event);
}

static void expect_host(const char *kind, const char *port, const char *from, const uint8_t mac[6])
{
	char members[256], also[64] = "";

	if (from)
		snprintf(also, sizeof(also), ",\"from\":\"%s\"", from);
	snprintf(members, sizeof(members),
		"{\"event\":\"%s\",\"port\":\"%s\",\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\","
		"\"vlan\":0%s%s}",
		kind, port, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
		strcmp(kind, "flapping") ? ",\"how\":\"frame\"" : "", also);
	expect_event(members);
}

/* ---- tests ---- */

static void links_and_front_ends_come_and_go(void **state)
{
	struct peer *a;

	listen_to("{\"kinds\":[\"link\",\"down\"]}");
	a = peer_up(*state, "a", NULL);
	expect_event("{\"event\":\"link\",\"port\":\"a\",\"up\":true}");
	peer_down(*state, a);
	expect_event("{\"event\":\"link\",\"port\":\"a\",\"up\":false}");
	expect_event("{\"event\":\"down\",\"port\":\"a\",\"why\":\"the front-end left\"}");
}

static void hosts_are_learned_and_move(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);

	listen_to("{\"kinds\":[\"learned\",\"moved\"]}");
	peer_send_to(*state, a, mac_broadcast, LEN, 1);
	expect_host("learned", "a", NULL, a->mac);
	host_speaks(*state, b, a->mac, -1);
	expect_host("moved", "b", "a", a->mac);
}

static void hosts_that_flap_are_named(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *c = peer_up(*state, "c", NULL);
	uint8_t data[LEN];
	const struct fe_frame f = {.data = data, .len = LEN};

	peers_meet(*state, a, b);
	listen_to("{\"kinds\":[\"flapping\"],\"port\":\"c\"}");
	frame_make(data, LEN, a->mac, b->mac, 1);
	for (unsigned i = 0; i < 60; i++) {
		peer_send(*state, i % 2 ? b : c, 0, &f);
		peer_expect(*state, a, a->mac, b->mac, LEN, 1);
	}
	expect_host("flapping", "b", "c", b->mac);
}

static void a_broken_ring_is_named(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct fe_queue *tx = fe_guest_tx(a->g, 0);

	listen_to("{\"kinds\":[\"broken\"]}");
	__atomic_store_n(
		&tx->ring.avail->idx, (uint16_t)(tx->ring.avail->idx + 1000), __ATOMIC_RELEASE);
	fe_queue_kick(tx);
	expect_event("{\"event\":\"broken\",\"port\":\"a\",\"ring\":1}");
}

/* How many pages port.show says were marked. */
static uint64_t pages_of(struct rig *r, const char *port)
{
	json_t *row = rig_call(r, "port.show", json_pack("{s:s}", "name", port));
	const json_t *n = json_object_get(json_object_get(row, "log"), "pages_marked");
	uint64_t pages = (uint64_t)json_integer_value(n);

	assert_true(json_is_integer(n));
	json_decref(row);
	return pages;
}

static void steps_of_a_migration_are_told(void **state)
{
	struct fe_guest_config c = guest_usual();
	char members[128];
	struct peer *a, *b;
	uint64_t pages;

	c.protocol_features |= PROTOCOL_LOG | FE_BIT(VU_PF_RARP);
	b = peer_up_linked(*state, "b", NULL);
	a = peer_up_linked(*state, "a", &c);
	listen_to("{\"kinds\":[\"migration\"]}");
	assert_int_equal(fe_log_init(&map, fe_log_size_for(&a->g->mem), 0), 0);
	assert_int_equal(fe_guest_log_start(a->g, &map, FE_LOG_ECHO), 0);
	expect_event("{\"event\":\"migration\",\"port\":\"a\",\"what\":\"log on\"}");
	/* The guest gets a frame: its buffer, or the ring, is marked. */
	peer_send_to(*state, b, mac_broadcast, LEN, 1);
	peer_expect(*state, a, mac_broadcast, b->mac, LEN, 1);
	expect_event("{\"event\":\"migration\",\"port\":\"a\",\"what\":\"pages marked\"}");
	pages = pages_of(*state, "a");
	assert_true(pages > 0 && pages <= fe_log_count(&map));
	assert_int_equal(fe_guest_log_stop(a->g), 0);
	snprintf(members, sizeof(members),
		"{\"event\":\"migration\",\"port\":\"a\",\"what\":\"log off\",\"pages\":%lu}",
		pages_of(*state, "a"));
	expect_event(members);
	assert_int_equal(fe_conn_rarp(&a->g->conn, a->mac), 0);
	snprintf(members, sizeof(members),
		"{\"event\":\"migration\",\"port\":\"a\",\"what\":\"announced\","
		"\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\"}",
		a->mac[0], a->mac[1], a->mac[2], a->mac[3], a->mac[4], a->mac[5]);
	expect_event(members);
}

static void what_users_do_is_told(void **state)
{
	listen_to("{\"kinds\":[\"port\",\"configuration\"]}");
	json_decref(rig_call(*state, "port.add",
		json_pack("{s:s, s:s}", "name", "z", "socket", rig_path(*state, "z.sock"))));
	expect_event("{\"event\":\"port\",\"port\":\"z\",\"what\":\"added\"}");
	rig_port_set(*state, "z", "{\"description\":\"x\"}");
	expect_event("{\"event\":\"port\",\"port\":\"z\",\"what\":\"changed\"}");
	json_decref(rig_call(*state, "port.del", json_pack("{s:s}", "name", "z")));
	expect_event("{\"event\":\"port\",\"port\":\"z\",\"what\":\"removed\"}");
	json_decref(rig_call(*state, "config.apply",
		json_pack("{s:o}", "config", rig_call(*state, "config.get", NULL))));
	expect_event("{\"event\":\"configuration\",\"changes\":0,\"unchanged\":3}");
}

/* A flood of new hosts: most are told of, the others counted, and no frame waits for it. */
static void a_flood_of_hosts_is_counted(void **state)
{
	const json_int_t n = 3000 / (*(struct rig **)state)->slow;
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	json_int_t seen = 0, of_a = 0;
	uint8_t data[LEN], mac[6];
	const struct fe_frame f = {.data = data, .len = LEN};

	peers_meet(*state, a, b);
	listen_to("{\"kinds\":[\"learned\"]}");
	for (json_int_t i = 0; i < n; i++) {
		host_make(mac, (uint32_t)i + 100000);
		frame_make(data, LEN, b->mac, mac, 1);
		peer_send(*state, a, 0, &f);
		peer_expect(*state, b, b->mac, mac, LEN, 1);
	}
	while (seen < n) {
		json_t *event = next_line(), *params = json_object_get(event, "params");
		json_t *lost = json_object_get(params, "lost");

		seen += lost ? json_integer_value(lost) : 1;
		of_a += !lost;
		json_decref(event);
	}
	assert_int_equal(seen, n);
	assert_true(of_a > 0);
}

#define events_test(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		events_test(links_and_front_ends_come_and_go),
		events_test(hosts_are_learned_and_move),
		events_test(hosts_that_flap_are_named),
		events_test(a_broken_ring_is_named),
		events_test(steps_of_a_migration_are_told),
		events_test(what_users_do_is_told),
		events_test(a_flood_of_hosts_is_counted),
	};

	return cmocka_run_group_tests_name("events", tests, start, rig_stop);
}
