/* SPDX-License-Identifier: BSD-3-Clause */
/* Which VLANs a port is in: vlan=, trunk= and native=. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options_internal.h"

#define NONE "none"

bool options_vlan_has(const struct options_vlans *v, unsigned vlan)
{
	return v->allowed[vlan / 64] >> (vlan % 64) & 1;
}

static void vlan_add(struct options_vlans *v, unsigned vlan)
{
	v->allowed[vlan / 64] |= UINT64_C(1) << (vlan % 64);
}

/*
 * `value` is no VLAN id and no name of one: "" or what to put behind that. `text` has room for it.
 */
static const char *name_hint(const struct parse *p, const char *value, char text[96])
{
	const char *nearest = options_vlan_nearest(p->opt, value);

	text[0] = '\0';
	if (nearest)
		snprintf(text, 96, ": did you mean %s?", nearest);
	else if (*value && strchr(OPTIONS_LETTERS, *value))
		strcpy(text, ": no VLAN has that name");
	return text;
}

/* One VLAN id or name, or 0 for "none". 0 or a mistake. */
static int vlan_read(
	struct parse *p, const char *what, const char *key, const char *value, uint16_t *out)
{
	uint32_t vlan = options_vlan_named(p->opt, value, strlen(value));
	char hint[96];

	if (!vlan && strcmp(value, NONE) && !rw_text_number(value, 1, OPTIONS_VLAN_MAX, &vlan))
		return options_mistake(p,
			"%s: %s is \"%s\", but must be a VLAN id from 1 to %d, "
			"or " NONE "%s",
			what, key, value, OPTIONS_VLAN_MAX, name_hint(p, value, hint));
	*out = (uint16_t)vlan;
	return 0;
}

int options_set_vlan(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	return vlan_read(p, what, "vlan", value, &port->vlans.access);
}

int options_set_native(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	return vlan_read(p, what, "native", value, &port->vlans.native);
}

/* "10" or "20-30" at `*s`, which is moved behind it, into the allowed VLANs. */
static bool range_read(const char **s, struct options_vlans *v)
{
	uint32_t first, last;

	if (!rw_text_scan(s, OPTIONS_VLAN_MAX, &first) || !first)
		return false;
	last = first;
	if (**s == '-') {
		(*s)++;
		if (!rw_text_scan(s, OPTIONS_VLAN_MAX, &last) || last < first)
			return false;
	}
	for (uint32_t vlan = first; vlan <= last; vlan++)
		vlan_add(v, vlan);
	return true;
}

/*
 * "10+20-30+NAME" into the allowed VLANs. NULL; or what is none, which begins the rest of the text.
 */
static const char *list_read(const struct options *opt, const char *s, struct options_vlans *v)
{
	const char *item;

	do {
		size_t len = strcspn(s, "+");
		uint16_t named = options_vlan_named(opt, s, len);

		item = s;
		if (named) {
			vlan_add(v, named);
			s += len;
		} else if (!range_read(&s, v)) {
			return item;
		}
	} while (*s++ == '+');
	return s[-1] ? item : NULL;
}

int options_set_trunk(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	struct options_vlans v = port->vlans;
	const char *wrong = NULL;
	char hint[96], item[OPTIONS_NAME_MAX + 1];

	memset(v.allowed, 0, sizeof(v.allowed));
	v.trunk = strcmp(value, NONE);
	if (v.trunk)
		wrong = list_read(p->opt, strcmp(value, "all") ? value : "1-4094", &v);
	if (wrong) {
		snprintf(item, sizeof(item), "%.*s", (int)strcspn(wrong, "+"), wrong);
		return options_mistake(p,
			"%s: trunk is \"%s\", but must be VLAN ids from 1 to %d, "
			"like 10+20-30, or all, or " NONE "%s",
			what, value, OPTIONS_VLAN_MAX, name_hint(p, item, hint));
	}
	port->vlans = v;
	return 0;
}

json_t *options_get_vlan(const struct options_port *port)
{
	return port->vlans.access ? json_integer(port->vlans.access) : NULL;
}

json_t *options_get_native(const struct options_port *port)
{
	return port->vlans.native ? json_integer(port->vlans.native) : NULL;
}

json_t *options_get_trunk(const struct options_port *port)
{
	char text[OPTIONS_VLANS_TEXT], *rest = text, *item;
	json_t *list;

	if (!port->vlans.trunk)
		return NULL;
	options_vlans_text(&port->vlans, text, sizeof(text));
	if (!strcmp(text, "1-4094"))
		return json_string("all");
	list = json_array();
	while ((item = strsep(&rest, "+")))
		json_array_append_new(
			list, strchr(item, '-') ? json_string(item) : json_integer(atoi(item)));
	return list;
}

int options_vlans_check(struct parse *p, const char *what, const struct options_vlans *v)
{
	if (v->access && v->trunk)
		return options_mistake(p, "%s: a port has either vlan= or trunk=%s", what,
			p->running ? ": set the other one to " NONE : "");
	if (v->native && !v->trunk)
		return options_mistake(p, "%s: native= is for a port with trunk=%s", what,
			p->running ? ": set it to " NONE : "");
	return 0;
}

void options_vlans_text(const struct options_vlans *v, char *out, size_t len)
{
	size_t at = 0;

	*out = '\0';
	for (unsigned vlan = 1; vlan <= OPTIONS_VLAN_MAX && at < len; vlan++) {
		unsigned first = vlan;

		if (!options_vlan_has(v, vlan))
			continue;
		while (vlan < OPTIONS_VLAN_MAX && options_vlan_has(v, vlan + 1))
			vlan++;
		at += (size_t)snprintf(out + at, len - at, at ? "+%u" : "%u", first);
		if (vlan > first && at < len)
			at += (size_t)snprintf(out + at, len - at, "-%u", vlan);
	}
}
