/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Port policies: what the switch refuses of a port's frames, each under a drop reason of its own.
 * They hold in the mode SW_FORWARD_SWITCH. A port without a policy costs its worker one comparison
 * for each burst.
 *
 * This header does not depend on EAL, so that the command line can use it.
 */
#include "rw_base.h"

/* What a port may do. All zero: a port without a policy. */
struct sw_policy {
	/*
	 * Administratively down: frames from it and to it are dropped (admin_down), and its link is
	 * down.
	 */
	bool down;
	/*
	 * Frames go between an isolated port and a promiscuous one, or one that leads out of this
	 * host (struct port, `uplink`), and between no other two of which one is isolated.
	 */
	bool isolated;
	bool promiscuous;
};

struct sw;
struct port;

/*
 * Set the port's policy, in effect on return. A port that goes down forgets the addresses that were
 * learned behind it. Frames between other ports are not touched. 0; or -ENOMEM, and the policy is
 * as before. Thread: control.
 */
int sw_policy_set(struct sw *sw, struct port *port, const struct sw_policy *policy);
