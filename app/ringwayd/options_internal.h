/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the files of options share: options.c has the table and the rest, options_port.c the ports
 * of any kind, options_vlan.c their VLANs, options_cpus.c the worker CPUs; kind_*.c has the options
 * of a kind of port.
 */
#include <jansson.h>

#include "options.h"
#include "rw_text.h"

/* A command line, or a request of a running switch, being read. */
struct source;

struct parse {
	struct options *opt;
	char *err;
	size_t errlen;
	bool running;  /* a request of a running switch, no command line */
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

/* options_vlan.c: as struct port_option says. */
int options_set_vlan(
	struct parse *p, const char *what, struct options_port *port, const char *value);
int options_set_trunk(
	struct parse *p, const char *what, struct options_port *port, const char *value);
int options_set_native(
	struct parse *p, const char *what, struct options_port *port, const char *value);
/* That they agree with each other. 0 or a mistake. */
int options_vlans_check(struct parse *p, const char *what, const struct options_vlans *v);

/* Add a port. 0 or a mistake. */
int options_port_read(
	struct parse *p, const char *name, const struct options_pair *pairs, unsigned npairs);
/*
 * A key of a document that is an option's name, with its value as text; NULL: it is none. What the
 * command line says prevails. 0 or a mistake.
 */
int options_key_read(struct parse *p, const char *key, const char *value);

/* options_config.c: read a file, or a tree from elsewhere. 0 or a mistake. */
int options_config_file(struct parse *p, const char *path);
int options_config_tree(struct parse *p, const json_t *root);

/* The limits of a port's budgets: the default ones. */
void options_limits_init(uint64_t limits[RW_BUDGET_KINDS]);
/* max-KIND=VALUE. 0 or a mistake. */
int options_set_limit(struct parse *p, const char *what, struct options_port *port,
	enum rw_budget_kind kind, const char *value);

int options_set_cpus(struct parse *p, const char *value);
/* Choose a CPU unless the user did. 0 or a mistake. */
int options_default_cpus(struct parse *p);
