/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "rw_text.h"

struct table {
	const struct ctl_method *methods;
	size_t nmethods;
	void *ctx;
};

json_t *ctl_fail(struct ctl_failure *fail, int code, const char *fmt, ...)
{
	va_list ap;

	fail->code = code;
	va_start(ap, fmt);
	vsnprintf(fail->message, sizeof(fail->message), fmt, ap);
	va_end(ap);
	/* It may quote a client's bytes: keep it one line that JSON accepts. */
	rw_printable(fail->message);
	return NULL;
}

/* `id` is borrowed; NULL stands for one that could not be read. */
static json_t *error_response(const json_t *id, const struct ctl_failure *fail)
{
	return json_pack("{s:s, s:{s:i, s:s}, s:O}", "jsonrpc", "2.0", "error", "code", fail->code,
		"message", fail->message, "id", id ? id : json_null());
}

char *ctl_error_text(const struct ctl_failure *fail)
{
	json_t *response = error_response(NULL, fail);
	char *text = json_dumps(response, JSON_COMPACT);

	json_decref(response);
	return text;
}

static bool id_valid(const json_t *id)
{
	return !id || json_is_string(id) || json_is_number(id) || json_is_null(id);
}

/* Whether `req` is a Request object; `fail` says why not. */
static bool request_valid(const json_t *req, struct ctl_failure *fail)
{
	const json_t *version = json_object_get(req, "jsonrpc");
	const json_t *params = json_object_get(req, "params");
	const char *mistake = NULL;

	if (!json_is_object(req))
		mistake = "it must be an object";
	else if (!json_is_string(version) || strcmp(json_string_value(version), "2.0"))
		mistake = "\"jsonrpc\" must be \"2.0\"";
	else if (!json_is_string(json_object_get(req, "method")))
		mistake = "\"method\" must be a string";
	else if (params && !json_is_object(params) && !json_is_array(params))
		mistake = "\"params\" must be an object or an array";
	else if (!id_valid(json_object_get(req, "id")))
		mistake = "\"id\" must be a string, a number or null";
	if (mistake)
		ctl_fail(fail, CTL_ERR_REQUEST, "Invalid Request: %s", mistake);
	return !mistake;
}

static const struct ctl_method *method_find(const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->nmethods; i++) {
		if (!strcmp(t->methods[i].name, name))
			return &t->methods[i];
	}
	return NULL;
}

/* The result of the method that `req`, a valid request, names; or NULL with `fail` filled in. */
static json_t *method_call(const struct table *t, const json_t *req, struct ctl_failure *fail)
{
	const char *name = json_string_value(json_object_get(req, "method"));
	const struct ctl_method *method = method_find(t, name);
	json_t *result;

	if (!method)
		return ctl_fail(fail, CTL_ERR_METHOD, "Method not found: %s", name);
	result = method->fn(t->ctx, json_object_get(req, "params"), fail);
	if (!result && !fail->code)
		return ctl_fail(fail, CTL_ERR_INTERNAL, "Internal error: %s gave no result", name);
	if (!result)
		rw_printable(fail->message);
	return result;
}

/* The response to one Request object, or NULL when none is due. */
static json_t *request_answer(const struct table *t, const json_t *req)
{
	const json_t *id = json_object_get(req, "id");
	struct ctl_failure fail = {0};
	json_t *result;

	/* A request that is none is answered even without an id: it cannot be a notification. */
	if (!request_valid(req, &fail))
		return error_response(id_valid(id) ? id : NULL, &fail);
	result = method_call(t, req, &fail);
	if (!id) {
		json_decref(result);
		return NULL;
	}
	if (!result)
		return error_response(id, &fail);
	return json_pack("{s:s, s:o, s:O}", "jsonrpc", "2.0", "result", result, "id", id);
}

/* The response to a batch, or NULL when it held notifications only. */
static json_t *batch_answer(const struct table *t, const json_t *batch)
{
	size_t n = json_array_size(batch);
	json_t *responses, *response;
	struct ctl_failure fail;

	if (!n || n > CTL_BATCH_MAX) {
		ctl_fail(&fail, CTL_ERR_REQUEST, "Invalid Request: a batch holds 1 to %d requests",
			CTL_BATCH_MAX);
		return error_response(NULL, &fail);
	}
	responses = json_array();
	for (size_t i = 0; i < n; i++) {
		response = request_answer(t, json_array_get(batch, i));
		if (response)
			json_array_append_new(responses, response);
	}
	if (json_array_size(responses))
		return responses;
	json_decref(responses);
	return NULL;
}

char *ctl_answer(
	const struct ctl_method *methods, size_t nmethods, void *ctx, const char *text, size_t len)
{
	const struct table t = {methods, nmethods, ctx};
	json_t *request, *response;
	struct ctl_failure fail;
	json_error_t err;
	char *answer;

	/* A repeated member would let two readers of one request understand two things. */
	request = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &err);
	if (!request) {
		ctl_fail(
			&fail, CTL_ERR_PARSE, "Parse error at byte %d: %s", err.position, err.text);
		return ctl_error_text(&fail);
	}
	if (json_is_array(request))
		response = batch_answer(&t, request);
	else
		response = request_answer(&t, request);
	json_decref(request);
	if (!response)
		return NULL;
	answer = json_dumps(response, JSON_COMPACT);
	json_decref(response);
	return answer;
}
