/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_sock.h"

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

#define BACKLOG 16

static int sock_new(const char *path, struct sockaddr_un *sa)
{
	int fd;

	if (strlen(path) > RW_SOCK_PATH_MAX)
		return -ENAMETOOLONG;
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(sa->sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

/* A connection is refused by a file that is no socket, too. */
static int refused(const char *path)
{
	struct stat st;

	return stat(path, &st) || S_ISSOCK(st.st_mode) ? -ECONNREFUSED : -ENOTSOCK;
}

static int direct_connect(const char *path)
{
	struct sockaddr_un sa;
	int fd = sock_new(path, &sa);

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int err = errno;

		close(fd);
		return err == ECONNREFUSED ? refused(path) : -err;
	}
	return fd;
}

/* Remove the socket file at `path` if nobody listens on it. */
static int remove_stale(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = direct_connect(path);
	if (fd >= 0)
		close(fd);
	if (fd != -ECONNREFUSED)
		return fd == -EACCES ? -EACCES : -EADDRINUSE;
	return unlink(path) ? -errno : 0;
}

/* Bind with that mode: there is no moment in which the file has another one. 0 or -errno. */
static int bind_mode(int fd, const struct sockaddr_un *sa, unsigned mode)
{
	mode_t old = umask(~mode & 0777);
	int ret = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) ? -errno : 0;

	umask(old);
	return ret;
}

/*
 * Give the socket's file, which has just been made, its owner, group and mode. Whoever may write to
 * the directory may have put something else in its place: the file is opened, and looked at, once.
 * It has no permissions until it has its owner. 0 or -errno.
 */
static int give(const char *path, const struct rw_sock_access *access, struct rw_sock_id *id)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), ret = 0;
	char self[32];
	struct stat st;

	if (fd < 0)
		return -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st))
		ret = -errno;
	else if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1)
		ret = -EADDRINUSE;
	else if ((access->owner != RW_SOCK_SAME || access->group != RW_SOCK_SAME) &&
		(fchownat(fd, "", access->owner, access->group, AT_EMPTY_PATH) ||
			chmod(self, access->mode & 0777)))
		ret = -errno;
	close(fd);
	*id = (struct rw_sock_id){st.st_dev, st.st_ino};
	return ret;
}

/* The mode of a file whose owner or group is not the final one. */
static unsigned first_mode(const struct rw_sock_access *access)
{
	return access->owner == RW_SOCK_SAME && access->group == RW_SOCK_SAME ? access->mode : 0;
}

static int direct_listen(
	const char *path, const struct rw_sock_access *access, struct rw_sock_id *id)
{
	struct sockaddr_un sa;
	int fd = sock_new(path, &sa), ret;

	if (fd < 0)
		return fd;
	ret = bind_mode(fd, &sa, first_mode(access));
	if (ret == -EADDRINUSE) {
		ret = remove_stale(path);
		if (!ret)
			ret = bind_mode(fd, &sa, first_mode(access));
	}
	if (!ret) {
		ret = give(path, access, id);
		if (!ret && listen(fd, BACKLOG))
			ret = -errno;
		if (ret)
			unlink(path);
	}
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static bool direct_is_there(const char *path, const struct rw_sock_id *id)
{
	struct stat st;

	return !lstat(path, &st) && st.st_dev == id->dev && st.st_ino == id->ino;
}

static void direct_unlink(const char *path, const struct rw_sock_id *id)
{
	if (direct_is_there(path, id))
		unlink(path);
}

/* Nobody here has a list of them. */
static bool direct_any_lost(void)
{
	return true;
}

static int direct_number(enum rw_sock_who who, const char *name, uint32_t *out)
{
	const struct passwd *pw = who == RW_SOCK_USER ? getpwnam(name) : NULL;
	const struct group *gr = who == RW_SOCK_GROUP ? getgrnam(name) : NULL;

	if (!pw && !gr)
		return -ENOENT;
	*out = pw ? pw->pw_uid : gr->gr_gid;
	return 0;
}

/* The start is the 22nd word, and the 20th behind the name, which may hold anything. */
#define STAT_START 20
#define STAT_BYTES 1024

static int direct_started(pid_t pid, uint64_t *ms)
{
	char path[32], text[STAT_BYTES], *at, *save = NULL;
	uint64_t ticks_s = (uint64_t)sysconf(_SC_CLK_TCK);
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	at = strrchr(text, ')');
	at = at ? strtok_r(at + 1, " ", &save) : NULL;
	for (unsigned i = 1; at && i < STAT_START; i++)
		at = strtok_r(NULL, " ", &save);
	if (!at)
		return -ENODATA;
	*ms = strtoull(at, NULL, 10) * 1000 / ticks_s;
	return 0;
}

const struct rw_sock_ops rw_sock_direct = {
	.listen = direct_listen,
	.connect = direct_connect,
	.unlink = direct_unlink,
	.is_there = direct_is_there,
	.any_lost = direct_any_lost,
	.number = direct_number,
	.started = direct_started,
};

static const struct rw_sock_ops *in_use = &rw_sock_direct;

void rw_sock_use(const struct rw_sock_ops *ops)
{
	in_use = ops;
}

int rw_sock_listen(const char *path, const struct rw_sock_access *access, struct rw_sock_id *id)
{
	return in_use->listen(path, access, id);
}

int rw_sock_connect(const char *path)
{
	return in_use->connect(path);
}

void rw_sock_unlink(const char *path, const struct rw_sock_id *id)
{
	in_use->unlink(path, id);
}

bool rw_sock_is_there(const char *path, const struct rw_sock_id *id)
{
	return in_use->is_there(path, id);
}

bool rw_sock_any_lost(void)
{
	return in_use->any_lost();
}

int rw_sock_number(enum rw_sock_who who, const char *name, uint32_t *out)
{
	return in_use->number(who, name, out);
}

int rw_sock_started(pid_t pid, uint64_t *ms)
{
	return pid > 0 ? in_use->started(pid, ms) : -ESRCH;
}

const char *rw_sock_strerror(int err)
{
	switch (-err) {
	case ENAMETOOLONG:
		return "the path is longer than 107 bytes";
	case ENOENT:
		return "the directory does not exist";
	case EADDRINUSE:
		return "a running process owns it";
	case EEXIST:
		return "the file exists and is not a socket";
	case EPERM:
		return "ringwayd may not give it to that owner or group";
	case EXDEV:
		return "ringwayd was not started with that directory: give it --socket-dir=DIR";
	case EPIPE:
		return "ringwayd's helper process has ended: start ringwayd again";
	default:
		return strerror(-err);
	}
}

const char *rw_sock_connect_strerror(int err)
{
	switch (-err) {
	case ENOENT:
	case ECONNREFUSED:
		return "nobody listens there yet";
	case EAGAIN:
		return "the queue of its listener is full";
	case ENOTSOCK:
		return "it is not a socket";
	case EPROTOTYPE:
		return "it is not a stream socket";
	case ELOOP:
		return "it is a symbolic link";
	case EACCES:
		return "permission denied: ringwayd needs to write to it, and to pass its folders";
	default:
		return rw_sock_strerror(err);
	}
}
