/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A port whose other side is a vhost-user front-end: a QEMU, DPDK's virtio-user, ... This driver
 * glues the protocol (lib/vhost_user), the rings (lib/virtqueue) and the frames (lib/frame): the
 * protocol says where a ring is and whether it runs, the driver runs it.
 *
 * As server the port listens on a socket path, serves one front-end at a time and waits for the
 * next when that one leaves. As client it connects to the front-end's socket, again every 80 ms
 * until somebody listens. In both cases the port, its counters and its static addresses outlive the
 * front-end; what was learned behind it does so for a while.
 *
 * Thread: control.
 */
#include "port.h"
#include "rw_helper.h"
#include "rw_loop.h"
#include "rw_sock.h"
#include "sw.h"
#include "vhost_allowed.h"
#include "vhost_records.h"

enum vhost_mode {
	VHOST_SERVER, /* listen on `path` */
	VHOST_CLIENT, /* connect to `path` */
	VHOST_FD,     /* `fd`: a connected or listening socket that somebody opened for us */
};

struct vhost_port_config {
	struct sw *sw;
	struct rw_loop *loop;
	const char *name; /* at most PORT_NAME_MAX bytes */
	enum vhost_mode mode;
	const char *path;              /* copied; NULL with VHOST_FD */
	struct rw_sock_access access;  /* VHOST_SERVER: to the socket */
	int fd;                        /* VHOST_FD: taken over on success */
	struct vhost_allowed allowed;  /* as vhost_port_allow */
	struct vhost_records *records; /* of all ports, outlives them; NULL: none */
	/*
	 * Seconds for which what was learned behind the port outlives a front-end that did not stop
	 * its rings. One that comes back within that time goes on with it; another process does
	 * not.
	 */
	uint32_t linger_s;
	const uint64_t *limits;        /* of RW_BUDGET_KINDS budgets; NULL: the default ones */
	struct rw_budget_pools *pools; /* what the port shares with others; NULL: nothing */
	bool waits; /* neither listen nor connect: vhost_port_take follows (vhost_takeover.h) */
	/*
	 * VHOST_FD with a connected socket: the front-end left, there will be no other. May be
	 * NULL.
	 */
	void (*gone)(void *arg);
	void *arg;
};

struct vhost_port;

/* 0, or -errno of rw_sock_listen, sw_port_add or memory. A client that finds nobody is no error. */
int vhost_port_new(const struct vhost_port_config *cfg, struct vhost_port **out);
/* Close its connection, remove its socket file, take it out of the switch. NULL is fine. */
void vhost_port_free(struct vhost_port *vp);

/*
 * A server whose socket file is no longer at its path makes a new one. It tries each time that this
 * is called, and says once what is in the way.
 */
void vhost_port_mend(struct vhost_port *vp);

/*
 * Change what is allowed. A front-end that is there keeps what it was offered; the next one is
 * offered what was set last.
 */
void vhost_port_allow(struct vhost_port *vp, const struct vhost_allowed *allowed);

/*
 * What the guest is told of its link, once it is asked (VIRTIO_NET_F_STATUS). At first it is up.
 * Only a front-end that has the protocol features CONFIG and BACKEND_REQ asks, and is told that it
 * has changed.
 */
void vhost_port_link(struct vhost_port *vp, bool up);

/*
 * What the port's front-ends may take, from now on. What is used already stays, but for learned
 * addresses in excess.
 */
void vhost_port_limit(struct vhost_port *vp, const uint64_t limits[RW_BUDGET_KINDS]);
/* The budgets as they are now. */
void vhost_port_budgets(struct vhost_port *vp, struct rw_budget out[RW_BUDGET_KINDS]);

/* What an operator may want to know about a port. */
struct vhost_port_info {
	const char *name;
	const char *path; /* NULL with VHOST_FD */
	uint16_t id;
	enum vhost_mode mode;
	bool connected;               /* a front-end is there */
	bool link;                    /* frames can reach the guest */
	bool packed;                  /* valid while connected */
	unsigned pairs;               /* running queue pairs, either direction */
	uint64_t features;            /* negotiated */
	uint16_t mtu;                 /* 0: not said */
	unsigned broken;              /* rings that lied about their indices and wait for a reset */
	unsigned needs_reset;         /* packed rings whose position nobody knows */
	struct rw_helper_info helper; /* all zero before the first front-end */
	uint64_t announced;           /* RARP broadcasts sent for its hosts */
	uint64_t unlogged;            /* buffers written that are missing in the dirty log */
	uint64_t log_suppressed; /* lines that its front-ends caused beyond its share of the log */
	struct vhost_allowed allowed; /* for the next front-end */
	const char *down; /* why there is no front-end, or can be none; NULL: none came, or left */
};
void vhost_port_describe(const struct vhost_port *vp, struct vhost_port_info *out);

/*
 * What else an operator may want to know. A ring that runs goes on meanwhile, so its position is a
 * moment's view in which each number is right by itself. Guest memory is not touched.
 */
struct vhost_session_info {
	uint64_t protocol_features;
	uint8_t mac[6]; /* of the configuration space; valid when mac_set */
	bool mac_set;
	uint8_t status;       /* virtio device status */
	bool channel;         /* there is a back-end channel */
	bool iotlb;           /* guest memory is behind an IOMMU */
	uint32_t entries;     /* translations in the IOTLB */
	uint64_t log_size;    /* bytes of the dirty log; 0: there is none */
	uint64_t log_marked;  /* pages that were marked in it and had to be, see dl_marked */
	bool log_buffers;     /* writes to buffers are logged */
	unsigned log_rings;   /* rings whose own writes are logged */
	uint64_t inflight;    /* bytes of the in-flight buffer; 0: there is none */
	uint16_t in_rings;    /* rings that the in-flight buffer has room for */
	uint16_t in_entries;  /* entries of each of them */
	const char *postcopy; /* "none", "advised", "listening" */
	unsigned nregions;
	unsigned nrings;
};
/* False: there is no front-end. */
bool vhost_port_session(const struct vhost_port *vp, struct vhost_session_info *out);

/* A region of guest memory, bytes. */
struct vhost_region_info {
	uint64_t gpa; /* guest-physical */
	uint64_t uva; /* in the front-end's address space */
	uint64_t size;
};
/* Region `i` < nregions. */
void vhost_port_region(const struct vhost_port *vp, unsigned i, struct vhost_region_info *out);

/* A position in a ring. `wrap`: packed rings only. */
struct vhost_position {
	uint16_t index;
	bool wrap;
};

struct vhost_ring_info {
	uint32_t size; /* entries; 0: not said yet */
	bool rx;
	/*
	 * "stopped"; "incomplete": started, but something is missing or does not fit; "disabled";
	 * "waiting": for the IOTLB to know the ring itself; "enabled"; "failed": the log says why;
	 * "broken": it lied about its indices; "needs_reset": it is packed, and nobody knows where
	 * it was when the switch last ended.
	 */
	const char *state;
	struct vhost_position avail; /* the next entry to take */
	struct vhost_position used;  /* the next entry to give back; valid when used_known */
	bool used_known;
	const char *call; /* how the guest is told: "eventfd", "in-band", "none" (it polls) */
	bool event_idx;   /* told at an index that it names; else unless it sets a flag */
	bool big_endian;
	bool logged;     /* writes to the ring itself go to the dirty log */
	bool inflight;   /* what is taken is recorded in the in-flight buffer */
	int worker;      /* that polls it; -1: none, and for transmit rings */
	int memory_node; /* with a worker: NUMA, of the guest's memory; -1: unknown */
	bool far_off;    /* no worker is on that node */
};
/* Ring `i` < nrings. */
void vhost_port_ring(const struct vhost_port *vp, unsigned i, struct vhost_ring_info *out);

/* "VIRTIO_NET_F_MRG_RXBUF" and so on; NULL: a bit that this driver does not offer. */
const char *vhost_feature_name(unsigned bit);
