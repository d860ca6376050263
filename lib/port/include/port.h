/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A port of the switch, whatever is behind it: a table of operations, counters, and the memory of
 * which queue pair each flow uses. Drivers embed `struct port` in a structure of their own.
 *
 * Directions are seen from the switch: rx is what the guest sent, tx what it receives.
 *
 * Threads: the control thread creates and frees ports; workers call the operations of running
 * queues. A receive queue belongs to one worker. A transmit queue is locked by its driver for one
 * burst. So each counter has one writer at a time; readers (control) see each counter whole, and
 * different counters a moment apart.
 */
#include "frame.h"

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

/* Both directions of a queue pair. */
struct port_pair {
	struct port_counters rx;
	struct port_counters tx;
};

struct port;

/* What `kick` answers that is no descriptor. */
#define PORT_KICK_NONE   (-1) /* nothing tells: the queue must be polled */
#define PORT_KICK_DRIVER (-2) /* the driver tells, by sw_kick, or there is nothing to be told of */

/*
 * `from`, `ahead`, `give_back`, `to`, `settle`, `arm` and `disarm` are called by a worker, for queue pairs
 * that run; they neither block nor allocate.
 */
struct port_ops {
	/*
	 * Lend up to `n` <= FRAME_BURST frames into `frames`. They stay valid until give_back, which the
	 * worker calls when it got at least one. With 0 none is taken, and all else that a poll is for is
	 * done.
	 */
	unsigned (*from)(struct port *port, uint16_t queue, struct frame *frames, unsigned n);
	/* May be NULL. It is this queue's turn next: bring in what `from` will look at first. */
	void (*ahead)(struct port *port, uint16_t queue);
	/* Complete what `from` lent. */
	void (*give_back)(struct port *port, uint16_t queue);
	/* Take a copy of each of `n` <= FRAME_BURST frames, or count why not. */
	void (*to)(struct port *port, uint16_t queue, struct frame *const *frames, unsigned n);

	/*
	 * May be NULL. The worker, which handed frames to the queue in its latest rounds, has nothing else to do
	 * and may spend time on what makes them cheaper to read for the guest.
	 */
	void (*settle)(struct port *port, uint16_t queue);

	/* For workers that sleep. All NULL: the queues of this port must be polled. */

	/*
	 * Thread: control. The eventfd that the guest writes when there is something in a queue that is
	 * about to run, or PORT_KICK_*. It stays open, and the same, until the queue rests.
	 */
	int (*kick)(struct port *port, uint16_t queue);
	/*
	 * Ask the guest for kicks from now on, and look again: false when there is something for `from` to
	 * do, so that nobody may sleep. Without `takes`, frames in the guest's ring are none.
	 */
	bool (*arm)(struct port *port, uint16_t queue, bool takes);
	/*
	 * No kicks any more; harmless on a queue that was not armed. Thread: also control, when the queue
	 * has just come to rest.
	 */
	void (*disarm)(struct port *port, uint16_t queue);

	/* Control calls these, while the receive queue rests. Both may be NULL: all nodes are near. */

	/* The NUMA node of the guest's memory, or -1. */
	int (*node)(const struct port *port, uint16_t queue);
	/* A worker on that node will poll the queue: have its state there. */
	void (*place)(struct port *port, uint16_t queue, int node);
};

struct port_steer;

struct port {
	const struct port_ops *ops;
	uint16_t id; /* given by the switch */
	char name[PORT_NAME_MAX + 1];
	struct port_steer *steer;                /* NULL until the port has a second pair */
	struct port_pair *pairs[PORT_MAX_PAIRS]; /* counters; allocated at first use, kept */
	/* tx drops outside any queue, one for each worker. */
	struct port_counters *unqueued;
	unsigned nworkers;
};

/* 0 or -ENOMEM. `name` was checked: at most PORT_NAME_MAX bytes. */
int port_init(struct port *port, const char *name, const struct port_ops *ops, unsigned nworkers);
void port_fini(struct port *port);

/* Make sure that pair `queue` has counters, and a second pair has steering. 0 or -ENOMEM. */
int port_pair_prepare(struct port *port, uint16_t queue);

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

/*
 * Read the counters of one pair, or the sum over all pairs and what was dropped outside them.
 * Thread: control.
 */
void port_read_pair(const struct port *port, uint16_t queue, struct port_pair *out);
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
