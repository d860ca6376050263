/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Watches: code that sees frames as workers receive, deliver and drop them. A watch is told of each
 * frame of the ports that it names, in the worker, while the frame is there. While nobody watches,
 * workers do nothing for it: a plan in which somebody does has another poll round.
 *
 * Not seen are frames that the thread of a post-copy migration delivers for a worker, and those of
 * a backlog that control discards because its ring stops.
 *
 * Threads: control adds and removes watches. Workers call `see`.
 */
#include "sw_domain.h"

#define SW_MAX_WATCHES 32

/* No port. */
#define SW_NO_PORT UINT16_MAX

/* What a watch wants to see: struct sw_watch, `wants`. Each sight has one of the first four. */
enum sw_see {
	SW_SEE_RX = 1,     /* frames as the port sent them, before anything is decided */
	SW_SEE_TX = 2,     /* frames as the port received them: edited and converted */
	SW_SEE_DROP = 4,   /* frames that count in a drop counter of the port */
	SW_SEE_STAGES = 8, /* what is decided of the frames that the port sent */
	/* What becomes of frames that the port sent, too: TX and DROP at whatever port. */
	SW_SEE_ONWARD = 16,
};

/* SW_SEE_STAGES: what has been decided, in this order. */
enum sw_stage {
	SW_STAGE_POLICY, /* the port's rules let the frames pass; `result` is not valid */
	SW_STAGE_DOMAIN, /* the broadcast domain; SW_DOMAIN_NONE: none */
	SW_STAGE_LEARN,  /* enum fdb_learned: what was done with the source address */
	SW_STAGE_LOOKUP, /* the port of the destination; FDB_HOP_NONE: it is not known */
	SW_STAGE_FLOOD,  /* enum sw_flood_to: to whom a frame without such a port goes */
	SW_NUM_STAGES
};

enum sw_flood_to {
	SW_FLOOD_ALL,     /* the members of the domain */
	SW_FLOOD_GROUP,   /* those of them that have joined the group, and routers */
	SW_FLOOD_ROUTERS, /* those with a multicast router: it is a membership report */
};

/*
 * What a worker saw of the frames of one list. All of it is valid during the call only.
 *
 * frame->mark: frames of one RX sight have the marks 0, 1 and so on; a frame keeps its mark while
 * it is edited, and what it is converted to has it. So later sights of the same worker can be
 * assigned to the frames of its latest RX sight, if `other` is the port of that sight and `late` is
 * false. Marks of frames from ports whose RX a watch does not see have no meaning for it.
 */
struct sw_sight {
	enum sw_see what;
	enum sw_stage stage; /* STAGES */
	enum port_drop why;  /* DROP */
	bool rx;         /* DROP: counted among what the port sent, not what it was to receive */
	bool late;       /* TX, DROP: from a backlog, where the frames had to wait */
	unsigned worker; /* its number; SW_MAX_WORKERS: control, for sw_explain */
	uint16_t port;   /* RX, STAGES: the sender; TX: the receiver; DROP: where it counts */
	uint16_t queue;  /* of `port`; 0 for drops outside any queue */
	/*
	 * TX, DROP at a receiver: the sender. DROP at the sender: the destination. SW_NO_PORT:
	 * there is none, or it is not known.
	 */
	uint16_t other;
	unsigned n; /* <= FRAME_BURST, but any with `frames` NULL */
	/* NULL: what the port sent were no frames; or if not `rx`, what it gave were no buffers */
	struct frame *const *frames;
	const uint32_t *result;         /* STAGES: by frame */
	const struct frame_edit *edit;  /* TX, DROP at a receiver: NULL if there is none */
	uint64_t polled;                /* TSC when the frames had been fetched; 0: not known */
	uint64_t now;                   /* TSC */
	const struct sw_target *target; /* of the port whose form they have: sw_sight_vlan */
};

struct sw_watch {
	/*
	 * Called by workers, several of them at the same time. It must be bounded, and must neither
	 * block nor allocate nor call the operating system. It leaves the frames as they are.
	 */
	void (*see)(struct sw_watch *watch, const struct sw_sight *sight);
	uint32_t wants;                    /* SW_SEE_* */
	bool all;                          /* all ports, whatever `ports` says */
	bool last;                         /* told after the others: it sends frames itself */
	uint64_t ports[SW_MAX_PORTS / 64]; /* a bit for each port id; atomic once it is added */
};

/* Name a port in a watch that was not added yet. */
static inline void sw_watch_port(struct sw_watch *watch, const struct port *port)
{
	watch->ports[port->id / 64] |= UINT64_C(1) << port->id % 64;
}

/* Whether it is about a port. */
static inline bool sw_watch_names(const struct sw_watch *watch, uint16_t id)
{
	return watch->all ||
		(__atomic_load_n(&watch->ports[id / 64], __ATOMIC_RELAXED) >> id % 64 & 1);
}

/*
 * Add a watch, which the caller has filled in, keeps, and does not change until it is removed. From
 * the next sw_commit on workers use it. A port that leaves the switch is taken out of `ports`, so
 * that a later one with its id is not watched. -ENOSPC: there are SW_MAX_WATCHES.
 */
int sw_watch_add(struct sw *sw, struct sw_watch *watch);
/* Remove it, if it was added. After the next sw_commit no worker uses it. */
void sw_watch_remove(struct sw *sw, struct sw_watch *watch);
/* Whether a watch that was added still names a port. */
bool sw_watch_has_port(const struct sw_watch *watch);

/*
 * The VLAN of frame `i` of a sight, by its tag and by the memberships of `port`, or of the sender
 * if it was dropped before it was edited for `port`: its id, 0 for frames without a VLAN, SW_VLANS
 * if that port has none for such a frame. Thread: that of `see`.
 */
struct sw_vlan sw_sight_vlan(const struct sw_sight *sight, unsigned i);
