/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The messages of the target `messages`: what the input makes of a request. */
#include "fuzz.h"
#include "vu_fixture.h"

/* Kinds of descriptor that a front-end may send. */
enum fd_kind {
	FD_MEM,   /* the guest's memory */
	FD_SMALL, /* a file of one page */
	FD_EVENT,
	FD_PIPE_READ,
	FD_PIPE_WRITE,
	FD_SOCKET, /* of which the front-end keeps the other end */
	FD_EMPTY,  /* an empty file */
	FD_NULL,   /* /dev/null */
	FD_DIR,
	FD_NKINDS,
};

struct message {
	uint8_t bytes[VU_HEADER_SIZE + 4200];
	size_t len;
	struct vu_header hdr;
	enum fd_kind fds[VU_MAX_FDS + 2];
	unsigned nfds;
	uint16_t split; /* bytes of the first part; 0: all at once */
	bool fds_late;  /* the descriptors come with the second part */
};

/* The next message of the input. */
void message_read(struct fuzz_in *in, struct message *m);
/* Any number, often one that means something. */
uint64_t any_u64(struct fuzz_in *in);
/* Whether the request is answered with a value of its own, and the size of a good answer. */
bool message_asks(uint32_t request);
bool message_is_request(const struct message *m);
bool message_answer_fits(const struct message *m, uint32_t size);
