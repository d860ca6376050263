/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration of ringwayd: what it says, and where its mistakes are. */
#include "options_fixture.h"

#include <unistd.h>

#define FILE_NAME "conf.yaml"

static char folder[] = "/tmp/ringway-config-XXXXXX";

static int enter(void **state)
{
	(void)state;
	return mkdtemp(folder) && !chdir(folder) ? 0 : -1;
}

static int leave(void **state)
{
	(void)state;
	unlink(FILE_NAME);
	return chdir("/") || rmdir(folder);
}

static void write_file(const char *text)
{
	FILE *f = fopen(FILE_NAME, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void config_takes(const char *text, const char *more)
{
	char line[256];

	write_file(text);
	snprintf(line, sizeof(line), "--config " FILE_NAME "%s", more);
	takes(line);
}

/* The mistake is FILE:LINE:COLUMN and holds `word`. */
static void config_refuses(const char *text, const char *where, const char *word)
{
	char at[64];

	write_file(text);
	snprintf(at, sizeof(at), FILE_NAME "%s", where);
	refuses("--config " FILE_NAME, word);
	if (strncmp(err, at, strlen(at)))
		fail_msg("%s: not at %s", err, at);
}

static void keys_are_the_options_and_ports_have_their_keys(void **state)
{
	(void)state;
	config_takes("# a switch\n"
		     "cpus: 0\n"
		     "fdb-size: 1000\n"
		     "idle: spin\n"
		     "no-huge: true\n"
		     "control: none\n"
		     "log-level: debug\n"
		     "ports:\n"
		     "  vm1: {socket: /tmp/one, vlan: 10}\n"
		     "  vm2:\n"
		     "    socket: /tmp/two\n"
		     "    mode: client\n"
		     "    trunk: [10, 20-30]\n"
		     "    native: 1\n"
		     "    description: of tenant 7\n",
		"");
	assert_int_equal(got.fdb_size, 1000);
	assert_int_equal(got.idle, SW_IDLE_SPIN);
	assert_true(got.no_huge);
	assert_true(got.no_control);
	assert_int_equal(got.ncpus, 1);
	assert_int_equal(got.nports, 2);
	assert_string_equal(got.ports[0].name, "vm1");
	assert_int_equal(got.ports[0].vlans.access, 10);
	assert_string_equal(got.ports[1].path, "/tmp/two");
	assert_int_equal(got.ports[1].mode, OPTIONS_CLIENT);
	assert_true(options_vlan_has(&got.ports[1].vlans, 25));
	assert_int_equal(got.ports[1].vlans.native, 1);
	assert_string_equal(got.ports[1].description, "of tenant 7");
}

static void an_empty_configuration_is_a_switch_without_ports(void **state)
{
	(void)state;
	config_takes("", "");
	assert_int_equal(got.nports, 0);
	config_takes("ports:\n", "");
	assert_int_equal(got.nports, 0);
	config_takes("ports: {}\n", " --socket-path=/tmp/a");
	assert_int_equal(got.nports, 1);
}

static void the_command_line_prevails(void **state)
{
	(void)state;
	config_takes("fdb-size: 1000\nfdb-age: 20\n", " --fdb-size=7");
	assert_int_equal(got.fdb_size, 7);
	assert_int_equal(got.fdb_age_s, 20);
}

static void json_is_a_configuration_too(void **state)
{
	(void)state;
	config_takes("{\"fdb-age\": 0, \"ports\": {\"vm1\": {\"socket\": \"/tmp/one\"}}}\n", "");
	assert_int_equal(got.fdb_age_s, 0);
	assert_int_equal(got.nports, 1);
}

static void a_mistake_has_file_line_column_and_key(void **state)
{
	(void)state;
	config_refuses(
		"fdb-sice: 1\n", ":1:1: ", "unknown key \"fdb-sice\": did you mean fdb-size?");
	config_refuses("port: {}\n", ":1:1: ", "did you mean ports?");
	config_refuses("what: 1\n", ":1:1: ", "unknown key \"what\": there are ports and");
	config_refuses("help: true\n", ":1:1: ", "unknown key \"help\"");
	config_refuses("cpus: 0\nfdb-size: many\n", ":2:1: ", "fdb-size=many: give 1 to");
	config_refuses("fdb-size: 0\n", ":1:1: fdb-size=0: ", "give 1 to");
	config_refuses("fdb-size:\n", ":1:1: ", "\"fdb-size\" wants a word");
	config_refuses("fdb-size: {a: 1}\n", ":1:1: ", "\"fdb-size\" wants a word");
	config_refuses("fdb-size: 1.5\n", ":1:1: ", "\"fdb-size\" wants a word");
	config_refuses("no-huge: maybe\n", ":1:1: ", "no-huge is either true or false");
	config_refuses("- cpus\n", ":1:1: ", "no list of keys and values");
	config_refuses("ports: [a]\n", ":1:1: ", "\"ports\" wants a key for each port");
	config_refuses("ports:\n  vm1: /tmp/x\n", ":2:3: ", "port vm1 wants its keys");
	config_refuses("ports:\n  vm1:\n", ":2:3: ", "port vm1 wants its keys");
	config_refuses("ports:\n  a b: {socket: /tmp/x}\n", ":2:3: ", "\"a b\" cannot name a port");
	config_refuses("ports:\n  vm1: {mode: client}\n", ":2:3: ", "the socket is missing");
	config_refuses("ports:\n  vm1: {socket: /tmp/x, mode: server,\n    colour: red}\n",
		":3:5: ", "port vm1: unknown key \"colour\"");
	config_refuses("ports:\n  vm1:\n    socket: /tmp/x\n    vlan: 4095\n",
		":4:5: ", "port vm1: vlan is \"4095\"");
	config_refuses("ports:\n  vm1:\n    socket: /tmp/x\n    vlan: 1\n    trunk: 2\n",
		":2:3: ", "either vlan= or trunk=");
	config_refuses("ports:\n  vm1:\n    socket: [/tmp/x, {}]\n", ":3:5: ", "\"socket\" wants");
	config_refuses("a: [1\n", ":2:1: ", "");
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	(void)state;
	refuses("--config /nowhere/x", "/nowhere/x: No such file");
	write_file("");
	refuses("--config " FILE_NAME " --check-config x", "there are two configurations");
	refuses("--config " FILE_NAME " --config x", "--config is given twice");
	write_file("ports: {vm1: {socket: /tmp/x}}\n");
	refuses("--config " FILE_NAME " --port vm1,socket=/tmp/y", "two ports are named vm1");
	refuses("--config " FILE_NAME " --fd=0", "--fd and --config exclude each other");
}

static void a_check_ends_with_what_it_found(void **state)
{
	(void)state;
	write_file("ports: {vm1: {socket: /tmp/x}}\n");
	assert_int_equal(parse("--check-config " FILE_NAME), OPTIONS_CHECKED);
	write_file("ports: {vm1: {socket: /nowhere/x}}\n");
	refuses("--check-config " FILE_NAME, "there is no directory /nowhere");
}

/* What the document of some options gives is what they were. */
static void comes_back(const char *text, const char *more)
{
	static struct options before;
	json_t *doc, *again;
	FILE *f;

	config_takes(text, more);
	before = got;
	doc = options_document(&got);
	f = fopen(FILE_NAME, "w");
	assert_non_null(f);
	assert_int_equal(json_dumpf(doc, f, JSON_INDENT(2)), 0);
	assert_int_equal(fclose(f), 0);
	takes("--config " FILE_NAME);
	again = options_document(&got);
	if (!json_equal(doc, again))
		fail_msg("%s\n  comes back as\n%s", json_dumps(doc, 0), json_dumps(again, 0));
	assert_int_equal(got.nports, before.nports);
	for (unsigned i = 0; i < got.nports; i++) {
		before.ports[i].of_words = false;
		assert_memory_equal(&got.ports[i], &before.ports[i], sizeof(got.ports[i]));
	}
	json_decref(doc);
	json_decref(again);
}

/* The document of options, as JSON. */
static void document_is(const char *text, const char *want)
{
	json_t *doc, *wanted = json_loads(want, 0, NULL);

	config_takes(text, "");
	doc = options_document(&got);
	assert_non_null(wanted);
	if (!json_equal(doc, wanted))
		fail_msg("%s", json_dumps(doc, 0));
	json_decref(doc);
	json_decref(wanted);
}

static void options_become_a_document_and_come_back(void **state)
{
	(void)state;
	comes_back("", "");
	comes_back("cpus: 0\nno-huge: true\ncontrol: none\npidfile: /tmp/p\nseccomp: kill\n"
		   "state-dir: none\n"
		   "log-level: debug\nfdb-size: 5\nfdb-age: 0\nforward: io\nidle: spin\n"
		   "balance: auto,7\nuser: root:root\nsocket-dir: [/tmp, /run]\n"
		   "socket-mode: 0660\nsocket-owner: 7\nsocket-group: 0\n",
		"");
	comes_back("state-dir: /tmp/s\n", "");
	comes_back("balance: auto\ncontrol: /tmp/c\nsocket-dir: /tmp\nuser: root\n", "");
	comes_back("ports:\n"
		   "  a: {socket: /tmp/a}\n"
		   "  b: {socket: /tmp/b, mode: client, description: \"on\", postcopy: on,\n"
		   "      device-state: on, config-space: on}\n"
		   "  c: {socket: /tmp/c, vlan: 10, memory: any}\n"
		   "  d: {socket: /tmp/d, trunk: [10, 20-30], native: 7}\n"
		   "  e: {socket: /tmp/e, trunk: all}\n"
		   "  f: {socket: /tmp/f, max-mapped: 3G, max-addresses: none, max-fds: 9,\n"
		   "      max-scratch: 1025, max-slots: 3, max-iotlb: 1, max-mappings: 6}\n"
		   "  h: {socket: /tmp/h, socket-mode: 0606, socket-owner: 3, socket-group: 4}\n"
		   "  g: {socket: /tmp/g, max-mapped: 5T, max-scratch: 1K, max-addresses: 3}\n",
		"");
	comes_back("ports: {a: {socket: /tmp/a}}\n", " --port b,socket=/tmp/b,vlan=7 --fdb-age=9");
}

static void the_document_leaves_out_what_holds_anyway(void **state)
{
	(void)state;
	document_is("", "{\"ports\": {}}");
	document_is("fdb-age: 300\nno-huge: false\nidle: adaptive\n"
		    "ports: {a: {socket: /tmp/a, mode: server, postcopy: off, vlan: none}}\n",
		"{\"ports\": {\"a\": {\"socket\": \"/tmp/a\"}}}");
	document_is("cpus: 0\nports: {a: {socket: /tmp/a, trunk: 3+5-6, postcopy: on}}\n",
		"{\"cpus\": [0], \"ports\": {\"a\": {\"socket\": \"/tmp/a\", \"postcopy\": true, "
		"\"trunk\": [3, \"5-6\"]}}}");
	/* A descriptor is no document's. */
	takes("--socket-path=/tmp/a");
	got.ports[0].mode = OPTIONS_FD;
	got.ports[0].path[0] = 0;
	assert_null(options_port_document(&got.ports[0]));
}

static void every_key_can_be_read_back(void **state)
{
	const struct port_option *option;

	(void)state;
	for (size_t i = 0; i < options_nrows; i++)
		assert_true(options_rows[i].words_only || options_rows[i].get);
	for (unsigned i = 0; (option = options_port_option(kind_default, i)); i++)
		assert_non_null(option->get);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_the_options_and_ports_have_their_keys),
		cmocka_unit_test(an_empty_configuration_is_a_switch_without_ports),
		cmocka_unit_test(the_command_line_prevails),
		cmocka_unit_test(json_is_a_configuration_too),
		cmocka_unit_test(a_mistake_has_file_line_column_and_key),
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
		cmocka_unit_test(a_check_ends_with_what_it_found),
		cmocka_unit_test(options_become_a_document_and_come_back),
		cmocka_unit_test(the_document_leaves_out_what_holds_anyway),
		cmocka_unit_test(every_key_can_be_read_back),
	};

	return cmocka_run_group_tests_name("options_config", tests, enter, leave);
}
