/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What the files of this library share.
 *
 * conn.c collects bytes and descriptors into the connection's one struct vu_msg. table.c checks it
 * against its row and calls a handler, which changes the session and leaves the reply, if there is
 * one, in the message's payload. session.c calls both from the loop. Each file of handlers has one
 * subject. export.c carries a session to another owner.
 *
 * Thread: control.
 */
#include <errno.h>
#include <sys/types.h>

#include "vu_export.h"
#include "vu_session.h"

struct vu_conn;    /* partial messages and their descriptors: conn.c */
struct vu_channel; /* messages to the front-end and their answers: channel.c */
struct vu_state;   /* a transfer of device state that is under way: state.c */

/* The in-flight buffer: a region for each ring, `stride` bytes apart. */
struct vu_inflight {
	int fd; /* -1: there is none */
	uint64_t offset;
	struct gm_file file;
	uint8_t *base; /* in `file`; NULL: there is none */
	uint64_t size; /* bytes at `base` */
	uint64_t stride;
	uint16_t nrings;
	uint16_t num; /* entries of each ring it has room for */
};

struct vu_session {
	const struct vu_ops *ops;
	void *dev;
	struct vu_offer offer;
	const char *name; /* for log lines; the owner's */

	struct rw_loop *loop;
	struct rw_turn turn; /* queued while messages may have arrived */
	struct vu_conn *conn;
	uint64_t features;          /* acknowledged by SET_FEATURES */
	uint64_t protocol_features; /* acknowledged by SET_PROTOCOL_FEATURES */
	struct gm_owner owner;      /* of all that is mapped for this session */
	struct gm_map *mem;         /* NULL before the first SET_MEM_TABLE */
	struct gm_iotlb *iotlb;     /* NULL until SET_FEATURES acknowledged ACCESS_PLATFORM */
	struct dl_log *log;         /* NULL: no SET_LOG_BASE */
	int log_mem_fd;             /* the file of SET_LOG_BASE, -1: none */
	uint64_t log_offset;        /* where in it the log begins */
	int log_fd;                 /* eventfd of SET_LOG_FD, -1: none */
	struct vu_inflight inflight;
	struct vu_channel *channel; /* NULL: no SET_BACKEND_REQ_FD */
	struct vu_state *state;     /* NULL: no transfer */
	enum vu_postcopy postcopy;
	int ufd;               /* userfaultfd, -1: none */
	bool mem_unacked;      /* postcopy: the front-end has yet to confirm the table */
	uint16_t mtu;          /* 0: not said */
	uint8_t status;        /* virtio device status, as last set */
	uint32_t nrings;       /* one more than the highest ring index ever named */
	bool features_set;     /* SET_FEATURES was seen */
	bool features_refused; /* the last SET_FEATURES was not acceptable */
	bool waiting;          /* no message is read or carried out until vu_session_retry */
	bool over;             /* the session ends: nobody wants what is still under way */
	struct vu_ring rings[VU_MAX_RINGS];
};

/*
 * Payloads that are longer than VU_MAX_PAYLOAD, but not than this, are read and refused. A longer
 * one closes the connection.
 */
#define VU_MAX_DRAIN 4096

struct vu_msg {
	struct vu_header hdr;
	union vu_payload payload; /* zero beyond what was sent; later the reply */
	int fds[VU_MAX_FDS];      /* -1: a handler has taken it over */
	unsigned nfds;
	bool fds_lost;   /* more came than fit here, or than we may open */
	bool over;       /* its descriptors exceeded the budget and are closed */
	unsigned ring;   /* the ring it names; set by the table */
	const char *why; /* why it is refused, for the log; NULL: see errno */

	bool answered;       /* a handler has called vu_answer */
	uint32_t answer_len; /* bytes of the payload that are the reply */
	int answer_fd;       /* goes with the reply, stays the session's; -1: none */
};

struct vu_conn {
	int fd;
	struct rw_helper *helper; /* closes what comes in */
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
struct vu_conn *vu_conn_new(int fd, struct rw_helper *helper);
void vu_conn_free(struct vu_conn *c);
/* Read on, never further than the end of the present message. */
int vu_conn_read(struct vu_conn *c);
/* The present message is done with: close what is left of its descriptors, begin the next one. */
void vu_conn_next(struct vu_conn *c);
/* Close the present message's descriptors: the budget does not allow them. It will be refused. */
void vu_conn_shed(struct vu_conn *c);
/* Answer the present message, with a descriptor unless `fd` is -1. 0 or -errno. */
int vu_conn_reply(struct vu_conn *c, const void *payload, uint32_t len, int fd);

/* The message's descriptor `i`, which is the caller's from now on. */
int vu_msg_take_fd(struct vu_msg *m, unsigned i);
/*
 * The message's eventfd, which is the caller's from now on; -1 in `*out` when
 * its payload says that none came. 0 or -errno.
 */
int vu_msg_take_eventfd(struct vu_msg *m, int *out);

/* Note why `m` is refused; returns `err`, a negative errno. */
static inline int vu_refuse(struct vu_msg *m, int err, const char *why)
{
	m->why = why;
	return err;
}

/* Note why a file that came with `m` cannot be mapped; returns `err`. */
static inline int vu_refuse_file(struct vu_msg *m, int err)
{
	if (err == -EMEDIUMTYPE)
		m->why = "the file is neither in tmpfs (a memfd) nor in hugetlbfs";
	else if (err == -ENXIO)
		m->why = "past the end of the file";
	else if (err == -ENOMEM)
		m->why = "no memory: are there enough huge pages?";
	return err;
}

/* Reply with the first `len` bytes of the payload, and with `fd` unless it is -1. */
static inline void vu_answer(struct vu_msg *m, uint32_t len, int fd)
{
	m->answered = true;
	m->answer_len = len;
	m->answer_fd = fd;
}

/* Result of vu_dispatch besides 0 and -errno: rings cannot be paused yet, call it again. */
#define VU_LATER 1

/* Check, run and answer the complete message of the connection. -errno: the session is over. */
int vu_dispatch(struct vu_session *s);

/*
 * Carry out what has arrived on the connection, one slice of it (rw_loop.h); a turn goes on with
 * the rest. The session may be over, and freed, after it.
 * Answers that the channel holds are delivered once nothing is left to read: what the front-end
 * wrote before them comes first.
 */
void vu_serve(struct vu_session *s);

/* budget.c */

/*
 * Charge the descriptors that the session holds now. -EDQUOT: they are more than the budget allows,
 * and what was charged before still is.
 */
int vu_budget_fds(struct vu_session *s);
/* Before one is opened that no message brought. 0 or -EDQUOT. */
int vu_budget_fd(const struct vu_session *s);
/* Whether the memory table may have `n` regions. 0 or -EDQUOT. */
int vu_budget_slots(const struct vu_session *s, uint32_t n);
/* Note how many regions and IOTLB entries there are now. */
void vu_budget_note(struct vu_session *s);

/* channel.c, state.c: descriptors. */
unsigned vu_channel_fds(const struct vu_session *s);
unsigned vu_state_fds(const struct vu_session *s);
/* Whether the helper reads an answer of the front-end at this moment. */
bool vu_channel_reads(const struct vu_session *s);

/* ring.c */

/* A ring as it is before the front-end says anything about it. */
void vu_ring_init(struct vu_ring *r);
/* Close its descriptors and forget all about it. */
/* The device is reset: as vu_ring_reset, but the descriptors for calls and errors stay. */
void vu_ring_restart(struct vu_session *s, struct vu_ring *r);
void vu_ring_reset(struct vu_session *s, struct vu_ring *r);
/* Where a ring begins if the front-end never said: entry 0, packed rings in their first lap. */
uint32_t vu_ring_first_base(const struct vu_session *s);
/* Whether nothing is missing. vu_ring_ready also checks that the parts fit. */
bool vu_ring_complete(const struct vu_session *s, unsigned i);
/* Whether any ring is ready. */
bool vu_rings_run(const struct vu_session *s);

/* call.c */

/*
 * Make rings [first, first + n), which are paused, call in-band exactly if they should. 0, or
 * -errno when a ring has no way to call now.
 */
int vu_calls_sync(struct vu_session *s, unsigned first, unsigned n);
/* Turn what workers have written so far into messages; their rings rest. */
void vu_calls_forward(struct vu_session *s);
/* Close the call descriptor, the front-end's or our own. */
void vu_call_close(struct vu_session *s, struct vu_ring *r);

/* channel.c */

/* Harmless when there is none. */
void vu_channel_free(struct vu_session *s);
/* Do not deliver the answers to the questions that are open. */
void vu_channel_forget(struct vu_session *s);
/* Deliver the answers that were read so far to the owner. */
void vu_channel_deliver(struct vu_session *s);
/* Send BACKEND_VRING_CALL or _ERR for ring `i`. Those that wait become one message. */
void vu_channel_call(struct vu_session *s, unsigned i);
void vu_channel_error(struct vu_session *s, unsigned i);

/*
 * Fill in `out`, which has no descriptors yet; and the other way round, for a session without a
 * channel. What an export holds stays its own. 0 or -errno; what was done by then is left to
 * vu_export_free or vu_channel_free.
 */
int vu_channel_export(const struct vu_session *s, struct vu_export_channel *out);
int vu_channel_adopt(struct vu_session *s, const struct vu_export_channel *from);

/*
 * Descriptors that bytes can bring (SCM_MAX_FD of Linux). There is room for all of them: what does
 * not fit the kernel would close in the thread that reads, and that can wait.
 */
#define VU_MAX_SENT_FDS 253

struct vu_received {
	void *bytes; /* where to put them, and how many at most */
	size_t len;
	int fds[VU_MAX_SENT_FDS];
	unsigned nfds;
	bool fds_lost; /* more came than this process may open */
};

/*
 * conn.c: read from a socket without waiting for bytes. How many, 0 at the end, or -errno. The
 * descriptors are the caller's. Thread: any.
 */
ssize_t vu_receive(int fd, struct vu_received *in);

/* Whether `fd` is a stream socket of AF_UNIX. */
bool vu_is_unix_stream(int fd);

/* A copy of `fd`, or -1 of -1. 0 or -errno. */
int vu_fd_copy(int fd, int *out);

/* inflight.c, migration.c, state.c: the parts of an export; as above. */
int vu_inflight_export(const struct vu_session *s, struct vu_export_inflight *out);
int vu_inflight_adopt(struct vu_session *s, const struct vu_export_inflight *from);
int vu_log_export(const struct vu_session *s, struct vu_export_log *out);
int vu_log_adopt(struct vu_session *s, const struct vu_export_log *from);
/* -EBUSY: a transfer is under way. */
int vu_state_export(struct vu_session *s, struct vu_export *out);
int vu_state_adopt(struct vu_session *s, const struct vu_export *from);

/* session.c */

/* A session without a connection: for vu_session_free or session_begin. NULL: no memory. */
struct vu_session *vu_session_alloc(struct rw_loop *loop, const struct vu_offer *offer,
	const struct vu_ops *ops, void *dev, const char *name);
/*
 * Take over the connected socket `fd`, and serve it for `events`. 0 or -errno: `fd` is untouched.
 */
int vu_session_connect(struct vu_session *s, int fd, uint32_t events);
/* Give back all that the session holds but itself. */
void vu_session_release(struct vu_session *s);

/* Close a descriptor of the front-end; -1: none. */
static inline void vu_close(const struct vu_session *s, int fd)
{
	rw_helper_close(s->offer.helper, fd);
}

/* table.c: let rings [first, first + n) go on. 0 or -errno, and `*why`. */
int vu_rings_resume(struct vu_session *s, unsigned first, unsigned n, const char **why);

/* inflight.c, migration.c, state.c: release; harmless when there is nothing. */
void vu_inflight_release(struct vu_session *s);
void vu_log_release(struct vu_session *s);
void vu_postcopy_release(struct vu_session *s);
void vu_state_release(struct vu_session *s);

/*
 * The handlers. The table has checked size, descriptors and ring index, and the rings that its row
 * names rest. 0, or -errno with the session unchanged. One whose row pauses no ring may return
 * VU_LATER: it is called again after vu_session_retry.
 */
typedef int vu_handler(struct vu_session *s, struct vu_msg *m);

/* features.c */
vu_handler vu_on_owner;
vu_handler vu_on_get_features;
vu_handler vu_on_set_features;
vu_handler vu_on_get_protocol_features;
vu_handler vu_on_set_protocol_features;
vu_handler vu_on_get_queue_num;
vu_handler vu_on_net_set_mtu;
vu_handler vu_on_reset_device;
vu_handler vu_on_set_status;
vu_handler vu_on_get_status;
/* ring.c */
vu_handler vu_on_set_vring_num;
vu_handler vu_on_set_vring_addr;
vu_handler vu_on_set_vring_base;
vu_handler vu_on_get_vring_base;
void vu_after_get_vring_base(struct vu_session *s, unsigned ring);
vu_handler vu_on_set_vring_kick;
vu_handler vu_on_set_vring_call;
vu_handler vu_on_set_vring_err;
vu_handler vu_on_set_vring_enable;
vu_handler vu_on_set_vring_endian;
vu_handler vu_on_vring_kick;
/* memory.c */
bool vu_mem_table_is_known(const struct vu_session *s, const struct vu_msg *m);
vu_handler vu_on_set_mem_table;
vu_handler vu_on_get_max_mem_slots;
vu_handler vu_on_add_mem_reg;
vu_handler vu_on_rem_mem_reg;
vu_handler vu_on_mem_ack;
vu_handler vu_on_iotlb;
/* migration.c */
vu_handler vu_on_set_log_base;
vu_handler vu_on_set_log_fd;
vu_handler vu_on_send_rarp;
vu_handler vu_on_postcopy_advise;
vu_handler vu_on_postcopy_listen;
vu_handler vu_on_postcopy_end;
/* config.c */
vu_handler vu_on_get_config;
vu_handler vu_on_set_config;
/* inflight.c */
vu_handler vu_on_get_inflight_fd;
vu_handler vu_on_set_inflight_fd;
/* state.c */
vu_handler vu_on_set_device_state_fd;
vu_handler vu_on_check_device_state;
/* channel.c */
vu_handler vu_on_set_backend_req_fd;

/* Tell the owner in one line what this front-end did wrong. */
void vu_complain(const struct vu_session *s, const char *fmt, ...) RW_PRINTF(2, 3);
