/* SPDX-License-Identifier: BSD-3-Clause */
/* INBAND_NOTIFICATIONS: kicks, calls and errors are messages, so each can be counted exactly. */
#include <errno.h>
#include <sys/eventfd.h>

#include "harness.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

#define PROTOCOL_INBAND \
	(PROTOCOL_USUAL | FE_BIT(VU_PF_BACKEND_REQ) | FE_BIT(VU_PF_INBAND_NOTIFICATIONS))

static const uint64_t variants[] = {
	0, PACKED, FE_BIT(VIRTIO_RING_F_EVENT_IDX), PACKED | FE_BIT(VIRTIO_RING_F_EVENT_IDX)};

static struct fe_guest_config inband(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features &= ~(FE_BIT(VIRTIO_RING_F_EVENT_IDX) | PACKED);
	c.features |= features;
	c.protocol_features = PROTOCOL_INBAND;
	return c;
}

/* Everything about a ring but a descriptor: none is needed. The ring starts with VRING_KICK. */
static void ring_start(struct fe_guest *g, uint32_t i)
{
	assert_int_equal(fe_guest_ring_step(g, i, FE_NUM), 0);
	assert_int_equal(fe_guest_ring_step(g, i, FE_BASE), 0);
	assert_int_equal(fe_guest_ring_step(g, i, FE_ADDR), 0);
	assert_int_equal(fe_guest_ring_step(g, i, FE_ENABLE), 0);
	assert_int_equal(fe_conn_set_ring(&g->conn, VU_VRING_KICK, i, 0), 0);
}

static struct peer *guest_up(struct rig *r, const char *port, const struct fe_guest_config *c)
{
	struct peer *p = peer_new(r, port, c);
	uint32_t i;

	peer_connect(r, p);
	assert_int_equal(fe_guest_negotiate(p->g), 0);
	assert_int_equal(fe_guest_reset_rings(p->g), 0);
	assert_int_equal(fe_guest_share_memory(p->g), 0);
	for (i = 0; i < p->g->nqueues; i++)
		ring_start(p->g, i);
	return p;
}

/* One frame, and the two interrupts that it is worth. */
static void frame_with_calls(struct rig *r, struct peer *a, struct peer *b, uint32_t seed)
{
	struct fe_queue *tx = fe_guest_tx(a->g, 0), *rx = fe_guest_rx(b->g, 0);

	peer_send_to(r, a, b->mac, 100, seed);
	assert_int_equal(fe_queue_wait_interrupt(tx, rig_patience(r)), 1);
	assert_int_equal(fe_queue_wait_interrupt(rx, rig_patience(r)), 1);
	peer_expect(r, b, b->mac, a->mac, 100, seed);
	assert_int_equal(fe_guest_reap(a->g, 0), 1);
	/* Where an interrupt is asked for at an index, it has to be asked for again. */
	fe_ring_want_interrupt(&tx->ring, true);
	fe_ring_want_interrupt(&rx->ring, true);
}

static void each_frame_is_called_once(void **state)
{
	struct fe_guest_config c;
	struct peer *a, *b;
	uint64_t calls;
	uint32_t i;
	size_t v;

	for (v = 0; v < RW_ARRAY_SIZE(variants); v++) {
		c = inband(variants[v]);
		a = guest_up(*state, "a", &c);
		b = guest_up(*state, "b", &c);
		for (i = 0; i < 300; i++) {
			frame_with_calls(*state, a, b, i);
			frame_with_calls(*state, b, a, i);
		}
		/* All of them, no other ring's, and nothing else. */
		assert_true(fe_guest_service(a->g) >= 0);
		calls = a->g->channel.calls[0] + a->g->channel.calls[1];
		assert_int_equal(a->g->channel.calls[0], 300);
		assert_int_equal(a->g->channel.calls[1], 300);
		for (i = 2; i < FE_CHANNEL_RINGS; i++)
			calls += a->g->channel.calls[i];
		assert_int_equal(calls, 600);
		assert_int_equal(a->g->channel.others, 0);
		rig_clean(state);
	}
}

static void a_burst_is_called_at_most_once_for_each_frame(void **state)
{
	const struct stream s = {.n = 2000, .len = 100};
	const struct fe_guest_config c = inband(0);
	struct peer *a = guest_up(*state, "a", &c), *b = guest_up(*state, "b", &c);
	uint64_t calls;

	stream_check(*state, a, b, &s);
	calls = fe_queue_wait_interrupt(fe_guest_rx(b->g, 0), rig_patience(*state));
	assert_true(calls >= 1 && calls <= s.n);
	stream_check(*state, b, a, &s);
}

static void no_call_comes_when_none_is_wanted(void **state)
{
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t v;

	for (v = 0; v < 2; v++) {
		const struct stream s = {.n = 100, .len = 100};

		c = inband(variants[v]);
		a = guest_up(*state, "a", &c);
		b = guest_up(*state, "b", &c);
		frame_with_calls(*state, a, b, 1);
		fe_ring_want_interrupt(&fe_guest_rx(b->g, 0)->ring, false);
		fe_ring_want_interrupt(&fe_guest_tx(a->g, 0)->ring, false);
		stream_check(*state, a, b, &s);
		peer_sync(b);
		assert_int_equal(fe_queue_interrupts(fe_guest_rx(b->g, 0)), 0);
		assert_int_equal(fe_queue_interrupts(fe_guest_tx(a->g, 0)), 0);
		fe_guest_reap(a->g, 0);
		fe_ring_want_interrupt(&fe_guest_rx(b->g, 0)->ring, true);
		fe_ring_want_interrupt(&fe_guest_tx(a->g, 0)->ring, true);
		frame_with_calls(*state, a, b, 2);
		rig_clean(state);
	}
}

static void a_ring_starts_with_a_kick_and_no_earlier(void **state)
{
	const struct fe_guest_config c = inband(0);
	struct peer *b = guest_up(*state, "b", &c), *a = guest_up(*state, "a", &c);
	uint64_t frames;
	uint32_t base, i;

	frame_with_calls(*state, a, b, 1);
	for (i = 0; i < 3; i++) {
		frames = rig_counter(*state, "a", "rx", "frames");
		assert_int_equal(fe_guest_stop_ring(a->g, 1, &base), 0);
		assert_int_equal(base, 2 * i + 1);
		/* Polled before, the ring wants no kicks: this frame goes without one. */
		peer_send_to(*state, a, b->mac, 100, i);
		assert_int_equal(fe_guest_ring_step(a->g, 1, FE_BASE), 0);
		assert_int_equal(fe_guest_ring_step(a->g, 1, FE_ADDR), 0);
		assert_int_equal(fe_guest_enable(a->g, 1, true), 0);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		/* Nothing of that starts the ring; its neighbour runs meanwhile. */
		peer_send_to(*state, b, a->mac, 100, i);
		peer_expect(*state, a, a->mac, b->mac, 100, i);
		assert_int_equal(rig_counter(*state, "a", "rx", "frames"), frames);
		assert_int_equal(fe_conn_set_ring(&a->g->conn, VU_VRING_KICK, 1, 0), 0);
		peer_expect(*state, b, b->mac, a->mac, 100, i);
		peer_send_to(*state, a, b->mac, 100, i);
		peer_expect(*state, b, b->mac, a->mac, 100, i);
	}
}

static void a_broken_ring_is_told_once(void **state)
{
	const struct fe_guest_config c = inband(0);
	struct peer *a = guest_up(*state, "a", &c), *b = guest_up(*state, "b", &c);
	struct fe_queue *tx = fe_guest_tx(a->g, 0), *rx = fe_guest_rx(a->g, 0);
	uint64_t errors = 0;

	frame_with_calls(*state, a, b, 1);
	/* More available than the ring has entries. */
	__atomic_store_n(
		&tx->ring.avail->idx, (uint16_t)(tx->ring.avail->idx + 1000), __ATOMIC_RELEASE);
	fe_queue_kick(tx); /* the worker may sleep */
	rig_wait(*state, (errors += fe_queue_errors(tx)) > 0);
	assert_int_equal(errors, 1);
	assert_int_equal(fe_queue_errors(rx), 0);
	assert_int_equal(rig_port_info(*state, "a", "broken_rings"), 1);
	/* It stays one, while the port's other ring goes on. */
	frame_with_calls(*state, b, a, 2);
	assert_int_equal(fe_queue_errors(tx), 0);
	/* Repaired and started again, it works, and may break again. */
	tx->ring.avail->idx = (uint16_t)(tx->ring.avail->idx - 1000);
	assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
	assert_int_equal(fe_conn_set_ring(&a->g->conn, VU_VRING_KICK, 1, 0), 0);
	frame_with_calls(*state, a, b, 3);
	tx->ring.avail->idx = (uint16_t)(tx->ring.avail->idx + 1000);
	fe_queue_kick(tx);
	rig_wait(*state, (errors += fe_queue_errors(tx)) > 1);
	assert_int_equal(errors, 2);
}

static void descriptors_may_be_used_all_the_same(void **state)
{
	const struct fe_guest_config c = inband(0);
	struct peer *a = guest_up(*state, "a", &c), *b = guest_up(*state, "b", &c);
	struct fe_queue *rx = fe_guest_rx(b->g, 0);

	/* An eventfd takes the place of the messages... */
	assert_int_equal(fe_conn_set_ring_fd(&b->g->conn, VU_SET_VRING_CALL, 0, rx->call_fd), 0);
	peer_send_to(*state, a, b->mac, 100, 1);
	peer_expect(*state, b, b->mac, a->mac, 100, 1);
	rig_wait(*state, eventfd_read(rx->call_fd, &(eventfd_t){0}) == 0);
	assert_int_equal(fe_queue_interrupts(rx), 0);
	/* ...and "no descriptor" says that the guest polls. */
	assert_int_equal(fe_conn_set_ring_fd(&b->g->conn, VU_SET_VRING_CALL, 0, -1), 0);
	rig_helper_rests(*state, "b");
	eventfd_read(rx->call_fd, &(eventfd_t){0}); /* a signal that took long is repeated */
	peer_send_to(*state, a, b->mac, 100, 2);
	peer_expect(*state, b, b->mac, a->mac, 100, 2);
	peer_sync(b);
	assert_int_equal(fe_queue_interrupts(rx), 0);
	assert_int_equal(eventfd_read(rx->call_fd, &(eventfd_t){0}), -1);
}

static void a_guest_that_does_not_listen_delays_nobody(void **state)
{
	const struct fe_guest_config c = inband(0);
	struct peer *a = guest_up(*state, "a", &c), *b = guest_up(*state, "b", &c);
	static uint8_t got[FRAME_MAX], data[100];
	struct fe_frame f = {.data = data, .len = sizeof(data)};
	struct fe_channel *ch = &b->g->channel;
	int ours = ch->conn.fd;
	struct fe_received in;
	uint64_t calls;
	uint32_t i;
	int err;

	/* Far more calls than a socket holds, and b does not look at its end of it. */
	ch->conn.fd = -1;
	frame_make(data, sizeof(data), b->mac, a->mac, 0);
	for (i = 0; i < 3000; i++) {
		peer_send(*state, a, 0, &f);
		rig_wait(*state, (err = fe_guest_recv(b->g, 0, got, FRAME_MAX, &in)) != -EAGAIN);
		assert_int_equal(err, 0);
	}
	json_decref(rig_call(*state, "version", NULL));
	ch->conn.fd = ours;
	calls = fe_queue_wait_interrupt(fe_guest_rx(b->g, 0), rig_patience(*state));
	assert_true(calls >= 1 && calls <= 3000);
	fe_queue_interrupts(fe_guest_rx(b->g, 0));
	duplex_check(*state, a, b);
	/* A channel that is closed is none; frames still come. */
	fe_channel_close(ch);
	stream_check(*state, a, b, &(struct stream){.n = 100, .len = 60});
}

static void the_features_it_needs_must_be_there(void **state)
{
	static const uint64_t needs[] = {FE_BIT(VU_PF_BACKEND_REQ), FE_BIT(VU_PF_REPLY_ACK),
		FE_BIT(VU_PF_BACKEND_REQ) | FE_BIT(VU_PF_REPLY_ACK)};
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct fe_conn *c = &a->g->conn;
	uint64_t bits;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(needs); i++) {
		assert_int_equal(fe_conn_set(c, VU_SET_PROTOCOL_FEATURES, PROTOCOL_USUAL), 0);
		bits = PROTOCOL_INBAND & ~needs[i];
		c->protocol_features = PROTOCOL_USUAL;
		assert_int_equal(
			fe_conn_tell(c,
				&(struct fe_msg){
					.header = {.request = VU_SET_PROTOCOL_FEATURES, .size = 8},
					.payload.u64 = bits}),
			-EREMOTEIO);
	}
	/* What was negotiated stays. */
	assert_int_equal(fe_conn_set_ring(c, VU_VRING_KICK, 1, 0), -EREMOTEIO);
	duplex_check(*state, a, b);
}

static void a_kick_that_is_wrong_is_refused(void **state)
{
	const struct fe_guest_config c = inband(0);
	struct peer *a = guest_up(*state, "a", &c), *b = guest_up(*state, "b", &c);
	struct fe_conn *conn = &a->g->conn;
	const uint64_t payload[2] = {1};
	struct fe_raw raw = {.request = VU_VRING_KICK, .payload = payload, .len = 4};

	assert_int_equal(fe_conn_set_ring(conn, VU_VRING_KICK, 256, 0), -EREMOTEIO);
	assert_int_equal(fe_conn_set_ring(conn, VU_VRING_KICK, UINT32_MAX, 0), -EREMOTEIO);
	assert_int_equal(fe_conn_set_ring(conn, VU_VRING_KICK, 1, 1), -EREMOTEIO);
	assert_int_equal(fe_conn_raw(conn, &raw, NULL), -EREMOTEIO);
	raw.len = 16;
	assert_int_equal(fe_conn_raw(conn, &raw, NULL), -EREMOTEIO);
	raw.len = 8;
	raw.fds = &a->g->queues[0].kick_fd;
	raw.nfds = 1;
	assert_int_equal(fe_conn_raw(conn, &raw, NULL), -EREMOTEIO);
	frame_with_calls(*state, a, b, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(each_frame_is_called_once),
		rig_test(a_burst_is_called_at_most_once_for_each_frame),
		rig_test(no_call_comes_when_none_is_wanted),
		rig_test(a_ring_starts_with_a_kick_and_no_earlier),
		rig_test(a_broken_ring_is_told_once),
		rig_test(descriptors_may_be_used_all_the_same),
		rig_test(a_guest_that_does_not_listen_delays_nobody),
		rig_test(the_features_it_needs_must_be_there),
		rig_test(a_kick_that_is_wrong_is_refused),
	};

	return cmocka_run_group_tests_name("inband", tests, start, rig_stop);
}
