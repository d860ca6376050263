/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines that a client of the control socket sends: JSON-RPC, with a table of methods that look at
 * their parameters as those of the switch do; and documents, which are read as configurations.
 */
#include "control.h"
#include "document.h"
#include "rw_text.h"
#include "text.h"

static json_t *method_echo(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	(void)ctx, (void)fail;
	return params ? json_deep_copy(params) : json_null();
}

static json_t *method_mac(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const char *text = json_string_value(json_object_get(params, "mac"));
	char back[RW_MAC_TEXT];
	uint8_t mac[RW_MAC_LEN], again[RW_MAC_LEN];

	(void)ctx;
	if (!text || !rw_mac_parse(text, mac))
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"mac\" must not be %s", text ? text : "");
	fuzz_check(rw_mac_parse(rw_mac_text(mac, back), again) && !memcmp(mac, again, sizeof(mac)));
	return json_string(back);
}

static json_t *method_fail(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const char *text = json_string_value(json_object_get(params, "why"));

	(void)ctx;
	return ctl_fail(fail, CTL_ERR_FAILED, "%s", text ? text : "no reason");
}

static const struct ctl_method methods[] = {{.name = "echo", .fn = method_echo},
	{.name = "mac", .fn = method_mac}, {.name = "fail", .fn = method_fail}};

/* An answer is JSON, on one line. */
static void check_answer(const char *answer)
{
	json_t *read = json_loads(answer, JSON_DECODE_ANY, NULL);

	fuzz_check(read && !strchr(answer, '\n'));
	fuzz_check(json_is_object(read) ? json_object_get(read, "id") : json_array_get(read, 0));
	json_decref(read);
}

static void document_read(const char *text, size_t len)
{
	static const char *const paths[] = {"", "ports", "ports/vm1/trunk/0", "a/b", "0", "///"};
	char err[300] = "";
	struct doc *doc = doc_parse("fuzz", text, len, err, sizeof(err));

	if (!doc) {
		check_line(err, sizeof(err));
		return;
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(paths); i++) {
		struct doc_position at = doc_where(doc, paths[i]);

		fuzz_check(at.line && at.column);
	}
	fuzz_check(doc_root(doc));
	doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end;
	char *answer;
	size_t len;

	if (size && text[0] == '%') {
		document_read(text + 1, size - 1);
		return 0;
	}
	for (unsigned lines = 0; size && lines < 64; lines++) {
		end = memchr(text, '\n', size);
		len = end ? (size_t)(end - text) : size;
		answer = ctl_answer(methods, RW_ARRAY_SIZE(methods), NULL, text, len);
		if (answer)
			check_answer(answer);
		free(answer);
		text += RW_MIN(len + 1, size);
		size -= RW_MIN(len + 1, size);
	}
	return 0;
}
