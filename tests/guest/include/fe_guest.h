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
 * Functions return 0 or -errno; those that talk to the back-end as fe_conn.h says.
 *
 * Thread: one at a time for a guest. Two for different queues, once they run, if it has no channel.
 */
#include <linux/virtio_config.h>

#include "fe_channel.h"
#include "fe_iommu.h"
#include "fe_mem.h"
#include "fe_messages.h"
#include "fe_ring.h"
#include "rw_virtio_net.h"

#define FE_MAX_PAIRS 128

/* Most pieces that fe_guest cuts a frame or a receive buffer into. */
#define FE_MAX_SEGS 64

/* How a frame or receive buffer is laid out in descriptors. All zero: in one piece. */
struct fe_cut {
	uint8_t hdr_segs;  /* 0: the header lies together with the first data; else in n pieces */
	uint8_t data_segs; /* the rest, in n pieces as equal as can be; 0 means 1 */
	bool indirect;     /* through an indirect table */
};

/*
 * An IOMMU between device and guest: what descriptors and rings hold are then I/O virtual addresses
 * (once ACCESS_PLATFORM is negotiated), and the back-end asks for each page over the channel.
 */
enum fe_iommu_mode {
	FE_IOMMU_NONE,
	FE_IOMMU_STATIC, /* all memory is mapped once and for all */
	FE_IOMMU_STRICT, /* rings stay mapped, each buffer only while the device has it */
};

struct fe_iommu_config {
	enum fe_iommu_mode mode;
	uint64_t base;        /* of the window of addresses; 0: FE_IOMMU_BASE */
	uint32_t pages;       /* in the window; 0: some times the guest's memory */
	uint32_t entry_pages; /* most pages in one update; 0 means 1 */
	bool scatter;         /* see fe_mem.h */
	bool fresh;           /* see fe_iommu.h */
	bool push_rings;      /* entries of the rings are sent unasked: rings start at once */
	/*
	 * STRICT: a receive buffer waits, unmapped, until so many others were used after it. While
	 * they are not mapped, buffers hold a pattern; when it was disturbed, fe_guest_send and
	 * fe_guest_recv say -EILSEQ.
	 */
	uint16_t resting;
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
	uint8_t rx_lead;      /* bytes before a receive buffer's first piece; 64 at most */
	uint16_t ring_start;  /* start of each ring: see fe_ring_config */
	bool scatter;         /* see fe_ring_scatter */

	/* Guest-physical addresses from which things are laid out; 0: after the previous. */
	uint64_t rings_at;
	uint64_t rx_bufs_at;
	uint64_t tx_bufs_at;
	uint64_t tables_at;

	struct fe_iommu_config iommu;
	bool big_endian; /* a legacy big-endian driver: with CROSS_ENDIAN, without VERSION_1 */
};

/* A range that is mapped for the device. */
struct fe_dma {
	uint64_t iova;  /* as the device has it: it may begin within a page */
	uint32_t pages; /* 0: not mapped */
};

/* Buffers of equal size, one after the other. */
struct fe_pool {
	uint64_t gpa;
	uint8_t *host;
	uint32_t size;      /* bytes that a buffer holds, header included */
	uint32_t stride;    /* from one to the next: pieces have gaps between them */
	uint16_t n;         /* buffers */
	uint16_t posted;    /* receive: so many are in the ring at a time */
	uint16_t nfree;     /* buffers that are not in the ring... */
	uint16_t head;      /* ...from here on in... */
	uint16_t *free;     /* ...this circle of n buffer numbers */
	struct fe_dma *dma; /* STRICT: of each buffer, then of each one's indirect table */
};

/* A ring, its buffers, and its event descriptors. */
struct fe_queue {
	struct fe_ring ring;
	struct fe_layout layout;
	uint64_t gpa; /* of the ring's memory */
	struct fe_pool bufs;
	uint64_t tables_gpa; /* an indirect table of FE_MAX_SEGS entries for each buffer */
	union fe_indirect_desc *tables;
	struct fe_dma ring_dma; /* STRICT */
	uint32_t base;          /* where the back-end shall go on, coded as in SET_VRING_BASE */
	uint64_t log_addr;      /* where writes to the device area are logged; 0: where it is */
	bool log;               /* SET_VRING_ADDR asks for logging */
	int kick_fd;            /* eventfds, non-blocking */
	int call_fd;
	int err_fd;
	struct fe_guest *g;
	uint32_t index;
	uint64_t calls_seen; /* in-band */
	uint64_t errs_seen;
};

struct fe_log;      /* fe_log.h */
struct fe_shadow;   /* fe_shadow.h */
struct fe_postcopy; /* fe_postcopy.h */

/* The buffer that GET_INFLIGHT_FD gave. */
struct fe_inflight {
	struct vu_inflight_desc desc;
	int fd;      /* -1: none */
	uint8_t *at; /* desc.mmap_size bytes, mapped */
	void *map;
	size_t map_len;
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
	uint64_t max_slots; /* GET_MAX_MEM_SLOTS, with CONFIGURE_MEM_SLOTS */
	uint32_t nqueues;
	struct fe_queue *queues;   /* 2 * pairs */
	struct fe_channel channel; /* open with BACKEND_REQ */
	struct fe_iommu iommu;
	uint64_t updates;       /* IOTLB entries given... */
	uint64_t invalidations; /* ...and taken away on this connection */
	struct fe_inflight inflight;
	struct fe_log *log;           /* present SET_LOG_BASE, the caller's */
	bool log_all;                 /* the features say LOG_ALL */
	struct fe_shadow *shadow;     /* NULL: writes are not recorded */
	struct fe_postcopy *postcopy; /* NULL: memory is all there */
};

static inline bool fe_guest_has(const struct fe_guest *g, unsigned bit)
{
	return g->features >> bit & 1;
}

static inline bool fe_guest_has_protocol(const struct fe_guest *g, unsigned bit)
{
	return g->protocol_features >> bit & 1;
}

/* Whether what the device sees are I/O virtual addresses. */
static inline bool fe_guest_translates(const struct fe_guest *g)
{
	return g->config.iommu.mode && fe_guest_has(g, VIRTIO_F_ACCESS_PLATFORM);
}

/* Whether rings and headers are big-endian. */
static inline bool fe_guest_swaps(const struct fe_guest *g)
{
	return g->config.big_endian && fe_guest_has_protocol(g, VU_PF_CROSS_ENDIAN) &&
		!fe_guest_has(g, VIRTIO_F_VERSION_1);
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
 * A guest with its memory and event descriptors, not connected and without rings. `config` is
 * copied, the regions it points to included.
 */
int fe_guest_new(const struct fe_guest_config *config, struct fe_guest **out);
/* NULL is fine. */
void fe_guest_free(struct fe_guest *g);

/* Connect to `path`; fe_guest_disconnect keeps all but the connection. */
int fe_guest_connect(struct fe_guest *g, const char *path);
void fe_guest_disconnect(struct fe_guest *g);

/*
 * Features both ways, the back-end channel with BACKEND_REQ, SET_OWNER, SET_FEATURES. g->features
 * is what both want.
 */
int fe_guest_negotiate(struct fe_guest *g);

/*
 * Deal with what the back-end asks over the channel: a miss is answered with an update if the IOMMU
 * maps the page so, then acknowledged. The number of requests; 0 without a channel, or when the
 * back-end closed it; -errno. Sending, receiving and reaping do this first, so a guest that does
 * one of them now and then needs no more; one that only waits for others does.
 */
int fe_guest_service(struct fe_guest *g);

/*
 * Map [addr, addr + len) of guest memory for the device with VU_IOTLB_READ, VU_IOTLB_WRITE or both;
 * -EFAULT: it is not memory in one stretch, -ENOSPC. fe_guest_unmap takes it back and returns when
 * the back-end acknowledged that; harmless on what is not mapped.
 */
int fe_guest_map(struct fe_guest *g, uint64_t addr, uint64_t len, uint8_t perm, struct fe_dma *out);
int fe_guest_unmap(struct fe_guest *g, struct fe_dma *d);

/* Make the back-end forget pages though they stay mapped, so that it must ask again. */
int fe_guest_invalidate(struct fe_guest *g, uint64_t iova, uint32_t pages);

/* Send the entry of `iova` unasked; -ENOENT: it is not mapped. */
int fe_guest_push(struct fe_guest *g, uint64_t iova);

/*
 * What the device has as address of byte `off` of the ring's memory: IOVA, guest-physical or
 * user's.
 */
uint64_t fe_guest_ring_addr(const struct fe_guest *g, uint32_t index, uint64_t off);

/*
 * Make all rings anew under g->features, as a driver does that (re)initialises its device, and fill
 * the receive rings. The back-end must not run them.
 */
int fe_guest_reset_rings(struct fe_guest *g);

/* SET_MEM_TABLE, or ADD_MEM_REG for each region not shared yet when slots were negotiated. */
int fe_guest_share_memory(struct fe_guest *g);

/* One region more or less while all runs; nothing of the guest lies in the one that goes. */
int fe_guest_add_region(struct fe_guest *g, const struct fe_region_config *region);
int fe_guest_remove_region(struct fe_guest *g, uint32_t i);

/*
 * What a front-end says about one ring. With INBAND_NOTIFICATIONS CALL and ERR say nothing, and
 * KICK is VRING_KICK alone.
 */
enum fe_step {
	FE_NUM,
	FE_BASE,
	FE_ADDR,
	FE_KICK, /* SET_VRING_KICK, then a kick: the ring starts */
	FE_CALL,
	FE_ERR,
	FE_ENABLE, /* nothing without protocol features: there the ring starts enabled */
	FE_ENDIAN, /* nothing but for a big-endian guest */
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

/*
 * The same after the back-end went away under running rings, or (fe_postcopy.h) before the memory
 * came: they go on as they are. As in QEMU, a split ring goes on behind what was used, a packed one
 * where it was last told to; the in-flight buffer, if there is one, says better.
 */
int fe_guest_resume(struct fe_guest *g);

/*
 * GET_INFLIGHT_FD for all rings, in place of what there was; SET_INFLIGHT_FD. fe_guest_start does
 * both and fe_guest_resume the second when INFLIGHT_SHMFD is negotiated.
 */
int fe_guest_get_inflight(struct fe_guest *g);
int fe_guest_set_inflight(struct fe_guest *g);
/* Ring `i`'s region in it, `*len` bytes; NULL: none. */
void *fe_guest_inflight(const struct fe_guest *g, uint32_t i, uint64_t *len);

/* A frame to send. */
struct fe_frame {
	const void *data;
	uint32_t len;
	const struct virtio_net_hdr_mrg_rxbuf *hdr; /* NULL: no offloads */
	struct fe_cut cut;
};

/*
 * Add a frame to the transmit ring; the back-end sees it after fe_guest_flush. -EAGAIN when there
 * is no room; -EMSGSIZE when the frame does not fit a buffer, or has more pieces than FE_MAX_SEGS.
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
 * Receive a frame into `buf` and give its buffers back to the ring. -EAGAIN when there is none;
 * -EPROTO when the back-end contradicts itself; -EMSGSIZE when it does not fit `size`; -ENODATA
 * when the back-end wrote nothing to the buffer, which drivers ignore.
 */
int fe_guest_recv(
	struct fe_guest *g, uint16_t pair, void *buf, uint32_t size, struct fe_received *out);

/* Kick a queue: by eventfd, or VRING_KICK with INBAND_NOTIFICATIONS. */
void fe_queue_kick(struct fe_queue *q);

/* Interrupts since the last call; in-band ones are received here, too. */
uint64_t fe_queue_interrupts(struct fe_queue *q);

/* Errors signalled since the last call. */
uint64_t fe_queue_errors(struct fe_queue *q);

/* Wait for an interrupt and return its count, 0 after `timeout_ms`. */
uint64_t fe_queue_wait_interrupt(struct fe_queue *q, int timeout_ms);
