/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A pid file: one line with the process id. It is locked (flock) for as long as the process lives,
 * so that a second daemon cannot take it over, and one that a dead daemon left behind can be told.
 * No other file is ever written or removed: neither what a symbolic link names nor what holds
 * anything but a process id, nor a file of another user.
 *
 * Thread: control.
 */
#include "rw_base.h"

struct pidfile {
	int fd; /* -1: none is held */
	const char *path;
};

/*
 * In the helper: open or create the file `name` in the directory `dir`, and lock it. The
 * descriptor; or -errno, and `err` holds the reason.
 */
int pidfile_open_at(int dir, const char *name, char *err, size_t errlen);

/* Write it; `path` must live on. 0; or -errno, and `err` holds the reason. */
int pidfile_write(struct pidfile *f, const char *path, char *err, size_t errlen);
/*
 * Make the file that another process holds ours: `fd`, which it passed, and which is taken over. 0
 * or -errno: it is held, but holds another process' number or is not removed in the end.
 */
int pidfile_take(struct pidfile *f, const char *path, int fd);
/* Remove it if `path` still names this file, and unlock it. Harmless when none is held. */
void pidfile_remove(struct pidfile *f);
