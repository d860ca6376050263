/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket's server, with clients of every kind, over a real socket in a temporary
 * directory.
 */
#include "control_place.h"

static void answers_larger_than_the_socket_buffer_arrive_whole(void **state)
{
	const char *call = "{\"jsonrpc\":\"2.0\",\"method\":\"big\",\"id\":1}\n";
	struct place *p = *state;
	int fd = client(p);
	char *line = malloc(2u << 20);

	put(fd, call);
	put(fd, call);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(strlen(get_line(p, fd, line, 2u << 20)),
			strlen("{\"jsonrpc\":\"2.0\",\"result\":\"\",\"id\":1}") + (1u << 20));
	}
	free(line);
	close(fd);
}

static void an_endless_line_gets_an_error_and_the_end(void **state)
{
	struct place *p = *state;
	char *junk = malloc(1u << 16);
	int fd = client(p), other = client(p);
	size_t sent = 0;

	memset(junk, ' ', 1u << 16);
	for (int i = 0; i < 1000 && sent <= CTL_LINE_MAX; i++) {
		ssize_t n = send(fd, junk, 1u << 16, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		rw_loop_once(p->subject.loop, 0);
	}
	assert_true(sent > CTL_LINE_MAX);
	expect_line(p, fd,
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":"
		"\"Invalid Request: a line has at most 1048576 bytes\"},\"id\":null}");
	expect_end(p, fd);
	put(other, CALL(1) "\n");
	expect_line(p, other, DONE(1));
	close(other);
	free(junk);
}

static void a_line_of_the_largest_size_is_answered(void **state)
{
	struct place *p = *state;
	char *line = malloc(CTL_LINE_MAX + 1);
	int fd = client(p);
	size_t sent = 0;

	memset(line, ' ', CTL_LINE_MAX);
	memcpy(line + CTL_LINE_MAX - strlen(CALL(1)), CALL(1), strlen(CALL(1)));
	line[CTL_LINE_MAX] = '\n';
	for (int i = 0; i < 1000 && sent < CTL_LINE_MAX + 1; i++) {
		ssize_t n = send(fd, line + sent, CTL_LINE_MAX + 1 - sent, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		rw_loop_once(p->subject.loop, 0);
	}
	expect_line(p, fd, DONE(1));
	close(fd);
	free(line);
}

static void requests_in_one_write_are_answered_in_their_order(void **state)
{
	struct place *p = *state;
	int fd = client(p);

	put(fd, CALL(1) "\n\r\n" CALL(2) "\r\n" CALL(3) "\n\n \n" CALL(4) "\n");
	expect_line(p, fd, DONE(1));
	expect_line(p, fd, DONE(2));
	expect_line(p, fd, DONE(3));
	expect_line(p, fd, DONE(4));
	close(fd);
}

static void a_request_in_single_bytes_is_answered(void **state)
{
	const char *text = CALL(7) "\n";
	struct place *p = *state;
	int fd = client(p);

	for (const char *c = text; *c; c++) {
		assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
		rw_loop_once(p->subject.loop, 1);
	}
	expect_line(p, fd, DONE(7));
	close(fd);
}

static void a_batch_is_answered_in_one_line(void **state)
{
	struct place *p = *state;
	int fd = client(p);

	put(fd, "[" CALL(1) "," CALL(2) "]\n");
	expect_line(p, fd, "[" DONE(1) "," DONE(2) "]");
	close(fd);
}

static void nonsense_gets_an_error_and_the_client_may_go_on(void **state)
{
	struct place *p = *state;
	int fd = client(p);
	char line[256];

	put(fd, "GET / HTTP/1.1\r\n" CALL(3) "\n");
	assert_non_null(strstr(get_line(p, fd, line, sizeof(line)), "\"code\":-32700"));
	expect_line(p, fd, DONE(3));
	assert_int_equal(send(fd, "\0\n", 2, MSG_NOSIGNAL), 2);
	assert_non_null(strstr(get_line(p, fd, line, sizeof(line)), "\"code\":-32700"));
	close(fd);
}

static void the_end_of_the_stream_ends_the_last_line(void **state)
{
	struct place *p = *state;
	int fd = client(p);

	put(fd, CALL(1) "\n" CALL(2));
	shutdown(fd, SHUT_WR);
	expect_line(p, fd, DONE(1));
	expect_line(p, fd, DONE(2));
	expect_end(p, fd);
}

static void a_client_that_leaves_has_its_requests_carried_out(void **state)
{
	struct place *p = *state;
	int fd = client(p);

	put(fd, CALL(1) "\n" CALL(2) "\n" CALL(3) "\n" CALL(4) "\n{\"jsonrpc\":");
	close(fd);
	run(p, -1);
	run(p, -1);
	assert_int_equal(p->subject.calls, 4);
	fd = client(p);
	close(fd);
	run(p, -1);
	fd = client(p);
	put(fd, CALL(5) "\n");
	expect_line(p, fd, DONE(5));
	close(fd);
}

static void a_shortage_of_descriptors_passes(void **state)
{
	struct place *p = *state;
	struct rlimit old, few;
	uint64_t start_ms;
	int fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	fd = client(p);
	few = (struct rlimit){.rlim_cur = (rlim_t)fd + 1, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	put(fd, CALL(1) "\n");
	run(p, fd);
	/* Nothing to do for now: the loop sleeps although a client still waits for accept. */
	start_ms = rw_now_ms();
	for (int i = 0; i < 5; i++)
		rw_loop_once(p->subject.loop, 2);
	assert_true(rw_now_ms() - start_ms >= 5);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(p->subject.calls, 0);
	expect_line(p, fd, DONE(1));
	close(fd);
}

static void the_socket_is_for_its_owner_alone_and_goes_with_the_server(void **state)
{
	struct place *p = *state;
	struct stat st;

	assert_int_equal(stat(p->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	ctl_server_free(p->srv);
	p->srv = NULL;
	assert_int_equal(stat(p->path, &st), -1);
}

static void a_live_socket_is_refused_and_a_stale_one_replaced(void **state)
{
	struct place *p = *state;
	struct rw_sock_id id;
	int fd;

	errno = 0;
	assert_null(serve(p));
	assert_int_equal(errno, EADDRINUSE);
	fd = client(p); /* the refused one has not removed it */
	put(fd, CALL(1) "\n");
	expect_line(p, fd, DONE(1));
	close(fd);
	ctl_server_free(p->srv);

	fd = rw_sock_listen(p->path, &RW_SOCK_PRIVATE, &id);
	assert_true(fd >= 0);
	close(fd); /* as a process does that is killed: the file stays */
	p->srv = serve(p);
	assert_non_null(p->srv);
	fd = client(p);
	put(fd, CALL(2) "\n");
	expect_line(p, fd, DONE(2));
	close(fd);
}

static void a_file_that_replaced_the_socket_is_left_alone(void **state)
{
	struct place *p = *state;
	FILE *f;

	assert_int_equal(unlink(p->path), 0);
	f = fopen(p->path, "w");
	assert_non_null(f);
	fclose(f);
	ctl_server_free(p->srv);
	p->srv = NULL;
	assert_int_equal(access(p->path, F_OK), 0);
	assert_null(serve(p));
	assert_int_equal(errno, EEXIST);
}

static void *loop_thread(void *arg)
{
	rw_loop_run(((struct place *)arg)->subject.loop);
	return NULL;
}

static void calls_over_the_socket_give_results_and_errors(void **state)
{
	struct place *p = *state;
	json_t *params = json_pack("[i, i]", 9, 4), *result;
	struct ctl_failure fail;
	pthread_t thread;
	int fd = client(p);

	assert_int_equal(pthread_create(&thread, NULL, loop_thread, p), 0);
	result = ctl_call(fd, "subtract", params, 5000, &fail);
	assert_int_equal(json_integer_value(result), 5);
	assert_int_equal(fail.code, 0);
	json_decref(result);
	assert_null(ctl_call(fd, "subtract", NULL, 5000, &fail));
	assert_int_equal(fail.code, CTL_ERR_PARAMS);
	result = ctl_call(fd, "big", NULL, 5000, &fail);
	assert_int_equal(json_string_length(result), 1u << 20);
	json_decref(result);
	json_decref(ctl_call(fd, "quit", NULL, 5000, &fail));
	pthread_join(thread, NULL);
	json_decref(params);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_server(answers_larger_than_the_socket_buffer_arrive_whole),
		with_server(an_endless_line_gets_an_error_and_the_end),
		with_server(a_line_of_the_largest_size_is_answered),
		with_server(requests_in_one_write_are_answered_in_their_order),
		with_server(a_request_in_single_bytes_is_answered),
		with_server(a_batch_is_answered_in_one_line),
		with_server(nonsense_gets_an_error_and_the_client_may_go_on),
		with_server(the_end_of_the_stream_ends_the_last_line),
		with_server(a_client_that_leaves_has_its_requests_carried_out),
		with_server(a_shortage_of_descriptors_passes),
		with_server(the_socket_is_for_its_owner_alone_and_goes_with_the_server),
		with_server(a_live_socket_is_refused_and_a_stale_one_replaced),
		with_server(a_file_that_replaced_the_socket_is_left_alone),
		with_server(calls_over_the_socket_give_results_and_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
