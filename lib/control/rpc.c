/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "rw_text.h"

#define LIST_HEAD "{\"jsonrpc\":\"2.0\",\"result\":["

json_t *ctl_fail(struct ctl_failure *fail, int code, const char *fmt, ...)
{
	va_list ap;

	fail->code = code;
	fail->at[0] = 0;
	va_start(ap, fmt);
	vsnprintf(fail->message, sizeof(fail->message), fmt, ap);
	va_end(ap);
	/* It may quote a client's bytes: keep it one line that JSON accepts. */
	rw_printable(fail->message);
	return NULL;
}

json_t *ctl_later(struct ctl_failure *fail)
{
	return ctl_fail(fail, CTL_LATER, "%s", "");
}

/* ---- text ---- */

static int text_add(struct buf *out, const char *text)
{
	return buf_add(out, text, strlen(text));
}

static int dumped(const char *data, size_t len, void *out)
{
	return buf_add(out, data, len);
}

/* Add `v`, which is freed. NULL: there was no memory for it. */
static int json_add(struct buf *out, json_t *v)
{
	int ret = v ? json_dump_callback(v, dumped, out, JSON_COMPACT | JSON_ENCODE_ANY) : -1;

	json_decref(v);
	return ret ? -ENOMEM : 0;
}

/* `id` is borrowed; NULL stands for one that could not be read. */
static json_t *error_response(const json_t *id, const struct ctl_failure *fail)
{
	json_t *at = fail->at[0] ? json_pack("{s:s}", "at", fail->at) : NULL;

	return json_pack("{s:s, s:{s:i, s:s, s:o*}, s:O}", "jsonrpc", "2.0", "error", "code",
		fail->code, "message", fail->message, "data", at, "id", id ? id : json_null());
}

int ctl_error_add(struct buf *out, const struct ctl_failure *fail)
{
	return json_add(out, error_response(NULL, fail));
}

/*
 * Whether no value of the text lies deeper than CTL_DEPTH_MAX: whoever reads JSON calls itself for
 * each level. What is no JSON is not this function's to find.
 */
static bool is_shallow(const char *text, size_t len)
{
	bool in_string = false;
	unsigned depth = 0;

	for (size_t i = 0; i < len; i++) {
		if (in_string) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				in_string = false;
		} else if (text[i] == '"') {
			in_string = true;
		} else if (text[i] == '[' || text[i] == '{') {
			if (++depth > CTL_DEPTH_MAX)
				return false;
		} else if ((text[i] == ']' || text[i] == '}') && depth) {
			depth--;
		}
	}
	return true;
}

/* ---- one request ---- */

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

static const struct ctl_method *method_find(const struct ctl_table *t, const char *name)
{
	for (size_t i = 0; i < t->nmethods; i++) {
		if (!strcmp(t->methods[i].name, name))
			return &t->methods[i];
	}
	return NULL;
}

/* The result of the method for `req`, a valid request; or NULL with `fail` filled in. */
static json_t *method_call(const struct ctl_table *t, const struct ctl_method *method,
	const json_t *req, struct ctl_failure *fail)
{
	json_t *result = method->fn(t->ctx, json_object_get(req, "params"), fail);

	if (!result && !fail->code)
		return ctl_fail(
			fail, CTL_ERR_INTERNAL, "Internal error: %s gave no result", method->name);
	if (!result) {
		rw_printable(fail->message);
		rw_printable(fail->at);
	}
	return result;
}

static const json_t *request_now(const struct ctl_answer *a)
{
	return a->batch ? json_array_get(a->request, a->at) : a->request;
}

/* What stands before a response. */
static int response_begin(struct ctl_answer *a, struct buf *out)
{
	const char *before = !a->batch ? "" : a->nonempty ? "," : "[";

	a->nonempty = true;
	return text_add(out, before);
}

static int response_add(struct ctl_answer *a, struct buf *out, json_t *response)
{
	int ret = response_begin(a, out);

	a->at++;
	if (ret)
		json_decref(response);
	return ret ? ret : json_add(out, response);
}

/* ---- lists ---- */

/* The next element; behind the last one the list ends. */
static int list_step(struct ctl_answer *a, struct buf *out)
{
	const json_t *req = request_now(a);
	json_t *id = json_object_get(req, "id"), *element;
	struct ctl_failure fail = {0};
	bool first = !a->in_list;
	int ret = 0;

	element = a->list->each(a->table->ctx, json_object_get(req, "params"), &a->cursor, &fail);
	if (first && fail.code) {
		a->list = NULL;
		rw_printable(fail.message);
		return response_add(a, out, error_response(id, &fail));
	}
	a->in_list = true;
	if (first)
		ret = response_begin(a, out) ? -ENOMEM : text_add(out, LIST_HEAD);
	else if (element)
		ret = text_add(out, ",");
	if (element) {
		if (!ret)
			return json_add(out, element);
		json_decref(element);
		return ret;
	}
	a->list = NULL;
	a->in_list = false;
	a->at++;
	if (ret || text_add(out, "],\"id\":") || json_add(out, json_incref(id)))
		return -ENOMEM;
	return text_add(out, "}");
}

/* ---- steps ---- */

/* The answer to a request that was not carried out; a notification has none. */
static int refused_add(
	struct ctl_answer *a, struct buf *out, const json_t *id, const struct ctl_failure *fail)
{
	if (id)
		return response_add(a, out, error_response(id, fail));
	a->at++;
	return 0;
}

static int request_step(struct ctl_answer *a, struct buf *out)
{
	const json_t *req = request_now(a), *id = json_object_get(req, "id");
	const struct ctl_method *method;
	struct ctl_failure fail = {0};
	json_t *result;

	/* A request that is none is answered even without an id: it cannot be a notification. */
	if (!request_valid(req, &fail))
		return response_add(a, out, error_response(id_valid(id) ? id : NULL, &fail));
	method = method_find(a->table, json_string_value(json_object_get(req, "method")));
	if (method && !ctl_params_check(method, json_object_get(req, "params"), &fail))
		return refused_add(a, out, id, &fail);
	if (method && method->each && id) {
		a->list = method;
		a->cursor = 0;
		return list_step(a, out);
	}
	if (method && method->fn)
		result = method_call(a->table, method, req, &fail);
	else if (method)
		result = NULL; /* a list that nobody wants */
	else
		result = ctl_fail(&fail, CTL_ERR_METHOD, "Method not found: %s",
			json_string_value(json_object_get(req, "method")));
	a->waits = !result && fail.code == CTL_LATER ? method : NULL;
	if (a->waits)
		return 0;
	if (!id || !result) {
		json_decref(result);
		return refused_add(a, out, id, &fail);
	}
	return response_add(
		a, out, json_pack("{s:s, s:o, s:O}", "jsonrpc", "2.0", "result", result, "id", id));
}

int ctl_answer_begin(struct ctl_answer *a, const struct ctl_table *table, const char *text,
	size_t len, struct buf *out)
{
	struct ctl_failure fail;
	json_error_t err;

	*a = (struct ctl_answer){.table = table, .n = 1};
	if (!is_shallow(text, len)) {
		ctl_fail(&fail, CTL_ERR_PARSE, "Parse error: deeper than %u levels", CTL_DEPTH_MAX);
		goto refuse;
	}
	/* A repeated member would let two readers of one request understand two things. */
	a->request = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &err);
	if (!a->request) {
		ctl_fail(
			&fail, CTL_ERR_PARSE, "Parse error at byte %d: %s", err.position, err.text);
		goto refuse;
	}
	a->batch = json_is_array(a->request);
	if (!a->batch)
		return 0;
	a->n = json_array_size(a->request);
	if (a->n && a->n <= CTL_BATCH_MAX)
		return 0;
	ctl_fail(&fail, CTL_ERR_REQUEST, "Invalid Request: a batch holds 1 to %d requests",
		CTL_BATCH_MAX);
refuse:
	ctl_answer_end(a);
	a->nonempty = true;
	return ctl_error_add(out, &fail);
}

int ctl_answer_step(struct ctl_answer *a, struct buf *out)
{
	int ret;

	if (!a->request)
		return 0;
	ret = a->list ? list_step(a, out) : request_step(a, out);
	if (ret || a->at < a->n)
		return ret;
	ctl_answer_end(a);
	return a->batch && a->nonempty ? text_add(out, "]") : 0;
}

void ctl_answer_end(struct ctl_answer *a)
{
	if (a->waits && a->waits->gone)
		a->waits->gone(a->table->ctx, json_object_get(request_now(a), "params"));
	a->waits = NULL;
	json_decref(a->request);
	a->request = NULL;
	a->list = NULL;
}

char *ctl_answer(
	const struct ctl_method *methods, size_t nmethods, void *ctx, const char *text, size_t len)
{
	const struct ctl_table table = {methods, nmethods, ctx};
	struct buf out = {0};
	struct ctl_answer a;
	int ret = ctl_answer_begin(&a, &table, text, len, &out);

	while (!ret && !a.waits && ctl_answer_goes_on(&a))
		ret = ctl_answer_step(&a, &out);
	ret = a.waits ? -EAGAIN : ret;
	ctl_answer_end(&a);
	if (!ret && a.nonempty)
		ret = buf_add(&out, "", 1);
	else
		ret = -1;
	if (ret) {
		free(out.data);
		return NULL;
	}
	return out.data; /* nothing was consumed: it begins there */
}
