/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* Another ringwayd takes over from the rig's (app/ringwayd/takeover.h). */
#include "harness.h"

/*
 * Have that happen: the rig's daemon is the successor then. Until it is, call `meanwhile`, which
 * may be NULL, again and again. Fails the test if one of the two ends badly.
 */
void upgrade(struct rig *r, void (*meanwhile)(void *arg), void *arg);

/* A connection on which "takeover" was called; -1: it was refused, and `why` says why. */
int upgrade_call(struct rig *r, int version, int reads, struct ctl_failure *why);
