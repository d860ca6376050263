/* SPDX-License-Identifier: BSD-3-Clause */
/* The good path of the device side, both formats, against driver-side rings. */
#include "vq_fixture.h"

static const struct setup split = {.format = FE_SPLIT, .num = 256};
static const struct setup packed = {.format = FE_PACKED, .num = 256, .wrap = true};

/* The same with everything that costs a plain ring nothing. */
static const struct setup split_slow = {.format = FE_SPLIT, .num = 256, .slow = X_ALL};
static const struct setup packed_slow = {
	.format = FE_PACKED, .num = 256, .wrap = true, .slow = X_ALL};
static const struct setup split_idle = {.format = FE_SPLIT, .num = 256, .slow = X_BODY};
static const struct setup packed_idle = {
	.format = FE_PACKED, .num = 256, .wrap = true, .slow = X_BODY};
static const struct setup split_big = {.format = FE_SPLIT, .num = 256, .slow = X_BIG};
static const struct setup split_big_slow = {.format = FE_SPLIT, .num = 256, .slow = X_BIG | X_ALL};
#define EVERY(fn)                                                                               \
	BOTH(fn), T(fn, split_slow), T(fn, packed_slow), T(fn, split_idle), T(fn, packed_idle), \
		T(fn, split_big), T(fn, split_big_slow)

static void an_empty_ring_yields_nothing(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	assert_int_equal(fetch(f, &c, false), VQ_EMPTY);
	assert_int_equal(peek(f, 32), 0);
	assert_false(f->vq.broken);
}

static void a_chain_becomes_the_list_of_its_buffers(void **state)
{
	struct fixture *f = *state;
	struct fe_seg segs[3] = {{BUFFERS, 12}, {BUFFERS + 0x1000, 100}, {BUFFERS + 0x2000, 1}};
	struct fe_used used;
	struct vq_chain c;

	post(f, segs, 3, false, 0xabc);
	assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
	assert_int_equal(c.nsegs, 3);
	assert_int_equal(c.len, 113);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(f->segs[i].len, segs[i].len);
		*guest(f, segs[i].gpa) = (uint8_t)(40 + i);
		assert_int_equal(*f->segs[i].data, 40 + i);
	}
	complete(f, &c, 0);
	assert_int_equal(fe_ring_pop(&f->ring, &used), -EAGAIN); /* not before the flush */
	flush(f);
	assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
	assert_int_equal(used.token, 0xabc);
	assert_int_equal(used.len, 0);
	assert_int_equal(fetch(f, &c, false), VQ_EMPTY);
}

static void written_bytes_are_reported(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {BUFFERS, 2000};
	struct fe_used used;
	struct vq_chain c;

	post(f, &seg, 1, true, 1);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	complete(f, &c, 1526);
	flush(f);
	assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
	assert_int_equal(used.len, 1526);
}

/* Post, fetch and return `total` buffers in bursts of up to `burst`, checking order and content. */
static void churn(struct fixture *f, uint32_t total, uint32_t burst)
{
	struct vq_chain chains[64];
	uint64_t next_in = 0, next_out = 0;

	assert_true(burst <= RW_ARRAY_SIZE(chains));
	while (next_out < total) {
		uint32_t n = 0;
		struct fe_used used;

		for (; n < burst && next_in < total; n++) {
			struct fe_seg seg = {BUFFERS + (next_in % 512) * 64, 1 + next_in % 64};
			struct fe_chain c = {.segs = &seg, .n_in = 1, .token = next_in};

			if (fe_ring_add(&f->ring, &c))
				break;
			next_in++;
		}
		fe_ring_publish(&f->ring);
		assert_true(n > 0);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t token = next_in - n + i;

			assert_int_equal(fetch(f, &chains[i], true), VQ_CHAIN);
			assert_int_equal(chains[i].len, 1 + token % 64);
			assert_ptr_equal(
				f->segs[0].data - (uint8_t *)gm_region_find(f->map, 0)->host,
				BUFFERS + (token % 512) * 64);
		}
		for (uint32_t i = 0; i < n; i++)
			complete(f, &chains[i], chains[i].len);
		flush(f);
		for (uint32_t i = 0; i < n; i++, next_out++) {
			assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
			assert_int_equal(used.token, next_out);
			assert_int_equal(used.len, 1 + next_out % 64);
		}
		assert_int_equal(fe_ring_pop(&f->ring, &used), -EAGAIN);
	}
}

static void buffers_come_and_go_in_order_through_many_rounds(void **state)
{
	churn(*state, 70000, 32); /* past the wrap of a 16-bit index */
}

static void ids_need_not_match_positions(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fe_ring_scatter(&f->ring, 7), 0);
	churn(f, 3000, 29);
}

static void a_full_ring_is_all_there(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {BUFFERS, 64};
	struct fe_chain chain = {.segs = &seg, .n_in = 1};
	struct vq_chain c;
	unsigned n = 0;

	while (!fe_ring_add(&f->ring, &chain))
		n++;
	fe_ring_publish(&f->ring);
	assert_int_equal(n, f->num);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
		complete(f, &c, 1);
	}
	assert_int_equal(fetch(f, &c, true), VQ_EMPTY);
	flush(f);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fe_ring_pop(&f->ring, &(struct fe_used){0}), 0);
}

static void a_chain_as_long_as_the_ring_is_accepted(void **state)
{
	struct fixture *f = *state;
	struct fe_seg segs[256];
	struct vq_chain c;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < f->num; i++)
			segs[i] = (struct fe_seg){BUFFERS + i * 64, 10};
		post(f, segs, f->num, false, round);
		assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
		assert_int_equal(c.nsegs, f->num);
		assert_int_equal(c.len, 10 * f->num);
		complete(f, &c, 0);
		flush(f);
		assert_int_equal(fe_ring_pop(&f->ring, &(struct fe_used){0}), 0);
	}
}

static void what_is_rewound_comes_again(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain first, again;
	struct vq_cursor at;

	for (unsigned i = 0; i < f->num - 1u; i++) { /* up to the wrap */
		post(f, &seg, 1, true, i);
		assert_int_equal(fetch(f, &first, true), VQ_CHAIN);
		complete(f, &first, 0);
		flush(f);
		assert_int_equal(fe_ring_pop(&f->ring, &(struct fe_used){0}), 0);
	}
	post(f, &seg, 1, true, 1000);
	post(f, &seg, 1, true, 1001);
	at = f->vq.next;
	assert_int_equal(fetch(f, &first, true), VQ_CHAIN);
	assert_int_equal(fetch(f, &again, true), VQ_CHAIN);
	rewind_to(f, at);
	assert_int_equal(fetch(f, &again, true), VQ_CHAIN);
	assert_int_equal(again.id, first.id);
	complete(f, &again, 5);
	flush(f);
	assert_int_equal(fe_ring_pop(&f->ring, &(struct fe_used){0}), 0);
	assert_int_equal(fetch(f, &again, true), VQ_CHAIN);
}

static void a_buffer_across_regions_becomes_two_segments(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {BORDER - 10, 30};
	struct vq_chain c;

	post(f, &seg, 1, true, 1);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	assert_int_equal(c.nsegs, 2);
	assert_int_equal(c.len, 30);
	assert_int_equal(f->segs[0].len, 10);
	assert_int_equal(f->segs[1].len, 20);
	memset(f->segs[0].data, 0x11, 10);
	memset(f->segs[1].data, 0x22, 20);
	assert_int_equal(*guest(f, BORDER - 1), 0x11);
	assert_int_equal(*guest(f, BORDER), 0x22);
	assert_int_equal(*guest(f, BORDER + 19), 0x22);
	assert_int_equal(*guest(f, BORDER + 20), 0);
}

/* Post an indirect chain of `n` pieces whose table is at `table`. */
static void post_indirect(struct fixture *f, uint64_t table, unsigned n)
{
	union fe_indirect_desc copy[64];
	struct fe_seg segs[64];
	struct fe_chain c = {.segs = segs, .n_out = (uint16_t)n, .table = copy, .table_gpa = table};

	for (unsigned i = 0; i < n; i++)
		segs[i] = (struct fe_seg){BUFFERS + i * 128, 10 + i};
	assert_int_equal(fe_ring_add(&f->ring, &c), 0);
	for (size_t i = 0; i < n * sizeof(copy[0]); i++)
		*guest(f, table + i) = ((uint8_t *)copy)[i];
	fe_ring_publish(&f->ring);
}

static void an_indirect_table_is_followed_wherever_it_lies(void **state)
{
	/* In one piece, misaligned, across two regions, and across them inside a descriptor. */
	const uint64_t tables[] = {
		BUFFERS + 0x40000, BUFFERS + 0x40003, BORDER - 64, BORDER - 24, BORDER - 21};
	struct fixture *f = *state;

	for (size_t t = 0; t < RW_ARRAY_SIZE(tables); t++) {
		struct vq_chain c;

		post_indirect(f, tables[t], 9);
		assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
		assert_int_equal(c.nsegs, 9);
		for (unsigned i = 0; i < 9; i++) {
			*guest(f, BUFFERS + i * 128) = (uint8_t)(i + t);
			assert_int_equal(*f->segs[i].data, i + t);
			assert_int_equal(f->segs[i].len, 10 + i);
		}
		complete(f, &c, 0);
		flush(f);
		assert_int_equal(fe_ring_pop(&f->ring, &(struct fe_used){0}), 0);
	}
}

/* ---- notifications ---- */

static void use_one(struct fixture *f)
{
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain c;

	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	complete(f, &c, 1);
	flush(f);
	signal_driver(f);
	assert_int_equal(fe_ring_pop(&f->ring, &(struct fe_used){0}), 0);
}

static void an_interrupt_comes_when_wanted_and_not_otherwise(void **state)
{
	struct fixture *f = *state;

	fe_ring_want_interrupt(&f->ring, true);
	use_one(f);
	assert_int_equal(interrupts(f), 1);
	fe_ring_want_interrupt(&f->ring, false);
	for (int i = 0; i < 600; i++)
		use_one(f);
	assert_int_equal(interrupts(f), 0);
	fe_ring_want_interrupt(&f->ring, true);
	use_one(f);
	assert_int_equal(interrupts(f), 1);
}

static void without_a_call_eventfd_no_signal_is_sent(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain c;

	f->vq.call_fd = -1;
	fe_ring_want_interrupt(&f->ring, true);
	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	complete(f, &c, 1);
	flush(f);
	assert_false(signal_driver(f));
	assert_int_equal(interrupts(f), 0);
}

static void an_event_index_names_the_buffer_to_wait_for(void **state)
{
	struct fixture *f = *state;

	use_one(f); /* the first one signals whatever the index says */
	interrupts(f);
	for (int round = 0; round < 100; round++) { /* 100 * 7 buffers: several wraps */
		assert_int_equal(fe_ring_interrupt_after(&f->ring, 7), 0);
		for (int i = 0; i < 6; i++)
			use_one(f);
		assert_int_equal(interrupts(f), 0);
		use_one(f);
		assert_int_equal(interrupts(f), 1);
	}
}

static void a_burst_interrupts_once(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain c;

	fe_ring_want_interrupt(&f->ring, true);
	for (int i = 0; i < 20; i++)
		post(f, &seg, 1, true, 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
		complete(f, &c, 1);
	}
	flush(f);
	assert_true(signal_driver(f));
	assert_int_equal(interrupts(f), 1);
}

static void kicks_are_not_wanted(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 600; i++) {
		struct fe_seg seg = {BUFFERS, 64};
		struct vq_chain c;

		post(f, &seg, 1, true, 0);
		assert_false(fe_ring_needs_kick(&f->ring));
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
		complete(f, &c, 1);
		flush(f);
		assert_int_equal(fe_ring_pop(&f->ring, &(struct fe_used){0}), 0);
	}
}

static void an_emptied_ring_is_told_even_to_who_suppressed_it(void **state)
{
	struct fixture *f = *state;
	struct fe_seg seg = {BUFFERS, 64};
	struct vq_chain c;

	fe_ring_want_interrupt(&f->ring, false);
	post(f, &seg, 1, true, 0);
	post(f, &seg, 1, true, 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	complete(f, &c, 1);
	flush(f);
	assert_false(signal_driver(f)); /* one buffer is left */
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	complete(f, &c, 1);
	flush(f);
	assert_true(signal_driver(f));
	assert_int_equal(interrupts(f), 1);
}

static void a_full_or_closed_call_eventfd_blocks_nobody(void **state)
{
	struct fixture *f = *state;
	uint64_t full = UINT64_MAX - 1;

	assert_int_equal(write(f->call_fd, &full, sizeof(full)), sizeof(full));
	fe_ring_want_interrupt(&f->ring, true);
	use_one(f);
	f->vq.call_fd = -1;
	use_one(f);
}

/* ---- going on ---- */

static void a_queue_goes_on_where_its_predecessor_stopped(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);

	for (int i = 0; i < 10; i++) {
		churn(f, 100 + (uint32_t)i * 37, 16);
		cfg.base = vq_base(&f->vq, f->packed);
		assert_int_equal(restart(f, &cfg), 0);
	}
}

/* Variants by size, start and feature. */
static const struct setup split_2 = {.format = FE_SPLIT, .num = 2};
static const struct setup split_32768 = {.format = FE_SPLIT, .num = 32768};
static const struct setup split_at_65530 = {.format = FE_SPLIT, .num = 64, .start = 65530};
static const struct setup packed_1 = {.format = FE_PACKED, .num = 1, .wrap = true};
static const struct setup packed_3 = {.format = FE_PACKED, .num = 3, .wrap = true};
static const struct setup packed_257 = {.format = FE_PACKED, .num = 257, .wrap = true};
static const struct setup packed_1000 = {.format = FE_PACKED, .num = 1000, .wrap = true};
static const struct setup packed_32768 = {.format = FE_PACKED, .num = 32768, .wrap = true};
static const struct setup packed_odd_round = {.format = FE_PACKED, .num = 100, .start = 99};
static const struct setup split_event = {
	.format = FE_SPLIT, .num = 256, .features = F(VIRTIO_RING_F_EVENT_IDX)};
static const struct setup packed_event = {
	.format = FE_PACKED, .num = 256, .wrap = true, .features = F(VIRTIO_RING_F_EVENT_IDX)};
static const struct setup packed_event_100 = {
	.format = FE_PACKED, .num = 100, .wrap = true, .features = F(VIRTIO_RING_F_EVENT_IDX)};
static const struct setup split_indirect = {
	.format = FE_SPLIT, .num = 256, .features = F(VIRTIO_RING_F_INDIRECT_DESC)};
static const struct setup packed_indirect = {
	.format = FE_PACKED, .num = 256, .wrap = true, .features = F(VIRTIO_RING_F_INDIRECT_DESC)};
static const struct setup split_in_order = {
	.format = FE_SPLIT, .num = 256, .features = F(VIRTIO_F_IN_ORDER)};
static const struct setup packed_in_order = {
	.format = FE_PACKED, .num = 256, .wrap = true, .features = F(VIRTIO_F_IN_ORDER)};
static const struct setup split_at_65530_slow = {
	.format = FE_SPLIT, .num = 64, .start = 65530, .slow = X_ALL};
static const struct setup packed_1_slow = {
	.format = FE_PACKED, .num = 1, .wrap = true, .slow = X_ALL};
static const struct setup packed_257_slow = {
	.format = FE_PACKED, .num = 257, .wrap = true, .slow = X_ALL};
static const struct setup split_event_slow = {
	.format = FE_SPLIT, .num = 256, .features = F(VIRTIO_RING_F_EVENT_IDX), .slow = X_ALL};
static const struct setup packed_event_slow = {.format = FE_PACKED,
	.num = 256,
	.wrap = true,
	.features = F(VIRTIO_RING_F_EVENT_IDX),
	.slow = X_ALL};
static const struct setup split_event_big = {
	.format = FE_SPLIT, .num = 256, .features = F(VIRTIO_RING_F_EVENT_IDX), .slow = X_BIG};
static const struct setup split_indirect_slow = {
	.format = FE_SPLIT, .num = 256, .features = F(VIRTIO_RING_F_INDIRECT_DESC), .slow = X_ALL};
static const struct setup packed_indirect_slow = {.format = FE_PACKED,
	.num = 256,
	.wrap = true,
	.features = F(VIRTIO_RING_F_INDIRECT_DESC),
	.slow = X_ALL};
static const struct setup split_indirect_big = {
	.format = FE_SPLIT, .num = 256, .features = F(VIRTIO_RING_F_INDIRECT_DESC), .slow = X_BIG};
static const struct setup split_on_empty = {
	.format = FE_SPLIT, .num = 256, .features = F(VIRTIO_F_NOTIFY_ON_EMPTY)};

static void small_bursts(void **state)
{
	struct fixture *f = *state;

	churn(f, 1000, f->num < 2 ? 1 : 2);
}

static void large_bursts(void **state)
{
	churn(*state, 140000, 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EVERY(an_empty_ring_yields_nothing),
		EVERY(a_chain_becomes_the_list_of_its_buffers),
		EVERY(written_bytes_are_reported),
		EVERY(buffers_come_and_go_in_order_through_many_rounds),
		EVERY(ids_need_not_match_positions),
		EVERY(a_full_ring_is_all_there),
		EVERY(a_chain_as_long_as_the_ring_is_accepted),
		EVERY(what_is_rewound_comes_again),
		EVERY(a_buffer_across_regions_becomes_two_segments),
		EVERY(an_interrupt_comes_when_wanted_and_not_otherwise),
		EVERY(without_a_call_eventfd_no_signal_is_sent),
		EVERY(a_burst_interrupts_once),
		EVERY(kicks_are_not_wanted),
		EVERY(a_full_or_closed_call_eventfd_blocks_nobody),
		EVERY(a_queue_goes_on_where_its_predecessor_stopped),
		T(an_indirect_table_is_followed_wherever_it_lies, split_indirect),
		T(an_indirect_table_is_followed_wherever_it_lies, packed_indirect),
		T(an_indirect_table_is_followed_wherever_it_lies, split_indirect_slow),
		T(an_indirect_table_is_followed_wherever_it_lies, packed_indirect_slow),
		T(an_indirect_table_is_followed_wherever_it_lies, split_indirect_big),
		T(an_interrupt_comes_when_wanted_and_not_otherwise, split_event),
		T(an_interrupt_comes_when_wanted_and_not_otherwise, packed_event),
		T(an_event_index_names_the_buffer_to_wait_for, split_event),
		T(an_event_index_names_the_buffer_to_wait_for, packed_event),
		T(an_event_index_names_the_buffer_to_wait_for, packed_event_100),
		T(an_event_index_names_the_buffer_to_wait_for, split_event_slow),
		T(an_event_index_names_the_buffer_to_wait_for, packed_event_slow),
		T(an_event_index_names_the_buffer_to_wait_for, split_event_big),
		T(kicks_are_not_wanted, split_event),
		T(kicks_are_not_wanted, split_event_big),
		T(kicks_are_not_wanted, packed_event),
		T(an_emptied_ring_is_told_even_to_who_suppressed_it, split_on_empty),
		T(buffers_come_and_go_in_order_through_many_rounds, split_in_order),
		T(buffers_come_and_go_in_order_through_many_rounds, packed_in_order),
		T(small_bursts, split_2),
		T(small_bursts, split_at_65530),
		T(small_bursts, split_at_65530_slow),
		T(small_bursts, packed_1),
		T(small_bursts, packed_1_slow),
		T(small_bursts, packed_257_slow),
		T(small_bursts, packed_3),
		T(small_bursts, packed_257),
		T(small_bursts, packed_odd_round),
		T(buffers_come_and_go_in_order_through_many_rounds, packed_1000),
		T(a_full_ring_is_all_there, packed_257),
		T(large_bursts, split_32768),
		T(large_bursts, packed_32768),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
