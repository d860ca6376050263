/* SPDX-License-Identifier: BSD-3-Clause */
/* What a port's rules refuse of the frames that come from it. */
#include "plan.h"

/* A worker's frame goes to another place; its segments stay where they are. */
static void frame_move(struct frame *to, const struct frame *from)
{
	to->seg = from->seg;
	to->len = from->len;
	to->nsegs = from->nsegs;
	to->head_len = from->head_len;
	to->vlan = from->vlan;
	to->offload = from->offload;
	__builtin_memcpy(to->head, from->head, RW_MAX(from->head_len, (uint16_t)FRAME_HEAD));
}

/* Count the frames that are not in `keep` as received, and close the gaps. How many stay. */
static unsigned refuse(struct sw_worker *w, const struct port_rxq *from, uint32_t keep, unsigned n)
{
	struct port_tally tally = {0};
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!(keep >> i & 1))
			port_tally_add(&tally, &w->frames[i]);
		else if (kept++ != i)
			frame_move(&w->frames[kept - 1], &w->frames[i]);
	}
	port_tally_commit(&tally, from->counters);
	return kept;
}

unsigned sw_guard(
	struct sw_worker *w, const struct sw_rules *rules, const struct port_rxq *from, unsigned n)
{
	const uint32_t all = UINT32_MAX >> (32 - n);
	uint32_t keep = all;

	if (rules->set.down) {
		port_count(&from->counters->drops[PORT_DROP_ADMIN_DOWN], n);
		return refuse(w, from, 0, n);
	}
	for (unsigned i = 0; i < n; i++) {
		enum port_drop why = PORT_NUM_DROPS;

		if (rules->parsed)
			why = sw_spoof_check(rules, &w->frames[i]);
		if (rw_unlikely(why != PORT_NUM_DROPS)) {
			port_count_drop(from->counters, why);
			keep &= ~(UINT32_C(1) << i);
		}
	}
	return keep == all ? n : refuse(w, from, keep, n);
}
