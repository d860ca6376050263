/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * One scenario for each row of the table of messages (lib/vhost_user/table.c), keyed by request: a
 * message that succeeds, what has to be the case for it, and how its failure is told.
 * test_vhost_user.c tries each rule on every one of them: success, refusal (negative
 * acknowledgement and the others), wrong size, wrong descriptors, missing feature.
 */
#include "vu_fixture.h"

enum paused { NOTHING, THE_RING, ALL_RINGS };
enum index { NO_INDEX, U32_INDEX, FD_INDEX };
enum fds { NO_FDS, EVENTFD, MEMFD, SOCKET, PIPE };
/* How a message is answered, and how it says no. */
enum answer {
	ACKED,  /* only if asked: an acknowledgement; else the connection is closed */
	VALUE,  /* always; there is no value for "no": the connection is closed */
	REPORT, /* always; a u64 other than 0 */
	ECHO,   /* always; as ACKED */
	EMPTY,  /* always; without payload */
	ZERO,   /* always; mmap_size 0 */
	ERROR,  /* always; error bits */
};

/* Not a protocol feature bit but: */
#define ALWAYS            64
#define PROTOCOL_FEATURES 65 /* the protocol features themselves */
#define TRANSLATION       66 /* ACCESS_PLATFORM */
#define NEVER             67 /* never allowed: other devices' */

/* A message that succeeds, and changes something, after prepare(). */
struct scenario {
	struct request r;
	uint32_t size_max; /* sizes from r.size up to this one do, too; 0: only r.size does */
	enum fds fds;
	bool fds_optional; /* and none or one may come, whatever `fds` says */
	enum paused paused;
	enum index index;
	unsigned feature; /* protocol feature bit, or one of the above */
	enum answer answer;
	void (*prepare)(struct front *f); /* NULL: prepare_rings */
};

/* Payloads of static requests. */
#define S_PAYLOAD(bytes, ...) .size = (bytes), .payload = {__VA_ARGS__}
#define S_U64(v)              S_PAYLOAD(8, .u64 = (v))
#define S_STATE(i, v)         S_PAYLOAD(8, .state = {i, v})
#define S_NOTHING             .size = 0
#define S_ADDR                                     \
	S_PAYLOAD(sizeof(struct vu_vring_addr),    \
		.addr = {.index = 1,               \
			.desc = MEM_UVA + 0x40000, \
			.used = MEM_UVA + 0x48000, \
			.avail = MEM_UVA + 0x44000})
#define S_MEM \
	S_PAYLOAD(40, .mem = {.nregions = 1, .regions = {{.size = MEM_SIZE / 2, .uva = MEM_UVA}}})
#define S_LOG S_PAYLOAD(16, .log = {.size = 0x1000, .offset = 0x1008})
#define S_SLOT(at) \
	S_PAYLOAD(40, .slot.region = {.gpa = (at), .size = MEM_SIZE, .uva = MEM_UVA + (at)})
#define S_IOTLB                                                 \
	S_PAYLOAD(26,                                           \
		.iotlb = {.iova = 0x7000,                       \
			.size = 0x1000,                         \
			.uaddr = MEM_UVA,                       \
			.perm = VU_IOTLB_READ | VU_IOTLB_WRITE, \
			.type = VU_IOTLB_UPDATE})
#define S_CONFIG S_PAYLOAD(16, .config = {.offset = 8, .size = 4, .data = {1, 2, 3, 4}})
#define S_INFLIGHT                                                  \
	S_PAYLOAD(20,                                               \
		.inflight = {.mmap_size = 4 * 64 * INFLIGHT_STRIDE, \
			.mmap_offset = 0x1000,                      \
			.num_queues = 4,                            \
			.queue_size = 64})
#define S_LOAD       S_PAYLOAD(8, .state_fd = {.direction = VU_STATE_LOAD})
#define ANOTHER_SLOT (16ull * MEM_SIZE)

/* Two rings that lack only the kick. */
static inline void prepare_rings(struct front *f)
{
	negotiate(f, PROTOCOL | VERSION1 | MRG);
	describe_ring(f, 0);
	describe_ring(f, 1);
}

static inline void prepare_legacy(struct front *f)
{
	negotiate(f, PROTOCOL | MRG);
	describe_ring(f, 0);
	describe_ring(f, 1);
}

static inline void prepare_iommu(struct front *f)
{
	negotiate(f, PROTOCOL | VERSION1 | MRG | IOMMU);
	describe_ring(f, 0);
	describe_ring(f, 1);
}

static inline void prepare_inband(struct front *f)
{
	prepare_rings(f);
	set_protocol_features(f, ALL_PF | INBAND);
}

/* Nothing is mapped yet. */
static inline void prepare_advised(struct front *f)
{
	struct request advise = msg(VU_POSTCOPY_ADVISE);

	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, PROTOCOL | VERSION1 | MRG), ACK_OK);
	assert_int_equal(exchange(f, &advise), REPLY);
}

static inline void prepare_postcopy(struct front *f)
{
	struct request advise = msg(VU_POSTCOPY_ADVISE);

	prepare_rings(f);
	assert_int_equal(exchange(f, &advise), REPLY);
}

/* SET_DEVICE_STATE_FD with end `end` of a new pipe; the other end is the caller's. */
static inline int give_pipe(struct front *f, uint32_t direction, int end)
{
	struct request r = msg_of(VU_SET_DEVICE_STATE_FD, sizeof(struct vu_state_fd));
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	r.payload.state_fd.direction = direction;
	r = with_fds(r, &fds[end], 1);
	assert_int_equal(exchange(f, &r), REPLY);
	close(fds[end]);
	return fds[!end];
}

static inline void prepare_saved(struct front *f)
{
	uint8_t buf[STATE_LEN + 1];
	int fd;

	prepare_rings(f);
	fd = give_pipe(f, VU_STATE_SAVE, 1);
	assert_int_equal(read(fd, buf, sizeof(buf)), STATE_LEN);
	close(fd);
}

static inline void prepare_slots(struct front *f)
{
	struct request r = {.request = VU_ADD_MEM_REG, S_SLOT(ANOTHER_SLOT)};

	prepare_rings(f);
	r.fds = &f->memfd;
	r.n = 1;
	assert_int_equal(ask(f, r), ACK_OK);
}

/* clang-format off */
static const struct scenario scenarios[] = {
	[VU_GET_FEATURES] = {{.request = VU_GET_FEATURES, S_NOTHING}, .feature = ALWAYS,
		.answer = VALUE},
	[VU_SET_FEATURES] = {{.request = VU_SET_FEATURES, S_U64(PROTOCOL | VERSION1)},
		.paused = ALL_RINGS, .feature = ALWAYS},
	[VU_SET_OWNER] = {{.request = VU_SET_OWNER, S_NOTHING}, .feature = ALWAYS},
	[VU_RESET_OWNER] = {{.request = VU_RESET_OWNER, S_NOTHING}, .feature = ALWAYS},
	[VU_SET_MEM_TABLE] = {{.request = VU_SET_MEM_TABLE, S_MEM}, .fds = MEMFD,
		.paused = ALL_RINGS,
		.feature = ALWAYS},
	[VU_SET_LOG_BASE] = {{.request = VU_SET_LOG_BASE, S_LOG}, .fds = MEMFD, .paused = ALL_RINGS,
		.feature = VU_PF_LOG_SHMFD, .answer = ECHO},
	[VU_SET_LOG_FD] = {{.request = VU_SET_LOG_FD, S_NOTHING}, .fds = EVENTFD,
		.feature = ALWAYS},
	[VU_SET_VRING_NUM] = {{.request = VU_SET_VRING_NUM, S_STATE(1, 128)}, .paused = THE_RING,
		.index = U32_INDEX, .feature = ALWAYS},
	[VU_SET_VRING_ADDR] = {{.request = VU_SET_VRING_ADDR, S_ADDR}, .paused = THE_RING,
		.index = U32_INDEX, .feature = ALWAYS},
	[VU_SET_VRING_BASE] = {{.request = VU_SET_VRING_BASE, S_STATE(1, 7)}, .paused = THE_RING,
		.index = U32_INDEX, .feature = ALWAYS},
	[VU_GET_VRING_BASE] = {{.request = VU_GET_VRING_BASE, S_STATE(1, 0)}, .paused = THE_RING,
		.index = U32_INDEX, .feature = ALWAYS, .answer = VALUE},
	[VU_SET_VRING_KICK] = {{.request = VU_SET_VRING_KICK, S_U64(1)}, .fds = EVENTFD,
		.paused = THE_RING, .index = FD_INDEX, .feature = ALWAYS},
	[VU_SET_VRING_CALL] = {{.request = VU_SET_VRING_CALL, S_U64(1)}, .fds = EVENTFD,
		.paused = THE_RING, .index = FD_INDEX, .feature = ALWAYS},
	[VU_SET_VRING_ERR] = {{.request = VU_SET_VRING_ERR, S_U64(1)}, .fds = EVENTFD,
		.paused = THE_RING, .index = FD_INDEX, .feature = ALWAYS},
	[VU_GET_PROTOCOL_FEATURES] = {{.request = VU_GET_PROTOCOL_FEATURES, S_NOTHING},
		.feature = PROTOCOL_FEATURES, .answer = VALUE},
	[VU_SET_PROTOCOL_FEATURES] = {
		{.request = VU_SET_PROTOCOL_FEATURES, S_U64(BIT(VU_PF_REPLY_ACK))},
		.paused = ALL_RINGS, .feature = PROTOCOL_FEATURES},
	[VU_GET_QUEUE_NUM] = {{.request = VU_GET_QUEUE_NUM, S_NOTHING}, .feature = VU_PF_MQ,
		.answer = VALUE},
	[VU_SET_VRING_ENABLE] = {{.request = VU_SET_VRING_ENABLE, S_STATE(1, 1)},
		.paused = THE_RING,
		.index = U32_INDEX, .feature = PROTOCOL_FEATURES},
	[VU_SEND_RARP] = {{.request = VU_SEND_RARP, S_U64(0x060504030201)}, .feature = VU_PF_RARP},
	[VU_NET_SET_MTU] = {{.request = VU_NET_SET_MTU, S_U64(1500)}, .feature = VU_PF_NET_MTU},
	[VU_SET_BACKEND_REQ_FD] = {{.request = VU_SET_BACKEND_REQ_FD, S_NOTHING}, .fds = SOCKET,
		.feature = VU_PF_BACKEND_REQ},
	[VU_IOTLB_MSG] = {{.request = VU_IOTLB_MSG, S_IOTLB}, .size_max = 32,
		.feature = TRANSLATION,
		.answer = REPORT, .prepare = prepare_iommu},
	[VU_SET_VRING_ENDIAN] = {{.request = VU_SET_VRING_ENDIAN, S_STATE(1, 1)},
		.paused = THE_RING,
		.index = U32_INDEX, .feature = VU_PF_CROSS_ENDIAN, .prepare = prepare_legacy},
	[VU_GET_CONFIG] = {{.request = VU_GET_CONFIG, S_CONFIG}, .feature = VU_PF_CONFIG,
		.answer = EMPTY},
	[VU_SET_CONFIG] = {{.request = VU_SET_CONFIG, S_CONFIG}, .feature = VU_PF_CONFIG},
	[VU_CREATE_CRYPTO_SESSION] = {{.request = VU_CREATE_CRYPTO_SESSION, S_NOTHING},
		.feature = NEVER},
	[VU_CLOSE_CRYPTO_SESSION] = {{.request = VU_CLOSE_CRYPTO_SESSION, S_U64(0)},
		.feature = NEVER},
	[VU_POSTCOPY_ADVISE] = {{.request = VU_POSTCOPY_ADVISE, S_NOTHING},
		.feature = VU_PF_PAGEFAULT,
		.answer = EMPTY},
	[VU_POSTCOPY_LISTEN] = {{.request = VU_POSTCOPY_LISTEN, S_NOTHING},
		.feature = VU_PF_PAGEFAULT,
		.prepare = prepare_advised},
	[VU_POSTCOPY_END] = {{.request = VU_POSTCOPY_END, S_NOTHING}, .paused = ALL_RINGS,
		.feature = VU_PF_PAGEFAULT, .answer = REPORT, .prepare = prepare_postcopy},
	[VU_GET_INFLIGHT_FD] = {{.request = VU_GET_INFLIGHT_FD, S_INFLIGHT}, .size_max = 24,
		.paused = ALL_RINGS, .feature = VU_PF_INFLIGHT_SHMFD, .answer = ZERO},
	[VU_SET_INFLIGHT_FD] = {{.request = VU_SET_INFLIGHT_FD, S_INFLIGHT}, .size_max = 24,
		.fds = MEMFD, .paused = ALL_RINGS, .feature = VU_PF_INFLIGHT_SHMFD},
	[VU_GPU_SET_SOCKET] = {{.request = VU_GPU_SET_SOCKET, S_NOTHING}, .feature = NEVER},
	[VU_RESET_DEVICE] = {{.request = VU_RESET_DEVICE, S_NOTHING}, .paused = ALL_RINGS,
		.feature = VU_PF_RESET_DEVICE},
	[VU_VRING_KICK] = {{.request = VU_VRING_KICK, S_STATE(1, 0)}, .paused = THE_RING,
		.index = U32_INDEX, .feature = VU_PF_INBAND_NOTIFICATIONS,
		.prepare = prepare_inband},
	[VU_GET_MAX_MEM_SLOTS] = {{.request = VU_GET_MAX_MEM_SLOTS, S_NOTHING},
		.feature = VU_PF_CONFIGURE_MEM_SLOTS, .answer = VALUE},
	[VU_ADD_MEM_REG] = {{.request = VU_ADD_MEM_REG, S_SLOT(ANOTHER_SLOT)}, .fds = MEMFD,
		.paused = ALL_RINGS, .feature = VU_PF_CONFIGURE_MEM_SLOTS},
	[VU_REM_MEM_REG] = {{.request = VU_REM_MEM_REG, S_SLOT(ANOTHER_SLOT)}, .fds_optional = true,
		.paused = ALL_RINGS, .feature = VU_PF_CONFIGURE_MEM_SLOTS,
		.prepare = prepare_slots},
	[VU_SET_STATUS] = {{.request = VU_SET_STATUS, S_U64(0xf)}, .feature = VU_PF_STATUS},
	[VU_GET_STATUS] = {{.request = VU_GET_STATUS, S_NOTHING}, .feature = VU_PF_STATUS,
		.answer = VALUE},
	[VU_GET_SHARED_OBJECT] = {{.request = VU_GET_SHARED_OBJECT, S_NOTHING}, .feature = NEVER},
	[VU_SET_DEVICE_STATE_FD] = {{.request = VU_SET_DEVICE_STATE_FD, S_LOAD}, .fds = PIPE,
		.feature = VU_PF_DEVICE_STATE, .answer = ERROR},
	[VU_CHECK_DEVICE_STATE] = {{.request = VU_CHECK_DEVICE_STATE, S_NOTHING},
		.feature = VU_PF_DEVICE_STATE, .answer = REPORT, .prepare = prepare_saved},
	[VU_GET_SHMEM_CONFIG] = {{.request = VU_GET_SHMEM_CONFIG, S_NOTHING}, .feature = NEVER},
};
/* clang-format on */

/* All but those that are never allowed. */
#define FOR_EACH_SCENARIO(sc)                                                                  \
	for (const struct scenario *sc = scenarios; sc < scenarios + RW_ARRAY_SIZE(scenarios); \
		sc++)                                                                          \
		if (sc->r.request && sc->feature != NEVER)

/* A front-end of its own, ready for the scenario's message. */
static inline void prepare(struct front *f, struct rw_loop *loop, const struct scenario *sc)
{
	front_open(f, loop);
	(sc->prepare ? sc->prepare : prepare_rings)(f);
}

/* A descriptor of the scenario's kind. */
static inline int fd_for(const struct front *f, const struct scenario *sc)
{
	int fds[2];

	switch (sc->fds) {
	case MEMFD:
		return dup(f->memfd);
	case SOCKET:
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		close(fds[1]);
		return fds[0];
	case PIPE:
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		close(fds[1]);
		return fds[0];
	default:
		return eventfd(0, EFD_CLOEXEC);
	}
}

/* The scenario's request with `n` descriptors of its kind. */
static inline enum outcome try_with_fds(
	struct front *f, const struct scenario *sc, struct request r, unsigned n)
{
	int fds[VU_MAX_FDS + 2];
	enum outcome out;

	assert_true(n <= RW_ARRAY_SIZE(fds));
	for (unsigned i = 0; i < n; i++)
		fds[i] = fd_for(f, sc);
	r.fds = fds;
	r.n = n;
	out = exchange(f, &r);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	return out;
}

static inline unsigned fds_of(const struct scenario *sc)
{
	return sc->fds == NO_FDS ? 0 : 1;
}

static inline enum outcome try(struct front *f, const struct scenario *sc, struct request r)
{
	return try_with_fds(f, sc, r, fds_of(sc));
}

/* What comes of a scenario's message, need_reply set or not. */
static inline enum outcome success(const struct scenario *sc, bool acks)
{
	return acks || sc->answer != ACKED ? REPLY : SILENCE;
}

/* What comes of it when it fails. */
static inline enum outcome failure(const struct scenario *sc, bool acks)
{
	if (sc->answer == VALUE || (!acks && (sc->answer == ACKED || sc->answer == ECHO)))
		return CLOSED;
	return REPLY;
}

/* That the reply says that it failed. */
static inline void assert_refusal(const struct front *f, const struct scenario *sc)
{
	const uint64_t error = VU_STATE_NOFD | 1;

	assert_int_equal(f->reply_fd, -1);
	switch (sc->answer) {
	case EMPTY:
		assert_int_equal(f->reply_size, 0);
		break;
	case ZERO:
		assert_true(f->reply_size == 20 || f->reply_size == 24);
		assert_int_equal(f->reply, 0);
		break;
	case ERROR:
		assert_int_equal(f->reply_size, 8);
		assert_int_equal(f->reply, error);
		break;
	default:
		assert_int_equal(f->reply_size, 8);
		assert_int_equal(f->reply, 1);
	}
}

/* One message, as bytes. */
struct bytes {
	uint8_t data[VU_HEADER_SIZE + 8192];
	size_t len;
};

static inline struct bytes bytes_of(const struct request *r)
{
	struct bytes b;

	b.len = put_message(b.data, r->request, r->flags ^ VU_VERSION, &r->payload, r->size);
	return b;
}

/* The messages by which a ring comes to life; fds of those that want one are made on the way. */
static inline unsigned whole_negotiation(struct front *f, struct request *r, int *eventfd_out)
{
	struct request table = one_region(f);
	unsigned n = 0;

	*eventfd_out = eventfd(0, EFD_CLOEXEC);
	r[n++] = msg_u64(VU_SET_PROTOCOL_FEATURES, ALL_PF);
	r[n++] = msg(VU_SET_OWNER);
	r[n++] = msg_u64(VU_SET_FEATURES, FEATURES & ~PACKED);
	r[n++] = table;
	r[n++] = msg_state(VU_SET_VRING_NUM, 0, 256);
	r[n++] = msg_state(VU_SET_VRING_BASE, 0, 0);
	r[n++] = msg_addr(addr_at(0, 0));
	r[n++] = with_fds(msg_u64(VU_SET_VRING_KICK, 0), eventfd_out, 1);
	r[n++] = with_fds(msg_u64(VU_SET_VRING_CALL, 0), eventfd_out, 1);
	r[n] = msg_state(VU_SET_VRING_ENABLE, 0, 1);
	r[n++].flags = NEED;
	return n;
}
