/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A port of the switch, whatever is behind it: its receive and transmit queues, their counters, and
 * the memory of which queue each flow uses. A driver embeds `struct port`, `struct port_rxq` and
 * `struct port_txq` in structures of its own; the switch calls the queues directly.
 *
 * Directions are seen from the switch: rx is what the guest sent, tx what it receives.
 *
 * Threads: the control thread creates and frees ports and queues. A receive queue that runs belongs
 * to one worker. A transmit queue is filled by any worker, under its lock when there are several.
 * So each counter has one writer at a time; a reader (control) sees each counter whole, and
 * different counters a moment apart.
 */
#include "frame.h"
#include "rw_lock.h"

#define PORT_NAME_MAX  32
#define PORT_MAX_PAIRS 128

/* Why a frame was not delivered. `from` counts at the sender's queue, `to` at the receiver's. */
#define PORT_DROPS(X)                                                                            \
	X(BAD_ADDRESS, "bad_address")     /* from/to: a buffer outside guest memory */           \
	X(BAD_CHAIN, "bad_chain")         /* from/to: loop, direction, nesting, too long */      \
	X(BAD_HEADER, "bad_header")       /* from: impossible checksum or segmentation fields */ \
	X(TOO_SHORT, "too_short")         /* from: no Ethernet header */                         \
	X(TOO_LONG, "too_long")           /* from: over FRAME_MAX_LEN; to: exceeds its buffer */ \
	X(DISABLED, "queue_disabled")     /* from: the front-end disabled the queue */           \
	X(RESERVED, "reserved_address")   /* from: 01:80:c2:00:00:00 to :0f stay on the link */  \
	X(HAIRPIN, "hairpin")             /* from: the destination is behind the same port */    \
	X(VLAN, "vlan_not_member")        /* from: the port is not in the frame's VLAN */        \
	X(NO_DOMAIN, "no_domain")         /* from: no broadcast domain is left for its VLAN */   \
	X(NO_PORT, "no_destination")      /* from: no other port is up */                        \
	X(LINK_DOWN, "link_down")         /* to: known address, but no running queue */          \
	X(NO_BUFFER, "no_buffer")         /* to: the guest posted too few buffers */             \
	X(NO_CSUM, "csum_not_negotiated") /* to: partial checksum, receiver takes none */        \
	X(NO_GSO, "gso_not_negotiated")   /* to: segmentation the receiver does not take */

enum port_drop {
#define X(id, name) PORT_DROP_##id,
	PORT_DROPS(X)
#undef X
		PORT_NUM_DROPS
};

/* "no_buffer" and so on; constant strings. */
const char *port_drop_name(enum port_drop why);

/* One direction of one queue. */
struct port_counters {
	uint64_t frames;
	uint64_t bytes; /* Ethernet header included, FCS not */
	uint64_t unicast;
	uint64_t multicast; /* without broadcast */
	uint64_t broadcast;
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

/* What `kick` answers that is no descriptor. */
#define PORT_KICK_NONE   (-1) /* nothing tells: the queue must be polled */
#define PORT_KICK_DRIVER (-2) /* the driver tells, by sw_rxq_wake */

/* Operations of a receive queue beside those of each poll. Every one may be NULL. */
struct port_rxq_ops {
	/*
	 * Thread: control. The eventfd that the guest writes when there is something in a queue
	 * that is about to run, or PORT_KICK_*. It stays open, and the same, until the queue has
	 * stopped. NULL: PORT_KICK_NONE.
	 */
	int (*kick)(struct port_rxq *q);
	/*
	 * Thread: worker, before it sleeps. Enable the guest's notifications and look again: false
	 * when there is something for `burst` to do, so that the worker must not sleep. Without
	 * `takes`, frames in the guest's ring are none.
	 */
	bool (*arm)(struct port_rxq *q, bool takes);
	/*
	 * Disable notifications; harmless on a queue that was not armed. Thread: worker; also
	 * control, when the queue has just stopped.
	 */
	void (*disarm)(struct port_rxq *q);
	/*
	 * Thread: control, while the queue is stopped. The NUMA node of the guest's memory, or -1.
	 */
	int (*node)(const struct port_rxq *q);
	/* Thread: control, while the queue is stopped. A worker on that node will poll it. */
	void (*set_node)(struct port_rxq *q, int node);
};

/*
 * A receive queue. `burst`, `done` and `prefetch` are called by the worker that owns it; they
 * neither block nor allocate.
 */
struct port_rxq {
	/*
	 * Lend up to `n` <= FRAME_BURST frames into `frames`; how many. They stay valid until
	 * `done`, which the worker calls when it got at least one. With `n` 0 none is taken.
	 */
	unsigned (*burst)(struct port_rxq *q, struct frame *frames, unsigned n);
	/* Take back what `burst` lent. */
	void (*done)(struct port_rxq *q);
	/* It is polled next: fetch what `burst` reads first. */
	void (*prefetch)(struct port_rxq *q);
	struct port_counters *counters; /* the port's; the switch counts frames, the driver drops */
	const struct port_rxq_ops *ops;
	struct port *port;
	uint16_t index; /* of the port's receive queues */

	/* Owner: the worker. */
	uint8_t empty; /* polls in a row that found nothing, as far as back-off counts them */
};

/*
 * A transmit queue. The members that are no operations are set by the driver before the queue runs.
 * All operations are called with `lock` held when it is `shared`; they neither block nor allocate.
 */
struct port_txq {
	/*
	 * Copy each of `n` <= FRAME_BURST frames. How many were taken: these stand first in
	 * `frames`, in their order. The driver counts why it refused each of the others.
	 *
	 * A queue with a backlog may stop early: then `deferred` says how many frames, the last
	 * ones, it has not dealt with. They are handed to it again. With `n` 0 it only looks after
	 * itself.
	 */
	unsigned (*burst)(struct port_txq *q, struct frame **frames, unsigned n);
	/*
	 * NULL: nothing. The worker filled the queue in its latest rounds and is idle: spend time
	 * on what makes the frames cheaper to read for the guest.
	 */
	void (*demote)(struct port_txq *q);
	struct port_counters *counters; /* the port's; as in struct port_rxq */
	struct port *port;
	struct port_fifo *backlog; /* NULL: it never defers */
	uint16_t index;            /* of the port's transmit queues */
	bool shared;               /* several workers fill it */
	struct rw_spinlock lock;   /* held for one burst */
	uint32_t deferred;         /* by the latest burst; under the lock */
	uint32_t wants_poll;       /* atomic; 1: poll it although no frame comes */
};

struct port_steer;

struct port {
	uint16_t id; /* given by the switch */
	char name[PORT_NAME_MAX + 1];
	struct port_steer *steer; /* NULL until the port has a second queue pair */
	/* Allocated at first use, kept: queues come and go. */
	struct port_counters *rx[PORT_MAX_PAIRS];
	struct port_counters *tx[PORT_MAX_PAIRS];
	/* tx drops outside any queue, one for each worker. */
	struct port_counters *unqueued;
	unsigned nworkers;
};

/* 0 or -ENOMEM. `name` was checked: at most PORT_NAME_MAX bytes. */
int port_init(struct port *port, const char *name, unsigned nworkers);
void port_fini(struct port *port);

/*
 * Make `q` receive queue (transmit queue) `index` of the port: port, index and counters are set; a
 * second pair gets flow steering. 0 or -ENOMEM. Thread: control.
 */
int port_rxq_init(struct port_rxq *q, struct port *port, uint16_t index);
int port_txq_init(struct port_txq *q, struct port *port, uint16_t index);

/* Add to a counter whose only writer is the caller. */
static inline void port_count(uint64_t *counter, uint64_t n)
{
	uint64_t old = __atomic_load_n(counter, __ATOMIC_RELAXED);

	__atomic_store_n(counter, old + n, __ATOMIC_RELAXED);
}

static inline void port_count_drop(struct port_counters *c, enum port_drop why)
{
	port_count(&c->drops[why], 1);
}

/* What one burst adds to the counters, kept in registers until its end. */
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

/* `n` frames, `bytes` in all, whose destinations are of one kind: that of the first. */
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

/* The frames of a list. */
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
 * Hand `n` <= FRAME_BURST frames to a transmit queue that has no backlog, and count those it takes.
 * `all` is the tally of all of them, or NULL. How many it took. Thread: worker, or the one that
 * stands in for it.
 */
static inline unsigned port_txq_send(
	struct port_txq *q, struct frame **frames, unsigned n, const struct port_tally *all)
{
	struct port_tally tally = {0};
	unsigned took;

	port_txq_lock(q);
	took = q->burst(q, frames, n);
	if (rw_likely(took == n && all)) {
		port_tally_commit(all, q->counters);
	} else {
		port_tally_frames(&tally, frames, took);
		port_tally_commit(&tally, q->counters);
	}
	port_txq_unlock(q);
	return took;
}

/*
 * The same for a queue with a backlog: what it defers waits there, behind what waits already. How
 * many frames, older ones among them, the queue took.
 */
unsigned port_txq_send_in_turn(struct port_txq *q, struct frame **frames, unsigned n);

/* Ask for a poll of a queue with a backlog. Thread: any. */
static inline void port_txq_want_poll(struct port_txq *q)
{
	/* Pairs with the acquire in port_txq_poll. */
	__atomic_store_n(&q->wants_poll, 1, __ATOMIC_RELEASE);
}

static inline bool port_txq_wants_poll(const struct port_txq *q)
{
	return __atomic_load_n(&q->wants_poll, __ATOMIC_ACQUIRE);
}

/* A worker's poll of a queue with a backlog: see whether the backlog can go on. */
static inline void port_txq_poll(struct port_txq *q)
{
	if (rw_unlikely(port_txq_wants_poll(q)) &&
		__atomic_exchange_n(&q->wants_poll, 0, __ATOMIC_ACQUIRE))
		port_txq_send_in_turn(q, NULL, 0);
}

/*
 * Drop what waits in the backlog, which nobody fills any more. Thread: control.
 */
void port_txq_clear(struct port_txq *q);

/*
 * Read the counters of one pair, or the sum over all queues and what was dropped outside them.
 * Thread: control.
 */
bool port_has_pair(const struct port *port, uint16_t index);
void port_read_pair(const struct port *port, uint16_t index, struct port_pair *out);
void port_read(const struct port *port, struct port_pair *out);

/*
 * Automatic receive steering (virtio 1.2, 5.1.6.5.5): a guest with several pairs receives each flow
 * on the pair it sends that flow from. `hash` is frame_flow_hash.
 *
 * Thread: any worker; entries are single words, written only when a flow is new or changed pair.
 */
void port_steer_learn(struct port_steer *steer, uint32_t hash, uint16_t queue);
/* The pair of the flow, or -1 when the guest never sent it. */
int port_steer_find(const struct port_steer *steer, uint32_t hash);
