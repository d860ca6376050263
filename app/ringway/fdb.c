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
	const char *port, *bridge, *vlan_name; /* NULL: the switch does not say */
	const char *tpid;
	const char *how; /* it was found; NULL: static, or the switch does not say */
	bool is_static;
};

/* The list while it is read. */
struct list {
	struct entry *entries;
	size_t n, cap;
	size_t nstatic;
	json_t *names; /* owns them: an object with one member each */
	bool says_how; /* the switch does, of an entry */
	bool bridged;  /* an entry is not of the default bridge */
	json_int_t cursor;
	json_int_t total, most; /* in the switch's table */
	json_int_t flaps;       /* times that a host was held */
};

json_t *vlan_json(const char *text)
{
	uint32_t vlan;

	if (rw_text_number(text, 0, VLAN_MAX, &vlan))
		return json_integer(vlan);
	return (*text | 0x20) >= 'a' && (*text | 0x20) <= 'z' ? json_string(text) : NULL;
}

int fdb_filter_read(struct cli *cli, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const char *word = words[i];
		bool fixed = !strcmp(word, "static");
		uint8_t mac[RW_MAC_LEN];
		const char *key;
		json_t *value;

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
			value = vlan_json(word + 5);
			if (!value)
				return complain("%s: give a number from 0 to %d, or the name of a "
						"VLAN",
					word, VLAN_MAX);
			key = "vlan";
		} else if (!strncmp(word, "bridge=", 7)) {
			key = "bridge";
			value = json_string(word + 7);
		} else if (!strncmp(word, "tpid=", 5)) {
			key = "tpid";
			value = json_string(word + 5);
		} else {
			return complain(
				"unexpected word \"%s\": the list takes port=NAME, vlan=ID, "
				"mac=MAC, bridge=NAME, tpid=KIND, and static or learned",
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

/* The list's own copy of a name. NULL: there is none, or no memory. */
static const char *name_keep(struct list *list, const char *name)
{
	json_t *kept = name ? json_object_get(list->names, name) : NULL;

	if (name && !kept) {
		json_object_set_new(list->names, name, json_string(name));
		kept = json_object_get(list->names, name);
	}
	return json_string_value(kept);
}

/* The same of a member of `from`. */
static const char *member_keep(struct list *list, const json_t *from, const char *key)
{
	return name_keep(list, json_string_value(json_object_get(from, key)));
}

static bool is_service(const struct entry *e)
{
	return e->tpid && !strcmp(e->tpid, "8021ad");
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
		.port = name_keep(list, text_of(from, "port")),
		.bridge = member_keep(list, from, "bridge"),
		.vlan_name = member_keep(list, from, "vlan_name"),
		.tpid = member_keep(list, from, "tpid"),
		.how = member_keep(list, from, "how"),
		.is_static = is_true(from, "static")};
	for (int i = 0; i < RW_MAC_LEN; i++)
		e->key |= (uint64_t)bytes[i] << (40 - 8 * i);
	list->n++;
	list->nstatic += e->is_static;
	list->says_how |= e->how != NULL;
	list->bridged |= e->bridge && strcmp(e->bridge, "default");
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
	int order = strcmp(x->bridge ? x->bridge : "", y->bridge ? y->bridge : "");

	if (!order)
		order = is_service(x) - is_service(y);
	if (order)
		return order;
	return x->key < y->key ? -1 : x->key > y->key;
}

static const char *mac_text(const struct entry *e, char out[RW_MAC_TEXT])
{
	uint8_t mac[RW_MAC_LEN];

	for (int i = 0; i < RW_MAC_LEN; i++)
		mac[i] = (uint8_t)(e->key >> (40 - 8 * i));
	return rw_mac_text(mac, out);
}

/* "10", "10 (web)", and of a service VLAN "s10". */
static const char *vlan_text(const struct entry *e, char out[64])
{
	snprintf(out, 64, "%s%u%s%.40s%s", is_service(e) ? "s" : "", (unsigned)(e->key >> 48),
		e->vlan_name ? " (" : "", e->vlan_name ? e->vlan_name : "",
		e->vlan_name ? ")" : "");
	return out;
}

static const char *age_text(const struct entry *e, char out[32])
{
	snprintf(out, 32, e->is_static ? "-" : "%" JSON_INTEGER_FORMAT " s", e->age_s);
	return out;
}

/* Of the columns whose width depends on what is in them. */
struct widths {
	size_t bridge, vlan, port, how, age;
};

static struct widths widths_of(const struct list *list)
{
	struct widths w = {
		strlen("BRIDGE"), strlen("VLAN"), strlen("PORT"), strlen("HOW"), strlen("AGE")};
	char text[64];

	for (size_t i = 0; i < list->n; i++) {
		const struct entry *e = &list->entries[i];

		w.bridge = RW_MAX(w.bridge, e->bridge ? strlen(e->bridge) : 1);
		w.vlan = RW_MAX(w.vlan, strlen(vlan_text(e, text)));
		w.age = RW_MAX(w.age, strlen(age_text(e, text)));
		w.port = RW_MAX(w.port, strlen(e->port));
		w.how = RW_MAX(w.how, e->how ? strlen(e->how) : 1);
	}
	return w;
}

/* A word from the switch, padded to `width`. */
static void word_print(const char *word, size_t width)
{
	char name[256];

	snprintf(name, sizeof(name), "%s", word);
	rw_printable(name);
	printf("%-*s  ", (int)width, name);
}

static void entry_print(const struct entry *e, const struct widths *w, const struct list *list)
{
	char mac[RW_MAC_TEXT], vlan[64], age[32];

	if (list->bridged)
		word_print(e->bridge ? e->bridge : "-", w->bridge);
	vlan_text(e, vlan);
	rw_printable(vlan);
	printf("%*s  %s  ", (int)w->vlan, vlan, mac_text(e, mac));
	word_print(e->port, w->port);
	printf("%-7s  ", e->is_static ? "static" : "learned");
	if (list->says_how)
		word_print(e->how ? e->how : "-", w->how);
	printf("%*s\n", (int)w->age, age_text(e, age));
}

static void list_print(const struct cli *cli, const struct list *list)
{
	const struct widths w = widths_of(list);

	if (list->bridged)
		printf("%-*s  ", (int)w.bridge, "BRIDGE");
	printf("%-*s  %-17s  %-*s  %-7s  ", (int)w.vlan, "VLAN", "MAC", (int)w.port, "PORT",
		"TYPE");
	if (list->says_how)
		printf("%-*s  ", (int)w.how, "HOW");
	printf("%*s\n", (int)w.age, "AGE");
	for (size_t i = 0; i < list->n; i++)
		entry_print(&list->entries[i], &w, list);
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
		json_t *entry = json_pack("{s:s, s:i, s:s, s:b, s:I, s:s*, s:s*, s:s*, s:s*}",
			"mac", mac_text(e, mac), "vlan", (int)(e->key >> 48), "port", e->port,
			"static", e->is_static, "age_s", e->age_s, "bridge", e->bridge, "tpid",
			e->tpid, "vlan_name", e->vlan_name, "how", e->how);

		fputs(i ? ",\n  " : "\n  ", stdout);
		json_dumpf(entry, stdout, 0);
		json_decref(entry);
	}
	puts(list->n ? "\n]" : "]");
}

int fdb_list(struct cli *cli)
{
	struct list list = {.names = json_object()};
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
	json_decref(list.names);
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

/* The parameters of fdb.add and fdb.del. */
static json_t *entry_params(const struct cli *cli)
{
	return json_pack("{s:s, s:o, s:s*, s:s*, s:s*}", "mac", cli->name, "vlan",
		vlan_json(cli->vlan ? cli->vlan : "0"), "port", cli->port, "bridge", cli->bridge,
		"tpid", cli->tpid);
}

json_t *fdb_add(struct cli *cli)
{
	json_t *params = entry_params(cli);

	if (cli->replace)
		json_object_set_new(params, "replace", json_true());
	return call(cli, "fdb.add", params);
}

void fdb_add_print(const struct cli *cli, const json_t *result)
{
	(void)result;
	printf("%s on VLAN %s stays behind %s\n", cli->name, cli->vlan ? cli->vlan : "0",
		cli->port);
}

json_t *fdb_del(struct cli *cli)
{
	return call(cli, "fdb.del", entry_params(cli));
}

void fdb_del_print(const struct cli *cli, const json_t *result)
{
	(void)result;
	printf("%s on VLAN %s forgotten\n", cli->name, cli->vlan ? cli->vlan : "0");
}
