/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The switch: workers that poll queues, one forwarding database, and a plan that says which queue
 * is polled by whom and which queues a frame may go to.
 *
 * The plan is immutable. The control thread builds the next one, swaps the pointer and waits
 * until every worker has passed a quiescent point (the end of its poll round, rte_rcu_qsbr): from
 * then on no worker touches what the old plan alone named, so its owner may change or free it.
 * That is the only way anything is started, stopped or moved, and no worker ever takes a lock for
 * it.
 *
 * Threads: sw_* belong to the control thread unless a comment says otherwise.
 */
#include "fdb.h"
#include "port.h"
#include "sw_forward.h"
#include "sw_idle.h"

#define SW_MAX_PORTS   1024
#define SW_MAX_WORKERS 64

struct sw;

/* A worker and the logical core that EAL pinned for it. */
struct sw_worker_config {
	unsigned lcore; /* EAL's number */
	unsigned cpu;   /* the operating system's number, for reports */
};

struct sw_config {
	const struct sw_worker_config *workers;
	unsigned nworkers; /* 1 to SW_MAX_WORKERS */
	uint32_t fdb_entries;
	uint32_t fdb_age_s;   /* 0: never */
	unsigned max_domains; /* 0: as many as there can be (sw_domain.h) */
	enum sw_forward forward;
	enum sw_idle_mode idle;
};

/* EAL must be initialised. 0 or -errno. */
int sw_new(const struct sw_config *cfg, struct sw **out);
/* Launch the workers. 0 or -errno. */
int sw_start(struct sw *sw);
/* Stop and join the workers. Harmless when they do not run. */
void sw_stop(struct sw *sw);
/*
 * In place of sw_start: one poll round of a worker on the calling thread, which is the control
 * thread too. For a program that counts what a round costs.
 */
void sw_round(struct sw *sw, unsigned index);
/* After sw_stop and when all ports are gone. */
void sw_free(struct sw *sw);

unsigned sw_nworkers(const struct sw *sw);
struct fdb *sw_fdb(struct sw *sw);

/*
 * Add a port (initialised by its driver, which keeps owning it) and give it an id. -ENOSPC: there
 * are SW_MAX_PORTS; -EEXIST: the name is taken.
 */
int sw_port_add(struct sw *sw, struct port *port);
/* Its queues must have been stopped. Forgets its addresses. */
void sw_port_del(struct sw *sw, struct port *port);
/* The port with that id, or NULL. */
struct port *sw_port(const struct sw *sw, uint16_t id);
struct port *sw_port_by_name(const struct sw *sw, const char *name);

/*
 * Note that `q` shall run as receive queue (transmit queue) `index` of the port; NULL: none shall.
 * It takes effect with the next sw_commit. A receive queue that starts goes to the worker that has
 * least to do (sw_balance.h). A transmit queue with a backlog is polled by a worker, too.
 */
void sw_rxq_set(struct sw *sw, struct port *port, uint16_t index, struct port_rxq *q);
void sw_txq_set(struct sw *sw, struct port *port, uint16_t index, struct port_txq *q);
/*
 * Put all notes into effect; cheap when there are none. On return no worker touches a queue that
 * has stopped. Cannot fail.
 */
void sw_commit(struct sw *sw);

/*
 * There is something to do for a queue that no eventfd tells of (PORT_KICK_DRIVER; a transmit queue
 * that wants to be polled): if its worker sleeps, it wakes.
 */
void sw_rxq_wake(struct sw *sw, const struct port *port, uint16_t index);
void sw_txq_wake(struct sw *sw, const struct port *port, uint16_t index);

/*
 * Wait until every worker has passed a quiescent point: what it held of guests' frames before is
 * given back, and what control published before is what it sees. A worker that sleeps has nothing
 * and sees it when it wakes. Microseconds.
 */
void sw_quiesce(struct sw *sw);

/*
 * Send a frame of at most FRAME_HEAD bytes as if it had come from the guest behind `port`: its
 * source is learned and every other port that is up receives it. Counted by the receivers only.
 * Forgotten when frames are not to be switched: nobody is there to learn from it.
 * -ENOBUFS: the workers have yet to send the last SW_INJECT_MAX.
 */
#define SW_INJECT_MAX 256
int sw_inject(struct sw *sw, const struct port *port, const void *bytes, uint32_t len);

/*
 * Forget the addresses that were learned behind `port`, those of frames injected in its name too.
 * Its queues rest: nothing is learned there meanwhile.
 */
void sw_port_flush(struct sw *sw, const struct port *port);

/* Whether the port has a running transmit queue. */
bool sw_port_is_up(const struct sw *sw, const struct port *port);

/*
 * Do something else with frames from now on, or nothing while not `run`: then they wait in the
 * guests' rings. On return every worker does so, and none was lost on the way. What was learned
 * stays, and ages.
 */
void sw_forward_set(struct sw *sw, enum sw_forward mode, bool run);
enum sw_forward sw_forward_mode(const struct sw *sw);
bool sw_forward_runs(const struct sw *sw);
/* Whether workers take what guests send. */
bool sw_forward_takes(const struct sw *sw);
/* Where frames from a port go; NULL: this mode has no partners. */
const struct port *sw_forward_partner(const struct sw *sw, const struct port *port);

/* Let the forwarding database age; once a second. */
void sw_age(struct sw *sw);
/* The switch's clock, seconds, as in fdb_entry.last_seen_s. */
uint32_t sw_now_s(const struct sw *sw);

struct sw_worker_stats {
	unsigned cpu;
	unsigned queues;      /* receive queues it polls now */
	uint64_t polls;       /* rounds over all its queues */
	uint64_t busy_polls;  /* rounds that found a frame */
	uint64_t busy_cycles; /* TSC cycles of those rounds */
	uint64_t idle_cycles; /* TSC cycles of the others */
	uint64_t frames;      /* taken from guests, or made */

	enum sw_idle_mode idle;
	bool asleep;            /* now */
	uint32_t sleeps;        /* that have ended */
	uint64_t asleep_cycles; /* TSC cycles, neither busy nor idle */
};
/* Thread: control; the worker goes on meanwhile. */
void sw_worker_read(const struct sw *sw, unsigned index, struct sw_worker_stats *out);
