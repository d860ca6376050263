/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lib/base: the log. Standard error is replaced by a file, or by a pipe that nobody reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "rw_log.h"

#define NOTE_LOST "line(s) of the log are lost"

static int saved = -1;

static void stderr_set(int fd)
{
	saved = dup(STDERR_FILENO);
	assert_true(saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
}

static void stderr_restore(void)
{
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
}

/* Run `fn` with standard error in a file; its text in `out`. */
static void captured(void (*fn)(void), char *out, size_t len)
{
	FILE *f = tmpfile();
	size_t n;

	assert_non_null(f);
	stderr_set(fileno(f));
	fn();
	stderr_restore();
	rewind(f);
	n = fread(out, 1, len - 1, f);
	out[n] = '\0';
	fclose(f);
}

static unsigned lines_of(const char *text)
{
	unsigned n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

/* ---- the level ---- */

static void log_two_levels(void)
{
	rw_log_set_level(RW_LOG_WARNING);
	rw_warning("port %s", "a");
	rw_info("not this");
	rw_log_set_level(RW_LOG_INFO);
}

static void lines_above_the_level_are_dropped(void **state)
{
	char text[256];

	(void)state;
	captured(log_two_levels, text, sizeof(text));
	assert_string_equal(text, "warning: port a\n");
}

static void log_a_long_line(void)
{
	char text[4096];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	rw_info("%s", text);
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
	char text[8192];

	(void)state;
	captured(log_a_long_line, text, sizeof(text));
	assert_in_range(strlen(text), 100, 1024);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void levels_have_names(void **state)
{
	(void)state;
	assert_int_equal(rw_log_level_by_name("error"), RW_LOG_ERROR);
	assert_int_equal(rw_log_level_by_name("debug"), RW_LOG_DEBUG);
	assert_int_equal(rw_log_level_by_name("loud"), -EINVAL);
}

/* ---- limits ---- */

static struct rw_log_limit limit;

static void log_a_flood(void)
{
	limit = (struct rw_log_limit){0};
	for (int i = 0; i < 1000; i++)
		rw_log_limited(&limit, RW_LOG_INFO, "again");
}

static void a_flood_is_limited_to_a_burst(void **state)
{
	char text[65536];
	unsigned lines;

	(void)state;
	captured(log_a_flood, text, sizeof(text));
	lines = lines_of(text);
	assert_in_range(lines, 10, 12); /* a second may pass meanwhile */
	assert_int_equal(limit.dropped_total, 1000 - lines);
}

static void log_after_a_flood(void)
{
	limit.last_ms -= 1000;
	rw_log_limited(&limit, RW_LOG_INFO, "at last");
}

static void the_next_line_says_how_many_were_suppressed(void **state)
{
	char flood[65536], text[256], want[256];

	(void)state;
	captured(log_a_flood, flood, sizeof(flood));
	snprintf(want, sizeof(want), "info: at last (%ju line(s) suppressed before)\n",
		(uintmax_t)limit.dropped);
	captured(log_after_a_flood, text, sizeof(text));
	assert_string_equal(text, want);
	assert_int_equal(limit.dropped, 0);
	assert_true(limit.dropped_total > 0);
}

static struct rw_log_limit others;

static void log_of_two_peers(void)
{
	others = (struct rw_log_limit){0};
	log_a_flood();
	rw_log_limited(&others, RW_LOG_INFO, "the other one");
}

static void a_peer_uses_up_its_own_lines_only(void **state)
{
	char text[65536];

	(void)state;
	captured(log_of_two_peers, text, sizeof(text));
	assert_non_null(strstr(text, "info: the other one\n"));
}

/* ---- the thread ---- */

#define MANY 200 /* fewer than can wait */

static void log_through_the_thread(void)
{
	assert_int_equal(rw_log_begin(), 0);
	for (int i = 0; i < MANY; i++)
		rw_info("line %d", i);
	rw_log_end();
	rw_info("line %d", MANY); /* written by the caller again */
}

static void the_end_writes_what_waits_in_order(void **state)
{
	char text[65536], *at = text;

	(void)state;
	captured(log_through_the_thread, text, sizeof(text));
	for (int i = 0; i <= MANY; i++) {
		char want[32];

		snprintf(want, sizeof(want), "info: line %d\n", i);
		assert_memory_equal(at, want, strlen(want));
		at += strlen(want);
	}
	assert_int_equal(*at, '\0');
	rw_log_end(); /* harmless */
}

/* A pipe whose write end is standard error, full; its read end. */
static int stuck_begin(size_t *filled)
{
	static const char filler[] = "................................\n";
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	*filled = 0;
	for (ssize_t n; (n = write(fds[1], filler, sizeof(filler) - 1)) > 0;)
		*filled += (size_t)n;
	assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
	stderr_set(fds[1]);
	close(fds[1]);
	return fds[0];
}

/* Read `skip` bytes and then all that comes until the other end is closed. */
static void rest_read(int fd, size_t skip, char *out, size_t len)
{
	size_t have = 0;
	ssize_t n;

	while ((n = read(fd, out + have, len - 1 - have)) > 0) {
		size_t drop = RW_MIN(skip, (size_t)n);

		memmove(out + have, out + have + drop, (size_t)n - drop);
		have += (size_t)n - drop;
		skip -= drop;
	}
	out[have] = '\0';
	close(fd);
}

struct reader {
	int fd;
	size_t skip;
	char text[1 << 18];
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;

	rest_read(r->fd, r->skip, r->text, sizeof(r->text));
	return NULL;
}

/* Nobody reads standard error: whoever logs goes on, and later it is said what was lost. */
static void a_full_pipe_stops_nobody(void **state)
{
	static struct reader r;
	unsigned lines = 0, lost = 0;
	pthread_t thread;
	char *note;

	(void)state;
	r.fd = stuck_begin(&r.skip);
	assert_int_equal(rw_log_begin(), 0);
	for (int i = 0; i < 10 * RW_LOG_QUEUE; i++)
		rw_info("line %d", i);
	/* Without the thread the first of them would not have returned. */
	assert_int_equal(pthread_create(&thread, NULL, reader_run, &r), 0);
	rw_log_end();
	stderr_restore();
	pthread_join(thread, NULL);
	for (char *p = r.text; (p = strstr(p, "info: line ")); p++)
		lines++;
	note = strstr(r.text, NOTE_LOST);
	assert_non_null(note);
	while (note > r.text && note[-1] != '\n')
		note--;
	assert_int_equal(sscanf(note, "warning: %u", &lost), 1);
	assert_int_equal(lines + lost, 10 * RW_LOG_QUEUE);
	assert_true(lines >= RW_LOG_QUEUE);
}

/* In a child, as the thread is lost: it ends though standard error is stuck. */
static void the_end_does_not_wait_for_a_full_pipe(void **state)
{
	size_t filled;
	int fd = stuck_begin(&filled), status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		if (rw_log_begin())
			_exit(1);
		for (int i = 0; i < 10; i++)
			rw_info("line %d", i);
		rw_log_end();
		rw_info("lost, and it does not block either");
		_exit(7);
	}
	stderr_restore();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	close(fd);
}

#define LOGGERS 4
#define EACH    (RW_LOG_QUEUE / LOGGERS / 2)

static void *log_some(void *arg)
{
	for (int i = 0; i < EACH; i++)
		rw_info("from %d: %d", *(const int *)arg, i);
	return NULL;
}

static void log_from_many_threads(void)
{
	static int names[LOGGERS];
	pthread_t threads[LOGGERS];

	assert_int_equal(rw_log_begin(), 0);
	for (int i = 0; i < LOGGERS; i++) {
		names[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, log_some, &names[i]), 0);
	}
	for (int i = 0; i < LOGGERS; i++)
		pthread_join(threads[i], NULL);
	rw_log_end();
}

static void lines_of_many_threads_stay_whole_and_in_order(void **state)
{
	char text[65536], *save = NULL;
	int next[LOGGERS] = {0}, from, i;
	unsigned n = 0;

	(void)state;
	captured(log_from_many_threads, text, sizeof(text));
	for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		assert_int_equal(sscanf(p, "info: from %d: %d", &from, &i), 2);
		assert_in_range(from, 0, LOGGERS - 1);
		assert_int_equal(i, next[from]++);
		n++;
	}
	assert_int_equal(n, LOGGERS * EACH);
}

static void log_in_a_child(void)
{
	int status;
	pid_t pid;

	assert_int_equal(rw_log_begin(), 0);
	pid = fork();
	if (!pid) {
		rw_info("a child");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rw_log_end();
}

static void a_child_writes_its_lines_itself(void **state)
{
	char text[256];

	(void)state;
	captured(log_in_a_child, text, sizeof(text));
	assert_string_equal(text, "info: a child\n");
}

static void log_a_crash(void)
{
	static const char last[] = "error: the last line\n";

	assert_int_equal(rw_log_begin(), 0);
	rw_log_end();
	rw_log_crash(last, sizeof(last) - 1);
}

static void a_crash_has_a_last_line_and_waits_for_nothing(void **state)
{
	static const char last[] = "error: the last line\n";
	size_t filled;
	char text[256];
	int fd;

	(void)state;
	captured(log_a_crash, text, sizeof(text));
	assert_string_equal(text, last);
	fd = stuck_begin(&filled);
	rw_log_crash(last, sizeof(last) - 1);
	stderr_restore();
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_above_the_level_are_dropped),
		cmocka_unit_test(a_long_line_is_cut_and_still_ends),
		cmocka_unit_test(levels_have_names),
		cmocka_unit_test(a_flood_is_limited_to_a_burst),
		cmocka_unit_test(the_next_line_says_how_many_were_suppressed),
		cmocka_unit_test(a_peer_uses_up_its_own_lines_only),
		cmocka_unit_test(the_end_writes_what_waits_in_order),
		cmocka_unit_test(a_full_pipe_stops_nobody),
		cmocka_unit_test(the_end_does_not_wait_for_a_full_pipe),
		cmocka_unit_test(lines_of_many_threads_stay_whole_and_in_order),
		cmocka_unit_test(a_child_writes_its_lines_itself),
		cmocka_unit_test(a_crash_has_a_last_line_and_waits_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
