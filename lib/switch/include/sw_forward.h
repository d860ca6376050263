/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What workers do with the frames they take. SWITCH is what the program is for; the others are for
 * measuring guests, and neither learn addresses nor look any up. They pair ports in the order in
 * which these were added: the first with the second, the third with the fourth. A last one without
 * a partner is its own: what its guest sends comes back to it.
 *
 * Needs nothing of the switch, for the command line.
 */
#include <errno.h>
#include <string.h>

#define SW_FORWARDS(X)                                                                \
	X(SWITCH, "switch")   /* to where the destination was learned, else to all */ \
	X(IO, "io")           /* to the partner, as it is */                          \
	X(MAC, "mac")         /* to the partner, with the addresses of SW_MAC_* */    \
	X(MACSWAP, "macswap") /* to the partner, source and destination exchanged */  \
	X(RXONLY, "rxonly")   /* nowhere: counted and given back */                   \
	X(TXONLY, "txonly")   /* none is taken: workers make frames, for every port */

enum sw_forward {
#define X(id, name) SW_FORWARD_##id,
	SW_FORWARDS(X)
#undef X
		SW_NUM_FORWARDS
};

/* For messages: all the names. */
#define SW_FORWARD_NAMES "switch, io, mac, macswap, rxonly or txonly"

/*
 * MAC and TXONLY: a frame goes to 02:00:00:00 and comes from 02:52:57:00, in both followed by the
 * id of the port through which it reaches a guest, two bytes, the higher one first.
 */
#define SW_MAC_TO   0x02000000u
#define SW_MAC_FROM 0x02525700u

/*
 * TXONLY: EtherType "local experimental 1" (IEEE 802), then the port's id (2 bytes), the queue (2
 * bytes) and a number that no other frame has (8 bytes: the worker in the first 2), big-endian,
 * then zeros. 64 bytes, without the frame check sequence.
 */
#define SW_TXONLY_TYPE 0x88b5
#define SW_TXONLY_LEN  64

static inline const char *sw_forward_name(enum sw_forward mode)
{
	static const char *const names[] = {
#define X(id, name) name,
		SW_FORWARDS(X)
#undef X
	};

	return names[mode];
}

/* The mode of that name, or -EINVAL. */
static inline int sw_forward_by_name(const char *name)
{
	for (int mode = 0; mode < SW_NUM_FORWARDS; mode++) {
		if (!strcmp(sw_forward_name((enum sw_forward)mode), name))
			return mode;
	}
	return -EINVAL;
}
