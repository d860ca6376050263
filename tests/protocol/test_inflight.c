/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A switch that is killed under traffic, and the next one that goes on with the same rings by the
 * in-flight record. Guests a and b notice nothing but that some frames come twice.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RX_SIZE 256
#define LEN     200

static struct rig rig;
static uint32_t seed = 1;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abyz", NULL);
}

static struct fe_guest_config guest_recorded(void)
{
	struct fe_guest_config c = guest_usual();

	c.protocol_features |= FE_BIT(VU_PF_INFLIGHT_SHMFD);
	c.tx_size = 64;
	c.rx_size = RX_SIZE;
	return c;
}

static uint32_t draw(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void directory_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(path);
}

/* Kill the daemon and start another one, in a directory of its own; the guests are the same. */
static void switch_is_killed(struct rig *r)
{
	const struct rig old = *r;
	uint32_t i;

	assert_int_equal(kill(r->pid, SIGKILL), 0);
	assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
	fe_conn_close(&r->ctl);
	for (i = 0; i < r->npeers; i++)
		fe_guest_disconnect(r->peers[i]->g);
	directory_remove(old.dir);
	assert_int_equal(rig_start(r, old.ports, NULL), 0);
	memcpy(r->peers, old.peers, sizeof(r->peers));
	r->npeers = old.npeers;
}

/* Let ring `i` run; enabled first, for what a disabled ring has to send is discarded. */
static int ring_begin(struct fe_guest *g, uint32_t i)
{
	static const enum fe_step order[] = {
		FE_NUM, FE_BASE, FE_ADDR, FE_CALL, FE_ERR, FE_ENABLE, FE_KICK};
	size_t k;
	int err = 0;

	for (k = 0; !err && k < RW_ARRAY_SIZE(order); k++)
		err = fe_guest_ring_step(g, i, order[k]);
	return err;
}

/*
 * Where QEMU lets a ring go on: a split one behind what was used; for a packed one it knows but
 * what it was told last, or nothing.
 */
static void base_as_qemu(struct fe_queue *q, bool forgotten)
{
	if (q->ring.format == FE_SPLIT)
		q->base = q->ring.used->idx;
	else if (forgotten)
		q->base = 0;
}

static void go_on(struct rig *r, struct peer *p)
{
	peer_connect(r, p);
	assert_int_equal(fe_guest_negotiate(p->g), 0);
	assert_int_equal(fe_guest_share_memory(p->g), 0);
	assert_int_equal(fe_guest_set_inflight(p->g), 0);
}

/* Both guests go on; nobody sends before everybody can receive. */
static void both_go_on(struct rig *r, struct peer *a, struct peer *b)
{
	bool forgotten = draw(2);
	uint32_t i;

	go_on(r, a);
	go_on(r, b);
	for (i = 0; i < 2; i++) {
		base_as_qemu(&a->g->queues[i], forgotten);
		base_as_qemu(&b->g->queues[i], forgotten);
		assert_int_equal(ring_begin(a->g, i), 0);
		assert_int_equal(ring_begin(b->g, i), 0);
	}
}

/* One direction. */
struct flow {
	struct peer *from, *to;
	uint32_t sent;
	uint32_t distinct; /* frames that have arrived */
	uint32_t again;    /* ... once more */
	uint8_t *seen;     /* by number */
};

static void flow_send(struct flow *f, uint32_t n)
{
	uint8_t buf[LEN];
	const struct fe_frame frame = {.data = buf, .len = LEN};
	int err = 0;

	for (; n; n--) {
		frame_make(buf, LEN, f->to->mac, f->from->mac, f->sent);
		memcpy(buf + 14, &f->sent, 4);
		err = fe_guest_put(f->from->g, 0, &frame);
		if (err)
			break;
		f->sent++;
	}
	assert_true(!err || err == -EAGAIN);
	fe_guest_flush(f->from->g, 0);
}

/* Take all that has arrived: each is one that was sent, byte for byte. */
static void flow_receive(struct flow *f)
{
	static uint8_t got[FRAME_MAX], want[LEN];
	struct fe_received in;
	uint32_t n;
	int err;

	while (!(err = fe_guest_recv(f->to->g, 0, got, sizeof(got), &in))) {
		memcpy(&n, got + 14, 4);
		assert_true(n < f->sent);
		frame_make(want, LEN, f->to->mac, f->from->mac, n);
		memcpy(want + 14, &n, 4);
		assert_int_equal(in.len, LEN);
		assert_memory_equal(got, want, LEN);
		if (f->seen[n])
			f->again++;
		else
			f->distinct++;
		f->seen[n] = 1;
	}
	assert_int_equal(err, -EAGAIN); /* a buffer used twice would be -EPROTO */
}

static bool all_arrived(struct flow *f)
{
	flow_receive(f);
	return f->distinct == f->sent && fe_guest_reap(f->from->g, 0) >= 0 &&
		f->from->g->queues[1].ring.in_flight == 0;
}

/* As many frames as the ring has buffers arrive though nobody looks: none was lost. */
static void every_buffer_is_there(struct rig *r, struct flow *f)
{
	uint64_t before = rig_counter(r, f->to->port, "tx", "frames");
	uint64_t drops = rig_counter(r, f->to->port, "tx", "drops.no_buffer");
	uint32_t till = f->sent + RX_SIZE;

	while (f->sent < till) {
		flow_send(f, till - f->sent);
		rig_nap();
	}
	rig_wait(r, rig_counter(r, f->to->port, "tx", "frames") == before + RX_SIZE);
	assert_int_equal(rig_counter(r, f->to->port, "tx", "drops.no_buffer"), drops);
	rig_wait(r, all_arrived(f));
}

static void kill_and_go_on(struct rig *r, uint64_t features, bool scatter)
{
	struct fe_guest_config c = guest_recorded();
	struct flow ab = {0}, ba = {0};
	uint32_t kills, rounds, i;

	c.features |= features;
	c.scatter = scatter;
	ab.from = ba.to = peer_up(r, "a", &c);
	ab.to = ba.from = peer_up(r, "b", &c);
	ab.seen = calloc(1, 1u << 20);
	ba.seen = calloc(1, 1u << 20);
	assert_true(ab.seen && ba.seen);
	for (kills = 0; kills < 5; kills++) {
		rounds = draw(200);
		for (i = 0; i < rounds; i++) {
			flow_send(&ab, draw(20));
			flow_send(&ba, draw(20));
			flow_receive(&ab);
			flow_receive(&ba);
			rig_nap();
		}
		/* Something is under way, and more comes when nobody is there. */
		flow_send(&ab, 16);
		flow_send(&ba, 16);
		switch_is_killed(r);
		flow_send(&ab, 16);
		both_go_on(r, ab.from, ab.to);
	}
	rig_wait(r, all_arrived(&ab));
	rig_wait(r, all_arrived(&ba));
	every_buffer_is_there(r, &ab);
	every_buffer_is_there(r, &ba);
	for (i = 0; i < 1000; i++) {
		flow_send(&ab, 8);
		rig_wait(r, all_arrived(&ab));
	}
	free(ab.seen);
	free(ba.seen);
	rig_clean((void **)&r);
}

static void a_killed_switch_loses_no_frame_of_a_split_ring(void **state)
{
	kill_and_go_on(*state, 0, true);
	kill_and_go_on(*state, FE_BIT(VIRTIO_F_IN_ORDER), false);
}

static void a_killed_switch_loses_no_frame_of_a_packed_ring(void **state)
{
	kill_and_go_on(*state, PACKED, true);
	kill_and_go_on(*state, PACKED | FE_BIT(VIRTIO_F_IN_ORDER), false);
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

	return cmocka_run_group_tests_name("inflight", tests, start, rig_stop);
}
