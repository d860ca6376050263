/* SPDX-License-Identifier: BSD-3-Clause */
/* Ports for vhost-user front-ends (drivers/vhost). */
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "kinds.h"
#include "vhost_port.h"
#include "vu_session.h"

/* ---- options ---- */

static int set_socket(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	char option[sizeof("--port ,socket=") + OPTIONS_NAME_MAX];

	snprintf(option, sizeof(option), "%s,socket=", what);
	return options_path(p, option, value, port->path);
}

static json_t *get_socket(const struct options_port *port)
{
	return port->path[0] ? json_string(port->path) : NULL;
}

static int set_mode(struct parse *p, const char *what, struct options_port *port, const char *value)
{
	if (!strcmp(value, "client"))
		port->mode = OPTIONS_CLIENT;
	else if (!strcmp(value, "server"))
		port->mode = OPTIONS_SERVER;
	else
		return options_mistake(
			p, "%s: mode is \"%s\", but must be server or client", what, value);
	return 0;
}

static json_t *get_mode(const struct options_port *port)
{
	return port->mode == OPTIONS_FD
		? NULL
		: json_string(port->mode == OPTIONS_CLIENT ? "client" : "server");
}

static int set_allowed(
	struct parse *p, const char *what, const char *key, bool *allowed, const char *value)
{
	if (strcmp(value, "on") && strcmp(value, "off"))
		return options_mistake(
			p, "%s: %s is \"%s\", but must be on or off", what, key, value);
	*allowed = !strcmp(value, "on");
	return 0;
}

/* A feature that is offered if the operator allows it. */
#define ALLOWED(member, key)                                                                     \
	static int set_##member(                                                                 \
		struct parse *p, const char *what, struct options_port *port, const char *value) \
	{                                                                                        \
		return set_allowed(p, what, key, &port->allowed.member, value);                  \
	}                                                                                        \
	static json_t *get_##member(const struct options_port *port)                             \
	{                                                                                        \
		return json_boolean(port->allowed.member);                                       \
	}

ALLOWED(postcopy, "postcopy")
ALLOWED(device_state, "device-state")
ALLOWED(config_space, "config-space")

static int set_memory(
	struct parse *p, const char *what, struct options_port *port, const char *value)
{
	if (strcmp(value, "shared") && strcmp(value, "any"))
		return options_mistake(
			p, "%s: memory is \"%s\", but must be shared or any", what, value);
	port->allowed.any_file = !strcmp(value, "any");
	return 0;
}

static json_t *get_memory(const struct options_port *port)
{
	return json_string(port->allowed.any_file ? "any" : "shared");
}

#define LIMIT(kind, id)                                                                      \
	static int set_max_##kind(                                                           \
		struct parse *p, const char *what, struct options_port *port, const char *v) \
	{                                                                                    \
		return options_set_limit(p, what, port, id, v);                              \
	}                                                                                    \
	static json_t *get_max_##kind(const struct options_port *port)                       \
	{                                                                                    \
		return options_get_limit(port, id);                                          \
	}

LIMIT(fds, RW_BUDGET_FDS)
LIMIT(mappings, RW_BUDGET_MAPPINGS)
LIMIT(mapped, RW_BUDGET_MAPPED)
LIMIT(slots, RW_BUDGET_SLOTS)
LIMIT(iotlb, RW_BUDGET_IOTLB)
LIMIT(scratch, RW_BUDGET_SCRATCH)
LIMIT(addresses, RW_BUDGET_ADDRESSES)

static const struct port_option options[] = {
	{"socket", "PATH", true, false, set_socket, get_socket},
	{"mode", "server|client", false, false, set_mode, get_mode},
	{"socket-mode", "OCTAL", false, false, options_set_port_mode, options_get_port_mode},
	{"socket-owner", "USER", false, false, options_set_port_owner, options_get_port_owner},
	{"socket-group", "GROUP", false, false, options_set_port_group, options_get_port_group},
	{"postcopy", "on|off", false, true, set_postcopy, get_postcopy},
	{"device-state", "on|off", false, true, set_device_state, get_device_state},
	{"config-space", "on|off", false, true, set_config_space, get_config_space},
	{"memory", "shared|any", false, true, set_memory, get_memory},
	{"max-fds", "N", false, true, set_max_fds, get_max_fds},
	{"max-mappings", "N", false, true, set_max_mappings, get_max_mappings},
	{"max-mapped", "SIZE", false, true, set_max_mapped, get_max_mapped},
	{"max-slots", "N", false, true, set_max_slots, get_max_slots},
	{"max-iotlb", "N", false, true, set_max_iotlb, get_max_iotlb},
	{"max-scratch", "SIZE", false, true, set_max_scratch, get_max_scratch},
	{"max-addresses", "N|none", false, true, set_max_addresses, get_max_addresses},
};

/* Whether `fd` is a Unix stream socket that listens or is connected. */
static int fd_check(struct parse *p, int fd, bool *listening)
{
	int domain = 0, type = 0, accepts = 0;
	socklen_t len = sizeof(int);
	struct sockaddr_storage peer;
	socklen_t peer_len = sizeof(peer);
	struct stat st;

	if (fstat(fd, &st)) {
		return options_mistake(p, "--fd=%d: this file descriptor is not open: %s", fd,
			"the program that starts ringwayd must pass it on");
	}
	if (!S_ISSOCK(st.st_mode))
		return options_mistake(p, "--fd=%d: this file descriptor is not a socket", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) || domain != AF_UNIX)
		return options_mistake(p, "--fd=%d: this socket is not a Unix socket", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
		return options_mistake(p, "--fd=%d: this Unix socket is not a stream socket", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len))
		accepts = 0;
	if (!accepts && getpeername(fd, (struct sockaddr *)&peer, &peer_len))
		return options_mistake(
			p, "--fd=%d: this socket neither listens nor is connected", fd);
	*listening = accepts;
	return 0;
}

static int check(struct parse *p, struct options_port *port)
{
	char what[sizeof("port ") + OPTIONS_NAME_MAX];

	if (port->mode == OPTIONS_FD)
		return fd_check(p, port->fd, &port->listening);
	for (const struct options_port *other = p->opt->ports; other < port; other++) {
		if (other->kind == port->kind && options_same_file(port->path, other->path)) {
			return options_mistake(p, "ports %s and %s have the same socket %s",
				other->name, port->name, port->path);
		}
	}
	snprintf(what, sizeof(what), "port %s", port->name);
	if (port->mode != OPTIONS_SERVER)
		return options_access_refuse(p, what, port);
	return options_dir_check(p, what, port->path);
}

/* ---- life ---- */

static int new_port(const struct port_context *ctx, const struct options_port *port, void **out,
	char *err, size_t errlen)
{
	static const enum vhost_mode modes[] = {
		[OPTIONS_SERVER] = VHOST_SERVER,
		[OPTIONS_CLIENT] = VHOST_CLIENT,
		[OPTIONS_FD] = VHOST_FD,
	};
	struct vhost_port_config cfg = {
		.sw = ctx->sw,
		.loop = ctx->loop,
		.name = port->name,
		.mode = modes[port->mode],
		.path = port->mode == OPTIONS_FD ? NULL : port->path,
		.access = options_access(port, ctx->access),
		.fd = port->fd,
		.allowed = port->allowed,
		.limits = port->limits,
		.pools = ctx->pools,
		.records = ctx->records,
		.linger_s = ctx->linger_s,
		.waits = ctx->waits,
		.gone = ctx->gone,
		.arg = ctx->arg,
	};
	struct vhost_port *vp;
	int ret = vhost_port_new(&cfg, &vp);

	if (!ret) {
		vhost_port_link(vp, !port->policy.down);
		*out = vp;
	} else if (port->mode == OPTIONS_FD) {
		snprintf(
			err, errlen, "cannot use file descriptor %d: %s", port->fd, strerror(-ret));
	} else {
		snprintf(err, errlen, "cannot listen on %s: %s", port->path, rw_sock_strerror(ret));
	}
	return ret;
}

static void change_port(void *handle, const struct options_port *port, char *note, size_t notelen)
{
	struct rw_budget budgets[RW_BUDGET_KINDS];
	size_t at = 0;

	vhost_port_link(handle, !port->policy.down);
	vhost_port_allow(handle, &port->allowed);
	vhost_port_limit(handle, port->limits);
	vhost_port_budgets(handle, budgets);
	*note = 0;
	for (unsigned k = 0; k < RW_BUDGET_KINDS && at < notelen; k++) {
		char used[RW_BUDGET_TEXT], limit[RW_BUDGET_TEXT];

		if (budgets[k].used <= budgets[k].limit)
			continue;
		at += (size_t)snprintf(note + at, notelen - at,
			"%s%s %s are used and stay, the limit of %s holds for what comes next",
			at ? "; " : "", rw_budget_text(k, budgets[k].used, used), rw_budget_name(k),
			rw_budget_text(k, budgets[k].limit, limit));
	}
}

static void mend_port(void *handle)
{
	vhost_port_mend(handle);
}

static void free_port(void *handle)
{
	vhost_port_free(handle);
}

/* ---- what an operator sees ---- */

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

/* What both answers have. */
static json_t *basics_json(const struct vhost_port_info *info)
{
	return json_pack("{s:s, s:s?, s:s?, s:b, s:o}", "mode", mode_name(info->mode), "path",
		info->path, "down", info->down, "connected", info->connected, "mtu",
		mtu_json(info->mtu));
}

/* A limit, which may be beyond what a JSON number can be trusted with. */
static json_t *limit_json(uint64_t limit)
{
	return limit > INT64_MAX ? json_null() : json_integer((json_int_t)limit);
}

static json_t *budgets_json(struct vhost_port *vp)
{
	struct rw_budget budgets[RW_BUDGET_KINDS];
	json_t *all = json_object();

	vhost_port_budgets(vp, budgets);
	for (unsigned k = 0; k < RW_BUDGET_KINDS; k++)
		json_object_set_new(all, rw_budget_name(k),
			json_pack("{s:I, s:o, s:I, s:I, s:b}", "used", (json_int_t)budgets[k].used,
				"limit", limit_json(budgets[k].limit), "high",
				(json_int_t)budgets[k].high, "refused",
				(json_int_t)budgets[k].refused, "bytes", rw_budget_is_bytes(k)));
	return all;
}

static json_t *describe(void *handle)
{
	struct vhost_port_info info;
	json_t *port;

	vhost_port_describe(handle, &info);
	port = basics_json(&info);
	json_object_set_new(port, "pairs", json_integer(info.pairs));
	json_object_set_new(port, "ring_format",
		!info.connected       ? json_null()
			: info.packed ? json_string("packed")
				      : json_string("split"));
	json_object_set_new(
		port, "features", info.connected ? hex_json(info.features) : json_null());
	json_object_set_new(port, "broken_rings", json_integer(info.broken));
	json_object_set_new(port, "needs_reset", json_integer(info.needs_reset));
	json_object_set_new(port, "budgets", budgets_json(handle));
	return port;
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
	return json_pack("{s:b, s:I, s:b, s:i, s:I}", "active", s->log_buffers || s->log_rings,
		"size", (json_int_t)s->log_size, "buffers", s->log_buffers, "rings",
		(int)s->log_rings, "pages_marked", (json_int_t)s->log_marked);
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

static json_t *show(void *handle)
{
	struct vhost_port_info info;
	json_t *port;

	vhost_port_describe(handle, &info);
	port = basics_json(&info);
	json_object_set_new(port, "announced", json_integer((json_int_t)info.announced));
	json_object_set_new(port, "unlogged", json_integer((json_int_t)info.unlogged));
	json_object_set_new(port, "helper",
		json_pack("{s:i, s:I, s:I, s:I, s:b, s:I, s:I}", "jobs", (int)info.helper.jobs,
			"fds", (json_int_t)info.helper.held.fds, "mappings",
			(json_int_t)info.helper.held.mappings, "mapped",
			(json_int_t)info.helper.held.mapped, "signals", info.helper.signals,
			"signalled", (json_int_t)info.helper.signalled, "slow_signals",
			(json_int_t)info.helper.slow));
	json_object_set_new(port, "log_suppressed", json_integer((json_int_t)info.log_suppressed));
	json_object_set_new(port, "postcopy_allowed", json_boolean(info.allowed.postcopy));
	json_object_set_new(port, "device_state_allowed", json_boolean(info.allowed.device_state));
	json_object_set_new(port, "config_space_allowed", json_boolean(info.allowed.config_space));
	json_object_set_new(
		port, "memory_files", json_string(info.allowed.any_file ? "any" : "shared"));
	json_object_set_new(port, "budgets", budgets_json(handle));
	session_set(port, handle, info.features);
	return port;
}

const struct port_kind kind_vhost = {
	.name = "vhost",
	.options = options,
	.noptions = RW_ARRAY_SIZE(options),
	.check = check,
	.new = new_port,
	.change = change_port,
	.mend = mend_port,
	.free = free_port,
	.describe = describe,
	.show = show,
};
