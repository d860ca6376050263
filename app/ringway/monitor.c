/* SPDX-License-Identifier: BSD-3-Clause */
/* monitor: the events of the switch, a line each, until the user has seen enough. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "commands.h"
#include "rw_text.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* Without SA_RESTART: whoever waits then goes on. */
void interrupts_begin(void)
{
	const struct sigaction sa = {.sa_handler = interrupt};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

bool interrupts_came(void)
{
	return interrupted;
}

int kinds_read(struct cli *cli, const char *const *words, unsigned n)
{
	return words_list(cli, words, n, "kinds", "kind", "");
}

/* ---- printing ---- */

static void time_print(double s)
{
	time_t seconds = (time_t)s;
	struct tm tm;
	char text[16];

	if (!localtime_r(&seconds, &tm) || !strftime(text, sizeof(text), "%H:%M:%S", &tm))
		return;
	printf("%s.%03d ", text, (int)((s - (double)seconds) * 1000));
}

/* key=value, in quotes where it has blanks. */
static void member_print(const char *key, const json_t *value)
{
	char *text = json_is_string(value) && !strpbrk(json_string_value(value), " \"\\")
		? strdup(json_string_value(value))
		: json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	if (!text)
		return;
	rw_printable(text);
	printf(" %s=%s", key, text);
	free(text);
}

static void event_print(const struct cli *cli, const json_t *event)
{
	const char *key;
	json_t *value;

	if (cli->json) {
		json_dumpf(event, stdout, JSON_COMPACT);
	} else {
		time_print(json_number_value(json_object_get(event, "time")));
		fputs(text_of(event, "event"), stdout);
		json_object_foreach((json_t *)(uintptr_t)event, key, value)
		{
			if (strcmp(key, "event") && strcmp(key, "time"))
				member_print(key, value);
		}
	}
	putchar('\n');
}

/* ---- reading ---- */

/* The answer to the subscription. 0, or -1 with a complaint. */
static int answer_check(const struct cli *cli, const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");

	if (json_object_get(answer, "result"))
		return 0;
	if (error)
		return complain("%s", text_of(error, "message"));
	return complain("the switch at %s does not answer subscribe", cli->socket);
}

static bool has_seen_enough(const struct cli *cli)
{
	return interrupted || (cli->count && cli->done >= cli->count);
}

/* Read lines: the answer first, then events. 0, or -1 with a complaint. */
static int lines_read(struct cli *cli, FILE *in)
{
	char *line = NULL;
	bool answered = false;
	size_t cap = 0;
	int ret = 0;

	while (!ret && !has_seen_enough(cli)) {
		json_t *read;

		if (getline(&line, &cap, in) < 0) {
			if (!interrupted)
				ret = complain("the switch at %s has gone away", cli->socket);
			break;
		}
		read = json_loads(line, 0, NULL);
		if (!answered) {
			ret = answer_check(cli, read);
			answered = true;
		} else {
			event_print(cli, json_object_get(read, "params"));
			cli->done++;
			if (fflush(stdout))
				ret = -1;
		}
		json_decref(read);
	}
	free(line);
	return ret;
}

int monitor(struct cli *cli)
{
	json_t *subscribe;
	char *request;
	FILE *in;
	int ret;

	if (cli->port)
		json_object_set_new(cli->params, "port", json_string(cli->port));
	if (cli_connect(cli))
		return -1;
	interrupts_begin();
	subscribe = json_pack("{s:s, s:s, s:O, s:i}", "jsonrpc", "2.0", "method", "subscribe",
		"params", cli->params, "id", 1);
	request = json_dumps(subscribe, JSON_COMPACT);
	json_decref(subscribe);
	fcntl(cli->fd, F_SETFL, 0);
	in = fdopen(cli->fd, "r");
	if (!request || !in || send(cli->fd, request, strlen(request), MSG_NOSIGNAL) < 0 ||
		send(cli->fd, "\n", 1, MSG_NOSIGNAL) < 0)
		ret = complain("the switch at %s has gone away", cli->socket);
	else
		ret = lines_read(cli, in);
	free(request);
	if (in)
		fclose(in);
	cli->fd = -1;
	cli->count = cli->done + 1; /* no more of it */
	return ret;
}
