/* SPDX-License-Identifier: BSD-3-Clause */
/* Traces: which frames are followed, which steps are noted, and what a full ring does. */
#include "switch_fixture.h"

#include "sw_trace.h"

#define MAX_STEPS (2 * SW_TRACE_STEPS)

/* What sw_trace_read gave last. */
static struct sw_step steps[MAX_STEPS];
static unsigned nsteps;
static uint64_t lost;

static void keep(void *arg, unsigned worker, const struct sw_step *step)
{
	(void)arg;
	assert_int_equal(worker, 0);
	assert_in_range(nsteps, 0, MAX_STEPS - 1);
	steps[nsteps++] = *step;
}

static void read_steps(struct sw_trace *t)
{
	nsteps = 0;
	lost = sw_trace_read(t, keep, NULL);
}

static struct sw_trace *follow(const struct fake *p, const struct sw_trace_filter *f, uint32_t max)
{
	struct sw_trace *t = sw_trace_new(sw, &p->port, f, max);

	assert_non_null(t);
	sw_commit(sw);
	return t;
}

/* The steps of that kind. */
static unsigned count(enum sw_see what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nsteps; i++)
		n += steps[i].what == what;
	return n;
}

static void nobody_has_frames(void)
{
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
}

/* Host 1 behind a and host 2 behind b have been heard. */
static void hosts_are_known(void)
{
	send_one(ports[1], UNTAGGED, BROADCAST, 2, 0);
	send_one(ports[0], UNTAGGED, BROADCAST, 1, 0);
	nobody_has_frames();
}

static void the_steps_of_a_frame_come_in_their_order(void **state)
{
	uint8_t want[MAX_LEN];
	uint32_t len = frame_make(want, UNTAGGED, 2, 1, 7);
	struct sw_trace *t;

	(void)state;
	hosts_are_known();
	t = follow(ports[0], NULL, 0);
	send_one(ports[0], UNTAGGED, 2, 1, 7);
	send_one(ports[1], UNTAGGED, 1, 2, 8); /* of another port */
	read_steps(t);
	assert_int_equal(lost, 0);
	assert_true(nsteps > 2);
	assert_int_equal(steps[0].what, SW_SEE_RX);
	assert_int_equal(steps[0].len, len);
	assert_memory_equal(steps[0].head, want, steps[0].head_len);
	for (unsigned i = 1; i < nsteps - 1; i++) {
		assert_int_equal(steps[i].what, SW_SEE_STAGES);
		assert_true(steps[i].at >= steps[i - 1].at);
	}
	assert_int_equal(steps[nsteps - 1].what, SW_SEE_TX);
	assert_int_equal(steps[nsteps - 1].port, ports[1]->port.id);
	for (unsigned i = 0; i < nsteps; i++)
		assert_int_equal(steps[i].frame, 1);
	/* What was read does not come again, and numbers go on. */
	read_steps(t);
	assert_int_equal(nsteps, 0);
	send_one(ports[0], UNTAGGED, 2, 1, 9);
	read_steps(t);
	assert_int_equal(steps[0].frame, 2);
	sw_trace_free(t);
	nobody_has_frames();
}

static void a_dropped_frame_ends_with_the_reason(void **state)
{
	struct sw_trace *t;

	(void)state;
	hosts_are_known();
	t = follow(ports[0], NULL, 0);
	ports[1]->nrefused = 1;
	send_one(ports[0], UNTAGGED, 2, 1, 7);
	ports[1]->nrefused = 0;
	read_steps(t);
	assert_int_equal(count(SW_SEE_TX), 0);
	assert_int_equal(steps[nsteps - 1].what, SW_SEE_DROP);
	assert_int_equal(steps[nsteps - 1].why, PORT_DROP_NO_BUFFER);
	assert_int_equal(steps[nsteps - 1].port, ports[1]->port.id);
	/* To a host on its own side. */
	send_one(ports[0], UNTAGGED, 1, 3, 7);
	read_steps(t);
	assert_int_equal(steps[0].what, SW_SEE_RX);
	assert_int_equal(steps[nsteps - 1].what, SW_SEE_DROP);
	assert_true(steps[nsteps - 1].rx);
	sw_trace_free(t);
}

static void chains_that_are_no_frames_are_one_step(void **state)
{
	const struct sw_trace_filter any_type = {.by_type = true, .type = 0x88b5};
	struct sw_trace *t = follow(ports[0], NULL, 0), *filtered = follow(ports[0], &any_type, 0);

	(void)state;
	ports[0]->nbad = 3;
	sw_round(sw, 0);
	read_steps(t);
	assert_int_equal(nsteps, 1);
	assert_int_equal(steps[0].what, SW_SEE_DROP);
	assert_int_equal(steps[0].why, PORT_DROP_BAD_CHAIN);
	assert_int_equal(steps[0].result, 3);
	/* They have nothing that a filter looks at. */
	read_steps(filtered);
	assert_int_equal(nsteps, 0);
	sw_trace_free(t);
	sw_trace_free(filtered);
}

/* How many of the frames below a filter follows. */
static unsigned followed(const struct sw_trace_filter *filter)
{
	struct sw_trace *t = follow(ports[0], filter, 0);

	put(ports[0], UNTAGGED, 2, 1, 0);
	put(ports[0], UNTAGGED, 3, 1, 0);
	put(ports[0], UNTAGGED, 2, 4, 0);
	put(ports[0], 10, 2, 1, 0);
	put(ports[0], 20, BROADCAST, 5, 0);
	sw_round(sw, 0);
	read_steps(t);
	sw_trace_free(t);
	nobody_has_frames();
	return count(SW_SEE_RX);
}

static void each_part_of_a_filter_counts(void **state)
{
	struct sw_trace_filter f = {.dst = {2, 0, 0, 0, 0, 2}, .src = {2, 0, 0, 0, 0, 1}};

	(void)state;
	assert_int_equal(followed(&f), 5);
	f.by_dst = true;
	assert_int_equal(followed(&f), 3);
	f.by_src = true;
	assert_int_equal(followed(&f), 2);
	f.by_vlan = true;
	assert_int_equal(followed(&f), 1);
	f.vlan = 10;
	assert_int_equal(followed(&f), 1);
	f.vlan = 20;
	assert_int_equal(followed(&f), 0);
	f.by_dst = f.by_src = false;
	assert_int_equal(followed(&f), 1);
	f = (struct sw_trace_filter){.by_type = true, .type = 0x88b5};
	assert_int_equal(followed(&f), 5); /* behind a tag, too */
	f.type = 0x8100;
	assert_int_equal(followed(&f), 0);
}

static void a_trace_ends_after_so_many_frames(void **state)
{
	struct sw_trace *t = follow(ports[0], NULL, 3);

	(void)state;
	for (uint8_t i = 0; i < 2; i++)
		put(ports[0], UNTAGGED, 2, 1, i);
	sw_round(sw, 0);
	assert_false(sw_trace_has_ended(t));
	for (uint8_t i = 0; i < 2; i++)
		put(ports[0], UNTAGGED, 2, 1, i);
	sw_round(sw, 0);
	assert_true(sw_trace_has_ended(t));
	read_steps(t);
	assert_int_equal(count(SW_SEE_RX), 3);
	sw_trace_free(t);
	nobody_has_frames();
}

/* The steps that were read are those of whole frames: from RX to what became of it. */
static void frames_are_whole(void)
{
	for (unsigned i = 0; i < nsteps; i++) {
		bool first = steps[i].what == SW_SEE_RX;

		assert_true(first == (!i || steps[i].frame != steps[i - 1].frame));
		if (i && first)
			assert_true(steps[i - 1].what == SW_SEE_TX);
	}
	assert_true(!nsteps || steps[nsteps - 1].what == SW_SEE_TX);
}

static void a_full_ring_loses_parts_of_the_trace_and_no_frame(void **state)
{
	struct sw_trace *t;
	unsigned frames;

	(void)state;
	hosts_are_known();
	t = follow(ports[0], NULL, 0);
	for (unsigned i = 0; i < SW_TRACE_STEPS; i++) {
		send_one(ports[0], UNTAGGED, 2, 1, (uint8_t)i);
		expect(ports[1], UNTAGGED, 2, 1, (uint8_t)i);
	}
	read_steps(t);
	frames = count(SW_SEE_RX);
	assert_in_range(nsteps, SW_TRACE_STEPS / 2, SW_TRACE_STEPS);
	frames_are_whole();
	/* Each frame was followed, or counted as lost. */
	assert_int_equal(frames + lost, SW_TRACE_STEPS);
	/* It has room again, and tells what was lost once. */
	send_one(ports[0], UNTAGGED, 2, 1, 1);
	read_steps(t);
	assert_int_equal(lost, 0);
	assert_int_equal(count(SW_SEE_RX), 1);
	frames_are_whole();
	sw_trace_free(t);
	nobody_has_frames();
}

/* A flood has more steps than the room that is kept for a burst: some are lost, and counted. */
static void a_burst_with_more_steps_than_room_is_counted(void **state)
{
	struct sw_trace *t = follow(ports[0], NULL, 0);

	(void)state;
	for (unsigned round = 0; round < 2 * SW_TRACE_STEPS / FRAME_BURST; round++) {
		for (uint8_t i = 0; i < FRAME_BURST; i++)
			put(ports[0], UNTAGGED, BROADCAST, 1, i);
		sw_round(sw, 0);
		for (unsigned i = 1; i < NPORTS; i++)
			assert_int_equal(ports[i]->ngot, FRAME_BURST);
		nobody_has_frames();
	}
	read_steps(t);
	assert_true(lost > 0);
	assert_in_range(nsteps, 1, SW_TRACE_STEPS);
	for (uint8_t i = 0; i < FRAME_BURST; i++)
		put(ports[0], UNTAGGED, BROADCAST, 1, i);
	sw_round(sw, 0);
	read_steps(t);
	assert_int_equal(lost, 0);
	assert_int_equal(count(SW_SEE_RX), FRAME_BURST);
	assert_int_equal(count(SW_SEE_TX), FRAME_BURST * (NPORTS - 1));
	sw_trace_free(t);
	nobody_has_frames();
}

static void a_trace_ends_with_its_port(void **state)
{
	struct fake *p = ports[4];
	struct sw_trace *t = follow(p, NULL, 0);

	(void)state;
	assert_false(sw_trace_has_ended(t));
	sw_rxq_set(sw, &p->port, 0, NULL);
	sw_txq_set(sw, &p->port, 0, NULL);
	sw_commit(sw);
	sw_port_del(sw, &p->port);
	assert_true(sw_trace_has_ended(t));
	read_steps(t);
	assert_int_equal(nsteps, 0);
	sw_trace_free(t);
	assert_int_equal(sw_port_add(sw, &p->port), 0);
	sw_commit(sw);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(the_steps_of_a_frame_come_in_their_order),
		TEST(a_dropped_frame_ends_with_the_reason),
		TEST(chains_that_are_no_frames_are_one_step),
		TEST(each_part_of_a_filter_counts),
		TEST(a_trace_ends_after_so_many_frames),
		TEST(a_full_ring_loses_parts_of_the_trace_and_no_frame),
		TEST(a_burst_with_more_steps_than_room_is_counted),
		TEST(a_trace_ends_with_its_port),
	};

	(void)argc;
	return run(argv[0], tests, RW_ARRAY_SIZE(tests), "trace");
}
