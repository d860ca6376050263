/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy of a port: what the switch refuses of its frames. */
#include <stdio.h>
#include <string.h>

#include "kinds.h"

/* "on" or "off". 0 or a mistake. */
static int flag_read(
	struct parse *p, const char *what, const char *key, const char *value, bool *out)
{
	if (strcmp(value, "on") && strcmp(value, "off"))
		return options_mistake(
			p, "%s: %s is \"%s\", but must be on or off", what, key, value);
	*out = !strcmp(value, "on");
	return 0;
}

static json_t *flag_get(bool on)
{
	return on ? json_true() : NULL;
}

static int set_admin(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	if (strcmp(value, "up") && strcmp(value, "down"))
		return options_mistake(
			p, "%s: admin is \"%s\", but must be up or down", what, value);
	port->policy.down = !strcmp(value, "down");
	return 0;
}

static json_t *get_admin(const struct options_port *port)
{
	return port->policy.down ? json_string("down") : NULL;
}

static int set_isolated(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	return flag_read(p, what, "isolated", value, &port->policy.isolated);
}

static json_t *get_isolated(const struct options_port *port)
{
	return flag_get(port->policy.isolated);
}

static int set_promiscuous(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	return flag_read(p, what, "promiscuous", value, &port->policy.promiscuous);
}

static json_t *get_promiscuous(const struct options_port *port)
{
	return flag_get(port->policy.promiscuous);
}

static const struct port_option rows[] = {
	{"admin", "up|down", false, true, set_admin, get_admin},
	{"isolated", "on|off", false, true, set_isolated, get_isolated},
	{"promiscuous", "on|off", false, true, set_promiscuous, get_promiscuous},
};

const struct port_option *options_policy_at(unsigned i)
{
	return i < RW_ARRAY_SIZE(rows) ? &rows[i] : NULL;
}

json_t *options_policy_json(const struct options_port *port)
{
	json_t *all = json_object();

	for (size_t i = 0; i < RW_ARRAY_SIZE(rows); i++) {
		json_t *value = rows[i].get(port);

		if (value)
			json_object_set_new(all, rows[i].key, value);
	}
	return all;
}

int options_policy_check(struct parse *p, const char *what, const struct options_port *port)
{
	if (port->policy.isolated && port->policy.promiscuous)
		return options_mistake(p, "%s: a port is either isolated or promiscuous%s", what,
			p->running ? ": set the other one to off" : "");
	return 0;
}
