/* SPDX-License-Identifier: BSD-3-Clause */
#include "out.h"

void sw_out_send_edited(struct sw_worker *w, struct sw_out *out)
{
	for (unsigned i = 0; i < out->n; i++) {
		frame_edit(out->frames[i], &out->edit, &w->edited[i]);
		out->frames[i] = &w->edited[i];
	}
	sw_txq_send(out->txq, out->frames, out->n, NULL);
}
