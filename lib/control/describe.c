/* SPDX-License-Identifier: BSD-3-Clause */
/* What methods take and give, from their tables: the check of params, and schemas. */
#include <stdio.h>
#include <string.h>

#include "answer.h"

/* ---- the check ---- */

static bool has_type(const json_t *value, unsigned types)
{
	return types >> json_typeof(value) & 1;
}

static const struct ctl_field *field_find(const struct ctl_field *fields, const char *name)
{
	for (; fields && fields->name; fields++) {
		if (!strcmp(fields->name, name))
			return fields;
	}
	return NULL;
}

/* "name and port" */
static const char *names_text(const struct ctl_field *fields, char *out, size_t size)
{
	size_t len = 0;

	out[0] = 0;
	for (; fields && fields->name && len < size; fields++)
		len += (size_t)snprintf(out + len, size - len, "%s%s",
			!len                     ? ""
				: fields[1].name ? ", "
						 : " and ",
			fields->name);
	return out;
}

/* `fail` about the member `name`. Returns false. */
static bool refuse(struct ctl_failure *fail, const char *name)
{
	snprintf(fail->at, sizeof(fail->at), "%s", name);
	return false;
}

/* Every member of `params` is one of the method's. */
static bool members_check(
	const struct ctl_method *method, const json_t *params, struct ctl_failure *fail)
{
	char text[256];
	const char *key;
	json_t *value;

	if (method->more)
		return true;
	json_object_foreach((json_t *)(uintptr_t)params, key, value)
	{
		if (field_find(method->params, key))
			continue;
		ctl_fail(fail, CTL_ERR_PARAMS, "\"%.64s\" is no parameter of %s, which takes %s",
			key, method->name,
			method->params ? names_text(method->params, text, sizeof(text)) : "none");
		return refuse(fail, key);
	}
	return true;
}

bool ctl_params_check(
	const struct ctl_method *method, const json_t *params, struct ctl_failure *fail)
{
	if (!method->help)
		return true;
	if (params && !json_is_object(params)) {
		ctl_fail(fail, CTL_ERR_PARAMS, "\"params\" of %s must be an object", method->name);
		return false;
	}
	if (!members_check(method, params, fail))
		return false;
	for (const struct ctl_field *f = method->params; f && f->name; f++) {
		const json_t *value = json_object_get(params, f->name);

		if (value ? has_type(value, f->types) : f->optional)
			continue;
		ctl_fail(fail, CTL_ERR_PARAMS, "\"%s\" %smust be %s", f->name,
			value ? "" : "is missing: it ", f->help);
		return refuse(fail, f->name);
	}
	return true;
}

/* ---- schemas ---- */

/* One name, or a list of them. */
static json_t *types_schema(unsigned types)
{
	static const struct {
		unsigned bits;
		const char *name;
	} names[] = {{CTL_OBJECT, "object"}, {CTL_ARRAY, "array"}, {CTL_STRING, "string"},
		{CTL_NUMBER, "number"}, {CTL_INTEGER, "integer"}, {CTL_BOOLEAN, "boolean"},
		{CTL_NULL, "null"}};
	json_t *list = json_array(), *only;

	for (size_t i = 0; i < RW_ARRAY_SIZE(names); i++) {
		if ((types & names[i].bits) != names[i].bits)
			continue;
		types &= ~names[i].bits;
		json_array_append_new(list, json_string(names[i].name));
	}
	if (json_array_size(list) != 1)
		return list;
	only = json_incref(json_array_get(list, 0));
	json_decref(list);
	return only;
}

/* An object of these fields and of `more` properties, which is taken over. */
static json_t *fields_schema(const struct ctl_field *fields, json_t *more, bool open)
{
	json_t *properties = json_object(), *required = json_array();

	for (const struct ctl_field *f = fields; f && f->name; f++) {
		json_object_set_new(properties, f->name,
			json_pack("{s:o, s:s}", "type", types_schema(f->types), "description",
				f->help));
		if (!f->optional)
			json_array_append_new(required, json_string(f->name));
	}
	if (more)
		json_object_update(properties, more);
	json_decref(more);
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties,
		"required", required, "additionalProperties", open);
}

static json_t *method_json(const struct ctl_method *m)
{
	json_t *result = fields_schema(m->result, NULL, m->open);

	if (m->each || m->list)
		result = json_pack("{s:s, s:o}", "type", "array", "items", result);
	return json_pack("{s:s, s:s, s:o, s:o}", "name", m->name, "help", m->help ? m->help : "",
		"params", fields_schema(m->params, m->more ? m->more() : NULL, m->more), "result",
		result);
}

static json_t *errors_json(void)
{
	static const struct {
		int code;
		const char *help;
	} errors[] = {
		{CTL_ERR_PARSE, "the text is no JSON, or deeper than 32 levels"},
		{CTL_ERR_REQUEST, "the JSON is no request, or the line or the batch is too long"},
		{CTL_ERR_METHOD, "there is no such method"},
		{CTL_ERR_PARAMS,
			"a parameter is missing, unknown or wrong; \"data.at\" says which one"},
		{CTL_ERR_INTERNAL, "the switch has no memory for the answer"},
		{CTL_ERR_FAILED, "the method could not do it; the message says why"},
	};
	json_t *list = json_array();

	for (size_t i = 0; i < RW_ARRAY_SIZE(errors); i++)
		json_array_append_new(list,
			json_pack("{s:i, s:s}", "code", errors[i].code, "help", errors[i].help));
	return list;
}

static json_t *event_json(const char *name, const char *help, const struct ctl_field *fields)
{
	static const struct ctl_field common[] = {
		{"event", CTL_STRING, false, "the kind of the event"},
		{"time", CTL_NUMBER, false, "when it happened: seconds since 1970"}, {0}};
	json_t *schema = fields_schema(common, NULL, false), *special;

	special = fields_schema(fields, NULL, false);
	json_object_update(
		json_object_get(schema, "properties"), json_object_get(special, "properties"));
	json_array_extend(
		json_object_get(schema, "required"), json_object_get(special, "required"));
	json_decref(special);
	return json_pack("{s:s, s:s, s:o}", "name", name, "help", help, "params", schema);
}

static json_t *events_json(const struct ctl_event_kind *kinds, unsigned n)
{
	static const struct ctl_field lost[] = {
		{"lost", CTL_INTEGER, false, "how many events are missing here"}, {0}};
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(
			list, event_json(kinds[i].name, kinds[i].help, kinds[i].fields));
	json_array_append_new(list,
		event_json("lost", "events are missing: the client, or the switch, was too slow",
			lost));
	return list;
}

json_t *ctl_describe(const struct ctl_method *methods, size_t nmethods,
	const struct ctl_event_kind *kinds, unsigned nkinds)
{
	json_t *list = json_array();

	for (size_t i = 0; i < nmethods; i++)
		json_array_append_new(list, method_json(&methods[i]));
	return json_pack("{s:o, s:o, s:o}", "methods", list, "events", events_json(kinds, nkinds),
		"errors", errors_json());
}
