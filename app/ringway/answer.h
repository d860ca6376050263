/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Reading what the switch answered. A key that is missing, or of another type, is never an error.
 */
#include <jansson.h>
#include <stdbool.h>

#include "table.h"

static inline const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static inline bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static inline json_int_t number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static inline void cell_number(struct table *t, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_integer(value))
		table_cell(t, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		table_cell(t, "-");
}

static inline void cell_integer(struct table *t, json_int_t n)
{
	table_cell(t, "%" JSON_INTEGER_FORMAT, n);
}
