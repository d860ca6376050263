/* SPDX-License-Identifier: BSD-3-Clause */
/* Which of the words behind `capture` are ports, and which are the filter. */
#include <string.h>

#include "answer.h"
#include "capture.h"
#include "capture_run.h"
#include "commands.h"

int capture_words(struct cli *cli, const char *const *words, unsigned n)
{
	return words_list(cli, words, n, "words", "word", " behind capture");
}

void capture_names_read(struct capture_run *run, const json_t *ports)
{
	const json_t *port;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		json_int_t id = number_of(port, "id");
		const char *name = json_string_value(json_object_get(port, "name"));

		if (id < 0 || id >= CAP_PORTS_MAX || !name)
			continue;
		snprintf(run->names[id], sizeof(run->names[id]), "%s", name);
		rw_printable(run->names[id]);
	}
}

static bool is_port(const json_t *ports, const char *word)
{
	const json_t *port;

	for (size_t i = 0; (port = json_array_get(ports, i)); i++) {
		if (!strcmp(text_of(port, "name"), word))
			return true;
	}
	return false;
}

/* Join the words from `i` on with blanks. */
static int filter_join(const json_t *words, size_t i, char *out, size_t len)
{
	size_t n = 0;

	out[0] = 0;
	for (; i < json_array_size(words); i++) {
		n += (size_t)snprintf(out + n, len - n, "%s%s", n ? " " : "",
			json_string_value(json_array_get(words, i)));
		if (n >= len)
			return complain("the filter is longer than %zu bytes", len - 1);
	}
	return 0;
}

/* The first words that name ports; `any` stands for all of them. */
static size_t ports_take(const struct cli *cli, struct capture_run *run, const json_t *ports)
{
	const json_t *words = json_object_get(cli->params, "words");
	size_t n = json_array_size(words), i;

	n -= RW_MIN(n, (size_t)cli->capture.behind);
	for (i = 0; i < n; i++) {
		const char *word = json_string_value(json_array_get(words, i));

		if (is_port(ports, word))
			json_array_append_new(run->ports, json_string(word));
		else if (!strcmp(word, "any") && !json_array_size(run->ports))
			run->every_port = true;
		else
			break;
	}
	return i;
}

/* The filter is no filter; perhaps its first word was meant to be a port. */
static int filter_refuse(
	const struct cli *cli, const struct capture_run *run, size_t first, const char *why)
{
	const json_t *words = json_object_get(cli->params, "words");
	const char *word = json_string_value(json_array_get(words, first));

	if (first < json_array_size(words) - cli->capture.behind)
		return complain("the filter \"%s\" is not understood: %s (and \"%s\" is no port; "
				"see ringway port list)",
			run->filter, why, word);
	return complain("the filter \"%s\" is not understood: %s", run->filter, why);
}

/* Neither ports nor `any`: without --dropped that is a mistake. 0, or -1 with a complaint. */
static int ports_check(const struct cli *cli, const struct capture_run *run)
{
	const json_t *words = json_object_get(cli->params, "words");
	const char *word = json_string_value(json_array_get(words, 0));

	if (json_array_size(run->ports) || run->every_port || cli->capture.dropped)
		return 0;
	if (word && json_array_size(words) > cli->capture.behind)
		return complain("\"%s\" is no port: ringway capture wants ports first, or any (see "
				"ringway port list)",
			word);
	return complain("of which port? The command is ringway capture PORT... [FILTER]; any: all "
			"ports");
}

int capture_words_sort(struct cli *cli, struct capture_run *run)
{
	json_t *ports = call_list(cli, "port.list", NULL);
	const json_t *words = json_object_get(cli->params, "words");
	char err[256];
	size_t first;
	int ret;

	if (!ports)
		return -1;
	capture_names_read(run, ports);
	first = ports_take(cli, run, ports);
	json_decref(ports);
	ret = ports_check(cli, run);
	if (!ret)
		ret = filter_join(words, first, run->filter, sizeof(run->filter));
	if (ret)
		return ret;
	run->program = capture_filter_compile(run->filter, err, sizeof(err));
	if (!run->program)
		return filter_refuse(cli, run, first, err);
	if (!json_array_size(run->ports))
		run->every_port = true;
	return 0;
}
