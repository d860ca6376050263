/* SPDX-License-Identifier: BSD-3-Clause */
/* GPA_ADDRESSES: a front-end that keeps its own addresses to itself. */
#include <errno.h>
#include <string.h>

#include "harness.h"

#define MIB (1ull << 20)
#define FAR 0x1000000000ull

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

static const uint64_t formats[] = {0, PACKED};

/* Three regions whose user addresses are all the same nonsense, as they may be. */
static struct fe_guest_config by_gpa(uint64_t features, uint64_t protocol)
{
	static const struct fe_region_config regions[] = {
		{.gpa = 0x40000000, .size = 2 * MIB, .uva = 0xdeadbeef000},
		{.gpa = 0x40000000 + 2 * MIB,
			.size = 2 * MIB,
			.uva = 0xdeadbeef000,
			.mmap_offset = 3 * FE_PAGE},
		{.gpa = FAR, .size = 4 * MIB, .uva = 0xdeadbeef000},
	};
	struct fe_guest_config c = guest_usual();

	c.regions = regions;
	c.nregions = RW_ARRAY_SIZE(regions);
	c.features |= features;
	c.protocol_features |= FE_BIT(VU_PF_GPA_ADDRESSES) | protocol;
	/* Rings, and some of the buffers, lie across the border of two regions. */
	c.rings_at = 0x40000000 + 2 * MIB - 8192;
	return c;
}

static void works(struct rig *r, const struct fe_guest_config *c)
{
	const struct stream s = {
		.n = 600, .len = 1400, .cut = {.hdr_segs = 1, .data_segs = 3, .indirect = true}};
	struct peer *b = peer_up(r, "b", NULL), *a = peer_up(r, "a", c);

	stream_check(r, a, b, &s);
	stream_check(r, b, a, &s);
	rig_clean((void **)&r);
}

static void rings_are_found_by_guest_physical_addresses(void **state)
{
	struct fe_guest_config c;
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c = by_gpa(formats[f], 0);
		works(*state, &c);
		c = by_gpa(formats[f], FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS));
		works(*state, &c);
	}
}

static void translations_lead_to_guest_physical_addresses(void **state)
{
	struct fe_guest_config c;
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c = by_gpa(formats[f] | FE_BIT(VIRTIO_F_ACCESS_PLATFORM),
			FE_BIT(VU_PF_BACKEND_REQ) | FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS));
		c.iommu = (struct fe_iommu_config){.mode = FE_IOMMU_STATIC, .scatter = true};
		works(*state, &c);
	}
}

static void user_addresses_are_not_looked_at(void **state)
{
	const struct fe_guest_config c = by_gpa(0, FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS));
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	struct fe_guest *g = a->g;
	struct fe_conn *conn = &g->conn;
	struct vu_mem_region wire;
	struct vu_vring_addr addr = {.index = 1};

	/* In a ring's address. */
	addr.desc = addr.avail = addr.used = g->mem.regions[0].c.uva;
	assert_int_equal(fe_conn_set_ring_addr(conn, &addr), -EREMOTEIO);
	duplex_check(*state, a, b);
	/* In a region that goes and comes back while frames flow. */
	assert_int_equal(fe_guest_add_region(g,
				 &(struct fe_region_config){.gpa = 2 * FAR, .size = MIB, .uva = 1}),
		0);
	wire = fe_mem_wire(&g->mem, 3);
	duplex_check(*state, a, b);
	wire.uva = UINT64_MAX;
	assert_int_equal(fe_conn_rem_mem(conn, &wire, -1), 0);
	wire.uva = 0x40000000;
	assert_int_equal(fe_conn_add_mem(conn, &wire, g->mem.regions[3].fd), 0);
	duplex_check(*state, a, b);
	/* Guest-physical ones must not overlap, nor wrap. */
	wire.gpa = g->mem.regions[0].c.gpa;
	assert_int_equal(fe_conn_add_mem(conn, &wire, g->mem.regions[3].fd), -EREMOTEIO);
	wire.gpa = 0ull - FE_PAGE;
	assert_int_equal(fe_conn_add_mem(conn, &wire, g->mem.regions[3].fd), -EREMOTEIO);
	duplex_check(*state, a, b);
}

static void a_ring_outside_the_memory_is_refused(void **state)
{
	const struct fe_guest_config c = by_gpa(0, 0);
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	const uint64_t end = FAR + 4 * MIB;
	const uint64_t bad[] = {0, 0x40000000 - 4096, end, end - 64, UINT64_MAX & ~63ull};
	struct vu_vring_addr addr = {.index = 1};
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		addr.desc = addr.avail = addr.used = bad[i];
		assert_int_equal(fe_conn_set_ring_addr(&a->g->conn, &addr), -EREMOTEIO);
	}
	/* The front-end says again what is right. */
	assert_int_equal(fe_guest_stop_ring(a->g, 1, NULL), 0);
	assert_int_equal(fe_guest_start_ring(a->g, 1), 0);
	duplex_check(*state, a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(rings_are_found_by_guest_physical_addresses),
		rig_test(translations_lead_to_guest_physical_addresses),
		rig_test(user_addresses_are_not_looked_at),
		rig_test(a_ring_outside_the_memory_is_refused),
	};

	return cmocka_run_group_tests_name("gpa", tests, start, rig_stop);
}
