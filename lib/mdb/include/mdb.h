/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * The multicast database: which ports of a domain want a group, and behind which ports its routers
 * are, by what IGMP and MLD messages say (RFC 4541). It stores numbers and knows no ports.
 *
 * A group is known by its domain and its Ethernet address, for that is what each frame has: IPv4
 * groups that share an address share their members. A membership ends when its host has not
 * repeated it for as long as the domain's querier says (RFC 3376, 8.4), and when a querier that
 * asks for that group gets no answer. Nobody asks here: without a querier in a domain, its frames
 * are flooded as without this table.
 *
 * Limits: a port has so many memberships, and all of them together too. A port that reaches one of
 * them, or that reports more groups in one message than a frame's head has room for, gets all
 * multicast from then on, until nothing of that kind has happened for MDB_OVERFLOW_S. So it loses
 * nothing, and others do not notice.
 *
 * Layout: groups and memberships, each in a hash table with chains. All memory is taken at the
 * start, and touched as it is used.
 *
 * Threads: readers (mdb_forward, mdb_routers) run anywhere and take no lock. mdb_hear, which runs
 * on workers, takes the table's lock; one that cannot get it makes the port get all multicast. Only
 * control removes anything. A group that it has removed may still be read: it is used again after
 * mdb_reclaim, before which every worker passes a quiescent point.
 *
 * Time is in seconds of any monotonic clock, the same for all callers.
 */
#include "frame_group.h"
#include "rw_base.h"

#define MDB_MAX_PORTS  1024
#define MDB_OVERFLOW_S 260 /* as long as a membership by default (RFC 3376, 8.4) */

struct mdb;

struct mdb_config {
	uint32_t max_members; /* of all ports together */
	uint32_t port_max;    /* of one port */
};

/* NULL and errno. */
struct mdb *mdb_new(const struct mdb_config *cfg);
void mdb_free(struct mdb *mdb);

/* A set of ports. */
struct mdb_ports {
	uint64_t bits[MDB_MAX_PORTS / 64];
};

/*
 * Whether frames to an address are of no group that somebody joins: it is none of IPv4 or IPv6, or
 * one that everybody gets (224.0.0.x; ff0x::xx, ff0x::1:xx and the groups of neighbour discovery).
 */
static inline bool mdb_is_for_all(const uint8_t dst[6])
{
	if (frame_is_ipv4_group(dst))
		return !(dst[3] | dst[4]);
	if (!frame_is_ipv6_group(dst))
		return true;
	return dst[2] == 0xff || (!(dst[2] | dst[4]) && dst[3] <= 1);
}

/*
 * The ports that get frames to `dst` in a domain. False: all of them do, because there is no
 * querier yet, or `dst` is for all. Thread: any.
 */
bool mdb_forward(const struct mdb *mdb, uint16_t domain, const uint8_t dst[6], uint32_t now_s,
	struct mdb_ports *out);
/* The ports that get what hosts report; as mdb_forward. */
bool mdb_routers(
	const struct mdb *mdb, uint16_t domain, bool ipv6, uint32_t now_s, struct mdb_ports *out);

/* A message came in at a port. Thread: any. */
void mdb_hear(struct mdb *mdb, uint16_t domain, uint32_t port, const struct frame_group *msg,
	uint32_t now_s);

enum mdb_router {
	MDB_ROUTER_AUTO,  /* one while queries come from there */
	MDB_ROUTER_ON,    /* always one */
	MDB_ROUTER_NEVER, /* queries from there count for nothing */
};
/* Whether a port has a router behind it; at first MDB_ROUTER_AUTO. Thread: control. */
void mdb_set_router(struct mdb *mdb, uint32_t port, enum mdb_router how);

/*
 * Forget what is over; all of a port; all of a domain; all. In each case call mdb_reclaim
 * afterwards if mdb_has_waste. Thread: control.
 */
void mdb_age(struct mdb *mdb, uint32_t now_s);
void mdb_forget_port(struct mdb *mdb, uint32_t port);
void mdb_forget_domain(struct mdb *mdb, uint16_t domain);
void mdb_clear(struct mdb *mdb);
bool mdb_has_waste(const struct mdb *mdb);
/* Use removed groups again: no worker reads them any more. Thread: control. */
void mdb_reclaim(struct mdb *mdb);

/* A membership of a port, or that a router is behind it. */
struct mdb_entry {
	uint16_t domain;
	bool ipv6;
	bool router;         /* and no group */
	uint8_t mac[6];      /* of the group */
	uint8_t address[16]; /* the group as it was reported first */
	uint32_t port;
	uint32_t left_s; /* until it is over */
};

struct mdb_querier {
	uint16_t domain;
	bool ipv6;
	bool ready; /* hosts have had the time to answer it; before, frames are flooded */
	uint8_t version;
	uint8_t address[16];
	uint32_t port;
	uint32_t interval_s; /* from one query to the next */
	uint32_t member_s;   /* for which a report holds */
	uint32_t left_s;     /* until it counts as gone */
};

/*
 * Copy out up to `n` entries from position `*cursor` on (0: the beginning) and move it; it is
 * MDB_CURSOR_END after the last. As fdb_list. Thread: control.
 */
#define MDB_CURSOR_END UINT32_MAX
uint32_t mdb_list(
	struct mdb *mdb, uint32_t *cursor, uint32_t now_s, struct mdb_entry *out, uint32_t n);
uint32_t mdb_queriers(
	struct mdb *mdb, uint32_t *cursor, uint32_t now_s, struct mdb_querier *out, uint32_t n);

struct mdb_stats {
	uint32_t members, max_members; /* routers included */
	uint64_t queries, reports, leaves;
	uint64_t malformed; /* messages that nobody believes */
	uint64_t refused;   /* queries from ports that have no router, or from no address */
	uint64_t full;      /* memberships beyond a limit */
	uint64_t cut;       /* reports longer than a head */
	uint64_t busy;      /* messages that found the lock taken for too long */
};
void mdb_get_stats(const struct mdb *mdb, struct mdb_stats *out);
/* Memberships of a port, and whether it gets all multicast. Thread: control. */
uint32_t mdb_count(const struct mdb *mdb, uint32_t port);
bool mdb_gets_all(const struct mdb *mdb, uint32_t port);
