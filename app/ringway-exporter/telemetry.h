/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the switch says of itself in the protocol of DPDK's telemetry (version 2), for
 * dpdk-telemetry.py and collectors that know it: a SOCK_SEQPACKET socket, a command in each packet
 * from the client ("/ringway/port,vm1"), a JSON object in each answer. EAL's own telemetry is off
 * in ringwayd: its thread starts before the switch gives up its privileges, and would keep them.
 *
 * Bounded: TELEMETRY_CLIENTS_MAX clients, of which the first gives way to one more; an answer of
 * TELEMETRY_OUTPUT_MAX bytes, beyond which it is null, as with DPDK. Nobody waits for a client.
 *
 * Thread: the only one.
 */
#include "rw_loop.h"
#include "source.h"

#define TELEMETRY_CLIENTS_MAX 8
#define TELEMETRY_OUTPUT_MAX  (64u << 10)

struct telemetry;

/*
 * Listen at `path`, for the user of the process alone, before it gives up anything, and serve
 * readings of `source`. NULL with errno set.
 */
struct telemetry *telemetry_new(struct rw_loop *loop, const char *path, struct source *source);
/* The socket's file stays: by now the process may not remove it. The next start replaces it. */
void telemetry_free(struct telemetry *t);
