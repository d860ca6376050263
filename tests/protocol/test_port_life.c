/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports that come and go while the switch runs (port.add, port.del). Ports y and z are canaries:
 * they exchange frames all the while, and not one is lost. RINGWAY_TEST_CYCLES=N adds and deletes N
 * ports.
 */
#include "holdings.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rw_sock.h"

#define CYCLES      200
#define CYCLES_LONG 10000
#define WARM_UP     40 /* cycles until caches of the C library are filled */
#define BURST       32
#define LEN         200

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "yz", NULL);
}

static json_t *add_params(const struct rig *r, const char *name)
{
	char file[PEER_PORT_MAX + 6];

	snprintf(file, sizeof(file), "%s.sock", name);
	return json_pack("{s:s, s:s}", "name", name, "socket", rig_path(r, file));
}

static void add(struct rig *r, const char *name)
{
	json_decref(rig_call(r, "port.add", add_params(r, name)));
}

static void del(struct rig *r, const char *name)
{
	json_decref(rig_call(r, "port.del", json_pack("{s:s}", "name", name)));
}

/* ---- many times, under traffic ---- */

/*
 * What the thread needs that adds and deletes ports. It makes no assertion: that is for the other
 * thread.
 */
struct life {
	int ctl; /* a control connection of its own */
	struct peer *guests[2];
	json_t *add, *del; /* parameters */
	char path[64];
	uint32_t cycles;
	char why[640]; /* what went wrong, or "" */
	uint32_t done;
};

static bool tell(struct life *l, uint32_t cycle, const char *what, int err)
{
	if (err)
		snprintf(l->why, sizeof(l->why), "cycle %u: %s: %s", cycle, what, strerror(-err));
	return !err;
}

static bool ask(struct life *l, const struct rig *r, const char *method, const json_t *params)
{
	struct ctl_failure fail;
	json_t *answer = ctl_call(l->ctl, method, params, rig_patience(r), &fail);

	if (!answer)
		snprintf(l->why, sizeof(l->why), "%s: %s", method, fail.message);
	json_decref(answer);
	return answer;
}

/* Frames for all, which may be on their way when the port goes. */
static void shout(struct peer *p)
{
	uint8_t buf[LEN];
	const struct fe_frame f = {.data = buf, .len = sizeof(buf)};

	frame_make(buf, sizeof(buf), mac_broadcast, p->mac, 1);
	for (int i = 0; i < 8 && !fe_guest_put(p->g, 0, &f); i++)
		;
	fe_guest_flush(p->g, 0);
}

/* One port's life: without a front-end, with one that does nothing, with a guest that runs. */
static bool live(struct life *l, const struct rig *r, uint32_t cycle)
{
	struct peer *p = l->guests[cycle & 1];
	uint32_t how = cycle / 2 % 4;

	if (!ask(l, r, "port.add", l->add))
		return false;
	if (how && !tell(l, cycle, "connect", fe_guest_connect(p->g, l->path)))
		return false;
	if (how > 1) {
		if (!tell(l, cycle, "start", fe_guest_start(p->g)))
			return false;
		shout(p);
	}
	if (how == 3)
		fe_guest_disconnect(p->g);
	if (!ask(l, r, "port.del", l->del))
		return false;
	if (how && how != 3)
		fe_guest_disconnect(p->g);
	return true;
}

static void *lives(void *arg)
{
	struct life *l = arg;

	for (uint32_t i = 0; i < l->cycles && live(l, &rig, i); i++)
		;
	__atomic_store_n(&l->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* A burst from one canary to the other arrives whole. */
static void burst_check(struct rig *r, struct peer *from, struct peer *to, uint32_t seed)
{
	static uint8_t buf[FRAME_MAX], want[LEN];
	struct fe_received in;

	for (uint32_t i = 0; i < BURST; i++)
		peer_send_to(r, from, to->mac, LEN, seed + i);
	for (uint32_t i = 0; i < BURST;) {
		peer_recv(r, to, 0, buf, &in);
		if (!memcmp(buf, mac_broadcast, 6))
			continue;
		frame_make(want, LEN, to->mac, from->mac, seed + i++);
		assert_int_equal(in.len, LEN);
		assert_memory_equal(buf, want, LEN);
	}
}

/* Add and delete so many ports while the canaries exchange frames. */
static void live_under_traffic(struct rig *r, struct life *l, struct peer *y, struct peer *z)
{
	uint32_t seed = 0;
	pthread_t thread;

	l->done = 0;
	/* The guests that come and go, made last, are the other thread's meanwhile. */
	r->npeers -= RW_ARRAY_SIZE(l->guests);
	assert_int_equal(pthread_create(&thread, NULL, lives, l), 0);
	do {
		burst_check(r, y, z, seed);
		burst_check(r, z, y, seed);
		seed += BURST;
		rig_nap(); /* the other thread wants the CPU, too */
	} while (!__atomic_load_n(&l->done, __ATOMIC_ACQUIRE));
	assert_int_equal(pthread_join(thread, NULL), 0);
	r->npeers += RW_ARRAY_SIZE(l->guests);
	if (l->why[0])
		fail_msg("%s", l->why);
}

static void ports_come_and_go_and_no_frame_of_others_is_lost(void **state)
{
	const char *wanted = getenv("RINGWAY_TEST_CYCLES");
	struct fe_guest_config packed = guest_usual(), canary = guest_usual();
	struct rig *r = *state;
	struct holdings before, after;
	struct peer *y, *z;
	struct life l = {.cycles = WARM_UP};

	packed.features |= PACKED;
	canary.rx_size = 1024; /* room for what the others shout, too */
	y = peer_up(r, "y", &canary);
	z = peer_up(r, "z", &canary);
	peers_meet(r, y, z);
	l.guests[0] = peer_new(r, "v", NULL);
	l.guests[1] = peer_new(r, "v", &packed);
	snprintf(l.path, sizeof(l.path), "%s", rig_path(r, "v.sock"));
	l.add = add_params(r, "v");
	l.del = json_pack("{s:s}", "name", "v");
	l.ctl = rw_sock_connect(rig_path(r, "ctl"));
	assert_true(l.ctl >= 0);
	live_under_traffic(r, &l, y, z);
	before = holdings(r);
	l.cycles = wanted ? (uint32_t)atoi(wanted) : rig_is_long() ? CYCLES_LONG : CYCLES;
	live_under_traffic(r, &l, y, z);
	after = holdings(r);
	print_message("# %u ports: %u descriptors, %u mappings, %lu KiB of heap; before %lu KiB\n",
		l.cycles, after.fds, after.mappings, after.heap_kib, before.heap_kib);
	holdings_are_flat(r, &before);
	json_decref(l.add);
	json_decref(l.del);
	close(l.ctl);
}

/* ---- once, step by step ---- */

static void a_port_that_was_added_is_like_any_other(void **state)
{
	struct rig *r = *state;
	struct peer *y = peer_up(r, "y", NULL), *v;

	add(r, "v");
	v = peer_up(r, "v", NULL);
	peers_meet(r, y, v);
	duplex_check(r, y, v);
	/* Without a front-end it waits for the next one. */
	peer_down(r, v);
	peer_start(r, v);
	peers_meet(r, y, v);
	duplex_check(r, y, v);
	del(r, "v");
}

static void nothing_of_a_port_is_left_for_the_next_one(void **state)
{
	struct rig *r = *state;
	struct peer *y = peer_up(r, "y", NULL), *v, *w;
	json_t *list;

	add(r, "v");
	json_decref(rig_call(
		r, "fdb.add", json_pack("{s:s, s:s}", "mac", "02:00:00:00:00:99", "port", "v")));
	v = peer_up(r, "v", NULL);
	peers_meet(r, y, v);
	del(r, "v");
	assert_int_not_equal(access(rig_path(r, "v.sock"), F_OK), 0);
	add(r, "w");
	w = peer_up(r, "w", NULL);
	/* It has the same id, and neither the addresses nor the counters. */
	list = rig_call(r, "fdb.list", json_pack("{s:s}", "port", "w"));
	assert_int_equal(json_array_size(json_object_get(list, "entries")), 0);
	json_decref(list);
	assert_int_equal(rig_counter(r, "w", "rx", "frames"), 0);
	assert_int_equal(rig_counter(r, "w", "tx", "frames"), 0);
	peer_send_to(r, y, v->mac, 100, 7);
	peer_expect(r, w, v->mac, y->mac, 100, 7);
	del(r, "w");
}

static void a_front_end_learns_that_its_port_is_deleted(void **state)
{
	struct rig *r = *state;
	struct peer *v;
	uint64_t features;
	int err;

	add(r, "v");
	v = peer_up(r, "v", NULL);
	del(r, "v");
	err = fe_conn_get(&v->g->conn, VU_GET_FEATURES, &features);
	assert_true(err == -ECONNRESET || err == -EPIPE);
	assert_int_equal(fe_guest_connect(v->g, rig_path(r, "v.sock")), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_port_that_was_added_is_like_any_other),
		rig_test(nothing_of_a_port_is_left_for_the_next_one),
		rig_test(a_front_end_learns_that_its_port_is_deleted),
		rig_test(ports_come_and_go_and_no_frame_of_others_is_lost),
	};

	return cmocka_run_group_tests_name("port_life", tests, start, rig_stop);
}
