/* SPDX-License-Identifier: BSD-3-Clause */
/* What is counted on request: sizes, VLANs, talkers, latencies, and how much memory that takes. */
#include "switch_fixture.h"

#include <pthread.h>

#include "count.h"
#include "rw_lock.h"

static struct sw_count *counts[SW_NUM_COUNT_KINDS];

/* Count for one port, or for all (NULL). */
static struct sw_count *count(enum sw_count_kind kind, const struct fake *p)
{
	const struct port *port = p ? &p->port : NULL;

	assert_int_equal(sw_count_start(sw, kind, &port, p ? 1 : 0, &counts[kind]), 0);
	return counts[kind];
}

static int finish(void **state)
{
	for (unsigned i = 0; i < SW_NUM_COUNT_KINDS; i++) {
		sw_count_stop(counts[i]);
		counts[i] = NULL;
	}
	return end(state);
}

/* Hosts 0 to 4 are behind ports a to e. */
static void learn_all(void)
{
	for (unsigned i = 0; i < NPORTS; i++)
		send_one(ports[i], UNTAGGED, BROADCAST, (uint8_t)i, 0);
	for (unsigned i = 0; i < NPORTS; i++)
		ports[i]->ngot = 0;
}

/* ---- sizes ---- */

/* Have the watch see a frame of that length at port a. */
static void sizes_see(const struct sw_count *c, enum sw_see what, uint32_t len)
{
	struct frame f = {.len = len}, *list[1] = {&f};
	const struct sw_sight s = {.what = what, .port = 0, .n = 1, .frames = list};

	c->ops->see(c, c->parts[0], &s);
}

static void sizes_are_those_of_the_rfc(void **state)
{
	/* The greatest length of each bin; the frame check sequence of 4 comes to it. */
	static const uint32_t last[] = {59, 60, 123, 251, 507, 1019, 1514, 9212, 65553};
	const struct sw_count *c = count(SW_COUNT_SIZES, NULL);
	struct sw_sizes sizes;

	(void)state;
	assert_int_equal(RW_ARRAY_SIZE(last), SW_SIZES);
	for (unsigned i = 0; i < SW_SIZES; i++) {
		sizes_see(c, SW_SEE_RX, last[i]);
		sizes_see(c, SW_SEE_TX, i ? last[i - 1] + 1 : 14);
		sw_sizes_read(c, &ports[0]->port, &sizes);
		assert_int_equal(sizes.rx[i], 1);
		assert_int_equal(sizes.tx[i], 1);
		assert_int_equal(sw_size_least[i], i ? last[i - 1] + 5 : 0);
	}
}

static void sizes_are_counted_where_frames_come_and_go(void **state)
{
	const struct sw_count *c;
	struct sw_sizes sizes;

	(void)state;
	learn_all();
	c = count(SW_COUNT_SIZES, NULL);
	for (unsigned i = 0; i < 7; i++)
		put(ports[0], UNTAGGED, 1, 0, 0);
	sw_round(sw, 0);
	sw_sizes_read(c, &ports[0]->port, &sizes);
	assert_int_equal(sizes.rx[2], 7); /* 100 bytes and 4 */
	assert_int_equal(sizes.tx[2], 0);
	sw_sizes_read(c, &ports[1]->port, &sizes);
	assert_int_equal(sizes.rx[2], 0);
	assert_int_equal(sizes.tx[2], 7);
	/* Another port with its id begins with 0. */
	sw_count_forget_port(counts[SW_COUNT_SIZES], ports[1]->port.id);
	sw_sizes_read(c, &ports[1]->port, &sizes);
	assert_int_equal(sizes.tx[2], 0);
	sw_sizes_read(c, &ports[0]->port, &sizes);
	assert_int_equal(sizes.rx[2], 7);
}

static void only_what_was_asked_for_is_counted_and_only_then(void **state)
{
	const struct sw_count *c;
	struct sw_sizes sizes;

	(void)state;
	learn_all();
	c = count(SW_COUNT_SIZES, ports[0]);
	assert_true(sw_count_has_port(c, &ports[0]->port));
	assert_false(sw_count_has_port(c, &ports[1]->port));
	send_one(ports[0], UNTAGGED, 1, 0, 0);
	sw_sizes_read(c, &ports[1]->port, &sizes);
	assert_int_equal(sizes.tx[2], 0);
	sw_count_stop(counts[SW_COUNT_SIZES]);
	counts[SW_COUNT_SIZES] = NULL;
	send_one(ports[0], UNTAGGED, 1, 0, 0);
	c = count(SW_COUNT_SIZES, NULL);
	sw_sizes_read(c, &ports[0]->port, &sizes);
	assert_int_equal(sizes.rx[2], 0);
}

/* ---- VLANs ---- */

static struct sw_vlan_count vlan_of(const struct sw_count *c, uint16_t id)
{
	struct sw_vlan_count *rows, found = {.vlan = {.id = id}};
	int n = sw_vlans_read(c, &rows);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		if (rows[i].vlan.id == id)
			found = rows[i];
		assert_true(!i || rows[i].vlan.id > rows[i - 1].vlan.id);
	}
	free(rows);
	return found;
}

static void vlans_have_frames_bytes_and_drops(void **state)
{
	struct sw_vlan_count v;
	const struct sw_count *c;

	(void)state;
	members_join();
	learn_all();
	c = count(SW_COUNT_VLANS, NULL);
	/* b has VLAN 10 without a tag; a, c and e have it with one. */
	send_one(ports[1], UNTAGGED, BROADCAST, 1, 0);
	v = vlan_of(c, 10);
	assert_int_equal(v.rx_frames, 1);
	assert_int_equal(v.rx_bytes, LEN);
	assert_int_equal(v.tx_frames, 3);
	assert_int_equal(v.tx_bytes, 3 * (LEN + 4));
	assert_int_equal(v.rx_drops + v.tx_drops, 0);
	/* Frames of no VLAN that the sender is in. */
	send_one(ports[1], 20, BROADCAST, 1, 0);
	send_one(ports[1], 20, BROADCAST, 1, 1);
	v = vlan_of(c, SW_VLANS);
	assert_int_equal(v.rx_frames, 2);
	assert_int_equal(v.rx_drops, 2);
	assert_int_equal(v.tx_frames, 0);
	/* A known receiver whose queue does not run. */
	send_one(ports[2], 10, BROADCAST, 7, 0);
	sw_txq_set(sw, &ports[2]->port, 0, NULL);
	sw_commit(sw);
	send_one(ports[1], UNTAGGED, 7, 1, 0);
	assert_int_equal(vlan_of(c, 10).tx_drops, 1);
	assert_int_equal(vlan_of(c, 20).rx_frames, 0);
}

static void vlans_beyond_the_most_are_others(void **state)
{
	const struct sw_count *c = count(SW_COUNT_VLANS, ports[0]);
	struct sw_vlan_count *rows;
	struct sw_count_lost lost;

	(void)state;
	for (unsigned i = 1; i <= SW_COUNT_MAX_VLANS + 20; i++) {
		send_one(ports[0], (int)i, BROADCAST, 0, 0);
		for (unsigned k = 1; k < NPORTS; k++)
			ports[k]->ngot = 0;
	}
	send_one(ports[0], 1, BROADCAST, 0, 0);
	assert_int_equal(sw_vlans_read(c, &rows), SW_COUNT_MAX_VLANS);
	for (unsigned i = 0; i < SW_COUNT_MAX_VLANS; i++) {
		assert_int_equal(rows[i].vlan.id, i + 1);
		assert_int_equal(rows[i].rx_frames, i ? 1 : 2);
	}
	free(rows);
	sw_count_lost(c, &lost);
	assert_int_equal(lost.others, 20);
}

/* ---- talkers ---- */

static void talkers_are_those_that_sent_most(void **state)
{
	const struct sw_count *c;
	struct sw_talker top[10];
	uint64_t bytes;

	(void)state;
	members_join();
	c = count(SW_COUNT_TALKERS, NULL);
	for (unsigned i = 0; i < 10; i++)
		put(ports[0], i % 2 ? SERVICE | 30 : UNTAGGED, 1, 9, 0);
	sw_round(sw, 0);
	for (unsigned i = 0; i < 3; i++)
		send_one(ports[1], UNTAGGED, BROADCAST, 1, 0);
	assert_int_equal(sw_talkers_read(c, top, 10, &bytes), 3 - 1);
	assert_int_equal(bytes, 5 * LEN + 5 * (LEN + 4) + 3 * LEN);
	/* A service tag is payload of port a, whose frames have no VLAN. */
	assert_int_equal(top[0].bytes, 5 * LEN + 5 * (LEN + 4));
	assert_int_equal(top[0].frames, 10);
	assert_int_equal(top[0].error, 0);
	assert_int_equal(top[0].src[5], 9);
	assert_int_equal(top[0].dst[5], 1);
	assert_int_equal(top[0].vlan.id, 0);
	assert_int_equal(top[1].bytes, 3 * LEN);
	assert_int_equal(top[1].dst[0], 0xff);
	assert_int_equal(top[1].vlan.id, 10);
	assert_int_equal(sw_talkers_read(c, top, 1, &bytes), 1);
}

static void frames_that_come_while_control_reads_are_missed(void **state)
{
	struct sw_count *c = count(SW_COUNT_TALKERS, NULL);
	struct rw_spinlock *lock = c->parts[0]; /* its first member */
	struct sw_count_lost lost;
	struct sw_talker top[1];
	uint64_t bytes;

	(void)state;
	rw_spin_lock(lock);
	send_one(ports[0], UNTAGGED, BROADCAST, 0, 0);
	rw_spin_unlock(lock);
	assert_int_equal(sw_talkers_read(c, top, 1, &bytes), 0);
	sw_count_lost(c, &lost);
	assert_int_equal(lost.missed, 1);
}

/* ---- latency ---- */

/* Have port `to` receive `n` frames from port `from` that took a millisecond. */
static void latency_see(struct sw_count *c, uint16_t from, uint16_t to, unsigned n, bool late)
{
	struct frame f = {.len = LEN}, *list[FRAME_BURST] = {&f};
	const struct sw_sight s = {.what = SW_SEE_TX,
		.port = to,
		.other = late ? SW_NO_PORT : from,
		.late = late,
		.n = n,
		.frames = list,
		.polled = late ? 0 : 5000,
		.now = 5000 + sw->tsc_hz / 1000};

	c->ops->see(c, c->parts[0], &s);
}

static void latency_has_each_pair_of_ports(void **state)
{
	struct sw_latency_pair *pairs;
	const struct sw_count *c;
	struct rw_histogram h;

	(void)state;
	learn_all();
	c = count(SW_COUNT_LATENCY, NULL);
	put(ports[0], UNTAGGED, 1, 0, 0);
	put(ports[0], UNTAGGED, 1, 0, 1);
	put(ports[0], UNTAGGED, 2, 0, 2);
	sw_round(sw, 0);
	send_one(ports[1], UNTAGGED, 0, 1, 3);
	expect(ports[2], UNTAGGED, 2, 0, 2);
	expect(ports[0], UNTAGGED, 0, 1, 3); /* who is counted gets what is sent, as ever */
	assert_int_equal(sw_latency_pairs(c, &pairs), 3);
	assert_true(pairs[0].from == 0 && pairs[0].to == 1);
	assert_true(pairs[1].from == 0 && pairs[1].to == 2);
	assert_true(pairs[2].from == 1 && pairs[2].to == 0);
	sw_latency_read(c, pairs[0], &h);
	assert_int_equal(h.count, 2);
	assert_true(h.greatest > 0);
	sw_latency_read(c, pairs[2], &h);
	assert_int_equal(h.count, 1);
	free(pairs);
	sw_count_forget_port(counts[SW_COUNT_LATENCY], 2);
	assert_int_equal(sw_latency_pairs(c, &pairs), 2);
	free(pairs);
}

static void latency_of_a_port_is_of_what_it_sent_and_received(void **state)
{
	struct sw_latency_pair *pairs;
	const struct sw_count *c;

	(void)state;
	learn_all();
	c = count(SW_COUNT_LATENCY, ports[1]);
	send_one(ports[0], UNTAGGED, 1, 0, 0);
	send_one(ports[1], UNTAGGED, 2, 1, 0);
	send_one(ports[0], UNTAGGED, 2, 0, 0);
	assert_int_equal(sw_latency_pairs(c, &pairs), 2);
	assert_true(pairs[0].from == 0 && pairs[0].to == 1);
	assert_true(pairs[1].from == 1 && pairs[1].to == 2);
	free(pairs);
}

static void latency_is_in_nanoseconds_and_its_pairs_are_bounded(void **state)
{
	struct sw_count *c = count(SW_COUNT_LATENCY, NULL);
	struct sw_latency_pair *pairs;
	struct sw_count_lost lost;
	struct rw_histogram h;

	(void)state;
	for (uint16_t i = 0; i < SW_COUNT_MAX_PAIRS + 6; i++)
		latency_see(c, i, 900, 10, false);
	latency_see(c, 3, 900, 5, false);
	latency_see(c, 3, 900, 2, true);
	assert_int_equal(sw_latency_pairs(c, &pairs), SW_COUNT_MAX_PAIRS);
	sw_latency_read(c, pairs[3], &h);
	assert_int_equal(h.count, 15);
	assert_in_range(h.least, 999000, 1001000);
	assert_in_range(rw_histogram_percentile(&h, 50), 999000, 1001000);
	free(pairs);
	sw_count_lost(c, &lost);
	assert_int_equal(lost.others, 60);
	assert_int_equal(lost.late, 2);
}

/* ---- all of them ---- */

static bool over; /* atomic */

/* Thread: control's part. */
static void *read_on(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		struct sw_latency_pair *pairs;
		struct sw_vlan_count *rows;
		struct sw_talker top[5];
		struct sw_count_lost lost;
		struct rw_histogram h;
		struct sw_sizes sizes;
		uint64_t bytes, sum = 0;
		int n = sw_latency_pairs(counts[SW_COUNT_LATENCY], &pairs);

		for (int i = 0; i < n; i++) {
			sw_latency_read(counts[SW_COUNT_LATENCY], pairs[i], &h);
			for (unsigned k = 0; k < RW_HISTOGRAM_BUCKETS; k++)
				sum += h.buckets[k];
			if (sum != h.count)
				abort();
			sum = 0;
		}
		free(pairs);
		if (sw_vlans_read(counts[SW_COUNT_VLANS], &rows) >= 0)
			free(rows);
		sw_talkers_read(counts[SW_COUNT_TALKERS], top, 5, &bytes);
		sw_sizes_read(counts[SW_COUNT_SIZES], &ports[0]->port, &sizes);
		for (unsigned i = 0; i < SW_NUM_COUNT_KINDS; i++)
			sw_count_lost(counts[i], &lost);
	}
	return NULL;
}

static void control_reads_while_workers_count(void **state)
{
	struct sw_count_lost lost;
	struct sw_sizes sizes;
	struct sw_talker top;
	uint64_t bytes;
	pthread_t thread;

	(void)state;
	learn_all();
	for (unsigned i = 0; i < SW_NUM_COUNT_KINDS; i++)
		count((enum sw_count_kind)i, NULL);
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, read_on, NULL), 0);
	for (unsigned i = 0; i < 3000; i++) {
		send_one(ports[0], i % 3 ? UNTAGGED : (int)(1 + i % 50), 1, 0, 0);
		for (unsigned k = 1; k < NPORTS; k++)
			ports[k]->ngot = 0;
	}
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	sw_sizes_read(counts[SW_COUNT_SIZES], &ports[0]->port, &sizes);
	assert_int_equal(sizes.rx[2], 3000);
	sw_talkers_read(counts[SW_COUNT_TALKERS], &top, 1, &bytes);
	sw_count_lost(counts[SW_COUNT_TALKERS], &lost);
	assert_true(top.frames + lost.missed >= 2000 && top.frames <= 2000);
}

static void there_are_only_so_many_watches(void **state)
{
	struct sw_count *more[SW_MAX_WATCHES], *one = NULL;

	(void)state;
	for (unsigned i = 0; i < SW_MAX_WATCHES; i++)
		assert_int_equal(sw_count_start(sw, SW_COUNT_TALKERS, NULL, 0, &more[i]), 0);
	assert_int_equal(sw_count_start(sw, SW_COUNT_SIZES, NULL, 0, &one), -ENOSPC);
	assert_null(one);
	for (unsigned i = 0; i < SW_MAX_WATCHES; i++)
		sw_count_stop(more[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(sizes_are_those_of_the_rfc),
		TEST(sizes_are_counted_where_frames_come_and_go),
		TEST(only_what_was_asked_for_is_counted_and_only_then),
		TEST(vlans_have_frames_bytes_and_drops),
		TEST(vlans_beyond_the_most_are_others),
		TEST(talkers_are_those_that_sent_most),
		TEST(frames_that_come_while_control_reads_are_missed),
		TEST(latency_has_each_pair_of_ports),
		TEST(latency_of_a_port_is_of_what_it_sent_and_received),
		TEST(latency_is_in_nanoseconds_and_its_pairs_are_bounded),
		TEST(control_reads_while_workers_count),
		TEST(there_are_only_so_many_watches),
	};

	(void)argc;
	return run(argv[0], tests, RW_ARRAY_SIZE(tests), "switch_count");
}
