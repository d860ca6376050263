/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log: bitmaps that are not there, and marks that go astray or are missing. */
#include "say.h"

#include <string.h>
#include <unistd.h>

#include "fe_shadow.h"
#include "traffic.h"

#define MIB  (1ull << 20)
#define PAGE 4096ull

static struct fe_guest_config guest_logged(uint64_t format, enum fe_iommu_mode mode)
{
	struct fe_guest_config c = mode ? guest_behind(mode, false) : guest_usual();

	c.features |= format;
	c.protocol_features |= PROTOCOL_LOG;
	return c;
}

/* Also R26 and f83e0199c8. The file has 1 MiB. */
static void cve_2020_10722_a_bitmap_that_its_file_does_not_have_is_refused(
	struct rig *r, uint64_t format)
{
	static const struct vu_log_base bad[] = {
		{0, 0},
		{UINT64_MAX - PAGE + 1, 2 * PAGE},
		{UINT64_MAX, 1},
		{UINT64_MAX - PAGE + 1, PAGE},
		{UINT64_MAX, 0},
		{1ull << 63, 0},
		{1ull << 63, 1ull << 63},
		{MIB + 1, 0},
		{MIB, 1},
		{PAGE, MIB},
		{PAGE, MIB - PAGE + 1},
		{PAGE, UINT64_MAX - PAGE + 1},
		{PAGE, UINT64_MAX},
	};
	const struct fe_guest_config c = guest_logged(format, FE_IOMMU_NONE);
	struct peer *a = negotiated(r, &c);
	int fd = fd_of(FD_MEMORY);

	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++)
		refused(r, a, VU_SET_LOG_BASE, &bad[i], sizeof(bad[i]), fd);
	close(fd);
}

/* What is marked while b receives and sends; judged by a copy of its memory. */
struct judged {
	uint64_t size, offset; /* of the bitmap; size 0: for all memory */
	enum fe_iommu_mode mode;
	struct fe_cut rx_cut;
	bool short_log;
};

static void log_is_judged(struct rig *r, uint64_t format, const struct judged *j)
{
	const struct stream s = {.n = j->short_log ? 60 : 60 / (uint32_t)r->slow + 6, .len = 900};
	struct fe_guest_config plain = guest_usual(), c = guest_logged(format, j->mode);
	struct fe_shadow_report out;
	struct peer *a, *b;
	struct fe_log log;
	bool exact;

	c.rx_cut = j->rx_cut;
	a = peer_up_linked(r, "a", &plain);
	b = peer_up_linked(r, "b", &c);
	peers_meet(r, a, b);
	assert_int_equal(
		fe_log_init(&log, j->size ? j->size : fe_log_size_for(&b->g->mem), j->offset), 0);
	assert_int_equal(fe_shadow_new(b->g, log.base.size), 0);
	assert_int_equal(fe_guest_log_start(b->g, &log, FE_LOG_ECHO), 0);
	fe_shadow_reset(b->g->shadow);
	traffic_check(r, a, b, &s);
	peer_rest(r, b);
	exact = fe_shadow_check(b->g->shadow, &log, &out);
	assert_true(fe_log_is_contained(&log));
	if (j->short_log) {
		assert_true(out.lost > 0);
		assert_int_equal(out.unmarked, 0);
	} else if (!exact) {
		fail_msg(
			"%lu pages lost, %lu unmarked, %lu idle", out.lost, out.unmarked, out.idle);
	}
	assert_int_equal(fe_guest_log_stop(b->g), 0);
	fe_shadow_free(b->g->shadow);
	rig_clean((void **)&r);
	fe_log_fini(&log);
}

/* Also R26: a bit lands at its place in the file, and nothing beside the bitmap changes. */
static void cve_2026_86563_a_bitmap_behind_an_offset_is_marked_there(struct rig *r, uint64_t format)
{
	static const uint64_t offsets[] = {PAGE, 8, 2 * PAGE + 4095};

	for (size_t i = 0; i < RW_ARRAY_SIZE(offsets); i++)
		log_is_judged(r, format, &(struct judged){.offset = offsets[i]});
}

/* Also QEMU's vu_log_write: pages behind the end of the bitmap. */
static void r27_pages_beyond_the_bitmap_are_not_marked(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_logged(format, FE_IOMMU_NONE);
	uint64_t first;
	struct peer *p;

	/* The default guest's memory begins at this page. */
	p = peer_new(r, "c", &c);
	first = p->g->mem.regions[0].c.gpa / PAGE / 8;
	log_is_judged(r, format, &(struct judged){.size = first + 2, .short_log = true});
	log_is_judged(r, format, &(struct judged){.size = 1, .offset = 5, .short_log = true});
}

/* Also R30, R32 and R33: in every way that frames take to their buffers. */
static void r29_what_is_written_is_marked_and_nothing_else(struct rig *r, uint64_t format)
{
	log_is_judged(r, format, &(struct judged){0});
	log_is_judged(r, format, &(struct judged){.rx_cut = {.hdr_segs = 1, .data_segs = 3}});
	log_is_judged(r, format,
		&(struct judged){.rx_cut = {.hdr_segs = 12, .data_segs = 9, .indirect = true}});
}

static void r31_what_is_written_behind_an_iommu_is_marked_where_it_is(
	struct rig *r, uint64_t format)
{
	log_is_judged(r, format, &(struct judged){.mode = FE_IOMMU_STATIC});
	log_is_judged(r, format, &(struct judged){.mode = FE_IOMMU_STRICT});
}

static void r34_a_log_that_is_replaced_is_given_back(struct rig *r, uint64_t format)
{
	const struct stream s = {.n = 5, .len = 900};
	const struct fe_guest_config c = guest_logged(format, FE_IOMMU_NONE);
	struct fe_log logs[2];
	struct peer *b, *a = pair_up(r, &c, &b);
	int n = (rig_is_long() ? 1000 : 100) / r->slow;

	for (int i = 0; i < 2; i++)
		assert_int_equal(
			fe_log_init(&logs[i], fe_log_size_for(&a->g->mem), 64ull * (unsigned)i), 0);
	for (int i = 0; i < n; i++) {
		assert_int_equal(fe_guest_log_start(a->g, &logs[i & 1], FE_LOG_ECHO), 0);
		stream_check(r, b, a, &s);
		assert_int_equal(fe_guest_log_stop(a->g), 0);
	}
	assert_true(fe_log_count(&logs[0]) > 0 && fe_log_count(&logs[1]) > 0);
	rig_clean((void **)&r);
	for (int i = 0; i < 2; i++) {
		assert_true(fe_log_is_contained(&logs[i]));
		fe_log_fini(&logs[i]);
	}
}

/* Also CVE-2019-14835: chains of empty pieces, as long as the ring, while all is logged. */
static void r35_empty_pieces_while_logging_overflow_nothing(struct rig *r, uint64_t format)
{
	struct fe_guest_config c = guest_logged(format, FE_IOMMU_NONE);
	struct peer *b, *a;
	struct fe_seg segs[64];
	struct fe_queue *q;
	struct fe_log log;
	uint64_t before;

	c.tx_size = c.rx_size = RW_ARRAY_SIZE(segs);
	a = pair_up(r, &c, &b);
	assert_int_equal(fe_log_init(&log, fe_log_size_for(&a->g->mem), 0), 0);
	assert_int_equal(fe_guest_log_start(a->g, &log, FE_LOG_ECHO), 0);
	q = fe_guest_tx(a->g, 0);
	peer_rest(r, a);
	for (size_t n = 1; n <= RW_ARRAY_SIZE(segs); n++) {
		struct fe_used u;

		for (size_t i = 0; i < n; i++)
			segs[i] = (struct fe_seg){.gpa = q->bufs.gpa};
		before = rig_counter(r, "a", "rx", "drops.too_short");
		assert_int_equal(fe_ring_add(&q->ring,
					 &(struct fe_chain){.segs = segs, .n_out = (uint16_t)n}),
			0);
		fe_ring_publish(&q->ring);
		fe_queue_kick(q);
		rig_wait(r, !fe_ring_pop(&q->ring, &u));
		assert_int_equal(u.len, 0);
		rig_wait(r, rig_counter(r, "a", "rx", "drops.too_short") == before + 1);
	}
	duplex_check(r, a, b);
	rig_clean((void **)&r);
	assert_true(fe_log_is_contained(&log));
	fe_log_fini(&log);
}

int main(void)
{
	static const struct attack attacks[] = {
		ATTACK(cve_2020_10722_a_bitmap_that_its_file_does_not_have_is_refused),
		ATTACK_BOTH(cve_2026_86563_a_bitmap_behind_an_offset_is_marked_there),
		ATTACK_BOTH(r27_pages_beyond_the_bitmap_are_not_marked),
		ATTACK_BOTH(r29_what_is_written_is_marked_and_nothing_else),
		ATTACK_BOTH(r31_what_is_written_behind_an_iommu_is_marked_where_it_is),
		ATTACK_BOTH(r34_a_log_that_is_replaced_is_given_back),
		ATTACK_BOTH(r35_empty_pieces_while_logging_overflow_nothing),
	};

	return hostile_main("hostile_log", attacks, RW_ARRAY_SIZE(attacks), NULL);
}
