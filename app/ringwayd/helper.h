/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The helper process: it has the rights that ringwayd was started with, opens, binds and
 * removes sockets and the pid file for it, in directories that are named before it starts, and
 * hands over the descriptors. It knows nothing else, and believes nothing that it is asked: each
 * request names a file directly inside one of its directories.
 *
 * It ends when the daemon does, however that ends, and removes what it made. A daemon that lost its
 * helper goes on with the sockets that it has.
 *
 * Thread: control.
 */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rw_sock.h"

/* As many as there are ports, with a control socket, a pid file and directories for more ports. */
#define HELPER_DIRS_MAX  1280
#define HELPER_FILES_MAX 1280

/* A directory, and what may be asked in it. */
struct helper_dir {
	char *path;
	char *only;   /* the one file that may be asked for; NULL: any */
	unsigned ops; /* bit: enum helper_op; what was made can be removed in any case */
};

/* They are named before the helper starts. */
struct helper_dirs {
	struct helper_dir dirs[HELPER_DIRS_MAX];
	unsigned n;
};

/*
 * Allow sockets of any name in `dir`: to listen, and to connect to. Or in the directory of a
 * socket, there to connect only if that one does. 0, or -ENOMEM, -ENOSPC.
 */
int helper_allow_dir(struct helper_dirs *dirs, const char *dir);
int helper_allow_beside(struct helper_dirs *dirs, const char *path, bool connects);
/* Allow a socket that listens, or the pid file, at `path` alone. As above. */
int helper_allow_socket(struct helper_dirs *dirs, const char *path);
int helper_allow_pidfile(struct helper_dirs *dirs, const char *path);
/* Allow to read the file at `path` alone. As above. */
int helper_allow_file(struct helper_dirs *dirs, const char *path);
void helper_dirs_free(struct helper_dirs *dirs);

/* Start it; from then on rw_sock_listen and its like are its work. 0 or -errno. */
int helper_begin(const struct helper_dirs *dirs);
/* What it made is gone when this returns. */
void helper_end(void);

/* Open a file for reading, as whom ringwayd was started. The descriptor or -errno. */
int helper_file_open(const char *path);
/* Open, create and lock a pid file. The descriptor; or -errno, and `err` holds the reason. */
int helper_pidfile_open(const char *path, char *err, size_t errlen);
/* Remove what helper_pidfile_open made. */
void helper_pidfile_unlink(const char *path);

/*
 * Another process made the file `id` at `path` and passed the descriptor `fd` of it: a socket that
 * listens, or the pid file. It counts as made by this helper from now on; a socket whose file has
 * been removed or replaced since is one that is lost. 0 or -errno.
 */
int helper_adopt(const char *path, int fd, const struct rw_sock_id *id);
/* Whether the files stay in the end, because another process has them now. 0 or -errno. */
int helper_keep(bool keep);

/* ---- between the two processes ---- */

#define HELPER_MAGIC    0x52574850u /* "RWHP" */
#define HELPER_PATH_MAX 4096u       /* with the terminating zero */
#define HELPER_TEXT_MAX 160u

enum helper_op {
	HELPER_LISTEN = 1, /* bind and listen: a descriptor */
	HELPER_CONNECT,    /* a descriptor */
	HELPER_PIDFILE,    /* open, create and lock: a descriptor */
	HELPER_FILE,       /* open for reading: a descriptor */
	HELPER_UNLINK,     /* what LISTEN or PIDFILE made */
	HELPER_IS_THERE,   /* whether what LISTEN made is still at its path; -ENOENT: it is not */
	HELPER_LOST,       /* how many sockets of LISTEN are not; `path` does not matter */
	HELPER_ADOPT,      /* the request has a descriptor: what another process made at `path` */
	HELPER_KEEP,       /* `path` "keep": nothing is removed any more; "remove": as usual */
	HELPER_USER,       /* the number of the user whose name `path` is */
	HELPER_GROUP,      /* of a group */
	HELPER_STARTED,    /* when the process started whose decimal number `path` is */
	HELPER_OPS
};

/* One packet each way, of exactly this size. Both sides are one program. */
struct helper_request {
	uint32_t magic;
	uint32_t seq; /* the reply has it, too */
	uint32_t op;
	uint32_t reserved;
	uint64_t dev, ino;            /* ADOPT: of the socket's file */
	struct rw_sock_access access; /* of a new socket */
	char path[HELPER_PATH_MAX];
};

struct helper_reply {
	uint32_t magic;
	uint32_t seq;
	int32_t ret; /* 0; or -errno, and there is no descriptor */
	uint32_t reserved;
	uint64_t dev, ino; /* of the file of a new socket */
	uint32_t number;   /* of a user or group; how many are lost */
	uint32_t reserved2;
	uint64_t ms;                /* since the boot: when it started */
	char text[HELPER_TEXT_MAX]; /* why, if -errno does not say it all */
};

/* Whether a packet of `len` bytes with `nfds` descriptors can be believed as far as its form. */
bool helper_request_valid(const struct helper_request *req, size_t len, unsigned nfds);
bool helper_reply_valid(const struct helper_reply *reply, size_t len, unsigned nfds,
	const struct helper_request *to);

/* The life of the helper process: serve `fd` until its other end is closed. */
void helper_serve(int fd, const struct helper_dirs *dirs);

/* Send or receive a packet with up to one descriptor (-1: none). Bytes, or -errno. */
ssize_t helper_send(int fd, const void *packet, size_t len, int pass);
/* `nfds`: how many descriptors came; all but a single one are closed, and `pass` is -1 then. */
ssize_t helper_receive(int fd, void *packet, size_t len, int *pass, unsigned *nfds);
