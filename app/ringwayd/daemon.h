/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/* The parts of a running ringwayd, for main.c and the methods of RPC. Thread: control. */
#include "capture.h"
#include "control.h"
#include "fdb_file.h"
#include "kinds.h"
#include "marks.h"
#include "options.h"
#include "pidfile.h"
#include "sw.h"
#include "sw_count.h"
#include "sw_mirror.h"
#include "vhost_records.h"

/* What an entry of options.ports became. */
struct daemon_port {
	void *handle;      /* its kind's */
	struct port *port; /* in the switch */
};

/* A port that has left the switch and is not freed yet. */
struct daemon_leaver {
	const struct port_kind *kind;
	void *handle;
	struct port *port;
	char name[OPTIONS_NAME_MAX + 1];
};

struct apply;

/* What keeps the forwarding database while no ringwayd runs (state_fdb.c). */
struct daemon_fdb {
	int fd;                     /* of the state directory; -1: none */
	struct fdb_file *file;      /* NULL: none */
	struct fdb_file_view *kept; /* of the process before, until it is restored; NULL: nothing */
	bool runs;                  /* it was restored: the table is worth keeping */
	struct rw_timer timer;      /* the next piece of a snapshot, or the next snapshot */
	struct rw_timer settle;     /* hosts behind ports without a link go */
	uint32_t cursor;            /* of a snapshot that was begun */
	bool begun;
	unsigned ports_serial;          /* of d->ports_serial when it was begun */
	int16_t index_of[SW_MAX_PORTS]; /* by port id: in the snapshot; -1: none */
};

/* Traces at once, and how long one goes on that nobody reads (rpc_trace.c). */
#define DAEMON_TRACES  4u
#define TRACE_LEASE_MS 5000u

struct daemon_trace {
	struct sw_trace *trace; /* NULL: none */
	uint32_t id;
	uint64_t until_ms; /* it ends then, if nobody reads it */
};

struct daemon {
	struct options opt;                          /* its ports come and go */
	struct daemon_port ports[OPTIONS_PORTS_MAX]; /* by their index in opt.ports */
	bool huge;                                   /* EAL has huge pages */
	bool waits;      /* new ports neither listen nor connect: they are taken over */
	unsigned nports; /* of these: less than opt.nports only at the start */
	struct rw_loop *loop;
	struct sw *sw;
	struct rw_budget_pools pools; /* what the ports share */
	unsigned fds_own;             /* open before there were ports */
	unsigned mappings_own;        /* as well */
	unsigned mappings_max;        /* vm.max_map_count */
	struct ctl_server *control;   /* NULL: without one */
	struct rw_watch signals;      /* a signalfd */
	struct rw_timer ageing;
	struct rw_timer balancing;
	struct rw_timer hosts; /* runs while somebody wants to know of hosts (rpc_event.c) */
	struct pidfile pidfile;
	struct apply *apply;           /* that runs now, see apply.h; NULL: none */
	struct apply *applied;         /* whose results nobody has taken yet */
	bool reload_due;               /* the file of --config, when none runs */
	int rings_fd;                  /* of the state directory; -1: none */
	struct vhost_records *records; /* in it; NULL: none */
	struct daemon_fdb fdb;
	unsigned ports_serial; /* counts changes of which ports there are, and where */
	struct marks marks;    /* from which counters can be read */
	/* What is counted on request; NULL: it is not. */
	struct sw_count *counts[SW_NUM_COUNT_KINDS];
	struct captures captures;
	/* By their index in opt.mirrors; NULL: it could not begin. */
	struct sw_mirror *mirrors[OPTIONS_MIRRORS_MAX];
	struct daemon_trace traces[DAEMON_TRACES];
	uint32_t trace_id;       /* of the latest trace */
	struct rw_timer tracing; /* runs while there are some */
};

/* rpc_trace.c: end all traces. */
void traces_end(struct daemon *d);

/* Make a port of the next entry of opt.ports. 0; or -errno, and `err` holds one line. */
int daemon_port_begin(struct daemon *d, char *err, size_t errlen);
/*
 * End the port at `index`, its front-end's connection with it, and forget its entry of opt.ports.
 */
void daemon_port_end(struct daemon *d, unsigned index);
/*
 * The same in two parts, for ports that end together: each leaves and loses its entry, all are out
 * of the switch with the next sw_commit, then each is freed. What a worker has not yet taken from
 * the thread of a guest that moves (post-copy) is dropped, where daemon_port_end lets it through.
 */
void daemon_port_leave(struct daemon *d, unsigned index, struct daemon_leaver *out);
void daemon_leaver_free(struct daemon *d, struct daemon_leaver *leaver);
/*
 * Give the port at `index` the options of `to`, which differs in changeable ones. 0, and `note` is
 * empty or one line that the user has to know; or -errno, nothing has changed and `note` is the
 * reason.
 */
int daemon_port_change(struct daemon *d, unsigned index, const struct options_port *to, char *note,
	size_t notelen);
/*
 * Bring a port's memberships in VLANs from `from` to `to`. 0; or -errno (-ENOSPC: the switch has no
 * broadcast domain left), and they are as before.
 */
int daemon_vlans_set(struct daemon *d, struct port *port, const struct options_vlans *from,
	const struct options_vlans *to);
/*
 * {"access": 10}; {"trunk": "10+20-30", "native": 1}, or null there; null: transparent. Both have
 * "names": {"web": 10} if there are any.
 */
json_t *daemon_vlans_json(const struct options *opt, const struct options_vlans *v);
/* Balance the workers every so many seconds; 0: never. */
void daemon_balance_every(struct daemon *d, uint32_t seconds);
/* The index of the port of that name; -1: there is none. */
int daemon_port_find(const struct daemon *d, const char *name);
/* Find out what ports may take together: once EAL and the workers have what they need. */
void daemon_pools_begin(struct daemon *d);
/* Share it out anew: there are so many ports. */
void daemon_pools_share(struct daemon *d, unsigned nports);
/*
 * The service manager, if there is one (notify.c): nothing happens otherwise.
 * notify_begin comes before the process is confined, notify_ready when all runs.
 */
void notify_begin(void);
void notify_ready(struct daemon *d);
/* The configuration is being read again; notify_ready follows, whatever came of it. */
void notify_reloading(void);
/*
 * For a takeover: the socket of the service manager, -1: there is none, and how often it wants a
 * sign of life; go on with those of another process, in the place of one's own; and say which
 * process is the service now, before this one ends, which would be the end of the service.
 */
int notify_fd(uint64_t *watchdog_us);
void notify_take(int fd, uint64_t watchdog_us);
void notify_main(pid_t pid);
void notify_stopping(struct daemon *d);

/*
 * Open what outlives the process (state.c), before confine_begin. 0, or -errno after an error line;
 * without a state directory of the user's choice there may be none. state_end: once no port is
 * left.
 */
int state_begin(struct daemon *d);
void state_end(struct daemon *d);
/*
 * state_fdb.c. state_fdb_begin: use the open file `fd`, which is d->fdb's from then on, of the boot
 * named `boot`; 0 or -errno. state_fdb_restore: once there are ports, before they are used; from
 * then on snapshots are made. state_fdb_save: make one now, all of it.
 */
int state_fdb_begin(struct daemon *d, int fd, const char *boot);
void state_fdb_restore(struct daemon *d);
void state_fdb_save(struct daemon *d);
void state_fdb_end(struct daemon *d);
/*
 * In a takeover. state_fdb_take, instead of state_fdb_begin: the running process uses the file
 * still; -EINVAL: it is of another version. state_fdb_go_on, instead of state_fdb_restore: the file
 * is ours; hosts behind ports without a link go in `settle_ms`, 0: nothing waits for that.
 * state_fdb_leave: it is the successor's, which needs to know state_fdb_settles_in.
 */
int state_fdb_take(struct daemon *d, int fd, const char *boot);
void state_fdb_go_on(struct daemon *d, uint64_t settle_ms);
void state_fdb_leave(struct daemon *d);
uint64_t state_fdb_settles_in(const struct daemon *d);

/* Warn if the limit of open files does not suffice for so many ports. */
void daemon_fd_check(unsigned nports);

/*
 * Bring up EAL for the workers of `opt`; `huge` says whether it got huge pages. 0, or -errno after
 * an error line.
 */
int eal_begin(const struct options *opt, bool *huge);
/* Refuse what would let EAL's heap grow from here on. 0 or -errno. */
int eal_fix_heap(void);
void eal_end(void);
/* Keep this thread and those that it starts off the workers' CPUs, if there are others. */
void daemon_leave_worker_cpus(const struct options *opt);
/* Have DPDK's lines go through the log. 0 or -errno. */
int eal_log_begin(void);

/* Before EAL starts: give up what nobody here needs. 0, or -errno after an error line. */
int confine_begin(const struct options *opt);
/*
 * When everything is set up, before sw_start(): each thread keeps what it needs to serve. 0, or
 * -errno after an error line.
 */
int confine_threads(void);
void confine_end(void);

/* rpc_count.c: nothing is counted on request any more. */
void counts_end(struct daemon *d);
/* A port has left the switch, and another one may get its id. */
void counts_forget_port(struct daemon *d, uint16_t id);

/*
 * mirrors.c. mirrors_begin: those of opt, once there are ports; mirror_begin: that at `index` of
 * opt.mirrors, which has just been added: 0 or -errno; mirror_end takes it out of opt, too.
 * mirrors_change: have those of `to`, and leave the others as they are.
 */
void mirrors_begin(struct daemon *d);
int mirror_begin(struct daemon *d, unsigned index);
void mirror_end(struct daemon *d, unsigned index);
void mirrors_change(struct daemon *d, const struct options *to);
void mirrors_end(struct daemon *d);
/* A port has come, which mirrors may name; ports have come, gone, or changed their bridges. */
void mirrors_port(struct daemon *d, const struct port *port);
void mirrors_bridges(struct daemon *d);

/* rpc_event.c: have events go to the clients that subscribe. */
void events_begin(struct daemon *d);
/* A port was "added", "changed" or "removed". */
void events_port(const struct daemon *d, const char *name, const char *what);
/* A mirror was "added" or "removed". */
void events_mirror(const struct daemon *d, const char *name, const char *what);
/* A document was applied. */
void events_configuration(const struct daemon *d, size_t changes, unsigned unchanged);

/* What `ringway` can ask. The context is the struct daemon. */
extern const struct ctl_method rpc_methods[];
extern const size_t rpc_nmethods;
/* What there is to ask, as rpc.methods answers. A new reference. */
json_t *rpc_describe(void);
