/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log while things happen: it comes and goes, is replaced, and is read, under traffic. */
#include <errno.h>
#include <string.h>

#include "fe_shadow.h"
#include "traffic.h"

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

static uint32_t seed = 1;

static uint32_t dice(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* Variant `i` of a guest that may be logged: both formats, with and without an IOMMU. */
static struct fe_guest_config variant(unsigned i)
{
	struct fe_guest_config c = i & 2 ? guest_behind(FE_IOMMU_STATIC, false) : guest_usual();

	c.protocol_features |= PROTOCOL_LOG;
	c.features |= i & 1 ? PACKED : 0;
	return c;
}

static void log_new(const struct peer *p, struct fe_log *log)
{
	fe_log_fini(log);
	assert_int_equal(fe_log_init(log, fe_log_size_for(&p->g->mem), 0), 0);
}

/*
 * Nothing that was written since the shadow began is missing in the log, and no page too many is
 * there.
 */
static void log_check(struct peer *p, struct fe_log *log, bool popped_since)
{
	struct fe_shadow_report out;

	fe_shadow_check(p->g->shadow, log, &out);
	/* What was popped since may have been written before. */
	if (!popped_since)
		out.unmarked = 0;
	if (out.lost || out.unmarked || out.idle)
		fail_msg("%lu pages lost (%#lx), %lu unmarked (%#lx), %lu idle (%#lx)", out.lost,
			out.first_lost, out.unmarked, out.first_unmarked, out.idle, out.first_idle);
	assert_true(out.marked > 0);
}

/* Frames from each to the other, as they come. */
static void send_some(struct rig *r, struct peer *a, struct peer *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		peer_send_to(r, a, b->mac, 60 + dice(1400), i);
		peer_send_to(r, b, a->mac, 60 + dice(1400), i);
	}
}

#define LAST_LEN 50 /* shorter than the others */

/* Receive up to a frame that is sent last; others may have been lost while a ring stood still. */
static void receive_all(struct rig *r, struct peer *from, struct peer *to)
{
	static uint8_t buf[FRAME_MAX];
	struct fe_received in;

	peer_send_to(r, from, to->mac, LAST_LEN, 0);
	do
		peer_recv(r, to, 0, buf, &in);
	while (in.len != LAST_LEN);
	peer_rest(r, from);
}

static void logging_begins_and_ends_under_traffic(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct fe_guest_config c = variant(i);
		const struct stream s = {.n = 50, .len = 500};
		struct peer *a = peer_up_linked(*state, "a", NULL);
		struct peer *b = peer_up_linked(*state, "b", &c);

		peers_meet(*state, a, b);
		log_new(b, &maps[0]);
		for (uint32_t k = 0; k < 20 / (uint32_t)rig.slow + 1; k++) {
			send_some(*state, a, b, dice(30));
			assert_int_equal(fe_guest_log_start(b->g, &maps[0], FE_LOG_QEMU), 0);
			/* What happens while this copies is marked, and copied again. */
			assert_int_equal(fe_shadow_new(b->g, maps[0].base.size), 0);
			send_some(*state, a, b, dice(30));
			fe_shadow_pull(b->g->shadow, &maps[0]);
			send_some(*state, a, b, dice(30));
			receive_all(*state, a, b);
			receive_all(*state, b, a);
			log_check(b, &maps[0], false);
			assert_int_equal(fe_guest_log_stop(b->g), 0);
			/* The rings were still logged, and started anew, when LOG_ALL went. */
			fe_shadow_pull(b->g->shadow, &maps[0]);
			fe_shadow_free(b->g->shadow);
			traffic_check(*state, a, b, &s);
			peer_rest(*state, b);
			assert_int_equal(fe_log_count(&maps[0]), 0);
		}
		rig_clean(state);
	}
}

static void the_log_may_be_read_at_any_moment(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct fe_guest_config c = variant(i);
		struct peer *a = peer_up_linked(*state, "a", NULL);
		struct peer *b = peer_up_linked(*state, "b", &c);
		uint64_t pulled = 0;

		peers_meet(*state, a, b);
		log_new(b, &maps[0]);
		assert_int_equal(fe_shadow_new(b->g, maps[0].base.size), 0);
		assert_int_equal(fe_guest_log_start(b->g, &maps[0], FE_LOG_ECHO), 0);
		fe_shadow_reset(b->g->shadow);
		for (uint32_t k = 0; k < 60 / (uint32_t)rig.slow; k++) {
			send_some(*state, a, b, dice(10));
			pulled += fe_shadow_pull(b->g->shadow, &maps[0]);
			receive_all(*state, a, b);
			receive_all(*state, b, a);
		}
		assert_true(pulled > 0);
		log_check(b, &maps[0], true);
		rig_clean(state);
	}
}

static void the_log_is_replaced_under_traffic(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct fe_guest_config c = variant(i);
		struct peer *a = peer_up_linked(*state, "a", NULL);
		struct peer *b = peer_up_linked(*state, "b", &c);

		peers_meet(*state, a, b);
		log_new(b, &maps[0]);
		assert_int_equal(fe_guest_log_start(b->g, &maps[0], FE_LOG_ECHO), 0);
		for (uint32_t k = 1; k < 20 / (uint32_t)rig.slow + 2; k++) {
			struct fe_log *old = &maps[(k + 1) % 2], *new = &maps[k % 2];
			uint64_t marked;

			send_some(*state, a, b, dice(30));
			log_new(b, new);
			assert_int_equal(
				fe_conn_set_log(&b->g->conn, &new->base, new->fd, FE_LOG_ECHO), 0);
			b->g->log = new;
			marked = fe_log_count(old);
			assert_int_equal(fe_shadow_new(b->g, new->base.size), 0);
			send_some(*state, a, b, dice(30));
			receive_all(*state, a, b);
			receive_all(*state, b, a);
			log_check(b, new, false);
			assert_int_equal(fe_log_count(old), marked);
			fe_shadow_free(b->g->shadow);
		}
		rig_clean(state);
	}
}

/*
 * A guest of a few pages, which all stand in two bytes of the log, and two senders: workers mark
 * pages in one byte at the same time, while it is cleared. Each round is checked, so no mark makes
 * up for another.
 */
static void marks_in_one_byte_are_not_lost(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct fe_guest_config c = variant(i);
		struct peer *a, *b, *n;

		c.rx_size = c.tx_size = 4;
		a = peer_up_linked(*state, "a", NULL);
		b = peer_up_linked(*state, "b", &c);
		n = peer_up_linked(*state, "c", NULL);
		peers_meet(*state, a, b);
		peers_meet(*state, n, b);
		log_new(b, &maps[0]);
		assert_int_equal(fe_shadow_new(b->g, maps[0].base.size), 0);
		assert_int_equal(fe_guest_log_start(b->g, &maps[0], FE_LOG_ECHO), 0);
		assert_true(b->g->mem.regions[0].c.size <= 16 * FE_PAGE);
		for (uint32_t k = 0; k < 1000 / (uint32_t)rig.slow; k++) {
			fe_shadow_reset(b->g->shadow);
			peer_send_to(*state, b, n->mac, 900, k);
			peer_send_to(*state, a, b->mac, 900, k);
			if (k % 2)
				fe_shadow_pull(b->g->shadow, &maps[0]);
			peer_expect(*state, b, b->mac, a->mac, 900, k);
			peer_expect(*state, n, n->mac, b->mac, 900, k);
			peer_rest(*state, b);
			log_check(b, &maps[0], true);
		}
		rig_clean(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		log_test(logging_begins_and_ends_under_traffic),
		log_test(the_log_may_be_read_at_any_moment),
		log_test(the_log_is_replaced_under_traffic),
		log_test(marks_in_one_byte_are_not_lost),
	};

	maps[0].fd = maps[1].fd = -1;
	return cmocka_run_group_tests(tests, start, rig_stop);
}
