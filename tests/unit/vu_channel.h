/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The front-end's end of a back-end channel. */
#include "vu_fixture.h"

/* Give the back-end one end of a socket; the other one. */
static inline int give_channel(struct front *f)
{
	struct request r = {.request = VU_SET_BACKEND_REQ_FD, .n = 1};
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	r.fds = &sv[1];
	assert_int_equal(exchange(f, &r), SILENCE);
	close(sv[1]);
	return sv[0];
}

struct notice {
	struct vu_header hdr;
	union {
		struct vu_iotlb iotlb;
		struct vu_vring_state state;
	} payload;
};

/* The next message on the channel; false: there is none. */
static inline bool next(int ch, struct notice *n)
{
	if (recv(ch, &n->hdr, sizeof(n->hdr), MSG_DONTWAIT) != sizeof(n->hdr))
		return false;
	assert_true(n->hdr.size <= sizeof(n->payload));
	if (n->hdr.size)
		assert_int_equal(recv(ch, &n->payload, n->hdr.size, MSG_DONTWAIT), n->hdr.size);
	return true;
}
