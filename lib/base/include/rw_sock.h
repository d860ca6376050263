/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Unix stream sockets by path: what the vhost-user ports and the control socket have in common.
 * All descriptors are non-blocking and close-on-exec.
 *
 * Thread: control.
 */
#include "rw_base.h"

/* Bytes of a socket path, without the terminating zero (sockaddr_un). */
#define RW_SOCK_PATH_MAX 107

/*
 * Listen on `path`. A socket file that no process listens on any more is replaced; mode is that of
 * the new file. The descriptor, or -errno: -ENAMETOOLONG, -ENOENT or -EACCES for the directory,
 * -EADDRINUSE when a live process owns the socket, -EEXIST when the path is not a socket.
 */
int rw_sock_listen(const char *path, unsigned mode);

/*
 * Connect to `path` without waiting. The descriptor, or -errno; -EAGAIN when the listener's queue
 * is full, -ECONNREFUSED and -ENOENT when nobody listens: try again later.
 */
int rw_sock_connect(const char *path);

/* The reason for a negative return of the above, as an end of a sentence about `path`. */
const char *rw_sock_strerror(int err);
