/* SPDX-License-Identifier: BSD-3-Clause */
#include "upgrade.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rw_sock.h"

static pid_t successor_start(const struct rig *r)
{
	char takeover[160];
	pid_t pid;
	int fd;

	snprintf(takeover, sizeof(takeover), "--takeover=%s", rig_path(r, "ctl"));
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = open(rig_path(r, "log"), O_WRONLY | O_APPEND | O_CREAT, 0600);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(126);
	rig_unpin();
	execl(getenv("RINGWAYD"), "ringwayd", takeover, NULL);
	_exit(127);
}

/* Whether a process has ended; its wait status. */
static bool has_ended(pid_t pid, int *status)
{
	return waitpid(pid, status, WNOHANG) == pid;
}

/* The rig's daemon is the successor from now on. */
static void rig_follow(struct rig *r, pid_t successor)
{
	fe_conn_close(&r->ctl);
	r->pid = successor;
	rig_wait(r, !fe_conn_open(&r->ctl, rig_path(r, "ctl")));
}

/* The successor must not end. */
static void must_live(const struct rig *r, pid_t pid)
{
	char line[256];
	int status;
	FILE *f;

	if (!has_ended(pid, &status))
		return;
	f = fopen(rig_path(r, "log"), "re");
	while (f && fgets(line, sizeof(line), f))
		print_error("ringwayd: %s", line);
	fail_msg("the successor has ended: wait status %#x", (unsigned)status);
}

void upgrade(struct rig *r, void (*meanwhile)(void *arg), void *arg)
{
	pid_t old = r->pid, successor = successor_start(r);
	uint64_t until = rw_now_ms() + 4 * (uint64_t)rig_patience(r);
	int status = -1;

	while (!has_ended(old, &status)) {
		if (meanwhile)
			meanwhile(arg);
		rig_nap();
		assert_true(rw_now_ms() < until);
		must_live(r, successor);
	}
	assert_int_equal(status, 0);
	rig_follow(r, successor);
}

int upgrade_call(struct rig *r, int version, int reads, struct ctl_failure *why)
{
	int fd = rw_sock_connect(rig_path(r, "ctl"));
	json_t *params = json_pack("{s:i, s:i}", "version", version, "reads", reads), *answer;

	assert_true(fd >= 0);
	answer = ctl_call(fd, "takeover", params, rig_patience(r), why);
	json_decref(params);
	if (!answer)
		close(fd);
	json_decref(answer);
	return answer ? fd : -1;
}
