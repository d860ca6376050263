/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of bridge. */
#include "answer.h"
#include "commands.h"

json_t *bridge_list(struct cli *cli)
{
	return call_list(cli, "bridge.list", NULL);
}

void bridge_list_print(const struct cli *cli, const json_t *bridges)
{
	static const struct table_column columns[] = {
		{"NAME", false}, {"PORTS", true}, {"", false}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *bridge, *ports, *port;

	(void)cli;
	for (size_t i = 0; (bridge = json_array_get(bridges, i)); i++) {
		char names[256] = "";
		size_t at = 0;

		ports = json_object_get(bridge, "ports");
		for (size_t k = 0; (port = json_array_get(ports, k)) && at < sizeof(names); k++)
			at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", k ? " " : "",
				json_string_value(port));
		table_cell(t, "%s", text_of(bridge, "name"));
		table_cell(t, "%zu", json_array_size(ports));
		table_cell(t, "%s", names);
	}
	table_print(t, stdout);
	table_free(t);
}

/* Call a method for the bridge that is named. */
static json_t *bridge_call(struct cli *cli, const char *method)
{
	return call(cli, method, json_pack("{s:s}", "name", cli->name));
}

json_t *bridge_add(struct cli *cli)
{
	return bridge_call(cli, "bridge.add");
}

void bridge_add_print(const struct cli *cli, const json_t *answer)
{
	(void)answer;
	printf("bridge %s is there\n", cli->name);
}

json_t *bridge_del(struct cli *cli)
{
	return bridge_call(cli, "bridge.del");
}

void bridge_del_print(const struct cli *cli, const json_t *answer)
{
	(void)answer;
	printf("bridge %s is gone\n", cli->name);
}
