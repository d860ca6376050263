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
			FE_BIT(VU_F_LOG_ALL),
		.protocol_features = FE_BIT(VU_PF_REPLY_ACK) | FE_BIT(VU_PF_LOG_SHMFD),
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

/* Frames from one guest to the other, whoever polls them. */
static void frames_pass(struct fixture *f, int from)
{
	struct fe_guest *g = f->guests[from], *h = f->guests[!from];
	uint8_t buf[LEN] = {0x02, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, (uint8_t)from}, got[256];
	const struct fe_frame frame = {.data = buf, .len = LEN};
	struct fe_received in;

	buf[5] = (uint8_t)!from;
	for (int i = 0; i < 8; i++) {
		buf[20] = (uint8_t)i;
		assert_int_equal(fe_guest_put(g, 0, &frame), 0);
	}
	fe_guest_flush(g, 0);
	for (unsigned w = 0; w < NWORKERS; w++)
		sw_round(f->sw, w);
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
		cmocka_unit_test(clients_take_turns),
	};

	(void)argc;
	if (rte_eal_init((int)RW_ARRAY_SIZE(eal) - 1, eal) < 0)
		return 99;
	return cmocka_run_group_tests_name("switch_vhost", tests, begin, end);
}
