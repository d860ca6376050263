/* SPDX-License-Identifier: BSD-3-Clause */
/* subscribe, unsubscribe, and the events: what happens in the switch, for whoever wants to know. */
#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "rpc.h"
#include "rw_text.h"
#include "sw_bridge.h"
#include "sw_event.h"

/*
 * How often the hosts that workers noted are told of. FDB_CHANGES of them wait, so that at most
 * 5120 are told of in a second.
 */
#define HOSTS_MS 100

#define BIT(kind)  (1u << (kind))
#define HOST_KINDS (BIT(SW_EVENT_LEARNED) | BIT(SW_EVENT_MOVED))

/* Those of the switch, then those of the daemon. */
enum { EVENT_PORT = SW_EVENT_KINDS, EVENT_CONFIGURATION, EVENT_MIRROR, EVENT_KINDS };

#define PORT HAS("port", CTL_STRING, "the name of the port")
#define HOST                                                   \
	HAS("mac", CTL_STRING, "the address of the host"),     \
		HAS("vlan", CTL_INTEGER, "its VLAN; 0: none"), \
		MAY("bridge", CTL_STRING, "its bridge, if there are several")

#define HOW                                                                         \
	HAS("how", CTL_STRING,                                                      \
		"how it was found: by a \"frame\", \"rarp\" of the front-end, the " \
		"\"setting\" of the port, a \"migration\", or a \"file\"")

static const struct ctl_event_kind kinds[EVENT_KINDS] = {
	[SW_EVENT_LINK] = {"link", "frames can be sent to the port, or no longer",
		CTL_FIELDS(PORT, HAS("up", CTL_BOOLEAN, "whether they can"))},
	[SW_EVENT_DOWN] = {"down", "the port has lost its front-end",
		CTL_FIELDS(PORT, HAS("why", CTL_STRING, "the reason"))},
	[SW_EVENT_LEARNED] = {"learned", "an address was learned", CTL_FIELDS(PORT, HOST, HOW)},
	[SW_EVENT_MOVED] = {"moved", "an address is behind another port than before",
		CTL_FIELDS(PORT, MAY("from", CTL_STRING, "the port before, if it is still there"),
			HOST, HOW)},
	[SW_EVENT_FLAPPING] = {"flapping", "an address moves on and on; it is held for a while",
		CTL_FIELDS(
			PORT, MAY("from", CTL_STRING, "the other port where it was seen"), HOST)},
	[SW_EVENT_BROKEN] = {"broken", "a ring contradicts itself and rests until it is reset",
		CTL_FIELDS(PORT, HAS("ring", CTL_INTEGER, "its index"))},
	[SW_EVENT_MIGRATION] = {"migration", "a step of a guest's migration",
		CTL_FIELDS(PORT,
			HAS("what", CTL_STRING,
				"\"log on\", \"pages marked\" (once a second at most), \"log "
				"off\" or \"announced\" (RARP)"),
			MAY("pages", CTL_INTEGER,
				"how many pages were marked in the dirty log; one that is marked "
				"again after the front-end has read it counts again"),
			MAY("mac", CTL_STRING, "the address that was announced"))},
	[EVENT_PORT] = {"port", "a port was added, changed or removed",
		CTL_FIELDS(PORT, HAS("what", CTL_STRING, "\"added\", \"changed\" or \"removed\""))},
	[EVENT_CONFIGURATION] = {"configuration", "a document was applied",
		CTL_FIELDS(HAS("changes", CTL_INTEGER, "how many things it changed"),
			HAS("unchanged", CTL_INTEGER, "how many ports stayed as they were"))},
	[EVENT_MIRROR] = {"mirror", "a mirror was added or removed",
		CTL_FIELDS(HAS("mirror", CTL_STRING, "its name"),
			HAS("what", CTL_STRING, "\"added\" or \"removed\""))},
};

/* ---- what happens ---- */

/* Add the host of an event. */
static void host_add(const struct sw *sw, const struct sw_event *event, json_t *params)
{
	struct sw_vlan vlan = sw_domain_vlan(sw, fdb_key_domain(event->key));
	uint8_t m[RW_MAC_LEN];
	char mac[RW_MAC_TEXT];

	fdb_key_mac(event->key, m);
	json_object_set_new(params, "mac", json_string(rw_mac_text(m, mac)));
	if (event->kind == SW_EVENT_MIGRATION)
		return;
	json_object_set_new(params, "vlan", json_integer(vlan.id));
	if (event->kind != SW_EVENT_FLAPPING)
		json_object_set_new(params, "how", json_string(rpc_how(event->how)));
	if (vlan.bridge)
		json_object_set_new(params, "bridge", json_string(sw_bridge_name(sw, vlan.bridge)));
}

/* What is special to a kind. */
static void special_add(const struct sw_event *event, json_t *params)
{
	switch (event->kind) {
	case SW_EVENT_LINK:
		json_object_set_new(params, "up", json_boolean(event->on));
		break;
	case SW_EVENT_DOWN:
		json_object_set_new(params, "why", json_string(event->text));
		break;
	case SW_EVENT_BROKEN:
		json_object_set_new(params, "ring", json_integer(event->ring));
		break;
	case SW_EVENT_MIGRATION:
		json_object_set_new(params, "what", json_string(event->text));
		if (!event->key)
			json_object_set_new(
				params, "pages", json_integer((json_int_t)event->pages));
		break;
	default:
		if (event->other)
			json_object_set_new(params, "from", json_string(event->other->name));
	}
}

static void sw_told(void *arg, const struct sw_event *event)
{
	const struct daemon *d = arg;
	const char *const about[2] = {event->port->name, event->other ? event->other->name : NULL};
	json_t *params;

	if (!d->control || !(ctl_server_wanted(d->control) & BIT(event->kind)))
		return;
	params = json_pack("{s:s}", "port", event->port->name);
	if (event->key)
		host_add(d->sw, event, params);
	special_add(event, params);
	ctl_emit(d->control, event->kind, about, params);
}

void events_port(const struct daemon *d, const char *name, const char *what)
{
	const char *const about[2] = {name, NULL};

	if (d->control)
		ctl_emit(d->control, EVENT_PORT, about,
			json_pack("{s:s, s:s}", "port", name, "what", what));
}

void events_configuration(const struct daemon *d, size_t changes, unsigned unchanged)
{
	const char *const about[2] = {NULL, NULL};

	if (d->control)
		ctl_emit(d->control, EVENT_CONFIGURATION, about,
			json_pack("{s:I, s:i}", "changes", (json_int_t)changes, "unchanged",
				(int)unchanged));
}

void events_mirror(const struct daemon *d, const char *name, const char *what)
{
	const char *const about[2] = {NULL, NULL};

	if (d->control)
		ctl_emit(d->control, EVENT_MIRROR, about,
			json_pack("{s:s, s:s}", "mirror", name, "what", what));
}

/* ---- hosts ---- */

static void hosts_due(void *arg)
{
	const struct daemon *d = arg;
	uint64_t lost = sw_hosts_tell(d->sw);

	if (lost)
		ctl_lose(d->control, HOST_KINDS, lost);
}

/* Have workers note hosts while somebody wants to know. */
static void wanted(void *arg, uint32_t all)
{
	struct daemon *d = arg;
	bool watch = all & HOST_KINDS;

	if (watch == d->hosts.active)
		return;
	sw_hosts_watch(d->sw, watch);
	if (watch)
		rw_timer_start(d->loop, &d->hosts, HOSTS_MS, HOSTS_MS);
	else
		rw_timer_stop(d->loop, &d->hosts);
}

void events_begin(struct daemon *d)
{
	if (!d->control)
		return;
	d->hosts = (struct rw_timer){.fn = hosts_due, .arg = d};
	ctl_server_events(d->control, kinds, EVENT_KINDS, wanted, d);
	sw_events_to(d->sw, sw_told, d);
}

json_t *rpc_describe(void)
{
	return ctl_describe(rpc_methods, rpc_nmethods, kinds, EVENT_KINDS);
}

/* ---- methods ---- */

/* The kind of that name; -1 and `fail` filled in. */
static int kind_find(const json_t *name, struct ctl_failure *fail)
{
	const char *text = json_string_value(name);
	char all[128] = "";

	for (int i = 0; i < EVENT_KINDS; i++) {
		if (text && !strcmp(text, kinds[i].name))
			return i;
		strcat(strcat(all, i ? ", " : ""), kinds[i].name);
	}
	ctl_fail(fail, CTL_ERR_PARAMS, "\"%.64s\" is no kind of event: there are %s",
		text ? text : "what is no string", all);
	strcpy(fail->at, "kinds");
	return -1;
}

/* The kinds that a list names; 0 and `fail` filled in. */
static uint32_t kinds_read(const json_t *list, struct ctl_failure *fail)
{
	uint32_t all = 0;

	if (!json_array_size(list))
		return BIT(EVENT_KINDS) - 1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		int kind = kind_find(json_array_get(list, i), fail);

		if (kind < 0)
			return 0;
		all |= BIT(kind);
	}
	return all;
}

json_t *rpc_subscribe(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	const char *port = json_string_value(json_object_get(params, "port"));
	uint32_t which = kinds_read(json_object_get(params, "kinds"), fail);
	json_t *names;

	if (!which)
		return NULL;
	/* Of a port that is still to come as well. */
	if (port && strlen(port) > CTL_SUBJECT_MAX)
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"port\" must be the name of a port");
	if (!d->control || ctl_subscribe(d->control, which, port ? port : ""))
		return ctl_fail(
			fail, CTL_ERR_FAILED, "events go to a connection, and this is none");
	names = json_array();
	for (int i = 0; i < EVENT_KINDS; i++) {
		if (which & BIT(i))
			json_array_append_new(names, json_string(kinds[i].name));
	}
	return json_pack("{s:o, s:s?}", "kinds", names, "port", port);
}

json_t *rpc_unsubscribe(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;

	(void)params;
	if (!d->control || ctl_subscribe(d->control, 0, ""))
		return ctl_fail(
			fail, CTL_ERR_FAILED, "events go to a connection, and this is none");
	return json_object();
}
