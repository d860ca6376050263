/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What holds for every message of the table: size, descriptors, features, ring index, rings that
 * stand still, acknowledgement. One scenario for each, and each rule tried on all of them.
 */
#include "vu_scenarios.h"

/*
 * `r` must be refused in the scenario's way: with a reply that says so, after which the session
 * goes on, or else by closing the connection, because of `why`. Nothing that came along may stay
 * open.
 */
static void refused(
	struct unit *u, const struct scenario *sc, struct request r, unsigned nfds, int why)
{
	for (int acks = 0; acks < 2; acks++) {
		unsigned before = count_fds(), open;
		struct front f;
		enum outcome out;

		prepare(&f, u->loop, sc);
		if (f.reply_fd >= 0)
			close(f.reply_fd);
		f.reply_fd = -1;
		open = count_fds();
		r.flags = acks ? NEED : 0;
		out = try_with_fds(&f, sc, r, nfds);
		assert_int_equal(out, failure(sc, acks));
		if (out == CLOSED) {
			assert_int_equal(f.reason, why);
		} else {
			assert_refusal(&f, sc);
			assert_int_equal(count_fds(), open);
			assert_int_equal(get(&f, scenarios[VU_GET_FEATURES].r), OFFERED);
		}
		front_close(&f);
		assert_int_equal(count_fds(), before);
	}
}

static void every_row_of_the_table_has_a_scenario(void **state)
{
	(void)state;
	for (uint32_t request = 0; request < 256; request++) {
		bool there = request < RW_ARRAY_SIZE(scenarios) && scenarios[request].r.request;

		assert_int_equal(there, vu_request_name(request) != NULL);
		if (there)
			assert_int_equal(scenarios[request].r.request, request);
	}
	assert_null(vu_request_name(UINT32_MAX));
	assert_string_equal(vu_request_name(VU_SET_VRING_ADDR), "SET_VRING_ADDR");
}

static void a_message_is_answered_only_if_it_has_a_reply(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct front f;

		prepare(&f, u->loop, sc);
		assert_int_equal(try(&f, sc, sc->r), success(sc, false));
		front_close(&f);
	}
}

static void need_reply_is_answered_once_with_zero_on_success(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request r = sc->r;
		union vu_payload plain;
		uint32_t size;
		struct front f;

		prepare(&f, u->loop, sc);
		try(&f, sc, r);
		plain = f.reply_payload;
		size = f.reply_size;
		front_close(&f);
		prepare(&f, u->loop, sc);
		r.flags = NEED;
		assert_int_equal(try(&f, sc, r), REPLY);
		if (sc->answer == ACKED) {
			assert_int_equal(f.reply_size, 8);
			assert_int_equal(f.reply, 0);
		} else {
			/* It is a reply already: need_reply changes nothing. */
			assert_int_equal(f.reply_size, size);
			assert_memory_equal(&f.reply_payload, &plain, size);
		}
		front_close(&f);
	}
}

static void need_reply_means_nothing_unless_negotiated(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request r = sc->r;
		struct front f;

		if (r.request == VU_SET_PROTOCOL_FEATURES)
			continue; /* this one negotiates it */
		if (r.request == VU_VRING_KICK)
			continue; /* this one needs it */
		prepare(&f, u->loop, sc);
		set_protocol_features(&f, ALL_PF & ~BIT(VU_PF_REPLY_ACK));
		r.flags = NEED;
		assert_int_equal(try(&f, sc, r), success(sc, false));
		r.size = 4000;
		assert_int_equal(try(&f, sc, r), failure(sc, false));
		front_close(&f);
	}
}

static void a_payload_of_the_wrong_size_is_refused(void **state)
{
	static const uint32_t longer[] = {1, 4, 8, 32, 256, 300, 4000};
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request r = sc->r;
		uint32_t max = RW_MAX(r.size, sc->size_max);
		unsigned nfds = fds_of(sc);

		for (uint32_t size = 0; size < sc->r.size; size++) {
			r.size = size;
			refused(u, sc, r, nfds, -EPROTO);
		}
		for (unsigned i = 0; i < RW_ARRAY_SIZE(longer); i++) {
			r.size = max + longer[i];
			refused(u, sc, r, nfds, -EPROTO);
		}
	}
}

static void descriptors_in_the_wrong_number_are_refused(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		for (unsigned n = 0; n <= VU_MAX_FDS + 2; n++) {
			if (n != fds_of(sc) && (n > 1 || !sc->fds_optional))
				refused(u, sc, sc->r, n, -EPROTO);
		}
	}
}

/* All protocol features but one and what needs it. */
static uint64_t without(unsigned bit)
{
	uint64_t bits = ALL_PF & ~BIT(bit);

	if (bit == VU_PF_INFLIGHT_SHMFD)
		bits &= ~BIT(VU_PF_GET_VRING_BASE_INFLIGHT);
	return bits;
}

static void a_message_is_refused_without_its_protocol_feature(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request r = sc->r;
		struct front f;

		if (sc->feature >= ALWAYS)
			continue;
		prepare(&f, u->loop, sc);
		set_protocol_features(&f, without(sc->feature));
		r.flags = NEED;
		assert_int_equal(try(&f, sc, r), failure(sc, true));
		if (!f.closed)
			assert_refusal(&f, sc);
		front_close(&f);
	}
}

static void protocol_features_that_are_not_offered_do_not_exist(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct front f;

		if (sc->feature == ALWAYS)
			continue;
		front_open_offering(&f, u->loop, VERSION1 | MRG, 0);
		assert_int_equal(try(&f, sc, sc->r), failure(sc, false));
		if (!f.closed)
			assert_refusal(&f, sc);
		front_close(&f);
	}
}

static void rings_stand_still_while_a_message_changes_them(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct snapshot before, after;
		struct front f;

		prepare(&f, u->loop, sc);
		snapshot_take(&before, f.s);
		f.pauses = f.resumes = 0;
		try(&f, sc, sc->r);
		assert_int_equal(f.pauses, sc->paused != NOTHING);
		assert_int_equal(f.resumes, sc->paused != NOTHING);
		if (sc->paused != NOTHING) {
			assert_int_equal(f.first, sc->paused == ALL_RINGS ? 0 : 1);
			assert_int_equal(f.n, sc->paused == ALL_RINGS ? 2 : 1);
			snapshot_take(&after, f.s);
			assert_memory_equal(&f.at_pause, &before, sizeof(before));
			assert_memory_equal(&f.at_resume, &after, sizeof(after));
			if (sc->r.request != VU_GET_VRING_BASE)
				assert_memory_not_equal(&before, &after, sizeof(after));
		}
		front_close(&f);
	}
}

static void a_refused_message_changes_nothing(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct snapshot before, after;
		struct request r = sc->r;
		struct front f;

		if (failure(sc, true) == CLOSED)
			continue;
		prepare(&f, u->loop, sc);
		snapshot_take(&before, f.s);
		r.flags = NEED;
		r.size = RW_MAX(r.size, sc->size_max) + 1;
		assert_int_equal(try(&f, sc, r), REPLY);
		snapshot_take(&after, f.s);
		assert_memory_equal(&before, &after, sizeof(after));
		front_close(&f);
	}
}

static void a_ring_that_cannot_resume_fails_its_message(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request r = sc->r;
		struct snapshot after;
		struct front f;

		if (sc->paused == NOTHING || failure(sc, true) == CLOSED)
			continue;
		prepare(&f, u->loop, sc);
		f.resume_ret = -EFAULT;
		r.flags = NEED;
		assert_int_equal(try(&f, sc, r), REPLY);
		assert_refusal(&f, sc);
		/* What was said stays said. */
		snapshot_take(&after, f.s);
		assert_memory_equal(&f.at_resume, &after, sizeof(after));
		front_close(&f);
	}
}

static void rings_that_do_not_exist_are_refused(void **state)
{
	static const uint64_t beyond[] = {MAX_PAIRS * 2, 0xff, 0x10000, 0x80000000, 0xffffffff};
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		unsigned nfds = fds_of(sc);
		struct request r = sc->r;

		if (sc->index == NO_INDEX)
			continue;
		for (unsigned i = 0; i < RW_ARRAY_SIZE(beyond); i++) {
			if (sc->index == FD_INDEX)
				r.payload.u64 = beyond[i];
			else
				r.payload.state.index = (uint32_t)beyond[i];
			refused(u, sc, r, nfds, -EINVAL);
		}
		/* Bit 8 is no index bit where it says that no descriptor comes along. */
		r.payload.state.index = sc->index == FD_INDEX ? 0x100 | MAX_PAIRS * 2 : 0x100;
		refused(u, sc, r, nfds, -EINVAL);
		if (sc->index == FD_INDEX) {
			r.payload.u64 = 1ULL << 32;
			refused(u, sc, r, nfds, -EINVAL);
		}
	}
}

static void the_last_ring_exists(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request r = sc->r;
		struct front f;

		if (sc->index == NO_INDEX)
			continue;
		prepare(&f, u->loop, sc);
		r.payload.state.index = MAX_PAIRS * 2 - 1;
		assert_int_equal(try(&f, sc, r), success(sc, false));
		assert_int_equal(vu_nrings(f.s), MAX_PAIRS * 2);
		front_close(&f);
	}
}

static void another_protocol_version_is_refused(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		for (uint32_t version = 0; version <= VU_VERSION_MASK; version++) {
			struct request r = sc->r;
			struct front f;

			if (version == VU_VERSION)
				continue;
			prepare(&f, u->loop, sc);
			r.flags = VU_VERSION ^ version;
			assert_int_equal(try(&f, sc, r), CLOSED);
			assert_int_equal(f.reason, -EPROTO);
			front_close(&f);
		}
	}
}

static void a_reply_is_no_request(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request r = sc->r;
		struct front f;

		prepare(&f, u->loop, sc);
		r.flags = VU_FLAG_REPLY;
		assert_int_equal(try(&f, sc, r), CLOSED);
		front_close(&f);
	}
}

static void unknown_requests_are_refused_and_the_stream_keeps_pace(void **state)
{
	static const uint32_t unknown[] = {
		0, 45, 64, 127, 255, 256, 0x10000, 0x80000000, 0xffffffff};
	static const uint32_t sizes[] = {0, 8, 264, 265, 1000, 4096};
	struct unit *u = *state;
	struct scenario sc = {.fds = EVENTFD};

	for (unsigned i = 0; i < RW_ARRAY_SIZE(unknown); i++) {
		for (unsigned k = 0; k < RW_ARRAY_SIZE(sizes); k++) {
			struct request r = {unknown[i], 0, sizes[k], {.u64 = 1}, NULL, 0};

			refused(u, &sc, r, k % 3, -EOPNOTSUPP);
		}
	}
}

static void messages_of_other_devices_are_refused(void **state)
{
	struct unit *u = *state;
	unsigned n = 0;

	for (unsigned i = 0; i < RW_ARRAY_SIZE(scenarios); i++) {
		struct scenario sc = scenarios[i];

		if (sc.feature != NEVER)
			continue;
		sc.fds = EVENTFD;
		for (uint32_t size = 0; size <= 600; size += 8) {
			sc.r.size = size;
			refused(u, &sc, sc.r, size % 3, -EOPNOTSUPP);
		}
		n++;
	}
	assert_int_equal(n, 5);
}

/*
 * The owner cannot pause rings yet: the message waits, and what is behind it, too. A hang-up is
 * noticed all the same.
 */
static void a_message_whose_rings_cannot_rest_yet_waits(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request again = msg(VU_GET_FEATURES);
		struct front f;

		if (sc->paused == NOTHING)
			continue;
		for (int hang_up = 0; hang_up < 2; hang_up++) {
			prepare(&f, u->loop, sc);
			f.pause_later = true;
			assert_int_equal(try(&f, sc, sc->r), SILENCE);
			assert_int_equal(exchange(&f, &again), SILENCE);
			assert_true(vu_is_waiting(f.s));
			f.pause_later = false;
			pump(&f);
			if (!hang_up) {
				vu_session_retry(f.s);
				assert_false(vu_is_waiting(f.s));
				if (sc->answer != ACKED)
					assert_int_equal(receive(&f, sc->r.request), REPLY);
				/* What waits behind it may have to wait for another turn. */
				pump(&f);
				assert_int_equal(receive(&f, again.request), REPLY);
				vu_session_retry(f.s);
			}
			front_close(&f);
			assert_int_equal(f.reason, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(every_row_of_the_table_has_a_scenario),
		spec(a_message_is_answered_only_if_it_has_a_reply),
		spec(need_reply_is_answered_once_with_zero_on_success),
		spec(need_reply_means_nothing_unless_negotiated),
		spec(a_payload_of_the_wrong_size_is_refused),
		spec(descriptors_in_the_wrong_number_are_refused),
		spec(a_message_is_refused_without_its_protocol_feature),
		spec(protocol_features_that_are_not_offered_do_not_exist),
		spec(rings_stand_still_while_a_message_changes_them),
		spec(a_refused_message_changes_nothing),
		spec(a_ring_that_cannot_resume_fails_its_message),
		spec(rings_that_do_not_exist_are_refused),
		spec(the_last_ring_exists),
		spec(another_protocol_version_is_refused),
		spec(a_reply_is_no_request),
		spec(unknown_requests_are_refused_and_the_stream_keeps_pace),
		spec(messages_of_other_devices_are_refused),
		spec(a_message_whose_rings_cannot_rest_yet_waits),
	};

	return cmocka_run_group_tests_name("vhost_user messages", tests, NULL, NULL);
}
