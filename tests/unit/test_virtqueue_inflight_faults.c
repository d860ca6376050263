/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight record lies in memory of the front-end. Whatever is written there is refused when
 * the queue starts, or ignored while it runs.
 */
#include "vq_fixture.h"

static const struct setup split = {.format = FE_SPLIT, .num = 8, .slow = X_RECORD};
static const struct setup packed = {.format = FE_PACKED, .num = 8, .wrap = true, .slow = X_RECORD};

/* Where the fields are, by the text of vhost-user. */
#define FEATURES        0u
#define VERSION         8u
#define DESC_NUM        10u
#define LAST_BATCH_HEAD 12u /* split */
#define USED_IDX        14u
#define FREE_HEAD       12u /* packed */
#define OLD_FREE_HEAD   14u
#define P_USED_IDX      16u
#define P_OLD_USED_IDX  18u
#define P_WRAP          20u
#define P_OLD_WRAP      21u

/* Of entry `i`. */
#define INFLIGHT(i) (16u + 16u * (i))
#define NEXT(i)     (16u + 16u * (i) + 6)
#define P_IN(i)     (32u + 32u * (i))
#define P_NEXT(i)   (32u + 32u * (i) + 2)
#define P_LAST(i)   (32u + 32u * (i) + 4)
#define P_NUM(i)    (32u + 32u * (i) + 6)

static void put8(struct fixture *f, unsigned at, unsigned v)
{
	((uint8_t *)f->record)[at] = (uint8_t)v;
}

static void put16(struct fixture *f, unsigned at, unsigned v)
{
	((uint16_t *)f->record)[at / 2] = (uint16_t)v;
}

/* Three chains of two descriptors are made available, two of them are taken. */
static void take_two(struct fixture *f)
{
	struct fe_seg segs[2] = {{BUFFERS, 64}, {BUFFERS + 4096, 64}};
	struct vq_chain c;

	for (unsigned i = 0; i < 3; i++)
		post(f, segs, 2, true, i);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
}

/* The record is refused, and neither it nor the ring has changed. */
static void assert_refused(struct fixture *f)
{
	uint64_t bytes = vq_inflight_bytes(f->features, f->num);
	struct vq_config cfg = config_of(f);
	uint8_t ring[4096], record[512];

	assert_true(bytes <= sizeof(record));
	memcpy(ring, f->mem[0], sizeof(ring));
	memcpy(record, f->record, bytes);
	assert_int_equal(restart(f, &cfg), -EINVAL);
	assert_memory_equal(ring, f->mem[0], sizeof(ring));
	assert_memory_equal(record, f->record, bytes);
}

struct edit {
	unsigned at;
	unsigned bytes; /* 1, 2; 0 ends the list */
	unsigned v;
};

/* Each line is a record of two chains in flight with a few fields changed. */
static void assert_each_refused(struct fixture *f, const struct edit (*cases)[4], size_t n)
{
	uint64_t bytes = vq_inflight_bytes(f->features, f->num);
	struct vq_config cfg = config_of(f);
	uint8_t good[512];

	take_two(f);
	memcpy(good, f->record, bytes);
	for (size_t i = 0; i < n; i++) {
		for (const struct edit *e = cases[i]; e->bytes; e++) {
			if (e->bytes == 1)
				put8(f, e->at, e->v);
			else
				put16(f, e->at, e->v);
		}
		assert_refused(f);
		memcpy(f->record, good, bytes);
	}
	assert_int_equal(restart(f, &cfg), 0); /* what was good is good */
}

static void a_split_record_that_makes_no_sense_is_refused(void **state)
{
	/* The driver takes heads 0, 2 and 4; those in flight are 0 and 2. */
	static const struct edit cases[][4] = {
		{{VERSION, 2, 2}},
		{{VERSION, 2, 0xffff}},
		{{FEATURES, 1, 1}},
		{{DESC_NUM, 2, 7}},
		{{DESC_NUM, 2, 0}},
		{{INFLIGHT(0), 1, 2}},
		{{INFLIGHT(7), 1, 0xff}},
		{{INFLIGHT(1), 1, 1}, {INFLIGHT(3), 1, 1}}, /* four in flight of three */
		{{USED_IDX, 2, 0xfff7}},                    /* a batch of nine */
		{{USED_IDX, 2, 1}},                         /* and one of 65535 */
		{{USED_IDX, 2, 0xffff}, {LAST_BATCH_HEAD, 2, 8}},
		{{USED_IDX, 2, 0xffff}, {LAST_BATCH_HEAD, 2, 0xffff}},
		{{USED_IDX, 2, 0xfffe}, {LAST_BATCH_HEAD, 2, 5}, {NEXT(5), 2, 0x8000}},
	};

	assert_each_refused(*state, cases, RW_ARRAY_SIZE(cases));
}

static void a_packed_record_that_makes_no_sense_is_refused(void **state)
{
	/* Entries 0, 1 and 2, 3 are in flight, 4 to 7 free. */
	static const struct edit cases[][4] = {
		{{VERSION, 2, 2}},
		{{FEATURES, 1, 0x80}},
		{{DESC_NUM, 2, 4}},
		{{P_USED_IDX, 2, 8}},
		{{P_OLD_USED_IDX, 2, 0xffff}},
		{{P_WRAP, 1, 2}},
		{{P_OLD_WRAP, 1, 0xff}},
		{{P_IN(0), 1, 2}},
		{{P_IN(2), 1, 0}},        /* entries that are nobody's */
		{{P_IN(1), 1, 1}},        /* a chain within a chain */
		{{OLD_FREE_HEAD, 2, 5}},  /* entry 4 is nobody's */
		{{OLD_FREE_HEAD, 2, 8}},  /* nothing is free, four entries are nobody's */
		{{OLD_FREE_HEAD, 2, 1}},  /* a chain's entry is free */
		{{OLD_FREE_HEAD, 2, 3}},  /* the same at its end */
		{{P_NEXT(7), 2, 4}},      /* a free list without end */
		{{P_NEXT(7), 2, 7}},      /* the same */
		{{P_NEXT(5), 2, 0xffff}}, /* the list ends too early */
		{{P_NEXT(7), 2, 2}},      /* it runs into a chain */
		{{P_NEXT(0), 2, 8}},      /* a chain that leaves the table */
		{{P_NEXT(0), 2, 0}},      /* that bites its tail */
		{{P_NEXT(0), 2, 5}},      /* that runs into the free list */
		{{P_NEXT(0), 2, 2}},      /* that runs into another chain */
		{{P_NUM(0), 2, 0}},       /* of no length */
		{{P_NUM(0), 2, 9}},       /* longer than the ring */
		{{P_NUM(0), 2, 1}},       /* that ends before its last entry */
		{{P_LAST(0), 2, 0xffff}}, /* whose last entry is none */
		{{P_NUM(2), 2, 6}, {P_LAST(2), 2, 7}}, /* that has swallowed the free list */
		/* A batch said to be published, the driver having no available descriptor there. */
		{{P_OLD_USED_IDX, 2, 7}, {FREE_HEAD, 2, 9}},
		{{P_OLD_USED_IDX, 2, 7}, {FREE_HEAD, 2, 0}, {P_NEXT(1), 2, 0}},
	};

	assert_each_refused(*state, cases, RW_ARRAY_SIZE(cases));
}

static void a_region_that_is_not_aligned_is_refused(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);

	cfg.inflight = (uint8_t *)f->record + 4;
	assert_int_equal(restart(f, &cfg), -EINVAL);
}

/* The front-end asked for a buffer for long rings; the driver chose a shorter one. */
static void a_record_for_a_longer_ring_will_do(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);
	struct vq_chain c;

	take_two(f);
	put16(f, DESC_NUM, 1024);
	assert_int_equal(restart(f, &cfg), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
		complete(f, &c, 1);
	}
	assert_int_equal(fetch(f, &c, true), VQ_EMPTY);
	flush(f);
}

/* Whatever else is true of a region that is accepted, the queue stays within its arrays. */
static void random_records_do_no_harm(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = vq_inflight_bytes(f->features, f->num), accepted = 0;
	uint8_t good[512], ring[4096];

	take_two(f);
	memcpy(good, f->record, bytes);
	memcpy(ring, f->mem[0], sizeof(ring));
	srand(1);
	for (unsigned i = 0; i < 30000; i++) {
		struct vq_config cfg = config_of(f);
		struct vq_chain c[16];
		unsigned n = 0;

		memcpy(f->record, good, bytes);
		memcpy(f->mem[0], ring, sizeof(ring));
		for (int edits = 1 + rand() % 3; edits; edits--)
			put8(f, (unsigned)rand() % (unsigned)bytes, (unsigned)rand() % 12);
		if (restart(f, &cfg))
			continue;
		accepted++;
		while (n < 16 && fetch(f, &c[n], true) != VQ_EMPTY && !f->vq.broken)
			n++;
		for (unsigned k = 0; k < n; k++)
			complete(f, &c[k], 1);
		flush(f);
	}
	assert_true(accepted > 1000);
}

/* A running queue reads nothing from the region: the front-end spoils its own record only. */
static void scribbling_over_a_record_in_use_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct fe_seg segs[2] = {{BUFFERS, 64}, {BUFFERS + 4096, 64}};
	struct vq_chain c[3];

	for (unsigned i = 0; i < 200; i++) {
		struct vq_cursor at;

		memset(f->record, (int)(i * 37), vq_inflight_bytes(f->features, f->num));
		for (unsigned k = 0; k < 3; k++)
			post(f, segs, 1 + (i + k) % 2, true, k);
		assert_int_equal(fetch(f, &c[0], true), VQ_CHAIN);
		at = f->vq.next;
		assert_int_equal(fetch(f, &c[1], true), VQ_CHAIN);
		rewind_to(f, at);
		memset(f->record, (int)(i * 53), vq_inflight_bytes(f->features, f->num));
		for (unsigned k = 1; k < 3; k++)
			assert_int_equal(fetch(f, &c[k], true), VQ_CHAIN);
		for (unsigned k = 0; k < 3; k++)
			complete(f, &c[k], 1);
		flush(f);
		for (unsigned k = 0; k < 3; k++) {
			struct fe_used used;

			assert_int_equal(fe_ring_pop(&f->ring, &used), 0);
			assert_int_equal(used.token, k);
		}
	}
}

/* More is made available than the ring has: the record has no room for it. */
static void a_driver_that_offers_more_than_its_ring_breaks_it(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	if (f->packed) {
		for (unsigned i = 0; i < 8; i++)
			f->ring.pdesc[i] = (struct vring_packed_desc){.addr = BUFFERS,
				.len = 1,
				.flags = VQ_PACKED_AVAIL | VRING_DESC_F_WRITE};
	} else {
		for (unsigned i = 0; i < 8; i++) {
			f->ring.desc[i] = (struct vring_desc){
				.addr = BUFFERS, .len = 1, .flags = VRING_DESC_F_WRITE};
			f->ring.avail->ring[i] = (uint16_t)i;
		}
		f->ring.avail->idx = 8;
	}
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	if (f->packed)
		f->ring.pdesc[0].flags = VQ_PACKED_USED | VRING_DESC_F_WRITE;
	else
		f->ring.avail->idx = 9;
	assert_int_equal(fetch(f, &c, true), VQ_BROKEN);
	assert_true(f->vq.broken);
}

/* A chain without end must not stay in the record, nor spoil what was taken before it. */
static void a_chain_without_end_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	struct vq_config cfg = config_of(f);
	struct vq_chain good, c;

	for (unsigned i = 0; i < 8; i++)
		f->ring.pdesc[i] = (struct vring_packed_desc){.addr = BUFFERS,
			.len = 1,
			.flags = VQ_PACKED_AVAIL | VRING_DESC_F_WRITE |
				(i ? VRING_DESC_F_NEXT : 0)};
	assert_int_equal(fetch(f, &good, true), VQ_CHAIN);
	assert_int_equal(fetch(f, &c, true), VQ_BROKEN);
	complete(f, &good, 1);
	flush(f);
	f->ring.pdesc[2].flags &= (uint16_t)~VRING_DESC_F_NEXT;
	assert_int_equal(restart(f, &cfg), 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	assert_int_equal(c.ndesc, 2);
	assert_int_equal(vq_base(&f->vq, true), 0x80018003);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_split_record_that_makes_no_sense_is_refused, split),
		T(a_packed_record_that_makes_no_sense_is_refused, packed),
		BOTH(a_region_that_is_not_aligned_is_refused),
		BOTH(a_record_for_a_longer_ring_will_do),
		BOTH(random_records_do_no_harm),
		BOTH(scribbling_over_a_record_in_use_changes_nothing),
		BOTH(a_driver_that_offers_more_than_its_ring_breaks_it),
		T(a_chain_without_end_leaves_no_trace, packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
