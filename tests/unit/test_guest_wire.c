/* SPDX-License-Identifier: BSD-3-Clause */
/* Each message of the front-end, byte for byte, and what its answers mean. */
#include "fe_fixture.h"

#define ACKED FE_BIT(VU_PF_REPLY_ACK)

static struct fe_conn conn;
static int peer;

static int open_pair(void **state)
{
	(void)state;
	peer = peer_open(&conn);
	return 0;
}

static int close_pair(void **state)
{
	(void)state;
	peer_close(&conn, peer);
	return 0;
}

static void memory_slots_come_and_go_one_at_a_time(void **state)
{
	const struct vu_mem_region r = {0x1000, 0x2000, 0x7f00, 0x3000};

	(void)state;
	conn.protocol_features = ACKED;
	peer_ack(peer, VU_ADD_MEM_REG, 0);
	assert_int_equal(fe_conn_add_mem(&conn, &r, peer), 0);
	peer_hears(peer, 1,
		"25000000 09000000 28000000 0000000000000000"
		"0010000000000000 0020000000000000 007f000000000000 0030000000000000");
	peer_ack(peer, VU_REM_MEM_REG, 1);
	assert_int_equal(fe_conn_rem_mem(&conn, &r, -1), -EREMOTEIO);
	peer_hears(peer, 0,
		"26000000 09000000 28000000 0000000000000000"
		"0010000000000000 0020000000000000 007f000000000000 0030000000000000");
}

static void a_log_is_announced_as_each_front_end_does(void **state)
{
	const struct vu_log_base log = {.size = 0x8000, .offset = 0x123};
	const struct vu_log_base other = {.size = 0x8000};
	static const char bytes[] = "0080000000000000 2301000000000000";
	char hex[128];

	(void)state;
	/* rust-vmm: the echo is checked. */
	conn.protocol_features = ACKED;
	snprintf(hex, sizeof(hex), "06000000 09000000 10000000 %s", bytes);
	peer_reply(peer, VU_SET_LOG_BASE, &log, sizeof(log));
	assert_int_equal(fe_conn_set_log(&conn, &log, peer, FE_LOG_ECHO), 0);
	peer_hears(peer, 1, hex);
	peer_reply(peer, VU_SET_LOG_BASE, &other, sizeof(other));
	assert_int_equal(fe_conn_set_log(&conn, &log, peer, FE_LOG_ECHO), -EPROTO);
	peer_hears(peer, 1, hex);
	peer_ack(peer, VU_SET_LOG_BASE, 0);
	assert_int_equal(fe_conn_set_log(&conn, &log, peer, FE_LOG_ECHO), -EPROTO);
	peer_hears(peer, 1, hex);
	peer_ack(peer, VU_SET_LOG_BASE, 1);
	assert_int_equal(fe_conn_set_log(&conn, &log, peer, FE_LOG_ECHO), -EREMOTEIO);
	peer_hears(peer, 1, hex);
	/* QEMU: anything but a refusal. */
	snprintf(hex, sizeof(hex), "06000000 01000000 10000000 %s", bytes);
	peer_reply(peer, VU_SET_LOG_BASE, &log, sizeof(log));
	assert_int_equal(fe_conn_set_log(&conn, &log, peer, FE_LOG_QEMU), 0);
	peer_hears(peer, 1, hex);
	peer_reply(peer, VU_SET_LOG_BASE, &log, 0);
	assert_int_equal(fe_conn_set_log(&conn, &log, peer, FE_LOG_QEMU), 0);
	peer_hears(peer, 1, hex);
	/* Without LOG_SHMFD. */
	conn.protocol_features = 0;
	assert_int_equal(fe_conn_set_log(&conn, &log, peer, FE_LOG_MUTE), 0);
	peer_hears(peer, 0, hex);
}

static void messages_of_one_descriptor(void **state)
{
	(void)state;
	assert_int_equal(fe_conn_set_log_fd(&conn, peer), 0);
	peer_hears(peer, 1, "07000000 01000000 00000000");
	assert_int_equal(fe_conn_set_log_fd(&conn, -1), 0);
	peer_hears(peer, 0, "07000000 01000000 00000000");
	assert_int_equal(fe_conn_set_channel(&conn, peer), 0);
	peer_hears(peer, 1, "15000000 01000000 00000000");
}

static void small_messages(void **state)
{
	static const uint8_t mac[6] = {2, 3, 4, 5, 6, 7};

	(void)state;
	assert_int_equal(fe_conn_rarp(&conn, mac), 0);
	peer_hears(peer, 0, "13000000 01000000 08000000 0203040506070000");
	assert_int_equal(fe_conn_set_ring(&conn, VU_SET_VRING_ENDIAN, 3, 1), 0);
	peer_hears(peer, 0, "17000000 01000000 08000000 03000000 01000000");
	assert_int_equal(fe_conn_set_ring(&conn, VU_VRING_KICK, 5, 0), 0);
	peer_hears(peer, 0, "23000000 01000000 08000000 05000000 00000000");
	assert_int_equal(fe_conn_order(&conn, VU_POSTCOPY_LISTEN), 0);
	peer_hears(peer, 0, "1d000000 01000000 00000000");
}

static void an_iotlb_message_is_answered_always(void **state)
{
	const struct vu_iotlb entry = {.iova = 0x5000,
		.size = 0x1000,
		.uaddr = 0x7f1000,
		.perm = VU_IOTLB_WRITE,
		.type = VU_IOTLB_UPDATE};
	static const char hex[] = "16000000 09000000 20000000 0050000000000000 0010000000000000"
				  "00107f0000000000 02 02 000000000000";

	(void)state;
	peer_ack(peer, VU_IOTLB_MSG, 0);
	assert_int_equal(fe_conn_iotlb(&conn, &entry), 0);
	peer_hears(peer, 0, hex);
	peer_ack(peer, VU_IOTLB_MSG, 5);
	assert_int_equal(fe_conn_iotlb(&conn, &entry), -EREMOTEIO);
	peer_hears(peer, 0, hex);
	peer_reply(peer, VU_IOTLB_MSG, hex, 4);
	assert_int_equal(fe_conn_iotlb(&conn, &entry), -EPROTO);
}

static void configuration_space_is_read_and_written(void **state)
{
	struct vu_config c = {.offset = 6, .size = 4, .data = {1, 2, 3, 4}};
	uint8_t data[4] = {0};

	(void)state;
	peer_reply(peer, VU_GET_CONFIG, &c, 16);
	assert_int_equal(fe_conn_get_config(&conn, 6, 4, data), 0);
	assert_memory_equal(data, c.data, 4);
	peer_hears(peer, 0, "18000000 01000000 10000000 06000000 04000000 00000000 00000000");
	peer_reply(peer, VU_GET_CONFIG, &c, 0);
	assert_int_equal(fe_conn_get_config(&conn, 6, 4, data), -EREMOTEIO);
	peer_recv(peer);
	peer_reply(peer, VU_GET_CONFIG, &c, 15);
	assert_int_equal(fe_conn_get_config(&conn, 6, 4, data), -EPROTO);
	peer_recv(peer);
	assert_int_equal(fe_conn_get_config(&conn, 0, VU_CONFIG_MAX + 1, data), -EINVAL);
	assert_int_equal(fe_conn_set_config(&conn, 2, 3, VU_CONFIG_MIGRATION, data), 0);
	peer_hears(peer, 0, "19000000 01000000 0f000000 02000000 03000000 01000000 010203");
	peer_hears_nothing(peer);
}

static void the_inflight_buffer_goes_both_ways(void **state)
{
	struct vu_inflight_desc d = {.num_queues = 4, .queue_size = 256};
	const struct vu_inflight_desc there = {
		.mmap_size = 0x4000, .mmap_offset = 0x40, .num_queues = 4, .queue_size = 256};
	int fd = -1;

	(void)state;
	peer_send_fd(peer, VU_GET_INFLIGHT_FD, 5, &there, sizeof(there), peer);
	assert_int_equal(fe_conn_get_inflight(&conn, &d, &fd), 0);
	assert_true(fd >= 0);
	close(fd);
	assert_memory_equal(&d, &there, sizeof(d));
	peer_hears(peer, 0,
		"1f000000 01000000 18000000 0000000000000000 0000000000000000 0400 0001 00000000");
	assert_int_equal(fe_conn_set_inflight(&conn, &d, peer), 0);
	peer_hears(peer, 1,
		"20000000 01000000 18000000 0040000000000000 4000000000000000 0400 0001 00000000");
	peer_reply(peer, VU_GET_INFLIGHT_FD, &there, sizeof(there));
	assert_int_equal(fe_conn_get_inflight(&conn, &d, &fd), -EPROTO);
	peer_recv(peer);
	peer_ack(peer, VU_GET_INFLIGHT_FD, 1);
	assert_int_equal(fe_conn_get_inflight(&conn, &d, &fd), -EREMOTEIO);
}

static void postcopy_advice_brings_a_descriptor(void **state)
{
	int fd = -1;

	(void)state;
	peer_send_fd(peer, VU_POSTCOPY_ADVISE, 5, "", 0, peer);
	assert_int_equal(fe_conn_postcopy_advise(&conn, &fd), 0);
	assert_true(fd >= 0);
	close(fd);
	peer_hears(peer, 0, "1c000000 01000000 00000000");
	peer_reply(peer, VU_POSTCOPY_ADVISE, "", 0);
	assert_int_equal(fe_conn_postcopy_advise(&conn, &fd), -EREMOTEIO);
	peer_recv(peer);
	peer_send_fd(peer, VU_POSTCOPY_ADVISE, 5, "12345678", 8, peer);
	assert_int_equal(fe_conn_postcopy_advise(&conn, &fd), -EPROTO);
	peer_recv(peer);
	peer_ack(peer, VU_POSTCOPY_END, 0);
	assert_int_equal(fe_conn_postcopy_end(&conn), 0);
	peer_hears(peer, 0, "1e000000 01000000 00000000");
}

static void a_listening_back_end_answers_with_its_bases(void **state)
{
	struct vu_mem_table t = {.nregions = 2, .regions = {{1, 2, 3, 4}, {5, 6, 7, 8}}};
	struct vu_mem_slot slot = {.region = {1, 2, 0xabc, 4}};
	const int fds[2] = {peer, peer};
	uint64_t bases[2] = {0};

	(void)state;
	t.regions[0].uva = 0x111;
	t.regions[1].uva = 0x222;
	peer_reply(peer, VU_SET_MEM_TABLE, &t, 72);
	t.regions[0].uva = 3;
	t.regions[1].uva = 7;
	assert_int_equal(fe_conn_set_mem_postcopy(&conn, &t, fds, bases), 0);
	assert_int_equal(bases[0], 0x111);
	assert_int_equal(bases[1], 0x222);
	assert_int_equal(peer_recv(peer).nfds, 2);
	peer_reply(peer, VU_SET_MEM_TABLE, &t, 40);
	assert_int_equal(fe_conn_set_mem_postcopy(&conn, &t, fds, bases), -EPROTO);
	peer_recv(peer);
	peer_ack(peer, VU_SET_MEM_TABLE, 1);
	assert_int_equal(fe_conn_set_mem_postcopy(&conn, &t, fds, bases), -EREMOTEIO);
	peer_recv(peer);
	peer_reply(peer, VU_ADD_MEM_REG, &slot, sizeof(slot));
	assert_int_equal(fe_conn_add_mem_postcopy(&conn, &t.regions[0], peer, bases), 0);
	assert_int_equal(bases[0], 0xabc);
	peer_recv(peer);
	assert_int_equal(fe_conn_mem_ready(&conn, VU_SET_MEM_TABLE), 0);
	peer_hears(peer, 0, "05000000 01000000 08000000 0000000000000000");
}

static void device_state_travels_through_a_descriptor(void **state)
{
	static const struct {
		uint64_t value;
		bool fd;
		int err;
	} cases[] = {{VU_STATE_NOFD, false, 0}, {0, true, 0}, {0, false, -EPROTO},
		{VU_STATE_NOFD, true, -EPROTO}, {VU_STATE_NOFD | 3, false, -EREMOTEIO}};
	size_t i;
	int back;

	(void)state;
	for (i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		back = -7;
		peer_send_fd(peer, VU_SET_DEVICE_STATE_FD, 5, &cases[i].value, 8,
			cases[i].fd ? peer : -1);
		assert_int_equal(
			fe_conn_set_state_fd(&conn, VU_STATE_LOAD, peer, &back), cases[i].err);
		assert_int_equal(back >= 0, cases[i].fd && !cases[i].err);
		if (back >= 0)
			close(back);
		peer_hears(peer, 1, "2a000000 01000000 08000000 01000000 00000000");
	}
	peer_ack(peer, VU_CHECK_DEVICE_STATE, 1);
	assert_int_equal(fe_conn_check_state(&conn), -EREMOTEIO);
	peer_hears(peer, 0, "2b000000 01000000 00000000");
}

static void any_other_message_goes_out_raw(void **state)
{
	static uint8_t big[2 * sizeof(union vu_payload)];
	const struct fe_raw raw = {.request = VU_CREATE_CRYPTO_SESSION,
		.payload = big,
		.len = sizeof(big),
		.fds = &peer,
		.nfds = 1};
	struct vu_header h;
	struct fe_msg reply;

	(void)state;
	conn.protocol_features = ACKED;
	peer_ack(peer, VU_CREATE_CRYPTO_SESSION, 1);
	assert_int_equal(fe_conn_raw(&conn, &raw, NULL), -EREMOTEIO);
	assert_int_equal(read(peer, &h, sizeof(h)), sizeof(h));
	assert_int_equal(h.flags, VU_VERSION | VU_FLAG_NEED_REPLY);
	assert_int_equal(h.size, sizeof(big));
	assert_int_equal(read(peer, big, sizeof(big)), sizeof(big));
	peer_reply(peer, VU_CREATE_CRYPTO_SESSION, "abc", 3);
	assert_int_equal(fe_conn_raw(&conn, &raw, &reply), 0);
	assert_int_equal(reply.header.size, 3);
	assert_int_equal(read(peer, &h, sizeof(h)), sizeof(h));
	assert_int_equal(h.flags, VU_VERSION);
}

#define wire_test(f) cmocka_unit_test_setup_teardown(f, open_pair, close_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wire_test(memory_slots_come_and_go_one_at_a_time),
		wire_test(a_log_is_announced_as_each_front_end_does),
		wire_test(messages_of_one_descriptor),
		wire_test(small_messages),
		wire_test(an_iotlb_message_is_answered_always),
		wire_test(configuration_space_is_read_and_written),
		wire_test(the_inflight_buffer_goes_both_ways),
		wire_test(postcopy_advice_brings_a_descriptor),
		wire_test(a_listening_back_end_answers_with_its_bases),
		wire_test(device_state_travels_through_a_descriptor),
		wire_test(any_other_message_goes_out_raw),
	};

	return cmocka_run_group_tests_name("guest_wire", tests, NULL, NULL);
}
