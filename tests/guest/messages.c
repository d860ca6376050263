/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages of single features: memory slots, log, channel, IOTLB, configuration, migration. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fe_messages.h"

/* Wait until `fd` can be read; a closed peer counts. 0 or -errno. */
static int wait_readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

int fe_conn_wait_closed(struct fe_conn *c)
{
	char byte;
	ssize_t n;
	int err;

	err = wait_readable(c->fd, c->timeout_ms);
	if (err)
		return err;
	n = recv(c->fd, &byte, 1, MSG_PEEK);
	if (n > 0)
		return -EPROTO;
	if (n == 0 || errno == ECONNRESET)
		return 0;
	return -errno;
}

int fe_conn_get_base(struct fe_conn *c, uint32_t index, uint32_t *base)
{
	struct fe_msg msg = {
		.header = {.request = VU_GET_VRING_BASE, .size = sizeof(struct vu_vring_state)},
		.payload.state = {.index = index}};
	struct fe_msg reply;
	int err;

	err = fe_conn_ask(c, &msg, &reply);
	if (err)
		return err;
	if (reply.header.size != sizeof(reply.payload.state) || reply.payload.state.index != index)
		return -EPROTO;
	*base = reply.payload.state.num;
	return 0;
}

/* What a reply of one number says: 0 is good. */
static int verdict(const struct fe_msg *reply)
{
	if (reply->header.size != sizeof(reply->payload.u64))
		return -EPROTO;
	return reply->payload.u64 ? -EREMOTEIO : 0;
}

static struct fe_msg slot_msg(enum vu_request request, const struct vu_mem_region *r, int fd)
{
	struct fe_msg msg = {.header = {.request = request, .size = sizeof(struct vu_mem_slot)},
		.payload.slot.region = *r};

	if (fd >= 0) {
		msg.fds[0] = fd;
		msg.nfds = 1;
	}
	return msg;
}

int fe_conn_add_mem(struct fe_conn *c, const struct vu_mem_region *region, int fd)
{
	struct fe_msg msg = slot_msg(VU_ADD_MEM_REG, region, fd);

	return fe_conn_tell(c, &msg);
}

int fe_conn_rem_mem(struct fe_conn *c, const struct vu_mem_region *region, int fd)
{
	struct fe_msg msg = slot_msg(VU_REM_MEM_REG, region, fd);

	return fe_conn_tell(c, &msg);
}

int fe_conn_set_log(
	struct fe_conn *c, const struct vu_log_base *log, int fd, enum fe_log_style style)
{
	struct fe_msg msg = {
		.header = {.request = VU_SET_LOG_BASE, .size = sizeof(*log)}, .payload.log = *log};
	struct fe_msg reply;
	int err;

	if (style == FE_LOG_MUTE)
		return fe_conn_tell(c, &msg);
	msg.fds[0] = fd;
	msg.nfds = 1;
	if (style == FE_LOG_ECHO && c->protocol_features >> VU_PF_REPLY_ACK & 1)
		msg.header.flags = VU_FLAG_NEED_REPLY;
	err = fe_conn_ask(c, &msg, &reply);
	if (err)
		return err;
	/* The negative acknowledgement has its own size, so that it is told from the echo. */
	if (reply.header.size == sizeof(reply.payload.u64) && reply.payload.u64)
		return -EREMOTEIO;
	if (style == FE_LOG_QEMU)
		return 0;
	if (reply.header.size != sizeof(*log) || memcmp(&reply.payload.log, log, sizeof(*log)))
		return -EPROTO;
	return 0;
}

/* A message that is nothing but a descriptor, or -1. */
static int tell_fd(struct fe_conn *c, enum vu_request request, int fd)
{
	struct fe_msg msg = {.header.request = request, .fds = {fd}, .nfds = fd >= 0};

	return fe_conn_tell(c, &msg);
}

int fe_conn_set_log_fd(struct fe_conn *c, int fd)
{
	return tell_fd(c, VU_SET_LOG_FD, fd);
}

int fe_conn_set_channel(struct fe_conn *c, int fd)
{
	return tell_fd(c, VU_SET_BACKEND_REQ_FD, fd);
}

int fe_conn_rarp(struct fe_conn *c, const uint8_t mac[6])
{
	struct fe_msg msg = {.header = {.request = VU_SEND_RARP, .size = sizeof(uint64_t)}};

	memcpy(&msg.payload.u64, mac, 6);
	return fe_conn_tell(c, &msg);
}

int fe_conn_iotlb(struct fe_conn *c, const struct vu_iotlb *iotlb)
{
	struct fe_msg msg = {.header = {.request = VU_IOTLB_MSG,
				     .flags = VU_FLAG_NEED_REPLY,
				     .size = sizeof(*iotlb)},
		.payload.iotlb = *iotlb};
	struct fe_msg reply;
	int err;

	err = fe_conn_ask(c, &msg, &reply);
	return err ? err : verdict(&reply);
}

static struct fe_msg config_msg(enum vu_request request, uint32_t offset, uint32_t size)
{
	return (struct fe_msg){
		.header = {.request = request,
			.size = (uint32_t)offsetof(struct vu_config, data) + size},
		.payload.config = {.offset = offset, .size = size},
	};
}

int fe_conn_get_config(struct fe_conn *c, uint32_t offset, uint32_t size, void *data)
{
	struct fe_msg msg = config_msg(VU_GET_CONFIG, offset, size);
	struct fe_msg reply;
	int err;

	if (size > VU_CONFIG_MAX)
		return -EINVAL;
	err = fe_conn_ask(c, &msg, &reply);
	if (err)
		return err;
	if (reply.header.size == 0)
		return -EREMOTEIO;
	if (reply.header.size != msg.header.size || reply.payload.config.offset != offset ||
		reply.payload.config.size != size)
		return -EPROTO;
	memcpy(data, reply.payload.config.data, size);
	return 0;
}

int fe_conn_set_config(
	struct fe_conn *c, uint32_t offset, uint32_t size, uint32_t flags, const void *data)
{
	struct fe_msg msg = config_msg(VU_SET_CONFIG, offset, size);

	if (size > VU_CONFIG_MAX)
		return -EINVAL;
	msg.payload.config.flags = flags;
	memcpy(msg.payload.config.data, data, size);
	return fe_conn_tell(c, &msg);
}

int fe_conn_get_inflight(struct fe_conn *c, struct vu_inflight_desc *desc, int *fd)
{
	struct fe_msg msg = {.header = {.request = VU_GET_INFLIGHT_FD, .size = sizeof(*desc)},
		.payload.inflight = *desc};
	struct fe_msg reply;
	int err;

	err = fe_conn_ask_fds(c, &msg, &reply);
	if (err)
		return err;
	if (reply.nfds != 1 || reply.header.size != sizeof(*desc)) {
		/* A back-end that has no buffer to offer says so with a size of 0, or refuses. */
		err = -EPROTO;
		if (reply.nfds == 0 &&
			(reply.header.size == sizeof(uint64_t) ||
				reply.payload.inflight.mmap_size == 0))
			err = -EREMOTEIO;
		fe_msg_drop_fds(&reply);
		return err;
	}
	*desc = reply.payload.inflight;
	*fd = reply.fds[0];
	return 0;
}

int fe_conn_set_inflight(struct fe_conn *c, const struct vu_inflight_desc *desc, int fd)
{
	struct fe_msg msg = {.header = {.request = VU_SET_INFLIGHT_FD, .size = sizeof(*desc)},
		.payload.inflight = *desc,
		.fds = {fd},
		.nfds = 1};

	return fe_conn_tell(c, &msg);
}

int fe_conn_postcopy_advise(struct fe_conn *c, int *ufd)
{
	struct fe_msg msg = {.header.request = VU_POSTCOPY_ADVISE};
	struct fe_msg reply;
	int err;

	err = fe_conn_ask_fds(c, &msg, &reply);
	if (err)
		return err;
	if (reply.nfds == 0)
		return -EREMOTEIO;
	if (reply.nfds != 1 || reply.header.size != 0) {
		fe_msg_drop_fds(&reply);
		return -EPROTO;
	}
	*ufd = reply.fds[0];
	return 0;
}

/* Ask and have a number as the verdict. */
static int ask_verdict(struct fe_conn *c, enum vu_request request)
{
	uint64_t value;
	int err;

	err = fe_conn_get(c, request, &value);
	if (err)
		return err;
	return value ? -EREMOTEIO : 0;
}

int fe_conn_postcopy_end(struct fe_conn *c)
{
	return ask_verdict(c, VU_POSTCOPY_END);
}

int fe_conn_check_state(struct fe_conn *c)
{
	return ask_verdict(c, VU_CHECK_DEVICE_STATE);
}

/* An answer to shared memory that is no table is a refusal, or nonsense. */
static int bases_missing(const struct fe_msg *reply)
{
	int err = verdict(reply);

	return err ? err : -EPROTO;
}

int fe_conn_set_mem_postcopy(
	struct fe_conn *c, const struct vu_mem_table *table, const int *fds, uint64_t *bases)
{
	struct fe_msg msg = {.header.request = VU_SET_MEM_TABLE, .payload.mem = *table};
	uint32_t n = table->nregions;
	struct fe_msg reply;
	uint32_t i;
	int err;

	if (n > VU_MAX_TABLE_REGIONS)
		return -EINVAL;
	msg.header.size = (uint32_t)(offsetof(struct vu_mem_table, regions) +
		n * sizeof(struct vu_mem_region));
	memcpy(msg.fds, fds, n * sizeof(int));
	msg.nfds = n;
	err = fe_conn_ask(c, &msg, &reply);
	if (err)
		return err;
	if (reply.header.size != msg.header.size || reply.payload.mem.nregions != n)
		return bases_missing(&reply);
	for (i = 0; i < n; i++)
		if (reply.payload.mem.regions[i].gpa != table->regions[i].gpa ||
			reply.payload.mem.regions[i].size != table->regions[i].size)
			return -EPROTO;
	for (i = 0; i < n; i++)
		bases[i] = reply.payload.mem.regions[i].uva;
	return 0;
}

int fe_conn_add_mem_postcopy(
	struct fe_conn *c, const struct vu_mem_region *region, int fd, uint64_t *base)
{
	struct fe_msg msg = slot_msg(VU_ADD_MEM_REG, region, fd);
	struct fe_msg reply;
	int err;

	err = fe_conn_ask(c, &msg, &reply);
	if (err)
		return err;
	if (reply.header.size != sizeof(struct vu_mem_slot))
		return bases_missing(&reply);
	if (reply.payload.slot.region.gpa != region->gpa ||
		reply.payload.slot.region.size != region->size)
		return -EPROTO;
	*base = reply.payload.slot.region.uva;
	return 0;
}

int fe_conn_mem_ready(struct fe_conn *c, enum vu_request request)
{
	struct fe_msg msg = {
		.header = {.request = request, .flags = VU_VERSION, .size = sizeof(uint64_t)}};

	return fe_conn_send(c, &msg);
}

int fe_conn_set_state_fd(struct fe_conn *c, uint32_t direction, int fd, int *back)
{
	struct fe_msg msg = {
		.header = {.request = VU_SET_DEVICE_STATE_FD, .size = sizeof(struct vu_state_fd)},
		.payload.state_fd = {.direction = direction},
		.fds = {fd},
		.nfds = 1};
	struct fe_msg reply;
	int err;

	err = fe_conn_ask_fds(c, &msg, &reply);
	if (err)
		return err;
	if (reply.header.size != sizeof(reply.payload.u64))
		err = -EPROTO;
	else if (reply.payload.u64 & VU_STATE_ERROR_MASK)
		err = -EREMOTEIO;
	else if (reply.nfds != !(reply.payload.u64 & VU_STATE_NOFD))
		err = -EPROTO;
	if (err) {
		fe_msg_drop_fds(&reply);
		return err;
	}
	*back = reply.nfds ? reply.fds[0] : -1;
	return 0;
}

int fe_conn_raw(struct fe_conn *c, const struct fe_raw *raw, struct fe_msg *reply)
{
	bool ack = !reply && !c->no_ack && c->protocol_features >> VU_PF_REPLY_ACK & 1;
	struct vu_header h = {.request = raw->request,
		.flags = VU_VERSION | (ack ? VU_FLAG_NEED_REPLY : 0),
		.size = raw->len};
	struct fe_msg in = {0};
	uint8_t *bytes;
	int err;

	bytes = malloc(VU_HEADER_SIZE + (size_t)raw->len);
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, &h, VU_HEADER_SIZE);
	if (raw->len)
		memcpy(bytes + VU_HEADER_SIZE, raw->payload, raw->len);
	err = fe_conn_send_bytes(c, bytes, VU_HEADER_SIZE + (size_t)raw->len, raw->fds, raw->nfds);
	free(bytes);
	if (err || (!reply && !ack))
		return err;
	err = fe_conn_recv(c, &in);
	if (err)
		return err;
	if (in.header.request != raw->request || in.header.flags != (VU_VERSION | VU_FLAG_REPLY)) {
		fe_msg_drop_fds(&in);
		return -EPROTO;
	}
	if (reply) {
		*reply = in;
		return 0;
	}
	fe_msg_drop_fds(&in);
	return verdict(&in);
}
