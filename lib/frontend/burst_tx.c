/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending in bursts. */
#include "burst_priv.h"

int fe_burst_reap(struct fe_burst *b)
{
	int err = burst_look(b, b->mask + 1, false);

	if (rw_likely(!err))
		b->next = b->seen;
	return err;
}

int fe_burst_room(struct fe_burst *b, unsigned want)
{
	uint32_t num = b->mask + 1;
	uint32_t room = num - (b->posted - b->next);
	int err;

	if (room < want) {
		err = fe_burst_reap(b);
		if (rw_unlikely(err))
			return err;
		room = num - (b->posted - b->next);
	}
	return (int)RW_MIN(room, want);
}

void fe_burst_send(struct fe_burst *b, unsigned n)
{
	fe_burst_post(b, b->posted + n);
	fe_burst_publish(b);
}
