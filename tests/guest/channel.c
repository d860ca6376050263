/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fe_channel.h"

void fe_channel_init(struct fe_channel *ch)
{
	memset(ch, 0, sizeof(*ch));
	fe_conn_init(&ch->conn, -1);
}

int fe_channel_open(struct fe_channel *ch, int *peer_fd)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	fe_channel_close(ch);
	ch->conn.fd = fds[0];
	*peer_fd = fds[1];
	return 0;
}

void fe_channel_close(struct fe_channel *ch)
{
	fe_conn_close(&ch->conn);
	free(ch->held);
	ch->held = NULL;
	ch->head = ch->nheld = 0;
}

int fe_channel_ack(struct fe_channel *ch, const struct fe_msg *req, uint64_t value)
{
	struct fe_msg ack = {.header = {.request = req->header.request,
				     .flags = VU_VERSION | VU_FLAG_REPLY,
				     .size = sizeof(value)},
		.payload.u64 = value};
	int err;

	if (!(req->header.flags & VU_FLAG_NEED_REPLY))
		return 0;
	err = fe_conn_send(&ch->conn, &ack);
	if (!err)
		ch->answered++;
	return err;
}

/* Bytes of payload that a request has; -1 for one that is none. */
static int payload_of(const struct fe_msg *req)
{
	switch (req->header.request) {
	case VU_BACKEND_IOTLB_MSG:
		return sizeof(struct vu_iotlb);
	case VU_BACKEND_CONFIG_CHANGE_MSG:
		return 0;
	case VU_BACKEND_VRING_CALL:
	case VU_BACKEND_VRING_ERR:
		return sizeof(struct vu_vring_state);
	default:
		return -1;
	}
}

/* Count `req`. 0; -EPROTO when it is not made as it should. */
static int count(struct fe_channel *ch, const struct fe_msg *req)
{
	uint32_t request = req->header.request;
	const struct vu_vring_state *s = &req->payload.state;
	int size = payload_of(req);

	if ((req->header.flags & ~VU_FLAG_NEED_REPLY) != VU_VERSION || req->nfds)
		return -EPROTO;
	if (size < 0) {
		ch->others++;
		return 0;
	}
	if (req->header.size != (uint32_t)size)
		return -EPROTO;
	if (request == VU_BACKEND_CONFIG_CHANGE_MSG)
		ch->config_changes++;
	else if (request == VU_BACKEND_IOTLB_MSG && req->payload.iotlb.type == VU_IOTLB_MISS)
		ch->misses++;
	else if (request == VU_BACKEND_IOTLB_MSG && req->payload.iotlb.type == VU_IOTLB_ACCESS_FAIL)
		ch->access_fails++;
	else if (request == VU_BACKEND_IOTLB_MSG || s->index >= FE_CHANNEL_RINGS || s->num)
		return -EPROTO;
	else if (request == VU_BACKEND_VRING_CALL)
		ch->calls[s->index]++;
	else
		ch->errs[s->index]++;
	return 0;
}

static int receive(struct fe_channel *ch, struct fe_msg *req, int timeout_ms)
{
	struct pollfd p = {.fd = ch->conn.fd, .events = POLLIN};
	int err;

	if (ch->conn.fd < 0 || poll(&p, 1, timeout_ms) <= 0)
		return -EAGAIN;
	err = fe_conn_recv(&ch->conn, req);
	if (err)
		return err;
	err = count(ch, req);
	if (err)
		fe_msg_drop_fds(req);
	return err;
}

static int hold(struct fe_channel *ch, const struct fe_msg *req)
{
	if (!ch->held)
		ch->held = calloc(FE_MAX_HELD, sizeof(*ch->held));
	if (!ch->held)
		return -ENOMEM;
	if (ch->nheld == FE_MAX_HELD)
		return -ENOSPC;
	ch->held[(ch->head + ch->nheld++) % FE_MAX_HELD] = *req;
	return 0;
}

/* Deal with `req` where nobody is to look into it. 1 when somebody is; 0 or -errno. */
static int dispose(struct fe_channel *ch, const struct fe_msg *req)
{
	switch (ch->answers) {
	case FE_HOLD:
		return hold(ch, req);
	case FE_IGNORE:
		return 0;
	case FE_REFUSE:
		return fe_channel_ack(ch, req, 1);
	case FE_LIE:
		return fe_channel_ack(ch, req, 0);
	default:
		return 1;
	}
}

int fe_channel_next(struct fe_channel *ch, struct fe_msg *req, int timeout_ms)
{
	struct fe_msg in;
	int err;

	for (;;) {
		if (ch->nheld && ch->answers != FE_HOLD) {
			in = ch->held[ch->head];
			ch->head = (ch->head + 1) % FE_MAX_HELD;
			ch->nheld--;
		} else {
			err = receive(ch, &in, timeout_ms);
			if (err)
				return err;
		}
		err = dispose(ch, &in);
		if (err < 0)
			return err;
		if (err > 0) {
			*req = in;
			return 0;
		}
	}
}
