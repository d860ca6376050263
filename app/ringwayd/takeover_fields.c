/* SPDX-License-Identifier: BSD-3-Clause */
#include "takeover_fields.h"

#include <stdlib.h>
#include <string.h>

/* ---- out ---- */

static uint64_t uint_get(const void *at, size_t size)
{
	uint64_t v = 0;

	/* Little-endian, as all supported CPUs are. */
	memcpy(&v, at, size);
	return v;
}

static json_t *hex_json(const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * n + 1);
	json_t *out;

	if (!text)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	out = json_stringn(text, 2 * n);
	free(text);
	return out;
}

static json_t *text_json(const char *text, size_t size)
{
	return hex_json((const uint8_t *)text, strnlen(text, size - 1));
}

static json_t *fd_json(int fd, struct takeover_fds *fds)
{
	int index = fd < 0 ? -1 : takeover_fd_add(fds, fd);

	if (fd >= 0 && index < 0)
		return NULL;
	return fd < 0 ? json_null() : json_integer(index);
}

static json_t *field_json(const struct field *f, const void *from, struct takeover_fds *fds)
{
	const uint8_t *at = (const uint8_t *)from + f->at;
	int32_t number;

	switch (f->type) {
	case FIELD_BOOL:
		return json_boolean(*at);
	case FIELD_UINT:
		return json_integer((json_int_t)uint_get(at, f->size));
	case FIELD_HEX:
		return hex_json(at, f->size);
	case FIELD_TEXT:
		return text_json((const char *)at, f->size);
	case FIELD_INT:
	case FIELD_FD:
		break;
	}
	memcpy(&number, at, sizeof(number));
	return f->type == FIELD_FD ? fd_json(number, fds) : json_integer(number);
}

json_t *fields_write(
	const struct field *fields, size_t n, const void *from, struct takeover_fds *fds)
{
	json_t *all = json_object();

	for (size_t i = 0; i < n; i++) {
		if (!json_object_set_new(all, fields[i].name, field_json(&fields[i], from, fds)))
			continue;
		json_decref(all);
		return NULL;
	}
	return all;
}

/* ---- in ---- */

static bool uint_set(void *at, size_t size, const json_t *v)
{
	uint64_t value = (uint64_t)json_integer_value(v);

	if (!json_is_integer(v) || (size < sizeof(value) && value >> (8 * size)))
		return false;
	memcpy(at, &value, size);
	return true;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A text for a longer member is refused; one for a shorter one leaves the rest as it is. */
static bool hex_set(uint8_t *to, size_t size, const json_t *v)
{
	const char *text = json_string_value(v);
	size_t len = text ? json_string_length(v) : 1;

	if (len % 2 || len / 2 > size)
		return false;
	for (size_t i = 0; i < len / 2; i++) {
		int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool fd_set_at(void *at, const json_t *v, struct takeover_fds *fds)
{
	int fd = -1;

	if (json_is_integer(v))
		fd = takeover_fd_take(fds, json_integer_value(v));
	if (fd < 0 && !json_is_null(v))
		return false;
	memcpy(at, &fd, sizeof(fd));
	return true;
}

static bool field_set(const struct field *f, const json_t *v, void *to, struct takeover_fds *fds)
{
	uint8_t *at = (uint8_t *)to + f->at;
	int32_t number;

	switch (f->type) {
	case FIELD_BOOL:
		*at = json_is_true(v);
		return json_is_boolean(v);
	case FIELD_UINT:
		return uint_set(at, f->size, v);
	case FIELD_HEX:
		return hex_set(at, f->size, v);
	case FIELD_TEXT:
		return hex_set(at, f->size - 1, v);
	case FIELD_FD:
		return fd_set_at(at, v, fds);
	case FIELD_INT:
		break;
	}
	number = (int32_t)json_integer_value(v);
	memcpy(at, &number, sizeof(number));
	return json_is_integer(v) && number == json_integer_value(v);
}

const char *fields_read(const struct field *fields, size_t n, const json_t *from, void *to,
	struct takeover_fds *fds)
{
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_object_get(from, fields[i].name);

		if (v ? !field_set(&fields[i], v, to, fds) : !fields[i].optional)
			return fields[i].name;
	}
	return NULL;
}
