/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The front-end's end of a vhost-user connection. Calls block, each wait at most for a timeout. It
 * sends what the caller passes, valid or not; the back-end has to check it.
 *
 * Functions that send a request and expect an answer return 0, the error of a system call, or:
 * - -EREMOTEIO: the back-end refused the request (a non-zero acknowledgement);
 * - -ECONNRESET: the back-end closed the connection;
 * - -ETIMEDOUT: no answer came in time;
 * - -EPROTO: the answer does not belong to this request.
 *
 * A request that has no reply is acknowledged if REPLY_ACK was negotiated through fe_conn_set;
 * otherwise the function returns as soon as the request is sent.
 *
 * Thread: one at a time for a connection.
 */
#include "rw_base.h"
#include "vu_wire.h"

/* The bit of a feature in its word. */
#define FE_BIT(n) (1ull << (n))

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

/* Initialise a connection on socket `fd` (-1: none yet). The connection owns `fd` from then on. */
void fe_conn_init(struct fe_conn *c, int fd);

/* Connect to the socket at `path`. Returns 0 or -errno. */
int fe_conn_open(struct fe_conn *c, const char *path);

/*
 * The other way round: listen at `path` for back-ends that connect. A socket that is left there is
 * replaced. Returns the listening socket, which the caller owns, or -errno; -EADDRINUSE: there is
 * something else.
 */
int fe_conn_listen(const char *path);

/*
 * Wait for a connection at a listening socket. Returns 0 or -errno; -ETIMEDOUT; -EINTR: a signal
 * came first.
 */
int fe_conn_accept(struct fe_conn *c, int listen_fd, int timeout_ms);

/* Close the connection. Harmless when not connected. */
void fe_conn_close(struct fe_conn *c);

/* Send bytes unchanged, with file descriptors on the first one. Returns 0 or -errno. */
int fe_conn_send_bytes(
	struct fe_conn *c, const void *bytes, size_t len, const int *fds, uint32_t nfds);

/*
 * Send a message unchanged, with header.size bytes of payload, at most VU_MAX_PAYLOAD. Returns 0 or
 * -errno.
 */
int fe_conn_send(struct fe_conn *c, const struct fe_msg *msg);

/* Receive one message. The caller owns its file descriptors, if any. Returns 0 or -errno. */
int fe_conn_recv(struct fe_conn *c, struct fe_msg *msg);

/* Close the file descriptors of a received message. */
void fe_msg_drop_fds(struct fe_msg *msg);

/*
 * Send `msg` and wait for its reply. Sets header.version; the caller sets header.size.
 */
int fe_conn_ask(struct fe_conn *c, struct fe_msg *msg, struct fe_msg *reply);

/*
 * As fe_conn_ask, but the reply may carry file descriptors, which the caller owns. Other functions
 * return -EPROTO for them.
 */
int fe_conn_ask_fds(struct fe_conn *c, struct fe_msg *msg, struct fe_msg *reply);

/* Send `msg`. Wait for its acknowledgement if REPLY_ACK allows one and no_ack is not set. */
int fe_conn_tell(struct fe_conn *c, struct fe_msg *msg);

/* GET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_MAX_MEM_SLOTS, GET_STATUS. */
int fe_conn_get(struct fe_conn *c, enum vu_request request, uint64_t *value);

/* SET_FEATURES, SET_PROTOCOL_FEATURES, NET_SET_MTU, SET_STATUS. */
int fe_conn_set(struct fe_conn *c, enum vu_request request, uint64_t value);

/* SET_OWNER, RESET_OWNER, RESET_DEVICE, POSTCOPY_LISTEN. */
int fe_conn_order(struct fe_conn *c, enum vu_request request);

/* SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE, SET_VRING_ENDIAN (1: big), VRING_KICK (0). */
int fe_conn_set_ring(struct fe_conn *c, enum vu_request request, uint32_t index, uint32_t num);

/* SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR; fd -1: there is none. */
int fe_conn_set_ring_fd(struct fe_conn *c, enum vu_request request, uint32_t index, int fd);

int fe_conn_set_ring_addr(struct fe_conn *c, const struct vu_vring_addr *addr);

/* SET_MEM_TABLE with one file descriptor for each region. */
int fe_conn_set_mem(struct fe_conn *c, const struct vu_mem_table *table, const int *fds);
