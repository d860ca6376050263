/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Uplinks (drivers/ethdev): DPDK's Ethernet devices as ports. Keys that are not known here are
 * arguments of the device's driver.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ethdev_port.h"
#include "kinds.h"

#define MTU_LEAST 68    /* of IPv4 (RFC 791) */
#define MTU_MOST  65000 /* an mbuf's data has 16 bits of length */

/* ---- options ---- */

/* Whether it is an argument that DPDK's parser of arguments takes apart as it is meant. */
static bool is_argument(const char *text)
{
	for (; *text; text++) {
		if (*text <= ' ' || *text > '~')
			return false;
	}
	return true;
}

/* Append to the device's arguments. 0 or a mistake. */
static int device_append(struct parse *p, const char *what, struct options_port *port,
	const char *key, const char *value)
{
	size_t len = strlen(port->device);
	int n;

	if (!is_argument(key) || !is_argument(value))
		return options_mistake(
			p, "%s: \"%s\" is not printable ASCII without blanks", what, value);
	n = snprintf(port->device + len, sizeof(port->device) - len, ",%s=%s", key, value);
	if ((size_t)n >= sizeof(port->device) - len)
		return options_mistake(p, "%s: the device's arguments have more than %zu bytes",
			what, sizeof(port->device) - 1);
	return 0;
}

/* The arguments that came before "device" follow its own. */
static int set_device(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	char given[sizeof(port->device)];
	int n;

	strcpy(given, port->device);
	if (!*value || *value == ',' || !is_argument(value))
		return options_mistake(p,
			"%s: device is \"%s\", but must be one of DPDK's, such as net_af_packet, "
			"or "
			"the address of a PCI device",
			what, value);
	n = snprintf(port->device, sizeof(port->device), "%s%s", value, given);
	if ((size_t)n >= sizeof(port->device))
		return options_mistake(p, "%s: the device's arguments have more than %zu bytes",
			what, sizeof(port->device) - 1);
	return 0;
}

/* With all arguments of its driver. */
static json_t *get_device(const struct options_port *port)
{
	return port->device[0] ? json_string(port->device) : NULL;
}

static json_t *get_mtu(const struct options_port *port)
{
	return port->mtu ? json_integer(port->mtu) : NULL;
}

static json_t *get_queues(const struct options_port *port)
{
	return port->queues ? json_integer(port->queues) : NULL;
}

static int set_mtu(struct parse *p, const char *what, struct options_port *port, const char *value)
{
	uint32_t mtu;

	if (!rw_text_number(value, MTU_LEAST, MTU_MOST, &mtu))
		return options_mistake(p, "%s: mtu is \"%s\", but must be %d to %d", what, value,
			MTU_LEAST, MTU_MOST);
	port->mtu = (uint16_t)mtu;
	return 0;
}

static int set_queues(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	uint32_t n;

	if (!rw_text_number(value, 1, PORT_MAX_PAIRS, &n))
		return options_mistake(p, "%s: queues is \"%s\", but must be 1 to %d", what, value,
			PORT_MAX_PAIRS);
	port->queues = (uint16_t)n;
	return 0;
}

static const struct port_option options[] = {
	{"device", "DRIVER|PCI-ADDRESS", true, false, set_device, get_device},
	{"mtu", "BYTES", false, false, set_mtu, get_mtu},
	{"queues", "N", false, false, set_queues, get_queues},
};

static int check(struct parse *p, struct options_port *port)
{
	if (p->running || p->confined)
		return options_mistake(p,
			"port %s: an uplink needs privileges that ringwayd gives up when it has "
			"started: put it on the command line or into the configuration, and "
			"restart ringwayd",
			port->name);
	return 0;
}

/* ---- life ---- */

static struct ethdev_device_config device_config(const struct options_port *port, unsigned nworkers)
{
	return (struct ethdev_device_config){.device = port->device,
		.queues = port->queues,
		.mtu = port->mtu,
		.nworkers = nworkers};
}

static size_t memory(const struct options_port *port, unsigned nworkers)
{
	const struct ethdev_device_config cfg = device_config(port, nworkers);

	return ethdev_device_memory(&cfg);
}

static int prepare(struct options_port *port, unsigned nworkers, char *err, size_t errlen)
{
	const struct ethdev_device_config cfg = device_config(port, nworkers);
	struct ethdev_device *dev;
	int ret = ethdev_device_open(&cfg, &dev, err, errlen);

	if (!ret)
		port->prepared = dev;
	return ret;
}

static void discard(struct options_port *port)
{
	ethdev_device_close(port->prepared);
	port->prepared = NULL;
}

static int new_port(const struct port_context *ctx, const struct options_port *port, void **out,
	char *err, size_t errlen)
{
	const struct ethdev_port_config cfg = {
		.sw = ctx->sw, .loop = ctx->loop, .name = port->name, .device = port->prepared};
	struct ethdev_port *ep;
	int ret = ethdev_port_new(&cfg, &ep);

	if (!ret)
		*out = ep;
	else
		snprintf(err, errlen, "cannot use the device: %s", strerror(-ret));
	return ret;
}

static void change_port(void *handle, const struct options_port *port, char *note, size_t notelen)
{
	(void)handle, (void)port;
	if (notelen)
		*note = 0;
}

static void free_port(void *handle)
{
	ethdev_port_free(handle);
}

/* ---- what an operator sees ---- */

static json_t *mac_json(const struct ethdev_port_info *info)
{
	char mac[RW_MAC_TEXT];

	return info->mac_known ? json_string(rw_mac_text(info->mac, mac)) : json_null();
}

static json_t *describe(void *handle)
{
	struct ethdev_port_info info;

	ethdev_port_describe(handle, &info);
	return json_pack("{s:s, s:s, s:s*, s:o, s:i, s:o, s:i, s:b}", "device", info.device,
		"device_driver", info.driver, "interface",
		info.interface[0] ? info.interface : NULL, "speed",
		info.speed ? json_integer((json_int_t)info.speed) : json_null(), "mtu", info.mtu,
		"mac", mac_json(&info), "pairs", (int)RW_MAX(info.rx_queues, info.tx_queues),
		"connected", info.link);
}

static json_t *stats_json(const struct rte_eth_stats *s)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rx_frames",
		(json_int_t)s->ipackets, "rx_bytes", (json_int_t)s->ibytes, "rx_missed",
		(json_int_t)s->imissed, "rx_errors", (json_int_t)s->ierrors, "rx_no_buffer",
		(json_int_t)s->rx_nombuf, "tx_frames", (json_int_t)s->opackets, "tx_bytes",
		(json_int_t)s->obytes, "tx_errors", (json_int_t)s->oerrors);
}

/* The names whose offloads the device has. */
static json_t *names_json(const char *const names[], const bool has[], size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		if (has[i])
			json_array_append_new(list, json_string(names[i]));
	}
	return list;
}

static void offloads_add(json_t *port, const struct ethdev_port_info *info)
{
	static const char *const tx[] = {"csum", "tso4", "tso6"},
				 *const rx[] = {"csum", "large", "rss"};
	const bool has_tx[] = {info->tx_csum, info->tx_tso, info->tx_tso};
	const bool has_rx[] = {info->rx_csum, info->rx_large, info->rx_rss};

	json_object_set_new(port, "tx_offloads", names_json(tx, has_tx, RW_ARRAY_SIZE(tx)));
	json_object_set_new(port, "rx_offloads", names_json(rx, has_rx, RW_ARRAY_SIZE(rx)));
}

static json_t *show(void *handle)
{
	struct ethdev_port_info info;
	json_t *port = describe(handle);

	ethdev_port_describe(handle, &info);
	offloads_add(port, &info);
	json_object_set_new(port, "rx_queues", json_integer(info.rx_queues));
	json_object_set_new(port, "tx_queues", json_integer(info.tx_queues));
	json_object_set_new(port, "device_stats", stats_json(&info.stats));
	return port;
}

const struct port_kind kind_ethdev = {
	.name = "ethdev",
	.options = options,
	.noptions = RW_ARRAY_SIZE(options),
	.other = device_append,
	.check = check,
	.memory = memory,
	.prepare = prepare,
	.discard = discard,
	.new = new_port,
	.change = change_port,
	.free = free_port,
	.describe = describe,
	.show = show,
};
