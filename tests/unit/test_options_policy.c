/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy of a port on the command line of ringwayd: what is read, and how it is shown. */
#include "options_fixture.h"

/* What `--port b,...,WORDS` makes of the policy, as JSON. */
static void shows(const char *words, const char *want)
{
	char line[512], *text;
	json_t *policy;

	snprintf(line, sizeof(line), "--port b,socket=/tmp/b,%s", words);
	takes(line);
	policy = options_policy_json(&got.ports[0]);
	text = json_dumps(policy, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, want);
	json_decref(policy);
	free(text);
}

static void what_a_port_may_do_is_read_and_shown(void **state)
{
	static const char *const good[][2] = {
		{"description=x", "{}"},
		{"admin=down", "{\"admin\":\"down\"}"},
		{"isolated=on", "{\"isolated\":true}"},
		{"promiscuous=on,isolated=off,admin=up", "{\"promiscuous\":true}"},
	};

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(good); i++)
		shows(good[i][0], good[i][1]);
}

static void what_is_no_policy_is_refused(void **state)
{
	static const char *const bad[][2] = {
		{"admin=off", "admin is \"off\", but must be up or down"},
		{"isolated=yes", "isolated is \"yes\", but must be on or off"},
		{"promiscuous=", "promiscuous is \"\", but must be on or off"},
		{"isolated=on,promiscuous=on", "either isolated or promiscuous"},
	};
	char line[256];

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(bad); i++) {
		snprintf(line, sizeof(line), "--port b,socket=/tmp/b,%s", bad[i][0]);
		refuses(line, bad[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_port_may_do_is_read_and_shown),
		cmocka_unit_test(what_is_no_policy_is_refused),
	};

	return cmocka_run_group_tests_name("options_policy", tests, NULL, NULL);
}
