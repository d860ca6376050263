/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory in regions: offsets, borders in the middle of things, huge pages, changes. */
#include "harness.h"

#include <errno.h>
#include <string.h>

#define MIB (1ull << 20)

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

/*
 * Two files, adjacent for the guest and the front-end; the border is at BORDER. A third region far
 * away takes what is not to straddle it.
 */
#define BORDER (0x40000000ull + 4 * MIB)
#define FAR    0x100000000ull

static const struct fe_region_config regions[] = {
	{.gpa = BORDER - 4 * MIB, .size = 4 * MIB, .uva = 0x7f0000000000, .mmap_offset = 0},
	{.gpa = BORDER, .size = 4 * MIB, .uva = 0x7f0000000000 + 4 * MIB, .mmap_offset = 12288},
	{.gpa = FAR, .size = 16 * MIB, .uva = 0x1000, .mmap_offset = 4096},
};

static struct fe_guest_config in_regions(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features |= features;
	c.regions = regions;
	c.nregions = RW_ARRAY_SIZE(regions);
	return c;
}

/* All that a guest with this memory can send and receive. */
static void works(struct rig *r, const struct fe_guest_config *c)
{
	static const struct fe_cut cuts[] = {{0, 1, false}, {1, 5, false}, {1, 9, true}};
	struct peer *a = peer_up(r, "a", c);
	struct peer *b = peer_up(r, "b", c);
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(cuts); i++) {
		/* More than there are buffers, so that each is used. */
		const struct stream s = {.n = 300, .len = 1400, .cut = cuts[i]};

		stream_check(r, a, b, &s);
		stream_check(r, b, a, &s);
	}
	rig_clean((void **)&(struct rig *){r});
}

static void a_split_ring_may_straddle_two_regions(void **state)
{
	struct fe_guest_config c = in_regions(0);
	uint64_t at;

	c.tx_bufs_at = c.rx_bufs_at = FAR;
	c.rx_bufs_at = FAR + 4 * MIB;
	c.tables_at = FAR + 12 * MIB;
	/* The border in the descriptor table, the available ring and the used ring in turn. */
	for (at = BORDER - 8192; at < BORDER; at += 256 * 6) {
		c.rings_at = at;
		works(*state, &c);
	}
}

static void a_packed_ring_may_straddle_two_regions(void **state)
{
	struct fe_guest_config c = in_regions(PACKED);

	c.tx_bufs_at = FAR;
	c.rx_bufs_at = FAR + 4 * MIB;
	c.tables_at = FAR + 12 * MIB;
	c.rings_at = BORDER - 2048;
	works(*state, &c);
	c.rings_at = BORDER - 6784 - 2048;
	works(*state, &c);
}

static void buffers_may_straddle_two_regions(void **state)
{
	struct fe_guest_config c = in_regions(0);
	uint64_t at;

	c.rings_at = FAR;
	c.tables_at = FAR + 12 * MIB;
	for (at = BORDER - 200000; at < BORDER - 190000; at += 1201) {
		c.features ^= PACKED;
		c.tx_bufs_at = FAR + 4 * MIB;
		c.rx_bufs_at = at & ~63ull;
		works(*state, &c);
		c.rx_bufs_at = FAR + 4 * MIB;
		c.tx_bufs_at = at & ~63ull;
		works(*state, &c);
	}
}

static void indirect_tables_may_straddle_two_regions(void **state)
{
	struct fe_guest_config c = in_regions(0);
	uint32_t back;

	c.rings_at = FAR;
	c.rx_bufs_at = FAR + 1 * MIB;
	c.tx_bufs_at = FAR + 8 * MIB;
	c.rx_cut = (struct fe_cut){.hdr_segs = 1, .data_segs = 4, .indirect = true};
	for (back = 0; back < 1024; back += 16 * 5) {
		c.features ^= PACKED;
		/*
		 * A table for each of 256 buffers, first the receive queue's: one is at the border.
		 */
		c.tables_at = BORDER - (back & 16 ? 100 : 300) * 1024 - back;
		works(*state, &c);
	}
}

static void regions_of_one_file_are_told_apart_by_their_offsets(void **state)
{
	const struct fe_region_config same[] = {
		{.gpa = 0, .size = 2 * MIB, .uva = 0x500000000000, .mmap_offset = 8 * MIB},
		{.gpa = FAR, .size = 8 * MIB, .uva = 0x500010000000, .same_file = true},
	};
	struct fe_guest_config c = guest_usual();

	c.regions = same;
	c.nregions = 2;
	c.rings_at = 64;
	c.tx_bufs_at = FAR;
	works(*state, &c);
	c.features |= PACKED;
	works(*state, &c);
}

static void eight_regions_are_used(void **state)
{
	struct fe_region_config r[8];
	struct fe_guest_config c = guest_usual();
	int i;

	/* From high to low addresses in the table; each buffer pool crosses several. */
	for (i = 0; i < 8; i++)
		r[i] = (struct fe_region_config){.gpa = 0x80000000 + (uint64_t)i * MIB,
			.size = MIB,
			.uva = 0x7f0000000000 + (uint64_t)i * MIB,
			.mmap_offset = (uint64_t)i * 4096};
	c.regions = r;
	c.nregions = 8;
	works(*state, &c);
}

static void huge_pages_back_a_guest(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct fe_guest *probe;
	int err;

	c.hugetlb = true;
	err = fe_guest_new(&c, &probe);
	if (err == -ENOMEM) {
		print_message("no huge pages are free: echo 32 > /proc/sys/vm/nr_hugepages\n");
		skip();
	}
	assert_int_equal(err, 0);
	fe_guest_free(probe);
	works(*state, &c);
	c.features |= PACKED;
	works(*state, &c);
}

static void a_ring_outside_the_memory_is_refused(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	struct fe_region *last = &a->g->mem.regions[a->g->mem.nregions - 1];
	struct vu_vring_addr addr = {.index = 1};
	struct fe_conn *c = &a->g->conn;

	addr.desc = addr.avail = addr.used = last->c.uva + last->c.size;
	assert_int_equal(fe_conn_set_ring_addr(c, &addr), -EREMOTEIO);
	addr.desc = addr.avail = addr.used = 0;
	assert_int_equal(fe_conn_set_ring_addr(c, &addr), -EREMOTEIO);
	/* Begins inside, ends outside. */
	addr.desc = addr.avail = addr.used = last->c.uva + last->c.size - 64;
	assert_int_equal(fe_conn_set_ring_addr(c, &addr), -EREMOTEIO);
	/* The ring keeps the address it had: it can be stopped, started and used. */
	assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
	assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
	duplex_check(*state, a, b);
}

static void a_bad_memory_table_is_refused_and_the_old_one_stays(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL);
	struct peer *b = peer_up(*state, "b", NULL);
	struct vu_mem_table good, bad;
	int fds[FE_MAX_REGIONS];
	struct fe_conn *c = &a->g->conn;
	int i;

	fe_mem_table(&a->g->mem, &good, fds);
	for (i = 0; i < 6; i++) {
		struct vu_mem_region *r = &bad.regions[0];

		bad = good;
		switch (i) {
		case 0:
			r->size = 0;
			break;
		case 1:
			r->size += 1ull << 40; /* beyond the file's end */
			break;
		case 2:
			r->mmap_offset = 4096;
			break;
		case 3:
			r->mmap_offset = ~4095ull;
			break;
		case 4:
			r->gpa = ~0ull - 4096;
			break;
		case 5:
			bad.nregions = 2; /* the same twice */
			bad.regions[1] = bad.regions[0];
			fds[1] = fds[0];
			break;
		}
		if (fe_conn_set_mem(c, &bad, fds) != -EREMOTEIO)
			fail_msg("table %d was accepted", i);
		duplex_check(*state, a, b);
	}
}

static void memory_may_be_added_while_frames_flow(void **state)
{
	const struct fe_region_config two[] = {
		{.gpa = 0x40000000, .size = 4 * MIB, .uva = 0x7f0000000000},
		{.gpa = FAR, .size = 4 * MIB, .uva = 0x7f0000000000 + 64 * MIB},
	};
	struct fe_guest_config c = guest_usual();
	struct peer *a, *b = peer_up(*state, "b", NULL);
	struct vu_mem_table table;
	int fds[FE_MAX_REGIONS];
	uint32_t i;

	c.regions = two;
	c.nregions = 2;
	a = peer_up(*state, "a", &c);
	fe_mem_table(&a->g->mem, &table, fds);
	for (i = 0; i < 50; i++) {
		/* The second region holds nothing that is in use: it comes and goes. */
		table.nregions = 1 + i % 2;
		assert_int_equal(fe_conn_set_mem(&a->g->conn, &table, fds), 0);
		duplex_check(*state, a, b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_split_ring_may_straddle_two_regions),
		rig_test(a_packed_ring_may_straddle_two_regions),
		rig_test(buffers_may_straddle_two_regions),
		rig_test(indirect_tables_may_straddle_two_regions),
		rig_test(regions_of_one_file_are_told_apart_by_their_offsets),
		rig_test(eight_regions_are_used),
		rig_test(huge_pages_back_a_guest),
		rig_test(a_ring_outside_the_memory_is_refused),
		rig_test(a_bad_memory_table_is_refused_and_the_old_one_stays),
		rig_test(memory_may_be_added_while_frames_flow),
	};

	return cmocka_run_group_tests_name("memory", tests, start, rig_stop);
}
