/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections and ports that come and go: with bad paths, twice, in the middle of everything. */
#include "say.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rw_sock.h"
#include "traffic.h"

/* ---- sockets ---- */

static void r13_a_second_front_end_is_turned_away(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (int i = 0; i < 100; i++) {
		int fd = rw_sock_connect(rig_path(r, "a.sock"));

		assert_true(fd >= 0 || errno == EAGAIN);
		if (fd >= 0)
			close(fd);
		if (i % 10 == 0)
			duplex_check(r, a, b);
	}
	rig_wait(r, rig_port_info(r, "a", "connected"));
	duplex_check(r, a, b);
}

/* port.add with the socket at `path`: whether it was taken. */
static bool is_added(struct rig *r, const char *path)
{
	json_t *params = json_pack("{s:s, s:s}", "name", "v", "socket", path);
	struct ctl_failure fail;
	json_t *answer = ctl_call(r->ctl.fd, "port.add", params, rig_patience(r), &fail);

	json_decref(params);
	json_decref(answer);
	return answer;
}

static void port_del(struct rig *r, const char *name)
{
	json_decref(rig_call(r, "port.del", json_pack("{s:s}", "name", name)));
}

/* Also DPDK a5e20775a7: the longest path that a socket can have, and one more. */
static void r14_a_path_that_is_too_long_or_taken_is_an_error(struct rig *r, uint64_t format)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 2];
	size_t dir, longest = sizeof(path) - 3; /* 107 bytes and a zero */
	int fd;

	(void)format;
	dir = (size_t)snprintf(path, sizeof(path), "%s/", r->dir);
	memset(path + dir, 'x', sizeof(path) - dir);
	path[longest + 1] = 0;
	assert_false(is_added(r, path));
	path[longest] = 0;
	assert_true(is_added(r, path));
	port_del(r, "v");
	assert_int_not_equal(access(path, F_OK), 0);
	/* A file that somebody left; a socket that nobody listens on is replaced. */
	fd = open(rig_path(r, "v.sock"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_false(is_added(r, rig_path(r, "v.sock")));
	unlink(rig_path(r, "v.sock"));
	assert_true(is_added(r, rig_path(r, "v.sock")));
	/* Deleted while it is in use: the port can go, and come again. */
	unlink(rig_path(r, "v.sock"));
	port_del(r, "v");
	assert_true(is_added(r, rig_path(r, "v.sock")));
	port_del(r, "v");
}

/* ---- a front-end that dies or stands still ---- */

/*
 * A process of its own, for the canary's threads may hold a lock of the allocator at a fork: start
 * a guest on the port with the socket `path`, say so on standard output, send for ever.
 */
static int front_end_main(const char *path, const char *format)
{
	const struct fe_guest_config c = guest_of_all(*format == 'p' ? PACKED : 0);
	static uint8_t buf[1500];
	const struct fe_frame f = {.data = buf, .len = sizeof(buf)};
	struct fe_guest *g;

	if (fe_guest_new(&c, &g) || fe_guest_connect(g, path) || fe_guest_start(g))
		return 1;
	frame_make(buf, sizeof(buf), mac_broadcast, (uint8_t[]){2, 0, 0, 0, 0, 1}, 1);
	if (write(STDOUT_FILENO, "x", 1) != 1)
		return 1;
	for (;;) {
		while (!fe_guest_put(g, 0, &f))
			;
		fe_guest_flush(g, 0);
	}
}

static pid_t front_end_start(struct rig *r, uint64_t format)
{
	const char *path = rig_path(r, "a.sock");
	struct pollfd ready = {.events = POLLIN};
	int fds[2];
	pid_t pid;
	char c;

	rig_wait(r, !rig_port_info(r, "a", "connected"));
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(fds[1], STDOUT_FILENO) >= 0)
			execl("/proc/self/exe", "front-end", path, format ? "packed" : "split",
				NULL);
		_exit(127);
	}
	close(fds[1]);
	ready.fd = fds[0];
	assert_int_equal(poll(&ready, 1, rig_patience(r)), 1);
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	return pid;
}

/* Also VPP 7e5735d312: killed in the middle of sending; another one takes the socket. */
static void r76_a_killed_front_end_leaves_nothing(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a, *b;

	for (int i = 0; i < 10 / r->slow + 2; i++) {
		pid_t pid = front_end_start(r, format);

		for (int k = 0; k < i * 7; k++)
			rig_nap();
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		rig_wait(r, !rig_port_info(r, "a", "connected"));
	}
	a = pair_up(r, &c, &b);
	duplex_check(r, a, b);
}

/* Also VPP 0c3d467df4: a virtual machine that is paused, with frames for it. */
static void vpp_0c3d467df4_a_front_end_that_stands_still_holds_up_nobody(
	struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b = peer_up(r, "b", &c);
	pid_t pid = front_end_start(r, format);

	assert_int_equal(kill(pid, SIGSTOP), 0);
	for (int i = 0; i < 300; i++) {
		peer_send_to(r, b, (uint8_t[]){2, 0, 0, 0, 0, 1}, 1000, (uint32_t)i);
		if (i % 30 == 0)
			json_decref(rig_call(r, "port.show", json_pack("{s:s}", "name", "a")));
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_wait(r, !rig_port_info(r, "a", "connected"));
}

/* Also OVS 7f5f2bd0c and VPP 67f935ec6e: a guest whose driver comes and goes all the time. */
static void ovs_7f5f2bd0c_a_port_that_flaps_costs_others_nothing(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (int i = 0; i < 150 / r->slow + 10; i++) {
		for (uint32_t k = 0; k < 2; k++)
			assert_int_equal(fe_guest_stop_ring(a->g, k, NULL), 0);
		if (i % 3 == 0) {
			assert_int_equal(fe_conn_order(&a->g->conn, VU_RESET_DEVICE), 0);
			assert_int_equal(
				fe_conn_set(&a->g->conn, VU_SET_FEATURES, a->g->features), 0);
		}
		run_rings(a);
		if (i % 16 == 0)
			duplex_check(r, a, b);
	}
	duplex_check(r, a, b);
}

/* Also OVS e24b68fa7 and R70: rings are enabled and disabled while others look at the port. */
static void r70_a_storm_of_enabling_under_traffic_and_statistics(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (int i = 0; i < 300 / r->slow + 10; i++) {
		for (uint32_t k = 0; k < 4; k++)
			peer_send_to(r, a, b->mac, 200, k);
		assert_int_equal(fe_guest_enable(a->g, (uint32_t)i & 1, false), 0);
		if (i % 8 == 0)
			json_decref(rig_call(r, "port.stats", NULL));
		assert_int_equal(fe_guest_enable(a->g, (uint32_t)i & 1, true), 0);
		peer_drain(r, b);
	}
	peer_rest(r, a);
	peer_drain(r, b);
	duplex_check(r, a, b);
	/* Disabled, a ring is left alone: what comes for the guest is dropped. */
	assert_int_equal(fe_guest_enable(a->g, 0, false), 0);
	peer_send_to(r, b, a->mac, 200, 1);
	peer_rest(r, b);
	assert_false(fe_ring_has_used(&fe_guest_rx(a->g, 0)->ring));
	assert_int_equal(fe_guest_enable(a->g, 0, true), 0);
	duplex_check(r, a, b);
}

static void r70_without_protocol_features_rings_start_enabled(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_usual();
	struct peer *b, *a;

	c.features = (c.features | format) & ~FE_BIT(VU_F_PROTOCOL_FEATURES);
	a = peer_up(r, "a", &c);
	b = peer_up(r, "b", NULL);
	/* Nothing that a says is acknowledged. */
	peer_sync(a);
	peers_meet(r, a, b);
	/* Another kick descriptor does not disable it. */
	assert_int_equal(fe_guest_ring_step(a->g, 0, FE_KICK), 0);
	assert_int_equal(fe_guest_ring_step(a->g, 1, FE_KICK), 0);
	peer_sync(a);
	duplex_check(r, a, b);
}

static void r71_features_change_at_rest_only(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);
	const uint64_t ok = a->g->features;
	const uint64_t bad[] = {ok ^ FE_BIT(VIRTIO_NET_F_MRG_RXBUF), ok ^ PACKED,
		ok & ~FE_BIT(VIRTIO_F_VERSION_1), ok | FE_BIT(63), ok | FE_BIT(50), 0, UINT64_MAX};
	const uint64_t log = ok | FE_BIT(VU_F_LOG_ALL);
	struct peer *c_at_rest = peer_new(r, "c", &c);

	/* What is not offered is refused at rest, too. */
	negotiated_anew(r, c_at_rest);
	for (unsigned bit = 0; bit < 64; bit++) {
		const uint64_t more = ok | FE_BIT(bit);

		if (!(c_at_rest->g->offered >> bit & 1))
			refused(r, c_at_rest, VU_SET_FEATURES, &more, 8, -1);
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		if (refused(r, a, VU_SET_FEATURES, &bad[i], 8, -1))
			run_rings(a);
		duplex_check(r, a, b);
	}
	/* What is on stays on; logging may begin and end. */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(say_with(a, VU_SET_FEATURES, &log, 8, -1, 0), SAID_YES);
		assert_int_equal(say_with(a, VU_SET_FEATURES, &ok, 8, -1, 0), SAID_YES);
		duplex_check(r, a, b);
	}
}

/* ---- stopping ---- */

static void r67_a_stopped_ring_tells_where_it_was_and_others_go_on(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	const struct stream s = {.n = 7, .len = 100, .window = 1};
	struct peer *b, *a = pair_up(r, &c, &b);
	uint32_t first, second;

	stream_check(r, a, b, &s);
	peer_rest(r, a);
	assert_int_equal(fe_guest_stop_ring(a->g, 1, &first), 0);
	if (!format)
		assert_int_equal(first, fe_guest_tx(a->g, 0)->ring.avail_idx);
	else
		assert_int_equal(
			first & VU_PACKED_AVAIL_MASK, fe_guest_tx(a->g, 0)->ring.avail_idx);
	assert_int_equal(fe_guest_stop_ring(a->g, 1, &second), 0);
	assert_int_equal(first, second);
	stream_check(r, b, a, &s); /* the other direction */
	assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
	stream_check(r, a, b, &s);
}

static void r68_a_ring_that_never_was_has_a_base(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (uint32_t i = 2; i < 256; i += 23) {
		const struct vu_vring_state state = {.index = i};

		assert_int_equal(say_with(a, VU_GET_VRING_BASE, &state, 8, -1, 0), SAID_YES);
	}
	duplex_check(r, a, b);
}

static void r69_a_stopped_ring_stays_so_until_it_is_kicked(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(fe_guest_stop_ring(a->g, i, NULL), 0);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(fe_guest_ring_step(a->g, i, FE_ENABLE), 0);
		assert_int_equal(fe_guest_ring_step(a->g, i, FE_CALL), 0);
	}
	assert_false(rig_port_info(r, "a", "link"));
	peer_send_to(r, b, a->mac, 100, 1);
	peer_rest(r, b);
	assert_false(fe_ring_has_used(&fe_guest_rx(a->g, 0)->ring));
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(fe_guest_start_ring(a->g, i), 0);
	duplex_check(r, a, b);
}

/* Also OVS daf22bf7a and 6fae899: frames for a port that goes at that moment. */
static void r72_a_front_end_leaves_in_the_middle_of_a_burst(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (int i = 0; i < 60 / r->slow + 5; i++) {
		for (uint32_t k = 0; k < 16; k++) {
			peer_send_to(r, b, a->mac, 1000, k);
			peer_send_to(r, a, b->mac, 1000, k);
		}
		fe_guest_disconnect(a->g);
		peer_drain(r, b);
		peer_start(r, a);
	}
	peer_drain(r, b);
	duplex_check(r, a, b);
}

/* What a thread needs that connects and leaves. */
struct visitor {
	char path[64];
	struct fe_guest *g;
	uint32_t stop;
};

static void *visits(void *arg)
{
	struct visitor *v = arg;

	while (!__atomic_load_n(&v->stop, __ATOMIC_RELAXED)) {
		if (!fe_guest_connect(v->g, v->path) && !fe_guest_start(v->g))
			fe_queue_kick(fe_guest_tx(v->g, 0));
		fe_guest_disconnect(v->g);
		rig_nap();
	}
	return NULL;
}

/* Also R73: a port is deleted and added while front-ends connect to it. */
static void r72_a_port_is_deleted_while_front_ends_connect(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct visitor v[2] = {{.stop = 0}};
	pthread_t threads[2];

	for (size_t i = 0; i < 2; i++) {
		snprintf(v[i].path, sizeof(v[i].path), "%s", rig_path(r, "v.sock"));
		assert_int_equal(fe_guest_new(&c, &v[i].g), 0);
		v[i].g->conn.timeout_ms = rig_patience(r);
		assert_int_equal(pthread_create(&threads[i], NULL, visits, &v[i]), 0);
	}
	for (int i = 0; i < 100 / r->slow + 5; i++) {
		assert_true(is_added(r, rig_path(r, "v.sock")));
		for (int k = 0; k < i % 40; k++)
			rig_nap();
		port_del(r, "v");
	}
	for (size_t i = 0; i < 2; i++) {
		__atomic_store_n(&v[i].stop, 1, __ATOMIC_RELAXED);
		pthread_join(threads[i], NULL);
		fe_guest_free(v[i].g);
	}
}

/* ---- numbers ---- */

/* Also DPDK 8acd7c2133 and 7cc4f260bf: only some of many rings are there; the highest, too. */
static void r82_rings_may_have_holes_between_them(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a, *b = peer_up(r, "b", &c);
	const uint32_t some[] = {6, 7, 255, 12, 3};

	c.pairs = 128;
	c.tx_size = c.rx_size = 16;
	a = negotiated(r, &c);
	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	for (size_t i = 0; i < RW_ARRAY_SIZE(some); i++)
		assert_int_equal(fe_guest_start_ring(a->g, some[i]), 0);
	peer_sync(a);
	for (uint32_t k = 0; k < 50; k++)
		peer_send_to(r, b, a->mac, 300, k);
	for (uint32_t i = 0; i < 256; i++)
		assert_int_equal(fe_guest_stop_ring(a->g, i, NULL), 0);
	run_rings(a);
	peers_meet(r, a, b);
	duplex_check(r, a, b);
}

/* 128 pairs were set up, then MQ is declined. */
static void r82_many_queues_without_mq(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *b = peer_up(r, "b", &c), *a;

	c.pairs = 8;
	a = peer_up(r, "a", &c);
	for (uint32_t i = 0; i < a->g->nqueues; i++)
		assert_int_equal(fe_guest_stop_ring(a->g, i, NULL), 0);
	a->g->features &= ~FE_BIT(VIRTIO_NET_F_MQ);
	assert_int_equal(fe_conn_set(&a->g->conn, VU_SET_FEATURES, a->g->features), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(fe_guest_start_ring(a->g, i), 0);
	duplex_check(r, a, b);
}

/* Also VPP 0d150bb132: no descriptor is left, then there are again. */
static void r82_exhausted_descriptors_come_back(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct rlimit was, few;
	struct peer *a, *b;
	int fds[64];
	size_t n = 0;

	assert_int_equal(prlimit(r->pid, RLIMIT_NOFILE, NULL, &was), 0);
	few = was;
	few.rlim_cur = 3; /* below what is open: nothing can be opened */
	assert_int_equal(prlimit(r->pid, RLIMIT_NOFILE, &few, NULL), 0);
	for (; n < RW_ARRAY_SIZE(fds); n++) {
		fds[n] = rw_sock_connect(rig_path(r, n % 2 ? "a.sock" : "b.sock"));
		if (fds[n] < 0)
			break;
	}
	for (int i = 0; i < 1000; i++)
		rig_nap();
	assert_int_equal(prlimit(r->pid, RLIMIT_NOFILE, &was, NULL), 0);
	while (n)
		close(fds[--n]);
	a = pair_up(r, &c, &b);
	duplex_check(r, a, b);
}

/* Also R74: a front-end that describes its rings differently each time it comes. */
static void r74_a_stale_base_of_a_restarted_ring_is_survived(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (uint32_t i = 0; i < 10; i++) {
		for (uint32_t k = 0; k < 2; k++) {
			assert_int_equal(fe_guest_stop_ring(a->g, k, NULL), 0);
			a->g->queues[k].base = format ? i * 0x8001 : i * 77;
			(void)fe_guest_start_ring(a->g, k);
		}
		peer_sync(a);
		for (uint32_t k = 0; k < 3; k++)
			peer_send_to(r, b, a->mac, 100, k);
		peer_rest(r, b);
	}
	fe_guest_disconnect(a->g);
	peer_start(r, a);
	duplex_check(r, a, b);
}

int main(int argc, char **argv)
{
	static const struct attack attacks[] = {
		ATTACK(r13_a_second_front_end_is_turned_away),
		ATTACK(r14_a_path_that_is_too_long_or_taken_is_an_error),
		ATTACK_BOTH(r67_a_stopped_ring_tells_where_it_was_and_others_go_on),
		ATTACK_BOTH(r68_a_ring_that_never_was_has_a_base),
		ATTACK_BOTH(r69_a_stopped_ring_stays_so_until_it_is_kicked),
		ATTACK_BOTH(r70_a_storm_of_enabling_under_traffic_and_statistics),
		ATTACK(r70_without_protocol_features_rings_start_enabled),
		ATTACK_BOTH(r71_features_change_at_rest_only),
		ATTACK_BOTH(r72_a_front_end_leaves_in_the_middle_of_a_burst),
		ATTACK(r72_a_port_is_deleted_while_front_ends_connect),
		ATTACK_BOTH(r74_a_stale_base_of_a_restarted_ring_is_survived),
		ATTACK_BOTH(r76_a_killed_front_end_leaves_nothing),
		ATTACK_BOTH(vpp_0c3d467df4_a_front_end_that_stands_still_holds_up_nobody),
		ATTACK_BOTH(ovs_7f5f2bd0c_a_port_that_flaps_costs_others_nothing),
		ATTACK_BOTH(r82_rings_may_have_holes_between_them),
		ATTACK(r82_many_queues_without_mq),
		ATTACK(r82_exhausted_descriptors_come_back),
	};

	if (argc == 3)
		return front_end_main(argv[1], argv[2]);
	return hostile_main("hostile_ports", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
