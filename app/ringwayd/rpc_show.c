/* SPDX-License-Identifier: BSD-3-Clause */
/* port.list and port.show: what is attached to the ports. */
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "rpc.h"
#include "rw_text.h"
#include "vu_session.h"

static const char *mode_name(enum vhost_mode mode)
{
	static const char *const names[] = {
		[VHOST_SERVER] = "server", [VHOST_CLIENT] = "client", [VHOST_FD] = "fd"};

	return names[mode];
}

/* Addresses and bits: beyond what a JSON number can be trusted with. */
static json_t *hex_json(uint64_t v)
{
	return json_sprintf("0x%" PRIx64, v);
}

static json_t *mtu_json(uint16_t mtu)
{
	return mtu ? json_integer(mtu) : json_null();
}

static json_t *port_json(const struct vhost_port *vp)
{
	struct vhost_port_info info;

	vhost_port_describe(vp, &info);
	return json_pack("{s:s, s:i, s:s, s:s, s:s?, s:b, s:b, s:i, s:s?, s:o, s:o, s:i}", "name",
		info.name, "id", info.id, "driver", "vhost", "mode", mode_name(info.mode), "path",
		info.path, "connected", info.connected, "link", info.link, "pairs", (int)info.pairs,
		"ring_format",
		!info.connected       ? NULL
			: info.packed ? "packed"
				      : "split",
		"features", info.connected ? hex_json(info.features) : json_null(), "mtu",
		mtu_json(info.mtu), "broken_rings", (int)info.broken);
}

json_t *rpc_port_list(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	json_t *list = json_array();

	(void)params, (void)fail;
	for (unsigned i = 0; i < d->opt.nports; i++)
		json_array_append_new(list, port_json(d->ports[i]));
	return list;
}

/* The names of the bits that are set. */
static json_t *bits_json(uint64_t bits, const char *(*name_of)(unsigned bit))
{
	json_t *list = json_array();

	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = name_of(bit);

		if (!(bits >> bit & 1))
			continue;
		json_array_append_new(list, name ? json_string(name) : json_sprintf("bit %u", bit));
	}
	return list;
}

/* Bits of the device status (virtio 1.2, 2.1). */
static const char *status_name(unsigned bit)
{
	static const char *const names[] = {"ACKNOWLEDGE", "DRIVER", "DRIVER_OK", "FEATURES_OK",
		NULL, NULL, "NEEDS_RESET", "FAILED"};

	return bit < RW_ARRAY_SIZE(names) ? names[bit] : NULL;
}

static json_t *mac_json(const struct vhost_session_info *s)
{
	char mac[RW_MAC_TEXT];

	return s->mac_set ? json_string(rw_mac_text(s->mac, mac)) : json_null();
}

static json_t *memory_json(const struct vhost_port *vp, unsigned n)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++) {
		struct vhost_region_info r;

		vhost_port_region(vp, i, &r);
		json_array_append_new(list,
			json_pack("{s:o, s:I, s:o}", "gpa", hex_json(r.gpa), "size",
				(json_int_t)r.size, "uva", hex_json(r.uva)));
	}
	return list;
}

/* Keys `key` and, for a packed ring, `wrap_key`. */
static void position_set(json_t *ring, const char *key, const char *wrap_key,
	const struct vhost_position *pos, bool packed)
{
	json_object_set_new(ring, key, pos ? json_integer(pos->index) : json_null());
	json_object_set_new(ring, wrap_key, pos && packed ? json_integer(pos->wrap) : json_null());
}

static json_t *natural_json(int n)
{
	return n < 0 ? json_null() : json_integer(n);
}

/* Only a transmit ring that runs has a worker. */
static void place_set(const struct vhost_ring_info *r, json_t *ring)
{
	json_object_set_new(ring, "worker", natural_json(r->worker));
	json_object_set_new(ring, "memory_node", natural_json(r->memory_node));
	json_object_set_new(ring, "far_off", json_boolean(r->far_off));
}

static json_t *ring_json(const struct vhost_port *vp, unsigned i, bool packed)
{
	struct vhost_ring_info r;
	json_t *ring;

	vhost_port_ring(vp, i, &r);
	ring = json_pack("{s:i, s:s, s:s, s:I, s:s, s:s, s:s, s:b, s:b, s:b}", "index", (int)i,
		"direction", r.rx ? "rx" : "tx", "format", packed ? "packed" : "split", "size",
		(json_int_t)r.size, "state", r.state, "call", r.call, "events",
		r.event_idx ? "index" : "flags", "big_endian", r.big_endian, "logged", r.logged,
		"inflight", r.inflight);
	place_set(&r, ring);
	position_set(ring, "avail", "avail_wrap", &r.avail, packed);
	position_set(ring, "used", "used_wrap", r.used_known ? &r.used : NULL, packed);
	return ring;
}

static json_t *rings_json(const struct vhost_port *vp, unsigned n, bool packed)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, ring_json(vp, i, packed));
	return list;
}

static json_t *log_json(const struct vhost_session_info *s)
{
	return json_pack("{s:b, s:I, s:b, s:i}", "active", s->log_buffers || s->log_rings, "size",
		(json_int_t)s->log_size, "buffers", s->log_buffers, "rings", (int)s->log_rings);
}

static json_t *inflight_json(const struct vhost_session_info *s)
{
	if (!s->inflight)
		return json_null();
	return json_pack("{s:I, s:i, s:i}", "size", (json_int_t)s->inflight, "rings", s->in_rings,
		"ring_size", s->in_entries);
}

static void session_set(json_t *port, const struct vhost_port *vp, uint64_t features)
{
	struct vhost_session_info s = {.postcopy = "none"};
	bool connected = vhost_port_session(vp, &s);
	bool packed = features >> VIRTIO_F_RING_PACKED & 1;
	json_t *rest;

	rest = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:s}", "features",
		bits_json(features, vhost_feature_name), "features_hex",
		connected ? hex_json(features) : json_null(), "protocol_features",
		bits_json(s.protocol_features, vu_protocol_feature_name), "mac", mac_json(&s),
		"status", bits_json(s.status, status_name), "memory", memory_json(vp, s.nregions),
		"rings", rings_json(vp, s.nrings, packed), "backend_channel", s.channel, "iotlb",
		s.iotlb ? json_pack("{s:I}", "entries", (json_int_t)s.entries) : json_null(), "log",
		connected ? log_json(&s) : json_null(), "inflight", inflight_json(&s), "postcopy",
		s.postcopy);
	json_object_update(port, rest);
	json_decref(rest);
}

static json_t *show_json(const struct vhost_port *vp, const struct vhost_port_info *info)
{
	json_t *port = json_pack("{s:s, s:i, s:s, s:s, s:s?, s:b, s:b, s:o}", "name", info->name,
		"id", info->id, "driver", "vhost", "mode", mode_name(info->mode), "path",
		info->path, "connected", info->connected, "link", info->link, "mtu",
		mtu_json(info->mtu));

	session_set(port, vp, info->features);
	return port;
}

json_t *rpc_port_show(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	const struct daemon *d = ctx;
	const char *name = json_string_value(json_object_get(params, "name"));
	struct vhost_port_info info;

	if (!name)
		return ctl_fail(fail, CTL_ERR_PARAMS, "\"name\" must be the name of a port");
	for (unsigned i = 0; i < d->opt.nports; i++) {
		vhost_port_describe(d->ports[i], &info);
		if (!strcmp(info.name, name))
			return show_json(d->ports[i], &info);
	}
	return ctl_fail(fail, CTL_ERR_FAILED, "there is no port \"%s\"", name);
}
