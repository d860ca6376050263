/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A daemon that root starts runs as another user, without privileges, and all of it works: ports
 * that are added later, front-ends, the end.
 */
#include <dirent.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosts.h"
#include "sandbox.h"

static struct rig rig;
static uid_t wanted; /* whom the daemon runs as */

static int start(void **state)
{
	static const char *const user[] = {"--user=nobody", NULL};
	const struct passwd *pw = getpwnam("nobody");

	*state = &rig;
	if (!pw)
		return -1;
	wanted = geteuid() ? geteuid() : pw->pw_uid;
	return rig_start(&rig, "ab", geteuid() ? NULL : user);
}

/* The line of a status file that begins with `key`, without it; NULL: there is none. */
static const char *status_line(const char *path, const char *key)
{
	static char line[256];
	FILE *f = fopen(path, "re");
	const char *value = NULL;

	while (f && !value && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			value = line + strlen(key) + 1;
	}
	if (f)
		fclose(f);
	return value;
}

static unsigned long long status_number(const char *path, const char *key, int base)
{
	const char *value = status_line(path, key);

	if (!value)
		fail_msg("%s has no %s", path, key);
	return strtoull(value, NULL, base);
}

/* How many threads of the daemon there are, each checked. */
static unsigned threads_check(struct rig *r)
{
	char path[128];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	/* It answers when it is set up. */
	json_decref(rig_call(r, "port.list", NULL));
	snprintf(path, sizeof(path), "/proc/%d/task", (int)r->pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", (int)r->pid, e->d_name);
		assert_int_equal(status_number(path, "Uid", 10), wanted);
		assert_int_equal(status_number(path, "NoNewPrivs", 10), 1);
		assert_int_equal(status_number(path, "CapEff", 16), 0);
		assert_int_equal(status_number(path, "CapPrm", 16), 0);
		assert_int_equal(status_number(path, "CapAmb", 16), 0);
		if (!geteuid())
			assert_int_equal(status_number(path, "CapBnd", 16), 0);
		if (!SANDBOX_SANITIZED) {
			assert_int_equal(status_number(path, "Seccomp", 10), 2);
			/* That of the start, and that of its kind. */
			assert_int_equal(status_number(path, "Seccomp_filters", 10), 2);
		}
		n++;
	}
	closedir(d);
	return n;
}

static void test_every_thread_has_given_up_its_privileges(void **state)
{
	/* ThreadSanitizer's own thread is as old as the process. */
	if (SANDBOX_SANITIZED)
		return;
	/* Control, a worker, EAL's interrupts and the log. */
	assert_true(threads_check(*state) >= 4);
}

static json_t *port_params(const struct rig *r, const char *name, const char *file)
{
	return json_pack("{s:s, s:s}", "name", name, "socket", rig_path(r, file));
}

static void test_ports_come_and_go(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct rig *r = *state;
	struct stat st;

	json_decref(rig_call(r, "port.add", port_params(r, "c", "c.sock")));
	assert_int_equal(lstat(rig_path(r, "c.sock"), &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_int_equal(st.st_uid, geteuid());
	r->ports = "abc";
	peer_up(r, "c", &c);
	rig_clean(state);
	r->ports = "ab";
	json_decref(rig_call(r, "port.del", json_pack("{s:s}", "name", "c")));
	assert_int_not_equal(lstat(rig_path(r, "c.sock"), &st), 0);
}

/* A directory that nobody named at the start. */
static void test_another_directory_is_refused(void **state)
{
	struct rig *r = *state;
	struct ctl_failure why;
	char dir[] = "/tmp/ringway-other.XXXXXX", path[64];
	json_t *params, *answer;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/c.sock", dir);
	params = json_pack("{s:s, s:s}", "name", "c", "socket", path);
	answer = ctl_call(r->ctl.fd, "port.add", params, rig_patience(r), &why);
	json_decref(params);
	assert_null(answer);
	assert_non_null(strstr(why.message, "--socket-dir"));
	assert_int_equal(rmdir(dir), 0);
}

/* What is created for a front-end keeps its threads as they are. */
static void test_front_ends_attach(void **state)
{
	struct fe_guest_config c = guest_usual();
	struct rig *r = *state;

	assert_non_null(peer_up(r, "a", &c));
	assert_non_null(peer_up(r, "b", &c));
	if (!SANDBOX_SANITIZED)
		assert_true(threads_check(r) >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(test_every_thread_has_given_up_its_privileges),
		rig_test(test_ports_come_and_go),
		rig_test(test_another_directory_is_refused),
		rig_test(test_front_ends_attach),
	};

	return cmocka_run_group_tests_name("privileges", tests, start, rig_stop);
}
