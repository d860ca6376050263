/* SPDX-License-Identifier: BSD-3-Clause */
/* What each kind of thread may ask of the kernel: tried by children that installed its filter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rw_base.h"
#include "sandbox.h"

/* The status of a child that says what the kernel answered. */
#define DONE    0 /* the call was made */
#define REFUSED 1 /* it failed with EPERM */
#define NOT_SET 2 /* there is no filter: the child could not try */

static bool supported;

static int answer(long ret)
{
	return ret < 0 && errno == EPERM ? REFUSED : DONE;
}

static int try_open(void)
{
	return answer(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static int try_exec(void)
{
	char *none[] = {NULL};

	return answer(execve("/nowhere", none, none));
}

static int try_fork(void)
{
	/* The call itself: fork() would run handlers. 0 is the child. */
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (!pid)
		_exit(0);
	return answer(pid);
}

static int try_inet(void)
{
	return answer(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_exec_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return answer(p == MAP_FAILED ? -1 : 0);
}

static int try_make_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NOT_SET : answer(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int try_ptrace(void)
{
	return answer(syscall(SYS_ptrace, 0, 0, 0, 0));
}

static int try_kill_other(void)
{
	return answer(kill(getppid(), 0));
}

static int try_read_other(void)
{
	return answer(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
}

static int try_more_filter(void)
{
	return answer(syscall(SYS_seccomp, 1, 0, NULL));
}

static int try_setuid(void)
{
	return answer(syscall(SYS_setuid, 65534));
}

static int try_bpf(void)
{
	return answer(syscall(SYS_bpf, 0, NULL, 0));
}

static int try_handler(void)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};

	return answer(sigaction(SIGSYS, &sa, NULL));
}

static int try_eventfd_new(void)
{
	return answer(eventfd(0, EFD_CLOEXEC));
}

static int try_replace_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NOT_SET;
	return answer(mmap(p, 4096, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			      0) == MAP_FAILED
			? -1
			: 0);
}

static int try_write(void)
{
	return answer(write(STDERR_FILENO, "", 0));
}

/* A pipe's end, open before the filter. */
static int silent;

static int try_poll(int timeout)
{
	struct pollfd p = {.fd = silent, .events = POLLIN};

	return poll(&p, 1, timeout) < 0 && errno == EAGAIN ? REFUSED : DONE;
}

static int try_poll_now(void)
{
	return try_poll(0);
}

static int try_poll_for_ever(void)
{
	return try_poll(-1);
}

/* Which the workers of an uplink over net_af_packet make. */
static int try_sendto(void)
{
	return answer(sendto(-1, NULL, 0, MSG_DONTWAIT, NULL, 0));
}

/* Over net_pcap. */
static int try_fstat(void)
{
	struct stat st;

	return answer(fstat(STDERR_FILENO, &st));
}

static void *nothing(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t thread;
	int ret = pthread_create(&thread, NULL, nothing, NULL);

	if (ret)
		return ret == EPERM ? REFUSED : NOT_SET;
	pthread_join(thread, NULL);
	return DONE;
}

/* The wait status of a child of that kind that tries something. */
static int status_of(enum sandbox_mode mode, enum sandbox_kind kind, int (*attempt)(void))
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		/* The first refusal of a call is said. */
		if (dup2(null, STDERR_FILENO) < 0 || sandbox_prepare(mode) ||
			sandbox_capabilities(NULL, 0) || sandbox_filter(SANDBOX_START) ||
			(kind != SANDBOX_START && sandbox_filter(kind)))
			_exit(NOT_SET);
		_exit(attempt());
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void refuses(enum sandbox_kind kind, int (*attempt)(void))
{
	int status = status_of(SANDBOX_ERRNO, kind, attempt);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), REFUSED);
	status = status_of(SANDBOX_KILL, kind, attempt);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void allows(enum sandbox_kind kind, int (*attempt)(void))
{
	int status = status_of(SANDBOX_KILL, kind, attempt);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), DONE);
}

/* What no thread that serves does, by kind. */
static void test_no_kind_reaches_out(void **state)
{
	static int (*const attempts[])(void) = {try_exec, try_fork, try_exec_memory, try_make_exec,
		try_ptrace, try_kill_other, try_read_other, try_more_filter, try_setuid, try_bpf};
	static const enum sandbox_kind kinds[] = {
		SANDBOX_CONTROL, SANDBOX_WORKER, SANDBOX_SERVICE, SANDBOX_HELPER};

	(void)state;
	for (size_t k = 0; supported && k < RW_ARRAY_SIZE(kinds); k++) {
		for (size_t i = 0; i < RW_ARRAY_SIZE(attempts); i++)
			refuses(kinds[k], attempts[i]);
	}
}

static void test_a_worker_has_no_descriptors_to_make(void **state)
{
	static int (*const attempts[])(void) = {try_open, try_inet, try_eventfd_new, try_handler};
	int status;

	(void)state;
	for (size_t i = 0; supported && i < RW_ARRAY_SIZE(attempts); i++) {
		refuses(SANDBOX_WORKER, attempts[i]);
		refuses(SANDBOX_SERVICE, attempts[i]);
	}
	/* The C library blocks signals while it creates a thread: that ends the process at once. */
	status = supported ? status_of(SANDBOX_ERRNO, SANDBOX_WORKER, try_thread) : SIGSYS;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void test_what_each_kind_needs_is_there(void **state)
{
	static const enum sandbox_kind kinds[] = {
		SANDBOX_START, SANDBOX_CONTROL, SANDBOX_WORKER, SANDBOX_SERVICE};

	(void)state;
	for (size_t k = 0; supported && k < RW_ARRAY_SIZE(kinds); k++) {
		allows(kinds[k], try_replace_memory);
		allows(kinds[k], try_write);
	}
	if (!supported)
		return;
	allows(SANDBOX_CONTROL, try_thread);
	allows(SANDBOX_CONTROL, try_eventfd_new);
	allows(SANDBOX_HELPER, try_write);
	allows(SANDBOX_START, try_open);
	allows(SANDBOX_START, try_thread);
}

/* What became of it. */
static int polls(enum sandbox_kind kind, int (*attempt)(void))
{
	int status = status_of(SANDBOX_KILL, kind, attempt);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_a_worker_never_waits(void **state)
{
	(void)state;
	if (!supported)
		return;
	assert_int_equal(polls(SANDBOX_WORKER, try_poll_now), DONE);
	assert_int_equal(polls(SANDBOX_WORKER, try_poll_for_ever), REFUSED);
	assert_int_equal(polls(SANDBOX_CONTROL, try_poll_now), DONE);
}

static void test_a_worker_makes_the_calls_of_uplinks_that_are_there(void **state)
{
	(void)state;
	if (!supported)
		return;
	refuses(SANDBOX_WORKER, try_sendto);
	refuses(SANDBOX_WORKER, try_fstat);
	assert_int_equal(sandbox_uplink_add("net_af_packet0,iface=eth0"), 0);
	allows(SANDBOX_WORKER, try_sendto);
	refuses(SANDBOX_WORKER, try_fstat);
	assert_int_equal(sandbox_uplink_add("net_pcap0,tx_pcap=/tmp/x/y,tx_pcap=z"), 0);
	allows(SANDBOX_WORKER, try_fstat);
	refuses(SANDBOX_WORKER, try_inet);
	assert_int_equal(
		sandbox_uplink_capabilities(), 1ull << CAP_NET_RAW | 1ull << CAP_NET_ADMIN);
	assert_string_equal(sandbox_uplink_file(0), "/tmp/x");
	assert_string_equal(sandbox_uplink_file(1), ".");
	assert_null(sandbox_uplink_file(2));
	/* A bond needs what its members do. */
	assert_int_equal(
		sandbox_uplink_add("net_bonding0,members=net_null/size=64+net_tap,mode=1"), 0);
	assert_string_equal(sandbox_uplink_file(2), "/dev/net/tun");
}

/* The calls that nothing ever makes are refused from before EAL's start. */
static void test_the_start_is_filtered(void **state)
{
	static int (*const attempts[])(void) = {try_exec, try_fork, try_ptrace, try_kill_other,
		try_read_other, try_setuid, try_bpf};

	(void)state;
	for (size_t i = 0; supported && i < RW_ARRAY_SIZE(attempts); i++)
		refuses(SANDBOX_START, attempts[i]);
}

/* The value of a line of this thread's status. */
static unsigned long long status_number(const char *key, int base)
{
	FILE *f = fopen("/proc/thread-self/status", "re");
	unsigned long long value = ~0ull;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key)))
			value = strtoull(line + strlen(key) + 1, NULL, base);
	}
	if (f)
		fclose(f);
	return value;
}

static int capabilities_are_gone(void)
{
	bool gone = !status_number("CapEff", 16) && !status_number("CapPrm", 16) &&
		!status_number("CapInh", 16) && !status_number("CapAmb", 16) &&
		status_number("NoNewPrivs", 10) == 1;

	/* Without CAP_SETPCAP the bounding set stays. */
	return gone && (geteuid() || !status_number("CapBnd", 16)) ? DONE : REFUSED;
}

static int one_capability_is_kept(void)
{
	bool root = !geteuid();

	return status_number("CapEff", 16) == (root ? 1ull << CAP_FOWNER : 0) ? DONE : REFUSED;
}

static void test_capabilities(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	for (int keep = 0; keep < 2; keep++) {
		fflush(NULL);
		pid = fork();
		if (!pid) {
			if (sandbox_capabilities(NULL, keep ? 1ull << CAP_FOWNER : 0))
				_exit(NOT_SET);
			_exit(keep ? one_capability_is_kept() : capabilities_are_gone());
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), DONE);
	}
}

static void test_modes(void **state)
{
	(void)state;
	assert_int_equal(sandbox_mode_by_name("errno"), SANDBOX_ERRNO);
	assert_int_equal(sandbox_mode_by_name("kill"), SANDBOX_KILL);
	assert_int_equal(sandbox_mode_by_name("off"), SANDBOX_OFF);
	assert_int_equal(sandbox_mode_by_name(""), -EINVAL);
	if (supported) {
		int status = status_of(SANDBOX_OFF, SANDBOX_WORKER, try_open);

		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == DONE);
	}
}

/* Whether a child whose files are those of `kind` opens `path`. */
static bool opens(enum sandbox_kind kind, const char *path, int flags)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		if (sandbox_capabilities(NULL, 0) || sandbox_files(SANDBOX_START) ||
			(kind != SANDBOX_START && sandbox_files(kind)))
			_exit(NOT_SET);
		if (open(path, flags | O_CLOEXEC, 0600) >= 0)
			_exit(DONE);
		_exit(errno == EACCES ? REFUSED : NOT_SET);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), NOT_SET);
	return WEXITSTATUS(status) == DONE;
}

/* Also for root: Landlock asks for no user. */
static void test_files_are_out_of_reach(void **state)
{
	static const enum sandbox_kind kinds[] = {SANDBOX_CONTROL, SANDBOX_WORKER, SANDBOX_SERVICE};

	(void)state;
	if (!sandbox_landlock_abi())
		return;
	assert_true(opens(SANDBOX_START, "/proc/self/status", O_RDONLY));
	assert_true(opens(SANDBOX_START, "/proc/self/comm", O_RDWR));
	assert_false(opens(SANDBOX_START, "/dev/null", O_WRONLY));
	assert_false(opens(SANDBOX_START, "/tmp/ringway-sandbox", O_WRONLY | O_CREAT));
	for (size_t k = 0; k < RW_ARRAY_SIZE(kinds); k++) {
		assert_false(opens(kinds[k], "/proc/self/status", O_RDONLY));
		assert_false(opens(kinds[k], "/etc/passwd", O_RDONLY));
		assert_false(opens(kinds[k], "/", O_RDONLY | O_DIRECTORY));
	}
}

static int set_up(void **state)
{
	int fds[2];

	(void)state;
	if (pipe2(fds, O_CLOEXEC))
		return -1;
	silent = fds[0];
	/* Neither under a sanitizer nor in QEMU's user emulation. */
	supported = sandbox_has_filters();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_kind_reaches_out),
		cmocka_unit_test(test_a_worker_has_no_descriptors_to_make),
		cmocka_unit_test(test_what_each_kind_needs_is_there),
		cmocka_unit_test(test_the_start_is_filtered),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_files_are_out_of_reach),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_a_worker_never_waits),
		/* The last one: what is added stays. */
		cmocka_unit_test(test_a_worker_makes_the_calls_of_uplinks_that_are_there),
	};

	return cmocka_run_group_tests_name("sandbox", tests, set_up, NULL);
}
