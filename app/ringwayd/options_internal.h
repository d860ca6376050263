/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the files of options share: options.c has the table and the rest, options_port.c the ports
 * of any kind, options_bridge.c their bridges and the names of VLANs, options_vlan.c their VLANs,
 * options_policy.c their policies, options_mirror.c the mirrors, options_cpus.c the worker CPUs;
 * kind_*.c has the options of a kind of port.
 */
#include <jansson.h>

#include "options.h"
#include "rw_text.h"

/* A command line, or a request of a running switch, being read. */
struct source;
struct doc;

struct parse {
	struct options *opt;
	char *err;
	size_t errlen;
	bool running;  /* a request of a running switch, no command line */
	bool confined; /* files of the system are out of reach */
	uint64_t seen; /* bit: row of the table of options */
	bool fd_given;
	const char *port_given; /* the option other than --fd that gave a port, or NULL */
	bool check;             /* --check-config: read all, then stop */

	/* While a document is read (options_config.c); otherwise NULL. */
	const char *where; /* stands before each mistake */
	struct source *source;
	/* Mistakes are about that key of the port that is being read; NULL: the port itself. */
	void (*key_at)(struct parse *p, const char *key);
};

/* Note a mistake as one line, whatever bytes the user's words hold. Returns -EINVAL. */
int options_mistake(struct parse *p, const char *fmt, ...) RW_PRINTF(2, 3);

/* A switch-wide option. */
struct options_row {
	const char *name;
	const char *value; /* what it wants; NULL: nothing */
	bool many;         /* may be given more than once */
	bool words_only;   /* it is no key of a configuration */
	/* 0: go on; > 0: OPTIONS_HELP, OPTIONS_VERSION; < 0: a mistake is noted */
	int (*set)(struct parse *p, const char *value);
	/*
	 * What holds, as `set` takes it from a document: a new text, number, boolean, or a list of
	 * these. NULL: nothing does.
	 */
	json_t *(*get)(const struct options *opt);
};

extern const struct options_row options_rows[];
extern const size_t options_nrows;
/* An option that a document has under another key. */
struct options_section {
	const char *name, *key;
	bool first;   /* others refer to it: it is read before them */
	bool pairs;   /* there it has a key and a value for each NAME=VALUE */
	bool entries; /* there it has a key for each NAME, with keys of its own */
};

/* NULL: it is none. */
const struct options_section *options_row_section(const struct options_row *row);
/* An option's key in a document. */
const char *options_row_key(const struct options_row *row);

/* What only all options together show, and the CPUs if nobody chose some. 0 or a mistake. */
int options_finish(struct parse *p);

/* options_takeover.c: as struct options_row says; that no word contradicts it: 0 or a mistake. */
int options_set_takeover(struct parse *p, const char *value);
int options_takeover_check(struct parse *p);

/* options_words.c: read all words. As struct options_row.set. */
int options_words_read(struct parse *p, int argc, char **argv);

/* Copy the path of a socket; `option` names it to the user. 0 or a mistake. */
int options_path(struct parse *p, const char *option, const char *path, char *out);
/* That a file can be created at `path` as far as its directory goes. 0 or a mistake. */
int options_dir_check(struct parse *p, const char *what, const char *path);
/* Whether two paths are the same file, or would be once it exists. */
bool options_same_file(const char *a, const char *b);

/* The options that give ports. 0 or a mistake. */
int options_set_socket_path(struct parse *p, const char *value);
int options_set_port(struct parse *p, const char *value);
int options_set_fd(struct parse *p, const char *value);
/* What only the whole command line shows about them. 0 or a mistake. */
int options_ports_check(struct parse *p);
/* That a port shares no file with the control socket and the pid file. 0 or a mistake. */
int options_port_files_check(struct parse *p, const struct options_port *port);
/* That no two files are the same, and that they can be made. 0 or a mistake. */
int options_files_check(struct parse *p);

/* What names a port, a bridge or a VLAN. */
#define NAME_RULE       "1 to 32 characters of A-Z a-z 0-9 . _ : -"
#define OPTIONS_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
bool options_name_valid(const char *name);

/* options_bridge.c: as struct options_row and struct port_option say. */
int options_set_bridge(struct parse *p, const char *value);
json_t *options_get_bridges(const struct options *opt);
int options_set_vlan_name(struct parse *p, const char *value);
json_t *options_get_vlan_names(const struct options *opt);
int options_set_port_bridge(
	struct parse *p, const char *what, struct options_port *port, const char *value);
json_t *options_get_port_bridge(const struct options_port *port);
int options_set_tpid(
	struct parse *p, const char *what, struct options_port *port, const char *value);
json_t *options_get_tpid(const struct options_port *port);
/* Whether it is a service VLAN's. 0 or a mistake. */
int options_tpid_read(struct parse *p, const char *what, const char *value, bool *service);
/* That there is the port's bridge. 0 or a mistake. */
int options_port_bridge_check(struct parse *p, const char *what, const struct options_port *port);
/* The name of a VLAN that a user may have meant; NULL: none. */
const char *options_vlan_nearest(const struct options *opt, const char *name);
/* options_port.c: cut "KEY=VALUE,..." into pairs. How many, or a mistake. */
int options_pairs_split(struct parse *p, const char *what, char *text,
	struct options_pair pairs[OPTIONS_PAIRS_MAX]);

/* options_mirror.c: as struct options_row says. */
int options_set_mirror(struct parse *p, const char *value);
json_t *options_get_mirrors(const struct options *opt);
/* Add a mirror. 0 or a mistake. */
int options_mirror_read(
	struct parse *p, const char *name, const struct options_pair *pairs, unsigned npairs);
/* What only all options together show about them. 0 or a mistake. */
int options_mirrors_check(struct parse *p);

/* Take over bridges, names of VLANs and mirrors if the command line, `words`, has them. */
void options_names_take(struct options *to, const struct options *from, uint64_t words);

/* options_vlan.c: as struct port_option says. */
int options_set_vlan(
	struct parse *p, const char *what, struct options_port *port, const char *value);
int options_set_trunk(
	struct parse *p, const char *what, struct options_port *port, const char *value);
int options_set_native(
	struct parse *p, const char *what, struct options_port *port, const char *value);
json_t *options_get_vlan(const struct options_port *port);
json_t *options_get_trunk(const struct options_port *port);
json_t *options_get_native(const struct options_port *port);
/* That they agree with each other. 0 or a mistake. */
int options_vlans_check(struct parse *p, const char *what, const struct options_vlans *v);

/* A port of `kind` that nobody has said anything about. */
void options_port_init(struct options_port *port, const struct port_kind *kind);
/* Option `i` of a port of that kind: its own ones first. NULL behind the last. */
const struct port_option *options_port_option(const struct port_kind *kind, unsigned i);

/* options_offload.c: as struct port_option says. */
int options_set_offload(
	struct parse *p, const char *what, struct options_port *port, const char *value);
json_t *options_get_offload(const struct options_port *port);

/* options_policy.c: option `i` of those that make a port's policy; NULL behind the last. */
const struct port_option *options_policy_at(unsigned i);
/* That they agree with each other. 0 or a mistake. */
int options_policy_check(struct parse *p, const char *what, const struct options_port *port);

/* Add a port. 0 or a mistake. */
int options_port_read(
	struct parse *p, const char *name, const struct options_pair *pairs, unsigned npairs);
/*
 * A key of a document that is an option's name, with its value as text; NULL: it is none. What the
 * command line says prevails. 0 or a mistake.
 */
int options_key_read(struct parse *p, const char *key, const char *value);
/* The row of a document's key; NULL: there is none. */
const struct options_row *options_row_of(const char *key);
/* What holds when nobody says anything: no port, no CPU yet. */
void options_init(struct options *opt);

/* options_config.c: read a file. 0 or a mistake. */
int options_config_file(struct parse *p, const char *path);
/*
 * The same in steps, for a tree from anywhere; `doc`, if any, knows where its values stand in the
 * text called `name`. All of it outlives the source. NULL: no memory, and a mistake is noted.
 */
struct source *options_source_new(
	struct parse *p, const json_t *root, const struct doc *doc, const char *name);
void options_source_free(struct source *s); /* NULL is fine */
/* Read a port or a key of the tree. 1: there is more; 0: that was all; or a mistake. */
int options_source_step(struct source *s);
/* Mistakes from here on are about the value at `path` ("ports/vm1"); and where they are now. */
void options_source_stand_at(struct source *s, const char *path);
const char *options_source_at(const struct source *s);

/* The limits of a port's budgets: the default ones. */
void options_limits_init(uint64_t limits[RW_BUDGET_KINDS]);
/* max-KIND=VALUE. 0 or a mistake. */
int options_set_limit(struct parse *p, const char *what, struct options_port *port,
	enum rw_budget_kind kind, const char *value);
json_t *options_get_limit(const struct options_port *port, enum rw_budget_kind kind);

/* options_sockets.c: who may be a front-end. As struct row and struct port_option say. */
int options_set_socket_mode(struct parse *p, const char *value);
int options_set_socket_owner(struct parse *p, const char *value);
int options_set_socket_group(struct parse *p, const char *value);
int options_set_socket_dir(struct parse *p, const char *value);
json_t *options_get_socket_dirs(const struct options *opt);
json_t *options_get_socket_mode(const struct options *opt);
json_t *options_get_socket_owner(const struct options *opt);
json_t *options_get_socket_group(const struct options *opt);
json_t *options_get_port_mode(const struct options_port *port);
json_t *options_get_port_owner(const struct options_port *port);
json_t *options_get_port_group(const struct options_port *port);
int options_set_port_mode(
	struct parse *p, const char *what, struct options_port *port, const char *value);
int options_set_port_owner(
	struct parse *p, const char *what, struct options_port *port, const char *value);
int options_set_port_group(
	struct parse *p, const char *what, struct options_port *port, const char *value);
/* A port that makes no socket says nothing about its access. 0 or a mistake. */
int options_access_refuse(struct parse *p, const char *what, const struct options_port *port);
/* What holds for the port, where `rest` is for what it does not say. */
struct rw_sock_access options_access(
	const struct options_port *port, const struct rw_sock_access *rest);

int options_set_cpus(struct parse *p, const char *value);
json_t *options_get_cpus(const struct options *opt);
/* Choose a CPU unless the user did. 0 or a mistake. */
int options_default_cpus(struct parse *p);
