/* SPDX-License-Identifier: BSD-3-Clause */
/* In-flight records: buffers that are too small, and contents that lie. */
#include "say.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB (1ull << 20)

/* The record of one ring, split (vhost-user, "Inflight I/O tracking"). */
struct split_record {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct {
		uint8_t inflight, padding[5];
		uint16_t next;
		uint64_t counter;
	} desc[];
};

static struct fe_guest_config guest_recorded(uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);

	c.tx_size = c.rx_size = 64;
	return c;
}

/* Also CVE-2021-3839 and G1. The file has 1 MiB. */
static void g01_a_record_too_small_for_its_rings_is_refused(struct rig *r, uint64_t format)
{
	static const struct vu_inflight_desc bad[] = {
		{.mmap_size = 4096, .num_queues = 8, .queue_size = 1024},
		{.mmap_size = 0, .num_queues = 2, .queue_size = 64},
		{.mmap_size = 16, .num_queues = 2, .queue_size = 64},
		{.mmap_size = MIB, .mmap_offset = 8, .num_queues = 2, .queue_size = 64},
		{.mmap_size = MIB + 8, .num_queues = 2, .queue_size = 64},
		{.mmap_size = 4096, .mmap_offset = MIB, .num_queues = 2, .queue_size = 64},
		{.mmap_size = 4096,
			.mmap_offset = UINT64_MAX - 4095,
			.num_queues = 2,
			.queue_size = 64},
		{.mmap_size = UINT64_MAX, .num_queues = 2, .queue_size = 64},
		{.mmap_size = UINT64_MAX - 4095,
			.mmap_offset = 8192,
			.num_queues = 2,
			.queue_size = 64},
		{.mmap_size = MIB, .mmap_offset = 3, .num_queues = 2, .queue_size = 64},
		{.mmap_size = MIB, .num_queues = 0, .queue_size = 64},
		{.mmap_size = MIB, .num_queues = 257, .queue_size = 64},
		{.mmap_size = MIB, .num_queues = 0xffff, .queue_size = 64},
		{.mmap_size = MIB, .num_queues = 2, .queue_size = 0},
		{.mmap_size = MIB, .num_queues = 2, .queue_size = 0xffff},
		{.mmap_size = MIB, .num_queues = 0xffff, .queue_size = 0xffff},
	};
	const struct fe_guest_config c = guest_recorded(format);
	struct peer *b, *a = pair_up(r, &c, &b);
	int fd = fd_of(FD_MEMORY), others[] = {fd_of(FD_EVENT), fd_of(FD_SOCKET), fd_of(FD_PIPE)};

	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		if (refused(r, a, VU_SET_INFLIGHT_FD, &bad[i], sizeof(bad[i]), fd))
			run_rings(a);
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(others); i++) {
		const struct vu_inflight_desc d = {
			.mmap_size = MIB, .num_queues = 2, .queue_size = 64};

		if (refused(r, a, VU_SET_INFLIGHT_FD, &d, sizeof(d), others[i]))
			run_rings(a);
		close(others[i]);
	}
	duplex_check(r, a, b);
	close(fd);
}

static void cve_2021_3839_records_for_impossible_numbers_of_rings_are_refused(
	struct rig *r, uint64_t format)
{
	static const uint16_t counts[] = {0, 257, 0x100 + 2, 0x8000, 0xffff};
	const struct fe_guest_config c = guest_recorded(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (size_t i = 0; i < RW_ARRAY_SIZE(counts); i++) {
		const struct vu_inflight_desc d = {
			.mmap_size = MIB, .num_queues = counts[i], .queue_size = 64};

		refused(r, a, VU_GET_INFLIGHT_FD, &d, sizeof(d), -1);
		refused(r, a, VU_SET_INFLIGHT_FD, &d, sizeof(d), fd);
	}
	close(fd);
}

static void cve_2020_10726_records_in_a_loop_cost_nothing(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_recorded(format);
	struct peer *a = negotiated(r, &c);
	uint32_t n = (rig_is_long() ? 100000 : 3000) / (uint32_t)r->slow;

	for (uint32_t i = 0; i < n; i++) {
		struct vu_inflight_desc d = {.num_queues = 2, .queue_size = 64};
		int fd;

		assert_int_equal(fe_conn_get_inflight(&a->g->conn, &d, &fd), 0);
		assert_int_equal(fe_conn_set_inflight(&a->g->conn, &d, fd), 0);
		close(fd);
	}
}

/* A ring of more entries than the record has, in both orders; then all of the ring is used. */
static void cve_2026_86565_a_ring_larger_than_its_record_does_not_leave_it(
	struct rig *r, uint64_t format)
{
	const struct stream s = {.n = 300, .len = 200, .window = 200};
	struct fe_guest_config c = guest_of_all(format);

	c.tx_size = c.rx_size = 256;
	for (int order = 0; order < 2; order++) {
		struct peer *a = negotiated(r, &c), *b = peer_up(r, "b", &c);
		struct vu_inflight_desc d = {.num_queues = 2, .queue_size = 64};
		int fd;

		assert_int_equal(fe_guest_reset_rings(a->g), 0);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		if (order) {
			assert_int_equal(fe_guest_ring_step(a->g, 0, FE_NUM), 0);
			assert_int_equal(fe_guest_ring_step(a->g, 1, FE_NUM), 0);
		}
		assert_int_equal(fe_conn_get_inflight(&a->g->conn, &d, &fd), 0);
		assert_int_equal(fe_conn_set_inflight(&a->g->conn, &d, fd), 0);
		for (uint32_t i = 0; i < 2; i++) {
			int err = fe_guest_start_ring(a->g, i);

			assert_true(!err || err == -EREMOTEIO || err == -ECONNRESET);
		}
		close(fd);
		if (a->g->conn.protocol_features && !fe_guest_stop_ring(a->g, 0, NULL)) {
			assert_int_equal(fe_guest_start_ring(a->g, 0), 0);
			peers_meet(r, a, b);
			stream_check(r, a, b, &s);
			stream_check(r, b, a, &s);
		}
		rig_clean((void **)&r);
	}
}

/* Go on with rings whose record somebody changed; whatever comes of it, it stays with the port. */
static void go_on(struct rig *r, struct peer *a)
{
	fe_guest_disconnect(a->g);
	peer_connect(r, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	assert_int_equal(fe_guest_set_inflight(a->g), 0);
	for (uint32_t i = 0; i < 2; i++) {
		struct fe_queue *q = &a->g->queues[i];

		if (q->ring.format == FE_SPLIT)
			q->base = q->ring.used->idx;
		(void)fe_guest_start_ring(a->g, i);
	}
	peer_sync(a);
	for (uint32_t i = 0; i < 2; i++)
		fe_queue_kick(&a->g->queues[i]);
}

/* Run with a record, leave, change it by `change`, come back; then begin afresh. */
static void record_is_changed(
	struct rig *r, uint64_t format, void (*change)(void *record, uint64_t len, uint32_t n))
{
	const struct fe_guest_config c = guest_recorded(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (uint32_t n = 0; n < 12; n++) {
		duplex_check(r, a, b);
		fe_guest_disconnect(a->g);
		for (uint32_t i = 0; i < 2; i++) {
			uint64_t len;
			void *at = fe_guest_inflight(a->g, i, &len);

			assert_non_null(at);
			change(at, len, n);
		}
		go_on(r, a);
		fe_guest_disconnect(a->g);
		peer_start(r, a);
	}
}

static void last_io_change(void *record, uint64_t len, uint32_t n)
{
	static const uint16_t values[] = {0xffff, 64, 65, 0x8000, 255, 0x7fff};
	struct split_record *s = record;

	(void)len;
	s->last_batch_head = values[n % RW_ARRAY_SIZE(values)];
	s->used_idx = (uint16_t)(s->used_idx - 1 - n);
}

static void g02_indices_in_a_record_are_not_trusted(struct rig *r, uint64_t format)
{
	record_is_changed(r, format, last_io_change);
}

static void flags_change(void *record, uint64_t len, uint32_t n)
{
	static const uint8_t values[] = {2, 0xff, 1, 0x80};
	struct split_record *s = record;

	(void)len;
	for (uint32_t i = 0; i < 64; i++) {
		s->desc[i].inflight = values[(n + i) % RW_ARRAY_SIZE(values)];
		s->desc[i].next = (uint16_t)(n & 1 ? 0xffff : i);
		s->desc[i].counter = n & 2 ? UINT64_MAX : 0;
	}
}

/* Also R81's stale records. */
static void qemu_3974_flags_other_than_0_and_1_overflow_nothing(struct rig *r, uint64_t format)
{
	record_is_changed(r, format, flags_change);
}

static void all_change(void *record, uint64_t len, uint32_t n)
{
	static const uint8_t values[] = {0xff, 0, 1, 0x7f, 0x80, 2};

	if (n < 6) {
		memset(record, values[n], len);
		return;
	}
	/* Past what describes the record itself. */
	memset((uint8_t *)record + 10, values[n - 6], len - 10);
}

static void r81_records_of_nonsense_are_dropped_or_refused(struct rig *r, uint64_t format)
{
	record_is_changed(r, format, all_change);
}

struct flipper {
	uint8_t *at;
	uint64_t len;
	uint32_t stop;
};

static void *flip(void *arg)
{
	struct flipper *f = arg;
	uint32_t x = 1;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		x = x * 1664525u + 1013904223u;
		__atomic_store_n(&f->at[(x >> 8) % f->len], (uint8_t)(x >> 24), __ATOMIC_RELAXED);
	}
	return NULL;
}

/* The record changes while the rings start with it, and while they run. */
static void g03_a_record_that_changes_while_it_is_read_overflows_nothing(
	struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_recorded(format);
	struct peer *b, *a = pair_up(r, &c, &b);
	struct flipper f;
	pthread_t thread;

	for (int n = 0; n < 10; n++) {
		uint64_t len;

		f = (struct flipper){.at = fe_guest_inflight(a->g, 0, &len)};
		f.len = 2 * len;
		assert_int_equal(pthread_create(&thread, NULL, flip, &f), 0);
		for (int i = 0; i < 10 / r->slow + 2; i++)
			go_on(r, a);
		__atomic_store_n(&f.stop, 1, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		fe_guest_disconnect(a->g);
		peer_start(r, a);
		duplex_check(r, a, b);
	}
}

/* SET_INFLIGHT_FD before there are rings, and rings without it. */
static void r81_a_record_may_come_early_or_never(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_recorded(format);
	struct peer *a = negotiated(r, &c), *b = peer_up(r, "b", &c);
	struct vu_inflight_desc d = {.num_queues = 2, .queue_size = 64};
	int fd;

	run_rings(a); /* never asked for a record */
	peers_meet(r, a, b);
	duplex_check(r, a, b);
	negotiated_anew(r, a);
	assert_int_equal(fe_conn_get_inflight(&a->g->conn, &d, &fd), 0);
	assert_int_equal(fe_conn_set_inflight(&a->g->conn, &d, fd), 0);
	close(fd);
	run_rings(a);
	duplex_check(r, a, b);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK_BOTH(g01_a_record_too_small_for_its_rings_is_refused),
		ATTACK(cve_2021_3839_records_for_impossible_numbers_of_rings_are_refused),
		ATTACK_BOTH(cve_2020_10726_records_in_a_loop_cost_nothing),
		ATTACK_BOTH(cve_2026_86565_a_ring_larger_than_its_record_does_not_leave_it),
		ATTACK(g02_indices_in_a_record_are_not_trusted),
		ATTACK_BOTH(g03_a_record_that_changes_while_it_is_read_overflows_nothing),
		ATTACK(qemu_3974_flags_other_than_0_and_1_overflow_nothing),
		ATTACK_BOTH(r81_records_of_nonsense_are_dropped_or_refused),
		ATTACK_BOTH(r81_a_record_may_come_early_or_never),
	};

	return hostile_main("hostile_inflight", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
