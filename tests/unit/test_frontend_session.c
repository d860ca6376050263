/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The session that ringway-bench attaches with: what it says and in which order, and that rings and
 * buffers are where it says, each in bytes of its own. The back-end is played by hand.
 */
#include <sys/mman.h>

#include "fe_fixture.h"
#include "fe_session.h"

#define PAIRS   2
#define RX_SIZE 16
#define TX_SIZE 8
#define RX_BUF  2048
#define TX_BUF  128

static struct fe_session *s;
static int peer;
static uint8_t *mem; /* the back-end's view */
static struct vu_mem_region region;

/* A session on a connection whose back-end has all that is wanted, and `pairs` queue pairs. */
static void session_open(uint64_t features, uint64_t pairs)
{
	const struct fe_session_config c = {
		.features = features | FE_BIT(VIRTIO_F_VERSION_1),
		.protocol_features = FE_BIT(VU_PF_MQ),
		.pairs = PAIRS,
		.rx_size = RX_SIZE,
		.tx_size = TX_SIZE,
		.rx_buf_size = RX_BUF,
		.tx_buf_size = TX_BUF,
	};

	assert_int_equal(fe_session_new(&c, &s), 0);
	peer = peer_open(&s->conn);
	/* More is offered than is wanted. */
	peer_ack(peer, VU_GET_FEATURES, c.features | FE_BIT(VIRTIO_NET_F_MRG_RXBUF));
	if (features & FE_BIT(VU_F_PROTOCOL_FEATURES)) {
		peer_ack(peer, VU_GET_PROTOCOL_FEATURES, c.protocol_features | 1);
		peer_ack(peer, VU_GET_QUEUE_NUM, pairs);
	}
}

static int session_close(void **state)
{
	(void)state;
	if (mem)
		munmap(mem, region.size);
	mem = NULL;
	fe_session_free(s);
	close(peer);
	return 0;
}

static struct fe_msg hears(enum vu_request request)
{
	struct fe_msg m = peer_recv(peer);

	assert_int_equal(m.header.request, request);
	return m;
}

/* The message that shares the memory, which is mapped. */
static void hears_memory(void)
{
	struct fe_conn c = {.fd = peer, .timeout_ms = 2000};
	struct fe_msg m;

	assert_int_equal(fe_conn_recv(&c, &m), 0);
	assert_int_equal(m.header.request, VU_SET_MEM_TABLE);
	assert_int_equal(m.payload.mem.nregions, 1);
	assert_int_equal(m.nfds, 1);
	region = m.payload.mem.regions[0];
	mem = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, m.fds[0],
		(off_t)region.mmap_offset);
	assert_ptr_not_equal(mem, MAP_FAILED);
	fe_msg_drop_fds(&m);
}

/* Our pointer to a user address, of which `len` bytes are shared. */
static void *at_uva(uint64_t uva, size_t len)
{
	assert_true(uva >= region.uva && uva + len <= region.uva + region.size);
	return mem + (uva - region.uva);
}

/* The messages of ring `i`: where it is. */
static struct vu_vring_addr hears_ring(uint32_t i, uint32_t base, bool enabled)
{
	struct fe_msg m = hears(VU_SET_VRING_NUM);
	struct vu_vring_addr addr;

	assert_int_equal(m.payload.state.index, i);
	assert_int_equal(m.payload.state.num, i % 2 ? TX_SIZE : RX_SIZE);
	assert_int_equal(hears(VU_SET_VRING_BASE).payload.state.num, base);
	addr = hears(VU_SET_VRING_ADDR).payload.addr;
	assert_int_equal(addr.index, i);
	assert_int_equal(hears(VU_SET_VRING_KICK).nfds, 1);
	assert_int_equal(hears(VU_SET_VRING_CALL).nfds, 1);
	if (enabled)
		assert_int_equal(hears(VU_SET_VRING_ENABLE).payload.state.num, 1);
	return addr;
}

/* Mark `len` bytes of memory as in use: nobody else has them. */
static void claim(uint8_t *map, uint64_t off, uint64_t len)
{
	assert_true(off + len <= region.size);
	for (; len; len--, off++) {
		assert_int_equal(map[off], 0);
		map[off] = 1;
	}
}

static void split_rings_and_buffers_are_where_it_says(void **state)
{
	struct vu_vring_addr addr;
	uint8_t *map;

	(void)state;
	session_open(FE_BIT(VU_F_PROTOCOL_FEATURES), PAIRS);
	assert_int_equal(fe_session_negotiate(s), 0);
	assert_false(fe_session_has(s, VIRTIO_NET_F_MRG_RXBUF));
	assert_int_equal(s->protocol_features, FE_BIT(VU_PF_MQ));
	assert_int_equal(s->max_pairs, PAIRS);
	assert_int_equal(fe_session_start(s), 0);
	hears(VU_GET_FEATURES);
	hears(VU_GET_PROTOCOL_FEATURES);
	assert_int_equal(hears(VU_SET_PROTOCOL_FEATURES).payload.u64, FE_BIT(VU_PF_MQ));
	hears(VU_GET_QUEUE_NUM);
	hears(VU_SET_OWNER);
	assert_int_equal(hears(VU_SET_FEATURES).payload.u64, s->features);
	hears_memory();
	map = calloc(1, region.size);
	assert_non_null(map);
	for (uint32_t i = 0; i < 2 * PAIRS; i++) {
		const uint32_t num = i % 2 ? TX_SIZE : RX_SIZE;
		const struct vring_avail *avail;
		const struct vring_desc *desc;

		addr = hears_ring(i, 0, true);
		desc = at_uva(addr.desc, num * sizeof(*desc));
		avail = at_uva(addr.avail, sizeof(*avail) + (num + 1) * 2);
		claim(map, addr.desc - region.uva, num * sizeof(*desc));
		claim(map, addr.avail - region.uva, sizeof(*avail) + (num + 1) * 2);
		claim(map, addr.used - region.uva,
			sizeof(struct vring_used) + num * sizeof(struct vring_used_elem) + 2);
		assert_int_equal(avail->idx, i % 2 ? 0 : num);
		for (uint32_t d = 0; d < num; d++) {
			assert_int_equal(desc[d].flags, i % 2 ? 0 : VRING_DESC_F_WRITE);
			claim(map, desc[d].addr - region.gpa, i % 2 ? TX_BUF : RX_BUF);
		}
	}
	free(map);
	peer_hears_nothing(peer);
}

static void packed_rings_start_with_wrap_counters_of_one(void **state)
{
	struct vu_vring_addr addr;

	(void)state;
	session_open(FE_BIT(VU_F_PROTOCOL_FEATURES) | FE_BIT(VIRTIO_F_RING_PACKED), PAIRS);
	assert_int_equal(fe_session_negotiate(s), 0);
	assert_int_equal(fe_session_start(s), 0);
	for (unsigned i = 0; i < 6; i++)
		peer_recv(peer);
	hears_memory();
	for (uint32_t i = 0; i < 2 * PAIRS; i++) {
		const struct vring_packed_desc *desc;

		addr = hears_ring(i, 0x80008000, true);
		desc = at_uva(addr.desc, (i % 2 ? TX_SIZE : RX_SIZE) * sizeof(*desc));
		/* Receive buffers are available, nothing else is. */
		assert_int_equal(desc[0].flags, i % 2 ? 0 : FE_PACKED_AVAIL | VRING_DESC_F_WRITE);
	}
	peer_hears_nothing(peer);
}

static void rings_start_enabled_without_protocol_features(void **state)
{
	(void)state;
	session_open(0, PAIRS);
	assert_int_equal(fe_session_negotiate(s), 0);
	assert_int_equal(fe_session_start(s), 0);
	hears(VU_GET_FEATURES);
	hears(VU_SET_OWNER);
	hears(VU_SET_FEATURES);
	hears_memory();
	for (uint32_t i = 0; i < 2 * PAIRS; i++)
		hears_ring(i, 0, false);
	peer_hears_nothing(peer);
}

static void a_back_end_that_goes_away_is_an_error(void **state)
{
	(void)state;
	session_open(0, PAIRS);
	assert_int_equal(fe_session_negotiate(s), 0);
	assert_int_equal(shutdown(peer, SHUT_RDWR), 0);
	assert_int_equal(fe_session_start(s), -ECONNRESET);
	assert_int_equal(fe_session_connect(s, "/nowhere/at/all"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(split_rings_and_buffers_are_where_it_says, session_close),
		cmocka_unit_test_teardown(
			packed_rings_start_with_wrap_counters_of_one, session_close),
		cmocka_unit_test_teardown(
			rings_start_enabled_without_protocol_features, session_close),
		cmocka_unit_test_teardown(a_back_end_that_goes_away_is_an_error, session_close),
	};

	return cmocka_run_group_tests_name("frontend_session", tests, NULL, NULL);
}
