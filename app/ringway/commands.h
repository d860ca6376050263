/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the ringway command does: each command asks the running switch over its control socket and
 * prints the answer, as a table or as JSON.
 */
#include <jansson.h>
#include <stdbool.h>

/* One invocation. */
struct cli {
	const char *socket; /* path of the control socket */
	int fd;             /* connection to it, -1 before the first call */
	bool json;          /* --json */
	bool queues;        /* --queues */
	const char *port;   /* --port NAME, or NULL */
	const char *name;   /* the word behind the command, or NULL */
	unsigned vlan;      /* --vlan ID, 0 without it */
	bool vlan_given;
};

/* Options and words that only some commands take. */
#define COMMAND_NAME   1u /* a word: NAME */
#define COMMAND_PORT   2u /* --port NAME */
#define COMMAND_QUEUES 4u /* --queues */
#define COMMAND_VLAN   8u /* --vlan ID */
/* And those that it cannot do without. */
#define COMMAND_NEEDS_NAME 16u
#define COMMAND_NEEDS_PORT 32u

struct command {
	const char *object, *verb; /* "port", "list"; the verb may be NULL */
	unsigned takes;            /* COMMAND_* */
	/* The answer as a new reference, or NULL when it has complained. */
	json_t *(*ask)(struct cli *cli);
	/* Print the answer for people. */
	void (*print)(const struct cli *cli, const json_t *answer);
	const char *usage, *help;
};

extern const struct command commands[];
extern const unsigned ncommands;

/* Ask and print. 0, or -1 when it has complained. */
int command_run(const struct command *command, struct cli *cli);

/* show.c: the page of `port show`. */
void port_show_print(const struct cli *cli, const json_t *port);

/* Say what went wrong in one line on standard error. Returns -1. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
