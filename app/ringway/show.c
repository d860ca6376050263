/* SPDX-License-Identifier: BSD-3-Clause */
/* The page of `port show`: facts, a line or a few for each, then the tables of memory and rings. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "commands.h"
#include "rw_text.h"

#define LABEL_WIDTH 18
#define PAGE_WIDTH  80

/* Start a fact; its text follows. */
static void label(const char *text)
{
	printf("%-*s ", LABEL_WIDTH, text);
}

/* A fact on one line. What is not printable becomes '?'. */
static void fact(const char *name, const char *fmt, ...) RW_PRINTF(2, 3);
static void fact(const char *name, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	rw_printable(line);
	label(name);
	puts(line);
}

/* A fact that is a list of names, on as many lines as it takes. */
static void fact_names(const char *name, const json_t *names)
{
	const json_t *item;
	size_t at = LABEL_WIDTH;

	if (!json_array_size(names)) {
		fact(name, "-");
		return;
	}
	label(name);
	for (size_t i = 0; (item = json_array_get(names, i)); i++) {
		const char *text = json_string_value(item);
		size_t len = text ? strlen(text) : 0;

		if (i && at + 1 + len > PAGE_WIDTH) {
			printf("\n%*s ", LABEL_WIDTH, "");
			at = LABEL_WIDTH;
		} else if (i) {
			putchar(' ');
		}
		for (size_t c = 0; c < len; c++)
			putchar(rw_printable_char(text[c]));
		at += 1 + len;
	}
	putchar('\n');
}

/* A fact that is a number of `object`, which may be absent. */
static void fact_number(const char *name, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_integer(value))
		fact(name, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		fact(name, "-");
}

static void log_print(const json_t *log)
{
	if (!number_of(log, "size"))
		fact("dirty log", "-");
	else
		fact("dirty log",
			"%" JSON_INTEGER_FORMAT " bytes; buffers: %s; rings: %" JSON_INTEGER_FORMAT
			"; pages marked: %" JSON_INTEGER_FORMAT,
			number_of(log, "size"), is_true(log, "buffers") ? "yes" : "no",
			number_of(log, "rings"), number_of(log, "pages_marked"));
}

/* A guest whose memory is far from all workers: the first ring that says so. */
static void far_off_print(const json_t *rings)
{
	const json_t *ring;

	for (size_t i = 0; (ring = json_array_get(rings, i)); i++) {
		if (!is_true(ring, "far_off"))
			continue;
		fact("NUMA", "memory on node %" JSON_INTEGER_FORMAT ", where no worker is (slower)",
			number_of(ring, "memory_node"));
		return;
	}
}

/* The port's bridge and VLANs, where they are not what a new port has. */
static void vlans_print(const json_t *port)
{
	const json_t *vlans = json_object_get(port, "vlans"), *vlan;
	const char *bridge = text_of(port, "bridge"), *name;

	if (strcmp(bridge, "-") && strcmp(bridge, "default"))
		fact("bridge", "%s", bridge);
	if (!strcmp(text_of(port, "tpid"), "8021ad"))
		fact("tags", "of service VLANs (802.1ad)");
	if (json_is_integer(json_object_get(vlans, "access")))
		fact("VLAN", "%" JSON_INTEGER_FORMAT, number_of(vlans, "access"));
	else if (json_is_integer(json_object_get(vlans, "native")))
		fact("VLANs", "%s, native %" JSON_INTEGER_FORMAT, text_of(vlans, "trunk"),
			number_of(vlans, "native"));
	else if (json_is_string(json_object_get(vlans, "trunk")))
		fact("VLANs", "%s", text_of(vlans, "trunk"));
	json_object_foreach(json_object_get(vlans, "names"), name, vlan)
	{
		fact("VLAN name", "%" JSON_INTEGER_FORMAT " %s", json_integer_value(vlan), name);
	}
}

/* The mirrors whose copies the port gets, a line for each. */
static void mirrors_print(const json_t *port)
{
	const json_t *list = json_object_get(port, "mirrors"), *name;

	for (size_t i = 0; (name = json_array_get(list, i)); i++)
		fact("copies", "of mirror %s, and nothing else", json_string_value(name));
}

/* What `port set` said of the port's frames, a line for each key. */
static void policy_print(const json_t *policy)
{
	const char *key, *name = "policy";
	json_t *value, *item;

	json_object_foreach((json_t *)(uintptr_t)policy, key, value)
	{
		char list[384];
		size_t at = 0, i;

		list[0] = 0;
		json_array_foreach(value, i, item)
		{
			if (at < sizeof(list) && json_is_string(item))
				at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s",
					i ? "+" : "", json_string_value(item));
		}
		if (json_is_integer(value))
			snprintf(list, sizeof(list), "%" JSON_INTEGER_FORMAT,
				json_integer_value(value));
		fact(name, "%s=%s", key,
			json_is_boolean(value)          ? json_is_true(value) ? "on" : "off"
				: json_is_string(value) ? json_string_value(value)
							: list);
		name = "";
	}
}

/* Calls that wait, and what they hold of the port's budgets. */
static void waiting_print(const json_t *helper)
{
	fact("waiting calls",
		"%" JSON_INTEGER_FORMAT " (%" JSON_INTEGER_FORMAT
		" descriptors to close, %" JSON_INTEGER_FORMAT " mappings to undo)",
		number_of(helper, "jobs"), number_of(helper, "fds"), number_of(helper, "mappings"));
}

/* What an uplink has in the place of a front-end. */
static void uplink_print(const json_t *port)
{
	static const struct table_column columns[] = {{"DEVICE COUNTS", false}, {"", true}};
	json_t *stats = json_object_get(port, "device_stats"), *value;
	struct table *t;
	const char *key;

	fact("port", "%s (%s, %s)", text_of(port, "name"), text_of(port, "driver"),
		text_of(port, "device"));
	if (json_is_string(json_object_get(port, "description")))
		fact("description", "%s", text_of(port, "description"));
	vlans_print(port);
	mirrors_print(port);
	policy_print(json_object_get(port, "policy"));
	fact("device driver", "%s", text_of(port, "device_driver"));
	fact("interface", "%s", text_of(port, "interface"));
	fact("link", "%s", is_true(port, "link") ? "up" : "down");
	fact_number("Mbit/s", port, "speed");
	fact("MAC", "%s", text_of(port, "mac"));
	fact_number("MTU", port, "mtu");
	fact_number("rx queues", port, "rx_queues");
	fact_number("tx queues", port, "tx_queues");
	fact_names("rx offloads", json_object_get(port, "rx_offloads"));
	fact_names("tx offloads", json_object_get(port, "tx_offloads"));
	t = table_new(columns, RW_ARRAY_SIZE(columns));
	json_object_foreach(stats, key, value)
	{
		table_cell(t, "%s", key);
		cell_number(t, stats, key);
	}
	putchar('\n');
	table_print(t, stdout);
	table_free(t);
}

static void facts_print(const json_t *port)
{
	fact("port", "%s (%s %s, %s)", text_of(port, "name"), text_of(port, "driver"),
		text_of(port, "mode"), text_of(port, "path"));
	if (json_is_string(json_object_get(port, "description")))
		fact("description", "%s", text_of(port, "description"));
	vlans_print(port);
	mirrors_print(port);
	policy_print(json_object_get(port, "policy"));
	fact("front-end", "%s, link %s", is_true(port, "connected") ? "connected" : "none",
		is_true(port, "link") ? "up" : "down");
	if (json_is_string(json_object_get(port, "down")))
		fact("down because", "%s", text_of(port, "down"));
	if (!strcmp(text_of(port, "memory_files"), "any"))
		fact("memory files", "any file system (trusted not to block)");
	if (is_true(json_object_get(port, "helper"), "signals"))
		fact("signals", "by the port's helper");
	if (number_of(json_object_get(port, "helper"), "jobs"))
		waiting_print(json_object_get(port, "helper"));
	if (number_of(port, "log_suppressed"))
		fact_number("log lines lost", port, "log_suppressed");
	if (!is_true(port, "connected"))
		return;
	fact_names("virtio features", json_object_get(port, "features"));
	fact_names("protocol features", json_object_get(port, "protocol_features"));
	fact_names("device status", json_object_get(port, "status"));
	fact("MAC", "%s", text_of(port, "mac"));
	fact_number("MTU", port, "mtu");
	fact("back-end channel", "%s", is_true(port, "backend_channel") ? "open" : "-");
	fact_number("IOTLB entries", json_object_get(port, "iotlb"), "entries");
	log_print(json_object_get(port, "log"));
	if (number_of(port, "announced"))
		fact_number("RARP sent", port, "announced");
	fact_number("in-flight bytes", json_object_get(port, "inflight"), "size");
	fact("postcopy", "%s (%s)", text_of(port, "postcopy"),
		is_true(port, "postcopy_allowed") ? "allowed" : "not allowed");
	if (is_true(port, "device_state_allowed"))
		fact("device state", "allowed");
	if (is_true(port, "config_space_allowed"))
		fact("config space", "allowed");
	far_off_print(json_object_get(port, "rings"));
}

/* A size in the largest unit that it is a multiple of. */
static void cell_size(struct table *t, json_int_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
	size_t unit = 0;

	while (unit + 1 < RW_ARRAY_SIZE(units) && bytes && !(bytes % 1024)) {
		bytes /= 1024;
		unit++;
	}
	table_cell(t, "%" JSON_INTEGER_FORMAT " %s", bytes, units[unit]);
}

static void memory_print(const json_t *regions)
{
	static const struct table_column columns[] = {
		{"MEMORY", true}, {"SIZE", true}, {"IN THE FRONT-END", true}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *region;

	for (size_t i = 0; (region = json_array_get(regions, i)); i++) {
		table_cell(t, "%s", text_of(region, "gpa"));
		cell_size(t, number_of(region, "size"));
		table_cell(t, "%s", text_of(region, "uva"));
	}
	putchar('\n');
	table_print(t, stdout);
	table_free(t);
}

/* An amount of a budget: of bytes in the largest unit that leaves at least 10 of it. */
static void cell_amount(struct table *t, const json_t *budget, const char *key)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	const json_t *value = json_object_get(budget, key);
	json_int_t n = json_integer_value(value);
	size_t unit = 0;

	if (!json_is_integer(value)) {
		table_cell(t, "-");
		return;
	}
	if (!is_true(budget, "bytes") || !n) {
		cell_integer(t, n);
		return;
	}
	while (unit + 1 < RW_ARRAY_SIZE(units) && (n >= 10240 || (n >= 1024 && !(n % 1024)))) {
		n /= 1024;
		unit++;
	}
	table_cell(t, "%" JSON_INTEGER_FORMAT " %s", n, units[unit]);
}

static void budgets_print(const json_t *budgets)
{
	static const struct table_column columns[] = {{"BUDGET", false}, {"USED", true},
		{"LIMIT", true}, {"MOST", true}, {"REFUSED", true}};
	struct table *t;
	const char *name;
	json_t *budget;

	if (!json_object_size(budgets))
		return;
	t = table_new(columns, RW_ARRAY_SIZE(columns));
	json_object_foreach((json_t *)(uintptr_t)budgets, name, budget)
	{
		table_cell(t, "%s", name);
		cell_amount(t, budget, "used");
		cell_amount(t, budget, "limit");
		cell_amount(t, budget, "high");
		cell_number(t, budget, "refused");
	}
	putchar('\n');
	table_print(t, stdout);
	table_free(t);
}

/* A place in a ring, with its wrap counter if it has one. */
static void cell_position(
	struct table *t, const json_t *ring, const char *key, const char *wrap_key)
{
	const json_t *wrap = json_object_get(ring, wrap_key);

	if (json_is_integer(wrap))
		table_cell(t, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
			number_of(ring, key), json_integer_value(wrap));
	else
		cell_number(t, ring, key);
}

static void rings_print(const json_t *rings)
{
	static const struct table_column columns[] = {{"RING", true}, {"DIRECTION", false},
		{"FORMAT", false}, {"SIZE", true}, {"STATE", false}, {"AVAIL", true},
		{"USED", true}, {"CALL", false}, {"EVENTS", false}, {"BYTE ORDER", false},
		{"LOGGED", false}, {"IN FLIGHT", false}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *ring;

	for (size_t i = 0; (ring = json_array_get(rings, i)); i++) {
		cell_number(t, ring, "index");
		table_cell(t, "%s", text_of(ring, "direction"));
		table_cell(t, "%s", text_of(ring, "format"));
		cell_number(t, ring, "size");
		table_cell(t, "%s", text_of(ring, "state"));
		cell_position(t, ring, "avail", "avail_wrap");
		cell_position(t, ring, "used", "used_wrap");
		table_cell(t, "%s", text_of(ring, "call"));
		table_cell(t, "%s", text_of(ring, "events"));
		table_cell(t, "%s", is_true(ring, "big_endian") ? "big" : "little");
		table_cell(t, "%s", is_true(ring, "logged") ? "yes" : "no");
		table_cell(t, "%s", is_true(ring, "inflight") ? "recorded" : "-");
	}
	putchar('\n');
	table_print(t, stdout);
	table_free(t);
}

void port_show_print(const struct cli *cli, const json_t *port)
{
	(void)cli;
	if (json_is_string(json_object_get(port, "device"))) {
		uplink_print(port);
		return;
	}
	facts_print(port);
	budgets_print(json_object_get(port, "budgets"));
	if (!is_true(port, "connected"))
		return;
	memory_print(json_object_get(port, "memory"));
	rings_print(json_object_get(port, "rings"));
}
