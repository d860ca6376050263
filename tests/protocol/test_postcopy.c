/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guests that run while their memory is still elsewhere (postcopy migration). Port a is the
 * destination, b its partner; y and z keep exchanging frames whatever a waits for.
 */
#include "gso_packets.h"
#include "postcopy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abyz", NULL) || postcopy_allow(&rig);
}

/* Before, during and after; b lives on with the same features. */
static void frames_go_both_ways(struct rig *r, const struct fe_guest_config *c, uint32_t len)
{
	/*
	 * The thread's fifo has room for seven of the longest frames. A guest can have a burst, and
	 * send the next, before the thread has removed the burst from there.
	 */
	const struct stream s = {.n = 300, .len = len, .window = len > 4000 ? 3 : 16};
	struct peer *b = peer_up(r, "b", c), *a = peer_up(r, "a", c);
	struct fe_postcopy_stats before;

	peers_meet(r, a, b);
	moved_away(r, a);
	moved_here(r, a);
	stream_check(r, a, b, &s);
	stream_check(r, b, a, &s);
	before = fe_postcopy_stats(a->g->postcopy);
	assert_true(before.backend_faults > 0);
	assert_int_equal(fe_postcopy_end(a->g->postcopy), 0);
	stream_check(r, a, b, &s);
	stream_check(r, b, a, &s);
	assert_int_equal(fe_postcopy_stats(a->g->postcopy).backend_faults, before.backend_faults);
	rig_clean((void **)&(struct rig *){r});
}

static void pages_come_when_they_are_touched(void **state)
{
	static const uint64_t features[] = {0, PACKED, FE_BIT(VIRTIO_F_IN_ORDER)};
	struct fe_guest_config c;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(features); i++) {
		c = guest_moving();
		c.features |= features[i];
		frames_go_both_ways(*state, &c, 1500);
		c.features &= ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
		frames_go_both_ways(*state, &c, 100);
	}
}

static void the_longest_frames_pass(void **state)
{
	struct fe_guest_config c = guest_moving();
	int i;

	c.tx_size = 16;
	c.tx_buf_size = 66000;
	for (i = 0; i < 2; i++) {
		c.features |= i ? PACKED : 0;
		frames_go_both_ways(*state, &c, 65535);
	}
}

/* A large frame of `from` for `to`, who does not take such: its segments arrive. */
static void segments_arrive(struct rig *r, struct peer *from, struct peer *to, uint32_t seq)
{
	const struct gso_spec s = {.payload = 20000, .seq = seq, .tcp_flags = 0x18};
	const struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
							     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
							     .gso_size = 1000,
							     .csum_start = 34,
							     .csum_offset = 16}};
	static uint8_t whole[FRAME_MAX], got[FRAME_MAX];
	uint32_t len = gso_build(&s, whole), done = 0, nth = 0;
	struct fe_received in;

	memcpy(whole, to->mac, 6);
	memcpy(whole + 6, from->mac, 6);
	peer_send(r, from, 0, &(struct fe_frame){.data = whole, .len = len, .hdr = &hdr});
	while (done < s.payload) {
		peer_recv(r, to, 0, got, &in);
		assert_null(gso_check(&s, whole, got, in.len, nth++, &done, false));
	}
}

/* What is converted for a guest waits, as copies, until its pages have come. */
static void segments_reach_a_guest_that_moves(void **state)
{
	struct fe_guest_config c;
	struct peer *a, *b;
	int i;

	for (i = 0; i < 2; i++) {
		c = guest_usual();
		c.tx_size = 16;
		c.tx_buf_size = 66000;
		a = peer_up(*state, "a", &c);
		c = guest_moving();
		c.features = FEATURES_BASE | (i ? PACKED : 0);
		b = peer_up(*state, "b", &c);
		peers_meet(*state, b, a);
		moved_away(*state, b);
		moved_here(*state, b);
		for (uint32_t k = 0; k < 10; k++)
			segments_arrive(*state, a, b, k);
		assert_int_equal(fe_postcopy_end(b->g->postcopy), 0);
		segments_arrive(*state, a, b, 10);
		rig_clean(state);
	}
}

static void memory_may_come_by_slots_and_lie_in_pieces(void **state)
{
	static const struct fe_region_config regions[] = {
		{.gpa = 0, .size = 0x140000, .uva = 0x7f0000000000},
		{.gpa = 0x140000, .size = 0x180000, .uva = 0x7f0000140000},
		{.gpa = 0x2c0000, .size = 0x400000, .uva = 0x7f00002c0000},
	};
	struct fe_guest_config c = guest_moving();
	int i;

	c.regions = regions;
	c.nregions = RW_ARRAY_SIZE(regions);
	/* Rings and buffers lie across the borders of regions: we map such a ring a second time. */
	c.rings_at = 0x140000 - 0x2000;
	c.rx_bufs_at = 0x2c0000 - 0x10000;
	for (i = 0; i < 4; i++) {
		if (i % 2)
			c.protocol_features ^= FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS);
		c.features ^= PACKED;
		frames_go_both_ways(*state, &c, 500);
	}
}

static void several_pairs_share_the_thread(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct peer *a, *b;
	uint8_t buf[200], got[FRAME_MAX];
	const struct fe_frame f = {.data = buf, .len = sizeof(buf)};
	struct fe_received in;
	uint32_t i;

	c.pairs = 2;
	c.features |= FE_BIT(VIRTIO_NET_F_MQ);
	b = peer_up(*state, "b", NULL);
	a = peer_up(*state, "a", &c);
	peers_meet(*state, a, b);
	moved_away(*state, a);
	moved_here(*state, a);
	for (i = 0; i < 200; i++) {
		frame_make(buf, sizeof(buf), b->mac, a->mac, i);
		peer_send(*state, a, (uint16_t)(i % 2), &f);
		peer_recv(*state, b, 0, got, &in);
		assert_memory_equal(got, buf, sizeof(buf));
		/* What has one flow returns to the pair it was sent from. */
		peer_send_to(*state, b, a->mac, 200, i);
		rig_wait(*state,
			fe_ring_has_used(&a->g->queues[0].ring) ||
				fe_ring_has_used(&a->g->queues[2].ring));
		peer_recv(*state, a, fe_ring_has_used(&a->g->queues[2].ring), got, &in);
		frame_make(buf, sizeof(buf), a->mac, b->mac, i);
		assert_memory_equal(got, buf, sizeof(buf));
	}
	assert_int_equal(fe_postcopy_end(a->g->postcopy), 0);
	duplex_check(*state, a, b);
}

static void a_guest_behind_an_iommu_moves(void **state)
{
	struct fe_guest_config c = guest_moving();
	int i;

	c.features |= FE_BIT(VIRTIO_F_ACCESS_PLATFORM);
	c.protocol_features |= FE_BIT(VU_PF_BACKEND_REQ);
	/* Normally either ring format and either mode once. */
	for (i = 0; i < 4; i++) {
		c.features ^= PACKED;
		if (!rig_is_long() && i % 3)
			continue;
		c.iommu = (struct fe_iommu_config){
			.mode = i / 2 ? FE_IOMMU_STRICT : FE_IOMMU_STATIC, .scatter = true};
		frames_go_both_ways(*state, &c, 700);
	}
}

static void rings_are_named(struct peer *p)
{
	uint32_t i, step;

	for (i = 0; i < p->g->nqueues; i++)
		for (step = 0; step < FE_NUM_STEPS; step++)
			assert_int_equal(fe_guest_ring_step(p->g, i, step), 0);
}

static void nothing_is_touched_before_the_front_end_knows_where(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct peer *a = peer_new(*state, "a", &c);
	struct peer *y = peer_up(*state, "y", NULL), *z = peer_up(*state, "z", NULL);
	uint64_t bases[VU_MAX_TABLE_REGIONS];
	struct vu_mem_table table;
	int fds[FE_MAX_REGIONS];
	struct pollfd ufd = {.events = POLLIN};

	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &ufd.fd), 0);
	assert_int_equal(fe_conn_order(&a->g->conn, VU_POSTCOPY_LISTEN), 0);
	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	fe_mem_table(&a->g->mem, &table, fds);
	assert_int_equal(fallocate(fds[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				 (off_t)table.regions[0].size),
		0);
	assert_int_equal(fe_conn_set_mem_postcopy(&a->g->conn, &table, fds, bases), 0);
	rings_are_named(a);
	duplex_check(*state, y, z);
	assert_int_equal(poll(&ufd, 1, 20), 0);
	assert_int_equal(fe_conn_mem_ready(&a->g->conn, VU_SET_MEM_TABLE), 0);
	assert_int_equal(poll(&ufd, 1, rig_patience(*state)), 1);
	close(ufd.fd);
	peer_down(*state, a);
}

static void wrong_orders_are_refused_or_harmless(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct peer *a = peer_new(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	int ufd[3], i;

	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_conn_order(&a->g->conn, VU_POSTCOPY_LISTEN), -EREMOTEIO);
	assert_int_equal(fe_conn_postcopy_end(&a->g->conn), 0); /* nothing was begun */
	/* Advised twice: the first descriptor is of no use any more. */
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &ufd[0]), 0);
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &ufd[1]), 0);
	/* QEMU says so for each queue pair. */
	assert_int_equal(fe_conn_order(&a->g->conn, VU_POSTCOPY_LISTEN), 0);
	assert_int_equal(fe_conn_order(&a->g->conn, VU_POSTCOPY_LISTEN), 0);
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &ufd[2]), -EREMOTEIO);
	assert_int_equal(fe_conn_postcopy_end(&a->g->conn), 0);
	assert_int_equal(fe_conn_postcopy_end(&a->g->conn), 0);
	/* An ordinary guest after all that. */
	peer_start(*state, a);
	duplex_check(*state, a, b);
	/* With memory in use it is too late: the source does not know where it is. */
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &ufd[2]), 0);
	assert_int_equal(fe_conn_order(&a->g->conn, VU_POSTCOPY_LISTEN), -EREMOTEIO);
	duplex_check(*state, a, b);
	for (i = 0; i < 3; i++)
		close(ufd[i]);
}

static void a_region_may_be_added_meanwhile(void **state)
{
	static const struct fe_region_config more = {
		.gpa = 0x100000000, .size = 0x200000, .uva = 0x7c0000000000};
	struct fe_guest_config c = guest_moving();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	const struct vu_mem_region wire = {.gpa = more.gpa, .size = more.size, .uva = more.uva};
	uint64_t base = 0;
	int fd = memfd_create("more", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)more.size), 0);
	c.protocol_features |= FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS);
	a = peer_up(*state, "a", &c);
	duplex_check(*state, a, b);
	moved_away(*state, a);
	moved_here(*state, a);
	duplex_check(*state, a, b);
	assert_int_equal(fe_conn_add_mem_postcopy(&a->g->conn, &wire, fd, &base), 0);
	assert_true(base != 0 && base % FE_PAGE == 0);
	assert_int_equal(fe_conn_mem_ready(&a->g->conn, VU_ADD_MEM_REG), 0);
	peer_sync(a); /* as QEMU does it, nobody answers: the rings may rest until here */
	duplex_check(*state, a, b);
	assert_int_equal(fe_conn_rem_mem(&a->g->conn, &wire, -1), 0);
	duplex_check(*state, a, b);
	assert_int_equal(fe_postcopy_end(a->g->postcopy), 0);
	duplex_check(*state, a, b);
	close(fd);
}

/* Receive what there is. */
static uint32_t frames_taken(struct peer *p)
{
	static uint8_t buf[FRAME_MAX];
	struct fe_received in;
	uint32_t n = 0;
	int err;

	while (!(err = fe_guest_recv(p->g, 0, buf, sizeof(buf), &in)))
		n++;
	assert_int_equal(err, -EAGAIN);
	return n;
}

static void frames_put(struct peer *from, struct peer *to, uint32_t n)
{
	uint8_t buf[1000];
	const struct fe_frame f = {.data = buf, .len = sizeof(buf)};
	uint32_t i;

	for (i = 0; i < n; i++) {
		frame_make(buf, sizeof(buf), to->mac, from->mac, i);
		assert_int_equal(fe_guest_put(from->g, 0, &f), 0);
	}
}

/*
 * What the guest has sent is all delivered, whoever has it. Of what it shall receive, frames that
 * find the ring at rest for a moment are dropped as ever, and counted.
 */
static void the_end_loses_nothing(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint64_t down;
	uint32_t round, i;

	for (round = 0; round < 20; round++) {
		c.features ^= PACKED;
		a = peer_up(*state, "a", &c);
		peers_meet(*state, a, b);
		moved_away(*state, a);
		moved_here(*state, a);
		peers_meet(*state, a, b);
		assert_int_equal(fe_postcopy_fill(a->g->postcopy), 0);
		down = rig_counter(*state, "a", "tx", "drops.link_down");
		/* All at once, and the end with them. */
		frames_put(a, b, 200);
		frames_put(b, a, 200);
		fe_guest_flush(a->g, 0);
		fe_guest_flush(b->g, 0);
		assert_int_equal(fe_conn_postcopy_end(&a->g->conn), 0);
		assert_int_equal(fe_postcopy_end(a->g->postcopy), 0); /* twice is harmless */
		for (i = 0; i < 200; i++)
			peer_expect(*state, b, b->mac, a->mac, 1000, i);
		i = 0;
		rig_wait(*state,
			(i += frames_taken(a)) +
					rig_counter(*state, "a", "tx", "drops.link_down") ==
				down + 200);
		duplex_check(*state, a, b);
		peer_down(*state, a);
	}
}

/* What the daemon holds. */
struct holdings {
	unsigned fds, threads, maps;
};

static unsigned entries_of(const struct rig *r, const char *what)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)r->pid, what);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Mappings of guests' memory; the allocators' come and go. */
static unsigned guest_maps_of(const struct rig *r)
{
	char path[64], line[512];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)r->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "memfd:") != NULL;
	fclose(f);
	return n;
}

static struct holdings holdings_of(const struct rig *r)
{
	return (struct holdings){entries_of(r, "fd"), entries_of(r, "task"), guest_maps_of(r)};
}

/* Up to running, and to the end or just away. */
static void one_migration(struct rig *r, struct peer *p, bool end)
{
	uint64_t bases[VU_MAX_TABLE_REGIONS];
	struct vu_mem_table table;
	int fds[FE_MAX_REGIONS], ufd;

	peer_connect(r, p);
	assert_int_equal(fe_guest_negotiate(p->g), 0);
	assert_int_equal(fe_guest_reset_rings(p->g), 0);
	assert_int_equal(fe_conn_postcopy_advise(&p->g->conn, &ufd), 0);
	assert_int_equal(fe_conn_order(&p->g->conn, VU_POSTCOPY_LISTEN), 0);
	fe_mem_table(&p->g->mem, &table, fds);
	assert_int_equal(fe_conn_set_mem_postcopy(&p->g->conn, &table, fds, bases), 0);
	assert_int_equal(fe_conn_mem_ready(&p->g->conn, VU_SET_MEM_TABLE), 0);
	rings_are_named(p);
	if (end)
		assert_int_equal(fe_conn_postcopy_end(&p->g->conn), 0);
	peer_down(r, p);
	close(ufd);
}

static void hundreds_of_migrations_leave_nothing_behind(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct peer *a = peer_new(*state, "a", &c);
	struct rig *r = *state;
	struct holdings before, after;
	uint32_t i;

	for (i = 0; i < 4; i++)
		one_migration(r, a, i % 2);
	before = holdings_of(r);
	for (i = 0; i < 300 / ((uint32_t)r->slow * (uint32_t)r->slow); i++)
		one_migration(r, a, i % 2);
	/* A helper closes and unmaps. */
	rig_wait(r,
		(after = holdings_of(r),
			after.fds <= before.fds && after.threads <= before.threads &&
				after.maps <= before.maps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(pages_come_when_they_are_touched),
		rig_test(the_longest_frames_pass),
		rig_test(segments_reach_a_guest_that_moves),
		rig_test(memory_may_come_by_slots_and_lie_in_pieces),
		rig_test(several_pairs_share_the_thread),
		rig_test(a_guest_behind_an_iommu_moves),
		rig_test(nothing_is_touched_before_the_front_end_knows_where),
		rig_test(wrong_orders_are_refused_or_harmless),
		rig_test(a_region_may_be_added_meanwhile),
		rig_test(the_end_loses_nothing),
		rig_test(hundreds_of_migrations_leave_nothing_behind),
	};

	if (!postcopy_is_possible())
		return 0;
	return cmocka_run_group_tests_name("postcopy", tests, start, rig_stop);
}
