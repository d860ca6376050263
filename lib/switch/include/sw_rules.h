/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A policy made ready for workers, and the part of it that needs no switch: what a frame's headers
 * may claim.
 */
#include "frame.h"
#include "port.h"
#include "sw_policy.h"

struct sw_rules;

/* The rules of a policy; rw_free ends them. NULL: no memory. Thread: control. */
struct sw_rules *sw_rules_new(const struct sw_policy *policy);

/*
 * Why the rules refuse a frame because of what its headers claim; PORT_NUM_DROPS: they do not.
 * Thread: worker.
 */
enum port_drop sw_spoof_check(const struct sw_rules *rules, struct frame *f);

/*
 * Whether all that sw_spoof_check looks at is the same in two frames, as in those of a flow: source
 * addresses, protocol, fragment, and the ports of UDP. Only for IPv4 without tag and options, whose
 * headers are where they always are. tests/perf, "split 64 policy", instructions for each
 * frame: 491 without this, 427 with it. Thread: worker.
 */
bool sw_spoof_same(const struct frame *a, const struct frame *b);
