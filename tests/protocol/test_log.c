/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log is exact: what the back-end wrote is marked, and nothing else. A shadow copy of the
 * guest's memory, fed by the log, is the judge (fe_shadow.h).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fe_shadow.h"
#include "traffic.h"

/* How often the back-end signals; how long a signal may take on a busy machine. */
#define SIGNAL_MS 100
#define WAIT_MS   5000

static struct rig rig;
static struct fe_log maps[2];

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abc", NULL);
}

static int clean(void **state)
{
	int ret = rig_clean(state);

	for (size_t i = 0; i < RW_ARRAY_SIZE(maps); i++)
		fe_log_fini(&maps[i]);
	return ret;
}

#define log_test(f) cmocka_unit_test_teardown(f, clean)

static const uint64_t formats[] = {0, PACKED};

/* A guest that may be logged. */
static struct fe_guest_config guest_logged(enum fe_iommu_mode mode, bool large)
{
	struct fe_guest_config c = large ? guest_large() : guest_usual();

	if (mode)
		c = guest_behind(mode, large);
	c.protocol_features |= PROTOCOL_LOG;
	return c;
}

/* Start logging: from here on the shadow knows what the log must say. */
static void log_begin(struct peer *p, uint64_t size, uint64_t offset)
{
	uint64_t full = fe_log_size_for(&p->g->mem);

	fe_log_fini(&maps[0]);
	assert_int_equal(fe_log_init(&maps[0], size ? size : full, offset), 0);
	assert_int_equal(fe_shadow_new(p->g, maps[0].base.size), 0);
	assert_int_equal(fe_guest_log_start(p->g, &maps[0], FE_LOG_ECHO), 0);
	fe_shadow_reset(p->g->shadow);
}

static void log_end(struct peer *p)
{
	assert_int_equal(fe_guest_log_stop(p->g), 0);
	fe_shadow_free(p->g->shadow);
}

/*
 * Nothing is on its way to or from `p` any more: the log must tell all that happened, and only
 * that.
 */
static struct fe_shadow_report log_check(struct rig *r, struct peer *p, struct fe_log *log)
{
	struct fe_shadow_report out;

	peer_rest(r, p);
	if (!fe_shadow_check(p->g->shadow, log, &out))
		fail_msg("%lu pages lost (%#lx), %lu unmarked (%#lx), %lu idle (%#lx)", out.lost,
			out.first_lost, out.unmarked, out.first_unmarked, out.idle, out.first_idle);
	assert_true(fe_log_is_contained(log));
	assert_true(out.marked > 0);
	return out;
}

/* Frames of all sizes and shapes while `b`, made of `c`, is logged. */
static void log_is_exact(struct rig *r, const struct fe_guest_config *c, bool large)
{
	static const struct fe_cut cuts[] = {{0}, {.indirect = true, .data_segs = 3}};
	struct fe_guest_config plain = large ? guest_large() : guest_usual();
	struct peer *a = peer_up_linked(r, "a", &plain);
	struct peer *b = peer_up_linked(r, "b", c);

	peers_meet(r, a, b);
	for (size_t i = 0; i < RW_ARRAY_SIZE(cuts); i++) {
		struct stream s = {.n = 100 / (uint32_t)r->slow, .len = 900, .cut = cuts[i]};

		if (large) {
			s = (struct stream){.n = 20 / (uint32_t)r->slow,
				.len = 40000,
				.window = c->rx_cut.data_segs && !c->rx_cut.indirect ? 2 : 4,
				.hdr = &traffic_tso,
				.cut = cuts[i]};
		}
		log_begin(b, 0, 0);
		traffic_check(r, a, b, &s);
		log_check(r, b, &maps[0]);
		/* The log goes on behind a check. */
		fe_shadow_reset(b->g->shadow);
		traffic_check(r, a, b, &s);
		log_check(r, b, &maps[0]);
		log_end(b);
	}
	rig_clean((void **)&r);
}

static void log_is_exact_with(struct rig *r, enum fe_iommu_mode mode)
{
	for (unsigned i = 0; i < 4; i++) {
		bool large = i & 1;
		struct fe_guest_config c = guest_logged(mode, large);

		c.features |= formats[i / 2];
		log_is_exact(r, &c, large);
		c.rx_cut = (struct fe_cut){.hdr_segs = 1, .data_segs = 3, .indirect = i & 2};
		log_is_exact(r, &c, large);
	}
}

static void the_log_is_exact(void **state)
{
	log_is_exact_with(*state, FE_IOMMU_NONE);
}

static void the_log_is_exact_behind_an_iommu(void **state)
{
	log_is_exact_with(*state, FE_IOMMU_STATIC);
	log_is_exact_with(*state, FE_IOMMU_STRICT);
}

static void the_log_may_begin_anywhere_in_its_file(void **state)
{
	static const uint64_t offsets[] = {4096, 8, 12345, 3 * 4096 + 4095};
	const struct stream s = {.n = 300 / (uint32_t)rig.slow, .len = 900};

	for (size_t i = 0; i < RW_ARRAY_SIZE(offsets); i++) {
		struct fe_guest_config c = guest_logged(FE_IOMMU_NONE, false);
		struct peer *a, *b;

		c.features |= formats[i % 2];
		a = peer_up(*state, "a", NULL);
		b = peer_up(*state, "b", &c);
		peers_meet(*state, a, b);
		log_begin(b, 0, offsets[i]);
		traffic_check(*state, a, b, &s);
		log_check(*state, b, &maps[0]);
		log_end(b);
		rig_clean(state);
	}
}

/* Index and entries are in different pages then; of a buffer only those that the frame reaches. */
static void rings_and_buffers_of_several_pages_are_logged_page_by_page(void **state)
{
	const struct stream s = {.n = 150, .len = 5000, .window = 64};

	for (unsigned i = 0; i < 4; i++) {
		struct fe_guest_config c = guest_logged(
			i & 2 ? FE_IOMMU_STATIC : FE_IOMMU_NONE, false);
		struct fe_guest_config large = guest_large();
		struct peer *a, *b;

		c.features |= formats[i % 2];
		c.rx_size = c.tx_size = 1024;
		c.rx_buf_size = c.tx_buf_size = 9100;
		a = peer_up_linked(*state, "a", &large);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		log_begin(b, 0, 0);
		for (unsigned k = 0; k < 6; k++) {
			fe_shadow_reset(b->g->shadow);
			traffic_check(*state, a, b, &s);
			log_check(*state, b, &maps[0]);
		}
		rig_clean(state);
	}
}

/* Rings in front, buffers behind the end of the bitmap. */
static void pages_beyond_a_short_log_are_ignored(void **state)
{
	const struct stream s = {.n = 300 / (uint32_t)rig.slow, .len = 900};
	const struct fe_region_config regions[] = {
		{.gpa = 0x0, .size = 0x100000, .uva = 0x7e0000000000},
		{.gpa = 0x10000000, .size = 0x400000, .uva = 0x7d0000000000}};

	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_logged(FE_IOMMU_NONE, false);
		struct fe_shadow_report out;
		struct peer *a, *b;

		c.features |= formats[i];
		c.regions = regions;
		c.nregions = RW_ARRAY_SIZE(regions);
		c.rx_bufs_at = 0x10000000;
		a = peer_up(*state, "a", NULL);
		b = peer_up(*state, "b", &c);
		peers_meet(*state, a, b);
		/* The last byte stands for rings, and for nothing behind them. */
		log_begin(b, 0x100000 / FE_PAGE / 8, 5);
		traffic_check(*state, a, b, &s);
		peer_rest(*state, b);
		assert_false(fe_shadow_check(b->g->shadow, &maps[0], &out));
		assert_true(fe_log_is_contained(&maps[0]));
		assert_true(out.marked > 0);
		assert_true(out.lost > 0);
		assert_int_equal(out.first_lost, 0x10000000); /* no page of the first region */
		assert_int_equal(out.unmarked, 0);
		assert_int_equal(out.idle, 0);
		log_end(b);
		rig_clean(state);
	}
}

static void used_entries_are_logged_where_the_front_end_says(void **state)
{
	const struct stream s = {.n = 300 / (uint32_t)rig.slow, .len = 900};

	for (size_t i = 0; i < RW_ARRAY_SIZE(formats); i++) {
		struct fe_guest_config c = guest_logged(FE_IOMMU_NONE, false);
		uint64_t end;
		struct peer *a, *b;

		c.features |= formats[i];
		a = peer_up(*state, "a", NULL);
		b = peer_up(*state, "b", &c);
		peers_meet(*state, a, b);
		/* Outside the memory table, and not at a page's start. */
		end = b->g->mem.regions[0].c.gpa + b->g->mem.regions[0].c.size;
		b->g->queues[0].log_addr = end + 64 * FE_PAGE + 0x104;
		b->g->queues[1].log_addr = end + 100 * FE_PAGE + 0xff4;
		log_begin(b, (end + 128 * FE_PAGE) / FE_PAGE / 8 + 1, 3);
		traffic_check(*state, a, b, &s);
		log_check(*state, b, &maps[0]);
		log_end(b);
		rig_clean(state);
	}
}

/* The page of `addr` of the guest's. */
static bool is_marked(const struct peer *p, uint64_t addr)
{
	return fe_log_has(&maps[0], fe_mem_gpa(&p->g->mem, addr));
}

/* Clear what was marked so far. */
static void log_clear(void)
{
	uint8_t *bits = calloc(1, maps[0].base.size);

	assert_non_null(bits);
	fe_log_fetch(&maps[0], bits);
	free(bits);
}

/* The flags for buffers (LOG_ALL) and for each ring are two different things. */
static void rings_and_buffers_are_logged_apart(void **state)
{
	const struct stream s = {.n = 100 / (uint32_t)rig.slow, .len = 900};

	for (unsigned i = 0; i < 8; i++) {
		bool buffers = i & 1, rx_ring = i & 2;
		struct fe_guest_config c = guest_logged(FE_IOMMU_NONE, false);
		const struct fe_queue *rx;
		struct peer *a, *b;
		uint64_t entries;

		c.features |= formats[i / 4];
		a = peer_up(*state, "a", NULL);
		b = peer_up(*state, "b", &c);
		rx = fe_guest_rx(b->g, 0);
		peers_meet(*state, a, b);
		log_begin(b, 0, 0);
		assert_int_equal(fe_guest_log_features(b->g, buffers), 0);
		assert_int_equal(fe_guest_log_ring(b->g, 0, rx_ring), 0);
		assert_int_equal(fe_guest_log_ring(b->g, 1, false), 0);
		log_clear();
		traffic_check(*state, a, b, &s);
		peer_rest(*state, b);
		/* A page of used entries; the packed ring's descriptors. */
		entries = rx->gpa + (i / 4 ? rx->layout.desc : rx->layout.device);
		assert_int_equal(is_marked(b, entries + 100), rx_ring);
		assert_int_equal(is_marked(b, rx->bufs.gpa + 10 * rx->bufs.stride), buffers);
		if (!buffers && !rx_ring)
			assert_int_equal(fe_log_count(&maps[0]), 0);
		if (!buffers)
			assert_in_range(fe_log_count(&maps[0]), rx_ring, 2 * rx_ring);
		rig_clean(state);
	}
}

static void without_logging_nothing_is_marked(void **state)
{
	const struct stream s = {.n = 300 / (uint32_t)rig.slow, .len = 900};

	for (unsigned i = 0; i < 4; i++) {
		struct fe_guest_config c = guest_logged(
			i & 2 ? FE_IOMMU_STRICT : FE_IOMMU_NONE, false);
		struct peer *a, *b;

		c.features |= formats[i % 2];
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		peers_meet(*state, a, b);
		log_begin(b, 0, 0);
		traffic_check(*state, a, b, &s);
		log_end(b);
		log_clear();
		traffic_check(*state, a, b, &s);
		peer_rest(*state, b);
		assert_int_equal(fe_log_count(&maps[0]), 0);
		rig_clean(state);
	}
}

/* SET_LOG_BASE as QEMU, rust-vmm and a front-end without LOG_SHMFD send it (trap T3). */
static void set_log_base_pleases_every_front_end(void **state)
{
	static const enum fe_log_style styles[] = {FE_LOG_ECHO, FE_LOG_QEMU};
	static const uint64_t acks[] = {FE_BIT(VU_PF_REPLY_ACK), 0};
	const struct stream s = {.n = 100 / (uint32_t)rig.slow, .len = 900};
	struct fe_guest_config c;
	struct peer *a, *b;

	for (unsigned i = 0; i < 4; i++) {
		c = guest_logged(FE_IOMMU_NONE, false);
		c.protocol_features &= ~FE_BIT(VU_PF_REPLY_ACK);
		c.protocol_features |= acks[i / 2];
		a = peer_up(*state, "a", NULL);
		b = peer_up(*state, "b", &c);
		peers_meet(*state, a, b);
		fe_log_fini(&maps[0]);
		assert_int_equal(fe_log_init(&maps[0], fe_log_size_for(&b->g->mem), 0), 0);
		assert_int_equal(fe_shadow_new(b->g, maps[0].base.size), 0);
		assert_int_equal(fe_guest_log_start(b->g, &maps[0], styles[i % 2]), 0);
		peer_sync(b);
		fe_shadow_reset(b->g->shadow);
		traffic_check(*state, a, b, &s);
		log_check(*state, b, &maps[0]);
		rig_clean(state);
	}
	/* Without LOG_SHMFD there is no log to share. */
	c = guest_usual();
	b = peer_up(*state, "b", &c);
	assert_int_equal(fe_conn_set_log(&b->g->conn, &maps[0].base, -1, FE_LOG_MUTE), -EREMOTEIO);
	a = peer_up(*state, "a", NULL);
	duplex_check(*state, a, b);
}

/* Whether the eventfd is signalled within `ms`; takes the signal. */
static bool is_signalled(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n;

	return poll(&p, 1, ms) == 1 && read(fd, &n, sizeof(n)) == sizeof(n);
}

static void the_front_end_is_told_that_the_log_may_have_changed(void **state)
{
	struct fe_guest_config c = guest_logged(FE_IOMMU_NONE, false);
	int first = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int second = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct peer *b = peer_up(*state, "b", &c);

	assert_true(first >= 0 && second >= 0);
	assert_int_equal(fe_conn_set_log_fd(&b->g->conn, first), 0);
	peer_sync(b);
	assert_false(is_signalled(first, 3 * SIGNAL_MS)); /* there is no log */
	log_begin(b, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(is_signalled(first, WAIT_MS));
	assert_int_equal(fe_conn_set_log_fd(&b->g->conn, second), 0);
	peer_sync(b);
	is_signalled(first, 0);
	assert_true(is_signalled(second, WAIT_MS));
	assert_true(is_signalled(second, WAIT_MS));
	assert_false(is_signalled(first, 0));
	log_end(b);
	close(first);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		log_test(the_log_is_exact),
		log_test(the_log_is_exact_behind_an_iommu),
		log_test(the_log_may_begin_anywhere_in_its_file),
		log_test(rings_and_buffers_of_several_pages_are_logged_page_by_page),
		log_test(pages_beyond_a_short_log_are_ignored),
		log_test(used_entries_are_logged_where_the_front_end_says),
		log_test(rings_and_buffers_are_logged_apart),
		log_test(without_logging_nothing_is_marked),
		log_test(set_log_base_pleases_every_front_end),
		log_test(the_front_end_is_told_that_the_log_may_have_changed),
	};

	maps[0].fd = maps[1].fd = -1;
	return cmocka_run_group_tests(tests, start, rig_stop);
}
