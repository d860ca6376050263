/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options as a document that options_config.c reads: what differs from what holds when nobody says
 * anything.
 */
#include <stdlib.h>

#include "kinds.h"

/* Add `value`, whose reference is taken over, unless it is `usual`, which is freed. */
static void key_add(json_t *to, const char *key, json_t *value, json_t *usual)
{
	if (value && !json_equal(value, usual))
		json_object_set(to, key, value);
	json_decref(value);
	json_decref(usual);
}

json_t *options_port_document(const struct options_port *port)
{
	json_t *entry = json_object();
	const struct port_option *option;
	struct options_port usual;

	options_port_init(&usual, port->kind);
	if (port->kind != kind_default)
		json_object_set_new(entry, "kind", json_string(port->kind->name));
	for (unsigned i = 0; (option = options_port_option(port->kind, i)); i++)
		key_add(entry, option->key, option->get(port), option->get(&usual));
	for (unsigned i = 0; (option = options_port_option(port->kind, i)); i++) {
		if (!option->needed || json_object_get(entry, option->key))
			continue;
		json_decref(entry);
		return NULL;
	}
	return entry;
}

json_t *options_document(const struct options *opt)
{
	struct options *usual = malloc(sizeof(*usual));
	json_t *doc = json_object(), *ports = json_object();

	if (!usual)
		goto out;
	options_init(usual);
	for (size_t i = 0; i < options_nrows; i++) {
		const struct options_row *row = &options_rows[i];

		if (row->get)
			key_add(doc, options_row_key(row), row->get(opt), row->get(usual));
	}
	for (unsigned i = 0; i < opt->nports; i++) {
		json_t *entry = options_port_document(&opt->ports[i]);

		if (entry)
			json_object_set_new(ports, opt->ports[i].name, entry);
	}
	json_object_set(doc, "ports", ports);
out:
	json_decref(ports);
	free(usual);
	return doc;
}
