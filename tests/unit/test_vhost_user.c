/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What holds for every message of the table: size, descriptors, features, ring index, rings that
 * stand still, acknowledgement. One scenario for each, and each rule tried on all of them.
 */
#include "vu_fixture.h"

enum paused { NOTHING, THE_RING, ALL_RINGS };
enum index { NO_INDEX, U32_INDEX, FD_INDEX };
enum fds { NO_FDS, EVENTFD, MEMFD };

#define ALWAYS            64
#define PROTOCOL_FEATURES 65

/* A message that succeeds, and changes something, after prepare(). */
struct scenario {
	struct request r;
	enum fds fds;
	enum paused paused;
	enum index index;
	unsigned feature; /* protocol feature bit; ALWAYS; or PROTOCOL_FEATURES themselves */
	bool replies;
};

#define S_U64(v)      8, {.u64 = (v)}, NULL, 0
#define S_STATE(i, v) 8, {.state = {i, v}}, NULL, 0
#define S_NOTHING     0, {.u64 = 0}, NULL, 0
#define S_ADDR                                                                                \
	sizeof(struct vu_vring_addr),                                                         \
		{.addr = {1, 0, MEM_UVA + 0x40000, MEM_UVA + 0x48000, MEM_UVA + 0x44000, 0}}, \
		NULL, 0
#define S_MEM 40, {.mem = {1, 0, {{0, MEM_SIZE / 2, MEM_UVA, 0}}}}, NULL, 0

/* clang-format off */
static const struct scenario scenarios[] = {
	{{VU_GET_FEATURES, 0, S_NOTHING}, NO_FDS, NOTHING, NO_INDEX, ALWAYS, true},
	{{VU_SET_FEATURES, 0, S_U64(PROTOCOL | VERSION1)}, NO_FDS, ALL_RINGS, NO_INDEX,
		ALWAYS, false},
	{{VU_SET_OWNER, 0, S_NOTHING}, NO_FDS, NOTHING, NO_INDEX, ALWAYS, false},
	{{VU_RESET_OWNER, 0, S_NOTHING}, NO_FDS, NOTHING, NO_INDEX, ALWAYS, false},
	{{VU_SET_MEM_TABLE, 0, S_MEM}, MEMFD, ALL_RINGS, NO_INDEX, ALWAYS, false},
	{{VU_SET_VRING_NUM, 0, S_STATE(1, 128)}, NO_FDS, THE_RING, U32_INDEX, ALWAYS, false},
	{{VU_SET_VRING_ADDR, 0, S_ADDR}, NO_FDS, THE_RING, U32_INDEX, ALWAYS, false},
	{{VU_SET_VRING_BASE, 0, S_STATE(1, 7)}, NO_FDS, THE_RING, U32_INDEX, ALWAYS, false},
	{{VU_GET_VRING_BASE, 0, S_STATE(1, 0)}, NO_FDS, THE_RING, U32_INDEX, ALWAYS, true},
	{{VU_SET_VRING_KICK, 0, S_U64(1)}, EVENTFD, THE_RING, FD_INDEX, ALWAYS, false},
	{{VU_SET_VRING_CALL, 0, S_U64(1)}, EVENTFD, THE_RING, FD_INDEX, ALWAYS, false},
	{{VU_SET_VRING_ERR, 0, S_U64(1)}, EVENTFD, THE_RING, FD_INDEX, ALWAYS, false},
	{{VU_GET_PROTOCOL_FEATURES, 0, S_NOTHING}, NO_FDS, NOTHING, NO_INDEX,
		PROTOCOL_FEATURES, true},
	{{VU_SET_PROTOCOL_FEATURES, 0, S_U64(BIT(VU_PF_REPLY_ACK))}, NO_FDS, NOTHING, NO_INDEX,
		PROTOCOL_FEATURES, false},
	{{VU_GET_QUEUE_NUM, 0, S_NOTHING}, NO_FDS, NOTHING, NO_INDEX, VU_PF_MQ, true},
	{{VU_SET_VRING_ENABLE, 0, S_STATE(1, 1)}, NO_FDS, THE_RING, U32_INDEX,
		PROTOCOL_FEATURES, false},
	{{VU_NET_SET_MTU, 0, S_U64(1500)}, NO_FDS, NOTHING, NO_INDEX, VU_PF_NET_MTU, false},
	{{VU_RESET_DEVICE, 0, S_NOTHING}, NO_FDS, ALL_RINGS, NO_INDEX, VU_PF_RESET_DEVICE, false},
	{{VU_SET_STATUS, 0, S_U64(0xf)}, NO_FDS, NOTHING, NO_INDEX, VU_PF_STATUS, false},
	{{VU_GET_STATUS, 0, S_NOTHING}, NO_FDS, NOTHING, NO_INDEX, VU_PF_STATUS, true},
};
/* clang-format on */

#define FOR_EACH_SCENARIO(sc) \
	for (const struct scenario *sc = scenarios; sc < scenarios + RW_ARRAY_SIZE(scenarios); sc++)

/* A front-end of its own, negotiated, with two rings that lack only the kick. */
static void prepare(struct front *f, struct rw_loop *loop)
{
	front_open(f, loop);
	negotiate(f, PROTOCOL | VERSION1 | MRG);
	describe_ring(f, 0);
	describe_ring(f, 1);
}

/* The scenario's request with `n` descriptors of its kind. */
static enum outcome try_with_fds(
	struct front *f, const struct scenario *sc, struct request r, unsigned n)
{
	int fds[VU_MAX_FDS + 2];
	enum outcome out;

	assert_true(n <= RW_ARRAY_SIZE(fds));
	for (unsigned i = 0; i < n; i++)
		fds[i] = sc->fds == MEMFD ? dup(f->memfd) : eventfd(0, EFD_CLOEXEC);
	r.fds = fds;
	r.n = n;
	out = exchange(f, &r);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	return out;
}

static enum outcome try(struct front *f, const struct scenario *sc, struct request r)
{
	return try_with_fds(f, sc, r, sc->fds == NO_FDS ? 0 : 1);
}

/*
 * `r` must be refused: with an acknowledgement that says so, after which the session goes on, or
 * else by closing the connection, because of `why`. Nothing that came along may stay open.
 */
static void refused(
	struct unit *u, const struct scenario *sc, struct request r, unsigned nfds, int why)
{
	for (int acks = 0; acks < 2; acks++) {
		unsigned before = count_fds(), open;
		struct front f;
		enum outcome out;

		prepare(&f, u->loop);
		open = count_fds();
		r.flags = acks ? NEED : 0;
		out = try_with_fds(&f, sc, r, nfds);
		if (!acks || sc->replies) {
			assert_int_equal(out, CLOSED);
			assert_int_equal(f.reason, why);
		} else {
			assert_int_equal(out, REPLY);
			assert_true(f.reply != 0);
			assert_int_equal(count_fds(), open);
			assert_int_equal(get(&f, scenarios[0].r), FEATURES);
		}
		front_close(&f);
		assert_int_equal(count_fds(), before);
	}
}

static void every_row_of_the_table_has_a_scenario(void **state)
{
	(void)state;
	for (uint32_t request = 0; request < 256; request++) {
		unsigned n = 0;

		FOR_EACH_SCENARIO(sc)
		n += sc->r.request == request;
		assert_int_equal(n, vu_request_name(request) != NULL);
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

		prepare(&f, u->loop);
		assert_int_equal(try(&f, sc, sc->r), sc->replies ? REPLY : SILENCE);
		front_close(&f);
	}
}

static void need_reply_is_answered_once_with_zero_on_success(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request r = sc->r;
		struct front f;
		uint64_t plain;

		prepare(&f, u->loop);
		try(&f, sc, r);
		plain = f.reply;
		front_close(&f);
		prepare(&f, u->loop);
		r.flags = NEED;
		assert_int_equal(try(&f, sc, r), REPLY);
		assert_true(f.reply == (sc->replies ? plain : 0));
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
		prepare(&f, u->loop);
		set_protocol_features(&f, ALL_PF & ~BIT(VU_PF_REPLY_ACK));
		r.flags = NEED;
		assert_int_equal(try(&f, sc, r), sc->replies ? REPLY : SILENCE);
		r.size++;
		assert_int_equal(try(&f, sc, r), CLOSED);
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
		unsigned nfds = sc->fds == NO_FDS ? 0 : 1;

		for (uint32_t size = 0; size < sc->r.size; size++) {
			r.size = size;
			refused(u, sc, r, nfds, -EPROTO);
		}
		for (unsigned i = 0; i < RW_ARRAY_SIZE(longer); i++) {
			r.size = sc->r.size + longer[i];
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
			if (n != (sc->fds == NO_FDS ? 0 : 1))
				refused(u, sc, sc->r, n, -EPROTO);
		}
	}
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
		prepare(&f, u->loop);
		set_protocol_features(&f, ALL_PF & ~BIT(sc->feature));
		r.flags = NEED;
		assert_int_equal(try(&f, sc, r), sc->replies ? CLOSED : REPLY);
		if (!sc->replies)
			assert_true(f.reply != 0);
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
		assert_int_equal(try(&f, sc, sc->r), CLOSED);
		front_close(&f);
	}
}

static void rings_stand_still_while_a_message_changes_them(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		static struct vu_session before;
		struct front f;

		prepare(&f, u->loop);
		memcpy(&before, f.s, sizeof(before));
		f.pauses = f.resumes = 0;
		try(&f, sc, sc->r);
		assert_int_equal(f.pauses, sc->paused != NOTHING);
		assert_int_equal(f.resumes, sc->paused != NOTHING);
		if (sc->paused != NOTHING) {
			assert_int_equal(f.first, sc->paused == ALL_RINGS ? 0 : 1);
			assert_int_equal(f.n, sc->paused == ALL_RINGS ? 2 : 1);
			assert_memory_equal(&f.at_pause, &before, sizeof(before));
			assert_memory_equal(&f.at_resume, f.s, sizeof(*f.s));
			if (!sc->replies)
				assert_memory_not_equal(&before, f.s, sizeof(*f.s));
		}
		front_close(&f);
	}
}

static void a_refused_message_changes_nothing(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		static struct vu_session before;
		struct request r = sc->r;
		struct front f;

		if (sc->replies)
			continue;
		prepare(&f, u->loop);
		memcpy(&before, f.s, sizeof(before));
		r.flags = NEED;
		r.size++;
		assert_int_equal(try(&f, sc, r), REPLY);
		assert_memory_equal(&before, f.s, sizeof(before));
		front_close(&f);
	}
}

static void a_ring_that_cannot_resume_fails_its_message(void **state)
{
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		struct request r = sc->r;
		struct front f;

		if (sc->paused == NOTHING || sc->replies)
			continue;
		prepare(&f, u->loop);
		f.resume_ret = -EFAULT;
		r.flags = NEED;
		assert_int_equal(try(&f, sc, r), REPLY);
		assert_true(f.reply != 0);
		/* What was said stays said. */
		assert_memory_equal(&f.at_resume, f.s, sizeof(*f.s));
		front_close(&f);
	}
}

static void rings_that_do_not_exist_are_refused(void **state)
{
	static const uint64_t beyond[] = {MAX_PAIRS * 2, 0xff, 0x10000, 0x80000000, 0xffffffff};
	struct unit *u = *state;

	FOR_EACH_SCENARIO(sc)
	{
		unsigned nfds = sc->fds == NO_FDS ? 0 : 1;
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
		prepare(&f, u->loop);
		r.payload.state.index = MAX_PAIRS * 2 - 1;
		assert_int_equal(try(&f, sc, r), sc->replies ? REPLY : SILENCE);
		assert_int_equal(f.s->nrings, MAX_PAIRS * 2);
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
			prepare(&f, u->loop);
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

		prepare(&f, u->loop);
		r.flags = VU_FLAG_REPLY;
		assert_int_equal(try(&f, sc, r), CLOSED);
		front_close(&f);
	}
}

static void unknown_requests_are_refused_and_the_stream_keeps_pace(void **state)
{
	static const uint32_t unknown[] = {0, 6, 7, 19, 21, 22, 24, 31, 33, 35, 38, 41, 45, 64,
		0x10000, 0x80000000, 0xffffffff};
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
	};

	return cmocka_run_group_tests_name("vhost_user messages", tests, NULL, NULL);
}
