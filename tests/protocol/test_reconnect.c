/* SPDX-License-Identifier: BSD-3-Clause */
/* Front-ends that cannot get there, that come back, and that come back as others. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosts.h"

static struct rig rig;
static char folder[48]; /* of port s, and of what port c connects to; not the rig's */
static char in_folder[64];

static const char *folder_path(const char *name)
{
	snprintf(in_folder, sizeof(in_folder), "%s/%s", folder, name);
	return in_folder;
}

static int start(void **state)
{
	static char server[96], client[96];
	static const char *const more[] = {server, client, "--fdb-linger=10", NULL};

	*state = &rig;
	strcpy(folder, "/tmp/ringway-reconnect.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(server, sizeof(server), "--socket-path=%s", folder_path("s.sock"));
	snprintf(client, sizeof(client), "--port=c,socket=%s,mode=client", folder_path("c.sock"));
	return rig_start(&rig, "abd", more);
}

static int stop(void **state)
{
	int ret = rig_stop(state);

	if (rmdir(folder)) {
		print_error("%s: %s\n", folder, strerror(errno));
		ret = -1;
	}
	return ret;
}

/* Lines of the daemon's log that have both texts. */
static unsigned said(const char *one, const char *other)
{
	FILE *f = fopen(rig_path(&rig, "log"), "re");
	unsigned n = 0;
	char line[1024];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, one) && strstr(line, other);
	fclose(f);
	return n;
}

/* Whether the port says that of why it has no front-end. */
static bool is_down_for(const char *port, const char *why)
{
	json_t *row = rig_call(&rig, "port.show", json_pack("{s:s}", "name", port));
	const char *down = json_string_value(json_object_get(row, "down"));
	bool is = down && strstr(down, why);

	json_decref(row);
	return is;
}

/* ---- a client that finds nobody ---- */

static void a_client_says_why_it_cannot_connect(void **state)
{
	char path[64];
	int fd;

	strcpy(path, folder_path("c.sock"));
	rig_wait(*state, is_down_for("c", "nobody listens there yet"));
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	rig_wait(*state, is_down_for("c", "is not a socket"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	rig_wait(*state, is_down_for("c", "is a symbolic link"));
	assert_int_equal(unlink(path), 0);
	rig_wait(*state, is_down_for("c", "nobody listens there yet"));
	/* Each once, although it has tried many times. */
	rig_wait(*state, said("port c", "is a symbolic link"));
	assert_int_equal(said("port c", "is not a socket"), 1);
	assert_int_equal(said("port c", "is a symbolic link"), 1);
	fd = fe_conn_listen(path);
	assert_true(fd >= 0);
	assert_int_equal(
		fe_conn_accept(&peer_new(*state, "c", NULL)->g->conn, fd, rig_patience(*state)), 0);
	rig_wait(*state, rig_port_info(*state, "c", "connected"));
	assert_false(is_down_for("c", ""));
	close(fd);
	unlink(path);
}

/* ---- files that vanish ---- */

/* A guest gets in through port s, whose socket is there again. */
static struct peer *comes_in(struct rig *r)
{
	struct peer *s = peer_new(r, "s", NULL);
	uint64_t features;

	rig_wait(r,
		!fe_guest_connect(s->g, folder_path("s.sock")) &&
			!fe_conn_get(&s->g->conn, VU_GET_FEATURES, &features));
	assert_int_equal(fe_guest_start(s->g), 0);
	peer_sync(s);
	return s;
}

static void leaves(struct rig *r, struct peer *s)
{
	fe_guest_disconnect(s->g);
	rig_wait(r, !rig_port_info(r, "s", "connected"));
}

static void a_socket_that_is_removed_is_there_again(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *s = comes_in(*state);

	assert_int_equal(unlink(folder_path("s.sock")), 0);
	rig_wait(*state, said("port s", "was removed or replaced; the port listens there again"));
	duplex_check(*state, a, s); /* who is there stays */
	leaves(*state, s);
	duplex_check(*state, a, comes_in(*state));
	leaves(*state, rig.peers[rig.npeers - 1]);
}

static void a_folder_that_is_replaced_gets_the_socket(void **state)
{
	char old[64], cmd[128];

	snprintf(old, sizeof(old), "%s.old", folder);
	assert_int_equal(rename(folder, old), 0);
	rig_wait(*state, is_down_for("s", "the directory does not exist"));
	assert_int_equal(mkdir(folder, 0755), 0);
	leaves(*state, comes_in(*state));
	rig_wait(*state, said("s.sock", "the directory does not exist") == 1);
	snprintf(cmd, sizeof(cmd), "rm -r %s", old);
	assert_int_equal(system(cmd), 0);
}

/* What somebody else put there is not touched; the port says so, and waits for its place. */
static void a_foreign_file_in_its_place_is_left_alone(void **state)
{
	char path[64];
	int fd;

	strcpy(path, folder_path("s.sock"));
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0) /* it was quicker */
		return;
	close(fd);
	rig_wait(*state, is_down_for("s", "is not a socket"));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	leaves(*state, comes_in(*state));
}

static void the_control_socket_is_there_again(void **state)
{
	struct fe_conn other;

	fe_conn_init(&other, -1);
	assert_int_equal(unlink(rig_path(*state, "ctl")), 0);
	rig_wait(*state, !fe_conn_open(&other, rig_path(*state, "ctl")));
	fe_conn_close(&other);
	/* Who was connected still is. */
	assert_false(rig_port_info(*state, "a", "connected"));
}

/* ---- front-ends that cannot go on ---- */

static void memory_that_is_not_shared_is_named(void **state)
{
	struct peer *a = peer_new(*state, "a", NULL);

	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	/* QEMU gives no memory then, and goes on. */
	fe_guest_ring_step(a->g, 0, FE_NUM);
	fe_guest_ring_step(a->g, 0, FE_ADDR);
	rig_wait(*state, said("port a: SET_VRING_ADDR", "is it shared (share=on)?"));
	fe_guest_disconnect(a->g);
	rig_wait(*state, is_down_for("a", "is it shared (share=on)?"));
}

static void a_loop_of_failures_is_said_once(void **state)
{
	struct peer *b = peer_new(*state, "b", NULL);

	for (unsigned i = 0; i < 8; i++) {
		peer_connect(*state, b);
		assert_int_equal(fe_conn_set(&b->g->conn, VU_SET_FEATURES, ~0ull) < 0 ||
				fe_guest_negotiate(b->g),
			1);
		peer_down(*state, b);
	}
	assert_int_equal(said("port b: SET_FEATURES", "features that were not offered"), 1);
	assert_true(is_down_for("b", "features that were not offered"));
	assert_int_equal(said("port b", "in a row left before a ring ran"), 1);
	/* One that works is as welcome as any. */
	duplex_check(*state, peer_up(*state, "a", NULL), peer_up(*state, "b", NULL));
	assert_false(is_down_for("b", ""));
}

/* The guest's rings as they are; its front-end names what it knows. */
static void comes_back(struct rig *r, struct peer *p)
{
	peer_connect(r, p);
	assert_int_equal(fe_guest_negotiate(p->g), 0);
	assert_int_equal(fe_guest_share_memory(p->g), 0);
	for (uint32_t i = 0; i < p->g->nqueues; i++) {
		static const enum fe_step order[] = {
			FE_NUM, FE_BASE, FE_ADDR, FE_CALL, FE_ERR, FE_ENABLE, FE_KICK};

		p->g->queues[i].base = p->g->queues[i].ring.used->idx;
		for (size_t k = 0; k < RW_ARRAY_SIZE(order); k++)
			assert_int_equal(fe_guest_ring_step(p->g, i, order[k]), 0);
	}
	peer_sync(p);
}

static void rings_do_not_go_on_with_fewer_features(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	const uint64_t all = b->g->config.features;

	duplex_check(*state, a, b);
	for (unsigned i = 0; i < 4; i++) {
		peer_down(*state, b);
		b->g->config.features = all & ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
		comes_back(*state, b);
		assert_int_equal(rig_port_info(*state, "b", "needs_reset"), 2);
		assert_false(rig_port_info(*state, "b", "link"));
	}
	assert_int_equal(said("port b: the front-end came back without VIRTIO_NET_F_MRG_RXBUF",
				 "the guest has to reset them"),
		1);
	/* With what they were set up with they do. */
	peer_down(*state, b);
	b->g->config.features = all;
	comes_back(*state, b);
	assert_int_equal(rig_port_info(*state, "b", "needs_reset"), 0);
	duplex_check(*state, a, b);
	/* The guest set up new ones. */
	peer_down(*state, b);
	b->g->config.features = all & ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	peer_start(*state, b);
	duplex_check(*state, a, b);
}

/* While the front-end of b is away, frames for b's guest reach nobody; then they reach b again. */
static void addresses_and_counters_outlive_a_front_end(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *d = peer_up(*state, "d", NULL);
	uint64_t sent, flooded, lost;

	peers_meet(*state, a, b);
	peer_send_to(*state, d, a->mac, 100, 1);
	peer_expect(*state, a, a->mac, d->mac, 100, 1);
	sent = rig_counter(*state, "b", "rx", "frames");
	assert_true(sent > 0);
	peer_down(*state, b);
	assert_int_equal(host_port(*state, b->mac, 0), 'b');
	flooded = rig_counter(*state, "d", "tx", "frames");
	lost = rig_counter(*state, "b", "tx", "drops.link_down");
	for (uint32_t i = 0; i < 5; i++)
		peer_send_to(*state, a, b->mac, 100, 10 + i);
	rig_wait(*state, rig_counter(*state, "b", "tx", "drops.link_down") == lost + 5);
	comes_back(*state, b);
	assert_int_equal(host_port(*state, b->mac, 0), 'b');
	peer_send_to(*state, a, b->mac, 100, 20);
	peer_expect(*state, b, b->mac, a->mac, 100, 20);
	assert_int_equal(rig_counter(*state, "d", "tx", "frames"), flooded);
	assert_true(rig_counter(*state, "b", "rx", "frames") >= sent);
}

/* A guest that is somewhere else by now is found there at its first frame. */
static void a_host_whose_front_end_is_away_moves_with_its_first_frame(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct peer *d = peer_up(*state, "d", NULL);

	peers_meet(*state, a, b);
	peer_down(*state, b);
	host_speaks(*state, d, b->mac, -1);
	rig_wait(*state, host_port(*state, b->mac, 0) == 'd');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_client_says_why_it_cannot_connect),
		rig_test(a_socket_that_is_removed_is_there_again),
		rig_test(a_folder_that_is_replaced_gets_the_socket),
		rig_test(a_foreign_file_in_its_place_is_left_alone),
		rig_test(the_control_socket_is_there_again),
		rig_test(memory_that_is_not_shared_is_named),
		rig_test(a_loop_of_failures_is_said_once),
		rig_test(rings_do_not_go_on_with_fewer_features),
		rig_test(addresses_and_counters_outlive_a_front_end),
		rig_test(a_host_whose_front_end_is_away_moves_with_its_first_frame),
	};

	return cmocka_run_group_tests_name("reconnect", tests, start, stop);
}
