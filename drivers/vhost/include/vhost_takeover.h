/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A port without its process: what another process, or this one again, needs to go on with its
 * front-end, which notices nothing. The port's configuration is not in it, nor are its counters
 * (port.h).
 *
 * The process that gives stops its workers first, so that no frame is on its way between two ports,
 * and gives all its ports; the one that takes has all its ports run before its workers start.
 *
 * Left behind: frames that wait for a translation of an IOMMU in a transmit queue's backlog (the
 * front-end is asked again for what is unknown), and
 * which queue a flow uses.
 *
 * Thread: control.
 */
#include "vhost_port.h"
#include "vu_export.h"

/* A host that is yet to be announced for a guest that came by migration. */
struct vhost_state_host {
	uint8_t mac[6];
	uint16_t vlan;
};

/* How a ring was set up that ran: a front-end that comes back goes on with it, or cannot. */
struct vhost_ran {
	uint32_t session;  /* the port's; see struct vhost_again */
	uint32_t pid, num; /* 0 entries: none has run */
	uint64_t process;  /* with pid: as in struct vhost_record */
	bool stopped;      /* the front-end has stopped it since */
	uint64_t desc;     /* address of its descriptors, as the front-end said */
	uint64_t features;
};

/* reconnect.c */
struct vhost_again {
	uint32_t session;       /* number of the present one, or of the last */
	bool ran;               /* a ring has run in it */
	unsigned fruitless;     /* sessions in a row, until now, in which none did */
	uint64_t ended_ms;      /* when the last one ended */
	uint32_t complained_in; /* number of the last session with a complaint: */
	char complaint[256];    /* what it was about; "" once a ring has run */
	uint64_t refused;       /* features that rings cannot go on with, as was said */
	struct vhost_ran rings[VU_MAX_RINGS];

	/* What was learned behind the port, while nobody is there. */
	uint32_t linger_s;      /* it stays so long: configured */
	struct rw_timer linger; /* active: it is that of this front-end */
	uint32_t pid;
	uint64_t process;
};

/* Bytes of the line that says why there is no front-end. */
#define VHOST_DOWN_MAX 320

/*
 * Memory: the caller's, but for `hosts` and `translations`. Descriptors: see vhost_port_give and
 * vhost_port_take.
 */
struct vhost_port_state {
	int listen_fd;          /* -1: none */
	struct rw_sock_id file; /* of VHOST_SERVER; may be lost */
	bool connected;         /* `session` is valid, and what follows it is of use */
	bool any_file;          /* the front-end may share files of any file system */
	struct vu_export session;
	bool settled[VU_MAX_RINGS];     /* the ring rested with the base that `session` has */
	bool needs_reset[VU_MAX_RINGS]; /* nobody knows where it goes on */
	bool rested[VU_MAX_RINGS];      /* nothing was in flight when it rested last */
	uint8_t mac[6];
	bool mac_set;
	struct vhost_again again; /* but linger_s, and the timer rests, with... */
	uint64_t linger_ms;       /* ...so long to go; 0: it was not active */
	char down[VHOST_DOWN_MAX];
	bool link_off;
	bool announce_due;
	uint64_t unlogged, announced;
	uint32_t nhosts;
	struct vhost_state_host *hosts;      /* malloc'd */
	uint32_t ntranslations;              /* of the IOTLB */
	struct gm_iotlb_entry *translations; /* malloc'd; `host` is of no use */
};

/* Why the port cannot be given now, as the end of a line; NULL: it can. */
const char *vhost_port_hindrance(const struct vhost_port *vp);

/*
 * What can be done while the port that is given still runs: map the memory of its front-end, which
 * is in `regions` there (descriptors stay the port's) and here. Of the first: how many, 0 without a
 * front-end; of the second: 0; or -errno, and nothing has been done ahead.
 */
uint32_t vhost_port_regions(const struct vhost_port *vp,
	struct vu_export_region regions[GM_MAX_REGIONS], bool *any_file);
int vhost_port_prepare(
	struct vhost_port *vp, const struct vu_export_region *regions, uint32_t n, bool any_file);

/*
 * Move the front-end and the listening socket into `out`. 0: the port has neither, and all that is
 * left to do with it is vhost_port_take or vhost_port_free, which removes no socket file then.
 * `out` has all descriptors. -errno: nothing has changed.
 */
int vhost_port_give(struct vhost_port *vp, struct vhost_port_state *out);

/*
 * The port, which waits (vhost_port_config.waits) or was given, goes on as `st` says, with its
 * rings at rest until vhost_port_run. 0: the listening socket is the port's, all other descriptors
 * stay in `st`, which vhost_state_free closes. -errno: the port is as it was.
 */
int vhost_port_take(struct vhost_port *vp, struct vhost_port_state *st);

/* Let the rings run and serve the front-end. The session may be over after it. 0 or -errno. */
int vhost_port_run(struct vhost_port *vp);

/* The socket on which the port listens, which stays its own, and its file; -1: it does not. */
int vhost_port_listener(const struct vhost_port *vp, struct rw_sock_id *file);

/* Without descriptors and hosts. */
void vhost_state_init(struct vhost_port_state *st);
void vhost_state_free(struct vhost_port_state *st);
