/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A guest without a virtual machine: shared memory, driver-side rings with their buffers, and the
 * front-end that hands them to a back-end. Memory and rings live as long as the guest, over any
 * number of connections.
 *
 * Each step of the protocol is a function of its own and may be taken in any order, so a test can
 * script every negotiation there is; fe_guest_start takes them all in the usual order.
 *
 * Ring 2k is the receive queue and ring 2k + 1 the transmit queue of pair k (virtio 1.2, 5.1.2). A
 * receive queue is kept full of buffers; a transmit buffer is free again when the back-end used it.
 *
 * Guest-physical addresses, the front-end's "user addresses" and our pointers are three unrelated
 * numbers, so a back-end that mixes them up fails at once. Regions that follow each other in
 * guest-physical memory do so in our memory too, and anything may straddle their border.
 *
 * Functions return 0 or -errno; those that talk to the back-end as fe_conn.h says.
 *
 * Thread: one at a time for a guest; two for different queues, once they run.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "fe_conn.h"
#include "fe_ring.h"

#define FE_MAX_REGIONS VU_MAX_TABLE_REGIONS
#define FE_MAX_PAIRS   128

/* A feature bit's place in the word. */
#define FE_BIT(n) (1ull << (n))

/* Most pieces that fe_guest cuts a frame or a receive buffer into. */
#define FE_MAX_SEGS 64

struct fe_region_config {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t mmap_offset; /* where the region starts in its file, in whole pages */
	bool same_file;       /* as the previous region, instead of a file of its own */
};

/* How a frame or receive buffer is laid out in descriptors. All zero: in one piece. */
struct fe_cut {
	uint8_t hdr_segs;  /* 0: the header lies together with the first data; else in n pieces */
	uint8_t data_segs; /* the rest, in n pieces as equal as can be; 0 means 1 */
	bool indirect;     /* through an indirect table */
};

struct fe_guest_config {
	/* Memory. No regions: one of the size that is needed. */
	const struct fe_region_config *regions;
	uint32_t nregions;
	bool hugetlb; /* on 2 MiB pages; -ENOMEM when there are none */

	/* What to negotiate of that which is offered. */
	uint64_t features;
	uint64_t protocol_features;

	uint16_t pairs;       /* 0 means 1 */
	uint16_t rx_size;     /* entries of a receive ring; 0 means 256 */
	uint16_t tx_size;     /* of a transmit ring; 0 means 256 */
	uint32_t rx_buf_size; /* bytes with header; 0 means 2048 */
	uint32_t tx_buf_size;
	struct fe_cut rx_cut; /* of every receive buffer */
	uint16_t ring_start;  /* start of each ring: see fe_ring_config */
	bool scatter;         /* see fe_ring_scatter */

	/* Guest-physical addresses from which things are laid out; 0: after the previous. */
	uint64_t rings_at;
	uint64_t rx_bufs_at;
	uint64_t tx_bufs_at;
	uint64_t tables_at;
};

struct fe_region {
	struct fe_region_config c;
	uint8_t *host; /* the region's first byte */
	int fd;
};

/* Memory that a guest shares. */
struct fe_mem {
	uint32_t nregions;
	struct fe_region regions[FE_MAX_REGIONS];
	void *base; /* our address range that holds all regions */
	size_t len;
	uint64_t next; /* guest-physical address from which fe_mem_alloc looks */
};

/* Map the regions of `config`. */
int fe_mem_init(struct fe_mem *m, const struct fe_region_config *regions, uint32_t n, bool hugetlb);
void fe_mem_fini(struct fe_mem *m);

/* Our pointer to [gpa, gpa + len), or NULL when that is not all guest memory in one stretch. */
void *fe_mem_at(const struct fe_mem *m, uint64_t gpa, uint64_t len);

/* The user address of `gpa`, or UINT64_MAX. */
uint64_t fe_mem_uva(const struct fe_mem *m, uint64_t gpa);

/* The next `len` bytes from m->next on, at a multiple of `align`. The address, or UINT64_MAX. */
uint64_t fe_mem_alloc(struct fe_mem *m, uint64_t len, uint64_t align);

/* What SET_MEM_TABLE says of `m`; the descriptors stay the guest's. */
void fe_mem_table(const struct fe_mem *m, struct vu_mem_table *table, int fds[FE_MAX_REGIONS]);

/* Buffers of equal size, one after the other. */
struct fe_pool {
	uint64_t gpa;
	uint8_t *host;
	uint32_t size;   /* bytes that a buffer holds, header included */
	uint32_t stride; /* from one to the next: pieces have gaps between them */
	uint16_t n;      /* buffers */
	uint16_t nfree;  /* transmit: buffers that can be filled... */
	uint16_t head;   /* ...from here on in... */
	uint16_t *free;  /* ...this circle of n buffer numbers */
};

/* A ring, its buffers, and its event descriptors. */
struct fe_queue {
	struct fe_ring ring;
	struct fe_layout layout;
	uint64_t gpa; /* of the ring's memory */
	struct fe_pool bufs;
	uint64_t tables_gpa; /* an indirect table of FE_MAX_SEGS entries for each buffer */
	union fe_indirect_desc *tables;
	uint32_t base; /* where the back-end shall go on, coded as in SET_VRING_BASE */
	int kick_fd;   /* eventfds, non-blocking */
	int call_fd;
	int err_fd;
};

struct fe_guest {
	struct fe_guest_config config;
	struct fe_mem mem;
	struct fe_conn conn;
	uint64_t offered;          /* GET_FEATURES */
	uint64_t protocol_offered; /* GET_PROTOCOL_FEATURES */
	uint64_t features;         /* acknowledged */
	uint64_t protocol_features;
	uint64_t max_pairs; /* GET_QUEUE_NUM, when MQ is among the protocol features */
	uint32_t nqueues;
	struct fe_queue *queues; /* 2 * pairs */
};

static inline bool fe_guest_has(const struct fe_guest *g, unsigned bit)
{
	return g->features >> bit & 1;
}

static inline struct fe_queue *fe_guest_rx(struct fe_guest *g, uint16_t pair)
{
	return &g->queues[2 * pair];
}

static inline struct fe_queue *fe_guest_tx(struct fe_guest *g, uint16_t pair)
{
	return &g->queues[2 * pair + 1];
}

/* Bytes of the virtio-net header under the negotiated features. */
static inline uint32_t fe_guest_hdr_len(const struct fe_guest *g)
{
	bool longer = fe_guest_has(g, VIRTIO_F_VERSION_1) ||
		fe_guest_has(g, VIRTIO_NET_F_MRG_RXBUF);

	return longer ? sizeof(struct virtio_net_hdr_mrg_rxbuf) : sizeof(struct virtio_net_hdr);
}

/*
 * A guest with its memory and event descriptors, not connected and without rings. `config` is copied,
 * the regions it points to included.
 */
int fe_guest_new(const struct fe_guest_config *config, struct fe_guest **out);
/* NULL is fine. */
void fe_guest_free(struct fe_guest *g);

/* Connect to `path`; fe_guest_disconnect keeps all but the connection. */
int fe_guest_connect(struct fe_guest *g, const char *path);
void fe_guest_disconnect(struct fe_guest *g);

/* Features both ways, SET_OWNER, SET_FEATURES. g->features is what both want. */
int fe_guest_negotiate(struct fe_guest *g);

/*
 * Make all rings anew under g->features, as a driver does that (re)initialises its device, and fill
 * the receive rings. The back-end must not run them.
 */
int fe_guest_reset_rings(struct fe_guest *g);

/* SET_MEM_TABLE. */
int fe_guest_share_memory(struct fe_guest *g);

/* What a front-end says about one ring. */
enum fe_step {
	FE_NUM,
	FE_BASE,
	FE_ADDR,
	FE_KICK, /* SET_VRING_KICK, then a kick: the ring starts */
	FE_CALL,
	FE_ERR,
	FE_ENABLE, /* nothing without protocol features: there the ring starts enabled */
	FE_NUM_STEPS
};

int fe_guest_ring_step(struct fe_guest *g, uint32_t index, enum fe_step step);

/* SET_VRING_ENABLE. */
int fe_guest_enable(struct fe_guest *g, uint32_t index, bool on);

/* All steps for ring `index`, in the usual order. */
int fe_guest_start_ring(struct fe_guest *g, uint32_t index);

/* GET_VRING_BASE; the answer is kept for the next FE_BASE and stored in `base` unless NULL. */
int fe_guest_stop_ring(struct fe_guest *g, uint32_t index, uint32_t *base);

/* Negotiate, make and start all rings: from connected to running. */
int fe_guest_start(struct fe_guest *g);

/* A frame to send. */
struct fe_frame {
	const void *data;
	uint32_t len;
	const struct virtio_net_hdr_mrg_rxbuf *hdr; /* NULL: no offloads */
	struct fe_cut cut;
};

/*
 * Add a frame to the transmit ring; the back-end sees it after fe_guest_flush. -EAGAIN when there is no
 * room; -EMSGSIZE when the frame does not fit a buffer, or has more pieces than FE_MAX_SEGS.
 */
int fe_guest_put(struct fe_guest *g, uint16_t pair, const struct fe_frame *frame);

/* Publish what was put, and kick if the back-end wants it. */
void fe_guest_flush(struct fe_guest *g, uint16_t pair);

/* Put and flush. */
int fe_guest_send(struct fe_guest *g, uint16_t pair, const struct fe_frame *frame);

/* Take back transmit buffers that were used. Their number, or -EPROTO. */
int fe_guest_reap(struct fe_guest *g, uint16_t pair);

/* A received frame. */
struct fe_received {
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint32_t len; /* of the frame, without header */
	uint16_t nbufs;
};

/*
 * Receive a frame into `buf` and give its buffers back to the ring. -EAGAIN when there is none; -EPROTO
 * when the back-end contradicts itself; -EMSGSIZE when it does not fit `size`.
 */
int fe_guest_recv(
	struct fe_guest *g, uint16_t pair, void *buf, uint32_t size, struct fe_received *out);

/* Kick a queue. */
void fe_queue_kick(struct fe_queue *q);

/* Interrupts since the last call. */
uint64_t fe_queue_interrupts(struct fe_queue *q);

/* Wait for an interrupt and return its count, 0 after `timeout_ms`. */
uint64_t fe_queue_wait_interrupt(struct fe_queue *q, int timeout_ms);
