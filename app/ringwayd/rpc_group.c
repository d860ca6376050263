/* SPDX-License-Identifier: BSD-3-Clause */
/* group.*: the multicast groups that snooping knows. */
#include <arpa/inet.h>

#include "daemon.h"
#include "mdb.h"
#include "rpc.h"
#include "rw_text.h"
#include "sw_bridge.h"
#include "sw_snoop.h"

/* Entries of one answer: a page of groups and routers, and one of queriers. */
#define PAGE 256u

static json_t *address_json(bool ipv6, const uint8_t address[16])
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(ipv6 ? AF_INET6 : AF_INET, address, text, sizeof(text));
	return json_string(text);
}

static const char *port_name(const struct daemon *d, uint32_t id)
{
	const struct port *port = sw_port(d->sw, (uint16_t)id);

	return port ? port->name : NULL;
}

/* Of a domain. */
static const char *bridge_name(const struct daemon *d, uint16_t domain)
{
	return sw_bridge_name(d->sw, sw_domain_vlan(d->sw, domain).bridge);
}

static json_t *entry_json(const struct daemon *d, const struct mdb_entry *e)
{
	char mac[RW_MAC_TEXT];

	return json_pack("{s:s, s:i, s:s?, s:o, s:o, s:s, s:b, s:I}", "bridge",
		bridge_name(d, e->domain), "vlan", sw_domain_vlan(d->sw, e->domain).id, "port",
		port_name(d, e->port), "group",
		e->router ? json_null() : address_json(e->ipv6, e->address), "mac",
		e->router ? json_null() : json_string(rw_mac_text(e->mac, mac)), "family",
		e->ipv6 ? "ipv6" : "ipv4", "router", e->router, "left_s", (json_int_t)e->left_s);
}

static json_t *querier_json(const struct daemon *d, const struct mdb_querier *q)
{
	return json_pack("{s:s, s:i, s:s, s:o, s:s?, s:i, s:b, s:I, s:I, s:I}", "bridge",
		bridge_name(d, q->domain), "vlan", sw_domain_vlan(d->sw, q->domain).id, "family",
		q->ipv6 ? "ipv6" : "ipv4", "address", address_json(q->ipv6, q->address), "port",
		port_name(d, q->port), "version", q->version, "ready", q->ready, "interval_s",
		(json_int_t)q->interval_s, "member_s", (json_int_t)q->member_s, "left_s",
		(json_int_t)q->left_s);
}

static json_t *entries_json(const struct daemon *d, uint32_t *cursor)
{
	json_t *list = json_array();
	struct mdb_entry page[64];

	while (*cursor != MDB_CURSOR_END && json_array_size(list) < PAGE) {
		uint32_t n = mdb_list(
			sw_mdb(d->sw), cursor, sw_now_s(d->sw), page, RW_ARRAY_SIZE(page));

		for (uint32_t i = 0; i < n; i++)
			json_array_append_new(list, entry_json(d, &page[i]));
	}
	return list;
}

static json_t *queriers_json(const struct daemon *d)
{
	json_t *list = json_array();
	struct mdb_querier page[64];
	uint32_t cursor = 0;

	while (cursor != MDB_CURSOR_END && json_array_size(list) < PAGE) {
		uint32_t n = mdb_queriers(
			sw_mdb(d->sw), &cursor, sw_now_s(d->sw), page, RW_ARRAY_SIZE(page));

		for (uint32_t i = 0; i < n; i++)
			json_array_append_new(list, querier_json(d, &page[i]));
	}
	return list;
}

/* The ports that get all multicast, by their names. */
static json_t *all_json(const struct daemon *d)
{
	json_t *list = json_array();

	for (uint16_t id = 0; id < SW_MAX_PORTS; id++) {
		if (sw_port(d->sw, id) && mdb_gets_all(sw_mdb(d->sw), id))
			json_array_append_new(list, json_string(port_name(d, id)));
	}
	return list;
}

static json_t *counters_json(const struct mdb_stats *s)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "queries",
		(json_int_t)s->queries, "reports", (json_int_t)s->reports, "leaves",
		(json_int_t)s->leaves, "malformed", (json_int_t)s->malformed, "refused",
		(json_int_t)s->refused, "full", (json_int_t)s->full, "cut", (json_int_t)s->cut,
		"busy", (json_int_t)s->busy);
}

json_t *rpc_group_list(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	const json_t *from = json_object_get(params, "cursor");
	json_int_t at = json_integer_value(from);
	uint32_t cursor = (uint32_t)at;
	struct mdb_stats stats;
	json_t *entries;

	if (from && (!json_is_integer(from) || at < 0 || at > UINT32_MAX))
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"cursor\" must be a number");
	entries = entries_json(d, &cursor);
	mdb_get_stats(sw_mdb(d->sw), &stats);
	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:i, s:i, s:o}", "snooping", sw_snooping(d->sw),
		"entries", entries, "next",
		cursor == MDB_CURSOR_END ? json_null() : json_integer(cursor), "queriers",
		queriers_json(d), "all_multicast", all_json(d), "entries_total", (int)stats.members,
		"max_entries", (int)stats.max_members, "counters", counters_json(&stats));
}
