/* SPDX-License-Identifier: BSD-3-Clause */
#include "confine.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rw_base.h"
#include "rw_log.h"
#include "sandbox_rules.h"

#define DEFAULT_USER "ringway-exporter"

#define E   1u /* the exporter */
#define C   2u /* the child that connects */
#define ALL (E | C)

static const struct call {
	const char *name;
	unsigned who;
} calls[] = {
	{"exit", ALL},
	{"exit_group", ALL},
	{"rt_sigreturn", ALL},
	{"restart_syscall", ALL},
	{"rt_sigprocmask", ALL},
	{"getpid", ALL},
	{"gettid", ALL},
	{"tgkill", ALL},
	{"write", ALL},
	{"writev", ALL},
	{"read", ALL},
	{"close", ALL},
	{"futex", ALL},
	{"brk", ALL},
	{"munmap", ALL},
	{"mremap", E},
	{"madvise", E},
	{"clock_gettime", ALL},
	{"gettimeofday", E},
	{"time", E},
	{"poll", ALL},
	{"ppoll", ALL},
	{"epoll_wait", E},
	{"epoll_pwait", E},
	{"epoll_ctl", E},
	{"timerfd_settime", E},
	{"accept", E},
	{"accept4", E},
	{"connect", ALL},
	{"recvfrom", ALL},
	{"recvmsg", ALL},
	{"sendto", ALL},
	{"sendmsg", ALL},
	{"shutdown", E},
	{"getsockopt", ALL},
	{"setsockopt", E},
	{"getsockname", E},
	{"getpeername", E},
	{"fcntl", ALL},
	{"ioctl", E},
	{"lseek", E},
	{"fstat", ALL},
	{"stat", ALL},
	{"newfstatat", ALL},
	{"statx", ALL},
	{"getrandom", E},
	{"sched_yield", E},
};

/* The system calls of `who` and no others, from now on. 0 or -errno. */
static int filter(unsigned who, enum sandbox_mode mode)
{
	scmp_filter_ctx ctx;
	int ret = 0;

	if (mode == SANDBOX_OFF || SANDBOX_SANITIZED)
		return 0;
	ctx = seccomp_init(mode == SANDBOX_KILL ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return -ENOMEM;
	for (size_t i = 0; !ret && i < RW_ARRAY_SIZE(calls); i++) {
		if (calls[i].who & who)
			ret = sandbox_allow(ctx, calls[i].name);
	}
	if (!ret)
		ret = sandbox_allow_masked(ctx, "mmap", 2, PROT_EXEC, 0);
	if (!ret)
		ret = sandbox_allow_masked(ctx, "mprotect", 2, PROT_EXEC, 0);
	if (!ret)
		ret = sandbox_allow_masked(ctx, "socket", 0, ~0ull, AF_UNIX);
	if (!ret)
		ret = seccomp_load(ctx);
	seccomp_release(ctx);
	/* A kernel, or an emulator of one, without filters. */
	if (ret == -EINVAL || ret == -ENOSYS || ret == -ECANCELED) {
		rw_warning("this kernel has no seccomp: system calls are not filtered");
		ret = 0;
	}
	return ret;
}

bool confine_changes_user(const struct options *opt, struct sandbox_user *user)
{
	const char *name = opt->user ? opt->user : DEFAULT_USER;
	const struct passwd *pw = geteuid() ? NULL : getpwnam(name);

	*user = (struct sandbox_user){.name = NULL};
	if (!pw || !pw->pw_uid)
		return false;
	*user = (struct sandbox_user){name, pw->pw_uid, pw->pw_gid};
	return true;
}

int confine_begin(const struct options *opt)
{
	struct sandbox_user user;
	bool changes = confine_changes_user(opt, &user);
	int ret = 0;

	if (opt->user && !changes) {
		rw_error("--user=%s: %s", opt->user,
			geteuid() ? "only root can become somebody else"
				  : "there is no such user, or it is root");
		return -EINVAL;
	}
	if (!changes && !geteuid())
		rw_warning("there is no user " DEFAULT_USER
			   ": ringway-exporter stays root, without capabilities; --user=NAME "
			   "chooses one");
	ret = sandbox_capabilities(changes ? &user : NULL, 0);
	if (!ret)
		ret = sandbox_files(SANDBOX_CONTROL);
	if (!ret)
		ret = filter(E, opt->seccomp);
	if (ret)
		rw_error("cannot give up privileges: %s", strerror(-ret));
	return ret;
}

int confine_connector(int fd, enum sandbox_mode mode)
{
	unsigned own = (unsigned)fd;
	int ret;

	/* The exporter's sockets are not the child's: it would keep them open. */
	if ((own > 3 && syscall(SYS_close_range, 3u, own - 1, 0u)) ||
		syscall(SYS_close_range, own + 1, ~0u, 0u))
		return -errno;
	ret = sandbox_capabilities(NULL, 0);
	if (!ret)
		ret = sandbox_files(SANDBOX_CONTROL);
	return ret ? ret : filter(C, mode);
}
