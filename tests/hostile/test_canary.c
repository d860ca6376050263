/* SPDX-License-Identifier: BSD-3-Clause */
/* The canary notices what it is there for. */
#include "canary.h"

#include <signal.h>
#include <string.h>
#include <time.h>

static struct rig rig;

static int start(void **state)
{
	const char *const more[] = {"--socket-path=%s/y.sock", "--socket-path=%s/z.sock", NULL};

	*state = &rig;
	return rig_start(&rig, "ab", more);
}

static void a_quiet_switch_is_no_reason_to_complain(void **state)
{
	struct canary *c = canary_start(*state);
	struct canary_report report = canary_check(c);

	assert_true(report.frames > 0 && report.answers > 0);
	assert_null(canary_stop(c));
}

static void a_daemon_that_stands_still_is_noticed(void **state)
{
	struct rig *r = *state;
	struct canary *c = canary_start(r);
	const struct timespec t = {
		.tv_sec = CANARY_CONTROL_MS * r->slow / 1000, .tv_nsec = 500000000};
	const char *wrong;

	canary_check(c);
	kill(r->pid, SIGSTOP);
	nanosleep(&t, NULL);
	kill(r->pid, SIGCONT);
	wrong = canary_stop(c);
	assert_non_null(wrong);
	assert_non_null(strstr(wrong, "held up"));
	assert_non_null(strstr(wrong, "control answered after"));
}

/* Frames to z are lost: its address stands for a port without a guest. */
static void a_lost_frame_is_noticed(void **state)
{
	static const char address[] = "02:ca:00:00:00:7a";
	const struct timespec t = {.tv_nsec = 500000000};
	struct rig *r = *state;
	struct canary *c = canary_start(r);
	const char *wrong;

	canary_check(c);
	json_decref(rig_call(r, "fdb.add", json_pack("{s:s, s:s}", "mac", address, "port", "a")));
	nanosleep(&t, NULL);
	json_decref(rig_call(r, "fdb.del", json_pack("{s:s}", "mac", address)));
	wrong = canary_stop(c);
	assert_non_null(wrong);
	assert_true(strstr(wrong, "did not arrive") || strstr(wrong, "was expected"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_quiet_switch_is_no_reason_to_complain),
		rig_test(a_daemon_that_stands_still_is_noticed),
		rig_test(a_lost_frame_is_noticed),
	};

	return cmocka_run_group_tests_name("hostile_canary", tests, start, rig_stop);
}
