/* SPDX-License-Identifier: BSD-3-Clause */
/* Which worker polls which queue. */
#include "answer.h"
#include "commands.h"

json_t *worker_move(struct cli *cli)
{
	return call(cli, "worker.move",
		json_pack("{s:s, s:i, s:i}", "port", cli->name, "queue", (int)cli->queue, "worker",
			(int)cli->worker));
}

void worker_move_print(const struct cli *cli, const json_t *answer)
{
	(void)answer;
	printf("queue %u of %s is polled by worker %u\n", cli->queue, cli->name, cli->worker);
}

json_t *worker_balance(struct cli *cli)
{
	return call(cli, "worker.balance", NULL);
}

void worker_balance_print(const struct cli *cli, const json_t *answer)
{
	json_int_t n = number_of(answer, "moved");

	(void)cli;
	printf("%" JSON_INTEGER_FORMAT " queue%s moved\n", n, n == 1 ? "" : "s");
}

static void queue_row(struct table *t, const json_t *worker, const json_t *queue)
{
	cell_number(t, worker, "worker");
	table_cell(t, "%s", text_of(queue, "port"));
	cell_number(t, queue, "queue");
	table_cell(t, "%.1f %%", 100 * json_real_value(json_object_get(queue, "load")));
	cell_number(t, queue, "memory_node");
	table_cell(t, "%s%s%s", is_true(queue, "far_off") ? "far" : "",
		is_true(queue, "far_off") && is_true(queue, "by_hand") ? ", " : "",
		is_true(queue, "by_hand") ? "by hand" : "");
}

void worker_queues_print(const json_t *workers)
{
	static const struct table_column columns[] = {{"WORKER", true}, {"PORT", false},
		{"QUEUE", true}, {"LOAD", true}, {"NODE", true}, {"NOTES", false}};
	struct table *t = table_new(columns, RW_ARRAY_SIZE(columns));
	const json_t *worker, *queue;
	bool any = false;

	for (size_t i = 0; (worker = json_array_get(workers, i)); i++) {
		const json_t *polled = json_object_get(worker, "polled");

		for (size_t k = 0; (queue = json_array_get(polled, k)); k++) {
			queue_row(t, worker, queue);
			any = true;
		}
	}
	if (any) {
		putchar('\n');
		table_print(t, stdout);
	}
	table_free(t);
}
