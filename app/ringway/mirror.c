/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of mirror. */
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "commands.h"

/* --source: a VLAN, or ports. 0, or -1 with a complaint. */
static int source_read(const struct cli *cli, json_t *params)
{
	char *copy, *rest, *name;
	json_t *list;
	int ret = 0;

	if (!strncmp(cli->source, SOURCE_VLAN, strlen(SOURCE_VLAN)))
		return json_object_set_new(
			params, "vlan", vlan_json(cli->source + strlen(SOURCE_VLAN)));
	copy = rest = strdup(cli->source);
	if (!copy)
		return complain("no memory");
	list = json_array();
	while (!ret && (name = strsep(&rest, ","))) {
		if (json_array_append_new(list, json_string(name)))
			ret = complain("a name in --source is not UTF-8 text");
	}
	free(copy);
	json_object_set_new(params, "source", list);
	return ret;
}

static json_t *params_read(const struct cli *cli)
{
	const struct capture_options *opt = &cli->capture;
	json_t *params = json_pack("{s:s, s:s, s:s*, s:s*}", "name", cli->name, "to", cli->to,
		"bridge", cli->bridge, "tpid", cli->tpid);

	if (!params) {
		complain("a name is not UTF-8 text");
		return NULL;
	}
	if (source_read(cli, params)) {
		json_decref(params);
		return NULL;
	}
	if (opt->in != opt->out)
		json_object_set_new(params, "direction", json_string(opt->in ? "in" : "out"));
	if (opt->snap)
		json_object_set_new(params, "snap", json_integer(opt->snap));
	if (opt->sample)
		json_object_set_new(params, "sample", json_integer(opt->sample));
	return params;
}

json_t *mirror_add(struct cli *cli)
{
	json_t *params = params_read(cli);

	return params ? call(cli, "mirror.add", params) : NULL;
}

/* Ports that a mirror names and that are not there, a line each. */
static void absent_print(const json_t *mirror)
{
	const json_t *list = json_object_get(mirror, "absent"), *name;

	for (size_t i = 0; (name = json_array_get(list, i)); i++)
		printf("mirror %s: there is no port %s now; if one comes, it takes part\n",
			text_of(mirror, "name"), json_string_value(name));
}

void mirror_add_print(const struct cli *cli, const json_t *mirror)
{
	printf("mirror %s is there: port %s gets copies, and nothing else\n", cli->name,
		text_of(mirror, "to"));
	absent_print(mirror);
}

json_t *mirror_del(struct cli *cli)
{
	return call(cli, "mirror.del", json_pack("{s:s}", "name", cli->name));
}

void mirror_del_print(const struct cli *cli, const json_t *answer)
{
	(void)answer;
	printf("mirror %s is gone\n", cli->name);
}

json_t *mirror_list(struct cli *cli)
{
	return call_list(cli, "mirror.list", NULL);
}

/* "vm1 vm2", or "VLAN 10" with its bridge and kind if they are not the usual ones. */
static void source_cell(struct table *t, const json_t *mirror)
{
	const json_t *list = json_object_get(mirror, "source"), *name;
	const char *bridge = text_of(mirror, "bridge");
	char text[256] = "";
	size_t at = 0;

	for (size_t i = 0; (name = json_array_get(list, i)) && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? " " : "",
			json_string_value(name));
	if (!json_is_array(list))
		snprintf(text, sizeof(text), "%sVLAN %" JSON_INTEGER_FORMAT "%s%s",
			strcmp(text_of(mirror, "tpid"), "8021ad") ? "" : "service ",
			number_of(mirror, "vlan"), strcmp(bridge, "default") ? " of " : "",
			strcmp(bridge, "default") ? bridge : "");
	table_cell(t, "%s", text);
}

/* How many were lost, and why. */
static void lost_cells(struct table *t, const json_t *mirror)
{
	json_t *lost = json_object_get(mirror, "lost"), *n;
	json_int_t all = 0;
	char text[256] = "";
	const char *why;
	size_t at = 0;

	json_object_foreach(lost, why, n)
	{
		all += json_integer_value(n);
		if (at < sizeof(text))
			at += (size_t)snprintf(text + at, sizeof(text) - at,
				"%s%s %" JSON_INTEGER_FORMAT, at ? ", " : "", why,
				json_integer_value(n));
	}
	cell_integer(t, all);
	table_cell(t, "%s", text);
}

void mirror_list_print(const struct cli *cli, const json_t *mirrors)
{
	static const struct table_column columns[] = {{"NAME", false}, {"SOURCE", false},
		{"DIRECTION", false}, {"TO", false}, {"SNAP", true}, {"SAMPLE", true},
		{"FRAMES", true}, {"BYTES", true}, {"LOST", true}, {"", false}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *mirror;

	(void)cli;
	for (size_t i = 0; (mirror = json_array_get(mirrors, i)); i++) {
		table_cell(t, "%s", text_of(mirror, "name"));
		source_cell(t, mirror);
		table_cell(t, "%s", text_of(mirror, "direction"));
		table_cell(t, "%s", text_of(mirror, "to"));
		cell_number(t, mirror, "snap");
		cell_number(t, mirror, "sample");
		cell_number(t, mirror, "frames");
		cell_number(t, mirror, "bytes");
		lost_cells(t, mirror);
	}
	table_print(t, stdout);
	table_free(t);
	for (size_t i = 0; (mirror = json_array_get(mirrors, i)); i++)
		absent_print(mirror);
}
