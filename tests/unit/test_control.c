/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket without its server: the rules of JSON-RPC 2.0 on ctl_answer (the examples of
 * the specification among them), and the client's side against scripted answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"

/* A program that subtracts; `calls` counts. */
struct subject {
	unsigned calls;
};

static json_t *subtract(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	json_int_t a, b;

	((struct subject *)ctx)->calls++;
	if (json_unpack((json_t *)params, "[I, I]", &a, &b) &&
		json_unpack((json_t *)params, "{s:I, s:I}", "minuend", &a, "subtrahend", &b))
		return ctl_fail(fail, CTL_ERR_PARAMS, "Invalid params: two numbers are wanted");
	return json_integer(a - b);
}

static json_t *has_params(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	(void)ctx;
	(void)fail;
	return json_boolean(params);
}

static json_t *refuse(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	(void)ctx;
	(void)params;
	return ctl_fail(fail, CTL_ERR_FAILED, "no port \"%s\"\n\xff", "vm1");
}

/* It names the parameter. */
static json_t *refuse_at(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	(void)ctx;
	(void)params;
	ctl_fail(fail, CTL_ERR_PARAMS, "no");
	strcpy(fail->at, "ports/\x01\xff");
	return NULL;
}

static json_t *forget(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	(void)ctx;
	(void)params;
	(void)fail;
	return NULL;
}

/* "params": how many elements. */
static json_t *count(void *ctx, const json_t *params, size_t *cursor, struct ctl_failure *fail)
{
	size_t n = (size_t)json_integer_value(json_array_get(params, 0));

	((struct subject *)ctx)->calls++;
	if (!params)
		return ctl_fail(fail, CTL_ERR_PARAMS, "how many?");
	return *cursor < n ? json_integer((json_int_t)(*cursor)++) : NULL;
}

static const struct ctl_method methods[] = {
	{.name = "subtract", .fn = subtract},
	{.name = "has_params", .fn = has_params},
	{.name = "refuse", .fn = refuse},
	{.name = "refuse_at", .fn = refuse_at},
	{.name = "forget", .fn = forget},
	{.name = "count", .each = count},
};

/* The answer to `text` is the JSON `expected` (NULL: none is due). */
static void expect(const char *text, const char *expected)
{
	struct subject subject = {0};
	char *answer = ctl_answer(methods, RW_ARRAY_SIZE(methods), &subject, text, strlen(text));
	json_t *got, *want;

	if (!expected) {
		assert_null(answer);
		return;
	}
	assert_non_null(answer);
	assert_null(strchr(answer, '\n'));
	got = json_loads(answer, 0, NULL);
	want = json_loads(expected, 0, NULL);
	assert_non_null(want);
	if (!json_equal(got, want))
		fail_msg("%s\n  gave  %s\n  not   %s", text, answer, expected);
	json_decref(got);
	json_decref(want);
	free(answer);
}

/* The answer to `text` is an error of `code`, for the JSON `id`; its message is free. */
static void expect_error(const char *text, int code, const char *id)
{
	struct subject subject = {0};
	char *answer = ctl_answer(methods, RW_ARRAY_SIZE(methods), &subject, text, strlen(text));
	json_t *got, *want_id = json_loads(id, JSON_DECODE_ANY, NULL);
	const char *message, *version;
	json_t *got_id;
	int got_code;

	assert_non_null(answer);
	got = json_loads(answer, 0, NULL);
	if (json_unpack_ex(got, NULL, JSON_STRICT, "{s:s, s:{s:i, s:s}, s:o}", "jsonrpc", &version,
		    "error", "code", &got_code, "message", &message, "id", &got_id))
		fail_msg("%s\n  gave no error: %s", text, answer);
	assert_string_equal(version, "2.0");
	assert_true(*message);
	if (got_code != code || !json_equal(got_id, want_id))
		fail_msg("%s\n  gave %s", text, answer);
	assert_int_equal(subject.calls, 0);
	json_decref(got);
	json_decref(want_id);
	free(answer);
}

static void a_call_is_answered_with_its_result_and_id(void **state)
{
	(void)state;
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[42,23],\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"result\":19,\"id\":1}");
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"subtract\","
	       "\"params\":{\"subtrahend\":23,\"minuend\":42},\"id\":3}",
		"{\"jsonrpc\":\"2.0\",\"result\":19,\"id\":3}");
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"has_params\",\"id\":4}",
		"{\"jsonrpc\":\"2.0\",\"result\":false,\"id\":4}");
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"has_params\",\"params\":[],\"id\":4}",
		"{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":4}");
}

#define COUNT(n, id) "{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"params\":[" #n "],\"id\":" #id "}"

static void a_list_is_made_element_by_element(void **state)
{
	(void)state;
	expect(COUNT(0, 1), "{\"jsonrpc\":\"2.0\",\"result\":[],\"id\":1}");
	expect(COUNT(1, null), "{\"jsonrpc\":\"2.0\",\"result\":[0],\"id\":null}");
	expect(COUNT(3, "a"), "{\"jsonrpc\":\"2.0\",\"result\":[0,1,2],\"id\":\"a\"}");
	expect("[" COUNT(2, 1) "," COUNT(0, 2) "," COUNT(1, 3) "]",
		"[{\"jsonrpc\":\"2.0\",\"result\":[0,1],\"id\":1},"
		"{\"jsonrpc\":\"2.0\",\"result\":[],\"id\":2},"
		"{\"jsonrpc\":\"2.0\",\"result\":[0],\"id\":3}]");
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"params\":[3]}", NULL);
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"count\",\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"how many?\"},"
		"\"id\":1}");
}

static void a_text_of_great_depth_is_refused(void **state)
{
	char text[2 * CTL_DEPTH_MAX + 128];
	size_t len;

	(void)state;
	for (unsigned depth = CTL_DEPTH_MAX; depth <= CTL_DEPTH_MAX + 1; depth++) {
		len = (size_t)sprintf(text,
			"{\"jsonrpc\":\"2.0\",\"method\":\"has_params\","
			"\"id\":\"[[\\\"{{\",\"params\":");
		/* The object around it is the first level. */
		memset(text + len, '[', depth - 1);
		memset(text + len + depth - 1, ']', depth - 1);
		strcpy(text + len + 2 * (depth - 1), "}");
		if (depth == CTL_DEPTH_MAX)
			expect(text, "{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":\"[[\\\"{{\"}");
		else
			expect_error(text, CTL_ERR_PARSE, "null");
	}
}

static void strings_numbers_and_null_are_ids(void **state)
{
	static const char *const ids[] = {
		"\"a\"", "\"\"", "0", "-7", "1.5", "9007199254740993", "null"};
	char text[128], want[128];

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(ids); i++) {
		snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[2,1],\"id\":%s}",
			ids[i]);
		snprintf(
			want, sizeof(want), "{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":%s}", ids[i]);
		expect(text, want);
	}
}

static void other_ids_are_invalid(void **state)
{
	static const char *const ids[] = {"true", "false", "[]", "[1]", "{}"};
	char text[128];

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(ids); i++) {
		snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[2,1],\"id\":%s}",
			ids[i]);
		expect_error(text, CTL_ERR_REQUEST, "null");
	}
}

static void a_notification_is_carried_out_and_never_answered(void **state)
{
	const char *text = "{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[2,1]}";
	struct subject subject = {0};

	(void)state;
	assert_null(ctl_answer(methods, RW_ARRAY_SIZE(methods), &subject, text, strlen(text)));
	assert_int_equal(subject.calls, 1);
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[\"x\"]}", NULL);
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"foobar\"}", NULL);
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"forget\"}", NULL);
}

static void what_is_no_json_is_a_parse_error(void **state)
{
	char deep[4096];

	(void)state;
	expect_error("{\"jsonrpc\": \"2.0\", \"method\": \"foobar, \"params\": \"bar\", \"baz]",
		CTL_ERR_PARSE, "null");
	expect_error("[{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[2,1],\"id\":\"1\"},"
		     "{\"jsonrpc\":\"2.0\",\"method\"]",
		CTL_ERR_PARSE, "null");
	expect_error("", CTL_ERR_PARSE, "null");
	expect_error("{} {}", CTL_ERR_PARSE, "null");
	expect_error("\"\xff\xfe\"", CTL_ERR_PARSE, "null");
	expect_error("{\"id\":99999999999999999999}", CTL_ERR_PARSE, "null");
	expect_error("{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"method\":\"refuse\",\"id\":1}",
		CTL_ERR_PARSE, "null");
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = 0;
	expect_error(deep, CTL_ERR_PARSE, "null");
}

static void what_is_no_request_object_is_an_invalid_request(void **state)
{
	(void)state;
	expect_error(
		"{\"jsonrpc\":\"2.0\",\"method\":1,\"params\":\"bar\"}", CTL_ERR_REQUEST, "null");
	expect_error("1", CTL_ERR_REQUEST, "null");
	expect_error("\"subtract\"", CTL_ERR_REQUEST, "null");
	expect_error("null", CTL_ERR_REQUEST, "null");
	expect_error("{}", CTL_ERR_REQUEST, "null");
	expect_error("{\"method\":\"subtract\",\"id\":5}", CTL_ERR_REQUEST, "5");
	expect_error(
		"{\"jsonrpc\":\"1.0\",\"method\":\"subtract\",\"id\":5}", CTL_ERR_REQUEST, "5");
	expect_error("{\"jsonrpc\":2.0,\"method\":\"subtract\",\"id\":5}", CTL_ERR_REQUEST, "5");
	expect_error("{\"jsonrpc\":\"2.0\",\"id\":\"x\"}", CTL_ERR_REQUEST, "\"x\"");
	expect_error("{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":\"42,23\",\"id\":5}",
		CTL_ERR_REQUEST, "5");
	expect_error("{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":null,\"id\":5}",
		CTL_ERR_REQUEST, "5");
}

static void an_unknown_method_is_named(void **state)
{
	(void)state;
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"foo\\u00fc\\nbar\",\"id\":\"1\"}",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32601,"
		"\"message\":\"Method not found: foo???bar\"},\"id\":\"1\"}");
}

static void a_methods_failure_is_an_error_with_its_code_and_message(void **state)
{
	(void)state;
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[1],\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,"
		"\"message\":\"Invalid params: two numbers are wanted\"},\"id\":1}");
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"refuse\",\"id\":null}",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,"
		"\"message\":\"no port \\\"vm1\\\"??\"},\"id\":null}");
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"refuse_at\",\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"no\","
		"\"data\":{\"at\":\"ports/??\"}},\"id\":1}");
	expect("{\"jsonrpc\":\"2.0\",\"method\":\"forget\",\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,"
		"\"message\":\"Internal error: forget gave no result\"},\"id\":1}");
}

static void a_batch_is_answered_by_one_array_without_its_notifications(void **state)
{
	(void)state;
	expect("[{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[4,1],\"id\":\"1\"},"
	       "{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[7,1]},"
	       "{\"jsonrpc\":\"2.0\",\"method\":\"forget\",\"id\":\"5\"},"
	       "{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[42,23],\"id\":\"2\"}]",
		"[{\"jsonrpc\":\"2.0\",\"result\":3,\"id\":\"1\"},"
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,"
		"\"message\":\"Internal error: forget gave no result\"},\"id\":\"5\"},"
		"{\"jsonrpc\":\"2.0\",\"result\":19,\"id\":\"2\"}]");
}

static void a_batch_of_notifications_is_not_answered(void **state)
{
	(void)state;
	expect("[{\"jsonrpc\":\"2.0\",\"method\":\"subtract\",\"params\":[1,2]},"
	       "{\"jsonrpc\":\"2.0\",\"method\":\"foobar\",\"params\":[7]}]",
		NULL);
}

static void each_invalid_member_of_a_batch_has_its_error(void **state)
{
	const char *error = "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,"
			    "\"message\":\"Invalid Request: it must be an object\"},\"id\":null}";
	char want[512];

	(void)state;
	snprintf(want, sizeof(want), "[%s]", error);
	expect("[1]", want);
	snprintf(want, sizeof(want), "[%s,%s,%s]", error, error, error);
	expect("[1,\"2\",[]]", want);
}

static void an_empty_batch_and_an_endless_one_are_refused_as_a_whole(void **state)
{
	char text[2 * (CTL_BATCH_MAX + 1) + 2];
	char *p = text;

	(void)state;
	expect_error("[]", CTL_ERR_REQUEST, "null");
	for (int i = 0; i <= CTL_BATCH_MAX; i++) {
		*p++ = i ? ',' : '[';
		*p++ = '1';
	}
	strcpy(p, "]");
	expect_error(text, CTL_ERR_REQUEST, "null");
}

/* A connection whose other end has `answer` ready. */
static int scripted(const char *answer, int *peer)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(send(fds[1], answer, strlen(answer), 0), strlen(answer));
	*peer = fds[1];
	return fds[0];
}

/* What ctl_call makes of `answer` is a failure of `code`. */
static void expect_failure(const char *answer, bool close_peer, int code, const char *message)
{
	struct ctl_failure fail;
	int peer, fd = scripted(answer, &peer);

	if (close_peer)
		close(peer);
	assert_null(ctl_call(fd, "subtract", NULL, 20, &fail));
	assert_int_equal(fail.code, code);
	assert_non_null(strstr(fail.message, message));
	close(fd);
	if (!close_peer)
		close(peer);
}

static void a_call_without_a_sound_answer_fails_and_says_why(void **state)
{
	(void)state;
	expect_failure("", false, CTL_ERR_INTERNAL, "no answer in time");
	expect_failure("{\"jsonrpc\":\"2.0\",", false, CTL_ERR_INTERNAL, "no answer in time");
	expect_failure("", true, CTL_ERR_INTERNAL, "closed");
	expect_failure("{\"jsonrpc\"", true, CTL_ERR_INTERNAL, "closed");
	expect_failure("nonsense\n", false, CTL_ERR_INTERNAL, "no JSON");
	expect_failure("{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":99}\n", false, CTL_ERR_INTERNAL,
		"no JSON-RPC");
	expect_failure("[]\n", false, CTL_ERR_INTERNAL, "no JSON-RPC");
	expect_failure(
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"no\\u001b!\"},"
		"\"id\":1}\n",
		false, CTL_ERR_FAILED, "no?!");
	expect_failure(
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":0,\"message\":\"zero\"},\"id\":1}\n",
		true, CTL_ERR_FAILED, "zero");
}

static void a_call_to_a_server_that_never_reads_ends_in_time(void **state)
{
	json_t *params = json_array();
	struct ctl_failure fail;
	char *text = malloc(4u << 20);
	int peer, fd = scripted("", &peer);

	(void)state;
	memset(text, 'x', 4u << 20);
	json_array_append_new(params, json_stringn(text, 4u << 20));
	assert_null(ctl_call(fd, "subtract", params, 20, &fail));
	assert_int_equal(fail.code, CTL_ERR_INTERNAL);
	json_decref(params);
	free(text);
	close(fd);
	close(peer);
}

static void the_default_path_is_the_users_own(void **state)
{
	char path[256], want[256];

	(void)state;
	assert_int_equal(setenv("XDG_RUNTIME_DIR", "/run/user/7", 1), 0);
	assert_int_equal(ctl_default_path(path, sizeof(path)), 0);
	assert_string_equal(path, geteuid() ? "/run/user/7/ringway.sock" : "/run/ringway.sock");
	assert_int_equal(ctl_default_path(path, 8), -ENAMETOOLONG);
	unsetenv("XDG_RUNTIME_DIR");
	snprintf(want, sizeof(want), "/tmp/ringway-%u.sock", (unsigned)geteuid());
	assert_int_equal(ctl_default_path(path, sizeof(path)), 0);
	assert_string_equal(path, geteuid() ? want : "/run/ringway.sock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_is_answered_with_its_result_and_id),
		cmocka_unit_test(a_list_is_made_element_by_element),
		cmocka_unit_test(a_text_of_great_depth_is_refused),
		cmocka_unit_test(strings_numbers_and_null_are_ids),
		cmocka_unit_test(other_ids_are_invalid),
		cmocka_unit_test(a_notification_is_carried_out_and_never_answered),
		cmocka_unit_test(what_is_no_json_is_a_parse_error),
		cmocka_unit_test(what_is_no_request_object_is_an_invalid_request),
		cmocka_unit_test(an_unknown_method_is_named),
		cmocka_unit_test(a_methods_failure_is_an_error_with_its_code_and_message),
		cmocka_unit_test(a_batch_is_answered_by_one_array_without_its_notifications),
		cmocka_unit_test(a_batch_of_notifications_is_not_answered),
		cmocka_unit_test(each_invalid_member_of_a_batch_has_its_error),
		cmocka_unit_test(an_empty_batch_and_an_endless_one_are_refused_as_a_whole),
		cmocka_unit_test(a_call_without_a_sound_answer_fails_and_says_why),
		cmocka_unit_test(a_call_to_a_server_that_never_reads_ends_in_time),
		cmocka_unit_test(the_default_path_is_the_users_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
