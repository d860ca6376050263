/* SPDX-License-Identifier: BSD-3-Clause */
#include "pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper.h"

/* Longest line, with its newline and the terminating zero. */
#define LINE_MAX_LEN 16

/* The process id that the file holds: 0 if it is empty, -1 if it holds anything else. */
static long pid_read(int fd)
{
	char line[LINE_MAX_LEN + 1], *end;
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);
	long pid;

	if (!n)
		return 0;
	if (n < 0 || n >= LINE_MAX_LEN)
		return -1;
	line[n] = 0;
	pid = strtol(line, &end, 10);
	return line[0] >= '1' && line[0] <= '9' && !strcmp(end, "\n") ? pid : -1;
}

/* Why an open file cannot be a pid file of ours; NULL: it can. */
static const char *foreign(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is not a regular file";
	if (st.st_uid != geteuid() || st.st_nlink > 1)
		return "it belongs to somebody else";
	return pid_read(fd) < 0 ? "it holds something else than a process id" : NULL;
}

static int refuse(char *err, size_t errlen, int ret, const char *why)
{
	snprintf(err, errlen, "%s", why);
	return ret;
}

/* Open the file, or create it. The descriptor; or -errno, and `err` holds the reason. */
static int file_open(int dir, const char *name, char *err, size_t errlen)
{
	/* O_NONBLOCK: a named pipe must not hold us up. */
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
	const char *why;

	if (fd < 0)
		return refuse(err, errlen, -errno,
			errno == ELOOP ? "it is a symbolic link" : strerror(errno));
	why = foreign(fd);
	if (!why)
		return fd;
	close(fd);
	return refuse(err, errlen, -EEXIST, why);
}

/* Whether `name` is the open file. */
static bool is_at(int fd, int dir, const char *name)
{
	struct stat here, there;

	return !fstat(fd, &here) && !fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) &&
		here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

int pidfile_open_at(int dir, const char *name, char *err, size_t errlen)
{
	int fd;

	do {
		fd = file_open(dir, name, err, errlen);
		if (fd < 0)
			return fd;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			snprintf(err, errlen, "process %ld, which is running, owns it",
				pid_read(fd));
			close(fd);
			return -EADDRINUSE;
		}
		/* Its owner may have removed it just before it let go of the lock. */
	} while (!is_at(fd, dir, name) && !close(fd));
	return fd;
}

static int line_write(int fd)
{
	char line[LINE_MAX_LEN];
	int len = snprintf(line, sizeof(line), "%d\n", (int)getpid());
	ssize_t n;

	if (ftruncate(fd, 0))
		return -errno;
	n = pwrite(fd, line, (size_t)len, 0);
	if (n == len)
		return 0;
	return n < 0 ? -errno : -ENOSPC;
}

int pidfile_write(struct pidfile *f, const char *path, char *err, size_t errlen)
{
	int ret = helper_pidfile_open(path, err, errlen);

	if (ret < 0)
		return ret;
	f->fd = ret;
	f->path = path;
	ret = line_write(f->fd);
	if (!ret)
		return 0;
	pidfile_remove(f);
	return refuse(err, errlen, ret, strerror(-ret));
}

int pidfile_take(struct pidfile *f, const char *path, int fd)
{
	const struct rw_sock_id any = {0};
	int ret = helper_adopt(path, fd, &any);

	f->fd = fd;
	f->path = path;
	return ret ? ret : line_write(fd);
}

void pidfile_remove(struct pidfile *f)
{
	if (f->fd < 0)
		return;
	/* The helper has it open, too, and so keeps the lock until the file is gone. */
	helper_pidfile_unlink(f->path);
	close(f->fd);
	f->fd = -1;
}
