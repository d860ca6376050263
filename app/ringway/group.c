/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of group. */
#include "commands.h"

#include <string.h>

#include "answer.h"

/* All pages as one answer, whose first page has the rest. */
json_t *group_list(struct cli *cli)
{
	json_t *all = NULL, *next = NULL;

	do {
		json_t *page = call(
			cli, "group.list", next ? json_pack("{s:O}", "cursor", next) : NULL);

		if (!page) {
			json_decref(all);
			return NULL;
		}
		if (all) {
			json_array_extend(
				json_object_get(all, "entries"), json_object_get(page, "entries"));
			json_object_set(all, "next", json_object_get(page, "next"));
			json_decref(page);
		} else {
			all = page;
		}
		next = json_object_get(all, "next");
	} while (json_is_integer(next));
	json_object_del(all, "next");
	return all;
}

/* Whether something is not in the default bridge. */
static bool is_bridged(const json_t *answer)
{
	static const char *const lists[] = {"entries", "queriers"};
	const json_t *item;

	for (size_t k = 0; k < RW_ARRAY_SIZE(lists); k++) {
		const json_t *list = json_object_get(answer, lists[k]);

		for (size_t i = 0; (item = json_array_get(list, i)); i++) {
			const char *bridge = json_string_value(json_object_get(item, "bridge"));

			if (bridge && strcmp(bridge, "default"))
				return true;
		}
	}
	return false;
}

/* `bridged`: a column says in which bridge the VLAN is. */
static void entries_print(const json_t *entries, bool bridged)
{
	static const struct table_column columns[] = {{"BRIDGE", false}, {"VLAN", true},
		{"GROUP", false}, {"MAC", false}, {"PORT", false}, {"LEFT", true}};
	struct table *t = table_new(&columns[!bridged], RW_ARRAY_SIZE(columns) - (bridged ? 0 : 1));
	const json_t *e;

	for (size_t i = 0; (e = json_array_get(entries, i)); i++) {
		if (bridged)
			table_cell(t, "%s", text_of(e, "bridge"));
		cell_number(t, e, "vlan");
		if (is_true(e, "router"))
			table_cell(t, "router (%s)", text_of(e, "family"));
		else
			table_cell(t, "%s", text_of(e, "group"));
		table_cell(t, "%s", text_of(e, "mac"));
		table_cell(t, "%s", text_of(e, "port"));
		table_cell(t, "%" JSON_INTEGER_FORMAT " s", number_of(e, "left_s"));
	}
	table_print(t, stdout);
	table_free(t);
}

void group_list_print(const struct cli *cli, const json_t *answer)
{
	const json_t *list = json_object_get(answer, "queriers"), *item;
	const json_t *counters = json_object_get(answer, "counters");

	bool bridged = is_bridged(answer);

	(void)cli;
	if (!is_true(answer, "snooping")) {
		printf("snooping is off: multicast is flooded\n");
		return;
	}
	entries_print(json_object_get(answer, "entries"), bridged);
	for (size_t i = 0; (item = json_array_get(list, i)); i++)
		printf("querier of VLAN %" JSON_INTEGER_FORMAT
		       "%s%s: %s behind %s, every %" JSON_INTEGER_FORMAT " s%s\n",
			number_of(item, "vlan"), bridged ? " of bridge " : "",
			bridged ? text_of(item, "bridge") : "", text_of(item, "address"),
			text_of(item, "port"), number_of(item, "interval_s"),
			is_true(item, "ready") ? "" : "; hosts are answering it");
	if (!json_array_size(list))
		printf("no querier is heard: multicast is flooded\n");
	list = json_object_get(answer, "all_multicast");
	for (size_t i = 0; (item = json_array_get(list, i)); i++)
		printf("port %s gets all multicast: it has more groups than are known\n",
			json_string_value(item));
	printf("%" JSON_INTEGER_FORMAT " queries, %" JSON_INTEGER_FORMAT
	       " reports, %" JSON_INTEGER_FORMAT " malformed, %" JSON_INTEGER_FORMAT " full\n",
		number_of(counters, "queries"), number_of(counters, "reports"),
		number_of(counters, "malformed"), number_of(counters, "full"));
}
