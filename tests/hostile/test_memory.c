/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory tables that lie, and rings and buffers at the borders of regions. */
#include "say.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "traffic.h"

#define MIB  (1ull << 20)
#define PAGE 4096ull

/* A guest that shares its memory by one table. */
static struct fe_guest_config guest_of_tables(uint64_t format)
{
	struct fe_guest_config c = guest_of_all(format);

	c.protocol_features &= ~FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS);
	return c;
}

static struct vu_mem_region region(uint64_t gpa, uint64_t size, uint64_t uva, uint64_t offset)
{
	return (struct vu_mem_region){.gpa = gpa, .size = size, .uva = uva, .mmap_offset = offset};
}

/* The region is refused, alone in a table, as the second one, and as a slot. */
static void region_is_refused(struct rig *r, struct peer *a, struct vu_mem_region bad, int fd)
{
	const struct vu_mem_slot slot = {.region = bad};
	const struct vu_mem_table table = {.nregions = 1, .regions = {bad}};
	const struct vu_mem_table second = {
		.nregions = 2, .regions = {region(MIB << 20, PAGE, MIB << 24, 0), bad}};

	refused(r, a, VU_ADD_MEM_REG, &slot, sizeof(slot), fd);
	refused(r, a, VU_SET_MEM_TABLE, &table, 40, fd);
	assert_int_not_equal(say_with(a, VU_SET_MEM_TABLE, &second, 72, fd, 2), SAID_YES);
	negotiated_anew(r, a);
}

/* Also G10 and R16. The file has 1 MiB. */
static void cve_2026_86561_a_region_that_its_file_does_not_have_is_refused(
	struct rig *r, uint64_t format)
{
	const struct vu_mem_region bad[] = {
		region(0, 0, 0, 0),
		region(0, MIB + 1, 0, 0),
		region(0, 2 * MIB, 0, 0),
		region(0, MIB, 0, PAGE),
		region(0, PAGE, 0, MIB),
		region(0, PAGE, 0, MIB - PAGE + 1),
		region(0, PAGE, 0, UINT64_MAX - PAGE + 1),
		region(0, PAGE, 0, UINT64_MAX),
		region(0, 2 * PAGE, 0, UINT64_MAX - PAGE + 1),
		region(0, UINT64_MAX, 0, 0),
		region(0, UINT64_MAX - PAGE + 1, 0, PAGE),
		region(0, UINT64_MAX - PAGE + 2, 0, PAGE),
		region(0, INT64_MAX, 0, 0),
		region(0, 1ull << 63, 0, 0),
		region(0, 1ull << 63, 0, 1ull << 63),
		/* Rounded up to a page, 2 MiB or 1 GiB it would be nothing. */
		region(0, UINT64_MAX - 1, 0, 0),
		region(0, UINT64_MAX - 2 * MIB + 2, 0, 0),
		region(0, UINT64_MAX - 1024 * MIB + 2, 0, 0),
	};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++)
		region_is_refused(r, a, bad[i], fd);
	close(fd);
}

/* What cannot be guest memory at all, or not for writing. */
static void r17_a_region_whose_file_cannot_be_mapped_leaves_nothing(struct rig *r, uint64_t format)
{
	const struct vu_mem_table good = {
		.nregions = 2, .regions = {region(0, PAGE, 0, 0), region(MIB, PAGE, MIB, PAGE)}};
	const struct fe_guest_config c = guest_of_tables(format);
	struct peer *b, *a = pair_up(r, &c, &b);
	int memory = fd_of(FD_MEMORY), readable;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	readable = open(path, O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 20; i++) {
		const int bad[] = {readable, fd_of(FD_EVENT), fd_of(FD_SOCKET), fd_of(FD_PIPE)};

		for (size_t k = 0; k < RW_ARRAY_SIZE(bad); k++) {
			const struct fe_raw raw = {.request = VU_SET_MEM_TABLE,
				.payload = &good,
				.len = 72,
				.fds = (int[]){memory, bad[k]},
				.nfds = 2};

			assert_int_equal(say(a, &raw, NULL), SAID_NO);
			if (k)
				close(bad[k]);
		}
		duplex_check(r, a, b); /* on the table of before */
	}
	close(readable);
	close(memory);
}

static void g04_overlapping_and_wrapping_regions_are_refused(struct rig *r, uint64_t format)
{
	/* Two that cannot be in one table. */
	const struct vu_mem_region pairs[][2] = {
		{region(0, 2 * PAGE, 0, 0), region(PAGE, PAGE, MIB, 0)},
		{region(PAGE, PAGE, 0, 0), region(0, 2 * PAGE, MIB, 0)},
		{region(0, PAGE, 0, 0), region(0, PAGE, MIB, 0)},
		{region(0, 4 * PAGE, 0, 0), region(PAGE, PAGE, MIB, 0)},
		{region(0, 2 * PAGE, 0, 0), region(MIB, PAGE, PAGE, 0)},
		{region(0, PAGE, MIB, 0), region(MIB, PAGE, MIB, 0)},
		{region(0, 2 * PAGE, 0, 0), region(2 * PAGE - 1, PAGE, MIB, 0)},
	};
	const struct vu_mem_region wrapping[] = {
		region(UINT64_MAX - PAGE + 2, PAGE, 0, 0),
		region(UINT64_MAX, PAGE, 0, 0),
		region(0, PAGE, UINT64_MAX - PAGE + 2, 0),
		region(0, PAGE, UINT64_MAX, 0),
	};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (size_t i = 0; i < RW_ARRAY_SIZE(pairs); i++) {
		const struct vu_mem_table table = {
			.nregions = 2, .regions = {pairs[i][0], pairs[i][1]}};
		struct vu_mem_slot slot = {.region = pairs[i][0]};

		assert_int_not_equal(say_with(a, VU_SET_MEM_TABLE, &table, 72, fd, 2), SAID_YES);
		negotiated_anew(r, a);
		assert_int_equal(say_with(a, VU_ADD_MEM_REG, &slot, 40, fd, 1), SAID_YES);
		slot.region = pairs[i][1];
		refused(r, a, VU_ADD_MEM_REG, &slot, 40, fd);
		negotiated_anew(r, a);
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(wrapping); i++)
		region_is_refused(r, a, wrapping[i], fd);
	close(fd);
}

/* Also QEMU #4403. */
static void r15_region_counts_are_checked(struct rig *r, uint64_t format)
{
	static const uint32_t counts[] = {0, 3, 8, 9, 0x100, 0x10000, 0x80000000, 0xffffffff};
	const struct fe_guest_config c = guest_of_tables(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (size_t i = 0; i < RW_ARRAY_SIZE(counts); i++) {
		struct vu_mem_table t = {.nregions = counts[i]};

		for (uint32_t k = 0; k < VU_MAX_TABLE_REGIONS; k++)
			t.regions[k] = region(k * MIB, PAGE, k * MIB, 0);
		for (uint32_t nfds = 0; nfds <= 8; nfds++) {
			if (nfds == counts[i])
				continue;
			assert_int_not_equal(
				say_with(a, VU_SET_MEM_TABLE, &t, sizeof(t), fd, nfds), SAID_YES);
		}
	}
	close(fd);
}

static void r18_the_same_table_again_moves_nothing(struct rig *r, uint64_t format)
{
	const struct stream s = {.n = 20, .len = 600};
	const struct fe_guest_config c = guest_of_tables(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (int i = 0; i < 100 / r->slow + 5; i++) {
		for (uint32_t k = 0; k < 20; k++)
			peer_send_to(r, a, b->mac, 600, k);
		assert_int_equal(fe_guest_share_memory(a->g), 0);
		assert_int_equal(fe_guest_share_memory(b->g), 0);
		for (uint32_t k = 0; k < 20; k++)
			peer_expect(r, b, b->mac, a->mac, 600, k);
		stream_check(r, b, a, &s);
	}
}

/* Also QEMU 49e9ec749d, SPDK 376be52bb0 and VPP 28812a0d93: no ring is described anew. */
static void r19_another_table_under_running_rings_translates_them_anew(
	struct rig *r, uint64_t format)
{
	const struct stream s = {.n = 20, .len = 600};
	const struct fe_region_config more = {
		.gpa = 1ull << 40, .size = MIB, .uva = 0x7100000000ull};
	struct fe_guest_config c = guest_of_tables(format);
	struct peer *b, *a;

	for (int slots = 0; slots < 2; slots++) {
		a = pair_up(r, &c, &b);
		for (int i = 0; i < 40 / r->slow + 2; i++) {
			for (uint32_t k = 0; k < 20; k++)
				peer_send_to(r, a, b->mac, 600, k);
			assert_int_equal(fe_guest_add_region(a->g, &more), 0);
			for (uint32_t k = 0; k < 20; k++)
				peer_expect(r, b, b->mac, a->mac, 600, k);
			stream_check(r, b, a, &s);
			assert_int_equal(fe_guest_remove_region(a->g, a->g->mem.nregions - 1), 0);
			stream_check(r, a, b, &s);
		}
		rig_clean((void **)&r);
		c.protocol_features |= FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS);
	}
}

static void r20_addresses_before_there_is_memory_are_refused(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);

	assert_int_equal(fe_guest_reset_rings(a->g), 0);
	for (int i = 0; i < 20; i++) {
		int err = fe_guest_ring_step(a->g, 0, FE_ADDR);

		assert_true(err == -EREMOTEIO || err == -ECONNRESET);
		if (err == -ECONNRESET)
			negotiated_anew(r, a);
		assert_int_equal(fe_guest_ring_step(a->g, 0, FE_NUM), 0);
		assert_int_equal(fe_guest_ring_step(a->g, 0, FE_KICK), 0);
		assert_int_equal(fe_guest_stop_ring(a->g, 0, NULL), 0);
	}
}

static void r21_slots_end_and_unknown_ones_are_refused(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);
	struct vu_mem_slot slot;
	uint64_t n, max = a->g->max_slots;

	assert_in_range(max, 32, 4096);
	for (n = 0; n <= max; n++) {
		slot = (struct vu_mem_slot){
			.region = region((n + 1) * MIB, PAGE, (n + 1) * MIB, n % 256 * PAGE)};
		if (say_with(a, VU_ADD_MEM_REG, &slot, sizeof(slot), fd, 1) != SAID_YES)
			break;
	}
	assert_int_equal(n, max);
	slot.region.gpa += PAGE;
	refused(r, a, VU_REM_MEM_REG, &slot, sizeof(slot), -1);
	/* One may go with a descriptor, which is closed. */
	slot.region = region(MIB, PAGE, MIB, 0);
	assert_int_equal(say_with(a, VU_REM_MEM_REG, &slot, sizeof(slot), fd, 1), SAID_YES);
	refused(r, a, VU_REM_MEM_REG, &slot, sizeof(slot), fd);
	close(fd);
}

/* The region that holds the rings goes while they run, and comes back. */
static void r21_a_region_with_a_running_ring_goes_and_comes(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	for (int i = 0; i < 20; i++) {
		const struct vu_mem_slot slot = {.region = fe_mem_wire(&a->g->mem, 0)};

		for (uint32_t k = 0; k < 20; k++)
			peer_send_to(r, a, b->mac, 600, k);
		if (say_with(a, VU_REM_MEM_REG, &slot, sizeof(slot), -1, 0) == CLOSED)
			negotiated_anew(r, a);
		peer_drain(r, b);
		fe_guest_disconnect(a->g);
		peer_start(r, a);
		duplex_check(r, a, b);
	}
}

static void r22_a_slot_is_answered_when_asked_and_not_else(struct rig *r, uint64_t format)
{
	const struct vu_mem_slot slot = {.region = region(MIB, PAGE, MIB, 0)};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (int i = 0; i < 20; i++) {
		a->g->conn.no_ack = i & 1;
		assert_int_equal(fe_conn_add_mem(&a->g->conn, &slot.region, fd), 0);
		peer_sync(a);
		assert_int_equal(fe_conn_rem_mem(&a->g->conn, &slot.region, -1), 0);
		peer_sync(a);
	}
	close(fd);
}

static void r23_a_region_may_be_any_part_of_its_file(struct rig *r, uint64_t format)
{
	const struct fe_region_config regions[] = {
		{.gpa = 0x100000, .size = 0x80000, .uva = 0x7000000000, .mmap_offset = 0x3000},
		{.gpa = 0x900000,
			.size = 0x180000,
			.uva = 0x7200000000,
			.mmap_offset = 0x200000,
			.same_file = true},
		{.gpa = 0x2000000, .size = 0x200000, .uva = 0x7400000000, .mmap_offset = 0x1000},
	};
	struct fe_guest_config c = guest_of_tables(format);
	struct peer *b, *a;

	c.regions = regions;
	c.nregions = RW_ARRAY_SIZE(regions);
	c.rx_bufs_at = regions[1].gpa;
	c.tx_bufs_at = regions[2].gpa;
	a = pair_up(r, &c, &b);
	duplex_check(r, a, b);
}

/* An offset within a page, and a length that is no number of pages. */
static void r23_a_region_need_not_begin_with_a_page(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (uint64_t odd = 1; odd < PAGE; odd *= 2) {
		const struct vu_mem_table t = {
			.nregions = 1, .regions = {region(MIB, PAGE + odd, MIB, odd)}};

		assert_int_equal(say_with(a, VU_SET_MEM_TABLE, &t, 40, fd, 1), SAID_YES);
	}
	close(fd);
}

/* Two regions that follow each other for the guest, and are of two files. */
static const struct fe_region_config adjacent[] = {
	{.gpa = 0x100000, .size = 0x100000, .uva = 0x7000000000},
	{.gpa = 0x200000, .size = 0x300000, .uva = 0x7000100000},
};

static struct fe_guest_config guest_of_adjacent(uint64_t format)
{
	struct fe_guest_config c = guest_of_tables(format);

	c.regions = adjacent;
	c.nregions = RW_ARRAY_SIZE(adjacent);
	c.tx_size = c.rx_size = 64;
	return c;
}

static const struct stream straddling = {
	.n = 200, .len = 1500, .cut = {.hdr_segs = 1, .data_segs = 3, .indirect = true}};

/* Pieces of one descriptor in guest memory and the rest outside: T1. */
static void cve_2018_1059_t1_a_buffer_past_the_end_of_a_region_is_dropped(
	struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_of_adjacent(format);
	struct peer *b, *a = pair_up(r, &c, &b);
	struct fe_queue *q = fe_guest_tx(a->g, 0);
	const uint64_t end = adjacent[1].gpa + adjacent[1].size;
	const struct fe_seg segs[] = {
		{end - 100, 101}, {end - 1, UINT32_MAX}, {end - 12, 1 << 20}, {end, 64}};

	for (size_t i = 0; i < RW_ARRAY_SIZE(segs); i++) {
		uint64_t before = rig_counter(r, "a", "rx", "drops.bad_address");
		struct fe_used u;

		assert_int_equal(
			fe_ring_add(&q->ring, &(struct fe_chain){.segs = &segs[i], .n_out = 1}), 0);
		fe_ring_publish(&q->ring);
		fe_queue_kick(q);
		rig_wait(r, !fe_ring_pop(&q->ring, &u));
		assert_int_equal(u.len, 0);
		rig_wait(r, rig_counter(r, "a", "rx", "drops.bad_address") == before + 1);
	}
	duplex_check(r, a, b);
}

/* Also R25. Every buffer lies across the border in turn: T2. */
static void cve_2018_1059_t2_buffers_across_two_regions_are_copied_whole(
	struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_adjacent(format);
	struct peer *b, *a;

	c.rx_bufs_at = adjacent[1].gpa - 32ull * 2048;
	for (uint64_t shift = 0; shift < 2048; shift += 100 * (uint64_t)r->slow) {
		c.tx_bufs_at = adjacent[1].gpa - 5000 - shift;
		a = pair_up(r, &c, &b);
		stream_check(r, a, b, &straddling);
		rig_clean((void **)&r);
	}
}

/* Also QEMU 293084a719: T3. */
static void cve_2018_1059_t3_indirect_tables_across_two_regions_are_read_whole(
	struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_adjacent(format);
	struct peer *b, *a;

	/* A table of 64 entries for each buffer, of 4 are used. */
	for (uint64_t shift = 0; shift < 4; shift++) {
		c.tables_at = adjacent[1].gpa - 64ull * 64 * 16 - 1024 * 8 - 16 * shift;
		a = pair_up(r, &c, &b);
		stream_check(r, a, b, &straddling);
		rig_clean((void **)&r);
	}
}

/* A ring across the border runs, one that leaves guest memory does not: T4. */
static void cve_2018_1059_t4_a_ring_past_the_end_of_memory_does_not_run(
	struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_of_adjacent(format);
	struct peer *b, *a;

	c.rings_at = adjacent[1].gpa - 512;
	c.rx_bufs_at = adjacent[1].gpa + 0x10000;
	a = pair_up(r, &c, &b);
	stream_check(r, a, b, &straddling);
	for (uint64_t left = 0; left < 1024; left += 112) {
		const uint64_t end = adjacent[1].uva + adjacent[1].size - left;
		const struct vu_vring_addr addr = {.index = 1,
			.desc = end & ~15ull,
			.avail = end & ~15ull,
			.used = end & ~15ull};
		const struct vu_vring_state num = {.index = 1, .num = 32768};

		assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
		assert_int_equal(say_with(a, VU_SET_VRING_NUM, &num, 8, -1, 0), SAID_YES);
		/* Refused at once, or with the part that makes the ring complete. */
		if (say_with(a, VU_SET_VRING_ADDR, &addr, sizeof(addr), -1, 0) == SAID_YES) {
			int err = fe_guest_ring_step(a->g, 1, FE_KICK);

			assert_true(err == -EREMOTEIO || err == -ECONNRESET);
		}
		negotiated_anew(r, a);
		run_rings(a);
	}
	duplex_check(r, a, b);
}

/* Also rust-vmm #173, CVE-2017-17381 and CVE-2026-50626. */
static void g07_ring_sizes_beyond_the_offer_and_0_are_refused(struct rig *r, uint64_t format)
{
	static const uint32_t sizes[] = {0, 32769, 65535, 0x10000, 0x10100, 0x80000000, 0xffffffff};
	const struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a = pair_up(r, &c, &b);

	assert_int_equal(fe_guest_stop_ring(a->g, 0, NULL), 0);
	for (size_t i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		const struct vu_vring_state num = {.index = 0, .num = sizes[i]};

		if (refused(r, a, VU_SET_VRING_NUM, &num, sizeof(num), -1))
			run_rings(a);
	}
	assert_int_equal(fe_guest_start_ring(a->g, 0), 0);
	duplex_check(r, a, b);
}

/* Sizes that change between stop and start. */
static void qemu_3882_a_ring_may_shrink_and_grow_between_stop_and_start(
	struct rig *r, uint64_t format)
{
	static const uint16_t sizes[] = {256, 4, 64, 1, 256, 2, 128, 256};
	struct fe_guest_config c = guest_of_all(format);
	struct peer *b, *a;

	c.features |= FE_BIT(VIRTIO_F_IN_ORDER);
	c.features &= ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	a = pair_up(r, &c, &b);
	for (size_t i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		const struct stream s = {.n = 20, .len = 300, .window = 1};

		for (uint32_t k = 0; k < 2; k++)
			assert_int_equal(fe_guest_stop_ring(a->g, k, NULL), 0);
		a->g->config.tx_size = a->g->config.rx_size = sizes[i];
		fe_guest_rx(a->g, 0)->bufs.posted = sizes[i];
		run_rings(a);
		stream_check(r, a, b, &s);
	}
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK(cve_2026_86561_a_region_that_its_file_does_not_have_is_refused),
		ATTACK_BOTH(r17_a_region_whose_file_cannot_be_mapped_leaves_nothing),
		ATTACK(g04_overlapping_and_wrapping_regions_are_refused),
		ATTACK(r15_region_counts_are_checked),
		ATTACK_BOTH(r18_the_same_table_again_moves_nothing),
		ATTACK_BOTH(r19_another_table_under_running_rings_translates_them_anew),
		ATTACK_BOTH(r20_addresses_before_there_is_memory_are_refused),
		ATTACK(r21_slots_end_and_unknown_ones_are_refused),
		ATTACK_BOTH(r21_a_region_with_a_running_ring_goes_and_comes),
		ATTACK(r22_a_slot_is_answered_when_asked_and_not_else),
		ATTACK_BOTH(r23_a_region_may_be_any_part_of_its_file),
		ATTACK(r23_a_region_need_not_begin_with_a_page),
		ATTACK_BOTH(cve_2018_1059_t1_a_buffer_past_the_end_of_a_region_is_dropped),
		ATTACK_BOTH(cve_2018_1059_t2_buffers_across_two_regions_are_copied_whole),
		ATTACK_BOTH(cve_2018_1059_t3_indirect_tables_across_two_regions_are_read_whole),
		ATTACK_BOTH(cve_2018_1059_t4_a_ring_past_the_end_of_memory_does_not_run),
		ATTACK_BOTH(g07_ring_sizes_beyond_the_offer_and_0_are_refused),
		ATTACK_BOTH(qemu_3882_a_ring_may_shrink_and_grow_between_stop_and_start),
	};

	return hostile_main("hostile_memory", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
