/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The migration log as a front-end sees it, and the copy that proves it exact. The back-end, played
 * by hand, forgets a mark, makes one too many, or does it right.
 */
#include "fe_fixture.h"
#include "fe_shadow.h"

static void marks_are_fetched_and_cleared(void **state)
{
	struct fe_log log;
	uint8_t out[5] = {[1] = 0x40};

	(void)state;
	assert_int_equal(
		fe_log_init(&log, 5, 4093), 0); /* across a page border, no word's multiple */
	assert_int_equal(fe_log_count(&log), 0);
	log.bits[0] = 0x81;
	log.bits[4] = 0x02;
	assert_true(fe_log_has(&log, 0));
	assert_true(fe_log_has(&log, 7 * FE_PAGE + 4095));
	assert_false(fe_log_has(&log, 8 * FE_PAGE));
	assert_true(fe_log_has(&log, 33 * FE_PAGE));
	assert_false(fe_log_has(&log, 40 * FE_PAGE));
	assert_int_equal(fe_log_count(&log), 3);
	assert_int_equal(fe_log_fetch(&log, out), 3);
	image_is(out, 5, "81 40 00 00 02");
	assert_int_equal(fe_log_fetch(&log, out), 0);
	assert_true(fe_log_is_contained(&log));
	log.bits[5] |= 1;
	assert_false(fe_log_is_contained(&log));
	log.bits[5] &= 0xfe;
	log.bits[-1] |= 1;
	assert_false(fe_log_is_contained(&log));
	fe_log_fini(&log);
	assert_int_equal(fe_log_init(&log, 0, 0), -EINVAL);
	assert_int_equal(fe_log_init(&log, UINT64_MAX, 2), -EINVAL);
}

/* A guest with a copy and a log; its back-end listens. */
struct bench {
	struct fe_guest *g;
	struct fe_log log;
	int peer;
};

static void bench_start(struct bench *b, struct fe_guest_config c)
{
	static const struct fe_region_config memory = {
		.gpa = 0x40000000, .size = 64 * FE_PAGE, .uva = 0x7e1200000000};
	uint64_t size;

	c.regions = &memory;
	c.nregions = 1;
	c.rx_size = 8;
	c.tx_size = 8;
	c.features |= FE_BIT(VIRTIO_F_VERSION_1);
	assert_int_equal(fe_guest_new(&c, &b->g), 0);
	b->peer = peer_open(&b->g->conn);
	b->g->features = c.features;
	size = fe_log_size_for(&b->g->mem);
	assert_int_equal(fe_log_init(&b->log, size, 100), 0);
	assert_int_equal(fe_shadow_new(b->g, size), 0);
	assert_int_equal(fe_guest_reset_rings(b->g), 0);
	peer_reply(b->peer, VU_SET_LOG_BASE, &b->log.base, sizeof(b->log.base));
	assert_int_equal(fe_guest_log_start(b->g, &b->log, FE_LOG_QEMU), 0);
	fe_shadow_reset(b->g->shadow);
}

static void bench_end(struct bench *b)
{
	fe_guest_free(b->g);
	fe_log_fini(&b->log);
	close(b->peer);
}

static void mark(struct bench *b, uint64_t gpa)
{
	assert_in_range(gpa / FE_PAGE / 8, 0, b->log.base.size - 1);
	b->log.bits[gpa / FE_PAGE / 8] |= (uint8_t)(1u << gpa / FE_PAGE % 8);
}

/* The back-end writes the same frame as always to receive buffer `head`, and uses it; no marks. */
static void deliver(struct bench *b, uint16_t head)
{
	struct fe_ring *r = &fe_guest_rx(b->g, 0)->ring;
	struct vring_packed_desc *d = &r->pdesc[head];

	if (r->format == FE_PACKED) {
		memset(fe_mem_at(&b->g->mem, d->addr, 100), 3, 100);
		d->len = 100;
		d->flags = 0x8080;
		return;
	}
	memset(fe_mem_at(&b->g->mem, r->desc[head].addr, 100), 3, 100);
	r->used->ring[r->used->idx % r->num] = (struct vring_used_elem){head, 100};
	r->used->idx++;
}

static void receive(struct bench *b)
{
	struct fe_received in;
	char got[2048];

	assert_int_equal(fe_guest_recv(b->g, 0, got, sizeof(got), &in), 0);
	assert_int_equal(in.len, 88);
}

static void logging_starts_and_stops_in_the_usual_order(void **state)
{
	static const uint32_t order[] = {VU_SET_LOG_BASE, VU_SET_FEATURES, VU_SET_VRING_ADDR,
		VU_SET_VRING_ADDR, VU_SET_FEATURES, VU_SET_VRING_ADDR, VU_SET_VRING_ADDR};
	struct fe_msg m;
	struct bench b;
	size_t i;

	(void)state;
	bench_start(&b, (struct fe_guest_config){0});
	assert_int_equal(fe_guest_log_stop(b.g), 0);
	for (i = 0; i < RW_ARRAY_SIZE(order); i++) {
		m = peer_recv(b.peer);
		assert_int_equal(m.header.request, order[i]);
		if (order[i] == VU_SET_LOG_BASE) {
			assert_int_equal(m.nfds, 1);
			assert_int_equal(m.payload.log.offset, 100);
		} else if (order[i] == VU_SET_FEATURES) {
			assert_int_equal(m.payload.u64 >> VU_F_LOG_ALL & 1, i < 4);
		} else {
			assert_int_equal(m.payload.addr.flags, i < 4 ? VU_VRING_LOG : 0);
		}
	}
	bench_end(&b);
}

static void what_the_guest_writes_needs_no_mark(void **state)
{
	const struct fe_frame f = {.data = "frame", .len = 5, .cut = {.indirect = true}};
	static const uint64_t formats[] = {0, FE_BIT(VIRTIO_F_RING_PACKED)};
	struct fe_shadow_report r;
	struct bench b;
	size_t i;

	(void)state;
	for (i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		bench_start(&b,
			(struct fe_guest_config){
				.features = formats[i] | FE_BIT(VIRTIO_RING_F_EVENT_IDX)});
		assert_int_equal(fe_guest_send(b.g, 0, &f), 0);
		fe_ring_want_interrupt(&fe_guest_tx(b.g, 0)->ring, false);
		assert_int_equal(fe_ring_interrupt_after(&fe_guest_rx(b.g, 0)->ring, 2), 0);
		assert_true(fe_shadow_check(b.g->shadow, &b.log, &r));
		assert_int_equal(r.marked, 0);
		*(uint8_t *)b.g->mem.regions[0].host ^= 1;
		assert_false(fe_shadow_check(b.g->shadow, &b.log, &r));
		assert_int_equal(r.lost, 1);
		assert_int_equal(r.first_lost, b.g->mem.regions[0].c.gpa);
		fe_shadow_note(b.g, b.g->mem.regions[0].host, 1);
		assert_true(fe_shadow_check(b.g->shadow, &b.log, &r));
		bench_end(&b);
	}
}

static void a_write_without_a_mark_is_lost(void **state)
{
	struct fe_shadow_report r;
	uint64_t ring, buf;
	struct bench b;

	(void)state;
	bench_start(&b, (struct fe_guest_config){.rx_bufs_at = 0x40004000});
	ring = fe_guest_rx(b.g, 0)->gpa + fe_guest_rx(b.g, 0)->layout.device;
	buf = fe_guest_rx(b.g, 0)->bufs.gpa;
	assert_int_equal(buf, 0x40004000);
	deliver(&b, 0);
	receive(&b);
	mark(&b, ring);
	assert_false(fe_shadow_check(b.g->shadow, &b.log, &r));
	assert_int_equal(r.lost, 1);
	assert_int_equal(r.first_lost, buf);
	assert_int_equal(r.unmarked, 1);
	assert_int_equal(r.first_unmarked, buf);
	assert_int_equal(r.idle, 0);
	mark(&b, buf);
	assert_true(fe_shadow_check(b.g->shadow, &b.log, &r));
	assert_int_equal(r.marked, 2);
	assert_int_equal(r.changed, 2);
	/* The same bytes again: they count as written, changed or not. */
	fe_shadow_reset(b.g->shadow);
	deliver(&b, 0);
	receive(&b);
	mark(&b, ring);
	assert_false(fe_shadow_check(b.g->shadow, &b.log, &r));
	assert_int_equal(r.lost, 0);
	assert_int_equal(r.unmarked, 1);
	mark(&b, buf);
	assert_true(fe_shadow_check(b.g->shadow, &b.log, &r));
	assert_int_equal(r.changed, 1);
	bench_end(&b);
}

static void a_mark_without_a_write_is_idle(void **state)
{
	struct fe_shadow_report r;
	struct bench b;
	uint64_t device;

	(void)state;
	bench_start(&b, (struct fe_guest_config){.rx_bufs_at = 0x40004000});
	device = fe_guest_tx(b.g, 0)->gpa + fe_guest_tx(b.g, 0)->layout.device;
	mark(&b, device); /* it may have changed its mind about kicks */
	assert_true(fe_shadow_check(b.g->shadow, &b.log, &r));
	mark(&b, 0x40004000);
	assert_false(fe_shadow_check(b.g->shadow, &b.log, &r));
	assert_int_equal(r.idle, 1);
	assert_int_equal(r.first_idle, 0x40004000);
	bench_end(&b);
}

static void packed_rings_are_written_where_descriptors_are(void **state)
{
	struct fe_shadow_report r;
	struct bench b;

	(void)state;
	bench_start(&b,
		(struct fe_guest_config){
			.features = FE_BIT(VIRTIO_F_RING_PACKED), .rx_bufs_at = 0x40004000});
	deliver(&b, 0);
	receive(&b);
	mark(&b, 0x40004000);
	assert_false(fe_shadow_check(b.g->shadow, &b.log, &r));
	assert_int_equal(r.unmarked, 1);
	assert_int_equal(r.first_unmarked, fe_guest_rx(b.g, 0)->gpa & ~(FE_PAGE - 1));
	mark(&b, fe_guest_rx(b.g, 0)->gpa);
	assert_true(fe_shadow_check(b.g->shadow, &b.log, &r));
	bench_end(&b);
}

static void the_used_ring_may_be_logged_elsewhere(void **state)
{
	struct fe_shadow_report r;
	uint64_t ring;
	struct bench b;

	(void)state;
	bench_start(&b, (struct fe_guest_config){.rx_bufs_at = 0x40004000});
	fe_guest_rx(b.g, 0)->log_addr = 0x7ffc; /* in no region; across a page border */
	ring = fe_guest_rx(b.g, 0)->gpa + fe_guest_rx(b.g, 0)->layout.device;
	deliver(&b, 0);
	receive(&b);
	mark(&b, 0x40004000);
	assert_false(fe_shadow_check(b.g->shadow, &b.log, &r));
	assert_int_equal(r.lost, 1);
	assert_int_equal(r.first_lost, ring & ~(FE_PAGE - 1));
	assert_int_equal(r.unmarked, 2);
	assert_int_equal(r.first_unmarked, 0x7000);
	mark(&b, 0x7000); /* the index */
	mark(&b, 0x8000); /* the entry */
	assert_true(fe_shadow_check(b.g->shadow, &b.log, &r));
	bench_end(&b);
}

static void scattered_pages_are_marked_where_they_are(void **state)
{
	struct fe_shadow_report r;
	struct bench b;

	(void)state;
	bench_start(&b,
		(struct fe_guest_config){.features = FE_BIT(VIRTIO_F_ACCESS_PLATFORM),
			.iommu = {.mode = FE_IOMMU_STATIC, .scatter = true}});
	memset(fe_guest_rx(b.g, 0)->bufs.host, 0x77, 1);
	assert_false(fe_shadow_check(b.g->shadow, &b.log, &r));
	assert_int_equal(r.lost, 1);
	assert_int_equal(r.first_lost,
		fe_mem_gpa(&b.g->mem, fe_guest_rx(b.g, 0)->bufs.gpa) & ~(FE_PAGE - 1));
	mark(&b, r.first_lost);
	assert_true(fe_shadow_check(b.g->shadow, &b.log, &r));
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_are_fetched_and_cleared),
		cmocka_unit_test(logging_starts_and_stops_in_the_usual_order),
		cmocka_unit_test(what_the_guest_writes_needs_no_mark),
		cmocka_unit_test(a_write_without_a_mark_is_lost),
		cmocka_unit_test(a_mark_without_a_write_is_idle),
		cmocka_unit_test(packed_rings_are_written_where_descriptors_are),
		cmocka_unit_test(the_used_ring_may_be_logged_elsewhere),
		cmocka_unit_test(scattered_pages_are_marked_where_they_are),
	};

	return cmocka_run_group_tests_name("guest_log", tests, NULL, NULL);
}
