/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* What `capture` is made of: the filter's compiler, the writer of files, the printer of lines. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cap_ring.h"

/* What the user wants, besides ports and filter. */
struct capture_options {
	const char *write;   /* -w FILE; "-": standard output; NULL: lines for people */
	uint32_t snap;       /* --snap; 0: whole frames */
	uint32_t sample;     /* --sample; 0: every frame */
	uint32_t ring_files; /* --ring-files; 0: one file */
	uint64_t file_size;  /* --file-size, bytes; 0: no limit */
	bool in, out;        /* --direction; both false: both */
	bool dropped;        /* --dropped */
	unsigned behind;     /* so many of the words stood behind "--": they are the filter's */
};

/*
 * capture_filter.c: compile a filter in tcpdump's syntax to instructions, [code, jt, jf, k] each;
 * "" matches everything and gives an empty list. NULL: `err` says what is wrong with it.
 */
json_t *capture_filter_compile(const char *text, char *err, size_t len);

/* What is known of a captured frame besides its record and bytes. */
struct capture_names {
	const char *port;  /* of the record */
	const char *other; /* or NULL */
	const char *why;   /* the reason, of a drop; or NULL */
};

/*
 * capture_print.c: a line for people about a frame: "vm1 rx 52:54:00:00:00:01 >
 * 52:54:00:00:00:02, ...", without a newline. Reads nothing behind `record->caplen` bytes.
 */
void capture_line(const struct cap_record *record, const uint8_t *bytes,
	const struct capture_names *names, char *out, size_t len);
/* What stands in a file beside a frame: "port vm1 rx queue 0 to vm2", "dropped: no_buffer". */
void capture_comment(const struct cap_record *record, const uint8_t *bytes,
	const struct capture_names *names, char *out, size_t len);
/* The same as JSON; a new reference. */
json_t *capture_json(
	const struct cap_record *record, const uint8_t *bytes, const struct capture_names *names);

/*
 * pcapng.c: a file in the format of draft-ietf-opsawg-pcapng, in this machine's byte order. Each
 * port is an interface with its name; each frame has a comment and its direction; at the end each
 * interface has its counts. libpcap writes no comments.
 */
struct pcapng {
	FILE *file;
	uint64_t bytes; /* written */
	uint32_t snap;  /* of all interfaces */
	const char *filter;
	uint32_t nifaces;
	uint16_t port_of[CAP_PORTS_MAX];  /* by interface */
	uint16_t iface_of[CAP_PORTS_MAX]; /* by port, plus 1; 0: none yet */
	uint64_t first_ns;
};
/* Begin a file, which stays the caller's: its errors are in ferror(). */
void pcapng_begin(struct pcapng *p, FILE *file, uint32_t snap, const char *filter);
bool pcapng_has_port(const struct pcapng *p, uint16_t port);
void pcapng_add_port(struct pcapng *p, uint16_t port, const char *name);
/* A frame of a port that was added. */
void pcapng_add(struct pcapng *p, const struct cap_record *record, const uint8_t *bytes,
	const char *comment);
/* The counts of an interface, from the beginning on. `n` says how many there are. */
void pcapng_counts(
	struct pcapng *p, uint32_t iface, const struct cap_count *count, uint64_t now_ns);
