/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session whose front-end is the input: messages with descriptors, whole or in parts, answers on
 * the back-end channel, and what the owner does meanwhile. The owner of the unit tests checks how
 * it is told to run rings; each request is checked to get the answers that it should.
 */
#include "messages.h"
#include "vu_export.h"

#define MAX_STEPS 40

static struct rw_loop *loop;
static int shared_fds[FD_NKINDS]; /* -1: made for each input */

struct run {
	struct front f;
	struct rw_budgets budgets;
	struct vu_offer offer;
	int event;
	int pipe[2];
	int channel[2]; /* the second end goes to the back-end */
	bool partial;   /* a message was sent in part */
};

/* As the contract says: a session that ends need not wait for anybody. */
static bool fuzz_pause(void *dev, unsigned first, unsigned n)
{
	struct front *f = dev;

	f->pause_later = f->pause_later && !vu_is_over(f->s);
	return owner_pause(dev, first, n);
}

static struct vu_ops fuzz_ops;

static int file_of(off_t bytes)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	fuzz_check(fd >= 0 && !ftruncate(fd, bytes));
	return fd;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	rw_log_set_level(RW_LOG_ERROR);
	signal(SIGPIPE, SIG_IGN);
	loop = rw_loop_new();
	fuzz_check(loop);
	fuzz_ops = owner_ops;
	fuzz_ops.rings_pause = fuzz_pause;
	memset(shared_fds, 0xff, sizeof(shared_fds));
	shared_fds[FD_SMALL] = file_of(4096);
	shared_fds[FD_EMPTY] = file_of(0);
	shared_fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	shared_fds[FD_DIR] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

static const struct vu_offer offer = {.features = OFFERED,
	.protocol_features = OFFERED_PF,
	.max_pairs = MAX_PAIRS,
	.max_ring_size = MAX_RING_SIZE};

static void run_begin(struct run *r)
{
	int sv[2];

	memset(r, 0, sizeof(*r));
	r->f.loop = loop;
	fuzz_check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
	r->f.fd = sv[0];
	r->f.reply_fd = -1;
	r->f.state_len = STATE_LEN;
	r->f.memfd = file_of(MEM_SIZE);
	rw_budgets_init(&r->budgets, "front");
	r->offer = offer;
	r->offer.budgets = &r->budgets;
	r->f.s = vu_session_new(loop, sv[1], &r->offer, &fuzz_ops, &r->f, "front");
	fuzz_check(r->f.s);
	r->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->pipe[0] = r->pipe[1] = -1;
	r->channel[0] = r->channel[1] = -1;
}

static void close_if(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void run_end(struct run *r)
{
	/* The session ends by itself, or its owner ends it. */
	close_if(&r->f.fd);
	r->f.pause_later = false;
	for (int i = 0; i < 4 && !r->f.closed; i++)
		rw_loop_once(loop, 0);
	vu_session_free(r->f.s);
	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
		fuzz_check(!r->budgets.of[k].used);
	close(r->f.memfd);
	if (r->f.reply_fd >= 0)
		close(r->f.reply_fd);
	free(r->f.loaded);
	close(r->event);
	for (int i = 0; i < 2; i++) {
		close_if(&r->pipe[i]);
		close_if(&r->channel[i]);
	}
}

static int fd_of(struct run *r, enum fd_kind kind)
{
	switch (kind) {
	case FD_MEM:
		return r->f.memfd;
	case FD_EVENT:
		return r->event;
	case FD_PIPE_READ:
	case FD_PIPE_WRITE:
		if (r->pipe[0] < 0 && r->pipe[1] < 0)
			fuzz_check(!pipe2(r->pipe, O_CLOEXEC | O_NONBLOCK));
		return r->pipe[kind == FD_PIPE_WRITE];
	case FD_SOCKET:
		if (r->channel[1] < 0) {
			close_if(&r->channel[0]);
			fuzz_check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				0, r->channel));
		}
		return r->channel[1];
	default:
		return shared_fds[kind];
	}
}

static void turn(void)
{
	for (int i = 0; i < 2; i++)
		fuzz_check(!rw_loop_once(loop, 0));
}

/* False: nobody reads any more. */
static bool put(struct run *r, const struct message *m, size_t from, size_t to, bool with_fds)
{
	int fds[RW_ARRAY_SIZE(m->fds)];
	unsigned n = 0;

	for (unsigned i = 0; i < m->nfds && with_fds; i++) {
		int fd = fd_of(r, m->fds[i]);

		if (fd >= 0)
			fds[n++] = fd;
	}
	if (r->f.fd < 0)
		return false;
	return send_raw(&r->f, m->bytes + from, to - from, fds, n);
}

/* What must come back of a whole message on a session that had nothing else to do. */
static void check_answer(struct run *r, const struct message *m)
{
	struct front *f = &r->f;
	enum outcome out = receive(f, m->hdr.request);
	bool ack = m->hdr.flags & VU_FLAG_NEED_REPLY, asks;
	char more;

	if (f->closed || out == CLOSED) {
		fuzz_check(f->closed && out != SILENCE);
		return;
	}
	ack = ack && vu_has_protocol_feature(f->s, VU_PF_REPLY_ACK);
	if (vu_is_waiting(f->s) || m->len != VU_HEADER_SIZE + m->hdr.size) {
		fuzz_check(out == SILENCE);
		return;
	}
	/* What is no request is refused like one without an answer of its own. */
	asks = message_asks(m->hdr.request) && message_is_request(m);
	if (out == REPLY)
		fuzz_check(
			asks ? message_answer_fits(m, f->reply_size)
			     : f->reply_size == sizeof(uint64_t) || f->reply_size == m->hdr.size);
	/* In post-copy the memory's messages are answered with addresses. */
	if (vu_postcopy_state(f->s) != VU_POSTCOPY_LISTENING)
		fuzz_check((out == REPLY) == (ack || asks));
	fuzz_check(recv(f->fd, &more, 1, MSG_DONTWAIT) < 0);
}

/* Read whatever waits. */
static void drain(struct run *r)
{
	char bytes[4096];

	while (r->f.fd >= 0 && recv(r->f.fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void op_message(struct run *r, struct fuzz_in *in)
{
	struct front *f = &r->f;
	struct message m;
	bool clean;

	message_read(in, &m);
	clean = !r->partial && !vu_is_waiting(f->s);
	if (m.split) {
		if (!put(r, &m, 0, m.split, !m.fds_late))
			return;
		turn();
		if (f->closed || !put(r, &m, m.split, m.len, m.fds_late))
			return;
	} else if (!put(r, &m, 0, m.len, true)) {
		return;
	}
	turn();
	/* The front-end has no further use for the end that the back-end has now. */
	close_if(&r->channel[1]);
	if (clean && f->fd >= 0)
		check_answer(r, &m);
	else
		drain(r);
	r->partial = r->partial || m.len != VU_HEADER_SIZE + m.hdr.size;
}

/* Bytes that need not be a message. */
static void op_bytes(struct run *r, struct fuzz_in *in)
{
	uint8_t bytes[32], n = (uint8_t)(1 + fuzz_below(in, sizeof(bytes)));

	fuzz_bytes(in, bytes, n);
	if (r->f.fd >= 0)
		send_raw(&r->f, bytes, n, NULL, 0);
	r->partial = true;
	turn();
	drain(r);
}

/* The other end of the back-end channel. */
static void op_channel(struct run *r, struct fuzz_in *in)
{
	uint8_t bits = fuzz_u8(in);
	struct {
		struct vu_header hdr;
		uint32_t value[2];
	} answer = {{VU_BACKEND_IOTLB_MSG, VU_VERSION | VU_FLAG_REPLY, 8}, {bits & 1, 0}};
	uint8_t bytes[4096];

	if (r->channel[0] < 0)
		return;
	if (bits & 2)
		answer.hdr.flags ^= fuzz_u8(in);
	if (bits & 4)
		answer.hdr.size = fuzz_u8(in);
	if (bits & 8)
		answer.hdr.request = fuzz_u8(in);
	if (bits & 16)
		while (recv(r->channel[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
	if (bits & 32)
		send(r->channel[0], &answer, bits & 64 ? bits % sizeof(answer) : sizeof(answer),
			MSG_NOSIGNAL | MSG_DONTWAIT);
	if (bits & 128)
		close_if(&r->channel[0]);
	turn();
}

/* The other end of the pipe of a device state. */
static void op_pipe(struct run *r, struct fuzz_in *in)
{
	uint8_t bits = fuzz_u8(in), bytes[256] = {0};

	if (r->pipe[1] >= 0 && bits & 1)
		(void)!write(r->pipe[1], bytes, 1 + bits);
	if (r->pipe[0] >= 0 && bits & 2)
		(void)!read(r->pipe[0], bytes, sizeof(bytes));
	for (int i = 0; i < 2; i++) {
		if (bits & 4 << i)
			close_if(&r->pipe[i]);
	}
	turn();
}

/* The operator leaves the port so much more than what it uses. */
static void limit(struct run *r, uint8_t kind, uint8_t more)
{
	struct rw_budget *b = &r->budgets.of[kind % RW_BUDGET_KINDS];

	rw_budget_limit(&r->budgets, kind % RW_BUDGET_KINDS, b->used + more % 8);
}

/* What the owner does between messages. */
static void op_owner(struct run *r, struct fuzz_in *in)
{
	struct front *f = &r->f;
	uint8_t what = fuzz_u8(in), value = fuzz_u8(in);
	unsigned ring = value % (2 * MAX_PAIRS);
	uint64_t one = 1;

	if (what & 0x40) {
		limit(r, what, value);
		return;
	}
	switch (what & 7) {
	case 0:
		f->pause_later = value & 1;
		f->quiesce_later = value & 2;
		break;
	case 1:
		vu_session_retry(f->s);
		break;
	case 2:
		vu_iotlb_miss(f->s, any_u64(in), 1 + value % 3, value);
		break;
	case 3:
		vu_config_changed(f->s);
		break;
	case 4:
		vu_ring_error(f->s, ring);
		break;
	case 5:
		if (vu_ring(f->s, ring)->call_fd >= 0)
			(void)!write(vu_ring(f->s, ring)->call_fd, &one, sizeof(one));
		break;
	case 6:
		f->position = fuzz_u32(in);
		f->resume_ret = value & 1 ? -EFAULT : 0;
		f->load_ret = value & 2 ? -EINVAL : 0;
		break;
	case 7:
		vu_log_signal(f->s);
		break;
	}
	if (what & 0x80)
		turn();
	drain(r);
}

/* Another owner goes on with the session. */
static void op_takeover(struct run *r)
{
	struct front *f = &r->f;
	struct vu_export *e = calloc(1, sizeof(*e));

	fuzz_check(e);
	if (vu_session_export(f->s, e)) {
		free(e);
		return;
	}
	vu_session_free(f->s);
	f->s = vu_session_adopt(loop, e, &r->offer, &fuzz_ops, f, "front");
	fuzz_check(f->s);
	vu_export_free(e);
	free(e);
	vu_session_resume(f->s);
	turn();
	drain(r);
}

static void step(struct run *r, struct fuzz_in *in)
{
	unsigned op = fuzz_below(in, 16);

	if (op <= 9)
		op_message(r, in);
	else if (op == 10)
		op_bytes(r, in);
	else if (op == 11)
		op_channel(r, in);
	else if (op == 12)
		op_pipe(r, in);
	else if (op == 15)
		op_takeover(r);
	else
		op_owner(r, in);
}

/* The beginning that most front-ends have, so that the input need not find it. */
static void negotiate_most(struct run *r, uint8_t bits)
{
	struct front *f = &r->f;
	uint64_t features = FEATURES;

	set_protocol_features(f, bits & 0x40 ? ALL_PF : ALL_PF | INBAND);
	if (bits & 4)
		features |= IOMMU;
	if (bits & 8)
		features &= ~PACKED;
	if (bits & 0x10)
		features |= LOG_ALL;
	fuzz_check(ask_u64(f, VU_SET_FEATURES, features) == ACK_OK);
	if (bits & 2)
		fuzz_check(ask_mem(f) == ACK_OK);
	if (bits & 0x20)
		start_ring(f, bits >> 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, size};
	uint8_t bits = fuzz_u8(&in);
	struct run r;

	run_begin(&r);
	if (bits & 1)
		negotiate_most(&r, (bits & 0x26) == 0x22 ? bits : bits & ~0x20);
	for (unsigned i = 0; i < MAX_STEPS && in.left && !r.f.closed; i++)
		step(&r, &in);
	run_end(&r);
	return 0;
}
