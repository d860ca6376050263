/* SPDX-License-Identifier: BSD-3-Clause */
/* A tree as YAML that doc_parse reads as the same tree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "document.h"
#include "scalar.h"

/* Columns; libyaml folds only what it may. */
#define WIDTH 100

static int text_add(void *out, unsigned char *data, size_t len)
{
	return fwrite(data, 1, len, out) == len;
}

/* Takes the event over. */
static bool emit(yaml_emitter_t *y, yaml_event_t *event, int made)
{
	return made && yaml_emitter_emit(y, event);
}

/* A scalar; `plain`: it needs no quotes unless its characters do. */
static bool scalar_write(yaml_emitter_t *y, const char *text, bool plain)
{
	yaml_event_t event;

	return emit(y, &event,
		yaml_scalar_event_initialize(&event, NULL, NULL, (const unsigned char *)text,
			(int)strlen(text), plain, 1,
			plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE));
}

/* Quotes are for what would be read as something else than a string. */
static bool string_write(yaml_emitter_t *y, const char *text)
{
	json_t *read = doc_scalar(text, strlen(text));
	bool plain = json_is_string(read) && !strpbrk(text, "\n\r\t") && text[0] != ' ';

	json_decref(read);
	return scalar_write(y, text, plain);
}

static bool value_write(yaml_emitter_t *y, const json_t *value);

static bool mapping_write(yaml_emitter_t *y, const json_t *value)
{
	yaml_event_t event;
	const char *key;
	json_t *item;

	if (!emit(y, &event,
		    yaml_mapping_start_event_initialize(
			    &event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)))
		return false;
	json_object_foreach((json_t *)(uintptr_t)value, key, item)
	{
		if (!string_write(y, key) || !value_write(y, item))
			return false;
	}
	return emit(y, &event, yaml_mapping_end_event_initialize(&event));
}

static bool sequence_write(yaml_emitter_t *y, const json_t *value)
{
	yaml_event_t event;
	const json_t *item;

	if (!emit(y, &event,
		    yaml_sequence_start_event_initialize(
			    &event, NULL, NULL, 1, YAML_FLOW_SEQUENCE_STYLE)))
		return false;
	for (size_t i = 0; (item = json_array_get(value, i)); i++) {
		if (!value_write(y, item))
			return false;
	}
	return emit(y, &event, yaml_sequence_end_event_initialize(&event));
}

static bool value_write(yaml_emitter_t *y, const json_t *value)
{
	char *text;
	bool ok;

	if (json_is_object(value))
		return mapping_write(y, value);
	if (json_is_array(value))
		return sequence_write(y, value);
	if (json_is_string(value))
		return string_write(y, json_string_value(value));
	text = json_dumps(value, JSON_ENCODE_ANY);
	ok = text && scalar_write(y, text, true);
	free(text);
	return ok;
}

/* Stream and document around the root. */
static bool document_write(yaml_emitter_t *y, const json_t *root)
{
	yaml_event_t event;

	return emit(y, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING)) &&
		emit(y, &event,
			yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1)) &&
		value_write(y, root) &&
		emit(y, &event, yaml_document_end_event_initialize(&event, 1)) &&
		emit(y, &event, yaml_stream_end_event_initialize(&event)) && yaml_emitter_flush(y);
}

bool doc_write(const json_t *root, FILE *to)
{
	yaml_emitter_t y;
	bool ok;

	if (!yaml_emitter_initialize(&y))
		return false;
	yaml_emitter_set_output(&y, text_add, to);
	yaml_emitter_set_unicode(&y, 1);
	yaml_emitter_set_width(&y, WIDTH);
	ok = document_write(&y, root);
	yaml_emitter_delete(&y);
	return ok;
}
