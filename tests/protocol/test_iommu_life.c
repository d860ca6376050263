/* SPDX-License-Identifier: BSD-3-Clause */
/* What changes under a running guest behind an IOMMU: its rings' pages, its channel, its memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "traffic.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

static const uint64_t formats[] = {0, PACKED};

/* A page that was pulled away, to be given back. */
struct pulled {
	uint64_t iova, gpa;
	uint8_t perm;
};

static struct pulled pull_away(struct peer *p, uint64_t iova)
{
	const struct fe_iommu_page *page = fe_iommu_find(&p->g->iommu, iova);
	struct pulled was;

	assert_non_null(page);
	was = (struct pulled){.iova = iova, .gpa = page->gpa, .perm = page->perm};
	assert_int_equal(fe_iommu_unmap(&p->g->iommu, iova), 0);
	assert_int_equal(fe_guest_invalidate(p->g, iova, 1), 0);
	return was;
}

/* The back-end is told, or finds out by asking. */
static void give_back(struct peer *p, const struct pulled *was, bool tell)
{
	assert_int_equal(fe_iommu_map(&p->g->iommu, was->iova, was->gpa, was->perm), 0);
	if (tell)
		assert_int_equal(fe_guest_push(p->g, was->iova), 0);
}

static uint32_t ring_pages(const struct fe_queue *q)
{
	return q->ring_dma.pages;
}

static uint64_t ring_page(const struct fe_queue *q, uint32_t i)
{
	return (q->ring_dma.iova & ~(FE_PAGE - 1)) + i * FE_PAGE;
}

/* A copy of the ring's memory. */
static uint8_t *ring_copy(const struct peer *p, const struct fe_queue *q)
{
	uint8_t *copy = malloc(q->layout.bytes);

	assert_non_null(copy);
	memcpy(copy, fe_mem_at(&p->g->mem, q->gpa, q->layout.bytes), q->layout.bytes);
	return copy;
}

static void a_receive_ring_waits_for_its_own_pages(void **state)
{
	const struct stream s = {.n = 200 / (uint32_t)rig.slow, .len = 500};

	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
		struct peer *a, *b, *n;
		struct fe_queue *rx;
		struct pulled was;
		uint64_t drops;
		uint32_t got;
		uint8_t *before;

		c.features |= formats[i];
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		n = peer_up_linked(*state, "c", NULL);
		rx = fe_guest_rx(b->g, 0);
		peers_meet(*state, a, b);
		peers_meet_beside(*state, a, n, b);
		for (uint32_t k = 0; k < ring_pages(rx); k++) {
			drops = port_drops(*state, "b");
			for (uint32_t m = 0; m < 20; m++)
				peer_send_to(*state, a, b->mac, 500, m);
			was = pull_away(b, ring_page(rx, k));
			before = ring_copy(b, rx);
			/* The ring stands still; all else goes on. */
			for (uint32_t m = 20; m < 30; m++)
				peer_send_to(*state, a, b->mac, 500, m);
			stream_check(*state, b, a, &s);
			traffic_check(*state, a, n, &s);
			assert_memory_equal(before,
				fe_mem_at(&b->g->mem, rx->gpa, rx->layout.bytes), rx->layout.bytes);
			free(before);
			give_back(b, &was, k);
			rig_wait(*state,
				(peers_service(*state), rig_port_info(*state, "b", "link")));
			/* What is not there was counted. */
			got = peer_drain(*state, b);
			assert_int_equal(got + port_drops(*state, "b") - drops, 30);
			traffic_check(*state, a, b, &s);
		}
		rig_clean(state);
	}
}

static void a_transmit_ring_waits_for_its_own_pages(void **state)
{
	const struct stream s = {.n = 200 / (uint32_t)rig.slow, .len = 500};

	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
		struct peer *a, *b, *n;
		struct fe_queue *tx;
		struct pulled was;

		c.features |= formats[i];
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		n = peer_up_linked(*state, "c", NULL);
		tx = fe_guest_tx(b->g, 0);
		peers_meet(*state, a, b);
		peers_meet(*state, a, n);
		for (uint32_t k = 0; k < ring_pages(tx); k++) {
			for (uint32_t m = 0; m < 30; m++)
				peer_send_to(*state, b, a->mac, 500, m);
			was = pull_away(b, ring_page(tx, k));
			for (uint32_t m = 30; m < 60; m++)
				peer_send_to(*state, b, a->mac, 500, m);
			stream_check(*state, n, b, &s); /* the other direction */
			give_back(b, &was, k);
			for (uint32_t m = 0; m < 60; m++)
				peer_expect(*state, a, a->mac, b->mac, 500, m);
			traffic_check(*state, a, b, &s);
		}
		rig_clean(state);
	}
}

static void a_lost_channel_is_replaced_without_loss(void **state)
{
	static const uint64_t acks[] = {FE_BIT(VU_PF_REPLY_ACK), 0};

	for (size_t i = 0; i < 4; i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
		struct peer *a, *b;
		uint64_t drops;

		c.features |= formats[i % 2];
		c.protocol_features &= ~FE_BIT(VU_PF_REPLY_ACK);
		c.protocol_features |= acks[i / 2];
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		drops = port_drops(*state, "a") + port_drops(*state, "b");
		for (uint32_t k = 0; k < 6 / (uint32_t)rig.slow + 2; k++) {
			b->g->channel.answers = k % 2 ? FE_IGNORE : FE_ANSWER;
			for (uint32_t m = 0; m < 70; m++) {
				peer_send_to(*state, a, b->mac, 500, m);
				peer_send_to(*state, b, a->mac, 500, m);
			}
			fe_channel_close(&b->g->channel);
			b->g->channel.answers = FE_ANSWER;
			peer_sync(b);
			peer_new_channel(b);
			for (uint32_t m = 0; m < 70; m++) {
				peer_expect(*state, b, b->mac, a->mac, 500, m);
				peer_expect(*state, a, a->mac, b->mac, 500, m);
			}
		}
		assert_int_equal(port_drops(*state, "a") + port_drops(*state, "b"), drops);
		rig_clean(state);
	}
}

/* More pages than the IOTLB has entries. */
#define MANY_PAGES 8500ull

static void memory_changes_while_the_iotlb_is_full(void **state)
{
	const struct stream s = {.n = 300 / (uint32_t)rig.slow, .len = 1000};
	const struct fe_region_config regions[] = {
		{.gpa = 0x40000000, .size = MANY_PAGES * FE_PAGE, .uva = 0x7e1200000000},
		{.gpa = 0x80000000, .size = 16 * FE_PAGE, .uva = 0x7e0000000000}};
	const struct fe_region_config more = {
		.gpa = 0x90000000, .size = 16 * FE_PAGE, .uva = 0x7d0000000000};
	static const uint64_t slots[] = {0, FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS)};

	for (size_t i = 0; i < RW_ARRAY_SIZE(slots); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STATIC, false);
		const struct fe_iommu *io;
		struct peer *a, *b;

		c.protocol_features |= slots[i];
		c.features |= formats[i];
		c.regions = regions;
		c.nregions = RW_ARRAY_SIZE(regions);
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		io = &b->g->iommu;
		peers_meet(*state, a, b);
		for (uint32_t k = 0; k < io->n; k++) {
			if (fe_iommu_find(io, io->base + k * FE_PAGE))
				assert_int_equal(fe_guest_push(b->g, io->base + k * FE_PAGE), 0);
		}
		assert_true(b->g->updates >= MANY_PAGES);
		rig_wait(*state, (peers_service(*state), rig_port_info(*state, "b", "link")));
		traffic_check(*state, a, b, &s);
		assert_int_equal(fe_guest_add_region(b->g, &more), 0);
		rig_wait(*state, (peers_service(*state), rig_port_info(*state, "b", "link")));
		traffic_check(*state, a, b, &s);
		assert_int_equal(fe_guest_remove_region(b->g, 1), 0);
		rig_wait(*state, (peers_service(*state), rig_port_info(*state, "b", "link")));
		traffic_check(*state, a, b, &s);
		rig_clean(state);
	}
}

/* As many slots as there are, a packed ring and an IOMMU, all at once. */
static void memory_in_509_slots(void **state)
{
	static struct fe_region_config regions[FE_MAX_REGIONS];
	struct fe_guest_config plain = guest_large();
	struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, true);
	struct stream s = {.n = 300 / (uint32_t)rig.slow, .len = 1400, .window = 64};
	struct peer *a, *b;

	for (uint32_t i = 0; i < RW_ARRAY_SIZE(regions); i++)
		regions[i] = (struct fe_region_config){.gpa = 0x40000000 + i * 4 * FE_PAGE,
			.size = 4 * FE_PAGE,
			.uva = 0x7e0000000000 + (RW_ARRAY_SIZE(regions) - i) * 0x100000ull};
	c.protocol_features |= FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS);
	c.features |= PACKED;
	c.regions = regions;
	c.nregions = RW_ARRAY_SIZE(regions);
	c.iommu.resting = 32;
	a = peer_up_linked(*state, "a", &plain);
	b = peer_up_linked(*state, "b", &c);
	assert_int_equal(b->g->max_slots, RW_ARRAY_SIZE(regions));
	peers_meet(*state, a, b);
	traffic_check(*state, a, b, &s);
	s = (struct stream){
		.n = 20 / (uint32_t)rig.slow, .len = 65000, .window = 4, .hdr = &traffic_tso};
	traffic_check(*state, a, b, &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_receive_ring_waits_for_its_own_pages),
		rig_test(a_transmit_ring_waits_for_its_own_pages),
		rig_test(a_lost_channel_is_replaced_without_loss),
		rig_test(memory_changes_while_the_iotlb_is_full),
		rig_test(memory_in_509_slots),
	};

	return cmocka_run_group_tests(tests, start, rig_stop);
}
