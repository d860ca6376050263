/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Another ringwayd takes over from the one that runs (app/ringwayd/takeover.h), while guests send
 * numbered frames to each other: none is lost, none comes twice, nobody sees a disconnect.
 */
#include "upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "takeover.h"
#include "takeover_wire.h"
#include "vu_wire.h"

#define LEN    200 /* bytes of a frame */
#define WINDOW 64  /* frames under way: fewer than a receive ring has buffers */

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

/* ---- load ---- */

/* One direction of numbered frames. */
struct flow {
	struct peer *from, *to;
	uint32_t sent, got;
};

static void flow_send(struct flow *f)
{
	uint8_t buf[LEN];
	const struct fe_frame frame = {.data = buf, .len = LEN};

	while (f->sent - f->got < WINDOW) {
		frame_make(buf, LEN, f->to->mac, f->from->mac, f->sent);
		memcpy(buf + 14, &f->sent, sizeof(f->sent));
		if (fe_guest_put(f->from->g, 0, &frame))
			break;
		f->sent++;
	}
	fe_guest_flush(f->from->g, 0);
}

/* Each frame is the next one: none is missing, none comes again, none is wrong. */
static void flow_receive(struct flow *f)
{
	static uint8_t got[FRAME_MAX], want[LEN];
	struct fe_received in;
	uint32_t n;
	int err;

	while (!(err = fe_guest_recv(f->to->g, 0, got, sizeof(got), &in))) {
		memcpy(&n, got + 14, sizeof(n));
		assert_int_equal(in.len, LEN);
		assert_int_equal(n, f->got);
		frame_make(want, LEN, f->to->mac, f->from->mac, n);
		memcpy(want + 14, &n, sizeof(n));
		assert_memory_equal(got, want, LEN);
		f->got++;
	}
	assert_int_equal(err, -EAGAIN);
}

struct load {
	struct flow ab, ba;
};

static void load_step(struct load *l)
{
	flow_send(&l->ab);
	flow_send(&l->ba);
	flow_receive(&l->ab);
	flow_receive(&l->ba);
	rig_nap();
}

static bool load_arrived(struct load *l)
{
	flow_receive(&l->ab);
	flow_receive(&l->ba);
	return l->ab.got == l->ab.sent && l->ba.got == l->ba.sent;
}

static void load_for(struct load *l, uint32_t frames)
{
	uint32_t ab = l->ab.got + frames, ba = l->ba.got + frames;

	while (l->ab.got < ab || l->ba.got < ba)
		load_step(l);
}

/* Guests on a and b that know each other. */
static struct load load_begin(struct rig *r, uint64_t features)
{
	struct fe_guest_config c = guest_usual();
	struct load l;

	c.features |= features;
	l.ab = (struct flow){.from = peer_up(r, "a", &c), .to = peer_up(r, "b", &c)};
	l.ba = (struct flow){.from = l.ab.to, .to = l.ab.from};
	peers_meet(r, l.ab.from, l.ab.to);
	return l;
}

static void load_goes_on(void *arg)
{
	load_step(arg);
}

/* Take over while the load goes on. */
static void takeover(struct rig *r, struct load *l)
{
	upgrade(r, load_goes_on, l);
}

/* ---- the tests ---- */

static void nothing_is_lost(struct rig *r, uint64_t features, unsigned times)
{
	struct load l = load_begin(r, features);
	uint64_t before, sent;

	load_for(&l, 500);
	for (unsigned i = 0; i < times; i++) {
		before = rig_counter(r, "a", "rx", "frames");
		sent = l.ab.sent;
		takeover(r, &l);
		load_for(&l, 500);
		/* Counters go on where they were. */
		rig_wait(r, load_arrived(&l));
		assert_true(rig_counter(r, "a", "rx", "frames") >= before + l.ab.sent - sent);
		assert_int_equal(rig_counter(r, "b", "tx", "drops.no_buffer"), 0);
	}
	rig_clean((void **)&r);
}

static void split_rings_go_on_in_the_successor(void **state)
{
	nothing_is_lost(*state, 0, 2);
}

static void packed_rings_go_on_in_the_successor(void **state)
{
	nothing_is_lost(*state, PACKED, 1);
}

/* ---- how long queues rest ---- */

#define MANY 100

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* What the successors said, milliseconds, the first MANY of them. How many there were. */
static size_t rests_read(const struct rig *r, double ms[MANY])
{
	FILE *f = fopen(rig_path(r, "log"), "re");
	char line[256];
	size_t n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		const char *said = strstr(line, "took over "), *at = strstr(line, "rested for ");

		if (said && at && n < MANY)
			ms[n++] = strtod(at + strlen("rested for "), NULL);
	}
	fclose(f);
	return n;
}

/* Nothing is lost however often, and how long that takes is told: it depends on the machine. */
static void a_hundred_takeovers_lose_nothing(void **state)
{
	struct load l = load_begin(*state, 0);
	double ms[MANY];
	size_t n;

	if (!rig_is_long())
		return;
	for (unsigned i = 0; i < MANY; i++) {
		load_for(&l, 100);
		takeover(*state, &l);
	}
	load_for(&l, 100);
	rig_wait(*state, load_arrived(&l));
	n = rests_read(*state, ms);
	assert_int_equal(n, MANY);
	qsort(ms, n, sizeof(ms[0]), compare);
	print_message("# queues rested for %.3f ms (p50), %.3f ms (p99), %.3f ms (most)\n",
		ms[n / 2], ms[n - 1 - n / 100], ms[n - 1]);
}

/* ---- successors that fail ---- */

/* How far one comes, and what it does there. */
enum stage {
	ENDS_AT_ONCE,
	ENDS_WITH_FILES,
	ENDS_PREPARED,
	ENDS_BEFORE_THE_STOP,
	ENDS_BETWEEN_PORTS,
	ENDS_WITH_ALL, /* and before it says so */
	REFUSES,
	SAYS_NOTHING,
	STAGES,
};

static void say(int fd, const char *step)
{
	assert_int_equal(takeover_send(fd, json_pack("{s:s}", "step", step), NULL, 1000), 0);
}

/* Wait for a text of that step, behind any of others. */
static void hear(struct rig *r, int fd, const char *step)
{
	static struct takeover_fds fds;
	bool found = false;
	json_t *text;

	while (!found) {
		assert_int_equal(takeover_receive(fd, &text, &fds, rig_patience(r)), 0);
		found = !strcmp(step, json_string_value(json_object_get(text, "step")));
		takeover_fds_close(&fds);
		json_decref(text);
	}
}

/* A successor that comes so far. Its connection is closed by the end, or by the caller. */
static int comes_to(struct rig *r, enum stage stage)
{
	struct ctl_failure why;
	int fd = upgrade_call(r, TAKEOVER_VERSION, TAKEOVER_READS, &why);

	assert_true(fd >= 0);
	if (stage == ENDS_AT_ONCE)
		return fd;
	say(fd, "files");
	hear(r, fd, "files");
	if (stage == ENDS_WITH_FILES)
		return fd;
	say(fd, "prepare");
	hear(r, fd, "prepared");
	if (stage == ENDS_PREPARED)
		return fd;
	say(fd, "take");
	hear(r, fd, "ready");
	if (stage == ENDS_BEFORE_THE_STOP)
		return fd;
	say(fd, "ready");
	hear(r, fd, "port");
	if (stage == ENDS_BETWEEN_PORTS)
		return fd;
	hear(r, fd, "rest");
	if (stage == REFUSES)
		say(fd, "refused");
	return fd;
}

static void until_the_point_of_no_return_the_old_one_goes_on(void **state)
{
	struct rig *r = *state;

	for (int packed = 0; packed < 2; packed++) {
		struct load l = load_begin(r, packed ? PACKED : 0);

		/* One that says nothing takes its time. */
		for (enum stage stage = 0; stage < (packed ? SAYS_NOTHING : STAGES); stage++) {
			int fd;

			load_for(&l, 100);
			flow_send(&l.ab);
			flow_send(&l.ba);
			fd = comes_to(r, stage);
			if (stage != SAYS_NOTHING)
				close(fd);
			load_for(&l, 300);
			if (stage == SAYS_NOTHING)
				close(fd);
			rig_wait(r, load_arrived(&l));
			assert_true(rig_port_info(r, "a", "connected"));
		}
		/* And a real one still succeeds. */
		takeover(r, &l);
		load_for(&l, 300);
		rig_clean((void **)&r);
	}
}

static void who_speaks_another_version_is_refused_before_anything_stops(void **state)
{
	struct load l = load_begin(*state, 0);
	struct ctl_failure why;
	int fd;

	assert_int_equal(
		upgrade_call(*state, TAKEOVER_VERSION + 1, TAKEOVER_VERSION + 1, &why), -1);
	assert_non_null(strstr(why.message, "restart the switch instead"));
	assert_int_equal(upgrade_call(*state, TAKEOVER_READS - 1, 0, &why), -1);
	load_for(&l, 100);
	/* One that can read ours is no other one. */
	fd = upgrade_call(*state, TAKEOVER_VERSION + 1, TAKEOVER_READS, &why);
	assert_true(fd >= 0);
	/* One at a time. */
	assert_int_equal(upgrade_call(*state, TAKEOVER_VERSION, TAKEOVER_READS, &why), -1);
	assert_non_null(strstr(why.message, "busy: process"));
	close(fd);
	takeover(*state, &l);
	load_for(&l, 100);
}

/* ---- what goes along ---- */

/* The addresses that the switch knows: their number, or behind which port one is. */
static json_t *addresses(struct rig *r)
{
	json_t *page = rig_call(r, "fdb.list", NULL), *all = json_object(), *e;
	size_t i;

	json_array_foreach(json_object_get(page, "entries"), i, e)
	{
		json_object_set_new(all, json_string_value(json_object_get(e, "mac")),
			json_pack("[O, O, O]", json_object_get(e, "port"),
				json_object_get(e, "vlan"), json_object_get(e, "static")));
	}
	json_decref(page);
	return all;
}

static void all_that_was_said_to_the_switch_holds(void **state)
{
	struct load l = load_begin(*state, 0);
	struct rig *r = *state;
	json_t *before, *after, *known;

	json_decref(rig_call(r, "port.add",
		json_pack("{s:s, s:s, s:s}", "name", "new", "socket", rig_path(r, "new.sock"),
			"vlan", "7")));
	json_decref(rig_call(r, "fdb.add",
		json_pack(
			"{s:s, s:s, s:i}", "mac", "52:54:00:aa:bb:cc", "port", "new", "vlan", 7)));
	rig_port_set(r, "c", "{\"max-addresses\": \"3\"}");
	load_for(&l, 100);
	before = rig_call(r, "config.get", NULL);
	known = addresses(r);
	assert_true(json_object_size(known) >= 3);
	takeover(r, &l);
	after = rig_call(r, "config.get", NULL);
	assert_true(json_equal(json_object_get(before, "ports"), json_object_get(after, "ports")));
	json_decref(before);
	json_decref(after);
	after = addresses(r);
	assert_true(json_equal(known, after));
	json_decref(known);
	json_decref(after);
	load_for(&l, 100);
	/* A guest can attach to a socket that moved, and a port that moved can go. */
	peer_up(r, "c", NULL);
	json_decref(rig_call(r, "port.del", json_pack("{s:s}", "name", "new")));
	assert_int_not_equal(access(rig_path(r, "new.sock"), F_OK), 0);
}

/* A front-end is in the middle of a message. */
static void a_message_that_has_arrived_in_part_goes_along(void **state)
{
	static const uint8_t ask[12] = {VU_GET_FEATURES, 0, 0, 0, VU_VERSION};
	struct load l = load_begin(*state, 0);
	int fd = l.ab.from->g->conn.fd;
	uint8_t reply[20];
	size_t have = 0;

	assert_int_equal(write(fd, ask, 5), 5);
	load_for(&l, 100);
	takeover(*state, &l);
	assert_int_equal(write(fd, ask + 5, sizeof(ask) - 5), sizeof(ask) - 5);
	while (have < sizeof(reply)) {
		ssize_t n = read(fd, reply + have, sizeof(reply) - have);

		assert_true(n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
		have += n > 0 ? (size_t)n : 0;
		rig_nap();
	}
	assert_int_equal(reply[0], VU_GET_FEATURES);
	assert_int_equal(reply[8], 8);
	load_for(&l, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_hundred_takeovers_lose_nothing),
		rig_test(split_rings_go_on_in_the_successor),
		rig_test(packed_rings_go_on_in_the_successor),
		rig_test(until_the_point_of_no_return_the_old_one_goes_on),
		rig_test(who_speaks_another_version_is_refused_before_anything_stops),
		rig_test(all_that_was_said_to_the_switch_holds),
		rig_test(a_message_that_has_arrived_in_part_goes_along),
	};

	return cmocka_run_group_tests_name("takeover", tests, start, rig_stop);
}
