/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* One run of `capture`, for its files. */
#include "capture.h"
#include "commands.h"
#include "rw_text.h"

#define CAPTURE_FILTER_MAX 4096 /* bytes of a filter's text */
#define CAPTURE_NAME_MAX   64

/* The files that are written. */
struct capture_files {
	const struct capture_options *opt;
	FILE *file; /* NULL: none is open */
	struct pcapng png;
	unsigned next; /* of a ring of files */
	bool pipe;     /* standard output */
};

struct capture_run {
	struct cli *cli;
	/* What was asked for. */
	json_t *ports; /* names */
	bool every_port;
	char filter[CAPTURE_FILTER_MAX];
	json_t *program; /* of it */
	/* What the switch answered. */
	json_t *reasons;                             /* of drops, by number */
	char names[CAP_PORTS_MAX][CAPTURE_NAME_MAX]; /* by id; "": not known */
	uint64_t names_ms;                           /* when they were asked for */
	/* The memory. */
	struct cap_layout layout;
	uint8_t *base;
	int fd;
	struct cap_reader *readers; /* one for each part */
	struct capture_files files;
	uint64_t frames; /* that were written or printed */
};

/*
 * capture_read.c: which words of the command line are ports, and compile the others. 0, or -1 with
 * a complaint.
 */
int capture_words_sort(struct cli *cli, struct capture_run *run);
/* Take the names from an answer to port.list. */
void capture_names_read(struct capture_run *run, const json_t *ports);

/* capture_memory.c: make the memory and have the switch write to it. 0, or -1 with a complaint. */
int capture_memory_begin(struct capture_run *run);
void capture_memory_end(struct capture_run *run);
/* All records of a port, in all parts. */
struct cap_count capture_counts(const struct capture_run *run, uint16_t port);

/*
 * capture_files.c: where frames go with -w. 0, or -1 with a complaint. `end` writes the counts that
 * `run` has.
 */
int capture_files_begin(struct capture_run *run);
int capture_files_add(struct capture_run *run, const struct cap_record *record,
	const uint8_t *bytes, const struct capture_names *names);
int capture_files_flush(struct capture_run *run);
int capture_files_end(struct capture_run *run);
