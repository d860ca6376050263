/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket's server: no client takes more than its share, of time, memory and places. */
#include "control_place.h"

static void a_stalled_client_delays_no_other(void **state)
{
	struct place *p = *state;
	int stalled = client(p), other = client(p);

	put(stalled, "{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",");
	run(p, -1);
	put(other, CALL(1) "\n");
	expect_line(p, other, DONE(1));
	put(stalled, "\"params\":[9,1],\"id\":2}\n");
	expect_line(p, stalled, "{\"jsonrpc\":\"2.0\",\"result\":8,\"id\":2}");
	close(stalled);
	close(other);
}

static void a_client_with_many_requests_takes_turns(void **state)
{
	const char *call = "{\"jsonrpc\":\"2.0\",\"method\":\"slow\",\"id\":1}\n";
	struct place *p = *state;
	int busy = client(p), other;

	for (int i = 0; i < 50; i++)
		put(busy, call);
	run(p, busy);
	other = client(p);
	put(other, CALL(2) "\n");
	expect_line(p, other, DONE(2));
	assert_in_range(p->subject.calls, 2, 40);
	for (int i = 0; i < 50; i++)
		expect_line(p, busy, "{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":1}");
	close(busy);
	close(other);
}

#define BIG "{\"jsonrpc\":\"2.0\",\"method\":\"big\",\"id\":1}\n"

/* Answers of 1 MiB, of which the socket takes a part. */
static void a_client_that_does_not_read_is_not_served_further(void **state)
{
	struct place *p = *state;
	int deaf = client(p), other = client(p);
	char *line = malloc(2u << 20);

	for (unsigned i = 0; i < 20; i++) {
		put(deaf, BIG);
		put(other, CALL(1) "\n");
		expect_line(p, other, DONE(1));
	}
	run(p, -1);
	assert_in_range(p->subject.nbig, 1, 2);
	for (unsigned i = 0; i < 20; i++)
		get_line(p, deaf, line, 2u << 20);
	assert_int_equal(p->subject.nbig, 20);
	free(line);
	close(deaf);
	close(other);
}

static void a_client_that_reads_nothing_for_long_is_closed(void **state)
{
	struct place *p = *state;
	int deaf = client(p);
	uint64_t until_ms = rw_now_ms() + 20000;

	ctl_server_set_stall(p->srv, 1);
	put(deaf, BIG);
	while (send(deaf, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 || errno == EAGAIN) {
		assert_true(rw_now_ms() < until_ms);
		rw_loop_once(p->subject.loop, 1);
	}
	assert_int_equal(errno, EPIPE);
	close(deaf);
}

#define WAIT "{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"params\":[1],\"id\":7}"

static void a_method_that_cannot_answer_yet_delays_no_other_client(void **state)
{
	struct place *p = *state;
	int waiter = client(p), other = client(p);

	put(waiter, "[" WAIT "," CALL(1) "]\n");
	while (p->subject.waits < 3)
		rw_loop_once(p->subject.loop, 1);
	put(other, CALL(2) "\n");
	expect_line(p, other, DONE(2));
	/* Its own requests wait: answers come in order. */
	assert_int_equal(p->subject.calls, 1);
	assert_int_equal(p->subject.gone, 0);
	p->subject.ready = true;
	expect_line(p, waiter, "[{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":7}," DONE(1) "]");
	assert_int_equal(p->subject.gone, 0);
	/* A method is told when nobody waits any more. */
	p->subject.ready = false;
	p->subject.waits = 0;
	put(waiter, WAIT "\n");
	while (!p->subject.waits)
		rw_loop_once(p->subject.loop, 1);
	ctl_server_free(p->srv);
	p->srv = NULL;
	assert_int_equal(p->subject.gone, 1);
	close(waiter);
	close(other);
}

static void the_requests_of_a_batch_take_turns(void **state)
{
	struct place *p = *state;
	int busy = client(p), other;
	char line[4096];

	put(busy, "[");
	for (int i = 0; i < 100; i++)
		put(busy, "{\"jsonrpc\":\"2.0\",\"method\":\"slow\",\"id\":1},");
	put(busy, CALL(1) "]\n");
	/* The first turn accepts and reads, the others answer. */
	while (!p->subject.calls)
		rw_loop_once(p->subject.loop, 1);
	other = client(p);
	put(other, CALL(2) "\n");
	expect_line(p, other, DONE(2));
	assert_in_range(p->subject.calls, 2, 4 * RW_SLICE_ITEMS);
	get_line(p, busy, line, sizeof(line));
	assert_int_equal(p->subject.calls, 102);
	assert_int_equal(line[0], '[');
	assert_string_equal(line + strlen(line) - strlen(DONE(1)) - 1, DONE(1) "]");
	close(busy);
	close(other);
}

static void the_elements_of_a_list_take_turns(void **state)
{
	struct place *p = *state;
	int busy = client(p), other;
	char *line = malloc(1u << 20);

	put(busy, "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}\n");
	while (!p->subject.counted)
		rw_loop_once(p->subject.loop, 1);
	other = client(p);
	put(other, CALL(2) "\n");
	expect_line(p, other, DONE(2));
	assert_in_range(p->subject.counted, 1, 4 * RW_SLICE_ITEMS);
	get_line(p, busy, line, 1u << 20);
	assert_int_equal(p->subject.counted, COUNT);
	free(line);
	close(busy);
	close(other);
}

#define TOO_MANY                                           \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000," \
	"\"message\":\"too many clients\"},\"id\":null}"

static void one_client_too_many_is_told_so(void **state)
{
	const int most = geteuid() ? CTL_CLIENTS_MAX - 1 : CTL_CLIENTS_MAX;
	struct place *p = *state;
	int fds[CTL_CLIENTS_MAX], extra;

	for (int i = 0; i < most; i++) {
		fds[i] = client(p);
		rw_loop_once(p->subject.loop, 1);
	}
	extra = client(p);
	expect_line(p, extra, TOO_MANY);
	expect_end(p, extra);
	close(fds[0]);
	run(p, -1);
	extra = client(p);
	put(extra, CALL(1) "\n");
	expect_line(p, extra, DONE(1));
	close(extra);
	for (int i = 1; i < most; i++)
		close(fds[i]);
}

/* Only root can be another user. */
static void the_last_place_is_for_root(void **state)
{
	struct place *p = *state;
	int fds[CTL_CLIENTS_MAX], fd;

	if (geteuid())
		return;
	assert_int_equal(chmod(p->dir, 0711), 0);
	assert_int_equal(chmod(p->path, 0666), 0);
	assert_int_equal(seteuid(65534), 0);
	for (int i = 0; i < CTL_CLIENTS_MAX; i++) {
		fds[i] = client(p);
		rw_loop_once(p->subject.loop, 1);
	}
	assert_int_equal(seteuid(0), 0);
	expect_line(p, fds[CTL_CLIENTS_MAX - 1], TOO_MANY);
	fd = client(p);
	put(fd, CALL(1) "\n");
	expect_line(p, fd, DONE(1));
	close(fd);
	for (int i = 0; i < CTL_CLIENTS_MAX; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_server(a_stalled_client_delays_no_other),
		with_server(a_client_with_many_requests_takes_turns),
		with_server(a_client_that_does_not_read_is_not_served_further),
		with_server(a_client_that_reads_nothing_for_long_is_closed),
		with_server(the_requests_of_a_batch_take_turns),
		with_server(the_elements_of_a_list_take_turns),
		with_server(a_method_that_cannot_answer_yet_delays_no_other_client),
		with_server(one_client_too_many_is_told_so),
		with_server(the_last_place_is_for_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
