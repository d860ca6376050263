/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one chain may cost: the longest legal one is accepted, and an endless one is walked no
 * further. The ring has the largest size there is.
 */
#include "vq_fixture.h"

#define NUM VQ_MAX_SIZE

static const struct setup split = {
	.format = FE_SPLIT, .num = NUM, .features = F(VIRTIO_RING_F_INDIRECT_DESC)};
static const struct setup packed = {
	.format = FE_PACKED, .num = NUM, .wrap = true, .features = F(VIRTIO_RING_F_INDIRECT_DESC)};
static const struct setup split_slow = {
	.format = FE_SPLIT, .num = NUM, .features = F(VIRTIO_RING_F_INDIRECT_DESC), .slow = X_ALL};
static const struct setup packed_slow = {.format = FE_PACKED,
	.num = NUM,
	.wrap = true,
	.features = F(VIRTIO_RING_F_INDIRECT_DESC),
	.slow = X_ALL};
static const struct setup split_iotlb = {.format = FE_SPLIT, .num = 8, .slow = X_IOTLB};
static const struct setup packed_iotlb = {
	.format = FE_PACKED, .num = 8, .wrap = true, .slow = X_IOTLB};
#define EVERY(fn) BOTH(fn), T(fn, split_slow), T(fn, packed_slow)

/*
 * Descriptor `i` of the ring: `len` bytes, followed by the next one. Packed: available, with id 5.
 */
static void set(struct fixture *f, unsigned i, uint32_t len, uint16_t flags, uint16_t next)
{
	if (f->packed)
		f->ring.pdesc[i] = (struct vring_packed_desc){
			.addr = BUFFERS, .len = len, .id = 5, .flags = flags | VQ_PACKED_AVAIL};
	else
		f->ring.desc[i] = (struct vring_desc){
			.addr = BUFFERS, .len = len, .flags = flags, .next = next};
}

static void offer(struct fixture *f, uint16_t head)
{
	if (f->packed)
		return;
	f->ring.avail->ring[f->ring.avail->idx % f->num] = head;
	__atomic_store_n(&f->ring.avail->idx, f->ring.avail->idx + 1, __ATOMIC_RELEASE);
}

/* All descriptors of the ring, one behind the other; the last has no successor. */
static void set_all(struct fixture *f, uint32_t len, uint16_t flags)
{
	for (unsigned i = 0; i < f->num; i++)
		set(f, i, len, flags | (i + 1 < f->num ? VRING_DESC_F_NEXT : 0), (uint16_t)(i + 1));
}

/* R42 */
static void a_chain_of_exactly_the_rings_size_is_accepted(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	set_all(f, 1, VRING_DESC_F_WRITE);
	offer(f, 0);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	assert_int_equal(c.nsegs, NUM);
	assert_int_equal(c.len, NUM);
	assert_in_range(f->vq.walked, NUM, vq_max_walk(NUM));
	complete(f, &c, NUM);
	flush(f);
	assert_int_equal(fetch(f, &c, true), VQ_EMPTY);
	assert_int_equal(f->vq.walked, f->mode & VQ_SLOW ? 2 * NUM : NUM);
}

/* R41: whatever it goes round, it goes round once. */
static void an_endless_chain_is_walked_once_round_the_ring(void **state)
{
	static const uint32_t lens[] = {0, 1};
	struct fixture *f = *state;
	struct vq_chain c;

	for (size_t i = 0; i < RW_ARRAY_SIZE(lens); i++) {
		for (int writable = 0; writable < 2; writable++) {
			uint16_t flags = writable ? VRING_DESC_F_WRITE : 0;

			set_all(f, lens[i], flags);
			set(f, f->num - 1u, lens[i], flags | VRING_DESC_F_NEXT, 0);
			offer(f, 0);
			f->vq.walked = 0;
			assert_int_equal(
				fetch(f, &c, writable), f->packed ? VQ_BROKEN : VQ_BAD_FORM);
			assert_in_range(f->vq.walked, NUM, 2 * NUM);
			if (f->packed) {
				f->vq.broken = false; /* and the next endless one */
			} else {
				complete(f, &c, 0);
				flush(f);
			}
		}
	}
}

/* R41, R46: as many descriptors as there may be before the table, and a table that goes round. */
static void an_endless_table_behind_the_longest_chain_stays_within_the_bound(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *table = (struct vring_desc *)guest(f, BUFFERS);
	struct vq_chain c;

	for (unsigned i = 0; i < NUM; i++)
		table[i] = (struct vring_desc){.addr = BUFFERS,
			.flags = VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
			.next = (uint16_t)((i + 1) % NUM)};
	set_all(f, 0, VRING_DESC_F_WRITE);
	set(f, NUM - 1, NUM * sizeof(*table), VRING_DESC_F_INDIRECT, 0);
	offer(f, 0);
	assert_int_equal(fetch(f, &c, true), VQ_BAD_FORM);
	/* In a packed table NEXT means nothing, and flags and next change places. */
	assert_in_range(f->vq.walked, NUM, vq_max_walk(NUM));
	if (!f->packed)
		assert_in_range(f->vq.walked, 2 * NUM, 2 * NUM + 2048);
	complete(f, &c, 0);
	flush(f);
}

/* A table longer than the ring is not read at all. */
static void a_table_longer_than_the_ring_is_not_walked(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	set(f, 0, (NUM + 1) * sizeof(struct vring_desc), VRING_DESC_F_INDIRECT, 0);
	offer(f, 0);
	assert_int_equal(fetch(f, &c, true), VQ_BAD_FORM);
	assert_int_equal(f->vq.walked, 1);
	complete(f, &c, 0);
	flush(f);
}

static void a_buffer_without_a_byte_to_write_to_is_bad(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	set(f, 0, 0, VRING_DESC_F_WRITE, 0);
	offer(f, 0);
	assert_int_equal(fetch(f, &c, true), VQ_BAD_FORM);
	complete(f, &c, 0);
	/* Empty ones among others are no fault, and one that is read is the caller's to judge. */
	set(f, 1, 0, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
	set(f, 2, 1, VRING_DESC_F_WRITE, 0);
	offer(f, 1);
	assert_int_equal(fetch(f, &c, true), VQ_CHAIN);
	assert_int_equal(c.len, 1);
	complete(f, &c, 0);
	set(f, 3, 0, 0, 0);
	offer(f, 3);
	assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
	assert_int_equal(c.len, 0);
	complete(f, &c, 0);
	flush(f);
}

/* The usual chain costs nothing, so that the fast path need not count. */
static void a_single_descriptor_in_the_region_used_last_is_not_counted(void **state)
{
	struct fixture *f = *state;
	struct vq_chain c;

	for (unsigned i = 0; i < 3; i++) {
		set(f, i, 64, 0, 0);
		offer(f, (uint16_t)i);
		f->vq.walked = 0;
		assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
		assert_int_equal(f->vq.walked, i ? 0 : 1);
		complete(f, &c, 0);
		flush(f);
	}
}

/*
 * R58: descriptors with the wrong wrap counter are not there, and an id that no ring has is the
 * driver's own affair.
 */
static void descriptors_of_the_wrong_lap_are_not_available(void **state)
{
	static const uint16_t ids[] = {NUM, 0xffff};
	struct fixture *f = *state;
	struct vq_chain c;

	for (unsigned i = 0; i < NUM; i++)
		f->ring.pdesc[i] = (struct vring_packed_desc){
			.addr = BUFFERS, .len = 64, .flags = VQ_PACKED_USED};
	assert_int_equal(peek(f, 32), 0);
	assert_int_equal(fetch(f, &c, false), VQ_EMPTY);
	for (size_t i = 0; i < RW_ARRAY_SIZE(ids); i++) {
		set(f, (unsigned)i, 64, 0, 0);
		f->ring.pdesc[i].id = ids[i];
		assert_int_equal(fetch(f, &c, false), VQ_CHAIN);
		assert_int_equal(c.id, ids[i]);
		complete(f, &c, 0);
		flush(f);
		assert_int_equal(f->ring.pdesc[i].id, ids[i]);
	}
	assert_int_equal(fetch(f, &c, false), VQ_EMPTY);
}

/* Behind an IOMMU: the rest of a buffer is known in many small pieces, and its start is missing. */
static void what_is_missing_is_looked_for_within_the_bound(void **state)
{
	const unsigned npieces = 4096;
	const uint64_t iova = 1ull << 40;
	struct fixture *f = *state;
	struct vq_chain c;

	for (unsigned i = 1; i < npieces; i++)
		assert_int_equal(
			gm_iotlb_update(f->tlb, f->map, iova + i * 64, 64,
				UVA_0 + BUFFERS + (i * 7 % npieces) * 64, GM_READ | GM_WRITE),
			0);
	gm_iotlb_reclaim(f->tlb);
	set_all(f, npieces * 64, VRING_DESC_F_WRITE);
	for (unsigned i = 0; i < f->num; i++) {
		if (f->packed)
			f->ring.pdesc[i].addr = iova;
		else
			f->ring.desc[i].addr = iova;
	}
	offer(f, 0);
	assert_int_equal(fetch(f, &c, true), VQ_MISS);
	assert_int_equal(f->vq.nmisses, 1);
	assert_int_equal(f->vq.misses[0].iova, iova);
	assert_in_range(f->vq.walked, f->num, vq_max_walk(f->num));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EVERY(a_chain_of_exactly_the_rings_size_is_accepted),
		EVERY(an_endless_chain_is_walked_once_round_the_ring),
		EVERY(an_endless_table_behind_the_longest_chain_stays_within_the_bound),
		EVERY(a_table_longer_than_the_ring_is_not_walked),
		EVERY(a_buffer_without_a_byte_to_write_to_is_bad),
		BOTH(a_single_descriptor_in_the_region_used_last_is_not_counted),
		T(descriptors_of_the_wrong_lap_are_not_available, packed),
		T(descriptors_of_the_wrong_lap_are_not_available, packed_slow),
		T(what_is_missing_is_looked_for_within_the_bound, split_iotlb),
		T(what_is_missing_is_looked_for_within_the_bound, packed_iotlb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
