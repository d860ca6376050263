/* SPDX-License-Identifier: BSD-3-Clause */
/* Port c connects to the front-end's socket instead of waiting for it. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct rig rig;
static char path[64]; /* beside the rig's directory, which must be empty at the end */

static int start(void **state)
{
	static const char *const more[] = {"--port=c,socket=%s-c.sock,mode=client", NULL};

	*state = &rig;
	if (rig_start(&rig, "ayz", more))
		return -1;
	snprintf(path, sizeof(path), "%s-c.sock", rig.dir);
	return 0;
}

/* The socket is the front-end's: it must outlive the daemon. */
static int stop(void **state)
{
	int fd = fe_conn_listen(path);
	int ret = rig_stop(state);

	if (access(path, F_OK)) {
		print_error("the daemon removed the front-end's socket\n");
		ret = -1;
	}
	close(fd);
	unlink(path);
	return ret;
}

/* Let the daemon in on `listen_fd` and run. */
static void accept_and_start(struct rig *r, struct peer *c, int listen_fd)
{
	assert_int_equal(fe_conn_accept(&c->g->conn, listen_fd, rig_patience(r)), 0);
	assert_int_equal(fe_guest_start(c->g), 0);
	peer_sync(c);
}

static void the_daemon_connects_when_somebody_listens(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *c = peer_new(*state, "c", NULL);
	int fd;

	assert_false(rig_port_info(*state, "c", "connected"));
	duplex_check(*state, a, peer_up(*state, "z", NULL));
	fd = fe_conn_listen(path);
	assert_true(fd >= 0);
	accept_and_start(*state, c, fd);
	duplex_check(*state, a, c);
	close(fd);
}

static void it_connects_again_whenever_the_front_end_left(void **state)
{
	struct fe_guest_config config = guest_usual();
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *c;
	int i, fd;

	fd = fe_conn_listen(path);
	assert_true(fd >= 0);
	for (i = 0; i < 6; i++) {
		config.features ^= PACKED;
		c = peer_new(*state, "c", &config);
		accept_and_start(*state, c, fd);
		duplex_check(*state, a, c);
		if (i % 2) {
			/* It dies with its listener; another takes its place later. */
			close(fd);
			peer_down(*state, c);
			unlink(path);
			duplex_check(*state, a, peer_up(*state, "y", NULL));
			peer_down(*state, rig.peers[rig.npeers - 1]);
			fd = fe_conn_listen(path);
			assert_true(fd >= 0);
		} else {
			fe_guest_disconnect(c->g);
		}
	}
	close(fd);
	unlink(path);
}

static void a_front_end_that_never_accepts_delays_nobody(void **state)
{
	struct peer *y = peer_up(*state, "y", NULL);
	struct peer *z = peer_up(*state, "z", NULL);
	int i, fd;

	fd = fe_conn_listen(path);
	assert_true(fd >= 0);
	for (i = 0; i < 20; i++) {
		duplex_check(*state, y, z);
		peer_sync(y);
	}
	peer_down(*state, y);
	peer_start(*state, y);
	duplex_check(*state, y, z);
	close(fd);
	unlink(path);
}

static void a_full_backlog_delays_nobody(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct peer *y = peer_up(*state, "y", NULL);
	struct peer *z = peer_up(*state, "z", NULL);
	struct peer *c = peer_new(*state, "c", NULL);
	int listener, first, second, i;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	second = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 0), 0);
	/* Either ours or the daemon's connection takes the only place in the queue. */
	(void)connect(first, (struct sockaddr *)&sa, sizeof(sa));
	assert_int_equal(connect(second, (struct sockaddr *)&sa, sizeof(sa)), -1);
	assert_int_equal(errno, EAGAIN);
	for (i = 0; i < 20; i++) {
		duplex_check(*state, y, z);
		peer_sync(z);
	}
	peer_down(*state, y);
	peer_start(*state, y);
	duplex_check(*state, y, z);
	close(first);
	close(second);
	close(listener);
	unlink(path);
	/* A proper front-end is still found. */
	listener = fe_conn_listen(path);
	assert_true(listener >= 0);
	accept_and_start(*state, c, listener);
	duplex_check(*state, y, c);
	close(listener);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(the_daemon_connects_when_somebody_listens),
		rig_test(it_connects_again_whenever_the_front_end_left),
		rig_test(a_front_end_that_never_accepts_delays_nobody),
		rig_test(a_full_backlog_delays_nobody),
	};

	return cmocka_run_group_tests_name("client", tests, start, stop);
}
