/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers that sleep (--idle=adaptive): they do, it costs nothing, and whatever there is to do
 * wakes them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "hosts.h"
#include "idle.h"
#include "traffic.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abcd", NULL);
}

static struct peer *up(struct rig *r, const char *port, size_t variant)
{
	const struct fe_guest_config c = idle_variant(variant);

	return peer_up(r, port, &c);
}

/* A frame from a sleeping switch's guest to another. */
static void frame_wakes(struct rig *r, struct peer *from, struct peer *to, uint32_t seed)
{
	fall_asleep(r);
	peer_send_to(r, from, to->mac, 100, seed);
	peer_expect(r, to, to->mac, from->mac, 100, seed);
}

/* The daemon's CPU time, ns. */
static uint64_t cpu_ns(const struct rig *r)
{
	struct timespec t;
	clockid_t clock;

	assert_int_equal(clock_getcpuclockid(r->pid, &clock), 0);
	assert_int_equal(clock_gettime(clock, &t), 0);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Sum of a counter of the workers. */
static uint64_t worker_sum(struct rig *r, const char *key)
{
	json_t *rows = rig_call(r, "worker.list", NULL);
	const json_t *row;
	uint64_t n = 0;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		n += (uint64_t)json_integer_value(json_object_get(row, key));
	}
	json_decref(rows);
	return n;
}

static void an_idle_switch_uses_less_than_a_hundredth_of_a_cpu(void **state)
{
	const struct timespec second = {.tv_sec = 1};
	struct peer *a = up(*state, "a", 2), *b = up(*state, "b", 3);
	uint64_t cpu, wall, asleep, polls, most;
	struct rig *r = *state;
	unsigned tries = 0;

	duplex_check(r, a, b);
	/*
	 * Others may make the daemon work, through page faults and interrupts; it is not always
	 * them.
	 */
	do {
		fall_asleep(*state);
		asleep = worker_sum(*state, "asleep_cycles");
		polls = worker_sum(*state, "polls");
		cpu = cpu_ns(*state);
		wall = wall_ns();
		nanosleep(&second, NULL);
		cpu = cpu_ns(*state) - cpu;
		wall = wall_ns() - wall;
		/* What control's timers do in that time is as much dearer as waits are longer. */
		most = wall / 100 * (unsigned)r->slow;
		assert_int_equal(worker_sum(*state, "polls"), polls);
		assert_true(worker_sum(*state, "asleep_cycles") > asleep);
	} while (cpu >= most && ++tries < 5);
	if (cpu >= most)
		fail_msg("%lu us of %lu", cpu / 1000, wall / 1000);
	duplex_check(*state, a, b);
}

static void a_kick_wakes(void **state)
{
	for (size_t i = 0; i < IDLE_VARIANTS; i++) {
		struct peer *a = up(*state, "a", i), *b = up(*state, "b", 3 - i);
		uint64_t before;

		for (uint32_t n = 0; n < 20; n++) {
			before = sleeps(*state);
			frame_wakes(*state, a, b, n);
			frame_wakes(*state, b, a, n);
			fall_asleep(*state);
			assert_true(sleeps(*state) >= before + 2);
		}
		rig_clean(state);
	}
}

static void a_busy_worker_asks_for_no_kicks(void **state)
{
	for (size_t i = 0; i < IDLE_VARIANTS; i++) {
		struct peer *a = up(*state, "a", i), *b = up(*state, "b", i);

		fall_asleep(*state);
		assert_true(is_armed(&fe_guest_tx(a->g, 0)->ring));
		assert_true(is_armed(&fe_guest_tx(b->g, 0)->ring));
		/*
		 * Before anything arrives that was sent to a worker that slept, it has withdrawn
		 * its request for kicks.
		 */
		rig_wait(*state,
			(frame_wakes(*state, a, b, 1), !is_armed(&fe_guest_tx(a->g, 0)->ring)));
		rig_clean(state);
	}
}

static void a_message_wakes(void **state)
{
	for (size_t i = 0; i < IDLE_VARIANTS; i++) {
		struct fe_guest_config c = idle_variant(i);
		struct peer *a, *b = up(*state, "b", 0);

		c.protocol_features |= FE_BIT(VU_PF_BACKEND_REQ) |
			FE_BIT(VU_PF_INBAND_NOTIFICATIONS);
		a = peer_up(*state, "a", &c);
		for (uint32_t n = 0; n < 20; n++) {
			frame_wakes(*state, a, b, n);
			frame_wakes(*state, b, a, n);
		}
		rig_clean(state);
	}
}

static void ports_come_and_go_while_all_sleeps(void **state)
{
	struct peer *a = up(*state, "a", 0), *b = up(*state, "b", 1), *c;

	for (uint32_t n = 0; n < 10; n++) {
		frame_wakes(*state, a, b, n);
		fall_asleep(*state);
		c = up(*state, "c", n % IDLE_VARIANTS);
		peers_meet(*state, a, c);
		peer_drain(*state, b);
		frame_wakes(*state, c, a, n);
		frame_wakes(*state, a, c, n);
		fall_asleep(*state);
		peer_down(*state, c);
		frame_wakes(*state, b, a, n);
	}
}

static void a_ring_stops_at_rest_and_starts_awake(void **state)
{
	for (size_t i = 0; i < IDLE_VARIANTS; i++) {
		struct peer *a = up(*state, "a", i), *b = up(*state, "b", i);
		struct fe_queue *tx = fe_guest_tx(a->g, 0);
		eventfd_t kicks;

		for (uint32_t n = 0; n < 10; n++) {
			frame_wakes(*state, a, b, n);
			fall_asleep(*state);
			assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
			eventfd_read(tx->kick_fd, &kicks);
			/* Nobody asks for a kick any more, and none is needed. */
			assert_false(is_armed(&tx->ring));
			peer_send_to(*state, a, b->mac, 100, n);
			assert_int_equal(eventfd_read(tx->kick_fd, &kicks), -1);
			frame_wakes(*state, b, a, n);
			fall_asleep(*state);
			assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
			peer_expect(*state, b, b->mac, a->mac, 100, n);
		}
		rig_clean(state);
	}
}

static void a_new_kick_takes_the_place_of_the_old_one(void **state)
{
	struct peer *a = up(*state, "a", 2), *b = up(*state, "b", 2);
	struct fe_queue *tx = fe_guest_tx(a->g, 0);

	for (uint32_t n = 0; n < 10; n++) {
		int old = tx->kick_fd;
		uint64_t before;

		frame_wakes(*state, a, b, n);
		fall_asleep(*state);
		tx->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		assert_true(tx->kick_fd >= 0);
		assert_int_equal(
			fe_conn_set_ring_fd(&a->g->conn, VU_SET_VRING_KICK, 1, tx->kick_fd), 0);
		fall_asleep(*state);
		before = sleeps(*state);
		eventfd_write(old, 1);
		peer_sync(a);
		fall_asleep(*state);
		assert_int_equal(sleeps(*state), before);
		frame_wakes(*state, a, b, n);
		close(old);
	}
}

/* A shared, blocking, full or much-written eventfd is the front-end's own affair. */
static void strange_kicks_do_no_harm(void **state)
{
	struct peer *a = up(*state, "a", 0), *b = up(*state, "b", 1);
	struct fe_queue *tx = fe_guest_tx(a->g, 0);
	int one = eventfd(0, EFD_CLOEXEC);
	eventfd_t n;

	/* One for the rings of both guests, which somebody else reads. */
	assert_true(one >= 0);
	assert_int_equal(fe_conn_set_ring_fd(&a->g->conn, VU_SET_VRING_KICK, 1, one), 0);
	assert_int_equal(fe_conn_set_ring_fd(&b->g->conn, VU_SET_VRING_KICK, 1, one), 0);
	close(tx->kick_fd);
	tx->kick_fd = one;
	for (uint32_t i = 0; i < 20; i++) {
		frame_wakes(*state, a, b, i);
		eventfd_read(one, &n);
		fall_asleep(*state);
		for (uint32_t k = 0; k < 100; k++)
			eventfd_write(one, 1);
		eventfd_read(one, &n);
		frame_wakes(*state, a, b, i);
		/* Nearly full: the next kick fits. */
		fall_asleep(*state);
		eventfd_read(one, &n);
		eventfd_write(one, UINT64_MAX - 2);
		frame_wakes(*state, a, b, i);
		eventfd_read(one, &n);
	}
}

static void a_ring_without_a_kick_is_polled(void **state)
{
	struct peer *a = up(*state, "a", 2), *b = up(*state, "b", 2);
	struct fe_queue *tx = fe_guest_tx(a->g, 0);
	eventfd_t kicks;

	fall_asleep(*state);
	assert_int_equal(fe_conn_set_ring_fd(&a->g->conn, VU_SET_VRING_KICK, 1, -1), 0);
	eventfd_read(tx->kick_fd, &kicks);
	for (uint32_t n = 0; n < 200; n++) {
		rig_nap();
		assert_false(all_asleep(*state));
		assert_false(is_armed(&tx->ring));
		peer_send_to(*state, a, b->mac, 100, n);
		peer_expect(*state, b, b->mac, a->mac, 100, n);
	}
	assert_int_equal(eventfd_read(tx->kick_fd, &kicks), -1);
	assert_int_equal(fe_guest_ring_step(a->g, 1, FE_KICK), 0);
	frame_wakes(*state, a, b, 1);
}

static void a_disabled_ring_is_emptied_and_enabled_again(void **state)
{
	struct peer *a = up(*state, "a", 2), *b = up(*state, "b", 3);

	for (uint32_t n = 0; n < 10; n++) {
		uint64_t dropped = rig_counter(*state, "a", "rx", "drops.queue_disabled");

		frame_wakes(*state, a, b, n);
		fall_asleep(*state);
		assert_int_equal(fe_guest_enable(a->g, 1, false), 0);
		fall_asleep(*state);
		peer_send_to(*state, a, b->mac, 100, n);
		rig_wait(*state,
			rig_counter(*state, "a", "rx", "drops.queue_disabled") == dropped + 1);
		fall_asleep(*state);
		assert_int_equal(fe_guest_enable(a->g, 1, true), 0);
		frame_wakes(*state, a, b, n);
	}
}

static void an_announcement_wakes(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b;
	uint8_t mac[6];

	c.protocol_features |= FE_BIT(VU_PF_RARP);
	a = peer_up(*state, "a", &c);
	b = peer_up(*state, "b", &c);
	for (uint32_t n = 0; n < 50; n++) {
		host_make(mac, n);
		fall_asleep(*state);
		assert_int_equal(fe_conn_rarp(&a->g->conn, mac), 0);
		peer_expect_rarp(*state, b, mac, 0);
	}
	/* What was announced last is not learned after its port's addresses were forgotten. */
	fall_asleep(*state);
	assert_int_equal(fe_conn_rarp(&a->g->conn, mac), 0);
	peer_down(*state, a);
	assert_int_equal(host_port(*state, mac, 0), 0);
}

/* Each frame meets translations that nobody knows, while workers fall asleep. */
static void what_waits_for_a_translation_is_not_slept_over(void **state)
{
	const struct rig *r = *state;
	struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
	uint32_t x = 1;

	for (size_t i = 0; i < 2; i++) {
		struct peer *a, *b;

		c.features ^= i ? PACKED : 0;
		a = peer_up_linked(*state, "a", &c);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		for (uint32_t n = 0; n < 600u / (unsigned)r->slow; n++) {
			const struct timespec nap = {.tv_nsec = (x = x * 1664525u + 1) >> 14};

			nanosleep(&nap, NULL); /* up to 262 us */
			peer_send_to(*state, a, b->mac, 100, n);
			peer_send_to(*state, b, a->mac, 100, n);
			peer_expect(*state, b, b->mac, a->mac, 100, n);
			peer_expect(*state, a, a->mac, b->mac, 100, n);
		}
		rig_wait(*state, (peers_service(*state), all_asleep(*state)));
		rig_clean(state);
	}
}

static void forward(struct rig *r, const char *method, const char *mode)
{
	json_decref(rig_call(r, method, mode ? json_pack("{s:s}", "mode", mode) : NULL));
}

static void every_mode_sleeps_but_the_one_that_makes_frames(void **state)
{
	static const char *const modes[] = {"io", "mac", "macswap"};
	struct peer *a = up(*state, "a", 0), *b = up(*state, "b", 1);
	uint64_t taken;

	for (size_t i = 0; i < RW_ARRAY_SIZE(modes); i++) {
		forward(*state, "forward.set", modes[i]);
		fall_asleep(*state);
		peer_send_to(*state, a, b->mac, 100, 1);
		assert_true(peer_await(*state, b));
	}
	forward(*state, "forward.set", "rxonly");
	fall_asleep(*state);
	taken = rig_counter(*state, "a", "rx", "frames");
	peer_send_to(*state, a, b->mac, 100, 1);
	rig_wait(*state, rig_counter(*state, "a", "rx", "frames") == taken + 1);
	/* What waits in the rings while all is stopped keeps nobody awake. */
	forward(*state, "forward.stop", NULL);
	forward(*state, "forward.set", "switch");
	peer_send_to(*state, a, b->mac, 100, 1);
	fall_asleep(*state);
	forward(*state, "forward.start", NULL);
	peer_expect(*state, b, b->mac, a->mac, 100, 1);
	fall_asleep(*state);
	forward(*state, "forward.set", "txonly");
	for (uint32_t i = 0; i < 100; i++) {
		rig_nap();
		assert_false(all_asleep(*state));
	}
	assert_true(peer_await(*state, a) && peer_await(*state, b));
	forward(*state, "forward.set", "switch");
	fall_asleep(*state);
}

static void a_sleeping_daemon_ends_at_once(void **state)
{
	static struct rig other;
	struct rig *r = &other;
	struct peer *a, *b;

	(void)state;
	assert_int_equal(rig_start(r, "ab", NULL), 0);
	a = up(r, "a", 0);
	b = up(r, "b", 0);
	frame_wakes(r, a, b, 1);
	fall_asleep(r);
	/* SIGTERM to a daemon with guests; rig_stop allows it a second. */
	assert_int_equal(rig_stop((void **)&r), 0);
	r->npeers = 0;
	fe_guest_free(a->g);
	fe_guest_free(b->g);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(an_idle_switch_uses_less_than_a_hundredth_of_a_cpu),
		rig_test(a_kick_wakes),
		rig_test(a_busy_worker_asks_for_no_kicks),
		rig_test(a_message_wakes),
		rig_test(ports_come_and_go_while_all_sleeps),
		rig_test(a_ring_stops_at_rest_and_starts_awake),
		rig_test(a_new_kick_takes_the_place_of_the_old_one),
		rig_test(strange_kicks_do_no_harm),
		rig_test(a_ring_without_a_kick_is_polled),
		rig_test(a_disabled_ring_is_emptied_and_enabled_again),
		rig_test(an_announcement_wakes),
		rig_test(what_waits_for_a_translation_is_not_slept_over),
		rig_test(every_mode_sleeps_but_the_one_that_makes_frames),
		rig_test(a_sleeping_daemon_ends_at_once),
	};

	return cmocka_run_group_tests_name("idle", tests, start, rig_stop);
}
