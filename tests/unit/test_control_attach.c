/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors that come with requests, and what ends with a connection. */
#include <fcntl.h>
#include <sys/mman.h>

#include "control_place.h"
#include "fds.h"

#define ASK(method, id) "{\"jsonrpc\":\"2.0\",\"method\":\"" method "\",\"id\":" #id "}\n"
#define GOT(result, id) "{\"jsonrpc\":\"2.0\",\"result\":" #result ",\"id\":" #id "}"
#define FAILED(why, id) \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"" why "\"},\"id\":" #id "}"

/* Send `text` with files of so many bytes. */
static void put_files(int to, const char *text, const int *bytes, unsigned n)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control = {.head = {.cmsg_len = CMSG_LEN(n * sizeof(int)),
			     .cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};
	int fds[8];

	for (unsigned i = 0; i < n; i++) {
		fds[i] = memfd_create("file", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fds[i], bytes[i]), 0);
	}
	memcpy(CMSG_DATA(&control.head), fds, n * sizeof(int));
	assert_int_equal(sendmsg(to, &mh, MSG_NOSIGNAL), strlen(text));
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

/* Until a helper has closed what it was given, and no more than `n` are open. */
static void expect_fds_at_most(struct place *p, unsigned n)
{
	for (int i = 0; i < 3000 && count_fds() > n; i++)
		rw_loop_once(p->subject.loop, 10);
	assert_true(count_fds() <= n);
}

/* What a helper has open for itself, at most. */
#define HELPER_FDS 8

static void a_method_takes_what_came_with_the_request(void **state)
{
	struct place *p = *state;
	int fd = client(p);

	put_files(fd, ASK("measure", 1), (int[]){4096}, 1);
	expect_line(p, fd, GOT(4096, 1));
	/* It is taken once. */
	put(fd, ASK("measure", 2));
	expect_line(p, fd, FAILED("No such file or directory", 2));
	close(fd);
}

static void the_latest_of_a_connection_counts(void **state)
{
	struct place *p = *state;
	int fd = client(p), other = client(p);

	put_files(fd, ASK("subtract", 0), (int[]){1, 2, 3}, 3);
	put_files(fd, "\n", (int[]){5}, 1);
	put(other, ASK("measure", 1));
	expect_line(p, other, FAILED("No such file or directory", 1));
	put(fd, ASK("measure", 2));
	run(p, fd);
	expect_line(p, fd,
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"Invalid params: two "
		"numbers are wanted\"},\"id\":0}");
	expect_line(p, fd, GOT(5, 2));
	close(fd);
	close(other);
}

static void nothing_that_nobody_takes_stays_open(void **state)
{
	struct place *p = *state;
	unsigned before = count_fds();
	int fd = client(p);

	for (unsigned i = 0; i < 20; i++) {
		put_files(fd, "\n", (int[]){1, 2, 3, 4, 5, 6, 7, 8}, 1 + i % 8);
		run(p, -1);
	}
	put_files(fd, ASK("measure", 1), (int[]){7}, 1);
	expect_line(p, fd, GOT(7, 1));
	close(fd);
	run(p, -1);
	expect_fds_at_most(p, before + HELPER_FDS);
}

static void what_is_tied_to_a_connection_ends_with_it(void **state)
{
	struct place *p = *state;
	int a = client(p), b = client(p);

	assert_int_equal(ctl_tie(p->srv, tied_gone, &p->subject), -ENOTCONN);
	assert_int_equal(ctl_take_fd(p->srv), -ENOTCONN);
	put(a, ASK("tie", 1) ASK("tie", 2));
	expect_line(p, a, GOT(true, 1));
	expect_line(p, a, FAILED("Device or resource busy", 2));
	put(b, ASK("tie", 3));
	expect_line(p, b, GOT(true, 3));
	assert_int_equal(p->subject.tied, 0);
	close(a);
	run(p, -1);
	assert_int_equal(p->subject.tied, 1);
	ctl_untie(p->srv, &p->subject);
	close(b);
	run(p, -1);
	assert_int_equal(p->subject.tied, 1);
}

/* ctl_call_passing, against the server in a thread of its own. */
static void *serve_until_quit(void *arg)
{
	rw_loop_run(arg);
	return NULL;
}

static void the_client_side_sends_a_descriptor(void **state)
{
	struct place *p = *state;
	int fd = client(p), file = memfd_create("file", MFD_CLOEXEC);
	struct ctl_failure fail;
	pthread_t thread;
	json_t *size;

	assert_int_equal(ftruncate(file, 12345), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve_until_quit, p->subject.loop), 0);
	size = ctl_call_passing(fd, file, "measure", NULL, 10000, &fail);
	assert_int_equal(json_integer_value(size), 12345);
	json_decref(size);
	json_decref(ctl_call(fd, "quit", NULL, 10000, &fail));
	pthread_join(thread, NULL);
	close(file);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_server(a_method_takes_what_came_with_the_request),
		with_server(the_latest_of_a_connection_counts),
		with_server(nothing_that_nobody_takes_stays_open),
		with_server(what_is_tied_to_a_connection_ends_with_it),
		with_server(the_client_side_sends_a_descriptor),
	};

	return cmocka_run_group_tests_name("control_attach", tests, NULL, NULL);
}
