/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy of a port on the command line of ringwayd: what is read, and how it is shown. */
#include "options_fixture.h"

/* A value of a document as `set` takes it. */
static void value_add(char *line, size_t len, const json_t *value)
{
	size_t at = strlen(line), i;
	json_t *item;

	if (json_is_boolean(value))
		snprintf(line + at, len - at, "%s", json_is_true(value) ? "on" : "off");
	else if (json_is_integer(value))
		snprintf(line + at, len - at, "%d", (int)json_integer_value(value));
	else if (json_is_string(value))
		snprintf(line + at, len - at, "%s", json_string_value(value));
	json_array_foreach(value, i, item)
	{
		value_add(line, len, item);
		if (i + 1 < json_array_size(value))
			strcat(line, "+");
	}
}

/* What is shown makes the same policy again. */
static void is_reproduced(json_t *policy)
{
	char line[512] = "--port b,socket=/tmp/b";
	const char *key;
	json_t *value, *again;

	json_object_foreach(policy, key, value)
	{
		snprintf(line + strlen(line), sizeof(line) - strlen(line), ",%s=", key);
		value_add(line, sizeof(line), value);
	}
	takes(line);
	again = options_policy_json(&got.ports[0]);
	assert_true(json_equal(policy, again));
	json_decref(again);
}

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
	is_reproduced(policy);
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
		{"macs=52:54:00:00:00:01+02:00:00:00:00:0A",
			"{\"macs\":[\"52:54:00:00:00:01\",\"02:00:00:00:00:0a\"]}"},
		{"macs=none,addresses=none,dhcp-server=on,router=on", "{}"},
		{"addresses=10.0.0.5+fd00::/64+0.0.0.0/0+fe80:0::1",
			"{\"addresses\":[\"10.0.0.5\",\"fd00::/64\",\"0.0.0.0/0\",\"fe80::1\"]}"},
		{"storm-broadcast=1000fps", "{\"storm-broadcast\":\"1000fps\"}"},
		{"storm-multicast=64Kbit", "{\"storm-multicast\":\"64Kbit\"}"},
		{"storm-unknown=1000000000fps", "{\"storm-unknown\":\"1000000000fps\"}"},
		{"rate-rx=1500Mbit", "{\"rate-rx\":\"1500Mbit\"}"},
		{"rate-tx=1000Gbit", "{\"rate-tx\":\"1000Gbit\"}"},
		{"rate-rx=2000Mbit", "{\"rate-rx\":\"2Gbit\"}"},
		{"burst-rx=128K,burst-tx=65553", "{\"burst-rx\":131072,\"burst-tx\":65553}"},
		{"rate-rx=none,storm-unknown=none,burst-rx=none,mtu=none,learning=on", "{}"},
		{"mtu=1500", "{\"mtu\":1500}"},
		{"learning=off", "{\"learning\":false}"},
		{"mrouter=on", "{\"mrouter\":\"on\"}"},
		{"mrouter=off", "{\"mrouter\":\"off\"}"},
		{"mrouter=auto,excess-addresses=forget", "{}"},
		{"max-addresses=4,mrouter=on", "{\"mrouter\":\"on\"}"},
		{"link-local=stp+14+5+lldp", "{\"link-local\":[\"stp\",\"5\",\"lldp\"]}"},
		{"link-local=none", "{}"},
		{"offload=-tso", "{\"offload\":[\"-tso4\",\"-tso6\"]}"},
		{"offload=none+csum+uso4",
			"{\"offload\":[\"-tso4\",\"-tso6\",\"-ecn\",\"-uso6\"]}"},
		{"offload=-csum+-tso4+-tso6+-ecn+-uso+tso+ecn+uso+csum", "{}"},
		{"offload=all", "{}"},
		{"dhcp-server=off,router=off", "{\"dhcp-server\":false,\"router\":false}"},
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
		{"macs=", "macs is \"\", but must be up to 16 MAC addresses of hosts"},
		{"macs=52:54:00:00:00", "macs is"},
		{"macs=01:54:00:00:00:01", "macs is"},
		{"macs=00:00:00:00:00:00", "macs is"},
		{"macs=02:00:00:00:00:01+", "macs is"},
		{"addresses=", "addresses is \"\", but must be up to 32 IP addresses or prefixes"},
		{"addresses=10.0.0.5/24", "addresses is"},
		{"addresses=10.0.0.0/33", "addresses is"},
		{"addresses=fd00::/129", "addresses is"},
		{"addresses=10.0.0", "addresses is"},
		{"addresses=/8", "addresses is"},
		{"addresses=fd00::1+vm1", "addresses is"},
		{"storm-broadcast=1000",
			"storm-broadcast is \"1000\", but must be bits in a second"},
		{"storm-broadcast=1000", "or frames, 1000fps, or none"},
		{"storm-broadcast=0fps", "storm-broadcast is"},
		{"storm-broadcast=1000000001fps", "storm-broadcast is"},
		{"storm-multicast=-1Mbit", "storm-multicast is"},
		{"storm-unknown=10mbit", "storm-unknown is"},
		{"rate-rx=1000fps", "1Gbit, or none"},
		{"rate-tx=1001Gbit", "rate-tx is"},
		{"rate-tx=99999999999999999999Gbit", "rate-tx is"},
		{"burst-rx=65552", "burst-rx is \"65552\", but must be bytes, at least 65553"},
		{"burst-tx=64K", "burst-tx is"},
		{"burst-tx=1G", "burst-tx is"},
		{"burst-tx=", "burst-tx is"},
		{"mtu=67", "mtu is \"67\", but must be bytes from 68 to 65535"},
		{"mtu=65536", "mtu is"},
		{"link-local=16", "link-local is"},
		{"offload=", "offload is \"\", but must be csum, tso"},
		{"offload=-none", "offload is"},
		{"offload=--tso", "offload is"},
		{"offload=csum+", "offload is"},
		{"link-local=", "link-local is \"\", but must be stp, pause"},
		{"learning=no", "learning is"},
		{"router=no", "router is \"no\", but must be on or off"},
		{"dhcp-server=no", "dhcp-server is \"no\", but must be on or off"},
		{"isolated=on,promiscuous=on", "either isolated or promiscuous"},
		{"mrouter=yes", "mrouter is \"yes\", but must be auto, on or off"},
		{"max-addresses=4,excess-addresses=flood", "must be forget or drop"},
		{"excess-addresses=drop",
			"excess-addresses=drop wants a limit: give max-addresses"},
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
