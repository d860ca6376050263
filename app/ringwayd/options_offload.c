/* SPDX-License-Identifier: BSD-3-Clause */
/* Which offloads of those that its guest negotiated a port uses. */
#include <stdlib.h>
#include <string.h>

#include "frame_convert.h"
#include "options_internal.h"

/* What a user can name. Those with one bit are shown. */
static const struct {
	const char *name;
	uint8_t bits;
} names[] = {
	{"csum", FRAME_TAKES_CSUM},
	{"tso4", FRAME_TAKES_TSO4},
	{"tso6", FRAME_TAKES_TSO6},
	{"ecn", FRAME_TAKES_ECN},
	{"uso4", FRAME_TAKES_USO4},
	{"uso6", FRAME_TAKES_USO6},
	{"tso", FRAME_TAKES_TSO4 | FRAME_TAKES_TSO6},
	{"uso", FRAME_TAKES_USO4 | FRAME_TAKES_USO6},
	{"all", FRAME_TAKES_ALL},
};

/* "tso", "-tso", "none". False: it is no such item. */
static bool item_read(const char *item, uint8_t *refuses)
{
	bool off = *item == '-';

	if (!strcmp(item, "none")) {
		*refuses = FRAME_TAKES_ALL;
		return true;
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(names); i++) {
		if (strcmp(item + off, names[i].name))
			continue;
		*refuses = (uint8_t)(off ? *refuses | names[i].bits : *refuses & ~names[i].bits);
		return true;
	}
	return false;
}

int options_set_offload(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	char *copy = strdup(value), *rest = copy, *item;
	uint8_t refuses = 0;
	bool good = copy;

	/* One by one, from what holds when nothing is said. */
	while (good && (item = strsep(&rest, "+,")))
		good = item_read(item, &refuses);
	free(copy);
	if (!good)
		return options_mistake(p,
			"%s: offload is \"%s\", but must be csum, tso, tso4, tso6, ecn, uso, uso4, "
			"uso6 or all, each with - in front of it or not, like -tso+-uso, or none",
			what, value);
	port->policy.refuses_offload = refuses;
	return 0;
}

json_t *options_get_offload(const struct options_port *port)
{
	uint8_t refuses = port->policy.refuses_offload;
	json_t *list;

	if (!refuses)
		return NULL;
	list = json_array();
	for (size_t i = 0; i < RW_ARRAY_SIZE(names); i++) {
		if (refuses & names[i].bits && !(names[i].bits & (names[i].bits - 1)))
			json_array_append_new(list, json_sprintf("-%s", names[i].name));
	}
	return list;
}
