/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of messages, and the one way through it. */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "rw_log.h"

/* How the payload determines its own length, within the row's bounds. */
enum size_rule {
	SIZE_PLAIN,
	SIZE_TABLE,  /* as many regions as its count says, or the whole array */
	SIZE_CONFIG, /* as many bytes as its count says */
};

/* Which descriptors come with a message. */
enum fds_wanted {
	FDS_NONE,
	FDS_ONE,
	FDS_MAYBE,   /* one, or none: closed */
	FDS_RING,    /* one, or none when the payload says so */
	FDS_REGIONS, /* one for each memory region */
};

/* Where a message names its ring. */
enum ring_named {
	RING_NONE,
	RING_STATE, /* in the first u32 */
	RING_FD,    /* in the low bits of the u64 that goes with a descriptor */
};

/* Which rings rest while a message is carried out. */
enum rings_paused {
	PAUSE_NONE,
	PAUSE_RING, /* the one that it names */
	PAUSE_NEW,  /* the one that it names, unless that has started */
	PAUSE_ALL,
};

/* When a message is allowed: one of these, or PF(bit). */
enum gate {
	GATE_ALWAYS,
	GATE_NEVER,      /* it belongs to other devices */
	GATE_OFFERED,    /* protocol features are offered */
	GATE_NEGOTIATED, /* protocol features are offered, and SET_FEATURES did not decline them */
	GATE_IOMMU,      /* SET_FEATURES acknowledged ACCESS_PLATFORM */
	GATE_PF,         /* this and up: a protocol feature bit that must be acknowledged */
};

#define PF(bit) (GATE_PF + (bit))

/* How a message is answered, whether need_reply is set or not. */
enum answer {
	ANSWER_NONE, /* by an acknowledgement if need_reply is set, unless the handler answers */
	ANSWER_U64,  /* with 8 bytes that the handler leaves in the payload */
	ANSWER_OWN,  /* as the handler says by vu_answer */
};

/* How its failure is told. */
enum failure {
	FAIL_ACK,      /* a negative acknowledgement if need_reply is set, else as FAIL_CLOSE */
	FAIL_CLOSE,    /* by closing the connection: its reply has no value for failure */
	FAIL_U64,      /* u64 other than 0 */
	FAIL_EMPTY,    /* no payload, no descriptor */
	FAIL_INFLIGHT, /* mmap_size 0 */
	FAIL_STATE,    /* error bits */
};

struct row {
	const char *name;
	vu_handler *handle;
	void (*after)(struct vu_session *s, unsigned ring); /* after its reply was sent; or NULL */
	/* Whether it says what is known already: then no ring rests for it. Or NULL. */
	bool (*known)(const struct vu_session *s, const struct vu_msg *m);
	uint16_t size_min; /* least bytes of payload */
	uint16_t size_max; /* most bytes of payload */
	uint8_t size;      /* enum size_rule */
	uint8_t fds;       /* enum fds_wanted */
	uint8_t ring;      /* enum ring_named */
	uint8_t pause;     /* enum rings_paused */
	uint8_t gate;      /* enum gate, or PF(bit) */
	uint8_t answer;    /* enum answer */
	uint8_t failure;   /* enum failure */
	bool at_rest;      /* refused while a ring runs */
	bool bases; /* in postcopy, a second message of this request acknowledges addresses */
};

#define SIZES(min, max) .size_min = (min), .size_max = (max)
#define EXACTLY(type)   SIZES(sizeof(type), sizeof(type))
#define NO_PAYLOAD      SIZES(0, 0)
#define U64             EXACTLY(uint64_t)
#define STATE           EXACTLY(struct vu_vring_state)
#define ADDR            EXACTLY(struct vu_vring_addr)
#define LOG             EXACTLY(struct vu_log_base)
#define SLOT            EXACTLY(struct vu_mem_slot)
#define STATE_FD        EXACTLY(struct vu_state_fd)
#define IOTLB           SIZES(offsetof(struct vu_iotlb, padding), sizeof(struct vu_iotlb))
#define INFLIGHT_MIN    offsetof(struct vu_inflight_desc, padding)
#define INFLIGHT        SIZES(INFLIGHT_MIN, sizeof(struct vu_inflight_desc))
#define CONFIG \
	SIZES(offsetof(struct vu_config, data), sizeof(struct vu_config)), .size = SIZE_CONFIG
#define TABLE                                                                        \
	SIZES(offsetof(struct vu_mem_table, regions) + sizeof(struct vu_mem_region), \
		sizeof(struct vu_mem_table)),                                        \
		.size = SIZE_TABLE

/* The front-end asks for a value, none of which means failure. */
#define ASKS .answer = ANSWER_U64, .failure = FAIL_CLOSE
/* The reply is always success or failure. */
#define REPORTS .answer = ANSWER_U64, .failure = FAIL_U64

/* SET_VRING_ENABLE may precede SET_FEATURES: QEMU sends it as soon as the guest has the device. */
/* clang-format off */
static const struct row rows[] = {
	[VU_GET_FEATURES] = {"GET_FEATURES", vu_on_get_features, NO_PAYLOAD, ASKS},
	[VU_SET_FEATURES] = {"SET_FEATURES", vu_on_set_features, U64, .pause = PAUSE_ALL},
	[VU_SET_OWNER] = {"SET_OWNER", vu_on_owner, NO_PAYLOAD},
	[VU_RESET_OWNER] = {"RESET_OWNER", vu_on_owner, NO_PAYLOAD},
	[VU_SET_MEM_TABLE] = {"SET_MEM_TABLE", vu_on_set_mem_table, TABLE,
		.known = vu_mem_table_is_known,
		.fds = FDS_REGIONS, .pause = PAUSE_ALL, .bases = true},
	[VU_SET_LOG_BASE] = {"SET_LOG_BASE", vu_on_set_log_base, LOG, .fds = FDS_ONE,
		.pause = PAUSE_ALL, .gate = PF(VU_PF_LOG_SHMFD), .answer = ANSWER_OWN},
	[VU_SET_LOG_FD] = {"SET_LOG_FD", vu_on_set_log_fd, NO_PAYLOAD, .fds = FDS_ONE},
	[VU_SET_VRING_NUM] = {"SET_VRING_NUM", vu_on_set_vring_num, STATE,
		.ring = RING_STATE, .pause = PAUSE_RING},
	[VU_SET_VRING_ADDR] = {"SET_VRING_ADDR", vu_on_set_vring_addr, ADDR,
		.ring = RING_STATE, .pause = PAUSE_RING},
	[VU_SET_VRING_BASE] = {"SET_VRING_BASE", vu_on_set_vring_base, STATE,
		.ring = RING_STATE, .pause = PAUSE_RING},
	[VU_GET_VRING_BASE] = {"GET_VRING_BASE", vu_on_get_vring_base, STATE,
		.after = vu_after_get_vring_base,
		.ring = RING_STATE, .pause = PAUSE_RING, ASKS},
	[VU_SET_VRING_KICK] = {"SET_VRING_KICK", vu_on_set_vring_kick, U64,
		.fds = FDS_RING, .ring = RING_FD, .pause = PAUSE_RING},
	[VU_SET_VRING_CALL] = {"SET_VRING_CALL", vu_on_set_vring_call, U64,
		.fds = FDS_RING, .ring = RING_FD, .pause = PAUSE_RING},
	[VU_SET_VRING_ERR] = {"SET_VRING_ERR", vu_on_set_vring_err, U64,
		.fds = FDS_RING, .ring = RING_FD, .pause = PAUSE_RING},
	[VU_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", vu_on_get_protocol_features,
		NO_PAYLOAD, .gate = GATE_OFFERED, ASKS},
	[VU_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", vu_on_set_protocol_features, U64,
		.pause = PAUSE_ALL, .gate = GATE_OFFERED},
	[VU_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", vu_on_get_queue_num, NO_PAYLOAD,
		.gate = PF(VU_PF_MQ), ASKS},
	[VU_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", vu_on_set_vring_enable, STATE,
		.ring = RING_STATE, .pause = PAUSE_RING, .gate = GATE_NEGOTIATED},
	[VU_SEND_RARP] = {"SEND_RARP", vu_on_send_rarp, U64, .gate = PF(VU_PF_RARP)},
	[VU_NET_SET_MTU] = {"NET_SET_MTU", vu_on_net_set_mtu, U64, .gate = PF(VU_PF_NET_MTU)},
	[VU_SET_BACKEND_REQ_FD] = {"SET_BACKEND_REQ_FD", vu_on_set_backend_req_fd, NO_PAYLOAD,
		.fds = FDS_ONE, .gate = PF(VU_PF_BACKEND_REQ)},
	[VU_IOTLB_MSG] = {"IOTLB_MSG", vu_on_iotlb, IOTLB, .gate = GATE_IOMMU, REPORTS},
	[VU_SET_VRING_ENDIAN] = {"SET_VRING_ENDIAN", vu_on_set_vring_endian, STATE,
		.ring = RING_STATE, .pause = PAUSE_RING, .gate = PF(VU_PF_CROSS_ENDIAN)},
	[VU_GET_CONFIG] = {"GET_CONFIG", vu_on_get_config, CONFIG, .gate = PF(VU_PF_CONFIG),
		.answer = ANSWER_OWN, .failure = FAIL_EMPTY},
	[VU_SET_CONFIG] = {"SET_CONFIG", vu_on_set_config, CONFIG, .gate = PF(VU_PF_CONFIG)},
	[VU_CREATE_CRYPTO_SESSION] = {"CREATE_CRYPTO_SESSION", .gate = GATE_NEVER},
	[VU_CLOSE_CRYPTO_SESSION] = {"CLOSE_CRYPTO_SESSION", .gate = GATE_NEVER},
	[VU_POSTCOPY_ADVISE] = {"POSTCOPY_ADVISE", vu_on_postcopy_advise, NO_PAYLOAD,
		.gate = PF(VU_PF_PAGEFAULT), .answer = ANSWER_OWN, .failure = FAIL_EMPTY},
	[VU_POSTCOPY_LISTEN] = {"POSTCOPY_LISTEN", vu_on_postcopy_listen, NO_PAYLOAD,
		.gate = PF(VU_PF_PAGEFAULT)},
	[VU_POSTCOPY_END] = {"POSTCOPY_END", vu_on_postcopy_end, NO_PAYLOAD, .pause = PAUSE_ALL,
		.gate = PF(VU_PF_PAGEFAULT), REPORTS},
	[VU_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", vu_on_get_inflight_fd, INFLIGHT,
		.pause = PAUSE_ALL, .gate = PF(VU_PF_INFLIGHT_SHMFD),
		.answer = ANSWER_OWN, .failure = FAIL_INFLIGHT},
	[VU_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", vu_on_set_inflight_fd, INFLIGHT,
		.fds = FDS_ONE, .pause = PAUSE_ALL, .gate = PF(VU_PF_INFLIGHT_SHMFD)},
	[VU_GPU_SET_SOCKET] = {"GPU_SET_SOCKET", .gate = GATE_NEVER},
	[VU_RESET_DEVICE] = {"RESET_DEVICE", vu_on_reset_device, NO_PAYLOAD,
		.pause = PAUSE_ALL, .gate = PF(VU_PF_RESET_DEVICE)},
	[VU_VRING_KICK] = {"VRING_KICK", vu_on_vring_kick, STATE,
		.ring = RING_STATE, .pause = PAUSE_NEW, .gate = PF(VU_PF_INBAND_NOTIFICATIONS)},
	[VU_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", vu_on_get_max_mem_slots, NO_PAYLOAD,
		.gate = PF(VU_PF_CONFIGURE_MEM_SLOTS), ASKS},
	[VU_ADD_MEM_REG] = {"ADD_MEM_REG", vu_on_add_mem_reg, SLOT, .fds = FDS_ONE,
		.pause = PAUSE_ALL, .gate = PF(VU_PF_CONFIGURE_MEM_SLOTS), .bases = true},
	[VU_REM_MEM_REG] = {"REM_MEM_REG", vu_on_rem_mem_reg, SLOT, .fds = FDS_MAYBE,
		.pause = PAUSE_ALL, .gate = PF(VU_PF_CONFIGURE_MEM_SLOTS), .bases = true},
	[VU_SET_STATUS] = {"SET_STATUS", vu_on_set_status, U64, .gate = PF(VU_PF_STATUS)},
	[VU_GET_STATUS] = {"GET_STATUS", vu_on_get_status, NO_PAYLOAD, .gate = PF(VU_PF_STATUS),
		ASKS},
	[VU_GET_SHARED_OBJECT] = {"GET_SHARED_OBJECT", .gate = GATE_NEVER},
	[VU_SET_DEVICE_STATE_FD] = {"SET_DEVICE_STATE_FD", vu_on_set_device_state_fd, STATE_FD,
		.fds = FDS_ONE, .gate = PF(VU_PF_DEVICE_STATE),
		.answer = ANSWER_U64, .failure = FAIL_STATE, .at_rest = true},
	[VU_CHECK_DEVICE_STATE] = {"CHECK_DEVICE_STATE", vu_on_check_device_state, NO_PAYLOAD,
		.gate = PF(VU_PF_DEVICE_STATE), REPORTS},
	[VU_GET_SHMEM_CONFIG] = {"GET_SHMEM_CONFIG", .gate = GATE_NEVER},
};
/* clang-format on */

/* The front-end acknowledges our addresses: the request that was answered with them, and a u64. */
static const struct row bases_ack = {
	"acknowledgement of addresses", vu_on_mem_ack, U64, .pause = PAUSE_ALL};

static const struct row *row_of(uint32_t request)
{
	return request < RW_ARRAY_SIZE(rows) && rows[request].name ? &rows[request] : NULL;
}

static const struct row *row_for(const struct vu_session *s, const struct vu_msg *m)
{
	const struct row *row = row_of(m->hdr.request);

	if (row && row->bases && s->postcopy == VU_POSTCOPY_LISTENING &&
		m->hdr.size == sizeof(uint64_t))
		return &bases_ack;
	return row;
}

const char *vu_request_name(uint32_t request)
{
	const struct row *row = row_of(request);

	return row ? row->name : NULL;
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
	case GATE_IOMMU:
		return s->iotlb;
	default:
		return vu_has_protocol_feature(s, row->gate - GATE_PF);
	}
}

static bool size_matches(const struct row *row, const struct vu_msg *m)
{
	uint64_t size = m->hdr.size, n = m->payload.mem.nregions;

	if (size < row->size_min || size > row->size_max)
		return false;
	switch (row->size) {
	case SIZE_TABLE:
		/* The unused tail of the table may be sent or left out. */
		return n && n <= VU_MAX_TABLE_REGIONS &&
			(size == row->size_max ||
				size ==
					offsetof(struct vu_mem_table, regions) +
						n * sizeof(struct vu_mem_region));
	case SIZE_CONFIG:
		return size == row->size_min + (uint64_t)m->payload.config.size;
	default:
		return true;
	}
}

static bool fds_match(const struct row *row, const struct vu_msg *m)
{
	if (m->fds_lost)
		return false;
	switch (row->fds) {
	case FDS_ONE:
		return m->nfds == 1;
	case FDS_MAYBE:
		return m->nfds <= 1;
	case FDS_RING:
		/* A descriptor that comes although the payload denies it is closed. */
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

/* Whether this is a request at all. If not, nothing in it can be trusted. */
static int header_check(struct vu_msg *m)
{
	if ((m->hdr.flags & VU_VERSION_MASK) != VU_VERSION)
		return vu_refuse(m, -EPROTO, "unknown protocol version");
	if (m->hdr.flags & VU_FLAG_REPLY)
		return vu_refuse(m, -EPROTO, "a reply to nothing");
	return 0;
}

static int msg_check(const struct vu_session *s, const struct row *row, struct vu_msg *m)
{
	if (m->over)
		return -EDQUOT;
	if (!row)
		return vu_refuse(m, -EOPNOTSUPP, "unknown request");
	if (row->gate == GATE_NEVER)
		return vu_refuse(m, -EOPNOTSUPP, "no network device has that");
	if (!gate_open(s, row))
		return vu_refuse(m, -EPROTO, "its feature was not negotiated");
	if (!size_matches(row, m))
		return vu_refuse(m, -EPROTO, "wrong payload size");
	if (!fds_match(row, m))
		return vu_refuse(m, -EPROTO, "wrong number of file descriptors");
	if (row->at_rest && vu_rings_run(s))
		return vu_refuse(m, -EBUSY, "a ring runs");
	return ring_check(s, row, m);
}

int vu_rings_resume(struct vu_session *s, unsigned first, unsigned n, const char **why)
{
	int calls = vu_calls_sync(s, first, n), ret = s->ops->rings_resume(s->dev, first, n);

	if (ret)
		*why = "a ring cannot run";
	else if (calls)
		*why = "a ring cannot call in-band";
	return ret ? ret : calls;
}

/* Let rings [first, first + n) go on. */
static int rings_resume(struct vu_session *s, struct vu_msg *m, unsigned first, unsigned n)
{
	int ret = vu_rings_resume(s, first, n, &m->why);

	if (ret)
		return ret;
	/* A ring's parts come in any order; whether they fit shows with the last one. */
	for (unsigned i = first; i < first + n; i++) {
		if (vu_ring_complete(s, i) && !vu_ring_ready(s, i))
			return vu_refuse(m, -EINVAL, "size, base or alignment of a ring is wrong");
	}
	return 0;
}

/* 0, -errno, or VU_LATER with nothing changed. */
static int msg_run(struct vu_session *s, const struct row *row, struct vu_msg *m)
{
	unsigned first = 0, n = 0;
	int ret;

	if (row->known && row->known(s, m))
		return 0;
	if (row->ring != RING_NONE)
		s->nrings = RW_MAX(s->nrings, m->ring + 1);
	if (row->pause == PAUSE_ALL) {
		n = s->nrings;
	} else if (row->pause == PAUSE_RING ||
		(row->pause == PAUSE_NEW && !s->rings[m->ring].started)) {
		first = m->ring;
		n = 1;
	}
	if (!n)
		return row->handle(s, m);
	if (!s->ops->rings_pause(s->dev, first, n))
		return VU_LATER;
	ret = row->handle(s, m);
	if (ret) {
		/*
		 * The rings go on as they were. If one cannot, that is not this message's failure.
		 */
		s->ops->rings_resume(s->dev, first, n);
		return ret;
	}
	return rings_resume(s, m, first, n);
}

static int reply_u64(struct vu_session *s, uint64_t value)
{
	return vu_conn_reply(s->conn, &value, sizeof(value), -1);
}

static int succeed(struct vu_session *s, const struct row *row, struct vu_msg *m, bool ack)
{
	int ret = 0;

	if (row->answer == ANSWER_U64)
		vu_answer(m, sizeof(uint64_t), -1);
	if (m->answered)
		ret = vu_conn_reply(s->conn, &m->payload, m->answer_len, m->answer_fd);
	else if (ack)
		ret = reply_u64(s, 0);
	if (!ret && row->after)
		row->after(s, m->ring);
	return ret;
}

/* Why `m` failed with `err`, for the log. */
static const char *why_of(
	const struct vu_session *s, const struct vu_msg *m, int err, char *text, size_t len)
{
	if (m->why)
		return m->why;
	if (err != -EDQUOT || !s->offer.budgets)
		return strerror(-err);
	rw_budget_explain(s->offer.budgets, text, len);
	return text;
}

/* Report the failure `err` in the given way. 0: the session goes on; or -errno. */
static int fail(struct vu_session *s, const struct vu_msg *m, enum failure how, int err)
{
	const struct vu_inflight_desc none = {0};
	uint32_t len;

	switch (how) {
	case FAIL_ACK:
	case FAIL_U64:
		return reply_u64(s, 1);
	case FAIL_EMPTY:
		return vu_conn_reply(s->conn, NULL, 0, -1);
	case FAIL_INFLIGHT:
		len = m->hdr.size == INFLIGHT_MIN ? INFLIGHT_MIN : sizeof(none);
		return vu_conn_reply(s->conn, &none, len, -1);
	case FAIL_STATE:
		return reply_u64(s, VU_STATE_NOFD | 1);
	case FAIL_CLOSE:
		break;
	}
	return err;
}

int vu_dispatch(struct vu_session *s)
{
	struct vu_msg *m = &s->conn->msg;
	const struct row *row = row_for(s, m);
	const char *name = row ? row->name : "request";
	enum failure how = row ? row->failure : FAIL_ACK;
	char text[192];
	bool ack;
	int ret;

	rw_debug("%s: %s (%u) %#x %#x: %u bytes, %u descriptors", s->name, name, m->hdr.request,
		m->payload.state.index, m->payload.state.num, m->hdr.size, m->nfds);
	ret = header_check(m);
	if (ret)
		how = FAIL_ACK;
	else
		ret = msg_check(s, row, m);
	if (!ret)
		ret = msg_run(s, row, m);
	if (ret == VU_LATER)
		return ret;
	ack = (m->hdr.flags & VU_FLAG_NEED_REPLY) && vu_has_protocol_feature(s, VU_PF_REPLY_ACK);
	if (!ret)
		return succeed(s, row, m, ack);
	if (how == FAIL_ACK && !ack)
		how = FAIL_CLOSE;
	vu_complain(s, "%s (%u) refused: %s%s", name, m->hdr.request,
		why_of(s, m, ret, text, sizeof(text)),
		how == FAIL_CLOSE ? "; closing the connection" : "");
	return fail(s, m, how, ret);
}
