/* SPDX-License-Identifier: BSD-3-Clause */
/* The in-flight buffer: a file that outlives the back-end. */
#include "vu_fixture.h"

/* GET_INFLIGHT_FD or SET_INFLIGHT_FD of `nrings` rings of `num` entries. */
static struct request inflight(uint32_t request, uint16_t nrings, uint16_t num)
{
	struct request r = msg_of(request, 24);

	r.payload.inflight.num_queues = nrings;
	r.payload.inflight.queue_size = num;
	return r;
}

/* A buffer as the front-end gets it; its file is the caller's. */
static struct vu_inflight_desc get_buffer(
	struct front *f, uint16_t nrings, uint16_t num, int *fd_out)
{
	struct request r = inflight(VU_GET_INFLIGHT_FD, nrings, num);

	assert_int_equal(exchange(f, &r), REPLY);
	assert_int_equal(f->reply_size, 24);
	assert_true(f->reply_fd >= 0);
	*fd_out = f->reply_fd;
	f->reply_fd = -1;
	return f->reply_payload.inflight;
}

static enum outcome set_buffer(struct front *f, const struct vu_inflight_desc *d, int fd)
{
	struct request r = msg_of(VU_SET_INFLIGHT_FD, sizeof(*d));

	r.payload.inflight = *d;
	return ask(f, with_fds(r, &fd, 1));
}

static void a_buffer_has_a_region_for_each_ring(void **state)
{
	struct front *f = front_of(state);
	struct vu_inflight_desc d;
	uint8_t *first, byte;
	int fd;

	negotiate(f, PROTOCOL | VERSION1);
	d = get_buffer(f, 4, 256, &fd);
	assert_int_equal(d.mmap_size, 4 * 256 * INFLIGHT_STRIDE);
	assert_int_equal(d.mmap_offset, 0);
	assert_int_equal(d.num_queues, 4);
	assert_int_equal(d.queue_size, 256);
	describe_ring(f, 0);
	describe_ring(f, 3);
	describe_ring(f, 4);
	first = vu_ring_inflight(f->s, 0);
	assert_non_null(first);
	assert_ptr_equal(vu_ring_inflight(f->s, 3), first + 3 * 256 * INFLIGHT_STRIDE);
	assert_null(vu_ring_inflight(f->s, 4));
	assert_int_equal(first[0], 0);
	first[3 * 256 * INFLIGHT_STRIDE] = 0x77;
	assert_int_equal(pread(fd, &byte, 1, 3 * 256 * INFLIGHT_STRIDE), 1);
	assert_int_equal(byte, 0x77);
	close(fd);
}

static void a_reply_is_as_long_as_its_request(void **state)
{
	struct front *f = front_of(state);
	struct request r = inflight(VU_GET_INFLIGHT_FD, 2, 64);

	negotiate(f, PROTOCOL | VERSION1);
	for (r.size = 20; r.size <= 24; r.size += 4) {
		assert_int_equal(exchange(f, &r), REPLY);
		assert_int_equal(f->reply_size, r.size);
		assert_true(f->reply_fd >= 0);
	}
}

static void nobody_can_cut_the_buffer_off(void **state)
{
	struct front *f = front_of(state);
	struct vu_inflight_desc d;
	int fd;

	negotiate(f, PROTOCOL | VERSION1);
	d = get_buffer(f, 2, 64, &fd);
	assert_int_equal(ftruncate(fd, (off_t)d.mmap_size - 1), -1);
	assert_int_equal(ftruncate(fd, (off_t)d.mmap_size * 2), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	close(fd);
}

static void rings_and_sizes_that_we_do_not_have_get_no_buffer(void **state)
{
	static const uint16_t wrong[][2] = {{0, 64}, {1, 0}, {MAX_PAIRS * 2 + 1, 64}, {0xffff, 64},
		{1, MAX_RING_SIZE + 1}, {1, 0xffff}, {0xffff, 0xffff}};
	struct front *f = front_of(state);
	unsigned before, maps;

	negotiate(f, PROTOCOL | VERSION1);
	before = count_fds();
	maps = count_maps();
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++) {
		struct request r = inflight(VU_GET_INFLIGHT_FD, wrong[i][0], wrong[i][1]);

		assert_int_equal(exchange(f, &r), REPLY);
		assert_int_equal(f->reply_size, 24);
		assert_int_equal(f->reply_payload.inflight.mmap_size, 0);
		assert_int_equal(f->reply_fd, -1);
		r.request = VU_SET_INFLIGHT_FD;
		r.payload.inflight.mmap_size = MEM_SIZE;
		r.fds = &f->memfd;
		r.n = 1;
		assert_int_equal(ask(f, r), ACK_BAD);
	}
	assert_int_equal(vu_inflight_size(f->s).bytes, 0);
	assert_int_equal(count_fds(), before);
	assert_int_equal(count_maps(), maps);
}

static void a_thousand_buffers_leave_one_behind(void **state)
{
	struct front *f = front_of(state);
	struct vu_inflight_desc d;
	unsigned fds = 0, maps = 0;
	int fd;

	negotiate(f, PROTOCOL | VERSION1);
	for (int i = 0; i < 1000; i++) {
		d = get_buffer(f, 8, 1024, &fd);
		if (i & 1)
			assert_int_equal(set_buffer(f, &d, fd), ACK_OK);
		close(fd);
		if (i == 10) {
			fds = count_fds();
			maps = count_maps();
		}
	}
	assert_int_equal(count_fds(), fds);
	assert_int_equal(count_maps(), maps);
}

static void the_next_back_end_finds_what_the_last_one_wrote(void **state)
{
	struct unit *u = *state;
	struct front *f = front_of(state), next;
	struct vu_inflight_desc d;
	int fd;

	negotiate(f, PROTOCOL | VERSION1);
	d = get_buffer(f, 2, 256, &fd);
	describe_ring(f, 1);
	memcpy(vu_ring_inflight(f->s, 1), "taken", 6);
	front_open(&next, u->loop);
	negotiate(&next, PROTOCOL | VERSION1);
	assert_int_equal(set_buffer(&next, &d, fd), ACK_OK);
	describe_ring(&next, 1);
	assert_memory_equal(vu_ring_inflight(next.s, 1), "taken", 6);
	front_close(&next);
	close(fd);
}

static void a_buffer_may_begin_inside_its_file(void **state)
{
	struct front *f = front_of(state);
	struct vu_inflight_desc d = {2 * 64 * INFLIGHT_STRIDE, 0x1238, 2, 64, 0};
	uint8_t *base;

	negotiate(f, PROTOCOL | VERSION1);
	assert_int_equal(pwrite(f->memfd, "here", 4, 0x1238), 4);
	assert_int_equal(set_buffer(f, &d, f->memfd), ACK_OK);
	base = vu_ring_inflight(f->s, 0);
	assert_memory_equal(base, "here", 4);
	/* Nor is there a need for it to end where its rings do. */
	d.mmap_size += 0x500;
	assert_int_equal(set_buffer(f, &d, f->memfd), ACK_OK);
}

static void a_buffer_that_is_not_all_there_is_refused(void **state)
{
	const uint64_t need = 4 * 256 * INFLIGHT_STRIDE;
	const struct vu_inflight_desc wrong[] = {{need - 1, 0, 4, 256, 0}, {0, 0, 4, 256, 0},
		{need, MEM_SIZE - need + 8, 4, 256, 0}, {need, 4, 4, 256, 0},
		{MEM_SIZE + 8, 0, 4, 256, 0}, {need, UINT64_MAX - 7, 4, 256, 0},
		{UINT64_MAX, 0, 4, 256, 0}, {UINT64_MAX, 8, 4, 256, 0},
		{need, 1ull << 63, 4, 256, 0}};
	struct front *f = front_of(state);
	struct vu_inflight_desc ok = {need, 0, 4, 256, 0};

	negotiate(f, PROTOCOL | VERSION1);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(wrong); i++)
		assert_int_equal(set_buffer(f, &wrong[i], f->memfd), ACK_BAD);
	assert_int_equal(vu_inflight_size(f->s).bytes, 0);
	assert_int_equal(set_buffer(f, &ok, f->memfd), ACK_OK);
}

static void a_file_that_may_shrink_is_refused(void **state)
{
	struct vu_inflight_desc d = {2 * 64 * INFLIGHT_STRIDE, 0, 2, 64, 0};
	struct front *f = front_of(state);
	int sv[2], fds[4];

	negotiate(f, PROTOCOL | VERSION1);
	fds[0] = memfd_create("unsealable", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fds[0], MEM_SIZE), 0);
	fds[1] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	fds[2] = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	fds[3] = sv[0];
	for (unsigned i = 0; i < RW_ARRAY_SIZE(fds); i++) {
		assert_int_equal(set_buffer(f, &d, fds[i]), ACK_BAD);
		close(fds[i]);
	}
	close(sv[1]);
	/* One that could be is sealed on the way. */
	assert_int_equal(set_buffer(f, &d, f->memfd), ACK_OK);
	assert_int_equal(ftruncate(f->memfd, 0), -1);
}

/* In both orders: a ring may outgrow its region, or find a smaller one. */
static void a_ring_that_its_region_cannot_hold_has_none(void **state)
{
	struct front *f = front_of(state);
	int fd;

	negotiate(f, PROTOCOL | VERSION1);
	get_buffer(f, 2, 64, &fd);
	close(fd);
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, 64), ACK_OK);
	assert_non_null(vu_ring_inflight(f->s, 0));
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, 0, 128), ACK_OK);
	assert_null(vu_ring_inflight(f->s, 0));
	get_buffer(f, 2, 128, &fd);
	close(fd);
	assert_non_null(vu_ring_inflight(f->s, 0));
	get_buffer(f, 2, 32, &fd);
	close(fd);
	assert_null(vu_ring_inflight(f->s, 0));
	/* A packed ring's region is larger. */
	get_buffer(f, 2, 128, &fd);
	close(fd);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | PACKED), ACK_OK);
	assert_null(vu_ring_inflight(f->s, 0));
}

static void a_buffer_is_replaced_while_rings_rest(void **state)
{
	struct front *f = front_of(state);
	struct vu_inflight_desc d;
	int fd;

	negotiate(f, PROTOCOL | VERSION1);
	start_ring(f, 0);
	d = get_buffer(f, 2, 256, &fd);
	assert_int_equal(f->at_pause.inflight, 0);
	assert_int_not_equal(f->at_resume.inflight, 0);
	assert_int_equal(set_buffer(f, &d, fd), ACK_OK);
	assert_true(f->running[0]);
	close(fd);
}

static void a_reset_forgets_what_was_in_flight(void **state)
{
	struct front *f = front_of(state);
	int fd;

	negotiate(f, PROTOCOL | VERSION1);
	get_buffer(f, 2, 256, &fd);
	close(fd);
	assert_int_equal(ask(f, msg(VU_RESET_DEVICE)), ACK_OK);
	assert_int_equal(vu_inflight_size(f->s).bytes, 0);
	assert_null(vu_ring_inflight(f->s, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(a_buffer_has_a_region_for_each_ring),
		spec(a_reply_is_as_long_as_its_request),
		spec(nobody_can_cut_the_buffer_off),
		spec(rings_and_sizes_that_we_do_not_have_get_no_buffer),
		spec(a_thousand_buffers_leave_one_behind),
		spec(the_next_back_end_finds_what_the_last_one_wrote),
		spec(a_buffer_may_begin_inside_its_file),
		spec(a_buffer_that_is_not_all_there_is_refused),
		spec(a_file_that_may_shrink_is_refused),
		spec(a_ring_that_its_region_cannot_hold_has_none),
		spec(a_buffer_is_replaced_while_rings_rest),
		spec(a_reset_forgets_what_was_in_flight),
	};

	return cmocka_run_group_tests_name("vhost_user in-flight buffer", tests, NULL, NULL);
}
