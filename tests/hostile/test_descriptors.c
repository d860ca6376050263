/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors that make whoever uses or closes them wait. */
#include "say.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fe_log.h"
#include "fe_messages.h"
#include "lingering.h"

/* Fill an eventfd: a write to it waits for a reader that does not come. */
static void fill(int fd)
{
	eventfd_t n;

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	do
		eventfd_read(fd, &n); /* the back-end may signal it meanwhile */
	while (eventfd_write(fd, UINT64_MAX - 1));
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

/* Control still answers for other ports. */
static void control_answers(struct rig *r)
{
	assert_int_equal(rig_port_info(r, "d", "connected"), 0);
}

/*
 * Send a message with `n` copies of `fd` and close `fd`. The descriptors go with the first bytes,
 * and ours is closed before the rest follows, so the back-end's are the last ones.
 */
static void send_last(struct peer *p, const struct request *q, int fd, uint32_t n)
{
	uint8_t bytes[VU_HEADER_SIZE + sizeof(q->payload)];
	const struct vu_header h = {
		.request = q->request, .flags = VU_VERSION | VU_FLAG_NEED_REPLY, .size = q->len};
	int fds[253];

	for (uint32_t i = 0; i < n; i++)
		fds[i] = fd;
	memcpy(bytes, &h, VU_HEADER_SIZE);
	memcpy(bytes + VU_HEADER_SIZE, &q->payload, RW_MIN(q->len, sizeof(q->payload)));
	assert_int_equal(fe_conn_send_bytes(&p->g->conn, bytes, 4, fds, n), 0);
	close(fd);
	/* The back-end may have closed the connection for the descriptors alone. */
	fe_conn_send_bytes(&p->g->conn, bytes + 4,
		VU_HEADER_SIZE + RW_MIN(q->len, sizeof(q->payload)) - 4, NULL, 0);
}

/* ---- call, error and log eventfds, the pipe of the device's state ---- */

static void s5_r66_a_full_call_eventfd_that_may_block_stops_no_worker(
	struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_up(r, "a", &c), *b = peer_up(r, "b", &c);

	peers_meet(r, a, b);
	fill(fe_guest_rx(a->g, 0)->call_fd);
	fill(fe_guest_tx(a->g, 0)->call_fd);
	for (int i = 0; i < 20; i++) {
		fe_ring_want_interrupt(&fe_guest_rx(a->g, 0)->ring, true);
		fe_ring_want_interrupt(&fe_guest_tx(a->g, 0)->ring, true);
		duplex_check(r, a, b);
	}
	control_answers(r);
}

static void s6_a_full_error_eventfd_stops_no_control(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_up(r, "a", &c);
	struct fe_queue *q = fe_guest_tx(a->g, 0);
	struct vring_avail *avail = q->ring.avail;

	assert_int_equal(fe_guest_ring_step(a->g, 1, FE_ERR), 0);
	fill(q->err_fd);
	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 0x8000), __ATOMIC_RELEASE);
	fe_queue_kick(q);
	rig_wait(r, rig_port_info(r, "a", "broken_rings") == 1);
	control_answers(r);
}

static void s6_a_full_log_eventfd_stops_no_control(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_up(r, "a", &c), *b = peer_up(r, "b", &c);
	int fd = eventfd(0, 0);
	struct fe_log log;
	uint64_t until;

	peers_meet(r, a, b);
	fill(fd);
	assert_int_equal(fe_log_init(&log, fe_log_size_for(&a->g->mem), 0), 0);
	assert_int_equal(fe_guest_log_start(a->g, &log, FE_LOG_ECHO), 0);
	assert_int_equal(fe_conn_set_log_fd(&a->g->conn, fd), 0);
	/* Control signals it some times a second. */
	for (until = rw_now_ms() + 500; rw_now_ms() < until;)
		control_answers(r);
	close(fd);
	peer_down(r, a);
	fe_log_fini(&log);
}

struct toggle {
	int fd;
	bool stop;
};

/* Let calls on a file wait, again and again. */
static void *toggle_main(void *arg)
{
	struct toggle *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED))
		fcntl(t->fd, F_SETFL, 0);
	return NULL;
}

/* A pipe that the other end neither fills nor empties. */
static void s6_a_device_state_pipe_that_may_block_stops_no_control(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);

	for (uint32_t direction = VU_STATE_SAVE; direction <= VU_STATE_LOAD; direction++) {
		const struct vu_state_fd want = {.direction = direction};
		bool save = direction == VU_STATE_SAVE;
		struct peer *a = peer_new(r, "a", &c);
		struct toggle t = {.stop = false};
		pthread_t thread;
		uint64_t until;
		int fds[2];

		assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
		t.fd = fds[save];
		while (save && write(fds[1], "full", 4) == 4)
			;
		peer_connect(r, a);
		assert_int_equal(fe_guest_negotiate(a->g), 0);
		assert_int_equal(say_with(a, VU_SET_DEVICE_STATE_FD, &want, sizeof(want), t.fd, 1),
			SAID_YES);
		assert_int_equal(pthread_create(&thread, NULL, toggle_main, &t), 0);
		for (until = rw_now_ms() + 300; rw_now_ms() < until;) {
			const struct vu_header h = {
				VU_CHECK_DEVICE_STATE, VU_VERSION | VU_FLAG_NEED_REPLY, 0};

			/* The answer may take as long as we choose, to this port alone. */
			fe_conn_send_bytes(&a->g->conn, &h, VU_HEADER_SIZE, NULL, 0);
			control_answers(r);
		}
		__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		close(fds[0]);
		close(fds[1]);
		peer_down(r, a);
	}
}

/* ---- close ---- */

static void s7_a_descriptor_that_lingers_stops_no_control(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_new(r, "a", &c);

	for (size_t m = 0; m < nrequests; m++) {
		static const uint32_t counts[] = {1, 253};

		for (size_t k = 0; k < RW_ARRAY_SIZE(counts); k++) {
			int peer, fd = lingering_socket(&peer);
			struct pollfd answer = {.events = POLLIN};
			struct fe_msg reply;

			if (!a->g->conn.protocol_features) {
				peer_connect(r, a);
				assert_int_equal(fe_guest_negotiate(a->g), 0);
			}
			send_last(a, &requests[m], fd, counts[k]);
			/* An answer, or the end, comes at once or after the close. */
			answer.fd = a->g->conn.fd;
			poll(&answer, 1, 100);
			control_answers(r);
			/* As long as this is open the close goes on. */
			close(peer);
			if (fe_conn_recv(&a->g->conn, &reply))
				fe_guest_disconnect(a->g);
			else
				fe_msg_drop_fds(&reply);
		}
	}
}

/* Connections that the port refuses are closed with what came through them. */
static void s7_a_descriptor_that_nobody_read_stops_no_control(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_up(r, "a", &c);
	int peer[8], stuck, fd = lingering_socket(&stuck);

	/* The port's helper is stuck, so the refused connections stay open for now. */
	send_last(a, &requests[0], fd, 1);
	for (size_t i = 0; i < RW_ARRAY_SIZE(peer); i++) {
		int status;
		pid_t child;

		fd = lingering_socket(&peer[i]);
		child = fork();
		if (!child) {
			struct fe_conn conn;

			status = fe_conn_open(&conn, rig_path(r, "a.sock")) ||
				fe_conn_send_bytes(&conn, "1234", 4, &fd, 1);
			_exit(status); /* a process that ends does not linger */
		}
		assert_true(child > 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (status)
			close(peer[i]); /* nobody else has it, and closing it would linger here */
		close(fd);
		assert_int_equal(status, 0);
		control_answers(r);
	}
	close(stuck);
	for (size_t i = 0; i < RW_ARRAY_SIZE(peer); i++) {
		control_answers(r);
		close(peer[i]);
	}
}

/*
 * What a stuck helper has still to close is charged to the port: to the front-end that sent it, and
 * to the next one.
 */
static void s16_descriptors_that_wait_to_be_closed_are_charged(struct rig *r, uint64_t format)
{
	const uint64_t ring = 0;
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a = peer_up(r, "a", &c);
	uint64_t before = port_budget(r, "a", "fds", "used"), mapped;
	int stuck, fd = lingering_socket(&stuck), other = fd_of(FD_SOCKET);
	const struct request call = {.request = VU_SET_VRING_CALL, .len = sizeof(ring)};
	struct fe_msg answer;
	char limit[24];

	send_last(a, &call, fd, 1);
	assert_int_equal(fe_conn_recv(&a->g->conn, &answer), 0);
	/* Refused, for they are no eventfds; and the last ones wait behind the first. */
	for (int i = 0; i < 20; i++)
		say_with(a, VU_SET_VRING_CALL, &ring, sizeof(ring), other, 1);
	close(other);
	rig_wait(r, port_budget(r, "a", "fds", "used") >= before + 20);
	mapped = port_budget(r, "a", "mapped", "used");
	peer_down(r, a);
	rig_wait(r, port_budget(r, "a", "mapped", "used") >= mapped);
	assert_true(port_budget(r, "a", "fds", "used") >= before + 20);
	/* The next one has so much less, until it is closed. */
	snprintf(limit, sizeof(limit), "%ju", (uintmax_t)port_budget(r, "a", "fds", "used") + 1);
	port_set(r, "a", "max-fds", limit);
	peer_connect(r, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	assert_int_equal(fe_guest_share_memory(a->g), -EREMOTEIO);
	close(stuck);
	rig_wait(r, port_budget(r, "a", "fds", "used") < 20);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	peer_down(r, a);
	rig_wait(r, !port_budget(r, "a", "fds", "used"));
	rig_wait(r, !port_budget(r, "a", "mapped", "used"));
	port_set(r, "a", "max-fds", "2048");
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK_BOTH(s5_r66_a_full_call_eventfd_that_may_block_stops_no_worker),
		ATTACK(s6_a_full_error_eventfd_stops_no_control),
		ATTACK(s6_a_full_log_eventfd_stops_no_control),
		ATTACK(s6_a_device_state_pipe_that_may_block_stops_no_control),
		ATTACK_ONCE(s7_a_descriptor_that_lingers_stops_no_control),
		ATTACK(s7_a_descriptor_that_nobody_read_stops_no_control),
		ATTACK(s16_descriptors_that_wait_to_be_closed_are_charged),
	};

	return hostile_main("hostile_descriptors", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
