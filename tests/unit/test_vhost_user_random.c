/* SPDX-License-Identifier: BSD-3-Clause */
/* Random messages on sessions that got some way before. */
#include "vu_scenarios.h"

static uint64_t rng_state;

static uint32_t rng(uint32_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (uint32_t)(rng_state >> 32) % below;
}

static uint64_t interesting(void)
{
	static const uint64_t values[] = {0, 1, 2, 7, 8, 0x100, 256, 0xffff, 0x10000, 0x80000000,
		UINT32_MAX, UINT64_MAX, MEM_UVA, MEM_UVA + MEM_SIZE, FEATURES, ALL_PF, MEM_SIZE};

	return values[rng(RW_ARRAY_SIZE(values))];
}

/* Spoil some of a good message. */
static void mutate(struct request *r, const int *fds, unsigned nfds)
{
	if (!rng(3))
		r->payload.bytes[rng(48)] ^= (uint8_t)(1u << rng(8));
	if (!rng(4))
		((uint32_t *)&r->payload)[rng(12)] = (uint32_t)interesting();
	if (!rng(4))
		((uint64_t *)&r->payload)[rng(6)] = interesting();
	if (!rng(16))
		r->size = rng(4) ? rng(300) : rng(6000);
	if (!rng(16))
		r->request = rng(48);
	if (!rng(32))
		r->flags = rng(16);
	if (!rng(6)) {
		r->fds = fds + rng(nfds / 2);
		r->n = rng(nfds / 2);
	}
}

/*
 * A message that would do something in a session that has got that far; *fd is what goes with it.
 */
static struct request random_message(
	const struct front *f, const struct request *good, unsigned n, int *fd)
{
	const struct scenario *sc = &scenarios[rng(RW_ARRAY_SIZE(scenarios))];
	struct request r = rng(2) ? sc->r : good[rng(n)];

	*fd = -1;
	if (r.request == sc->r.request && sc->fds != NO_FDS) {
		*fd = fd_for(f, sc);
		r.fds = fd;
		r.n = 1;
	}
	r.flags = rng(16) ? NEED : 0;
	return r;
}

/* Read all replies that are there: how many say 0, and how many do not. */
static void count_replies(const struct front *f, unsigned *ok, unsigned *refused)
{
	for (;;) {
		union vu_payload payload = {.u64 = 0};
		struct vu_header hdr;
		int fd = -1;

		if (receive_raw(f->fd, &hdr, sizeof(hdr), &fd) != sizeof(hdr))
			return;
		if (fd >= 0)
			close(fd);
		if (hdr.size)
			assert_int_equal(recv(f->fd, &payload, hdr.size, MSG_DONTWAIT), hdr.size);
		*ok += !payload.u64;
		*refused += payload.u64 != 0;
	}
}

/*
 * A hundred thousand messages, most of them wrong in one or two ways, on sessions that got some way
 * before. That nothing crashes is half of it; the other half is that nothing stays open or mapped.
 */
static void random_messages_harm_nothing(void **state)
{
	struct unit *u = *state;
	struct front f = {.closed = true, .fd = -1, .memfd = -1};
	unsigned before = count_fds(), refused = 0, ok = 0, sessions = 0;
	struct request good[16];
	int fds[24], own = -1;
	unsigned n = 0;

	rng_state = 0x52696e67776179; /* fixed, so that a failure can be repeated */
	for (unsigned i = 0; i < RW_ARRAY_SIZE(fds); i++)
		fds[i] = i % 3 ? eventfd(0, EFD_CLOEXEC) : memfd_create("junk", MFD_CLOEXEC);
	for (unsigned i = 0; i < 100000; i++) {
		struct request r;
		struct bytes b;
		int fd;

		if (f.closed) {
			if (f.loop) {
				front_close(&f);
				close(own);
			}
			front_open(&f, u->loop);
			n = whole_negotiation(&f, good, &own);
			set_protocol_features(&f, rng(2) ? ALL_PF : OFFERED_PF);
			if (rng(2))
				assert_int_equal(
					ask_u64(&f, VU_SET_FEATURES, OFFERED & ~PACKED), ACK_OK);
			sessions++;
		}
		r = random_message(&f, good, n, &fd);
		mutate(&r, fds, RW_ARRAY_SIZE(fds));
		b = bytes_of(&r);
		if (!rng(64))
			b.len = 1 + rng((uint32_t)b.len);
		send_raw(&f, b.data, b.len, r.fds, r.n);
		assert_int_equal(rw_loop_once(u->loop, 0), 0);
		if (fd >= 0)
			close(fd);
		count_replies(&f, &ok, &refused);
	}
	front_close(&f);
	close(own);
	for (unsigned i = 0; i < RW_ARRAY_SIZE(fds); i++)
		close(fds[i]);
	assert_int_equal(count_fds(), before);
	/* Neither all refused nor all accepted: it went deep. */
	assert_true(sessions > 100 && refused > 10000 && ok > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		spec(random_messages_harm_nothing),
	};

	return cmocka_run_group_tests_name("vhost_user random messages", tests, NULL, NULL);
}
