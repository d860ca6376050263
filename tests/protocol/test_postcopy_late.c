/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages that come late, or never (postcopy migration). The guest on port a waits for one; b is its
 * partner; y and z are others, who must notice nothing.
 */
#include "postcopy.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define WAITING 100 /* frames that the guest had sent when it left its source */

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abyz", NULL) || postcopy_allow(&rig);
}

/* A guest that cannot go on: the page of a transmit buffer is held back. */
struct stuck {
	struct peer *a, *b, *y, *z;
	uint64_t page; /* its address */
	uint32_t base; /* of the transmit ring when it moved */
};

static uint64_t next_tx_page(const struct fe_guest *g)
{
	const struct fe_pool *p = &g->queues[1].bufs;

	return (p->gpa + (uint64_t)p->free[p->head] * p->stride) & ~(FE_PAGE - 1);
}

/* Put frames [from, from + n) from a to b into a's ring, whether it runs or not. */
static void frames_put(struct rig *r, const struct stuck *s, uint32_t from, uint32_t n)
{
	uint32_t i;

	for (i = from; i < from + n; i++)
		peer_send_to(r, s->a, s->b->mac, 200, i);
}

static void frames_arrive(struct rig *r, const struct stuck *s, uint32_t from, uint32_t n)
{
	uint32_t i;

	for (i = from; i < from + n; i++)
		peer_expect(r, s->b, s->b->mac, s->a->mac, 200, i);
}

/*
 * The thread of port a waits for the page. (A guest with an IOMMU has questions to answer before.)
 */
static bool is_waiting(const struct stuck *s)
{
	assert_true(fe_guest_service(s->a->g) >= 0);
	return fe_postcopy_stats(s->a->g->postcopy).backend_held > 0;
}

static void stick(struct rig *r, struct stuck *s, const struct fe_guest_config *c)
{
	*s = (struct stuck){.b = peer_up(r, "b", NULL),
		.a = peer_up(r, "a", c),
		.y = peer_up(r, "y", NULL),
		.z = peer_up(r, "z", NULL)};
	peers_meet(r, s->a, s->b);
	peers_meet(r, s->y, s->z);
	assert_int_equal(fe_guest_stop_ring(s->a->g, 1, &s->base), 0);
	/* The page is that of a frame in the middle: the first ones come, then nothing. */
	frames_put(r, s, 0, WAITING / 2);
	s->page = next_tx_page(s->a->g);
	frames_put(r, s, WAITING / 2, WAITING / 2);
	moved_away(r, s->a);
	assert_int_equal(fe_postcopy_hold(s->a->g->postcopy, s->page), 0);
	moved_here(r, s->a);
	rig_wait(r, is_waiting(s));
}

static bool page_is_there(const struct stuck *s)
{
	const struct fe_region *region = &s->a->g->mem.regions[0];
	off_t off = (off_t)(s->page - region->c.gpa + region->c.mmap_offset);

	return lseek(region->fd, off, SEEK_DATA) == off;
}

/* Everybody else is served as ever: frames, questions, and the messages of another port. */
static void others_notice_nothing(struct rig *r, const struct stuck *s)
{
	const struct stream many = {.n = 2000 / (uint32_t)r->slow, .len = 300};
	uint64_t drops = rig_counter(r, "z", "tx", "drops.no_buffer");
	uint32_t i;

	stream_check(r, s->y, s->z, &many);
	stream_check(r, s->z, s->y, &many);
	assert_int_equal(rig_counter(r, "z", "tx", "drops.no_buffer"), drops);
	for (i = 0; i < 20; i++) {
		assert_true(rig_port_info(r, "a", "connected"));
		peer_sync(s->y);
		assert_int_equal(fe_guest_stop_ring(s->y->g, 1, NULL), 0);
		assert_int_equal(fe_guest_start_ring(s->y->g, 1), 0);
	}
	duplex_check(r, s->y, s->z);
	assert_false(page_is_there(s));
}

static void nobody_else_waits_for_a_late_page(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct stuck s;
	uint32_t i;
	int round;

	for (round = 0; round < 2; round++) {
		c.features |= round ? PACKED : 0;
		stick(*state, &s, &c);
		others_notice_nothing(*state, &s);
		/* Frames for the guest wait with it, and its own session goes on. */
		for (i = 0; i < 100; i++)
			peer_send_to(*state, s.b, s.a->mac, 100, i);
		peer_sync(s.a);
		others_notice_nothing(*state, &s);
		fe_postcopy_release(s.a->g->postcopy, s.page);
		frames_arrive(*state, &s, 0, WAITING);
		for (i = 0; i < 100; i++)
			peer_expect(*state, s.a, s.a->mac, s.b->mac, 100, i);
		assert_int_equal(fe_postcopy_end(s.a->g->postcopy), 0);
		duplex_check(*state, s.a, s.b);
		rig_clean(state);
	}
}

/* Receive what there is: how many frames were for `p`, others having been flooded. */
static uint32_t receive_all(struct peer *p)
{
	static uint8_t buf[FRAME_MAX];
	struct fe_received in;
	uint32_t n = 0;
	int err;

	while (!(err = fe_guest_recv(p->g, 0, buf, sizeof(buf), &in)))
		n += !memcmp(buf, p->mac, 6);
	assert_int_equal(err, -EAGAIN);
	return n;
}

/* What the guest cannot take for so long is dropped, and the drops are counted. */
static void frames_for_a_guest_that_waits_too_long_are_counted(void **state)
{
	struct fe_guest_config c = guest_moving();
	const uint32_t n = 6000;
	uint64_t drops, sent;
	struct stuck s;
	uint32_t i, got = 0;

	stick(*state, &s, &c);
	drops = rig_counter(*state, "a", "tx", "drops.no_buffer");
	sent = rig_counter(*state, "b", "rx", "frames");
	for (i = 0; i < n; i++)
		peer_send_to(*state, s.b, s.a->mac, 200, i);
	rig_wait(*state, rig_counter(*state, "b", "rx", "frames") == sent + n);
	fe_postcopy_release(s.a->g->postcopy, s.page);
	rig_wait(*state,
		(got += receive_all(s.a)) + rig_counter(*state, "a", "tx", "drops.no_buffer") ==
			drops + n);
	assert_in_range(got, 100, n - 100);
	frames_arrive(*state, &s, 0, WAITING);
}

/* Send a request whose answer is to be awaited later. */
static void send_only(struct peer *p, uint32_t request, uint64_t value, const int *fd)
{
	struct fe_msg m = {.header = {request, VU_VERSION | VU_FLAG_NEED_REPLY, 8},
		.payload.u64 = value,
		.nfds = fd ? 1 : 0};

	if (fd)
		m.fds[0] = *fd;
	assert_int_equal(fe_conn_send(&p->g->conn, &m), 0);
}

static bool is_answered(const struct peer *p)
{
	struct pollfd pfd = {.fd = p->g->conn.fd, .events = POLLIN};

	return poll(&pfd, 1, 0) > 0;
}

static void answer_comes(struct peer *p, struct fe_msg *m)
{
	assert_int_equal(fe_conn_recv(&p->g->conn, m), 0);
	assert_int_equal(m->nfds, 0);
}

static void a_stop_is_put_off_and_answers_the_right_index(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct fe_msg m;
	struct stuck s;
	uint32_t passed, round;

	for (round = 0; round < 4; round++) {
		c.features = round % 2 ? c.features | PACKED : c.features & ~PACKED;
		stick(*state, &s, &c);
		send_only(s.a, VU_GET_VRING_BASE, 1, NULL);
		others_notice_nothing(*state, &s);
		assert_false(is_answered(s.a));
		fe_postcopy_release(s.a->g->postcopy, s.page);
		answer_comes(s.a, &m);
		/* As many frames arrive as the ring has moved on. */
		passed = (m.payload.state.num & 0x7fff) - (s.base & 0x7fff);
		assert_in_range(passed, WAITING / 2, WAITING);
		s.a->g->queues[1].base = m.payload.state.num;
		frames_arrive(*state, &s, 0, passed);
		duplex_check(*state, s.y, s.z);
		assert_int_equal(
			fe_guest_recv(s.b->g, 0, &m, sizeof(m), &(struct fe_received){0}), -EAGAIN);
		/* And the others when it goes on, here or after the end. */
		if (round / 2)
			assert_int_equal(fe_postcopy_end(s.a->g->postcopy), 0);
		assert_int_equal(fe_guest_start_ring(s.a->g, 1), 0);
		frames_arrive(*state, &s, passed, WAITING - passed);
		duplex_check(*state, s.a, s.b);
		rig_clean(state);
	}
}

/* The receive ring stops with all that was under way to it in its buffers. */
static void a_stop_of_the_receive_ring_waits_for_what_is_under_way(void **state)
{
	struct fe_guest_config c = guest_moving();
	uint32_t round, i, base;
	struct fe_msg m;
	struct stuck s;
	uint64_t sent;

	for (round = 0; round < 2; round++) {
		c.features ^= PACKED;
		stick(*state, &s, &c);
		base = s.a->g->queues[0].base;
		sent = rig_counter(*state, "b", "rx", "frames");
		for (i = 0; i < 100; i++)
			peer_send_to(*state, s.b, s.a->mac, 100, i);
		rig_wait(*state, rig_counter(*state, "b", "rx", "frames") == sent + 100);
		send_only(s.a, VU_GET_VRING_BASE, 0, NULL);
		others_notice_nothing(*state, &s);
		assert_false(is_answered(s.a));
		fe_postcopy_release(s.a->g->postcopy, s.page);
		answer_comes(s.a, &m);
		assert_true((m.payload.state.num & 0x7fff) - (base & 0x7fff) >= 100);
		s.a->g->queues[0].base = m.payload.state.num;
		for (i = 0; i < 100; i++)
			peer_expect(*state, s.a, s.a->mac, s.b->mac, 100, i);
		assert_int_equal(fe_guest_start_ring(s.a->g, 0), 0);
		frames_arrive(*state, &s, 0, WAITING);
		duplex_check(*state, s.a, s.b);
		rig_clean(state);
	}
}

static void a_new_interrupt_is_put_off_and_then_used(void **state)
{
	struct fe_guest_config c = guest_moving();
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	struct fe_msg m;
	struct stuck s;

	stick(*state, &s, &c);
	fe_ring_want_interrupt(&s.a->g->queues[1].ring, true);
	send_only(s.a, VU_SET_VRING_CALL, 1, &fd);
	others_notice_nothing(*state, &s);
	assert_false(is_answered(s.a));
	fe_postcopy_release(s.a->g->postcopy, s.page);
	answer_comes(s.a, &m);
	assert_int_equal(m.payload.u64, 0);
	frames_arrive(*state, &s, 0, WAITING);
	assert_true(fe_guest_reap(s.a->g, 0) >= 0);
	fe_ring_want_interrupt(&s.a->g->queues[1].ring, true);
	duplex_check(*state, s.a, s.b);
	assert_int_equal(poll(&pfd, 1, rig_patience(*state)), 1);
	close(fd);
}

/* An unmapped page must not be touched any more: that is not sure before the thread has let go. */
static void an_unmap_is_put_off_behind_an_iommu(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct fe_msg m = {.header = {VU_IOTLB_MSG, VU_VERSION, sizeof(struct vu_iotlb)}};
	struct stuck s;

	c.features |= FE_BIT(VIRTIO_F_ACCESS_PLATFORM);
	c.protocol_features |= FE_BIT(VU_PF_BACKEND_REQ);
	c.iommu.mode = FE_IOMMU_STATIC;
	stick(*state, &s, &c);
	m.payload.iotlb = (struct vu_iotlb){
		.iova = FE_IOMMU_BASE - FE_PAGE, .size = FE_PAGE, .type = VU_IOTLB_INVALIDATE};
	assert_int_equal(fe_conn_send(&s.a->g->conn, &m), 0);
	others_notice_nothing(*state, &s);
	assert_false(is_answered(s.a));
	fe_postcopy_release(s.a->g->postcopy, s.page);
	answer_comes(s.a, &m);
	assert_int_equal(m.payload.u64, 0);
	rig_wait(
		*state, fe_guest_service(s.a->g) >= 0 && fe_ring_has_used(&s.b->g->queues[0].ring));
	frames_arrive(*state, &s, 0, WAITING);
	assert_int_equal(fe_postcopy_end(s.a->g->postcopy), 0);
	duplex_check(*state, s.a, s.b);
}

/* The front-end goes away in the midst of it, with or without a message that waits. */
static void a_front_end_may_leave_while_its_guest_waits(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct peer *next;
	struct stuck s;
	int round;

	for (round = 0; round < 4; round++) {
		c.features ^= PACKED;
		stick(*state, &s, &c);
		if (round / 2)
			send_only(s.a, VU_GET_VRING_BASE, 1, NULL);
		others_notice_nothing(*state, &s);
		fe_guest_disconnect(s.a->g);
		next = peer_up(*state, "a", NULL);
		/* Nothing of the guest's was filled in with nothing. */
		assert_false(page_is_there(&s));
		frames_arrive(*state, &s, 0, WAITING / 4);
		rig_wait(*state, !receive_all(s.b));
		peer_send_to(*state, next, s.b->mac, 60, 4711);
		peer_expect(*state, s.b, s.b->mac, next->mac, 60, 4711);
		duplex_check(*state, next, s.b);
		rig_clean(state);
	}
}

/* The port itself goes away: the same as if the front-end had left, and nobody waits for it. */
static void a_port_may_be_deleted_while_its_guest_waits(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct peer *next;
	struct stuck s;
	int round;

	for (round = 0; round < 4; round++) {
		c.features ^= PACKED;
		stick(*state, &s, &c);
		if (round / 2)
			send_only(s.a, VU_GET_VRING_BASE, 1, NULL);
		json_decref(rig_call(*state, "port.del", json_pack("{s:s}", "name", "a")));
		duplex_check(*state, s.y, s.z);
		assert_false(page_is_there(&s));
		fe_guest_disconnect(s.a->g);
		json_decref(rig_call(*state, "port.add",
			json_pack("{s:s, s:s, s:s}", "name", "a", "socket",
				rig_path(*state, "a.sock"), "postcopy", "on")));
		next = peer_up(*state, "a", NULL);
		frames_arrive(*state, &s, 0, WAITING / 4);
		rig_wait(*state, !receive_all(s.b));
		duplex_check(*state, next, s.b);
		rig_clean(state);
	}
}

/* Whether `got` is frame `seed` from a to b. */
static bool is_frame(const struct stuck *s, const uint8_t *got, uint32_t seed)
{
	uint8_t want[200];

	frame_make(want, sizeof(want), s->b->mac, s->a->mac, seed);
	return !memcmp(got, want, sizeof(want));
}

/* It comes back with the guest that still waits: nothing has happened to it. */
static void a_guest_that_waits_survives_a_new_connection(void **state)
{
	struct fe_guest_config c = guest_moving();
	static uint8_t got[FRAME_MAX];
	struct fe_received in;
	uint32_t seen = 0, again;
	struct stuck s;

	stick(*state, &s, &c);
	peer_down(*state, s.a);
	assert_false(page_is_there(&s));
	s.a->g->queues[0].base = s.a->g->queues[0].ring.used->idx;
	s.a->g->queues[1].base = s.a->g->queues[1].ring.used->idx;
	moved_here(*state, s.a);
	fe_postcopy_release(s.a->g->postcopy, s.page);
	while (seen < WAITING) {
		do
			peer_recv(*state, s.b, 0, got, &in);
		while (memcmp(got, s.b->mac, 6));
		if (is_frame(&s, got, seen)) {
			seen++;
			continue;
		}
		/* One whose buffer had not been returned is sent again. */
		for (again = 0; again < seen && !is_frame(&s, got, again);)
			again++;
		assert_true(again < seen);
	}
	assert_int_equal(fe_postcopy_end(s.a->g->postcopy), 0);
	duplex_check(*state, s.a, s.b);
}

static void the_switch_ends_at_once_while_a_guest_waits(void **state)
{
	struct fe_guest_config c = guest_moving();
	struct rig *mine = &(struct rig){0};
	struct stuck s;
	int round;

	(void)state;
	for (round = 0; round < 2; round++) {
		assert_int_equal(rig_start(mine, "abyz", NULL), 0);
		postcopy_allow(mine);
		stick(mine, &s, &c);
		if (round)
			send_only(s.a, VU_GET_VRING_BASE, 1, NULL);
		/* Clean, and within a second. */
		assert_int_equal(rig_stop((void **)&mine), 0);
		assert_false(page_is_there(&s));
		while (mine->npeers) {
			struct peer *p = mine->peers[--mine->npeers];

			fe_guest_free(p->g);
			free(p);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(nobody_else_waits_for_a_late_page),
		rig_test(frames_for_a_guest_that_waits_too_long_are_counted),
		rig_test(a_stop_is_put_off_and_answers_the_right_index),
		rig_test(a_stop_of_the_receive_ring_waits_for_what_is_under_way),
		rig_test(a_new_interrupt_is_put_off_and_then_used),
		rig_test(an_unmap_is_put_off_behind_an_iommu),
		rig_test(a_front_end_may_leave_while_its_guest_waits),
		rig_test(a_port_may_be_deleted_while_its_guest_waits),
		rig_test(a_guest_that_waits_survives_a_new_connection),
		rig_test(the_switch_ends_at_once_while_a_guest_waits),
	};

	if (!postcopy_is_possible())
		return 0;
	return cmocka_run_group_tests_name("postcopy_late", tests, start, rig_stop);
}
