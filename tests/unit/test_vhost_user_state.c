/* SPDX-License-Identifier: BSD-3-Clause */
/* Device state through a pipe of the front-end's, at its pace. */
#include <sys/ioctl.h>

#include "vu_fixture.h"

static struct request state_fd(uint32_t direction, uint32_t phase, const int *fd)
{
	struct request r = msg_of(VU_SET_DEVICE_STATE_FD, sizeof(struct vu_state_fd));

	r.payload.state_fd = (struct vu_state_fd){.direction = direction, .phase = phase};
	return with_fds(r, fd, 1);
}

/* Give the back-end one end of a pipe; the other one. */
static int begin(struct front *f, uint32_t direction)
{
	int fds[2], end = direction == VU_STATE_SAVE;
	struct request r;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	r = state_fd(direction, 0, &fds[end]);
	assert_int_equal(get(f, r), VU_STATE_NOFD);
	close(fds[end]);
	return fds[!end];
}

/* CHECK_DEVICE_STATE: whether all went well. */
static bool check(struct front *f)
{
	return !get(f, msg(VU_CHECK_DEVICE_STATE));
}

static void assert_state(const uint8_t *data, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(data[i], state_byte(i));
}

static void a_state_is_saved_at_the_reader_s_pace(void **state)
{
	static const uint32_t lens[] = {0, 1, 1000, 65536, 65537, VU_STATE_MAX};
	struct front *f = front_of(state);
	uint8_t *buf = malloc(VU_STATE_MAX);

	negotiate(f, FEATURES);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(lens); i++) {
		uint32_t have = 0;
		ssize_t n;
		int fd;

		f->state_len = lens[i];
		fd = begin(f, VU_STATE_SAVE);
		/* Nobody has read yet: more than a pipe holds is not done. */
		assert_int_equal(check(f), lens[i] <= 65536);
		while ((n = read(fd, buf + have, 10000)) > 0) {
			have += (uint32_t)n;
			pump(f);
		}
		assert_int_equal(n, 0);
		assert_int_equal(have, lens[i]);
		assert_state(buf, have);
		assert_true(check(f));
		assert_true(check(f));
		close(fd);
	}
	free(buf);
}

static void a_state_is_loaded_at_the_writer_s_pace(void **state)
{
	static const uint32_t lens[] = {0, 1, 4095, 4096, 4097, 100000, VU_STATE_MAX};
	struct front *f = front_of(state);

	negotiate(f, FEATURES);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(lens); i++) {
		int fd = begin(f, VU_STATE_LOAD);
		uint8_t chunk[5000];

		for (uint32_t done = 0; done < lens[i];) {
			uint32_t n = RW_MIN(lens[i] - done, (uint32_t)sizeof(chunk));

			for (uint32_t k = 0; k < n; k++)
				chunk[k] = state_byte(done + k);
			assert_int_equal(write(fd, chunk, n), n);
			done += n;
			pump(f);
		}
		assert_null(f->loaded);
		close(fd);
		pump(f);
		assert_non_null(f->loaded);
		assert_int_equal(f->loaded_len, lens[i]);
		assert_state(f->loaded, lens[i]);
		assert_true(check(f));
		free(f->loaded);
		f->loaded = NULL;
	}
}

/* The check may be read before the pipe is looked at. */
static void a_check_reads_what_is_left_in_the_pipe(void **state)
{
	struct front *f = front_of(state);
	struct vu_header hdr = {VU_CHECK_DEVICE_STATE, VU_VERSION, 0};
	int fd;

	negotiate(f, FEATURES);
	fd = begin(f, VU_STATE_LOAD);
	assert_int_equal(write(fd, "state", 5), 5);
	close(fd);
	assert_true(send_raw(f, &hdr, sizeof(hdr), NULL, 0));
	pump(f);
	assert_int_equal(receive(f, hdr.request), REPLY);
	assert_int_equal(f->reply, 0);
	assert_int_equal(f->loaded_len, 5);
}

static void a_transfer_that_is_not_over_fails_its_check(void **state)
{
	struct front *f = front_of(state);
	int fd;

	negotiate(f, FEATURES);
	assert_false(check(f)); /* nor one that never began */
	fd = begin(f, VU_STATE_LOAD);
	assert_int_equal(write(fd, "state", 5), 5);
	assert_false(check(f));
	close(fd);
	assert_true(check(f));
}

static void a_state_that_is_not_understood_fails_its_check(void **state)
{
	struct front *f = front_of(state);
	int fd;

	negotiate(f, FEATURES);
	f->load_ret = -EINVAL;
	fd = begin(f, VU_STATE_LOAD);
	close(fd);
	assert_false(check(f));
	assert_false(check(f));
}

static void a_state_without_end_is_cut_off(void **state)
{
	static const uint8_t chunk[65536];
	struct front *f = front_of(state);
	uint32_t sent = 0;
	int fd;

	negotiate(f, FEATURES);
	fd = begin(f, VU_STATE_LOAD);
	for (;;) {
		if (write(fd, chunk, sizeof(chunk)) < 0)
			break;
		sent += sizeof(chunk);
		assert_true(sent <= VU_STATE_MAX + 2 * sizeof(chunk));
		pump(f);
	}
	assert_int_equal(errno, EPIPE);
	assert_false(check(f));
	assert_null(f->loaded);
	close(fd);
}

static void a_reader_that_goes_away_fails_the_save(void **state)
{
	struct front *f = front_of(state);
	int fd;

	negotiate(f, FEATURES);
	f->state_len = 200000;
	fd = begin(f, VU_STATE_SAVE);
	close(fd);
	pump(f);
	assert_false(check(f));
	/* And can be tried again. */
	f->state_len = 10;
	close(begin(f, VU_STATE_SAVE));
	assert_true(check(f));
}

static void one_transfer_goes_on_at_a_time(void **state)
{
	struct front *f = front_of(state);
	int fd, other[2];

	negotiate(f, FEATURES);
	assert_int_equal(pipe2(other, O_CLOEXEC), 0);
	fd = begin(f, VU_STATE_LOAD);
	assert_int_equal(get(f, state_fd(VU_STATE_LOAD, 0, &other[0])), VU_STATE_NOFD | 1);
	/* The first goes on; once given up it is in nobody's way. */
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	assert_int_equal(get(f, state_fd(VU_STATE_LOAD, 0, &other[0])), VU_STATE_NOFD);
	assert_int_equal(f->loaded_len, 1);
	close(other[0]);
	close(other[1]);
}

static void rings_rest_while_a_transfer_begins(void **state)
{
	struct front *f = front_of(state);
	int fds[2];

	negotiate(f, FEATURES & ~PACKED);
	start_ring(f, 1);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(get(f, state_fd(VU_STATE_SAVE, 0, &fds[1])), VU_STATE_NOFD | 1);
	stop_ring(f, 1);
	assert_int_equal(get(f, state_fd(VU_STATE_SAVE, 0, &fds[1])), VU_STATE_NOFD);
	close(fds[0]);
	close(fds[1]);
}

static void directions_phases_and_descriptors_that_do_not_exist_are_errors(void **state)
{
	struct front *f = front_of(state);
	unsigned before;
	int fds[2];

	negotiate(f, FEATURES);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	before = count_fds();
	assert_int_equal(get(f, state_fd(2, 0, &fds[0])), VU_STATE_NOFD | 1);
	assert_int_equal(get(f, state_fd(UINT32_MAX, 0, &fds[0])), VU_STATE_NOFD | 1);
	assert_int_equal(get(f, state_fd(VU_STATE_LOAD, 1, &fds[0])), VU_STATE_NOFD | 1);
	/* The wrong end of a pipe; what is no pipe. */
	assert_int_equal(get(f, state_fd(VU_STATE_LOAD, 0, &fds[1])), VU_STATE_NOFD | 1);
	assert_int_equal(get(f, state_fd(VU_STATE_SAVE, 0, &fds[0])), VU_STATE_NOFD | 1);
	assert_int_equal(get(f, state_fd(VU_STATE_SAVE, 0, &f->memfd)), VU_STATE_NOFD | 1);
	assert_int_equal(count_fds(), before);
	assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_false(check(f));
	close(fds[0]);
	close(fds[1]);
}

static void a_session_or_device_that_ends_takes_its_transfer_along(void **state)
{
	struct unit *u = *state;
	struct front *f = front_of(state);
	char byte;
	int fd;

	negotiate(f, FEATURES);
	fd = begin(f, VU_STATE_LOAD);
	assert_int_equal(ask(f, msg(VU_RESET_DEVICE)), ACK_OK);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	assert_false(check(f));
	close(fd);
	for (uint32_t direction = 0; direction < 2; direction++) {
		struct front other;

		front_open(&other, u->loop);
		negotiate(&other, FEATURES);
		other.state_len = 200000;
		fd = begin(&other, direction);
		front_close(&other);
		if (direction == VU_STATE_LOAD) {
			assert_int_equal(write(fd, "x", 1), -1);
		} else {
			while (read(fd, &byte, 1) > 0)
				;
		}
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(a_state_is_saved_at_the_reader_s_pace),
		spec(a_state_is_loaded_at_the_writer_s_pace),
		spec(a_check_reads_what_is_left_in_the_pipe),
		spec(a_transfer_that_is_not_over_fails_its_check),
		spec(a_state_that_is_not_understood_fails_its_check),
		spec(a_state_without_end_is_cut_off),
		spec(a_reader_that_goes_away_fails_the_save),
		spec(one_transfer_goes_on_at_a_time),
		spec(rings_rest_while_a_transfer_begins),
		spec(directions_phases_and_descriptors_that_do_not_exist_are_errors),
		spec(a_session_or_device_that_ends_takes_its_transfer_along),
	};

	return cmocka_run_group_tests_name("vhost_user device state", tests, NULL, NULL);
}
