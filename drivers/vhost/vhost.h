/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * A vhost port from the inside, for the files of this driver: port.c sessions and life; sockets.c
 * how front-ends get there; rings.c makes what the session says of rings true; iotlb_miss.c gets
 * translations; config.c is the configuration space; announce.c tells the network where the guest
 * is; device_state.c is the state that migrates with it; postcopy.c is the thread that stands in
 * for the workers; show.c is what an operator sees; takeover.c hands the port to another process.
 *
 * Thread: control, unless a comment says otherwise.
 */
#include "queue.h"
#include "record.h"
#include "rw_log.h"
#include "rw_sock.h"
#include "vhost_port.h"
#include "vhost_takeover.h"

struct vhost_postcopy;

/* A queue pair; NULL: that queue does not run. */
struct vhost_pair {
	struct vhost_queue *rx;
	struct vhost_queue *tx;
};

/* A host behind the port: one of the addresses that came with a migrated guest. */
struct vhost_host {
	uint8_t mac[6];
	uint16_t vlan;
};

/* A ring that is ready, but may not start before its own areas are in the IOTLB. */
struct vhost_ring_wait {
	bool waiting;
	bool lacking;      /* the last attempt to start it found that it lacks */
	uint64_t missing;  /* this address: nothing is tried before it is known */
	uint64_t iova;     /* the address that was asked for last */
	uint64_t asked_ms; /* when it was; 0: not yet */
};

struct vhost_port {
	struct port port;
	struct sw *sw;
	struct rw_loop *loop;
	enum vhost_mode mode;
	char *path; /* NULL with VHOST_FD */
	void (*gone)(void *arg);
	void *arg;
	struct vhost_allowed allowed; /* for the next front-end */
	char down[VHOST_DOWN_MAX];    /* why there is none; "" when nothing was wrong */

	/* sockets.c */
	int unreached;                /* why no front-end can come, as was said; 0 or -errno */
	int listen_fd;                /* -1: none */
	struct rw_sock_id file;       /* of VHOST_SERVER */
	struct rw_sock_access access; /* to it */
	struct rw_watch listen_watch;
	struct rw_turn accept_turn; /* queued while a front-end may wait for accept */
	struct rw_timer retry;
	struct rw_timer watch;           /* every 100 ms while there is a session */
	struct rw_log_limit limit;       /* warnings that its front-ends cause */
	struct rw_log_limit event_limit; /* what happens, such as a front-end that connects */

	struct rw_helper *helper;    /* NULL: no front-end has been there yet */
	bool helped_told;            /* that the helper signals was logged */
	struct vu_session *session;  /* NULL: no front-end */
	struct vu_session *prepared; /* has memory alone, and becomes `session`; NULL: none */
	struct vhost_pair pairs[PORT_MAX_PAIRS];
	uint64_t nunlogged; /* of queues that have ended, see struct vhost_queue */
	uint64_t unlogged_told;
	struct vhost_queue *kept[VU_MAX_RINGS]; /* that rest: memory for the ring's next queue */
	bool broken_told[VU_MAX_RINGS];         /* the ring's present trouble was logged */
	struct vhost_record record;             /* of its packed rings */
	bool settled[VU_MAX_RINGS];             /* the ring has run, and rested last... */
	uint32_t settled_at[VU_MAX_RINGS];      /* ...with this base */
	bool needs_reset[VU_MAX_RINGS]; /* nobody knows where the ring goes on; was logged */
	bool rested[VU_MAX_RINGS];      /* nothing was in flight when the ring was paused last */
	uint32_t rests_seen;            /* port.work.rests, when looked at last */
	bool rests_told;                /* they had grown then, which was logged */

	struct vhost_again again; /* reconnect.c */

	/* tell.c: what was told last */
	bool link_told, log_told;
	uint64_t pages_told, pages_told_ms; /* of the log, and when (rw_now_ms) */
	uint64_t announced;                 /* RARP broadcasts that were sent */

	/* iotlb_miss.c */
	int wake_fd; /* eventfd: a worker has opened a note */
	struct rw_watch wake_watch;
	uint64_t questions; /* asked so far; the number of each is its cookie */
	struct vhost_ring_wait waits[VU_MAX_RINGS];
	struct rw_turn rings_turn; /* queued while rings that wait may be started */
	bool retry_due;            /* an invalidation goes on in that turn */

	/* config.c */
	bool link_off;  /* the configuration space says that the link is down */
	uint8_t mac[6]; /* of the configuration space, valid when mac_set */
	bool mac_set;   /* the front-end gave one */

	/* announce.c */
	bool announce_due;        /* the guest came by migration: announce it when its rings run */
	uint32_t nhosts;          /* hosts that are to be announced then */
	uint32_t nannounced;      /* so many of them have been */
	struct vhost_host *hosts; /* malloc'd */
	struct rw_timer announcer;

	/* postcopy.c */
	struct vhost_postcopy *postcopy; /* NULL: the workers run the queues */
};

/* Ring 2k is pair k's receiveq, our tx; 2k + 1 its transmitq, our rx (virtio 1.2, 5.1.2). */
static inline struct vhost_queue **vhost_ring_queue(struct vhost_port *vp, unsigned ring)
{
	struct vhost_pair *pair = &vp->pairs[ring / 2];

	return ring & 1 ? &pair->rx : &pair->tx;
}

/* sockets.c: be reachable as `cfg` says, or try to. 0 or -errno. */
void vhost_sockets_init(struct vhost_port *vp);
int vhost_sockets_begin(struct vhost_port *vp, const struct vhost_port_config *cfg);
void vhost_sockets_end(struct vhost_port *vp);
/* The port's helper, which it has before a connection. 0 or -errno. */
int vhost_helper_begin(struct vhost_port *vp);
/* Wait for front-ends, or look for one, as the port does by its nature. 0 or -errno. */
int vhost_port_attend(struct vhost_port *vp);
/* The client's front-end has gone: look for the next one. */
void vhost_client_retry(struct vhost_port *vp);

/* port.c: serve the front-end on `fd`, which is taken over. 0 or -errno. */
int vhost_session_begin(struct vhost_port *vp, int fd);
/*
 * port.c, for takeover.c: the front-end's session goes on here, its rings at rest. 0 or -errno.
 * Before that, what can be done ahead of it, with this memory: 0 or -errno; or not at all.
 */
int vhost_session_prepare(
	struct vhost_port *vp, const struct vu_export_region *regions, uint32_t n, bool any_file);
void vhost_session_unprepare(struct vhost_port *vp);
int vhost_session_adopt(struct vhost_port *vp, const struct vu_export *e, bool any_file);

/* port.c: log what a front-end did, a line of the level "info", as often as the port may. */
void vhost_port_event(struct vhost_port *vp, const char *fmt, ...) RW_PRINTF(2, 3);

/* reconnect.c: a session begins, or ends for a reason, "" if there is none; vu_ops.complained. */
void vhost_session_began(struct vhost_port *vp, int pid);
void vhost_session_ended(struct vhost_port *vp, const char *why);
void vhost_session_complained(void *dev, const char *line);
/*
 * What was learned behind the port: its front-end has gone, and it goes then or after a while; or
 * one is here, and what another one left goes. Timer vhost_again.linger: it has waited.
 */
void vhost_addresses_leave(struct vhost_port *vp);
void vhost_addresses_take(struct vhost_port *vp);
void vhost_addresses_due(void *arg);
/*
 * Whether this front-end had set up ring `i` with other features before it came back, so that the
 * ring cannot go on. The second one says so, once for as long as it is so.
 */
bool vhost_ring_differs(const struct vhost_port *vp, unsigned i);
void vhost_ring_refuse(struct vhost_port *vp, unsigned i);
/* Ring `i` runs. */
void vhost_ring_ran(struct vhost_port *vp, unsigned i);

/* tell.c: events of the port, for whoever watches: its link and dirty log, if they changed. */
void vhost_tell_state(struct vhost_port *vp);
/* Of a migration that goes on: more pages are marked than were told of. */
void vhost_tell_pages(struct vhost_port *vp);
void vhost_tell_down(struct vhost_port *vp);
void vhost_tell_broken(struct vhost_port *vp, unsigned ring);
void vhost_tell_announced(struct vhost_port *vp, const uint8_t mac[6]);

/* budget.c: have the limits of `cfg`, once the port is in the switch. */
void vhost_budgets_begin(struct vhost_port *vp, const struct vhost_port_config *cfg);
/* What -errno means; if a budget is used up, in `text`, which one. */
const char *vhost_why(const struct vhost_port *vp, int err, char *text, size_t len);

/*
 * Note why the port has no front-end, for the operator; the next front-end clears it. A file that
 * ends a session for a reason of its own calls this after vu_ops.closed.
 */
void vhost_port_down(struct vhost_port *vp, const char *fmt, ...) RW_PRINTF(2, 3);

/* port.c: buffers of the port that were written and are missing in the dirty log. */
uint64_t vhost_port_unlogged(const struct vhost_port *vp);

/* rings.c: see struct vu_ops. */
bool vhost_quiesce(void *dev);
bool vhost_rings_pause(void *dev, unsigned first, unsigned n);
int vhost_rings_resume(void *dev, unsigned first, unsigned n);
void vhost_ring_stopped(void *dev, unsigned ring);
/* Free the memory of queues that rest: the session is over. */
void vhost_rings_forget(struct vhost_port *vp);

/* config.c: see struct vu_ops. */
uint32_t vhost_config_read(void *dev, void *out);
int vhost_config_write(void *dev, uint32_t offset, const void *data, uint32_t len, bool migration);

/* device_state.c: see struct vu_ops. */
int vhost_state_save(void *dev, void **out);
int vhost_state_load(void *dev, const void *data, uint32_t len);

/* announce.c: see struct vu_ops. */
void vhost_rarp_wanted(void *dev, const uint8_t mac[6]);
/* Whether one host can have this address: no group address, and not all zero. */
bool vhost_is_host_mac(const uint8_t mac[6]);
/*
 * Announce these hosts, and no others, when it is due. `hosts` is malloc'd, the port's from now on.
 */
void vhost_hosts_replace(struct vhost_port *vp, struct vhost_host *hosts, uint32_t n);
/* A tx queue runs: if the guest has migrated here, tell the network. */
void vhost_announce(struct vhost_port *vp);
/* Timer vhost_port.announcer: go on with it. */
void vhost_announce_due(void *arg);
/* The front-end has gone; the next one's guest is another. */
void vhost_announce_reset(struct vhost_port *vp);
