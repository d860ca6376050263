/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Unix stream sockets by path: what the vhost-user ports and the control socket have in common.
 * All descriptors are non-blocking and close-on-exec.
 *
 * Thread: control.
 */
#include <sys/types.h>

#include "rw_base.h"

/* Bytes of a socket path, without the terminating zero (sockaddr_un). */
#define RW_SOCK_PATH_MAX 107

/* Which file a socket was bound to; it may be another one by now. */
struct rw_sock_id {
	dev_t dev;
	ino_t ino;
};

#define RW_SOCK_SAME UINT32_MAX /* an owner or a group: as the file system chooses */

/* Who may connect to a socket: of its file. */
struct rw_sock_access {
	uint32_t mode;         /* permission bits */
	uint32_t owner, group; /* numbers; RW_SOCK_SAME */
};

/* The process's user alone. */
#define RW_SOCK_PRIVATE ((struct rw_sock_access){0600, RW_SOCK_SAME, RW_SOCK_SAME})

/*
 * Listen on `path`. A socket file that no process listens on any more is replaced; nobody whom
 * `access` does not name can connect to the new one at any time. The descriptor, or -errno:
 * -ENAMETOOLONG, -ENOENT or -EACCES for the directory, -EADDRINUSE when a live process owns the
 * socket, -EEXIST when the path is not a socket, -EPERM when the file cannot be given to that owner
 * or group. The umask of the process changes meanwhile.
 */
int rw_sock_listen(const char *path, const struct rw_sock_access *access, struct rw_sock_id *id);

/*
 * Connect to `path` without waiting. The descriptor, or -errno; -EAGAIN when the listener's queue
 * is full, -ECONNREFUSED and -ENOENT when nobody listens: try again later. -ENOTSOCK: the file is
 * no socket.
 */
int rw_sock_connect(const char *path);

/* Remove the file of a socket that rw_sock_listen made, unless another one took its place. */
void rw_sock_unlink(const char *path, const struct rw_sock_id *id);

/*
 * Whether the file that rw_sock_listen made is still at its path. And whether any of them may not
 * be: one question for all, to ask first.
 */
bool rw_sock_is_there(const char *path, const struct rw_sock_id *id);
bool rw_sock_any_lost(void);

enum rw_sock_who {
	RW_SOCK_USER,
	RW_SOCK_GROUP,
};

/* The number of the user or group called `name`. 0, or -ENOENT. */
int rw_sock_number(enum rw_sock_who who, const char *name, uint32_t *out);

/*
 * When a process started, which is at the other end of a socket: in ms since the boot
 * (CLOCK_BOOTTIME), to 10 ms. 0, or -errno: it cannot be told, as of one in another PID namespace,
 * whose number is 0 here.
 */
int rw_sock_started(pid_t pid, uint64_t *ms);

/* Who does it: a process may have another one open and bind for it. */
struct rw_sock_ops {
	int (*listen)(const char *path, const struct rw_sock_access *access, struct rw_sock_id *id);
	int (*connect)(const char *path);
	void (*unlink)(const char *path, const struct rw_sock_id *id);
	bool (*is_there)(const char *path, const struct rw_sock_id *id);
	bool (*any_lost)(void);
	int (*number)(enum rw_sock_who who, const char *name, uint32_t *out);
	int (*started)(pid_t pid, uint64_t *ms);
};

/* The calling process itself: so it is until rw_sock_use() says otherwise. */
extern const struct rw_sock_ops rw_sock_direct;
void rw_sock_use(const struct rw_sock_ops *ops);

/* The reason for a negative return of the above, as an end of a sentence about `path`. */
const char *rw_sock_strerror(int err);
/* The same of rw_sock_connect. */
const char *rw_sock_connect_strerror(int err);
