/* SPDX-License-Identifier: BSD-3-Clause */
/* What single messages mean for a ring: its parts, the orders they come in, its descriptors. */
#include <fcntl.h>

#include "vu_fixture.h"

/* A ring's parts. */

static void a_ring_size_is_a_power_of_two_within_the_offer(void **state)
{
	static const uint32_t wrong[] = {0, 3, 257, MAX_RING_SIZE + 1, MAX_RING_SIZE * 2, 65536,
		0x10100, 0x80000000, UINT32_MAX};
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	for (uint32_t num = 1; num <= MAX_RING_SIZE; num *= 2)
		assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, num), ACK_OK);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++)
		assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, wrong[i]), ACK_BAD);
	assert_int_equal(vu_ring(f->s, 0)->num, MAX_RING_SIZE);
}

static void a_packed_ring_has_any_size(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1 | PACKED);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, 257), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, 0), ACK_BAD);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, MAX_RING_SIZE + 1), ACK_BAD);
}

static void the_size_of_a_running_ring_is_fixed(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, 128), ACK_BAD);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, 256), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 1, 128), ACK_OK);
	assert_true(f->running[0]);
	stop_ring(f, 0);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, 128), ACK_OK);
}

static void addresses_need_a_memory_table(void **state)
{
	struct front *f = front_of(state);

	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_addr(f, addr_at(0, 0)), ACK_BAD);
	assert_int_equal(ask_mem(f), ACK_OK);
	assert_int_equal(ask_addr(f, addr_at(0, 0)), ACK_OK);
}

static void addresses_lie_in_guest_memory(void **state)
{
	static const uint64_t outside[] = {
		0, MEM_UVA - 16, MEM_UVA + MEM_SIZE, UINT64_MAX & ~15ULL};
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(outside); i++) {
		struct vu_vring_addr a = addr_at(0, 0), b = a, c = a;

		a.desc = outside[i];
		b.avail = outside[i];
		c.used = outside[i];
		assert_int_equal(ask_addr(f, a), ACK_BAD);
		assert_int_equal(ask_addr(f, b), ACK_BAD);
		assert_int_equal(ask_addr(f, c), ACK_BAD);
	}
	assert_false(vu_ring(f->s, 0)->addr_set);
}

/* SET_VRING_ADDR with each of the three moved by that many bytes. */
static enum outcome ask_shifted(struct front *f, unsigned desc, unsigned avail, unsigned used)
{
	struct vu_vring_addr a = addr_at(0, 0);

	a.desc += desc;
	a.avail += avail;
	a.used += used;
	return ask_addr(f, a);
}

static void addresses_are_aligned(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	assert_int_equal(ask_shifted(f, 16, 2, 4), ACK_OK);
	assert_int_equal(ask_shifted(f, 8, 0, 0), ACK_BAD);
	assert_int_equal(ask_shifted(f, 0, 1, 0), ACK_BAD);
	assert_int_equal(ask_shifted(f, 0, 0, 2), ACK_BAD);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | PACKED), ACK_OK);
	assert_int_equal(ask_shifted(f, 16, 4, 4), ACK_OK);
	assert_int_equal(ask_shifted(f, 0, 2, 0), ACK_BAD);
}

static void what_does_not_suit_the_format_fails_with_the_last_part(void **state)
{
	struct front *f = front_of(state);
	struct vu_vring_addr misaligned = addr_at(0, 0);

	misaligned.used += 2;
	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_mem(f), ACK_OK);
	/* Nobody knows yet whether this is a split ring. */
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, 255), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_BASE, 0, 0x80008000), ACK_OK);
	assert_int_equal(ask_addr(f, misaligned), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, 0), ACK_OK);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_BAD);
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 0), ACK_BAD);
	assert_int_equal(vu_ring(f->s, 0)->base, 0x80008000);
	/* One of the three at a time, said before the format is known. */
	for (unsigned last = 0; last < 3; last++) {
		uint32_t num = last == 0 ? 255 : 256, base = last == 1 ? 0x10000 : 0;

		assert_int_equal(ask(f, msg(VU_RESET_DEVICE)), ACK_OK);
		assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, num), ACK_OK);
		assert_int_equal(ask_state(f, VU_SET_VRING_BASE, 0, base), ACK_OK);
		assert_int_equal(ask_addr(f, last == 2 ? misaligned : addr_at(0, 0)), ACK_OK);
		assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, 0), ACK_OK);
		assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1), ACK_BAD);
		assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 0), ACK_BAD);
		assert_false(f->running[0]);
	}
	assert_int_equal(ask_addr(f, addr_at(0, 0)), ACK_OK);
	assert_true(f->running[0]);
}

static void a_base_that_was_given_outlives_the_choice_of_a_format(void **state)
{
	struct front *f = front_of(state);

	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_state(f, VU_SET_VRING_BASE, 0, 0x00058005), ACK_OK);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | PACKED), ACK_OK);
	assert_int_equal(stop_ring(f, 0), 0x00058005);
}

static void running_rings_may_be_moved(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	assert_int_equal(ask_addr(f, addr_at(0, 0x20000)), ACK_OK);
	assert_int_equal(f->at_pause.rings[0].addr.desc, MEM_UVA);
	assert_int_equal(f->at_resume.rings[0].addr.desc, MEM_UVA + 0x20000);
	assert_true(f->running[0]);
}

static void a_split_index_has_16_bits_and_a_packed_one_is_coded(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	assert_int_equal(ask_state(f, VU_SET_VRING_BASE, 0, 0xffff), ACK_OK);
	assert_int_equal(stop_ring(f, 0), 0xffff);
	assert_int_equal(ask_state(f, VU_SET_VRING_BASE, 0, 0x10000), ACK_BAD);
	assert_int_equal(stop_ring(f, 0), 0xffff);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | PACKED), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_BASE, 0, 0x80058005), ACK_OK);
	assert_int_equal(stop_ring(f, 0), 0x80058005);
}

static void a_ring_that_was_never_set_up_has_a_base(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	assert_int_equal(stop_ring(f, 3), 0);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | PACKED), ACK_OK);
	assert_int_equal(stop_ring(f, 5), 0x80008000);
}

/* The life of a ring. */

static void a_ring_runs_once_it_is_complete_in_any_order(void **state)
{
	struct unit *u = *state;

	/* Each order of features, memory and addresses, size, kick: addresses need the memory. */
	for (unsigned order = 0; order < 4 * 4 * 4 * 4; order++) {
		unsigned seen = 0, last = 4;
		struct front f;

		for (unsigned i = 0; i < 4; i++)
			seen |= 1u << (order >> (2 * i) & 3);
		if (seen != 0xf)
			continue;
		front_open(&f, u->loop);
		set_protocol_features(&f, ALL_PF);
		for (unsigned i = 0; i < 4; i++) {
			assert_false(f.running[2]);
			last = order >> (2 * i) & 3;
			if (last == 0) {
				assert_int_equal(ask_u64(&f, VU_SET_FEATURES, FEATURES), ACK_OK);
			} else if (last == 1) {
				assert_int_equal(ask_mem(&f), ACK_OK);
				assert_int_equal(ask_addr(&f, addr_at(2, 0)), ACK_OK);
			} else if (last == 2) {
				assert_int_equal(ask_state(&f, VU_SET_VRING_NUM, 2, 64), ACK_OK);
			} else {
				assert_int_equal(ask_fd(&f, VU_SET_VRING_KICK, 2), ACK_OK);
			}
		}
		assert_true(f.running[2]);
		assert_true(vu_ring_ready(f.s, 2));
		assert_false(vu_ring_ready(f.s, 1));
		front_close(&f);
	}
}

static void a_stopped_ring_reports_where_it_was_twice(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	start_ring(f, 1);
	f->position = 4711;
	assert_int_equal(stop_ring(f, 1), 4711);
	f->position = 99;
	assert_int_equal(stop_ring(f, 1), 4711);
	assert_false(f->running[1]);
	assert_true(f->running[0]);
}

static void the_owner_hears_of_a_stop_that_was_answered(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	start_ring(f, 1);
	f->stopped = -1;
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 1, 0), ACK_OK);
	assert_int_equal(f->stopped, -1); /* paused, not stopped */
	stop_ring(f, 1);
	assert_int_equal(f->stopped, 1);
}

static void a_stopped_ring_starts_again_with_a_kick_only(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	f->position = 33;
	stop_ring(f, 0);
	assert_int_equal(vu_ring(f->s, 0)->kick_fd, -1);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, 256), ACK_OK);
	assert_int_equal(ask_addr(f, addr_at(0, 0)), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 0), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 0, 1), ACK_OK);
	assert_int_equal(ask_mem(f), ACK_OK);
	assert_false(f->running[0]);
	assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, 0), ACK_OK);
	assert_true(f->running[0]);
	assert_int_equal(vu_ring(f->s, 0)->base, 33);
}

static void a_paused_ring_goes_on_where_it_was(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	f->position = 100;
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 0, 1), ACK_OK);
	assert_int_equal(f->at_resume.rings[0].base, 100);
	assert_int_equal(ask_state(f, VU_SET_VRING_BASE, 0, 5), ACK_OK);
	assert_int_equal(f->at_resume.rings[0].base, 5);
}

static void enabling_is_independent_of_starting(void **state)
{
	struct front *f = front_of(state);

	set_protocol_features(f, ALL_PF);
	/* QEMU enables rings before it sets features. */
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 0, 1), ACK_OK);
	negotiate(f, PROTOCOL | VERSION1);
	assert_true(vu_ring(f->s, 0)->enabled);
	assert_false(vu_ring(f->s, 1)->enabled);
	start_ring(f, 0);
	start_ring(f, 1);
	assert_true(vu_ring(f->s, 0)->enabled);
	assert_false(vu_ring(f->s, 1)->enabled);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 0, 0), ACK_OK);
	assert_false(vu_ring(f->s, 0)->enabled);
	assert_true(f->running[0]);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 0, 2), ACK_BAD);
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 0, UINT32_MAX), ACK_BAD);
	assert_false(vu_ring(f->s, 0)->enabled);
}

static void without_protocol_features_all_rings_are_enabled(void **state)
{
	struct front *f = front_of(state);

	negotiate(f, VERSION1);
	start_ring(f, 1);
	assert_true(vu_ring(f->s, 1)->enabled);
	start_ring(f, 7);
	assert_true(vu_ring(f->s, 7)->enabled);
	/* They were declined, so there is no message to disable one. */
	assert_int_equal(ask_state(f, VU_SET_VRING_ENABLE, 1, 0), ACK_BAD);
}

/* Descriptors. */

static void a_descriptor_replaces_the_one_before(void **state)
{
	static const uint32_t requests[] = {VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR};
	struct front *f = front_of(state);

	set_protocol_features(f, ALL_PF);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(requests); i++) {
		unsigned before = count_fds();

		for (int k = 0; k < 3; k++) {
			assert_int_equal(ask_fd(f, requests[i], 2), ACK_OK);
			assert_int_equal(count_fds(), before + 1);
		}
		/* None comes along; or one does, although the message denies it. */
		assert_int_equal(ask_u64(f, requests[i], 2 | VU_VRING_NOFD), ACK_OK);
		assert_int_equal(count_fds(), before);
		assert_int_equal(ask_fd(f, requests[i], 2 | VU_VRING_NOFD), ACK_OK);
		assert_int_equal(count_fds(), before);
		assert_int_equal(ask_u64(f, requests[i], 2), ACK_BAD);
	}
	assert_true(vu_ring(f->s, 2)->started);
	assert_int_equal(vu_ring(f->s, 2)->kick_fd, -1);
	assert_int_equal(vu_ring(f->s, 2)->call_fd, -1);
	assert_int_equal(vu_ring(f->s, 2)->err_fd, -1);
}

static void flags_of_descriptors_are_left_as_they_are(void **state)
{
	struct front *f = front_of(state);
	const struct vu_ring *r = vu_ring(f->s, 0);

	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, 0), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 0), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_ERR, 0), ACK_OK);
	/* They are the front-end's too, and nothing depends on them. */
	assert_false(fcntl(r->kick_fd, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(r->call_fd, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(r->err_fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(r->call_fd, F_GETFD) & FD_CLOEXEC);
}

static void only_eventfds_are_accepted(void **state)
{
	static const uint32_t requests[] = {VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR};
	struct front *f = front_of(state);
	int fds[4], sv[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	fds[2] = open("/dev/full", O_WRONLY | O_CLOEXEC);
	fds[3] = epoll_create1(EPOLL_CLOEXEC);
	set_protocol_features(f, ALL_PF);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(requests); i++) {
		struct request r = {requests[i], 0, 8, {.u64 = 0}, NULL, 1};

		for (unsigned k = 0; k < RW_ARRAY_SIZE(fds); k++) {
			r.fds = &fds[k];
			assert_int_equal(ask(f, r), ACK_BAD);
		}
		r.fds = &sv[0];
		assert_int_equal(ask(f, r), ACK_BAD);
		r.fds = &f->memfd;
		assert_int_equal(ask(f, r), ACK_BAD);
	}
	assert_false(vu_ring(f->s, 0)->started);
	assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	for (unsigned k = 0; k < RW_ARRAY_SIZE(fds); k++)
		close(fds[k]);
	close(sv[0]);
	close(sv[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(a_ring_size_is_a_power_of_two_within_the_offer),
		spec(a_packed_ring_has_any_size),
		spec(the_size_of_a_running_ring_is_fixed),
		spec(addresses_need_a_memory_table),
		spec(addresses_lie_in_guest_memory),
		spec(addresses_are_aligned),
		spec(what_does_not_suit_the_format_fails_with_the_last_part),
		spec(a_base_that_was_given_outlives_the_choice_of_a_format),
		spec(running_rings_may_be_moved),
		spec(a_split_index_has_16_bits_and_a_packed_one_is_coded),
		spec(a_ring_that_was_never_set_up_has_a_base),
		spec(a_ring_runs_once_it_is_complete_in_any_order),
		spec(a_stopped_ring_reports_where_it_was_twice),
		spec(the_owner_hears_of_a_stop_that_was_answered),
		spec(a_stopped_ring_starts_again_with_a_kick_only),
		spec(a_paused_ring_goes_on_where_it_was),
		spec(enabling_is_independent_of_starting),
		spec(without_protocol_features_all_rings_are_enabled),
		spec(a_descriptor_replaces_the_one_before),
		spec(flags_of_descriptors_are_left_as_they_are),
		spec(only_eventfds_are_accepted),
	};

	return cmocka_run_group_tests_name("vhost_user rings", tests, NULL, NULL);
}
