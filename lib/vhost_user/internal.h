/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the files of this library share: the message on its way through them.
 *
 * conn.c collects bytes and descriptors into the connection's one struct vu_msg, table.c checks it
 * against its row and calls a handler of handlers.c, which changes the session and leaves the
 * reply, if there is one, in the message's payload. session.c drives all that from the loop.
 *
 * Thread: control.
 */
#include <sys/types.h>

#include "vu_session.h"

/* Longer payloads than VU_MAX_PAYLOAD are read over up to here, so that refusing one keeps pace. */
#define VU_MAX_DRAIN 4096

struct vu_msg {
	struct vu_header hdr;
	union vu_payload payload; /* zero beyond what was sent; later the reply */
	int fds[VU_MAX_FDS];      /* -1: a handler has taken it over */
	unsigned nfds;
	bool fds_lost;   /* more came than fit here, or than we may open */
	unsigned ring;   /* the ring it names; set by the table */
	const char *why; /* why it is refused, for the log; NULL: see errno */
};

struct vu_conn {
	int fd;
	struct rw_watch watch;
	size_t have; /* bytes of `msg` that have arrived, header included */
	struct vu_msg msg;
};

/* Results of vu_conn_read besides -errno. */
enum vu_conn_event {
	VU_CONN_WAIT,    /* the rest has not arrived yet */
	VU_CONN_MESSAGE, /* conn->msg is complete */
	VU_CONN_EOF,     /* the front-end has gone */
};

/* A connection on the socket `fd`, which it owns now. NULL: no memory, `fd` is untouched. */
struct vu_conn *vu_conn_new(int fd);
void vu_conn_free(struct vu_conn *c);
/* Read on, never further than the end of the present message. */
int vu_conn_read(struct vu_conn *c);
/* The present message is done with: close what is left of its descriptors, begin the next one. */
void vu_conn_next(struct vu_conn *c);
/* Answer the present message with a u64 (or a vring state, which is as long). 0 or -errno. */
int vu_conn_reply(struct vu_conn *c, uint64_t payload);

/* The message's descriptor `i`, which is the caller's from now on. */
int vu_msg_take_fd(struct vu_msg *m, unsigned i);

/* Note why `m` is refused; returns `err`, a negative errno. */
static inline int vu_refuse(struct vu_msg *m, int err, const char *why)
{
	m->why = why;
	return err;
}

/* Check, run and answer the complete message of the connection. -errno: the session is over. */
int vu_dispatch(struct vu_session *s);

/* A ring as it is before the front-end says anything about it. */
void vu_ring_init(struct vu_ring *r);
/* Close its descriptors and forget all about it. */
void vu_ring_reset(struct vu_ring *r);
/* Where a ring begins if the front-end never said: entry 0, packed rings in their first lap. */
uint32_t vu_ring_first_base(const struct vu_session *s);
/* Whether each suits the ring format; anything does until SET_FEATURES has decided on one. */
bool vu_ring_num_fits(const struct vu_session *s, uint32_t num);
bool vu_ring_base_fits(const struct vu_session *s, uint32_t base);
bool vu_ring_addr_fits(const struct vu_session *s, const struct vu_vring_addr *addr);
/* Whether nothing is missing; vu_ring_ready asks that it makes sense, too. */
bool vu_ring_complete(const struct vu_session *s, unsigned i);

/*
 * The handlers. The table has checked size, descriptors and ring index, and the rings concerned
 * stand still. 0, or -errno with the session unchanged.
 */
int vu_on_owner(struct vu_session *s, struct vu_msg *m);
int vu_on_get_features(struct vu_session *s, struct vu_msg *m);
int vu_on_set_features(struct vu_session *s, struct vu_msg *m);
int vu_on_get_protocol_features(struct vu_session *s, struct vu_msg *m);
int vu_on_set_protocol_features(struct vu_session *s, struct vu_msg *m);
int vu_on_get_queue_num(struct vu_session *s, struct vu_msg *m);
int vu_on_set_mem_table(struct vu_session *s, struct vu_msg *m);
int vu_on_set_vring_num(struct vu_session *s, struct vu_msg *m);
int vu_on_set_vring_addr(struct vu_session *s, struct vu_msg *m);
int vu_on_set_vring_base(struct vu_session *s, struct vu_msg *m);
int vu_on_get_vring_base(struct vu_session *s, struct vu_msg *m);
int vu_on_set_vring_kick(struct vu_session *s, struct vu_msg *m);
int vu_on_set_vring_call(struct vu_session *s, struct vu_msg *m);
int vu_on_set_vring_err(struct vu_session *s, struct vu_msg *m);
int vu_on_set_vring_enable(struct vu_session *s, struct vu_msg *m);
int vu_on_net_set_mtu(struct vu_session *s, struct vu_msg *m);
int vu_on_reset_device(struct vu_session *s, struct vu_msg *m);
int vu_on_set_status(struct vu_session *s, struct vu_msg *m);
int vu_on_get_status(struct vu_session *s, struct vu_msg *m);

/* A line in the log about this front-end, as often as a peer may cause one. */
void vu_complain(const struct vu_session *s, const char *fmt, ...) RW_PRINTF(2, 3);
