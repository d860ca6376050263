/* SPDX-License-Identifier: BSD-3-Clause */
#include "plotter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rw_text.h"

/* Debian's Python is the one that Debian's matplotlib belongs to. */
#define PYTHON  "/usr/bin/python3"
#define PACKAGE "python3-matplotlib"
/* What the plotter's messages begin with. */
#define PREFIX "bench_plot: "

extern char **environ;

RW_PRINTF(3, 4) static int plotter_complain(char *err, size_t errlen, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rw_text_line(err, errlen, fmt, ap);
	va_end(ap);
	return -1;
}

/*
 * The plotter lies beside a ringway-bench that was built and not installed, and in PLOTTER_FOLDER
 * otherwise. 0, or -1 and a line in `err`.
 */
static int plotter_find(char *path, size_t size, char *err, size_t errlen)
{
	ssize_t len = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (len > 0) {
		path[len] = '\0';
		slash = strrchr(path, '/');
		if (slash && (size_t)(slash - path) + sizeof("/" PLOTTER_NAME) <= size) {
			strcpy(slash, "/" PLOTTER_NAME);
			if (!access(path, R_OK))
				return 0;
		}
	}
	snprintf(path, size, "%s", PLOTTER_FOLDER "/" PLOTTER_NAME);
	if (!access(path, R_OK))
		return 0;
	return plotter_complain(err, errlen, "the plotter is missing: there is no %s", path);
}

/* The last line that the plotter wrote to `fd`, or what its status says. Returns -1. */
static int plotter_failed(int fd, int status, char *err, size_t errlen)
{
	char text[1024] = "";
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	char *line = text;

	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	if (strrchr(text, '\n'))
		line = strrchr(text, '\n') + 1;
	if (!strncmp(line, PREFIX, strlen(PREFIX)))
		line += strlen(PREFIX);
	if (!*line)
		return plotter_complain(err, errlen, "the plotter ended with status %#x", status);
	return plotter_complain(err, errlen, "%s", line);
}

/*
 * Start the plotter with `in` as standard input and `out` for all that it says, and wait for its
 * end.
 */
static int plotter_spawn(char *const argv[], int in, int out, int *status)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int ret;

	ret = posix_spawn_file_actions_init(&actions);
	if (ret)
		return ret;
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	ret = posix_spawn(&pid, PYTHON, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (ret)
		return ret;
	while (waitpid(pid, status, 0) < 0) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

/*
 * Run the plotter with one more option, and what it reads from `in`. 0, or -1 and a line in `err`.
 */
static int plotter_run(char *option, int in, char *err, size_t errlen)
{
	char path[PATH_MAX];
	char *argv[] = {(char *)"python3", (char *)"-B", path, option, NULL};
	int out, ret, status = 0;

	if (plotter_find(path, sizeof(path), err, errlen))
		return -1;
	out = memfd_create("plotter", MFD_CLOEXEC);
	if (out < 0)
		return plotter_complain(err, errlen, "%s", strerror(errno));
	ret = plotter_spawn(argv, in, out, &status);
	if (ret)
		ret = plotter_complain(err, errlen,
			"cannot start " PYTHON ": %s: apt-get install " PACKAGE, strerror(ret));
	else if (status)
		ret = plotter_failed(out, status, err, errlen);
	close(out);
	return ret;
}

/* Whether a file can be written. One that is not there yet is made and removed again. */
static int file_check(const char *path, char *err, size_t errlen)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	bool made = fd >= 0;

	if (!made && errno == EEXIST)
		fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return plotter_complain(err, errlen, "cannot write there: %s", strerror(errno));
	close(fd);
	if (made)
		unlink(path);
	return 0;
}

int plotter_check(const char *path, char *err, size_t errlen)
{
	char option[] = "--check";
	int null, ret;

	if (file_check(path, err, errlen))
		return -1;
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0)
		return plotter_complain(err, errlen, "/dev/null: %s", strerror(errno));
	ret = plotter_run(option, null, err, errlen);
	close(null);
	return ret;
}

int plotter_draw(const struct report *r, const char *path, char *err, size_t errlen)
{
	int fd = memfd_create("report", MFD_CLOEXEC), ret = -1;
	FILE *json = fd < 0 ? NULL : fdopen(fd, "w+");
	char *option = NULL;

	if (!json || asprintf(&option, "--output=%s", path) < 0) {
		plotter_complain(err, errlen, "%s", strerror(errno));
		option = NULL;
	} else if (report_json(r, json) || fflush(json)) {
		plotter_complain(err, errlen, "cannot write the report for the plotter");
	} else {
		rewind(json);
		ret = plotter_run(option, fd, err, errlen);
	}
	free(option);
	if (json)
		fclose(json);
	else if (fd >= 0)
		close(fd);
	return ret;
}
