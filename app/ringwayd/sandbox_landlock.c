/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files: while it starts, the process reads what EAL reads; then no thread opens anything. What is
 * open stays so, and what a front-end or the helper hands over can be used.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rw_log.h"
#include "sandbox.h"

/* What the headers of older systems lack (linux/landlock.h, ABI 2 to 6). */
#define FS_EXECUTE     (1ull << 0)
#define FS_WRITE_FILE  (1ull << 1)
#define FS_READ_FILE   (1ull << 2)
#define FS_READ_DIR    (1ull << 3)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR    (1ull << 7)
#define FS_MAKE_REG    (1ull << 8)
#define FS_MAKE_SOCK   (1ull << 9)
#define FS_ABI_1       ((1ull << 13) - 1)
#define FS_REFER       (1ull << 13)
#define FS_TRUNCATE    (1ull << 14)
#define FS_IOCTL_DEV   (1ull << 15)
#define NET_TCP        3ull /* bind, connect */
#define SCOPES         3ull /* abstract Unix sockets, signals */

struct ruleset {
	uint64_t fs;
	uint64_t net;    /* from ABI 4 on */
	uint64_t scoped; /* from ABI 6 on */
};

int sandbox_landlock_abi(void)
{
	long abi = SANDBOX_SANITIZED
		? -1
		: syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

/* All that this kernel can refuse. The part of `rules` that it knows. */
static size_t ruleset_fill(struct ruleset *rules, int abi, bool start)
{
	rules->fs = FS_ABI_1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
		(abi >= 5 ? FS_IOCTL_DEV : 0);
	rules->net = abi >= 4 ? NET_TCP : 0;
	/* Threads signal each other: they are in one scope, which all have from the start. */
	rules->scoped = abi >= 6 && start ? SCOPES : 0;
	return abi >= 6 ? 3 * sizeof(uint64_t) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

static int allow_beneath(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};
	int ret;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return -errno;
	ret = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) ? -errno
											    : 0;
	close(rule.parent_fd);
	return ret;
}

/* What the drivers of uplinks write and make. Of a file that is not there, they complain. */
static int uplink_files_allow(int ruleset, uint64_t handled)
{
	const uint64_t file = FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
	const uint64_t dir = file | FS_MAKE_REG | FS_MAKE_SOCK | FS_MAKE_DIR | FS_REMOVE_FILE;
	const char *path;
	struct stat st;
	int ret = 0;

	for (unsigned i = 0; !ret && (path = sandbox_uplink_file(i)); i++) {
		if (!stat(path, &st))
			ret = allow_beneath(
				ruleset, path, (S_ISDIR(st.st_mode) ? dir : file) & handled);
	}
	return ret;
}

int sandbox_files(enum sandbox_kind kind)
{
	bool start = kind == SANDBOX_START;
	int abi = sandbox_landlock_abi(), fd, ret = 0;
	struct ruleset rules;
	size_t size;

	if (!abi)
		return 0;
	size = ruleset_fill(&rules, abi, start);
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (fd < 0)
		return -errno;
	/* EAL makes a directory that stays empty, and complains if it cannot. */
	if (start)
		ret = allow_beneath(fd, "/", FS_READ_FILE | FS_READ_DIR | FS_EXECUTE | FS_MAKE_DIR);
	/* The names of EAL's threads. */
	if (start && !ret)
		ret = allow_beneath(fd, "/proc", FS_WRITE_FILE);
	if (start && !ret)
		ret = uplink_files_allow(fd, rules.fs);
	if (!ret && syscall(SYS_landlock_restrict_self, fd, 0))
		ret = -errno;
	close(fd);
	return ret;
}
