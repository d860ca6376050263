/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Falling asleep against frames that come at that very moment: each arrives, and not by the kick of
 * a later one. RINGWAY_TEST_CYCLES=N does it N times in all, however long that takes (a worker
 * falls asleep after 100 us: a million, some minutes); RINGWAY_TEST_LATENCY=N shows instead how
 * long the first frame after N sleeps took, beside a worker that spins.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "idle.h"

/* Unless told otherwise: so many, or as many as each variant of the rings does in so many ms. */
#define CYCLES      100000u
#define CYCLES_LONG 1000000u
#define LIMIT_MS    5000u

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

static uint32_t from_env(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);

	return text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/*
 * Every other time, as soon as the worker has asked for a kick, or up to 2 us later: it looks at
 * the ring for the last time then, or falls asleep. Else up to 150 us after the last frame.
 */
static void choose_moment(const struct fe_ring *ring, uint32_t *x, uint32_t n, uint64_t limit)
{
	uint64_t begin = now_ns(), wait;

	*x = *x * 1664525u + 1013904223u;
	if (n & 1) {
		while (!is_armed(ring) && now_ns() - begin < limit)
			sched_yield(); /* the worker may share this CPU */
		begin = now_ns();
		wait = *x & 4 ? *x >> 21 : 0;
	} else {
		wait = (*x >> 8) % 150000;
	}
	while (now_ns() - begin < wait)
		rw_pause();
}

static void no_frame_is_slept_over(void **state)
{
	struct rig *r = *state;
	uint32_t all = rig_is_long() ? CYCLES_LONG : CYCLES;
	uint32_t cycles = from_env("RINGWAY_TEST_CYCLES", all) / IDLE_VARIANTS, x = 1, n;
	bool limited = !getenv("RINGWAY_TEST_CYCLES") && !rig_is_long();

	for (size_t i = 0; i < IDLE_VARIANTS; i++) {
		const struct fe_guest_config c = idle_variant(i);
		struct peer *ends[] = {peer_up(r, "a", &c), peer_up(r, "b", &c)};
		uint64_t before, until = rw_now_ms() + LIMIT_MS;

		peers_meet(r, ends[0], ends[1]);
		before = sleeps(r);
		for (n = 0; n < cycles && !(limited && rw_now_ms() > until); n++) {
			/* Two workers have a guest each: both shall fall asleep. */
			struct peer *from = ends[n / 64 & 1], *to = ends[~n / 64 & 1];

			choose_moment(&fe_guest_tx(from->g, 0)->ring, &x, n, 500000);
			peer_send_to(r, from, to->mac, 60, n);
			if (!peer_await(r, to))
				fail_msg("variant %zu: frame %u is slept over", i, n);
			fe_guest_reap(from->g, 0);
		}
		before = sleeps(r) - before;
		print_message("# variant %zu: %u frames, %lu sleeps\n", i, n, before);
		assert_true(before > n / 20);
		rig_clean(state);
	}
}

static int in_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The time from a kick to the frame, n times after 2 ms of silence. */
static void latency_show(struct rig *r, const char *what, uint32_t n)
{
	static const struct timespec silence = {.tv_nsec = 2000000};
	struct peer *a = peer_up(r, "a", NULL), *b = peer_up(r, "b", NULL);
	uint64_t *ns, median, late;

	assert_true(n > 0);
	ns = calloc((size_t)n + 1, sizeof(*ns));
	assert_non_null(ns);
	peers_meet(r, a, b);
	for (uint32_t i = 0; i < n; i++) {
		nanosleep(&silence, NULL);
		ns[i] = now_ns();
		peer_send_to(r, a, b->mac, 60, i);
		assert_true(peer_await(r, b));
		ns[i] = now_ns() - ns[i];
		fe_guest_reap(a->g, 0);
	}
	qsort(ns, n, sizeof(*ns), in_order);
	median = ns[n / 2];
	late = ns[n - 1 - n / 100];
	print_message("# %s: median %.1f us, 99 %% %.1f us\n", what, (double)median / 1000,
		(double)late / 1000);
	free(ns);
	rig_clean((void **)&r);
}

static void latency_of_the_first_frame(void **state)
{
	static struct rig spinning;
	const char *const more[] = {"--idle=spin", NULL};
	struct rig *r = &spinning;
	uint32_t n = from_env("RINGWAY_TEST_LATENCY", 0);

	latency_show(*state, "adaptive", n);
	assert_int_equal(rig_start(r, "ab", more), 0);
	latency_show(r, "spin", n);
	assert_int_equal(rig_stop((void **)&r), 0);
}

int main(void)
{
	const struct CMUnitTest storm[] = {rig_test(no_frame_is_slept_over)};
	const struct CMUnitTest latency[] = {rig_test(latency_of_the_first_frame)};

	if (getenv("RINGWAY_TEST_LATENCY"))
		return cmocka_run_group_tests_name("idle_latency", latency, start, rig_stop);
	return cmocka_run_group_tests_name("idle_storm", storm, start, rig_stop);
}
