/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of messages, and the one way through it. */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "rw_log.h"

/* Which descriptors come with a message. */
enum fds_wanted {
	FDS_NONE,
	FDS_RING,    /* one, or none when the payload says so */
	FDS_REGIONS, /* one for each memory region */
};

/* Where a message names its ring. */
enum ring_named {
	RING_NONE,
	RING_STATE, /* in the first u32 */
	RING_FD,    /* in the low bits of the u64 that goes with a descriptor */
};

/* Which rings stand still while a message is carried out. */
enum rings_paused {
	PAUSE_NONE,
	PAUSE_RING, /* the one it names */
	PAUSE_ALL,
};

/* When a message is allowed: a protocol feature bit that must be acknowledged, or one of these. */
enum gate {
	GATE_ALWAYS = 64,
	GATE_OFFERED,    /* protocol features are offered */
	GATE_NEGOTIATED, /* protocol features are offered, and SET_FEATURES did not decline them */
};

struct row {
	const char *name;
	int (*handle)(struct vu_session *s, struct vu_msg *m);
	uint16_t size_min; /* bytes of payload */
	uint16_t size_max;
	uint8_t fds;   /* enum fds_wanted */
	uint8_t ring;  /* enum ring_named */
	uint8_t pause; /* enum rings_paused */
	uint8_t gate;  /* enum vu_protocol_feature or enum gate */
	bool replies;  /* the handler leaves 8 bytes of reply in the payload */
};

#define NO_PAYLOAD 0, 0
#define U64        sizeof(uint64_t), sizeof(uint64_t)
#define STATE      sizeof(struct vu_vring_state), sizeof(struct vu_vring_state)
#define ADDR       sizeof(struct vu_vring_addr), sizeof(struct vu_vring_addr)
#define TABLE                                                                  \
	offsetof(struct vu_mem_table, regions) + sizeof(struct vu_mem_region), \
		sizeof(struct vu_mem_table)

/* SET_VRING_ENABLE may precede SET_FEATURES: QEMU sends it as soon as the guest has the device. */
/* clang-format off */
static const struct row rows[] = {
	[VU_GET_FEATURES] = {"GET_FEATURES", vu_on_get_features,
		NO_PAYLOAD, FDS_NONE, RING_NONE, PAUSE_NONE, GATE_ALWAYS, true},
	[VU_SET_FEATURES] = {"SET_FEATURES", vu_on_set_features,
		U64, FDS_NONE, RING_NONE, PAUSE_ALL, GATE_ALWAYS, false},
	[VU_SET_OWNER] = {"SET_OWNER", vu_on_owner,
		NO_PAYLOAD, FDS_NONE, RING_NONE, PAUSE_NONE, GATE_ALWAYS, false},
	[VU_RESET_OWNER] = {"RESET_OWNER", vu_on_owner,
		NO_PAYLOAD, FDS_NONE, RING_NONE, PAUSE_NONE, GATE_ALWAYS, false},
	[VU_SET_MEM_TABLE] = {"SET_MEM_TABLE", vu_on_set_mem_table,
		TABLE, FDS_REGIONS, RING_NONE, PAUSE_ALL, GATE_ALWAYS, false},
	[VU_SET_VRING_NUM] = {"SET_VRING_NUM", vu_on_set_vring_num,
		STATE, FDS_NONE, RING_STATE, PAUSE_RING, GATE_ALWAYS, false},
	[VU_SET_VRING_ADDR] = {"SET_VRING_ADDR", vu_on_set_vring_addr,
		ADDR, FDS_NONE, RING_STATE, PAUSE_RING, GATE_ALWAYS, false},
	[VU_SET_VRING_BASE] = {"SET_VRING_BASE", vu_on_set_vring_base,
		STATE, FDS_NONE, RING_STATE, PAUSE_RING, GATE_ALWAYS, false},
	[VU_GET_VRING_BASE] = {"GET_VRING_BASE", vu_on_get_vring_base,
		STATE, FDS_NONE, RING_STATE, PAUSE_RING, GATE_ALWAYS, true},
	[VU_SET_VRING_KICK] = {"SET_VRING_KICK", vu_on_set_vring_kick,
		U64, FDS_RING, RING_FD, PAUSE_RING, GATE_ALWAYS, false},
	[VU_SET_VRING_CALL] = {"SET_VRING_CALL", vu_on_set_vring_call,
		U64, FDS_RING, RING_FD, PAUSE_RING, GATE_ALWAYS, false},
	[VU_SET_VRING_ERR] = {"SET_VRING_ERR", vu_on_set_vring_err,
		U64, FDS_RING, RING_FD, PAUSE_RING, GATE_ALWAYS, false},
	[VU_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", vu_on_get_protocol_features,
		NO_PAYLOAD, FDS_NONE, RING_NONE, PAUSE_NONE, GATE_OFFERED, true},
	[VU_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", vu_on_set_protocol_features,
		U64, FDS_NONE, RING_NONE, PAUSE_NONE, GATE_OFFERED, false},
	[VU_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", vu_on_get_queue_num,
		NO_PAYLOAD, FDS_NONE, RING_NONE, PAUSE_NONE, VU_PF_MQ, true},
	[VU_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", vu_on_set_vring_enable,
		STATE, FDS_NONE, RING_STATE, PAUSE_RING, GATE_NEGOTIATED, false},
	[VU_NET_SET_MTU] = {"NET_SET_MTU", vu_on_net_set_mtu,
		U64, FDS_NONE, RING_NONE, PAUSE_NONE, VU_PF_NET_MTU, false},
	[VU_RESET_DEVICE] = {"RESET_DEVICE", vu_on_reset_device,
		NO_PAYLOAD, FDS_NONE, RING_NONE, PAUSE_ALL, VU_PF_RESET_DEVICE, false},
	[VU_SET_STATUS] = {"SET_STATUS", vu_on_set_status,
		U64, FDS_NONE, RING_NONE, PAUSE_NONE, VU_PF_STATUS, false},
	[VU_GET_STATUS] = {"GET_STATUS", vu_on_get_status,
		NO_PAYLOAD, FDS_NONE, RING_NONE, PAUSE_NONE, VU_PF_STATUS, true},
};
/* clang-format on */

static const struct row *row_of(uint32_t request)
{
	return request < RW_ARRAY_SIZE(rows) && rows[request].name ? &rows[request] : NULL;
}

const char *vu_request_name(uint32_t request)
{
	const struct row *row = row_of(request);

	return row ? row->name : NULL;
}

static bool has_protocol_feature(const struct vu_session *s, unsigned bit)
{
	return s->protocol_features >> bit & 1;
}

static bool gate_open(const struct vu_session *s, const struct row *row)
{
	bool offered = s->offer.features >> VU_F_PROTOCOL_FEATURES & 1;

	switch (row->gate) {
	case GATE_ALWAYS:
		return true;
	case GATE_OFFERED:
		return offered;
	case GATE_NEGOTIATED:
		return offered && (!s->features_set || vu_has_feature(s, VU_F_PROTOCOL_FEATURES));
	default:
		return has_protocol_feature(s, row->gate);
	}
}

static bool fds_match(const struct row *row, const struct vu_msg *m)
{
	if (m->fds_lost)
		return false;
	switch (row->fds) {
	case FDS_RING:
		/* One that comes although the payload denies it is just closed. */
		return m->nfds == 1 || (!m->nfds && m->payload.u64 & VU_VRING_NOFD);
	case FDS_REGIONS:
		return m->nfds == m->payload.mem.nregions;
	default:
		return !m->nfds;
	}
}

/* Find the ring that `m` names. */
static int ring_check(const struct vu_session *s, const struct row *row, struct vu_msg *m)
{
	uint64_t i = 0;

	switch (row->ring) {
	case RING_STATE:
		i = m->payload.state.index;
		break;
	case RING_FD:
		i = m->payload.u64 & ~(uint64_t)VU_VRING_NOFD;
		break;
	}
	if (i >= s->offer.max_pairs * 2u)
		return vu_refuse(m, -EINVAL, "there is no such ring");
	m->ring = (unsigned)i;
	return 0;
}

static int msg_check(const struct vu_session *s, const struct row *row, struct vu_msg *m)
{
	if ((m->hdr.flags & VU_VERSION_MASK) != VU_VERSION)
		return vu_refuse(m, -EPROTO, "unknown protocol version");
	if (m->hdr.flags & VU_FLAG_REPLY)
		return vu_refuse(m, -EPROTO, "a reply to nothing");
	if (!row)
		return vu_refuse(m, -EOPNOTSUPP, "unknown request");
	if (!gate_open(s, row))
		return vu_refuse(m, -EPROTO, "its feature was not negotiated");
	if (m->hdr.size < row->size_min || m->hdr.size > row->size_max)
		return vu_refuse(m, -EPROTO, "wrong payload size");
	if (!fds_match(row, m))
		return vu_refuse(m, -EPROTO, "wrong number of file descriptors");
	return ring_check(s, row, m);
}

/* Set rings [first, first + n) going again. */
static int rings_resume(struct vu_session *s, struct vu_msg *m, unsigned first, unsigned n)
{
	int ret = s->ops->rings_resume(s->dev, first, n);

	if (ret)
		return vu_refuse(m, ret, "a ring cannot run");
	/* A ring's parts may come in any order; that they do not fit shows with the last one. */
	for (unsigned i = first; i < first + n; i++) {
		if (vu_ring_complete(s, i) && !vu_ring_ready(s, i))
			return vu_refuse(m, -EINVAL, "size, base or alignment of a ring is wrong");
	}
	return 0;
}

static int msg_run(struct vu_session *s, const struct row *row, struct vu_msg *m)
{
	unsigned first = 0, n = 0;
	int ret;

	if (row->ring != RING_NONE)
		s->nrings = RW_MAX(s->nrings, m->ring + 1);
	if (row->pause == PAUSE_ALL) {
		n = s->nrings;
	} else if (row->pause == PAUSE_RING) {
		first = m->ring;
		n = 1;
	}
	if (!n)
		return row->handle(s, m);
	s->ops->rings_pause(s->dev, first, n);
	ret = row->handle(s, m);
	if (ret) {
		/* The rings go on as they were: not their failure. */
		s->ops->rings_resume(s->dev, first, n);
		return ret;
	}
	return rings_resume(s, m, first, n);
}

int vu_dispatch(struct vu_session *s)
{
	struct vu_msg *m = &s->conn->msg;
	const struct row *row = row_of(m->hdr.request);
	const char *name = row ? row->name : "request";
	bool acks;
	int ret;

	ret = msg_check(s, row, m);
	rw_debug("%s: %s (%u) %#x %#x: %u bytes, %u descriptors", s->name, name, m->hdr.request,
		m->payload.state.index, m->payload.state.num, m->hdr.size, m->nfds);
	if (!ret)
		ret = msg_run(s, row, m);
	acks = (m->hdr.flags & VU_FLAG_NEED_REPLY) && has_protocol_feature(s, VU_PF_REPLY_ACK) &&
		!(row && row->replies);
	if (ret)
		vu_complain(s, "%s (%u) refused: %s%s", name, m->hdr.request,
			m->why ? m->why : strerror(-ret), acks ? "" : "; closing the connection");
	if (acks)
		return vu_conn_reply(s->conn, ret ? 1 : 0);
	if (!ret && row->replies)
		return vu_conn_reply(s->conn, m->payload.u64);
	return ret;
}
