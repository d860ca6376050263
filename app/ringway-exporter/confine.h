/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the exporter gives up before it serves anybody: root, capabilities, files, and the system
 * calls that it has no use for. It reads what hostile programs of this host send. The ways to do it
 * are ringwayd's (sandbox.h).
 *
 * Thread: the only one.
 */
#include "options.h"

/* Whether root starts it and it becomes somebody else: `user`, whose name may be NULL. */
bool confine_changes_user(const struct options *opt, struct sandbox_user *user);

/* The process itself, which has all sockets that it needs. 0, or -errno after an error line. */
int confine_begin(const struct options *opt);

/* The child that connects; it keeps standard error and `fd`. 0 or -errno. */
int confine_connector(int fd, enum sandbox_mode mode);
