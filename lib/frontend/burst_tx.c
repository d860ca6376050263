/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending in bursts. */
#include "burst_priv.h"

/* Fetch buffers up to position `end` for writing. */
static void warm_up(struct fe_burst *b, uint32_t end)
{
	uint32_t pos = b->warm;

	if ((int32_t)(b->posted - pos) > 0)
		pos = b->posted;
	for (; (int32_t)(end - pos) > 0; pos++)
		rw_prefetch_write(burst_line(b, b->ids[pos & b->mask]));
	b->warm = pos;
}

int fe_burst_reap(struct fe_burst *b)
{
	int err = burst_look(b, b->mask + 1);

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
	/* One burst ahead. */
	warm_up(b, b->posted + RW_MIN(room, want + FE_BURST_MAX / 2));
	return (int)RW_MIN(room, want);
}

void fe_burst_send(struct fe_burst *b, unsigned n)
{
	fe_burst_post(b, b->posted + n);
	fe_burst_publish(b);
}
