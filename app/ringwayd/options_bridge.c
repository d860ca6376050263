/* SPDX-License-Identifier: BSD-3-Clause */
/* Bridges, the names of VLANs, and what a port says of its bridge and its kind of tag. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "options_internal.h"

/* ---- bridges ---- */

static bool is_default(const char *name)
{
	return !strcmp(name, OPTIONS_BRIDGE_DEFAULT);
}

bool options_bridge_exists(const struct options *opt, const char *name)
{
	for (unsigned i = 0; i < opt->nbridges; i++) {
		if (!strcmp(opt->bridges[i], name))
			return true;
	}
	return is_default(name);
}

int options_set_bridge(struct parse *p, const char *value)
{
	struct options *opt = p->opt;

	if (!options_name_valid(value))
		return options_mistake(
			p, "--bridge=%s: that cannot name a bridge (" NAME_RULE ")", value);
	if (options_bridge_exists(opt, value))
		return options_mistake(p, "--bridge=%s: there is one already", value);
	if (opt->nbridges == OPTIONS_BRIDGES_MAX)
		return options_mistake(
			p, "--bridge=%s: there are more than %d", value, OPTIONS_BRIDGES_MAX);
	strcpy(opt->bridges[opt->nbridges++], value);
	return 0;
}

json_t *options_get_bridges(const struct options *opt)
{
	json_t *list = opt->nbridges ? json_array() : NULL;

	for (unsigned i = 0; i < opt->nbridges; i++)
		json_array_append_new(list, json_string(opt->bridges[i]));
	return list;
}

/* The port names no bridge that there is. */
static int bridge_refuse(struct parse *p, const char *what, const char *name)
{
	const char **names = calloc(p->opt->nbridges + 1, sizeof(*names)), *nearest = NULL;

	for (unsigned i = 0; names && i < p->opt->nbridges; i++)
		names[i] = p->opt->bridges[i];
	if (names)
		nearest = rw_text_nearest(name, names, p->opt->nbridges);
	free(names);
	if (nearest)
		return options_mistake(
			p, "%s: there is no bridge %s: did you mean %s?", what, name, nearest);
	return options_mistake(p, "%s: there is no bridge %s: %s", what, name,
		p->running ? "ringway bridge add makes one"
			   : "name it with --bridge or in the document's bridges");
}

int options_set_port_bridge(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	if (strlen(value) > OPTIONS_NAME_MAX || !*value)
		return options_mistake(
			p, "%s: bridge is \"%s\", but must be the name of one", what, value);
	strcpy(port->vlans.bridge, is_default(value) ? "" : value);
	/* On the command line, a bridge may be named behind the port. */
	return p->source || p->running ? options_port_bridge_check(p, what, port) : 0;
}

json_t *options_get_port_bridge(const struct options_port *port)
{
	return port->vlans.bridge[0] ? json_string(port->vlans.bridge) : NULL;
}

int options_port_bridge_check(struct parse *p, const char *what, const struct options_port *port)
{
	const char *name = port->vlans.bridge;

	return !*name || options_bridge_exists(p->opt, name) ? 0 : bridge_refuse(p, what, name);
}

const char *options_bridge_of(const struct options_port *port)
{
	return port->vlans.bridge[0] ? port->vlans.bridge : OPTIONS_BRIDGE_DEFAULT;
}

int options_bridge_add(struct options *opt, const char *name, char *err, size_t errlen)
{
	struct parse p = {.opt = opt, .err = err, .errlen = errlen, .running = true};

	return options_set_bridge(&p, name);
}

int options_bridge_del(struct options *opt, const char *name, char *err, size_t errlen)
{
	struct parse p = {.opt = opt, .err = err, .errlen = errlen, .running = true};
	unsigned i = 0;

	if (is_default(name))
		return options_mistake(&p, "bridge %s is always there", name);
	while (i < opt->nbridges && strcmp(opt->bridges[i], name))
		i++;
	if (i == opt->nbridges)
		return options_mistake(&p, "there is no bridge \"%s\"", name);
	for (unsigned k = 0; k < opt->nports; k++) {
		if (!strcmp(opt->ports[k].vlans.bridge, name))
			return options_mistake(&p,
				"bridge %s has ports, such as %s: delete them, or set another "
				"bridge for them",
				name, opt->ports[k].name);
	}
	for (unsigned k = 0; k < opt->nmirrors; k++) {
		if (!strcmp(opt->mirrors[k].bridge, name))
			return options_mistake(&p, "bridge %s has a mirror: delete mirror %s first",
				name, opt->mirrors[k].name);
	}
	opt->nbridges--;
	memmove(opt->bridges[i], opt->bridges[i + 1],
		(opt->nbridges - i) * sizeof(opt->bridges[0]));
	return 0;
}

/* ---- names of VLANs ---- */

const char *options_vlan_name(const struct options *opt, unsigned vlan)
{
	for (unsigned i = 0; i < opt->nvlan_names; i++) {
		if (opt->vlan_names[i].vlan == vlan)
			return opt->vlan_names[i].name;
	}
	return NULL;
}

uint16_t options_vlan_named(const struct options *opt, const char *name, size_t len)
{
	for (unsigned i = 0; i < opt->nvlan_names; i++) {
		const struct options_vlan_name *v = &opt->vlan_names[i];

		if (!strncmp(v->name, name, len) && !v->name[len])
			return v->vlan;
	}
	return 0;
}

const char *options_vlan_nearest(const struct options *opt, const char *name)
{
	const char **names = calloc(opt->nvlan_names + 1, sizeof(*names)), *nearest = NULL;

	for (unsigned i = 0; names && i < opt->nvlan_names; i++)
		names[i] = opt->vlan_names[i].name;
	if (names)
		nearest = rw_text_nearest(name, names, opt->nvlan_names);
	free(names);
	return nearest;
}

/* Words that mean something else where a VLAN is named. */
static bool is_taken(const char *name)
{
	return !strcmp(name, "all") || !strcmp(name, "none");
}

/* NAME=VID */
int options_set_vlan_name(struct parse *p, const char *value)
{
	struct options *opt = p->opt;
	const char *equals = strchrnul(value, '=');
	struct options_vlan_name v = {.vlan = 0};
	uint32_t vlan;

	if (*equals != '=' || equals - value > OPTIONS_NAME_MAX)
		return options_mistake(p, "--vlan=%s: give NAME=VID", value);
	memcpy(v.name, value, (size_t)(equals - value));
	if (!options_name_valid(v.name) || !strchr(OPTIONS_LETTERS, v.name[0]) || is_taken(v.name))
		return options_mistake(p,
			"--vlan=%s: that cannot name a VLAN (" NAME_RULE
			", the first one a letter; all and none are taken)",
			value);
	if (!rw_text_number(equals + 1, 1, OPTIONS_VLAN_MAX, &vlan))
		return options_mistake(
			p, "--vlan=%s: give a VLAN id from 1 to %d", value, OPTIONS_VLAN_MAX);
	if (options_vlan_named(opt, v.name, strlen(v.name)))
		return options_mistake(p, "--vlan=%s: the name is given twice", value);
	if (options_vlan_name(opt, vlan))
		return options_mistake(p, "--vlan=%s: that VLAN has the name %s", value,
			options_vlan_name(opt, vlan));
	v.vlan = (uint16_t)vlan;
	opt->vlan_names[opt->nvlan_names++] = v;
	return 0;
}

json_t *options_get_vlan_names(const struct options *opt)
{
	json_t *names = opt->nvlan_names ? json_object() : NULL;

	for (unsigned i = 0; i < opt->nvlan_names; i++)
		json_object_set_new(
			names, opt->vlan_names[i].name, json_integer(opt->vlan_names[i].vlan));
	return names;
}

/* ---- the kind of tag ---- */

int options_tpid_read(struct parse *p, const char *what, const char *value, bool *service)
{
	if (strcmp(value, "8021q") && strcmp(value, "8021ad"))
		return options_mistake(
			p, "%s: tpid is \"%s\", but must be 8021q or 8021ad", what, value);
	*service = !strcmp(value, "8021ad");
	return 0;
}

int options_set_tpid(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	return options_tpid_read(p, what, value, &port->vlans.service);
}

json_t *options_get_tpid(const struct options_port *port)
{
	return port->vlans.service ? json_string("8021ad") : NULL;
}

/* ---- what the command line says and a document does not ---- */

void options_names_take(struct options *to, const struct options *from, uint64_t words)
{
	for (size_t i = 0; i < options_nrows; i++) {
		if (!(words >> i & 1))
			continue;
		if (options_rows[i].set == options_set_bridge) {
			memcpy(to->bridges, from->bridges, sizeof(to->bridges));
			to->nbridges = from->nbridges;
		} else if (options_rows[i].set == options_set_vlan_name) {
			memcpy(to->vlan_names, from->vlan_names, sizeof(to->vlan_names));
			to->nvlan_names = from->nvlan_names;
		} else if (options_rows[i].set == options_set_mirror) {
			memcpy(to->mirrors, from->mirrors, sizeof(to->mirrors));
			to->nmirrors = from->nmirrors;
		}
	}
}
