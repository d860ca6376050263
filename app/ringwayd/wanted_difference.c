/* SPDX-License-Identifier: BSD-3-Clause */
/* What a document would change, for people and programs. */
#include "kinds.h"
#include "wanted.h"

/* One value that changes; takes both references over, NULL is null. */
static json_t *change_json(const char *key, json_t *from, json_t *to)
{
	return json_pack("{s:s, s:o, s:o}", "key", key, "from", from ? from : json_null(), "to",
		to ? to : json_null());
}

/* Add it to `list` unless both are the same. */
static void change_add(json_t *list, const char *key, json_t *from, json_t *to)
{
	if (from == to || json_equal(from, to)) {
		json_decref(from);
		json_decref(to);
		return;
	}
	json_array_append_new(list, change_json(key, from, to));
}

/* The options, of ports of that kind, that change; NULL: there is no such port. */
static json_t *keys_json(const struct port_kind *kind, const struct options_port *from,
	const struct options_port *to)
{
	const struct port_option *option;
	json_t *list = json_array();
	struct options_port none;

	/* The options of one kind say nothing about a port of another one. */
	if (from && to && from->kind != to->kind)
		change_add(
			list, "kind", json_string(from->kind->name), json_string(to->kind->name));
	options_port_init(&none, kind);
	if (!from || from->kind != kind)
		from = &none;
	if (!to)
		to = &none;
	for (unsigned i = 0; (option = options_port_option(kind, i)); i++)
		change_add(list, option->key, option->get(from), option->get(to));
	return list;
}

static json_t *port_json(const char *name, const char *change, json_t *keys)
{
	return json_pack("{s:s, s:s, s:o}", "port", name, "change", change, "keys", keys);
}

static void setting_add(json_t *list, const struct options *now, const struct wanted *w, size_t i)
{
	const struct options_row *row = &options_rows[i];

	if (w->settings >> i & 1)
		change_add(list, options_row_key(row), row->get(now), row->get(&w->opt));
}

/* Of the ports of now, those that go. */
static void removed_add(json_t *list, const struct options *now, const struct wanted *w, size_t i)
{
	const struct options_port *port = &now->ports[i];

	if (!w->stays[i])
		json_array_append_new(
			list, port_json(port->name, "remove", keys_json(port->kind, port, NULL)));
}

static void port_add(json_t *list, const struct options *now, const struct wanted *w, size_t i)
{
	static const char *const changes[] = {
		[WANTED_SET] = "set", [WANTED_REPLACE] = "replace", [WANTED_ADD] = "add"};
	const struct options_port *port = &w->opt.ports[i];
	const struct options_port *from = w->from[i] < 0 ? NULL : &now->ports[w->from[i]];

	if (i >= w->nsame)
		json_array_append_new(list,
			port_json(port->name, changes[w->steps[i]],
				keys_json(port->kind, from, port)));
}

size_t wanted_difference_steps(const struct options *now, const struct wanted *w)
{
	return options_nrows + now->nports + w->opt.nports;
}

void wanted_difference_add(
	json_t *list, const struct options *now, const struct wanted *w, size_t i)
{
	if (i < options_nrows)
		setting_add(list, now, w, i);
	else if (i - options_nrows < now->nports)
		removed_add(list, now, w, i - options_nrows);
	else
		port_add(list, now, w, i - options_nrows - now->nports);
}
