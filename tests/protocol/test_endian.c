/* SPDX-License-Identifier: BSD-3-Clause */
/* CROSS_ENDIAN: a legacy guest on a big-endian machine, among modern ones. */
#include <errno.h>
#include <string.h>

#include "harness.h"

#define LEN 5000

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

/* Legacy and big-endian, with `more` features. */
static struct fe_guest_config big(uint64_t more)
{
	struct fe_guest_config c = guest_usual();

	c.features = (FEATURES_BASE & ~FE_BIT(VIRTIO_F_VERSION_1)) | FEATURES_OFFLOAD | more;
	c.protocol_features |= FE_BIT(VU_PF_CROSS_ENDIAN);
	c.big_endian = true;
	c.rx_buf_size = more & FE_BIT(VIRTIO_NET_F_MRG_RXBUF) ? 600 : 8192;
	c.tx_buf_size = 8192;
	return c;
}

static struct fe_guest_config modern(uint64_t more)
{
	struct fe_guest_config c = guest_usual();

	c.features |= more;
	c.tx_buf_size = 8192;
	return c;
}

static const uint64_t kinds[] = {
	0,
	FE_BIT(VIRTIO_NET_F_MRG_RXBUF),
};

/* Frames of any size and shape, both ways. */
static void streams_pass(struct rig *r, struct peer *a, struct peer *b)
{
	static const struct stream streams[] = {
		{.n = 300, .len = 60},
		{.n = 300, .len = 1514, .cut = {.hdr_segs = 1}},
		{.n = 300, .len = 1000, .cut = {.hdr_segs = 3, .data_segs = 5}},
		{.n = 300, .len = LEN, .cut = {.hdr_segs = 1, .data_segs = 4, .indirect = true}},
	};
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(streams); i++) {
		stream_check(r, a, b, &streams[i]);
		stream_check(r, b, a, &streams[i]);
	}
}

/* A frame with this header arrives with the same, each field in the order the receiver reads it. */
static void header_passes(struct rig *r, struct peer *from, struct peer *to,
	const struct virtio_net_hdr_mrg_rxbuf *hdr, uint32_t seed)
{
	static uint8_t sent[LEN], got[FRAME_MAX];
	const struct fe_frame f = {.data = sent, .len = LEN, .hdr = hdr};
	struct fe_received in;

	frame_make(sent, LEN, to->mac, from->mac, seed);
	peer_send(r, from, 0, &f);
	peer_recv(r, to, 0, got, &in);
	assert_int_equal(in.len, LEN);
	assert_memory_equal(got, sent, LEN);
	assert_memory_equal(&in.hdr.hdr, &hdr->hdr, sizeof(hdr->hdr));
}

static void headers_pass(struct rig *r, struct peer *a, struct peer *b)
{
	/* No two fields alike, nor alike when they are swapped. */
	static const struct virtio_net_hdr_mrg_rxbuf hdrs[] = {
		{.hdr = {0}},
		{.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			 .csum_start = 0x0122,
			 .csum_offset = 0x0310}},
		{.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			 .gso_size = 0x05a8,
			 .hdr_len = 54,
			 .csum_start = 34,
			 .csum_offset = 16}},
		{.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			 .gso_type = VIRTIO_NET_HDR_GSO_TCPV6,
			 .gso_size = 0x0200,
			 .hdr_len = 0x0456,
			 .csum_start = 0x0436,
			 .csum_offset = 16}},
	};
	uint32_t i;

	for (i = 0; i < RW_ARRAY_SIZE(hdrs); i++) {
		header_passes(r, a, b, &hdrs[i], i);
		header_passes(r, b, a, &hdrs[i], i);
	}
}

static void it_exchanges_frames_with_modern_guests(void **state)
{
	struct fe_guest_config c;
	struct peer *a, *b, *p;
	size_t k;

	for (k = 0; k < RW_ARRAY_SIZE(kinds); k++) {
		c = big(kinds[k]);
		a = peer_up(*state, "a", &c);
		assert_true(fe_guest_swaps(a->g));
		c = modern(0);
		b = peer_up(*state, "b", &c);
		streams_pass(*state, a, b);
		headers_pass(*state, a, b);
		c = modern(PACKED);
		p = peer_up(*state, "c", &c);
		streams_pass(*state, a, p);
		headers_pass(*state, a, p);
		assert_int_equal(rig_port_info(*state, "a", "broken_rings"), 0);
		rig_clean(state);
	}
}

static void two_of_them_understand_each_other(void **state)
{
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t k;

	for (k = 0; k < RW_ARRAY_SIZE(kinds); k++) {
		c = big(kinds[k]);
		a = peer_up(*state, "a", &c);
		c = big(kinds[1 - k]);
		b = peer_up(*state, "b", &c);
		streams_pass(*state, a, b);
		headers_pass(*state, a, b);
		rig_clean(state);
	}
}

static void a_frame_takes_several_buffers(void **state)
{
	static uint8_t sent[LEN], got[FRAME_MAX];
	const struct fe_frame f = {.data = sent, .len = LEN};
	struct fe_guest_config c = big(FE_BIT(VIRTIO_NET_F_MRG_RXBUF));
	struct peer *a = peer_up(*state, "a", &c), *b;
	struct fe_received in;

	c = modern(0);
	b = peer_up(*state, "b", &c);
	frame_make(sent, LEN, a->mac, b->mac, 1);
	peer_send(*state, b, 0, &f);
	peer_recv(*state, a, 0, got, &in);
	assert_int_equal(in.nbufs, (LEN + 12 + 599) / 600);
	assert_memory_equal(got, sent, LEN);
}

static void interrupts_follow_the_index(void **state)
{
	struct fe_guest_config c = big(0);
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	struct fe_queue *rx = fe_guest_rx(a->g, 0);
	uint32_t i;

	peers_meet(*state, a, b);
	rig_drain_interrupts(*state, rx);
	for (i = 0; i < 300; i++) {
		assert_int_equal(fe_ring_interrupt_after(&rx->ring, 2), 0);
		stream_check(*state, b, a, &(struct stream){.n = 1, .len = 60});
		rig_interrupted(*state, "a", fe_queue_interrupts(rx), 0);
		stream_check(*state, b, a, &(struct stream){.n = 1, .len = 60});
		rig_interrupted(*state, "a", fe_queue_wait_interrupt(rx, rig_patience(*state)), 1);
	}
}

static void indices_in_messages_stay_native(void **state)
{
	struct fe_guest_config c = big(0);
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	uint32_t base, i;

	for (i = 1; i <= 5; i++) {
		stream_check(*state, a, b, &(struct stream){.n = 100, .len = 60});
		assert_int_equal(fe_guest_stop_ring(a->g, 1, &base), 0);
		assert_int_equal(base, 100 * i);
		assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
	}
	duplex_check(*state, a, b);
}

static void a_broken_ring_is_found_out(void **state)
{
	struct fe_guest_config c = big(0);
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	struct fe_queue *tx = fe_guest_tx(a->g, 0);
	uint64_t bad;

	/* A buffer of a little-endian driver: its address and length are nonsense. */
	peers_meet(*state, a, b);
	rig_wait(*state, fe_guest_reap(a->g, 0) >= 0 && !tx->ring.in_flight);
	bad = rig_counter(*state, "a", "rx", "drops.bad_address");
	tx->ring.swap = false;
	assert_int_equal(fe_ring_add(&tx->ring,
				 &(struct fe_chain){
					 .segs = &(struct fe_seg){tx->bufs.gpa, 100}, .n_out = 1}),
		0);
	tx->ring.swap = true;
	/* The ring itself is as it was: only the descriptor is wrong. */
	tx->ring.avail->ring[(uint16_t)(tx->ring.avail_idx - 1) % tx->ring.num] = __builtin_bswap16(
		tx->ring.avail->ring[(uint16_t)(tx->ring.avail_idx - 1) % tx->ring.num]);
	fe_ring_publish(&tx->ring);
	fe_queue_kick(tx); /* the worker may sleep */
	rig_wait(*state, rig_counter(*state, "a", "rx", "drops.bad_address") == bad + 1);
	/* An index of one as well. */
	__atomic_store_n(
		&tx->ring.avail->idx, __builtin_bswap16(tx->ring.avail->idx) + 1, __ATOMIC_RELEASE);
	fe_queue_kick(tx);
	rig_wait(*state, rig_port_info(*state, "a", "broken_rings") == 1);
	peer_down(*state, a);
	peer_start(*state, a);
	duplex_check(*state, a, b);
}

static int set_endian(struct peer *p, uint32_t ring, uint32_t num)
{
	return fe_conn_set_ring(&p->g->conn, VU_SET_VRING_ENDIAN, ring, num);
}

static void a_running_ring_keeps_its_order(void **state)
{
	struct fe_guest_config c = big(0);
	struct peer *a = peer_up(*state, "a", &c), *b;

	c.big_endian = false;
	b = peer_up(*state, "b", &c);
	assert_int_equal(set_endian(a, 1, 0), -EREMOTEIO);
	assert_int_equal(set_endian(b, 1, 1), -EREMOTEIO);
	/* Repeating it is fine. */
	assert_int_equal(set_endian(a, 1, 1), 0);
	assert_int_equal(set_endian(b, 1, 0), 0);
	duplex_check(*state, a, b);
	/* So is another driver after a reset of the device. */
	assert_int_equal(fe_guest_stop_ring(a->g, 0, NULL), 0);
	assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
	assert_int_equal(set_endian(a, 0, 0), 0);
	assert_int_equal(set_endian(a, 1, 0), 0);
	a->g->config.big_endian = false;
	assert_int_equal(fe_guest_start(a->g), 0);
	duplex_check(*state, a, b);
}

static void modern_devices_have_no_choice(void **state)
{
	struct fe_guest_config c = modern(0);
	struct peer *a, *b = peer_up(*state, "b", &c);
	uint32_t i;

	c.protocol_features |= FE_BIT(VU_PF_CROSS_ENDIAN);
	a = peer_new(*state, "a", &c);
	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(set_endian(a, i, 1), -EREMOTEIO);
		assert_int_equal(set_endian(a, i, 0), 0);
	}
	assert_int_equal(fe_guest_start(a->g), 0);
	duplex_check(*state, a, b);
}

static void a_message_that_is_wrong_is_refused(void **state)
{
	struct fe_guest_config c = big(0);
	struct peer *a = peer_new(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	const uint32_t payload[4] = {0, 1};
	struct fe_raw raw = {.request = VU_SET_VRING_ENDIAN, .payload = payload, .len = 4};

	peer_connect(*state, a);
	assert_int_equal(fe_guest_negotiate(a->g), 0);
	assert_int_equal(set_endian(a, 0, 2), -EREMOTEIO);
	assert_int_equal(set_endian(a, 0, UINT32_MAX), -EREMOTEIO);
	assert_int_equal(set_endian(a, 256, 1), -EREMOTEIO);
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	raw.len = 16;
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	raw.len = 8;
	raw.fds = &a->g->queues[0].err_fd;
	raw.nfds = 1;
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	/* Without the feature the message does not exist. */
	assert_int_equal(set_endian(b, 0, 0), -EREMOTEIO);
	assert_int_equal(fe_guest_start(a->g), 0);
	duplex_check(*state, a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(it_exchanges_frames_with_modern_guests),
		rig_test(two_of_them_understand_each_other),
		rig_test(a_frame_takes_several_buffers),
		rig_test(interrupts_follow_the_index),
		rig_test(indices_in_messages_stay_native),
		rig_test(a_broken_ring_is_found_out),
		rig_test(a_running_ring_keeps_its_order),
		rig_test(modern_devices_have_no_choice),
		rig_test(a_message_that_is_wrong_is_refused),
	};

	return cmocka_run_group_tests_name("endian", tests, start, rig_stop);
}
