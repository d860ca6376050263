/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The front-end's end of a vhost-user connection: blocking, each wait bounded by a timeout. It
 * sends what it is told to, sense or nonsense; judging is the back-end's part.
 *
 * Functions that send a request and are due an answer return 0, or -EREMOTEIO    the back-end
 * refused it (a non-zero acknowledgement); -ECONNRESET   the back-end closed the connection;
 * -ETIMEDOUT    no answer in time; -EPROTO       an answer that is not one to this request;
 * or what the system call said. A request without an answer of its own is acknowledged when
 * REPLY_ACK
 * was negotiated through fe_conn_set, else it returns as soon as it is sent.
 *
 * Thread: one at a time for a connection.
 */
#include "rw_base.h"
#include "vu_wire.h"

struct fe_conn {
	int fd;                     /* -1: not connected */
	int timeout_ms;             /* of each wait for the peer */
	uint64_t protocol_features; /* as last sent by fe_conn_set */
	bool no_ack;                /* do not ask for acknowledgements though REPLY_ACK allows it */
};

struct fe_msg {
	struct vu_header header;
	union vu_payload payload;
	int fds[VU_MAX_FDS];
	uint32_t nfds;
};

#define FE_TIMEOUT_MS 5000

/* A connection on socket `fd` (-1: none yet), which it takes over. */
void fe_conn_init(struct fe_conn *c, int fd);

/* Connect to the socket at `path`. 0 or -errno. */
int fe_conn_open(struct fe_conn *c, const char *path);

/*
 * The other way round: a listening socket at `path`, for back-ends that connect; an old file there
 * is removed. The descriptor, or -errno. fe_conn_accept waits timeout_ms for a connection on it.
 */
int fe_conn_listen(const char *path);
int fe_conn_accept(struct fe_conn *c, int listen_fd, int timeout_ms);

/* Harmless when not connected. */
void fe_conn_close(struct fe_conn *c);

/*
 * 0 when the peer closes within the timeout; -ETIMEDOUT; -EPROTO when it sends something instead.
 */
int fe_conn_wait_closed(struct fe_conn *c);

/* Send bytes as they are, descriptors along with the first. 0 or -errno. */
int fe_conn_send_bytes(
	struct fe_conn *c, const void *bytes, size_t len, const int *fds, uint32_t nfds);

/* Send a message as it is, header.size bytes of payload at most VU_MAX_PAYLOAD. 0 or -errno. */
int fe_conn_send(struct fe_conn *c, const struct fe_msg *msg);

/* Receive one message. Its descriptors, if any, are the caller's. 0 or -errno. */
int fe_conn_recv(struct fe_conn *c, struct fe_msg *msg);

/* Close the descriptors of a received message. */
void fe_msg_drop_fds(struct fe_msg *msg);

/*
 * Send `msg` and wait for its reply. header.version is filled in; header.size must be that wanted.
 */
int fe_conn_ask(struct fe_conn *c, struct fe_msg *msg, struct fe_msg *reply);

/* The same where descriptors may come back: they are the caller's. Elsewhere they are -EPROTO. */
int fe_conn_ask_fds(struct fe_conn *c, struct fe_msg *msg, struct fe_msg *reply);

/* Send `msg`; wait for its acknowledgement if one may be asked for. */
int fe_conn_tell(struct fe_conn *c, struct fe_msg *msg);

/* GET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_MAX_MEM_SLOTS, GET_STATUS. */
int fe_conn_get(struct fe_conn *c, enum vu_request request, uint64_t *value);

/* SET_FEATURES, SET_PROTOCOL_FEATURES, NET_SET_MTU, SET_STATUS. */
int fe_conn_set(struct fe_conn *c, enum vu_request request, uint64_t value);

/* SET_OWNER, RESET_OWNER, RESET_DEVICE, POSTCOPY_LISTEN. */
int fe_conn_order(struct fe_conn *c, enum vu_request request);

/* SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE, SET_VRING_ENDIAN (1: big), VRING_KICK (0). */
int fe_conn_set_ring(struct fe_conn *c, enum vu_request request, uint32_t index, uint32_t num);

/* SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR; fd -1 says that there is none. */
int fe_conn_set_ring_fd(struct fe_conn *c, enum vu_request request, uint32_t index, int fd);

int fe_conn_set_ring_addr(struct fe_conn *c, const struct vu_vring_addr *addr);

/* GET_VRING_BASE; `base` is coded as in SET_VRING_BASE. */
int fe_conn_get_base(struct fe_conn *c, uint32_t index, uint32_t *base);

/* SET_MEM_TABLE with one descriptor for each region. */
int fe_conn_set_mem(struct fe_conn *c, const struct vu_mem_table *table, const int *fds);

/*
 * Memory by slots: ADD_MEM_REG with its descriptor; REM_MEM_REG, which a peer may send with one,
 * too (-1: without).
 */
int fe_conn_add_mem(struct fe_conn *c, const struct vu_mem_region *region, int fd);
int fe_conn_rem_mem(struct fe_conn *c, const struct vu_mem_region *region, int fd);

/*
 * How front-ends send SET_LOG_BASE; they disagree. With LOG_SHMFD the request is answered.
 */
enum fe_log_style {
	FE_LOG_ECHO, /* as rust-vmm: need_reply is set, and {size, offset} must come back */
	FE_LOG_QEMU, /* none is asked for, and an answer of any size will do */
	FE_LOG_MUTE, /* as QEMU without LOG_SHMFD: no descriptor, no answer of its own */
};

/* The bitmap is `log->size` bytes at `log->offset` of `fd`. */
int fe_conn_set_log(
	struct fe_conn *c, const struct vu_log_base *log, int fd, enum fe_log_style style);

/* SET_LOG_FD: an eventfd. -1: the message without one, which is wrong. */
int fe_conn_set_log_fd(struct fe_conn *c, int fd);

/* SEND_RARP. */
int fe_conn_rarp(struct fe_conn *c, const uint8_t mac[6]);

/* SET_BACKEND_REQ_FD: the back-end's end of the channel; our copy stays the caller's. */
int fe_conn_set_channel(struct fe_conn *c, int fd);

/* IOTLB_MSG: an update or invalidation. Answered always, as QEMU has it. */
int fe_conn_iotlb(struct fe_conn *c, const struct vu_iotlb *iotlb);

/*
 * GET_CONFIG: `size` bytes at `offset`; -EREMOTEIO for the answer of size 0. SET_CONFIG: `flags` is
 * VU_CONFIG_WRITABLE or VU_CONFIG_MIGRATION. -EINVAL when it is more than VU_CONFIG_MAX.
 */
int fe_conn_get_config(struct fe_conn *c, uint32_t offset, uint32_t size, void *data);
int fe_conn_set_config(
	struct fe_conn *c, uint32_t offset, uint32_t size, uint32_t flags, const void *data);

/* GET_INFLIGHT_FD: `desc` says what is wanted and then what there is; `fd` is the caller's. */
int fe_conn_get_inflight(struct fe_conn *c, struct vu_inflight_desc *desc, int *fd);
int fe_conn_set_inflight(struct fe_conn *c, const struct vu_inflight_desc *desc, int fd);

/* POSTCOPY_ADVISE: the back-end's userfaultfd is the caller's. -EREMOTEIO: it sent none. */
int fe_conn_postcopy_advise(struct fe_conn *c, int *ufd);
/* POSTCOPY_END. */
int fe_conn_postcopy_end(struct fe_conn *c);

/*
 * Once the back-end listens, it answers what shares memory with its own address of each region
 * (`bases`), and waits with touching it for fe_conn_mem_ready: one for a table, and one for a
 * series of slots. `request` is the one that shared it.
 */
int fe_conn_set_mem_postcopy(
	struct fe_conn *c, const struct vu_mem_table *table, const int *fds, uint64_t *bases);
int fe_conn_add_mem_postcopy(
	struct fe_conn *c, const struct vu_mem_region *region, int fd, uint64_t *base);
int fe_conn_mem_ready(struct fe_conn *c, enum vu_request request);

/*
 * SET_DEVICE_STATE_FD: the back-end reads from or writes to `fd`, ours of which stays the caller's,
 * or sends a descriptor of its own to use instead (`*back`, else -1). CHECK_DEVICE_STATE: whether
 * the transfer went well.
 */
int fe_conn_set_state_fd(struct fe_conn *c, uint32_t direction, int fd, int *back);
int fe_conn_check_state(struct fe_conn *c);

/* A request that has no function here: any payload, descriptors, and how it is answered. */
struct fe_raw {
	uint32_t request;
	uint32_t len; /* bytes of payload */
	const void *payload;
	const int *fds;
	uint32_t nfds;
};

/*
 * Send it. `reply` NULL: it is acknowledged if that may be asked for; else the reply to it, whose
 * descriptors are the caller's.
 */
int fe_conn_raw(struct fe_conn *c, const struct fe_raw *raw, struct fe_msg *reply);
