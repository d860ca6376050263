/* SPDX-License-Identifier: BSD-3-Clause */
#include "rw_sock.h"

#include <errno.h>
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

int rw_sock_connect(const char *path)
{
	struct sockaddr_un sa;
	int fd = sock_new(path, &sa);

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int err = errno;

		close(fd);
		return -err;
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
	fd = rw_sock_connect(path);
	if (fd >= 0)
		close(fd);
	if (fd != -ECONNREFUSED)
		return fd == -EACCES ? -EACCES : -EADDRINUSE;
	return unlink(path) ? -errno : 0;
}

int rw_sock_listen(const char *path, unsigned mode)
{
	struct sockaddr_un sa;
	int fd = sock_new(path, &sa), ret;

	if (fd < 0)
		return fd;
	ret = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ? -errno : 0;
	if (ret == -EADDRINUSE) {
		ret = remove_stale(path);
		if (!ret)
			ret = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ? -errno : 0;
	}
	if (!ret && (chmod(path, mode) || listen(fd, BACKLOG))) {
		ret = -errno;
		unlink(path);
	}
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
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
	default:
		return strerror(-err);
	}
}
