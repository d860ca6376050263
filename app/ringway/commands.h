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
	unsigned queue;     /* the two behind that, of worker move */
	unsigned worker;
	unsigned vlan; /* --vlan ID, 0 without it */
	bool vlan_given;
	double interval_s; /* --interval S */
	unsigned count;    /* --count N: answers to print; 0: no end */
	bool rate_given;   /* one of these two */
	unsigned done;     /* answers printed */
	json_t *before;    /* rate: the reading of last time */
};

/* Options and words that only some commands take. */
#define COMMAND_NAME   1u  /* a word: NAME */
#define COMMAND_PORT   2u  /* --port NAME */
#define COMMAND_QUEUES 4u  /* --queues */
#define COMMAND_VLAN   8u  /* --vlan ID */
#define COMMAND_RATE   64u /* --interval S, --count N */
/* And those that it cannot do without. */
#define COMMAND_NEEDS_NAME  16u
#define COMMAND_NEEDS_PORT  32u
#define COMMAND_NEEDS_PLACE 128u /* two numbers behind NAME: QUEUE and WORKER */

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

/* Ask and print, cli->count times. 0, or -1 when it has complained. */
int command_run(const struct command *command, struct cli *cli);

/* Call a method of the switch: the result, or NULL with a complaint made. Takes the reference to `params`. */
json_t *call(struct cli *cli, const char *method, json_t *params);
/* As call(), for a result that must be a list. */
json_t *call_list(struct cli *cli, const char *method, json_t *params);

/* show.c: the page of `port show`. */
void port_show_print(const struct cli *cli, const json_t *port);

/* forward.c. */
json_t *forward_show(struct cli *cli);
json_t *forward_start(struct cli *cli);
json_t *forward_stop(struct cli *cli);
json_t *forward_set(struct cli *cli);
void forward_print(const struct cli *cli, const json_t *answer);

/* worker.c. */
json_t *worker_move(struct cli *cli);
void worker_move_print(const struct cli *cli, const json_t *answer);
json_t *worker_balance(struct cli *cli);
void worker_balance_print(const struct cli *cli, const json_t *answer);
/* Below the table of workers: the queues of each, if it has any. */
void worker_queues_print(const json_t *workers);

/* rate.c: waits for cli->interval_s. */
json_t *rate(struct cli *cli);
void rate_print(const struct cli *cli, const json_t *answer);

/* Say what went wrong in one line on standard error. Returns -1. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
