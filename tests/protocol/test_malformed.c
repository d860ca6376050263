/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guests that break the rules of their rings. A bad chain is counted and given back, a ring that
 * lies about itself rests until it is reset, and nobody else notices: y and z go on meanwhile.
 */
#include "harness.h"

#include <string.h>
#include <sys/eventfd.h>

#define SIZE 16 /* of the rings that are tampered with */

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	return rig_start(&rig, "abyz", NULL);
}

static const uint64_t formats[] = {0, PACKED};

/* The rogue guest a, the honest b, and two that have nothing to do with it. */
struct scene {
	struct rig *r;
	struct peer *a, *b, *y, *z;
};

static struct scene scene_up(struct rig *r, uint64_t features)
{
	struct fe_guest_config c = guest_usual();
	struct scene s = {.r = r};

	c.features |= features;
	c.tx_size = SIZE;
	c.rx_size = SIZE;
	s.y = peer_up(r, "y", NULL);
	s.z = peer_up(r, "z", NULL);
	peers_meet(r, s.y, s.z);
	s.a = peer_up(r, "a", &c);
	s.b = peer_up(r, "b", &c);
	peers_meet(r, s.a, s.b);
	return s;
}

static void scene_down(const struct scene *s)
{
	duplex_check(s->r, s->y, s->z);
	rig_clean((void **)&(struct rig *){s->r});
}

static struct fe_ring *tx_ring(const struct scene *s)
{
	return &fe_guest_tx(s->a->g, 0)->ring;
}

/* Where a's first transmit buffer is. */
static uint64_t good_gpa(const struct scene *s)
{
	return fe_guest_tx(s->a->g, 0)->bufs.gpa;
}

static uint64_t end_of_memory(const struct scene *s)
{
	const struct fe_mem *m = &s->a->g->mem;

	return m->regions[m->nregions - 1].c.gpa + m->regions[m->nregions - 1].c.size;
}

/* Room for a chain on the transmit ring: take back what is done. */
static void tx_settle(const struct scene *s)
{
	rig_wait(s->r, fe_guest_reap(s->a->g, 0) >= 0 && tx_ring(s)->in_flight == 0);
}

/*
 * The chain that was published comes back unused, is counted for `why`, and a's next frame passes.
 */
static void chain_is_dropped(const struct scene *s, uint64_t before, const char *why)
{
	struct fe_used u;

	fe_queue_kick(fe_guest_tx(s->a->g, 0)); /* the worker may sleep */
	rig_wait(s->r, !fe_ring_pop(tx_ring(s), &u));
	assert_int_equal(u.len, 0);
	rig_wait(s->r, rig_counter(s->r, "a", "rx", why) == before + 1);
	duplex_check(s->r, s->a, s->b);
}

/* Send a chain as it is; it must be dropped for `why`. */
static void drops(const struct scene *s, const struct fe_chain *c, const char *why)
{
	uint64_t before = rig_counter(s->r, "a", "rx", why);

	tx_settle(s);
	assert_int_equal(fe_ring_add(tx_ring(s), c), 0);
	fe_ring_publish(tx_ring(s));
	chain_is_dropped(s, before, why);
}

static void a_buffer_outside_guest_memory_is_counted_and_given_back(void **state)
{
	size_t f, i;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		const struct scene s = scene_up(*state, formats[f]);
		const uint64_t end = end_of_memory(&s), ok = good_gpa(&s);
		const struct fe_seg bad[][3] = {
			{{end, 100}},
			{{0, 100}},
			{{end - 20, 100}},
			{{UINT64_MAX - 20, 100}},
			{{UINT64_MAX, 1}},
			{{ok, UINT32_MAX}},
			{{ok, 12}, {end, 100}},
			{{ok, 12}, {ok, 60}, {end - 1, 2}},
		};

		for (i = 0; i < RW_ARRAY_SIZE(bad); i++) {
			uint16_t n = (uint16_t)(1 + (bad[i][1].len > 0) + (bad[i][2].len > 0));

			drops(&s, &(struct fe_chain){.segs = bad[i], .n_out = n},
				"drops.bad_address");
		}
		scene_down(&s);
	}
}

static void a_frame_without_an_ethernet_header_is_too_short(void **state)
{
	static const uint32_t lens[] = {0, 1, 9, 10, 11, 12, 13, 25};
	size_t f, i;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		const struct scene s = scene_up(*state, formats[f]);

		for (i = 0; i < RW_ARRAY_SIZE(lens); i++) {
			const struct fe_seg whole = {good_gpa(&s), lens[i]};
			const struct fe_seg pieces[3] = {{good_gpa(&s), lens[i] / 2},
				{good_gpa(&s), 0}, {good_gpa(&s), lens[i] - lens[i] / 2}};

			drops(&s, &(struct fe_chain){.segs = &whole, .n_out = 1},
				"drops.too_short");
			drops(&s, &(struct fe_chain){.segs = pieces, .n_out = 3},
				"drops.too_short");
		}
		scene_down(&s);
	}
}

static void a_transmit_buffer_to_be_written_is_a_bad_chain(void **state)
{
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		const struct scene s = scene_up(*state, formats[f]);
		const struct fe_seg segs[2] = {{good_gpa(&s), 72}, {good_gpa(&s), 72}};

		drops(&s, &(struct fe_chain){.segs = segs, .n_in = 1}, "drops.bad_chain");
		drops(&s, &(struct fe_chain){.segs = segs, .n_out = 1, .n_in = 1},
			"drops.bad_chain");
		scene_down(&s);
	}
}

static void a_split_chain_that_loops_or_leaves_the_table_is_a_bad_chain(void **state)
{
	/* Which of three descriptors goes on with which, or with any number. */
	static const struct {
		uint8_t at, to;
		uint32_t len; /* of each buffer */
		bool absolute;
	} bends[] = {{0, 0, 30, false}, {1, 0, 30, false}, {2, 0, 30, false}, {2, 1, 0, false},
		{2, 2, 0, false}, {0, SIZE, 30, true}, {1, SIZE + 1, 30, true}, {2, 255, 30, true}};
	const struct scene s = scene_up(*state, 0);
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(bends); i++) {
		const struct fe_seg seg = {good_gpa(&s), bends[i].len};
		const struct fe_seg segs[3] = {seg, seg, seg};
		struct fe_ring *ring = tx_ring(&s);
		uint64_t before = rig_counter(s.r, "a", "rx", "drops.bad_chain");
		uint16_t d[3];

		tx_settle(&s);
		d[0] = ring->free_head;
		assert_int_equal(
			fe_ring_add(ring, &(struct fe_chain){.segs = segs, .n_out = 3}), 0);
		d[1] = ring->desc[d[0]].next;
		d[2] = ring->desc[d[1]].next;
		ring->desc[d[bends[i].at]].flags |= VRING_DESC_F_NEXT;
		ring->desc[d[bends[i].at]].next = bends[i].absolute ? bends[i].to : d[bends[i].to];
		fe_ring_publish(ring);
		chain_is_dropped(&s, before, "drops.bad_chain");
	}
	scene_down(&s);
}

static void a_chain_as_long_as_the_ring_is_fine(void **state)
{
	const struct stream st = {
		.n = 50, .len = 500, .cut = {.hdr_segs = 1, .data_segs = SIZE - 1}};
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		const struct scene s = scene_up(*state, formats[f]);

		stream_check(s.r, s.a, s.b, &st);
		scene_down(&s);
	}
}

/* Ways to spoil an indirect table of two entries. */
enum spoil {
	LEN_ZERO,
	LEN_HALF,
	LEN_ODD,
	LEN_OVER_RING,
	LEN_HUGE,
	NESTED,
	PAST_THE_END, /* split: a `next` behind the table; packed: a nested last entry */
	TABLE_OUTSIDE,
	TABLE_HALF_OUTSIDE,
	BUFFER_OUTSIDE,
	NUM_SPOILS
};

/* The ring descriptor of the chain that was added last, its length and address. */
static void last_desc(struct fe_ring *r, uint32_t **len, uint64_t **addr)
{
	if (r->format == FE_SPLIT) {
		uint16_t head = r->avail->ring[(uint16_t)(r->avail_idx - 1) % r->num];

		*len = (uint32_t *)&r->desc[head].len;
		*addr = (uint64_t *)&r->desc[head].addr;
	} else {
		*len = (uint32_t *)&r->pdesc[r->head_slot].len;
		*addr = (uint64_t *)&r->pdesc[r->head_slot].addr;
	}
}

static void table_spoil(const struct scene *s, union fe_indirect_desc *t, enum spoil how)
{
	static const uint32_t lens[] = {0, 8, 33, (SIZE + 1) * 16, 0xfffffff0};
	const bool packed = tx_ring(s)->format == FE_PACKED;
	const uint64_t end = end_of_memory(s);
	uint64_t *addr;
	uint32_t *len;

	last_desc(tx_ring(s), &len, &addr);
	switch (how) {
	case NESTED:
		if (packed)
			t[0].packed.flags |= VRING_DESC_F_INDIRECT;
		else
			t[0].split.flags |= VRING_DESC_F_INDIRECT;
		break;
	case PAST_THE_END:
		if (packed)
			t[1].packed.flags |= VRING_DESC_F_INDIRECT;
		else
			t[0].split.next = 2;
		break;
	case TABLE_OUTSIDE:
		*addr = end;
		break;
	case TABLE_HALF_OUTSIDE:
		*addr = end - sizeof(*t);
		memcpy(fe_mem_at(&s->a->g->mem, *addr, sizeof(*t)), &t[0], sizeof(*t));
		break;
	case BUFFER_OUTSIDE:
		t[1].split.addr = end;
		break;
	default:
		*len = lens[how];
	}
}

static void a_bad_indirect_table_is_counted_and_given_back(void **state)
{
	size_t f;
	int how;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		const struct scene s = scene_up(*state, formats[f]);
		const struct fe_seg segs[2] = {{good_gpa(&s), 12}, {good_gpa(&s), 60}};
		struct fe_queue *q = fe_guest_tx(s.a->g, 0);
		const struct fe_chain c = {
			.segs = segs, .n_out = 2, .table = q->tables, .table_gpa = q->tables_gpa};

		for (how = 0; how < NUM_SPOILS; how++) {
			const char *why = how >= TABLE_OUTSIDE ? "drops.bad_address"
							       : "drops.bad_chain";
			uint64_t before = rig_counter(s.r, "a", "rx", why);

			tx_settle(&s);
			assert_int_equal(fe_ring_add(tx_ring(&s), &c), 0);
			table_spoil(&s, q->tables, (enum spoil)how);
			fe_ring_publish(tx_ring(&s));
			chain_is_dropped(&s, before, why);
		}
		scene_down(&s);
	}
}

/* The transmit ring of `a` is at rest, is reported, and is repaired by a reset alone. */
static void ring_is_broken(const struct scene *s)
{
	struct fe_queue *q = fe_guest_tx(s->a->g, 0);
	const struct stream back = {.n = 10, .len = 100};
	eventfd_t n;
	uint32_t i;

	fe_queue_kick(q); /* the worker may sleep */
	rig_wait(s->r, rig_port_info(s->r, "a", "broken_rings") == 1);
	rig_wait(s->r, !eventfd_read(q->err_fd, &n));
	duplex_check(s->r, s->y, s->z);
	stream_check(s->r, s->b, s->a, &back); /* its other ring works */
	for (i = 0; i < 2; i++)
		assert_int_equal(fe_guest_stop_ring(s->a->g, i, NULL), 0);
	assert_int_equal(fe_guest_reset_rings(s->a->g), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(fe_guest_start_ring(s->a->g, i), 0);
	assert_int_equal(rig_port_info(s->r, "a", "broken_rings"), 0);
	duplex_check(s->r, s->a, s->b);
}

/* Guests with an error descriptor on the transmit ring. */
static struct scene scene_with_err_fd(struct rig *r, uint64_t features)
{
	const struct scene s = scene_up(r, features);

	assert_int_equal(fe_guest_ring_step(s.a->g, 1, FE_ERR), 0);
	return s;
}

static void an_available_index_that_jumps_breaks_the_ring(void **state)
{
	static const uint16_t jumps[] = {SIZE + 1, 2 * SIZE, 0x8000, 0xffff};
	const struct scene s = scene_with_err_fd(*state, 0);
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(jumps); i++) {
		struct vring_avail *avail = tx_ring(&s)->avail;

		tx_settle(&s);
		__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + jumps[i]), __ATOMIC_RELEASE);
		ring_is_broken(&s);
	}
	scene_down(&s);
}

static void an_available_head_outside_the_table_breaks_the_ring(void **state)
{
	static const uint16_t heads[] = {SIZE, 255, 0x8000, 0xffff};
	const struct scene s = scene_with_err_fd(*state, 0);
	size_t i;

	for (i = 0; i < RW_ARRAY_SIZE(heads); i++) {
		struct vring_avail *avail = tx_ring(&s)->avail;

		tx_settle(&s);
		avail->ring[avail->idx % SIZE] = heads[i];
		__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
		ring_is_broken(&s);
	}
	scene_down(&s);
}

static void a_packed_chain_without_an_end_breaks_the_ring(void **state)
{
	const struct scene s = scene_with_err_fd(*state, PACKED);
	struct fe_ring *r = tx_ring(&s);
	uint16_t i, slot, flags;
	bool wrap;

	tx_settle(&s);
	slot = r->avail_idx;
	wrap = r->avail_wrap;
	/* Every descriptor says "and the next one", the first is stored last. */
	for (i = 0; i < SIZE; i++)
		r->pdesc[i].flags |= VRING_DESC_F_NEXT;
	r->pdesc[slot].addr = good_gpa(&s);
	r->pdesc[slot].len = 72;
	flags = (uint16_t)(VRING_DESC_F_NEXT |
		(wrap ? 1u << VRING_PACKED_DESC_F_AVAIL : 1u << VRING_PACKED_DESC_F_USED));
	__atomic_store_n(&r->pdesc[slot].flags, flags, __ATOMIC_RELEASE);
	ring_is_broken(&s);
	scene_down(&s);
}

/* `b` with its first receive buffer spoilt; its driver keeps count by itself. */
static void spoilt_receive_buffer_is_skipped(struct rig *r, uint64_t features, bool address)
{
	const char *why = address ? "drops.bad_address" : "drops.bad_chain";
	struct fe_guest_config c = guest_usual();
	struct peer *a = peer_up(r, "a", NULL);
	struct peer *b;
	struct fe_ring *ring;
	struct fe_used u;
	uint64_t before;
	uint32_t i;

	c.features |= features;
	b = peer_new(r, "b", &c);
	peer_connect(r, b);
	assert_int_equal(fe_guest_negotiate(b->g), 0);
	assert_int_equal(fe_guest_reset_rings(b->g), 0);
	ring = &fe_guest_rx(b->g, 0)->ring;
	if (address && ring->format == FE_SPLIT)
		ring->desc[0].addr = 64;
	else if (address)
		ring->pdesc[0].addr = 64;
	else if (ring->format == FE_SPLIT)
		ring->desc[0].flags = 0; /* to be read */
	else
		ring->pdesc[0].flags = 1u << VRING_PACKED_DESC_F_AVAIL;
	assert_int_equal(fe_guest_share_memory(b->g), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(fe_guest_start_ring(b->g, i), 0);
	before = rig_counter(r, "b", "tx", why);
	peer_send_to(r, a, b->mac, 100, 1);
	rig_wait(r, !fe_ring_pop(ring, &u));
	assert_int_equal(u.token, 0);
	assert_int_equal(u.len, 0);
	peer_expect(r, b, b->mac, a->mac, 100, 1);
	rig_wait(r, rig_counter(r, "b", "tx", why) == before + 1);
	duplex_check(r, a, b);
	rig_clean((void **)&(struct rig *){r});
}

static void a_bad_receive_buffer_is_given_back_and_the_next_one_is_used(void **state)
{
	size_t f;

	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		spoilt_receive_buffer_is_skipped(*state, formats[f], true);
		spoilt_receive_buffer_is_skipped(*state, formats[f], false);
	}
}

static void a_frame_that_fits_no_buffer_is_too_long(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct peer *a = peer_up(*state, "a", NULL), *b;
	uint64_t before;
	struct fe_used u;
	size_t f;

	c.features &= ~FE_BIT(VIRTIO_NET_F_MRG_RXBUF);
	c.rx_buf_size = 12 + 100;
	for (f = 0; f < RW_ARRAY_SIZE(formats); f++) {
		c.features |= formats[f];
		b = peer_up(*state, "b", &c);
		before = rig_counter(*state, "b", "tx", "drops.too_long");
		peer_send_to(*state, a, b->mac, 101, 1);
		rig_wait(*state, !fe_ring_pop(&fe_guest_rx(b->g, 0)->ring, &u));
		assert_int_equal(u.len, 0);
		rig_wait(*state, rig_counter(*state, "b", "tx", "drops.too_long") == before + 1);
		peer_send_to(*state, a, b->mac, 100, 2);
		peer_expect(*state, b, b->mac, a->mac, 100, 2);
		peer_down(*state, b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_buffer_outside_guest_memory_is_counted_and_given_back),
		rig_test(a_frame_without_an_ethernet_header_is_too_short),
		rig_test(a_transmit_buffer_to_be_written_is_a_bad_chain),
		rig_test(a_split_chain_that_loops_or_leaves_the_table_is_a_bad_chain),
		rig_test(a_chain_as_long_as_the_ring_is_fine),
		rig_test(a_bad_indirect_table_is_counted_and_given_back),
		rig_test(an_available_index_that_jumps_breaks_the_ring),
		rig_test(an_available_head_outside_the_table_breaks_the_ring),
		rig_test(a_packed_chain_without_an_end_breaks_the_ring),
		rig_test(a_bad_receive_buffer_is_given_back_and_the_next_one_is_used),
		rig_test(a_frame_that_fits_no_buffer_is_too_long),
	};

	return cmocka_run_group_tests_name("malformed", tests, start, rig_stop);
}
