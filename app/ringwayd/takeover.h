/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A new ringwayd takes over from the one that runs, and guests notice nothing
 * (ringwayd --takeover=CONTROL_SOCKET).
 *
 * The successor calls the method "takeover" on the control socket. From its answer on, the
 * connection carries texts with descriptors (takeover_wire.h):
 *
 *   successor                        running process
 *   "takeover" (JSON-RPC)       ->
 *                               <-   all that is configured; or "busy: REASON"
 *   {"step":"files"}            ->
 *                               <-   {"step":"files"}: those of the state directory
 *   starts EAL, gives up its rights, makes its ports, which wait
 *   {"step":"prepare"}          ->
 *                               <-   {"step":"memory"}... of each front-end
 *                               <-   {"step":"prepared"}
 *   maps it, and makes what else takes time
 *   {"step":"take"}             ->
 *                               <-   {"step":"addresses"}...: the FDB
 *                               <-   {"step":"ready"}
 *   {"step":"ready"}            ->
 *                                    stops its workers, moves its ports out
 *                               <-   {"step":"port"}... for each of them
 *                               <-   {"step":"rest"}: control socket, pid file
 *   has all its ports, at rest
 *   {"step":"taken"}            ->
 *                               <-   {"step":"go"}: the point of no return
 *   its rings run, its workers start; the running process ends
 *
 * Before "go" is sent, the running process goes on with its ports whatever happens: the successor
 * refuses, ends, is killed or says nothing for TAKEOVER_PATIENCE_MS. Once it is sent, the successor
 * owns them, and the other one touches nothing of them any more. Neither side may pass "go" twice,
 * so a successor that is killed right after it is a switch that was killed.
 *
 * Versions: each side says which version of the texts it speaks, and the oldest that it can read. A
 * later version may add fields and leave out optional ones (takeover_fields.h) as long as it can be
 * read as an older one.
 *
 * Thread: control.
 */
#include <stdbool.h>
#include <stddef.h>

#ifndef TAKEOVER_VERSION
#define TAKEOVER_VERSION 1
#endif
#define TAKEOVER_READS 1 /* the oldest version that can be read, and whose readers can read ours */

/* How long the running process waits for the successor while its rings rest. */
#define TAKEOVER_PATIENCE_MS 3000

struct daemon;

/* takeover_take.c, the successor. */

/*
 * Before all else: ask the switch that d->opt.takeover names, and complete d->opt by what it says.
 * 0; or -errno, and `err` holds one line.
 */
int takeover_begin(struct daemon *d, char *err, size_t errlen);
/* The files with the records of packed rings and with addresses; -1: there is none. */
int takeover_rings_fd(void);
int takeover_fdb_fd(void);
/* Whether the running process has huge pages. */
bool takeover_wants_huge(void);
/*
 * All is set up but the workers: take the ports over, up to where only the workers are missing. 0,
 * or -errno after an error line: the other one goes on.
 */
int takeover_finish(struct daemon *d);
/* The workers run: say how long the queues rested; take over the control socket and files. */
void takeover_tell(struct daemon *d);
void takeover_end(void);

/* takeover_give.c, the running process: the ports are another process' now. */
bool takeover_given(void);
