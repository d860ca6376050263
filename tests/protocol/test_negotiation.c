/* SPDX-License-Identifier: BSD-3-Clause */
/* What front-ends may say in which order before frames flow. */
#include "harness.h"

#include <errno.h>
#include <string.h>

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abz", NULL);
}

static void all_features_are_offered(void **state)
{
	static const unsigned bits[] = {VIRTIO_F_VERSION_1, VIRTIO_F_RING_PACKED, VIRTIO_F_IN_ORDER,
		VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_RING_F_EVENT_IDX, VIRTIO_F_ANY_LAYOUT,
		VIRTIO_F_NOTIFY_ON_EMPTY, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_CSUM,
		VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6,
		VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_ECN,
		VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_MTU, VIRTIO_NET_F_MQ,
		VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_CTRL_VQ, VU_F_PROTOCOL_FEATURES};
	struct peer *p = peer_up(*state, "a", NULL);
	uint64_t want = 0;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(bits); i++)
		want |= FE_BIT(bits[i]);
	assert_int_equal(p->g->offered & want, want);
	assert_int_equal(p->g->protocol_offered & PROTOCOL_USUAL, PROTOCOL_USUAL);
	assert_int_equal(p->g->max_pairs, 128);
}

/* What is said about each ring, one step for all rings before the next or ring by ring. */
struct order {
	const char *name;
	enum fe_step steps[FE_NUM_STEPS];
	bool by_ring;
};

static const struct order orders[] = {
	{"as QEMU does", {FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_CALL, FE_ERR, FE_ENABLE}, true},
	{"enable at the end", {FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_CALL, FE_ERR, FE_ENABLE},
		false},
	{"call before kick", {FE_NUM, FE_BASE, FE_ADDR, FE_CALL, FE_ERR, FE_KICK, FE_ENABLE}, true},
	{"enable before the addresses",
		{FE_ENABLE, FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_CALL, FE_ERR}, true},
	{"enable of all first", {FE_ENABLE, FE_CALL, FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_ERR},
		false},
	{"size after the addresses",
		{FE_BASE, FE_ADDR, FE_NUM, FE_KICK, FE_CALL, FE_ERR, FE_ENABLE}, true},
	{"addresses last", {FE_NUM, FE_BASE, FE_KICK, FE_CALL, FE_ERR, FE_ENABLE, FE_ADDR}, true},
	{"size last", {FE_BASE, FE_KICK, FE_CALL, FE_ENABLE, FE_ERR, FE_ADDR, FE_NUM}, true},
	{"kick first", {FE_KICK, FE_CALL, FE_ERR, FE_NUM, FE_BASE, FE_ADDR, FE_ENABLE}, true},
	{"kick first, by step", {FE_KICK, FE_NUM, FE_BASE, FE_ADDR, FE_ENABLE, FE_CALL, FE_ERR},
		false},
	{"base before size", {FE_BASE, FE_NUM, FE_ADDR, FE_CALL, FE_KICK, FE_ERR, FE_ENABLE}, true},
	{"call last", {FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_ENABLE, FE_ERR, FE_CALL}, true},
	{"error fd first", {FE_ERR, FE_NUM, FE_BASE, FE_ADDR, FE_KICK, FE_ENABLE, FE_CALL}, false},
};

static void steps_take(struct fe_guest *g, const struct order *o)
{
	uint32_t i, n = g->nqueues * FE_NUM_STEPS;

	for (i = 0; i < n; i++) {
		uint32_t ring = o->by_ring ? i / FE_NUM_STEPS : i % g->nqueues;
		uint32_t step = o->by_ring ? i % FE_NUM_STEPS : i / g->nqueues;
		int err = fe_guest_ring_step(g, ring, o->steps[step]);

		if (err)
			fail_msg("%s: ring %u, step %u: %s", o->name, ring, step, strerror(-err));
	}
}

static void order_is_fine(struct rig *r, const struct order *o, uint64_t features)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b;

	c.features = (c.features | PACKED) & features;
	a = peer_new(r, "a", &c);
	b = peer_up(r, "b", &c);
	peer_connect(r, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	steps_take(a->g, o);
	peer_sync(a);
	duplex_check(r, a, b);
	rig_clean((void **)&(struct rig *){r});
}

static void a_ring_may_be_described_in_any_order(void **state)
{
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(orders); i++) {
		order_is_fine(*state, &orders[i], ~PACKED);
		order_is_fine(*state, &orders[i], ~0ull);
	}
}

static void rings_start_enabled_without_protocol_features(void **state)
{
	size_t i;

	/* There FE_ENABLE says nothing. */
	for (i = 0; i < RW_ARRAY_SIZE(orders); i++)
		order_is_fine(*state, &orders[i], ~FE_BIT(VU_F_PROTOCOL_FEATURES));
}

static void a_legacy_guest_has_a_header_of_ten_bytes(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b, *z;

	c.features = FE_BIT(VU_F_PROTOCOL_FEATURES);
	a = peer_up(*state, "a", &c);
	assert_int_equal(fe_guest_hdr_len(a->g), 10);
	b = peer_up(*state, "b", &c);
	duplex_check(*state, a, b);
	z = peer_up(*state, "z", NULL);
	duplex_check(*state, a, z);
	/* With mergeable buffers it is 12, old or not. */
	c.features |= FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	peer_down(*state, a);
	a = peer_up(*state, "a", &c);
	assert_int_equal(fe_guest_hdr_len(a->g), 12);
	duplex_check(*state, a, z);
}

static void features_may_come_last(void **state)
{
	struct rig *r = *state;
	struct peer *b = peer_up(r, "b", NULL);
	struct peer *a = peer_new(r, "a", NULL);
	uint32_t i;

	peer_connect(r, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	fe_guest_disconnect(a->g);
	peer_connect(r, a);
	assert_int_equal(fe_conn_set(&a->g->conn, VU_SET_PROTOCOL_FEATURES, PROTOCOL_USUAL), 0);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	for (i = 0; i < a->g->nqueues; i++)
		assert_int_equal(fe_guest_start_ring(a->g, i), 0);
	assert_int_equal(fe_conn_set(&a->g->conn, VU_SET_FEATURES, a->g->features), 0);
	duplex_check(r, a, b);
}

static void without_reply_ack_nothing_is_acknowledged(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b;

	c.protocol_features &= ~FE_BIT(VU_PF_REPLY_ACK);
	a = peer_up(*state, "a", &c);
	b = peer_up(*state, "b", &c);
	duplex_check(*state, a, b);
	/* Asking for an acknowledgement does not help. */
	a->g->conn.protocol_features |= FE_BIT(VU_PF_REPLY_ACK);
	a->g->conn.timeout_ms = 50;
	assert_int_equal(fe_conn_order(&a->g->conn, VU_SET_OWNER), -ETIMEDOUT);
}

static void a_refused_message_is_nacked_and_the_port_goes_on(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	struct fe_conn *c = &a->g->conn;
	struct fe_msg unknown = {.header.request = 99};

	assert_int_equal(fe_conn_tell(c, &unknown), -EREMOTEIO);
	assert_int_equal(fe_conn_set(c, VU_SET_FEATURES, ~0ull), -EREMOTEIO);
	assert_int_equal(fe_conn_set_ring(c, VU_SET_VRING_NUM, 256, 256), -EREMOTEIO);
	assert_int_equal(fe_conn_set_ring(c, VU_SET_VRING_NUM, 0, 0), -EREMOTEIO);
	assert_int_equal(fe_conn_set_ring(c, VU_SET_VRING_NUM, 0, 65536), -EREMOTEIO);
	assert_int_equal(fe_conn_set(c, VU_NET_SET_MTU, 20), -EREMOTEIO);
	duplex_check(*state, a, b);
}

static void a_refused_message_without_reply_ack_closes_the_connection(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	struct peer *z = peer_up(*state, "z", NULL);

	a->g->conn.no_ack = true;
	assert_int_equal(fe_conn_set(&a->g->conn, VU_SET_FEATURES, ~0ull), 0);
	assert_int_equal(fe_conn_wait_closed(&a->g->conn), 0);
	duplex_check(*state, b, z);
	a->g->conn.no_ack = false;
	peer_start(*state, a);
	duplex_check(*state, a, b);
}

static void a_request_with_a_reply_is_not_acknowledged_as_well(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct fe_msg msg = {
		.header = {.request = VU_GET_FEATURES, .flags = VU_VERSION | VU_FLAG_NEED_REPLY}};
	struct fe_msg reply;

	assert_int_equal(fe_conn_ask(&a->g->conn, &msg, &reply), 0);
	assert_int_equal(reply.header.size, 8);
	assert_int_equal(reply.payload.u64, a->g->offered);
	/* The next reply belongs to the next request. */
	msg = (struct fe_msg){.header.request = VU_GET_PROTOCOL_FEATURES};
	assert_int_equal(fe_conn_ask(&a->g->conn, &msg, &reply), 0);
	assert_int_equal(reply.payload.u64, a->g->protocol_offered);
}

static void mtu_and_status_are_kept(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct fe_conn *c = &a->g->conn;
	uint64_t status;

	assert_int_equal(fe_conn_set(c, VU_NET_SET_MTU, 9000), 0);
	assert_int_equal(rig_port_info(*state, "a", "mtu"), 9000);
	assert_int_equal(fe_conn_set(c, VU_SET_STATUS, 0x0f), 0);
	assert_int_equal(fe_conn_get(c, VU_GET_STATUS, &status), 0);
	assert_int_equal(status, 0x0f);
}

static void repeating_oneself_while_frames_flow_changes_nothing(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	struct fe_guest *g = a->g;
	uint32_t i, ring;

	for (i = 0; i < 20; i++) {
		duplex_check(*state, a, b);
		assert_int_equal(fe_guest_share_memory(g), 0);
		duplex_check(*state, a, b);
		assert_int_equal(fe_conn_set(&g->conn, VU_SET_FEATURES, g->features), 0);
		for (ring = 0; ring < 2; ring++) {
			assert_int_equal(fe_guest_ring_step(g, ring, FE_NUM), 0);
			assert_int_equal(fe_guest_ring_step(g, ring, FE_ADDR), 0);
			assert_int_equal(fe_guest_ring_step(g, ring, FE_CALL), 0);
			assert_int_equal(fe_guest_ring_step(g, ring, FE_KICK), 0);
			assert_int_equal(fe_guest_ring_step(g, ring, FE_ENABLE), 0);
		}
	}
}

static void a_ring_without_kick_and_call_descriptors_is_polled_by_both(void **state)
{
	struct peer *a = peer_new(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	struct fe_guest *g = a->g;
	uint32_t i;

	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(g), 0);
	assert_int_equal(fe_guest_reset_rings(g), 0);
	assert_int_equal(fe_guest_share_memory(g), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(fe_guest_ring_step(g, i, FE_NUM), 0);
		assert_int_equal(fe_guest_ring_step(g, i, FE_BASE), 0);
		assert_int_equal(fe_guest_ring_step(g, i, FE_ADDR), 0);
		assert_int_equal(fe_conn_set_ring_fd(&g->conn, VU_SET_VRING_CALL, i, -1), 0);
		assert_int_equal(fe_conn_set_ring_fd(&g->conn, VU_SET_VRING_KICK, i, -1), 0);
		assert_int_equal(fe_guest_ring_step(g, i, FE_ENABLE), 0);
	}
	duplex_check(*state, a, b);
}

static void a_device_reset_begins_anew_on_the_same_connection(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *b = peer_up(*state, "b", NULL);
	struct peer *a;
	uint32_t i;

	c.features |= PACKED;
	a = peer_up(*state, "a", &c);
	duplex_check(*state, a, b);
	for (i = 0; i < 3; i++) {
		assert_int_equal(fe_conn_order(&a->g->conn, VU_RESET_DEVICE), 0);
		/* A driver of the other ring format takes over. */
		a->g->config.features ^= PACKED;
		assert_int_equal(fe_guest_start(a->g), 0);
		duplex_check(*state, a, b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(all_features_are_offered),
		rig_test(a_ring_may_be_described_in_any_order),
		rig_test(rings_start_enabled_without_protocol_features),
		rig_test(a_legacy_guest_has_a_header_of_ten_bytes),
		rig_test(features_may_come_last),
		rig_test(without_reply_ack_nothing_is_acknowledged),
		rig_test(a_refused_message_is_nacked_and_the_port_goes_on),
		rig_test(a_refused_message_without_reply_ack_closes_the_connection),
		rig_test(a_request_with_a_reply_is_not_acknowledged_as_well),
		rig_test(mtu_and_status_are_kept),
		rig_test(repeating_oneself_while_frames_flow_changes_nothing),
		rig_test(a_ring_without_kick_and_call_descriptors_is_polled_by_both),
		rig_test(a_device_reset_begins_anew_on_the_same_connection),
	};

	return cmocka_run_group_tests_name("negotiation", tests, start, rig_stop);
}
