/* SPDX-License-Identifier: BSD-3-Clause */
/* YAML into a tree of values, which knows where each of them stands. */
#include "document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char err[512];

/* The tree of `text` is that of the JSON text `json`. */
static void is(const char *text, const char *json)
{
	struct doc *doc = doc_parse("x", text, strlen(text), err, sizeof(err));
	char *got;

	if (!doc)
		fail_msg("%s\n  %s", text, err);
	got = json_dumps(doc_root(doc), JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(got, json);
	free(got);
	doc_free(doc);
}

/* `text` is refused with a line that begins "x:LINE:COLUMN: " and holds `word`. */
static void refused(const char *text, size_t len, const char *where, const char *word)
{
	struct doc *doc = doc_parse("x", text, len, err, sizeof(err));

	if (doc)
		fail_msg("accepted: %s", text);
	if (strncmp(err, where, strlen(where)) || !strstr(err, word))
		fail_msg("%s\n  says     %s\n  without  %s %s", text, err, where, word);
	assert_null(strchr(err, '\n'));
}

static void refuses(const char *text, const char *where, const char *word)
{
	refused(text, strlen(text), where, word);
}

static void scalars_are_those_of_the_core_schema(void **state)
{
	(void)state;
	is("", "null");
	is("~", "null");
	is("NULL", "null");
	is("true", "true");
	is("False", "false");
	is("yes", "\"yes\""); /* YAML 1.1 had it for true */
	is("0", "0");
	is("-17", "-17");
	is("+17", "17");
	is("010", "10");
	is("0x1F", "31");
	is("0o17", "15");
	is("0xg", "\"0xg\"");
	is("9223372036854775807", "9223372036854775807");
	is("9223372036854775808", "9.2233720368547758e18");
	is("1.5", "1.5");
	is("2e3", "2000.0");
	is(".5", "0.5");
	is("1e999", "\"1e999\""); /* JSON has no such number */
	is(".inf", "\".inf\"");
	is(".nan", "\".nan\"");
	is("nan", "\"nan\"");
	is("1,3", "\"1,3\"");
	is("10+20-30", "\"10+20-30\"");
	is("52:54:00:00:00:01", "\"52:54:00:00:00:01\"");
	is("'17'", "\"17\"");
	is("\"true\"", "\"true\"");
	is("|\n two\n lines\n", "\"two\\nlines\\n\"");
	is("''", "\"\"");
}

static void mappings_and_sequences_nest(void **state)
{
	(void)state;
	is("a: 1\nb:\n  - x\n  - {c: [2, 3]}\n  -\n", "{\"a\":1,\"b\":[\"x\",{\"c\":[2,3]},null]}");
	is("{}", "{}");
	is("[]", "[]");
	is("a:\n", "{\"a\":null}");
	is("--- {a: 1}\n...\n", "{\"a\":1}");
	is("# nothing but this\n", "null");
	/* JSON is YAML. */
	is("{\"a\": [1, \"b\", null, true], \"c\": {\"d\": -1.5}}",
		"{\"a\":[1,\"b\",null,true],\"c\":{\"d\":-1.5}}");
	is("1: x\ntrue: y\n", "{\"1\":\"x\",\"true\":\"y\"}");
}

static void where_is(const struct doc *doc, const char *path, unsigned line, unsigned column)
{
	struct doc_position at = doc_where(doc, path);

	if (at.line != line || at.column != column)
		fail_msg("%s: %u:%u", path, at.line, at.column);
}

static void each_value_knows_where_it_stands(void **state)
{
	static const char text[] = "# ports\n"
				   "ports:\n"
				   "  vm1: {socket: /a, trunk: [10, 20]}\n"
				   "  vm2:\n"
				   "    socket: /b\n"
				   "list:\n"
				   "- one\n"
				   "- k: v\n";
	struct doc *doc = doc_parse("x", text, strlen(text), err, sizeof(err));

	(void)state;
	assert_non_null(doc);
	where_is(doc, "", 2, 1);
	where_is(doc, "ports", 2, 1);
	where_is(doc, "ports/vm1", 3, 3);
	where_is(doc, "ports/vm1/socket", 3, 9);
	where_is(doc, "ports/vm1/trunk", 3, 21);
	where_is(doc, "ports/vm1/trunk/1", 3, 33);
	where_is(doc, "ports/vm2/socket", 5, 5);
	where_is(doc, "list/0", 7, 3);
	where_is(doc, "list/1/k", 8, 3);
	/* What is not there is missing where it should be. */
	where_is(doc, "ports/vm2/mode", 4, 3);
	where_is(doc, "ports/vm3/mode", 2, 1);
	where_is(doc, "workers", 2, 1);
	doc_free(doc);
	doc = doc_parse("x", "", 0, err, sizeof(err));
	assert_non_null(doc);
	where_is(doc, "ports", 1, 1);
	doc_free(doc);
}

static void what_is_no_document_is_refused_with_its_place(void **state)
{
	(void)state;
	refuses("a: 1\nb: [1, 2\nc: 3\n", "x:3:2: ", "");
	refuses("a: b: c\n", "x:1:5: ", "mapping values are not allowed");
	refuses("\ta: 1\n", "x:1:1: ", "");
	refuses("a: 1\nb: 2\na: 3\n", "x:3:1: ", "\"a\" is given twice");
	refuses("{a: 1, a: 2}", "x:1:8: ", "\"a\" is given twice");
	refuses("? [1, 2]\n: x\n", "x:1:3: ", "a key must be a word");
	refuses("a: &x 1\nb: *x\n", "x:2:4: ", "aliases");
	refuses("a: !!str 1\n", "x:1:4: ", "tags");
	refuses("!t {a: 1}\n", "x:1:1: ", "tags");
	refuses("a: 1\n---\nb: 2\n", "x:2:1: ", "second document");
	refused("a\0b: 1\n", 7, "x:1:", "");
	refused("a: \xff\n", 5, "x:1:", "");
	refuses("a: \x1b\n", "x:", "");
}

static void what_is_too_much_is_refused(void **state)
{
	size_t len = 3u << 20;
	char *text = malloc(len);

	(void)state;
	assert_non_null(text);
	is("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]");
	refuses("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "x:1:17: ", "more than 16 levels");
	/* An item for each two bytes. */
	for (size_t i = 0; i < len; i += 2)
		memcpy(text + i, i ? "1," : "[ ", 2);
	refused(text, len, "x:1:", "more than 1048576 values");
	free(text);
	refused("", (size_t)DOC_TEXT_MAX + 1, "x: ", "more than 16777216 bytes");
}

static void a_document_is_read_from_a_file(void **state)
{
	char path[] = "/tmp/ringway-document-XXXXXX";
	int fd = mkstemp(path);
	struct doc *doc;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a: 1\n", 5), 5);
	close(fd);
	doc = doc_read(path, err, sizeof(err));
	assert_non_null(doc);
	assert_int_equal(json_integer_value(json_object_get(doc_root(doc), "a")), 1);
	doc_free(doc);
	unlink(path);
	assert_null(doc_read(path, err, sizeof(err)));
	assert_non_null(strstr(err, "No such file"));
	assert_null(doc_read("/", err, sizeof(err)));
	assert_non_null(strstr(err, "/: Is a directory"));
	assert_null(doc_read("/dev/zero", err, sizeof(err)));
	assert_non_null(strstr(err, "File too large"));
}

/* What is written of the JSON text `json` is `yaml`, or anything (NULL), and reads as the same. */
static void writes(const char *json, const char *yaml)
{
	json_t *root = json_loads(json, JSON_DECODE_ANY, NULL);
	struct doc *doc;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(root);
	assert_non_null(f);
	assert_true(doc_write(root, f));
	assert_int_equal(fclose(f), 0);
	if (yaml)
		assert_string_equal(text, yaml);
	doc = doc_parse("x", text, len, err, sizeof(err));
	if (!doc)
		fail_msg("%s\n  %s", text, err);
	if (!json_equal(doc_root(doc), root))
		fail_msg("%s\n  is read as something else:\n%s", json, text);
	doc_free(doc);
	json_decref(root);
	free(text);
}

static void what_is_written_is_read_as_the_same(void **state)
{
	static const char *const strings[] = {"", " ", "a b", "true", "null", "~", "1", "-1.5e3",
		"0x10", "- a", "a: b", "# a", "a #b", "[a", "{a}", "*a", "&a", "!a", "|", "> b",
		"%a", "@a", "`a", "'a'", "\"", "a\\", "a\nb", " a", "a ", "\t", "\x01", "\xc3\xa4",
		"---", "...", "yes", "?", "? a", ":", "a:", "<<", ".5", "0o7", "012", "=", "a,b",
		"10+20-30"};
	char long_text[300] = {0}, *json;
	json_t *string;

	(void)state;
	for (size_t i = 0; i < RW_ARRAY_SIZE(strings); i++) {
		json_t *tree = json_pack("{s:s, s:[s, s], s:{s:i}}", "value", strings[i], "list",
			strings[i], "b", "map", strings[i], 1);

		json = json_dumps(tree, 0);
		writes(json, NULL);
		free(json);
		json_decref(tree);
	}
	memset(long_text, 'x', sizeof(long_text) - 1);
	for (size_t i = 9; i < sizeof(long_text); i += 10)
		long_text[i - 5] = ' ';
	string = json_string(long_text);
	json = json_dumps(string, JSON_ENCODE_ANY);
	json_decref(string);
	writes(json, NULL);
	free(json);
	writes("null", NULL);
	writes("{}", "{}\n");
	writes("{\"a\": {}, \"b\": []}", "a: {}\nb: []\n");
	writes("{\"fdb-age\": 20, \"no-huge\": true, \"ports\": {\"vm1\": {\"socket\": "
	       "\"/run/vm1.sock\", \"trunk\": [10, \"20-30\"], \"description\": \"1\"}}}",
		"fdb-age: 20\nno-huge: true\nports:\n  vm1:\n    socket: /run/vm1.sock\n"
		"    trunk: [10, 20-30]\n    description: \"1\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_as_the_same),
		cmocka_unit_test(scalars_are_those_of_the_core_schema),
		cmocka_unit_test(mappings_and_sequences_nest),
		cmocka_unit_test(each_value_knows_where_it_stands),
		cmocka_unit_test(what_is_no_document_is_refused_with_its_place),
		cmocka_unit_test(what_is_too_much_is_refused),
		cmocka_unit_test(a_document_is_read_from_a_file),
	};

	return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
