/* SPDX-License-Identifier: BSD-3-Clause */
/* What is offered, what is not, and messages of features that a front-end does not have. */
#include <errno.h>
#include <string.h>

#include "harness.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

static const uint64_t offered_protocol = FE_BIT(VU_PF_MQ) | FE_BIT(VU_PF_LOG_SHMFD) |
	FE_BIT(VU_PF_RARP) | FE_BIT(VU_PF_REPLY_ACK) | FE_BIT(VU_PF_NET_MTU) |
	FE_BIT(VU_PF_BACKEND_REQ) | FE_BIT(VU_PF_CROSS_ENDIAN) | FE_BIT(VU_PF_INFLIGHT_SHMFD) |
	FE_BIT(VU_PF_RESET_DEVICE) | FE_BIT(VU_PF_INBAND_NOTIFICATIONS) |
	FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS) | FE_BIT(VU_PF_STATUS) |
	FE_BIT(VU_PF_GET_VRING_BASE_INFLIGHT) | FE_BIT(VU_PF_GPA_ADDRESSES);

#define NET(n)  FE_BIT(VIRTIO_NET_F_##n)
#define RING(n) FE_BIT(VIRTIO_##n)

static const uint64_t offered = NET(CSUM) | NET(GUEST_CSUM) | NET(MTU) | NET(GUEST_TSO4) |
	NET(GUEST_TSO6) | NET(GUEST_ECN) | NET(HOST_TSO4) | NET(HOST_TSO6) | NET(HOST_ECN) |
	NET(MRG_RXBUF) | NET(STATUS) | NET(CTRL_VQ) | NET(GUEST_ANNOUNCE) | NET(MQ) |
	NET(GUEST_USO4) | NET(GUEST_USO6) | NET(HOST_USO) | NET(SPEED_DUPLEX) |
	RING(F_NOTIFY_ON_EMPTY) | RING(F_ANY_LAYOUT) | RING(RING_F_INDIRECT_DESC) |
	RING(RING_F_EVENT_IDX) | RING(F_VERSION_1) | RING(F_ACCESS_PLATFORM) | RING(F_RING_PACKED) |
	RING(F_IN_ORDER) | RING(F_RING_RESET) | FE_BIT(26) /* VHOST_F_LOG_ALL */ |
	FE_BIT(VU_F_PROTOCOL_FEATURES);

static void exactly_these_are_offered(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);

	assert_int_equal(a->g->offered, offered);
	assert_int_equal(a->g->protocol_offered, offered_protocol);
	assert_int_equal(a->g->max_pairs, 128);
}

static void what_is_not_offered_cannot_be_had(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *b = peer_up(*state, "b", NULL);
	struct fe_conn *c = &a->g->conn;
	unsigned bit;

	for (bit = 0; bit < 64; bit++) {
		if (!(offered >> bit & 1))
			assert_int_equal(
				fe_conn_set(c, VU_SET_FEATURES, a->g->features | FE_BIT(bit)),
				-EREMOTEIO);
		if (!(offered_protocol >> bit & 1)) {
			struct fe_msg msg = {
				.header = {.request = VU_SET_PROTOCOL_FEATURES, .size = 8},
				.payload.u64 = a->g->protocol_features | FE_BIT(bit)};

			assert_int_equal(fe_conn_tell(c, &msg), -EREMOTEIO);
		}
	}
	duplex_check(*state, a, b);
}

/* A message that is nothing without a feature, as it is with it. */
struct message {
	uint32_t request;
	uint32_t len;
	bool fd;
};

/* Those of other devices: no network device has them. */
static const struct message foreign[] = {
	{VU_CREATE_CRYPTO_SESSION, 0, false},
	{VU_CLOSE_CRYPTO_SESSION, 8, false},
	{VU_GPU_SET_SOCKET, 0, true},
	{VU_GET_SHARED_OBJECT, 16, false},
	{VU_GET_SHMEM_CONFIG, 0, false},
	{0, 0, false},
	{45, 0, false},
	{46, 8, true},
	{1000, 200, false},
	{0x7fffffff, 0, false},
	{UINT32_MAX, 8, false},
};

/* Those of features that are offered, and refused by an acknowledgement when not negotiated. */
static const struct message gated[] = {
	{VU_SEND_RARP, 8, false},
	{VU_NET_SET_MTU, 8, false},
	{VU_SET_BACKEND_REQ_FD, 0, true},
	{VU_SET_VRING_ENDIAN, 8, false},
	{VU_SET_CONFIG, 13, false},
	{VU_POSTCOPY_LISTEN, 0, false},
	{VU_POSTCOPY_END, 0, false},
	{VU_SET_INFLIGHT_FD, 24, true},
	{VU_RESET_DEVICE, 0, false},
	{VU_VRING_KICK, 8, false},
	{VU_ADD_MEM_REG, 40, true},
	{VU_REM_MEM_REG, 40, false},
	{VU_SET_STATUS, 8, false},
	{VU_CHECK_DEVICE_STATE, 0, false},
	{VU_IOTLB_MSG, 32, false},
	{VU_SET_LOG_BASE, 16, true},
};

static int say(struct peer *p, const struct message *m)
{
	static const uint8_t payload[2048];
	const struct fe_raw raw = {.request = m->request,
		.len = m->len,
		.payload = payload,
		.fds = &p->g->queues[0].err_fd,
		.nfds = m->fd};

	return fe_conn_raw(&p->g->conn, &raw, NULL);
}

static void messages_of_other_devices_are_refused(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	size_t i;

	c.protocol_features = offered_protocol & ~FE_BIT(VU_PF_INBAND_NOTIFICATIONS);
	a = peer_up(*state, "a", &c);
	for (i = 0; i < RW_ARRAY_SIZE(foreign); i++) {
		if (say(a, &foreign[i]) != -EREMOTEIO)
			fail_msg("request %u was not refused", foreign[i].request);
		duplex_check(*state, a, b);
	}
}

static void messages_without_their_feature_are_refused(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	size_t i;

	c.protocol_features = FE_BIT(VU_PF_REPLY_ACK);
	a = peer_up(*state, "a", &c);
	for (i = 0; i < RW_ARRAY_SIZE(gated); i++) {
		if (say(a, &gated[i]) != -EREMOTEIO)
			fail_msg("request %u was not refused", gated[i].request);
		duplex_check(*state, a, b);
	}
}

/* Where the reply has a way to say no, it is used. */
static void questions_without_their_feature_get_their_kind_of_no(void **state)
{
	struct vu_inflight_desc desc = {.num_queues = 2, .queue_size = 256};
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint8_t byte;
	int fd, back;

	c.protocol_features = FE_BIT(VU_PF_REPLY_ACK);
	a = peer_up(*state, "a", &c);
	assert_int_equal(fe_conn_get_config(&a->g->conn, 0, 1, &byte), -EREMOTEIO);
	assert_int_equal(fe_conn_get_inflight(&a->g->conn, &desc, &fd), -EREMOTEIO);
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &fd), -EREMOTEIO);
	assert_int_equal(
		fe_conn_set_state_fd(&a->g->conn, VU_STATE_SAVE, a->g->queues[0].err_fd, &back),
		-EREMOTEIO);
	duplex_check(*state, a, b);
}

static void postcopy_set(struct rig *r, const char *value)
{
	json_decref(
		rig_call(r, "port.set", json_pack("{s:s, s:s}", "name", "a", "postcopy", value)));
}

/* Whether port.show says so. */
static bool postcopy_is_allowed(struct rig *r)
{
	json_t *port = rig_call(r, "port.show", json_pack("{s:s}", "name", "a"));
	bool allowed = json_is_true(json_object_get(port, "postcopy_allowed"));

	json_decref(port);
	return allowed;
}

/*
 * A userfaultfd reaches the whole process, so nobody gets one whom the operator does not trust. A
 * front-end that negotiates PAGEFAULT all the same, and one that just asks, get none.
 */
static void postcopy_is_for_those_whom_the_operator_trusts(void **state)
{
	struct fe_guest_config c = guest_usual();
	uint64_t bits = offered_protocol | FE_BIT(VU_PF_PAGEFAULT);
	struct peer *a;
	int fd = -1;

	assert_false(postcopy_is_allowed(*state));
	c.protocol_features = FE_BIT(VU_PF_REPLY_ACK) | FE_BIT(VU_PF_PAGEFAULT);
	a = peer_up(*state, "a", &c);
	assert_false(a->g->protocol_offered & FE_BIT(VU_PF_PAGEFAULT));
	assert_int_equal(fe_conn_set(&a->g->conn, VU_SET_PROTOCOL_FEATURES, bits), -EREMOTEIO);
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &fd), -EREMOTEIO);
	assert_int_equal(fd, -1);
	/* The one that is there keeps what it was offered. */
	postcopy_set(*state, "on");
	assert_true(postcopy_is_allowed(*state));
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &fd), -EREMOTEIO);
	peer_down(*state, a);
	peer_start(*state, a);
	assert_true(a->g->protocol_offered & FE_BIT(VU_PF_PAGEFAULT));
	assert_true(a->g->protocol_offered == bits);
	peer_down(*state, a);
	postcopy_set(*state, "off");
	peer_start(*state, a);
	assert_false(a->g->protocol_offered & FE_BIT(VU_PF_PAGEFAULT));
	assert_int_equal(fe_conn_postcopy_advise(&a->g->conn, &fd), -EREMOTEIO);
	assert_int_equal(fd, -1);
}

/*
 * QEMU makes DEVICE_STATE a part of every migration once it is offered, and warns of CONFIG at each
 * connection: each is offered where the operator wants it.
 */
static void what_disturbs_front_ends_is_for_those_who_ask(void **state)
{
	static const struct {
		const char *on, *off;
		uint64_t bit;
	} cases[] = {
		{"{\"device-state\": \"on\"}", "{\"device-state\": \"off\"}",
			FE_BIT(VU_PF_DEVICE_STATE)},
		{"{\"config-space\": \"on\"}", "{\"config-space\": \"off\"}", FE_BIT(VU_PF_CONFIG)},
	};
	struct peer *a = peer_up(*state, "a", NULL);
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		rig_port_set(*state, "a", cases[i].on);
		assert_int_equal(a->g->protocol_offered, offered_protocol);
		peer_down(*state, a);
		peer_start(*state, a);
		assert_int_equal(a->g->protocol_offered, offered_protocol | cases[i].bit);
		rig_port_set(*state, "a", cases[i].off);
		peer_down(*state, a);
		peer_start(*state, a);
		assert_int_equal(a->g->protocol_offered, offered_protocol);
	}
}

/* A number cannot say no: the connection ends, that port's only. */
static void numbers_without_their_feature_end_the_session(void **state)
{
	static const enum vu_request asks[] = {
		VU_GET_QUEUE_NUM, VU_GET_MAX_MEM_SLOTS, VU_GET_STATUS};
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint64_t value;
	size_t i;

	c.protocol_features = FE_BIT(VU_PF_REPLY_ACK);
	a = peer_new(*state, "a", &c);
	for (i = 0; i < RW_ARRAY_SIZE(asks); i++) {
		peer_start(*state, a);
		assert_int_equal(fe_conn_get(&a->g->conn, asks[i], &value), -ECONNRESET);
		peer_start(*state, a);
		duplex_check(*state, a, b);
	}
}

static void a_base_with_inflight_needs_the_buffer(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	struct fe_msg msg = {.header = {.request = VU_SET_PROTOCOL_FEATURES, .size = 8}};
	uint32_t base, i;

	a = peer_up(*state, "a", &c);
	msg.payload.u64 = PROTOCOL_USUAL | FE_BIT(VU_PF_GET_VRING_BASE_INFLIGHT);
	assert_int_equal(fe_conn_tell(&a->g->conn, &msg), -EREMOTEIO);
	duplex_check(*state, a, b);
	c.protocol_features |= FE_BIT(VU_PF_GET_VRING_BASE_INFLIGHT) | FE_BIT(VU_PF_INFLIGHT_SHMFD);
	for (i = 0; i < 2; i++) {
		peer_down(*state, a);
		a = peer_up(*state, "a", &c);
		assert_true(fe_guest_has_protocol(a->g, VU_PF_GET_VRING_BASE_INFLIGHT));
		stream_check(*state, a, b, &(struct stream){.n = 20, .len = 60});
		assert_int_equal(fe_guest_stop_ring(a->g, 1, &base), 0);
		/* Nothing is ever left in flight by a switch that copies at once. */
		assert_int_equal(base, i ? (20 | 0x8000) * 0x10001u : 20);
		assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
		duplex_check(*state, a, b);
		c.features |= PACKED;
	}
}

static void one_queue_is_reset_while_its_neighbours_run(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	uint32_t i, f;

	c.features |= FE_BIT(VIRTIO_F_RING_RESET);
	for (f = 0; f < 2; f++) {
		a = peer_up(*state, "a", &c);
		assert_true(fe_guest_has(a->g, VIRTIO_F_RING_RESET));
		for (i = 0; i < 5; i++) {
			stream_check(*state, a, b, &(struct stream){.n = 33, .len = 60});
			/* QEMU stops and disables the ring, then describes it anew. */
			assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
			assert_int_equal(fe_guest_enable(a->g, 1, false), 0);
			stream_check(*state, b, a, &(struct stream){.n = 33, .len = 60});
			assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
			stream_check(*state, a, b, &(struct stream){.n = 33, .len = 60});
		}
		peer_down(*state, a);
		c.features |= PACKED;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(exactly_these_are_offered),
		rig_test(what_is_not_offered_cannot_be_had),
		rig_test(messages_of_other_devices_are_refused),
		rig_test(messages_without_their_feature_are_refused),
		rig_test(questions_without_their_feature_get_their_kind_of_no),
		rig_test(postcopy_is_for_those_whom_the_operator_trusts),
		rig_test(what_disturbs_front_ends_is_for_those_who_ask),
		rig_test(numbers_without_their_feature_end_the_session),
		rig_test(a_base_with_inflight_needs_the_buffer),
		rig_test(one_queue_is_reset_while_its_neighbours_run),
	};

	return cmocka_run_group_tests_name("features", tests, start, rig_stop);
}
