/* SPDX-License-Identifier: BSD-3-Clause */
/* What a document wants of a switch that runs, and the difference to what it is. */
#include "options_fixture.h"

#include "document.h"
#include "wanted.h"

static struct wanted wanted;
static struct wanted_fault fault;

/* Read a document against what holds. */
static int wants_from(const char *text, bool keep_words)
{
	struct doc *doc = doc_parse("x", text, strlen(text), err, sizeof(err));
	struct wanted_source source = {.name = "x", .keep_words = keep_words};
	struct wanted_reading *r;
	int ret;

	if (!doc)
		fail_msg("%s", err);
	source.doc = doc;
	source.root = doc_root(doc);
	r = wanted_begin(&got, &source, &wanted, &fault);
	assert_non_null(r);
	do {
		ret = wanted_step(r);
	} while (ret > 0);
	wanted_end(r);
	doc_free(doc);
	return ret;
}

static void now_is(const char *line)
{
	takes(line);
	/* As if they were a document's. */
	got.words = 0;
}

/* The difference is this JSON text. */
static void differs(const char *text, const char *want)
{
	json_t *difference, *expected = json_loads(want, 0, NULL);

	if (wants_from(text, false))
		fail_msg("%s", fault.text);
	assert_non_null(expected);
	difference = json_array();
	for (size_t i = 0; i < wanted_difference_steps(&got, &wanted); i++)
		wanted_difference_add(difference, &got, &wanted, i);
	if (!json_equal(difference, expected))
		fail_msg("%s", json_dumps(difference, 0));
	json_decref(difference);
	json_decref(expected);
}

static void wants_not(const char *text, const char *at, const char *line)
{
	assert_true(wants_from(text, false) < 0);
	assert_string_equal(fault.at, at);
	if (!strstr(fault.text, line))
		fail_msg("%s\n  says     %s\n  without  %s", text, fault.text, line);
	assert_null(strchr(fault.text, '\n'));
}

static void what_is_the_same_differs_in_nothing(void **state)
{
	char text[256];

	(void)state;
	now_is("--port a,socket=/tmp/a,vlan=10 --port b,socket=/tmp/b,mode=client,max-mapped=4096G "
	       "--fdb-age=20 --control=/tmp/c");
	differs("control: /tmp/c\nfdb-age: 20\n"
		"ports: {b: {socket: /tmp/b, mode: client, max-mapped: 4T},\n"
		"        a: {vlan: 10, socket: /tmp/a}}\n",
		"[]");
	assert_int_equal(wanted.nsame, 2);
	/* What was chosen may be said. */
	now_is("--socket-path=/tmp/a");
	assert_true(got.control_is_default && got.cpus_are_default);
	snprintf(text, sizeof(text), "control: %s\ncpus: %u\nports: {a: {socket: /tmp/a}}\n",
		got.control, got.cpus[0]);
	differs(text, "[]");
}

static void each_difference_has_its_step(void **state)
{
	(void)state;
	now_is("--port a,socket=/tmp/a --port b,socket=/tmp/b,vlan=10,description=x "
	       "--port c,socket=/tmp/c,mode=client --port d,socket=/tmp/d --fdb-age=20 "
	       "--control=none");
	differs("control: none\nlog-level: debug\nforward: io\nbalance: auto,5\n"
		"ports:\n  a: {socket: /tmp/a}\n  b: {socket: /tmp/b, trunk: [7, 10-20]}\n"
		"  c: {socket: /tmp/c, description: y}\n  e: {socket: /tmp/e, vlan: 9}\n",
		"[{\"key\": \"log-level\", \"from\": \"info\", \"to\": \"debug\"},"
		" {\"key\": \"fdb-age\", \"from\": 20, \"to\": 300},"
		" {\"key\": \"forward\", \"from\": \"switch\", \"to\": \"io\"},"
		" {\"key\": \"balance\", \"from\": \"off\", \"to\": \"auto,5\"},"
		" {\"port\": \"d\", \"change\": \"remove\", \"keys\":"
		"  [{\"key\": \"socket\", \"from\": \"/tmp/d\", \"to\": null}]},"
		" {\"port\": \"b\", \"change\": \"set\", \"keys\":"
		"  [{\"key\": \"description\", \"from\": \"x\", \"to\": null},"
		"   {\"key\": \"vlan\", \"from\": 10, \"to\": null},"
		"   {\"key\": \"trunk\", \"from\": null, \"to\": [7, \"10-20\"]}]},"
		" {\"port\": \"c\", \"change\": \"replace\", \"keys\":"
		"  [{\"key\": \"mode\", \"from\": \"client\", \"to\": \"server\"},"
		"   {\"key\": \"description\", \"from\": null, \"to\": \"y\"}]},"
		" {\"port\": \"e\", \"change\": \"add\", \"keys\":"
		"  [{\"key\": \"socket\", \"from\": null, \"to\": \"/tmp/e\"},"
		"   {\"key\": \"vlan\", \"from\": null, \"to\": 9}]}]");
	assert_int_equal(wanted.nsame, 1);
	assert_true(wanted.stays[0] && wanted.stays[1] && wanted.stays[2] && !wanted.stays[3]);
}

static void what_takes_a_restart_is_named(void **state)
{
	static const char *const texts[] = {"cpus: [0, 63]", "control: /tmp/d", "pidfile: /tmp/d",
		"state-dir: /tmp", "state-dir: none", "no-huge: true", "user: nobody:root",
		"seccomp: off", "fdb-size: 9", "idle: spin"};

	(void)state;
	now_is("--socket-path=/tmp/a --socket-dir=/tmp");
	for (size_t i = 0; i < RW_ARRAY_SIZE(texts); i++) {
		size_t len = strcspn(texts[i], ":");
		char text[128], key[32], line[64];

		assert_in_range(len, 1, sizeof(key) - 1);
		memcpy(key, texts[i], len);
		key[len] = '\0';
		snprintf(text, sizeof(text), "socket-dir: /tmp\n%s\n", texts[i]);
		snprintf(line, sizeof(line), "x:2:1: %s is ", key);
		wants_not(text, key, line);
		assert_non_null(strstr(fault.text, "that takes a restart"));
	}
	/* It is not said any more. */
	wants_not("ports: {}\n", "socket-dir",
		"x:1:1: socket-dir is [\"/tmp\"] now and would be not set");
}

static void the_command_line_prevails(void **state)
{
	(void)state;
	takes("--socket-path=/tmp/a --fdb-age=20 --fdb-size=7 --idle=spin");
	differs("fdb-age: 30\nfdb-size: 8\nports: {a: {socket: /tmp/a}}\n", "[]");
	/* Its ports stay where a file is read again, and go where a document is applied. */
	assert_int_equal(wants_from("ports: {b: {socket: /tmp/b}}\n", true), 0);
	assert_int_equal(wanted.opt.nports, 2);
	assert_string_equal(wanted.opt.ports[0].name, "a");
	assert_int_equal(wanted.nsame, 1);
	assert_int_equal(wants_from("ports: {b: {socket: /tmp/b}}\n", false), 0);
	assert_int_equal(wanted.opt.nports, 1);
	assert_false(wanted.stays[0]);
}

static void a_port_that_no_document_can_name_stays(void **state)
{
	(void)state;
	now_is("--socket-path=/tmp/a");
	got.ports[0].mode = OPTIONS_FD;
	got.ports[0].path[0] = 0;
	differs("", "[]");
	assert_int_equal(wanted.opt.nports, 1);
	assert_true(wanted.stays[0]);
}

static void mistakes_have_their_place(void **state)
{
	(void)state;
	now_is("--port a,socket=/tmp/a --control=/tmp/c --pidfile=/tmp/p");
	wants_not(
		"ports:\n  a: {socket: /tmp/a,\n      vlan: x}\n", "ports/a/vlan", "x:3:7: port a");
	wants_not("- a\n", "", "x:1:1: this is no list");
	wants_not("fdb-age: x\n", "fdb-age", "x:1:1: fdb-age=x: give");
	wants_not("control: /tmp/c\npidfile: /tmp/p\nports: {b: {socket: /nowhere/b}}\n", "ports/b",
		"x:3:9: port b: cannot create /nowhere/b: there is no directory /nowhere");
	wants_not("control: /tmp/c\npidfile: /tmp/p\nports: {a: {socket: /tmp/a},\n"
		  "  b: {socket: /tmp/./a}}\n",
		"ports/b", "x:4:3: ports a and b have the same socket");
	wants_not("control: /tmp/c\npidfile: /tmp/p\nports: {b: {socket: /tmp/p}}\n", "ports/b",
		"x:3:9: port b and --pidfile have the same file");
	/* Two may change places: they are judged by what they will be. */
	now_is("--port a,socket=/tmp/a --port b,socket=/tmp/b");
	assert_int_equal(
		wants_from("ports: {a: {socket: /tmp/b}, b: {socket: /tmp/a}}\n", false), 0);
	assert_int_equal(wanted.steps[0], WANTED_REPLACE);
	assert_int_equal(wanted.steps[1], WANTED_REPLACE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_the_same_differs_in_nothing),
		cmocka_unit_test(each_difference_has_its_step),
		cmocka_unit_test(what_takes_a_restart_is_named),
		cmocka_unit_test(the_command_line_prevails),
		cmocka_unit_test(a_port_that_no_document_can_name_stays),
		cmocka_unit_test(mistakes_have_their_place),
	};

	return cmocka_run_group_tests_name("wanted", tests, NULL, NULL);
}
