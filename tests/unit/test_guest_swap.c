/* SPDX-License-Identifier: BSD-3-Clause */
/* A legacy driver on a big-endian machine: rings and headers in its byte order. */
#include "fe_fixture.h"

#define NUM 4

struct bench {
	struct fe_ring r;
	struct fe_layout at;
	uint8_t *mem;
};

static void bench_start(struct bench *b, bool event_idx)
{
	struct fe_ring_config c = {
		.format = FE_SPLIT, .num = NUM, .swap = true, .event_idx = event_idx, .start = 1};

	fe_ring_layout(FE_SPLIT, NUM, &b->at);
	b->mem = aligned_alloc(64, b->at.bytes);
	assert_non_null(b->mem);
	c.desc = b->mem + b->at.desc;
	c.driver = b->mem + b->at.driver;
	c.device = b->mem + b->at.device;
	assert_int_equal(fe_ring_init(&b->r, &c), 0);
}

static void bench_end(struct bench *b)
{
	fe_ring_fini(&b->r);
	free(b->mem);
}

static void every_field_has_its_high_byte_first(void **state)
{
	static const struct fe_seg segs[2] = {{0x123456789a, 0x1122}, {0x2000, 5}};
	struct fe_chain c = {.segs = segs, .n_out = 1, .n_in = 1, .token = 7};
	union fe_indirect_desc table[2];
	struct fe_used u;
	struct bench b;

	(void)state;
	bench_start(&b, true);
	assert_int_equal(fe_ring_add(&b.r, &c), 0);
	c.table = table;
	c.table_gpa = 0x3000;
	assert_int_equal(fe_ring_add(&b.r, &c), 0);
	fe_ring_publish(&b.r);
	/* address, length, flags, next */
	image_is(b.r.desc, 48,
		"000000123456789a 00001122 0001 0001"
		"0000000000002000 00000005 0002 0000"
		"0000000000003000 00000020 0004 0000");
	image_is(table, 32,
		"000000123456789a 00001122 0001 0001"
		"0000000000002000 00000005 0002 0000");
	/* flags, index, ring, used event */
	image_is(b.r.avail, 14, "0000 0003 0000 0000 0002 0000 0001");
	/* The device uses the second: flags, index, ring (from entry 1), available event. */
	memcpy((uint8_t *)b.r.used + 12, "\0\0\0\2\0\0\1\0", 8);
	memcpy((uint8_t *)b.r.used + 2, "\0\2", 2);
	assert_int_equal(fe_ring_pop(&b.r, &u), 0);
	assert_int_equal(u.id, 2);
	assert_int_equal(u.len, 256);
	assert_int_equal(fe_ring_pop(&b.r, &u), -EAGAIN);
	bench_end(&b);
}

static void events_have_their_high_byte_first(void **state)
{
	static const struct fe_seg seg = {0x1000, 1};
	const struct fe_chain c = {.segs = &seg, .n_out = 1};
	struct bench b;

	(void)state;
	bench_start(&b, true);
	assert_int_equal(fe_ring_add(&b.r, &c), 0);
	fe_ring_publish(&b.r);
	assert_true(fe_ring_needs_kick(&b.r)); /* the event index is 1, as ring_init wrote it */
	memcpy((uint8_t *)b.r.used + 4 + 8 * NUM, "\0\3", 2);
	assert_int_equal(fe_ring_add(&b.r, &c), 0);
	fe_ring_publish(&b.r);
	assert_false(fe_ring_needs_kick(&b.r));
	assert_int_equal(fe_ring_add(&b.r, &c), 0);
	fe_ring_publish(&b.r);
	assert_true(fe_ring_needs_kick(&b.r));
	assert_int_equal(fe_ring_interrupt_after(&b.r, 3), 0);
	image_is((uint8_t *)b.r.avail + 4 + 2 * NUM, 2, "0003");
	bench_end(&b);
	bench_start(&b, false);
	fe_ring_want_interrupt(&b.r, false);
	image_is(b.r.avail, 2, "0001");
	memcpy(b.r.used, "\0\1", 2); /* NO_NOTIFY */
	assert_int_equal(fe_ring_add(&b.r, &c), 0);
	fe_ring_publish(&b.r);
	assert_false(fe_ring_needs_kick(&b.r));
	bench_end(&b);
}

static void a_packed_ring_is_never_legacy(void **state)
{
	static _Alignas(64) uint8_t mem[256];
	const struct fe_ring_config c = {.format = FE_PACKED,
		.num = 4,
		.swap = true,
		.wrap = true,
		.desc = mem,
		.driver = mem + 64,
		.device = mem + 128};
	struct fe_ring r;

	(void)state;
	assert_int_equal(fe_ring_init(&r, &c), -EINVAL);
}

static void headers_are_swapped_as_the_rings_are(void **state)
{
	const struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = {.flags = 1,
							     .gso_type = 4,
							     .hdr_len = 54,
							     .gso_size = 1448,
							     .csum_start = 34,
							     .csum_offset = 16}};
	const struct fe_frame f = {.data = "frame", .len = 5, .hdr = &hdr};
	struct fe_guest_config c = {.features = FE_BIT(VIRTIO_NET_F_MRG_RXBUF),
		.rx_size = NUM,
		.tx_size = NUM,
		.big_endian = true};
	struct fe_received in;
	struct fe_guest *g;
	struct fe_ring *r;
	char got[8];

	(void)state;
	assert_int_equal(fe_guest_new(&c, &g), 0);
	g->features = c.features;
	g->protocol_features = FE_BIT(VU_PF_CROSS_ENDIAN);
	assert_int_equal(fe_guest_reset_rings(g), 0);
	assert_int_equal(fe_guest_send(g, 0, &f), 0);
	image_is(fe_guest_tx(g, 0)->bufs.host, 17, "01 04 0036 05a8 0022 0010 0000 6672616d65");
	/* A frame in two buffers, of which the number is big-endian as well. */
	r = &fe_guest_rx(g, 0)->ring;
	memcpy(fe_guest_rx(g, 0)->bufs.host, "\0\0\0\0\0\0\0\0\0\0\0\2hello", 17);
	memcpy((uint8_t *)r->used + 4, "\0\0\0\0\0\0\0\21\0\0\0\1\0\0\0\2", 16);
	memcpy((uint8_t *)r->used + 2, "\0\2", 2);
	assert_int_equal(fe_guest_recv(g, 0, got, sizeof(got), &in), 0);
	assert_int_equal(in.nbufs, 2);
	assert_int_equal(in.len, 7);
	assert_memory_equal(got, "hello", 5);
	fe_guest_free(g);
}

static void byte_order_is_told_before_the_address(void **state)
{
	struct fe_guest_config c = {.rx_size = NUM, .tx_size = NUM, .big_endian = true};
	static const uint32_t order[] = {VU_SET_VRING_NUM, VU_SET_VRING_BASE, VU_SET_VRING_ENDIAN,
		VU_SET_VRING_ADDR, VU_SET_VRING_KICK, VU_SET_VRING_CALL};
	struct fe_guest *g;
	size_t i;
	int peer;

	(void)state;
	assert_int_equal(fe_guest_new(&c, &g), 0);
	peer = peer_open(&g->conn);
	g->protocol_features = FE_BIT(VU_PF_CROSS_ENDIAN);
	assert_int_equal(fe_guest_reset_rings(g), 0);
	assert_int_equal(fe_guest_start_ring(g, 1), 0);
	for (i = 0; i < RW_ARRAY_SIZE(order); i++)
		assert_int_equal(peer_recv(peer).header.request, order[i]);
	peer_hears_nothing(peer);
	fe_guest_free(g);
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_has_its_high_byte_first),
		cmocka_unit_test(events_have_their_high_byte_first),
		cmocka_unit_test(a_packed_ring_is_never_legacy),
		cmocka_unit_test(headers_are_swapped_as_the_rings_are),
		cmocka_unit_test(byte_order_is_told_before_the_address),
	};

	return cmocka_run_group_tests_name("guest_swap", tests, NULL, NULL);
}
