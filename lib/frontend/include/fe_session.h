/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A virtio-net driver attached to a back-end: one block of shared memory with rings and buffers,
 * the vhost-user connection, and one struct fe_burst (fe_burst.h) for each ring.
 *
 *	fe_session_new(&config, &s);
 *	fe_session_connect(s, path);
 *	fe_session_start(s);
 *	fe_burst_recv(&s->queues[0], ...); ...
 *	fe_session_free(s);
 *
 * Ring 2k is the receiveq and ring 2k + 1 the transmitq of pair k (virtio 1.2, 5.1.2). A
 * session uses no IOMMU, no in-flight record and no log.
 *
 * Functions return 0 or -errno; those that send requests return what fe_conn.h says.
 *
 * Thread: one at a time. After fe_session_start, different threads may use different queues.
 */
#include "fe_burst.h"
#include "fe_conn.h"

struct fe_session_config {
	/* Features to accept if the back-end offers them. */
	uint64_t features;
	uint64_t protocol_features;

	uint16_t pairs;       /* at least 1 */
	uint16_t rx_size;     /* entries of a receive ring; a power of two */
	uint16_t tx_size;     /* of a transmit ring */
	uint32_t rx_buf_size; /* bytes of a buffer, header included */
	uint32_t tx_buf_size;
	bool hugetlb; /* memory on 2 MiB pages; -ENOMEM when there are none */
};

struct fe_session {
	struct fe_session_config config;
	struct fe_conn conn;
	uint64_t features; /* negotiated */
	uint64_t protocol_features;
	uint64_t max_pairs;      /* GET_QUEUE_NUM, when MQ is among the protocol features */
	uint32_t nqueues;        /* 2 * pairs */
	struct fe_burst *queues; /* nqueues; zero until fe_session_start */

	/* Private. */
	int mem_fd;
	uint8_t *host; /* the memory */
	uint64_t len;
	uint64_t used; /* bytes of it that are allocated */
	struct fe_session_ring *rings;
};

/* Create a session with its memory and eventfds, not connected. Copies `config`. */
int fe_session_new(const struct fe_session_config *config, struct fe_session **out);
/* NULL is fine. */
void fe_session_free(struct fe_session *s);

/* Connect to the socket at `path` and negotiate. */
int fe_session_connect(struct fe_session *s, const char *path);

/* Get and set features, SET_OWNER: the second half of fe_session_connect. */
int fe_session_negotiate(struct fe_session *s);

/* Share the memory and start all rings. All buffers of receive rings are published. */
int fe_session_start(struct fe_session *s);

static inline bool fe_session_has(const struct fe_session *s, unsigned bit)
{
	return s->features >> bit & 1;
}

static inline bool fe_session_has_protocol(const struct fe_session *s, unsigned bit)
{
	return s->protocol_features >> bit & 1;
}
