/* SPDX-License-Identifier: BSD-3-Clause */
/* What a guest's front-end says under each protocol feature, and in which order. */
#include <sys/mman.h>

#include "fe_fixture.h"

#define F_PROTOCOL FE_BIT(VU_F_PROTOCOL_FEATURES)

static struct fe_guest *g;
static int peer;

/* A guest on the connection, whose back-end will offer all that `c` wants. */
static void guest_connect(struct fe_guest_config c)
{
	c.rx_size = 8;
	c.tx_size = 8;
	c.features |= F_PROTOCOL | FE_BIT(VIRTIO_F_VERSION_1);
	assert_int_equal(fe_guest_new(&c, &g), 0);
	peer = peer_open(&g->conn);
	peer_ack(peer, VU_GET_FEATURES, c.features);
	peer_ack(peer, VU_GET_PROTOCOL_FEATURES, c.protocol_features);
}

static int guest_end(void **state)
{
	(void)state;
	fe_guest_free(g);
	close(peer);
	return 0;
}

/* The next messages are these; 0 ends them. */
static void hears(const uint32_t *requests)
{
	for (; *requests; requests++)
		assert_int_equal(peer_recv(peer).header.request, *requests);
}

#define HELLO VU_GET_FEATURES, VU_GET_PROTOCOL_FEATURES, VU_SET_PROTOCOL_FEATURES

static void the_channel_is_given_before_the_features(void **state)
{
	static const uint32_t order[] = {
		HELLO, VU_SET_BACKEND_REQ_FD, VU_SET_OWNER, VU_SET_FEATURES, 0};

	(void)state;
	guest_connect((struct fe_guest_config){.protocol_features = FE_BIT(VU_PF_BACKEND_REQ)});
	assert_int_equal(fe_guest_negotiate(g), 0);
	assert_true(fe_channel_is_open(&g->channel));
	hears(order);
	peer_hears_nothing(peer);
	/* The back-end's end was closed on arrival. */
	assert_int_equal(fe_guest_service(g), 0);
	assert_false(fe_channel_is_open(&g->channel));
}

static void memory_is_shared_by_slots_once_negotiated(void **state)
{
	static const uint32_t hello[] = {
		HELLO, VU_GET_MAX_MEM_SLOTS, VU_SET_OWNER, VU_SET_FEATURES, 0};
	static struct fe_region_config regions[20];
	struct fe_msg m;
	uint32_t i;

	(void)state;
	for (i = 0; i < 20; i++)
		regions[i] = (struct fe_region_config){.gpa = (i + 1) << 24,
			.size = 64 * FE_PAGE,
			.uva = 0x7000000000 + ((uint64_t)i << 24)};
	guest_connect((struct fe_guest_config){.regions = regions,
		.nregions = 19,
		.protocol_features = FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS)});
	peer_ack(peer, VU_GET_MAX_MEM_SLOTS, 509);
	assert_int_equal(fe_guest_negotiate(g), 0);
	assert_int_equal(g->max_slots, 509);
	hears(hello);
	assert_int_equal(fe_guest_share_memory(g), 0);
	for (i = 0; i < 19; i++) {
		m = peer_recv(peer);
		assert_int_equal(m.header.request, VU_ADD_MEM_REG);
		assert_int_equal(m.payload.slot.region.gpa, regions[i].gpa);
		assert_int_equal(m.nfds, 1);
	}
	peer_hears_nothing(peer);
	/* Only what is new is said, and one region can go. */
	assert_int_equal(fe_guest_add_region(g, &regions[19]), 0);
	m = peer_recv(peer);
	assert_int_equal(m.payload.slot.region.gpa, regions[19].gpa);
	assert_int_equal(fe_guest_remove_region(g, 5), 0);
	m = peer_recv(peer);
	assert_int_equal(m.header.request, VU_REM_MEM_REG);
	assert_int_equal(m.payload.slot.region.uva, regions[5].uva);
	assert_int_equal(g->mem.nregions, 19);
	peer_hears_nothing(peer);
}

static void a_table_takes_no_more_than_eight_regions(void **state)
{
	static struct fe_region_config regions[9];
	uint32_t i;

	(void)state;
	for (i = 0; i < 9; i++)
		regions[i] = (struct fe_region_config){.gpa = (i + 1) << 24, .size = 64 * FE_PAGE};
	guest_connect((struct fe_guest_config){.regions = regions, .nregions = 9});
	assert_int_equal(fe_guest_share_memory(g), -E2BIG);
	assert_int_equal(fe_guest_remove_region(g, 8), 0);
	assert_int_equal(peer_recv(peer).payload.mem.nregions, 8);
}

static void notifications_travel_in_band(void **state)
{
	const struct vu_vring_state ring = {.index = 1};
	struct fe_queue *q;
	int channel;

	(void)state;
	guest_connect((struct fe_guest_config){0});
	q = fe_guest_tx(g, 0);
	assert_int_equal(fe_guest_reset_rings(g), 0);
	g->protocol_features = FE_BIT(VU_PF_INBAND_NOTIFICATIONS);
	assert_int_equal(fe_channel_open(&g->channel, &channel), 0);
	assert_int_equal(fe_guest_ring_step(g, 1, FE_KICK), 0);
	peer_hears(peer, 0, "23000000 01000000 08000000 01000000 00000000");
	assert_int_equal(fe_guest_ring_step(g, 1, FE_CALL), 0);
	assert_int_equal(fe_guest_ring_step(g, 1, FE_ERR), 0);
	peer_hears_nothing(peer);
	assert_int_equal(fe_queue_interrupts(q), 0);
	assert_int_equal(fe_queue_wait_interrupt(q, 1), 0);
	peer_send_fd(channel, VU_BACKEND_VRING_CALL, VU_VERSION, &ring, sizeof(ring), -1);
	peer_send_fd(channel, VU_BACKEND_VRING_CALL, VU_VERSION, &ring, sizeof(ring), -1);
	peer_send_fd(channel, VU_BACKEND_VRING_ERR, VU_VERSION, &ring, sizeof(ring), -1);
	assert_int_equal(fe_queue_wait_interrupt(q, 1000), 2);
	assert_int_equal(fe_queue_interrupts(q), 0);
	assert_int_equal(fe_queue_errors(q), 1);
	assert_int_equal(fe_queue_errors(q), 0);
	close(channel);
}

static void the_inflight_buffer_outlives_the_connection(void **state)
{
	static const uint32_t begins[] = {HELLO, VU_SET_OWNER, VU_SET_FEATURES, VU_SET_MEM_TABLE,
		VU_GET_INFLIGHT_FD, VU_SET_INFLIGHT_FD, VU_SET_VRING_NUM, 0};
	static const uint32_t resumes[] = {HELLO, VU_SET_OWNER, VU_SET_FEATURES, VU_SET_MEM_TABLE,
		VU_SET_INFLIGHT_FD, VU_SET_VRING_NUM, 0};
	const struct vu_inflight_desc d = {
		.mmap_size = 256, .mmap_offset = 64, .num_queues = 2, .queue_size = 8};
	int fd = memfd_create("inflight", MFD_CLOEXEC);
	struct fe_msg m;
	uint64_t len;
	char *at;

	(void)state;
	assert_int_equal(pwrite(fd, "ring one", 8, 64 + 128), 8);
	guest_connect((struct fe_guest_config){.protocol_features = FE_BIT(VU_PF_INFLIGHT_SHMFD)});
	peer_send_fd(peer, VU_GET_INFLIGHT_FD, 5, &d, sizeof(d), fd);
	close(fd);
	assert_int_equal(fe_guest_start(g), 0);
	hears(begins);
	at = fe_guest_inflight(g, 1, &len);
	assert_int_equal(len, 128);
	assert_memory_equal(at, "ring one", 8);
	assert_null(fe_guest_inflight(g, 2, &len));
	fe_guest_disconnect(g);
	close(peer);
	/* Two receive buffers were used when the back-end went away. */
	fe_guest_rx(g, 0)->ring.used->idx = 2;
	peer = peer_open(&g->conn);
	peer_ack(peer, VU_GET_FEATURES, g->config.features);
	peer_ack(peer, VU_GET_PROTOCOL_FEATURES, g->config.protocol_features);
	assert_int_equal(fe_guest_resume(g), 0);
	hears(resumes);
	m = peer_recv(peer);
	assert_int_equal(m.header.request, VU_SET_VRING_BASE);
	assert_int_equal(m.payload.state.num, 2);
	assert_memory_equal(fe_guest_inflight(g, 1, &len), "ring one", 8);
}

#define session_test(f) cmocka_unit_test_teardown(f, guest_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		session_test(the_channel_is_given_before_the_features),
		session_test(memory_is_shared_by_slots_once_negotiated),
		session_test(a_table_takes_no_more_than_eight_regions),
		session_test(notifications_travel_in_band),
		session_test(the_inflight_buffer_outlives_the_connection),
	};

	return cmocka_run_group_tests_name("guest_session", tests, NULL, NULL);
}
