/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames that control sends in the name of a port (sw_inject). */
#include "out.h"

/*
 * Flood a frame that control injected in the name of a port, as frame `i` of the round. If the port
 * has been deleted meanwhile, discard the frame. False: try again later. The FDB was busy and did
 * not learn the source, and there may be no other frame from which to learn it.
 */
static bool flood_injected(
	struct sw_worker *w, const struct sw_plan *plan, const struct sw_injected *slot, unsigned i)
{
	const struct sw_target *self = &plan->targets[slot->port_id];
	struct frame *f = &w->frames[i];
	struct sw_lot lot = {.frames = f, .n = 1, .bytes = slot->len};
	uint16_t domain;

	frame_init(f, slot->len);
	__builtin_memcpy(f->head, slot->bytes, FRAME_HEAD);
	f->vlan = frame_vlan(f, self->tpid);
	f->mark = 0;
	w->seen.from = slot->port_id;
	if (!self->port || self->closed)
		return true;
	if (rw_unlikely(self->guard && self->guard->parsed)) {
		enum port_drop why = sw_spoof_check(self->guard, f);

		if (why != PORT_NUM_DROPS) {
			sw_drop_tx(w, self, f, 1, why);
			return true;
		}
	}
	domain = sw_domain_from(w, self, f->vlan);
	if (!domain)
		return true;
	if (fdb_learn_by(w->sw->fdb, fdb_key_make(frame_src(f), domain), slot->port_id, w->now_s,
		    (enum fdb_how)slot->how) == FDB_BUSY)
		return false;
	lot.domain = domain;
	sw_flood(w, plan, &lot, self->port);
	return true;
}

void sw_inject_send(struct sw_worker *w, const struct sw_plan *plan, uint32_t head)
{
	struct sw_injection *in = w->sw->injection;
	uint32_t n = RW_MIN(head - in->tail, (uint32_t)FRAME_BURST), i;

	if (rw_unlikely(plan->watchers.n))
		sw_seen_begin(w, plan);
	for (i = 0; i < n; i++) {
		const struct sw_injected *slot = &in->slots[(in->tail + i) % SW_INJECT_MAX];

		/* Other modes learn no addresses, so the frame is discarded. */
		if (plan->mode == SW_FORWARD_SWITCH && !flood_injected(w, plan, slot, i))
			break;
		/* Who watches is told whose frame it is. */
		if (rw_unlikely(plan->watchers.n))
			sw_out_flush(w);
	}
	sw_out_flush(w);
	sw_seen_end(w);
	/* Pairs with the acquire in sw_inject and sw_port_flush. */
	__atomic_store_n(&in->tail, in->tail + i, __ATOMIC_RELEASE);
}
