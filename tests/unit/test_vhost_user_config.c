/* SPDX-License-Identifier: BSD-3-Clause */
/* The device configuration space, status, and features that go together. */
#include "vu_fixture.h"

static struct request config(uint32_t request, uint32_t offset, uint32_t size, uint32_t flags)
{
	struct request r = {request, 0, 12 + size, {.config = {offset, size, flags, {0}}}, NULL, 0};

	return r;
}

static void a_part_of_the_space_is_read_in_a_reply_of_the_same_size(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, FEATURES);
	for (unsigned i = 0; i < CONFIG_LEN; i++)
		f->config[i] = (uint8_t)(0x40 + i);
	for (uint32_t offset = 0; offset < CONFIG_LEN; offset++) {
		for (uint32_t size = 1; size <= CONFIG_LEN - offset; size++) {
			struct request r = config(VU_GET_CONFIG, offset, size, 0);

			assert_int_equal(exchange(f, &r), REPLY);
			assert_int_equal(f->reply_size, 12 + size);
			assert_int_equal(f->reply_payload.config.offset, offset);
			assert_int_equal(f->reply_payload.config.size, size);
			assert_memory_equal(f->reply_payload.config.data, f->config + offset, size);
		}
	}
}

static void what_is_not_in_the_space_is_an_empty_reply(void **state)
{
	static const struct {
		uint32_t offset, size;
	} wrong[] = {{0, 0}, {0, CONFIG_LEN + 1}, {CONFIG_LEN, 1}, {CONFIG_LEN - 1, 2}, {0, 256},
		{UINT32_MAX, 1}, {UINT32_MAX - 3, 8}, {0x80000000, 4}};
	struct front *f = front_of(state);

	negotiate(f, FEATURES);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++) {
		struct request r = config(VU_GET_CONFIG, wrong[i].offset, wrong[i].size, 0);

		assert_int_equal(exchange(f, &r), REPLY);
		assert_int_equal(f->reply_size, 0);
		r.request = VU_SET_CONFIG;
		assert_int_equal(ask(f, r), ACK_BAD);
	}
}

/* A count that the payload does not bear out, whichever is longer. */
static void a_configuration_is_as_long_as_it_says(void **state)
{
	static const uint32_t sizes[] = {0, 3, 5, 256, 257, UINT32_MAX, UINT32_MAX - 11};
	struct front *f = front_of(state);

	negotiate(f, FEATURES);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		struct request r = config(VU_GET_CONFIG, 0, 4, 0);

		r.payload.config.size = sizes[i];
		assert_int_equal(exchange(f, &r), REPLY);
		assert_int_equal(f->reply_size, 0);
		r.request = VU_SET_CONFIG;
		assert_int_equal(ask(f, r), ACK_BAD);
	}
}

static void read_only_fields_change_in_a_migration_only(void **state)
{
	struct front *f = front_of(state);
	struct request low = config(VU_SET_CONFIG, 0, 2, VU_CONFIG_WRITABLE);
	struct request high = config(VU_SET_CONFIG, 8, 2, VU_CONFIG_WRITABLE);

	negotiate(f, FEATURES);
	low.payload.config.data[0] = high.payload.config.data[0] = 0xab;
	assert_int_equal(ask(f, low), ACK_BAD);
	assert_int_equal(f->config[0], 0);
	assert_int_equal(ask(f, high), ACK_OK);
	assert_int_equal(f->config[8], 0xab);
	assert_false(f->config_migration);
	low.payload.config.flags = VU_CONFIG_MIGRATION;
	assert_int_equal(ask(f, low), ACK_OK);
	assert_int_equal(f->config[0], 0xab);
	assert_true(f->config_migration);
	high.payload.config.data[0] = 1;
	for (uint32_t flags = 2; flags; flags <<= 1) {
		high.payload.config.flags = flags;
		assert_int_equal(ask(f, high), ACK_BAD);
	}
	assert_int_equal(f->config[8], 0xab);
}

static void some_protocol_features_need_others(void **state)
{
	static const struct {
		uint64_t bit, needs;
	} rules[] = {{INBAND, BIT(VU_PF_BACKEND_REQ)}, {INBAND, BIT(VU_PF_REPLY_ACK)},
		{BIT(VU_PF_GET_VRING_BASE_INFLIGHT), BIT(VU_PF_INFLIGHT_SHMFD)}};
	struct front *f = front_of(state);

	set_protocol_features(f, ALL_PF);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(rules); i++) {
		uint64_t bad = (ALL_PF | rules[i].bit) & ~rules[i].needs;

		assert_int_equal(ask_u64(f, VU_SET_PROTOCOL_FEATURES, bad), ACK_BAD);
		assert_int_equal(vu_protocol_features(f->s), ALL_PF);
	}
	assert_int_equal(ask_u64(f, VU_SET_PROTOCOL_FEATURES, OFFERED_PF), ACK_OK);
}

static void every_protocol_feature_has_a_name(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit <= VU_PF_SHMEM; bit++)
		assert_non_null(vu_protocol_feature_name(bit));
	assert_null(vu_protocol_feature_name(VU_PF_SHMEM + 1));
	assert_null(vu_protocol_feature_name(UINT32_MAX));
	assert_string_equal(vu_protocol_feature_name(VU_PF_MQ), "MQ");
	assert_string_equal(vu_protocol_feature_name(VU_PF_GPA_ADDRESSES), "GPA_ADDRESSES");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(a_part_of_the_space_is_read_in_a_reply_of_the_same_size),
		spec(what_is_not_in_the_space_is_an_empty_reply),
		spec(a_configuration_is_as_long_as_it_says),
		spec(read_only_fields_change_in_a_migration_only),
		spec(some_protocol_features_need_others),
		spec(every_protocol_feature_has_a_name),
	};

	return cmocka_run_group_tests_name("vhost_user configuration", tests, NULL, NULL);
}
