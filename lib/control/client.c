/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "rw_sock.h"

#define CALL_ID    1 /* one call at a time on a connection */
#define FIRST_READ 4096

/* One call under way. */
struct call {
	int fd;
	int pass; /* a descriptor that goes with the first bytes; -1: none */
	uint64_t deadline_ms;
	struct ctl_failure *fail;
};

/* Wait until `fd` is ready for `events` or broken, which the next transfer will tell. */
static bool call_wait(const struct call *call, short events)
{
	struct pollfd pfd = {.fd = call->fd, .events = events};
	uint64_t now;
	int n;

	do {
		now = rw_now_ms();
		if (now >= call->deadline_ms) {
			ctl_fail(call->fail, CTL_ERR_INTERNAL, "no answer in time");
			return false;
		}
		n = poll(&pfd, 1, (int)(call->deadline_ms - now));
		if (n < 0 && errno != EINTR) {
			ctl_fail(call->fail, CTL_ERR_INTERNAL, "poll: %s", strerror(errno));
			return false;
		}
	} while (n <= 0);
	return true;
}

/* As send(); the descriptor goes with the bytes. */
static ssize_t send_passing(int fd, int pass, const char *data, size_t len)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
			     .cmsg_level = SOL_SOCKET,
			     .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (pass >= 0) {
		memcpy(CMSG_DATA(&control.head), &pass, sizeof(pass));
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
	}
	return sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/*
 * A server that refuses a client answers and closes without reading: a failed send is no error
 * yet, the answer may be there.
 */
static bool call_send(const struct call *call, const char *data, size_t len)
{
	int pass = call->pass;

	while (len) {
		ssize_t n = send_passing(call->fd, pass, data, len);

		if (n >= 0) {
			pass = -1;
			data += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if (!call_wait(call, POLLOUT))
				return false;
		} else if (errno != EINTR) {
			return true;
		}
	}
	return true;
}

/* The next line, without its newline, as a new string; or NULL. */
static char *call_receive(const struct call *call, size_t *len)
{
	size_t cap = FIRST_READ, have = 0;
	char *line = NULL, *end = NULL, *bigger;
	ssize_t n;

	while (!end) {
		if (!line || have == cap) {
			cap = line ? cap * 2 : cap;
			bigger = cap <= CTL_OUTPUT_MAX ? realloc(line, cap) : NULL;
			if (!bigger) {
				ctl_fail(call->fail, CTL_ERR_INTERNAL, "the answer is too large");
				goto fail;
			}
			line = bigger;
		}
		if (!call_wait(call, POLLIN))
			goto fail;
		n = recv(call->fd, line + have, cap - have, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0) {
			ctl_fail(call->fail, CTL_ERR_INTERNAL, "the connection was closed: %s",
				n ? strerror(errno) : "end of stream");
			goto fail;
		}
		end = memchr(line + have, '\n', (size_t)n);
		have += (size_t)n;
	}
	*len = (size_t)(end - line);
	return line;

fail:
	free(line);
	return NULL;
}

/* The result in a response, as a new reference; or NULL with `fail` filled in. */
static json_t *response_result(const json_t *response, struct ctl_failure *fail)
{
	json_t *id = json_object_get(response, "id"), *result, *error, *code, *message;
	const char *at;

	result = json_object_get(response, "result");
	if (result && json_is_integer(id) && json_integer_value(id) == CALL_ID)
		return json_incref(result);
	error = json_object_get(response, "error");
	code = json_object_get(error, "code");
	message = json_object_get(error, "message");
	if (!json_is_integer(code) || !json_is_string(message))
		return ctl_fail(fail, CTL_ERR_INTERNAL, "the answer is no JSON-RPC 2.0 response");
	/* Whatever its code, an error is none of "no error" (0). */
	ctl_fail(fail,
		(int)json_integer_value(code) ? (int)json_integer_value(code) : CTL_ERR_FAILED,
		"%s", json_string_value(message));
	at = json_string_value(json_object_get(json_object_get(error, "data"), "at"));
	snprintf(fail->at, sizeof(fail->at), "%s", at ? at : "");
	return NULL;
}

json_t *ctl_call(
	int fd, const char *method, const json_t *params, int timeout_ms, struct ctl_failure *fail)
{
	return ctl_call_passing(fd, -1, method, params, timeout_ms, fail);
}

json_t *ctl_call_passing(int fd, int pass, const char *method, const json_t *params, int timeout_ms,
	struct ctl_failure *fail)
{
	const struct call call = {fd, pass, rw_now_ms() + (uint64_t)RW_MAX(timeout_ms, 0), fail};
	json_t *request, *response, *result = NULL;
	char *text, *line = NULL;
	json_error_t err;
	size_t len;

	*fail = (struct ctl_failure){0};
	request = json_pack("{s:s, s:s, s:O*, s:i}", "jsonrpc", "2.0", "method", method, "params",
		params, "id", CALL_ID);
	text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!text)
		return ctl_fail(fail, CTL_ERR_INTERNAL, "cannot build the request");
	len = strlen(text);
	text[len++] = '\n'; /* in place of the terminating zero */
	if (call_send(&call, text, len))
		line = call_receive(&call, &len);
	free(text);
	if (!line)
		return NULL;
	response = json_loadb(line, len, 0, &err);
	free(line);
	if (!response)
		return ctl_fail(fail, CTL_ERR_INTERNAL, "the answer is no JSON: %s", err.text);
	result = response_result(response, fail);
	json_decref(response);
	return result;
}

int ctl_default_path(char *path, size_t len)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	int n;

	if (!geteuid())
		n = snprintf(path, len, "/run/ringway.sock");
	else if (dir && dir[0] == '/')
		n = snprintf(path, len, "%s/ringway.sock", dir);
	else
		n = snprintf(path, len, "/tmp/ringway-%u.sock", (unsigned)geteuid());
	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}
