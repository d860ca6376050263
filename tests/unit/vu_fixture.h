/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A front-end on one end of a socket, a session on the other, and an owner that runs no rings but
 * checks how it is told to. All in one thread: nothing happens until pump() lets the loop run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rw_log.h"
#include "vu_session.h"

#define BIT(n)   (1ULL << (n))
#define VERSION1 BIT(32)
#define MRG      BIT(15)
#define PROTOCOL BIT(VU_F_PROTOCOL_FEATURES)
#define PACKED   BIT(VU_F_RING_PACKED)
#define FEATURES (VERSION1 | MRG | PROTOCOL | PACKED)
#define ALL_PF                                                                           \
	(BIT(VU_PF_MQ) | BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_NET_MTU) | BIT(VU_PF_STATUS) | \
		BIT(VU_PF_RESET_DEVICE))

#define MAX_PAIRS     4
#define MAX_RING_SIZE 1024

#define MEM_SIZE 0x100000
#define MEM_UVA  0x10000000ULL
#define NEED     VU_FLAG_NEED_REPLY

/* What became of a message. */
enum outcome { SILENCE, ACK_OK, ACK_BAD, REPLY, CLOSED };

struct front {
	struct rw_loop *loop;
	int fd;    /* the front-end's end of the socket */
	int memfd; /* the guest's memory */
	struct vu_session *s;
	uint64_t reply; /* payload of the last REPLY or acknowledgement */

	/* The owner's side. */
	bool paused[VU_MAX_RINGS];
	bool running[VU_MAX_RINGS];
	unsigned pauses, resumes, first, n;
	struct vu_session at_pause;  /* the session as the last pause found it */
	struct vu_session at_resume; /* ... and as the last resume did */
	uint32_t position;           /* where rings that are paused have got to */
	int resume_ret;
	uint16_t mtu;
	bool closed, free_when_closed;
	int reason;
};

static inline unsigned count_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned n = 0;
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static inline unsigned count_maps(void)
{
	return count_lines("/proc/self/maps");
}

static inline unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline void owner_pause(void *dev, unsigned first, unsigned n)
{
	struct front *f = dev;

	assert_true(n > 0 && first + n <= MAX_PAIRS * 2);
	f->pauses++;
	f->first = first;
	f->n = n;
	memcpy(&f->at_pause, f->s, sizeof(f->at_pause));
	for (unsigned i = first; i < first + n; i++) {
		if (f->running[i])
			f->s->rings[i].base = f->position;
		f->running[i] = false;
		f->paused[i] = true;
	}
}

static inline int owner_resume(void *dev, unsigned first, unsigned n)
{
	struct front *f = dev;

	assert_int_equal(first, f->first);
	assert_int_equal(n, f->n);
	f->resumes++;
	memcpy(&f->at_resume, f->s, sizeof(f->at_resume));
	for (unsigned i = first; i < first + n; i++) {
		assert_true(f->paused[i]);
		f->paused[i] = false;
		f->running[i] = !f->resume_ret && vu_ring_ready(f->s, i);
	}
	return f->resume_ret;
}

static inline void owner_mtu_changed(void *dev, uint16_t mtu)
{
	((struct front *)dev)->mtu = mtu;
}

static inline void owner_closed(void *dev, int reason)
{
	struct front *f = dev;

	assert_false(f->closed);
	f->closed = true;
	f->reason = reason;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++) {
		assert_false(f->running[i]);
		assert_int_equal(f->s->rings[i].kick_fd, -1);
	}
	assert_null(f->s->mem);
	if (f->free_when_closed) {
		vu_session_free(f->s);
		f->s = NULL;
	}
}

static inline void front_open_offering(
	struct front *f, struct rw_loop *loop, uint64_t features, uint64_t protocol_features)
{
	static const struct vu_ops ops = {
		owner_pause, owner_resume, owner_mtu_changed, owner_closed};
	struct vu_offer offer = {features, protocol_features, MAX_PAIRS, MAX_RING_SIZE};
	int sv[2];

	memset(f, 0, sizeof(*f));
	f->loop = loop;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	f->fd = sv[0];
	f->memfd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->memfd, MEM_SIZE), 0);
	f->s = vu_session_new(loop, sv[1], &offer, &ops, f, "front");
	assert_non_null(f->s);
}

static inline void front_open(struct front *f, struct rw_loop *loop)
{
	front_open_offering(f, loop, FEATURES, ALL_PF);
}

static inline void pump(struct front *f)
{
	/* 16 messages are taken at a time. */
	for (int i = 0; i < 8; i++)
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

/* The next reply that is waiting, or none: SILENCE, REPLY or CLOSED; its payload is in f->reply. */
static inline enum outcome receive(struct front *f, uint32_t request)
{
	struct {
		struct vu_header hdr;
		uint32_t words[2];
	} msg;
	ssize_t n = recv(f->fd, &msg, sizeof(msg), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return SILENCE;
	if (!n || (n < 0 && errno == ECONNRESET))
		return CLOSED;
	assert_int_equal(n, sizeof(msg));
	assert_int_equal(msg.hdr.request, request);
	assert_int_equal(msg.hdr.flags, VU_VERSION | VU_FLAG_REPLY);
	assert_int_equal(msg.hdr.size, sizeof(uint64_t));
	memcpy(&f->reply, msg.words, sizeof(f->reply));
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
	if (out == REPLY)
		assert_int_equal(receive(f, r->request), SILENCE);
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
	return ask(f, (struct request){request, 0, 8, {.u64 = value}, NULL, 0});
}

static inline enum outcome ask_state(struct front *f, uint32_t request, uint32_t i, uint32_t num)
{
	return ask(f, (struct request){request, 0, 8, {.state = {i, num}}, NULL, 0});
}

/* KICK, CALL or ERR with a new eventfd. */
static inline enum outcome ask_fd(struct front *f, uint32_t request, uint64_t value)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	enum outcome out = ask(f, (struct request){request, 0, 8, {.u64 = value}, &fd, 1});

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
	return ask(
		f, (struct request){VU_SET_VRING_ADDR, 0, sizeof(addr), {.addr = addr}, NULL, 0});
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

	p.u64 = get(f, (struct request){VU_GET_VRING_BASE, 0, 8, {.state = {i, 0}}, NULL, 0});
	assert_int_equal(p.state.index, i);
	return p.state.num;
}

static inline void set_protocol_features(struct front *f, uint64_t bits)
{
	struct request r = {VU_SET_PROTOCOL_FEATURES, 0, 8, {.u64 = bits}, NULL, 0};

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
	assert_non_null(u);
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
