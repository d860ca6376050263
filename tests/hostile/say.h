/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Messages that no front-end would send. Each is sent with need_reply, on a connection that has
 * negotiated REPLY_ACK, so the back-end owes exactly one reply or closes the connection.
 */
#include "hostile.h"

/* What a back-end did with a message. */
enum outcome {
	SAID_YES, /* an acknowledgement, or the value that was asked for */
	SAID_NO,  /* a refusal in the form that the request has for it */
	CLOSED,   /* the connection */
};

/* A descriptor for a message. */
enum fd_kind { FD_EVENT, FD_MEMORY, FD_SOCKET, FD_PIPE };

/* One row for each request there is: a message that suits it, but for addresses and sizes. */
struct request {
	const char *name;
	uint32_t request;
	uint32_t len;  /* bytes of payload */
	uint32_t nfds; /* that it wants */
	enum fd_kind kind;
	bool names_ring; /* in the first 32 bits */
	union vu_payload payload;
};

extern const struct request requests[];
extern const size_t nrequests;

/* A new descriptor of a kind: for FD_MEMORY a sealed file of 1 MiB. */
int fd_of(enum fd_kind kind);

/*
 * Send a message and take what comes of it; fails the test when nothing does in time, or more than
 * one reply. `value` (may be NULL) gets the first 8 bytes of a reply.
 */
enum outcome say(struct peer *p, const struct fe_raw *raw, uint64_t *value);

/* The same with `nfds` copies of one descriptor, which stays the caller's. */
enum outcome say_with(
	struct peer *p, uint32_t request, const void *payload, uint32_t len, int fd, uint32_t nfds);

/*
 * The message is refused, with `fd` (-1: none). If that closed the connection, p has a new one,
 * negotiated and without rings, and true is returned.
 */
bool refused(
	struct rig *r, struct peer *p, uint32_t request, const void *payload, uint32_t len, int fd);

/* Connect anew and negotiate: no memory, no rings. */
void negotiated_anew(struct rig *r, struct peer *p);

/* From negotiated to running, as fe_guest_start. */
void run_rings(struct peer *p);

/* A guest on port a that negotiated, without memory and rings. */
struct peer *negotiated(struct rig *r, const struct fe_guest_config *c);

/* Guests on the ports a and b, made of `c`, that exchanged frames; `*b` may be NULL. */
struct peer *pair_up(struct rig *r, const struct fe_guest_config *c, struct peer **b);

/* An ordinary guest that negotiates all that is offered but what needs a partner. */
struct fe_guest_config guest_of_all(uint64_t format);
