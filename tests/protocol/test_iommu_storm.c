/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest whose IOMMU changes all the time, in ways that must not matter to any frame. */
#include <errno.h>
#include <string.h>

#include "traffic.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "ab", NULL);
}

static const uint64_t formats[] = {0, PACKED};

/* Everything is forgotten at once, as when an IOMMU is flushed, while frames are on their way. */
static void all_may_be_forgotten_at_any_time(void **state)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, false);
		struct peer *a, *b;

		c.features |= formats[i];
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		for (uint32_t k = 0; k < 20 / (uint32_t)rig.slow + 2; k++) {
			for (uint32_t m = 0; m < 20; m++)
				peer_send_to(*state, b, a->mac, 500, m);
			assert_int_equal(
				fe_guest_invalidate(b->g, b->g->iommu.base, b->g->iommu.n), 0);
			for (uint32_t m = 0; m < 20; m++)
				peer_expect(*state, a, a->mac, b->mac, 500, m);
		}
		rig_wait(*state, (peers_service(*state), rig_port_info(*state, "b", "link")));
		duplex_check(*state, a, b);
		rig_clean(state);
	}
}

static uint32_t seed = 1;

static uint32_t dice(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* Something happens to the guest's IOMMU that must not matter. */
static void disturb(struct peer *p)
{
	struct fe_iommu *io = &p->g->iommu;
	uint64_t iova = io->base + dice(io->n) * FE_PAGE;

	switch (dice(8)) {
	case 0:
		peer_new_channel(p);
		break;
	case 1:
		p->g->channel.answers = FE_HOLD;
		break;
	case 2:
	case 3:
		if (fe_iommu_find(io, iova))
			assert_int_equal(fe_guest_push(p->g, iova), 0);
		break;
	default:
		/* Buffers only: frames that come while a ring waits would be lost. */
		if (iova >= (p->g->queues[1].ring_dma.iova & ~(FE_PAGE - 1)) + 8 * FE_PAGE)
			assert_int_equal(fe_guest_invalidate(p->g, iova, 1 + dice(16)), 0);
		break;
	}
}

static uint32_t len_of(uint32_t k)
{
	return k % 7 ? 60 + k * 977 % 1400 : 60 + k * 977 % 9000;
}

/* A burst each way with disturbances in between; all of it arrives in order. */
static void burst(struct rig *r, struct peer *a, struct peer *b, uint32_t first)
{
	uint32_t n = 1 + dice(20);

	for (uint32_t k = first; k < first + n; k++) {
		if (!dice(4))
			disturb(a);
		if (!dice(4))
			disturb(b);
		peer_send_to(r, a, b->mac, len_of(k), k);
		peer_send_to(r, b, a->mac, len_of(k), k);
	}
	a->g->channel.answers = b->g->channel.answers = FE_ANSWER;
	for (uint32_t k = first; k < first + n; k++) {
		peer_expect(r, b, b->mac, a->mac, len_of(k), k);
		peer_expect(r, a, a->mac, b->mac, len_of(k), k);
		if (!dice(16))
			disturb(a);
		a->g->channel.answers = FE_ANSWER;
	}
}

static void a_storm_leaves_every_frame_intact(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct fe_guest_config c = guest_behind(FE_IOMMU_STRICT, true);
		struct peer *a, *b;
		uint64_t drops;

		c.iommu.resting = 16;
		c.features |= formats[i % 2];
		c.iommu.fresh = i / 2;
		c.tx_size = 64;
		c.tx_buf_size = 9100;
		a = peer_up_linked(*state, "a", &c);
		c.features ^= PACKED;
		c.iommu.entry_pages = 3;
		c.rx_cut.indirect = true;
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		drops = port_drops(*state, "a") + port_drops(*state, "b");
		for (uint32_t k = 0; k < 20 / (uint32_t)rig.slow; k++)
			burst(*state, a, b, k * 40);
		assert_int_equal(port_drops(*state, "a") + port_drops(*state, "b"), drops);
		rig_clean(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(all_may_be_forgotten_at_any_time),
		rig_test(a_storm_leaves_every_frame_intact),
	};

	return cmocka_run_group_tests(tests, start, rig_stop);
}
