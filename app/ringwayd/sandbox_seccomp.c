/* SPDX-License-Identifier: BSD-3-Clause */
/* System call filters. libseccomp makes them on one thread; each thread installs its own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "rw_base.h"
#include "rw_log.h"
#include "sandbox_rules.h"

#define S   (1u << SANDBOX_START) /* only while it starts: every other bit implies it but H */
#define C   (1u << SANDBOX_CONTROL)
#define W   (1u << SANDBOX_WORKER)
#define I   (1u << SANDBOX_SERVICE)
#define H   (1u << SANDBOX_HELPER)
#define ALL (C | W | I | H)

/*
 * Which kind makes which call. A name that this CPU's kernel does not know is skipped: arm64 has
 * none of the older ones.
 */
static const struct call {
	const char *name;
	unsigned kinds;
} calls[] = {
	/* The end of a thread or of the process, also by abort(). */
	{"exit", ALL},
	{"exit_group", ALL},
	{"rt_sigreturn", ALL},
	{"restart_syscall", ALL},
	{"rt_sigprocmask", ALL},
	{"getpid", ALL},
	{"gettid", ALL},
	{"tgkill", ALL},
	/* A line of the log; wake-ups of workers; a kick or a call of a ring. */
	{"write", ALL},
	{"writev", ALL},
	{"read", ALL},
	{"close", ALL},
	/* Waiting, and the time. */
	{"futex", ALL},
	{"epoll_wait", C | W | I},
	{"epoll_pwait", C | W | I},
	{"epoll_ctl", C | W | I},
	{"poll", C | I | H},
	{"ppoll", C | I | H},
	{"nanosleep", C | W | I},
	{"clock_nanosleep", C | W | I},
	{"clock_gettime", ALL},
	{"clock_getres", C | W | I},
	{"gettimeofday", ALL},
	{"time", ALL},
	{"sched_yield", C | W | I},
	{"getcpu", C | W | I},
	{"timerfd_settime", C | W | I},
	{"timerfd_gettime", C | I},
	/* Signals to rings that never block. */
	{"io_submit", C | W},
	{"io_getevents", C | W},
	{"io_pgetevents", C | W},
	{"io_cancel", C | W},
	{"io_setup", C | W},
	{"io_destroy", C | W},
	/* Memory: the heap, and pages in the place of a guest's that went away. */
	{"munmap", ALL},
	{"madvise", C | W | I},
	{"brk", ALL},
	{"mremap", C},
	{"mincore", C},
	{"membarrier", C | W},
	{"process_madvise", C},
	/* Where memory lies, and where threads run. */
	{"mbind", C},
	{"move_pages", C},
	{"get_mempolicy", C},
	{"set_mempolicy", C},
	{"sched_getaffinity", C | W | I},
	{"sched_setaffinity", C},
	{"sched_getparam", C},
	{"sched_getscheduler", C},
	{"sched_get_priority_max", C},
	{"sched_get_priority_min", C},
	/* Threads of a port. */
	{"set_robust_list", C},
	{"rseq", C},
	{"sigaltstack", C},
	{"rt_sigaction", C},
	{"rt_sigtimedwait", C},
	/* Connections. */
	{"accept4", C},
	{"recvmsg", C | H},
	{"sendmsg", C | H},
	{"recvfrom", C},
	{"sendto", C},
	{"shutdown", C},
	{"getsockopt", C | H},
	{"setsockopt", C},
	{"getsockname", C | H},
	{"getpeername", C},
	{"socketpair", C},
	{"pipe2", C},
	{"eventfd2", C},
	{"timerfd_create", C},
	{"epoll_create1", C},
	{"signalfd4", C},
	{"dup", C},
	{"dup3", C},
	{"fcntl", C | H},
	{"ioctl", C | I},
	{"userfaultfd", C},
	/* Files that a front-end or the helper handed over; none is opened. */
	{"memfd_create", C},
	{"ftruncate", C},
	{"fallocate", C},
	{"fstat", C | H},
	{"fstatfs", C},
	{"stat", C | H},
	{"lstat", C | H},
	{"newfstatat", C | H},
	{"statx", C | H},
	{"readlink", C},
	{"readlinkat", C},
	{"lseek", C | H},
	{"pread64", C | H},
	{"pwrite64", C},
	{"readv", C},
	{"flock", C | H},
	{"fsync", C},
	{"fdatasync", C},
	{"sysinfo", C},
	{"uname", C},
	{"getrandom", C},
	{"getuid", C},
	{"geteuid", C | H},
	{"getgid", C},
	{"getegid", C},
	{"getppid", C},
	{"getrlimit", C},
	{"prlimit64", C},
	{"wait4", C},
	{"waitid", C},
	{"close_range", C},
	/* What the helper does for all others. */
	{"bind", H},
	{"listen", H},
	{"connect", S | H},
	{"umask", H},
	{"chmod", H},
	{"fchmodat", H},
	{"fchownat", H},
	{"unlink", H},
	{"unlinkat", H},
	{"open", S | H},
	{"openat", S | H},
	/* EAL, and what comes after it in the start. */
	{"socket", S},
	{"access", S},
	{"epoll_create", I},
	{"faccessat", S},
	{"faccessat2", S},
	{"getdents64", S},
	{"statfs", S},
	{"getcwd", S},
	{"mkdir", S},
	{"mkdirat", S},
	{"mlock", S},
	{"prctl", S},
	{"seccomp", S},
	{"landlock_create_ruleset", S},
	{"landlock_add_rule", S},
	{"landlock_restrict_self", S},
	{"capget", S},
	{"capset", S},
	{"setrlimit", S},
	{"set_tid_address", S},
	{"inotify_init1", S},
	{"arch_prctl", S},
};

static struct sock_fprog programs[SANDBOX_KINDS];
static enum sandbox_mode mode = SANDBOX_OFF;
static _Thread_local enum sandbox_kind own_kind;

static const char *const kind_names[SANDBOX_KINDS] = {
	"start", "control", "worker", "service", "helper"};

/* ---- a refused call ---- */

#if defined(__x86_64__)
#define RESULT(uc) ((uc)->uc_mcontext.gregs[REG_RAX])
#else /* arm64 */
#define RESULT(uc) ((uc)->uc_mcontext.regs[0])
#endif

/* Append a text or a number; no function of the C library that could be interrupted. */
static size_t put(char *line, size_t at, const char *text)
{
	while (*text)
		line[at++] = *text++;
	return at;
}

static size_t put_number(char *line, size_t at, unsigned n)
{
	char digits[10];
	size_t len = 0;

	do
		digits[len++] = (char)('0' + n % 10);
	while (n /= 10);
	while (len)
		line[at++] = digits[--len];
	return at;
}

/* SIGSYS: the call was not made. It fails with EPERM, and the first of its number is said. */
static void refused(int sig, siginfo_t *info, void *context)
{
	static uint64_t said[16];
	ucontext_t *uc = context;
	unsigned nr = (unsigned)info->si_syscall;
	char line[160];
	size_t at;

	(void)sig;
	RESULT(uc) = -EPERM;
	if (nr >= 64 * RW_ARRAY_SIZE(said) ||
		__atomic_fetch_or(&said[nr / 64], 1ull << nr % 64, __ATOMIC_RELAXED) >> nr % 64 & 1)
		return;
	at = put(line, 0, "error: seccomp refused system call ");
	at = put_number(line, at, nr);
	at = put(line, at, " of a thread of kind ");
	at = put(line, at, kind_names[own_kind]);
	at = put(line, at, "; this is a defect or an attack\n");
	if (write(STDERR_FILENO, line, at) < 0)
		return; /* nowhere left to say it */
}

static int handler_begin(void)
{
	struct sigaction sa = {.sa_sigaction = refused, .sa_flags = SA_SIGINFO};

	return sigaction(SIGSYS, &sa, NULL) ? -errno : 0;
}

/* ---- making filters ---- */

int sandbox_allow(scmp_filter_ctx ctx, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	return nr < 0 ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
}

int sandbox_allow_masked(
	scmp_filter_ctx ctx, const char *name, unsigned arg, uint64_t mask, uint64_t bits)
{
	int nr = seccomp_syscall_resolve_name(name);
	struct scmp_arg_cmp cmp = {arg, SCMP_CMP_MASKED_EQ, mask, bits};

	return nr < 0 ? 0 : seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, 1, &cmp);
}

/* A rule about the third argument of call `nr`. */
static int timeout_rule(
	scmp_filter_ctx ctx, uint32_t action, int nr, enum scmp_compare op, uint64_t value)
{
	const struct scmp_arg_cmp cmp = {.arg = 2, .op = op, .datum_a = value, .datum_b = 0};

	return seccomp_rule_add_array(ctx, action, nr, 1, &cmp);
}

/*
 * A worker never waits, and net_af_packet wants to while the interface takes no more: a poll
 * without end fails with EAGAIN, and the driver drops the frames.
 */
static int poll_limit(scmp_filter_ctx ctx)
{
	const uint64_t negative = 1ull << 31; /* int */
	int poll_nr = seccomp_syscall_resolve_name("poll");
	int ppoll_nr = seccomp_syscall_resolve_name("ppoll");
	int ret = 0;

	if (poll_nr >= 0)
		ret = timeout_rule(ctx, SCMP_ACT_ALLOW, poll_nr, SCMP_CMP_LT, negative);
	if (!ret && poll_nr >= 0)
		ret = timeout_rule(ctx, SCMP_ACT_ERRNO(EAGAIN), poll_nr, SCMP_CMP_GE, negative);
	if (!ret)
		ret = timeout_rule(ctx, SCMP_ACT_ALLOW, ppoll_nr, SCMP_CMP_NE, 0);
	return ret ? ret : timeout_rule(ctx, SCMP_ACT_ERRNO(EAGAIN), ppoll_nr, SCMP_CMP_EQ, 0);
}

/* What uplinks need besides. In START a call is made before it is refused. */
static int allow_uplinks(scmp_filter_ctx ctx, enum sandbox_kind kind, unsigned mask)
{
	const struct sandbox_call *call;
	int ret = 0;

	for (unsigned i = 0; !ret && (call = sandbox_uplink_call(i)); i++) {
		int nr = seccomp_syscall_resolve_name(call->name);

		if (!(call->kinds & mask) || kind == SANDBOX_HELPER || nr < 0)
			continue;
		if (call->refused && kind != SANDBOX_START)
			ret = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0);
		else if (call->arg && kind != SANDBOX_START)
			ret = sandbox_allow_masked(ctx, call->name, 0, ~0ull, call->arg);
		else
			ret = sandbox_allow(ctx, call->name);
	}
	return ret;
}

/* Calls that are allowed in part. */
static int allow_special(scmp_filter_ctx ctx, enum sandbox_kind kind)
{
	bool start = kind == SANDBOX_START, threads = start || kind == SANDBOX_CONTROL;
	int ret;

	/* No code is made; while it starts, EAL loads its drivers. */
	ret = sandbox_allow_masked(ctx, "mmap", 2, start ? 0 : PROT_EXEC, 0);
	if (!ret)
		ret = sandbox_allow_masked(ctx, "mprotect", 2, start ? 0 : PROT_EXEC, 0);
	if (!ret && threads)
		ret = sandbox_allow_masked(ctx, "clone", 0, CLONE_THREAD, CLONE_THREAD);
	/* A SIGBUS that is not about a guest's memory gets its default action back. */
	if (!ret && (kind == SANDBOX_WORKER || kind == SANDBOX_SERVICE))
		ret = sandbox_allow_masked(ctx, "rt_sigaction", 0, ~0ull, SIGBUS);
	if (!ret && kind == SANDBOX_WORKER)
		ret = poll_limit(ctx);
	/* A thread names itself. */
	if (!ret && kind == SANDBOX_CONTROL)
		ret = sandbox_allow_masked(ctx, "prctl", 0, ~0ull, PR_SET_NAME);
	if (!ret && kind == SANDBOX_HELPER)
		ret = sandbox_allow_masked(ctx, "socket", 0, ~0ull, AF_UNIX);
	/* Its flags are in memory, where no filter sees them: glibc then uses clone. */
	if (!ret && threads)
		ret = seccomp_rule_add(
			ctx, SCMP_ACT_ERRNO(ENOSYS), seccomp_syscall_resolve_name("clone3"), 0);
	return ret;
}

/* Instructions of a filter that the kernel takes at most. */
#define PROGRAM_MAX 4096

/*
 * Keep what libseccomp made, which it only writes to a descriptor. A pipe has room for all of it,
 * and no limit of file sizes concerns it.
 */
static int program_export(scmp_filter_ctx ctx, struct sock_fprog *out)
{
	ssize_t len = -1;
	int fds[2], ret;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	ret = seccomp_export_bpf(ctx, fds[1]);
	out->filter = malloc(PROGRAM_MAX * sizeof(out->filter[0]));
	if (!ret && out->filter)
		len = read(fds[0], out->filter, PROGRAM_MAX * sizeof(out->filter[0]));
	if (!ret && len <= 0)
		ret = -ENOMEM;
	if (!ret)
		out->len = (unsigned short)((size_t)len / sizeof(out->filter[0]));
	close(fds[0]);
	close(fds[1]);
	return ret;
}

static int program_make(enum sandbox_kind kind)
{
	scmp_filter_ctx ctx = seccomp_init(
		mode == SANDBOX_KILL ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_TRAP);
	unsigned mask = kind == SANDBOX_START ? S | C | W | I : 1u << kind;
	int ret = ctx ? 0 : -ENOMEM;

	/* A tree instead of a list of comparisons. Older versions have none. */
	if (!ret)
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; !ret && i < RW_ARRAY_SIZE(calls); i++) {
		if (calls[i].kinds & mask)
			ret = sandbox_allow(ctx, calls[i].name);
	}
	if (!ret)
		ret = allow_uplinks(ctx, kind, mask);
	if (!ret)
		ret = allow_special(ctx, kind);
	if (!ret)
		ret = program_export(ctx, &programs[kind]);
	seccomp_release(ctx);
	return ret;
}

bool sandbox_has_filters(void)
{
	uint32_t action = SECCOMP_RET_TRAP;

	return !SANDBOX_SANITIZED && !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

int sandbox_prepare(enum sandbox_mode wanted)
{
	int ret = 0;

	if (wanted == SANDBOX_OFF)
		return 0;
	if (!sandbox_has_filters()) {
		rw_warning("this %s has no seccomp: system calls are not filtered",
			SANDBOX_SANITIZED ? "build, which has a sanitizer," : "kernel");
		return 0;
	}
	mode = wanted;
	if (mode == SANDBOX_ERRNO)
		ret = handler_begin();
	for (unsigned kind = 0; !ret && kind < SANDBOX_KINDS; kind++)
		ret = program_make((enum sandbox_kind)kind);
	if (!ret)
		return 0;
	rw_error("cannot make the system call filters: %s", strerror(-ret));
	sandbox_end();
	return ret;
}

void sandbox_end(void)
{
	for (unsigned kind = 0; kind < SANDBOX_KINDS; kind++) {
		free(programs[kind].filter);
		programs[kind] = (struct sock_fprog){0};
	}
	mode = SANDBOX_OFF;
}

int sandbox_filter(enum sandbox_kind kind)
{
	if (mode == SANDBOX_OFF)
		return 0;
	own_kind = kind;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &programs[kind]))
		return -errno;
	return 0;
}
