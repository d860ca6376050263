/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Captures: what workers see of frames goes into memory that a client of the control socket sent,
 * and from there into a file of the client's. ringwayd opens and allocates nothing for it but its
 * own notes. A capture ends when its client's connection does.
 *
 * The client's memory is foreign: a memfd that cannot shrink, of which nothing is believed
 * (cap_ring.h), and whose mapping the guard knows (gm_guard.h).
 *
 * Thread: control. Workers call what capture.c gives to sw_watch.h.
 */
#include "rw_loop.h"
#include "sw.h"

struct cap_insn;
struct cap_layout;

struct daemon;
struct capture;

#define CAPTURES_MAX 8

/* All that there are. Zero it. */
struct captures {
	struct capture *all[CAPTURES_MAX]; /* NULL: free */
	unsigned n;
	struct rw_timer tick; /* runs while there is one */
};

/* What a client wants. */
struct capture_wish {
	bool rx, tx;     /* what ports sent, what they received */
	bool drops;      /* of that, only what was dropped */
	bool every_port; /* whatever `ports` says */
	const struct port *ports[SW_MAX_PORTS];
	unsigned nports;
	uint32_t snap, sample;
	uint32_t data;          /* bytes of each worker's ring */
	struct cap_insn *insns; /* malloc'd; taken over, also on failure */
	unsigned ninsns;
	int fd; /* of the memory; stays the caller's */
};

/* Begin. 0; or -errno and one line in `err`. The calling client's end is the capture's. */
int capture_begin(struct daemon *d, struct capture_wish *wish, struct cap_layout *layout, char *err,
	size_t len);
/* End all. */
void captures_end(struct daemon *d);

struct capture_info {
	uint32_t ports; /* how many it names; 0: all */
	uint64_t taken, lost;
	uint32_t snap, sample;
	bool rx, tx, drops;
};
/* What capture `i` does; false: there is none. */
bool capture_describe(const struct daemon *d, unsigned i, struct capture_info *out);
