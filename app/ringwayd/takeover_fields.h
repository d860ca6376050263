/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Structures as JSON objects, by tables of their members. A reader ignores members that it does not
 * know; of those that it knows, the optional ones may be absent and then stay as they are. So a
 * later version may add members, and leave out optional ones. Whatever a reader must not miss
 * raises the version (takeover.h).
 *
 * Thread: control.
 */
#include <stdbool.h>

#include "takeover_wire.h"

enum field_type {
	FIELD_BOOL,
	FIELD_UINT, /* of any size; 64 bits are written as two's complement */
	FIELD_INT,  /* int32_t */
	FIELD_FD,   /* an int; the index of a descriptor, or null */
	FIELD_HEX,  /* bytes, as a text of hexadecimal digits */
	FIELD_TEXT, /* the same of a text that ends with 0 in a longer member, which is all 0 */
};

struct field {
	const char *name;
	enum field_type type;
	bool optional;
	size_t size, at;
};

#define FIELD_OF(s, member, field_type, may_lack)                                         \
	{                                                                                 \
		.name = #member, .type = field_type, .optional = may_lack,                \
		.size = sizeof(((struct s *)0)->member), .at = offsetof(struct s, member) \
	}
#define NEEDED(s, member, type)   FIELD_OF(s, member, FIELD_##type, false)
#define OPTIONAL(s, member, type) FIELD_OF(s, member, FIELD_##type, true)

/* `from` as a new object; its descriptors are added to `fds`. NULL: no memory. */
json_t *fields_write(
	const struct field *fields, size_t n, const void *from, struct takeover_fds *fds);
/*
 * Fill in `to`; its descriptors are taken out of `fds`. NULL: done; else the name of a field that
 * is missing or wrong, and what was done is done.
 */
const char *fields_read(const struct field *fields, size_t n, const json_t *from, void *to,
	struct takeover_fds *fds);
