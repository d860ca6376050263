/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of forward: every one is answered with what is done with frames from then on. */
#include "answer.h"
#include "commands.h"

json_t *forward_show(struct cli *cli)
{
	return call(cli, "forward.show", NULL);
}

json_t *forward_start(struct cli *cli)
{
	return call(cli, "forward.start", NULL);
}

json_t *forward_stop(struct cli *cli)
{
	return call(cli, "forward.stop", NULL);
}

json_t *forward_set(struct cli *cli)
{
	return call(cli, "forward.set", json_pack("{s:s}", "mode", cli->name));
}

void forward_print(const struct cli *cli, const json_t *answer)
{
	static const struct table_column columns[] = {{"PORT", false}, {"SENDS TO", false}};
	const json_t *ports = json_object_get(answer, "ports"), *port;
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	bool paired = false;

	(void)cli;
	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		paired |= json_is_string(json_object_get(port, "partner"));
		table_cell(t, "%s", text_of(port, "name"));
		table_cell(t, "%s", text_of(port, "partner"));
	}
	printf("forwarding: %s, %s\n", text_of(answer, "mode"),
		is_true(answer, "running") ? "running" : "stopped");
	if (paired)
		table_print(t, stdout);
	table_free(t);
}
