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

#define WORDS_MAX 128

#define INTERVAL_MIN_S 0.01
#define INTERVAL_MAX_S 86400.0
#define COUNT_MAX      1000000000u
#define SNAP_MIN       14u
#define RING_FILES_MAX 100000u

/* A command line, read but not understood yet. */
struct line {
	const char *words[WORDS_MAX + 1]; /* what is no option, then NULL */
	unsigned nwords;
	bool help, version;
	unsigned given; /* bit: row of the table of options */
};

int complain(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	rw_text_line(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (before_complaint)
		before_complaint();
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
		printf("  %-41s %s\n", commands[i].usage, commands[i].help);
	fputs("\n"
	      "Options:\n"
	      "  -s, --socket=PATH  control socket of the switch (default: for root\n"
	      "                     /run/ringway.sock, for others\n"
	      "                     $XDG_RUNTIME_DIR/ringway.sock or /tmp/ringway-UID.sock)\n"
	      "      --json         print JSON instead of a table\n"
	      "      --queues       port stats, port lag: each queue too\n"
	      "      --since=NAME   port stats, port lag: what was counted since mark add NAME\n"
	      "      --port=NAME    fdb flush: the addresses behind this port alone; fdb add: "
	      "where\n"
	      "                     the address is\n"
	      "      --vlan=ID      fdb add, fdb del: 0 to 4094, or the name of a VLAN\n"
	      "                     (default: 0, untagged)\n"
	      "      --bridge=NAME, --tpid=8021q|8021ad\n"
	      "                     fdb del, mirror add: of which bridge, and of which kind, the\n"
	      "                     VLAN is (default: of the bridge default, 8021q)\n"
	      "      --source=PORT[,PORT...]|vlan=ID, --to=PORT\n"
	      "                     mirror add: what is copied, and the port that gets the copies\n"
	      "      --replace      fdb add: move a static entry that is behind another port\n"
	      "      --dry-run      apply: say what would change, and change nothing\n"
	      "      --interval=S   rate, top: seconds from one reading to the next (default: 1)\n"
	      "  -n, --count=N      rate: so many times (default: 1); monitor: so many events;\n"
	      "                     trace: so many frames; 0: until interrupted\n"
	      "      --once         top: print it once, as where there is no terminal\n"
	      "  -w, --write=FILE   capture: write a pcapng file; -: to standard output\n"
	      "      --snap=N       capture, mirror add: so many bytes of each frame (default: "
	      "all)\n"
	      "      --sample=N     capture, mirror add: one of N frames\n"
	      "  -c N               capture: so many frames, as --count\n"
	      "      --direction=in|out|both\n"
	      "                     capture, mirror add: what guests sent, what they received\n"
	      "                     (default: both)\n"
	      "      --dropped      capture: only what was dropped, and why; of all ports if none\n"
	      "                     is named\n"
	      "      --ring-files=N, --file-size=SIZE\n"
	      "                     capture: N files in turn, of SIZE bytes each (default: 100M)\n"
	      "  -V, --version      print the version of this program alone and exit\n"
	      "  -h, --help         print this and exit\n"
	      "\n"
	      "Exit status: 0; 1 when the switch does not answer or reports an error; 2 when the\n"
	      "command line is wrong.\n",
		stdout);
}

static int set_socket(struct cli *cli, const char *text)
{
	cli->socket = text;
	return 0;
}

static int set_json(struct cli *cli, const char *text)
{
	(void)text;
	cli->json = true;
	return 0;
}

static int set_port(struct cli *cli, const char *text)
{
	cli->port = text;
	return 0;
}

static int set_queues(struct cli *cli, const char *text)
{
	(void)text;
	cli->queues = true;
	return 0;
}

static int set_replace(struct cli *cli, const char *text)
{
	(void)text;
	cli->replace = true;
	return 0;
}

static int set_dry_run(struct cli *cli, const char *text)
{
	(void)text;
	cli->dry_run = true;
	return 0;
}

static int set_vlan(struct cli *cli, const char *text)
{
	json_t *vlan = vlan_json(text);

	json_decref(vlan);
	if (!vlan)
		return complain(
			"--vlan wants a number from 0 to %d or a name, not \"%s\"", VLAN_MAX, text);
	cli->vlan = text;
	return 0;
}

static int set_bridge(struct cli *cli, const char *text)
{
	cli->bridge = text;
	return 0;
}

static int set_tpid(struct cli *cli, const char *text)
{
	if (strcmp(text, "8021q") && strcmp(text, "8021ad"))
		return complain("--tpid wants 8021q or 8021ad, not \"%s\"", text);
	cli->tpid = text;
	return 0;
}

static int set_source(struct cli *cli, const char *text)
{
	json_t *vlan = NULL;

	cli->source = text;
	if (strncmp(text, SOURCE_VLAN, strlen(SOURCE_VLAN)))
		return 0;
	vlan = vlan_json(text + strlen(SOURCE_VLAN));
	json_decref(vlan);
	return vlan ? 0
		    : complain("--source wants ports or vlan= with a number from 0 to %d or a "
			       "name, not \"%s\"",
			      VLAN_MAX, text);
}

static int set_to(struct cli *cli, const char *text)
{
	cli->to = text;
	return 0;
}

static int set_interval(struct cli *cli, const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (*text < '0' || *text > '9' || *end || s < INTERVAL_MIN_S || s > INTERVAL_MAX_S)
		return complain("--interval wants %g to %.0f seconds, not \"%s\"", INTERVAL_MIN_S,
			INTERVAL_MAX_S, text);
	cli->interval_s = s;
	return 0;
}

static int set_since(struct cli *cli, const char *text)
{
	cli->since = text;
	return 0;
}

static int set_once(struct cli *cli, const char *text)
{
	(void)text;
	cli->once = true;
	return 0;
}

static int set_count(struct cli *cli, const char *text)
{
	uint32_t n;

	if (!rw_text_number(text, 0, COUNT_MAX, &n))
		return complain("--count wants a number from 0 to %u, not \"%s\"", COUNT_MAX, text);
	cli->count = n;
	cli->count_given = true;
	return 0;
}

static int set_write(struct cli *cli, const char *text)
{
	if (!*text)
		return complain("-w wants the path of a file, or -");
	cli->capture.write = text;
	return 0;
}

static int set_snap(struct cli *cli, const char *text)
{
	if (!rw_text_number(text, SNAP_MIN, CAP_SNAP_MAX, &cli->capture.snap))
		return complain(
			"--snap wants %u to %u bytes, not \"%s\"", SNAP_MIN, CAP_SNAP_MAX, text);
	return 0;
}

static int set_sample(struct cli *cli, const char *text)
{
	if (!rw_text_number(text, 1, COUNT_MAX, &cli->capture.sample))
		return complain(
			"--sample wants a number from 1 to %u, not \"%s\"", COUNT_MAX, text);
	return 0;
}

static int set_ring_files(struct cli *cli, const char *text)
{
	if (!rw_text_number(text, 1, RING_FILES_MAX, &cli->capture.ring_files))
		return complain("--ring-files wants a number from 1 to %u, not \"%s\"",
			RING_FILES_MAX, text);
	return 0;
}

/* Bytes, or with K, M or G. */
static int set_file_size(struct cli *cli, const char *text)
{
	static const char units[] = "KMG";
	const char *at = text, *unit;
	uint32_t n;

	if (rw_text_scan(&at, UINT32_MAX, &n) && n) {
		unit = *at ? strchr(units, *at) : NULL;
		if (!*at || (unit && !at[1])) {
			cli->capture.file_size = (uint64_t)n
				<< (unit ? 10 * (unit - units + 1) : 0);
			return 0;
		}
	}
	return complain(
		"--file-size wants a number of bytes, as 500K, 100M or 2G, not \"%s\"", text);
}

static int set_direction(struct cli *cli, const char *text)
{
	bool both = !strcmp(text, "both");

	cli->capture.in = both || !strcmp(text, "in");
	cli->capture.out = both || !strcmp(text, "out");
	if (cli->capture.in || cli->capture.out)
		return 0;
	return complain("--direction wants in, out or both, not \"%s\"", text);
}

static int set_dropped(struct cli *cli, const char *text)
{
	(void)text;
	cli->capture.dropped = true;
	return 0;
}

static const struct row {
	const char *name;
	bool value;     /* it wants one */
	unsigned takes; /* COMMAND_* of the commands that take it; 0: all do */
	int (*set)(struct cli *cli, const char *text);
} rows[] = {
	{"count", true, COMMAND_COUNT, set_count},
	{"socket", true, 0, set_socket},
	{"json", false, 0, set_json},
	{"port", true, COMMAND_PORT, set_port},
	{"queues", false, COMMAND_QUEUES, set_queues},
	{"vlan", true, COMMAND_VLAN, set_vlan},
	{"bridge", true, COMMAND_BRIDGE | COMMAND_MIRROR, set_bridge},
	{"tpid", true, COMMAND_BRIDGE | COMMAND_MIRROR, set_tpid},
	{"source", true, COMMAND_MIRROR, set_source},
	{"to", true, COMMAND_MIRROR, set_to},
	{"replace", false, COMMAND_REPLACE, set_replace},
	{"dry-run", false, COMMAND_DRY_RUN, set_dry_run},
	{"interval", true, COMMAND_INTERVAL, set_interval},
	{"once", false, COMMAND_ONCE, set_once},
	{"write", true, COMMAND_CAPTURE, set_write},
	{"snap", true, COMMAND_CAPTURE | COMMAND_MIRROR, set_snap},
	{"sample", true, COMMAND_CAPTURE | COMMAND_MIRROR, set_sample},
	{"ring-files", true, COMMAND_CAPTURE, set_ring_files},
	{"file-size", true, COMMAND_CAPTURE, set_file_size},
	{"direction", true, COMMAND_CAPTURE | COMMAND_MIRROR, set_direction},
	{"dropped", false, COMMAND_CAPTURE, set_dropped},
	{"since", true, COMMAND_SINCE, set_since},
};

/* Rows that have a letter, too. */
static const struct {
	char letter;
	const char *name;
} letters[] = {{'w', "write"}, {'c', "count"}, {'n', "count"}};

/* What getopt_long returns for the first row; above all letters. */
#define ROW_FIRST 256

static void longs_fill(struct option longs[RW_ARRAY_SIZE(rows) + 3])
{
	size_t n = RW_ARRAY_SIZE(rows);

	for (size_t i = 0; i < n; i++)
		longs[i] = (struct option){rows[i].name,
			rows[i].value ? required_argument : no_argument, NULL, ROW_FIRST + (int)i};
	longs[n] = (struct option){"version", no_argument, NULL, 'V'};
	longs[n + 1] = (struct option){"help", no_argument, NULL, 'h'};
	longs[n + 2] = (struct option){0};
}

/* Help wins over mistakes. */
static bool help_is_asked(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	}
	return false;
}

static int word_add(struct line *line, const char *word)
{
	if (line->nwords == WORDS_MAX)
		return complain("unexpected word \"%s\" (see --help)", word);
	line->words[line->nwords++] = word;
	return 0;
}

/* There is no such option. Returns -1. */
static int option_refuse(const char *word)
{
	const char *names[RW_ARRAY_SIZE(rows)], *nearest;

	for (size_t i = 0; i < RW_ARRAY_SIZE(rows); i++)
		names[i] = rows[i].name;
	nearest = rw_text_nearest_option(word, names, RW_ARRAY_SIZE(names));
	if (nearest)
		return complain(
			"unknown option %s: did you mean --%s? (see --help)", word, nearest);
	return complain("unknown option %s (see --help)", word);
}

/* What getopt_long returned, or the row of its letter instead. */
static int row_of(int opt)
{
	for (size_t l = 0; l < RW_ARRAY_SIZE(letters); l++) {
		for (size_t i = 0; opt == letters[l].letter && i < RW_ARRAY_SIZE(rows); i++) {
			if (!strcmp(rows[i].name, letters[l].name))
				return ROW_FIRST + (int)i;
		}
	}
	return opt;
}

/* Act on what getopt_long returned for `word`. 0, or -1 with a complaint. */
static int option_read(int opt, const char *word, struct cli *cli, struct line *line)
{
	opt = row_of(opt);
	switch (opt) {
	case 1:
		return word_add(line, optarg);
	case 's':
		return set_socket(cli, optarg);
	case 'h': /* among other letters */
		line->help = true;
		return 0;
	case 'V':
		line->version = true;
		return 0;
	case ':':
		return complain("%s wants a value (see --help)", word);
	case '?':
		return option_refuse(word);
	default:
		line->given |= 1u << (opt - ROW_FIRST);
		return rows[opt - ROW_FIRST].set(cli, optarg);
	}
}

/* Read the words and options, in any order. 0, or -1 with a complaint. */
static int line_read(int argc, char **argv, struct cli *cli, struct line *line)
{
	struct option longs[RW_ARRAY_SIZE(rows) + 3];
	int opt, at;

	longs_fill(longs);
	opterr = 0;
	/* "-": words come as option 1, wherever they stand. */
	while (at = optind, (opt = getopt_long(argc, argv, "-:s:hVw:c:n:", longs, NULL)) != -1) {
		if (option_read(opt, argv[at], cli, line))
			return -1;
	}
	/* Behind "--" stands the filter of a capture. */
	if (optind < argc && (!line->nwords || strcmp(line->words[0], "capture")))
		return complain("unexpected word \"%s\" (see --help)", argv[optind]);
	for (; optind < argc; optind++, cli->capture.behind++) {
		if (word_add(line, argv[optind]))
			return -1;
	}
	return 0;
}

/* Whether the command has what it needs and nothing else. 0, or -1 with a complaint. */
static int options_fit(const struct command *c, const struct cli *cli, unsigned given)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(rows); i++) {
		if ((given >> i & 1) && rows[i].takes && !(c->takes & rows[i].takes))
			return complain("--%s does not belong here: the command is %s",
				rows[i].name, c->usage);
	}
	if (((c->takes & COMMAND_NEEDS_NAME) && !cli->name) ||
		((c->takes & COMMAND_NEEDS_PORT) && !cli->port) ||
		((c->takes & COMMAND_MIRROR) && (!cli->source || !cli->to)))
		return complain("something is missing: the command is %s", c->usage);
	return 0;
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

	if (!help_is_asked(argc, argv) && line_read(argc, argv, &cli, &line))
		return MISUSE;
	if (line.help || help_is_asked(argc, argv)) {
		print_help();
		return finish(0);
	}
	if (line.version) {
		printf("ringway %s\n", RINGWAY_VERSION);
		return finish(0);
	}
	cli.params = json_object();
	command = command_find(line.words, line.nwords, &cli);
	if (!command || options_fit(command, &cli, line.given) || socket_choose(&cli, path)) {
		json_decref(cli.params);
		return MISUSE;
	}
	if (command->run == monitor && !cli.count_given)
		cli.count = 0;
	ret = command_run(command, &cli);
	json_decref(cli.params);
	if (cli.fd >= 0)
		close(cli.fd);
	return finish(ret ? FAILED : 0);
}
