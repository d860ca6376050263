/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * One front-end's session: what it negotiated, its memory and the state of its rings. The protocol
 * says where a ring is; whoever owns the session (a driver) moves frames through it.
 *
 * Every message is a row of one table (table.c): handler, payload size, descriptors wanted, and
 * which rings must stand still meanwhile. The session pauses those rings, runs the handler, and
 * resumes them; the owner compares the session's ring with what it runs and makes the two agree.
 * So there is one way to start, stop, move or change a ring, whatever message asked for it.
 *
 * A message that fails is answered with a negative acknowledgement when the front-end asked for an
 * acknowledgement (REPLY_ACK), else the connection is closed. Nothing a front-end sends may end or
 * delay more than its own session.
 *
 * Thread: control.
 */
#include "guest_mem.h"
#include "rw_loop.h"
#include "vu_wire.h"

/* 128 queue pairs. */
#define VU_MAX_RINGS 256

/* A ring as the protocol describes it (vhost-user, "Ring states"). */
struct vu_ring {
	uint32_t num;              /* entries; 0: not said yet */
	uint32_t base;             /* where to go on, coded as in SET_VRING_BASE */
	struct vu_vring_addr addr; /* valid when addr_set */
	int kick_fd;               /* -1: none */
	int call_fd;               /* -1: the guest polls; non-blocking */
	int err_fd;                /* -1: none */
	bool addr_set;
	bool base_set; /* `base` was given or reported; else it follows the ring format */
	bool started;  /* kicked (or polled) since the last GET_VRING_BASE */
	bool enabled;  /* may carry frames */
};

struct vu_session;

/*
 * What a session asks of its owner. `dev` is the owner's pointer. Unless said otherwise, none may
 * block, call back into the session or free it.
 */
struct vu_ops {
	/*
	 * Let go of rings [first, first + n): when it returns no thread touches them, nothing of
	 * theirs is mapped, and session->rings[i].base of each that ran says where to go on.
	 * Harmless on resting rings. Descriptors and, when all rings are paused, memory that the
	 * session held before may be gone at the following rings_resume.
	 */
	void (*rings_pause)(void *dev, unsigned first, unsigned n);
	/*
	 * Make rings [first, first + n) agree with the session: run those that vu_ring_ready says
	 * may run, with the session's present memory, features and descriptors.
	 * 0, or -errno when one could not be mapped or is malformed: it then stays at rest.
	 */
	int (*rings_resume)(void *dev, unsigned first, unsigned n);
	/* The front-end's MTU, 68 to 65535 bytes, for information. */
	void (*mtu_changed)(void *dev, uint16_t mtu);
	/*
	 * The session is over: rings are paused, descriptors closed, memory unmapped. The owner may
	 * free the session in here. reason: 0 the front-end closed the socket, or -errno.
	 */
	void (*closed)(void *dev, int reason);
};

/* What the back-end offers; constant for a session's life. */
struct vu_offer {
	uint64_t features;          /* virtio feature bits, VU_F_PROTOCOL_FEATURES included */
	uint64_t protocol_features; /* bits of enum vu_protocol_feature */
	uint16_t max_pairs;         /* answer to GET_QUEUE_NUM; at most VU_MAX_RINGS / 2 */
	uint16_t max_ring_size;     /* entries; at most 32768 */
};

struct vu_conn; /* partial messages and their descriptors: conn.c */

struct vu_session {
	const struct vu_ops *ops;
	void *dev;
	struct vu_offer offer;
	const char *name; /* for log lines; the owner's */

	struct rw_loop *loop;
	struct vu_conn *conn;
	uint64_t features;          /* acknowledged by SET_FEATURES */
	uint64_t protocol_features; /* acknowledged by SET_PROTOCOL_FEATURES */
	struct gm_map *mem;         /* NULL before the first SET_MEM_TABLE */
	uint16_t mtu;               /* 0: not said */
	uint8_t status;             /* virtio device status, as last set */
	uint32_t nrings;            /* one more than the highest ring index ever named */
	bool features_set;          /* SET_FEATURES was seen */
	bool features_refused;      /* ... and the last one was not acceptable */
	struct vu_ring rings[VU_MAX_RINGS];
};

/*
 * A session on the connected Unix stream socket `fd`, which it takes over (closed on failure too),
 * served by `loop` from now on. `name` must outlive it. NULL with errno set.
 */
struct vu_session *vu_session_new(struct rw_loop *loop, int fd, const struct vu_offer *offer,
	const struct vu_ops *ops, void *dev, const char *name);

/* End it as if the front-end had closed the socket, but without calling ops->closed. */
void vu_session_free(struct vu_session *s);

/*
 * Whether ring `i` has all it takes to run: size, addresses, kick, memory and features, and whether
 * size, base and alignment suit the ring format. That the ring lies in memory from end to end, and
 * that a packed ring's indices are below its size, shows when it is mapped.
 */
bool vu_ring_ready(const struct vu_session *s, unsigned i);

static inline bool vu_has_feature(const struct vu_session *s, unsigned bit)
{
	return s->features >> bit & 1;
}

/* The name of a request ("SET_VRING_ADDR"), or NULL when it is unknown. */
const char *vu_request_name(uint32_t request);
