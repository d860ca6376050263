/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The rest of a front-end's connection (fe_conn.h): the messages of single features. Functions
 * return what fe_conn.h says.
 *
 * Thread: one at a time for a connection.
 */
#include "fe_conn.h"

/*
 * 0 when the peer closes within the timeout; -ETIMEDOUT; -EPROTO when it sends something instead.
 */
int fe_conn_wait_closed(struct fe_conn *c);

/* GET_VRING_BASE; `base` is coded as in SET_VRING_BASE. */
int fe_conn_get_base(struct fe_conn *c, uint32_t index, uint32_t *base);

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
