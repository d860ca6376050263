/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands of fdb. A table may have a million entries, so a list keeps of each what it needs to
 * sort and print them, not the JSON in which they came.
 */
#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "rw_text.h"

#define PAGE 4096 /* entries asked for at once */

struct entry {
	uint64_t key; /* VLAN and address, in the order in which they are listed */
	json_int_t age_s;
	const char *port;
	bool is_static;
};

/* The list while it is read. */
struct list {
	struct entry *entries;
	size_t n, cap;
	size_t nstatic;
	json_t *ports; /* owns the names: an object with one member each */
	json_int_t cursor;
	json_int_t total, most; /* in the switch's table */
	json_int_t flaps;       /* times that a host was held */
};

int fdb_filter_read(struct cli *cli, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const char *word = words[i];
		bool fixed = !strcmp(word, "static");
		uint8_t mac[RW_MAC_LEN];
		const char *key;
		json_t *value;
		uint32_t vlan;

		if (fixed || !strcmp(word, "learned")) {
			key = "static";
			value = json_boolean(fixed);
		} else if (!strncmp(word, "port=", 5)) {
			key = "port";
			value = json_string(word + 5);
		} else if (!strncmp(word, "mac=", 4)) {
			if (!rw_mac_parse(word + 4, mac))
				return complain("%s: an address is like 52:54:00:00:00:01", word);
			key = "mac";
			value = json_string(word + 4);
		} else if (!strncmp(word, "vlan=", 5)) {
			if (!rw_text_number(word + 5, 0, VLAN_MAX, &vlan))
				return complain("%s: give a number from 0 to %d", word, VLAN_MAX);
			key = "vlan";
			value = json_integer(vlan);
		} else {
			return complain(
				"unexpected word \"%s\": the list takes port=NAME, vlan=ID, "
				"mac=MAC, and static or learned",
				word);
		}
		if (json_object_get(cli->params, key)) {
			json_decref(value);
			return complain("\"%s\" is one too many: give each filter once", word);
		}
		json_object_set_new(cli->params, key, value);
	}
	return 0;
}

/* The list's own copy of a name. NULL: no memory. */
static const char *port_name(struct list *list, const char *name)
{
	json_t *kept = json_object_get(list->ports, name);

	if (!kept) {
		json_object_set_new(list->ports, name, json_string(name));
		kept = json_object_get(list->ports, name);
	}
	return json_string_value(kept);
}

/* 0, or -1: it is none. */
static int entry_add(struct list *list, const json_t *from)
{
	const char *mac = json_string_value(json_object_get(from, "mac"));
	struct entry *e, *bigger;
	uint8_t bytes[RW_MAC_LEN];

	if (list->n == list->cap) {
		list->cap = RW_MAX(2 * list->cap, (size_t)PAGE);
		bigger = reallocarray(list->entries, list->cap, sizeof(*bigger));
		if (!bigger)
			return -1;
		list->entries = bigger;
	}
	if (!mac || !rw_mac_parse(mac, bytes))
		return -1;
	e = &list->entries[list->n];
	*e = (struct entry){.key = (uint64_t)number_of(from, "vlan") << 48,
		.age_s = number_of(from, "age_s"),
		.port = port_name(list, text_of(from, "port")),
		.is_static = is_true(from, "static")};
	for (int i = 0; i < RW_MAC_LEN; i++)
		e->key |= (uint64_t)bytes[i] << (40 - 8 * i);
	list->n++;
	list->nstatic += e->is_static;
	return e->port ? 0 : -1;
}

/* Ask for one page. 1: there are more; 0: that was the last one; -1: a complaint is made. */
static int page_read(struct cli *cli, struct list *list)
{
	json_t *params = json_copy(cli->params), *page, *next, *entries, *entry;
	bool more, sane;

	json_object_set_new(params, "cursor", json_integer(list->cursor));
	json_object_set_new(params, "limit", json_integer(PAGE));
	page = call(cli, "fdb.list", params);
	if (!page)
		return -1;
	entries = json_object_get(page, "entries");
	next = json_object_get(page, "next");
	more = json_is_integer(next);
	/* A list that does not move on would never end. */
	sane = json_is_array(entries) && (!more || json_integer_value(next) > list->cursor);
	for (size_t i = 0; sane && (entry = json_array_get(entries, i)); i++)
		sane = !entry_add(list, entry);
	list->cursor = json_integer_value(next);
	list->total = number_of(page, "entries_total");
	list->most = number_of(page, "max_entries");
	list->flaps = number_of(page, "flaps");
	json_decref(page);
	if (!sane)
		return complain("the switch at %s answers fdb.list with nonsense", cli->socket);
	return more;
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

static const char *mac_text(const struct entry *e, char out[RW_MAC_TEXT])
{
	uint8_t mac[RW_MAC_LEN];

	for (int i = 0; i < RW_MAC_LEN; i++)
		mac[i] = (uint8_t)(e->key >> (40 - 8 * i));
	return rw_mac_text(mac, out);
}

static void list_print(const struct cli *cli, const struct list *list)
{
	size_t port_width = strlen("PORT"), age_width = strlen("AGE");
	char mac[RW_MAC_TEXT], name[256], age[32] = "-";

	for (size_t i = 0; i < list->n; i++) {
		const struct entry *e = &list->entries[i];

		snprintf(age, sizeof(age), "%" JSON_INTEGER_FORMAT " s", e->age_s);
		age_width = RW_MAX(age_width, e->is_static ? 1 : strlen(age));
		port_width = RW_MAX(port_width, strlen(e->port));
	}
	printf("VLAN  %-17s  %-*s  %-7s  %*s\n", "MAC", (int)port_width, "PORT", "TYPE",
		(int)age_width, "AGE");
	for (size_t i = 0; i < list->n; i++) {
		const struct entry *e = &list->entries[i];
		bool fixed = e->is_static;

		if (!fixed)
			snprintf(age, sizeof(age), "%" JSON_INTEGER_FORMAT " s", e->age_s);
		snprintf(name, sizeof(name), "%s", e->port);
		rw_printable(name);
		printf("%4u  %s  %-*s  %-7s  %*s\n", (unsigned)(e->key >> 48), mac_text(e, mac),
			(int)port_width, name, fixed ? "static" : "learned", (int)age_width,
			fixed ? "-" : age);
	}
	if (json_object_size(cli->params))
		printf("%zu of %" JSON_INTEGER_FORMAT " entries", list->n, list->total);
	else
		printf("%zu %s", list->n, list->n == 1 ? "entry" : "entries");
	printf(", %zu of them static; room for %" JSON_INTEGER_FORMAT "\n", list->nstatic,
		list->most);
	if (list->flaps)
		printf("hosts were held %" JSON_INTEGER_FORMAT " times because they flapped\n",
			list->flaps);
}

/* A JSON array, entry by entry. */
static void list_print_json(const struct list *list)
{
	char mac[RW_MAC_TEXT];

	putchar('[');
	for (size_t i = 0; i < list->n; i++) {
		const struct entry *e = &list->entries[i];
		json_t *entry = json_pack("{s:s, s:i, s:s, s:b, s:I}", "mac", mac_text(e, mac),
			"vlan", (int)(e->key >> 48), "port", e->port, "static", e->is_static,
			"age_s", e->age_s);

		fputs(i ? ",\n  " : "\n  ", stdout);
		json_dumpf(entry, stdout, 0);
		json_decref(entry);
	}
	puts(list->n ? "\n]" : "]");
}

int fdb_list(struct cli *cli)
{
	struct list list = {.ports = json_object()};
	int ret;

	do
		ret = page_read(cli, &list);
	while (ret > 0);
	if (!ret) {
		qsort(list.entries, list.n, sizeof(list.entries[0]), entry_compare);
		if (cli->json)
			list_print_json(&list);
		else
			list_print(cli, &list);
	}
	free(list.entries);
	json_decref(list.ports);
	return ret;
}

json_t *fdb_flush(struct cli *cli)
{
	return call(cli, "fdb.flush", cli->port ? json_pack("{s:s}", "port", cli->port) : NULL);
}

void fdb_flush_print(const struct cli *cli, const json_t *result)
{
	json_int_t n = number_of(result, "flushed");

	(void)cli;
	printf("%" JSON_INTEGER_FORMAT " address%s forgotten\n", n, n == 1 ? "" : "es");
}

json_t *fdb_add(struct cli *cli)
{
	json_t *params = json_pack(
		"{s:s, s:s, s:i}", "mac", cli->name, "port", cli->port, "vlan", (int)cli->vlan);

	if (cli->replace)
		json_object_set_new(params, "replace", json_true());
	return call(cli, "fdb.add", params);
}

void fdb_add_print(const struct cli *cli, const json_t *result)
{
	(void)result;
	printf("%s on VLAN %u stays behind %s\n", cli->name, cli->vlan, cli->port);
}

json_t *fdb_del(struct cli *cli)
{
	return call(
		cli, "fdb.del", json_pack("{s:s, s:i}", "mac", cli->name, "vlan", (int)cli->vlan));
}

void fdb_del_print(const struct cli *cli, const json_t *result)
{
	(void)result;
	printf("%s on VLAN %u forgotten\n", cli->name, cli->vlan);
}
