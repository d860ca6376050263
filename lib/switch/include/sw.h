/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The switch: workers that poll queues, one forwarding database, and a plan. The plan says which
 * worker polls which queue, and to which queues a frame may go.
 *
 * The plan is immutable. The control thread builds the next one, swaps the pointer and waits until
 * every worker has passed a quiescent point (the end of its poll round, rte_rcu_qsbr). From then on
 * no worker uses an object that only the old plan names, so its owner may change or free it. Queues
 * are started, stopped and moved in this way only. No worker takes a lock for it.
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
/* Stop and join the workers. May be called when they do not run. */
void sw_stop(struct sw *sw);
/*
 * Run one poll round of a worker on the calling thread, which is the control thread. This replaces
 * sw_start in a program that measures the cost of a round.
 */
void sw_round(struct sw *sw, unsigned index);
/* Call this after sw_stop and after all ports have been deleted. */
void sw_free(struct sw *sw);

unsigned sw_nworkers(const struct sw *sw);
struct fdb *sw_fdb(struct sw *sw);

/*
 * Add a port and assign an id to it. Its driver has initialised it and still owns it. -ENOSPC:
 * there are SW_MAX_PORTS ports; -EEXIST: another port has the name.
 */
int sw_port_add(struct sw *sw, struct port *port);
/*
 * The port leaves with the next sw_commit, which stops its queues and deletes its addresses: so
 * ports that go together take one commit. From now on its queues cannot be set, and another port
 * may have its name. sw_port_del must follow; the port and its queues stay until then.
 */
void sw_port_leave(struct sw *sw, struct port *port);
bool sw_port_has_left(const struct sw *sw, const struct port *port);
/* Delete a port; commits, unless the port has left before. Nobody uses it or its queues then. */
void sw_port_del(struct sw *sw, struct port *port);
/* The port with that id, which may have left; or NULL. */
struct port *sw_port(const struct sw *sw, uint16_t id);
struct port *sw_port_by_name(const struct sw *sw, const char *name);

/*
 * Set rx queue (tx queue) `index` of the port; NULL: stop it. The next sw_commit puts it into
 * effect. An rx queue that starts is assigned to the worker with the least load (sw_balance.h). A
 * worker also polls each tx queue that has a backlog.
 */
void sw_rxq_set(struct sw *sw, struct port *port, uint16_t index, struct port_rxq *q);
void sw_txq_set(struct sw *sw, struct port *port, uint16_t index, struct port_txq *q);
/*
 * Put all changes into effect; cheap if there are none. On return no worker uses a stopped queue.
 * Cannot fail.
 */
void sw_commit(struct sw *sw);
/*
 * The same for changes that nobody waits for, such as a new port or another policy: after sw_hold
 * it waits for sw_release, or for the next sw_commit. A commit costs as much as there are ports.
 */
void sw_commit_soon(struct sw *sw);
void sw_hold(struct sw *sw);
void sw_release(struct sw *sw);

/*
 * Wake the queue's worker if it sleeps. For work that no eventfd reports: an rx queue with
 * PORT_KICK_DRIVER, a tx queue that must be polled.
 */
void sw_rxq_wake(struct sw *sw, const struct port *port, uint16_t index);
void sw_txq_wake(struct sw *sw, const struct port *port, uint16_t index);

/*
 * Wait until every worker has passed a quiescent point. Then it has returned the guests' frames
 * that it held before, and it sees what control published before. A sleeping worker holds no
 * frames, and sees it when it wakes. Takes microseconds.
 */
void sw_quiesce(struct sw *sw);

/*
 * Send a frame of at most FRAME_HEAD bytes as if it had come from the guest behind `port`: its
 * source is learned, as found by `how`, and every other port that is up receives it. Only the
 * receivers count it. The frame is discarded in a mode other than SW_FORWARD_SWITCH, because such a
 * mode learns no addresses. -ENOBUFS: SW_INJECT_MAX frames wait to be sent.
 */
#define SW_INJECT_MAX 256
int sw_inject(
	struct sw *sw, const struct port *port, const void *bytes, uint32_t len, enum fdb_how how);
/* Wait until worker 0, which runs, has sent the injected frames. Takes a few poll rounds. */
void sw_inject_wait(struct sw *sw);

/*
 * Delete the addresses that were learned behind `port`, including those of frames injected in its
 * name, and take it out of its multicast groups. The caller has stopped its queues, so nothing is
 * learned there meanwhile.
 */
void sw_port_flush(struct sw *sw, const struct port *port);

/*
 * At most `max` learned addresses behind the port (0: no limit of its own): its next one then takes
 * the place of its oldest.
 */
void sw_port_limit_addresses(struct sw *sw, const struct port *port, uint32_t max);
/* Learned addresses behind the port now, and how many had to go because of that limit. */
void sw_port_addresses(
	const struct sw *sw, const struct port *port, uint32_t *learned, uint64_t *excesses);

/* Whether the port has a running transmit queue. */
bool sw_port_is_up(const struct sw *sw, const struct port *port);

/* How often a port's link changed since the port was added, as told by SW_EVENT_LINK. */
struct sw_link {
	uint32_t ups, downs;
	uint32_t changed_s; /* sw_now_s at the latest change; valid if there was one */
};
void sw_link_read(const struct sw *sw, const struct port *port, struct sw_link *out);
/* What another process has counted, before this one has the port. */
void sw_link_set(struct sw *sw, const struct port *port, const struct sw_link *link);

/* Nanoseconds of so many TSC cycles. */
uint64_t sw_cycles_ns(const struct sw *sw, uint64_t cycles);

/*
 * Set the forwarding mode. `run` false: forward nothing; frames wait in the guests' rings. On
 * return every worker uses the new mode, and no frame was lost. Learned addresses stay, and age.
 */
void sw_forward_set(struct sw *sw, enum sw_forward mode, bool run);
enum sw_forward sw_forward_mode(const struct sw *sw);
bool sw_forward_runs(const struct sw *sw);
/* Whether workers take frames from guests. */
bool sw_forward_takes(const struct sw *sw);
/* The port to which frames from `port` go; NULL: this mode has no partners. */
const struct port *sw_forward_partner(const struct sw *sw, const struct port *port);

/* Age the forwarding database. Call this once a second. */
void sw_age(struct sw *sw);
/* The switch's clock in seconds, as in fdb_entry.last_seen_s. */
uint32_t sw_now_s(const struct sw *sw);
/*
 * The TSC at which that clock began, and to have it begin elsewhere: where it did in another
 * process of this host, so that seconds of the one mean the same in the other. Before sw_start.
 */
uint64_t sw_clock_start(const struct sw *sw);
void sw_clock_set(struct sw *sw, uint64_t start);

struct sw_worker_stats {
	unsigned cpu;
	unsigned queues;      /* receive queues it polls now */
	uint64_t polls;       /* rounds over all its queues */
	uint64_t busy_polls;  /* rounds that found a frame */
	uint64_t busy_cycles; /* TSC cycles of those rounds */
	uint64_t idle_cycles; /* TSC cycles of rounds that found none */
	uint64_t frames;      /* taken from guests, or made */

	enum sw_idle_mode idle;
	bool asleep;            /* now */
	uint32_t sleeps;        /* sleeps that have ended */
	uint64_t asleep_cycles; /* TSC cycles, neither busy nor idle */
};
/* Read the statistics of a running worker. Thread: control. */
void sw_worker_read(const struct sw *sw, unsigned index, struct sw_worker_stats *out);
