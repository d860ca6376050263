/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end channel: what is received, counted and answered, and what is not. */
#include "fe_fixture.h"

static struct fe_channel ch;
static int peer;

static int open_channel(void **state)
{
	(void)state;
	fe_channel_init(&ch);
	return fe_channel_open(&ch, &peer);
}

static int close_channel(void **state)
{
	(void)state;
	fe_channel_close(&ch);
	close(peer);
	return 0;
}

static void ask(uint32_t request, const void *payload, uint32_t len)
{
	peer_send_fd(peer, request, VU_VERSION | VU_FLAG_NEED_REPLY, payload, len, -1);
}

static void ask_miss(uint64_t iova)
{
	const struct vu_iotlb miss = {.iova = iova, .perm = VU_IOTLB_READ, .type = VU_IOTLB_MISS};

	ask(VU_BACKEND_IOTLB_MSG, &miss, sizeof(miss));
}

/* The next acknowledgement says `value`. */
static void acked(uint64_t value)
{
	struct fe_msg m = peer_recv(peer);

	assert_int_equal(m.header.flags, VU_VERSION | VU_FLAG_REPLY);
	assert_int_equal(m.header.size, 8);
	assert_int_equal(m.payload.u64, value);
}

static void requests_are_counted_by_kind(void **state)
{
	const struct vu_vring_state ring = {.index = 3};
	const struct vu_iotlb fail = {.iova = 1, .type = VU_IOTLB_ACCESS_FAIL};
	struct fe_msg m;
	int i;

	(void)state;
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EAGAIN);
	ask_miss(0x1000);
	ask(VU_BACKEND_IOTLB_MSG, &fail, sizeof(fail));
	ask(VU_BACKEND_CONFIG_CHANGE_MSG, "", 0);
	ask(VU_BACKEND_VRING_CALL, &ring, sizeof(ring));
	ask(VU_BACKEND_VRING_ERR, &ring, sizeof(ring));
	ask(VU_BACKEND_VRING_ERR, &ring, sizeof(ring));
	ask(3, "", 0);
	for (i = 0; i < 7; i++)
		assert_int_equal(fe_channel_next(&ch, &m, 0), 0);
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EAGAIN);
	assert_int_equal(ch.misses, 1);
	assert_int_equal(ch.access_fails, 1);
	assert_int_equal(ch.config_changes, 1);
	assert_int_equal(ch.calls[3], 1);
	assert_int_equal(ch.errs[3], 2);
	assert_int_equal(ch.others, 1);
}

static void a_malformed_request_is_reported(void **state)
{
	const struct vu_vring_state ring = {.index = 256};
	const struct vu_iotlb update = {.type = VU_IOTLB_UPDATE};
	struct fe_msg m;

	(void)state;
	ask(VU_BACKEND_VRING_CALL, &ring, sizeof(ring));
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EPROTO);
	ask(VU_BACKEND_VRING_CALL, &ring, 4);
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EPROTO);
	ask(VU_BACKEND_IOTLB_MSG, &update, sizeof(update));
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EPROTO);
	peer_send_fd(peer, VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION | VU_FLAG_REPLY, "", 0, -1);
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EPROTO);
	peer_send_fd(peer, VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION, "", 0, peer);
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EPROTO);
	close(peer);
	assert_int_equal(fe_channel_next(&ch, &m, 0), -ECONNRESET);
	peer = dup(ch.conn.fd);
}

static void only_who_asks_is_acknowledged(void **state)
{
	struct fe_msg m;

	(void)state;
	ask_miss(0x1000);
	assert_int_equal(fe_channel_next(&ch, &m, 0), 0);
	assert_int_equal(fe_channel_ack(&ch, &m, 7), 0);
	acked(7);
	peer_send_fd(peer, VU_BACKEND_CONFIG_CHANGE_MSG, VU_VERSION, "", 0, -1);
	assert_int_equal(fe_channel_next(&ch, &m, 0), 0);
	assert_int_equal(fe_channel_ack(&ch, &m, 7), 0);
	peer_hears_nothing(peer);
	assert_int_equal(ch.answered, 1);
}

static void answers_may_be_late_wrong_or_missing(void **state)
{
	struct fe_msg m;
	uint64_t i;

	(void)state;
	ch.answers = FE_HOLD;
	for (i = 0; i < 3; i++)
		ask_miss(i << 12);
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EAGAIN);
	assert_int_equal(ch.misses, 3);
	assert_int_equal(ch.nheld, 3);
	ch.answers = FE_ANSWER;
	ask_miss(3 << 12);
	for (i = 0; i < 4; i++) {
		assert_int_equal(fe_channel_next(&ch, &m, 0), 0);
		assert_int_equal(m.payload.iotlb.iova, i << 12); /* in order */
	}
	ch.answers = FE_REFUSE;
	ask_miss(0);
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EAGAIN);
	acked(1);
	ch.answers = FE_LIE;
	ask_miss(0);
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EAGAIN);
	acked(0);
	ch.answers = FE_IGNORE;
	ask_miss(0);
	assert_int_equal(fe_channel_next(&ch, &m, 0), -EAGAIN);
	peer_hears_nothing(peer);
	assert_int_equal(ch.misses, 7);
}

#define channel_test(f) cmocka_unit_test_setup_teardown(f, open_channel, close_channel)

int main(void)
{
	const struct CMUnitTest tests[] = {
		channel_test(requests_are_counted_by_kind),
		channel_test(a_malformed_request_is_reported),
		channel_test(only_who_asks_is_acknowledged),
		channel_test(answers_may_be_late_wrong_or_missing),
	};

	return cmocka_run_group_tests_name("guest_channel", tests, NULL, NULL);
}
