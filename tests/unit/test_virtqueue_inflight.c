/* SPDX-License-Identifier: BSD-3-Clause */
/* The in-flight record: what it says after each step, and what becomes of it after a restart. */
#include "vq_fixture.h"

static const struct setup split = {.format = FE_SPLIT, .num = 8, .slow = X_RECORD};
static const struct setup packed = {.format = FE_PACKED, .num = 8, .wrap = true, .slow = X_RECORD};
static const struct setup split_all = {.format = FE_SPLIT, .num = 8, .slow = X_ALL};
static const struct setup packed_all = {.format = FE_PACKED, .num = 8, .wrap = true, .slow = X_ALL};
static const struct setup split_big = {.format = FE_SPLIT, .num = 8, .slow = X_ALL | X_BIG};
static const struct setup split_event = {
	.format = FE_SPLIT, .num = 8, .features = F(VIRTIO_RING_F_EVENT_IDX), .slow = X_RECORD};
#define EVERY(fn) BOTH(fn), T(fn, split_all), T(fn, packed_all), T(fn, split_big)

/* The layouts, by the text of vhost-user. */
struct state_split {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};
struct region_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct state_split desc[];
};
struct state_packed {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};
struct region_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct state_packed desc[];
};

static struct region_split *rs(struct fixture *f)
{
	return f->record;
}

static struct region_packed *rp(struct fixture *f)
{
	return f->record;
}

/* Chains that the record says are in flight. */
static unsigned marks(struct fixture *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->num; i++)
		n += f->packed ? rp(f)->desc[i].inflight : rs(f)->desc[i].inflight;
	return n;
}

/* Buffer `i` of a test: where it is says which it is. */
static void post_nth(struct fixture *f, unsigned i)
{
	struct fe_seg seg = {BUFFERS + i * 0x1000, 64};

	post(f, &seg, 1, true, i);
}

/* The next chain is buffer `i`. */
static void fetch_nth(struct fixture *f, struct vq_chain *c, unsigned i)
{
	assert_int_equal(fetch(f, c, true), VQ_CHAIN);
	assert_int_equal(c->nsegs, 1);
	assert_int_equal(f->segs[0].data - f->map->regions[0].host, BUFFERS + i * 0x1000);
}

static void pop_nth(struct fixture *f, unsigned i)
{
	struct fe_used used;

	assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
	assert_int_equal(used.token, i);
}

/* Buffers `from` to `to`, fetched, used and popped. */
static void use(struct fixture *f, unsigned from, unsigned to)
{
	struct vq_chain c;

	for (unsigned i = from; i < to; i++) {
		fetch_nth(f, &c, i);
		complete(f, &c, 1);
		flush(f);
		pop_nth(f, i);
	}
	assert_int_equal(fetch(f, &c, true), VQ_EMPTY);
}

/* ---- the record, step by step ---- */

static void a_region_is_as_long_as_the_text_says_in_whole_lines(void **state)
{
	(void)state;
	assert_int_equal(vq_inflight_bytes(0, 1), 64);
	assert_int_equal(vq_inflight_bytes(0, 3), 64);
	assert_int_equal(vq_inflight_bytes(0, 4), 128);
	assert_int_equal(vq_inflight_bytes(0, 256), 16 + 256 * 16 + 48);
	assert_int_equal(vq_inflight_bytes(0, 32768), 16 + 32768 * 16 + 48);
	assert_int_equal(vq_inflight_bytes(F(VIRTIO_F_RING_PACKED), 1), 64);
	assert_int_equal(vq_inflight_bytes(F(VIRTIO_F_RING_PACKED), 2), 128);
	assert_int_equal(vq_inflight_bytes(F(VIRTIO_F_RING_PACKED), 256), 32 + 256 * 32 + 32);
}

static void a_fresh_region_becomes_a_record_in_which_nothing_is_in_flight(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rs(f)->version, 1);
	assert_int_equal(rs(f)->features, 0);
	assert_int_equal(rs(f)->desc_num, 8);
	assert_int_equal(marks(f), 0);
	if (!f->packed)
		return;
	assert_int_equal(rp(f)->used_wrap_counter, 1);
	assert_int_equal(rp(f)->old_used_wrap_counter, 1);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(rp(f)->desc[i].next, i + 1);
}

static void a_taken_head_is_marked_and_numbered(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c[3];

	for (unsigned i = 0; i < 3; i++)
		post_nth(f, i);
	for (unsigned i = 0; i < 3; i++) {
		fetch_nth(f, &c[i], i);
		assert_int_equal(marks(f), i + 1);
		assert_int_equal(rs(f)->desc[c[i].id].inflight, 1);
		assert_int_equal(rs(f)->desc[c[i].id].counter, i);
	}
}

static void a_batch_is_listed_before_and_unmarked_after_it_is_published(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c[3];

	for (unsigned i = 0; i < 3; i++) {
		post_nth(f, i);
		fetch_nth(f, &c[i], i);
	}
	complete(f, &c[0], 1);
	assert_int_equal(rs(f)->last_batch_head, c[0].id);
	complete(f, &c[1], 1);
	assert_int_equal(rs(f)->last_batch_head, c[1].id);
	assert_int_equal(rs(f)->desc[c[1].id].next, c[0].id);
	assert_int_equal(rs(f)->used_idx, 0);
	assert_int_equal(marks(f), 3);
	flush(f);
	assert_int_equal(rs(f)->used_idx, 2);
	assert_int_equal(marks(f), 1);
	assert_int_equal(rs(f)->desc[c[2].id].inflight, 1);
}

static void a_taken_chain_is_copied_and_its_entries_return_to_the_free_list(void **state)
{
	struct fixture *f = *state;
	struct fe_seg segs[3] = {{BUFFERS, 10}, {BUFFERS + 0x1000, 20}, {BUFFERS + 0x2000, 30}};
	struct region_packed *r = rp(f);
	struct vq_chain one, two;

	post(f, segs, 3, true, 0);
	post(f, segs, 1, true, 1);
	assert_int_equal(fetch(f, &one, true), VQ_CHAIN);
	assert_int_equal(r->free_head, 3);
	assert_int_equal(r->old_free_head, 3);
	assert_int_equal(r->desc[0].inflight, 1);
	assert_int_equal(r->desc[0].num, 3);
	assert_int_equal(r->desc[0].last, 2);
	assert_int_equal(r->desc[0].counter, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(r->desc[i].addr, segs[i].gpa);
		assert_int_equal(r->desc[i].len, segs[i].len);
		assert_int_equal(r->desc[i].flags, f->ring.pdesc[i].flags);
		assert_int_equal(r->desc[i].next, i + 1);
	}
	assert_int_equal(r->desc[2].id, one.id);
	assert_int_equal(fetch(f, &two, true), VQ_CHAIN);
	assert_int_equal(r->desc[3].counter, 1);
	complete(f, &one, 1);
	assert_int_equal(r->used_idx, 0);
	flush(f);
	assert_int_equal(r->used_idx, 3);
	assert_int_equal(r->old_used_idx, 3);
	assert_int_equal(r->desc[0].inflight, 0);
	assert_int_equal(r->free_head, 0);
	assert_int_equal(r->old_free_head, 0);
	assert_int_equal(r->desc[2].next, 4);
	assert_int_equal(marks(f), 1);
}

static void what_is_rewound_is_not_in_flight(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c[4];
	struct vq_cursor at;

	for (unsigned round = 0; round < 5; round++) { /* round the ring more than once */
		for (unsigned i = 0; i < 4; i++)
			post_nth(f, i);
		fetch_nth(f, &c[0], 0);
		at = f->vq.next;
		for (unsigned i = 1; i < 4; i++)
			fetch_nth(f, &c[i], i);
		complete(f, &c[0], 1);
		rewind_to(f, at); /* with a batch open */
		assert_int_equal(marks(f), 1);
		fetch_nth(f, &c[1], 1);
		at = f->vq.next;
		fetch_nth(f, &c[2], 2);
		flush(f);
		rewind_to(f, at); /* after the flush of what came before */
		assert_int_equal(marks(f), 1);
		rewind_to(f, at); /* nothing */
		assert_int_equal(marks(f), 1);
		complete(f, &c[1], 1);
		flush(f);
		assert_int_equal(marks(f), 0);
		pop_nth(f, 0);
		pop_nth(f, 1);
		use(f, 2, 4);
	}
}

/* ---- going on ---- */

/* The base that says: nothing ever happened. What front-ends remember may be as old as that. */
static struct vq_config stale(struct fixture *f)
{
	return config_of(f);
}

static uint32_t base_at(const struct fixture *f, unsigned avail, unsigned used)
{
	uint32_t a = avail % 8 | (avail / 8 % 2 ? 0 : 0x8000u);
	uint32_t u = used % 8 | (used / 8 % 2 ? 0 : 0x8000u);

	return f->packed ? a | u << 16 : avail;
}

static void what_was_in_flight_comes_first(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = stale(f);
	struct vq_chain c;

	for (unsigned round = 0; round < 7; round++) { /* 42 buffers: five times round the ring */
		unsigned at = round * 6;

		for (unsigned i = 0; i < 6; i++)
			post_nth(f, i);
		for (unsigned i = 0; i < 4; i++) {
			fetch_nth(f, &c, i);
			if (i)
				continue;
			complete(f, &c, 1);
			flush(f);
		}
		assert_int_equal(restart(f, &cfg), 0);
		assert_int_equal(marks(f), 3);
		assert_true(peek(f, 3) == 3);
		assert_int_equal(vq_base(&f->vq, f->packed), base_at(f, at + 1, at + 1));
		pop_nth(f, 0);
		fetch_nth(f, &c, 1);
		assert_int_equal(vq_base(&f->vq, f->packed), base_at(f, at + 2, at + 1));
		complete(f, &c, 1);
		flush(f);
		pop_nth(f, 1);
		assert_int_equal(vq_base(&f->vq, f->packed), base_at(f, at + 2, at + 2));
		assert_int_equal(restart(f, &cfg), 0); /* with two of the old ones still to come */
		use(f, 2, 6);
		assert_int_equal(marks(f), 0);
	}
}

static void what_is_resumed_and_rewound_stays_in_flight(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = stale(f);
	struct vq_chain c;
	struct vq_cursor at;

	for (unsigned i = 0; i < 6; i++)
		post_nth(f, i);
	for (unsigned i = 0; i < 3; i++)
		fetch_nth(f, &c, i);
	assert_int_equal(restart(f, &cfg), 0);
	at = f->vq.next;
	for (unsigned i = 0; i < 5; i++)
		fetch_nth(f, &c, i);
	assert_int_equal(marks(f), 5);
	rewind_to(f, at); /* three old ones and two new */
	assert_int_equal(marks(f), 3);
	use(f, 0, 6);
}

static void a_chain_used_before_the_kill_is_not_resumed(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = stale(f);
	struct vq_chain c[3];

	for (unsigned i = 0; i < 3; i++) {
		post_nth(f, i);
		fetch_nth(f, &c[i], i);
	}
	complete(f, &c[0], 1);
	complete(f, &c[1], 1);
	flush(f);
	/* As if the kill had come right behind the publication. */
	if (f->packed) {
		rp(f)->desc[0].inflight = rp(f)->desc[1].inflight = 1;
		rp(f)->old_used_idx = 0;
		rp(f)->old_free_head = 3;
	} else {
		rs(f)->desc[c[0].id].inflight = rs(f)->desc[c[1].id].inflight = 1;
		rs(f)->used_idx = 0;
	}
	assert_int_equal(restart(f, &cfg), 0);
	assert_int_equal(marks(f), 1);
	pop_nth(f, 0);
	pop_nth(f, 1);
	use(f, 2, 3);
}

/* A predecessor that uses buffers in any order leaves records in which places mean nothing. */
static void counters_say_what_comes_first(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = stale(f);
	struct vq_chain c[3];

	for (unsigned i = 0; i < 3; i++) {
		post_nth(f, i);
		fetch_nth(f, &c[i], i);
	}
	for (unsigned i = 0; i < 3; i++) {
		uint64_t counter = UINT32_MAX - (uint64_t)i;

		if (f->packed)
			rp(f)->desc[i].counter = counter;
		else
			rs(f)->desc[c[i].id].counter = counter;
	}
	/* The ring itself has gone on over them. */
	if (f->packed)
		memset(f->ring.pdesc, 0, 3 * sizeof(f->ring.pdesc[0]));
	else
		memset(f->ring.avail->ring, 0xff, 3 * sizeof(f->ring.avail->ring[0]));
	assert_int_equal(restart(f, &cfg), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct fe_used used;

		fetch_nth(f, &c[i], 2 - i);
		complete(f, &c[i], 1);
		flush(f);
		assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
		assert_int_equal(used.token, 2 - i);
	}
	assert_int_equal(marks(f), 0);
	post_nth(f, 3);
	fetch_nth(f, &c[0], 3);
	if (!f->packed)
		assert_int_equal(rs(f)->desc[c[0].id].counter, UINT32_MAX + 1ull);
}

static void the_driver_is_interrupted_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = stale(f);

	cfg.call_fd = f->call_fd;
	assert_int_equal(interrupts(f), 0); /* a fresh record: nothing can have been missed */
	assert_int_equal(restart(f, &cfg), 0);
	assert_int_equal(interrupts(f), 1);
}

/* As the owner of a queue does that has answered GET_VRING_BASE. */
static void rest(struct fixture *f)
{
	if (vq_inflight_idle(&f->vq))
		vq_inflight_forget(rs(f));
}

/* A clean stop: the front-end has the base, the driver may begin anew before the next start. */
static void a_record_at_rest_believes_the_base(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = stale(f);
	struct vq_chain c;

	post_nth(f, 0);
	fetch_nth(f, &c, 0);
	rest(f);
	assert_int_equal(rs(f)->version, 1); /* something is in flight */
	complete(f, &c, 1);
	rest(f);
	assert_int_equal(rs(f)->version, 1); /* not published */
	flush(f);
	rest(f);
	assert_int_equal(rs(f)->version, 0);
	cfg.base = f->packed ? 0x80048004 : 4;
	if (!f->packed)
		f->ring.used->idx = 4;
	assert_int_equal(restart(f, &cfg), 0);
	assert_int_equal(vq_base(&f->vq, f->packed), cfg.base);
	assert_int_equal(rs(f)->version, 1);
}

/* A driver that resets its ring while nothing is in flight leaves no contradiction behind. */
static void a_used_index_that_began_anew_is_fine_when_nothing_is_in_flight(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = stale(f);

	rs(f)->used_idx = 30000;
	rs(f)->last_batch_head = 0xffff;
	assert_int_equal(restart(f, &cfg), 0);
	assert_int_equal(rs(f)->used_idx, 0);
	post_nth(f, 0);
	use(f, 0, 1);
}

static void kicks_are_still_not_wanted_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = stale(f);
	struct vq_chain c;

	for (unsigned i = 0; i < 5; i++) {
		post_nth(f, i);
		fetch_nth(f, &c, i);
	}
	assert_int_equal(restart(f, &cfg), 0);
	(void)fe_ring_needs_kick(&f->ring);
	post_nth(f, 5);
	assert_false(fe_ring_needs_kick(&f->ring));
	use(f, 0, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_region_is_as_long_as_the_text_says_in_whole_lines),
		BOTH(a_fresh_region_becomes_a_record_in_which_nothing_is_in_flight),
		T(a_taken_head_is_marked_and_numbered, split),
		T(a_batch_is_listed_before_and_unmarked_after_it_is_published, split),
		T(a_taken_chain_is_copied_and_its_entries_return_to_the_free_list, packed),
		EVERY(what_is_rewound_is_not_in_flight),
		EVERY(what_was_in_flight_comes_first),
		EVERY(what_is_resumed_and_rewound_stays_in_flight),
		EVERY(a_chain_used_before_the_kill_is_not_resumed),
		EVERY(counters_say_what_comes_first),
		BOTH(the_driver_is_interrupted_after_a_restart),
		BOTH(a_record_at_rest_believes_the_base),
		T(a_used_index_that_began_anew_is_fine_when_nothing_is_in_flight, split),
		BOTH(kicks_are_still_not_wanted_after_a_restart),
		T(kicks_are_still_not_wanted_after_a_restart, split_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
