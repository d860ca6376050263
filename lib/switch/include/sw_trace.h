/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Traces: what is decided of the frames that a port sends, step by step. Each worker notes the
 * steps in a bounded ring of its own, and control reads them. A ring that is full loses steps or
 * whole frames of the trace, and counts them; never a guest's frame.
 *
 * Threads: control.
 */
#include "sw_watch.h"

#define SW_TRACE_STEPS 1024u /* that wait for control, for each worker */

/* Which frames are followed: each member counts if it is given. */
struct sw_trace_filter {
	bool by_dst, by_src, by_vlan, by_type;
	uint8_t dst[6], src[6];
	uint16_t vlan; /* as sw_sight_vlan says: 0 for none */
	uint16_t type; /* EtherType, behind a tag of the port's kind */
};

/* A sight (sw_watch.h) of one frame. */
struct sw_step {
	uint32_t frame; /* its number among those that this worker followed, from 1 */
	enum sw_see what;
	enum sw_stage stage;
	enum port_drop why;
	bool rx;
	uint16_t port, other, queue;
	uint32_t result; /* STAGES; of chains that never became frames: how many */
	uint32_t len;    /* RX, TX */
	uint16_t head_len;
	bool in_vlan; /* `vlan` is valid */
	struct sw_vlan vlan;
	struct frame_edit edit; /* TX; all zero: none. `front` is not valid */
	uint64_t at;            /* TSC cycles since the frame had been fetched */
	uint8_t head[FRAME_HEAD];
};

struct sw_trace;

/*
 * Follow the next `max` frames of a port that pass the filter (NULL: any); 0: no end. From the next
 * sw_commit on; the trace's user calls it. NULL and errno: ENOMEM; ENOSPC, see sw_watch_add.
 */
struct sw_trace *sw_trace_new(
	struct sw *sw, const struct port *port, const struct sw_trace_filter *filter, uint32_t max);
/* End it; commits. NULL is fine. */
void sw_trace_free(struct sw_trace *t);

typedef void sw_step_fn(void *arg, unsigned worker, const struct sw_step *step);

/*
 * Call `fn` for the steps of frames whose steps are complete, worker by worker, in their order. The
 * first step of a frame is RX, or DROP for what never became a frame. Returns how many steps and
 * frames were lost since the last call.
 */
uint64_t sw_trace_read(struct sw_trace *t, sw_step_fn *fn, void *arg);
/* Whether it has followed all that it may, or its port has left. */
bool sw_trace_has_ended(const struct sw_trace *t);

/* sw_explain (sw_explain.h), step by step: `worker` is 0. */
int sw_trace_explain(struct sw *sw, struct port *port, const void *bytes, uint32_t len,
	sw_step_fn *fn, void *arg);
