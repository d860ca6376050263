/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What a worker does when it has found no frame for a while. ADAPTIVE: it enables notifications and
 * sleeps until a guest kicks or control has work for it. SPIN: it continues to poll; notifications
 * stay disabled.
 *
 * This header does not depend on the switch, so that the command line can use it.
 */
#include <errno.h>
#include <string.h>

#define SW_IDLES(X)     \
	X(SPIN, "spin") \
	X(ADAPTIVE, "adaptive")

enum sw_idle_mode {
#define X(id, name) SW_IDLE_##id,
	SW_IDLES(X)
#undef X
		SW_NUM_IDLES
};

/* All names, for messages. */
#define SW_IDLE_NAMES "spin or adaptive"

static inline const char *sw_idle_name(enum sw_idle_mode mode)
{
	static const char *const names[] = {
#define X(id, name) name,
		SW_IDLES(X)
#undef X
	};

	return names[mode];
}

/* The mode of that name, or -EINVAL. */
static inline int sw_idle_by_name(const char *name)
{
	for (int mode = 0; mode < SW_NUM_IDLES; mode++) {
		if (!strcmp(sw_idle_name((enum sw_idle_mode)mode), name))
			return mode;
	}
	return -EINVAL;
}
