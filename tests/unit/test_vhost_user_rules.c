/* SPDX-License-Identifier: BSD-3-Clause */
/* What single messages mean for the whole session: features, memory, device. */
#include "vu_fixture.h"

static uint64_t get_features(struct front *f)
{
	return get(f, msg(VU_GET_FEATURES));
}

/* Features. */

/* Any byte order is fine for a ring until VERSION_1 has been acknowledged. */
static bool version1_is_set(struct front *f)
{
	enum outcome big = ask_state(f, VU_SET_VRING_ENDIAN, 0, 1);

	assert_int_equal(ask_state(f, VU_SET_VRING_ENDIAN, 0, 0), ACK_OK);
	return big == ACK_BAD;
}

static void only_offered_features_are_accepted(void **state)
{
	struct front *f = front_of(state);

	set_protocol_features(f, ALL_PF);
	assert_int_equal(get_features(f), OFFERED);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, FEATURES | BIT(27)), ACK_BAD);
	assert_false(version1_is_set(f));
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, FEATURES), ACK_OK);
	assert_true(version1_is_set(f));
	assert_int_equal(vu_features(f->s), FEATURES);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, BIT(63)), ACK_BAD);
	assert_int_equal(vu_features(f->s), FEATURES);
}

static void only_offered_protocol_features_are_accepted(void **state)
{
	struct front *f = front_of(state);
	struct request r = msg(VU_GET_PROTOCOL_FEATURES);

	assert_int_equal(get(f, r), OFFERED_PF);
	set_protocol_features(f, BIT(VU_PF_REPLY_ACK));
	assert_int_equal(ask_u64(f, VU_SET_PROTOCOL_FEATURES, ALL_PF | BIT(VU_PF_SHMEM)), ACK_BAD);
	assert_int_equal(vu_protocol_features(f->s), BIT(VU_PF_REPLY_ACK));
	assert_int_equal(ask_u64(f, VU_SET_PROTOCOL_FEATURES, ALL_PF), ACK_OK);
}

static void features_stay_as_they_are_while_a_ring_runs(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1 | MRG);
	start_ring(f, 0);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_BAD);
	assert_true(f->running[0]);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | MRG), ACK_OK);
	assert_true(f->running[0]);
	stop_ring(f, 0);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_OK);
}

static void the_queue_number_is_in_pairs(void **state)
{
	struct front *f = front_of(state);

	set_protocol_features(f, ALL_PF);
	assert_int_equal(get(f, msg(VU_GET_QUEUE_NUM)), MAX_PAIRS);
}

/* Memory. */

/* A table of `n` regions of one page each. */
static struct request pages(struct front *f, uint32_t n, int *fds)
{
	struct request r = {.request = VU_SET_MEM_TABLE, .size = 8 + 32 * n, .fds = fds, .n = n};

	r.payload.mem.nregions = n;
	for (uint32_t i = 0; i < n; i++) {
		r.payload.mem.regions[i] = (struct vu_mem_region){
			i * 0x1000, 0x1000, MEM_UVA + i * 0x10000, i * 0x1000};
		fds[i] = f->memfd;
	}
	return r;
}

static void one_to_eight_regions_are_mapped(void **state)
{
	struct front *f = front_of(state);
	int fds[VU_MAX_FDS];

	set_protocol_features(f, ALL_PF);
	for (uint32_t n = 1; n <= VU_MAX_TABLE_REGIONS; n++) {
		struct request r = pages(f, n, fds);

		assert_int_equal(ask(f, r), ACK_OK);
		assert_int_equal(vu_mem(f->s)->nregions, n);
		/* Some send the whole structure. */
		r.size = sizeof(struct vu_mem_table);
		assert_int_equal(ask(f, r), ACK_OK);
		assert_int_equal(vu_mem(f->s)->nregions, n);
	}
}

static void a_table_that_contradicts_itself_is_refused(void **state)
{
	static const uint32_t wrong[] = {0, 1, 3, 9, 0x80000002, UINT32_MAX};
	struct front *f = front_of(state);
	int fds[VU_MAX_FDS];
	struct request r = pages(f, 2, fds);

	set_protocol_features(f, ALL_PF);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++) {
		r.payload.mem.nregions = wrong[i];
		assert_int_equal(ask(f, r), ACK_BAD);
		r.size = sizeof(struct vu_mem_table);
		assert_int_equal(ask(f, r), ACK_BAD);
		r.size = 8 + 2 * 32;
	}
	/* As many descriptors as regions, but none. */
	r.n = 0;
	r.payload.mem.nregions = 0;
	assert_int_equal(ask(f, r), ACK_BAD);
	/* A region that was counted but not sent. */
	r = pages(f, 2, fds);
	r.size = 8 + 32;
	assert_int_equal(ask(f, r), ACK_BAD);
	assert_null(vu_mem(f->s));
}

static void a_table_that_cannot_be_mapped_leaves_the_old_one(void **state)
{
	struct front *f = front_of(state);
	struct request r = one_region(f);
	const struct gm_map *old;

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	old = vu_mem(f->s);
	r.payload.mem.regions[0].size = MEM_SIZE + 1; /* past the end of the file */
	assert_int_equal(ask(f, r), ACK_BAD);
	r.payload.mem.regions[0].size = 0;
	assert_int_equal(ask(f, r), ACK_BAD);
	r.payload.mem.regions[0].size = MEM_SIZE;
	r.payload.mem.regions[0].gpa = UINT64_MAX - 5; /* wraps */
	assert_int_equal(ask(f, r), ACK_BAD);
	assert_ptr_equal(vu_mem(f->s), old);
	assert_true(f->running[0]);
}

static void a_new_table_replaces_the_old_one_under_paused_rings(void **state)
{
	struct front *f = front_of(state);
	struct request r = one_region(f);
	unsigned maps;

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	maps = count_maps();
	r.payload.mem.regions[0].gpa = 0x100000000;
	assert_int_equal(ask(f, r), ACK_OK);
	assert_ptr_not_equal(f->at_pause.mem, f->at_resume.mem);
	assert_ptr_equal(f->at_resume.mem, vu_mem(f->s));
	assert_int_equal(vu_mem(f->s)->regions[0].gpa, 0x100000000);
	assert_true(f->running[0]);
	assert_int_equal(count_maps(), maps);
}

static void resending_a_table_moves_no_page(void **state)
{
	struct front *f = front_of(state);
	uint8_t *host;

	negotiate(f, PROTOCOL | VERSION1);
	host = vu_mem(f->s)->regions[0].host;
	for (int i = 0; i < 100; i++)
		assert_int_equal(ask_mem(f), ACK_OK);
	assert_ptr_equal(vu_mem(f->s)->regions[0].host, host);
}

/* Device. */

static void an_mtu_is_between_68_and_65535(void **state)
{
	static const uint64_t wrong[] = {0, 67, 65536, 0x100000000 + 1500, UINT64_MAX};
	struct front *f = front_of(state);

	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_u64(f, VU_NET_SET_MTU, 68), ACK_OK);
	assert_int_equal(f->mtu, 68);
	assert_int_equal(ask_u64(f, VU_NET_SET_MTU, 65535), ACK_OK);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++)
		assert_int_equal(ask_u64(f, VU_NET_SET_MTU, wrong[i]), ACK_BAD);
	assert_int_equal(f->mtu, 65535);
	assert_int_equal(vu_mtu(f->s), 65535);
}

static void resetting_the_device_forgets_all_but_memory_and_protocol(void **state)
{
	struct front *f = front_of(state);
	const struct gm_map *mem;
	int call_fd, err_fd;
	unsigned fds;

	negotiate(f, PROTOCOL | VERSION1 | PACKED);
	/* QEMU gives these two only when it connects. */
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 0), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_ERR, 0), ACK_OK);
	start_ring(f, 0);
	call_fd = vu_ring(f->s, 0)->call_fd;
	err_fd = vu_ring(f->s, 0)->err_fd;
	fds = count_fds();
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 0, 1), ACK_OK);
	assert_int_equal(ask_u64(f, VU_SET_STATUS, 0xf), ACK_OK);
	mem = vu_mem(f->s);
	assert_int_equal(ask(f, msg(VU_RESET_DEVICE)), ACK_OK);
	assert_false(f->running[0]);
	assert_int_equal(count_fds(), fds - 1); /* the kick */
	assert_true(call_fd >= 0 && vu_ring(f->s, 0)->call_fd == call_fd);
	assert_true(err_fd >= 0 && vu_ring(f->s, 0)->err_fd == err_fd);
	assert_ptr_equal(vu_mem(f->s), mem);
	assert_int_equal(vu_protocol_features(f->s), ALL_PF);
	assert_false(version1_is_set(f));
	assert_int_equal(vu_features(f->s), 0);
	assert_int_equal(vu_status(f->s), 0);
	assert_false(vu_ring(f->s, 0)->enabled || vu_ring(f->s, 0)->addr_set ||
		vu_ring(f->s, 0)->started);
	/* And it can begin again. */
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_OK);
	start_ring(f, 0);
}

static void the_owner_may_be_set_and_reset_at_any_time(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask(f, msg(VU_SET_OWNER)), ACK_OK);
		assert_int_equal(ask(f, msg(VU_RESET_OWNER)), ACK_OK);
	}
	assert_true(f->running[0]);
	assert_int_equal(vu_features(f->s), PROTOCOL | VERSION1);
}

static void the_status_is_returned_without_features_ok_for_bad_features(void **state)
{
	struct request status = msg(VU_GET_STATUS);
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	assert_int_equal(get(f, status), 0);
	assert_int_equal(ask_u64(f, VU_SET_STATUS, 0xb), ACK_OK);
	assert_int_equal(get(f, status), 0xb);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, BIT(60)), ACK_BAD);
	assert_int_equal(ask_u64(f, VU_SET_STATUS, 0xb), ACK_OK);
	assert_int_equal(get(f, status), 0x3);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL), ACK_OK);
	assert_int_equal(ask_u64(f, VU_SET_STATUS, 0xf0f), ACK_OK);
	assert_int_equal(get(f, status), 0xf);
	start_ring(f, 0);
	assert_int_equal(ask_u64(f, VU_SET_STATUS, 0), ACK_OK);
	assert_true(f->running[0]);
	assert_non_null(vu_mem(f->s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(only_offered_features_are_accepted),
		spec(only_offered_protocol_features_are_accepted),
		spec(features_stay_as_they_are_while_a_ring_runs),
		spec(the_queue_number_is_in_pairs),
		spec(one_to_eight_regions_are_mapped),
		spec(a_table_that_contradicts_itself_is_refused),
		spec(a_table_that_cannot_be_mapped_leaves_the_old_one),
		spec(a_new_table_replaces_the_old_one_under_paused_rings),
		spec(resending_a_table_moves_no_page),
		spec(an_mtu_is_between_68_and_65535),
		spec(resetting_the_device_forgets_all_but_memory_and_protocol),
		spec(the_owner_may_be_set_and_reset_at_any_time),
		spec(the_status_is_returned_without_features_ok_for_bad_features),
	};

	return cmocka_run_group_tests_name("vhost_user rules", tests, NULL, NULL);
}
