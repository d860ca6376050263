/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that comes and goes by slots (CONFIGURE_MEM_SLOTS). */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

#define MIB   (1ull << 20)
#define SLOTS 509
#define BASE  0x40000000ull
#define UVA   0x7f0000000000ull
/* Far away from everything else. */
#define FAR     0x1000000000ull
#define FAR_UVA 0x1234567000ull

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

static const uint64_t formats[] = {0, PACKED};

static struct fe_guest_config by_slots(uint64_t features)
{
	struct fe_guest_config c = guest_usual();

	c.features |= features;
	c.protocol_features |= FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS);
	return c;
}

/* As many regions as there are slots, one behind the other: everything straddles their borders. */
static void regions_make(struct fe_region_config r[SLOTS])
{
	const uint64_t size = 4 * FE_PAGE;
	uint64_t i;

	for (i = 0; i < SLOTS; i++)
		r[i] = (struct fe_region_config){.gpa = BASE + i * size,
			.size = size,
			.uva = UVA + i * size,
			.mmap_offset = i % 5 * FE_PAGE};
}

/* Whether one region more is taken: two pages, seen by the device at `gpa`. */
static int add_at(struct peer *p, uint64_t gpa, uint64_t uva)
{
	const struct vu_mem_region region = {.gpa = gpa, .size = 2 * FE_PAGE, .uva = uva};
	int fd = memfd_create("slot", MFD_CLOEXEC), err;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 2 * FE_PAGE), 0);
	err = fe_conn_add_mem(&p->g->conn, &region, fd);
	close(fd);
	return err;
}

static int remove_at(struct peer *p, uint64_t gpa, uint64_t uva, uint64_t size)
{
	const struct vu_mem_region region = {.gpa = gpa, .size = size, .uva = uva};

	return fe_conn_rem_mem(&p->g->conn, &region, -1);
}

static void all_buffers_are_used(struct rig *r, struct peer *a, struct peer *b)
{
	const struct stream s = {.n = 600, .len = 1400, .cut = {.hdr_segs = 1, .data_segs = 3}};

	stream_check(r, a, b, &s);
	stream_check(r, b, a, &s);
}

static void every_slot_can_be_used(void **state)
{
	static struct fe_region_config regions[SLOTS];
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t f;

	regions_make(regions);
	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c = by_slots(formats[f]);
		b = peer_up(*state, "b", &c);
		c.regions = regions;
		c.nregions = SLOTS;
		a = peer_up(*state, "a", &c);
		assert_int_equal(a->g->max_slots, SLOTS);
		all_buffers_are_used(*state, a, b);
		/* Not one more, unless one goes. */
		assert_int_equal(add_at(a, FAR, FAR_UVA), -EREMOTEIO);
		assert_int_equal(fe_guest_remove_region(a->g, SLOTS - 1), 0);
		assert_int_equal(add_at(a, FAR, FAR_UVA), 0);
		assert_int_equal(add_at(a, 2 * FAR, 2 * FAR_UVA), -EREMOTEIO);
		all_buffers_are_used(*state, a, b);
		rig_clean(state);
	}
}

static void every_slot_can_be_used_behind_an_iommu(void **state)
{
	static struct fe_region_config regions[SLOTS];
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t f;

	regions_make(regions);
	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c = by_slots(formats[f]);
		b = peer_up(*state, "b", &c);
		c.regions = regions;
		c.nregions = SLOTS;
		c.features |= FE_BIT(VIRTIO_F_ACCESS_PLATFORM);
		c.protocol_features |= FE_BIT(VU_PF_BACKEND_REQ);
		c.iommu = (struct fe_iommu_config){.mode = FE_IOMMU_STATIC, .scatter = true};
		a = peer_up(*state, "a", &c);
		all_buffers_are_used(*state, a, b);
		assert_true(a->g->channel.misses > 0);
		rig_clean(state);
	}
}

static void overlapping_regions_are_refused(void **state)
{
	const struct fe_guest_config c = by_slots(0);
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", &c);
	const struct fe_region_config *r = &a->g->mem.regions[0].c;
	const uint64_t page = FE_PAGE, ends = 0ull - page;

	/* Its guest-physical addresses, the front-end's, or both are taken, in part or whole. */
	assert_int_equal(add_at(a, r->gpa, FAR_UVA), -EREMOTEIO);
	assert_int_equal(add_at(a, r->gpa - page, FAR_UVA), -EREMOTEIO);
	assert_int_equal(add_at(a, r->gpa + r->size - page, FAR_UVA), -EREMOTEIO);
	assert_int_equal(add_at(a, FAR, r->uva), -EREMOTEIO);
	assert_int_equal(add_at(a, FAR, r->uva - page), -EREMOTEIO);
	assert_int_equal(add_at(a, FAR, r->uva + r->size - page), -EREMOTEIO);
	assert_int_equal(add_at(a, r->gpa, r->uva), -EREMOTEIO);
	/* They wrap. */
	assert_int_equal(add_at(a, ends, FAR_UVA), -EREMOTEIO);
	assert_int_equal(add_at(a, FAR, ends), -EREMOTEIO);
	/* Next to it there is room. */
	assert_int_equal(add_at(a, r->gpa + r->size, r->uva + r->size), 0);
	assert_int_equal(add_at(a, r->gpa - 2 * page, r->uva - 2 * page), 0);
	assert_int_equal(add_at(a, r->gpa + r->size, r->uva + r->size), -EREMOTEIO);
	duplex_check(*state, a, b);
}

static void a_region_is_removed_by_what_it_is(void **state)
{
	const struct fe_guest_config c = by_slots(0);
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", &c);
	const uint64_t size = 2 * FE_PAGE;
	const struct vu_mem_region region = {
		.gpa = FAR, .size = size, .uva = FAR_UVA, .mmap_offset = 0x123456};

	assert_int_equal(remove_at(a, FAR, FAR_UVA, size), -EREMOTEIO);
	assert_int_equal(add_at(a, FAR, FAR_UVA), 0);
	assert_int_equal(remove_at(a, FAR + FE_PAGE, FAR_UVA, size), -EREMOTEIO);
	assert_int_equal(remove_at(a, FAR, FAR_UVA + FE_PAGE, size), -EREMOTEIO);
	assert_int_equal(remove_at(a, FAR, FAR_UVA, FE_PAGE), -EREMOTEIO);
	assert_int_equal(remove_at(a, FAR, FAR_UVA, size), 0);
	assert_int_equal(remove_at(a, FAR, FAR_UVA, size), -EREMOTEIO);
	/* Where it was in its file does not matter; a descriptor is tolerated. */
	assert_int_equal(add_at(a, FAR, FAR_UVA), 0);
	assert_int_equal(fe_conn_rem_mem(&a->g->conn, &region, a->g->queues[0].err_fd), 0);
	duplex_check(*state, a, b);
}

static void a_message_that_is_wrong_is_refused(void **state)
{
	const struct fe_guest_config c = by_slots(0);
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	const struct vu_mem_slot slot = {
		.region = {.gpa = FAR, .size = 2 * FE_PAGE, .uva = FAR_UVA}};
	uint8_t payload[sizeof(slot) + 8] = {0};
	struct fe_raw raw = {.request = VU_ADD_MEM_REG, .payload = payload};
	struct vu_mem_region beyond = slot.region;
	int fds[2] = {memfd_create("slot", MFD_CLOEXEC), a->g->queues[0].err_fd};

	assert_true(fds[0] >= 0);
	assert_int_equal(ftruncate(fds[0], 2 * FE_PAGE), 0);
	memcpy(payload, &slot, sizeof(slot));
	raw.len = sizeof(slot);
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	raw.fds = fds;
	raw.nfds = 2;
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	raw.nfds = 1;
	raw.len = sizeof(slot) - 8;
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	raw.len = sizeof(slot) + 8;
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), -EREMOTEIO);
	/* No memory at all, and less than it says. */
	assert_int_equal(fe_conn_add_mem(&a->g->conn, &beyond, fds[1]), -EREMOTEIO);
	beyond.mmap_offset = FE_PAGE;
	assert_int_equal(fe_conn_add_mem(&a->g->conn, &beyond, fds[0]), -EREMOTEIO);
	beyond.mmap_offset = 0;
	beyond.size = 0;
	assert_int_equal(fe_conn_add_mem(&a->g->conn, &beyond, fds[0]), -EREMOTEIO);
	raw.len = sizeof(slot);
	assert_int_equal(fe_conn_raw(&a->g->conn, &raw, NULL), 0);
	close(fds[0]);
	/* Nor do the messages exist without the feature. */
	assert_int_equal(add_at(b, FAR, FAR_UVA), -EREMOTEIO);
	assert_int_equal(remove_at(b, FAR, FAR_UVA, 2 * FE_PAGE), -EREMOTEIO);
	duplex_check(*state, a, b);
}

/* A guest whose buffers of one kind are in a region of their own, the second one. */
static struct fe_guest_config in_two(uint64_t features, bool rx)
{
	static const struct fe_region_config two[] = {
		{.gpa = BASE, .size = 8 * MIB, .uva = UVA},
		{.gpa = FAR, .size = 8 * MIB, .uva = FAR_UVA, .mmap_offset = FE_PAGE},
	};
	struct fe_guest_config c = by_slots(features);

	c.regions = two;
	c.nregions = 2;
	c.rings_at = BASE;
	c.rx_bufs_at = rx ? FAR : BASE + 1 * MIB;
	c.tx_bufs_at = rx ? BASE + 1 * MIB : FAR;
	c.tables_at = BASE + 6 * MIB;
	return c;
}

/* The second region comes or goes, for the back-end; to the guest it is there all the time. */
static void second_region(struct peer *p, bool there)
{
	struct vu_mem_region wire = fe_mem_wire(&p->g->mem, 1);

	if (there)
		assert_int_equal(fe_conn_add_mem(&p->g->conn, &wire, p->g->mem.regions[1].fd), 0);
	else
		assert_int_equal(fe_conn_rem_mem(&p->g->conn, &wire, -1), 0);
}

static void memory_is_added_while_frames_flow(void **state)
{
	const struct stream s = {.n = 300, .len = 1000};
	struct fe_guest_config c;
	struct peer *a, *b;
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		b = peer_up(*state, "b", NULL);
		c = in_two(formats[f], false);
		a = peer_new(*state, "a", &c);
		a->g->mem.regions[1].shared = true; /* not to be told yet */
		peer_connect(*state, a);
		a->g->mem.regions[1].shared = true;
		assert_int_equal(fe_guest_start(a->g), 0);
		stream_check(*state, b, a, &s);
		second_region(a, true);
		stream_check(*state, b, a, &s);
		stream_check(*state, a, b, &s);
		rig_clean(state);
	}
}

static void buffers_in_a_region_that_has_gone_are_dropped(void **state)
{
	const struct stream s = {.n = 100, .len = 1000};
	struct fe_guest_config c;
	struct peer *a, *b;
	uint64_t bad;
	uint32_t i;
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		b = peer_up(*state, "b", NULL);
		c = in_two(formats[f], false);
		a = peer_up(*state, "a", &c);
		for (i = 0; i < 3; i++) {
			stream_check(*state, a, b, &s);
			bad = rig_counter(*state, "a", "rx", "drops.bad_address");
			second_region(a, false);
			peer_send_to(*state, a, b->mac, 1000, 1);
			peer_send_to(*state, a, b->mac, 1000, 2);
			rig_wait(*state,
				rig_counter(*state, "a", "rx", "drops.bad_address") == bad + 2);
			/* They come back; what does not lie there goes on. */
			rig_wait(*state,
				fe_guest_reap(a->g, 0) >= 0 &&
					!fe_guest_tx(a->g, 0)->ring.in_flight);
			stream_check(*state, b, a, &s);
			second_region(a, true);
		}
		stream_check(*state, a, b, &s);
		assert_int_equal(rig_port_info(*state, "a", "broken_rings"), 0);
		rig_clean(state);
	}
}

static void frames_for_buffers_that_have_gone_are_dropped(void **state)
{
	const struct stream s = {.n = 100, .len = 1000};
	struct fe_guest_config c;
	struct peer *a, *b, *z;
	uint64_t bad;
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		z = peer_up(*state, "c", NULL);
		b = peer_up(*state, "b", NULL);
		peers_meet(*state, b, z);
		c = in_two(formats[f], true);
		a = peer_up(*state, "a", &c);
		peers_meet(*state, a, b);
		bad = rig_counter(*state, "a", "tx", "drops.bad_address");
		second_region(a, false);
		peer_send_to(*state, b, a->mac, 1000, 1);
		rig_wait(*state, rig_counter(*state, "a", "tx", "drops.bad_address") > bad);
		/* a can still send, and others do not notice. */
		stream_check(*state, a, b, &s);
		stream_check(*state, b, z, &s);
		assert_int_equal(rig_port_info(*state, "a", "broken_rings"), 0);
		peer_down(*state, a);
		peer_start(*state, a);
		duplex_check(*state, a, b);
		rig_clean(state);
	}
}

static void rings_in_a_region_that_has_gone_rest(void **state)
{
	struct fe_guest_config c;
	struct peer *a, *b, *z;
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		z = peer_up(*state, "c", NULL);
		b = peer_up(*state, "b", NULL);
		c = in_two(formats[f], false);
		c.rings_at = FAR;
		c.tx_bufs_at = FAR + MIB;
		a = peer_up(*state, "a", &c);
		peers_meet(*state, a, b);
		/* The rings cannot run, whatever the front-end is told about it. */
		remove_at(a, FAR, FAR_UVA, 8 * MIB);
		peer_sync(a);
		assert_int_equal(rig_port_info(*state, "a", "link"), 0);
		duplex_check(*state, b, z);
		/* With their memory they come back, where they were. */
		second_region(a, true);
		duplex_check(*state, a, b);
		rig_clean(state);
	}
}

static void slots_and_tables_mix(void **state)
{
	const struct fe_guest_config c = in_two(0, false);
	struct peer *a = peer_up(*state, "a", &c), *b = peer_up(*state, "b", NULL);
	int fds[FE_MAX_REGIONS];
	struct vu_mem_table table;
	uint32_t i;

	fe_mem_table(&a->g->mem, &table, fds);
	for (i = 0; i < 10; i++) {
		/* A table takes the place of all slots: the first of its regions, then both. */
		table.nregions = 1;
		assert_int_equal(fe_conn_set_mem(&a->g->conn, &table, fds), 0);
		assert_int_equal(remove_at(a, FAR, FAR_UVA, 8 * MIB), -EREMOTEIO);
		second_region(a, true);
		duplex_check(*state, a, b);
		assert_int_equal(add_at(a, 2 * FAR, 2 * FAR_UVA), 0);
		table.nregions = 2;
		assert_int_equal(fe_conn_set_mem(&a->g->conn, &table, fds), 0);
		duplex_check(*state, a, b);
		assert_int_equal(remove_at(a, 2 * FAR, 2 * FAR_UVA, 2 * FE_PAGE), -EREMOTEIO);
		second_region(a, false);
		second_region(a, true);
		duplex_check(*state, a, b);
	}
}

static void regions_come_and_go_under_full_load(void **state)
{
	const struct stream s = {.n = 50, .len = 1400, .window = 32};
	struct fe_guest_config c;
	struct peer *a, *b;
	uint32_t i;
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c = by_slots(formats[f]);
		a = peer_up(*state, "a", &c);
		b = peer_up(*state, "b", &c);
		for (i = 0; i < 30 / (uint32_t)rig.slow + 3; i++) {
			assert_int_equal(add_at(a, FAR, FAR_UVA), 0);
			stream_check(*state, a, b, &s);
			assert_int_equal(add_at(b, FAR, FAR_UVA), 0);
			stream_check(*state, b, a, &s);
			assert_int_equal(remove_at(a, FAR, FAR_UVA, 2 * FE_PAGE), 0);
			stream_check(*state, a, b, &s);
			assert_int_equal(remove_at(b, FAR, FAR_UVA, 2 * FE_PAGE), 0);
		}
		rig_clean(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(every_slot_can_be_used),
		rig_test(every_slot_can_be_used_behind_an_iommu),
		rig_test(overlapping_regions_are_refused),
		rig_test(a_region_is_removed_by_what_it_is),
		rig_test(a_message_that_is_wrong_is_refused),
		rig_test(memory_is_added_while_frames_flow),
		rig_test(buffers_in_a_region_that_has_gone_are_dropped),
		rig_test(frames_for_buffers_that_have_gone_are_dropped),
		rig_test(rings_in_a_region_that_has_gone_rest),
		rig_test(slots_and_tables_mix),
		rig_test(regions_come_and_go_under_full_load),
	};

	return cmocka_run_group_tests_name("slots", tests, start, rig_stop);
}
