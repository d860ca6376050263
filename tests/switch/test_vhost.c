/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the state of vhost queues lies on a machine with two nodes that is played: worker 0 on node
 * 0, worker 1 on node 1. A thread plays the front-ends while the rings start; workers' rounds are
 * made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_eal.h>

#include "fe_log.h"
#include "rw_numa.h"
#include "rw_sock.h"
#include "sw_balance.h"
#include "vhost.h"

#define NWORKERS 2
#define LEN      60

struct fixture {
	struct rw_loop *loop;
	struct sw *sw;
	struct vhost_port *ports[2];
	struct fe_guest *guests[2];
	uint32_t linger_s; /* of their ports */
	uint64_t features; /* that the guests have besides */
	uint16_t rx_size;  /* of their receive rings; 0: as usual */
	bool logged;       /* what is written to their memory */
	struct fe_log logs[2];
	bool started; /* atomic: the rings of both guests run */
};

/* ---- the machine ---- */

static int memory_node;    /* of all guests */
static unsigned placed[4]; /* blocks put on each node */

static int node_of_cpu(unsigned cpu)
{
	return (int)cpu;
}

static int node_of(const void *p)
{
	assert_non_null(p);
	return memory_node;
}

static int place(void *p, size_t len, int node)
{
	assert_int_equal((uintptr_t)p % 4096, 0);
	assert_int_equal(len % 4096, 0);
	if (node == RW_NUMA_UNKNOWN)
		return 0; /* it is about to be freed */
	assert_in_range(node, 0, 3);
	placed[node]++;
	return 0;
}

static const struct rw_numa_ops two_nodes = {node_of_cpu, node_of, place};

/* ---- two guests ---- */

/* Thread: front-ends. */
static void *guests_start(void *arg)
{
	struct fixture *f = arg;

	for (int i = 0; i < 2; i++) {
		struct fe_guest *g = f->guests[i];

		if (fe_guest_start(g))
			abort();
		if (f->logged &&
			(fe_log_init(&f->logs[i], fe_log_size_for(&g->mem), 0) ||
				fe_guest_log_start(g, &f->logs[i], FE_LOG_QEMU)))
			abort();
	}
	__atomic_store_n(&f->started, true, __ATOMIC_RELEASE);
	return NULL;
}

static void attach(struct fixture *f, int i)
{
	const struct fe_guest_config guest = {
		.features = FE_BIT(VIRTIO_F_VERSION_1) | FE_BIT(VU_F_PROTOCOL_FEATURES) |
			FE_BIT(VU_F_LOG_ALL) | f->features,
		.protocol_features = FE_BIT(VU_PF_REPLY_ACK) | FE_BIT(VU_PF_LOG_SHMFD),
		.rx_size = f->rx_size,
	};
	const char name[2] = {(char)('a' + i), 0};
	struct vhost_port_config port = {.sw = f->sw,
		.loop = f->loop,
		.name = name,
		.mode = VHOST_FD,
		.linger_s = f->linger_s};
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	port.fd = fds[0];
	assert_int_equal(vhost_port_new(&port, &f->ports[i]), 0);
	assert_int_equal(fe_guest_new(&guest, &f->guests[i]), 0);
	fe_conn_init(&f->guests[i]->conn, fds[1]);
	f->guests[i]->conn.timeout_ms = 60000;
}

/* Guests whose memory is on `node` start. */
static void guests_up(struct fixture *f, int node)
{
	pthread_t thread;

	memory_node = node;
	memset(placed, 0, sizeof(placed));
	attach(f, 0);
	attach(f, 1);
	f->started = false;
	assert_int_equal(pthread_create(&thread, NULL, guests_start, f), 0);
	while (!__atomic_load_n(&f->started, __ATOMIC_ACQUIRE))
		assert_int_equal(rw_loop_once(f->loop, 10), 0);
	pthread_join(thread, NULL);
}

static void guests_down(struct fixture *f)
{
	for (int i = 0; i < 2; i++) {
		vhost_port_free(f->ports[i]);
		fe_guest_free(f->guests[i]);
	}
}

static void round_all(struct fixture *f)
{
	for (unsigned w = 0; w < NWORKERS; w++)
		sw_round(f->sw, w);
}

/* One guest makes so many frames available to the switch. */
static void frames_put(struct fixture *f, int from, int n)
{
	uint8_t buf[LEN] = {0x02, 0, 0, 0, 0, (uint8_t)!from, 0x02, 0, 0, 0, 0, (uint8_t)from};
	const struct fe_frame frame = {.data = buf, .len = LEN};

	for (int i = 0; i < n; i++) {
		buf[20] = (uint8_t)i;
		assert_int_equal(fe_guest_put(f->guests[from], 0, &frame), 0);
	}
	fe_guest_flush(f->guests[from], 0);
}

/* Frames from one guest to the other, whoever polls them. */
static void frames_pass(struct fixture *f, int from)
{
	struct fe_guest *h = f->guests[!from];
	struct fe_received in;
	uint8_t got[256];

	frames_put(f, from, 8);
	round_all(f);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(fe_guest_recv(h, 0, got, sizeof(got), &in), 0);
		assert_int_equal(got[20], i);
	}
}

static int begin(void **state)
{
	static const struct sw_worker_config workers[NWORKERS] = {{.cpu = 0}, {.cpu = 1}};
	const struct sw_config cfg = {.workers = workers, .nworkers = NWORKERS, .fdb_entries = 64};
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	rw_numa_use(&two_nodes);
	f->loop = rw_loop_new();
	return f->loop ? sw_new(&cfg, &f->sw) : -1;
}

static int end(void **state)
{
	struct fixture *f = *state;

	sw_free(f->sw);
	rw_loop_free(f->loop);
	rw_numa_use(NULL);
	free(f);
	return 0;
}

/* ---- tests ---- */

static struct vhost_ring_info ring_of(const struct fixture *f, int port, unsigned ring)
{
	struct vhost_ring_info info;

	vhost_port_ring(f->ports[port], ring, &info);
	return info;
}

static void queues_lie_on_the_node_of_the_guests_memory(void **state)
{
	struct fixture *f = *state;

	for (int node = 0; node < 2; node++) {
		guests_up(f, node);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(ring_of(f, i, 1).worker, node);
			assert_int_equal(ring_of(f, i, 1).memory_node, node);
			assert_false(ring_of(f, i, 1).far_off);
			assert_int_equal(ring_of(f, i, 0).worker, -1);
		}
		/* Both rings of both guests, each time that they were set up. */
		assert_true(placed[node] >= 4);
		assert_int_equal(placed[!node], 0);
		frames_pass(f, 0);
		frames_pass(f, 1);
		guests_down(f);
	}
}

static void a_queue_takes_its_state_to_its_new_worker(void **state)
{
	struct fixture *f = *state;
	struct port *port;

	guests_up(f, 1);
	port = sw_port_by_name(f->sw, "a");
	frames_pass(f, 1);
	for (unsigned i = 0; i < 10; i++) {
		memset(placed, 0, sizeof(placed));
		assert_int_equal(sw_queue_move(f->sw, port, 0, i % 2), 0);
		assert_int_equal(ring_of(f, 0, 1).worker, i % 2);
		assert_int_equal(placed[i % 2], 1);
		assert_int_equal(placed[!(i % 2)], 0);
		frames_pass(f, 0);
		frames_pass(f, 1);
	}
	guests_down(f);
}

static void memory_without_a_worker_near_is_shown(void **state)
{
	struct fixture *f = *state;

	guests_up(f, 3);
	assert_true(ring_of(f, 0, 1).far_off);
	assert_int_equal(ring_of(f, 0, 1).memory_node, 3);
	assert_true(ring_of(f, 0, 1).worker >= 0);
	frames_pass(f, 0);
	guests_down(f);
}

static void an_unknown_node_is_no_reason_to_worry(void **state)
{
	struct fixture *f = *state;

	guests_up(f, RW_NUMA_UNKNOWN);
	assert_false(ring_of(f, 0, 1).far_off);
	frames_pass(f, 0);
	guests_down(f);
}

static uint64_t unlogged(const struct fixture *f, int port)
{
	struct vhost_port_info info;

	vhost_port_describe(f->ports[port], &info);
	return info.unlogged;
}

/* No guest can make the look-up fail: so the queue gets a map without the memory it writes to. */
static void what_cannot_be_logged_is_counted(void **state)
{
	static const struct gm_map empty;
	struct fixture *f = *state;
	const struct gm_map *mem;
	struct vhost_queue *tx;

	f->logged = true;
	guests_up(f, 0);
	frames_pass(f, 0);
	frames_pass(f, 1);
	assert_int_equal(unlogged(f, 0) + unlogged(f, 1), 0);
	assert_true(fe_log_count(&f->logs[1]) > 0);
	/* The buffers' region is known from the frames before. */
	tx = f->ports[1]->pairs[0].tx;
	mem = tx->vq.mem;
	tx->vq.mem = &empty;
	frames_pass(f, 0);
	tx->vq.mem = mem;
	assert_int_equal(unlogged(f, 1), 8);
	assert_int_equal(unlogged(f, 0), 0);
	/* The sum outlives the ring. */
	vhost_rings_pause(f->ports[1], 0, 1);
	assert_int_equal(unlogged(f, 1), 8);
	guests_down(f);
	for (int i = 0; i < 2; i++)
		fe_log_fini(&f->logs[i]);
	f->logged = false;
}

/* What was learned behind a port outlives its front-end, and not for ever. */
static void addresses_linger_for_a_while(void **state)
{
	const uint64_t until = rw_now_ms() + 60000;
	struct fixture *f = *state;
	struct vhost_port_info info;

	f->linger_s = 1;
	guests_up(f, 0);
	f->linger_s = 0;
	frames_pass(f, 0);
	vhost_port_describe(f->ports[0], &info);
	assert_true(fdb_count(sw_fdb(f->sw), info.id));
	fe_guest_disconnect(f->guests[0]);
	while (info.connected) {
		assert_int_equal(rw_loop_once(f->loop, 10), 0);
		vhost_port_describe(f->ports[0], &info);
	}
	assert_true(fdb_count(sw_fdb(f->sw), info.id));
	while (fdb_count(sw_fdb(f->sw), info.id)) {
		assert_int_equal(rw_loop_once(f->loop, 10), 0);
		assert_true(rw_now_ms() < until);
	}
	guests_down(f);
}

/* ---- what the queues count ---- */

static struct port_counters counters_of(const struct fixture *f, int port, bool tx)
{
	const char name[2] = {(char)('a' + port), 0};
	struct port_pair pair;

	port_read_pair(sw_port_by_name(f->sw, name), 0, &pair);
	return tx ? pair.tx : pair.rx;
}

/* Both ends ask for an interrupt, or for none; then `n` bursts pass, each a burst at each end. */
static void bursts_pass(struct fixture *f, bool wanted, int n)
{
	for (int i = 0; i < n; i++) {
		assert_true(fe_guest_reap(f->guests[0], 0) >= 0);
		fe_ring_want_interrupt(&fe_guest_tx(f->guests[0], 0)->ring, wanted);
		fe_ring_want_interrupt(&fe_guest_rx(f->guests[1], 0)->ring, wanted);
		frames_pass(f, 0);
	}
}

/* Each burst is signalled, or it is not because the driver does not want it. */
static void signals_are_counted_as_sent_or_suppressed(void **state)
{
	static const uint64_t variants[] = {0, FE_BIT(VIRTIO_F_RING_PACKED),
		FE_BIT(VIRTIO_RING_F_EVENT_IDX),
		FE_BIT(VIRTIO_F_RING_PACKED) | FE_BIT(VIRTIO_RING_F_EVENT_IDX)};
	struct fixture *f = *state;

	for (size_t v = 0; v < RW_ARRAY_SIZE(variants); v++) {
		struct port_counters rx, tx;

		f->features = variants[v];
		guests_up(f, 0);
		bursts_pass(f, true, 5);
		rx = counters_of(f, 0, false);
		tx = counters_of(f, 1, true);
		assert_int_equal(rx.signals, 5);
		assert_int_equal(tx.signals, 5);
		assert_int_equal(rx.suppressed + tx.suppressed, 0);
		bursts_pass(f, false, 7);
		rx = counters_of(f, 0, false);
		tx = counters_of(f, 1, true);
		assert_int_equal(rx.signals, 5);
		assert_int_equal(tx.signals, 5);
		assert_int_equal(rx.suppressed, 7);
		assert_int_equal(tx.suppressed, 7);
		if (variants[v] & FE_BIT(VIRTIO_RING_F_EVENT_IDX)) {
			/* The next signal is due in the second burst of eight. */
			assert_int_equal(
				fe_ring_interrupt_after(&fe_guest_rx(f->guests[1], 0)->ring, 9), 0);
			frames_pass(f, 0);
			assert_int_equal(counters_of(f, 1, true).signals, 5);
			frames_pass(f, 0);
			assert_int_equal(counters_of(f, 1, true).signals, 6);
			assert_int_equal(counters_of(f, 1, true).suppressed, 8);
		}
		/* The other ends had nothing to be told of. */
		assert_int_equal(counters_of(f, 0, true).signals, 0);
		assert_int_equal(counters_of(f, 1, false).signals, 0);
		guests_down(f);
	}
	f->features = 0;
}

static void receive_all(struct fixture *f, int port)
{
	struct fe_received in;
	uint8_t got[256];

	while (!fe_guest_recv(f->guests[port], 0, got, sizeof(got), &in))
		;
	assert_true(fe_guest_reap(f->guests[!port], 0) >= 0);
}

static void a_guest_without_buffers_lags(void **state)
{
	struct fixture *f = *state;
	struct port_counters tx;
	uint64_t cycles;

	f->rx_size = 16;
	guests_up(f, 0);
	frames_put(f, 0, 16);
	round_all(f);
	assert_int_equal(counters_of(f, 1, true).lags, 0);
	frames_put(f, 0, 3);
	round_all(f);
	tx = counters_of(f, 1, true);
	assert_int_equal(tx.lags, 1);
	assert_int_equal(tx.lag_cycles, 0); /* how long is not known yet */
	assert_int_equal(tx.drops[PORT_DROP_NO_BUFFER], 3);
	frames_put(f, 0, 1);
	round_all(f);
	tx = counters_of(f, 1, true);
	assert_int_equal(tx.lags, 1);
	assert_true(tx.lag_cycles > 0);
	/* It has buffers again: what was until then does not count, and the spell is over. */
	cycles = tx.lag_cycles;
	receive_all(f, 1);
	frames_pass(f, 0);
	frames_put(f, 0, 20);
	round_all(f);
	tx = counters_of(f, 1, true);
	assert_int_equal(tx.lags, 2);
	assert_int_equal(tx.lag_cycles, cycles);
	assert_int_equal(tx.drops[PORT_DROP_NO_BUFFER], 8);
	/* The sender was not kept waiting. */
	assert_int_equal(counters_of(f, 0, false).lags, 0);
	receive_all(f, 1);
	guests_down(f);
	f->rx_size = 0;
}

static void a_switch_that_finds_whole_bursts_lags(void **state)
{
	struct fixture *f = *state;
	struct port_counters rx;
	uint64_t cycles;

	guests_up(f, 0);
	frames_put(f, 0, 2 * FRAME_BURST + 1);
	round_all(f);
	rx = counters_of(f, 0, false);
	assert_int_equal(rx.lags, 1);
	assert_int_equal(rx.lag_cycles, 0);
	round_all(f);
	cycles = counters_of(f, 0, false).lag_cycles;
	assert_true(cycles > 0);
	/* One frame is left; then a whole burst: that is another spell. */
	round_all(f);
	receive_all(f, 1);
	frames_put(f, 0, FRAME_BURST);
	round_all(f);
	rx = counters_of(f, 0, false);
	assert_int_equal(rx.lags, 2);
	/* A poll in vain ends it, too. */
	round_all(f);
	frames_put(f, 0, FRAME_BURST);
	round_all(f);
	rx = counters_of(f, 0, false);
	assert_int_equal(rx.lags, 3);
	assert_int_equal(rx.lag_cycles, cycles);
	assert_int_equal(counters_of(f, 1, true).lags, 0);
	receive_all(f, 1);
	guests_down(f);
}

static void a_link_that_changes_is_counted(void **state)
{
	struct fixture *f = *state;
	struct sw_link link;

	guests_up(f, 0);
	sw_link_read(f->sw, &f->ports[0]->port, &link);
	assert_int_equal(link.ups, 1);
	assert_int_equal(link.downs, 0);
	fe_guest_disconnect(f->guests[0]);
	while (f->ports[0]->session)
		assert_int_equal(rw_loop_once(f->loop, 10), 0);
	sw_link_read(f->sw, &f->ports[0]->port, &link);
	assert_int_equal(link.ups, 1);
	assert_int_equal(link.downs, 1);
	sw_link_read(f->sw, &f->ports[1]->port, &link);
	assert_int_equal(link.downs, 0);
	guests_down(f);
}

/* ---- clients ---- */

#define CLIENTS 100
#define ASKED   150 /* questions that are timed */

static unsigned asked[CLIENTS], asked_by_all;

static int nobody_listens(const char *path)
{
	asked[atoi(path)]++;
	asked_by_all++;
	return -ECONNREFUSED;
}

static bool all_asked(unsigned times)
{
	unsigned n = 0;

	while (n < CLIENTS && asked[n] >= times)
		n++;
	return n == CLIENTS;
}

/* Alone, each would try ten times a second: a thousand questions. */
static void clients_take_turns(void **state)
{
	static const struct rw_sock_ops ops = {.connect = nobody_listens};
	struct vhost_port *ports[CLIENTS];
	struct fixture *f = *state;
	uint64_t begun;

	rw_sock_use(&ops);
	begun = rw_now_ms();
	for (unsigned i = 0; i < CLIENTS; i++) {
		char name[8];
		const struct vhost_port_config cfg = {.sw = f->sw,
			.loop = f->loop,
			.name = name,
			.path = name,
			.mode = VHOST_CLIENT};

		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(vhost_port_new(&cfg, &ports[i]), 0);
	}
	assert_true(all_asked(1));
	while (asked_by_all < CLIENTS + ASKED)
		assert_int_equal(rw_loop_once(f->loop, 10), 0);
	/* 2 ms apart, those aside that were asked when the ports were made. */
	assert_true(rw_now_ms() - begun >= (ASKED - 1) * 2);
	/* Nobody is forgotten. */
	while (!all_asked(3))
		assert_int_equal(rw_loop_once(f->loop, 10), 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		vhost_port_free(ports[i]);
	rw_sock_use(&rw_sock_direct);
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0], "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m",
		"16", "--lcores", "0", "--log-level=*:error", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queues_lie_on_the_node_of_the_guests_memory),
		cmocka_unit_test(a_queue_takes_its_state_to_its_new_worker),
		cmocka_unit_test(memory_without_a_worker_near_is_shown),
		cmocka_unit_test(an_unknown_node_is_no_reason_to_worry),
		cmocka_unit_test(what_cannot_be_logged_is_counted),
		cmocka_unit_test(addresses_linger_for_a_while),
		cmocka_unit_test(signals_are_counted_as_sent_or_suppressed),
		cmocka_unit_test(a_guest_without_buffers_lags),
		cmocka_unit_test(a_switch_that_finds_whole_bursts_lags),
		cmocka_unit_test(a_link_that_changes_is_counted),
		cmocka_unit_test(clients_take_turns),
	};

	(void)argc;
	if (rte_eal_init((int)RW_ARRAY_SIZE(eal) - 1, eal) < 0)
		return 99;
	return cmocka_run_group_tests_name("switch_vhost", tests, begin, end);
}
