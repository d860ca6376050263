/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages that every front-end sends. */
#include <errno.h>
#include <string.h>

#include "fe_conn.h"

int fe_conn_get(struct fe_conn *c, enum vu_request request, uint64_t *value)
{
	struct fe_msg msg = {.header.request = request};
	struct fe_msg reply;
	int err;

	err = fe_conn_ask(c, &msg, &reply);
	if (err)
		return err;
	if (reply.header.size != sizeof(reply.payload.u64))
		return -EPROTO;
	*value = reply.payload.u64;
	return 0;
}

int fe_conn_set(struct fe_conn *c, enum vu_request request, uint64_t value)
{
	struct fe_msg msg = {
		.header = {.request = request, .size = sizeof(value)}, .payload.u64 = value};
	int err;

	err = fe_conn_tell(c, &msg);
	if (!err && request == VU_SET_PROTOCOL_FEATURES)
		c->protocol_features = value;
	return err;
}

int fe_conn_order(struct fe_conn *c, enum vu_request request)
{
	struct fe_msg msg = {.header.request = request};

	return fe_conn_tell(c, &msg);
}

int fe_conn_set_ring(struct fe_conn *c, enum vu_request request, uint32_t index, uint32_t num)
{
	struct fe_msg msg = {.header = {.request = request, .size = sizeof(struct vu_vring_state)},
		.payload.state = {.index = index, .num = num}};

	return fe_conn_tell(c, &msg);
}

int fe_conn_set_ring_fd(struct fe_conn *c, enum vu_request request, uint32_t index, int fd)
{
	struct fe_msg msg = {
		.header = {.request = request, .size = sizeof(uint64_t)}, .payload.u64 = index};

	if (fd >= 0) {
		msg.fds[0] = fd;
		msg.nfds = 1;
	} else {
		msg.payload.u64 |= VU_VRING_NOFD;
	}
	return fe_conn_tell(c, &msg);
}

int fe_conn_set_ring_addr(struct fe_conn *c, const struct vu_vring_addr *addr)
{
	struct fe_msg msg = {.header = {.request = VU_SET_VRING_ADDR, .size = sizeof(*addr)},
		.payload.addr = *addr};

	return fe_conn_tell(c, &msg);
}

int fe_conn_set_mem(struct fe_conn *c, const struct vu_mem_table *table, const int *fds)
{
	struct fe_msg msg = {.header.request = VU_SET_MEM_TABLE, .payload.mem = *table};
	uint32_t n = table->nregions;

	if (n > VU_MAX_TABLE_REGIONS)
		return -EINVAL;
	msg.header.size = (uint32_t)(offsetof(struct vu_mem_table, regions) +
		n * sizeof(struct vu_mem_region));
	memcpy(msg.fds, fds, n * sizeof(int));
	msg.nfds = n;
	return fe_conn_tell(c, &msg);
}
