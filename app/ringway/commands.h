/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the ringway command does: each command asks the running switch over its control socket and
 * prints the answer, as a table or as JSON.
 */
#include <jansson.h>
#include <stdbool.h>

#include "capture.h"
#include "control.h"
#include "table.h"

#define VLAN_MAX 4094 /* IEEE 802.1Q, 9.6 */

/* One invocation. */
struct cli {
	const char *socket; /* path of the control socket */
	int fd;             /* connection to it, -1 before the first call */
	bool json;          /* --json */
	bool queues;        /* --queues */
	const char *port;   /* --port NAME, or NULL */
	const char *since;  /* --since NAME, or NULL */
	const char *name;   /* the word behind the command, or NULL */
	unsigned queue;     /* the two behind that, of worker move */
	unsigned worker;
	const char *vlan;   /* --vlan ID or name, or NULL */
	const char *bridge; /* --bridge NAME, or NULL */
	const char *tpid;   /* --tpid KIND, or NULL */
	const char *source; /* --source PORTS or vlan=ID, or NULL */
	const char *to;     /* --to PORT, or NULL */
	bool replace;       /* --replace */
	bool dry_run;       /* --dry-run */
	bool once;          /* --once */
	int timeout_ms;     /* how long to wait for an answer; 0: as usual */
	json_t *params;     /* an object: what struct command.read has read */
	double interval_s;  /* --interval S */
	unsigned count;     /* --count N: answers to print; 0: no end */
	bool count_given;
	unsigned done;  /* answers printed */
	json_t *before; /* rate: the reading of last time */
	struct capture_options capture;
};

/* Options and words that only some commands take. */
#define COMMAND_NAME     1u     /* a word: NAME */
#define COMMAND_PORT     2u     /* --port NAME */
#define COMMAND_QUEUES   4u     /* --queues */
#define COMMAND_VLAN     8u     /* --vlan ID */
#define COMMAND_INTERVAL 64u    /* --interval S */
#define COMMAND_COUNT    2048u  /* --count N */
#define COMMAND_ONCE     4096u  /* --once */
#define COMMAND_CAPTURE  8192u  /* what capture takes */
#define COMMAND_REPLACE  256u   /* --replace */
#define COMMAND_DRY_RUN  512u   /* --dry-run */
#define COMMAND_BRIDGE   1024u  /* --bridge NAME, --tpid KIND */
#define COMMAND_SINCE    32768u /* --since NAME */
#define COMMAND_MIRROR   65536u /* what mirror add takes */
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
	/*
	 * Read the words behind into cli->params; NULL: there may be none. 0, or -1 with a
	 * complaint.
	 */
	int (*read)(struct cli *cli, const char *const *words, unsigned n);
	/* In place of ask and print: 0, or -1 with a complaint. */
	int (*run)(struct cli *cli);
};

/* top.c: called before a complaint is made; NULL: nothing is. */
extern void (*before_complaint)(void);

extern const struct command commands[];
extern const unsigned ncommands;

/*
 * words.c: the command that `n` words name, which end with a NULL; what is behind goes to `cli`.
 * NULL with a complaint.
 */
const struct command *command_find(const char *const *words, unsigned n, struct cli *cli);

/* Ask and print, cli->count times. 0, or -1 when it has complained. */
int command_run(const struct command *command, struct cli *cli);

/*
 * Call a method of the switch: the result, or NULL with a complaint made. Takes the reference to
 * `params`.
 */
json_t *call(struct cli *cli, const char *method, json_t *params);
/*
 * The same, but what the switch says is left in `fail`, with a code other than CTL_ERR_INTERNAL,
 * and no complaint is made about it.
 */
json_t *call_failing(struct cli *cli, const char *method, json_t *params, struct ctl_failure *fail);
/* Connect cli->fd to the switch. 0, or -1 with a complaint. */
int cli_connect(struct cli *cli);
/* As call(), for a result that must be a list. */
json_t *call_list(struct cli *cli, const char *method, json_t *params);

/*
 * words.c: the words become the list `key` of cli->params. 0, or -1 with a complaint, in which one
 * is a `what`, and `where` begins with a blank or is empty.
 */
int words_list(struct cli *cli, const char *const *words, unsigned n, const char *key,
	const char *what, const char *where);
/* commands.c: the counters of cli->name, or of all ports. */
json_t *port_stats(struct cli *cli);
/* count.c. PORT words become the ports of cli->params, a number its limit. */
int ports_read(struct cli *cli, const char *const *words, unsigned n);
int limit_read(struct cli *cli, const char *const *words, unsigned n);
json_t *sizes_start(struct cli *cli);
json_t *sizes_stop(struct cli *cli);
json_t *sizes_show(struct cli *cli);
void sizes_show_print(const struct cli *cli, const json_t *ports);
json_t *vlans_start(struct cli *cli);
json_t *vlans_stop(struct cli *cli);
json_t *vlans_show(struct cli *cli);
void vlans_show_print(const struct cli *cli, const json_t *rows);
json_t *talkers_start(struct cli *cli);
json_t *talkers_stop(struct cli *cli);
json_t *talkers_show(struct cli *cli);
void talkers_show_print(const struct cli *cli, const json_t *answer);
json_t *latency_start(struct cli *cli);
json_t *latency_stop(struct cli *cli);
json_t *latency_show(struct cli *cli);
void latency_show_print(const struct cli *cli, const json_t *pairs);
json_t *latency_histogram(struct cli *cli);
void latency_histogram_print(const struct cli *cli, const json_t *pairs);
/* What count.start and count.stop answer. */
void count_print(const struct cli *cli, const json_t *answer);
/* lag.c */
json_t *mark_add(struct cli *cli);
void mark_add_print(const struct cli *cli, const json_t *mark);
json_t *mark_list(struct cli *cli);
void mark_list_print(const struct cli *cli, const json_t *marks);
json_t *mark_del(struct cli *cli);
void mark_del_print(const struct cli *cli, const json_t *answer);
void port_lag_print(const struct cli *cli, const json_t *ports);

/* port.c. KEY=VALUE words become members of cli->params. */
int pairs_read(struct cli *cli, const char *const *words, unsigned n);
json_t *port_add(struct cli *cli);
void port_add_print(const struct cli *cli, const json_t *port);
json_t *port_set(struct cli *cli);
void port_set_print(const struct cli *cli, const json_t *port);
json_t *port_del(struct cli *cli);
void port_del_print(const struct cli *cli, const json_t *answer);

/* bridge.c. */
json_t *bridge_list(struct cli *cli);
void bridge_list_print(const struct cli *cli, const json_t *bridges);
json_t *bridge_add(struct cli *cli);
void bridge_add_print(const struct cli *cli, const json_t *answer);
json_t *bridge_del(struct cli *cli);
void bridge_del_print(const struct cli *cli, const json_t *answer);

/* mirror.c. What --source begins with if a VLAN is mirrored. */
#define SOURCE_VLAN "vlan="
json_t *mirror_add(struct cli *cli);
void mirror_add_print(const struct cli *cli, const json_t *mirror);
json_t *mirror_list(struct cli *cli);
void mirror_list_print(const struct cli *cli, const json_t *mirrors);
json_t *mirror_del(struct cli *cli);
void mirror_del_print(const struct cli *cli, const json_t *answer);

/* fdb.c. */
/* A VLAN id as a number, or what may be the name of a VLAN; NULL: it is neither. */
json_t *vlan_json(const char *text);
int fdb_filter_read(struct cli *cli, const char *const *words, unsigned n);
int fdb_list(struct cli *cli);
json_t *fdb_flush(struct cli *cli);
void fdb_flush_print(const struct cli *cli, const json_t *result);
json_t *fdb_add(struct cli *cli);
void fdb_add_print(const struct cli *cli, const json_t *result);
json_t *fdb_del(struct cli *cli);
void fdb_del_print(const struct cli *cli, const json_t *result);

/* group.c. */
json_t *group_list(struct cli *cli);
void group_list_print(const struct cli *cli, const json_t *answer);

/* show.c: the page of `port show`. */
void port_show_print(const struct cli *cli, const json_t *port);

/* forward.c. */
json_t *forward_show(struct cli *cli);
json_t *forward_start(struct cli *cli);
json_t *forward_stop(struct cli *cli);
json_t *forward_set(struct cli *cli);
void forward_print(const struct cli *cli, const json_t *answer);

/* backends.c. */
json_t *backends(struct cli *cli);
void backends_print(const struct cli *cli, const json_t *list);

/* config.c. */
json_t *config_show(struct cli *cli);
void config_show_print(const struct cli *cli, const json_t *config);
int config_save(struct cli *cli);
json_t *config_apply(struct cli *cli);
void config_apply_print(const struct cli *cli, const json_t *answer);

/* worker.c. */
json_t *worker_move(struct cli *cli);
void worker_move_print(const struct cli *cli, const json_t *answer);
json_t *worker_balance(struct cli *cli);
void worker_balance_print(const struct cli *cli, const json_t *answer);
/* Below the table of workers: the queues of each, if it has any. */
void worker_queues_print(const json_t *workers);

/* monitor.c: the words are kinds of events. */
int kinds_read(struct cli *cli, const char *const *words, unsigned n);
int monitor(struct cli *cli);

/* Whether the user wants an end, from the first call of interrupts_begin on. */
void interrupts_begin(void);
bool interrupts_came(void);

/* capture_read.c, capture.c: the words are ports, then a filter. */
#define CAPTURE_TIMEOUT_MS 5000
int capture_words(struct cli *cli, const char *const *words, unsigned n);
int capture(struct cli *cli);
/* captures.c. */
json_t *captures(struct cli *cli);
void captures_print(const struct cli *cli, const json_t *list);

/* trace.c. */
int explain_read(struct cli *cli, const char *const *words, unsigned n);
json_t *explain(struct cli *cli);
void explain_print(const struct cli *cli, const json_t *frame);
int trace_read(struct cli *cli, const char *const *words, unsigned n);
int trace(struct cli *cli);

/* top.c. */
int top(struct cli *cli);

/* rate.c: waits for cli->interval_s. */
json_t *rate(struct cli *cli);
/* All counters, or NULL with a complaint; and what happened in a second between two of these. */
json_t *rate_reading(struct cli *cli);
json_t *rate_between(const json_t *before, const json_t *after);
/* A number of things in a second: "14.881 M". */
void cell_rate(struct table *t, double n);
void cell_rate_of(struct table *t, const json_t *object, const char *key);
void rate_print(const struct cli *cli, const json_t *answer);

/* Say what went wrong in one line on standard error. Returns -1. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
