/* SPDX-License-Identifier: BSD-3-Clause */
/* What would become of a frame: control acts as a worker of its own, which leaves no trace. */
#include <errno.h>
#include <string.h>

#include <rte_cycles.h>

#include "plan.h"
#include "sw_explain.h"

enum fdb_learned sw_explain_learn(struct sw_worker *w, const struct port_rxq *from, unsigned r)
{
	w->seen.outlook = fdb_would_learn(w->sw->fdb, w->sources[r].key, from->port->id, w->now_s);
	return w->seen.outlook.what;
}

void sw_explain_lookup(struct sw_worker *w, unsigned nruns)
{
	for (unsigned r = 0; r < nruns; r++) {
		fdb_key key = w->dests[r].key;

		if (key && key == w->sources[r].key)
			w->dst[r] = w->seen.outlook.hop;
		else if (key && key == w->seen.outlook.gone)
			w->dst[r] = FDB_HOP_NONE;
	}
}

/* The frame is the first of the worker's; it may be changed, as its lender's memory. */
static void frame_put(struct frame *f, struct rw_seg *seg, uint8_t *bytes, uint32_t len)
{
	frame_init(f, len);
	memcpy(f->head, bytes, f->head_len);
	*seg = (struct rw_seg){.data = bytes + f->head_len, .len = len - f->head_len};
	f->seg = seg;
	f->nsegs = seg->len ? 1 : 0;
}

static void explain(struct sw_worker *w, struct port *port, struct sw_watch *watch)
{
	const struct sw_watchers by = {.n = 1, .wants = watch->wants, .list = {watch}};
	const struct sw_plan *plan = w->sw->plan;
	struct port_counters counters = {0};
	const struct port_rxq from = {.port = port, .counters = &counters};

	w->seen = (struct sw_seen){.by = &by,
		.plan = plan,
		.observer = sw_observer(),
		.polled = rte_rdtsc(),
		.from = port->id,
		.dry = true};
	sw_see_received(w, &from, 1);
	sw_forward_staged(w, plan, &from, 1);
}

int sw_explain(
	struct sw *sw, struct port *port, const void *bytes, uint32_t len, struct sw_watch *watch)
{
	struct sw_worker *w;
	uint8_t *copy;
	struct rw_seg seg;

	if (sw->forward != SW_FORWARD_SWITCH || !sw->forwarding)
		return -EOPNOTSUPP;
	sw_commit(sw);
	w = rw_zalloc(sizeof(*w));
	copy = rw_zalloc(len);
	if (w && copy) {
		w->sw = sw;
		w->index = SW_MAX_WORKERS;
		w->now_s = sw_now_s(sw);
		memset(w->out_of, 0xff, sizeof(w->out_of));
		memcpy(copy, bytes, len);
		frame_put(&w->frames[0], &seg, copy, len);
		explain(w, port, watch);
	}
	rw_free(copy);
	rw_free(w);
	return w && copy ? 0 : -ENOMEM;
}
