/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The helper process. What it is asked comes from a process that guests may have taken over: a
 * request is a file's name inside a directory that was named before, and a socket or the pid file.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper.h"
#include "pidfile.h"

/* A socket that listens, or the pid file. */
struct made {
	struct dir *dir;
	bool listens;
	char name[NAME_MAX + 1];
	struct rw_sock_id id;
	int fd; /* held until the file is removed: nobody else takes it over in between; or -1 */
};

struct dir {
	const struct helper_dir *named;
	int fd; /* O_PATH; -1: there is none at its path now */
};

static struct {
	struct dir dirs[HELPER_DIRS_MAX];
	unsigned ndirs;
	struct made made[HELPER_FILES_MAX];
	unsigned nmade;
	bool keeps; /* nothing is removed: another process has it all */
} own;

/* Where a request's path leads. */
struct place {
	struct dir *dir;
	const char *name;
	char path[HELPER_PATH_MAX + NAME_MAX + 2]; /* of the directory, as it was named, and name */
};

/* A directory may have been replaced, or made, since. */
static void dir_refresh(struct dir *dir)
{
	struct stat now, then;

	if (dir->fd >= 0 && !stat(dir->named->path, &now) && !fstat(dir->fd, &then) &&
		now.st_dev == then.st_dev && now.st_ino == then.st_ino)
		return;
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = open(dir->named->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Whether `path` is `dir`, whatever its spelling. */
static bool dir_is(const struct dir *dir, const char *path)
{
	struct stat here, there;

	if (!strcmp(dir->named->path, path))
		return true;
	return dir->fd >= 0 && !fstat(dir->fd, &here) && !stat(path, &there) &&
		here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* The directory in which `op` may be asked for `name`. NULL: it is none. */
static struct dir *dir_find(const char *path, const char *name, unsigned op)
{
	for (unsigned i = 0; i < own.ndirs; i++) {
		const struct helper_dir *named = own.dirs[i].named;

		if ((named->ops >> op & 1) && (!named->only || !strcmp(named->only, name)) &&
			dir_is(&own.dirs[i], path))
			return &own.dirs[i];
	}
	return NULL;
}

/* Cut a path into directory and name. False: it has no name of a file. */
static bool path_cut(char *path, const char **parent, const char **name)
{
	char *slash = strrchr(path, '/');

	*name = slash ? slash + 1 : path;
	*parent = !slash ? "." : slash == path ? "/" : path;
	if (slash && slash != path)
		*slash = 0;
	return **name && strcmp(*name, ".") && strcmp(*name, "..") && strlen(*name) <= NAME_MAX;
}

/* Where a file of that name leads, if `op` may be asked for it. 0 or -errno. */
static int place_find(const char *parent, const char *name, unsigned op, struct place *out)
{
	struct dir *dir = dir_find(parent, name, op);
	const char *path;

	if (!dir)
		return -EXDEV;
	dir_refresh(dir);
	out->dir = dir;
	out->name = name;
	if (dir->fd < 0)
		return -ENOENT;
	path = dir->named->path;
	/* As the user wrote it: it is what tools show for the socket. */
	if (!strcmp(path, "."))
		snprintf(out->path, sizeof(out->path), "%s", name);
	else
		snprintf(
			out->path, sizeof(out->path), "%s/%s", strcmp(path, "/") ? path : "", name);
	return 0;
}

static struct made *made_find(const char *parent, const char *name)
{
	for (unsigned i = 0; i < own.nmade; i++) {
		if (!strcmp(own.made[i].name, name) && dir_is(own.made[i].dir, parent))
			return &own.made[i];
	}
	return NULL;
}

/* Whether the file is still the one that was made. */
static bool made_is_there(const struct made *m)
{
	struct stat st;

	return m->dir->fd >= 0 && !fstatat(m->dir->fd, m->name, &st, AT_SYMLINK_NOFOLLOW) &&
		st.st_dev == m->id.dev && st.st_ino == m->id.ino;
}

/* How many sockets are not where clients look for them. */
static uint32_t made_lost(void)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < own.ndirs; i++)
		dir_refresh(&own.dirs[i]);
	for (unsigned i = 0; i < own.nmade; i++)
		n += own.made[i].listens && !made_is_there(&own.made[i]);
	return n;
}

/* Remove the file, if it is still the one that was made, then let go of what holds it. */
static void made_unlink(struct made *m)
{
	if (!own.keeps && made_is_there(m))
		unlinkat(m->dir->fd, m->name, 0);
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
	m->id = (struct rw_sock_id){0};
}

static void made_remove(struct made *m)
{
	made_unlink(m);
	*m = own.made[--own.nmade];
}

/* ---- the requests ---- */

/* As rw_sock_listen. */
static int listen_at(const struct place *at, const struct helper_request *req,
	struct helper_reply *reply, int *pass)
{
	struct made *m = made_find(at->dir->named->path, at->name);
	struct rw_sock_id id;
	int fd;

	if (m)
		made_unlink(m); /* bound again: somebody removed or replaced the file */
	else if (own.nmade == HELPER_FILES_MAX)
		return -ENOSPC;
	fd = rw_sock_direct.listen(at->path, &req->access, &id);
	if (fd < 0)
		return fd; /* one that was lost stays so */
	if (!m)
		m = &own.made[own.nmade++];
	*m = (struct made){.dir = at->dir, .listens = true, .id = id, .fd = fd};
	strcpy(m->name, at->name);
	reply->dev = m->id.dev;
	reply->ino = m->id.ino;
	*pass = fd;
	return 0;
}

/* Connect to the socket file itself: a symbolic link would lead elsewhere. */
static int connect_at(const struct place *at, int *pass)
{
	int file = openat(at->dir->fd, at->name, O_PATH | O_NOFOLLOW | O_CLOEXEC), fd;
	char path[32];
	struct stat st;

	if (file < 0)
		return -errno;
	if (fstat(file, &st)) {
		fd = -errno;
	} else if (!S_ISSOCK(st.st_mode)) {
		fd = S_ISLNK(st.st_mode) ? -ELOOP : -ENOTSOCK;
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
		fd = rw_sock_direct.connect(path);
	}
	close(file);
	if (fd < 0)
		return fd;
	*pass = fd;
	return 0;
}

static int pidfile_at(const struct place *at, struct helper_reply *reply, int *pass)
{
	struct made *m;
	struct stat st;
	int fd;

	if (own.nmade == HELPER_FILES_MAX)
		return -ENOSPC;
	m = &own.made[own.nmade];
	fd = pidfile_open_at(at->dir->fd, at->name, reply->text, sizeof(reply->text));
	if (fd < 0)
		return fd;
	if (fstat(fd, &st)) {
		close(fd);
		return -EIO;
	}
	*m = (struct made){.dir = at->dir, .id = {st.st_dev, st.st_ino}, .fd = fd};
	strcpy(m->name, at->name);
	own.nmade++;
	*pass = fd;
	return 0;
}

/*
 * The number of a user or group in the files of this host: other sources of names need more system
 * calls than the helper may make.
 */
static int number_of(const char *name, bool is_group, uint32_t *out)
{
	FILE *f = fopen(is_group ? "/etc/group" : "/etc/passwd", "re");
	const struct passwd *pw;
	const struct group *gr;
	int ret = -ENOENT;

	if (!f)
		return -errno;
	while (ret && !is_group && (pw = fgetpwent(f))) {
		*out = pw->pw_uid;
		ret = strcmp(pw->pw_name, name) ? ret : 0;
	}
	while (ret && is_group && (gr = fgetgrent(f))) {
		*out = gr->gr_gid;
		ret = strcmp(gr->gr_name, name) ? ret : 0;
	}
	fclose(f);
	return ret;
}

/* When a process started: what any user may read of any process. */
static int started(const char *number, uint64_t *ms)
{
	size_t len = strspn(number, "0123456789");

	if (number[len] || len > 9)
		return -EINVAL;
	return rw_sock_direct.started((pid_t)strtoul(number, NULL, 10), ms);
}

/* A file of any size that is all there; a link may lead to it, as it may at the start. */
static int file_at(const struct place *at, int *pass)
{
	int fd = openat(at->dir->fd, at->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		ret = -errno;
	else if (!S_ISREG(st.st_mode))
		ret = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (ret)
		close(fd);
	else
		*pass = fd;
	return ret;
}

/* Whether `fd` is a socket that listens and was bound to a file of that name: not by the daemon. */
static bool listens_as(int fd, const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNSPEC};
	socklen_t len = sizeof(sa) - 1, one = sizeof(int);
	const char *slash;
	int listens = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &one) || !listens ||
		getsockname(fd, (struct sockaddr *)&sa, &len) || sa.sun_family != AF_UNIX)
		return false;
	sa.sun_path[sizeof(sa.sun_path) - 1] = 0;
	slash = strrchr(sa.sun_path, '/');
	return !strcmp(slash ? slash + 1 : sa.sun_path, name);
}

/*
 * Fill in `m` with what another helper made: the pid file, which stands there, or a socket, whose
 * file is the one that the request names, or lost. 0 or -errno.
 */
static int adopt_check(
	const struct place *at, const struct helper_request *req, int fd, struct made *m)
{
	struct stat st, file = {.st_ino = 0};
	bool there = at->dir->fd >= 0 &&
		!fstatat(at->dir->fd, at->name, &file, AT_SYMLINK_NOFOLLOW);

	*m = (struct made){.dir = at->dir, .fd = fd};
	if (fstat(fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode)) {
		m->id = (struct rw_sock_id){file.st_dev, file.st_ino};
		return there && st.st_dev == file.st_dev && st.st_ino == file.st_ino ? 0 : -ESTALE;
	}
	if (!S_ISSOCK(st.st_mode) || !listens_as(fd, at->name))
		return -EINVAL;
	m->listens = true;
	if (there && S_ISSOCK(file.st_mode) && file.st_dev == req->dev && file.st_ino == req->ino)
		m->id = (struct rw_sock_id){file.st_dev, file.st_ino};
	return 0;
}

/* A socket or the pid file, whichever may be made there; `fd` is taken over on success. */
static int adopt_find(
	const char *parent, const char *name, const struct helper_request *req, int *fd)
{
	struct place at;
	int ret = place_find(parent, name, HELPER_LISTEN, &at);

	if (ret == -EXDEV)
		ret = place_find(parent, name, HELPER_PIDFILE, &at);
	if (ret && ret != -ENOENT)
		return ret;
	if (own.nmade == HELPER_FILES_MAX)
		return -ENOSPC;
	ret = adopt_check(&at, req, *fd, &own.made[own.nmade]);
	if (ret)
		return ret;
	strcpy(own.made[own.nmade++].name, name);
	*fd = -1;
	return 0;
}

/* 0 or -errno; `pass` is what to hand over, `came` what the request has, -1: taken. */
static int answer(struct helper_request *req, struct helper_reply *reply, int *came, int *pass)
{
	const char *parent, *name;
	struct place at;
	struct made *m;
	int ret;

	if (req->op == HELPER_KEEP) {
		own.keeps = !strcmp(req->path, "keep");
		return 0;
	}
	if (req->op == HELPER_STARTED)
		return started(req->path, &reply->ms);
	if (req->op >= HELPER_USER)
		return number_of(req->path, req->op == HELPER_GROUP, &reply->number);
	if (req->op == HELPER_LOST) {
		reply->number = made_lost();
		return 0;
	}
	if (!path_cut(req->path, &parent, &name))
		return -EINVAL;
	if (req->op == HELPER_IS_THERE) {
		m = made_find(parent, name);
		return m && made_is_there(m) ? 0 : -ENOENT;
	}
	if (req->op == HELPER_ADOPT)
		return adopt_find(parent, name, req, came);
	if (req->op == HELPER_UNLINK) {
		m = made_find(parent, name);
		if (m)
			made_remove(m);
		return m ? 0 : -ENOENT;
	}
	ret = place_find(parent, name, req->op, &at);
	if (ret)
		return ret;
	if (req->op == HELPER_LISTEN)
		return listen_at(&at, req, reply, pass);
	if (req->op == HELPER_CONNECT)
		return connect_at(&at, pass);
	if (req->op == HELPER_FILE)
		return file_at(&at, pass);
	return pidfile_at(&at, reply, pass);
}

/* Serve one request. False: the daemon is gone. */
static bool serve_one(int fd)
{
	static struct helper_request req;
	struct helper_reply reply = {.magic = HELPER_MAGIC};
	int came, pass = -1;
	unsigned nfds;
	ssize_t n = helper_receive(fd, &req, sizeof(req), &came, &nfds);

	if (!n || (n < 0 && n != -EMSGSIZE)) {
		if (came >= 0)
			close(came);
		return false;
	}
	if (n < 0 || !helper_request_valid(&req, (size_t)n, nfds)) {
		reply.ret = -EPROTO;
	} else {
		reply.seq = req.seq;
		reply.ret = answer(&req, &reply, &came, &pass);
	}
	if (came >= 0)
		close(came);
	n = helper_send(fd, &reply, sizeof(reply), pass);
	/* What is made is held until it is removed. */
	if (pass >= 0 && (req.op == HELPER_CONNECT || req.op == HELPER_FILE))
		close(pass);
	return n == (ssize_t)sizeof(reply);
}

void helper_serve(int fd, const struct helper_dirs *dirs)
{
	own.ndirs = dirs->n;
	for (unsigned i = 0; i < dirs->n; i++) {
		own.dirs[i] = (struct dir){.named = &dirs->dirs[i], .fd = -1};
		dir_refresh(&own.dirs[i]);
	}
	while (serve_one(fd))
		continue;
	while (own.nmade)
		made_remove(&own.made[0]);
}
