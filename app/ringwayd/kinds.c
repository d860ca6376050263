/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "kinds.h"

static const struct port_kind *const kinds[] = {
	&kind_vhost,
	&kind_ethdev,
};

const struct port_kind *const kind_default = &kind_vhost;

const struct port_kind *kind_by_key(const char *key)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(kinds); i++) {
		for (unsigned k = 0; k < kinds[i]->noptions; k++) {
			if (kinds[i]->options[k].needed && !strcmp(kinds[i]->options[k].key, key))
				return kinds[i];
		}
	}
	return NULL;
}

const struct port_kind *kind_by_name(const char *name)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(kinds); i++) {
		if (!strcmp(kinds[i]->name, name))
			return kinds[i];
	}
	return NULL;
}

const struct port_kind *kind_at(unsigned i)
{
	return i < RW_ARRAY_SIZE(kinds) ? kinds[i] : NULL;
}

const char *kind_names(void)
{
	static char names[128];
	size_t len = 0;

	for (size_t i = 0; i < RW_ARRAY_SIZE(kinds) && len < sizeof(names); i++)
		len += (size_t)snprintf(
			names + len, sizeof(names) - len, "%s%s", i ? ", " : "", kinds[i]->name);
	return names;
}
