/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once
/*
 * Out-lists: frames of a burst that wait to be sent to tx queues. A list is for one queue and one
 * edit, and takes any number of frames: a full list is sent, and all lists are sent when the burst
 * ends. Several copies of a frame for one queue count as separate frames.
 *
 * Thread: worker.
 */
#include "plan.h"

/* watch.c: whether somebody wants to see the frames of a list, in a round in which one watches. */
bool sw_out_is_seen(const struct sw_worker *w, const struct sw_out *out);
/* Send the frames of a list, with its edit, and tell those who watch. */
void sw_out_send_other(struct sw_worker *w, struct sw_out *out);

/* Send the frames of a list. */
static inline void sw_out_send(struct sw_worker *w, struct sw_out *out)
{
	if (rw_unlikely(frame_edit_any(&out->edit) || (w->seen.by && sw_out_is_seen(w, out))))
		sw_out_send_other(w, out);
	else
		sw_txq_send(out->txq, out->frames, out->n, &out->tally);
	w->recent[w->filled % SW_RECENT].port_id = out->port_id;
	w->recent[w->filled++ % SW_RECENT].index = out->txq->index;
	out->n = 0;
	out->tally = (struct port_tally){0};
}

static inline void sw_out_flush(struct sw_worker *w)
{
	for (unsigned i = 0; i < w->nouts; i++) {
		struct sw_out *out = &w->outs[i];

		w->out_of[out->port_id] = SW_NO_OUT;
		if (rw_likely(out->n))
			sw_out_send(w, out);
	}
	w->nouts = 0;
}

/* Find or start the list for a queue and an edit. */
static inline struct sw_out *sw_out_get(
	struct sw_worker *w, uint16_t port_id, struct port_txq *txq, struct frame_edit edit)
{
	unsigned i = w->out_of[port_id];

	if (rw_likely(i != SW_NO_OUT)) {
		struct sw_out *out = &w->outs[i];

		if (rw_likely(out->txq == txq && frame_edit_same(out->edit, edit)))
			return out;
		/* The port's latest list is for another queue or edit. */
		for (i = 0; i < w->nouts; i++) {
			if (w->outs[i].txq == txq && frame_edit_same(w->outs[i].edit, edit))
				goto found;
		}
	}
	if (rw_unlikely(w->nouts == SW_MAX_OUTS))
		sw_out_flush(w);
	i = w->nouts++;
	w->outs[i].txq = txq;
	w->outs[i].port_id = port_id;
	w->outs[i].n = 0;
	w->outs[i].edit = edit;
	w->outs[i].tally = (struct port_tally){0};
found:
	w->out_of[port_id] = (uint16_t)i;
	return &w->outs[i];
}

/*
 * Append `n` frames, `bytes` in all, of one run or of several unicast runs. If the list has no room
 * for them, send it first.
 */
static inline void sw_out_append(
	struct sw_worker *w, struct sw_out *out, struct frame *frames, unsigned n, uint64_t bytes)
{
	struct frame **to;

	if (rw_unlikely(out->n + n > FRAME_BURST))
		sw_out_send(w, out);
	port_tally_add_run(&out->tally, frames, n, bytes);
	to = &out->frames[out->n];
	for (unsigned i = 0; i < n; i++)
		to[i] = &frames[i];
	out->n += n;
}

/*
 * deliver.c: as sw_deliver, for a port that checks what it gets, or whose frames go to the tx queue
 * of their flow, if any runs.
 */
void sw_deliver_each(struct sw_worker *w, const struct sw_target *t, struct frame *frames,
	unsigned n, uint64_t bytes, struct frame_edit edit);

/* Deliver `n` frames, `bytes` in all, of one run or of several unicast runs, to a port. */
static inline void sw_deliver(struct sw_worker *w, const struct sw_target *t, struct frame *frames,
	unsigned n, uint64_t bytes, struct frame_edit edit)
{
	if (rw_unlikely(!t->direct)) {
		sw_deliver_each(w, t, frames, n, bytes, edit);
		return;
	}
	sw_out_append(w, sw_out_get(w, t->port->id, t->txqs[0], edit), frames, n, bytes);
}
