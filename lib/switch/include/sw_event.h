/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * What happens in the switch, told to one listener as it happens: for a monitor, not for the log.
 * Drivers tell of their ports, the switch of hosts. Nobody keeps an event: a listener that wants
 * it later copies it. Thread: control.
 */
#include "sw.h"

enum sw_event_kind {
	SW_EVENT_LINK,      /* frames can, or can no longer, be sent to the port: `on` */
	SW_EVENT_DOWN,      /* whoever was attached to the port is no longer: `text` says why */
	SW_EVENT_LEARNED,   /* a host is behind the port: `key` */
	SW_EVENT_MOVED,     /* as well, and was behind `other` before */
	SW_EVENT_FLAPPING,  /* a host moves on and on: it is held behind the port, not `other` */
	SW_EVENT_BROKEN,    /* `ring` of the port contradicts itself and rests */
	SW_EVENT_MIGRATION, /* the guest's migration: `text` is a step of it */
	SW_EVENT_KINDS,
};

struct sw_event {
	enum sw_event_kind kind;
	const struct port *port;
	const struct port *other; /* NULL: none, or it is gone */
	fdb_key key;              /* 0: no host is meant */
	enum fdb_how how;         /* of a host: SW_EVENT_LEARNED and SW_EVENT_MOVED */
	bool on;
	unsigned ring;
	const char *text; /* one line */
	uint64_t pages;   /* SW_EVENT_MIGRATION without a host: marked in the dirty log */
};

typedef void sw_event_fn(void *arg, const struct sw_event *event);

/* Tell `fn` from now on; NULL: nobody. */
void sw_events_to(struct sw *sw, sw_event_fn *fn, void *arg);
/*
 * An event has happened. The switch hears of links itself: a port that comes up claims the address
 * that it alone may use (struct sw_policy, `macs`).
 */
void sw_tell(struct sw *sw, const struct sw_event *event);

/*
 * Whether SW_EVENT_LEARNED and SW_EVENT_MOVED are noted. Workers note them, in a bounded ring, and
 * sw_hosts_tell tells of those that wait; it returns how many found no room.
 */
void sw_hosts_watch(struct sw *sw, bool on);
uint64_t sw_hosts_tell(struct sw *sw);
