/* SPDX-License-Identifier: BSD-3-Clause */
#include "say.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMORY_SIZE (1 << 20)

#define R(name_)    .name = #name_, .request = VU_##name_
#define U64(v)      .len = 8, .payload.u64 = (v)
#define STATE(i, n) .len = sizeof(struct vu_vring_state), .payload.state = {(i), (n)}

/* clang-format off */
const struct request requests[] = {
	{R(GET_FEATURES)},
	{R(SET_FEATURES), U64(1ull << VIRTIO_F_VERSION_1)},
	{R(SET_OWNER)},
	{R(RESET_OWNER)},
	{R(SET_MEM_TABLE), .len = 40, .nfds = 1, .kind = FD_MEMORY,
		.payload.mem = {.nregions = 1, .regions = {{.size = MEMORY_SIZE}}}},
	{R(SET_LOG_BASE), .len = 16, .nfds = 1, .kind = FD_MEMORY, .payload.log = {.size = 4096}},
	{R(SET_LOG_FD), .len = 0, .nfds = 1, .kind = FD_EVENT},
	{R(SET_VRING_NUM), .names_ring = true, STATE(0, 256)},
	{R(SET_VRING_ADDR), .len = sizeof(struct vu_vring_addr), .names_ring = true},
	{R(SET_VRING_BASE), .names_ring = true, STATE(0, 0)},
	{R(GET_VRING_BASE), .names_ring = true, STATE(0, 0)},
	{R(SET_VRING_KICK), .nfds = 1, .kind = FD_EVENT, U64(0)},
	{R(SET_VRING_CALL), .nfds = 1, .kind = FD_EVENT, U64(0)},
	{R(SET_VRING_ERR), .nfds = 1, .kind = FD_EVENT, U64(0)},
	{R(GET_PROTOCOL_FEATURES)},
	{R(SET_PROTOCOL_FEATURES), U64(1 << VU_PF_REPLY_ACK)},
	{R(GET_QUEUE_NUM)},
	{R(SET_VRING_ENABLE), .names_ring = true, STATE(0, 1)},
	{R(SEND_RARP), U64(0x060504030202)},
	{R(NET_SET_MTU), U64(1500)},
	{R(SET_BACKEND_REQ_FD), .len = 0, .nfds = 1, .kind = FD_SOCKET},
	{R(IOTLB_MSG), .len = sizeof(struct vu_iotlb)},
	{R(SET_VRING_ENDIAN), .names_ring = true, STATE(0, 0)},
	{R(GET_CONFIG), .len = 16, .payload.config = {.offset = 8, .size = 4}},
	{R(SET_CONFIG), .len = 16, .payload.config = {.offset = 8, .size = 4}},
	{R(CREATE_CRYPTO_SESSION), .len = 256},
	{R(CLOSE_CRYPTO_SESSION), U64(0)},
	{R(POSTCOPY_ADVISE)},
	{R(POSTCOPY_LISTEN)},
	{R(POSTCOPY_END)},
	{R(GET_INFLIGHT_FD), .len = 24,
		.payload.inflight = {.num_queues = 2, .queue_size = 256}},
	{R(SET_INFLIGHT_FD), .len = 24, .nfds = 1, .kind = FD_MEMORY,
		.payload.inflight = {.mmap_size = MEMORY_SIZE, .num_queues = 2, .queue_size = 256}},
	{R(GPU_SET_SOCKET), .len = 0, .nfds = 1, .kind = FD_SOCKET},
	{R(RESET_DEVICE)},
	{R(VRING_KICK), .names_ring = true, STATE(0, 0)},
	{R(GET_MAX_MEM_SLOTS)},
	{R(ADD_MEM_REG), .len = 40, .nfds = 1, .kind = FD_MEMORY, .payload.slot.region = {
		.gpa = 1ull << 40, .size = MEMORY_SIZE, .uva = 1ull << 40}},
	{R(REM_MEM_REG), .len = 40, .payload.slot.region = {
		.gpa = 1ull << 40, .size = MEMORY_SIZE, .uva = 1ull << 40}},
	{R(SET_STATUS), U64(0xf)},
	{R(GET_STATUS)},
	{R(GET_SHARED_OBJECT), .len = 16},
	{R(SET_DEVICE_STATE_FD), .len = 8, .nfds = 1, .kind = FD_PIPE},
	{R(CHECK_DEVICE_STATE)},
	{R(GET_SHMEM_CONFIG)},
	{.name = "request 0", .request = 0},
	{.name = "request 45", .request = 45},
	{.name = "request 2^32 - 1", .request = UINT32_MAX},
};
/* clang-format on */

const size_t nrequests = RW_ARRAY_SIZE(requests);

int fd_of(enum fd_kind kind)
{
	int fd = -1, fds[2];

	switch (kind) {
	case FD_EVENT:
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		break;
	case FD_MEMORY:
		fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(ftruncate(fd, MEMORY_SIZE), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
		break;
	case FD_SOCKET:
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		close(fds[1]);
		fd = fds[0];
		break;
	case FD_PIPE:
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		close(fds[0]);
		fd = fds[1];
		break;
	}
	assert_true(fd >= 0);
	return fd;
}

/* How a request says no. */
static bool is_refusal(uint32_t request, const struct fe_msg *reply)
{
	switch (request) {
	case VU_GET_FEATURES:
	case VU_GET_PROTOCOL_FEATURES:
	case VU_GET_QUEUE_NUM:
	case VU_GET_VRING_BASE:
	case VU_GET_MAX_MEM_SLOTS:
	case VU_GET_STATUS:
		return false; /* by closing only */
	case VU_GET_CONFIG:
	case VU_POSTCOPY_ADVISE:
		return !reply->header.size;
	case VU_GET_INFLIGHT_FD:
		return !reply->payload.inflight.mmap_size;
	case VU_SET_LOG_BASE:
		/* On success it is an echo of two numbers. */
		return reply->header.size == sizeof(uint64_t);
	case VU_SET_DEVICE_STATE_FD:
		return reply->payload.u64 & VU_STATE_ERROR_MASK;
	default:
		return reply->header.size != sizeof(uint64_t) || reply->payload.u64;
	}
}

enum outcome say(struct peer *p, const struct fe_raw *raw, uint64_t *value)
{
	uint8_t bytes[VU_HEADER_SIZE + 1024];
	const struct vu_header h = {.request = raw->request,
		.flags = VU_VERSION | VU_FLAG_NEED_REPLY,
		.size = raw->len};
	struct fe_conn *c = &p->g->conn;
	struct fe_msg reply;
	enum outcome out;
	int err;

	assert_true(raw->len <= sizeof(bytes) - VU_HEADER_SIZE);
	memcpy(bytes, &h, VU_HEADER_SIZE);
	if (raw->len)
		memcpy(bytes + VU_HEADER_SIZE, raw->payload, raw->len);
	err = fe_conn_send_bytes(c, bytes, VU_HEADER_SIZE + raw->len, raw->fds, raw->nfds);
	if (!err)
		err = fe_conn_recv(c, &reply);
	if (err == -ECONNRESET)
		return CLOSED;
	if (err)
		fail_msg("request %u: %s", raw->request, strerror(-err));
	assert_int_equal(reply.header.request, raw->request);
	assert_int_equal(reply.header.flags, VU_VERSION | VU_FLAG_REPLY);
	out = is_refusal(raw->request, &reply) ? SAID_NO : SAID_YES;
	if (value)
		*value = reply.payload.u64;
	fe_msg_drop_fds(&reply);
	return out;
}

enum outcome say_with(
	struct peer *p, uint32_t request, const void *payload, uint32_t len, int fd, uint32_t nfds)
{
	int fds[253];

	assert_true(nfds <= RW_ARRAY_SIZE(fds));
	for (uint32_t i = 0; i < nfds; i++)
		fds[i] = fd;
	return say(p,
		&(struct fe_raw){.request = request,
			.payload = payload,
			.len = len,
			.fds = fds,
			.nfds = nfds},
		NULL);
}

void negotiated_anew(struct rig *r, struct peer *p)
{
	fe_guest_disconnect(p->g);
	peer_connect(r, p);
	assert_int_equal(fe_guest_negotiate(p->g), 0);
}

void run_rings(struct peer *p)
{
	assert_int_equal(fe_guest_reset_rings(p->g), 0);
	assert_int_equal(fe_guest_share_memory(p->g), 0);
	for (uint32_t i = 0; i < p->g->nqueues; i++)
		assert_int_equal(fe_guest_start_ring(p->g, i), 0);
	peer_sync(p);
}

bool refused(
	struct rig *r, struct peer *p, uint32_t request, const void *payload, uint32_t len, int fd)
{
	enum outcome out = say_with(p, request, payload, len, fd, fd >= 0);

	if (out == SAID_YES)
		fail_msg("request %u was not refused", request);
	if (out == CLOSED)
		negotiated_anew(r, p);
	else
		peer_sync(p); /* and nothing else was said */
	return out == CLOSED;
}

struct peer *negotiated(struct rig *r, const struct fe_guest_config *c)
{
	struct peer *p = peer_new(r, "a", c);

	negotiated_anew(r, p);
	return p;
}

struct peer *pair_up(struct rig *r, const struct fe_guest_config *c, struct peer **b)
{
	struct peer *a = peer_up(r, "a", c), *other = peer_up(r, "b", c);

	peers_meet(r, a, other);
	if (b)
		*b = other;
	return a;
}

struct fe_guest_config guest_of_all(uint64_t format)
{
	struct fe_guest_config c = guest_usual();

	c.features |= format | FE_BIT(VIRTIO_NET_F_MQ);
	c.protocol_features = FE_BIT(VU_PF_MQ) | FE_BIT(VU_PF_LOG_SHMFD) | FE_BIT(VU_PF_RARP) |
		FE_BIT(VU_PF_REPLY_ACK) | FE_BIT(VU_PF_NET_MTU) | FE_BIT(VU_PF_CONFIG) |
		FE_BIT(VU_PF_INFLIGHT_SHMFD) | FE_BIT(VU_PF_RESET_DEVICE) |
		FE_BIT(VU_PF_CONFIGURE_MEM_SLOTS) | FE_BIT(VU_PF_STATUS) |
		FE_BIT(VU_PF_DEVICE_STATE);
	return c;
}
