/* SPDX-License-Identifier: BSD-3-Clause */
/* The policy of a port: what the switch refuses of its frames. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "kinds.h"

#define NONE "none"

/* How an option that is one member of the policy is set, and read back. */
#define POLICY(id, key, member, read, give)                                                      \
	static int set_##id(                                                                     \
		struct parse *p, const char *what, struct options_port *port, const char *value) \
	{                                                                                        \
		return read(p, what, key, value, &port->policy.member);                          \
	}                                                                                        \
	static json_t *get_##id(const struct options_port *port)                                 \
	{                                                                                        \
		return give(&port->policy.member);                                               \
	}

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

static json_t *flag_get(const bool *on)
{
	return *on ? json_true() : NULL;
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

POLICY(isolated, "isolated", isolated, flag_read, flag_get)
POLICY(promiscuous, "promiscuous", promiscuous, flag_read, flag_get)

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

static json_t *may_get(const bool *is_none)
{
	return *is_none ? json_false() : NULL;
}

POLICY(dhcp_server, "dhcp-server", no_dhcp_server, may_read, may_get)
POLICY(router, "router", no_router, may_read, may_get)

/* ---- how much a port may send and receive ---- */

#define RATE_MAX   UINT64_C(1000000000000) /* bits in a second */
#define FRAMES_MAX UINT64_C(1000000000)
#define BURST_MAX  UINT64_C(1000000000)

/* What stands behind a number of bits in a second, largest first. */
static const struct {
	const char *name;
	uint64_t bits;
} rate_units[] = {{"Gbit", 1000000000}, {"Mbit", 1000000}, {"Kbit", 1000}};

/* "1000fps", "10Mbit", "none". False: it is none of these. */
static bool rate_parse(const char *value, bool frames_too, struct sw_rate *out)
{
	uint64_t n;
	char *end;

	if (!strcmp(value, NONE)) {
		out->per_s = 0;
		return true;
	}
	if (*value < '1' || *value > '9' || strlen(value) > 16)
		return false;
	n = strtoull(value, &end, 10);
	out->frames = frames_too && !strcmp(end, "fps");
	if (out->frames) {
		out->per_s = n;
		return n <= FRAMES_MAX;
	}
	for (size_t i = 0; i < RW_ARRAY_SIZE(rate_units); i++) {
		if (strcmp(end, rate_units[i].name))
			continue;
		out->per_s = n * (rate_units[i].bits / 8);
		return n <= RATE_MAX / rate_units[i].bits;
	}
	return false;
}

static json_t *rate_get(const struct sw_rate *rate)
{
	uint64_t bits = rate->per_s * 8;
	size_t i = 0;

	if (!rate->per_s)
		return NULL;
	if (rate->frames)
		return json_sprintf("%jufps", (uintmax_t)rate->per_s);
	while (bits % rate_units[i].bits)
		i++;
	return json_sprintf("%ju%s", (uintmax_t)(bits / rate_units[i].bits), rate_units[i].name);
}

/* 0 or a mistake. */
static int rate_read(
	struct parse *p, const char *what, const char *key, const char *value, struct sw_rate *out)
{
	bool storm = !strncmp(key, "storm-", 6);
	struct sw_rate rate = *out;

	if (!rate_parse(value, storm, &rate))
		return options_mistake(p,
			"%s: %s is \"%s\", but must be bits in a second, 64Kbit, 10Mbit, 1Gbit%s, "
			"or " NONE,
			what, key, value, storm ? ", or frames, 1000fps" : "");
	*out = rate;
	return 0;
}

/* Bytes, with K or M behind them. 0 or a mistake. */
static int burst_read(
	struct parse *p, const char *what, const char *key, const char *value, struct sw_rate *out)
{
	uint64_t n = 0;
	char *end = "";

	if (*value >= '1' && *value <= '9' && strlen(value) < 12)
		n = strtoull(value, &end, 10);
	n <<= !strcmp(end, "K") ? 10 : !strcmp(end, "M") ? 20 : 0;
	end += *end == 'K' || *end == 'M';
	if (strcmp(value, NONE) && (*end || n < FRAME_MAX_LEN || n > BURST_MAX))
		return options_mistake(p,
			"%s: %s is \"%s\", but must be bytes, at least %d (the longest frame), "
			"like 128K or 1M, or " NONE,
			what, key, value, FRAME_MAX_LEN);
	out->burst = n;
	return 0;
}

static json_t *burst_get(const struct sw_rate *rate)
{
	return rate->burst ? json_integer((json_int_t)rate->burst) : NULL;
}

POLICY(storm_broadcast, "storm-broadcast", storm[SW_STORM_BROADCAST], rate_read, rate_get)
POLICY(storm_multicast, "storm-multicast", storm[SW_STORM_MULTICAST], rate_read, rate_get)
POLICY(storm_unknown, "storm-unknown", storm[SW_STORM_UNKNOWN], rate_read, rate_get)
POLICY(rate_rx, "rate-rx", rx, rate_read, rate_get)
POLICY(rate_tx, "rate-tx", tx, rate_read, rate_get)
POLICY(burst_rx, "burst-rx", rx, burst_read, burst_get)
POLICY(burst_tx, "burst-tx", tx, burst_read, burst_get)

/* ---- other ---- */

#define MTU_MIN 68 /* RFC 791 */

static int set_mtu(struct parse *p, const char *what, struct options_port *port, const char *value)
{
	uint32_t mtu = 0;

	if (strcmp(value, NONE) && !rw_text_number(value, MTU_MIN, UINT16_MAX, &mtu))
		return options_mistake(p,
			"%s: mtu is \"%s\", but must be bytes from %d to %d, or " NONE, what, value,
			MTU_MIN, UINT16_MAX);
	port->policy.mtu = (uint16_t)mtu;
	return 0;
}

static json_t *get_mtu(const struct options_port *port)
{
	return port->policy.mtu ? json_integer(port->policy.mtu) : NULL;
}

POLICY(learning, "learning", no_learning, may_read, may_get)

static int set_excess(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	if (strcmp(value, "forget") && strcmp(value, "drop"))
		return options_mistake(p,
			"%s: excess-addresses is \"%s\", but must be forget or drop", what, value);
	port->policy.drop_excess = !strcmp(value, "drop");
	return 0;
}

static json_t *get_excess(const struct options_port *port)
{
	return port->policy.drop_excess ? json_string("drop") : NULL;
}

static const char *const mrouters[] = {
	[SW_MROUTER_AUTO] = "auto", [SW_MROUTER_ON] = "on", [SW_MROUTER_OFF] = "off"};

static int set_mrouter(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	size_t i = 0;

	while (i < RW_ARRAY_SIZE(mrouters) && strcmp(mrouters[i], value))
		i++;
	if (i == RW_ARRAY_SIZE(mrouters))
		return options_mistake(
			p, "%s: mrouter is \"%s\", but must be auto, on or off", what, value);
	port->policy.mrouter = (enum sw_mrouter)i;
	return 0;
}

static json_t *get_mrouter(const struct options_port *port)
{
	return port->policy.mrouter ? json_string(mrouters[port->policy.mrouter]) : NULL;
}

/* Well-known addresses of 01:80:c2:00:00:00 to 0f, by their last digit. */
static const struct {
	const char *name;
	unsigned at;
} links[] = {{"stp", 0}, {"pause", 1}, {"lacp", 2}, {"802.1x", 3}, {"lldp", 14}};

/* The bit of an address, by its name or its number. 0: there is none. */
static uint16_t link_bit(const char *item)
{
	uint32_t at;

	for (size_t i = 0; i < RW_ARRAY_SIZE(links); i++) {
		if (!strcmp(item, links[i].name))
			return (uint16_t)(1u << links[i].at);
	}
	return rw_text_number(item, 0, 15, &at) ? (uint16_t)(1u << at) : 0;
}

static bool link_add(struct sw_policy *policy, const char *item)
{
	uint16_t bit = link_bit(item);

	policy->link_local |= bit;
	return bit;
}

static int set_link_local(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	struct sw_policy policy = {0};

	if (!strcmp(value, "all"))
		policy.link_local = UINT16_MAX;
	else if (list_read(&policy, value, link_add))
		return options_mistake(p,
			"%s: link-local is \"%s\", but must be stp, pause, lacp, 802.1x, lldp or "
			"numbers from 0 to 15, like stp+lldp+5, or all, or " NONE,
			what, value);
	port->policy.link_local = policy.link_local;
	return 0;
}

static json_t *get_link_local(const struct options_port *port)
{
	uint16_t bits = port->policy.link_local;
	json_t *list = bits ? json_array() : NULL;

	for (unsigned at = 0; at < 16; at++) {
		size_t i = 0;

		if (!(bits >> at & 1))
			continue;
		while (i < RW_ARRAY_SIZE(links) && links[i].at != at)
			i++;
		json_array_append_new(list,
			i < RW_ARRAY_SIZE(links) ? json_string(links[i].name)
						 : json_sprintf("%u", at));
	}
	return list;
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
	{"storm-broadcast", "RATE", false, true, set_storm_broadcast, get_storm_broadcast},
	{"storm-multicast", "RATE", false, true, set_storm_multicast, get_storm_multicast},
	{"storm-unknown", "RATE", false, true, set_storm_unknown, get_storm_unknown},
	{"rate-rx", "RATE", false, true, set_rate_rx, get_rate_rx},
	{"rate-tx", "RATE", false, true, set_rate_tx, get_rate_tx},
	{"burst-rx", "SIZE", false, true, set_burst_rx, get_burst_rx},
	{"burst-tx", "SIZE", false, true, set_burst_tx, get_burst_tx},
	{"mtu", "N", false, true, set_mtu, get_mtu},
	{"offload", "NAMES", false, true, options_set_offload, options_get_offload},
	{"link-local", "NAMES", false, true, set_link_local, get_link_local},
	{"learning", "on|off", false, true, set_learning, get_learning},
	{"excess-addresses", "forget|drop", false, true, set_excess, get_excess},
	{"mrouter", "auto|on|off", false, true, set_mrouter, get_mrouter},
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
	if (port->policy.drop_excess && port->limits[RW_BUDGET_ADDRESSES] == RW_BUDGET_NO_LIMIT)
		return options_mistake(p,
			"%s: excess-addresses=drop wants a limit: give max-addresses=N, or "
			"excess-addresses=forget",
			what);
	return 0;
}
