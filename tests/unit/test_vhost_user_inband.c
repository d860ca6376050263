/* SPDX-License-Identifier: BSD-3-Clause */
/* In-band notifications: kicks, calls and errors as messages instead of eventfds. */
#include "vu_channel.h"

/* A front-end without eventfds: its channel; ring 0 runs. */
static int begin_inband(struct front *f)
{
	int ch;

	negotiate(f, PROTOCOL | VERSION1);
	set_protocol_features(f, ALL_PF | INBAND);
	ch = give_channel(f);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(ask_state(f, VU_SET_VRING_NUM, i, 256), ACK_OK);
		assert_int_equal(ask_addr(f, addr_at(i, 0x10000 * i)), ACK_OK);
	}
	assert_false(f->running[0]);
	assert_int_equal(ask_state(f, VU_VRING_KICK, 0, 0), ACK_OK);
	assert_true(f->running[0] && !f->running[1]);
	return ch;
}

/* What a worker does. */
static void call(const struct front *f, unsigned ring)
{
	uint64_t one = 1;

	assert_int_equal(write(vu_ring(f->s, ring)->call_fd, &one, sizeof(one)), sizeof(one));
}

/* The next message on the channel is this one about the ring, and no other. */
static void assert_notice(int ch, uint32_t request, uint32_t ring)
{
	struct notice n;

	assert_true(next(ch, &n));
	assert_int_equal(n.hdr.request, request);
	assert_int_equal(n.hdr.flags, VU_VERSION);
	assert_int_equal(n.hdr.size, 8);
	assert_int_equal(n.payload.state.index, ring);
	assert_int_equal(n.payload.state.num, 0);
	assert_false(next(ch, &n));
}

static void a_kick_may_be_a_message(void **state)
{
	struct front *f = front_of(state);
	int ch = begin_inband(f);

	assert_int_equal(ask_state(f, VU_VRING_KICK, 1, 1), ACK_BAD);
	assert_false(vu_ring(f->s, 1)->started);
	/* Each buffer may be announced so: a ring that runs goes on, and its owner is told. */
	f->pauses = 0;
	assert_int_equal(f->kicks[0], 0);
	assert_int_equal(ask_state(f, VU_VRING_KICK, 0, 0), ACK_OK);
	assert_true(f->running[0]);
	assert_int_equal(f->pauses, 0);
	assert_int_equal(f->kicks[0], 1);
	stop_ring(f, 0);
	assert_false(f->running[0]);
	assert_int_equal(ask_state(f, VU_VRING_KICK, 0, 0), ACK_OK);
	assert_true(f->running[0]);
	assert_int_equal(f->kicks[0], 1);
	close(ch);
}

static void calls_of_a_worker_become_messages(void **state)
{
	struct front *f = front_of(state);
	int ch = begin_inband(f);

	assert_true(fcntl(vu_ring(f->s, 0)->call_fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(vu_ring(f->s, 1)->call_fd, -1);
	for (int i = 0; i < 3; i++) {
		call(f, 0);
		call(f, 0); /* two at once say no more */
		pump(f);
		assert_notice(ch, VU_BACKEND_VRING_CALL, 0);
	}
	assert_int_equal(ask_state(f, VU_VRING_KICK, 1, 0), ACK_OK);
	call(f, 1);
	pump(f);
	assert_notice(ch, VU_BACKEND_VRING_CALL, 1);
	close(ch);
}

static void an_eventfd_or_polling_is_preferred_to_messages(void **state)
{
	struct front *f = front_of(state);
	int ch = begin_inband(f);
	struct notice n;
	unsigned before = count_fds();

	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, 0), ACK_OK);
	assert_int_equal(count_fds(), before);
	assert_null(vu_ring(f->s, 0)->call);
	call(f, 0);
	pump(f);
	assert_false(next(ch, &n));
	assert_int_equal(ask_u64(f, VU_SET_VRING_CALL, VU_VRING_NOFD), ACK_OK);
	assert_int_equal(vu_ring(f->s, 0)->call_fd, -1);
	assert_int_equal(count_fds(), before - 1);
	close(ch);
}

static void the_last_call_precedes_the_answer_that_the_ring_is_stopped(void **state)
{
	struct front *f = front_of(state);
	int ch = begin_inband(f);
	struct vu_header hdr = {VU_GET_VRING_BASE, VU_VERSION, 8};
	uint8_t buf[20] = {0};

	memcpy(buf, &hdr, sizeof(hdr));
	assert_true(send_raw(f, buf, sizeof(buf), NULL, 0));
	/* Whatever the loop sees first. */
	call(f, 0);
	while (receive(f, hdr.request) == SILENCE)
		assert_int_equal(rw_loop_once(f->loop, 0), 0);
	assert_notice(ch, VU_BACKEND_VRING_CALL, 0);
	assert_int_equal(vu_ring(f->s, 0)->call_fd, -1);
	close(ch);
}

static void calls_without_a_channel_are_made_up_for(void **state)
{
	struct front *f = front_of(state);
	int ch = begin_inband(f);

	close(ch);
	pump(f);
	call(f, 0);
	pump(f);
	ch = give_channel(f);
	assert_notice(ch, VU_BACKEND_VRING_CALL, 0);
	close(ch);
}

static void a_full_channel_keeps_one_call_and_one_error_of_each_ring(void **state)
{
	struct front *f = front_of(state);
	int ch = begin_inband(f);
	unsigned calls[2] = {0}, errors = 0;
	struct notice n;

	assert_int_equal(ask_state(f, VU_VRING_KICK, 1, 0), ACK_OK);
	while (!vu_config_changed(f->s))
		;
	for (int i = 0; i < 100; i++) {
		call(f, 0);
		call(f, 1);
		vu_ring_error(f->s, 1);
		assert_int_equal(rw_loop_once(f->loop, 0), 0);
	}
	for (;;) {
		pump(f);
		if (!next(ch, &n))
			break;
		if (n.hdr.request == VU_BACKEND_VRING_CALL)
			calls[n.payload.state.index]++;
		else if (n.hdr.request == VU_BACKEND_VRING_ERR)
			errors += n.payload.state.index;
	}
	assert_int_equal(calls[0], 1);
	assert_int_equal(calls[1], 1);
	assert_int_equal(errors, 1);
	close(ch);
}

static void an_error_is_told_by_eventfd_or_message(void **state)
{
	struct front *f = front_of(state);
	int ch = begin_inband(f), fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct request r = with_fds(msg_u64(VU_SET_VRING_ERR, 0), &fd, 1);
	struct notice n;
	uint64_t count;

	vu_ring_error(f->s, 0);
	assert_notice(ch, VU_BACKEND_VRING_ERR, 0);
	assert_int_equal(ask(f, r), ACK_OK);
	vu_ring_error(f->s, 0);
	assert_false(next(ch, &n));
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	/* Without the feature, and without an eventfd, nobody wants to know. */
	set_protocol_features(f, ALL_PF);
	vu_ring_error(f->s, 1);
	assert_false(next(ch, &n));
	close(ch);
	close(fd);
}

static void a_reset_or_another_choice_ends_in_band_calls(void **state)
{
	struct front *f = front_of(state);
	int ch = begin_inband(f);
	unsigned before = count_fds();

	set_protocol_features(f, ALL_PF);
	assert_int_equal(vu_ring(f->s, 0)->call_fd, -1);
	assert_int_equal(count_fds(), before - 1);
	set_protocol_features(f, ALL_PF | INBAND);
	assert_true(vu_ring(f->s, 0)->call_fd >= 0);
	assert_int_equal(ask(f, msg(VU_RESET_DEVICE)), ACK_OK);
	assert_int_equal(count_fds(), before - 1);
	assert_int_equal(vu_ring(f->s, 0)->call_fd, -1);
	close(ch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(a_kick_may_be_a_message),
		spec(calls_of_a_worker_become_messages),
		spec(an_eventfd_or_polling_is_preferred_to_messages),
		spec(the_last_call_precedes_the_answer_that_the_ring_is_stopped),
		spec(calls_without_a_channel_are_made_up_for),
		spec(a_full_channel_keeps_one_call_and_one_error_of_each_ring),
		spec(an_error_is_told_by_eventfd_or_message),
		spec(a_reset_or_another_choice_ends_in_band_calls),
	};

	return cmocka_run_group_tests_name("vhost_user in-band", tests, NULL, NULL);
}
