/* SPDX-License-Identifier: BSD-3-Clause */
/* What the switch itself knows: counters and addresses, by names that mean the same elsewhere. */
#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "sw_bridge.h"
#include "takeover_fields.h"
#include "takeover_state.h"

/* ---- counters ---- */

#define COUNTER(member) OPTIONAL(port_counters, member, UINT)

static const struct field counter_fields[] = {
	COUNTER(frames),
	COUNTER(bytes),
	COUNTER(unicast),
	COUNTER(multicast),
	COUNTER(broadcast),
	COUNTER(signals),
	COUNTER(suppressed),
	COUNTER(lags),
	COUNTER(lag_cycles),
	COUNTER(converted_csum),
	COUNTER(segmented),
	COUNTER(segments),
};

_Static_assert(
	offsetof(struct port_counters, drops) == RW_ARRAY_SIZE(counter_fields) * sizeof(uint64_t),
	"all counters but the drops stand above");

static json_t *direction_write(const struct port_counters *c)
{
	json_t *all = fields_write(counter_fields, RW_ARRAY_SIZE(counter_fields), c, NULL);
	json_t *drops = json_object();

	for (int i = 0; i < PORT_NUM_DROPS; i++) {
		if (c->drops[i])
			json_object_set_new(drops, port_drop_name((enum port_drop)i),
				json_integer((json_int_t)c->drops[i]));
	}
	json_object_set_new(all, "drops", drops);
	return all;
}

/* `index`: of a pair, or PORT_UNQUEUED. */
static void pair_write(json_t *to, uint16_t index, const struct port_pair *pair)
{
	json_array_append_new(to,
		json_pack("{s:i, s:o, s:o}", "index", index, "rx", direction_write(&pair->rx), "tx",
			direction_write(&pair->tx)));
}

json_t *takeover_counters_write(const struct port *port)
{
	json_t *all = json_array();
	struct port_pair pair;

	for (uint16_t i = 0; i < PORT_MAX_PAIRS; i++) {
		if (!port_has_pair(port, i))
			continue;
		port_read_pair(port, i, &pair);
		pair_write(all, i, &pair);
	}
	pair = (struct port_pair){0};
	port_read_unqueued(port, &pair.tx);
	pair_write(all, PORT_UNQUEUED, &pair);
	return all;
}

static bool direction_read(const json_t *from, struct port_counters *c)
{
	struct takeover_fds none = {.n = 0};
	const json_t *drops = json_object_get(from, "drops");

	if (fields_read(counter_fields, RW_ARRAY_SIZE(counter_fields), from, c, &none))
		return false;
	for (int i = 0; i < PORT_NUM_DROPS; i++)
		c->drops[i] = (uint64_t)json_integer_value(
			json_object_get(drops, port_drop_name((enum port_drop)i)));
	return true;
}

int takeover_counters_read(const json_t *from, struct port *port)
{
	const json_t *entry;

	for (size_t i = 0; (entry = json_array_get(from, i)); i++) {
		json_int_t index = json_integer_value(json_object_get(entry, "index"));
		struct port_pair pair = {0};
		int ret = -EPROTO;

		if ((index >= 0 && index < PORT_MAX_PAIRS) || index == PORT_UNQUEUED)
			ret = direction_read(json_object_get(entry, "rx"), &pair.rx) &&
					direction_read(json_object_get(entry, "tx"), &pair.tx)
				? port_add_pair(port, (uint16_t)index, &pair)
				: -EPROTO;
		if (ret)
			return ret;
	}
	return 0;
}

static const struct field link_fields[] = {
	OPTIONAL(sw_link, ups, UINT),
	OPTIONAL(sw_link, downs, UINT),
	OPTIONAL(sw_link, changed_s, UINT),
};

json_t *takeover_link_write(const struct sw *sw, const struct port *port)
{
	struct sw_link link;

	sw_link_read(sw, port, &link);
	return fields_write(link_fields, RW_ARRAY_SIZE(link_fields), &link, NULL);
}

struct sw_link takeover_link_read(const json_t *from)
{
	struct takeover_fds none = {.n = 0};
	struct sw_link link = {0};

	fields_read(link_fields, RW_ARRAY_SIZE(link_fields), from, &link, &none);
	return link;
}

/* ---- addresses ---- */

/* An entry. */
struct address {
	uint8_t mac[RW_MAC_LEN];
	uint16_t vlan;
	bool service;
	bool is_static;
	uint32_t seen; /* fdb_entry.last_seen_s */
	uint8_t how;   /* enum fdb_how */
};

static const struct field address_fields[] = {
	NEEDED(address, mac, HEX),
	NEEDED(address, vlan, UINT),
	NEEDED(address, service, BOOL),
	NEEDED(address, is_static, BOOL),
	NEEDED(address, seen, UINT),
	OPTIONAL(address, how, UINT),
};

/* Entries of one text at most. */
#define ADDRESSES_MAX 4096

/* NULL: it is behind no port. */
static json_t *address_write(const struct daemon *d, const struct fdb_entry *e)
{
	const struct port *port = e->kind == FDB_EXTERNAL ? NULL : sw_port(d->sw, (uint16_t)e->hop);
	const struct sw_vlan vlan = sw_domain_vlan(d->sw, fdb_key_domain(e->key));
	struct address a = {.vlan = vlan.id,
		.service = vlan.service,
		.is_static = e->kind == FDB_STATIC,
		.seen = e->last_seen_s,
		.how = (uint8_t)e->how};
	json_t *all;

	if (!port)
		return NULL;
	fdb_key_mac(e->key, a.mac);
	all = fields_write(address_fields, RW_ARRAY_SIZE(address_fields), &a, NULL);
	json_object_set_new(all, "port", json_string(port->name));
	json_object_set_new(all, "bridge", json_string(sw_bridge_name(d->sw, vlan.bridge)));
	return all;
}

json_t *takeover_fdb_write(const struct daemon *d, uint32_t *cursor)
{
	struct fdb_entry page[64];
	json_t *all = json_array();

	while (*cursor != FDB_CURSOR_END && json_array_size(all) < ADDRESSES_MAX) {
		uint32_t n = fdb_list(sw_fdb(d->sw), cursor, page, RW_ARRAY_SIZE(page));

		for (uint32_t i = 0; i < n; i++) {
			json_t *entry = address_write(d, &page[i]);

			if (entry)
				json_array_append_new(all, entry);
		}
	}
	return all;
}

static void address_read(struct daemon *d, const json_t *from)
{
	const char *name = json_string_value(json_object_get(from, "port"));
	const char *bridge = json_string_value(json_object_get(from, "bridge"));
	const struct port *port = name ? sw_port_by_name(d->sw, name) : NULL;
	struct takeover_fds none = {.n = 0};
	struct address a = {.vlan = 0};
	int at = bridge ? sw_bridge_find(d->sw, bridge) : -ENOENT;
	struct sw_vlan vlan;
	uint16_t domain;

	if (!port || at < 0 ||
		fields_read(address_fields, RW_ARRAY_SIZE(address_fields), from, &a, &none) ||
		a.vlan >= SW_VLANS || a.how >= FDB_HOWS)
		return;
	vlan = (struct sw_vlan){.bridge = (uint16_t)at, .id = a.vlan, .service = a.service};
	domain = a.is_static ? sw_domain_keep(d->sw, vlan) : sw_domain_of(d->sw, vlan);
	if (!domain)
		return;
	if (a.is_static)
		fdb_add_static(sw_fdb(d->sw), fdb_key_make(a.mac, domain), port->id, true);
	else
		fdb_learn_by(sw_fdb(d->sw), fdb_key_make(a.mac, domain), port->id, a.seen,
			(enum fdb_how)a.how);
}

void takeover_fdb_read(struct daemon *d, const json_t *from)
{
	const json_t *entry;

	for (size_t i = 0; (entry = json_array_get(from, i)); i++)
		address_read(d, entry);
}
