/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queues that move from worker to worker while frames flow. The daemon has two workers and balances
 * by itself every second; queues that a test moved are not its concern.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "rw_sock.h"

static struct rig rig;

static int start(void **state)
{
	static const char *const args[] = {"--balance=auto,1", NULL};

	*state = &rig;
	return rig_start(&rig, "abcdef", args);
}

/* Moves that a test makes: each of them takes long where workers and the test share CPUs. */
static unsigned moves_wanted(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 60;
#else
	return 300;
#endif
}

static json_t *move_params(const char *port, int queue, int worker)
{
	return json_pack("{s:s, s:i, s:i}", "port", port, "queue", queue, "worker", worker);
}

/* ---- somebody who moves queues all the time ---- */

struct mover {
	pthread_t thread;
	int fd;
	const char *ports; /* one letter each, */
	int queues;        /* and so many queues of each */
	bool may_fail;     /* a queue may not run just now */
	unsigned wanted;   /* 0: until told to stop */
	bool stop;
	unsigned made;
	struct ctl_failure failure; /* code 0: none */
};

/* Thread: its own, with a connection of its own. */
static void *mover_main(void *arg)
{
	struct mover *m = arg;
	unsigned i = 0, nports = (unsigned)strlen(m->ports);

	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE) && (!m->wanted || i < m->wanted)) {
		const char port[2] = {m->ports[i % nports], 0};
		unsigned turn = i / nports;
		json_t *params = move_params(
			port, (int)turn % m->queues, (int)(turn / (unsigned)m->queues % 2));
		struct ctl_failure why;
		json_t *answer = ctl_call(m->fd, "worker.move", params, rig_patience(&rig), &why);

		json_decref(params);
		if (!answer && (!m->may_fail || why.code != CTL_ERR_FAILED)) {
			m->failure = why;
			break;
		}
		json_decref(answer);
		i++;
		__atomic_store_n(&m->made, i, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&m->stop, true, __ATOMIC_RELEASE);
	return NULL;
}

/* The one that is at work, for a test that fails meanwhile. */
static struct mover mover;
static bool mover_works;

static struct mover *mover_start(const struct mover *what)
{
	mover = *what;
	rig_wait(&rig, (mover.fd = rw_sock_connect(rig_path(&rig, "ctl"))) >= 0);
	assert_int_equal(pthread_create(&mover.thread, NULL, mover_main, &mover), 0);
	mover_works = true;
	return &mover;
}

static bool mover_is_done(const struct mover *m)
{
	return __atomic_load_n(&m->stop, __ATOMIC_ACQUIRE);
}

static void mover_join(void)
{
	if (!mover_works)
		return;
	__atomic_store_n(&mover.stop, true, __ATOMIC_RELEASE);
	pthread_join(mover.thread, NULL);
	close(mover.fd);
	mover_works = false;
}

static void mover_end(void)
{
	mover_join();
	if (mover.failure.code)
		fail_msg("worker.move: %s", mover.failure.message);
}

static int clean(void **state)
{
	mover_join();
	return rig_clean(state);
}

/* ---- frames that are numbered ---- */

#define LANE_LEN 100

/* A stream from a queue of one guest to another guest. */
struct lane {
	struct peer *from, *to;
	uint16_t pair;
	uint32_t sent, got;
};

/* Keep it filled. */
static void lane_send(struct lane *l)
{
	uint8_t buf[LANE_LEN];
	const struct fe_frame frame = {.data = buf, .len = LANE_LEN};
	uint32_t before = l->sent;
	int err;

	for (; l->sent - l->got < 64; l->sent++) {
		frame_make(buf, LANE_LEN, l->to->mac, l->from->mac, l->sent);
		err = fe_guest_put(l->from->g, l->pair, &frame);
		if (err == -EAGAIN)
			break;
		assert_int_equal(err, 0);
	}
	if (l->sent != before)
		fe_guest_flush(l->from->g, l->pair);
}

/* Take what is there: the next frames of the stream, and no others. */
static bool lane_recv(struct lane *l)
{
	uint8_t got[LANE_LEN], want[LANE_LEN];
	struct fe_received in;
	bool any = false;
	int err;

	while (!(err = fe_guest_recv(l->to->g, 0, got, sizeof(got), &in))) {
		frame_make(want, LANE_LEN, l->to->mac, l->from->mac, l->got);
		if (in.len != LANE_LEN || memcmp(got, want, LANE_LEN))
			fail_msg("port %s: frame %u is missing or out of order", l->to->port,
				l->got);
		l->got++;
		any = true;
	}
	assert_int_equal(err, -EAGAIN);
	return any;
}

/* Run lanes until the mover has done; then all that was sent must have arrived. */
static void lanes_check(struct lane *lanes, unsigned n, const struct mover *what)
{
	const struct mover *m = mover_start(what);
	bool busy = true;

	while (!mover_is_done(m)) {
		for (unsigned i = 0; i < n; i++) {
			lane_send(&lanes[i]);
			busy |= lane_recv(&lanes[i]);
		}
		if (!busy)
			rig_nap();
		busy = false;
	}
	mover_end();
	for (unsigned i = 0; i < n; i++) {
		rig_wait(&rig, (lane_recv(&lanes[i]), lanes[i].got == lanes[i].sent));
		assert_true(lanes[i].got > m->wanted);
	}
}

/* ---- where queues are ---- */

/* The worker of a queue, or -1. */
static int worker_of(const char *port, int queue)
{
	json_t *workers = rig_call(&rig, "worker.list", NULL), *worker, *q;
	int found = -1;
	size_t i, k;

	json_array_foreach(workers, i, worker)
	{
		json_array_foreach(json_object_get(worker, "polled"), k, q)
		{
			if (strcmp(json_string_value(json_object_get(q, "port")), port) ||
				json_integer_value(json_object_get(q, "queue")) != queue)
				continue;
			assert_int_equal(found, -1); /* it has one owner */
			found = (int)i;
		}
	}
	json_decref(workers);
	return found;
}

static uint64_t drops_of(const char *port)
{
	static const char *const names[] = {
		"drops.no_buffer", "drops.link_down", "drops.bad_chain", "drops.no_destination"};
	uint64_t n = 0;

	for (size_t i = 0; i < RW_ARRAY_SIZE(names); i++)
		n += rig_counter(&rig, port, "rx", names[i]) +
			rig_counter(&rig, port, "tx", names[i]);
	return n;
}

/* ---- tests ---- */

static struct fe_guest_config guest_of(uint64_t features, uint16_t pairs)
{
	struct fe_guest_config c = guest_usual();

	c.features |= features | (pairs > 1 ? FE_BIT(VIRTIO_NET_F_MQ) : 0);
	c.pairs = pairs;
	return c;
}

static void moves_lose_nothing_and_keep_the_order(uint64_t features)
{
	const struct fe_guest_config config = guest_of(features, 1);
	const struct mover m = {.ports = "ab", .queues = 1, .wanted = moves_wanted()};
	struct lane lanes[2];
	struct peer *a, *b;
	uint64_t drops;

	a = peer_up(&rig, "a", &config);
	b = peer_up(&rig, "b", &config);
	peers_meet(&rig, a, b);
	drops = drops_of("a") + drops_of("b");
	lanes[0] = (struct lane){.from = a, .to = b};
	lanes[1] = (struct lane){.from = b, .to = a};
	lanes_check(lanes, 2, &m);
	assert_int_equal(mover.made, moves_wanted());
	assert_int_equal(drops_of("a") + drops_of("b"), drops);
}

static void a_split_queue_moves_while_traffic_flows(void **state)
{
	(void)state;
	moves_lose_nothing_and_keep_the_order(0);
}

static void a_packed_queue_moves_while_traffic_flows(void **state)
{
	(void)state;
	moves_lose_nothing_and_keep_the_order(PACKED);
}

static void queues_of_one_guest_move_each_for_itself(void **state)
{
	const struct fe_guest_config many = guest_of(PACKED, 3), one = guest_of(0, 1);
	const struct mover m = {.ports = "a", .queues = 3, .wanted = moves_wanted()};
	struct peer *a, *to[3];
	struct lane lanes[3];

	(void)state;
	a = peer_up(&rig, "a", &many);
	for (uint16_t i = 0; i < 3; i++) {
		const char port[2] = {(char)('b' + i), 0};

		to[i] = peer_up(&rig, port, &one);
		lanes[i] = (struct lane){.from = a, .to = to[i], .pair = i};
	}
	for (int i = 0; i < 3; i++) {
		/* All hear of it. */
		peer_send_to(&rig, to[i], mac_broadcast, 60, 0);
		for (int k = 0; k < 3; k++) {
			if (k != i)
				peer_expect(&rig, to[k], mac_broadcast, to[i]->mac, 60, 0);
		}
	}
	lanes_check(lanes, 3, &m);
	for (int i = 0; i < 3; i++)
		assert_int_not_equal(worker_of("a", i), -1);
}

static void the_worker_of_a_queue_is_where_it_was_put(void **state)
{
	struct peer *a = peer_up(&rig, "a", NULL), *b = peer_up(&rig, "b", NULL);
	json_t *answer;

	(void)state;
	for (int i = 0; i < 6; i++) {
		answer = rig_call(&rig, "worker.move", move_params("a", 0, i / 2 % 2));
		assert_string_equal(json_string_value(json_object_get(answer, "port")), "a");
		assert_true(json_is_true(json_object_get(answer, "by_hand")));
		json_decref(answer);
		assert_int_equal(worker_of("a", 0), i / 2 % 2);
		duplex_check(&rig, a, b);
	}
}

/* The one line with which a move is refused. */
static void refused(const char *port, int queue, int worker, const char *why)
{
	json_t *params = move_params(port, queue, worker);
	struct ctl_failure fail = {0};

	assert_null(ctl_call(rig.ctl.fd, "worker.move", params, rig_patience(&rig), &fail));
	json_decref(params);
	assert_int_equal(fail.code, CTL_ERR_FAILED);
	assert_string_equal(fail.message, why);
}

static void what_cannot_be_moved_is_refused(void **state)
{
	struct peer *a = peer_up(&rig, "a", NULL), *b = peer_up(&rig, "b", NULL);

	(void)state;
	refused("nobody", 0, 0, "there is no port \"nobody\"");
	refused("a", 1, 0, "queue 1 of port \"a\" does not run");
	refused("a", 65535, 0, "queue 65535 of port \"a\" does not run");
	refused("c", 0, 0, "queue 0 of port \"c\" does not run");
	refused("a", 0, 2, "there is no worker 2: they are numbered from 0 to 1");
	assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
	refused("a", 0, 1, "queue 0 of port \"a\" does not run");
	assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
	peer_sync(a);
	json_decref(rig_call(&rig, "worker.move", move_params("a", 0, 1)));
	assert_int_equal(worker_of("a", 0), 1);
	duplex_check(&rig, a, b);
}

static void a_port_may_go_while_its_queue_moves(void **state)
{
	const struct mover m = {.ports = "a", .queues = 1, .may_fail = true};
	struct peer *b = peer_up(&rig, "b", NULL), *a = peer_new(&rig, "a", NULL);

	(void)state;
	mover_start(&m);
	for (unsigned i = 0; i < moves_wanted() / 10; i++) {
		peer_start(&rig, a);
		for (uint32_t k = 0; k < 8; k++)
			peer_send_to(&rig, a, b->mac, 60, k);
		for (uint32_t k = 0; k < 8; k++)
			peer_expect(&rig, b, b->mac, a->mac, 60, k);
		peer_down(&rig, a);
	}
	mover_end();
	peer_start(&rig, a);
	duplex_check(&rig, a, b);
}

/* ---- balance ---- */

#define HEAVY_LEN 4000

/* Fill the ring with what costs the switch more than it costs us. */
static void heavy_send(struct peer *from, const struct peer *to)
{
	static uint8_t buf[HEAVY_LEN];
	const struct fe_frame frame = {.data = buf, .len = HEAVY_LEN};
	int err;

	memcpy(buf, to->mac, 6);
	memcpy(buf + 6, from->mac, 6);
	while (!(err = fe_guest_put(from->g, 0, &frame)))
		;
	assert_int_equal(err, -EAGAIN);
	fe_guest_flush(from->g, 0);
}

static struct fe_guest_config guest_heavy(void)
{
	struct fe_guest_config c = guest_usual();

	c.tx_buf_size = HEAVY_LEN + 12;
	c.rx_buf_size = HEAVY_LEN + 12;
	return c;
}

static void receive_all(struct peer *p)
{
	static uint8_t buf[FRAME_MAX];
	struct fe_received in;

	while (!fe_guest_recv(p->g, 0, buf, sizeof(buf), &in))
		;
}

/* Traffic between two guests for a moment; whether a queue of theirs has moved meanwhile. */
static bool apart_after_a_while(struct peer *a, struct peer *b)
{
	uint64_t until = rw_now_ms() + 100;

	while (rw_now_ms() < until) {
		heavy_send(a, b);
		heavy_send(b, a);
		receive_all(a);
		receive_all(b);
	}
	return worker_of(a->port, 0) != worker_of(b->port, 0);
}

static void balance_takes_load_off_a_busy_worker(void **state)
{
	const struct fe_guest_config config = guest_heavy();
	struct peer *all[4], *same[4];
	unsigned n = 0;

	(void)state;
	for (int i = 0; i < 4; i++) {
		const char port[2] = {(char)('c' + i), 0};

		all[i] = peer_up(&rig, port, &config);
	}
	/* Idle, they were shared out by number: two on each worker. */
	for (int i = 0; i < 4; i++) {
		if (worker_of(all[i]->port, 0) == 1)
			same[n++] = all[i];
	}
	assert_int_equal(n, 2);
	peers_meet(&rig, same[0], same[1]);
	rig_wait(&rig, apart_after_a_while(same[0], same[1]));
}

/* ---- fairness ---- */

static void every_busy_port_gets_its_share(void **state)
{
	static const char ports[] = "abcdef";
	const struct fe_guest_config config = guest_heavy();
	uint64_t before[6], got[6], sum = 0;
	struct peer *p[6];

	(void)state;
	for (int i = 0; i < 6; i++) {
		const char port[2] = {ports[i], 0};

		p[i] = peer_up(&rig, port, &config);
		before[i] = rig_counter(&rig, port, "rx", "frames");
	}
	for (int i = 0; i < 6; i += 2)
		peers_meet(&rig, p[i], p[i + 1]);
	while (sum < 100000) {
		/* Receivers that do not keep up cost nothing: senders have their rings full. */
		for (int i = 0; i < 6; i++)
			heavy_send(p[i], p[i ^ 1]);
		rig_nap();
		sum = 0;
		for (int i = 0; i < 6; i++) {
			got[i] = rig_counter(&rig, p[i]->port, "rx", "frames") - before[i];
			sum += got[i];
		}
	}
	for (int i = 0; i < 6; i++) {
		if (got[i] < sum / 6 / 8)
			fail_msg("port %s got %u of %u frames", p[i]->port, (unsigned)got[i],
				(unsigned)sum);
	}
}

#define test(f) cmocka_unit_test_teardown(f, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_split_queue_moves_while_traffic_flows),
		test(a_packed_queue_moves_while_traffic_flows),
		test(queues_of_one_guest_move_each_for_itself),
		test(the_worker_of_a_queue_is_where_it_was_put),
		test(what_cannot_be_moved_is_refused),
		test(a_port_may_go_while_its_queue_moves),
		test(balance_takes_load_off_a_busy_worker),
		test(every_busy_port_gets_its_share),
	};

	return cmocka_run_group_tests_name("worker_move", tests, start, rig_stop);
}
