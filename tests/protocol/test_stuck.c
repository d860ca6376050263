/* SPDX-License-Identifier: BSD-3-Clause */
/* A daemon one of whose helpers is stuck in a call still ends. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

/* A TCP socket whose close takes ten minutes: it has data that `*peer` does not read. */
static int lingering_socket(int *peer)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 600};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static const char data[1 << 16];
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	*peer = accept(listener, NULL, NULL);
	assert_true(*peer >= 0);
	close(listener);
	while (send(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return fd;
}

static void sigterm_ends_a_daemon_whose_close_is_stuck(void **state)
{
	static struct rig stuck;
	struct rig *r = &stuck;
	struct peer *a, *b;
	int peer, fd;

	(void)state;
	assert_int_equal(rig_start(r, "ab", NULL), 0);
	a = peer_up(r, "a", NULL);
	b = peer_up(r, "b", NULL);
	peers_meet(r, a, b);
	fd = lingering_socket(&peer);
	/* Refused, since it is no eventfd; the back-end's descriptor is the last one. */
	assert_int_equal(fe_conn_send_bytes(&a->g->conn,
				 &(struct vu_header){VU_SET_VRING_CALL,
					 VU_VERSION | VU_FLAG_NEED_REPLY, sizeof(uint64_t)},
				 VU_HEADER_SIZE, &fd, 1),
		0);
	close(fd);
	assert_int_equal(
		fe_conn_send_bytes(&a->g->conn, &(uint64_t){0}, sizeof(uint64_t), NULL, 0), 0);
	duplex_check(r, a, b);
	/* The peer stays open: the close goes on until the daemon is gone. */
	assert_int_equal(rig_stop((void **)&r), 0);
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sigterm_ends_a_daemon_whose_close_is_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
