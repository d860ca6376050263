/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages as a byte stream, descriptors, the end of a session, and sessions in large numbers. */
#include <sys/resource.h>

#include "vu_scenarios.h"

static const struct request get_features = {.request = VU_GET_FEATURES};

static void a_negotiation_may_arrive_byte_by_byte(void **state)
{
	struct front *f = front_of(state);
	struct request r[16];
	int fd;
	unsigned n = whole_negotiation(f, r, &fd);

	for (unsigned i = 0; i < n; i++) {
		struct bytes b = bytes_of(&r[i]);

		for (size_t at = 0; at < b.len; at++) {
			assert_true(send_raw(f, b.data + at, 1, r[i].fds, at ? 0 : r[i].n));
			assert_int_equal(rw_loop_once(f->loop, 0), 0);
		}
	}
	assert_int_equal(receive(f, VU_SET_VRING_ENABLE), REPLY);
	assert_int_equal(f->reply, 0);
	assert_true(f->running[0]);
	close(fd);
}

/* Longer than any, and in two parts, so that each byte is once the first of a read. */
static void a_payload_may_be_split_anywhere(void **state)
{
	struct front *f = front_of(state);
	struct request r = msg_of(VU_SET_VRING_NUM, VU_MAX_PAYLOAD + 8);
	struct bytes b;

	set_protocol_features(f, ALL_PF);
	r.flags = NEED;
	b = bytes_of(&r);
	for (size_t at = 1; at < b.len; at++) {
		assert_true(send_raw(f, b.data, at, NULL, 0));
		assert_int_equal(rw_loop_once(f->loop, 0), 0);
		assert_true(send_raw(f, b.data + at, b.len - at, NULL, 0));
		assert_int_equal(rw_loop_once(f->loop, 0), 0);
		assert_int_equal(receive(f, VU_SET_VRING_NUM), REPLY);
		assert_int_equal(f->reply, 1);
	}
}

static void messages_in_one_write_are_told_apart(void **state)
{
	struct front *f = front_of(state);
	struct request r[16];
	uint8_t all[2048];
	size_t len = 0;
	int fd;
	unsigned n = whole_negotiation(f, r, &fd);

	/* Descriptors cannot be told apart in one write: those messages go alone. */
	for (unsigned i = 0; i < n; i++) {
		struct bytes b = bytes_of(&r[i]);

		if (r[i].n) {
			assert_true(send_raw(f, all, len, NULL, 0));
			assert_true(send_raw(f, b.data, b.len, r[i].fds, r[i].n));
			len = 0;
			continue;
		}
		memcpy(all + len, b.data, b.len);
		len += b.len;
	}
	assert_true(send_raw(f, all, len, NULL, 0));
	pump(f);
	assert_int_equal(receive(f, VU_SET_VRING_ENABLE), REPLY);
	assert_int_equal(f->reply, 0);
	assert_true(f->running[0]);
	assert_true(vu_ring(f->s, 0)->call_fd >= 0);
	close(fd);
}

static void descriptors_may_come_with_any_byte_of_their_message(void **state)
{
	struct front *f = front_of(state);
	struct request r = one_region(f);
	struct bytes b;

	set_protocol_features(f, ALL_PF);
	r.flags = NEED;
	b = bytes_of(&r);
	for (size_t at = 1; at < b.len; at++) {
		assert_true(send_raw(f, b.data, at, NULL, 0));
		assert_true(send_raw(f, b.data + at, b.len - at, r.fds, r.n));
		pump(f);
		assert_int_equal(receive(f, r.request), REPLY);
		assert_int_equal(f->reply, 0);
	}
}

static void a_header_that_ends_early_ends_the_session(void **state)
{
	struct unit *u = *state;
	struct bytes b = bytes_of(&get_features);

	for (size_t len = 0; len < VU_HEADER_SIZE; len++) {
		struct front f;

		front_open(&f, u->loop);
		if (len)
			assert_true(send_raw(&f, b.data, len, NULL, 0));
		pump(&f);
		assert_false(f.closed);
		close(f.fd);
		f.fd = -1;
		pump(&f);
		assert_true(f.closed);
		assert_int_equal(f.reason, len ? -ECONNABORTED : 0);
		front_close(&f);
	}
}

static void a_payload_that_ends_early_ends_the_session_and_its_descriptors(void **state)
{
	struct unit *u = *state;
	unsigned before = count_fds();

	for (size_t len = VU_HEADER_SIZE; len < VU_HEADER_SIZE + 40; len += 3) {
		struct front f;
		struct request r;
		struct bytes b;

		front_open(&f, u->loop);
		r = one_region(&f);
		b = bytes_of(&r);
		assert_true(send_raw(&f, b.data, len, r.fds, r.n));
		pump(&f);
		close(f.fd);
		f.fd = -1;
		pump(&f);
		assert_true(f.closed);
		assert_int_equal(f.reason, -ECONNABORTED);
		front_close(&f);
		assert_int_equal(count_fds(), before);
	}
}

static void a_front_end_that_stalls_delays_nobody(void **state)
{
	struct unit *u = *state;
	struct bytes b = bytes_of(&get_features);
	struct front stalled;

	front_open(&stalled, u->loop);
	for (size_t at = 0; at < VU_HEADER_SIZE - 1; at++) {
		assert_true(send_raw(&stalled, b.data + at, 1, NULL, 0));
		assert_int_equal(get(&u->front, get_features), OFFERED);
	}
	assert_false(stalled.closed);
	assert_true(send_raw(&stalled, b.data + VU_HEADER_SIZE - 1, 1, NULL, 0));
	pump(&stalled);
	assert_int_equal(receive(&stalled, VU_GET_FEATURES), REPLY);
	front_close(&stalled);
}

/* How many replies have come. */
static unsigned replies_of(struct front *f)
{
	unsigned n = 0;

	while (receive(f, VU_GET_FEATURES) == REPLY)
		n++;
	return n;
}

static void a_chatty_front_end_gets_sixteen_messages_a_turn(void **state)
{
	struct front *f = front_of(state);
	struct bytes one = bytes_of(&get_features);
	uint8_t many[40 * VU_HEADER_SIZE];
	unsigned answers = 0;

	for (unsigned i = 0; i < 40; i++)
		memcpy(many + i * VU_HEADER_SIZE, one.data, VU_HEADER_SIZE);
	assert_true(send_raw(f, many, sizeof(many), NULL, 0));
	while (answers < 40) {
		unsigned more;

		assert_int_equal(rw_loop_once(f->loop, 0), 0);
		more = replies_of(f);
		/* Fewer if they took 2 ms. */
		assert_in_range(more, 1, RW_SLICE_ITEMS);
		answers += more;
	}
}

/*
 * One front-end has more to say than anybody reads, the others have one message each: they wait for
 * a slice of it, not for all of it. Counts, no times.
 */
static void a_front_end_without_end_delays_no_other(void **state)
{
	enum { OTHERS = 5, MANY = 300 };
	struct unit *u = *state;
	struct bytes one = bytes_of(&get_features);
	uint8_t many[MANY * VU_HEADER_SIZE];
	struct front other[OTHERS];
	unsigned answers = 0, waiting = OTHERS;

	for (unsigned i = 0; i < MANY; i++)
		memcpy(many + i * VU_HEADER_SIZE, one.data, VU_HEADER_SIZE);
	for (unsigned i = 0; i < OTHERS; i++)
		front_open(&other[i], u->loop);
	assert_true(send_raw(&u->front, many, sizeof(many), NULL, 0));
	assert_int_equal(rw_loop_once(u->loop, 0), 0);
	for (unsigned i = 0; i < OTHERS; i++)
		assert_true(send_raw(&other[i], one.data, one.len, NULL, 0));
	while (waiting) {
		assert_int_equal(rw_loop_once(u->loop, 0), 0);
		answers += replies_of(&u->front);
		for (unsigned i = 0; i < OTHERS; i++)
			waiting -= replies_of(&other[i]);
	}
	/* The slice under way when they came, one before them and one for the last look. */
	assert_in_range(answers, 1, 3 * RW_SLICE_ITEMS);
	while (answers < MANY) {
		assert_int_equal(rw_loop_once(u->loop, 0), 0);
		answers += replies_of(&u->front);
	}
	for (unsigned i = 0; i < OTHERS; i++)
		front_close(&other[i]);
}

static void a_front_end_that_reads_no_replies_is_dropped(void **state)
{
	struct front *f = front_of(state);
	struct bytes b = bytes_of(&get_features);

	for (unsigned i = 0; i < 100000 && !f->closed; i++) {
		send_raw(f, b.data, b.len, NULL, 0);
		assert_int_equal(rw_loop_once(f->loop, 0), 0);
	}
	assert_true(f->closed);
	assert_int_equal(f->reason, -EAGAIN);
}

static void a_front_end_that_dies_with_replies_unread_is_no_error(void **state)
{
	struct unit *u = *state;
	struct front f;

	front_open(&f, u->loop);
	for (int i = 0; i < 3; i++) {
		struct bytes b = bytes_of(&get_features);

		assert_true(send_raw(&f, b.data, b.len, NULL, 0));
	}
	pump(&f);
	close(f.fd);
	f.fd = -1;
	pump(&f);
	assert_true(f.closed);
	assert_int_equal(f.reason, 0);
	front_close(&f);
}

static void an_enormous_payload_ends_the_session_unread(void **state)
{
	static const uint32_t sizes[] = {4097, 65536, 0x7fffffff, 0x80000000, UINT32_MAX};
	struct unit *u = *state;
	unsigned before = count_fds();

	for (unsigned i = 0; i < RW_ARRAY_SIZE(sizes); i++) {
		struct vu_header hdr = {VU_SET_MEM_TABLE, VU_VERSION | NEED, sizes[i]};
		struct front f;

		front_open(&f, u->loop);
		set_protocol_features(&f, ALL_PF);
		assert_true(send_raw(&f, &hdr, sizeof(hdr), &f.memfd, 1));
		pump(&f);
		assert_true(f.closed);
		assert_int_equal(f.reason, -EMSGSIZE);
		front_close(&f);
		assert_int_equal(count_fds(), before);
	}
}

static void too_many_descriptors_are_closed_and_their_message_refused(void **state)
{
	struct front *f = front_of(state);
	struct request r = {.request = VU_SET_MEM_TABLE, .size = 8 + 8 * 32};
	int fds[64];
	unsigned before;
	struct bytes b;

	set_protocol_features(f, ALL_PF);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(fds); i++)
		fds[i] = dup(f->memfd);
	before = count_fds();
	r.fds = fds;
	/* Eight, if one could overlook the rest, would do for this table. */
	r.payload.mem.nregions = 8;
	for (uint32_t i = 0; i < 8; i++)
		r.payload.mem.regions[i] = (struct vu_mem_region){
			i * 0x1000, 0x1000, MEM_UVA + i * 0x1000, i * 0x1000};
	for (r.n = VU_MAX_FDS + 1; r.n <= RW_ARRAY_SIZE(fds); r.n += 5) {
		assert_int_equal(ask(f, r), ACK_BAD);
		assert_int_equal(count_fds(), before);
	}
	/* The same in instalments. */
	r.flags = NEED;
	b = bytes_of(&r);
	for (unsigned at = 0; at < b.len; at++)
		assert_true(send_raw(f, b.data + at, 1, fds, 1));
	pump(f);
	assert_int_equal(receive(f, r.request), REPLY);
	assert_true(f->reply != 0);
	assert_int_equal(count_fds(), before);
	r.n = 8;
	assert_int_equal(ask(f, r), ACK_OK);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void descriptors_we_may_not_open_are_a_refused_message(void **state)
{
	struct front *f = front_of(state);
	struct rlimit old, none;
	struct request r = one_region(f);
	struct bytes b;

	set_protocol_features(f, ALL_PF);
	r.flags = NEED;
	b = bytes_of(&r);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_true(send_raw(f, b.data, b.len, r.fds, r.n));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	pump(f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(receive(f, r.request), REPLY);
	assert_true(f->reply != 0);
	assert_int_equal(ask_mem(f), ACK_OK);
}

static void a_session_may_be_freed_while_it_reports_its_end(void **state)
{
	struct unit *u = *state;

	for (int refused = 0; refused < 2; refused++) {
		struct front f;

		front_open(&f, u->loop);
		f.free_when_closed = true;
		negotiate(&f, FEATURES & ~PACKED);
		start_ring(&f, 0);
		if (refused) {
			struct request r = msg(99);

			assert_int_equal(exchange(&f, &r), CLOSED);
			assert_int_equal(f.reason, -EOPNOTSUPP);
		}
		front_close(&f);
		assert_null(f.s);
	}
}

static void a_session_that_is_freed_pauses_its_rings_and_reports_nothing(void **state)
{
	struct unit *u = *state;
	unsigned before = count_fds();
	struct front f;

	front_open(&f, u->loop);
	negotiate(&f, FEATURES & ~PACKED);
	start_ring(&f, 0);
	start_ring(&f, 5);
	f.pauses = 0;
	vu_session_free(f.s);
	assert_false(f.closed);
	assert_int_equal(f.pauses, 1);
	assert_int_equal(f.n, 6);
	assert_false(f.running[0] || f.running[5]);
	assert_int_equal(receive(&f, 0), CLOSED);
	close(f.fd);
	close(f.memfd);
	assert_int_equal(count_fds(), before);
	vu_session_free(NULL);
}

static void a_socket_the_loop_cannot_watch_is_closed(void **state)
{
	struct vu_offer offer = {FEATURES, ALL_PF, 1, 256, false, NULL, NULL};
	struct front *f = front_of(state);
	unsigned before = count_fds();
	int fd = memfd_create("file", MFD_CLOEXEC); /* epoll takes no files */

	errno = 0;
	assert_null(vu_session_new(f->loop, fd, &offer, &owner_ops, f, "file"));
	assert_int_equal(errno, EPERM);
	assert_int_equal(count_fds(), before);
}

static void a_thousand_sessions_leave_nothing_behind(void **state)
{
	struct unit *u = *state;
	unsigned fds = 0, maps = 0;

	for (int i = 0; i < 1000; i++) {
		struct front f;

		/* The first ones may leave memory with the allocator. */
		if (i == 10) {
			fds = count_fds();
			maps = count_maps();
		}
		front_open(&f, u->loop);
		f.free_when_closed = i & 1;
		negotiate(&f, i & 2 ? FEATURES : FEATURES & ~PACKED);
		start_ring(&f, 0);
		start_ring(&f, 1);
		if (i & 4)
			assert_int_equal(ask_mem(&f), ACK_OK);
		front_close(&f);
	}
	assert_int_equal(count_fds(), fds);
	assert_int_equal(count_maps(), maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(a_negotiation_may_arrive_byte_by_byte),
		spec(a_payload_may_be_split_anywhere),
		spec(messages_in_one_write_are_told_apart),
		spec(descriptors_may_come_with_any_byte_of_their_message),
		spec(a_header_that_ends_early_ends_the_session),
		spec(a_payload_that_ends_early_ends_the_session_and_its_descriptors),
		spec(a_front_end_that_stalls_delays_nobody),
		spec(a_chatty_front_end_gets_sixteen_messages_a_turn),
		spec(a_front_end_without_end_delays_no_other),
		spec(a_front_end_that_reads_no_replies_is_dropped),
		spec(a_front_end_that_dies_with_replies_unread_is_no_error),
		spec(an_enormous_payload_ends_the_session_unread),
		spec(too_many_descriptors_are_closed_and_their_message_refused),
		spec(descriptors_we_may_not_open_are_a_refused_message),
		spec(a_session_may_be_freed_while_it_reports_its_end),
		spec(a_session_that_is_freed_pauses_its_rings_and_reports_nothing),
		spec(a_socket_the_loop_cannot_watch_is_closed),
		spec(a_thousand_sessions_leave_nothing_behind),
	};

	return cmocka_run_group_tests_name("vhost_user connections", tests, NULL, NULL);
}
