/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest behind an IOMMU. The device is played by hand: it knows nothing but the page table and
 * the files of the memory table, so what it finds is where a real one would look.
 */
#include "fe_fixture.h"

#define BASE 0x100000000ull

static void ranges_are_apart_and_reused_at_once(void **state)
{
	struct fe_iommu io;
	uint64_t a, b, c;

	(void)state;
	assert_int_equal(fe_iommu_init(&io, BASE, 16, false), 0);
	assert_int_equal(fe_iommu_alloc(&io, 2, &a), 0);
	assert_int_equal(fe_iommu_alloc(&io, 3, &b), 0);
	assert_int_equal(a, BASE);
	assert_int_equal(b, BASE + 3 * FE_PAGE); /* a page between them */
	fe_iommu_free(&io, a, 2);
	assert_int_equal(fe_iommu_alloc(&io, 1, &c), 0);
	assert_int_equal(c, BASE + 7 * FE_PAGE); /* another size: not there */
	assert_int_equal(fe_iommu_alloc(&io, 2, &c), 0);
	assert_int_equal(c, a);
	assert_int_equal(fe_iommu_alloc(&io, 17, &c), -ENOSPC);
	assert_int_equal(fe_iommu_alloc(&io, 7, &c), 0);
	assert_int_equal(c, BASE + 9 * FE_PAGE);
	assert_int_equal(fe_iommu_alloc(&io, 1, &c), -ENOSPC);
	fe_iommu_free(&io, b, 3);
	assert_int_equal(fe_iommu_alloc(&io, 1, &c), 0);
	assert_int_equal(c, b);                                /* round the window */
	assert_int_equal(fe_iommu_alloc(&io, 3, &c), -ENOSPC); /* half of it is taken */
	fe_iommu_fini(&io);
}

static void a_fresh_address_is_preferred_on_demand(void **state)
{
	struct fe_iommu io;
	uint64_t a, b;

	(void)state;
	assert_int_equal(fe_iommu_init(&io, 0ull - 8 * FE_PAGE, 8, true), 0); /* up to the end */
	assert_int_equal(fe_iommu_alloc(&io, 1, &a), 0);
	fe_iommu_free(&io, a, 1);
	assert_int_equal(fe_iommu_alloc(&io, 1, &b), 0);
	assert_int_equal(b, a + 2 * FE_PAGE);
	assert_int_equal(fe_iommu_map(&io, 0ull - FE_PAGE, 0x1000, VU_IOTLB_READ), 0);
	assert_non_null(fe_iommu_find(&io, UINT64_MAX));
	fe_iommu_fini(&io);
	assert_int_equal(fe_iommu_init(&io, 0ull - 8 * FE_PAGE, 9, true), -EINVAL);
	assert_int_equal(fe_iommu_init(&io, 1, 9, true), -EINVAL);
}

static void pages_are_mapped_one_by_one(void **state)
{
	struct fe_iommu io;

	(void)state;
	assert_int_equal(fe_iommu_init(&io, BASE, 8, false), 0);
	assert_int_equal(fe_iommu_map(&io, BASE, 0x5000, VU_IOTLB_READ), 0);
	assert_int_equal(fe_iommu_map(&io, BASE + FE_PAGE, 0x6fff, VU_IOTLB_READ), 0);
	assert_int_equal(fe_iommu_map(&io, BASE + 2 * FE_PAGE, 0x7000, VU_IOTLB_WRITE), 0);
	assert_int_equal(fe_iommu_map(&io, BASE + 8 * FE_PAGE, 0x7000, VU_IOTLB_WRITE), -EINVAL);
	assert_int_equal(io.mapped, 3);
	assert_int_equal(fe_iommu_find(&io, BASE + FE_PAGE + 5)->gpa, 0x6000);
	assert_null(fe_iommu_find(&io, BASE - 1));
	assert_int_equal(fe_iommu_run(&io, BASE + 7, 8), 2); /* the third has other rights */
	assert_int_equal(fe_iommu_run(&io, BASE, 1), 1);
	assert_int_equal(fe_iommu_unmap(&io, BASE + FE_PAGE), 0);
	assert_int_equal(fe_iommu_run(&io, BASE, 8), 1);
	assert_int_equal(fe_iommu_run(&io, BASE + FE_PAGE, 8), 0);
	assert_int_equal(io.mapped, 2);
	fe_iommu_fini(&io);
}

static void scattered_memory_is_one_for_the_guest(void **state)
{
	static const struct fe_region_config regions[] = {
		{.gpa = 0x10000, .size = 16 * FE_PAGE, .uva = 0x7000000, .mmap_offset = FE_PAGE}};
	struct fe_mem m;
	uint64_t i, gpa;
	int moved = 0;
	uint8_t byte;

	(void)state;
	assert_int_equal(fe_mem_init(&m, regions, 1, false), 0);
	assert_int_equal(fe_mem_scatter(&m, 1), 0);
	for (i = 0; i < 16; i++) {
		*(uint8_t *)fe_mem_at(&m, 0x10000 + i * FE_PAGE + 9, 1) = (uint8_t)(i + 1);
		gpa = fe_mem_gpa(&m, 0x10000 + i * FE_PAGE + 9);
		moved += gpa != 0x10000 + i * FE_PAGE + 9;
		assert_int_equal(
			pread(m.regions[0].fd, &byte, 1, (off_t)(gpa - 0x10000 + FE_PAGE)), 1);
		assert_int_equal(byte, i + 1);
		assert_int_equal(
			fe_mem_uva(&m, 0x10000 + i * FE_PAGE + 9), gpa - 0x10000 + 0x7000000);
	}
	assert_in_range(moved, 8, 16);
	assert_int_equal(fe_mem_addr(&m, (char *)fe_mem_at(&m, 0x12345, 1)), 0x12345);
	assert_int_equal(fe_mem_scatter(&m, 1), -EBUSY);
	fe_mem_fini(&m);
}

static void regions_come_and_go(void **state)
{
	static const struct fe_region_config regions[] = {
		{.gpa = 0x10000, .size = FE_PAGE, .uva = 0x7000000},
		{.gpa = 0x11000, .size = FE_PAGE, .uva = 0x7001000},
		{.gpa = 0x12000, .size = FE_PAGE, .uva = 0x7002000}};
	const struct fe_region_config next = {.gpa = 0x13000, .size = FE_PAGE, .uva = 1};
	struct fe_mem m;
	uint32_t i;

	(void)state;
	assert_int_equal(fe_mem_init(&m, regions, 3, false), 0);
	assert_int_equal(fe_mem_add(&m, &next), 0);
	strcpy(fe_mem_at(&m, 0x13ff0, 16), "here");
	fe_mem_remove(&m, 1);
	assert_int_equal(m.nregions, 3);
	assert_null(fe_mem_at(&m, 0x11000, 1));
	assert_string_equal(fe_mem_at(&m, 0x13ff0, 16), "here");
	assert_null(fe_mem_at(&m, 0x10000, FE_PAGE + 1));
	for (i = 3; i < FE_MAX_REGIONS; i++)
		assert_int_equal(fe_mem_add(&m,
					 &(struct fe_region_config){.gpa = 0x100000ull * i,
						 .size = FE_PAGE,
						 .same_file = true}),
			0);
	assert_int_equal(fe_mem_add(&m, &next), -ENOSPC);
	fe_mem_fini(&m);
}

static void poison_shows_every_write(void **state)
{
	uint8_t bytes[100];
	size_t i;

	(void)state;
	fe_poison(bytes, sizeof(bytes));
	assert_true(fe_is_poison(bytes, sizeof(bytes)));
	for (i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 1;
		assert_false(fe_is_poison(bytes, sizeof(bytes)));
		bytes[i] ^= 1;
	}
}

/* A guest, its connection, and the channel. */
struct bench {
	struct fe_guest *g;
	int peer;
	int channel;
};

#define FEATURES (FE_BIT(VIRTIO_F_VERSION_1) | FE_BIT(VIRTIO_F_ACCESS_PLATFORM))

static struct bench bench_start(enum fe_iommu_mode mode, struct fe_guest_config c)
{
	struct bench b;

	c.iommu.mode = mode;
	c.rx_size = 8;
	c.tx_size = 16;
	c.rx_buf_size = c.tx_buf_size = 9000;
	assert_int_equal(fe_guest_new(&c, &b.g), 0);
	b.peer = peer_open(&b.g->conn);
	assert_int_equal(fe_channel_open(&b.g->channel, &b.channel), 0);
	b.g->features = c.features;
	assert_int_equal(fe_guest_reset_rings(b.g), 0);
	return b;
}

static void bench_end(struct bench *b)
{
	fe_guest_free(b->g);
	close(b->peer);
	close(b->channel);
}

/* The device copies between a buffer of its own and what `iova` is, as it may. */
static void device_copy(struct bench *b, uint64_t iova, void *buf, uint32_t len, uint8_t perm)
{
	const struct fe_region *r = b->g->mem.regions;
	uint8_t *at = buf;
	uint64_t off;
	uint32_t n;

	for (; len; len -= n, at += n, iova += n) {
		const struct fe_iommu_page *p = fe_iommu_find(&b->g->iommu, iova);

		assert_non_null(p);
		assert_int_equal(p->perm & perm, perm);
		n = RW_MIN(len, (uint32_t)(FE_PAGE - iova % FE_PAGE));
		off = p->gpa - r->c.gpa + iova % FE_PAGE + r->c.mmap_offset;
		if (perm == VU_IOTLB_READ)
			assert_int_equal(pread(r->fd, at, n, (off_t)off), n);
		else
			assert_int_equal(pwrite(r->fd, at, n, (off_t)off), n);
	}
}

/* The head of the device's view of split ring `q`: its descriptor `i`. */
static struct vring_desc device_desc(struct bench *b, uint32_t q, uint16_t i)
{
	struct vring_desc d;

	device_copy(b, fe_guest_ring_addr(b->g, q, i * sizeof(d)), &d, sizeof(d), VU_IOTLB_READ);
	return d;
}

static void device_use(struct bench *b, uint32_t q, uint16_t idx, uint32_t id, uint32_t len)
{
	uint64_t used = fe_guest_ring_addr(b->g, q, b->g->queues[q].layout.device);
	struct vring_used_elem e = {id, len};
	uint16_t next = (uint16_t)(idx + 1);

	device_copy(b, used + 4 + idx * sizeof(e), &e, sizeof(e), VU_IOTLB_WRITE);
	device_copy(b, used + 2, &next, sizeof(next), VU_IOTLB_WRITE);
}

/* Frames go out in pieces, through tables, from scattered pages. */
static void frames_are_read(struct bench *b)
{
	static const struct fe_cut cuts[] = {{0, 0, false}, {0, 4, false}, {12, 3, true}};
	uint8_t frame[8000], got[8012];
	uint16_t at = 0, d;
	uint32_t len;
	size_t i, k;

	for (k = 0; k < sizeof(frame); k++)
		frame[k] = (uint8_t)(k * 7);
	for (i = 0; i < RW_ARRAY_SIZE(cuts); i++) {
		const struct fe_frame f = {.data = frame, .len = sizeof(frame), .cut = cuts[i]};
		struct vring_desc desc, table[16];

		d = at;
		assert_int_equal(fe_guest_send(b->g, 0, &f), 0);
		desc = device_desc(b, 1, d);
		if (cuts[i].indirect)
			device_copy(b, desc.addr, table, desc.len, VU_IOTLB_READ);
		for (len = 0, k = 0;; k++, len += desc.len) {
			if (cuts[i].indirect)
				desc = table[k];
			else if (k)
				desc = device_desc(b, 1, desc.next);
			assert_in_range(desc.len, 1, sizeof(got) - len);
			device_copy(b, desc.addr, got + len, desc.len, VU_IOTLB_READ);
			at += !cuts[i].indirect;
			if (!(desc.flags & VRING_DESC_F_NEXT))
				break;
		}
		at += cuts[i].indirect;
		assert_int_equal(len + desc.len, sizeof(got));
		assert_memory_equal(got + 12, frame, sizeof(frame));
	}
}

static void all_of_memory_may_be_mapped_at_once(void **state)
{
	struct bench b = bench_start(FE_IOMMU_STATIC,
		(struct fe_guest_config){.features = FEATURES, .iommu.scatter = true});
	uint32_t mapped = b.g->iommu.mapped;

	(void)state;
	assert_int_equal(mapped, b.g->mem.regions[0].c.size / FE_PAGE);
	frames_are_read(&b);
	assert_int_equal(b.g->iommu.mapped, mapped);
	peer_hears_nothing(b.peer);
	bench_end(&b);
}

static void a_buffer_is_mapped_only_while_the_device_has_it(void **state)
{
	struct bench b = bench_start(FE_IOMMU_STRICT,
		(struct fe_guest_config){.features = FEATURES, .iommu.scatter = true});
	uint32_t mapped = b.g->iommu.mapped;
	struct fe_msg m;
	uint64_t iova;

	(void)state;
	frames_are_read(&b);
	iova = device_desc(&b, 1, 0).addr;
	assert_int_equal(iova, b.g->queues[1].bufs.dma[0].iova);
	device_use(&b, 1, 0, 0, 0);
	assert_non_null(fe_iommu_find(&b.g->iommu, iova));
	peer_ack(b.peer, VU_IOTLB_MSG, 0);
	assert_int_equal(fe_guest_reap(b.g, 0), 1);
	assert_null(fe_iommu_find(&b.g->iommu, iova));
	m = peer_recv(b.peer);
	assert_int_equal(m.payload.iotlb.type, VU_IOTLB_INVALIDATE);
	assert_int_equal(m.payload.iotlb.iova, iova);
	assert_int_equal(m.payload.iotlb.size, b.g->queues[1].bufs.stride);
	/* The two others and a table are left. */
	assert_int_equal(b.g->iommu.mapped, mapped + 2 * b.g->queues[1].bufs.stride / FE_PAGE + 1);
	assert_int_equal(b.g->invalidations, 1);
	bench_end(&b);
}

static void writes_after_the_unmapping_are_found_out(void **state)
{
	struct bench b = bench_start(FE_IOMMU_STRICT,
		(struct fe_guest_config){
			.features = FEATURES, .iommu = {.scatter = true, .resting = 2}});
	struct fe_queue *q = fe_guest_rx(b.g, 0);
	uint8_t frame[5012] = {[5011] = 9}, got[9000];
	struct fe_received in;
	uint64_t gpa;
	uint16_t i;

	(void)state;
	assert_int_equal(q->bufs.n, 10);
	for (i = 0; i < 4; i++) {
		device_copy(&b, device_desc(&b, 0, i).addr, frame, sizeof(frame), VU_IOTLB_WRITE);
		device_use(&b, 0, i, i, sizeof(frame));
	}
	gpa = fe_mem_gpa(&b.g->mem, q->bufs.gpa + FE_PAGE);
	for (i = 0; i < 4; i++) {
		peer_ack(b.peer, VU_IOTLB_MSG, 0);
		if (i == 2) /* buffer 0 rests; the device still writes to its second page */
			assert_int_equal(pwrite(b.g->mem.regions[0].fd, "x", 1,
						 (off_t)(gpa - b.g->mem.regions[0].c.gpa + 99)),
				1);
		/* Given back are the resting two, then the first that was used. */
		assert_int_equal(fe_guest_recv(b.g, 0, got, sizeof(got), &in), i < 2 ? 0 : -EILSEQ);
		if (i < 2) {
			assert_int_equal(in.len, 5000);
			assert_int_equal(got[4999], 9);
		} else {
			break;
		}
	}
	bench_end(&b);
}

static void ask(struct bench *b, uint64_t iova, uint8_t perm)
{
	const struct vu_iotlb miss = {.iova = iova, .perm = perm, .type = VU_IOTLB_MISS};

	peer_send_fd(b->channel, VU_BACKEND_IOTLB_MSG, VU_VERSION | VU_FLAG_NEED_REPLY, &miss,
		sizeof(miss), -1);
}

static void a_miss_is_answered_from_the_page_table(void **state)
{
	struct bench b = bench_start(FE_IOMMU_STRICT,
		(struct fe_guest_config){.features = FEATURES, .iommu.entry_pages = 2});
	struct fe_queue *q = fe_guest_rx(b.g, 0);
	uint64_t iova = q->bufs.dma[3].iova;
	struct fe_msg m;

	(void)state;
	ask(&b, iova + 5, VU_IOTLB_WRITE);
	ask(&b, iova, VU_IOTLB_READ);                           /* not allowed */
	ask(&b, iova + q->bufs.stride, VU_IOTLB_WRITE);         /* the gap behind it */
	ask(&b, fe_guest_ring_addr(b.g, 0, 0), VU_IOTLB_WRITE); /* rings may be written */
	peer_ack(b.peer, VU_IOTLB_MSG, 0);
	peer_ack(b.peer, VU_IOTLB_MSG, 0);
	assert_int_equal(fe_guest_service(b.g), 4);
	m = peer_recv(b.peer);
	assert_int_equal(m.payload.iotlb.type, VU_IOTLB_UPDATE);
	assert_int_equal(m.payload.iotlb.iova, iova);
	assert_int_equal(m.payload.iotlb.size, 2 * FE_PAGE);
	assert_int_equal(m.payload.iotlb.perm, VU_IOTLB_WRITE);
	assert_int_equal(
		m.payload.iotlb.uaddr, fe_mem_uva(&b.g->mem, q->bufs.gpa + 3 * q->bufs.stride));
	m = peer_recv(b.peer);
	assert_int_equal(m.payload.iotlb.perm, VU_IOTLB_READ | VU_IOTLB_WRITE);
	peer_hears_nothing(b.peer);
	assert_int_equal(peer_recv(b.channel).payload.u64, 0);
	assert_int_equal(peer_recv(b.channel).payload.u64, 1);
	assert_int_equal(peer_recv(b.channel).payload.u64, 1);
	assert_int_equal(peer_recv(b.channel).payload.u64, 0);
	assert_int_equal(b.g->updates, 2);
	/* With GPA_ADDRESSES the front-end's addresses are guest-physical in the entries, too. */
	b.g->protocol_features = FE_BIT(VU_PF_GPA_ADDRESSES);
	peer_ack(b.peer, VU_IOTLB_MSG, 0);
	assert_int_equal(fe_guest_push(b.g, iova), 0);
	assert_int_equal(peer_recv(b.peer).payload.iotlb.uaddr, q->bufs.gpa + 3 * q->bufs.stride);
	assert_int_equal(fe_guest_push(b.g, iova - 1), -ENOENT);
	/* The device begins anew: all that the back-end knows is void. */
	peer_ack(b.peer, VU_IOTLB_MSG, 0);
	assert_int_equal(fe_guest_reset_rings(b.g), 0);
	m = peer_recv(b.peer);
	assert_int_equal(m.payload.iotlb.type, VU_IOTLB_INVALIDATE);
	assert_int_equal(m.payload.iotlb.size, b.g->iommu.n * FE_PAGE);
	bench_end(&b);
}

static void rings_are_told_in_the_address_space_negotiated(void **state)
{
	struct bench b = bench_start(FE_IOMMU_NONE, (struct fe_guest_config){0});
	struct fe_queue *q = &b.g->queues[1];
	struct fe_msg m;

	(void)state;
	assert_int_equal(fe_guest_ring_step(b.g, 1, FE_ADDR), 0);
	m = peer_recv(b.peer);
	assert_int_equal(m.payload.addr.used, fe_mem_uva(&b.g->mem, q->gpa + q->layout.device));
	assert_int_equal(m.payload.addr.log, q->gpa + q->layout.device);
	assert_int_equal(m.payload.addr.flags, 0);
	b.g->protocol_features = FE_BIT(VU_PF_GPA_ADDRESSES);
	q->log_addr = 0x1234;
	q->log = true;
	assert_int_equal(fe_guest_ring_step(b.g, 1, FE_ADDR), 0);
	m = peer_recv(b.peer);
	assert_int_equal(m.payload.addr.used, q->gpa + q->layout.device);
	assert_int_equal(m.payload.addr.log, 0x1234);
	assert_int_equal(m.payload.addr.flags, VU_VRING_LOG);
	bench_end(&b);
}

static void scattered_memory_needs_the_feature(void **state)
{
	const struct fe_guest_config c = {.iommu = {.mode = FE_IOMMU_STATIC, .scatter = true}};
	struct fe_guest *g;

	(void)state;
	assert_int_equal(fe_guest_new(&c, &g), 0);
	assert_int_equal(fe_guest_reset_rings(g), -ENOTSUP);
	fe_guest_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_apart_and_reused_at_once),
		cmocka_unit_test(a_fresh_address_is_preferred_on_demand),
		cmocka_unit_test(pages_are_mapped_one_by_one),
		cmocka_unit_test(scattered_memory_is_one_for_the_guest),
		cmocka_unit_test(regions_come_and_go),
		cmocka_unit_test(poison_shows_every_write),
		cmocka_unit_test(all_of_memory_may_be_mapped_at_once),
		cmocka_unit_test(a_buffer_is_mapped_only_while_the_device_has_it),
		cmocka_unit_test(writes_after_the_unmapping_are_found_out),
		cmocka_unit_test(a_miss_is_answered_from_the_page_table),
		cmocka_unit_test(rings_are_told_in_the_address_space_negotiated),
		cmocka_unit_test(scattered_memory_needs_the_feature),
	};

	return cmocka_run_group_tests_name("guest_iommu", tests, NULL, NULL);
}
