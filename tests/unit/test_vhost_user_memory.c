/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory region by region, addresses of rings in their three spaces, and the IOTLB. */
#include "vu_fixture.h"

/* Memory slots. */

static struct request slot(struct front *f, uint32_t request, struct vu_mem_region region)
{
	struct request r = {request, 0, 40, {.slot = {0, region}}, &f->memfd, 1};

	r.n = request == VU_ADD_MEM_REG;
	return r;
}

/* Page `i` of the file, apart from all others in both spaces. */
static struct vu_mem_region page(uint64_t i)
{
	return (struct vu_mem_region){
		0x100000000 + i * 0x2000, 0x1000, MEM_UVA * 2 + i * 0x3000, i % 256 * 0x1000};
}

static void there_are_509_memory_slots(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, FEATURES);
	assert_int_equal(get(f, msg(VU_GET_MAX_MEM_SLOTS)), 509);
	for (uint64_t i = 1; i < 509; i++)
		assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, page(i))), ACK_OK);
	assert_int_equal(vu_mem(f->s)->nregions, 509);
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, page(509))), ACK_BAD);
	assert_int_equal(ask(f, slot(f, VU_REM_MEM_REG, page(77))), ACK_OK);
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, page(509))), ACK_OK);
	/* A table takes the place of all of them. */
	assert_int_equal(ask_mem(f), ACK_OK);
	assert_int_equal(vu_mem(f->s)->nregions, 1);
}

static void a_region_is_removed_whatever_offset_is_said(void **state)
{
	struct front *f = front_of(state);
	struct vu_mem_region region = page(3), wrong[3] = {region, region, region};

	negotiate(f, FEATURES);
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, region)), ACK_OK);
	wrong[0].gpa += 0x1000;
	wrong[1].uva += 0x1000;
	wrong[2].size *= 2;
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++)
		assert_int_equal(ask(f, slot(f, VU_REM_MEM_REG, wrong[i])), ACK_BAD);
	region.mmap_offset = 0; /* QEMU's habit */
	assert_int_equal(ask(f, slot(f, VU_REM_MEM_REG, region)), ACK_OK);
	assert_int_equal(ask(f, slot(f, VU_REM_MEM_REG, region)), ACK_BAD);
	assert_int_equal(vu_mem(f->s)->nregions, 1);
}

/* Older QEMU sends one. */
static void a_descriptor_that_comes_with_a_removal_is_closed(void **state)
{
	struct front *f = front_of(state);
	struct request r = slot(f, VU_REM_MEM_REG, page(3));
	unsigned before;

	negotiate(f, FEATURES);
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, page(4))), ACK_OK);
	before = count_fds();
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, page(3))), ACK_OK);
	r.n = 1;
	assert_int_equal(ask(f, r), ACK_OK);
	assert_int_equal(count_fds(), before);
	assert_int_equal(ask(f, r), ACK_BAD);
	assert_int_equal(count_fds(), before);
}

static void a_region_that_cannot_be_added_leaves_the_others(void **state)
{
	struct front *f = front_of(state);
	struct vu_mem_region past_the_end = page(1), nothing = page(2), overlap = {.size = 0x1000};
	const struct gm_map *old;

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	old = vu_mem(f->s);
	past_the_end.mmap_offset = MEM_SIZE;
	nothing.size = 0;
	overlap.gpa = MEM_SIZE - 0x1000;
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, past_the_end)), ACK_BAD);
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, nothing)), ACK_BAD);
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, overlap)), ACK_BAD);
	assert_ptr_equal(vu_mem(f->s), old);
	assert_true(f->running[0]);
}

static void without_memory_rings_rest(void **state)
{
	struct front *f = front_of(state);
	struct vu_mem_region all = {0, MEM_SIZE, MEM_UVA, 0};

	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask(f, slot(f, VU_REM_MEM_REG, all)), ACK_BAD);
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, all)), ACK_OK);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_OK);
	start_ring(f, 0);
	assert_int_equal(ask(f, slot(f, VU_REM_MEM_REG, all)), ACK_OK);
	assert_int_equal(vu_mem(f->s)->nregions, 0);
	assert_false(f->running[0]);
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, all)), ACK_OK);
	assert_true(f->running[0]);
}

static void memory_is_added_and_removed_under_paused_rings(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, page(1))), ACK_OK);
		assert_ptr_not_equal(f->at_pause.mem, f->at_resume.mem);
		assert_true(f->running[0]);
		assert_int_equal(ask(f, slot(f, VU_REM_MEM_REG, page(1))), ACK_OK);
		assert_true(f->running[0]);
	}
}

/* Spaces. */

static void addresses_may_be_guest_physical(void **state)
{
	struct front *f = front_of(state);
	struct request table = one_region(f);
	struct vu_vring_addr a = {.index = 0, .desc = 0x10000, .avail = 0x14000, .used = 0x18000};

	set_protocol_features(f, ALL_PF | GPA);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_OK);
	table.payload.mem.regions[0].uva = 0x7777000; /* means nothing */
	assert_int_equal(ask(f, table), ACK_OK);
	assert_int_equal(vu_ring_space(f->s).kind, GM_GPA);
	assert_ptr_equal(vu_ring_space(f->s).map, vu_mem(f->s));
	assert_int_equal(ask_addr(f, a), ACK_OK);
	a.used = MEM_SIZE;
	assert_int_equal(ask_addr(f, a), ACK_BAD);
	assert_int_equal(ask_addr(f, addr_at(0, 0)), ACK_BAD);
	/* A front-end that has no user addresses may well send the same one for all. */
	assert_int_equal(ask(f,
				 slot(f, VU_ADD_MEM_REG,
					 (struct vu_mem_region){0x200000, 0x1000, 0x7777000, 0})),
		ACK_OK);
	assert_int_equal(
		ask(f, slot(f, VU_REM_MEM_REG, (struct vu_mem_region){0x200000, 0x1000, 0, 0})),
		ACK_OK);
}

static void addresses_are_the_front_end_s_unless_negotiated_otherwise(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	assert_int_equal(vu_ring_space(f->s).kind, GM_UVA);
	assert_ptr_equal(vu_ring_space(f->s).map, vu_mem(f->s));
	assert_null(vu_ring_space(f->s).view);
}

/* IOTLB. */

#define IOVA 0x7f0000000ull

static struct request iotlb(uint8_t type, uint64_t iova, uint64_t size, uint64_t uva)
{
	struct request r = msg_of(VU_IOTLB_MSG, 32);

	r.payload.iotlb = (struct vu_iotlb){
		.iova = iova, .size = size, .uaddr = uva, .perm = 3, .type = type};
	return r;
}

/* Whether the update or invalidation succeeded. */
static bool apply(struct front *f, struct request r)
{
	return !get(f, r);
}

static bool update(struct front *f, uint64_t iova, uint64_t size, uint64_t uva)
{
	return apply(f, iotlb(VU_IOTLB_UPDATE, iova, size, uva));
}

static bool invalidate(struct front *f, uint64_t iova, uint64_t size)
{
	return apply(f, iotlb(VU_IOTLB_INVALIDATE, iova, size, 0));
}

static void an_update_is_answered_when_it_can_be_used(void **state)
{
	struct front *f = front_of(state);
	const struct gm_iotlb_entry *e;

	negotiate(f, FEATURES | IOMMU);
	assert_true(update(f, IOVA, 0x3000, MEM_UVA + 0x5000));
	assert_int_equal(f->updates, 1);
	e = gm_iotlb_find(gm_iotlb_view(vu_iotlb(f->s)), IOVA + 0x2fff);
	assert_non_null(e);
	assert_ptr_equal(e->host, vu_mem(f->s)->regions[0].host + 0x5000);
	assert_int_equal(e->perm, 3);
	assert_false(translates(f, IOVA + 0x3000));
	assert_false(translates(f, IOVA - 1));
}

/* Whether need_reply asks for an answer or not, there is one. */
static void an_iotlb_message_is_answered_once(void **state)
{
	struct front *f = front_of(state);
	struct request r = iotlb(VU_IOTLB_UPDATE, IOVA, 0x1000, MEM_UVA);

	negotiate(f, FEATURES | IOMMU);
	for (unsigned i = 0; i < 2; i++) {
		r.flags = i ? NEED : 0;
		for (r.size = 26; r.size <= 32; r.size++) {
			assert_int_equal(exchange(f, &r), REPLY);
			assert_int_equal(f->reply_size, 8);
			assert_int_equal(f->reply, 0);
		}
		r.size = 32;
		r.payload.iotlb.uaddr = 0;
		assert_int_equal(exchange(f, &r), REPLY);
		assert_int_equal(f->reply_size, 8);
		assert_int_equal(f->reply, 1);
		r.payload.iotlb.uaddr = MEM_UVA;
	}
}

static void an_update_that_makes_no_sense_is_refused(void **state)
{
	struct front *f = front_of(state);
	struct request r = iotlb(VU_IOTLB_UPDATE, IOVA, 0x1000, MEM_UVA);

	set_protocol_features(f, ALL_PF);
	assert_false(apply(f, r)); /* no IOMMU */
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, FEATURES | IOMMU), ACK_OK);
	assert_false(apply(f, r)); /* no memory */
	assert_int_equal(ask_mem(f), ACK_OK);
	assert_true(apply(f, r));
	for (unsigned perm = 0; perm < 256; perm++) {
		r.payload.iotlb.perm = (uint8_t)perm;
		assert_int_equal(apply(f, r), perm >= 1 && perm <= 3);
	}
	for (unsigned type = 0; type < 256; type++) {
		r = iotlb((uint8_t)type, IOVA, 0x1000, MEM_UVA);
		assert_int_equal(
			apply(f, r), type == VU_IOTLB_UPDATE || type == VU_IOTLB_INVALIDATE);
	}
	assert_false(update(f, IOVA, 0, MEM_UVA));
	assert_false(update(f, IOVA, MEM_SIZE + 1, MEM_UVA));
	assert_false(update(f, IOVA, 0x1000, MEM_UVA - 1));
	assert_false(update(f, UINT64_MAX - 0x100, 0x1000, MEM_UVA));
	assert_false(update(f, IOVA, 0x1000, UINT64_MAX - 0x100));
}

/*
 * QEMU's IOMMU listener is gone then; the next system may have other pages at the same addresses.
 */
static void a_stopped_ring_takes_the_translations_along(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, FEATURES | IOMMU);
	assert_true(update(f, IOVA, 0x2000, MEM_UVA));
	assert_true(translates(f, IOVA));
	stop_ring(f, 0);
	assert_false(translates(f, IOVA));
}

/* owner_iotlb_invalidated checks that the range is gone by then. */
static void an_invalidation_is_answered_when_nobody_uses_the_range(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, FEATURES | IOMMU);
	assert_true(update(f, IOVA, 0x4000, MEM_UVA));
	assert_true(invalidate(f, IOVA + 0x1000, 0x1000));
	assert_int_equal(f->invalidations, 1);
	assert_int_equal(f->gone_iova, IOVA + 0x1000);
	assert_int_equal(f->gone_size, 0x1000);
	assert_true(f->retired > 0); /* workers still had the view before */
	assert_true(translates(f, IOVA) && translates(f, IOVA + 0x2000));
	assert_false(translates(f, IOVA + 0x1000));
	assert_int_equal(gm_iotlb_retired(vu_iotlb(f->s)), 0);
}

/* QEMU invalidates all of the address space with a size that became 0. */
static void a_size_of_0_invalidates_the_rest_of_the_address_space(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, FEATURES | IOMMU);
	assert_true(update(f, 0, 0x1000, MEM_UVA));
	assert_true(update(f, IOVA, 0x1000, MEM_UVA));
	assert_true(invalidate(f, 0x1000, 0));
	assert_true(translates(f, 0));
	assert_false(translates(f, IOVA));
	assert_true(invalidate(f, 0, 0));
	assert_false(translates(f, 0));
}

static void views_do_not_gather_without_bound(void **state)
{
	struct front *f = front_of(state);
	unsigned most = 0;

	negotiate(f, FEATURES | IOMMU);
	for (uint64_t i = 0; i < 200; i++) {
		assert_true(update(f, IOVA + i * 0x1000, 0x1000, MEM_UVA));
		most = RW_MAX(most, gm_iotlb_retired(vu_iotlb(f->s)));
	}
	assert_true(f->quiesces > 5 && f->quiesces < 20);
	assert_int_equal(most, 16);
}

/* A thread that waits for a page (postcopy) may hold what it looked up for long. */
static void what_a_thread_still_uses_is_given_back_later(void **state)
{
	struct front *f = front_of(state);
	struct request gone = iotlb(VU_IOTLB_INVALIDATE, IOVA, 0x1000, 0);
	struct request come = iotlb(VU_IOTLB_UPDATE, IOVA - 0x1000, 0x1000, MEM_UVA);
	uint64_t i;

	negotiate(f, FEATURES | IOMMU);
	assert_true(update(f, IOVA, 0x2000, MEM_UVA));
	f->quiesce_later = true;
	assert_int_equal(exchange(f, &gone), SILENCE);
	assert_true(vu_is_waiting(f->s));
	assert_true(gm_iotlb_retired(vu_iotlb(f->s)) > 0);
	vu_session_retry(f->s);
	assert_true(vu_is_waiting(f->s));
	f->quiesce_later = false;
	vu_session_retry(f->s);
	assert_int_equal(receive(f, VU_IOTLB_MSG), REPLY);
	assert_int_equal(f->reply_payload.u64, 0);
	assert_int_equal(f->invalidations, 3);
	assert_false(translates(f, IOVA));
	assert_true(translates(f, IOVA + 0x1000));
	assert_int_equal(gm_iotlb_retired(vu_iotlb(f->s)), 0);
	/* Nor do updates make more of them while it lasts. */
	for (i = 0; gm_iotlb_retired(vu_iotlb(f->s)) < 16; i++)
		assert_true(update(f, IOVA + i * 0x1000, 0x1000, MEM_UVA));
	f->quiesce_later = true;
	assert_int_equal(exchange(f, &come), SILENCE);
	for (i = 0; i < 5; i++)
		vu_session_retry(f->s);
	assert_int_equal(gm_iotlb_retired(vu_iotlb(f->s)), 16);
	assert_false(translates(f, IOVA - 0x1000));
	f->quiesce_later = false;
	vu_session_retry(f->s);
	assert_int_equal(receive(f, VU_IOTLB_MSG), REPLY);
	assert_int_equal(f->reply_payload.u64, 0);
	assert_true(translates(f, IOVA - 0x1000));
}

static void entries_follow_their_memory(void **state)
{
	struct front *f = front_of(state);
	struct vu_mem_region other = page(1);

	negotiate(f, FEATURES | IOMMU);
	assert_int_equal(ask(f, slot(f, VU_ADD_MEM_REG, other)), ACK_OK);
	assert_true(update(f, IOVA, 0x1000, MEM_UVA));
	assert_true(update(f, IOVA + 0x1000, 0x1000, other.uva));
	assert_int_equal(ask(f, slot(f, VU_REM_MEM_REG, other)), ACK_OK);
	assert_true(translates(f, IOVA));
	assert_false(translates(f, IOVA + 0x1000));
	assert_int_equal(gm_iotlb_retired(vu_iotlb(f->s)), 0);
}

static void a_ring_behind_an_iommu_may_lie_anywhere(void **state)
{
	struct front *f = front_of(state);
	struct vu_vring_addr a = {
		.index = 1, .desc = IOVA, .avail = IOVA + 0x1000, .used = IOVA + 0x2000};

	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | IOMMU), ACK_OK);
	assert_int_equal(ask_addr(f, a), ACK_OK);
	a.desc += 8;
	assert_int_equal(ask_addr(f, a), ACK_BAD);
	assert_int_equal(ask_mem(f), ACK_OK);
	assert_int_equal(vu_ring_space(f->s).kind, GM_IOVA);
	assert_ptr_equal(vu_ring_space(f->s).view, gm_iotlb_view(vu_iotlb(f->s)));
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 1, 256), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, 1), ACK_OK);
	/* Whether it is mapped is the owner's affair: it waits. */
	assert_true(vu_ring_ready(f->s, 1));
}

static void an_iotlb_lives_as_long_as_its_feature(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1 | IOMMU);
	assert_true(update(f, IOVA, 0x1000, MEM_UVA));
	assert_int_equal(
		ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | IOMMU | LOG_ALL), ACK_OK);
	assert_true(translates(f, IOVA));
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_OK);
	assert_null(vu_iotlb(f->s));
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | IOMMU), ACK_OK);
	assert_false(translates(f, IOVA));
	assert_true(update(f, IOVA, 0x1000, MEM_UVA));
	assert_int_equal(ask(f, msg(VU_RESET_DEVICE)), ACK_OK);
	assert_null(vu_iotlb(f->s));
}

static void updates_name_guest_physical_addresses_if_negotiated(void **state)
{
	struct front *f = front_of(state);
	struct request table = one_region(f);

	set_protocol_features(f, ALL_PF | GPA);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, FEATURES | IOMMU), ACK_OK);
	assert_int_equal(ask(f, table), ACK_OK);
	assert_int_equal(vu_ring_space(f->s).kind, GM_IOVA);
	assert_true(update(f, IOVA, 0x1000, 0x3000));
	assert_ptr_equal(gm_iotlb_find(gm_iotlb_view(vu_iotlb(f->s)), IOVA)->host,
		vu_mem(f->s)->regions[0].host + 0x3000);
	assert_false(update(f, IOVA, 0x1000, MEM_UVA));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(there_are_509_memory_slots),
		spec(a_stopped_ring_takes_the_translations_along),
		spec(a_region_is_removed_whatever_offset_is_said),
		spec(a_descriptor_that_comes_with_a_removal_is_closed),
		spec(a_region_that_cannot_be_added_leaves_the_others),
		spec(without_memory_rings_rest),
		spec(memory_is_added_and_removed_under_paused_rings),
		spec(addresses_may_be_guest_physical),
		spec(addresses_are_the_front_end_s_unless_negotiated_otherwise),
		spec(an_update_is_answered_when_it_can_be_used),
		spec(an_iotlb_message_is_answered_once),
		spec(an_update_that_makes_no_sense_is_refused),
		spec(an_invalidation_is_answered_when_nobody_uses_the_range),
		spec(a_size_of_0_invalidates_the_rest_of_the_address_space),
		spec(views_do_not_gather_without_bound),
		spec(what_a_thread_still_uses_is_given_back_later),
		spec(entries_follow_their_memory),
		spec(a_ring_behind_an_iommu_may_lie_anywhere),
		spec(an_iotlb_lives_as_long_as_its_feature),
		spec(updates_name_guest_physical_addresses_if_negotiated),
	};

	return cmocka_run_group_tests_name("vhost_user memory", tests, NULL, NULL);
}
