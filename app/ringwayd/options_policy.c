/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy of a port: what the switch refuses of its frames. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"

#define NONE "none"

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

/* ---- what a port may pretend to be ---- */

/*
 * The items of a list, "A+B", one by one: `add` notes one and says whether it could. 0; or a
 * mistake, and `out` is untouched.
 */
static int list_read(struct sw_policy *out, const char *value,
	bool (*add)(struct sw_policy *policy, const char *item))
{
	struct sw_policy policy = *out;
	char *copy = strdup(value), *rest = copy, *item;
	bool good = copy;

	policy.nmacs = 0;
	policy.naddresses = 0;
	while (good && strcmp(value, NONE) && (item = strsep(&rest, "+")))
		good = add(&policy, item);
	free(copy);
	if (!good)
		return -1;
	*out = policy;
	return 0;
}

static bool mac_add(struct sw_policy *policy, const char *item)
{
	if (policy->nmacs == SW_POLICY_MACS || !rw_mac_parse(item, policy->macs[policy->nmacs]))
		return false;
	/* No host has a group address or none. */
	return !(policy->macs[policy->nmacs][0] & 1) &&
		memcmp(policy->macs[policy->nmacs++], (uint8_t[6]){0}, 6);
}

static int set_macs(struct parse *p, const char *what, struct options_port *port, const char *value)
{
	struct sw_policy policy = port->policy;

	if (list_read(&policy, value, mac_add))
		return options_mistake(p,
			"%s: macs is \"%s\", but must be up to %d MAC addresses of hosts, like "
			"52:54:00:00:00:01+52:54:00:00:00:02, or " NONE,
			what, value, SW_POLICY_MACS);
	memcpy(port->policy.macs, policy.macs, sizeof(policy.macs));
	port->policy.nmacs = policy.nmacs;
	return 0;
}

static json_t *get_macs(const struct options_port *port)
{
	json_t *list = port->policy.nmacs ? json_array() : NULL;
	char text[RW_MAC_TEXT];

	for (unsigned i = 0; i < port->policy.nmacs; i++)
		json_array_append_new(list, json_string(rw_mac_text(port->policy.macs[i], text)));
	return list;
}

/* Whether the prefix has only zeros behind its length. */
static bool prefix_is_exact(const struct sw_prefix *prefix)
{
	unsigned bits = prefix->ipv6 ? 128 : 32;

	for (unsigned bit = prefix->len; bit < bits; bit++) {
		if (prefix->bytes[bit / 8] & 0x80 >> bit % 8)
			return false;
	}
	return true;
}

/* "10.0.0.5", "fd00::/64". */
static bool address_add(struct sw_policy *policy, const char *item)
{
	struct sw_prefix prefix = {.ipv6 = strchr(item, ':')};
	uint32_t len = prefix.ipv6 ? 128 : 32;
	const char *slash = strchr(item, '/');
	char text[INET6_ADDRSTRLEN];

	if (policy->naddresses == SW_POLICY_ADDRESSES ||
		(slash ? (size_t)(slash - item) : strlen(item)) >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", slash ? (int)(slash - item) : (int)sizeof(text), item);
	if (inet_pton(prefix.ipv6 ? AF_INET6 : AF_INET, text, prefix.bytes) != 1 ||
		(slash && !rw_text_number(slash + 1, 0, len, &len)))
		return false;
	prefix.len = (uint8_t)len;
	policy->addresses[policy->naddresses++] = prefix;
	return prefix_is_exact(&prefix);
}

static int set_addresses(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	struct sw_policy policy = port->policy;

	if (list_read(&policy, value, address_add))
		return options_mistake(p,
			"%s: addresses is \"%s\", but must be up to %d IP addresses or prefixes, "
			"like 10.0.0.5+fd00::/64, or " NONE,
			what, value, SW_POLICY_ADDRESSES);
	memcpy(port->policy.addresses, policy.addresses, sizeof(policy.addresses));
	port->policy.naddresses = policy.naddresses;
	return 0;
}

static json_t *address_json(const struct sw_prefix *prefix)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(prefix->ipv6 ? AF_INET6 : AF_INET, prefix->bytes, text, sizeof(text));
	if (prefix->len == (prefix->ipv6 ? 128 : 32))
		return json_string(text);
	return json_sprintf("%s/%u", text, prefix->len);
}

static json_t *get_addresses(const struct options_port *port)
{
	json_t *list = port->policy.naddresses ? json_array() : NULL;

	for (unsigned i = 0; i < port->policy.naddresses; i++)
		json_array_append_new(list, address_json(&port->policy.addresses[i]));
	return list;
}

/* Of a port that may be one unless it is said that it is none. */
static int may_read(
	struct parse *p, const char *what, const char *key, const char *value, bool *is_none)
{
	bool may = false;
	int ret = flag_read(p, what, key, value, &may);

	if (!ret)
		*is_none = !may;
	return ret;
}

static json_t *may_get(bool is_none)
{
	return is_none ? json_false() : NULL;
}

static int set_dhcp_server(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	return may_read(p, what, "dhcp-server", value, &port->policy.no_dhcp_server);
}

static json_t *get_dhcp_server(const struct options_port *port)
{
	return may_get(port->policy.no_dhcp_server);
}

static int set_router(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	return may_read(p, what, "router", value, &port->policy.no_router);
}

static json_t *get_router(const struct options_port *port)
{
	return may_get(port->policy.no_router);
}

/* ---- the table ---- */

static const struct port_option rows[] = {
	{"admin", "up|down", false, true, set_admin, get_admin},
	{"isolated", "on|off", false, true, set_isolated, get_isolated},
	{"promiscuous", "on|off", false, true, set_promiscuous, get_promiscuous},
	{"macs", "MACS", false, true, set_macs, get_macs},
	{"addresses", "IPS", false, true, set_addresses, get_addresses},
	{"dhcp-server", "on|off", false, true, set_dhcp_server, get_dhcp_server},
	{"router", "on|off", false, true, set_router, get_router},
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
