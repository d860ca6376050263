/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A front-end on one end of a socket, a session on the other, and the owner of vu_owner.h. All in
 * one thread: nothing happens until pump() lets the loop run.
 */
#include "rw_signal.h"
#include "vu_owner.h"

static inline void front_open_with(
	struct front *f, struct rw_loop *loop, const struct vu_offer *offer)
{
	int sv[2];

	memset(f, 0, sizeof(*f));
	f->loop = loop;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	f->fd = sv[0];
	f->reply_fd = -1;
	f->state_len = STATE_LEN;
	f->memfd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(f->memfd, MEM_SIZE), 0);
	f->s = vu_session_new(loop, sv[1], offer, &owner_ops, f, "front");
	assert_non_null(f->s);
}

static inline void front_open_offering(
	struct front *f, struct rw_loop *loop, uint64_t features, uint64_t protocol_features)
{
	struct vu_offer offer = {.features = features,
		.protocol_features = protocol_features,
		.max_pairs = MAX_PAIRS,
		.max_ring_size = MAX_RING_SIZE};

	front_open_with(f, loop, &offer);
}

static inline void front_open(struct front *f, struct rw_loop *loop)
{
	front_open_offering(f, loop, OFFERED, OFFERED_PF);
}

static inline void pump(struct front *f)
{
	/* Up to 16 messages are carried out at a time; on a busy machine it can be one. */
	for (int i = 0; i < 64; i++)
		assert_int_equal(rw_loop_once(f->loop, 0), 0);
}

static inline void front_close(struct front *f)
{
	if (f->fd >= 0)
		close(f->fd);
	pump(f);
	assert_true(f->closed);
	vu_session_free(f->s);
	close(f->memfd);
	if (f->reply_fd >= 0)
		close(f->reply_fd);
	free(f->loaded);
}

/* Write raw bytes, with descriptors. False: the back-end has closed the socket. */
static inline bool send_raw(
	struct front *f, const void *data, size_t len, const int *fds, unsigned n)
{
	union {
		struct cmsghdr hdr;
		char room[CMSG_SPACE(sizeof(int) * 64)];
	} control;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (n) {
		assert_true(n <= 64);
		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(&control.hdr), fds, sizeof(int) * n);
	}
	sent = sendmsg(f->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
		return false;
	assert_int_equal(sent, len);
	return true;
}

/* `size` bytes of payload, of which only the union's are other than zero. Returns the length. */
static inline size_t put_message(uint8_t *buf, uint32_t request, uint32_t flags,
	const union vu_payload *payload, uint32_t size)
{
	struct vu_header hdr = {request, flags, size};

	memcpy(buf, &hdr, sizeof(hdr));
	memset(buf + sizeof(hdr), 0, size);
	if (payload)
		memcpy(buf + sizeof(hdr), payload, RW_MIN(size, sizeof(*payload)));
	return sizeof(hdr) + size;
}

/* A request with everything about it to choose; fds: `n` of them, the caller's. */
struct request {
	uint32_t request;
	uint32_t flags; /* besides the version; VU_VERSION ^ bits for a wrong one */
	uint32_t size;
	union vu_payload payload;
	const int *fds;
	unsigned n;
};

/*
 * Builders of requests: without payload, with a payload of `size` bytes to fill in, or with a usual
 * one.
 */

static inline struct request msg(uint32_t request)
{
	return (struct request){.request = request};
}

static inline struct request msg_of(uint32_t request, uint32_t size)
{
	return (struct request){.request = request, .size = size};
}

static inline struct request msg_u64(uint32_t request, uint64_t value)
{
	struct request r = msg_of(request, sizeof(value));

	r.payload.u64 = value;
	return r;
}

/* For ring `i`. */
static inline struct request msg_state(uint32_t request, uint32_t i, uint32_t num)
{
	struct request r = msg_of(request, sizeof(struct vu_vring_state));

	r.payload.state = (struct vu_vring_state){i, num};
	return r;
}

static inline struct request msg_addr(struct vu_vring_addr addr)
{
	struct request r = msg_of(VU_SET_VRING_ADDR, sizeof(addr));

	r.payload.addr = addr;
	return r;
}

/* `r` with `n` descriptors, which stay the caller's. */
static inline struct request with_fds(struct request r, const int *fds, unsigned n)
{
	r.fds = fds;
	r.n = n;
	return r;
}

/* What is waiting on socket `fd`, with at most one descriptor: bytes, 0 at the end, or -errno. */
static inline ssize_t receive_raw(int fd, void *data, size_t len, int *fd_out)
{
	union {
		struct cmsghdr hdr;
		char room[CMSG_SPACE(sizeof(int) * 4)];
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = len};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *p;

	if (n < 0)
		return -errno;
	p = CMSG_FIRSTHDR(&mh);
	if (p) {
		assert_int_equal(p->cmsg_len, CMSG_LEN(sizeof(int)));
		memcpy(fd_out, CMSG_DATA(p), sizeof(int));
	}
	return n;
}

/* The next reply that is waiting, or none: SILENCE, REPLY or CLOSED; see f->reply. */
static inline enum outcome receive(struct front *f, uint32_t request)
{
	struct vu_header hdr;
	ssize_t n;

	if (f->reply_fd >= 0)
		close(f->reply_fd);
	f->reply_fd = -1;
	n = receive_raw(f->fd, &hdr, sizeof(hdr), &f->reply_fd);
	if (n == -EAGAIN)
		return SILENCE;
	if (!n || n == -ECONNRESET)
		return CLOSED;
	assert_int_equal(n, sizeof(hdr));
	assert_int_equal(hdr.request, request);
	assert_int_equal(hdr.flags, VU_VERSION | VU_FLAG_REPLY);
	assert_true(hdr.size <= sizeof(f->reply_payload));
	memset(&f->reply_payload, 0, sizeof(f->reply_payload));
	if (hdr.size)
		assert_int_equal(recv(f->fd, &f->reply_payload, hdr.size, MSG_DONTWAIT), hdr.size);
	f->reply = f->reply_payload.u64;
	f->reply_size = hdr.size;
	return REPLY;
}

/* Send `r` and say what came of it; more than one answer is never right. */
static inline enum outcome exchange(struct front *f, const struct request *r)
{
	uint8_t buf[VU_HEADER_SIZE + 8192];
	size_t len = put_message(buf, r->request, r->flags ^ VU_VERSION, &r->payload, r->size);
	enum outcome out;

	send_raw(f, buf, len, r->fds, r->n);
	pump(f);
	out = receive(f, r->request);
	assert_int_equal(f->closed, out == CLOSED);
	if (out == REPLY) {
		char more;

		assert_true(recv(f->fd, &more, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	}
	return out;
}

/* Send `r` with need_reply set: ACK_OK, ACK_BAD or CLOSED. */
static inline enum outcome ask(struct front *f, struct request r)
{
	enum outcome out;

	r.flags |= NEED;
	out = exchange(f, &r);
	if (out != REPLY)
		return out;
	return f->reply ? ACK_BAD : ACK_OK;
}

static inline enum outcome ask_u64(struct front *f, uint32_t request, uint64_t value)
{
	return ask(f, msg_u64(request, value));
}

static inline enum outcome ask_state(struct front *f, uint32_t request, uint32_t i, uint32_t num)
{
	return ask(f, msg_state(request, i, num));
}

/* KICK, CALL or ERR with a new eventfd. */
static inline enum outcome ask_fd(struct front *f, uint32_t request, uint64_t value)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	enum outcome out = ask(f, with_fds(msg_u64(request, value), &fd, 1));

	close(fd);
	return out;
}

static inline struct vu_vring_addr addr_at(uint32_t i, uint64_t offset)
{
	return (struct vu_vring_addr){
		.index = i,
		.desc = MEM_UVA + offset,
		.avail = MEM_UVA + offset + 0x4000,
		.used = MEM_UVA + offset + 0x8000,
	};
}

static inline enum outcome ask_addr(struct front *f, struct vu_vring_addr addr)
{
	return ask(f, msg_addr(addr));
}

/* One region, the whole of f->memfd, at guest address 0. */
static inline struct request one_region(struct front *f)
{
	return (struct request){
		.request = VU_SET_MEM_TABLE,
		.size = 8 + 32,
		.payload.mem = {1, 0, {{.size = MEM_SIZE, .uva = MEM_UVA}}},
		.fds = &f->memfd,
		.n = 1,
	};
}

static inline enum outcome ask_mem(struct front *f)
{
	return ask(f, one_region(f));
}

/* A body reply: its u64. */
static inline uint64_t get(struct front *f, struct request r)
{
	assert_int_equal(exchange(f, &r), REPLY);
	return f->reply;
}

/* GET_VRING_BASE of ring `i`: its base. */
static inline uint32_t stop_ring(struct front *f, uint32_t i)
{
	union vu_payload p;

	p.u64 = get(f, msg_state(VU_GET_VRING_BASE, i, 0));
	assert_int_equal(p.state.index, i);
	return p.state.num;
}

static inline void set_protocol_features(struct front *f, uint64_t bits)
{
	struct request r = msg_u64(VU_SET_PROTOCOL_FEATURES, bits);

	assert_int_equal(exchange(f, &r), SILENCE);
}

/* Up to and including the memory table. */
static inline void negotiate(struct front *f, uint64_t features)
{
	set_protocol_features(f, ALL_PF);
	assert_int_equal(ask_u64(f, VU_SET_FEATURES, features), ACK_OK);
	assert_int_equal(ask_mem(f), ACK_OK);
}

/* All of ring `i` but the kick. */
static inline void describe_ring(struct front *f, uint32_t i)
{
	assert_int_equal(ask_state(f, VU_SET_VRING_NUM, i, 256), ACK_OK);
	assert_int_equal(ask_state(f, VU_SET_VRING_BASE, i, 0), ACK_OK);
	assert_int_equal(ask_addr(f, addr_at(i, 0x10000 * i)), ACK_OK);
	assert_int_equal(ask_fd(f, VU_SET_VRING_CALL, i), ACK_OK);
}

static inline void start_ring(struct front *f, uint32_t i)
{
	describe_ring(f, i);
	assert_int_equal(ask_fd(f, VU_SET_VRING_KICK, i), ACK_OK);
	assert_true(f->running[i]);
}

/*
 * Setup and teardown of a test: *state has a front-end that has said nothing. Every test ends with
 * as many open descriptors as it began with.
 */
struct unit {
	struct front front;
	struct rw_loop *loop;
	unsigned fds_before;
};

static inline int unit_begin(void **state)
{
	struct unit *u = calloc(1, sizeof(*u));

	/* Refused messages are the matter of these tests, not news. */
	rw_log_set_level(RW_LOG_ERROR);
	signal(SIGPIPE, SIG_IGN);
	assert_non_null(u);
	rw_foreign_signal_prepare(); /* opens a descriptor once */
	u->fds_before = count_fds();
	u->loop = rw_loop_new();
	assert_non_null(u->loop);
	front_open(&u->front, u->loop);
	*state = u;
	return 0;
}

static inline int unit_end(void **state)
{
	struct unit *u = *state;

	front_close(&u->front);
	rw_loop_free(u->loop);
	assert_int_equal(count_fds(), u->fds_before);
	free(u);
	return 0;
}

static inline struct front *front_of(void **state)
{
	return &((struct unit *)*state)->front;
}

#define spec(test) cmocka_unit_test_setup_teardown(test, unit_begin, unit_end)
