/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The modes of a queue's bodies. What differs from ring to ring is constant in a body: its format,
 * whether it has a slow-path feature (vq_mode), and the width of the registers that copy a head. A
 * file that has bodies defines them once, as a macro of (name, mode, target), and expands it for
 * each mode.
 */
#include "rw_copy.h"
#include "vq.h"

/*
 * Beside VQ_PACKED or alone: functions that are RW_WIDE. Slow-path bodies do without: to them it
 * would not matter.
 */
#define VHOST_WIDE 0x4u
_Static_assert(!(VHOST_WIDE & (VQ_PACKED | VQ_SLOW)), "modes are told apart by their bits");

/* name, mode, what the functions are declared with */
#define VHOST_MODES(X)                        \
	X(split, 0, )                         \
	X(packed, VQ_PACKED, )                \
	X(split_slow, VQ_SLOW, )              \
	X(packed_slow, VQ_PACKED | VQ_SLOW, ) \
	X(split_wide, VHOST_WIDE, RW_WIDE)    \
	X(packed_wide, VHOST_WIDE | VQ_PACKED, RW_WIDE)
