/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The file that keeps the forwarding database while no ringwayd runs. It holds names and numbers
 * only: which of them still mean something is for its user to decide (state_fdb.c).
 *
 * Layout: a head, then two halves. A half is a snapshot: a head, the ports that it names, its
 * entries. A writer fills the half with the older snapshot and marks it valid last, so a process
 * that is killed at any moment leaves the snapshot before. Each half has a checksum: a file that
 * was damaged is not believed. Numbers are those of this CPU, for the file is of use until the host
 * boots again.
 *
 * All of the file is allocated and mapped when it is opened. Writing to it takes no system call and
 * cannot fail.
 *
 * Thread: control.
 */
#include "rw_base.h"

#define FDB_FILE_PORTS 1024       /* most ports that a snapshot names */
#define FDB_FILE_MOST  (1u << 20) /* most entries of a file */
#define FDB_FILE_NAME  64         /* bytes of a name and its end */

struct fdb_file_port {
	char name[FDB_FILE_NAME];
	char bridge[FDB_FILE_NAME];
};

struct fdb_file_entry {
	uint8_t mac[6];
	uint16_t vlan;   /* 0 to 4094 */
	uint16_t port;   /* index in the snapshot's ports */
	uint8_t fixed;   /* 1: static; 0: learned */
	uint8_t service; /* 1: a VLAN of 802.1ad */
	uint32_t age_s;  /* of a learned entry, when the snapshot was made */
};

/* What a file holds: the pointers lead into its bytes. */
struct fdb_file_view {
	const struct fdb_file_port *ports;
	const struct fdb_file_entry *entries;
	uint32_t nports, nentries;
	uint64_t made_ms; /* when the snapshot was complete, of rw_now_ms */
};

enum fdb_file_state {
	FDB_FILE_GOOD,  /* there is a snapshot */
	FDB_FILE_EMPTY, /* nothing was written to it yet */
	FDB_FILE_BOOT,  /* it is of another boot of the host */
	FDB_FILE_ALIEN, /* it is no such file, or one of another version */
	FDB_FILE_WRONG, /* it is damaged */
};

/*
 * Judge the bytes of a file, which may be anything; `boot` names this boot of the host. `out` is
 * written for FDB_FILE_GOOD only: all that it holds has been checked then.
 */
enum fdb_file_state fdb_file_read(
	const void *bytes, size_t len, const char *boot, struct fdb_file_view *out);

struct fdb_file;

/*
 * Use the file `fd`, which stays the caller's, for up to `entries` entries. Its snapshot is copied
 * out as `*kept`, whose bytes go with fdb_file_forget. A file that does not fit is made anew. 0 or
 * -errno.
 */
int fdb_file_new(int fd, const char *boot, uint32_t entries, struct fdb_file **out,
	enum fdb_file_state *state, struct fdb_file_view *kept);
/*
 * Go on in a file that another process still uses, once it has stopped writing: nothing is changed
 * before fdb_file_begin. 0; -EINVAL: the file is not one for this boot and so many entries; or
 * -errno.
 */
int fdb_file_take(int fd, const char *boot, uint32_t entries, struct fdb_file **out);
/* Nobody needs the snapshot that fdb_file_new found any more. */
void fdb_file_forget(struct fdb_file *file);
/* The snapshots stay in the file. NULL is fine. */
void fdb_file_free(struct fdb_file *file);

/* Begin a snapshot; one that was begun before is given up. */
void fdb_file_begin(struct fdb_file *file);
/* Name a port. Its index; -1: there are FDB_FILE_PORTS. */
int fdb_file_port(struct fdb_file *file, const char *name, const char *bridge);
/* Add an entry. False: there is no room. */
bool fdb_file_add(struct fdb_file *file, const struct fdb_file_entry *entry);
/* The snapshot is complete: the next process finds it. */
void fdb_file_commit(struct fdb_file *file);
