/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Connections to the switch's control socket, which only root and the switch's user may open. When
 * the exporter becomes another user, a child process stays who it was, without capabilities, and
 * does nothing but connect to that one path and hand over the descriptor; so a switch that starts
 * again is found again. Without a child, the process connects itself.
 *
 * Thread: the only one.
 */
#include "sandbox.h"

/*
 * Start the child for `path`, which is copied. Before the process gives up anything. It ends when
 * the process does. 0 or -errno.
 */
int connector_begin(const char *path, enum sandbox_mode seccomp);

/* A connected descriptor, or -errno as rw_sock_connect says. `path` is the one of the start. */
int connector_connect(const char *path);
