/* SPDX-License-Identifier: BSD-3-Clause */
/* Both ring formats byte for byte, at all sizes, and round their wraps. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#define POISON 0xdd

static struct rig rig;

static int start(void **state)
{
	/* A worker that slept would leave its request for kicks in the rings, at any time. */
	const char *const more[] = {"--idle=spin", NULL};

	*state = &rig;
	return rig_start(&rig, "ab", more);
}

/* A copy of a queue's ring memory, to be changed as the back-end should change the ring. */
static uint8_t *ring_copy(const struct fe_queue *q)
{
	uint8_t *copy = malloc(q->layout.bytes);
	const void *ring = q->ring.format == FE_SPLIT ? (void *)q->ring.desc : q->ring.pdesc;

	assert_non_null(copy);
	memcpy(copy, ring, q->layout.bytes);
	return copy;
}

static void ring_is(const struct fe_queue *q, const uint8_t *want)
{
	const uint8_t *ring = (const uint8_t *)(q->ring.format == FE_SPLIT ? (void *)q->ring.desc
									   : q->ring.pdesc);
	size_t i;

	for (i = 0; i < q->layout.bytes; i++)
		if (ring[i] != want[i])
			fail_msg("ring byte %zu of %zu (areas at %zu, %zu): %#x, expected %#x", i,
				q->layout.bytes, q->layout.driver, q->layout.device, ring[i],
				want[i]);
}

/* The image's parts, by the names of the specification. */
static struct vring_used *used_of(const struct fe_queue *q, uint8_t *image)
{
	return (struct vring_used *)(image + q->layout.device);
}

static struct vring_packed_desc *desc_of(const struct fe_queue *q, uint8_t *image)
{
	return (struct vring_packed_desc *)(image + q->layout.desc);
}

static struct fe_guest_config scattered(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features |= features;
	c.scatter = true;
	c.rx_size = 8;
	c.tx_size = 8;
	c.rx_buf_size = 256;
	return c;
}

static void poison_bufs(struct fe_queue *q)
{
	memset(q->bufs.host, POISON, (size_t)q->bufs.n * q->bufs.stride);
}

/* Receive buffer `id` holds `len` bytes from offset `from` of header and frame, and no more. */
static void buf_is(const struct fe_queue *q, uint16_t b, const uint8_t *want, uint32_t len)
{
	const uint8_t *buf = q->bufs.host + (size_t)b * q->bufs.stride;
	uint32_t i;

	assert_memory_equal(buf, want, len);
	for (i = len; i < q->bufs.stride; i++)
		assert_int_equal(buf[i], POISON);
}

static void a_split_ring_is_used_as_prescribed(void **state)
{
	static const uint32_t lens[] = {60, 100, 244, 14};
	struct fe_guest_config c = scattered(0);
	struct peer *a, *b;
	struct fe_queue *tx, *rx;
	uint8_t *tx_want, *rx_want;
	uint8_t frame[12 + 256] = {[10] = 1}; /* num_buffers */
	uint32_t i;

	c.features &= ~FE_BIT(VIRTIO_RING_F_EVENT_IDX);
	a = peer_up(*state, "a", &c);
	b = peer_up(*state, "b", &c);
	tx = fe_guest_tx(a->g, 0);
	rx = fe_guest_rx(b->g, 0);
	poison_bufs(rx);
	rx_want = ring_copy(rx);
	/* The back-end polls: it wants no kicks. */
	assert_int_equal(used_of(rx, rx_want)->flags, VRING_USED_F_NO_NOTIFY);
	assert_int_equal(used_of(rx, rx_want)->idx, 0);
	for (i = 0; i < RW_ARRAY_SIZE(lens); i++) {
		uint16_t head = rx->ring.avail->ring[i];

		peer_send_to(*state, a, b->mac, lens[i], i);
		tx_want = ring_copy(tx);
		rig_wait(*state, fe_ring_has_used(&tx->ring) && rx->ring.used->idx == i + 1);
		used_of(tx, tx_want)->ring[i] = (struct vring_used_elem){
			tx->ring.avail->ring[i], 0};
		used_of(tx, tx_want)->idx = (uint16_t)(i + 1);
		ring_is(tx, tx_want);
		free(tx_want);

		used_of(rx, rx_want)->ring[i] = (struct vring_used_elem){head, 12 + lens[i]};
		used_of(rx, rx_want)->idx = (uint16_t)(i + 1);
		ring_is(rx, rx_want);
		/* Buffer i was the i-th to be added, whatever its head. */
		frame_make(frame + 12, lens[i], b->mac, a->mac, i);
		buf_is(rx, (uint16_t)i, frame, 12 + lens[i]);
	}
	free(rx_want);
}

static void a_packed_ring_is_used_as_prescribed(void **state)
{
	struct fe_guest_config c = scattered(PACKED);
	struct peer *a, *b;
	struct fe_queue *tx, *rx;
	uint32_t i;

	c.features &= ~FE_BIT(VIRTIO_RING_F_EVENT_IDX);
	c.rx_size = 7;
	c.tx_size = 11;
	a = peer_up(*state, "a", &c);
	b = peer_up(*state, "b", &c);
	tx = fe_guest_tx(a->g, 0);
	rx = fe_guest_rx(b->g, 0);
	assert_int_equal(rx->ring.device_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	for (i = 0; i < 40; i++) {
		/* A chain of three every other time: it moves on by three slots. */
		const struct fe_cut cut = {.hdr_segs = i % 2, .data_segs = (uint8_t)(1 + i % 2)};
		uint32_t len = 60 + i;
		uint16_t ts, rs = rx->ring.used_idx;
		uint16_t rflags = rx->ring.used_wrap ? 0x8082 : 0x0002; /* with WRITE */
		uint16_t tflags;
		uint8_t *tx_want, *rx_want = ring_copy(rx);
		uint8_t data[128], got[FRAME_MAX];
		struct fe_received in;
		const struct fe_frame f = {.data = data, .len = len, .cut = cut};

		assert_true(fe_guest_reap(a->g, 0) >= 0);
		ts = tx->ring.used_idx;
		tflags = tx->ring.used_wrap ? 0x8080 : 0x0000; /* nothing was written */
		frame_make(data, len, b->mac, a->mac, i);
		assert_int_equal(fe_guest_put(a->g, 0, &f), 0);
		/* As it will be when the flags of its head are stored. */
		tx_want = ring_copy(tx);
		fe_guest_flush(a->g, 0);
		rig_wait(*state, fe_ring_has_used(&tx->ring) && fe_ring_has_used(&rx->ring));
		desc_of(tx, tx_want)[ts].len = 0;
		desc_of(tx, tx_want)[ts].flags = tflags;
		ring_is(tx, tx_want);
		desc_of(rx, rx_want)[rs].len = 12 + len;
		desc_of(rx, rx_want)[rs].flags = rflags;
		ring_is(rx, rx_want);
		free(tx_want);
		free(rx_want);
		peer_recv(*state, b, 0, got, &in);
		assert_int_equal(in.len, len);
		assert_memory_equal(got, data, len);
	}
}

/* A frame over four buffers of 256: lengths and num_buffers. */
static void merged_buffers_are_exact(struct rig *r, uint64_t features)
{
	static const uint32_t lens[] = {256, 256, 256, 1012 - 3 * 256};
	struct fe_guest_config c = scattered(features);
	uint8_t frame[12 + 1000] = {[10] = 4};
	struct peer *a, *b;
	struct fe_queue *rx;
	uint32_t i;

	a = peer_up(r, "a", &c);
	b = peer_up(r, "b", &c);
	rx = fe_guest_rx(b->g, 0);
	poison_bufs(rx);
	frame_make(frame + 12, 1000, b->mac, a->mac, 7);
	peer_send_to(r, a, b->mac, 1000, 7);
	rig_wait(r, fe_ring_has_used(&rx->ring));
	for (i = 0; i < 4; i++) {
		struct fe_used u;

		assert_int_equal(fe_ring_pop(&rx->ring, &u), 0);
		assert_int_equal(u.token, i);
		assert_int_equal(u.len, lens[i]);
		buf_is(rx, (uint16_t)u.token, frame + 256 * i, lens[i]);
	}
	assert_false(fe_ring_has_used(&rx->ring));
	rig_clean((void **)&(struct rig *){r});
}

static void a_frame_over_several_buffers_counts_them_in_its_header(void **state)
{
	merged_buffers_are_exact(*state, 0);
	merged_buffers_are_exact(*state, PACKED);
}

static void without_mergeable_buffers_num_buffers_is_one(void **state)
{
	struct fe_guest_config c = guest_usual();
	uint8_t got[FRAME_MAX];
	struct fe_received in;
	struct peer *a, *b;
	int i;

	c.features &= ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	for (i = 0; i < 2; i++) {
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		peer_send_to(*state, a, b->mac, 1000, 1);
		peer_recv(*state, b, 0, got, &in);
		assert_int_equal(in.len, 1000);
		assert_int_equal(in.hdr.num_buffers, 1);
		peer_down(*state, a);
		peer_down(*state, b);
		c.features |= PACKED;
	}
}

static void size_works(struct rig *r, uint64_t features, uint16_t size)
{
	struct fe_guest_config c = guest_usual();
	struct stream s = {.n = 2u * size + 5, .len = 100};
	struct peer *a, *b;

	s.window = RW_MIN(size, 64u);
	c.features |= features;
	c.rx_size = size;
	c.tx_size = size;
	c.rx_buf_size = 128;
	c.tx_buf_size = 128;
	a = peer_up(r, "a", &c);
	b = peer_up(r, "b", &c);
	stream_check(r, a, b, &s);
	s.n = RW_MIN(s.n, 100u);
	stream_check(r, b, a, &s);
	rig_clean((void **)&(struct rig *){r});
}

static void split_rings_of_every_size_work(void **state)
{
	static const uint16_t sizes[] = {1, 2, 4, 256, 1024, 32768};
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(sizes); i++)
		size_works(*state, 0, sizes[i]);
}

static void packed_rings_of_every_size_work(void **state)
{
	static const uint16_t sizes[] = {1, 2, 3, 7, 255, 256, 257, 1000, 32767, 32768};
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(sizes); i++)
		size_works(*state, PACKED, sizes[i]);
}

static void split_indices_wrap_at_65536(void **state)
{
	const struct stream s = {.n = 70000, .len = 60, .window = 64};
	struct fe_guest_config c = guest_usual();
	struct peer *a = peer_up(*state, "a", &c);
	struct peer *b = peer_up(*state, "b", &c);

	stream_check(*state, a, b, &s);
	assert_int_equal(b->g->queues[0].ring.used_idx, 70000 - 65536);
}

static void a_ring_may_start_anywhere(void **state)
{
	static const struct {
		uint64_t features;
		uint16_t size, start;
	} cases[] = {{0, 8, 65535}, {0, 256, 65530}, {0, 256, 12345}, {PACKED, 7, 6},
		{PACKED, 256, 255}, {PACKED, 1000, 999}, {PACKED, 32768, 32767}};
	const struct stream s = {.n = 600, .len = 100, .window = 4};
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(cases); i++) {
		c = guest_usual();
		c.features |= cases[i].features;
		c.rx_size = c.tx_size = cases[i].size;
		c.ring_start = cases[i].start;
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		stream_check(*state, a, b, &s);
		stream_check(*state, b, a, &s);
		rig_clean(state);
	}
}

static void scattered_rings_and_rings_in_order_carry_streams(void **state)
{
	static const uint64_t features[] = {
		0, PACKED, FE_BIT(VIRTIO_F_IN_ORDER), PACKED | FE_BIT(VIRTIO_F_IN_ORDER)};
	const struct stream s = {.n = 5000, .len = 700, .window = 16, .cut = {.data_segs = 2}};
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(features); i++) {
		c = guest_usual();
		c.features |= features[i];
		c.scatter = !(c.features & FE_BIT(VIRTIO_F_IN_ORDER));
		c.rx_buf_size = 300;
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		stream_check(*state, a, b, &s);
		stream_check(*state, b, a, &s);
		rig_clean(state);
	}
}

static void a_full_ring_is_not_an_empty_one(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b;
	uint32_t i, round;

	c.tx_size = 16;
	for (round = 0; round < 2; round++) {
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		/* Fill the ring to the last descriptor while it rests, then let it run. */
		assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
		for (i = 0; i < 16; i++)
			peer_send_to(*state, a, b->mac, 60, i);
		assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
		for (i = 0; i < 16; i++)
			peer_expect(*state, b, b->mac, a->mac, 60, i);
		c.features |= PACKED;
		rig_clean(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_split_ring_is_used_as_prescribed),
		rig_test(a_packed_ring_is_used_as_prescribed),
		rig_test(a_frame_over_several_buffers_counts_them_in_its_header),
		rig_test(without_mergeable_buffers_num_buffers_is_one),
		rig_test(split_rings_of_every_size_work),
		rig_test(packed_rings_of_every_size_work),
		rig_test(split_indices_wrap_at_65536),
		rig_test(a_ring_may_start_anywhere),
		rig_test(scattered_rings_and_rings_in_order_carry_streams),
		rig_test(a_full_ring_is_not_an_empty_one),
	};

	return cmocka_run_group_tests_name("rings", tests, start, rig_stop);
}
