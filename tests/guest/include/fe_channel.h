/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The front-end's end of the back-end channel (SET_BACKEND_REQ_FD): requests of the back-end are
 * received, counted, and answered in the way that was chosen.
 *
 * What a request is worth, the caller says by fe_channel_answer; fe_guest_service does that for a
 * guest, whose IOMMU knows. A back-end that asks must live with every answer: late, negative, none.
 *
 * Thread: one at a time for a channel.
 */
#include "fe_messages.h"

/* What becomes of requests. */
enum fe_answers {
	FE_ANSWER, /* what is right */
	FE_HOLD,   /* nothing for now: they wait for FE_ANSWER, in order */
	FE_IGNORE, /* nothing, ever */
	FE_REFUSE, /* a non-zero acknowledgement, and nothing done */
	FE_LIE,    /* a zero acknowledgement, and nothing done */
};

/* Requests that FE_HOLD may gather: as many as a socket holds, and more. */
#define FE_MAX_HELD 4096

/* Rings that may notify in-band. */
#define FE_CHANNEL_RINGS 256

struct fe_channel {
	struct fe_conn conn; /* our end; fd -1: closed */
	enum fe_answers answers;

	/* Requests received so far. */
	uint64_t misses;         /* IOTLB_MSG of type MISS */
	uint64_t access_fails;   /* ... ACCESS_FAIL */
	uint64_t config_changes; /* CONFIG_CHANGE_MSG */
	uint64_t others;   /* anything that we do not know: a well-behaved back-end has none */
	uint64_t answered; /* acknowledgements sent */
	uint64_t calls[FE_CHANNEL_RINGS]; /* VRING_CALL */
	uint64_t errs[FE_CHANNEL_RINGS];  /* VRING_ERR */

	/* Those that wait: a circle. */
	struct fe_msg *held; /* FE_MAX_HELD, or NULL */
	uint32_t head;
	uint32_t nheld;
};

/* A channel that is closed. */
void fe_channel_init(struct fe_channel *ch);

/* A fresh pair of sockets: `*peer_fd` is the back-end's end, the caller's to pass on and close. */
int fe_channel_open(struct fe_channel *ch, int *peer_fd);

/* Counters stay, waiting requests are dropped. Harmless on a closed one. */
void fe_channel_close(struct fe_channel *ch);

static inline bool fe_channel_is_open(const struct fe_channel *ch)
{
	return ch->conn.fd >= 0;
}

/*
 * The next request to deal with: a held one, now that they are answered, or a new one, waited for
 * at most timeout_ms. Requests that nobody is to answer are dealt with in here. 0; -EAGAIN when
 * there is none; -ECONNRESET when the back-end closed its end; -EPROTO for a message that is none.
 */
int fe_channel_next(struct fe_channel *ch, struct fe_msg *req, int timeout_ms);

/* Acknowledge `req` if it wants to be. 0 or as fe_conn_send. */
int fe_channel_ack(struct fe_channel *ch, const struct fe_msg *req, uint64_t value);
