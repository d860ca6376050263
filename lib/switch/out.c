/* SPDX-License-Identifier: BSD-3-Clause */
#include "out.h"

static void edit_all(struct sw_worker *w, struct sw_out *out)
{
	for (unsigned i = 0; i < out->n; i++) {
		frame_edit(out->frames[i], &out->edit, &w->edited[i]);
		out->frames[i] = &w->edited[i];
	}
}

static RW_NOINLINE void send_edited(struct sw_worker *w, struct sw_out *out)
{
	edit_all(w, out);
	if (rw_likely(!w->seen.by)) {
		sw_txq_send(out->txq, out->frames, out->n, NULL);
		return;
	}
	w->seen.edit = &out->edit;
	sw_txq_send_seen(w, out->txq, out->frames, out->n, NULL);
	w->seen.edit = NULL;
}

void sw_out_send_other(struct sw_worker *w, struct sw_out *out)
{
	if (rw_unlikely(frame_edit_any(&out->edit)))
		send_edited(w, out);
	else
		sw_txq_send_seen(w, out->txq, out->frames, out->n, &out->tally);
}
