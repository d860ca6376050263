/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * One front-end's session: what it negotiated, its memory and the state of its rings. The protocol
 * says where a ring is; whoever owns the session (a driver) moves frames through it.
 *
 * Every message is a row of one table (table.c): handler, payload size, descriptors, and which
 * rings must rest while it is carried out. The session pauses those rings, calls the handler and
 * resumes the rings; the owner compares the session's ring with what it runs and makes the two
 * agree. So there is one way to start, stop, move or change a ring, whatever message asked for it.
 *
 * A message that fails gets the reply that its kind has for failure: an error value, or an empty
 * reply. A message that has no reply gets a negative acknowledgement if the front-end asked for an
 * acknowledgement (REPLY_ACK); otherwise the connection is closed. Nothing that a front-end sends
 * ends or delays any session but its own.
 *
 * The session is opaque: its owner reads it by the functions below.
 *
 * Thread: control. The process ignores SIGPIPE: device state is written to pipes.
 */
#include "dirty_log.h"
#include "gm_iotlb.h"
#include "guest_mem.h"
#include "rw_budget.h"
#include "rw_helper.h"
#include "rw_loop.h"
#include "vu_wire.h"

/* 128 queue pairs. */
#define VU_MAX_RINGS 256

/* A ring as the protocol describes it (vhost-user, "Ring states"). */
struct vu_ring {
	uint32_t num;              /* entries; 0: not said yet */
	uint32_t base;             /* where the ring goes on, coded as in SET_VRING_BASE */
	struct vu_vring_addr addr; /* valid when addr_set */
	int kick_fd;               /* -1: none */
	bool kick_polled;          /* SET_VRING_KICK said that there is none: the ring is polled */
	int call_fd;               /* -1: the guest polls */
	int err_fd;                /* -1: none */
	struct vu_call *call; /* call_fd is our own eventfd, for calls in-band; NULL: it is not */
	bool call_given;      /* SET_VRING_CALL said how to call: never in-band */
	bool addr_set;
	bool base_set; /* `base` was given or reported; otherwise it follows the ring format */
	bool started;  /* kicked, or set to be polled, since the last GET_VRING_BASE */
	bool enabled;  /* the ring may carry frames */
	bool swap;     /* SET_VRING_ENDIAN said big-endian; only legacy devices have a choice */
};

struct vu_session;
struct vu_call; /* an eventfd of ours that stands for BACKEND_VRING_CALL: call.c */

/* How far a postcopy migration of this guest has come. */
enum vu_postcopy {
	VU_POSTCOPY_NONE,
	VU_POSTCOPY_ADVISED,   /* the userfaultfd is open; nothing changes yet */
	VU_POSTCOPY_LISTENING, /* pages may be missing: an access to one waits for the source */
};

/*
 * What a session asks of its owner. `dev` is the owner's pointer. Unless stated otherwise, no
 * function may block, free the session or call a function that changes it. A function for a feature
 * that is not offered may be NULL.
 */
struct vu_ops {
	/*
	 * Bring rings [first, first + n) to rest. On return no thread touches them, nothing of
	 * theirs is mapped, and the owner has called vu_ring_rested for each that ran. Harmless on
	 * rings that rest. By the following rings_resume the descriptors that the session held
	 * before may be gone, and so may its memory if all rings were paused.
	 *
	 * False: not yet, a thread waits for a page of the guest (postcopy). The session then reads
	 * nothing until the owner calls vu_session_retry, and asks again. When the session ends, it
	 * detaches the memory (gm_map_detach) and asks a last time: the answer must be true.
	 */
	bool (*rings_pause)(void *dev, unsigned first, unsigned n);
	/*
	 * Make rings [first, first + n) agree with the session: start those for which
	 * vu_ring_ready is true, with the session's present memory, features and descriptors. 0, or
	 * -errno when a ring is malformed or cannot be mapped: it then stays at rest. A ring that
	 * waits for the IOTLB is no failure.
	 */
	int (*rings_resume)(void *dev, unsigned first, unsigned n);
	/*
	 * GET_VRING_BASE was answered: the front-end knows where ring `ring` stopped, and may start
	 * it elsewhere. A record of what is in flight must not contradict that.
	 */
	void (*ring_stopped)(void *dev, unsigned ring);
	/* VRING_KICK: the guest kicks, in-band, a ring that has started. */
	void (*ring_kicked)(void *dev, unsigned ring);
	/* The front-end's MTU, 68 to 65535 bytes, for information. */
	void (*mtu_changed)(void *dev, uint16_t mtu);
	/* SEND_RARP: the guest with this address is here now. The address is not checked. */
	void (*rarp_wanted)(void *dev, const uint8_t mac[6]);

	/*
	 * The IOTLB has new entries, or there is a new channel for questions: whoever waits may try
	 * again, or ask what could not be asked before. Rings run meanwhile. May call
	 * vu_iotlb_miss.
	 */
	void (*iotlb_updated)(void *dev);
	/*
	 * [iova, iova + size) has left the IOTLB; size 0, or one that wraps: up to the end of the
	 * address space. On return every worker has passed a quiescent point, so that none touches
	 * memory through the range, and the owner has paused the rings that lie in it. False: not
	 * yet, as with rings_pause; it is called again then.
	 */
	bool (*iotlb_invalidated)(void *dev, uint64_t iova, uint64_t size);
	/*
	 * The front-end has answered the vu_iotlb_miss of this cookie; an update that it sent for
	 * it has been carried out. Without REPLY_ACK there are no answers, only iotlb_updated.
	 * Questions that are open when the channel breaks are asked again on the next one. May call
	 * vu_iotlb_miss.
	 */
	void (*iotlb_answered)(void *dev, uint64_t cookie, bool ok);
	/*
	 * Every worker has passed a quiescent point since the first call. False: not yet, as above.
	 */
	bool (*quiesce)(void *dev);

	/*
	 * The front-end broke a rule, or something that it asked for failed: one line for the log,
	 * without the session's name. A front-end can cause any number of them, so the owner limits
	 * them, in a place that outlives the session. NULL: nobody wants to know.
	 */
	void (*complained)(void *dev, const char *line);

	/* Bytes of one ring's region in the in-flight buffer, a multiple of 64. */
	uint64_t (*inflight_bytes)(void *dev, uint16_t num);

	/*
	 * Write the device configuration space (virtio 1.2, 5.1.4) to `out`, which has
	 * VU_CONFIG_MAX bytes of zero. Its length.
	 */
	uint32_t (*config_read)(void *dev, void *out);
	/*
	 * Write [offset, offset + len), in range. `migration`: read-only fields too. 0 or -errno.
	 */
	int (*config_write)(
		void *dev, uint32_t offset, const void *data, uint32_t len, bool migration);

	/*
	 * What travels with a migrated guest: malloc'd, freed by the session. Its length, or
	 * -errno.
	 */
	int (*state_save)(void *dev, void **out);
	/*
	 * Take over what state_save of another back-end wrote. 0 or -errno: nothing was taken over.
	 */
	int (*state_load)(void *dev, const void *data, uint32_t len);
	/*
	 * The session is over: rings rest, descriptors are closed, memory is unmapped. The owner
	 * may free the session in here. `reason`: 0, the front-end closed the socket; or -errno.
	 */
	void (*closed)(void *dev, int reason);
};

/* The longest state that vu_ops.state_load is given, bytes; longer ones are refused. */
#define VU_STATE_MAX (1u << 20)

/* The helper's slots: the eventfds of a session that are signalled, those of ring i at + i. */
enum vu_slot {
	VU_SLOT_CALL,
	VU_SLOT_ERR = VU_MAX_RINGS,
	VU_SLOT_LOG = 2 * VU_MAX_RINGS,
	VU_SLOTS,
};

/* What the back-end offers; constant for a session's life. */
struct vu_offer {
	uint64_t features;          /* virtio feature bits, VU_F_PROTOCOL_FEATURES included */
	uint64_t protocol_features; /* bits of enum vu_protocol_feature */
	uint16_t max_pairs;         /* answer to GET_QUEUE_NUM; at most VU_MAX_RINGS / 2 */
	uint16_t max_ring_size;     /* entries; at most 32768 */
	bool any_file;              /* see struct gm_owner */
	struct rw_budgets *budgets; /* what it may take; outlive the session. NULL: anything */
	/*
	 * Makes the calls on the front-end's descriptors that can wait; has VU_SLOTS slots and
	 * outlives the session. NULL: the session makes them itself, for a front-end that is
	 * trusted.
	 */
	struct rw_helper *helper;
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
 * vu_ops.rings_pause can succeed now, after it has said "not yet": carry out the message that
 * waits, and those behind it. Harmless when none waits. As any message, it may end the session
 * (vu_ops.closed).
 */
void vu_session_retry(struct vu_session *s);

/*
 * End the session if memory that the front-end shared has vanished (gm_guard.h): every ring rests
 * then, and vu_ops.closed is called with -EFAULT. The session itself looks after each message.
 */
void vu_session_end_if_lost(struct vu_session *s);

/*
 * Ask the front-end for the translation of `iova`, one page or more, with permission GM_READ or
 * GM_WRITE. Never waits. 0; -ENOTCONN: there is no back-end channel; -EAGAIN: too many questions
 * are open, ask again later. `cookie` comes back with the answer: a guest may reuse an address at
 * once, so the address alone does not tell which question is answered.
 */
int vu_iotlb_miss(struct vu_session *s, uint64_t iova, uint8_t perm, uint64_t cookie);
/* The configuration space changed. As vu_iotlb_miss; -EOPNOTSUPP without CONFIG. */
int vu_config_changed(struct vu_session *s);
/* Tell the front-end that ring `i` cannot go on: by its error eventfd, or in-band. */
void vu_ring_error(struct vu_session *s, unsigned i);

/*
 * In vu_ops.rings_pause, for a ring that moved: it rests, and `base` says where to go on. Coded as
 * in SET_VRING_BASE.
 */
void vu_ring_rested(struct vu_session *s, unsigned i, uint32_t base);

/*
 * What the front-end said so far. Pointers are valid until control returns to the loop; what is
 * behind them belongs to the session.
 */
uint64_t vu_features(const struct vu_session *s);          /* acknowledged by SET_FEATURES */
uint64_t vu_protocol_features(const struct vu_session *s); /* by SET_PROTOCOL_FEATURES */
bool vu_has_feature(const struct vu_session *s, unsigned bit);
bool vu_has_protocol_feature(const struct vu_session *s, unsigned bit);
/* The memory table; NULL before the first SET_MEM_TABLE. */
const struct gm_map *vu_mem(const struct vu_session *s);
/* Of all that is mapped for it: says whether memory has vanished. */
const struct gm_owner *vu_owner(const struct vu_session *s);
/* NULL unless ACCESS_PLATFORM was acknowledged. */
const struct gm_iotlb *vu_iotlb(const struct vu_session *s);
/* The dirty log, for batches to mark in; NULL before SET_LOG_BASE. */
struct dl_log *vu_log(const struct vu_session *s);
/* One more than the highest ring index that the front-end has named. */
unsigned vu_nrings(const struct vu_session *s);
const struct vu_ring *vu_ring(const struct vu_session *s, unsigned i);
uint16_t vu_mtu(const struct vu_session *s);   /* 0: not said */
uint8_t vu_status(const struct vu_session *s); /* virtio device status */
enum vu_postcopy vu_postcopy_state(const struct vu_session *s);
/* The front-end has given us a back-end channel, which may be broken by now. */
bool vu_has_channel(const struct vu_session *s);
/* A message waits for vu_session_retry. */
bool vu_is_waiting(const struct vu_session *s);
/* The session ends: nobody is interested in what is still under way. */
bool vu_is_over(const struct vu_session *s);

/* The in-flight buffer, all zero when there is none. */
struct vu_inflight_size {
	uint64_t bytes;
	uint16_t nrings;
	uint16_t num; /* entries of each ring that it has room for */
};
struct vu_inflight_size vu_inflight_size(const struct vu_session *s);

/* Write to the eventfd of SET_LOG_FD, if there is one: the dirty log may have changed. */
void vu_log_signal(const struct vu_session *s);

/* The address space of rings: I/O virtual, guest-physical, or the front-end's user addresses. */
struct gm_space vu_ring_space(const struct vu_session *s);
/* Ring `i`'s region of the in-flight buffer, or NULL. */
void *vu_ring_inflight(const struct vu_session *s, unsigned i);
/* Whether writes to buffers are logged (VHOST_F_LOG_ALL), and to ring `i`. */
bool vu_logs_buffers(const struct vu_session *s);
bool vu_logs_ring(const struct vu_session *s, unsigned i);

/* "REPLY_ACK" and so on; NULL: no protocol feature has that bit. */
const char *vu_protocol_feature_name(unsigned bit);

/*
 * Whether ring `i` may run: size, addresses, kick, memory and features are there, and size, base
 * and alignment suit the ring format. Whether the ring lies in memory from end to end, and whether
 * a packed ring's indices are below its size, shows when it is mapped.
 */
bool vu_ring_ready(const struct vu_session *s, unsigned i);

/* The name of a request ("SET_VRING_ADDR"), or NULL when it is unknown. */
const char *vu_request_name(uint32_t request);
