/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Two guests on the ports y and z that have nothing to do with what a test does on other ports. A
 * thread sends numbered frames both ways between them, and another one asks the daemon's control
 * socket and y's front-end socket all the while.
 *
 * Every frame must arrive, once and in order, within CANARY_FRAME_MS, and every question must be
 * answered within CANARY_CONTROL_MS. Both limits are multiplied by the rig's factor for sanitizers
 * and emulators. They count the time in which the daemon could run and the canary looked: what a
 * worker, the control thread or the canary itself spent waiting for a CPU (/proc/PID/schedstat) is
 * subtracted, so that they do not depend on what else the machine does.
 *
 * Thread: a test's. The canary's threads make no assertion; canary_check does.
 */
#include "harness.h"

#define CANARY_FRAME_MS   200
#define CANARY_CONTROL_MS 1000

struct canary;

/* What was the longest since canary_start or canary_reset, in milliseconds. */
struct canary_report {
	double frame_ms;   /* from a frame's departure to its arrival */
	double control_ms; /* from a question to its answer */
	uint64_t frames;   /* that arrived, both ways */
	uint64_t answers;
};

/* Connect the guests to the rig's ports y and z and start. Both formats are used: y is split. */
struct canary *canary_start(struct rig *r);

/* Forget the longest times so far. */
void canary_reset(struct canary *c);

/*
 * Wait until frames went both ways and a question was answered since this call; fail the test when
 * anything was wrong since canary_start.
 */
struct canary_report canary_check(struct canary *c);

/*
 * Wait for the frames that are under way, end the threads, disconnect, free. NULL, or what was
 * wrong: a static buffer.
 */
const char *canary_stop(struct canary *c);
