/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the switch would do with a frame that nobody sent, by the code that forwards. A watch is
 * told of it as if a worker had polled the frame from the port's first queue: it has to want
 * SW_SEE_STAGES. Nothing is sent, learned or counted, and no limit is used up. A VLAN that has no
 * broadcast domain yet gets one, as the frame would give it one.
 *
 * Not known are what only the receiver's queue can say: whether it has buffers, and whether
 * conversions succeed.
 *
 * Thread: control.
 */
#include "sw_watch.h"

/*
 * Explain a frame of `len` bytes, FRAME_MIN_LEN to FRAME_MAX_LEN, from a port that has not left.
 * 0; -EOPNOTSUPP: the switch does not switch now (sw_forward.h); -ENOMEM.
 */
int sw_explain(
	struct sw *sw, struct port *port, const void *bytes, uint32_t len, struct sw_watch *watch);
