/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames on their way to receivers, other than the usual one of each. */
#include "out.h"

/* The tx queue of the receiver for this flow. */
static struct port_txq *pick_queue(const struct sw_target *t, const struct frame *f)
{
	uint32_t hash;
	int index;

	if (rw_likely(t->ntxqs == 1))
		return t->txqs[0];
	hash = frame_flow_hash(f);
	index = port_steer_find(t->steer, hash);
	if (index >= 0 && t->by_index[index])
		return t->by_index[index];
	return t->txqs[hash % t->ntxqs];
}

void sw_deliver_each(struct sw_worker *w, const struct sw_target *t, struct frame *frames,
	unsigned n, uint64_t bytes, struct frame_edit edit)
{
	const uint32_t all = sw_bits(n);
	uint32_t pass = all;

	if (!t->ntxqs) {
		/* After sw_port_del has removed a port, the FDB may still have its addresses. */
		if (t->port)
			sw_drop_tx(w, t, frames, all, sw_down_reason(t));
		return;
	}
	if (t->limits)
		pass = sw_guard_tx(w, t, frames, n, bytes);
	if (t->ntxqs == 1 && pass == all) {
		sw_out_append(w, sw_out_get(w, t->port->id, t->txqs[0], edit), frames, n, bytes);
		return;
	}
	for (; pass; pass &= pass - 1) {
		struct frame *f = &frames[__builtin_ctz(pass)];

		sw_out_append(w, sw_out_get(w, t->port->id, pick_queue(t, f), edit), f, 1, f->len);
	}
}

void sw_deliver_form(struct sw_worker *w, const struct sw_target *self, const struct sw_target *t,
	const struct sw_lot *lot, struct frame_edit edit)
{
	if (rw_unlikely(sw_is_misread(self, t, lot->frames)))
		sw_drop_tx(w, t, lot->frames, sw_bits(lot->n), PORT_DROP_VLAN);
	else
		sw_deliver(w, t, lot->frames, lot->n, lot->bytes, edit);
}

enum port_drop sw_flood(struct sw_worker *w, const struct sw_plan *plan, const struct sw_lot *lot,
	const struct port *from)
{
	const uint16_t *ids = plan->flood;
	unsigned n = plan->nflood;

	if (rw_unlikely(plan->selective || plan->snooping))
		return sw_flood_selectively(w, plan, lot, from);
	if (rw_unlikely(w->seen.by != NULL))
		sw_see_flood(w, lot, from, SW_FLOOD_ALL);
	if (!n || (n == 1 && ids[0] == from->id))
		return PORT_DROP_NO_PORT;
	for (unsigned i = 0; i < n; i++) {
		if (ids[i] != from->id)
			sw_deliver(w, &plan->targets[ids[i]], lot->frames, lot->n, lot->bytes,
				(struct frame_edit){0});
	}
	return PORT_NUM_DROPS;
}
