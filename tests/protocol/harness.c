/* SPDX-License-Identifier: BSD-3-Clause */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_ARGS 320

const uint8_t mac_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

const char *rig_path(const struct rig *r, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	return path;
}

int rig_patience(const struct rig *r)
{
	/* As many seconds as a starved machine may need; what succeeds returns at once. */
	return 5000 * (r->slow < 6 ? 6 : r->slow);
}

void rig_drain_interrupts(struct rig *r, struct fe_queue *q)
{
	while (fe_queue_wait_interrupt(q, r->slow - 1))
		;
}

bool rig_is_long(void)
{
	return getenv("RINGWAY_TEST_LONG") != NULL;
}

void rig_nap(void)
{
	const struct timespec moment = {.tv_nsec = 50 * 1000};

	nanosleep(&moment, NULL);
}

/* One argument, with the first "%s" replaced by the directory. */
static char *arg_make(const struct rig *r, const char *pattern)
{
	const char *at = strstr(pattern, "%s");
	char *arg;
	int n;

	if (at)
		n = asprintf(&arg, "%.*s%s%s", (int)(at - pattern), pattern, r->dir, at + 2);
	else
		n = asprintf(&arg, "%s", pattern);
	assert_true(n >= 0);
	return arg;
}

/* What this process may run on, before it is pinned; a daemon may use all of it. */
static cpu_set_t all_cpus;
static bool pinned;

/* Tests poll, as the daemon's worker does: keep to the first CPU, which it leaves free. */
static void pin_self(void)
{
	cpu_set_t set;
	int cpu = 0;

	if (pinned || sched_getaffinity(0, sizeof(set), &set))
		return;
	all_cpus = set;
	pinned = true;
	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static bool linger_is_said(const char *const *more)
{
	for (; more && *more; more++) {
		if (!strncmp(*more, "--fdb-linger", 12))
			return true;
	}
	return false;
}

void rig_unpin(void)
{
	if (pinned)
		sched_setaffinity(0, sizeof(all_cpus), &all_cpus);
}

/* In the child: become the daemon, its messages in the file "log". */
static void daemon_exec(const struct rig *r, const char *const *more)
{
	char *argv[MAX_ARGS] = {getenv("RINGWAYD")};
	char pattern[64];
	int n = 1;
	int fd;

	/* A test that crashes leaves no daemon behind to poll for ever. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!r->huge)
		argv[n++] = arg_make(r, "--no-huge");
	/* A call that no filter names ends the daemon, and so the test fails. */
	argv[n++] = arg_make(r, "--seccomp=kill");
	argv[n++] = arg_make(r, "--control=%s/ctl");
	for (const char *p = r->ports; *p && n < MAX_ARGS - 11; p++) {
		snprintf(pattern, sizeof(pattern), "--socket-path=%%s/%c.sock", *p);
		argv[n++] = arg_make(r, pattern);
	}
	if (getenv("RINGWAY_TEST_CPUS"))
		assert_true(asprintf(&argv[n++], "--cpus=%s", getenv("RINGWAY_TEST_CPUS")) > 0);
	/* Every test finds a switch that knows nobody, unless it is about that. */
	if (!linger_is_said(more))
		argv[n++] = arg_make(r, "--fdb-linger=0");
	for (; more && *more && n < MAX_ARGS - 1; more++)
		argv[n++] = arg_make(r, *more);
	rig_unpin();
	fd = open(rig_path(r, "log"), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(126);
	execv(argv[0], argv);
	_exit(127);
}

/* Whether the daemon ended by itself. */
static bool is_gone(const struct rig *r)
{
	return waitpid(r->pid, NULL, WNOHANG) == r->pid;
}

static void log_print(const struct rig *r)
{
	char line[512];
	FILE *f = fopen(rig_path(r, "log"), "re");

	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		print_error("ringwayd: %s", line);
	fclose(f);
}

static int start(struct rig *r, const char *const *more)
{
	const char *slow = getenv("RINGWAY_TEST_SLOW");
	uint64_t until;

	r->slow = slow ? atoi(slow) : 1;
	fe_conn_init(&r->ctl, -1);
	if (!getenv("RINGWAYD") || r->slow < 1 || !mkdtemp(r->dir)) {
		print_error("set RINGWAYD to the daemon's path\n");
		return -1;
	}
	fflush(NULL);
	r->pid = fork();
	if (r->pid < 0)
		return -1;
	if (r->pid == 0)
		daemon_exec(r, more);
	pin_self();
	/* The control socket comes last. On a busy machine it takes EAL long to start. */
	until = rw_now_ms() + 6 * (uint64_t)rig_patience(r);
	while (fe_conn_open(&r->ctl, rig_path(r, "ctl"))) {
		if (rw_now_ms() > until || is_gone(r)) {
			log_print(r);
			kill(r->pid, SIGKILL);
			return -1;
		}
		rig_nap();
	}
	return 0;
}

int rig_start(struct rig *r, const char *ports, const char *const *more)
{
	*r = (struct rig){.ports = ports, .dir = "/tmp/ringway-test.XXXXXX"};
	return start(r, more);
}

int rig_start_huge(struct rig *r, const char *ports, const char *const *more)
{
	*r = (struct rig){.ports = ports, .huge = true, .dir = "/tmp/ringway-test.XXXXXX"};
	return start(r, more);
}

bool rig_is_alarming(const struct rig *r)
{
	static const char *const alarms[] = {"Sanitizer", "runtime error", "Assertion", "assert",
		"stack smashing", "missing in the dirty log"};
	FILE *f = fopen(rig_path(r, "log"), "re");
	bool found = false;
	char line[512];
	size_t i;

	while (f && fgets(line, sizeof(line), f))
		for (i = 0; i < RW_ARRAY_SIZE(alarms); i++)
			found |= strstr(line, alarms[i]) != NULL;
	if (f)
		fclose(f);
	return found;
}

/* Ask the daemon to end, and wait. Its wait status, or -1: it had to be killed, or never began. */
static int daemon_end(const struct rig *r)
{
	uint64_t until = rw_now_ms() + (uint64_t)rig_patience(r);
	int status = -1;

	if (r->pid <= 0) /* a process group, to kill() */
		return -1;
	kill(r->pid, SIGTERM);
	while (waitpid(r->pid, &status, WNOHANG) == 0) {
		if (rw_now_ms() > until) {
			kill(r->pid, SIGKILL);
			waitpid(r->pid, NULL, 0);
			return -1;
		}
		rig_nap();
	}
	return status;
}

/* Remove what is left in the rig's directory. How many files that were. */
static unsigned files_remove(const struct rig *r)
{
	DIR *d = opendir(r->dir);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		print_error("%s: left behind\n", rig_path(r, e->d_name));
		unlink(rig_path(r, e->d_name));
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

int rig_stop(void **state)
{
	struct rig *r = *state;
	unsigned left;
	bool alarming;
	int status;

	fe_conn_close(&r->ctl);
	status = daemon_end(r);
	alarming = rig_is_alarming(r);
	if (status || alarming)
		log_print(r);
	unlink(rig_path(r, "log"));
	left = files_remove(r); /* all sockets must have gone with the daemon */
	rmdir(r->dir);
	if (status)
		print_error("ringwayd: wait status %#x\n", (unsigned)status);
	return status || alarming || left ? -1 : 0;
}

int rig_clean(void **state)
{
	struct rig *r = *state;
	char name[2] = {0};
	const char *p;

	while (r->npeers) {
		struct peer *peer = r->peers[--r->npeers];

		fe_guest_free(peer->g);
		free(peer);
	}
	for (p = r->ports; *p; p++) {
		name[0] = *p;
		rig_wait(r, !rig_port_info(r, name, "connected"));
	}
	return 0;
}

json_t *rig_call(struct rig *r, const char *method, json_t *params)
{
	struct ctl_failure why;
	json_t *answer;

	answer = ctl_call(r->ctl.fd, method, params, rig_patience(r), &why);
	json_decref(params);
	if (!answer)
		fail_msg("%s: %s", method, why.message);
	return answer;
}

static json_t *row_of(json_t *rows, const char *port)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i,
		row) if (!strcmp(json_string_value(json_object_get(row, "name")), port)) return row;
	fail_msg("there is no port %s", port);
	return NULL;
}

static uint64_t number(const json_t *v, const char *name)
{
	if (json_is_integer(v))
		return (uint64_t)json_integer_value(v);
	if (!json_is_boolean(v))
		fail_msg("there is no number %s", name);
	return json_is_true(v);
}

void rig_port_set(struct rig *r, const char *port, const char *pairs)
{
	json_t *params = json_loads(pairs, 0, NULL), *row;

	assert_non_null(params);
	json_object_set_new(params, "name", json_string(port));
	row = rig_call(r, "port.set", params);
	assert_string_equal(json_string_value(json_object_get(row, "name")), port);
	json_decref(row);
}

void rig_allow(struct rig *r, const char *key)
{
	char name[2] = {0};

	for (const char *p = r->ports; *p; p++) {
		name[0] = *p;
		json_decref(
			rig_call(r, "port.set", json_pack("{s:s, s:s}", "name", name, key, "on")));
	}
}

uint64_t rig_counter(struct rig *r, const char *port, const char *direction, const char *name)
{
	json_t *rows = rig_call(r, "port.stats", NULL);
	json_t *at = json_object_get(row_of(rows, port), direction);
	uint64_t n;

	if (!strncmp(name, "drops.", 6))
		n = number(json_object_get(json_object_get(at, "drops"), name + 6), name);
	else
		n = number(json_object_get(at, name), name);
	json_decref(rows);
	return n;
}

/* Of the thread that makes a port's calls that may block: port.show. */
static uint64_t helper_number(struct rig *r, const char *port, const char *key)
{
	json_t *answer = rig_call(r, "port.show", json_pack("{s:s}", "name", port));
	uint64_t n = number(json_object_get(json_object_get(answer, "helper"), key), key);

	json_decref(answer);
	return n;
}

void rig_interrupted(struct rig *r, const char *port, uint64_t got, uint64_t want)
{
	uint64_t *repeated = &r->repeated[(uint8_t)port[0]];

	if (got == want)
		return;
	if (got < want)
		fail_msg("port %s: %ju interrupts, and not %ju", port, (uintmax_t)got,
			(uintmax_t)want);
	/* It is counted a moment after the signal. */
	*repeated += got - want;
	rig_wait(r, helper_number(r, port, "signalled") >= *repeated);
}

void rig_helper_rests(struct rig *r, const char *port)
{
	rig_wait(r, !helper_number(r, port, "jobs"));
}

uint64_t rig_port_info(struct rig *r, const char *port, const char *key)
{
	json_t *rows = rig_call(r, "port.list", NULL);
	uint64_t n = number(json_object_get(row_of(rows, port), key), key);

	json_decref(rows);
	return n;
}
