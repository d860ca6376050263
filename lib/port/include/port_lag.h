/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Who does not keep up: the guest or the switch. A queue lags while each of its bursts shows that
 * the ring's reader is behind:
 *
 * - tx: a burst found too few buffers, or the uplink's device took not all of it. The guest, or the
 *   device, does not take frames as fast as they come. Such frames are dropped.
 * - rx: a poll took a whole burst (FRAME_BURST), so as many frames as the switch takes in one turn
 *   were waiting. The switch does not take frames as fast as the guest sends. They wait in the
 *   ring, and when that is full, in the guest.
 *
 * A spell begins with the first such burst and ends with the last one in a row. Its length is the
 * time from the former to the latter: what was before and behind is unknown and not counted. A
 * queue without frames does not lag.
 *
 * Thread: the worker that polls the rx queue, or holds the tx queue's lock.
 */
#include <stdint.h>

/* tx: bits of `state`. */
#define PORT_LAG_NOW    0x1u /* in the present burst */
#define PORT_LAG_BEFORE 0x2u /* in the burst before */

struct port_lag {
	uint64_t at;   /* TSC of the latest burst that lagged; rx: 0 if the latest one did not */
	uint8_t state; /* tx: 0 if the latest burst did not lag, so that a burst tests one byte */
};
