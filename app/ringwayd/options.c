/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "options_internal.h"

#define DEFAULT_STATE_DIR    "/run/ringway"
#define DEFAULT_FDB_SIZE     65536
#define DEFAULT_FDB_AGE_S    300
#define DEFAULT_FDB_LINGER_S 10
#define FDB_LINGER_MAX_S     3600
#define FDB_SIZE_MAX         (1u << 24)
#define FDB_AGE_MAX_S        1000000 /* as IEEE 802.1Q allows */
#define DEFAULT_BALANCE_S    10
#define BALANCE_MAX_S        86400

int options_mistake(struct parse *p, const char *fmt, ...)
{
	size_t len = 0;
	va_list ap;

	if (p->where) {
		len = (size_t)snprintf(p->err, p->errlen, "%s", p->where);
		len = RW_MIN(len, p->errlen - 1);
		/* In a document an option has no dashes. */
		fmt += strncmp(fmt, "--", 2) ? 0 : 2;
	}
	va_start(ap, fmt);
	rw_text_line(p->err + len, p->errlen - len, fmt, ap);
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
	p->opt->control_is_default = false;
	p->opt->no_control = !strcmp(value, "none");
	if (p->opt->no_control)
		return 0;
	return options_path(p, "--control", value, p->opt->control);
}

static json_t *get_control(const struct options *opt)
{
	if (opt->control_is_default)
		return NULL;
	return json_string(opt->no_control ? "none" : opt->control);
}

static int set_pidfile(struct parse *p, const char *value)
{
	if (strlen(value) > OPTIONS_FILE_MAX)
		return options_mistake(
			p, "--pidfile: the path is longer than %d bytes", OPTIONS_FILE_MAX);
	strcpy(p->opt->pidfile, value);
	return 0;
}

static int set_state_dir(struct parse *p, const char *value)
{
	if (strlen(value) > OPTIONS_FILE_MAX)
		return options_mistake(
			p, "--state-dir: the path is longer than %d bytes", OPTIONS_FILE_MAX);
	p->opt->state_dir_is_default = false;
	strcpy(p->opt->state_dir, strcmp(value, "none") ? value : "");
	return 0;
}

static json_t *get_state_dir(const struct options *opt)
{
	if (opt->state_dir_is_default)
		return NULL;
	return json_string(opt->state_dir[0] ? opt->state_dir : "none");
}

/* A new text; NULL for an empty one. */
static json_t *text_json(const char *text)
{
	return *text ? json_string(text) : NULL;
}

static json_t *get_pidfile(const struct options *opt)
{
	return text_json(opt->pidfile);
}

static int config_path(struct parse *p, const char *option, const char *value)
{
	if (p->opt->config[0])
		return options_mistake(
			p, "there are two configurations: %s and %s", p->opt->config, value);
	if (strlen(value) > OPTIONS_FILE_MAX)
		return options_mistake(
			p, "%s: the path is longer than %d bytes", option, OPTIONS_FILE_MAX);
	strcpy(p->opt->config, value);
	return 0;
}

static int set_config(struct parse *p, const char *value)
{
	return config_path(p, "--config", value);
}

static int set_check_config(struct parse *p, const char *value)
{
	p->check = true;
	return config_path(p, "--check-config", value);
}

static int set_no_huge(struct parse *p, const char *value)
{
	(void)value;
	p->opt->no_huge = true;
	return 0;
}

static json_t *get_no_huge(const struct options *opt)
{
	return json_boolean(opt->no_huge);
}

/* Whom `value`, a name and maybe a group, names. 0 or a mistake. */
static int user_find(struct parse *p, const char *value)
{
	const char *colon = strchr(value, ':');
	const struct passwd *pw;
	const struct group *gr;
	char *name = colon ? strndup(value, (size_t)(colon - value)) : strdup(value);

	pw = name ? getpwnam(name) : NULL;
	free(name);
	if (!pw)
		return options_mistake(p, "--user=%s: there is no such user", value);
	if (geteuid() && pw->pw_uid != geteuid())
		return options_mistake(p, "--user=%s: only root can become another user", value);
	p->opt->user = (struct sandbox_user){.uid = pw->pw_uid, .gid = pw->pw_gid};
	snprintf(p->opt->user_name, sizeof(p->opt->user_name), "%s", pw->pw_name);
	gr = colon ? getgrnam(colon + 1) : NULL;
	if (colon && !gr)
		return options_mistake(p, "--user=%s: there is no such group", value);
	if (gr)
		p->opt->user.gid = gr->gr_gid;
	return 0;
}

/* NAME[:GROUP] */
static int set_user(struct parse *p, const char *value)
{
	if (strlen(value) > OPTIONS_USERS_MAX)
		return options_mistake(
			p, "--user=%s: it has more than %d bytes", value, OPTIONS_USERS_MAX);
	strcpy(p->opt->user_said, value);
	return p->confined ? 0 : user_find(p, value);
}

static json_t *get_user(const struct options *opt)
{
	return text_json(opt->user_said);
}

static int set_seccomp(struct parse *p, const char *value)
{
	int mode = sandbox_mode_by_name(value);

	if (mode < 0)
		return options_mistake(p, "--seccomp=%s: choose " SANDBOX_MODE_NAMES, value);
	p->opt->seccomp = (enum sandbox_mode)mode;
	return 0;
}

static json_t *get_seccomp(const struct options *opt)
{
	return json_string(sandbox_mode_name(opt->seccomp));
}

static int set_log_level(struct parse *p, const char *value)
{
	int level = rw_log_level_by_name(value);

	if (level < 0)
		return options_mistake(
			p, "--log-level=%s: choose error, warning, info or debug", value);
	p->opt->log_level = (enum rw_log_level)level;
	return 0;
}

static json_t *get_log_level(const struct options *opt)
{
	return json_string(rw_log_level_name(opt->log_level));
}

static int set_fdb_size(struct parse *p, const char *value)
{
	if (!rw_text_number(value, 1, FDB_SIZE_MAX, &p->opt->fdb_size))
		return options_mistake(
			p, "--fdb-size=%s: give 1 to %u entries", value, FDB_SIZE_MAX);
	return 0;
}

static json_t *get_fdb_size(const struct options *opt)
{
	return json_integer(opt->fdb_size);
}

static int set_fdb_age(struct parse *p, const char *value)
{
	return rw_text_number(value, 0, FDB_AGE_MAX_S, &p->opt->fdb_age_s)
		? 0
		: options_mistake(p, "--fdb-age=%s: give 1 to %d seconds, or 0 for never", value,
			  FDB_AGE_MAX_S);
}

static json_t *get_fdb_age(const struct options *opt)
{
	return json_integer(opt->fdb_age_s);
}

static int set_fdb_linger(struct parse *p, const char *value)
{
	return rw_text_number(value, 0, FDB_LINGER_MAX_S, &p->opt->fdb_linger_s)
		? 0
		: options_mistake(p, "--fdb-linger=%s: give 0 to 3600 seconds", value);
}

static json_t *get_fdb_linger(const struct options *opt)
{
	return json_integer(opt->fdb_linger_s);
}

static int set_forward(struct parse *p, const char *value)
{
	int mode = sw_forward_by_name(value);

	if (mode < 0)
		return options_mistake(p, "--forward=%s: choose " SW_FORWARD_NAMES, value);
	p->opt->forward = (enum sw_forward)mode;
	return 0;
}

static json_t *get_forward(const struct options *opt)
{
	return json_string(sw_forward_name(opt->forward));
}

static int set_idle(struct parse *p, const char *value)
{
	int mode = sw_idle_by_name(value);

	if (mode < 0)
		return options_mistake(p, "--idle=%s: choose " SW_IDLE_NAMES, value);
	p->opt->idle = (enum sw_idle_mode)mode;
	return 0;
}

static json_t *get_idle(const struct options *opt)
{
	return json_string(sw_idle_name(opt->idle));
}

static int set_balance(struct parse *p, const char *value)
{
	p->opt->balance_s = DEFAULT_BALANCE_S;
	if (!strcmp(value, "off"))
		p->opt->balance_s = 0;
	else if (strcmp(value, "auto") &&
		(strncmp(value, "auto,", 5) ||
			!rw_text_number(value + 5, 1, BALANCE_MAX_S, &p->opt->balance_s)))
		return options_mistake(p,
			"--balance=%s: choose off, auto or auto,SECONDS (1 to %d)", value,
			BALANCE_MAX_S);
	return 0;
}

static json_t *get_balance(const struct options *opt)
{
	return opt->balance_s ? json_sprintf("auto,%u", opt->balance_s) : json_string("off");
}

static int set_snooping(struct parse *p, const char *value)
{
	if (strcmp(value, "on") && strcmp(value, "off"))
		return options_mistake(p, "--snooping=%s: choose on or off", value);
	p->opt->snooping = !strcmp(value, "on");
	return 0;
}

static json_t *get_snooping(const struct options *opt)
{
	return json_boolean(opt->snooping);
}

static int set_help(struct parse *p, const char *value)
{
	(void)p;
	(void)value;
	return OPTIONS_HELP;
}

static int set_config_schema(struct parse *p, const char *value)
{
	(void)p;
	(void)value;
	return OPTIONS_SCHEMA;
}

static int set_control_schema(struct parse *p, const char *value)
{
	(void)p;
	(void)value;
	return OPTIONS_CONTROL;
}

static int set_version(struct parse *p, const char *value)
{
	(void)p;
	(void)value;
	return OPTIONS_VERSION;
}

const struct options_row options_rows[] = {
	{"socket-path", "PATH", true, true, options_set_socket_path, NULL},
	{"port", "NAME,socket=PATH[,KEY=VALUE]...", true, true, options_set_port, NULL},
	{"fd", "FDNUM", false, true, options_set_fd, NULL},
	{"config", "FILE", false, true, set_config, NULL},
	{"check-config", "FILE", false, true, set_check_config, NULL},
	{"config-schema", NULL, true, true, set_config_schema, NULL},
	{"control-schema", NULL, true, true, set_control_schema, NULL},
	{"cpus", "LIST", false, false, options_set_cpus, options_get_cpus},
	{"takeover", "CONTROL_SOCKET", false, true, options_set_takeover, NULL},
	{"control", "PATH|none", false, false, set_control, get_control},
	{"pidfile", "PATH", false, false, set_pidfile, get_pidfile},
	{"state-dir", "DIR|none", false, false, set_state_dir, get_state_dir},
	{"no-huge", NULL, true, false, set_no_huge, get_no_huge},
	{"socket-dir", "DIR", true, false, options_set_socket_dir, options_get_socket_dirs},
	{"socket-mode", "OCTAL", false, false, options_set_socket_mode, options_get_socket_mode},
	{"socket-owner", "USER", false, false, options_set_socket_owner, options_get_socket_owner},
	{"socket-group", "GROUP", false, false, options_set_socket_group, options_get_socket_group},
	{"user", "NAME[:GROUP]", false, false, set_user, get_user},
	{"seccomp", "errno|kill|off", false, false, set_seccomp, get_seccomp},
	{"log-level", "error|warning|info|debug", false, false, set_log_level, get_log_level},
	{"bridge", "NAME", true, false, options_set_bridge, options_get_bridges},
	{"vlan", "NAME=VID", true, false, options_set_vlan_name, options_get_vlan_names},
	{"mirror", "NAME,to=PORT,source=PORT[+PORT]...[,KEY=VALUE]...", true, false,
		options_set_mirror, options_get_mirrors},
	{"fdb-size", "N", false, false, set_fdb_size, get_fdb_size},
	{"fdb-age", "SECONDS", false, false, set_fdb_age, get_fdb_age},
	{"fdb-linger", "SECONDS", false, false, set_fdb_linger, get_fdb_linger},
	{"forward", "switch|io|mac|macswap|rxonly|txonly", false, false, set_forward, get_forward},
	{"idle", "spin|adaptive", false, false, set_idle, get_idle},
	{"snooping", "on|off", false, false, set_snooping, get_snooping},
	{"balance", "off|auto[,SECONDS]", false, false, set_balance, get_balance},
	{"help", NULL, true, true, set_help, NULL},
	{"version", NULL, true, true, set_version, NULL},
};

const size_t options_nrows = RW_ARRAY_SIZE(options_rows);

const struct options_section *options_row_section(const struct options_row *row)
{
	static const struct options_section sections[] = {
		{.name = "bridge", .key = "bridges", .first = true},
		{.name = "vlan", .key = "vlans", .first = true, .pairs = true},
		{.name = "mirror", .key = "mirrors", .entries = true},
	};

	for (size_t i = 0; row && i < RW_ARRAY_SIZE(sections); i++) {
		if (!strcmp(sections[i].name, row->name))
			return &sections[i];
	}
	return NULL;
}

const char *options_row_key(const struct options_row *row)
{
	const struct options_section *section = options_row_section(row);

	return section ? section->key : row->name;
}

const struct options_row *options_row_of(const char *key)
{
	for (size_t i = 0; i < options_nrows; i++) {
		if (!options_rows[i].words_only && !strcmp(options_row_key(&options_rows[i]), key))
			return &options_rows[i];
	}
	return NULL;
}

/* The row of a document's key. NULL: a mistake is noted. */
static const struct options_row *key_row(struct parse *p, const char *key)
{
	const char *names[RW_ARRAY_SIZE(options_rows) + 1] = {"ports"}, *nearest;
	const struct options_row *row = options_row_of(key);
	size_t n = 1;

	if (row)
		return row;
	for (size_t i = 0; i < RW_ARRAY_SIZE(options_rows); i++) {
		if (!options_rows[i].words_only)
			names[n++] = options_row_key(&options_rows[i]);
	}
	nearest = rw_text_nearest(key, names, n);
	if (nearest)
		options_mistake(p, "unknown key \"%s\": did you mean %s?", key, nearest);
	else
		options_mistake(p,
			"unknown key \"%s\": there are ports and the options of "
			"ringwayd --help",
			key);
	return NULL;
}

int options_key_read(struct parse *p, const char *key, const char *value)
{
	const struct options_row *row = key_row(p, key);
	const struct options_section *section = options_row_section(row);

	if (!row)
		return -EINVAL;
	if (!value)
		return options_mistake(p,
			section && (section->pairs || section->entries)
				? "\"%s\" wants a key and a value for each"
				: "\"%s\" wants a word, a number or a list of them",
			key);
	if (p->seen & 1ull << (row - options_rows))
		return 0;
	if (row->value)
		return *value ? row->set(p, value)
			      : options_mistake(p, "%s wants a value: %s", key, row->value);
	if (strcmp(value, "on") && strcmp(value, "off"))
		return options_mistake(p, "%s is either true or false", key);
	return !strcmp(value, "on") ? row->set(p, NULL) : 0;
}

/*
 * Whether `word` or its short form is among the words: then nothing else matters, mistakes neither.
 */
static bool is_asked(int argc, char **argv, const char *word, const char *brief)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], word) || (brief && !strcmp(argv[i], brief)))
			return true;
	}
	return false;
}

int options_finish(struct parse *p)
{
	int ret = options_files_check(p);

	return ret ? ret : options_default_cpus(p);
}

static int parse_all(struct parse *p, int argc, char **argv)
{
	int ret = options_words_read(p, argc, argv);

	p->opt->words = p->seen;
	if (!ret && p->opt->takeover[0])
		return options_takeover_check(p);
	if (!ret && p->opt->config[0])
		ret = options_config_file(p, p->opt->config);
	if (!ret)
		ret = options_ports_check(p);
	if (!ret)
		ret = options_finish(p);
	return !ret && p->check ? OPTIONS_CHECKED : ret;
}

void options_init(struct options *opt)
{
	memset(opt, 0, sizeof(*opt));
	opt->cpus_are_default = true;
	opt->control_is_default = true;
	opt->state_dir_is_default = true;
	strcpy(opt->state_dir, DEFAULT_STATE_DIR);
	opt->log_level = RW_LOG_INFO;
	opt->access = RW_SOCK_PRIVATE;
	opt->fdb_size = DEFAULT_FDB_SIZE;
	opt->fdb_age_s = DEFAULT_FDB_AGE_S;
	opt->fdb_linger_s = DEFAULT_FDB_LINGER_S;
	opt->idle = SW_IDLE_ADAPTIVE;
}

int options_parse(int argc, char **argv, struct options *out, char *err, size_t errlen)
{
	struct parse p = {.err = err, .errlen = errlen};
	int ret;

	/* The conventions for back-end programs: everything else is ignored. */
	if (is_asked(argc, argv, "--print-capabilities", NULL))
		return OPTIONS_CAPABILITIES;
	if (is_asked(argc, argv, "--help", "-h"))
		return OPTIONS_HELP;
	p.opt = malloc(sizeof(*p.opt));
	if (!p.opt)
		return options_mistake(&p, "no memory");
	options_init(p.opt);
	ret = parse_all(&p, argc, argv);
	if (!ret)
		*out = *p.opt;
	free(p.opt);
	return ret;
}

bool options_config_is_file(const struct options *opt)
{
	return opt->config[0] && strcmp(opt->config, "-");
}
