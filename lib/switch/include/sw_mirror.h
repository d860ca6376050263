/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Mirrors (SPAN): copies of what ports or a VLAN send and receive go to a port of their own, the
 * destination. A mirror is a watch (sw_watch.h): the worker that sees a frame sends the copy at
 * once, in the form that the frame has where it is seen. What the destination has no room for is
 * lost to it alone and counted: nothing waits for it.
 *
 * A port that is the destination of a mirror gets copies and nothing else, and what it sends is
 * dropped (mirror_destination). Copies are not mirrored again, so there are no loops; what is a
 * source by name must not be a destination, which the caller ensures.
 *
 * Threads: control.
 */
#include "sw_domain.h"

#define SW_MIRRORS_MAX 8

/* What is mirrored. */
struct sw_mirror_config {
	bool rx, tx; /* what a source sent, what it received */
	/* All ports, but of a VLAN alone; otherwise the ports of sw_mirror_source. */
	bool of_vlan;
	struct sw_vlan vlan; /* its bridge: see sw_mirror_bridge */
	uint32_t snap;       /* at most so many bytes of each frame, >= FRAME_MIN_LEN; 0: all */
	uint32_t sample;     /* one of so many frames, over all sources; from 1 on */
};

/* Why a copy was lost, besides drop counters of the destination (enum port_drop). */
#define SW_MIRROR_ABSENT PORT_NUM_DROPS /* there is no such port */
#define SW_MIRROR_LOSSES (PORT_NUM_DROPS + 1)

struct sw_mirror_counts {
	uint64_t frames; /* that were to be copied, after sampling */
	uint64_t bytes;  /* of the copies */
	/*
	 * Of these frames, so many were lost, as far as it was known at once; of a large frame that
	 * was cut for the destination, each part counts. What waits in a backlog and is dropped
	 * later is in the counters of the port alone.
	 */
	uint64_t lost[SW_MIRROR_LOSSES];
};

struct sw_mirror;

/* No bridge has this number. */
#define SW_MIRROR_NO_BRIDGE UINT16_MAX

/* Begin, without sources and destination. 0, -ENOSPC (there are SW_MIRRORS_MAX) or -ENOMEM. */
int sw_mirror_new(struct sw *sw, const struct sw_mirror_config *cfg, struct sw_mirror **out);
/* End it; commits, so that no worker sees it afterwards. */
void sw_mirror_free(struct sw *sw, struct sw_mirror *m);
/*
 * Add a source; set the destination, whose addresses are forgotten. A port that leaves the switch
 * is neither any more. They commit.
 */
void sw_mirror_source(struct sw *sw, struct sw_mirror *m, const struct port *port);
void sw_mirror_to(struct sw *sw, struct sw_mirror *m, const struct port *port);
/* The VLAN is one of the bridge that has this number now; a bridge gets one with its first port. */
void sw_mirror_bridge(struct sw_mirror *m, uint16_t bridge);
void sw_mirror_read(const struct sw_mirror *m, struct sw_mirror_counts *out);
/* "no_port" for SW_MIRROR_ABSENT, otherwise the name of the drop counter. Constant. */
const char *sw_mirror_loss_name(unsigned why);
