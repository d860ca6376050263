/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* What switch.c (control thread) and worker.c share. */
#include <rte_rcu_qsbr.h>

#include "domain.h"
#include "rw_log.h"
#include "sw.h"

#define SW_MAX_QUEUES (SW_MAX_PORTS * PORT_MAX_PAIRS)

/* Where frames for a port may go. */
struct sw_target {
	struct port *port;        /* NULL: no such port */
	const uint16_t *vlans;    /* VLAN to domain; NULL: transparent, see sw_domain.h */
	struct port_steer *steer; /* NULL: a single pair ever */
	uint16_t ntxqs;           /* that run; 0: link down */
	struct port_txq *txqs[PORT_MAX_PAIRS];     /* these */
	struct port_txq *by_index[PORT_MAX_PAIRS]; /* the same; NULL: stopped */
};

struct sw_worker;

/*
 * Immutable once a worker may see it. Two exist and take turns, so that a change needs no memory.
 */
struct sw_plan {
	uint32_t serial; /* counts the plans */
	/* The poll round when it is not to switch: how many frames it moved. NULL: it is. */
	unsigned (*round)(struct sw_worker *w, const struct sw_plan *plan);
	enum sw_forward mode; /* also while nothing is forwarded */
	/* idle.c: whether frames are taken from guests, and which workers must not sleep. */
	bool takes;
	bool sleepless[SW_MAX_WORKERS];
	/* Worker w polls rxqs[first_rxq[w]] to rxqs[first_rxq[w + 1] - 1], and txqs likewise. */
	unsigned first_rxq[SW_MAX_WORKERS + 1];
	unsigned first_txq[SW_MAX_WORKERS + 1];
	/* Broadcast domains (sw_domain.h). */
	bool edits;     /* some port has memberships: a receiver may see another form of a frame */
	bool had_edits; /* control only: this plan had when it was made the time before */
	unsigned nflood;
	uint16_t flood[SW_MAX_PORTS]; /* transparent ports that are up, in each domain */
	const struct sw_members *members[SW_MAX_DOMAINS + 1]; /* NULL: `flood` alone */
	unsigned nup;
	uint16_t up[SW_MAX_PORTS];      /* all ports that are up */
	uint16_t partner[SW_MAX_PORTS]; /* by id: the port that it is paired with */
	struct sw_target targets[SW_MAX_PORTS];
	struct port_rxq *rxqs[SW_MAX_QUEUES];
	struct port_txq *txqs[SW_MAX_QUEUES]; /* with a backlog */
};

/* Frames on their way to one queue. */
struct sw_out {
	struct port_txq *txq;
	uint16_t port_id;
	unsigned n;
	struct frame_edit edit;  /* what the receiver's copies look like; nothing: as they are */
	struct port_tally tally; /* of the frames */
	struct frame *frames[FRAME_BURST];
};

/*
 * Destinations collected before they are served. One burst reaches more only when it floods to more
 * ports; then the worker serves these first.
 */
#define SW_MAX_OUTS 256
#define SW_NO_OUT   UINT16_MAX

/* A frame that control sends in the name of a port. */
struct sw_injected {
	uint16_t port_id;
	uint16_t len;
	uint8_t bytes[FRAME_HEAD];
};

/* From control to worker 0, in order. Free-running indices. */
struct sw_injection {
	uint32_t head RW_CACHE_ALIGNED; /* control writes */
	uint32_t tail RW_CACHE_ALIGNED; /* worker 0 writes */
	struct sw_injected slots[SW_INJECT_MAX];
};

/* Transmit queues that a worker remembers having filled; a power of two. */
#define SW_RECENT 4

/* Owner: its thread; the statistics are read by control. */
struct sw_worker {
	struct sw *sw;
	unsigned index;
	unsigned lcore;
	unsigned cpu;
	int node;           /* NUMA; RW_NUMA_UNKNOWN */
	uint32_t now_s;     /* the switch's clock, refreshed once a second */
	uint64_t next_s_at; /* TSC at which now_s moves on */

	uint64_t polls, busy_polls, busy_cycles, idle_cycles, frames_seen;
	uint64_t made; /* frames of its own, SW_FORWARD_TXONLY */

	/*
	 * Back-off (worker.c): the receive queues that it polls, those of plan `serial`; first the
	 * active ones, behind them those that were empty for long, of which `turn` is looked at
	 * next.
	 */
	struct port_rxq **rxqs;
	uint32_t serial;
	unsigned nrxqs, nactive, turn;
	bool busy; /* the round before found a frame */

	/*
	 * The transmit queues that got frames last, to be demoted when there is time. Free-running.
	 */
	unsigned filled, demoted;
	struct {
		uint16_t port_id, index;
	} recent[SW_RECENT];

	/* Scratch of the burst in hand. */
	struct frame frames[FRAME_BURST];
	struct frame edited[FRAME_BURST];      /* of one list that is sent */
	struct fdb_query sources[FRAME_BURST]; /* the source of each of its runs */
	struct fdb_query dests[FRAME_BURST];   /* the destination of each run */
	uint32_t dst[FRAME_BURST + 1]; /* and the ports they are behind; room for an end mark */
	uint8_t run[FRAME_BURST + 1];  /* where each run begins, and where the last one ends */
	uint16_t domain[FRAME_BURST];  /* of each run; SW_DOMAIN_NONE: to be dropped */
	uint32_t run_bytes[FRAME_BURST + 1]; /* of all frames before it */
	unsigned nouts;
	struct sw_out outs[SW_MAX_OUTS];
	uint16_t out_of[SW_MAX_PORTS]; /* the port's latest entry in outs, or SW_NO_OUT */
} RW_CACHE_ALIGNED;

/* What control knows of a receive queue that runs. */
struct sw_rxq_state {
	uint64_t frames, bytes; /* its counters at the last measurement */
	uint64_t weight;        /* by how much they had grown then */
	uint32_t load;          /* permille of a CPU */
	int16_t node;           /* of the guest's memory; RW_NUMA_UNKNOWN */
	uint8_t rest;           /* measurements until it may be moved again */
	bool measured;          /* else `load` is a guess */
	bool by_hand;
	bool planned; /* the plan in force names it: a worker may have it in hand */
	bool held;    /* it is stopped for a moment, to be given to another worker */
};

/* What control wants of a port; becomes a plan with sw_commit. */
struct sw_port_state {
	struct port *port;         /* NULL: the id is free */
	struct sw_vlan_map *vlans; /* NULL: never a member of a domain */
	bool far_told;             /* that its memory is far from all workers */
	/* Those that shall run. */
	struct port_rxq *rxqs[PORT_MAX_PAIRS];
	struct port_txq *txqs[PORT_MAX_PAIRS];
	uint8_t rx_worker[PORT_MAX_PAIRS]; /* valid for rxqs that run */
	struct sw_rxq_state rxq_states[PORT_MAX_PAIRS];
};

struct sw {
	/* Read by workers. */
	struct sw_plan *plan; /* swapped by control */
	struct fdb *fdb;
	struct rte_rcu_qsbr *qsbr;
	uint64_t tsc_start;
	uint64_t tsc_hz;
	struct sw_domains *domains;
	struct sw_injection *injection;
	struct sw_idle *idle; /* NULL: workers never sleep */
	uint64_t idle_after;  /* TSC cycles without a frame after which they do */
	bool stop;

	/* Control only, on lines of its own: workers read the above in every round. */
	bool changed RW_CACHE_ALIGNED; /* since the last sw_commit */
	enum sw_forward forward;
	bool forwarding; /* not stopped */
	unsigned nworkers;
	uint32_t serial;               /* of the latest plan */
	unsigned load[SW_MAX_WORKERS]; /* receive queues assigned */
	struct sw_plan *spare;
	struct sw_worker *workers[SW_MAX_WORKERS];
	struct sw_port_state *ports; /* SW_MAX_PORTS */
	unsigned id_end;             /* one more than the highest id in use */
	unsigned nports;
	unsigned nmembers;            /* memberships of all ports in domains */
	uint16_t order[SW_MAX_PORTS]; /* their ids as they were added */

	/* balance.c */
	uint64_t measured_at;                 /* TSC; 0: never */
	uint64_t busy_before[SW_MAX_WORKERS]; /* busy cycles then */
	struct rw_log_limit limit;
};

/*
 * Hand `n` <= FRAME_BURST frames to a transmit queue and count those that it takes: how many. `all`
 * is the tally of all of them, or NULL. Thread: worker.
 */
static inline unsigned sw_txq_send(
	struct port_txq *q, struct frame **frames, unsigned n, const struct port_tally *all)
{
	if (rw_unlikely(q->backlog))
		return port_txq_send_in_turn(q, frames, n);
	return port_txq_send(q, frames, n, all);
}

/*
 * domain.c: the part of the plan about domains, in two steps around that of the targets: which
 * ports are transparent, who is in which domain.
 */
void sw_plan_vlans(const struct sw *sw, struct sw_plan *plan);
void sw_plan_domains(const struct sw *sw, struct sw_plan *plan);

/* bench_modes.c: the part of the plan that says what is done with frames. */
void sw_plan_forward(const struct sw *sw, struct sw_plan *plan);

/* Let the worker's clock of seconds follow: it is `now` (TSC). */
static inline void sw_worker_clock(struct sw_worker *w, uint64_t now)
{
	if (rw_likely(now < w->next_s_at))
		return;
	w->now_s = sw_now_s(w->sw);
	w->next_s_at = w->sw->tsc_start + (w->now_s + 1ull) * w->sw->tsc_hz;
}

/*
 * balance.c: give a receive queue, which rests, to a worker; the only way a queue gets one. It is
 * polled there with the next sw_commit.
 */
void sw_rxq_own(struct sw *sw, struct sw_port_state *state, uint16_t index, unsigned worker);
/* Choose a worker for a receive queue that starts, and give it to that one. */
void sw_rxq_assign(struct sw *sw, struct sw_port_state *state, uint16_t index);

/* The thread of a worker: polls until sw->stop. */
int sw_worker_main(void *arg);
