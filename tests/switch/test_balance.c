/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where queues are polled, on a machine with two nodes and four workers that is played: workers 0
 * and 1 on node 0, workers 2 and 3 on node 1. Each worker's rounds are made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>

#include "plan.h"
#include "rw_numa.h"
#include "sw_balance.h"

#define NWORKERS 4
#define NOBODY   (-1)

/* A guest that always has a frame to send if it is `busy`, and takes its time. */
struct fake {
	struct port port;
	struct port_rxq rxqs[4];
	struct port_txq txq;
	struct sw *sw;
	int node;         /* of its memory */
	uint64_t busy[4]; /* cycles that a poll of the queue takes */
	int polled_by[4]; /* the last worker, or NOBODY */
	int placed_on[4]; /* the node, or -1 */
	unsigned places;  /* so often */
	unsigned got, demoted;
};

#define MAX_FAKES 4

static struct sw *sw;
static struct fake *fakes[MAX_FAKES]; /* that are up */
static unsigned turn;                 /* the worker whose round it is */

static void round_of_all(void)
{
	for (int i = 0; i < MAX_FAKES; i++) {
		for (int q = 0; fakes[i] && q < 4; q++)
			fakes[i]->polled_by[q] = NOBODY;
	}
	for (turn = 0; turn < NWORKERS; turn++)
		sw_round(sw, turn);
}

static struct fake *fake_of(const struct port *port)
{
	return rw_container_of((struct port *)(uintptr_t)port, struct fake, port);
}

static unsigned fake_rx(struct port_rxq *q, struct frame *frames, unsigned n)
{
	struct fake *f = fake_of(q->port);
	uint64_t until = rte_rdtsc() + f->busy[q->index];

	assert_int_equal(f->polled_by[q->index], NOBODY); /* one worker alone has it */
	f->polled_by[q->index] = (int)turn;
	if (!f->busy[q->index] || !n)
		return 0;
	while (rte_rdtsc() < until)
		;
	frame_init(&frames[0], 64);
	memset(frames[0].head, 0, FRAME_HEAD);
	memset(frames[0].head, 0xff, 6);
	frames[0].head[6] = 0x02;
	return 1;
}

static void fake_nothing(struct port_rxq *q)
{
	(void)q;
}

static unsigned fake_tx(struct port_txq *q, struct frame **frames, unsigned n)
{
	(void)frames;
	fake_of(q->port)->got += n;
	return n;
}

static void fake_demote(struct port_txq *q)
{
	fake_of(q->port)->demoted++;
}

static int fake_node(const struct port_rxq *q)
{
	return fake_of(q->port)->node;
}

/* The queue must be stopped: no worker polls it. */
static void fake_set_node(struct port_rxq *q, int node)
{
	struct fake *f = fake_of(q->port);

	round_of_all();
	assert_int_equal(f->polled_by[q->index], NOBODY);
	f->placed_on[q->index] = node;
	f->places++;
}

static const struct port_rxq_ops rxq_ops = {.node = fake_node, .set_node = fake_set_node};

static int node_of_cpu(unsigned cpu)
{
	return (int)cpu / 2;
}

static int node_of(const void *p)
{
	(void)p;
	return 0;
}

static int place(void *p, size_t len, int node)
{
	(void)p, (void)len, (void)node;
	return 0;
}

static const struct rw_numa_ops two_nodes = {node_of_cpu, node_of, place};

static int sw_begin(void **state)
{
	struct sw_worker_config workers[NWORKERS];
	struct sw_config cfg = {.workers = workers, .nworkers = NWORKERS, .fdb_entries = 64};

	(void)state;
	rw_numa_use(&two_nodes);
	for (unsigned i = 0; i < NWORKERS; i++)
		workers[i] = (struct sw_worker_config){.lcore = 0, .cpu = i};
	return sw_new(&cfg, &sw);
}

static int sw_end(void **state)
{
	(void)state;
	sw_free(sw);
	return 0;
}

/* A port whose first `n` queues run. */
static struct fake *fake_up(const char *name, int node, unsigned n)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->node = node;
	for (int i = 0; i < MAX_FAKES; i++) {
		if (!fakes[i]) {
			fakes[i] = f;
			break;
		}
	}
	assert_int_equal(port_init(&f->port, name, NWORKERS), 0);
	assert_int_equal(sw_port_add(sw, &f->port), 0);
	for (unsigned q = 0; q < n; q++) {
		f->rxqs[q] = (struct port_rxq){.burst = fake_rx,
			.done = fake_nothing,
			.prefetch = fake_nothing,
			.ops = &rxq_ops};
		assert_int_equal(port_rxq_init(&f->rxqs[q], &f->port, (uint16_t)q), 0);
		sw_rxq_set(sw, &f->port, (uint16_t)q, &f->rxqs[q]);
	}
	sw_commit(sw);
	return f;
}

static void fake_down(struct fake *f)
{
	for (uint16_t q = 0; q < 4; q++)
		sw_rxq_set(sw, &f->port, q, NULL);
	sw_commit(sw);
	sw_port_del(sw, &f->port);
	port_fini(&f->port);
	for (int i = 0; i < MAX_FAKES; i++)
		fakes[i] = fakes[i] == f ? NULL : fakes[i];
	free(f);
}

static struct sw_queue_info info_of(const struct fake *f, uint16_t queue)
{
	struct sw_queue_info info;

	assert_int_equal(sw_queue_read(sw, &f->port, queue, &info), 0);
	return info;
}

/* Let all workers go round for a while, and measure. */
static void work(void)
{
	for (unsigned i = 0; i < 200; i++)
		round_of_all();
	sw_measure(sw);
}

static void queues_are_polled_where_the_guests_memory_is(void **state)
{
	struct fake *a = fake_up("a", 0, 4), *b = fake_up("b", 1, 4);

	(void)state;
	round_of_all();
	for (int q = 0; q < 4; q++) {
		assert_in_range(a->polled_by[q], 0, 1);
		assert_int_equal(a->placed_on[q], 0);
	}
	for (uint16_t q = 0; q < 4; q++) {
		assert_in_range(b->polled_by[q], 2, 3);
		assert_int_equal(b->placed_on[q], 1);
		assert_int_equal(info_of(b, q).worker, b->polled_by[q]);
		assert_false(info_of(b, q).far_off);
	}
	fake_down(a);
	fake_down(b);
}

/* A cache line of DPDK's is 128 bytes on arm64, one of ours 64. */
static void what_dpdk_looks_at_is_aligned_as_dpdk_wants(void **state)
{
	struct sw *first = sw, *more[16];
	void *gaps[16];
	uintptr_t bits = 0;

	for (unsigned i = 0; i < RW_ARRAY_SIZE(more); i++) {
		gaps[i] = malloc(RW_CACHE_LINE * (i + 1)); /* no two begin alike */
		assert_int_equal(sw_begin(state), 0);
		bits |= (uintptr_t)sw->qsbr;
		more[i] = sw;
	}
	for (unsigned i = 0; i < RW_ARRAY_SIZE(more); i++) {
		sw_free(more[i]);
		free(gaps[i]);
	}
	sw = first;
	assert_int_equal(bits % _Alignof(struct rte_rcu_qsbr), 0);
}

static void memory_that_is_far_from_all_workers_is_told_once(void **state)
{
	int err = dup(STDERR_FILENO), fds[2];
	char log[1024] = "";
	const char *at;
	struct fake *f;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	dup2(fds[1], STDERR_FILENO);
	f = fake_up("remote", 7, 3);
	dup2(err, STDERR_FILENO);
	close(err);
	close(fds[1]);
	n = read(fds[0], log, sizeof(log) - 1);
	close(fds[0]);
	assert_true(n > 0);
	at = strstr(log, "port remote: the guest's memory is on NUMA node 7");
	assert_non_null(at);
	assert_null(strstr(at + 1, "port remote"));
	assert_true(info_of(f, 0).far_off);
	assert_int_equal(info_of(f, 0).node, 7);
	fake_down(f);
}

static void a_queue_that_moves_rests_in_between_and_takes_its_state_along(void **state)
{
	struct fake *f = fake_up("a", 0, 1);

	(void)state;
	f->places = 0;
	for (unsigned i = 0; i < 20; i++) {
		unsigned to = (i + 1) % NWORKERS;
		bool moves = info_of(f, 0).worker != to;
		unsigned before = f->places;

		assert_int_equal(sw_queue_move(sw, &f->port, 0, to), 0);
		assert_int_equal(f->places - before, moves);
		if (moves)
			assert_int_equal(f->placed_on[0], to / 2);
		round_of_all();
		assert_int_equal(f->polled_by[0], to);
		assert_true(info_of(f, 0).by_hand);
	}
	fake_down(f);
}

static void what_does_not_run_or_exist_is_not_moved(void **state)
{
	struct fake *f = fake_up("a", 0, 1);

	(void)state;
	assert_int_equal(sw_queue_move(sw, &f->port, 1, 1), -ENOENT);
	assert_int_equal(sw_queue_move(sw, &f->port, UINT16_MAX, 1), -ENOENT);
	assert_int_equal(sw_queue_move(sw, &f->port, 0, NWORKERS), -EINVAL);
	sw_rxq_set(sw, &f->port, 0, NULL);
	sw_commit(sw);
	assert_int_equal(sw_queue_move(sw, &f->port, 0, 1), -ENOENT);
	fake_down(f);
}

static void a_queue_that_stops_and_starts_in_one_commit_keeps_its_worker(void **state)
{
	struct fake *f = fake_up("a", 0, 1);
	unsigned worker = info_of(f, 0).worker;

	(void)state;
	/* Now another one would be the better choice, but the first has not let go. */
	f->node = 1;
	f->places = 0;
	sw_rxq_set(sw, &f->port, 0, NULL);
	sw_rxq_set(sw, &f->port, 0, &f->rxqs[0]);
	sw_commit(sw);
	assert_int_equal(info_of(f, 0).worker, worker);
	assert_int_equal(f->places, 0);
	sw_rxq_set(sw, &f->port, 0, NULL);
	sw_commit(sw);
	sw_rxq_set(sw, &f->port, 0, &f->rxqs[0]);
	sw_commit(sw);
	assert_int_equal(info_of(f, 0).worker, 2);
	fake_down(f);
}

/* Two queues on one worker, which they keep busy all the time. */
static struct fake *uneven(void)
{
	struct fake *f = fake_up("a", 0, 2);

	assert_int_equal(sw_queue_move(sw, &f->port, 0, 0), 0);
	assert_int_equal(sw_queue_move(sw, &f->port, 1, 0), 0);
	f->busy[0] = f->busy[1] = rte_get_tsc_hz() / 50000;
	return f;
}

/* Frames that the fake guests send, as their port's counters have them. */
static void load_is_shared_by_what_queues_sent(void **state)
{
	struct fake *f = uneven();
	uint32_t all;

	(void)state;
	f->busy[1] = 0;
	work();
	work();
	all = info_of(f, 0).load;
	assert_true(all > 300); /* of a thread that does little else */
	assert_int_equal(info_of(f, 1).load, 0);
	f->busy[1] = f->busy[0];
	for (int i = 0; i < 12; i++)
		work();
	assert_in_range(info_of(f, 0).load * 100 / (info_of(f, 1).load + 1), 80, 125);
	fake_down(f);
}

static void balance_moves_a_queue_off_a_busy_worker_and_then_rests(void **state)
{
	struct fake *f = uneven();
	unsigned moved;

	(void)state;
	for (int i = 0; i < 12; i++)
		work();
	assert_int_equal(sw_balance(sw, false), 0); /* placed by hand */
	moved = info_of(f, 1).worker;
	assert_int_equal(sw_balance(sw, true), 1);
	assert_true(info_of(f, 0).worker != info_of(f, 1).worker);
	assert_int_equal(info_of(f, 0).worker + info_of(f, 1).worker, 1); /* on the node */
	assert_int_equal(moved, 0);
	round_of_all();
	/* Nothing more is to be gained, however often it is asked. */
	for (int i = 0; i < 6; i++) {
		work();
		assert_int_equal(sw_balance(sw, false), 0);
	}
	fake_down(f);
}

static void a_moved_queue_is_left_alone_for_some_measurements(void **state)
{
	struct fake *f = uneven(), *g;
	uint16_t moved;

	(void)state;
	for (int i = 0; i < 12; i++)
		work();
	assert_int_equal(sw_balance(sw, true), 1);
	moved = info_of(f, 1).worker ? 1 : 0;
	/* At once it has a neighbour that is busier than all. */
	g = fake_up("b", 0, 1);
	g->busy[0] = 2 * f->busy[0];
	assert_int_equal(sw_queue_move(sw, &g->port, 0, 1), 0);
	for (int i = 1; i < SW_BALANCE_REST; i++) {
		work();
		assert_int_equal(sw_balance(sw, false), 0);
	}
	for (int i = 0; i < 4; i++)
		work();
	assert_int_equal(sw_balance(sw, false), 1);
	assert_int_not_equal(info_of(f, moved).worker, 1);
	fake_down(f);
	fake_down(g);
}

static void workers_without_traffic_are_left_alone(void **state)
{
	struct fake *f = fake_up("a", 0, 4);

	(void)state;
	work();
	work();
	assert_int_equal(sw_balance(sw, true), 0);
	fake_down(f);
}

static void a_queue_that_got_frames_is_demoted_when_no_more_come(void **state)
{
	struct fake *from = fake_up("a", 0, 1), *to = fake_up("b", 0, 1);

	(void)state;
	to->txq = (struct port_txq){.burst = fake_tx, .demote = fake_demote};
	assert_int_equal(port_txq_init(&to->txq, &to->port, 0), 0);
	sw_txq_set(sw, &to->port, 0, &to->txq);
	sw_commit(sw);
	round_of_all();
	assert_int_equal(to->demoted, 0);
	from->busy[0] = 1;
	round_of_all();
	round_of_all();
	assert_int_equal(to->got, 2);
	assert_int_equal(to->txq.counters->frames, 2); /* the switch counts what the queue took */
	assert_int_equal(to->txq.counters->broadcast, 2);
	assert_int_equal(to->txq.counters->bytes, 128);
	assert_int_equal(to->demoted, 0); /* more may be on the way */
	from->busy[0] = 0;
	round_of_all();
	/* Two bursts for the same queue: the second time there is nothing left to do. */
	assert_int_equal(to->demoted, 2);
	round_of_all();
	assert_int_equal(to->demoted, 2);
	assert_int_equal(from->demoted, 0);

	/* One that has stopped meanwhile is left alone. */
	from->busy[0] = 1;
	round_of_all();
	from->busy[0] = 0;
	sw_txq_set(sw, &to->port, 0, NULL);
	sw_commit(sw);
	round_of_all();
	assert_int_equal(to->got, 3);
	assert_int_equal(to->demoted, 2);
	fake_down(from);
	fake_down(to);
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0], "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m",
		"16", "--lcores", "0", "--log-level=*:error", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queues_are_polled_where_the_guests_memory_is),
		cmocka_unit_test(what_dpdk_looks_at_is_aligned_as_dpdk_wants),
		cmocka_unit_test(memory_that_is_far_from_all_workers_is_told_once),
		cmocka_unit_test(a_queue_that_moves_rests_in_between_and_takes_its_state_along),
		cmocka_unit_test(what_does_not_run_or_exist_is_not_moved),
		cmocka_unit_test(a_queue_that_stops_and_starts_in_one_commit_keeps_its_worker),
		cmocka_unit_test(load_is_shared_by_what_queues_sent),
		cmocka_unit_test(balance_moves_a_queue_off_a_busy_worker_and_then_rests),
		cmocka_unit_test(a_moved_queue_is_left_alone_for_some_measurements),
		cmocka_unit_test(workers_without_traffic_are_left_alone),
		cmocka_unit_test(a_queue_that_got_frames_is_demoted_when_no_more_come),
	};

	(void)argc;
	if (rte_eal_init((int)RW_ARRAY_SIZE(eal) - 1, eal) < 0)
		return 99;
	return cmocka_run_group_tests_name("switch_balance", tests, sw_begin, sw_end);
}
