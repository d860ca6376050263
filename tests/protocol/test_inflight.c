/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight record of the front-end: a switch that is killed under traffic, and the next one
 * that goes on with the same rings by the record. Guests a and b notice nothing but that some
 * frames come twice.
 */
#include "kill.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return kill_start(&rig, "abyz");
}

static void a_killed_switch_loses_no_frame_of_a_split_ring(void **state)
{
	const struct fe_guest_config c = guest_recorded();

	kill_and_go_on(*state, &c, 0, true, 5);
	kill_and_go_on(*state, &c, FE_BIT(VIRTIO_F_IN_ORDER), false, 5);
}

static void a_killed_switch_loses_no_frame_of_a_packed_ring(void **state)
{
	const struct fe_guest_config c = guest_recorded();

	kill_and_go_on(*state, &c, PACKED, true, 5);
	kill_and_go_on(*state, &c, PACKED | FE_BIT(VIRTIO_F_IN_ORDER), false, 5);
}

static void a_record_is_as_large_as_its_rings(void **state)
{
	struct fe_guest_config c = guest_recorded();
	struct peer *a;
	int round, fd;

	for (round = 0; round < 2; round++) {
		c.features ^= PACKED;
		a = peer_new(*state, "a", &c);
		peer_connect(*state, a);
		assert_int_equal(fe_guest_negotiate(a->g), 0);
		for (uint32_t n = 1; n <= 32768; n = n * 3 + 1) {
			struct vu_inflight_desc d = {.num_queues = 7, .queue_size = (uint16_t)n};
			uint64_t ring = c.features & PACKED ? 32 + 32ull * n : 16 + 16ull * n;

			assert_int_equal(fe_conn_get_inflight(&a->g->conn, &d, &fd), 0);
			assert_int_equal(d.num_queues, 7);
			assert_int_equal(d.queue_size, n);
			assert_int_equal(d.mmap_size, 7 * rw_align_up(ring, 64));
			assert_int_equal(fe_conn_set_inflight(&a->g->conn, &d, fd), 0);
			close(fd);
		}
		peer_down(*state, a);
	}
}

static void a_record_that_makes_no_sense_is_refused(void **state)
{
	static const struct {
		uint16_t rings, entries;
	} wrong[] = {{0, 256}, {2, 0}, {257, 256}, {2, 32769}, {65535, 65535}};
	struct fe_guest_config c = guest_recorded();
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	struct fe_conn *conn = &a->g->conn;
	const struct vu_inflight_desc good = a->g->inflight.desc;
	struct vu_inflight_desc d;
	int fd, event = eventfd(0, EFD_CLOEXEC), small = memfd_create("small", MFD_CLOEXEC);
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(wrong); i++) {
		d = (struct vu_inflight_desc){
			.num_queues = wrong[i].rings, .queue_size = wrong[i].entries};
		assert_true(fe_conn_get_inflight(conn, &d, &fd) < 0);
		d = good;
		d.num_queues = wrong[i].rings;
		d.queue_size = wrong[i].entries;
		assert_int_equal(fe_conn_set_inflight(conn, &d, a->g->inflight.fd), -EREMOTEIO);
	}
	assert_int_equal(ftruncate(small, (off_t)good.mmap_size - 1), 0);
	assert_int_equal(fe_conn_set_inflight(conn, &good, small), -EREMOTEIO);
	assert_int_equal(fe_conn_set_inflight(conn, &good, event), -EREMOTEIO);
	d = good;
	d.mmap_offset = UINT64_MAX - 7;
	assert_int_equal(fe_conn_set_inflight(conn, &d, a->g->inflight.fd), -EREMOTEIO);
	d = good;
	d.mmap_size--;
	assert_int_equal(fe_conn_set_inflight(conn, &d, a->g->inflight.fd), -EREMOTEIO);
	/* All that changed nothing. */
	duplex_check(*state, a, b);
	close(event);
	close(small);
}

/* What a predecessor left, and a front-end's bug has written over. */
static void damaged_records_harm_nobody(void **state)
{
	struct fe_guest_config c = guest_recorded();
	struct rig *r = *state;
	struct peer *a, *b = peer_up(r, "b", NULL), *y = peer_up(r, "y", NULL);
	uint32_t round, i, refused = 0;
	uint64_t len;
	uint8_t *at;

	peers_meet(r, b, y);
	a = peer_new(r, "a", &c);
	for (round = 0; round < 200 / (uint32_t)r->slow; round++) {
		if (round % 20 == 0)
			a->g->config.features ^= PACKED;
		peer_start(r, a);
		duplex_check(r, a, b);
		fe_guest_disconnect(a->g);
		for (i = 0; i < 2; i++) {
			at = fe_guest_inflight(a->g, i, &len);
			for (uint32_t k = draw(8); k; k--)
				at[draw(draw(2) ? 64 : (uint32_t)len)] = (uint8_t)draw(256);
			base_as_qemu(&a->g->queues[i], false);
		}
		go_on(r, a);
		for (i = 0; i < 2; i++)
			refused += ring_begin(a->g, i) != 0;
		peer_sync(a);
		duplex_check(r, b, y);
		peer_down(r, a);
	}
	assert_true(refused > 0);
	peer_start(r, a);
	duplex_check(r, a, b);
}

/* Rings beyond the record, or larger than it has room for, run without. */
static void a_record_for_some_rings_is_used_for_those(void **state)
{
	static const struct vu_inflight_desc small[] = {
		{.num_queues = 1, .queue_size = 256}, {.num_queues = 2, .queue_size = 64}};
	struct fe_guest_config c = guest_recorded();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint32_t round, i;
	int fd;

	for (round = 0; round < 4; round++) {
		struct vu_inflight_desc d = small[round % 2];
		uint8_t *at;

		c.features ^= round == 2 ? PACKED : 0;
		a = peer_new(*state, "a", &c);
		peer_connect(*state, a);
		assert_int_equal(fe_guest_negotiate(a->g), 0);
		assert_int_equal(fe_guest_reset_rings(a->g), 0);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		assert_int_equal(fe_conn_get_inflight(&a->g->conn, &d, &fd), 0);
		at = mmap(NULL, d.mmap_size, PROT_READ, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(at, MAP_FAILED);
		assert_int_equal(fe_conn_set_inflight(&a->g->conn, &d, fd), 0);
		for (i = 0; i < 2; i++)
			assert_int_equal(ring_begin(a->g, i), 0);
		duplex_check(*state, a, b);
		/* A version of 0 says that nothing is recorded there. */
		if (d.num_queues == 1) {
			assert_int_equal(at[8], 1);
		} else {
			assert_int_equal(at[8], 0); /* ring 0 is too large for it... */
			assert_int_equal(at[d.mmap_size / 2 + 8], 1); /* ...and ring 1 is not */
		}
		munmap(at, d.mmap_size);
		close(fd);
		peer_down(*state, a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_record_is_as_large_as_its_rings),
		rig_test(a_record_that_makes_no_sense_is_refused),
		rig_test(a_record_for_some_rings_is_used_for_those),
		rig_test(damaged_records_harm_nobody),
		rig_test(a_killed_switch_loses_no_frame_of_a_split_ring),
		rig_test(a_killed_switch_loses_no_frame_of_a_packed_ring),
	};

	return cmocka_run_group_tests_name("inflight", tests, start, kill_stop);
}
