/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explain, and trace.*: what is decided of a frame, step by step. A client reads its trace again
 * and again; one that does so no longer has gone away, and its trace ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "daemon.h"
#include "rpc.h"
#include "rw_text.h"
#include "sw_bridge.h"
#include "sw_trace.h"

#define FRAMES_MAX 1000000u
#define LEN_LEAST  60u /* of a frame, without FCS */
#define TYPE_IPV4  0x0800u
#define IPV4_LEN   20u
#define UDP_LEN    8u
#define PROTO_UDP  17

/* ---- steps as JSON ---- */

/* What is read of one trace, frame by frame. */
struct reading {
	const struct sw *sw;
	const struct options *opt;
	json_t *frames;
	bool timed; /* cycles mean something */
	unsigned worker;
	uint32_t first; /* the number of the worker's first frame here; 0: none yet */
	size_t at;      /* where it is in `frames` */
};

static const char *port_name(const struct reading *r, uint32_t id)
{
	const struct port *port = id < SW_MAX_PORTS ? sw_port(r->sw, (uint16_t)id) : NULL;

	return port ? port->name : NULL;
}

static void vlan_add(const struct reading *r, json_t *to, struct sw_vlan vlan)
{
	json_object_set_new(to, "vlan", json_integer(vlan.id));
	if (options_vlan_name(r->opt, vlan.id))
		json_object_set_new(
			to, "vlan_name", json_string(options_vlan_name(r->opt, vlan.id)));
	if (vlan.id && vlan.service)
		json_object_set_new(to, "tpid", json_string("8021ad"));
	json_object_set_new(to, "bridge", json_string(sw_bridge_name(r->sw, vlan.bridge)));
}

static const char *learned_name(uint32_t how)
{
	static const char *const names[] = {[FDB_KNOWN] = "known",
		[FDB_NEW] = "new",
		[FDB_MOVED] = "moved",
		[FDB_EVICTED] = "new, in the place of another",
		[FDB_HELD] = "held elsewhere",
		[FDB_REFUSED] = "not learned",
		[FDB_BUSY] = "not now",
		[FDB_EXCESS] = "one too many"};

	return how < RW_ARRAY_SIZE(names) ? names[how] : "";
}

static json_t *stage_json(const struct reading *r, const struct sw_step *s)
{
	static const char *const floods[] = {
		[SW_FLOOD_ALL] = "all", [SW_FLOOD_GROUP] = "group", [SW_FLOOD_ROUTERS] = "routers"};
	json_t *step;

	switch (s->stage) {
	case SW_STAGE_POLICY:
		return json_pack("{s:s}", "step", "policy");
	case SW_STAGE_DOMAIN:
		step = json_pack("{s:s}", "step", "domain");
		if (s->result)
			vlan_add(r, step, sw_domain_vlan(r->sw, (uint16_t)s->result));
		return step;
	case SW_STAGE_LEARN:
		return json_pack("{s:s, s:s}", "step", "learn", "result", learned_name(s->result));
	case SW_STAGE_LOOKUP:
		return json_pack("{s:s, s:s?}", "step", "lookup", "port", port_name(r, s->result));
	default:
		return json_pack("{s:s, s:s}", "step", "flood", "to", floods[s->result % 3]);
	}
}

static json_t *step_json(const struct reading *r, const struct sw_step *s)
{
	static const char *const edits[] = {[FRAME_TAG_PUSH] = "push",
		[FRAME_TAG_POP] = "pop",
		[FRAME_TAG_REWRITE] = "rewrite"};
	json_t *step;

	if (s->what == SW_SEE_STAGES) {
		step = stage_json(r, s);
	} else if (s->what == SW_SEE_TX) {
		step = json_pack("{s:s, s:s?, s:i, s:I}", "step", "deliver", "port",
			port_name(r, s->port), "queue", s->queue, "len", (json_int_t)s->len);
		if (s->edit.tag && s->edit.tag < RW_ARRAY_SIZE(edits))
			json_object_set_new(step, "tag", json_string(edits[s->edit.tag]));
		if (s->edit.vlan)
			json_object_set_new(step, "vlan", json_integer(s->edit.vlan));
	} else {
		step = json_pack("{s:s, s:s, s:s?, s:s}", "step", "drop", "reason",
			port_drop_name(s->why), "port", port_name(r, s->port), "direction",
			s->rx ? "rx" : "tx");
		if (s->rx && s->other != SW_NO_PORT)
			json_object_set_new(step, "to", json_string(port_name(r, s->other)));
	}
	if (r->timed && s->what != SW_SEE_RX && s->at)
		json_object_set_new(step, "cycles", json_integer((json_int_t)s->at));
	return step;
}

static json_t *frame_json(const struct reading *r, const struct sw_step *s)
{
	json_t *frame = json_pack("{s:s?, s:i, s:I}", "port", port_name(r, s->port), "queue",
		s->queue, "worker", (json_int_t)r->worker);
	char mac[RW_MAC_TEXT], type[8];

	if (s->what != SW_SEE_RX) {
		json_object_set_new(frame, "chains", json_integer(s->result));
	} else {
		json_object_set_new(frame, "dst", json_string(rw_mac_text(s->head, mac)));
		json_object_set_new(frame, "src", json_string(rw_mac_text(s->head + 6, mac)));
		snprintf(type, sizeof(type), "0x%02x%02x", s->head[12], s->head[13]);
		json_object_set_new(frame, "type", json_string(type));
		json_object_set_new(frame, "len", json_integer(s->len));
		if (s->in_vlan)
			json_object_set_new(frame, "vlan", json_integer(s->vlan.id));
	}
	json_object_set_new(frame, "steps", json_array());
	return frame;
}

static void step_read(void *arg, unsigned worker, const struct sw_step *s)
{
	struct reading *r = arg;
	json_t *frame;

	if (r->first && worker != r->worker)
		r->first = 0;
	r->worker = worker;
	if (!r->first) {
		r->first = s->frame;
		r->at = json_array_size(r->frames);
	}
	while (r->at + (s->frame - r->first) >= json_array_size(r->frames)) {
		if (json_array_append_new(r->frames, frame_json(r, s)))
			return;
	}
	if (s->what == SW_SEE_RX)
		return;
	frame = json_array_get(r->frames, r->at + (s->frame - r->first));
	json_array_append_new(json_object_get(frame, "steps"), step_json(r, s));
}

/* ---- parameters ---- */

/* An address; `*given`: there is one. False: `fail` is filled in. */
static bool param_mac(const json_t *params, const char *key, uint8_t mac[6], bool *given,
	struct ctl_failure *fail)
{
	const char *text = json_string_value(json_object_get(params, key));

	*given = text;
	if (!text || rw_mac_parse(text, mac))
		return true;
	ctl_fail(fail, CTL_ERR_PARAMS, "\"%s\" must be like 52:54:00:00:00:01", key);
	return false;
}

/* An integer from `least` to `most`. */
static bool param_number(const json_t *params, const char *key, uint32_t least, uint32_t most,
	uint32_t *out, struct ctl_failure *fail)
{
	const json_t *v = json_object_get(params, key);
	json_int_t n = json_integer_value(v);

	if (!v)
		return true;
	*out = (uint32_t)n;
	if (json_is_integer(v) && n >= least && n <= most)
		return true;
	ctl_fail(fail, CTL_ERR_PARAMS, "\"%s\" must be a number from %u to %u", key, least, most);
	return false;
}

/* A VLAN id or name. */
static bool param_vlan(const struct daemon *d, const json_t *params, uint16_t *out, bool *given,
	struct ctl_failure *fail)
{
	const json_t *v = json_object_get(params, "vlan");
	const char *name = json_string_value(v);
	uint32_t id = 0;

	*given = v;
	if (!name) {
		if (!param_number(params, "vlan", 0, SW_VLANS, &id, fail))
			return false;
		*out = (uint16_t)id;
		return true;
	}
	*out = options_vlan_named(&d->opt, name, strlen(name));
	if (!*out)
		ctl_fail(fail, CTL_ERR_FAILED, "no VLAN has the name \"%s\"", name);
	return *out;
}

/* ---- explain ---- */

/* The frame that is to be explained. */
struct wanted {
	uint8_t bytes[FRAME_MAX_LEN];
	uint32_t len, n; /* `n`: of the headers that were put */
};

static void put16(struct wanted *f, uint32_t v)
{
	f->bytes[f->n++] = (uint8_t)(v >> 8);
	f->bytes[f->n++] = (uint8_t)v;
}

static bool put_ip(
	struct wanted *f, const json_t *params, const char *key, struct ctl_failure *fail)
{
	const char *text = json_string_value(json_object_get(params, key));

	if (inet_pton(AF_INET, text ? text : "0.0.0.0", f->bytes + f->n) != 1) {
		ctl_fail(fail, CTL_ERR_PARAMS, "\"%s\" must be like 192.0.2.1", key);
		return false;
	}
	f->n += 4;
	return true;
}

/* IPv4 and UDP, if an address or a port of them is given. */
static bool put_packet(struct wanted *f, const json_t *params, struct ctl_failure *fail)
{
	uint32_t src = 0, dst = 0, size;

	if (!json_object_get(params, "ip_src") && !json_object_get(params, "ip_dst") &&
		!json_object_get(params, "udp_src") && !json_object_get(params, "udp_dst"))
		return true;
	if (!param_number(params, "udp_src", 0, UINT16_MAX, &src, fail) ||
		!param_number(params, "udp_dst", 0, UINT16_MAX, &dst, fail))
		return false;
	size = RW_MAX(f->len, f->n + IPV4_LEN + UDP_LEN) - f->n;
	size = RW_MIN(size, UINT32_C(65535));
	put16(f, 0x4500);
	put16(f, size);
	f->n += 4;
	f->bytes[f->n++] = 64;
	f->bytes[f->n++] = PROTO_UDP;
	f->n += 2;
	if (!put_ip(f, params, "ip_src", fail) || !put_ip(f, params, "ip_dst", fail))
		return false;
	put16(f, src);
	put16(f, dst);
	put16(f, size - IPV4_LEN);
	f->n += 2;
	return true;
}

/* False: `fail` is filled in. */
static bool wanted_read(const struct daemon *d, const struct port *port, const json_t *params,
	struct wanted *f, struct ctl_failure *fail)
{
	uint8_t dst[6], src[6] = {2, 0, 0, 0, 0, 1};
	uint32_t type = TYPE_IPV4;
	bool given, tagged;
	uint16_t vlan;

	*f = (struct wanted){.len = LEN_LEAST};
	if (!param_mac(params, "dst", dst, &given, fail) ||
		!param_mac(params, "src", src, &given, fail) ||
		!param_vlan(d, params, &vlan, &tagged, fail) ||
		!param_number(params, "type", 0, UINT16_MAX, &type, fail) ||
		!param_number(params, "len", FRAME_MIN_LEN, FRAME_MAX_LEN, &f->len, fail))
		return false;
	memcpy(f->bytes, dst, 6);
	memcpy(f->bytes + 6, src, 6);
	f->n = 12;
	if (tagged) {
		put16(f, sw_bridge_vlan(d->sw, port, vlan).service ? 0x88a8 : 0x8100);
		put16(f, vlan);
	}
	put16(f, type);
	if (!put_packet(f, params, fail))
		return false;
	f->len = RW_MAX(f->len, f->n);
	return true;
}

json_t *rpc_explain(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;
	struct reading r = {.sw = d->sw, .opt = &d->opt};
	struct wanted frame;
	struct port *port;
	json_t *answer;
	int ret;

	if (!rpc_param_port(d, params, "port", fail, &port) ||
		!wanted_read(d, port, params, &frame, fail))
		return NULL;
	r.frames = json_array();
	ret = sw_trace_explain(d->sw, port, frame.bytes, frame.len, step_read, &r);
	answer = json_incref(json_array_get(r.frames, 0));
	json_decref(r.frames);
	if (ret == -EOPNOTSUPP)
		return ctl_fail(fail, CTL_ERR_FAILED,
			"frames are not switched now: see forward.show, forward.start");
	if (ret || !answer)
		return ctl_fail(fail, CTL_ERR_FAILED, "no memory to explain a frame");
	return answer;
}

/* ---- traces ---- */

static void trace_end(struct daemon *d, struct daemon_trace *t)
{
	sw_trace_free(t->trace);
	*t = (struct daemon_trace){0};
	(void)d;
}

void traces_end(struct daemon *d)
{
	rw_timer_stop(d->loop, &d->tracing);
	for (unsigned i = 0; i < DAEMON_TRACES; i++)
		trace_end(d, &d->traces[i]);
}

/* End the traces that nobody reads. */
static void traces_due(void *arg)
{
	struct daemon *d = arg;
	unsigned n = 0;

	for (unsigned i = 0; i < DAEMON_TRACES; i++) {
		struct daemon_trace *t = &d->traces[i];

		if (t->trace && rw_now_ms() >= t->until_ms)
			trace_end(d, t);
		n += t->trace != NULL;
	}
	if (!n)
		rw_timer_stop(d->loop, &d->tracing);
}

static bool filter_read(const struct daemon *d, const json_t *params, struct sw_trace_filter *f,
	struct ctl_failure *fail)
{
	uint32_t type = 0;

	*f = (struct sw_trace_filter){.by_type = json_object_get(params, "type")};
	if (!param_mac(params, "dst", f->dst, &f->by_dst, fail) ||
		!param_mac(params, "src", f->src, &f->by_src, fail) ||
		!param_vlan(d, params, &f->vlan, &f->by_vlan, fail) ||
		!param_number(params, "type", 0, UINT16_MAX, &type, fail))
		return false;
	f->type = (uint16_t)type;
	return true;
}

json_t *rpc_trace_start(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;
	struct daemon_trace *t = d->traces;
	struct sw_trace_filter filter;
	uint32_t count = 0;
	struct port *port;

	if (!rpc_param_port(d, params, "port", fail, &port) ||
		!filter_read(d, params, &filter, fail) ||
		!param_number(params, "count", 0, FRAMES_MAX, &count, fail))
		return NULL;
	while (t < d->traces + DAEMON_TRACES && t->trace)
		t++;
	if (t == d->traces + DAEMON_TRACES)
		return ctl_fail(fail, CTL_ERR_FAILED,
			"%u traces run already: stop one, or wait %u s if its client has gone",
			DAEMON_TRACES, TRACE_LEASE_MS / 1000);
	t->trace = sw_trace_new(d->sw, port, &filter, count);
	if (!t->trace)
		return ctl_fail(fail, CTL_ERR_FAILED, "no trace can begin: %s",
			errno == ENOSPC ? "too many watches, such as captures" : "no memory");
	sw_commit(d->sw);
	t->id = ++d->trace_id;
	t->until_ms = rw_now_ms() + TRACE_LEASE_MS;
	if (!d->tracing.active) {
		d->tracing = (struct rw_timer){.fn = traces_due, .arg = d};
		rw_timer_start(d->loop, &d->tracing, TRACE_LEASE_MS / 4, TRACE_LEASE_MS / 4);
	}
	return json_pack("{s:I}", "trace", (json_int_t)t->id);
}

static struct daemon_trace *trace_find(
	struct daemon *d, const json_t *params, struct ctl_failure *fail)
{
	json_int_t id = json_integer_value(json_object_get(params, "trace"));

	for (unsigned i = 0; i < DAEMON_TRACES; i++) {
		if (d->traces[i].trace && d->traces[i].id == id)
			return &d->traces[i];
	}
	ctl_fail(fail, CTL_ERR_FAILED, "there is no trace %lld: nobody has read it for %u s?",
		(long long)id, TRACE_LEASE_MS / 1000);
	return NULL;
}

json_t *rpc_trace_read(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;
	struct daemon_trace *t = trace_find(d, params, fail);
	struct reading r = {.sw = d->sw, .opt = &d->opt, .timed = true};
	uint64_t lost;
	bool ended;

	if (!t)
		return NULL;
	t->until_ms = rw_now_ms() + TRACE_LEASE_MS;
	r.frames = json_array();
	/* First: what comes later is read next time. */
	ended = sw_trace_has_ended(t->trace);
	lost = sw_trace_read(t->trace, step_read, &r);
	return json_pack(
		"{s:o, s:b, s:I}", "frames", r.frames, "ended", ended, "lost", (json_int_t)lost);
}

json_t *rpc_trace_stop(void *ctx, const json_t *params, struct ctl_failure *fail)
{
	struct daemon *d = ctx;
	struct daemon_trace *t = trace_find(d, params, fail);

	if (!t)
		return NULL;
	trace_end(d, t);
	return json_object();
}
