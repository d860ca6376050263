/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What workers do with frames. SWITCH is the normal mode. The others are for measuring guests; they
 * neither learn nor look up addresses. They pair ports in the order in which the ports were added:
 * the first with the second, the third with the fourth. A last port without a partner is its own
 * partner: its guest receives what it sends.
 *
 * This header does not depend on the switch, so that the command line can use it.
 */
#include <errno.h>
#include <string.h>

#define SW_FORWARDS(X)                                                                \
	X(SWITCH, "switch")   /* to where the destination was learned, else to all */ \
	X(IO, "io")           /* to the partner, unchanged */                         \
	X(MAC, "mac")         /* to the partner, with the addresses of SW_MAC_* */    \
	X(MACSWAP, "macswap") /* to the partner, source and destination exchanged */  \
	X(RXONLY, "rxonly")   /* nowhere: counted and completed */                    \
	X(TXONLY, "txonly")   /* none is fetched: workers send frames to every port */

enum sw_forward {
#define X(id, name) SW_FORWARD_##id,
	SW_FORWARDS(X)
#undef X
		SW_NUM_FORWARDS
};

/* All names, for messages. */
#define SW_FORWARD_NAMES "switch, io, mac, macswap, rxonly or txonly"

/*
 * MAC and TXONLY: the destination address starts with 02:00:00:00, the source address with
 * 02:52:57:00. The last two bytes of both are the id of the port that sends the frame to a guest,
 * big-endian.
 */
#define SW_MAC_TO   0x02000000u
#define SW_MAC_FROM 0x02525700u

/*
 * TXONLY: EtherType "local experimental 1" (IEEE 802), then the port's id (2 bytes), the queue (2
 * bytes) and a number that is unique to the frame (8 bytes; the first 2 are the worker), all
 * big-endian, then zeros. A frame has 64 bytes, without the frame check sequence.
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
