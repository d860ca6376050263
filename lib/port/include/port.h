/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A port of the switch, of any kind: its rx and tx queues, their counters, and the table that says
 * which queue each flow uses. A port driver embeds `struct port`, `struct port_rxq` and
 * `struct port_txq` in structures of its own; the switch calls the queues' functions directly.
 *
 * Directions are seen from the switch: rx is what the guest sent, tx what it receives.
 *
 * Threads: the control thread creates and frees ports and queues. One worker owns each running rx
 * queue. Any worker fills a tx queue, under its lock when there are several workers. So each
 * counter has one writer at a time. Control reads each counter atomically, but different counters
 * at slightly different times.
 */
#include "frame.h"
#include "port_lag.h"
#include "port_work.h"
#include "rw_budget.h"
#include "rw_lock.h"

#define PORT_NAME_MAX  32
#define PORT_MAX_PAIRS 128

/* Why a frame was not delivered. `from` counts at the sender's queue, `to` at the receiver's. */
#define PORT_DROPS(X)                                                                             \
	X(BAD_ADDRESS, "bad_address")     /* from/to: a buffer outside guest memory */            \
	X(BAD_CHAIN, "bad_chain")         /* from/to: loop, direction, nesting, too long */       \
	X(BAD_HEADER, "bad_header")       /* from: impossible checksum or segmentation fields */  \
	X(TOO_SHORT, "too_short")         /* from: no Ethernet header */                          \
	X(TOO_LONG, "too_long")           /* from: over FRAME_MAX_LEN; to: exceeds its buffer */  \
	X(DISABLED, "queue_disabled")     /* from: the front-end disabled the queue */            \
	X(ADMIN_DOWN, "admin_down")       /* from/to: the port is administratively down */        \
	X(MIRROR, "mirror_destination")   /* from/to: the port gets copies of a mirror alone */   \
	X(ISOLATED, "isolated")           /* from: the ports must not reach each other */         \
	X(SPOOFED_MAC, "spoofed_mac")     /* from: an address that the port may not have */       \
	X(SPOOFED_IP, "spoofed_ip")       /* from: an IP address that the port may not have */    \
	X(DHCP_SERVER, "dhcp_server")     /* from: the port is no DHCP server */                  \
	X(ROUTER, "router_advertisement") /* from: the port is no router */                       \
	X(ADDRESS_LIMIT, "address_limit") /* from: more hosts than the port may have */           \
	X(STORM_BROADCAST, "storm_broadcast") /* from: more broadcasts than the port may send */  \
	X(STORM_MULTICAST, "storm_multicast") /* from: more multicasts than the port may send */  \
	X(STORM_UNKNOWN, "storm_unknown")     /* from: too many to addresses that nobody knows */ \
	X(RATE, "rate_limit")               /* from/to: more than the port may send or receive */ \
	X(MTU, "mtu_exceeded")              /* from/to: longer than the port's MTU */             \
	X(RESERVED, "reserved_address")     /* from: 01:80:c2:00:00:00 to :0f stay on the link */ \
	X(HAIRPIN, "hairpin")               /* from: the destination is behind the same port */   \
	X(VLAN, "vlan_not_member")          /* from: the port is not in the frame's VLAN */       \
	X(VLAN_ID, "vlan_id")               /* from: the tag has the reserved VLAN id 4095 */     \
	X(NO_DOMAIN, "no_domain")           /* from: no broadcast domain is left for its VLAN */  \
	X(NO_MEMBER, "no_member")           /* from: nobody has joined the multicast group */     \
	X(NO_PORT, "no_destination")        /* from: no other port is up */                       \
	X(LINK_DOWN, "link_down")           /* to: known address, but no running queue */         \
	X(NO_BUFFER, "no_buffer")           /* to: the guest posted too few buffers */            \
	X(WORK, "work_limit")               /* to: finding buffers took too many descriptors */   \
	X(TX_FULL, "tx_full")               /* to: the uplink's device takes no more now */       \
	X(BAD_CSUM, "bad_checksum_offload") /* to: partial checksum that cannot be completed */   \
	X(BAD_GSO, "bad_segmentation")      /* to: headers are not those of what is to be cut */  \
	X(MANY_SEGMENTS, "too_many_segments") /* to: a frame would become too many */

enum port_drop {
#define X(id, name) PORT_DROP_##id,
	PORT_DROPS(X)
#undef X
		PORT_NUM_DROPS
};

/* "no_buffer" and so on; constant strings. */
const char *port_drop_name(enum port_drop why);

/* One direction of one queue. All members are counters, which port_read adds up. */
struct port_counters {
	uint64_t frames;
	uint64_t bytes; /* Ethernet header included, FCS not */
	uint64_t unicast;
	uint64_t multicast; /* without broadcast */
	uint64_t broadcast;
	/*
	 * Signals to the guest that a burst was returned used (rx) or filled (tx): sent, and those
	 * that were not, because the driver enabled none or has no call eventfd.
	 */
	uint64_t signals;
	uint64_t suppressed;
	/* Times in which the ring's reader does not keep up, and how long they were: port_lag.h. */
	uint64_t lags;
	uint64_t lag_cycles; /* TSC */
	/* tx: frames that were converted for a receiver that lacks an offload (frame_convert.h). */
	uint64_t converted_csum; /* frames whose checksum was completed */
	uint64_t segmented;      /* large frames that were cut */
	uint64_t segments;       /* what became of these */
	uint64_t drops[PORT_NUM_DROPS];
} RW_CACHE_ALIGNED;

/* Both directions of a queue pair, or of a port. */
struct port_pair {
	struct port_counters rx;
	struct port_counters tx;
};

struct port;
struct port_rxq;
struct port_txq;
struct port_fifo;

/* Return values of `kick` that are not file descriptors. */
#define PORT_KICK_NONE   (-1) /* there is no notification: the queue must be polled */
#define PORT_KICK_DRIVER (-2) /* the port driver notifies, through sw_rxq_wake */
#define PORT_KICK_NAP    (-3) /* there is none, and it suffices to look once in a millisecond */

/* Operations of an rx queue that are not part of each poll. Each may be NULL. */
struct port_rxq_ops {
	/*
	 * Return the eventfd that the guest writes when the queue has frames, or PORT_KICK_*.
	 * Called before the queue runs. The eventfd stays open and does not change until the queue
	 * has stopped. NULL: PORT_KICK_NONE. Thread: control.
	 */
	int (*kick)(struct port_rxq *q);
	/*
	 * Enable notifications and check the queue again. False: `burst` has work, so the worker
	 * must not sleep. If `takes` is false, frames in the guest's ring do not count as work.
	 * Thread: worker, before it sleeps.
	 */
	bool (*arm)(struct port_rxq *q, bool takes);
	/*
	 * Disable notifications; harmless on a queue that was not armed. Thread: worker; also
	 * control, when the queue has just stopped.
	 */
	void (*disarm)(struct port_rxq *q);
	/*
	 * Return the NUMA node of the guest's memory, or -1. Thread: control, while the queue is
	 * stopped.
	 */
	int (*node)(const struct port_rxq *q);
	/* A worker on `node` will poll the queue. Thread: control, while the queue is stopped. */
	void (*set_node)(struct port_rxq *q, int node);
};

/*
 * An rx queue. The worker that owns it calls `burst`, `done` and `prefetch`, which neither block
 * nor allocate.
 */
struct port_rxq {
	/*
	 * Write up to `n` <= FRAME_BURST lent frames to `frames` and return their number. They stay
	 * valid until `done`, which the worker calls if it got at least one. With `n` 0 no frame is
	 * fetched.
	 */
	unsigned (*burst)(struct port_rxq *q, struct frame *frames, unsigned n);
	/* The worker no longer needs the frames that `burst` lent. */
	void (*done)(struct port_rxq *q);
	/* Prefetch what `burst` reads first. Called when the queue is polled next. */
	void (*prefetch)(struct port_rxq *q);
	struct port_counters *counters; /* the port's; the switch counts frames, the driver drops */
	const struct port_rxq_ops *ops;
	struct port *port;
	uint16_t index; /* among the port's rx queues */

	/* Owner: the worker. */
	uint8_t empty;            /* consecutive polls without a frame, up to back-off's limit */
	uint8_t nbad;             /* so many of a burst are no frames, and were not counted yet */
	struct port_lag lag;      /* of the switch */
	uint8_t bad[FRAME_BURST]; /* enum port_drop: why they are none */
};

/*
 * A tx queue. The port driver sets the members that are not operations before the queue runs. If
 * the queue is `shared`, the caller of an operation holds `lock`. Operations neither block nor
 * allocate.
 */
struct port_txq {
	/*
	 * Copy each of `n` <= FRAME_BURST frames. Return how many were delivered, and move these to
	 * the start of `frames`, in their order. The port driver counts a drop for each other one.
	 *
	 * A queue with a backlog may stop early. Then `deferred` is the number of frames, the last
	 * ones, that were neither delivered nor dropped. The caller passes them again later. With
	 * `n` 0 the queue only does its own pending work.
	 *
	 * It stops at a frame that it does not take (port_txq_takes). Then `unfit` is the number of
	 * frames from there on, and the caller passes them to port_txq_convert.
	 */
	unsigned (*burst)(struct port_txq *q, struct frame **frames, unsigned n);
	/*
	 * Make the frames in the queue cheaper for the guest to read. An idle worker calls it if it
	 * filled the queue in its latest poll rounds. May be NULL.
	 */
	void (*demote)(struct port_txq *q);
	struct port_counters *counters; /* the port's; as in struct port_rxq */
	struct port *port;
	struct port_fifo *backlog; /* NULL: it never defers */
	uint16_t index;            /* among the port's tx queues */
	bool shared;               /* several workers fill it */
	uint8_t takes;             /* FRAME_TAKES_*: what its guest or device can take */
	uint8_t why;               /* a driver's: why it dropped the frame in hand */
	uint16_t gso_least;        /* a device cuts no frame into smaller segments; payload bytes */
	struct rw_spinlock lock;   /* held for one burst */
	uint32_t deferred;         /* by the latest burst; protected by the lock */
	uint32_t unfit;            /* the same; 0 but between a burst and port_txq_convert */
	uint32_t wants_poll;       /* atomic; 1: poll it although no frame comes */
	struct port_lag lag;       /* of its guest or device; protected by the lock */
};

struct port_steer;

struct port {
	uint16_t id;     /* given by the switch */
	bool uplink;     /* it leads out of this host; its driver says so before sw_port_add */
	uint8_t refuses; /* FRAME_TAKES_* that are not used though they could be; atomic */
	char name[PORT_NAME_MAX + 1];
	struct port_steer *steer; /* NULL until the port has a second queue pair */
	/* Allocated at first use and kept when a queue is freed. */
	struct port_counters *rx[PORT_MAX_PAIRS];
	struct port_counters *tx[PORT_MAX_PAIRS];
	struct port_work work; /* what its rings may cost */
	/* tx drops outside any queue, one for each worker. */
	struct port_counters *unqueued;
	unsigned nworkers;
	struct rw_budgets budgets; /* control only */
};

/*
 * Returns 0 or -ENOMEM. The budgets are the default ones. The caller has checked that `name` has at
 * most PORT_NAME_MAX bytes.
 */
int port_init(struct port *port, const char *name, unsigned nworkers);
void port_fini(struct port *port);

/*
 * Make `q` rx queue (tx queue) `index` of the port: set port, index and counters. A second pair
 * enables flow steering. Returns 0 or -ENOMEM. Thread: control.
 */
int port_rxq_init(struct port_rxq *q, struct port *port, uint16_t index);
int port_txq_init(struct port_txq *q, struct port *port, uint16_t index);

/* Add to a counter whose only writer is the caller. */
static inline void port_count(uint64_t *counter, uint64_t n)
{
	uint64_t old = __atomic_load_n(counter, __ATOMIC_RELAXED);

	__atomic_store_n(counter, old + n, __ATOMIC_RELAXED);
}

/*
 * Drivers: what a queue holds is no frame; false. port_rxq_bad_end, at the end of the burst, counts
 * that as dropped, and tells the observer (port_observer.h). Loops over frames want no call.
 */
static inline bool port_rxq_bad(struct port_rxq *q, enum port_drop why)
{
	q->bad[q->nbad++] = (uint8_t)why;
	return false;
}

void port_rxq_drop_bad(struct port_rxq *q);

static inline void port_rxq_bad_end(struct port_rxq *q)
{
	if (rw_unlikely(q->nbad))
		port_rxq_drop_bad(q);
}

static inline void port_count_drop(struct port_counters *c, enum port_drop why)
{
	port_count(&c->drops[why], 1);
}

/* The burst at `now` (TSC) lagged, and if `again`, so did the one before. */
static inline void port_lag_count(
	struct port_lag *lag, struct port_counters *c, uint64_t now, bool again)
{
	port_count(again ? &c->lag_cycles : &c->lags, again ? now - lag->at : 1);
	lag->at = now;
}

/*
 * A poll took a whole burst. The poll before, if it found no frame, ended what was; the caller sets
 * lag.at to 0 when it found fewer.
 */
static inline void port_rxq_lags(struct port_rxq *q, uint64_t now)
{
	port_lag_count(&q->lag, q->counters, now, q->lag.at && !q->empty);
}

/* A tx burst found too few buffers, or the device took no more: it lags. */
static inline void port_txq_lags(struct port_txq *q)
{
	q->lag.state |= PORT_LAG_NOW;
}

void port_txq_lag_end(struct port_txq *q);

/* A tx burst that had frames ends. */
static inline void port_txq_lag_check(struct port_txq *q)
{
	if (rw_unlikely(q->lag.state))
		port_txq_lag_end(q);
}

/* What one burst adds to the counters, kept in registers until the burst ends. */
struct port_tally {
	uint32_t frames, multicast, broadcast;
	uint64_t bytes;
};

static inline void port_tally_add(struct port_tally *t, const struct frame *f)
{
	t->frames++;
	t->bytes += f->len;
	if (rw_unlikely(frame_is_group(f))) {
		bool broadcast = frame_is_broadcast(f);

		t->broadcast += broadcast;
		t->multicast += !broadcast;
	}
}

/* Add `n` frames of `bytes` in total. All have the first one's kind of destination. */
static inline void port_tally_add_run(
	struct port_tally *t, const struct frame *first, unsigned n, uint64_t bytes)
{
	t->frames += n;
	t->bytes += bytes;
	if (rw_unlikely(frame_is_group(first))) {
		bool broadcast = frame_is_broadcast(first);

		t->broadcast += broadcast ? n : 0;
		t->multicast += broadcast ? 0 : n;
	}
}

/* Add the frames of a list. */
static inline void port_tally_frames(struct port_tally *t, struct frame *const *frames, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		port_tally_add(t, frames[i]);
}

static inline void port_tally_commit(const struct port_tally *t, struct port_counters *c)
{
	uint32_t group = t->multicast + t->broadcast;

	if (!t->frames)
		return;
	port_count(&c->frames, t->frames);
	port_count(&c->bytes, t->bytes);
	if (t->frames != group)
		port_count(&c->unicast, t->frames - group);
	if (rw_unlikely(group)) {
		port_count(&c->multicast, t->multicast);
		port_count(&c->broadcast, t->broadcast);
	}
}

static inline void port_txq_lock(struct port_txq *q)
{
	if (q->shared)
		rw_spin_lock(&q->lock);
}

static inline void port_txq_unlock(struct port_txq *q)
{
	if (q->shared)
		rw_spin_unlock(&q->lock);
}

/*
 * Whether the queue takes a frame as it is, by what its guest negotiated and its port refuses. All
 * take plain frames. Thread: worker.
 */
bool port_txq_takes(const struct port_txq *q, const struct frame *f);

/*
 * Send `n` frames to a queue. What it does not take is converted: checksums are completed, large
 * frames cut. With `hold`, and from the first one that is deferred, they are appended to the
 * backlog. Counts what is delivered, and returns how many frames that are. The caller holds the
 * lock. Thread: worker.
 */
unsigned port_txq_convert(struct port_txq *q, struct frame **frames, unsigned n, bool hold);

/* As port_txq_send; what is delivered is told to `tell`, a constant, if it is not NULL. */
RW_ALWAYS_INLINE unsigned port_txq_send_as(struct port_txq *q, struct frame **frames, unsigned n,
	const struct port_tally *all,
	void (*const tell)(const struct port_txq *q, struct frame *const *frames, unsigned n))
{
	struct port_tally tally = {0};
	unsigned took;

	port_txq_lock(q);
	/* Without asking the driver, which would look for buffers in vain. */
	if (rw_unlikely(!frame_is_plain(frames[0])) && !port_txq_takes(q, frames[0])) {
		took = port_txq_convert(q, frames, n, false);
		port_txq_unlock(q);
		return took;
	}
	took = q->burst(q, frames, n);
	if (tell)
		tell(q, frames, took);
	if (rw_likely(took == n && all)) {
		port_tally_commit(all, q->counters);
	} else {
		port_tally_frames(&tally, frames, took);
		port_tally_commit(&tally, q->counters);
		if (rw_unlikely(q->unfit))
			took += port_txq_convert(q, frames + n - q->unfit, q->unfit, false);
	}
	port_txq_unlock(q);
	return took;
}

/*
 * Send `n` <= FRAME_BURST frames to a tx queue that has no backlog, and count those delivered.
 * `all` is the tally of all of them, or NULL. Returns how many were delivered. Thread: worker, or
 * the thread that acts for it.
 */
static inline unsigned port_txq_send(
	struct port_txq *q, struct frame **frames, unsigned n, const struct port_tally *all)
{
	return port_txq_send_as(q, frames, n, all, NULL);
}

/* As port_txq_send, and what is delivered is told to the thread's observer (port_observer.h). */
unsigned port_txq_send_seen(
	struct port_txq *q, struct frame **frames, unsigned n, const struct port_tally *all);

/*
 * As port_txq_send, for a queue with a backlog. Deferred frames are appended to the backlog.
 * Returns how many frames were delivered, including older ones from the backlog.
 */
unsigned port_txq_send_in_turn(struct port_txq *q, struct frame **frames, unsigned n);

/* Request a poll of a queue with a backlog. Thread: any. */
static inline void port_txq_want_poll(struct port_txq *q)
{
	/* Pairs with the acquire in port_txq_poll. */
	__atomic_store_n(&q->wants_poll, 1, __ATOMIC_RELEASE);
}

static inline bool port_txq_wants_poll(const struct port_txq *q)
{
	return __atomic_load_n(&q->wants_poll, __ATOMIC_ACQUIRE);
}

/* A worker's poll of a queue with a backlog: try to send the backlog if a poll is requested. */
static inline void port_txq_poll(struct port_txq *q)
{
	if (rw_unlikely(port_txq_wants_poll(q)) &&
		__atomic_exchange_n(&q->wants_poll, 0, __ATOMIC_ACQUIRE))
		port_txq_send_in_turn(q, NULL, 0);
}

/*
 * Drop the frames in the backlog. No thread fills the queue any more. Thread: control.
 */
void port_txq_clear(struct port_txq *q);

/*
 * Read the counters of one pair, or the sum over all queues and the drops outside any queue.
 * Thread: control.
 */
bool port_has_pair(const struct port *port, uint16_t index);
void port_read_pair(const struct port *port, uint16_t index, struct port_pair *out);
void port_read(const struct port *port, struct port_pair *out);

/*
 * Add to the counters of one pair, or with index PORT_UNQUEUED to those outside any queue (tx
 * alone): what another process counted for the same port. 0 or -ENOMEM. Thread: control, while no
 * worker counts.
 */
#define PORT_UNQUEUED UINT16_MAX
int port_add_pair(struct port *port, uint16_t index, const struct port_pair *add);
/* Read those outside any queue. Thread: control. */
void port_read_unqueued(const struct port *port, struct port_counters *out);

/*
 * Automatic receive steering (virtio 1.2, 5.1.6.5.5): a guest with several pairs receives each flow
 * on the pair on which it sends that flow. `hash` is frame_flow_hash.
 *
 * Thread: any worker. Entries are single words, written only if a flow is new or changes pair.
 */
void port_steer_learn(struct port_steer *steer, uint32_t hash, uint16_t queue);
/* Returns the pair of the flow, or -1 if the table has no entry for it. */
int port_steer_find(const struct port_steer *steer, uint32_t hash);
