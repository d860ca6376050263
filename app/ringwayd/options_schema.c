/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The JSON Schema of a configuration (json-schema.org, 2020-12), made of the tables of options:
 * what an option wants stands in its `value`, as alternatives between '|'. A word in small letters
 * is that word; one in capitals is in the table below.
 */
#include <string.h>

#include "kinds.h"
#include "wanted.h"

#define NAME_PATTERN "^[A-Za-z0-9._:-]{1,32}$"
#define VID          "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 4094}"
#define NUMBER                                                                           \
	"{\"type\": [\"integer\", \"string\"], \"pattern\": \"^[0-9]+$\", \"minimum\": " \
	"0}"
#define NONE     "{\"const\": \"none\"}"
#define VID_ITEM "([0-9]+(-[0-9]+)?|[A-Za-z][A-Za-z0-9._:-]*)"
#define VID_TEXT                               \
	"{\"type\": \"string\", \"pattern\": " \
	"\"^" VID_ITEM "([+]" VID_ITEM ")*$\"}"
#define AT_LEAST(n) \
	"{\"type\": [\"integer\", \"string\"], \"pattern\": \"^[0-9]+$\", \"minimum\": " n "}"
#define PORT_NAME  "{\"type\": [\"string\", \"integer\"], \"pattern\": \"" NAME_PATTERN "\"}"
#define PORT_NAMES "{\"type\": [\"string\", \"integer\"]}"
#define WORD       "{\"type\": [\"string\", \"integer\"]}"

/* What a word in capitals stands for. Another one is a word, a number or a list of them. */
static const struct {
	const char *word, *schema;
} types[] = {
	{"PATH", "{\"type\": \"string\", \"minLength\": 1}"},
	{"DIR", "{\"type\": \"string\", \"minLength\": 1}"},
	{"TEXT", "{\"type\": [\"string\", \"integer\"], \"maxLength\": 63}"},
	{"NAME", "{\"type\": [\"string\", \"integer\"], \"pattern\": \"" NAME_PATTERN "\"}"},
	{"USER", WORD},
	{"GROUP", WORD},
	{"N", NUMBER},
	{"SECONDS", NUMBER},
	{"BYTES", NUMBER},
	{"SIZE",
		"{\"type\": [\"integer\", \"string\"], \"minimum\": 1, \"pattern\": "
		"\"^[0-9]+[KMGT]?$\"}"},
	{"OCTAL", "{\"type\": [\"integer\", \"string\"], \"pattern\": \"^[0-7]{1,4}$\"}"},
	{"VID",
		"{\"anyOf\": [" VID ", " NONE
		", {\"type\": \"string\", \"pattern\": \"^([0-9]+|[A-Za-z][A-Za-z0-9._:-]*)$\"}]}"},
	{"VIDS",
		"{\"anyOf\": [{\"enum\": [\"all\", \"none\"]}, " VID ", " VID_TEXT ", "
		"{\"type\": \"array\", \"minItems\": 1, \"items\": {\"anyOf\": [" VID ", " VID_TEXT
		"]}}]}"},
};

static const char anything[] =
	"{\"anyOf\": [{\"type\": [\"string\", \"integer\", \"boolean\"]}, {\"type\": \"array\", "
	"\"minItems\": 1, \"items\": {\"type\": [\"string\", \"integer\"]}}]}";

/* The schema of one alternative of `len` bytes. */
static json_t *alternative(const char *word, size_t len)
{
	size_t plain = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-");

	for (size_t i = 0; i < RW_ARRAY_SIZE(types); i++) {
		if (strlen(types[i].word) == len && !strncmp(types[i].word, word, len))
			return json_loads(types[i].schema, 0, NULL);
	}
	if (plain >= len)
		return json_pack("{s:s%}", "const", word, len);
	/* "auto[,SECONDS]" */
	if (plain)
		return json_pack("{s:s, s:o}", "type", "string", "pattern",
			json_sprintf("^%.*s", (int)plain, word));
	return json_loads(anything, 0, NULL);
}

/* Alternatives that are all one word each: those words. NULL: one is not. */
static json_t *words_only(const json_t *alternatives)
{
	json_t *words = json_array();
	const json_t *item;

	for (size_t i = 0; (item = json_array_get(alternatives, i)); i++) {
		json_t *word = json_object_get(item, "const");

		if (!word) {
			json_decref(words);
			return NULL;
		}
		json_array_append(words, word);
	}
	return words;
}

/* YAML reads the words on and off as true and false. */
static json_t *truths_added(json_t *words)
{
	size_t n = json_array_size(words);

	for (size_t i = 0; i < n; i++) {
		const char *word = json_string_value(json_array_get(words, i));

		if (!strcmp(word, "on") || !strcmp(word, "off"))
			json_array_append_new(words, json_boolean(!strcmp(word, "on")));
	}
	return words;
}

/* The schema of what an option wants; NULL: nothing. */
static json_t *value_schema(const char *value)
{
	json_t *list, *words, *only;

	if (!value)
		value = "on|off";
	list = json_array();
	for (const char *at = value; *at; at += strcspn(at, "|"), at += *at == '|')
		json_array_append_new(list, alternative(at, strcspn(at, "|")));
	words = words_only(list);
	if (words) {
		json_decref(list);
		return json_pack("{s:o}", "enum", truths_added(words));
	}
	if (json_array_size(list) > 1)
		return json_pack("{s:o}", "anyOf", list);
	only = json_incref(json_array_get(list, 0));
	json_decref(list);
	return only;
}

/* The same, or a list of it. */
static json_t *values_schema(const char *value)
{
	return json_pack("{s:[o, {s:s, s:i, s:o}]}", "anyOf", value_schema(value), "type", "array",
		"minItems", 1, "items", value_schema(value));
}

/* A VLAN for each name. */
static json_t *pairs_schema(void)
{
	return json_loads(
		"{\"type\": [\"object\", \"null\"], \"additionalProperties\": false, "
		"\"patternProperties\": {\"^[A-Za-z][A-Za-z0-9._:-]{0,31}$\": {\"anyOf\": [" VID
		", {\"type\": \"string\", \"pattern\": \"^[0-9]+$\"}]}}}",
		0, NULL);
}

/* A mirror for each name. */
static json_t *mirrors_schema(void)
{
	return json_loads(
		"{\"type\": [\"object\", \"null\"], \"additionalProperties\": false, "
		"\"patternProperties\": {\"" NAME_PATTERN
		"\": {\"type\": \"object\", \"required\": [\"to\"], "
		"\"oneOf\": [{\"required\": [\"source\"]}, {\"required\": [\"vlan\"]}], "
		"\"additionalProperties\": false, \"properties\": {"
		"\"to\": " PORT_NAME ", \"source\": {\"anyOf\": [" PORT_NAMES
		", {\"type\": \"array\", \"minItems\": 1, \"maxItems\": 64, \"items\": " PORT_NAME
		"}]}, \"vlan\": {\"type\": [\"integer\", \"string\"], \"minimum\": 0, "
		"\"maximum\": 4094}, \"bridge\": " PORT_NAME
		", \"tpid\": {\"enum\": [\"8021q\", \"8021ad\"]}, "
		"\"direction\": {\"enum\": [\"in\", \"out\", \"both\"]}, "
		"\"snap\": " AT_LEAST("14") ", \"sample\": " AT_LEAST("1") "}}}}",
		0, NULL);
}

/* ---- ports ---- */

static json_t *port_schema(const struct port_kind *kind)
{
	json_t *properties = json_object(), *required = json_array();
	const struct port_option *option;

	json_object_set_new(properties, "kind", json_pack("{s:s}", "const", kind->name));
	for (unsigned i = 0; (option = options_port_option(kind, i)); i++) {
		json_t *schema = value_schema(option->value);

		json_object_set_new(schema, "description",
			json_sprintf("%s; %s", option->value,
				option->changeable ? "can change while the port exists"
						   : "another one makes another port"));
		json_object_set_new(properties, option->key, schema);
		if (option->needed)
			json_array_append_new(required, json_string(option->key));
	}
	return json_pack("{s:o, s:o, s:o}", "properties", properties, "required", required,
		"additionalProperties", kind->other ? json_loads(anything, 0, NULL) : json_false());
}

/* Whether a port is of that kind: it says so, or has a key that only such a port needs. */
static json_t *is_kind(const struct port_kind *kind)
{
	json_t *any = json_array();
	const struct port_option *option;

	json_array_append_new(any,
		json_pack("{s:[s], s:{s:{s:s}}}", "required", "kind", "properties", "kind", "const",
			kind->name));
	for (unsigned i = 0; (option = options_port_option(kind, i)); i++) {
		if (option->needed && kind_by_key(option->key) == kind)
			json_array_append_new(any, json_pack("{s:[s]}", "required", option->key));
	}
	return json_pack("{s:o}", "anyOf", any);
}

static json_t *ports_schema(void)
{
	json_t *any_kind = port_schema(kind_default);
	const struct port_kind *kind;

	for (unsigned i = 0; (kind = kind_at(i)); i++) {
		if (kind != kind_default)
			any_kind = json_pack("{s:o, s:o, s:o}", "if", is_kind(kind), "then",
				port_schema(kind), "else", any_kind);
	}
	json_object_set_new(any_kind, "type", json_string("object"));
	return json_pack("{s:[s, s], s:s, s:{s:o}, s:b}", "type", "object", "null", "description",
		"the ports by their names", "patternProperties", NAME_PATTERN, any_kind,
		"additionalProperties", 0);
}

/* ---- all of it ---- */

json_t *options_schema(void)
{
	json_t *properties = json_object();

	for (size_t i = 0; i < options_nrows; i++) {
		const struct options_row *row = &options_rows[i];
		const struct options_section *section = options_row_section(row);
		json_t *schema;

		if (row->words_only)
			continue;
		if (section && section->entries)
			schema = mirrors_schema();
		else if (section && section->pairs)
			schema = pairs_schema();
		else
			schema = row->many && row->value ? values_schema(row->value)
							 : value_schema(row->value);
		if (section && !section->pairs && !section->entries)
			json_array_append_new(json_object_get(schema, "anyOf"),
				json_pack("{s:s}", "type", "null"));
		json_object_set_new(schema, "description",
			json_sprintf("%s; %s", row->value ? row->value : "on|off",
				wanted_changeable(row->name) ? "can change while the switch runs"
							     : "takes a restart"));
		json_object_set_new(properties, options_row_key(row), schema);
	}
	json_object_set_new(properties, "ports", ports_schema());
	return json_pack("{s:s, s:s, s:s, s:[s, s], s:o, s:b}", "$schema",
		"https://json-schema.org/draft/2020-12/schema", "title", "Ringway configuration",
		"description",
		"What ringwayd --config reads, as YAML or JSON. Made by ringwayd --config-schema.",
		"type", "object", "null", "properties", properties, "additionalProperties", 0);
}
