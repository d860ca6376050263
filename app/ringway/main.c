/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of a running switch. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "control.h"
#include "rw_sock.h"
#include "rw_text.h"
#include "version.h"

/* Exit status. */
#define FAILED 1 /* the switch does not answer, or says no */
#define MISUSE 2

#define WORDS_MAX 5
#define VLAN_MAX  4094 /* IEEE 802.1Q, 9.6 */

/* Queues and workers have smaller numbers. */
#define PLACE_MAX 65535u

#define INTERVAL_MIN_S 0.01
#define INTERVAL_MAX_S 86400.0
#define COUNT_MAX      1000000000u

enum { OPT_JSON = 256, OPT_PORT, OPT_QUEUES, OPT_VLAN, OPT_INTERVAL, OPT_COUNT };

/* A command line, read but not understood yet. */
struct line {
	const char *words[WORDS_MAX]; /* what is no option */
	unsigned nwords;
	bool help, version;
};

int complain(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	rw_text_line(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "ringway: %s\n", line);
	return -1;
}

static void print_help(void)
{
	fputs("Usage: ringway [-s PATH] COMMAND [--json]\n"
	      "Look into a running ringwayd and control it.\n"
	      "\n"
	      "Commands:\n",
		stdout);
	for (unsigned i = 0; i < ncommands; i++)
		printf("  %-36s %s\n", commands[i].usage, commands[i].help);
	fputs("\n"
	      "Options:\n"
	      "  -s, --socket=PATH  control socket of the switch (default: for root\n"
	      "                     /run/ringway.sock, for others\n"
	      "                     $XDG_RUNTIME_DIR/ringway.sock or /tmp/ringway-UID.sock)\n"
	      "      --json         print JSON instead of a table\n"
	      "      --queues       port stats: each queue too\n"
	      "      --port=NAME    fdb flush: the addresses behind this port alone; fdb add: "
	      "where\n"
	      "                     the address is\n"
	      "      --vlan=ID      fdb add, fdb del: 0 to 4094 (default: 0, untagged)\n"
	      "      --interval=S   rate: seconds from one reading to the next (default: 1)\n"
	      "      --count=N      rate: so many times (default: 1); 0: until interrupted\n"
	      "  -V, --version      print the version of this program alone and exit\n"
	      "  -h, --help         print this and exit\n"
	      "\n"
	      "Exit status: 0; 1 when the switch does not answer or reports an error; 2 when the\n"
	      "command line is wrong.\n",
		stdout);
}

static int vlan_read(const char *text, struct cli *cli)
{
	char *end;
	unsigned long id = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || id > VLAN_MAX)
		return complain("--vlan wants a number from 0 to %d, not \"%s\"", VLAN_MAX, text);
	cli->vlan = (unsigned)id;
	cli->vlan_given = true;
	return 0;
}

static int interval_read(const char *text, struct cli *cli)
{
	char *end;
	double s = strtod(text, &end);

	if (*text < '0' || *text > '9' || *end || s < INTERVAL_MIN_S || s > INTERVAL_MAX_S)
		return complain("--interval wants %g to %.0f seconds, not \"%s\"", INTERVAL_MIN_S,
			INTERVAL_MAX_S, text);
	cli->interval_s = s;
	cli->rate_given = true;
	return 0;
}

static int count_read(const char *text, struct cli *cli)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n > COUNT_MAX)
		return complain("--count wants a number from 0 to %u, not \"%s\"", COUNT_MAX, text);
	cli->count = (unsigned)n;
	cli->rate_given = true;
	return 0;
}

/* Options of some commands that have a value. 0, or -1 with a complaint. */
static int value_read(int opt, const char *text, struct cli *cli)
{
	switch (opt) {
	case OPT_INTERVAL:
		return interval_read(text, cli);
	case OPT_COUNT:
		return count_read(text, cli);
	default:
		return vlan_read(text, cli);
	}
}

/* Read the words and options, in any order. 0, or -1 with a complaint. */
static int line_read(int argc, char **argv, struct cli *cli, struct line *line)
{
	static const struct option longs[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, OPT_JSON},
		{"port", required_argument, NULL, OPT_PORT},
		{"queues", no_argument, NULL, OPT_QUEUES},
		{"vlan", required_argument, NULL, OPT_VLAN},
		{"interval", required_argument, NULL, OPT_INTERVAL},
		{"count", required_argument, NULL, OPT_COUNT},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int opt, at;

	opterr = 0;
	/* "-": words come as option 1, wherever they stand. */
	while (at = optind, (opt = getopt_long(argc, argv, "-:s:hV", longs, NULL)) != -1) {
		switch (opt) {
		case 1:
			if (line->nwords == WORDS_MAX)
				return complain("unexpected word \"%s\" (see --help)", optarg);
			line->words[line->nwords++] = optarg;
			break;
		case 's':
			cli->socket = optarg;
			break;
		case OPT_JSON:
			cli->json = true;
			break;
		case OPT_PORT:
			cli->port = optarg;
			break;
		case OPT_QUEUES:
			cli->queues = true;
			break;
		case OPT_VLAN:
		case OPT_INTERVAL:
		case OPT_COUNT:
			if (value_read(opt, optarg, cli))
				return -1;
			break;
		case 'h':
			line->help = true;
			break;
		case 'V':
			line->version = true;
			break;
		case ':':
			return complain("%s wants a value (see --help)", argv[at]);
		default:
			return complain("unknown option %s (see --help)", argv[at]);
		}
	}
	if (optind < argc)
		return complain("unexpected word \"%s\" (see --help)", argv[optind]);
	return 0;
}

/* Whether the command has what it needs and nothing else. 0, or -1 with a complaint. */
static int options_fit(const struct command *c, const struct cli *cli)
{
	const char *extra = cli->port && !(c->takes & COMMAND_PORT) ? "--port"
		: cli->queues && !(c->takes & COMMAND_QUEUES)       ? "--queues"
		: cli->vlan_given && !(c->takes & COMMAND_VLAN)     ? "--vlan"
		: cli->rate_given && !(c->takes & COMMAND_RATE)     ? "--interval or --count"
								    : NULL;

	if (extra)
		return complain("%s does not belong here: the command is %s", extra, c->usage);
	if (((c->takes & COMMAND_NEEDS_NAME) && !cli->name) ||
		((c->takes & COMMAND_NEEDS_PORT) && !cli->port))
		return complain("something is missing: the command is %s", c->usage);
	return 0;
}

/* Read QUEUE and WORKER. 0, or -1 with a complaint. */
static int place_read(const struct command *c, const char *const words[2], struct cli *cli)
{
	unsigned *const to[2] = {&cli->queue, &cli->worker};

	for (int i = 0; i < 2; i++) {
		char *end;
		unsigned long n;

		if (!words[i])
			return complain("something is missing: the command is %s", c->usage);
		n = strtoul(words[i], &end, 10);
		if (*words[i] < '0' || *words[i] > '9' || *end || n > PLACE_MAX)
			return complain(
				"%s is numbered from 0 to %u, not \"%s\": the command is %s",
				i ? "WORKER" : "QUEUE", PLACE_MAX, words[i], c->usage);
		*to[i] = (unsigned)n;
	}
	return 0;
}

/* The command that the words name; what is left of them goes to `cli`. NULL with a complaint. */
static const struct command *command_find(const struct line *line, struct cli *cli)
{
	const char *object = line->words[0], *verb = line->words[1];
	const struct command *c = commands, *end = commands + ncommands;
	unsigned used;

	if (!line->nwords) {
		complain("which command? (see --help)");
		return NULL;
	}
	while (c < end &&
		(strcmp(c->object, object) || (c->verb && (!verb || strcmp(c->verb, verb)))))
		c++;
	if (c == end) {
		complain("unknown command \"%s%s%s\" (see --help)", object, verb ? " " : "",
			verb ? verb : "");
		return NULL;
	}
	used = c->verb ? 2 : 1;
	if (line->nwords > used && (c->takes & COMMAND_NAME))
		cli->name = line->words[used++];
	if (cli->name && (c->takes & COMMAND_NEEDS_PLACE)) {
		if (place_read(c, &line->words[used], cli))
			return NULL;
		used += 2;
	}
	if (line->nwords > used) {
		complain("unexpected word \"%s\": the command is %s", line->words[used], c->usage);
		return NULL;
	}
	return options_fit(c, cli) ? NULL : c;
}

/* Which socket to talk to. 0, or -1 with a complaint. */
static int socket_choose(struct cli *cli, char path[RW_SOCK_PATH_MAX + 1])
{
	if (!cli->socket) {
		if (ctl_default_path(path, RW_SOCK_PATH_MAX + 1))
			return complain("XDG_RUNTIME_DIR is too long for a socket: give -s PATH");
		cli->socket = path;
	}
	if (!*cli->socket)
		return complain("the path of the socket is empty: give -s PATH");
	if (strlen(cli->socket) > RW_SOCK_PATH_MAX) {
		return complain("a socket's path has at most %d bytes, this one has %zu: %s",
			RW_SOCK_PATH_MAX, strlen(cli->socket), cli->socket);
	}
	return 0;
}

/* The status, unless the output did not arrive where it should. */
static int finish(int status)
{
	if (rw_stdout_close())
		return status;
	complain("cannot write the output: %s", strerror(errno));
	return FAILED;
}

int main(int argc, char **argv)
{
	char path[RW_SOCK_PATH_MAX + 1];
	struct cli cli = {.fd = -1, .interval_s = 1, .count = 1};
	const struct command *command;
	struct line line = {0};
	int ret;

	if (line_read(argc, argv, &cli, &line))
		return MISUSE;
	if (line.help) {
		print_help();
		return finish(0);
	}
	if (line.version) {
		printf("ringway %s\n", RINGWAY_VERSION);
		return finish(0);
	}
	command = command_find(&line, &cli);
	if (!command || socket_choose(&cli, path))
		return MISUSE;
	ret = command_run(command, &cli);
	if (cli.fd >= 0)
		close(cli.fd);
	return finish(ret ? FAILED : 0);
}
