/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front-end that changes everything it may, at random, under traffic. The guest on port a has
 * four rings. One thread is its software: it sends and receives on both pairs, with the guest on
 * port b. The other is its front-end. No frame is damaged, and each one that does not arrive stands
 * in a drop counter.
 */
#include "fe_log.h"
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LEN_MIN 64
#define LEN_MAX 1500

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	if (rig_start(&rig, "ab", NULL))
		return -1;
	rig_allow(&rig, "config-space");
	return 0;
}

struct churn {
	struct peer *a, *b;
	uint32_t actions; /* to take */
	bool slots;       /* regions come and go one by one */
	uint64_t sent[2]; /* by a, by b */
	uint64_t got[2];  /* of what a sent, of what b sent */

	/* The front-end's. */
	struct fe_log logs[2];
	uint64_t random;
	bool logs_all;
	int err; /* of the action that failed */
	uint32_t failed;
	uint32_t done; /* the thread has ended */
};

static uint32_t draw(struct churn *c, uint32_t n)
{
	c->random = c->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(c->random >> 33) % n;
}

/* ---- the front-end ---- */

static int say_features(struct churn *c)
{
	struct fe_guest *g = c->a->g;

	c->logs_all = draw(c, 2);
	return fe_conn_set(
		&g->conn, VU_SET_FEATURES, g->features | (c->logs_all ? FE_BIT(VU_F_LOG_ALL) : 0));
}

static int say_addr(struct churn *c)
{
	uint32_t i = draw(c, 4);
	const struct fe_guest *g = c->a->g;
	const struct fe_queue *q = &g->queues[i];
	const struct vu_vring_addr addr = {
		.index = i,
		.flags = draw(c, 2) ? VU_VRING_LOG : 0,
		.desc = fe_guest_ring_addr(g, i, q->layout.desc),
		.avail = fe_guest_ring_addr(g, i, q->layout.driver),
		.used = fe_guest_ring_addr(g, i, q->layout.device),
		.log = q->gpa + q->layout.device,
	};

	return fe_conn_set_ring_addr(&c->a->g->conn, &addr);
}

static int say_log(struct churn *c)
{
	const struct fe_log *log = &c->logs[draw(c, 2)];

	return fe_conn_set_log(&c->a->g->conn, &log->base, log->fd, FE_LOG_ECHO);
}

static int say_fds(struct churn *c)
{
	static const enum vu_request requests[] = {
		VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR};
	uint32_t i = draw(c, 4), which = draw(c, 3);
	const struct fe_queue *q = &c->a->g->queues[i];
	const int fds[] = {q->kick_fd, q->call_fd, q->err_fd};

	return fe_conn_set_ring_fd(
		&c->a->g->conn, requests[which], i, draw(c, 4) ? fds[which] : -1);
}

static int disable_for_a_while(struct churn *c)
{
	uint32_t i = draw(c, 4), n = draw(c, 5);
	uint64_t value;
	int err = fe_guest_enable(c->a->g, i, false);

	while (!err && n--)
		err = fe_conn_get(&c->a->g->conn, VU_GET_FEATURES, &value);
	return err ? err : fe_guest_enable(c->a->g, i, true);
}

static int restart_a_ring(struct churn *c)
{
	uint32_t i = draw(c, 4);
	int err = fe_guest_stop_ring(c->a->g, i, NULL);

	return err ? err : fe_guest_start_ring(c->a->g, i);
}

static int change_memory(struct churn *c)
{
	static const struct vu_mem_region wire = {
		.gpa = 0x100000000, .size = 0x100000, .uva = 0x7d0000000000};
	struct fe_guest *g = c->a->g;
	int err;

	if (!c->slots)
		return fe_guest_share_memory(g);
	/* Any file that is long enough will do. */
	err = fe_conn_add_mem(&g->conn, &wire, g->mem.regions[0].fd);
	return err ? err : fe_conn_rem_mem(&g->conn, &wire, -1);
}

static int say_something_else(struct churn *c)
{
	struct fe_conn *conn = &c->a->g->conn;
	uint8_t config[12];
	uint64_t value;

	switch (draw(c, 6)) {
	case 0:
		return fe_conn_rarp(conn, c->a->mac);
	case 1:
		return fe_conn_set(conn, VU_NET_SET_MTU, 1280 + draw(c, 8000));
	case 2:
		return fe_conn_get_config(conn, 0, sizeof(config), config);
	case 3:
		return fe_conn_set_config(conn, 0, 6, VU_CONFIG_MIGRATION, c->a->mac);
	case 4:
		return fe_conn_set(conn, VU_SET_STATUS, 15);
	default:
		return fe_conn_get(conn, VU_GET_QUEUE_NUM, &value);
	}
}

static void *front_end(void *arg)
{
	static int (*const actions[])(struct churn * c) = {say_features, say_addr, say_log, say_fds,
		disable_for_a_while, restart_a_ring, change_memory, say_something_else};
	struct churn *c = arg;
	uint32_t i, which;

	for (i = 0; i < c->actions && !c->err; i++) {
		which = draw(c, RW_ARRAY_SIZE(actions));
		c->err = actions[which](c);
		c->failed = which;
	}
	__atomic_store_n(&c->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- the software of both guests ---- */

/* Frame `n` on its way: the number is in it, and all else follows from that. */
static uint32_t numbered(uint8_t *buf, const struct peer *to, const struct peer *from, uint64_t n)
{
	uint32_t len = LEN_MIN + (uint32_t)(n * 7919 % (LEN_MAX - LEN_MIN + 1));

	frame_make(buf, len, to->mac, from->mac, (uint32_t)n);
	memcpy(buf + 14, &n, sizeof(n));
	return len;
}

static void send_some(struct peer *from, struct peer *to, uint16_t pair, uint64_t *sent)
{
	static uint8_t buf[LEN_MAX];
	struct fe_frame f = {.data = buf};
	int i, err = 0;

	for (i = 0; i < 32; i++) {
		f.len = numbered(buf, to, from, *sent);
		err = fe_guest_put(from->g, pair, &f);
		if (err)
			break;
		++*sent;
	}
	assert_true(!err || err == -EAGAIN);
	fe_guest_flush(from->g, pair);
}

/* Whether there was a frame. */
static bool receive_one(struct peer *to, struct peer *from, uint16_t pair, uint64_t *got)
{
	static uint8_t buf[FRAME_MAX], want[LEN_MAX];
	struct fe_received in;
	uint64_t n;
	int err = fe_guest_recv(to->g, pair, buf, sizeof(buf), &in);

	if (err == -EAGAIN)
		return false;
	assert_int_equal(err, 0);
	if (memcmp(buf, to->mac, 6))
		return true; /* a RARP, which is for all */
	memcpy(&n, buf + 14, sizeof(n));
	assert_int_equal(in.len, numbered(want, to, from, n));
	assert_memory_equal(buf, want, in.len);
	++*got;
	return true;
}

static void receive_all(struct churn *c)
{
	uint16_t pair;

	while (receive_one(c->b, c->a, 0, &c->got[0]))
		;
	for (pair = 0; pair < 2; pair++)
		while (receive_one(c->a, c->b, pair, &c->got[1]))
			;
}

/* All drops of a direction of a port. */
static uint64_t drops_of(struct rig *r, const char *port, const char *direction)
{
	json_t *rows = rig_call(r, "port.stats", NULL), *row, *value;
	const char *name;
	uint64_t n = 0;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (strcmp(json_string_value(json_object_get(row, "name")), port))
			continue;
		json_object_foreach(json_object_get(json_object_get(row, direction), "drops"), name,
			value) n += (uint64_t)json_integer_value(value);
	}
	json_decref(rows);
	return n;
}

static uint64_t drops_on_the_way(struct rig *r, const char *from, const char *to)
{
	return drops_of(r, from, "rx") + drops_of(r, to, "tx");
}

static bool all_is_accounted_for(struct rig *r, struct churn *c, const uint64_t before[2])
{
	receive_all(c);
	return c->got[0] + drops_on_the_way(r, "a", "b") - before[0] == c->sent[0] &&
		c->got[1] + drops_on_the_way(r, "b", "a") - before[1] == c->sent[1];
}

static void churn(struct rig *r, uint64_t features, bool slots)
{
	struct fe_guest_config conf = guest_usual();
	struct churn c = {.actions = 1500 / (uint32_t)r->slow, .slots = slots, .random = features};
	const uint64_t before[2] = {drops_on_the_way(r, "a", "b"), drops_on_the_way(r, "b", "a")};
	pthread_t thread;
	uint64_t rounds;
	size_t i;

	conf.features |= features | FE_BIT(VIRTIO_NET_F_MQ);
	conf.protocol_features |= FE_BIT(VU_PF_LOG_SHMFD) | FE_BIT(VU_PF_RARP) |
		FE_BIT(VU_PF_CONFIG) | (slots ? FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS) : 0);
	/* Receivers have room for all that can be under way. */
	conf.tx_size = 64;
	conf.rx_size = 1024;
	c.b = peer_up(r, "b", &conf);
	conf.pairs = 2;
	c.a = peer_up(r, "a", &conf);
	for (i = 0; i < RW_ARRAY_SIZE(c.logs); i++)
		assert_int_equal(fe_log_init(&c.logs[i], fe_log_size_for(&c.a->g->mem), 64 * i), 0);
	assert_int_equal(say_log(&c), 0);
	assert_int_equal(pthread_create(&thread, NULL, front_end, &c), 0);
	for (rounds = 0; !__atomic_load_n(&c.done, __ATOMIC_ACQUIRE); rounds++) {
		send_some(c.a, c.b, rounds % 2, &c.sent[0]);
		send_some(c.b, c.a, 0, &c.sent[1]);
		receive_all(&c);
		rig_nap(); /* the front-end wants the CPU, too */
		if (rounds % 256 == 0)
			assert_true(rig_port_info(r, "a", "connected"));
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	if (c.err)
		fail_msg("action %u: %s", c.failed, strerror(-c.err));
	rig_wait(r, all_is_accounted_for(r, &c, before));
	/* Not everything was lost, and nothing was for want of buffers. */
	assert_true(c.got[0] > c.sent[0] / 4 && c.got[1] > c.sent[1] / 4);
	assert_true(fe_log_is_contained(&c.logs[0]) && fe_log_is_contained(&c.logs[1]));
	rig_clean((void **)&r);
	for (i = 0; i < RW_ARRAY_SIZE(c.logs); i++)
		fe_log_fini(&c.logs[i]);
}

static void split_rings_survive_any_change_under_traffic(void **state)
{
	churn(*state, 0, false);
}

static void packed_rings_survive_any_change_under_traffic(void **state)
{
	churn(*state, PACKED, false);
}

static void regions_come_and_go_under_traffic(void **state)
{
	churn(*state, 0, true);
	churn(*state, PACKED, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(split_rings_survive_any_change_under_traffic),
		rig_test(packed_rings_survive_any_change_under_traffic),
		rig_test(regions_come_and_go_under_traffic),
	};

	return cmocka_run_group_tests_name("churn", tests, start, rig_stop);
}
