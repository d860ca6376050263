/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands by which ports come and go. What KEY=VALUE there are, the switch knows. */
#include <string.h>

#include "answer.h"
#include "commands.h"

int pairs_read(struct cli *cli, const char *const *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const char *equals = strchr(words[i], '=');
		size_t len = equals ? (size_t)(equals - words[i]) : 0;
		char key[64];

		if (!len || len >= sizeof(key))
			return complain("\"%s\" is not KEY=VALUE", words[i]);
		memcpy(key, words[i], len);
		key[len] = 0;
		if (json_object_get(cli->params, key))
			return complain("%s is given twice", key);
		if (!strcmp(key, "name"))
			return complain("the name of a port stands before KEY=VALUE");
		if (json_object_set_new(cli->params, key, json_string(equals + 1)))
			return complain("KEY=VALUE number %u is not UTF-8 text", i + 1);
	}
	return 0;
}

/* Call a method for the port that is named, with what was read into cli->params. */
static json_t *port_call(struct cli *cli, const char *method)
{
	json_object_set_new(cli->params, "name", json_string(cli->name));
	return call(cli, method, json_incref(cli->params));
}

json_t *port_add(struct cli *cli)
{
	return port_call(cli, "port.add");
}

void port_add_print(const struct cli *cli, const json_t *port)
{
	printf("port %s is there (%s %s, %s)\n", cli->name, text_of(port, "driver"),
		text_of(port, "mode"), text_of(port, "path"));
}

json_t *port_set(struct cli *cli)
{
	return port_call(cli, "port.set");
}

void port_set_print(const struct cli *cli, const json_t *port)
{
	printf("port %s has changed\n", cli->name);
	if (json_is_string(json_object_get(port, "note")))
		printf("note: %s\n", text_of(port, "note"));
}

json_t *port_del(struct cli *cli)
{
	return port_call(cli, "port.del");
}

void port_del_print(const struct cli *cli, const json_t *answer)
{
	(void)answer;
	printf("port %s is gone\n", cli->name);
}
