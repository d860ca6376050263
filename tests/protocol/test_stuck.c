/* SPDX-License-Identifier: BSD-3-Clause */
/* A daemon one of whose helpers is stuck in a call still ends. */
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "lingering.h"

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
