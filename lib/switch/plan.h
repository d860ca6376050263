/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The types that switch.c (control thread) and worker.c share. */
#include <rte_cycles.h>
#include <rte_rcu_qsbr.h>

#include "domain.h"
#include "policy.h"
#include "rw_log.h"
#include "sw_event.h"
#include "sw_mirror.h"
#include "watch.h"

#define SW_MAX_QUEUES (SW_MAX_PORTS * PORT_MAX_PAIRS)

/* Where frames for a port may go. */
struct sw_target {
	struct port *port;             /* NULL: no such port */
	const uint16_t *domains;       /* by the VLAN; atomic if the port is transparent */
	const struct sw_rules *guard;  /* of frames from the port; NULL: none is checked */
	const struct sw_rules *limits; /* of frames to the port; NULL: none is checked */
	struct port_steer *steer;      /* NULL: the port has one queue pair only */
	uint16_t ntxqs;                /* number of running tx queues; 0: link down */
	bool direct;         /* one tx queue runs, and nothing is checked of frames to the port */
	bool closed;         /* administratively down */
	bool strict;         /* frames of hosts beyond the port's limit are dropped */
	bool seen;           /* somebody watches the port */
	bool sink;           /* it is the destination of a mirror: ntxqs is 0 */
	uint8_t reach;       /* enum sw_reach */
	bool transparent;    /* see sw_domain.h */
	bool service;        /* its tags are those of service VLANs */
	uint16_t tpid;       /* the same, as FRAME_TPID_* */
	uint16_t bridge;     /* its number */
	uint16_t untagged;   /* VLAN of its frames without a tag; SW_VLANS: they have none */
	uint16_t link_local; /* bit i: frames to 01:80:c2:00:00:0i are forwarded */
	uint16_t ncopies;    /* of a sink: number of running tx queues, for copies alone */
	struct port_txq *txqs[PORT_MAX_PAIRS];     /* the running ones */
	struct port_txq *by_index[PORT_MAX_PAIRS]; /* by queue index; NULL: stopped */
};

struct sw_worker;

/* The transparent ports of a bridge that are up, in sw_plan.flood. */
struct sw_span {
	uint16_t first;
	uint16_t customer; /* so many with tags of customer VLANs, then the others */
	uint16_t all;
};

/*
 * Immutable once a worker may see it. Two plans exist and are used in turn, so that a change needs
 * no memory.
 */
struct sw_plan {
	uint32_t serial; /* number of the plan */
	/*
	 * The poll round of a mode other than SW_FORWARD_SWITCH; returns the number of frames it
	 * moved. NULL: the worker switches.
	 */
	unsigned (*round)(struct sw_worker *w, const struct sw_plan *plan);
	/*
	 * Who watches; while somebody does, `round` is sw_round_seen, and `inner` what it would be
	 * otherwise.
	 */
	struct sw_watchers watchers;
	unsigned (*inner)(struct sw_worker *w, const struct sw_plan *plan);
	enum sw_forward mode; /* valid also while nothing is forwarded */
	/* For idle.c: whether workers take frames from guests, and which workers must not sleep. */
	bool takes;
	bool sleepless[SW_MAX_WORKERS];
	bool naps[SW_MAX_WORKERS]; /* which workers sleep for SW_NAP_MS at most */
	/* Worker w polls rxqs[first_rxq[w]] to rxqs[first_rxq[w + 1] - 1], and txqs likewise. */
	unsigned first_rxq[SW_MAX_WORKERS + 1];
	unsigned first_txq[SW_MAX_WORKERS + 1];
	/* Broadcast domains (sw_domain.h). */
	/*
	 * A port has memberships, is in another bridge than the default one, or has tags of service
	 * VLANs: a receiver may get another form of a frame, or must not get it.
	 */
	bool edits;
	bool isolation; /* a port is isolated */
	bool selective; /* `edits` or `isolation` */
	bool snooping;  /* frames to a group go to its members (sw_snoop.h) */
	unsigned nflood;
	uint16_t flood[SW_MAX_PORTS]; /* transparent ports that are up, by bridge and kind of tag */
	struct sw_span spans[SW_MAX_BRIDGES];                 /* valid with `edits` */
	const struct sw_members *members[SW_MAX_DOMAINS + 1]; /* NULL: only transparent ports */
	unsigned nwords; /* so many words of struct sw_members have bits of ports */
	unsigned nup;
	uint16_t up[SW_MAX_PORTS];      /* all ports that are up */
	uint16_t partner[SW_MAX_PORTS]; /* by port id: the port that it is paired with */
	struct sw_target targets[SW_MAX_PORTS];
	struct port_rxq *rxqs[SW_MAX_QUEUES];
	struct port_txq *txqs[SW_MAX_QUEUES]; /* with a backlog */
};

/* Frames that wait to be sent to one queue. */
struct sw_out {
	struct port_txq *txq;
	uint16_t port_id;
	unsigned n;
	struct frame_edit edit;  /* how the receiver's copies differ; all zero: they do not */
	struct port_tally tally; /* of `frames` */
	struct frame *frames[FRAME_BURST];
};

/*
 * Maximum number of destinations that are collected before their frames are sent. A burst exceeds
 * it only if it floods to more ports; then the worker sends to these first.
 */
#define SW_MAX_OUTS 256
#define SW_NO_OUT   UINT16_MAX

/* A frame that control sends in the name of a port. */
struct sw_injected {
	uint16_t port_id;
	uint8_t len;
	uint8_t how; /* enum fdb_how */
	uint8_t bytes[FRAME_HEAD];
};

/* A FIFO from control to worker 0. Its indices are free-running. */
struct sw_injection {
	uint32_t head RW_CACHE_ALIGNED; /* control writes */
	uint32_t tail RW_CACHE_ALIGNED; /* worker 0 writes */
	struct sw_injected slots[SW_INJECT_MAX];
};

/* How many recently filled tx queues a worker remembers; a power of two. */
#define SW_RECENT 4

/* Owner: the worker thread. Control reads the statistics. */
struct sw_worker {
	struct sw *sw;
	unsigned index;
	unsigned lcore;
	unsigned cpu;
	int node;           /* NUMA node, or RW_NUMA_UNKNOWN */
	uint32_t now_s;     /* the switch's clock, refreshed once a second */
	uint64_t next_s_at; /* TSC at which now_s moves on */
	uint64_t round_at;  /* TSC at which the poll round began */

	uint64_t polls, busy_polls, busy_cycles, idle_cycles, frames_seen;
	uint64_t made; /* frames that it made (SW_FORWARD_TXONLY) */

	/*
	 * Back-off (worker.c): the rx queues that it polls, from plan `serial`. The first `nactive`
	 * are active; the others have been empty for long, and `turn` is the next of them to poll.
	 */
	struct port_rxq **rxqs;
	uint32_t serial;
	unsigned nrxqs, nactive, turn;
	bool busy;   /* the previous round found a frame */
	bool napped; /* the latest sleep ended because its time was over */

	/*
	 * The tx queues that got frames last. They are demoted in a round without frames. The
	 * indices are free-running.
	 */
	unsigned filled, demoted;
	struct {
		uint16_t port_id, index;
	} recent[SW_RECENT];

	struct sw_seen seen; /* what watches are told */

	/* Temporary data of the current burst. */
	struct frame frames[FRAME_BURST];
	struct frame edited[FRAME_BURST];      /* edited copies of the list that is sent */
	struct fdb_query sources[FRAME_BURST]; /* the source of each run */
	struct fdb_query dests[FRAME_BURST];   /* the destination of each run */
	uint32_t dst[FRAME_BURST + 1];         /* the port of each destination, then an end mark */
	uint8_t run[FRAME_BURST + 1]; /* first frame of each run, then the end of the last */
	uint16_t domain[FRAME_BURST]; /* of each run; SW_DOMAIN_NONE: drop it */
	uint32_t refused; /* bit: run that sw_learn_strict refused; valid if the port is strict */
	uint32_t run_bytes[FRAME_BURST + 1]; /* bytes of all frames before each run */
	unsigned nouts;
	struct sw_out outs[SW_MAX_OUTS];
	uint16_t out_of[SW_MAX_PORTS]; /* the port's latest entry in outs, or SW_NO_OUT */
} RW_CACHE_ALIGNED;

/* What control knows of a running rx queue. */
struct sw_rxq_state {
	uint64_t frames, bytes; /* counters at the last measurement */
	uint64_t weight;        /* weighted growth of the counters up to the last measurement */
	uint32_t load;          /* permille of a CPU */
	int16_t node;           /* of the guest's memory, or RW_NUMA_UNKNOWN */
	uint8_t rest;           /* measurements until it may move again */
	bool measured;          /* false: `load` is an estimate */
	bool by_hand;
	bool planned; /* it is in the current plan: a worker may be using it */
	bool held;    /* paused while it moves to another worker */
};

/* What is to be forgotten of a port after a commit. */
enum sw_flush {
	SW_FLUSH_NONE,
	SW_FLUSH_ADDRESSES, /* that were learned */
	SW_FLUSH_ALL,       /* and its groups */
};

/* The wanted state of a port; sw_commit builds a plan from it. */
struct sw_port_state {
	struct port *port;         /* NULL: the id is free */
	struct sw_vlan_map *vlans; /* NULL: the port has had no membership */
	uint16_t bridge;           /* its number */
	bool service;              /* its tags are those of service VLANs */
	bool moved;               /* the next commit brings it into another bridge or kind of tag */
	struct sw_rules *rules;   /* NULL: the port has no policy */
	struct sw_meters *meters; /* NULL: the port has had no limit */
	uint8_t flush;            /* enum sw_flush */
	bool claims;              /* its only address, once that is nowhere else (claim.c) */
	bool leaves;              /* it is out of the switch with the next commit, or `left` */
	bool left;                /* it is, and only its id is not free yet */
	struct sw_link link;      /* as told; event.c */
	bool far_told;            /* the warning that no worker is near its memory was logged */
	/* The queues that shall run. */
	struct port_rxq *rxqs[PORT_MAX_PAIRS];
	struct port_txq *txqs[PORT_MAX_PAIRS];
	uint8_t rx_worker[PORT_MAX_PAIRS]; /* valid for rxqs that run */
	struct sw_rxq_state rxq_states[PORT_MAX_PAIRS];
};

struct sw {
	/* Read by workers. */
	struct sw_plan *plan; /* control swaps it */
	struct fdb *fdb;
	struct rte_rcu_qsbr *qsbr;
	uint64_t tsc_start;
	uint64_t tsc_hz;
	struct sw_domains *domains;
	struct mdb *mdb; /* multicast groups */
	struct sw_injection *injection;
	struct sw_idle *idle; /* NULL: workers never sleep */
	uint64_t idle_after;  /* TSC cycles without a frame after which a worker sleeps */
	bool stop;

	/* Control only, on separate cache lines: workers read the above in every round. */
	bool changed RW_CACHE_ALIGNED; /* since the last sw_commit */
	bool held;                     /* between sw_hold and sw_release */
	bool unsettled;                /* a port has left its bridge; see sw_bridges_settle */
	enum sw_forward forward;
	bool forwarding; /* not stopped */
	bool snooping;
	unsigned nworkers;
	uint32_t serial;               /* of the latest plan */
	unsigned load[SW_MAX_WORKERS]; /* number of rx queues assigned */
	struct sw_plan *spare;
	struct sw_worker *workers[SW_MAX_WORKERS];
	struct sw_port_state *ports; /* SW_MAX_PORTS */
	unsigned id_end;             /* one more than the highest id in use */
	unsigned nports;
	struct sw_rules *ended;       /* that only the latest plan has */
	unsigned nleaving;            /* ports that leave with the next commit */
	unsigned nmembers;            /* memberships of all ports in domains */
	unsigned nplaced;             /* ports not in the default bridge, or with service tags */
	uint16_t order[SW_MAX_PORTS]; /* port ids, in the order of sw_port_add */

	/* balance.c */
	uint64_t measured_at;                 /* TSC; 0: never */
	uint64_t busy_before[SW_MAX_WORKERS]; /* busy cycles at that time */
	struct rw_log_limit limit;

	struct rw_log_limit flap_limit;

	/* watch.c */
	struct sw_watchers watchers;

	/* mirror.c */
	struct sw_mirror *mirrors[SW_MIRRORS_MAX];
	unsigned nmirrors;

	/* event.c */
	sw_event_fn *event_fn; /* NULL: nobody listens */
	void *event_arg;
};

/* A bit for each of the first `n` <= FRAME_BURST frames. */
static inline uint32_t sw_bits(unsigned n)
{
	return (uint32_t)((UINT64_C(1) << n) - 1);
}

/* The round of a plan in which somebody watches begins, and ends. */
static inline void sw_seen_begin(struct sw_worker *w, const struct sw_plan *plan)
{
	w->seen.by = &plan->watchers;
	w->seen.plan = plan;
	w->seen.polled = 0;
	w->seen.from = SW_NO_PORT;
	port_observer = &w->seen.observer;
}

static inline void sw_seen_end(struct sw_worker *w)
{
	w->seen.by = NULL;
	port_observer = NULL;
}

/* Note, for who watches, that a burst of a port was fetched. */
static inline void sw_seen_from(struct sw_worker *w, uint16_t id)
{
	w->seen.from = id;
	w->seen.polled = rte_rdtsc();
}

/* As rxq->burst in a round in which somebody watches, though perhaps another port. */
static inline unsigned sw_burst_beside(
	struct sw_worker *w, const struct sw_plan *plan, struct port_rxq *q)
{
	unsigned n = q->burst(q, w->frames, FRAME_BURST);

	if (!n)
		return 0;
	sw_seen_from(w, q->port->id);
	if (rw_unlikely(plan->targets[q->port->id].seen))
		sw_see_received(w, q, n);
	return n;
}

/* As rxq->burst in a round in which somebody may watch. */
static inline unsigned sw_burst(struct sw_worker *w, const struct sw_plan *plan, struct port_rxq *q)
{
	if (rw_unlikely(w->seen.by != NULL))
		return sw_burst_beside(w, plan, q);
	return q->burst(q, w->frames, FRAME_BURST);
}

/*
 * Count frames of a queue as dropped, a bit of `which` for each, and tell who watches. They were
 * going to the port `to`, or SW_NO_PORT.
 */
static inline void sw_drop_rx(struct sw_worker *w, const struct port_rxq *from,
	struct frame *frames, uint32_t which, uint16_t to, enum port_drop why)
{
	port_count(&from->counters->drops[why], (uint64_t)__builtin_popcount(which));
	if (rw_unlikely(w->seen.by != NULL))
		sw_see_drop_rx(w, from, frames, which, to, why);
}

/* The same for frames that were going to a port, and do not get as far as one of its queues. */
static inline void sw_drop_tx(struct sw_worker *w, const struct sw_target *t, struct frame *frames,
	uint32_t which, enum port_drop why)
{
	if (rw_unlikely(w->seen.by != NULL))
		sw_see_drop_tx(w, t, frames, which, why);
	if (rw_likely(!w->seen.dry))
		port_count(&t->port->unqueued[w->index].drops[why],
			(uint64_t)__builtin_popcount(which));
}

/* Poll the tx queues with a backlog. */
static inline void sw_backlogs_poll(const struct sw_worker *w, const struct sw_plan *plan)
{
	for (unsigned i = plan->first_txq[w->index]; i < plan->first_txq[w->index + 1]; i++)
		port_txq_poll(plan->txqs[i]);
}

/*
 * Send `n` <= FRAME_BURST frames to a tx queue and count those that it takes. Returns their number.
 * `all` is the tally of all `n` frames, or NULL. Thread: worker.
 */
static inline unsigned sw_txq_send(
	struct port_txq *q, struct frame **frames, unsigned n, const struct port_tally *all)
{
	if (rw_unlikely(q->backlog))
		return port_txq_send_in_turn(q, frames, n);
	return port_txq_send(q, frames, n, all);
}

/* The same in a round in which somebody may watch. */
static inline unsigned sw_txq_send_watched(struct sw_worker *w, struct port_txq *q,
	struct frame **frames, unsigned n, const struct port_tally *all)
{
	if (rw_unlikely(w->seen.by != NULL))
		return sw_txq_send_seen(w, q, frames, n, all);
	return sw_txq_send(q, frames, n, all);
}

/*
 * deliver.c: flood a lot, which came from a port, to every member of its domain that is up and that
 * the port may reach. Returns why nobody receives it; PORT_NUM_DROPS: somebody does.
 */
enum port_drop sw_flood(struct sw_worker *w, const struct sw_plan *plan, const struct sw_lot *lot,
	const struct port *from);
/* As sw_domain_vlan, inline. */
static inline struct sw_vlan sw_vlan_of(const struct sw *sw, uint16_t domain)
{
	return sw->domains->domain[domain].vlan;
}

/* Whether a transparent port is in the domain of a VLAN. */
static inline bool sw_target_sees(const struct sw_target *t, struct sw_vlan vlan)
{
	return t->bridge == vlan.bridge && (!vlan.id || t->service == vlan.service);
}

/* Transparent ports that are up. */
struct sw_receivers {
	const uint16_t *ids;
	unsigned n;
};

/* Those that see a VLAN. */
static inline struct sw_receivers sw_plan_receivers(const struct sw_plan *plan, struct sw_vlan vlan)
{
	const struct sw_span *span;

	if (!plan->edits)
		return (struct sw_receivers){.ids = plan->flood, .n = plan->nflood};
	span = &plan->spans[vlan.bridge];
	if (vlan.id && vlan.service)
		return (struct sw_receivers){.ids = &plan->flood[span->first + span->customer],
			.n = (unsigned)(span->all - span->customer)};
	return (struct sw_receivers){
		.ids = &plan->flood[span->first], .n = vlan.id ? span->customer : span->all};
}

/* The form of a port's frames in the domain of a VLAN, in a plan with `edits`. */
static inline enum sw_form sw_target_form(
	const struct sw_target *t, uint16_t domain, struct sw_vlan vlan)
{
	if (t->transparent)
		return sw_target_sees(t, vlan) ? SW_FORM_AS_IS : SW_FORM_NONE;
	if (t->domains[0] == domain)
		return SW_FORM_UNTAGGED;
	return t->domains[vlan.id] == domain ? SW_FORM_TAGGED : SW_FORM_NONE;
}

/*
 * Whether a receiver would take for a tag what is payload for the sender. It is so in VLAN 0 alone,
 * which ports of both kinds of tag share.
 */
static inline bool sw_is_misread(
	const struct sw_target *from, const struct sw_target *to, const struct frame *f)
{
	return from->tpid != to->tpid && frame_has_tag(f, to->tpid);
}

/* deliver.c: deliver a lot in its form for that port, unless the port would misread it. */
void sw_deliver_form(struct sw_worker *w, const struct sw_target *self, const struct sw_target *t,
	const struct sw_lot *lot, struct frame_edit edit);
/* flood.c: as sw_flood, when not every port that is up gets the frames as they are. */
enum port_drop sw_flood_selectively(struct sw_worker *w, const struct sw_plan *plan,
	const struct sw_lot *lot, const struct port *from);
/*
 * guard.c: learn the source of each run on its own, as a strict port needs it. What is refused is
 * noted in w->refused, and its destination is not looked up. `how` is NULL, or enum fdb_learned of
 * each run.
 */
void sw_learn_each(struct sw_worker *w, const struct port_rxq *from, unsigned nruns, uint32_t *how);
/* worker.c: the domain of frames of VLAN `vlan` that are received from `self`. */
uint16_t sw_domain_from(struct sw_worker *w, const struct sw_target *self, uint16_t vlan);
/* inject.c: send injected frames, at most a burst, so that guests do not wait for long. */
void sw_inject_send(struct sw_worker *w, const struct sw_plan *plan, uint32_t head);

/* claim.c: the port's link is up, or no longer. Thread: control. */
void sw_claims_link(struct sw *sw, const struct port *port, bool up);

/* ports.c, after a commit: forget the ports that left with it, but for their ids. */
void sw_ports_forget(struct sw *sw);
/* switch.c: as sw_port_flush, but the port stays in its multicast groups. Thread: control. */
void sw_port_flush_addresses(struct sw *sw, const struct port *port);

/* Why a port without a running tx queue receives nothing. */
static inline enum port_drop sw_down_reason(const struct sw_target *t)
{
	if (t->closed)
		return PORT_DROP_ADMIN_DOWN;
	return t->sink ? PORT_DROP_MIRROR : PORT_DROP_LINK_DOWN;
}

/*
 * domain.c: fill in the domains of a plan, in two steps. sw_plan_vlans runs before the targets are
 * filled in and says which ports are transparent. sw_plan_domains runs afterwards and lists the
 * members of each domain.
 */
void sw_plan_vlans(const struct sw *sw, struct sw_plan *plan);
void sw_plan_domains(const struct sw *sw, struct sw_plan *plan);
/* Once no worker uses the plan before: the next plan begins with what this one has. */
void sw_domains_committed(struct sw *sw);

/*
 * policy.c: fill in what the policy of port `id` says. Its number of tx queues is known; it becomes
 * 0 for a port that is administratively down.
 */
void sw_plan_policy(const struct sw *sw, struct sw_plan *plan, unsigned id);
/* After a commit: free what no worker uses any more, forget what policies want forgotten. */
void sw_policies_settle(struct sw *sw);

/* bench_modes.c: fill in the forwarding mode of a plan. */
void sw_plan_forward(const struct sw *sw, struct sw_plan *plan);

/* watch.c: fill in who watches, once the poll round is known. */
void sw_plan_watch(const struct sw *sw, struct sw_plan *plan);
/* worker.c: forward a burst as workers do, and tell what is decided of each frame. */
void sw_forward_staged(
	struct sw_worker *w, const struct sw_plan *plan, const struct port_rxq *from, unsigned n);
/* worker.c: the poll round of a plan in which somebody watches. */
unsigned sw_round_seen(struct sw_worker *w, const struct sw_plan *plan);
/* watch.c: no watch names the port with that id any more. */
void sw_watches_forget(struct sw *sw, uint16_t id);
/* mirror.c: whether a mirror's copies go to the port with that id; none do any more. */
bool sw_is_sink(const struct sw *sw, uint16_t id);
void sw_mirrors_forget(struct sw *sw, uint16_t id);

/* Update the worker's clock in seconds. `now` is the current TSC. */
static inline void sw_worker_clock(struct sw_worker *w, uint64_t now)
{
	if (rw_likely(now < w->next_s_at))
		return;
	w->now_s = sw_now_s(w->sw);
	w->next_s_at = w->sw->tsc_start + (w->now_s + 1ull) * w->sw->tsc_hz;
}

/*
 * balance.c: assign a stopped rx queue to a worker. All assignments use this function. The worker
 * polls the queue from the next sw_commit on.
 */
void sw_rxq_own(struct sw *sw, struct sw_port_state *state, uint16_t index, unsigned worker);
/* Choose a worker for an rx queue that starts, and assign the queue to it. */
void sw_rxq_assign(struct sw *sw, struct sw_port_state *state, uint16_t index);

/* The thread of a worker: polls until sw->stop. */
int sw_worker_main(void *arg);
