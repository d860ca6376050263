/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests behind an IOMMU: entries that lie, questions without answers, pages that go. */
#include "say.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "traffic.h"

#define MIB  (1ull << 20)
#define PAGE 4096ull

static struct fe_guest_config guest_translated(uint64_t format, enum fe_iommu_mode mode)
{
	struct fe_guest_config c = guest_behind(mode, false);

	c.features |= format;
	return c;
}

static struct peer *pair_linked(struct rig *r, const struct fe_guest_config *c, struct peer **b)
{
	struct fe_guest_config plain = guest_usual();
	struct peer *a = peer_up_linked(r, "a", c);

	*b = peer_up_linked(r, "b", &plain);
	peers_meet(r, a, *b);
	return a;
}

/* Updates and invalidations of nonsense. */
static void r36_entries_that_make_no_sense_are_refused(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_translated(format, FE_IOMMU_STATIC);
	struct peer *b, *a = pair_linked(r, &c, &b);
	const uint64_t uva = a->g->mem.regions[0].c.uva;
	const struct vu_iotlb bad[] = {
		{.iova = MIB, .size = 0, .uaddr = uva, .perm = 3, .type = VU_IOTLB_UPDATE},
		{.iova = UINT64_MAX,
			.size = PAGE,
			.uaddr = uva,
			.perm = 3,
			.type = VU_IOTLB_UPDATE},
		{.iova = MIB, .size = UINT64_MAX, .uaddr = uva, .perm = 3, .type = VU_IOTLB_UPDATE},
		{.iova = MIB, .size = PAGE, .uaddr = uva, .perm = 0, .type = VU_IOTLB_UPDATE},
		{.iova = MIB, .size = PAGE, .uaddr = uva, .perm = 0xfc, .type = VU_IOTLB_UPDATE},
		{.iova = MIB, .size = PAGE, .uaddr = uva, .perm = 3, .type = 0},
		{.iova = MIB, .size = PAGE, .uaddr = uva, .perm = 3, .type = VU_IOTLB_MISS},
		{.iova = MIB, .size = PAGE, .uaddr = uva, .perm = 3, .type = 0xff},
	};

	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++)
		if (!fe_conn_iotlb(&a->g->conn, &bad[i]))
			fail_msg("entry %zu was not refused", i);
	duplex_check(r, a, b);
}

/* Entries that name no memory, or some that ends too early, give no access to anything. */
static void r36_entries_without_memory_give_no_access(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_translated(format, FE_IOMMU_STATIC);
	struct peer *b, *a = pair_linked(r, &c, &b);
	const uint64_t uva = a->g->mem.regions[0].c.uva;
	const uint64_t end = uva + a->g->mem.regions[0].c.size;
	const uint64_t uaddrs[] = {end, end - PAGE, end - 1, uva - PAGE, 0, UINT64_MAX,
		UINT64_MAX - 2 * PAGE + 1, (uint64_t)(uintptr_t)a};
	struct fe_queue *q = fe_guest_tx(a->g, 0);

	for (size_t i = 0; i < RW_ARRAY_SIZE(uaddrs); i++) {
		const uint64_t iova = (1ull << 41) + i * MIB;
		const struct vu_iotlb e = {.iova = iova,
			.size = 2 * PAGE,
			.uaddr = uaddrs[i],
			.perm = 3,
			.type = VU_IOTLB_UPDATE};
		const struct fe_seg seg = {iova, 2 * PAGE};
		uint64_t before = rig_counter(r, "a", "rx", "drops.bad_address");
		struct fe_used u;
		int err = fe_conn_iotlb(&a->g->conn, &e);

		assert_true(!err || err == -EREMOTEIO);
		peer_rest(r, a);
		assert_int_equal(
			fe_ring_add(&q->ring, &(struct fe_chain){.segs = &seg, .n_out = 1}), 0);
		fe_ring_publish(&q->ring);
		fe_queue_kick(q);
		rig_wait(r, (peers_service(r), !fe_ring_pop(&q->ring, &u)));
		rig_wait(r, rig_counter(r, "a", "rx", "drops.bad_address") == before + 1);
	}
	duplex_check(r, a, b);
}

/* More entries than anybody needs: each a page, none beside another. */
static void r36_entries_without_end_are_bounded(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_translated(format, FE_IOMMU_STATIC);
	struct peer *b, *a = pair_linked(r, &c, &b);
	const uint64_t uva = a->g->mem.regions[0].c.uva;
	uint32_t n = (rig_is_long() ? 200000 : 8000) / (uint32_t)r->slow, taken = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct vu_iotlb e = {.iova = (1ull << 40) + 2 * i * PAGE,
			.size = PAGE,
			.uaddr = uva + i % 16 * PAGE,
			.perm = 3,
			.type = VU_IOTLB_UPDATE};

		taken += !fe_conn_iotlb(&a->g->conn, &e);
	}
	assert_true(taken > 0);
	duplex_check(r, a, b);
}

/* Every chain names another page that nobody knows; the front-end answers late, wrong, never. */
static void r36_a_storm_of_misses_holds_up_nobody(struct rig *r, uint64_t format)
{
	static const enum fe_answers answers[] = {FE_IGNORE, FE_HOLD, FE_REFUSE, FE_LIE};
	const struct fe_guest_config c = guest_translated(format, FE_IOMMU_STATIC);

	for (size_t i = 0; i < RW_ARRAY_SIZE(answers); i++) {
		struct peer *b, *a = pair_linked(r, &c, &b);
		struct fe_queue *q = fe_guest_tx(a->g, 0);
		const struct stream s = {.n = 50, .len = 300};
		struct peer *d = peer_up(r, "d", NULL), *n = peer_up(r, "c", NULL);

		peers_meet(r, d, n);
		a->g->channel.answers = answers[i];
		for (uint64_t k = 0; k < 200; k++) {
			const struct fe_seg seg = {(2ull << 40) + k * 2 * PAGE, 100};

			if (fe_ring_add(&q->ring, &(struct fe_chain){.segs = &seg, .n_out = 1}))
				break;
		}
		fe_ring_publish(&q->ring);
		fe_queue_kick(q);
		rig_wait(r, (peers_service(r), a->g->channel.misses > 0));
		stream_check(r, d, n, &s);
		rig_clean((void **)&r);
	}
}

/* The channel's socket is full: nobody reads it. */
static void r37_a_full_channel_blocks_nobody(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_translated(format, FE_IOMMU_STATIC);
	struct peer *b, *a = pair_linked(r, &c, &b);
	struct fe_queue *q = fe_guest_tx(a->g, 0);
	const struct fe_region *region = &a->g->mem.regions[0];
	const uint32_t pages = (uint32_t)(region->c.size / PAGE);

	/* Nothing is known any more, and a question is asked for each page again and again. */
	for (int i = 0; i < 40 / r->slow + 4; i++) {
		for (uint64_t k = 0; k < 32; k++) {
			const struct fe_seg seg = {(3ull << 40) + (uint64_t)i * MIB + k * PAGE, 64};

			if (fe_ring_add(&q->ring, &(struct fe_chain){.segs = &seg, .n_out = 1}))
				break;
		}
		fe_ring_publish(&q->ring);
		fe_queue_kick(q);
		assert_int_equal(fe_guest_invalidate(a->g, region->iova, pages), 0);
		/* An answer to nothing wakes what waits. */
		assert_int_equal(fe_guest_push(a->g, region->iova), 0);
	}
	json_decref(rig_call(r, "port.list", NULL));
}

/* Also R10: the channel's other end closes, or was never there. */
static void r10_a_channel_without_a_peer_is_given_up(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_translated(format, FE_IOMMU_STATIC);
	struct peer *b, *a = pair_linked(r, &c, &b);
	const struct fe_region *region = &a->g->mem.regions[0];

	for (int i = 0; i < 20; i++) {
		fe_channel_close(&a->g->channel);
		assert_int_equal(fe_guest_invalidate(a->g, region->iova, 8), 0);
		fe_queue_kick(fe_guest_tx(a->g, 0));
		peer_sync(a);
		peer_new_channel(a);
		rig_wait(r, (peers_service(r), rig_port_info(r, "a", "link")));
		duplex_check(r, a, b);
	}
}

static void r11_a_second_channel_replaces_the_first(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_translated(format, FE_IOMMU_STATIC);
	struct peer *b, *a = pair_linked(r, &c, &b);

	for (int i = 0; i < 200 / r->slow; i++)
		peer_new_channel(a);
	duplex_check(r, a, b);
}

/* Also CVE-2026-86567: the pages of rings go while a worker polls them. */
static void r38_pages_of_running_rings_go_and_come(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_translated(format, FE_IOMMU_STRICT);
	struct peer *b, *a;

	c.tx_size = c.rx_size = 1024; /* a ring has several pages */
	a = pair_linked(r, &c, &b);
	for (uint32_t i = 0; i < 60 / (uint32_t)r->slow + 6; i++) {
		struct fe_queue *q = &a->g->queues[i % 2];
		uint64_t at = (q->ring_dma.iova & ~(PAGE - 1)) + i % q->ring_dma.pages * PAGE;

		for (uint32_t k = 0; k < 8; k++)
			peer_send_to(r, a, b->mac, 500, k);
		assert_int_equal(fe_guest_invalidate(a->g, at, 1), 0);
		for (uint32_t k = 0; k < 8; k++)
			peer_expect(r, b, b->mac, a->mac, 500, k);
		rig_wait(r, (peers_service(r), rig_port_info(r, "a", "link")));
		duplex_check(r, a, b);
	}
}

/* All of memory is unmapped, and removed, under running rings. */
static void cve_2026_86567_nothing_is_used_behind_an_invalidation(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_translated(format, FE_IOMMU_STATIC);
	struct peer *b, *a = pair_linked(r, &c, &b);
	const struct vu_iotlb all = {.size = UINT64_MAX, .type = VU_IOTLB_INVALIDATE};
	struct vu_mem_table other = {
		.nregions = 1, .regions = {{.gpa = 1ull << 50, .size = PAGE, .uva = 1ull << 46}}};
	int fd = fd_of(FD_MEMORY);

	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(fe_conn_iotlb(&a->g->conn, &all), 0);
		rig_wait(r, (peers_service(r), rig_port_info(r, "a", "link")));
		duplex_check(r, a, b);
	}
	/* Another table in the place of the memory: translations into the old one are gone. */
	assert_int_equal(say_with(a, VU_SET_MEM_TABLE, &other, 40, fd, 1), SAID_YES);
	for (uint32_t i = 0; i < 20; i++)
		peer_send_to(r, b, a->mac, 500, i);
	rig_wait(r, !rig_port_info(r, "a", "link"));
	close(fd);
}

static void r39_a_ring_that_starts_anew_has_no_old_translations(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_translated(format, FE_IOMMU_STRICT);
	struct peer *b, *a;

	c.iommu.fresh = true;
	a = pair_linked(r, &c, &b);
	for (int i = 0; i < 10; i++) {
		for (uint32_t k = 0; k < 2; k++)
			assert_int_equal(fe_guest_stop_ring(a->g, k, NULL), 0);
		run_rings(a);
		rig_wait(r, (peers_service(r), rig_port_info(r, "a", "link")));
		duplex_check(r, a, b);
	}
}

/* A page that may be read alone is no receive buffer. */
static void r40_a_page_without_permission_is_not_written(struct rig *r, uint64_t format)
{
	const struct fe_guest_config c = guest_translated(format, FE_IOMMU_STATIC);
	struct peer *b, *a = pair_linked(r, &c, &b);
	struct fe_iommu *io = &a->g->iommu;
	struct fe_queue *q = fe_guest_rx(a->g, 0);
	const struct fe_region *region = &a->g->mem.regions[0];
	uint64_t first = rw_align_up(region->iova + q->bufs.gpa - region->c.gpa, PAGE);
	uint64_t before = rig_counter(r, "a", "tx", "drops.bad_address");

	/* Of the first 8 pages of buffers. */
	for (uint64_t at = first; at < first + 8 * PAGE; at += PAGE) {
		const struct fe_iommu_page *page = fe_iommu_find(io, at);

		assert_non_null(page);
		assert_int_equal(fe_iommu_map(io, at, page->gpa, VU_IOTLB_READ), 0);
		assert_int_equal(fe_guest_invalidate(a->g, at, 1), 0);
		assert_int_equal(fe_guest_push(a->g, at), 0);
		memset(fe_mem_at(&a->g->mem, at - region->iova + region->c.gpa, PAGE), 0x5a, PAGE);
	}
	for (uint32_t i = 0; i < 300; i++)
		peer_send_to(r, b, a->mac, 500, i);
	rig_wait(r,
		(peers_service(r), rig_counter(r, "a", "tx", "drops.bad_address") >= before + 8));
	for (uint64_t at = first; at < first + 8 * PAGE; at += PAGE) {
		const uint8_t *p = fe_mem_at(&a->g->mem, at - region->iova + region->c.gpa, PAGE);

		for (size_t i = 0; i < PAGE; i++)
			assert_int_equal(p[i], 0x5a);
	}
}

/* ---- rings that wait ---- */

#define WAITING    256
#define RING_ENTRY 256
#define RING_UVA   0x7e0000000000ull
/* Pages of a ring: two of its table, whose order in memory is the other one, and two more. */
#define RING_IOVA(i) ((1ull << 40) + (i)*16 * PAGE)

static bool page_map(struct peer *p, uint32_t ring, uint64_t page)
{
	static const uint64_t places[] = {1, 0, 2, 3};
	const struct vu_iotlb e = {.iova = RING_IOVA(ring) + page * PAGE,
		.size = PAGE,
		.uaddr = RING_UVA + (ring % WAITING * 4 + places[page]) * PAGE,
		.perm = 3,
		.type = VU_IOTLB_UPDATE};

	return !fe_conn_iotlb(&p->g->conn, &e);
}

/* All that a ring wants but its last page. */
static void ring_waits(struct peer *p, uint32_t i)
{
	struct fe_conn *c = &p->g->conn;
	const struct vu_vring_addr addr = {.index = i,
		.desc = RING_IOVA(i) + PAGE / 2,
		.avail = RING_IOVA(i) + 2 * PAGE,
		.used = RING_IOVA(i) + 3 * PAGE};
	int kick = fd_of(FD_EVENT);

	for (uint64_t page = 0; page < 3; page++)
		assert_true(page_map(p, i, page));
	assert_int_equal(fe_conn_set_ring(c, VU_SET_VRING_NUM, i, RING_ENTRY), 0);
	assert_int_equal(fe_conn_set_ring_addr(c, &addr), 0);
	assert_int_equal(fe_conn_set_ring(c, VU_SET_VRING_BASE, i, 0), 0);
	assert_int_equal(fe_conn_set_ring_fd(c, VU_SET_VRING_KICK, i, kick), 0);
	assert_int_equal(fe_conn_set_ring(c, VU_SET_VRING_ENABLE, i, 1), 0);
	close(kick);
}

/* How many rings of port a are in that state. */
static unsigned rings_in(struct rig *r, const char *state)
{
	json_t *answer = rig_call(r, "port.show", json_pack("{s:s}", "name", "a"));
	const json_t *ring;
	unsigned n = 0;

	for (size_t i = 0; (ring = json_array_get(json_object_get(answer, "rings"), i)); i++)
		n += !strcmp(json_string_value(json_object_get(ring, "state")), state);
	json_decref(answer);
	return n;
}

/*
 * To start a ring whose table lies in pieces takes mappings. When the port may have none any more,
 * each attempt is a refusal, and so they can be counted.
 */
static void s13_an_update_tries_only_the_rings_that_lacked_it(struct rig *r, uint64_t format)
{
	static const struct fe_region_config memory = {.size = 4 * WAITING * PAGE, .uva = RING_UVA};
	struct fe_guest_config c = guest_of_all(format);
	struct peer *a;
	uint64_t refused;
	char limit[24];

	c.features |= FE_BIT(VIRTIO_F_ACCESS_PLATFORM);
	c.protocol_features &= ~FE_BIT(VU_PF_INFLIGHT_SHMFD);
	c.regions = &memory;
	c.nregions = 1;
	a = negotiated(r, &c);
	assert_int_equal(fe_guest_share_memory(a->g), 0);
	for (uint32_t i = 0; i < WAITING; i++)
		ring_waits(a, i);
	assert_int_equal(rings_in(r, "waiting"), WAITING);
	snprintf(limit, sizeof(limit), "%ju", (uintmax_t)port_budget(r, "a", "mappings", "used"));
	port_set(r, "a", "max-mappings", limit);
	refused = port_budget(r, "a", "mappings", "refused");
	/* Pages that no ring lacks, and what they have already. */
	for (uint32_t i = 0; i < 50; i++)
		assert_true(page_map(a, WAITING + i, 3) && page_map(a, i, 0));
	assert_int_equal(port_budget(r, "a", "mappings", "refused"), refused);
	assert_true(page_map(a, 5, 3));
	rig_wait(r, port_budget(r, "a", "mappings", "refused") > refused);
	assert_int_equal(port_budget(r, "a", "mappings", "refused"), refused + 1);
	/* With room again one starts, and the others wait. */
	port_set(r, "a", "max-mappings", "4096");
	assert_true(page_map(a, 6, 3));
	rig_wait(r, rings_in(r, "enabled") == 1);
	assert_in_range(rings_in(r, "waiting"), WAITING - 3, WAITING - 1);
	peer_down(r, a);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK(r36_entries_that_make_no_sense_are_refused),
		ATTACK_BOTH(r36_entries_without_memory_give_no_access),
		ATTACK(r36_entries_without_end_are_bounded),
		ATTACK_BOTH(r36_a_storm_of_misses_holds_up_nobody),
		ATTACK_BOTH(r37_a_full_channel_blocks_nobody),
		ATTACK_BOTH(r10_a_channel_without_a_peer_is_given_up),
		ATTACK(r11_a_second_channel_replaces_the_first),
		ATTACK_BOTH(r38_pages_of_running_rings_go_and_come),
		ATTACK_BOTH(cve_2026_86567_nothing_is_used_behind_an_invalidation),
		ATTACK_BOTH(r39_a_ring_that_starts_anew_has_no_old_translations),
		ATTACK_BOTH(r40_a_page_without_permission_is_not_written),
		ATTACK(s13_an_update_tries_only_the_rings_that_lacked_it),
	};

	return hostile_main("hostile_iotlb", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
