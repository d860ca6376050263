/* SPDX-License-Identifier: BSD-3-Clause */
/* Events: who gets which, and what becomes of those that nobody reads. */
#include "control_place.h"

static const struct ctl_event_kind kinds[] = {{"zero", "", NULL}, {"one", "", NULL}};

static void wanted(void *arg, uint32_t bits)
{
	((struct subject *)arg)->wanted = bits;
}

/* A client that wants these kinds, about `subject`. */
static int subscriber(struct place *p, unsigned bits, const char *subject)
{
	char text[128];
	int fd = client(p);

	ctl_server_events(p->srv, kinds, RW_ARRAY_SIZE(kinds), wanted, &p->subject);
	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"params\":[%u,\"%s\"],\"id\":1}\n",
		bits, subject);
	put(fd, text);
	expect_line(p, fd, "{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":1}");
	return fd;
}

static void emit(struct place *p, unsigned kind, const char *subject, json_int_t n)
{
	const char *const about[2] = {NULL, subject};

	ctl_emit(p->srv, kind, about, json_pack("{s:I}", "n", n));
}

/* The next event is of that kind; its number `key`. */
static json_int_t next_event(struct place *p, int fd, const char *kind, const char *key)
{
	char line[512];
	json_t *event = json_loads(get_line(p, fd, line, sizeof(line)), 0, NULL), *params;
	json_int_t n;

	params = json_object_get(event, "params");
	assert_string_equal(json_string_value(json_object_get(event, "method")), "event");
	assert_null(json_object_get(event, "id"));
	assert_string_equal(json_string_value(json_object_get(params, "event")), kind);
	assert_true(json_number_value(json_object_get(params, "time")) > 0);
	assert_true(json_is_integer(json_object_get(params, key)));
	n = json_integer_value(json_object_get(params, key));
	json_decref(event);
	return n;
}

static void a_client_gets_the_kinds_and_the_subject_that_it_wants(void **state)
{
	struct place *p = *state;
	int all = subscriber(p, 3, ""), one = subscriber(p, 2, ""), x = subscriber(p, 3, "x");

	assert_int_equal(p->subject.wanted, 3);
	emit(p, 0, "x", 1);
	emit(p, 1, "y", 2);
	emit(p, 1, NULL, 3);
	emit(p, 1, "x", 4);
	for (json_int_t n = 1; n <= 4; n++)
		assert_int_equal(next_event(p, all, n == 1 ? "zero" : "one", "n"), n);
	for (json_int_t n = 2; n <= 4; n++)
		assert_int_equal(next_event(p, one, "one", "n"), n);
	assert_int_equal(next_event(p, x, "zero", "n"), 1);
	assert_int_equal(next_event(p, x, "one", "n"), 4);
	close(all);
	close(x);
	run(p, -1);
	assert_int_equal(p->subject.wanted, 2);
	close(one);
	run(p, -1);
	assert_int_equal(p->subject.wanted, 0);
}

static void an_event_stands_between_two_answers(void **state)
{
	struct place *p = *state;
	int fd = subscriber(p, 1, "");

	put(fd, CALL(2) "\n" CALL(3) "\n");
	emit(p, 0, NULL, 7);
	/* Nothing of the calls has been read yet. */
	assert_int_equal(next_event(p, fd, "zero", "n"), 7);
	expect_line(p, fd, DONE(2));
	emit(p, 0, NULL, 8);
	expect_line(p, fd, DONE(3));
	assert_int_equal(next_event(p, fd, "zero", "n"), 8);
	close(fd);
}

static void a_long_answer_is_not_cut_by_an_event(void **state)
{
	struct place *p = *state;
	int fd = subscriber(p, 1, "");
	char line[16384];

	put(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":2}\n");
	for (int i = 0; i < 4; i++) {
		rw_loop_once(p->subject.loop, 1);
		emit(p, 0, NULL, i);
	}
	/* The answer and the events are a line each, in any order. */
	for (int lines = 0, next = 0; lines < 5; lines++) {
		json_t *read = json_loads(get_line(p, fd, line, sizeof(line)), 0, NULL);
		json_t *n = json_object_get(json_object_get(read, "params"), "n");

		assert_non_null(read);
		if (n)
			assert_int_equal(json_integer_value(n), next++);
		else
			assert_int_equal(json_array_size(json_object_get(read, "result")), COUNT);
		json_decref(read);
	}
	close(fd);
}

/* More than the socket, the answers' buffer and the events' buffer hold. */
#define FLOOD 40000

static void who_does_not_read_hears_how_many_are_lost(void **state)
{
	struct place *p = *state;
	int idle = subscriber(p, 1, ""), busy = subscriber(p, 1, "");
	json_int_t got = 0, lost;
	char line[512];

	ctl_server_set_stall(p->srv, 1);
	for (json_int_t n = 0; n < FLOOD; n++) {
		emit(p, 0, NULL, n);
		/* Nobody waits for the other one. */
		assert_int_equal(next_event(p, busy, "zero", "n"), n);
	}
	/* It was not closed, and gets what had room, in order, then the number of the others. */
	while (strstr(get_line(p, idle, line, sizeof(line)), "\"zero\""))
		got++;
	assert_non_null(strstr(line, "\"event\":\"lost\""));
	lost = strtoll(strstr(line, "\"lost\":") + strlen("\"lost\":"), NULL, 10);
	assert_int_equal(got + lost, FLOOD);
	assert_true(got > 0 && lost > 0);
	/* From then on it is served as before. */
	emit(p, 0, NULL, 5);
	assert_int_equal(next_event(p, idle, "zero", "n"), 5);
	close(idle);
	close(busy);
}

static void what_the_program_loses_is_told_to_those_who_want_it(void **state)
{
	struct place *p = *state;
	int zero = subscriber(p, 1, ""), one = subscriber(p, 2, "");

	ctl_lose(p->srv, 1, 9);
	emit(p, 1, NULL, 3);
	assert_int_equal(next_event(p, zero, "lost", "lost"), 9);
	assert_int_equal(next_event(p, one, "one", "n"), 3);
	close(zero);
	close(one);
}

#define MANY 32

static void many_subscribers_may_leave_at_any_time(void **state)
{
	struct place *p = *state;
	int fds[MANY];

	for (int i = 0; i < MANY; i++)
		fds[i] = subscriber(p, 1, "");
	for (json_int_t n = 0; n < 100; n++) {
		emit(p, 0, NULL, n);
		/* One leaves in the middle, with events unread. */
		if (n % 10 == 0)
			close(fds[n / 10]);
	}
	for (int i = 10; i < MANY; i++) {
		for (json_int_t n = 0; n < 100; n++)
			assert_int_equal(next_event(p, fds[i], "zero", "n"), n);
		close(fds[i]);
	}
	run(p, -1);
	run(p, -1);
	assert_int_equal(p->subject.wanted, 0);
}

static void only_a_client_can_subscribe(void **state)
{
	struct place *p = *state;

	assert_int_equal(ctl_subscribe(p->srv, 1, ""), -ENOTCONN);
	assert_int_equal(ctl_server_wanted(p->srv), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_server(a_client_gets_the_kinds_and_the_subject_that_it_wants),
		with_server(an_event_stands_between_two_answers),
		with_server(a_long_answer_is_not_cut_by_an_event),
		with_server(who_does_not_read_hears_how_many_are_lost),
		with_server(what_the_program_loses_is_told_to_those_who_want_it),
		with_server(many_subscribers_may_leave_at_any_time),
		with_server(only_a_client_can_subscribe),
	};

	return cmocka_run_group_tests_name("control_events", tests, NULL, NULL);
}
