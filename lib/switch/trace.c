/* SPDX-License-Identifier: BSD-3-Clause */
/* Traces: workers note the steps of frames, control reads them (sw_trace.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "sw_explain.h"
#include "sw_trace.h"

/* A burst's frames are followed only while the ring has room for so many steps. */
#define ROOM 64u

/* Steps of one worker. Indices are free-running. */
struct lane {
	uint32_t head RW_CACHE_ALIGNED; /* the worker writes, as all up to `tail` */
	uint32_t frames;                /* followed so far */
	uint32_t followed;              /* of the latest burst, by marks */
	uint64_t polled;                /* of that burst */
	uint32_t number[FRAME_BURST];   /* of its frames */
	uint64_t lost;                  /* atomic */
	uint32_t tail RW_CACHE_ALIGNED; /* control writes */
	uint64_t lost_told;
	struct sw_step steps[SW_TRACE_STEPS];
};

struct sw_trace {
	struct sw_watch watch;
	struct sw *sw; /* NULL: of sw_trace_explain */
	uint16_t port;
	struct sw_trace_filter filter;
	bool endless;
	uint32_t left; /* atomic: frames to follow, unless it is endless */
	unsigned nlanes;
	struct lane *lanes[SW_MAX_WORKERS];
};

/* ---- workers ---- */

static uint32_t used(const struct lane *lane)
{
	/* Pairs with the release in lane_read: control has read what is written over. */
	return lane->head - __atomic_load_n(&lane->tail, __ATOMIC_ACQUIRE);
}

static void lose(struct lane *lane, unsigned n)
{
	__atomic_store_n(&lane->lost, lane->lost + n, __ATOMIC_RELAXED);
}

static void bytes_note(struct sw_step *step, const struct sw_sight *s, unsigned i)
{
	const struct frame *f = s->frames[i];

	step->len = f->len;
	step->head_len = (uint16_t)RW_MIN(f->head_len, (uint16_t)sizeof(step->head));
	memcpy(step->head, f->head, step->head_len);
	step->vlan = sw_sight_vlan(s, i);
	step->in_vlan = step->vlan.id < SW_VLANS;
}

/* Note a step at `at`, which is not published yet. False: there is no room. */
static bool note(
	struct lane *lane, uint32_t *at, uint32_t number, const struct sw_sight *s, unsigned i)
{
	struct sw_step *step = &lane->steps[*at % SW_TRACE_STEPS];

	if (*at - __atomic_load_n(&lane->tail, __ATOMIC_ACQUIRE) == SW_TRACE_STEPS) {
		lose(lane, 1);
		return false;
	}
	*step = (struct sw_step){.frame = number,
		.what = s->what,
		.stage = s->stage,
		.why = s->why,
		.rx = s->rx,
		.port = s->port,
		.other = s->other,
		.queue = s->queue,
		.result = !s->frames ? s->n
			: s->result  ? s->result[i]
				     : 0,
		.at = s->polled ? s->now - s->polled : 0};
	if (s->edit)
		step->edit = *s->edit;
	if (s->frames && s->what != SW_SEE_STAGES)
		bytes_note(step, s, i);
	++*at;
	return true;
}

static bool passes(const struct sw_trace *t, const struct sw_sight *s, unsigned i)
{
	const struct sw_trace_filter *want = &t->filter;
	const struct frame *f = s->frames[i];
	bool tagged = frame_has_tag(f, s->target->tpid) && f->len >= 18;
	const uint8_t *type = f->head + FRAME_TAG_AT + (tagged ? FRAME_TAG_LEN : 0);

	return (!want->by_dst || !memcmp(frame_dst(f), want->dst, sizeof(want->dst))) &&
		(!want->by_src || !memcmp(frame_src(f), want->src, sizeof(want->src))) &&
		(!want->by_type || (type[0] << 8 | type[1]) == want->type) &&
		(!want->by_vlan || sw_sight_vlan(s, i).id == want->vlan);
}

/* Whether one more frame may be followed. */
static bool take(struct sw_trace *t)
{
	uint32_t left = __atomic_load_n(&t->left, __ATOMIC_RELAXED);

	while (left && !t->endless &&
		!__atomic_compare_exchange_n(
			&t->left, &left, left - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return left || t->endless;
}

static void see_received(struct sw_trace *t, struct lane *lane, const struct sw_sight *s)
{
	uint32_t at = lane->head;

	lane->followed = 0;
	lane->polled = s->polled;
	for (unsigned i = 0; i < s->n; i++) {
		if (!passes(t, s, i))
			continue;
		if (SW_TRACE_STEPS - used(lane) < ROOM + i) {
			lose(lane, 1);
			continue;
		}
		if (!take(t))
			break;
		lane->number[s->frames[i]->mark] = ++lane->frames;
		if (note(lane, &at, lane->frames, s, i))
			lane->followed |= UINT32_C(1) << s->frames[i]->mark;
	}
	__atomic_store_n(&lane->head, at, __ATOMIC_RELEASE);
}

/* Chains that never became frames. */
static void see_malformed(struct sw_trace *t, struct lane *lane, const struct sw_sight *s)
{
	uint32_t at = lane->head;

	if (t->filter.by_dst || t->filter.by_src || t->filter.by_type || t->filter.by_vlan)
		return;
	if (take(t))
		note(lane, &at, ++lane->frames, s, 0);
	__atomic_store_n(&lane->head, at, __ATOMIC_RELEASE);
}

static void see(struct sw_watch *watch, const struct sw_sight *s)
{
	struct sw_trace *t = rw_container_of(watch, struct sw_trace, watch);
	struct lane *lane = t->lanes[s->worker < t->nlanes ? s->worker : 0];
	bool sender = s->what == SW_SEE_STAGES || s->what == SW_SEE_RX || s->rx;
	uint32_t at = lane->head;

	if ((sender ? s->port : s->other) != t->port)
		return;
	if (s->what == SW_SEE_RX) {
		see_received(t, lane, s);
		return;
	}
	if (!s->frames) {
		see_malformed(t, lane, s);
		return;
	}
	/* Not of a backlog, and not of control. */
	if (s->late || s->polled != lane->polled)
		return;
	for (unsigned i = 0; i < s->n; i++) {
		unsigned mark = s->frames[i]->mark % FRAME_BURST;

		if (lane->followed >> mark & 1)
			note(lane, &at, lane->number[mark], s, i);
	}
	/* Pairs with the acquire in lane_read. */
	__atomic_store_n(&lane->head, at, __ATOMIC_RELEASE);
}

/* ---- control ---- */

static void trace_destroy(struct sw_trace *t)
{
	for (unsigned i = 0; i < t->nlanes; i++)
		rw_free(t->lanes[i]);
	rw_free(t);
}

/* NULL: no memory. */
static struct sw_trace *trace_make(unsigned nlanes, const struct port *port)
{
	struct sw_trace *t = rw_zalloc(sizeof(*t));

	if (!t)
		return NULL;
	t->port = port->id;
	t->watch.see = see;
	t->watch.wants = SW_SEE_RX | SW_SEE_TX | SW_SEE_DROP | SW_SEE_STAGES | SW_SEE_ONWARD;
	sw_watch_port(&t->watch, port);
	while (t->nlanes < nlanes) {
		struct lane *lane = rw_zalloc(sizeof(*lane));

		if (!lane) {
			trace_destroy(t);
			return NULL;
		}
		t->lanes[t->nlanes++] = lane;
	}
	return t;
}

struct sw_trace *sw_trace_new(
	struct sw *sw, const struct port *port, const struct sw_trace_filter *filter, uint32_t max)
{
	struct sw_trace *t = trace_make(sw->nworkers, port);

	if (!t) {
		errno = ENOMEM;
		return NULL;
	}
	if (filter)
		t->filter = *filter;
	t->left = max;
	t->endless = !max;
	t->sw = sw;
	if (sw_watch_add(sw, &t->watch)) {
		trace_destroy(t);
		errno = ENOSPC;
		return NULL;
	}
	return t;
}

void sw_trace_free(struct sw_trace *t)
{
	if (!t)
		return;
	sw_watch_remove(t->sw, &t->watch);
	sw_commit(t->sw);
	trace_destroy(t);
}

/* Where the steps end of frames that had come before `head`. */
static uint32_t complete(const struct lane *lane, uint32_t head, uint32_t end)
{
	for (uint32_t at = head; at != end; at++) {
		if (lane->steps[at % SW_TRACE_STEPS].what == SW_SEE_RX)
			return at;
	}
	return end;
}

static uint64_t lane_read(
	struct lane *lane, unsigned worker, uint32_t head, sw_step_fn *fn, void *arg)
{
	uint32_t end = complete(lane, head, __atomic_load_n(&lane->head, __ATOMIC_ACQUIRE));
	uint64_t lost = __atomic_load_n(&lane->lost, __ATOMIC_RELAXED), before = lane->lost_told;

	for (uint32_t at = lane->tail; at != end; at++)
		fn(arg, worker, &lane->steps[at % SW_TRACE_STEPS]);
	__atomic_store_n(&lane->tail, end, __ATOMIC_RELEASE);
	lane->lost_told = lost;
	return lost - before;
}

uint64_t sw_trace_read(struct sw_trace *t, sw_step_fn *fn, void *arg)
{
	uint32_t heads[SW_MAX_WORKERS];
	uint64_t lost = 0;

	for (unsigned i = 0; i < t->nlanes; i++)
		heads[i] = __atomic_load_n(&t->lanes[i]->head, __ATOMIC_ACQUIRE);
	/* Then the bursts of which these steps are have ended. */
	if (t->sw)
		sw_quiesce(t->sw);
	for (unsigned i = 0; i < t->nlanes; i++)
		lost += lane_read(t->lanes[i], i, heads[i], fn, arg);
	return lost;
}

bool sw_trace_has_ended(const struct sw_trace *t)
{
	return (!t->endless && !__atomic_load_n(&t->left, __ATOMIC_RELAXED)) ||
		!sw_watch_has_port(&t->watch);
}

int sw_trace_explain(struct sw *sw, struct port *port, const void *bytes, uint32_t len,
	sw_step_fn *fn, void *arg)
{
	struct sw_trace *t = trace_make(1, port);
	int ret;

	if (!t)
		return -ENOMEM;
	t->endless = true;
	ret = sw_explain(sw, port, bytes, len, &t->watch);
	if (!ret)
		sw_trace_read(t, fn, arg);
	trace_destroy(t);
	return ret;
}
