/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transfers of device state that go wrong, or slowly: nobody else notices, and nothing is half
 * done.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"

static struct rig rig;

static int start(void **state)
{
	*state = &rig;
	if (rig_start(&rig, "abcd", NULL))
		return -1;
	rig_allow(&rig, "device-state");
	return 0;
}

/* Make state number `k` of those that are wrong. Its length. */
static uint32_t state_spoil(uint8_t *data, unsigned k)
{
	uint32_t len = state_make(data, 1, 8), many = STATE_MOST + 1, wrap = 0x20000000;
	uint8_t *s = data + STATE_HEADER + 7 * STATE_HOST;

	switch (k) {
	case 0: /* nothing */
		return 0;
	case 1: /* cut off */
		return 1;
	case 2:
		return STATE_HEADER - 1;
	case 3:
		return STATE_HEADER;
	case 4:
		return len - 1;
	case 5: /* too long */
		return len + 1;
	case 6:
		return len + STATE_HOST;
	case 7: /* of somebody else */
		data[6] ^= 0x20;
		break;
	case 8: /* cut off, with a version from the future */
		data[STATE_VERSION] = 2;
		return STATE_HEADER - 1;
	case 9: /* counts wrong, the other way */
		data[STATE_COUNT]++;
		break;
	case 10: /* counts wrong */
		data[STATE_COUNT]--;
		break;
	case 11:
		memcpy(data + STATE_COUNT, &wrap, 4); /* times 8 it is 0 */
		return STATE_HEADER;
	case 12:
		len = state_make(data, 1, STATE_MOST);
		memcpy(data + STATE_COUNT, &many, 4);
		return len + STATE_HOST;
	case 13: /* no hosts */
		s[0] = 1;
		break;
	case 14:
		memset(s, 0, 6);
		break;
	case 15: /* no VLAN */
		memcpy(s + 6, (uint8_t[]){0xff, 0x0f}, 2);
		break;
	case 16:
		memset(s + 6, 0xff, 2);
		break;
	case 17: /* garbage */
		memset(data, 0x5a, len);
		break;
	default:
		return UINT32_MAX;
	}
	return len;
}

static void a_state_that_is_wrong_changes_nothing(void **state)
{
	static uint8_t data[STATE_BYTES + STATE_HOST];
	struct peer *c = state_guest_up(*state, "c"), *b = state_guest_incoming(*state, "b");
	uint32_t len;
	unsigned k;

	for (k = 0; (len = state_spoil(data, k)) != UINT32_MAX; k++)
		if (state_load(b, data, len) != -EREMOTEIO)
			fail_msg("state %u was taken", k);
	assert_true(k > 10);
	state_is_not_announced(*state, b, c);
	/* What was there before stays. */
	state_guest_stop(b);
	assert_int_equal(state_load(b, data, state_make(data, 30, 3)), 0);
	assert_int_equal(state_load(b, data, state_spoil(data, 7)), -EREMOTEIO);
	state_guest_go(b);
	state_is_announced(*state, c, 30, 3);
}

/* Refused, it would end the guest: the front-end has nowhere else to go on. */
static void a_state_of_another_version_is_skipped(void **state)
{
	static uint8_t data[STATE_BYTES];
	struct peer *c = state_guest_up(*state, "c"), *b = state_guest_incoming(*state, "d");
	uint32_t len = state_make(data, 30, 3);

	assert_int_equal(state_load(b, data, len), 0);
	for (unsigned k = 0; k < 3; k++) {
		data[STATE_VERSION] = k == 1 ? 0 : 2;
		data[STATE_VERSION + 1] = k == 2;
		/* Nothing behind the version has a meaning that is known. */
		memset(data + STATE_COUNT, 0xa5, 40);
		assert_int_equal(state_load(b, data, k ? len : STATE_HEADER), 0);
	}
	/* What was loaded before it stays. */
	state_guest_go(b);
	state_is_announced(*state, c, 30, 3);
	rig_wait(*state, rig_has_logged(*state, "state of another version"));
}

static void a_state_without_end_is_cut_off(void **state)
{
	static uint8_t data[STATE_BYTES];
	struct peer *b = state_guest_incoming(*state, "b"), *c = state_guest_up(*state, "c");
	int fd = state_begin(b, VU_STATE_LOAD);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	uint32_t i;

	assert_true(fd >= 0);
	state_make(data, 1, STATE_MOST);
	/* 64 MiB, unless it closes its end. */
	for (i = 0; i < 2048 && !(p.revents & POLLERR); i++) {
		state_write(fd, data, STATE_BYTES);
		assert_int_equal(poll(&p, 1, rig_patience(*state)), 1);
	}
	assert_true(p.revents & POLLERR);
	close(fd);
	assert_int_equal(fe_conn_check_state(&b->g->conn), -EREMOTEIO);
	state_is_not_announced(*state, b, c);
}

static void nothing_is_transferred_while_rings_run(void **state)
{
	struct peer *a = state_guest_up(*state, "a"), *c = state_guest_up(*state, "c");

	assert_int_equal(state_begin(a, VU_STATE_SAVE), -EREMOTEIO);
	assert_int_equal(state_begin(a, VU_STATE_LOAD), -EREMOTEIO);
	/* Nor with one that was disabled: it is drained. */
	assert_int_equal(fe_guest_stop_ring(a->g, 0, NULL), 0);
	assert_int_equal(fe_guest_enable(a->g, 1, false), 0);
	assert_int_equal(state_begin(a, VU_STATE_SAVE), -EREMOTEIO);
	assert_int_equal(fe_conn_check_state(&a->g->conn), -EREMOTEIO);
	assert_int_equal(fe_guest_enable(a->g, 1, true), 0);
	assert_int_equal(fe_guest_start_ring(a->g, 0), 0);
	duplex_check(*state, a, c);
}

static void a_front_end_that_does_not_read_delays_nobody(void **state)
{
	static uint8_t data[STATE_BYTES], got[STATE_BYTES];
	struct peer *b = state_guest_incoming(*state, "b"), *c = state_guest_up(*state, "c");
	struct peer *d = state_guest_up(*state, "d");
	uint32_t len = state_make(data, 1, STATE_MOST);
	int fds[2], back;

	assert_int_equal(state_load(b, data, len), 0);
	/* A pipe that holds an eighth of it. */
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) >= 4096);
	assert_int_equal(fe_conn_set_state_fd(&b->g->conn, VU_STATE_SAVE, fds[1], &back), 0);
	close(fds[1]);
	duplex_check(*state, c, d);
	json_decref(rig_call(*state, "version", NULL));
	assert_int_equal(fe_conn_check_state(&b->g->conn), -EREMOTEIO);
	/* One byte, and again nothing: still nobody waits. */
	assert_int_equal(state_read(*state, fds[0], got, 1), 1);
	peer_sync(b);
	duplex_check(*state, c, d);
	assert_int_equal(fe_conn_check_state(&b->g->conn), -EREMOTEIO);
	/* Another one meanwhile would mix them up. */
	assert_int_equal(state_begin(b, VU_STATE_SAVE), -EREMOTEIO);
	assert_int_equal(state_begin(b, VU_STATE_LOAD), -EREMOTEIO);
	assert_int_equal(state_read(*state, fds[0], got + 1, sizeof(got) - 1), len - 1);
	assert_int_equal(state_read(*state, fds[0], got, 0), 0);
	assert_memory_equal(got, data, len);
	close(fds[0]);
	assert_int_equal(fe_conn_check_state(&b->g->conn), 0);
}

static void a_front_end_that_does_not_close_its_end_delays_nobody(void **state)
{
	static uint8_t data[STATE_BYTES];
	struct peer *b = state_guest_incoming(*state, "b"), *c = state_guest_up(*state, "c");
	struct peer *d = state_guest_up(*state, "d");
	uint32_t len = state_make(data, 60, 20);
	int fd = state_begin(b, VU_STATE_LOAD);

	assert_true(fd >= 0);
	state_write(fd, data, len / 2);
	assert_int_equal(fe_conn_check_state(&b->g->conn), -EREMOTEIO);
	duplex_check(*state, c, d);
	json_decref(rig_call(*state, "version", NULL));
	state_write(fd, data + len / 2, len - len / 2);
	/* It is all there, but the front-end may have more to say. */
	assert_int_equal(fe_conn_check_state(&b->g->conn), -EREMOTEIO);
	duplex_check(*state, c, d);
	close(fd);
	assert_int_equal(fe_conn_check_state(&b->g->conn), 0);
	state_guest_go(b);
	state_is_announced(*state, c, 60, 20);
}

static void a_transfer_that_the_front_end_gave_up_has_failed(void **state)
{
	static uint8_t data[STATE_BYTES];
	struct peer *b = state_guest_incoming(*state, "b"), *c = state_guest_up(*state, "c");
	uint32_t len = state_make(data, 1, STATE_MOST);
	int fds[2], back;

	assert_int_equal(state_load(b, data, len), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) >= 4096);
	assert_int_equal(fe_conn_set_state_fd(&b->g->conn, VU_STATE_SAVE, fds[1], &back), 0);
	close(fds[1]);
	close(fds[0]);
	assert_int_equal(fe_conn_check_state(&b->g->conn), -EREMOTEIO);
	/* And the next one begins anew, the last one counts. */
	assert_int_equal(state_load(b, data, state_make(data, 100, 5)), 0);
	assert_int_equal(state_load(b, data, state_make(data, 200, 6)), 0);
	assert_int_equal(state_save(*state, b, data, sizeof(data)), STATE_HEADER + 6 * STATE_HOST);
	state_guest_go(b);
	state_is_announced(*state, c, 200, 6);
}

static void a_front_end_may_vanish_in_the_middle(void **state)
{
	static uint8_t data[STATE_BYTES], got[STATE_BYTES];
	struct peer *b = state_guest_incoming(*state, "b"), *c = state_guest_up(*state, "c");
	uint32_t len = state_make(data, 1, STATE_MOST), n;
	int fds[2], back, fd;

	assert_int_equal(state_load(b, data, len), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) >= 4096);
	assert_int_equal(fe_conn_set_state_fd(&b->g->conn, VU_STATE_SAVE, fds[1], &back), 0);
	close(fds[1]);
	peer_down(*state, b);
	/* The back-end closed its end: what was in the pipe is all there is. */
	n = state_read(*state, fds[0], got, sizeof(got));
	assert_true(n < len);
	close(fds[0]);
	peer_connect(*state, b);
	assert_int_equal(fe_guest_negotiate(b->g), 0);
	fd = state_begin(b, VU_STATE_LOAD);
	assert_true(fd >= 0);
	state_write(fd, data, len / 2);
	peer_down(*state, b);
	close(fd);
	/* The next guest has nothing of that. */
	peer_connect(*state, b);
	assert_int_equal(fe_guest_negotiate(b->g), 0);
	assert_int_equal(fe_conn_check_state(&b->g->conn), -EREMOTEIO);
	state_is_not_announced(*state, b, c);
}

static int begin_with(
	struct peer *p, uint32_t direction, uint32_t phase, const int *fds, uint32_t n)
{
	const struct vu_state_fd want = {.direction = direction, .phase = phase};
	const struct fe_raw raw = {.request = VU_SET_DEVICE_STATE_FD,
		.len = sizeof(want),
		.payload = &want,
		.fds = fds,
		.nfds = n};
	struct fe_msg reply;

	assert_int_equal(fe_conn_raw(&p->g->conn, &raw, &reply), 0);
	assert_int_equal(reply.header.size, sizeof(uint64_t));
	assert_int_equal(reply.nfds, 0);
	return reply.payload.u64 & VU_STATE_ERROR_MASK ? -EREMOTEIO : 0;
}

static void a_transfer_that_makes_no_sense_is_refused(void **state)
{
	struct peer *b = state_guest_incoming(*state, "b"), *c = state_guest_up(*state, "c");
	int file = memfd_create("state", MFD_CLOEXEC), fds[2];

	assert_true(file >= 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fe_conn_check_state(&b->g->conn), -EREMOTEIO);
	assert_int_equal(begin_with(b, VU_STATE_SAVE, 0, &file, 1), -EREMOTEIO);
	assert_int_equal(begin_with(b, VU_STATE_LOAD, 0, &file, 1), -EREMOTEIO);
	assert_int_equal(begin_with(b, VU_STATE_SAVE, 0, &fds[0], 1), -EREMOTEIO);
	assert_int_equal(begin_with(b, VU_STATE_LOAD, 0, &fds[1], 1), -EREMOTEIO);
	assert_int_equal(begin_with(b, VU_STATE_SAVE, 0, NULL, 0), -EREMOTEIO);
	assert_int_equal(begin_with(b, VU_STATE_SAVE, 0, fds, 2), -EREMOTEIO);
	assert_int_equal(begin_with(b, VU_STATE_SAVE, 1, &fds[1], 1), -EREMOTEIO);
	assert_int_equal(begin_with(b, 2, 0, &fds[1], 1), -EREMOTEIO);
	assert_int_equal(fe_conn_check_state(&b->g->conn), -EREMOTEIO);
	assert_int_equal(begin_with(b, VU_STATE_SAVE, 0, &fds[1], 1), 0);
	close(file);
	close(fds[0]);
	close(fds[1]);
	state_is_not_announced(*state, b, c);
	duplex_check(*state, b, c);
}

static void without_the_feature_there_is_no_state(void **state)
{
	struct peer *a = peer_up(*state, "a", NULL), *c = state_guest_up(*state, "c");

	state_guest_stop(a);
	assert_int_equal(state_begin(a, VU_STATE_SAVE), -EREMOTEIO);
	assert_int_equal(fe_conn_check_state(&a->g->conn), -EREMOTEIO);
	state_guest_go(a);
	duplex_check(*state, a, c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_state_that_is_wrong_changes_nothing),
		rig_test(a_state_of_another_version_is_skipped),
		rig_test(a_state_without_end_is_cut_off),
		rig_test(nothing_is_transferred_while_rings_run),
		rig_test(a_front_end_that_does_not_read_delays_nobody),
		rig_test(a_front_end_that_does_not_close_its_end_delays_nobody),
		rig_test(a_transfer_that_the_front_end_gave_up_has_failed),
		rig_test(a_front_end_may_vanish_in_the_middle),
		rig_test(a_transfer_that_makes_no_sense_is_refused),
		rig_test(without_the_feature_there_is_no_state),
	};

	/* A pipe whose reader has gone is part of the game. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("transfer", tests, start, rig_stop);
}
