/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "control.h"
#include "options_internal.h"

#define DEFAULT_FDB_SIZE  65536
#define DEFAULT_FDB_AGE_S 300
#define FDB_SIZE_MAX      (1u << 24)
#define FDB_AGE_MAX_S     1000000 /* as IEEE 802.1Q allows */
#define DEFAULT_BALANCE_S 10
#define BALANCE_MAX_S     86400

int options_mistake(struct parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rw_text_line(p->err, p->errlen, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

int options_path(struct parse *p, const char *option, const char *path, char *out)
{
	size_t len = strlen(path);

	if (!len)
		return options_mistake(p, "%s: the path is empty", option);
	if (len > RW_SOCK_PATH_MAX) {
		return options_mistake(p,
			"%s: a socket's path has at most %d bytes, this one has %zu: %s", option,
			RW_SOCK_PATH_MAX, len, path);
	}
	if (path[len - 1] == '/')
		return options_mistake(p, "%s: %s names a directory, not a socket", option, path);
	memcpy(out, path, len + 1);
	return 0;
}

/* The directory of `path`, which fits: paths are shorter. */
static void dir_of(const char *path, char dir[OPTIONS_FILE_MAX + 1])
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		strcpy(dir, ".");
	else
		snprintf(dir, OPTIONS_FILE_MAX + 1, "%.*s", (int)RW_MAX(slash - path, 1), path);
}

int options_dir_check(struct parse *p, const char *what, const char *path)
{
	char dir[OPTIONS_FILE_MAX + 1];
	struct stat st;

	dir_of(path, dir);
	if (!stat(dir, &st) && S_ISDIR(st.st_mode))
		return 0;
	return options_mistake(
		p, "%s: cannot create %s: there is no directory %s", what, path, dir);
}

bool options_same_file(const char *a, const char *b)
{
	const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
	char dir_a[OPTIONS_FILE_MAX + 1], dir_b[OPTIONS_FILE_MAX + 1];
	struct stat st_a, st_b;

	if (strcmp(slash_a ? slash_a + 1 : a, slash_b ? slash_b + 1 : b))
		return false;
	dir_of(a, dir_a);
	dir_of(b, dir_b);
	if (stat(dir_a, &st_a) || stat(dir_b, &st_b))
		return !strcmp(dir_a, dir_b);
	return st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

static int set_control(struct parse *p, const char *value)
{
	return options_path(p, "--control", value, p->opt.control);
}

static int set_pidfile(struct parse *p, const char *value)
{
	if (strlen(value) > OPTIONS_FILE_MAX)
		return options_mistake(
			p, "--pidfile: the path is longer than %d bytes", OPTIONS_FILE_MAX);
	strcpy(p->opt.pidfile, value);
	return 0;
}

static int set_no_huge(struct parse *p, const char *value)
{
	(void)value;
	p->opt.no_huge = true;
	return 0;
}

static int set_log_level(struct parse *p, const char *value)
{
	int level = rw_log_level_by_name(value);

	if (level < 0)
		return options_mistake(
			p, "--log-level=%s: choose error, warning, info or debug", value);
	p->opt.log_level = (enum rw_log_level)level;
	return 0;
}

static int set_fdb_size(struct parse *p, const char *value)
{
	if (!rw_text_number(value, 1, FDB_SIZE_MAX, &p->opt.fdb_size))
		return options_mistake(
			p, "--fdb-size=%s: give 1 to %u entries", value, FDB_SIZE_MAX);
	return 0;
}

static int set_fdb_age(struct parse *p, const char *value)
{
	if (!rw_text_number(value, 0, FDB_AGE_MAX_S, &p->opt.fdb_age_s)) {
		return options_mistake(p, "--fdb-age=%s: give 1 to %d seconds, or 0 for never",
			value, FDB_AGE_MAX_S);
	}
	return 0;
}

static int set_forward(struct parse *p, const char *value)
{
	int mode = sw_forward_by_name(value);

	if (mode < 0)
		return options_mistake(p, "--forward=%s: choose " SW_FORWARD_NAMES, value);
	p->opt.forward = (enum sw_forward)mode;
	return 0;
}

static int set_idle(struct parse *p, const char *value)
{
	int mode = sw_idle_by_name(value);

	if (mode < 0)
		return options_mistake(p, "--idle=%s: choose " SW_IDLE_NAMES, value);
	p->opt.idle = (enum sw_idle_mode)mode;
	return 0;
}

static int set_balance(struct parse *p, const char *value)
{
	p->opt.balance_s = DEFAULT_BALANCE_S;
	if (!strcmp(value, "off"))
		p->opt.balance_s = 0;
	else if (strcmp(value, "auto") &&
		(strncmp(value, "auto,", 5) ||
			!rw_text_number(value + 5, 1, BALANCE_MAX_S, &p->opt.balance_s)))
		return options_mistake(p,
			"--balance=%s: choose off, auto or auto,SECONDS (1 to %d)", value,
			BALANCE_MAX_S);
	return 0;
}

static int set_help(struct parse *p, const char *value)
{
	(void)p;
	(void)value;
	return OPTIONS_HELP;
}

static int set_version(struct parse *p, const char *value)
{
	(void)p;
	(void)value;
	return OPTIONS_VERSION;
}

static const struct row {
	const char *name;
	const char *value; /* what it wants; NULL: nothing */
	bool many;         /* may be given more than once */
	/* 0: go on; > 0: OPTIONS_HELP, OPTIONS_VERSION; < 0: a mistake is noted */
	int (*set)(struct parse *p, const char *value);
} rows[] = {
	{"--socket-path", "PATH", true, options_set_socket_path},
	{"--port", "NAME,socket=PATH[,mode=server|client]", true, options_set_port},
	{"--fd", "FDNUM", false, options_set_fd},
	{"--cpus", "LIST", false, options_set_cpus},
	{"--control", "PATH", false, set_control},
	{"--pidfile", "PATH", false, set_pidfile},
	{"--no-huge", NULL, true, set_no_huge},
	{"--log-level", "LEVEL", false, set_log_level},
	{"--fdb-size", "N", false, set_fdb_size},
	{"--fdb-age", "SECONDS", false, set_fdb_age},
	{"--forward", "MODE", false, set_forward},
	{"--idle", "MODE", false, set_idle},
	{"--balance", "off|auto[,SECONDS]", false, set_balance},
	{"--help", NULL, true, set_help},
	{"-h", NULL, true, set_help},
	{"--version", NULL, true, set_version},
};

static const struct row *row_find(const char *arg, size_t len)
{
	for (size_t i = 0; i < RW_ARRAY_SIZE(rows); i++) {
		if (strlen(rows[i].name) == len && !strncmp(rows[i].name, arg, len))
			return &rows[i];
	}
	return NULL;
}

/* Read the option at argv[*i]; *i moves on when its value is the next word. */
static int option_read(struct parse *p, int argc, char **argv, int *i)
{
	const char *arg = argv[*i], *value = strchr(arg, '=');
	const struct row *row;
	unsigned bit;

	if (arg[0] != '-')
		return options_mistake(
			p, "unexpected word \"%s\": options begin with -- (see --help)", arg);
	row = row_find(arg, value ? (size_t)(value - arg) : strlen(arg));
	if (!row)
		return options_mistake(p, "unknown option %s (see --help)", arg);
	bit = 1u << (row - rows);
	if (!row->many && (p->seen & bit))
		return options_mistake(p, "%s is given twice", row->name);
	p->seen |= bit;
	if (!row->value)
		return value ? options_mistake(p, "%s takes no value", row->name)
			     : row->set(p, NULL);
	if (value)
		value++;
	else if (*i + 1 < argc && strncmp(argv[*i + 1], "--", 2))
		value = argv[++*i];
	if (!value || !*value)
		return options_mistake(
			p, "%s wants a value: %s %s", row->name, row->name, row->value);
	return row->set(p, value);
}

/* The files besides the ports' sockets. */
static int files_check(struct parse *p)
{
	struct options *opt = &p->opt;
	int ret = 0;

	opt->control_is_default = !opt->control[0];
	if (opt->control_is_default && ctl_default_path(opt->control, sizeof(opt->control))) {
		return options_mistake(
			p, "XDG_RUNTIME_DIR is too long for a control socket: give --control=PATH");
	}
	for (unsigned i = 0; i < opt->nports; i++) {
		const char *path = opt->ports[i].path;

		if (*path && options_same_file(path, opt->control)) {
			return options_mistake(p, "port %s and --control have the same file %s",
				opt->ports[i].name, path);
		}
		if (*path && options_same_file(path, opt->pidfile)) {
			return options_mistake(p, "port %s and --pidfile have the same file %s",
				opt->ports[i].name, path);
		}
	}
	if (options_same_file(opt->pidfile, opt->control))
		return options_mistake(
			p, "--control and --pidfile have the same file %s", opt->pidfile);
	if (!opt->control_is_default)
		ret = options_dir_check(p, "--control", opt->control);
	if (!ret && opt->pidfile[0])
		ret = options_dir_check(p, "--pidfile", opt->pidfile);
	return ret;
}

int options_parse(int argc, char **argv, struct options *out, char *err, size_t errlen)
{
	struct parse p = {
		.opt = {.log_level = RW_LOG_INFO,
			.fdb_size = DEFAULT_FDB_SIZE,
			.fdb_age_s = DEFAULT_FDB_AGE_S,
			.idle = SW_IDLE_ADAPTIVE},
		.err = err,
		.errlen = errlen,
	};
	int ret = 0;

	/* The conventions: everything else is ignored, mistakes too. */
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--print-capabilities"))
			return OPTIONS_CAPABILITIES;
	}
	for (int i = 1; !ret && i < argc; i++)
		ret = option_read(&p, argc, argv, &i);
	if (!ret)
		ret = options_ports_check(&p);
	if (!ret)
		ret = files_check(&p);
	if (!ret)
		ret = options_default_cpus(&p);
	if (!ret)
		*out = p.opt;
	return ret;
}

void options_print_help(FILE *to)
{
	fputs("Usage: ringwayd --socket-path=PATH... [OPTION]...\n"
	      "Switch Ethernet frames between virtual machines that attach through vhost-user.\n"
	      "\n"
	      "Ports, at least one:\n"
	      "  --socket-path=PATH  listen on PATH; the port is named after the file without\n"
	      "                      its ending .sock\n"
	      "  --port NAME,socket=PATH[,mode=server|client]\n"
	      "                      a port called NAME; a client connects to PATH, again and\n"
	      "                      again until somebody listens there (default: server)\n"
	      "  --fd=FDNUM          the vhost-user socket is file descriptor FDNUM; excludes\n"
	      "                      the options above\n"
	      "\n"
	      "Forwarding:\n"
	      "  --cpus LIST         CPUs that move frames, such as 1,3-5; each is used up\n"
	      "                      whole while there are some (default: the highest one\n"
	      "                      allowed)\n"
	      "  --idle=MODE         while there are none: adaptive, wait a moment, then sleep\n"
	      "                      until a guest sends (the default); or spin, use the CPUs\n"
	      "                      up whole all the time, and ask no guest to wake anybody\n"
	      "  --fdb-size=N        remember at most N addresses (default: 65536)\n"
	      "  --fdb-age=SECONDS   forget an address that is silent so long; 0: never\n"
	      "                      (default: 300)\n"
	      "  --forward=MODE      switch (the default), or without a switch, to measure\n"
	      "                      guests; ports are paired as they are given, the first\n"
	      "                      with the second, a last odd one with itself:\n"
	      "                        io       to the partner, unchanged\n"
	      "                        mac      to the partner, with addresses of ringwayd's\n"
	      "                        macswap  to the partner, addresses exchanged\n"
	      "                        rxonly   take and count, send nothing\n"
	      "                        txonly   send frames of 64 bytes to every port\n"
	      "                      can be changed while it runs: ringway forward\n"
	      "  --balance=off|auto[,SECONDS]\n"
	      "                      auto: every 10 or so many seconds move queues from busy\n"
	      "                      workers to others, where that clearly pays (default: off)\n"
	      "\n"
	      "Running:\n"
	      "  --control=PATH      socket for the ringway command (default: for root\n"
	      "                      /run/ringway.sock, for others\n"
	      "                      $XDG_RUNTIME_DIR/ringway.sock or /tmp/ringway-UID.sock)\n"
	      "  --pidfile=PATH      write the process id to PATH\n"
	      "  --no-huge           do not use huge pages for ringwayd's own memory\n"
	      "  --log-level=LEVEL   error, warning, info or debug (default: info)\n"
	      "\n"
	      "Information:\n"
	      "  --print-capabilities  print what this back-end is, as JSON, and exit\n"
	      "  --version             print the version and exit\n"
	      "  -h, --help            print this and exit\n"
	      "\n"
	      "ringwayd stays in the foreground and ends on SIGTERM or SIGINT. A mistake in\n"
	      "the command line is named, and the exit status is 2.\n",
		to);
}

void options_print_capabilities(FILE *to)
{
	fputs("{\"type\": \"net\"}\n", to);
}
