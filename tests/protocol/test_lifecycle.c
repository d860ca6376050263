/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Front-ends that come and go at any moment. Ports y and z are canaries: they keep exchanging
 * frames whatever happens to a and b.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abyz", NULL);
}

struct canaries {
	struct peer *y, *z;
};

static void canaries_up(struct rig *r, struct canaries *c)
{
	c->y = peer_up(r, "y", NULL);
	c->z = peer_up(r, "z", NULL);
	peers_meet(r, c->y, c->z);
}

/* Every step of a connection up to running; taken one by one. */
enum { STEP_CONNECT, STEP_NEGOTIATE, STEP_MEMORY, STEP_RINGS };
#define STEPS (STEP_RINGS + 2 * FE_NUM_STEPS)

static void step_take(struct rig *r, struct peer *p, uint32_t step)
{
	switch (step) {
	case STEP_CONNECT:
		peer_connect(r, p);
		break;
	case STEP_NEGOTIATE:
		assert_int_equal(fe_guest_negotiate(p->g), 0);
		assert_int_equal(fe_guest_reset_rings(p->g), 0);
		break;
	case STEP_MEMORY:
		assert_int_equal(fe_guest_share_memory(p->g), 0);
		break;
	default:
		step -= STEP_RINGS;
		assert_int_equal(
			fe_guest_ring_step(p->g, step / FE_NUM_STEPS, step % FE_NUM_STEPS), 0);
	}
}

static void a_front_end_may_leave_after_any_step_and_come_back(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	struct canaries canaries;
	uint32_t last, step;

	canaries_up(*state, &canaries);
	for (last = 0; last < STEPS; last++) {
		c.features ^= PACKED;
		a = peer_new(*state, "a", &c);
		for (step = 0; step <= last; step++)
			step_take(*state, a, step);
		fe_guest_disconnect(a->g);
		duplex_check(*state, canaries.y, canaries.z);
		peer_start(*state, a);
		peers_meet(*state, a, b);
		duplex_check(*state, a, b);
		peer_down(*state, a);
	}
}

static void a_front_end_may_leave_within_a_message(void **state)
{
	const struct vu_header whole = {VU_SET_VRING_NUM, VU_VERSION, 8};
	struct peer *a, *b = peer_up(*state, "b", NULL);
	struct canaries canaries;
	size_t n;

	canaries_up(*state, &canaries);
	for (n = 1; n <= sizeof(whole); n++) {
		a = peer_new(*state, "a", NULL);
		peer_connect(*state, a);
		assert_int_equal(fe_conn_send_bytes(&a->g->conn, &whole, n, NULL, 0), 0);
		fe_guest_disconnect(a->g);
		duplex_check(*state, canaries.y, canaries.z);
		peer_start(*state, a);
		peers_meet(*state, a, b);
		peer_down(*state, a);
	}
}

static void traffic_survives_the_loss_of_either_end(void **state)
{
	struct fe_guest_config c = guest_usual();
	const struct stream s = {.n = 200, .len = 200, .window = 32};
	struct peer *a, *b;
	struct canaries canaries;
	uint32_t round, i;

	canaries_up(*state, &canaries);
	for (round = 0; round < 20; round++) {
		c.features ^= PACKED;
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		peers_meet(*state, a, b);
		stream_check(*state, a, b, &s);
		/* Frames are under way in both directions when one end leaves. */
		for (i = 0; i < 100; i++) {
			peer_send_to(*state, a, b->mac, 1500, i);
			peer_send_to(*state, b, a->mac, 1500, i);
		}
		fe_guest_disconnect(round % 2 ? a->g : b->g);
		for (i = 0; i < 100; i++)
			peer_send_to(*state, round % 2 ? b : a, canaries.y->mac, 60, 1000 + i);
		for (i = 0; i < 100; i++)
			peer_expect(*state, canaries.y, canaries.y->mac, (round % 2 ? b : a)->mac,
				60, 1000 + i);
		duplex_check(*state, canaries.y, canaries.z);
		peer_down(*state, a);
		peer_down(*state, b);
	}
}

static void a_reconnected_guest_keeps_its_rings(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint32_t round, ring;

	for (round = 0; round < 2; round++) {
		c.features ^= PACKED;
		a = peer_up(*state, "a", &c);
		duplex_check(*state, a, b);
		for (ring = 0; ring < 2; ring++)
			assert_int_equal(fe_guest_stop_ring(a->g, ring, NULL), 0);
		peer_down(*state, a);
		/* No new rings: the guest did not notice, the front-end resumes where it was. */
		peer_connect(*state, a);
		assert_int_equal(fe_guest_negotiate(a->g), 0);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		for (ring = 0; ring < 2; ring++)
			assert_int_equal(fe_guest_start_ring(a->g, ring), 0);
		duplex_check(*state, a, b);
		peer_down(*state, a);
	}
}

static void a_second_front_end_is_refused(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	struct fe_conn second;
	int i;

	duplex_check(*state, a, b);
	for (i = 0; i < 20; i++) {
		fe_conn_init(&second, -1);
		second.timeout_ms = rig_patience(*state);
		assert_int_equal(fe_conn_open(&second, rig_path(*state, "a.sock")), 0);
		assert_int_equal(fe_conn_wait_closed(&second), 0);
		fe_conn_close(&second);
		duplex_check(*state, a, b);
	}
}

static void a_front_end_that_stalls_within_a_message_delays_nobody(void **state)
{
	struct rig *r = *state;
	const struct vu_header part = {VU_SET_MEM_TABLE, VU_VERSION, 40};
	struct peer *a = peer_new(r, "a", NULL);
	struct canaries canaries;
	uint64_t before, features;
	int i;

	peer_connect(r, a);
	/* A header whose payload does not come. */
	assert_int_equal(fe_conn_send_bytes(&a->g->conn, &part, sizeof(part), NULL, 0), 0);
	canaries_up(r, &canaries);
	for (i = 0; i < 10; i++) {
		before = rw_now_ms();
		assert_int_equal(fe_conn_get(&canaries.y->g->conn, VU_GET_FEATURES, &features), 0);
		assert_in_range(rw_now_ms() - before, 0, 100 * r->slow);
	}
	peer_down(r, canaries.y);
	peer_start(r, canaries.y);
	duplex_check(r, canaries.y, canaries.z);
}

static void a_message_may_arrive_byte_by_byte(void **state)
{
	const struct vu_header header = {VU_GET_FEATURES, VU_VERSION, 0};
	struct peer *a = peer_new(*state, "a", NULL);
	struct fe_msg reply;
	size_t i;

	peer_connect(*state, a);
	for (i = 0; i < sizeof(header); i++) {
		assert_int_equal(
			fe_conn_send_bytes(&a->g->conn, (const char *)&header + i, 1, NULL, 0), 0);
		json_decref(rig_call(*state, "version", NULL)); /* the daemon turns meanwhile */
	}
	assert_int_equal(fe_conn_recv(&a->g->conn, &reply), 0);
	assert_int_equal(reply.header.request, VU_GET_FEATURES);
	assert_int_equal(reply.header.size, 8);
}

/* What a daemon that leaks would have more and more of. */
struct footprint {
	unsigned fds, maps;
	unsigned guest_maps;    /* of guests' memory */
	unsigned long data_kib; /* private writable memory */
};

static unsigned count_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void footprint_read(const struct rig *r, struct footprint *out)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)r->pid);
	out->fds = count_entries(path);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)r->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	out->maps = out->guest_maps = 0;
	while (fgets(line, sizeof(line), f)) {
		out->maps += strchr(line, '\n') != NULL;
		out->guest_maps += strstr(line, "memfd:") != NULL;
	}
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)r->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	out->data_kib = 0;
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmData: %lu", &out->data_kib);
	fclose(f);
	assert_int_not_equal(out->data_kib, 0);
}

/*
 * Files and mappings of guests are no more than they were; other mappings, of which each thread's
 * arena has some, and memory hardly.
 */
static void footprint_is_still(const struct rig *r, const struct footprint *before)
{
	/* A sanitizer keeps freed memory, and looks for leaks itself. */
	const unsigned most_maps = before->maps + (r->slow > 1 ? 20 : 8);
	struct footprint now;

	/* A thread of the port closes and unmaps them. */
	rig_wait((struct rig *)(uintptr_t)r,
		(footprint_read(r, &now),
			now.fds <= before->fds && now.guest_maps <= before->guest_maps &&
				now.maps <= most_maps));
	if (r->slow > 1)
		return;
	/* 1 KiB for each round would show. */
	assert_in_range(now.data_kib, 0, before->data_kib + 512);
}

static void a_thousand_connections_leave_nothing_behind(void **state)
{
	struct rig *r = *state;
	struct fe_guest_config c = guest_usual();
	struct footprint before = {0};
	struct peer *a[2];
	int i;

	a[0] = peer_new(r, "a", &c);
	c.features |= PACKED;
	a[1] = peer_new(r, "a", &c);
	for (i = 0; i < 1000 + 50; i++) {
		/* The first rounds fill caches and pools. */
		if (i == 50)
			footprint_read(r, &before);
		peer_start(r, a[i % 2]);
		peer_send_to(r, a[i % 2], mac_broadcast, 60, (uint32_t)i);
		peer_down(r, a[i % 2]);
	}
	footprint_is_still(r, &before);
}

/* A message is answered before its descriptors are closed: wait for the end of the last one. */
static void footprint_of_idle(struct rig *r, struct peer *p, struct footprint *out)
{
	peer_sync(p);
	footprint_read(r, out);
}

static void a_thousand_repetitions_leave_nothing_behind(void **state)
{
	struct rig *r = *state;
	struct peer *a = peer_up(r, "a", NULL);
	struct footprint before = {0};
	uint32_t i, ring, step;

	for (i = 0; i < 1000 + 50; i++) {
		if (i == 50)
			footprint_of_idle(r, a, &before);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		for (ring = 0; ring < 2; ring++) {
			for (step = 0; step < FE_NUM_STEPS; step++)
				assert_int_equal(
					fe_guest_ring_step(a->g, ring, (enum fe_step)step), 0);
			assert_int_equal(fe_guest_stop_ring(a->g, ring, NULL), 0);
		}
	}
	peer_sync(a);
	footprint_is_still(r, &before);
}

static void descriptors_that_no_message_wants_are_closed(void **state)
{
	static const uint32_t counts[] = {1, 2, VU_MAX_FDS};
	struct fe_msg msgs[] = {
		{.header = {VU_SET_OWNER, 0, 0}},
		{.header = {VU_SET_VRING_NUM, 0, 8}, .payload.state = {0, 256}},
		{.header = {VU_SET_VRING_NUM, 0, 7}},
		{.header = {VU_SET_FEATURES, 0, 8}},
		{.header = {VU_SET_MEM_TABLE, 0, 8}},
		{.header = {99, 0, 8}},
		{.header = {VU_SET_VRING_CALL, 0, 8}, .payload.u64 = VU_VRING_NOFD},
	};
	struct rig *r = *state;
	struct peer *a = peer_up(r, "a", NULL);
	struct footprint before = {0};
	uint32_t i, k, n;

	for (n = 0; n < 50; n++) {
		if (n == 10)
			footprint_of_idle(r, a, &before);
		for (i = 0; i < RW_ARRAY_SIZE(msgs); i++) {
			for (k = 0; k < RW_ARRAY_SIZE(counts); k++) {
				struct fe_msg msg = msgs[i];

				for (; msg.nfds < counts[k]; msg.nfds++)
					msg.fds[msg.nfds] = a->g->queues[0].call_fd;
				/* One with "no descriptor" is just closed; the rest is refused. */
				if (msg.header.request == VU_SET_VRING_CALL && counts[k] == 1)
					assert_int_equal(fe_conn_tell(&a->g->conn, &msg), 0);
				else
					assert_int_equal(
						fe_conn_tell(&a->g->conn, &msg), -EREMOTEIO);
			}
		}
	}
	peer_sync(a);
	footprint_is_still(r, &before);
}

/* More descriptors than any message has: the kernel hands over a part of them. */
static void a_flood_of_descriptors_is_closed(void **state)
{
	const struct vu_header header = {VU_SET_OWNER, VU_VERSION, 0};
	struct rig *r = *state;
	struct footprint before = {0};
	struct peer *a;
	int fds[253];
	int i;

	for (i = 0; i < 50; i++) {
		if (i == 10)
			footprint_read(r, &before);
		a = peer_new(r, "a", NULL);
		peer_connect(r, a);
		for (size_t k = 0; k < RW_ARRAY_SIZE(fds); k++)
			fds[k] = a->g->queues[0].call_fd;
		assert_int_equal(
			fe_conn_send_bytes(&a->g->conn, &header, sizeof(header), fds, 253), 0);
		assert_int_equal(fe_conn_wait_closed(&a->g->conn), 0);
		peer_down(r, a);
	}
	footprint_is_still(r, &before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_front_end_may_leave_after_any_step_and_come_back),
		rig_test(a_front_end_may_leave_within_a_message),
		rig_test(traffic_survives_the_loss_of_either_end),
		rig_test(a_reconnected_guest_keeps_its_rings),
		rig_test(a_second_front_end_is_refused),
		rig_test(a_front_end_that_stalls_within_a_message_delays_nobody),
		rig_test(a_message_may_arrive_byte_by_byte),
		rig_test(a_thousand_connections_leave_nothing_behind),
		rig_test(a_thousand_repetitions_leave_nothing_behind),
		rig_test(descriptors_that_no_message_wants_are_closed),
		rig_test(a_flood_of_descriptors_is_closed),
	};

	return cmocka_run_group_tests_name("lifecycle", tests, start, rig_stop);
}
