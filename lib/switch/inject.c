/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames that control sends in the name of a port (sw_inject). */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "idle.h"
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
	if (!self->port || self->closed || self->sink)
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

/* ---- control's side ---- */

static bool injection_is_full(const struct sw_injection *in)
{
	/* Pairs with the release in send_injected: the worker has read the slot. */
	return in->head - __atomic_load_n(&in->tail, __ATOMIC_ACQUIRE) == SW_INJECT_MAX;
}

int sw_inject(
	struct sw *sw, const struct port *port, const void *bytes, uint32_t len, enum fdb_how how)
{
	struct sw_injection *in = sw->injection;
	struct sw_injected *slot = &in->slots[in->head % SW_INJECT_MAX];

	assert(len >= FRAME_MIN_LEN && len <= FRAME_HEAD);
	if (injection_is_full(in)) {
		/* Worker 0 may be awake but wait for its CPU, possibly for ours. */
		sw_idle_wake_and_wait(sw, 0);
		sw_quiesce(sw);
		sw_quiesce(sw);
		if (injection_is_full(in))
			return -ENOBUFS;
	}
	slot->port_id = port->id;
	slot->len = (uint8_t)len;
	slot->how = (uint8_t)how;
	memcpy(slot->bytes, bytes, len);
	__atomic_store_n(&in->head, in->head + 1, __ATOMIC_RELEASE);
	sw_idle_wake(sw, 0);
	return 0;
}

void sw_inject_wait(struct sw *sw)
{
	const struct sw_injection *in = sw->injection;

	sw_idle_wake_and_wait(sw, 0);
	/*
	 * It sends up to FRAME_BURST frames before each quiescent point. The first one may not
	 * count, because worker 0 may have read the FIFO before this call.
	 */
	for (unsigned i = 0; i <= SW_INJECT_MAX / FRAME_BURST; i++) {
		if (in->head == __atomic_load_n(&in->tail, __ATOMIC_ACQUIRE))
			break;
		sw_quiesce(sw);
	}
}
